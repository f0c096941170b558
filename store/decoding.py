"""Fits decoded JSON to a built-in type: what the type does not know is dropped and named, what does not fit is refused.

The result is what a Go server would have in memory and write out again: no nulls, no optional fields that are empty
(unless Go holds them by pointer), times and quantities in their one spelling. Each type is compiled once into a table of its fields; messages are
upstream's, since clients show and tests match them.
"""

import binascii
from collections.abc import Callable
from typing import Any, Final

from verger.store.invalid import quote
from verger.store.quantity import QuantityError, normal
from verger.store.schemas import Field, Schemas, Type, TypeRef
from verger.store.schemas.empties import owner_of, shows_empty
from verger.store.timestamps import normal_micro, normal_time


class DecodeError(ValueError):
    """The value does not fit the type."""


class _Mismatch(Exception):
    """A JSON value of the wrong sort; the frames that it passes add where it stands."""

    def __init__(self, got: str, want: str) -> None:
        super().__init__(got)
        self.got = got
        self.want = want
        self.struct = ""
        self.path: list[str] = []

    def message(self) -> str:
        return (
            f"json: cannot unmarshal {self.got} into Go struct field "
            f"{self.struct}.{'.'.join(reversed(self.path))} of type {self.want}"
        )


_Convert = Callable[[Any, list[str]], Any]
"""Returns the value as it is kept. Unknown fields are added to the list, as paths from the value on."""

_PLAIN_SHAPES: Final = frozenset({"string", "list", "map"})
_CLASSES: Final[dict[str, type]] = {
    "string": str, "list": list, "map": dict, "boolean": bool, "integer": int,
}  # fmt: skip
"""What JSON values of these shapes are here. An empty one is dropped where Go would not write it."""

_TIME: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.Time"
_MICRO_TIME: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime"
_QUANTITY: Final = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_INT_RANGES: Final = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}
_MAX_DEPTH: Final = 10_000


def _json_sort(value: Any) -> str:
    if value is None:
        return "null"
    return {
        bool: "bool",
        int: "number",
        float: "number",
        str: "string",
        dict: "object",
        list: "array",
    }[type(value)]


def _go_type(ref: TypeRef) -> str:
    match ref.shape:
        case "object":
            package, _, short = ref.name.rpartition(".")
            return (
                f"{package.rpartition('.')[2]}.{short}" if ref.name else "map[string]interface {}"
            )
        case "list" if ref.item is not None:
            return f"[]{_go_type(ref.item)}"
        case "map" if ref.item is not None:
            return f"map[string]{_go_type(ref.item)}"
        case "string":
            return "[]uint8" if ref.format == "byte" else "string"
        case "integer":
            return ref.format or "int64"
        case "number":
            return "float64"
        case "boolean":
            return "bool"
        case _:
            return "string"


def _string(value: Any, unknown: list[str]) -> Any:
    if value.__class__ is not str:
        raise _Mismatch(_json_sort(value), "string")
    return value


def _boolean(value: Any, unknown: list[str]) -> Any:
    if value.__class__ is not bool:
        raise _Mismatch(_json_sort(value), "bool")
    return value


def _integer(fmt: str) -> _Convert:
    low, high = _INT_RANGES[fmt]

    def convert(value: Any, unknown: list[str]) -> Any:
        if value.__class__ is int and low <= value <= high:
            return value
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            raise _Mismatch(f"number {value}", fmt)
        raise _Mismatch(_json_sort(value), fmt)

    return convert


def _number(value: Any, unknown: list[str]) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _Mismatch(_json_sort(value), "float64")
    return value


def _anything(value: Any, unknown: list[str]) -> Any:
    return value


def _base64(value: Any, unknown: list[str]) -> Any:
    if value.__class__ is not str:
        raise _Mismatch(_json_sort(value), "[]uint8")
    try:
        binascii.a2b_base64(value, strict_mode=True)
    except ValueError:
        plain = value.replace("\n", "").replace("\r", "")
        at = _corrupt_base64(plain)
        if at is not None:
            raise DecodeError(f"illegal base64 data at input byte {at}") from None
        value = plain
    if value.endswith("="):
        # The last group may have bits that stand for nothing.
        last = binascii.b2a_base64(binascii.a2b_base64(value[-4:]), newline=False).decode()
        return value if value.endswith(last) else f"{value[:-4]}{last}"
    return value


def _corrupt_base64(text: str) -> int | None:
    """Where Go's decoder says that the text stops being base64, or None when it does not."""
    alphabet = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
    for at, char in enumerate(text):
        if char in alphabet:
            continue
        if char != "=" or at % 4 < 2:
            return at
        rest = text[at:]
        if at % 4 == 2 and rest[1:2] != "=":
            return min(at + 1, len(text))
        used = 2 if at % 4 == 2 else 1
        return None if len(rest) == used else at + used
    return None if len(text) % 4 == 0 else len(text) - len(text) % 4


def _timestamp(normalise: Callable[[str], str]) -> _Convert:
    def convert(value: Any, unknown: list[str]) -> Any:
        if value.__class__ is not str:
            raise DecodeError(
                f"json: cannot unmarshal {_json_sort(value)} into Go value of type string"
            )
        try:
            return normalise(value)
        except ValueError as error:
            raise DecodeError(str(error)) from None

    return convert


def _quantity(value: Any, unknown: list[str]) -> Any:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise DecodeError(str(QuantityError()))
    try:
        return normal(value)
    except QuantityError as error:
        raise DecodeError(str(error)) from None


def _int_or_string(value: Any, unknown: list[str]) -> Any:
    if value.__class__ is str or (value.__class__ is int and -(2**31) <= value < 2**31):
        return value
    raise DecodeError(f"json: cannot unmarshal {_json_sort(value)} into Go value of type int32")


def _list_of(convert: _Convert, go_type: str, zero: Any) -> _Convert:
    plain = convert is _string

    def whole(value: Any, unknown: list[str]) -> Any:
        if value.__class__ is not list:
            raise _Mismatch(_json_sort(value), go_type)
        if plain and all(item.__class__ is str for item in value):
            return value
        out = []
        for index, item in enumerate(value):
            if item is None:
                out.append(zero.copy() if isinstance(zero, dict) else zero)
                continue
            before = len(unknown)
            out.append(convert(item, unknown))
            for at in range(before, len(unknown)):
                unknown[at] = f"[{index}].{unknown[at]}"
        return out

    return whole


def _map_of(convert: _Convert, go_type: str, zero: Any) -> _Convert:
    def whole(value: Any, unknown: list[str]) -> Any:
        if value.__class__ is not dict:
            raise _Mismatch(_json_sort(value), go_type)
        for key, item in value.items():
            if item is None:
                value[key] = zero.copy() if isinstance(zero, dict) else zero
                continue
            before = len(unknown)
            value[key] = convert(item, unknown)
            for at in range(before, len(unknown)):
                unknown[at] = f"{key}.{unknown[at]}"
        return value

    return whole


_ZERO: Final[dict[str, Any]] = {
    "string": "", "integer": 0, "number": 0, "boolean": False, "object": {}, "map": {}, "list": [], "any": None,
}  # fmt: skip


class Decoder:
    """Fits objects to the types of one Kubernetes version."""

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas
        self._structs: dict[str, _Convert] = {}

    def decode(self, type_name: str, value: dict[str, Any]) -> list[str]:
        """Fits `value` to the type, in place, and returns the paths of the fields that it dropped as unknown.

        Raises DecodeError, and KeyError for a type that the version does not know.
        """
        unknown: list[str] = []
        try:
            self._struct(type_name)(value, unknown)
        except _Mismatch as mismatch:
            raise DecodeError(mismatch.message()) from None
        except RecursionError:
            raise DecodeError(f"json: exceeded max depth {_MAX_DEPTH}") from None
        return unknown

    def _struct(self, name: str) -> _Convert:
        found = self._structs.get(name)
        if found is None:
            found = self._structs[name] = self._compile(self._schemas.type(name))
        return found

    def _compile(self, type_: Type) -> _Convert:
        if type_.name == _TIME:
            return _timestamp(normal_time)
        if type_.name == _MICRO_TIME:
            return _timestamp(normal_micro)
        if type_.name == _QUANTITY:
            return _quantity
        if type_.scalar is not None:
            return _int_or_string if type_.scalar.shape == "int-or-string" else _anything
        return self._compile_fields(type_)

    def _compile_fields(self, type_: Type) -> _Convert:
        table: dict[str, tuple[_Convert, type | None]] = {}
        fields = type_.fields
        struct = type_.short_name
        go_type = _go_type(TypeRef("object", name=type_.name))
        owner = owner_of(type_.name)

        def entry(field: Field) -> tuple[_Convert, type | None]:
            shape = field.type.shape
            shown = field.required or shows_empty(owner, field.name, plain=shape in _PLAIN_SHAPES)
            return self._value(field.type), None if shown else _CLASSES.get(shape)

        def whole(value: Any, unknown: list[str]) -> Any:
            if value.__class__ is not dict:
                raise _Mismatch(_json_sort(value), go_type)
            drop: list[str] = []
            key = ""
            try:
                for key, item in value.items():
                    found = table.get(key)
                    if found is None:
                        field = fields.get(key)
                        if field is None:
                            unknown.append(key)
                            drop.append(key)
                            continue
                        # Compiled on first use: types refer to themselves, and most fields are never sent.
                        found = table[key] = entry(field)
                    convert, omitted = found
                    if item is None or (item.__class__ is omitted and not item):
                        drop.append(key)
                        continue
                    before = len(unknown)
                    kept = convert(item, unknown)
                    if kept is not item:
                        value[key] = kept
                    if len(unknown) != before:
                        for at in range(before, len(unknown)):
                            path = unknown[at]
                            unknown[at] = (
                                f"{key}{path}" if path.startswith("[") else f"{key}.{path}"
                            )
            except _Mismatch as mismatch:
                mismatch.struct = mismatch.struct or struct
                mismatch.path.append(key)
                raise
            for key in drop:
                value.pop(key, None)
            return value

        return whole

    def _value(self, ref: TypeRef) -> _Convert:
        match ref.shape:
            case "string":
                return _base64 if ref.format == "byte" else _string
            case "boolean":
                return _boolean
            case "integer":
                return _integer(ref.format or "int64")
            case "number":
                return _number
            case "int-or-string":
                return _int_or_string
            case "object" if ref.name:
                return self._struct(ref.name)
            case "list" | "map" if ref.item is not None:
                # A null member becomes the zero of its type, as in Go.
                zero = "0" if ref.item.name == _QUANTITY else _ZERO.get(ref.item.shape)
                # Go names the type of the member when a member is wrong, and the whole type when the whole is.
                make = _list_of if ref.shape == "list" else _map_of
                return make(self._value(ref.item), _go_type(ref), zero)
            case _:
                return _anything


def unknown_field(path: str) -> str:
    """How a dropped field is named in warnings and in strict errors."""
    return f"unknown field {quote(path)}"
