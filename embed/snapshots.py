"""The objects of a plane at one moment, to come back to.

Coming back is a change like any other: revisions go on growing, watchers and controllers see what is deleted, made and
changed. Nothing is rewound, so no client can tell it from somebody tidying up in one instant.
"""

from collections.abc import Mapping
from typing import NamedTuple

from verger.store.backend import Backend, Row
from verger.store.objects import meta, uid_of


class Snapshot(NamedTuple):
    """Which objects there were. It shares them with the store, and costs a pointer for each."""

    rows: Mapping[str, Mapping[str, Row]]
    """resource -> key -> row"""

    def __repr__(self) -> str:
        return f"Snapshot({sum(map(len, self.rows.values()))} objects)"


def take(backend: Backend) -> Snapshot:
    """The objects of now."""
    return Snapshot(
        {
            resource: {row.key: row for row in backend.list(resource, "").rows}
            for resource in backend.resources()
        }
    )


def restore(backend: Backend, snapshot: Snapshot) -> int:
    """Makes the objects what they were, namespaces last to go and first to come; returns how many changes that took."""
    now = take(backend).rows
    changes = 0
    for resource, rows in sorted(now.items(), key=lambda item: item[0] == "namespaces"):
        then = snapshot.rows.get(resource, {})
        for key, row in rows.items():
            if key not in then:
                backend.remove(resource, key, expected=row.revision)
                changes += 1
    for resource, then in sorted(snapshot.rows.items(), key=lambda item: item[0] != "namespaces"):
        rows = now.get(resource, {})
        for key, row in then.items():
            there = rows.get(key)
            if there is not None and there.revision == row.revision:
                continue
            if there is not None and uid_of(there.object) != uid_of(row.object):
                backend.remove(resource, key, expected=there.revision)
                there = None
                changes += 1
            obj = {**row.object, "metadata": dict(meta(row.object))}
            backend.put(resource, key, obj, expected=there.revision if there is not None else 0)
            changes += 1
    return changes
