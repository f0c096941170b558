"""What is wrong with a custom object by the schema of its kind, in the words that clients know.

Errors come in the order of the object's fields.

Of an update only what has changed is judged: what was stored under an older schema stays as it is.

upstream: kube-openapi/pkg/validation/validate, .../errors/schema.go; apiextensions-apiserver/pkg/apiserver/validation
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from verger.store.custom import embedded
from verger.store.custom.formats import FORMATS
from verger.store.custom.rules import judge
from verger.store.custom.schema import MISSING, Node
from verger.store.invalid import (
    Cause,
    FieldError,
    duplicate,
    invalid,
    not_supported,
    required,
    show,
    too_long,
    too_many,
)
from verger.store.objects import encode

_NOWHERE: Final = "<nil>"
"""How upstream names the field of an error that it cannot place."""


def validate(node: Node, value: Any, old: Any = MISSING) -> list[FieldError]:
    """What is wrong with an object; with `old`, only where the two differ."""
    errors: list[FieldError] = []
    _check(node, value, "", errors, old)
    if old is MISSING:
        _check_name(node.facts, value, errors)
    return errors + judge(node, value, old, errors)


def _check_name(facts: Mapping[str, Any], value: Any, errors: list[FieldError]) -> None:
    """The name is all of the metadata that a schema may speak of."""
    described = (facts.get("properties") or {}).get("metadata") or {}
    for name, below in (described.get("properties") or {}).items():
        if given := (value.get("metadata") or {}).get(name):
            _check(Node(below), given, f"metadata.{name}", errors, MISSING)


def _check(node: Node, value: Any, path: str, errors: list[FieldError], old: Any) -> None:
    """Adds what is wrong with a value at a path."""
    if old is not MISSING and same(old, value):
        return
    if value.__class__ not in node.classes:
        if value is None and node.nullable:
            return
        if node.types and not _is(value, node.types):
            errors.append(_wrong_type(path, value, ",".join(node.types)))
    if node.asking:
        _check_facts(node, value, path, errors)
    if value.__class__ is dict:
        _object(node, value, path, errors, old)
    elif value.__class__ is list:
        _list(node, value, path, errors, old)


def _object(
    node: Node, value: dict[str, Any], path: str, errors: list[FieldError], old: Any
) -> None:
    before = old if old.__class__ is dict else {}
    for name, item in value.items():
        below = node.member(name)
        if below is not None:
            _check(
                below,
                item,
                f"{path}.{name}" if path else name,
                errors,
                before.get(name, MISSING),
            )
    if node.embedded and path:
        errors += embedded.check(value, path)


def _list(node: Node, value: list[Any], path: str, errors: list[FieldError], old: Any) -> None:
    facts = node.facts
    keys: Sequence[str] = ()
    match facts.get("x-kubernetes-list-type"):
        case "set":
            _check_unique(value, path, errors)
        case "map":
            keys = facts.get("x-kubernetes-list-map-keys") or ()
            _check_unique([_key(item, keys) for item in value], path, errors)
    if node.items is None:
        return
    before: dict[bytes, Any] = {}
    if keys and old.__class__ is list:
        before = {encode(_key(item, keys)): item for item in old}
    for index, item in enumerate(value):
        was = before.get(encode(_key(item, keys)), MISSING) if before else MISSING
        _check(node.items, item, f"{path}[{index}]", errors, was)


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal; unlike in Python, true is not 1."""
    if one.__class__ is bool or other.__class__ is bool:
        return one is other
    if one.__class__ is dict and other.__class__ is dict:
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if one.__class__ is list and other.__class__ is list:
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def _key(item: Any, keys: Sequence[str]) -> Any:
    if not isinstance(item, dict):
        return item
    return {key: item[key] for key in keys if key in item}


def _check_unique(values: Sequence[Any], path: str, errors: list[FieldError]) -> None:
    seen: set[bytes] = set()
    for index, value in enumerate(values):
        known = encode(value)
        if known in seen:
            errors.append(duplicate(f"{path}[{index}]", value))
        seen.add(known)


_SORTS: Final[Mapping[type, str]] = {
    bool: "boolean", int: "integer", float: "number", str: "string", dict: "object",
    list: "array", type(None): "null",
}  # fmt: skip


def _is(value: Any, wanted: Sequence[str]) -> bool:
    sort = _SORTS[type(value)]
    if sort in wanted or (sort == "integer" and "number" in wanted):
        return True
    return sort == "number" and "integer" in wanted and float(value).is_integer()


def _wrong_type(path: str, value: Any, wanted: str) -> FieldError:
    sort = show(_SORTS[type(value)])
    text = f"Invalid value: {sort}: {path} in body must be of type {wanted}: {sort}"
    return FieldError(path or _NOWHERE, Cause.TYPE_INVALID, text)


def _check_facts(node: Node, value: Any, path: str, errors: list[FieldError]) -> None:
    """What a schema says of the value alone, and what its alternatives say."""

    facts = node.facts

    def refuse(detail: str, shown: Any = value) -> None:
        errors.append(invalid(path or _NOWHERE, shown, f"{path} in body {detail}"))

    if node.alternatives:
        _check_alternatives(node.alternatives, value, path, errors)
    known = facts.get("enum")
    if (
        known is not None
        and not (value.__class__ is str and value in node.texts)
        and not any(same(value, item) for item in known)
    ):
        names = [item if isinstance(item, str) else encode(item).decode() for item in known]
        errors.append(not_supported(path, value, names))
    if value.__class__ is str:
        _check_text(node, value, path, errors)
    elif value.__class__ is int or value.__class__ is float:
        _check_number(facts, value, refuse)
    elif value.__class__ is list:
        if (most := facts.get("maxItems")) is not None and len(value) > most:
            errors.append(too_many(path, len(value), most))
        if (least := facts.get("minItems")) is not None and len(value) < least:
            refuse(f"should have at least {least} items", len(value))
        if facts.get("uniqueItems") and _repeats(value):
            refuse("shouldn't contain duplicates", "")
    elif value.__class__ is dict:
        if (most := facts.get("maxProperties")) is not None and len(value) > most:
            errors.append(too_many(path, len(value), most))
        if (least := facts.get("minProperties")) is not None and len(value) < least:
            refuse(f"should have at least {least} properties", least)
        errors += [
            required(f"{path}.{name}" if path else name)
            for name in facts.get("required") or ()
            if name not in value
        ]


def _repeats(value: list[Any]) -> bool:
    return len({encode(item) for item in value}) != len(value)


def _check_text(node: Node, value: str, path: str, errors: list[FieldError]) -> None:
    facts = node.facts

    def refuse(detail: str) -> None:
        errors.append(invalid(path, value, f"{path} in body {detail}"))

    if (most := facts.get("maxLength")) is not None and len(value) > most:
        errors.append(too_long(path, most))
    if (least := facts.get("minLength")) is not None and len(value) < least:
        refuse(f"should be at least {least} chars long")
    if (pattern := facts.get("pattern")) is not None:
        if node.pattern is None:
            node.pattern = compiled(pattern)
        if not node.pattern.search(value):
            refuse(f"should match '{pattern}'")
    fits = FORMATS.get(facts.get("format") or "")
    if fits is not None and not fits(value):
        text = (
            f"Invalid value: {show(value)}: {path} in body must be of type {facts['format']}: "
            f"{show(value)}"
        )
        errors.append(FieldError(path, Cause.TYPE_INVALID, text))


def _check_number(facts: Mapping[str, Any], value: float, refuse: Callable[[str], None]) -> None:
    if (most := facts.get("maximum")) is not None:
        if facts.get("exclusiveMaximum"):
            if value >= most:
                refuse(f"should be less than {number(most)}")
        elif value > most:
            refuse(f"should be less than or equal to {number(most)}")
    if (least := facts.get("minimum")) is not None:
        if facts.get("exclusiveMinimum"):
            if value <= least:
                refuse(f"should be greater than {number(least)}")
        elif value < least:
            refuse(f"should be greater than or equal to {number(least)}")
    if (step := facts.get("multipleOf")) and not float(value / step).is_integer():
        refuse(f"should be a multiple of {number(step)}")


def number(value: float) -> str:
    """A number as Go's %v shows it."""
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e21 else repr(value)


def compiled(pattern: str) -> "re.Pattern[str]":
    """A pattern as Go's regular expressions mean it. Python keeps what it has compiled. Raises re.error."""
    # Go: $ is the end of the text, not what stands before a last newline; \z says the same.
    return re.compile(re.sub(r"(?<!\\)((?:\\\\)*)\$$", r"\1\\Z", pattern).replace(r"\z", r"\Z"))


def _check_alternatives(
    alternatives: Mapping[str, Sequence[Node]], value: Any, path: str, errors: list[FieldError]
) -> None:
    def fail(text: str, closest: Sequence[FieldError] = ()) -> None:
        errors.append(invalid(_NOWHERE, "", f'"{path}" {text}'))
        errors.extend(closest)

    for name, nodes in alternatives.items():
        found: list[list[FieldError]] = []
        for node in nodes:
            found.append([])
            _check(node, value, path, found[-1], MISSING)
        valid = sum(not wrong for wrong in found)
        match name:
            case "anyOf" if not valid:
                fail("must validate at least one schema (anyOf)", min(found, key=len))
            case "oneOf" if not valid:
                text = "must validate one and only one schema (oneOf). Found none valid"
                fail(text, min(found, key=len))
            case "oneOf" if valid > 1:
                fail(
                    "must validate one and only one schema (oneOf). "
                    f"Found {valid} valid alternatives"
                )
            case "allOf" if valid < len(found):
                fail(
                    "must validate all the schemas (allOf)",
                    [error for wrong in found for error in wrong],
                )
            case "not" if valid:
                fail("must not validate the schema (not)")
