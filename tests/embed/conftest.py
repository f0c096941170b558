"""What tests of whole planes look at: the process that they run in, and their HTTPS port as any client sees it."""

import asyncio
import os
import ssl
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from verger.embed import ControlPlane
from verger.watch.event import Event

DEADLINE = 30.0
"""Seconds; everything here takes milliseconds, so that reaching them is a failure."""


@dataclass(frozen=True)
class Belongings:
    """What a process has of what it must give back."""

    tasks: frozenset[str]
    threads: frozenset[str]
    files: frozenset[str]
    temporary: frozenset[str]


def _open_files() -> Iterator[str]:
    for number in os.listdir("/proc/self/fd"):
        try:
            yield f"{number} {os.readlink(f'/proc/self/fd/{number}')}"
        except FileNotFoundError:
            continue  # the handle with which the folder was read


@pytest.fixture
def belongings(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], Belongings]:
    """Says what the process has now; temporary files go to a folder that is looked at too."""
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))

    def look() -> Belongings:
        return Belongings(
            frozenset(task.get_name() for task in asyncio.all_tasks()),
            frozenset(thread.name for thread in threading.enumerate()),
            frozenset(_open_files()),
            frozenset(path.name for path in folder.iterdir()),
        )

    return look


class Connection:
    """One HTTPS connection to a plane, as little as possible: what is sent is written out."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, path: str, token: str = "") -> None:
        """Sends a GET and reads the head of the answer away, but for its status."""
        authorization = f"Authorization: Bearer {token}\r\n" if token else ""
        self.writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n{authorization}\r\n".encode())
        await self.writer.drain()

    async def status(self) -> int:
        """The status of the answer; its headers are read."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        return int(head.split()[1])

    async def close(self) -> None:
        """Closes it, and waits until that has happened."""
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except (ConnectionError, ssl.SSLError):
            return  # the server was faster


async def connect(plane: ControlPlane) -> Connection:
    """A connection to a plane, whose certificate is verified."""
    host, port = plane.url.removeprefix("https://").rsplit(":", 1)
    # Not the default context: that would read the machine's authorities, for longer than all the rest takes.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=plane.ca.decode())
    return Connection(*await asyncio.open_connection(host, int(port), ssl=context))


async def status_of(plane: ControlPlane, path: str, token: str = "") -> int:
    """The status of the answer to a GET."""
    connection = await connect(plane)
    await connection.ask(path, token)
    status = await connection.status()
    await connection.close()
    return status


async def token_of(plane: ControlPlane, namespace: str) -> dict[str, str]:
    """The data of the token Secret of the default account of a namespace, as soon as it is filled."""
    secrets = plane.kinds.core("Secret")
    async with asyncio.timeout(DEADLINE):
        found = await plane.client.list(secrets, namespace)
        objects = list(found.items)
        stream = await plane.client.watch(secrets, namespace, after=found.revision)
        try:
            while True:
                for obj in objects:
                    if obj.get("type") == "kubernetes.io/service-account-token" and (
                        obj.get("data") or {}
                    ).get("token"):
                        return dict(obj["data"])
                events = await stream.read()
                objects = [event.object for event in events if isinstance(event, Event)]
        finally:
            stream.close()


class Api:
    """A client of a plane over HTTPS, who shows everything as it came."""

    def __init__(self, plane: ControlPlane, session: aiohttp.ClientSession) -> None:
        self._plane = plane
        self._session = session
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.load_verify_locations(cadata=plane.ca.decode())

    def asking(
        self, method: str, path: str, body: Any = None, *, token: str | None = None, **more: str
    ) -> Any:
        """The request, to be used by `async with`."""
        used = self._plane.token if token is None else token
        headers = {"Authorization": f"Bearer {used}", "Content-Type": "application/json", **more}
        return self._session.request(
            method, self._plane.url + path, json=body, headers=headers, ssl=self._context
        )

    async def __call__(
        self, method: str, path: str, body: Any = None, **more: str
    ) -> tuple[int, Mapping[str, Any]]:
        """The status and the body of the answer."""
        async with self.asking(method, path, body, **more) as answer:
            return answer.status, await answer.json()


@pytest.fixture
async def plane() -> AsyncIterator[ControlPlane]:
    """A plane of the test's own, whose faults are the same in each run."""
    async with ControlPlane(seed=1) as plane:
        yield plane


@pytest.fixture
async def api(plane: ControlPlane) -> AsyncIterator[Api]:
    """A client of that plane."""
    async with aiohttp.ClientSession() as session:
        yield Api(plane, session)
