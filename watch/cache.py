"""A reader's picture of one kind, and the one writer that keeps it true.

A cache is never half-listed: a new list fills a dict of its own and is swapped in by one assignment, and the caller
gets the difference, so that what was deleted while nobody watched is still noticed.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

from verger.watch.event import Event, EventType

V = TypeVar("V")

IndexFunction = Callable[[V], Iterable[str]]
"""The values under which an object is found in an index."""


class Change(NamedTuple, Generic[V]):
    """How a cached object became another: `old` is None when it is new, `new` is None when it is gone."""

    key: str
    old: V | None
    new: V | None


class Cache(Generic[V]):
    """What readers see. Objects are shared: never change one, copy it first."""

    def __init__(self, indexes: Mapping[str, IndexFunction[V]] | None = None) -> None:
        self._functions = dict(indexes or {})
        self._objects: dict[str, V] = {}
        self._indexes: dict[str, dict[str, dict[str, None]]] = {n: {} for n in self._functions}
        self._synced = asyncio.Event()
        self._revision = 0

    @property
    def revision(self) -> int:
        """The revision that the cache shows, 0 before the first list."""
        return self._revision

    @property
    def has_synced(self) -> bool:
        """Whether the first list has been swapped in."""
        return self._synced.is_set()

    async def synced(self) -> None:
        """Waits for the first list."""
        await self._synced.wait()

    def get(self, key: str) -> V | None:
        """The object of that key, or None."""
        return self._objects.get(key)

    def __len__(self) -> int:
        return len(self._objects)

    def keys(self) -> list[str]:
        """All keys, in no order."""
        return list(self._objects)

    def values(self) -> list[V]:
        """All objects, in no order."""
        return list(self._objects.values())

    def by_index(self, index: str, value: str) -> list[V]:
        """The objects that the index function put under `value`. Raises KeyError for an unknown index."""
        keys = self._indexes[index].get(value)
        return [self._objects[key] for key in keys] if keys else []


class CacheWriter(Generic[V]):
    """The only hand that writes a cache: the reflector's."""

    def __init__(self, indexes: Mapping[str, IndexFunction[V]] | None = None) -> None:
        self.cache: Cache[V] = Cache(indexes)

    def add_index(self, name: str, function: IndexFunction[V]) -> None:
        """Adds an index over what is there and what is to come; one that exists stays as it is."""
        cache = self.cache
        if name in cache._functions:  # noqa: SLF001
            return
        index: dict[str, dict[str, None]] = {}
        for key, value in cache._objects.items():  # noqa: SLF001
            for found in function(value):
                index.setdefault(found, {})[key] = None
        cache._functions[name] = function  # noqa: SLF001
        cache._indexes[name] = index  # noqa: SLF001

    def replace(self, objects: Mapping[str, V], revision: int) -> list[Change[V]]:
        """Swaps in a complete list and returns what differs from what was shown before."""
        cache = self.cache
        before = cache._objects  # noqa: SLF001 - the writer and its cache are one thing in two hands
        after = dict(objects)
        indexes: dict[str, dict[str, dict[str, None]]] = {}
        for name, function in cache._functions.items():  # noqa: SLF001
            index = indexes[name] = {}
            for key, value in after.items():
                for found in function(value):
                    index.setdefault(found, {})[key] = None
        cache._objects, cache._indexes, cache._revision = after, indexes, revision  # noqa: SLF001
        cache._synced.set()  # noqa: SLF001
        changes = [Change(key, old, None) for key, old in before.items() if key not in after]
        for key, value in after.items():
            if (old := before.get(key)) is not value:
                changes.append(Change(key, old, value))
        return changes

    def apply(self, events: Sequence[Event[V]]) -> list[Change[V]]:
        """Applies events in order and returns what changed."""
        changes = []
        for event in events:
            new = None if event.type is EventType.DELETED else event.object
            old = self._put(event.key, new)
            if old is None and new is None:
                # Never shown, but whoever follows wants to know what it was that went.
                old = event.object
            self.cache._revision = event.revision  # noqa: SLF001
            changes.append(Change(event.key, old, new))
        return changes

    def advance(self, revision: int) -> None:
        """Notes that nothing else changed up to `revision`."""
        self.cache._revision = max(self.cache._revision, revision)  # noqa: SLF001

    def _put(self, key: str, new: V | None) -> V | None:
        cache = self.cache
        objects = cache._objects  # noqa: SLF001
        old = objects.pop(key, None) if new is None else objects.get(key)
        if new is not None:
            objects[key] = new
        for name, function in cache._functions.items():  # noqa: SLF001
            index = cache._indexes[name]  # noqa: SLF001
            if old is not None:
                for value in function(old):
                    keys = index.get(value)
                    if keys is not None:
                        keys.pop(key, None)
                        if not keys:
                            del index[value]
            if new is not None:
                for value in function(new):
                    index.setdefault(value, {})[key] = None
        return old
