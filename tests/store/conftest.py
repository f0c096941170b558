"""A registry on a clock that stands still, with one namespace, and a client that speaks to it as the HTTP API does."""

from collections.abc import Awaitable, Mapping
from typing import Any

import orjson
import pytest
from verger.store.admission import Chain, Plugin
from verger.store.backend import Row
from verger.store.errors import ApiError
from verger.store.fitting import MERGE_PATCH, Fitter
from verger.store.kinds import Kind, Kinds, built_in
from verger.store.memory import MemoryBackend
from verger.store.objects import thaw
from verger.store.registry import Registry
from verger.store.request import DeleteOptions, User, WriteRequest
from verger.store.schemas import load
from verger.store.tracking import Tracker
from verger.watch.clock import FakeClock

Object = Mapping[str, Any]


class Store:
    """Writes as clients write: bodies are fitted to their kind first. `warnings` are those of the last write."""

    def __init__(self, *plugins: Plugin) -> None:
        self.clock = FakeClock()
        self.backend = MemoryBackend(self.clock)
        self.kinds: Kinds = built_in()
        self.plugins = [*plugins]
        self.registry = Registry(self.backend, self.clock, admission=Chain(plugins))
        self.warnings: list[str] = []
        self._fitter = Fitter(load(), Tracker(load(), self.clock))

    def kind(self, name: str, group: str = "") -> Kind:
        """A kind in its version 1."""
        found = self.kinds.get(group, "v1", name)
        assert found is not None
        return found

    def resolved(self, kind: Kind | str) -> Kind:
        return self.kind(kind) if isinstance(kind, str) else kind

    def request(self, dry_run: bool) -> WriteRequest:
        request = WriteRequest(User("alice"), dry_run=dry_run)
        self.warnings = request.warnings
        return request

    def fitted(self, kind: Kind, obj: Object, request: WriteRequest) -> dict[str, Any]:
        copy = thaw(obj)
        if kind.type_name:
            self._fitter.body(kind.form(), copy, request)
        return copy

    def shown(self, kind: Kind, row: Row) -> Object:
        return kind.view.from_stored(row.object) if kind.view else row.object

    async def create(
        self, kind: Kind | str, obj: Object, namespace: str = "ns", *, dry_run: bool = False
    ) -> Object:
        """POST."""
        kind, request = self.resolved(kind), self.request(dry_run)
        where = namespace if kind.namespaced else ""
        fitted = self.fitted(kind, obj, request)
        return self.shown(kind, await self.registry.create(kind, where, fitted, request))

    async def update(
        self,
        kind: Kind | str,
        name: str,
        obj: Object,
        namespace: str = "ns",
        *,
        subresource: str = "",
        dry_run: bool = False,
    ) -> Object:
        """PUT."""
        kind, request = self.resolved(kind), self.request(dry_run)
        where = namespace if kind.namespaced else ""
        row, _ = await self.registry.update(
            kind, where, name, self.fitted(kind, obj, request), request, subresource=subresource
        )
        return self.shown(kind, row)

    async def patch(
        self,
        kind: Kind | str,
        name: str,
        patch: Object,
        namespace: str = "ns",
        *,
        subresource: str = "",
        dry_run: bool = False,
    ) -> Object:
        """PATCH with a merge patch."""
        kind, request = self.resolved(kind), self.request(dry_run)
        where = namespace if kind.namespaced else ""
        change = self._fitter.change(kind, MERGE_PATCH, orjson.dumps(patch), request)
        row, _ = await self.registry.patch(
            kind, where, name, change, request, subresource=subresource
        )
        return self.shown(kind, row)

    async def delete(
        self,
        kind: Kind | str,
        name: str,
        namespace: str = "ns",
        *,
        dry_run: bool = False,
        **options: Any,
    ) -> tuple[Object, bool]:
        """DELETE: the object, and whether it is gone."""
        kind, request = self.resolved(kind), self.request(dry_run)
        where = namespace if kind.namespaced else ""
        row, gone = await self.registry.delete(kind, where, name, DeleteOptions(**options), request)
        return self.shown(kind, row), gone

    def get(self, kind: Kind | str, name: str, namespace: str = "ns") -> Object:
        """GET."""
        kind = self.resolved(kind)
        return self.registry.get(kind, namespace if kind.namespaced else "", name).object

    def there(self, kind: Kind | str, name: str, namespace: str = "ns") -> bool:
        """Whether GET finds it."""
        kind = self.resolved(kind)
        key = f"{namespace}/{name}" if kind.namespaced else name
        return self.backend.get(kind.storage.resource, key) is not None

    async def status(self, write: Awaitable[Any]) -> dict[str, Any]:
        """The Status with which a write is refused. Nothing may have changed."""
        before = self.backend.revision
        with pytest.raises(ApiError) as refused:
            await write
        assert self.backend.revision == before
        return refused.value.status()


@pytest.fixture
async def store() -> Store:
    """A store with the namespace `ns`."""
    store = Store()
    await store.create("Namespace", {"metadata": {"name": "ns"}})
    return store
