"""A client of a Kubernetes API server: the promises of `client`, over HTTPS.

Bodies are JSON. What comes out says its kind and apiVersion, as objects of a client inside the process do.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import orjson
from verger.store.client import ObjectList, PatchType, Relevant
from verger.store.discovering import Discoverer
from verger.store.errors import ApiError, BadRequest, Gone, Invalid
from verger.store.fitting import JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH
from verger.store.kinds import Kind, Kinds
from verger.store.kubeconfig import Connection
from verger.store.objects import name_of, namespace_of, with_type
from verger.store.remote_stream import BadAnswer, RemoteStream, expired
from verger.store.request import Propagation
from verger.store.throttle import TokenBucket
from verger.store.transport import JSON, Request, Transport
from verger.watch.chance import CHANCE
from verger.watch.clock import Clock
from verger.watch.event import Expired, StreamEnded

PAGE: Final = 500
"""Objects in one answer. upstream: the pager's default"""
WATCH_MIN: Final = 300
WATCH_MAX: Final = 600
"""Seconds that a watch lasts, chosen anew for each. upstream: client-go's reflector"""
_PATCHES: Final[Mapping[PatchType, str]] = {
    "merge": MERGE_PATCH,
    "json": JSON_PATCH,
    "strategic": STRATEGIC_PATCH,
}
Query = list[tuple[str, str]]


class RemoteServer:
    """A server, and what its clients share: connections, the rate limit, and what is known about it. To be closed."""

    def __init__(
        self, connection: Connection, kinds: Kinds, clock: Clock, *, throttle: TokenBucket
    ) -> None:
        """`kinds` are those that the program knows: they are found again as the same objects."""
        self.transport = Transport(connection, clock, throttle=throttle)
        self.clock = clock
        self.discoverer = Discoverer(self.transport, kinds, clock)
        self.streams_lists = True
        """Whether it sends what there is at the beginning of a watch; believed until it refuses."""

    def client(
        self,
        component: str,
        *,
        urgent: bool = False,
        dry_run: bool = False,
        guard: Callable[[], float] | None = None,
    ) -> "RemoteClient":
        """The client of a component, whose name stands in the user agent and in managedFields.

        `urgent` requests do not wait for the rate limit; with `dry_run` writes are only tried. `guard` is asked right
        before each write for how many seconds it may go on; what it raises keeps the write from being sent.
        """
        return RemoteClient(self, component, urgent=urgent, dry_run=dry_run, guard=guard)

    async def close(self) -> None:
        """Ends all connections."""
        await self.transport.close()


class RemoteClient:
    """Reads and writes as one component of a program."""

    def __init__(
        self,
        server: RemoteServer,
        component: str,
        *,
        urgent: bool,
        dry_run: bool,
        guard: Callable[[], float] | None,
    ) -> None:
        self._server = server
        self._guard = guard
        self._component = component
        self._urgent = urgent
        self._dry_run = dry_run

    # Requests

    @property
    def _agent(self) -> str:
        return f"verger/{self._component}"

    async def _call(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        body: Any = None,
        media_type: str = JSON,
    ) -> dict[str, Any]:
        answer = await self._server.transport.call(
            Request(
                method,
                path,
                tuple(query or ()),
                b"" if body is None else orjson.dumps(body),
                media_type,
                agent=self._agent,
                urgent=self._urgent,
                guard=self._guard if method != "GET" else None,
            )
        )
        try:
            found = orjson.loads(answer)
        except orjson.JSONDecodeError:
            found = None
        if not isinstance(found, dict):
            raise BadAnswer(f"{method} {path}: the server's answer is no JSON object")
        return found

    def _write_query(self) -> Query:
        query = [("fieldManager", self._component), ("fieldValidation", "Ignore")]
        if self._dry_run:
            query.append(("dryRun", "All"))
        return query

    async def raw(self, path: str) -> bytes:
        """What stands at a path: a version, a health check, a document. Raises ApiError."""
        return await self._server.transport.call(
            Request("GET", path, accept="*/*", agent=self._agent, urgent=self._urgent)
        )

    async def post(self, path: str, obj: Mapping[str, Any]) -> Mapping[str, Any]:
        """The answer to something that is not stored: a review, a request for a token. Raises ApiError."""
        return await self._call("POST", path, body=obj)

    # Reads

    async def kinds(self) -> Sequence[Kind]:
        """What the server serves: its preferred versions. Raises PartialDiscovery."""
        return await self._server.discoverer.kinds(self._agent)

    async def get(self, kind: Kind, name: str, namespace: str = "") -> Mapping[str, Any]:
        """The newest version. Raises NotFound."""
        return await self._call("GET", object_path(kind, name, namespace))

    async def list(
        self, kind: Kind, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> ObjectList:
        """A complete list at one revision. Raises ApiError."""
        selection = _selection(labels, fields)
        path = collection_path(kind, namespace)
        try:
            return await self._pages(kind, path, [*selection, ("limit", str(PAGE))])
        except Gone:
            # History went while the pages were read. All at once is dear, and cannot expire.
            return await self._pages(kind, path, selection)

    async def _pages(self, kind: Kind, path: str, query: Query) -> ObjectList:
        items: list[Mapping[str, Any]] = []
        token = ""
        while True:
            page = await self._call("GET", path, [*query, ("continue", token)] if token else query)
            items += [_typed(kind, item) for item in page.get("items") or ()]
            metadata = page.get("metadata") or {}
            token = metadata.get("continue") or ""
            if not token:
                return ObjectList(items, _revision(metadata, path))

    async def watch(
        self,
        kind: Kind,
        namespace: str = "",
        *,
        after: int,
        labels: str = "",
        fields: str = "",
        relevant: Relevant | None = None,
    ) -> RemoteStream:
        """The changes after a revision. Raises Expired, ApiError.

        The server does not say how objects were before, so that nothing can be left out as not `relevant`.
        """
        query = [*_selection(labels, fields), ("resourceVersion", str(after))]
        try:
            return await self._open(kind, namespace, query, after)
        except Gone as gone:
            raise expired(gone, after) from None

    async def follow(
        self, kind: Kind, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> tuple[ObjectList, RemoteStream | None]:
        """All objects and the changes after them in one request, where the server can; else a list and None."""
        if self._server.streams_lists:
            query = [
                *_selection(labels, fields),
                ("sendInitialEvents", "true"),
                ("resourceVersionMatch", "NotOlderThan"),
            ]
            try:
                stream = await self._open(kind, namespace, query, 0)
            except (BadRequest, Invalid):
                self._server.streams_lists = False
            else:
                try:
                    objects, revision = await stream.initial()
                except TimeoutError:
                    # It takes the request for an ordinary watch, and the end of the beginning never comes.
                    stream.close()
                    self._server.streams_lists = False
                except (ApiError, Expired, StreamEnded):
                    # Half a list is none. In pages it may come through, and what is there need not come twice.
                    stream.close()
                except BaseException:
                    stream.close()
                    raise
                else:
                    return ObjectList(objects, revision), stream
        return await self.list(kind, namespace, labels=labels, fields=fields), None

    async def _open(self, kind: Kind, namespace: str, query: Query, after: int) -> RemoteStream:
        seconds = CHANCE.randint(WATCH_MIN, WATCH_MAX)  # so that not all end at once
        query += [
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", str(seconds)),
        ]
        path = collection_path(kind, namespace)
        response = await self._server.transport.open(
            Request("GET", path, tuple(query), agent=self._agent, urgent=self._urgent)
        )
        return RemoteStream(response, kind, self._server.clock, after=after, seconds=seconds)

    # Writes

    async def create(self, kind: Kind, obj: Mapping[str, Any]) -> Mapping[str, Any]:
        """Stores a new object, in the namespace that its metadata names."""
        path = collection_path(kind, namespace_of(obj))
        return await self._call("POST", path, self._write_query(), _typed(kind, obj))

    async def update(
        self, kind: Kind, obj: Mapping[str, Any], *, subresource: str = ""
    ) -> Mapping[str, Any]:
        """Replaces an object; with a resourceVersion, only that version of it. Raises Conflict."""
        path = object_path(kind, name_of(obj), namespace_of(obj), subresource)
        return await self._call("PUT", path, self._write_query(), _typed(kind, obj))

    async def patch(
        self,
        kind: Kind,
        name: str,
        namespace: str,
        patch: Any,
        *,
        type: PatchType = "merge",
        subresource: str = "",
    ) -> Mapping[str, Any]:
        """Changes an object where it is."""
        path = object_path(kind, name, namespace, subresource)
        return await self._call("PATCH", path, self._write_query(), patch, _PATCHES[type])

    async def delete(
        self,
        kind: Kind,
        name: str,
        namespace: str = "",
        *,
        uid: str = "",
        revision: str = "",
        propagation: Propagation = "",
    ) -> None:
        """Deletes an object, if it still has that uid and revision. Raises NotFound, Conflict."""
        preconditions = {
            key: value for key, value in (("uid", uid), ("resourceVersion", revision)) if value
        }
        await self._delete(object_path(kind, name, namespace), propagation, preconditions)

    async def delete_collection(
        self, kind: Kind, namespace: str, *, propagation: Propagation = ""
    ) -> None:
        """Deletes all objects of a kind in a namespace. Raises MethodNotAllowed where the server cannot."""
        await self._delete(collection_path(kind, namespace), propagation, {})

    async def _delete(
        self, path: str, propagation: Propagation, preconditions: Mapping[str, str]
    ) -> None:
        options: dict[str, Any] = {"kind": "DeleteOptions", "apiVersion": "v1"}
        if preconditions:
            options["preconditions"] = preconditions
        if propagation:
            options["propagationPolicy"] = propagation
        if self._dry_run:
            options["dryRun"] = ["All"]
        await self._call("DELETE", path, body=options)


def collection_path(kind: Kind, namespace: str = "") -> str:
    """Where the objects of a kind are, in a namespace or in all."""
    root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    if kind.namespaced and namespace:
        root += f"/namespaces/{quote(namespace, safe='')}"
    return f"{root}/{kind.plural}"


def object_path(kind: Kind, name: str, namespace: str = "", subresource: str = "") -> str:
    """Where an object is, or a part of it. Raises BadRequest without a name, which would mean all objects."""
    if not name or name in (".", ".."):
        raise BadRequest(f"{kind.resource}: an object needs a name")
    path = f"{collection_path(kind, namespace)}/{quote(name, safe=':')}"
    return f"{path}/{subresource}" if subresource else path


def _selection(labels: str, fields: str) -> Query:
    pairs = (("labelSelector", labels), ("fieldSelector", fields))
    return [(name, text) for name, text in pairs if text]


def _typed(kind: Kind, obj: Mapping[str, Any]) -> Mapping[str, Any]:
    """Items of lists do not say what they are, and what controllers make need not."""
    if obj.get("kind") and obj.get("apiVersion"):
        return obj
    return with_type(kind.api_version, kind.kind, obj)


def _revision(metadata: Mapping[str, Any], path: str) -> int:
    text = str(metadata.get("resourceVersion") or "")
    if not text.isascii() or not text.isdigit():
        raise BadAnswer(f"GET {path}: the list has no resourceVersion")
    return int(text)
