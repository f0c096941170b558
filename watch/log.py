"""The history of changes: one log in revision order, read by cursors.

The log is the truth and a wake-up is a hint. A reader is nothing but a position in it, so a slow reader costs
nothing; when history was trimmed past its position it is told `Expired`. Waking is by topic (a kind, or a scope of a
kind): a write costs by the readers that care, not by all.
"""

import asyncio
import itertools
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from verger.watch.clock import Clock, complete
from verger.watch.event import Event, Expired

V = TypeVar("V")

DEFAULT_WINDOW = 300.0
"""Seconds of history kept. upstream: etcd is compacted every 5 minutes to what was current 5 minutes before."""
DEFAULT_LIMIT = 100_000
"""Events kept at most. upstream: the watch cache of one resource grows to 102 400."""

Topic = tuple[str, str | None]
"""A kind and one of its scopes, or None for all of them."""


class _TopicLog(Generic[V]):
    """The events of one topic. A position counts from the topic's first event ever and survives trimming.

    `start` is the position of `events[0]`, `floor` that of the oldest event that is still retained, `dropped` the
    revision of the newest one that is not. Trimming moves the floor; the list itself is cut only when half of it lies
    below the floor, so that trimming stays O(1).
    """

    __slots__ = ("cursors", "dropped", "events", "floor", "followers", "start", "waiting")

    def __init__(self) -> None:
        self.events: list[Event[V]] = []
        self.start = 0
        self.floor = 0
        self.dropped = 0
        self.cursors = 0
        self.followers = 0
        self.waiting: set[Cursor[V]] = set()

    def position_after(self, revision: int) -> int:
        """The position of the first event above the revision."""
        low = self.floor - self.start
        return self.start + bisect_right(self.events, revision, low, key=_revision)

    def append(self, event: Event[V]) -> None:
        self.events.append(event)
        if self.waiting:
            position = self.start + len(self.events) - 1
            self.waiting = {cursor for cursor in self.waiting if not cursor.notify(event, position)}


def _revision(event: Event[V]) -> int:
    return event.revision


class EventLog(Generic[V]):
    """A bounded, revision-ordered history of events.

    Guarantees: `append` is a plain function, so that a commit and its event are one step on the event loop; events
    at or below `compacted` may be gone and nothing above it is.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        revision: int = 0,
        window: float = DEFAULT_WINDOW,
        limit: int = DEFAULT_LIMIT,
        on_trim: Callable[[Event[V]], None] | None = None,
    ) -> None:
        self._clock = clock
        self._window = window
        self._limit = limit
        self._on_trim = on_trim
        self._all: deque[tuple[float, Event[V]]] = deque()
        self._topics: dict[Topic, _TopicLog[V]] = {}
        self.revision = revision
        """The revision of the newest event, or the one the log began at."""
        self._awaited: list[tuple[int, asyncio.Future[None]]] = []
        self._listeners: tuple[Callable[[Event[V]], None], ...] = ()
        self.compacted = revision
        """Streams can start at this revision and after it, not before."""

    def __len__(self) -> int:
        return len(self._all)

    @property
    def is_quiet(self) -> bool:
        """Whether every reader that follows has read all that interests it, and waits for more."""
        return all(len(topic.waiting) == topic.followers for topic in self._topics.values())

    def last(self, count: int) -> list[Event[V]]:
        """The newest events of all topics, at most `count` of them, in revision order."""
        return [event for _, event in itertools.islice(reversed(self._all), count)][::-1]

    def append(self, event: Event[V]) -> None:
        """Adds the newest event and wakes the cursors of its topics. Its revision must be above all others."""
        if event.revision <= self.revision:
            raise ValueError(f"revision {event.revision} is not above {self.revision}")
        self.revision = event.revision
        for listener in self._listeners:
            listener(event)
        now = self._clock.monotonic()
        self._all.append((now, event))
        self._publish((event.kind, None), event)
        if event.scope:
            self._publish((event.kind, event.scope), event)
        if self._awaited:
            self._reached()
        if len(self._all) > self._limit or self._all[0][0] < now - self._window:
            self.trim()

    def listen(self, listener: Callable[[Event[V]], None]) -> Callable[[], None]:
        """Has every event told to a listener within its commit, so that it knows who commits; ended by what is returned.

        A listener must be quick and must not raise: it is a part of every write.
        """
        self._listeners = (*self._listeners, listener)

        def remove() -> None:
            self._listeners = tuple(other for other in self._listeners if other is not listener)

        return remove

    async def reach(self, revision: int, timeout: float) -> bool:
        """Waits until the log has reached a revision; False when it has not within `timeout` seconds."""
        if revision <= self.revision:
            return True
        reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._awaited.append((revision, reached))
        timer = self._clock.call_later(timeout, complete, reached)
        try:
            await reached
        finally:
            timer.cancel()
            self._awaited = [item for item in self._awaited if item[1] is not reached]
        return revision <= self.revision

    def _reached(self) -> None:
        for revision, future in self._awaited:
            if revision <= self.revision:
                complete(future)

    def _publish(self, topic: Topic, event: Event[V]) -> None:
        log = self._topics.get(topic)
        if log is None:
            log = self._topics[topic] = _TopicLog()
        log.append(event)

    def trim(self) -> None:
        """Drops what is older than the window or beyond the limit."""
        oldest = self._clock.monotonic() - self._window
        while self._all and (len(self._all) > self._limit or self._all[0][0] < oldest):
            self._drop_oldest()

    def compact(self, revision: int) -> None:
        """Drops all events up to and including `revision`; a stream can then start there, and no earlier."""
        while self._all and self._all[0][1].revision <= revision:
            self._drop_oldest()
        self.compacted = max(self.compacted, min(revision, self.revision))

    def _drop_oldest(self) -> None:
        event = self._all.popleft()[1]
        self.compacted = event.revision
        self._drop_from((event.kind, None), event.revision)
        if event.scope:
            self._drop_from((event.kind, event.scope), event.revision)
        if self._on_trim is not None:
            self._on_trim(event)

    def _drop_from(self, topic: Topic, revision: int) -> None:
        # The event that goes is the topic's oldest too, since both are in revision order.
        log = self._topics[topic]
        log.floor += 1
        log.dropped = revision
        dead = log.floor - log.start
        if dead * 2 > len(log.events):
            del log.events[:dead]
            log.start = log.floor
            if not log.events and not log.cursors:
                del self._topics[topic]

    def cursor(
        self,
        kind: str,
        scope: str | None = None,
        *,
        after: int,
        interested: Callable[[Event[V]], bool] | None = None,
        follows: bool = True,
    ) -> "Cursor[V]":
        """A reader of a topic's events above revision `after`. Raises Expired when some of them may be gone.

        A reader that says what it is interested in is not woken for anything else, and passes over it as it comes: a
        write costs it one look. It may still read events that do not interest it.

        A reader that does not follow looks when it needs to know, and never waits; nor does anybody wait for it.
        """
        if after < self.compacted:
            raise Expired(after, self.compacted)
        topic = (kind, scope)
        log = self._topics.get(topic)
        if log is None:
            log = self._topics[topic] = _TopicLog()
        return Cursor(self, topic, log, after, interested, follows=follows)

    def release(self, topic: Topic, log: _TopicLog[V], *, follows: bool) -> None:
        """Called by a cursor that closes: a topic without events and without readers is forgotten."""
        log.cursors -= 1
        log.followers -= follows
        if not log.events and not log.cursors and self._topics.get(topic) is log:
            del self._topics[topic]


class Cursor(Generic[V]):
    """A position in one topic of a log. Close it when done, or the topic is never forgotten."""

    __slots__ = (
        "_after",
        "_follows",
        "_interested",
        "_log",
        "_position",
        "_topic",
        "_topic_log",
        "_waiter",
    )

    def __init__(
        self,
        log: EventLog[V],
        topic: Topic,
        topic_log: _TopicLog[V],
        after: int,
        interested: Callable[[Event[V]], bool] | None,
        *,
        follows: bool,
    ) -> None:
        self._log: EventLog[V] | None = log
        self._topic = topic
        self._topic_log = topic_log
        self._after = after
        self._interested = interested
        self._waiter: asyncio.Future[None] | None = None
        self._position = topic_log.position_after(after)
        topic_log.cursors += 1
        self._follows = follows
        topic_log.followers += follows

    @property
    def revision(self) -> int:
        """Every event of the topic up to this revision has been read; it grows with events of other topics too."""
        topic, log = self._topic_log, self._log
        unread = self._position - topic.start
        if log is None or unread < 0:
            return self._after
        reached = log.revision if unread >= len(topic.events) else topic.events[unread].revision - 1
        return max(self._after, reached)

    def read(self, limit: int = 1024) -> Sequence[Event[V]]:
        """The next events in revision order, none when all were read. Raises Expired when the next one is gone."""
        topic = self._topic_log
        if self._position < topic.floor:
            if self._after < topic.dropped:
                oldest = self._log.compacted if self._log is not None else topic.dropped
                raise Expired(self._after, oldest)
            self._position = topic.floor
        begin = self._position - topic.start
        if begin < len(topic.events) and topic.events[begin].revision <= self._after:
            # It was opened at a revision that had yet to come; what led there is not for it.
            self._position = topic.position_after(self._after)
            begin = self._position - topic.start
        events = topic.events[begin : begin + limit]
        self._position += len(events)
        if events:
            self._after = events[-1].revision
        return events

    def waiter(self) -> "asyncio.Future[None]":
        """A future that is done when there is something more to read.

        Take it right after a read that found nothing, with no await in between: on one event loop nothing can be
        appended then, so no wake-up is lost.
        """
        future = self._waiter = asyncio.get_running_loop().create_future()
        topic = self._topic_log
        if self._position < topic.start + len(topic.events):
            complete(future)
        else:
            topic.waiting.add(self)
        return future

    def rest(self) -> None:
        """The reader is awake, and waits for nothing until it takes a waiter again."""
        self._topic_log.waiting.discard(self)

    def notify(self, event: Event[V], position: int) -> bool:
        """Called by the topic with a new event; returns whether the reader was woken and waits no more."""
        if (
            self._interested is not None
            and self._position == position
            and not self._interested(event)
        ):
            self._position += 1
            return False
        if self._waiter is not None:
            complete(self._waiter)
        return True

    def close(self) -> None:
        """Ends the reading. Closing twice is harmless."""
        if self._log is not None:
            log, self._log = self._log, None
            self._topic_log.waiting.discard(self)
            log.release(self._topic, self._topic_log, follows=self._follows)
