"""A relay between a daemon and its API server that writes down what passes, and can be told to misbehave."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import aiohttp
from aiohttp import web
from yarl import URL

READS = ("GET", "HEAD")
_KEPT = ("Authorization", "Content-Type", "Accept", "User-Agent")


class Passed(NamedTuple):
    """A request, and how it was answered."""

    at: float
    method: str
    path: str
    watch: bool
    status: int

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass
class Relay:
    """One relay."""

    session: aiohttp.ClientSession
    server: str
    url: str = ""
    passed: list[Passed] = field(default_factory=list)
    refuse: Callable[[web.BaseRequest], web.StreamResponse | None] = lambda _: None
    """What is answered instead of the server, None to let a request pass."""
    cuts: list[int] = field(default_factory=list)
    """Bytes after which the next watches break off, wherever that may be."""

    @property
    def writes(self) -> list[str]:
        """What changed something, but for the election."""
        return [
            str(one)
            for one in self.passed
            if one.method not in READS and "/leases" not in one.path and "/events" not in one.path
        ]

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        watch = "watch" in request.query

        def note(status: int) -> None:
            one = Passed(time.monotonic(), request.method, request.path, watch, status)
            self.passed.append(one)

        refused = self.refuse(request)
        if refused is not None:
            note(refused.status)
            return refused
        async with self.session.request(
            request.method,
            URL(self.server + request.raw_path, encoded=True),
            data=body or None,
            headers={name: request.headers[name] for name in _KEPT if name in request.headers},
        ) as theirs:
            note(theirs.status)
            kept = {k: v for k, v in theirs.headers.items() if k in ("Content-Type", "Retry-After")}
            ours = web.StreamResponse(status=theirs.status, headers=kept)
            ours.enable_chunked_encoding()
            left = self.cuts.pop() if watch and self.cuts else 0
            try:
                await ours.prepare(request)
                async for chunk in theirs.content.iter_any():
                    if 0 < left <= len(chunk):
                        await ours.write(chunk[:left])
                        raise ConnectionResetError
                    left -= len(chunk)
                    await ours.write(chunk)
            except (ConnectionError, aiohttp.ClientError):
                # One of the two has gone; the other one sees it.
                if request.transport is not None:
                    request.transport.abort()
            return ours


@asynccontextmanager
async def relaying(server: str) -> AsyncIterator[Relay]:
    """A relay to a server whose certificate it does not look at."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=False),
        timeout=aiohttp.ClientTimeout(total=None),
    ) as session:
        relay = Relay(session, server)
        runner = web.ServerRunner(
            web.Server(relay.answer, access_log=None, handler_cancellation=True),
            shutdown_timeout=0.1,
        )
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        relay.url = f"http://{host}:{port}"
        try:
            yield relay
        finally:
            await runner.cleanup()
