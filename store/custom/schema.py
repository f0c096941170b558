"""The structural schema of a custom kind, compiled: what it makes of an object before the object is judged.

A schema is compiled once into nodes, one for each place that it describes; pruning and defaulting walk object and nodes
together, in place. A schema that was not found to be structural beforehand is not for here.

upstream: apiextensions-apiserver/pkg/apiserver/schema/{pruning,defaulting}
"""

import copy
import re
from collections.abc import Mapping
from typing import Any, Final

MISSING: Final = object()
"""The default of a field that has none."""
ROOT_FIELDS: Final = frozenset(("apiVersion", "kind", "metadata"))
"""What every object has, described or not."""

ALTERNATIVES: Final = ("anyOf", "oneOf", "allOf", "not")
"""The facts that are schemas for the same value."""


_ASKING: Final = frozenset(
    (
        *("enum", "format", "maxItems", "maxLength", "maxProperties", "maximum", "minItems", "minLength"),
        *("minProperties", "minimum", "multipleOf", "pattern", "required", "uniqueItems", *ALTERNATIVES),
    )
)  # fmt: skip
"""The facts that ask something of a value, besides its type."""
_CLASSES: Final[Mapping[str, tuple[type, ...]]] = {
    "array": (list,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "object": (dict,),
    "string": (str,),
}


class Node:
    """One place of a schema."""

    __slots__ = (
        "additional",
        "alternatives",
        "asking",
        "classes",
        "default",
        "embedded",
        "embeds",
        "facts",
        "items",
        "nullable",
        "open",
        "pattern",
        "properties",
        "ruled",
        "texts",
        "types",
    )

    def __init__(self, facts: Mapping[str, Any], *, root: bool = False) -> None:
        self.facts = facts
        """The schema as the definition states it."""
        self.properties: dict[str, Node] = {
            name: Node(below) for name, below in (facts.get("properties") or {}).items()
        }
        additional, items = facts.get("additionalProperties"), facts.get("items")
        self.additional = Node(additional) if isinstance(additional, dict) else None
        self.items = Node(items) if isinstance(items, dict) else None
        self.alternatives = {
            name: [Node(below) for below in ([found] if name == "not" else found)]
            for name in ALTERNATIVES
            if (found := facts.get(name))
        }
        """What else the value is held against."""
        self.asking = not _ASKING.isdisjoint(facts)
        """Whether more than its type is asked of a value."""
        self.types = _types(facts)
        """What a value may be; nothing: anything."""
        self.classes = frozenset(each for sort in self.types for each in _CLASSES.get(sort, ()))
        """The classes of values that are of a type that is asked for, whatever they are."""
        self.pattern: re.Pattern[str] | None = None
        """The pattern of texts, once it has been needed."""
        self.texts = frozenset(item for item in facts.get("enum") or () if isinstance(item, str))
        """The texts that a value may be, if it may be one of some."""
        self.open = facts.get("x-kubernetes-preserve-unknown-fields") is True or additional is True
        """Whether fields that are not described are kept."""
        self.embedded = root or facts.get("x-kubernetes-embedded-resource") is True
        below = (*self.properties.values(), self.additional, self.items)
        self.embeds: bool = facts.get("x-kubernetes-embedded-resource") is True or any(
            node.embeds for node in below if node is not None
        )
        """Whether there are objects in objects, here or below."""
        self.ruled: bool = bool(facts.get("x-kubernetes-validations")) or any(
            node.ruled for node in below if node is not None
        )
        """Whether there are rules in the Common Expression Language here or below."""
        self.default: Any = facts.get("default", MISSING)
        self.nullable = facts.get("nullable") is True
        if root:
            # Whatever a schema says of them, these are the server's own affair.
            for name in ROOT_FIELDS:
                self.properties.pop(name, None)

    def member(self, name: str) -> "Node | None":
        """The node of a field."""
        return self.properties.get(name) or self.additional


def _types(facts: Mapping[str, Any]) -> tuple[str, ...]:
    if facts.get("x-kubernetes-int-or-string") is True:
        return ("integer", "string")
    return (facts["type"],) if facts.get("type") else ()


def prune(node: Node, value: Any) -> list[str]:
    """Removes what the schema does not describe; returns the paths of what was removed, in order."""
    unknown: list[str] = []
    _prune(node, value, "", unknown)
    return sorted(unknown)


def _prune(node: Node, value: Any, path: str, unknown: list[str]) -> None:
    if value.__class__ is dict:
        dropped = []
        for name, item in value.items():
            below = node.properties.get(name)
            if below is None:
                if node.embedded and name in ROOT_FIELDS:
                    continue
                below = node.additional
                if below is None:
                    if not node.open:
                        dropped.append(name)
                    continue
            if item.__class__ is dict or item.__class__ is list:
                _prune(below, item, f"{path}.{name}" if path else name, unknown)
        for name in dropped:
            del value[name]
            unknown.append(f"{path}.{name}" if path else name)
    elif value.__class__ is list and node.items is not None:
        for index, item in enumerate(value):
            _prune(node.items, item, f"{path}[{index}]", unknown)


def default(node: Node, value: Any) -> None:
    """Sets what is missing and has a default, at all depths, and removes nulls that mean nothing."""
    if value.__class__ is dict:
        dropped = []
        for name, item in value.items():
            if item is None:
                below = node.member(name)
                if below is not None and not below.nullable and below.default is MISSING:
                    dropped.append(name)
        for name in dropped:
            del value[name]
        for name, below in node.properties.items():
            if below.default is MISSING:
                continue
            if name not in value or (value[name] is None and not below.nullable):
                value[name] = copy.deepcopy(below.default)
        for name, item in value.items():
            if item.__class__ is dict or item.__class__ is list:
                found = node.member(name)
                if found is not None:
                    default(found, item)
    elif value.__class__ is list and node.items is not None:
        items = node.items
        for index, item in enumerate(value):
            if item is None and not items.nullable and items.default is not MISSING:
                value[index] = copy.deepcopy(items.default)
            else:
                default(items, item)
