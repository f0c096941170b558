"""Times as Kubernetes writes them: RFC 3339 in UTC, whole seconds (Time) or six digits (MicroTime)."""

import functools
import re
from datetime import UTC, datetime, timedelta
from typing import Final

_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII).fullmatch
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII).fullmatch
_ZONE: Final = r"(?:Z|([+-])(\d\d):(\d\d))"
_RFC3339 = re.compile(rf"(\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:[.,]\d+)?{_ZONE}", re.ASCII).fullmatch
_MICRO = re.compile(rf"(\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{{6}}){_ZONE}", re.ASCII).fullmatch

TIME_LAYOUT: Final = "2006-01-02T15:04:05Z07:00"
MICRO_LAYOUT: Final = "2006-01-02T15:04:05.000000Z07:00"
_ELEMENT = re.compile(r"2006|01|02|15|04|05|\.000000|Z07:00|.")
_OFFSET = re.compile(r"[+-](\d\d):(\d\d)", re.ASCII).match
_SIX_DIGITS = re.compile(r"\.\d{6}", re.ASCII).match
_FRACTION = re.compile(r"[.,]\d+", re.ASCII).match
_DURATION = re.compile(
    r"([+-]?)(?:0|((?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+))", re.ASCII
).fullmatch
_PART = re.compile(r"([\d.]+)([^\d.]+)", re.ASCII).findall
_UNITS: Final = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0,
}  # fmt: skip
_RANGES: Final = {
    "01": (1, 12, "month"),
    "15": (0, 23, "hour"),
    "04": (0, 59, "minute"),
    "05": (0, 59, "second"),
}
"""Elements that Go judges as it reads them. Whether a month has such a day it asks at the end."""


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
    moment = _moment(text, _RFC3339(text), TIME_LAYOUT)
    return text if _TIME(text) else f"{moment.isoformat(timespec='seconds')}Z"


def normal_micro(text: str) -> str:
    """A MicroTime as the server writes it. Raises ValueError with upstream's message."""
    moment = _moment(text, _MICRO(text), MICRO_LAYOUT)
    return f"{moment.isoformat(timespec='microseconds')}Z"


def _moment(text: str, match: re.Match[str] | None, layout: str) -> datetime:
    """The moment in UTC, without saying so."""
    if match is None:
        raise ValueError(_complaint(text, layout))
    stated, sign, hours, minutes = match.groups()
    try:
        moment = datetime.fromisoformat(stated)
    except ValueError:
        raise ValueError(_complaint(text, layout)) from None
    if sign is None:
        return moment
    # upstream: offsets of 24 hours and of 60 minutes are read
    if int(hours) > 24 or int(minutes) > 60:
        raise ValueError(_complaint(text, layout))
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    try:
        return moment - offset if sign == "+" else moment + offset
    except OverflowError:
        raise ValueError(f"parsing time {_quoted(text)}: year out of range") from None


def _complaint(text: str, layout: str) -> str:
    """Where Go's time.Parse stops, and what it expected there."""
    at = 0
    shown = _quoted(text)
    for element in _ELEMENT.findall(layout):
        rest = text[at:]
        size = 0
        if element == "Z07:00":
            offset = _OFFSET(rest)
            size = 1 if rest.startswith("Z") else 6 if offset else 0
            if offset and int(offset[1]) > 24:
                return f"parsing time {shown}: time zone offset hour out of range"
            if offset and int(offset[2]) > 60:
                return f"parsing time {shown}: time zone offset minute out of range"
        elif element == ".000000":
            size = 7 if _SIX_DIGITS(rest) else 0
        elif element.isdigit():
            digits = rest[: len(element)]
            if len(digits) == len(element) and digits.isdigit() and digits.isascii():
                size = len(element)
                low, high, what = _RANGES.get(element, (0, 9999, ""))
                if not low <= int(digits) <= high:
                    return f"parsing time {shown}: {what} out of range"
                if element == "05" and layout == TIME_LAYOUT and (found := _FRACTION(rest, 2)):
                    size = found.end()
        elif rest.startswith(element):
            size = 1
        if not size:
            return (
                f'parsing time {shown} as "{layout}": cannot parse {_quoted(rest)} as "{element}"'
            )
        at += size
    if at < len(text):
        return f"parsing time {shown}: extra text: {_quoted(text[at:])}"
    # Go has a year 0, which nothing here needs.
    what = "year" if text.startswith("0000") else "day"
    return f"parsing time {shown}: {what} out of range"


def _quoted(text: str) -> str:
    """Text as the errors of Go's time package show it: what is not plain ASCII byte by byte."""
    out = []
    for char in text:
        if char in '"\\':
            out.append(f"\\{char}")
        elif " " <= char < "\x80":
            out.append(char)
        else:
            out += [f"\\x{byte:02x}" for byte in char.encode()]
    return f'"{"".join(out)}"'


def parse_duration(text: str) -> float | None:
    """A Go duration such as `1m30s` in seconds, None when it is not one."""
    match = _DURATION(text)
    if match is None:
        return None
    total = sum(float(number) * _UNITS[unit] for number, unit in _PART(match[2] or ""))
    return -total if match[1] == "-" else float(total)
