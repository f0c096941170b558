"""Whatever a client sends, the rules of its kind answer with an object and a list of what is wrong with it."""

import copy
from random import Random
from typing import Any

import orjson
import pytest
from verger.store.kinds import Kind
from verger.store.schemas import Type, TypeRef, load

from tests.store.rules.conftest import STORED, create, fitted, update

SCHEMAS = load()
DEPTH = 9
SEEDS = 30
"""Histories of each kind. They are the same in each run; a failure names its seed."""
LONG = "a" * 300

TEXTS = (
    "", "a", "b", "A b", "a.b", "example.com/x", "-1", "0", "80", "50%", "101%", "10.0.0.1", "127.0.0.1", "::1",
    "fd00::1", "10.0.0.0/8", "fd00::/8", "*", "*.a.b", "/", "/a", "../a", "None", "default", "Always", "Never", "cpu",
    "memory", "pods", "storage", "hugepages-2Mi", "*/5 * * * *", "@hourly", "TZ=UTC * * * * *", "$(A)", "metadata.name",
    "sha256:x", "system-node-critical", "\x00é\n", LONG,
)  # fmt: skip
WORDS = {
    "type": (
        "ClusterIP", "NodePort", "LoadBalancer", "ExternalName", "RollingUpdate", "Recreate", "OnDelete", "Resource",
        "Pods", "Object", "External", "ContainerResource", "Utilization", "Value", "AverageValue", "Percent",
        "Container", "Pod", "PersistentVolumeClaim", "Localhost", "RuntimeDefault", "Approved", "Denied",
        "CompletionTarget", "PodScheduled", "Directory", "File",
    ),
    "operator": ("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt", "Equal"),
    "restartPolicy": ("Always", "OnFailure", "Never"),
    "protocol": ("TCP", "UDP", "SCTP"),
    "effect": ("NoSchedule", "NoExecute", "PreferNoSchedule"),
    "completionMode": ("Indexed", "NonIndexed"),
    "action": ("FailJob", "Ignore", "Count", "FailIndex"),
    "kind": ("User", "Group", "ServiceAccount", "Role", "ClusterRole", "Deployment"),
    "apiGroup": ("", "rbac.authorization.k8s.io"),
    "accessModes": ("ReadWriteOnce", "ReadWriteOncePod", "ReadOnlyMany"),
    "scopes": ("BestEffort", "NotBestEffort", "Terminating", "PriorityClass"),
    "ipFamilies": ("IPv4", "IPv6"),
    "addressType": ("IPv4", "IPv6", "FQDN"),
    "key": ("metadata.name", "a", "example.com/x"),
}  # fmt: skip
INTEGERS = (-1, 0, 1, 2, 3, 80, 420, 600, 8080, 30000, 65535, 65536, 2**31 - 1, -(2**31))
QUANTITIES: tuple[Any, ...] = ("0", "1", "2", "100m", "1Gi", "-1", "1e3", "1.5", "9e99", "1n", 3)
ODD: tuple[Any, ...] = (None, {}, {"a": 1}, [], "x", 3, 1.5, False)


def some_value(ref: TypeRef, random: Random, depth: int, name: str) -> Any:
    match ref.shape:
        case "string":
            if ref.format == "byte":
                return random.choice(
                    ("", "YQ==", "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0=")
                )
            return random.choice(WORDS.get(name, TEXTS) if random.random() < 0.8 else TEXTS)
        case "integer":
            return random.choice(INTEGERS)
        case "number":
            return random.choice((0, 1.5, -1))
        case "boolean":
            return random.random() < 0.5
        case "list" if ref.item is not None:
            count = random.choice((0, 1, 1, 2)) if depth else 0
            return [some_value(ref.item, random, depth - 1, name) for _ in range(count)]
        case "map" if ref.item is not None:
            return {
                random.choice(TEXTS): some_value(ref.item, random, depth - 1, name)
                for _ in range(random.choice((0, 1, 2)) if depth else 0)
            }
        case "object" if ref.name:
            return some_struct(SCHEMAS.type(ref.name), random, depth)
        case "int-or-string":
            return random.choice((0, 1, -5, 80, "50%", "101%", "http", ""))
        case _:
            return random.choice(ODD)


def some_struct(type_: Type, random: Random, depth: int) -> Any:
    if type_.scalar is not None:
        if type_.short_name == "Quantity":
            return random.choice(QUANTITIES)
        if type_.short_name == "Time":
            return "2024-01-01T00:00:00Z"
        if type_.short_name == "MicroTime":
            return "2024-01-01T00:00:00.000000Z"
        return some_value(type_.scalar, random, depth, "")
    names = list(type_.fields)
    few = min(len(names), random.choice((0, 1, 2, 3, 4, 8, 40)) if depth > 0 else 0)
    return {
        name: None
        if random.random() < 0.03
        else some_value(type_.fields[name].type, random, depth - 1, name)
        for name in random.sample(names, few)
    }


def some_object(kind: Kind, random: Random) -> Any:
    """An object that fits the type, in which spec and status are usually there."""
    fields = SCHEMAS.type(kind.type_name).fields
    body = {}
    for name, field in fields.items():
        if name not in ("kind", "apiVersion", "metadata") and random.random() < 0.9:
            body[name] = some_value(field.type, random, DEPTH, name)
    labels = {random.choice(TEXTS): random.choice(TEXTS)} if random.random() < 0.3 else {}
    return {**body, "metadata": {"labels": labels}}


def mixed(mine: Any, other: Any, random: Random) -> Any:
    """A value in which some parts are those of the other one."""
    if isinstance(mine, dict) and isinstance(other, dict):
        keys = [key for key in {**mine, **other} if key in mine or random.random() < 0.3]
        return {
            key: mixed(mine[key], other.get(key, mine[key]), random) if key in mine else other[key]
            for key in keys
        }
    return other if random.random() < 0.1 else mine


@pytest.mark.parametrize("name", STORED)
def test_rules_answer_whatever_they_are_given(name: str) -> None:
    """Nothing raises; writing back what is stored changes nothing; stored objects are left alone."""
    for seed in range(SEEDS):
        write_and_write_again(STORED[name], seed)


def write_and_write_again(kind: Kind, seed: int) -> None:
    random = Random(seed)
    obj = some_object(kind, random)
    rules = kind.rules
    new, errors = create(kind, obj)
    orjson.dumps([new, [str(error) for error in errors]])
    rules.warnings(new, None)

    again = copy.deepcopy(new)
    rules.default(again)
    assert again == new

    before = copy.deepcopy(new)
    for subresource in ("", "status", *kind.subresources):
        same, _ = update(kind, new, new, subresource)
        assert same == new
    other = mixed(new, create(kind, some_object(kind, random))[0], random)
    for subresource in ("", "status", *kind.subresources):
        changed, errors = update(kind, new, other, subresource)
        orjson.dumps([changed, [str(error) for error in errors]])
        rules.warnings(changed, new)
    for label in rules.field_labels:
        assert isinstance(rules.field(new, label), str)
    assert (rules.grace_seconds(new, None) or 0) >= 0
    assert (rules.grace_seconds(new, -1) or 0) >= 0
    assert isinstance(rules.held(new), bool)
    assert new == before


@pytest.mark.parametrize("name", STORED)
def test_defaults_of_a_body_that_says_nothing_are_stable(name: str) -> None:
    """Defaulting twice is defaulting once."""
    kind = STORED[name]
    for body in ({}, {"spec": {}}, {"spec": {}, "status": {}}):
        new, _ = create(kind, fitted(kind, {**body, "metadata": {}}))
        once = copy.deepcopy(new)
        kind.rules.default(new)
        assert new == once
