"""The official client's twin for asyncio."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from kubernetes_asyncio import client, config, dynamic, watch
from kubernetes_asyncio.client.exceptions import ApiException
from verger.embed import BlockingPlane


@pytest.fixture
async def core(verger_kubeconfig: Path) -> AsyncIterator[client.CoreV1Api]:
    await config.load_kube_config(str(verger_kubeconfig))
    async with client.ApiClient() as api:
        yield client.CoreV1Api(api)


def made(name: str, namespace: str) -> dict[str, object]:
    metadata = {"name": name, "namespace": namespace, "labels": {"by": "test"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


async def test_objects_and_watches(verger_kubeconfig: Path, namespace: str) -> None:
    """Made, seen by a watch, changed and deleted."""
    await config.load_kube_config(str(verger_kubeconfig))
    async with client.ApiClient() as api:
        core = client.CoreV1Api(api)
        start = (await core.list_namespaced_config_map(namespace)).metadata.resource_version
        body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="a"), data={"k": "1"})
        await core.create_namespaced_config_map(namespace, body)
        await core.patch_namespaced_config_map("a", namespace, {"data": {"k": "2"}})
        await core.delete_namespaced_config_map("a", namespace)
        seen = []
        async with watch.Watch() as watching:
            async for event in watching.stream(
                core.list_namespaced_config_map,
                namespace,
                resource_version=start,
                timeout_seconds=20,
            ):
                seen.append((event["type"], event["object"].data["k"]))
                if len(seen) == 3:
                    break
    assert seen == [("ADDED", "1"), ("MODIFIED", "2"), ("DELETED", "2")]


async def test_watch_whose_revision_is_gone_raises(
    verger: BlockingPlane, core: client.CoreV1Api, namespace: str
) -> None:
    """410 from the stream becomes an error."""
    start = (await core.list_namespaced_config_map(namespace)).metadata.resource_version
    verger.create(made("a", namespace))
    verger.faults.expire_history()
    listing = core.list_namespaced_config_map
    async with watch.Watch() as watching:
        events = watching.stream(listing, namespace, resource_version=start, timeout_seconds=20)
        with pytest.raises(ApiException) as gone:
            await anext(events)
    assert gone.value.status == 410


async def test_lists_come_in_pages_and_by_fields(
    verger: BlockingPlane, core: client.CoreV1Api, namespace: str
) -> None:
    """A page says how to go on."""
    for name in ("a", "b", "c"):
        verger.create(made(name, namespace))
    chosen = {"label_selector": "by=test", "limit": 2}
    first = await core.list_namespaced_config_map(namespace, **chosen)
    rest = await core.list_namespaced_config_map(
        namespace, **chosen, _continue=first.metadata._continue
    )
    assert [item.metadata.name for item in [*first.items, *rest.items]] == ["a", "b", "c"]
    one = await core.list_namespaced_config_map(namespace, field_selector="metadata.name=b")
    assert len(one.items) == 1


async def test_dynamic_client_applies(core: client.CoreV1Api, namespace: str) -> None:
    """Kinds come from discovery; server-side apply sees the fields of others. A refusal is answered, not raised."""
    kinds = await dynamic.DynamicClient(core.api_client)
    maps = await kinds.resources.get(api_version="v1", kind="ConfigMap")
    body = {**made("a", namespace), "data": {"k": "1"}}
    await maps.server_side_apply(body=body, name="a", namespace=namespace, field_manager="one")
    body["data"] = {"k": "2"}
    refused = await maps.server_side_apply(
        body=body, name="a", namespace=namespace, field_manager="two"
    )
    assert (refused.kind, refused.code, refused.reason) == ("Status", 409, "Conflict")
    forced = await maps.server_side_apply(
        body=body, name="a", namespace=namespace, field_manager="two", force_conflicts=True
    )
    assert forced.data.k == "2"
