"""Every active namespace has the accounts that it should have, and no other namespace gets any."""

from collections.abc import Awaitable, Callable

import pytest
from verger.store.errors import Forbidden, InternalError, ServiceUnavailable

from tests.controllers.clients import Fails, Meanwhile
from tests.controllers.harness import ACCOUNTS, Cluster
from tests.controllers.objects import account, namespace

TWO = ("default", "managed")


def creates(*names: str) -> list[str]:
    return [f"create ServiceAccount one/{name}" for name in names]


@pytest.mark.parametrize(
    ("there", "terminating", "created"),
    [
        pytest.param((), False, TWO, id="new active namespace without accounts gets both"),
        pytest.param(("managed",), False, ("default",), id="new namespace with one gets the other"),
        pytest.param(TWO, False, (), id="new active namespace with both gets none"),
        pytest.param((), True, (), id="new namespace that is terminating already gets none"),
    ],
)
async def test_namespace_appears(
    there: tuple[str, ...], terminating: bool, created: tuple[str, ...]
) -> None:
    """A namespace that comes gets the accounts that it lacks, in the order of the list, by these calls alone."""
    async with Cluster(ACCOUNTS, accounts=TWO) as cluster:
        cluster.informers.hold("Namespace")
        await cluster.create(namespace("one"), *(account(f"one/{name}") for name in there))
        if terminating:
            await cluster.delete("Namespace", "one")
        await cluster.settle()
        cluster.informers.release()
        await cluster.settle()
        assert [str(call) for call in cluster.calls(ACCOUNTS)] == creates(*created)


@pytest.mark.parametrize(
    ("there", "terminating", "created"),
    [
        pytest.param((), False, TWO, id="active namespace without accounts gets both"),
        pytest.param(("default",), False, ("managed",), id="active namespace gets what it lacks"),
        pytest.param(TWO, False, (), id="active namespace with both gets none"),
        pytest.param((), True, (), id="namespace that begins to terminate gets none"),
    ],
)
async def test_namespace_changes(
    there: tuple[str, ...], terminating: bool, created: tuple[str, ...]
) -> None:
    """Any change of a namespace is a reason to look, without waiting for a backoff to end."""
    cluster = Cluster(ACCOUNTS, accounts=TWO)
    outage = Fails("create ServiceAccount", lambda: ServiceUnavailable("down"), times=-1)
    cluster.clients[ACCOUNTS].taps.append(outage)
    await cluster.create(namespace("one"))
    cluster.begin()
    try:
        await cluster.clock.advance()
        outage.left = 0
        await cluster.create(*(account(f"one/{name}") for name in there))
        await cluster.clock.advance()
        seen = len(cluster.calls(ACCOUNTS))
        if terminating:
            await cluster.delete("Namespace", "one")
        else:
            await cluster.label("Namespace", "one")
        await cluster.clock.advance()
        assert [str(call) for call in cluster.calls(ACCOUNTS)[seen:]] == creates(*created)
        assert cluster.clock.monotonic() == 0
    finally:
        await cluster.stop()


async def ends(cluster: Cluster) -> None:
    """The namespace goes for good, and the cache has seen it."""
    await cluster.delete("Namespace", "one")
    await cluster.finalize("one")
    await cluster.settle()


async def terminates(cluster: Cluster) -> None:
    """The namespace is deleted and stays, and the cache has seen it."""
    await cluster.delete("Namespace", "one")
    await cluster.settle()


async def stays(cluster: Cluster) -> None:
    """Nothing happens to the namespace."""
    await cluster.settle()


@pytest.mark.parametrize(
    ("meanwhile", "deleted", "created"),
    [
        pytest.param(ends, "default", (), id="account of a namespace that has gone stays away"),
        pytest.param(stays, "default", ("default",), id="account of an active one comes back"),
        pytest.param(terminates, "default", (), id="account of a terminating one stays away"),
        pytest.param(stays, "other", (), id="account that nobody asked for stays away"),
        pytest.param(terminates, "other", (), id="and so it does in a terminating namespace"),
    ],
)
async def test_account_goes(
    meanwhile: Callable[[Cluster], Awaitable[None]], deleted: str, created: tuple[str, ...]
) -> None:
    """An account that goes is made again only where it belongs, and nothing else is asked of the server."""
    cluster = Cluster(ACCOUNTS, accounts=TWO)
    await cluster.create(namespace("one"), *(account(f"one/{n}") for n in (*TWO, "other")))
    async with cluster:
        cluster.informers.hold("ServiceAccount")
        await cluster.delete("ServiceAccount", f"one/{deleted}")
        await meanwhile(cluster)
        cluster.informers.release()
        await cluster.settle()
        assert [str(call) for call in cluster.calls(ACCOUNTS)] == creates(*created)


async def test_account_made_again_is_another_one() -> None:
    """A deleted default account comes back under a new uid, with nothing of the old one."""
    async with Cluster(ACCOUNTS) as cluster:
        await cluster.create(namespace("one"))
        await cluster.settle()
        before = await cluster.get("ServiceAccount", "one/default")
        await cluster.delete("ServiceAccount", "one/default")
        await cluster.settle()
        after = await cluster.get("ServiceAccount", "one/default")
        assert after["metadata"]["uid"] != before["metadata"]["uid"]
        assert set(after) == {"kind", "apiVersion", "metadata"}


async def test_terminating_in_truth_and_active_in_the_cache() -> None:
    """The refusal with the cause NamespaceTerminating is an answer, not an error: no retry, no event, no warning."""
    cluster = Cluster(ACCOUNTS)
    await cluster.create(namespace("one"), namespace("default"))
    async with cluster:
        cluster.informers.hold("Namespace")
        await cluster.delete("Namespace", "one")
        await cluster.delete("ServiceAccount", "one/default")
        await cluster.settle()
        assert cluster.writes()[-1] == "create ServiceAccount one/default"
        assert not await cluster.has("ServiceAccount", "one/default")
        assert cluster.manager.statistics()[ACCOUNTS].retries == 0
        assert await cluster.all("Event") == []
        cluster.informers.release()
        await cluster.settle()
        assert not await cluster.has("ServiceAccount", "one/default")


async def test_gone_in_truth_and_active_in_the_cache() -> None:
    """The answer that the namespace is not there is an answer too."""
    cluster = Cluster(ACCOUNTS)
    await cluster.create(namespace("one"))
    async with cluster:
        cluster.informers.hold("Namespace")
        await cluster.delete("ServiceAccount", "one/default")
        await cluster.delete("Namespace", "one")
        await cluster.finalize("one")
        await cluster.settle()
        assert cluster.writes()[-1] == "create ServiceAccount one/default"
        assert cluster.manager.statistics()[ACCOUNTS].retries == 0
        cluster.informers.release()
        await cluster.settle()
        assert await cluster.lines() == []


async def test_one_account_is_refused() -> None:
    """What the server refuses does not keep the others from being made, is told on the namespace, and is tried again."""
    cluster = Cluster(ACCOUNTS, accounts=TWO)
    cluster.clients[ACCOUNTS].taps.append(
        Fails("create ServiceAccount one/default", lambda: Forbidden("exceeded quota"), times=3)
    )
    await cluster.create(
        namespace("default"), account("default/default"), account("default/managed")
    )
    async with cluster:
        await cluster.create(namespace("one"))
        await cluster.settle()
        assert cluster.writes() == creates("default", "managed", *["default"] * 3)
        assert await cluster.has("ServiceAccount", "one/default")
        (event,) = await cluster.all("Event", "default")
        assert event["reason"] == "ServiceAccountRefused"
        assert event["involvedObject"]["kind"] == "Namespace"
        assert event["involvedObject"]["name"] == "one"
        assert event["count"] == 3
        assert "exceeded quota" in event["message"]


async def test_default_is_first_even_when_it_is_refused() -> None:
    """The error that is raised last does not hide that all were tried, and in order."""
    cluster = Cluster(ACCOUNTS, accounts=TWO)
    cluster.clients[ACCOUNTS].taps.append(
        Fails("create ServiceAccount", lambda: InternalError("broken"), times=2)
    )
    await cluster.create(namespace("one"))
    async with cluster:
        assert cluster.writes() == creates(*TWO, *TWO)


async def test_somebody_else_makes_the_account_first() -> None:
    """AlreadyExists is what was wanted: no retry, and their account stays as they made it."""
    cluster = Cluster(ACCOUNTS)
    theirs = account("one/default", labels={"made": "by-them"})
    cluster.clients[ACCOUNTS].taps.append(
        Meanwhile("create ServiceAccount", lambda: cluster.create(theirs))
    )
    await cluster.create(namespace("one"))
    async with cluster:
        assert cluster.manager.statistics()[ACCOUNTS].retries == 0
        assert cluster.writes() == creates("default")
        made = await cluster.get("ServiceAccount", "one/default")
        assert made["metadata"]["labels"] == {"made": "by-them"}


async def test_account_with_a_finalizer_is_made_again_when_it_has_gone() -> None:
    """An account that was deleted and lingers is still there; the new one comes when it has gone."""
    cluster = Cluster(ACCOUNTS)
    held = account("one/default", finalizers=["example.com/hold"])
    await cluster.create(namespace("one"), held)
    async with cluster:
        before = await cluster.get("ServiceAccount", "one/default")
        await cluster.delete("ServiceAccount", "one/default")
        await cluster.settle()
        assert cluster.writes() == []
        await cluster.edit(
            "ServiceAccount", "one/default", lambda o: o["metadata"].pop("finalizers")
        )
        await cluster.settle()
        after = await cluster.get("ServiceAccount", "one/default")
        assert after["metadata"]["uid"] != before["metadata"]["uid"]
        assert cluster.writes() == creates("default")


async def test_converged_world_is_left_alone() -> None:
    """A restart in a world that is as it should be asks the server for nothing."""
    cluster = Cluster(ACCOUNTS)
    await cluster.create(*(namespace(f"n{i}") for i in range(20)))
    async with cluster:
        pass
    seen = len(cluster.calls(ACCOUNTS))
    assert seen == 20
    await cluster.restart()
    await cluster.stop()
    assert len(cluster.calls(ACCOUNTS)) == seen
