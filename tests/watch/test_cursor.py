"""A reader is a position in one topic: woken when it should be, told what it missed, and no weight on anyone."""

import asyncio
from collections.abc import Callable

import pytest
from verger.watch.clock import FakeClock
from verger.watch.event import Event, EventType, Expired
from verger.watch.log import Cursor, EventLog


def event(revision: int, kind: str = "pods", scope: str = "") -> Event[str]:
    return Event(EventType.MODIFIED, kind, scope, "key", revision, f"{kind} {revision}", None)


def read(cursor: Cursor[str], limit: int = 1024) -> list[int]:
    """The revisions of one read."""
    return [each.revision for each in cursor.read(limit)]


def read_all(cursor: Cursor[str], limit: int = 1024) -> list[int]:
    """The revisions of all reads until one finds nothing."""
    revisions: list[int] = []
    while found := read(cursor, limit):
        revisions += found
    return revisions


@pytest.fixture
def log(clock: FakeClock) -> EventLog[str]:
    return EventLog(clock)


def is_even(each: Event[str]) -> bool:
    return each.revision % 2 == 0


# --- reading


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8, 1024])
def test_limit_cuts_the_reading_and_not_the_history(log: EventLog[str], limit: int) -> None:
    """Reads of any size add up to the same events, and no read is larger than its limit."""
    for revision in range(1, 9):
        log.append(event(revision))
    cursor = log.cursor("pods", after=1)
    sizes = []
    revisions: list[int] = []
    while found := read(cursor, limit):
        sizes.append(len(found))
        revisions += found
    assert revisions == [2, 3, 4, 5, 6, 7, 8]
    assert max(sizes) == min(limit, 7)


def test_events_that_were_read_are_the_readers_own(log: EventLog[str]) -> None:
    """What a read returned does not change with the log."""
    for revision in (1, 2, 3):
        log.append(event(revision))
    found = log.cursor("pods", after=0).read()
    log.append(event(4))
    log.compact(4)
    assert [each.revision for each in found] == [1, 2, 3]


@pytest.mark.parametrize(
    ("read_before", "compacted", "expected"),
    [
        pytest.param(0, 1, None, id="the first event is gone, unread"),
        pytest.param(3, 2, [4, 5, 6, 7, 8, 9], id="only what was read is gone"),
        pytest.param(3, 3, [4, 5, 6, 7, 8, 9], id="exactly what was read is gone"),
        pytest.param(3, 4, None, id="one event more than was read is gone"),
        pytest.param(3, 8, None, id="all but one are gone"),
        pytest.param(8, 9, None, id="the last one is gone, unread"),
        pytest.param(9, 9, [], id="all are gone and all were read"),
    ],
)
def test_reader_is_expired_when_its_next_event_is_gone(
    log: EventLog[str], read_before: int, compacted: int, expected: list[int] | None
) -> None:
    """History that is trimmed past a reader is an error at its next read, and at each one after."""
    for revision in range(1, 10):
        log.append(event(revision))
    cursor = log.cursor("pods", after=0)
    if read_before:
        read(cursor, read_before)
    log.compact(compacted)
    if expected is not None:
        assert read(cursor) == expected
        return
    for _ in range(2):
        with pytest.raises(Expired) as expired:
            cursor.read()
        assert (expired.value.requested, expired.value.oldest) == (read_before, compacted)
        log.append(event(log.revision + 1))
    fresh = log.cursor("pods", after=compacted)
    assert read(fresh) == list(range(compacted + 1, log.revision + 1))


def test_expired_names_the_oldest_start_even_when_the_log_is_empty(log: EventLog[str]) -> None:
    """A client that is told where history begins can begin there: it is the log's answer, not the topic's."""
    cursor = log.cursor("pods", after=0)
    log.append(event(1))
    log.append(event(2, "nodes"))
    log.compact(2)
    with pytest.raises(Expired) as expired:
        cursor.read()
    assert (len(log), expired.value.requested, expired.value.oldest) == (0, 0, 2)
    assert read(log.cursor("pods", after=expired.value.oldest)) == []


@pytest.mark.parametrize("scope", [None, "quiet"])
async def test_idle_reader_of_a_quiet_topic_survives_the_trimming_of_others(
    clock: FakeClock, scope: str | None
) -> None:
    """Nothing that it was to read is gone: a watch of a quiet namespace never expires by others' noise."""
    log: EventLog[str] = EventLog(clock, limit=4, window=60.0)
    log.append(event(1, "leases", "quiet"))
    cursor = log.cursor("leases", scope, after=0)
    assert read(cursor) == [1]
    for revision in range(2, 50):
        log.append(event(revision, "pods", "quiet"))
    await clock.advance(1000.0)
    log.append(event(50, "pods", "busy"))
    assert log.compacted == 49
    assert read(cursor) == []
    log.append(event(51, "leases", "quiet"))
    assert read(cursor) == [51]


# --- a revision that has yet to come


@pytest.mark.parametrize("limit", [1, 2, 3, 1024])
def test_reader_of_the_future_gets_what_comes_after_it(log: EventLog[str], limit: int) -> None:
    """A cursor opened at a revision to come passes over what leads there; no read finds nothing too early."""
    log.append(event(1))
    cursor = log.cursor("pods", after=6)
    for revision in range(2, 10):
        log.append(event(revision))
    assert read_all(cursor, limit) == [7, 8, 9]


def test_reader_of_the_future_misses_nothing_when_read_on_the_way(log: EventLog[str]) -> None:
    """Reading too early finds nothing and loses nothing."""
    cursor = log.cursor("pods", after=4)
    found = []
    for revision in range(1, 8):
        log.append(event(revision))
        found.append(read(cursor))
    assert found == [[], [], [], [], [5], [6], [7]]


@pytest.mark.parametrize("compacted", [2, 4, 5])
def test_reader_of_the_future_does_not_expire_by_what_came_before_it(
    log: EventLog[str], compacted: int
) -> None:
    """Events at or below the revision it was opened at are none of its own, so it can spare them."""
    cursor = log.cursor("pods", after=5)
    for revision in range(1, 8):
        log.append(event(revision))
    log.compact(compacted)
    assert read_all(cursor) == [6, 7]


def test_reader_of_the_future_does_not_expire_by_what_others_have_lost(log: EventLog[str]) -> None:
    """History may be trimmed past where it was opened, as long as nothing of its topic went from there on."""
    cursor = log.cursor("pods", after=5)
    log.append(event(3))
    log.append(event(7, "nodes"))
    log.append(event(8))
    log.compact(7)
    assert read_all(cursor) == [8]


# --- waking


@pytest.mark.parametrize(
    ("scope", "appended", "woken"),
    [
        pytest.param(None, event(1, "pods"), True, id="an event of the kind"),
        pytest.param(None, event(1, "pods", "east"), True, id="an event of a scope of the kind"),
        pytest.param("east", event(1, "pods", "east"), True, id="an event of the scope"),
        pytest.param("east", event(1, "pods", "west"), False, id="an event of another scope"),
        pytest.param("east", event(1, "pods"), False, id="an event of no scope"),
        pytest.param(None, event(1, "nodes"), False, id="an event of another kind"),
        pytest.param("east", event(1, "nodes", "east"), False, id="the scope of another kind"),
    ],
)
async def test_reader_is_woken_by_its_topic_alone(
    log: EventLog[str], scope: str | None, appended: Event[str], woken: bool
) -> None:
    """A write costs by the readers that care, and those are woken in the same step."""
    cursor = log.cursor("pods", scope, after=0)
    assert read(cursor) == []
    waiter = cursor.waiter()
    log.append(appended)
    assert waiter.done() == woken
    assert (cursor in log._topics["pods", scope].waiting) != woken, (
        "who is awake is not woken again"
    )
    assert read(cursor) == ([1] if woken else [])


async def test_each_reader_of_a_topic_is_woken_every_time(log: EventLog[str]) -> None:
    """Waking one reader does not take the wake-up from another, nor from its own next wait."""
    cursors = [log.cursor("pods", after=0) for _ in range(3)]
    for revision in (1, 2):
        waiters = [cursor.waiter() for cursor in cursors]
        log.append(event(revision))
        assert all(waiter.done() for waiter in waiters)
        assert [read(cursor) for cursor in cursors] == [[revision]] * 3


async def test_reader_that_gave_up_waiting_is_woken_when_it_waits_again(log: EventLog[str]) -> None:
    """A wait that timed out is no wait: the event arrives all the same, and the next wait works."""
    cursor = log.cursor("pods", after=0)
    cursor.waiter().cancel()
    log.append(event(1))
    assert read(cursor) == [1]
    waiter = cursor.waiter()
    log.append(event(2))
    assert waiter.done()


# --- interest


async def test_reader_is_not_woken_for_what_does_not_interest_it(log: EventLog[str]) -> None:
    """It passes over such events as they come: its position moves on and its sleep does not end."""
    cursor = log.cursor("pods", after=0, interested=is_even)
    waiter = cursor.waiter()
    for revision in (1, 3, 5):
        log.append(event(revision))
    assert not waiter.done()
    assert cursor.revision == 5
    log.append(event(6))
    assert waiter.done()
    assert read(cursor) == [6]


async def test_event_that_interests_is_never_passed_over(log: EventLog[str]) -> None:
    """However waiting and reading alternate with events, every event that interests is read, once, in order."""
    patterns: list[Callable[[int], bool]] = [
        lambda _: True,
        lambda n: n % 3 == 0,
        lambda n: n % 7 == 0,
        lambda n: n in {1, 2, 3, 30, 31},
    ]
    waits = [log.cursor("pods", after=0, interested=is_even) for _ in patterns]
    seen: list[list[int]] = [[] for _ in patterns]
    for revision in range(1, 61):
        for at, pattern in enumerate(patterns):
            if pattern(revision) and not (found := read(waits[at], 2)):
                waits[at].waiter()
            elif pattern(revision):
                seen[at] += found
        log.append(event(revision))
    for at, cursor in enumerate(waits):
        seen[at] += read_all(cursor)
        assert seen[at] == sorted(set(seen[at]))
        assert [n for n in seen[at] if n % 2 == 0] == list(range(2, 61, 2))


async def test_waiter_is_done_at_once_when_something_is_unread(log: EventLog[str]) -> None:
    """A reader may drop all that one read returned and wait: the rest must not sleep until something new comes."""
    cursor = log.cursor("pods", after=0, interested=is_even)
    for revision in (1, 3, 4):
        log.append(event(revision))
    assert read(cursor, 2) == [1, 3]
    assert cursor.waiter().done()
    log.append(event(5))
    assert read_all(cursor) == [4, 5], "nothing was passed over that came behind an unread event"


async def test_waiter_of_an_overtaken_reader_is_done_at_once(log: EventLog[str]) -> None:
    """It learns at once that its history has expired, not with the next event."""
    cursor = log.cursor("pods", after=0)
    for revision in (1, 2, 3):
        log.append(event(revision))
    read(cursor, 1)
    log.compact(3)
    assert cursor.waiter().done()
    with pytest.raises(Expired):
        cursor.read()


async def test_passing_over_works_the_same_after_trimming(log: EventLog[str]) -> None:
    """Positions survive the cutting of the list: a sleeper goes on sleeping, and wakes when it should."""
    for revision in (2, 4, 6):
        log.append(event(revision))
    cursor = log.cursor("pods", after=6, interested=is_even)
    waiter = cursor.waiter()
    for revision in (7, 9, 11):
        log.append(event(revision))
        log.compact(revision)
    assert (waiter.done(), cursor.revision) == (False, 11)
    log.append(event(12))
    assert waiter.done()
    assert read(cursor) == [12]


async def test_reader_does_not_expire_by_what_it_has_passed_over(log: EventLog[str]) -> None:
    """A filtered watch in a busy topic lives on when the noise that it slept through is trimmed."""
    cursor = log.cursor("pods", after=0, interested=is_even)
    waiter = cursor.waiter()
    for revision in range(1, 100, 2):
        log.append(event(revision))
    log.compact(99)
    assert not waiter.done()
    assert read(cursor) == []
    log.append(event(100))
    assert read(cursor) == [100]


# --- the revision that a reader has reached


async def test_revision_of_a_reader_is_what_it_has_read(log: EventLog[str]) -> None:
    """It moves with reading and with the events of others, and stops before the first unread one."""
    log.append(event(1))
    cursor = log.cursor("pods", "east", after=1)
    assert cursor.revision == 1
    log.append(event(3, "nodes"))
    assert cursor.revision == 3, "nothing of its topic is unread"
    log.append(event(7, "pods", "east"))
    log.append(event(8, "pods", "east"))
    log.append(event(9, "nodes"))
    assert cursor.revision == 6, "the next event to read is 7"
    read(cursor, 1)
    assert cursor.revision == 7
    read(cursor, 1)
    assert cursor.revision == 9
    log.compact(9)
    assert cursor.revision == 9


def test_revision_of_a_reader_of_the_future_is_not_behind_its_start(log: EventLog[str]) -> None:
    """It was opened knowing everything up to there."""
    cursor = log.cursor("pods", after=9)
    assert cursor.revision == 9
    log.append(event(4))
    assert cursor.revision == 9


@pytest.mark.parametrize("compacted", range(3, 12))
def test_revision_of_an_overtaken_reader_claims_nothing_unread(
    log: EventLog[str], compacted: int
) -> None:
    """Even when its next event is gone, a reader never says that it has read it."""
    for revision in range(1, 13):
        log.append(event(revision))
    cursor = log.cursor("pods", after=0)
    read(cursor, 2)
    log.compact(compacted)
    assert cursor.revision == 2


# --- slow readers


async def test_reader_that_never_reads_delays_nobody(clock: FakeClock) -> None:
    """Its neighbours get each event at once, the log holds no more than its limit, and it alone expires."""
    log: EventLog[str] = EventLog(clock, limit=10)
    slow = [log.cursor("pods", after=0) for _ in range(5)]
    stuck = [cursor.waiter() for cursor in slow]
    found: list[int] = []

    async def follow() -> None:
        cursor = log.cursor("pods", after=0)
        while len(found) < 100:
            found.extend(read(cursor))
            await cursor.waiter()

    task = asyncio.create_task(follow())
    for revision in range(1, 101):
        await asyncio.sleep(0)
        log.append(event(revision))
        assert len(log) <= 10
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert found == list(range(1, 101))
    task.cancel()
    assert all(waiter.done() for waiter in stuck)
    for cursor in slow:
        with pytest.raises(Expired):
            cursor.read()
        cursor.close()
