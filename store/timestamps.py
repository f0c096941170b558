"""Times as Kubernetes writes them: RFC 3339 in UTC, whole seconds (Time) or six digits (MicroTime)."""

import functools
import re
from datetime import UTC, datetime
from typing import Final

_DATE = re.compile(r"\d{4}-\d\d-\d\d").fullmatch
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ").fullmatch
_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(Z|([+-])(\d\d):(\d\d))"
).fullmatch
_MICRO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)\.(\d{6})(Z|([+-])(\d\d):(\d\d))"
).fullmatch

TIME_LAYOUT: Final = "2006-01-02T15:04:05Z07:00"
MICRO_LAYOUT: Final = "2006-01-02T15:04:05.000000Z07:00"
_ELEMENT = re.compile(r"2006|01|02|15|04|05|\.000000|Z07:00|.")
_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_RANGES: Final = {
    "01": (1, 12, "month"),
    "02": (1, 31, "day"),
    "15": (0, 23, "hour"),
    "04": (0, 59, "minute"),
    "05": (0, 59, "second"),
}


def format_time(seconds: float) -> str:
    """Seconds since the epoch as a Time."""
    return _format_second(int(seconds))


@functools.lru_cache(maxsize=8)
def _format_second(second: int) -> str:
    # Writes come many in a second, and all of them ask.
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def format_date(seconds: float) -> str:
    """The day, in UTC, as `2026-01-31`."""
    return format_time(seconds)[:10]


def parse_date(text: str) -> float | None:
    """The beginning of a day in seconds since the epoch, None when the text is no day."""
    if not _DATE(text):
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def format_micro(seconds: float) -> str:
    """Seconds since the epoch as a MicroTime."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse(text: str) -> float:
    """A Time or MicroTime as seconds since the epoch. Raises ValueError."""
    return datetime.fromisoformat(text).timestamp()


def normal_time(text: str) -> str:
    """A Time as the server writes it. Raises ValueError with upstream's message."""
    if _TIME(text) and _in_range(text):
        return text
    match = _RFC3339(text)
    if match is None or not _in_range(text):
        raise ValueError(_complaint(text, TIME_LAYOUT))
    return _utc(text).strftime("%Y-%m-%dT%H:%M:%SZ")


def normal_micro(text: str) -> str:
    """A MicroTime as the server writes it. Raises ValueError with upstream's message."""
    match = _MICRO(text)
    if match is None or not _in_range(text):
        raise ValueError(_complaint(text, MICRO_LAYOUT))
    if match[8] == "Z":
        return text
    return _utc(text).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _in_range(text: str) -> bool:
    try:
        datetime(
            int(text[:4]),
            int(text[5:7]),
            int(text[8:10]),
            int(text[11:13]),
            int(text[14:16]),
            int(text[17:19]),
            tzinfo=UTC,
        )
    except ValueError:
        return False
    return True


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _complaint(text: str, layout: str) -> str:
    """Where Go's time.Parse stops, and what it expected there."""
    at = 0
    start = f'parsing time "{text}" as "{layout}": '
    for element in _ELEMENT.findall(layout):
        rest = text[at:]
        if element == "Z07:00":
            size = 1 if rest.startswith("Z") else 6 if re.match(r"[+-]\d\d:\d\d", rest) else 0
        elif element == ".000000":
            size = 7 if re.match(r"\.\d{6}", rest) else 0
        elif element.isdigit():
            digits = rest[: len(element)]
            size = len(element) if len(digits) == len(element) and digits.isdigit() else 0
            if size and element in _RANGES:
                low, high, what = _RANGES[element]
                if not low <= int(digits) <= high:
                    return f'parsing time "{text}": {what} out of range'
            if element == "05" and size and layout == TIME_LAYOUT:
                fraction = re.match(r"[.,]\d+", rest[2:])
                size += fraction.end() if fraction else 0
        else:
            size = 1 if rest.startswith(element) else 0
        if not size:
            return f'{start}cannot parse "{rest}" as "{element}"'
        at += size
    if at < len(text):
        return f'parsing time "{text}": extra text: "{text[at:]}"'
    return f'parsing time "{text}": day out of range'


def parse_duration(text: str) -> float | None:
    """A Go duration such as `1m30s` in seconds, None when it is not one."""
    rest = text.lstrip("+-") if text[:1] in "+-" else text
    if rest == "0":
        return 0.0
    total, number = 0.0, ""
    while rest:
        if rest[0].isdigit() or rest[0] == ".":
            number += rest[0]
            rest = rest[1:]
            continue
        unit = next(
            (u for u in ("ns", "us", "µs", "ms", "s", "m", "h") if rest.startswith(u)), None
        )
        if unit is None or not number.strip(".") or number.count(".") > 1:
            return None
        total += float(number) * _UNITS[unit]
        rest, number = rest[len(unit) :], ""
    return None if number or not text else total
