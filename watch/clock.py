"""Time as a value that is passed in, so that tests are exact and instant.

Nothing in Verger reads the time, waits or sets a timer except through a Clock.
"""

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable
from typing import Any, Protocol


class Timer(Protocol):
    """A callback that will run unless it is cancelled first."""

    def cancel(self) -> None:
        """Makes sure that the callback does not run; harmless when it has."""


class Clock(Protocol):
    """The source of time."""

    def time(self) -> float:
        """Seconds since the epoch, as printed in timestamps."""

    def monotonic(self) -> float:
        """Seconds from some fixed point; never goes back. For durations and deadlines."""

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Timer:
        """Runs the callback on the event loop after `delay` seconds."""

    async def sleep(self, delay: float) -> None:
        """Waits for `delay` seconds."""


def complete(future: "asyncio.Future[None]") -> None:
    """Completes a future that may be done already: what timers do to those who wait."""
    if not future.done():
        future.set_result(None)


class SystemClock:
    """The machine's clock and the running event loop's timers."""

    def time(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """The machine's monotonic clock."""
        return time.monotonic()

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Timer:
        """A timer of the running loop."""
        return asyncio.get_running_loop().call_later(delay, callback, *args)

    async def sleep(self, delay: float) -> None:
        """Waits on the running loop."""
        await asyncio.sleep(delay)


class _FakeTimer:
    __slots__ = ("args", "callback", "cancelled")

    def __init__(self, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.callback = callback
        self.args = args
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class FakeClock:
    """A clock that stands still until `advance` moves it.

    Timers run in the order of their time, and among equal times in the order in which they were set; between two of
    them the event loop gets turns, so that what the first one woke has run before the second one fires.
    """

    # A woken task may wake another, and so on; chains in this code base are far shorter than this.
    _TURNS = 50

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._start = start
        self._elapsed = 0.0
        self._order = itertools.count()
        self._timers: list[tuple[float, int, _FakeTimer]] = []

    def time(self) -> float:
        """The start time plus what was advanced."""
        return self._start + self._elapsed

    def monotonic(self) -> float:
        """What was advanced so far."""
        return self._elapsed

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Timer:
        """A timer that fires inside `advance`."""
        timer = _FakeTimer(callback, args)
        heapq.heappush(self._timers, (self._elapsed + max(delay, 0.0), next(self._order), timer))
        return timer

    async def sleep(self, delay: float) -> None:
        """Waits until the clock was advanced that far."""
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        timer = self.call_later(delay, complete, woken)
        try:
            await woken
        finally:
            timer.cancel()

    def next_timer(self) -> float | None:
        """Seconds from now until the next timer fires, or None when none is set."""
        while self._timers and self._timers[0][2].cancelled:
            heapq.heappop(self._timers)
        return self._timers[0][0] - self._elapsed if self._timers else None

    async def advance(self, seconds: float = 0.0) -> None:
        """Moves time forward, running every timer that falls due, in order."""
        target = self._elapsed + seconds
        await self._turns()
        while (wait := self.next_timer()) is not None and self._elapsed + wait <= target:
            when, _, timer = heapq.heappop(self._timers)
            self._elapsed = max(self._elapsed, when)
            timer.callback(*timer.args)
            await self._turns()
        self._elapsed = target
        await self._turns()

    async def _turns(self) -> None:
        for _ in range(self._TURNS):
            await asyncio.sleep(0)
