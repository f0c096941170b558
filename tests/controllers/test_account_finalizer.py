"""Pods that run with what their account said before carry a label, so that they can be listed; nothing is stopped."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from verger.identity.finalizer import (
    RECEIVED_CONTEXT,
    RECEIVED_SECRETS,
    SECRETS,
    SECURITY_CONTEXT,
    digest,
)

from tests.controllers.clients import Meanwhile
from tests.controllers.harness import ACCOUNT_PODS, Cluster
from tests.controllers.objects import Object, account, namespace, pod

OLD, NEW = {"runAsUser": 1}, {"runAsUser": 2}
LABEL = "verger.dev/outdated"


def giver(context: Mapping[str, Any] | None = None, secrets: str = "", name: str = "sa") -> Object:
    """An account that has something for its pods."""
    notes = {SECURITY_CONTEXT: json.dumps(context)} if context else {}
    if secrets:
        notes[SECRETS] = secrets
    return account(f"one/{name}", annotations=notes)


def runner(
    name: str,
    context: Mapping[str, Any] | None = None,
    secrets: tuple[str, ...] = (),
    **spec: Any,
) -> Object:
    """A pod of account one/sa, and what it has received."""
    notes = {RECEIVED_CONTEXT: digest(context)} if context else {}
    if secrets:
        notes[RECEIVED_SECRETS] = digest(secrets)
    made = pod(f"one/{name}", annotations=notes)
    made["spec"] |= {"serviceAccountName": "sa", **spec}
    return made


async def cluster_with(*objects: Object) -> Cluster:
    cluster = Cluster(ACCOUNT_PODS)
    await cluster.create(namespace("one"), *objects)
    return cluster


async def labelled(cluster: Cluster) -> list[str]:
    """The pods that carry the label."""
    return [
        str(found["metadata"]["name"])
        for found in await cluster.all("Pod")
        if (found["metadata"].get("labels") or {}).get(LABEL) == "true"
    ]


@pytest.mark.parametrize(
    ("gives", "made", "outdated"),
    [
        pytest.param(giver(OLD), runner("p", OLD), False, id="it runs with what is said"),
        pytest.param(giver(NEW), runner("p", OLD), True, id="another context is said now"),
        pytest.param(giver(), runner("p", OLD), True, id="none is said now"),
        pytest.param(giver(), runner("p"), False, id="none was said, and none is"),
        pytest.param(giver(NEW), runner("p"), True, id="one is said now"),
        pytest.param(
            giver(NEW),
            runner("p", securityContext={"runAsUser": 7}),
            False,
            id="it brought a context of its own",
        ),
        pytest.param(giver(secrets="a,b"), runner("p", None, ("a", "b")), False, id="its Secrets"),
        pytest.param(giver(secrets="a"), runner("p", None, ("a", "b")), True, id="one Secret less"),
        pytest.param(giver(secrets="b,a"), runner("p", None, ("a", "b")), True, id="other order"),
        pytest.param(
            giver(secrets="a"),
            runner("p", volumes=[{"name": "v", "secret": {"secretName": "own"}}]),
            False,
            id="it mounts a Secret of its own",
        ),
        pytest.param(
            account("one/sa", annotations={SECURITY_CONTEXT: "{"}),
            runner("p", OLD),
            False,
            id="nobody understands what is said",
        ),
    ],
)
async def test_outdated(gives: Object, made: Object, outdated: bool) -> None:
    """A pod is outdated when it would receive something else if it were made now."""
    async with await cluster_with(gives, made) as cluster:
        assert await labelled(cluster) == (["p"] if outdated else [])
        await cluster.restart()
        assert cluster.writes() == ["patch Pod one/p"] * outdated


async def test_account_changes_and_changes_back() -> None:
    """The label comes with the one change and goes with the other; an event on the account tells how many there are."""
    objects = (giver(OLD), runner("a", OLD), runner("b", OLD), runner("c", OLD))
    async with await cluster_with(*objects) as cluster:
        assert cluster.writes() == []
        await cluster.update(giver(NEW))
        await cluster.settle()
        assert await labelled(cluster) == ["a", "b", "c"]
        (event,) = await cluster.all("Event")
        assert event["reason"] == "PodsOutdated"
        assert event["involvedObject"]["name"] == "sa"
        assert ": 3; the label verger.dev/outdated=true lists them" in event["message"]
        await cluster.update(giver(OLD))
        await cluster.settle()
        assert await labelled(cluster) == []
        assert len(await cluster.all("Event")) == 1


async def test_pods_come_and_are_looked_at() -> None:
    """One that was made while its account changed is noticed, too."""
    async with await cluster_with(giver(NEW)) as cluster:
        await cluster.create(runner("late", OLD), runner("right", NEW))
        await cluster.settle()
        assert await labelled(cluster) == ["late"]


async def test_label_that_somebody_else_wrote_is_mended() -> None:
    """What the label says is true."""
    async with await cluster_with(giver(OLD), runner("a", OLD), runner("b", NEW)) as cluster:

        def claim(obj: dict[str, Any]) -> None:
            obj["metadata"]["labels"] = {LABEL: "true", "mine": "yes"}

        await cluster.edit("Pod", "one/a", claim)
        await cluster.edit("Pod", "one/b", lambda o: o["metadata"].update(labels={}))
        await cluster.settle()
        assert await labelled(cluster) == ["b"]
        found = await cluster.get("Pod", "one/a")
        assert found["metadata"]["labels"] == {"mine": "yes"}


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
async def test_pods_that_have_ended_are_left_alone(phase: str) -> None:
    """They run with nothing any more."""
    made = {**runner("p", OLD), "status": {"phase": phase}}
    cluster = await cluster_with(giver(NEW))
    await cluster.create(made)
    stored = {**await cluster.get("Pod", "one/p"), "status": {"phase": phase}}
    await cluster.user.update(cluster.named("Pod"), stored, subresource="status")
    async with cluster:
        assert cluster.writes() == []


async def test_pods_of_others_are_left_alone() -> None:
    """Another account's change concerns other pods."""
    other = runner("p", OLD, serviceAccountName="other")
    async with await cluster_with(giver(NEW), giver(OLD, name="other"), other) as cluster:
        assert cluster.writes() == []
        await cluster.delete("ServiceAccount", "one/other")
        await cluster.settle()
        assert cluster.writes() == []


async def test_pod_that_goes_meanwhile() -> None:
    """It needs no label, and the one that came in its place is another one."""
    cluster = await cluster_with(giver(NEW), runner("p", OLD))

    async def happens() -> None:
        await cluster.user.delete(cluster.named("Pod"), "p", "one")
        await cluster.create(runner("p", NEW))

    cluster.clients[ACCOUNT_PODS].taps.append(Meanwhile("patch Pod", happens))
    async with cluster:
        assert await labelled(cluster) == []
        assert await cluster.all("Event") == []
        assert cluster.manager.statistics()[ACCOUNT_PODS].retries == 0
