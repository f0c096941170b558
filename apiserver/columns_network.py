"""How the kinds are printed that lead to pods: services and their endpoints, ingresses, policies, addresses.

upstream: pkg/printers/internalversion/printers.go
"""

from collections.abc import Mapping
from typing import Any, Final

from verger.apiserver.columns import (
    AGE,
    NAME,
    NONE,
    UNKNOWN,
    UNSET,
    Column,
    Printer,
    clipped,
    derived,
    has,
    joined,
    labels_text,
    map_at,
    members_at,
    number_at,
    printer,
    selector_text,
    text,
    text_at,
    texts_at,
    value_at,
)


def _balancer_addresses(obj: Mapping[str, Any]) -> list[str]:
    ingress = members_at(obj, "status", "loadBalancer", "ingress")
    found = {text_at(each, "ip", missing=text_at(each, "hostname")) for each in ingress}
    return sorted(found - {""})


def _cluster_ip(service: Mapping[str, Any]) -> str:
    first = next(iter(texts_at(service, "spec", "clusterIPs")), "")
    return first or text_at(service, "spec", "clusterIP", missing=NONE)


def _external_ip(service: Mapping[str, Any]) -> str:
    external = texts_at(service, "spec", "externalIPs")
    match text_at(service, "spec", "type", missing="ClusterIP"):
        case "ClusterIP" | "NodePort":
            return joined(external)
        case "LoadBalancer":
            return joined(_balancer_addresses(service) + external, missing="<pending>")
        case "ExternalName":
            return text_at(service, "spec", "externalName")
        case _:
            return UNKNOWN


def _service_port(port: Mapping[str, Any]) -> str:
    node_port = number_at(port, "nodePort")
    middle = f":{node_port}" if node_port > 0 else ""
    return f"{number_at(port, 'port')}{middle}/{text_at(port, 'protocol', missing='TCP')}"


def _endpoints(endpoints: Mapping[str, Any]) -> str:
    subsets = members_at(endpoints, "subsets")
    found: list[str] = []
    for subset in subsets:
        ips = [text_at(each, "ip") for each in members_at(subset, "addresses")]
        ports = [number_at(each, "port") for each in members_at(subset, "ports")]
        # A headless service may have no ports.
        found += [_host_port(ip, port) for port in ports for ip in ips] if ports else ips
    return clipped(found) if subsets else NONE


def _host_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _slice_ports(endpoint_slice: Mapping[str, Any]) -> str:
    ports = members_at(endpoint_slice, "ports")
    listed = [
        str(number_at(port, "port")) if has(port, "port") else text_at(port, "name")
        for port in ports
    ]
    return clipped(listed) or UNSET


def _slice_addresses(endpoint_slice: Mapping[str, Any]) -> str:
    endpoints = members_at(endpoint_slice, "endpoints")
    return clipped([ip for each in endpoints for ip in texts_at(each, "addresses")]) or UNSET


def _hosts(ingress: Mapping[str, Any]) -> str:
    """The first three hosts. What is said to be beyond them counts rules, with a host or without."""
    rules = members_at(ingress, "spec", "rules")
    hosts: list[str] = []
    for rule in rules:
        if len(hosts) == 3:
            return f"{','.join(hosts)} + {len(rules) - 3} more..."
        hosts += filter(None, [text_at(rule, "host")])
    return joined(hosts, missing="*")


def _class_parameters(ingress_class: Mapping[str, Any]) -> str:
    found = value_at(ingress_class, "spec", "parameters")
    if found is None:
        return NONE
    group = text_at(found, "apiGroup")
    kind = text_at(found, "kind") + (f".{group}" if group else "")
    return f"{kind}/{text_at(found, 'name')}"


def _parent(address: Mapping[str, Any]) -> str:
    parent = value_at(address, "spec", "parentRef")
    if parent is None:
        return NONE
    group = text_at(parent, "group")
    resource = text_at(parent, "resource") + (f".{group}" if group else "")
    names = filter(None, [text_at(parent, "namespace")])
    return "/".join([resource.lower(), *names, text_at(parent, "name")])


PRINTERS: Final[Mapping[tuple[str, str], Printer]] = {
    ("", "Endpoints"): printer(
        NAME,
        (Column("Endpoints", description="The first of its addresses."), derived(_endpoints)),
        AGE,
    ),
    ("", "Service"): printer(
        NAME,
        (
            Column("Type", description="From where it can be reached."),
            text("spec", "type", missing="ClusterIP"),
        ),
        (Column("Cluster-IP", description="Its address in the cluster."), derived(_cluster_ip)),
        (
            Column("External-IP", description="Its addresses outside of the cluster."),
            derived(_external_ip),
        ),
        (
            Column("Port(s)", description="Its ports, with those on nodes and the protocols."),
            derived(
                lambda obj: joined(_service_port(port) for port in members_at(obj, "spec", "ports"))
            ),
        ),
        AGE,
        (
            Column("Selector", description="The labels of the pods behind it.", priority=1),
            derived(lambda obj: labels_text(map_at(obj, "spec", "selector"))),
        ),
    ),
    ("discovery.k8s.io", "EndpointSlice"): printer(
        NAME,
        (Column("AddressType", description="What its addresses are."), text("addressType")),
        (Column("Ports", description="The first of its ports."), derived(_slice_ports)),
        (Column("Endpoints", description="The first of its addresses."), derived(_slice_addresses)),
        AGE,
    ),
    ("networking.k8s.io", "IPAddress"): printer(
        NAME,
        (Column("ParentRef", description="What the address was given to."), derived(_parent)),
    ),
    ("networking.k8s.io", "Ingress"): printer(
        NAME,
        (
            Column("Class", description="The class that serves it."),
            text("spec", "ingressClassName", missing=NONE),
        ),
        (Column("Hosts", description="The first hosts of its rules."), derived(_hosts)),
        (
            Column("Address", description="Where its load balancer listens."),
            derived(lambda obj: ",".join(_balancer_addresses(obj))),
        ),
        (
            Column("Ports", description="443 is open with TLS only."),
            derived(lambda obj: "80, 443" if members_at(obj, "spec", "tls") else "80"),
        ),
        AGE,
    ),
    ("networking.k8s.io", "IngressClass"): printer(
        NAME,
        (Column("Controller", description="What serves the class."), text("spec", "controller")),
        (
            Column("Parameters", description="An object with more settings."),
            derived(_class_parameters),
        ),
        AGE,
    ),
    ("networking.k8s.io", "NetworkPolicy"): printer(
        NAME,
        (
            Column("Pod-Selector", description="The labels of the pods that it is for."),
            derived(
                lambda obj: (
                    selector_text(value_at(obj, "spec", "podSelector"), broken="<error>") or NONE
                )
            ),
        ),
        AGE,
    ),
    ("networking.k8s.io", "ServiceCIDR"): printer(
        NAME,
        (
            Column("CIDRs", description="The ranges that cluster addresses come from."),
            derived(lambda obj: ",".join(texts_at(obj, "spec", "cidrs"))),
        ),
        AGE,
    ),
}
"""(group, kind) -> how it is printed."""
