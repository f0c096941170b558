"""Limit ranges: what is filled in, and what is refused in upstream's words."""

from collections.abc import Mapping
from typing import Any

import pytest
from verger.store.admission import Chain
from verger.store.errors import Forbidden
from verger.store.limits import ANNOTATION, LimitRanges
from verger.store.registry import Registry

from tests.store.conftest import Store

Json = Mapping[str, Any]


@pytest.fixture
async def store() -> Store:
    """With one namespace, in which limits hold."""
    store = Store()
    plugin = LimitRanges(store.backend, store.clock)
    store.registry = Registry(store.backend, store.clock, admission=Chain([plugin]))
    await store.create("Namespace", {"metadata": {"name": "ns"}})
    return store


async def limit(store: Store, *items: Json) -> None:
    await store.create("LimitRange", {"metadata": {"name": "l"}, "spec": {"limits": list(items)}})


def pod(*containers: Json, init: Json | None = None) -> dict[str, Any]:
    listed = [{"name": f"c{n}", "image": "i", "resources": one} for n, one in enumerate(containers)]
    spec: dict[str, Any] = {"containers": listed}
    if init is not None:
        spec["initContainers"] = [{"name": "i", "image": "i", "resources": init}]
    return {"metadata": {"name": "p"}, "spec": spec}


async def test_containers_get_what_they_do_not_say(store: Store) -> None:
    """Each resource on its own; what is said stays; the pod tells what was filled in."""
    await limit(
        store,
        {
            "type": "Container",
            "default": {"cpu": "200m", "memory": "1Gi"},
            "defaultRequest": {"cpu": "100m"},
        },
    )
    made = await store.create("Pod", pod({"requests": {"cpu": "150m"}}, {}, init={}))
    first, second = (one["resources"] for one in made["spec"]["containers"])
    limits = {"cpu": "200m", "memory": "1Gi"}
    assert first == {"requests": {"cpu": "150m", "memory": "1Gi"}, "limits": limits}
    assert second == {"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": limits}
    assert made["metadata"]["annotations"][ANNOTATION] == (
        "LimitRanger plugin set: memory request for container c0; cpu, memory limit for container c0; "
        "cpu, memory request for container c1; cpu, memory limit for container c1; "
        "cpu, memory request for init container i; cpu, memory limit for init container i"
    )
    assert made["status"]["qosClass"] == "Burstable"


@pytest.mark.parametrize(
    ("item", "resources", "says"),
    [
        pytest.param(
            {"type": "Container", "max": {"cpu": "1"}, "default": {}},
            {"limits": {"cpu": "2"}},
            "maximum cpu usage per Container is 1, but limit is 2",
            id="a limit above",
        ),
        pytest.param(
            {"type": "Pod", "max": {"cpu": "1"}},
            {},
            "maximum cpu usage per Pod is 1.  No limit is specified",
            id="no limit",
        ),
        pytest.param(
            {"type": "Pod", "max": {"cpu": "1"}},
            {"requests": {"cpu": "600m"}, "limits": {"cpu": "600m"}},
            "maximum cpu usage per Pod is 1, but limit is 1200m",
            id="the limits of two containers together",
        ),
        pytest.param(
            {"type": "Pod", "min": {"memory": "1Gi"}},
            {},
            "minimum memory usage per Pod is 1Gi.  No request is specified",
            id="no request",
        ),
        pytest.param(
            {"type": "Container", "min": {"cpu": "500m"}},
            {"requests": {"cpu": "100m"}, "limits": {"cpu": "1"}},
            "[minimum cpu usage per Container is 500m, but request is 100m, "
            "minimum cpu usage per Container is 500m, but request is 100m]",
            id="a request below, in two containers",
        ),
        pytest.param(
            {"type": "Pod", "maxLimitRequestRatio": {"cpu": "2"}},
            {"requests": {"cpu": "100m"}, "limits": {"cpu": "1"}},
            "cpu max limit to request ratio per Pod is 2, but provided ratio is 10.000000",
            id="a limit far above its request",
        ),
    ],
)
async def test_pod_out_of_bounds_is_refused(
    store: Store, item: Json, resources: Json, says: str
) -> None:
    """Container by container, or all together."""
    await limit(store, item)
    both = (resources, resources) if says.startswith("[") or "1200m" in says else (resources,)
    with pytest.raises(Forbidden) as refused:
        await store.create("Pod", pod(*both))
    assert refused.value.message == f'pods "p" is forbidden: {says}'


async def test_claim_out_of_bounds_is_refused(store: Store) -> None:
    """When it is made, and when it is to grow."""
    await limit(
        store,
        {"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}},
    )

    def claim(size: str) -> dict[str, Any]:
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
        return {"metadata": {"name": "c"}, "spec": spec}

    for size, says in (
        ("3Gi", "maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi"),
        ("1Mi", "minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi"),
    ):
        with pytest.raises(Forbidden, match=says):
            await store.create("PersistentVolumeClaim", claim(size))
    assert await store.create("PersistentVolumeClaim", claim("1Gi"))


async def test_other_namespaces_are_not_bounded(store: Store) -> None:
    """A range holds where it stands; a pod that is there is judged no more."""
    made = await store.create("Pod", pod({}))
    await limit(store, {"type": "Pod", "max": {"cpu": "1"}})
    await store.create("Namespace", {"metadata": {"name": "other"}})
    assert await store.create("Pod", pod({}), "other")
    assert await store.patch("Pod", made["metadata"]["name"], {"metadata": {"labels": {"a": "b"}}})
