"""Field sets: reading and writing fieldsV1 in upstream's order, set algebra against plain sets of paths, paths in words."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from verger.store.fieldsets import (
    NOTHING,
    FieldSet,
    FieldSetError,
    Path,
    key_element,
    render,
    value_element,
)

A, B, C = "f:a", "f:b", "f:c"
NAMED_X, NAMED_Y = 'k:{"name":"x"}', 'k:{"name":"y"}'


# --- reading and writing


@pytest.mark.parametrize(
    ("fields", "paths"),
    [
        pytest.param({}, [], id="nothing"),
        pytest.param(None, [], id="null is nothing"),
        pytest.param({A: {}}, [(A,)], id="a leaf is a path"),
        pytest.param({A: None}, [(A,)], id="a null leaf too"),
        pytest.param({A: {B: {}}}, [(A, B)], id="what is only above others is no path"),
        pytest.param({A: {".": {}, B: {}}}, [(A,), (A, B)], id="unless a dot says so"),
        pytest.param({A: {".": {}}}, [(A,)], id="a dot alone is a leaf"),
        pytest.param({".": {}, A: {}}, [(A,)], id="nobody owns an object as such"),
        pytest.param({A: {"x:1": {}}}, [(A,)], id="elements of an unknown sort are dropped"),
        pytest.param({"x:1": {B: {}}}, [], id="with all that is in them"),
        pytest.param({"f:": {}}, [("f:",)], id="a field may be called nothing"),
        pytest.param(
            {A: {'k:{"b":1,"a":"x"}': {}}}, [(A, 'k:{"a":"x","b":1}')], id="keys are put in order"
        ),
        pytest.param({A: {'k:{ "a" : 1.0 }': {}}}, [(A, 'k:{"a":1}')], id="and spelled in one way"),
        pytest.param({A: {"v: 1.0": {}}}, [(A, "v:1")], id="and so are values"),
        pytest.param({A: {"v:1.5": {}}}, [(A, "v:1.5")], id="which may be fractions"),
        pytest.param({A: {"i:07": {}}}, [(A, "i:7")], id="and indexes"),
        pytest.param(
            {A: {'v:"x"': {B: {}}, 'v: "x"': {C: {}}}},
            [(A, 'v:"x"', B), (A, 'v:"x"', C)],
            id="two spellings of one element are joined",
        ),
    ],
)  # fmt: skip
def test_a_fields_v1_is_read(fields: Any, paths: list[Path]) -> None:
    """Whatever a client wrote has one meaning, and one form."""
    before = copy.deepcopy(fields)
    assert list(FieldSet.parse(fields).paths()) == paths
    assert fields == before
    assert FieldSet.parse(fields) == FieldSet.of(*paths)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        pytest.param([], "expected object", id="no object"),
        pytest.param({A: 1}, "expected object", id="no object inside"),
        pytest.param({"f": {}}, "key must be 2 characters long", id="too short for an element"),
        pytest.param({"fa": {}}, "missing colon: fa", id="no colon"),
        pytest.param({"k:{": {}}, "no path element: k:{", id="a key that is no JSON"),
        pytest.param({"k:[1]": {}}, "no path element: k:[1]", id="a key that is no object"),
        pytest.param({"v:x": {}}, "no path element: v:x", id="a value that is no JSON"),
        pytest.param({"i:x": {}}, "no path element: i:x", id="an index that is no number"),
    ],
)
def test_what_is_no_fields_v1_is_refused(fields: Any, message: str) -> None:
    """The caller decides what to do about it: nothing is guessed."""
    with pytest.raises(FieldSetError) as raised:
        FieldSet.parse(fields)
    assert str(raised.value) == message


def test_a_set_that_is_nested_too_deeply_is_refused() -> None:
    """A client cannot exhaust the stack."""
    fields: dict[str, Any] = {}
    for _ in range(5000):
        fields = {A: fields}
    with pytest.raises(FieldSetError, match="nested too deeply"):
        FieldSet.parse(fields)


ORDERED = [
    ".", "f:", "f:A", "f:a", "f:a.b", "f:ab", "f:ä",
    'k:{"a":2}', 'k:{"a":10}', 'k:{"a":"1"}', 'k:{"a":"1","b":1}', 'k:{"a":false}', 'k:{"a":true}',
    'k:{"a":null}', 'k:{"b":1}',
    "v:-1", "v:1.5", "v:2", "v:10", 'v:"1"', 'v:"a"', "v:false", "v:true",
    "i:2", "i:10",
]  # fmt: skip


def test_elements_are_written_in_the_order_of_upstream() -> None:
    """Fields, then keys, then values, then indexes; numbers as numbers, and before text.

    upstream: fieldpath.PathElement.Compare
    """
    backwards = FieldSet.parse({A: {element: {} for element in reversed(ORDERED)}})
    assert list(backwards.written()[A]) == ORDERED


def test_paths_come_level_by_level() -> None:
    """Those that end on a level come before those below it, as conflicts are listed."""
    fields = FieldSet.parse({B: {}, A: {B: {}, ".": {}, A: {C: {}}}, C: {A: {}}})
    assert list(fields.paths()) == [(A,), (B,), (A, B), (A, A, C), (C, A)]


def test_a_number_that_is_whole_has_no_fraction() -> None:
    """Clients that know only floats mean the same items."""
    assert key_element("port", 80.0) == key_element("port", 80) == 'k:{"port":80}'
    assert value_element(1.0) == value_element(1) == "v:1"


@pytest.mark.parametrize("value", [1, True, "1", "true", 0, False, None, 1.5])
def test_values_of_different_sorts_are_different_elements(value: Any) -> None:
    """In Python true is 1; in JSON it is not, not even for what was looked up a moment ago."""
    for other in (0, 1, False, True):
        assert value_element(other) == f"v:{json.dumps(other)}"
        assert key_element("a", other) == f'k:{{"a":{json.dumps(other)}}}'
    assert value_element(value) == f"v:{json.dumps(value)}"


@pytest.mark.parametrize("size", [1, 128, 129, 5000])
def test_long_values_are_spelled_like_short_ones(size: int) -> None:
    """Only how they are remembered differs."""
    for _ in range(2):
        assert value_element("x" * size) == f'v:"{"x" * size}"'
        assert key_element("a", 1, "b", "x" * size) == f'k:{{"a":1,"b":"{"x" * size}"}}'


def test_an_item_may_be_known_by_a_map() -> None:
    """A schema may call a field a key whatever it holds."""
    assert key_element("a", {"b": [1.0]}) == 'k:{"a":{"b":[1]}}'


def test_elements_escape_as_go_does() -> None:
    """A client compares them as text."""
    assert value_element("<&>") == 'v:"\\u003c\\u0026\\u003e"'


@pytest.mark.parametrize(
    ("path", "text"),
    [
        pytest.param((), "", id="the object"),
        pytest.param(("f:data", "f:a.b"), ".data.a.b", id="fields"),
        pytest.param(
            ("f:spec", "f:containers", 'k:{"name":"x"}', "f:image"),
            '.spec.containers[name="x"].image',
            id="an item by its key",
        ),
        pytest.param(
            ("f:ports", 'k:{"containerPort":80,"protocol":"TCP"}'),
            '.ports[containerPort=80,protocol="TCP"]',
            id="an item by two",
        ),
        pytest.param(
            ("f:metadata", "f:finalizers", 'v:"a/b"'),
            '.metadata.finalizers[="a/b"]',
            id="an item by what it is",
        ),
        pytest.param(("f:s", "v:1"), ".s[=1]", id="which may be a number"),
        pytest.param(("f:s", "v:true"), ".s[=true]", id="or true"),
        pytest.param(("f:s", 'k:{"a":null}'), ".s[a=null]", id="or null"),
        pytest.param(("f:s", "i:3", "f:x"), ".s[3].x", id="an item by its index"),
    ],
)
def test_a_path_is_shown(path: Path, text: str) -> None:
    """kubectl prints these. upstream: fieldpath.Path.String"""
    assert render(path) == text


# --- algebra

ELEMENTS = st.sampled_from([A, B, C, NAMED_X, 'v:"x"', "v:1"])
PATHS = st.lists(ELEMENTS, min_size=1, max_size=3).map(tuple)
SETS = st.frozensets(PATHS, max_size=8)


def settled(tree: Any) -> bool:
    """Whether a dot never stands alone, or has anything below it."""
    return all(
        (not below if element == "." else "." not in below or len(below) > 1) and settled(below)
        for element, below in tree.items()
    )


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(SETS, SETS)
def test_the_algebra_is_that_of_sets_of_paths(
    left: frozenset[Path], right: frozenset[Path]
) -> None:
    """A tree is only a way to write a set; operations change neither side."""
    a, b = FieldSet.of(*left), FieldSet.of(*right)
    before = copy.deepcopy((a.tree, b.tree))
    outcomes = [
        (a | b, left | right),
        (a - b, left - right),
        (a & b, left & right),
        (a.without(b), {p for p in left if not any(p[: len(q)] == q for q in right)}),
    ]
    for found, wanted in outcomes:
        assert set(found.paths()) == wanted
        assert len(list(found.paths())) == len(wanted)
        assert found == FieldSet.of(*wanted)
        assert bool(found) == bool(wanted)
        assert settled(found.tree)
        assert all((path in found) == (path in wanted) for path in left | right)
    assert (a.tree, b.tree) == before
    assert (a == b) == (left == right)


@settings(max_examples=80, deadline=None, derandomize=True, database=None)
@given(SETS)
def test_sets_go_through_fields_v1_unchanged(paths: frozenset[Path]) -> None:
    """What was written is read back, and is written again as the same text."""
    fields = FieldSet.of(*paths)
    text = json.dumps(fields.written())
    again = FieldSet.parse(json.loads(text))
    assert again == fields
    assert json.dumps(again.written()) == text


def test_sets_that_do_not_meet_are_handed_on() -> None:
    """An owner whom a change does not touch keeps its very entry."""
    mine = FieldSet.of((A, B), (C,))
    assert mine - FieldSet.of((A, C), (B,), (C, A)) is mine
    assert mine.without(FieldSet.of((A, B, C), (B,))) is mine
    assert mine | NOTHING is mine
    assert NOTHING | mine is mine


def test_fields_are_given_by_their_names() -> None:
    """What an endpoint resets is written as people write it."""
    assert FieldSet.named("spec", "metadata.labels") == FieldSet.of(
        ("f:spec",), ("f:metadata", "f:labels")
    )


def test_a_set_shows_its_paths() -> None:
    """A failing test says which."""
    assert repr(FieldSet.of((A, NAMED_X), (B,))) == 'FieldSet(.b, .a[name="x"])'
    assert () not in FieldSet.of((A,))
    assert (A, NAMED_Y) not in FieldSet.of((A, NAMED_X))
