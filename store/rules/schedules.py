"""The schedules of CronJobs: five fields or a descriptor, and a time zone.

upstream: github.com/robfig/cron/v3 (ParseStandard), whose error messages clients see
"""

import functools
import re
import zoneinfo
from typing import Final, NamedTuple

from verger.store.invalid import quote


class _Bounds(NamedTuple):
    low: int
    high: int
    names: tuple[str, ...] = ()
    """The first stands for `low`."""


_MONTHS: Final = (
    "jan",
    "feb",
    "mar",
    "apr",
    "may",
    "jun",
    "jul",
    "aug",
    "sep",
    "oct",
    "nov",
    "dec",
)
_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS: Final = (
    _Bounds(0, 59), _Bounds(0, 23), _Bounds(1, 31), _Bounds(1, 12, _MONTHS), _Bounds(0, 6, _DAYS),
)  # fmt: skip
_DESCRIPTORS: Final = frozenset(
    {"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"}
)
_EVERY: Final = "@every "
_duration = re.compile(r"[-+]?(0|((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))+)").fullmatch
_number = re.compile(r"[-+]?\d+", re.ASCII).fullmatch
_ZONE_MAX: Final = 64
"""No name is half as long, and to look for one with very many parts is deep recursion."""
_zone_part = re.compile(r"[A-Za-z.\-_0-9+]{1,14}").fullmatch


class _BadSchedule(ValueError):
    pass


def complaint(schedule: str) -> str:
    """What is wrong with a schedule, or nothing."""
    try:
        _parse(schedule)
    except _BadSchedule as error:
        return str(error)
    return ""


def _parse(schedule: str) -> None:
    for prefix in ("TZ=", "CRON_TZ="):
        if schedule.startswith(prefix):
            zone, _, rest = schedule.removeprefix(prefix).partition(" ")
            if not is_zone(zone):
                raise _BadSchedule(f"provided bad location {zone}: unknown time zone {zone}")
            schedule = rest.strip()
            break
    if schedule.startswith("@"):
        _parse_descriptor(schedule)
        return
    fields = schedule.split()
    if len(fields) != len(_FIELDS):
        listed = " ".join(fields)
        raise _BadSchedule(
            f"expected exactly {len(_FIELDS)} fields, found {len(fields)}: [{listed}]"
        )
    for field, bounds in zip(fields, _FIELDS, strict=True):
        for expression in filter(None, field.split(",")):
            _parse_range(expression, bounds)


def _parse_descriptor(schedule: str) -> None:
    if schedule in _DESCRIPTORS:
        return
    if not schedule.startswith(_EVERY):
        raise _BadSchedule(f"unrecognized descriptor: {schedule}")
    period = schedule.removeprefix(_EVERY)
    if not _duration(period):
        why = "missing unit in" if _number(period) else "invalid"
        raise _BadSchedule(
            f"failed to parse duration {schedule}: time: {why} duration {quote(period)}"
        )


def _parse_range(expression: str, bounds: _Bounds) -> None:
    parts = expression.split("/")
    ends = parts[0].split("-")
    if ends[0] in ("*", "?"):
        low, high = bounds.low, bounds.high
    else:
        low = _parse_number(ends[0], bounds.names, bounds.low)
        if len(ends) > 2:
            raise _BadSchedule(f"too many hyphens: {expression}")
        high = low if len(ends) == 1 else _parse_number(ends[1], bounds.names, bounds.low)
    step = 1
    if len(parts) > 2:
        raise _BadSchedule(f"too many slashes: {expression}")
    if len(parts) == 2:
        step = _parse_number(parts[1], (), 0)
        if len(ends) == 1:
            high = bounds.high
    if low < bounds.low:
        text = f"beginning of range ({low}) below minimum ({bounds.low}): {expression}"
        raise _BadSchedule(text)
    if high > bounds.high:
        raise _BadSchedule(f"end of range ({high}) above maximum ({bounds.high}): {expression}")
    if low > high:
        text = f"beginning of range ({low}) beyond end of range ({high}): {expression}"
        raise _BadSchedule(text)
    if step == 0:
        raise _BadSchedule(f"step of range should be a positive number: {expression}")


def _parse_number(text: str, known: tuple[str, ...], first: int) -> int:
    if (name := text.lower()) in known:
        return known.index(name) + first
    why = "invalid syntax" if not _number(text) else "value out of range" if len(text) > 18 else ""
    if why:
        problem = f"strconv.Atoi: parsing {quote(text)}: {why}"
        raise _BadSchedule(f"failed to parse int from {text}: {problem}")
    number = int(text)
    if number < 0:
        raise _BadSchedule(f"negative number ({number}) not allowed: {text}")
    return number


def zone_complaint(zone: str) -> str:
    """What is wrong with the name of a time zone, or nothing."""
    if not zone:
        return "timeZone must be nil or non-empty string"
    if zone.lower() == "local":
        return (
            "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        )
    return "" if is_zone(zone) else f"unknown time zone {zone}"


def is_zone(name: str) -> bool:
    """Whether there is such a time zone. Where no time zones are installed, any name that could be one is."""
    parts = name.split("/")
    if len(name) > _ZONE_MAX or any(
        part in (".", "..") or part.startswith("-") or not _zone_part(part) for part in parts
    ):
        return False
    return name == "UTC" or _is_installed(name) or not _is_installed("Etc/UTC")


@functools.lru_cache(maxsize=64)
def _is_installed(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
