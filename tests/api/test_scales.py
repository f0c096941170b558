"""Scale: of everything that has replicas, their number can be read and written as an object of its own."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.conftest import Ask

BASE = "/api/v1/namespaces/scales"
APPS = "/apis/apps/v1/namespaces/scales"
POD = {
    "metadata": {"labels": {"a": "b", "c": "d"}},
    "spec": {"containers": [{"name": "c", "image": "i"}]},
}
LABELS = {"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "Exists"}]}
PLAIN = {"a": "b", "c": "d"}
PATHS = [
    pytest.param(f"{APPS}/deployments", LABELS, "a=b,c", id="deployments"),
    pytest.param(f"{APPS}/replicasets", LABELS, "a=b,c", id="replica sets"),
    pytest.param(f"{APPS}/statefulsets", LABELS, "a=b,c", id="stateful sets"),
    pytest.param(f"{BASE}/replicationcontrollers", PLAIN, "a=b,c=d", id="replication controllers"),
]
MERGE = {"Content-Type": "application/merge-patch+json"}
SCALE = f"{APPS}/deployments/d/scale"


@pytest.fixture(autouse=True)
def namespace(ask: Ask) -> Iterator[None]:
    """A namespace with a deployment of three, which is made anew for every test."""
    ask("POST", "/api/v1/namespaces", {"metadata": {"name": "scales"}})
    make(ask, f"{APPS}/deployments", LABELS)
    yield
    ask("DELETE", f"{APPS}/deployments/d")


def make(ask: Ask, path: str, selector: dict[str, Any]) -> None:
    spec = {"replicas": 3, "selector": selector, "template": POD, "serviceName": "s"}
    if "statefulsets" not in path:
        del spec["serviceName"]
    made = ask("POST", path, {"metadata": {"name": "d", "labels": {"x": "y"}}, "spec": spec})
    assert made.status == 201, made.text


@pytest.mark.parametrize(("path", "selector", "text"), PATHS)
def test_a_scale_shows_the_replicas_of_its_object(
    ask: Ask, path: str, selector: dict[str, Any], text: str
) -> None:
    """Its identity is the object's; labels and all else are not its own; the selector is text."""
    if "deployments" not in path:
        make(ask, path, selector)
    ask("PATCH", f"{path}/d/status", {"status": {"replicas": 2}}, headers=MERGE)
    metadata = ask("GET", f"{path}/d").json["metadata"]
    shown = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    assert ask("GET", f"{path}/d/scale").json == {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: metadata[key] for key in shown},
        "spec": {"replicas": 3},
        "status": {"replicas": 2, "selector": text},
    }


@pytest.mark.parametrize(
    ("method", "body", "content_type"),
    [
        pytest.param(
            "PUT",
            {"metadata": {"name": "d"}, "spec": {"replicas": 5}},
            "application/json",
            id="put",
        ),
        pytest.param("PATCH", {"spec": {"replicas": 5}}, MERGE["Content-Type"], id="merge patch"),
        pytest.param(
            "PATCH",
            {"spec": {"replicas": 5}},
            "application/strategic-merge-patch+json",
            id="strategic merge patch",
        ),
        pytest.param(
            "PATCH",
            [{"op": "replace", "path": "/spec/replicas", "value": 5}],
            "application/json-patch+json",
            id="JSON patch",
        ),
    ],
)
def test_writing_a_scale_changes_the_replicas_of_its_object(
    ask: Ask, method: str, body: Any, content_type: str
) -> None:
    """That number alone; the answer is the new Scale; the generation counts it; the part is named in managedFields."""
    before = ask("GET", f"{APPS}/deployments/d").json
    answer = ask(method, SCALE, body, headers={"Content-Type": content_type})
    assert (answer.status, answer.json["kind"]) == (200, "Scale")
    assert answer.json["spec"] == {"replicas": 5}
    after = ask("GET", f"{APPS}/deployments/d").json
    assert after["spec"] == {**before["spec"], "replicas": 5}
    assert after["metadata"]["generation"] == before["metadata"]["generation"] + 1
    assert after["metadata"]["labels"] == {"x": "y"}
    assert answer.json["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"]
    entry = next(e for e in after["metadata"]["managedFields"] if e.get("subresource") == "scale")
    assert entry["fieldsV1"] == {"f:spec": {"f:replicas": {}}}


def test_a_scale_is_applied(ask: Ask) -> None:
    """Whoever owns the replicas otherwise has to be overruled."""
    body = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "d"}}
    body |= {"spec": {"replicas": 7}}
    headers = {"Content-Type": "application/apply-patch+yaml"}
    refused = ask("PATCH", f"{SCALE}?fieldManager=m", body, headers=headers)
    assert (refused.status, refused.json["reason"]) == (409, "Conflict")
    assert refused.json["details"]["causes"][0]["field"] == ".spec.replicas"
    answer = ask("PATCH", f"{SCALE}?fieldManager=m&force=true", body, headers=headers)
    assert (answer.status, answer.json["spec"]) == (200, {"replicas": 7})
    metadata = ask("GET", f"{APPS}/deployments/d").json["metadata"]
    entry = next(each for each in metadata["managedFields"] if each["manager"] == "m")
    assert (entry["operation"], entry["subresource"], entry["apiVersion"]) == (
        "Apply",
        "scale",
        "apps/v1",
    )


def test_no_replicas_are_a_scale_too(ask: Ask) -> None:
    """An empty number is left out, as everywhere."""
    answer = ask("PATCH", SCALE, {"spec": {"replicas": 0}}, headers=MERGE)
    assert (answer.status, answer.json["spec"]) == (200, {})
    assert ask("GET", f"{APPS}/deployments/d").json["spec"]["replicas"] == 0


REFUSED = [
    pytest.param(
        {"spec": {"replicas": -1}},
        (
            422,
            'Scale.autoscaling "d" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0',
        ),
        id="fewer than none",
    ),
    pytest.param(
        {"metadata": {"resourceVersion": "1"}, "spec": {"replicas": 2}},
        (
            409,
            'Operation cannot be fulfilled on deployments.apps "d": the object has been modified; please apply your '
            "changes to the latest version and try again",
        ),
        id="an older revision",
    ),
    pytest.param(
        {"metadata": {"name": "e"}, "spec": {"replicas": 2}},
        (400, "the name of the object (e) does not match the name on the URL (d)"),
        id="another name",
    ),
]


@pytest.mark.parametrize(("change", "expected"), REFUSED)
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_scale_that_makes_no_sense_is_refused(
    ask: Ask, method: str, change: dict[str, Any], expected: tuple[int, str]
) -> None:
    """Whichever way it is written, and nothing changes."""
    before = ask("GET", f"{APPS}/deployments/d").json
    answer = ask(method, SCALE, change, headers=MERGE if method == "PATCH" else {})
    assert (answer.status, answer.json["message"]) == expected
    assert ask("GET", f"{APPS}/deployments/d").json == before


def test_a_uid_is_a_precondition(ask: Ask) -> None:
    """The Scale of an object that is no more does not scale another one."""
    body = {"metadata": {"name": "d", "uid": "u"}, "spec": {"replicas": 2}}
    answer = ask("PUT", SCALE, body)
    assert answer.status == 409
    assert answer.json["message"].startswith(
        'Operation cannot be fulfilled on deployments/scale.apps "d": Precondition failed: UID in precondition: u, '
    )


def test_a_scale_of_nothing_is_not_found(ask: Ask) -> None:
    """In the words of the object."""
    for method, body in (("GET", None), ("PUT", {"spec": {"replicas": 1}})):
        answer = ask(method, f"{APPS}/deployments/none/scale", body)
        assert (answer.status, answer.json["message"]) == (
            404,
            'deployments.apps "none" not found',
        )


def test_a_dry_run_scales_nothing(ask: Ask) -> None:
    """And shows what it would do."""
    answer = ask("PATCH", f"{SCALE}?dryRun=All", {"spec": {"replicas": 9}}, headers=MERGE)
    assert answer.json["spec"] == {"replicas": 9}
    assert ask("GET", SCALE).json["spec"] == {"replicas": 3}


def test_a_scale_as_a_table(ask: Ask) -> None:
    """As `kubectl get --subresource=scale` shows it."""
    accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
    table = ask("GET", SCALE, headers=accept).json
    names = [column["name"] for column in table["columnDefinitions"]]
    assert names == ["Name", "Desired", "Available", "Age"]
    assert table["rows"][0]["cells"][:3] == ["d", 3, 0]
