"""A kopf operator: it runs as its users run it, in a process of its own."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from verger.embed import BlockingPlane
from verger.store.errors import Conflict, NotFound

OPERATOR = """
import kopf

@kopf.on.create("configmaps", labels={"greet": kopf.PRESENT})
@kopf.on.update("configmaps", labels={"greet": kopf.PRESENT})
def greeted(body, patch, **_):
    patch.metadata.annotations["greeting"] = f"hello {body['data']['name']}"

@kopf.on.delete("configmaps", labels={"greet": kopf.PRESENT})
def gone(name, namespace, logger, **_):
    logger.info("farewell %s", name)
"""


@pytest.fixture
def operator(tmp_path: Path, namespace: str) -> Iterator["subprocess.Popen[str]"]:
    program = tmp_path / "operator.py"
    program.write_text(OPERATOR)
    command = [sys.executable, "-m", "kopf", "run", "--standalone", "-n", namespace, str(program)]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as process:
        yield process
        if process.poll() is None:
            process.terminate()
            process.communicate(timeout=20)


def until(verger: BlockingPlane, condition: Callable[[], bool]) -> None:
    """Returns when the condition holds. It is looked at after each change that anybody makes."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        verger.settle()


def made(namespace: str, name: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "labels": {"greet": "yes"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"name": name}}


def greeting(verger: BlockingPlane, namespace: str) -> str | None:
    metadata = verger.get("v1", "ConfigMap", "a", namespace)["metadata"]
    found: str | None = metadata.get("annotations", {}).get("greeting")
    return found


def test_operator_lives_through_an_objects_life(
    verger: BlockingPlane, operator: "subprocess.Popen[str]", namespace: str
) -> None:
    """Its handlers run on create, update and delete; its finalizer holds the object until it has said farewell."""
    verger.create(made(namespace, "a"))
    until(verger, lambda: greeting(verger, namespace) == "hello a")
    shown = dict(verger.get("v1", "ConfigMap", "a", namespace))
    assert shown["metadata"]["finalizers"] == ["kopf.zalando.org/KopfFinalizerMarker"]
    until(verger, lambda: replaced(verger, namespace, {"name": "b"}))
    until(verger, lambda: greeting(verger, namespace) == "hello b")
    verger.delete("v1", "ConfigMap", "a", namespace)
    until(verger, lambda: is_gone(verger, namespace))
    operator.send_signal(signal.SIGTERM)
    _, log = operator.communicate(timeout=20)
    assert "farewell a" in log


def replaced(verger: BlockingPlane, namespace: str, data: dict[str, str]) -> bool:
    """Whether new data could be written; not when the operator was faster."""
    try:
        verger.update({**verger.get("v1", "ConfigMap", "a", namespace), "data": data})
    except Conflict:
        return False
    return True


def is_gone(verger: BlockingPlane, namespace: str) -> bool:
    try:
        verger.get("v1", "ConfigMap", "a", namespace)
    except NotFound:
        return True
    return False
