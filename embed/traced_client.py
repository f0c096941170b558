"""A client whose calls are spans: parts of the work that they are made for."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from verger.store.client import Client, ObjectList, PatchType, Relevant
from verger.store.errors import ApiError
from verger.store.kinds import Kind
from verger.store.objects import name_of, namespace_of
from verger.store.request import Propagation
from verger.watch.reflector import Stream
from verger.watch.tracing import Tracer

Object = Mapping[str, Any]


class TracedClient:
    """Does what another client does, and tells how long that took."""

    def __init__(self, client: Client, tracer: Tracer) -> None:
        self._client = client
        self._tracer = tracer

    @contextmanager
    def _span(self, verb: str, kind: Kind, namespace: str, name: str = "") -> Iterator[None]:
        facts = {"k8s.resource": kind.resource}
        facts |= {
            key: value
            for key, value in (("k8s.namespace.name", namespace), ("k8s.object.name", name))
            if value
        }
        with self._tracer.span(f"{verb} {kind.resource}", facts, remote=True) as span:
            try:
                yield
            except ApiError as error:
                span.tell("http.response.status_code", error.code)
                raise

    async def kinds(self) -> Sequence[Kind]:
        """What the server serves."""
        with self._tracer.span("discover", {}, remote=True):
            return await self._client.kinds()

    async def get(self, kind: Kind, name: str, namespace: str = "") -> Object:
        """The newest version."""
        with self._span("get", kind, namespace, name):
            return await self._client.get(kind, name, namespace)

    async def list(
        self, kind: Kind, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> ObjectList:
        """A complete list."""
        with self._span("list", kind, namespace):
            return await self._client.list(kind, namespace, labels=labels, fields=fields)

    async def watch(
        self,
        kind: Kind,
        namespace: str = "",
        *,
        after: int,
        labels: str = "",
        fields: str = "",
        relevant: Relevant | None = None,
    ) -> Stream[Object]:
        """The changes after a revision; the span ends when the watch is open."""
        with self._span("watch", kind, namespace):
            return await self._client.watch(
                kind, namespace, after=after, labels=labels, fields=fields, relevant=relevant
            )

    async def create(self, kind: Kind, obj: Object) -> Object:
        """Stores a new object."""
        with self._span("create", kind, namespace_of(obj), name_of(obj)):
            return await self._client.create(kind, obj)

    async def update(self, kind: Kind, obj: Object, *, subresource: str = "") -> Object:
        """Replaces an object."""
        with self._span("update", kind, namespace_of(obj), name_of(obj)):
            return await self._client.update(kind, obj, subresource=subresource)

    async def patch(
        self,
        kind: Kind,
        name: str,
        namespace: str,
        patch: Any,
        *,
        type: PatchType = "merge",
        subresource: str = "",
    ) -> Object:
        """Changes an object where it is."""
        with self._span("patch", kind, namespace, name):
            return await self._client.patch(
                kind, name, namespace, patch, type=type, subresource=subresource
            )

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
        """Deletes an object."""
        with self._span("delete", kind, namespace, name):
            await self._client.delete(
                kind, name, namespace, uid=uid, revision=revision, propagation=propagation
            )

    async def delete_collection(
        self, kind: Kind, namespace: str, *, propagation: Propagation = ""
    ) -> None:
        """Deletes all objects of a kind in a namespace."""
        with self._span("deletecollection", kind, namespace):
            await self._client.delete_collection(kind, namespace, propagation=propagation)
