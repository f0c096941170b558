"""A controller that is cut off, or stands still: the others go on, and afterwards nothing is missing."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from verger.controllers.manager import UnknownController
from verger.embed import BlockingPlane, ControlPlane
from verger.embed.link import INFORMERS, UNREACHABLE
from verger.store.backend import Row
from verger.store.kinds import Kind
from verger.watch.clock import FakeClock
from verger.watch.event import Event

TOKENS = "serviceaccount-token-controller"
ACCOUNTS = "serviceaccount-controller"
DEADLINE = 30.0


@pytest.fixture
async def plane() -> AsyncIterator[ControlPlane]:
    async with ControlPlane(clock=FakeClock()) as plane:
        yield plane


async def advance(plane: ControlPlane, seconds: float) -> None:
    """Lets the plane's time go on."""
    clock: Any = plane._clock._clock
    await clock.advance(seconds)
    await plane.settle()


async def tokens(plane: ControlPlane, namespace: str) -> int:
    """How many Secrets there are in a namespace."""
    return len((await plane.client.list(plane.kinds.core("Secret"), namespace)).items)


async def test_partitioned_controller_hears_of_nothing_and_then_of_all(plane: ControlPlane) -> None:
    """The others go on; when it is back it finds out by itself what it has missed."""
    plane.faults.partition(TOKENS)
    await plane.namespace("team")
    assert await tokens(plane, "team") == 0
    plane.faults.rejoin(TOKENS)
    await plane.settle()
    assert await tokens(plane, "team") == 1


async def test_requests_of_a_partitioned_controller_fail(plane: ControlPlane) -> None:
    """What it has in hand fails with a broken connection and is tried again, until the connection is there."""
    accounts = plane.kinds.core("ServiceAccount")
    await plane.namespace("team")
    plane.faults.freeze(ACCOUNTS)
    plane.faults.unfreeze(ACCOUNTS)
    await plane.client.delete(accounts, "default", "team")
    plane._started().links[ACCOUNTS].cut()  # after it has heard of that
    await advance(plane, 1.0)
    assert plane.controllers.errors(ACCOUNTS)[-1] == f"team: {UNREACHABLE}"
    plane.faults.rejoin(ACCOUNTS)
    await advance(plane, 2.0)
    assert (await plane.client.get(accounts, "default", "team"))["secrets"]


async def test_what_was_made_and_went_unseen_is_made_again(plane: ControlPlane) -> None:
    """The account has come and gone without a controller that had made it: nothing is different, and still it is missing."""
    accounts = plane.kinds.core("ServiceAccount")
    made = asyncio.Event()

    def cut_off(event: Event[Row]) -> None:
        if event.kind == "serviceaccounts" and not made.is_set():
            plane.faults.partition(ACCOUNTS)  # within the commit, before anybody has heard of it
            made.set()

    plane.log.listen(cut_off)
    await plane.client.create(plane.kinds.core("Namespace"), {"metadata": {"name": "team"}})
    await made.wait()
    await plane.client.delete(accounts, "default", "team")
    await plane.settle()
    plane.faults.rejoin(ACCOUNTS)
    await plane.settle()
    assert (await plane.client.get(accounts, "default", "team"))["secrets"]


async def test_controller_that_starts_partitioned_knows_nothing(plane: ControlPlane) -> None:
    """It does not take an empty world for the truth: it waits for its first list."""
    plane.faults.partition(TOKENS)
    await plane.faults.kill(TOKENS)
    await plane.namespace("team")
    assert not plane.controllers.synced(TOKENS)
    plane.faults.rejoin(TOKENS)
    await plane.controllers.settled([TOKENS])
    await plane.settle()
    assert await tokens(plane, "team") == 1


async def test_frozen_controller_goes_on_with_what_it_had_in_hand(plane: ControlPlane) -> None:
    """It has not been told of anything, nothing of its work is lost, and what it had seen may be stale."""
    plane.faults.freeze(TOKENS)
    await plane.client.create(plane.kinds.core("Namespace"), {"metadata": {"name": "team"}})
    await plane.settle()
    assert await tokens(plane, "team") == 0
    plane.faults.unfreeze(TOKENS)
    await plane.settle()
    assert await tokens(plane, "team") == 1


async def test_partition_may_be_frozen_and_the_other_way_round(plane: ControlPlane) -> None:
    """It sees the world again when both are over."""
    plane.faults.partition(TOKENS)
    plane.faults.freeze(TOKENS)
    await plane.namespace("team")
    plane.faults.rejoin(TOKENS)
    await plane.settle()
    assert await tokens(plane, "team") == 0
    plane.faults.clear()
    await plane.settle()
    assert await tokens(plane, "team") == 1


async def test_watches_of_all_controllers_break_and_go_on_where_they_were(
    plane: ControlPlane,
) -> None:
    """What has happened meanwhile comes with the watch that is opened again, or with a list where history is gone."""
    plane.faults.partition(INFORMERS)
    await plane.settle()
    await plane.namespace("missed")
    plane.faults.expire_history()
    await plane.namespace("missed-too")
    assert await tokens(plane, "missed") == await tokens(plane, "missed-too") == 0
    await advance(plane, 30.0)
    plane.faults.rejoin(INFORMERS)
    await advance(
        plane, 2.0
    )  # however long it has lasted: there is one server, and trying costs nothing
    assert await tokens(plane, "missed") == await tokens(plane, "missed-too") == 1


async def test_informers_that_were_frozen_for_too_long_list_again(plane: ControlPlane) -> None:
    """The history has expired under their hands, which is no reason to miss anything."""
    plane.faults.freeze(INFORMERS)
    for name in ("one", "two", "three"):
        await plane.client.create(plane.kinds.core("Namespace"), {"metadata": {"name": name}})
        await asyncio.sleep(0)
    plane.faults.expire_history()
    plane.faults.unfreeze(INFORMERS)
    await plane.settle()
    assert [await tokens(plane, name) for name in ("one", "two", "three")] == [1, 1, 1]


async def test_rival_is_faster_and_the_controller_looks_again(plane: ControlPlane) -> None:
    """Its update meets a conflict, which is no fault of the API's but a change by somebody else."""
    met: list[str] = []

    async def annotate(kind: Kind, name: str, namespace: str) -> None:
        met.append(f"{kind.kind} {namespace}/{name}")
        if len(met) <= 2:
            patch = {"metadata": {"annotations": {"touched": str(len(met))}}}
            await plane.client.patch(kind, name, namespace, patch)

    plane.faults.race(annotate)
    await plane.namespace("team")
    await advance(plane, 1.0)
    account = await plane.client.get(plane.kinds.core("ServiceAccount"), "default", "team")
    assert len(account["secrets"]) == 1
    assert account["metadata"]["annotations"]["touched"] == "2"
    assert met[:2] == ["ServiceAccount team/default"] * 2


async def test_link_of_nobody_is_an_error(plane: ControlPlane) -> None:
    """A fault that strikes nothing would prove nothing."""
    for strike in (
        plane.faults.partition,
        plane.faults.rejoin,
        plane.faults.freeze,
        plane.faults.unfreeze,
    ):
        with pytest.raises(UnknownController, match="nonsense"):
            strike("nonsense")


def test_plain_tests_have_partitions_too() -> None:
    """From another thread, and a reset ends them."""
    with BlockingPlane() as plane:
        plane.faults.partition(TOKENS)
        plane.namespace("team")
        assert plane.list("v1", "Secret", "team") == []
        plane.faults.rejoin(TOKENS)
        plane.settle()
        assert len(plane.list("v1", "Secret", "team")) == 1
        plane.faults.freeze(TOKENS)
        plane.namespace("other")
        assert plane.list("v1", "Secret", "other") == []
        plane.faults.unfreeze(TOKENS)
        plane.settle()
        assert len(plane.list("v1", "Secret", "other")) == 1
        plane.faults.partition(TOKENS)
        plane.reset()
        plane.namespace("third")
        assert len(plane.list("v1", "Secret", "third")) == 1
