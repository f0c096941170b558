"""Names, labels and keys are judged as a kube-apiserver judges them, and in its words."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from verger.store import names

SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
LABEL_1035 = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')"
)
QUALIFIED = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
    "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
TWO_SLASHES = (
    f"a valid label key {QUALIFIED} with an optional DNS subdomain prefix and '/' "
    "(e.g. 'example.com/MyName')"
)
LABEL_VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
CONFIG_KEY = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or "
    "'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
EMPTY = "name part must be non-empty"


@pytest.mark.parametrize(
    ("judge", "name", "complaints"),
    [
        pytest.param(names.subdomain, "a", [], id="subdomain: one letter"),
        pytest.param(names.subdomain, "0.1-2.z", [], id="subdomain: digits, dashes and dots"),
        pytest.param(names.subdomain, "a" * 253, [], id="subdomain: the longest"),
        pytest.param(
            names.subdomain,
            "a" * 254,
            ["must be no more than 253 characters"],
            id="subdomain: too long",
        ),
        pytest.param(
            names.subdomain,
            "A" * 254,
            ["must be no more than 253 characters", SUBDOMAIN],
            id="subdomain: too long and in upper case",
        ),
        pytest.param(
            names.subdomain,
            "é" * 127,
            ["must be no more than 253 characters", SUBDOMAIN],
            id="subdomain: what is counted are bytes",
        ),
        pytest.param(names.subdomain, "", [SUBDOMAIN], id="subdomain: nothing"),
        pytest.param(names.subdomain, "a..b", [SUBDOMAIN], id="subdomain: two dots"),
        pytest.param(names.subdomain, "a.-b", [SUBDOMAIN], id="subdomain: a dash behind a dot"),
        pytest.param(names.subdomain, "a_b", [SUBDOMAIN], id="subdomain: an underscore"),
        pytest.param(names.subdomain, "a\n", [SUBDOMAIN], id="subdomain: a line break at the end"),
        pytest.param(names.subdomain, "²", [SUBDOMAIN], id="subdomain: a digit of another sort"),
        pytest.param(names.label, "123-abc", [], id="label: digits first"),
        pytest.param(names.label, "n" * 63, [], id="label: the longest"),
        pytest.param(
            names.label, "n" * 64, ["must be no more than 63 characters"], id="label: too long"
        ),
        pytest.param(names.label, "a.b", ["must not contain dots"], id="label: a dot"),
        pytest.param(names.label, "A.b", [LABEL], id="label: a dot is not all that is wrong"),
        pytest.param(names.label, "-x", [LABEL], id="label: a dash in front"),
        pytest.param(names.label, "", [LABEL], id="label: nothing"),
        pytest.param(
            names.label,
            "é" * 32,
            ["must be no more than 63 characters", LABEL],
            id="label: what is counted are bytes",
        ),
        pytest.param(names.label_1035, "abc-123", [], id="service: fine"),
        pytest.param(names.label_1035, "1a", [LABEL_1035], id="service: a digit in front"),
        pytest.param(names.label_1035, "a.b", [LABEL_1035], id="service: a dot"),
        pytest.param(
            names.label_1035,
            "A" * 64,
            ["must be no more than 63 characters", LABEL_1035],
            id="service: too long and in upper case",
        ),
        pytest.param(names.path_segment, "system:node Ünique", [], id="segment: nearly anything"),
        pytest.param(names.path_segment, ".", ["may not be '.'"], id="segment: this directory"),
        pytest.param(names.path_segment, "..", ["may not be '..'"], id="segment: the one above"),
        pytest.param(names.path_segment, "...", [], id="segment: three dots are a name"),
        pytest.param(
            names.path_segment,
            "a%b/c",
            ["may not contain '/'", "may not contain '%'"],
            id="segment: a slash and a percent sign",
        ),
        pytest.param(names.path_segment_prefix, "..", [], id="segment prefix: more is to follow"),
        pytest.param(
            names.path_segment_prefix, "a/", ["may not contain '/'"], id="segment prefix: a slash"
        ),
        pytest.param(names.qualified, "Simple_1.2-x", [], id="key: without prefix"),
        pytest.param(names.qualified, "example.com/k-1_2.3", [], id="key: with prefix"),
        pytest.param(
            names.qualified, f"{'p' * 253}/{'k' * 63}", [], id="key: the longest of both parts"
        ),
        pytest.param(names.qualified, "", [EMPTY, f"name part {QUALIFIED}"], id="key: nothing"),
        pytest.param(
            names.qualified, "a/", [EMPTY, f"name part {QUALIFIED}"], id="key: a prefix alone"
        ),
        pytest.param(names.qualified, "/k", ["prefix part must be non-empty"], id="key: no prefix"),
        pytest.param(names.qualified, "a/b/c", [TWO_SLASHES], id="key: two slashes"),
        pytest.param(
            names.qualified,
            "UPPER.example/k",
            [f"prefix part {SUBDOMAIN}"],
            id="key: a prefix in upper case",
        ),
        pytest.param(
            names.qualified,
            f"{'P' * 254}/-k",
            [
                "prefix part must be no more than 253 characters",
                f"prefix part {SUBDOMAIN}",
                f"name part {QUALIFIED}",
            ],
            id="key: everything wrong with both parts",
        ),
        pytest.param(
            names.qualified,
            "k" * 64,
            ["name part must be no more than 63 bytes"],
            id="key: too long",
        ),
        pytest.param(
            names.qualified,
            "é" * 32,
            ["name part must be no more than 63 bytes", f"name part {QUALIFIED}"],
            id="key: what is counted are bytes",
        ),
        pytest.param(
            names.qualified, "bad name", [f"name part {QUALIFIED}"], id="key: a space inside"
        ),
        pytest.param(names.label_value, "", [], id="value: may be empty"),
        pytest.param(names.label_value, "V-1_2.3", [], id="value: all that is allowed"),
        pytest.param(names.label_value, "v" * 63, [], id="value: the longest"),
        pytest.param(
            names.label_value, "v" * 64, ["must be no more than 63 bytes"], id="value: too long"
        ),
        pytest.param(names.label_value, "-v", [LABEL_VALUE], id="value: a dash in front"),
        pytest.param(names.label_value, "v.", [LABEL_VALUE], id="value: a dot at the end"),
        pytest.param(
            names.label_value,
            "é" * 32,
            ["must be no more than 63 bytes", LABEL_VALUE],
            id="value: what is counted are bytes",
        ),
        pytest.param(names.config_key, "-._aZ0", [], id="data key: all that is allowed"),
        pytest.param(names.config_key, ".hidden", [], id="data key: a dot in front"),
        pytest.param(names.config_key, "k" * 253, [], id="data key: the longest"),
        pytest.param(
            names.config_key,
            "k" * 254,
            ["must be no more than 253 characters"],
            id="data key: too long",
        ),
        pytest.param(names.config_key, "", [CONFIG_KEY], id="data key: nothing"),
        pytest.param(names.config_key, "a/b", [CONFIG_KEY], id="data key: a slash"),
        pytest.param(names.config_key, ".", ["must not be '.'"], id="data key: this directory"),
        pytest.param(names.config_key, "..", ["must not be '..'"], id="data key: the one above"),
        pytest.param(
            names.config_key, "..x", ["must not start with '..'"], id="data key: two dots in front"
        ),
        pytest.param(
            names.config_key,
            "../x",
            [CONFIG_KEY, "must not start with '..'"],
            id="data key: a way out",
        ),
    ],
)
def test_name_is_judged_in_the_words_of_upstream(
    judge: Callable[[str], list[str]], name: str, complaints: list[str]
) -> None:
    """What is wrong with a name is said in full, in upstream's order, and nothing when all is well."""
    assert judge(name) == complaints


def naive_label(text: str) -> bool:
    """One part of a domain name, character by character."""
    allowed = "abcdefghijklmnopqrstuvwxyz0123456789"
    return (
        bool(text)
        and all(char in f"{allowed}-" for char in text)
        and text[0] in allowed
        and text[-1] in allowed
    )


def naive_subdomain(text: str) -> bool:
    return len(text) <= 253 and all(naive_label(part) for part in text.split("."))


def naive_qualified_part(text: str) -> bool:
    plain = "".join("a" if char.isascii() and char.isalpha() else char for char in text)
    edges = plain.replace("_", "-").replace(".", "-")
    return len(text) <= 63 and naive_label(edges)


def naive_qualified(text: str) -> bool:
    prefix, slash, name = text.partition("/")
    if not slash:
        return naive_qualified_part(text)
    return naive_subdomain(prefix) and naive_qualified_part(name)


TEXTS = st.text("abzAZ019-_./%:é \n", max_size=12) | st.builds(
    lambda char, count: char * count, st.sampled_from("aA-."), st.integers(60, 256)
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(text=TEXTS)
def test_judgement_agrees_with_a_naive_one(text: str) -> None:
    """Expressions and fast paths accept exactly what a look at every character accepts."""
    assert (not names.subdomain(text)) == naive_subdomain(text)
    assert (not names.label(text)) == (naive_label(text) and len(text) <= 63)
    starts_well = text[:1].isascii() and text[:1].isalpha()
    assert (not names.label_1035(text)) == (naive_label(text) and len(text) <= 63 and starts_well)
    assert (not names.qualified(text)) == naive_qualified(text)
    assert (not names.label_value(text)) == (not text or naive_qualified_part(text))
    is_key = bool(re.fullmatch("[A-Za-z0-9._-]{1,253}", text)) and text != "."
    assert (not names.config_key(text)) == (is_key and not text.startswith(".."))
    assert (not names.path_segment(text)) == (text not in (".", "..") and not {"/", "%"} & {*text})
