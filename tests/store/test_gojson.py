"""The words for what is wrong with a JSON body are those of a Go server."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from verger.store.gojson import MAX_DEPTH, go_json_error, go_kind, go_print

OWN = ValueError("in our own words")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(b"", "unexpected end of JSON input", id="nothing"),
        pytest.param(b" \t\r\n", "unexpected end of JSON input", id="white space only"),
        pytest.param(b"{", "unexpected end of JSON input", id="an object that does not end"),
        pytest.param(b'["a"', "unexpected end of JSON input", id="a list that does not end"),
        pytest.param(b'{"a"', "unexpected end of JSON input", id="a key without value"),
        pytest.param(b'{"a":', "unexpected end of JSON input", id="a colon without value"),
        pytest.param(b'"abc', "unexpected end of JSON input", id="a string that does not end"),
        pytest.param(
            b'{"a":1}x', "invalid character 'x' after top-level value", id="text after it"
        ),
        pytest.param(
            b'{"metadata":{"name":"x"}} trailing',
            "invalid character 't' after top-level value",
            id="text after it and a space",
        ),
        pytest.param(b"{}{}", "invalid character '{' after top-level value", id="two documents"),
        pytest.param(b"01", "invalid character '1' after top-level value", id="a leading zero"),
        pytest.param(
            b"1.5.2", "invalid character '.' after top-level value", id="two decimal points"
        ),
        pytest.param(b"1e5e", "invalid character 'e' after top-level value", id="two exponents"),
        pytest.param(
            b"}", "invalid character '}' looking for beginning of value", id="an end without start"
        ),
        pytest.param(
            b"[1,]", "invalid character ']' looking for beginning of value", id="a trailing comma"
        ),
        pytest.param(
            b'{"a":}', "invalid character '}' looking for beginning of value", id="no value"
        ),
        pytest.param(
            b"xyz", "invalid character 'x' looking for beginning of value", id="no JSON at all"
        ),
        pytest.param(
            b"NaN", "invalid character 'N' looking for beginning of value", id="not a number"
        ),
        pytest.param(
            b"+1", "invalid character '+' looking for beginning of value", id="a number with plus"
        ),
        pytest.param(
            b"{1}",
            "invalid character '1' looking for beginning of object key string",
            id="a key that is no string",
        ),
        pytest.param(
            b'{"a":1,}',
            "invalid character '}' looking for beginning of object key string",
            id="a trailing comma in an object",
        ),
        pytest.param(b'{"a" 1}', "invalid character '1' after object key", id="no colon"),
        pytest.param(b'{"a"}', "invalid character '}' after object key", id="a key alone"),
        pytest.param(
            b'{"a":1,"b":2,"c"]',
            "invalid character ']' after object key",
            id="a key alone after good members",
        ),
        pytest.param(
            b'{"a":1 "b":2}',
            "invalid character '\"' after object key:value pair",
            id="no comma between members",
        ),
        pytest.param(
            b'{"a":1]', "invalid character ']' after object key:value pair", id="the wrong bracket"
        ),
        pytest.param(
            b"[1 2]", "invalid character '2' after array element", id="no comma between items"
        ),
        pytest.param(
            b"[[1}", "invalid character '}' after array element", id="the wrong bracket in a list"
        ),
        pytest.param(
            b"[trxe]", "invalid character 'x' in literal true (expecting 'u')", id="almost true"
        ),
        pytest.param(
            b"tx", "invalid character 'x' in literal true (expecting 'r')", id="hardly true"
        ),
        pytest.param(
            b"falsy", "invalid character 'y' in literal false (expecting 'e')", id="almost false"
        ),
        pytest.param(
            b"nil", "invalid character 'i' in literal null (expecting 'u')", id="almost null"
        ),
        pytest.param(
            b"tru",
            "invalid character ' ' in literal true (expecting 'e')",
            id="a literal cut short meets the space that ends every document",
        ),
        pytest.param(b"-", "invalid character ' ' in numeric literal", id="a sign alone"),
        pytest.param(b"-x", "invalid character 'x' in numeric literal", id="a sign and a letter"),
        pytest.param(
            b"1.x",
            "invalid character 'x' after decimal point in numeric literal",
            id="no digit after the decimal point",
        ),
        pytest.param(
            b"1.",
            "invalid character ' ' after decimal point in numeric literal",
            id="nothing after the decimal point",
        ),
        pytest.param(
            b"1ex", "invalid character 'x' in exponent of numeric literal", id="no exponent"
        ),
        pytest.param(
            b"1e+", "invalid character ' ' in exponent of numeric literal", id="a sign as exponent"
        ),
        pytest.param(
            b'"a\nb"', "invalid character '\\n' in string literal", id="a line break in a string"
        ),
        pytest.param(
            b'"\x01"', "invalid character '\\x01' in string literal", id="a control character"
        ),
        pytest.param(
            b'"\\x41"', "invalid character 'x' in string escape code", id="no such escape"
        ),
        pytest.param(
            b'"\\',
            "invalid character ' ' in string escape code",
            id="a backslash at the end",
        ),
        pytest.param(
            b'"\\u12G4"',
            "invalid character 'G' in \\u hexadecimal character escape",
            id="an escape that is not hexadecimal",
        ),
        pytest.param(
            b'{"a":"b","c":"\\u00"}',
            "invalid character '\"' in \\u hexadecimal character escape",
            id="an escape cut short after good members",
        ),
        pytest.param(
            b"'a'",
            "invalid character '\\'' looking for beginning of value",
            id="a single quote is escaped",
        ),
        pytest.param(
            b"\\", "invalid character '\\\\' looking for beginning of value", id="a backslash too"
        ),
        pytest.param(
            b"\xef\xbb\xbf{}",
            "invalid character 'ï' looking for beginning of value",
            id="a byte order mark is shown as the character of its first byte",
        ),
        pytest.param(
            b"\xa0",
            "invalid character '\\u00a0' looking for beginning of value",
            id="a byte that cannot be printed",
        ),
        pytest.param(
            b"\x7f",
            "invalid character '\\x7f' looking for beginning of value",
            id="a delete character",
        ),
        pytest.param(
            b"[" * (MAX_DEPTH + 1),
            "invalid character '[' exceeded max depth",
            id="lists nested too deeply",
        ),
        pytest.param(
            b"[" + b'1,"a",null,[], -2.5e3 ,' * 20_000 + b"]",
            "invalid character ']' looking for beginning of value",
            id="an error after very many items",
        ),
        pytest.param(
            b"{" + b'"a":1,"b" : "x",' * 20_000 + b"1",
            "invalid character '1' looking for beginning of object key string",
            id="an error after very many members",
        ),
    ],
)
def test_syntax_error_is_worded_as_go_does(body: bytes, words: str) -> None:
    """The first byte that no document can have is named, and where it stands."""
    assert go_json_error(body, OWN) == words


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'"\xff"', id="invalid UTF-8"),
        pytest.param(b'"\\ud800"', id="half a surrogate pair"),
        pytest.param(b"1e999", id="a number too large"),
        pytest.param(
            b"[" + b"[[1],2]," * 300_000, id="more to read than the event loop may wait for"
        ),
    ],
)
def test_error_without_words_of_go_keeps_its_own(body: bytes) -> None:
    """When the scan finds nothing, the parser's error speaks for itself."""
    assert go_json_error(body, OWN) == "in our own words"


@pytest.mark.parametrize(
    "item",
    [
        pytest.param(b"1,", id="numbers"),
        pytest.param(b'"a\\n",', id="strings"),
        pytest.param(b"[],", id="empty lists"),
        pytest.param(b'{"a":[1]},', id="objects"),
        pytest.param(b"[", id="depth"),
        pytest.param(b" ", id="spaces"),
    ],
)
def test_hostile_body_is_worded_quickly(item: bytes) -> None:
    """A body made to be slow costs a moment: a tenth of a second here, a generous second in the
    test.
    """
    body = b"[" + item * (3 * 1024 * 1024 // len(item))
    start = time.process_time()
    go_json_error(body, OWN)
    assert time.process_time() - start < 1


def _valid(text: str) -> bool:
    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        json.loads(text, parse_constant=refuse)
    except ValueError:
        return False
    return True


_SCALARS = st.sampled_from(
    [None, True, False, 0, 7, -1, 1.5, 2e30, -1e-9, "", "a", 'q"\\/', "é\n\x07", "\U0001f600"]
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["", "a", "b\t", '"']), inner, max_size=3)
    ),
    max_leaves=8,
)
_FRAGMENTS = st.sampled_from([*'{}[]":,\\ue0.-+1tx \n\x01', "true", "nul", '"a":', "1e", '"\\u00'])


@settings(max_examples=120, deadline=None, derandomize=True)
@given(
    value=_VALUES,
    at=st.integers(0, 60),
    cut=st.integers(0, 3),
    put=_FRAGMENTS | st.just(""),
    indent=st.sampled_from([None, 2]),
)
def test_complaint_comes_exactly_when_the_text_is_no_json(
    value: object, at: int, cut: int, put: str, indent: int | None
) -> None:
    """The scan and an independent parser agree on what is JSON, also on documents that are slightly
    broken.
    """
    text = json.dumps(value, indent=indent)
    at %= len(text) + 1
    text = text[:at] + put + text[at + cut :]
    complaint = go_json_error(text.encode(), OWN)
    assert (complaint == str(OWN)) == _valid(text)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(value=_VALUES, at=st.integers(0, 60))
def test_document_cut_short_ends_unexpectedly(value: object, at: int) -> None:
    """What is cut off is never a byte that could not be there, unless the space at the end is."""
    text = json.dumps([value])
    words = go_json_error(text[: at % len(text)].encode(), OWN)
    assert words == "unexpected end of JSON input" or words.startswith("invalid character ' ' ")


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({}, "object"),
        ([], "array"),
        ("", "string"),
        (0, "number"),
        (0.5, "number"),
        (True, "bool"),
        (None, "null"),
    ],
)
def test_kind_of_a_value_is_named_as_go_does(value: object, kind: str) -> None:
    """A boolean is no number, and a list is an array."""
    assert go_kind(value) == kind


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        pytest.param({"$patch": "merge"}, "map[$patch:merge]", id="a map"),
        pytest.param({"b": 1, "a": True, "c": None}, "map[a:true b:1 c:<nil>]", id="keys in order"),
        pytest.param(
            {"a": [{"b": "x y"}, 1.5, False]}, "map[a:[map[b:x y] 1.5 false]]", id="nested"
        ),
        pytest.param([[], {}], "[[] map[]]", id="empty ones"),
    ],
)
def test_value_is_printed_as_go_does(value: object, printed: str) -> None:
    """Maps print their keys in order, so a message is the same each time."""
    assert go_print(value) == printed
