"""Runs one controller: its changes become keys, its keys become work, and each piece of work has one of four outcomes."""

import asyncio
from collections import deque
from collections.abc import Hashable
from typing import TYPE_CHECKING, Generic, TypeVar

from verger.controllers.attempt import CURRENT, begun
from verger.controllers.origins import Origins, Outcome
from verger.controllers.reconcile import Enqueue, Informers, Reconciler, Subscriber, Terminal
from verger.watch.clock import Clock
from verger.watch.tracing import Span, Tracer
from verger.watch.workqueue import QueueShutDown, QueueStatistics, QueueView, WorkQueue

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

K = TypeVar("K", bound=Hashable)

_ERRORS_KEPT = 20
_WARN_AFTER = 5
"""Failures of one key before they are worth a warning: the first ones are mostly races that the next try settles."""


class Runner(Generic[K]):
    """One controller and its queue. The queue outlives the workers: a key whose worker was killed is worked on again."""

    def __init__(
        self,
        reconciler: Reconciler[K],
        informers: Informers,
        clock: Clock,
        log: "FilteringBoundLogger",
        origins: Origins | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self._origins = origins
        self._tracer = tracer
        self._subscriber: Subscriber | None = None
        self._attached = True
        self._reconciler = reconciler
        self._informers = informers
        self._clock = clock
        self._log = log.bind(controller=reconciler.name)
        self._queue: WorkQueue[K] | None = None
        self._synced = asyncio.Event()
        self.delay = 0.0
        """Seconds between what it hears and its work."""
        self.errors: deque[str] = deque(maxlen=_ERRORS_KEPT)
        """The last errors, newest last, for those who ask what is wrong."""

    @property
    def name(self) -> str:
        """The controller's name."""
        return self._reconciler.name

    @property
    def synced(self) -> bool:
        """Whether it has seen the world and works."""
        return self._synced.is_set()

    @property
    def idle(self) -> bool:
        """Whether nothing is queued and nothing is being worked on."""
        return self._queue is None or self._queue.is_idle

    def statistics(self) -> QueueStatistics | None:
        """Its queue, None while it does not run."""
        return self._queue.statistics() if self._queue is not None else None

    def view(self, limit: int) -> QueueView[K] | None:
        """What it has to do, at most `limit` keys of each sort; None while it does not run."""
        return self._queue.view(limit) if self._queue is not None else None

    def detach(self) -> None:
        """Hears and sees nothing new, in this run and in all that follow, until it is attached."""
        self._attached = False
        if self._subscriber is not None:
            self._subscriber.detach()

    def attach(self) -> None:
        """Hears at once of what it has missed."""
        self._attached = True
        if self._subscriber is not None:
            self._subscriber.attach()

    async def settled(self) -> None:
        """Waits until it has seen the world and has nothing left to do at once."""
        await self._synced.wait()
        if self._queue is not None:
            await self._queue.idle()

    async def warm(self) -> None:
        """Returns when the caches that it needs have been filled, without working on anything."""
        subscriber = Subscriber(self._informers)
        try:
            self._reconciler.subscribe(subscriber, _unheard)
            await subscriber.synced()
        finally:
            subscriber.close()

    async def run(self) -> None:
        """Works until it is cancelled."""
        queue: WorkQueue[K] = WorkQueue(self._clock, cap=self._reconciler.backoff_cap)
        subscriber = Subscriber(self._informers, attached=self._attached)
        self._queue, self._subscriber = queue, subscriber
        try:
            self._reconciler.subscribe(subscriber, self._enqueue(queue, subscriber))
            await subscriber.synced()
            self._synced.set()
            await self._employ(queue)
        finally:
            self._synced.clear()
            subscriber.close()
            queue.shut_down()
            self._queue = self._subscriber = None
            if self._origins is not None:
                self._origins.ended(self.name)

    def _enqueue(self, queue: WorkQueue[K], subscriber: Subscriber) -> Enqueue[K]:
        """What the controller says that a key needs work with; origins note what it has just heard."""
        origins, least = self._origins, self.delay
        if origins is None and not least:
            return queue.add_after

        def enqueue(key: K, delay: float = 0.0) -> None:
            if origins is not None:
                origins.caused(self.name, key, subscriber.heard)
            queue.add_after(key, max(delay, least))

        return enqueue

    async def _employ(self, queue: WorkQueue[K]) -> None:
        """Keeps as many workers as the controller has; one that is killed has put its key back, and is replaced."""
        workers: set[asyncio.Task[None]] = set()
        try:
            while True:
                while len(workers) < self._reconciler.workers:
                    workers.add(asyncio.create_task(self._work(queue)))
                ended, workers = await asyncio.wait(workers, return_when=asyncio.FIRST_COMPLETED)
                for worker in ended:
                    if not worker.cancelled():
                        worker.result()
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _work(self, queue: WorkQueue[K]) -> None:
        try:
            while True:
                async with queue.work() as key:
                    try:
                        if self._origins is None:
                            await self._attempt(queue, key)
                        else:
                            with self._origins.working(self.name, key, queue.failures(key)) as work:
                                work.outcome = await self._attempt(queue, key)
                    except asyncio.CancelledError:
                        queue.add(key)
                        raise
        except QueueShutDown:
            return

    async def _attempt(self, queue: WorkQueue[K], key: K) -> Outcome:
        revision = self._subscriber.revision if self._subscriber is not None else 0
        attempt = begun(self.name, key, revision)
        token = CURRENT.set(attempt)
        try:
            if self._tracer is None:
                return await self._reconcile(queue, key, None)
            facts = {f"verger.{name}": value for name, value in attempt.facts().items()}
            facts["verger.retries"] = queue.failures(key)
            with self._tracer.span(f"reconcile {self.name}", facts) as span:
                outcome = await self._reconcile(queue, key, span)
                span.tell("verger.result", outcome)
                return outcome
        finally:
            CURRENT.reset(token)

    async def _reconcile(self, queue: WorkQueue[K], key: K, span: Span | None) -> Outcome:
        try:
            result = await self._reconciler.reconcile(key)
        except Terminal as terminal:
            if span is not None:
                span.fail(terminal)
            self.errors.append(f"{key}: {terminal}")
            self._log.warning("given up", key=str(key), error=str(terminal))
            queue.forget(key)
            return "given up"
        except Exception as error:
            if span is not None:
                span.fail(error)
            failures = queue.failures(key) + 1
            delay = queue.add_backoff(key)
            self.errors.append(f"{key}: {error}")
            say = self._log.warning if failures >= _WARN_AFTER else self._log.debug
            say(
                "failed",
                key=str(key),
                error=str(error),
                failures=failures,
                again_in=round(delay, 3),
            )
            return "failed"
        queue.forget(key)
        if result.after is not None:
            queue.add_after(key, result.after)
            return "looks again"
        return "done"


def _unheard(key: Hashable, delay: float = 0.0) -> None:
    """Of one that only warms up: when it starts, it hears of everything again."""
