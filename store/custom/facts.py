"""What the facts of a schema ask of values: patterns, rules, alternatives. Here is judged whether they can be asked at all.

upstream: apiextensions-apiserver/pkg/apiserver/schema/{validation,complete}.go, .../pkg/apis/apiextensions/validation
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from verger.store.custom.rules import (
    REASONS,
    BadRule,
    Rule,
    UnknownRule,
    available,
    check_rule,
    rules_at,
    speaks_of_old,
)
from verger.store.custom.schema import ALTERNATIVES
from verger.store.custom.validation import compiled
from verger.store.invalid import FieldError, forbidden, invalid, not_supported, required

_ONLY_STRUCTURE: Final = (
    "type",
    "default",
    "additionalProperties",
    "nullable",
    "title",
    "description",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-list-type",
    "x-kubernetes-map-type",
)
"""Facts that have no place in an alternative, which only says what values are like."""


def schemas_below(schema: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    """The schemas inside a schema, and where they stand."""
    properties = schema.get("properties")
    if isinstance(properties, dict):
        for name in sorted(properties):
            yield f"{path}.properties[{name}]", properties[name]
    for name in ("additionalProperties", "items"):
        if isinstance(schema.get(name), dict):
            yield f"{path}.{name}", schema[name]
    for name in ALTERNATIVES:
        value = schema.get(name)
        if isinstance(value, dict):
            yield f"{path}.{name}", value
        elif isinstance(value, list):
            for index, below in enumerate(value):
                yield f"{path}.{name}[{index}]", below


def check_values(schema: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    """What is wrong with what a schema says of values, alternatives aside."""
    if pattern := schema.get("pattern"):
        try:
            compiled(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            yield invalid(
                f"{path}.pattern",
                pattern,
                f"must be a valid regular expression, but isn't: {error}",
            )
    for index, name in enumerate(schema.get("required") or ()):
        if not isinstance(name, str):
            yield invalid(f"{path}.required[{index}]", name, "must be a string")


# Alternatives


def check_alternatives(schema: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    """Alternatives say what values are like, not what there is."""
    typed = _typed(schema)
    for where, below in _alternatives(schema, path):
        yield from _check_alternative(below, where, typed)
        yield from _check_complete(below, schema, where, path)


def _alternatives(schema: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    for name in ALTERNATIVES:
        found = schema.get(name)
        if isinstance(found, dict):
            yield f"{path}.{name}", found
        for index, below in enumerate(found if isinstance(found, list) else ()):
            yield f"{path}.{name}[{index}]", below


def _typed(schema: Mapping[str, Any]) -> frozenset[int]:
    """Those alternatives that may say again that a value is an integer or a text, by id."""
    if schema.get("x-kubernetes-int-or-string") is not True:
        return frozenset()
    every: list[Any] = schema.get("allOf") or [{}]
    out: set[int] = set()
    for found in (schema.get("anyOf"), every[0].get("anyOf")):
        if found and [each.get("type") for each in found] == ["integer", "string"]:
            out.update(map(id, found))
    return frozenset(out)


def _check_alternative(
    schema: Mapping[str, Any], path: str, typed: frozenset[int]
) -> Iterator[FieldError]:
    for name in _ONLY_STRUCTURE:
        if name in schema and not (name == "type" and id(schema) in typed):
            yield forbidden(f"{path}.{name}", "must be empty to be structural")
    yield from check_values(schema, path)
    for where, below in schemas_below(schema, path):
        yield from _check_alternative(below, where, typed)


def _check_complete(
    asked: Mapping[str, Any], schema: Mapping[str, Any] | None, where: str, path: str
) -> Iterator[FieldError]:
    """Whether there is a place for all that an alternative speaks of."""
    if schema is None:
        yield required(path, f"because it is defined in {where}")
        return
    for there, below in _alternatives(asked, where):
        yield from _check_complete(below, schema, there, path)
    if isinstance(items := asked.get("items"), dict):
        yield from _check_complete(items, schema.get("items"), f"{where}.items", f"{path}.items")
    additional, known = schema.get("additionalProperties"), schema.get("properties") or {}
    for name in sorted(asked.get("properties") or {}):
        place = known.get(name)
        at = f"{path}.properties[{name}]"
        if place is None and isinstance(additional, dict):
            place, at = additional, f"{path}.additionalProperties"
        below = asked["properties"][name]
        yield from _check_complete(below, place, f"{where}.properties[{name}]", at)


# Rules


def check_rules(
    schema: Mapping[str, Any], path: str, uncorrelated: str | None
) -> Iterator[FieldError]:
    """What is wrong with the rules at one place; `uncorrelated` is the list whose items have no past, if it is in one."""
    for index, rule in enumerate(rules_at(schema)):
        where = f"{path}.x-kubernetes-validations[{index}]"
        yield from _check_words(rule, where)
        if rule.reason and rule.reason not in REASONS:
            yield not_supported(f"{where}.reason", rule.reason, sorted(REASONS))
        if rule.below and not _leads_somewhere(schema, rule.below):
            text = "fieldPath must be a valid path: does not refer to a valid field"
            yield invalid(f"{where}.fieldPath", rule.below, text)
        if not rule.text.strip() or not available():
            continue
        try:
            check_rule(rule)
        except BadRule as error:
            yield invalid(f"{where}.rule", rule.text, f"compilation failed: {error}")
        except UnknownRule:
            continue  # a warning tells
        if speaks_of_old(rule.text):
            if uncorrelated is not None:
                yield invalid(
                    f"{where}.rule",
                    rule.text,
                    f"oldSelf cannot be used on the uncorrelatable portion of the schema within {uncorrelated}",
                )
        elif rule.optional is not None:
            text = "may not be set if oldSelf is not used in rule"
            yield invalid(f"{where}.optionalOldSelf", rule.optional, text)


def _check_words(rule: Rule, where: str) -> Iterator[FieldError]:
    text, message = rule.text.strip(), rule.message.strip()
    if not text:
        yield required(f"{where}.rule", "rule is not specified")
    if rule.message and not message:
        yield invalid(f"{where}.message", rule.message, "message must be non-empty if specified")
    elif "\n" in message:
        yield invalid(f"{where}.message", rule.message, "message must not contain line breaks")
    elif "\n" in text and not message:
        where = f"{where}.message"
        yield required(where, "message must be specified if rule contains line breaks")
    if rule.message_rule and not rule.message_rule.strip():
        yield required(f"{where}.messageExpression", "must be non-empty if specified")


_STEP: Final = re.compile(r"\.([^.\[\]]+)|\['((?:[^'\\]|\\.)*)'\]")


def _leads_somewhere(schema: Mapping[str, Any], path: str) -> bool:
    """Whether a path like `.spec.hosts` or `['a-b']` names a field below the schema; items have no path."""
    place: Any = schema
    at = 0
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None:
            return False
        name = step[1] if step[1] is not None else re.sub(r"\\(.)", r"\1", step[2])
        additional = place.get("additionalProperties")
        place = (place.get("properties") or {}).get(name, additional)
        if not isinstance(place, dict):
            return False
        at = step.end()
    return True


def unenforced(schema: Mapping[str, Any], path: str) -> Iterator[str]:
    """Warnings of rules that speak of what is not known here."""
    for index, rule in enumerate(rules_at(schema)):
        where = f"{path}.x-kubernetes-validations[{index}]"
        try:
            check_rule(rule)
        except (BadRule, UnknownRule) as error:
            yield f"{where}: the rule is not enforced: {str(error).splitlines()[0]}"
    for where, below in schemas_below(schema, path):
        if isinstance(below, dict):
            yield from unenforced(below, where)
