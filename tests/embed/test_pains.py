"""What testers of operators suffer from elsewhere, and that it has an end here. The guide says which test ends which pain."""

import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from verger.embed import ControlPlane
from verger.store.errors import NotFound
from verger.store.objects import uid_of
from verger.watch.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def plane(clock: FakeClock) -> AsyncIterator[ControlPlane]:
    async with ControlPlane(clock=clock) as plane:
        await plane.namespace("team")
        yield plane


async def configmap(plane: ControlPlane, name: str, **metadata: Any) -> Mapping[str, Any]:
    metadata = {"name": name, "namespace": "team", **metadata}
    return await plane.client.create(plane.kinds.core("ConfigMap"), {"metadata": metadata})


async def delete_namespace(plane: ControlPlane, clock: FakeClock) -> None:
    """Its controller lets a moment pass before it begins; the clock makes that no wait."""
    await plane.client.delete(plane.kinds.core("Namespace"), "team")
    await clock.advance(1)
    await plane.settle()


async def is_there(plane: ControlPlane, kind: str, name: str, namespace: str = "") -> bool:
    try:
        await plane.client.get(plane.kinds.core(kind), name, namespace)
    except NotFound:
        return False
    return True


# A test API without controllers


async def test_namespace_that_is_deleted_goes(plane: ControlPlane, clock: FakeClock) -> None:
    """Elsewhere it stays Terminating for ever, and the next test finds what the last one left."""
    await configmap(plane, "a")
    await delete_namespace(plane, clock)
    assert not await is_there(plane, "Namespace", "team")
    await plane.namespace("team")
    assert not await is_there(plane, "ConfigMap", "a", "team")


async def test_what_has_lost_its_owner_goes(plane: ControlPlane) -> None:
    """In the background, grandchildren too; a child of two owners stays with the other one."""
    ones = [await configmap(plane, name) for name in ("one", "other")]
    refs = [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": uid_of(obj)}
        for name, obj in zip(("one", "other"), ones, strict=True)
    ]
    child = await configmap(plane, "child", ownerReferences=refs[:1])
    await configmap(plane, "shared", ownerReferences=refs)
    grandchild = {**refs[0], "name": "child", "uid": uid_of(child)}
    await configmap(plane, "grandchild", ownerReferences=[grandchild])
    await plane.client.delete(plane.kinds.core("ConfigMap"), "one", "team")
    await plane.settle()
    left = [
        name
        for name in ("one", "other", "child", "shared", "grandchild")
        if await is_there(plane, "ConfigMap", name, "team")
    ]
    assert left == ["other", "shared"]


async def test_namespace_has_its_default_account_with_a_token(plane: ControlPlane) -> None:
    """Elsewhere a pod cannot be created before the test has made the account itself."""
    account = await plane.client.get(plane.kinds.core("ServiceAccount"), "default", "team")
    (secret,) = account["secrets"]
    held = await plane.client.get(plane.kinds.core("Secret"), secret["name"], "team")
    assert set(held["data"]) == {"ca.crt", "namespace", "token"}


async def test_controllers_can_be_done_without(plane: ControlPlane, clock: FakeClock) -> None:
    """One that is in a test's way is stopped, and the others go on."""
    await plane.faults.pause("namespace-controller")
    await delete_namespace(plane, clock)
    assert await is_there(plane, "Namespace", "team")
    plane.faults.resume("namespace-controller")
    await plane.controllers.settled(["namespace-controller"])
    await clock.advance(1)
    await plane.settle()
    assert not await is_there(plane, "Namespace", "team")


# Binaries, containers, downloads

CLOSED = """
import asyncio, sys

def only_here(event, arguments):
    if event in ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.system", "os.fork"):
        raise RuntimeError(f"a program: {arguments}")
    if event == "socket.connect" and arguments[1][0] not in ("127.0.0.1", "::1"):
        raise RuntimeError(f"a network: {arguments}")
    if event == "socket.getaddrinfo" and arguments[0] not in ("127.0.0.1", None):
        raise RuntimeError(f"a name: {arguments}")

from verger.embed import ControlPlane

async def main():
    async with ControlPlane() as plane:
        await plane.namespace("team")
        access = await plane.as_service_account("team")
        assert access.token

sys.addaudithook(only_here)
asyncio.run(main())
print("did it")
"""


def test_plane_needs_neither_a_program_nor_a_network() -> None:
    """Another program, a name that is looked up, or a connection to another machine would end this one."""
    ran = subprocess.run(
        [sys.executable, "-c", CLOSED], capture_output=True, text=True, check=False
    )
    assert (ran.stdout, ran.returncode) == ("did it\n", 0), ran.stderr
