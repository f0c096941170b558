"""Faults on purpose: what they strike, what they leave alone, and that a seed brings them back."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from verger.apiserver.calls import Call
from verger.controllers.manager import UnknownController
from verger.embed import BlockingPlane, ControlPlane
from verger.embed.faults import Faults
from verger.embed.shifted_clock import ShiftedClock
from verger.store.errors import NotFound
from verger.store.request import User
from verger.watch.clock import FakeClock

from tests.embed.conftest import DEADLINE

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
WHOAMI = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


def configmap(name: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": data}


# Requests


async def test_failure_strikes_as_often_as_it_is_told(plane: ControlPlane, api: Any) -> None:
    """The client reads when to come again, twice, and then its request is done."""
    fault = plane.faults.fail(503, verb="create", resource="configmaps", times=2, retry_after=7)
    for _ in range(2):
        async with api.asking("POST", CONFIGMAPS, configmap("a")) as answer:
            body = await answer.json()
            assert (answer.status, answer.headers["Retry-After"]) == (503, "7")
            assert body["reason"] == "ServiceUnavailable"
            assert body["details"]["retryAfterSeconds"] == 7
    assert (await api("POST", CONFIGMAPS, configmap("a")))[0] == 201
    assert fault.hits == 2
    assert [call.fault for call in plane.requests] == ["503", "503", ""]


async def test_failure_comes_before_anything_is_done(plane: ControlPlane, api: Any) -> None:
    """What was refused has not happened."""
    with plane.faults.fail(500):
        assert (await api("POST", CONFIGMAPS, configmap("a")))[0] == 500
        with pytest.raises(NotFound):
            await plane.client.get(plane.kinds.core("ConfigMap"), "a", "default")
    assert (await api("POST", CONFIGMAPS, configmap("a")))[0] == 201, "it ended with its block"


async def test_fault_leaves_others_alone(plane: ControlPlane, api: Any) -> None:
    """Another resource, verb or user is not struck."""
    access = await plane.as_service_account("default")
    plane.faults.fail(429, verb="get", resource="pods", user="default/default")
    plane.faults.fail(503, verb="list", resource="secrets", skip=1)
    assert (await api("GET", "/api/v1/namespaces/default/pods/a"))[0] == 404
    assert (await api("GET", "/api/v1/namespaces/default/secrets"))[0] == 200
    assert (await api("GET", "/api/v1/namespaces/default/secrets"))[0] == 503
    denied = await api("GET", "/api/v1/namespaces/default/pods/a", token=access.token)
    assert denied[0] == 403, "who may not is told so, faults or none"


@pytest.mark.parametrize("code", [200, 418, 600])
async def test_code_that_is_no_error_is_refused(plane: ControlPlane, code: int) -> None:
    """A fault that no client could meet is a mistake of the test."""
    with pytest.raises(ValueError, match=str(code)):
        plane.faults.fail(code)
    with pytest.raises(ValueError, match="between 0 and 1"):
        plane.faults.fail(503, probability=2)
    with pytest.raises(TypeError, match="told apart by verbs"):
        plane.faults.fail(503, verbs="get")  # type: ignore[call-arg]


async def test_conflict_is_the_one_that_clients_know(plane: ControlPlane, api: Any) -> None:
    """Updates and patches are refused in the words of a stale revision, reads are not."""
    await api("POST", CONFIGMAPS, configmap("a"))
    plane.faults.conflict(times=1)
    assert (await api("GET", f"{CONFIGMAPS}/a"))[0] == 200
    status, body = await api("PUT", f"{CONFIGMAPS}/a", configmap("a", k="v"))
    assert (status, body["reason"]) == (409, "Conflict")
    assert "the object has been modified" in body["message"]
    assert body["details"] == {"name": "a", "kind": "configmaps"}
    assert (await api("PUT", f"{CONFIGMAPS}/a", configmap("a", k="v")))[0] == 200


async def test_late_request_waits_by_the_clock_of_the_plane() -> None:
    """A test that holds the clock decides when it is done, and nothing really waits."""
    clock = FakeClock()
    async with ControlPlane(clock=clock) as plane, aiohttp.ClientSession() as session:
        plane.faults.latency(30, resource="configmaps")
        headers = {"Authorization": f"Bearer {plane.token}"}
        asking = asyncio.create_task(
            session.get(plane.url + CONFIGMAPS, headers=headers, ssl=False)
        )
        async with asyncio.timeout(DEADLINE):
            while not any(fault.hits for fault in plane.faults):  # noqa: ASYNC110 - the plane goes on in each turn
                await asyncio.sleep(0)
            await clock.advance(29)
            assert not asking.done()
            await clock.advance(1)
            async with await asking as answer:
                assert answer.status == 200
        assert plane.requests.of(resource="configmaps").one.duration == 30


async def test_late_request_does_not_hold_up_the_end() -> None:
    """Who waits for a clock that nobody moves is let go when the plane stops."""
    async with aiohttp.ClientSession() as session:
        async with ControlPlane(clock=FakeClock()) as plane:
            plane.faults.latency(3600)
            headers = {"Authorization": f"Bearer {plane.token}"}
            asking = asyncio.create_task(
                session.get(plane.url + CONFIGMAPS, headers=headers, ssl=False)
            )
            while not any(fault.hits for fault in plane.faults):  # noqa: ASYNC110 - the plane goes on in each turn
                await asyncio.sleep(0)
        async with asyncio.timeout(DEADLINE), await asking as answer:
            assert answer.status == 200


async def test_lost_answer_is_a_write_that_was_done(plane: ControlPlane, api: Any) -> None:
    """The client sees a broken connection, and the object is there; what fails by itself is answered."""
    fault = plane.faults.lose_answers(resource="configmaps", times=1)
    assert (await api("GET", CONFIGMAPS))[0] == 200
    assert (await api("PUT", f"{CONFIGMAPS}/a", {"data": 1}))[0] == 400
    with pytest.raises(aiohttp.ClientConnectionError):
        await api("POST", CONFIGMAPS, configmap("a"))
    assert (await api("POST", CONFIGMAPS, configmap("a")))[0] == 409
    assert fault.hits == 1
    lost = plane.requests.of(verb="create")[0]
    assert (lost.code, lost.fault) == (201, "answer lost")


# Watches


class Watching:
    """An open watch of ConfigMaps that is read line by line."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.answer = answer

    async def next(self) -> Any:
        async with asyncio.timeout(DEADLINE):
            line = await self.answer.content.readline()
        return json.loads(line) if line else None


async def make(plane: ControlPlane, name: str) -> None:
    obj = {"metadata": {"name": name, "namespace": "default"}}
    await plane.client.create(plane.kinds.core("ConfigMap"), obj)


async def test_cut_watch_breaks_off(plane: ControlPlane, api: Any) -> None:
    """Of the scope alone: its reader gets an error, and another watch goes on."""
    async with (
        api.asking("GET", f"{CONFIGMAPS}?watch=1&fieldSelector=metadata.name=a") as cut,
        api.asking("GET", "/api/v1/namespaces/default/secrets?watch=1") as other,
    ):
        assert plane.faults.cut_watches(resource="configmaps") == 1
        with pytest.raises(aiohttp.ClientPayloadError):
            await Watching(cut).next()
        assert not other.content.is_eof()
        assert plane.requests.of(verb="watch", resource="secrets").one.duration is None


async def test_frozen_watch_says_nothing_and_forgets_nothing(plane: ControlPlane, api: Any) -> None:
    """The world goes on, the plane is settled, and after the thaw everything comes, in order and once."""
    async with api.asking("GET", f"{CONFIGMAPS}?watch=1&resourceVersion=0") as answer:
        watching = Watching(answer)
        assert (await watching.next())["object"]["metadata"]["name"] == "kube-root-ca.crt"
        assert plane.faults.freeze_watches(resource="configmaps") == 1
        heard = answer.content.total_bytes
        for name in ("a", "b"):
            await make(plane, name)
            await plane.settle()
        assert answer.content.total_bytes == heard
        assert plane.faults.thaw_watches() == 1
        await make(plane, "c")
        names = [(await watching.next())["object"]["metadata"]["name"] for _ in range(3)]
        assert names == ["a", "b", "c"]


async def test_watch_that_opens_in_a_freeze_is_frozen_too(plane: ControlPlane, api: Any) -> None:
    """A client that comes back is no wiser; it gets everything at the thaw, which another scope may have earlier."""
    assert plane.faults.freeze_watches(resource=("configmaps", "secrets")) == 0
    plane.faults.thaw_watches(resource="secrets")
    async with (
        api.asking("GET", f"{CONFIGMAPS}?watch=1&resourceVersion=0") as configmaps,
        api.asking("GET", "/api/v1/namespaces/default/secrets?watch=1") as secrets,
    ):
        assert (await Watching(secrets).next())["type"] == "ADDED"
        await make(plane, "a")
        await plane.settle()
        assert configmaps.content.total_bytes == 0
        assert plane.faults.thaw_watches(resource="configmaps") == 1
        watching = Watching(configmaps)
        names = [(await watching.next())["object"]["metadata"]["name"] for _ in range(2)]
        assert names == ["kube-root-ca.crt", "a"]
    plane.reset()
    async with api.asking("GET", f"{CONFIGMAPS}?watch=1&resourceVersion=0") as again:
        assert (await Watching(again).next())["type"] == "ADDED"


async def test_expired_history_is_gone_for_everybody(plane: ControlPlane, api: Any) -> None:
    """An open watch ends with 410, one from before does not start, and a list is as good as ever."""
    revision = (await api("GET", CONFIGMAPS))[1]["metadata"]["resourceVersion"]
    async with api.asking("GET", f"{CONFIGMAPS}?watch=1&resourceVersion={revision}") as answer:
        watching = Watching(answer)
        await make(plane, "a")
        assert (await watching.next())["type"] == "ADDED"
        assert plane.faults.expire_history(resource="configmaps") == 1
        last = await watching.next()
        assert (last["type"], last["object"]["code"]) == ("ERROR", 410)
        assert await watching.next() is None
    async with api.asking("GET", f"{CONFIGMAPS}?watch=1&resourceVersion={revision}") as answer:
        assert (await Watching(answer).next())["object"]["reason"] == "Expired"
    assert len((await api("GET", CONFIGMAPS))[1]["items"]) == 2


# Controllers and clocks


async def test_paused_controller_does_nothing_until_it_is_resumed(plane: ControlPlane) -> None:
    """The others go on without it, and it finds out by itself what it has missed."""
    await plane.faults.pause("serviceaccount-token-controller")
    await plane.namespace("team")
    accounts = plane.kinds.core("ServiceAccount")
    assert "secrets" not in await plane.client.get(accounts, "default", "team")
    assert "controllers that do not run: serviceaccount-token-controller" in plane.recent()
    plane.faults.resume("serviceaccount-token-controller")
    await plane.controllers.settled(["serviceaccount-token-controller"])
    await plane.settle()
    assert (await plane.client.get(accounts, "default", "team"))["secrets"]


async def test_killed_controllers_leave_nothing_undone(plane: ControlPlane) -> None:
    """Each is killed in the middle of its work, and the world becomes what it should be."""
    namespaces = plane.kinds.core("Namespace")
    for number, controller in enumerate(plane.controllers.names * 2):
        await plane.client.create(namespaces, {"metadata": {"name": f"n{number}"}})
        if plane.controllers.running(controller):
            await plane.faults.kill(controller)
    names = [name for name in plane.controllers.names if plane.controllers.running(name)]
    await plane.controllers.settled(names)
    await plane.settle()
    for number in range(len(plane.controllers.names) * 2):
        account = await plane.client.get(
            plane.kinds.core("ServiceAccount"), "default", f"n{number}"
        )
        assert len(account["secrets"]) == 1


async def test_controller_that_there_is_not_is_an_error(plane: ControlPlane) -> None:
    """A fault that strikes nothing would prove nothing."""
    with pytest.raises(UnknownController, match="nonsense"):
        await plane.faults.kill("nonsense")


async def test_clock_that_jumps_lets_tokens_expire(plane: ControlPlane, api: Any) -> None:
    """Forward past its end a token is nobody's; when the clock is set right it is good again."""
    access = await plane.as_service_account("default", seconds=3600)
    body: dict[str, Any] = {}
    assert (await api("POST", WHOAMI, body, token=access.token))[0] == 201
    plane.faults.jump(3700)
    assert (await api("POST", WHOAMI, body, token=access.token))[0] == 401
    plane.faults.clear()
    assert (await api("POST", WHOAMI, body, token=access.token))[0] == 201


# Seeds


def struck(seed: int, order: list[int]) -> set[str]:
    """Which of a hundred requests a fault strikes that strikes one in three."""
    faults = Faults(seed, ShiftedClock(FakeClock()))
    fault = faults.fail(503, verb="get", probability=0.3)
    calls = [Call(0.0, "get", "", User("a"), resource="pods", name=f"p{n}") for n in order]
    return {call.name for call in calls if fault.strikes(call)}


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(), order=st.permutations(range(60)))
def test_seed_gives_the_same_faults_in_any_order(seed: int, order: list[int]) -> None:
    """What runs at the same time may come in any order: who is struck does not depend on it."""
    assert struck(seed, order) == struck(seed, sorted(order))


def test_seeds_differ_and_chances_are_as_asked() -> None:
    """Another seed strikes others, and about as many as the probability says."""
    found = [frozenset(struck(seed, list(range(60)))) for seed in range(30)]
    assert len(set(found)) == 30
    assert 0.25 < sum(map(len, found)) / (30 * 60) < 0.35


def test_fault_draws_again_for_the_same_request() -> None:
    """A client that tries again is not struck for ever, nor are two faults of the same mind."""
    faults = Faults(1, ShiftedClock(FakeClock()))
    one, other = faults.fail(probability=0.5), faults.fail(probability=0.5)
    call = Call(0.0, "get", "", User("a"), resource="pods", name="p")
    draws = [(one.strikes(call), other.strikes(call)) for _ in range(64)]
    assert len(set(draws)) == 4


async def test_reset_removes_faults_and_begins_their_chances_again(
    plane: ControlPlane, api: Any
) -> None:
    """The next test has the same faults with the same seed, whatever the last one did."""

    async def codes() -> list[int]:
        plane.faults.fail(503, probability=0.5)
        return [(await api("GET", CONFIGMAPS))[0] for _ in range(12)]

    first = await codes()
    assert set(first) == {200, 503}
    await plane.faults.pause("serviceaccount-token-controller")
    plane.reset()
    assert (await api("GET", CONFIGMAPS))[0] == 200
    assert plane.controllers.running("serviceaccount-token-controller")
    plane.reset()
    assert await codes() == first


def test_plain_tests_have_the_same_faults() -> None:
    """From another thread, each of them waits until it is done."""
    with BlockingPlane(seed=5) as plane:
        faults = plane.faults
        assert faults.seed == 5
        for make in (faults.fail, faults.conflict, faults.lose_answers):
            make(verb="create")
        faults.latency(1, verb="create")
        assert [fault.what for fault in faults] == ["503", "conflict", "answer lost", "1 s late"]
        faults.pause("serviceaccount-token-controller")
        plane.namespace("team")
        assert "secrets" not in plane.get("v1", "ServiceAccount", "default", "team")
        faults.kill("serviceaccount-token-controller")
        assert faults.cut_watches() == faults.freeze_watches() == faults.thaw_watches() == 0
        assert faults.expire_history() == 0
        faults.jump(10)
        faults.reseed(6)
        assert (faults.seed, list(faults)) == (6, [])
        faults.pause("serviceaccount-token-controller")
        faults.resume("serviceaccount-token-controller")
        faults.clear()
        assert "the seed of its faults is 6" in plane.recent()
