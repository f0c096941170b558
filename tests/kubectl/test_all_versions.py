"""What every kubectl from 1.27 on must be able to do. From 1.32 on it sends protobuf where it builds the object."""

import time
from dataclasses import replace

from tests.kubectl.conftest import SLACK, Kubectl

TOKENS = "-o=jsonpath={range .items[*]}{.metadata.name}={.data.token} {end}"
"""Each Secret with its token in base64, in which every token begins with ZXlK."""


def test_namespace_has_its_account_and_token_at_once(any_kubectl: Kubectl) -> None:
    """The reason why there is a Verger; and an account that is deleted comes back as another one, with another token."""
    kubectl = replace(any_kubectl, namespace=f"{any_kubectl.namespace}-new")
    assert kubectl("create", "namespace", kubectl.namespace).endswith(" created")
    started = time.monotonic()
    old = kubectl.until(lambda text: "=ZXlK" in text, "get", "secrets", TOKENS)
    assert time.monotonic() - started < 1.0 * SLACK
    assert old.startswith("default-token-")
    assert "deleted" in kubectl("delete", "serviceaccount", "default")
    new = kubectl.until(
        lambda text: text.count("=ZXlK") == 1 and text != old, "get", "secrets", TOKENS
    )
    assert new.startswith("default-token-")
    started = time.monotonic()
    assert "deleted" in kubectl("delete", "namespace", kubectl.namespace)
    assert time.monotonic() - started < 1.0 * SLACK


def test_objects_that_kubectl_builds_are_stored(any_kubectl: Kubectl) -> None:
    """`kubectl create KIND` sends JSON or protobuf, and the object is the same."""
    kubectl = any_kubectl
    for arguments in (
        "secret generic a --from-literal=k=v --type=x.example.com/y",
        "role a --verb=get,list --resource=pods --resource-name=p",
        f"rolebinding a --role=a --serviceaccount={kubectl.namespace}:a --user=u",
    ):
        assert kubectl("create", *arguments.split()).endswith("/a created"), arguments
    secret, role, binding = kubectl.json("get", "secret/a", "role/a", "rolebinding/a")["items"]
    assert (secret["type"], secret["data"]) == ("x.example.com/y", {"k": "dg=="})
    assert role["rules"] == [
        {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["p"]}
    ]
    assert [subject["kind"] for subject in binding["subjects"]] == ["User", "ServiceAccount"]
    assert binding["roleRef"]["name"] == "a"


def test_objects_are_applied_changed_and_deleted(any_kubectl: Kubectl) -> None:
    """apply, patch, get -o and delete, as scripts use them."""
    kubectl = any_kubectl
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: v, gone: x}\n"
    assert kubectl("apply", "-f", "-", stdin=text) == "configmap/a created"
    changed = text.replace(", gone: x", "")
    assert kubectl("apply", "-f", "-", stdin=changed) == "configmap/a configured"
    assert kubectl("patch", "configmap/a", "-p", '{"data":{"n":"1"}}') == "configmap/a patched"
    assert kubectl("get", "cm/a", "-o", "jsonpath={.data.k}{.data.gone}{.data.n}") == "v1"
    assert kubectl("delete", "configmap", "a").startswith('configmap "a" deleted')
