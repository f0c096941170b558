"""The official client's twin for asyncio."""

from pathlib import Path

from kubernetes_asyncio import client, config, watch


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
