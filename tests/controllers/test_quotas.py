"""The status of a quota says what it allows and what is used, whatever happens."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from verger.embed import ControlPlane

NAMESPACE = "quotas"


@pytest.fixture
async def plane() -> AsyncIterator[ControlPlane]:
    """A plane with a namespace and nothing in it that is of interest here."""
    async with ControlPlane(controllers=("resourcequota-controller",)) as plane:
        kind = plane.kinds.core("Namespace")
        await plane.client.create(kind, {"metadata": {"name": NAMESPACE}})
        yield plane


async def create(plane: ControlPlane, kind: str, name: str, **fields: Any) -> None:
    obj = {"metadata": {"name": name, "namespace": NAMESPACE}, **fields}
    await plane.client.create(plane.kinds.core(kind), obj)


async def status(plane: ControlPlane) -> Mapping[str, Any]:
    await plane.settle()
    quota = await plane.client.get(plane.kinds.core("ResourceQuota"), "q", NAMESPACE)
    found: Mapping[str, Any] = quota["status"]
    return found


async def test_what_is_there_is_counted(plane: ControlPlane) -> None:
    """Of all that a quota bounds; what nothing knows how to count is left out."""
    await create(plane, "ConfigMap", "a")
    hard = {"count/configmaps": "3", "pods": "1", "example.com/unknown": "1"}
    await create(plane, "ResourceQuota", "q", spec={"hard": hard})
    assert await status(plane) == {"hard": hard, "used": {"count/configmaps": "1", "pods": "0"}}


async def test_what_comes_and_goes_is_counted(plane: ControlPlane) -> None:
    """What goes is given back."""
    await create(plane, "ResourceQuota", "q", spec={"hard": {"count/configmaps": "2"}})
    await plane.settle()
    await create(plane, "ConfigMap", "a")
    await create(plane, "ConfigMap", "b")
    assert (await status(plane))["used"] == {"count/configmaps": "2"}
    await plane.client.delete(plane.kinds.core("ConfigMap"), "a", NAMESPACE)
    assert (await status(plane))["used"] == {"count/configmaps": "1"}
    await create(plane, "ConfigMap", "c")


async def test_a_pod_that_ends_is_given_back(plane: ControlPlane) -> None:
    """Without being deleted."""
    await create(plane, "ResourceQuota", "q", spec={"hard": {"pods": "1", "count/pods": "1"}})
    await plane.settle()
    spec = {"containers": [{"name": "c", "image": "i"}], "automountServiceAccountToken": False}
    await create(plane, "ServiceAccount", "default")
    await create(plane, "Pod", "p", spec=spec)
    assert (await status(plane))["used"] == {"pods": "1", "count/pods": "1"}
    kind, patch = plane.kinds.core("Pod"), {"status": {"phase": "Succeeded"}}
    await plane.client.patch(kind, "p", NAMESPACE, patch, subresource="status")
    assert (await status(plane))["used"] == {"pods": "0", "count/pods": "1"}


async def test_a_quota_that_changes(plane: ControlPlane) -> None:
    """What it bounds no longer is no longer counted, and what it bounds now is."""
    await create(plane, "ResourceQuota", "q", spec={"hard": {"configmaps": "2"}})
    await plane.settle()
    kind = plane.kinds.core("ResourceQuota")
    patch = {"spec": {"hard": {"configmaps": None, "secrets": "4"}}}
    await plane.client.patch(kind, "q", NAMESPACE, patch)
    assert await status(plane) == {"hard": {"secrets": "4"}, "used": {"secrets": "0"}}


async def test_a_status_that_somebody_else_wrote(plane: ControlPlane) -> None:
    """Is put right."""
    await create(plane, "ResourceQuota", "q", spec={"hard": {"configmaps": "2"}})
    await plane.settle()
    kind, patch = plane.kinds.core("ResourceQuota"), {"status": {"used": {"configmaps": "7"}}}
    await plane.client.patch(kind, "q", NAMESPACE, patch, subresource="status")
    assert (await status(plane))["used"] == {"configmaps": "0"}
