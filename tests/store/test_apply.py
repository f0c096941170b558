"""What an apply does, one sentence a row: merging, giving up, conflicts, force, sharing, and what can be wrong with it."""

import copy
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pytest
from verger.store.apply import (
    LAST_APPLIED,
    MAX_ANNOTATIONS,
    Applied,
    ApplyConflict,
    ApplyError,
    apply,
    track_update,
)
from verger.store.fieldsets import NOTHING, FieldSet
from verger.store.managedfields import Entry
from verger.store.schemas import load
from verger.store.shapes import DEDUCED, BuiltInShapes, Shape, structural_shape

BUILT_IN = BuiltInShapes(load())
METADATA = BUILT_IN.of("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")
CORE = "io.k8s.api.core.v1."
STRING = {"type": "string"}
SHAPES: Mapping[str, Shape] = {
    **{
        kind: BUILT_IN.of(CORE + kind) for kind in ("ConfigMap", "Pod", "Service", "ServiceAccount")
    },
    "Widget": structural_shape(
        {
            "type": "object",
            "properties": {
                "s": {
                    "type": "object",
                    "properties": {
                        "a": STRING,
                        "b": STRING,
                        "l": {"type": "array", "items": STRING, "x-kubernetes-list-type": "set"},
                        "m": {"type": "object", "additionalProperties": STRING},
                        "n": {"type": "string", "nullable": True},
                    },
                },
            },
        },
        METADATA,
    ),
    "Anything": DEDUCED,
}
Tree = Mapping[str, Any]


class World:
    """One object, stored as the registry stores it, and written to by many."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.live: dict[str, Any] | None = None
        self.second = 0

    def object(self, content: Tree, version: str = "v1") -> dict[str, Any]:
        metadata = {"name": "x", **content.get("metadata", {})}
        return {"apiVersion": version, "kind": self.kind, **content, "metadata": metadata}

    def _now(self) -> str:
        self.second += 1
        return f"2024-01-01T00:00:{self.second:02d}Z"

    def store(self, obj: Tree, entries: Sequence[Entry]) -> None:
        """As the type decodes it: null is absence."""
        stored = json.loads(json.dumps(drop_nulls(obj)))
        stored["metadata"].pop("managedFields", None)
        if entries:
            stored["metadata"]["managedFields"] = copy.deepcopy([*entries])
        self.live = stored

    def update(self, manager: str, content: Tree, *, version: str = "v1") -> None:
        obj = self.object(content, version)
        shape = SHAPES[self.kind]
        entries = track_update(
            self.live, obj, shape=shape, manager=manager, api_version=version, time=self._now()
        )
        self.store(obj, entries)

    def apply(
        self,
        manager: str,
        content: Tree,
        *,
        force: bool = False,
        version: str = "v1",
        subresource: str = "",
        reset: FieldSet = NOTHING,
    ) -> Applied:
        patch = self.object(content, version)
        before = copy.deepcopy((self.live, patch))
        try:
            applied = apply(
                self.live,
                patch,
                shape=SHAPES[self.kind],
                manager=manager,
                api_version=version,
                kind=self.kind,
                time=self._now(),
                force=force,
                subresource=subresource,
                reset=reset,
            )
        finally:
            assert (self.live, patch) == before
        self.store(applied.object, applied.managed_fields)
        return applied

    @property
    def content(self) -> dict[str, Any]:
        """The object without what all of them have."""
        live = copy.deepcopy(self.live or {})
        live["metadata"].pop("managedFields", None)
        live["metadata"].pop("name")
        if not live["metadata"]:
            del live["metadata"]
        return {key: value for key, value in live.items() if key not in ("apiVersion", "kind")}

    @property
    def entries(self) -> list[Entry]:
        return list((self.live or {})["metadata"].get("managedFields", []))

    @property
    def owners(self) -> dict[str, Any]:
        """The fields of each manager; an updater has a star."""
        return {
            entry["manager"] + ("*" if entry["operation"] == "Update" else ""): entry["fieldsV1"]
            for entry in self.entries
        }


def drop_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: drop_nulls(item) for key, item in value.items() if item is not None}
    return [drop_nulls(item) for item in value] if isinstance(value, list) else value


class Step(NamedTuple):
    """One write: by an applier, a forcing one, or (with a star) an updater."""

    manager: str
    content: Tree
    force: bool = False


def data(**values: str) -> dict[str, Any]:
    return {"data": values}


def spec(**fields: Any) -> dict[str, Any]:
    return {"spec": fields}


def s(**fields: Any) -> dict[str, Any]:
    return {"s": fields}


def containers(*items: Tree) -> dict[str, Any]:
    return {"spec": {"containers": list(items)}}


def played(kind: str, steps: Sequence[Step]) -> World:
    world = World(kind)
    for step in steps:
        if step.manager.endswith("*"):
            world.update(step.manager.removesuffix("*"), step.content)
        else:
            world.apply(step.manager, step.content, force=step.force)
    return world


K: Tree = {"f:data": {"f:k": {}}}
L: Tree = {"f:data": {"f:l": {}}}
C = 'k:{"name":"c"}'


@pytest.mark.parametrize(
    ("kind", "steps", "content", "owners"),
    [
        pytest.param(
            "ConfigMap", [Step("a", data(k="1"))], data(k="1"), {"a": K},
            id="an applier owns what it applies",
        ),
        pytest.param(
            "ConfigMap", [Step("a", data(k="1")), Step("b", data(l="2"))],
            data(k="1", l="2"), {"a": K, "b": L},
            id="a second one adds to it",
        ),
        pytest.param(
            "ConfigMap", [Step("a", data(k="1")), Step("b", data(k="1"))],
            data(k="1"), {"a": K, "b": K},
            id="the same value is shared",
        ),
        pytest.param(
            "ConfigMap", [Step("a", data(k="1")), Step("b", data(k="1")), Step("a", {})],
            data(k="1"), {"b": K},
            id="what is shared stays when one gives it up",
        ),
        pytest.param(
            "ConfigMap",
            [Step("a", data(k="1")), Step("b", data(k="1")), Step("a", {}), Step("b", {})],
            {}, {},
            id="and goes when the last does",
        ),
        pytest.param(
            "ConfigMap", [Step("a", data(k="1", l="2")), Step("a", data(l="2"))],
            data(l="2"), {"a": L},
            id="what an applier leaves out goes",
        ),
        pytest.param(
            "ConfigMap", [Step("a", data(k="1")), Step("a", data(k="2"))], data(k="2"), {"a": K},
            id="an applier changes what is its own",
        ),
        pytest.param(
            "ConfigMap", [Step("a", data(k="1")), Step("b", data(k="2"), force=True)],
            data(k="2"), {"b": K},
            id="force takes it from the others",
        ),
        pytest.param(
            "ConfigMap", [Step("a", data(k="1", l="2")), Step("b", data(k="2"), force=True)],
            data(k="2", l="2"), {"a": L, "b": K},
            id="but no more than that",
        ),
        pytest.param(
            "ConfigMap", [Step("u*", data(k="1")), Step("a", data(k="1"))],
            data(k="1"), {"a": K, "u*": {"f:data": {".": {}, "f:k": {}}}},
            id="an applier shares with an updater",
        ),
        pytest.param(
            "ConfigMap", [Step("u*", data(k="1")), Step("a", data(k="1")), Step("a", {})],
            data(k="1"), {"u*": {"f:data": {".": {}, "f:k": {}}}},
            id="whose field stays",
        ),
        pytest.param(
            "ConfigMap", [Step("a", data(k="1")), Step("u*", data(k="2")), Step("a", {})],
            data(k="2"), {"u*": K},
            id="an updater that took a field over keeps it",
        ),
        pytest.param(
            "ConfigMap", [Step("a", data(k="1")), Step("u*", data(k="1", z="1")), Step("a", {})],
            data(z="1"), {"u*": {"f:data": {"f:z": {}}}},
            id="an updater's field beside stays",
        ),
        pytest.param(
            "ConfigMap", [Step("u*", data(k="1")), Step("a", data(k="2"), force=True), Step("a", {})],
            {}, {"u*": {"f:data": {}}},
            id="a map that has become empty is gone, whoever made it",
        ),
        pytest.param(
            "ConfigMap", [Step("a", data(k="1")), Step("a", {"data": None})], {}, {"a": {"f:data": {}}},
            id="null gives up too",
        ),
        pytest.param(
            "ConfigMap", [Step("a", data(k="1")), Step("b", data(l="1")), Step("b", {"data": {}})],
            data(k="1"), {"a": K, "b": {"f:data": {}}},
            id="and so does an empty map",
        ),
        pytest.param(
            "Widget", [Step("a", s(a="1", m={"k": "1"})), Step("a", s(a="1", m={}, l=[]))],
            s(a="1", m={}, l=[]), {"a": {"f:s": {"f:a": {}, "f:m": {}}}},
            id="what is applied as empty is there, even if it had something before",
        ),
        pytest.param(
            "Widget", [Step("a", s(a="1", l=["x"])), Step("a", s(a="1", l=[]))],
            s(a="1", l=[]), {"a": {"f:s": {"f:a": {}}}},
            id="a list too",
        ),
        pytest.param(
            "Widget", [Step("a", s(a="1")), Step("u*", s(a="1", b="2")), Step("a", {})],
            s(b="2"), {"u*": {"f:s": {"f:b": {}}}},
            id="a field around what others own stays",
        ),
        pytest.param(
            "Pod",
            [
                Step("a", containers({"name": "c", "image": "i"}, {"name": "d", "image": "j"})),
                Step("a", containers({"name": "d", "image": "j"})),
            ],
            containers({"name": "d", "image": "j"}),
            {"a": {"f:spec": {"f:containers": {'k:{"name":"d"}': {
                ".": {}, "f:image": {}, "f:name": {},
            }}}}},
            id="an item goes",
        ),
        pytest.param(
            "Pod",
            [
                Step("a", containers({"name": "c", "image": "i"})),
                Step("b", containers({"name": "c", "tty": True})),
                Step("a", {}),
            ],
            containers({"name": "c", "tty": True}),
            {"b": {"f:spec": {"f:containers": {C: {".": {}, "f:name": {}, "f:tty": {}}}}}},
            id="of an item that another one has only the own fields go",
        ),
        pytest.param(
            "Pod",
            [
                Step("a", containers({"name": "c", "image": "i"})),
                Step("u*", containers({"name": "c", "image": "i", "tty": True})),
                Step("a", {}),
            ],
            {"spec": {}}, {},
            id="an item goes with what others have set in it, unless they have set the item",
        ),
        pytest.param(
            "Pod",
            [
                Step("a", containers({"name": "c", "env": [{"name": "A", "value": "1"}]})),
                Step("b", containers({"name": "c", "env": [{"name": "B", "value": "2"}]})),
            ],
            containers({"name": "c", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}),
            {
                name: {"f:spec": {"f:containers": {C: {".": {}, "f:name": {}, "f:env": {
                    f'k:{{"name":"{name.upper()}"}}': {".": {}, "f:name": {}, "f:value": {}},
                }}}}}
                for name in ("a", "b")
            },
            id="two add to one list inside of an item",
        ),
        pytest.param(
            "Service",
            [
                Step("u*", spec(ports=[{"port": 80, "protocol": "TCP", "targetPort": 1}])),
                Step("a", spec(ports=[{"port": 80, "targetPort": 1}])),
            ],
            spec(ports=[{"port": 80, "protocol": "TCP", "targetPort": 1}]),
            {
                "a": {"f:spec": {"f:ports": {'k:{"port":80,"protocol":"TCP"}': {
                    ".": {}, "f:port": {}, "f:targetPort": {},
                }}}},
                "u*": {"f:spec": {"f:ports": {".": {}, 'k:{"port":80,"protocol":"TCP"}': {
                    ".": {}, "f:port": {}, "f:protocol": {}, "f:targetPort": {},
                }}}},
            },
            id="a port is known by the protocol that it does not name",
        ),
        pytest.param(
            "Pod",
            [
                Step("a", spec(nodeSelector={"a": "1"}, hostNetwork=True)),
                Step("b", spec(nodeSelector={"b": "1"}), force=True),
            ],
            spec(nodeSelector={"b": "1"}, hostNetwork=True),
            {"a": {"f:spec": {"f:hostNetwork": {}}}, "b": {"f:spec": {"f:nodeSelector": {}}}},
            id="what is one part is taken as one",
        ),
        pytest.param(
            "ServiceAccount",
            [Step("a", {"imagePullSecrets": [{"name": "x"}]}), Step("a", {"imagePullSecrets": None})],
            {}, {"a": {"f:imagePullSecrets": {}}},
            id="and null replaces it",
        ),
        pytest.param(
            "ConfigMap",
            [Step("a", {"metadata": {"labels": {"l": "1"}, "annotations": {"n": "1"}}}), Step("a", {})],
            {}, {},
            id="metadata is not given up with the last label",
        ),
        pytest.param(
            "Anything",
            [Step("a", {"x": {"y": 1, "z": [1]}}), Step("b", {"x": {"w": {}}}), Step("a", {"x": {"y": 1}})],
            {"x": {"y": 1, "w": {}}},
            {"a": {"f:x": {".": {}, "f:y": {}}}, "b": {"f:x": {".": {}, "f:w": {}}}},
            id="without a schema maps merge",
        ),
        pytest.param(
            "Anything", [Step("a", {"x": {"y": 1}}), Step("a", {"x": [1]})], {"x": [1]}, {"a": {"f:x": {}}},
            id="and anything replaces anything",
        ),
        pytest.param(
            "Anything", [Step("a", {"x": 1}), Step("a", {"x": {"y": 1}})],
            {"x": {"y": 1}}, {"a": {"f:x": {".": {}, "f:y": {}}}},
            id="a map too",
        ),
    ],
)  # fmt: skip
def test_what_appliers_do_to_an_object(
    kind: str, steps: Sequence[Step], content: Tree, owners: Tree
) -> None:
    """Given these writes, the object and its owners are these; and the last apply again is a no-op."""
    world = played(kind, steps)
    assert world.content == content
    assert world.owners == owners
    last = steps[-1]
    if world.entries and not last.manager.endswith("*"):
        entries = world.live and world.live["metadata"]["managedFields"]
        again = world.apply(last.manager, last.content)
        assert world.content == content
        if None not in last.content.values():
            assert again.managed_fields is entries


# --- conflicts


@pytest.mark.parametrize(
    ("kind", "steps", "last", "message", "causes"),
    [
        pytest.param(
            "ConfigMap", [Step("a", data(k="1"))], data(k="2"),
            'Apply failed with 1 conflict: conflict with "a": .data.k',
            [('conflict with "a"', ".data.k")],
            id="with an applier",
        ),
        pytest.param(
            "ConfigMap", [Step("u*", data(k="1"))], data(k="2"),
            'Apply failed with 1 conflict: conflict with "u" using v1: .data.k',
            [('conflict with "u" using v1', ".data.k")],
            id="with an updater, in its version",
        ),
        pytest.param(
            "ConfigMap", [Step("b", data(k="1", l="1")), Step('a"', data(k="1"))], data(k="2", l="2"),
            'Apply failed with 3 conflicts: conflicts with "a\\"":\n- .data.k\nconflicts with "b":\n'
            "- .data.k\n- .data.l",
            [
                ('conflict with "a\\""', ".data.k"),
                ('conflict with "b"', ".data.k"),
                ('conflict with "b"', ".data.l"),
            ],
            id="with two, by name",
        ),
        pytest.param(
            "Pod", [Step("a", containers({"name": "c", "image": "i", "env": [{"name": "E", "value": "1"}]}))],
            containers({"name": "c", "image": "j", "env": [{"name": "E", "value": "2"}]}),
            'Apply failed with 2 conflicts: conflicts with "a":\n- .spec.containers[name="c"].image\n'
            '- .spec.containers[name="c"].env[name="E"].value',
            [
                ('conflict with "a"', '.spec.containers[name="c"].image'),
                ('conflict with "a"', '.spec.containers[name="c"].env[name="E"].value'),
            ],
            id="inside of items",
        ),
        pytest.param(
            "Pod", [Step("a", spec(nodeSelector={"a": "1"}))], spec(nodeSelector={"a": "1", "b": "2"}),
            'Apply failed with 1 conflict: conflict with "a": .spec.nodeSelector',
            [('conflict with "a"', ".spec.nodeSelector")],
            id="about what is one part",
        ),
        pytest.param(
            "ConfigMap",
            [Step("u*", data(k="1")), Step("a", data(k="2"), force=True), Step("a", {})], data(l="1"),
            'Apply failed with 1 conflict: conflict with "u" using v1: .data',
            [('conflict with "u" using v1', ".data")],
            id="about a map that its owner left without anything",
        ),
    ],
)  # fmt: skip
def test_a_value_that_somebody_else_set_is_a_conflict(
    kind: str, steps: Sequence[Step], last: Tree, message: str, causes: Sequence[tuple[str, str]]
) -> None:
    """Nothing happens, and the client hears about all of them; it may force them."""
    world = played(kind, steps)
    before = copy.deepcopy(world.live)
    with pytest.raises(ApplyConflict) as raised:
        world.apply("me", last)
    assert raised.value.message == str(raised.value) == message
    assert raised.value.causes() == [
        {"reason": "FieldManagerConflict", "message": text, "field": field}
        for text, field in causes
    ]
    assert world.live == before
    world.apply("me", last, force=True)
    world.apply("me", last)


def test_a_conflict_names_the_subresource() -> None:
    """One manager has as many entries as endpoints that it uses."""
    world = World("Pod")
    world.apply("a", {"status": {"phase": "x"}}, subresource="status")
    with pytest.raises(
        ApplyConflict, match=r'conflict with "a" with subresource "status": \.status\.phase'
    ):
        world.apply("a", {"status": {"phase": "y"}})


def test_endpoints_of_one_manager_are_two_managers() -> None:
    """What is applied to the status is not given up by an apply to the main resource."""
    world = World("Pod")
    world.apply("a", spec(nodeName="n"), reset=FieldSet.named("status"))
    world.apply("a", {"status": {"phase": "x"}}, subresource="status", reset=FieldSet.named("spec"))
    world.apply("a", {}, reset=FieldSet.named("status"))
    assert world.content == {"status": {"phase": "x"}}
    assert world.entries[0]["subresource"] == "status"


def test_what_an_endpoint_resets_is_not_owned_by_who_applies_it() -> None:
    """Nor is it a conflict, nor taken from anybody: the endpoint ignores it."""
    world = World("Pod")
    world.apply("a", {"status": {"phase": "x"}}, subresource="status")
    both = {**spec(nodeName="n"), "status": {"phase": "y"}}
    world.apply("b", both, reset=FieldSet.named("status"))
    assert world.owners == {
        "a": {"f:status": {"f:phase": {}}},
        "b": {"f:spec": {"f:nodeName": {}}},
    }


# --- times and versions


def test_times_are_those_of_the_last_change() -> None:
    """Of the object, or of what its manager owns in it."""
    world = World("ConfigMap")
    world.apply("a", data(k="1"))
    world.apply("b", data(k="1"))
    world.apply("a", data(k="1"))
    assert [entry["time"][-3:] for entry in world.entries] == ["01Z", "02Z"]
    world.apply("b", data(k="1", l="1"))
    world.apply("a", data(k="1", l="1"))
    assert [(e["manager"], e["time"][-3:]) for e in world.entries] == [("b", "04Z"), ("a", "05Z")]


def test_an_applier_is_the_same_in_every_version() -> None:
    """It gives up in one what it applied in another, and its entry is of the last."""
    world = World("ConfigMap")
    world.apply("a", data(k="1"), version="v1")
    assert world.live is not None
    world.live["apiVersion"] = "v2"
    world.apply("a", data(k="1"), version="v2")
    assert [entry["apiVersion"] for entry in world.entries] == ["v2"]
    world.apply("a", data(l="1"), version="v2")
    assert world.content == data(l="1")


def test_owners_in_other_versions_keep_their_entries() -> None:
    """Unless what they own is taken: paths of two versions of a kind are mostly the same."""
    world = World("ConfigMap")
    world.update("u", data(k="1", l="1"), version="v1")
    assert world.live is not None
    world.live["apiVersion"] = "v2"
    first = world.entries[0]
    world.apply("a", data(z="1"), version="v2")
    assert world.entries[1] == first
    with pytest.raises(ApplyConflict, match=r'conflict with "u" using v1: \.data\.k'):
        world.apply("a", data(k="2"), version="v2")
    world.apply("a", data(k="2"), version="v2", force=True)
    assert world.owners["u*"] == {"f:data": {".": {}, "f:l": {}}}


# --- objects that were not tracked


def test_what_was_there_before_belongs_to_before_first_apply() -> None:
    """An object without owners is owned by nobody in particular from its first apply on."""
    world = World("ConfigMap")
    world.store(world.object(data(k="1")), [])
    with pytest.raises(
        ApplyConflict, match=r'conflict with "before-first-apply" using v1: \.data\.k'
    ):
        world.apply("a", data(k="2"))
    assert world.entries == []
    world.apply("a", data(k="1"))
    assert world.owners == {"a": K, "before-first-apply*": {"f:data": {".": {}, "f:k": {}}}}
    assert [entry["time"][-3:] for entry in world.entries] == ["02Z", "02Z"]


def test_the_first_apply_of_nothing_starts_the_tracking() -> None:
    """Who applies nothing owns nothing, but what was there has an owner now."""
    world = World("ConfigMap")
    world.store(world.object(data(k="1")), [])
    world.apply("a", {})
    assert world.owners == {"before-first-apply*": {"f:data": {".": {}, "f:k": {}}}}


# --- from client-side apply


def annotated(content: Tree, last: Tree | str, **annotations: str) -> dict[str, Any]:
    text = last if isinstance(last, str) else json.dumps(World("ConfigMap").object(last))
    return {**content, "metadata": {"annotations": {LAST_APPLIED: text, **annotations}}}


def last_applied(world: World) -> str:
    return str(world.content["metadata"]["annotations"][LAST_APPLIED])


def test_kubectl_takes_over_what_it_applied_by_itself() -> None:
    """Values that are as the annotation says are nobody else's; the annotation follows what is applied."""
    world = World("ConfigMap")
    world.update("kubectl-client-side-apply", annotated(data(k="1", l="1"), data(k="1", l="1")))
    world.apply("kubectl", data(k="2", l="1"))
    assert world.content["data"] == {"k": "2", "l": "1"}
    assert world.owners["kubectl"] == {"f:data": {"f:k": {}, "f:l": {}}}
    assert "f:k" not in world.owners["kubectl-client-side-apply*"]["f:data"]
    assert last_applied(world) == (
        '{"apiVersion":"v1","data":{"k":"2","l":"1"},"kind":"ConfigMap","metadata":{"name":"x"}}\n'
    )


def test_kubectl_does_not_take_over_what_has_changed_since() -> None:
    """The conflicts that are left are those with others."""
    world = World("ConfigMap")
    world.update("kubectl-client-side-apply", annotated(data(k="1", l="1"), data(k="1", l="1")))
    world.update("edit", annotated(data(k="1", l="9"), data(k="1", l="1")))
    with pytest.raises(ApplyConflict) as raised:
        world.apply("kubectl", data(k="2", l="2"))
    assert raised.value.message == (
        'Apply failed with 1 conflict: conflict with "edit" using v1: .data.l'
    )


@pytest.mark.parametrize(
    ("manager", "last"),
    [
        pytest.param("other", data(k="1"), id="of another manager"),
        pytest.param("kubectl", "", id="without an annotation"),
        pytest.param("kubectl", "{", id="with an annotation that is no JSON"),
        pytest.param("kubectl", "[]", id="that is no object"),
        pytest.param("kubectl", '{"apiVersion":"v2","data":{"k":"1"}}', id="of another version"),
        pytest.param("kubectl", '{"apiVersion":"v1","data":{"k":"1"},"x":1}', id="of another type"),
        pytest.param("kubectl", '{"apiVersion":"v1","data":{"l":"1"}}', id="about other fields"),
    ],
)
def test_an_apply_has_the_conflict_all_the_same(manager: str, last: Tree | str) -> None:
    """Taking over is for kubectl, and for what it has said itself."""
    world = World("ConfigMap")
    world.update("kubectl-client-side-apply", annotated(data(k="1"), last))
    with pytest.raises(ApplyConflict, match=r"\.data\.k"):
        world.apply(manager, data(k="2"))


def test_the_annotation_leaves_itself_out() -> None:
    """It is what was applied, without what kubectl added to it, and escaped as Go does."""
    world = World("ConfigMap")
    world.update("kubectl-client-side-apply", annotated(data(k="1"), data(k="1")))
    world.apply("kubectl", annotated(data(k="<&>"), "odd", a="b"), force=True)
    assert last_applied(world) == (
        '{"apiVersion":"v1","data":{"k":"\\u003c\\u0026\\u003e"},"kind":"ConfigMap",'
        '"metadata":{"annotations":{"a":"b"},"name":"x"}}\n'
    )


def test_an_annotation_that_would_be_too_large_goes() -> None:
    """Rather than that the object cannot be stored."""
    world = World("ConfigMap")
    world.update("kubectl-client-side-apply", annotated(data(k="1"), data(k="1")))
    world.apply("kubectl", data(k="x" * MAX_ANNOTATIONS))
    assert "metadata" not in world.content or LAST_APPLIED not in str(world.content["metadata"])


def test_objects_without_the_annotation_get_none() -> None:
    """Only what was applied on the client needs it."""
    world = World("ConfigMap")
    world.apply("kubectl", data(k="1"))
    assert world.content == data(k="1")


# --- what is refused


@pytest.mark.parametrize(
    ("kind", "patch", "code", "message"),
    [
        pytest.param("ConfigMap", {}, 400, "invalid object type: /, Kind=", id="no type"),
        pytest.param(
            "ConfigMap", {"apiVersion": "v1"}, 400, "invalid object type: /v1, Kind=", id="no kind"
        ),
        pytest.param(
            "ConfigMap", {"apiVersion": "apps/v1", "kind": "ConfigMap"}, 400,
            "invalid object type: apps/v1, Kind=ConfigMap", id="another group",
        ),
        pytest.param(
            "ConfigMap", {"apiVersion": 1, "kind": ["x"]}, 400, "invalid object type: /, Kind=", id="odd types"
        ),
        pytest.param(
            "ConfigMap", {"metadata": {"managedFields": []}}, 400, "metadata.managedFields must be nil",
            id="managedFields",
        ),
        pytest.param(
            "ConfigMap", {"metadata": {"name": "n", "namespace": "ns"}, "dta": {}}, 500,
            "failed to create typed patch object (ns/n; /v1, Kind=ConfigMap): .dta: field not declared in schema",
            id="an unknown field",
        ),
        pytest.param(
            "ConfigMap", {"data": {"a": 1, "b": 2}}, 500,
            "failed to create typed patch object (/; /v1, Kind=ConfigMap): errors:\n"
            "  .data.a: expected string, got &value.valueUnstructured{Value:1}\n"
            "  .data.b: expected string, got &value.valueUnstructured{Value:2}",
            id="several mistakes",
        ),
        pytest.param(
            "ConfigMap", {"metadata": [1]}, 500,
            "failed to create typed patch object (/; /v1, Kind=ConfigMap): .metadata: expected map, got &{[1]}",
            id="metadata that is none",
        ),
    ],
)  # fmt: skip
def test_what_is_not_of_the_kind_is_refused(
    kind: str, patch: Tree, code: int, message: str
) -> None:
    """In upstream's words, which clients match; with its codes."""
    typed = {"apiVersion": "v1", "kind": kind}
    bare = not patch or "apiVersion" in patch
    with pytest.raises(ApplyError) as raised:
        apply(
            None,
            patch if bare else {**typed, **patch},
            shape=SHAPES[kind],
            manager="a",
            api_version="v1",
            kind=kind,
            time="2024-01-01T00:00:00Z",
        )
    assert (raised.value.code, raised.value.message) == (code, message)
    assert str(raised.value) == message


def test_null_for_managed_fields_is_none() -> None:
    """Clients write what they have."""
    World("ConfigMap").apply("a", {"metadata": {"managedFields": None}})


def test_an_object_that_cannot_be_divided_cannot_be_applied_to() -> None:
    """Where updates let it pass, nothing can be merged."""
    world = World("ServiceAccount")
    world.update("u", {"secrets": [{"namespace": "x"}]})
    with pytest.raises(ApplyError) as raised:
        world.apply("a", {"secrets": [{"name": "s"}]})
    assert raised.value.code == 500
    assert raised.value.message.startswith(
        "failed to create typed live object (/x; /v1, Kind=ServiceAccount): element 0: associative list"
    )


def test_an_object_without_metadata_is_merged() -> None:
    """Who it is about is for the caller to judge."""
    patch = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"k": "1"}}
    how: dict[str, Any] = {"shape": SHAPES["ConfigMap"], "manager": "a", "api_version": "v1"}
    made = apply(None, patch, kind="ConfigMap", time="2024-01-01T00:00:00Z", **how)
    assert made.object == {**patch, "metadata": {}}


def test_values_stay_as_they_were_applied() -> None:
    """The type gives them their one spelling afterwards, and takes null for what it means."""
    world = World("Pod")
    made = world.apply(
        "a", containers({"name": "c", "resources": {"limits": {"cpu": 1.0}}, "tty": None})
    )
    item = made.object["spec"]["containers"][0]
    assert item == {"name": "c", "resources": {"limits": {"cpu": 1.0}}, "tty": None}


def test_lists_with_an_item_twice_can_be_applied_to() -> None:
    """Such items are one part: who applies the item replaces all of them."""
    world = World("Pod")
    twice = [{"name": "E", "value": "1"}, {"name": "E", "value": "2"}, {"name": "F"}]
    world.update("u", containers({"name": "c", "env": twice}))
    world.apply("a", containers({"name": "c", "tty": True}))
    assert world.content["spec"]["containers"][0]["env"] == twice
    one = containers({"name": "c", "env": [{"name": "E", "value": "3"}]})
    with pytest.raises(ApplyConflict, match=r'\.env\[name="E"\]$'):
        world.apply("b", one)
    world.apply("b", one, force=True)
    assert world.content["spec"]["containers"][0]["env"] == [
        {"name": "E", "value": "3"},
        {"name": "F"},
    ]
