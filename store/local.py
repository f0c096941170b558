"""A client inside the process: the registry behind the interface that controllers use."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from verger.store.backend import Row
from verger.store.client import ObjectList, PatchType, Relevant
from verger.store.errors import BadRequest, MethodNotAllowed
from verger.store.fitting import JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, Fitter
from verger.store.kinds import Kind, Kinds
from verger.store.objects import Object, name_of, namespace_of, thaw
from verger.store.reading import Subscription
from verger.store.registry import Registry
from verger.store.request import (
    DeleteOptions,
    ListOptions,
    Propagation,
    User,
    WatchOptions,
    WriteRequest,
)
from verger.store.selectors import (
    FieldSelector,
    LabelSelector,
    SelectorError,
    parse_fields,
    parse_labels,
)
from verger.watch.event import Bookmark, Event

_MEDIA_TYPES: Mapping[PatchType, str] = {
    "merge": MERGE_PATCH,
    "json": JSON_PATCH,
    "strategic": STRATEGIC_PATCH,
}


class LocalClient:
    """Acts as one user. Objects go in as copies, so that nobody holds what the store holds."""

    def __init__(self, registry: Registry, kinds: Kinds, fitter: Fitter, user: User) -> None:
        self._registry = registry
        self._kinds = kinds
        self._fitter = fitter
        self._user = user

    def _request(self) -> WriteRequest:
        return WriteRequest(self._user, field_manager=self._user.name, field_validation="Ignore")

    def _shown(self, kind: Kind, row: Row) -> Mapping[str, Any]:
        return kind.view.from_stored(row.object) if kind.view else row.object

    async def kinds(self) -> Sequence[Kind]:
        """The kinds of this plane, each once, in its preferred version, or that which is stored."""
        found: dict[str, Kind] = {}
        for group, versions in self._kinds.groups_served.items():
            for version in versions:
                for kind in self._kinds.in_version(group, version):
                    # Of what clients define, the version that can always be shown is the stored one.
                    found.setdefault(kind.resource, kind.storage if kind.custom else kind)
        return list(found.values())

    async def get(self, kind: Kind, name: str, namespace: str = "") -> Mapping[str, Any]:
        """The newest version."""
        return self._shown(kind, self._registry.get(kind, namespace, name))

    async def list(
        self, kind: Kind, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> ObjectList:
        """A complete list."""
        options = ListOptions(*_selectors(labels, fields))
        found = await self._registry.list(kind, namespace, options)
        return ObjectList([self._shown(kind, row) for row in found.rows], found.revision)

    async def watch(
        self,
        kind: Kind,
        namespace: str = "",
        *,
        after: int,
        labels: str = "",
        fields: str = "",
        relevant: Relevant | None = None,
    ) -> "LocalStream":
        """The changes after a revision."""
        options = WatchOptions(*_selectors(labels, fields), revision=str(after), initial=False)
        subscription = await self._registry.watch(kind, namespace, options, relevant=relevant)
        return LocalStream(kind, subscription)

    async def create(self, kind: Kind, obj: Mapping[str, Any]) -> Mapping[str, Any]:
        """Stores a new object."""
        request = self._request()
        row = await self._registry.create(
            kind, namespace_of(obj), self._fitted(kind, obj, request), request
        )
        return self._shown(kind, row)

    def _fitted(self, kind: Kind, obj: Mapping[str, Any], request: WriteRequest) -> Object:
        """A copy; of what clients define, without what their schema does not know."""
        own = thaw(obj)
        if kind.custom is not None:
            self._fitter.body(kind.form(), own, request)
        return own

    async def update(
        self, kind: Kind, obj: Mapping[str, Any], *, subresource: str = ""
    ) -> Mapping[str, Any]:
        """Replaces an object."""
        request = self._request()
        row, _ = await self._registry.update(
            kind,
            namespace_of(obj),
            name_of(obj),
            self._fitted(kind, obj, request),
            request,
            subresource=subresource,
        )
        return self._shown(kind, row)

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
        request = self._request()
        change = self._fitter.change(kind, _MEDIA_TYPES[type], orjson.dumps(patch), request)
        row, _ = await self._registry.patch(
            kind, namespace, name, change, request, subresource=subresource
        )
        return self._shown(kind, row)

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
        options = DeleteOptions(uid=uid, revision=revision, propagation=propagation)
        await self._registry.delete(kind, namespace, name, options, self._request())

    async def delete_collection(
        self, kind: Kind, namespace: str, *, propagation: Propagation = ""
    ) -> None:
        """Deletes all objects of a kind in a namespace."""
        if "deletecollection" not in kind.verbs:
            raise MethodNotAllowed(
                "the server does not allow this method on the requested resource", {}
            )
        options = DeleteOptions(propagation=propagation)
        await self._registry.delete_collection(
            kind, namespace, ListOptions(), options, self._request()
        )


def _selectors(labels: str, fields: str) -> tuple[LabelSelector, FieldSelector]:
    try:
        return parse_labels(labels), parse_fields(fields)
    except SelectorError as error:
        raise BadRequest(str(error)) from None


class LocalStream:
    """A subscription of the registry as a reflector reads it."""

    def __init__(self, kind: Kind, subscription: Subscription) -> None:
        self._kind = kind
        self._subscription = subscription

    async def read(self) -> "Sequence[Event[Mapping[str, Any]] | Bookmark]":
        """What came next."""
        kind, view = self._kind, self._kind.view
        out: list[Event[Mapping[str, Any]] | Bookmark] = []
        for item in await self._subscription.read():
            if isinstance(item, Bookmark):
                out.append(item)
                continue
            row = item.object
            obj = view.from_stored(row.object) if view else row.object
            out.append(
                Event(item.type, kind.resource, row.namespace, row.key, row.revision, obj, None)
            )
        return out

    def fail(self, error: Exception) -> None:
        """Lets this read, or the next one, raise an error, as a broken connection does."""
        self._subscription.fail(error)

    def close(self) -> None:
        """Ends the watch."""
        self._subscription.close()
