"""kubectl scale and autoscale, quotas and limits."""

import pytest

from tests.kubectl.conftest import Kubectl

COMMON = "--replicas=2"
WORKLOADS = """\
apiVersion: apps/v1
kind: {kind}
metadata:
  name: w
spec:
  replicas: 1
  serviceName: s
  selector: {{matchLabels: {{a: b}}}}
  template:
    metadata: {{labels: {{a: b}}}}
    spec: {{containers: [{{name: c, image: i}}]}}
"""


def replicas(kubectl: Kubectl, what: str) -> int:
    found: int = kubectl.json("get", what)["spec"]["replicas"]
    return found


@pytest.mark.parametrize("kind", ["Deployment", "ReplicaSet", "StatefulSet"])
def test_scale(kubectl: Kubectl, kind: str) -> None:
    """Sets the replicas, and only if there are as many as expected."""
    text = WORKLOADS.format(kind=kind)
    if kind != "StatefulSet":
        text = text.replace("  serviceName: s\n", "")
    kubectl("create", "-f", "-", stdin=text)
    what = f"{kind.lower()}/w"
    assert "scaled" in kubectl("scale", what, COMMON)
    assert replicas(kubectl, what) == 2
    refused = kubectl.run("scale", what, "--current-replicas=7", "--replicas=3")
    assert refused.returncode != 0
    assert "Expected replicas to be 7, was 2" in refused.stderr
    assert replicas(kubectl, what) == 2


def test_autoscale(kubectl: Kubectl) -> None:
    """Looks whether it can be scaled, and makes an autoscaler of it."""
    kubectl("create", "deployment", "d", "--image=i")
    kubectl("autoscale", "deployment", "d", "--min=2", "--max=5")
    spec = kubectl.json("get", "hpa", "d")["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 5)
    assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}


def test_the_scale_of_a_deployment(kubectl: Kubectl) -> None:
    """As any other part of it: got, and patched."""
    kubectl("create", "deployment", "d", "--image=i")
    kubectl(
        "patch",
        "deploy",
        "d",
        "--subresource=scale",
        "--type=merge",
        "-p",
        '{"spec":{"replicas":4}}',
    )
    assert kubectl("get", "deploy", "d", "--subresource=scale", "--no-headers").split()[:2] == [
        "d",
        "4",
    ]


def test_quota(kubectl: Kubectl) -> None:
    """Made, counted, shown and obeyed."""
    kubectl("create", "quota", "q", "--hard=services=1,count/deployments.apps=1")
    kubectl("create", "service", "clusterip", "a", "--tcp=80")
    kubectl.until(
        lambda said: said == "1", "get", "quota", "q", "-o", "jsonpath={.status.used.services}"
    )
    refused = kubectl.fails("create", "service", "clusterip", "b", "--tcp=80")
    assert (
        "exceeded quota: q, requested: services=1, used: services=1, limited: services=1" in refused
    )
    assert "count/deployments.apps" in kubectl("describe", "quota", "q")


LIMITS = """\
apiVersion: v1
kind: LimitRange
metadata: {name: l}
spec:
  limits:
  - {type: Container, default: {cpu: 200m}, defaultRequest: {cpu: 100m}, max: {cpu: 500m}}
"""


def test_limits(kubectl: Kubectl) -> None:
    """A pod gets what it does not say; one that wants more than there may be is refused."""
    kubectl("create", "-f", "-", stdin=LIMITS)
    kubectl("run", "p", "--image=i")
    (container,) = kubectl.json("get", "pod", "p")["spec"]["containers"]
    assert container["resources"] == {"limits": {"cpu": "200m"}, "requests": {"cpu": "100m"}}
    more = '{"spec": {"containers": [{"name": "q", "image": "i", "resources": {"limits": {"cpu": 2}}}]}}'
    refused = kubectl.fails("run", "q", "--image=i", f"--overrides={more}")
    assert (
        'pods "q" is forbidden: maximum cpu usage per Container is 500m, but limit is 2' in refused
    )
