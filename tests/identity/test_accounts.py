"""Pods get an account and its credentials, and use no Secrets but those that they may."""

import asyncio
from collections.abc import Callable
from typing import Any, Literal

import pytest
from verger.identity.accounts import Accounts, secrets_of
from verger.store.errors import ApiError, Forbidden, UnreasonedError
from verger.store.kinds import Kind, built_in
from verger.store.request import Attributes, User, WriteRequest
from verger.store.schemas import load
from verger.watch.clock import FakeClock

from tests.identity.world import World

Object = dict[str, Any]
PLACE = "/var/run/secrets/kubernetes.io/serviceaccount"
USER = User("jane")


def kind(name: str) -> Kind:
    found = built_in(load()).get("", "v1", name)
    assert found is not None
    return found


POD, SECRET = kind("Pod"), kind("Secret")


class Room:
    """An admission plugin, and the world that it looks at."""

    def __init__(self, *, tokens: Literal["projected", "secret"] = "projected") -> None:
        self.world = World()
        self.clock = FakeClock()
        self.plugin = Accounts(self.world, self.clock, tokens=tokens)
        self.account("default")

    def account(self, name: str, **more: Any) -> Object:
        return self.world.put("serviceaccounts", "ns", name, f"{name}-uid", **more)

    async def admit(self, spec: Object | None = None, **metadata: Any) -> Object:
        """The specification that a pod ends up with. Raises ApiError."""
        given = {"containers": [{"name": "c"}], **(spec or {})}
        pod = {"metadata": {"name": "p", "namespace": "ns", **metadata}, "spec": given}
        asked = Attributes(USER, "create", POD, "ns", "p")
        assert self.plugin.handles(asked)
        request = WriteRequest(USER)
        await self.plugin.admit(asked, pod, None, request)
        await self.plugin.validate(asked, pod, None, request)
        return given

    async def refusal(self, spec: Object, **metadata: Any) -> str:
        """Why a pod is refused."""
        with pytest.raises(Forbidden) as caught:
            await self.admit(spec, **metadata)
        start = 'pods "p" is forbidden: '
        assert caught.value.message.startswith(start)
        return caught.value.message.removeprefix(start)

    async def extend(self, spec: Object) -> None:
        """Adds ephemeral containers to a pod that runs. Raises ApiError."""
        pod = {"metadata": {"name": "p", "namespace": "ns"}, "spec": spec}
        asked = Attributes(USER, "update", POD, "ns", "p", "ephemeralcontainers")
        assert self.plugin.handles(asked)
        await self.plugin.admit(asked, pod, {}, WriteRequest(USER))


@pytest.mark.parametrize(
    ("verb", "kind", "subresource", "handled"),
    [
        pytest.param("create", POD, "", True, id="new pods"),
        pytest.param("update", POD, "", False, id="no changes of pods"),
        pytest.param("delete", POD, "", False, id="no deletions"),
        pytest.param("update", POD, "ephemeralcontainers", True, id="what is added to them"),
        pytest.param("patch", POD, "ephemeralcontainers", True, id="however it is added"),
        pytest.param("update", POD, "status", False, id="no other parts"),
        pytest.param("create", POD, "binding", False, id="nothing that is created on them"),
        pytest.param("create", SECRET, "", False, id="no other kinds"),
    ],
)
def test_handles(verb: str, kind: Kind, subresource: str, handled: bool) -> None:
    """What the plugin is asked about."""
    asked = Attributes(USER, verb, kind, "ns", "p", subresource)
    assert Room().plugin.handles(asked) is handled


# The account


async def test_default_account() -> None:
    """A pod that names no account runs as default."""
    assert (await Room().admit())["serviceAccountName"] == "default"


async def test_named_account() -> None:
    """A pod that names an account runs as that one."""
    room = Room()
    room.account("sa")
    assert (await room.admit({"serviceAccountName": "sa"}))["serviceAccountName"] == "sa"


async def test_account_that_is_not_there() -> None:
    """It is refused at once; only the default account is about to come."""
    room = Room()
    assert await room.refusal({"serviceAccountName": "gone"}) == (
        'error looking up service account ns/gone: serviceaccount "gone" not found'
    )
    assert room.clock.next_timer() is None


async def test_default_account_that_is_about_to_come() -> None:
    """A pod that comes right after its namespace waits for the controller."""
    room = Room()
    room.world.drop("serviceaccounts", "ns", "default")
    admitted = asyncio.create_task(room.admit())
    await room.clock.advance(0.5)
    assert not admitted.done()
    room.account("default")
    await room.clock.advance(0.3)
    assert (await admitted)["serviceAccountName"] == "default"


async def test_default_account_that_does_not_come() -> None:
    """Two seconds, and then it is refused."""
    room = Room()
    room.world.drop("serviceaccounts", "ns", "default")
    admitted = asyncio.create_task(room.admit())
    await room.clock.advance(1.8)
    assert not admitted.done()
    await room.clock.advance(0.4)
    with pytest.raises(Forbidden, match='serviceaccount "default" not found'):
        await admitted


# The token


async def test_projected_volume() -> None:
    """Token, root CA and namespace, to the letter; the mode is that which defaulting would give."""
    spec = await Room().admit()
    (volume,) = spec["volumes"]
    name = volume.pop("name")
    assert name.startswith("kube-api-access-")
    assert len(name) == len("kube-api-access-") + 5
    assert volume == {
        "projected": {
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                {
                    "configMap": {
                        "name": "kube-root-ca.crt",
                        "items": [{"key": "ca.crt", "path": "ca.crt"}],
                    }
                },
                {
                    "downwardAPI": {
                        "items": [
                            {
                                "path": "namespace",
                                "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
                            }
                        ]
                    }
                },
            ],
            "defaultMode": 420,
        }
    }
    assert spec["containers"][0]["volumeMounts"] == [
        {"name": name, "readOnly": True, "mountPath": PLACE}
    ]


@pytest.mark.parametrize(
    ("of_account", "of_pod", "mounted"),
    [
        pytest.param(None, None, True, id="nobody says anything"),
        pytest.param(False, None, False, id="the account says no"),
        pytest.param(True, None, True, id="the account says yes"),
        pytest.param(None, False, False, id="the pod says no"),
        pytest.param(False, True, True, id="the pod says yes against its account"),
        pytest.param(True, False, False, id="the pod says no against its account"),
    ],
)
async def test_automount(of_account: bool | None, of_pod: bool | None, mounted: bool) -> None:
    """The pod's word first, then the account's."""
    room = Room()
    if of_account is not None:
        room.account("default", automountServiceAccountToken=of_account)
    spec = await room.admit({} if of_pod is None else {"automountServiceAccountToken": of_pod})
    assert bool(spec.get("volumes")) is mounted
    assert bool(spec["containers"][0].get("volumeMounts")) is mounted


async def test_every_container_gets_the_mount() -> None:
    """Init containers and containers, one volume for all; ephemeral ones get nothing."""
    spec = await Room().admit(
        {
            "initContainers": [{"name": "i"}],
            "containers": [{"name": "c"}, {"name": "d"}],
            "ephemeralContainers": [{"name": "e"}],
        }
    )
    (volume,) = spec["volumes"]
    for container in (*spec["initContainers"], *spec["containers"]):
        assert [mount["name"] for mount in container["volumeMounts"]] == [volume["name"]]
    assert "volumeMounts" not in spec["ephemeralContainers"][0]


@pytest.mark.parametrize("key", ["containers", "initContainers"])
async def test_place_that_is_taken(key: str) -> None:
    """What is mounted there already stays, and without a container that needs it there is no volume."""
    taken = {"name": "mine", "mountPath": PLACE}
    containers: Object = {"containers": [], key: [{"name": "c", "volumeMounts": [taken]}]}
    spec = await Room().admit(containers)
    assert not spec.get("volumes")
    assert spec[key][0]["volumeMounts"] == [taken]
    other = await Room().admit(
        {"containers": [{"name": "c", "volumeMounts": [taken]}, {"name": "d"}]}
    )
    assert len(other["volumes"]) == 1
    assert other["containers"][0]["volumeMounts"] == [taken]


async def test_volume_of_that_name_is_used() -> None:
    """A second pass finds what the first one has made."""
    room = Room()
    spec = await room.admit()
    before = {**spec, "volumes": [*spec["volumes"]], "containers": [dict(spec["containers"][0])]}
    assert await room.admit(spec) == before
    own = {"name": "kube-api-access-mine", "emptyDir": {}}
    kept = await room.admit({"volumes": [own]})
    assert kept["volumes"] == [own]
    assert kept["containers"][0]["volumeMounts"][0]["name"] == "kube-api-access-mine"


# The token Secret instead


def token_secret(room: Room, name: str, **data: str) -> None:
    room.world.put(
        "secrets",
        "ns",
        name,
        f"{name}-uid",
        type="kubernetes.io/service-account-token",
        data=data,
        metadata={"annotations": {"kubernetes.io/service-account.uid": "default-uid"}},
    )


async def test_secret_volume() -> None:
    """Where that is wanted, the first token Secret that the account refers to is mounted."""
    room = Room(tokens="secret")
    room.account("default", secrets=[{"name": "gone"}, {"name": "opaque"}, {"name": "good"}])
    room.world.put("secrets", "ns", "opaque", "x", type="Opaque")
    token_secret(room, "good", token="dA==")
    spec = await room.admit()
    assert spec["volumes"] == [
        {"name": "good", "secret": {"secretName": "good", "defaultMode": 420}}
    ]
    assert spec["containers"][0]["volumeMounts"] == [
        {"name": "good", "readOnly": True, "mountPath": PLACE}
    ]


async def test_token_that_is_about_to_come() -> None:
    """The pod waits for the controller, two seconds at most, and is told when to come again."""
    room = Room(tokens="secret")
    room.account("default", secrets=[{"name": "good"}])
    token_secret(room, "good")
    waiting = asyncio.create_task(room.admit())
    await room.clock.advance(0.5)
    assert not waiting.done()
    token_secret(room, "good", token="dA==")
    await room.clock.advance(0.3)
    assert (await waiting)["volumes"][0]["name"] == "good"
    room.account("default")
    refused = asyncio.create_task(room.admit())
    await room.clock.advance(3.0)
    with pytest.raises(Forbidden) as caught:
        await refused
    assert caught.value.message == (
        'pods "p" is forbidden: no API token found for service account "default", retry after the token is '
        "automatically created and added to the service account"
    )
    assert caught.value.retry_after == 1


# Pull secrets


async def test_pull_secrets() -> None:
    """Those of the account, by their names alone, when the pod has none of its own; the account is not changed."""
    room = Room()
    stored = room.account("default", imagePullSecrets=[{"name": "a", "x": 1}, {"name": "b"}])
    spec = await room.admit()
    assert spec["imagePullSecrets"] == [{"name": "a"}, {"name": "b"}]
    spec["imagePullSecrets"][0]["name"] = "changed"
    spec["imagePullSecrets"].clear()
    assert stored["imagePullSecrets"] == [{"name": "a", "x": 1}, {"name": "b"}]
    own = await room.admit({"imagePullSecrets": [{"name": "c"}]})
    assert own["imagePullSecrets"] == [{"name": "c"}]


# Mirror pods


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        pytest.param({"volumes": [{"name": "v", "emptyDir": {}}]}, "", id="an empty volume"),
        pytest.param(
            {"serviceAccountName": "default"},
            "a mirror pod may not reference service accounts",
            id="an account",
        ),
        pytest.param(
            {"volumes": [{"name": "v", "secret": {"secretName": "s"}}]},
            "a mirror pod may not reference secrets",
            id="a Secret",
        ),
        pytest.param(
            {"imagePullSecrets": [{"name": "s"}]},
            "a mirror pod may not reference secrets",
            id="a registry's password",
        ),
        pytest.param(
            {"ephemeralContainers": [{"name": "e", "envFrom": [{"secretRef": {"name": "s"}}]}]},
            "a mirror pod may not reference secrets",
            id="a Secret in an ephemeral container",
        ),
        pytest.param(
            {"volumes": [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {}}]}}]},
            "a mirror pod may not use ServiceAccountToken volume projections",
            id="a token",
        ),
    ],
)
@pytest.mark.parametrize("value", ["", "hash"])
async def test_mirror_pods(spec: Object, message: str, value: str) -> None:
    """They show what runs on a node without the server: they have no account, and get nothing."""
    room = Room()
    notes = {"kubernetes.io/config.mirror": value}
    if message:
        assert await room.refusal(spec, annotations=notes) == message
        return
    before = {"containers": [{"name": "c"}], **spec}
    assert await room.admit(spec, annotations=notes) == before
    assert room.world.asked == []


# Mountable Secrets


def env(secret: str) -> Object:
    reference = {"valueFrom": {"secretKeyRef": {"name": secret, "key": "k", "optional": True}}}
    return {"name": "c", "env": [{"name": "E", **reference}]}


def env_from(secret: str) -> Object:
    return {"name": "c", "envFrom": [{"secretRef": {"name": secret}}]}


USES: list[tuple[str, Callable[[str], Object], str]] = [
    (
        "a volume",
        lambda s: {"volumes": [{"name": "v", "secret": {"secretName": s}}]},
        "volume with secret.secretName={}",
    ),
    (
        "an init container's variable",
        lambda s: {"initContainers": [env(s)]},
        "init container c with envVar E referencing secret.secretName={}",
    ),
    (
        "an init container's environment",
        lambda s: {"initContainers": [env_from(s)]},
        "init container c with envFrom referencing secret.secretName={}",
    ),
    (
        "a variable",
        lambda s: {"containers": [env(s)]},
        "container c with envVar E referencing secret.secretName={}",
    ),
    (
        "an environment",
        lambda s: {"containers": [env_from(s)]},
        "container c with envFrom referencing secret.secretName={}",
    ),
]
END = "is not allowed because service account default does not reference that secret"


@pytest.mark.parametrize(("use", "words"), [u[1:] for u in USES], ids=[u[0] for u in USES])
async def test_enforced_secrets(use: Callable[[str], Object], words: str) -> None:
    """A Secret that the account does not list is refused in each place, a listed one in none."""
    room = Room()
    notes = {"annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}
    room.account("default", secrets=[{"name": "foo"}], metadata=notes)
    await room.admit(use("foo"))
    assert await room.refusal(use("bar")) == f"{words.format(chr(34) + 'bar' + chr(34))} {END}"


async def test_first_violation_is_told() -> None:
    """Volumes, init containers, containers, registries: of several the first one counts."""
    room = Room()
    notes = {"annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}
    room.account("default", metadata=notes)
    spec: Object = {"imagePullSecrets": [{"name": "s"}]}
    assert (await room.refusal(spec)).startswith('imagePullSecrets[0].name="s" is not allowed')
    for _, use, words in reversed(USES):
        made = use("s")
        spec = {**spec, **made}
        assert (await room.refusal(spec)).startswith(words.format('"s"'))


@pytest.mark.parametrize(
    ("value", "enforced"),
    [
        *((text, True) for text in ("1", "t", "T", "TRUE", "true", "True")),
        *((text, False) for text in ("", "0", "false", "yes", "tRUE", " true")),
    ],
)
async def test_when_it_is_enforced(value: str, enforced: bool) -> None:
    """The annotation is a truth as Go reads it, anything else is none."""
    room = Room()
    notes = {"annotations": {"kubernetes.io/enforce-mountable-secrets": value}}
    room.account("default", metadata=notes)
    spec = {"volumes": [{"name": "v", "secret": {"secretName": "s"}}]}
    if enforced:
        await room.refusal(spec)
    else:
        await room.admit(spec)


async def test_pull_secrets_are_compared_with_pull_secrets() -> None:
    """A registry's password has to be listed as one."""
    room = Room()
    notes = {"annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}
    room.account(
        "default", secrets=[{"name": "s"}], imagePullSecrets=[{"name": "r"}], metadata=notes
    )
    await room.admit({"imagePullSecrets": [{"name": "r"}]})
    assert await room.refusal({"imagePullSecrets": [{"name": "r"}, {"name": "s"}]}) == (
        'imagePullSecrets[1].name="s" is not allowed because service account default does not reference that '
        "imagePullSecret"
    )


@pytest.mark.parametrize("use", [env, env_from])
async def test_ephemeral_containers(use: Callable[[str], Object]) -> None:
    """What is added to a pod that runs is held to the same list; upstream answers 500 here, and so do we."""
    room = Room()
    notes = {"annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}
    room.account("default", secrets=[{"name": "foo"}], metadata=notes)
    spec: Object = {"serviceAccountName": "default", "containers": [env("other")]}
    await room.extend({**spec, "ephemeralContainers": [use("foo")]})
    with pytest.raises(UnreasonedError) as caught:
        await room.extend({**spec, "ephemeralContainers": [use("bar")]})
    how = "envVar E" if use is env else "envFrom"
    assert str(caught.value) == (
        f'ephemeral container c with {how} referencing secret.secretName="bar" {END}'
    )


async def test_ephemeral_containers_need_an_account() -> None:
    """A pod without one, or with one that has gone, gets nothing added."""
    room = Room()
    for spec, message in (
        ({}, "no service account specified for pod ns/p"),
        ({"serviceAccountName": "gone"}, "error looking up service account ns/gone"),
    ):
        with pytest.raises(ApiError, match=message):
            await room.extend({**spec, "ephemeralContainers": [{"name": "e"}]})


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ({"secret": {"secretName": "s"}}, "s"),
        ({"azureFile": {"secretName": "s"}}, "s"),
        ({"cephfs": {"secretRef": {"name": "s"}}}, "s"),
        ({"csi": {"nodePublishSecretRef": {"name": "s"}}}, "s"),
        ({"projected": {"sources": [{"secret": {"name": "s"}}, {"configMap": {}}]}}, "s"),
        ({"emptyDir": {}}, None),
        ({"iscsi": {}}, None),
    ],
)
def test_secrets_in_volumes(source: Object, name: str | None) -> None:
    """All sorts of volumes may refer to Secrets."""
    assert list(secrets_of({"volumes": [{"name": "v", **source}]})) == ([name] if name else [])
