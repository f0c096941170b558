"""The addresses behind services: Endpoints and EndpointSlices.

upstream: pkg/apis/core/validation (ValidateEndpoints), pkg/apis/discovery
"""

from collections.abc import Mapping
from typing import Any, Final

from verger.store import names
from verger.store.invalid import FieldError, duplicate, immutable, invalid, required, too_many
from verger.store.objects import Object
from verger.store.rules import values
from verger.store.rules.base import Rules
from verger.store.rules.values import Json, named, one_of

ENDPOINTS_MAX: Final = 1000
ADDRESSES_MAX: Final = 100
PORTS_MAX: Final = 20_000

_ADDRESS_TYPES: Final = ("FQDN", "IPv4", "IPv6")


class EndpointsRules(Rules):
    """Addresses behind a service, in the old form."""

    deprecation: str = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"
    create_on_update: bool = True

    def default(self, obj: Object) -> None:
        """TCP."""
        for subset in obj.get("subsets") or ():
            for port in subset.get("ports") or ():
                port.setdefault("protocol", "TCP")
                port.setdefault("port", 0)

    def validate(self, obj: Mapping[str, Any]) -> list[FieldError]:
        """Addresses that traffic can be sent to, ports with names of their own."""
        errors: list[FieldError] = []
        for index, subset in enumerate(obj.get("subsets") or ()):
            field = f"subsets[{index}]"
            if not subset.get("addresses") and not subset.get("notReadyAddresses"):
                errors.append(required(field, "must specify `addresses` or `notReadyAddresses`"))
            for key in ("addresses", "notReadyAddresses"):
                for place, address in enumerate(subset.get(key) or ()):
                    errors += _endpoint_address(f"{field}.{key}[{place}]", address)
            ports = subset.get("ports") or ()
            for place, port in enumerate(ports):
                at = f"{field}.ports[{place}]"
                errors += _endpoint_port(at, port, alone=len(ports) == 1)
        return errors


def _endpoint_address(field: str, address: Json) -> list[FieldError]:
    ip = address.get("ip") or ""
    errors = values.address(f"{field}.ip", ip)
    if host := address.get("hostname"):
        errors += named(f"{field}.hostname", host, names.label)
    if node := address.get("nodeName"):
        errors += named(f"{field}.nodeName", node, names.subdomain)
    return errors + values.ordinary_address(f"{field}.ip", ip)


def _endpoint_port(field: str, port: Json, *, alone: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    if name := port.get("name"):
        errors += named(f"{field}.name", name, names.label)
    elif not alone:
        errors.append(required(f"{field}.name"))
    errors += values.port_number(f"{field}.port", port.get("port"))
    errors += one_of(f"{field}.protocol", port.get("protocol"), values.PROTOCOLS)
    if (protocol := port.get("appProtocol")) is not None:
        errors += named(f"{field}.appProtocol", protocol, names.qualified)
    return errors


class EndpointSliceRules(Rules):
    """Some of the endpoints of a service, of one family."""

    counts_generation: bool = True

    def default(self, obj: Object) -> None:
        """TCP; a port without a name has an empty one. Both lists are always written."""
        obj.setdefault("addressType", "")
        values.fill(obj, endpoints=None, ports=None)
        for endpoint in obj["endpoints"] or ():
            values.fill(endpoint, addresses=None, conditions={})
        for port in obj["ports"] or ():
            port.setdefault("name", "")
            port.setdefault("protocol", "TCP")

    def validate(self, obj: Mapping[str, Any]) -> list[FieldError]:
        """Addresses of the family, ports with names of their own."""
        kind = obj.get("addressType") or ""
        errors = one_of("addressType", kind, _ADDRESS_TYPES)
        endpoints = obj.get("endpoints") or ()
        if len(endpoints) > ENDPOINTS_MAX:
            errors.append(too_many("endpoints", len(endpoints), ENDPOINTS_MAX))
        else:
            for index, endpoint in enumerate(endpoints):
                errors += _endpoint(f"endpoints[{index}]", endpoint, kind)
        return errors + _slice_ports(obj.get("ports") or ())

    def validate_update(
        self, new: Mapping[str, Any], old: Mapping[str, Any], subresource: str
    ) -> list[FieldError]:
        """The family stays."""
        if new.get("addressType") == old.get("addressType"):
            return []
        return [immutable("addressType", new.get("addressType"))]


def _endpoint(field: str, endpoint: Json, kind: str) -> list[FieldError]:
    addresses = endpoint.get("addresses") or ()
    errors: list[FieldError] = []
    if not addresses:
        errors.append(required(f"{field}.addresses", "must contain at least 1 address"))
    elif len(addresses) > ADDRESSES_MAX:
        errors.append(too_many(f"{field}.addresses", len(addresses), ADDRESSES_MAX))
    for index, address in enumerate(addresses):
        errors += _slice_address(f"{field}.addresses[{index}]", address, kind)
    if (host := endpoint.get("hostname")) is not None:
        errors += named(f"{field}.hostname", host, names.label)
    if (node := endpoint.get("nodeName")) is not None:
        errors += named(f"{field}.nodeName", node, names.subdomain)
    return errors


def _slice_address(field: str, address: str, kind: str) -> list[FieldError]:
    if kind == "FQDN":
        name = address.removesuffix(".")
        if wrong := names.subdomain(name):
            return [invalid(field, name, ",".join(wrong))] if name else [required(field)]
        if "." not in name:
            text = "should be a domain with at least two segments separated by dots"
            return [invalid(field, name, text)]
        return []
    if kind not in ("IPv4", "IPv6"):
        return []
    found = values.parse_address(address)
    errors = []
    if found is None or f"IPv{found.version}" != kind:
        errors.append(invalid(field, address, f"must be a valid {kind} address"))
    return errors + values.ordinary_address(field, address)


def _slice_ports(ports: Any) -> list[FieldError]:
    if len(ports) > PORTS_MAX:
        return [too_many("ports", len(ports), PORTS_MAX)]
    errors: list[FieldError] = []
    repeated = values.duplicates([port.get("name") or "" for port in ports])
    for index, port in enumerate(ports):
        field, name = f"ports[{index}]", port.get("name") or ""
        if name:
            errors += named(f"{field}.name", name, names.label)
        if index in repeated:
            errors.append(duplicate(f"{field}.name", name))
        errors += one_of(f"{field}.protocol", port.get("protocol"), values.PROTOCOLS)
        if (protocol := port.get("appProtocol")) is not None:
            errors += named(f"{field}.appProtocol", protocol, names.qualified)
    return errors
