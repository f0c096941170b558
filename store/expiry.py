"""Objects that go by themselves: Events, some time after they were last written.

An object stays at least its time, and at most one look longer. A write gives it its time anew. Nothing is remembered of
single objects: which revision was the newest one when its time began says which objects are older.

upstream: --event-ttl; there the database lets go of them
"""

from collections import deque
from typing import Final

from verger.store.backend import Backend, Row
from verger.watch.clock import Clock

EVENT_TTL: Final = 3600.0
"""Seconds."""
EVENTS: Final = "events"
_PERIOD: Final = 60.0
_LOOKS: Final = 10
"""In the time of an object, at least: what lives for a short time must not stay for a minute more."""


class Expiry:
    """Removes the objects of one resource `ttl` seconds after they were written; 0 keeps them for ever."""

    def __init__(self, backend: Backend, clock: Clock, *, resource: str, ttl: float) -> None:
        self._backend = backend
        self._clock = clock
        self._resource = resource
        self._ttl = ttl
        self._marks: deque[tuple[float, int]] = deque()
        """When which revision was the newest, oldest first."""

    async def run(self) -> None:
        """Looks from time to time."""
        period = min(_PERIOD, self._ttl / _LOOKS) or _PERIOD
        while True:
            self.look()
            await self._clock.sleep(period)

    def look(self) -> None:
        """Removes what has had its time."""
        if not self._ttl:
            return
        now = self._clock.monotonic()
        expired = 0
        while self._marks and self._marks[0][0] <= now - self._ttl:
            expired = self._marks.popleft()[1]
        self._marks.append((now, self._backend.revision))
        if expired:
            self._remove_until(expired)

    def _remove_until(self, revision: int) -> None:
        def is_old(row: Row) -> bool:
            return row.revision <= revision

        for row in self._backend.list(self._resource, match=is_old).rows:
            self._backend.remove(self._resource, row.key, expected=row.revision)
