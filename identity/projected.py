"""A file that always holds a valid token of an account: what a kubelet does for the pods of its node.

A reader sees one whole token or the next one, never half of one: the file is a link into a folder that is swapped in
one step. A token is renewed when four fifths of its life are over, or after a day. While the server cannot be reached
the file keeps the last token, and the next try follows with growing patience.

upstream: pkg/kubelet/token/token_manager.go, pkg/volume/util/atomic_writer.go
"""

import contextlib
import os
import secrets
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from verger.watch.chance import CHANCE
from verger.watch.clock import Clock

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

RENEW_AT: Final = 0.8
"""The part of its life after which a token is renewed."""
RENEW_AFTER: Final = 24 * 3600.0
JITTER: Final = 10.0
"""Seconds, so that many of us do not renew at once."""
RETRY_FIRST: Final = 1.0
RETRY_MAX: Final = 60.0


class Issued(NamedTuple):
    """A token, and until when it is good, in seconds since the epoch."""

    token: str
    expires: float

    def __repr__(self) -> str:
        return f"Issued(expires={self.expires})"


Fetch = Callable[[], Awaitable[Issued]]
"""Asks for a token. Raises an Exception when there is none to be had."""


class ProjectedToken:
    """Keeps the file."""

    def __init__(self, fetch: Fetch, path: Path, clock: Clock, log: "FilteringBoundLogger") -> None:
        self._fetch = fetch
        self._path = path
        self._clock = clock
        self._log = log

    async def run(self) -> None:
        """Keeps the token fresh until it is cancelled. Raises OSError when the file cannot be written."""
        while True:
            issued = await self._fetched()
            write_token(self._path, issued.token)
            now = self._clock.time()
            life = max(0.0, issued.expires - now)
            wait = min(life * RENEW_AT, RENEW_AFTER) - CHANCE.uniform(0, min(JITTER, life / 10))
            self._log.info(
                "token written", path=str(self._path), life=int(life), renewed_in=int(wait)
            )
            await self._clock.sleep(max(wait, RETRY_FIRST))

    async def _fetched(self) -> Issued:
        delay = RETRY_FIRST
        while True:
            try:
                return await self._fetch()
            except Exception as error:
                # Whatever is wrong, the pod needs its token: nothing is final here.
                self._log.warning("no token yet", error=str(error), again_in=delay)
            await self._clock.sleep(delay)
            delay = min(delay * 2, RETRY_MAX)


def write_token(path: Path, token: str) -> None:
    """Puts a token into a file that only its owner may read, in one step. Raises OSError.

    The folder holds `..NAME.data`, a link to a folder of this version, and the file is a link through it.
    """
    folder = path.parent
    folder.mkdir(parents=True, exist_ok=True)
    version = folder / f"..{secrets.token_hex(8)}"
    version.mkdir(mode=0o700)
    current = folder / f"..{path.name}.data"
    before = _link(current)
    try:
        handle = os.open(version / path.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(token)
        _swap(current, version.name)
    except OSError:
        shutil.rmtree(version, ignore_errors=True)
        raise
    wanted = f"{current.name}/{path.name}"
    if _link(path) != wanted:
        _swap(path, wanted)
    if before is not None and before.startswith("..") and "/" not in before:
        shutil.rmtree(folder / before, ignore_errors=True)


def _link(path: Path) -> str | None:
    try:
        return os.readlink(path)
    except OSError:
        return None


def _swap(link: Path, target: str) -> None:
    """Makes a link point elsewhere; there is no moment in which it points nowhere."""
    temporary = link.with_name(f"{link.name}.{secrets.token_hex(4)}")
    temporary.symlink_to(target)
    try:
        temporary.replace(link)
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise
