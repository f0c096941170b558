"""Resource quantities: `500m`, `1Gi`, `2e3`. One amount has one spelling.

upstream: apimachinery's resource.Quantity. Amounts keep nine decimal digits and are rounded up beyond them.
"""

import re
from decimal import ROUND_CEILING, Decimal
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
_SMALLEST: Final = Decimal(1).scaleb(-9)
_LARGEST: Final = Decimal(2**63 - 1)
_MAX_EXPONENT: Final = (
    30  # beyond it every amount is capped or rounded anyway, and the arithmetic stays small
)


class QuantityError(ValueError):
    """The text is not a quantity."""

    def __init__(self) -> None:
        super().__init__(f"quantities must match the regular expression '{PATTERN}'")


def _parse(text: str) -> tuple[Decimal, str]:
    """The amount and its format: binary, decimal or exponent."""
    match = _FORM(text)
    if match is None or len(text) > 100:
        raise QuantityError
    number, binary, exponent, suffix = match.groups()
    value = Decimal(number)
    if binary:
        value *= _BINARY[binary]
    elif exponent:
        value = value.scaleb(max(-_MAX_EXPONENT, min(int(exponent[1:]), _MAX_EXPONENT)))
    elif suffix:
        value = value.scaleb(_DECIMAL[suffix])
    value = max(-_LARGEST, min(value, _LARGEST))
    rounded = abs(value).quantize(_SMALLEST, rounding=ROUND_CEILING)
    value = -rounded if value < 0 else rounded
    return value, "binary" if binary else "exponent" if exponent else "decimal"


def amount(text: str | int | float) -> Decimal:
    """What a quantity amounts to. Raises QuantityError."""
    return _parse(str(text))[0]


def render(value: Decimal, form: str = "decimal") -> str:
    """The one spelling of an amount: the largest suffix that leaves a whole number."""
    if value == 0:
        return "0"
    if form == "binary" and abs(value) >= 1024 and value == value.to_integral_value():
        whole = int(value)
        for suffix in reversed(_BINARY):
            if whole % _BINARY[suffix] == 0:
                return f"{whole // _BINARY[suffix]}{suffix}"
    for suffix, power in sorted(_DECIMAL.items(), key=lambda item: -item[1]):
        scaled = value.scaleb(-power)
        if scaled == scaled.to_integral_value():
            if form == "exponent" and power:
                return f"{int(scaled)}e{power}"
            return f"{int(scaled)}{suffix}"
    raise QuantityError  # pragma: no cover - amounts are multiples of the smallest suffix


def normal(text: str | int | float) -> str:
    """The quantity in its one spelling. Raises QuantityError."""
    if (
        isinstance(text, str)
        and text.isdigit()
        and len(text) < 4
        and (text[0] != "0" or text == "0")
    ):
        return text
    return render(*_parse(str(text)))
