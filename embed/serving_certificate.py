"""What a daemon proves with that it is itself: a certificate from files, or one that is made at start.

The key of one that is made is nowhere but in this process. Files are read again when they change.
"""

import ssl
import tempfile
from pathlib import Path
from typing import Final

from verger.embed.options import StartError
from verger.identity.certificates import Authority

_LOCAL: Final = ("localhost", "127.0.0.1", "::1")


class ServingCertificate:
    """TLS for the one port of a daemon. Raises StartError for files that cannot be used."""

    def __init__(
        self, certificate: Path | None, key: Path | None, *, host: str, now: float
    ) -> None:
        if (certificate is None) != (key is None):
            raise StartError("--tls-cert-file and --tls-private-key-file go together")
        self._files = (certificate, key) if certificate is not None and key is not None else None
        self._stamps = self._read_stamps()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        """Each handshake uses what was loaded last."""
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self._files is not None:
            self._load(*self._files)
        else:
            self._make(host, now)

    def _make(self, host: str, now: float) -> None:
        pair = Authority(now).server([*_LOCAL, host])
        # The library takes files only. Nobody else may read the folder, and it is gone at once.
        with tempfile.TemporaryDirectory(prefix="verger-") as folder:
            certificate, key = Path(folder) / "tls.crt", Path(folder) / "tls.key"
            certificate.write_bytes(pair.certificate)
            key.touch(mode=0o600)
            key.write_bytes(pair.key)
            self._load(certificate, key)

    def _load(self, certificate: Path, key: Path) -> None:
        try:
            # An empty password: without one, a key that has one would ask on the terminal.
            self.context.load_cert_chain(certificate, key, password="")
        except (OSError, ssl.SSLError) as error:
            raise StartError(
                f"--tls-cert-file: {certificate} and {key} are no certificate and key in PEM that belong together: "
                f"{error.strerror or error}"
            ) from None

    def changed(self) -> bool:
        """Whether one of the files is another one than when they were last read."""
        return self._read_stamps() != self._stamps

    def renew(self) -> None:
        """Loads what the files hold now. Raises StartError, and goes on with what was loaded before."""
        self._stamps = self._read_stamps()
        if self._files is not None:
            # Half a pair must not get into the context that is in use.
            ServingCertificate(*self._files, host="", now=0.0)
            self._load(*self._files)

    def _read_stamps(self) -> list[tuple[int, ...]]:
        stamps: list[tuple[int, ...]] = []
        for path in self._files or ():
            try:
                stat = path.stat()
            except OSError:
                stamps.append(())
            else:
                stamps.append((stat.st_mtime_ns, stat.st_size, stat.st_ino))
        return stamps
