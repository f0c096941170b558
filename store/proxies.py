"""Which proxy the environment asks for.

    HTTPS_PROXY, HTTP_PROXY    the proxy for servers with that scheme; in small letters, too, which win
    NO_PROXY                   what is reached directly: names (and what is below them), addresses, networks, *

What runs on the same machine is always reached directly. upstream: golang.org/x/net/http/httpproxy
"""

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from verger.store.credentials import KubeconfigError


def environment_proxy(server: str, environment: Mapping[str, str]) -> str:
    """The URL of the proxy for a server, empty for none. Raises KubeconfigError for one that cannot be used."""
    parts = urlsplit(server)
    host = parts.hostname or ""
    variable = f"{parts.scheme}_proxy"
    proxy = _variable(variable, environment)
    if not proxy or _direct(host, parts.port, _variable("no_proxy", environment)):
        return ""
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    if urlsplit(proxy).scheme not in ("http", "https"):
        raise KubeconfigError(
            f"{variable.upper()} has to be the URL of an HTTP proxy; set NO_PROXY to reach {host} directly"
        )
    return proxy


def _variable(name: str, environment: Mapping[str, str]) -> str:
    value = environment.get(name)
    return (environment.get(name.upper(), "") if value is None else value).strip()


def _direct(host: str, port: int | None, exceptions: str) -> bool:
    address = _address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    for item in exceptions.split(","):
        name = item.strip().lower()
        if name == "*" or (address is not None and _in_network(address, name)):
            return True
        name = name.lstrip(".").removeprefix("*.")
        if name and (name in (host, f"{host}:{port}") or host.endswith(f".{name}")):
            return True
    return False


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _in_network(address: ipaddress.IPv4Address | ipaddress.IPv6Address, text: str) -> bool:
    try:
        return address in ipaddress.ip_network(text.strip("[]"), strict=False)
    except ValueError:
        return False
