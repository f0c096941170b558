"""Events go some time after they were last written."""

import asyncio

import pytest
from verger.store.expiry import EVENTS, Expiry
from verger.watch.event import EventType

from tests.store.conftest import Store


def event(name: str) -> dict[str, object]:
    about = {"kind": "Pod", "namespace": "ns", "name": "p"}
    return {"metadata": {"name": name}, "involvedObject": about, "reason": "R"}


async def make(ttl: float = 100.0) -> tuple[Store, Expiry]:
    store = Store()
    await store.create("Namespace", {"metadata": {"name": "ns"}})
    await store.create("ConfigMap", {"metadata": {"name": "a"}})
    await store.create("Event", event("a"))
    expiry = Expiry(store.backend, store.clock, resource=EVENTS, ttl=ttl)
    expiry.look()
    return store, expiry


def left(store: Store) -> list[str]:
    return [row.object["metadata"]["name"] for row in store.backend.list(EVENTS).rows]


async def test_an_event_goes_after_its_time() -> None:
    """Not before; nothing else goes with it; watchers hear of it."""
    store, expiry = await make()
    await store.clock.advance(99)
    expiry.look()
    assert left(store) == ["a"]
    await store.clock.advance(1)
    expiry.look()
    assert left(store) == []
    assert store.get("ConfigMap", "a")
    (newest,) = store.backend.log.last(1)
    assert (newest.type, newest.kind) == (EventType.DELETED, EVENTS)


async def test_a_write_gives_it_its_time_anew() -> None:
    """And an event that came later stays until it has had its own."""
    store, expiry = await make()
    await store.clock.advance(60)
    await store.patch("Event", "a", {"count": 2})
    await store.create("Event", event("b"))
    expiry.look()
    await store.clock.advance(40)
    expiry.look()
    assert left(store) == ["a", "b"]
    await store.clock.advance(60)
    expiry.look()
    assert left(store) == []


async def test_events_are_kept_for_ever_with_no_time() -> None:
    """As upstream's zero."""
    store, expiry = await make(ttl=0.0)
    for _ in range(3):
        await store.clock.advance(1e6)
        expiry.look()
    assert left(store) == ["a"]


@pytest.mark.parametrize(
    ("ttl", "most"),
    [pytest.param(100.0, 110.0, id="short"), pytest.param(3600.0, 3660.0, id="long")],
)
async def test_it_looks_often_enough(ttl: float, most: float) -> None:
    """An event stays a tenth of its time longer at most, and a minute at most."""
    store, expiry = await make(ttl)
    task = asyncio.create_task(expiry.run())
    await store.clock.advance(ttl - 1)
    assert left(store) == ["a"]
    await store.clock.advance(most - ttl + 1)
    assert left(store) == []
    task.cancel()
    await asyncio.wait([task])
