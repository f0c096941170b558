"""Concurrent clients and watchers of one plane, and the record of everything that they saw.

All choices come from one seed. Time is the plane's own fake clock, moved by the traffic itself; the sockets, the
TLS and the interleaving of clients are real.
"""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final

from verger.embed import ControlPlane
from verger.store.memory import MemoryBackend
from verger.watch.clock import FakeClock

from tests.histories.clients import KEYS, SELECTIONS, Client, Profile
from tests.histories.history import TRUTH, Compaction, History, Selection, Session, Start
from tests.histories.recorder import Recorder
from tests.histories.replay import Replay
from tests.histories.watchers import Watcher
from tests.histories.wire import Server

STARTS: Final[tuple[Start, ...]] = ("marked", "state", "after", "tail")
_FOREVER: Final = 1e12
"""Seconds: history goes when the traffic compacts it, and not by age."""

EVERYTHING: Final = Profile(
    weights={
        "create": 16,
        "update": 14,
        "overwrite": 6,
        "touch": 4,
        "recolor": 12,
        "json_patch": 8,
        "hold": 5,
        "release": 8,
        "delete": 9,
        "delete_known": 7,
        "increment": 8,
        "get": 8,
        "get_future": 2,
        "list_now": 5,
        "list_pages": 6,
        "list_past": 4,
    }
)
"""Ten objects, and all that can be done with them."""
CONTENTION: Final = replace(
    EVERYTHING,
    steps=30,
    watchers=2,
    keys=KEYS[:1],
    weights={
        "create": 6,
        "increment": 10,
        "hold": 4,
        "delete": 5,
        "delete_known": 5,
        "release": 8,
        "update": 3,
    },
)
"""One counter, and one object that all create, hold, release and delete."""


Beside = Callable[[Server], Coroutine[Any, Any, None]]
"""Something that happens to the server while others use it."""


@asynccontextmanager
async def started() -> AsyncIterator[tuple[ControlPlane, FakeClock]]:
    """A plane of one's own, whose time stands still; nothing writes but its clients, and no history goes by age."""
    # TLS compares the certificate with the real time; nothing else depends on where this clock begins.
    clock = FakeClock(time.time())
    async with ControlPlane(controllers=(), clock=clock, history_window=_FOREVER) as plane:
        yield plane, clock


async def record(seed: int, profile: Profile = EVERYTHING, beside: Beside | None = None) -> History:
    """Runs a plane under the traffic of a seed, and returns what was seen."""
    async with started() as (plane, clock):
        backend = backend_of(plane)
        recorder = Recorder(Server.of(plane), clock, seed=seed, start=backend.revision)
        return await _Traffic(recorder, backend, profile).run(beside)


def backend_of(plane: ControlPlane) -> MemoryBackend:
    """The store of a plane, to compact its history."""
    backend = plane._started().registry.backend
    assert isinstance(backend, MemoryBackend)
    return backend


class _Traffic:
    """One run."""

    def __init__(self, recorder: Recorder, backend: MemoryBackend, profile: Profile) -> None:
        self._recorder = recorder
        self._history = recorder.history
        self._backend = backend
        self._profile = profile
        self._watching: list[asyncio.Task[None]] = []

    async def run(self, beside: Beside | None) -> History:
        """Lets everybody loose, waits for the writers, lets watchers catch up, and returns the record."""
        recorder, history, profile = self._recorder, self._history, self._profile
        async with asyncio.TaskGroup() as group:
            for resource in ("configmaps", "secrets"):
                everything = Selection(resource=resource)
                truth = Watcher(recorder, f"{TRUTH} {resource}", everything, cuts=False)
                self._watching.append(group.create_task(truth.run("after", history.start)))
            await recorder.until(lambda: _accepted(history.sessions) == 2)
            with contextlib.closing(Client(recorder, "first", profile)) as client:
                await client.begin()
            for index in range(profile.watchers):
                selection = SELECTIONS[index % len(SELECTIONS)]
                start = STARTS[index % len(STARTS)]
                after = history.start if start == "after" else 0
                watcher = Watcher(recorder, f"watcher {index}", selection, cuts=True)
                self._watching.append(group.create_task(watcher.run(start, after)))
            unrest = [group.create_task(self._pass_time())]
            if profile.compact_every:
                unrest.append(group.create_task(self._compact(group)))
            async with asyncio.TaskGroup() as writing:
                if beside is not None:
                    writing.create_task(beside(recorder.server))
                for index in range(profile.clients):
                    writing.create_task(self._write(f"c{index}"))
            for task in unrest:
                task.cancel()
            recorder.quiet = True
            await self._finish()
            history.end = recorder.tick()
            for task in self._watching:
                task.cancel()
        return history

    async def _write(self, name: str) -> None:
        with contextlib.closing(Client(self._recorder, name, self._profile)) as client:
            await client.run()

    async def _pass_time(self) -> None:
        """Moves the plane's clock: bookmarks fall due, watches reach their deadlines."""
        random = self._recorder.random("time")
        while True:
            await self._operations(random.randint(5, 20))
            await self._recorder.advance(random.choice((1.0, 20.0, 35.0)))

    async def _compact(self, group: asyncio.TaskGroup) -> None:
        """Compacts, and watches where history then begins."""
        recorder = self._recorder
        random = recorder.random("compaction")
        for round_ in itertools.count():
            await self._operations(random.randint(1, 2 * self._profile.compact_every))
            back = random.choice((0, 1, random.randint(2, 30)))
            # The watchers that see everything must not lose any of it.
            self._backend.compact(max(self._history.start, self._told_everything() - back))
            edge = self._backend.log.compacted
            self._history.compactions.append(Compaction(recorder.tick(), edge))
            if self._profile.watchers:
                start = edge + round_ % 3 - 1
                name = f"edge {round_} at {start - edge:+}"
                watcher = Watcher(recorder, name, SELECTIONS[round_ % 2], cuts=True, lives=1)
                self._watching.append(group.create_task(watcher.run("after", start)))

    def _told_everything(self) -> int:
        """The revision up to which the watchers that are never cut have been told everything."""
        told = {
            item.revision
            for session in self._history.sessions
            if session.watcher.startswith(TRUTH)
            for item in session.events
        }
        revision = self._history.start
        while revision + 1 in told:
            revision += 1
        return revision

    async def _operations(self, count: int) -> None:
        """Waits until clients have done that many more things."""
        done = len(self._history.operations) + count
        await self._recorder.until(lambda: len(self._history.operations) >= done)

    async def _finish(self) -> None:
        """A last change to everything, and the time for each watcher to be told of it."""
        recorder = self._recorder
        with contextlib.closing(Client(recorder, "last", self._profile)) as client:
            await client.finish()
        await recorder.advance(61.0)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._profile.patience):
                await recorder.until(lambda: self._told_everything() >= recorder.newest)
                replay = Replay(self._history)
                for session in self._history.sessions:
                    seen = replay.seen(session.selection, session.revision)
                    if session.end == "open" and seen:
                        await recorder.until(_has_been_told(session, seen[-1].revision))


def _accepted(sessions: list[Session]) -> int:
    return sum(1 for session in sessions if session.accepted)


def _has_been_told(session: Session, revision: int) -> Callable[[], bool]:
    def told() -> bool:
        last = session.items[-1].revision if session.items else 0
        return last >= revision or session.end != "open"

    return told
