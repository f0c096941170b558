"""kubectl get, describe, wait and the commands that ask the server about itself."""

import json
import re
import time

import pytest

from tests.kubectl.conftest import SLACK, Kubectl

SECRET = """{
    "kind": "Secret",
    "apiVersion": "v1",
    "metadata": {
        "name": "mysecretname",
        "annotations": {"kubernetes.io/service-account.name": "myserviceaccount"}
    },
    "type": "kubernetes.io/service-account-token"
}"""


def test_account_refers_to_the_secret_with_its_token(kubectl: Kubectl) -> None:
    """Old clients find the token from the account; describe shows it."""
    name = kubectl.until(bool, "get", "sa", "default", "-o", "jsonpath={.secrets[*].name}")
    assert kubectl("get", "secrets", "-o", "name") == f"secret/{name}"
    assert f"Tokens:              {name}" in kubectl("describe", "serviceaccount", "default")


def test_token_secret_made_by_hand_is_filled(kubectl: Kubectl) -> None:
    """The lines that the documentation of service accounts has always had; deleting it takes the token back."""
    kubectl("create", "serviceaccount", "myserviceaccount")
    (kubectl.folder / "secret.json").write_text(SECRET)
    assert kubectl("create", "-f", "./secret.json") == "secret/mysecretname created"
    shown = kubectl.until(lambda text: "token:" in text, "describe", "secret", "mysecretname")
    assert re.search(r"^Type: +kubernetes\.io/service-account-token$", shown, re.MULTILINE)
    assert re.search(r"kubernetes\.io/service-account\.uid: [0-9a-f-]{36}", shown)
    token = re.search(r"^token: +(eyJ[\w-]+\.eyJ[\w-]+\.[\w-]+)$", shown, re.MULTILINE)
    assert token
    assert re.search(r"^ca\.crt: +\d+ bytes$", shown, re.MULTILINE)
    assert re.search(rf"^namespace: +{len(kubectl.namespace)} bytes$", shown, re.MULTILINE)
    who = kubectl(
        "auth", "whoami", "--token", token[1], variables={"KUBECONFIG": without_user(kubectl)}
    )
    assert f"system:serviceaccount:{kubectl.namespace}:myserviceaccount" in who
    assert "deleted" in kubectl("delete", "secret", "mysecretname")


def without_user(kubectl: Kubectl) -> str:
    """The path of a kubeconfig that has the server and no credentials: a client certificate goes before --token."""
    text = kubectl.kubeconfig.read_text()
    path = kubectl.folder / "anonymous"
    path.write_text(re.sub(r"  user:\n(    .*\n)+", "  user: {}\n", text))
    return str(path)


# get


@pytest.fixture
def three(kubectl: Kubectl) -> Kubectl:
    """Three ConfigMaps: their names sort in one way, their data in another."""
    for name, value in (("a", "3"), ("b", "1"), ("c", "2")):
        kubectl("create", "configmap", name, f"--from-literal=k={value}")
    kubectl("label", "configmap", "a", "b", "l=1")
    return kubectl


def names(text: str) -> list[str]:
    found = [line.rpartition("/")[2] for line in text.splitlines()]
    return [name for name in found if name != "kube-root-ca.crt"]


def test_get_prints_columns_for_people(three: Kubectl) -> None:
    """A heading and a line for each object, more of them with -o wide, none of them with --no-headers."""
    lines = three("get", "configmaps").splitlines()
    assert lines[0].split() == ["NAME", "DATA", "AGE"]
    assert lines[1].split()[:2] == ["a", "1"]
    assert three("get", "rolebindings", "-o", "wide") == ""
    three("create", "rolebinding", "x", "--clusterrole=view", "--user=bob")
    wide = three("get", "rolebindings", "-o", "wide").splitlines()
    assert wide[0].split() == ["NAME", "ROLE", "AGE", "USERS", "GROUPS", "SERVICEACCOUNTS"]
    assert wide[1].split()[:2] == ["x", "ClusterRole/view"]
    assert "bob" in wide[1]
    assert len(three("get", "cm", "--no-headers").splitlines()) >= 3


def test_get_prints_objects_for_programs(three: Kubectl) -> None:
    """JSON, YAML, names, paths, columns of one's own: they all say the same."""
    obj = three.json("get", "configmap", "a")
    assert obj["kind"] == "ConfigMap"
    assert obj["metadata"]["namespace"] == three.namespace
    assert f"uid: {obj['metadata']['uid']}" in three("get", "cm/a", "-o", "yaml")
    assert three("get", "cm/a", "cm/b", "-o", "name") == "configmap/a\nconfigmap/b"
    assert three("get", "cm/a", "-o", "jsonpath={.data.k}") == "3"
    assert three("get", "cm/a", "-o", "go-template={{.data.k}}") == "3"
    columns = "custom-columns=N:.metadata.name,V:.data.k"
    assert three("get", "cm", "b", "-o", columns).split() == ["N", "V", "b", "1"]
    items = three.json("get", "cm,sa")["items"]
    assert {item["kind"] for item in items} == {"ConfigMap", "ServiceAccount"}


def test_get_selects_and_sorts(three: Kubectl) -> None:
    """By labels, by fields, by a path; in all namespaces."""
    assert names(three("get", "cm", "-l", "l=1", "-o", "name")) == ["a", "b"]
    assert names(three("get", "cm", "-l", "l!=1", "-o", "name")) == ["c"]
    assert names(three("get", "cm", "-l", "l in (1,2)", "-o", "name")) == ["a", "b"]
    assert names(three("get", "cm", "--field-selector", "metadata.name=c", "-o", "name")) == ["c"]
    assert names(three("get", "cm", "--sort-by={.data.k}", "-l", "l", "-o", "name")) == ["b", "a"]
    shown = three("get", "cm", "-A", "--field-selector", f"metadata.namespace={three.namespace}")
    assert shown.splitlines()[0].split() == ["NAMESPACE", "NAME", "DATA", "AGE"]
    assert {line.split()[0] for line in shown.splitlines()[1:]} == {three.namespace}
    sort = "--field-selector=type=kubernetes.io/service-account-token"
    assert "default-token-" in three.until(bool, "get", "secrets", sort, "-o", "name")
    assert three("get", "secrets", "--field-selector=type=Opaque", "-o", "name") == ""


def test_get_in_pages_shows_everything(three: Kubectl) -> None:
    """A small chunk size makes kubectl follow the continue tokens."""
    assert names(three("get", "cm", "--chunk-size=1", "-o", "name")) == ["a", "b", "c"]


def test_get_of_what_is_not_there_says_so(kubectl: Kubectl) -> None:
    """An unknown kind and a missing object are two different things."""
    assert 'serviceaccounts "no" not found' in kubectl.fails("get", "sa", "no")
    assert kubectl.fails("get", "noes") == 'error: the server doesn\'t have a resource type "noes"'
    assert kubectl("get", "sa", "no", "--ignore-not-found") == ""
    done = kubectl.run("get", "pods")
    assert done.stderr.strip() == f"No resources found in {kubectl.namespace} namespace."


def test_get_watch_shows_changes_as_they_happen(kubectl: Kubectl) -> None:
    """First what is there, then a line for each change."""
    kubectl("create", "configmap", "a")
    with kubectl.streaming("get", "cm", "a", "-w", "-o", "jsonpath={.data.k}{'.\\n'}") as watch:
        assert watch.stdout is not None
        assert watch.stdout.readline() == ".\n"
        kubectl("patch", "cm", "a", "-p", '{"data":{"k":"1"}}')
        assert watch.stdout.readline() == "1.\n"
        kubectl("delete", "cm", "a")
        assert watch.stdout.readline() == "1.\n"


def test_get_watch_shows_new_objects_under_the_same_heading(kubectl: Kubectl) -> None:
    """The events of a watch are Tables, as the list before them is."""
    with kubectl.streaming("get", "serviceaccounts", "-w") as watch:
        assert watch.stdout is not None
        lines = iter(watch.stdout)
        assert next(lines).split() == ["NAME", "AGE"]
        assert next(lines).split()[0] == "default"
        kubectl("create", "serviceaccount", "new")
        assert next(line for line in lines if not line.startswith("default")).split()[0] == "new"


# wait


def test_wait_ends_when_the_condition_holds(kubectl: Kubectl) -> None:
    """A path that has its value, an object that is gone or made; a timeout is a failure."""
    phase = "--for=jsonpath={.status.phase}=Active"
    assert kubectl("wait", f"ns/{kubectl.namespace}", phase, "--timeout=30s").endswith(
        "condition met"
    )
    assert kubectl("wait", "cm/never", "--for=delete", "--timeout=30s") == ""
    failed = kubectl.fails("wait", "sa/default", "--for=jsonpath={.no}=x", "--timeout=10ms")
    assert "timed out waiting for the condition" in failed


def test_wait_for_a_deletion_sees_it(kubectl: Kubectl) -> None:
    """The object is there when the wait begins."""
    kubectl("create", "configmap", "a")
    kubectl("patch", "cm", "a", "-p", '{"metadata":{"finalizers":["example.com/hold"]}}')
    kubectl("delete", "cm", "a", "--wait=false")
    with kubectl.streaming("wait", "cm/a", "--for=delete", "--timeout=50s") as waiting:
        kubectl("patch", "cm", "a", "-p", '{"metadata":{"finalizers":null}}')
        assert waiting.wait() == 0


def test_wait_for_a_creation_sees_it(kubectl: Kubectl) -> None:
    """The object is not there when the wait begins. (kubectl 1.31 and later)"""
    with kubectl.streaming("wait", "cm/a", "--for=create", "--timeout=50s") as waiting:
        kubectl("create", "configmap", "a")
        assert waiting.wait() == 0


# describe


@pytest.mark.parametrize(
    ("what", "words"),
    [
        pytest.param("namespace/{ns}", ["Status:  +Active", "No resource quota"], id="namespace"),
        pytest.param("serviceaccount/default", ["Tokens: +default-token-", "Events: +<none>"],
                     id="account"),
        pytest.param("configmap/kube-root-ca.crt", ["BEGIN CERTIFICATE", "ca.crt:"], id="ConfigMap"),
        pytest.param("secret", ["Type: +kubernetes.io/service-account-token", "token: +eyJ"],
                     id="Secrets"),
    ],
)  # fmt: skip
def test_describe_tells_what_an_object_is(what: str, words: list[str], kubectl: Kubectl) -> None:
    """What belongs to an object is looked up too: its events, its tokens."""
    kubectl.until(lambda text: "=ZXlK" in text, "get", "secrets",
                  "-o=jsonpath={range .items[*]}={.data.token}{end}")  # fmt: skip
    shown = kubectl("describe", what.format(ns=kubectl.namespace))
    assert [word for word in words if not re.search(word, shown)] == []


def test_describe_shows_the_events_of_an_object(kubectl: Kubectl) -> None:
    """They are found by fields of the events; `kubectl events` lists them too."""
    uid = kubectl.json("get", "namespace", kubectl.namespace)["metadata"]["uid"]
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "e", "namespace": kubectl.namespace},
        "involvedObject": {
            "kind": "ConfigMap",
            "name": "kube-root-ca.crt",
            "namespace": kubectl.namespace,
            "uid": uid,
        },
        "reason": "Tested",
        "message": "by a test",
        "type": "Normal",
        "source": {"component": "test"},
    }
    kubectl("create", "-f", "-", stdin=json.dumps(event))
    assert "Tested" in kubectl("events")
    assert "by a test" in kubectl("get", "events", "--field-selector", "reason=Tested")


# The server


def test_api_resources_lists_what_is_served(kubectl: Kubectl) -> None:
    """Names, short names, versions, scopes and kinds, from one document each for /api and /apis."""
    lines = [line.split() for line in kubectl("api-resources").splitlines()]
    assert lines[0] == ["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"]
    assert ["serviceaccounts", "sa", "v1", "true", "ServiceAccount"] in lines
    assert ["namespaces", "ns", "v1", "false", "Namespace"] in lines
    group = kubectl("api-resources", "--api-group=rbac.authorization.k8s.io", "-o", "name")
    assert group.splitlines()[0] == "clusterrolebindings.rbac.authorization.k8s.io"
    assert {"v1", "apps/v1", "rbac.authorization.k8s.io/v1"} <= set(kubectl("api-versions").split())


def test_version_of_the_server_is_shown(kubectl: Kubectl) -> None:
    """kubectl can parse it."""
    server = kubectl.json("version")["serverVersion"]
    assert re.fullmatch(r"v1\.\d+\.\d+\+verger-[\w.]+", server["gitVersion"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["secret"], ["KIND: +Secret", "stringData"]),
        (["secret.data"], [r"FIELD: data <map\[string\]string>"]),
        (["deployment.spec.replicas"], ["GROUP: +apps", "FIELD: replicas <integer>"]),
        (["serviceaccount", "--output=plaintext-openapiv2"], ["KIND: +ServiceAccount", "secrets"]),
        (["role", "--recursive"], ["apiGroups", "resourceNames"]),
    ],
)
def test_explain_shows_fields(arguments: list[str], words: list[str], kubectl: Kubectl) -> None:
    """From the OpenAPI documents, the new one and the old one."""
    shown = kubectl("explain", *arguments)
    assert [word for word in words if not re.search(word, shown)] == []


def test_who_asks_and_what_he_may_do_can_be_asked(kubectl: Kubectl) -> None:
    """For oneself, and as somebody else."""
    shown = kubectl("auth", "whoami")
    assert "verger-admin" in shown
    assert "system:masters" in shown
    assert kubectl("auth", "can-i", "delete", "nodes") == "yes"
    assert kubectl.run("auth", "can-i", "get", "pods", "--as", "bob").stdout.strip() == "no"
    assert "*.*" in kubectl("auth", "can-i", "--list")
    refused = kubectl.fails("get", "secrets", "--as", "bob")
    assert 'User "bob" cannot list resource "secrets"' in refused


def test_account_may_do_what_it_was_given(kubectl: Kubectl) -> None:
    """A role and a binding, made with kubectl, count from then on."""
    account = f"system:serviceaccount:{kubectl.namespace}:default"
    assert "forbidden" in kubectl.fails("get", "cm", "--as", account)
    kubectl("create", "role", "r", "--verb=get,list", "--resource=configmaps")
    kubectl(
        "create", "rolebinding", "r", "--role=r", f"--serviceaccount={kubectl.namespace}:default"
    )
    assert "kube-root-ca.crt" in kubectl("get", "cm", "--as", account)
    assert "forbidden" in kubectl.fails("get", "secrets", "--as", account)


def test_token_that_is_asked_for_works(kubectl: Kubectl) -> None:
    """`kubectl create token`: signed on request, bound to the account, and good for the API."""
    token = kubectl("create", "token", "default")
    who = kubectl(
        "auth", "whoami", "--token", token, variables={"KUBECONFIG": without_user(kubectl)}
    )
    assert f"system:serviceaccount:{kubectl.namespace}:default" in who


def test_raw_paths_are_answered(kubectl: Kubectl) -> None:
    """What `get --raw` prints is what the server said."""
    assert kubectl("get", "--raw", "/readyz") == "ok"
    path = f"/api/v1/namespaces/{kubectl.namespace}"
    assert json.loads(kubectl("get", "--raw", path))["kind"] == "Namespace"
    body = '{"metadata":{"name":"raw"}}'
    created = kubectl("create", "--raw", f"{path}/configmaps", "-f", "-", stdin=body)
    assert json.loads(created)["metadata"]["name"] == "raw"
    assert "is running at https://127.0.0.1:" in kubectl("cluster-info")


def test_command_takes_a_tenth_of_a_second(kubectl: Kubectl) -> None:
    """Nothing that the server does is felt: the time of a command is that of starting it. The best of four counts."""

    def timed(*arguments: str) -> float:
        started = time.monotonic()
        kubectl(*arguments)
        return time.monotonic() - started

    empty = min(timed("version", "--client") for _ in range(4))
    assert min(timed("get", "namespaces") for _ in range(4)) - empty < 0.1 * SLACK
