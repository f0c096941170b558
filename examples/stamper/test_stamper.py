"""The stamper against a control plane: alone, with everything that goes wrong, and with no more rights than it needs."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from stamper import Refused, Stamper, digest_of, is_stamped
from verger.embed import ControlPlane

ROLE = Path(__file__).parent / "role.yaml"
ROBOT = "team/robot"


@pytest.fixture
async def plane() -> AsyncIterator[ControlPlane]:
    """A plane with a namespace, and an account that has the rights of role.yaml."""
    async with ControlPlane(seed=20) as plane:
        await plane.namespace("team")
        await create(plane, {"apiVersion": "v1", "kind": "ServiceAccount", **named("robot")})
        for obj in yaml.safe_load_all(ROLE.read_text()):
            await create(plane, obj)
        yield plane


def named(name: str, **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "team", **more}}


async def create(plane: ControlPlane, obj: dict[str, Any]) -> None:
    group, _, version = obj["apiVersion"].rpartition("/")
    kind = plane.kinds.get(group, version, obj["kind"])
    assert kind is not None
    await plane.client.create(kind, obj)


async def configmap(plane: ControlPlane, name: str, **data: str) -> None:
    labelled = named(name, labels={"stamp": "yes"})
    await create(plane, {"apiVersion": "v1", "kind": "ConfigMap", **labelled, "data": data})


async def read(plane: ControlPlane, name: str) -> Any:
    return await plane.client.get(plane.kinds.core("ConfigMap"), name, "team")


@contextlib.asynccontextmanager
async def running(plane: ControlPlane, program: type[Stamper] = Stamper) -> AsyncIterator[None]:
    """The stamper at work, as its account."""
    access = await plane.as_service_account("team", "robot")
    task = asyncio.create_task(program(access.kubeconfig, "team").run())
    try:
        yield
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        await asyncio.wait([task])


async def eventually(is_true: Callable[[], Any]) -> None:
    """Returns when something has become true."""
    async with asyncio.timeout(10):
        while not await is_true():
            await asyncio.sleep(0.005)


async def all_stamped(plane: ControlPlane) -> bool:
    found = await plane.client.list(plane.kinds.core("ConfigMap"), "team", labels="stamp=yes")
    return all(is_stamped(item) for item in found.items)


async def test_stamps_what_is_there_and_what_comes(plane: ControlPlane) -> None:
    await configmap(plane, "first", k="1")
    async with running(plane):
        await eventually(lambda: all_stamped(plane))
        await configmap(plane, "second", k="2")
        await eventually(lambda: all_stamped(plane))
    assert plane.requests.of(user=ROBOT, verb="update").count == 2, "and not a third time"


@pytest.mark.parametrize("seed", range(5))
async def test_survives_a_bad_day(plane: ControlPlane, seed: int) -> None:
    faults = plane.faults
    faults.reseed(seed)
    faults.fail(503, user=ROBOT, probability=0.2)
    faults.conflict(user=ROBOT, probability=0.3)
    faults.lose_answers(user=ROBOT, probability=0.3)
    async with running(plane):
        for number in range(10):
            await configmap(plane, f"c{number}", k=str(number))
            match number % 3:
                case 0:
                    faults.cut_watches(user=ROBOT)
                case 1:
                    faults.expire_history(user=ROBOT)
        await eventually(lambda: all_stamped(plane))


async def test_waits_as_long_as_it_is_told(plane: ControlPlane) -> None:
    await configmap(plane, "a")
    plane.faults.fail(429, retry_after=0, verb="list", user=ROBOT, times=3)
    async with running(plane):
        await eventually(lambda: all_stamped(plane))
    assert plane.requests.of(verb="list", user=ROBOT).codes == [429, 429, 429, 200]


class Careless(Stamper):
    """The classic mistake: it writes what it has read, without saying which version that was."""

    async def write(self, configmap: dict[str, Any]) -> None:
        configmap["metadata"].pop("resourceVersion", None)
        await super().write(configmap)


async def somebody_else_writes(plane: ControlPlane, program: type[Stamper]) -> str:
    """Changes the data while the stamper's write is on its way, and returns what became of it."""
    await configmap(plane, "a", k="old")
    # Long enough that the change gets in between on any machine.
    on_its_way = plane.faults.latency(0.5, verb="update", user=ROBOT, times=1)
    async with running(plane, program):
        async with asyncio.timeout(10):
            while not on_its_way.hits:
                await asyncio.sleep(0.005)
        patch = {"data": {"k": "new"}}
        await plane.client.patch(plane.kinds.core("ConfigMap"), "a", "team", patch)
        await eventually(lambda: all_stamped(plane))
    return str((await read(plane, "a"))["data"]["k"])


async def test_does_not_undo_what_others_write(plane: ControlPlane) -> None:
    assert await somebody_else_writes(plane, Stamper) == "new"
    assert plane.requests.of(verb="update", user=ROBOT).codes == [409, 200]


async def test_this_would_have_found_the_classic_mistake(plane: ControlPlane) -> None:
    assert await somebody_else_writes(plane, Careless) == "old", "somebody's write is lost"


async def test_role_is_the_smallest_that_will_do(plane: ControlPlane) -> None:
    await configmap(plane, "a", k="1")
    plane.faults.conflict(user=ROBOT, times=1)  # or it would not read single ones
    async with running(plane):
        await eventually(lambda: all_stamped(plane))
    await eventually(lambda: has_watched(plane))
    robot = plane.rbac_report().of(ROBOT)
    assert not robot.refused
    assert not robot.unused
    assert robot.manifests() == list(yaml.safe_load_all(ROLE.read_text()))


async def has_watched(plane: ControlPlane) -> bool:
    return plane.requests.of(verb="watch", user=ROBOT).count > 0


def test_digest_is_of_the_data_alone() -> None:
    assert digest_of({"data": {"a": "1", "b": "2"}}) == digest_of({"data": {"b": "2", "a": "1"}})
    assert digest_of({}) == digest_of({"data": None}) != digest_of({"data": {"a": ""}})
    assert Refused(503, 1).after == 1
