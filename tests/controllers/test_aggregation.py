"""A ClusterRole with an aggregation rule has the rules of all roles that its selectors choose."""

from typing import Any

import pytest

from tests.controllers.clients import Meanwhile
from tests.controllers.harness import AGGREGATION, RBAC, Cluster, some_kinds
from tests.controllers.objects import Object

GROUP = "rbac.authorization.k8s.io/v1"
SUM = "update ClusterRole sum"


def rule(verb: str, resource: str = "pods") -> Object:
    return {"verbs": [verb], "apiGroups": [""], "resources": [resource]}


def role(name: str, *rules: Object, **labels: str) -> Object:
    """A ClusterRole; labels are given as keywords."""
    metadata: Object = {"name": name}
    if labels:
        metadata["labels"] = labels
    return {"apiVersion": GROUP, "kind": "ClusterRole", "metadata": metadata, "rules": list(rules)}


def aggregate(
    name: str, *selectors: Object, rules: list[Object] | None = None, **labels: str
) -> Object:
    """A ClusterRole that is a sum."""
    made = role(name, *(rules or []), **labels)
    return {**made, "aggregationRule": {"clusterRoleSelectors": list(selectors)}}


def having(**labels: str) -> Object:
    return {"matchLabels": labels}


def cluster_of() -> Cluster:
    return Cluster(AGGREGATION, kinds=some_kinds("Namespace", "Event", *RBAC))


async def rules_of(cluster: Cluster, name: str = "sum") -> list[str]:
    """The rules of a role, as `verb resource`."""
    found = (await cluster.get("ClusterRole", name)).get("rules") or ()
    return [f"{item['verbs'][0]} {item['resources'][0]}" for item in found]


async def test_rules_are_summed_by_the_names_of_their_roles() -> None:
    """Each rule once, in one write; roles that are not chosen do not count."""
    cluster = cluster_of()
    await cluster.create(
        role("z", rule("get"), rule("list"), part="yes"),
        role("a", rule("watch"), rule("get"), part="yes"),
        role("other", rule("delete"), part="no"),
        role("bare", rule("create")),
        aggregate("sum", having(part="yes")),
    )
    async with cluster:
        assert await rules_of(cluster) == ["watch pods", "get pods", "list pods"]
        assert cluster.writes() == [SUM]


@pytest.mark.parametrize(
    ("selectors", "expected"),
    [
        pytest.param([having(a="1")], ["get x"], id="one label"),
        pytest.param([having(a="1", b="1")], [], id="both labels"),
        pytest.param([having(a="1"), having(b="1")], ["get x", "get y"], id="either of two"),
        pytest.param([having(a="1"), having(a="1")], ["get x"], id="twice the same"),
        pytest.param(
            [{"matchExpressions": [{"key": "b", "operator": "Exists"}]}], ["get y"], id="a key"
        ),
        pytest.param(
            [{"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}],
            ["get y", "get z"],
            id="no such key",
        ),
        pytest.param([{}], ["get x", "get y", "get z"], id="all, but not itself"),
        pytest.param([having(a="2")], [], id="none"),
    ],
)
async def test_selectors(selectors: list[Object], expected: list[str]) -> None:
    """Which roles are chosen."""
    cluster = cluster_of()
    await cluster.create(
        role("x", rule("get", "x"), a="1"),
        role("y", rule("get", "y"), b="1"),
        role("z", rule("get", "z")),
        aggregate("sum", *selectors),
    )
    async with cluster:
        assert await rules_of(cluster) == expected


async def changes(cluster: Cluster, what: str) -> None:
    """One of the things that change a sum."""
    if what == "rules":
        await cluster.update(role("x", rule("list"), part="yes"))
    elif what == "label":
        await cluster.update(role("x", rule("get")))
    elif what == "deletion":
        await cluster.delete("ClusterRole", "x")
    elif what == "another":
        await cluster.create(role("y", rule("list"), part="yes"))
    elif what == "selector":
        await cluster.update(aggregate("sum", having(part="no"), rules=[rule("get")]))
    elif what == "by hand":
        await cluster.update(aggregate("sum", having(part="yes"), rules=[rule("*", "*")]))
    elif what == "no sum any more":
        await cluster.update(role("sum", rule("*", "*")))


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        pytest.param("rules", ["list pods"], id="a role gets other rules"),
        pytest.param("label", [], id="a role is no longer chosen"),
        pytest.param("deletion", [], id="a role goes"),
        pytest.param("another", ["get pods", "list pods"], id="a role comes"),
        pytest.param("selector", [], id="the selector is another one"),
        pytest.param("by hand", ["get pods"], id="somebody writes rules into the sum"),
        pytest.param("no sum any more", ["* *"], id="it is no sum any more"),
    ],
)
async def test_sum_follows(what: str, expected: list[str]) -> None:
    """Whatever changes, the sum is right again when it is quiet."""
    cluster = cluster_of()
    await cluster.create(role("x", rule("get"), part="yes"), aggregate("sum", having(part="yes")))
    async with cluster:
        assert await rules_of(cluster) == ["get pods"]
        await changes(cluster, what)
        await cluster.settle()
        assert await rules_of(cluster) == expected


async def test_sums_of_sums() -> None:
    """view is part of edit, and edit of admin: a rule climbs all the way, and everything comes to rest."""
    cluster = cluster_of()
    await cluster.create(
        aggregate("admin", having(to="admin")),
        aggregate("edit", having(to="edit"), to="admin"),
        aggregate("view", having(to="view"), to="edit"),
        role("leaf", rule("get"), to="view"),
    )
    async with cluster:
        for name in ("view", "edit", "admin"):
            assert await rules_of(cluster, name) == ["get pods"]
        await cluster.delete("ClusterRole", "leaf")
        await cluster.settle()
        assert await rules_of(cluster, "admin") == []


async def test_sum_is_no_part_of_itself() -> None:
    """Though its own selector chooses it: what came from a role goes with that role."""
    cluster = cluster_of()
    await cluster.create(role("x", rule("get")), aggregate("sum", {}))
    async with cluster:
        assert await rules_of(cluster) == ["get pods"]
        await cluster.delete("ClusterRole", "x")
        await cluster.settle()
        assert await rules_of(cluster) == []


async def test_nothing_is_written_twice() -> None:
    """After a restart there is nothing to do, and what changes no rule is no reason to look."""
    cluster = cluster_of()
    await cluster.create(role("x", rule("get"), part="yes"), aggregate("sum", having(part="yes")))
    async with cluster:
        await cluster.restart()
        before = len(cluster.calls(AGGREGATION))
        await cluster.edit(
            "ClusterRole", "x", lambda o: o["metadata"].update(annotations={"a": "b"})
        )
        await cluster.settle()
        assert len(cluster.calls(AGGREGATION)) == before
        assert cluster.writes() == [SUM]


async def test_change_in_between_is_not_overwritten() -> None:
    """Who writes the sum at the same moment keeps what he wrote; then the rules are summed again."""
    cluster = cluster_of()
    await cluster.create(role("x", rule("get"), part="yes"), aggregate("sum", having(part="yes")))

    def labelled(obj: dict[str, Any]) -> None:
        obj["metadata"]["labels"] = {"mine": "yes"}

    async def happens() -> None:
        await cluster.edit("ClusterRole", "sum", labelled)

    cluster.clients[AGGREGATION].taps.append(Meanwhile("update", happens))
    async with cluster:
        found = await cluster.get("ClusterRole", "sum")
        assert found["metadata"]["labels"] == {"mine": "yes"}
        assert await rules_of(cluster) == ["get pods"]
        assert cluster.writes() == [SUM, SUM]
        assert cluster.manager.statistics()[AGGREGATION].retries == 1


async def test_sum_that_is_going_is_left_alone() -> None:
    """What is being deleted needs no rules."""
    cluster = cluster_of()
    made = aggregate("sum", having(part="yes"))
    made["metadata"]["finalizers"] = ["a/b"]
    await cluster.create(made, role("x", rule("get"), part="yes"))
    await cluster.delete("ClusterRole", "sum")
    async with cluster:
        assert cluster.writes() == []
