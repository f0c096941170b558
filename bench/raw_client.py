"""A raw HTTP/1.1 client over TLS: JSON calls and watch streams, as little client as possible.

What is measured must be the server, so this reads TLS sockets directly when the event loop says
that they are readable: no transports, no streams, no task for each watch, no HTTP library. Client
and server share the machine, and with asyncio's own TLS transports a watch costs the client as much
as the server. The server is always verified with the CA of the kubeconfig.
"""

import asyncio
import base64
import binascii
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson
import yaml

OnEvent = Callable[[str, dict[str, Any]], None]
OnData = Callable[[bytes], None]
OnEnd = Callable[[Exception], None]

CONNECT_TIMEOUT = 30.0
# The most that one TLS record carries, and therefore the most that one read returns.
RECORD = 16384


class KubeconfigError(ValueError):
    """The kubeconfig is missing, incomplete, or asks for a connection that is not verified."""


class ProtocolError(Exception):
    """The server answered something that a benchmark cannot go on from."""


class Answer(NamedTuple):
    """One complete response."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Target:
    """Where a server is, how to verify it, and the headers that every request to it carries."""

    host: str
    port: int
    tls: ssl.SSLContext = field(repr=False)
    headers: bytes = field(repr=False)
    content_type: str = "application/json"
    """Of the bodies that are sent."""

    def request(self, method: str, path: str, body: bytes = b"") -> bytes:
        """Return the bytes of one request; `path` includes the query."""
        start = f"{method} {path} HTTP/1.1\r\n".encode()
        if not body:
            return start + self.headers + b"Content-Length: 0\r\n\r\n"
        sort = f"Content-Type: {self.content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
        return start + self.headers + sort.encode() + body


def read_kubeconfig(path: Path) -> Target:
    """Return the target of the current context, which must have an https server, a CA and a token.

    Raises KubeconfigError with the reason.
    """
    try:
        config = yaml.safe_load(path.read_bytes())
    except (OSError, yaml.YAMLError) as error:
        raise KubeconfigError(f"{path.name}: {error}") from None
    if not isinstance(config, dict):
        raise KubeconfigError(f"{path.name}: not a kubeconfig")
    context = _named(config, "contexts", config.get("current-context"))["context"]
    cluster = _named(config, "clusters", context.get("cluster"))["cluster"]
    user = _named(config, "users", context.get("user"))["user"]
    if cluster.get("insecure-skip-tls-verify"):
        raise KubeconfigError(f"{path.name}: the benchmarks only talk to servers they can verify")
    url = urlsplit(cluster["server"])
    if url.scheme != "https" or url.hostname is None:
        raise KubeconfigError(f"{path.name}: {cluster['server']} is not an https address")
    token = user.get("token")
    if not token:
        raise KubeconfigError(f"{path.name}: its user has no token")
    headers = f"Host: {url.netloc}\r\nAuthorization: Bearer {token}\r\nAccept: application/json\r\n"
    return Target(
        host=url.hostname,
        port=url.port or 443,
        tls=ssl.create_default_context(cadata=_authority(cluster, path)),
        headers=headers.encode(),
    )


def _named(config: dict[str, Any], section: str, name: str | None) -> dict[str, Any]:
    for entry in config.get(section) or ():
        if entry["name"] == name:
            return dict(entry)
    raise KubeconfigError(f"kubeconfig: nothing named {name!r} among its {section}")


def _authority(cluster: dict[str, Any], path: Path) -> str:
    try:
        if encoded := cluster.get("certificate-authority-data"):
            return base64.b64decode(encoded).decode()
        if file := cluster.get("certificate-authority"):
            return (path.parent / str(file)).read_text()
    except (OSError, binascii.Error) as error:
        raise KubeconfigError(f"{path.name}: certificate authority: {error}") from None
    raise KubeconfigError(f"{path.name}: its cluster has no certificate authority")


class Chunks:
    """Takes chunked transfer coding apart; keeps what is not complete yet."""

    __slots__ = ("_rest", "finished")

    def __init__(self) -> None:
        self._rest = b""
        self.finished = False

    def feed(self, data: bytes) -> bytes:
        """Return the payload of all chunks that `data` completes."""
        if self._rest:
            data = self._rest + data
        payloads = []
        at = 0
        while (line_end := data.find(b"\r\n", at)) >= 0:
            size = int(data[at:line_end].partition(b";")[0], 16)
            start = line_end + 2
            if len(data) < start + size + 2:
                break
            at = start + size + 2
            if not size:
                self.finished = True
                break
            payloads.append(data[start : start + size])
        self._rest = data[at:]
        return payloads[0] if len(payloads) == 1 else b"".join(payloads)


def _take_head(buffer: bytearray) -> bytes | None:
    """Remove the head of a response from the buffer; None when it is not complete."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = bytes(buffer[: end + 2]).lower()
    del buffer[: end + 4]
    return head


def _content_length(head: bytes) -> int:
    at = head.find(b"\r\ncontent-length:")
    return int(head[at + 17 : head.index(b"\r\n", at + 2)]) if at >= 0 else 0


def _connect(target: Target) -> ssl.SSLSocket:
    """Connect and verify. Blocks: run it in a thread. Raises OSError, also when not verified."""
    plain = socket.create_connection((target.host, target.port), timeout=CONNECT_TIMEOUT)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return target.tls.wrap_socket(plain, server_hostname=target.host)


def open_idle_watch(target: Target, path: str) -> tuple[ssl.SSLSocket, bytes]:
    """Start the watch that `path` (with its query) asks for; returns when it is accepted.

    Returns the blocking socket, and what of the stream has arrived. Blocks: run it in a thread.
    Raises OSError, and ProtocolError when the server refuses.
    """
    connection = _connect(target)
    try:
        connection.sendall(target.request("GET", path))
        buffer = bytearray()
        while (head := _take_head(buffer)) is None:
            data = connection.recv(RECORD)
            if not data:
                raise ConnectionResetError("the server closed a watch at its start")
            buffer += data
        if head[9:12] != b"200" or b"\r\ntransfer-encoding: chunked" not in head:
            raise ProtocolError(f"watch {path}: {head[:12]!r} {bytes(buffer[:300])!r}")
    except BaseException:
        connection.close()
        raise
    return connection, bytes(buffer)


class _Channel:
    """A connected TLS socket whose data is handed on as it arrives."""

    __slots__ = ("_loop", "_on_data", "_on_lost", "_socket")

    def __init__(self, connection: ssl.SSLSocket, on_data: OnData, on_lost: OnEnd) -> None:
        connection.setblocking(False)
        self._socket: ssl.SSLSocket | None = connection
        self._on_data = on_data
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(connection, self._readable)

    def send(self, data: bytes) -> None:
        """Send a request, which is far smaller than a socket's buffer. Raises OSError."""
        if self._socket is None:
            raise ConnectionResetError("the connection is closed")
        self._socket.send(data)

    def close(self) -> None:
        """Drop the connection without a word; nothing is called afterwards."""
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def _readable(self) -> None:
        while self._socket is not None:
            try:
                data = self._socket.recv(RECORD)
            except ssl.SSLWantReadError:
                return
            except OSError as error:
                self._lost(error)
                return
            if not data:
                self._lost(ConnectionResetError("the server closed the connection"))
                return
            self._on_data(data)
            # A read returns one whole record. After a full one there is probably more; after a
            # shorter one asking the selector is cheaper than a read that fails.
            if len(data) < RECORD:
                return

    def _lost(self, error: Exception) -> None:
        self.close()
        self._on_lost(error)


class Connection:
    """One keep-alive connection, with one call at a time."""

    def __init__(self, target: Target, connection: ssl.SSLSocket) -> None:
        self._target = target
        self._channel = _Channel(connection, self._received, self._lost)
        self._buffer = bytearray()
        self._waiting: asyncio.Future[Answer] | None = None
        self._status = 0
        self._length = 0
        self._chunks: Chunks | None = None
        self._payload: list[bytes] = []

    @classmethod
    async def open(cls, target: Target) -> "Connection":
        """Connect and verify. Raises OSError, also when not verified."""
        return cls(target, await asyncio.to_thread(_connect, target))

    async def call(self, method: str, path: str, body: bytes = b"") -> Answer:
        """Send one request and return its answer, whatever its status.

        Raises OSError when the connection ends before the answer does.
        """
        self._channel.send(self._target.request(method, path, body))
        self._waiting = asyncio.get_running_loop().create_future()
        return await self._waiting

    async def expect(self, status: int, method: str, path: str, body: bytes = b"") -> bytes:
        """Call, and return the body. Raises ProtocolError at any other status."""
        answer = await self.call(method, path, body)
        if answer.status != status:
            raise ProtocolError(f"{method} {path}: {answer.status} {answer.body[:300]!r}")
        return answer.body

    def close(self) -> None:
        """Drop the connection; may be called twice."""
        self._channel.close()

    def _received(self, data: bytes) -> None:
        self._buffer += data
        if not self._status:
            head = _take_head(self._buffer)
            if head is None:
                return
            self._status = int(head[9:12])
            if b"\r\ntransfer-encoding: chunked" in head:
                self._chunks = Chunks()
            else:
                self._length = _content_length(head)
        if self._chunks is not None:
            self._payload.append(self._chunks.feed(bytes(self._buffer)))
            self._buffer.clear()
            if self._chunks.finished:
                self._finish(b"".join(self._payload))
        elif len(self._buffer) >= self._length:
            body = bytes(self._buffer[: self._length])
            del self._buffer[: self._length]
            self._finish(body)

    def _finish(self, body: bytes) -> None:
        answer = Answer(self._status, body)
        self._status = self._length = 0
        self._chunks = None
        self._payload = []
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(answer)

    def _lost(self, error: Exception) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error)


class Watch:
    """One watch stream on a connection of its own; calls `on_event` for each event as it arrives.

    `on_end` is called once if the stream ends although nobody closed it, so that a load can fail
    instead of waiting for events that will never come.
    """

    def __init__(self, connection: ssl.SSLSocket, on_event: OnEvent, on_end: OnEnd) -> None:
        self._on_event = on_event
        self._on_end = on_end
        self._chunks = Chunks()
        self._line = b""
        self._channel = _Channel(connection, self._received, on_end)

    @classmethod
    async def open(cls, target: Target, path: str, *, on_event: OnEvent, on_end: OnEnd) -> "Watch":
        """Start the watch that `path` (with its query) asks for; returns when it is accepted.

        Raises OSError, and ProtocolError when the server refuses.
        """
        connection, first = await asyncio.to_thread(open_idle_watch, target, path)
        watch = cls(connection, on_event, on_end)
        if first:
            watch._received(first)
        return watch

    def close(self) -> None:
        """Drop the stream; nothing is called afterwards."""
        self._channel.close()

    def _received(self, data: bytes) -> None:
        *lines, self._line = (self._line + self._chunks.feed(data)).split(b"\n")
        for line in lines:
            event = orjson.loads(line)
            self._on_event(event["type"], event["object"])
        if self._chunks.finished:
            self._channel.close()
            self._on_end(ConnectionResetError("the server ended a watch"))


def percentile(values: list[float], share: float) -> float:
    """Return the value below which `share` (0 to 1) of the values lie; nan without values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")
