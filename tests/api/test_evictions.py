"""Evictions: a pod goes unless its disruption budget says that there would be too few."""

from collections.abc import Mapping
from typing import Any

import pytest
from verger.apiserver.evictions import Evictions
from verger.store.errors import ApiError, NotFound
from verger.store.request import Posting

from tests.store.conftest import Store

SPEC: dict[str, Any] = {"containers": [{"name": "c", "image": "i"}], "nodeName": "n"}
RUNNING: dict[str, Any] = {
    "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
}
UNREADY: dict[str, Any] = {"status": {"phase": "Running"}}
REFUSED = "Cannot evict pod as it would violate the pod's disruption budget."
KEPT = {"observedGeneration": 1, "desiredHealthy": 2, "currentHealthy": 2, "expectedPods": 2}


async def make(
    budget: Mapping[str, Any] | None = None, *, pod: Any = RUNNING, count: int = 1
) -> Store:
    """A store with a pod, and budgets for it that have a status."""
    store = Store()
    await store.create("Namespace", {"metadata": {"name": "ns"}})
    await store.create("Pod", {"metadata": {"name": "a", "labels": {"x": "y"}}, "spec": SPEC})
    await store.patch("Pod", "a", pod, subresource="status")
    for number in range(count if budget is not None else 0):
        kind = store.kind("PodDisruptionBudget", "policy")
        spec = {"minAvailable": 2, "selector": {"matchLabels": {"x": "y"}}}
        await store.create(kind, {"metadata": {"name": f"b{number}"}, "spec": spec})
        await store.patch(kind, f"b{number}", {"status": budget}, subresource="status")
    return store


async def evict(store: Store, name: str = "a", *, dry_run: bool = False, **body: Any) -> Any:
    """POST pods/{name}/eviction."""
    form = store.kind("Pod").form("eviction")
    assert (form.api_version, form.kind) == ("policy/v1", "Eviction")
    body.setdefault("metadata", {"name": name})
    answer = Evictions(store.registry, store.kinds, store.clock).answerers()["pods", "eviction"]
    return await answer(Posting(form, "ns", name, body, store.request(dry_run)))


def budget_of(store: Store) -> Any:
    return store.get(store.kind("PodDisruptionBudget", "policy"), "b0")["status"]


async def test_an_eviction_deletes_the_pod() -> None:
    """With its own grace, and the pod says why it goes."""
    store = await make()
    answer = await evict(store)
    assert (answer["status"], answer["code"]) == ("Success", 201)
    pod = store.get("Pod", "a")
    assert pod["metadata"]["deletionGracePeriodSeconds"] == 30
    condition = pod["status"]["conditions"][-1]
    assert (condition["type"], condition["status"]) == ("DisruptionTarget", "True")
    assert condition["reason"] == "EvictionByEvictionAPI"


async def test_the_options_of_the_deletion_are_those_of_the_eviction() -> None:
    """Without grace the pod is gone at once."""
    store = await make()
    await evict(store, deleteOptions={"gracePeriodSeconds": 0})
    with pytest.raises(NotFound):
        store.get("Pod", "a")


@pytest.mark.parametrize(
    ("options", "dry_run"),
    [
        pytest.param({}, True, id="of the request"),
        pytest.param({"dryRun": ["All"]}, False, id="of the deletion"),
    ],
)
async def test_a_dry_run_evicts_nothing(options: Mapping[str, Any], dry_run: bool) -> None:
    """And takes nothing from the budget."""
    store = await make({**KEPT, "disruptionsAllowed": 1})
    before = store.backend.revision
    await evict(store, dry_run=dry_run, deleteOptions=options)
    assert store.backend.revision == before


async def test_an_eviction_takes_from_what_the_budget_allows() -> None:
    """Whoever keeps the budget finds the pod in its status; a second eviction finds nothing left."""
    store = await make({**KEPT, "disruptionsAllowed": 1})
    await store.create("Pod", {"metadata": {"name": "b", "labels": {"x": "y"}}, "spec": SPEC})
    await store.patch("Pod", "b", RUNNING, subresource="status")
    await evict(store)
    status = budget_of(store)
    assert (status["disruptionsAllowed"], list(status["disruptedPods"])) == (0, ["a"])
    with pytest.raises(ApiError, match="Cannot evict pod"):
        await evict(store, "b")
    assert "deletionTimestamp" not in store.get("Pod", "b")["metadata"]


@pytest.mark.parametrize(
    ("budget", "text", "retry"),
    [
        pytest.param(
            {**KEPT, "disruptionsAllowed": 0},
            "The disruption budget b0 needs 2 healthy pods and has 2 currently",
            None,
            id="nothing is allowed",
        ),
        pytest.param(
            {
                **KEPT,
                "disruptionsAllowed": 0,
                "conditions": [
                    {
                        "type": "DisruptionAllowed",
                        "status": "False",
                        "reason": "SyncFailed",
                        "message": "why",
                        "lastTransitionTime": "2023-11-14T22:13:20Z",
                    }
                ],
            },
            "The disruption budget b0 does not allow evicting pods currently because it failed sync: why",
            None,
            id="its keeper has failed",
        ),
    ],
)
async def test_an_eviction_that_the_budget_does_not_allow(
    budget: Mapping[str, Any], text: str, retry: int | None
) -> None:
    """429, with the reason in a cause, and the pod stays."""
    store = await make(budget)
    with pytest.raises(ApiError) as refused:
        await evict(store)
    status = refused.value.status()
    assert (status["code"], status["reason"], status["message"]) == (
        429,
        "TooManyRequests",
        REFUSED,
    )
    assert status["details"] == {"causes": [{"reason": "DisruptionBudget", "message": text}]}
    assert "deletionTimestamp" not in store.get("Pod", "a")["metadata"]


async def test_a_budget_that_has_changed_since_it_was_kept() -> None:
    """The client is to come back."""
    store = await make({**KEPT, "disruptionsAllowed": 1})
    kind = store.kind("PodDisruptionBudget", "policy")
    await store.patch(kind, "b0", {"spec": {"minAvailable": 1}})
    with pytest.raises(ApiError) as refused:
        await evict(store)
    text = "The disruption budget b0 is still being processed by the server."
    assert refused.value.retry_after == 10
    assert refused.value.causes == [{"reason": "DisruptionBudget", "message": text}]


@pytest.mark.parametrize(
    ("budget", "pod", "policy"),
    [
        pytest.param({}, RUNNING, None, id="nobody keeps the budget"),
        pytest.param(
            {**KEPT, "disruptionsAllowed": 0},
            {"status": {"phase": "Pending"}},
            None,
            id="not running",
        ),
        pytest.param({**KEPT, "disruptionsAllowed": 0}, UNREADY, None, id="not ready, others are"),
        pytest.param(
            {**KEPT, "currentHealthy": 0, "disruptionsAllowed": 0},
            UNREADY,
            "AlwaysAllow",
            id="not ready, and such pods may always go",
        ),
    ],
)
async def test_pods_that_no_budget_holds(
    budget: Mapping[str, Any], pod: Any, policy: str | None
) -> None:
    """They go, and take nothing from it."""
    store = await make(budget, pod=pod)
    if policy:
        kind = store.kind("PodDisruptionBudget", "policy")
        await store.patch(kind, "b0", {"spec": {"unhealthyPodEvictionPolicy": policy}})
    await evict(store)
    assert "deletionTimestamp" in store.get("Pod", "a")["metadata"]
    assert budget_of(store)["disruptionsAllowed"] == 0


REFUSALS = [
    pytest.param({"name": "b"}, {}, 400, "name in URL does not match", id="another name"),
    pytest.param({"name": "a"}, {"preconditions": {"uid": "u"}}, 409, "the UID", id="another uid"),
]


@pytest.mark.parametrize(("metadata", "options", "code", "text"), REFUSALS)
async def test_evictions_that_mean_another_pod(
    metadata: Any, options: Any, code: int, text: str
) -> None:
    """They change nothing."""
    store = await make({**KEPT, "disruptionsAllowed": 1})
    before = store.backend.revision
    with pytest.raises(ApiError, match=text) as refused:
        await evict(store, metadata=metadata, deleteOptions=options)
    assert refused.value.code == code
    assert store.backend.revision == before


async def test_a_pod_with_two_budgets() -> None:
    """Is not evicted at all."""
    store = await make({**KEPT, "disruptionsAllowed": 1}, count=2)
    with pytest.raises(ApiError, match="more than one PodDisruptionBudget") as refused:
        await evict(store)
    assert refused.value.code == 500


async def test_a_pod_that_is_not_there() -> None:
    """404."""
    with pytest.raises(NotFound, match='pods "z" not found'):
        await evict(await make(), "z")
