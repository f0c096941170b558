"""The formats of texts that a schema may ask for. A format that is not here asks for nothing.

upstream: kube-openapi/pkg/validation/strfmt
"""

import base64
import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

from verger.store import names
from verger.store.timestamps import parse_date

_UUID: Final = re.compile(
    r"(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?([0-9a-f])[0-9a-f]{3}-?([0-9a-f])[0-9a-f]{3}-?[0-9a-f]{12}"
)
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+").fullmatch
_HOSTNAME: Final = re.compile(
    r"(?=.{1,255}\Z)([a-zA-Z0-9]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?)(\.[a-zA-Z0-9]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?)*\.?"
).fullmatch
_MAC: Final = re.compile(
    r"(?i)([0-9a-f]{2}([:-]))([0-9a-f]{2}\2){4}([0-9a-f]{2}\2){0}[0-9a-f]{2}|([0-9a-f]{4}\.){2}[0-9a-f]{4}"
).fullmatch
_DURATION: Final = re.compile(
    r"-?(\d+(\.\d*)?(ns|us|\u00b5s|\u03bcs|ms|s|m|h|d|w))+|0|\d+ ?(ns|us|ms|s|sec|secs|second|seconds|m|min|mins|minute|"
    r"minutes|h|hr|hrs|hour|hours|d|day|days|w|wk|wks|week|weeks)"
).fullmatch
_CLOCK: Final = re.compile(
    r"([0-9]{2}):([0-9]{2}):([0-9]{2})(?:.[0-9]+)?(?:[zZ]|[+-][0-9]{2}:[0-9]{2})"
).fullmatch
_COLOR: Final = re.compile(r"#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})").fullmatch


def _reads(read: Callable[[str], object]) -> Callable[[str], bool]:
    def fits(text: str) -> bool:
        try:
            read(text)
        except ValueError:
            return False
        return True

    return fits


def _base64(text: str) -> None:
    base64.b64decode(text.replace("\n", ""), validate=True)


def _network(text: str) -> None:
    if "/" not in text:
        raise ValueError(text)
    ipaddress.ip_network(text, strict=False)


def _uri(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    # upstream: url.ParseRequestURI, which takes an absolute URI or an absolute path
    return bool(parts.scheme) or text.startswith("/")


def _date(text: str) -> bool:
    return parse_date(text) is not None


def _date_time(text: str) -> bool:
    day, between, clock = text[:10], text[10:11], text[11:]
    found = _CLOCK(clock) if between in ("T", "t") else None
    return found is not None and _date(day) and found[1] < "24" and max(found[2], found[3]) < "60"


def _uuid(version: str) -> Callable[[str], bool]:
    def fits(text: str) -> bool:
        found = _UUID.fullmatch(text)
        if found is None:
            return False
        return not version or (found[1] == version and (version == "3" or found[2] in "89abAB"))

    return fits


FORMATS: Final[Mapping[str, Callable[[str], object]]] = {
    "byte": _reads(_base64),
    "cidr": _reads(_network),
    "date": _date,
    "date-time": _date_time,
    "datetime": _date_time,
    "duration": _DURATION,
    "email": _EMAIL,
    "hexcolor": _COLOR,
    "hostname": _HOSTNAME,
    "ipv4": _reads(ipaddress.IPv4Address),
    "ipv6": _reads(ipaddress.IPv6Address),
    "k8s-long-name": lambda text: not names.subdomain(text),
    "k8s-short-name": lambda text: not names.label(text),
    "mac": _MAC,
    "uri": _uri,
    "uuid": _uuid(""),
    "uuid3": _uuid("3"),
    "uuid4": _uuid("4"),
    "uuid5": _uuid("5"),
}
"""Format -> whether a text is of it; anything true means yes."""
