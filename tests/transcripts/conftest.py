"""A plane for recorded conversations: real HTTPS, real controllers, and a clock that does not make anybody wait."""

import contextlib
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from verger.embed import ControlPlane
from verger.watch.clock import SystemClock, Timer

from tests.background import running
from tests.transcripts.replay import Server

HASTE = 20.0
"""How much faster than the machine's the clock of the plane runs: a watch that was recorded for one second takes 50 ms."""


class HastyClock:
    """The machine's clock, except that waiting takes less."""

    def __init__(self) -> None:
        self._clock = SystemClock()

    def time(self) -> float:
        """Seconds since the epoch, as everywhere else: timestamps are compared with the replayer's own time."""
        return self._clock.time()

    def monotonic(self) -> float:
        """Seconds that run fast."""
        return self._clock.monotonic() * HASTE

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Timer:
        """A timer that fires early."""
        return self._clock.call_later(delay / HASTE, callback, *args)

    async def sleep(self, delay: float) -> None:
        """Waits for less than was asked for."""
        await self._clock.sleep(delay / HASTE)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A plane as the recordings want it: only token Secrets that a user has made are filled."""
    plane = ControlPlane(token_secrets="on-request", clock=HastyClock())
    with running(plane):
        context = ssl.create_default_context(cadata=plane.ca.decode())
        with contextlib.closing(Server(plane.url, plane.token, context)) as server:
            yield server
