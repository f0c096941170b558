"""Large answers are compressed for clients that ask for it.

upstream: apiserver/pkg/endpoints/handlers/responsewriters/writers.go
"""

import asyncio
import zlib
from typing import Final, TypeGuard

from aiohttp.web_request import BaseRequest
from aiohttp.web_response import StreamResponse
from verger.apiserver.answers import Answer

THRESHOLD: Final = 128 * 1024
"""Bytes; what is not larger is sent as it is."""
_LEVEL: Final = 1
"""The fastest, which leaves little more than slower ones."""
_IN_THREAD: Final = 512 * 1024
"""Bytes from which on the event loop does not do it itself: it would stand still for milliseconds."""
_GZIP: Final = 16 + zlib.MAX_WBITS


def is_worthwhile(response: StreamResponse, request: BaseRequest) -> TypeGuard[Answer]:
    """Whether it is a large answer to a read of a client that takes gzip. Weighted encodings do not count, as upstream."""
    return (
        isinstance(response, Answer)
        and len(response.body) > THRESHOLD
        and request.method == "GET"
        and any(
            token.strip() == "gzip"
            for token in request.headers.get("Accept-Encoding", "").split(",")
        )
    )


async def compress(answer: Answer) -> None:
    """Replaces the body of such an answer."""
    body = answer.body
    large = len(body) >= _IN_THREAD
    answer.encode(await asyncio.to_thread(_gzip, body) if large else _gzip(body), "gzip")


def _gzip(body: bytes) -> bytes:
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    return packer.compress(body) + packer.flush()
