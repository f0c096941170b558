"""kubectl create, apply, edit, patch, replace, label, delete: what people type all day."""

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kubectl.conftest import SLACK, Kubectl

CONFIG_MAP = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: a
data:
  k: v
"""


@pytest.fixture
def a(kubectl: Kubectl) -> Kubectl:
    """A ConfigMap called a, which was applied."""
    kubectl("apply", "-f", "-", stdin=CONFIG_MAP)
    return kubectl


def data(kubectl: Kubectl, name: str = "a") -> dict[str, str]:
    found: dict[str, str] = kubectl.json("get", "configmap", name).get("data", {})
    return found


# create


CREATED = (
    "secret generic x --from-literal=k=v",
    "secret docker-registry y --docker-username=u --docker-password=p --docker-server=s",
    "configmap x --from-literal=k=v",
    "serviceaccount x",
    "namespace {ns}-x",
    "role x --verb=get --resource=pods",
    "rolebinding x --clusterrole=view --group=g",
    "clusterrole {ns}-x --verb=get --non-resource-url=/logs/*",
    "clusterrolebinding {ns}-x --clusterrole=view --user=u",
    "quota x --hard=pods=1",
    "deployment x --image=i --replicas=2 --port=80",
    "job x --image=i -- sleep 1",
    "cronjob x --image=i --schedule=@daily",
    "service clusterip x --tcp=80:8080",
    "service nodeport y --tcp=80",
    "ingress x --rule=h/p=s:80",
    "poddisruptionbudget x --selector=a=b --min-available=1",
    "priorityclass {ns}-x --value=1",
)


def test_create_builds_and_stores_objects(kubectl: Kubectl) -> None:
    """Every kind that kubectl has a command for; each is found under the name that was printed."""
    made = []
    for arguments in CREATED:
        words = arguments.format(ns=kubectl.namespace).split()
        shown = kubectl("create", *words)
        assert shown.endswith(" created"), shown
        made.append(shown.removesuffix(" created"))
    assert kubectl("get", *made, "-o", "name").splitlines() == made
    assert 'configmaps "x" already exists' in kubectl.fails("create", "configmap", "x")


def test_create_stores_what_the_command_says(kubectl: Kubectl) -> None:
    """The object is the one that was described, whether it went as JSON or as protobuf."""
    kubectl("create", "deployment", "d", "--image=i:1", "--replicas=2", "--port=80")
    deployment = kubectl.json("get", "deployment", "d")
    assert deployment["spec"]["replicas"] == 2
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert (container["image"], container["ports"][0]["containerPort"]) == ("i:1", 80)
    kubectl("create", "service", "clusterip", "s", "--tcp=80:8080")
    (port,) = kubectl.json("get", "service", "s")["spec"]["ports"]
    assert (port["port"], port["targetPort"], port["protocol"]) == (80, 8080, "TCP")
    kubectl(
        "create", "secret", "docker-registry", "r", "--docker-username=u", "--docker-password=p"
    )
    assert kubectl.json("get", "secret", "r")["type"] == "kubernetes.io/dockerconfigjson"


def test_create_reads_certificates(kubectl: Kubectl) -> None:
    """A TLS Secret from the files that openssl makes."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-keyout", "key", "-out", "crt", "-subj", "/CN=x"],
        cwd=kubectl.folder, check=True, capture_output=True,
    )  # fmt: skip
    assert kubectl("create", "secret", "tls", "t", "--cert=crt", "--key=key") == "secret/t created"
    secret = kubectl.json("get", "secret", "t")
    assert secret["type"] == "kubernetes.io/tls"
    assert secret["data"].keys() == {"tls.crt", "tls.key"}


def test_create_of_an_unknown_field_is_refused(kubectl: Kubectl) -> None:
    """The server checks fields, and names the one that is wrong."""
    wrong = CONFIG_MAP.replace("\ndata:", "\ndta:")
    refused = kubectl.fails("create", "-f", "-", stdin=wrong)
    assert 'strict decoding error: unknown field "dta"' in refused
    warned = kubectl.run("create", "-f", "-", "--validate=warn", stdin=wrong)
    assert 'Warning: unknown field "dta"' in warned.stderr
    assert warned.returncode == 0


def test_create_of_several_objects_makes_them_all(kubectl: Kubectl) -> None:
    """A List, and documents one after the other."""
    items = [
        {"apiVersion": "v1", "kind": kind, "metadata": {"name": "x"}}
        for kind in ("ConfigMap", "Secret", "ServiceAccount")
    ]
    listed = {"apiVersion": "v1", "kind": "List", "items": items}
    assert kubectl("create", "-f", "-", stdin=json.dumps(listed)).count(" created") == 3
    documents = "".join(f"---\n{yaml.safe_dump(item)}" for item in items)
    assert kubectl("delete", "-f", "-", stdin=documents).count(" deleted") == 3


def test_dry_run_stores_nothing(kubectl: Kubectl) -> None:
    """On the server it shows the object as it would be, and finds what is wrong with it."""
    shown = kubectl("create", "configmap", "x", "--dry-run=server", "-o", "yaml")
    assert f"namespace: {kubectl.namespace}" in shown
    assert "uid:" in shown
    assert kubectl("create", "configmap", "x", "--dry-run=client", "-o", "name") == "configmap/x"
    assert "NotFound" in kubectl.fails("get", "configmap", "x")
    refused = kubectl.fails("create", "configmap", "X", "--dry-run=server")
    assert "a lowercase RFC 1123 subdomain must consist of" in refused


# apply


def test_apply_creates_changes_and_takes_away(kubectl: Kubectl) -> None:
    """What was in the last file and is not in this one goes; what others have set stays."""
    assert kubectl("apply", "-f", "-", stdin=f"{CONFIG_MAP}  gone: x\n") == "configmap/a created"
    assert kubectl("apply", "-f", "-", stdin=f"{CONFIG_MAP}  gone: x\n") == "configmap/a unchanged"
    kubectl("patch", "cm", "a", "-p", '{"data":{"other":"1"}}')
    assert kubectl("apply", "-f", "-", stdin=f"{CONFIG_MAP}  new: w\n") == "configmap/a configured"
    assert data(kubectl) == {"k": "v", "new": "w", "other": "1"}
    assert "new: " in kubectl("apply", "view-last-applied", "cm/a")


def test_apply_of_a_type_with_lists_merges_them(kubectl: Kubectl) -> None:
    """Containers are merged by their names: the server's defaults stay where the file says nothing."""
    kubectl("create", "deployment", "d", "--image=i:1")
    shown = kubectl("create", "deployment", "d", "--image=i:2", "--dry-run=client", "-o", "yaml")
    done = kubectl.run("apply", "-f", "-", stdin=shown)
    assert done.stdout.strip() == "deployment.apps/d configured", done.stderr
    (container,) = kubectl.json("get", "deploy", "d")["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "i:2"
    assert kubectl("set", "image", "deployment/d", "i=i:3") == "deployment.apps/d image updated"
    assert kubectl("set", "serviceaccount", "deploy/d", "default").endswith("updated")


def test_diff_shows_what_apply_would_change(a: Kubectl) -> None:
    """Nothing is changed, and the exit code tells whether there is a difference."""
    assert a("diff", "-f", "-", stdin=CONFIG_MAP) == ""
    done = a.run("diff", "-f", "-", stdin=CONFIG_MAP.replace("k: v", "k: w"))
    assert done.returncode == 1, done.stderr
    assert "-  k: v\n+  k: w\n" in done.stdout
    assert data(a) == {"k": "v"}


# edit, patch, replace


def editor(folder: Path, script: str) -> dict[str, str]:
    path = folder / "editor"
    path.write_text(f'#!/bin/sh\n{script} "$1"\n')
    path.chmod(0o755)
    return {"KUBE_EDITOR": str(path)}


def test_edit_sends_what_the_editor_has_changed(a: Kubectl) -> None:
    """And nothing when it has changed nothing."""
    variables = editor(a.folder, "sed -i 's/k: v/k: edited/'")
    assert a("edit", "cm", "a", variables=variables) == "configmap/a edited"
    assert data(a) == {"k": "edited"}
    done = a.run("edit", "cm", "a", variables=editor(a.folder, "true"))
    assert "no changes made" in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("sort", "patch"),
    [
        ("strategic", {"data": {"k": "w"}}),
        ("merge", {"data": {"k": "w"}}),
        ("json", [{"op": "replace", "path": "/data/k", "value": "w"}]),
    ],
)
def test_patch_of_each_sort_changes_the_object(sort: str, patch: object, a: Kubectl) -> None:
    """The second time there is nothing left to change."""
    arguments = ("patch", "cm", "a", f"--type={sort}", "-p", json.dumps(patch))
    assert a(*arguments) == "configmap/a patched"
    assert data(a) == {"k": "w"}
    assert a(*arguments) == "configmap/a patched (no change)"


def test_patch_of_a_list_merges_it_by_its_key(kubectl: Kubectl) -> None:
    """Strategic: an account's secrets are told apart by their names."""
    kubectl("create", "serviceaccount", "x")
    kubectl("patch", "sa", "x", "-p", '{"secrets":[{"name":"one"}]}')
    kubectl("patch", "sa", "x", "-p", '{"secrets":[{"name":"two"}]}')
    found = [item["name"] for item in kubectl.json("get", "sa", "x")["secrets"]]
    assert {"one", "two"} <= set(found)
    kubectl("patch", "sa", "x", "-p", '{"secrets":[{"name":"one","$patch":"delete"}]}')
    found = [item["name"] for item in kubectl.json("get", "sa", "x")["secrets"]]
    assert "one" not in found
    assert "two" in found


def test_replace_puts_the_object_that_is_given(a: Kubectl) -> None:
    """With an old revision it is refused; with --force the object is another one."""
    first = a.json("get", "cm", "a")
    first["data"] = {"k": "replaced"}
    assert a("replace", "-f", "-", stdin=json.dumps(first)) == "configmap/a replaced"
    assert data(a) == {"k": "replaced"}
    first["data"] = {"k": "again"}
    refused = a.fails("replace", "-f", "-", stdin=json.dumps(first))
    assert "the object has been modified" in refused
    (a.folder / "a.yaml").write_text(CONFIG_MAP)
    assert a("replace", "--force", "-f", "a.yaml").endswith("configmap/a replaced")
    assert a.json("get", "cm", "a")["metadata"]["uid"] != first["metadata"]["uid"]


# label and annotate


@pytest.mark.parametrize(
    ("command", "done", "undone"),
    [
        ("label", "configmap/a labeled", "configmap/a unlabeled"),
        ("annotate", "configmap/a annotated", "configmap/a annotated"),
    ],
)
def test_labels_and_annotations_are_set_and_taken_away(
    command: str, done: str, undone: str, a: Kubectl
) -> None:
    """A value that is there is only changed when that is asked for."""
    assert a(command, "cm", "a", "x=1") == done
    assert "--overwrite is false" in a.fails(command, "cm", "a", "x=2")
    assert a(command, "cm", "a", "x=2", "--overwrite") == done
    where = "labels" if command == "label" else "annotations"
    assert a.json("get", "cm", "a")["metadata"][where]["x"] == "2"
    assert a(command, "cm", "a", "x-") == undone
    assert "x" not in a.json("get", "cm", "a")["metadata"].get(where, {})


def test_label_that_is_there_changes_nothing(a: Kubectl) -> None:
    """kubectl sees it in the answer, and says so."""
    assert a("label", "cm", "a", "x=1") == "configmap/a labeled"
    assert a("label", "cm", "a", "x=1") == "configmap/a not labeled"
    assert a("label", "cm", "--all", "y=1").count(" labeled") >= 1
    refused = a.fails("label", "cm", "a", "x=2", "--overwrite", "--resource-version=1")
    assert "the object has been modified" in refused


# delete


def test_delete_by_name_label_file_and_all(kubectl: Kubectl) -> None:
    """kubectl waits until each object is gone."""
    for name in ("a", "b", "c", "d", "e"):
        kubectl("create", "configmap", name)
    kubectl("label", "cm", "b", "l=1")
    (kubectl.folder / "c.yaml").write_text(CONFIG_MAP.replace("name: a", "name: c"))
    assert kubectl("delete", "cm", "a").startswith('configmap "a" deleted')
    assert kubectl("delete", "cm", "-l", "l=1").startswith('configmap "b" deleted')
    assert kubectl("delete", "-f", "c.yaml").startswith('configmap "c" deleted')
    deleted = kubectl("delete", "cm", "--all")
    assert 'configmap "d" deleted' in deleted
    assert 'configmap "e" deleted' in deleted
    assert 'configmaps "a" not found' in kubectl.fails("delete", "cm", "a")
    assert kubectl("delete", "cm", "a", "--ignore-not-found") == ""


@pytest.mark.parametrize(
    "options",
    [
        ["--grace-period=0", "--force"],
        ["--now"],
        ["--wait=false"],
        ["--cascade=orphan"],
        ["--cascade=background"],
    ],
)
def test_delete_in_other_ways_deletes_too(options: list[str], a: Kubectl) -> None:
    """A ConfigMap has no grace and no dependents: it is gone at once."""
    assert 'configmap "a" ' in a("delete", "cm", "a", *options)
    assert "NotFound" in a.fails("get", "cm", "a")


def test_delete_waits_for_finalizers(a: Kubectl) -> None:
    """The object is there until the last one has gone, and kubectl waits as long."""
    a("patch", "cm", "a", "-p", '{"metadata":{"finalizers":["example.com/hold"]}}')
    with a.streaming("delete", "cm", "a") as deleting:
        a.until(bool, "get", "cm", "a", "-o", "jsonpath={.metadata.deletionTimestamp}")
        assert deleting.poll() is None
        a("patch", "cm", "a", "-p", '{"metadata":{"finalizers":null}}')
        assert deleting.wait() == 0
    assert "NotFound" in a.fails("get", "cm", "a")


def test_delete_of_a_namespace_takes_less_than_a_second(kubectl: Kubectl) -> None:
    """With everything in it; nothing new can be made in it meanwhile, and nothing is left."""
    for arguments in (
        "configmap a",
        "secret generic a",
        "serviceaccount a",
        "deployment a --image=i",
    ):
        kubectl("create", *arguments.split())
    started = time.monotonic()
    assert kubectl("delete", "namespace", kubectl.namespace).endswith("deleted")
    assert time.monotonic() - started < 1.0 * SLACK
    assert kubectl("get", "cm,secret,sa,deploy", "-o", "name") == ""
    refused = kubectl.fails("create", "configmap", "b")
    assert f'namespaces "{kubectl.namespace}" not found' in refused


def test_namespace_of_the_system_cannot_be_deleted(kubectl: Kubectl) -> None:
    """Clients take it for granted."""
    assert "this namespace may not be deleted" in kubectl.fails("delete", "ns", "kube-system")


# Whose it is


def test_account_that_owns_an_object_takes_it_along(kubectl: Kubectl) -> None:
    """Garbage collection by owner, in the background."""
    kubectl("create", "serviceaccount", "owner")
    uid = kubectl.json("get", "sa", "owner")["metadata"]["uid"]
    owner = {"apiVersion": "v1", "kind": "ServiceAccount", "name": "owner", "uid": uid}
    kubectl("create", "configmap", "owned")
    kubectl("patch", "cm", "owned", "-p", json.dumps({"metadata": {"ownerReferences": [owner]}}))
    kubectl("delete", "sa", "owner")
    kubectl.until(lambda text: "configmap/owned" not in text, "get", "cm", "-o", "name")


def test_roles_are_reconciled(kubectl: Kubectl) -> None:
    """`kubectl auth reconcile` reads, creates and changes RBAC objects."""
    role: dict[str, Any] = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "r", "namespace": kubectl.namespace},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
    }
    shown = kubectl("auth", "reconcile", "-f", "-", stdin=json.dumps(role))
    assert "role.rbac.authorization.k8s.io/r reconciled" in shown
    role["rules"][0]["verbs"] = ["list"]
    kubectl("auth", "reconcile", "-f", "-", stdin=json.dumps(role))
    rules = kubectl.json("get", "role", "r")["rules"]
    assert {verb for rule in rules for verb in rule["verbs"]} == {"get", "list"}
