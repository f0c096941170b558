"""Quotas hold: what would exceed one is refused, and what is admitted is counted at once."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from verger.store.admission import Chain
from verger.store.errors import AlreadyExists, Forbidden
from verger.store.quota import QuotaAdmission
from verger.store.registry import Registry
from verger.store.usage import bounded, total, usage

from tests.store.conftest import Store

Json = Mapping[str, Any]
NOW = 1_700_000_000.0


class Quotas(Store):
    """A store with a namespace whose quotas hold; a test says what is used, as the controller would."""

    def __init__(self) -> None:
        super().__init__()
        plugin = QuotaAdmission(self.backend, self.clock)
        self.registry = Registry(self.backend, self.clock, admission=Chain([plugin]))

    async def quota(self, name: str, used: Json | None, **spec: Any) -> None:
        await self.create("ResourceQuota", {"metadata": {"name": name}, "spec": spec})
        status = {"hard": spec["hard"], **({} if used is None else {"used": used})}
        await self.patch("ResourceQuota", name, {"status": status}, subresource="status")

    def used(self, name: str = "q") -> Any:
        return self.get("ResourceQuota", name)["status"]["used"]


@pytest.fixture
async def store() -> Quotas:
    """With one namespace."""
    store = Quotas()
    await store.create("Namespace", {"metadata": {"name": "ns"}})
    await store.create("Namespace", {"metadata": {"name": "other"}})
    return store


def pod(name: str = "p", *containers: Json, **spec: Any) -> dict[str, Any]:
    listed = [
        {"name": f"c{number}", "image": "i", "resources": resources}
        for number, resources in enumerate(containers or [{}])
    ]
    return {"metadata": {"name": name}, "spec": {"containers": listed, **spec}}


def config_map(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}}


async def refused(store: Quotas, kind: str, obj: Json) -> str:
    """The message of a refusal, which changes nothing."""
    before = store.backend.revision
    with pytest.raises(Forbidden) as error:
        await store.create(kind, obj)
    assert store.backend.revision == before
    prefix = f'{store.kind(kind).resource} "{obj["metadata"].get("name")}" is forbidden: '
    assert error.value.message.startswith(prefix)
    return error.value.message.removeprefix(prefix)


async def test_what_is_admitted_is_counted_at_once(store: Quotas) -> None:
    """And the first that is too many is refused; other namespaces are not concerned."""
    await store.quota("q", {"count/configmaps": "0"}, hard={"count/configmaps": "2"})
    await store.create("ConfigMap", config_map("a"))
    await store.create("ConfigMap", config_map("b"))
    assert store.used() == {"count/configmaps": "2"}
    assert await refused(store, "ConfigMap", config_map("c")) == (
        "exceeded quota: q, requested: count/configmaps=1, used: count/configmaps=2, limited: count/configmaps=2"
    )
    await store.create("ConfigMap", config_map("c"), namespace="other")


async def test_two_creates_at_once_never_exceed_a_quota(store: Quotas) -> None:
    """Whatever the order in which they get their turns."""
    await store.quota("q", {"count/configmaps": "0"}, hard={"count/configmaps": "5"})
    results = await asyncio.gather(
        *(store.create("ConfigMap", config_map(f"a{number}")) for number in range(20)),
        return_exceptions=True,
    )
    assert sum(isinstance(result, Forbidden) for result in results) == 15
    assert store.backend.count("configmaps", "ns") == 5
    assert store.used() == {"count/configmaps": "5"}


async def test_what_is_not_stored_is_not_counted(store: Quotas) -> None:
    """Neither a dry run nor a second object of a name, which is refused as such."""
    await store.quota("q", {"count/configmaps": "0"}, hard={"count/configmaps": "2"})
    await store.create("ConfigMap", config_map("a"), dry_run=True)
    assert store.used() == {"count/configmaps": "0"}
    await store.create("ConfigMap", config_map("a"))
    with pytest.raises(AlreadyExists):
        await store.create("ConfigMap", config_map("a"))
    assert store.used() == {"count/configmaps": "1"}


async def test_nothing_is_admitted_before_it_was_counted(store: Quotas) -> None:
    """A quota that knows its limit and not what is used lets nothing in."""
    await store.quota("q", None, hard={"configmaps": "2", "count/configmaps": "2"})
    assert await refused(store, "ConfigMap", config_map("a")) == (
        "status unknown for quota: q, resources: configmaps,count/configmaps"
    )


async def test_the_names_that_are_exceeded_are_told(store: Quotas) -> None:
    """All of them in their order, and only they."""
    hard = {"pods": "9", "requests.cpu": "1", "limits.memory": "100Mi"}
    await store.quota(
        "q", {"pods": "1", "requests.cpu": "500m", "limits.memory": "64Mi"}, hard=hard
    )
    resources = {"requests": {"cpu": "600m"}, "limits": {"memory": "64Mi", "cpu": "1"}}
    assert await refused(store, "Pod", pod("p", resources)) == (
        "exceeded quota: q, requested: limits.memory=64Mi,requests.cpu=600m, used: "
        "limits.memory=64Mi,requests.cpu=500m, limited: limits.memory=100Mi,requests.cpu=1"
    )
    resources = {"requests": {"cpu": "500m"}, "limits": {"memory": "32Mi"}}
    await store.create("Pod", pod("p", resources))
    assert store.used() == {"pods": "2", "requests.cpu": "1", "limits.memory": "96Mi"}


async def test_containers_must_say_what_is_bounded(store: Quotas) -> None:
    """Of cpu and memory; every container that does not is named."""
    hard = {"cpu": "9", "limits.memory": "9", "requests.ephemeral-storage": "9"}
    await store.quota("q", dict.fromkeys(hard, "0"), hard=hard)
    said = {"requests": {"cpu": "1"}}
    assert await refused(store, "Pod", pod("p", {}, said)) == (
        "failed quota: q: must specify cpu for: c0; limits.memory for: c0,c1"
    )


async def test_every_quota_holds(store: Quotas) -> None:
    """One that is full is enough, and nothing is counted then."""
    await store.quota("a", {"count/configmaps": "0"}, hard={"count/configmaps": "5"})
    await store.quota("b", {"configmaps": "1"}, hard={"configmaps": "1"})
    assert "exceeded quota: b" in await refused(store, "ConfigMap", config_map("x"))
    assert store.used("a") == {"count/configmaps": "0"}


async def test_an_update_is_charged_for_what_it_adds(store: Quotas) -> None:
    """A Service may come to use ports of nodes; what it gives back is left to the controller."""
    await store.quota("q", {"services.nodeports": "0"}, hard={"services.nodeports": "1"})
    spec = {"ports": [{"port": 80, "name": "a"}]}
    await store.create("Service", {"metadata": {"name": "s"}, "spec": spec})
    await store.patch("Service", "s", {"spec": {"type": "NodePort"}})
    assert store.used() == {"services.nodeports": "1"}
    ports = [{"port": 80, "name": "a"}, {"port": 81, "name": "b"}]
    with pytest.raises(Forbidden, match=r"exceeded quota: q, requested: services\.nodeports=1"):
        await store.patch("Service", "s", {"spec": {"ports": ports}})
    await store.patch("Service", "s", {"metadata": {"labels": {"a": "b"}}})
    assert store.used() == {"services.nodeports": "1"}


SCOPES = [
    pytest.param({"scopes": ["BestEffort"]}, {}, True, id="best effort"),
    pytest.param({"scopes": ["NotBestEffort"]}, {}, False, id="not best effort"),
    pytest.param({"scopes": ["Terminating"]}, {"activeDeadlineSeconds": 5}, True, id="terminating"),
    pytest.param({"scopes": ["NotTerminating"]}, {"activeDeadlineSeconds": 5}, False, id="not so"),
    pytest.param(
        {
            "scopeSelector": {
                "matchExpressions": [
                    {"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}
                ]
            }
        },
        {"priorityClassName": "low"},
        False,
        id="another priority",
    ),
]


@pytest.mark.parametrize(("spec", "of_pod", "concerned"), SCOPES)
async def test_a_quota_of_some_pods(
    store: Quotas, spec: dict[str, Any], of_pod: Json, concerned: bool
) -> None:
    """Scopes say which."""
    await store.quota("q", {"pods": "0"}, hard={"pods": "0"}, **spec)
    if concerned:
        assert "exceeded quota: q" in await refused(store, "Pod", pod("p", **of_pod))
    else:
        await store.create("Pod", pod("p", **of_pod))


def requests(**amounts: str) -> Json:
    return {"requests": amounts}


USES = [
    pytest.param(
        "Pod",
        pod("p", requests(cpu="1"), requests(cpu="500m", memory="1Gi")),
        {
            "count/pods": "1", "pods": "1", "cpu": "1500m", "requests.cpu": "1500m", "memory": "1Gi",
            "requests.memory": "1Gi",
        },
        id="a pod uses what its containers ask for together",
    ),
    pytest.param(
        "Pod",
        pod(
            "p",
            requests(cpu="1"),
            initContainers=[
                {"name": "i", "resources": requests(cpu="3")},
                {"name": "s", "restartPolicy": "Always", "resources": requests(cpu="1")},
                {"name": "j", "resources": requests(cpu="2500m")},
            ],
            overhead={"cpu": "100m"},
        ),
        {"count/pods": "1", "pods": "1", "cpu": "3600m", "requests.cpu": "3600m"},
        id="or what its start needs at most",
    ),
    pytest.param(
        "Pod",
        {**pod("p", requests(cpu="1")), "status": {"phase": "Failed"}},
        {"count/pods": "1"},
        id="a pod that has ended is one object",
    ),
    pytest.param(
        "Pod",
        {
            **pod("p", requests(cpu="1")),
            "metadata": {
                "name": "p",
                "deletionTimestamp": "2023-11-14T22:00:00Z",
                "deletionGracePeriodSeconds": 30,
            },
        },
        {"count/pods": "1"},
        id="so is one that should have ended",
    ),
    pytest.param(
        "Pod",
        pod("p", {"requests": {"example.com/gpu": "2"}, "limits": {"example.com/gpu": "2"}}),
        {"count/pods": "1", "pods": "1", "requests.example.com/gpu": "2"},
        id="a resource of others",
    ),
    pytest.param(
        "Service",
        {"spec": {"type": "LoadBalancer", "ports": [{"port": 1}, {"port": 2}]}},
        {
            "count/services": "1", "services": "1", "services.nodeports": "2",
            "services.loadbalancers": "1",
        },
        id="a load balancer",
    ),
    pytest.param(
        "PersistentVolumeClaim",
        {"spec": {"storageClassName": "gold", "resources": {"requests": {"storage": "3Gi"}}}},
        {
            "count/persistentvolumeclaims": "1", "persistentvolumeclaims": "1",
            "requests.storage": "3Gi",
            "gold.storageclass.storage.k8s.io/persistentvolumeclaims": "1",
            "gold.storageclass.storage.k8s.io/requests.storage": "3Gi",
        },
        id="a claim, of a class",
    ),
    pytest.param("Secret", {}, {"count/secrets": "1", "secrets": "1"}, id="a Secret"),
    pytest.param("ServiceAccount", {}, {"count/serviceaccounts": "1"}, id="an account"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "obj", "expected"), USES)
def test_what_an_object_uses(kind: str, obj: Json, expected: Json) -> None:
    """And a quota bounds all of it."""
    found = Store().kind(kind)
    assert usage(found, obj, NOW) == expected
    assert bounded(found, expected) == [*expected]
    assert total(found, [obj, obj], ["count/x", *expected], NOW).keys() == {"count/x", *expected}


def test_events_are_never_counted() -> None:
    """Whatever a quota says."""
    assert bounded(Store().kind("Event"), ["count/events"]) == []
