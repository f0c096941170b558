"""What every backend promises: revisions, compare-and-set, snapshots, and history that is let go of."""

import gc
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import orjson
import pytest
from verger.store.backend import OBJECT_MAX, Backend, Compacted, Mismatch, Page, Row
from verger.store.errors import TooLarge
from verger.store.memory import MemoryBackend
from verger.store.objects import encode, key_of
from verger.watch.clock import Clock, FakeClock
from verger.watch.event import Event, EventType, Expired

THINGS = "things"
WINDOW = 60.0
JUST_BEYOND = WINDOW + 1


class Open(Protocol):
    """Starts a backend, as a new process does."""

    def __call__(self, clock: Clock, *, window: float = ..., limit: int = ...) -> Backend: ...


@pytest.fixture(params=[pytest.param(MemoryBackend, id="memory")])
def open_backend(request: pytest.FixtureRequest) -> Open:
    implementation: Open = request.param
    return implementation


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def backend(open_backend: Open, clock: FakeClock) -> Backend:
    return open_backend(clock, window=WINDOW)


def thing(name: str, namespace: str = "a", **content: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace, "resourceVersion": ""}, **content}


def put(backend: Backend, name: str, namespace: str = "a", **content: Any) -> Row:
    """Creates the thing, or replaces what is there."""
    key = key_of(namespace, name)
    found = backend.get(THINGS, key)
    expected = found.revision if found else 0
    return backend.put(THINGS, key, thing(name, namespace, **content), expected=expected)


def remove(backend: Backend, name: str, namespace: str = "a") -> Row:
    key = key_of(namespace, name)
    found = backend.get(THINGS, key)
    assert found is not None
    return backend.remove(THINGS, key, expected=found.revision)


def keys(page: Page) -> list[str]:
    return [row.key for row in page.rows]


def shown(page: Page) -> dict[str, Mapping[str, Any]]:
    return {row.key: row.object for row in page.rows}


def everything(backend: Backend) -> tuple[Any, ...]:
    """All that a refused change must leave as it was."""
    page = backend.list(THINGS)
    return backend.revision, shown(page), backend.count(THINGS), backend.count(THINGS, "a")


def events_after(backend: Backend, revision: int, scope: str | None = None) -> list[Event[Row]]:
    cursor = backend.log.cursor(THINGS, scope, after=revision)
    found = list(cursor.read())
    cursor.close()
    return found


def living_rows() -> int:
    """Rows that something still refers to."""
    gc.collect()
    return sum(type(item) is Row for item in gc.get_objects())


# Revisions


def test_every_change_takes_the_next_revision(backend: Backend) -> None:
    """One change, one revision, whichever kind or key it is about; the row and the object carry it."""
    start = backend.revision
    changes: list[Callable[[], Row]] = [
        lambda: put(backend, "x"),
        lambda: put(backend, "x", size=2),
        lambda: put(backend, "y", "b"),
        lambda: remove(backend, "x"),
        lambda: put(backend, "x"),
        lambda: backend.put("others", "x", {"metadata": {"name": "x"}}, expected=0),
    ]
    for count, change in enumerate(changes, 1):
        row = change()
        assert backend.revision == row.revision == start + count
        assert row.object["metadata"]["resourceVersion"] == str(row.revision)


def _put_new_over_old(backend: Backend) -> object:
    return backend.put(THINGS, "a/x", thing("x"), expected=0)


def _put_on_stale(backend: Backend) -> object:
    row = backend.get(THINGS, "a/x")
    assert row is not None
    return backend.put(THINGS, "a/x", thing("x"), expected=row.revision - 1)


def _put_on_nothing(backend: Backend) -> object:
    return backend.put(THINGS, "a/none", thing("none"), expected=backend.revision)


def _put_on_deleted(backend: Backend) -> object:
    return backend.put(THINGS, "a/gone", thing("gone"), expected=backend.revision)


def _remove_stale(backend: Backend) -> object:
    row = backend.get(THINGS, "a/x")
    assert row is not None
    return backend.remove(THINGS, "a/x", expected=row.revision - 1)


def _remove_nothing(backend: Backend) -> object:
    return backend.remove(THINGS, "a/none", expected=0)


def _remove_deleted(backend: Backend) -> object:
    return backend.remove(THINGS, "a/gone", expected=backend.revision)


def _remove_from_unknown_kind(backend: Backend) -> object:
    return backend.remove("unheard-of", "a/x", expected=backend.revision)


@pytest.mark.parametrize(
    ("change", "there"),
    [
        pytest.param(_put_new_over_old, "a/x", id="a creation where something is"),
        pytest.param(_put_on_stale, "a/x", id="a replacement of an older version"),
        pytest.param(_put_on_nothing, None, id="a replacement of nothing"),
        pytest.param(_put_on_deleted, None, id="a replacement of what is deleted"),
        pytest.param(_remove_stale, "a/x", id="a removal of an older version"),
        pytest.param(_remove_nothing, None, id="a removal of nothing"),
        pytest.param(_remove_deleted, None, id="a second removal"),
        pytest.param(_remove_from_unknown_kind, None, id="a removal from a kind without objects"),
    ],
)
def test_mismatch_changes_nothing_and_shows_what_is_there(
    backend: Backend, change: Callable[[Backend], object], there: str | None
) -> None:
    """A write that names another revision is refused: no revision, no event, and the row in the error."""
    put(backend, "x")
    put(backend, "x", size=2)
    put(backend, "gone")
    remove(backend, "gone")
    before = everything(backend)
    with pytest.raises(Mismatch) as refused:
        change(backend)
    assert refused.value.row is (backend.get(THINGS, there) if there else None)
    assert everything(backend) == before
    assert not events_after(backend, before[0])


def test_largest_object_is_stored_and_a_larger_one_changes_nothing(backend: Backend) -> None:
    """The limit counts encoded bytes; beyond it neither a creation nor a replacement leaves a trace."""
    empty = put(backend, "x", text="")
    room = OBJECT_MAX - len(empty.data)
    largest = put(backend, "x", text="t" * room)
    assert len(largest.data) == OBJECT_MAX
    before = everything(backend)
    with pytest.raises(TooLarge, match=f"limit is {OBJECT_MAX}$"):
        put(backend, "x", text="t" * (room + 1))
    with pytest.raises(TooLarge):
        put(backend, "y", text="t" * (room + 1))
    with pytest.raises(TooLarge):
        put(backend, "y", "fresh", text="t" * OBJECT_MAX)
    assert everything(backend) == before
    assert backend.get(THINGS, "a/x") is largest
    assert backend.count(THINGS, "fresh") == 0
    assert not events_after(backend, before[0])
    assert put(backend, "y").revision == before[0] + 1


async def test_later_process_begins_above_an_earlier_one(
    open_backend: Open, clock: FakeClock
) -> None:
    """After a restart a moment later no revision is smaller than one ever shown, and history is gone."""
    earlier = open_backend(clock)
    for size in range(100):
        put(earlier, "x", size=size)
    await clock.advance(0.001)
    later = open_backend(clock)
    assert later.revision > earlier.revision
    assert later.revision < 2**53  # what a JavaScript client can hold
    with pytest.raises(Expired):
        later.log.cursor(THINGS, after=earlier.revision)
    with pytest.raises(Compacted):
        later.list(THINGS, revision=earlier.revision)


def test_writes_are_plain_functions(backend: Backend) -> None:
    """Code without await is a transaction: nothing that commits may be a coroutine."""
    for function in (backend.put, backend.remove, backend.get, backend.list, backend.count):
        assert not inspect.iscoroutinefunction(function)
    assert isinstance(put(backend, "x"), Row)
    assert isinstance(remove(backend, "x"), Row)


# Events


def test_log_tells_of_every_change_with_the_state_before(backend: Backend) -> None:
    """The event is there as soon as the change is; a re-creation is an addition without a state before."""
    start = backend.revision
    created = put(backend, "x")
    assert events_after(backend, start)[-1].object is backend.get(THINGS, "a/x")
    changed = put(backend, "x", size=2)
    removed = remove(backend, "x")
    again = put(backend, "x")
    assert events_after(backend, start) == [
        Event(EventType.ADDED, THINGS, "a", "a/x", start + 1, created, None),
        Event(EventType.MODIFIED, THINGS, "a", "a/x", start + 2, changed, created),
        Event(EventType.DELETED, THINGS, "a", "a/x", start + 3, removed, changed),
        Event(EventType.ADDED, THINGS, "a", "a/x", start + 4, again, None),
    ]
    assert events_after(backend, start + 3, "a") == events_after(backend, start + 3)
    assert events_after(backend, start, "b") == []


def test_deletion_shows_the_last_state_at_its_own_revision(backend: Backend) -> None:
    """The row of a deletion has the old content and a new revision; the row before stays as it was."""
    before = put(backend, "x", size=2)
    text = before.data
    row = remove(backend, "x")
    assert row.deleted
    assert not before.deleted
    assert row.object == thing("x", size=2) | {
        "metadata": {"name": "x", "namespace": "a", "resourceVersion": str(row.revision)}
    }
    assert before.data == text == encode(before.object)
    assert backend.get(THINGS, "a/x") is None


def test_row_is_encoded_with_its_revision(backend: Backend) -> None:
    """What is handed out as bytes is what is handed out as an object; a repr shows neither."""
    row = put(backend, "x", secret="hidden<&>")
    assert orjson.loads(row.data) == row.object
    assert b'"resourceVersion":"%d"' % row.revision in row.data
    assert rb"hidden\u003c\u0026\u003e" in row.data
    assert "hidden" not in repr(row)


def test_other_representations_are_made_once_for_each_row(backend: Backend) -> None:
    """A view is made by the first who asks, and belongs to that version alone."""
    made: list[int] = []

    def make(row: Row) -> str:
        made.append(row.revision)
        return f"view of {row.revision}"

    first = put(backend, "x")
    assert first.view("v", make) == first.view("v", make) == f"view of {first.revision}"
    second = put(backend, "x")
    assert second.view("v", make) == f"view of {second.revision}"
    assert made == [first.revision, second.revision]


# Lists


ORDERED = ["-/x", "a-b/x", "a.b/x", "a/a", "a/b", "a/b-c", "a/b.c", "a/b0", "a0/x", "b/a"]
"""Keys in their order: a slash sorts behind dash and dot and before letters and digits."""


@pytest.fixture
def filled(backend: Backend) -> Backend:
    for key in (*ORDERED[1::2], *ORDERED[::2]):
        namespace, _, name = key.partition("/")
        put(backend, name, namespace)
    return backend


def test_lists_are_in_the_order_of_keys(filled: Backend) -> None:
    """Whatever the order of writing, lists are sorted as etcd sorts keys."""
    page = filled.list(THINGS)
    assert keys(page) == ORDERED
    assert (page.revision, page.after, page.remaining) == (filled.revision, None, 0)


@pytest.mark.parametrize(
    ("namespace", "expected"),
    [
        pytest.param("a", ORDERED[3:8], id="not the ones whose names begin alike"),
        pytest.param("a-b", ["a-b/x"], id="a dash"),
        pytest.param("a.b", ["a.b/x"], id="a dot"),
        pytest.param("a0", ["a0/x"], id="the namespace right behind the slash"),
        pytest.param("-", ["-/x"], id="the first"),
        pytest.param("b", ["b/a"], id="the last"),
        pytest.param("c", [], id="none there"),
        pytest.param("a-", [], id="the beginning of a name"),
    ],
)
def test_namespace_is_a_range_of_keys(filled: Backend, namespace: str, expected: list[str]) -> None:
    """A list or a count of a namespace has its own objects and no others."""
    assert keys(filled.list(THINGS, namespace)) == expected
    assert filled.count(THINGS, namespace) == len(expected)


def test_kinds_do_not_meet(filled: Backend) -> None:
    """An object is of one kind only; a kind without objects has empty lists."""
    page = filled.list("others")
    assert page == ([], filled.revision, None, 0)
    assert filled.get("others", "a/a") is None
    assert filled.count("others") == filled.count("others", "a") == 0


def pages(backend: Backend, namespace: str, limit: int, **how: Any) -> Iterator[Page]:
    after = ""
    while True:
        page = backend.list(THINGS, namespace, after=after, limit=limit, **how)
        yield page
        if page.after is None:
            return
        after = page.after


@pytest.mark.parametrize("limit", range(1, len(ORDERED) + 2))
@pytest.mark.parametrize("namespace", ["", "a", "a-b", "none"])
@pytest.mark.parametrize("when", ["now", "then"])
def test_pages_make_up_the_list_and_count_what_follows(
    filled: Backend, when: str, namespace: str, limit: int
) -> None:
    """Pages in a row are the whole list, each is full but the last, and the rest is counted exactly."""
    at = filled.revision
    whole = keys(filled.list(THINGS, namespace))
    if when == "then":
        remove(filled, "a", "a")
        remove(filled, "x", "a-b")
        put(filled, "b", "a", size=2)
        put(filled, "between", "a")
        put(filled, "x", "a-a")
    seen: list[str] = []
    for page in pages(filled, namespace, limit, revision=at if when == "then" else None):
        seen += keys(page)
        assert page.revision == at
        assert page.remaining == len(whole) - len(seen)
        if page.after is not None:
            assert len(page.rows) == limit
            assert page.after == seen[-1]
            assert page.remaining
    assert seen == whole


@pytest.mark.parametrize("limit", [1, 2, 3, 9])
def test_pages_of_a_selection_are_full_too(filled: Backend, limit: int) -> None:
    """What does not match is passed over: pages hold `limit` matches, and no page is empty for nothing."""

    def ends_in_x(row: Row) -> bool:
        return row.key.endswith("/x")

    wanted = [key for key in ORDERED if key.endswith("/x")]
    found = list(pages(filled, "", limit, match=ends_in_x))
    assert [key for page in found for key in keys(page)] == wanted
    assert [len(page.rows) for page in found] == [
        len(wanted[begin : begin + limit]) for begin in range(0, len(wanted), limit)
    ]
    # How many more match is not known without looking at them all.
    assert [page.remaining for page in found] == [None] * (len(found) - 1) + [0]


@pytest.mark.parametrize("after", ["a/b", "a/b-", "a/a/zzz", "a/c"])
def test_list_goes_on_behind_a_key_that_need_not_be_there(filled: Backend, after: str) -> None:
    """`after` is a place between keys: it is never returned itself, and nothing behind it is left out."""
    expected = [key for key in ORDERED if key.startswith("a/") and key > after]
    assert keys(filled.list(THINGS, "a", after=after)) == expected


def test_count_follows_every_change(backend: Backend) -> None:
    """Objects that exist now are counted, by namespace and in all; deletions that are kept are not."""
    assert backend.count(THINGS) == 0
    put(backend, "x")
    put(backend, "x", size=2)
    put(backend, "y")
    put(backend, "x", "b")
    assert [backend.count(THINGS, ns) for ns in ("", "a", "b")] == [3, 2, 1]
    remove(backend, "x")
    remove(backend, "x", "b")
    assert [backend.count(THINGS, ns) for ns in ("", "a", "b")] == [1, 1, 0]
    put(backend, "x", "b")
    assert [backend.count(THINGS, ns) for ns in ("", "a", "b")] == [2, 1, 1]


# Snapshots and history


def write_history(backend: Backend) -> dict[int, dict[str, Mapping[str, Any]]]:
    """Creations, changes, deletions and re-creations; returns what was there at every revision."""
    snapshots = {backend.revision: shown(backend.list(THINGS))}

    def done(row: Row) -> None:
        snapshots[row.revision] = shown(backend.list(THINGS))

    for round_ in range(3):
        for name in ("x", "y", "z"):
            done(put(backend, name, round=round_))
            done(put(backend, name, "b", round=round_))
        done(remove(backend, "x"))
        done(put(backend, "y", round=round_, again=True))
        done(remove(backend, "z", "b"))
    return snapshots


def test_every_revision_in_the_window_can_be_read_exactly(backend: Backend) -> None:
    """A list at a revision shows what was current then, deleted objects and old versions included."""
    snapshots = write_history(backend)
    assert len(snapshots) == 28
    for revision, then in snapshots.items():
        page = backend.list(THINGS, revision=revision)
        assert page.revision == revision
        assert shown(page) == then
        in_b = {key: obj for key, obj in then.items() if key.startswith("b/")}
        assert shown(backend.list(THINGS, "b", revision=revision)) == in_b


def test_compaction_ends_what_is_older_and_nothing_else(backend: Backend) -> None:
    """A compacted revision itself can be read and followed from; older ones are refused with the oldest."""
    snapshots = write_history(backend)
    first, last = min(snapshots), max(snapshots)
    for edge in range(first, last + 1):
        backend.compact(edge)
        for revision, then in snapshots.items():
            if revision < edge:
                with pytest.raises(Compacted) as refused:
                    backend.list(THINGS, revision=revision)
                assert (refused.value.requested, refused.value.oldest) == (revision, edge)
                with pytest.raises(Expired):
                    backend.log.cursor(THINGS, after=revision)
            else:
                assert shown(backend.list(THINGS, revision=revision)) == then
                followed = [event.revision for event in events_after(backend, revision)]
                assert followed == list(range(revision + 1, last + 1))
    assert shown(backend.list(THINGS)) == snapshots[last]
    backend.compact(last + 1000)  # as far as there is something to forget
    assert shown(backend.list(THINGS, revision=last)) == snapshots[last]
    assert put(backend, "x").revision == last + 1
    assert [event.revision for event in events_after(backend, last)] == [last + 1]


def test_compacting_twice_moves_only_forward(backend: Backend) -> None:
    """A smaller revision after a larger one forgets nothing and brings nothing back."""
    snapshots = write_history(backend)
    edge = max(snapshots) - 5
    backend.compact(edge)
    backend.compact(edge - 5)
    assert shown(backend.list(THINGS, revision=edge)) == snapshots[edge]
    with pytest.raises(Compacted):
        backend.list(THINGS, revision=edge - 1)


async def test_window_is_kept_to_its_end_and_let_go_of_behind_it(
    backend: Backend, clock: FakeClock
) -> None:
    """History as old as the window is still there, what is older is gone; the present always stays."""
    before = backend.revision
    put(backend, "x", size=1)
    gone = remove(backend, "x")
    await clock.advance(WINDOW)
    backend.trim()
    assert keys(backend.list(THINGS, revision=before + 1)) == ["a/x"]
    kept = put(backend, "y")
    await clock.advance(1)
    backend.trim()
    with pytest.raises(Compacted):
        backend.list(THINGS, revision=before + 1)
    assert keys(backend.list(THINGS, revision=gone.revision)) == []
    assert keys(backend.list(THINGS, revision=kept.revision)) == ["a/y"]
    await clock.advance(JUST_BEYOND)
    backend.trim()
    assert backend.get(THINGS, "a/y") is kept
    assert keys(backend.list(THINGS, revision=kept.revision)) == ["a/y"]


def test_number_of_events_is_limited(open_backend: Open, clock: FakeClock) -> None:
    """Beyond the limit the oldest events go, one for each that comes."""
    backend = open_backend(clock, limit=5)
    rows = [put(backend, "x", size=size) for size in range(20)]
    assert [event.object for event in events_after(backend, rows[14].revision)] == rows[15:]
    for row in rows[14:]:
        assert backend.list(THINGS, revision=row.revision).rows == [row]
    with pytest.raises(Compacted):
        backend.list(THINGS, revision=rows[13].revision)


def test_deleted_objects_stay_visible_in_the_past(backend: Backend) -> None:
    """An old revision shows an object that is deleted now, and not the one that took its name."""
    first = put(backend, "x", size=1)
    gone = remove(backend, "x")
    second = put(backend, "x", size=2)
    assert backend.list(THINGS, revision=first.revision).rows == [first]
    assert backend.list(THINGS, revision=gone.revision).rows == []
    assert backend.list(THINGS, revision=second.revision).rows == [second]
    remove(backend, "x")
    assert backend.list(THINGS, revision=second.revision).rows == [second]
    assert backend.list(THINGS).rows == []


async def test_history_outside_the_window_is_freed(backend: Backend, clock: FakeClock) -> None:
    """When all history has left the window, nothing is in memory but the newest version of what exists."""
    others = living_rows()
    write_history(backend)
    assert living_rows() - others > 20
    await clock.advance(JUST_BEYOND)
    backend.trim()
    assert living_rows() - others == backend.count(THINGS) == 4
    for key in keys(backend.list(THINGS)):
        namespace, _, name = key.partition("/")
        remove(backend, name, namespace)
    backend.compact(backend.revision)
    assert living_rows() - others == 0


async def test_memory_is_bounded_while_writes_go_on(backend: Backend, clock: FakeClock) -> None:
    """Writing for ever needs memory for the window, at most twice over, and not for what was before it."""
    others = living_rows()
    for size in range(200):
        put(backend, "x", size=size)
        put(backend, str(size))
        remove(backend, str(size))
        await clock.advance(WINDOW / 10)
    assert living_rows() - others <= 2 * 3 * 12
    assert keys(backend.list(THINGS)) == ["a/x"]
