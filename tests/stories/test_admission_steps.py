"""What the admission of pods does about accounts, step by step, with a token Secret in each pod."""

import json
from typing import Any

import pytest

from tests.kubectl.conftest import Kubectl

MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"


@pytest.fixture(scope="module")
def options() -> dict[str, Any]:
    """As it was when these steps were written down."""
    return {"pod_tokens": "secret"}


def created(kubectl: Kubectl, name: str, **spec: Any) -> dict[str, Any]:
    """The specification of a pod as it was stored."""
    spec = {"containers": [{"name": "c", "image": "i"}], **spec}
    obj = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
    found = json.loads(kubectl("create", "-f", "-", "-o", "json", stdin=json.dumps(obj)))
    stored: dict[str, Any] = found["spec"]
    return stored


def test_pod_without_an_account_runs_as_default(kubectl: Kubectl) -> None:
    """1. If the pod does not have an account set, it sets the account to default."""
    spec = created(kubectl, "one")
    assert spec["serviceAccountName"] == spec["serviceAccount"] == "default"


def test_account_has_to_be_there(kubectl: Kubectl) -> None:
    """2. It ensures that the account exists, and otherwise rejects the pod."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "two"},
        "spec": {"serviceAccountName": "nobody", "containers": [{"name": "c", "image": "i"}]},
    }
    assert kubectl.fails("create", "-f", "-", stdin=json.dumps(pod)) == (
        'Error from server (Forbidden): error when creating "STDIN": pods "two" is forbidden: error looking up service '
        'account default/nobody: serviceaccount "nobody" not found'
    )


def test_pull_secrets_come_from_the_account(kubectl: Kubectl) -> None:
    """3. If the pod has no imagePullSecrets, those of the account are added; its own stay as they are."""
    kubectl("create", "serviceaccount", "puller")
    patch = '{"imagePullSecrets": [{"name": "a"}, {"name": "b"}]}'
    kubectl("patch", "serviceaccount", "puller", "-p", patch)
    assert created(kubectl, "three", serviceAccountName="puller")["imagePullSecrets"] == [
        {"name": "a"},
        {"name": "b"},
    ]
    own = created(kubectl, "own", serviceAccountName="puller", imagePullSecrets=[{"name": "mine"}])
    assert own["imagePullSecrets"] == [{"name": "mine"}]


def test_volume_and_mounts(kubectl: Kubectl) -> None:
    """4. and 5. It adds a volume with a token, and mounts it into each container at the usual place."""
    containers = [{"name": "c", "image": "i"}, {"name": "d", "image": "i"}]
    first = [{"name": "i", "image": "i"}]
    spec = created(kubectl, "four", containers=containers, initContainers=first)
    (reference,) = kubectl.json("get", "serviceaccount", "default")["secrets"]
    name = reference["name"]
    assert spec["volumes"] == [{"name": name, "secret": {"secretName": name, "defaultMode": 420}}]
    for container in (*spec["initContainers"], *spec["containers"]):
        assert container["volumeMounts"] == [
            {"name": name, "readOnly": True, "mountPath": MOUNT_PATH}
        ]


def test_place_that_is_taken_is_left_alone(kubectl: Kubectl) -> None:
    """A container that mounts something of its own there keeps it."""
    mount = {"name": "v", "mountPath": MOUNT_PATH}
    container = {"name": "c", "image": "i", "volumeMounts": [mount]}
    spec = created(kubectl, "five", containers=[container], volumes=[{"name": "v", "emptyDir": {}}])
    assert [volume["name"] for volume in spec["volumes"]] == ["v"]
    assert spec["containers"][0]["volumeMounts"] == [mount]
