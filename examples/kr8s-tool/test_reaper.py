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
    preview(verger, "older", PAST)
    hold(verger, "old")
    assert main(["--patience", "0.3"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("old is stuck: ")
    assert "example.com/hold in 1 resource instances" in told
    assert "older" not in names(verger)


def test_it_goes_on_when_something_lets_go(verger: BlockingPlane) -> None:
    preview(verger, "old", PAST)
    hold(verger, "old")
    with ThreadPoolExecutor() as pool:
        reaped = pool.submit(main, ["--patience", "10"])
        eventually(lambda: verger.requests.of(verb="get", name="old"))
        release(verger, "old")
        assert reaped.result() == 0


# Why it does not use kr8s's own way to wait


async def waits() -> None:
    api = await kr8s.asyncio.api()
    await (await Namespace.get("old", api=api)).wait("delete", timeout=1)


def test_wait_breaks_with_its_connection(verger: BlockingPlane) -> None:
    preview(verger, "old", PAST)
    with ThreadPoolExecutor() as pool:
        waited = pool.submit(asyncio.run, waits())
        eventually(lambda: verger.faults.cut_watches(resource="namespaces"))
        with pytest.raises(httpx.RemoteProtocolError):
            waited.result()


def test_wait_storms_the_server_when_the_history_has_expired(verger: BlockingPlane) -> None:
    """It is told 410, asks for the same revision again, and does not see that the namespace is gone."""
    preview(verger, "old", PAST)
    with ThreadPoolExecutor() as pool:
        waited = pool.submit(asyncio.run, waits())
        eventually(lambda: verger.requests.of(verb="watch", name="old"))
        verger.namespace("another")  # so that there is a newer revision
        verger.faults.expire_history()
        verger.delete("v1", "Namespace", "old")
        with pytest.raises((TimeoutError, kr8s.NotFoundError)):
            waited.result()
    assert "old" not in names(verger)
    assert verger.requests.of(verb="watch", name="old").count > 20
