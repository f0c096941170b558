"""A bare HTTPS client: whatever a connection can do to a server, a test can do with this one.

One exchange at a time on each connection; no pool, no retry, nothing that hides what really happened. The server is
always verified with the plane's own authority.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Self
from urllib.parse import urlsplit

import orjson
from verger.embed import ControlPlane

JSON: Final = "application/json"
LINE_MAX: Final = 8 * 1024 * 1024
"""Bytes of the longest line or chunk that a test reads."""


class Answer(NamedTuple):
    """A complete response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as a value."""
        return orjson.loads(self.body)


@dataclass(frozen=True, slots=True)
class Server:
    """Where a plane is, how to verify it, and who asks."""

    host: str
    port: int
    tls: ssl.SSLContext = field(repr=False)
    token: str = field(repr=False)

    @classmethod
    def of(cls, plane: ControlPlane) -> Self:
        """The API of a plane, for its administrator."""
        url = urlsplit(plane.url)
        assert url.hostname is not None
        assert url.port is not None
        # It verifies names and certificates, against this authority and none of the machine's.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=plane.ca.decode())
        return cls(url.hostname, url.port, context, plane.token)

    def request(
        self, method: str, path: str, body: bytes = b"", *, media: str = JSON, **more: str
    ) -> bytes:
        """The bytes of a request; `more` are headers, with underscores for dashes."""
        headers = {
            "Host": f"{self.host}:{self.port}",
            "Authorization": f"Bearer {self.token}",
            "Accept": JSON,
        }
        if body:
            headers |= {"Content-Type": media, "Content-Length": str(len(body))}
        headers |= {name.replace("_", "-"): value for name, value in more.items()}
        lines = [
            f"{method} {path} HTTP/1.1",
            *(f"{name}: {text}" for name, text in headers.items()),
        ]
        return "\r\n".join([*lines, "", ""]).encode() + body


class Wire:
    """One connection."""

    def __init__(
        self, server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.server = server
        self.reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, server: Server, *, receive_buffer: int = 0) -> Self:
        """Connects and verifies; `receive_buffer` are the bytes that the kernel may hold for a reader that is slow."""
        loop = asyncio.get_running_loop()
        plain = socket.socket()
        try:
            plain.setblocking(False)
            if receive_buffer:
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            await loop.sock_connect(plain, (server.host, server.port))
            reader, writer = await asyncio.open_connection(
                sock=plain, ssl=server.tls, server_hostname=server.host, limit=LINE_MAX
            )
        except BaseException:
            plain.close()
            raise
        return cls(server, reader, writer)

    @property
    def transport(self) -> asyncio.Transport:
        """The transport, to pause or to break."""
        transport = self._writer.transport
        assert isinstance(transport, asyncio.Transport)
        return transport

    def send(self, data: bytes) -> None:
        """Hands bytes to the kernel, as far as it takes them."""
        self._writer.write(data)

    async def drained(self) -> None:
        """Waits until little of what was sent is left here. Raises ConnectionError."""
        await self._writer.drain()

    async def head(self) -> tuple[int, Mapping[str, str]]:
        """The status and the headers (in lower case) of the next response. Raises OSError, EOFError."""
        text = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        start, *lines = text[:-4].split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return int(start.split(" ")[1]), headers

    async def answer(self) -> Answer:
        """The next complete response. Raises OSError, EOFError."""
        status, headers = await self.head()
        if headers.get("transfer-encoding") == "chunked":
            return Answer(status, headers, b"".join([chunk async for chunk in self._chunks()]))
        body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return Answer(status, headers, body)

    async def call(
        self, method: str, path: str, body: bytes = b"", *, media: str = JSON, **more: str
    ) -> Answer:
        """One exchange. Raises OSError, EOFError."""
        self.send(self.server.request(method, path, body, media=media, **more))
        return await self.answer()

    async def _chunks(self) -> AsyncIterator[bytes]:
        while True:
            size = int((await self.reader.readuntil(b"\r\n")).partition(b";")[0], 16)
            data = await self.reader.readexactly(size + 2)
            if not size:
                return
            yield data[:-2]

    async def lines(self) -> AsyncIterator[bytes]:
        """The lines of a chunked response, until it ends in good order. Raises OSError, EOFError."""
        rest = b""
        async for chunk in self._chunks():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield line
        assert not rest, "the stream ended within a line"

    async def closed(self) -> bytes:
        """Waits until the server has closed the connection, and returns what it still said."""
        said = bytearray()
        with contextlib.suppress(OSError):
            while data := await self.reader.read(LINE_MAX):
                said += data
        return bytes(said)

    def abort(self) -> None:
        """Breaks the connection without a word. Aborting twice is harmless."""
        self._writer.transport.abort()


@asynccontextmanager
async def connected(server: Server, *, receive_buffer: int = 0) -> AsyncIterator[Wire]:
    """A connection for the length of a block."""
    wire = await Wire.open(server, receive_buffer=receive_buffer)
    try:
        yield wire
    finally:
        wire.abort()
