"""Who wrote what and why: noted where it happens, for the newest revisions, and lost with nothing else."""

from typing import Any, cast

import pytest
from verger.controllers import origins
from verger.controllers.manager import Manager
from verger.controllers.origins import Cause, Origins
from verger.controllers.reconcile import DONE, Result

from tests.controllers.harness import Cluster
from tests.controllers.objects import namespace
from tests.controllers.scripted import Managed, Scripted


@pytest.fixture
def cluster() -> Cluster:
    """A store in which controllers meet."""
    return Cluster()


class Traced(Managed):
    """A manager that writes down what its controllers do."""

    def __init__(self, cluster: Cluster, *reconcilers: Scripted) -> None:
        super().__init__(cluster, *reconcilers)
        self.origins = Origins(cluster.clock)
        self.origins.follow(cluster.backend.log)
        log = cast("Any", cluster.log)
        self.manager = Manager(reconcilers, cluster.informers, cluster.clock, log, self.origins)


async def labelling(cluster: Cluster, key: str) -> Result:
    """Writes what it is about, once."""
    found = await cluster.get("Namespace", key)
    if not (found["metadata"].get("labels") or {}).get("touched"):
        await cluster.label("Namespace", key)
    return DONE


async def test_write_is_of_the_work_and_the_work_of_the_event(cluster: Cluster) -> None:
    """The revision leads to the reconcile, and that to the revision of which it had heard."""
    scripted = Scripted(cluster, lambda key: labelling(cluster, key))
    managed = Traced(cluster, scripted)
    async with managed:
        await cluster.create(namespace("one"))
        made = cluster.backend.revision
        await cluster.clock.advance()
        wrote = cluster.backend.revision
        work = managed.origins.writer(wrote)
        assert wrote > made
        assert work is not None
        assert (work.who, work.key, work.outcome) == ("scripted", "one", "done")
        assert work.revisions == [wrote]
        assert work.causes == (Cause("ADDED", "namespaces", "one", made),)
        assert managed.origins.writer(made) is None, "a test has no work of its own"
        assert [revision for revision, _ in managed.origins.chain(wrote)] == [wrote]


async def test_what_is_tried_again_is_done_for_the_same_reason(cluster: Cluster) -> None:
    """However often it fails: the event that began it is the cause of the write that succeeds in the end."""
    failures = [RuntimeError("first"), RuntimeError("second")]

    async def work(key: str) -> Result:
        if failures:
            raise failures.pop()
        return await labelling(cluster, key)

    managed = Traced(cluster, Scripted(cluster, work))
    async with managed:
        await cluster.create(namespace("one"))
        made = cluster.backend.revision
        await cluster.clock.advance(1.0)
        done = managed.origins.writer(cluster.backend.revision)
        assert done is not None
        assert (done.attempt, done.causes) == (3, (Cause("ADDED", "namespaces", "one", made),))
        assert [work.outcome for work in managed.origins.works] == ["failed", "failed", "done"]


async def test_what_is_looked_at_again_has_the_time_as_its_reason(cluster: Cluster) -> None:
    """Nothing has happened: nobody is blamed for it."""

    async def work(_: str) -> Result:
        return Result(after=5.0)

    managed = Traced(cluster, Scripted(cluster, work))
    seen: list[tuple[Cause, ...]] = []
    managed.origins.listen(lambda work: seen.append(work.causes) if work.outcome is None else None)
    async with managed:
        await cluster.create(namespace("one"))
        await cluster.clock.advance(5.0)
    assert [[cause.type for cause in causes] for causes in seen] == [["ADDED"], ["RECHECKED"]]


async def test_start_is_caused_by_what_is_listed(cluster: Cluster) -> None:
    """There was no event; the object that was found is the reason, with its revision."""
    await cluster.create(namespace("one"))
    made = cluster.backend.revision
    managed = Traced(cluster, Scripted(cluster, lambda key: labelling(cluster, key)))
    async with managed:
        work = managed.origins.writer(cluster.backend.revision)
        assert work is not None
        assert work.causes == (Cause("LISTED", "namespaces", "one", made),)


async def test_memory_is_bounded(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many revisions the newest are known, of many causes some."""
    monkeypatch.setattr(origins, "KEPT", 10)
    known = Origins(cluster.clock)
    known.follow(cluster.backend.log)
    await cluster.create(namespace("one"))
    with known.working("somebody", "something", causes=()):
        for _ in range(15):
            await cluster.label("Namespace", "one")
    last = cluster.backend.revision
    assert [known.writer(revision) is not None for revision in range(last - 14, last + 1)] == [
        *[False] * 5,
        *[True] * 10,
    ]


async def test_causes_of_a_controller_that_has_ended_are_forgotten(cluster: Cluster) -> None:
    """When it starts it hears of everything anew."""
    known = Origins(cluster.clock)
    known.caused("one", "key", None)
    known.caused("other", "key", None)
    known.ended("one")
    assert [place[0] for place in known._causes] == ["other"]
