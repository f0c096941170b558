"""Rules of a schema in the Common Expression Language (`x-kubernetes-validations`).

The language is that of the library cel-expr-python, which wraps the implementation that the language's authors keep in
C++. Without the library rules are kept and not enforced, and the definition's answer says so.

upstream: apiextensions-apiserver/pkg/apiserver/schema/cel
"""

import base64
import functools
import importlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from verger.store.custom.functions import declarations
from verger.store.custom.schema import MISSING, Node
from verger.store.invalid import Cause, FieldError, show
from verger.store.timestamps import parse, parse_date, parse_duration

REASONS: Final[Mapping[str, Cause]] = {
    "FieldValueDuplicate": Cause.DUPLICATE,
    "FieldValueForbidden": Cause.FORBIDDEN,
    "FieldValueInvalid": Cause.INVALID,
    "FieldValueRequired": Cause.REQUIRED,
}
"""What a rule may call what it refuses."""
_BLOCKING: Final = (Cause.REQUIRED, Cause.TOO_LONG, Cause.TOO_MANY, Cause.TYPE_INVALID)
"""Errors after which rules are not asked: the object may not be what they speak of."""
_RESERVED: Final = frozenset(
    [
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ]
)
_ESCAPES: Final = (
    ("__", "__underscores__"),
    (".", "__dot__"),
    ("-", "__dash__"),
    ("/", "__slash__"),
)
speaks_of_old: Final = re.compile(r"\boldSelf\b").search
_NO_KEY: Final = re.compile(r'Key not found in map : "(.*)"').search
_SYNTAX: Final = re.compile(r"Syntax error").search


class BadRule(ValueError):
    """The rule is not in the language."""


class UnknownRule(ValueError):
    """The rule may be in the language, but speaks of what is not known here."""


class Rule(NamedTuple):
    """One rule of one place."""

    text: str
    message: str
    message_rule: str
    reason: str
    below: str
    """Where, below its place, its errors are told."""
    optional: bool | None
    """Whether it is asked of changes and of new values alike, if it says so."""

    @property
    def changes_only(self) -> bool:
        """Whether it speaks of what was there before."""
        return not self.optional and speaks_of_old(self.text) is not None


def rules_at(facts: Mapping[str, Any]) -> list[Rule]:
    """The rules of a schema, those of what is below it aside."""
    return [
        Rule(
            str(each.get("rule") or ""),
            str(each.get("message") or ""),
            str(each.get("messageExpression") or ""),
            str(each.get("reason") or ""),
            str(each.get("fieldPath") or ""),
            each.get("optionalOldSelf"),
        )
        for each in facts.get("x-kubernetes-validations") or ()
        if isinstance(each, dict)
    ]


@functools.cache
def _environment() -> Any:
    """What rules are compiled in; None without the library."""
    try:
        from cel_expr_python import cel
        from cel_expr_python.ext import ext_bindings, ext_optional, ext_strings

        importlib.import_module("google.protobuf.timestamp_pb2")
    except ImportError:
        return None
    dyn = cel.Type.DYN
    return cel.NewEnv(
        variables={"self": dyn, "oldSelf": dyn},
        extensions=[
            ext_bindings.ExtBindings(),
            ext_optional.ExtOptional(),
            ext_strings.ExtStrings(),
        ],
        functions=declarations(cel),
    )


def available() -> bool:
    """Whether rules can be enforced."""
    return _environment() is not None


@functools.lru_cache(maxsize=4096)
def _compiled(text: str) -> Any:
    """A rule that can be asked. Raises BadRule and UnknownRule."""
    try:
        return _environment().compile(text)
    except RuntimeError as error:
        said = str(error).removesuffix(" [INVALID_ARGUMENT]").removeprefix("INVALID_ARGUMENT: ")
        raise (BadRule if _SYNTAX(said) else UnknownRule)(said) from None


def check_rule(rule: Rule) -> None:
    """Raises BadRule for a text that is no rule, UnknownRule for one that cannot be enforced."""
    if rule.text.strip():
        _compiled(rule.text)


def judge(node: Node, value: Any, old: Any, errors: list[FieldError]) -> list[FieldError]:
    """What the rules of a schema say of an object, whose other errors are known."""
    if not node.ruled or not available():
        return []
    if any(error.type in _BLOCKING for error in errors):
        text = (
            "Invalid value: null: some validation rules were not checked because the object was invalid; correct the "
            "existing errors to complete validation"
        )
        return [FieldError("<nil>", Cause.INVALID, text)]
    return list(_judge(node, value, old, ""))


def _judge(node: Node, value: Any, old: Any, path: str) -> Iterator[FieldError]:
    if not node.ruled or value is None or (old is not MISSING and old == value):
        return
    rules = rules_at(node.facts)
    bound = {"self": _bound(node, value)} if rules else {}
    if rules and old is not MISSING:
        bound["oldSelf"] = _bound(node, old)
    for rule in rules:
        if rule.changes_only and old is MISSING:
            continue
        error = _broken(rule, bound, node.facts.get("type"), value, path)
        if error is not None:
            yield error
    if value.__class__ is dict:
        before = old if old.__class__ is dict else {}
        for name, item in value.items():
            below = node.member(name)
            if below is not None:
                where = f"{path}.{name}" if path else name
                yield from _judge(below, item, before.get(name, MISSING), where)
    elif value.__class__ is list and node.items is not None:
        keys = node.facts.get("x-kubernetes-list-map-keys") or ()
        known = {}
        if keys and old.__class__ is list:
            known = {repr([item.get(key) for key in keys]): item for item in old}
        for index, item in enumerate(value):
            was = known.get(repr([item.get(key) for key in keys]), MISSING) if known else MISSING
            yield from _judge(node.items, item, was, f"{path}[{index}]")


def _broken(
    rule: Rule, bound: Mapping[str, Any], sort: Any, value: Any, path: str
) -> FieldError | None:
    where = f"{path}{rule.below}".removeprefix(".") or "<nil>"
    said = rule.message or f"failed rule: {rule.text.strip()}"
    try:
        found = _asked(rule, rule.text, bound)
    except (BadRule, UnknownRule):
        return None  # the definition's answer has said so
    if found is True:
        return None
    if found is not False:
        missing = _NO_KEY(str(found))
        reason = f"no such key: {missing[1]}" if missing else str(found).removeprefix("UNKNOWN: ")
        said = f"{reason} evaluating rule: {rule.message or rule.text.strip()}"
    elif rule.message_rule:
        said = _said(rule, bound) or said
    cause = REASONS.get(rule.reason, Cause.INVALID)
    head = cause.value[1]
    if cause in (Cause.REQUIRED, Cause.FORBIDDEN):
        return FieldError(where, cause, f"{head}: {said}")
    if cause is Cause.DUPLICATE:
        return FieldError(where, cause, f"{head}: {show(value)}")
    # upstream: only scalars are shown
    shown = "" if sort in ("object", "array") else f"{show(value)}: "
    return FieldError(where, cause, f"{head}: {shown}{said}")


def _asked(rule: Rule, text: str, bound: Mapping[str, Any]) -> Any:
    """What comes of a text of a rule. Raises BadRule and UnknownRule."""
    if rule.optional:
        # The library takes no optional values from outside: the language makes one itself.
        old = "optional.of(oldSelf)" if "oldSelf" in bound else "optional.none()"
        text = f"cel.bind(oldSelf, {old}, (\n{text}\n))"
    return _compiled(text).eval(data=bound).value()


def _said(rule: Rule, bound: Mapping[str, Any]) -> str:
    try:
        found = _asked(rule, rule.message_rule, bound)
    except (BadRule, UnknownRule):
        return ""
    return found if isinstance(found, str) and "\n" not in found else ""


def _bound(node: Node | None, value: Any) -> Any:
    """A value as rules see it: with the types that its schema says, and names that are words of the language."""
    if node is None or value is None:
        return value
    if value.__class__ is dict:
        return {
            (_escaped(name) if name in node.properties else name): _bound(node.member(name), item)
            for name, item in value.items()
            if item is not None
        }
    if value.__class__ is list:
        return [_bound(node.items, item) for item in value]
    if value.__class__ is int and node.facts.get("type") == "number":
        return float(value)
    if value.__class__ is str:
        return _of_format(node.facts.get("format"), value)
    return value


def _of_format(form: Any, text: str) -> Any:
    match form:
        case "date-time":
            return _message("timestamp_pb2", "Timestamp", parse(text.upper()))
        case "date" if (seconds := parse_date(text)) is not None:
            return _message("timestamp_pb2", "Timestamp", seconds)
        case "duration" if (seconds := parse_duration(text)) is not None:
            return _message("duration_pb2", "Duration", seconds)
        case "byte":
            return base64.b64decode(text)
        case _:
            return text


def _message(module: str, name: str, seconds: float) -> Any:
    """A time or a duration as the library takes it inside of other values: as a message. Python's own it does not take there."""
    kind = getattr(importlib.import_module(f"google.protobuf.{module}"), name)
    whole, rest = divmod(round(seconds * 1_000_000), 1_000_000)
    if whole < 0 and rest and name == "Duration":
        whole, rest = whole + 1, rest - 1_000_000  # both have the sign
    return kind(seconds=whole, nanos=rest * 1000)


def _escaped(name: str) -> str:
    """A name as it stands in rules. upstream: apiserver/schema/model, Escape"""
    if name in _RESERVED:
        return f"__{name}__"
    for what, instead in _ESCAPES:
        name = name.replace(what, instead)
    return name
