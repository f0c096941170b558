"""The daemon's own port, over HTTPS alone: health, which everybody may see; metrics and what the controllers are about,
which the API server says who may.

Health is for whoever keeps the process running; it says which check fails, and not why.
"""

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from verger.apiserver.documents import CONTROLLERS
from verger.apiserver.health import ENDPOINTS, Health
from verger.apiserver.metrics import CONTENT_TYPE, Metrics
from verger.embed.delegation import Delegation, Refused
from verger.embed.options import StartError


class Listener:
    """Answers those who ask how the daemon is."""

    def __init__(
        self,
        health: Health,
        metrics: Metrics,
        view: Callable[[], str],
        delegation: Delegation,
    ) -> None:
        """`view` tells what the controllers are about, in JSON."""
        self._health = health
        self._metrics = metrics
        self._view = view
        self._delegation = delegation

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """One answer."""
        if request.method not in ("GET", "HEAD"):
            return _text(405, "Method Not Allowed")
        path = request.path
        authorization = request.headers.get("Authorization", "")
        try:
            await self._delegation.check(authorization, request.method.lower(), path)
        except Refused as refused:
            answer = _text(refused.code, str(refused))
            if refused.code == 401:
                answer.headers["WWW-Authenticate"] = "Bearer"
            elif refused.code == 429:
                answer.headers["Retry-After"] = "1"
            return answer
        if path == "/metrics":
            return web.Response(body=self._metrics.text(), headers={"Content-Type": CONTENT_TYPE})
        if path == CONTROLLERS:
            return web.Response(text=self._view(), content_type="application/json")
        if f"/{path.split('/')[1]}" in ENDPOINTS:
            report = self._health.report(
                path,
                verbose="verbose" in request.query,
                exclude=request.query.getall("exclude", []),
            )
            if report is not None:
                headers = {"X-Content-Type-Options": "nosniff"}
                return web.Response(status=report.code, text=report.text, headers=headers)
        return _text(404, "404 page not found")

    @asynccontextmanager
    async def listening(self, host: str, port: int, context: ssl.SSLContext) -> AsyncIterator[str]:
        """Serves at an address; its URL. Raises StartError."""
        runner = web.ServerRunner(web.Server(self.answer, access_log=None), shutdown_timeout=1.0)
        await runner.setup()
        try:
            site = web.TCPSite(runner, host, port, ssl_context=context)
            try:
                await site.start()
            except OSError as error:
                raise StartError(
                    f"cannot listen on {host}:{port}: {error.strerror or error}; choose another --secure-port, or 0 for none"
                ) from None
            yield f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
        finally:
            await runner.cleanup()


def _text(status: int, text: str) -> web.Response:
    return web.Response(
        status=status, text=f"{text}\n", headers={"X-Content-Type-Options": "nosniff"}
    )
