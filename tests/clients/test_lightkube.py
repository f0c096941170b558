"""lightkube, on which charms are built."""

import threading
from pathlib import Path
from typing import Any

import pytest
from lightkube import ApiError, AsyncClient, Client, KubeConfig
from lightkube.codecs import load_all_yaml
from lightkube.generic_resource import create_namespaced_resource
from lightkube.models.apps_v1 import DeploymentSpec
from lightkube.models.core_v1 import Container, PodSpec, PodTemplateSpec
from lightkube.models.meta_v1 import LabelSelector, ObjectMeta
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ConfigMap, Pod, ServiceAccount
from lightkube.types import CascadeType, PatchType
from verger.embed import BlockingPlane


@pytest.fixture
def kube(verger_kubeconfig: Path, namespace: str) -> Client:
    return Client(
        KubeConfig.from_file(str(verger_kubeconfig)), namespace=namespace, field_manager="tests"
    )


def test_objects(kube: Client) -> None:
    """Made, listed, patched in three ways, applied, deleted."""
    kube.create(ConfigMap(metadata=ObjectMeta(name="a", labels={"x": "y"}), data={"k": "1"}))
    assert [item.metadata.name for item in kube.list(ConfigMap, labels={"x": "y"})] == ["a"]
    merged = kube.patch(ConfigMap, "a", {"data": {"l": "2"}}, patch_type=PatchType.MERGE)
    assert merged.data == {"k": "1", "l": "2"}
    strategic = kube.patch(ConfigMap, "a", {"data": {"l": None}}, patch_type=PatchType.STRATEGIC)
    assert strategic.data == {"k": "1"}
    operations = [{"op": "replace", "path": "/data/k", "value": "3"}]
    assert kube.patch(ConfigMap, "a", operations, patch_type=PatchType.JSON).data == {"k": "3"}
    applied = kube.apply(ConfigMap(metadata=ObjectMeta(name="b"), data={"k": "v"}))
    assert applied.data == {"k": "v"}
    kube.delete(ConfigMap, "a")
    with pytest.raises(ApiError) as gone:
        kube.get(ConfigMap, "a")
    assert (gone.value.status.code, gone.value.status.reason) == (404, "NotFound")


def test_watch_begins_with_what_there_is(kube: Client, namespace: str) -> None:
    """The account that the controllers made is the first event."""
    for kind, account in kube.watch(ServiceAccount, namespace=namespace):
        assert (kind, account.metadata.name) == ("ADDED", "default")
        break


def config_map(name: str, **data: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name, labels={"by": "test"}), data=data)


def test_apply_sees_conflicts_and_takes_fields_away(kube: Client) -> None:
    """Server-side, with a manager each; forced, a field changes hands; what is left out goes."""
    kube.apply(config_map("a", k="1", l="1"))
    with pytest.raises(ApiError) as refused:
        kube.apply(config_map("a", k="2"), field_manager="other")
    assert refused.value.status.code == 409
    assert refused.value.status.details is not None
    (cause,) = refused.value.status.details.causes or ()
    assert (cause.reason, cause.field) == ("FieldManagerConflict", ".data.k")
    kube.apply(config_map("a", k="2"), field_manager="other", force=True)
    assert kube.apply(config_map("a")).data == {"k": "2"}


def test_lists_come_in_chunks_and_by_fields(kube: Client) -> None:
    """What is asked for in pages comes as one sequence; a collection is deleted at once."""
    for name in ("a", "b", "c"):
        kube.create(config_map(name))
    listed = kube.list(ConfigMap, labels={"by": "test"}, chunk_size=1)
    assert [item.metadata.name for item in listed if item.metadata] == ["a", "b", "c"]
    assert listed.resourceVersion
    one = list(kube.list(ConfigMap, fields={"metadata.name": "b"}))
    assert len(one) == 1
    kube.deletecollection(ConfigMap, cascade=CascadeType.FOREGROUND)
    assert list(kube.list(ConfigMap, labels={"by": "test"})) == []


def deployment(name: str) -> Deployment:
    labels = {"app": name}
    template = PodTemplateSpec(
        metadata=ObjectMeta(labels=labels),
        spec=PodSpec(containers=[Container(name="c", image="i")]),
    )
    spec = DeploymentSpec(selector=LabelSelector(matchLabels=labels), template=template)
    return Deployment(metadata=ObjectMeta(name=name), spec=spec)


def test_parts_are_written_and_conditions_waited_for(kube: Client) -> None:
    """A scale and a status; the wait ends with the status that somebody writes."""
    kube.create(deployment("d"))
    scale = kube.patch(Deployment.Scale, "d", {"spec": {"replicas": 3}})
    assert scale.spec is not None
    assert scale.spec.replicas == 3
    found: list[Any] = []
    waiting = threading.Thread(
        target=lambda: found.append(kube.wait(Deployment, "d", for_conditions=["Available"]))
    )
    waiting.start()
    condition = {"type": "Available", "status": "True"}
    kube.patch(Deployment.Status, "d", {"status": {"conditions": [condition]}})
    waiting.join(30)
    assert found[0].spec.replicas == 3


def test_kinds_that_no_model_is_for(verger: BlockingPlane, kube: Client) -> None:
    """A custom kind: found by its name, patched, and its status beside it."""
    definition: dict[str, Any] = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "charms.lk.example.com"},
        "spec": {
            "group": "lk.example.com",
            "scope": "Namespaced",
            "names": {"plural": "charms", "kind": "Charm"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "x-kubernetes-preserve-unknown-fields": True,
                        }
                    },
                }
            ],
        },
    }
    verger.create(definition)
    verger.settle()
    charm = create_namespaced_resource("lk.example.com", "v1", "Charm", "charms")
    kube.create(charm(metadata=ObjectMeta(name="a"), spec={"k": 1}))
    patched = kube.patch(charm, "a", {"spec": {"l": 2}}, patch_type=PatchType.MERGE)
    assert patched.spec == {"k": 1, "l": 2}
    kube.patch(charm.Status, "a", {"status": {"ok": True}}, patch_type=PatchType.MERGE)
    assert kube.get(charm, "a").status == {"ok": True}
    text = "apiVersion: lk.example.com/v1\nkind: Charm\nmetadata: {name: b}\n"
    (read,) = load_all_yaml(text)
    kube.apply(read)
    assert sorted(item.metadata.name for item in kube.list(charm) if item.metadata) == ["a", "b"]
    with pytest.raises(ApiError) as refused:
        kube.patch(charm, "a", {"spec": {"k": 2}}, patch_type=PatchType.STRATEGIC)
    assert refused.value.status.code == 415


async def test_asynchronous_client_watches(verger_kubeconfig: Path, namespace: str) -> None:
    """First what there is, then what is made meanwhile."""
    kube = AsyncClient(KubeConfig.from_file(str(verger_kubeconfig)), namespace=namespace)
    await kube.create(config_map("a"))
    seen = []
    async for kind, item in kube.watch(ConfigMap, labels={"by": "test"}):
        assert item.metadata is not None
        seen.append((kind, item.metadata.name))
        if len(seen) == 1:
            await kube.create(config_map("b"))
        if len(seen) == 2:
            break
    await kube.close()
    assert seen == [("ADDED", "a"), ("ADDED", "b")]


def test_logs_of_a_pod_without_a_node_are_empty(kube: Client) -> None:
    """There is nothing to read from, and that is no error; a container that there is not is one."""
    spec = PodSpec(containers=[Container(name="c", image="i")])
    kube.create(Pod(metadata=ObjectMeta(name="p"), spec=spec))
    assert list(kube.log("p")) == []
    with pytest.raises(ApiError, match="container z is not valid for pod p"):
        list(kube.log("p", container="z"))
