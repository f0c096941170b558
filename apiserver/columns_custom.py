"""The columns of kinds that clients define: the name, and what the definition lists.

upstream: apiextensions-apiserver/pkg/registry/customresource/tableconvertor
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from verger.apiserver.columns import (
    NAME,
    UNKNOWN,
    Column,
    Field,
    Printer,
    human_duration,
    printer,
)
from verger.store.custom.kinds import CustomType
from verger.store.custom.paths import Path, parse_path, values_at
from verger.store.objects import encode
from verger.store.timestamps import parse

_DEFAULT: Final = (
    {
        "name": "Age",
        "type": "date",
        "jsonPath": ".metadata.creationTimestamp",
        "description": "When the object was created.",
    },
)
_INVALID: Final = "<invalid>"


def printer_of(custom: CustomType) -> Printer:
    """How objects of one version of a custom kind are printed."""
    return printer(NAME, *(_field(column) for column in custom.columns or _DEFAULT))


def _field(column: Mapping[str, Any]) -> Field:
    sort = column["type"]
    shown = Column(
        column["name"],
        sort,
        column.get("format") or "",
        column.get("description")
        or f"Custom resource definition column (in JSONPath format): {column['jsonPath']}",
        column.get("priority") or 0,
    )
    return shown, _reader(parse_path(column["jsonPath"]), _CELLS.get(sort, _text))


def _reader(
    path: Path, cell: Callable[[Any, float], Any]
) -> Callable[[Mapping[str, Any], float], Any]:
    def read(obj: Mapping[str, Any], now: float) -> Any:
        found = list(values_at(path, obj))
        if not found or found[0] is None:
            return None
        # Only texts are listed; of everything else the first one counts.
        if cell is _text and len(found) > 1:
            return ",".join(str(_text(value, now)) for value in found)
        return cell(found[0], now)

    return read


def _text(value: Any, _: float) -> Any:
    if isinstance(value, str):
        return value
    return encode(value).decode()


_INT_64: Final = 2**63
"""A column of integers shows what Go keeps in an int64, and nothing beyond it."""


def _integer(value: Any, _: float) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(value) if abs(value) < _INT_64 else None


def _number(value: Any, _: float) -> Any:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _boolean(value: Any, _: float) -> Any:
    return value if isinstance(value, bool) else None


def _date(value: Any, now: float) -> Any:
    if not isinstance(value, str):
        return _INVALID
    try:
        return human_duration(now - parse(value))
    except ValueError:
        return UNKNOWN if not value else _INVALID


_CELLS: Final[Mapping[str, Callable[[Any, float], Any]]] = {
    "boolean": _boolean,
    "date": _date,
    "integer": _integer,
    "number": _number,
    "string": _text,
}
