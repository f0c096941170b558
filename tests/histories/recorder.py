"""Where all participants of a run meet: the record, its clock, and the choices of a seed."""

import asyncio
from collections.abc import Callable
from random import Random

from verger.watch.clock import FakeClock

from tests.histories.history import History, Object, revision_of
from tests.histories.wire import Server


class Recorder:
    """Counts moments, and keeps what was seen in the order in which it was seen."""

    def __init__(self, server: Server, clock: FakeClock, *, seed: int, start: int) -> None:
        self.server = server
        self.history = History(seed=seed, start=start)
        self.quiet = False
        """Whether nobody cuts connections any more."""
        self._clock = clock
        self._advancing = asyncio.Lock()
        self._now = 0
        self._known = [start]
        self.newest = start
        """The newest revision that somebody has seen."""
        self._moved = asyncio.Event()

    def random(self, name: str) -> Random:
        """The choices of one participant, which depend on nobody else."""
        return Random(f"{self.history.seed}/{name}")

    def tick(self) -> int:
        """The next moment; those who wait for something look whether it has come."""
        self._now += 1
        self._moved.set()
        return self._now

    async def until(self, reached: Callable[[], bool]) -> None:
        """Waits for something that the participants do."""
        while not reached():
            self._moved.clear()
            await self._moved.wait()

    async def advance(self, seconds: float) -> None:
        """Moves the plane's clock; one at a time."""
        async with self._advancing:
            await self._clock.advance(seconds)

    def learn(self, obj: Object) -> None:
        """Remembers a revision that somebody has seen."""
        if revision := revision_of(obj):
            self._known.append(revision)
            self.newest = max(self.newest, revision)

    def past(self, random: Random) -> int:
        """Some revision that has been seen, rather a new one than an old one."""
        return random.choice(self._known[-random.choice((5, 50, 500)) :])
