"""What has happened in one plane: every change in order, what was there at any of them, and the difference of any two.

Revisions are counted from when the demo began, so that they can be read. The content of Secrets is never shown: a token
is shown as what it says, everything else of them as its size.
"""

import base64
import itertools
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from verger.demo.verifying import read, token_in
from verger.embed.plane import ControlPlane
from verger.store.backend import Row
from verger.store.objects import namespace_of
from verger.watch.event import Event

KEPT: Final = 8000
"""Changes that can be gone back to."""
SHOWN: Final = ("namespaces", "serviceaccounts", "secrets")
"""The resources whose objects are shown; of others it is said that they have changed."""
FIELDS_MAX: Final = 24
OBJECTS_MAX: Final = 60
"""Fields of an object, and objects of a difference, that are told."""
_VALUE_MAX: Final = 160
_UNTOLD: Final = ("managedFields", "resourceVersion")
Object = Mapping[str, Any]
Place = tuple[str, str]
"""resource, key"""


class Entry(NamedTuple):
    """One change."""

    revision: int
    type: str
    resource: str
    key: str
    before: Object | None
    after: Object | None


class FieldChange(NamedTuple):
    """One field that is other than it was; None where it was not, or is no more."""

    path: str
    before: str | None
    after: str | None


class Difference(NamedTuple):
    """One object at two revisions."""

    resource: str
    key: str
    type: str
    fields: list[FieldChange]


class World:
    """The objects that are shown, at one moment."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[Place, Object]] = {}
        """namespace -> place -> object; a namespace is in itself."""

    def put(self, place: Place, obj: Object | None) -> str:
        """Puts an object in its place, or takes it away; returns its namespace."""
        resource, key = place
        namespace = key if resource == "namespaces" else key.partition("/")[0]
        if obj is not None:
            self.objects.setdefault(namespace, {})[place] = obj
        elif (there := self.objects.get(namespace)) is not None:
            there.pop(place, None)
            if not there:
                del self.objects[namespace]
        return namespace

    def copy(self) -> "World":
        """Another one with the same objects."""
        other = World()
        other.objects = {name: dict(objects) for name, objects in self.objects.items()}
        return other


class History:
    """The changes of one plane, the newest `KEPT` of them, and the world that they have led to."""

    def __init__(self, plane: ControlPlane, changed: Callable[[str], None]) -> None:
        """`changed` is called with the namespace of each change of something that is shown."""
        self._changed = changed
        self._entries: deque[Entry] = deque(maxlen=KEPT)
        self._origin = plane.revision
        self.world = World()
        """The world of now."""
        self._log = plane.log
        self.close = plane.log.listen(self._note)
        """Ends the listening."""

    async def load(self, plane: ControlPlane) -> None:
        """Looks at what is there, once."""
        for kind in ("Namespace", "ServiceAccount", "Secret"):
            of = plane.kinds.core(kind)
            for obj in (await plane.client.list(of)).items:
                name, namespace = obj["metadata"]["name"], namespace_of(obj)
                key = f"{namespace}/{name}" if namespace else name
                self._changed(self.world.put((of.plural, key), obj))

    @property
    def first(self) -> int:
        """The oldest revision that can be gone back to."""
        return self._entries[0].revision - 1 if len(self._entries) == KEPT else 0

    @property
    def last(self) -> int:
        """The newest revision."""
        return self._log.revision - self._origin

    def true_revision(self, revision: int) -> int:
        """The store's own number of a revision."""
        return revision + self._origin

    def counted(self, revision: int) -> int:
        """The revision with that number of the store, counted from when the demo began."""
        return revision - self._origin

    def _note(self, event: Event[Row]) -> None:
        after = None if event.object.deleted else event.object.object
        before = event.previous.object if event.previous is not None else None
        key = event.object.key
        self._entries.append(
            Entry(self.counted(event.revision), event.type.value, event.kind, key, before, after)
        )
        # Also when nothing of it is shown: whoever looks at the newest revision wants to know.
        self._changed(self.world.put((event.kind, key), after) if event.kind in SHOWN else "")

    def entries(self, after: int = 0, limit: int = KEPT) -> list[Entry]:
        """The newest changes above a revision, at most `limit` of them, oldest first."""
        newest = itertools.takewhile(
            lambda entry: entry.revision > after, itertools.islice(reversed(self._entries), limit)
        )
        return list(newest)[::-1]

    def of(self, resource: str, key: str, until: int) -> Entry | None:
        """The newest change of an object that is not above a revision."""
        for entry in reversed(self._entries):
            if entry.revision <= until and (entry.resource, entry.key) == (resource, key):
                return entry
        return None

    def created(self, resource: str, key: str, until: int) -> Entry | None:
        """How the object of that key came to be that was there at a revision; None when that was too long ago."""
        for entry in reversed(self._entries):
            same = (entry.resource, entry.key) == (resource, key)
            if same and entry.revision <= until and entry.type == "ADDED":
                return entry
        return None

    def at(self, revision: int) -> World:
        """What was there at a revision; at the oldest known one, when that is older still."""
        world = self.world.copy()
        for entry in reversed(self._entries):
            if entry.revision <= revision:
                break
            if entry.resource in SHOWN:
                world.put((entry.resource, entry.key), entry.before)
        return world

    def differences(self, one: int, other: int) -> list[Difference]:
        """What is different at one revision from what was at another, in the order in which it became so."""
        low, high = min(one, other), max(one, other)
        ends: dict[Place, tuple[Object | None, Object | None]] = {}
        for entry in self._entries:
            if low < entry.revision <= high:
                place = (entry.resource, entry.key)
                before = ends[place][0] if place in ends else entry.before
                ends[place] = (before, entry.after)
        found: list[Difference] = []
        for (resource, key), pair in ends.items():
            if len(found) == OBJECTS_MAX:
                break
            before, after = pair if one <= other else pair[::-1]
            fields = list(itertools.islice(_changed(resource, before, after), FIELDS_MAX))
            if before is not None and after is not None and not fields:
                continue
            type_ = "ADDED" if before is None else "DELETED" if after is None else "MODIFIED"
            if before is not None or after is not None:
                found.append(Difference(resource, key, type_, fields))
        return found


def _changed(resource: str, before: Object | None, after: Object | None) -> Iterator[FieldChange]:
    was = dict(_flat(shown(resource, before))) if before is not None else {}
    now = dict(_flat(shown(resource, after))) if after is not None else {}
    for path in [*was, *(path for path in now if path not in was)]:
        if was.get(path) != now.get(path):
            yield FieldChange(path, was.get(path), now.get(path))


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """The leaves of an object, with the way to them."""
    if isinstance(value, Mapping) and value:
        for name, item in value.items():
            if name not in _UNTOLD:
                yield from _flat(item, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and value:
        for number, item in enumerate(value):
            yield from _flat(item, f"{path}[{number}]")
    else:
        text = str(value)
        yield path, text if len(text) <= _VALUE_MAX else f"{text[:_VALUE_MAX]}..."


def shown(resource: str, obj: Object) -> Object:
    """An object as it may be shown."""
    if resource != "secrets":
        return obj
    data = {name: _sized(text) for name, text in (obj.get("data") or {}).items()}
    if "token" in data:
        token = read(token_in(obj))
        if token is not None:
            data["token"] = {"alg": token.algorithm, "kid": token.kid, "claims": token.claims}
    return {**obj, "data": data}


def _sized(text: Any) -> Any:
    try:
        return f"{len(base64.b64decode(text or ''))} bytes"
    except ValueError:
        return "no base64"
