"""Services: their addresses and ports, what is refused, and what stays for as long as they live."""

import ipaddress
from typing import Any

import pytest
from verger.store.rules.serviceaddresses import CLUSTER_RANGE, NODE_PORTS, derived_address

from tests.store.rules.conftest import (
    ABSENT,
    STORED,
    at,
    change_refusals,
    changed,
    create,
    put,
    refusals,
    stored,
    update,
)

SERVICE: dict[str, Any] = {"spec": {"selector": {"a": "b"}, "ports": [{"port": 80}]}}
NODES = put(SERVICE, "spec/type", "NodePort")
BALANCED = put(SERVICE, "spec/type", "LoadBalancer")
ONCE = "may not change once set"
LABEL_1035 = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')"
)


@pytest.mark.parametrize(
    ("path", "value", "where", "expected"),
    [
        pytest.param("spec/x", ABSENT, "spec/type", "ClusterIP", id="type"),
        pytest.param("spec/x", ABSENT, "spec/sessionAffinity", "None", id="affinity"),
        pytest.param("spec/x", ABSENT, "spec/internalTrafficPolicy", "Cluster", id="traffic"),
        pytest.param("spec/x", ABSENT, "spec/ipFamilies", ["IPv4"], id="families"),
        pytest.param("spec/x", ABSENT, "spec/ipFamilyPolicy", "SingleStack", id="policy"),
        pytest.param(
            "spec/x",
            ABSENT,
            "spec/ports",
            [{"port": 80, "protocol": "TCP", "targetPort": 80}],
            id="a port leads to the same port",
        ),
        pytest.param("spec/x", ABSENT, "status", {"loadBalancer": {}}, id="status"),
        pytest.param(
            "spec/sessionAffinity",
            "ClientIP",
            "spec/sessionAffinityConfig",
            {"clientIP": {"timeoutSeconds": 10800}},
            id="clients stay for three hours",
        ),
        pytest.param("spec/clusterIP", "None", "spec/clusterIPs", ["None"], id="headless"),
        pytest.param(
            "spec/type",
            "NodePort",
            "spec/externalTrafficPolicy",
            "Cluster",
            id="traffic from outside",
        ),
        pytest.param(
            "spec/type",
            "LoadBalancer",
            "spec/allocateLoadBalancerNodePorts",
            True,
            id="load balancers come over the nodes",
        ),
    ],
)
def test_what_a_service_leaves_out_is_filled_in(
    path: str, value: Any, where: str, expected: Any
) -> None:
    """Defaults are upstream's."""
    assert at(stored("Service", put(SERVICE, path, value)), where) == expected


def test_address_is_in_the_range_and_depends_on_the_uid_alone() -> None:
    """The same service gets the same address, behind those that are chosen by hand."""
    spec = stored("Service", SERVICE)["spec"]
    assert spec["clusterIPs"] == [spec["clusterIP"]]
    address = ipaddress.ip_address(spec["clusterIP"])
    assert address in CLUSTER_RANGE
    assert int(address) - int(CLUSTER_RANGE.network_address) >= 256
    assert spec["clusterIP"] == stored("Service", NODES)["spec"]["clusterIP"]
    assert derived_address("one") != derived_address("another")


def test_ports_on_the_nodes_are_all_different() -> None:
    """Each port gets one that no other port of the service has."""
    ports = [{"port": number, "name": f"p{number}"} for number in range(1, 60)]
    ports[3]["nodePort"] = 30000
    found = [port["nodePort"] for port in stored("Service", put(NODES, "spec/ports", ports))["spec"]["ports"]]  # fmt: skip
    assert found[3] == 30000
    assert len(set(found)) == len(found)
    assert set(found) <= set(NODE_PORTS)


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        pytest.param("spec/ports", [], ["spec.ports: Required value"], id="no ports"),
        pytest.param(
            "spec/ports/0/port",
            0,
            [
                "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
                "spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive",
            ],
            id="a port that is none",
        ),
        pytest.param(
            "spec/ports/1",
            {"port": 81},
            [
                "spec.ports[0].name: Required value",
                "spec.ports[1].name: Required value",
            ],
            id="two ports need names",
        ),
        pytest.param(
            "spec/type",
            "Door",
            [
                'spec.type: Unsupported value: "Door": supported values: "ClusterIP", "ExternalName", "LoadBalancer", '
                '"NodePort"'
            ],
            id="an unknown type",
        ),
        pytest.param(
            "spec/type",
            "ExternalName",
            ["spec.externalName: Required value"],
            id="an external name that is missing",
        ),
        pytest.param(
            "spec/clusterIP",
            "10.0.0.300",
            [
                'spec.clusterIPs[0]: Invalid value: "10.0.0.300": must be a valid IP address, (e.g. 10.9.8.7 or '
                "2001:db8::ffff)"
            ],
            id="an address that is none",
        ),
        pytest.param(
            "spec/ports/0/nodePort",
            30001,
            [
                "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
            ],
            id="a port on the nodes, inside of the cluster",
        ),
        pytest.param(
            "spec/sessionAffinity",
            "Cookie",
            [
                'spec.sessionAffinity: Unsupported value: "Cookie": supported values: "ClientIP", "None"'
            ],
            id="an unknown affinity",
        ),
        pytest.param(
            "spec/externalTrafficPolicy",
            "Local",
            [
                'spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services'
            ],
            id="traffic from outside that does not come",
        ),
        pytest.param(
            "spec/loadBalancerSourceRanges",
            ["10.0.0.0/8"],
            [
                "spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'"
            ],
            id="ranges of no load balancer",
        ),
        pytest.param(
            "metadata",
            {"name": "1a"},
            [f'metadata.name: Invalid value: "1a": {LABEL_1035}'],
            id="a name that begins with a digit",
        ),
        pytest.param(
            "spec/externalIPs",
            ["127.0.0.1"],
            [
                'spec.externalIPs[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)'
            ],
            id="an external address that leads nowhere",
        ),
    ],
)
def test_a_service_that_leads_nowhere_is_refused(
    path: str, value: Any, expected: list[str]
) -> None:
    """The sentences are those that clients know from upstream."""
    assert refusals("Service", put(SERVICE, path, value)) == expected


def test_port_on_the_nodes_is_one_of_theirs() -> None:
    """upstream asks the allocator last."""
    assert refusals("Service", put(NODES, "spec/ports/0/nodePort", 80)) == [
        "spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is "
        "30000-32767"
    ]


@pytest.mark.parametrize(
    ("body", "path", "value", "expected"),
    [
        pytest.param(SERVICE, "spec/ports/0/port", 81, [], id="a port"),
        pytest.param(SERVICE, "spec/type", "NodePort", [], id="the type"),
        pytest.param(
            put(SERVICE, "spec/clusterIP", "10.96.1.1"),
            "spec",
            {"clusterIP": "10.96.1.2", "ports": [{"port": 80}]},
            [f'spec.clusterIPs[0]: Invalid value: ["10.96.1.2"]: {ONCE}'],
            id="the address",
        ),
        pytest.param(
            put(BALANCED, "spec/loadBalancerClass", "a.b/c"),
            "spec/loadBalancerClass",
            "a.b/d",
            [f'spec.loadBalancerClass: Invalid value: "a.b/d": {ONCE}'],
            id="the class of the load balancer",
        ),
        pytest.param(
            put(BALANCED, "spec/externalTrafficPolicy", "Local"),
            "spec/healthCheckNodePort",
            31000,
            ["spec.healthCheckNodePort: Forbidden: field is immutable"],
            id="the port of the health checks",
        ),
    ],
)
def test_addresses_of_a_service_stay(
    body: dict[str, Any], path: str, value: Any, expected: list[str]
) -> None:
    """Clients keep them."""
    assert change_refusals("Service", body, path, value) == expected


@pytest.mark.parametrize(
    ("key", "value"),
    [
        pytest.param("type", "NodePort", id="ports on the nodes"),
        pytest.param("ipFamilyPolicy", "PreferDualStack", id="a policy that was chosen"),
        pytest.param("clusterIP", "10.96.0.7", id="an address that was chosen"),
    ],
)
def test_update_that_leaves_out_what_was_allocated_keeps_it(key: str, value: str) -> None:
    """A client need not know what the server chose, nor say again what it chose itself."""
    old = stored("Service", put(SERVICE, f"spec/{key}", value))
    body = NODES if key == "type" else SERVICE
    new, errors = update(STORED["Service"], old, {**body, "metadata": old["metadata"]})
    assert (new, errors) == (old, [])


@pytest.mark.parametrize(
    ("kind", "lost"),
    [
        pytest.param("ClusterIP", ["externalTrafficPolicy"], id="to inside: no ports on the nodes"),
        pytest.param(
            "ExternalName",
            ["externalTrafficPolicy", "clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"],
            id="to a name: no address",
        ),
    ],
)
def test_what_the_type_lacks_goes_with_the_old_type(kind: str, lost: list[str]) -> None:
    """Even when the client sends it back."""
    body = put(NODES, "spec/externalName", "a.b")
    spec = changed("Service", body, "spec/type", kind)["spec"]
    assert not {*lost} & {*spec}
    assert not any("nodePort" in port for port in spec["ports"])


def test_list_of_ports_that_is_empty_is_not_written() -> None:
    """A refused service looks as it was sent, and as it would when it is sent again."""
    new, errors = create(STORED["Service"], put(NODES, "spec/ports", ABSENT))
    assert [str(error) for error in errors] == ["spec.ports: Required value"]
    assert "ports" not in new["spec"]
    for kind in ("NodePort", "ClusterIP"):
        again, _ = update(STORED["Service"], new, put(new, "spec/type", kind))
        assert "ports" not in again["spec"]
