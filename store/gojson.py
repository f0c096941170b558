"""How Go's encoding/json and fmt word what is wrong with a JSON document, for clients that show or
match the words.

The words name the first byte at which no JSON document could go on, as Go's scanner does: the text
alone decides, not the parser that refused it.
"""

import re
from collections.abc import Callable
from typing import Any, Final

from verger.store.invalid import quote

MAX_DEPTH: Final = 10_000
"""Containers inside each other. upstream: encoding/json/scanner.go, maxNestingDepth"""

MAX_STEPS: Final = 20_000
"""Tokens read one by one, about 40 ms. The event loop waits meanwhile, so a body made to be slow
must not be read on.
"""

_END_OF_INPUT: Final = "unexpected end of JSON input"
_SPACE: Final = re.compile(rb"[ \t\r\n]*+")
_WS: Final = _SPACE.pattern
_IN_STRING: Final = rb'"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+'
_STRING_START: Final = re.compile(_IN_STRING)
_NUMBER: Final = re.compile(rb"-?(?:0|[1-9][0-9]*+)(\.[0-9]++)?([eE][+-]?[0-9]++)?")
# Items that leave the containers around as they are: they are read in one go, so that only nesting
# takes steps.
_FLAT: Final = (
    rb"(?:[1-9][0-9]*+|" + _IN_STRING + rb'"|'
    rb"-?+(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+|"
    rb"true|false|null|\[" + _WS + rb"\]|\{" + _WS + rb"\})"
)
_ITEMS: Final = re.compile(rb"(?:" + _WS + _FLAT + _WS + rb",)*+")
_PAIRS: Final = re.compile(
    rb"(?:" + _WS + _IN_STRING + rb'"' + _WS + rb":" + _WS + _FLAT + _WS + rb",)*+"
)
_LITERALS: Final = {ord("t"): "true", ord("f"): "false", ord("n"): "null"}
_HEX: Final = frozenset(b"0123456789abcdefABCDEF")


def go_json_error(body: bytes, error: Exception) -> str:
    """What Go says of a body that is not JSON: `invalid character 't' after top-level value`.

    `error` is why our own parser refused it. It speaks for itself when the syntax is right (the
    text is no valid UTF-8, or a number is too large), and when there is too much to read.
    """
    return _Scanner(body).problem() or str(error)


def go_kind(value: Any) -> str:
    """What Go calls a decoded JSON value that does not fit: object, array, string, number, bool or
    null.
    """
    match value:
        case None:
            return "null"
        case bool():
            return "bool"
        case str():
            return "string"
        case dict():
            return "object"
        case list():
            return "array"
        case _:
            return "number"


def go_print(value: Any) -> str:
    """A decoded JSON value as Go's `%v` prints it: `map[name:x ports:[80 443]]`, keys in order."""
    match value:
        case dict():
            return f"map[{' '.join(f'{key}:{go_print(value[key])}' for key in sorted(value))}]"
        case list():
            return f"[{' '.join(map(go_print, value))}]"
        case None:
            return "<nil>"
        case bool():
            return "true" if value else "false"
        case _:
            return str(value)


def _quote(char: int) -> str:
    # A byte is taken for the character of that number.
    text = chr(char)
    inside = {"'": r"\'", '"': '"'}.get(text) or quote(text)[1:-1]
    return f"'{inside}'"


class _SyntaxError(Exception):
    """The document cannot go on; the message is Go's."""


_State = Callable[[int], "_State"]
"""Reads one token, whose first byte is given, and says what must follow it."""


class _Scanner:
    """Reads a document token by token until one is wrong. `at` is the first byte that is not yet
    read.
    """

    def __init__(self, body: bytes) -> None:
        # Go feeds its scanner a space at the end, and names it where a literal is cut short.
        self.text = body + b" "
        self.at = 0
        self.open: list[bool] = []
        """The containers around: whether each is an object."""

    def problem(self) -> str:
        """What is wrong, or nothing if that was not found."""
        state: _State = self.value
        try:
            for _ in range(MAX_STEPS):
                self.skip(_SPACE)
                if self.at == len(self.text):
                    return "" if state == self.nothing else _END_OF_INPUT
                state = state(self.text[self.at])
        except _SyntaxError as error:
            return str(error)
        return ""

    def skip(self, pattern: re.Pattern[bytes]) -> None:
        """Moves on past what the pattern matches here, if only nothing."""
        match = pattern.match(self.text, self.at)
        if match is not None:
            self.at = match.end()

    def wrong(self, where: str) -> _SyntaxError:
        """The error that names the byte which is next."""
        return _SyntaxError(f"invalid character {_quote(self.text[self.at])} {where}")

    def value(self, char: int) -> _State:
        """A value must come."""
        match chr(char):
            case "{" | "[":
                return self.container(is_object=char == ord("{"))
            case '"':
                self.string()
            case "t" | "f" | "n":
                self.literal(_LITERALS[char])
            case "-" | "0" | "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9":
                self.number()
            case _:
                raise self.wrong("looking for beginning of value")
        return self.after_value()

    def first_item(self, char: int) -> _State:
        """A value must come, or the end of the list."""
        return self.close() if char == ord("]") else self.value(char)

    def key(self, char: int) -> _State:
        """The key of a member must come."""
        if char != ord('"'):
            raise self.wrong("looking for beginning of object key string")
        self.string()
        return self.colon

    def first_key(self, char: int) -> _State:
        """The key of a member must come, or the end of the object."""
        return self.close() if char == ord("}") else self.key(char)

    def colon(self, char: int) -> _State:
        """What separates a key from its value must come."""
        if char != ord(":"):
            raise self.wrong("after object key")
        self.at += 1
        return self.value

    def next_pair(self, char: int) -> _State:
        """Another member, or the end of the object, must come."""
        if char == ord("}"):
            return self.close()
        if char != ord(","):
            raise self.wrong("after object key:value pair")
        self.at += 1
        self.skip(_PAIRS)
        return self.key

    def next_item(self, char: int) -> _State:
        """Another item, or the end of the list, must come."""
        if char == ord("]"):
            return self.close()
        if char != ord(","):
            raise self.wrong("after array element")
        self.at += 1
        self.skip(_ITEMS)
        return self.value

    def nothing(self, char: int) -> _State:
        """The document is complete."""
        raise self.wrong("after top-level value")

    def container(self, *, is_object: bool) -> _State:
        """Enters an object or a list."""
        if len(self.open) == MAX_DEPTH:
            raise self.wrong("exceeded max depth")
        self.open.append(is_object)
        self.at += 1
        return self.first_key if is_object else self.first_item

    def close(self) -> _State:
        """Leaves the innermost container."""
        self.open.pop()
        self.at += 1
        return self.after_value()

    def after_value(self) -> _State:
        """What may follow a value that is complete."""
        if not self.open:
            return self.nothing
        return self.next_pair if self.open[-1] else self.next_item

    def string(self) -> None:
        """Reads a string."""
        self.skip(_STRING_START)
        if self.at == len(self.text):
            raise _SyntaxError(_END_OF_INPUT)
        match self.text[self.at]:
            case 0x22:
                self.at += 1
            case 0x5C:
                self.at += 1
                self.bad_escape()
            case _:
                raise self.wrong("in string literal")

    def bad_escape(self) -> None:
        """Finds what is wrong after a backslash."""
        if self.text[self.at] != ord("u"):
            raise self.wrong("in string escape code")
        self.at += 1
        while self.text[self.at] in _HEX:
            self.at += 1
        raise self.wrong("in \\u hexadecimal character escape")

    def literal(self, word: str) -> None:
        """Reads true, false or null."""
        for char in word:
            if self.text[self.at] != ord(char):
                raise self.wrong(f"in literal {word} (expecting '{char}')")
            self.at += 1

    def number(self) -> None:
        """Reads a number; what follows it is not judged here, unless it promised to be a part of
        it.
        """
        match = _NUMBER.match(self.text, self.at)
        if match is None:
            self.at += 1
            raise self.wrong("in numeric literal")
        self.at = match.end()
        fraction, exponent = match.groups()
        char = self.text[self.at]
        if char == ord(".") and fraction is None and exponent is None:
            self.at += 1
            raise self.wrong("after decimal point in numeric literal")
        if char in b"eE" and exponent is None:
            self.at += 1
            if self.text[self.at] in b"+-":
                self.at += 1
            raise self.wrong("in exponent of numeric literal")
