"""The queue is fair, stingy, single and patient: a key waits its turn, once, for one worker, and is never given up."""

import asyncio

import pytest
from verger.watch.clock import FakeClock
from verger.watch.workqueue import (
    BACKOFF_CAP,
    BACKOFF_FIRST,
    QueueShutDown,
    WorkQueue,
)


@pytest.fixture
def queue(clock: FakeClock) -> WorkQueue[str]:
    return WorkQueue(clock)


async def turns() -> None:
    """Lets every task go on that can; the chains of these tests are far shorter."""
    for _ in range(10):
        await asyncio.sleep(0)


async def take(queue: WorkQueue[str]) -> str:
    """The next key, which must be there."""
    getting = asyncio.create_task(queue.get())
    await turns()
    assert getting.done(), "there is nothing to take"
    return getting.result()


async def drain(queue: WorkQueue[str]) -> list[str]:
    """Works off everything that is queued now."""
    keys: list[str] = []
    while queue.statistics().depth:
        keys.append(await take(queue))
        queue.done(keys[-1])
        assert len(keys) < 100, "it never ends"
    return keys


# --- the four guarantees


async def test_queue_is_fair(queue: WorkQueue[str]) -> None:
    """First come, first served: also for a key that comes again while others wait."""
    for key in ("c", "a", "b"):
        queue.add(key)
    assert await take(queue) == "c"
    queue.add("c")
    queue.done("c")
    assert await drain(queue) == ["a", "b", "c"]


async def test_queue_is_stingy(queue: WorkQueue[str]) -> None:
    """A key that is added many times before its turn is worked on once."""
    for _ in range(5):
        queue.add("a")
        queue.add("b")
    assert queue.statistics().depth == 2
    assert await drain(queue) == ["a", "b"]


async def test_queue_is_single(queue: WorkQueue[str]) -> None:
    """While a key is worked on nobody else gets it; what was added meanwhile runs again afterwards, once."""
    queue.add("a")
    assert await take(queue) == "a"
    queue.add("a")
    queue.add("a")
    other = asyncio.create_task(queue.get())
    await turns()
    assert not other.done()
    assert (queue.statistics().depth, queue.processing()) == (0, ["a"])
    queue.done("a")
    await turns()
    assert other.done()
    assert other.result() == "a"
    queue.done("a")
    assert queue.is_idle


async def test_queue_is_patient(queue: WorkQueue[str], clock: FakeClock) -> None:
    """A key that always fails is tried for ever: after any number of failures the next try comes."""
    queue.add("a")
    for tries in range(1, 80):
        async with queue.work() as key:
            assert queue.failures(key) == tries - 1
            delay = queue.add_backoff(key)
        await clock.advance(delay)
        assert queue.statistics().depth == 1


async def test_done_ends_work_for_good_when_nothing_new_came(queue: WorkQueue[str]) -> None:
    """A key that was not added again is not queued again."""
    queue.add("a")
    queue.done(await take(queue))
    assert queue.statistics()[:6] == (0, 0, 0, 0, 1, 0)


# --- waiting for a key


async def test_waiting_workers_are_served_in_their_order(queue: WorkQueue[str]) -> None:
    """Each key wakes one worker, the one that has waited longest."""
    served: list[tuple[str, str]] = []

    async def worker(name: str) -> None:
        served.append((name, await queue.get()))

    tasks = [asyncio.create_task(worker(name)) for name in ("first", "second", "third")]
    await turns()
    queue.add("a")
    queue.add("b")
    await turns()
    assert served == [("first", "a"), ("second", "b")]
    queue.add("c")
    await turns()
    assert served[2:] == [("third", "c")]
    assert all(task.done() for task in tasks)


async def test_key_that_another_worker_took_leaves_the_woken_one_waiting(
    queue: WorkQueue[str],
) -> None:
    """A wake-up is a hint: who comes too late waits again, and is woken again."""
    late = asyncio.create_task(queue.get())
    await turns()
    queue.add("a")
    assert await queue.get() == "a"
    await turns()
    assert not late.done()
    queue.add("b")
    await turns()
    assert late.done()
    assert late.result() == "b"


@pytest.mark.parametrize(
    "woken",
    [
        pytest.param(False, id="before its wake-up"),
        pytest.param(True, id="together with its wake-up"),
    ],
)
async def test_worker_that_is_cancelled_hands_its_wake_up_on(
    queue: WorkQueue[str], woken: bool
) -> None:
    """A key that was meant for a worker that goes reaches the next one in line, not nobody."""
    going = asyncio.create_task(queue.get())
    staying = asyncio.create_task(queue.get())
    await turns()
    if woken:
        queue.add("a")
    going.cancel()
    if not woken:
        queue.add("a")
    await turns()
    assert going.cancelled()
    assert staying.done()
    assert staying.result() == "a"


async def test_worker_that_is_cancelled_is_forgotten(queue: WorkQueue[str]) -> None:
    """Workers that come and go leave nothing behind that could swallow a wake-up."""
    for _ in range(3):
        task = asyncio.create_task(queue.get())
        await turns()
        task.cancel()
        await asyncio.wait([task])
    assert not queue._waiters


async def test_work_is_done_even_when_it_fails(queue: WorkQueue[str]) -> None:
    """`work` ends with `done` whatever happens, so that a key is never stuck."""

    async def fail() -> None:
        async with queue.work() as key:
            queue.add(key)
            raise LookupError

    queue.add("a")
    with pytest.raises(LookupError):
        await fail()
    assert await drain(queue) == ["a"]
    assert queue.is_idle


# --- delays


@pytest.mark.parametrize(
    ("delays", "expected"),
    [
        pytest.param([("a", 3.0)], {3.0: ["a"]}, id="one delay"),
        pytest.param([("a", 5.0), ("a", 3.0)], {3.0: ["a"]}, id="an earlier time replaces a later"),
        pytest.param([("a", 3.0), ("a", 5.0)], {3.0: ["a"]}, id="a later time is ignored"),
        pytest.param([("a", 3.0), ("a", 3.0)], {3.0: ["a"]}, id="the same time counts once"),
        pytest.param(
            [("a", 5.0), ("b", 4.0), ("a", 3.0)],
            {3.0: ["a"], 4.0: ["b"]},
            id="a replaced time does not hold up another key",
        ),
        pytest.param(
            [("b", 5.0), ("a", 5.0), ("a", 3.0)],
            {3.0: ["a"], 5.0: ["b"]},
            id="a replaced time does not come along with another key of that time",
        ),
        pytest.param(
            [("a", 2.0), ("b", 2.0), ("c", 1.0)],
            {1.0: ["c"], 2.0: ["a", "b"]},
            id="equal times in the order of asking",
        ),
        pytest.param([("a", 0.0), ("b", -1.0)], {0.0: ["a", "b"]}, id="no delay: at once"),
        pytest.param(
            [("a", 3.0), ("a", 0.0)], {0.0: ["a"], 3.0: ["a"]}, id="at once does not cancel later"
        ),
    ],
)
async def test_delayed_key_comes_at_its_time(
    queue: WorkQueue[str],
    clock: FakeClock,
    delays: list[tuple[str, float]],
    expected: dict[float, list[str]],
) -> None:
    """Of two delays of one key the one that ends earlier counts, and nothing comes early, late or twice."""
    for key, delay in delays:
        queue.add_after(key, delay)
    came: dict[float, list[str]] = {}
    for _ in range(15):
        if keys := await drain(queue):
            came[clock.monotonic()] = keys
        await clock.advance(0.5)
    assert came == expected
    assert (queue.statistics().delayed, clock.next_timer()) == (0, None)


async def test_delay_can_be_set_again_at_a_time_that_was_replaced(
    queue: WorkQueue[str], clock: FakeClock
) -> None:
    """A time that was replaced and is asked for again is a new delay: it comes, once."""
    queue.add_after("a", 5.0)
    queue.add_after("b", 4.5)
    queue.add_after("a", 3.0)
    await clock.advance(3.0)
    assert await drain(queue) == ["a"]
    queue.add_after("a", 2.0)
    await clock.advance(2.0)
    assert await drain(queue) == ["b", "a"]
    await clock.advance(10.0)
    assert await drain(queue) == []


async def test_delayed_key_wakes_a_waiting_worker(queue: WorkQueue[str], clock: FakeClock) -> None:
    """A worker may wait for a key whose time has not come."""
    waiting = asyncio.create_task(queue.get())
    queue.add_after("a", 60.0)
    await clock.advance(59.9)
    assert not waiting.done()
    await clock.advance(0.1)
    assert waiting.done()
    assert waiting.result() == "a"


async def test_delayed_key_that_falls_due_in_work_runs_again(
    queue: WorkQueue[str], clock: FakeClock
) -> None:
    """A delay that ends while its key is worked on counts like an addition."""
    queue.add("a")
    queue.add_after("a", 1.0)
    await take(queue)
    await clock.advance(1.0)
    assert queue.statistics().depth == 0
    queue.done("a")
    assert await drain(queue) == ["a"]


class TickBehind(FakeClock):
    """A clock that reads a tick less than the time at which its timers fire."""

    def monotonic(self) -> float:
        return super().monotonic() - (1e-9 if super().monotonic() else 0.0)


async def test_timer_that_fires_a_tick_early_is_not_lost() -> None:
    """Event loops round: a key whose timer has fired is due, though the clock says almost."""
    clock = TickBehind()
    queue: WorkQueue[str] = WorkQueue(clock)
    queue.add_after("a", 1.0)
    await clock.advance(1.0)
    assert await drain(queue) == ["a"]


# --- backoff


async def test_backoff_doubles_for_each_failure_up_to_the_cap(queue: WorkQueue[str]) -> None:
    """5 ms, then twice as long each time, up to 1000 s and no further, however often."""
    delays = [queue.add_backoff("a") for _ in range(100)]
    assert delays[:5] == pytest.approx([0.005, 0.01, 0.02, 0.04, 0.08])
    assert delays[17] == pytest.approx(655.36)
    assert set(delays[18:]) == {1000.0}
    assert (delays[0], delays[-1]) == (BACKOFF_FIRST, BACKOFF_CAP)


async def test_backoff_survives_any_number_of_failures(clock: FakeClock) -> None:
    """A key that has failed for years still gets its delay: the doubling does not overflow."""
    queue: WorkQueue[str] = WorkQueue(clock, cap=float("inf"))
    queue._failures["a"] = 10**9
    assert queue.add_backoff("a") == BACKOFF_FIRST * 2.0**60


async def test_first_delay_and_cap_can_be_chosen(clock: FakeClock) -> None:
    """A controller may have its own patience."""
    queue: WorkQueue[str] = WorkQueue(clock, first=1.0, cap=5.0)
    assert [queue.add_backoff("a") for _ in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]


async def test_each_key_has_its_own_backoff_until_forgotten(
    queue: WorkQueue[str], clock: FakeClock
) -> None:
    """One key's failures slow no other key down, and success makes its next failure the first again."""
    for _ in range(3):
        queue.add_backoff("a")
    assert queue.add_backoff("b") == pytest.approx(0.005)
    assert (queue.failures("a"), queue.failures("b"), queue.failures("c")) == (3, 1, 0)
    queue.forget("a")
    queue.forget("never failed")
    assert (queue.failures("a"), queue.failures("b")) == (0, 1)
    assert queue.add_backoff("a") == pytest.approx(0.005)
    await clock.advance(0.0049)
    assert await drain(queue) == []
    await clock.advance(0.0002)
    assert sorted(await drain(queue)) == ["a", "b"]


# --- the end


async def test_shut_down_lets_the_queued_be_fetched_and_then_says_so(
    queue: WorkQueue[str], clock: FakeClock
) -> None:
    """Nothing more comes in, delays are dropped, what is queued is worked off, then there is no more work."""
    queue.add("a")
    queue.add("b")
    queue.add_after("c", 1.0)
    queue.shut_down()
    queue.add("d")
    queue.add_after("e", 0.0)
    queue.add_after("f", 1.0)
    assert (queue.statistics().delayed, clock.next_timer()) == (0, None)
    assert [await take(queue), await take(queue)] == ["a", "b"]
    await clock.advance(5.0)
    for _ in range(2):
        with pytest.raises(QueueShutDown):
            await queue.get()
    assert (queue.statistics().delayed, clock.next_timer()) == (0, None)


async def test_shut_down_wakes_every_waiting_worker(queue: WorkQueue[str]) -> None:
    """Nobody is left waiting for work that cannot come; shutting down twice is harmless."""
    tasks = [asyncio.create_task(queue.get()) for _ in range(3)]
    await turns()
    queue.shut_down()
    queue.shut_down()
    await turns()
    assert all(task.done() for task in tasks)
    assert all(isinstance(task.exception(), QueueShutDown) for task in tasks)


async def test_key_that_became_dirty_in_work_is_fetched_after_shut_down(
    queue: WorkQueue[str],
) -> None:
    """What was taken in before the end is not lost by it."""
    queue.add("a")
    await take(queue)
    queue.add("a")
    queue.shut_down()
    queue.done("a")
    assert await take(queue) == "a"


# --- idleness and statistics


async def test_idle_waits_for_the_queued_and_for_those_in_work(queue: WorkQueue[str]) -> None:
    """Idle is when nothing is queued and nothing is being worked on, again included."""
    await queue.idle()
    queue.add("a")
    queue.add("b")
    waiting = [asyncio.create_task(queue.idle()) for _ in range(2)]
    for key in ("a", "b"):
        assert await take(queue) == key
    queue.add("b")
    queue.done("a")
    await turns()
    queue.done("b")
    await turns()
    assert not any(task.done() for task in waiting), "b is queued once more"
    queue.done(await take(queue))
    await turns()
    assert all(task.done() for task in waiting)


async def test_idle_that_was_over_before_it_was_seen_is_waited_for_again(
    queue: WorkQueue[str],
) -> None:
    """Who waits for idleness finds the queue idle when it goes on, not only some time before."""
    queue.add("a")
    seen: list[bool] = []

    async def wait() -> None:
        await queue.idle()
        seen.append(queue.is_idle)

    task = asyncio.create_task(wait())
    await turns()
    queue.done(await take(queue))
    queue.add("b")
    await turns()
    assert seen == []
    queue.done(await take(queue))
    await turns()
    assert (seen, task.done()) == ([True], True)
    assert not queue._idle_waiters


async def test_delayed_keys_do_not_count_against_idleness(
    queue: WorkQueue[str], clock: FakeClock
) -> None:
    """A key that waits for its time may wait for hours; the queue is idle meanwhile."""
    queue.add_after("a", 3600.0)
    assert queue.is_idle
    await queue.idle()
    await clock.advance(3600.0)
    assert not queue.is_idle


async def test_waiter_for_idleness_that_gave_up_harms_nobody(queue: WorkQueue[str]) -> None:
    """A time limit on `idle` does not break the queue for those who wait on."""
    queue.add("a")
    gave_up, stays = asyncio.create_task(queue.idle()), asyncio.create_task(queue.idle())
    await turns()
    gave_up.cancel()
    await turns()
    queue.done(await take(queue))
    await turns()
    assert stays.done()
    assert gave_up.cancelled()
    assert not queue._idle_waiters


async def test_statistics_show_the_queue_at_this_moment(queue: WorkQueue[str]) -> None:
    """Every number counts what its name says, and only additions that were needed are counted."""
    queue.add("a")
    queue.add("a")
    queue.add("b")
    queue.add("c")
    await take(queue)
    await take(queue)
    queue.add("a")
    queue.add_after("x", 1.0)
    queue.add_after("x", 0.5)
    queue.add_backoff("b")
    queue.add_backoff("b")
    queue.add_backoff("y")
    queue.forget("y")
    found = queue.statistics()
    assert (found.depth, found.processing, found.delayed, found.failing) == (1, 2, 3, 1)
    assert (found.adds, found.retries) == (4, 3)
    assert sorted(queue.processing()) == ["a", "b"]
    queue.done("a")
    assert queue.statistics().depth == 2


async def test_view_shows_what_matters_most(queue: WorkQueue[str], clock: FakeClock) -> None:
    """The first in line, the longest in work, the next in time, the most often failed: no more of each than asked for."""
    for key in "abcdefg":
        queue.add(key)
    for later in (1.0, 2.0):
        await take(queue)
        await clock.advance(later)
    for key, delay in (("x", 30.0), ("y", 10.0), ("z", 20.0)):
        queue.add_after(key, delay)
    for key in "mnno":
        queue.add_backoff(key)
    await clock.advance(1.0)
    view = queue.view(2)
    assert view.queued == ["c", "d"]
    assert view.working == [("a", 4.0), ("b", 3.0)]
    assert view.delayed == [("y", 9.0), ("z", 19.0)]
    assert view.failing == [("n", 2), ("m", 1)]
    statistics = queue.statistics()
    assert (statistics.unfinished, statistics.longest) == (7.0, 4.0)


async def test_times_of_waiting_and_work_are_kept(queue: WorkQueue[str], clock: FakeClock) -> None:
    """From when a key was added until a worker took it, and from then until it was done; nothing else is kept of it."""
    queue.add("a")
    await clock.advance(2.0)
    key = await take(queue)
    queue.add(key)  # once more, while it is worked on
    await clock.advance(0.5)
    queue.done(key)
    await take(queue)
    found = queue.statistics()
    assert (found.waited.total, sum(found.waited.counts)) == (2.5, 2)
    assert (found.worked.total, sum(found.worked.counts)) == (0.5, 1)
    assert list(found.worked.buckets())[-3:] == [("1.0", 1.0), ("10.0", 1.0), ("+Inf", 1.0)]
    assert found.longest == 0.0
