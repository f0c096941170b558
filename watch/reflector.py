"""Keeps a picture of a source up to date: list, then watch, and list again when the history has expired.

The loop is a step function over a few states. Every odd thing that a source can do is one line of `step`; the loop
around it only waits and repeats.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

from verger.watch.chance import CHANCE
from verger.watch.clock import Clock
from verger.watch.event import Bookmark, Event, Expired, StreamEnded

V = TypeVar("V")

BACKOFF_FIRST = 0.8
BACKOFF_CAP = 30.0
BACKOFF_RESET = 120.0
"""Seconds between failures: from 0.8 doubling to 30, anew after two quiet minutes. upstream: client-go's reflector."""
SHORT = 1.0
"""Seconds; a watch that ends sooner and has brought nothing would be opened again and again."""


class Stream(Protocol[V]):
    """An open watch."""

    async def read(self) -> "Sequence[Event[V] | Bookmark]":
        """What came next, at least one thing. Raises Expired, StreamEnded, or whatever broke the connection."""

    def close(self) -> None:
        """Ends the watch; harmless when it has ended."""


class Source(Protocol[V]):
    """Something that can be listed and watched."""

    async def list(self) -> "tuple[Mapping[str, V], int]":
        """All objects by key, and the revision at which they were read."""

    async def watch(self, after: int) -> Stream[V]:
        """The changes after a revision. Raises Expired when some of them are gone."""


class Empty(NamedTuple):
    """Nothing is known yet, or what was known has expired."""


class Listed(NamedTuple):
    """Everything up to a revision is known, and no watch is open."""

    revision: int


class Watching(NamedTuple, Generic[V]):
    """A watch is open; everything up to a revision is known."""

    revision: int
    stream: Stream[V]


State = Empty | Listed | Watching[V]


class Replaced(NamedTuple, Generic[V]):
    """A complete list came."""

    objects: Mapping[str, V]
    revision: int


class Applied(NamedTuple, Generic[V]):
    """Events came; `revision` is known to be reached with them."""

    events: Sequence[Event[V]]
    revision: int


class Failed(NamedTuple):
    """The source failed; the same step is tried again after a pause."""

    error: Exception


Outcome = Replaced[V] | Applied[V] | Failed | None


class Reflector(Generic[V]):
    """Follows one source and hands every outcome to one consumer."""

    def __init__(
        self,
        source: Source[V],
        consume: Callable[[Outcome[V]], None],
        *,
        clock: Clock,
        backoff_cap: float = BACKOFF_CAP,
    ) -> None:
        """`backoff_cap` is how many seconds a pause after trouble lasts at most, without its jitter."""
        self._backoff_cap = backoff_cap
        self._source = source
        self._consume = consume
        self._clock = clock

    async def step(self, state: State[V]) -> tuple[Outcome[V], State[V]]:
        """One request or one read. Only cancellation leaves it as an exception."""
        match state:
            case Empty():
                try:
                    objects, revision = await self._source.list()
                except Exception as error:
                    return Failed(error), state
                return Replaced(objects, revision), Listed(revision)
            case Listed(revision):
                try:
                    return None, Watching(revision, await self._source.watch(revision))
                except Expired:
                    return None, Empty()
                except Exception as error:
                    return Failed(error), state
            case Watching(revision, stream):
                try:
                    news = await stream.read()
                except Expired:
                    stream.close()
                    return None, Empty()
                except StreamEnded:
                    stream.close()
                    return None, Listed(revision)
                except Exception as error:
                    stream.close()
                    return Failed(error), Listed(revision)
                events = [item for item in news if isinstance(item, Event)]
                reached = max((item.revision for item in news), default=revision)
                return Applied(events, reached), Watching(max(reached, revision), stream)

    async def run(self) -> None:
        """Steps for ever. Trouble is followed by a pause that doubles; the pause ends with the trouble.

        A watch that ends at once and has brought nothing is trouble too, but for the first time.
        """
        state: State[V] = Empty()
        pause = BACKOFF_FIRST
        troubled_at = opened_at = self._clock.monotonic()
        fruitless = 0  # watches in a row that ended at once and brought nothing
        try:
            while True:
                before = state
                outcome, state = await self.step(before)
                if outcome is not None:
                    self._consume(outcome)
                now = self._clock.monotonic()
                match outcome:
                    case Applied():
                        # However soon it ends now, it was worth opening.
                        fruitless, opened_at = 0, float("-inf")
                    case None if isinstance(state, Watching):
                        opened_at = now
                    case None:
                        soon = isinstance(before, Listed) or now - opened_at < SHORT
                        fruitless = fruitless + 1 if soon else 0
                if isinstance(outcome, Failed) or fruitless > 1:
                    pause = BACKOFF_FIRST if now - troubled_at > BACKOFF_RESET else pause
                    troubled_at = now
                    await self._clock.sleep(pause * (1 + CHANCE.random()))  # jitter
                    pause = min(pause * 2, self._backoff_cap)
        finally:
            if isinstance(state, Watching):
                state.stream.close()
