"""The answers of kube-apiserver 1.36 that were recorded, as far as they are about applying and about who owns what.

What the registry and the handlers say (names, revisions, options) is replayed with the other transcripts.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import pytest
from verger.store.apply import ApplyConflict, ApplyError, apply, track_update
from verger.store.fieldsets import NOTHING, FieldSet
from verger.store.managedfields import Entry
from verger.store.patches import merge
from verger.store.schemas import load
from verger.store.shapes import BuiltInShapes, Shape, structural_shape

BUILT_IN = BuiltInShapes(load())
METADATA = BUILT_IN.of("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")
CORE = "io.k8s.api.core.v1."
GROUP = "g.example.com/v1"
WIDGET = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "items": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["k"],
                    "items": {
                        "type": "object",
                        "required": ["k"],
                        "properties": {"k": {"type": "string"}, "v": {"type": "string"}},
                    },
                }
            },
        }
    },
}
KINDS: Final[Mapping[str, tuple[str, Shape]]] = {
    **{k: ("v1", BUILT_IN.of(CORE + k)) for k in ("ConfigMap", "Pod", "ServiceAccount")},
    "Widget": (GROUP, structural_shape(WIDGET, METADATA)),
}

Tree = Mapping[str, Any]


class Step(NamedTuple):
    """A request, and what the server answered."""

    verb: str
    """apply, force, create, replace, or merge (which patches)."""
    manager: str
    body: Tree
    content: Tree | None = None
    """What the answer has besides kind, apiVersion and metadata; None: it was not looked at."""
    owners: Sequence[Entry] | None = None
    """The managedFields in the answer, without times; None: they were not looked at."""
    finalizers: Sequence[str] | None = None
    error: Tree | None = None
    """The code, the message and the causes of a Status."""
    subresource: str = ""


def entry(manager: str, fields: Tree, operation: str = "Apply", **more: str) -> Entry:
    version = more.pop("version", "v1")
    made = {"manager": manager, "operation": operation, "apiVersion": version}
    return {**made, "fieldsType": "FieldsV1", "fieldsV1": fields, **more}


def conflict(owner: str, field: str) -> Tree:
    """One conflict, as a Status has it."""
    return {
        "code": 409,
        "message": f"Apply failed with 1 conflict: conflict with {owner}: {field}",
        "causes": [
            {"reason": "FieldManagerConflict", "message": f"conflict with {owner}", "field": field}
        ],
    }


def data(**values: str) -> Tree:
    return {"data": values}


def finalizers(*values: str) -> Tree:
    return {"metadata": {"finalizers": [*values]}}


def items(*pairs: str) -> Tree:
    return {"spec": {"items": [{"k": pair[0], "v": pair[1]} for pair in pairs]}}


K: Tree = {"f:data": {"f:k": {}}}
L: Tree = {"f:data": {"f:l": {}}}
PULL, S1, S2 = "f:imagePullSecrets", 'k:{"name":"s1"}', 'k:{"name":"s2"}'
M1 = entry("m1", {PULL: {}, "f:secrets": {S1: {}}})
M2 = entry("m2", {"f:secrets": {S2: {}}})
M4 = entry("m4", {"f:metadata": {"f:finalizers": {'v:"example.com/a"': {}}}})

SCENARIOS = {
    "apply-create": ("ConfigMap", [
        Step("apply", "m1", data(k="v"), data(k="v"), [entry("m1", K)]),
        Step("apply", "m1", data(k="v"), data(k="v"), [entry("m1", K)]),
        Step(
            "apply", "m1", data(k="v2", l="x"), data(k="v2", l="x"),
            [entry("m1", {"f:data": {"f:k": {}, "f:l": {}}})],
        ),
        Step("apply", "m1", data(l="x"), data(l="x"), [entry("m1", L)]),
        Step("apply", "m1", {}, {}, []),
        Step(
            "apply", "m1", {"kind": None, "apiVersion": None},
            error={"code": 400, "message": "invalid object type: /, Kind="},
        ),
        Step(
            "apply", "m1", {"metadata": {"managedFields": [{"manager": "x"}]}},
            error={"code": 400, "message": "metadata.managedFields must be nil"},
        ),
        Step(
            "apply", "m1", {"apiVersion": "v2"},
            error={"code": 400, "message": "invalid object type: /v2, Kind=ConfigMap"},
        ),
    ]),
    "apply-conflict": ("ConfigMap", [
        Step("apply", "m1", data(k="1"), data(k="1")),
        Step("apply", "m2", data(l="2"), owners=[entry("m1", K), entry("m2", L)]),
        Step("apply", "m2", data(k="9"), error=conflict('"m1"', ".data.k")),
        Step("apply", "m2", data(k="1"), data(k="1"), [entry("m1", K), entry("m2", K)]),
        Step("apply", "m1", data(k="3"), error=conflict('"m2"', ".data.k")),
        Step("force", "m1", data(k="3"), data(k="3"), [entry("m1", K)]),
        Step("apply", "m1", {}, {}, []),
    ]),
    "apply-lists": ("ServiceAccount", [
        Step(
            "apply", "m1", {"secrets": [{"name": "s1"}], "imagePullSecrets": [{"name": "p1"}]},
            {"secrets": [{"name": "s1"}], "imagePullSecrets": [{"name": "p1"}]}, [M1],
        ),
        Step(
            "apply", "m2", {"secrets": [{"name": "s2"}]},
            {"secrets": [{"name": "s1"}, {"name": "s2"}], "imagePullSecrets": [{"name": "p1"}]}, [M1, M2],
        ),
        Step(
            "apply", "m3", {"imagePullSecrets": [{"name": "p2"}]},
            error=conflict('"m1"', ".imagePullSecrets"),
        ),
        Step("apply", "m4", finalizers("example.com/a"), None, [M1, M2, M4], ["example.com/a"]),
        Step(
            "apply", "m5", finalizers("example.com/b"),
            finalizers=["example.com/a", "example.com/b"],
        ),
        Step("apply", "m4", {}, finalizers=["example.com/b"]),
        Step(
            "apply", "m1", {"secrets": [{"name": "s1"}, {"name": "s1"}]},
            error={"code": 500, "message": "failed to create typed patch object (/a; /v1, Kind=ServiceAccount): "
                   '.secrets: duplicate entries for key [name="s1"]'},
        ),
        Step(
            "apply", "m1", {"secrets": [{"namespace": "x"}]},
            error={"code": 500, "message": "failed to create typed patch object (/a; /v1, Kind=ServiceAccount): "
                   '.secrets: element 0: associative list with keys has an element that omits all key fields ["name"] '
                   "(and doesn't have default values for any key fields)"},
        ),
        Step("apply", "m5", {"metadata": {"finalizers": None}}, finalizers=[]),
    ]),
    "apply-migrate: a config map": ("ConfigMap", [
        Step(
            "create", "transcript", {"metadata": {"managedFields": []}, **data(k="v")},
            owners=[entry("transcript", {"f:data": {".": {}, "f:k": {}}}, "Update")],
        ),
        Step("merge", "transcript", {"metadata": {"managedFields": [{}]}}, owners=[]),
        Step("apply", "m1", data(k="v2"), error=conflict('"before-first-apply" using v1', ".data.k")),
        Step(
            "apply", "m1", data(l="x"),
            owners=[
                entry("m1", L),
                entry("before-first-apply", {"f:data": {".": {}, "f:k": {}}}, "Update"),
            ],
        ),
    ]),
    "apply-migrate: a pod": ("Pod", [
        Step("create", "transcript", {"spec": {"containers": [{"name": "c", "image": "example.com/app"}]}}),
        Step(
            "merge", "kubelet", {"status": {"phase": "Running"}}, None,
            [
                entry("kubelet", {"f:status": {"f:phase": {}}}, "Update", subresource="status"),
                entry("transcript", {"f:spec": {"f:containers": {'k:{"name":"c"}': {
                    ".": {}, "f:image": {}, "f:name": {}, "f:resources": {},
                }}}}, "Update"),
            ],
            subresource="status",
        ),
        Step(
            "apply", "applier", {"status": {"phase": "Failed"}},
            error=conflict('"kubelet" with subresource "status" using v1', ".status.phase"),
            subresource="status",
        ),
    ]),
    "field-manager": ("ConfigMap", [
        Step("create", "me", data(k="v"), data(k="v"), [entry("me", {"f:data": {".": {}, "f:k": {}}}, "Update")]),
        Step(
            "merge", "you", data(k="w"), None,
            [entry("me", {"f:data": {}}, "Update"), entry("you", K, "Update")],
        ),
        Step(
            "replace", "me", data(k="w", l="x"), None,
            [entry("me", {"f:data": {".": {}, "f:l": {}}}, "Update"), entry("you", K, "Update")],
        ),
        Step("merge", "transcript", {"metadata": {"managedFields": [{}]}}, owners=[]),
        Step("merge", "transcript", data(m="1"), owners=[]),
    ]),
    "field-manager: nothing to own": ("ConfigMap", [Step("create", "tool", {}, {}, [])]),
    "crd-apply": ("Widget", [
        Step(
            "apply", "m1", items("1x"), items("1x"),
            [entry("m1", {"f:spec": {"f:items": {'k:{"k":"1"}': {".": {}, "f:k": {}, "f:v": {}}}}}, version=GROUP)],
        ),
        Step("apply", "m2", items("2y"), items("1x", "2y")),
        Step("apply", "m2", items("1z"), error=conflict('"m1"', '.spec.items[k="1"].v')),
        Step("apply", "m2", {}, items("1x")),
    ]),
}  # fmt: skip
"""Scenario, and what it is about -> its steps, in the recorded order. The notes are in the transcripts."""

RESETS: Final[Mapping[tuple[str, str], FieldSet]] = {
    ("Pod", ""): FieldSet.named("status"),
    ("Pod", "status"): FieldSet.named(
        "spec", "metadata.deletionTimestamp", "metadata.ownerReferences"
    ),
}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_recorded_answers_are_given(scenario: str) -> None:
    """Objects, owners and errors are those of a real server."""
    kind, steps = SCENARIOS[scenario]
    version, shape = KINDS[kind]
    live: dict[str, Any] | None = None
    for step in steps:
        common: dict[str, Any] = {
            "shape": shape,
            "manager": step.manager,
            "api_version": version,
            "time": "2024-01-01T00:00:00Z",  # all of it happened within a second
            "subresource": step.subresource,
            "reset": RESETS.get((kind, step.subresource), NOTHING),
        }
        head = {"apiVersion": version, "kind": kind}
        metadata = {"name": "a", **step.body.get("metadata", {})}
        body = {**head, **step.body, "metadata": metadata}
        if step.error is not None:
            if step.error["code"] == 409:
                with pytest.raises(ApplyConflict) as conflicting:
                    apply(live, body, kind=kind, **common)
                found = conflicting.value.message, conflicting.value.causes()
                assert found == (step.error["message"], step.error["causes"])
            else:
                with pytest.raises(ApplyError) as refused:
                    apply(live, body, kind=kind, **common)
                expected = step.error["message"], step.error["code"]
                assert (refused.value.message, refused.value.code) == expected
            continue
        if step.verb in ("apply", "force"):
            made, entries = apply(live, body, kind=kind, force=step.verb == "force", **common)
        else:
            made = merge(live, step.body) if step.verb == "merge" else body
            made = {**head, **made}
            entries = track_update(live, made, **common)
        live = stored(made, entries)
        content = {k: v for k, v in live.items() if k not in ("apiVersion", "kind", "metadata")}
        assert step.content is None or content == step.content
        assert step.finalizers is None or live["metadata"].get("finalizers", []) == step.finalizers
        timeless = [{k: v for k, v in one.items() if k != "time"} for one in entries]
        assert step.owners is None or timeless == step.owners


def stored(made: Tree, entries: Sequence[Entry]) -> dict[str, Any]:
    """As the registry stores it: fields that are null or empty are not there."""
    obj = copy.deepcopy({key: value for key, value in made.items() if value not in (None, {}, [])})
    obj["metadata"] = {
        key: value
        for key, value in obj["metadata"].items()
        if key != "managedFields" and value not in (None, {}, [])
    }
    if entries:
        obj["metadata"]["managedFields"] = [*entries]
    if not obj.get("spec", True):
        del obj["spec"]
    return obj
