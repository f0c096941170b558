"""The page: the engine served to a browser on this machine, with nothing from outside.

Buttons break things, so nobody else may press them: the server listens on loopback alone, its path cannot be guessed,
the Host has to be its own (a name that somebody else resolves to this machine is not), and what changes something has to
come from the page itself.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import orjson
from aiohttp import web
from verger.demo.engine import Engine
from verger.demo.stage import Refused
from verger.demo.tour import STEPS

HOST: Final = "127.0.0.1"
READERS_MAX: Final = 16
"""Browsers that are told of every frame at a time."""
_BODY_MAX: Final = 4096
_PAGE: Final = Path(__file__).parent / "page"
_TYPES: Final = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class PortTaken(Exception):
    """Somebody else listens there."""


class Page:
    """Serves one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._secret = secrets.token_urlsafe(16)
        self._files = {
            path.name: path.read_bytes() for path in _PAGE.iterdir() if path.suffix in _TYPES
        }
        self._authorities: frozenset[str] = frozenset()
        self._readers: set[asyncio.Task[Any]] = set()

    @asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator[str]:
        """Serves on loopback; yields the address of the page. Raises PortTaken."""
        app = web.Application(middlewares=[self._guarded], client_max_size=_BODY_MAX)
        root = f"/{self._secret}"
        app.router.add_get(f"{root}/", self._index)
        app.router.add_get(f"{root}/events", self._events)
        for name, answer in self._questions().items():
            app.router.add_get(f"{root}/{name}", _asked(answer))
        app.router.add_post(f"{root}/act", self._act)
        app.router.add_post(f"{root}/tour", self._tour)
        app.router.add_get(f"{root}/{{file}}", self._file)
        # Whoever closes the page is heard of at once, and not with the next frame but one.
        runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=0.5, handler_cancellation=True
        )
        await runner.setup()
        try:
            site = web.TCPSite(runner, HOST, port)
            try:
                await site.start()
            except OSError as error:
                raise PortTaken(f"cannot listen on port {port}: {error.strerror}") from None
            port = runner.addresses[0][1]
            self._authorities = frozenset({f"{HOST}:{port}", f"localhost:{port}"})
            yield f"http://{HOST}:{port}{root}/"
        finally:
            for reader in self._readers:
                reader.cancel()
            await runner.cleanup()

    # Who may

    @web.middleware
    async def _guarded(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        try:
            self._check(request)
            answer = await handler(request)
        except web.HTTPException as error:
            error.headers.update(_HEADERS)
            raise
        except Refused as refused:
            answer = _json({"refused": str(refused)}, status=409)
        if not answer.prepared:
            answer.headers.update(_HEADERS)
        return answer

    def _check(self, request: web.Request) -> None:
        """Raises HTTPForbidden."""
        if request.host not in self._authorities:
            raise web.HTTPForbidden(text="This is not the host that you are looking for.\n")
        origin = request.headers.get("Origin", "")
        own = origin.removeprefix("http://") in self._authorities
        if (origin and not own) or (request.method not in ("GET", "HEAD") and not own):
            raise web.HTTPForbidden(text="Only the page itself may do that.\n")
        if request.method == "POST" and request.content_type != "application/json":
            raise web.HTTPUnsupportedMediaType(text="JSON, please.\n")

    # What is there

    async def _index(self, request: web.Request) -> web.Response:
        return self._answer("index.html")

    async def _file(self, request: web.Request) -> web.Response:
        return self._answer(request.match_info["file"])

    def _answer(self, name: str) -> web.Response:
        content = self._files.get(name)
        if content is None:
            raise web.HTTPNotFound(text="There is no such thing.\n")
        return web.Response(body=content, content_type=_TYPES[Path(name).suffix], charset="utf-8")

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """Frames as server-sent events, for as long as somebody reads them."""
        task = asyncio.current_task()
        if task is None or len(self._readers) >= READERS_MAX:
            raise web.HTTPServiceUnavailable(text="Too many look at this already.\n")
        answer = web.StreamResponse(headers={**_HEADERS, "Content-Type": "text/event-stream"})
        self._readers.add(task)
        try:
            await answer.prepare(request)
            async for frame in self._engine.frames():
                await answer.write(b"data: " + orjson.dumps(frame) + b"\n\n")
        except (ConnectionError, asyncio.CancelledError):
            pass  # whoever looked has gone, or the page goes
        finally:
            self._readers.discard(task)
        return answer

    def _questions(self) -> Mapping[str, Callable[[Mapping[str, str]], Any]]:
        engine = self._engine
        return {
            "about": lambda _: {
                "actions": engine.actions,
                "controllers": dict(engine.controllers),
                "tour": [step.title for step in STEPS],
            },
            "timeline": lambda asked: engine.timeline(
                asked["side"], after=_number(asked, "after", 0), limit=_number(asked, "limit", 200)
            ),
            "at": lambda asked: engine.at(asked["side"], _number(asked, "revision")),
            "difference": lambda asked: engine.difference(
                asked["side"], _number(asked, "one"), _number(asked, "other")
            ),
            "why": lambda asked: engine.why(
                asked["side"],
                asked["resource"],
                asked["key"],
                _number(asked, "revision") if "revision" in asked else None,
            ),
        }

    async def _act(self, request: web.Request) -> web.Response:
        asked = await _body(request)
        await self._engine.act(str(asked.get("name", "")), str(asked.get("target", "")))
        return _json({})

    async def _tour(self, request: web.Request) -> web.Response:
        asked = await _body(request)
        tour = self._engine.tour
        match asked.get("do"):
            case "start":
                await tour.start(auto=asked.get("auto", True) is True)
            case "next":
                tour.next()
            case "stop":
                await tour.stop()
            case _:
                raise Refused("a tour is started, goes on, or is stopped")
        return _json({})


def _asked(answer: Callable[[Mapping[str, str]], Any]) -> _Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        try:
            return _json(answer(request.query))
        except (KeyError, ValueError) as error:
            raise web.HTTPBadRequest(
                text=f"Something is missing, or no number: {error}\n"
            ) from None

    return handler


def _number(asked: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = asked.get(name, default)
    if text is None:
        raise KeyError(name)
    number = int(text)
    if abs(number) >= 2**53:
        raise ValueError(name)
    return number


async def _body(request: web.Request) -> Mapping[str, Any]:
    with suppress(orjson.JSONDecodeError):
        found = orjson.loads(await request.read())
        if isinstance(found, dict):
            return found
    raise web.HTTPBadRequest(text="An object in JSON, please.\n")


def _json(value: Any, *, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json")
