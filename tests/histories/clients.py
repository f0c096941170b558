"""Writers and readers: what Kubernetes clients do to a handful of objects, right and wrong.

Each has one request in flight and remembers what it saw last, which may be out of date; that is what makes their
requests conflict. Every write carries a mark of its own, so that each state tells who wrote it.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from tests.histories.history import (
    COLOR,
    COUNT,
    HOLD,
    MARK,
    Key,
    Object,
    Operation,
    Page,
    Selection,
    Verb,
    mark_of,
    revision_of,
    uid_of,
)
from tests.histories.recorder import Recorder
from tests.histories.wire import JSON, Answer, Wire

COUNTER: Final[Key] = ("configmaps", "default", "counter")
KEYS: Final[tuple[Key, ...]] = (
    *(("configmaps", "default", name) for name in ("a", "b", "c", "d", "e")),
    *(("configmaps", "kube-public", name) for name in ("a", "b")),
    *(("secrets", "default", name) for name in ("a", "b")),
)
SELECTIONS: Final = (
    Selection(resource="configmaps"),
    Selection(resource="configmaps", namespace="default"),
    Selection(resource="configmaps", color="red"),
    Selection(resource="configmaps", namespace="default", color="blue"),
    Selection(resource="configmaps", namespace="default", name="b"),
    Selection(resource="secrets", namespace="default", color="red"),
)
"""What lists and watches are about."""
COLORS: Final = ("red", "blue")
PAGES_MAX: Final = 40
"""Of one listing: a server with a mistake may never come to its end."""
_REQUESTS: Final[Mapping[Verb, tuple[str, str]]] = {
    "get": ("GET", JSON),
    "create": ("POST", JSON),
    "update": ("PUT", JSON),
    "merge-patch": ("PATCH", "application/merge-patch+json"),
    "json-patch": ("PATCH", "application/json-patch+json"),
    "delete": ("DELETE", JSON),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What kind of traffic."""

    clients: int = 8
    steps: int = 45
    """Things that each client does."""
    watchers: int = 8
    keys: tuple[Key, ...] = KEYS
    cut: float = 0.05
    """The share of writes whose connection is cut before the answer."""
    compact_every: int = 20
    """Operations between two compactions, on average; 0 for no compaction."""
    weights: Mapping[str, int]
    """How often each method of a client is called, in proportion."""
    patience: float = 5.0
    """Real seconds that watchers have to tell everything at the end. A sound server needs milliseconds."""


class Client:
    """One writer and reader, who remembers what it saw last and may be wrong."""

    def __init__(self, recorder: Recorder, name: str, profile: Profile) -> None:
        self._recorder = recorder
        self._profile = profile
        self._name = name
        self._random = recorder.random(name)
        self._wire: Wire | None = None
        self._seen: dict[Key, Object] = {}
        self._uids: dict[Key, list[str]] = defaultdict(list)
        """The incarnations that it has seen."""
        self._count = 0

    async def run(self) -> None:
        """Does what the profile says."""
        acts: list[Callable[[Key], Awaitable[None]]] = []
        for verb, weight in self._profile.weights.items():
            acts += [getattr(self, f"_{verb}")] * weight
        for _ in range(self._profile.steps):
            await self._random.choice(acts)(self._random.choice(self._profile.keys))

    async def begin(self) -> None:
        """Creates what everybody is about to change."""
        for key in self._profile.keys:
            await self._create(key)

    async def finish(self) -> None:
        """Changes everything once more, in every way that a selector can notice."""
        for key in (*self._profile.keys, COUNTER):
            await self._get(key)
            if key not in self._seen:
                await self._create(key)
            for color in COLORS if key != COUNTER else ():
                await self._merge(key, {"metadata": {"labels": {COLOR: color}}})
        await self._increment(COUNTER)

    def close(self) -> None:
        """Drops the connection."""
        if self._wire is not None:
            self._wire.abort()
            self._wire = None

    # Writes

    async def _create(self, key: Key) -> None:
        await self._do("create", key, self._new(key))

    def _new(self, key: Key) -> dict[str, Any]:
        metadata: dict[str, Any] = {
            "name": key[2],
            "labels": {COLOR: self._random.choice(COLORS)},
            "annotations": {},
        }
        if self._random.random() < 0.3 and key != COUNTER:
            metadata["finalizers"] = [HOLD]
        return {"metadata": metadata} | ({"data": {COUNT: "0"}} if key == COUNTER else {})

    async def _update(self, key: Key) -> None:
        """A PUT of what was seen, changed, at the revision at which it was seen."""
        if (obj := await self._recall(key)) is not None:
            wanted = _copy(obj)
            wanted["metadata"]["labels"] = {COLOR: self._random.choice(COLORS)}
            if self._random.random() < 0.2:
                wanted["metadata"].pop("finalizers", None)
            await self._do("update", key, wanted)

    async def _overwrite(self, key: Key) -> None:
        """A PUT that names no revision, and sometimes no uid."""
        if (obj := await self._recall(key)) is not None:
            wanted = _copy(obj)
            del wanted["metadata"]["resourceVersion"]
            if self._random.random() < 0.7:
                del wanted["metadata"]["uid"]
            await self._do("update", key, wanted)

    async def _touch(self, key: Key) -> None:
        """A PUT of exactly what was seen just now, which changes nothing unless somebody else was faster."""
        await self._get(key)
        if (obj := await self._recall(key)) is not None:
            await self._do("update", key, _copy(obj), marked=False)

    async def _recolor(self, key: Key) -> None:
        """A merge patch that moves an object between selections."""
        change: dict[str, Any] = {"labels": {COLOR: self._random.choice(COLORS)}}
        if self._random.random() < 0.2 and (obj := await self._recall(key)) is not None:
            change["resourceVersion"] = obj["metadata"]["resourceVersion"]
        await self._merge(key, {"metadata": change})

    async def _hold(self, key: Key) -> None:
        await self._merge(key, {"metadata": {"finalizers": [HOLD]}})

    async def _release(self, key: Key) -> None:
        await self._merge(key, {"metadata": {"finalizers": None}})

    async def _merge(self, key: Key, patch: dict[str, Any]) -> None:
        patch["metadata"]["annotations"] = {}
        await self._do("merge-patch", key, patch)

    async def _json_patch(self, key: Key) -> None:
        """A JSON patch that tests what was seen."""
        if (obj := await self._recall(key)) is not None:
            test = self._random.choice(
                (
                    {"path": "/metadata/resourceVersion", "value": str(revision_of(obj))},
                    {"path": f"/metadata/annotations/{MARK}", "value": mark_of(obj)},
                )
            )
            await self._do("json-patch", key, [{"op": "test", **test}])

    async def _delete(self, key: Key) -> None:
        await self._do("delete", key, {}, marked=False)

    async def _delete_known(self, key: Key) -> None:
        """A delete of an object that was seen, which may be gone and have a successor by now."""
        if (obj := await self._recall(key)) is not None:
            conditions = {"uid": self._random.choice(self._uids[key][-2:])}
            if self._random.random() < 0.2:
                conditions["resourceVersion"] = str(revision_of(obj))
            await self._do("delete", key, {"preconditions": conditions}, marked=False)

    async def _increment(self, _: Key) -> None:
        """Counts one on, by PUT or by a patch that tests the count."""
        await self._get(COUNTER)
        obj = self._seen.get(COUNTER)
        if obj is None:
            await self._create(COUNTER)
            return
        count = str(int(obj["data"][COUNT]) + 1)
        if self._random.random() < 0.6:
            await self._do("update", COUNTER, {**_copy(obj), "data": {COUNT: count}})
            return
        path = f"/data/{COUNT}"
        steps = [
            {"op": "test", "path": path, "value": obj["data"][COUNT]},
            {"op": "replace", "path": path, "value": count},
        ]
        await self._do("json-patch", COUNTER, steps)

    # Reads

    async def _get(self, key: Key) -> None:
        await self._do("get", key, {}, marked=False)

    async def _get_future(self, key: Key) -> None:
        """A get at a revision that may not have come; the plane's clock moves on while it waits."""
        revision = self._recorder.newest + self._random.randint(1, 4)
        asked = asyncio.ensure_future(self._do("get", key, {}, marked=False, not_older=revision))
        await self._recorder.advance(3.5)
        while not asked.done():
            # It may have arrived only after the clock had moved.
            await self._recorder.advance(3.5)
        await asked

    async def _recall(self, key: Key) -> Object | None:
        """The object as last seen, looked up when it never was."""
        if key not in self._seen:
            await self._get(key)
        return self._seen.get(key)

    async def _list_now(self, _: Key) -> None:
        revision, match = "", ""
        if self._random.random() < 0.4:
            revision, match = str(self._recorder.past(self._random)), "NotOlderThan"
        await self._list(self._random.choice(SELECTIONS), 0, revision=revision, match=match)

    async def _list_past(self, _: Key) -> None:
        revision = str(self._recorder.past(self._random))
        await self._list(self._random.choice(SELECTIONS), 0, revision=revision, match="Exact")

    async def _list_pages(self, _: Key) -> None:
        revision = str(self._recorder.past(self._random)) if self._random.random() < 0.2 else ""
        selection = self._random.choice(SELECTIONS)
        await self._list(selection, self._random.randint(1, 3), revision=revision)

    async def _list(
        self, selection: Selection, limit: int, *, revision: str = "", match: str = ""
    ) -> None:
        """A listing, page by page."""
        self._count += 1
        listing, token = f"listing {self._name}.{self._count}", ""
        for _ in range(PAGES_MAX):
            query = f"{selection.path}?{selection.query[1:]}"
            query += f"&limit={limit}" if limit else ""
            query += f"&resourceVersion={revision}" if revision else ""
            query += f"&resourceVersionMatch={match}" if match else ""
            query += f"&continue={token}" if token else ""
            call = self._recorder.tick()
            answer = await (await self._connected()).call("GET", query)
            body = answer.json()
            page = Page(
                listing=listing,
                selection=selection,
                limit=limit,
                token=token,
                revision=revision,
                match=match,
                call=call,
                returned=self._recorder.tick(),
                status=answer.status,
                answer=body,
            )
            self._recorder.history.pages.append(page)
            if page.status == 200:
                self._recorder.learn(body)
            # An answer that says that the rest has expired shows how to carry on without it.
            if page.status not in (200, 410) or not page.next:
                return
            token, revision = page.next, ""

    # One request

    async def _connected(self) -> Wire:
        if self._wire is None:
            self._wire = await Wire.open(self._recorder.server)
        return self._wire

    async def _do(
        self, verb: Verb, key: Key, sent: Any, *, marked: bool = True, not_older: int = 0
    ) -> None:
        """One operation about one object, recorded whatever comes of it."""
        self._count += 1
        mark = f"{self._name}.{self._count}"
        if marked and verb == "json-patch":
            sent = [
                *sent,
                {"op": "replace", "path": f"/metadata/annotations/{MARK}", "value": mark},
            ]
        elif marked:
            sent = {**sent, "metadata": {**sent["metadata"], "annotations": {MARK: mark}}}
        resource, namespace, name = key
        path = f"/api/v1/namespaces/{namespace}/{resource}"
        method, media = _REQUESTS[verb]
        if verb != "create":
            path += f"/{name}"
        if not_older:
            path += f"?resourceVersion={not_older}"
        wire = await self._connected()
        body = orjson.dumps(sent) if sent else b""
        call = self._recorder.tick()
        wire.send(self._recorder.server.request(method, path, body, media=media))
        answer: Answer | None = None
        cut = self._profile.cut if verb != "get" and not self._recorder.quiet else 0.0
        if self._random.random() < cut:
            for _ in range(self._random.randint(0, 6)):
                await asyncio.sleep(0)  # somewhere on the way of the request through the server
            self.close()
        else:
            answer = await wire.answer()
        operation = Operation(
            mark=mark,
            verb=verb,
            key=key,
            sent=sent,
            not_older=not_older,
            call=call,
            returned=self._recorder.tick() if answer is not None else None,
            status=answer.status if answer is not None else 0,
            answer=answer.json() if answer is not None else {},
        )
        self._recorder.history.operations.append(operation)
        self._remember(operation)

    def _remember(self, operation: Operation) -> None:
        key, answer = operation.key, operation.answer
        if operation.status in (200, 201) and answer.get("kind") != "Status":
            self._recorder.learn(answer)
            self._seen[key] = answer
            if uid_of(answer) not in self._uids[key]:
                self._uids[key].append(uid_of(answer))
        elif self._random.random() < 0.7:
            # Whatever went wrong, it looks again; sometimes it goes on believing in what it saw.
            self._seen.pop(key, None)


def _copy(obj: Object) -> dict[str, Any]:
    return {**obj, "metadata": {**obj["metadata"]}}
