"""A subscription that is cut off sees what it saw, and hears of all that there is when it is back."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

import pytest
from verger.watch.cache import Change
from verger.watch.clock import FakeClock
from verger.watch.event import Event, EventType
from verger.watch.informer import Informer

Objects = Mapping[str, str]


class Feed:
    """A source that says what a test puts in. It is its own stream."""

    def __init__(self) -> None:
        self.lists: asyncio.Queue[tuple[Objects, int]] = asyncio.Queue()
        self.news: asyncio.Queue[Sequence[Event[str]]] = asyncio.Queue()

    async def list(self) -> tuple[Objects, int]:
        return await self.lists.get()

    async def watch(self, after: int) -> "Feed":
        return self

    async def read(self) -> Sequence[Event[str]]:
        return await self.news.get()

    def close(self) -> None:
        """Nothing to do."""


class World:
    """An informer that runs, with one subscription."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._feed = Feed()
        self.informer = Informer(self._feed, clock=clock)
        self.informer.add_index("first letter", lambda value: [value[0]])
        self.told: list[Change[str]] = []
        self.subscription = self.informer.subscription(self.told.append)
        self.cache = self.subscription.cache

    async def list(self, objects: Objects, revision: int) -> None:
        self._feed.lists.put_nowait((objects, revision))
        await self._clock.advance()

    async def put(self, revision: int, key: str, value: str) -> None:
        event = Event(EventType.MODIFIED, "things", "", key, revision, value, None)
        self._feed.news.put_nowait([event])
        await self._clock.advance()

    async def remove(self, revision: int, key: str) -> None:
        event = Event(EventType.DELETED, "things", "", key, revision, "", "")
        self._feed.news.put_nowait([event])
        await self._clock.advance()


@pytest.fixture
async def world(clock: FakeClock) -> AsyncIterator[World]:
    made = World(clock)
    task = asyncio.create_task(made.informer.run())
    yield made
    task.cancel()
    await asyncio.wait([task])


async def test_detached_subscription_sees_what_it_saw(world: World) -> None:
    """Neither handler, nor cache, nor index, nor revision moves, while others see all of it."""
    world.subscription.attach()
    await world.list({"a": "x1", "b": "x2"}, 5)
    world.told.clear()
    world.subscription.detach()
    await world.put(6, "a", "y1")
    await world.remove(7, "b")
    assert world.told == []
    assert (world.cache.get("a"), world.cache.get("b"), world.cache.revision) == ("x1", "x2", 5)
    assert world.cache.by_index("first letter", "x") == ["x1", "x2"]
    assert world.informer.cache.by_index("first letter", "x") == []


async def test_attached_again_it_hears_of_all_that_there_is(world: World) -> None:
    """First of what is other than it was, then of the rest, once; then of every event, as before."""
    world.subscription.attach()
    await world.list({"a": "a1", "b": "b1", "c": "c1"}, 5)
    world.told.clear()
    world.subscription.detach()
    await world.put(6, "a", "a2")
    await world.put(7, "a", "a3")
    await world.remove(8, "b")
    world.subscription.attach()
    world.subscription.attach()
    assert world.told == [
        Change("b", "b1", None),
        Change("a", "a1", "a3"),
        Change("c", "c1", "c1"),
    ]
    await world.put(9, "c", "c2")
    assert world.told[3:] == [Change("c", "c1", "c2", 9)]
    assert world.cache.get("c") == "c2"


async def test_detached_before_the_first_list_it_is_not_synced(world: World) -> None:
    """Who waits for its first list waits until it is attached, however long others have had theirs."""
    world.subscription.attach()
    waiting = asyncio.create_task(world.cache.synced())
    await asyncio.sleep(0)
    world.subscription.detach()
    await world.list({"a": "a1"}, 5)
    assert (world.cache.has_synced, waiting.done(), len(world.cache)) == (False, False, 0)
    world.subscription.attach()
    await waiting
    assert world.told == [Change("a", None, "a1")]


async def test_closed_subscription_hears_no_more(world: World) -> None:
    """Closing twice is harmless."""
    world.subscription.attach()
    await world.list({}, 5)
    world.subscription.close()
    world.subscription.close()
    await world.put(6, "a", "a1")
    assert world.told == []
