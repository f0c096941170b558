"""What the columns of `kubectl get` are made of: column definitions, readers of cells, and ways of writing values.

Nothing here raises, whatever an object looks like: what is absent, or of another type than its kind says, reads as
empty. Where the API has a default that clients usually leave out, the cell shows the default.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from verger.store import names
from verger.store.timestamps import parse

Reader = Callable[[Mapping[str, Any], float], Any]
"""Reads one cell of a stored object at a time (seconds since the epoch)."""

UNKNOWN: Final = "<unknown>"
NONE: Final = "<none>"
UNSET: Final = "<unset>"

_MINUTE: Final = 60
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
_YEAR: Final = 365 * _DAY

_LONGEST: Final = (2**63 - 1) // 10**9
"""Seconds in Go's longest duration, which counts nanoseconds; differences of times stop there."""

_ZERO_TIME: Final = -62135596800.0
"""Go's zero time, 0001-01-01T00:00:00Z, which stands for no time."""

_SCALE_ENDS: Final = (
    2 * _MINUTE,
    10 * _MINUTE,
    3 * _HOUR,
    8 * _HOUR,
    2 * _DAY,
    8 * _DAY,
    2 * _YEAR,
    8 * _YEAR,
)
"""Seconds from which on the next scale is used. upstream: apimachinery/pkg/util/duration"""
_SCALES: Final = (
    (1, "s", 0, ""),
    (_MINUTE, "m", 1, "s"),
    (_MINUTE, "m", 0, ""),
    (_HOUR, "h", _MINUTE, "m"),
    (_HOUR, "h", 0, ""),
    (_DAY, "d", _HOUR, "h"),
    (_DAY, "d", 0, ""),
    (_YEAR, "y", _DAY, "d"),
    (_YEAR, "y", 0, ""),
)
"""The unit of each scale, its letter, the second unit or 0, and its letter."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a Table. Those with a priority above 0 are for `kubectl get -o wide`."""

    name: str
    type: str = "string"
    format: str = ""
    description: str = ""
    priority: int = 0

    def definition(self) -> dict[str, Any]:
        """As it stands in `columnDefinitions`."""
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        }


@dataclass(frozen=True, slots=True)
class Printer:
    """How a kind is printed: every object gives as many cells as there are columns."""

    columns: tuple[Column, ...]
    cells: Callable[[Mapping[str, Any], float], list[Any]]
    """The cells of one stored object at a time (seconds since the epoch)."""
    conditions: Callable[[Mapping[str, Any]], list[dict[str, str]]] | None = None
    """What is remarkable about a row, as it stands in its `conditions`; most kinds have nothing."""
    order: Callable[[Mapping[str, Any]], tuple[int, str]] | None = None
    """The key that rows are sorted by, for the kinds whose lists do not stay in the order of their names."""
    null_when_empty: bool = False
    """Whether the `rows` of a table without any are null instead of an empty list."""


Field = tuple[Column, Reader]


def printer(
    *fields: Field, order: Callable[[Mapping[str, Any]], tuple[int, str]] | None = None
) -> Printer:
    """A printer of columns that are each read on their own."""
    readers = tuple(read for _, read in fields)

    def cells(obj: Mapping[str, Any], now: float) -> list[Any]:
        return [read(obj, now) for read in readers]

    return Printer(tuple(column for column, _ in fields), cells, order=order)


def value_at(value: Any, *path: str) -> Any:
    """What lies at a path of keys, or None."""
    for key in path:
        # Objects are plain dicts; asking for a Mapping would take ten times as long.
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def has(value: Any, *path: str) -> bool:
    """Whether there is anything but null at a path."""
    return value_at(value, *path) is not None


def text_at(value: Any, *path: str, missing: str = "") -> str:
    """The text at a path, or `missing` where it is empty or no text."""
    for key in path:
        if not isinstance(value, dict):
            return missing
        value = value.get(key)
    return value if value and isinstance(value, str) else missing


def number_at(value: Any, *path: str, missing: int = 0) -> int:
    """The whole number at a path."""
    found = value_at(value, *path)
    return found if isinstance(found, int) and not isinstance(found, bool) else missing


def flag_at(value: Any, *path: str, missing: bool = False) -> bool:
    """The boolean at a path."""
    found = value_at(value, *path)
    return found if isinstance(found, bool) else missing


def members_at(value: Any, *path: str) -> list[Mapping[str, Any]]:
    """The objects of the list at a path; anything else in it counts as an empty object."""
    found = value_at(value, *path)
    if not isinstance(found, list):
        return []
    return [member if isinstance(member, dict) else {} for member in found]


def texts_at(value: Any, *path: str) -> list[str]:
    """The texts of the list at a path."""
    found = value_at(value, *path)
    return [text for text in found if isinstance(text, str)] if isinstance(found, list) else []


def map_at(value: Any, *path: str) -> dict[str, str]:
    """The texts of the map at a path, such as labels."""
    found = value_at(value, *path)
    if not isinstance(found, dict):
        return {}
    return {key: text for key, text in found.items() if isinstance(text, str)}


def size_at(value: Any, *path: str) -> int:
    """How many members the list or map at a path has."""
    found = value_at(value, *path)
    return len(found) if isinstance(found, (list, dict)) else 0


def quantity_at(value: Any, *path: str, missing: str = "0") -> str:
    """The quantity at a path. Stored quantities are in their one spelling already."""
    found = value_at(value, *path)
    return str(found) if isinstance(found, (str, int, float)) else missing


def moment_at(value: Any, *path: str) -> float | None:
    """The time at a path in seconds since the epoch, or None where there is none or the zero time."""
    found = text_at(value, *path)
    if not found:
        return None
    try:
        moment = parse(found)
    except ValueError:
        return None
    return None if moment == _ZERO_TIME else moment


def condition_at(value: Any, kind: str, *path: str) -> Mapping[str, Any] | None:
    """The first condition of a type in the list at a path."""
    return next((each for each in members_at(value, *path) if each.get("type") == kind), None)


def text(*path: str, missing: str = "") -> Reader:
    """Shows a text."""
    return lambda obj, _: text_at(obj, *path, missing=missing)


def number(*path: str, missing: int = 0) -> Reader:
    """Shows a whole number."""
    return lambda obj, _: number_at(obj, *path, missing=missing)


def flag(*path: str, missing: bool = False) -> Reader:
    """Shows a boolean."""
    return lambda obj, _: flag_at(obj, *path, missing=missing)


def size(*path: str) -> Reader:
    """Shows how many members a list or map has."""
    return lambda obj, _: size_at(obj, *path)


def derived(write: Callable[[Mapping[str, Any]], Any]) -> Reader:
    """Shows what a function of the object alone says."""
    return lambda obj, _: write(obj)


def name(obj: Mapping[str, Any], _now: float) -> str:
    """Shows the name."""
    return text_at(obj, "metadata", "name")


def age(obj: Mapping[str, Any], now: float) -> str:
    """Shows how long ago the object was created."""
    return since(moment_at(obj, "metadata", "creationTimestamp"), now)


NAME: Final[Field] = (Column("Name", format="name", description="What the object is called."), name)
AGE: Final[Field] = (Column("Age", description="How long ago the object was created."), age)


def human_duration(seconds: float) -> str:
    """A duration in at most two units, the smaller one only while it matters: `90s`, `5m3s`, `3d4h`, `2y35d`.

    Clocks may disagree by a second: down to one second below zero it is `0s`, and `<invalid>` from two on.
    """
    if seconds <= -2:
        return "<invalid>"
    whole = 0 if seconds < 0 else int(seconds) if seconds < _LONGEST else _LONGEST
    unit, letter, small, small_letter = _SCALES[bisect_right(_SCALE_ENDS, whole)]
    rest = whole % unit // small if small else 0
    return f"{whole // unit}{letter}{rest}{small_letter}" if rest else f"{whole // unit}{letter}"


def since(moment: float | None, now: float) -> str:
    """How long ago something was."""
    return UNKNOWN if moment is None else human_duration(now - moment)


def labels_text(labels: Mapping[str, str]) -> str:
    """Labels as `a=b,c=d`, sorted."""
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items())) or NONE


def clipped(items: Sequence[str], *, limit: int = 3, separator: str = ",") -> str:
    """The first items, and how many there are beyond them."""
    head = separator.join(items[:limit])
    return f"{head} + {len(items) - limit} more..." if len(items) > limit else head


def selector_text(selector: Any, *, broken: str) -> str:
    """A label selector in the form that queries have, empty when it says nothing, `broken` when it is malformed.

    upstream: apimachinery's LabelSelectorAsSelector
    """
    terms = [(key, "=", [value]) for key, value in map_at(selector, "matchLabels").items()]
    terms += [
        (text_at(each, "key"), text_at(each, "operator"), texts_at(each, "values"))
        for each in members_at(selector, "matchExpressions")
    ]
    written = [_term_text(*term) for term in sorted(terms, key=lambda term: term[0])]
    known = [term for term in written if term is not None]
    return ",".join(known) if len(known) == len(written) else broken


def _term_text(key: str, operator: str, values: list[str]) -> str | None:
    if names.qualified(key) or any(names.label_value(value) for value in values):
        return None
    listed = ",".join(sorted(values))
    match operator, bool(values):
        case "=", True:
            return f"{key}={listed}"
        case "In", True:
            return f"{key} in ({listed})"
        case "NotIn", True:
            return f"{key} notin ({listed})"
        case "Exists", False:
            return key
        case "DoesNotExist", False:
            return f"!{key}"
        case _:
            return None


def container_cells(pod_spec: Any) -> tuple[str, str]:
    """The names and the images of the containers."""
    containers = members_at(pod_spec, "containers")
    return (
        ",".join(text_at(each, "name") for each in containers),
        ",".join(text_at(each, "image") for each in containers),
    )


def joined(items: Iterable[str], missing: str = NONE) -> str:
    """Items between commas."""
    return ",".join(items) or missing
