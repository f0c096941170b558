"""The official client, and its dynamic half."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes import client, config, dynamic, watch
from kubernetes.client.exceptions import ApiException
from verger.embed import BlockingPlane


@pytest.fixture
def api(verger_kubeconfig: Path) -> Iterator[client.ApiClient]:
    with config.new_client_from_config(str(verger_kubeconfig)) as api:
        yield api


@pytest.fixture
def core(api: client.ApiClient) -> client.CoreV1Api:
    return client.CoreV1Api(api)


def config_map(name: str, **data: str) -> client.V1ConfigMap:
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name), data=data)


def test_objects_are_made_read_changed_and_deleted(core: client.CoreV1Api, namespace: str) -> None:
    """The verbs of one kind, with the errors that the client knows."""
    made = core.create_namespaced_config_map(namespace, config_map("a", k="1"))
    assert made.metadata.uid
    with pytest.raises(ApiException) as taken:
        core.create_namespaced_config_map(namespace, config_map("a"))
    assert (taken.value.status, taken.value.reason) == (409, "Conflict")
    patched = core.patch_namespaced_config_map("a", namespace, {"data": {"l": "2"}})
    assert patched.data == {"k": "1", "l": "2"}
    with pytest.raises(ApiException) as stale:
        core.replace_namespaced_config_map("a", namespace, made)
    assert stale.value.status == 409
    core.delete_namespaced_config_map("a", namespace)
    with pytest.raises(ApiException) as gone:
        core.read_namespaced_config_map("a", namespace)
    assert gone.value.status == 404


def test_lists_come_in_pages(core: client.CoreV1Api, namespace: str) -> None:
    """A list with a limit goes on where it stopped."""
    for number in range(5):
        core.create_namespaced_config_map(namespace, config_map(f"c{number}"))
    first = core.list_namespaced_config_map(namespace, limit=2)
    rest = core.list_namespaced_config_map(namespace, _continue=first.metadata._continue)
    names = [item.metadata.name for item in [*first.items, *rest.items]]
    assert names == ["c0", "c1", "c2", "c3", "c4", "kube-root-ca.crt"]


def test_watch_tells_what_happens(core: client.CoreV1Api, namespace: str) -> None:
    """From the revision of a list on, typed objects in order."""
    start = core.list_namespaced_config_map(namespace).metadata.resource_version
    core.create_namespaced_config_map(namespace, config_map("a"))
    core.patch_namespaced_config_map("a", namespace, {"data": {"k": "v"}})
    core.delete_namespaced_config_map("a", namespace)
    seen = []
    watching = watch.Watch()
    for event in watching.stream(
        core.list_namespaced_config_map, namespace, resource_version=start, timeout_seconds=20
    ):
        seen.append((event["type"], event["object"].metadata.name))
        if len(seen) == 3:
            watching.stop()
    assert seen == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


def test_accounts_have_tokens(core: client.CoreV1Api, namespace: str) -> None:
    """The token Secret of the default account, and a token on request."""
    account = core.read_namespaced_service_account("default", namespace)
    secret = core.read_namespaced_secret(account.secrets[0].name, namespace)
    assert base64.b64decode(secret.data["token"]).count(b".") == 2
    request = client.AuthenticationV1TokenRequest(
        spec=client.V1TokenRequestSpec(audiences=["me"], expiration_seconds=600)
    )
    answer = core.create_namespaced_service_account_token("default", namespace, request)
    assert answer.status.token


def test_account_is_limited_by_its_rights(verger: BlockingPlane, namespace: str) -> None:
    """A client with the account's kubeconfig is refused in the words of RBAC."""
    access = verger.as_service_account(namespace)
    with config.new_client_from_config(str(access.kubeconfig)) as api:
        with pytest.raises(ApiException) as refused:
            client.CoreV1Api(api).list_namespaced_pod(namespace)
        assert refused.value.status == 403
        message = json.loads(refused.value.body)["message"]
        assert f'User "system:serviceaccount:{namespace}:default"' in message


def test_dynamic_client_finds_and_applies(api: client.ApiClient, namespace: str) -> None:
    """Kinds come from discovery; server-side apply makes, and sees conflicts."""
    maps = dynamic.DynamicClient(api).resources.get(api_version="v1", kind="ConfigMap")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "1"}}
    maps.server_side_apply(body=body, name="a", namespace=namespace, field_manager="one")
    body["data"] = {"k": "2"}
    with pytest.raises(Exception, match="conflict"):
        maps.server_side_apply(body=body, name="a", namespace=namespace, field_manager="two")
    forced = maps.server_side_apply(
        body=body, name="a", namespace=namespace, field_manager="two", force_conflicts=True
    )
    assert forced.data.k == "2"


def test_typed_workloads(api: client.ApiClient, namespace: str) -> None:
    """A deployment gets its defaults and is scaled."""
    apps = client.AppsV1Api(api)
    labels = {"app": "web"}
    template = client.V1PodTemplateSpec(
        metadata=client.V1ObjectMeta(labels=labels),
        spec=client.V1PodSpec(containers=[client.V1Container(name="c", image="nginx")]),
    )
    spec = client.V1DeploymentSpec(
        selector=client.V1LabelSelector(match_labels=labels), template=template
    )
    metadata = client.V1ObjectMeta(name="web")
    made = apps.create_namespaced_deployment(
        namespace, client.V1Deployment(metadata=metadata, spec=spec)
    )
    assert (made.spec.replicas, made.spec.strategy.type) == (1, "RollingUpdate")
    patched = apps.patch_namespaced_deployment("web", namespace, {"spec": {"replicas": 3}})
    assert (patched.spec.replicas, patched.metadata.generation) == (3, 2)
