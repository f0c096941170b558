"""What a terminating namespace says about itself: five conditions, in upstream's words."""

from collections.abc import Mapping
from typing import Any

import pytest
from verger.controllers.namespaces import Outcome, Remaining, conditions, merge_conditions
from verger.store.errors import InternalError, ServiceUnavailable

from tests.controllers.clients import Fails
from tests.controllers.harness import NAMESPACES, Cluster
from tests.controllers.objects import config_map, namespace, opaque_secret

TYPES = [
    "NamespaceDeletionDiscoveryFailure",
    "NamespaceDeletionGroupVersionParsingFailure",
    "NamespaceDeletionContentFailure",
    "NamespaceContentRemaining",
    "NamespaceFinalizersRemaining",
]
DISCOVERY, PARSING, CONTENT, REMAINING, FINALIZERS = TYPES
FINE = {
    DISCOVERY: ("False", "ResourcesDiscovered", "All resources successfully discovered"),
    PARSING: ("False", "ParsedGroupVersions", "All legacy kube types successfully parsed"),
    CONTENT: (
        "False",
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    REMAINING: ("False", "ContentRemoved", "All content successfully removed"),
    FINALIZERS: (
        "False",
        "ContentHasNoFinalizers",
        "All content-preserving finalizers finished",
    ),
}


def outcome(
    *remaining: Remaining, discovery_error: str = "", errors: tuple[str, ...] = ()
) -> Outcome:
    return Outcome(remaining, discovery_error, errors, 0)


@pytest.mark.parametrize(
    ("found", "differences"),
    [
        pytest.param(outcome(), {}, id="nothing is left"),
        pytest.param(
            outcome(discovery_error="no groups", errors=("no groups",)),
            {DISCOVERY: ("True", "DiscoveryFailed", "no groups")},
            id="discovery failed, and that is no failure of content",
        ),
        pytest.param(
            outcome(errors=("secrets: b", "configmaps: a")),
            {
                CONTENT: (
                    "True",
                    "ContentDeletionFailed",
                    "Failed to delete all resource types, 2 remaining: configmaps: a, secrets: b",
                )
            },
            id="errors are sorted and counted",
        ),
        pytest.param(
            outcome(
                Remaining("deployments.apps", 5, {}),
                Remaining("daemonsets.apps", 5, {}),
                Remaining("pods.", 2, {}),
            ),
            {
                REMAINING: (
                    "True",
                    "SomeResourcesRemain",
                    "Some resources are remaining: daemonsets.apps has 5 resource instances, "
                    "deployments.apps has 5 resource instances, pods. has 2 resource instances",
                )
            },
            id="content is sorted and counted, with the core group's trailing dot",
        ),
        pytest.param(
            outcome(
                Remaining("a.b", 6, {"service-catalog": 6, "kubedb": 2}),
                Remaining("c.d", 3, {"kubedb": 3}),
            ),
            {
                REMAINING: (
                    "True",
                    "SomeResourcesRemain",
                    "Some resources are remaining: a.b has 6 resource instances, "
                    "c.d has 3 resource instances",
                ),
                FINALIZERS: (
                    "True",
                    "SomeFinalizersRemain",
                    "Some content in the namespace has finalizers remaining: "
                    "kubedb in 5 resource instances, service-catalog in 6 resource instances",
                ),
            },
            id="finalizers are summed over the kinds",
        ),
    ],
)
def test_words(found: Outcome, differences: Mapping[str, tuple[str, str, str]]) -> None:
    """Type, status, reason and message are those of upstream, in its order."""
    said = {condition.type: condition[1:] for condition in conditions(found)}
    assert list(said) == TYPES
    assert said == {**FINE, **differences}


def entry(type_: str, status: str, reason: str, at: str) -> dict[str, Any]:
    return {
        "type": type_,
        "status": status,
        "lastTransitionTime": at,
        "reason": reason,
        "message": "m",
    }


def test_unknown_conditions_stay_where_they_are() -> None:
    """The conditions of others are kept, our own are appended in their order."""
    theirs = entry("Theirs", "Unknown", "R", "then")
    merged = merge_conditions([theirs], conditions(outcome()), "now")
    assert merged[0] == theirs
    assert [condition["type"] for condition in merged] == ["Theirs", *TYPES]
    assert {condition["lastTransitionTime"] for condition in merged[1:]} == {"now"}


def test_conditions_keep_their_places() -> None:
    """A condition that is there is rewritten where it stands."""
    before = [
        entry(FINALIZERS, "True", "Old", "then"),
        entry("Theirs", "True", "R", "then"),
        entry(DISCOVERY, "True", "Old", "then"),
    ]
    merged = merge_conditions(before, conditions(outcome()), "now")
    expected = [FINALIZERS, "Theirs", DISCOVERY, PARSING, CONTENT, REMAINING]
    assert [condition["type"] for condition in merged] == expected
    assert merged[0]["reason"] == "ContentHasNoFinalizers"


@pytest.mark.parametrize(
    ("status", "reason", "time"),
    [
        pytest.param("True", "DiscoveryFailed", "now", id="status flips"),
        pytest.param("False", "Other", "then", id="reason alone changes"),
    ],
)
def test_transition_time(status: str, reason: str, time: str) -> None:
    """It moves with the status, not with the words."""
    before = [entry(DISCOVERY, status, reason, "then")]
    merged = merge_conditions(before, conditions(outcome()), "now")
    assert merged[0]["lastTransitionTime"] == time
    assert tuple(merged[0][key] for key in ("status", "reason", "message")) == FINE[DISCOVERY]


def test_nothing_new_changes_nothing() -> None:
    """Conditions that say the same already are left as they are, so that no write follows."""
    before = merge_conditions([], conditions(outcome()), "then")
    assert merge_conditions(before, conditions(outcome()), "now") == before


async def said(cluster: Cluster) -> dict[str, tuple[str, str]]:
    """Status and message by type."""
    status = (await cluster.get("Namespace", "one"))["status"]
    return {c["type"]: (c["status"], c["message"]) for c in status.get("conditions") or ()}


async def test_conditions_follow_what_happens() -> None:
    """They appear with the first pass, turn with what is found, and their times with them."""
    cluster = Cluster(NAMESPACES)
    await cluster.create(
        namespace("one", spec={"finalizers": ["example.com/hold"]}),
        config_map("one/c", finalizers=["example.com/x"]),
    )
    await cluster.delete("Namespace", "one")
    assert await said(cluster) == {}
    async with cluster.unsettled():
        await cluster.clock.advance(5)
        first = await said(cluster)
        assert list(first) == TYPES
        assert first[REMAINING] == (
            "True",
            "Some resources are remaining: configmaps. has 1 resource instances",
        )
        assert first[FINALIZERS] == (
            "True",
            "Some content in the namespace has finalizers remaining: "
            "example.com/x in 1 resource instances",
        )
        assert first[CONTENT][0] == "False"
        await cluster.edit("ConfigMap", "one/c", lambda o: o["metadata"].pop("finalizers"))
        await cluster.settle()
        assert await said(cluster) == {type_: (c[0], c[2]) for type_, c in FINE.items()}
        found = (await cluster.get("Namespace", "one"))["status"]["conditions"]
        times = {c["type"]: c["lastTransitionTime"] for c in found}
        assert times[DISCOVERY] == times[CONTENT] < times[REMAINING] == times[FINALIZERS]


async def test_discovery_fails_and_recovers() -> None:
    """Without discovery nothing is finalized, the phase stays, the error is told, and the condition turns back."""
    cluster = Cluster(NAMESPACES)
    outage = Fails("kinds", lambda: InternalError("group down"), times=-1)
    cluster.clients[NAMESPACES].taps.append(outage)
    await cluster.create(namespace("one", spec={"finalizers": ["example.com/hold"]}))
    await cluster.delete("Namespace", "one")
    async with cluster.unsettled():
        await cluster.clock.advance(30)
        assert (await said(cluster))[DISCOVERY] == ("True", "group down")
        assert "kubernetes" in (await cluster.get("Namespace", "one"))["spec"]["finalizers"]
        assert cluster.manager.errors(NAMESPACES)[-1].endswith("group down")
        outage.left = 0
        await cluster.settle()
        assert (await said(cluster))[DISCOVERY][0] == "False"
        assert (await cluster.get("Namespace", "one"))["spec"]["finalizers"] == ["example.com/hold"]


async def test_content_cannot_be_deleted() -> None:
    """The kind and the error stand in the condition."""
    cluster = Cluster(NAMESPACES)
    cluster.clients[NAMESPACES].taps.append(
        Fails("delete_collection Secret", lambda: ServiceUnavailable("down"), times=-1)
    )
    await cluster.create(namespace("one"), opaque_secret("one/s"))
    await cluster.delete("Namespace", "one")
    async with cluster.unsettled():
        await cluster.clock.advance(30)
        assert (await said(cluster))[CONTENT] == (
            "True",
            "Failed to delete all resource types, 1 remaining: secrets: down",
        )


async def test_content_that_stays_without_a_finalizer() -> None:
    """Objects that nobody holds and that stay all the same are an error, which names their kind."""
    cluster = Cluster(NAMESPACES)

    def put() -> None:
        # Straight into the store: the server would refuse it.
        obj = {"kind": "Deployment", "apiVersion": "apps/v1", "metadata": {}}
        obj["metadata"] = {"name": "d", "namespace": "one", "uid": "u"}
        cluster.backend.put("deployments.apps", "one/d", obj, expected=0)

    async def reborn(call: Any, side: str) -> None:
        if side == "after" and str(call) == "delete_collection Deployment one":
            put()

    cluster.clients[NAMESPACES].taps.append(reborn)
    await cluster.create(namespace("one"))
    put()
    await cluster.delete("Namespace", "one")
    async with cluster.unsettled():
        await cluster.clock.advance(5)
        cluster.clients[NAMESPACES].taps.clear()
        assert cluster.manager.errors(NAMESPACES) == [
            "one: namespace one is not empty: unexpected items still remain in namespace: one "
            "for gvr: apps/v1, Resource=deployments"
        ]
        await cluster.settle()
        assert not await cluster.has("Namespace", "one")


async def test_status_cannot_be_written() -> None:
    """Conditions are for those who look; that they cannot be written does not stop the work."""
    cluster = Cluster(NAMESPACES)
    cluster.clients[NAMESPACES].taps.append(
        Fails("update Namespace/status", lambda: InternalError("no"), times=-1)
    )
    await cluster.create(namespace("one"), opaque_secret("one/s"))
    await cluster.delete("Namespace", "one")
    async with cluster:
        assert await cluster.everything() == []
        assert cluster.manager.errors(NAMESPACES) == []
