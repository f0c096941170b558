"""The reaper against a control plane in which namespaces really go, or do not."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import kr8s
import pytest
from kr8s.asyncio.objects import Namespace
from reaper import EXPIRES, main
from verger.embed import BlockingPlane

PAST, FUTURE = "2020-01-01T00:00:00+00:00", "2100-01-01T00:00:00+00:00"


@pytest.fixture(autouse=True)
def found(verger_kubeconfig: Path) -> Path:
    """Every client finds the plane."""
    return verger_kubeconfig


def preview(verger: BlockingPlane, name: str, expires: str) -> None:
    verger.namespace(name, labels={"preview": "yes"}, annotations={EXPIRES: expires})


def hold(verger: BlockingPlane, namespace: str) -> Any:
    """Puts something into a namespace that does not go, because nobody takes its finalizer away."""
    metadata = {"name": "held", "namespace": namespace, "finalizers": ["example.com/hold"]}
    return verger.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})


def release(verger: BlockingPlane, namespace: str) -> None:
    held = verger.get("v1", "ConfigMap", "held", namespace)
    verger.update({**held, "metadata": {**held["metadata"], "finalizers": []}})


def names(verger: BlockingPlane) -> set[str]:
    return {item["metadata"]["name"] for item in verger.list("v1", "Namespace")}


def eventually(is_true: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 10
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_is_over_goes_with_everything_in_it(verger: BlockingPlane) -> None:
    preview(verger, "old", PAST)
    preview(verger, "new", FUTURE)
    verger.namespace("kept", annotations={EXPIRES: PAST})
    assert main(["--patience", "10"]) == 0
    assert names(verger) & {"old", "new", "kept"} == {"new", "kept"}
    assert "old" not in {item["metadata"]["namespace"] for item in verger.list("v1", "Secret")}


def test_what_is_stuck_is_told_with_its_reason(
    verger: BlockingPlane, capsys: pytest.CaptureFixture[str]
) -> None:
    """The namespace controller says what holds it, and the reaper repeats that."""
    preview(verger, "old", PAST)
    hold(verger, "old")
    verger.delete("v1", "Namespace", "old")
    eventually(lambda: verger.get("v1", "Namespace", "old")["status"].get("conditions"))
    assert main(["--patience", "0.1"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("old is stuck: ")
    assert "example.com/hold in 1 resource instances" in told


def test_it_goes_on_when_something_lets_go(verger: BlockingPlane) -> None:
    preview(verger, "old", PAST)
    hold(verger, "old")
    with ThreadPoolExecutor() as pool:
        reaped = pool.submit(main, ["--patience", "10"])
        eventually(lambda: verger.requests.of(verb="get", name="old"))
        release(verger, "old")
        assert reaped.result() == 0


# Why it does not use kr8s's own way to wait


async def waiting(verger: BlockingPlane) -> "asyncio.Task[None]":
    """Somebody who waits for the namespace to go, once his watch is open."""
    preview(verger, "old", PAST)
    api = await kr8s.asyncio.api()
    task = asyncio.create_task((await Namespace.get("old", api=api)).wait("delete", timeout=30))
    while not verger.requests.of(verb="watch", name="old"):
        await asyncio.sleep(0.01)
    return task


def test_wait_breaks_with_its_connection(verger: BlockingPlane) -> None:
    async def cut() -> None:
        wait = await waiting(verger)
        while not verger.faults.cut_watches(resource="namespaces"):
            await asyncio.sleep(0.01)
        await wait

    with pytest.raises(httpx.RemoteProtocolError):
        asyncio.run(cut())


def test_wait_storms_the_server_when_the_history_has_expired(verger: BlockingPlane) -> None:
    """It is told 410, asks for the same revision again, and does not see that the namespace is gone."""

    async def expire() -> None:
        wait = await waiting(verger)
        verger.namespace("another")  # so that there is a newer revision
        verger.faults.expire_history()
        verger.delete("v1", "Namespace", "old")
        while "old" in names(verger) or verger.requests.of(verb="watch", name="old").count < 20:
            await asyncio.sleep(0.01)
        assert not wait.done()
        wait.cancel()

    asyncio.run(asyncio.wait_for(expire(), 20))
