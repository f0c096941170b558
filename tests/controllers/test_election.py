"""One leader at a time: the step of one candidate, two of them, a fault at each call, and what the leader may do."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final, cast

import pytest
from verger.controllers.election import (
    Election,
    ElectionOptions,
    Leading,
    NotLeading,
    Standby,
    holder_of,
)
from verger.controllers.recorder import Recorder
from verger.store.errors import ServiceUnavailable
from verger.store.objects import thaw
from verger.store.timestamps import format_micro

from tests.controllers.clients import Call, Meanwhile, Side, TappedClient
from tests.controllers.harness import Cluster, some_kinds

DURATION: Final = 15.0
DEADLINE: Final = 10.0
PERIOD: Final = 2.0
KEY: Final = "kube-system/verger"
SOON: Final = 60.0
"""Seconds; reaching them is a failure."""


class Booth:
    """A world with a lease in it or without, and candidates for it."""

    def __init__(self) -> None:
        self.cluster = Cluster(kinds=some_kinds("Namespace", "Event", "Lease"))
        self.clock = self.cluster.clock
        self.kind = self.cluster.named("Lease")
        self.clients: dict[str, TappedClient] = {}
        self.candidates: dict[str, Election] = {}

    def candidate(self, name: str) -> Election:
        client = self.clients[name] = TappedClient(self.cluster.user)
        log = cast("Any", self.cluster.log)
        events = self.cluster.kinds.core("Event")
        recorder = Recorder(client, events, self.clock, log, component="verger")
        options = ElectionOptions(identity=name)
        election = Election(client, self.kind, options, self.clock, log, recorder)
        self.candidates[name] = election
        return election

    async def step(self, name: str) -> None:
        election = self.candidates[name]
        election.state = await election.step(election.state)

    async def lease(self) -> dict[str, Any]:
        return thaw(await self.cluster.user.get(self.kind, "verger", "kube-system"))

    async def write(self, spec: Mapping[str, Any]) -> None:
        metadata = {"name": "verger", "namespace": "kube-system", "labels": {"kept": "yes"}}
        await self.cluster.user.create(self.kind, {"metadata": metadata, "spec": dict(spec)})

    async def touch(self, **spec: Any) -> None:
        """Somebody else writes the lease."""
        lease = await self.lease()
        lease["spec"] |= spec
        await self.cluster.user.update(self.kind, lease)

    @property
    def leaders(self) -> list[str]:
        return [name for name, election in self.candidates.items() if election.leading]


@pytest.fixture
async def booth() -> Booth:
    booth = Booth()
    await booth.cluster.user.create(
        booth.cluster.named("Namespace"), {"metadata": {"name": "kube-system"}}
    )
    return booth


def held(by: str = "other", transitions: int = 3, renewed: float = 0.0) -> dict[str, Any]:
    at = format_micro(1_700_000_000.0 + renewed)
    return {
        "holderIdentity": by,
        "leaseDurationSeconds": 15,
        "leaseTransitions": transitions,
        "acquireTime": at,
        "renewTime": at,
    }


# One candidate


async def test_lease_that_is_not_there_is_made(booth: Booth) -> None:
    """It is ours then, and has never changed hands."""
    booth.candidate("a")
    await booth.step("a")
    assert booth.leaders == ["a"]
    assert (await booth.lease())["spec"] == {
        "holderIdentity": "a",
        "leaseDurationSeconds": 15,
        "leaseTransitions": 0,
        "acquireTime": format_micro(booth.clock.time()),
        "renewTime": format_micro(booth.clock.time()),
    }


@pytest.mark.parametrize(
    ("spec", "leads", "transitions"),
    [
        pytest.param(held(), False, 3, id="held by somebody"),
        pytest.param(held(renewed=-1e6), False, 3, id="held by somebody whose clock is behind"),
        pytest.param(held("a"), True, 3, id="held by ourselves, before a start with the same name"),
        pytest.param({**held(), "holderIdentity": None}, True, 4, id="released"),
        pytest.param({}, True, 0, id="never held"),
        pytest.param({"holderIdentity": "other"}, True, 0, id="held for no time at all"),
    ],
)
async def test_first_look(
    spec: Mapping[str, Any], leads: bool, transitions: int, booth: Booth
) -> None:
    """What others say of the time counts for nothing; who holds the lease counts."""
    await booth.write({key: value for key, value in spec.items() if value is not None})
    booth.candidate("a")
    await booth.step("a")
    assert booth.leaders == (["a"] if leads else [])
    lease = await booth.lease()
    assert lease["spec"].get("leaseTransitions", 0) == transitions
    assert lease["metadata"]["labels"] == {"kept": "yes"}


async def test_lease_expires_by_our_own_clock(booth: Booth) -> None:
    """It does when it has not changed for its duration since it was first seen."""
    await booth.write(held())
    booth.candidate("a")
    await booth.clock.advance(100)
    await booth.step("a")
    await booth.clock.advance(DURATION - 0.1)
    await booth.step("a")
    assert booth.leaders == []
    await booth.clock.advance(0.1)
    await booth.step("a")
    assert booth.leaders == ["a"]
    spec = (await booth.lease())["spec"]
    assert spec["leaseTransitions"] == 4
    assert spec["acquireTime"] == format_micro(booth.clock.time())


async def test_lease_that_is_renewed_never_expires(booth: Booth) -> None:
    """However little its holder knows of the time."""
    await booth.write(held())
    booth.candidate("a")
    for at in range(20):
        await booth.step("a")
        await booth.touch(renewTime=format_micro(1e9 + at))
        await booth.clock.advance(DURATION - 1)
    assert booth.leaders == []


async def test_leader_renews_with_one_request(booth: Booth) -> None:
    """The time moves, and nothing else."""
    booth.candidate("a")
    await booth.step("a")
    before = await booth.lease()
    await booth.clock.advance(PERIOD)
    calls = len(booth.clients["a"].calls)
    await booth.step("a")
    assert [str(call) for call in booth.clients["a"].calls[calls:]] == [f"update Lease {KEY}"]
    after = await booth.lease()
    assert after["spec"] == {**before["spec"], "renewTime": format_micro(booth.clock.time())}


@pytest.mark.parametrize(
    ("happens", "leads"),
    [
        pytest.param(lambda booth: booth.touch(), True, id="nothing"),
        pytest.param(lambda booth: booth.touch(strategy="x"), True, id="somebody wrote a field"),
        pytest.param(
            lambda booth: booth.touch(holderIdentity="other"), False, id="somebody took it"
        ),
        pytest.param(
            lambda booth: booth.cluster.user.delete(booth.kind, "verger", "kube-system"),
            True,
            id="somebody deleted it",
        ),
    ],
)
async def test_renewal_after_somebody_else_wrote(happens: Any, leads: bool, booth: Booth) -> None:
    """What counts is who holds it now."""
    booth.candidate("a")
    await booth.step("a")
    await happens(booth)
    await booth.step("a")
    assert booth.leaders == (["a"] if leads else [])
    assert holder_of(await booth.lease()) == ("a" if leads else "other")


async def test_leader_that_cannot_renew_stops_before_others_start(booth: Booth) -> None:
    """Its deadline ends well before the lease does."""
    booth.candidate("a")
    booth.candidate("b")
    await booth.step("a")
    await booth.step("b")

    async def down(call: Call, side: Side) -> None:
        raise ServiceUnavailable("down")

    booth.clients["a"].taps.append(down)
    seen: dict[str, list[float]] = {"a": [], "b": []}
    for second in range(20):
        for name in ("a", "b"):
            await booth.step(name)
            if booth.candidates[name].leading:
                seen[name].append(second)
        assert len(booth.leaders) <= 1
        await booth.clock.advance(1)
    assert max(seen["a"]) == DEADLINE - 1
    assert min(seen["b"]) == DURATION
    assert isinstance(booth.candidates["a"].state, Standby)


async def test_request_that_hangs_does_not_outlast_the_leadership(booth: Booth) -> None:
    """It is given up in time for another one, and at the deadline at the latest."""
    election = booth.candidate("a")
    await booth.step("a")

    async def hang(call: Call, side: Side) -> None:
        await asyncio.get_running_loop().create_future()

    booth.clients["a"].taps.append(hang)
    stepping = asyncio.create_task(election.step(election.state))
    await booth.clock.advance(DEADLINE / 2)
    assert isinstance(await stepping, Leading)
    await booth.clock.advance(3)
    stepping = asyncio.create_task(election.step(election.state))
    await booth.clock.advance(2)
    assert stepping.done()
    assert isinstance(await stepping, Standby)


async def test_leader_that_was_asleep_writes_nothing(booth: Booth) -> None:
    """No step has been made since: the time alone says that it may not."""
    election = booth.candidate("a")
    await booth.step("a")
    assert election.guard() == DEADLINE
    await booth.clock.advance(DEADLINE - 1)
    assert election.guard() == pytest.approx(1.0)
    await booth.clock.advance(1)
    assert isinstance(election.state, Leading)
    with pytest.raises(NotLeading):
        election.guard()
    calls = len(booth.clients["a"].calls)
    await booth.step("a")
    assert len(booth.clients["a"].calls) == calls
    assert isinstance(election.state, Standby)


@pytest.mark.parametrize(
    ("spec", "call"),
    [
        pytest.param(None, "create", id="making"),
        pytest.param({}, "update", id="taking"),
        pytest.param(held("a"), "update", id="renewing"),
    ],
)
async def test_leadership_counts_from_before_the_request(
    spec: Mapping[str, Any] | None, call: str, booth: Booth
) -> None:
    """The others may have seen it as soon as it was sent."""
    if spec is not None:
        await booth.write(spec)
    election = booth.candidate("a")
    slow = Meanwhile(f"{call} Lease", lambda: booth.clock.advance(3), side="after")
    booth.clients["a"].taps.append(slow)
    await booth.step("a")
    assert election.guard() == pytest.approx(DEADLINE - 3)
    again = Meanwhile("update Lease", lambda: booth.clock.advance(3), side="after")
    booth.clients["a"].taps.append(again)
    await booth.clock.advance(1)
    await booth.step("a")
    assert again.spent
    assert election.guard() == pytest.approx(DEADLINE - 3)


async def test_standby_writes_nothing(booth: Booth) -> None:
    """From the beginning."""
    with pytest.raises(NotLeading):
        booth.candidate("a").guard()


# Two candidates


@pytest.mark.parametrize("call", ["get", "update"])
async def test_of_two_who_see_it_expire_one_wins(call: str, booth: Booth) -> None:
    """The resourceVersion decides."""
    await booth.write(held())
    booth.candidate("a")
    booth.candidate("b")
    await booth.step("a")
    await booth.step("b")
    await booth.clock.advance(DURATION)
    booth.clients["a"].taps.append(
        Meanwhile(f"{call} Lease", lambda: booth.step("b"), side="before")
    )
    await booth.step("a")
    assert booth.leaders == ["b"]
    assert (await booth.lease())["spec"]["leaseTransitions"] == 4


async def test_of_two_who_make_it_one_wins(booth: Booth) -> None:
    """The name can be taken once."""
    booth.candidate("a")
    booth.candidate("b")
    booth.clients["a"].taps.append(Meanwhile("create Lease", lambda: booth.step("b")))
    await booth.step("a")
    assert booth.leaders == ["b"]


class Fault:
    """The n-th call is lost: on its way there, or on its way back."""

    def __init__(self, at: int, side: Side) -> None:
        self._left = at
        self._side = side
        self.struck = False

    async def __call__(self, call: Call, side: Side) -> None:
        if side != self._side or self.struck:
            return
        if self._left == 0:
            self.struck = True
            raise ServiceUnavailable("lost")
        self._left -= 1


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("at", range(8))
async def test_fault_at_each_call(at: int, side: Side, booth: Booth) -> None:
    """Whichever request or answer is lost: never two leaders, and one in the end. The first one ends after a while."""
    fault = Fault(at, side)
    for name in ("a", "b"):
        booth.candidate(name)
        booth.clients[name].taps.append(fault)
    for second in range(60):
        for name in ("a", "b"):
            # The first one has been killed by then.
            if name == "b" or second < 8:
                await booth.step(name)
                assert len(booth.leaders) <= 1
        await booth.clock.advance(PERIOD)
    assert fault.struck
    assert booth.leaders == ["b"]


# The loop


class Work:
    """What the leader does, and when it was told to end."""

    def __init__(self) -> None:
        self.running = False
        self.runs = 0

    async def __call__(self) -> None:
        self.running = True
        self.runs += 1
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.running = False


async def ended(task: "asyncio.Task[None]") -> None:
    task.cancel()
    async with asyncio.timeout(SOON):
        await asyncio.wait([task])


async def test_loop_leads_and_lets_go(booth: Booth) -> None:
    """It works while it leads, tells so, and whoever comes next need not wait for the lease to expire."""
    first, second = Work(), Work()
    running = asyncio.create_task(booth.candidate("a").run(first))
    await booth.clock.advance()
    waiting = asyncio.create_task(booth.candidate("b").run(second))
    await booth.clock.advance(60)
    assert (first.running, second.running) == (True, False)
    await ended(running)
    assert not first.running
    assert holder_of(await booth.lease()) == ""
    # A candidate waits a period, and up to 1.2 of them more.
    await booth.clock.advance(2.2 * PERIOD)
    assert second.running
    events = await booth.cluster.all("Event", "kube-system")
    assert [event["message"] for event in events] == ["a became leader", "b became leader"]
    assert {event["reason"] for event in events} == {"LeaderElection"}
    await ended(waiting)


async def test_loop_ends_the_work_when_the_lease_is_lost_and_stands_again(booth: Booth) -> None:
    """The work is over when the deadline is, and begins anew with the next leadership."""
    work = Work()
    election = booth.candidate("a")
    running = asyncio.create_task(election.run(work))
    await booth.clock.advance(PERIOD)
    down = True

    async def trouble(call: Call, side: Side) -> None:
        if down:
            raise ServiceUnavailable("down")

    booth.clients["a"].taps.append(trouble)
    await booth.clock.advance(DEADLINE - 0.1)
    assert work.running
    await booth.clock.advance(0.2)
    assert not work.running
    down = False
    await booth.clock.advance(30)
    assert work.running
    assert work.runs == 2
    assert election.transitions == 2
    await ended(running)


async def test_loop_that_did_not_lead_releases_nothing(booth: Booth) -> None:
    """The lease is somebody else's."""
    await booth.write(held())
    running = asyncio.create_task(booth.candidate("a").run(Work()))
    await booth.clock.advance(1)
    await ended(running)
    assert holder_of(await booth.lease()) == "other"
    assert booth.clients["a"].writes == []


async def test_loop_raises_what_breaks_the_work(booth: Booth) -> None:
    """A leader that does nothing must not keep others from working: it lets go."""

    async def breaks() -> None:
        raise RuntimeError("broken")

    running = asyncio.create_task(booth.candidate("a").run(breaks))
    await booth.clock.advance(PERIOD)
    with pytest.raises(RuntimeError, match="broken"):
        await running
    assert holder_of(await booth.lease()) == ""


async def test_work_ends_before_the_lease_is_released(booth: Booth) -> None:
    """Whoever is next may write at once."""
    order: list[str] = []

    async def work() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.sleep(0)
            order.append("ended")

    async def written(call: Call, side: Side) -> None:
        if call.verb == "update":
            order.append("released")

    running = asyncio.create_task(booth.candidate("a").run(work))
    await booth.clock.advance(1)
    booth.clients["a"].taps.append(written)
    await ended(running)
    assert order[0] == "ended"
    assert set(order[1:]) == {"released"}


# Options


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        pytest.param({}, "", id="the defaults"),
        pytest.param({"lease_duration": 10.0}, "lease duration", id="lease as short as deadline"),
        pytest.param({"renew_deadline": 2.4}, "renew deadline", id="deadline too short to retry"),
        pytest.param({"retry_period": 0.0}, "retry period", id="no pause"),
        pytest.param({"name": ""}, "a name", id="no name"),
    ],
)
def test_options_that_make_no_sense(changes: Mapping[str, Any], problem: str) -> None:
    """Durations that could make two leaders are refused."""
    found = ElectionOptions(identity="a", **changes).problem()
    assert problem in found
    assert bool(found) == bool(problem)
