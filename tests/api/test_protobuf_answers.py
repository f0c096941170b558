"""Answers in protobuf: the same objects as in JSON, for whoever asks for them first."""

import contextlib
import json
from typing import Any

import pytest
from verger.apiserver.protobuf import Codec, open_envelope
from verger.store.kinds import Kind, built_in
from verger.store.schemas import load

from tests.api.conftest import Answer, Api, Ask

PROTOBUF = "application/vnd.kubernetes.protobuf"
GO = {"Accept": f"{PROTOBUF},application/json"}
ONLY = {"Accept": PROTOBUF}
PARTIAL = ";as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
PARTIAL_LIST = PARTIAL.replace("PartialObjectMetadata", "PartialObjectMetadataList")
META = "k8s.io.apimachinery.pkg.apis.meta.v1"
CODEC = Codec(load())
BASE = "/api/v1/namespaces/protobuf"
KINDS = [
    kind
    for kind in built_in()
    if kind.stored and "list" in kind.verbs and kind.plural != "customresourcedefinitions"
]
CRD = {
    "metadata": {"name": "widgets.protobuf.example.com"},
    "spec": {
        "group": "protobuf.example.com",
        "scope": "Cluster",
        "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object"}},
            }
        ],
    },
}


@pytest.fixture(scope="module", autouse=True)
def objects(ask: Ask) -> None:
    """Objects of several kinds, with all that is special in protobuf."""
    ask("POST", "/api/v1/namespaces", {"metadata": {"name": "protobuf"}})
    container = {
        "name": "c",
        "image": "i",
        "resources": {"requests": {"cpu": "100m", "memory": "1Gi"}},
        "livenessProbe": {"httpGet": {"port": "web"}},
        "readinessProbe": {"httpGet": {"port": 80}},
    }
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container]}}
    for path, obj in (
        (f"{BASE}/pods", {"metadata": {"name": "p"}, "spec": template["spec"]}),
        (f"{BASE}/secrets", {"metadata": {"name": "s"}, "data": {"k": "AAEC/w=="}}),
        (
            f"{BASE}/configmaps",
            {
                "metadata": {"name": "c", "annotations": {"a": "<&é>"}, "finalizers": ["x.io/y"]},
                "data": {"u": "☃"},
                "binaryData": {"b": "/w=="},
                "immutable": False,
            },
        ),
        (
            f"{BASE}/events",
            {
                "metadata": {"name": "e"},
                "involvedObject": {"kind": "Pod", "namespace": "protobuf", "name": "p"},
                "eventTime": "2023-11-14T22:13:20.000001Z",
                "reportingComponent": "c",
                "reportingInstance": "i",
                "action": "a",
                "reason": "R",
                "type": "Normal",
            },
        ),
        (
            "/apis/apps/v1/namespaces/protobuf/deployments",
            {
                "metadata": {"name": "d"},
                "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template},
            },
        ),
    ):
        made = ask("POST", path, obj)
        assert made.status == 201, made.text


def decoded(answer: Answer, type_name: str = "") -> dict[str, Any]:
    """The object in an answer, as JSON shows it."""
    assert answer.headers["Content-Type"] == PROTOBUF
    return opened(answer.body, type_name)


def opened(data: bytes, type_name: str = "") -> dict[str, Any]:
    envelope = open_envelope(data)
    name = f"{META}.{envelope.kind}"
    decode = CODEC.decode if type_name else CODEC.decode_message
    return {
        "kind": envelope.kind,
        "apiVersion": envelope.api_version,
        **decode(type_name or name, envelope.raw),
    }


def filled(value: Any) -> Any:
    """Without what is empty: protobuf does not tell it from what is not there, and Go clients have no use for that."""
    if isinstance(value, dict):
        kept = {key: filled(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item not in ({}, [], "", None)}
    return [filled(item) for item in value] if isinstance(value, list) else value


def collection(kind: Kind) -> str:
    return (
        f"/apis/{kind.group}/{kind.version}/{kind.plural}"
        if kind.group
        else f"/api/v1/{kind.plural}"
    )


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.resource) for kind in KINDS])
def test_a_list_and_its_objects_are_the_same_as_in_json(ask: Ask, kind: Kind) -> None:
    """Of every kind; the pages of a list, too."""
    path = collection(kind)
    as_json = ask("GET", path).json
    listed = decoded(ask("GET", path, headers=GO), f"{kind.type_name}List")
    assert filled(listed.pop("items", [])) == filled(as_json.pop("items"))
    assert listed["kind"] == as_json["kind"]
    assert listed["apiVersion"] == as_json["apiVersion"]
    for item in ask("GET", path).json["items"][:3]:
        where = item["metadata"].get("namespace")
        version = path.rpartition("/")[0]
        within = f"{version}/namespaces/{where}" if where else version
        one = f"{within}/{kind.plural}/{item['metadata']['name']}"
        got = ask("GET", one, headers=ONLY)
        assert filled(decoded(got, kind.type_name)) == filled(ask("GET", one).json)


def test_there_is_something_to_compare(ask: Ask) -> None:
    """Most kinds that matter have objects in this plane."""
    filled = [kind.plural for kind in KINDS if ask("GET", collection(kind)).json["items"]]
    assert {"pods", "secrets", "events", "deployments", "clusterroles", "namespaces"} <= {*filled}


def test_writes_are_answered_in_protobuf(ask: Ask) -> None:
    """Creates, patches, deletions and reviews; a Scale is a part of something else."""
    body = {"metadata": {"name": "w"}, "data": {"a": "b"}}
    type_name = "io.k8s.api.core.v1.ConfigMap"
    made = ask("POST", f"{BASE}/configmaps", body, headers=GO)
    assert (made.status, decoded(made, type_name)["data"]) == (201, {"a": "b"})
    headers = {**GO, "Content-Type": "application/merge-patch+json"}
    patched = ask("PATCH", f"{BASE}/configmaps/w", {"data": {"a": None, "c": "d"}}, headers=headers)
    assert decoded(patched, type_name)["data"] == {"c": "d"}
    gone = decoded(ask("DELETE", f"{BASE}/configmaps/w", headers=GO))
    assert (gone["kind"], gone["status"]) == ("Status", "Success")
    assert gone["details"]["name"] == "w"
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    review = decoded(
        ask("POST", path, {}, headers=GO), "io.k8s.api.authentication.v1.SelfSubjectReview"
    )
    assert review["status"]["userInfo"]["username"] == "verger-admin"
    path = "/apis/apps/v1/namespaces/protobuf/deployments/d/scale"
    scale = decoded(ask("GET", path, headers=GO), "io.k8s.api.autoscaling.v1.Scale")
    assert scale == ask("GET", path).json


def test_errors_are_answered_in_protobuf(ask: Ask) -> None:
    """With all that a Status says."""
    answer = ask("GET", f"{BASE}/pods/none", headers=GO)
    assert answer.status == 404
    assert decoded(answer) == filled(ask("GET", f"{BASE}/pods/none").json)


@pytest.mark.parametrize(
    ("path", "form"),
    [
        pytest.param(f"{BASE}/pods/p", "PartialObjectMetadata", id="an object"),
        pytest.param(f"{BASE}/pods", "PartialObjectMetadataList", id="a list"),
    ],
)
def test_metadata_is_answered_in_protobuf(ask: Ask, path: str, form: str) -> None:
    """As for clients that want nothing else."""
    parameters = PARTIAL.replace("PartialObjectMetadata", form)
    found = decoded(ask("GET", path, headers={"Accept": PROTOBUF + parameters}))
    expected = ask("GET", path, headers={"Accept": "application/json" + parameters}).json
    for each in (expected, *expected.get("items", ())):
        if each is not expected:
            del each["kind"], each["apiVersion"]
    assert found == expected


def test_a_table_is_never_protobuf(ask: Ask) -> None:
    """The next clause counts."""
    table = "as=Table;g=meta.k8s.io;v=v1"
    accept = {"Accept": f"{PROTOBUF};{table},application/json;{table}"}
    assert ask("GET", f"{BASE}/pods", headers=accept).json["kind"] == "Table"


@pytest.mark.parametrize(
    ("accept", "status", "content_type"),
    [
        pytest.param(GO["Accept"], 200, "application/json", id="the next clause counts"),
        pytest.param(PROTOBUF, 406, PROTOBUF, id="there is no next clause"),
        pytest.param(PROTOBUF + PARTIAL_LIST, 200, PROTOBUF, id="metadata has a message"),
    ],
)
def test_custom_objects_have_no_message(
    ask: Ask, accept: str, status: int, content_type: str
) -> None:
    """Only their metadata has one."""
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    ask("POST", path, CRD)
    answer = ask("GET", "/apis/protobuf.example.com/v1/widgets")
    for _ in range(1000):
        if answer.status == 200:
            break
        answer = ask("GET", "/apis/protobuf.example.com/v1/widgets")
    answer = ask("GET", "/apis/protobuf.example.com/v1/widgets", headers={"Accept": accept})
    assert (answer.status, answer.headers["Content-Type"]) == (status, content_type)


@pytest.mark.parametrize(
    ("accept", "type_name"),
    [
        pytest.param(f"{PROTOBUF};stream=watch", "io.k8s.api.core.v1.Secret", id="objects"),
        pytest.param(f"{PROTOBUF}{PARTIAL}", "", id="metadata"),
    ],
)
def test_a_watch_in_frames(api: Api, ask: Ask, accept: str, type_name: str) -> None:
    """Each with its length before it: objects, bookmarks, and the error at the end."""
    query = "watch=true&allowWatchBookmarks=true&sendInitialEvents=true"
    path = f"{BASE}/secrets?{query}&resourceVersionMatch=NotOlderThan"
    headers = {"Accept": accept, "Authorization": f"Bearer {api.plane.token}"}
    with contextlib.closing(api.connect()) as connection:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        assert answer.headers["Content-Type"] == f"{PROTOBUF};stream=watch"
        sizes = answer.read(4)
        data = sizes + answer.read(int.from_bytes(sizes, "big"))
        sizes = answer.read(4)
        data += sizes + answer.read(int.from_bytes(sizes, "big"))
    added, bookmark = frames_of(data)
    assert (added[0], bookmark[0]) == ("ADDED", "BOOKMARK")
    secret = ask("GET", f"{BASE}/secrets/s").json
    shown = opened(added[1], type_name)
    assert shown["metadata"] == secret["metadata"]
    assert not type_name or shown == secret
    marks = opened(bookmark[1], type_name)["metadata"]["annotations"]
    assert marks == {"k8s.io/initial-events-end": "true"}
    gone = ask("GET", f"{BASE}/secrets?watch=true&resourceVersion=1", headers={"Accept": accept})
    ((type_, status),) = frames_of(gone.body)
    assert (type_, opened(status)["code"]) == ("ERROR", 410)


def frames_of(data: bytes) -> list[tuple[str, bytes]]:
    """Type and enveloped object of each event, read by hand: the event itself has no envelope."""
    out = []
    while data:
        size = int.from_bytes(data[:4], "big")
        event, data = data[4 : 4 + size], data[4 + size :]
        assert len(event) == size
        assert event[0] == 0x0A
        type_ = event[2 : 2 + event[1]]
        rest = event[2 + event[1] :]
        assert rest[0] == 0x12
        inner = _after_length(rest[1:])
        assert inner[0] == 0x0A
        out.append((type_.decode(), _after_length(inner[1:])))
    return out


def _after_length(data: bytes) -> bytes:
    """What follows a varint that must be the length of it all."""
    size = shift = 0
    for index, byte in enumerate(data):
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            assert len(data) == index + 1 + size
            return data[index + 1 :]
    raise AssertionError("no length")


def test_an_object_is_encoded_once(api: Api, ask: Ask) -> None:
    """All who read it share the bytes."""
    ask("GET", f"{BASE}/pods/p", headers=GO)
    parts = api.plane._started()
    kind = parts.kinds.core("Pod")
    row = parts.backend.get("pods", "protobuf/p")
    assert row is not None
    assert row.views is not None
    raw = row.views["protobuf", kind]
    assert raw in ask("GET", f"{BASE}/pods", headers=GO).body
    assert json.loads(row.data)["metadata"]["name"] == "p"
