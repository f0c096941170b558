"""A clock whose time of day can jump, as when a machine is set right: durations and timers do not notice."""

from collections.abc import Callable
from typing import Any

from verger.watch.clock import Clock, Timer


class ShiftedClock:
    """Another clock, some seconds off."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.shift = 0.0
        """Seconds that the time of day is ahead of the other clock's."""

    def time(self) -> float:
        """Seconds since the epoch, shifted."""
        return self._clock.time() + self.shift

    def monotonic(self) -> float:
        """As the other clock."""
        return self._clock.monotonic()

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Timer:
        """As the other clock."""
        return self._clock.call_later(delay, callback, *args)

    async def sleep(self, delay: float) -> None:
        """As the other clock."""
        await self._clock.sleep(delay)
