"""In mode auto every account has one token of the controller's own, and refers to it."""

from typing import Any

import pytest
from verger.store.errors import Forbidden, InternalError, Invalid
from verger.store.objects import uid_of

from tests.controllers.clients import Call, Fails, Meanwhile, Side
from tests.controllers.harness import TOKENS, Cluster
from tests.controllers.objects import (
    CURRENT,
    account,
    empty_token_secret,
    namespace,
    opaque_secret,
    token_secret,
)

OWN = "Secret one/default-token-* for default: complete"
WRITES = ["create Secret one/default-token-*", "update ServiceAccount one/default"]
ACCOUNT = "one/default"


async def one_account(*references: str) -> Cluster:
    """A cluster with one namespace and one account."""
    cluster = Cluster(TOKENS)
    await cluster.create(namespace("one"), account(ACCOUNT, *references))
    return cluster


async def test_new_account() -> None:
    """An account gets a complete token, named after it, and a reference: one live look and two writes."""
    async with await one_account() as cluster:
        assert [str(c) for c in cluster.calls(TOKENS)] == ["list Secret one", *WRITES]
        assert await cluster.lines() == [
            OWN,
            "ServiceAccount one/default refers to default-token-*",
        ]


@pytest.mark.parametrize(
    "reference",
    [
        pytest.param("missing", id="a reference to a secret that is missing"),
        pytest.param("other", id="a reference to an opaque secret"),
        pytest.param("made", id="a reference to a token that a user made"),
    ],
)
async def test_account_refers_to_something_else(reference: str) -> None:
    """A token of ours is made all the same, and its reference comes behind those that are there."""
    cluster = await one_account(reference)
    await cluster.create(opaque_secret("one/other"), token_secret("one/made"))
    async with cluster:
        own = await cluster.tokens_of(ACCOUNT)
        assert len(own) == 1
        assert await cluster.references_of(ACCOUNT) == [reference, *own]
        assert cluster.writes() == WRITES


async def test_restart_finds_everything_as_it_should_be() -> None:
    """Nothing is asked of the server for an account that has its token."""
    async with await one_account() as cluster:
        seen = len(cluster.calls(TOKENS))
        await cluster.restart()
        assert len(cluster.calls(TOKENS)) == seen


async def test_names_are_new_for_each_try() -> None:
    """A creation that fails is tried again under another name, for ever."""
    cluster = await one_account()
    cluster.clients[TOKENS].taps.append(
        Fails("create Secret", lambda: InternalError("broken"), times=20)
    )
    async with cluster:
        tried = [call.exact for call in cluster.calls(TOKENS) if call.verb == "create"]
        assert len(tried) == len(set(tried)) == 21
        assert await cluster.lines("Secret") == [OWN]


async def test_taken_name_is_left_alone() -> None:
    """AlreadyExists means that somebody has that name: another one is taken, and theirs is not touched."""
    cluster = await one_account()
    theirs: list[str] = []

    async def squat(call: Call, side: Side) -> None:
        if side == "before" and str(call).startswith("create Secret") and not theirs:
            theirs.append(call.exact)
            await cluster.create(opaque_secret(call.exact))

    cluster.clients[TOKENS].taps.append(squat)
    async with cluster:
        (own,) = [n for n in await cluster.tokens_of(ACCOUNT) if f"one/{n}" not in theirs]
        assert await cluster.references_of(ACCOUNT) == [own]
        assert (await cluster.get("Secret", theirs[0]))["type"] == "Opaque"


async def test_reference_is_dropped() -> None:
    """A reference that a user takes away comes back, to the token that is there: no second one is made."""
    async with await one_account() as cluster:
        before = await cluster.tokens_of(ACCOUNT)
        await cluster.edit("ServiceAccount", ACCOUNT, lambda o: o.pop("secrets"))
        await cluster.settle()
        assert await cluster.tokens_of(ACCOUNT) == before
        assert await cluster.references_of(ACCOUNT) == before
        assert cluster.writes() == [*WRITES, WRITES[1]]


async def test_token_is_revoked() -> None:
    """A token that a user deletes does not come back: the next one has another name, and the reference follows."""
    async with await one_account("kept") as cluster:
        (before,) = await cluster.tokens_of(ACCOUNT)
        await cluster.delete("Secret", f"one/{before}")
        await cluster.settle()
        (after,) = await cluster.tokens_of(ACCOUNT)
        assert after != before
        assert await cluster.references_of(ACCOUNT) == ["kept", after]


async def test_token_is_revoked_while_nobody_looks() -> None:
    """The reference to a token of ours that went while the controller was down goes too."""
    async with await one_account("kept") as cluster:
        (before,) = await cluster.tokens_of(ACCOUNT)
        await cluster.stop()
        await cluster.delete("Secret", f"one/{before}")
        cluster.renew()
        await cluster.start()
        own = await cluster.tokens_of(ACCOUNT)
        assert own != [before]
        assert await cluster.references_of(ACCOUNT) == ["kept", *own]


async def test_token_is_scribbled_over() -> None:
    """A token of ours that is damaged is healed where it is."""
    async with await one_account() as cluster:
        (own,) = await cluster.tokens_of(ACCOUNT)
        await cluster.edit("Secret", f"one/{own}", lambda o: o["data"].update(token="c2NyaWJibGU="))
        await cluster.settle()
        assert await cluster.tokens_of(ACCOUNT) == [own]
        assert await cluster.lines("Secret") == [OWN]


async def test_account_is_replaced() -> None:
    """Another account of the same name gets another token; that of the first one goes."""
    async with await one_account() as cluster:
        (before,) = await cluster.tokens_of(ACCOUNT)
        await cluster.delete("ServiceAccount", ACCOUNT)
        await cluster.create(account(ACCOUNT))
        await cluster.settle()
        (after,) = await cluster.tokens_of(ACCOUNT)
        assert after != before
        assert await cluster.references_of(ACCOUNT) == [after]
        assert await cluster.lines("Secret") == [OWN]


async def test_account_changes_while_its_token_is_made() -> None:
    """The reference is added to the account as it is then: the change of somebody else is kept, no second token is made."""
    cluster = await one_account()
    cluster.clients[TOKENS].taps.append(
        Meanwhile("update ServiceAccount", lambda: cluster.label("ServiceAccount", ACCOUNT))
    )
    async with cluster:
        own = await cluster.tokens_of(ACCOUNT)
        assert len(own) == 1
        found = await cluster.get("ServiceAccount", ACCOUNT)
        assert found["secrets"] == [{"name": own[0]}]
        assert "touched" in found["metadata"]["labels"]
        assert cluster.manager.statistics()[TOKENS].retries == 1


async def test_account_goes_while_its_token_is_made() -> None:
    """A token that was made for an account that has gone goes after it."""
    cluster = await one_account()
    cluster.clients[TOKENS].taps.append(
        Meanwhile("create Secret", lambda: cluster.delete("ServiceAccount", ACCOUNT), side="after")
    )
    async with cluster:
        assert await cluster.lines() == []
        assert cluster.manager.statistics()[TOKENS].retries == 1


async def test_account_that_has_been_deleted_gets_none() -> None:
    """An account that waits for a finalizer gets nothing any more, and keeps what it has."""
    cluster = Cluster(TOKENS)
    held = account(ACCOUNT, finalizers=["example.com/hold"])
    await cluster.create(namespace("one"), held)
    await cluster.delete("ServiceAccount", ACCOUNT)
    async with cluster:
        await cluster.label("ServiceAccount", ACCOUNT)
        await cluster.settle()
        assert cluster.writes() == []


@pytest.mark.parametrize(
    ("error", "told"),
    [
        pytest.param(lambda: Forbidden("exceeded quota"), True, id="quota"),
        pytest.param(lambda: Invalid("nonsense"), True, id="invalid"),
        pytest.param(lambda: InternalError("broken"), False, id="a fault of the server"),
    ],
)
async def test_token_is_refused(error: Any, told: bool) -> None:
    """What only a user can mend is told on the account; the token comes as soon as it may."""
    cluster = await one_account()
    cluster.clients[TOKENS].taps.append(Fails("create Secret", error, times=2))
    async with cluster:
        events = await cluster.all("Event", "one")
        assert [(e["reason"], e["count"]) for e in events] == [("TokenRefused", 2)] * told
        assert all(e["involvedObject"]["kind"] == "ServiceAccount" for e in events)
        assert await cluster.lines("Secret") == [OWN]


async def test_namespace_terminates_while_a_token_is_made() -> None:
    """The refusal with the cause NamespaceTerminating is final: one try, no event."""
    cluster = await one_account()
    await cluster.delete("Namespace", "one")
    async with cluster:
        assert cluster.writes() == WRITES[:1]
        assert cluster.manager.statistics()[TOKENS].retries == 0
        assert await cluster.all("Event") == []


async def test_two_processes_made_one_each() -> None:
    """Of two tokens of ours the one that is referred to stays, and the other one goes."""
    cluster = await one_account("default-token-zzzzz")
    for suffix in ("bbbbb", "zzzzz", "ccccc"):
        await cluster.create(token_secret(f"one/default-token-{suffix}", uid=CURRENT))
    async with cluster:
        assert await cluster.tokens_of(ACCOUNT) == ["default-token-zzzzz"]
        assert await cluster.references_of(ACCOUNT) == ["default-token-zzzzz"]


async def test_token_of_an_earlier_run_is_adopted() -> None:
    """A token that was made by a run that did not live to refer to it is referred to, and no other is made."""
    cluster = await one_account()
    await cluster.create(token_secret("one/default-token-bbbbb", uid=CURRENT))
    async with cluster:
        assert cluster.writes() == WRITES[1:]
        assert await cluster.references_of(ACCOUNT) == ["default-token-bbbbb"]


async def test_token_of_ours_lingers() -> None:
    """A token that was deleted and waits for a finalizer is none any more: another one is made at once."""
    async with await one_account() as cluster:
        (before,) = await cluster.tokens_of(ACCOUNT)
        await cluster.edit(
            "Secret", f"one/{before}", lambda o: o["metadata"].update(finalizers=["example.com/x"])
        )
        await cluster.delete("Secret", f"one/{before}")
        await cluster.settle()
        assert len(await cluster.tokens_of(ACCOUNT)) == 2
        await cluster.edit("Secret", f"one/{before}", lambda o: o["metadata"].pop("finalizers"))
        await cluster.settle()
        (after,) = await cluster.tokens_of(ACCOUNT)
        assert await cluster.references_of(ACCOUNT) == [after]


@pytest.mark.parametrize("length", [50, 51, 52, 63, 200])
async def test_long_names(length: int) -> None:
    """The name of a token is as long as a generated name may be, and is known again when it is seen again."""
    cluster = Cluster(TOKENS)
    names = [f"{'a' * (length - 1)}{end}" for end in "xy"]
    await cluster.create(namespace("one"), *(account(f"one/{name}") for name in names))
    async with cluster:
        for name in names:
            (token,) = await cluster.references_of(f"one/{name}")
            assert len(token) == min(length + len("-token-"), 58) + 5
        before = await cluster.picture()
        writes = len(cluster.writes())
        await cluster.restart()
        assert await cluster.picture() == before
        assert len(cluster.writes()) == writes


async def test_each_account_has_its_own() -> None:
    """Accounts of one namespace and accounts of one name do not meet."""
    cluster = Cluster(TOKENS)
    names = [f"{space}/{name}" for space in ("one", "two") for name in ("a", "a-token-bbbbb", "b")]
    await cluster.create(namespace("one"), namespace("two"), *map(account, names))
    async with cluster:
        for name in names:
            (token,) = await cluster.references_of(name)
            assert len(f"{name.split('/')[0]}/{token}") == len(f"{name}-token-*") + 4
            assert await cluster.has("Secret", f"{name.split('/')[0]}/{token}")
        assert len(await cluster.all("Secret")) == len(names)


async def test_mode_on_request_makes_none_and_takes_none() -> None:
    """Tokens of an earlier mode stay, as what they are: Secrets that somebody made."""
    cluster = Cluster(TOKENS, mode="on-request")
    await cluster.create(
        namespace("one"), account(ACCOUNT), account("one/other", "other-token-bbbbb")
    )
    await cluster.create(token_secret("one/other-token-bbbbb", "other", uid=CURRENT))
    async with cluster:
        assert cluster.writes() == []


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("default-token-mine", id="another word"),
        pytest.param("default-token-bbbb", id="a character less"),
        pytest.param("default-token-bbbbbb", id="a character more"),
        pytest.param("default-token-aeiou", id="characters that no generated name has"),
        pytest.param("default-bbbbb", id="another beginning"),
    ],
)
async def test_secret_of_a_user_stays_beside_ours(name: str) -> None:
    """What a user made is filled and does not count as ours, unless its name is just like ours."""
    async with await one_account() as cluster:
        (own,) = await cluster.tokens_of(ACCOUNT)
        await cluster.create(empty_token_secret(f"one/{name}"))
        await cluster.settle()
        assert {secret["metadata"]["name"] for secret in await cluster.all("Secret")} == {own, name}
        assert await cluster.references_of(ACCOUNT) == [own]
        await cluster.restart()
        assert await cluster.has("Secret", f"one/{name}")


async def test_without_a_root_ca() -> None:
    """Without an authority nothing is said about one, and what is there is left alone."""
    cluster = Cluster(TOKENS, root_ca="")
    theirs = token_secret("one/made", has={"ca.crt": "theirs"})
    await cluster.create(namespace("one"), account(ACCOUNT), theirs)
    async with cluster:
        (own,) = await cluster.tokens_of(ACCOUNT)
        assert "ca.crt" not in (await cluster.get("Secret", f"one/{own}"))["data"]
        assert cluster.writes() == WRITES


async def test_token_is_deleted_by_its_uid() -> None:
    """A token that took the name of a superfluous one in the meantime is not deleted in its stead."""
    cluster = await one_account("default-token-zzzzz")
    for suffix in ("bbbbb", "zzzzz"):
        await cluster.create(token_secret(f"one/default-token-{suffix}", uid=CURRENT))
    superfluous = uid_of(await cluster.get("Secret", "one/default-token-bbbbb"))

    async def replace() -> None:
        await cluster.delete("Secret", "one/default-token-bbbbb")
        await cluster.create(opaque_secret("one/default-token-bbbbb"))

    cluster.clients[TOKENS].taps.append(Meanwhile("delete Secret", replace))
    async with cluster:
        (deletion,) = [call for call in cluster.calls(TOKENS) if call.verb == "delete"]
        assert deletion.uid == superfluous
        assert (await cluster.get("Secret", "one/default-token-bbbbb"))["type"] == "Opaque"
