"""Legacy tokens that nobody has used for a year are marked, and deleted after another one; all others stay.

A test begins 400 days after everything was made, so that the day that counts is day 35.
"""

from collections.abc import Callable
from typing import Any

import pytest
from verger.store.errors import Forbidden

from tests.controllers.clients import Fails, Meanwhile
from tests.controllers.harness import CLEANER, Cluster
from tests.controllers.objects import (
    Object,
    account,
    config_map,
    namespace,
    opaque_secret,
    pod,
    token_secret,
)

DAY = 86400.0
MAP = "kube-system/kube-apiserver-legacy-service-account-token-tracking"
SECRET = "default/token-1"
MARK = f"patch Secret {SECRET}"
DELETE = f"delete Secret {SECRET}"
INVALID, USED = "kubernetes.io/legacy-token-invalid-since", "kubernetes.io/legacy-token-last-used"
LONG_AGO, BEFORE, EXACT, AFTER = "2023-11-20", "2023-12-18", "2023-12-19", "2023-12-20"
"""Days around the one that counts: what happened on it or later was not long ago."""
TODAY = "2024-12-18"

Make = Callable[[], list[Object]]


def tracking(since: str = "2023-11-14") -> Object:
    return config_map(MAP, {"since": since})


def token(**labels: str) -> Object:
    """A token Secret with labels; underscores stand for the rest of their names."""
    names = {"invalid": INVALID, "used": USED}
    return token_secret(SECRET, labels={names[key]: value for key, value in labels.items()})


def using(**spec: Any) -> Object:
    """A pod that uses the Secret."""
    made = pod("default/user")
    made["spec"] |= spec
    return made


def container(**more: Any) -> list[Object]:
    return [{"name": "c", "image": "i", **more}]


async def world(*objects: Object, refers: bool = True, late: Object | None = None) -> Cluster:
    """A world of 400 days; `late` is made on the last one."""
    cluster = Cluster(CLEANER)
    references = ["token-1"] if refers else []
    await cluster.create(namespace("default"), namespace("kube-system"))
    await cluster.create(account("default/default", *references), *objects)
    await cluster.clock.advance(400 * DAY)
    if late is not None:
        await cluster.create(late)
    return cluster


async def done(cluster: Cluster) -> list[str]:
    """What one look has changed."""
    async with cluster.unsettled():
        return cluster.writes()


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        pytest.param({}, MARK, id="never used, not marked"),
        pytest.param({"invalid": "yesterday"}, MARK, id="never used, marked with no date"),
        pytest.param({"invalid": ""}, MARK, id="an empty mark"),
        pytest.param({"used": LONG_AGO}, MARK, id="used long ago"),
        pytest.param({"used": BEFORE}, MARK, id="used on the day before the one that counts"),
        pytest.param({"used": EXACT}, "", id="used on that day"),
        pytest.param({"used": AFTER}, "", id="used later"),
        pytest.param({"used": "2022-12-27-1"}, "", id="used nobody knows when"),
        pytest.param({"invalid": LONG_AGO}, DELETE, id="marked long ago"),
        pytest.param({"invalid": BEFORE}, DELETE, id="marked on the day before"),
        pytest.param({"invalid": EXACT}, "", id="marked on that day"),
        pytest.param({"invalid": AFTER}, "", id="marked not long ago"),
        pytest.param({"invalid": LONG_AGO, "used": LONG_AGO}, DELETE, id="both long ago"),
        pytest.param({"invalid": LONG_AGO, "used": AFTER}, "", id="marked, and used since"),
        pytest.param({"invalid": AFTER, "used": LONG_AGO}, "", id="its time is still to come"),
    ],
)
async def test_what_happens_to_a_token(labels: dict[str, str], expected: str) -> None:
    """By when it was used, and since when it is marked."""
    cluster = await world(tracking(), token(**labels))
    assert await done(cluster) == ([expected] if expected else [])
    if expected == MARK:
        secret = await cluster.get("Secret", SECRET)
        assert secret["metadata"]["labels"][INVALID] == TODAY
        assert "token" in secret["data"]
    assert await cluster.has("Secret", SECRET) == (expected != DELETE)


@pytest.mark.parametrize(
    "objects",
    [
        pytest.param(lambda: [token()], id="nobody notes the use of tokens"),
        pytest.param(lambda: [config_map(MAP), token()], id="since nobody knows when"),
        pytest.param(lambda: [tracking("x"), token()], id="since a day that is none"),
        pytest.param(lambda: [tracking(EXACT), token()], id="not for long enough"),
        pytest.param(lambda: [tracking(), opaque_secret(SECRET)], id="a Secret of another type"),
        pytest.param(
            lambda: [tracking(), token_secret(SECRET, uid="other")], id="of another account"
        ),
        pytest.param(
            lambda: [tracking(), token(), using(volumes=[volume()])], id="a pod mounts it"
        ),
        pytest.param(
            lambda: [tracking(), token(), using(imagePullSecrets=[{"name": "token-1"}])],
            id="a pod pulls with it",
        ),
        pytest.param(
            lambda: [
                tracking(),
                token(),
                using(containers=container(envFrom=[{"secretRef": {"name": "token-1"}}])),
            ],
            id="it is in an environment",
        ),
    ],
)
async def test_tokens_that_stay(objects: Make) -> None:
    """What is not surely unused is left alone."""
    cluster = await world(*objects())
    assert await done(cluster) == []


def volume() -> Object:
    return {"name": "v", "secret": {"secretName": "token-1"}}


async def test_tokens_that_somebody_made_stay() -> None:
    """Only those are cleaned up that an account refers to: the others were made by hand."""
    assert await done(await world(tracking(), token(), refers=False)) == []


async def test_young_tokens_stay() -> None:
    """A token has a year before it counts as unused."""
    assert await done(await world(tracking(), late=token())) == []


async def test_tokens_without_an_account_stay() -> None:
    """They are another controller's business."""
    cluster = await world(tracking(), token())
    await cluster.delete("ServiceAccount", "default/default")
    assert await done(cluster) == []


async def test_tokens_that_are_going_stay() -> None:
    """What is being deleted needs no mark."""
    cluster = await world(tracking(), token())
    await cluster.edit("Secret", SECRET, lambda o: o["metadata"].update(finalizers=["a/b"]))
    await cluster.delete("Secret", SECRET)
    assert await done(cluster) == []


async def test_since_counts_from_the_next_day() -> None:
    """Until that day was over not every use was noted: a year and a day have to pass."""
    cluster = await world(tracking("2023-12-19"), token())
    async with cluster.unsettled():
        assert cluster.writes() == []
        await cluster.clock.advance(DAY)
        assert cluster.writes() == [MARK]


async def test_whole_life() -> None:
    """Marked after a year, deleted after the next one; a look is taken once a day."""
    cluster = await world(tracking(), token())
    async with cluster.unsettled():
        looks = [call for call in cluster.calls(CLEANER) if call.verb == "get"]
        await cluster.clock.advance(DAY - 1)
        assert len([c for c in cluster.calls(CLEANER) if c.verb == "get"]) == len(looks)
        await cluster.clock.advance(1)
        assert len([c for c in cluster.calls(CLEANER) if c.verb == "get"]) == len(looks) + 1
        await cluster.clock.advance(363 * DAY)
        assert cluster.writes() == [MARK]
        await cluster.clock.advance(3 * DAY)
        assert cluster.writes() == [MARK, DELETE]


async def test_use_at_the_last_moment_saves_it() -> None:
    """A token that is used while it is about to be deleted stays."""
    cluster = await world(tracking(), token(invalid=LONG_AGO))

    async def happens() -> None:
        await cluster.edit(
            "Secret", SECRET, lambda o: o["metadata"]["labels"].update({USED: TODAY})
        )

    cluster.clients[CLEANER].taps.append(Meanwhile("delete", happens))
    assert await done(cluster) == [DELETE]
    assert await cluster.has("Secret", SECRET)


async def test_another_secret_of_that_name_is_not_marked() -> None:
    """The mark is for the very Secret that was looked at."""
    cluster = await world(tracking(), token())

    async def happens() -> None:
        await cluster.delete("Secret", SECRET)
        await cluster.create(token())

    cluster.clients[CLEANER].taps.append(Meanwhile("patch", happens))
    assert await done(cluster) == [MARK]
    secret = await cluster.get("Secret", SECRET)
    assert INVALID not in secret["metadata"].get("labels", {})


async def test_trouble_with_one_token_does_not_stop_the_others() -> None:
    """What fails is told of, and tried again the next day."""
    cluster = Cluster(CLEANER)
    await cluster.create(namespace("default"), namespace("kube-system"), tracking())
    await cluster.create(account("default/default", "a", "b"))
    await cluster.create(token_secret("default/a"), token_secret("default/b"))
    await cluster.clock.advance(400 * DAY)
    trouble = Fails("patch Secret default/a", lambda: Forbidden("no"), times=1)
    cluster.clients[CLEANER].taps.append(trouble)
    async with cluster.unsettled():
        assert cluster.writes() == ["patch Secret default/a", "patch Secret default/b"]
        assert cluster.log.said("warning") == ["not cleaned up"]
        await cluster.clock.advance(DAY)
        assert cluster.writes()[2:] == ["patch Secret default/a"]
