"""What was seen from outside while clients wrote and watched: the material that the validators judge.

Time is a counter that every call, every answer and every event moves on by one, so that "before" and "after" are
exact. Nothing here knows how the server works.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

Object = Mapping[str, Any]
Key = tuple[str, str, str]
"""Resource, namespace, name; keys of one resource are ordered as the server lists them."""
Verb = Literal["get", "create", "update", "json-patch", "merge-patch", "delete"]
Start = Literal["state", "marked", "after", "tail"]
"""How a watch began: with what exists; with what exists and a bookmark behind it; after a revision; from now on."""
End = Literal["open", "cut", "closed", "lost", "expired", "refused"]
"""How a watch ended: not at all; by the client; in good order; in disorder; with a 410; before it began."""

MARK: Final = "mark"
"""The annotation that tells which operation wrote a state."""
COLOR: Final = "color"
"""The label that selectors ask for."""
HOLD: Final = "histories.test/hold"
"""The finalizer."""
COUNT: Final = "n"
"""The entry of `data` that counters increment."""


def revision_of(obj: Object) -> int:
    """The revision of an object or a list, 0 when it has none."""
    return int(obj.get("metadata", {}).get("resourceVersion") or 0)


def uid_of(obj: Object) -> str:
    """The identity of an object."""
    return str(obj["metadata"].get("uid") or "")


def mark_of(obj: Object) -> str:
    """The operation that wrote this state, empty for none of ours."""
    return str((obj["metadata"].get("annotations") or {}).get(MARK) or "")


def key_of(resource: str, obj: Object) -> Key:
    """Where an object lives."""
    return resource, obj["metadata"]["namespace"], obj["metadata"]["name"]


def finalizers_of(obj: Object) -> list[str]:
    """Who holds the object."""
    return list(obj["metadata"].get("finalizers") or ())


def is_terminating(obj: Object) -> bool:
    """Whether somebody has asked for its deletion."""
    return bool(obj["metadata"].get("deletionTimestamp"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What a list or a watch is about; what is empty selects everything."""

    resource: str
    namespace: str = ""
    name: str = ""
    color: str = ""

    @property
    def path(self) -> str:
        """The URL of the collection."""
        return (
            f"/api/v1/namespaces/{self.namespace}/{self.resource}"
            if self.namespace
            else (f"/api/v1/{self.resource}")
        )

    @property
    def query(self) -> str:
        """The parameters of the URL, each with an ampersand in front."""
        labels = f"&labelSelector={COLOR}%3D{self.color}" if self.color else ""
        return labels + (f"&fieldSelector=metadata.name%3D{self.name}" if self.name else "")

    @property
    def selects(self) -> bool:
        """Whether there is a selector."""
        return bool(self.color or self.name)

    def matches(self, key: Key, obj: Object | None) -> bool:
        """Whether an object in this state is part of the selection."""
        resource, namespace, name = key
        return (
            obj is not None
            and resource == self.resource
            and self.namespace in ("", namespace)
            and self.name in ("", name)
            and self.color in ("", (obj["metadata"].get("labels") or {}).get(COLOR))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One request about one object."""

    mark: str
    verb: Verb
    key: Key
    sent: Any
    """The body as a value."""
    not_older: int = 0
    """The revision that a get asked for."""
    call: int
    returned: int | None
    """None: the connection was cut, and whether it happened is unknown."""
    status: int
    answer: Object


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One answer to a list request. Pages of one listing follow each other."""

    listing: str
    selection: Selection
    limit: int
    token: str
    """The continue token that was sent."""
    revision: str
    match: str
    call: int
    returned: int
    status: int
    answer: Object

    @property
    def items(self) -> list[Object]:
        """The objects on it."""
        return list(self.answer.get("items") or ())

    @property
    def next(self) -> str:
        """The continue token that was received."""
        return str(self.answer["metadata"].get("continue") or "")


class Item(NamedTuple):
    """One line of a watch."""

    at: int
    type: str
    object: Object

    @property
    def revision(self) -> int:
        """The revision of the event."""
        return revision_of(self.object)

    @property
    def is_event(self) -> bool:
        """Whether it says something about an object."""
        return self.type not in ("BOOKMARK", "ERROR")


@dataclass(slots=True, kw_only=True)
class Session:
    """One watch connection."""

    watcher: str
    selection: Selection
    start: Start
    revision: int = 0
    """The revision that was asked for."""
    bookmarks: bool = True
    resumes: bool = False
    """Whether it carries on where the session before it, of the same watcher, was cut."""
    opened: int = 0
    accepted: int = 0
    """When the headers came, 0 when they did not."""
    items: list[Item] = field(default_factory=list)
    end: End = "open"
    ended: int = 0
    status: int = 0

    @property
    def events(self) -> list[Item]:
        """What was said about objects."""
        return [item for item in self.items if item.is_event]


class Compaction(NamedTuple):
    """From this moment on nothing can be read at a revision below this one."""

    at: int
    revision: int


@dataclass(slots=True, kw_only=True)
class History:
    """Everything that was recorded in one run."""

    seed: int
    start: int
    """The revision at which it began, when there was nothing."""
    operations: list[Operation] = field(default_factory=list)
    pages: list[Page] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)
    """In the order in which they were opened."""
    compactions: list[Compaction] = field(default_factory=list)
    end: int = 0
    """When watches were no longer waited for: those still open have had the time to tell everything."""

    def compacted(self, at: int) -> int:
        """The oldest revision that could be read at a moment, 0 when all could."""
        return max((item.revision for item in self.compactions if item.at <= at), default=0)


TRUTH: Final = "truth"
"""The prefix of watchers that select everything from the start and are never cut."""
