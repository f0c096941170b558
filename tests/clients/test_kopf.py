"""kopf operators, each in a thread of its own: started, stopped and started again as a process would be."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import kopf
import pytest
from verger.embed import BlockingPlane
from verger.store.errors import Conflict, NotFound

DEADLINE = 30.0
"""Seconds for something to happen; reaching them is a failure."""
MARKER = "kopf.zalando.org/KopfFinalizerMarker"
GROUP = "kopf.example.com"
SCHEMA = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {"crew": {"type": "integer", "minimum": 1, "default": 3}},
        },
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    },
}
DEFINITION: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"ships.{GROUP}"},
    "spec": {
        "group": GROUP,
        "scope": "Namespaced",
        "names": {"plural": "ships", "singular": "ship", "kind": "Ship"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": SCHEMA},
            }
        ],
    },
}

Run = Callable[[kopf.OperatorRegistry], contextlib.AbstractContextManager[None]]


def greeter() -> kopf.OperatorRegistry:
    """An operator for ConfigMaps with a label; it keeps what it does in their annotations."""
    registry = kopf.OperatorRegistry()
    chosen: dict[str, Any] = {"labels": {"greet": kopf.PRESENT}, "registry": registry}

    @kopf.on.create("configmaps", **chosen)
    @kopf.on.update("configmaps", **chosen)
    def greeted(body: kopf.Body, patch: kopf.Patch, **_: Any) -> None:
        patch.metadata.annotations["greeting"] = f"hello {body['data']['name']}"

    @kopf.on.delete("configmaps", **chosen)
    def gone(body: kopf.Body, **_: Any) -> None:
        kopf.info(body, reason="Gone", message="farewell")

    return registry


def shipyard() -> kopf.OperatorRegistry:
    """An operator for a kind of its own; it keeps what it does in the status."""
    registry = kopf.OperatorRegistry()
    ships: dict[str, Any] = {"group": GROUP, "plural": "ships", "registry": registry}

    @kopf.on.create(**ships, id="launched")
    def launched(spec: kopf.Spec, **_: Any) -> dict[str, Any]:
        return {"crew": spec["crew"]}

    @kopf.on.update(**ships, field="spec.crew")
    def mustered(old: int, new: int, patch: kopf.Patch, **_: Any) -> None:
        patch.status["change"] = f"{old} to {new}"

    @kopf.on.resume(**ships)
    def resumed(patch: kopf.Patch, **_: Any) -> None:
        patch.status["resumed"] = True

    @kopf.on.delete(**ships)
    def scuttled(body: kopf.Body, **_: Any) -> None:
        kopf.info(body, reason="Scuttled", message="with all hands")

    return registry


@pytest.fixture
def run(namespace: str) -> Run:
    """Runs an operator for one namespace, and stops it in good order."""

    @contextlib.contextmanager
    def running(registry: kopf.OperatorRegistry) -> Iterator[None]:
        kopf.on.login(registry=registry)(kopf.login_with_kubeconfig)
        ready, stop = threading.Event(), threading.Event()
        options: dict[str, Any] = {
            "registry": registry,
            "standalone": True,
            "namespaces": [namespace],
            "ready_flag": ready,
            "stop_flag": stop,
        }
        thread = threading.Thread(target=kopf.run, kwargs=options)
        thread.start()
        try:
            assert ready.wait(DEADLINE)
            yield
        finally:
            stop.set()
            thread.join(DEADLINE)
            assert not thread.is_alive()

    return running


def until(verger: BlockingPlane, holds: Callable[[], bool]) -> None:
    """Returns when something holds. It is looked at after each change that anybody makes."""
    deadline = time.monotonic() + DEADLINE
    while not holds():
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
    verger: BlockingPlane, run: Run, namespace: str
) -> None:
    """Its handlers run on create, update and delete; its finalizer holds the object until it has said farewell."""
    with run(greeter()):
        verger.create(made(namespace, "a"))
        until(verger, lambda: greeting(verger, namespace) == "hello a")
        shown = dict(verger.get("v1", "ConfigMap", "a", namespace))
        assert shown["metadata"]["finalizers"] == [MARKER]
        until(verger, lambda: changed(verger, shown, data={"name": "b"}))
        until(verger, lambda: greeting(verger, namespace) == "hello b")
        verger.delete("v1", "ConfigMap", "a", namespace)
        until(verger, lambda: is_gone(verger, shown))
    assert reasons(verger, namespace) == {"Gone"}


def changed(verger: BlockingPlane, obj: dict[str, Any], **parts: Any) -> bool:
    """Whether parts of an object could be written; not when the operator was faster."""
    found = verger.get(obj["apiVersion"], obj["kind"], *place(obj))
    with contextlib.suppress(Conflict):
        verger.update({**found, **parts})
        return True
    return False


def place(obj: dict[str, Any]) -> tuple[str, str]:
    return obj["metadata"]["name"], obj["metadata"]["namespace"]


def is_gone(verger: BlockingPlane, obj: dict[str, Any]) -> bool:
    try:
        verger.get(obj["apiVersion"], obj["kind"], *place(obj))
    except NotFound:
        return True
    return False


def reasons(verger: BlockingPlane, namespace: str) -> set[str]:
    """Of the events that the operator has posted."""
    return {event["reason"] for event in verger.list("v1", "Event", namespace)}


# An operator with a kind of its own


def define(verger: BlockingPlane) -> None:
    verger.create(DEFINITION)
    verger.settle()


def ship(namespace: str, name: str, **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": f"{GROUP}/v1", "kind": "Ship", "metadata": metadata, "spec": spec}


def launch(verger: BlockingPlane, namespace: str, name: str, **spec: Any) -> dict[str, Any]:
    """A ship that its operator has seen."""
    obj = ship(namespace, name, **spec)
    verger.create(obj)
    until(verger, lambda: "launched" in status(verger, obj))
    return obj


def status(verger: BlockingPlane, obj: dict[str, Any]) -> dict[str, Any]:
    return dict(verger.get(obj["apiVersion"], obj["kind"], *place(obj)).get("status", {}))


def test_kind_of_its_own_comes_while_the_operator_runs(
    verger: BlockingPlane, run: Run, namespace: str
) -> None:
    """It hears of the definition; the status that it writes is no new generation; it keeps going when history expires."""
    with run(shipyard()):
        define(verger)
        a = launch(verger, namespace, "a")
        assert status(verger, a)["launched"] == {"crew": 3}
        found = verger.get(a["apiVersion"], "Ship", "a", namespace)["metadata"]
        assert (found["finalizers"], found["generation"]) == ([MARKER], 1)
        until(verger, lambda: changed(verger, a, spec={"crew": 4}))
        until(verger, lambda: status(verger, a).get("change") == "3 to 4")
        # History is gone for all that it watches: it lists again, and takes nothing for new that is not.
        assert verger.faults.expire_history() >= 2
        until(verger, lambda: changed(verger, a, spec={"crew": 5}))
        until(verger, lambda: status(verger, a).get("change") == "4 to 5")
        assert verger.requests.of(verb="list", resource="ships").count >= 2
        verger.delete(a["apiVersion"], "Ship", "a", namespace)
        until(verger, lambda: is_gone(verger, a))
        # Events are posted by a queue of their own, which may be behind the deletion.
        until(verger, lambda: reasons(verger, namespace) == {"Scuttled"})


def test_operator_that_is_restarted_goes_on(
    verger: BlockingPlane, run: Run, namespace: str
) -> None:
    """What was changed or deleted while it was away is handled when it is back."""
    define(verger)
    with run(shipyard()):
        a, b, c = (launch(verger, namespace, name, crew=1) for name in ("a", "b", "c"))
    until(verger, lambda: changed(verger, a, spec={"crew": 7}))
    verger.delete(b["apiVersion"], "Ship", "b", namespace)
    assert not is_gone(verger, b), "its finalizer holds it"
    verger.faults.expire_history()
    with run(shipyard()):
        until(verger, lambda: status(verger, a).get("change") == "1 to 7")
        until(verger, lambda: is_gone(verger, b))
        until(verger, lambda: status(verger, c).get("resumed") is True)
        verger.delete(a["apiVersion"], "Ship", "a", namespace)
        until(verger, lambda: is_gone(verger, a))
