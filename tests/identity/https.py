"""A plane as its clients reach it: HTTPS, and nothing else."""

import contextlib
import http.client
import json
import ssl
from collections.abc import Iterator, Mapping
from email.message import Message
from typing import Any, NamedTuple

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


class Api:
    """Where a plane is reached; the administrator asks unless a token is given."""

    def __init__(self, plane: ControlPlane) -> None:
        self.plane = plane
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.load_verify_locations(cadata=plane.ca.decode())
        self._host = plane.url.removeprefix("https://")
        self._connection: http.client.HTTPSConnection | None = None

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """The answer to a request; an empty token is none at all."""
        shown = self.plane.token if token is None else token
        all_headers = {"Authorization": f"Bearer {shown}"} if shown else {}
        all_headers |= {"Content-Type": "application/json", **(headers or {})}
        text = None if body is None else json.dumps(body)
        if self._connection is None:
            self._connection = http.client.HTTPSConnection(
                self._host, timeout=DEADLINE, context=self.context
            )
        self._connection.request(method, path, text, all_headers)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.will_close:
            self.close()
        return Answer(answer.status, answer.msg, content)

    def does(self, method: str, path: str, body: Any = None) -> Any:
        """What the administrator gets; it must succeed."""
        answer = self.ask(method, path, body)
        assert answer.status < 300, answer.body
        return answer.json

    def create(self, path: str, *objects: Mapping[str, Any]) -> Any:
        """Creates objects as the administrator, and returns the last one."""
        made: Any = None
        for obj in objects:
            made = self.does("POST", path, obj)
        return made

    def token(self, namespace: str, account: str, **spec: Any) -> str:
        """A requested token of an account."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        made = self.does("POST", path, {"spec": spec})
        return str(made["status"]["token"])

    def review(self, token: str, *audiences: str) -> dict[str, Any]:
        """What a TokenReview says of a token."""
        path = "/apis/authentication.k8s.io/v1/tokenreviews"
        body = {"spec": {"token": token, "audiences": audiences}}
        found: dict[str, Any] = self.does("POST", path, body)["status"]
        return found

    def close(self) -> None:
        """Ends the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@contextlib.contextmanager
def served(plane: ControlPlane) -> Iterator[Api]:
    """A plane that runs, and how it is reached."""
    with running(plane):
        api = Api(plane)
        try:
            yield api
        finally:
            api.close()
