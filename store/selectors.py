"""Label and field selectors: parsed once, asked often.

An empty selector selects everything. Parse errors are `SelectorError`, with upstream's messages.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

from verger.store import names
from verger.store.invalid import invalid, quote


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
        try:
            have, want = int(value), int(self.values[0])
        except ValueError:
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

_SYMBOLS: Final = "()=!<>,"
_OPERATORS: Final = ("==", "!=", "=", ">", "<", "!", "(", ")", ",")
_EXPECTED_START: Final = "!, identifier, or 'end of string'"
_END: Final = ""


def _tokens(text: str) -> list[str]:
    """Splits into operators and identifiers; white space separates. The end is an empty token."""
    out = []
    i = 0
    while i < len(text):
        if text[i].isspace():
            i += 1
        elif text[i] in _SYMBOLS:
            # As many symbols as belong together: "===" reads as "==" and "=".
            token = next(op for op in _OPERATORS if text.startswith(op, i))
            out.append(token)
            i += len(token)
        else:
            start = i
            while i < len(text) and not text[i].isspace() and text[i] not in _SYMBOLS:
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
        found = []
        while True:
            token = self._peek()
            if _is_name(token) or token == "!":
                found.append(self._requirement())
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
                raise SelectorError(f"found '{token}', expected: {_EXPECTED_START}")

    def _requirement(self) -> Requirement:
        negated = self._peek() == "!"
        if negated:
            self._next()
        key = self._next()
        if not _is_name(key):
            raise SelectorError(f"found '{key}', expected: identifier")
        for complaint in names.qualified(key):
            raise SelectorError(f"unable to parse requirement: {invalid('<nil>', key, complaint)}")
        token = self._peek()
        if negated:
            return Requirement(key, "!")
        if token in (_END, ","):
            return Requirement(key, "exists")
        self._next()
        match token:
            case "in" | "notin":
                return self._checked(key, token, self._values())
            case "=" | "==" | "!=":
                return self._checked(key, token, (self._exact_value(),))
            case ">" | "<":
                value = self._exact_value()
                try:
                    int(value)
                except ValueError:
                    raise SelectorError(
                        "unable to parse requirement: "
                        + str(
                            invalid(
                                "values[0]",
                                value,
                                "for 'Gt', 'Lt' operators, the value must be an integer",
                            )
                        )
                    ) from None
                return Requirement(key, ">" if token == ">" else "<", (value,))
            case _:
                if not _is_name(token):
                    expected = "in, notin, =, ==, !=, gt, lt"
                    raise SelectorError(f"found '{token}', expected: {expected}")
                raise SelectorError(f"found '{token}', expected: ',' or 'end of string'")

    def _exact_value(self) -> str:
        token = self._peek()
        if token in (_END, ","):
            return ""
        if not _is_name(token):
            raise SelectorError(f"found '{token}', expected: identifier")
        return self._next()

    def _values(self) -> tuple[str, ...]:
        if (token := self._next()) != "(":
            raise SelectorError(f"found '{token}' expected: '('")
        values: list[str] = []
        while True:
            token = self._next()
            if _is_name(token):
                values.append(token)
                token = self._next()
            elif token in (",", ")"):
                values.append("")
            if token == ")":
                return tuple(dict.fromkeys(values))
            if token != ",":
                raise SelectorError(f"found '{token}', expected: ',', ')' or identifier")
            if self._peek() == ")":
                self._next()
                return tuple(dict.fromkeys([*values, ""]))

    @staticmethod
    def _checked(key: str, operator: Operator, values: tuple[str, ...]) -> Requirement:
        for index, value in enumerate(values):
            for complaint in names.label_value(value):
                raise SelectorError(
                    "unable to parse requirement: "
                    + str(invalid(f"values[{index}][{key}]", value, complaint))
                )
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


def parse_fields(text: str) -> FieldSelector:
    """The field selector of a query parameter. Empty terms are ignored. Raises SelectorError."""
    if not text:
        return ANY_FIELD
    terms = []
    for term in _split_terms(text):
        if not term:
            continue
        for operator in ("!=", "==", "="):
            at = _find_unescaped(term, operator)
            if at >= 0:
                value = _unescape(term[at + len(operator) :])
                terms.append((term[:at], operator != "!=", value))
                break
        else:
            raise SelectorError(f"invalid selector: {quote(text)}; can't understand {quote(term)}")
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


def _find_unescaped(text: str, wanted: str) -> int:
    i = 0
    while i < len(text):
        if text[i] == "\\":
            i += 2
        elif text.startswith(wanted, i):
            return i
        else:
            i += 1
    return -1


def _unescape(text: str) -> str:
    if "\\" not in text and "=" not in text:
        return text
    out, i = [], 0
    while i < len(text):
        char = text[i]
        if char == "\\":
            i += 1
            if i == len(text) or text[i] not in "\\,=":
                raise SelectorError(
                    f"invalid field selector: invalid escape sequence in {quote(text)}"
                )
            char = text[i]
        elif char in ",=":
            raise SelectorError(f"invalid field selector: unescaped '{char}' in {quote(text)}")
        out.append(char)
        i += 1
    return "".join(out)
