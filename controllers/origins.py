"""Why something was written: which change was heard, what was done for it, and which revisions that has brought.

Nothing is guessed. A controller's handler enqueues a key while it is told of a change, so that change is a cause of the
key's next work; a commit happens within the task that asked for it, so that task's work has made the revision.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from verger.store.backend import Row
from verger.store.kinds import Kind
from verger.store.objects import revision_of
from verger.watch.cache import Change
from verger.watch.clock import Clock
from verger.watch.event import Event
from verger.watch.log import EventLog

KEPT: Final = 20_000
"""Revisions whose origin is known, newest last."""
_CAUSES_KEPT: Final = 8
"""Causes of one piece of work: a key that a thousand changes have touched needs no more to be explained."""
_WORKS_KEPT: Final = 200

Outcome = Literal["done", "looks again", "failed", "given up", "stopped"]


class Cause(NamedTuple):
    """What somebody heard of, and took for a reason to look."""

    type: str
    """ADDED, MODIFIED or DELETED; LISTED when there was no event and a list showed it; RECHECKED when time had come."""
    resource: str
    key: str
    revision: int
    """That of the event, or of the object in the list; 0 when there is none."""


@dataclass(slots=True, eq=False)
class Work:
    """One piece of work: a reconcile of a controller, or something that somebody else does."""

    number: int
    who: str
    key: str
    causes: tuple[Cause, ...]
    attempt: int
    """1 for the first try."""
    began: float
    """Seconds since the epoch."""
    seconds: float = 0.0
    outcome: Outcome | None = None
    """None while it is being done."""
    revisions: list[int] = field(default_factory=list)
    """What it has written."""


_WORK: ContextVar[Work | None] = ContextVar("verger_work", default=None)


class Origins:
    """Remembers who wrote what and why, for the newest revisions. It is of one plane."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._numbers = 0
        self._writers: OrderedDict[int, Work] = OrderedDict()
        self._causes: dict[tuple[str, str], tuple[Cause, ...]] = {}
        self._listeners: tuple[Callable[[Work], None], ...] = ()
        self.works: deque[Work] = deque(maxlen=_WORKS_KEPT)
        """The newest pieces of work that have written something or failed, oldest first."""

    def follow(self, log: EventLog[Row]) -> Callable[[], None]:
        """Notes who commits, until what is returned is called."""
        return log.listen(self._committed)

    def listen(self, listener: Callable[[Work], None]) -> Callable[[], None]:
        """Has each piece of work told when it begins and when it has ended, until what is returned is called."""
        self._listeners = (*self._listeners, listener)

        def remove() -> None:
            self._listeners = tuple(other for other in self._listeners if other is not listener)

        return remove

    def writer(self, revision: int) -> Work | None:
        """Whose work a revision is; None for what came over HTTP, and for what is forgotten."""
        return self._writers.get(revision)

    def chain(self, revision: int) -> list[tuple[int, Work]]:
        """Revisions that led to one, each with the work that wrote it, the newest first: it begins with that one.

        Of several causes of a piece of work the first one is followed.
        """
        found: list[tuple[int, Work]] = []
        while (work := self._writers.get(revision)) is not None:
            found.append((revision, work))
            earlier = next((cause.revision for cause in work.causes if cause.revision), 0)
            if not 0 < earlier < revision:
                break
            revision = earlier
        return found

    # What happens

    def caused(
        self, who: str, key: Hashable, heard: tuple[Kind, Change[Mapping[str, Any]]] | None
    ) -> None:
        """A controller has been told of a change, and says that a key needs work."""
        if heard is None:
            cause = Cause("RECHECKED", "", "", 0)
        else:
            kind, change = heard
            if change.revision:
                type_ = "DELETED" if change.new is None else "MODIFIED" if change.old else "ADDED"
                cause = Cause(type_, kind.resource, change.key, change.revision)
            else:
                obj = change.new or change.old
                revision = int(revision_of(obj)) if obj is not None and change.new else 0
                cause = Cause("LISTED", kind.resource, change.key, revision)
        self._note((who, str(key)), (cause,))

    def _note(self, place: tuple[str, str], causes: tuple[Cause, ...]) -> None:
        known = self._causes.get(place, ())
        fresh = tuple(cause for cause in causes if cause not in known)
        self._causes[place] = (known + fresh)[:_CAUSES_KEPT]

    @contextmanager
    def working(
        self,
        who: str,
        key: Hashable,
        failures: int = 0,
        causes: tuple[Cause, ...] | None = None,
    ) -> Iterator[Work]:
        """What is written inside is written by this work. Without `causes` it is done for those of its key."""
        place = (who, str(key))
        if causes is None:
            causes = self._causes.pop(place, ()) or (Cause("RECHECKED", "", "", 0),)
        self._numbers += 1
        work = Work(self._numbers, who, str(key), causes, failures + 1, self._clock.time())
        began = self._clock.monotonic()
        token = _WORK.set(work)
        self._tell(work)
        try:
            yield work
        finally:
            _WORK.reset(token)
            work.seconds = self._clock.monotonic() - began
            work.outcome = work.outcome or "stopped"
            if work.outcome in ("failed", "stopped"):
                # It is done again for the same reasons.
                self._note(place, causes)
            if work.revisions or work.outcome not in ("done", "looks again"):
                self.works.append(work)
            self._tell(work)

    def ended(self, who: str) -> None:
        """A controller has stopped: when it starts it hears of everything anew."""
        for place in [place for place in self._causes if place[0] == who]:
            del self._causes[place]

    def _tell(self, work: Work) -> None:
        for listener in self._listeners:
            listener(work)

    def _committed(self, event: Event[Row]) -> None:
        work = _WORK.get()
        if work is None:
            return
        work.revisions.append(event.revision)
        self._writers[event.revision] = work
        if len(self._writers) > KEPT:
            self._writers.popitem(last=False)
