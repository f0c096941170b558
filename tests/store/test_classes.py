"""Classes: what is looked up for pods, claims and Ingresses when they are made."""

from typing import Any

import pytest
from verger.store.admission import Chain
from verger.store.classes import Classes
from verger.store.errors import Forbidden
from verger.store.registry import Registry

from tests.store.conftest import Store


@pytest.fixture
async def store() -> Store:
    """With one namespace, in which classes count."""
    store = Store()
    admission = Chain([Classes(store.backend)])
    store.registry = Registry(store.backend, store.clock, admission=admission)
    await store.create("Namespace", {"metadata": {"name": "ns"}})
    return store


async def priority(store: Store, name: str, value: int, **more: Any) -> None:
    kind = store.kind("PriorityClass", "scheduling.k8s.io")
    await store.create(kind, {"metadata": {"name": name}, "value": value, **more}, "")


async def scheduled(store: Store, **spec: Any) -> tuple[Any, ...]:
    containers = [{"name": "c", "image": "i"}]
    body = {"metadata": {"generateName": "p"}, "spec": {"containers": containers, **spec}}
    made = (await store.create("Pod", body))["spec"]
    return tuple(made.get(key) for key in ("priorityClassName", "priority", "preemptionPolicy"))


async def test_pod_has_the_priority_of_its_class(store: Store) -> None:
    """Its value and its policy; without a class the default, and without a default none."""
    lower = "PreemptLowerPriority"
    assert await scheduled(store) == (None, 0, lower)
    await priority(store, "high", 1000, preemptionPolicy="Never")
    assert await scheduled(store, priorityClassName="high") == ("high", 1000, "Never")
    assert await scheduled(store) == (None, 0, lower)
    await priority(store, "usual", 7, globalDefault=True)
    assert await scheduled(store) == ("usual", 7, lower)
    critical = "system-cluster-critical"
    assert await scheduled(store, priorityClassName=critical) == (critical, 2_000_000_000, lower)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        pytest.param(
            {"priorityClassName": "none"},
            "no PriorityClass with name none was found",
            id="no such class",
        ),
        pytest.param(
            {"priorityClassName": "high", "priority": 5},
            "the integer value of priority (5) must not be provided in pod spec; "
            "priority admission controller computed 1000 from the given PriorityClass name",
            id="another value",
        ),
    ],
)
async def test_priority_that_cannot_be_is_refused(
    store: Store, spec: dict[str, Any], says: str
) -> None:
    """A pod does not make up its priority."""
    await priority(store, "high", 1000)
    with pytest.raises(Forbidden) as refused:
        await scheduled(store, **spec)
    assert refused.value.message.endswith(f"is forbidden: {says}")


async def storage(store: Store, name: str, default: str = "true") -> None:
    note = {"storageclass.kubernetes.io/is-default-class": default}
    body = {"metadata": {"name": name, "annotations": note}, "provisioner": "x"}
    await store.create(store.kind("StorageClass", "storage.k8s.io"), body, "")


async def claimed(store: Store, annotations: dict[str, str] | None = None, **spec: Any) -> Any:
    about = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    metadata = {"generateName": "c", "annotations": annotations or {}}
    made = await store.create(
        "PersistentVolumeClaim", {"metadata": metadata, "spec": {**about, **spec}}
    )
    return made["spec"].get("storageClassName")


async def test_claim_is_of_the_default_class(store: Store) -> None:
    """Of the newest default, unless it names one; the empty name means none."""
    assert await claimed(store) is None
    await storage(store, "plain", default="false")
    assert await claimed(store) is None
    await storage(store, "b")
    await storage(store, "a")
    assert await claimed(store) == "a"
    await store.clock.advance(10)
    await storage(store, "newer")
    assert await claimed(store) == "newer"
    assert await claimed(store, storageClassName="plain") == "plain"
    assert await claimed(store, storageClassName="") == ""
    assert await claimed(store, {"volume.beta.kubernetes.io/storage-class": "x"}) is None


async def test_ingress_is_of_the_default_class(store: Store) -> None:
    """Unless it names one, in either way."""
    group = "networking.k8s.io"
    note = {"ingressclass.kubernetes.io/is-default-class": "true"}
    body = {"metadata": {"name": "c", "annotations": note}, "spec": {"controller": "x.io/y"}}
    await store.create(store.kind("IngressClass", group), body, "")

    async def made(annotations: dict[str, str], **spec: Any) -> Any:
        backend = {"service": {"name": "s", "port": {"number": 80}}}
        metadata = {"generateName": "i", "annotations": annotations}
        obj = {"metadata": metadata, "spec": {"defaultBackend": backend, **spec}}
        found = await store.create(store.kind("Ingress", group), obj)
        return found["spec"].get("ingressClassName")

    assert await made({}) == "c"
    assert await made({}, ingressClassName="other") == "other"
    assert await made({"kubernetes.io/ingress.class": "old"}) is None
