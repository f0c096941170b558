"""Types as the schema objects of OpenAPI documents, in the dialect of version 2 or 3.

A schema names every other type by reference, so a document is closed when it holds all that `reachable` finds.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from verger.store.kinds import Kind
from verger.store.schemas import Field, Schemas, Type, TypeRef

Json = dict[str, Any]

META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1."
GVK: Final = "x-kubernetes-group-version-kind"


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one version of OpenAPI writes what the two versions write differently."""

    reference: str
    """What stands before the name of a type in a `$ref`."""
    int_or_string: Json
    wraps_references: bool
    """Whether a `$ref` with facts beside it goes into an `allOf`, since readers ignore what stands beside a `$ref`."""

    def ref(self, name: str) -> Json:
        """A reference to a definition."""
        return {"$ref": self.reference + name}


V2: Final = Dialect("#/definitions/", {"type": "string", "format": "int-or-string"}, False)
V3: Final = Dialect(
    "#/components/schemas/",
    {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]},
    True,
)


def gvk(group: str, version: str, kind: str) -> Json:
    """A kind as the extensions of operations and definitions name it."""
    return {"group": group, "kind": kind, "version": version}


def definition_name(kind: Kind, schemas: Schemas) -> str:
    """The name of the definition of a kind's objects; that of its lists has `List` added.

    upstream: apiextensions-apiserver/pkg/controller/openapi/builder, custom kinds: the group's labels reversed.
    """
    if kind.type_name in schemas:
        return kind.type_name
    return ".".join((*reversed(kind.group.split(".")), kind.version, kind.kind))


def custom_definitions(
    kind: Kind, schemas: Schemas, dialect: Dialect
) -> Iterator[tuple[str, Json]]:
    """The definitions of a kind whose type is not in the schemas: its objects, then its lists."""
    name = definition_name(kind, schemas)
    if kind.custom is not None:
        own = _custom_schema(kind.custom.schema, dialect)
        if dialect is V3 or "properties" in own:
            own["properties"] = {
                **own.get("properties", {}),
                **_object_fields(dialect, "ObjectMeta"),
            }
    else:
        own = {"type": "object"}
        if dialect is V3:
            own["properties"] = _object_fields(dialect, "ObjectMeta")
        # upstream: version 2 has no word for open objects, and what lists properties is taken as closed.
        own["x-kubernetes-preserve-unknown-fields"] = True
    own[GVK] = [gvk(kind.group, kind.version, kind.kind)]
    yield name, own
    items = {"type": "array", "items": dialect.ref(name)}
    yield (
        f"{name}List",
        {
            "type": "object",
            "properties": {**_object_fields(dialect, "ListMeta"), "items": items},
            "required": ["items"],
            GVK: [gvk(kind.group, kind.version, kind.list_kind)],
        },
    )


_V2_ONLY: Final = ("type", "format", "description", "required")
"""Facts that version 2 documents keep of a custom schema besides its parts and the extensions: all that clients read there."""


def _custom_schema(schema: Mapping[str, Any], dialect: Dialect) -> Json:
    """The schema of a definition. Version 3 has a word for all of it.

    upstream: apiextensions-apiserver/pkg/controller/openapi/v2/conversion.go
    """
    if dialect is V3:
        return dict(schema)
    open_ = schema.get("x-kubernetes-preserve-unknown-fields") is True
    out: Json = {
        name: value
        for name, value in schema.items()
        if name in _V2_ONLY or name.startswith("x-kubernetes-")
    }
    if schema.get("nullable"):
        # Clients of version 2 would refuse a null.
        out.pop("type", None)
        return out
    if not open_ and isinstance(schema.get("properties"), dict):
        out["properties"] = {
            name: _custom_schema(below, dialect) for name, below in schema["properties"].items()
        }
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            out[name] = _custom_schema(schema[name], dialect)
    return out


def _object_fields(dialect: Dialect, metadata: str) -> Json:
    return {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": dialect.ref(META + metadata),
    }


def definition(kind: Type, dialect: Dialect) -> Json:
    """The schema of a named type."""
    if kind.scalar:
        out = dict(_schema(kind.scalar, dialect))
    else:
        out = {"type": "object"}
        if kind.fields:
            out["properties"] = {name: _field(f, dialect) for name, f in kind.fields.items()}
        if required := [name for name, f in kind.fields.items() if f.required]:
            out["required"] = required
    if kind.gvks:
        out[GVK] = [gvk(*names) for names in kind.gvks]
    return out


def _schema(ref: TypeRef, dialect: Dialect) -> Json:
    match ref.shape:
        case "object":
            return dialect.ref(ref.name) if ref.name else {"type": "object"}
        case "list" if ref.item:
            return {"type": "array", "items": _schema(ref.item, dialect)}
        case "map" if ref.item:
            return {"type": "object", "additionalProperties": _schema(ref.item, dialect)}
        case "int-or-string":
            return dialect.int_or_string
        case "any":
            return {}
    return {"type": ref.shape, "format": ref.format} if ref.format else {"type": ref.shape}


def _field(field: Field, dialect: Dialect) -> Json:
    schema = _schema(field.type, dialect)
    facts: Json = {}
    if field.list_type:
        facts["x-kubernetes-list-type"] = field.list_type
    if field.list_keys:
        facts["x-kubernetes-list-map-keys"] = field.list_keys
    if field.map_type:
        facts["x-kubernetes-map-type"] = field.map_type
    if field.patch_strategies:
        facts["x-kubernetes-patch-strategy"] = ",".join(field.patch_strategies)
    if field.patch_key:
        facts["x-kubernetes-patch-merge-key"] = field.patch_key
    if facts and "$ref" in schema and dialect.wraps_references:
        schema = {"allOf": [schema]}
    return {**schema, **facts}


def reachable(schemas: Schemas, roots: Iterable[str]) -> list[str]:
    """The roots and all types that they lead to, in order of names. Roots that the schemas do not know are left out."""
    found: set[str] = set()
    todo = [name for name in roots if name in schemas]
    while todo:
        name = todo.pop()
        if name in found:
            continue
        found.add(name)
        for field in schemas.type(name).fields.values():
            ref: TypeRef | None = field.type
            while ref:
                if ref.name:
                    todo.append(ref.name)
                ref = ref.item
    return sorted(found)
