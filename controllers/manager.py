"""Runs the controllers of a plane: shares their informers, starts and stops them by name, and owns their tasks."""

import asyncio
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from verger.controllers.origins import Origins
from verger.controllers.reconcile import Informers, Object, Reconciler
from verger.controllers.runner import Runner
from verger.store.client import Client
from verger.store.kinds import Kind
from verger.watch.cache import Change
from verger.watch.clock import Clock
from verger.watch.reflector import BACKOFF_CAP
from verger.watch.tracing import Tracer
from verger.watch.workqueue import QueueStatistics, QueueView

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger


class UnknownController(ValueError):
    """There is no controller of that name."""


def selected(expression: Sequence[str], known: Sequence[str]) -> list[str]:
    """The controllers that `--controllers` asks for, in their own order. Raises UnknownController.

    upstream: a name switches on, `-name` off, `*` stands for all others; without `*` only what is named runs.
    """
    items = [item for item in expression if item]
    for item in items:
        if item != "*" and item.removeprefix("-") not in known:
            raise UnknownController(
                f'"{item.removeprefix("-")}" is not in the list of known controllers: {", ".join(known)}'
            )
    return [name for name in known if name in items or ("*" in items and f"-{name}" not in items)]


class Manager:
    """The controllers of one plane. None knows of another: they meet in the store alone."""

    def __init__(
        self,
        reconcilers: Sequence[Reconciler[Any]],
        client: Client,
        clock: Clock,
        log: "FilteringBoundLogger",
        origins: Origins | None = None,
        tracer: Tracer | None = None,
        *,
        backoff_cap: float = BACKOFF_CAP,
    ) -> None:
        """With `origins` it is written down what each piece of work was done for, with a tracer how long it took.

        `backoff_cap` is how many seconds an informer waits at most before it tries again.
        """
        self._log = log
        self._informers = Informers(client, clock, self._informer_failed, backoff_cap)
        self._runners: dict[str, Runner[Hashable]] = {
            reconciler.name: Runner(reconciler, self._informers, clock, log, origins, tracer)
            for reconciler in reconcilers
        }
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None

    @property
    def names(self) -> list[str]:
        """All controllers."""
        return list(self._runners)

    def running(self, name: str) -> bool:
        """Whether the controller of that name runs. Raises UnknownController."""
        self._runner(name)
        return name in self._tasks

    def synced(self, name: str) -> bool:
        """Whether the controller has seen the world and works."""
        return self._runner(name).synced

    @property
    def idle(self) -> bool:
        """Whether no controller has anything to do."""
        return all(runner.idle for runner in self._runners.values())

    def delay(self, name: str, seconds: float) -> None:
        """Lets a controller be that much behind what happens, from its next start. Raises UnknownController."""
        self._runner(name).delay = seconds

    def busy(self) -> list[str]:
        """What the controllers that run have to do at once, in words; nothing when they are idle."""
        return [
            f"{name}: {statistics.depth} queued, {statistics.processing} in work"
            for name, statistics in self.statistics().items()
            if statistics.depth or statistics.processing
        ]

    def errors(self, name: str) -> list[str]:
        """The last errors of a controller."""
        return list(self._runner(name).errors)

    def statistics(self) -> Mapping[str, QueueStatistics]:
        """The queues of the controllers that run."""
        return {
            name: statistics
            for name, runner in self._runners.items()
            if (statistics := runner.statistics()) is not None
        }

    def view(self, name: str, limit: int) -> QueueView[Hashable] | None:
        """What a controller has to do, at most `limit` keys of each sort; None when it does not run.

        Raises UnknownController.
        """
        return self._runner(name).view(limit)

    def detach(self, name: str) -> None:
        """Lets a controller hear and see nothing new until `attach`, whatever else runs. Raises UnknownController."""
        self._runner(name).detach()

    def attach(self, name: str) -> None:
        """Lets a controller see the world again: it hears of what is different. Raises UnknownController."""
        self._runner(name).attach()

    def listen(self, kind: Kind, handler: Callable[[Change[Object]], None]) -> None:
        """Has somebody else told of a kind that controllers follow, for as long as there is this manager."""
        self._informers.get(kind).add_handler(handler)

    async def settled(self, names: Sequence[str]) -> None:
        """Waits until these controllers have seen the world and have done what it asked for."""
        for name in names:
            await self._runner(name).settled()

    async def run(self, names: Sequence[str]) -> None:
        """Runs controllers until it is cancelled. Ends with an error when one of them breaks."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                self._informers.run_in(group)
                for name in names:
                    self.start(name)
                await asyncio.get_running_loop().create_future()  # until cancelled
        finally:
            self._group = None
            self._tasks.clear()

    async def warm(self, names: Sequence[str]) -> None:
        """Fills the caches of controllers that do not run, so that they act at once when they are started."""
        for name in names:
            await self._runner(name).warm()

    async def work(self, names: Sequence[str]) -> None:
        """Runs controllers of a manager that runs, until this is cancelled: then all of them stop at once."""
        try:
            for name in names:
                self.start(name)
            await asyncio.get_running_loop().create_future()
        finally:
            if tasks := [self._tasks[name] for name in names if name in self._tasks]:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)

    def start(self, name: str) -> None:
        """Starts a controller; one that runs goes on. Raises UnknownController."""
        runner = self._runner(name)
        if name in self._tasks:
            return
        if self._group is None:
            raise RuntimeError("the manager does not run")
        task = self._group.create_task(runner.run(), name=f"controller {name}")
        self._tasks[name] = task
        task.add_done_callback(lambda _: self._tasks.pop(name, None))
        self._log.debug("controller started", controller=name)

    async def stop(self, name: str) -> None:
        """Stops a controller and waits until it has. Raises UnknownController."""
        self._runner(name)
        task = self._tasks.get(name)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
            self._log.debug("controller stopped", controller=name)

    def _runner(self, name: str) -> Runner[Hashable]:
        try:
            return self._runners[name]
        except KeyError:
            known = ", ".join(self._runners)
            raise UnknownController(
                f'"{name}" is not in the list of known controllers: {known}'
            ) from None

    def _informer_failed(self, kind: Kind, error: Exception) -> None:
        self._log.warning("list or watch failed", kind=kind.resource, error=str(error))
