"""Whatever a source does, the next step is known; and the loop around the steps waits as long as it should."""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence

import pytest
from verger.watch.chance import CHANCE
from verger.watch.clock import FakeClock
from verger.watch.event import Bookmark, Event, EventType, Expired, StreamEnded
from verger.watch.reflector import (
    BACKOFF_CAP,
    BACKOFF_FIRST,
    BACKOFF_RESET,
    SHORT,
    Applied,
    Empty,
    Failed,
    Listed,
    Outcome,
    Reflector,
    Replaced,
    State,
    Stream,
    Watching,
)

News = Sequence[Event[str] | Bookmark]
BROKEN = ConnectionError("the connection broke")
GONE = Expired(5, 9)
ENDED = StreamEnded()


def event(revision: int, type_: EventType = EventType.MODIFIED) -> Event[str]:
    return Event(type_, "things", "", "key", revision, f"at {revision}", None)


class ScriptedStream:
    """Says what it was told to say, then stays silent."""

    def __init__(self, *script: News | Exception) -> None:
        self._script = deque(script)
        self.closed = 0

    async def read(self) -> News:
        if not self._script:
            await asyncio.Event().wait()
        said = self._script.popleft()
        if isinstance(said, Exception):
            raise said
        return said

    def close(self) -> None:
        self.closed += 1


class ScriptedSource:
    """Answers each request with the next line of its script, then not at all; notes request and time."""

    def __init__(
        self,
        clock: FakeClock,
        *,
        lists: Sequence[tuple[Mapping[str, str], int] | Exception] = (),
        watches: Sequence[ScriptedStream | Exception] = (),
    ) -> None:
        self._clock = clock
        self._lists = deque(lists)
        self._watches = deque(watches)
        self.requests: list[str | int] = []
        self.times: list[float] = []

    async def list(self) -> tuple[Mapping[str, str], int]:
        self._note("list")
        if not self._lists:
            await asyncio.Event().wait()
        answer = self._lists.popleft()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def watch(self, after: int) -> Stream[str]:
        self._note(after)
        if not self._watches:
            await asyncio.Event().wait()
        answer = self._watches.popleft()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _note(self, request: str | int) -> None:
        self.requests.append(request)
        self.times.append(self._clock.monotonic())


# --- one step

OPEN = ScriptedStream()


@pytest.mark.parametrize(
    ("state", "answer", "outcome", "after"),
    [
        pytest.param(
            Empty(),
            ({"a": "1"}, 7),
            Replaced({"a": "1"}, 7),
            Listed(7),
            id="nothing known, a list comes: it replaces everything",
        ),
        pytest.param(
            Empty(),
            ({}, 7),
            Replaced({}, 7),
            Listed(7),
            id="nothing known, an empty list comes: that is known too",
        ),
        pytest.param(
            Empty(), BROKEN, Failed(BROKEN), Empty(), id="nothing known, the list fails: again"
        ),
        pytest.param(
            Empty(), GONE, Failed(GONE), Empty(), id="nothing known, the list has expired: again"
        ),
        pytest.param(
            Empty(), ENDED, Failed(ENDED), Empty(), id="nothing known, the list ends early: again"
        ),
        pytest.param(
            Listed(7), OPEN, None, Watching(7, OPEN), id="listed, the watch opens: read it"
        ),
        pytest.param(Listed(7), GONE, None, Empty(), id="listed, the history is gone: list again"),
        pytest.param(
            Listed(7), BROKEN, Failed(BROKEN), Listed(7), id="listed, the watch fails: watch again"
        ),
        pytest.param(
            Listed(7), ENDED, Failed(ENDED), Listed(7), id="listed, the watch ends unopened: again"
        ),
    ],
)
async def test_step_that_asks_the_source(
    clock: FakeClock,
    state: State[str],
    answer: tuple[Mapping[str, str], int] | ScriptedStream | Exception,
    outcome: Outcome[str],
    after: State[str],
) -> None:
    """Without an open watch a step is one request, for a list or for what comes after the list."""
    source = ScriptedSource(
        clock,
        lists=[] if isinstance(answer, ScriptedStream) else [answer],
        watches=[] if isinstance(answer, tuple) else [answer],
    )
    consumed: list[Outcome[str]] = []
    reflector = Reflector(source, consumed.append, clock=clock)
    assert await reflector.step(state) == (outcome, after)
    assert source.requests == [state.revision if isinstance(state, Listed) else "list"]
    assert consumed == [], "a step returns its outcome, the loop hands it on"


@pytest.mark.parametrize(
    ("said", "outcome", "reached"),
    [
        pytest.param([event(8)], Applied([event(8)], 8), 8, id="an event"),
        pytest.param(
            [event(8), event(11)], Applied([event(8), event(11)], 11), 11, id="several events"
        ),
        pytest.param(
            [Bookmark(9)], Applied([], 9), 9, id="a bookmark alone: nothing changed up to there"
        ),
        pytest.param([Bookmark(9), Bookmark(12)], Applied([], 12), 12, id="bookmarks only"),
        pytest.param(
            [event(8), Bookmark(20)], Applied([event(8)], 20), 20, id="a bookmark behind an event"
        ),
        pytest.param(
            [Bookmark(8), event(9)], Applied([event(9)], 9), 9, id="an event behind a bookmark"
        ),
        pytest.param([Bookmark(3)], Applied([], 3), 7, id="an old bookmark: what is known stays"),
        pytest.param([], Applied([], 7), 7, id="nothing at all"),
    ],
)
async def test_step_that_reads_goes_on_reading(
    clock: FakeClock, said: News, outcome: Applied[str], reached: int
) -> None:
    """Bookmarks move the revision and are not events; the same stream is read next, which stays open."""
    stream = ScriptedStream(said)
    source = ScriptedSource(clock)
    reflector = Reflector(source, lambda _: None, clock=clock)
    assert await reflector.step(Watching(7, stream)) == (outcome, Watching(reached, stream))
    assert (source.requests, stream.closed) == ([], 0)


@pytest.mark.parametrize(
    ("raised", "outcome", "after"),
    [
        pytest.param(GONE, None, Empty(), id="the history is gone: list again, at once"),
        pytest.param(ENDED, None, Listed(7), id="it ended in good order: watch on, at once"),
        pytest.param(BROKEN, Failed(BROKEN), Listed(7), id="it broke: watch on, after a pause"),
    ],
)
async def test_step_that_cannot_read_closes_the_stream(
    clock: FakeClock, raised: Exception, outcome: Outcome[str], after: State[str]
) -> None:
    """Every way in which a watch ends closes it, and none loses the revision that was reached."""
    stream = ScriptedStream(raised)
    reflector = Reflector(ScriptedSource(clock), lambda _: None, clock=clock)
    assert await reflector.step(Watching(7, stream)) == (outcome, after)
    assert stream.closed == 1


# --- the loop


async def running(reflector: Reflector[str], clock: FakeClock) -> "asyncio.Task[None]":
    task = asyncio.create_task(reflector.run())
    await clock.advance()
    return task


async def stop(task: "asyncio.Task[None]") -> None:
    assert not task.done(), "it steps for ever"
    task.cancel()
    for _ in range(10):
        await asyncio.sleep(0)
    assert task.cancelled(), "it stops at once"


async def test_loop_lists_watches_and_lists_again_when_history_expired(clock: FakeClock) -> None:
    """The steps in a row: no revision is asked for twice without need, and every stream but the last is closed."""
    streams = [
        ScriptedStream([event(8)], [Bookmark(10)], ENDED),
        ScriptedStream([event(11)], GONE),
        ScriptedStream([event(31)]),
    ]
    source = ScriptedSource(
        clock,
        lists=[({"a": "1"}, 7), ({"a": "2"}, 20), ({"a": "3"}, 30)],
        watches=[streams[0], streams[1], GONE, streams[2]],
    )
    outcomes: list[Outcome[str]] = []
    task = await running(Reflector(source, outcomes.append, clock=clock), clock)
    assert outcomes == [
        Replaced({"a": "1"}, 7),
        Applied([event(8)], 8),
        Applied([], 10),
        Applied([event(11)], 11),
        Replaced({"a": "2"}, 20),
        Replaced({"a": "3"}, 30),
        Applied([event(31)], 31),
    ]
    assert source.requests == ["list", 7, 10, "list", 20, "list", 30]
    assert [stream.closed for stream in streams] == [1, 1, 0]
    assert clock.monotonic() == 0.0, "none of this is a failure, so nothing paused"
    await stop(task)
    assert [stream.closed for stream in streams] == [1, 1, 1]


async def gaps(source: ScriptedSource, clock: FakeClock, *, seconds: float) -> list[float]:
    """Runs a reflector for some seconds and returns the pauses between its requests."""
    failures: list[Outcome[str]] = []
    task = await running(Reflector(source, failures.append, clock=clock), clock)
    await clock.advance(seconds)
    await stop(task)
    assert failures == [Failed(BROKEN)] * len(source.times)
    return [later - sooner for sooner, later in zip(source.times, source.times[1:], strict=False)]


PAUSES = [0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0, 30.0]
"""Seconds of the first pauses, without what chance adds."""


@pytest.mark.parametrize(
    ("chance", "factor"),
    [
        pytest.param(0.0, 1.0, id="when chance adds nothing"),
        pytest.param(0.5, 1.5, id="when chance adds half"),
    ],
)
async def test_pause_doubles_up_to_its_cap(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch, chance: float, factor: float
) -> None:
    """0.8 s, then twice as long each time, never more than 30 s before chance adds to it."""
    monkeypatch.setattr(CHANCE, "random", lambda: chance)
    source = ScriptedSource(clock, lists=[BROKEN] * 100)
    pauses = await gaps(source, clock, seconds=factor * sum(PAUSES) + 1)
    assert pauses == pytest.approx([factor * pause for pause in PAUSES])
    assert (PAUSES[0], PAUSES[-1]) == (BACKOFF_FIRST, BACKOFF_CAP)


async def test_chance_spreads_the_pauses(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each pause is one to two times its length, differently each time: clients do not come back together."""
    monkeypatch.setattr(CHANCE, "random", random.Random(20).random)
    source = ScriptedSource(clock, lists=[BROKEN] * 100)
    pauses = await gaps(source, clock, seconds=2 * sum(PAUSES) + 1)
    factors = [actual / pause for actual, pause in zip(pauses, PAUSES, strict=False)]
    assert len(factors) == len(PAUSES)
    assert all(1 <= factor < 2 for factor in factors)
    assert max(factors) - min(factors) > 0.5
    assert len(set(factors)) == len(factors)


@pytest.mark.parametrize(
    ("quiet", "pause"),
    [
        pytest.param(BACKOFF_RESET - 1, 6.4, id="not quite two minutes: it doubles further"),
        pytest.param(BACKOFF_RESET + 1, 0.8, id="more than two minutes: it begins anew"),
    ],
)
async def test_pause_begins_anew_after_two_quiet_minutes(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch, quiet: float, pause: float
) -> None:
    """Quiet is the time since the last failure, not since the last success: a flapping source stays slow."""
    monkeypatch.setattr(CHANCE, "random", lambda: 0.0)
    breaks: asyncio.Future[News] = asyncio.get_running_loop().create_future()
    stream = ScriptedStream()
    monkeypatch.setattr(stream, "read", lambda: breaks)
    source = ScriptedSource(
        clock, lists=[BROKEN, BROKEN, BROKEN, ({}, 7)], watches=[stream, BROKEN]
    )
    task = await running(Reflector(source, lambda _: None, clock=clock), clock)
    await clock.advance(0.8 + 1.6)
    await clock.advance(quiet)
    breaks.set_exception(BROKEN)
    await clock.advance(60.0)
    await stop(task)
    assert source.requests == ["list"] * 4 + [7] * 3
    broke_at = 0.8 + 1.6 + quiet
    assert source.times[5:] == pytest.approx([broke_at + pause, broke_at + 3 * pause])


@pytest.mark.parametrize(
    ("lists", "watches", "requests"),
    [
        pytest.param(
            5, [GONE] * 5, ["list", 7, "list", 7], id="the history is gone again and again"
        ),
        pytest.param(
            1,
            [ScriptedStream(ENDED) for _ in range(5)],
            ["list", 7, 7],
            id="watches end as soon as they are open",
        ),
        pytest.param(
            5,
            [ScriptedStream(GONE) for _ in range(5)],
            ["list", 7, "list", 7],
            id="watches say at once that the history is gone",
        ),
    ],
)
async def test_watches_that_bring_nothing_are_not_opened_without_pause(
    clock: FakeClock,
    lists: int,
    watches: list[ScriptedStream | Exception],
    requests: list[str | int],
) -> None:
    """Once may happen; from the second time on it pauses as after a failure."""
    source = ScriptedSource(clock, lists=[({}, 7)] * lists, watches=watches)
    task = await running(Reflector(source, lambda _: None, clock=clock), clock)
    assert source.requests == requests
    await clock.advance(2 * BACKOFF_FIRST)
    assert len(source.requests) > len(requests)
    await stop(task)


async def test_watch_that_ends_after_a_quiet_time_is_opened_at_once(clock: FakeClock) -> None:
    """Servers end watches in good order; that is no trouble, however often it happens."""

    class Quiet(ScriptedStream):
        async def read(self) -> News:
            await clock.sleep(2 * SHORT)
            raise ENDED

    source = ScriptedSource(clock, lists=[({}, 7)], watches=[Quiet() for _ in range(3)])
    task = await running(Reflector(source, lambda _: None, clock=clock), clock)
    await clock.advance(6 * SHORT)
    assert source.times == [0.0, 0.0, 2 * SHORT, 4 * SHORT, 6 * SHORT]
    await stop(task)


# --- the end


@pytest.mark.parametrize(
    "script",
    [
        pytest.param([], id="while it waits for the first news"),
        pytest.param([[event(8)]], id="while it waits for more"),
    ],
)
async def test_cancellation_closes_the_stream(clock: FakeClock, script: list[News]) -> None:
    """Whoever stops a reflector leaves no watch open behind it."""
    stream = ScriptedStream(*script)
    source = ScriptedSource(clock, lists=[({}, 7)], watches=[stream])
    task = await running(Reflector(source, lambda _: None, clock=clock), clock)
    assert stream.closed == 0
    await stop(task)
    assert stream.closed == 1


async def test_cancellation_ends_a_pause(clock: FakeClock) -> None:
    """A reflector that waits after a failure stops at once and leaves no timer."""
    source = ScriptedSource(clock, lists=[({}, 7)], watches=[BROKEN])
    task = await running(Reflector(source, lambda _: None, clock=clock), clock)
    assert clock.next_timer() is not None
    await stop(task)
    assert clock.next_timer() is None


async def test_consumer_that_raises_ends_the_loop_and_closes_the_stream(clock: FakeClock) -> None:
    """An error of ours is no failure of the source: it is not repeated, it is shown."""
    stream = ScriptedStream([event(8)])
    source = ScriptedSource(clock, lists=[({}, 7)], watches=[stream])

    def consume(outcome: Outcome[str]) -> None:
        if isinstance(outcome, Applied):
            raise LookupError

    task = asyncio.create_task(Reflector(source, consume, clock=clock).run())
    with pytest.raises(LookupError):
        await task
    assert stream.closed == 1


@pytest.mark.parametrize(
    "state",
    [
        pytest.param(lambda _: Empty(), id="in a list"),
        pytest.param(lambda _: Listed(7), id="in opening a watch"),
        pytest.param(lambda stream: Watching(7, stream), id="in a read"),
    ],
)
async def test_cancellation_is_not_a_failure(
    clock: FakeClock, state: Callable[[ScriptedStream], State[str]]
) -> None:
    """A step that is cancelled says so: it does not turn it into an outcome to be repeated."""

    class Silent:
        async def list(self) -> tuple[Mapping[str, str], int]:
            await asyncio.Event().wait()
            raise AssertionError

        async def watch(self, after: int) -> Stream[str]:
            await asyncio.Event().wait()
            raise AssertionError

    reflector: Reflector[str] = Reflector(Silent(), lambda _: None, clock=clock)
    task = asyncio.create_task(reflector.step(state(ScriptedStream())))
    await clock.advance()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
