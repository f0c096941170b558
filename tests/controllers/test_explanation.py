"""Why an object is as it is: each reason that there can be is told, and nothing secret."""

import pytest
from verger.controllers.explanation import Explanation
from verger.identity.validate import INVALID_SINCE, LAST_USED
from verger.store.client import PartialDiscovery
from verger.store.errors import Forbidden
from verger.store.kinds import Kind
from verger.store.objects import thaw
from verger.store.timestamps import format_micro

from tests.controllers.clients import Fails, TappedClient
from tests.controllers.harness import (
    ACCOUNTS,
    FEW,
    NAMESPACES,
    ROOT_CA,
    TOKENS,
    Cluster,
    Object,
    some_kinds,
)
from tests.controllers.objects import (
    account,
    config_map,
    empty_token_secret,
    namespace,
    opaque_secret,
    pod,
    token_secret,
)

NOBODY = "Nobody holds a lease for its controllers: do they run?"


def cluster_of(*controllers: str) -> Cluster:
    return Cluster(*controllers, kinds=some_kinds(*FEW, "Lease"))


async def told(cluster: Cluster, target: str, client: TappedClient | None = None) -> list[str]:
    """What is told about `KIND/NAME...`, and the writes that it took: none."""
    tapped = client or TappedClient(cluster.user)
    explanation = Explanation(tapped, cluster.kinds, now=cluster.clock.time())
    kind, *names = target.split("/")
    lines: list[str] = await getattr(explanation, kind)(*names)
    assert tapped.writes == []
    return lines


async def hold_lease(cluster: Cluster, name: str, *, age: float) -> None:
    spec = {
        "holderIdentity": f"{name}-1",
        "leaseDurationSeconds": 15,
        "renewTime": format_micro(cluster.clock.time() - age),
    }
    metadata = {"name": name, "namespace": "kube-system"}
    lease = {"kind": "Lease", "metadata": metadata, "spec": spec}
    await cluster.user.create(cluster.named("Lease"), lease)


@pytest.mark.parametrize(
    ("target", "line"),
    [
        pytest.param("namespace/none", "There is no namespace none.", id="namespace"),
        pytest.param("account/one/x", "There is no service account one/x.", id="account"),
        pytest.param("secret/one/x", "There is no Secret one/x.", id="secret"),
    ],
)
async def test_what_is_not_there(target: str, line: str) -> None:
    """It is said to be missing, which is no error."""
    cluster = cluster_of()
    await cluster.create(namespace("one"))
    assert (await told(cluster, target))[0] == line


class WithWriters(TappedClient):
    """Says who wrote what it gets."""

    async def get(self, kind: Kind, name: str, namespace: str = "") -> Object:
        found = thaw(await super().get(kind, name, namespace))
        found["metadata"]["managedFields"] = [
            {"manager": "early", "time": "2023-11-14T22:00:00Z"},
            {"manager": "late", "time": "2023-11-14T22:10:00Z", "subresource": "status"},
            {"manager": "middle", "time": "2023-11-14T22:05:00Z"},
            {"manager": "timeless"},
        ]
        return found


async def test_who_wrote_last() -> None:
    """The newest entry of managedFields tells, and which part it was, in whatever order they stand."""
    cluster = cluster_of()
    await cluster.create(namespace("one"), opaque_secret("one/s"))
    lines = await told(cluster, "secret/one/s", WithWriters(cluster.user))
    assert lines[-1] == "Last written (its status) by late, 3 minutes ago."


# Namespaces


async def test_namespace_that_is_as_it_should_be() -> None:
    """It is told that nothing is missing."""
    async with cluster_of(ACCOUNTS, ROOT_CA) as cluster:
        await cluster.create(namespace("one"))
        await cluster.settle()
        await cluster.clock.advance(7200)
        assert await told(cluster, "namespace/one") == [
            "Namespace one is active, since 2 hours ago.",
            "It has its default account and kube-root-ca.crt.",
        ]


async def test_namespace_that_no_controller_looks_at() -> None:
    """What it lacks is named, and that nobody seems to be there who makes it."""
    cluster = cluster_of()
    await cluster.create(namespace("one"))
    assert (await told(cluster, "namespace/one"))[1:] == [
        "It has no ServiceAccount default.",
        "It has no ConfigMap kube-root-ca.crt.",
        NOBODY,
    ]


async def test_who_holds_the_leases() -> None:
    """Those that are renewed hold theirs; those that are not have stopped."""
    cluster = cluster_of()
    await cluster.create(namespace("kube-system"), namespace("one"))
    await hold_lease(cluster, "verger", age=5)
    await hold_lease(cluster, "kube-controller-manager", age=3600)
    assert (await told(cluster, "namespace/one"))[-2:] == [
        "kube-controller-manager-1 held, but has stopped renewing, the lease kube-system/kube-controller-manager, renewed "
        "1 hour ago.",
        "verger-1 holds the lease kube-system/verger, renewed 5 seconds ago.",
    ]


async def test_namespace_that_is_held_by_its_content() -> None:
    """Kinds, names and finalizers are told as they are now, and what the controller has said."""
    cluster = cluster_of(NAMESPACES)
    held = [config_map(f"one/c{n}", finalizers=["example.com/x"]) for n in range(7)]
    await cluster.create(namespace("default"), namespace("one"), *held)
    await cluster.delete("Namespace", "one")
    async with cluster.unsettled():
        await cluster.clock.advance(60)
        lines = await told(cluster, "namespace/one")
    assert lines[:2] == [
        "Namespace one was deleted 1 minute ago and is still there.",
        "It still has 7 configmaps: c0, c1, c2, c3, c4, and 2 more; finalizers: example.com/x (7).",
    ]
    assert any(line.startswith("Its status says NamespaceContentRemaining: ") for line in lines)
    assert any("namespace-controller said " in line and "ContentRemains" in line for line in lines)
    assert NOBODY not in lines


async def test_namespace_that_is_held_by_others() -> None:
    """Finalizers of the namespace itself are told by where they stand."""
    cluster = cluster_of(NAMESPACES)
    await cluster.create(
        {
            **namespace("one", spec={"finalizers": ["kubernetes", "example.com/s"]}),
            "metadata": {"name": "one", "finalizers": ["example.com/m"]},
        }
    )
    await cluster.delete("Namespace", "one")
    async with cluster:
        lines = await told(cluster, "namespace/one")
    assert lines[1:3] == [
        "Others must take their finalizers out of its spec: example.com/s.",
        "Others must take their finalizers away: example.com/m.",
    ]
    assert NOBODY not in lines


async def test_namespace_that_nobody_finalizes() -> None:
    """An empty one waits for its controller alone."""
    cluster = cluster_of()
    await cluster.create(namespace("one"))
    await cluster.delete("Namespace", "one")
    assert (await told(cluster, "namespace/one"))[1:] == [
        "Nothing is left in it: the namespace controller has to finalize it.",
        NOBODY,
    ]


async def test_groups_that_do_not_answer() -> None:
    """What cannot be known is told, and the rest is looked at."""
    cluster = cluster_of()
    await cluster.create(namespace("one"), opaque_secret("one/s"))
    await cluster.delete("Namespace", "one")
    client = TappedClient(cluster.user)
    known = [kind for kind in cluster.kinds if kind.kind == "Secret"]
    client.taps += [Fails("kinds", lambda: PartialDiscovery("g/v1: down", kinds=known), times=1)]
    assert (await told(cluster, "namespace/one", client))[1:] == [
        "Not all kinds are known, and it waits for that: g/v1: down.",
        "It still has 1 secrets: s.",
    ]


async def test_what_may_not_be_read_is_told() -> None:
    """A user who may see little hears of the rest."""
    cluster = cluster_of()
    await cluster.create(namespace("one"))
    await cluster.delete("Namespace", "one")
    client = TappedClient(cluster.user)
    client.taps += [
        Fails("list Secret one", lambda: Forbidden("no"), times=1),
        Fails("list Event default", lambda: Forbidden("no"), times=1),
    ]
    assert (await told(cluster, "namespace/one", client))[1:] == [
        "Whether there are secrets cannot be seen: no.",
        "Its events cannot be seen: no.",
    ]


# Accounts


async def test_account_with_its_token() -> None:
    """The Secret is named, and its token is not shown."""
    async with cluster_of(TOKENS) as cluster:
        await cluster.create(namespace("one"), account("one/default"))
        await cluster.settle()
        (name,) = await cluster.tokens_of("one/default")
        lines = await told(cluster, "account/one/default")
        assert lines[1] == f"It has a token in Secret {name}, and it refers to that."
        secret = await cluster.get("Secret", f"one/{name}")
        assert secret["data"]["token"] not in "".join(lines)


async def test_account_without_a_token() -> None:
    """When one comes, and that nobody seems to be there who would make it."""
    cluster = cluster_of()
    await cluster.create(namespace("one"), account("one/default", "default-token-abcde"))
    await cluster.create(empty_token_secret("one/asked"))
    lines = await told(cluster, "account/one/default")
    assert lines[1:4] == [
        "Secret asked waits for a token.",
        "It refers to what is not there: default-token-abcde.",
        "It has no token in a Secret.",
    ]
    assert "--token-secrets=auto" in lines[4]
    assert lines[5:] == [NOBODY]


async def test_token_that_is_refused() -> None:
    """What the controller could not do stands in its event, and how often it has tried."""
    cluster = cluster_of(TOKENS)
    cluster.clients[TOKENS].taps.append(
        Fails("create Secret", lambda: Forbidden("exceeded quota"), times=-1)
    )
    await cluster.create(namespace("one"), account("one/default"))
    async with cluster.unsettled():
        await cluster.clock.advance(10)
        lines = await told(cluster, "account/one/default")
        cluster.clients[TOKENS].taps.clear()
    assert lines[-1].startswith(f"{TOKENS} said ")
    assert " times: TokenRefused: " in lines[-1]
    assert lines[-1].endswith("exceeded quota")


async def test_account_in_a_namespace_that_is_going() -> None:
    """There will be no token, and no account."""
    cluster = cluster_of()
    await cluster.create(namespace("one"), account("one/default"))
    await cluster.delete("Namespace", "one")
    reason = "Its namespace was deleted, and takes nothing new."
    assert reason in await told(cluster, "account/one/default")
    assert (await told(cluster, "account/one/other"))[1:] == [reason]


@pytest.mark.parametrize(
    ("target", "reasons"),
    [
        pytest.param("account/none/default", ["Nor is there a namespace none."], id="no namespace"),
        pytest.param("account/one/default", [NOBODY], id="nobody makes it"),
        pytest.param(
            "account/one/mine",
            ["Accounts that are not called default are for users to make."],
            id="a user's",
        ),
    ],
)
async def test_account_that_is_not_there(target: str, reasons: list[str]) -> None:
    """The reason is told."""
    cluster = cluster_of()
    await cluster.create(namespace("one"))
    assert (await told(cluster, target))[1:] == reasons


# Secrets


async def test_secret_that_is_no_token() -> None:
    """Its type says that nobody looks at it."""
    cluster = cluster_of()
    await cluster.create(namespace("one"), opaque_secret("one/s"))
    lines = await told(cluster, "secret/one/s")
    assert lines[1:] == ["It is of type Opaque: no controller of tokens looks at it."]


async def test_token_that_is_used() -> None:
    """Its account, its last use, the mark on it and its pods."""
    cluster = cluster_of()
    user: Object = pod("one/p")
    user["spec"]["volumes"] = [{"name": "v", "secret": {"secretName": "made"}}]
    labels = {LAST_USED: "2024-01-02", INVALID_SINCE: "2025-01-03"}
    await cluster.create(namespace("one"), account("one/default", "made"))
    await cluster.create(token_secret("one/made", labels=labels), user)
    assert (await told(cluster, "secret/one/made"))[1:] == [
        "It is for account default, which refers to it.",
        "Last used on 2024-01-02.",
        f"Its token is refused since 2025-01-03, after long disuse: take the label {INVALID_SINCE} away to use it again.",
        "Pods that use it: p.",
    ]


async def test_token_without_an_account() -> None:
    """It has to go, and lacks what nobody gave it."""
    cluster = cluster_of()
    await cluster.create(namespace("one"), empty_token_secret("one/made", account="gone"))
    assert (await told(cluster, "secret/one/made"))[1:] == [
        "It is for account gone, which is not there: it has to go.",
        "It lacks token, ca.crt, namespace.",
        NOBODY,
        "No use of its token was ever noted.",
        "Pods that use it: none.",
    ]


async def test_token_of_an_earlier_account() -> None:
    """The uid tells, whatever the name says."""
    cluster = cluster_of()
    await cluster.create(namespace("one"), account("one/default"))
    await cluster.create(token_secret("one/made", uid="of-another"))
    expected = "It is for an earlier account default, and has to go."
    assert expected in await told(cluster, "secret/one/made")
    line = "Secret made is for an earlier account of the name, and has to go."
    assert line in await told(cluster, "account/one/default")
