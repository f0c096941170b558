"""What is wrong with one field of an object, in the words and the form that clients know."""

import enum
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import orjson


class Cause(enum.Enum):
    """Why a field is refused: the cause's reason on the wire, and how the sentence begins."""

    INVALID = ("FieldValueInvalid", "Invalid value")
    TYPE_INVALID = ("FieldValueTypeInvalid", "Invalid value")
    REQUIRED = ("FieldValueRequired", "Required value")
    NOT_SUPPORTED = ("FieldValueNotSupported", "Unsupported value")
    DUPLICATE = ("FieldValueDuplicate", "Duplicate value")
    FORBIDDEN = ("FieldValueForbidden", "Forbidden")
    TOO_LONG = ("FieldValueTooLong", "Too long")
    TOO_MANY = ("FieldValueTooMany", "Too many")
    NOT_FOUND = ("FieldValueNotFound", "Not found")


class FieldError(NamedTuple):
    """One refused field: its path (`spec.ports[0].name`), why, and the sentence without the path."""

    field: str
    type: Cause
    body: str

    def __str__(self) -> str:
        return f"{self.field}: {self.body}"

    def cause(self) -> dict[str, str]:
        """The entry under `details.causes`."""
        return {"reason": self.type.value[0], "message": self.body, "field": self.field}


_ESCAPES: Final = {
    "\a": r"\a", "\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\v": r"\v", "\\": r"\\", '"': r"\"",
}  # fmt: skip


def quote(text: str) -> str:
    """A string in double quotes, escaped as Go's %q does."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return f'"{"".join(map(_escaped, text))}"'


def _escaped(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    if char.isprintable():
        return char
    code = ord(char)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def show(value: Any) -> str:
    """A value inside a message: strings quoted, the rest as JSON."""
    if isinstance(value, str):
        return quote(value)
    return orjson.dumps(value).decode()


def invalid(field: str, value: Any, detail: str) -> FieldError:
    """The value is not allowed."""
    return FieldError(field, Cause.INVALID, f"Invalid value: {show(value)}: {detail}")


def required(field: str, detail: str = "") -> FieldError:
    """The value is missing."""
    return FieldError(
        field, Cause.REQUIRED, f"Required value: {detail}" if detail else "Required value"
    )


def not_supported(field: str, value: Any, supported: Iterable[str]) -> FieldError:
    """The value is none of a fixed set."""
    known = ", ".join(quote(item) for item in supported)
    return FieldError(
        field, Cause.NOT_SUPPORTED, f"Unsupported value: {show(value)}: supported values: {known}"
    )


def duplicate(field: str, value: Any) -> FieldError:
    """The value occurs twice."""
    return FieldError(field, Cause.DUPLICATE, f"Duplicate value: {show(value)}")


def forbidden(field: str, detail: str) -> FieldError:
    """The field may not be set, or not be changed."""
    return FieldError(field, Cause.FORBIDDEN, f"Forbidden: {detail}")


def too_long(field: str, limit: int) -> FieldError:
    """The value has more bytes than allowed."""
    return FieldError(field, Cause.TOO_LONG, f"Too long: may not be more than {limit} bytes")


def too_many(field: str, count: int, limit: int) -> FieldError:
    """The list has more items than allowed."""
    return FieldError(field, Cause.TOO_MANY, f"Too many: {count}: must have at most {limit} items")


def joined(errors: Iterable[FieldError]) -> str:
    """Several refused fields in one sentence; what is said twice is said once."""
    texts = list(dict.fromkeys(map(str, errors)))
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"


def immutable(field: str, value: Any) -> FieldError:
    """The field cannot change."""
    return invalid(field, value, "field is immutable")
