"""A cache shows one revision at a time, and its writer tells exactly how one picture became the next."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from verger.watch.cache import Cache, CacheWriter, Change
from verger.watch.event import Event, EventType


@dataclass(frozen=True, slots=True)
class Thing:
    """An object with an identity, a version, and something to be found by."""

    uid: str
    version: int = 1
    colours: tuple[str, ...] = field(default=())


A1, A2, A3 = Thing("a", 1), Thing("a", 2), Thing("a", 3)
AGAIN = Thing("another a", 4)
B1, B2 = Thing("b", 1), Thing("b", 2)


def colours(thing: Thing) -> Iterable[str]:
    yield from thing.colours


def added(revision: int, key: str, thing: Thing) -> Event[Thing]:
    return Event(EventType.ADDED, "things", "", key, revision, thing, None)


def modified(revision: int, key: str, thing: Thing) -> Event[Thing]:
    return Event(EventType.MODIFIED, "things", "", key, revision, thing, None)


def deleted(revision: int, key: str, thing: Thing) -> Event[Thing]:
    return Event(EventType.DELETED, "things", "", key, revision, thing, thing)


def shown(cache: Cache[Thing]) -> dict[str, Thing | None]:
    """All that a reader can see."""
    assert len(cache) == len(cache.keys()) == len(cache.values())
    picture = {key: cache.get(key) for key in cache.keys()}  # noqa: SIM118 - a Cache is no mapping
    assert list(picture.values()) == cache.values()
    return picture


# --- lists


async def test_cache_is_not_synced_before_its_first_list() -> None:
    """Before the first list there is nothing, at revision 0, and whoever waits goes on waiting."""
    writer: CacheWriter[Thing] = CacheWriter()
    waiting = asyncio.create_task(writer.cache.synced())
    await asyncio.sleep(0)
    assert (shown(writer.cache), writer.cache.revision, writer.cache.has_synced) == ({}, 0, False)
    assert not waiting.done()
    writer.replace({}, 5)
    for _ in range(3):
        await asyncio.sleep(0)
    assert waiting.done()
    assert (shown(writer.cache), writer.cache.revision, writer.cache.has_synced) == ({}, 5, True)
    await writer.cache.synced()


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        pytest.param({}, {}, [], id="nothing, and still nothing"),
        pytest.param({}, {"a": A1}, [Change("a", None, A1)], id="an object is added"),
        pytest.param({"a": A1}, {"a": A1}, [], id="the same object says nothing"),
        pytest.param({"a": A1}, {"a": A2}, [Change("a", A1, A2)], id="an object is changed"),
        pytest.param(
            {"a": A1}, {"a": A3}, [Change("a", A1, A3)], id="a state was missed: one change"
        ),
        pytest.param({"a": A1}, {}, [Change("a", A1, None)], id="an object is gone"),
        pytest.param(
            {"a": A1},
            {"a": AGAIN},
            [Change("a", A1, AGAIN)],
            id="an object was deleted and created again: one change between two uids",
        ),
        pytest.param(
            {"a": A1, "b": B1, "c": A1},
            {"b": B2, "c": A1, "d": A2},
            [Change("a", A1, None), Change("b", B1, B2), Change("d", None, A2)],
            id="all at once, what is gone first",
        ),
    ],
)
def test_list_tells_the_difference(
    before: Mapping[str, Thing], after: Mapping[str, Thing], changes: list[Change[Thing]]
) -> None:
    """A list that replaces another returns what was added, changed and gone, and nothing else."""
    writer: CacheWriter[Thing] = CacheWriter()
    writer.replace(before, 5)
    assert writer.replace(after, 9) == changes
    assert (shown(writer.cache), writer.cache.revision) == (after, 9)


def test_list_is_swapped_in_when_complete() -> None:
    """While a list is being prepared, readers see all of the old one; then all of the new one."""
    writer: CacheWriter[Thing] = CacheWriter()
    seen: list[tuple[set[str], set[str], int]] = []

    def spying(thing: Thing) -> Iterable[str]:
        found = {each.uid for each in writer.cache.by_index("spy", "all")}
        seen.append((set(writer.cache.keys()), found, writer.cache.revision))
        return ["all"]

    writer.add_index("spy", spying)
    writer.replace({"a": A1, "b": B1}, 5)
    writer.replace({"a": A2, "c": B2, "d": B2}, 9)
    assert seen == [(set(), set(), 0)] * 2 + [({"a", "b"}, {"a", "b"}, 5)] * 3
    assert {each.version for each in writer.cache.by_index("spy", "all")} == {2}


def test_list_that_was_handed_in_stays_the_callers() -> None:
    """What the caller does to its mapping afterwards does not reach the cache, nor the other way round."""
    writer: CacheWriter[Thing] = CacheWriter()
    objects = {"a": A1}
    writer.replace(objects, 5)
    objects["b"] = B1
    assert shown(writer.cache) == {"a": A1}
    writer.apply([deleted(6, "a", A1)])
    assert objects == {"a": A1, "b": B1}


def test_what_readers_hold_stays_theirs() -> None:
    """Keys and values are lists of their own: walking over them while the cache changes is safe."""
    writer: CacheWriter[Thing] = CacheWriter()
    writer.replace({"a": A1, "b": B1}, 5)
    keys, values = writer.cache.keys(), writer.cache.values()
    writer.apply([deleted(6, "a", A1), added(7, "c", A2)])
    assert (keys, values) == (["a", "b"], [A1, B1])


# --- events


@pytest.mark.parametrize(
    ("events", "changes", "after"),
    [
        pytest.param([], [], {"a": A1}, id="no event"),
        pytest.param(
            [added(6, "b", B1)], [Change("b", None, B1, 6)], {"a": A1, "b": B1}, id="added"
        ),
        pytest.param([modified(6, "a", A2)], [Change("a", A1, A2, 6)], {"a": A2}, id="modified"),
        pytest.param([deleted(6, "a", A2)], [Change("a", A1, None, 6)], {}, id="deleted"),
        pytest.param(
            [modified(6, "a", A2), modified(7, "a", A3)],
            [Change("a", A1, A2, 6), Change("a", A2, A3, 7)],
            {"a": A3},
            id="each change of one object is told, in order",
        ),
        pytest.param(
            [deleted(6, "a", A1), added(7, "a", AGAIN)],
            [Change("a", A1, None, 6), Change("a", None, AGAIN, 7)],
            {"a": AGAIN},
            id="deleted and created again while someone watched: two changes",
        ),
        pytest.param(
            [added(6, "a", A2)], [Change("a", A1, A2, 6)], {"a": A2}, id="added, but known already"
        ),
        pytest.param(
            [modified(6, "b", B2)],
            [Change("b", None, B2, 6)],
            {"a": A1, "b": B2},
            id="modified, but unknown so far",
        ),
        pytest.param(
            [deleted(6, "b", B1)],
            [Change("b", B1, None, 6)],
            {"a": A1},
            id="deleted, but never known: its last state is told all the same",
        ),
    ],
)
def test_events_are_applied_in_order(
    events: Sequence[Event[Thing]],
    changes: list[Change[Thing]],
    after: Mapping[str, Thing],
) -> None:
    """A change says what the cache showed before and shows after; of an object never shown, how it ended."""
    writer: CacheWriter[Thing] = CacheWriter()
    writer.replace({"a": A1}, 5)
    assert writer.apply(events) == changes
    assert shown(writer.cache) == after
    assert writer.cache.revision == (events[-1].revision if events else 5)


@pytest.mark.parametrize(
    ("revision", "expected"),
    [
        pytest.param(6, 6, id="forward"),
        pytest.param(5, 5, id="nowhere"),
        pytest.param(4, 5, id="never back"),
    ],
)
def test_bookmark_only_moves_the_revision_forward(revision: int, expected: int) -> None:
    """That nothing changed up to a revision is worth knowing; that of the past is known."""
    writer: CacheWriter[Thing] = CacheWriter()
    writer.replace({"a": A1}, 5)
    writer.advance(revision)
    assert (shown(writer.cache), writer.cache.revision) == ({"a": A1}, expected)


# --- indexes

RED, BLUE = Thing("r", 1, ("red",)), Thing("b", 1, ("blue",))
BOTH, TWICE, NONE = Thing("rb", 2, ("red", "blue")), Thing("rr", 3, ("red", "red")), Thing("n", 4)


def coloured(cache: Cache[Thing], colour: str) -> set[str]:
    """The uids that an index finds, each found once."""
    found = [thing.uid for thing in cache.by_index("colour", colour)]
    assert len(found) == len(set(found))
    return set(found)


@pytest.mark.parametrize(
    ("events", "red", "blue"),
    [
        pytest.param([], {"r"}, set(), id="from the list"),
        pytest.param([added(6, "b", BLUE)], {"r"}, {"b"}, id="an object is added"),
        pytest.param([modified(6, "r", BOTH)], {"rb"}, {"rb"}, id="it gains a value"),
        pytest.param([modified(6, "r", BLUE)], set(), {"b"}, id="it moves to another value"),
        pytest.param([modified(6, "r", NONE)], set(), set(), id="it loses its values"),
        pytest.param([deleted(6, "r", RED)], set(), set(), id="it is deleted"),
        pytest.param(
            [deleted(6, "r", BLUE)], set(), set(), id="it is deleted in a state that was not seen"
        ),
        pytest.param([modified(6, "r", TWICE)], {"rr"}, set(), id="it says a value twice"),
        pytest.param(
            [modified(6, "r", TWICE), modified(7, "r", BLUE)],
            set(),
            {"b"},
            id="it moves away after saying a value twice",
        ),
        pytest.param(
            [added(6, "x", BOTH), deleted(7, "r", RED)],
            {"rb"},
            {"rb"},
            id="another one stays under the value",
        ),
    ],
)
def test_index_finds_what_is_there_now(
    events: Sequence[Event[Thing]], red: set[str], blue: set[str]
) -> None:
    """An index follows every event, and forgets values under which nothing is left."""
    writer = CacheWriter({"colour": colours})
    writer.replace({"r": RED, "n": NONE}, 5)
    writer.apply(events)
    assert coloured(writer.cache, "red") == red
    assert coloured(writer.cache, "blue") == blue
    expected = {name for name, found in (("red", red), ("blue", blue)) if found}
    assert set(writer.cache._picture.indexes["colour"]) == expected


def test_index_is_rebuilt_by_a_list() -> None:
    """A new list leaves nothing of the old one in the index."""
    writer = CacheWriter({"colour": colours})
    writer.replace({"r": RED, "x": BOTH}, 5)
    writer.replace({"b": BLUE}, 9)
    assert (coloured(writer.cache, "red"), coloured(writer.cache, "blue")) == (set(), {"b"})


def test_index_added_late_covers_what_is_there_and_what_comes() -> None:
    """It does not matter whether an index came before or after the objects."""
    writer: CacheWriter[Thing] = CacheWriter()
    writer.replace({"r": RED, "x": BOTH}, 5)
    writer.add_index("colour", colours)
    assert (coloured(writer.cache, "red"), coloured(writer.cache, "blue")) == ({"r", "rb"}, {"rb"})
    writer.apply([deleted(6, "r", RED), added(7, "b", BLUE)])
    assert (coloured(writer.cache, "red"), coloured(writer.cache, "blue")) == ({"rb"}, {"rb", "b"})
    writer.replace({"b": BLUE}, 9)
    assert (coloured(writer.cache, "red"), coloured(writer.cache, "blue")) == (set(), {"b"})


@pytest.mark.parametrize(
    "early", [pytest.param(True, id="given at the start"), pytest.param(False, id="added late")]
)
def test_index_that_exists_stays_as_it_is(early: bool) -> None:
    """Two controllers may ask for the same index: the second request changes nothing."""
    writer = CacheWriter({"colour": colours} if early else None)
    writer.add_index("colour", colours)
    writer.replace({"r": RED}, 5)
    writer.add_index("colour", lambda _: ["green"])
    writer.apply([added(6, "x", BOTH)])
    assert coloured(writer.cache, "red") == {"r", "rb"}
    assert coloured(writer.cache, "green") == set()


def test_unknown_index_is_an_error_and_unknown_value_is_not() -> None:
    """A misspelt index must not look like an empty one; a value that no object has is empty."""
    writer = CacheWriter({"colour": colours})
    with pytest.raises(KeyError, match="color"):
        writer.cache.by_index("color", "red")
    assert writer.cache.by_index("colour", "red") == []


# --- any history

things = st.builds(
    Thing,
    uid=st.sampled_from(["u", "v"]),
    version=st.integers(1, 99),
    colours=st.lists(st.sampled_from(["red", "blue", "green"]), max_size=3).map(tuple),
)
keys = st.sampled_from(["a", "b", "c"])
lists = st.dictionaries(keys, things)
events = st.lists(
    st.builds(
        Event,
        type=st.sampled_from(EventType),
        kind=st.just("things"),
        scope=st.just(""),
        key=keys,
        revision=st.just(1),
        object=things,
        previous=st.none(),
    ),
    max_size=4,
)


@settings(max_examples=80, deadline=None, derandomize=True, database=None)
@given(
    steps=st.lists(st.one_of(lists, events), max_size=8),
    indexed_at=st.integers(min_value=0, max_value=8),
)
def test_changes_tell_all_and_indexes_agree_with_a_search(
    steps: list[dict[str, Thing] | list[Event[Thing]]], indexed_at: int
) -> None:
    """Whoever follows the changes alone holds the cache; whoever asks an index gets what a search would find."""
    writer: CacheWriter[Thing] = CacheWriter()
    told: dict[str, Thing] = {}
    for number, step in enumerate(steps):
        if number == indexed_at:
            writer.add_index("colour", colours)
        changes = writer.replace(step, 1) if isinstance(step, dict) else writer.apply(step)
        for key, old, new, _ in changes:
            assert told.get(key, old if new is None else None) is old
            told.pop(key, None)
            if new is not None:
                told[key] = new
        assert shown(writer.cache) == told
        if number >= indexed_at:
            for colour in ("red", "blue", "green"):
                found = writer.cache.by_index("colour", colour)
                searched = [thing for thing in told.values() if colour in thing.colours]
                assert sorted(map(repr, found)) == sorted(map(repr, searched))
