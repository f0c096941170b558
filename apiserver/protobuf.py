"""Kubernetes protobuf bodies to JSON-shaped objects and back, for every built-in type.

What `decode` returns is what a Go server would show as JSON after reading the same bytes, and whatever is wrong with the
bytes is a ProtobufError, found in time and memory that grow with the bytes and never with a length they claim.

The wire does not tell a Go field that is unset from one that is empty: Go writes every plain field, empty or not, and a
pointer only when it is set. So an empty value on the wire stays in the object when it can only have come from a pointer
or when JSON shows it anyway (`Field.required`), and goes otherwise; verger.store.schemas.empties has the facts.
"""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from verger.apiserver.special_messages import SPECIAL, TIMES, TIMES_KEPT
from verger.apiserver.wire import (
    BASE64,
    BYTES,
    DELIMITED,
    DOUBLE,
    NUMBERS,
    STRING,
    WIRE_TYPES,
    Message,
    ProtobufError,
    Reader,
    Shape,
    decode,
    delimited,
    reads,
    reads_embedded,
    reads_list,
    reads_map,
    reads_message,
    reads_number,
    reads_numbers,
    reads_string,
    varint_bytes,
    writes,
    writes_double,
    writes_list,
    writes_map,
    writes_number,
)
from verger.store.schemas import ProtoField, Schemas, Type
from verger.store.schemas.empties import owner_of, shows_empty

MAGIC: Final = b"k8s\x00"
MEDIA_TYPE: Final = "application/vnd.kubernetes.protobuf"


@dataclass(frozen=True, slots=True)
class _Slot:
    """A field of a message."""

    name: str
    """In JSON."""
    proto: ProtoField
    shown_empty: bool
    bytes_shape: Shape = BASE64


def _shown_empty(owner: str, name: str, proto: ProtoField) -> bool:
    """Whether JSON shows this field of `owner` (group.Type) when it is empty and the schema does not require it."""
    return shows_empty(owner, name, plain=proto.type in {"string", "bytes"})


class Codec:
    """Decodes and encodes the messages of one Kubernetes version.

    The tables of a message are made when it is first met, and never changed: a codec may be shared.
    """

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas
        self._messages: dict[tuple[str, str], Message] = {}

    def decode(self, type_name: str, raw: bytes) -> dict[str, Any]:
        """The object of that type (its full JSON name) in `raw`; apiVersion and kind are the envelope's, not its.

        Raises ProtobufError for bytes that are no such message, KeyError for a type that has no message.
        """
        return decode(self._message(self._message_name(type_name)), raw)

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
        return decode(self._message(message), raw)

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
        if not message or message in SPECIAL:
            raise KeyError(type_name)
        return message

    def _message(self, name: str, owner: Type | None = None) -> Message:
        """The tables of a message; `owner` is the type in whose JSON its fields stand, when it has none itself."""
        key = (name, owner.name if owner else "")
        found = self._messages.get(key)
        if found is None:
            as_type = self._schemas.type_of_message(name)
            if name in SPECIAL:
                found = Message(lambda message: self._fill_special(message, name))
            elif as_type is not None:
                found = Message(lambda message: self._fill_from_type(message, as_type))
            else:
                found = Message(lambda message: self._fill_from_message(message, name, owner))
            self._messages[key] = found
        return found

    def _fill_from_type(self, message: Message, as_type: Type) -> None:
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
                tag = proto.number << 3 | DELIMITED
                message.readers[tag] = reads_embedded(embedded)
                message.embedded.append((varint_bytes(tag), embedded))

    def _fill_from_message(self, message: Message, full_name: str, owner: Type | None) -> None:
        owner_name = owner_of(owner.name if owner else full_name)
        for name, proto in self._schemas.message(full_name).items():
            required = owner is not None and owner.fields[name].required
            shown = required or _shown_empty(owner_name, name, proto)
            self._add(message, _Slot(name, proto, shown))

    def _fill_special(self, message: Message, full_name: str) -> None:
        as_type = self._schemas.type_of_message(full_name)
        fields = as_type.inline if as_type else self._schemas.message(full_name)
        for name, proto in fields.items():
            self._add(message, _Slot(name, proto, shown_empty=True, bytes_shape=BYTES))

    def _add(self, message: Message, slot: _Slot) -> None:
        """Adds the reader (two, where numbers may be packed) and the writer of a field."""
        name, kind, shown = slot.name, slot.proto.type, slot.shown_empty
        repeated, number = slot.proto.label == "repeated", slot.proto.number << 3
        tag = varint_bytes(number | WIRE_TYPES.get(kind, DELIMITED))
        read: Reader
        if kind in NUMBERS and repeated:
            read, packed = reads_numbers(name, NUMBERS[kind])
            message.readers[number | DELIMITED] = packed
            write = writes_list(writes_number(tag, NUMBERS[kind]))
        elif kind in NUMBERS:
            read = reads_number(name, NUMBERS[kind], shown_empty=shown)
            write = writes_number(tag, NUMBERS[kind])
        elif kind == "double":
            read, write = reads(name, DOUBLE, shown_empty=shown), writes_double(tag)
        elif kind.startswith("map<"):
            shape = self._shape(kind.removeprefix("map<string,").removesuffix(">"), slot)
            read, write = reads_map(name, shape), writes_map(tag, shape)
        elif repeated:
            shape = self._shape(kind, slot)
            read, write = reads_list(name, shape), writes_list(writes(tag, shape))
        else:
            shape = self._shape(kind, slot)
            write = writes(tag, shape)
            if kind == "string":
                read = reads_string(name, shown_empty=shown)
            elif kind == "bytes" or kind in SPECIAL:
                read = reads(name, shape, shown_empty=shown)
            else:
                read = reads_message(name, self._message(kind), shown_empty=shown)
        message.readers[number | WIRE_TYPES.get(kind, DELIMITED)] = read
        message.writers[name] = write

    def _shape(self, kind: str, slot: _Slot) -> Shape:
        if kind == "string":
            return STRING
        if kind == "bytes":
            return slot.bytes_shape
        message = self._message(kind)
        special = SPECIAL.get(kind)

        def value(data: bytes, start: int, stop: int, depth: int) -> Any:
            out: dict[str, Any] = {}
            message.decode(data, start, stop, out, depth + 1)
            return special.value(out) if special else out

        def body(value: Any, depth: int) -> bytes:
            return message.encode(special.fields(value) if special else value, depth + 1)

        if kind in TIMES:
            # Many objects tell of the same few seconds.
            known = functools.lru_cache(maxsize=TIMES_KEPT)(body)

            def time_body(value: Any, depth: int) -> bytes:
                return known(value, depth) if isinstance(value, str) else body(value, depth)

            return Shape(value, time_body)
        return Shape(value, body)


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
    found = decode(_UNKNOWN, data[len(MAGIC) :])
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


def _unknown() -> Message:
    type_meta, unknown = Message(), Message()
    type_meta.readers = {
        1 << 3 | DELIMITED: reads_string("apiVersion", shown_empty=True),
        2 << 3 | DELIMITED: reads_string("kind", shown_empty=True),
    }
    unknown.readers = {
        1 << 3 | DELIMITED: reads_embedded(type_meta),
        2 << 3 | DELIMITED: reads("raw", BYTES, shown_empty=True),
        3 << 3 | DELIMITED: reads_string("contentEncoding", shown_empty=True),
        4 << 3 | DELIMITED: reads_string("contentType", shown_empty=True),
    }
    return unknown


_UNKNOWN: Final = _unknown()
