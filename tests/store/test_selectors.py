"""Selectors are read as a kube-apiserver reads them, and select what their words say."""

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from verger.store.selectors import (
    EVERYTHING,
    FieldSelector,
    LabelSelector,
    Operator,
    Requirement,
    SelectorError,
    parse_fields,
    parse_labels,
)

QUICK = settings(max_examples=80, deadline=None, derandomize=True)

OPERATORS = "in, notin, =, ==, !=, gt, lt"
UNABLE = "unable to parse requirement: "
NAME = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
    "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
NO_INTEGER = "for 'Gt', 'Lt' operators, the value must be an integer"


def need(key: str, operator: Operator, *values: str) -> Requirement:
    return Requirement(key, operator, values)


@pytest.mark.parametrize(
    ("text", "requirements"),
    [
        pytest.param("", [], id="nothing selects everything"),
        pytest.param(" \t", [], id="white space too"),
        pytest.param("a=b", [need("a", "=", "b")], id="equal"),
        pytest.param("a==b", [need("a", "==", "b")], id="twice equal"),
        pytest.param("a!=b", [need("a", "!=", "b")], id="not equal"),
        pytest.param("a", [need("a", "exists")], id="exists"),
        pytest.param("!a", [need("a", "!")], id="does not exist"),
        pytest.param("a in (x,y)", [need("a", "in", "x", "y")], id="one of a set"),
        pytest.param("a notin (x)", [need("a", "notin", "x")], id="none of a set"),
        pytest.param("a>5", [need("a", ">", "5")], id="greater"),
        pytest.param("a<5", [need("a", "<", "5")], id="less"),
        pytest.param(
            "a=b,!c,d in(e)",
            [need("a", "=", "b"), need("c", "!"), need("d", "in", "e")],
            id="a comma means and",
        ),
        pytest.param(
            " a \t= b ,\n! c ", [need("a", "=", "b"), need("c", "!")], id="white space anywhere"
        ),
        pytest.param("a=", [need("a", "=", "")], id="an empty value at the end"),
        pytest.param(
            "a=,b", [need("a", "=", ""), need("b", "exists")], id="an empty value in front of more"
        ),
        pytest.param("a in ()", [need("a", "in", "")], id="an empty set holds the empty value"),
        pytest.param("a in (,)", [need("a", "in", "")], id="a comma in a set"),
        pytest.param("a in (x,)", [need("a", "in", "x", "")], id="a comma at the end of a set"),
        pytest.param("a in (,x)", [need("a", "in", "", "x")], id="a comma in front of a set"),
        pytest.param("a in (x,,y)", [need("a", "in", "x", "", "y")], id="two commas inside a set"),
        pytest.param("a in (x,,)", [need("a", "in", "x", "")], id="two commas at the end of a set"),
        pytest.param("a in (x,x)", [need("a", "in", "x")], id="a value twice"),
        pytest.param("in in (in,notin)", [need("in", "in", "in", "notin")], id="words as names"),
        pytest.param("notin=in", [need("notin", "=", "in")], id="words as key and value"),
        pytest.param("x.io/a=b", [need("x.io/a", "=", "b")], id="a key with a prefix"),
    ],
)
def test_label_selector_is_read(text: str, requirements: list[Requirement]) -> None:
    """Each form of a requirement is known, and white space separates without meaning."""
    found = parse_labels(text)
    assert list(found.requirements) == requirements
    assert bool(found) is bool(requirements)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            "===", "found '==', expected: !, identifier, or 'end of string'", id="operators alone"
        ),
        pytest.param(
            "(", "found '(', expected: !, identifier, or 'end of string'", id="a bracket alone"
        ),
        pytest.param(
            ",,", "found ',', expected: !, identifier, or 'end of string'", id="commas alone"
        ),
        pytest.param("a,", "found '', expected: identifier after ','", id="nothing after a comma"),
        pytest.param(
            "a,,b", "found ',', expected: identifier after ','", id="a comma after a comma"
        ),
        pytest.param(
            "x=a b", "found 'b', expected: ',' or 'end of string'", id="a space in a value"
        ),
        pytest.param(
            "!x=a", "found '=', expected: ',' or 'end of string'", id="a value of what is not there"
        ),
        pytest.param("!", f"{UNABLE}found '', expected: identifier", id="no key to be absent"),
        pytest.param("!(", f"{UNABLE}found '(', expected: identifier", id="a bracket for a key"),
        pytest.param(
            "x y", f"{UNABLE}found 'y', expected: {OPERATORS}", id="a word for an operator"
        ),
        pytest.param(
            "x)", f"{UNABLE}found ')', expected: {OPERATORS}", id="a bracket for an operator"
        ),
        pytest.param("x=(", f"{UNABLE}found '(', expected: identifier", id="a bracket for a value"),
        pytest.param("x in a", f"{UNABLE}found 'a' expected: '('", id="a set without brackets"),
        pytest.param(
            "x in (=", f"{UNABLE}found '=', expected: ',', ')' or identifier", id="no set at all"
        ),
        pytest.param(
            "x in (a b)", f"{UNABLE}found 'b', expected: ',' or ')'", id="no comma in a set"
        ),
        pytest.param(
            "x in (a", f"{UNABLE}found '', expected: ',' or ')'", id="a set that does not end"
        ),
        pytest.param(
            "x in (a,",
            f"{UNABLE}found '', expected: ',', or identifier",
            id="a set that ends at a comma",
        ),
        pytest.param(
            "x in (a,=)",
            f"{UNABLE}found '=', expected: ',', or identifier",
            id="an operator in a set",
        ),
        pytest.param(
            "a/b/c=d",
            f'{UNABLE}<nil>: Invalid value: "a/b/c": a valid label key {NAME} with an optional DNS '
            "subdomain prefix and '/' (e.g. 'example.com/MyName')",
            id="a bad key",
        ),
        pytest.param(
            "a/=d",
            f'{UNABLE}<nil>: Invalid value: "a/": name part must be non-empty; name part {NAME}',
            id="all that is wrong with a key",
        ),
        pytest.param(
            f"x={'v' * 64}",
            f'{UNABLE}values[0][x]: Invalid value: "{"v" * 64}": must be no more than 63 bytes',
            id="a long value",
        ),
        pytest.param(
            f"x={'-' * 64}",
            f'{UNABLE}values[0][x]: Invalid value: "{"-" * 64}": must be no more than 63 bytes; {VALUE}',
            id="all that is wrong with a value",
        ),
        pytest.param(
            "x in (a,-b,-c)",
            f'{UNABLE}[values[0][x]: Invalid value: "-b": {VALUE}, values[1][x]: Invalid value: '
            f'"-c": {VALUE}]',
            id="two bad values, counted in sorted order",
        ),
        pytest.param(
            "x>y", f'{UNABLE}values[0]: Invalid value: "y": {NO_INTEGER}', id="more than a word"
        ),
        pytest.param(
            "x<", f'{UNABLE}values[0]: Invalid value: "": {NO_INTEGER}', id="less than nothing"
        ),
        pytest.param(
            "x>1_0",
            f'{UNABLE}values[0]: Invalid value: "1_0": {NO_INTEGER}',
            id="an underscore in a number",
        ),
        pytest.param(
            f"x>{2**63}",
            f'{UNABLE}values[0]: Invalid value: "{2**63}": {NO_INTEGER}',
            id="a number of more than 64 bits",
        ),
        pytest.param(
            "x>-1",
            f'{UNABLE}values[0][x]: Invalid value: "-1": {VALUE}',
            id="a negative number is no label value",
        ),
    ],
)
def test_bad_label_selector_is_refused_in_the_words_of_upstream(text: str, message: str) -> None:
    """What cannot be read is refused with upstream's message."""
    # upstream: apimachinery/pkg/labels/selector.go
    with pytest.raises(SelectorError) as refused:
        parse_labels(text)
    assert str(refused.value) == message


KEYS = st.sampled_from(["a", "x.io/a", "in"])
VALUES = st.sampled_from(
    ["", "x", "y", "in", "notin", "1", "7", "-7", "007", "1_0", "99999999999999999999"]
)
NUMBERS = st.sampled_from(["0", "1", "7", "07", "12"])


def _requirement(key: str, operator: Operator, values: list[str], number: str) -> Requirement:
    values = [value for value in values if not value.startswith("-")]
    match operator:
        case "exists" | "!":
            return Requirement(key, operator)
        case ">" | "<":
            return Requirement(key, operator, (number,))
        case "in" | "notin":
            return Requirement(key, operator, tuple(dict.fromkeys(values)) or ("",))
        case _:
            return Requirement(key, operator, tuple(values[:1]) or ("",))


REQUIREMENTS = st.builds(
    _requirement,
    KEYS,
    st.sampled_from(["=", "==", "!=", "in", "notin", "exists", "!", ">", "<"]),
    st.lists(VALUES, max_size=3),
    NUMBERS,
)
SELECTORS = st.lists(REQUIREMENTS, max_size=4).map(lambda found: LabelSelector(tuple(found)))
LABELS = st.dictionaries(KEYS, VALUES, max_size=4)


def printed(selector: LabelSelector, space: str) -> str:
    """The selector as text, in the way that upstream prints one."""
    out = []
    for key, operator, values in selector.requirements:
        match operator:
            case "exists":
                out.append(key)
            case "!":
                out.append(f"!{space}{key}")
            case "in" | "notin":
                listed = f"{space},".join(values)
                out.append(f"{key} {operator}{space}({listed}{space})")
            case _:
                out.append(f"{key}{space}{operator}{space}{values[0]}")
    return f"{space},{space}".join(out)


@QUICK
@given(selector=SELECTORS, space=st.sampled_from(["", " ", "\t "]))
def test_printed_selector_is_read_as_it_was(selector: LabelSelector, space: str) -> None:
    """Reading is the inverse of printing."""
    assert parse_labels(printed(selector, space)) == selector


def go_integer(text: str) -> int | None:
    """The value of a decimal integer of 64 bits, as Go reads one."""
    digits = text.removeprefix("-").removeprefix("+") if text[:2] not in ("+-", "-+") else ""
    if not digits or any(char not in "0123456789" for char in digits):
        return None
    value = int(digits) * (-1 if text.startswith("-") else 1)
    return value if -(2**63) <= value < 2**63 else None


def naive(requirement: Requirement, labels: Mapping[str, str]) -> bool:
    """What a requirement says, word by word."""
    key, operator, values = requirement
    there = key in labels
    value = labels.get(key, "")
    have, want = go_integer(value), go_integer(values[0]) if values else None
    return {
        "exists": there,
        "!": not there,
        "=": there and value == (values or ("",))[0],
        "==": there and value == (values or ("",))[0],
        "!=": not (there and value == (values or ("",))[0]),
        "in": there and value in values,
        "notin": not (there and value in values),
        ">": there and have is not None and want is not None and have > want,
        "<": there and have is not None and want is not None and have < want,
    }[operator]


@QUICK
@given(requirement=REQUIREMENTS, labels=LABELS)
def test_requirement_means_what_it_says(
    requirement: Requirement, labels: Mapping[str, str]
) -> None:
    """Each operator is taken at its word."""
    assert requirement.matches(labels) is naive(requirement, labels)


@QUICK
@given(selector=SELECTORS, labels=LABELS)
def test_selector_is_all_of_its_requirements(
    selector: LabelSelector, labels: Mapping[str, str]
) -> None:
    """An object is selected when every requirement holds; when there is none, always."""
    expected = all(requirement.matches(labels) for requirement in selector.requirements)
    assert selector.matches(labels) is expected


@QUICK
@given(text=st.text("ab/=!<>(),in 1-\t\\é", max_size=12))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Whatever a client sends, the answer is a selector or a SelectorError."""
    for parse in (parse_labels, parse_fields):
        try:
            parse(text)
        except SelectorError:
            continue


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        pytest.param("", [], id="nothing"),
        pytest.param("metadata.name=x", [("metadata.name", True, "x")], id="equal"),
        pytest.param("a==x", [("a", True, "x")], id="twice equal"),
        pytest.param("a!=x", [("a", False, "x")], id="not equal"),
        pytest.param("a=x,b!=y", [("a", True, "x"), ("b", False, "y")], id="a comma means and"),
        pytest.param("a=x,", [("a", True, "x")], id="a trailing comma"),
        pytest.param(",,a=x,,", [("a", True, "x")], id="empty terms are ignored"),
        pytest.param("a=", [("a", True, "")], id="an empty value"),
        pytest.param("=x", [("", True, "x")], id="an empty field"),
        pytest.param(r"a=x\,y", [("a", True, "x,y")], id="an escaped comma"),
        pytest.param(r"a=x\=y", [("a", True, "x=y")], id="an escaped equals sign"),
        pytest.param(r"a=x\\,b=y", [("a", True, "x\\"), ("b", True, "y")], id="a backslash"),
        pytest.param("a= x ", [("a", True, " x ")], id="white space is part of a value"),
        pytest.param("a=x!", [("a", True, "x!")], id="an exclamation mark in a value"),
        pytest.param(r"a\=b=c\=d", None, id="nothing is escaped on the left"),
        pytest.param("a=b!=c", None, id="the first operator counts"),
    ],
)
def test_field_selector_is_read(text: str, terms: list[tuple[str, bool, str]] | None) -> None:
    """Equality and inequality, empty terms ignored, and backslashes in values; None: it is refused."""
    if terms is None:
        with pytest.raises(SelectorError):
            parse_fields(text)
        return
    found = parse_fields(text)
    assert list(found.terms) == terms
    assert bool(found) is bool(terms)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("x", "invalid selector: 'x'; can't understand 'x'", id="no operator"),
        pytest.param(
            "a=b,c>d", "invalid selector: 'a=b,c>d'; can't understand 'c>d'", id="no such operator"
        ),
        pytest.param(
            r"a=\x",
            r"invalid field selector: invalid escape sequence: \x",
            id="an escape of what needs none",
        ),
        pytest.param(
            "a=x\\",
            "invalid field selector: invalid escape sequence: \\",
            id="a backslash at the end",
        ),
        pytest.param(
            "a=b=c",
            "invalid field selector: unescaped character in value: 61",
            id="an equals sign in a value, shown by its number",
        ),
    ],
)
def test_bad_field_selector_is_refused_in_the_words_of_upstream(text: str, message: str) -> None:
    """What cannot be read is refused with upstream's message."""
    # upstream: apimachinery/pkg/fields/selector.go
    with pytest.raises(SelectorError) as refused:
        parse_fields(text)
    assert str(refused.value) == message


@QUICK
@given(
    terms=st.lists(
        st.tuples(
            st.sampled_from(["metadata.name", "type", "a.b"]),
            st.booleans(),
            st.text("ab,=\\!é ", max_size=6),
        ),
        max_size=3,
    )
)
def test_escaped_field_selector_is_read_as_it_was(terms: list[tuple[str, bool, str]]) -> None:
    """Any value can be said when commas, equals signs and backslashes are escaped."""

    def escaped(value: str) -> str:
        return value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")

    text = ",".join(f"{field}{'=' if eq else '!='}{escaped(value)}" for field, eq, value in terms)
    assert parse_fields(text) == FieldSelector(tuple(terms))


@pytest.mark.parametrize(
    ("text", "value", "selected"),
    [
        pytest.param("x>5", "7", True, id="more"),
        pytest.param("x>5", "5", False, id="not more"),
        pytest.param("x<5", "007", False, id="leading zeros mean nothing"),
        pytest.param("x<5", "04", True, id="leading zeros mean nothing here too"),
        pytest.param("x>5", "seven", False, id="a word is no number"),
        pytest.param("x<5", "", False, id="nothing is no number"),
        pytest.param("x>5", "1_0", False, id="an underscore makes no number"),
        pytest.param("x>5", "9" * 20, False, id="more than 64 bits are no number"),
        pytest.param("x>5", str(2**63 - 1), True, id="the largest number"),
    ],
)
def test_values_are_compared_as_integers_of_64_bits(text: str, value: str, selected: bool) -> None:
    """More and less are about decimal integers; what is none is neither more nor less."""
    assert parse_labels(text).matches({"x": value}) is selected
    assert parse_labels(text).matches({}) is False


def test_value_that_a_field_must_have_is_found() -> None:
    """Only an equality tells the value of a field."""
    selector = parse_fields("a!=x,b=y,a=z")
    assert selector.value_of("a") == "z"
    assert selector.value_of("b") == "y"
    assert selector.value_of("c") is None
    assert EVERYTHING.matches({})
