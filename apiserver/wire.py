"""Protobuf's wire: tags, varints, lengths, and the fields of messages, each to a JSON value and back.

Whatever is wrong with the bytes is a ProtobufError, found in time and memory that grow with the bytes and never with a
length they claim.
"""

import binascii
import math
import struct
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

_DEEPEST: Final = 100
"""Messages inside messages; protobuf's own libraries stop at the same depth."""
_MASK_64: Final = 0xFFFF_FFFF_FFFF_FFFF
_VARINT, _FIXED_64, DELIMITED, _FIXED_32 = 0, 1, 2, 5


class ProtobufError(ValueError):
    """Bytes that are not the message they should be, or an object that the message cannot hold.

    The text names fields and rules, never what the payload contains.
    """


Reader = Callable[[bytes, int, int, dict[str, Any], int], None]
"""Puts a field into its object: (data, start, stop, object, depth). For a varint, `start` is its value."""
Writer = Callable[[Any, list[bytes], int], None]
"""Appends a field to the parts of its message: (JSON value, parts, depth)."""


class Shape(NamedTuple):
    """A length-delimited type: its bytes to a JSON value, and back."""

    value: Callable[[bytes, int, int, int], Any]
    """(data, start, stop, depth); None is a value that JSON shows as null."""
    body: Callable[[Any, int], bytes]


class Number(NamedTuple):
    """A varint type: the 64 bits of the wire to a JSON value, and back."""

    value: Callable[[int], int]
    bits: Callable[[Any], int]


class Message:
    """The tables of one message: tag to reader, JSON name to writer.

    They are filled by `fill` on first use, since messages refer to each other and few of them are ever met.
    """

    __slots__ = ("embedded", "fill", "readers", "writers")

    def __init__(self, fill: "Callable[[Message], None] | None" = None) -> None:
        self.fill = fill
        self.readers: dict[int, Reader] = {}
        self.writers: dict[str, Writer] = {}
        self.embedded: list[tuple[bytes, Message]] = []
        """Messages whose fields stand inline in the JSON of this one, and their tags."""

    def _fill_once(self, fill: "Callable[[Message], None]") -> None:
        fill(self)
        self.fill = None

    def decode(self, data: bytes, pos: int, end: int, out: dict[str, Any], depth: int) -> None:
        """Merges the message in data[pos:end] into `out`.

        Raises ProtobufError; also IndexError where the data ends and UnicodeDecodeError (see decode).
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
            if wire == DELIMITED:
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
                parts += (tag, varint_bytes(len(body)), body)
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


def varint_bytes(value: int) -> bytes:
    """A number as the wire has it. Numbers below 0 come as their 64 bits."""
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


def _skip(tag: int, readers: Mapping[int, Reader]) -> None:
    """Checks that a field without a reader may be skipped."""
    number = tag >> 3
    if not 0 < number < 1 << 29:
        raise ProtobufError("a field number is out of range")
    if any(number << 3 | wire in readers for wire in (_VARINT, _FIXED_64, DELIMITED, _FIXED_32)):
        raise ProtobufError(f"field {number} has the wrong wire type")


def decode(message: Message, data: bytes) -> dict[str, Any]:
    """The object of a whole message. Raises ProtobufError."""
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


def reads(name: str, shape: Shape, *, shown_empty: bool) -> Reader:
    """Reads a length-delimited field."""
    value = shape.value

    def read(data: bytes, start: int, stop: int, out: dict[str, Any], depth: int) -> None:
        found = value(data, start, stop, depth)
        if found or (shown_empty and found is not None):
            out[name] = found
        else:
            out.pop(name, None)

    return read


def reads_string(name: str, *, shown_empty: bool) -> Reader:
    """As `reads`, with one call less: most fields are strings."""

    def read(data: bytes, start: int, stop: int, out: dict[str, Any], _depth: int) -> None:
        if start < stop or shown_empty:
            out[name] = data[start:stop].decode()
        else:
            out.pop(name, None)

    return read


def reads_message(name: str, message: Message, *, shown_empty: bool) -> Reader:
    """Reads a message inside the message; what comes in two parts is merged."""

    def read(data: bytes, start: int, stop: int, out: dict[str, Any], depth: int) -> None:
        found = out.get(name)
        if found is None:
            found = {}
        message.decode(data, start, stop, found, depth + 1)
        if found or shown_empty:
            out[name] = found

    return read


def reads_list(name: str, shape: Shape) -> Reader:
    """Reads one item of a repeated field."""
    value = shape.value

    def read(data: bytes, start: int, stop: int, out: dict[str, Any], depth: int) -> None:
        found = value(data, start, stop, depth)
        if name in out:
            out[name].append(found)
        else:
            out[name] = [found]

    return read


def reads_map(name: str, shape: Shape) -> Reader:
    """Reads one entry of a map, which is a message of a key and a value."""
    entry = Message()
    entry.readers = {
        1 << 3 | DELIMITED: reads_string("key", shown_empty=True),
        2 << 3 | DELIMITED: reads("value", shape, shown_empty=True),
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


def reads_number(name: str, number: Number, *, shown_empty: bool) -> Reader:
    """Reads a varint field."""
    value = number.value

    def read(_data: bytes, start: int, _stop: int, out: dict[str, Any], _depth: int) -> None:
        found = value(start)
        if found or shown_empty:
            out[name] = found
        else:
            out.pop(name, None)

    return read


def reads_numbers(name: str, number: Number) -> tuple[Reader, Reader]:
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


def reads_embedded(message: Message) -> Reader:
    """Reads a message whose fields stand among those of its owner."""

    def read(data: bytes, start: int, stop: int, out: dict[str, Any], depth: int) -> None:
        message.decode(data, start, stop, out, depth + 1)

    return read


def writes(tag: bytes, shape: Shape) -> Writer:
    """Writes a length-delimited field."""

    def write(value: Any, parts: list[bytes], depth: int) -> None:
        # null in a list is an empty element, as Go reads it.
        body = shape.body(value, depth) if value is not None else b""
        parts += (tag, varint_bytes(len(body)), body)

    return write


def writes_number(tag: bytes, number: Number) -> Writer:
    """Writes a varint field."""

    def write(value: Any, parts: list[bytes], _depth: int) -> None:
        parts += (tag, varint_bytes(number.bits(value)))

    return write


def writes_double(tag: bytes) -> Writer:
    """Writes a field of eight bytes."""

    def write(value: Any, parts: list[bytes], depth: int) -> None:
        parts += (tag, DOUBLE.body(value, depth))

    return write


def writes_list(write_one: Writer) -> Writer:
    """Writes every item of a repeated field."""

    def write(value: Any, parts: list[bytes], depth: int) -> None:
        if not isinstance(value, list | tuple):
            raise ProtobufError("not a list")
        for one in value:
            write_one(one, parts, depth)

    return write


def writes_map(tag: bytes, shape: Shape) -> Writer:
    """Writes every entry of a map."""

    def write(value: Any, parts: list[bytes], depth: int) -> None:
        if not isinstance(value, Mapping):
            raise ProtobufError("not an object")
        for key, one in value.items():
            name = STRING.body(key, depth)
            body = shape.body(one, depth) if one is not None else b""
            before, between = varint_bytes(len(name)), varint_bytes(len(body))
            size = 2 + len(before) + len(name) + len(between) + len(body)
            parts += (tag, varint_bytes(size), b"\n", before, name, b"\x12", between, body)

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


DOUBLE: Final = Shape(_double_value, _double_body)
"""Not length-delimited: eight bytes, and nothing before them."""
STRING: Final = Shape(_string_value, _string_body)
BASE64: Final = Shape(_base64_value, _base64_body)
BYTES: Final = Shape(_bytes_value, _bytes_body)
"""Bytes inside a message that JSON shows as something else."""


def _signed(size: int) -> Number:
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

    return Number(value, bits)


def _boolean_bits(value: Any) -> int:
    if not isinstance(value, bool):
        raise ProtobufError("not a boolean")
    return int(value)


NUMBERS: Final[Mapping[str, Number]] = {
    "bool": Number(bool, _boolean_bits),
    "int32": _signed(32),
    "int64": _signed(64),
}
WIRE_TYPES: Final[Mapping[str, int]] = {**dict.fromkeys(NUMBERS, _VARINT), "double": _FIXED_64}
"""The wire types of what is not length-delimited."""


def delimited(number: int, body: bytes) -> bytes:
    """A field that holds a string, bytes or a message."""
    return varint_bytes(number << 3 | DELIMITED) + varint_bytes(len(body)) + body
