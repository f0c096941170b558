"""Where objects live: rows at revisions, compare-and-set, snapshots and a history that can be followed.

The contract of every backend, kept by `tests/contracts/test_backend.py`:

- `put` and `remove` are plain functions: on one event loop, code without `await` is a transaction, and the event that
  tells of a change is in the log before the change is visible to anyone.
- Every change takes exactly one revision, larger than all before it, larger than those of an earlier process.
- A read at a revision shows exactly what was current then, as long as that revision is inside the window.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from verger.store.objects import Object, encode
from verger.watch.log import EventLog

OBJECT_MAX: Final = 3 * 512 * 1024
"""Bytes of one stored object. upstream: etcd's request limit of 1.5 MiB"""


class Row:
    """One version of one object.

    `object` and everything in it is shared by all readers: never change it. `older` is the version before, as long as
    the window reaches back to it; a row that is `deleted` marks the end of the object and shows its last state.
    """

    __slots__ = ("data", "deleted", "key", "namespace", "object", "older", "revision", "views")

    def __init__(
        self,
        key: str,
        namespace: str,
        obj: Object,
        *,
        revision: int,
        older: "Row | None",
        deleted: bool = False,
    ) -> None:
        self.key = key
        self.namespace = namespace
        self.object: Mapping[str, Any] = obj
        self.revision = revision
        self.older = older
        self.deleted = deleted
        # orjson leaves its results in buffers of 4 KiB at least; a copy is as long as it is. Most objects are short.
        self.data = bytes(memoryview(encode(obj)))
        """The object as compact JSON, encoded once for all who read it."""
        self.views: dict[Any, Any] | None = None
        """Other representations, made on first use by whoever needs them."""

    def view(self, name: Any, make: "Callable[[Row], Any]") -> Any:
        """The representation of that name, made once."""
        views = self.views
        if views is None:
            views = self.views = {}
        found = views.get(name)
        if found is None:
            found = views[name] = make(self)
        return found

    def __repr__(self) -> str:
        # Never the object: it may be a Secret.
        return f"Row({self.key!r}, revision={self.revision}, deleted={self.deleted})"


class Page(NamedTuple):
    """Part of a list."""

    rows: list[Row]
    revision: int
    """The revision that the list shows."""
    after: str | None
    """The key behind which the next page begins, None when this one is the last."""
    remaining: int | None
    """How many rows follow, when that is known without looking at them all."""


class Mismatch(Exception):
    """The object is not at the revision that the write named. `row` is what is there, None when nothing is."""

    def __init__(self, row: Row | None) -> None:
        super().__init__("the object is at another revision")
        self.row = row


class Compacted(Exception):
    """The revision has left the window."""

    def __init__(self, requested: int, oldest: int) -> None:
        super().__init__(f"revision {requested} is older than {oldest}")
        self.requested = requested
        self.oldest = oldest


class Backend(Protocol):
    """A place for objects. `resource` names a kind's storage; keys are those of `objects.key_of`."""

    @property
    def revision(self) -> int:
        """The revision of the newest change."""

    @property
    def log(self) -> EventLog[Row]:
        """The history, whose events carry rows: kind is the resource, scope the namespace."""

    def get(self, resource: str, key: str) -> Row | None:
        """The newest version, None when there is no such object."""

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
        """Objects in order of their keys, at a revision or now.

        `after` is the key behind which to begin, `limit` how many rows to return (0: all), `match` which rows to
        return. Raises Compacted.
        """

    def resources(self) -> Sequence[str]:
        """The resources of which there have been objects."""

    def count(self, resource: str, namespace: str = "") -> int:
        """How many objects there are now."""

    def put(self, resource: str, key: str, obj: Object, *, expected: int) -> Row:
        """Stores a version; the backend owns `obj` from now on and writes its resourceVersion.

        `expected` is the revision of the version that it replaces, 0 for none. Raises Mismatch, and TooLarge beyond
        OBJECT_MAX; then nothing has changed.
        """

    def remove(self, resource: str, key: str, *, expected: int) -> Row:
        """Ends an object and returns the row that says so: the last state at the deletion's revision. Raises Mismatch."""

    def trim(self) -> None:
        """Lets go of history that has left the window by now; called from time to time."""

    def compact(self, revision: int) -> None:
        """Forgets the history up to and including a revision."""
