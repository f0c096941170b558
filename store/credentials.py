"""As whom a client speaks to a cluster: tokens, passwords and certificates, given or in files that change.

Nothing here shows a secret: neither a repr nor an error has one. Files are read again when they have changed, but
looked at once a minute at most, or when the server has refused what they said.
"""

import base64
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from verger.watch.clock import Clock

LOOK_PERIOD: Final = 60.0
"""Seconds between looks whether a file has changed. upstream: client-go reads token files once a minute"""
_TOKEN_MAX: Final = 1 << 20


class KubeconfigError(Exception):
    """How to reach the cluster, or as whom, is not to be had; the message says where it stands, and what to do."""


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A certificate (with the chain behind it) and its private key, in PEM."""

    certificate: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Credential:
    """What a request shows."""

    authorization: str = field(default="", repr=False)
    """The value of the header of that name, empty for none."""
    certificate: ClientCertificate | None = None


class Credentials(Protocol):
    """A source of credentials. As long as one stays the same, `current` returns the same object."""

    async def current(self) -> Credential:
        """What to show now. Raises KubeconfigError."""

    def refused(self, credential: Credential) -> bool:
        """Told that the server answered 401 to it. Whether `current` has, or may get, something else to show."""


def bearer(token: str, where: str) -> str:
    """The header that shows a token. `where` says in errors where the token comes from. Raises KubeconfigError."""
    token = token.strip()
    if not token:
        raise KubeconfigError(f"{where} is empty; a token has to stand there")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise KubeconfigError(f"{where} holds no token: there are blanks or odd characters in it")
    return f"Bearer {token}"


def basic(username: str, password: str) -> str:
    """The header that shows a name and a password."""
    return f"Basic {base64.b64encode(f'{username}:{password}'.encode()).decode()}"


class Fixed:
    """Credentials that never change."""

    def __init__(self, credential: Credential) -> None:
        self._credential = credential

    async def current(self) -> Credential:
        """What was given."""
        return self._credential

    def refused(self, credential: Credential) -> bool:
        """There is nothing else."""
        return False


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a credential: a file, or what stands in its place."""

    what: str
    """How errors call it."""
    data: bytes = field(default=b"", repr=False)
    """What is shown when there is no file, or as long as it cannot be read."""
    path: Path | None = None

    def read(self) -> bytes:
        """The content. Raises KubeconfigError."""
        if self.path is None:
            return self.data
        try:
            with self.path.open("rb") as file:
                content = file.read(_TOKEN_MAX + 1)
        except OSError as error:
            if self.data:
                return self.data
            raise KubeconfigError(
                f"{self.what}: cannot read {self.path}: {error.strerror or error}"
            ) from None
        if len(content) > _TOKEN_MAX:
            raise KubeconfigError(f"{self.what}: {self.path} is too large to be what it should be")
        return content

    def stamp(self) -> "_Stamp | None":
        """What changes when the file does."""
        if self.path is None:
            return None
        try:
            found = self.path.stat()
        except OSError:
            return None
        # Mounted volumes exchange files behind a link: the new one may be as old and as long as the one before.
        return _Stamp(found.st_ino, found.st_mtime_ns, found.st_size)


class _Stamp(NamedTuple):
    inode: int
    changed: int
    size: int


class Files:
    """A token, a certificate with its key, or both, of which some parts stand in files.

    A file that has become unreadable, or that holds nothing sensible, changes nothing: the last good content stays.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        authorization: str = "",
        token: Part | None = None,
        certificate: tuple[Part, Part] | None = None,
    ) -> None:
        self._clock = clock
        self._authorization = authorization
        self._token = token
        self._certificate = certificate
        self._parts = [part for part in (token, *(certificate or ())) if part is not None]
        self._stamps: list[_Stamp | None] = []
        self._credential: Credential | None = None
        self._look_at = 0.0

    async def current(self) -> Credential:
        """What the files said when they were last looked at. Raises KubeconfigError when they never said anything."""
        if self._credential is None:
            self._stamps = [part.stamp() for part in self._parts]
            self._credential = self._read()
            self._look_at = self._clock.monotonic() + LOOK_PERIOD
        elif self._clock.monotonic() >= self._look_at:
            self._look(self._credential)
        return self._credential

    def refused(self, credential: Credential) -> bool:
        """Looks at the files at once."""
        if self._credential is not None and self._credential is credential:
            self._look(self._credential)
        return self._credential is not credential

    def _look(self, before: Credential) -> None:
        self._look_at = self._clock.monotonic() + LOOK_PERIOD
        # The stamps first: a change after them is noticed at the next look.
        stamps = [part.stamp() for part in self._parts]
        if stamps == self._stamps:
            return
        try:
            after = self._read()
        except KubeconfigError:
            return
        self._stamps = stamps
        if after != before:
            self._credential = after

    def _read(self) -> Credential:
        authorization = self._authorization
        if (token := self._token) is not None:
            where = token.what if token.path is None else f"{token.what} {token.path}"
            authorization = bearer(token.read().decode(errors="replace"), where)
        pair = None
        if self._certificate is not None:
            certificate, key = self._certificate
            pair = ClientCertificate(certificate.read(), key.read())
        return Credential(authorization, pair)
