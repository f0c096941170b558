"""What the store hands out is shared and never changed: not by writes, not by rules, not by those who ask for copies."""

import gc
from collections.abc import Mapping
from random import Random
from typing import Any

import pytest
from verger.store.backend import Row
from verger.store.errors import ApiError
from verger.store.fitting import Fitter
from verger.store.kinds import Kind
from verger.store.local import LocalClient
from verger.store.objects import encode, thaw
from verger.store.request import User
from verger.store.schemas import load
from verger.store.tracking import Tracker
from verger.watch.event import Bookmark

from tests.store.conftest import Store

TEXT = "dg=="
EVENT = {"involvedObject": {"kind": "ConfigMap", "name": "x", "namespace": "ns"}}
STRICT = {
    "eventTime": "2020-01-01T00:00:00.000001Z",
    "reportingController": "example.com/c",
    "reportingInstance": "i",
    "action": "Act",
    "reason": "Because",
    "type": "Normal",
    "regarding": EVENT["involvedObject"],
}
BODIES: dict[tuple[str, str], list[dict[str, Any]]] = {
    ("", "ConfigMap"): [{}, {"data": {"k": "v"}}, {"data": {"k": "w", "l": "<&>"}, "binaryData": {"b": TEXT}}],
    ("", "Secret"): [{}, {"stringData": {"k": "v"}}, {"data": {"k": TEXT}, "stringData": {"k": "x"}}],
    ("", "ServiceAccount"): [{}, {"secrets": [{"name": "s", "uid": "u"}]}, {"imagePullSecrets": [{"name": "p"}]}],
    ("", "Event"): [EVENT, {**EVENT, "count": 2, "message": "m"}, {**EVENT, "type": "Odd"}],
    ("events.k8s.io", "Event"): [STRICT, {**STRICT, "series": {"count": 2, "lastObservedTime": STRICT["eventTime"]}}],
    ("coordination.k8s.io", "Lease"): [{}, {"spec": {"holderIdentity": "me"}}, {"spec": {"leaseTransitions": 1}}],
    ("", "Namespace"): [{}],
    ("rbac.authorization.k8s.io", "Role"): [{}, {"rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]}],
    ("", "PersistentVolumeClaim"): [
        {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1024Mi"}}}}
    ],
}  # fmt: skip
LABELS: list[dict[str, str]] = [{}, {"x": "1"}, {"x": "2", "y": "1"}]
FINALIZERS: list[list[str]] = [[], [], ["e.com/f"]]


def all_rows(store: Store) -> list[Row]:
    """Every row that is in memory: the newest versions, those in the history, and those that were handed out."""
    gc.collect()
    return [item for item in gc.get_objects() if type(item) is Row]


class Workload:
    """Random writes and reads of one client over a few objects of many kinds."""

    def __init__(self, store: Store, seed: int) -> None:
        self.random = Random(seed)
        self.store = store
        self.client = LocalClient(
            store.registry, store.kinds, Fitter(load(), Tracker(load(), store.clock)), User("alice")
        )
        self.held: list[tuple[Mapping[str, Any], bytes]] = []
        self.done: dict[str, int] = {}

    def hold(self, obj: Mapping[str, Any]) -> None:
        """Keeps an object that came out, with what it was then."""
        self.held.append((obj, encode(obj)))

    def body(self, kind: Kind, name: str) -> dict[str, Any]:
        body = thaw(self.random.choice(BODIES[kind.group, kind.kind]))
        body["metadata"] = {
            "name": name,
            "labels": self.random.choice(LABELS),
            "finalizers": self.random.choice(FINALIZERS),
        }
        if kind.namespaced:
            body["metadata"]["namespace"] = "ns"
        return body

    async def step(self) -> None:
        """One write or read; that the server refuses some is part of the game."""
        kind = self.store.kind(*self.random.choice([*BODIES])[::-1])
        name = self.random.choice("abc")
        verb = self.random.choice(
            [
                "create",
                "update",
                "update",
                "update_as_read",
                "patch",
                "patch",
                "delete",
                "list",
                "status",
                "tidy",
            ]
        )
        try:
            await getattr(self, verb)(kind, name, "ns" if kind.namespaced else "")
        except ApiError:
            return
        self.done[verb] = self.done.get(verb, 0) + 1

    async def create(self, kind: Kind, name: str, namespace: str) -> None:
        body = self.body(kind, name)
        before = encode(body)
        self.hold(await self.client.create(kind, body))
        assert encode(body) == before, "what goes in is copied"

    async def update(self, kind: Kind, name: str, namespace: str) -> None:
        found = await self.client.get(kind, name, namespace)
        body = self.body(kind, name)
        body["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"]
        before = encode(body)
        self.hold(found)
        self.hold(await self.client.update(kind, body))
        assert encode(body) == before, "what goes in is copied"

    async def update_as_read(self, kind: Kind, name: str, namespace: str) -> None:
        found = await self.client.get(kind, name, namespace)
        metadata = {**found["metadata"], "labels": self.random.choice(LABELS)}
        self.hold(found)
        self.hold(await self.client.update(kind, {**found, "metadata": metadata}))

    async def patch(self, kind: Kind, name: str, namespace: str) -> None:
        patch: Any = {
            key: value for key, value in self.body(kind, name).items() if key != "metadata"
        }
        patch["metadata"] = {"labels": self.random.choice([*LABELS, None])}
        way: Any = self.random.choice(["merge", "strategic", "json"])
        if way == "json":
            patch = [{"op": "add", "path": "/metadata/annotations", "value": {"at": name}}]
        self.hold(await self.client.patch(kind, name, namespace, patch, type=way))

    async def status(self, kind: Kind, name: str, namespace: str) -> None:
        patch = {"metadata": {"labels": self.random.choice(LABELS)}, "status": {"phase": "Odd"}}
        part = "status" if "status" in kind.subresources else ""
        self.hold(await self.client.patch(kind, name, namespace, patch, subresource=part))

    async def delete(self, kind: Kind, name: str, namespace: str) -> None:
        way: Any = self.random.choice(["", "", "Background", "Foreground"])
        await self.client.delete(kind, name, namespace, propagation=way)

    async def tidy(self, kind: Kind, name: str, namespace: str) -> None:
        patch = {"metadata": {"finalizers": None}}
        self.hold(await self.client.patch(kind, name, namespace, patch))

    async def list(self, kind: Kind, name: str, namespace: str) -> None:
        found = await self.client.list(kind, namespace, labels=self.random.choice(["", "x", "x=1"]))
        for obj in found.items:
            self.hold(obj)


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(1, 8))]
)
async def test_objects_that_were_handed_out_are_never_changed(store: Store, seed: int) -> None:
    """After thousands of writes of all sorts every row says what its bytes say, and every object what it said then."""
    work = Workload(store, seed)
    start = store.backend.revision
    streams = [
        await work.client.watch(store.kind(kind, group), "", after=start, labels=labels)
        for group, kind in BODIES
        for labels in ("", "x=1")
    ]
    for _ in range(1500):
        await work.step()
    for stream in streams:
        for item in await stream.read():
            assert not isinstance(item, Bookmark)
            work.hold(item.object)
        stream.close()
    rows = all_rows(store)
    assert len(rows) > 400
    assert min(work.done.values()) > 5
    assert len(work.done) == 8
    for row in rows:
        assert encode(row.object) == row.data
    for obj, then in work.held:
        assert encode(obj) == then


async def test_what_goes_in_stays_the_callers(store: Store) -> None:
    """A client may go on changing what it has sent."""
    client = Workload(store, 0).client
    kind = store.kind("ConfigMap")
    body: Any = {
        "metadata": {"name": "a", "namespace": "ns", "labels": {"x": "1"}},
        "data": {"k": "v"},
    }
    created = await client.create(kind, body)
    body["metadata"]["labels"]["x"] = "2"
    body["data"]["k"] = "w"
    assert created["data"] == {"k": "v"}
    updated = await client.update(kind, body)
    body["data"]["k"] = "x"
    assert updated["data"] == {"k": "w"}
    assert updated["metadata"]["labels"] == {"x": "2"}
    assert created["metadata"]["labels"] == {"x": "1"}
