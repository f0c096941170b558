"""A server that answers as a test says, and a clock on which nobody waits."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import orjson
from aiohttp import web
from verger.store.credentials import Credential, Credentials, Fixed
from verger.store.kinds import Kinds
from verger.store.kubeconfig import Connection
from verger.store.remote import RemoteServer
from verger.store.throttle import TokenBucket
from verger.watch.clock import FakeClock


class QuickClock(FakeClock):
    """Whoever sleeps wakes at once, and time has passed; timers fire when a test moves the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []

    async def sleep(self, delay: float) -> None:
        self.slept.append(delay)
        self._elapsed += delay
        await asyncio.sleep(0)


class Answer(NamedTuple):
    """What the server says. `chunks` come one by one; with `cut`, the connection breaks behind them."""

    code: int = 200
    body: Any = None
    headers: Mapping[str, str] = {}
    chunks: Sequence[bytes] | None = None
    cut: bool = False
    silent: bool = False
    """Whether nothing follows, and the connection stays open."""


CUT = Answer(cut=True)
SILENT = Answer(silent=True)


class Asked(NamedTuple):
    """A request that came."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any


class Script:
    """The answers in their order; the last one is given again and again."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[Asked] = []
        self.waiting = asyncio.Event()
        """Set when a request has come on which there will be no answer."""
        self.over = asyncio.Event()
        """Set when nobody will ask any more."""

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        self.asked.append(
            Asked(
                request.method,
                request.raw_path.partition("?")[0],
                dict(request.query),
                dict(request.headers),
                orjson.loads(body) if body else None,
            )
        )
        answer = self.answers[min(len(self.asked), len(self.answers)) - 1]
        if answer.chunks is None and answer.cut:
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        if answer.chunks is None and not answer.silent:
            data = answer.body if isinstance(answer.body, bytes) else orjson.dumps(answer.body)
            return web.Response(status=answer.code, body=data, headers=answer.headers)
        response = web.StreamResponse(status=answer.code, headers=answer.headers)
        response.enable_chunked_encoding()
        if answer.chunks is not None:
            await response.prepare(request)
        for chunk in answer.chunks or ():
            await response.write(chunk)
        if answer.silent:
            self.waiting.set()
            await self.over.wait()
            return response
        if answer.cut:
            assert request.transport is not None
            request.transport.abort()
        return response


@asynccontextmanager
async def listening(script: Script) -> AsyncIterator[str]:
    """The address at which the script is played."""
    server = web.Server(script.answer)
    runner = web.ServerRunner(server, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        script.over.set()
        await runner.cleanup()


Open = Callable[..., RemoteServer]


def remote_server(
    url: str,
    kinds: Kinds,
    clock: FakeClock,
    *,
    qps: float = 0,
    burst: int = 1,
    credentials: Credentials | None = None,
) -> RemoteServer:
    """What speaks to it."""
    connection = Connection(
        server=url,
        source="a test",
        credentials=credentials or Fixed(Credential("Bearer the-secret-token")),
    )
    return RemoteServer(connection, kinds, clock, throttle=TokenBucket(clock, qps=qps, burst=burst))
