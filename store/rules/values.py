"""Judges of single values that many kinds hold: numbers, ports, percentages, addresses, enumerations.

Every judge takes the path of the field and returns what is wrong with it, in upstream's words; none raises.

upstream: apimachinery/pkg/util/validation, apimachinery/pkg/api/validation
"""

import functools
import ipaddress
import re
from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from verger.store import names
from verger.store.invalid import Cause, FieldError, invalid, not_supported, required, show
from verger.store.metadata import NameRule
from verger.store.objects import Object
from verger.store.quantity import QuantityError, amount

PROTOCOLS: Final = ("SCTP", "TCP", "UDP")
PORT_MAX: Final = 65535
PORT_NAME_MAX: Final = 15
INT32_MAX: Final = 2**31 - 1

Json = Mapping[str, Any]
EMPTY: Final[Json] = {}

_ZERO: Final = Decimal(0)
_PORT: Final = "must be between 1 and 65535, inclusive"
_port_charset = re.compile("[-a-z0-9]+").fullmatch
_percent = re.compile("[0-9]+%").fullmatch
_leading_zero = re.compile(r"(^|\.)0+(?=[0-9])")
_http_path = re.compile(r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+").fullmatch
_PERCENT: Final = (
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for "
    "validation is '[0-9]+%')"
)
_WILDCARD: Final = (
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower "
    "case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', regex used "
    r"for validation is '\*\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)


def nonnegative(holder: Json, path: str, *keys: str) -> list[FieldError]:
    """Numbers that may be absent or zero."""
    return [
        invalid(f"{path}.{key}", value, "must be greater than or equal to 0")
        for key in keys
        if (value := holder.get(key)) is not None and value < 0
    ]


def named(field: str, value: str, rule: NameRule) -> list[FieldError]:
    """A text that must satisfy one of the rules of `names`."""
    return [invalid(field, value, text) for text in rule(value)]


def required_name(field: str, value: str | None, rule: NameRule) -> list[FieldError]:
    """A text that must be there, and satisfy one of the rules of `names`."""
    return named(field, value, rule) if value else [required(field)]


def one_of(field: str, value: str | None, supported: Collection[str]) -> list[FieldError]:
    """One of a few words, which has to be there. They are named in the order in which they are given."""
    if value in supported:
        return []
    return [not_supported(field, value, supported)] if value else [required(field)]


def maybe_one_of(field: str, value: str | None, supported: Collection[str]) -> list[FieldError]:
    """One of a few words, or nothing."""
    if value is None or value in supported:
        return []
    return [not_supported(field, value, supported)]


def not_found(field: str, value: Any) -> FieldError:
    """The value names something that is not there."""
    return FieldError(field, Cause.NOT_FOUND, f"Not found: {show(value)}")


def port_number(field: str, value: int | None) -> list[FieldError]:
    """A port, other than 0."""
    return [] if 1 <= (value or 0) <= PORT_MAX else [invalid(field, value or 0, _PORT)]


def port_name(field: str, value: str) -> list[FieldError]:
    """The name of a port, as IANA's service names are."""
    texts = []
    if len(value) > PORT_NAME_MAX:
        texts.append(f"must be no more than {PORT_NAME_MAX} characters")
    if not _port_charset(value):
        texts.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not any("a" <= char <= "z" for char in value):
        texts.append("must contain at least one letter (a-z)")
    if "--" in value:
        texts.append("must not contain consecutive hyphens")
    if value.startswith("-") or value.endswith("-"):
        texts.append("must not begin or end with a hyphen")
    return [invalid(field, value, text) for text in texts]


def port(field: str, value: int | str | None) -> list[FieldError]:
    """A port by number or name."""
    return port_name(field, value) if isinstance(value, str) else port_number(field, value)


def int_or_percent(field: str, value: int | str | None) -> list[FieldError]:
    """A count or a percentage, zero at least."""
    if isinstance(value, str):
        return [] if _percent(value) else [invalid(field, value, _PERCENT)]
    if value is not None and value < 0:
        return [invalid(field, value, "must be greater than or equal to 0")]
    return []


def at_most_100_percent(field: str, value: int | str | None) -> list[FieldError]:
    """A percentage is no more than all of it."""
    if isinstance(value, str) and count_of(value) > 100:
        return [invalid(field, value, "must not be greater than 100%")]
    return []


def count_of(value: int | str | None) -> int:
    """The number of an int-or-percent, as far as a number of 32 bits goes; 0 for what is neither."""
    if isinstance(value, str):
        digits = value[:-1].lstrip("0")
        return min(int(digits[:12] or 0), INT32_MAX) if _percent(value) else 0
    return value or 0


def wildcard_subdomain(name: str) -> list[str]:
    """A DNS-1123 subdomain behind `*.`."""
    if name.startswith("*.") and not names.subdomain(name[2:]):
        return []
    return [_WILDCARD]


def domain_path(field: str, value: str | None) -> list[FieldError]:
    """A path behind a domain: `example.com/thing`."""
    if not value:
        return [required(field)]
    host, _, path = value.partition("/")
    if not host or not path:
        text = 'must be a domain-prefixed path (such as "acme.io/foo")'
        return [invalid(field, value, text)]
    errors = named(field, host, names.subdomain)
    if not _http_path(path):
        text = r"Invalid path (regex used for validation is '[A-Za-z0-9/\-._~%!$&'()*+,;=:]+')"
        errors.append(invalid(field, path, text))
    return errors


Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def parse_address(value: str) -> Address | None:
    """An IP address, or None."""
    try:
        return ipaddress.ip_address(_without_leading_zeros(value))
    except ValueError:
        return None


def _without_leading_zeros(value: str) -> str:
    # upstream reads 010.0.0.1 as 10.0.0.1.
    return value if ":" in value else _leading_zero.sub(r"\1", value)


def address(field: str, value: str) -> list[FieldError]:
    """An IP address."""
    if parse_address(value) is not None:
        return []
    return [invalid(field, value, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")]


def ordinary_address(field: str, value: str) -> list[FieldError]:
    """An IP address that traffic can be sent to: endpoints and external addresses."""
    found = parse_address(value)
    if found is None:
        return [invalid(field, value, "must be a valid IP address")]
    errors = []
    if found.is_unspecified:
        errors.append(invalid(field, value, f"may not be unspecified ({value})"))
    if found.is_loopback:
        text = "may not be in the loopback range (127.0.0.0/8, ::1/128)"
        errors.append(invalid(field, value, text))
    if found.is_link_local:
        text = "may not be in the link-local range (169.254.0.0/16, fe80::/10)"
        errors.append(invalid(field, value, text))
    local_multicast = "224.0.0.0/24" if found.version == 4 else "ff02::/16"
    if found in ipaddress.ip_network(local_multicast):
        text = "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"
        errors.append(invalid(field, value, text))
    return errors


def parse_network(value: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """A CIDR, or None. Bits behind the mask are ignored."""
    host, slash, bits = value.partition("/")
    # The library takes netmasks too, and a bare address.
    if not slash or not bits.isascii() or not bits.isdigit():
        return None
    try:
        return ipaddress.ip_network(f"{_without_leading_zeros(host)}/{bits}", strict=False)
    except ValueError:
        return None


def network(field: str, value: str) -> list[FieldError]:
    """A CIDR."""
    if parse_network(value) is not None:
        return []
    text = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
    return [invalid(field, value, text)]


@functools.lru_cache(maxsize=1024)
def amount_of(quantity: str | float) -> Decimal:
    """What a quantity amounts to; 0 for what is none. The same few are met again and again."""
    try:
        return amount(quantity)
    except QuantityError:
        return _ZERO


def part(holder: Object, key: str) -> Object:
    """The object under a key, which is made if it is not there."""
    found: Object | None = holder.get(key)
    if found is None:
        found = holder[key] = {}
    return found


def fill(holder: Object, **empty: Any) -> None:
    """Writes out fields that Go writes even when they are empty. Values that can change are given anew by the caller."""
    for key, value in empty.items():
        if holder.get(key) is None:
            holder[key] = value


def fill_times(status: Json, *keys: str, of: str = "conditions") -> None:
    """Writes out, as null, the times of conditions that the client left out: Go holds them by value."""
    for condition in status.get(of) or ():
        for key in keys:
            condition.setdefault(key, None)


def ordered(labels: Mapping[str, str] | None) -> dict[str, str] | None:
    """A map as Go shows it inside of a message: sorted, null for none."""
    return dict(sorted(labels.items())) if labels else None


def duplicates(values: Iterable[str]) -> set[int]:
    """The places of the values that came before."""
    seen: set[str] = set()
    found = set()
    for index, value in enumerate(values):
        if value in seen:
            found.add(index)
        seen.add(value)
    return found
