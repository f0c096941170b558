"""Ingresses, IngressClasses and NetworkPolicies: what is filled in, what is refused, what stays."""

from typing import Any

import pytest

from tests.store.rules.conftest import ABSENT, at, change_refusals, changed, put, refusals, stored

BACKEND: dict[str, Any] = {"service": {"name": "s", "port": {"number": 80}}}
INGRESS: dict[str, Any] = {
    "spec": {
        "rules": [
            {
                "host": "a.b",
                "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": BACKEND}]},
            }
        ]
    }
}
CLASS: dict[str, Any] = {
    "spec": {"controller": "a.b/c", "parameters": {"kind": "K", "name": "n"}},
}
POLICY: dict[str, Any] = {
    "spec": {"ingress": [{"from": [{"podSelector": {}}], "ports": [{"port": 80}]}]}
}
BODIES = {"Ingress": INGRESS, "IngressClass": CLASS, "NetworkPolicy": POLICY}
PATH = "spec/rules/0/http/paths/0"
AT = "spec.rules[0].http.paths[0]"


@pytest.mark.parametrize(
    ("kind", "path", "value", "where", "expected"),
    [
        pytest.param(
            "Ingress",
            "status",
            {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}},
            "status",
            {"loadBalancer": {}},
            id="nobody serves a new ingress",
        ),
        pytest.param(
            "IngressClass",
            "spec/x",
            ABSENT,
            "spec/parameters/scope",
            "Cluster",
            id="parameters are the cluster's",
        ),
        pytest.param(
            "NetworkPolicy",
            "spec/x",
            ABSENT,
            "spec/policyTypes",
            ["Ingress"],
            id="a policy is about what comes in",
        ),
        pytest.param(
            "NetworkPolicy",
            "spec/egress",
            [{}],
            "spec/policyTypes",
            ["Ingress", "Egress"],
            id="and about what goes out, when it says so",
        ),
        pytest.param(
            "NetworkPolicy",
            "spec/x",
            ABSENT,
            "spec/ingress/0/ports",
            [{"port": 80, "protocol": "TCP"}],
            id="ports are TCP's",
        ),
        pytest.param(
            "NetworkPolicy", "spec/x", ABSENT, "spec/podSelector", {}, id="about all pods"
        ),
    ],
)
def test_what_is_left_out_is_filled_in(
    kind: str, path: str, value: Any, where: str, expected: Any
) -> None:
    """Defaults are upstream's."""
    assert at(stored(kind, put(BODIES[kind], path, value)), where) == expected


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        pytest.param(
            "spec",
            {},
            ["spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"],
            id="no way in",
        ),
        pytest.param(
            f"{PATH}/pathType",
            ABSENT,
            [f"{AT}.pathType: Required value: pathType must be specified"],
            id="no type of path",
        ),
        pytest.param(
            f"{PATH}/path",
            "a",
            [f'{AT}.path: Invalid value: "a": must be an absolute path'],
            id="a relative path",
        ),
        pytest.param(
            f"{PATH}/path",
            "/a//b",
            [f"{AT}.path: Invalid value: \"/a//b\": must not contain '//'"],
            id="an empty step",
        ),
        pytest.param(
            f"{PATH}/backend",
            {},
            [f'{AT}.backend: Invalid value: "": resource or service backend is required'],
            id="a path that leads nowhere",
        ),
        pytest.param(
            f"{PATH}/backend/service/port",
            {},
            [f"{AT}.backend: Required value: port name or number is required"],
            id="a service without its port",
        ),
        pytest.param(
            f"{PATH}/backend/service/port",
            {"number": 80, "name": "http"},
            [f'{AT}.backend: Invalid value: "": cannot set both port name & port number'],
            id="a port by number and name",
        ),
        pytest.param(
            "spec/rules/0/host",
            "1.2.3.4",
            ['spec.rules[0].host: Invalid value: "1.2.3.4": must be a DNS name, not an IP address'],
            id="an address for a host",
        ),
        pytest.param("spec/rules/0/host", "*.a.b", [], id="any host below a domain"),
        pytest.param(
            "spec/rules/0/http/paths",
            [],
            ["spec.rules[0].http.paths: Required value"],
            id="no paths",
        ),
    ],
)
def test_an_ingress_that_leads_nowhere_is_refused(
    path: str, value: Any, expected: list[str]
) -> None:
    """The sentences are those that clients know from upstream."""
    assert refusals("Ingress", put(INGRESS, path, value)) == expected


def test_class_of_an_ingress_is_said_once() -> None:
    """Or twice, if both say the same."""
    body = put(INGRESS, "metadata/annotations", {"kubernetes.io/ingress.class": "old"})
    assert refusals("Ingress", put(body, "spec/ingressClassName", "old")) == []
    assert refusals("Ingress", put(body, "spec/ingressClassName", "new")) == [
        'annotations.kubernetes.io/ingress.class: Invalid value: "old": must match `ingressClassName` when both are '
        "specified"
    ]


@pytest.mark.parametrize(
    ("kind", "path", "value", "expected"),
    [
        pytest.param(
            "IngressClass",
            "spec/controller",
            "c",
            [
                'spec.controller: Invalid value: "c": must be a domain-prefixed path (such as "acme.io/foo")'
            ],
            id="a controller without a domain",
        ),
        pytest.param(
            "IngressClass",
            "spec/parameters/scope",
            "Namespace",
            ["spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'"],
            id="parameters of no namespace",
        ),
        pytest.param(
            "IngressClass",
            "spec/parameters/namespace",
            "ns",
            ["spec.parameters.namespace: Forbidden: `parameters.scope` is set to 'Cluster'"],
            id="parameters of a namespace that is not meant",
        ),
        pytest.param(
            "NetworkPolicy",
            "spec/ingress/0/from",
            [{}],
            ["spec.ingress[0].from[0]: Required value: must specify a peer"],
            id="from nobody",
        ),
        pytest.param(
            "NetworkPolicy",
            "spec/ingress/0/from/0/ipBlock",
            {"cidr": "10.0.0.0/8"},
            ["spec.ingress[0].from[0]: Forbidden: may not specify both ipBlock and another peer"],
            id="by address and by label",
        ),
        pytest.param(
            "NetworkPolicy",
            "spec/ingress/0/from/0",
            {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}},
            [
                'spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "11.0.0.0/16": must be a strict subset of `cidr`'
            ],
            id="but for what is not meant anyway",
        ),
        pytest.param(
            "NetworkPolicy",
            "spec/ingress/0/from/0",
            {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8"]}},
            [
                'spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "10.0.0.0/8": must be a strict subset of `cidr`'
            ],
            id="but for all of it",
        ),
        pytest.param(
            "NetworkPolicy",
            "spec/ingress/0/from/0",
            {"ipBlock": {"cidr": "10.0.0.0"}},
            [
                'spec.ingress[0].from[0].ipBlock.cidr: Invalid value: "10.0.0.0": must be a valid CIDR value, (e.g. '
                "10.9.8.0/24 or 2001:db8::/64)"
            ],
            id="an address that is no range",
        ),
        pytest.param(
            "NetworkPolicy",
            "spec/ingress/0/ports/0/endPort",
            79,
            [
                "spec.ingress[0].ports[0].endPort: Invalid value: 79: must be greater than or equal to `port`"
            ],
            id="ports that end before they begin",
        ),
        pytest.param(
            "NetworkPolicy",
            "spec/policyTypes",
            ["Sideways"],
            [
                'spec.policyTypes[0]: Unsupported value: "Sideways": supported values: "Ingress", "Egress"'
            ],
            id="an unknown direction",
        ),
    ],
)
def test_what_means_nobody_is_refused(
    kind: str, path: str, value: Any, expected: list[str]
) -> None:
    """The sentences are those that clients know from upstream."""
    assert refusals(kind, put(BODIES[kind], path, value)) == expected


def test_controller_of_a_class_stays() -> None:
    """Its parameters may change."""
    assert change_refusals("IngressClass", CLASS, "spec/controller", "a.b/d") == [
        'spec.controller: Invalid value: "a.b/d": field is immutable'
    ]
    assert change_refusals("IngressClass", CLASS, "spec/parameters/name", "m") == []


@pytest.mark.parametrize("kind", BODIES)
def test_generation_counts_changes_of_the_spec(kind: str) -> None:
    """Labels do not count."""
    spec = {
        "Ingress": ("spec/ingressClassName", "c"),
        "IngressClass": ("spec/parameters/name", "m"),
        "NetworkPolicy": ("spec/podSelector", {"matchLabels": {"a": "b"}}),
    }
    assert changed(kind, BODIES[kind], *spec[kind])["metadata"]["generation"] == 2
    labels = changed(kind, BODIES[kind], "metadata/labels", {"l": "1"})
    assert labels["metadata"]["generation"] == 1
