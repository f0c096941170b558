"""A web server that knows nothing of Kubernetes: it serves the files of a folder, over HTTPS."""

import contextlib
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from verger.identity.certificates import Authority

DEADLINE = 30.0
_TYPES = {"jwks": "application/jwk-set+json", "openid-configuration": "application/json"}


@dataclass(frozen=True)
class Host:
    """Where the files are served, and who vouches for that."""

    url: str
    folder: Path
    authority: Path
    asked: list[str] = field(default_factory=list)
    """The paths that were asked for."""

    def context(self) -> ssl.SSLContext:
        """TLS for a client that trusts the host."""
        return ssl.create_default_context(cafile=str(self.authority))


class _Files(SimpleHTTPRequestHandler):
    def __init__(self, asked: list[str], folder: str, *rest: object) -> None:
        self._asked = asked
        super().__init__(*rest, directory=folder)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        self._asked.append(self.path)
        if self.path.startswith("/moved/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/moved"))
            self.end_headers()
            return
        super().do_GET()

    def guess_type(self, path: object) -> str:
        return _TYPES.get(Path(str(path)).name, "text/plain")

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


@contextlib.contextmanager
def static_host(folder: Path, now: float) -> Iterator[Host]:
    """Serves `folder/site` as long as it is needed."""
    authority = Authority(now)
    pair = authority.server(["127.0.0.1"])
    certificate, key, ca = folder / "host.crt", folder / "host.key", folder / "host-ca.crt"
    certificate.write_bytes(pair.certificate)
    key.write_bytes(pair.key)
    ca.write_bytes(authority.certificate)
    site = folder / "site"
    site.mkdir()
    asked: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Files, asked, str(site)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Host(f"https://127.0.0.1:{server.server_port}", site, ca, asked)
    finally:
        server.shutdown()
        thread.join(DEADLINE)
        server.server_close()
