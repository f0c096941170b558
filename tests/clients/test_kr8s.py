"""kr8s, which looks and feels like kubectl."""

from pathlib import Path

import kr8s
import kr8s.asyncio
import kr8s.asyncio.objects
import pytest
from kr8s.objects import ConfigMap, Deployment, Node, Pod, ServiceAccount
from verger.embed import BlockingPlane


def test_objects(verger_kubeconfig: Path, namespace: str) -> None:
    """Found by discovery, made, patched, labelled and deleted."""
    api = kr8s.api(kubeconfig=str(verger_kubeconfig))
    resource = {"metadata": {"name": "a", "namespace": namespace}, "data": {"k": "1"}}
    one = ConfigMap(resource, api=api)
    one.create()
    assert one.exists()
    one.patch({"data": {"k": "2"}})
    one.label({"x": "y"})
    (found,) = kr8s.get("configmaps", namespace=namespace, label_selector={"x": "y"}, api=api)
    assert found.raw["data"] == {"k": "2"}
    account = ServiceAccount.get("default", namespace=namespace, api=api)
    assert account.raw["secrets"]
    one.delete()
    with pytest.raises(kr8s.NotFoundError):
        ConfigMap.get("a", namespace=namespace, api=api)


def test_version(verger_kubeconfig: Path) -> None:
    """The server says which Kubernetes it is."""
    assert kr8s.api(kubeconfig=str(verger_kubeconfig)).version()["major"] == "1"


def resource(name: str, namespace: str, **more: object) -> dict[str, object]:
    return {"metadata": {"name": name, "namespace": namespace}, **more}


CONTAINER = {"name": "c", "image": "i"}


def test_objects_are_selected_and_come_in_pages(
    verger: BlockingPlane, verger_kubeconfig: Path, namespace: str
) -> None:
    """By labels and fields; more than a hundred of them, which is its page."""
    api = kr8s.api(kubeconfig=str(verger_kubeconfig))
    for number in range(105):
        kind = {"apiVersion": "v1", "kind": "ConfigMap"}
        verger.create({**kind, **resource(f"c{number:03}", namespace)})
    assert len(list(kr8s.get("cm", namespace=namespace, api=api))) == 106
    chosen = kr8s.get("cm", namespace=namespace, field_selector="metadata.name=c007", api=api)
    assert [item.name for item in chosen] == ["c007"]
    with pytest.raises(kr8s.NotFoundError):
        ConfigMap.get("none", namespace=namespace, api=api)
    with pytest.raises(kr8s.ServerError, match="already exists") as taken:
        ConfigMap(resource("c007", namespace), api=api).create()
    assert taken.value.response is not None
    assert taken.value.response.status_code == 409


def test_deployment_is_scaled_patched_and_waited_for(
    verger: BlockingPlane, verger_kubeconfig: Path, namespace: str
) -> None:
    """The scale goes through its own part, and the wait ends with a status that somebody writes."""
    api = kr8s.api(kubeconfig=str(verger_kubeconfig))
    labels = {"a": "b"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [CONTAINER]}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    one = Deployment(resource("d", namespace, spec=spec), api=api)
    one.create()
    one.scale(3)
    one.patch([{"op": "add", "path": "/spec/paused", "value": True}], type="json")
    assert one.replicas == 3
    assert one.spec.paused is True
    one.annotate(x="y")
    assert one.annotations["x"] == "y"
    found = dict(verger.get("apps/v1", "Deployment", "d", namespace))
    ready = {"type": "Available", "status": "True"}
    verger.update({**found, "status": {"conditions": [ready], "replicas": 1}}, subresource="status")
    one.wait("condition=Available", timeout=30)
    one.delete(propagation_policy="Foreground")
    one.wait("delete", timeout=30)
    assert not one.exists()


def test_nodes_and_pods(verger_kubeconfig: Path, namespace: str) -> None:
    """A node is cordoned and tainted; a pod is not ready, and what takes a node is refused in words."""
    api = kr8s.api(kubeconfig=str(verger_kubeconfig))
    node = Node({"metadata": {"name": f"n-{namespace}"}}, api=api)
    node.create()
    node.cordon()
    assert node.unschedulable
    node.taint("k", "v", effect="NoSchedule")
    assert {"key": "k", "value": "v", "effect": "NoSchedule"} in node.taints
    node.delete()
    pod = Pod(resource("p", namespace, spec={"containers": [CONTAINER]}), api=api)
    pod.create()
    assert not pod.ready()
    assert list(pod.logs()) == []
    pod.delete(grace_period=0)


async def test_asynchronous_objects_of_a_custom_kind(
    verger: BlockingPlane, verger_kubeconfig: Path, namespace: str
) -> None:
    """A class made at run time; the watch begins with what there is."""
    names = {"plural": "boats", "singular": "boat", "kind": "Boat"}
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True}
    spec = {
        "group": "kr8s.example.com",
        "scope": "Namespaced",
        "names": names,
        "versions": [{**version, "schema": {"openAPIV3Schema": schema}}],
    }
    kind = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
    verger.create({**kind, "metadata": {"name": "boats.kr8s.example.com"}, "spec": spec})
    verger.settle()
    api = await kr8s.asyncio.api(kubeconfig=str(verger_kubeconfig))
    boats = kr8s.asyncio.objects.new_class("Boat", "kr8s.example.com/v1", namespaced=True)
    boat = await boats(resource("a", namespace, spec={"oars": 2}), api=api)
    await boat.create()
    await boat.patch({"spec": {"oars": 4}})
    assert boat.spec.oars == 4
    async for event, seen in api.watch("boats.kr8s.example.com", namespace=namespace):
        assert (event, seen.name) == ("ADDED", "a")
        break
    await boat.delete()
    assert not await boat.exists()
