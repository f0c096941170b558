"""Events are counted, named after their object and the time, and never the reason why work fails."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
from verger.controllers.recorder import Recorder
from verger.store.errors import ApiError, Conflict, Forbidden, ServiceUnavailable
from verger.store.objects import key_of, name_of, namespace_of
from verger.store.timestamps import format_time

from tests.controllers.clients import Fails, TappedClient
from tests.controllers.harness import Cluster
from tests.controllers.objects import account, namespace


class Desk:
    """A recorder, and what it has recorded."""

    def __init__(self) -> None:
        self.cluster = Cluster()
        self.client = TappedClient(self.cluster.user)
        self.recorder = Recorder(
            self.client,
            self.cluster.kinds.core("Event"),
            self.cluster.clock,
            cast("Any", self.cluster.log),
            component="tester",
        )

    async def prepare(self) -> None:
        """Two namespaces and an account."""
        await self.cluster.create(namespace("one"), namespace("default"), account("one/a"))

    async def tell(self, kind: str, key: str, message: str = "m", reason: str = "R") -> None:
        """Records something about an object."""
        obj = await self.cluster.get(kind, key)
        await self.recorder.record(self.cluster.named(kind), obj, "Warning", reason, message)

    async def events(self, where: str = "one") -> list[Any]:
        """What was recorded in a namespace."""
        return await self.cluster.all("Event", where)


@pytest.fixture
async def desk() -> Desk:
    """A recorder in a world with two namespaces and an account."""
    desk = Desk()
    await desk.prepare()
    return desk


async def test_all_fields(desk: Desk) -> None:
    """An event names its object exactly, its component, its time and its count."""
    await desk.tell("ServiceAccount", "one/a", "what happened")
    (event,) = await desk.events()
    about = await desk.cluster.get("ServiceAccount", "one/a")
    now = desk.cluster.clock.time()
    assert event["metadata"]["name"] == f"a.{int(now * 1e9):x}"
    assert event["involvedObject"] == {
        "kind": "ServiceAccount",
        "namespace": "one",
        "name": "a",
        "uid": about["metadata"]["uid"],
        "apiVersion": "v1",
        "resourceVersion": about["metadata"]["resourceVersion"],
    }
    assert (event["type"], event["reason"], event["message"]) == ("Warning", "R", "what happened")
    assert event["source"] == {"component": "tester"}
    assert event["firstTimestamp"] == event["lastTimestamp"] == format_time(now)
    assert event["count"] == 1


async def test_event_about_a_namespace_is_in_default(desk: Desk) -> None:
    """Objects without a namespace have their events in `default`. upstream: recorder.makeEvent"""
    await desk.tell("Namespace", "one")
    (event,) = await desk.events("default")
    assert event["involvedObject"]["name"] == "one"
    assert not event["involvedObject"].get("namespace")


async def test_same_event_is_counted(desk: Desk) -> None:
    """What is told again raises the count and the last time, of the event that is there."""
    for _ in range(3):
        await desk.tell("ServiceAccount", "one/a")
        await desk.cluster.clock.advance(10)
    (event,) = await desk.events()
    start = desk.cluster.clock.time() - 30
    assert event["count"] == 3
    assert event["firstTimestamp"] == format_time(start)
    assert event["lastTimestamp"] == format_time(start + 20)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"message": "n"}, id="another message"),
        pytest.param({"reason": "S"}, id="another reason"),
    ],
)
async def test_different_events_are_not_counted_together(desk: Desk, other: dict[str, str]) -> None:
    """Another reason or message is another event."""
    await desk.tell("ServiceAccount", "one/a")
    await desk.cluster.clock.advance(1)
    await desk.tell("ServiceAccount", "one/a", **other)
    assert [event["count"] for event in await desk.events()] == [1, 1]


async def test_another_object_of_the_name_is_another_event(desk: Desk) -> None:
    """The uid tells objects of one name apart."""
    await desk.tell("ServiceAccount", "one/a")
    await desk.cluster.clock.advance(1)
    await desk.cluster.delete("ServiceAccount", "one/a")
    await desk.cluster.create(account("one/a"))
    await desk.tell("ServiceAccount", "one/a")
    events = await desk.events()
    assert [event["count"] for event in events] == [1, 1]
    assert len({event["involvedObject"]["uid"] for event in events}) == 2


async def test_event_that_has_expired_is_told_anew(desk: Desk) -> None:
    """An event that has gone starts over with one."""
    for _ in range(2):
        await desk.tell("ServiceAccount", "one/a")
    (event,) = await desk.events()
    await desk.cluster.delete("Event", key_of(namespace_of(event), name_of(event)))
    await desk.cluster.clock.advance(1)
    await desk.tell("ServiceAccount", "one/a")
    (event,) = await desk.events()
    assert event["count"] == 1
    await desk.tell("ServiceAccount", "one/a")
    (event,) = await desk.events()
    assert event["count"] == 2


async def test_long_messages_are_cut(desk: Desk) -> None:
    """The server takes 1024 characters; cut messages that are the same are the same event."""
    await desk.tell("ServiceAccount", "one/a", "x" * 5000)
    await desk.tell("ServiceAccount", "one/a", "x" * 6000)
    (event,) = await desk.events()
    assert event["message"] == "x" * 1024
    assert event["count"] == 2


@pytest.mark.parametrize("verb", ["create", "patch"])
@pytest.mark.parametrize(
    "error",
    [
        pytest.param(lambda: ServiceUnavailable("down"), id="server is down"),
        pytest.param(lambda: Forbidden("no"), id="forbidden"),
        pytest.param(lambda: Conflict("no"), id="conflict"),
    ],
)
async def test_failures_are_swallowed(desk: Desk, verb: str, error: Callable[[], ApiError]) -> None:
    """What cannot be written is a debug line, and the next event is written again."""
    desk.client.taps.append(Fails(f"{verb} Event", error, times=1))
    for _ in range(3):
        await desk.tell("ServiceAccount", "one/a")
        await desk.cluster.clock.advance(1)
    (event,) = await desk.events()
    assert event["count"] == (2 if verb == "create" else 3)
    assert desk.cluster.log.said("debug") == ["event not recorded"]


async def test_terminating_namespace(desk: Desk) -> None:
    """A namespace that takes nothing in any more is no reason to fail either."""
    about = await desk.cluster.get("ServiceAccount", "one/a")
    await desk.cluster.delete("Namespace", "one")
    kind = desk.cluster.named("ServiceAccount")
    await desk.recorder.record(kind, about, "Normal", "R", "m")
    assert await desk.events() == []


async def test_cancellation_is_not_swallowed(desk: Desk) -> None:
    """A worker that is killed while it tells something ends there."""

    async def hang(_: object, side: str) -> None:
        if side == "before":
            await asyncio.get_running_loop().create_future()

    desk.client.taps.append(hang)
    telling = asyncio.create_task(desk.tell("ServiceAccount", "one/a"))
    await desk.cluster.clock.advance()
    telling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await telling


async def test_memory_is_bounded(desk: Desk) -> None:
    """The counts of 1024 events are remembered; older ones are told anew, and the most recently told stay."""
    for number in range(1025):
        await desk.tell("ServiceAccount", "one/a", str(number))
        await desk.cluster.clock.advance(0.001)  # each has a name of its own
    calls = len(desk.client.calls)
    await desk.tell("ServiceAccount", "one/a", "1024")
    await desk.tell("ServiceAccount", "one/a", "0")
    assert [call.verb for call in desk.client.calls[calls:]] == ["patch", "create"]


async def test_long_names_have_events(desk: Desk) -> None:
    """An object whose name is as long as a name may be has events too."""
    name = "a" * 253
    await desk.cluster.create(account(f"one/{name}"))
    await desk.tell("ServiceAccount", f"one/{name}")
    assert len(await desk.events()) == 1
