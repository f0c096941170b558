"""The functions that Kubernetes adds to the Common Expression Language: quantities, addresses, URLs, versions, lists, texts.

The language knows no types of ours: a quantity, an address, a network, a URL, a version is a map with one entry, which
says what it is and holds its one canonical text, so that equal things are equal maps.

upstream: apiserver/pkg/cel/library
"""

import functools
import ipaddress
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any, Final
from urllib.parse import SplitResult, parse_qs, urlsplit

from verger.store.quantity import amount

Special = Mapping[str, str]
"""What a text has been read as -> its canonical text."""

_SEMVER: Final = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+([0-9A-Za-z.-]+))?"
).fullmatch
_LOOSE: Final = re.compile(
    r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?((?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?)"
).fullmatch


def _reads(read: Callable[..., object]) -> Callable[..., bool]:
    """Whether a text can be read so."""

    def fits(*given: Any) -> bool:
        try:
            read(*given)
        except ValueError:
            return False
        return True

    return fits


# Quantities


def _quantity(text: str) -> Special:
    return {"quantity": str(Fraction(amount(text)))}


def _amount(value: Special) -> Fraction:
    return Fraction(value["quantity"])


def _shift(way: Callable[[Any, Any], Fraction]) -> Callable[[Special, Any], Special]:
    def shifted(value: Special, other: Any) -> Special:
        by = other if isinstance(other, int) else _amount(other)
        return {"quantity": str(way(_amount(value), by))}

    return shifted


def _as_integer(value: Special) -> int:
    amount = _amount(value)
    if amount.denominator != 1:
        raise ValueError("cannot convert value to integer")
    return int(amount)


def _sign(value: Special) -> int:
    amount = _amount(value)
    return (amount > 0) - (amount < 0)


# Versions


def _semver(text: str, loose: bool = False) -> Special:
    if loose and (found := _LOOSE(text)):
        text = ".".join(str(int(part or 0)) for part in found.groups()[:3]) + found[4]
    if _SEMVER(text) is None:
        raise ValueError(f"{text} is no version")
    return {"semver": text}


def _order(value: Special) -> tuple[Any, ...]:
    """What versions are compared by: a release comes behind what leads to it, and numbers before words."""
    found = _SEMVER(value["semver"])
    if found is None:
        raise ValueError("no version")
    parts = tuple(
        (0, int(part), "") if part.isdigit() else (1, 0, part)
        for part in (found[4] or "").split(".")
        if part
    )
    return (*map(int, found.groups()[:3]), not parts, parts)


def _number(index: int) -> Callable[[Special], int]:
    return lambda value: int(_order(value)[index])


def _compared(judge: Callable[[Any, Any], Any]) -> Callable[[Special, Special], Any]:
    """Compares what has an order: two quantities, or two versions."""

    def compare(value: Special, other: Special) -> Any:
        order: Callable[[Special], Any] = _order if "semver" in value else _amount
        return judge(order(value), order(other))

    return compare


# Addresses


def _address(text: str) -> "ipaddress.IPv4Address | ipaddress.IPv6Address":
    found = ipaddress.ip_address(text)
    if "%" in text or (found.version == 6 and found.ipv4_mapped is not None):
        raise ValueError(f"{text} is no address that is taken here")
    return found


def _ip(value: "str | Special") -> Special:
    if isinstance(value, str):
        return {"ip": str(_address(value))}
    return {"ip": value["cidr"].partition("/")[0]}


def _of_address(name: str) -> Callable[[Special], Any]:
    return lambda value: getattr(_address(value["ip"]), name)


def _is_link_local(*, multicast: bool) -> Callable[[Special], bool]:
    def judge(value: Special) -> bool:
        found = _address(value["ip"])
        if not multicast:
            return found.is_link_local
        links = "224.0.0.0/24" if found.version == 4 else "ff02::/16"
        return found in ipaddress.ip_network(links)

    return judge


def _is_global_unicast(value: Special) -> bool:
    found = _address(value["ip"])
    special = found.is_unspecified or found.is_loopback or found.is_multicast or found.is_link_local
    return not special and str(found) != "255.255.255.255"


def _cidr(text: str) -> Special:
    address, slash, length = text.partition("/")
    if not slash or not length.isdigit():
        raise ValueError(f"{text} is no network")
    ipaddress.ip_network(text, strict=False)
    return {"cidr": f"{_address(address)}/{int(length)}"}


def _network(value: "str | Special") -> "ipaddress.IPv4Network | ipaddress.IPv6Network":
    text = _cidr(value)["cidr"] if isinstance(value, str) else value["cidr"]
    return ipaddress.ip_network(text, strict=False)


def _contains_ip(value: Special, other: "str | Special") -> bool:
    text = other if isinstance(other, str) else other["ip"]
    return _address(text) in _network(value)


def _contains_cidr(value: Special, other: "str | Special") -> bool:
    outer, inner = _network(value), _network(other)
    return outer.version == inner.version and inner.subnet_of(outer)  # type: ignore[arg-type]


def _masked(value: Special) -> Special:
    return {"cidr": str(_network(value))}


# URLs


def _parsed(value: "str | Special") -> SplitResult:
    text = value if isinstance(value, str) else value["url"]
    parts = urlsplit(text)
    # upstream: url.ParseRequestURI, which takes an absolute URI or an absolute path
    if not parts.scheme and not text.startswith("/"):
        raise ValueError("invalid URI for request")
    _ = parts.port
    return parts


def _url(text: str) -> Special:
    _parsed(text)
    return {"url": text}


def _port(value: Special) -> str:
    port = _parsed(value).port
    return "" if port is None else str(port)


# Lists and texts


def _total(items: Sequence[Any]) -> Any:
    return functools.reduce(operator.add, items) if items else 0


def _find(text: str, pattern: str) -> str:
    found = re.search(pattern, text)
    return found[0] if found else ""


def _find_all(text: str, pattern: str, most: int = -1) -> list[str]:
    found = [each[0] for each in re.finditer(pattern, text)]
    return found if most < 0 else found[:most]


def _has_all(items: Sequence[Any], others: Sequence[Any]) -> bool:
    return all(other in items for other in others)


_FUNCTIONS: Final[Sequence[tuple[str, str, str, Callable[..., Any]]]] = (
    ("isQuantity", "s", "b", _reads(_quantity)),
    ("quantity", "s", "m", _quantity),
    ("isSemver", "s", "b", _reads(_semver)),
    ("isSemver", "sb", "b", _reads(_semver)),
    ("semver", "s", "m", _semver),
    ("semver", "sb", "m", _semver),
    ("isIP", "s", "b", _reads(_ip)),
    ("ip", "s", "m", _ip),
    ("ip.isCanonical", "s", "b", lambda text: _ip(text)["ip"] == text),
    ("isCIDR", "s", "b", _reads(_cidr)),
    ("cidr", "s", "m", _cidr),
    ("isURL", "s", "b", _reads(_url)),
    ("url", "s", "m", _url),
    ("sets.contains", "ll", "b", _has_all),
    (
        "sets.equivalent",
        "ll",
        "b",
        lambda one, other: _has_all(one, other) and _has_all(other, one),
    ),
    ("sets.intersects", "ll", "b", lambda one, other: any(item in one for item in other)),
)
"""Functions: the name, the types of what they take and of what they return, and what they do."""
_METHODS: Final[Sequence[tuple[str, str, str, Callable[..., Any]]]] = (
    ("isInteger", "m", "b", lambda value: _amount(value).denominator == 1),
    ("asInteger", "m", "i", _as_integer),
    ("asApproximateFloat", "m", "f", lambda value: float(_amount(value))),
    ("sign", "m", "i", _sign),
    ("add", "mm", "m", _shift(operator.add)),
    ("add", "mi", "m", _shift(operator.add)),
    ("sub", "mm", "m", _shift(operator.sub)),
    ("sub", "mi", "m", _shift(operator.sub)),
    ("isLessThan", "mm", "b", _compared(operator.lt)),
    ("isGreaterThan", "mm", "b", _compared(operator.gt)),
    ("compareTo", "mm", "i", _compared(lambda one, other: (one > other) - (one < other))),
    ("major", "m", "i", _number(0)),
    ("minor", "m", "i", _number(1)),
    ("patch", "m", "i", _number(2)),
    ("family", "m", "i", _of_address("version")),
    ("isUnspecified", "m", "b", _of_address("is_unspecified")),
    ("isLoopback", "m", "b", _of_address("is_loopback")),
    ("isLinkLocalMulticast", "m", "b", _is_link_local(multicast=True)),
    ("isLinkLocalUnicast", "m", "b", _is_link_local(multicast=False)),
    ("isGlobalUnicast", "m", "b", _is_global_unicast),
    ("containsIP", "ms", "b", _contains_ip),
    ("containsIP", "mm", "b", _contains_ip),
    ("containsCIDR", "ms", "b", _contains_cidr),
    ("containsCIDR", "mm", "b", _contains_cidr),
    ("ip", "m", "m", _ip),
    ("masked", "m", "m", _masked),
    ("prefixLength", "m", "i", lambda value: _network(value).prefixlen),
    ("getScheme", "m", "s", lambda value: _parsed(value).scheme),
    ("getHost", "m", "s", lambda value: _parsed(value).netloc.rpartition("@")[2]),
    ("getHostname", "m", "s", lambda value: _parsed(value).hostname or ""),
    ("getPort", "m", "s", _port),
    ("getEscapedPath", "m", "s", lambda value: _parsed(value).path),
    ("getQuery", "m", "m", lambda value: parse_qs(_parsed(value).query, keep_blank_values=True)),
    ("isSorted", "l", "b", lambda items: list(items) == sorted(items)),
    ("sum", "l", "d", _total),
    ("min", "l", "d", min),
    ("max", "l", "d", max),
    ("find", "ss", "s", _find),
    ("findAll", "ss", "l", _find_all),
    ("findAll", "ssi", "l", _find_all),
)
"""The same of functions that stand behind what they are about, which is the first of what they take."""


def declarations(cel: Any) -> list[Any]:
    """The functions as the library `cel_expr_python` wants to be told of them."""
    sorts = {
        "b": cel.Type.BOOL, "d": cel.Type.DYN, "f": cel.Type.DOUBLE, "i": cel.Type.INT,
        "l": cel.Type.LIST, "m": cel.Type.MAP, "s": cel.Type.STRING,
    }  # fmt: skip
    overloads: dict[str, list[Any]] = {}
    for table, member in ((_FUNCTIONS, False), (_METHODS, True)):
        for name, taken, returned, work in table:
            overload = cel.Overload(
                f"{'of_' if member else ''}{name}_{taken}",
                sorts[returned],
                [sorts[sort] for sort in taken],
                is_member=member,
                impl=work,
            )
            overloads.setdefault(name, []).append(overload)
    return [cel.FunctionDecl(name, found) for name, found in overloads.items()]
