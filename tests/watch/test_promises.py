"""What the package promises to a reader of events, sentence by sentence, each with a test that says the same words."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import NamedTuple

import pytest
import verger.watch
from verger.watch.cache import Change
from verger.watch.clock import FakeClock
from verger.watch.event import Event, EventType, Expired
from verger.watch.informer import Informer
from verger.watch.log import Cursor, EventLog
from verger.watch.reflector import Stream
from verger.watch.workqueue import WorkQueue


class Thing(NamedTuple):
    """An object: which one it is, and its state."""

    uid: int
    revision: int


class World:
    """A few kinds of objects, their history, and a source of each kind for those who follow it."""

    def __init__(self, clock: FakeClock, *, limit: int = 1000) -> None:
        self.log: EventLog[Thing] = EventLog(clock, limit=limit)
        self.objects: dict[str, dict[str, Thing]] = {}

    def put(self, kind: str, key: str, scope: str = "") -> Thing:
        """Creates the object, or changes the one that exists."""
        objects = self.objects.setdefault(kind, {})
        revision = self.log.revision + 1
        old = objects.get(key)
        new = objects[key] = Thing(old.uid if old else revision, revision)
        type_ = EventType.MODIFIED if old else EventType.ADDED
        self.log.append(Event(type_, kind, scope, key, revision, new, old))
        return new

    def delete(self, kind: str, key: str) -> None:
        revision = self.log.revision + 1
        old = self.objects[kind].pop(key)
        last = Thing(old.uid, revision)
        self.log.append(Event(EventType.DELETED, kind, "", key, revision, last, old))


class Source:
    """One kind of a world, listed and watched over a slow line."""

    def __init__(self, world: World, kind: str) -> None:
        self._world = world
        self._kind = kind
        self.online = asyncio.Event()
        self.online.set()

    async def list(self) -> tuple[Mapping[str, Thing], int]:
        await self.online.wait()
        listed, revision = dict(self._world.objects[self._kind]), self._world.log.revision
        arrived: dict[str, Thing] = {}
        for key, thing in listed.items():
            arrived[key] = thing
            await asyncio.sleep(0)
        return arrived, revision

    async def watch(self, after: int) -> Stream[Thing]:
        await self.online.wait()
        return Line(self._world.log.cursor(self._kind, after=after), self.online)


class Line:
    """A watch over that line."""

    def __init__(self, cursor: Cursor[Thing], online: asyncio.Event) -> None:
        self._cursor = cursor
        self._online = online

    async def read(self) -> Sequence[Event[Thing]]:
        while True:
            await self._online.wait()
            if events := self._cursor.read(2):
                return events
            await self._cursor.waiter()

    def close(self) -> None:
        self._cursor.close()


@asynccontextmanager
async def running(informer: Informer[Thing]) -> AsyncIterator[None]:
    task = asyncio.create_task(informer.run())
    yield
    assert not task.done()
    task.cancel()
    await asyncio.wait([task])


def read_all(cursor: Cursor[Thing], limit: int = 1024) -> list[int]:
    """The revisions of all reads until one finds nothing."""
    revisions: list[int] = []
    while events := cursor.read(limit):
        revisions += [event.revision for event in events]
    return revisions


async def test_promise_1(clock: FakeClock) -> None:
    """1. Events of one kind arrive in revision order, each at most once per stream."""
    world = World(clock)
    history: list[tuple[int, str]] = []
    streams: list[tuple[int, str | None, Cursor[Thing]]] = []
    received: list[list[int]] = []
    for number in range(60):
        for scope in (None, "east"):
            after = number // 2
            streams.append((after, scope, world.log.cursor("pods", scope, after=after)))
            received.append([])
        kind, place = "nodes" if number % 5 == 0 else "pods", ("", "east", "west")[number % 3]
        thing = world.put(kind, "a", place)
        if kind == "pods":
            history.append((thing.revision, place))
        for at, (_, _, cursor) in enumerate(streams):
            if (at + number) % 4 == 0:
                received[at] += [event.revision for event in cursor.read(1 + at % 3)]
    for at, (after, scope, cursor) in enumerate(streams):
        received[at] += read_all(cursor)
        assert received[at] == sorted(set(received[at]))
        assert received[at] == [r for r, place in history if r > after and scope in (None, place)]


@pytest.mark.parametrize("limit", [1, 3, 1024])
def test_promise_2(clock: FakeClock, limit: int) -> None:
    """2. A stream started at revision n yields every change after n, or says `Expired`; it never skips silently."""
    newest, last = 6, 9
    for n in range(last):
        for read_before in range(4):
            for compacted in range(last + 1):
                world = World(clock)
                for _ in range(newest):
                    world.put("pods", "a")
                cursor = world.log.cursor("pods", after=n)
                received: list[int] = []
                if read_before:
                    received += [event.revision for event in cursor.read(read_before)]
                while world.log.revision < last:
                    world.put("pods", "a")
                world.log.compact(compacted)
                wanted = list(range(n + 1, last + 1))
                is_gone = len(received) < len(wanted) and wanted[len(received)] <= compacted
                try:
                    received += read_all(cursor, limit)
                except Expired:
                    assert is_gone, "nothing that it was to yield is gone"
                    assert received == wanted[: len(received)]
                else:
                    assert not is_gone
                    assert received == wanted
                if n >= compacted:
                    assert read_all(world.log.cursor("pods", after=n)) == wanted
                else:
                    with pytest.raises(Expired):
                        world.log.cursor("pods", after=n)


def test_promise_3(clock: FakeClock) -> None:
    """3. Between kinds no order is promised."""
    world = World(clock)
    pods, nodes = world.log.cursor("pods", after=0), world.log.cursor("nodes", after=0)
    for kind in ("pods", "nodes", "pods", "nodes"):
        world.put(kind, "a")
    # A stream carries one kind, at its own reader's pace: what happened first may well be read last.
    assert read_all(nodes) == [2, 4]
    world.put("nodes", "a")
    assert read_all(nodes) == [5]
    assert read_all(pods) == [1, 3]


async def test_promise_4(clock: FakeClock) -> None:
    """4. A cache is never half-listed: it is not synced, or it shows one revision."""
    world = World(clock)
    pictures = {0: (False, dict[str, Thing]())}
    for key in ("a", "b", "c", "d"):
        world.put("pods", key)
    pictures[4] = (True, dict(world.objects["pods"]))
    source = Source(world, "pods")
    informer = Informer(source, clock=clock)
    cache = informer.cache
    seen: list[int] = []

    def look(_: object = None) -> None:
        objects = {key: cache.get(key) for key in cache.keys()}  # noqa: SIM118 - no mapping
        assert (cache.has_synced, objects) == pictures[cache.revision]
        seen.append(cache.revision)

    informer.add_handler(look)
    look()
    async with running(informer):
        for _ in range(30):
            look()
            await asyncio.sleep(0)
        source.online.clear()
        world.put("pods", "a")
        await clock.advance()
        world.delete("pods", "b")
        world.put("pods", "e")
        pictures[7] = (True, dict(world.objects["pods"]))
        world.log.compact(7)
        source.online.set()
        for _ in range(30):
            look()
            await asyncio.sleep(0)
    assert seen == sorted(seen)
    assert set(seen) == {0, 4, 7}


async def test_promise_5(clock: FakeClock) -> None:
    """5. A cache may skip states, never reorder them; delete and re-create may look like one update, so compare uids."""
    world = World(clock, limit=4)
    world.put("pods", "a")
    source = Source(world, "pods")
    informer = Informer(source, clock=clock)
    told: list[Change[Thing]] = []
    informer.add_handler(told.append)
    states = [world.objects["pods"]["a"]]
    async with running(informer):
        await clock.advance()
        for offline in (0, 1, 3, 2, 9, 1, 20, 5):
            if offline:
                source.online.clear()
                await clock.advance()
            for number in range(offline or 3):
                if number == 4:
                    world.delete("pods", "a")
                states.append(world.put("pods", "a"))
            source.online.set()
            await clock.advance()
            assert informer.cache.get("a") == states[-1]
    shown = [change.new for change in told if change.new is not None]
    revisions = [thing.revision for thing in shown]
    assert set(shown) <= set(states)
    assert len(shown) < len(states), "some states were skipped"
    assert revisions == sorted(set(revisions)), "none was shown late or twice"
    updates = [(old, new) for _, old, new, _ in told if old is not None and new is not None]
    recreated = [(old, new) for old, new in updates if old.uid != new.uid]
    assert len(recreated) == 3, "each looked like an update, and the uid tells"
    assert not [change for change in told if change.new is None]


async def test_promise_6(clock: FakeClock) -> None:
    """6. The queue holds a key once; a key is never worked on twice at the same time; a key added while in work runs
    again.
    """
    queue: WorkQueue[str] = WorkQueue(clock)
    in_work: list[str] = []
    worked: list[str] = []

    async def work() -> None:
        while True:
            async with queue.work() as key:
                assert key not in in_work
                in_work.append(key)
                await clock.sleep(10.0)
                in_work.remove(key)
                worked.append(key)

    workers = [asyncio.create_task(work()) for _ in range(3)]
    for _ in range(5):
        queue.add("a")
    await clock.advance()
    assert (in_work, queue.statistics().depth) == (["a"], 0), "held once, for one of three"
    for _ in range(5):
        queue.add("a")
        queue.add("b")
    await clock.advance(9.0)
    assert in_work == ["a", "b"], "what is in work is given to nobody else"
    await clock.advance(11.0)
    assert worked == ["a", "b", "a"], "what was added in work has run again, once"
    await clock.advance(100.0)
    assert worked == ["a", "b", "a"]
    assert not any(worker.done() for worker in workers)
    for worker in workers:
        worker.cancel()
    await asyncio.wait(workers)


async def test_promise_7(clock: FakeClock) -> None:
    """7. A reader that stops reading hurts only itself."""
    world = World(clock, limit=5)
    world.put("pods", "a")
    stopped = Source(world, "pods")
    reading = Source(world, "pods")
    told: dict[str, list[int]] = {"stopped": [], "reading": []}
    informers = []

    def note(revisions: list[int], change: Change[Thing]) -> None:
        assert change.new is not None
        revisions.append(change.new.revision)

    for name, source in (("stopped", stopped), ("reading", reading)):
        informer = Informer(source, clock=clock)
        informers.append(informer)
        informer.add_handler(partial(note, told[name]))
    async with running(informers[0]), running(informers[1]):
        await clock.advance()
        stopped.online.clear()
        for _ in range(50):
            world.put("pods", "a")
            assert len(world.log) <= 5, "nothing is kept for it"
            await clock.advance()
            assert told["reading"][-1] == world.log.revision, "nobody waits for it"
        assert told == {"stopped": [1], "reading": list(range(1, 52))}
        stopped.online.set()
        await clock.advance()
        assert told["stopped"] == [1, 51], "it alone has lost history, and lists again"


def sentences(text: str) -> list[str]:
    """The numbered sentences of a docstring, each in one line."""
    found = re.findall(
        r"^ *(\d+\. .+?)(?=\n *\d+\. |\n\s*\n|\s*\Z)", text, re.MULTILINE | re.DOTALL
    )
    return [" ".join(sentence.split()) for sentence in found]


def test_promises_and_their_tests_say_the_same_words() -> None:
    """Neither a promise nor its test can change, come or go alone."""
    tests = [test for name, test in globals().items() if name.startswith("test_promise_")]
    tested = [sentences(test.__doc__ or "") for test in tests]
    assert tested == [[promise] for promise in sentences(verger.watch.__doc__ or "")]
    numbers = [f"test_promise_{number}" for number in range(1, len(tests) + 1)]
    assert [test.__name__ for test in tests] == numbers
