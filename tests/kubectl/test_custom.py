"""kubectl and kinds that it has never heard of: define, wait, apply both ways, get, explain, scale, delete."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kubectl.conftest import Kubectl

GROUP = "crew.example.com"
DEFINITION: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"ships.{GROUP}"},
    "spec": {
        "group": GROUP,
        "scope": "Namespaced",
        "names": {"plural": "ships", "kind": "Ship", "shortNames": ["shp"], "categories": ["all"]},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "additionalPrinterColumns": [
                    {"name": "Crew", "type": "integer", "jsonPath": ".spec.crew"}
                ],
                "subresources": {
                    "status": {},
                    "scale": {
                        "specReplicasPath": ".spec.crew",
                        "statusReplicasPath": ".status.crew",
                    },
                },
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "properties": {
                                    "crew": {
                                        "type": "integer",
                                        "description": "How many sail with it.",
                                    },
                                    "port": {"type": "string", "enum": ["bow", "stern"]},
                                },
                            },
                            "status": {
                                "type": "object",
                                "x-kubernetes-preserve-unknown-fields": True,
                            },
                        },
                    }
                },
            }
        ],
    },
}


def ship(name: str, **spec: Any) -> str:
    return json.dumps(
        {"apiVersion": f"{GROUP}/v1", "kind": "Ship", "metadata": {"name": name}, "spec": spec}
    )


@pytest.fixture
def ships(kubectl: Kubectl) -> Iterator[Kubectl]:
    """A kubectl to a server that knows ships."""
    kubectl("apply", "-f", "-", stdin=json.dumps(DEFINITION))
    kubectl("wait", "--for=condition=established", f"crd/ships.{GROUP}", "--timeout=20s")
    yield kubectl
    kubectl("delete", "crd", f"ships.{GROUP}")


def test_a_new_kind_is_used_like_any_other(ships: Kubectl) -> None:
    """Short names, columns and categories are those of the definition."""
    ships("apply", "-f", "-", stdin=ship("a", crew=3))
    listed = ships("get", "shp").split("\n")
    assert [line.split() for line in listed[:2]] == [["NAME", "CREW"], ["a", "3"]]
    assert f"ship.{GROUP}/a" in ships("get", "all", "-o", "name")
    assert ships.json("get", "ship", "a")["spec"] == {"crew": 3}


def test_both_ways_to_apply_work(ships: Kubectl) -> None:
    """What a client applies no more is removed; what another one owns stays."""
    ships("apply", "-f", "-", stdin=ship("b", crew=3, port="bow"))
    ships("apply", "-f", "-", stdin=ship("b", crew=4))
    assert ships.json("get", "ship", "b")["spec"] == {"crew": 4}
    for manager, spec in (("x", {"crew": 4}), ("y", {"port": "stern"})):
        how = ("apply", "--server-side", f"--field-manager={manager}", "-f", "-")
        ships(*how, stdin=ship("s", **spec))
    assert ships.json("get", "ship", "s")["spec"] == {"crew": 4, "port": "stern"}


def test_the_schema_is_explained(ships: Kubectl) -> None:
    """kubectl reads it from the OpenAPI document."""
    assert "How many sail with it." in ships("explain", "ship.spec.crew")


def test_a_bad_object_is_refused(ships: Kubectl) -> None:
    """People read what is wrong, and where."""
    done = ships.run("apply", "-f", "-", stdin=ship("c", port="port"))
    assert done.returncode == 1
    assert 'spec.port: Unsupported value: "port": supported values: "bow", "stern"' in done.stderr


def test_a_new_kind_is_scaled(ships: Kubectl) -> None:
    """The paths of the definition say what is counted."""
    ships("apply", "-f", "-", stdin=ship("d", crew=1))
    ships("scale", "ship/d", "--replicas=5")
    assert ships.json("get", "ship", "d")["spec"] == {"crew": 5}


def test_objects_go_with_their_kind(kubectl: Kubectl) -> None:
    """kubectl waits for the definition, which waits for its objects."""
    kubectl("apply", "-f", "-", stdin=json.dumps(DEFINITION))
    kubectl("wait", "--for=condition=established", f"crd/ships.{GROUP}", "--timeout=20s")
    kubectl("apply", "-f", "-", stdin=ship("e", crew=1))
    kubectl("delete", "crd", f"ships.{GROUP}")
    assert kubectl.run("get", "ships").returncode == 1
