"""Who may own what: how the values of a type are divided into parts that are set and owned one by one.

A Shape tells it of one place in an object: the value there is one part, or a map or a list of further places. There are
three sources of shapes: the built-in types, the structural schema of a custom resource, and the value itself (DEDUCED).

What must stay true: a shape is made when it is first asked for and never changed, because types refer to themselves.

upstream: kube-openapi, pkg/schemaconv; structured-merge-diff, schema
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

from verger.store.schemas import Field, Schemas, TypeRef
from verger.store.schemas.empties import owner_of, shows_empty

Sort = Literal[
    "string", "numeric", "boolean", "untyped", "map", "list", "deduced", "opaque", "undeclared"
]
"""untyped: any scalar. deduced: what the value is, maps divided, lists not. opaque: anything, as one part.

undeclared: the type has no such field.
"""


class _Members(dict[str, "Shape"]):
    """The shapes of a map's members by name: of a field that the type declares, or of all the rest."""

    __slots__ = ("_declared", "_make", "_rest")

    def __init__(
        self, declared: Mapping[str, Any], make: "Callable[[Any], Shape]", rest: "Shape"
    ) -> None:
        super().__init__()
        self._declared = declared
        self._make = make
        self._rest = rest

    def __missing__(self, name: str) -> "Shape":
        known = self._declared.get(name)
        if known is None:
            return self._rest  # not kept: there is no end of names
        shape = self[name] = self._make(known)
        return shape


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """How the value at one place is divided."""

    sort: Sort
    atomic: bool = False
    """Of a map or list: owned as one part, whatever is inside."""
    members: Mapping[str, "Shape"] = field(default_factory=dict)
    """Of a map: the shape of every member, by name. Never raises KeyError."""
    declared: Collection[str] = ()
    """Of a map: the names that are fields of the type. They are owned with what is below them, other keys by themselves."""
    always: Mapping[str, Any] = field(default_factory=dict)
    """Of a map: fields that are never absent, with what they are when nobody has set them.

    Go writes fields without omitempty, and structs that it holds by value, whether they are set or not. So nobody adds
    or removes one, and nobody comes to own it by setting something below it.
    """
    item: "Shape" = cast("Shape", None)
    """Of a list, and of a map without fields of its own: the shape of every item."""
    keys: tuple[str, ...] = ()
    """Of a list: the fields by which its items are known. Without keys an item is known by what it is: a set."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Of a list: the keys that an item may leave out, and what they are then."""

    changes: bool = False
    """Of an object: whether its type can come to divide values otherwise than when they were set."""
    whole: bool = field(init=False)
    """Whether the value is one part, no matter what it is."""
    sorted_keys: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        divided = self.sort in ("map", "list", "deduced") and not self.atomic
        object.__setattr__(self, "whole", not divided)
        object.__setattr__(self, "sorted_keys", tuple(sorted(self.keys)))


def _nothing_declared(_: Any) -> Shape:
    raise AssertionError("no member is declared")


def _map_of(item: Shape, *, atomic: bool = False) -> Shape:
    members = _Members({}, _nothing_declared, item)
    return Shape("map", atomic=atomic, members=members, item=item)


UNDECLARED: Final = Shape("undeclared")
UNOWNED: Final = Shape("opaque")
"""Of managedFields: what they say changes with every change, and is nobody's."""
OPAQUE: Final = Shape("opaque")
STRING: Final = Shape("string")
NUMERIC: Final = Shape("numeric")
BOOLEAN: Final = Shape("boolean")
UNTYPED: Final = Shape("untyped")


class _Deduced(dict[str, Shape]):
    def __missing__(self, name: str) -> Shape:
        return DEDUCED


DEDUCED: Final = Shape("deduced", members=_Deduced())
"""Of objects without a schema: maps are divided down to their leaves, a list is one part."""


def _scalar(shape: str, fmt: str) -> Shape:
    match shape:
        case "integer" | "number":
            return NUMERIC
        case "boolean":
            return BOOLEAN
        case "string" if fmt in ("", "byte"):
            return STRING
        case _:
            return UNTYPED


class BuiltInShapes:
    """The shapes of the types of one Kubernetes version."""

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas
        self._structs: dict[tuple[str, str], Shape] = {}

    def of(self, type_name: str) -> Shape:
        """The shape of the type of that full name. Raises KeyError for one that the version does not know."""
        return self._struct(type_name, "")

    def _struct(self, name: str, map_type: str) -> Shape:
        """A named type. A field may say `map_type` otherwise than the type that it is of."""
        found = self._structs.get((name, map_type))
        if found is None:
            found = self._structs[name, map_type] = self._make_struct(name, map_type)
        return found

    def _make_struct(self, name: str, map_type: str) -> Shape:
        if name == _RAW_EXTENSION:
            return OPAQUE
        if name == _QUANTITY:
            return UNTYPED  # a number will do
        type_ = self._schemas.type(name)
        if type_.scalar is not None:
            # A struct without known fields is written as a scalar type "object".
            return self._of(type_.scalar)
        return Shape(
            "map",
            atomic=(map_type or type_.map_type) == "atomic",
            members=_Members(type_.fields, self._field, UNDECLARED),
            declared=type_.fields,
            always={
                known.name: self._zero(known.type)
                for known in type_.fields.values()
                if known.required or self._by_value(name, known)
            },
        )

    @staticmethod
    def _by_value(owner: str, known: Field) -> bool:
        return known.type.shape == "object" and not shows_empty(
            owner_of(owner), known.name, plain=False
        )

    def _zero(self, ref: TypeRef) -> Any:
        if ref.shape == "object" and ref.name in self._schemas:
            scalar = self._schemas.type(ref.name).scalar
            return {} if scalar is None or scalar.shape == "object" else _ZEROS.get(ref.name)
        return _ZEROS.get(ref.shape)

    def _field(self, known: Field) -> Shape:
        return self._of(known.type, known)

    def _of(self, ref: TypeRef, known: Field | None = None) -> Shape:
        match ref.shape:
            case "object" if ref.name:
                return self._struct(ref.name, known.map_type if known else "")
            case "object":
                return _map_of(DEDUCED)
            case "any":
                return DEDUCED
            case "map" if ref.item is not None:
                atomic = known is not None and known.map_type == "atomic"
                return _map_of(self._of(ref.item), atomic=atomic)
            case "list" if ref.item is not None and ref.item.name == _MANAGED_FIELDS_ENTRY:
                return UNOWNED
            case "list" if ref.item is not None:
                divided = known is not None and known.list_type in ("set", "map")
                keys = known.list_keys if known is not None else ()
                return Shape(
                    "list",
                    atomic=not divided,
                    item=self._of(ref.item),
                    keys=keys,
                    defaults=self._key_defaults(ref.item, keys),
                )
            case scalar:
                return _scalar(scalar, ref.format)

    def _key_defaults(self, item: TypeRef, keys: tuple[str, ...]) -> Mapping[str, Any]:
        if not keys:
            return {}
        fields = self._schemas.type(item.name).fields
        # A required field of a struct has the zero of its type as its default.
        zeros = {key: _ZEROS.get(fields[key].type.shape) for key in keys if fields[key].required}
        return {**zeros, **_KEY_DEFAULTS.get(owner_of(item.name), {})}


_MANAGED_FIELDS_ENTRY: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.ManagedFieldsEntry"
_QUANTITY: Final = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_RAW_EXTENSION: Final = "io.k8s.apimachinery.pkg.runtime.RawExtension"

_ZEROS: Final[Mapping[str, Any]] = {
    "string": "",
    "integer": 0,
    "number": 0,
    "boolean": False,
    _QUANTITY: "0",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": 0,
}
"""What Go writes for a field that nobody has set; null for lists, maps and times."""

_KEY_DEFAULTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "core.ContainerPort": {"protocol": "TCP"},
    "core.LocalObjectReference": {"name": ""},
    "core.ServicePort": {"protocol": "TCP"},
}
"""upstream: the +default markers of fields that are list keys, in k8s.io/api/core/v1/types.go"""


def structural_shape(schema: Mapping[str, Any], metadata: Shape) -> Shape:
    """The shape of a custom resource, from the openAPIV3Schema of its version and the shape of an ObjectMeta.

    Reads `x-kubernetes-list-type`, `-list-map-keys`, `-map-type`, `-preserve-unknown-fields`, `-embedded-resource` and
    `-int-or-string`.
    """
    return _Structural(metadata).object(schema, embedded=True)


@dataclass(frozen=True, slots=True)
class _Structural:
    metadata: Shape
    preserve: bool = False
    """Whether fields that are not declared are kept here. It holds for all that is below."""

    def of(self, schema: Any) -> Shape:
        if isinstance(schema, Shape):
            return schema
        match schema.get("type", ""):
            case "object":
                return self.object(schema)
            case "array":
                return self._array(schema)
            case "" if schema.get("properties"):
                return self.object(schema)
            case "":
                return DEDUCED  # also int-or-string, which names no type
            case scalar:
                return _scalar(scalar, schema.get("format", ""))

    def object(self, schema: Mapping[str, Any], *, embedded: bool = False) -> Shape:
        properties: dict[str, Any] = dict(schema.get("properties") or {})
        below = self
        if schema.get("x-kubernetes-preserve-unknown-fields") is True and not self.preserve:
            below = _Structural(self.metadata, preserve=True)
        if embedded or schema.get("x-kubernetes-embedded-resource") is True:
            properties |= {"apiVersion": STRING, "kind": STRING, "metadata": self.metadata}
        more = schema.get("additionalProperties")
        if isinstance(more, Mapping):
            rest = below.of(more)
        elif more is True or (more is None and (below.preserve or not properties)):
            rest = DEDUCED
        else:
            rest = UNDECLARED
        return Shape(
            "map",
            atomic=schema.get("x-kubernetes-map-type") == "atomic",
            members=_Members(properties, below.of, rest),
            declared=properties,
            changes=embedded,
        )

    def _array(self, schema: Mapping[str, Any]) -> Shape:
        items = schema.get("items") or {}
        list_type = schema.get("x-kubernetes-list-type", "atomic")
        keys = tuple(schema.get("x-kubernetes-list-map-keys") or ()) if list_type == "map" else ()
        fields = items.get("properties") or {}
        return Shape(
            "list",
            atomic=list_type not in ("set", "map"),
            item=self.of(items),
            keys=keys,
            defaults={
                key: default
                for key in keys
                if (default := fields.get(key, {}).get("default")) is not None
            },
        )
