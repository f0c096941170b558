"""How types divide values into parts: built-in types, structural schemas, values without a schema; and what follows
from it for what an object specifies, what a change touches, and what is wrong with an applied object.
"""

import copy
from collections.abc import Mapping
from typing import Any

import pytest
from verger.store.comparing import ShapeError, compare, reconciled, same, specified
from verger.store.fieldsets import FieldSet
from verger.store.merging import merge, problems
from verger.store.schemas import load
from verger.store.shapes import DEDUCED, OPAQUE, BuiltInShapes, Shape, structural_shape

SCHEMAS = load()
BUILT_IN = BuiltInShapes(SCHEMAS)
METADATA = BUILT_IN.of("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")
CORE = "io.k8s.api.core.v1."
STRING = {"type": "string"}

Schema = Mapping[str, Any]


def core(kind: str) -> Shape:
    return BUILT_IN.of(CORE + kind)


def custom(**properties: Schema) -> Shape:
    return structural_shape({"type": "object", "properties": properties}, METADATA)


def at(shape: Shape, *names: str) -> Shape:
    """The shape at a place; * is an item of a list."""
    for name in names:
        shape = shape.item if name == "*" else shape.members[name]
    return shape


def shown(shape: Shape) -> str:
    """A shape in a word."""
    if shape.sort == "list" and not shape.atomic:
        return f"map by {','.join(shape.keys)}" if shape.keys else "set"
    return f"atomic {shape.sort}" if shape.atomic else shape.sort


# --- shapes


@pytest.mark.parametrize(
    ("kind", "path", "expected"),
    [
        pytest.param("Pod", "metadata", "map", id="metadata is divided"),
        pytest.param("Pod", "metadata.labels", "map", id="labels are"),
        pytest.param("Pod", "metadata.finalizers", "set", id="finalizers are a set"),
        pytest.param("Pod", "metadata.ownerReferences", "map by uid", id="owners are known by uid"),
        pytest.param("Pod", "metadata.ownerReferences.*", "atomic map", id="and are one part each"),
        pytest.param("Pod", "metadata.generation", "numeric", id="a number"),
        pytest.param("Pod", "metadata.creationTimestamp", "untyped", id="a time"),
        pytest.param("Pod", "spec.containers", "map by name", id="containers are known by name"),
        pytest.param(
            "Pod", "spec.containers.*.ports", "map by containerPort,protocol",
            id="ports by number and protocol",
        ),
        pytest.param("Pod", "spec.containers.*.args", "atomic list", id="arguments are one part"),
        pytest.param("Pod", "spec.containers.*.tty", "boolean", id="a boolean"),
        pytest.param(
            "Pod", "spec.containers.*.resources.limits.cpu", "untyped", id="a quantity"
        ),
        pytest.param(
            "Pod", "spec.containers.*.livenessProbe.httpGet.port", "untyped",
            id="a number or a string",
        ),
        pytest.param("Pod", "spec.nodeSelector", "atomic map", id="a map that its field makes one"),
        pytest.param("Pod", "spec.tolerations", "atomic list", id="tolerations are one part"),
        pytest.param("Secret", "data.x", "string", id="bytes are text"),
        pytest.param("ServiceAccount", "secrets", "map by name", id="secrets of an account"),
        pytest.param("ServiceAccount", "secrets.*", "atomic map", id="are references, one part each"),
        pytest.param("ServiceAccount", "imagePullSecrets", "atomic list", id="unlike pull secrets"),
        pytest.param("PodTemplate", "template.spec.containers", "map by name", id="templates too"),
        pytest.param("PersistentVolume", "spec.claimRef", "map", id="a field that divides its type"),
        pytest.param("Event", "involvedObject", "atomic map", id="which other fields do not"),
        pytest.param("ConfigMap", "dta", "undeclared", id="a field that there is not"),
        pytest.param("Service", "spec.selector", "atomic map", id="the selector of a service"),
    ],
)  # fmt: skip
def test_built_in_types_say_how_they_are_divided(kind: str, path: str, expected: str) -> None:
    """As the types of Kubernetes 1.36 say."""
    assert shown(at(core(kind), *path.split("."))) == expected


def test_every_built_in_type_has_a_shape() -> None:
    """Whatever it refers to, itself included; a shape is made once."""
    for name in SCHEMAS.names():
        shape = BUILT_IN.of(name)
        assert BUILT_IN.of(name) is shape
        for field in SCHEMAS.type(name).fields:
            assert at(shape, field).sort != "undeclared" or shape is OPAQUE
    props = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"
    assert at(BUILT_IN.of(props), "not", "properties", "x", "items") is DEDUCED


def test_a_type_that_there_is_not_has_no_shape() -> None:
    """The caller hears of it, instead of having everything undeclared."""
    with pytest.raises(KeyError):
        BUILT_IN.of("io.k8s.api.core.v1.Nothing")


WIDGET: Schema = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "s": STRING,
                "n": {"type": "integer"},
                "f": {"type": "number"},
                "b": {"type": "boolean"},
                "t": {"type": "string", "format": "date-time"},
                "y": {"type": "string", "format": "byte"},
                "is": {"x-kubernetes-int-or-string": True},
                "l": {"type": "array", "items": STRING},
                "set": {"type": "array", "items": STRING, "x-kubernetes-list-type": "set"},
                "m": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["k", "p"],
                    "items": {
                        "type": "object",
                        "properties": {"k": STRING, "p": {"type": "string", "default": "x"}},
                    },
                },
                "atom": {
                    "type": "object",
                    "x-kubernetes-map-type": "atomic",
                    "properties": {"a": STRING},
                },
                "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "bare": {"type": "object"},
                "closed": {"type": "object", "additionalProperties": False},
                "open": {"type": "object", "additionalProperties": True},
                "map": {"type": "object", "additionalProperties": {"type": "integer"}},
                "some": {
                    "type": "object",
                    "x-kubernetes-preserve-unknown-fields": True,
                    "properties": {"in": {"type": "object", "properties": {"a": STRING}}},
                },
                "pod": {
                    "type": "object",
                    "x-kubernetes-embedded-resource": True,
                    "properties": {"spec": {"type": "object"}},
                },
                "untyped": {"properties": {"a": STRING}},
            },
        },
    },
}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param("apiVersion", "string", id="every object has an apiVersion"),
        pytest.param("metadata.finalizers", "set", id="and metadata"),
        pytest.param("spec", "map", id="fields are divided"),
        pytest.param("other", "undeclared", id="others are not declared"),
        pytest.param("spec.n", "numeric", id="an integer"),
        pytest.param("spec.f", "numeric", id="a number"),
        pytest.param("spec.b", "boolean", id="a boolean"),
        pytest.param("spec.t", "untyped", id="a string with a format is any scalar"),
        pytest.param("spec.y", "string", id="but for bytes"),
        pytest.param("spec.is", "deduced", id="a number or a string"),
        pytest.param("spec.l", "atomic list", id="a list is one part"),
        pytest.param("spec.set", "set", id="unless it is a set"),
        pytest.param("spec.m", "map by k,p", id="or a map"),
        pytest.param("spec.m.*.k", "string", id="whose items are divided"),
        pytest.param("spec.atom", "atomic map", id="an atomic map"),
        pytest.param("spec.any.x", "deduced", id="a map of whatever"),
        pytest.param("spec.bare.x", "deduced", id="a map of which nothing is said"),
        pytest.param("spec.closed.x", "undeclared", id="a map that has no more fields"),
        pytest.param("spec.open.x", "deduced", id="one that has any"),
        pytest.param("spec.map.x", "numeric", id="one that has numbers"),
        pytest.param("spec.some.x", "deduced", id="one with some fields known"),
        pytest.param("spec.some.in.x", "deduced", id="which goes for all that is below"),
        pytest.param("spec.some.in.a", "string", id="except for what is known"),
        pytest.param("spec.pod.metadata.finalizers", "set", id="an object in the object"),
        pytest.param("spec.pod.kind", "string", id="with its type"),
        pytest.param("spec.untyped.a", "string", id="a map without a type"),
    ],
)
def test_structural_schemas_say_how_they_are_divided(path: str, expected: str) -> None:
    """By the x-kubernetes extensions. upstream: kube-openapi, pkg/schemaconv/openapi.go"""
    assert shown(at(structural_shape(WIDGET, METADATA), *path.split("."))) == expected


def test_without_a_schema_the_value_says_it() -> None:
    """Maps are divided down to their leaves, and lists are one part."""
    obj = {"a": {"b": [1, {"c": 2}], "d": {}, "e": None}, "f": [], "g": "x"}
    assert specified(DEDUCED, obj) == FieldSet.parse(
        {"f:a": {".": {}, "f:b": {}, "f:d": {}, "f:e": {}}, "f:f": {}, "f:g": {}}
    )


# --- what an object specifies


@pytest.mark.parametrize(
    ("shape", "obj", "fields"),
    [
        pytest.param(
            core("ConfigMap"), {"data": {"k": "v"}}, {"f:data": {"f:k": {}}},
            id="keys of a map, and not the field that it is in",
        ),
        pytest.param(core("ConfigMap"), {"data": {}}, {"f:data": {}}, id="an empty map"),
        pytest.param(core("ConfigMap"), {"data": None}, {"f:data": {}}, id="null"),
        pytest.param(core("ConfigMap"), {"data": {"k": None}}, {"f:data": {"f:k": {}}}, id="null in a map"),
        pytest.param(core("ServiceAccount"), {"secrets": []}, {}, id="nothing by an empty list"),
        pytest.param(
            core("ServiceAccount"), {"imagePullSecrets": []}, {"f:imagePullSecrets": {}},
            id="unless it is one part",
        ),
        pytest.param(
            core("Pod"), {"spec": {"containers": [{"name": "c", "args": ["x"], "resources": {}}]}},
            {"f:spec": {"f:containers": {'k:{"name":"c"}': {
                ".": {}, "f:name": {}, "f:args": {}, "f:resources": {},
            }}}},
            id="an item, and what is in it",
        ),
        pytest.param(
            core("Pod"), {"spec": {"containers": [{"ports": [{"containerPort": 80}, {}]}]}},
            {"f:spec": {"f:containers": {'k:{"name":""}': {".": {}, "f:ports": {
                'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}},
                'k:{"containerPort":0,"protocol":"TCP"}': {},
            }}}}},
            id="keys that are left out have their defaults",
        ),
        pytest.param(
            core("Pod"), {"spec": {"imagePullSecrets": [{}]}},
            {"f:spec": {"f:imagePullSecrets": {'k:{"name":""}': {}}}},
            id="the name of a pull secret too",
        ),
        pytest.param(
            structural_shape(WIDGET, METADATA), {"spec": {"m": [{"k": "1"}, {"p": "z"}]}},
            {"f:spec": {"f:m": {
                'k:{"k":"1","p":"x"}': {".": {}, "f:k": {}}, 'k:{"p":"z"}': {".": {}, "f:p": {}},
            }}},
            id="a key without a default is not part of what the item is known by",
        ),
        pytest.param(
            structural_shape(WIDGET, METADATA), {"spec": {"is": 5, "any": {"a": {"b": 1}}}},
            {"f:spec": {"f:is": {}, "f:any": {"f:a": {".": {}, "f:b": {}}}}},
            id="scalars where anything may stand, and keys of maps there",
        ),
        pytest.param(
            core("Pod"), {"metadata": {"finalizers": ["b", "a"]}},
            {"f:metadata": {"f:finalizers": {'v:"a"': {}, 'v:"b"': {}}}},
            id="items of a set",
        ),
    ],
)  # fmt: skip
def test_what_an_object_specifies(shape: Shape, obj: Any, fields: Any) -> None:
    """Those are the paths that its applier wants to own."""
    before = copy.deepcopy(obj)
    assert specified(shape, obj) == FieldSet.parse(fields)
    assert obj == before


# --- what a change touches


def containers(*items: Any) -> dict[str, Any]:
    return {"spec": {"containers": list(items)}}


ENV = {"name": "E", "value": "1"}


@pytest.mark.parametrize(
    ("shape", "old", "new", "added", "changed", "removed"),
    [
        pytest.param(
            core("ConfigMap"), {"data": {"k": "1", "l": "2"}}, {"data": {"l": "3", "m": "4"}},
            {"f:data": {"f:m": {}}}, {"f:data": {"f:l": {}}}, {"f:data": {"f:k": {}}},
            id="keys of a map",
        ),
        pytest.param(
            core("ConfigMap"), {}, {"data": {"k": "1"}}, {"f:data": {".": {}, "f:k": {}}}, {}, {},
            id="a map that comes, with all that is in it",
        ),
        pytest.param(
            core("ConfigMap"), {"data": {"k": "1"}}, {}, {}, {}, {"f:data": {".": {}, "f:k": {}}},
            id="and one that goes",
        ),
        pytest.param(
            core("ConfigMap"), {"data": {"k": "1"}}, {"data": {}}, {}, {}, {"f:data": {"f:k": {}}},
            id="one that becomes empty is still there",
        ),
        pytest.param(
            core("ConfigMap"), {"data": {"k": "1"}}, {"data": None}, {}, {}, {"f:data": {"f:k": {}}},
            id="also as null",
        ),
        pytest.param(
            core("ConfigMap"), {"data": None}, {"data": {}}, {}, {"f:data": {}}, {},
            id="null is not the empty map",
        ),
        pytest.param(core("ConfigMap"), {"data": {}}, {"data": {}}, {}, {}, {}, id="nothing"),
        pytest.param(
            core("ConfigMap"), {"data": {}}, {"data": {"k": "1"}}, {"f:data": {"f:k": {}}}, {}, {},
            id="what was there empty has not been added",
        ),
        pytest.param(
            BUILT_IN.of("io.k8s.api.storage.v1.StorageClass"),
            {}, {"provisioner": "", "reclaimPolicy": ""}, {"f:reclaimPolicy": {}}, {}, {},
            id="a text that is always there has not been added as nothing",
        ),
        pytest.param(
            BUILT_IN.of("io.k8s.api.storage.v1.StorageClass"),
            {"provisioner": "x"}, {}, {}, {"f:provisioner": {}}, {},
            id="and changes when it goes",
        ),
        pytest.param(
            core("Pod"), {}, containers({"name": "c", "image": "x"}),
            {"f:spec": {"f:containers": {'k:{"name":"c"}': {
                ".": {}, "f:name": {}, "f:image": {}, "f:resources": {},
            }}}}, {}, {},
            id="nor have the spec and its containers, and what no client sets comes with the item",
        ),
        pytest.param(
            core("Pod"), containers({"name": "c", "image": "x"}), containers({"name": "c", "image": "y"}),
            {}, {"f:spec": {"f:containers": {'k:{"name":"c"}': {"f:image": {}}}}}, {},
            id="a field of an item",
        ),
        pytest.param(
            core("Pod"), containers({"name": "c"}),
            containers({"name": "c", "resources": {"limits": {"cpu": "1"}}}),
            {"f:spec": {"f:containers": {'k:{"name":"c"}': {"f:resources": {"f:limits": {
                ".": {}, "f:cpu": {},
            }}}}}}, {}, {},
            id="resources are always there",
        ),
        pytest.param(
            core("Pod"), containers({"name": "a"}, {"name": "b"}), containers({"name": "b"}, {"name": "a"}),
            {}, {}, {},
            id="the order of items does not count",
        ),
        pytest.param(
            core("Pod"), containers({"name": "c", "args": ["a", "b"]}),
            containers({"name": "c", "args": ["b", "a"]}),
            {}, {"f:spec": {"f:containers": {'k:{"name":"c"}': {"f:args": {}}}}}, {},
            id="except in a list that is one part",
        ),
        pytest.param(
            core("Pod"), containers({"name": "c", "env": [ENV]}),
            containers({"name": "c", "env": [ENV, {"name": "E", "value": "2"}]}),
            {"f:spec": {"f:containers": {'k:{"name":"c"}': {"f:env": {'k:{"name":"E"}': {}}}}}},
            {},
            {"f:spec": {"f:containers": {'k:{"name":"c"}': {"f:env": {'k:{"name":"E"}': {
                ".": {}, "f:name": {}, "f:value": {},
            }}}}}},
            id="an item that comes a second time makes one part of both",
        ),
        pytest.param(
            core("Pod"), containers({"name": "c", "env": [ENV, ENV]}),
            containers({"name": "c", "env": [ENV]}),
            {"f:spec": {"f:containers": {'k:{"name":"c"}': {"f:env": {'k:{"name":"E"}': {
                ".": {}, "f:name": {}, "f:value": {},
            }}}}}},
            {},
            {"f:spec": {"f:containers": {'k:{"name":"c"}': {"f:env": {'k:{"name":"E"}': {}}}}}},
            id="and two parts again when it goes",
        ),
        pytest.param(
            core("Pod"), containers({"name": "c", "env": [ENV, ENV]}),
            containers({"name": "c", "env": [ENV, {"name": "E"}]}),
            {}, {"f:spec": {"f:containers": {'k:{"name":"c"}': {"f:env": {'k:{"name":"E"}': {}}}}}}, {},
            id="which changes as one",
        ),
        pytest.param(
            core("Pod"), containers({"name": "c", "env": [ENV, ENV]}),
            containers({"name": "c", "env": [ENV, ENV]}), {}, {}, {},
            id="or does not",
        ),
        pytest.param(
            core("Pod"), containers({"name": "c", "env": [ENV, ENV]}), containers({"name": "c"}),
            {}, {}, {"f:spec": {"f:containers": {'k:{"name":"c"}': {"f:env": {
                ".": {}, 'k:{"name":"E"}': {},
            }}}}},
            id="and goes as one",
        ),
        pytest.param(
            DEDUCED, {"a": {"b": 1}}, {"a": [1]}, {}, {"f:a": {}}, {"f:a": {"f:b": {}}},
            id="without a schema, a list instead of a map",
        ),
        pytest.param(
            DEDUCED, {"a": 1}, {"a": {"b": 1}}, {"f:a": {"f:b": {}}}, {"f:a": {}}, {},
            id="a map instead of a number",
        ),
        pytest.param(DEDUCED, {"a": 1}, {"a": {}}, {}, {"f:a": {}}, {}, id="an empty map"),
        pytest.param(
            DEDUCED, {"a": None}, {"a": {"b": 1}}, {"f:a": {"f:b": {}}}, {}, {},
            id="a map instead of null",
        ),
        pytest.param(DEDUCED, {"a": 1}, {"a": True}, {}, {"f:a": {}}, {}, id="true instead of 1"),
        pytest.param(DEDUCED, {"a": 1}, {"a": 1.0}, {}, {}, {}, id="1.0 is 1"),
        pytest.param(
            DEDUCED, {"a": [{"b": 0}]}, {"a": [{"b": False}]}, {}, {"f:a": {}}, {},
            id="false instead of 0, in a list",
        ),
    ],
)  # fmt: skip
def test_what_a_change_touches(
    shape: Shape, old: Any, new: Any, added: Any, changed: Any, removed: Any
) -> None:
    """Path by path; neither object changes."""
    before = copy.deepcopy((old, new))
    change = compare(shape, old, new)
    assert change == tuple(map(FieldSet.parse, (added, changed, removed)))
    assert change.taken == FieldSet.parse(added) | FieldSet.parse(changed)
    assert (old, new) == before


def test_managed_fields_are_no_change() -> None:
    """They change with every change, and are nobody's."""
    old, new = ({"metadata": {"managedFields": [{"manager": name}]}} for name in ("a", "b"))
    assert not any(compare(core("Pod"), old, new))


def test_a_change_can_leave_fields_out() -> None:
    """What an endpoint resets is none of its requests."""
    change = compare(
        core("Pod"), {"status": {"phase": "x"}}, {"spec": {"nodeName": "n"}, "status": {}}
    )
    without = change.without(FieldSet.named("status"))
    assert without.added == FieldSet.named("spec.nodeName")
    assert not without.removed
    assert change.without(FieldSet.named()) is change


@pytest.mark.parametrize(
    ("shape", "obj", "message"),
    [
        pytest.param(
            core("ServiceAccount"), {"secrets": [{"name": "a"}, {"namespace": "x"}]},
            'element 1: associative list with keys has an element that omits all key fields ["name"] '
            "(and doesn't have default values for any key fields)",
            id="no key",
        ),
        pytest.param(
            core("ServiceAccount"), {"secrets": [None]},
            "element 0: associative list with keys may not have a null element", id="null",
        ),
        pytest.param(
            core("ServiceAccount"), {"secrets": ["x"]},
            "element 0: associative list with keys may not have non-map elements", id="no map",
        ),
        pytest.param(
            core("Pod"), {"metadata": {"finalizers": [{}]}},
            "element 0: associative list without keys has an element that's a map type",
            id="a map in a set",
        ),
        pytest.param(
            core("Pod"), {"metadata": {"finalizers": [[]]}},
            "element 0: not supported: associative list with lists as elements",
            id="a list in a set",
        ),
        pytest.param(
            core("Pod"), {"metadata": {"finalizers": ["a", None]}},
            "element 1: associative list without keys has an element that's an explicit null",
            id="null in a set",
        ),
    ],
)  # fmt: skip
def test_items_that_cannot_be_told_apart_are_an_error(shape: Shape, obj: Any, message: str) -> None:
    """upstream: typed/helpers.go, listItemToPathElement"""
    for attempt in (
        lambda: specified(shape, obj),
        lambda: compare(shape, {}, obj),
        lambda: compare(shape, obj, {}),
    ):
        with pytest.raises(ShapeError) as raised:
            attempt()
        assert str(raised.value) == message


def test_equality_is_that_of_json() -> None:
    """Unlike in Python, true is not 1; numbers are equal whatever they are written like."""
    assert same({"a": [1, "x", None]}, {"a": [1.0, "x", None]})
    assert not same({"a": [1]}, {"a": [True]})
    assert not same(0, False)
    assert not same([], {})


# --- types that have changed


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param(
            {"f:m": {'k:{"k":"a"}': {".": {}, "f:v": {}}}},
            {"f:m": {}},
            id="items of what is one list",
        ),
        pytest.param({"f:m": {'v:"a"': {}}}, {"f:m": {}}, id="items of a set"),
        pytest.param({"f:o": {"f:a": {}}}, {"f:o": {}}, id="fields of what is one map"),
        pytest.param({"f:o": {}}, {"f:o": {}}, id="what was one part already"),
        pytest.param(
            {"f:d": {"f:o": {"f:x": {}}, "f:p": {}}},
            {"f:d": {"f:o": {}, "f:p": {}}},
            id="deep inside",
        ),
        pytest.param(
            {"f:l": {'k:{"k":"a"}': {"f:o": {"f:x": {}}}}},
            {"f:l": {'k:{"k":"a"}': {"f:o": {}}}},
            id="in an item",
        ),
        pytest.param(
            {"f:any": {"f:x": {"f:y": {}}}}, {"f:any": {"f:x": {"f:y": {}}}}, id="deduced"
        ),
        pytest.param({"f:gone": {"f:x": {}}}, {"f:gone": {"f:x": {}}}, id="a field that is gone"),
        pytest.param(
            {"f:l": {"f:x": {"f:y": {}}}}, {"f:l": {"f:x": {"f:y": {}}}}, id="a map before"
        ),
        pytest.param(
            {"f:d": {"v:1": {"f:y": {}}}}, {"f:d": {"v:1": {"f:y": {}}}}, id="a list before"
        ),
    ],
)
def test_paths_inside_of_what_has_become_one_part_become_that_part(
    fields: Any, expected: Any
) -> None:
    """upstream: typed/reconcile_schema.go"""
    atom = {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"a": STRING}}
    shape = custom(
        m={"type": "array", "items": STRING},
        o=atom,
        d={"type": "object", "properties": {"o": atom, "p": STRING}},
        l={
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["k"],
            "items": {"type": "object", "properties": {"k": STRING, "o": atom}},
        },
        any={"x-kubernetes-preserve-unknown-fields": True},
    )
    before = FieldSet.parse(fields)
    after = reconciled(shape, before)
    assert after == FieldSet.parse(expected)
    assert (after is before) == (fields == expected)


# --- merging lists

LETTERS = custom(s={"type": "array", "items": STRING, "x-kubernetes-list-type": "set"}).members["s"]


@pytest.mark.parametrize(
    ("live", "patch", "merged"),
    [
        pytest.param("abc", "ab", "abc", id="what the patch does not have stays"),
        pytest.param("ab", "abc", "abc", id="what it has more comes behind"),
        pytest.param("ab", "ba", "ba", id="both stand as in the patch"),
        pytest.param("abc", "xyz", "abcxyz", id="nothing in common: first what is live"),
        pytest.param("bcd", "abx", "abcdx", id="what is new stands before what follows it"),
        pytest.param("abcgf", "cxyf", "abcgxyf", id="live ones come before new ones"),
        pytest.param("abcd", "dxa", "bcdxa", id="live ones keep their places among themselves"),
        pytest.param("abcdefghij", "1b2h3e4", "a1bcdfg2hij3e4", id="all of that"),
        pytest.param("aab", "ax", "axb", id="the place of a double goes to the next of the patch"),
        pytest.param("aab", "x", "aabx", id="doubles that the patch does not have stay"),
        pytest.param("", "a", "a", id="an empty live list"),
        pytest.param("a", "", "a", id="an empty patch"),
    ],
)
def test_items_stand_in_the_order_of_upstream(live: str, patch: str, merged: str) -> None:
    """upstream: typed/merge.go, visitListItems"""
    assert "".join(merge(LETTERS, list(live), list(patch))) == merged


# --- what is wrong with an applied object


@pytest.mark.parametrize(
    ("shape", "obj", "found"),
    [
        pytest.param(core("ConfigMap"), {"dta": {}}, [".dta: field not declared in schema"], id="no such field"),
        pytest.param(
            core("Pod"), {"metadata": {"lables": {}}}, [".metadata.lables: field not declared in schema"],
            id="no such field of metadata",
        ),
        pytest.param(
            core("Pod"), containers({"name": "x", "imag": 1}),
            ['.spec.containers[name="x"].imag: field not declared in schema'],
            id="no such field of an item",
        ),
        pytest.param(
            core("Pod"), {"spec": {"tolerations": [{}, {"kee": 1}]}},
            [".spec.tolerations[1].kee: field not declared in schema"],
            id="no such field inside of what is one part",
        ),
        pytest.param(
            core("Pod"), containers({"name": "x"}, {"name": "x"}),
            ['.spec.containers: duplicate entries for key [name="x"]'],
            id="an item twice",
        ),
        pytest.param(
            core("Pod"), {"metadata": {"finalizers": ["a", "a"]}},
            ['.metadata.finalizers: duplicate entries for key [="a"]'],
            id="a value twice",
        ),
        pytest.param(
            core("Pod"), containers({"ports": [{"containerPort": 1}, {"containerPort": 1, "protocol": "TCP"}]}),
            ['.spec.containers[name=""].ports: duplicate entries for key [containerPort=1,protocol="TCP"]'],
            id="the default makes it the same",
        ),
        pytest.param(
            core("Pod"), containers({"name": "x", "env": [{"name": "E", "value": 1}]}),
            ['.spec.containers[name="x"].env[name="E"].value: expected string, got &value.valueUnstructured{Value:1}'],
            id="a number for text",
        ),
        pytest.param(
            core("ConfigMap"), {"data": {"a": {"b": [True, None, "x", 1.5]}}},
            [
                ".data.a: expected string, got &value.valueUnstructured{Value:map[string]interface {}"
                '{"b":[]interface {}{true, interface {}(nil), "x", 1.5}}}'
            ],
            id="a map for text",
        ),
        pytest.param(
            core("ConfigMap"), {"immutable": "yes"}, [".immutable: expected boolean, got &{yes}"],
            id="text for a boolean",
        ),
        pytest.param(
            core("Pod"), {"spec": {"priority": "1"}},
            [".spec.priority: expected numeric (int or float), got string"], id="text for a number",
        ),
        pytest.param(
            core("Pod"), {"spec": {"priority": True}},
            [".spec.priority: expected numeric (int or float), got bool"], id="true for a number",
        ),
        pytest.param(
            core("Pod"), {"spec": {"priority": {}, "activeDeadlineSeconds": []}},
            [
                ".spec.priority: expected numeric (int or float), got map[string]interface {}",
                ".spec.activeDeadlineSeconds: expected numeric (int or float), got []interface {}",
            ],
            id="two mistakes",
        ),
        pytest.param(
            core("Pod"), {"metadata": {"creationTimestamp": []}},
            [".metadata.creationTimestamp: expected any scalar, got &{[]}"], id="a list for a time",
        ),
        pytest.param(core("Pod"), {"spec": []}, [".spec: expected map, got &{[]}"], id="a list for a map"),
        pytest.param(
            core("Pod"), {"spec": {"containers": {"a": 1}}},
            [".spec.containers: expected list, got &{map[a:1]}"], id="a map for a list",
        ),
        pytest.param(
            core("Pod"), {"spec": {"containers": [None]}},
            [".spec.containers: element 0: associative list with keys may not have a null element"],
            id="null for an item",
        ),
        pytest.param(core("Pod"), {"spec": None, "status": {"phase": None}}, [], id="null is fine elsewhere"),
        pytest.param(DEDUCED, {"a": [{"b": {}}, 1]}, [], id="and so is all without a schema"),
        pytest.param(core("Pod"), {"spec": {"priority": 1.5}}, [], id="a fraction is a number here"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_applied_object(shape: Shape, obj: Any, found: list[str]) -> None:
    """Clients show and match these words. upstream: typed/validate.go"""
    assert problems(shape, obj) == found
