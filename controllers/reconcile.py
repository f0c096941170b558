"""What a controller is to the machinery that runs it."""

import asyncio
from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar

from verger.store.client import Client, ClientSource, Relevant
from verger.store.kinds import Kind
from verger.watch.cache import Cache, Change, IndexFunction
from verger.watch.clock import Clock
from verger.watch.informer import Informer, Subscription
from verger.watch.reflector import BACKOFF_CAP

Object = Mapping[str, Any]
K = TypeVar("K", bound=Hashable)


class Result(NamedTuple):
    """A key that was dealt with; `after` seconds from now it wants to be looked at again."""

    after: float | None = None


DONE = Result()
MADE = Result(after=30.0)
"""Dealt with by making an object that the cache has yet to show. What is made and deleted between two lists of an informer is
never seen to go: the key is looked at once more, when the cache has long caught up."""


class Terminal(Exception):
    """Trying again cannot help: the key is logged, counted and forgotten until something changes."""


class Informers:
    """The informers of one manager: one for each selection of each kind, shared by all who ask."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        on_failure: Callable[[Kind, Exception], None],
        backoff_cap: float = BACKOFF_CAP,
    ) -> None:
        self._backoff_cap = backoff_cap
        self._client = client
        self._clock = clock
        self._on_failure = on_failure
        self._informers: dict[tuple[str, str, str, Relevant | None], Informer[Object]] = {}
        self._group: asyncio.TaskGroup | None = None
        self._tasks: dict[Informer[Object], asyncio.Task[None]] = {}

    def get(
        self, kind: Kind, *, fields: str = "", relevant: Relevant | None = None
    ) -> Informer[Object]:
        """The informer of a selection."""
        key = (kind.group, kind.kind, fields, relevant)
        informer = self._informers.get(key)
        if informer is None:
            informer = self._informers[key] = Informer(
                ClientSource(self._client, kind, fields=fields, relevant=relevant),
                clock=self._clock,
                on_failure=lambda error: self._on_failure(kind, error),
                backoff_cap=self._backoff_cap,
            )
            if self._group is not None:
                self._start(informer, self._group)
        return informer

    def drop(self, kind: Kind) -> None:
        """Ends the informers of a kind that is served no more; whoever follows it hears nothing of it any longer."""
        for key in [key for key in self._informers if key[:2] == (kind.group, kind.kind)]:
            informer = self._informers.pop(key)
            task = self._tasks.pop(informer, None)
            if task is not None:
                task.cancel()
            informer.abandon()

    def run_in(self, group: asyncio.TaskGroup) -> None:
        """Runs all informers as tasks of a group, those that are still to come included."""
        self._group = group
        for informer in self._informers.values():
            self._start(informer, group)

    def _start(self, informer: Informer[Object], group: asyncio.TaskGroup) -> None:
        self._tasks[informer] = group.create_task(informer.run())


class Subscriber:
    """What one run of a controller follows; all of it ends together, and can be cut off together."""

    def __init__(self, informers: Informers, *, attached: bool = True) -> None:
        self._informers = informers
        self._attached = attached
        self._removals: list[Callable[[], None]] = []
        self._subscriptions: list[Subscription[Object]] = []
        self.heard: tuple[Kind, Change[Object]] | None = None
        """The change that a handler is being told of."""

    def follow(
        self,
        kind: Kind,
        handler: Callable[[Change[Object]], None],
        *,
        fields: str = "",
        indexes: Mapping[str, IndexFunction[Object]] | None = None,
        relevant: Relevant | None = None,
    ) -> Cache[Object]:
        """Hears of every change of a kind, and returns the cache of it; of what is not `relevant` it need not hear."""
        informer = self._informers.get(kind, fields=fields, relevant=relevant)
        for name, function in (indexes or {}).items():
            informer.add_index(name, function)

        def hear(change: Change[Object]) -> None:
            self.heard = (kind, change)
            handler(change)
            self.heard = None

        subscription = informer.subscription(hear)
        self._subscriptions.append(subscription)
        if self._attached:
            subscription.attach()
        return subscription.cache

    def unfollow(self, kind: Kind) -> None:
        """Hears no more of a kind that has gone."""
        self._informers.drop(kind)

    def until_closed(self, remove: Callable[[], None]) -> None:
        """Something else that ends with all of it."""
        self._removals.append(remove)

    @property
    def revision(self) -> int:
        """The newest revision that one of the caches shows."""
        return max((each.cache.revision for each in self._subscriptions), default=0)

    async def synced(self) -> None:
        """Waits until every cache has its first list."""
        for subscription in self._subscriptions:
            await subscription.cache.synced()

    def detach(self) -> None:
        """Hears of nothing and sees nothing new; what has been seen stays in the caches."""
        self._attached = False
        for subscription in self._subscriptions:
            subscription.detach()

    def attach(self) -> None:
        """Sees the world again, and hears of what has become different."""
        self._attached = True
        # Whoever hears of something may begin to follow something else, which is attached by then.
        for subscription in list(self._subscriptions):
            subscription.attach()

    def close(self) -> None:
        """Hears of nothing any more."""
        for remove in self._removals:
            remove()
        for subscription in self._subscriptions:
            subscription.close()


K_contra = TypeVar("K_contra", bound=Hashable, contravariant=True)


class Enqueue(Protocol[K_contra]):
    """Says that a key needs work."""

    def __call__(self, key: K_contra, delay: float = 0.0) -> None:
        """Now, or `delay` seconds from now."""


class Reconciler(Protocol[K]):
    """One controller."""

    @property
    def name(self) -> str:
        """Its name: in logs, in metrics and in `--controllers`."""

    @property
    def workers(self) -> int:
        """How many keys it works on at a time."""

    @property
    def backoff_cap(self) -> float:
        """Seconds between two tries of a key that keeps failing, at most."""

    def subscribe(self, subscriber: Subscriber, enqueue: "Enqueue[K]") -> None:
        """Follows what it needs, and turns changes into keys. Called anew for each run."""

    async def reconcile(self, key: K) -> Result:
        """Makes what the key stands for as it should be."""
