"""What every client promises, be the world in this process, behind our own API, or behind another one.

With a kubeconfig in VERGER_TEST_KUBECONFIG the sentences are read to that server, too. Each test has a namespace of its
own there, which is deleted behind it.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from verger.embed import ControlPlane
from verger.store.client import Client, ClientSource
from verger.store.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    Invalid,
    MethodNotAllowed,
    NotFound,
)
from verger.store.kinds import Kind, Kinds, built_in
from verger.store.kubeconfig import connect
from verger.store.objects import generate_name, name_of, namespace_of, revision_of, thaw, uid_of
from verger.store.remote import RemoteServer
from verger.store.throttle import TokenBucket
from verger.watch.clock import SystemClock
from verger.watch.event import Event, Expired
from verger.watch.informer import Informer
from verger.watch.reflector import Stream

SOON: Final = 60.0
"""Seconds; far more than anything here takes. Reaching them is a failure."""
REAL: Final = os.environ.get("VERGER_TEST_KUBECONFIG", "")
Object = Mapping[str, Any]


class World(NamedTuple):
    """A client, and a namespace in which nobody else is."""

    client: Client
    kinds: Kinds
    namespace: str
    is_another: bool
    """Whether the server is not ours."""

    @property
    def maps(self) -> Kind:
        return self.kinds.core("ConfigMap")

    def map(self, name: str, *, labels: Mapping[str, str] | None = None, **data: str) -> Object:
        metadata: dict[str, Any] = {"name": name, "namespace": self.namespace}
        return {"metadata": {**metadata, "labels": {"ours": "yes", **(labels or {})}}, "data": data}

    async def create(self, name: str, **content: Any) -> Object:
        return await self.client.create(self.maps, self.map(name, **content))

    async def names(self, **selection: str) -> list[str]:
        found = await self.client.list(self.maps, self.namespace, **selection)
        return [name_of(item) for item in found.items]


@contextlib.asynccontextmanager
async def remote(kubeconfig: Path, kinds: Kinds) -> AsyncIterator[Client]:
    clock = SystemClock()
    server = RemoteServer(
        connect(kubeconfig, environment=os.environ, clock=clock),
        kinds,
        clock,
        throttle=TokenBucket(clock, qps=0, burst=1),
    )
    try:
        yield server.client("contract")
    finally:
        await server.close()


@contextlib.asynccontextmanager
async def clients(where: str) -> AsyncIterator[tuple[Client, Kinds]]:
    if where == "real":
        kinds = built_in()
        async with remote(Path(REAL), kinds) as client:
            yield client, kinds
        return
    async with ControlPlane(controllers=()) as plane:
        if where == "in-process":
            yield plane.client, plane.kinds
            return
        async with remote(plane.kubeconfig, plane.kinds) as client:
            yield client, plane.kinds


@pytest.fixture(
    params=[
        pytest.param("in-process", id="in this process"),
        pytest.param("own", id="over TLS to our API"),
        *([pytest.param("real", id="over TLS to another API")] if REAL else ()),
    ]
)
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with clients(request.param) as (client, kinds):
        namespace = generate_name("verger-contract-")
        spaces = kinds.core("Namespace")
        await client.create(spaces, {"metadata": {"name": namespace}})
        yield World(client, kinds, namespace, request.param == "real")
        await client.delete(spaces, namespace)


async def news(stream: Stream[Object], count: int) -> list[Event[Object]]:
    """The next events, bookmarks left out."""
    found: list[Event[Object]] = []
    async with asyncio.timeout(SOON):
        while len(found) < count:
            found += [item for item in await stream.read() if isinstance(item, Event)]
    return found


# Reading and writing one object


async def test_created_object_is_read_back(world: World) -> None:
    """What create returns is what get returns, with its identity and its type."""
    created = await world.create("a", key="value")
    assert created["data"] == {"key": "value"}
    assert uid_of(created)
    assert int(revision_of(created)) > 0
    assert (created["kind"], created["apiVersion"]) == ("ConfigMap", "v1")
    assert await world.client.get(world.maps, "a", world.namespace) == created


async def test_object_that_is_not_there(world: World) -> None:
    """NotFound, in upstream's words."""
    with pytest.raises(NotFound, match=r'^configmaps "nobody" not found$'):
        await world.client.get(world.maps, "nobody", world.namespace)


async def test_name_that_is_taken(world: World) -> None:
    """AlreadyExists, and not the Conflict that has the same code."""
    await world.create("a")
    with pytest.raises(AlreadyExists, match=r'^configmaps "a" already exists$'):
        await world.create("a")


async def test_name_that_the_server_makes(world: World) -> None:
    """generateName is a beginning, and the answer says what came of it."""
    made = await world.client.create(
        world.maps, {"metadata": {"generateName": "made-", "namespace": world.namespace}}
    )
    assert name_of(made).startswith("made-")
    assert len(name_of(made)) == len("made-") + 5


async def test_namespace_that_is_not_there(world: World) -> None:
    """The error names the namespace, so that a controller can tell that there is nothing left to do."""
    with pytest.raises(NotFound) as caught:
        await world.client.create(
            world.maps, {"metadata": {"name": "a", "namespace": f"{world.namespace}-not"}}
        )
    assert (caught.value.details or {}).get("kind") == "namespaces"


async def test_object_that_breaks_a_rule(world: World) -> None:
    """Invalid, with a cause for each field."""
    with pytest.raises(Invalid) as caught:
        await world.create("Not A Name")
    assert [cause["field"] for cause in caught.value.causes] == ["metadata.name"]


async def test_update_of_the_version_that_was_read(world: World) -> None:
    """It succeeds once; the same version again is a Conflict."""
    first = await world.create("a", key="1")
    second = await world.client.update(world.maps, {**first, "data": {"key": "2"}})
    assert second["data"] == {"key": "2"}
    assert int(revision_of(second)) > int(revision_of(first))
    with pytest.raises(Conflict):
        await world.client.update(world.maps, {**first, "data": {"key": "3"}})
    assert (await world.client.get(world.maps, "a", world.namespace))["data"] == {"key": "2"}


async def test_update_without_a_version(world: World) -> None:
    """It replaces whatever is there."""
    await world.create("a", key="1")
    updated = await world.client.update(world.maps, world.map("a", key="2"))
    assert updated["data"] == {"key": "2"}


async def test_update_that_changes_nothing(world: World) -> None:
    """It takes no revision."""
    created = await world.create("a", key="1")
    assert revision_of(await world.client.update(world.maps, created)) == revision_of(created)


async def test_update_of_a_subresource(world: World) -> None:
    """The status changes, and the rest of the object does not."""
    kind = world.kinds.core("ResourceQuota")
    metadata = {"name": "a", "namespace": world.namespace}
    quota = thaw(
        await world.client.create(kind, {"metadata": metadata, "spec": {"hard": {"pods": "1"}}})
    )
    quota["status"] = {"hard": {"pods": "7"}, "used": {"pods": "3"}}
    quota["spec"] = {"hard": {"pods": "9"}}
    updated = await world.client.update(kind, quota, subresource="status")
    assert updated["status"]["used"] == {"pods": "3"}
    assert updated["spec"]["hard"] == {"pods": "1"}


@pytest.mark.parametrize(
    ("type_", "patch", "expected"),
    [
        pytest.param("merge", {"data": {"a": None, "c": "3"}}, {"b": "2", "c": "3"}, id="merge"),
        pytest.param(
            "json",
            [{"op": "replace", "path": "/data/a", "value": "9"}],
            {"a": "9", "b": "2"},
            id="list of operations",
        ),
        pytest.param("strategic", {"data": {"b": "8"}}, {"a": "1", "b": "8"}, id="strategic"),
    ],
)
async def test_patch(world: World, type_: Any, patch: Any, expected: Mapping[str, str]) -> None:
    """Each sort of patch is understood as what it is."""
    await world.create("p", a="1", b="2")
    patched = await world.client.patch(world.maps, "p", world.namespace, patch, type=type_)
    assert patched["data"] == expected


async def test_patch_of_an_earlier_version(world: World) -> None:
    """A resourceVersion in a patch is a precondition."""
    first = await world.create("a", key="1")
    await world.client.update(world.maps, world.map("a", key="2"))
    patch = {"metadata": {"resourceVersion": revision_of(first)}, "data": {"key": "3"}}
    with pytest.raises(Conflict):
        await world.client.patch(world.maps, "a", world.namespace, patch)


# Deleting


@pytest.mark.parametrize("wrong", ["uid", "revision"])
async def test_delete_of_another_incarnation(world: World, wrong: str) -> None:
    """What is not the object that was meant stays."""
    created = await world.create("a")
    meant = {"uid": uid_of(created), "revision": revision_of(created)}
    other = {"uid": "00000000-0000-4000-8000-000000000000", "revision": "1"}[wrong]
    with pytest.raises(Conflict):
        await world.client.delete(world.maps, "a", world.namespace, **{**meant, wrong: other})
    assert await world.names(labels="ours") == ["a"]
    await world.client.delete(world.maps, "a", world.namespace, **meant)
    assert await world.names(labels="ours") == []


async def test_delete_of_what_is_not_there(world: World) -> None:
    """NotFound: somebody else was faster, or it never was."""
    with pytest.raises(NotFound):
        await world.client.delete(world.maps, "nobody", world.namespace)


async def test_delete_of_all(world: World) -> None:
    """All objects of the kind in the namespace, and none elsewhere."""
    await world.create("a")
    await world.create("b")
    secrets = world.kinds.core("Secret")
    await world.client.create(secrets, {"metadata": {"name": "s", "namespace": world.namespace}})
    await world.client.delete_collection(world.maps, world.namespace, propagation="Background")
    assert await world.names(labels="ours") == []
    left = await world.client.list(secrets, world.namespace, fields="metadata.name=s")
    assert len(left.items) == 1


async def test_delete_of_all_where_there_is_nothing_to_keep(world: World) -> None:
    """MethodNotAllowed, so that a caller can delete one by one."""
    reviews = world.kinds.get("authentication.k8s.io", "v1", "TokenReview")
    assert reviews is not None
    with pytest.raises(MethodNotAllowed):
        await world.client.delete_collection(reviews, "")


# Lists


async def test_list_has_what_is_there(world: World) -> None:
    """Whole objects, which say what they are."""
    made = [await world.create(name, key=name) for name in ("b", "a")]
    found = await world.client.list(world.maps, world.namespace, labels="ours=yes")
    assert list(found.items) == made[::-1]
    assert found.revision >= max(int(revision_of(item)) for item in made)


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        pytest.param({"labels": "tier=front"}, ["a"], id="a label"),
        pytest.param({"labels": "ours,tier notin (front)"}, ["b"], id="a set, quoted on its way"),
        pytest.param({"fields": "metadata.name=b"}, ["b"], id="a field"),
        pytest.param({"fields": "metadata.name=b", "labels": "tier=front"}, [], id="both"),
    ],
)
async def test_list_of_a_selection(
    world: World, selection: Mapping[str, str], expected: list[str]
) -> None:
    """The server selects."""
    await world.create("a", labels={"tier": "front"})
    await world.create("b", labels={"tier": "back"})
    assert await world.names(**selection) == expected


async def test_list_of_all_namespaces(world: World) -> None:
    """No namespace means all."""
    await world.create("a", labels={"of": world.namespace})
    found = await world.client.list(world.maps, labels=f"of={world.namespace}")
    assert [(namespace_of(item), name_of(item)) for item in found.items] == [(world.namespace, "a")]


# Watches


async def test_watch_has_what_follows_a_list(world: World) -> None:
    """Everything after the list, once, in order; a deletion has the last state and a revision of its own."""
    await world.create("before")
    listed = await world.client.list(world.maps, world.namespace)
    stream = await world.client.watch(world.maps, world.namespace, after=listed.revision)
    created = await world.create("a", key="1")
    updated = await world.client.update(world.maps, {**created, "data": {"key": "2"}})
    await world.client.delete(world.maps, "a", world.namespace)
    events = await news(stream, 3)
    stream.close()
    assert [event.type.value for event in events] == ["ADDED", "MODIFIED", "DELETED"]
    assert {(event.kind, event.scope, event.key) for event in events} == {
        ("configmaps", world.namespace, f"{world.namespace}/a")
    }
    assert [event.revision for event in events[:2]] == [
        int(revision_of(created)),
        int(revision_of(updated)),
    ]
    assert events[2].revision > events[1].revision
    assert events[2].object["data"] == {"key": "2"}
    assert {event.object["kind"] for event in events} == {"ConfigMap"}


async def test_watch_of_a_selection(world: World) -> None:
    """An object that leaves the selection is deleted for those who watch it, and one that enters is added."""
    listed = await world.client.list(world.maps, world.namespace)
    stream = await world.client.watch(
        world.maps, world.namespace, after=listed.revision, labels="tier=front"
    )
    await world.create("other", labels={"tier": "back"})
    await world.create("a", labels={"tier": "front"})
    for tier in ("back", "front"):
        patch = {"metadata": {"labels": {"tier": tier}}}
        await world.client.patch(world.maps, "a", world.namespace, patch)
    events = await news(stream, 3)
    stream.close()
    assert [(name_of(event.object), event.type.value) for event in events] == [
        ("a", "ADDED"),
        ("a", "DELETED"),
        ("a", "ADDED"),
    ]


async def test_watch_of_history_that_has_gone(world: World) -> None:
    """Expired, which makes a reflector list again. A server that has forgotten nothing yet tells all of it."""
    created = await world.create("a")
    try:
        stream = await world.client.watch(
            world.maps, world.namespace, after=1, fields="metadata.name=a"
        )
        (event,) = await news(stream, 1)
    except Expired:
        return
    assert world.is_another, "ours has forgotten its beginnings before anybody can ask"
    stream.close()
    assert (event.type.value, event.revision) == ("ADDED", int(revision_of(created)))


async def test_closed_watch_is_over(world: World) -> None:
    """Closing twice is harmless."""
    listed = await world.client.list(world.maps, world.namespace)
    stream = await world.client.watch(world.maps, world.namespace, after=listed.revision)
    stream.close()
    stream.close()


async def test_informer_follows_a_client(world: World) -> None:
    """What was there, what comes and what goes: the cache ends up as the world is."""
    await world.create("kept", key="1")
    await world.create("gone")
    source = ClientSource(world.client, world.maps, world.namespace, labels="ours")
    informer: Informer[Object] = Informer(source, clock=SystemClock())
    seen: asyncio.Queue[str] = asyncio.Queue()
    informer.add_handler(lambda change: seen.put_nowait(change.key.rpartition("/")[2]))
    running = asyncio.create_task(informer.run())
    try:
        async with asyncio.timeout(SOON):
            await informer.cache.synced()
            await world.client.delete(world.maps, "gone", world.namespace)
            await world.create("late")
            while await seen.get() != "late":
                pass
    finally:
        running.cancel()
        await asyncio.wait([running])
    cache = informer.cache
    assert sorted(cache.keys()) == [f"{world.namespace}/{name}" for name in ("kept", "late")]
    kept = cache.get(f"{world.namespace}/kept")
    assert kept is not None
    assert kept["data"] == {"key": "1"}


# Discovery


async def test_kinds_that_are_served(world: World) -> None:
    """Each once, in one version; what the program knows is the same object."""
    served = await world.client.kinds()
    assert len({(kind.group, kind.plural) for kind in served}) == len(served)
    assert world.maps in served
    by_resource = {kind.resource: kind for kind in served}
    assert by_resource["namespaces"].namespaced is False
    assert by_resource["secrets"].namespaced is True
    assert "deletecollection" in by_resource["secrets"].verbs
    assert not any("/" in kind.plural for kind in served)


async def test_errors_are_of_one_family(world: World) -> None:
    """Whoever catches ApiError catches every refusal."""
    with pytest.raises(ApiError):
        await world.client.list(world.maps, world.namespace, labels="!!")
