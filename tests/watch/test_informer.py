"""Many handlers share one watch: each hears every change, after the cache and in its order."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial

import pytest
from verger.watch.cache import Change
from verger.watch.clock import FakeClock
from verger.watch.event import Bookmark, Event, EventType, Expired
from verger.watch.informer import Informer

News = Sequence[Event[str] | Bookmark]
Told = list[tuple[str, str | None, str | None]]


def put(revision: int, key: str, value: str) -> Event[str]:
    return Event(EventType.MODIFIED, "things", "", key, revision, value, None)


def gone(revision: int, key: str, value: str) -> Event[str]:
    return Event(EventType.DELETED, "things", "", key, revision, value, value)


class Feed:
    """A source whose lists and news are put in by the test, one at a time. It is its own stream."""

    def __init__(self) -> None:
        self.lists: asyncio.Queue[tuple[Mapping[str, str], int] | Exception] = asyncio.Queue()
        self.news: asyncio.Queue[News | Exception] = asyncio.Queue()

    async def list(self) -> tuple[Mapping[str, str], int]:
        answer = await self.lists.get()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def watch(self, after: int) -> "Feed":
        return self

    async def read(self) -> News:
        answer = await self.news.get()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        """Nothing to do: the next watch reads on."""


class Stage:
    """An informer that runs, and the hand that feeds it."""

    def __init__(self, clock: FakeClock, feed: Feed, informer: Informer[str]) -> None:
        self.clock = clock
        self.feed = feed
        self.informer = informer

    async def list(self, objects: Mapping[str, str], revision: int) -> None:
        self.feed.lists.put_nowait((objects, revision))
        await self.clock.advance()

    async def say(self, *news: Event[str] | Bookmark) -> None:
        self.feed.news.put_nowait(news)
        await self.clock.advance()

    async def relist(self, objects: Mapping[str, str], revision: int) -> None:
        """The history expires, and this is what is found instead."""
        self.feed.news.put_nowait(Expired(0, revision))
        await self.list(objects, revision)

    def picture(self) -> dict[str, str | None]:
        cache = self.informer.cache
        return {key: cache.get(key) for key in cache.keys()}  # noqa: SIM118 - no mapping


@asynccontextmanager
async def playing(clock: FakeClock, informer: Informer[str], feed: Feed) -> AsyncIterator[Stage]:
    task = asyncio.create_task(informer.run())
    yield Stage(clock, feed, informer)
    assert not task.done(), "it runs for ever"
    task.cancel()
    await asyncio.wait([task])


@pytest.fixture
async def stage(clock: FakeClock) -> AsyncIterator[Stage]:
    feed = Feed()
    async with playing(clock, Informer(feed, clock=clock), feed) as made:
        yield made


# --- what handlers hear


async def test_handler_hears_of_lists_and_events(stage: Stage) -> None:
    """The first list is told object by object, then every event, then what a new list shows to be different."""
    told: Told = []
    stage.informer.add_handler(told.append)
    await stage.list({"a": "a1", "b": "b1"}, 5)
    assert told == [("a", None, "a1", 0), ("b", None, "b1", 0)]
    told.clear()
    await stage.say(put(6, "a", "a2"), gone(7, "b", "b1"), put(8, "c", "c1"))
    assert told == [("a", "a1", "a2", 6), ("b", "b1", None, 7), ("c", None, "c1", 8)]
    told.clear()
    await stage.relist({"a": "a3", "d": "d1"}, 20)
    assert told == [("c", "c1", None, 0), ("a", "a2", "a3", 0), ("d", None, "d1", 0)]
    assert (stage.picture(), stage.informer.cache.revision) == ({"a": "a3", "d": "d1"}, 20)


async def test_object_that_was_recreated_unseen_is_one_change(stage: Stage) -> None:
    """When the deletion fell into a gap, handlers hear of one change between two objects of one key."""
    told: Told = []
    stage.informer.add_handler(told.append)
    await stage.list({"a": "the first a"}, 5)
    await stage.relist({"a": "another a"}, 9)
    assert told == [("a", None, "the first a", 0), ("a", "the first a", "another a", 0)]


async def test_bookmark_moves_the_cache_and_tells_nobody(stage: Stage) -> None:
    """That nothing happened is no change; an old bookmark does not even move the revision."""
    told: Told = []
    stage.informer.add_handler(told.append)
    await stage.list({}, 5)
    await stage.say(Bookmark(9))
    assert (told, stage.informer.cache.revision) == ([], 9)
    await stage.say(Bookmark(3))
    assert stage.informer.cache.revision == 9
    await stage.say(put(12, "a", "a1"), Bookmark(15))
    assert (told, stage.informer.cache.revision) == ([("a", None, "a1", 12)], 15)


async def test_cache_changes_before_handlers_hear_of_it(stage: Stage) -> None:
    """Inside a handler the cache shows the whole news, its revision and its indexes included."""
    cache = stage.informer.cache
    stage.informer.add_index("value", lambda value: [value])
    seen: list[tuple[str, bool, dict[str, str | None], int]] = []

    def handler(change: Change[str]) -> None:
        seen.append((change.key, cache.has_synced, stage.picture(), cache.revision))
        assert change.new is None or change.new in cache.by_index("value", change.new)

    stage.informer.add_handler(handler)
    listed: dict[str, str | None] = {"a": "a1", "b": "b1"}
    await stage.list({"a": "a1", "b": "b1"}, 5)
    assert seen == [("a", True, listed, 5), ("b", True, listed, 5)]
    seen.clear()
    await stage.say(put(6, "a", "a2"), gone(7, "b", "b1"), Bookmark(9))
    assert seen == [("a", True, {"a": "a2"}, 9), ("b", True, {"a": "a2"}, 9)]


async def test_handlers_hear_in_the_order_of_subscription(stage: Stage) -> None:
    """Each change goes to all handlers, the first to come first, before the next change goes to any."""
    told: list[tuple[str, str]] = []

    def note(name: str, change: Change[str]) -> None:
        told.append((change.key, name))

    for name in ("first", "second", "third"):
        stage.informer.add_handler(partial(note, name))
    await stage.list({"a": "a1", "b": "b1"}, 5)
    assert told == [(key, name) for key in ("a", "b") for name in ("first", "second", "third")]


async def test_late_handler_first_hears_of_what_is_there(stage: Stage) -> None:
    """It catches up before `add_handler` returns; the others hear nothing twice; then all hear the same."""
    early: Told = []
    late: Told = []
    stage.informer.add_handler(early.append)
    await stage.list({"a": "a1", "b": "b1"}, 5)
    await stage.say(gone(6, "a", "a1"), put(7, "b", "b2"))
    early.clear()
    stage.informer.add_handler(late.append)
    assert late == [("b", None, "b2", 0)]
    assert early == []
    await stage.say(put(8, "b", "b3"))
    assert early == [("b", "b2", "b3", 8)]
    assert late == [("b", None, "b2", 0), ("b", "b2", "b3", 8)]


async def test_handler_added_by_a_handler_misses_nothing(stage: Stage) -> None:
    """Whatever it hears, and when: in the end it knows every object, each with its last state."""
    known: dict[str, str | None] = {}

    def late(change: Change[str]) -> None:
        known[change.key] = change.new

    def early(change: Change[str]) -> None:
        if change.key == "b":
            stage.informer.add_handler(late)

    stage.informer.add_handler(early)
    await stage.list({"a": "a1", "b": "b1", "c": "c1"}, 5)
    assert known == {"a": "a1", "b": "b1", "c": "c1"}


# --- the end of a subscription


async def test_removed_handler_hears_no_more(stage: Stage) -> None:
    """The function that `add_handler` returned ends this subscription, and may be called again."""
    told: dict[str, Told] = {"stays": [], "goes": []}
    stage.informer.add_handler(told["stays"].append)
    remove = stage.informer.add_handler(told["goes"].append)
    await stage.list({"a": "a1"}, 5)
    remove()
    remove()
    await stage.say(put(6, "a", "a2"))
    assert told["stays"] == [("a", None, "a1", 0), ("a", "a1", "a2", 6)]
    assert told["goes"] == [("a", None, "a1", 0)]


async def test_handler_that_removes_itself_takes_nothing_from_the_next(stage: Stage) -> None:
    """A handler that has heard enough may leave while it is told; all others hear every change."""
    told: Told = []

    def once(_: Change[str]) -> None:
        remove()

    remove = stage.informer.add_handler(once)
    stage.informer.add_handler(told.append)
    await stage.list({"a": "a1", "b": "b1"}, 5)
    assert told == [("a", None, "a1", 0), ("b", None, "b1", 0)]


async def test_handler_removed_by_another_hears_no_more_of_the_same_news(stage: Stage) -> None:
    """The end of a subscription is its end, in the middle of a list too."""
    told: Told = []

    def first(change: Change[str]) -> None:
        if change.key == "b":
            remove()

    stage.informer.add_handler(first)
    remove = stage.informer.add_handler(told.append)
    await stage.list({"a": "a1", "b": "b1", "c": "c1"}, 5)
    assert told == [("a", None, "a1", 0)]


async def test_one_function_subscribed_twice_is_two_subscriptions(stage: Stage) -> None:
    """Ending one of them, however often, leaves the other."""
    told: Told = []
    handler = told.append
    remove = stage.informer.add_handler(handler)
    stage.informer.add_handler(handler)
    await stage.list({"a": "a1"}, 5)
    assert told == [("a", None, "a1", 0)] * 2
    remove()
    remove()
    told.clear()
    await stage.say(put(6, "a", "a2"))
    assert told == [("a", "a1", "a2", 6)]


# --- indexes and failures


@pytest.mark.parametrize(
    "early", [pytest.param(True, id="before the list"), pytest.param(False, id="after the list")]
)
async def test_index_covers_everything_whenever_it_was_added(stage: Stage, early: bool) -> None:
    """A controller that comes late asks for its index and finds what is there."""
    if early:
        stage.informer.add_index("first letter", lambda value: [value[0]])
    await stage.list({"a": "xylem", "b": "yew", "c": "xenon"}, 5)
    if not early:
        stage.informer.add_index("first letter", lambda value: [value[0]])
    stage.informer.add_index("first letter", lambda _: ["x"])
    assert stage.informer.cache.by_index("first letter", "x") == ["xylem", "xenon"]
    await stage.say(put(6, "b", "xebec"), gone(7, "a", "xylem"))
    assert set(stage.informer.cache.by_index("first letter", "x")) == {"xenon", "xebec"}


async def test_failures_are_reported_and_change_nothing(clock: FakeClock) -> None:
    """Each failure of the source is told once; cache and handlers do not notice, and it goes on."""
    feed = Feed()
    told: Told = []
    failures: deque[Exception] = deque()
    informer = Informer(feed, clock=clock, on_failure=failures.append)
    informer.add_handler(told.append)
    async with playing(clock, informer, feed) as stage:
        error = ConnectionError("refused")
        feed.lists.put_nowait(error)
        await clock.advance()
        assert (list(failures), told, informer.cache.has_synced) == ([error], [], False)
        await stage.list({"a": "a1"}, 5)
        await clock.advance(2.0)
        error = ConnectionError("broken")
        feed.news.put_nowait(error)
        await clock.advance()
        assert failures.pop() is error
        assert (stage.picture(), told) == ({"a": "a1"}, [("a", None, "a1", 0)])
        await stage.say(put(6, "a", "a2"))
        await clock.advance(4.0)
        assert told == [("a", None, "a1", 0), ("a", "a1", "a2", 6)]


async def test_failures_need_not_be_listened_to(stage: Stage) -> None:
    """An informer without `on_failure` retries all the same."""
    stage.feed.lists.put_nowait(ConnectionError("refused"))
    await stage.list({"a": "a1"}, 5)
    await stage.clock.advance(2.0)
    assert stage.picture() == {"a": "a1"}


async def test_nobody_waits_for_the_list_of_what_has_gone() -> None:
    """A kind may go while its first list is on its way: whoever waits for it goes on."""
    informer = Informer(Feed(), clock=FakeClock())
    subscription = informer.subscription(lambda _: None)
    subscription.attach()
    waiting = asyncio.ensure_future(subscription.cache.synced())
    await asyncio.sleep(0)
    assert not waiting.done()
    informer.abandon()
    await asyncio.wait_for(waiting, 20)
    assert subscription.cache.keys() == []
