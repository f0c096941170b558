"""Resource quantities: `500m`, `1Gi`, `2e3`. One amount has one spelling.

upstream: apimachinery's resource.Quantity. Amounts keep nine decimal digits and are rounded up beyond them.
"""

import re
from decimal import ROUND_UP, Context, Decimal
from typing import Final

PATTERN: Final = "^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$"
_FORM = re.compile(
    r"([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))(?:(Ki|Mi|Gi|Ti|Pi|Ei)|([eE][+-]?[0-9]+)|(n|u|m|k|M|G|T|P|E))?"
).fullmatch
_BINARY: Final = {
    name: 1024**power for power, name in enumerate(("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"))
}
_DECIMAL: Final = {
    "n": -9,
    "u": -6,
    "m": -3,
    "": 0,
    "k": 3,
    "M": 6,
    "G": 9,
    "T": 12,
    "P": 15,
    "E": 18,
}
_SUFFIXES: Final = {power: suffix for suffix, power in _DECIMAL.items()}
_SMALLEST: Final = Decimal(1).scaleb(-9)
_LARGEST_BINARY: Final = Decimal(2**63 - 1)
_MAX_SIZE: Final = 100
"""Characters. What a longer text says is beyond nine decimal digits, or beyond meaning."""
_MAX_EXPONENT: Final = 1000
"""A larger one is refused, so that an amount never has more digits than there is time to write."""
_EXACT: Final = Context(prec=_MAX_SIZE + 60)
"""Room for all digits of a text, times the largest binary suffix, down to the smallest amount."""


class QuantityError(ValueError):
    """The text is not a quantity."""

    def __init__(self) -> None:
        super().__init__(f"quantities must match the regular expression '{PATTERN}'")


def _parse(text: str) -> tuple[Decimal, str]:
    """The amount and its format: binary, decimal or exponent."""
    match = _FORM(text)
    if match is None or len(text) > _MAX_SIZE:
        raise QuantityError
    number, binary, exponent, suffix = match.groups()
    value = Decimal(number)
    if binary:
        value = _EXACT.multiply(value, Decimal(_BINARY[binary]))
        # upstream: only amounts with a binary suffix are capped at 64 bits
        value = max(-_LARGEST_BINARY, min(value, _LARGEST_BINARY))
    elif exponent:
        power = int(exponent[1:])
        if power > _MAX_EXPONENT:
            raise QuantityError
        # Far below the smallest amount it does not matter how far.
        value = _EXACT.scaleb(value, max(power, -_MAX_EXPONENT))
    elif suffix:
        value = _EXACT.scaleb(value, _DECIMAL[suffix])
    if value != value.to_integral_value():
        value = value.quantize(_SMALLEST, rounding=ROUND_UP, context=_EXACT)
    return value, "binary" if binary else "exponent" if exponent else "decimal"


def amount(text: str | int | float) -> Decimal:
    """What a quantity amounts to. Raises QuantityError."""
    return _parse(_stripped(text))[0]


def _stripped(text: str | int | float) -> str:
    # Of white space, upstream allows what can stand in JSON text unescaped.
    return str(text).strip(" ")


def _render(value: Decimal, form: str) -> str:
    """The one spelling of an amount: the largest suffix that leaves a whole number."""
    if value == 0:
        return "0"
    if form == "binary" and abs(value) >= 1024 and value == value.to_integral_value():
        whole = int(value)
        for suffix in reversed(_BINARY):
            if whole % _BINARY[suffix] == 0:
                return f"{whole // _BINARY[suffix]}{suffix}"
    sign, digits, exponent = value.normalize(_EXACT).as_tuple()
    assert isinstance(exponent, int)  # noqa: S101 - amounts are finite
    power = exponent // 3 * 3
    if form != "exponent":
        power = min(power, _DECIMAL["E"])
    whole = int("".join(map(str, digits))) * 10 ** (exponent - power)
    number = f"-{whole}" if sign else str(whole)
    if form == "exponent":
        return f"{number}e{power}" if power else number
    return f"{number}{_SUFFIXES[power]}"


def normal(text: str | int | float) -> str:
    """The quantity in its one spelling. Raises QuantityError."""
    if (
        isinstance(text, str)
        and text.isdigit()
        and text.isascii()
        and len(text) < 4
        and (text[0] != "0" or text == "0")
    ):
        return text
    return _render(*_parse(_stripped(text)))


def added(left: str, right: str) -> str:
    """The sum, in the format of the first amount unless that is nothing. Raises QuantityError."""
    (value, form), (other, other_form) = _parse(left), _parse(right)
    return _render(value + other, form if value else other_form)


def subtracted(left: str, right: str) -> str:
    """The difference, in the format of the first amount unless that is nothing. Raises QuantityError."""
    (value, form), (other, other_form) = _parse(left), _parse(right)
    return _render(value - other, form if value else other_form)
