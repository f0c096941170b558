"""What a change looks like to those who follow it."""

import enum
from typing import Generic, NamedTuple, TypeVar

V = TypeVar("V")


class EventType(enum.Enum):
    """What happened to an object. The values are what stands on the wire."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


class Event(NamedTuple, Generic[V]):
    """One committed change.

    `object` is the state after it; of a deletion, the last state, stamped with the deletion's own revision.
    `previous` is the state before it, None for a creation. Both are shared by all readers: never change them.
    """

    type: EventType
    kind: str
    scope: str
    """The part of the kind it belongs to (a namespace), empty when the kind has none."""
    key: str
    """Unique within the kind, and ordered as the kind is listed."""
    revision: int
    object: V
    previous: V | None


class Bookmark(NamedTuple):
    """A promise: every event up to `revision` that the stream was to carry has been delivered."""

    revision: int


class Expired(Exception):
    """The history that was asked for is gone. List again."""

    def __init__(self, requested: int, oldest: int) -> None:
        super().__init__(f"revision {requested} has expired, the oldest is {oldest}")
        self.requested = requested
        self.oldest = oldest
        """The oldest revision from which a stream can still start."""


class StreamEnded(Exception):
    """The other side closed the stream in good order. Watch again from the last revision."""
