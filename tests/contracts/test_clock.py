"""A clock is a clock: what holds for the machine's holds for the one that tests move by hand."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest
from verger.watch.clock import Clock, FakeClock, SystemClock

UNIT = 0.004
"""Seconds. Long enough to tell timers apart, short enough to wait for a few of them on the machine's clock."""

NEVER = 30.0
"""Seconds after which a test fails instead of hanging; reaching them is a failure."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A clock, and the way to let its time pass until something has happened."""

    clock: Clock
    until: Callable[[asyncio.Event], Awaitable[None]]


def system() -> Subject:
    async def until(event: asyncio.Event) -> None:
        async with asyncio.timeout(NEVER):
            await event.wait()

    return Subject(SystemClock(), until)


def fake() -> Subject:
    clock = FakeClock()

    async def until(event: asyncio.Event) -> None:
        await clock.advance()
        for _ in range(100):
            if event.is_set():
                return
            wait = clock.next_timer()
            assert wait is not None, "no timer is left that could make it happen"
            await clock.advance(wait)
        pytest.fail("a hundred timers did not make it happen")

    return Subject(clock, until)


@pytest.fixture(
    params=[
        pytest.param(system, id="the machine's clock"),
        pytest.param(fake, id="the clock that tests move"),
    ]
)
def subject(request: pytest.FixtureRequest) -> Subject:
    made = request.param()
    assert isinstance(made, Subject)
    return made


# --- what holds for every clock


async def test_timers_fire_in_the_order_of_their_time(subject: Subject) -> None:
    """Timers fire in the order of their time, however they were set, and get their arguments."""
    fired: list[tuple[str, int]] = []
    last = asyncio.Event()
    subject.clock.call_later(4 * UNIT, last.set)
    for delay in (3, 1, 2):
        subject.clock.call_later(delay * UNIT, lambda *args: fired.append(args), "after", delay)
    await subject.until(last)
    assert fired == [("after", 1), ("after", 2), ("after", 3)]


async def test_timer_is_never_early(subject: Subject) -> None:
    """A timer fires when its delay has passed on the monotonic clock, not before."""
    fired = asyncio.Event()
    seen: list[float] = []
    begin = subject.clock.monotonic()
    subject.clock.call_later(2 * UNIT, lambda: seen.append(subject.clock.monotonic()))
    subject.clock.call_later(3 * UNIT, fired.set)
    await subject.until(fired)
    # The loop may fire within one tick of its own clock, which is far less than a tenth of a unit.
    assert seen[0] - begin >= 2 * UNIT - UNIT / 10


@pytest.mark.parametrize(
    "delay", [pytest.param(0.0, id="no delay"), pytest.param(-1.0, id="a time that has passed")]
)
async def test_timer_without_delay_fires_later_all_the_same(subject: Subject, delay: float) -> None:
    """Nothing runs inside `call_later`: its caller goes on first, then the loop runs the callback."""
    fired = asyncio.Event()
    subject.clock.call_later(delay, fired.set)
    assert not fired.is_set()
    begin = subject.clock.monotonic()
    await subject.until(fired)
    assert subject.clock.monotonic() - begin < NEVER


async def test_cancelled_timer_does_not_fire(subject: Subject) -> None:
    """A timer that is cancelled before its time does not run; the others do not mind."""
    fired: list[str] = []
    last = asyncio.Event()
    subject.clock.call_later(UNIT, fired.append, "before")
    timer = subject.clock.call_later(2 * UNIT, fired.append, "cancelled")
    subject.clock.call_later(3 * UNIT, last.set)
    timer.cancel()
    timer.cancel()
    await subject.until(last)
    assert fired == ["before"]


async def test_timer_cancelled_by_an_earlier_one_does_not_fire(subject: Subject) -> None:
    """Cancelling is in time as long as the callback has not run."""
    fired: list[str] = []
    last = asyncio.Event()
    timer = subject.clock.call_later(3 * UNIT, fired.append, "cancelled")
    subject.clock.call_later(UNIT, timer.cancel)
    subject.clock.call_later(4 * UNIT, last.set)
    await subject.until(last)
    assert fired == []


async def test_cancelling_what_has_fired_is_harmless(subject: Subject) -> None:
    """A timer can be cancelled after it ran: it has run once, and stays so."""
    fired: list[str] = []
    done, last = asyncio.Event(), asyncio.Event()
    timer = subject.clock.call_later(UNIT, fired.append, "once")
    subject.clock.call_later(UNIT, done.set)
    await subject.until(done)
    timer.cancel()
    subject.clock.call_later(UNIT, last.set)
    await subject.until(last)
    assert fired == ["once"]


async def test_timer_set_by_a_timer_fires(subject: Subject) -> None:
    """A callback runs on the event loop and can set the next timer."""
    last = asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    def first() -> None:
        loops.append(asyncio.get_running_loop())
        subject.clock.call_later(UNIT, last.set)

    subject.clock.call_later(UNIT, first)
    await subject.until(last)
    assert loops == [asyncio.get_running_loop()]


async def test_sleepers_wake_in_the_order_of_their_time(subject: Subject) -> None:
    """`sleep` ends when its delay has passed, the shortest first."""
    woken: list[int] = []
    slept: list[float] = []
    last = asyncio.Event()

    async def sleeper(units: int) -> None:
        begin = subject.clock.monotonic()
        await subject.clock.sleep(units * UNIT)
        slept.append((subject.clock.monotonic() - begin) / UNIT)
        woken.append(units)
        if units == 3:
            last.set()

    async with asyncio.TaskGroup() as tasks:
        for units in (3, 1, 2):
            tasks.create_task(sleeper(units))
        await subject.until(last)
    assert woken == [1, 2, 3]
    assert all(actual >= units - 0.1 for actual, units in zip(slept, woken, strict=True))


async def test_sleeper_that_is_cancelled_stops_sleeping(subject: Subject) -> None:
    """Cancellation ends a sleep at once and leaves the clock as it was for others."""
    task = asyncio.create_task(subject.clock.sleep(1000 * NEVER))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    last = asyncio.Event()
    subject.clock.call_later(UNIT, last.set)
    await subject.until(last)


async def test_monotonic_time_never_goes_back(subject: Subject) -> None:
    """Durations and deadlines are computed with it, so it only grows, across timers too."""
    seen = [subject.clock.monotonic()]
    for _ in range(3):
        fired = asyncio.Event()
        subject.clock.call_later(UNIT, fired.set)
        await subject.until(fired)
        seen.append(subject.clock.monotonic())
    assert seen == sorted(seen)
    assert seen[0] < seen[-1]


def test_time_is_seconds_since_the_epoch(subject: Subject) -> None:
    """Timestamps are printed from it: it is a date between 2020 and 2100, in seconds."""
    assert 1_577_836_800 < subject.clock.time() < 4_102_444_800


def test_machine_clock_tells_the_time_of_the_machine() -> None:
    """The system clock reads, it does not compute."""
    before, before_monotonic = time.time(), time.monotonic()
    clock = SystemClock()
    now, monotonic = clock.time(), clock.monotonic()
    assert before <= now <= time.time()
    assert before_monotonic <= monotonic <= time.monotonic()


# --- what tests rely on besides


async def test_fake_clock_stands_still_until_it_is_moved() -> None:
    """However often the loop turns, time passes only in `advance`, and exactly as much as it is told."""
    clock = FakeClock(start=1000.0)
    fired: list[str] = []
    clock.call_later(0.0, fired.append, "due")
    for _ in range(200):
        await asyncio.sleep(0)
    assert (clock.time(), clock.monotonic(), fired) == (1000.0, 0.0, [])
    await clock.advance(2.5)
    assert (clock.time(), clock.monotonic(), fired) == (1002.5, 2.5, ["due"])


@pytest.mark.parametrize(
    ("advanced", "expected"),
    [
        pytest.param([0.0], ["now"], id="no time passes: only what is due now"),
        pytest.param([0.999], ["now"], id="not quite the first time"),
        pytest.param([1.0], ["now", "a1", "b1"], id="a timer fires at its very second"),
        pytest.param([1.5], ["now", "a1", "b1"], id="between two timers"),
        pytest.param([3.0], ["now", "a1", "b1", "2", "3"], id="over all of them in one step"),
        pytest.param([1.5, 1.5], ["now", "a1", "b1", "2", "3"], id="over all of them in two steps"),
        pytest.param([0.5] * 4, ["now", "a1", "b1", "2"], id="in small steps"),
    ],
)
async def test_advance_runs_what_falls_due(advanced: list[float], expected: list[str]) -> None:
    """What is due by the new time runs, in the order of time, then in the order of setting."""
    clock = FakeClock()
    fired: list[str] = []
    for delay, name in ((3.0, "3"), (1.0, "a1"), (2.0, "2"), (1.0, "b1"), (-5.0, "now")):
        clock.call_later(delay, fired.append, name)
    for seconds in advanced:
        await clock.advance(seconds)
    assert fired == expected


async def test_delay_that_is_negative_is_no_delay() -> None:
    """A time that has passed is now: such a timer does not overtake one that was set before it."""
    clock = FakeClock()
    fired: list[str] = []
    clock.call_later(0.0, fired.append, "set first")
    clock.call_later(-1.0, fired.append, "set second")
    assert clock.next_timer() == 0.0
    await clock.advance()
    assert fired == ["set first", "set second"]


async def test_timer_sees_its_own_time() -> None:
    """Inside a callback the clock shows the time it was set for, not the end of the step."""
    clock = FakeClock(start=0.0)
    seen: list[tuple[float, float]] = []
    for delay in (1.25, 4.0):
        clock.call_later(delay, lambda: seen.append((clock.monotonic(), clock.time())))
    await clock.advance(10.0)
    assert seen == [(1.25, 1.25), (4.0, 4.0)]
    assert clock.monotonic() == 10.0


async def test_what_a_timer_woke_has_run_before_the_next_one_fires() -> None:
    """Between two timers the loop turns, for equal times too, through a chain of tasks."""
    clock = FakeClock()
    seen: list[str] = []
    first, second = asyncio.Event(), asyncio.Event()

    async def link(before: asyncio.Event, after: asyncio.Event | None, name: str) -> None:
        await before.wait()
        seen.append(name)
        if after is not None:
            after.set()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(link(second, None, "what it woke in turn"))
        tasks.create_task(link(first, second, "what the first timer woke"))
        clock.call_later(1.0, first.set)
        clock.call_later(1.0, seen.append, "the second timer")
        await clock.advance(1.0)
    assert seen == ["what the first timer woke", "what it woke in turn", "the second timer"]


async def test_task_started_just_before_advance_sets_its_timer_first() -> None:
    """`advance` lets tasks begin, so that their first sleep counts from before the step."""
    clock = FakeClock()
    task = asyncio.create_task(clock.sleep(5.0))
    await clock.advance(5.0)
    assert task.done()


async def test_timers_set_during_a_step_fire_in_that_step_when_due() -> None:
    """A nested timer counts from the time of the one that set it; what lies beyond the step waits."""
    clock = FakeClock()
    seen: list[float] = []

    def again() -> None:
        seen.append(clock.monotonic())
        if len(seen) < 5:
            clock.call_later(2.0, again)

    clock.call_later(1.0, again)
    await clock.advance(6.0)
    assert seen == [1.0, 3.0, 5.0]
    assert clock.next_timer() == 1.0
    await clock.advance(1.0)
    assert seen == [1.0, 3.0, 5.0, 7.0]


async def test_next_timer_tells_how_long_to_wait() -> None:
    """`next_timer` is the time to the next callback that will run: no cancelled one, None for none."""
    clock = FakeClock()
    assert clock.next_timer() is None
    late = clock.call_later(9.0, list)
    soon = clock.call_later(4.0, list)
    assert clock.next_timer() == 4.0
    await clock.advance(1.0)
    assert clock.next_timer() == 3.0
    soon.cancel()
    assert clock.next_timer() == 8.0
    clock.call_later(0.0, list)
    assert clock.next_timer() == 0.0
    await clock.advance()
    late.cancel()
    assert clock.next_timer() is None


async def test_cancelled_sleep_leaves_no_timer_behind() -> None:
    """A test that asks for the next timer is not sent to wait for a sleeper that has gone."""
    clock = FakeClock()
    task = asyncio.create_task(clock.sleep(7.0))
    await clock.advance()
    assert clock.next_timer() == 7.0
    task.cancel()
    await asyncio.wait([task])
    assert clock.next_timer() is None
