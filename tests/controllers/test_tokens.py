"""Token Secrets that users make: filled, healed, and gone with their account. No tokens of the controller's own here."""

import base64
from collections.abc import Mapping
from typing import Any

import pytest
from verger.identity.signing import SigningKey
from verger.store.errors import ServiceUnavailable
from verger.store.objects import uid_of

from tests.controllers.clients import Fails
from tests.controllers.harness import TOKENS, Cluster
from tests.controllers.objects import (
    ABSENT,
    ACCOUNT_NAME,
    ACCOUNT_UID,
    Object,
    account,
    empty_token_secret,
    namespace,
    opaque_secret,
    root_ca_map,
    token_secret,
)

MADE = "one/made"
COMPLETE = "Secret one/made for default: complete"
FILL = ["get Secret one/made", "update Secret one/made"]
GONE = ["get Secret one/made", "get ServiceAccount one/default"]
"""Whether the Secret is gone indeed, and whether anything refers to it: reads alone."""


def requested() -> Cluster:
    return Cluster(TOKENS, mode="on-request")


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def calls(cluster: Cluster, since: int = 0) -> list[str]:
    return [str(call) for call in cluster.calls(TOKENS)[since:]]


SHAPES = [
    pytest.param((account("one/default"),), id="no references"),
    pytest.param((account("one/default", "missing"),), id="a reference to a missing secret"),
    pytest.param(
        (account("one/default", "other"), opaque_secret("one/other")),
        id="a reference to an opaque secret",
    ),
    pytest.param(
        (account("one/default", "made"), token_secret(MADE)),
        id="a reference to a good token secret",
    ),
]


@pytest.mark.parametrize("given", SHAPES)
async def test_account_comes_or_changes(given: tuple[Object, ...]) -> None:
    """An account whose tokens are as they should be is no reason to ask the server for anything."""
    cluster = requested()
    await cluster.create(namespace("one"), *given)
    before = await cluster.picture()
    async with cluster:
        assert await cluster.picture() == before
        await cluster.label("ServiceAccount", "one/default")
        await cluster.settle()
        assert calls(cluster) == []


@pytest.mark.parametrize("given", SHAPES[:3])
async def test_account_without_tokens_goes(given: tuple[Object, ...]) -> None:
    """What else an account referred to stays."""
    cluster = requested()
    await cluster.create(namespace("one"), *given)
    async with cluster:
        await cluster.delete("ServiceAccount", "one/default")
        await cluster.settle()
        assert calls(cluster) == []
        assert await cluster.lines() == ["Secret one/other"] * (len(given) - 1)


async def test_account_with_a_token_goes() -> None:
    """Its token is deleted after a live look, by its uid."""
    cluster = requested()
    await cluster.create(namespace("one"), account("one/default", "made"), token_secret(MADE))
    async with cluster:
        uid = uid_of(await cluster.get("Secret", MADE))
        await cluster.delete("ServiceAccount", "one/default")
        await cluster.settle()
        look, delete, *rest = cluster.calls(TOKENS)
        assert str(look) == "get ServiceAccount one/default"
        assert str(delete) == "delete Secret one/made"
        assert delete.uid == uid
        assert [str(call) for call in rest] == ["create Event", *GONE]
        assert await cluster.lines() == []


async def test_account_goes_while_history_is_lost() -> None:
    """A deletion that only a new list shows is noticed like any other, with the state that was known last."""
    cluster = requested()
    await cluster.create(namespace("one"), account("one/default"), token_secret(MADE))
    async with cluster:
        await cluster.lose_history(lambda: cluster.delete("ServiceAccount", "one/default"))
        await cluster.settle()
        assert await cluster.lines() == []


async def test_secret_of_no_account_comes() -> None:
    """A token Secret whose account does not exist is deleted as soon as it is seen, after a live look."""
    async with requested() as cluster:
        await cluster.create(namespace("one"), empty_token_secret(MADE))
        await cluster.settle()
        assert calls(cluster) == [
            "get ServiceAccount one/default",
            "delete Secret one/made",
            "create Event",
            *GONE,
        ]
        assert await cluster.lines() == []


async def test_secret_of_no_account_changes() -> None:
    """A change is a new reason to look: what failed before is done at once."""
    cluster = requested()
    outage = Fails("delete Secret", lambda: ServiceUnavailable("down"), times=-1)
    cluster.clients[TOKENS].taps.append(outage)
    await cluster.create(namespace("one"), empty_token_secret(MADE))
    cluster.begin()
    try:
        await cluster.clock.advance()
        assert await cluster.has("Secret", MADE)
        outage.left = 0
        await cluster.label("Secret", MADE)
        await cluster.clock.advance()
        assert cluster.clock.monotonic() == 0
        assert await cluster.lines() == []
    finally:
        await cluster.stop()


async def test_complete_secret_is_left_alone() -> None:
    """Nothing is read or written for a Secret that is complete, whatever else changes about it."""
    cluster = requested()
    await cluster.create(namespace("one"), account("one/default"), token_secret(MADE))
    async with cluster:
        await cluster.label("Secret", MADE)
        await cluster.settle()
        assert calls(cluster) == []


LACKING = [
    pytest.param({"token": None}, id="token is missing"),
    pytest.param({"ca.crt": None}, id="ca.crt is missing"),
    pytest.param({"ca.crt": "wrong"}, id="ca.crt is wrong"),
    pytest.param({"namespace": None}, id="namespace is missing"),
    pytest.param({"token": "", "ca.crt": "", "namespace": ""}, id="all is there and empty"),
    pytest.param({"token": "scribble"}, id="token is healed after a scribble"),
    pytest.param({"token": "a.b.c"}, id="token is healed when it only looks like one"),
]


@pytest.mark.parametrize("change", LACKING)
async def test_incomplete_secret_comes(change: Mapping[str, str | None]) -> None:
    """What is missing is written, in one write, on top of what the Secret is now."""
    cluster = requested()
    lacks = [field for field, value in change.items() if value is None]
    has = {field: value for field, value in change.items() if value is not None}
    await cluster.create(
        namespace("one"), account("one/default"), token_secret(MADE, lacks=lacks, has=has)
    )
    async with cluster:
        assert calls(cluster) == FILL
        assert await cluster.lines("Secret") == [COMPLETE]


@pytest.mark.parametrize("change", LACKING)
async def test_complete_secret_is_damaged(change: Mapping[str, str | None]) -> None:
    """A change of a good Secret is taken back, and the repair is not done twice."""
    cluster = requested()
    await cluster.create(namespace("one"), account("one/default"), token_secret(MADE))
    async with cluster:

        def damage(obj: dict[str, Any]) -> None:
            for field, value in change.items():
                obj["data"].pop(field)
                if value is not None:
                    obj["data"][field] = encoded(value)

        await cluster.edit("Secret", MADE, damage)
        await cluster.settle()
        assert calls(cluster) == FILL
        assert await cluster.lines("Secret") == [COMPLETE]


async def test_namespace_of_somebody_s_own_is_kept() -> None:
    """The namespace in a Secret may say something else; foreign fields may be there too."""
    cluster = requested()
    special = token_secret(MADE, has={"namespace": "custom", "note": "mine"})
    await cluster.create(namespace("one"), account("one/default"), special)
    async with cluster:
        assert calls(cluster) == []
        assert await cluster.lines("Secret") == ["Secret one/made for default: namespace 'custom'"]


async def test_foreign_fields_survive_the_repair() -> None:
    """Only what is missing is written: labels, other annotations and other data stay."""
    cluster = requested()
    secret = empty_token_secret(MADE, labels={"a": "b"})
    secret["metadata"]["annotations"]["note"] = "mine"
    secret["stringData"] = {"note": "mine"}
    await cluster.create(namespace("one"), account("one/default"), secret)
    async with cluster:
        filled = await cluster.get("Secret", MADE)
        assert filled["metadata"]["labels"] == {"a": "b"}
        assert filled["metadata"]["annotations"]["note"] == "mine"
        assert filled["data"]["note"] == encoded("mine")
        assert await cluster.lines("Secret") == [COMPLETE]


async def test_complete_secret_without_uid_annotation_stays_without() -> None:
    """The annotation alone is no reason to write. upstream: needsServiceAccountToken and its fellows"""
    cluster = requested()
    good = token_secret(MADE, uid=ABSENT)
    await cluster.create(namespace("one"), account("one/default"), good)
    async with cluster:
        assert calls(cluster) == []
        assert await cluster.lines("Secret") == ["Secret one/made for default: no uid"]


async def test_secret_without_account_goes() -> None:
    """When both are gone there is nothing to write; upstream does not even look."""
    cluster = requested()
    await cluster.create(namespace("one"), account("one/default"), token_secret(MADE))
    async with cluster:
        await cluster.delete("Secret", MADE)
        await cluster.delete("ServiceAccount", "one/default")
        await cluster.settle()
        assert calls(cluster) == GONE


async def test_secret_with_a_reference_goes() -> None:
    """The account's only reference goes too: an empty list stays, not nothing."""
    cluster = requested()
    await cluster.create(namespace("one"), account("one/default", "made"), token_secret(MADE))
    async with cluster:
        await cluster.delete("Secret", MADE)
        await cluster.settle()
        assert calls(cluster) == [*GONE, "update ServiceAccount one/default"]
        assert (await cluster.get("ServiceAccount", "one/default"))["secrets"] == []


async def test_secret_without_a_reference_goes() -> None:
    """An account that does not refer to the Secret is not written."""
    cluster = requested()
    await cluster.create(namespace("one"), account("one/default", "other"), token_secret(MADE))
    async with cluster:
        await cluster.delete("Secret", MADE)
        await cluster.settle()
        assert calls(cluster) == GONE


async def test_other_references_stay_in_their_order() -> None:
    """Every entry of that name goes, and no other."""
    cluster = requested()
    referring = account("one/default", "b", "made", "a", "made", "missing")
    await cluster.create(namespace("one"), referring, token_secret(MADE), opaque_secret("one/a"))
    async with cluster:
        await cluster.delete("Secret", MADE)
        await cluster.settle()
        assert await cluster.references_of("one/default") == ["b", "a", "missing"]


async def test_secret_deleted_and_made_again_keeps_its_reference() -> None:
    """A reference is by name: it is kept as long as there is a Secret of that name. upstream strips it here."""
    cluster = requested()
    await cluster.create(namespace("one"), account("one/default", "made"), token_secret(MADE))
    async with cluster:
        await cluster.delete("Secret", MADE)
        await cluster.create(empty_token_secret(MADE))
        await cluster.settle()
        assert await cluster.references_of("one/default") == ["made"]
        assert await cluster.lines("Secret") == [COMPLETE]


async def test_secret_that_is_filled_is_not_referred_to() -> None:
    """A Secret that a user made is filled; the account does not come to refer to it."""
    async with requested() as cluster:
        await cluster.create(namespace("one"), account("one/default"), empty_token_secret(MADE))
        await cluster.settle()
        assert await cluster.lines("Secret", "ServiceAccount") == [
            COMPLETE,
            "ServiceAccount one/default",
        ]


async def test_token_of_another_key_is_taken_as_it_is() -> None:
    """After a change of keys the old tokens stay, since the old key may still be accepted; upstream never renews."""
    cluster = requested()
    await cluster.create(namespace("one"), account("one/default"), token_secret(MADE))
    cluster.key = SigningKey.generate()
    cluster.renew()
    async with cluster:
        assert calls(cluster) == []


@pytest.mark.parametrize(
    "uid",
    [
        pytest.param("another", id="a uid that nobody has"),
        pytest.param("the earlier one's", id="the uid of the account before"),
    ],
)
async def test_secret_of_an_earlier_account(uid: str) -> None:
    """The uid annotation decides which account a Secret belongs to, not the name alone."""
    cluster = requested()
    await cluster.create(namespace("one"), account("one/default"))
    if uid != "another":
        uid = uid_of(await cluster.get("ServiceAccount", "one/default"))
        await cluster.delete("ServiceAccount", "one/default")
        await cluster.create(account("one/default"))
    await cluster.create(token_secret(MADE, uid=uid), token_secret("one/kept"))
    async with cluster:
        assert await cluster.lines("Secret") == ["Secret one/kept for default: complete"]


async def test_immutable_secret_is_told_about_and_not_given_up() -> None:
    """A Secret that cannot be written gets an event, and other Secrets of its account get their tokens all the same."""
    cluster = requested()
    frozen = empty_token_secret("one/frozen")
    frozen["immutable"] = True
    await cluster.create(namespace("one"), account("one/default"), frozen)
    async with cluster.unsettled():
        await cluster.create(empty_token_secret(MADE))
        await cluster.clock.advance(60)
        (event,) = await cluster.all("Event", "one")
        assert event["reason"] == "TokenNotWritten"
        assert event["involvedObject"]["name"] == "frozen"
        assert event["count"] > 10
        assert COMPLETE in await cluster.lines("Secret")


async def test_secret_is_handed_to_another_account() -> None:
    """A Secret that comes to name another account gets that account's token and uid; the old token is not kept."""
    cluster = requested()
    await cluster.create(namespace("one"), account("one/default"), account("one/builder"))
    await cluster.create(token_secret(MADE))
    async with cluster:

        def hand_over(obj: dict[str, Any]) -> None:
            notes = obj["metadata"]["annotations"]
            notes[ACCOUNT_NAME] = "builder"
            del notes[ACCOUNT_UID]

        await cluster.edit("Secret", MADE, hand_over)
        await cluster.settle()
        assert await cluster.lines("Secret") == ["Secret one/made for builder: complete"]


async def test_secret_without_uid_of_an_account_that_is_replaced() -> None:
    """A Secret that any account of the name may have is given the token of the one that is there now."""
    cluster = requested()
    await cluster.create(namespace("one"), account("one/default"), token_secret(MADE))
    async with cluster:
        await cluster.edit("Secret", MADE, lambda o: o["metadata"]["annotations"].pop(ACCOUNT_UID))
        await cluster.settle()
        await cluster.delete("ServiceAccount", "one/default")
        await cluster.create(account("one/default"))
        await cluster.settle()
        assert await cluster.lines("Secret") == [COMPLETE]


async def test_other_types_of_secrets_are_not_touched() -> None:
    """Only the type makes a token Secret, not the annotation, and no other kind of object is touched."""
    cluster = requested()
    annotated = opaque_secret("one/annotated")
    annotated["metadata"]["annotations"] = {ACCOUNT_NAME: "nobody"}
    await cluster.create(namespace("one"), annotated, root_ca_map("one", "theirs"))
    before = await cluster.picture()
    async with cluster:
        await cluster.label("Secret", "one/annotated")
        await cluster.edit("Secret", "one/annotated", lambda o: o["metadata"].pop("labels"))
        await cluster.settle()
        assert calls(cluster) == []
        assert await cluster.picture() == before
