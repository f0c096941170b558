"""A pod talks to the API with curl: as nobody, as the default account, and as an account with a right of its own.

The token is that of the account's Secret, as it was in the days of this story.
"""

from typing import Any

import pytest
from verger.identity.tokens import payload_of

from tests.identity.https import Api
from tests.kubectl.conftest import Kubectl
from tests.stories.conftest import Curl, as_token, token_in

POD_DEFAULT = """\
apiVersion: v1
kind: Pod
metadata:
  name: pod-default
spec:
  containers:
  - name: alpine
    image: alpine:3.9
    command:
    - "sleep"
    - "10000"
"""
DEMO_SA = """\
apiVersion: v1
kind: ServiceAccount
metadata:
  name: demo-sa
"""
RIGHTS = """\
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: list-pods
  namespace: default
rules:
- apiGroups:
  - ''
  resources:
  - pods
  verbs:
  - list
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: list-pods_demo-sa
  namespace: default
roleRef:
  kind: Role
  name: list-pods
  apiGroup: rbac.authorization.k8s.io
subjects:
- kind: ServiceAccount
  name: demo-sa
  namespace: default
"""
POD_DEMO = """\
apiVersion: v1
kind: Pod
metadata:
  name: pod-demo-sa
spec:
  serviceAccountName: demo-sa
  containers:
  - name: alpine
    image: alpine:3.9
    command:
    - "sleep"
    - "10000"
"""


@pytest.fixture(scope="module")
def options() -> dict[str, Any]:
    """Pods get the token Secret of their account."""
    return {"pod_tokens": "secret"}


@pytest.fixture(scope="module")
def default_token(kubectl: Kubectl, api: Api) -> str:
    """What pod-default finds in its token file."""
    kubectl("apply", "-f", "-", stdin=POD_DEFAULT)
    return token_in(api, "default", "pod-default")


def status(message: str, **details: str) -> dict[str, Any]:
    """The refusal as it comes."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": "Forbidden",
        "details": details,
        "code": 403,
    }


def test_every_namespace_has_its_default_account(kubectl: Kubectl) -> None:
    """`kubectl get sa --all-namespaces`, as the story begins."""
    lines = kubectl("get", "sa", "--all-namespaces", "--no-headers").splitlines()
    found = {tuple(line.split()[:2]) for line in lines}
    for namespace in ("default", "kube-public", "kube-system"):
        assert (namespace, "default") in found


def test_account_names_its_secret_and_the_secret_holds_a_token(kubectl: Kubectl) -> None:
    """ca.crt, namespace and token; the token says whose it is."""
    account = kubectl.json("get", "sa", "default")
    (reference,) = account["secrets"]
    assert reference["name"].startswith("default-token-")
    secret = kubectl.json("get", "secret", reference["name"])
    assert sorted(secret["data"]) == ["ca.crt", "namespace", "token"]
    assert secret["type"] == "kubernetes.io/service-account-token"
    template = "go-template={{.data.token | base64decode}}"
    token = kubectl("get", "secret", reference["name"], "-o", template)
    prefix = "kubernetes.io/serviceaccount"
    assert payload_of(token) == {
        "iss": "kubernetes/serviceaccount",
        f"{prefix}/namespace": "default",
        f"{prefix}/secret.name": reference["name"],
        f"{prefix}/service-account.name": "default",
        f"{prefix}/service-account.uid": account["metadata"]["uid"],
        "sub": "system:serviceaccount:default:default",
    }


def test_pod_finds_the_secret_of_its_account(kubectl: Kubectl, default_token: str) -> None:
    """A pod that names no account runs as default, with a volume of that account's Secret."""
    spec = kubectl.json("get", "pod", "pod-default")["spec"]
    assert spec["serviceAccountName"] == "default"
    (volume,) = spec["volumes"]
    (mount,) = spec["containers"][0]["volumeMounts"]
    assert volume["name"] == volume["secret"]["secretName"] == mount["name"]
    assert mount["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount"
    assert mount["readOnly"] is True


@pytest.mark.parametrize("path", ["/api", "/api/v1"])
def test_nobody_may_look_at_the_api(curl: Curl, path: str) -> None:
    """Anonymous requests are told that they may not, and as whom they were taken."""
    page = curl(path)
    assert page.status == 403
    assert page.json == status(f'forbidden: User "system:anonymous" cannot get path "{path}"')


def test_default_account_sees_the_api(curl: Curl, default_token: str) -> None:
    """Whoever is known may see what there is."""
    page = curl("/api/v1/", default_token)
    assert page.status == 200
    assert (page.json["kind"], page.json["groupVersion"]) == ("APIResourceList", "v1")
    assert {"pods", "secrets", "serviceaccounts"} <= {r["name"] for r in page.json["resources"]}


def test_default_account_may_not_list_pods(curl: Curl, default_token: str) -> None:
    """Known is not allowed; the path may end in a slash."""
    for path in ("/api/v1/namespaces/default/pods", "/api/v1/namespaces/default/pods/"):
        page = curl(path, default_token)
        assert page.status == 403
        assert page.json == status(
            'pods is forbidden: User "system:serviceaccount:default:default" cannot list resource "pods" in API group '
            '"" in the namespace "default"',
            kind="pods",
        )


def test_account_with_a_role_may(
    kubectl: Kubectl, curl: Curl, api: Api, default_token: str
) -> None:
    """demo-sa, its Role and its RoleBinding: the pods of its namespace, their list, and nothing else."""
    for text in (DEMO_SA, RIGHTS, POD_DEMO):
        kubectl("apply", "-f", "-", stdin=text)
    token = token_in(api, "default", "pod-demo-sa")
    page = curl("/api/v1/namespaces/default/pods/", token)
    assert page.status == 200
    assert page.json["kind"] == "PodList"
    names = [pod["metadata"]["name"] for pod in page.json["items"]]
    assert names == ["pod-default", "pod-demo-sa"]
    for path in (
        "/api/v1/pods",
        "/api/v1/namespaces/kube-system/pods",
        "/api/v1/namespaces/default/pods/pod-default",
        "/api/v1/namespaces/default/secrets",
        "/api/v1/namespaces/default/pods?watch=1",
    ):
        assert curl(path, token).status == 403, path
    assert curl("/api/v1/namespaces/default/pods", default_token).status == 403
    assert "pod-default" in as_token(kubectl, token)("get", "pods")
    kubectl("delete", "rolebinding", "list-pods_demo-sa")
    assert curl("/api/v1/namespaces/default/pods", token).status == 403
