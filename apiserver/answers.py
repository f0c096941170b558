"""Answers as aiohttp sends them, with the headers that every answer carries."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from aiohttp import web
from multidict import CIMultiDict
from verger.apiserver.negotiation import JSON
from verger.store.errors import ApiError, Forbidden, Unauthorized

WARNING_RUNES: Final = 256
WARNING_TOTAL: Final = 4096
"""upstream: beyond this many characters in all, each warning is cut to 256, and what is still too much is left out."""
WARNINGS_MAX: Final = 64
"""Headers of one answer: Python's own client gives up at 100 of all sorts."""


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


def headers(
    content_type: str,
    audit_id: str,
    *,
    warnings: Sequence[str] = (),
    more: Mapping[str, str] | None = None,
) -> "CIMultiDict[str]":
    """The headers of an answer."""
    out: CIMultiDict[str] = CIMultiDict(
        {
            "Audit-Id": audit_id,
            "Cache-Control": "no-cache, private",
            "Content-Type": content_type,
        }
    )
    if more:
        out.update(more)
    if warnings:
        for value in warning_headers(warnings):
            out.add("Warning", value)
    return out


def answer(
    body: bytes,
    audit_id: str,
    *,
    status: int = 200,
    content_type: str = JSON,
    warnings: Sequence[str] = (),
    more: Mapping[str, str] | None = None,
) -> web.Response:
    """A complete answer."""
    return web.Response(
        body=body,
        status=status,
        headers=headers(content_type, audit_id, warnings=warnings, more=more),
    )


def text(body: str, audit_id: str, *, status: int = 200) -> web.Response:
    """A plain text answer, as health checks and unknown paths give."""
    return answer(
        body.encode(),
        audit_id,
        status=status,
        content_type="text/plain; charset=utf-8",
        more={"X-Content-Type-Options": "nosniff"},
    )


def page_not_found(audit_id: str) -> web.Response:
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
