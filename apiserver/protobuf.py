"""Kubernetes protobuf bodies to JSON-shaped objects and back, for every built-in type.

What `decode` returns is what a Go server would show as JSON after reading the same bytes, and whatever is wrong with the
bytes is a ProtobufError, found in time and memory that grow with the bytes and never with a length they claim.

The wire does not tell a Go field that is unset from one that is empty: Go writes every plain field, empty or not, and a
pointer only when it is set. So an empty value on the wire stays in the object when it can only have come from a pointer
or when JSON shows it anyway (`Field.required`), and goes otherwise; verger.store.schemas.empties has the facts.
"""

import binascii
import contextlib
import datetime
import functools
import math
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import orjson
from verger.store.schemas import ProtoField, Schemas, Type
from verger.store.schemas.empties import owner_of, shows_empty

MAGIC: Final = b"k8s\x00"
MEDIA_TYPE: Final = "application/vnd.kubernetes.protobuf"

_DEEPEST: Final = 100
"""Messages inside messages; protobuf's own libraries stop at the same depth."""
_MASK_64: Final = 0xFFFF_FFFF_FFFF_FFFF
_VARINT, _FIXED_64, _DELIMITED, _FIXED_32 = 0, 1, 2, 5
_EPOCH: Final = datetime.datetime(1970, 1, 1)
_RFC_3339: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d+))?(?:[Zz]|([+-]\d\d:\d\d))", re.ASCII
)
_GO_ZERO_TIME: Final = -62_135_596_800
"""Seconds of the year 1, which Go calls the zero time and JSON shows as null."""


class ProtobufError(ValueError):
    """Bytes that are not the message they should be, or an object that the message cannot hold.

    The text names fields and rules, never what the payload contains.
    """


# --- The wire --------------------------------------------------------------------------------------------------------

_Reader = Callable[[bytes, int, int, dict[str, Any], int], None]
"""Puts a field into its object: (data, start, stop, object, depth). For a varint, `start` is its value."""
_Writer = Callable[[Any, list[bytes], int], None]
"""Appends a field to the parts of its message: (JSON value, parts, depth)."""


class _Shape(NamedTuple):
    """A length-delimited type: its bytes to a JSON value, and back."""

    value: Callable[[bytes, int, int, int], Any]
    """(data, start, stop, depth); None is a value that JSON shows as null."""
    body: Callable[[Any, int], bytes]


class _Number(NamedTuple):
    """A varint type: the 64 bits of the wire to a JSON value, and back."""

    value: Callable[[int], int]
    bits: Callable[[Any], int]


class _Message:
    """The tables of one message: tag to reader, JSON name to writer.

    They are filled by `fill` on first use, since messages refer to each other and few of them are ever met.
    """

    __slots__ = ("embedded", "fill", "readers", "writers")

    def __init__(self, fill: "Callable[[_Message], None] | None" = None) -> None:
        self.fill = fill
        self.readers: dict[int, _Reader] = {}
        self.writers: dict[str, _Writer] = {}
        self.embedded: list[tuple[bytes, _Message]] = []
        """Messages whose fields stand inline in the JSON of this one, and their tags."""

    def _fill_once(self, fill: "Callable[[_Message], None]") -> None:
        fill(self)
        self.fill = None

    def decode(self, data: bytes, pos: int, end: int, out: dict[str, Any], depth: int) -> None:
        """Merges the message in data[pos:end] into `out`.

        Raises ProtobufError; also IndexError where the data ends and UnicodeDecodeError (see _decode).
        """
        if depth > _DEEPEST:
            raise ProtobufError(f"messages are nested deeper than {_DEEPEST} levels")
        if self.fill is not None:
            self._fill_once(self.fill)
        readers = self.readers
        while pos < end:
            tag = data[pos]
            pos += 1
            if tag > 0x7F:
                tag, pos = _varint(data, pos - 1)
            wire = tag & 7
            if wire == _DELIMITED:
                size = data[pos]
                start = pos + 1
                if size > 0x7F:
                    size, start = _varint(data, pos)
                pos = start + size
            elif wire == _VARINT:
                start = data[pos]
                pos += 1
                if start > 0x7F:
                    start, pos = _varint(data, pos - 1)
            elif wire in {_FIXED_64, _FIXED_32}:
                start = pos
                pos += 8 if wire == _FIXED_64 else 4
            else:
                raise ProtobufError(f"wire type {wire} is not supported")
            if pos > end:
                raise ProtobufError("a field is longer than what it stands in")
            if tag in readers:
                readers[tag](data, start, pos, out, depth)
            else:
                _skip(tag, readers)

    def encode(self, obj: Any, depth: int) -> bytes:
        """The message that holds the fields of `obj` it knows. Raises ProtobufError."""
        if depth > _DEEPEST:
            raise ProtobufError(f"objects are nested deeper than {_DEEPEST} levels")
        if obj.__class__ is not dict and not isinstance(obj, Mapping):
            raise ProtobufError("not an object")
        if self.fill is not None:
            self._fill_once(self.fill)
        parts: list[bytes] = []
        writers = self.writers
        for name, value in obj.items():
            write = writers.get(name)
            if write is not None and value is not None:
                try:
                    write(value, parts, depth)
                except ProtobufError as error:
                    raise ProtobufError(f"{name}: {error}") from None
        for tag, message in self.embedded:
            if body := message.encode(obj, depth + 1):
                parts += (tag, _varint_bytes(len(body)), body)
        return b"".join(parts)


def _varint(data: bytes, pos: int) -> tuple[int, int]:
    """The varint at `pos` and the position after it; bits above the 64th are dropped, as Go does."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[pos]
        pos += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & _MASK_64, pos
    raise ProtobufError("a varint is longer than ten bytes")


_SHORT: Final = tuple(bytes((value,)) for value in range(0x80))
"""Varints of one byte: most of them."""


def _varint_bytes(value: int) -> bytes:
    if value < 0x80:
        return _SHORT[value]
    if value < 0x4000:
        return bytes((value & 0x7F | 0x80, value >> 7))
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _skip(tag: int, readers: Mapping[int, _Reader]) -> None:
    """Checks that a field without a reader may be skipped."""
    number = tag >> 3
    if not 0 < number < 1 << 29:
        raise ProtobufError("a field number is out of range")
    if any(number << 3 | wire in readers for wire in (_VARINT, _FIXED_64, _DELIMITED, _FIXED_32)):
        raise ProtobufError(f"field {number} has the wrong wire type")


def _decode(message: _Message, data: bytes) -> dict[str, Any]:
    out: dict[str, Any] = {}
    try:
        message.decode(data, 0, len(data), out, 0)
    except IndexError:
        problem = "the message ends in the middle of a field"
    except UnicodeDecodeError:
        problem = "a string is not valid UTF-8"
    else:
        return out
    # Outside of the handler: a UnicodeDecodeError as __context__ would carry the payload into logs.
    raise ProtobufError(problem)


# --- Fields ----------------------------------------------------------------------------------------------------------


def _reads(name: str, shape: _Shape, *, shown_empty: bool) -> _Reader:
    value = shape.value

    def read(data: bytes, start: int, stop: int, out: dict[str, Any], depth: int) -> None:
        found = value(data, start, stop, depth)
        if found or (shown_empty and found is not None):
            out[name] = found
        else:
            out.pop(name, None)

    return read


def _reads_string(name: str, *, shown_empty: bool) -> _Reader:
    """As `_reads`, with one call less: most fields are strings."""

    def read(data: bytes, start: int, stop: int, out: dict[str, Any], _depth: int) -> None:
        if start < stop or shown_empty:
            out[name] = data[start:stop].decode()
        else:
            out.pop(name, None)

    return read


def _reads_message(name: str, message: _Message, *, shown_empty: bool) -> _Reader:
    def read(data: bytes, start: int, stop: int, out: dict[str, Any], depth: int) -> None:
        found = out.get(name)
        if found is None:
            found = {}
        message.decode(data, start, stop, found, depth + 1)
        if found or shown_empty:
            out[name] = found

    return read


def _reads_list(name: str, shape: _Shape) -> _Reader:
    value = shape.value

    def read(data: bytes, start: int, stop: int, out: dict[str, Any], depth: int) -> None:
        found = value(data, start, stop, depth)
        if name in out:
            out[name].append(found)
        else:
            out[name] = [found]

    return read


def _reads_map(name: str, shape: _Shape) -> _Reader:
    entry = _Message()
    entry.readers = {
        1 << 3 | _DELIMITED: _reads_string("key", shown_empty=True),
        2 << 3 | _DELIMITED: _reads("value", shape, shown_empty=True),
    }

    def read(data: bytes, start: int, stop: int, out: dict[str, Any], depth: int) -> None:
        pair: dict[str, Any] = {}
        entry.decode(data, start, stop, pair, depth)
        found = pair["value"] if "value" in pair else shape.value(b"", 0, 0, depth)
        if name in out:
            out[name][pair.get("key", "")] = found
        else:
            out[name] = {pair.get("key", ""): found}

    return read


def _reads_number(name: str, number: _Number, *, shown_empty: bool) -> _Reader:
    value = number.value

    def read(_data: bytes, start: int, _stop: int, out: dict[str, Any], _depth: int) -> None:
        found = value(start)
        if found or shown_empty:
            out[name] = found
        else:
            out.pop(name, None)

    return read


def _reads_numbers(name: str, number: _Number) -> tuple[_Reader, _Reader]:
    """Readers of a repeated number: one at a time, and packed."""

    def one(_data: bytes, start: int, _stop: int, out: dict[str, Any], _depth: int) -> None:
        out.setdefault(name, []).append(number.value(start))

    def packed(data: bytes, start: int, stop: int, out: dict[str, Any], _depth: int) -> None:
        found = []
        while start < stop:
            bits, start = _varint(data, start)
            found.append(number.value(bits))
        if start > stop:
            raise ProtobufError("a packed number is longer than what it stands in")
        if found:
            out.setdefault(name, []).extend(found)

    return one, packed


def _reads_embedded(message: _Message) -> _Reader:
    def read(data: bytes, start: int, stop: int, out: dict[str, Any], depth: int) -> None:
        message.decode(data, start, stop, out, depth + 1)

    return read


def _writes(tag: bytes, shape: _Shape) -> _Writer:
    def write(value: Any, parts: list[bytes], depth: int) -> None:
        # null in a list is an empty element, as Go reads it.
        body = shape.body(value, depth) if value is not None else b""
        parts += (tag, _varint_bytes(len(body)), body)

    return write


def _writes_number(tag: bytes, number: _Number) -> _Writer:
    def write(value: Any, parts: list[bytes], _depth: int) -> None:
        parts += (tag, _varint_bytes(number.bits(value)))

    return write


def _writes_double(tag: bytes) -> _Writer:
    def write(value: Any, parts: list[bytes], depth: int) -> None:
        parts += (tag, _DOUBLE.body(value, depth))

    return write


def _writes_list(write_one: _Writer) -> _Writer:
    def write(value: Any, parts: list[bytes], depth: int) -> None:
        if not isinstance(value, list | tuple):
            raise ProtobufError("not a list")
        for one in value:
            write_one(one, parts, depth)

    return write


def _writes_map(tag: bytes, shape: _Shape) -> _Writer:
    def write(value: Any, parts: list[bytes], depth: int) -> None:
        if not isinstance(value, Mapping):
            raise ProtobufError("not an object")
        for key, one in value.items():
            name = _STRING.body(key, depth)
            body = shape.body(one, depth) if one is not None else b""
            before, between = _varint_bytes(len(name)), _varint_bytes(len(body))
            size = 2 + len(before) + len(name) + len(between) + len(body)
            parts += (tag, _varint_bytes(size), b"\n", before, name, b"\x12", between, body)

    return write


# --- Scalars ---------------------------------------------------------------------------------------------------------


def _double_value(data: bytes, start: int, _stop: int, _depth: int) -> float:
    found: float
    (found,) = struct.unpack_from("<d", data, start)
    if not math.isfinite(found):
        raise ProtobufError("a number is not finite")
    # Go's JSON has no fraction for a whole number; from 2**53 on every double is whole.
    return int(found) if found.is_integer() and abs(found) < 2**53 else found


def _double_body(value: Any, _depth: int) -> bytes:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ProtobufError("not a number")
    try:
        return struct.pack("<d", float(value))
    except OverflowError:
        raise ProtobufError("a number out of range") from None


def _string_value(data: bytes, start: int, stop: int, _depth: int) -> str:
    return data[start:stop].decode()


def _string_body(value: Any, _depth: int) -> bytes:
    if not isinstance(value, str):
        raise ProtobufError("not a string")
    try:
        return value.encode()
    except UnicodeEncodeError:
        pass
    # Outside of the handler: the error would carry the text into logs.
    raise ProtobufError("not valid Unicode")


def _base64_value(data: bytes, start: int, stop: int, _depth: int) -> str:
    return binascii.b2a_base64(data[start:stop], newline=False).decode()


def _base64_body(value: Any, _depth: int) -> bytes:
    try:
        # Line ends are no part of the encoding, and Go takes them.
        text = _string_body(value, 0).replace(b"\n", b"").replace(b"\r", b"")
        return binascii.a2b_base64(text, strict_mode=True)
    except (ProtobufError, binascii.Error):
        raise ProtobufError("not a base64 string") from None


def _bytes_value(data: bytes, start: int, stop: int, _depth: int) -> bytes:
    return data[start:stop]


def _bytes_body(value: Any, _depth: int) -> bytes:
    return bytes(value)


_DOUBLE: Final = _Shape(_double_value, _double_body)
"""Not length-delimited: eight bytes, and nothing before them."""
_STRING: Final = _Shape(_string_value, _string_body)
_BASE64: Final = _Shape(_base64_value, _base64_body)
_BYTES: Final = _Shape(_bytes_value, _bytes_body)
"""Bytes inside a message that JSON shows as something else."""


def _signed(size: int) -> _Number:
    """The integers of `size` bits; wider ones on the wire are cut down to it, as Go does."""
    mask, sign = (1 << size) - 1, 1 << (size - 1)

    def value(bits: int) -> int:
        return ((bits & mask) ^ sign) - sign

    def bits(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ProtobufError("not an integer")
        if not -sign <= value < sign:
            raise ProtobufError(f"not in the range of int{size}")
        return value & _MASK_64

    return _Number(value, bits)


def _boolean_bits(value: Any) -> int:
    if not isinstance(value, bool):
        raise ProtobufError("not a boolean")
    return int(value)


_NUMBERS: Final[Mapping[str, _Number]] = {
    "bool": _Number(bool, _boolean_bits),
    "int32": _signed(32),
    "int64": _signed(64),
}
_WIRE: Final[Mapping[str, int]] = {**dict.fromkeys(_NUMBERS, _VARINT), "double": _FIXED_64}
"""The wire types of what is not length-delimited."""


# --- Messages that JSON shows as something else than an object of their fields ---------------------------------------


class _Special(NamedTuple):
    """A message whose JSON is not an object of its fields: its fields to JSON, and back."""

    value: Callable[[dict[str, Any]], Any]
    fields: Callable[[Any], dict[str, Any]]


def _moment(fields: dict[str, Any], nanos: int, timespec: str) -> str | None:
    seconds = fields.get("seconds", 0)
    if not fields or seconds == _GO_ZERO_TIME:
        return None
    try:
        moment = _EPOCH + datetime.timedelta(seconds=seconds, microseconds=nanos // 1000)
    except OverflowError:
        raise ProtobufError("a time is not in the years 1 to 9999") from None
    return moment.isoformat(timespec=timespec) + "Z"


def _time_value(fields: dict[str, Any]) -> str | None:
    return _moment(fields, 0, "seconds")


def _micro_time_value(fields: dict[str, Any]) -> str | None:
    return _moment(fields, fields.get("nanos", 0), "microseconds")


def _micro_time_fields(value: Any) -> dict[str, Any]:
    match = _RFC_3339.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ProtobufError("not a time of RFC 3339")
    day, clock, fraction, offset = match.groups()
    try:
        moment = datetime.datetime.fromisoformat(f"{day}T{clock}{offset or '+00:00'}")
    except ValueError:
        raise ProtobufError("not a time of RFC 3339") from None
    since = moment - _EPOCH.replace(tzinfo=datetime.UTC)
    nanos = int((fraction or "")[:6].ljust(6, "0")) * 1000
    return {"seconds": since.days * 86_400 + since.seconds, "nanos": nanos}


def _time_fields(value: Any) -> dict[str, Any]:
    return {**_micro_time_fields(value), "nanos": 0}


def _quantity_value(fields: dict[str, Any]) -> str:
    return fields.get("string") or "0"


def _quantity_fields(value: Any) -> dict[str, Any]:
    # JSON may show a quantity as a bare number.
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    return {"string": value}


def _int_or_string_value(fields: dict[str, Any]) -> int | str:
    match fields.get("type", 0):
        case 0:
            return int(fields.get("intVal", 0))
        case 1:
            return str(fields.get("strVal", ""))
    raise ProtobufError("an int-or-string is neither")


def _int_or_string_fields(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return {"type": 1, "intVal": 0, "strVal": value}
    return {"type": 0, "intVal": value, "strVal": ""}


def _json_value(fields: dict[str, Any]) -> Any:
    raw = fields.get("raw") or fields.get("Raw")
    if not raw:
        return None
    with contextlib.suppress(orjson.JSONDecodeError):
        return orjson.loads(raw)
    raise ProtobufError("an embedded object is not valid JSON")


def _json_fields(value: Any) -> dict[str, Any]:
    # Bytes are an object that the caller has encoded: what a watch event carries.
    if not isinstance(value, bytes):
        try:
            value = orjson.dumps(value)
        except orjson.JSONEncodeError:
            raise ProtobufError("not a JSON value") from None
    return {"raw": value, "Raw": value}


def _items_value(fields: dict[str, Any]) -> Any:
    return fields.get("items", [])


def _items_fields(value: Any) -> dict[str, Any]:
    return {"items": value}


def _schema_or_array_value(fields: dict[str, Any]) -> Any:
    return fields.get("jSONSchemas") or fields.get("schema")


def _schema_or_array_fields(value: Any) -> dict[str, Any]:
    return {"jSONSchemas" if isinstance(value, list | tuple) else "schema": value}


def _schema_or_bool_value(fields: dict[str, Any]) -> Any:
    return fields["schema"] if "schema" in fields else fields.get("allows", False)


def _schema_or_bool_fields(value: Any) -> dict[str, Any]:
    return {"allows": value} if isinstance(value, bool) else {"allows": True, "schema": value}


def _schema_or_strings_value(fields: dict[str, Any]) -> Any:
    return fields.get("property") or fields.get("schema")


def _schema_or_strings_fields(value: Any) -> dict[str, Any]:
    return {"property" if isinstance(value, list | tuple) else "schema": value}


_EXTENSIONS: Final = "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1"
_META: Final = "k8s.io.apimachinery.pkg.apis.meta.v1"
_JSON: Final = _Special(_json_value, _json_fields)
_ITEMS: Final = _Special(_items_value, _items_fields)
_SPECIAL: Final[Mapping[str, _Special]] = {
    "k8s.io.api.authentication.v1.ExtraValue": _ITEMS,
    "k8s.io.api.authorization.v1.ExtraValue": _ITEMS,
    "k8s.io.api.certificates.v1.ExtraValue": _ITEMS,
    f"{_EXTENSIONS}.JSON": _JSON,
    f"{_EXTENSIONS}.JSONSchemaPropsOrArray": _Special(
        _schema_or_array_value, _schema_or_array_fields
    ),
    f"{_EXTENSIONS}.JSONSchemaPropsOrBool": _Special(_schema_or_bool_value, _schema_or_bool_fields),
    f"{_EXTENSIONS}.JSONSchemaPropsOrStringArray": _Special(
        _schema_or_strings_value, _schema_or_strings_fields
    ),
    "k8s.io.apimachinery.pkg.api.resource.Quantity": _Special(_quantity_value, _quantity_fields),
    f"{_META}.FieldsV1": _JSON,
    f"{_META}.MicroTime": _Special(_micro_time_value, _micro_time_fields),
    f"{_META}.Time": _Special(_time_value, _time_fields),
    f"{_META}.Verbs": _ITEMS,
    "k8s.io.apimachinery.pkg.runtime.RawExtension": _JSON,
    "k8s.io.apimachinery.pkg.util.intstr.IntOrString": _Special(
        _int_or_string_value, _int_or_string_fields
    ),
}
_TIMES: Final = (f"{_META}.MicroTime", f"{_META}.Time")
_TIMES_KEPT: Final = 1024
"""Encoded times that are kept."""


@dataclass(frozen=True, slots=True)
class _Slot:
    """A field of a message."""

    name: str
    """In JSON."""
    proto: ProtoField
    shown_empty: bool
    bytes_shape: _Shape = _BASE64


# --- The codec -------------------------------------------------------------------------------------------------------


def _shown_empty(owner: str, name: str, proto: ProtoField) -> bool:
    """Whether JSON shows this field of `owner` (group.Type) when it is empty and the schema does not require it."""
    return shows_empty(owner, name, plain=proto.type in {"string", "bytes"})


class Codec:
    """Decodes and encodes the messages of one Kubernetes version.

    The tables of a message are made when it is first met, and never changed: a codec may be shared.
    """

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas
        self._messages: dict[tuple[str, str], _Message] = {}

    def decode(self, type_name: str, raw: bytes) -> dict[str, Any]:
        """The object of that type (its full JSON name) in `raw`; apiVersion and kind are the envelope's, not its.

        Raises ProtobufError for bytes that are no such message, KeyError for a type that has no message.
        """
        return _decode(self._message(self._message_name(type_name)), raw)

    def encode(self, type_name: str, obj: Mapping[str, Any]) -> bytes:
        """The message of that type (its full JSON name) that holds `obj`; fields it does not know are left out.

        An embedded object (the `object` of a WatchEvent) may be bytes that are encoded already.
        Raises ProtobufError for a value that does not fit its field, KeyError for a type that has no message.
        """
        return self._message(self._message_name(type_name)).encode(obj, 0)

    def decode_message(self, message: str, raw: bytes) -> dict[str, Any]:
        """As `decode`, by the full name of a message: some (PartialObjectMetadata) have no JSON type of their own.

        Raises KeyError for a name that the version does not know.
        """
        return _decode(self._message(message), raw)

    def encode_message(self, message: str, obj: Mapping[str, Any]) -> bytes:
        """As `encode`, by the full name of a message."""
        return self._message(message).encode(obj, 0)

    @staticmethod
    def seal(api_version: str, kind: str, raw: bytes) -> bytes:
        """The envelope around an encoded message, byte for byte as Go writes it."""
        before, behind = envelope(api_version, kind)
        return before + delimited(2, raw) + behind

    def _message_name(self, type_name: str) -> str:
        message = self._schemas.type(type_name).message
        if not message or message in _SPECIAL:
            raise KeyError(type_name)
        return message

    def _message(self, name: str, owner: Type | None = None) -> _Message:
        """The tables of a message; `owner` is the type in whose JSON its fields stand, when it has none itself."""
        key = (name, owner.name if owner else "")
        found = self._messages.get(key)
        if found is None:
            as_type = self._schemas.type_of_message(name)
            if name in _SPECIAL:
                found = _Message(lambda message: self._fill_special(message, name))
            elif as_type is not None:
                found = _Message(lambda message: self._fill_from_type(message, as_type))
            else:
                found = _Message(lambda message: self._fill_from_message(message, name, owner))
            self._messages[key] = found
        return found

    def _fill_from_type(self, message: _Message, as_type: Type) -> None:
        owner = owner_of(as_type.name)
        for name, field in as_type.fields.items():
            if field.proto is not None:
                shown = field.required or _shown_empty(owner, name, field.proto)
                self._add(message, _Slot(name, field.proto, shown))
        for proto_name, proto in as_type.inline.items():
            name = _json_name(proto_name, as_type)
            if name:
                self._add(message, _Slot(name, proto, _shown_empty(owner, name, proto)))
            else:
                has_type = self._schemas.type_of_message(proto.type) is not None
                embedded = self._message(proto.type, None if has_type else as_type)
                tag = proto.number << 3 | _DELIMITED
                message.readers[tag] = _reads_embedded(embedded)
                message.embedded.append((_varint_bytes(tag), embedded))

    def _fill_from_message(self, message: _Message, full_name: str, owner: Type | None) -> None:
        owner_name = owner_of(owner.name if owner else full_name)
        for name, proto in self._schemas.message(full_name).items():
            required = owner is not None and owner.fields[name].required
            shown = required or _shown_empty(owner_name, name, proto)
            self._add(message, _Slot(name, proto, shown))

    def _fill_special(self, message: _Message, full_name: str) -> None:
        as_type = self._schemas.type_of_message(full_name)
        fields = as_type.inline if as_type else self._schemas.message(full_name)
        for name, proto in fields.items():
            self._add(message, _Slot(name, proto, shown_empty=True, bytes_shape=_BYTES))

    def _add(self, message: _Message, slot: _Slot) -> None:
        """Adds the reader (two, where numbers may be packed) and the writer of a field."""
        name, kind, shown = slot.name, slot.proto.type, slot.shown_empty
        repeated, number = slot.proto.label == "repeated", slot.proto.number << 3
        tag = _varint_bytes(number | _WIRE.get(kind, _DELIMITED))
        read: _Reader
        if kind in _NUMBERS and repeated:
            read, packed = _reads_numbers(name, _NUMBERS[kind])
            message.readers[number | _DELIMITED] = packed
            write = _writes_list(_writes_number(tag, _NUMBERS[kind]))
        elif kind in _NUMBERS:
            read = _reads_number(name, _NUMBERS[kind], shown_empty=shown)
            write = _writes_number(tag, _NUMBERS[kind])
        elif kind == "double":
            read, write = _reads(name, _DOUBLE, shown_empty=shown), _writes_double(tag)
        elif kind.startswith("map<"):
            shape = self._shape(kind.removeprefix("map<string,").removesuffix(">"), slot)
            read, write = _reads_map(name, shape), _writes_map(tag, shape)
        elif repeated:
            shape = self._shape(kind, slot)
            read, write = _reads_list(name, shape), _writes_list(_writes(tag, shape))
        else:
            shape = self._shape(kind, slot)
            write = _writes(tag, shape)
            if kind == "string":
                read = _reads_string(name, shown_empty=shown)
            elif kind == "bytes" or kind in _SPECIAL:
                read = _reads(name, shape, shown_empty=shown)
            else:
                read = _reads_message(name, self._message(kind), shown_empty=shown)
        message.readers[number | _WIRE.get(kind, _DELIMITED)] = read
        message.writers[name] = write

    def _shape(self, kind: str, slot: _Slot) -> _Shape:
        if kind == "string":
            return _STRING
        if kind == "bytes":
            return slot.bytes_shape
        message = self._message(kind)
        special = _SPECIAL.get(kind)

        def value(data: bytes, start: int, stop: int, depth: int) -> Any:
            out: dict[str, Any] = {}
            message.decode(data, start, stop, out, depth + 1)
            return special.value(out) if special else out

        def body(value: Any, depth: int) -> bytes:
            return message.encode(special.fields(value) if special else value, depth + 1)

        if kind in _TIMES:
            # Many objects tell of the same few seconds.
            known = functools.lru_cache(maxsize=_TIMES_KEPT)(body)

            def time_body(value: Any, depth: int) -> bytes:
                return known(value, depth) if isinstance(value, str) else body(value, depth)

            return _Shape(value, time_body)
        return _Shape(value, body)


def _json_name(proto_name: str, owner: Type) -> str:
    """The JSON name of a field that is spelled differently in protobuf (xKubernetesMapType, ref), or nothing."""
    dashed = re.sub("[A-Z]", lambda letter: "-" + letter[0].lower(), proto_name)
    return next((name for name in (dashed, "$" + proto_name) if name in owner.fields), "")


# --- The envelope ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a body says about itself, and the message in it. Any of the strings may be empty."""

    api_version: str
    kind: str
    raw: bytes
    content_encoding: str
    content_type: str


def open_envelope(data: bytes) -> Envelope:
    """The envelope of a body (runtime.Unknown after four magic bytes). Raises ProtobufError if it is none."""
    if not data.startswith(MAGIC):
        raise ProtobufError("the body does not begin as Kubernetes protobuf does")
    found = _decode(_UNKNOWN, data[len(MAGIC) :])
    return Envelope(
        api_version=found.get("apiVersion", ""),
        kind=found.get("kind", ""),
        raw=found.get("raw", b""),
        content_encoding=found.get("contentEncoding", ""),
        content_type=found.get("contentType", ""),
    )


def envelope(api_version: str, kind: str) -> tuple[bytes, bytes]:
    """What stands before and behind an encoded message that is field 2 already."""
    type_meta = delimited(1, api_version.encode()) + delimited(2, kind.encode())
    return MAGIC + delimited(1, type_meta), delimited(3, b"") + delimited(4, b"")


def delimited(number: int, body: bytes) -> bytes:
    """A field that holds a string, bytes or a message."""
    return _varint_bytes(number << 3 | _DELIMITED) + _varint_bytes(len(body)) + body


def _unknown() -> _Message:
    type_meta, unknown = _Message(), _Message()
    type_meta.readers = {
        1 << 3 | _DELIMITED: _reads_string("apiVersion", shown_empty=True),
        2 << 3 | _DELIMITED: _reads_string("kind", shown_empty=True),
    }
    unknown.readers = {
        1 << 3 | _DELIMITED: _reads_embedded(type_meta),
        2 << 3 | _DELIMITED: _reads("raw", _BYTES, shown_empty=True),
        3 << 3 | _DELIMITED: _reads_string("contentEncoding", shown_empty=True),
        4 << 3 | _DELIMITED: _reads_string("contentType", shown_empty=True),
    }
    return unknown


_UNKNOWN: Final = _unknown()
