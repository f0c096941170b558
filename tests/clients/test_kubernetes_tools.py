"""The official client's tools: informers, watches that go on, leader election, manifests, custom objects, exec."""

import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config, dynamic, stream, utils, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.informer import ADDED, DELETED, MODIFIED, SharedInformer
from kubernetes.leaderelection import electionconfig, leaderelection
from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock
from urllib3.exceptions import ProtocolError
from verger.embed import BlockingPlane

DEADLINE = 30.0
"""Seconds for something to happen; reaching them is a failure."""
GROUP = "tools.example.com"


@pytest.fixture
def api(verger_kubeconfig: Path) -> Iterator[client.ApiClient]:
    with config.new_client_from_config(str(verger_kubeconfig)) as api:
        yield api


@pytest.fixture
def core(api: client.ApiClient) -> client.CoreV1Api:
    return client.CoreV1Api(api)


def made(name: str, namespace: str, **data: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "labels": {"by": "test"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


# Watches


def test_watch_goes_on_where_its_stream_broke(
    verger: BlockingPlane, core: client.CoreV1Api, namespace: str
) -> None:
    """The client keeps the revision of what it has seen: nothing comes twice, nothing is missed."""
    verger.create(made("a", namespace))
    watching = watch.Watch()
    listing = core.list_namespaced_config_map
    first = watching.stream(listing, namespace, label_selector="by=test")
    assert next(first)["object"].metadata.name == "a"
    verger.faults.cut_watches(resource="configmaps", namespace=namespace)
    verger.create(made("b", namespace))
    with pytest.raises(ProtocolError):
        next(first)
    again = watching.stream(
        listing, namespace, label_selector="by=test", resource_version=watching.resource_version
    )
    assert next(again)["object"].metadata.name == "b"
    again.close()


def test_watch_whose_revision_is_gone_raises(
    verger: BlockingPlane, core: client.CoreV1Api, namespace: str
) -> None:
    """410 from the stream becomes an error with the words of the server."""
    start = core.list_namespaced_config_map(namespace).metadata.resource_version
    verger.create(made("a", namespace))
    verger.faults.expire_history()
    watching = watch.Watch()
    with pytest.raises(ApiException) as gone:
        list(watching.stream(core.list_namespaced_config_map, namespace, resource_version=start))
    assert gone.value.status == 410
    assert "Expired: too old resource version" in gone.value.reason


def test_informer_keeps_a_cache_through_410(
    verger: BlockingPlane, core: client.CoreV1Api, namespace: str
) -> None:
    """Handlers hear of every change; when history is gone it lists again, and tells the difference."""
    verger.create(made("a", namespace))
    verger.create(made("b", namespace))
    informer = SharedInformer(
        core.list_namespaced_config_map, namespace=namespace, label_selector="by=test"
    )
    heard: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
    for kind in (ADDED, MODIFIED, DELETED):
        informer.add_event_handler(
            kind, lambda obj, kind=kind: heard.put((kind, obj.metadata.name))
        )
    informer.start()

    def told(count: int) -> list[tuple[str, str]]:
        return [heard.get(timeout=DEADLINE) for _ in range(count)]

    assert told(2) == [(ADDED, "a"), (ADDED, "b")]
    verger.update(made("a", namespace, k="1"))
    verger.delete("v1", "ConfigMap", "b", namespace)
    assert told(2) == [(MODIFIED, "a"), (DELETED, "b")]
    # Without a change that it has not seen it could go on where it was.
    verger.create(made("c", namespace) | {"metadata": {"name": "x", "namespace": namespace}})
    assert verger.faults.expire_history(resource="configmaps", namespace=namespace) == 1
    verger.create(made("c", namespace))
    # It lists again, and says so of what it knew.
    assert set(told(2)) == {(MODIFIED, "a"), (ADDED, "c")}
    keys = sorted(informer.cache.list_keys())
    assert keys == [f"{namespace}/a", f"{namespace}/c"]
    verger.faults.cut_watches(resource="configmaps", namespace=namespace)
    verger.create(made("d", namespace))
    stopping = threading.Thread(target=informer.stop)
    assert told(1) == [(ADDED, "d")]
    stopping.start()
    verger.create(made("e", namespace))  # it looks whether it is to stop when something comes
    stopping.join(DEADLINE)
    assert not stopping.is_alive()


# Leader election


def candidate(namespace: str, name: str) -> leaderelection.LeaderElection:
    settings = electionconfig.Config(
        LeaseLock("lock", namespace, name),
        lease_duration=30,
        renew_deadline=20,
        retry_period=1,
        onstarted_leading=print,
        onstopped_leading=print,
    )
    return leaderelection.LeaderElection(settings)


def test_one_of_two_candidates_leads(
    verger: BlockingPlane, verger_kubeconfig: Path, namespace: str
) -> None:
    """The lease goes to the first one, who renews it; the other one sees it and waits; a conflict is no renewal."""
    config.load_kube_config(str(verger_kubeconfig))
    one, two = candidate(namespace, "one"), candidate(namespace, "two")
    assert one.try_acquire_or_renew() is True
    assert two.try_acquire_or_renew() is False
    assert one.try_acquire_or_renew() is True
    spec = verger.get("coordination.k8s.io/v1", "Lease", "lock", namespace)["spec"]
    assert (spec["holderIdentity"], spec["leaseDurationSeconds"]) == ("one", 30)
    with verger.faults.conflict(resource="leases"):
        assert one.try_acquire_or_renew() is False
    assert one.try_acquire_or_renew() is True


# Manifests and custom objects


MANIFEST = f"""
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: ships.{GROUP}}}
spec:
  group: {GROUP}
  scope: Namespaced
  names: {{plural: ships, kind: Ship}}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {{status: {{}}}}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {{type: object, properties: {{crew: {{type: integer, minimum: 1}}}}}}
          status: {{type: object, x-kubernetes-preserve-unknown-fields: true}}
---
apiVersion: v1
kind: Secret
metadata: {{name: s}}
stringData: {{k: v}}
"""


def test_manifest_is_created(api: client.ApiClient, core: client.CoreV1Api, namespace: str) -> None:
    """Several documents; what is there already is an error that says which."""
    objects = list(yaml.safe_load_all(MANIFEST))
    utils.create_from_yaml(api, yaml_objects=objects, namespace=namespace)
    assert core.read_namespaced_secret("s", namespace).data == {"k": "dg=="}
    with pytest.raises(utils.FailToCreateError) as failed:
        utils.create_from_yaml(api, yaml_objects=objects[1:], namespace=namespace)
    (error,) = failed.value.api_exceptions
    assert (error.status, error.reason) == (409, "Conflict")


def test_custom_objects_are_patched_in_parts(
    verger: BlockingPlane, api: client.ApiClient, namespace: str
) -> None:
    """A plain dict is a merge patch; the status has a way of its own; what does not fit is told."""
    verger.create(next(yaml.safe_load_all(MANIFEST)))
    verger.settle()
    ships = client.CustomObjectsApi(api)
    where = (GROUP, "v1", namespace, "ships")
    body = {"apiVersion": f"{GROUP}/v1", "kind": "Ship", "metadata": {"name": "a"}}
    ships.create_namespaced_custom_object(*where, {**body, "spec": {"crew": 1}})
    patched = ships.patch_namespaced_custom_object(*where, "a", {"spec": {"crew": 2}})
    assert (patched["spec"], patched["metadata"]["generation"]) == ({"crew": 2}, 2)
    operations = [{"op": "test", "path": "/spec/crew", "value": 9}]
    with pytest.raises(ApiException) as failed:
        ships.patch_namespaced_custom_object(
            *where, "a", operations, _content_type="application/json-patch+json"
        )
    assert failed.value.status == 422, failed.value.body
    status = {"status": {"afloat": True}}
    told = ships.patch_namespaced_custom_object_status(*where, "a", status)
    assert (told["status"], told["metadata"]["generation"]) == ({"afloat": True}, 2)
    with pytest.raises(ApiException, match="should be greater than or equal to 1"):
        ships.patch_namespaced_custom_object(*where, "a", {"spec": {"crew": 0}})


def test_dynamic_client_lists_patches_and_watches(
    verger: BlockingPlane, api: client.ApiClient, namespace: str
) -> None:
    """With selectors and every sort of patch, for a kind that discovery has told of."""
    maps = dynamic.DynamicClient(api).resources.get(api_version="v1", kind="ConfigMap")
    verger.create(made("a", namespace, k="1"))
    verger.create(made("b", namespace))
    found = maps.get(namespace=namespace, field_selector="metadata.name=b")
    assert [item.metadata.name for item in found.items] == ["b"]
    for sort, body in (
        ("application/merge-patch+json", {"data": {"k": "2"}}),
        ("application/strategic-merge-patch+json", {"data": {"k": "2"}}),
        ("application/json-patch+json", [{"op": "test", "path": "/data/k", "value": "2"}]),
    ):
        patched = maps.patch(name="a", namespace=namespace, body=body, content_type=sort)
        assert patched.data.k == "2"
    watching = maps.watch(namespace=namespace, label_selector="by=test")
    events = [next(watching), next(watching)]
    watching.close()
    seen = [(event["type"], event["object"].metadata.name) for event in events]
    assert seen == [("ADDED", "a"), ("ADDED", "b")]


def test_exec_is_refused_in_words(core: client.CoreV1Api, namespace: str) -> None:
    """There is no node to run it; the client shows the answer to its upgrade."""
    container = {"name": "c", "image": "i"}
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [container]}}
    core.create_namespaced_pod(namespace, pod)
    with pytest.raises(ApiException) as refused:
        stream.stream(
            core.connect_get_namespaced_pod_exec, "p", namespace, command=["ls"], stdout=True
        )
    assert "400" in refused.value.reason
    assert "pod p does not have a host assigned" in refused.value.reason
    assert core.read_namespaced_pod_log("p", namespace) is None


def test_dry_run_stores_nothing(core: client.CoreV1Api, namespace: str) -> None:
    """The answer is the object as it would be."""
    body = {"metadata": {"generateName": "x-"}, "data": {"k": "v"}}
    answer = core.create_namespaced_config_map(namespace, body, dry_run="All")
    assert answer.metadata.name.startswith("x-")
    with pytest.raises(ApiException, match="404"):
        core.read_namespaced_config_map(answer.metadata.name, namespace)
