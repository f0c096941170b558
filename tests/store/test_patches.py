"""JSON patch and merge patch do what the RFCs say, and where upstream takes liberties, what
upstream does.
"""

import copy
from typing import Any

import jsonpatch
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from verger.store.patches import (
    MAX_COPIED,
    MAX_OPERATIONS,
    BadPatch,
    BrokenPatch,
    PatchError,
    PatchTooLarge,
    UnprocessablePatch,
    apply_json_patch,
    merge,
    parse_json_patch,
    parse_merge,
    parse_strategic,
)

REJECTED = "the server rejected our request due to an error in our request"


def op(name: str, path: str, **more: Any) -> dict[str, Any]:
    return {"op": name, "path": path, **more}


def deep(depth: int) -> dict[str, Any]:
    """An object nested that often."""
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


# --- decoding


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(b"", "unexpected end of JSON input", id="nothing"),
        pytest.param(b"{", "unexpected end of JSON input", id="broken JSON"),
        pytest.param(b"{} x", "invalid character 'x' after top-level value", id="text after it"),
        pytest.param(
            b"[]",
            "json: cannot unmarshal array into Go value of type map[string]interface {}",
            id="a list",
        ),
        pytest.param(
            b"7",
            "json: cannot unmarshal number into Go value of type map[string]interface {}",
            id="a number",
        ),
        pytest.param(
            b'"x"',
            "json: cannot unmarshal string into Go value of type map[string]interface {}",
            id="a string",
        ),
    ],
)
def test_body_that_is_no_merge_patch_is_refused(body: bytes, message: str) -> None:
    """Both merge patches are objects; only a strategic one is refused without an introduction."""
    with pytest.raises(BadPatch) as merged:
        parse_merge(body)
    assert merged.value.message == f"error decoding patch: {message}"
    with pytest.raises(BadPatch) as strategic:
        parse_strategic(body)
    assert strategic.value.message == message


def test_null_is_no_merge_patch_but_an_empty_strategic_one() -> None:
    """upstream: null decodes into a map that is nil, which only one of the two refuses."""
    with pytest.raises(BadPatch, match=r"^Invalid JSON Patch$"):
        parse_merge(b"null")
    assert parse_strategic(b"null") == {}


def test_patch_of_the_right_shape_is_decoded() -> None:
    """What is decoded is what was sent."""
    assert parse_merge(b'{"data":{"k":null}}') == {"data": {"k": None}}
    assert parse_strategic(b'{"$patch":"x"}') == {"$patch": "x"}
    assert parse_json_patch(b'[{"op":"add","path":"/a","value":[1]}]') == [
        op("add", "/a", value=[1])
    ]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(b"", "unexpected end of JSON input", id="nothing"),
        pytest.param(
            b'{"op":"add"}',
            "json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp",
            id="an object",
        ),
        pytest.param(
            b'"x"',
            "json: cannot unmarshal string into Go value of type []handlers.jsonPatchOp",
            id="a string",
        ),
        pytest.param(
            b'[{"op":"add","path":"/a"},7]',
            "json: cannot unmarshal number into Go value of type handlers.jsonPatchOp",
            id="an operation that is a number",
        ),
        pytest.param(
            b"[[]]",
            "json: cannot unmarshal array into Go value of type handlers.jsonPatchOp",
            id="an operation that is a list",
        ),
        pytest.param(
            b'[{"op":1}]',
            "json: cannot unmarshal number into Go struct field jsonPatchOp.op of type string",
            id="an op that is a number",
        ),
        pytest.param(
            b'[{"op":"add","path":true}]',
            "json: cannot unmarshal bool into Go struct field jsonPatchOp.path of type string",
            id="a path that is a boolean",
        ),
        pytest.param(
            b'[{"op":"move","from":{},"path":"/"}]',
            "json: cannot unmarshal object into Go struct field jsonPatchOp.from of type string",
            id="a from that is an object",
        ),
    ],
)
def test_body_that_is_no_json_patch_is_refused(body: bytes, message: str) -> None:
    """A JSON patch is a list of objects, and what names a place is a string."""
    with pytest.raises(BadPatch) as caught:
        parse_json_patch(body)
    assert caught.value.message == f"error decoding patch: {message}"


def test_null_is_no_operation() -> None:
    """upstream: null decodes into an empty list, and into an operation without a name."""
    assert parse_json_patch(b"null") == []
    assert parse_json_patch(b"[null]") == [{}]
    assert parse_json_patch(b'[{"op":null}]') == [{"op": None}]


def test_number_of_operations_is_limited() -> None:
    """Ten thousand operations are read, one more is too large a request."""
    one = b'{"op":"add","path":"/x","value":"y"}'
    assert len(parse_json_patch(b"[" + b",".join([one] * MAX_OPERATIONS) + b"]")) == 10_000
    with pytest.raises(PatchTooLarge) as caught:
        parse_json_patch(b"[" + b",".join([one] * (MAX_OPERATIONS + 1)) + b"]")
    assert caught.value.message == (
        "Request entity too large: "
        "The allowed maximum operations in a JSON patch is 10000, got 10001"
    )


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (BadPatch("x"), 400, "x"),
        (UnprocessablePatch("x"), 422, REJECTED),
        (PatchTooLarge("x"), 413, "Request entity too large: x"),
        (BrokenPatch("x"), 500, "x"),
    ],
)
def test_error_says_which_answer_follows(error: PatchError, code: int, message: str) -> None:
    """The class gives the status, the error its message; why a patch did not apply is for the log
    alone.
    """
    assert (error.code, error.message, str(error)) == (code, message, message)
    assert getattr(error, "cause", "x") == "x"


# --- merge patch


# RFC 7386, appendix A: original, patch, result
RFC_7386 = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(
    ("current", "patch", "result"),
    [
        *(pytest.param(*row, id=f"RFC 7386 example {n}") for n, row in enumerate(RFC_7386, 1)),
        pytest.param(
            {"metadata": {"labels": {"x": "1", "y": "2"}}, "data": {"k": "1", "l": "2"}},
            {"data": {"k": None}, "metadata": {"labels": {"x": None, "z": "3"}}},
            {"metadata": {"labels": {"y": "2", "z": "3"}}, "data": {"l": "2"}},
            id="null removes",
        ),
        pytest.param({"data": {"l": "2"}}, {"data": None}, {}, id="a whole map"),
        pytest.param({"a": 1}, {}, {"a": 1}, id="an empty patch changes nothing"),
        pytest.param({"a": 1}, {"a": {"b": 2}}, {"a": {"b": 2}}, id="an object replaces a number"),
        pytest.param(
            {"l": [{"a": 1, "b": 2}]},
            {"l": [{"a": None, "c": [{"d": None}]}, None]},
            {"l": [{"c": [{}]}, None]},
            id="upstream: objects in lists lose nulls too, lists do not",
        ),
    ],
)
def test_merge_patch(current: Any, patch: Any, result: Any) -> None:
    """Null removes, objects merge, all else replaces; neither the object nor the patch changes."""
    before = copy.deepcopy((current, patch))
    assert merge(current, patch) == result
    assert (current, patch) == before


def test_merge_shares_what_the_patch_does_not_name() -> None:
    """An untouched sub-tree is the same object afterwards; a touched one is another."""
    current: Any = {
        "metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}},
        "spec": {"x": [1]},
    }
    result = merge(current, {"metadata": {"labels": {"a": "c"}}})
    assert result["spec"] is current["spec"]
    assert result["metadata"]["annotations"] is current["metadata"]["annotations"]
    assert result["metadata"]["labels"] is not current["metadata"]["labels"]


def test_merge_of_a_patch_nested_too_deeply_is_refused() -> None:
    """The depth that Python can follow is a limit of the request, not a fault of the server."""
    with pytest.raises(BadPatch, match=r"^error decoding patch: exceeded max depth$"):
        merge({}, deep(5000))


# --- JSON patch


RFC_6902 = [
    pytest.param(
        {"foo": "bar"}, [op("add", "/baz", value="qux")], {"baz": "qux", "foo": "bar"},
        id="A.1 add a member",
    ),
    pytest.param(
        {"foo": ["bar", "baz"]}, [op("add", "/foo/1", value="qux")], {"foo": ["bar", "qux", "baz"]},
        id="A.2 add an item",
    ),
    pytest.param(
        {"baz": "qux", "foo": "bar"}, [op("remove", "/baz")], {"foo": "bar"},
        id="A.3 remove a member",
    ),
    pytest.param(
        {"foo": ["bar", "qux", "baz"]}, [op("remove", "/foo/1")], {"foo": ["bar", "baz"]},
        id="A.4 remove an item",
    ),
    pytest.param(
        {"baz": "qux", "foo": "bar"}, [op("replace", "/baz", value="boo")],
        {"baz": "boo", "foo": "bar"},
        id="A.5 replace a value",
    ),
    pytest.param(
        {"foo": {"bar": "baz", "waldo": "fred"}, "qux": {"corge": "grault"}},
        [op("move", "/qux/thud", **{"from": "/foo/waldo"})],
        {"foo": {"bar": "baz"}, "qux": {"corge": "grault", "thud": "fred"}},
        id="A.6 move a value",
    ),
    pytest.param(
        {"foo": ["all", "grass", "cows", "eat"]}, [op("move", "/foo/3", **{"from": "/foo/1"})],
        {"foo": ["all", "cows", "eat", "grass"]},
        id="A.7 move an item",
    ),
    pytest.param(
        {"baz": "qux", "foo": ["a", 2, "c"]},
        [op("test", "/baz", value="qux"), op("test", "/foo/1", value=2)],
        {"baz": "qux", "foo": ["a", 2, "c"]},
        id="A.8 test a value",
    ),
    pytest.param(
        {"foo": "bar"}, [op("add", "/child", value={"grandchild": {}})],
        {"foo": "bar", "child": {"grandchild": {}}},
        id="A.10 add a nested object",
    ),
    pytest.param(
        {"foo": "bar"}, [op("add", "/baz", value="qux", xyz=123)], {"foo": "bar", "baz": "qux"},
        id="A.11 what is not known is ignored",
    ),
    pytest.param(
        {"/": 9, "~1": 10}, [op("test", "/~01", value=10)], {"/": 9, "~1": 10},
        id="A.14 the order of escapes",
    ),
    pytest.param(
        {"foo": ["bar"]}, [op("add", "/foo/-", value=["abc", "def"])],
        {"foo": ["bar", ["abc", "def"]]},
        id="A.16 add a list at the end",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("current", "operations", "result"),
    [
        *RFC_6902,
        pytest.param(
            {"data": {"k": "1"}},
            [op("test", "/data/k", value="1"), op("replace", "/data/k", value="2")],
            {"data": {"k": "2"}},
            id="test and replace",
        ),
        pytest.param({"a": 1}, [], {"a": 1}, id="an empty list"),
        pytest.param(
            {"metadata": {"annotations": {"a/b": "x"}}},
            [
                op("remove", "/metadata/annotations/a~1b"),
                op("add", "/metadata/annotations", value={"c~1d": "z"}),
            ],
            {"metadata": {"annotations": {"c~1d": "z"}}},
            id="an escape stands for a character in a path only",
        ),
        pytest.param({"a~2": 1}, [op("remove", "/a~2")], {}, id="no escape: a tilde is a tilde"),
        pytest.param({"": 1}, [op("replace", "/", value=2)], {"": 2}, id="the empty key"),
        pytest.param(
            {"data": {"k": "2"}},
            [op("add", "data/k", value="1")],
            {"data": {"k": "2"}, "k": "1"},
            id="what stands before the first slash is ignored",
        ),
        pytest.param(
            {"a": {}}, [op("replace", "/a/b", value=1)], {"a": {"b": 1}},
            id="replace sets a member that is missing",
        ),
        pytest.param(
            {"a": {}}, [op("test", "/a/b", value=None)], {"a": {}}, id="a missing member is null"
        ),
        pytest.param({"a": None}, [op("test", "/a")], {"a": None}, id="a missing value is null"),
        pytest.param({}, [op("add", "/a")], {"a": None}, id="adding nothing adds null"),
        pytest.param(
            {}, [op("copy", "/b", **{"from": "/a"})], {"b": None}, id="copying nothing adds null"
        ),
        pytest.param(
            {"l": [1, 2, 3]},
            [op("add", "/l/-1", value=4), op("replace", "/l/-4", value=0), op("remove", "/l/-2")],
            {"l": [0, 2, 4]},
            id="a negative index counts from the end",
        ),
        pytest.param({"l": [1]}, [op("add", "/l/+01", value=2)], {"l": [1, 2]}, id="an odd index"),
        pytest.param(
            {"l": [{"a": [1]}]}, [op("add", "/l/0/a/0", value=0)], {"l": [{"a": [0, 1]}]},
            id="through lists and objects",
        ),
        pytest.param({"a": 1}, [op("replace", "", value={"b": 2})], {"b": 2}, id="the whole"),
        pytest.param({"a": 1}, [op("replace", "", value=[])], [], id="the whole by a list"),
        pytest.param({"a": 1}, [op("test", "", value={"a": 1})], {"a": 1}, id="test of the whole"),
        pytest.param(
            {"a": {"b": 1}},
            [
                op("copy", "/c", **{"from": "/a"}),
                op("add", "/a/b", value=2),
                op("add", "/c/d", value=3),
            ],
            {"a": {"b": 2}, "c": {"b": 1, "d": 3}},
            id="a copy goes its own way",
        ),
        pytest.param(
            {"a": {"b": {}}},
            [
                op("add", "/a/b/x", value=1),
                op("copy", "/c", **{"from": "/a"}),
                op("add", "/a/b/x", value=2),
                op("add", "/c/b/y", value=3),
            ],
            {"a": {"b": {"x": 2}}, "c": {"b": {"x": 1, "y": 3}}},
            id="a copy of what was changed before too",
        ),
        pytest.param(
            {"a": 1}, [op("move", "/a", **{"from": "/a"})], {"a": 1}, id="a move to the same place"
        ),
        pytest.param(
            {"a": {"x": [1, {"y": 2.5}], "z": None}},
            [op("test", "/a", value={"z": None, "x": [1, {"y": 2.5}]})],
            {"a": {"x": [1, {"y": 2.5}], "z": None}},
            id="the order of members does not matter to test",
        ),
    ],
)  # fmt: skip
def test_json_patch(current: Any, operations: list[dict[str, Any]], result: Any) -> None:
    """Each operation works on what the one before left; neither the object nor the patch changes."""
    before = copy.deepcopy((current, operations))
    assert apply_json_patch(current, operations) == result
    assert (current, operations) == before


@pytest.mark.parametrize(
    "operations",
    [
        pytest.param([op("test", "/s", value="z")], id="A.9 a test that fails"),
        pytest.param([op("add", "/x/y", value=1)], id="A.12 a member of what does not exist"),
        pytest.param([op("remove", "/nothing")], id="A.13 removing what is not there"),
        pytest.param([op("test", "/n", value="1")], id="A.15 a number is no string"),
        pytest.param([op("test", "/n", value=True)], id="a number is no boolean"),
        pytest.param([op("test", "/n", value=1.0)], id="a number is written as it is written"),
        pytest.param([op("test", "/s", value=None)], id="a value is not null"),
        pytest.param([op("test", "/s")], id="a test without value"),
        pytest.param([op("test", "/nothing", value="x")], id="test of a missing member"),
        pytest.param([op("test", "/x/y", value=None)], id="test below a missing member"),
        pytest.param([op("test", "/m", value={"a": 1})], id="a part is not the whole"),
        pytest.param([op("test", "/l", value=[1, 3])], id="another item"),
        pytest.param([op("test", "/l", value=[1])], id="a shorter list"),
        pytest.param([op("test", "", value={})], id="test of the whole that fails"),
        pytest.param([op("test", "/l/2", value=None)], id="test of a missing item"),
        pytest.param([op("jump", "/s")], id="no such operation"),
        pytest.param([{}], id="no operation at all"),
        pytest.param([op("ADD", "/s", value=1)], id="operations are written in small letters"),
        pytest.param([{"op": "add", "value": 1}], id="no path"),
        pytest.param([{"op": "add", "path": None, "value": 1}], id="null as path"),
        pytest.param([op("move", "/y")], id="move without from"),
        pytest.param([op("move", "/y", **{"from": "/nothing"})], id="move of what is not there"),
        pytest.param([op("move", "/m/c", **{"from": "/m"})], id="move into its own child"),
        pytest.param([op("copy", "/x/y", **{"from": "/s"})], id="copy to nowhere"),
        pytest.param([op("copy", "/y", **{"from": "/l/7"})], id="copy of a missing item"),
        pytest.param([op("add", "/a/b/c", value=1)], id="a path that does not exist"),
        pytest.param([op("add", "/s/y", value=1)], id="a member of a string"),
        pytest.param([op("add", "/z/y", value=1)], id="a member of null"),
        pytest.param([op("add", "s", value=1)], id="a path without any slash"),
        pytest.param([op("add", "", value={})], id="add knows no empty path"),
        pytest.param([op("remove", "")], id="remove neither"),
        pytest.param([op("copy", "", **{"from": "/m"})], id="copy neither"),
        pytest.param([op("move", "/y", **{"from": ""})], id="nor move"),
        pytest.param([op("replace", "", value="x")], id="the whole is no string"),
        pytest.param([op("replace", "")], id="the whole is not nothing"),
        pytest.param([op("add", "/l/3", value=1)], id="beyond the end"),
        pytest.param([op("add", "/l/-4", value=1)], id="before the start"),
        pytest.param([op("replace", "/l/2", value=1)], id="replace beyond the end"),
        pytest.param([op("replace", "/l/-", value=1)], id="replace at the end"),
        pytest.param([op("remove", "/l/2")], id="remove beyond the end"),
        pytest.param([op("remove", "/l/-3")], id="remove before the start"),
        pytest.param([op("remove", "/l/-")], id="remove at the end"),
        pytest.param([op("add", "/l/x", value=1)], id="an index that is no number"),
        pytest.param([op("add", "/l/1_0", value=1)], id="an index with a line"),
        pytest.param([op("add", "/l/ 1", value=1)], id="an index with a space"),
        pytest.param([op("add", "/l/\u0661", value=1)], id="an index in other digits"),
        pytest.param([op("add", "/l/" + "9" * 5000, value=1)], id="an index beyond all numbers"),
        pytest.param([op("add", "/l/-/a", value=1)], id="through the end of a list"),
        pytest.param(
            [op("add", "/s", value="new"), op("test", "/nothing", value=1)],
            id="one that fails after one that works",
        ),
    ],
)
def test_json_patch_that_does_not_apply_is_rejected(operations: list[dict[str, Any]]) -> None:
    """Any failure is the same answer, and the object stays as it was."""
    current = {"s": "x", "n": 1, "z": None, "l": [1, 2], "m": {"a": 1, "b": {}}}
    before = copy.deepcopy((current, operations))
    with pytest.raises(UnprocessablePatch) as caught:
        apply_json_patch(current, operations)
    assert caught.value.message == REJECTED
    assert (current, operations) == before


def test_copies_may_grow_only_so_far() -> None:
    """The bytes that copies add are counted over the whole patch."""
    current = {"a": "x" * (MAX_COPIED // 4 - 2), "l": []}
    copies = [op("copy", "/l/-", **{"from": "/a"})] * 4
    assert len(apply_json_patch(current, copies)["l"]) == 4
    with pytest.raises(PatchTooLarge) as caught:
        apply_json_patch(current, [*copies, op("copy", "/n", **{"from": "/l/0"})])
    assert "exceeding the limit 3145728" in caught.value.message


def test_json_patch_shares_what_it_does_not_touch() -> None:
    """An untouched sub-tree is the same object afterwards; the way to a change is not."""
    current: Any = {"metadata": {"labels": {}, "annotations": {}}, "spec": {"x": [1]}}
    result = apply_json_patch(current, [op("add", "/metadata/labels/a", value="b")])
    assert result["spec"] is current["spec"]
    assert result["metadata"]["annotations"] is current["metadata"]["annotations"]
    assert current == {"metadata": {"labels": {}, "annotations": {}}, "spec": {"x": [1]}}


def test_value_that_is_added_is_not_changed_by_later_operations() -> None:
    """An operation can be applied again: what it adds is copied before it is written to."""
    operations = [op("add", "/a", value={"l": []}), op("add", "/a/l/-", value=1)]
    assert apply_json_patch({}, operations) == {"a": {"l": [1]}}
    assert apply_json_patch({}, operations) == {"a": {"l": [1]}}
    same: dict[str, Any] = {"x": 1}
    twice = [op("add", "/a", value=same), op("add", "/b", value=same), op("add", "/a/x", value=2)]
    assert apply_json_patch({}, twice) == {"a": {"x": 2}, "b": {"x": 1}}


def test_nesting_too_deep_is_rejected() -> None:
    """Neither a test nor a copy of what is nested deeper than Python can follow breaks the server."""
    with pytest.raises(UnprocessablePatch):
        apply_json_patch({"a": deep(5000)}, [op("test", "/a", value=deep(5000))])
    with pytest.raises(UnprocessablePatch):
        apply_json_patch({"a": deep(5000)}, [op("copy", "/b", **{"from": "/a"})])


# --- against an independent implementation


_SCALARS = st.sampled_from([None, True, 0, 1, "x", ""])
_DOCUMENTS = st.dictionaries(
    st.sampled_from("abc"),
    st.recursive(
        _SCALARS,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
        ),
        max_leaves=6,
    ),
    max_size=3,
)
_PATHS = st.lists(st.sampled_from(["a", "b", "c", "0", "1", "-"]), min_size=1, max_size=3).map(
    lambda parts: "/" + "/".join(parts)
)
_OPERATIONS = st.lists(
    st.fixed_dictionaries(
        {
            "op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]),
            "path": _PATHS,
            "from": _PATHS,
            "value": _SCALARS | _DOCUMENTS,
        }
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(current=_DOCUMENTS, operations=_OPERATIONS)
def test_what_the_rfc_allows_is_done_as_another_implementation_does(
    current: dict[str, Any], operations: list[dict[str, Any]]
) -> None:
    """Where an independent library applies a patch, so do we, to the same result, and nothing is
    mutated.
    """
    before = orjson.dumps([current, operations])
    try:
        expected: Any = jsonpatch.JsonPatch(operations).apply(current)
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException):
        expected = None
    try:
        result = apply_json_patch(current, operations)
    except UnprocessablePatch:
        result = None
    if expected is not None:
        assert result == expected
    assert orjson.dumps([current, operations]) == before


@settings(max_examples=60, deadline=None, derandomize=True)
@given(current=_DOCUMENTS, wanted=_DOCUMENTS)
def test_patch_made_of_a_difference_leads_to_the_wanted_document(
    current: dict[str, Any], wanted: dict[str, Any]
) -> None:
    """A library's difference between two documents turns one into the other."""
    operations = jsonpatch.make_patch(current, wanted).patch
    assert apply_json_patch(current, operations) == wanted


def _difference(current: Any, wanted: Any) -> Any:
    """A merge patch between documents without nulls."""
    if not isinstance(current, dict) or not isinstance(wanted, dict):
        return wanted
    patch: dict[str, Any] = {key: None for key in current if key not in wanted}
    for key, value in wanted.items():
        if key not in current or current[key] != value:
            patch[key] = _difference(current.get(key), value)
    return patch


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


@settings(max_examples=60, deadline=None, derandomize=True)
@given(current=_DOCUMENTS, wanted=_DOCUMENTS)
def test_merge_of_a_difference_leads_to_the_wanted_document(
    current: dict[str, Any], wanted: dict[str, Any]
) -> None:
    """A difference turns one document into the other, and applying it again changes nothing."""
    current, wanted = _without_nulls(current), _without_nulls(wanted)
    patch = _difference(current, wanted)
    once = merge(current, patch)
    assert once == wanted
    assert merge(once, patch) == wanted
    assert merge(wanted, {}) == wanted
