"""When a request may start, and how long it may take: both by a Clock, so that tests need not wait.

A token that was taken is spent, unless its taker went away before the time had come.
"""

import asyncio
from types import TracebackType
from typing import Self

from verger.watch.clock import Clock, Timer


class TokenBucket:
    """Lets `qps` requests a second start on average, and `burst` at once. First come, first served."""

    def __init__(self, clock: Clock, *, qps: float, burst: int) -> None:
        self._clock = clock
        self._qps = qps
        """0 for no limit."""
        self._burst = float(max(burst, 1))
        self._tokens = self._burst
        self._counted_at = clock.monotonic()

    async def take(self) -> None:
        """Returns when the request may start."""
        if self._qps <= 0:
            return
        self.spend()
        if self._tokens >= 0:
            return
        # Who comes later finds a deeper debt and waits longer: the order is kept without a queue.
        try:
            await self._clock.sleep(-self._tokens / self._qps)
        except asyncio.CancelledError:
            self._tokens += 1
            raise

    def spend(self) -> None:
        """For a request that cannot wait: it starts now, and those that come later wait for it."""
        self._count()
        self._tokens -= 1

    def hold(self, seconds: float) -> None:
        """Nobody who comes from now on starts within these seconds: the server has said that it has too much to do."""
        self._count()
        self._tokens = min(self._tokens, 1 - seconds * self._qps)

    def _count(self) -> None:
        now = self._clock.monotonic()
        self._tokens = min(self._tokens + (now - self._counted_at) * self._qps, self._burst)
        self._counted_at = now


class Deadline:
    """`with Deadline(clock, seconds):` raises TimeoutError when what stands in it has not ended by then.

    As asyncio.timeout, but by a Clock: the task is cancelled, and that cancellation is turned into TimeoutError; any
    other passes.
    """

    __slots__ = ("_cancelling", "_clock", "_expired", "_seconds", "_task", "_timer")

    def __init__(self, clock: Clock, seconds: float | None) -> None:
        self._clock = clock
        self._seconds = seconds
        self._expired = False
        self._timer: Timer | None = None
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0

    def __enter__(self) -> Self:
        if self._seconds is not None:
            self._task = asyncio.current_task()
            self._cancelling = self._task.cancelling() if self._task is not None else 0
            self._timer = self._clock.call_later(self._seconds, self._expire)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        # Its own cancellation is taken back; when somebody else has asked for one as well, that one goes on.
        if (
            self._expired
            and self._task is not None
            and self._task.uncancel() <= self._cancelling
            and exc_type is not None
            and issubclass(exc_type, asyncio.CancelledError)
        ):
            raise TimeoutError from None

    def _expire(self) -> None:
        self._expired = True
        if self._task is not None:
            self._task.cancel()
