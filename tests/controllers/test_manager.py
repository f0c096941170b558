"""Controllers are chosen, started and stopped by name, and none of them can go on without the others knowing it broke."""

import asyncio
from collections.abc import Sequence

import pytest
from verger.controllers.manager import UnknownController, selected
from verger.controllers.reconcile import DONE, Result

from tests.controllers.harness import Cluster
from tests.controllers.objects import namespace
from tests.controllers.scripted import Managed, Scripted

KNOWN = ["a", "b", "c"]


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        pytest.param(["*"], ["a", "b", "c"], id="star is all"),
        pytest.param([], [], id="nothing is none"),
        pytest.param([""], [], id="an empty item is none"),
        pytest.param(["b"], ["b"], id="a name is that one alone"),
        pytest.param(["c", "a"], ["a", "c"], id="names come in the order in which they start"),
        pytest.param(["*", "-b"], ["a", "c"], id="star less one"),
        pytest.param(["-b", "*"], ["a", "c"], id="in any order"),
        pytest.param(["-b"], [], id="minus without star leaves nothing"),
        pytest.param(["*", "a"], ["a", "b", "c"], id="star and a name is all"),
        pytest.param(["b", "-b"], ["b"], id="what is said first counts"),
        pytest.param(["*", "-a", "-b", "-c"], [], id="star less all is none"),
        pytest.param(["a", "a"], ["a"], id="twice is once"),
    ],
)
def test_selected(expression: Sequence[str], names: Sequence[str]) -> None:
    """Names switch on, minus switches off, a star stands for the others. upstream: IsControllerEnabled"""
    assert selected(expression, KNOWN) == names


@pytest.mark.parametrize(
    ("expression", "name"),
    [
        pytest.param(["d"], "d", id="a name"),
        pytest.param(["*", "-d"], "d", id="a name with a minus"),
        pytest.param(["a", "-"], "", id="a minus without a name"),
        pytest.param(["**"], "**", id="two stars"),
        pytest.param(["--a"], "-a", id="two minuses"),
        pytest.param([" a"], " a", id="a name with a blank"),
        pytest.param(["-*"], "*", id="minus star"),
        pytest.param(["A"], "A", id="another case"),
    ],
)
def test_selected_unknown(expression: Sequence[str], name: str) -> None:
    """A name that nobody has is an error that tells which there are."""
    with pytest.raises(UnknownController) as caught:
        selected(expression, KNOWN)
    assert str(caught.value) == f'"{name}" is not in the list of known controllers: a, b, c'


async def test_started_and_stopped_by_name() -> None:
    """A controller that is stopped does nothing; one that is started again catches up; the others go on."""
    cluster = Cluster()
    one, two = Scripted(cluster, name="one"), Scripted(cluster, name="two")
    async with Managed(cluster, one, two) as manager:
        assert manager.names == ["one", "two"]
        assert manager.running("one")
        assert manager.synced("one")
        await manager.stop("one")
        assert not manager.running("one")
        assert not manager.synced("one")
        assert list(manager.statistics()) == ["two"]
        await cluster.create(namespace("x"))
        await cluster.clock.advance()
        assert (one.keys, two.keys) == ([], ["x"])
        manager.start("one")
        await cluster.clock.advance()
        assert (one.keys, two.keys) == (["x"], ["x"])


async def test_starting_and_stopping_twice() -> None:
    """One that runs goes on, one that does not run stays away."""
    cluster = Cluster()
    scripted = Scripted(cluster)
    async with Managed(cluster, scripted) as manager:
        manager.start("scripted")
        await cluster.clock.advance()
        assert scripted.subscriptions == 1
        await manager.stop("scripted")
        await manager.stop("scripted")
        manager.start("scripted")
        manager.start("scripted")
        await cluster.clock.advance()
        assert scripted.subscriptions == 2


async def test_stop_waits_for_the_end() -> None:
    """When `stop` returns, nothing of the controller runs any more."""
    cluster = Cluster()
    ended: list[str] = []

    async def hang(key: str) -> Result:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.sleep(0)
            ended.append(key)
        return DONE

    scripted = Scripted(cluster, hang, workers=2)
    await cluster.create(namespace("x"), namespace("y"))
    async with Managed(cluster, scripted) as manager:
        await manager.stop("scripted")
        assert sorted(ended) == ["x", "y"]


async def test_stopped_controller_hears_of_nothing() -> None:
    """Its handlers are gone: a controller that was stopped and started many times hears of a change once."""
    cluster = Cluster()
    scripted = Scripted(cluster)
    async with Managed(cluster, scripted) as manager:
        for _ in range(5):
            await manager.stop("scripted")
            manager.start("scripted")
            await cluster.clock.advance()
        adds = manager.statistics()["scripted"].adds
        await cluster.create(namespace("x"))
        await cluster.clock.advance()
        assert manager.statistics()["scripted"].adds == adds + 1


@pytest.mark.parametrize("method", ["running", "synced", "errors", "start"])
async def test_unknown_names(method: str) -> None:
    """Every question about a controller that is not there is an error that tells which there are."""
    cluster = Cluster()
    async with Managed(cluster, Scripted(cluster)) as manager:
        with pytest.raises(UnknownController, match="known controllers: scripted"):
            getattr(manager, method)("nobody")
        with pytest.raises(UnknownController):
            await manager.stop("nobody")
        with pytest.raises(UnknownController):
            await manager.settled(["nobody"])


async def test_start_needs_a_manager_that_runs() -> None:
    """Tasks belong to the manager's run: outside of it, nothing can be started."""
    cluster = Cluster()
    managed = Managed(cluster, Scripted(cluster))
    with pytest.raises(RuntimeError):
        managed.manager.start("scripted")
    async with managed as manager:
        pass
    assert not manager.running("scripted")
    with pytest.raises(RuntimeError):
        manager.start("scripted")


async def test_one_watch_for_all() -> None:
    """Controllers share the informer of a kind: one list and one watch, however many there are."""
    cluster = Cluster()
    scripted = [Scripted(cluster, name=f"s{n}") for n in range(4)]
    await cluster.create(namespace("x"))
    async with Managed(cluster, *scripted):
        assert [str(call) for call in cluster.informers.calls] == [
            "list Namespace",
            "watch Namespace",
        ]
        assert [s.keys for s in scripted] == [["x"]] * 4


class Broken(BaseException):
    """What no controller may survive."""


async def test_controller_that_breaks_ends_the_manager() -> None:
    """An error that is no Exception is no outcome of work: everything ends, with that error."""
    cluster = Cluster()

    async def break_(_: str) -> Result:
        raise Broken

    broken = Scripted(cluster, break_, name="broken", workers=3)
    fine = Scripted(cluster, name="fine")
    managed = Managed(cluster, broken, fine)
    async with managed as manager:
        await cluster.create(namespace("x"))
        await cluster.clock.advance()
        assert managed.task is not None
        assert managed.task.done()
        found = managed.task.exception()
        assert isinstance(found, BaseExceptionGroup)
        assert found.subgroup(Broken) is not None
        assert not manager.running("broken")
        assert not manager.running("fine")


async def test_subscription_that_breaks_ends_the_manager() -> None:
    """A controller that cannot even subscribe is a fault too."""
    cluster = Cluster()

    class Unsubscribable(Scripted):
        """Cannot begin."""

        def subscribe(self, *_: object) -> None:
            raise KeyError("no such kind")

    managed = Managed(cluster, Unsubscribable(cluster))
    async with managed:
        assert managed.task is not None
        assert managed.task.done()
        assert isinstance(managed.task.exception(), ExceptionGroup)


async def test_end_of_the_manager_ends_all() -> None:
    """When the manager is cancelled, no task of it is left."""
    before = asyncio.all_tasks()
    cluster = Cluster()
    async with Managed(cluster, Scripted(cluster, workers=10), Scripted(cluster, name="other")):
        assert len(asyncio.all_tasks() - before) > 10
    assert asyncio.all_tasks() == before


async def test_informers_that_fail_are_told_about() -> None:
    """A list that fails is a warning, and the controller works as soon as it succeeds; until then it is not synced."""
    cluster = Cluster()
    failures = iter([RuntimeError("first"), RuntimeError("second")])

    async def fail(call: object, side: str) -> None:
        if side == "before" and str(call) == "list Namespace":
            for error in failures:
                raise error

    cluster.informers.taps.append(fail)
    scripted = Scripted(cluster)
    await cluster.create(namespace("x"))
    async with Managed(cluster, scripted) as manager:
        assert not manager.synced("scripted")
        assert cluster.log.said("warning") == ["list or watch failed"]
        await cluster.clock.advance(60)
        assert manager.synced("scripted")
        assert scripted.keys == ["x"]
        assert cluster.log.said("warning") == ["list or watch failed"] * 2


async def test_warm_controller_has_seen_the_world_and_does_nothing() -> None:
    """Its informers run; when it is started it hears of everything at once, with no list of its own."""
    cluster = Cluster()
    scripted = Scripted(cluster)
    await cluster.create(namespace("x"))
    async with Managed(cluster, scripted) as manager:
        await manager.stop("scripted")
        scripted.started.clear()
        calls = len(cluster.informers.calls)
        await manager.warm(["scripted"])
        await cluster.create(namespace("y"))
        await cluster.clock.advance(100)
        assert scripted.keys == []
        manager.start("scripted")
        await cluster.clock.advance()
        assert sorted(scripted.keys) == ["x", "y"]
        assert len(cluster.informers.calls) == calls


async def test_work_of_a_leader_ends_at_once_and_can_begin_again() -> None:
    """All controllers are cancelled before any of them is waited for; the manager goes on."""
    cluster = Cluster()
    ended: list[str] = []

    async def hang(key: str) -> Result:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.append("cancelled")
            await asyncio.sleep(0)
            ended.append("ended")
        return DONE

    several = [Scripted(cluster, hang, name=f"s{n}") for n in range(3)]
    await cluster.create(namespace("x"))
    async with Managed(cluster, *several) as manager:
        for one in several:
            await manager.stop(one.name)
        for _ in range(2):
            ended.clear()
            working = asyncio.create_task(manager.work([one.name for one in several]))
            await cluster.clock.advance()
            assert all(manager.running(one.name) for one in several)
            working.cancel()
            await asyncio.wait([working])
            assert ended == ["cancelled"] * 3 + ["ended"] * 3
            assert not any(manager.running(one.name) for one in several)
