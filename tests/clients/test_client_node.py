"""@kubernetes/client-node, with which tools and operators in JavaScript are written. One process runs all of it."""

import base64
import itertools
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from verger.embed import BlockingPlane

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / ".venv/node/node_modules/@kubernetes/client-node"
DRIVER = Path(__file__).parent / "node/driver.mjs"
DEADLINE = 60.0
"""Seconds for a call; reaching them is a failure."""
MAPS = "/api/v1/namespaces/{}/configmaps"


class NodeError(Exception):
    """What the client threw."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(f"{error['name']} {error['code']}: {error['message']}")
        self.code = error["code"]
        body = json.loads(error["body"])
        self.status: dict[str, Any] = json.loads(body) if isinstance(body, str) else body
        """The Status that the server answered with."""


class Node:
    """The process, and calls to it."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self._numbers = itertools.count()

    def __call__(self, call: str, **parameters: Any) -> Any:
        """The answer to a call. Raises NodeError."""
        number = next(self._numbers)
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps({"number": number, "call": call, "parameters": parameters}) + "\n")
        stdin.flush()
        watchdog = threading.Timer(DEADLINE, self._process.kill)
        watchdog.start()
        try:
            line = stdout.readline()
        finally:
            watchdog.cancel()
        assert line, f"node has gone before it answered {call}"
        answer = json.loads(line)
        assert answer["number"] == number
        if "error" in answer:
            raise NodeError(answer["error"])
        return answer["value"]

    def maps(self, method: str, strategy: str = "", **parameters: Any) -> Any:
        """A method of CoreV1Api."""
        return self("api", api="CoreV1Api", method=method, parameters=parameters, strategy=strategy)


@pytest.fixture(scope="module")
def process() -> Iterator[Node]:
    program = shutil.which("node")
    if program is None:
        pytest.fail("node is not on the PATH: `apt-get install nodejs npm` installs it")
    if not CLIENT.is_dir():
        pytest.fail("@kubernetes/client-node is missing: `make .venv/node/.installed` installs it")
    command = [program, str(DRIVER), str(CLIENT)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        yield Node(running)
        assert running.stdin is not None
        running.stdin.close()
        assert running.wait(DEADLINE) == 0


@pytest.fixture
def node(process: Node, verger_kubeconfig: Path) -> Node:
    """The client with the administrator's kubeconfig."""
    assert process("connect", kubeconfig=str(verger_kubeconfig)) == "verger"
    return process


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {"by": "test"}}, "data": data}


# Objects


def test_objects_are_made_read_changed_and_deleted(node: Node, namespace: str) -> None:
    """The verbs of one kind, with all patch types and the errors that the client knows."""
    where = {"namespace": namespace}
    made = node.maps("createNamespacedConfigMap", **where, body=config_map("a", k="1"))
    assert made["metadata"]["uid"]
    with pytest.raises(NodeError) as taken:
        node.maps("createNamespacedConfigMap", **where, body=config_map("a"))
    assert (taken.value.code, taken.value.status["reason"]) == (409, "AlreadyExists")
    operations = [{"op": "replace", "path": "/data/k", "value": "2"}]
    for strategy, body, expected in (
        ("JsonPatch", operations, {"k": "2"}),
        ("MergePatch", {"data": {"l": "3"}}, {"k": "2", "l": "3"}),
        ("StrategicMergePatch", {"data": {"l": None}}, {"k": "2"}),
    ):
        patched = node.maps("patchNamespacedConfigMap", strategy, **where, name="a", body=body)
        assert patched["data"] == expected
    with pytest.raises(NodeError) as stale:
        node.maps("replaceNamespacedConfigMap", **where, name="a", body=made)
    assert (stale.value.code, stale.value.status["reason"]) == (409, "Conflict")
    assert node.maps("deleteNamespacedConfigMap", **where, name="a")["status"] == "Success"
    with pytest.raises(NodeError) as gone:
        node.maps("readNamespacedConfigMap", **where, name="a")
    assert gone.value.status["details"] == {"name": "a", "kind": "configmaps"}


def test_lists_are_selected_and_come_in_pages(node: Node, namespace: str) -> None:
    """Labels, fields, limit and continue go by the names that the client gives them."""
    where = {"namespace": namespace}
    for name in ("a", "b", "c"):
        node.maps("createNamespacedConfigMap", **where, body=config_map(name))
    first = node.maps("listNamespacedConfigMap", **where, limit=2, labelSelector="by=test")
    token = first["metadata"]["_continue"]
    rest = node.maps(
        "listNamespacedConfigMap", **where, limit=2, labelSelector="by=test", _continue=token
    )
    assert [item["metadata"]["name"] for item in first["items"] + rest["items"]] == ["a", "b", "c"]
    one = node.maps("listNamespacedConfigMap", **where, fieldSelector="metadata.name=b")
    assert [item["metadata"]["name"] for item in one["items"]] == ["b"]


def test_apply_makes_owns_and_sees_conflicts(node: Node, namespace: str) -> None:
    """Server-side apply, forced in the end."""
    where = {"namespace": namespace, "name": "a"}
    body = {"apiVersion": "v1", "kind": "ConfigMap", **config_map("a", k="1")}
    apply = "patchNamespacedConfigMap", "ServerSideApply"
    node.maps(*apply, **where, body=body, fieldManager="one")
    body["data"] = {"k": "2"}
    with pytest.raises(NodeError) as refused:
        node.maps(*apply, **where, body=body, fieldManager="two")
    (cause,) = refused.value.status["details"]["causes"]
    assert (cause["reason"], cause["field"]) == ("FieldManagerConflict", ".data.k")
    forced = node.maps(*apply, **where, body=body, fieldManager="two", force=True)
    assert forced["data"] == {"k": "2"}
    managers = {
        entry["manager"]: entry["operation"] for entry in forced["metadata"]["managedFields"]
    }
    assert managers == {"one": "Apply", "two": "Apply"}


def test_objects_of_any_kind_are_found_by_discovery(node: Node, namespace: str) -> None:
    """The generic API reads the lists of resources to learn where a kind lives."""
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "r", "namespace": namespace},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}],
    }
    made = node("object", method="create", parameters=[role])
    made["metadata"]["labels"] = {"x": "y"}
    assert node("object", method="replace", parameters=[made])["metadata"]["labels"] == {"x": "y"}
    patch = {**role, "metadata": {**role["metadata"], "labels": {"z": "1"}}}
    patched = node("object", method="patch", parameters=[patch])
    assert patched["metadata"]["labels"] == {"x": "y", "z": "1"}
    listed = node("object", method="list", parameters=[role["apiVersion"], "Role", namespace])
    assert [item["metadata"]["name"] for item in listed["items"]] == ["r"]
    node("object", method="delete", parameters=[role])
    with pytest.raises(NodeError) as gone:
        node("object", method="read", parameters=[role])
    assert gone.value.code == 404


def test_account_with_a_token_does_what_it_may(
    node: Node, verger: BlockingPlane, namespace: str
) -> None:
    """A bearer token from a TokenRequest: known, limited to its rights, refused when it is none."""
    request = {"spec": {"audiences": [], "expirationSeconds": 600}}
    answer = node.maps(
        "createNamespacedServiceAccountToken", name="default", namespace=namespace, body=request
    )
    token = answer["status"]["token"]
    node("token", token=token)
    review = {"api": "AuthenticationV1Api", "method": "createSelfSubjectReview"}
    who = node("api", **review, parameters={"body": {}})["status"]["userInfo"]
    assert who["username"] == f"system:serviceaccount:{namespace}:default"
    with pytest.raises(NodeError) as refused:
        node.maps("listNamespacedSecret", namespace=namespace)
    assert refused.value.status["reason"] == "Forbidden"
    assert f'User "{who["username"]}" cannot list' in refused.value.status["message"]
    forged = base64.urlsafe_b64encode(b"none").decode()
    node("token", token=f"{token.rpartition('.')[0]}.{forged}")
    with pytest.raises(NodeError) as unknown:
        node.maps("listNamespacedSecret", namespace=namespace)
    assert unknown.value.code == 401


# Watches


def test_watch_from_a_revision_that_is_gone_is_told_so(
    node: Node, verger: BlockingPlane, namespace: str
) -> None:
    """410 comes as an event; a watch with a time limit ends without an error."""
    old = node.maps("createNamespacedConfigMap", namespace=namespace, body=config_map("a"))
    verger.create(stored("b", namespace))
    verger.faults.expire_history()
    revision = old["metadata"]["resourceVersion"]
    told = node("watch", path=MAPS.format(namespace), query={"resourceVersion": revision})
    ((kind, status),) = told["events"]
    assert (kind, status["code"], status["reason"]) == ("ERROR", 410, "Expired")
    query = {"timeoutSeconds": 1, "fieldSelector": "metadata.name=a"}
    told = node("watch", path=MAPS.format(namespace), query=query)
    assert [(kind, object["metadata"]["name"]) for kind, object in told["events"]] == [
        ("ADDED", "a")
    ]


def test_watch_of_what_is_not_served_is_an_error(node: Node, namespace: str) -> None:
    """The answer is no stream, and the client says which it was."""
    told = node("watch", path=f"/api/v1/namespaces/{namespace}/nothing", query={})
    assert told["events"] == []
    assert "Not Found" in told["error"]["message"]


def stored(name: str, namespace: str, **data: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "labels": {"by": "test"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def test_informer_follows_what_happens(node: Node, verger: BlockingPlane, namespace: str) -> None:
    """First what is there, then each change, in order."""
    verger.create(stored("a", namespace))
    node("inform", id=namespace, namespace=namespace, labels="by=test")
    verger.create(stored("b", namespace, k="1"))
    verger.update(stored("b", namespace, k="2"))
    verger.delete("v1", "ConfigMap", "a", namespace)
    told = node("told", id=namespace, count=5)
    assert told == [
        ["connect"],
        ["add", "a", {}],
        ["add", "b", {"k": "1"}],
        ["update", "b", {"k": "2"}],
        ["delete", "a", {}],
    ]
    assert node("held", id=namespace) == ["b"]
    node("stop", id=namespace)


def test_informer_lists_anew_when_its_history_is_gone(
    node: Node, verger: BlockingPlane, namespace: str
) -> None:
    """410 in the middle of a watch: what has changed meanwhile is told, nothing else."""
    verger.create(stored("a", namespace))
    verger.create(stored("b", namespace))
    node("inform", id=namespace, namespace=namespace, labels="by=test")
    node("told", id=namespace, count=3)
    verger.settle()
    about = {"resource": "configmaps", "namespace": namespace}
    verger.delete("v1", "ConfigMap", "b", namespace)
    assert verger.faults.expire_history(**about) == 1
    verger.create(stored("c", namespace))
    told = node("told", id=namespace, count=3)
    while told[-1] != ["add", "c", {}]:
        told = node("told", id=namespace, count=len(told) + 1)
    # It may take the end of the stream for a clean one a few times, and connect again, before it reads of the 410.
    changes = [event for event in told[3:] if event != ["connect"]]
    assert changes == [["delete", "b", {}], ["add", "c", {}]]
    assert node("held", id=namespace) == ["a", "c"]
    assert verger.requests.of(verb="list", **about).count == 2
    node("stop", id=namespace)


def test_informer_goes_on_where_its_connection_broke(
    node: Node, verger: BlockingPlane, namespace: str
) -> None:
    """It is restarted after an error, as its users do, and misses nothing without listing again."""
    verger.create(stored("a", namespace))
    node("inform", id=namespace, namespace=namespace, labels="by=test")
    node("told", id=namespace, count=2)
    verger.settle()
    assert verger.faults.cut_watches(resource="configmaps", namespace=namespace) == 1
    (_, error) = node("told", id=namespace, count=3)[2]
    assert error["message"]
    verger.create(stored("b", namespace))
    node("restart", id=namespace)
    assert node("told", id=namespace, count=5)[3:] == [["connect"], ["add", "b", {}]]
    assert verger.requests.of(verb="list", resource="configmaps", namespace=namespace).count == 1
    node("stop", id=namespace)
