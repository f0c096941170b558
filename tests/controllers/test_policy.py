"""The default roles and bindings: what is missing comes back, and what somebody has added stays."""

from collections.abc import Callable
from typing import Any

import pytest
from verger.identity.policy import AUTOUPDATE, defaults, seed

from tests.controllers.clients import Meanwhile
from tests.controllers.harness import POLICY, RBAC, Cluster, some_kinds
from tests.controllers.objects import Object, namespace

VIEWER = "system:public-info-viewer"
MINE = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}
BOB = {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "bob"}


async def seeded() -> Cluster:
    """A cluster as a plane begins: everything is there."""
    cluster = Cluster(POLICY, kinds=some_kinds("Namespace", "Event", *RBAC))
    await cluster.create(namespace("kube-system"), namespace("kube-public"))
    seed(cluster.backend, cluster.clock.time())
    return cluster


def essence(obj: Any) -> Any:
    """What counts of a role or binding."""
    keys = ("rules", "subjects", "roleRef", "aggregationRule")
    meta = obj["metadata"]
    found = {key: obj.get(key) for key in keys if obj.get(key)}
    return {**found, "labels": meta.get("labels"), "annotations": meta.get("annotations")}


async def test_seeded_world_is_left_alone() -> None:
    """Nothing is written where everything is as it should be."""
    async with await seeded() as cluster:
        assert cluster.writes() == []
        await cluster.restart()
        assert cluster.writes() == []


async def test_empty_world_is_filled() -> None:
    """Without a seed the controller makes all of them, as the seed would."""
    cluster = Cluster(POLICY, kinds=some_kinds("Namespace", "Event", *RBAC))
    await cluster.create(namespace("kube-system"), namespace("kube-public"))
    async with cluster:
        assert len(cluster.writes()) == len(defaults())
        for default in defaults().values():
            key = f"{default.namespace}/{default.name}".removeprefix("/")
            assert essence(await cluster.get(default.kind, key)) == essence(default.object)
    again = await seeded()
    for kind in RBAC:
        for obj in await again.all(kind):
            default = defaults()[
                kind, obj["metadata"].get("namespace", ""), obj["metadata"]["name"]
            ]
            assert essence(obj) == essence(default.object)


Change = Callable[[dict[str, Any]], object]


def without(name: str) -> Change:
    """Takes everything of a list out."""
    return lambda obj: obj.update({name: []})


@pytest.mark.parametrize(
    ("kind", "name", "change"),
    [
        pytest.param("ClusterRole", VIEWER, without("rules"), id="a role without its rules"),
        pytest.param(
            "ClusterRole", VIEWER, lambda o: o["rules"][0].update(verbs=["post"]), id="other verbs"
        ),
        pytest.param("ClusterRoleBinding", VIEWER, without("subjects"), id="a binding of nobody"),
        pytest.param(
            "ClusterRoleBinding", VIEWER, lambda o: o["subjects"].pop(), id="one subject less"
        ),
        pytest.param(
            "ClusterRole",
            "view",
            lambda o: o["aggregationRule"].update(
                clusterRoleSelectors=[{"matchLabels": {"a": "b"}}]
            ),
            id="another selector",
        ),
        pytest.param(
            "ClusterRole", VIEWER, lambda o: o["metadata"].update(labels={}), id="no labels"
        ),
        pytest.param(
            "ClusterRole", VIEWER, lambda o: o["metadata"].update(annotations={}), id="no notes"
        ),
    ],
)
async def test_what_was_taken_out_comes_back(kind: str, name: str, change: Change) -> None:
    """In one write, and everything of it."""
    async with await seeded() as cluster:
        await cluster.edit(kind, name, change)
        await cluster.settle()
        assert cluster.writes() == [f"update {kind} {name}"]
        found = await cluster.get(kind, name)
        wanted = defaults()[kind, "", name].object
        assert found["metadata"]["labels"].items() >= wanted["metadata"]["labels"].items()
        assert found["metadata"]["annotations"] == wanted["metadata"]["annotations"]
        for key in ("rules", "subjects"):
            for item in wanted.get(key) or ():
                assert item in found[key]
        for item in (wanted.get("aggregationRule") or {}).get("clusterRoleSelectors", ()):
            assert item in found["aggregationRule"]["clusterRoleSelectors"]


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        pytest.param("ClusterRole", lambda o: o["rules"].append(MINE), id="a rule more"),
        pytest.param(
            "ClusterRoleBinding", lambda o: o["subjects"].append(BOB), id="a subject more"
        ),
        pytest.param(
            "ClusterRole", lambda o: o["metadata"]["labels"].update(mine="yes"), id="a label more"
        ),
        pytest.param(
            "ClusterRole",
            lambda o: o["rules"].insert(0, {"verbs": ["*"], "nonResourceURLs": ["*"]}),
            id="a rule that covers the others",
        ),
    ],
)
async def test_what_was_added_stays(kind: str, change: Change) -> None:
    """Whoever adds something is not told otherwise."""
    async with await seeded() as cluster:
        await cluster.edit(kind, VIEWER, change)
        await cluster.settle()
        before = essence(await cluster.get(kind, VIEWER))
        assert cluster.writes() == []
        await cluster.restart()
        assert essence(await cluster.get(kind, VIEWER)) == before


async def test_mending_keeps_what_was_added() -> None:
    """One rule out and another in: both are there afterwards."""
    async with await seeded() as cluster:
        await cluster.edit("ClusterRole", VIEWER, lambda o: o.update(rules=[MINE]))
        await cluster.settle()
        rules = (await cluster.get("ClusterRole", VIEWER))["rules"]
        assert rules == [MINE, *defaults()["ClusterRole", "", VIEWER].object["rules"]]


async def test_labels_that_differ_stay() -> None:
    """What is there wins, also where the default says something else."""
    async with await seeded() as cluster:
        label = "kubernetes.io/bootstrapping"
        await cluster.edit(
            "ClusterRole", VIEWER, lambda o: o["metadata"].update(labels={label: "mine"})
        )
        await cluster.settle()
        found = await cluster.get("ClusterRole", VIEWER)
        assert found["metadata"]["labels"] == {label: "mine"}


async def test_deleted_ones_come_back() -> None:
    """Roles and bindings, in namespaces and outside of them; also those that were deleted while nobody looked."""
    async with await seeded() as cluster:
        gone = [default for index, default in enumerate(defaults().values()) if index % 20 == 0]
        gone += [default for default in defaults().values() if default.namespace][:2]
        keys = {(d.kind, f"{d.namespace}/{d.name}".removeprefix("/")) for d in gone}
        for kind, key in keys:
            await cluster.delete(kind, key)
        await cluster.settle()
        assert all([await cluster.has(kind, key) for kind, key in keys])
        assert len(cluster.writes()) == len(keys)
        await cluster.stop()
        await cluster.delete("ClusterRole", VIEWER)
        cluster.renew()
        await cluster.start()
        assert await cluster.has("ClusterRole", VIEWER)


async def test_protected_ones_are_left_alone() -> None:
    """Whoever looks after one of them himself says so with an annotation."""
    async with await seeded() as cluster:

        def own(obj: dict[str, Any]) -> None:
            obj["metadata"]["annotations"] = {AUTOUPDATE: "false"}
            obj["rules"] = [MINE]

        await cluster.edit("ClusterRole", VIEWER, own)
        await cluster.settle()
        assert cluster.writes() == []
        assert (await cluster.get("ClusterRole", VIEWER))["rules"] == [MINE]


def binding_of(role: str, annotations: dict[str, str]) -> Object:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": VIEWER, "annotations": annotations},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [BOB],
    }


@pytest.mark.parametrize("protected", [False, True])
async def test_binding_of_another_role(protected: bool) -> None:
    """It cannot be changed, so it is made anew, with the default's subjects; unless somebody protects it."""
    cluster = await seeded()
    await cluster.delete("ClusterRoleBinding", VIEWER)
    await cluster.create(binding_of("cluster-admin", {AUTOUPDATE: "false"} if protected else {}))
    async with cluster:
        found = await cluster.get("ClusterRoleBinding", VIEWER)
        assert found["roleRef"]["name"] == ("cluster-admin" if protected else VIEWER)
        assert (BOB in found["subjects"]) is protected
        assert len(cluster.writes()) == (0 if protected else 2)


async def test_rules_of_a_sum_are_somebody_else_s_business() -> None:
    """What view, edit and admin may is summed up elsewhere."""
    async with await seeded() as cluster:
        await cluster.edit("ClusterRole", "view", lambda o: o.update(rules=[MINE]))
        await cluster.settle()
        assert cluster.writes() == []


async def test_others_are_nobody_s_business() -> None:
    """Roles and bindings that are no defaults."""
    async with await seeded() as cluster:
        made = {**binding_of("view", {}), "metadata": {"name": "mine"}}
        await cluster.create(made)
        await cluster.delete("ClusterRoleBinding", "mine")
        await cluster.settle()
        assert cluster.writes() == []


async def test_change_in_between_is_not_overwritten() -> None:
    """Who writes at the same moment keeps what he wrote, and the rest is mended after it."""
    cluster = await seeded()
    await cluster.edit("ClusterRole", VIEWER, lambda o: o.update(rules=[]))

    async def happens() -> None:
        await cluster.edit("ClusterRole", VIEWER, lambda o: o.update(rules=[MINE]))

    cluster.clients[POLICY].taps.append(Meanwhile("update", happens))
    async with cluster:
        rules = (await cluster.get("ClusterRole", VIEWER))["rules"]
        assert rules == [MINE, *defaults()["ClusterRole", "", VIEWER].object["rules"]]
        assert cluster.manager.statistics()[POLICY].retries == 1
