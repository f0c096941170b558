"""Who may change an object may not therefore create it: an apply and a PUT of something new need both rights."""

import ssl
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from verger.embed import ControlPlane

RBAC = "rbac.authorization.k8s.io"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/team/leases"
LEASE = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "new"}}
APPLY = "application/apply-patch+yaml"


@pytest.fixture
async def plane() -> AsyncIterator[ControlPlane]:
    async with ControlPlane() as plane:
        await plane.namespace("team")
        yield plane


async def allow(plane: ControlPlane, *verbs: str) -> None:
    role, binding = (plane.kinds.get(RBAC, "v1", kind) for kind in ("Role", "RoleBinding"))
    assert role is not None
    assert binding is not None
    metadata = {"name": "writer", "namespace": "team"}
    rule = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": [*verbs]}
    await plane.client.create(role, {"metadata": metadata, "rules": [rule]})
    subject = {"kind": "ServiceAccount", "name": "default", "namespace": "team"}
    reference = {"apiGroup": RBAC, "kind": "Role", "name": "writer"}
    bound = {"metadata": metadata, "subjects": [subject], "roleRef": reference}
    await plane.client.create(binding, bound)


async def send(plane: ControlPlane, method: str, query: str, media: str) -> tuple[int, Any]:
    headers = {**(await plane.as_service_account("team")).headers, "Content-Type": media}
    context = ssl.create_default_context(cadata=plane.ca.decode())
    url = f"{plane.url}{LEASES}/new{query}"
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, headers=headers, json=LEASE, ssl=context) as answer,
    ):
        return answer.status, await answer.json()


WRITES = [
    pytest.param("PATCH", "?fieldManager=me", APPLY, id="an apply"),
    pytest.param("PUT", "", "application/json", id="a replacement"),
]


@pytest.mark.parametrize(("method", "query", "media"), WRITES)
async def test_change_is_no_creation(
    plane: ControlPlane, method: str, query: str, media: str
) -> None:
    """With the right to change alone, what is not there is refused in the words of a create."""
    await allow(plane, "patch", "update")
    status, body = await send(plane, method, query, media)
    assert status == 403
    assert 'cannot create resource "leases" in API group "coordination.k8s.io"' in body["message"]


@pytest.mark.parametrize(("method", "query", "media"), WRITES)
async def test_both_rights_create(plane: ControlPlane, method: str, query: str, media: str) -> None:
    """With both it is created."""
    await allow(plane, "patch", "update", "create")
    assert (await send(plane, method, query, media))[0] == 201
