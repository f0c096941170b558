"""A queue of keys that need work: each at most once, never two workers on one key, never forgotten after a failure.

Two sets carry it. `dirty` holds what needs work, `processing` what is being worked on. A key is queued when it is
dirty and not processing; one that becomes dirty while it is processed is queued again when it is done.
"""

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from typing import Final, Generic, NamedTuple, TypeVar

from verger.watch.clock import Clock, Timer, complete
from verger.watch.histogram import Histogram

K = TypeVar("K", bound=Hashable)

BACKOFF_FIRST = 0.005
BACKOFF_CAP = 1000.0
"""Seconds between the tries of one key: 5 ms doubling. upstream: DefaultControllerRateLimiter, per item."""

SECONDS: Final = (1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.1, 1.0, 10.0)
"""Buckets of the times that keys wait and are worked on. upstream: workqueue metrics"""


class QueueShutDown(Exception):
    """The queue was shut down and is empty: the worker's work is over."""


class QueueStatistics(NamedTuple):
    """A queue at one moment."""

    depth: int
    """Keys that wait for a worker."""
    processing: int
    delayed: int
    """Keys that wait for their time."""
    failing: int
    """Keys whose last try failed."""
    adds: int
    retries: int
    unfinished: float
    """Seconds for which the keys in work have been so, together."""
    longest: float
    """Seconds for which one of them has."""
    waited: Histogram
    """The seconds that keys have waited for a worker. It goes on being filled."""
    worked: Histogram
    """The seconds that workers took; likewise."""


class QueueView(NamedTuple, Generic[K]):
    """Some keys of a queue at one moment, those first that matter most."""

    queued: list[K]
    working: list[tuple[K, float]]
    """With the seconds for which it has been worked on."""
    delayed: list[tuple[K, float]]
    """With the seconds until its time has come."""
    failing: list[tuple[K, int]]
    """With the number of failures in a row."""


class _Times(Generic[K]):
    """Since when keys wait and are worked on, and how long that took with those that are done."""

    def __init__(self, clock: Clock) -> None:
        self._now = clock.monotonic
        self._added: dict[K, float] = {}
        self.began: dict[K, float] = {}
        self.waited = Histogram(SECONDS)
        self.worked = Histogram(SECONDS)

    def added(self, key: K) -> None:
        self._added[key] = self._now()

    def taken(self, key: K) -> None:
        now = self.began[key] = self._now()
        self.waited.add(now - self._added.pop(key))

    def done(self, key: K) -> None:
        began = self.began.pop(key, None)
        if began is not None:
            self.worked.add(self._now() - began)

    def working(self) -> list[tuple[K, float]]:
        """The keys in work, with their seconds, longest first."""
        now = self._now()
        return sorted(
            ((key, now - began) for key, began in self.began.items()), key=lambda pair: -pair[1]
        )


class WorkQueue(Generic[K]):
    """Keys in order of arrival, with delays and a backoff for each key.

    Guarantees: fair (first come, first served), stingy (a key is held once), single (never two workers on one key),
    and patient (a failing key is tried for ever).
    """

    def __init__(
        self, clock: Clock, *, first: float = BACKOFF_FIRST, cap: float = BACKOFF_CAP
    ) -> None:
        self._clock = clock
        self._first = first
        self._cap = cap
        self._queue: deque[K] = deque()
        self._dirty: set[K] = set()
        self._processing: set[K] = set()
        self._failures: dict[K, int] = {}
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._order = itertools.count()
        self._timer: Timer | None = None
        self._timer_at = 0.0
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._idle_waiters: list[asyncio.Future[None]] = []
        self._shut_down = False
        self._adds = 0
        self._retries = 0
        self._times: _Times[K] = _Times(clock)

    def add(self, key: K) -> None:
        """Says that the key needs work."""
        if key in self._dirty or self._shut_down:
            return
        self._adds += 1
        self._times.added(key)
        self._dirty.add(key)
        if key not in self._processing:
            self._queue.append(key)
            self._wake_one()

    def add_after(self, key: K, delay: float = 0.0) -> None:
        """Adds the key after `delay` seconds. Of two delays of one key the one that ends earlier counts."""
        if self._shut_down:
            return
        if delay <= 0:
            self.add(key)
            return
        due = self._clock.monotonic() + delay
        if (known := self._due.get(key)) is not None and known <= due:
            return
        self._due[key] = due
        heapq.heappush(self._heap, (due, next(self._order), key))
        self._arm()

    def add_backoff(self, key: K) -> float:
        """Adds the key after its own backoff, which doubles with each failure; returns that delay in seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        self._retries += 1
        # 60 doublings exceed any cap; a larger exponent would overflow a float one day.
        delay = min(self._first * 2.0 ** min(failures, 60), self._cap)
        self.add_after(key, delay)
        return delay

    def forget(self, key: K) -> None:
        """Ends the key's backoff: its next failure is the first one again."""
        self._failures.pop(key, None)

    def failures(self, key: K) -> int:
        """How often the key has failed since it was last forgotten."""
        return self._failures.get(key, 0)

    async def get(self) -> K:
        """The next key. Call `done` with it when finished. Raises QueueShutDown at the end."""
        while not self._queue:
            if self._shut_down:
                raise QueueShutDown
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except BaseException:
                # A wake-up that came together with the cancellation belongs to the next in line.
                if waiter.done() and not waiter.cancelled() and self._queue:
                    self._wake_one()
                raise
            finally:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)
        key = self._queue.popleft()
        self._processing.add(key)
        self._dirty.discard(key)
        self._times.taken(key)
        return key

    def done(self, key: K) -> None:
        """Ends the work on a key that `get` returned."""
        self._processing.discard(key)
        self._times.done(key)
        if key in self._dirty:
            self._queue.append(key)
            self._wake_one()
        elif self._idle_waiters and self.is_idle:
            for waiter in self._idle_waiters:
                complete(waiter)
            self._idle_waiters.clear()

    @asynccontextmanager
    async def work(self) -> AsyncIterator[K]:
        """`get` and, whatever happens, `done`."""
        key = await self.get()
        try:
            yield key
        finally:
            self.done(key)

    def shut_down(self) -> None:
        """Takes nothing more in. What is queued can still be fetched; then workers get QueueShutDown."""
        self._shut_down = True
        self._due.clear()
        self._heap.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiters:
            self._wake_one()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is queued and nothing is being worked on; delayed keys do not count."""
        return not self._queue and not self._processing

    async def idle(self) -> None:
        """Waits until nothing is queued and nothing is being worked on."""
        while not self.is_idle:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._idle_waiters.append(waiter)
            await waiter

    def statistics(self) -> QueueStatistics:
        """The queue at this moment."""
        working = [seconds for _, seconds in self._times.working()]
        return QueueStatistics(
            depth=len(self._queue),
            processing=len(self._processing),
            delayed=len(self._due),
            failing=len(self._failures),
            adds=self._adds,
            retries=self._retries,
            unfinished=sum(working),
            longest=max(working, default=0.0),
            waited=self._times.waited,
            worked=self._times.worked,
        )

    def view(self, limit: int) -> QueueView[K]:
        """What is in it at this moment, at most `limit` keys of each sort."""
        now = self._clock.monotonic()
        delayed = heapq.nsmallest(limit, self._due.items(), key=lambda item: item[1])
        return QueueView(
            list(itertools.islice(self._queue, limit)),
            self._times.working()[:limit],
            [(key, max(due - now, 0.0)) for key, due in delayed],
            heapq.nlargest(limit, self._failures.items(), key=lambda item: item[1]),
        )

    def processing(self) -> list[K]:
        """The keys that are being worked on."""
        return list(self._processing)

    def _wake_one(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _arm(self) -> None:
        # An entry of the heap counts only while `_due` still names its time: an earlier time made it void.
        while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        if not self._heap:
            return
        due = self._heap[0][0]
        if self._timer is not None:
            if self._timer_at <= due:
                return
            self._timer.cancel()
        self._timer_at = due
        self._timer = self._clock.call_later(due - self._clock.monotonic(), self._fire)

    def _fire(self) -> None:
        self._timer = None
        # The loop's timer may fire a clock tick early; what is due within that tick is due.
        now = max(self._clock.monotonic(), self._timer_at)
        while self._heap and self._heap[0][0] <= now:
            due, _, key = heapq.heappop(self._heap)
            if self._due.get(key) == due:
                del self._due[key]
                self.add(key)
        self._arm()
