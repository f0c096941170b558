"""Two keys, two workers, every order of everything: the queue never leaves its model.

All reachable situations are visited, and in each of them everything that can happen is tried once. Workers are driven by
hand, so that what lies between a wake-up and the worker that goes on is an order of its own.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any

from verger.watch.clock import FakeClock
from verger.watch.workqueue import QueueShutDown, WorkQueue

KEYS = ("a", "b")
WORKERS = (0, 1)

MANY = 5000
"""More situations than there are, by far."""

Step = tuple[Callable[..., None], *tuple[Any, ...]]
"""What happens to a world, and its arguments."""


@dataclass(slots=True)
class Model:
    """The two sets, the order of the queue, and the times of delayed keys."""

    queue: list[str] = field(default_factory=list)
    dirty: set[str] = field(default_factory=set)
    processing: set[str] = field(default_factory=set)
    due: dict[str, tuple[int, int]] = field(default_factory=dict)
    now: int = 0
    asked: int = 0
    ended: bool = False

    def add(self, key: str) -> None:
        if self.ended or key in self.dirty:
            return
        self.dirty.add(key)
        if key not in self.processing:
            self.queue.append(key)

    def add_after(self, key: str, delay: int) -> None:
        self.asked += 1
        due = (self.now + delay, self.asked)
        if not self.ended and (key not in self.due or due[0] < self.due[key][0]):
            self.due[key] = due

    def pass_time(self) -> None:
        self.now += 1
        for due, key in sorted((due, key) for key, due in self.due.items()):
            if due[0] <= self.now:
                del self.due[key]
                self.add(key)

    def get(self) -> str:
        key = self.queue.pop(0)
        self.processing.add(key)
        self.dirty.discard(key)
        return key

    def done(self, key: str) -> None:
        self.processing.discard(key)
        if key in self.dirty:
            self.queue.append(key)

    def shut_down(self) -> None:
        self.ended = True
        self.due.clear()


@dataclass(slots=True)
class Worker:
    """Idle, waiting in `get`, or working on a key."""

    getting: Coroutine[Any, Any, str] | None = None
    waiter: "asyncio.Future[None] | None" = None
    is_cancelled: bool = False
    key: str | None = None

    @property
    def can_go_on(self) -> bool:
        return self.waiter is not None and self.waiter.done()

    @property
    def is_woken(self) -> bool:
        return self.waiter is not None and self.waiter.done() and not self.waiter.cancelled()


def finish(coroutine: Coroutine[Any, Any, None]) -> None:
    """Runs to its end a coroutine that does nothing but give others their turn."""
    try:
        while True:
            coroutine.send(None)
    except StopIteration:
        pass


class World:
    """A queue and its two workers beside the model, and the steps that can be taken."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.queue: WorkQueue[str] = WorkQueue(self.clock)
        self.model = Model()
        self.workers = [Worker() for _ in WORKERS]
        self.met: set[str] = set()

    # --- steps

    def possible(self) -> Iterator[Step]:
        for key in KEYS:
            yield World.add, key
            yield World.add_after, key, 2
        yield World.add_after, KEYS[0], 1
        if self.clock.next_timer() is not None:
            yield (World.pass_time,)
        for at, worker in enumerate(self.workers):
            if worker.key is not None:
                yield World.done, at
            elif worker.getting is None:
                yield World.get, at
            else:
                if worker.can_go_on:
                    yield World.go_on, at
                if not worker.is_cancelled:
                    yield World.cancel, at
        yield (World.shut_down,)

    def add(self, key: str) -> None:
        if key in self.model.processing and not self.model.ended:
            self.met.add("a key is added while it is worked on")
        self.queue.add(key)
        self.model.add(key)

    def add_after(self, key: str, delay: int) -> None:
        if key in self.model.due and self.model.now + delay < self.model.due[key][0]:
            self.met.add("an earlier time replaces a later one")
        self.queue.add_after(key, float(delay))
        self.model.add_after(key, delay)

    def pass_time(self) -> None:
        finish(self.clock.advance(1.0))
        self.model.pass_time()

    def get(self, at: int) -> None:
        worker = self.workers[at]
        if self.model.queue and any(other.is_woken for other in self.workers):
            self.met.add("a key is taken before the worker that it woke goes on")
        worker.getting = self.queue.get()
        self._run(worker)

    def go_on(self, at: int) -> None:
        self._run(self.workers[at])

    def _run(self, worker: Worker) -> None:
        """Lets a worker go on to its next wait or to the end of `get`, and compares how it ended."""
        assert worker.getting is not None
        cancelled, worker.waiter = worker.is_cancelled, None
        try:
            if cancelled:
                worker.waiter = worker.getting.throw(asyncio.CancelledError)
            else:
                worker.waiter = worker.getting.send(None)
        except StopIteration as returned:
            worker.key = returned.value
        except QueueShutDown:
            self.met.add("a worker is told that the work is over")
            assert self.model.ended
            assert not self.model.queue
        except asyncio.CancelledError:
            assert cancelled
        if worker.key is not None:
            assert worker.key == self.model.get()
        if worker.waiter is None:
            worker.getting, worker.is_cancelled = None, False
        else:
            assert not self.model.queue, "it waits although there is work"

    def cancel(self, at: int) -> None:
        """As a task does it: a wait that has not ended ends so; one that has is interrupted all the same."""
        worker = self.workers[at]
        assert worker.waiter is not None
        if not worker.waiter.done():
            worker.waiter.cancel()
        elif any(other.waiter and not other.can_go_on for other in self.workers):
            self.met.add("a worker is cancelled together with its wake-up while another waits")
        worker.is_cancelled = True

    def done(self, at: int) -> None:
        worker = self.workers[at]
        assert worker.key is not None
        self.queue.done(worker.key)
        self.model.done(worker.key)
        worker.key = None

    def shut_down(self) -> None:
        if any(worker.waiter for worker in self.workers):
            self.met.add("the end comes while a worker waits")
        self.queue.shut_down()
        self.model.shut_down()

    # --- what holds after every step

    def check(self) -> None:
        queue, model = self.queue, self.model
        held = [worker.key for worker in self.workers if worker.key is not None]
        assert len(held) == len(set(held)), "a key is worked on twice at once"
        assert sorted(held) == sorted(queue.processing()) == sorted(model.processing)
        assert len(queue._queue) == len(set(queue._queue)), "a key is queued twice"
        assert list(queue._queue) == model.queue, "the order, or a key, is lost"
        assert queue._dirty == model.dirty
        statistics = queue.statistics()
        assert (statistics.depth, statistics.processing) == (len(model.queue), len(held))
        assert statistics.delayed == len(model.due)
        assert queue.is_idle == (not model.queue and not held)
        wait = min((due for due, _ in model.due.values()), default=None)
        assert self.clock.next_timer() == (None if wait is None else wait - model.now)
        waiting = [w for w in self.workers if w.waiter and not w.waiter.cancelled()]
        woken = sum(worker.is_woken for worker in self.workers)
        assert woken >= min(len(model.queue), len(waiting)), "a key waits beside a sleeping worker"
        assert not model.ended or woken == len(waiting), "a worker sleeps through the end"

    def situation(self) -> str:
        """Everything that can make a difference to what comes next: two worlds that agree in it behave alike."""
        now = self.clock.monotonic()
        attributes = {name.lstrip("_"): value for name, value in vars(self.queue).items()}
        for irrelevant in ("clock", "order", "adds", "retries", "times"):
            del attributes[irrelevant]
        timer_at = attributes.pop("timer_at") - now
        attributes["timer"] = None if attributes["timer"] is None else timer_at
        waiters = list(attributes["waiters"])
        attributes["waiters"] = [waiter.done() for waiter in waiters]
        attributes["due"] = {key: due - now for key, due in attributes["due"].items()}
        attributes["heap"] = [(due - now, key) for due, _, key in sorted(attributes["heap"])]
        attributes["dirty"] = sorted(attributes["dirty"])
        attributes["processing"] = sorted(attributes["processing"])
        # The queue does not know its workers by name: to swap them makes no other situation.
        workers = sorted(
            repr((w.key, w.is_cancelled, w.can_go_on, w.is_woken, [w.waiter is x for x in waiters]))
            for w in self.workers
        )
        return repr((sorted(attributes.items()), workers, self.clock.next_timer()))

    def close(self) -> None:
        for worker in self.workers:
            if worker.getting is not None:
                worker.getting.close()


async def test_every_interleaving_keeps_to_the_model() -> None:
    """Never twice at once, at most once queued, no key lost and no wake-up lost, whatever the order of steps."""
    paths: deque[tuple[Step, ...]] = deque([()])
    seen: set[str] = set()
    met: set[str] = set()
    while paths:
        path = paths.popleft()
        world = World()
        try:
            for step, *arguments in path:
                step(world, *arguments)
            world.check()
        except AssertionError as error:
            error.add_note("after " + ", ".join(f"{s.__name__}{tuple(a)}" for s, *a in path))
            raise
        situation = world.situation()
        if situation not in seen:
            seen.add(situation)
            assert len(seen) < MANY, "situations multiply: something is kept that should go"
            paths.extend((*path, step) for step in world.possible())
        met |= world.met
        world.close()
    assert met == {
        "a key is added while it is worked on",
        "a key is taken before the worker that it woke goes on",
        "a worker is cancelled together with its wake-up while another waits",
        "a worker is told that the work is over",
        "an earlier time replaces a later one",
        "the end comes while a worker waits",
    }, "the enumeration has become too small to show anything"
