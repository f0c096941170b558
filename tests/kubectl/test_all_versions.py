"""What every kubectl from 1.27 on must be able to do. From 1.32 on it sends protobuf where it builds the object."""

import json
import re
import time
from dataclasses import replace
from typing import Any

from tests.kubectl.conftest import SLACK, Kubectl
from tests.kubectl.test_writes import editor

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


MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: {in: set}}\ndata: {k: v}\n"


def test_objects_are_changed_in_every_way(any_kubectl: Kubectl) -> None:
    """Applied on the server, compared, edited, replaced, patched in three ways, labelled, annotated."""
    kubectl = any_kubectl
    kubectl("create", "-f", "-", stdin=MAP)
    server = ("apply", "--server-side", "--field-manager=x", "-f", "-")
    refused = kubectl.fails(*server, stdin=MAP.replace("k: v", "k: w"))
    assert "Apply failed with 1 conflict" in refused
    kubectl(*server, "--force-conflicts", stdin=MAP.replace("k: v", "k: w"))
    done = kubectl.run("diff", "-f", "-", stdin=MAP)
    assert (done.returncode, "-  k: w\n+  k: v\n" in done.stdout) == (1, True), done.stderr
    variables = editor(kubectl.folder, "sed -i 's/k: w/k: e/'")
    assert kubectl("edit", "cm", "a", variables=variables) == "configmap/a edited"
    assert kubectl("replace", "-f", "-", stdin=MAP) == "configmap/a replaced"
    for sort, patch in (
        ("strategic", {"data": {"s": "1"}}),
        ("merge", {"data": {"m": "1"}}),
        ("json", [{"op": "add", "path": "/data/j", "value": "1"}]),
    ):
        kubectl("patch", "cm", "a", f"--type={sort}", "-p", json.dumps(patch))
    assert kubectl("label", "cm", "a", "l=1") == "configmap/a labeled"
    found = kubectl.json("annotate", "cm", "a", "n=1")
    assert found["data"] == {"k": "v", "s": "1", "m": "1", "j": "1"}
    assert found["metadata"]["labels"] == {"in": "set", "l": "1"}
    assert found["metadata"]["annotations"] == {"n": "1"}


def test_objects_are_watched_waited_for_and_pruned(any_kubectl: Kubectl) -> None:
    """Two commands look on while a third one takes an object away."""
    kubectl = any_kubectl
    (kubectl.folder / "set").mkdir()
    for name in ("a", "b"):
        path = kubectl.folder / "set" / f"{name}.yaml"
        path.write_text(MAP.replace("name: a", f"name: {name}"))
    prune = ("apply", "-f", "set", "--prune", "-l", "in=set", "--prune-allowlist=core/v1/ConfigMap")
    kubectl(*prune)
    path.unlink()
    with (
        kubectl.streaming("get", "cm", "b", "-w", "-o", "name") as watch,
        kubectl.streaming("wait", "cm/b", "--for=delete", "--timeout=50s") as waiting,
    ):
        assert watch.stdout is not None
        assert watch.stdout.readline() == "configmap/b\n"
        assert kubectl(*prune).splitlines() == ["configmap/a unchanged", "configmap/b pruned"]
        assert waiting.wait() == 0
        assert watch.stdout.readline() == "configmap/b\n"


def objects(kind: str, **metadata: dict[str, Any]) -> str:
    items = [
        {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, **more}}
        for name, more in metadata.items()
    ]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


def test_owners_are_deleted_in_three_ways(any_kubectl: Kubectl) -> None:
    """What they own goes with them, in the background or before them, or stays without an owner."""
    kubectl = any_kubectl
    ways = ("background", "foreground", "orphan")
    listed = objects("ServiceAccount", **{way: {} for way in ways})
    shown = r"jsonpath={.metadata.name} {.metadata.uid}{'\n'}"
    made = kubectl("create", "-f", "-", "-o", shown, stdin=listed)
    about = {"apiVersion": "v1", "kind": "ServiceAccount", "blockOwnerDeletion": True}
    owners = {
        name: {**about, "name": name, "uid": uid} for name, uid in map(str.split, made.splitlines())
    }
    owned = {name: {"ownerReferences": [owner]} for name, owner in owners.items()}
    kubectl("create", "-f", "-", stdin=objects("ConfigMap", **owned))
    for way in ways:
        kubectl("delete", "sa", way, f"--cascade={way}")
    # Whatever is to go has gone when nothing names an owner any more.
    shown = "jsonpath={.items[*].metadata.ownerReferences} {.items[*].metadata.name}"
    left = kubectl.until(lambda text: "uid" not in text, "get", "cm", "-o", shown)
    assert sorted(left.split()) == ["kube-root-ca.crt", "orphan"]


def test_server_is_asked_what_it_serves(any_kubectl: Kubectl) -> None:
    """Kinds, fields and rights."""
    assert "deployments.apps" in any_kubectl("api-resources", "--api-group=apps", "-o", "name")
    shown = any_kubectl("explain", "deploy.spec", "--recursive")
    assert re.search(r"^ +replicas\t<integer>$", shown, re.MULTILINE)
    assert any_kubectl("auth", "can-i", "create", "pods/exec") == "yes"
