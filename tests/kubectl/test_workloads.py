"""kubectl and workloads, nodes and certificates: what people type to run things, where nothing runs."""

import base64
import json
import re
import subprocess
from typing import Any

import pytest

from tests.kubectl.conftest import Kubectl


@pytest.fixture
def web(kubectl: Kubectl) -> Kubectl:
    """A deployment called web."""
    kubectl("create", "deployment", "web", "--image=i:1", "--replicas=2")
    return kubectl


def deployment(kubectl: Kubectl) -> dict[str, Any]:
    found: dict[str, Any] = kubectl.json("get", "deploy", "web")
    return found


# Workloads


def test_set_changes_one_thing_of_a_template(web: Kubectl) -> None:
    """Each by a patch of its own, which merges the container by its name."""
    for arguments in (
        "image deploy/web i=i:2",
        "env deploy/web A=1 B=2",
        "env deploy/web A-",
        "resources deploy/web --limits=cpu=200m,memory=1Gi --requests=cpu=100m",
        "serviceaccount deploy/web default",
    ):
        web("set", *arguments.split())
    spec = deployment(web)["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert (container["image"], container["env"]) == ("i:2", [{"name": "B", "value": "2"}])
    assert container["resources"] == {
        "limits": {"cpu": "200m", "memory": "1Gi"},
        "requests": {"cpu": "100m"},
    }
    assert spec["serviceAccountName"] == "default"


def test_set_changes_selectors_and_subjects(web: Kubectl) -> None:
    """Of a Service, and of a binding."""
    web("expose", "deploy/web", "--port=80", "--target-port=8080")
    web("set", "selector", "service/web", "app=other")
    (spec,) = [web.json("get", "service", "web")["spec"]]
    assert spec["selector"] == {"app": "other"}
    assert spec["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 8080}]
    web("create", "rolebinding", "b", "--clusterrole=view", "--user=u")
    web("set", "subject", "rolebinding", "b", "--group=g")
    names = [subject["name"] for subject in web.json("get", "rolebinding", "b")["subjects"]]
    assert names == ["u", "g"]


def test_rollout_changes_the_template_and_waits_for_it(web: Kubectl) -> None:
    """Nothing rolls out here, and kubectl says what it waits for."""
    assert web("rollout", "restart", "deploy/web").endswith("restarted")
    annotations = deployment(web)["spec"]["template"]["metadata"]["annotations"]
    assert "kubectl.kubernetes.io/restartedAt" in annotations
    web("rollout", "pause", "deploy/web")
    assert "can't restart paused deployment" in web.fails("rollout", "restart", "deploy/web")
    web("rollout", "resume", "deploy/web")
    assert "paused" not in deployment(web)["spec"]
    done = web.run("rollout", "status", "deploy/web", "--timeout=200ms")
    assert "Waiting for deployment spec update to be observed..." in done.stdout
    assert "timed out waiting for the condition" in done.stderr


def test_rollout_status_ends_when_somebody_reports_success(web: Kubectl) -> None:
    """A test that plays the controller writes the status, and kubectl sees it in its watch."""
    done = {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}
    with web.streaming("rollout", "status", "deploy/web", "--timeout=50s") as waiting:
        assert waiting.stdout is not None
        assert "Waiting for" in waiting.stdout.readline()
        web("patch", "deploy", "web", "--subresource=status", "--type=merge",
            "-p", json.dumps({"status": done}))  # fmt: skip
        assert "successfully rolled out" in waiting.stdout.read()
        assert waiting.wait() == 0


def revision(kubectl: Kubectl, number: int, image: str) -> None:
    """A ReplicaSet as the controller of deployments makes one for each template."""
    owner = deployment(kubectl)
    template = owner["spec"]["template"]
    labels = {**template["metadata"]["labels"], "pod-template-hash": f"h{number}"}
    spec = {"containers": [{"name": "i", "image": image}]}
    reference = {"kind": "Deployment", "name": "web", "controller": True, "apiVersion": "apps/v1"}
    metadata = {
        "name": f"web-h{number}",
        "labels": labels,
        "annotations": {"deployment.kubernetes.io/revision": str(number)},
        "ownerReferences": [{**reference, "uid": owner["metadata"]["uid"]}],
    }
    replica_set = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": metadata,
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }
    kubectl("create", "-f", "-", stdin=json.dumps(replica_set))


def test_rollout_goes_back_to_an_earlier_template(web: Kubectl) -> None:
    """The history is in ReplicaSets, which are found by the selector and their owner."""
    assert "No rollout history found." in web("rollout", "history", "deploy/web")
    revision(web, 1, "i:0")
    revision(web, 2, "i:1")
    listed = [line.split() for line in web("rollout", "history", "deploy/web").splitlines()]
    assert listed[1:] == [["REVISION", "CHANGE-CAUSE"], ["1", "<none>"], ["2", "<none>"]]
    assert "i:0" in web("rollout", "history", "deploy/web", "--revision=1")
    assert web("rollout", "undo", "deploy/web").endswith("rolled back")
    assert deployment(web)["spec"]["template"]["spec"]["containers"][0]["image"] == "i:0"
    refused = web.fails("rollout", "undo", "deploy/web", "--to-revision=9")
    assert "unable to find specified revision 9 in history" in refused


def test_delete_of_an_owner_in_three_ways(web: Kubectl) -> None:
    """In the background and in the foreground its dependents go, orphans stay and lose their owner."""
    for way in ("background", "foreground", "orphan"):
        if way != "background":
            web("create", "deployment", "web", "--image=i:1")
        revision(web, 1, "i:0")
        web("delete", "deploy", "web", f"--cascade={way}")
        if way != "orphan":
            web.until(lambda text: text == "", "get", "rs", "-o", "name")
    owners = "jsonpath={.items[*].metadata.ownerReferences}"
    web.until(lambda text: text == "", "get", "rs", "-o", owners)
    assert web("get", "rs", "-o", "name") == "replicaset.apps/web-h1"


def test_get_all_shows_the_category(web: Kubectl) -> None:
    """Kinds in the order of discovery, each with a heading."""
    web("expose", "deploy/web", "--port=80")
    web("create", "job", "j", "--image=i")
    # What kubectl knows of the kinds of other tests may be out of date.
    fresh = {"KUBECACHEDIR": str(web.folder)}
    assert web("get", "all", "-o", "name", variables=fresh).split() == [
        "service/web",
        "deployment.apps/web",
        "job.batch/j",
    ]


# Nodes


NODE = '{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "%s"}}'


def test_node_is_tainted_cordoned_and_drained(kubectl: Kubectl) -> None:
    """A drain evicts the pods of the node, through the budget that may hold them."""
    name = f"n-{kubectl.namespace}"
    kubectl("create", "-f", "-", stdin=NODE % name)
    kubectl("taint", "node", name, "k=v:NoSchedule")
    assert kubectl.json("get", "node", name)["spec"]["taints"] == [
        {"key": "k", "value": "v", "effect": "NoSchedule"}
    ]
    kubectl("taint", "node", name, "k-")
    kubectl("cordon", name)
    assert "SchedulingDisabled" in kubectl("get", "node", name)
    kubectl("uncordon", name)
    assert kubectl.json("get", "node", name)["spec"].get("unschedulable") is None
    there = json.dumps({"spec": {"nodeName": name, "serviceAccountName": ""}})
    kubectl("run", "p", "--image=i", f"--overrides={there}")
    refused = kubectl.fails("drain", name, "--dry-run=server")
    assert "cannot delete" in refused
    evicted = kubectl.run("drain", name, "--force", "--timeout=1s")
    assert f"evicting pod {kubectl.namespace}/p" in evicted.stdout + evicted.stderr
    found = kubectl.json("get", "pod", "p", "--ignore-not-found=true")
    assert found["metadata"]["deletionGracePeriodSeconds"] == 30, "its kubelet has the last word"
    kubectl("delete", "pod", "p", "--grace-period=0", "--force")
    kubectl("delete", "node", name)


NEEDS_A_NODE = {
    "top pods": "error: Metrics API not available",
    "top nodes": "error: Metrics API not available",
    "logs p -c z": "container z is not valid for pod p",
    "logs none": 'pods "none" not found',
    "exec p -- ls": "pod p does not have a host assigned",
    "attach p": "pod p does not have a host assigned",
    "cp p:/x y": "pod p does not have a host assigned",
    "port-forward p 8080:80": "pod is not running",
}


def test_what_takes_a_running_pod_says_so(kubectl: Kubectl) -> None:
    """In the words in which a server without a kubelet says it. The log of a pod that has no node is empty."""
    kubectl("run", "p", "--image=i")
    assert kubectl("logs", "p") == ""
    for arguments, says in NEEDS_A_NODE.items():
        assert says in kubectl.fails(*arguments.split()), arguments


def test_debug_adds_a_container_to_a_pod(kubectl: Kubectl) -> None:
    """Through a part of the pod of its own, as the containers of a pod are frozen."""
    kubectl("run", "p", "--image=i")
    kubectl("debug", "p", "--image=b", "-c", "d", "--attach=false")
    (added,) = kubectl.json("get", "pod", "p")["spec"]["ephemeralContainers"]
    assert (added["name"], added["image"]) == ("d", "b")


# Certificates and tokens


def test_request_for_a_certificate_is_approved_or_denied(kubectl: Kubectl) -> None:
    """Who asked is noted; a decision is dated, and stands."""
    made = subprocess.run(
        ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-keyout", "key", "-subj", "/CN=bob/O=devs"],
        cwd=kubectl.folder, check=True, capture_output=True,
    ).stdout  # fmt: skip
    (kubectl.folder / "csr").write_bytes(made)
    for name in ("yes", "no"):
        body = {
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "CertificateSigningRequest",
            "metadata": {"name": f"{kubectl.namespace}-{name}"},
            "spec": {"request": encoded(made), "signerName": "x.io/y", "usages": ["client auth"]},
        }
        kubectl("create", "-f", "-", stdin=json.dumps(body))
    kubectl("certificate", "approve", f"{kubectl.namespace}-yes")
    kubectl("certificate", "deny", f"{kubectl.namespace}-no")
    listed = [line.split() for line in kubectl("get", "csr", "--no-headers").splitlines()]
    assert [(line[0], line[3], line[5]) for line in listed] == [
        (f"{kubectl.namespace}-no", "verger-admin", "Denied"),
        (f"{kubectl.namespace}-yes", "verger-admin", "Approved"),
    ]
    shown = kubectl("describe", "csr", f"{kubectl.namespace}-yes")
    assert re.search(r"Requesting User: +verger-admin", shown)
    assert re.search(r"Common Name: +bob", shown)
    (condition,) = kubectl.json("get", "csr", f"{kubectl.namespace}-yes")["status"]["conditions"]
    assert condition["lastTransitionTime"] == condition["lastUpdateTime"]
    refused = kubectl.fails("certificate", "deny", f"{kubectl.namespace}-yes")
    assert "is already Approved" in refused
    kubectl("delete", "csr", "--all")


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_token_is_made_as_it_is_asked_for(kubectl: Kubectl) -> None:
    """For an audience, for a time, bound to an object; and refused in words."""
    kubectl("create", "secret", "generic", "s")
    token = kubectl("create", "token", "default", "--audience=x", "--duration=2h",
                    "--bound-object-kind=Secret", "--bound-object-name=s")  # fmt: skip
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert claims["aud"] == ["x"]
    assert claims["exp"] - claims["iat"] == 7200
    assert claims["kubernetes.io"]["secret"]["name"] == "s"
    assert "less than 10 minutes" in kubectl.fails("create", "token", "default", "--duration=1s")
    assert 'serviceaccounts "no" not found' in kubectl.fails("create", "token", "no")
