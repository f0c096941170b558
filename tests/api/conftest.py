"""A plane as its HTTP clients see it: requests as they are written, answers as they come."""

import contextlib
import http.client
import json
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Any, NamedTuple, Protocol

import pytest
from verger.embed import ControlPlane

from tests.background import running

DEADLINE = 30.0
"""Seconds for an answer; reaching them is a failure."""


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


class Ask(Protocol):
    """Sends a request on a connection that is kept."""

    def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        anonymous: bool = False,
    ) -> Answer:
        """Bytes are sent as they are, everything else as JSON; as administrator unless `anonymous`."""


@dataclass(frozen=True)
class Api:
    """Where a plane is reached."""

    plane: ControlPlane

    def context(self) -> ssl.SSLContext:
        """TLS that verifies the server."""
        # Not the default context: reading the machine's authorities takes longer than all the rest.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.plane.ca.decode())
        return context

    @property
    def address(self) -> str:
        """Host and port."""
        return self.plane.url.removeprefix("https://")

    def connect(self, context: ssl.SSLContext | None = None) -> http.client.HTTPSConnection:
        """A connection of one's own."""
        return http.client.HTTPSConnection(
            self.address, timeout=DEADLINE, context=context or self.context()
        )

    def raw(self, request: bytes) -> bytes:
        """What comes back for some bytes until the server closes the connection."""
        host, port = self.address.rsplit(":", 1)
        with (
            socket.create_connection((host, int(port)), timeout=DEADLINE) as plain,
            self.context().wrap_socket(plain, server_hostname=host) as connection,
        ):
            connection.sendall(request)
            out = b""
            # It may close the connection as soon as it has had enough.
            with contextlib.suppress(ConnectionResetError, ssl.SSLError):
                while chunk := connection.recv(65536):
                    out += chunk
            return out


@pytest.fixture(scope="package")
def api() -> Iterator[Api]:
    """One plane for all tests that look at it from outside."""
    with running(ControlPlane(token_secrets="on-request")) as plane:
        yield Api(plane)


@pytest.fixture(scope="package")
def ask(api: Api) -> Iterator[Ask]:
    """Sends requests to that plane."""
    with contextlib.closing(api.connect()) as connection:

        def ask(
            method: str,
            path: str,
            body: Any = None,
            *,
            headers: Mapping[str, str] | None = None,
            anonymous: bool = False,
        ) -> Answer:
            sent = dict(headers or {})
            if not anonymous:
                sent.setdefault("Authorization", f"Bearer {api.plane.token}")
            data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            try:
                # A large body may be refused before it is read.
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    connection.request(method, path, data, sent)
                answer = connection.getresponse()
                found = Answer(answer.status, answer.headers, answer.read())
                if found.status >= 400:
                    connection.close()  # as the server may after a request that it did not like
                return found
            except (OSError, http.client.HTTPException):
                connection.close()  # the next request gets a new one
                raise

        yield ask
