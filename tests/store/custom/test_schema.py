"""store/custom/schema.py: what a schema does not describe goes, what it says of missing fields comes."""

import copy
from typing import Any

import pytest
from verger.store.custom.schema import Node, default, prune

STRING = {"type": "string"}


def root(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def spec(**facts: Any) -> dict[str, Any]:
    return root(spec={"type": "object", **facts})


@pytest.mark.parametrize(
    ("schema", "obj", "kept", "paths"),
    [
        pytest.param(
            spec(properties={"a": STRING}),
            {"spec": {"a": "x", "b": {"c": 1}}, "more": 1},
            {"spec": {"a": "x"}},
            ["more", "spec.b"],
            id="fields that are not described go, at all depths",
        ),
        pytest.param(
            root(),
            {"apiVersion": "g/v1", "kind": "K", "metadata": {"name": "a", "labels": {"x": "y"}}},
            {"apiVersion": "g/v1", "kind": "K", "metadata": {"name": "a", "labels": {"x": "y"}}},
            [],
            id="type and metadata of the object are nobody's affair",
        ),
        pytest.param(
            spec(properties={"list": {"type": "array", "items": root(n=STRING)}}),
            {"spec": {"list": [{"n": "a"}, {"n": "b", "m": 1}]}},
            {"spec": {"list": [{"n": "a"}, {"n": "b"}]}},
            ["spec.list[1].m"],
            id="inside lists, by index",
        ),
        pytest.param(
            spec(additionalProperties=root(n=STRING)),
            {"spec": {"any": {"n": "a", "m": 1}}},
            {"spec": {"any": {"n": "a"}}},
            ["spec.any.m"],
            id="inside maps, by key",
        ),
        pytest.param(
            spec(
                **{
                    "x-kubernetes-preserve-unknown-fields": True,
                    "properties": {"a": root(n=STRING)},
                }
            ),
            {"spec": {"free": {"x": 1}, "a": {"n": "b", "m": 1}}},
            {"spec": {"free": {"x": 1}, "a": {"n": "b"}}},
            ["spec.a.m"],
            id="where unknown fields are kept, described ones are pruned all the same",
        ),
        pytest.param(
            spec(
                **{"x-kubernetes-embedded-resource": True, "properties": {"spec": root(n=STRING)}}
            ),
            {"spec": {"apiVersion": "v1", "kind": "P", "metadata": {"name": "a"}, "other": 1}},
            {"spec": {"apiVersion": "v1", "kind": "P", "metadata": {"name": "a"}}},
            ["spec.other"],
            id="an embedded object keeps its type and metadata",
        ),
        pytest.param(
            spec(),
            {"spec": {"a": 1}},
            {"spec": {}},
            ["spec.a"],
            id="an object without described fields is empty",
        ),
    ],
)
def test_what_is_not_described_is_removed_and_named(
    schema: Any, obj: Any, kept: Any, paths: list[str]
) -> None:
    """Pruning removes unknown fields in place, and says where they stood."""
    assert prune(Node(schema, root=True), obj) == paths
    assert obj == kept


@pytest.mark.parametrize(
    ("schema", "obj", "wanted"),
    [
        pytest.param(
            spec(default={}, properties={"size": {"type": "integer", "default": 3}}),
            {},
            {"spec": {"size": 3}},
            id="a default is completed by the defaults inside it",
        ),
        pytest.param(
            spec(properties={"size": {"type": "integer", "default": 3}}),
            {},
            {},
            id="nothing is made where the parent is missing",
        ),
        pytest.param(
            spec(properties={"size": {"type": "integer", "default": 3}}),
            {"spec": {"size": None}},
            {"spec": {"size": 3}},
            id="a null that may not be one is as good as nothing",
        ),
        pytest.param(
            spec(properties={"a": {**STRING, "nullable": True, "default": "x"}}),
            {"spec": {"a": None}},
            {"spec": {"a": None}},
            id="a null that may be one stays",
        ),
        pytest.param(
            spec(properties={"a": {**STRING, "nullable": True}}),
            {"spec": {"a": None}},
            {"spec": {"a": None}},
            id="a null that may be one stays, without a default too",
        ),
        pytest.param(
            spec(properties={"a": STRING}),
            {"spec": {"a": None}},
            {"spec": {}},
            id="a null without a default goes",
        ),
        pytest.param(
            spec(additionalProperties=root(n={**STRING, "default": "d"})),
            {"spec": {"any": {}}},
            {"spec": {"any": {"n": "d"}}},
            id="inside maps",
        ),
        pytest.param(
            spec(properties={"l": {"type": "array", "items": root(n={**STRING, "default": "d"})}}),
            {"spec": {"l": [{}, {"n": "e"}]}},
            {"spec": {"l": [{"n": "d"}, {"n": "e"}]}},
            id="inside lists",
        ),
        pytest.param(
            spec(**{"x-kubernetes-preserve-unknown-fields": True}),
            {"spec": {"free": None}},
            {"spec": {"free": None}},
            id="nulls of what is not described stay",
        ),
    ],
)
def test_missing_fields_get_their_defaults(schema: Any, obj: Any, wanted: Any) -> None:
    """Defaults are set in place, and doing it twice changes nothing more."""
    node = Node(schema, root=True)
    default(node, obj)
    assert obj == wanted
    again = copy.deepcopy(obj)
    default(node, again)
    assert again == obj


def test_defaults_are_not_shared_between_objects() -> None:
    """Changing one object leaves the default of the next one alone."""
    node = Node(
        spec(default={"l": [1]}, properties={"l": {"type": "array", "items": {"type": "integer"}}})
    )
    first: dict[str, Any] = {}
    default(node, first)
    first["spec"]["l"].append(2)
    second: dict[str, Any] = {}
    default(node, second)
    assert second == {"spec": {"l": [1]}}
