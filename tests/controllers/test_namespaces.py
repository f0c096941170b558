"""A namespace that is deleted is emptied, pods first, and then let go."""

import dataclasses
from collections.abc import Callable

import pytest
from verger.store.client import PartialDiscovery
from verger.store.errors import (
    ApiError,
    InternalError,
    MethodNotAllowed,
    NotFound,
    ServiceUnavailable,
)
from verger.store.kinds import Kinds
from verger.store.objects import thaw

from tests.controllers.clients import Call, Fails, Meanwhile, Side
from tests.controllers.harness import FEW, NAMESPACES, Cluster, some_kinds
from tests.controllers.objects import account, config_map, namespace, opaque_secret, pod

GRACE = 5.0
"""Seconds between the deletion and the first pass."""
FINALIZE = "update Namespace/finalize one"
STATUS = "update Namespace/status one"


def calls(cluster: Cluster) -> list[str]:
    return [str(call) for call in cluster.calls(NAMESPACES)]


def small(*names: str) -> Kinds:
    """Kinds for tests that count calls."""
    return some_kinds("Namespace", "Event", *names)


async def test_empty_namespace() -> None:
    """One live look, one list for each kind, pods first; the conditions, and the finalizer at last."""
    cluster = Cluster(NAMESPACES, kinds=small("Pod", "Service", "Deployment"))
    await cluster.create(namespace("one"))
    await cluster.delete("Namespace", "one")
    async with cluster:
        assert calls(cluster) == [
            "get Namespace one",
            "kinds",
            *(f"list {kind} one" for kind in ("Pod", "Event", "Service", "Deployment")),
            STATUS,
            FINALIZE,
            # The status was a change of a terminating namespace, and brings another look.
            "get Namespace one",
        ]
        assert await cluster.lines("Namespace") == []


async def test_what_holds_nothing_costs_one_request() -> None:
    """A kind with objects is deleted and looked at again; one without is listed, and nothing else."""
    cluster = Cluster(NAMESPACES, kinds=small("Pod", "Secret", "ConfigMap"))
    await cluster.create(namespace("one"), opaque_secret("one/a"), opaque_secret("one/b"))
    await cluster.delete("Namespace", "one")
    async with cluster:
        content = [call for call in calls(cluster) if call.endswith(" one") and "Names" not in call]
        assert content == [
            *("list Pod one", "list ConfigMap one", "list Event one"),
            *("list Secret one", "delete_collection Secret one", "list Secret one"),
        ]
        assert await cluster.everything() == []


async def test_nothing_happens_before_the_grace_is_over() -> None:
    """Clients see the namespace as it was left for a moment: the first look comes five seconds after the deletion."""
    cluster = Cluster(NAMESPACES)
    await cluster.create(namespace("one"), opaque_secret("one/kept"))
    async with cluster:
        await cluster.delete("Namespace", "one")
        await cluster.clock.advance(GRACE - 0.001)
        assert calls(cluster) == []
        await cluster.clock.advance(0.001)
        assert not await cluster.has("Namespace", "one")
        assert await cluster.lines() == []


async def test_active_namespace_is_left_alone() -> None:
    """Nothing is asked about namespaces that nobody deleted, and nothing goes of them."""
    cluster = Cluster(NAMESPACES)
    await cluster.create(
        namespace("one"), namespace("two"), *map(opaque_secret, ("one/a", "two/a"))
    )
    async with cluster:
        await cluster.label("Namespace", "one")
        await cluster.delete("Namespace", "two")
        await cluster.settle()
        assert {call.key for call in cluster.calls(NAMESPACES)} <= {"two", ""}
        assert await cluster.lines() == ["Secret one/a"]


async def test_active_in_truth_and_terminating_in_the_cache() -> None:
    """The namespace that was deleted has gone, and another one has its name: only a look is taken, nothing deleted."""
    cluster = Cluster(NAMESPACES)
    await cluster.create(namespace("one"))
    async with cluster:
        await cluster.delete("Namespace", "one")
        await cluster.clock.advance(1)
        await cluster.finalize("one")
        cluster.informers.hold("Namespace")
        await cluster.create(namespace("one"), opaque_secret("one/new"))
        await cluster.clock.advance(GRACE)
        assert calls(cluster) == ["get Namespace one"]
        cluster.informers.release()
        await cluster.settle()
        assert await cluster.lines("Namespace", "Secret") == [
            "Namespace one Active",
            "Secret one/new",
        ]


@pytest.mark.parametrize("discovery", [True, False], ids=["good discovery", "broken discovery"])
async def test_finalized_namespace(discovery: bool) -> None:
    """A namespace without our finalizer, held by another kind of finalizer, costs one look and no discovery."""
    cluster = Cluster(NAMESPACES)
    if not discovery:
        cluster.clients[NAMESPACES].taps.append(
            Fails("kinds", lambda: InternalError("broken"), times=-1)
        )
    await cluster.create(namespace("one"))
    await cluster.edit(
        "Namespace", "one", lambda o: o["metadata"].update(finalizers=["example.com/hold"])
    )
    await cluster.delete("Namespace", "one")
    await cluster.finalize("one")
    async with cluster:
        assert calls(cluster) == ["get Namespace one"]
        assert await cluster.lines("Namespace") == ["Namespace one terminating"]
        cluster.clients[NAMESPACES].taps.clear()


async def test_other_finalizers_of_the_spec_stay() -> None:
    """Only `kubernetes` is ours to take away; the namespace goes when the others have."""
    cluster = Cluster(NAMESPACES)
    await cluster.create(namespace("one", spec={"finalizers": ["example.com/b", "example.com/a"]}))
    await cluster.delete("Namespace", "one")
    async with cluster:
        left = await cluster.get("Namespace", "one")
        assert left["spec"] == {"finalizers": ["example.com/a", "example.com/b"]}
        await cluster.finalize("one")
        assert not await cluster.has("Namespace", "one")


async def test_finalizer_that_comes_during_the_pass_is_kept() -> None:
    """Finalizing takes away one finalizer of the namespace as it is then, not as it was before the pass."""
    cluster = Cluster(NAMESPACES)

    async def claim() -> None:
        obj = thaw(await cluster.get("Namespace", "one"))
        obj["spec"]["finalizers"] = ["kubernetes", "example.com/hold"]
        await cluster.user.update(cluster.named("Namespace"), obj, subresource="finalize")

    cluster.clients[NAMESPACES].taps.append(Meanwhile("list Secret", claim))
    await cluster.create(namespace("one"))
    await cluster.delete("Namespace", "one")
    async with cluster:
        left = await cluster.get("Namespace", "one")
        assert left["spec"] == {"finalizers": ["example.com/hold"]}


async def test_condition_that_comes_during_the_pass_is_kept() -> None:
    """What others say in the status meanwhile is not overwritten with what it was before the pass."""
    cluster = Cluster(NAMESPACES)
    theirs = {"type": "example.com/Theirs", "status": "True", "reason": "R", "message": "m"}

    async def say() -> None:
        obj = thaw(await cluster.get("Namespace", "one"))
        obj["status"]["conditions"] = [theirs]
        await cluster.user.update(cluster.named("Namespace"), obj, subresource="status")

    cluster.clients[NAMESPACES].taps.append(Meanwhile("list Secret", say))
    await cluster.create(namespace("one", spec={"finalizers": ["example.com/hold"]}))
    await cluster.delete("Namespace", "one")
    async with cluster:
        found = (await cluster.get("Namespace", "one"))["status"]["conditions"]
        assert [c["type"] for c in found if c["reason"] == "R"] == [theirs["type"]]
        assert len(found) == 6


@pytest.mark.parametrize("sub", ["status", "finalize"])
async def test_conflict_is_tried_again_at_once(sub: str) -> None:
    """A namespace that somebody else changes at the same time is written all the same, at the second try."""
    cluster = Cluster(NAMESPACES)
    cluster.clients[NAMESPACES].taps.append(
        Meanwhile(f"update Namespace/{sub}", lambda: cluster.label("Namespace", "one"))
    )
    await cluster.create(namespace("one"))
    await cluster.delete("Namespace", "one")
    async with cluster:
        assert not await cluster.has("Namespace", "one")
        assert cluster.manager.statistics()[NAMESPACES].retries == 0


async def test_another_namespace_of_the_name_is_not_finalized() -> None:
    """A write that conflicts looks at the uid before it is tried again."""
    cluster = Cluster(NAMESPACES)

    async def replace() -> None:
        await cluster.finalize("one")
        await cluster.create(namespace("one"), opaque_secret("one/new"))

    cluster.clients[NAMESPACES].taps.append(Meanwhile(FINALIZE, replace))
    await cluster.create(namespace("one"))
    await cluster.delete("Namespace", "one")
    async with cluster:
        assert await cluster.lines("Namespace", "Secret") == [
            "Namespace one Active",
            "Secret one/new",
        ]
        assert (await cluster.get("Namespace", "one"))["spec"] == {"finalizers": ["kubernetes"]}


# Content


async def test_pods_go_first() -> None:
    """Nothing but pods is deleted until the last of them is gone; then the rest."""
    cluster = Cluster(NAMESPACES)
    await cluster.create(
        namespace("one"), pod("one/p", finalizers=["example.com/x"]), opaque_secret("one/s")
    )
    await cluster.delete("Namespace", "one")
    async with cluster.unsettled():
        await cluster.clock.advance(60)
        assert await cluster.lines() == ["Pod one/p terminating", "Secret one/s"]
        touched = {
            call.what for call in cluster.calls(NAMESPACES) if call.verb.startswith("delete")
        }
        assert touched == {"Pod"}
        await cluster.edit("Pod", "one/p", lambda o: o["metadata"].pop("finalizers"))
        await cluster.settle()
        assert await cluster.lines("Namespace", "Pod", "Secret") == []


@pytest.mark.parametrize(
    ("grace", "phase", "looks"),
    [
        pytest.param(30, "Running", [5, 10, 18, 26], id="pods that may take long: every 8 s"),
        pytest.param(4, "Running", [5, 10, 18, 26], id="pods that have had their time: the same"),
        pytest.param(12, "Running", [5, 10, 17, 25], id="half of what they may take and a second"),
        pytest.param(12, "Succeeded", [5, 10, 18, 26], id="pods that have ended need no time"),
    ],
)
async def test_pods_are_given_time(grace: int, phase: str, looks: list[float]) -> None:
    """When the next look comes depends on what pods may take; the first status brings a look after 5 s by itself."""
    cluster = Cluster(NAMESPACES)
    held = pod("one/p", grace=grace, finalizers=["example.com/x"])
    await cluster.create(namespace("one"), held)
    status = {"status": {"phase": phase}}
    await cluster.user.patch(cluster.named("Pod"), "p", "one", status, subresource="status")
    await cluster.delete("Namespace", "one")
    seen: list[float] = []

    async def look(call: Call, side: Side) -> None:
        if side == "before" and call.verb == "kinds":
            seen.append(cluster.clock.monotonic())

    cluster.clients[NAMESPACES].taps.append(look)
    async with cluster.unsettled():
        await cluster.clock.advance(26)
        assert seen == looks


async def test_group_that_does_not_answer_holds_up_nothing_else() -> None:
    """What is known is emptied; the namespace itself waits until everything is known."""
    kinds = small("ConfigMap")
    cluster = Cluster(NAMESPACES, kinds=kinds)
    await cluster.create(namespace("one"), namespace("default"), config_map("one/c"))
    known = [kind for kind in kinds if kind.kind == "ConfigMap"]
    broken = Fails("kinds", lambda: PartialDiscovery("x.io is broken", kinds=known), times=-1)
    cluster.clients[NAMESPACES].taps.append(broken)
    await cluster.delete("Namespace", "one")
    async with cluster.unsettled():
        await cluster.clock.advance(GRACE + 1)
        assert await cluster.lines("Namespace", "ConfigMap") == [
            "Namespace default Active",
            "Namespace one terminating",
        ]
        one = await cluster.get("Namespace", "one")
        said = {item["type"]: item["message"] for item in one["status"]["conditions"]}
        assert said["NamespaceDeletionDiscoveryFailure"] == "x.io is broken"
        broken.left = 0
        await cluster.settle()
        assert await cluster.lines("Namespace") == ["Namespace default Active"]


async def test_content_with_finalizers_is_waited_for() -> None:
    """It is looked at again every 8 s, without errors, and the namespace goes when the finalizer does."""
    cluster = Cluster(NAMESPACES)
    await cluster.create(
        namespace("one"), namespace("default"), config_map("one/c", finalizers=["example.com/x"])
    )
    await cluster.delete("Namespace", "one")
    async with cluster.unsettled():
        await cluster.clock.advance(
            GRACE + 5
        )  # the status has changed once, and brings another look
        looks = calls(cluster).count("kinds")
        await cluster.clock.advance(80)
        assert calls(cluster).count("kinds") == looks + 10
        assert cluster.manager.errors(NAMESPACES) == []
        (event,) = await cluster.all("Event", "default")
        assert event["reason"] == "ContentRemains"
        assert "configmaps. has 1 resource instances" in event["message"]
        await cluster.edit("ConfigMap", "one/c", lambda o: o["metadata"].pop("finalizers"))
        await cluster.settle()
        assert await cluster.lines("Namespace", "ConfigMap") == ["Namespace default Active"]


async def test_everything_goes_whatever_its_kind() -> None:
    """All kinds that are namespaced and can be deleted are emptied."""
    cluster = Cluster(NAMESPACES, kinds=some_kinds(*FEW, "Role", "Lease", "Service", "Job"))
    await cluster.create(
        namespace("one"),
        account("one/a"),
        config_map("one/c"),
        pod("one/p"),
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": "r", "namespace": "one"},
        },
        {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": "l", "namespace": "one"},
        },
    )
    await cluster.delete("Namespace", "one")
    async with cluster:
        assert await cluster.everything() == []


def without_collections(kinds: Kinds) -> Kinds:
    """The same kinds, of which none can be deleted all at once."""
    return Kinds(
        dataclasses.replace(kind, verbs=kind.verbs - {"deletecollection"}) for kind in kinds
    )


async def test_kinds_without_deletecollection() -> None:
    """They are listed and deleted one by one, each by its uid."""
    cluster = Cluster(NAMESPACES, kinds=without_collections(small("Secret")))
    await cluster.create(namespace("one"), *(opaque_secret(f"one/{name}") for name in "abc"))
    await cluster.delete("Namespace", "one")
    async with cluster:
        assert await cluster.everything() == []
        assert not any("delete_collection" in call for call in calls(cluster))
        deletions = [call for call in cluster.calls(NAMESPACES) if call.verb == "delete"]
        assert [str(call) for call in deletions] == [f"delete Secret one/{name}" for name in "abc"]
        assert all(call.uid for call in deletions)


@pytest.mark.parametrize("error", [MethodNotAllowed, NotFound])
async def test_server_that_cannot_delete_collections(error: Callable[[str], ApiError]) -> None:
    """Its refusal leads to single deletions, and is not remembered for the next namespace."""
    cluster = Cluster(NAMESPACES, kinds=small("Secret"))
    cluster.clients[NAMESPACES].taps.append(
        Fails("delete_collection Secret one", lambda: error("no"), times=1)
    )
    await cluster.create(namespace("one"), namespace("two"))
    await cluster.create(opaque_secret("one/a"), opaque_secret("two/a"))
    await cluster.delete("Namespace", "one")
    await cluster.delete("Namespace", "two")
    async with cluster:
        assert await cluster.everything() == []
        seen = [c for c in calls(cluster) if "Secret" in c]
        assert [c for c in seen if "one" in c] == [
            "list Secret one",
            "delete_collection Secret one",
            "delete Secret one/a",
            "list Secret one",
        ]
        assert [c for c in seen if "two" in c] == [
            "list Secret two",
            "delete_collection Secret two",
            "list Secret two",
        ]


async def test_objects_that_go_by_themselves() -> None:
    """What has gone, or has been replaced, between the list and the deletion is passed over."""
    cluster = Cluster(NAMESPACES, kinds=without_collections(small("Secret")))

    async def vanish() -> None:
        await cluster.delete("Secret", "one/a")

    cluster.clients[NAMESPACES].taps.append(Meanwhile("delete Secret one/a", vanish))
    await cluster.create(namespace("one"), opaque_secret("one/a"), opaque_secret("one/b"))
    await cluster.delete("Namespace", "one")
    async with cluster:
        assert await cluster.everything() == []
        assert cluster.manager.errors(NAMESPACES) == []


async def test_errors_of_one_kind() -> None:
    """They do not keep the other kinds from being emptied, but the namespace from being finalized."""
    cluster = Cluster(NAMESPACES)
    outage = Fails("delete_collection Secret", lambda: ServiceUnavailable("down"), times=-1)
    cluster.clients[NAMESPACES].taps.append(outage)
    await cluster.create(namespace("one"), opaque_secret("one/a"), config_map("one/c"))
    await cluster.delete("Namespace", "one")
    async with cluster.unsettled():
        await cluster.clock.advance(30)
        assert await cluster.lines("Secret", "ConfigMap") == ["Secret one/a"]
        assert FINALIZE not in calls(cluster)
        assert "secrets: down" in cluster.manager.errors(NAMESPACES)[-1]
        outage.left = 0
        await cluster.settle()
        assert await cluster.everything() == []


async def test_phase_is_set_before_anything_is_deleted() -> None:
    """A namespace that has been deleted and is not marked is marked first."""
    cluster = Cluster(NAMESPACES, kinds=small())
    await cluster.create(namespace("one"))
    await cluster.delete("Namespace", "one")
    row = cluster.backend.get("namespaces", "one")
    assert row is not None
    unmarked = {**thaw(row.object), "status": {"phase": "Active"}}
    cluster.backend.put("namespaces", "one", unmarked, expected=row.revision)
    async with cluster:
        assert calls(cluster)[:3] == ["get Namespace one", STATUS, "kinds"]
        assert not await cluster.has("Namespace", "one")


async def test_namespace_that_is_deleted_while_the_controller_is_down() -> None:
    """Nobody has to tell it again: it is in the first list."""
    cluster = Cluster(NAMESPACES)
    await cluster.create(namespace("one"), opaque_secret("one/a"))
    async with cluster:
        await cluster.stop()
        await cluster.delete("Namespace", "one")
        await cluster.restart()
        assert await cluster.everything() == []
