"""Answers as aiohttp sends them, with the headers that every answer carries."""

import functools
import time
from collections.abc import Iterable, Mapping, Sequence
from email.utils import formatdate
from typing import Any, Final

from aiohttp import HttpVersion11
from aiohttp.abc import AbstractStreamWriter
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import StreamResponse
from verger.apiserver.negotiation import JSON
from verger.store.errors import ApiError, Forbidden, Unauthorized

WARNING_RUNES: Final = 256
WARNING_TOTAL: Final = 4096
"""upstream: beyond this many characters in all, each warning is cut to 256, and what is still too much is left out."""
WARNINGS_MAX: Final = 64
"""Headers of one answer: Python's own client gives up at 100 of all sorts."""
_BODILESS: Final = frozenset((204, 304))
_LAST_CHUNK: Final = b"0\r\n\r\n"


def warning_headers(texts: Iterable[str]) -> list[str]:
    """The values of the Warning headers for some texts, each once, as many of them as fit into a head."""
    unique = list(dict.fromkeys(texts))
    if sum(map(len, unique)) > WARNING_TOTAL:
        unique = [text[:WARNING_RUNES] for text in unique]
    out = []
    room = WARNING_TOTAL
    for text in unique[:WARNINGS_MAX]:
        room -= len(text)
        if room < 0:
            break
        clean = "".join(char if char.isprintable() else " " for char in text)
        escaped = clean.replace("\\", "\\\\").replace('"', '\\"')
        out.append(f'299 - "{escaped}"')
    return out


class _Headed(StreamResponse):
    """An answer that writes its head itself.

    Every answer has the same few headers, and building them by way of aiohttp's takes a fifth of a short request.
    """

    def __init__(
        self,
        content_type: str,
        audit_id: str,
        *,
        status: int,
        warnings: Sequence[str],
        more: Mapping[str, str] | None,
    ) -> None:
        """Raises ValueError when a value would begin a line of its own."""
        super().__init__(status=status)
        lines = [f"Audit-Id: {audit_id}", f"Content-Type: {content_type}"]
        if not more or "Cache-Control" not in more:
            lines.append("Cache-Control: no-cache, private")
        if more:
            lines += [f"{name}: {value}" for name, value in more.items()]
        if warnings:
            lines += [f"Warning: {value}" for value in warning_headers(warnings)]
        fields = "\r\n".join(lines)
        if (
            fields.count("\r") != len(lines) - 1
            or fields.count("\n") != len(lines) - 1
            or "\0" in fields
        ):
            raise ValueError("a header of an answer holds the end of a line")
        self._fields = fields

    def _head(self, request: BaseRequest, framing: str) -> bytes:
        """Status line and headers."""
        self._keep_alive = request.keep_alive
        newest = request.version >= HttpVersion11
        connection = ""
        if newest is not request.keep_alive:
            connection = f"Connection: {'close' if newest else 'keep-alive'}\r\n"
        version = "1.1" if newest else "1.0"
        status = f"HTTP/{version} {self._status} {self._reason}"
        date = f"Date: {_date(int(time.time()))}"
        text = f"{status}\r\n{self._fields}\r\n{framing}{connection}{date}\r\n\r\n"
        return text.encode(errors="replace")


class Answer(_Headed):
    """A complete answer, which leaves in one piece."""

    def __init__(
        self,
        body: bytes,
        audit_id: str,
        *,
        status: int = 200,
        content_type: str = JSON,
        warnings: Sequence[str] = (),
        more: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(content_type, audit_id, status=status, warnings=warnings, more=more)
        self.body = body

    def encode(self, body: bytes, encoding: str) -> None:
        """Replaces the body by an encoded form of it, which depends on what the client takes."""
        self.body = body
        self._fields += f"\r\nContent-Encoding: {encoding}\r\nVary: Accept-Encoding"

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:
        """Sends it. Raises ConnectionError."""
        if self._eof_sent:
            return None
        body, bare = self.body, self._status in _BODILESS
        head = self._head(request, "" if bare else f"Content-Length: {len(body)}\r\n")
        writer = request.writer
        await writer.write(head if bare or request.method == "HEAD" else head + body)
        # Many answers to a client that does not read are as much as a long one.
        await writer.drain()
        self._eof_sent = True
        return writer


class Stream(_Headed):
    """An answer that comes in chunks, framed by who sends them: those of a watch go to many clients as they are."""

    def __init__(self, content_type: str, audit_id: str, *, warnings: Sequence[str] = ()) -> None:
        super().__init__(content_type, audit_id, status=200, warnings=warnings, more=None)

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:
        """Sends the head, at once: clients wait for it before they believe that a watch is open. Raises ConnectionError."""
        if self._eof_sent or self._payload_writer is not None:
            return self._payload_writer
        self._payload_writer = writer = request.writer
        await writer.write(self._head(request, "Transfer-Encoding: chunked\r\n"))
        return writer

    async def write_eof(self, data: bytes = b"") -> None:
        """Sends the end. Raises ConnectionError."""
        if not self._eof_sent and self._payload_writer is not None:
            await self._payload_writer.write(data + _LAST_CHUNK)
        self._eof_sent = True


def chunk(data: bytes) -> bytes:
    """One chunk of a Stream. upstream: RFC 9112, 7.1"""
    return b"%x\r\n%b\r\n" % (len(data), data)


@functools.lru_cache(maxsize=1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)


def text(body: str, audit_id: str, *, status: int = 200) -> Answer:
    """A plain text answer, as health checks and unknown paths give."""
    return Answer(
        body.encode(),
        audit_id,
        status=status,
        content_type="text/plain; charset=utf-8",
        more={"X-Content-Type-Options": "nosniff"},
    )


def page_not_found(audit_id: str) -> Answer:
    """What stands at a path that nobody serves."""
    return text("404 page not found\n", audit_id, status=404)


def status_headers(error: ApiError) -> dict[str, str]:
    """The headers that come with an error's Status."""
    more = {}
    if error.retry_after is not None:
        more["Retry-After"] = str(error.retry_after)
    if isinstance(error, (Forbidden, Unauthorized)):
        more["X-Content-Type-Options"] = "nosniff"
    return more


def success(details: Mapping[str, Any]) -> dict[str, Any]:
    """The Status of a deletion that is done."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details,
    }
