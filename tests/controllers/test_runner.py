"""A piece of work has one of four outcomes, and no key is ever lost."""

import asyncio

import pytest
from verger.controllers.reconcile import DONE, Result, Terminal

from tests.controllers.harness import Cluster
from tests.controllers.objects import namespace
from tests.controllers.scripted import Managed, Scripted


async def test_done() -> None:
    """A key that is done is not looked at again until something changes."""
    cluster = Cluster()
    scripted = Scripted(cluster)
    await cluster.create(namespace("one"))
    async with Managed(cluster, scripted):
        await cluster.clock.advance(10_000)
        assert scripted.started == [(0, "one")]
        await cluster.label("Namespace", "one")
        await cluster.clock.advance()
        assert scripted.keys == ["one", "one"]


async def test_again_after_a_while() -> None:
    """A result with a time brings the key back at that time, each time anew, and is no failure."""
    cluster = Cluster()

    async def wait(_: str) -> Result:
        return Result(after=7.0)

    scripted = Scripted(cluster, wait)
    await cluster.create(namespace("one"))
    async with Managed(cluster, scripted) as manager:
        await cluster.clock.advance(21)
        assert scripted.times == [0, 7, 14, 21]
        assert manager.errors("scripted") == []
        assert manager.statistics()["scripted"].retries == 0


async def test_zero_is_a_time() -> None:
    """A result with the time zero brings the key back at once."""
    cluster = Cluster()
    left = [Result(after=0.0), Result(after=0.0)]

    async def again(_: str) -> Result:
        return left.pop() if left else DONE

    scripted = Scripted(cluster, again)
    await cluster.create(namespace("one"))
    async with Managed(cluster, scripted):
        assert scripted.times == [0, 0, 0]


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(RuntimeError("broken"), id="any error"),
        pytest.param(TimeoutError(), id="a timeout"),
        pytest.param(ExceptionGroup("many", [ValueError("one")]), id="a group of errors"),
    ],
)
async def test_error(error: Exception) -> None:
    """A key that fails is tried for ever, after 5 ms and twice as long each time, up to the controller's cap."""
    cluster = Cluster()

    async def fail(_: str) -> Result:
        raise error

    scripted = Scripted(cluster, fail, backoff_cap=0.03)
    await cluster.create(namespace("one"))
    async with Managed(cluster, scripted) as manager:
        await cluster.clock.advance(0.125)
        assert scripted.times == [0, 0.005, 0.015, 0.035, 0.065, 0.095, 0.125]
        assert manager.statistics()["scripted"].failing == 1
        assert manager.errors("scripted") == [f"one: {error}"] * 7


async def test_success_ends_the_backoff() -> None:
    """The first failure after a success is a first failure again."""
    cluster = Cluster()
    script = [True, True, False, True, False]

    async def sometimes(_: str) -> Result:
        if script and script.pop(0):
            raise RuntimeError("broken")
        return DONE

    scripted = Scripted(cluster, sometimes)
    await cluster.create(namespace("one"))
    async with Managed(cluster, scripted) as manager:
        await cluster.clock.advance(1)
        await cluster.label("Namespace", "one")
        await cluster.clock.advance(1)
        assert scripted.times == [0, 0.005, 0.015, 1, 1.005]
        assert manager.statistics()["scripted"].failing == 0


async def test_terminal() -> None:
    """What no repetition can help is told, and forgotten until something changes; its backoff is forgotten too."""
    cluster = Cluster()
    script: list[Exception] = [RuntimeError("a"), Terminal("hopeless"), RuntimeError("b")]

    async def give_up(_: str) -> Result:
        if script:
            raise script.pop(0)
        return DONE

    scripted = Scripted(cluster, give_up)
    await cluster.create(namespace("one"))
    async with Managed(cluster, scripted) as manager:
        await cluster.clock.advance(10_000)
        assert scripted.times == [0, 0.005]
        assert manager.errors("scripted") == ["one: a", "one: hopeless"]
        assert "given up" in cluster.log.said("warning")
        assert manager.statistics()["scripted"].failing == 0
        await cluster.label("Namespace", "one")
        await cluster.clock.advance(1)
        assert scripted.times[2:] == [10_000, 10_000.005]


async def test_first_failures_are_not_worth_a_warning() -> None:
    """Races are settled by the next try: a key is warned about from its fifth failure on."""
    cluster = Cluster()

    async def fail(_: str) -> Result:
        raise RuntimeError("broken")

    scripted = Scripted(cluster, fail)
    await cluster.create(namespace("one"))
    async with Managed(cluster, scripted):
        await cluster.clock.advance(0.0751)
        assert len(scripted.started) == 5
        failed = [level for level, event, _ in cluster.log.lines if event == "failed"]
        assert failed == ["debug"] * 4 + ["warning"]


async def test_last_twenty_errors_are_kept() -> None:
    """Those who ask what is wrong hear of the newest."""
    cluster = Cluster()
    count = iter(range(1000))

    async def fail(_: str) -> Result:
        raise RuntimeError(str(next(count)))

    scripted = Scripted(cluster, fail, backoff_cap=1)
    await cluster.create(namespace("one"))
    async with Managed(cluster, scripted) as manager:
        await cluster.clock.advance(50)
        last = len(scripted.started) - 1
        assert manager.errors("scripted") == [f"one: {n}" for n in range(last - 19, last + 1)]


async def test_key_is_never_worked_on_twice_at_a_time() -> None:
    """A key that changes while it is worked on is looked at once more afterwards; others go on meanwhile."""
    cluster = Cluster()
    gate = asyncio.Event()

    async def slow(key: str) -> Result:
        if key == "one":
            await gate.wait()
        return DONE

    scripted = Scripted(cluster, slow, workers=3)
    await cluster.create(namespace("one"), namespace("two"))
    async with Managed(cluster, scripted) as manager:
        for _ in range(3):
            await cluster.label("Namespace", "one")
            await cluster.clock.advance()
        assert sorted(scripted.keys) == ["one", "two"]
        assert not manager.idle
        gate.set()
        await cluster.clock.advance()
        assert scripted.keys.count("one") == 2
        assert manager.idle


@pytest.mark.parametrize("workers", [1, 3])
async def test_worker_that_is_killed_hands_its_key_on(workers: int) -> None:
    """A worker that is cancelled in the middle loses nothing: the key is worked on again, and the controller goes on."""
    cluster = Cluster()
    stuck: list[asyncio.Task[object] | None] = []

    async def hang(_: str) -> Result:
        if not stuck:
            stuck.append(asyncio.current_task())
            await asyncio.get_running_loop().create_future()
        return DONE

    scripted = Scripted(cluster, hang, workers=workers)
    await cluster.create(namespace("one"))
    async with Managed(cluster, scripted) as manager:
        (worker,) = stuck
        assert worker is not None
        worker.cancel()
        await cluster.clock.advance(60)
        assert scripted.keys == ["one", "one"]
        assert manager.running("scripted")
        await cluster.create(namespace("two"))
        await cluster.clock.advance()
        assert scripted.keys[-1] == "two"


async def test_controller_that_is_stopped_in_the_middle_starts_over() -> None:
    """What was being worked on when it was stopped is worked on again when it is started."""
    cluster = Cluster()
    hanging = True

    async def hang(_: str) -> Result:
        if hanging:
            await asyncio.get_running_loop().create_future()
        return DONE

    scripted = Scripted(cluster, hang)
    await cluster.create(namespace("one"), namespace("two"))
    async with Managed(cluster, scripted) as manager:
        await manager.stop("scripted")
        hanging = False
        manager.start("scripted")
        await cluster.clock.advance()
        assert scripted.keys == ["one", "one", "two"]


async def test_settled_waits_for_the_first_look() -> None:
    """A controller is settled when it has seen the world and done what it asked for, not before."""
    cluster = Cluster()
    gate = asyncio.Event()

    async def slow(_: str) -> Result:
        await gate.wait()
        return DONE

    scripted = Scripted(cluster, slow)
    await cluster.create(namespace("one"))
    async with Managed(cluster, scripted) as manager:
        settled = asyncio.create_task(manager.settled(["scripted"]))
        await cluster.clock.advance()
        assert not settled.done()
        assert manager.synced("scripted")
        gate.set()
        await cluster.clock.advance()
        assert settled.done()
