"""Accounts that say how their pods run: what a pod receives, and which pods run with what was said before."""

import json
from typing import Any

import pytest

from tests.kubectl.conftest import Kubectl

CONTEXT = '{"runAsUser":1000,"runAsNonRoot":true}'
CONTEXT_KEY, SECRETS_KEY = "verger.dev/pod-security-context", "verger.dev/pod-secrets"


@pytest.fixture(scope="module")
def options() -> dict[str, Any]:
    return {"account_finalizer": True}


@pytest.fixture(scope="module")
def story(kubectl: Kubectl) -> Kubectl:
    """kubectl in a new namespace, in which an account says how its pods run."""
    kubectl("create", "namespace", "story")
    inside = Kubectl(kubectl.path, kubectl.kubeconfig, kubectl.folder, "story")
    inside("create", "serviceaccount", "batch")
    inside("annotate", "sa", "batch", f"{CONTEXT_KEY}={CONTEXT}", f"{SECRETS_KEY}=nfs, storage")
    return inside


def created(kubectl: Kubectl, name: str, **spec: Any) -> dict[str, Any]:
    spec = {"containers": [{"name": "c", "image": "i"}], "serviceAccountName": "batch", **spec}
    obj = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
    found = json.loads(kubectl("create", "-f", "-", "-o", "json", stdin=json.dumps(obj)))
    stored: dict[str, Any] = found["spec"]
    return stored


def test_pod_receives_what_its_account_has_for_it(story: Kubectl) -> None:
    """The security context, and the Secrets below a folder of their own."""
    spec = created(story, "receives")
    assert spec["securityContext"] == {"runAsUser": 1000, "runAsNonRoot": True}
    mounts = {m["mountPath"]: m["name"] for m in spec["containers"][0]["volumeMounts"]}
    volumes = {v["name"]: v.get("secret", {}).get("secretName") for v in spec["volumes"]}
    for secret in ("nfs", "storage"):
        assert volumes[mounts[f"/var/run/secrets/verger.dev/{secret}"]] == secret


def test_pod_keeps_what_it_brings(story: Kubectl) -> None:
    """A pod with a security context of its own receives none."""
    spec = created(story, "brings", securityContext={"runAsUser": 7})
    assert spec["securityContext"] == {"runAsUser": 7}


def test_pods_of_what_was_said_before_are_listed(story: Kubectl) -> None:
    """After a change of the account nothing is stopped; who wants to know finds the pods by a label."""
    story("create", "serviceaccount", "changing")
    story("annotate", "sa", "changing", f"{CONTEXT_KEY}={CONTEXT}")
    created(story, "before", serviceAccountName="changing")
    listed = ("get", "pods", "-l", "verger.dev/outdated=true", "-o", "name")
    changed = CONTEXT.replace("1000", "2000")
    story("annotate", "--overwrite", "sa", "changing", f"{CONTEXT_KEY}={changed}")
    assert story.until(bool, *listed) == "pod/before"
    created(story, "after", serviceAccountName="changing")
    assert story(*listed) == "pod/before"
    events = story.until(
        bool,
        "get",
        "events",
        "--field-selector=reason=PodsOutdated",
        "-o",
        "jsonpath={.items[*].message}",
    )
    assert "verger.dev/outdated=true lists them" in events
    story("annotate", "--overwrite", "sa", "changing", f"{CONTEXT_KEY}={CONTEXT}")
    assert story.until(lambda text: text == "pod/after", *listed)


def test_account_that_makes_no_sense_is_refused(story: Kubectl) -> None:
    """What no pod could receive is refused where it is written."""
    said = story.fails("annotate", "--overwrite", "sa", "default", f"{CONTEXT_KEY}=[]")
    assert "is invalid" in said
    said = story.fails("annotate", "--overwrite", "sa", "default", f"{SECRETS_KEY}=Not_A_Name")
    assert "is invalid" in said


def test_new_namespace_has_an_account_that_may_nothing(story: Kubectl) -> None:
    """Third in the old design: a new namespace gets an account; its rights are for somebody else to give."""
    assert story("get", "sa", "default", "-o", "name") == "serviceaccount/default"
    may = story.run("auth", "can-i", "list", "pods", "--as=system:serviceaccount:story:default")
    assert may.stdout.strip() == "no"
