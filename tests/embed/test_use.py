"""What a test does with a plane: settle, namespaces, accounts, going back."""

import asyncio
import ssl
import stat
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import pytest
from verger.embed import BlockingPlane, ControlPlane, StartError, Unsettled
from verger.store.errors import NotFound
from verger.store.objects import name_of, uid_of
from verger.watch.clock import FakeClock
from verger.watch.event import Event, EventType


@pytest.fixture
async def plane() -> AsyncIterator[ControlPlane]:
    async with ControlPlane() as plane:
        yield plane


def everything(plane: ControlPlane) -> set[tuple[str, str, str]]:
    return {
        (resource, key, uid_of(row.object))
        for resource, rows in plane.snapshot().rows.items()
        for key, row in rows.items()
        if resource != "events"
    }


async def test_settled_means_that_everything_has_followed(plane: ControlPlane) -> None:
    """After settle, what the controllers make of a write is there, without any waiting of the test's own."""
    kinds, client = plane.kinds, plane.client
    for number in range(20):
        await client.create(kinds.core("Namespace"), {"metadata": {"name": f"n{number}"}})
    await plane.settle()
    for number in range(20):
        account = await client.get(kinds.core("ServiceAccount"), "default", f"n{number}")
        (reference,) = account["secrets"]
        secret = await client.get(kinds.core("Secret"), reference["name"], f"n{number}")
        assert secret["data"]["token"]


async def test_unsettled_says_who_is_busy(plane: ControlPlane) -> None:
    """A watch that is not read keeps the plane from settling, and the error says so."""
    configmaps = plane.kinds.core("ConfigMap")
    stream = await plane.client.watch(configmaps, "default", after=0)
    try:
        await plane.client.create(configmaps, {"metadata": {"name": "a", "namespace": "default"}})
        with pytest.raises(Unsettled, match="a watch whose client does not read"):
            await plane.settle(within=0.05)
    finally:
        stream.close()
    await plane.settle()


async def test_namespace_can_be_used_at_once(plane: ControlPlane) -> None:
    """It has its account, the token and the root CA when it is handed over."""
    namespace = await plane.namespace("team", labels={"a": "b"})
    assert namespace["metadata"]["labels"]["a"] == "b"
    assert await plane.client.get(plane.kinds.core("ConfigMap"), "kube-root-ca.crt", "team")
    assert (await plane.client.get(plane.kinds.core("ServiceAccount"), "default", "team"))[
        "secrets"
    ]


async def ask(plane: ControlPlane, path: str, headers: Mapping[str, str]) -> tuple[int, Any]:
    context = ssl.create_default_context(cadata=plane.ca.decode())
    async with (
        aiohttp.ClientSession() as session,
        session.get(plane.url + path, headers=headers, ssl=context) as answer,
    ):
        return answer.status, await answer.json()


async def test_account_has_a_token_and_its_own_rights(plane: ControlPlane) -> None:
    """The token is the account's, and RBAC counts for it."""
    await plane.namespace("team")
    access = await plane.as_service_account("team")
    status, body = await ask(plane, "/api/v1/namespaces/team/pods", access.headers)
    assert status == 403
    assert 'User "system:serviceaccount:team:default"' in body["message"]
    assert (await ask(plane, "/api/v1", access.headers))[0] == 200
    assert stat.S_IMODE(access.kubeconfig.stat().st_mode) == 0o600
    assert access.token in access.kubeconfig.read_text()
    assert access.token not in repr(access)


async def test_account_that_is_not_there_has_none(plane: ControlPlane) -> None:
    """Asking for somebody who does not exist is an error."""
    with pytest.raises(NotFound, match="serviceaccounts"):
        await plane.as_service_account("default", "nobody")


async def test_reset_brings_the_start_back(plane: ControlPlane) -> None:
    """What was made is gone, what was deleted is back as it was, and what was changed is changed back."""
    before = everything(plane)
    secrets = plane.kinds.core("Secret")
    await plane.namespace("team")
    (token,) = (await plane.client.list(secrets, "default")).items
    await plane.client.delete(plane.kinds.core("ServiceAccount"), "default", "default")
    await plane.settle()
    assert everything(plane) != before
    plane.reset()
    assert everything(plane) == before
    await plane.settle()
    assert everything(plane) == before
    assert (await plane.client.get(secrets, name_of(token), "default"))["data"] == token["data"]


async def test_watchers_hear_of_a_reset(plane: ControlPlane) -> None:
    """For a client it is a change like any other, at a revision above all others."""
    configmaps = plane.kinds.core("ConfigMap")
    one = await plane.client.create(
        configmaps, {"metadata": {"name": "a", "namespace": "default"}, "data": {"k": "1"}}
    )
    snapshot = plane.snapshot()
    changed = await plane.client.update(configmaps, {**one, "data": {"k": "2"}})
    after = int(changed["metadata"]["resourceVersion"])
    stream = await plane.client.watch(configmaps, "default", after=after)
    plane.restore(snapshot)
    (event,) = await asyncio.wait_for(stream.read(), 5)
    stream.close()
    assert event.revision > after
    assert event.object["data"] == {"k": "1"}  # type: ignore[union-attr]


async def test_another_object_of_that_name_goes_before_the_first_one_comes_back(
    plane: ControlPlane,
) -> None:
    """No watcher ever sees an object change its uid."""
    configmaps = plane.kinds.core("ConfigMap")
    manifest = {"metadata": {"name": "a", "namespace": "default"}}
    first = await plane.client.create(configmaps, manifest)
    snapshot = plane.snapshot()
    await plane.client.delete(configmaps, "a", "default")
    second = await plane.client.create(configmaps, manifest)
    after = int(second["metadata"]["resourceVersion"])
    stream = await plane.client.watch(configmaps, "default", after=after)
    plane.restore(snapshot)
    told = await asyncio.wait_for(stream.read(), 5)
    stream.close()
    assert [(event.type, uid_of(event.object)) for event in told if isinstance(event, Event)] == [
        (EventType.DELETED, uid_of(second)),
        (EventType.ADDED, uid_of(first)),
    ]


async def test_accounts_and_tokens_that_come_late() -> None:
    """A client that wants one at once meets what it may meet in a cluster; one that waits gets it."""
    clock = FakeClock()
    late = {"serviceaccount-controller": 3.0, "serviceaccount-token-controller": 5.0}
    async with ControlPlane(delays=late, clock=clock) as plane:
        kinds, client = plane.kinds, plane.client
        await client.create(kinds.core("Namespace"), {"metadata": {"name": "team"}})
        await plane.settle()
        with pytest.raises(NotFound):
            await client.get(kinds.core("ServiceAccount"), "default", "team")
        await clock.advance(3)
        await plane.settle()
        account = await client.get(kinds.core("ServiceAccount"), "default", "team")
        assert not account.get("secrets")
        await clock.advance(5)
        await plane.settle()
        account = await client.get(kinds.core("ServiceAccount"), "default", "team")
        assert account["secrets"]


async def test_delay_of_nobody_is_refused() -> None:
    """A name that is misspelled would delay nothing."""
    with pytest.raises(StartError, match="acounts"):
        await ControlPlane(delays={"acounts": 1.0}).start()


def test_plane_serves_programs_without_a_loop() -> None:
    """The same in a thread: everything waits for its outcome."""
    with BlockingPlane() as plane:
        plane.namespace("team")
        assert plane.get("v1", "ServiceAccount", "default", "team")["secrets"]
        made = plane.create(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "a", "namespace": "team"},
            }
        )
        plane.update({**made, "data": {"k": "v"}})
        assert plane.get("v1", "ConfigMap", "a", "team")["data"] == {"k": "v"}
        plane.delete("v1", "ConfigMap", "a", "team")
        with pytest.raises(NotFound):
            plane.get("v1", "ConfigMap", "a", "team")
        assert plane.as_service_account("team").token
        plane.reset()
        names = {item["metadata"]["name"] for item in plane.list("v1", "Namespace")}
        assert names == {"default", "kube-node-lease", "kube-public", "kube-system"}
    with pytest.raises(RuntimeError, match="not been started"):
        plane.settle()


def test_plane_in_a_thread_that_cannot_start_says_why() -> None:
    """The error of the start comes through, and nothing is left behind."""
    plane = BlockingPlane(controllers=("nonsense",))
    with pytest.raises(Exception, match="nonsense"):
        plane.start()
    plane.stop()


async def test_plane_settles_after_rights_were_looked_up(plane: ControlPlane) -> None:
    """RBAC reads the history when it is asked, and waits for nothing: nobody has to wait for it."""
    access = await plane.as_service_account("default")
    assert (await ask(plane, "/api/v1/pods", access.headers))[0] == 403
    await plane.namespace("team")
    await plane.settle(within=5)
