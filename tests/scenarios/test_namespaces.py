"""The table of upstream's namespace controller, row by row: what it asks for, and what it says of what stays."""

from typing import Any

import pytest
from verger.store.client import PartialDiscovery
from verger.store.errors import InternalError, MethodNotAllowed, NotFound
from verger.store.objects import thaw

from tests.controllers.clients import Fails, Meanwhile
from tests.controllers.harness import NAMESPACES
from tests.controllers.objects import Object, config_map, namespace, opaque_secret
from tests.scenarios.stage import Stage, Where, staged

GRACE = 5.0
LOOK = "get Namespace one"
FINALIZE = "update Namespace/finalize one"
STATUS = "update Namespace/status one"
HELD: Object = {"finalizers": ["example.com/hold"]}
TYPES = [
    "NamespaceDeletionDiscoveryFailure",
    "NamespaceDeletionGroupVersionParsingFailure",
    "NamespaceDeletionContentFailure",
    "NamespaceContentRemaining",
    "NamespaceFinalizersRemaining",
]


def calls(stage: Stage) -> list[str]:
    return [str(call) for call in stage.calls(NAMESPACES) if call.what != "Event"]


async def said(stage: Stage) -> dict[str, tuple[str, str]]:
    """Status and message of each condition of the namespace, in their order."""
    status = (await stage.get("Namespace", "one"))["status"]
    return {c["type"]: (c["status"], c["message"]) for c in status.get("conditions") or ()}


async def terminating(stage: Stage, *content: Object, **more: Any) -> None:
    """A namespace that has been deleted, and the first pass over it."""
    await stage.create(namespace("one", **more), *content)
    await stage.delete("Namespace", "one")
    await stage.start()
    await stage.clock.advance(GRACE)
    await stage.settle()


async def test_active_namespace(where: Where) -> None:
    """Nothing but, at most, a GET."""
    async with staged(where, NAMESPACES) as stage:
        await stage.create(namespace("one"), opaque_secret("one/kept"))
        await stage.start()
        await stage.label("Namespace", "one")
        await stage.clock.advance(GRACE)
        await stage.settle()
        assert set(calls(stage)) <= {LOOK}
        assert await stage.has("Secret", "one/kept")


async def test_terminating_namespace_with_our_finalizer(where: Where) -> None:
    """Get namespace, list pods first, update status, finalize; of each resource with content: DELETE collection, list."""
    async with staged(where, NAMESPACES) as stage:
        await terminating(stage, opaque_secret("one/s"), config_map("one/c"))
        asked = calls(stage)
        assert asked[:3] == [LOOK, "kinds", "list Pod one"]
        assert asked[-2:] == [STATUS, FINALIZE]
        for kind in ("Secret", "ConfigMap"):
            assert [call for call in asked if call.split()[1:] == [kind, "one"]] == [
                f"list {kind} one",
                f"delete_collection {kind} one",
                f"list {kind} one",
            ]
        assert await stage.world() == []


@pytest.mark.parametrize("discovery", [True, False], ids=["good discovery", "discovery errors"])
async def test_already_finalized_namespace(where: Where, discovery: bool) -> None:
    """Only get namespace; also when discovery errors."""
    async with staged(where, NAMESPACES) as stage:
        if not discovery:
            down = Fails("kinds", lambda: InternalError("down"), times=-1)
            stage.clients[NAMESPACES].taps.append(down)
        await stage.create(namespace("one"))
        await stage.edit("Namespace", "one", lambda o: o["metadata"].update(HELD))
        await stage.delete("Namespace", "one")
        await stage.finalize("one")
        await stage.start()
        await stage.clock.advance(GRACE)
        await stage.settle()
        assert calls(stage) == [LOOK]


async def test_finalizers_of_others(where: Where) -> None:
    """[kubernetes, other]: one finalize call with [other]."""
    async with staged(where, NAMESPACES) as stage:
        await terminating(stage, spec=HELD)
        assert calls(stage).count(FINALIZE) == 1
        assert (await stage.get("Namespace", "one"))["spec"] == HELD


async def test_discovery_error_and_pending_finalizer(where: Where) -> None:
    """The same deletions of what is known, no finalize, the error, phase Terminating, the discovery condition."""
    async with staged(where, NAMESPACES) as stage:
        known = [kind for kind in stage.kinds if kind.resource == "configmaps"]
        partial = Fails("kinds", lambda: PartialDiscovery("x.io is broken", kinds=known), times=-1)
        stage.clients[NAMESPACES].taps.append(partial)
        await terminating(stage, config_map("one/c"))
        assert await stage.world() == ["Namespace one terminating"]
        assert FINALIZE not in calls(stage)
        assert stage.manager.errors(NAMESPACES)[-1].endswith("x.io is broken")
        assert (await stage.get("Namespace", "one"))["status"]["phase"] == "Terminating"
        assert (await said(stage))[TYPES[0]] == ("True", "x.io is broken")


@pytest.mark.parametrize("write", [STATUS, FINALIZE])
async def test_first_call_conflicts(where: Where, write: str) -> None:
    """Exactly two invocations, success."""
    async with staged(where, NAMESPACES) as stage:
        faster = Meanwhile(write, lambda: stage.label("Namespace", "one"))
        stage.clients[NAMESPACES].taps.append(faster)
        await terminating(stage)
        assert calls(stage).count(write) == 2
        assert stage.manager.statistics()[NAMESPACES].retries == 0
        assert await stage.world() == []


@pytest.mark.parametrize("refusal", [NotFound, MethodNotAllowed])
async def test_refused_deletion_of_a_collection(where: Where, refusal: Any) -> None:
    """deletecollection, then list and one by one; for the next namespace deletecollection again: it is not remembered."""
    async with staged(where, NAMESPACES) as stage:
        no = Fails("delete_collection Secret one", lambda: refusal("no"), times=1)
        stage.clients[NAMESPACES].taps.append(no)
        await stage.create(namespace("two"), opaque_secret("two/a"))
        await stage.delete("Namespace", "two")
        await terminating(stage, opaque_secret("one/a"))
        asked = [call for call in calls(stage) if " Secret " in call]
        assert [call for call in asked if "one" in call] == [
            "list Secret one",
            "delete_collection Secret one",
            "delete Secret one/a",
            "list Secret one",
        ]
        assert "delete_collection Secret two" in asked
        assert "delete Secret two/a" not in asked


async def test_conditions(where: Where) -> None:
    """Unknown types kept; all five appended in order; totals of resources and finalizers; success overwrites failure."""
    async with staged(where, NAMESPACES) as stage:
        theirs = {"type": "example.com/Theirs", "status": "True", "reason": "R", "message": "m"}
        await stage.create(namespace("one", spec=HELD))
        obj = thaw(await stage.get("Namespace", "one"))
        obj["status"]["conditions"] = [theirs]
        await stage.user.update(stage.named("Namespace"), obj, subresource="status")
        await stage.create(
            *(config_map(f"one/{name}", finalizers=["example.com/x"]) for name in "ab")
        )
        await stage.delete("Namespace", "one")
        await stage.start()
        await stage.clock.advance(GRACE)
        await stage.settle()
        first = await said(stage)
        assert list(first) == [theirs["type"], *TYPES]
        assert [first[name][0] for name in TYPES] == ["False", "False", "False", "True", "True"]
        assert first[TYPES[3]][1] == (
            "Some resources are remaining: configmaps. has 2 resource instances"
        )
        assert first[TYPES[4]][1] == (
            "Some content in the namespace has finalizers remaining: "
            "example.com/x in 2 resource instances"
        )
        for name in "ab":
            await stage.edit("ConfigMap", f"one/{name}", lambda o: o["metadata"].pop("finalizers"))
        await stage.clock.advance(8)
        await stage.settle()
        last = await said(stage)
        assert [last[name][0] for name in TYPES] == ["False"] * 5
        assert list(last) == list(first)


@pytest.mark.parametrize("discovery", [True, False], ids=["clean", "partially failing"])
async def test_controller_is_built_and_stopped(where: Where, discovery: bool) -> None:
    """Whatever discovery says at the start, it starts, and it stops."""
    async with staged(where, NAMESPACES) as stage:
        if not discovery:
            partial = Fails("kinds", lambda: PartialDiscovery("broken", kinds=()), times=-1)
            stage.clients[NAMESPACES].taps.append(partial)
        await stage.start()
        assert stage.manager.running(NAMESPACES)
        await stage.stop()
        assert not stage.manager.running(NAMESPACES)
