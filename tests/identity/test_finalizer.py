"""Accounts that say how their pods run: what a pod receives, and what is refused."""

import json
from typing import Any

import pytest
from verger.identity.finalizer import (
    RECEIVED_CONTEXT,
    RECEIVED_SECRETS,
    SECRETS,
    SECURITY_CONTEXT,
    AccountFinalizer,
    digest,
    gift_of,
    is_outdated,
)
from verger.store.decoding import Decoder
from verger.store.errors import Invalid
from verger.store.kinds import built_in
from verger.store.request import Attributes, User, WriteRequest
from verger.store.schemas import load

from tests.identity.world import World

Object = dict[str, Any]
USER = User("jane")
KINDS = built_in(load())
CONTEXT = {"runAsUser": 1000}


def finalizer(**notes: str) -> tuple[AccountFinalizer, World]:
    """The plugin, in a world with an account that has something for its pods."""
    world = World()
    names = {"context": SECURITY_CONTEXT, "secrets": SECRETS}
    annotations = {names[key]: value for key, value in notes.items()}
    world.put("serviceaccounts", "ns", "sa", "uid", metadata={"annotations": annotations})
    return AccountFinalizer(world, Decoder(load())), world


async def admitted(plugin: AccountFinalizer, **spec: Any) -> tuple[Object, list[str]]:
    """A pod as it is stored, and what its maker is told."""
    pod: Object = {
        "metadata": {"name": "p"},
        "spec": {"serviceAccountName": "sa", "containers": [{"name": "c"}], **spec},
    }
    asked = Attributes(USER, "create", KINDS.core("Pod"), "ns", "p")
    assert plugin.handles(asked)
    request = WriteRequest(USER)
    await plugin.admit(asked, pod, None, request)
    await plugin.validate(asked, pod, None, request)
    return pod, request.warnings


@pytest.mark.parametrize(
    ("verb", "kind", "subresource", "handled"),
    [
        pytest.param("create", "Pod", "", True, id="new pods"),
        pytest.param("update", "Pod", "", False, id="no changes of pods"),
        pytest.param("create", "Pod", "eviction", False, id="no parts of pods"),
        pytest.param("create", "ServiceAccount", "", True, id="new accounts"),
        pytest.param("patch", "ServiceAccount", "", True, id="changes of accounts"),
        pytest.param("delete", "ServiceAccount", "", False, id="no deletions"),
        pytest.param("create", "ServiceAccount", "token", False, id="no tokens"),
        pytest.param("create", "Secret", "", False, id="no other kinds"),
    ],
)
def test_handles(verb: str, kind: str, subresource: str, handled: bool) -> None:
    """What the plugin is asked about."""
    plugin, _ = finalizer()
    asked = Attributes(USER, verb, KINDS.core(kind), "ns", "x", subresource)
    assert plugin.handles(asked) is handled


async def test_account_without_gifts() -> None:
    """Its pods are left as they are."""
    plugin, _ = finalizer()
    pod, warnings = await admitted(plugin)
    assert pod["metadata"] == {"name": "p"}
    assert pod["spec"] == {"serviceAccountName": "sa", "containers": [{"name": "c"}]}
    assert warnings == []


async def test_gifts() -> None:
    """Context and Secrets, and a note of both; ephemeral containers get nothing."""
    plugin, _ = finalizer(context=json.dumps(CONTEXT), secrets=" a, b,,")
    extra: Object = {"initContainers": [{"name": "i"}], "ephemeralContainers": [{"name": "e"}]}
    pod, _ = await admitted(plugin, **extra)
    spec = pod["spec"]
    assert spec["securityContext"] == CONTEXT
    assert spec["volumes"] == [
        {"name": "account-secret-0", "secret": {"secretName": "a", "defaultMode": 420}},
        {"name": "account-secret-1", "secret": {"secretName": "b", "defaultMode": 420}},
    ]
    for container in (spec["containers"][0], spec["initContainers"][0]):
        assert container["volumeMounts"] == [
            {
                "name": "account-secret-0",
                "readOnly": True,
                "mountPath": "/var/run/secrets/verger.dev/a",
            },
            {
                "name": "account-secret-1",
                "readOnly": True,
                "mountPath": "/var/run/secrets/verger.dev/b",
            },
        ]
    assert spec["ephemeralContainers"] == [{"name": "e"}]
    assert pod["metadata"]["annotations"] == {
        RECEIVED_CONTEXT: digest(CONTEXT),
        RECEIVED_SECRETS: digest(("a", "b")),
    }
    assert not is_outdated(pod, account_of(context=json.dumps(CONTEXT), secrets="a,b"))


def account_of(**notes: str) -> Object:
    _, world = finalizer(**notes)
    return world.objects["serviceaccounts", "ns/sa"]


async def test_pod_that_brings_its_own() -> None:
    """A context of its own, a Secret of its own: the account's is not added to it."""
    plugin, _ = finalizer(context=json.dumps(CONTEXT), secrets="a")
    own = [{"name": "v", "secret": {"secretName": "mine"}}]
    pod, _ = await admitted(plugin, securityContext={"fsGroup": 1}, volumes=own)
    assert pod["spec"]["securityContext"] == {"fsGroup": 1}
    assert pod["spec"]["volumes"] == own
    assert "annotations" not in pod["metadata"]
    assert not is_outdated(pod, account_of(context="{}"))


async def test_gift_that_nobody_understands() -> None:
    """It was written before the plugin was there: the pod runs without it, and its maker is told."""
    plugin, _ = finalizer(context="{", secrets="a")
    pod, warnings = await admitted(plugin)
    assert "volumes" not in pod["spec"]
    assert warnings == [
        f"service account sa: annotation {SECURITY_CONTEXT} is no JSON object, and was not used"
    ]


async def test_pod_without_an_account() -> None:
    """A mirror pod, or one that is about to be refused."""
    plugin, _ = finalizer(secrets="a")
    pod, _ = await admitted(plugin, serviceAccountName="gone")
    assert "volumes" not in pod["spec"]


@pytest.mark.parametrize(
    ("notes", "message"),
    [
        pytest.param({}, "", id="nothing"),
        pytest.param({SECURITY_CONTEXT: '{"runAsUser": 1, "runAsNonRoot": true}'}, "", id="good"),
        pytest.param({SECRETS: "a, b.c"}, "", id="good names"),
        pytest.param({SECURITY_CONTEXT: "{"}, SECURITY_CONTEXT, id="no JSON"),
        pytest.param({SECURITY_CONTEXT: "[]"}, "must be a JSON object", id="no object"),
        pytest.param({SECURITY_CONTEXT: '{"runAsUser": "me"}'}, SECURITY_CONTEXT, id="wrong type"),
        pytest.param({SECURITY_CONTEXT: '{"runAs": 1}'}, SECURITY_CONTEXT, id="no such field"),
        pytest.param({SECRETS: "Not_A_Name"}, SECRETS, id="no name"),
        pytest.param({SECRETS: "../etc"}, SECRETS, id="a path"),
    ],
)
async def test_accounts_are_validated(notes: dict[str, str], message: str) -> None:
    """What no pod could receive is refused where it is written."""
    plugin, _ = finalizer()
    account = {"metadata": {"name": "sa", "annotations": notes}}
    asked = Attributes(USER, "update", KINDS.core("ServiceAccount"), "ns", "sa")
    if not message:
        await plugin.validate(asked, account, None, WriteRequest(USER))
        return
    with pytest.raises(Invalid) as caught:
        await plugin.validate(asked, account, None, WriteRequest(USER))
    assert message in caught.value.message


def test_digest() -> None:
    """The order of members does not matter, that of Secrets does, and nothing is nothing."""
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest(("a", "b")) != digest(("b", "a"))
    assert digest({}) == digest(()) == ""


def test_gift_is_read() -> None:
    """Names are separated by commas, blanks do not count."""
    account = account_of(context='{"a": 1}', secrets=" x ,,y")
    assert gift_of(account) == ({"a": 1}, ("x", "y"))
    with pytest.raises(ValueError, match="must be a JSON object"):
        gift_of(account_of(context="5"))
