"""What the built-in types of Kubernetes look like: fields, list and patch keys, protobuf numbers.

The facts of a version stand in `<version>.lines`, one type a line. A type is parsed when it is first asked for, so that
start-up pays for the index alone. What is loaded is never changed, and every plane of a process shares it.
"""

import functools
import pathlib
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple, cast

import orjson

LATEST: Final = "1.36"
HERE: Final = pathlib.Path(__file__).parent

Shape = Literal[
    "object", "list", "map", "string", "integer", "number", "boolean", "any", "int-or-string"
]


class TypeRef(NamedTuple):
    """The type of a value: a scalar, a reference to a named type, or a list or map of a further TypeRef."""

    shape: Shape
    name: str = ""
    """With shape "object", the full name of the type; empty for an object without known fields."""
    format: str = ""
    """Of a scalar: byte, date-time, int32, int64, double or nothing."""
    item: "TypeRef | None" = None
    """Of a list or a map: the type of its members."""


class ProtoField(NamedTuple):
    """A field of a protobuf message: its number, label (optional, repeated, or empty for a map) and type."""

    number: int
    label: str
    type: str


class Field(NamedTuple):
    """A field of a type."""

    name: str
    type: TypeRef
    required: bool
    """Written even when it is empty (it lacks Go's omitempty)."""
    list_type: str
    """atomic, set, map or nothing."""
    list_keys: tuple[str, ...]
    map_type: str
    patch_strategies: tuple[str, ...]
    """Of strategic merge: merge, replace, retainKeys."""
    patch_key: str
    proto: ProtoField | None
    proto_name: str


class Type(NamedTuple):
    """A named type. `scalar` is set when its JSON is not an object (times, quantities, int-or-string)."""

    name: str
    fields: Mapping[str, Field]
    scalar: TypeRef | None
    gvks: tuple[tuple[str, str, str], ...]
    message: str
    """The full name of its protobuf message, or nothing."""
    inline: Mapping[str, ProtoField]
    """Fields of the message that are embedded messages whose own fields stand inline in JSON, or that have no JSON name."""
    union: bool
    map_type: str
    """atomic: its fields are written together, as one value. Nothing: each for itself."""

    @property
    def short_name(self) -> str:
        """The last part of the name, as Go spells the type."""
        return self.name.rpartition(".")[2]


def _ref(spec: Any) -> TypeRef:
    if isinstance(spec, list):
        return TypeRef("list", item=_ref(spec[0]))
    if isinstance(spec, dict):
        return TypeRef("map", item=_ref(spec["*"]))
    if spec.startswith("#"):
        return TypeRef("object", name=spec[1:])
    shape, _, fmt = spec.partition(":")
    return TypeRef(cast("Shape", shape), format=fmt)


def _proto(spec: list[Any] | None) -> ProtoField | None:
    return ProtoField(*spec) if spec else None


class Schemas:
    """The types of one Kubernetes version."""

    def __init__(self, version: str = LATEST) -> None:
        self.version = version
        self._data = (HERE / f"{version}.lines").read_bytes()
        self._index: dict[str, tuple[int, int]] = {}
        start = 0
        while (tab := self._data.find(b"\t", start)) >= 0:
            end = self._data.index(b"\n", tab)
            self._index[self._data[start:tab].decode()] = (tab + 1, end)
            start = end + 1
        self._types: dict[str, Type] = {}
        self._messages: dict[str, Mapping[str, ProtoField]] = {}
        self._by_message: dict[str, str] = {}

    def names(self) -> list[str]:
        """The names of all types that have a JSON form."""
        return [name for name in self._index if not name.startswith("proto:")]

    def __contains__(self, name: str) -> bool:
        return name in self._index

    def type(self, name: str) -> Type:
        """The type of that full name. Raises KeyError for a name that the version does not know."""
        found = self._types.get(name)
        if found is None:
            found = self._types[name] = self._parse(name)
        return found

    def message(self, name: str) -> Mapping[str, ProtoField]:
        """The fields of a protobuf message that has no JSON type of its own."""
        found = self._messages.get(name)
        if found is None:
            start, end = self._index[f"proto:{name}"]
            raw = orjson.loads(self._data[start:end])
            found = {key: ProtoField(*value) for key, value in raw.items()}
            self._messages[name] = found
        return found

    def type_of_message(self, message: str) -> Type | None:
        """The JSON type that a protobuf message stands for, if it has one."""
        if not self._by_message:
            for name in self.names():
                # The message is the type's name without "io.", "-" written as "_".
                self._by_message["k8s.io." + name.removeprefix("io.k8s.").replace("-", "_")] = name
        name = self._by_message.get(message, "")
        return self.type(name) if name else None

    def resources(self) -> list[dict[str, Any]]:
        """The kinds that this version serves, as discovery lists them."""
        path = HERE / f"{self.version}-resources.json"
        return cast("list[dict[str, Any]]", orjson.loads(path.read_bytes()))

    def _parse(self, name: str) -> Type:
        start, end = self._index[name]
        raw = orjson.loads(self._data[start:end])
        required = raw.get("required", ())
        fields = {
            key: Field(
                name=key,
                type=_ref(spec["type"]),
                required=key in required,
                list_type=spec.get("list", ""),
                list_keys=tuple(spec.get("keys", ())),
                map_type=spec.get("map", ""),
                patch_strategies=tuple(filter(None, spec.get("pstrat", "").split(","))),
                patch_key=spec.get("pkey", ""),
                proto=_proto(spec.get("proto")),
                proto_name=spec.get("pname", key),
            )
            for key, spec in raw.get("fields", {}).items()
        }
        scalar = _ref(raw["type"]) if "type" in raw else None
        return Type(
            name=name,
            fields=fields,
            scalar=scalar,
            gvks=tuple((g, v, k) for g, v, k in raw.get("gvk", ())),
            message=raw.get("proto", ""),
            inline={key: ProtoField(*spec) for key, spec in raw.get("protoInline", {}).items()},
            union=bool(raw.get("unions")),
            map_type=raw.get("mapType", ""),
        )


@functools.cache
def load(version: str = LATEST) -> Schemas:
    """The types of a version, read once for the process: they never change."""
    return Schemas(version)
