"""The backend in memory: sorted keys, versions of each key inside the window, and the log.

Every key leads to its newest row and each row to the one it replaced. When an event leaves the log, the row that it
brought loses its predecessor, since no revision that can still be read shows it; when that row is a deletion, the key
goes too. So history is freed one step at a time, by the same clockwork that trims the log.
"""

from collections.abc import Callable, Sequence
from typing import Final

from sortedcontainers import SortedDict
from verger.store.backend import OBJECT_MAX, Compacted, Mismatch, Page, Row
from verger.store.errors import TooLarge
from verger.store.objects import Object
from verger.watch.clock import Clock
from verger.watch.event import Event, EventType
from verger.watch.log import DEFAULT_LIMIT, DEFAULT_WINDOW, EventLog

REVISIONS_PER_MILLISECOND: Final = 256
"""The first revision is the time in milliseconds times this. No process writes faster than that over its life, so a
restart begins above everything that was ever shown; and the number stays below 2**53, which JavaScript can hold."""


class _Resource:
    """The objects of one kind. `live` counts the rows that are not deletions, by namespace and in all ("")."""

    __slots__ = ("live", "rows")

    def __init__(self) -> None:
        self.rows: SortedDict[str, Row] = SortedDict()
        self.live: dict[str, int] = {"": 0}

    def count(self, namespace: str, by: int) -> None:
        self.live[""] += by
        if namespace:
            count = self.live.get(namespace, 0) + by
            if count:
                self.live[namespace] = count
            else:
                del self.live[namespace]


class MemoryBackend:
    """Objects in the memory of this process."""

    def __init__(
        self, clock: Clock, *, window: float = DEFAULT_WINDOW, limit: int = DEFAULT_LIMIT
    ) -> None:
        start = int(clock.time() * 1000) * REVISIONS_PER_MILLISECOND
        self._log: EventLog[Row] = EventLog(
            clock, revision=start, window=window, limit=limit, on_trim=self._forget
        )
        self._resources: dict[str, _Resource] = {}

    @property
    def revision(self) -> int:
        """The revision of the newest change."""
        return self._log.revision

    @property
    def log(self) -> EventLog[Row]:
        """The history."""
        return self._log

    def get(self, resource: str, key: str) -> Row | None:
        """The newest version."""
        kept = self._resources.get(resource)
        if kept is None:
            return None
        row: Row | None = kept.rows.get(key)
        return None if row is None or row.deleted else row

    def resources(self) -> Sequence[str]:
        """The resources of which there have been objects."""
        return list(self._resources)

    def count(self, resource: str, namespace: str = "") -> int:
        """How many objects there are now."""
        kept = self._resources.get(resource)
        return kept.live.get(namespace, 0) if kept is not None else 0

    def list(
        self,
        resource: str,
        namespace: str = "",
        *,
        after: str = "",
        limit: int = 0,
        revision: int | None = None,
        match: Callable[[Row], bool] | None = None,
    ) -> Page:
        """Objects in order of their keys, at a revision or now."""
        shown = self.revision if revision is None else revision
        if shown < self._log.compacted:
            raise Compacted(shown, self._log.compacted)
        kept = self._resources.get(resource)
        if kept is None:
            return Page([], shown, None, 0)
        current = shown >= self.revision
        # A namespace holds the keys from "ns/" to before "ns0", the character after the slash.
        low = after or (f"{namespace}/" if namespace else None)
        high = f"{namespace}0" if namespace else None
        found: list[Row] = []
        keys = kept.rows.irange(low, high, inclusive=(not after, False))
        rows = kept.rows
        for key in keys:
            row: Row | None = rows[key]
            if not current:
                row = _at(row, shown)
            if row is None or row.deleted or (match is not None and not match(row)):
                continue
            if limit and len(found) == limit:
                remaining = None
                if match is None and current and not after:
                    remaining = kept.live.get(namespace, 0) - limit
                elif match is None:
                    remaining = 1 + sum(
                        1
                        for later in keys
                        if (row := _at(rows[later], shown)) is not None and not row.deleted
                    )
                return Page(found, shown, found[-1].key, remaining)
            found.append(row)
        return Page(found, shown, None, 0)

    def put(self, resource: str, key: str, obj: Object, *, expected: int) -> Row:
        """Stores a version."""
        kept = self._resources.get(resource)
        if kept is None:
            kept = self._resources[resource] = _Resource()
        before: Row | None = kept.rows.get(key)
        live = before if before is not None and not before.deleted else None
        if (live.revision if live is not None else 0) != expected:
            raise Mismatch(live)
        revision = self._log.revision + 1
        metadata = obj["metadata"]
        metadata["resourceVersion"] = str(revision)
        namespace = metadata.get("namespace") or ""
        row = Row(key, namespace, obj, revision=revision, older=before)
        if len(row.data) > OBJECT_MAX:
            raise TooLarge(f"Request entity too large: limit is {OBJECT_MAX}")
        kept.rows[key] = row
        if live is None:
            kept.count(namespace, 1)
        self._log.append(
            Event(
                EventType.ADDED if live is None else EventType.MODIFIED,
                resource,
                namespace,
                key,
                revision,
                row,
                live,
            )
        )
        return row

    def remove(self, resource: str, key: str, *, expected: int) -> Row:
        """Ends an object."""
        before = self.get(resource, key)
        if before is None or before.revision != expected:
            raise Mismatch(before)
        revision = self._log.revision + 1
        last = dict(before.object)
        last["metadata"] = {**last["metadata"], "resourceVersion": str(revision)}
        row = Row(key, before.namespace, last, revision=revision, older=before, deleted=True)
        kept = self._resources[resource]
        kept.rows[key] = row
        kept.count(before.namespace, -1)
        self._log.append(
            Event(EventType.DELETED, resource, before.namespace, key, revision, row, before)
        )
        return row

    def trim(self) -> None:
        """Lets go of history that has left the window."""
        self._log.trim()

    def compact(self, revision: int) -> None:
        """Forgets the history up to and including a revision."""
        self._log.compact(revision)

    def _forget(self, event: Event[Row]) -> None:
        row = event.object
        row.older = None
        if row.deleted:
            rows = self._resources[event.kind].rows
            if rows.get(row.key) is row:
                del rows[row.key]


def _at(row: Row | None, revision: int) -> Row | None:
    """The version of a row that was current at a revision."""
    while row is not None and row.revision > revision:
        row = row.older
    return row
