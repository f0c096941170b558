"""Bindings: a pod is given to a node once, and only while nothing speaks against it."""

from typing import Any

import pytest
from verger.apiserver.bindings import Bindings
from verger.store.errors import ApiError
from verger.store.request import Posting

from tests.store.conftest import Store

NOW = "2023-11-14T22:13:20Z"
UID = "44444444-4444-4444-4444-444444444444"
SPEC: dict[str, Any] = {"containers": [{"name": "c", "image": "i"}]}
NODE = {"target": {"kind": "Node", "name": "n"}}


@pytest.fixture
async def store() -> Store:
    """A store with a namespace and a pod that waits for a node."""
    store = Store()
    await store.create("Namespace", {"metadata": {"name": "ns"}})
    annotations = {"kept": "1", "changed": "1"}
    await store.create("Pod", {"metadata": {"name": "a", "annotations": annotations}, "spec": SPEC})
    return store


async def bind(store: Store, name: str, dry_run: bool = False, **body: Any) -> Any:
    """POST pods/{name}/binding; without a name, POST bindings."""
    kind = store.kind("Pod")
    answer = Bindings(store.registry, kind, store.clock).answerers()
    resource = ("pods", "binding") if name else ("bindings", "")
    posting = Posting(kind.form("binding"), "ns", name, body, store.request(dry_run))
    return await answer[resource](posting)


async def refusal(store: Store, name: str, **body: Any) -> tuple[int, str]:
    """Code and message of the Status; nothing may have changed."""
    before = store.backend.revision
    with pytest.raises(ApiError) as refused:
        await bind(store, name, **body)
    assert store.backend.revision == before
    status = refused.value.status()
    return status["code"], status["message"]


@pytest.mark.parametrize("name", [pytest.param("a", id="pods"), pytest.param("", id="bindings")])
async def test_binding_gives_the_pod_to_the_node(store: Store, name: str) -> None:
    """Its annotations become the pod's; the pod says that it is scheduled, and its spec counts as unchanged."""
    metadata = {"name": "a", "annotations": {"changed": "2", "new": "1"}}
    answer = await bind(store, name, metadata=metadata, **NODE)
    assert (answer["status"], answer["code"]) == ("Success", 201)
    pod = store.get("Pod", "a")
    assert pod["spec"]["nodeName"] == "n"
    assert pod["metadata"]["annotations"] == {"kept": "1", "changed": "2", "new": "1"}
    assert pod["metadata"]["generation"] == 1
    assert pod["status"]["phase"] == "Pending"
    assert pod["status"]["conditions"] == [
        {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": NOW}
    ]


async def test_dry_run_binds_nothing(store: Store) -> None:
    """But says whether it could."""
    before = store.backend.revision
    await bind(store, "a", dry_run=True, metadata={"name": "a"}, **NODE)
    assert store.backend.revision == before


@pytest.mark.parametrize(
    ("name", "body", "expected"),
    [
        pytest.param(
            "a",
            NODE,
            (400, "name in URL does not match name in Binding object"),
            id="no name in the body",
        ),
        pytest.param(
            "a",
            {"metadata": {"name": "a"}, "target": {"kind": "Pod", "name": "n"}},
            (500, 'target.kind: Unsupported value: "Pod": supported values: "Node", "<empty>"'),
            id="to something that is no node",
        ),
        pytest.param(
            "a",
            {"metadata": {"name": "a"}},
            (500, "target.name: Required value"),
            id="to no node",
        ),
        pytest.param(
            "b", {"metadata": {"name": "b"}, **NODE}, (404, 'pods "b" not found'), id="no such pod"
        ),
        pytest.param(
            "a",
            {"metadata": {"name": "a", "uid": UID}, **NODE},
            (409, "Precondition failed"),
            id="another pod of that name",
        ),
        pytest.param(
            "a",
            {"metadata": {"name": "a", "resourceVersion": "1"}, **NODE},
            (409, "the object has been modified"),
            id="an older state of the pod",
        ),
    ],
)
async def test_binding_of_something_else_is_refused(
    store: Store, name: str, body: dict[str, Any], expected: tuple[int, str]
) -> None:
    """The sentences are those that clients know from upstream."""
    code, message = await refusal(store, name, **body)
    assert code == expected[0]
    assert expected[1] in message


async def test_pod_is_bound_once(store: Store) -> None:
    """The first scheduler wins."""
    await bind(store, "a", metadata={"name": "a"}, **NODE)
    other = {"target": {"name": "m"}}
    assert await refusal(store, "a", metadata={"name": "a"}, **other) == (
        409,
        'Operation cannot be fulfilled on pods/binding "a": pod a is already assigned to node "n"',
    )


async def test_pod_behind_a_gate_is_not_bound(store: Store) -> None:
    """It waits for whoever set the gate."""
    gated = {"metadata": {"name": "g"}, "spec": {**SPEC, "schedulingGates": [{"name": "x"}]}}
    await store.create("Pod", gated)
    assert await refusal(store, "g", metadata={"name": "g"}, **NODE) == (
        409,
        'Operation cannot be fulfilled on pods/binding "g": pod g has non-empty .spec.schedulingGates',
    )


async def test_pod_that_is_being_deleted_is_not_bound(store: Store) -> None:
    """Nobody would run it."""
    held = {"metadata": {"name": "h", "finalizers": ["a.b/c"]}, "spec": SPEC}
    await store.create("Pod", held)
    await store.delete("Pod", "h")
    assert await refusal(store, "h", metadata={"name": "h"}, **NODE) == (
        409,
        'Operation cannot be fulfilled on pods/binding "h": pod h is being deleted, cannot be assigned to a host',
    )
