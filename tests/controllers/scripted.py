"""A controller that does what a test says, and the manager that runs it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, cast

from verger.controllers.manager import Manager
from verger.controllers.reconcile import DONE, Enqueue, Object, Result, Subscriber
from verger.watch.cache import Change

from tests.controllers.harness import Cluster

Work = Callable[[str], Awaitable[Result]]


async def nothing(_: str) -> Result:
    """Work that is done at once."""
    return DONE


@dataclass(slots=True)
class Scripted:
    """Keys are the names of namespaces, and whatever the test enqueues."""

    cluster: Cluster
    work: Work = nothing
    name: str = "scripted"
    workers: int = 1
    backoff_cap: float = 10.0
    started: list[tuple[float, str]] = field(default_factory=list)
    """When which key was worked on."""
    subscriptions: int = 0
    enqueue: Enqueue[str] = field(init=False)

    def subscribe(self, subscriber: Subscriber, enqueue: Enqueue[str]) -> None:
        """Namespaces as they come and change."""

        def changed(change: Change[Object]) -> None:
            enqueue(change.key)

        self.subscriptions += 1
        self.enqueue = enqueue
        subscriber.follow(self.cluster.kinds.core("Namespace"), changed)

    async def reconcile(self, key: str) -> Result:
        """What the test wants."""
        self.started.append((self.cluster.clock.monotonic(), key))
        return await self.work(key)

    @property
    def times(self) -> list[float]:
        """When something was worked on, to the microsecond."""
        return [round(at, 6) for at, _ in self.started]

    @property
    def keys(self) -> list[str]:
        """What was worked on."""
        return [key for _, key in self.started]


class Managed:
    """A manager of scripted controllers, run as a task."""

    def __init__(self, cluster: Cluster, *reconcilers: Scripted) -> None:
        self.cluster = cluster
        log = cast("Any", cluster.log)
        self.manager = Manager(reconcilers, cluster.informers, cluster.clock, log)
        self._names = [reconciler.name for reconciler in reconcilers]
        self.task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Manager:
        self.task = asyncio.create_task(self.manager.run(self._names))
        await self.cluster.clock.advance()
        return self.manager

    async def __aexit__(self, *_: object) -> None:
        assert self.task is not None
        if not self.task.done():
            self.task.cancel()
            await asyncio.wait([self.task])
