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
    revision: int = 0
    """That of the event that told of it; 0 when a list did."""


class _Picture(Generic[V]):
    """What a cache shows. `indexes`: name -> value -> keys."""

    __slots__ = ("functions", "indexes", "objects", "revision", "synced")

    def __init__(self, functions: Mapping[str, IndexFunction[V]]) -> None:
        self.functions = dict(functions)
        self.objects: dict[str, V] = {}
        self.indexes: dict[str, dict[str, dict[str, None]]] = {name: {} for name in functions}
        self.synced = asyncio.Event()
        self.revision = 0

    def fill(self, objects: Mapping[str, V], revision: int) -> None:
        """Shows these objects, and no others, from one moment to the next."""
        indexes = {name: self.index(name, objects) for name in self.functions}
        self.objects, self.indexes, self.revision = dict(objects), indexes, revision
        self.synced.set()

    def index(self, name: str, objects: Mapping[str, V]) -> dict[str, dict[str, None]]:
        """An index of some objects."""
        function = self.functions[name]
        index: dict[str, dict[str, None]] = {}
        for key, value in objects.items():
            for found in function(value):
                index.setdefault(found, {})[key] = None
        return index


class Cache(Generic[V]):
    """What readers see. Objects are shared: never change one, copy it first.

    Several caches may show one picture, the writer's. One that is detached goes on showing what it showed then, as
    the cache of somebody does who cannot reach the server any more.
    """

    def __init__(self, indexes: Mapping[str, IndexFunction[V]] | None = None) -> None:
        self._picture: _Picture[V] = _Picture(indexes or {})

    @property
    def revision(self) -> int:
        """The revision that the cache shows, 0 before the first list."""
        return self._picture.revision

    @property
    def has_synced(self) -> bool:
        """Whether the first list has been swapped in."""
        return self._picture.synced.is_set()

    async def synced(self) -> None:
        """Waits for the first list."""
        while not self.has_synced:
            await self._picture.synced.wait()

    def get(self, key: str) -> V | None:
        """The object of that key, or None."""
        return self._picture.objects.get(key)

    def __len__(self) -> int:
        return len(self._picture.objects)

    def keys(self) -> list[str]:
        """All keys, in no order."""
        return list(self._picture.objects)

    def values(self) -> list[V]:
        """All objects, in no order."""
        return list(self._picture.objects.values())

    def by_index(self, index: str, value: str) -> list[V]:
        """The objects that the index function put under `value`. Raises KeyError for an unknown index."""
        picture = self._picture
        keys = picture.indexes[index].get(value)
        return [picture.objects[key] for key in keys] if keys else []

    def unfilled(self) -> "Cache[V]":
        """Another cache with the same indexes, which shows nothing until it is attached."""
        return Cache(self._picture.functions)

    def detach(self) -> None:
        """Shows from now on what it shows now."""
        before = self._picture
        self._picture = _Picture(before.functions)
        if before.synced.is_set():
            self._picture.fill(before.objects, before.revision)

    def attach(self, other: "Cache[V]") -> list[Change[V]]:
        """Shows what another cache does, and returns what differs from what was shown before."""
        before, self._picture = self._picture, other._picture  # noqa: SLF001 - of the same class
        # Whoever waits for the first list looks again, and waits for that of the other one.
        before.synced.set()
        return _differences(before.objects, self._picture.objects)


def _differences(before: Mapping[str, V], after: Mapping[str, V]) -> list[Change[V]]:
    changes = [Change(key, old, None) for key, old in before.items() if key not in after]
    for key, value in after.items():
        if (old := before.get(key)) is not value:
            changes.append(Change(key, old, value))
    return changes


class CacheWriter(Generic[V]):
    """The only hand that writes a cache: the reflector's."""

    def __init__(self, indexes: Mapping[str, IndexFunction[V]] | None = None) -> None:
        self.cache: Cache[V] = Cache(indexes)
        self._picture = self.cache._picture  # noqa: SLF001 - the writer and its cache are one thing in two hands

    def add_index(self, name: str, function: IndexFunction[V]) -> None:
        """Adds an index over what is there and what is to come; one that exists stays as it is."""
        picture = self._picture
        if name in picture.functions:
            return
        picture.functions[name] = function
        picture.indexes[name] = picture.index(name, picture.objects)

    def replace(self, objects: Mapping[str, V], revision: int) -> list[Change[V]]:
        """Swaps in a complete list and returns what differs from what was shown before."""
        before = self._picture.objects
        self._picture.fill(objects, revision)
        return _differences(before, self._picture.objects)

    def apply(self, events: Sequence[Event[V]]) -> list[Change[V]]:
        """Applies events in order and returns what changed."""
        changes = []
        for event in events:
            new = None if event.type is EventType.DELETED else event.object
            old = self._put(event.key, new)
            if old is None and new is None:
                # Never shown, but whoever follows wants to know what it was that went.
                old = event.object
            self._picture.revision = event.revision
            changes.append(Change(event.key, old, new, event.revision))
        return changes

    def abandon(self) -> None:
        """There will be no first list any more: nobody waits for it."""
        self._picture.synced.set()

    def advance(self, revision: int) -> None:
        """Notes that nothing else changed up to `revision`."""
        self._picture.revision = max(self._picture.revision, revision)

    def _put(self, key: str, new: V | None) -> V | None:
        picture = self._picture
        objects = picture.objects
        old = objects.pop(key, None) if new is None else objects.get(key)
        if new is not None:
            objects[key] = new
        for name, function in picture.functions.items():
            index = picture.indexes[name]
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
