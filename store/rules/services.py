"""Services: defaults and validation. Their addresses are in `serviceaddresses`.

upstream: pkg/apis/core/v1/defaults.go, pkg/apis/core/validation (ValidateService)
"""

from collections.abc import Mapping
from typing import Any, Final

from verger.store import names
from verger.store.invalid import FieldError, duplicate, forbidden, invalid, not_supported, required
from verger.store.metadata import NameRule, validate_labels
from verger.store.objects import Object, uid_of
from verger.store.rules import values
from verger.store.rules.base import Rules
from verger.store.rules.serviceaddresses import (
    HEADLESS,
    NODE_PORTS,
    ON_NODES,
    WITH_ADDRESS,
    allocate,
    drop_what_the_type_lacks,
    family_of,
    is_external,
    is_headless,
    keep_allocated,
    needs_health_port,
    sync_addresses,
)
from verger.store.rules.values import EMPTY, Json, maybe_one_of, named, one_of

AFFINITY_SECONDS: Final = 10800
AFFINITY_MAX: Final = 86400

_TYPES: Final = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_SPREADS: Final = ("PreferClose", "PreferSameZone", "PreferSameNode")
_RANGES: Final = "spec.LoadBalancerSourceRanges"
_MAY_NOT_CHANGE: Final = "may not change once set"


class ServiceRules(Rules):
    """A service keeps its addresses for as long as it has any."""

    has_status: bool = True
    returns_deleted: bool = True
    create_on_update: bool = True
    own_field_converter: bool = True
    name_rule: NameRule = staticmethod(names.label_1035)
    field_labels: tuple[str, ...] = ("spec.clusterIP", "spec.type")

    def default(self, obj: Object) -> None:
        """What depends on nothing but the service."""
        spec = values.part(obj, "spec")
        affinity = spec.setdefault("sessionAffinity", "None")
        if affinity == "None":
            spec.pop("sessionAffinityConfig", None)
        elif affinity == "ClientIP":
            config = (spec.get("sessionAffinityConfig") or EMPTY).get("clientIP") or EMPTY
            if config.get("timeoutSeconds") is None:
                spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": AFFINITY_SECONDS}}
        kind = spec.setdefault("type", "ClusterIP")
        for port in spec.get("ports") or ():
            port.setdefault("protocol", "TCP")
            port.setdefault("port", 0)
            if not port.get("targetPort"):
                port["targetPort"] = port["port"]
        if is_external(spec):
            spec.setdefault("externalTrafficPolicy", "Cluster")
        if kind in WITH_ADDRESS:
            spec.setdefault("internalTrafficPolicy", "Cluster")
        status = values.part(values.part(obj, "status"), "loadBalancer")
        if kind == "LoadBalancer":
            spec.setdefault("allocateLoadBalancerNodePorts", True)
            for ingress in status.get("ingress") or ():
                if ingress.get("ip"):
                    ingress.setdefault("ipMode", "VIP")

    def prepare_create(self, obj: Object) -> None:
        """Addresses and ports, for those that were not chosen. They depend on the uid, hence on a copy of the spec."""
        obj["spec"] = spec = {**obj["spec"]}
        obj["status"] = {"loadBalancer": {}}
        sync_addresses(spec, EMPTY)
        allocate(spec, uid_of(obj))

    def prepare_update(self, new: Object, old: Mapping[str, Any], subresource: str) -> None:
        """What was allocated stays when a client leaves it out, unless the type changes to one without it."""
        Rules.prepare_update(self, new, old, subresource)
        if subresource:
            return
        before = old.get("spec") or EMPTY
        new["spec"] = spec = {**new["spec"]}
        keep_allocated(spec, before)
        sync_addresses(spec, before)
        drop_what_the_type_lacks(spec, before)
        allocate(spec, uid_of(new))

    def validate(self, obj: Mapping[str, Any]) -> list[FieldError]:
        """The spec, in upstream's order."""
        spec = obj.get("spec") or EMPTY
        kind = spec.get("type")
        ports = spec.get("ports") or []
        errors = _by_type(spec)
        taken: set[str] = set()
        for index, port in enumerate(ports):
            errors += _port(f"spec.ports[{index}]", port, taken, alone=len(ports) == 1)
        if selector := spec.get("selector"):
            errors += validate_labels("spec.selector", selector)
        errors += _affinity(spec)
        if kind != "ExternalName":
            errors += _addresses(spec)
        for index, ip in enumerate(spec.get("externalIPs") or ()):
            field = f"spec.externalIPs[{index}]"
            errors += values.address(field, ip) or values.ordinary_address(field, ip)
        errors += one_of("spec.type", kind, _TYPES)
        errors += _port_clashes(kind, ports)
        errors += _source_ranges(spec)
        if kind != "LoadBalancer":
            text = "may only be used when `type` is 'LoadBalancer'"
            errors += [
                forbidden(f"spec.{key}", text)
                for key in ("allocateLoadBalancerNodePorts", "loadBalancerClass")
                if spec.get(key) is not None
            ]
        elif (name := spec.get("loadBalancerClass")) is not None:
            errors += named("spec.loadBalancerClass", name, names.qualified)
        errors += _traffic(spec)
        spread = spec.get("trafficDistribution")
        errors += maybe_one_of("spec.trafficDistribution", spread, _SPREADS)
        return errors or _ports_out_of_range(ports)

    def validate_update(
        self, new: Mapping[str, Any], old: Mapping[str, Any], subresource: str
    ) -> list[FieldError]:
        """Addresses, families and the class of the load balancer stay."""
        spec, before = new.get("spec") or EMPTY, old.get("spec") or EMPTY
        if subresource == "status":
            return _validate_status(new.get("status") or EMPTY)
        errors: list[FieldError] = []
        if "ExternalName" not in (spec.get("type"), before.get("type")):
            errors += _kept_addresses(spec, before)
        if spec.get("type") == before.get("type") == "LoadBalancer" and spec.get(
            "loadBalancerClass"
        ) != before.get("loadBalancerClass"):
            wanted = spec.get("loadBalancerClass")
            errors.append(invalid("spec.loadBalancerClass", wanted, _MAY_NOT_CHANGE))
        ports = spec.get("healthCheckNodePort"), before.get("healthCheckNodePort")
        if needs_health_port(spec) and needs_health_port(before) and ports[0] != ports[1]:
            errors.append(forbidden("spec.healthCheckNodePort", "field is immutable"))
        return errors


def _by_type(spec: Json) -> list[FieldError]:
    kind = spec.get("type")
    headless = is_headless(spec)
    errors: list[FieldError] = []
    if not spec.get("ports") and not headless and kind != "ExternalName":
        errors.append(required("spec.ports"))
    if headless and kind in ON_NODES:
        text = f"may not be set to 'None' for {kind} services"
        errors.append(invalid("spec.clusterIPs[0]", HEADLESS, text))
    if kind == "ExternalName":
        errors += [
            forbidden(f"spec.{key}", "may not be set for ExternalName services")
            for key in ("clusterIPs", "ipFamilies", "ipFamilyPolicy")
            if spec.get(key)
        ]
        name = (spec.get("externalName") or "").removesuffix(".")
        errors += values.required_name("spec.externalName", name, names.subdomain)
    return errors


def _port(field: str, port: Json, taken: set[str], *, alone: bool) -> list[FieldError]:
    name = port.get("name") or ""
    errors: list[FieldError] = []
    if name:
        errors += named(f"{field}.name", name, names.label)
        if name in taken:
            errors.append(duplicate(f"{field}.name", name))
        taken.add(name)
    elif not alone:
        errors.append(required(f"{field}.name"))
    errors += values.port_number(f"{field}.port", port.get("port"))
    errors += one_of(f"{field}.protocol", port.get("protocol"), values.PROTOCOLS)
    errors += values.port(f"{field}.targetPort", port.get("targetPort"))
    if (protocol := port.get("appProtocol")) is not None:
        errors += named(f"{field}.appProtocol", protocol, names.qualified)
    return errors


def _affinity(spec: Json) -> list[FieldError]:
    affinity = spec.get("sessionAffinity")
    errors = one_of("spec.sessionAffinity", affinity, ("ClientIP", "None"))
    if affinity == "ClientIP":
        config = (spec.get("sessionAffinityConfig") or EMPTY).get("clientIP") or EMPTY
        seconds = config.get("timeoutSeconds") or 0
        if not 0 < seconds <= AFFINITY_MAX:
            field = "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
            text = f"must be greater than 0 and less than {AFFINITY_MAX}"
            errors.append(invalid(field, seconds, text))
    return errors


def _addresses(spec: Json) -> list[FieldError]:
    one, many = spec.get("clusterIP") or "", spec.get("clusterIPs") or []
    families = spec.get("ipFamilies") or []
    field = "spec.clusterIPs"
    errors: list[FieldError] = []
    if one and not many:
        errors.append(required(field))
    elif one and many[0] != one:
        errors.append(invalid(field, many, "first value must match `clusterIP`"))
    elif many and not one:
        errors.append(invalid(field, many, "must be empty when `clusterIP` is not specified"))
    repeated = values.duplicates(families)
    for index, family in enumerate(families):
        at = f"spec.ipFamilies[{index}]"
        if family not in ("IPv4", "IPv6"):
            errors.append(not_supported(at, family, ("IPv4", "IPv6")))
        if index in repeated:
            errors.append(duplicate(at, family))
    policies = ("PreferDualStack", "RequireDualStack", "SingleStack")
    errors += maybe_one_of("spec.ipFamilyPolicy", spec.get("ipFamilyPolicy"), policies)
    wrong: list[FieldError] = []
    for index, ip in enumerate(many):
        if index == 0 and ip == HEADLESS:
            if len(many) > 1:
                wrong.append(invalid(field, many, "'None' must be the first and only value"))
            continue
        wrong += values.address(f"{field}[{index}]", ip)
    errors += wrong
    if len(many) > 2:
        errors.append(invalid(field, many, "may only hold up to 2 values"))
    if wrong:
        return errors
    if len(many) > 1 and len({family_of(ip) for ip in many}) < 2:
        text = "may specify no more than one IP for each IP family"
        errors.append(invalid(field, many, text))
    if not is_headless(spec):
        for index, (ip, family) in enumerate(zip(many, families, strict=False)):
            if family in ("IPv4", "IPv6") and family_of(ip) != family:
                text = f"expected an {family} value as indicated by `ipFamilies[{index}]`"
                errors.append(invalid(f"{field}[{index}]", ip, text))
    return errors


def _port_clashes(kind: Any, ports: list[Json]) -> list[FieldError]:
    errors: list[FieldError] = []
    if kind == "ClusterIP":
        text = "may not be used when `type` is 'ClusterIP'"
        errors += [
            forbidden(f"spec.ports[{index}].nodePort", text)
            for index, port in enumerate(ports)
            if port.get("nodePort")
        ]
    seen: set[tuple[Any, ...]] = set()
    for index, port in enumerate(ports):
        if number := port.get("nodePort"):
            key = ("node", port.get("protocol"), number)
            if key in seen:
                errors.append(duplicate(f"spec.ports[{index}].nodePort", number))
            seen.add(key)
    for index, port in enumerate(ports):
        key = ("port", port.get("protocol"), port.get("port"))
        if key in seen:
            shown = {
                "Name": "",
                "Protocol": port.get("protocol") or "",
                "AppProtocol": None,
                "Port": port.get("port") or 0,
                "TargetPort": 0,
                "NodePort": 0,
            }
            errors.append(duplicate(f"spec.ports[{index}]", shown))
        seen.add(key)
    return errors


def _ports_out_of_range(ports: list[Json]) -> list[FieldError]:
    # upstream: the allocator of node ports, which is asked when nothing else is wrong
    text = (
        "provided port is not in the valid range. The range of valid ports is "
        f"{NODE_PORTS[0]}-{NODE_PORTS[-1]}"
    )
    return [
        invalid(f"spec.ports[{index}].nodePort", number, text)
        for index, port in enumerate(ports)
        if (number := port.get("nodePort")) and number not in NODE_PORTS
    ]


def _source_ranges(spec: Json) -> list[FieldError]:
    ranges = spec.get("loadBalancerSourceRanges") or ()
    errors: list[FieldError] = []
    if ranges and spec.get("type") != "LoadBalancer":
        errors.append(forbidden(_RANGES, "may only be used when `type` is 'LoadBalancer'"))
    for index, value in enumerate(ranges):
        errors += values.network(f"{_RANGES}[{index}]", value.strip())
    return errors


def _traffic(spec: Json) -> list[FieldError]:
    policies = ("Cluster", "Local")
    policy = spec.get("externalTrafficPolicy")
    errors: list[FieldError] = []
    if is_external(spec):
        errors += one_of("spec.externalTrafficPolicy", policy, policies)
    elif policy:
        text = "may only be set for externally-accessible services"
        errors.append(invalid("spec.externalTrafficPolicy", policy, text))
    port = spec.get("healthCheckNodePort") or 0
    if needs_health_port(spec):
        errors += (
            values.port_number("spec.healthCheckNodePort", port)
            if port
            else [required("spec.healthCheckNodePort")]
        )
    elif port:
        text = (
            "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        )
        errors.append(invalid("spec.healthCheckNodePort", port, text))
    internal = spec.get("internalTrafficPolicy")
    if internal is None and spec.get("type") in WITH_ADDRESS:
        errors.append(required("spec.internalTrafficPolicy"))
    return errors + maybe_one_of("spec.internalTrafficPolicy", internal, policies)


def _kept_addresses(spec: Json, before: Json) -> list[FieldError]:
    new, old = spec.get("clusterIPs") or [], before.get("clusterIPs") or []
    errors: list[FieldError] = []
    if old and not new:
        text = "primary clusterIP can not be unset"
        errors.append(invalid("spec.clusterIPs[0]", new, text))
    errors += [
        invalid(f"spec.clusterIPs[{index}]", new, _MAY_NOT_CHANGE)
        for index, (a, b) in enumerate(zip(new, old, strict=False))
        if a != b
    ]
    if len(new) == 1 < len(old) and spec.get("ipFamilyPolicy") != "SingleStack":
        text = "must be set to 'SingleStack' when releasing the secondary clusterIP"
        errors.append(invalid("spec.ipFamilyPolicy", spec.get("ipFamilyPolicy"), text))
    if not is_headless(spec) and not is_headless(before):
        families = spec.get("ipFamilies") or [], before.get("ipFamilies") or []
        if families[0][:1] != families[1][:1] and families[1]:
            errors.append(invalid("spec.ipFamilies[0]", families[0], _MAY_NOT_CHANGE))
    return errors


def _validate_status(status: Json) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, ingress in enumerate((status.get("loadBalancer") or EMPTY).get("ingress") or ()):
        field = f"status.loadBalancer.ingress[{index}]"
        if ip := ingress.get("ip"):
            errors += values.address(f"{field}.ip", ip)
            errors += one_of(f"{field}.ipMode", ingress.get("ipMode") or "VIP", ("Proxy", "VIP"))
        elif ingress.get("ipMode") is not None:
            text = "may not be specified when `ip` is not set"
            errors.append(forbidden(f"{field}.ipMode", text))
        if host := ingress.get("hostname"):
            errors += named(f"{field}.hostname", host, names.subdomain)
            if values.parse_address(host) is not None:
                text = "must be a DNS name, not an IP address"
                errors.append(invalid(f"{field}.hostname", host, text))
    return errors
