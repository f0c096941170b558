"""Large answers are compressed for clients that ask for it.

upstream: apiserver/pkg/endpoints/handlers/responsewriters/writers.go
"""

import asyncio
import zlib
from typing import Final

from aiohttp import web

THRESHOLD: Final = 128 * 1024
"""Bytes; what is not larger is sent as it is."""
_LEVEL: Final = 1
"""The fastest, which leaves little more than slower ones."""
_IN_THREAD: Final = 512 * 1024
"""Bytes from which on the event loop does not do it itself: it would stand still for milliseconds."""
_GZIP: Final = 16 + zlib.MAX_WBITS


def is_worthwhile(request: web.BaseRequest, response: web.StreamResponse) -> bool:
    """Whether it is a large answer to a read of a client that takes gzip. Weighted encodings do not count, as upstream."""
    if not isinstance(response, web.Response):
        return False
    body = response.body
    return (
        isinstance(body, bytes)
        and len(body) > THRESHOLD
        and request.method == "GET"
        and any(
            token.strip() == "gzip"
            for token in request.headers.get("Accept-Encoding", "").split(",")
        )
    )


async def compress(response: web.StreamResponse) -> None:
    """Replaces the body of such an answer."""
    assert isinstance(response, web.Response)  # noqa: S101 - see `is_worthwhile`
    body = response.body
    assert isinstance(body, bytes)  # noqa: S101
    large = len(body) >= _IN_THREAD
    response.body = await asyncio.to_thread(_gzip, body) if large else _gzip(body)
    response.headers["Content-Encoding"] = "gzip"
    response.headers.add("Vary", "Accept-Encoding")


def _gzip(body: bytes) -> bytes:
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    return packer.compress(body) + packer.flush()
