"""Whether a schema is structural: everything that objects may hold has a type and a place, and nothing else is said.

Only such a schema tells what to remove from an object, what to set in it, and who owns its parts.

upstream: apiextensions-apiserver/pkg/apiserver/schema/validation.go, .../pkg/apis/apiextensions/validation
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from verger.store.custom.rules import BadRule, UnknownRule, available, check_rule, rules_at
from verger.store.custom.schema import ALTERNATIVES, Node
from verger.store.custom.validation import compiled, validate
from verger.store.invalid import FieldError, forbidden, invalid, not_supported, required

TYPES: Final = ("array", "boolean", "integer", "number", "object", "string")
_FORBIDDEN: Final = (
    "$ref",
    "additionalItems",
    "definitions",
    "dependencies",
    "id",
    "patternProperties",
)
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
_SORTS: Final[Mapping[str, tuple[type, ...]]] = {
    "additionalProperties": (dict, bool),
    "description": (str,),
    "enum": (list,),
    "exclusiveMaximum": (bool,),
    "exclusiveMinimum": (bool,),
    "format": (str,),
    "items": (dict, list),
    "maxItems": (int,),
    "maxLength": (int,),
    "maxProperties": (int,),
    "maximum": (int, float),
    "minItems": (int,),
    "minLength": (int,),
    "minProperties": (int,),
    "minimum": (int, float),
    "multipleOf": (int, float),
    "not": (dict,),
    "nullable": (bool,),
    "pattern": (str,),
    "properties": (dict,),
    "required": (list,),
    "type": (str,),
    "x-kubernetes-embedded-resource": (bool,),
    "x-kubernetes-int-or-string": (bool,),
    "x-kubernetes-list-map-keys": (list,),
    "x-kubernetes-list-type": (str,),
    "x-kubernetes-map-type": (str,),
    "x-kubernetes-preserve-unknown-fields": (bool,),
    "x-kubernetes-validations": (list,),
    **dict.fromkeys(("anyOf", "allOf", "oneOf"), (list,)),
}
"""What facts are in JSON. Schemas below `items` and `additionalProperties` were looked at by nobody before."""


def check_schema(schema: Any, path: str) -> list[FieldError]:
    """What keeps the schema of a version from being structural; nothing is wrong with one that may be compiled."""
    malformed = list(_malformed(schema, path))
    if malformed:
        return malformed
    errors = [*_check(schema, path, "root")]
    return errors or list(_check_defaults(schema, path, Node(schema)))


def _malformed(schema: Any, path: str) -> Iterator[FieldError]:
    if not isinstance(schema, dict):
        yield invalid(path, schema, "must be an object")
        return
    for name, value in schema.items():
        wanted = _SORTS.get(name)
        if wanted is not None and type(value) not in wanted:
            yield invalid(f"{path}.{name}", value, "has the wrong type")
    for where, below in _below(schema, path):
        yield from _malformed(below, where)


def _below(schema: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any]]:
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


def _check(schema: Mapping[str, Any], path: str, place: str) -> Iterator[FieldError]:
    """`place` is the fact that the schema is the value of: root, properties, items, additionalProperties."""
    for name in sorted(schema.get("properties") or {}):
        yield from _check(schema["properties"][name], f"{path}.properties[{name}]", "properties")
    for name in ("additionalProperties", "items"):
        if isinstance(schema.get(name), dict):
            yield from _check(schema[name], f"{path}.{name}", name)
    for name in ALTERNATIVES:
        found = schema.get(name)
        if isinstance(found, dict):
            yield from _check_alternative(found, f"{path}.{name}")
        for index, below in enumerate(found if isinstance(found, list) else ()):
            yield from _check_alternative(below, f"{path}.{name}[{index}]")
    yield from _check_type(schema, path, place)
    yield from _check_structure(schema, path)
    yield from _check_values(schema, path)
    if place == "root":
        yield from _check_metadata((schema.get("properties") or {}).get("metadata"), path)


def _check_type(schema: Mapping[str, Any], path: str, place: str) -> Iterator[FieldError]:
    sort = schema.get("type") or ""
    free = schema.get("x-kubernetes-preserve-unknown-fields") is True
    if schema.get("x-kubernetes-int-or-string") is True:
        if sort:
            yield invalid(
                f"{path}.type", sort, "must be empty if x-kubernetes-int-or-string is true"
            )
        if free:
            where = f"{path}.x-kubernetes-preserve-unknown-fields"
            yield invalid(where, True, "must be false if x-kubernetes-int-or-string is true")
    elif sort and sort not in TYPES:
        yield not_supported(f"{path}.type", sort, TYPES)
    elif place == "root" and sort != "object":
        if sort:
            yield invalid(f"{path}.type", sort, "must be object at the root")
        else:
            yield required(f"{path}.type", "must not be empty at the root")
    elif not sort and not free:
        what = "array items" if place == "items" else "object fields"
        yield required(f"{path}.type", f"must not be empty for specified {what}")
    if schema.get("x-kubernetes-embedded-resource") is True:
        if sort != "object":
            where = f"{path}.type"
            if sort:
                yield invalid(
                    where, sort, "must be object if x-kubernetes-embedded-resource is true"
                )
            else:
                yield required(where, "must be object if x-kubernetes-embedded-resource is true")
        if not free and not schema.get("properties"):
            yield required(
                f"{path}.properties",
                "must not be empty if x-kubernetes-embedded-resource is true without "
                "x-kubernetes-preserve-unknown-fields",
            )


def _check_structure(schema: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    sort = schema.get("type") or ""
    for name in _FORBIDDEN:
        if name in schema:
            yield forbidden(f"{path}.{name}", f"{name} is not supported")
    if schema.get("uniqueItems") is True:
        yield forbidden(
            f"{path}.uniqueItems",
            "uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
        )
    if schema.get("x-kubernetes-preserve-unknown-fields") is False:
        where = f"{path}.x-kubernetes-preserve-unknown-fields"
        yield invalid(where, False, "must be true or undefined")
    if "properties" in schema and schema.get("additionalProperties") is not None:
        yield forbidden(
            f"{path}.additionalProperties",
            "additionalProperties and properties are mutual exclusive",
        )
    if schema.get("additionalProperties") is False:
        yield forbidden(
            f"{path}.additionalProperties", "additionalProperties cannot be set to false"
        )
    if isinstance(schema.get("items"), list):
        yield forbidden(f"{path}.items", "items must be a schema object and not an array")
    elif sort == "array" and "items" not in schema:
        yield required(f"{path}.items", "must be specified")
    yield from _check_list_type(schema, path)
    kind = schema.get("x-kubernetes-map-type")
    if kind is not None:
        if kind not in ("atomic", "granular"):
            yield not_supported(f"{path}.x-kubernetes-map-type", kind, ("atomic", "granular"))
        elif sort != "object":
            yield invalid(
                f"{path}.type", sort, "must be object if x-kubernetes-map-type is specified"
            )


def _check_list_type(schema: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    kind = schema.get("x-kubernetes-list-type")
    keys = schema.get("x-kubernetes-list-map-keys") or []
    if kind is not None:
        if schema.get("type") != "array":
            yield invalid(
                f"{path}.type",
                schema.get("type") or "",
                "must be array if x-kubernetes-list-type is specified",
            )
        if kind not in ("atomic", "set", "map"):
            where = f"{path}.x-kubernetes-list-type"
            yield not_supported(where, kind, ("atomic", "map", "set"))
    if keys and kind != "map":
        yield invalid(
            f"{path}.x-kubernetes-list-type",
            kind or "",
            "must be map if x-kubernetes-list-map-keys is non-empty",
        )
    if kind != "map":
        return
    if not keys:
        yield required(
            f"{path}.x-kubernetes-list-map-keys",
            "must not be empty if x-kubernetes-list-type is map",
        )
    items = schema.get("items")
    fields = (items.get("properties") or {}) if isinstance(items, dict) else {}
    for index, key in enumerate(keys):
        if key not in fields:
            yield invalid(
                f"{path}.x-kubernetes-list-map-keys[{index}]",
                key,
                "entries must all be names of item properties",
            )


def _check_values(schema: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    if pattern := schema.get("pattern"):
        try:
            compiled(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            yield invalid(
                f"{path}.pattern",
                pattern,
                f"must be a valid regular expression, but isn't: {error}",
            )
    if available():
        for index, rule in enumerate(rules_at(schema)):
            try:
                check_rule(rule)
            except BadRule as error:
                where = f"{path}.x-kubernetes-validations[{index}].rule"
                yield invalid(where, rule.text, f"compilation failed: {error}")
            except UnknownRule:
                continue  # a warning tells
    for index, name in enumerate(schema.get("required") or ()):
        if not isinstance(name, str):
            yield invalid(f"{path}.required[{index}]", name, "must be a string")


def unenforced(schema: Mapping[str, Any], path: str) -> Iterator[str]:
    """Warnings of rules that speak of what is not known here."""
    for index, rule in enumerate(rules_at(schema)):
        where = f"{path}.x-kubernetes-validations[{index}]"
        if rule.optional:
            yield f"{where}: optionalOldSelf is not known to this server: the rule is not enforced"
            continue
        try:
            check_rule(rule)
        except (BadRule, UnknownRule) as error:
            yield f"{where}: the rule is not enforced: {str(error).splitlines()[0]}"
    for where, below in _below(schema, path):
        if isinstance(below, dict):
            yield from unenforced(below, where)


def _check_alternative(schema: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    """An alternative says what values are like, not what there is."""
    mixed = schema.get("x-kubernetes-int-or-string") is True
    for name in _ONLY_STRUCTURE:
        if name in schema and not (
            name == "type" and not mixed and schema[name] in ("integer", "string")
        ):
            yield forbidden(f"{path}.{name}", "must be empty to be structural")
    yield from _check_values(schema, path)
    for where, below in _below(schema, path):
        yield from _check_alternative(below, where)


def _check_metadata(metadata: Any, path: str) -> Iterator[FieldError]:
    if not isinstance(metadata, dict):
        return
    where = f"{path}.properties[metadata]"
    for name in sorted(metadata.get("properties") or {}):
        if name not in ("name", "generateName"):
            yield forbidden(
                f"{where}.properties[{name}]",
                "must not specify anything other than name and generateName, but metadata is implicitly specified",
            )
    if "default" in metadata:
        yield forbidden(f"{where}.default", "must not be set in top-level metadata")


def _check_defaults(schema: Mapping[str, Any], path: str, node: Node) -> Iterator[FieldError]:
    """A default must be what the schema itself takes."""
    if "default" in schema:
        for error in validate(node, schema["default"]):
            where = f"{path}.default"
            named = f"{where}.{error.field}" if error.field not in ("", "<nil>") else where
            yield error._replace(field=named)
    for name in sorted(node.properties):
        below = schema["properties"][name]
        yield from _check_defaults(below, f"{path}.properties[{name}]", node.properties[name])
    for name, inner in (("additionalProperties", node.additional), ("items", node.items)):
        if inner is not None:
            yield from _check_defaults(schema[name], f"{path}.{name}", inner)
