"""The cluster addresses and node ports of services.

Rules cannot look at other objects, so addresses and ports are not allocated but derived from the uid: the same service
always gets the same ones, and two services may get one address. Among a hundred services the odds of that are one in
two hundred.

upstream: pkg/registry/core/service/storage, where allocators keep addresses apart
"""

import hashlib
import ipaddress
from typing import Final

from verger.store.objects import Object
from verger.store.rules.values import Json

CLUSTER_RANGE: Final = ipaddress.IPv4Network("10.96.0.0/12")
"""upstream: kubeadm's --service-cluster-ip-range"""
STATIC_ADDRESSES: Final = 256
"""At the beginning of the range, for addresses that are chosen by hand."""
NODE_PORTS: Final = range(30000, 32768)
HEADLESS: Final = "None"
WITH_ADDRESS: Final = ("ClusterIP", "LoadBalancer", "NodePort")
ON_NODES: Final = ("LoadBalancer", "NodePort")


def is_headless(spec: Json) -> bool:
    """Whether it has no address on purpose."""
    return spec.get("clusterIPs") == [HEADLESS]


def is_external(spec: Json) -> bool:
    """Whether it is reached from outside of the cluster."""
    kind = spec.get("type")
    return kind in ON_NODES or (kind == "ClusterIP" and bool(spec.get("externalIPs")))


def needs_health_port(spec: Json) -> bool:
    """Whether a load balancer asks each node if it has endpoints."""
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def _derived(uid: str, what: str, count: int) -> int:
    digest = hashlib.blake2b(f"{uid}/{what}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % count


def derived_address(uid: str) -> str:
    """The cluster address of the service with that uid."""
    usable = CLUSTER_RANGE.num_addresses - STATIC_ADDRESSES - 1
    return str(CLUSTER_RANGE[STATIC_ADDRESSES + _derived(uid, "address", usable)])


def _derived_port(uid: str, what: str, taken: set[int]) -> int:
    start = _derived(uid, what, len(NODE_PORTS))
    for step in range(len(NODE_PORTS) if len(taken) < len(NODE_PORTS) else 0):
        port = NODE_PORTS[(start + step) % len(NODE_PORTS)]
        if port not in taken:
            taken.add(port)
            return port
    return NODE_PORTS[start]


def sync_addresses(spec: Object, before: Json) -> None:
    """The one address and the list of addresses say the same; whichever was changed decides."""
    one, many = spec.get("clusterIP") or "", spec.get("clusterIPs") or []
    if one == (before.get("clusterIP") or ""):
        if many and many[0] and not one:
            spec["clusterIP"] = many[0]
        return
    if one and (not many or many == (before.get("clusterIPs") or [])):
        spec["clusterIPs"] = [one, *many[1:]]
    elif not one and many == (before.get("clusterIPs") or []):
        spec.pop("clusterIPs", None)


def keep_allocated(spec: Object, before: Json) -> None:
    """What was allocated stays when a client leaves it out."""
    if "ExternalName" in (spec.get("type"), before.get("type")):
        return
    one, many = before.get("clusterIP"), before.get("clusterIPs") or []
    if one:
        if not spec.get("clusterIP") and (spec.get("clusterIPs") or many) == many:
            spec["clusterIP"] = one
        if not spec.get("clusterIPs") and spec.get("clusterIP") == one:
            spec["clusterIPs"] = many
    for key in ("ipFamilies", "ipFamilyPolicy"):
        if not spec.get(key) and before.get(key):
            spec[key] = before[key]
    if spec.get("ports") and spec.get("type") in ON_NODES and before.get("type") in ON_NODES:
        known = {
            (port.get("protocol"), port.get("port")): port.get("nodePort")
            for port in before.get("ports") or ()
        }
        spec["ports"] = [
            {**port, "nodePort": found}
            if not port.get("nodePort")
            and (found := known.get((port.get("protocol"), port.get("port"))))
            else port
            for port in spec["ports"]
        ]
    if needs_health_port(spec) and needs_health_port(before):
        spec.setdefault("healthCheckNodePort", before.get("healthCheckNodePort"))


def drop_what_the_type_lacks(spec: Object, before: Json) -> None:
    """Takes away what came with the type that the service had. What the client sets anew is left for validation to refuse."""
    # upstream: dropTypeDependentFields
    kind, was = spec.get("type"), before.get("type")
    if kind == was:
        return
    if kind == "ExternalName":
        for key in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            if spec.get(key) == before.get(key):
                spec.pop(key, None)
    if spec.get("ports") and was in ON_NODES and kind not in ON_NODES:
        known = {port.get("nodePort") for port in before.get("ports") or ()}
        spec["ports"] = [
            {key: value for key, value in port.items() if key != "nodePort" or value not in known}
            for port in spec["ports"]
        ]
    if was == "LoadBalancer":
        for key in ("allocateLoadBalancerNodePorts", "loadBalancerClass"):
            if spec.get(key) == before.get(key):
                spec.pop(key, None)
    if not is_external(spec) and spec.get("externalTrafficPolicy") == before.get(
        "externalTrafficPolicy"
    ):
        spec.pop("externalTrafficPolicy", None)
    if not needs_health_port(spec):
        spec.pop("healthCheckNodePort", None)


def allocate(spec: Object, uid: str) -> None:
    """Gives the service what it needs and has not: addresses, families, ports."""
    kind = spec.get("type")
    if kind not in WITH_ADDRESS:
        return
    headless = spec.get("clusterIP") == HEADLESS
    if not spec.get("clusterIP") and not spec.get("clusterIPs"):
        spec["clusterIP"] = derived_address(uid)
        spec["clusterIPs"] = [spec["clusterIP"]]
    if not spec.get("ipFamilies"):
        spec["ipFamilies"] = [family_of(ip) for ip in spec.get("clusterIPs") or [""]]
    # A headless service without a selector may have endpoints of any family.
    both = headless and not spec.get("selector")
    spec.setdefault("ipFamilyPolicy", "RequireDualStack" if both else "SingleStack")
    if both and spec["ipFamilyPolicy"] != "SingleStack" and len(spec["ipFamilies"]) == 1:
        other = "IPv6" if spec["ipFamilies"] == ["IPv4"] else "IPv4"
        spec["ipFamilies"] = [*spec["ipFamilies"], other]
    wanted = kind == "NodePort" or (
        kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is not False
    )
    ports = spec.get("ports") or ()
    taken = {port["nodePort"] for port in ports if port.get("nodePort")}
    if ports and wanted and not headless:
        spec["ports"] = [
            port
            if port.get("nodePort")
            else {**port, "nodePort": _derived_port(uid, f"port {index}", taken)}
            for index, port in enumerate(ports)
        ]
    if needs_health_port(spec) and not spec.get("healthCheckNodePort"):
        spec["healthCheckNodePort"] = _derived_port(uid, "health", taken)


def family_of(ip: str) -> str:
    """IPv4 or IPv6."""
    return "IPv6" if ":" in ip else "IPv4"
