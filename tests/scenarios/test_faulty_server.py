"""A server that misbehaves: whatever it does, the world becomes what it should be, with few requests, none too early.

Time is the test's: a minute of backing off is none of the machine's.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol

import aiohttp
import pytest
from aiohttp import web
from verger.controllers.manager import Manager
from verger.embed import ControlPlane
from verger.store.kubeconfig import connect
from verger.store.remote import RemoteServer
from verger.store.throttle import TokenBucket
from yarl import URL

from tests.controllers.harness import ACCOUNTS, ROOT_CA, TOKENS
from tests.controllers.objects import namespace
from tests.scenarios.stage import LIMIT, Stage, StageClock

SPACES = [f"n{number}" for number in range(6)]
QPS, BURST = 20.0, 10
QUIET = 60
"""Turns of the loop without a request before time goes on: what is on its way has come by then."""
REQUESTS_MAX = 40 * len(SPACES)
"""What an undisturbed run takes is a tenth of it."""

Request = web.BaseRequest
Handler = Callable[[Request], Awaitable[web.StreamResponse]]


class Faulty:
    """A server between the controllers and the plane."""

    def __init__(self, session: aiohttp.ClientSession, server: str, clock: StageClock) -> None:
        self._session = session
        self._server = server
        self.clock = clock
        self.url = ""
        self.fault: Callable[[Faulty, Request], Awaitable[web.StreamResponse | None]] = sound
        self.count = 0
        self.struck = 0
        self.turns = 0
        """Turns since something came or went."""
        self.at: list[float] = []
        """When requests came, watches included."""
        self.kept: dict[str, bytes] = {}
        """Old answers by path."""
        self.cut = 0
        """Bytes after which the next watch breaks off."""
        self.stalls = False
        """Whether the next watch falls silent after its first words."""

    async def answer(self, request: Request) -> web.StreamResponse:
        self.turns = 0
        self.at.append(self.clock.monotonic())
        self.count += 1
        body = await request.read()
        refusal = await self.fault(self, request)
        if refusal is not None:
            self.struck += 1
            return refusal
        async with self._session.request(
            request.method,
            URL(self._server + request.raw_path, encoded=True),
            data=body or None,
            headers={k: v for k, v in request.headers.items() if k in _KEPT},
        ) as theirs:
            if "watch" not in request.query:
                content = await theirs.read()
                self.turns = 0
                if request.method == "GET" and theirs.status == 200:
                    self.kept.setdefault(request.path, content)
                return web.Response(
                    status=theirs.status, body=content, content_type="application/json"
                )
            return await self._stream(request, theirs)

    async def _stream(self, request: Request, theirs: aiohttp.ClientResponse) -> web.StreamResponse:
        ours = web.StreamResponse(status=theirs.status)
        ours.enable_chunked_encoding()
        await ours.prepare(request)
        left, self.cut = self.cut, 0
        stalls, self.stalls = self.stalls, False
        async for chunk in theirs.content.iter_any():
            self.turns = 0
            if 0 < left <= len(chunk):
                self.struck += 1
                await ours.write(chunk[:left])
                return abort(request)
            left -= len(chunk)
            await ours.write(chunk)
            if stalls:
                self.struck += 1
                await asyncio.get_running_loop().create_future()  # until the other side goes
        return ours


_KEPT = ("Authorization", "Content-Type", "Accept", "User-Agent")


def abort(request: Request) -> web.Response:
    """The connection is reset instead of answered."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def status(code: int, reason: str, **headers: str) -> web.Response:
    body = {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": "no"}
    return web.json_response(body, status=code, headers=headers)


async def sound(_: Faulty, __: Request) -> web.StreamResponse | None:
    return None


async def busy(server: Faulty, _: Request) -> web.StreamResponse | None:
    return status(429, "TooManyRequests", **{"Retry-After": "2"}) if server.count % 3 == 0 else None


async def broken(server: Faulty, _: Request) -> web.StreamResponse | None:
    return web.Response(status=500, text="no") if server.count % 3 == 0 else None


async def contended(server: Faulty, request: Request) -> web.StreamResponse | None:
    return status(409, "Conflict") if request.method == "PUT" and server.struck < 8 else None


async def reset(server: Faulty, request: Request) -> web.StreamResponse | None:
    return abort(request) if server.count % 4 == 0 else None


async def loses_answers(server: Faulty, request: Request) -> web.StreamResponse | None:
    """What was asked for happens, and nobody hears of it."""
    if request.method == "GET" or server.struck >= 6:
        return None
    async with server._session.request(
        request.method,
        URL(server._server + request.raw_path, encoded=True),
        data=await request.read(),
        headers={k: v for k, v in request.headers.items() if k in _KEPT},
    ) as theirs:
        await theirs.read()
    return abort(request)


async def cuts_watches(server: Faulty, request: Request) -> web.StreamResponse | None:
    if "watch" in request.query and server.struck < 6:
        server.cut = 700
    return None


async def has_forgotten(server: Faulty, request: Request) -> web.StreamResponse | None:
    return status(410, "Expired") if "watch" in request.query and server.struck < 6 else None


async def freezes(server: Faulty, request: Request) -> web.StreamResponse | None:
    """Watches of which nothing comes, not even an end, and no end of the beginning."""
    if "watch" not in request.query or server.struck >= 4:
        return None
    ours = web.StreamResponse()
    ours.enable_chunked_encoding()
    await ours.prepare(request)
    server.struck += 1
    await asyncio.get_running_loop().create_future()  # until the other side goes
    return ours


async def falls_silent(server: Faulty, request: Request) -> web.StreamResponse | None:
    """Watches that begin as they should, and of which nothing comes any more."""
    server.stalls = "watch" in request.query and server.struck < 4
    return None


async def is_slow(server: Faulty, request: Request) -> web.StreamResponse | None:
    if "watch" not in request.query:
        server.struck += 1
        await server.clock.sleep(10)
        server.turns = 0
    return None


async def is_behind(server: Faulty, request: Request) -> web.StreamResponse | None:
    """Reads show for a while what there was at the first look, and watches keep ending, so that there are reads."""
    if "sendInitialEvents" in request.query:
        return status(400, "BadRequest")
    if server.struck >= 30:
        return None
    if "watch" in request.query:
        return status(410, "Expired") if server.count % 2 else None
    old = server.kept.get(request.path) if request.method == "GET" else None
    return web.Response(body=old, content_type="application/json") if old is not None else None


@contextlib.asynccontextmanager
async def beside_a_faulty_server() -> AsyncIterator[tuple[Stage, Faulty]]:
    """A stage whose controllers reach their plane through a server that may misbehave."""
    clock = StageClock()
    async with contextlib.AsyncExitStack() as stack:
        plane = await stack.enter_async_context(ControlPlane(controllers=(), clock=clock))
        session = await stack.enter_async_context(
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ssl=False),
                timeout=aiohttp.ClientTimeout(total=None),
            )
        )
        faulty = Faulty(session, plane.url, clock)
        runner = web.ServerRunner(
            web.Server(faulty.answer, access_log=None, handler_cancellation=True),
            shutdown_timeout=0.1,
        )
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield await stage_at(f"http://{host}:{port}", plane, clock, stack), faulty


async def stage_at(
    url: str, plane: ControlPlane, clock: StageClock, stack: contextlib.AsyncExitStack
) -> Stage:
    """A stage whose controllers take that for the address of the plane."""
    server = RemoteServer(
        connect(plane.kubeconfig, master=url, environment=os.environ, clock=clock),
        plane.kinds,
        clock,
        throttle=TokenBucket(clock, qps=QPS, burst=BURST),
    )
    stack.push_async_callback(server.close)
    stage = Stage(plane, clock, server.client, ACCOUNTS, TOKENS, ROOT_CA)
    stack.push_async_callback(stage.stop)
    return stage


async def served(stage: Stage) -> bool:
    """Whether every namespace has its account with a reference, its one token and its ConfigMap."""
    for space in SPACES:
        accounts = await stage.all("ServiceAccount", space)
        secrets = await stage.all("Secret", space)
        maps = await stage.all("ConfigMap", space)
        refers = [entry["name"] for one in accounts for entry in one.get("secrets") or ()]
        if refers != [secret["metadata"]["name"] for secret in secrets] or not (
            len(accounts) == len(secrets) == len(maps) == 1
        ):
            return False
    return True


def backlog(manager: Manager) -> bool:
    return any(queue.depth or queue.processing for queue in manager.statistics().values())


class Turns(Protocol):
    """What is set to 0 when something comes or goes."""

    turns: int


async def converge(stage: Stage, passing: Turns) -> None:
    """Lets time go on, whenever nothing is on its way, until the world is as it should be and nobody is at work."""
    async with asyncio.timeout(LIMIT):
        while backlog(stage.manager) or not await served(stage):
            passing.turns = 0
            while (turns := passing.turns) < QUIET:
                await asyncio.sleep(0)
                passing.turns = min(passing.turns, turns) + 1
            wait = stage.clock.next_timer()
            assert wait is not None
            await stage.clock.advance(wait)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(sound, id="nothing is wrong"),
        pytest.param(busy, id="429 bursts"),
        pytest.param(broken, id="500 bursts"),
        pytest.param(contended, id="409 bursts"),
        pytest.param(reset, id="connections reset"),
        pytest.param(loses_answers, id="writes that happen without an answer"),
        pytest.param(cuts_watches, id="streams cut in a frame"),
        pytest.param(has_forgotten, id="410"),
        pytest.param(freezes, id="watches that are frozen from the beginning"),
        pytest.param(falls_silent, id="watches that freeze"),
        pytest.param(is_slow, id="10 s latency"),
        pytest.param(is_behind, id="stale reads"),
    ],
)
async def test_world_converges(fault: Any) -> None:
    """One account, one token, one reference, one ConfigMap each; few requests; never more than the limit allows."""
    async with beside_a_faulty_server() as (stage, faulty):
        faulty.fault = fault
        stage.begin()
        await stage.create(*map(namespace, SPACES))
        await converge(stage, faulty)
        assert faulty.struck > 0 or fault is sound
        assert faulty.count <= REQUESTS_MAX
        for first, begin in enumerate(faulty.at):
            for last in range(first + BURST, len(faulty.at)):
                spent = last - first + 1
                assert spent <= BURST + QPS * (faulty.at[last] - begin) + 1e-6


class Resetting:
    """Passes bytes on in both directions; the connections at the beginning are reset within the TLS handshake."""

    def __init__(self, plane: ControlPlane) -> None:
        self._to = URL(plane.url)
        self.turns = 0
        self.reset = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.reset < 8:
            self.reset += 1
            await reader.read(5)
            writer.transport.abort()
            return
        theirs, to_them = await asyncio.open_connection(self._to.host, self._to.port)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pass(reader, to_them))
            group.create_task(self._pass(theirs, writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                self.turns = 0
                writer.write(data)
        writer.close()


async def test_tls_resets() -> None:
    """A connection that breaks before it is one is no answer: whatever was to be sent is sent again."""
    clock = StageClock(time.time())
    async with contextlib.AsyncExitStack() as stack:
        plane = await stack.enter_async_context(ControlPlane(controllers=(), clock=clock))
        resetting = Resetting(plane)
        server = await stack.enter_async_context(
            await asyncio.start_server(resetting.serve, "127.0.0.1", 0)
        )
        host, port = server.sockets[0].getsockname()
        stage = await stage_at(f"https://{host}:{port}", plane, clock, stack)
        stage.begin()
        await stage.create(*map(namespace, SPACES))
        await converge(stage, resetting)
        assert resetting.reset == 8
