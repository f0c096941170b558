"""What a controller has in its cache is old news: it looks live before it deletes, and loses no change of others."""

from typing import Any

import pytest
from verger.store.objects import uid_of

from tests.controllers.clients import Meanwhile
from tests.controllers.harness import ALL, TOKENS, Cluster
from tests.controllers.objects import (
    ABSENT,
    ACCOUNT_NAME,
    ACCOUNT_UID,
    CURRENT,
    ROOT_CA_MAP,
    account,
    empty_token_secret,
    namespace,
    token_secret,
)

ACCOUNT = "one/default"
MADE = "one/made"
COMPLETE = "Secret one/made for default: complete"


def hand_to(name: str) -> Any:
    """What a user does who gives a token Secret to another account."""

    def change(obj: dict[str, Any]) -> None:
        notes = obj["metadata"]["annotations"]
        notes[ACCOUNT_NAME] = name
        notes.pop(ACCOUNT_UID, None)

    return change


async def test_own_writes_are_seen_by_the_next_decision() -> None:
    """While the news of its own Secret are on their way, the controller makes no second one, whatever happens."""
    cluster = Cluster(TOKENS)
    await cluster.create(namespace("one"))
    async with cluster:
        cluster.informers.hold("Secret")
        await cluster.create(account(ACCOUNT))
        await cluster.clock.advance()
        for _ in range(5):
            await cluster.edit("ServiceAccount", ACCOUNT, lambda o: o.pop("secrets", None))
            await cluster.clock.advance(1)
        assert len(await cluster.tokens_of(ACCOUNT)) == 1
        cluster.informers.release()
        await cluster.settle()
        assert len(await cluster.tokens_of(ACCOUNT)) == 1
        assert await cluster.references_of(ACCOUNT) == await cluster.tokens_of(ACCOUNT)


async def test_reference_that_the_cache_has_not_seen_is_not_written_again() -> None:
    """The Secret comes back before the account does: the controller knows what it has written, and writes nothing."""
    cluster = Cluster(TOKENS)

    async def fall_behind() -> None:
        cluster.informers.hold("ServiceAccount")

    cluster.clients[TOKENS].taps.append(Meanwhile("create Secret", fall_behind))
    await cluster.create(namespace("one"), account(ACCOUNT))
    async with cluster:
        assert cluster.writes() == [
            "create Secret one/default-token-*",
            "update ServiceAccount one/default",
        ]


async def test_reference_that_goes_while_the_cache_is_behind_comes_back() -> None:
    """What was written is believed for as long as the cache shows something older, and no longer."""
    cluster = Cluster(TOKENS)
    await cluster.create(namespace("one"), account(ACCOUNT))
    async with cluster:
        cluster.informers.hold("ServiceAccount")
        await cluster.delete("Secret", f"one/{(await cluster.tokens_of(ACCOUNT))[0]}")
        await cluster.clock.advance(1)
        await cluster.edit("ServiceAccount", ACCOUNT, lambda o: o.pop("secrets"))
        await cluster.clock.advance(1)
        cluster.informers.release()
        await cluster.settle()
        assert len(await cluster.tokens_of(ACCOUNT)) == 1
        assert await cluster.references_of(ACCOUNT) == await cluster.tokens_of(ACCOUNT)


async def test_account_that_the_cache_has_not_seen() -> None:
    """A Secret whose account is there in truth is kept and filled."""
    async with Cluster(TOKENS, mode="on-request") as cluster:
        cluster.informers.hold("ServiceAccount")
        await cluster.create(namespace("one"), account(ACCOUNT), empty_token_secret(MADE))
        await cluster.settle()
        assert await cluster.lines("Secret") == [COMPLETE]
        assert not [call for call in cluster.calls(TOKENS) if call.verb == "delete"]


async def test_account_that_has_been_replaced_in_truth() -> None:
    """A Secret of the new account is kept although the cache shows the old one; that of the old one is deleted."""
    cluster = Cluster(TOKENS, mode="on-request")
    await cluster.create(namespace("one"), account(ACCOUNT), token_secret("one/old"))
    async with cluster:
        cluster.informers.hold("ServiceAccount")
        await cluster.delete("ServiceAccount", ACCOUNT)
        await cluster.create(account(ACCOUNT), token_secret(MADE, uid=CURRENT))
        await cluster.settle()
        assert COMPLETE in await cluster.lines("Secret")
        cluster.informers.release()
        await cluster.settle()
        assert await cluster.lines("Secret") == [COMPLETE]


async def test_account_that_has_gone_in_truth() -> None:
    """A Secret that is filled for an account that has gone meanwhile goes as soon as that is known."""
    cluster = Cluster(TOKENS)
    await cluster.create(namespace("one"), account(ACCOUNT))
    async with cluster:
        cluster.informers.hold("ServiceAccount")
        await cluster.delete("ServiceAccount", ACCOUNT)
        await cluster.create(empty_token_secret(MADE))
        await cluster.settle()
        cluster.informers.release()
        await cluster.settle()
        assert await cluster.lines("Secret") == []


async def test_secret_that_has_been_replaced_in_truth() -> None:
    """The deletion of an orphan names its uid: another Secret that has taken its name stays."""
    cluster = Cluster(TOKENS, mode="on-request")

    async def replace() -> None:
        await cluster.delete("Secret", MADE)
        await cluster.create(token_secret(MADE, "builder"))
        cluster.informers.hold("Secret")

    cluster.clients[TOKENS].taps.append(Meanwhile("delete Secret", replace))
    await cluster.create(
        namespace("one"), account("one/builder"), empty_token_secret(MADE, "ghost")
    )
    async with cluster:
        cluster.informers.release()
        await cluster.settle()
        assert await cluster.lines("Secret") == ["Secret one/made for builder: complete"]


async def test_orphan_that_is_handed_to_another_account_meanwhile() -> None:
    """A Secret that names an account that exists is not deleted because of the one that it named before."""
    cluster = Cluster(TOKENS, mode="on-request")
    cluster.clients[TOKENS].taps.append(
        Meanwhile(
            "get ServiceAccount one/ghost",
            lambda: cluster.edit("Secret", MADE, hand_to("builder")),
            side="after",
        )
    )
    await cluster.create(
        namespace("one"), account("one/builder"), empty_token_secret(MADE, "ghost")
    )
    async with cluster:
        assert await cluster.lines("Secret") == ["Secret one/made for builder: complete"]


async def test_secret_that_is_handed_to_another_account_before_it_is_filled() -> None:
    """A Secret is filled for the account that it names in truth, not for the one that the cache shows."""
    cluster = Cluster(TOKENS, mode="on-request")
    cluster.clients[TOKENS].taps.append(
        Meanwhile("get Secret", lambda: cluster.edit("Secret", MADE, hand_to("builder")))
    )
    await cluster.create(namespace("one"), account(ACCOUNT), account("one/builder"))
    await cluster.create(empty_token_secret(MADE))
    async with cluster:
        assert await cluster.lines("Secret") == ["Secret one/made for builder: complete"]


async def test_secret_that_is_completed_by_somebody_else() -> None:
    """What is missing is judged on the live object: a namespace that a user wrote meanwhile is kept."""
    cluster = Cluster(TOKENS, mode="on-request")
    cluster.clients[TOKENS].taps.append(
        Meanwhile(
            "get Secret",
            lambda: cluster.edit(
                "Secret", MADE, lambda o: o.update(data={"namespace": "Y3VzdG9t"})
            ),
        )
    )
    await cluster.create(namespace("one"), account(ACCOUNT), empty_token_secret(MADE))
    async with cluster:
        assert await cluster.lines("Secret") == ["Secret one/made for default: namespace 'custom'"]


async def test_secret_that_changes_while_it_is_written() -> None:
    """The write is on top of what was read: it is refused, and the next one keeps the change."""
    cluster = Cluster(TOKENS, mode="on-request")
    cluster.clients[TOKENS].taps.append(
        Meanwhile("update Secret", lambda: cluster.label("Secret", MADE))
    )
    await cluster.create(namespace("one"), account(ACCOUNT), empty_token_secret(MADE))
    async with cluster:
        filled = await cluster.get("Secret", MADE)
        assert "touched" in filled["metadata"]["labels"]
        assert await cluster.lines("Secret") == [COMPLETE]
        assert cluster.manager.statistics()[TOKENS].retries == 1


async def test_superfluous_token_is_looked_at_live() -> None:
    """Of two tokens in the cache one has gone in truth: the other one is not deleted for its sake."""
    cluster = Cluster(TOKENS)
    await cluster.create(namespace("one"), account(ACCOUNT, "default-token-bbbbb"))
    for suffix in ("bbbbb", "ccccc"):
        await cluster.create(token_secret(f"one/default-token-{suffix}", uid=CURRENT))

    async def revoke() -> None:
        await cluster.delete("Secret", "one/default-token-bbbbb")
        cluster.informers.hold("Secret")

    cluster.informers.taps.append(Meanwhile("list Secret", revoke, side="after"))
    cluster.begin()
    await cluster.clock.advance(1)
    cluster.informers.release()
    await cluster.settle()
    assert await cluster.tokens_of(ACCOUNT) == ["default-token-ccccc"]
    assert await cluster.references_of(ACCOUNT) == ["default-token-ccccc"]
    await cluster.stop()


async def test_reference_to_a_secret_that_is_there_again() -> None:
    """A reference is removed only when there is no Secret of that name in truth."""
    cluster = Cluster(TOKENS, mode="on-request")
    await cluster.create(namespace("one"), account(ACCOUNT, "made"), token_secret(MADE))
    async with cluster:

        async def again() -> None:
            cluster.informers.hold("Secret")
            await cluster.create(empty_token_secret(MADE))

        cluster.clients[TOKENS].taps.append(Meanwhile("get Secret", again))
        await cluster.delete("Secret", MADE)
        await cluster.settle()
        assert await cluster.references_of(ACCOUNT) == ["made"]
        cluster.informers.release()
        await cluster.settle()
        assert await cluster.lines() == [COMPLETE, "ServiceAccount one/default refers to made"]


async def test_account_that_changes_while_a_reference_is_removed() -> None:
    """The other change is kept, and the reference goes all the same."""
    cluster = Cluster(TOKENS, mode="on-request")
    await cluster.create(namespace("one"), account(ACCOUNT, "made"), token_secret(MADE))
    cluster.clients[TOKENS].taps.append(
        Meanwhile("update ServiceAccount", lambda: cluster.label("ServiceAccount", ACCOUNT))
    )
    async with cluster:
        await cluster.delete("Secret", MADE)
        await cluster.settle()
        found = await cluster.get("ServiceAccount", ACCOUNT)
        assert found["secrets"] == []
        assert "touched" in found["metadata"]["labels"]


@pytest.mark.parametrize("slow", ["Namespace", "ServiceAccount", "Secret", "ConfigMap"])
async def test_namespace_deleted_and_made_again_in_one_batch(slow: str) -> None:
    """However the news of the kinds overtake each other: the new namespace has all that it should have."""
    cluster = Cluster(*ALL)
    await cluster.create(namespace("one"))
    async with cluster:
        before = uid_of(await cluster.get("ServiceAccount", ACCOUNT))
        cluster.informers.hold("Namespace", "ServiceAccount", "Secret", "ConfigMap")
        await cluster.delete("Namespace", "one")
        for kind in ("ServiceAccount", "Secret", "ConfigMap"):
            await cluster.user.delete_collection(cluster.named(kind), "one")
        await cluster.finalize("one")
        await cluster.create(namespace("one"))
        for kind in ("Namespace", "ServiceAccount", "Secret", "ConfigMap"):
            if kind != slow:
                cluster.informers.release(kind)
        await cluster.clock.advance(30)
        cluster.informers.release()
        await cluster.settle()
        assert await cluster.lines("Namespace", "ConfigMap", "Secret", "ServiceAccount") == [
            'ConfigMap one/kube-root-ca.crt {"ca.crt": "CA Data"}',
            "Namespace one Active",
            "Secret one/default-token-* for default: complete",
            "ServiceAccount one/default refers to default-token-*",
        ]
        assert uid_of(await cluster.get("ServiceAccount", ACCOUNT)) != before


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        pytest.param("ServiceAccount", ACCOUNT, id="account"),
        pytest.param("ConfigMap", f"one/{ROOT_CA_MAP}", id="root CA"),
        pytest.param("Secret", "", id="token"),
    ],
)
async def test_object_that_comes_and_goes_between_two_lists(kind: str, key: str) -> None:
    """What a controller made and its cache never showed is made again when it goes: no change tells of it."""
    async with Cluster(*ALL) as cluster:
        cluster.informers.hold(kind)
        # So that there is something to read, and the next read finds that the history has gone.
        await cluster.create(namespace("zero"))
        await cluster.clock.advance()
        await cluster.create(namespace("one"))
        await cluster.clock.advance()
        key = key or f"one/{(await cluster.tokens_of(ACCOUNT))[0]}"
        assert await cluster.has(kind, key)
        await cluster.delete(kind, key)
        cluster.backend.compact(cluster.backend.revision)
        await cluster.clock.advance()
        cluster.informers.release()
        await cluster.clock.advance(600)
        await cluster.settle()
        assert [line for line in await cluster.lines() if "one/" in line] == [
            'ConfigMap one/kube-root-ca.crt {"ca.crt": "CA Data"}',
            "Secret one/default-token-* for default: complete",
            "ServiceAccount one/default refers to default-token-*",
        ]


async def test_secret_without_uid_survives_the_old_account() -> None:
    """A Secret that a user made for the account that is there now is not deleted with the one before."""
    cluster = Cluster(TOKENS, mode="on-request")
    await cluster.create(namespace("one"), account(ACCOUNT), token_secret("one/old"))
    async with cluster:
        cluster.informers.hold("ServiceAccount", "Secret")
        await cluster.delete("ServiceAccount", ACCOUNT)
        await cluster.create(account(ACCOUNT), token_secret(MADE, uid=ABSENT, lacks=["token"]))
        cluster.informers.release("Secret")
        await cluster.clock.advance(1)
        cluster.informers.release()
        await cluster.settle()
        assert await cluster.lines("Secret") == [COMPLETE]
