"""store/custom/validation.py: what a schema says of an object, in the words that clients match on."""

from typing import Any

import pytest
from verger.store.custom.rules import available
from verger.store.custom.schema import MISSING, Node
from verger.store.custom.validation import validate


def errors_of(facts: Any, value: Any, old: Any = MISSING) -> list[str]:
    """What is said of the field `f` with those facts."""
    node = Node({"type": "object", "properties": {"f": facts}}, root=True)
    before = old if old is MISSING else {"f": old}
    return [str(error) for error in validate(node, {"f": value}, before)]


S, INT, NUM = {"type": "string"}, {"type": "integer"}, {"type": "number"}


@pytest.mark.parametrize(
    ("facts", "value", "wanted"),
    [
        pytest.param(
            INT, "x", ['f: Invalid value: "string": f in body must be of type integer: "string"'], id="type"
        ),
        pytest.param(INT, True, ['f: Invalid value: "boolean": f in body must be of type integer: "boolean"'], id="true is no number"),
        pytest.param(INT, 1.5, ['f: Invalid value: "number": f in body must be of type integer: "number"'], id="fraction"),
        pytest.param(S, None, ['f: Invalid value: "null": f in body must be of type string: "null"'], id="null"),
        pytest.param({"x-kubernetes-int-or-string": True}, [], ['f: Invalid value: "array": f in body must be of type integer,string: "array"'], id="neither integer nor string"),
        pytest.param({**S, "enum": ["a", "b"]}, "c", ['f: Unsupported value: "c": supported values: "a", "b"'], id="enum"),
        pytest.param({**INT, "enum": [1, 2]}, 3, ['f: Unsupported value: 3: supported values: "1", "2"'], id="enum of numbers"),
        pytest.param({"enum": [1]}, True, ['f: Unsupported value: true: supported values: "1"'], id="true is not one"),
        pytest.param({**S, "minLength": 2}, "a", ['f: Invalid value: "a": f in body should be at least 2 chars long'], id="short"),
        pytest.param({**S, "maxLength": 1}, "ab", ["f: Too long: may not be more than 1 bytes"], id="long"),
        pytest.param({**S, "pattern": "^a+$"}, "ab", ["f: Invalid value: \"ab\": f in body should match '^a+$'"], id="pattern"),
        pytest.param({**S, "pattern": "^a$"}, "a\n", ["f: Invalid value: \"a\\n\": f in body should match '^a$'"], id="the end of a pattern is the end of the text"),
        pytest.param({**S, "format": "date-time"}, "no", ['f: Invalid value: "no": f in body must be of type date-time: "no"'], id="format"),
        pytest.param({**INT, "minimum": 2}, 1, ["f: Invalid value: 1: f in body should be greater than or equal to 2"], id="minimum"),
        pytest.param({**INT, "maximum": 2.0}, 3, ["f: Invalid value: 3: f in body should be less than or equal to 2"], id="maximum"),
        pytest.param({**NUM, "minimum": 2, "exclusiveMinimum": True}, 2, ["f: Invalid value: 2: f in body should be greater than 2"], id="exclusive minimum"),
        pytest.param({**NUM, "maximum": 2.5, "exclusiveMaximum": True}, 2.5, ["f: Invalid value: 2.5: f in body should be less than 2.5"], id="exclusive maximum"),
        pytest.param({**INT, "multipleOf": 3}, 4, ["f: Invalid value: 4: f in body should be a multiple of 3"], id="multiple"),
        pytest.param({"type": "array", "items": INT, "maxItems": 1}, [1, 2], ["f: Too many: 2: must have at most 1 items"], id="many items"),
        pytest.param({"type": "array", "items": INT, "minItems": 1}, [], ["f: Invalid value: 0: f in body should have at least 1 items"], id="few items"),
        pytest.param({"type": "array", "items": INT}, [1, "x"], ['f[1]: Invalid value: "string": f[1] in body must be of type integer: "string"'], id="an item, by index"),
        pytest.param({"type": "object", "additionalProperties": INT}, {"k": "x"}, ['f.k: Invalid value: "string": f.k in body must be of type integer: "string"'], id="a member, by key"),
        pytest.param({"type": "object", "maxProperties": 1, "additionalProperties": INT}, {"a": 1, "b": 2}, ["f: Too many: 2: must have at most 1 items"], id="many members"),
        pytest.param({"type": "object", "required": ["a"]}, {}, ["f.a: Required value"], id="required"),
        pytest.param({"type": "array", "items": S, "x-kubernetes-list-type": "set"}, ["a", "b", "a"], ['f[2]: Duplicate value: "a"'], id="a set has everything once"),
        pytest.param(
            {"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]},
            [{"k": "a", "v": 1}, {"k": "a", "v": 2}],
            ['f[1]: Duplicate value: {"k":"a"}'],
            id="a map has every key once",
        ),
        pytest.param({"type": "object", "x-kubernetes-embedded-resource": True}, {"kind": "K"}, ["f.apiVersion: Required value: must not be empty"], id="an embedded object says what it is"),
        pytest.param(
            {**INT, "anyOf": [{"minimum": 5}, {"maximum": 1}]},
            3,
            ['<nil>: Invalid value: "": "f" must validate at least one schema (anyOf)', "f: Invalid value: 3: f in body should be greater than or equal to 5"],
            id="none of some",
        ),
        pytest.param({**INT, "oneOf": [{"minimum": 1}, {"maximum": 5}]}, 3, ['<nil>: Invalid value: "": "f" must validate one and only one schema (oneOf). Found 2 valid alternatives'], id="two of one"),
        pytest.param({**INT, "allOf": [{"minimum": 1}, {"maximum": 2}]}, 3, ['<nil>: Invalid value: "": "f" must validate all the schemas (allOf)', "f: Invalid value: 3: f in body should be less than or equal to 2"], id="not all"),
        pytest.param({**INT, "not": {"minimum": 1}}, 3, ['<nil>: Invalid value: "": "f" must not validate the schema (not)'], id="one that it must not be"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_known_words(facts: Any, value: Any, wanted: list[str]) -> None:
    """Field, cause and sentence are upstream's."""
    assert errors_of(facts, value) == wanted


@pytest.mark.parametrize(
    ("facts", "value"),
    [
        pytest.param(INT, 1.0, id="a number without a fraction is an integer"),
        pytest.param(NUM, 1, id="an integer is a number"),
        pytest.param({**INT, "minimum": 2, "maximum": 2}, 2, id="a limit is within the limits"),
        pytest.param({**S, "nullable": True, "enum": ["a"]}, None, id="a null that may be one"),
        pytest.param({"x-kubernetes-int-or-string": True}, "10%", id="a string of int-or-string"),
        pytest.param({**S, "format": "unheard-of"}, "x", id="a format that nobody knows"),
        pytest.param({**S, "format": "uuid"}, "0c617631-fd37-4adc-b2d5-83a87f74d980", id="a uuid"),
        pytest.param({**S, "format": "cidr"}, "10.0.0.0/8", id="a network"),
        pytest.param({**S, "format": "ipv6"}, "::1", id="an address"),
        pytest.param({**S, "format": "byte"}, "YQ==", id="base64"),
        pytest.param({**S, "pattern": "a"}, "bab", id="a pattern that is found anywhere"),
        pytest.param({**INT, "oneOf": [{"minimum": 5}, {"maximum": 4}]}, 3, id="one of two"),
    ],
)
def test_what_fits_is_not_complained_of(facts: Any, value: Any) -> None:
    """No errors."""
    assert errors_of(facts, value) == []


@pytest.mark.parametrize("text", ["10.0.0", "x", "1.2.3.4/33", ""])
@pytest.mark.parametrize("form", ["ipv4", "ipv6", "cidr", "uuid", "date", "mac", "uuid4"])
def test_formats_refuse_what_is_not_of_them(form: str, text: str) -> None:
    """A format that takes anything would be none."""
    assert len(errors_of({**S, "format": form}, text)) == 1


def test_what_has_not_changed_is_not_judged_again() -> None:
    """An update is not refused for what was stored under another schema."""
    items = {"type": "object", "properties": {"a": INT, "b": INT}}
    assert errors_of(items, {"a": "x", "b": 1}, {"a": "x", "b": 2}) == []
    assert errors_of(items, {"a": "x", "b": 1}, {"a": "y", "b": 1}) != []


def test_unchanged_items_are_known_by_their_keys() -> None:
    """Items of a map stay who they are when others come before them."""
    facts = {
        "type": "array",
        "items": {"type": "object", "properties": {"k": S, "v": INT}},
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["k"],
    }
    stored = [{"k": "a", "v": "wrong"}]
    assert errors_of(facts, [{"k": "b", "v": 1}, *stored], stored) == []
    assert len(errors_of(facts, [{"k": "b", "v": "wrong"}, *stored], stored)) == 1


RULED = {
    "type": "object",
    "properties": {
        "min": INT,
        "max": NUM,
        "id": {**S, "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "fixed"}]},
        "namespace": S,
    },
}


def ruled(rule: str, **more: Any) -> dict[str, Any]:
    return {**RULED, "x-kubernetes-validations": [{"rule": rule, **more}]}


@pytest.mark.parametrize(
    ("facts", "value", "wanted"),
    [
        pytest.param(ruled("self.min <= self.max"), {"min": 1, "max": 2}, [], id="holds"),
        pytest.param(ruled("self.min <= self.max"), {"min": 3, "max": 2}, ["f: Invalid value: failed rule: self.min <= self.max"], id="does not"),
        pytest.param(ruled("self.min <= self.max", message="no"), {"min": 3, "max": 2}, ["f: Invalid value: no"], id="says what it was told to say"),
        pytest.param(ruled("self.min < 1", message="no", messageExpression="'got ' + string(self.min)"), {"min": 3}, ["f: Invalid value: got 3"], id="works out what to say"),
        pytest.param(ruled("self.min < 1", message="no", fieldPath=".min", reason="FieldValueForbidden"), {"min": 3}, ["f.min: Forbidden: no"], id="says where, and why"),
        pytest.param(ruled("self.min <= self.max"), {"min": 3}, ["f: Invalid value: no such key: max evaluating rule: self.min <= self.max"], id="speaks of what is not there"),
        pytest.param(ruled("self.max * 2.0 == 4.0"), {"max": 2}, [], id="numbers are numbers, however they are written"),
        pytest.param(ruled("self.__namespace__ == 'a'"), {"namespace": "a"}, [], id="names that are words of the language"),
        pytest.param(ruled("self.nonsense()"), {}, [], id="what is no rule here is passed over"),
        pytest.param(ruled("self.min < 1"), {"min": "x"}, ['f.min: Invalid value: "string": f.min in body must be of type integer: "string"', "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation"], id="is not asked of what is something else"),
    ],
)  # fmt: skip
def test_rules_are_asked(facts: Any, value: Any, wanted: list[str]) -> None:
    """Rules judge the value of their place, in upstream's words."""
    assert available()
    assert errors_of(facts, value) == wanted


def test_rules_of_changes_are_asked_of_changes_alone() -> None:
    """A rule that speaks of the old value needs one."""
    assert errors_of(RULED, {"id": "a"}) == []
    assert errors_of(RULED, {"id": "a"}, {"id": "a"}) == []
    assert errors_of(RULED, {"id": "b"}, {"id": "a"}) == ['f.id: Invalid value: "b": fixed']
    assert errors_of(RULED, {"id": "b"}, {}) == []


def test_names_are_held_against_the_schema() -> None:
    """Of the metadata a schema may restrict the name."""
    name = {"type": "string", "maxLength": 3}
    metadata = {"type": "object", "properties": {"name": name}}
    node = Node({"type": "object", "properties": {"metadata": metadata}}, root=True)
    assert validate(node, {"metadata": {"name": "abc"}}) == []
    wrong = validate(node, {"metadata": {"name": "abcd"}})
    assert [str(error) for error in wrong] == [
        "metadata.name: Too long: may not be more than 3 bytes"
    ]


@pytest.mark.parametrize(
    ("form", "fitting", "unfit"),
    [
        ("date-time", ["2024-01-02T03:04:05Z", "2024-01-02t03:04:05.123z", "2024-01-02T03:04:05+01:00"], ["", "2024-01-02", "20240102T030405Z", "2024-01-02 03:04:05Z", "2024-01-02T24:04:05Z", "2024-02-31T03:04:05Z", "2024-01-02T03:04:05"]),
        ("date", ["2024-01-02"], ["20240102", "2024-13-01", "2024-01-02T03:04:05Z"]),
    ],
)  # fmt: skip
def test_times_are_written_in_one_way(form: str, fitting: list[str], unfit: list[str]) -> None:
    """Python reads more than RFC 3339 has; and what fits can be asked about."""
    rules = [{"rule": "timestamp('2000-01-01T00:00:00Z') < self"}]
    facts = {**S, "format": form, "x-kubernetes-validations": rules if available() else []}
    assert [errors_of(facts, text) for text in fitting] == [[] for _ in fitting]
    assert [text for text in unfit if not errors_of(facts, text)] == []


def test_rules_see_times_and_durations_as_such() -> None:
    """Also where they stand inside of what the rule is about."""
    facts = {
        "type": "object",
        "properties": {"t": {**S, "format": "date-time"}, "d": {**S, "format": "duration"}},
        "x-kubernetes-validations": [
            {"rule": "self.t.getFullYear() == 2024 && self.d < duration('2s')"}
        ],
    }
    assert errors_of(facts, {"t": "2024-01-02T03:04:05Z", "d": "1.5s"}) == []
    assert errors_of(facts, {"t": "2024-01-02T03:04:05Z", "d": "-1.5s"}) == []
    assert len(errors_of(facts, {"t": "2024-01-02T03:04:05Z", "d": "1h"})) == 1
    assert len(errors_of(facts, {"t": "2023-01-02T03:04:05Z", "d": "1s"})) == 1
