"""The daemon's own port: /healthz, /livez, /readyz and /metrics over HTTPS, and nothing else.

What it says holds no secret. Health is for whoever keeps the process running; it says which check fails, and not why.
"""

import ssl
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from verger.apiserver.health import ENDPOINTS, Health
from verger.apiserver.metrics import CONTENT_TYPE, Metrics
from verger.embed.options import StartError
from verger.identity.certificates import Authority, server_context
from verger.watch.clock import Clock


class Listener:
    """Answers those who ask how the daemon is."""

    def __init__(self, health: Health, metrics: Metrics) -> None:
        self._health = health
        self._metrics = metrics

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """One answer."""
        if request.method not in ("GET", "HEAD"):
            return web.Response(status=405, text="Method Not Allowed\n")
        if request.path == "/metrics":
            return web.Response(body=self._metrics.text(), headers={"Content-Type": CONTENT_TYPE})
        if f"/{request.path.split('/')[1]}" in ENDPOINTS:
            report = self._health.report(
                request.path,
                verbose="verbose" in request.query,
                exclude=request.query.getall("exclude", []),
            )
            if report is not None:
                headers = {"X-Content-Type-Options": "nosniff"}
                return web.Response(status=report.code, text=report.text, headers=headers)
        return web.Response(status=404, text="404 page not found\n")

    @asynccontextmanager
    async def listening(self, host: str, port: int, clock: Clock) -> AsyncIterator[str]:
        """Serves at an address, with a certificate that is made for it; its URL. Raises StartError."""
        runner = web.ServerRunner(web.Server(self.answer, access_log=None), shutdown_timeout=1.0)
        await runner.setup()
        try:
            site = web.TCPSite(runner, host, port, ssl_context=_context(host, clock))
            try:
                await site.start()
            except OSError as error:
                raise StartError(
                    f"cannot listen on {host}:{port}: {error.strerror or error}; choose another --secure-port, or 0 for none"
                ) from None
            yield f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
        finally:
            await runner.cleanup()


def _context(host: str, clock: Clock) -> ssl.SSLContext:
    authority = Authority(clock.time())
    pair = authority.server(["localhost", "127.0.0.1", "::1", host])
    with tempfile.TemporaryDirectory(prefix="verger-") as folder:
        certificate, key = Path(folder) / "tls.crt", Path(folder) / "tls.key"
        certificate.write_bytes(pair.certificate)
        key.touch(mode=0o600)
        key.write_bytes(pair.key)
        return server_context(certificate, key, authority.certificate)
