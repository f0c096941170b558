"""Bugs that Kubernetes and its users have paid for, one test each: none of them is ours."""

from collections.abc import Awaitable, Callable

import orjson
import pytest
from verger.store.errors import Conflict, InternalError
from verger.store.objects import annotations_of, uid_of

from tests.controllers.clients import Fails, Meanwhile
from tests.controllers.harness import (
    ACCOUNTS,
    ALL,
    FEW,
    NAMESPACES,
    ROOT_CA,
    TOKENS,
    Cluster,
    some_kinds,
)
from tests.controllers.objects import (
    ACCOUNT_UID,
    ROOT_CA_MAP,
    account,
    config_map,
    empty_token_secret,
    namespace,
    opaque_secret,
    root_ca_map,
    token_secret,
)

ACCOUNT = "one/default"
CONVERGED = [
    'ConfigMap one/kube-root-ca.crt {"ca.crt": "CA Data"}',
    "Secret one/default-token-* for default: complete",
    "ServiceAccount one/default refers to default-token-*",
]


async def changes_while_down(cluster: Cluster) -> None:
    """A bit of everything."""
    (own,) = await cluster.tokens_of("one/builder")
    await cluster.delete("Secret", f"one/{own}")
    await cluster.delete("ServiceAccount", ACCOUNT)
    await cluster.create(account("one/new"), empty_token_secret("one/orphan", "ghost"))
    await cluster.delete("ConfigMap", f"one/{ROOT_CA_MAP}")
    await cluster.delete("Namespace", "two")
    await cluster.create(namespace("three"))


async def test_events_missed_while_down() -> None:
    """kubernetes#9009: what happens while the controllers are dead is dealt with when they live, without any event."""
    pictures = []
    for dead in (False, True):
        cluster = Cluster(*ALL)
        await cluster.create(namespace("one"), namespace("two"), account("one/builder"))
        async with cluster:
            if dead:
                await cluster.stop()
            await changes_while_down(cluster)
            if dead:
                await cluster.restart()
            await cluster.settle()
            pictures.append(await cluster.picture())
    assert pictures[0] == pictures[1]


async def test_secret_made_before_its_account() -> None:
    """kubernetes#111556: such a Secret is deleted at once, as upstream does it; made again, it is filled."""
    async with Cluster(TOKENS, mode="on-request") as cluster:
        await cluster.create(namespace("one"), empty_token_secret("one/made"))
        await cluster.settle()
        assert await cluster.lines("Secret") == []
        (event,) = await cluster.all("Event", "one")
        assert event["reason"] == "NoServiceAccount"
        assert event["message"] == (
            'deleted: there is no service account "default" with the uid that it names'
        )
        await cluster.create(account(ACCOUNT), empty_token_secret("one/made"))
        await cluster.settle()
        assert await cluster.lines("Secret") == ["Secret one/made for default: complete"]


async def test_account_made_again_under_its_name() -> None:
    """kubernetes#132802: the tokens of the old account die, hand-made ones too, and the new one has its own."""
    cluster = Cluster(ACCOUNTS, TOKENS)
    await cluster.create(namespace("one"), account(ACCOUNT), token_secret("one/made"))
    async with cluster:
        old = set(await cluster.tokens_of(ACCOUNT))
        await cluster.delete("ServiceAccount", ACCOUNT)
        await cluster.settle()
        new = await cluster.get("ServiceAccount", ACCOUNT)
        (secret,) = await cluster.all("Secret")
        assert annotations_of(secret)[ACCOUNT_UID] == uid_of(new)
        assert secret["metadata"]["name"] not in old
        assert await cluster.lines() == CONVERGED[1:]


async def test_put_without_secrets_does_not_leak() -> None:
    """kubernetes#106131, #113532: an account that is written without its references keeps its one token."""
    async with Cluster(TOKENS) as cluster:
        await cluster.create(namespace("one"), account(ACCOUNT))
        await cluster.settle()
        before = await cluster.tokens_of(ACCOUNT)
        for _ in range(20):
            await cluster.update(account(ACCOUNT))
            await cluster.settle()
        assert await cluster.tokens_of(ACCOUNT) == before
        assert await cluster.references_of(ACCOUNT) == before


async def test_put_without_secrets_while_the_token_is_made() -> None:
    """The same in the middle: the write that comes between the token and its reference makes no second token."""
    cluster = Cluster(TOKENS)
    cluster.clients[TOKENS].taps.append(
        Meanwhile("create Secret", lambda: cluster.update(account(ACCOUNT)), side="after")
    )
    cluster.clients[TOKENS].taps.append(
        Meanwhile("update ServiceAccount", lambda: cluster.label("ServiceAccount", ACCOUNT))
    )
    await cluster.create(namespace("one"), account(ACCOUNT))
    async with cluster:
        assert len(await cluster.tokens_of(ACCOUNT)) == 1
        assert await cluster.references_of(ACCOUNT) == await cluster.tokens_of(ACCOUNT)


@pytest.mark.parametrize(
    ("controller", "call", "obj"),
    [
        pytest.param(ACCOUNTS, "create ServiceAccount", account(ACCOUNT), id="account"),
        pytest.param(ROOT_CA, "create ConfigMap", root_ca_map("one"), id="root CA"),
    ],
)
async def test_already_exists_is_success(
    controller: str, call: str, obj: dict[str, object]
) -> None:
    """kubernetes#14830: somebody else made what was wanted; nobody complains."""
    cluster = Cluster(controller)
    cluster.clients[controller].taps.append(Meanwhile(call, lambda: cluster.create(obj)))
    await cluster.create(namespace("one"))
    async with cluster:
        assert len(await cluster.lines()) == 1
        assert "failed" not in cluster.log.said("warning")
        assert await cluster.all("Event") == []


@pytest.mark.parametrize(
    ("controller", "pattern"),
    [
        pytest.param(ACCOUNTS, "create ServiceAccount", id="account"),
        pytest.param(ROOT_CA, "create ConfigMap", id="root CA"),
        pytest.param(TOKENS, "create Secret", id="token"),
        pytest.param(TOKENS, "list Secret", id="look before the token"),
        pytest.param(NAMESPACES, "get Namespace", id="look at the namespace"),
        pytest.param(NAMESPACES, "list Secret", id="look at the content"),
        pytest.param(NAMESPACES, "delete_collection Secret", id="content"),
        pytest.param(NAMESPACES, "update Namespace/finalize", id="finalizer"),
    ],
)
async def test_eleven_failures_in_a_row(controller: str, pattern: str) -> None:
    """upstream gives up a token after ten retries, and nobody comes back to it: here the twelfth try succeeds."""
    cluster = Cluster(*ALL)
    failing = Fails(pattern, lambda: InternalError("broken"), times=11)
    cluster.clients[controller].taps.append(failing)
    await cluster.create(namespace("one"), namespace("gone"), opaque_secret("gone/a"))
    await cluster.delete("Namespace", "gone")
    async with cluster:
        assert failing.failed == 11
        assert await cluster.lines() == CONVERGED
        assert await cluster.lines("Namespace") == ["Namespace one Active"]


@pytest.mark.parametrize(
    ("controller", "pattern"),
    [
        pytest.param(TOKENS, "update ServiceAccount", id="reference to a token"),
        pytest.param(TOKENS, "update Secret", id="content of a token"),
        pytest.param(TOKENS, "delete Secret", id="token without an account"),
        pytest.param(ROOT_CA, "update ConfigMap", id="root CA"),
        pytest.param(NAMESPACES, "update Namespace/finalize", id="finalizer"),
    ],
)
async def test_conflict_without_a_change_behind_it(controller: str, pattern: str) -> None:
    """No event comes after it, so that the key must not wait for one."""
    cluster = Cluster(*ALL)
    conflicts = Fails(pattern, lambda: Conflict("changed"), times=3)
    cluster.clients[controller].taps.append(conflicts)
    await cluster.create(
        namespace("one"),
        namespace("gone"),
        config_map(f"one/{ROOT_CA_MAP}"),
        empty_token_secret("one/made"),
        empty_token_secret("one/orphan", "nobody"),
    )
    await cluster.delete("Namespace", "gone")
    async with cluster:
        assert conflicts.failed == 3
        assert await cluster.lines("Namespace") == ["Namespace one Active"]
        assert await cluster.lines("Secret", "ConfigMap") == [
            *CONVERGED[:2],
            "Secret one/made for default: complete",
        ]
        assert len(await cluster.references_of(ACCOUNT)) == 1


async def test_eleven_failures_of_each_write_of_a_token() -> None:
    """Every step on the way of a Secret that is filled, referred to and deleted may fail that often."""
    steps = ["get Secret", "update Secret", "update ServiceAccount", "get ServiceAccount"]
    cluster = Cluster(TOKENS, mode="on-request")
    failing = [Fails(step, lambda: InternalError("broken"), times=11) for step in steps]
    cluster.clients[TOKENS].taps.extend(failing)
    await cluster.create(namespace("one"), account(ACCOUNT, "made"), empty_token_secret("one/made"))
    async with cluster:
        assert await cluster.lines("Secret") == ["Secret one/made for default: complete"]
        await cluster.delete("Secret", "one/made")
        await cluster.settle()
        assert await cluster.references_of(ACCOUNT) == []
        assert [step.failed for step in failing] == [11] * 4


async def test_namespace_with_finalizers_on_its_content() -> None:
    """kubernetes#32519: it waits, says why, and goes by itself when the last finalizer does."""
    cluster = Cluster(*ALL)
    await cluster.create(namespace("one"))
    async with cluster:
        await cluster.create(config_map("one/held", finalizers=["example.com/x"]))
        await cluster.delete("Namespace", "one")
        await cluster.clock.advance(3600)
        assert await cluster.lines() == ["ConfigMap one/held terminating {}"]
        await cluster.edit("ConfigMap", "one/held", lambda o: o["metadata"].pop("finalizers"))
        await cluster.settle()
        assert await cluster.lines("Namespace", "ConfigMap") == []


async def test_namespace_and_a_group_that_is_down_for_a_while() -> None:
    """kubernetes#119662: nothing is finalized while not all kinds are known; it goes on by itself."""
    cluster = Cluster(*ALL)
    cluster.clients[NAMESPACES].taps.append(
        Fails("kinds", lambda: InternalError("group down"), times=11)
    )
    await cluster.create(namespace("one"), opaque_secret("one/s"))
    await cluster.delete("Namespace", "one")
    async with cluster:
        assert await cluster.everything() == []


async def test_namespace_and_a_group_that_comes_in_the_middle() -> None:
    """kubernetes#98548: what is served is asked anew in each pass, so that a new kind is emptied too."""
    cluster = Cluster(NAMESPACES, kinds=some_kinds(*FEW))
    deployments = cluster.named("Deployment")
    spec = {
        "selector": {"matchLabels": {"a": "b"}},
        "template": {
            "metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "i"}]},
        },
    }
    await cluster.create(
        namespace("one"),
        config_map("one/held", finalizers=["example.com/x"]),
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "d", "namespace": "one"},
            "spec": spec,
        },
    )
    cluster.kinds.remove(deployments)
    await cluster.delete("Namespace", "one")
    async with cluster.unsettled():
        await cluster.clock.advance(60)
        cluster.kinds.add(deployments)
        assert await cluster.has("Deployment", "one/d")
        await cluster.edit("ConfigMap", "one/held", lambda o: o["metadata"].pop("finalizers"))
        await cluster.settle()
        assert await cluster.everything() == []


async def delete_token(cluster: Cluster) -> None:
    """A hand-made token Secret goes."""
    await cluster.delete("Secret", "one/made")


async def delete_account(cluster: Cluster) -> None:
    """The default account goes."""
    await cluster.delete("ServiceAccount", ACCOUNT)


async def delete_map(cluster: Cluster) -> None:
    """The root CA goes."""
    await cluster.delete("ConfigMap", f"one/{ROOT_CA_MAP}")


async def replace_account(cluster: Cluster) -> None:
    """The default account goes, and another one comes."""
    await cluster.delete("ServiceAccount", ACCOUNT)
    await cluster.create(account(ACCOUNT))


async def delete_namespace(cluster: Cluster) -> None:
    """The namespace goes."""
    await cluster.delete("Namespace", "one")


@pytest.mark.parametrize(
    "happens",
    [delete_token, delete_account, delete_map, replace_account, delete_namespace],
)
async def test_deletion_right_before_a_compaction(
    happens: Callable[[Cluster], Awaitable[None]],
) -> None:
    """etcd#18089, #19179, kine#238: a deletion that no watch can tell of any more is noticed all the same."""
    pictures = []
    for lost in (False, True):
        cluster = Cluster(*ALL)
        await cluster.create(namespace("one"), account(ACCOUNT, "made"), token_secret("one/made"))
        async with cluster:
            if lost:
                await cluster.lose_history(lambda c=cluster: happens(c))  # type: ignore[misc]
            else:
                await happens(cluster)
            await cluster.settle()
            pictures.append(await cluster.picture())
    assert pictures[0] == pictures[1]


async def test_no_token_in_logs_and_events() -> None:
    """No token stands in a log line, an error or an event, whatever happens to it."""
    cluster = Cluster(*ALL)
    cluster.clients[TOKENS].taps.append(
        Fails("update Secret", lambda: InternalError("broken"), times=20)
    )
    await cluster.create(namespace("one"), namespace("default"), account("one/builder"))
    frozen = empty_token_secret("one/frozen", "builder") | {"immutable": True}
    async with cluster.unsettled():
        await cluster.create(token_secret("one/made"), frozen)
        await cluster.clock.advance(100)
        tokens = [secret.get("data", {}).get("token") for secret in await cluster.all("Secret")]
        await cluster.delete("ServiceAccount", "one/builder")
        await cluster.clock.advance(6000)
        texts = [str(cluster.log.lines), str(await cluster.all("Event"))]
        texts += [str(cluster.manager.errors(name)) for name in ALL]
        assert any(tokens)
        assert all("eyJ" not in text and "ZXlK" not in text for text in texts)


async def test_controllers_do_not_change_what_caches_gave_them() -> None:
    """Cached objects are shared by all: what the store encoded when it was written is what they say still."""
    cluster = Cluster(*ALL)
    await cluster.create(namespace("one"), namespace("two"), root_ca_map("one", "wrong"))
    async with cluster:
        await cluster.create(account("one/b"), empty_token_secret("one/made", "b"))
        await cluster.create(config_map("two/held", finalizers=["example.com/x"]))
        await cluster.settle()
        await cluster.delete("Namespace", "two")
        await cluster.clock.advance(20)
        for kind in cluster.kinds:
            for row in cluster.backend.list(kind.resource).rows:
                assert row.object == orjson.loads(row.data)
