"""Label and field selectors: parsed once, asked often.

An empty selector selects everything. Parse errors are `SelectorError`, with upstream's messages.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

from verger.store import names
from verger.store.invalid import invalid, joined, quote


class SelectorError(ValueError):
    """The text is not a selector."""


Operator = Literal["=", "==", "!=", "in", "notin", "exists", "!", ">", "<"]


class Requirement(NamedTuple):
    """One condition on the labels of an object."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels meet the condition. upstream: a missing key satisfies != and notin."""
        value = labels.get(self.key)
        match self.operator:
            case "=" | "==" | "in":
                return value is not None and value in self.values
            case "!=" | "notin":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
            case ">" | "<":
                return value is not None and self._compares(value)

    def _compares(self, value: str) -> bool:
        have, want = _integer(value), _integer(self.values[0])
        if have is None or want is None:
            return False
        return have > want if self.operator == ">" else have < want


class LabelSelector(NamedTuple):
    """All requirements must hold."""

    requirements: tuple[Requirement, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.requirements)

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels is selected."""
        return all(requirement.matches(labels) for requirement in self.requirements)


EVERYTHING: Final = LabelSelector()

_INTEGER: Final = re.compile("([+-]?)0*([0-9]{1,19})").fullmatch
_SYMBOLS: Final = "()=!<>,"
_SPACE: Final = " \t\r\n"
_OPERATORS: Final = ("==", "!=", "=", ">", "<", "!", "(", ")", ",")
_BINARY: Final = "in, notin, =, ==, !=, gt, lt"
_NO_INTEGER: Final = "for 'Gt', 'Lt' operators, the value must be an integer"
_END: Final = ""


def _integer(text: str) -> int | None:
    """A decimal integer of 64 bits, as Go's strconv.ParseInt reads one."""
    match = _INTEGER(text)
    value = int(match[1] + match[2]) if match else None
    return value if value is not None and -(2**63) <= value < 2**63 else None


def _tokens(text: str) -> list[str]:
    """Splits into operators and identifiers; white space separates. The end is an empty token."""
    out = []
    i = 0
    while i < len(text):
        if text[i] in _SPACE:
            i += 1
        elif text[i] in _SYMBOLS:
            # As many symbols as belong together: "===" reads as "==" and "=".
            token = next(op for op in _OPERATORS if text.startswith(op, i))
            out.append(token)
            i += len(token)
        else:
            start = i
            while i < len(text) and text[i] not in _SPACE and text[i] not in _SYMBOLS:
                i += 1
            out.append(text[start:i])
    out.append(_END)
    return out


def _is_name(token: str) -> bool:
    return bool(token) and token[0] not in _SYMBOLS


class _LabelParser:
    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._at = 0

    def _peek(self) -> str:
        return self._tokens[self._at]

    def _next(self) -> str:
        token = self._tokens[self._at]
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token

    def parse(self) -> tuple[Requirement, ...]:
        found: list[Requirement] = []
        while True:
            token = self._peek()
            if _is_name(token) or token == "!":
                try:
                    found.append(self._requirement())
                except SelectorError as error:
                    raise SelectorError(f"unable to parse requirement: {error}") from None
                after = self._next()
                if after == _END:
                    return tuple(found)
                if after != ",":
                    raise SelectorError(f"found '{after}', expected: ',' or 'end of string'")
                if not _is_name(self._peek()) and self._peek() != "!":
                    raise SelectorError(f"found '{self._peek()}', expected: identifier after ','")
            elif token == _END:
                return tuple(found)
            else:
                raise SelectorError(f"found '{token}', expected: !, identifier, or 'end of string'")

    def _requirement(self) -> Requirement:
        negated = self._peek() == "!"
        if negated:
            self._next()
        key = self._next()
        if not _is_name(key):
            raise SelectorError(f"found '{key}', expected: identifier")
        if complaints := names.qualified(key):
            raise SelectorError(str(invalid("<nil>", key, "; ".join(complaints))))
        if negated:
            return Requirement(key, "!")
        if self._peek() in (_END, ","):
            return Requirement(key, "exists")
        match self._next():
            case "in" | "notin" as operator:
                return _checked(key, operator, self._values())
            case "=" | "==" | "!=" | ">" | "<" as operator:
                return _checked(key, operator, (self._exact_value(),))
            case token:
                raise SelectorError(f"found '{token}', expected: {_BINARY}")

    def _exact_value(self) -> str:
        token = self._peek()
        if token in (_END, ","):
            return ""
        if not _is_name(token):
            raise SelectorError(f"found '{token}', expected: identifier")
        return self._next()

    def _values(self) -> tuple[str, ...]:
        """The values in brackets, each once. A value between two commas, or a comma and a bracket, is empty."""
        if (token := self._next()) != "(":
            raise SelectorError(f"found '{token}' expected: '('")
        first = self._peek()
        if not _is_name(first) and first not in (",", ")"):
            raise SelectorError(f"found '{first}', expected: ',', ')' or identifier")
        values: list[str] = []
        while True:
            token = self._peek()
            if _is_name(token):
                values.append(self._next())
            elif token in (",", ")"):
                values.append("")
            else:
                raise SelectorError(f"found '{token}', expected: ',', or identifier")
            after = self._next()
            if after == ")":
                return tuple(dict.fromkeys(values))
            if after != ",":
                raise SelectorError(f"found '{after}', expected: ',' or ')'")


def _checked(key: str, operator: Operator, values: tuple[str, ...]) -> Requirement:
    errors = []
    # upstream keeps the values in a set, and counts them in sorted order.
    for index, value in enumerate(sorted(values)):
        if operator in (">", "<") and _integer(value) is None:
            errors.append(invalid(f"values[{index}]", value, _NO_INTEGER))
        if complaints := names.label_value(value):
            errors.append(invalid(f"values[{index}][{key}]", value, "; ".join(complaints)))
    if errors:
        raise SelectorError(joined(errors))
    return Requirement(key, operator, values)


def parse_labels(text: str) -> LabelSelector:
    """The label selector of a query parameter. Raises SelectorError."""
    return LabelSelector(_LabelParser(text).parse()) if text else EVERYTHING


_OPERATORS_IN_OBJECTS: Final[Mapping[str, Operator]] = {
    "In": "in",
    "NotIn": "notin",
    "Exists": "exists",
    "DoesNotExist": "!",
}


def selector_of(selector: Mapping[str, Any]) -> LabelSelector:
    """The selector that an object holds: `matchLabels` and `matchExpressions`. Raises SelectorError."""
    requirements = [
        Requirement(key, "=", (value,))
        for key, value in (selector.get("matchLabels") or {}).items()
    ]
    for item in selector.get("matchExpressions") or ():
        operator = _OPERATORS_IN_OBJECTS.get(item.get("operator") or "")
        if operator is None:
            raise SelectorError(
                f"{quote(str(item.get('operator')))} is not a valid label selector operator"
            )
        requirements.append(
            Requirement(item.get("key") or "", operator, tuple(item.get("values") or ()))
        )
    return LabelSelector(tuple(requirements))


def labels_text(labels: Mapping[str, str]) -> str:
    """The selector of what has all these labels, as text."""
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def selector_text(selector: Mapping[str, Any]) -> str:
    """The selector that an object holds, as queries have it: in the order of its keys. Raises SelectorError."""
    terms = sorted(selector_of(selector).requirements, key=lambda term: term.key)
    return ",".join(map(_term_text, terms))


def _term_text(term: Requirement) -> str:
    match term.operator:
        case "in" | "notin":
            return f"{term.key} {term.operator} ({','.join(sorted(term.values))})"
        case "exists":
            return term.key
        case "!":
            return f"!{term.key}"
        case operator:
            return f"{term.key}{operator}{term.values[0]}"


class FieldSelector(NamedTuple):
    """Equalities and inequalities of fields; all must hold."""

    terms: tuple[tuple[str, bool, str], ...] = ()
    """(field, whether it must be equal, value)"""

    def __bool__(self) -> bool:
        return bool(self.terms)

    def value_of(self, field: str) -> str | None:
        """The value that the field must be equal to, if the selector says so."""
        return next((value for name, equal, value in self.terms if name == field and equal), None)


ANY_FIELD: Final = FieldSelector()


_FIELD_OPERATOR: Final = re.compile("!=|==|=").search


def parse_fields(text: str) -> FieldSelector:
    """The field selector of a query parameter. Empty terms are ignored. Raises SelectorError."""
    if not text:
        return ANY_FIELD
    terms = []
    for term in _split_terms(text):
        if not term:
            continue
        # A field has no escapes: the first operator ends it.
        operator = _FIELD_OPERATOR(term)
        if operator is None:
            raise SelectorError(f"invalid selector: '{text}'; can't understand '{term}'")
        value = _unescape(term[operator.end() :])
        terms.append((term[: operator.start()], operator[0] != "!=", value))
    return FieldSelector(tuple(terms))


def _split_terms(text: str) -> list[str]:
    out, start, i = [], 0, 0
    while i < len(text):
        if text[i] == "\\":
            i += 1
        elif text[i] == ",":
            out.append(text[start:i])
            start = i + 1
        i += 1
    return [*out, text[start:]]


def _unescape(text: str) -> str:
    if "\\" not in text and "=" not in text:
        return text
    out, i = [], 0
    while i < len(text):
        char = text[i]
        if char == "\\":
            i += 1
            char = text[i : i + 1]
            if char not in ("\\", ",", "="):
                raise SelectorError(f"invalid field selector: invalid escape sequence: \\{char}")
        elif char in ",=":
            # upstream shows the number of the character
            raise SelectorError(
                f"invalid field selector: unescaped character in value: {ord(char)}"
            )
        out.append(char)
        i += 1
    return "".join(out)
