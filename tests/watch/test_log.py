"""The log keeps what it promises to keep, and tells each reader the truth about its own position."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable

import pytest
from verger.watch.clock import FakeClock
from verger.watch.event import Event, EventType, Expired
from verger.watch.log import Cursor, EventLog

WINDOW = 300.0


def event(revision: int, kind: str = "pods", scope: str = "") -> Event[str]:
    return Event(EventType.MODIFIED, kind, scope, "key", revision, f"{kind} {revision}", None)


def filled(clock: FakeClock, last: int, *, kind: str = "pods") -> EventLog[str]:
    """A log with the events 1 to `last` of one kind."""
    log: EventLog[str] = EventLog(clock, window=WINDOW)
    for revision in range(1, last + 1):
        log.append(event(revision, kind))
    return log


def read(cursor: Cursor[str], limit: int = 1024) -> list[int]:
    """The revisions of one read."""
    return [each.revision for each in cursor.read(limit)]


# --- appending


def test_append_is_one_step_of_the_event_loop() -> None:
    """A commit and its event must not be told apart by any task: `append` cannot wait."""
    assert not inspect.iscoroutinefunction(EventLog.append)


def test_events_are_read_in_the_order_they_were_appended(clock: FakeClock) -> None:
    """Revisions may have gaps; readers get the very events, in order, in bites of the size they ask for."""
    log: EventLog[str] = EventLog(clock)
    events = [event(revision) for revision in (1, 2, 5, 9, 10)]
    for each in events:
        log.append(each)
    cursor = log.cursor("pods", after=0)
    assert [*cursor.read(2), *cursor.read(2), *cursor.read(2)] == events
    assert list(cursor.read()) == []
    assert (len(log), log.revision) == (5, 10)


def test_listener_hears_within_the_append(clock: FakeClock) -> None:
    """Before `append` returns, so that it knows who appends; no more once its end was asked for; refused events never."""
    log: EventLog[str] = EventLog(clock)
    heard: list[int] = []
    end = log.listen(lambda event: heard.append(event.revision))
    other = log.listen(lambda event: heard.append(-event.revision))
    log.append(event(1))
    assert heard == [1, -1]
    with pytest.raises(ValueError, match="is not above"):
        log.append(event(1))
    end()
    end()
    log.append(event(2))
    other()
    log.append(event(3))
    assert heard == [1, -1, -2]


@pytest.mark.parametrize(
    "revision",
    [
        pytest.param(12, id="the newest once more"),
        pytest.param(11, id="one between two that exist"),
        pytest.param(10, id="one that exists"),
        pytest.param(7, id="where the log began"),
        pytest.param(0, id="before the log began"),
    ],
)
def test_revision_that_does_not_grow_is_refused(clock: FakeClock, revision: int) -> None:
    """There is one timeline: an event that is not above all others is an error and leaves no trace."""
    log: EventLog[str] = EventLog(clock, revision=7)
    log.append(event(10))
    log.append(event(12))
    with pytest.raises(ValueError, match=f"revision {revision} is not above 12"):
        log.append(event(revision, "nodes"))
    assert (len(log), log.revision) == (2, 12)
    assert read(log.cursor("nodes", after=7)) == []


def test_first_revision_must_be_above_the_beginning(clock: FakeClock) -> None:
    """A log that begins at a revision has seen it: the first event comes after."""
    log: EventLog[str] = EventLog(clock, revision=7)
    with pytest.raises(ValueError, match="revision 7 is not above 7"):
        log.append(event(7))
    log.append(event(8))
    assert read(log.cursor("pods", after=7)) == [8]


@pytest.mark.parametrize(
    ("kind", "scope", "expected"),
    [
        pytest.param("pods", None, [1, 2, 4, 6], id="a kind, all scopes"),
        pytest.param("pods", "east", [1, 6], id="one scope of a kind"),
        pytest.param("pods", "west", [2], id="another scope of it"),
        pytest.param("secrets", "east", [3], id="the same scope of another kind"),
        pytest.param("nodes", None, [5], id="a kind without scopes"),
        pytest.param("pods", "north", [], id="a scope in which nothing happened"),
        pytest.param("leases", None, [], id="a kind that nobody has heard of"),
    ],
)
@pytest.mark.parametrize(
    "early", [pytest.param(True, id="opened before"), pytest.param(False, id="opened after")]
)
def test_topic_is_a_kind_or_one_scope_of_it(
    clock: FakeClock, kind: str, scope: str | None, expected: list[int], early: bool
) -> None:
    """A cursor reads its topic and nothing else; an event of a scope is one of the whole kind too."""
    log: EventLog[str] = EventLog(clock)
    cursor = log.cursor(kind, scope, after=0) if early else None
    log.append(event(1, "pods", "east"))
    log.append(event(2, "pods", "west"))
    log.append(event(3, "secrets", "east"))
    log.append(event(4, "pods"))
    log.append(event(5, "nodes"))
    log.append(event(6, "pods", "east"))
    assert read(cursor or log.cursor(kind, scope, after=0)) == expected


# --- trimming


async def test_history_is_kept_for_the_window_and_no_longer(clock: FakeClock) -> None:
    """An event of exactly the window's age is there; any older one goes with the next look."""
    log = filled(clock, 2)
    await clock.advance(100.0)
    log.append(event(3))
    await clock.advance(WINDOW - 100.0)
    log.trim()
    assert (len(log), log.compacted) == (3, 0)
    await clock.advance(0.5)
    log.trim()
    assert (len(log), log.compacted) == (1, 2)
    await clock.advance(WINDOW)
    log.trim()
    assert (len(log), log.compacted) == (0, 3)


async def test_append_drops_what_is_too_old(clock: FakeClock) -> None:
    """Trimming needs no task of its own: each event pushes out those that its time has passed."""
    log = filled(clock, 3)
    await clock.advance(WINDOW)
    log.append(event(4))
    assert (len(log), log.compacted) == (4, 0)
    await clock.advance(0.5)
    log.append(event(5))
    assert (len(log), log.compacted) == (2, 3)


def test_history_holds_no_more_than_the_limit(clock: FakeClock) -> None:
    """Whatever the window, the newest `limit` events are what is kept."""
    log: EventLog[str] = EventLog(clock, limit=3)
    for revision in range(1, 8):
        log.append(event(revision))
        assert len(log) == min(revision, 3)
        assert log.compacted == max(0, revision - 3)
    assert read(log.cursor("pods", after=4)) == [5, 6, 7]


@pytest.mark.parametrize(
    ("revision", "compacted", "kept"),
    [
        pytest.param(0, 0, [2, 4, 6], id="before everything: nothing happens"),
        pytest.param(1, 1, [2, 4, 6], id="before the first event"),
        pytest.param(2, 2, [4, 6], id="up to an event, which goes too"),
        pytest.param(3, 3, [4, 6], id="between two events"),
        pytest.param(6, 6, [], id="up to the newest"),
        pytest.param(99, 6, [], id="beyond the newest: no further than there is history"),
    ],
)
def test_compact_drops_up_to_and_including(
    clock: FakeClock, revision: int, compacted: int, kept: list[int]
) -> None:
    """After `compact(n)` a stream starts at n and no earlier, whether or not n is an event of its own."""
    log: EventLog[str] = EventLog(clock)
    for each in (2, 4, 6):
        log.append(event(each))
    log.compact(revision)
    assert (log.compacted, log.revision) == (compacted, 6)
    assert read(log.cursor("pods", after=compacted)) == kept
    log.append(event(7))
    assert read(log.cursor("pods", after=compacted)) == [*kept, 7]


def test_compacting_never_goes_back(clock: FakeClock) -> None:
    """History that is gone stays gone: a lower revision changes nothing."""
    log = filled(clock, 9)
    log.compact(6)
    log.compact(2)
    assert log.compacted == 6
    with pytest.raises(Expired):
        log.cursor("pods", after=5)


async def test_each_event_that_goes_is_told_once_in_order(clock: FakeClock) -> None:
    """`on_trim` hears of every event that leaves, for whatever reason, after it has left."""
    gone: list[tuple[int, int]] = []
    log: EventLog[str] = EventLog(
        clock, limit=5, on_trim=lambda each: gone.append((each.revision, log.compacted))
    )
    for revision in range(1, 7):
        log.append(event(revision, "pods", "east" if revision % 2 else ""))
    log.compact(3)
    await clock.advance(WINDOW + 1)
    log.trim()
    assert gone == [(revision, revision) for revision in range(1, 7)]


async def by_limit(clock: FakeClock) -> EventLog[str]:
    log: EventLog[str] = EventLog(clock, limit=5)
    for revision in range(1, 13):
        log.append(event(revision, "pods", "east"))
    return log


async def by_compaction(clock: FakeClock) -> EventLog[str]:
    log: EventLog[str] = EventLog(clock)
    for revision in range(1, 13):
        log.append(event(revision, "pods", "east"))
    log.compact(7)
    return log


async def by_age(clock: FakeClock) -> EventLog[str]:
    log: EventLog[str] = EventLog(clock, window=WINDOW)
    for revision in range(1, 13):
        if revision == 8:
            await clock.advance(WINDOW / 2)
        log.append(event(revision, "pods", "east"))
    await clock.advance(WINDOW / 2 + 1)
    log.trim()
    return log


@pytest.mark.parametrize(
    "trimmed",
    [
        pytest.param(by_limit, id="trimmed by the limit"),
        pytest.param(by_compaction, id="trimmed by compaction"),
        pytest.param(by_age, id="trimmed by age"),
    ],
)
@pytest.mark.parametrize(
    "scope", [pytest.param(None, id="of the kind"), pytest.param("east", id="of a scope")]
)
async def test_stream_is_expired_exactly_below_the_boundary(
    clock: FakeClock, trimmed: Callable[[FakeClock], Awaitable[EventLog[str]]], scope: str | None
) -> None:
    """A stream starts at the compacted revision and gets the next event; one before it is Expired."""
    log = await trimmed(clock)
    assert log.compacted == 7
    for after in (-1, 0, 6):
        with pytest.raises(Expired) as expired:
            log.cursor("pods", scope, after=after)
        assert (expired.value.requested, expired.value.oldest) == (after, 7)
        assert str(expired.value) == f"revision {after} has expired, the oldest is 7"
    assert read(log.cursor("pods", scope, after=7)) == [8, 9, 10, 11, 12]
    assert read(log.cursor("pods", scope, after=8)) == [9, 10, 11, 12]
    waiting = log.cursor("pods", scope, after=12)
    log.append(event(13, "pods", "east"))
    assert read(waiting) == [13]


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        pytest.param(49, None, id="one revision before it began"),
        pytest.param(50, [51], id="where it began"),
        pytest.param(51, [], id="its first event"),
    ],
)
def test_log_that_begins_late_has_no_earlier_history(
    clock: FakeClock, after: int, expected: list[int] | None
) -> None:
    """What happened before the log began is as gone as what it has trimmed."""
    log: EventLog[str] = EventLog(clock, revision=50)
    log.append(event(51))
    if expected is None:
        with pytest.raises(Expired):
            log.cursor("pods", after=after)
    else:
        assert read(log.cursor("pods", after=after)) == expected


# --- what is forgotten


def test_topic_is_forgotten_when_it_is_empty_and_unread(clock: FakeClock) -> None:
    """A namespace that came and went leaves nothing behind: neither its events nor its readers."""
    log: EventLog[str] = EventLog(clock)
    cursor = log.cursor("pods", "quiet", after=0)
    twin = log.cursor("pods", "quiet", after=0)
    log.append(event(1, "pods", "busy"))
    assert set(log._topics) == {("pods", "quiet"), ("pods", None), ("pods", "busy")}
    cursor.close()
    assert ("pods", "quiet") in log._topics, "it has another reader"
    cursor.close()
    assert ("pods", "quiet") in log._topics, "closing twice is closing once"
    twin.close()
    assert set(log._topics) == {("pods", None), ("pods", "busy")}
    reader = log.cursor("pods", "busy", after=1)
    log.compact(1)
    assert set(log._topics) == {("pods", "busy")}, "it is empty, but it is read"
    reader.close()
    assert log._topics == {}


def test_topic_with_events_outlives_its_readers(clock: FakeClock) -> None:
    """Closing a reader takes no history from those who come later."""
    log = filled(clock, 3)
    log.cursor("pods", after=3).close()
    assert read(log.cursor("pods", after=1)) == [2, 3]


def test_trimmed_events_do_not_pile_up(clock: FakeClock) -> None:
    """A topic holds at most as many dead events as live ones, so that memory follows the limit."""
    log: EventLog[str] = EventLog(clock, limit=10)
    log.cursor("pods", "east", after=0)
    for revision in range(1, 500):
        log.append(event(revision, "pods", "east"))
        for topic in log._topics.values():
            assert len(topic.events) <= 2 * min(revision, 10)


async def test_topic_does_not_keep_a_reader_that_closed_while_it_waited(clock: FakeClock) -> None:
    """Clients that hang up while nothing happens must not pile up until something does."""
    log = filled(clock, 1)
    cursor = log.cursor("pods", after=1)
    waiter = cursor.waiter()
    cursor.close()
    assert not log._topics["pods", None].waiting
    log.append(event(2))
    assert not waiter.done()


# --- waiting for a revision


async def test_reach_is_immediate_for_what_is_there(clock: FakeClock) -> None:
    """A revision that the log has is reached at once: no time passes, no timer is set."""
    log = filled(clock, 5)
    tasks = [asyncio.create_task(log.reach(revision, 10.0)) for revision in (5, 4, 0)]
    await asyncio.sleep(0)
    assert all(task.done() and task.result() for task in tasks)
    assert clock.next_timer() is None


@pytest.mark.parametrize(
    ("appended", "reached"),
    [
        pytest.param([], None, id="nothing comes"),
        pytest.param([6, 7], None, id="one revision is missing"),
        pytest.param([6, 8], True, id="the very revision comes"),
        pytest.param([11], True, id="a later one comes"),
    ],
)
async def test_reach_waits_for_the_revision_or_the_timeout(
    clock: FakeClock, appended: list[int], reached: bool | None
) -> None:
    """It answers as soon as the log is there, of whatever kind the event is, else at the timeout."""
    log = filled(clock, 5)
    waiting = asyncio.create_task(log.reach(8, 3.0))
    await clock.advance(2.9)
    for revision in appended:
        log.append(event(revision, "nodes"))
    await clock.advance()
    assert (waiting.result() if waiting.done() else None) == reached
    await clock.advance(0.1)
    assert waiting.result() == bool(reached)
    assert (clock.next_timer(), log._awaited) == (None, [])


async def test_those_who_wait_for_revisions_are_told_each_in_turn(clock: FakeClock) -> None:
    """Each waits for its own revision; one that gives up takes nothing from the others."""
    log = filled(clock, 1)
    tasks = {n: asyncio.create_task(log.reach(n, 60.0)) for n in (4, 2, 3)}
    await clock.advance()
    tasks[3].cancel()
    log.append(event(2))
    await clock.advance()
    assert tasks[2].done()
    assert not tasks[4].done()
    log.append(event(5))
    await clock.advance()
    assert tasks[4].done()
    assert tasks[4].result()
    assert tasks[3].cancelled()
    assert (clock.next_timer(), log._awaited) == (None, [])


def test_nobody_waits_for_a_reader_that_does_not_follow() -> None:
    """It looks when it needs to know; a reader that follows is waited for until it waits itself, or is closed."""
    log: EventLog[str] = EventLog(FakeClock())
    looking = log.cursor("pods", after=0, follows=False)
    assert log.is_quiet
    following = log.cursor("pods", after=0)
    assert not log.is_quiet
    following.close()
    assert log.is_quiet
    looking.close()
    assert log.is_quiet
