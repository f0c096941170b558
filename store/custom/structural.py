"""Whether a schema is structural: everything that objects may hold has a type and a place, and nothing else is said.

Only such a schema tells what to remove from an object, what to set in it, and who owns its parts.

upstream: apiextensions-apiserver/pkg/apiserver/schema/validation.go, .../pkg/apis/apiextensions/validation
"""

import copy
from collections.abc import Iterator, Mapping
from typing import Any, Final

from verger.store.custom.facts import (
    check_alternatives,
    check_rules,
    check_values,
    schemas_below,
)
from verger.store.custom.schema import Node, prune
from verger.store.custom.validation import validate
from verger.store.invalid import FieldError, forbidden, invalid, not_supported, required

_KEYS: Final = "x-kubernetes-list-map-keys"
TYPES: Final = ("array", "boolean", "integer", "number", "object", "string")
_FORBIDDEN: Final = (
    "$ref",
    "additionalItems",
    "definitions",
    "dependencies",
    "id",
    "patternProperties",
)
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
    for where, below in schemas_below(schema, path):
        yield from _malformed(below, where)


def _check(
    schema: Mapping[str, Any], path: str, place: str, uncorrelated: str | None = None
) -> Iterator[FieldError]:
    """`place` is the fact that the schema is the value of: root, properties, items, additionalProperties.

    `uncorrelated` is the path of the list around it whose items cannot be told apart from one update to the next.
    """
    for name in sorted(schema.get("properties") or {}):
        below = schema["properties"][name]
        yield from _check(below, f"{path}.properties[{name}]", "properties", uncorrelated)
    if isinstance(below := schema.get("additionalProperties"), dict):
        where = f"{path}.additionalProperties"
        yield from _check(below, where, "additionalProperties", uncorrelated)
    if isinstance(below := schema.get("items"), dict):
        keyed = schema.get("x-kubernetes-list-type") == "map"
        within = uncorrelated if keyed or uncorrelated is not None else path
        yield from _check(below, f"{path}.items", "items", within)
    yield from check_alternatives(schema, path)
    yield from _check_type(schema, path, place)
    yield from _check_structure(schema, path)
    yield from check_values(schema, path)
    yield from check_rules(schema, path, uncorrelated)
    if place == "root":
        if schema.get("nullable") is True:
            yield forbidden(f"{path}.nullable", "nullable cannot be true at the root")
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
    items = schema.get("items")
    if kind not in ("set", "map") or not isinstance(items, dict):
        return
    if items.get("nullable") is True:
        text = f"cannot be nullable when x-kubernetes-list-type is {kind}"
        yield forbidden(f"{path}.items.nullable", text)
    if kind == "set":
        yield from _check_members(items, f"{path}.items")
        return
    if not keys:
        yield required(
            f"{path}.x-kubernetes-list-map-keys",
            "must not be empty if x-kubernetes-list-type is map",
        )
    if items.get("type") != "object":
        text = "must be object if parent array's x-kubernetes-list-type is map"
        yield invalid(f"{path}.items.type", items.get("type") or "", text)
    for index, key in enumerate(keys):
        yield from _check_key(items, key, f"{path}.items", f"{path}.{_KEYS}[{index}]")


def _check_members(items: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    """The members of a set are compared as wholes."""
    for sort, fact in (("array", "x-kubernetes-list-type"), ("object", "x-kubernetes-map-type")):
        if items.get("type") != sort or items.get(fact) == "atomic":
            continue
        text = "must be atomic as item of a list with x-kubernetes-list-type=set"
        given = items.get(fact)
        yield (
            required(f"{path}.{fact}", text)
            if given is None
            else invalid(f"{path}.{fact}", given, text)
        )


def _check_key(items: Mapping[str, Any], key: Any, path: str, where: str) -> Iterator[FieldError]:
    """What items are told apart by is a scalar that is always there."""
    schema = (items.get("properties") or {}).get(key)
    if not isinstance(schema, dict):
        yield invalid(where, key, "entries must all be names of item properties")
        return
    path = f"{path}.properties[{key}]"
    if schema.get("type") in ("array", "object"):
        text = "must be a scalar type if parent array's x-kubernetes-list-type is map"
        yield invalid(f"{path}.type", schema["type"], text)
    if schema.get("nullable") is True:
        text = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable"
        yield forbidden(f"{path}.nullable", text)
    if schema.get("default") is None and key not in (items.get("required") or ()):
        yield required(
            f"{path}.default",
            "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
        )


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
        if prune(node, copy.deepcopy(schema["default"])):
            yield invalid(f"{path}.default", schema["default"], "must not have unknown fields")
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
