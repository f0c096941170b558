"""What a deletion does: to the object, to those that it owns, to whole collections, and to namespaces."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from verger.store.backend import Row
from verger.store.errors import Conflict
from verger.store.kinds import Kind
from verger.store.reading import ListResult
from verger.store.request import Attributes, DeleteOptions, ListOptions, WriteRequest
from verger.store.rules import Rules
from verger.store.selectors import parse_fields, parse_labels
from verger.watch.event import EventType

from tests.store.conftest import Store

ANOTHER_UID = "88888888-8888-8888-8888-888888888888"
NOW = "2023-11-14T22:13:20Z"
LATER = "2023-11-14T22:13:30Z"


def meta(obj: Mapping[str, Any]) -> dict[str, Any]:
    return dict(obj["metadata"])


def named(name: str = "a", **fields: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, **fields}}


def status(code: int, reason: str, message: str, **details: Any) -> dict[str, Any]:
    """A Status as a kube-apiserver sends it."""
    out: dict[str, Any] = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
    }
    return {**out, "message": message, "reason": reason, "details": details, "code": code}


def changes(store: Store, resource: str, after: int) -> list[tuple[EventType, Mapping[str, Any]]]:
    return [
        (event.type, event.object.object)
        for event in store.backend.log.cursor(resource, after=after).read()
    ]


async def test_object_without_finalizers_is_gone_at_once(store: Store) -> None:
    """The answer and the event carry the last state, at the revision of the deletion."""
    old = await store.create("Secret", {**named(), "stringData": {"k": "v"}})
    start = store.backend.revision
    found, gone = await store.delete("Secret", "a")
    assert gone
    assert found == {**old, "metadata": {**meta(old), "resourceVersion": str(start + 1)}}
    assert not store.there("Secret", "a")
    assert changes(store, "secrets", start) == [(EventType.DELETED, found)]
    assert await store.status(store.delete("Secret", "a")) == status(
        404, "NotFound", 'secrets "a" not found', name="a", kind="secrets"
    )


async def test_object_with_finalizers_is_marked_once(store: Store) -> None:
    """The mark is one change; deleting again changes nothing, later or not."""
    await store.create("ConfigMap", named(finalizers=["e.com/a", "e.com/b"]))
    start = store.backend.revision
    await store.clock.advance(10)
    found, gone = await store.delete("ConfigMap", "a")
    assert not gone
    assert meta(found) == {
        "name": "a",
        "namespace": "ns",
        "uid": meta(found)["uid"],
        "resourceVersion": str(start + 1),
        "creationTimestamp": NOW,
        "deletionTimestamp": LATER,
        "deletionGracePeriodSeconds": 0,
        "finalizers": ["e.com/a", "e.com/b"],
    }
    assert changes(store, "configmaps", start) == [(EventType.MODIFIED, found)]
    await store.clock.advance(10)
    assert await store.delete("ConfigMap", "a") == (found, False)
    assert store.backend.revision == start + 1


async def test_generation_grows_with_the_mark_where_it_is_counted(store: Store) -> None:
    """An object that has a generation gets the next one when it is marked, and only then."""
    await store.create("ConfigMap", named(finalizers=["e.com/a"], generation=4))
    found, _ = await store.delete("ConfigMap", "a")
    assert meta(found)["generation"] == 5
    found, _ = await store.delete("ConfigMap", "a", propagation="Foreground")
    assert meta(found)["generation"] == 5


@pytest.mark.parametrize(
    ("policy", "before", "after"),
    [
        pytest.param("", [], None, id="no policy: gone"),
        pytest.param("", ["orphan"], ["orphan"], id="no policy: what is there decides"),
        pytest.param("Background", [], None, id="background: gone"),
        pytest.param("Background", ["orphan"], None, id="background: others' wishes are dropped"),
        pytest.param(
            "Background",
            ["foregroundDeletion", "e.com/x"],
            ["e.com/x"],
            id="background: own ones stay",
        ),
        pytest.param("Orphan", [], ["orphan"], id="orphan: added"),
        pytest.param("Orphan", ["orphan"], ["orphan"], id="orphan: there already"),
        pytest.param(
            "Orphan", ["foregroundDeletion", "e.com/x"], ["e.com/x", "orphan"], id="orphan: instead"
        ),
        pytest.param("Foreground", [], ["foregroundDeletion"], id="foreground: added"),
        pytest.param(
            "Foreground",
            ["e.com/x", "orphan"],
            ["e.com/x", "foregroundDeletion"],
            id="foreground: instead",
        ),
    ],
)
@pytest.mark.parametrize(
    "dry_run", [pytest.param(False, id="in earnest"), pytest.param(True, id="dry")]
)
async def test_policy_decides_which_finalizers_hold_an_object(
    store: Store, policy: str, before: list[str], after: list[str] | None, dry_run: bool
) -> None:
    """What happens to dependents is said by finalizers; None: nothing holds the object."""
    old = await store.create("ConfigMap", named(finalizers=before))
    found, gone = await store.delete("ConfigMap", "a", propagation=policy, dry_run=dry_run)
    assert gone is (after is None)
    if after is not None:
        assert meta(found)["finalizers"] == after
        assert meta(found)["deletionTimestamp"] == NOW
    if dry_run:
        assert store.get("ConfigMap", "a") is old
        assert meta(found)["resourceVersion"] == meta(old)["resourceVersion"]
    else:
        assert store.there("ConfigMap", "a") is (after is not None)


async def test_later_policy_replaces_an_earlier_one(store: Store) -> None:
    """A second deletion may still choose what happens to dependents."""
    # upstream: finalizers of the collector are set on objects that terminate already, too
    await store.create("ConfigMap", named())
    await store.delete("ConfigMap", "a", propagation="Foreground")
    found, gone = await store.delete("ConfigMap", "a", propagation="Orphan")
    assert (meta(found)["finalizers"], gone) == (["orphan"], False)
    assert (await store.delete("ConfigMap", "a", propagation="Background"))[1]
    assert not store.there("ConfigMap", "a")


async def test_events_have_no_dependents(store: Store) -> None:
    """Events are gone whatever the policy."""
    body = {**named(), "involvedObject": {"kind": "ConfigMap", "name": "x", "namespace": "ns"}}
    await store.create("Event", body)
    assert (await store.delete("Event", "a", propagation="Foreground"))[1]


SECRET = {"name": "a", "kind": "Secret"}
LEASE = {"name": "a", "group": "coordination.k8s.io", "kind": "Lease"}


@pytest.mark.parametrize(
    ("kind", "group", "qualified", "details"),
    [
        pytest.param("Secret", "", "Secret", SECRET, id="of the core group"),
        pytest.param(
            "Lease",
            "coordination.k8s.io",
            "Lease.coordination.k8s.io",
            LEASE,
            id="of another group",
        ),
    ],
)
async def test_precondition_that_fails_is_worded_as_upstream_does(
    store: Store, kind: str, group: str, qualified: str, details: dict[str, Any]
) -> None:
    """The kind stands where other messages have the resource."""
    which = store.kind(kind, group)
    uid = meta(await store.create(which, named()))["uid"]
    revision = meta(store.get(which, "a"))["resourceVersion"]
    cannot = f'Operation cannot be fulfilled on {qualified} "a": '
    assert await store.status(store.delete(which, "a", uid=ANOTHER_UID)) == status(
        409,
        "Conflict",
        f"{cannot}the UID in the precondition ({ANOTHER_UID}) does not match the UID in record ({uid}). The object "
        "might have been deleted and then recreated",
        **details,
    )
    assert await store.status(store.delete(which, "a", uid=uid, revision="1")) == status(
        409,
        "Conflict",
        f"{cannot}the ResourceVersion in the precondition (1) does not match the ResourceVersion in record "
        f"({revision}). The object might have been modified",
        **details,
    )
    assert (await store.delete(which, "a", uid=uid, revision=revision))[1]


async def test_successor_of_a_name_is_not_deleted_for_its_predecessor(store: Store) -> None:
    """A uid protects what was created anew."""
    uid = meta(await store.create("Secret", named()))["uid"]
    await store.delete("Secret", "a")
    await store.create("Secret", named())
    with pytest.raises(Conflict):
        await store.delete("Secret", "a", uid=uid)
    assert store.there("Secret", "a")


class Slow(Rules):
    """A kind whose objects are given time to end by themselves."""

    __slots__ = ()

    def grace_seconds(self, obj: Mapping[str, Any], requested: int | None) -> int:
        return 30 if requested is None else requested


async def test_grace_can_only_be_shortened(store: Store) -> None:
    """An object with time to end is marked for later; a second deletion may only hurry."""
    kind = Kind(
        group="example.com",
        version="v1",
        kind="Slow",
        plural="slows",
        singular="slow",
        namespaced=True,
        verbs=frozenset({"get", "create"}),
        type_name="",
        rules=Slow(),
    )
    await store.create(kind, named())
    found, gone = await store.delete(kind, "a")
    assert not gone
    assert meta(found)["deletionTimestamp"] == "2023-11-14T22:13:50Z"
    assert meta(found)["deletionGracePeriodSeconds"] == 30
    found, gone = await store.delete(kind, "a", grace_seconds=60)
    assert (meta(found)["deletionGracePeriodSeconds"], gone) == (30, False)
    found, gone = await store.delete(kind, "a", grace_seconds=10)
    assert meta(found)["deletionTimestamp"] == LATER
    assert (meta(found)["deletionGracePeriodSeconds"], gone) == (10, False)
    await store.update(kind, "a", {**named(), "spec": 1})
    assert store.there(kind, "a"), "the grace holds it, though nothing else does"
    assert (await store.delete(kind, "a", grace_seconds=0))[1]
    assert not store.there(kind, "a")


POD = {**named(), "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}}


async def test_pod_without_time_to_end_is_marked_before_it_goes(store: Store) -> None:
    """Whoever runs it learns that there is no time; a dry run says the same and changes nothing."""
    await store.create("Pod", POD)
    start = store.backend.revision
    dry, gone = await store.delete("Pod", "a", grace_seconds=0, dry_run=True)
    assert (meta(dry)["deletionGracePeriodSeconds"], gone) == (0, True)
    assert store.backend.revision == start
    found, gone = await store.delete("Pod", "a", grace_seconds=0)
    assert (meta(found)["deletionGracePeriodSeconds"], gone) == (0, True)
    assert not store.there("Pod", "a")
    (first, marked), (second, last) = changes(store, "pods", start)
    assert (first, second) == (EventType.MODIFIED, EventType.DELETED)
    assert meta(marked)["deletionTimestamp"] == NOW
    assert last == {**marked, "metadata": {**meta(marked), "resourceVersion": str(start + 2)}}


async def test_time_to_end_begins_with_the_first_deletion(store: Store) -> None:
    """A later one without a word of it changes nothing; one that hurries counts from the beginning."""
    await store.create("Pod", POD)
    found, gone = await store.delete("Pod", "a", grace_seconds=60)
    assert (meta(found)["deletionTimestamp"], gone) == ("2023-11-14T22:14:20Z", False)
    await store.clock.advance(5)
    assert await store.delete("Pod", "a") == (found, False)
    hurried, gone = await store.delete("Pod", "a", grace_seconds=10)
    assert (meta(hurried)["deletionTimestamp"], gone) == (LATER, False)
    assert meta(hurried)["generation"] == meta(found)["generation"]


async def test_finalizers_hold_a_pod_that_has_no_time_left(store: Store) -> None:
    """It goes with the last of them."""
    await store.create("Pod", {**POD, **named(finalizers=["e.com/x"])})
    found, gone = await store.delete("Pod", "a", grace_seconds=0)
    assert (meta(found)["deletionGracePeriodSeconds"], gone) == (0, False)
    assert await store.delete("Pod", "a", grace_seconds=0) == (found, False)
    await store.patch("Pod", "a", {"metadata": {"finalizers": None}})
    assert not store.there("Pod", "a")


# Collections


async def collection(
    store: Store,
    *,
    labels: str = "",
    fields: str = "",
    limit: int = 0,
    dry_run: bool = False,
    **how: Any,
) -> ListResult:
    selection = ListOptions(parse_labels(labels), parse_fields(fields), limit)
    request = store.request(dry_run)
    kind = store.kind("ConfigMap")
    return await store.registry.delete_collection(
        kind, "ns", selection, DeleteOptions(**how), request
    )


def names(rows: list[Row]) -> list[str]:
    return [row.object["metadata"]["name"] for row in rows]


async def three(store: Store) -> None:
    for number, name in enumerate("abc", 1):
        await store.create("ConfigMap", named(name, labels={"x": str(number)}))
    await store.create("Secret", named())


def left(store: Store) -> list[str]:
    return names(store.backend.list("configmaps", "ns").rows)


@pytest.mark.parametrize(
    ("how", "deleted"),
    [
        pytest.param({}, "abc", id="all of them"),
        pytest.param({"labels": "x in (1,3)"}, "ac", id="those with a label"),
        pytest.param({"fields": "metadata.name=b"}, "b", id="one by name"),
        pytest.param({"labels": "x=9"}, "", id="none"),
        pytest.param({"limit": 2}, "ab", id="a page of them"),
    ],
)
async def test_collection_is_deleted_as_it_is_listed(
    store: Store, how: dict[str, Any], deleted: str
) -> None:
    """What a list shows is deleted, one event for each, and returned as it was."""
    await three(store)
    before = store.backend.revision
    found = await collection(store, **how, dry_run=True)
    assert names(found.rows) == [*deleted]
    assert store.backend.revision == before
    found = await collection(store, **how)
    assert names(found.rows) == [*deleted]
    assert left(store) == [name for name in "abc" if name not in deleted]
    assert store.there("Secret", "a")
    assert [type_ for type_, _ in changes(store, "configmaps", before)] == [
        EventType.DELETED for _ in deleted
    ]


async def test_finalizers_and_policies_hold_in_a_collection_too(store: Store) -> None:
    """Each object is deleted by the rules for one."""
    await three(store)
    await store.patch("ConfigMap", "b", {"metadata": {"finalizers": ["e.com/x"]}})
    await collection(store)
    assert left(store) == ["b"]
    assert meta(store.get("ConfigMap", "b"))["deletionTimestamp"] == NOW


async def test_preconditions_for_a_collection_hold_for_each(store: Store) -> None:
    """A precondition that one object fails ends the deletion with its error."""
    await three(store)
    uid, revision = (meta(store.get("ConfigMap", "b"))[key] for key in ("uid", "resourceVersion"))
    refused = await store.status(collection(store, fields="metadata.name=b", revision="1"))
    assert refused == status(
        409,
        "Conflict",
        'Operation cannot be fulfilled on ConfigMap "b": the ResourceVersion in the precondition (1) does not '
        f"match the ResourceVersion in record ({revision}). The object might have been modified",
        name="b",
        kind="ConfigMap",
    )
    with pytest.raises(Conflict):
        await collection(store, uid=uid)
    await collection(store, fields="metadata.name=b", uid=uid, revision=revision)
    assert left(store) == ["a", "c"]


class Meddler:
    """Does something to the next objects while one of them is about to be deleted."""

    def __init__(self) -> None:
        self.store: Store | None = None

    def handles(self, attributes: Attributes) -> bool:
        return attributes.verb == "delete" and attributes.name == "a"

    async def admit(self, *_: Any) -> None:
        raise AssertionError("a deletion admits nothing")

    async def validate(
        self, attributes: Attributes, obj: Any, old: Any, request: WriteRequest
    ) -> None:
        store, self.store = self.store, None
        if store is not None:
            await store.delete("ConfigMap", "b")
            await store.delete("ConfigMap", "c")
            await store.create("ConfigMap", named("c"))
            await store.create("ConfigMap", named("d"))


async def test_collection_passes_over_what_has_gone_or_been_replaced() -> None:
    """Only the very objects that were listed are deleted; what others did meanwhile is no error."""
    meddler = Meddler()
    store = Store(meddler)
    await store.create("Namespace", named("ns"))
    await three(store)
    meddler.store = store
    found = await collection(store)
    assert names(found.rows) == ["a"]
    assert left(store) == ["c", "d"]


async def test_large_collection_lets_others_work(store: Store) -> None:
    """Deleting many objects is not one long step."""
    for number in range(200):
        await store.create("ConfigMap", named(f"x{number}"))
    turns: list[int] = []

    async def other() -> None:
        while left(store):
            turns.append(len(left(store)))
            await asyncio.sleep(0)

    await asyncio.gather(collection(store), other())
    assert any(0 < count < 200 for count in turns)
    assert left(store) == []


# Namespaces


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public"])
@pytest.mark.parametrize(
    "dry_run", [pytest.param(False, id="in earnest"), pytest.param(True, id="dry")]
)
async def test_some_namespaces_live_for_ever(store: Store, name: str, dry_run: bool) -> None:
    """They are not deleted, whatever the options, and whether they exist or not."""
    message = f'namespaces "{name}" is forbidden: this namespace may not be deleted'
    refused = status(403, "Forbidden", message, name=name, kind="namespaces")
    assert await store.status(store.delete("Namespace", name, dry_run=dry_run)) == refused
    await store.create("Namespace", named(name))
    deletion = store.delete("Namespace", name, grace_seconds=0, propagation="Background")
    assert await store.status(deletion) == refused


async def test_name_of_an_immortal_namespace_protects_nothing_else(store: Store) -> None:
    """A ServiceAccount called default can be deleted, and so can the namespace of nodes' leases."""
    await store.create("ServiceAccount", named("default"))
    assert (await store.delete("ServiceAccount", "default"))[1]
    await store.create("Namespace", named("kube-node-lease"))
    found, gone = await store.delete("Namespace", "kube-node-lease")
    assert (found["status"], gone) == ({"phase": "Terminating"}, False)


async def test_namespace_terminates_until_all_its_finalizers_are_gone(store: Store) -> None:
    """Deleted it is Terminating, without grace; its own subresource gives up the last finalizer and ends it."""
    await store.create("ConfigMap", named())
    found = await store.update(
        "Namespace",
        "ns",
        {**named("ns"), "spec": {"finalizers": ["kubernetes", "e.com/hold"]}},
        subresource="finalize",
    )
    assert found["spec"] == {"finalizers": ["kubernetes", "e.com/hold"]}
    dry, _ = await store.delete("Namespace", "ns", dry_run=True)
    assert dry["status"] == {"phase": "Terminating"}
    assert store.get("Namespace", "ns")["status"] == {"phase": "Active"}

    marked, gone = await store.delete("Namespace", "ns")
    assert not gone
    assert marked["status"] == {"phase": "Terminating"}
    assert "deletionGracePeriodSeconds" not in meta(marked)
    assert meta(marked)["deletionTimestamp"] == NOW
    assert await store.delete("Namespace", "ns") == (marked, False)

    assert await store.status(store.create("ConfigMap", named("late"))) == status(
        403,
        "Forbidden",
        'configmaps "late" is forbidden: unable to create new content in namespace ns because it is being terminated',
        name="late",
        kind="configmaps",
        causes=[
            {
                "reason": "NamespaceTerminating",
                "message": "namespace ns is being terminated",
                "field": "metadata.namespace",
            }
        ],
    )
    await store.patch("ConfigMap", "a", {"data": {"still": "allowed"}})
    await store.delete("ConfigMap", "a")

    rest = {**named("ns"), "spec": {"finalizers": ["e.com/hold"]}}
    found = await store.update("Namespace", "ns", rest, subresource="finalize")
    assert found["spec"] == {"finalizers": ["e.com/hold"]}
    found = await store.update("Namespace", "ns", named("ns"), subresource="finalize")
    assert found["spec"] == {}
    assert not store.there("Namespace", "ns")
    assert await store.status(store.create("ConfigMap", named())) == status(
        404, "NotFound", 'namespaces "ns" not found', name="ns", kind="namespaces"
    )


async def test_namespace_is_held_by_its_metadata_too(store: Store) -> None:
    """Both lists of finalizers must be empty; the last one of metadata ends it, and so does another deletion."""
    await store.patch("Namespace", "ns", {"metadata": {"finalizers": ["e.com/x"]}})
    await store.delete("Namespace", "ns")
    await store.update(
        "Namespace", "ns", {**named("ns", finalizers=["e.com/x"])}, subresource="finalize"
    )
    assert store.there("Namespace", "ns")
    await store.patch("Namespace", "ns", {"metadata": {"finalizers": []}})
    assert not store.there("Namespace", "ns")

    await store.create("Namespace", named("other"))
    await store.update("Namespace", "other", named("other"), subresource="finalize")
    assert store.there("Namespace", "other"), "it is not deleted"
    assert (await store.delete("Namespace", "other"))[1]


async def test_preconditions_of_a_namespace_have_words_of_their_own(store: Store) -> None:
    """Namespaces are deleted by code of their own upstream, and its messages differ."""
    found = meta(store.get("Namespace", "ns"))
    cannot = 'Operation cannot be fulfilled on namespaces "ns": Precondition failed: '
    details = {"name": "ns", "kind": "namespaces"}
    assert await store.status(store.delete("Namespace", "ns", uid=ANOTHER_UID)) == status(
        409,
        "Conflict",
        f"{cannot}UID in precondition: {ANOTHER_UID}, UID in object meta: {found['uid']}",
        **details,
    )
    revision = found["resourceVersion"]
    assert await store.status(store.delete("Namespace", "ns", revision="1")) == status(
        409,
        "Conflict",
        f"{cannot}ResourceVersion in precondition: 1, ResourceVersion in object meta: {revision}",
        **details,
    )
    await store.delete("Namespace", "ns", uid=found["uid"], revision=revision)
    assert store.get("Namespace", "ns")["status"] == {"phase": "Terminating"}
