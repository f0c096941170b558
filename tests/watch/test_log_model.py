"""The log and its cursors agree with a model that is too simple to be wrong: a list of events."""

import asyncio
import copy
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    rule,
    run_state_machine_as_test,
)
from verger.watch.clock import FakeClock
from verger.watch.event import Event, EventType, Expired
from verger.watch.log import Cursor, EventLog

START = 10
WINDOW = 10.0
LIMIT = 9

kinds = st.sampled_from(["pods", "pods", "nodes"])
scopes = st.sampled_from(["", "east", "east", "west"])
gaps = st.integers(min_value=1, max_value=3)
limits = st.integers(min_value=1, max_value=4)


def everything(_: Event[str]) -> bool:
    return True


def even(event: Event[str]) -> bool:
    return event.revision % 2 == 0


@dataclass(eq=False, slots=True)
class Reader:
    """A cursor, and all that the model knows of it."""

    cursor: Cursor[str]
    kind: str
    scope: str | None
    interested: Callable[[Event[str]], bool] | None
    seen: int
    """Everything of its topic up to this revision was read, or passed over while it waited."""
    last: int
    """The revision of the last event that a read returned, or where it began."""
    waiter: "asyncio.Future[None] | None" = None

    def follows(self, event: Event[str]) -> bool:
        return event.kind == self.kind and self.scope in (None, event.scope)


class LogMachine(RuleBasedStateMachine):
    """Everything that can be done to a log, in any order, beside a list of all events and two numbers."""

    readers: Bundle[Reader] = Bundle("readers")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = FakeClock()
        self.trimmed: list[Event[str]] = []
        self.log: EventLog[str] = EventLog(
            self.clock, revision=START, window=WINDOW, limit=LIMIT, on_trim=self.trimmed.append
        )
        self.history: list[tuple[float, Event[str]]] = []
        self.gone = 0
        """How many events of the history have been dropped."""
        self.revision = self.compacted = START
        self.open: list[Reader] = []

    def teardown(self) -> None:
        self.loop.close()

    # --- the model

    def drop(self, condition: Callable[[float, Event[str]], bool]) -> None:
        while self.gone < len(self.history) and condition(*self.history[self.gone]):
            self.compacted = self.history[self.gone][1].revision
            self.gone += 1

    def drop_old(self) -> None:
        oldest = self.clock.monotonic() - WINDOW
        self.drop(lambda at, _: at < oldest or len(self.history) - self.gone > LIMIT)

    def unread(self, reader: Reader) -> list[Event[str]]:
        return [
            event
            for _, event in self.history
            if event.revision > reader.seen and reader.follows(event)
        ]

    def is_overtaken(self, reader: Reader) -> bool:
        unread = self.unread(reader)
        return bool(unread) and unread[0].revision <= self.compacted

    # --- what can be done

    @rule(
        what=st.lists(st.tuples(kinds, scopes, gaps), min_size=1, max_size=6),
        back=st.integers(min_value=0, max_value=3),
    )
    def append(self, what: list[tuple[str, str, int]], back: int) -> None:
        late = Event(EventType.ADDED, "pods", "", "key", self.revision - back, "", None)
        with pytest.raises(ValueError, match="is not above"):
            self.log.append(late)
        for kind, scope, gap in what:
            self.revision += gap
            self.append_one(kind, scope)

    def append_one(self, kind: str, scope: str) -> None:
        event = Event(EventType.ADDED, kind, scope, "key", self.revision, "", None)
        caught_up = [reader for reader in self.open if not self.unread(reader)]
        self.log.append(event)
        self.history.append((self.clock.monotonic(), event))
        self.drop_old()
        for reader in self.open:
            waiter = reader.waiter
            if waiter is None:
                continue
            if not reader.follows(event):
                assert not waiter.done(), "woken by an event of another topic"
            elif event.revision <= reader.last:
                # It was opened at a revision to come: to be woken on the way there is allowed.
                reader.waiter = None if waiter.done() else waiter
            elif reader in caught_up and reader.interested and not reader.interested(event):
                assert not waiter.done(), "woken by an event that does not interest it"
                reader.seen = event.revision
            else:
                assert waiter.done(), "not woken"
                reader.waiter = None

    @rule(seconds=st.sampled_from([0.5, 1.0, 4.0, WINDOW]), trims=st.booleans())
    def pass_time(self, seconds: float, trims: bool) -> None:
        self.loop.run_until_complete(self.clock.advance(seconds))
        if trims:
            self.log.trim()
            self.drop_old()

    @rule(back=st.integers(min_value=-1, max_value=6))
    def compact(self, back: int) -> None:
        revision = self.revision - back
        self.log.compact(revision)
        self.drop(lambda _, event: event.revision <= revision)
        self.compacted = max(self.compacted, min(revision, self.revision))

    @rule(
        target=readers,
        kind=kinds,
        scope=st.sampled_from([None, "east", "west"]),
        ahead=st.integers(min_value=-9, max_value=9),
        interested=st.sampled_from([None, everything, even]),
    )
    def open_reader(
        self,
        kind: str,
        scope: str | None,
        ahead: int,
        interested: Callable[[Event[str]], bool] | None,
    ) -> Reader:
        with pytest.raises(Expired) as expired:
            self.log.cursor(kind, scope, after=self.compacted - 1)
        assert expired.value.requested == self.compacted - 1
        assert expired.value.oldest == self.compacted
        after = max(self.compacted, self.revision + ahead)
        cursor = self.log.cursor(kind, scope, after=after, interested=interested)
        reader = Reader(cursor, kind, scope, interested, after, after)
        self.open.append(reader)
        return reader

    @rule(reader=readers, limit=limits)
    def read_some(self, reader: Reader, limit: int) -> None:
        self.read(reader, limit)

    def read(self, reader: Reader, limit: int) -> None:
        if self.is_overtaken(reader):
            return
        expected = self.unread(reader)[:limit]
        assert list(reader.cursor.read(limit)) == expected
        if expected:
            reader.seen = reader.last = expected[-1].revision
        else:
            assert reader.cursor.revision == max(reader.last, self.revision)

    @rule(reader=readers)
    def read_on_and_wait(self, reader: Reader) -> None:
        if self.unread(reader):
            assert self.take_waiter(reader).done(), "told to wait beside something unread"
            if self.is_overtaken(reader):
                return
            self.read(reader, 1024)
        self.read(reader, 1)
        reader.waiter = self.take_waiter(reader)
        assert not reader.waiter.done()

    def take_waiter(self, reader: Reader) -> "asyncio.Future[None]":
        async def take() -> "asyncio.Future[None]":
            return reader.cursor.waiter()

        return self.loop.run_until_complete(take())

    @rule(reader=consumes(readers))
    def close(self, reader: Reader) -> None:
        reader.cursor.close()
        reader.cursor.close()
        self.open.remove(reader)

    # --- what must hold after every step

    @invariant()
    def log_is_as_long_as_the_model(self) -> None:
        assert (self.log.revision, self.log.compacted) == (self.revision, self.compacted)
        assert len(self.log) == len(self.history) - self.gone
        assert self.trimmed == [event for _, event in self.history[: self.gone]]

    @invariant()
    def readers_would_read_what_is_unread(self) -> None:
        for number, reader in enumerate(self.open):
            probe = copy.copy(reader.cursor)
            if self.is_overtaken(reader):
                with pytest.raises(Expired) as expired:
                    probe.read()
                assert expired.value.requested == reader.last < self.compacted
                assert expired.value.oldest == self.compacted
                continue
            unread = self.unread(reader)
            while expected := unread[: 1 + number % 3]:
                assert list(probe.read(1 + number % 3)) == expected
                del unread[: len(expected)]
            assert list(probe.read()) == []

    @invariant()
    def readers_claim_nothing_that_they_have_not_read(self) -> None:
        for reader in self.open:
            assert reader.cursor.revision >= reader.last
            for event in self.unread(reader):
                assert reader.cursor.revision < event.revision

    @invariant()
    def topics_are_those_with_events_or_readers(self) -> None:
        kept = [event for _, event in self.history[self.gone :]]
        topics: set[tuple[str, str | None]] = {(event.kind, None) for event in kept}
        topics |= {(event.kind, event.scope) for event in kept if event.scope}
        topics |= {(reader.kind, reader.scope) for reader in self.open}
        assert set(self.log._topics) == topics


def test_log_agrees_with_the_model() -> None:
    """No sequence of appends, trims, reads and waits tells the log from the model."""
    run_state_machine_as_test(
        LogMachine,
        settings=settings(
            max_examples=80,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            database=None,
            report_multiple_bugs=False,
        ),
    )
