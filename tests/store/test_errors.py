"""An error is the Status that goes over the wire, and a Status is the error that it was."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from verger.store import errors
from verger.store.errors import ApiError, Gone, Invalid, Unauthorized, UnreasonedError, from_status
from verger.store.invalid import (
    Cause,
    FieldError,
    duplicate,
    forbidden,
    immutable,
    invalid,
    not_supported,
    quote,
    required,
    show,
    too_long,
    too_many,
)

QUICK = settings(max_examples=80, deadline=None, derandomize=True)

REASONS = [
    (errors.BadRequest, 400, "BadRequest"),
    (errors.Unauthorized, 401, "Unauthorized"),
    (errors.Forbidden, 403, "Forbidden"),
    (errors.NotFound, 404, "NotFound"),
    (errors.MethodNotAllowed, 405, "MethodNotAllowed"),
    (errors.NotAcceptable, 406, "NotAcceptable"),
    (errors.AlreadyExists, 409, "AlreadyExists"),
    (errors.Conflict, 409, "Conflict"),
    (errors.Gone, 410, "Expired"),
    (errors.TooLarge, 413, "RequestEntityTooLarge"),
    (errors.UnsupportedMediaType, 415, "UnsupportedMediaType"),
    (errors.Invalid, 422, "Invalid"),
    (errors.TooManyRequests, 429, "TooManyRequests"),
    (errors.InternalError, 500, "InternalError"),
    (errors.UnreasonedError, 500, ""),
    (errors.ServiceUnavailable, 503, "ServiceUnavailable"),
    (errors.Timeout, 504, "Timeout"),
]
CLASSES = [cls for cls, _, _ in REASONS if cls is not Unauthorized]


def test_every_class_of_error_is_known_here() -> None:
    """The table below misses no class, so that a new one cannot go untested."""
    assert {cls for cls, _, _ in REASONS} == {*ApiError.__subclasses__()}


@pytest.mark.parametrize(
    ("cls", "code", "reason"), REASONS, ids=[row[0].__name__ for row in REASONS]
)
def test_class_has_the_code_and_reason_of_upstream(
    cls: type[ApiError], code: int, reason: str
) -> None:
    """Clients tell errors apart by reason and code."""
    error = cls() if cls is Unauthorized else cls("words")
    status = error.status()
    assert (status["code"], status.get("reason", "")) == (code, reason)
    assert type(from_status(status)) is cls


def test_status_has_the_keys_of_upstream_in_their_order() -> None:
    """The body of an error is what a kube-apiserver sends, byte for byte."""
    error = errors.NotFound('pods "x" not found', {"name": "x", "kind": "pods"})
    assert list(error.status().items()) == [
        ("kind", "Status"),
        ("apiVersion", "v1"),
        ("metadata", {}),
        ("status", "Failure"),
        ("message", 'pods "x" not found'),
        ("reason", "NotFound"),
        ("details", {"name": "x", "kind": "pods"}),
        ("code", 404),
    ]
    assert list(UnreasonedError("words").status()) == [
        "kind", "apiVersion", "metadata", "status", "message", "code",
    ]  # fmt: skip
    assert str(error) == error.message


def test_details_are_left_out_or_empty_as_they_were_given() -> None:
    """No details and empty details are two things on the wire."""
    assert "details" not in errors.BadRequest("words").status()
    assert errors.BadRequest("words", {}).status()["details"] == {}


def test_when_to_try_again_is_part_of_the_details() -> None:
    """The seconds stand beside what the details say, and come back apart from them."""
    error = errors.Timeout("words", {"causes": []}, retry_after=1)
    assert error.status()["details"] == {"causes": [], "retryAfterSeconds": 1}
    again = from_status(error.status())
    assert (again.retry_after, again.details) == (1, {"causes": []})
    assert errors.TooManyRequests("w", retry_after=7).status()["details"] == {
        "retryAfterSeconds": 7
    }


def test_expired_list_says_how_to_carry_on() -> None:
    """The fresh token stands in the metadata of the Status."""
    error = Gone("too old", continue_token="abc")
    assert error.status()["metadata"] == {"continue": "abc"}
    assert from_status(error.status()).continue_token == "abc"


DETAILS = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "name": st.text(max_size=5),
        "kind": st.sampled_from(["pods", "Pod"]),
        "causes": st.lists(
            st.fixed_dictionaries({"reason": st.sampled_from(["A", "B"]), "message": st.text()}),
            max_size=2,
        ),
    },
)


@QUICK
@given(
    cls=st.sampled_from(CLASSES),
    message=st.text(min_size=1, max_size=10),
    details=DETAILS,
    retry_after=st.none() | st.integers(0, 60),
    token=st.sampled_from(["", "token"]),
)
def test_error_comes_back_as_it_went(
    cls: type[ApiError], message: str, details: Any, retry_after: int | None, token: str
) -> None:
    """What a server raises is what its client raises: class, words, details and all."""
    error = cls(message, details, retry_after=retry_after, continue_token=token)
    again = from_status(error.status())
    assert type(again) is cls
    assert again.message == message
    assert (again.details or None) == (details or None)
    assert (again.retry_after, again.continue_token) == (retry_after, token)
    assert again.status() == error.status()


@pytest.mark.parametrize(
    ("status", "cls", "message"),
    [
        pytest.param(
            {"code": 410, "reason": "Gone", "message": "m"}, Gone, "m", id="an older reason"
        ),
        pytest.param(
            {"code": 404, "message": "m"}, errors.NotFound, "m", id="a code without reason"
        ),
        pytest.param(
            {"code": 500, "reason": "ServerTimeout", "message": "m"},
            errors.InternalError,
            "m",
            id="a reason that has no class",
        ),
        pytest.param(
            {"code": 500, "message": "m"}, UnreasonedError, "m", id="an error without reason"
        ),
        pytest.param(
            {"code": 401, "reason": "Odd", "message": "m"},
            Unauthorized,
            "Unauthorized",
            id="whoever is not known hears no more",
        ),
        pytest.param(
            {"code": 404}, errors.NotFound, "the server answered 404", id="no message at all"
        ),
        pytest.param({}, UnreasonedError, "the server answered 500", id="nothing at all"),
        pytest.param(
            {"code": 418, "message": "m", "metadata": None, "details": None},
            ApiError,
            "m",
            id="a code that has no class",
        ),
    ],
)
def test_status_of_another_server_is_read(
    status: dict[str, Any], cls: type[ApiError], message: str
) -> None:
    """A Status that we would not send becomes the error that is nearest to it."""
    error = from_status(status)
    assert type(error) is cls
    assert error.message == message


def test_causes_are_told_apart() -> None:
    """A cause is looked up by its reason, with or without details."""
    error = errors.Forbidden("m", {"causes": [{"reason": "NamespaceTerminating"}]})
    assert error.has_cause("NamespaceTerminating")
    assert not error.has_cause("Other")
    assert errors.Forbidden("m").causes == []


MISSING = required("data[tls.key]")


@pytest.mark.parametrize(
    ("error", "message", "details"),
    [
        pytest.param(
            Invalid.of("Secret", "", "c", [MISSING]),
            'Secret "c" is invalid: data[tls.key]: Required value',
            {
                "name": "c",
                "kind": "Secret",
                "causes": [
                    {
                        "reason": "FieldValueRequired",
                        "message": "Required value",
                        "field": "data[tls.key]",
                    }
                ],
            },
            id="one field",
        ),
        pytest.param(
            Invalid.of("Secret", "", "c", [required("data[tls.crt]"), MISSING]),
            'Secret "c" is invalid: [data[tls.crt]: Required value, data[tls.key]: Required value]',
            {
                "name": "c",
                "kind": "Secret",
                "causes": [required("data[tls.crt]").cause(), MISSING.cause()],
            },
            id="several fields stand in brackets",
        ),
        pytest.param(
            Invalid.of("ConfigMap", "", "a", [immutable("metadata.uid", "x")] * 2),
            'ConfigMap "a" is invalid: metadata.uid: Invalid value: "x": field is immutable',
            {
                "name": "a",
                "kind": "ConfigMap",
                "causes": [immutable("metadata.uid", "x").cause()] * 2,
            },
            id="what is said twice stands once, and both causes stay",
        ),
        pytest.param(
            Invalid.of("Lease", "coordination.k8s.io", "c", [MISSING]),
            'Lease.coordination.k8s.io "c" is invalid: data[tls.key]: Required value',
            {
                "name": "c",
                "group": "coordination.k8s.io",
                "kind": "Lease",
                "causes": [MISSING.cause()],
            },
            id="a kind with a group",
        ),
        pytest.param(
            Invalid.of("", "", "", [MISSING]),
            ' "" is invalid: data[tls.key]: Required value',
            {"causes": [MISSING.cause()]},
            id="no kind and no name",
        ),
    ],
)
def test_refused_fields_are_listed_in_the_form_of_upstream(
    error: Invalid, message: str, details: dict[str, Any]
) -> None:
    """The message names all fields, the causes carry them one by one."""
    assert error.message == message
    assert error.status()["details"] == details
    assert list(error.details or {}) == list(details)


@pytest.mark.parametrize(
    ("error", "text", "cause"),
    [
        pytest.param(invalid("f", 0, "no"), "f: Invalid value: 0: no", Cause.INVALID, id="number"),
        pytest.param(
            invalid("f", True, "no"), "f: Invalid value: true: no", Cause.INVALID, id="boolean"
        ),
        pytest.param(
            invalid("f", "x", "no"), 'f: Invalid value: "x": no', Cause.INVALID, id="text"
        ),
        pytest.param(
            invalid("f", ["a"], "no"), 'f: Invalid value: ["a"]: no', Cause.INVALID, id="list"
        ),
        pytest.param(
            invalid("f", None, "no"), "f: Invalid value: null: no", Cause.INVALID, id="nothing"
        ),
        pytest.param(required("f"), "f: Required value", Cause.REQUIRED, id="required"),
        pytest.param(
            required("f", "why"), "f: Required value: why", Cause.REQUIRED, id="required, and why"
        ),
        pytest.param(
            not_supported("f", "x", ["a", "b"]),
            'f: Unsupported value: "x": supported values: "a", "b"',
            Cause.NOT_SUPPORTED,
            id="none of a set",
        ),
        pytest.param(
            duplicate("f", "x"), 'f: Duplicate value: "x"', Cause.DUPLICATE, id="duplicate"
        ),
        pytest.param(forbidden("f", "why"), "f: Forbidden: why", Cause.FORBIDDEN, id="forbidden"),
        pytest.param(
            too_long("f", 5), "f: Too long: may not be more than 5 bytes", Cause.TOO_LONG, id="long"
        ),
        pytest.param(
            too_many("f", 6, 5),
            "f: Too many: 6: must have at most 5 items",
            Cause.TOO_MANY,
            id="too many",
        ),
    ],
)
def test_refused_field_is_worded_as_upstream_does(
    error: FieldError, text: str, cause: Cause
) -> None:
    """Each sort of complaint has its sentence and its reason."""
    assert str(error) == text
    assert error.cause() == {
        "reason": cause.value[0],
        "message": text.removeprefix("f: "),
        "field": "f",
    }


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        pytest.param("x", '"x"', id="a letter"),
        pytest.param('say "x"', r'"say \"x\""', id="quotes"),
        pytest.param("a\\b", r'"a\\b"', id="a backslash"),
        pytest.param("a\nb\tc\r", r'"a\nb\tc\r"', id="white space of text"),
        pytest.param("é ü 漢 \U0001f600", '"é ü 漢 \U0001f600"', id="letters beyond ASCII"),
        pytest.param("<&>", '"<&>"', id="what HTML would escape"),
        pytest.param("\a\b\f\v", r'"\a\b\f\v"', id="the other named characters"),
        pytest.param("\x00\x01\x7f", r'"\x00\x01\x7f"', id="control characters"),
        pytest.param("\u2028\u00a0", r'"\u2028\u00a0"', id="white space that does not print"),
    ],
)
def test_text_is_quoted_as_go_does(text: str, quoted: str) -> None:
    """Values in messages are escaped as Go's %q escapes them."""
    assert quote(text) == show(text) == quoted
