"""One reflector, one cache, many handlers: all that a controller subscribes to."""

from collections.abc import Callable
from typing import Generic, TypeVar

from verger.watch.cache import Cache, CacheWriter, Change, IndexFunction
from verger.watch.clock import Clock
from verger.watch.reflector import (
    BACKOFF_CAP,
    Applied,
    Failed,
    Outcome,
    Reflector,
    Replaced,
    Source,
)

V = TypeVar("V")

Handler = Callable[[Change[V]], None]
"""Told of every change of the cache, after it. It must not wait and must not raise: it adds keys to a queue."""


class Informer(Generic[V]):
    """Shares one watch of a source among all who are interested.

    Guarantees: the cache changes before handlers hear of it; handlers hear of changes in the cache's order; one that
    is added late first hears of every object that is already there.
    """

    def __init__(
        self,
        source: Source[V],
        *,
        clock: Clock,
        on_failure: Callable[[Exception], None] | None = None,
        backoff_cap: float = BACKOFF_CAP,
    ) -> None:
        self._writer: CacheWriter[V] = CacheWriter()
        self._handlers: dict[object, Handler[V]] = {}
        self._on_failure = on_failure
        self._reflector = Reflector(source, self._consume, clock=clock, backoff_cap=backoff_cap)

    @property
    def cache(self) -> Cache[V]:
        """What has been seen so far."""
        return self._writer.cache

    def add_index(self, name: str, function: IndexFunction[V]) -> None:
        """Adds an index to the cache, unless it has one of that name."""
        self._writer.add_index(name, function)

    def subscription(self, handler: Handler[V]) -> "Subscription[V]":
        """A handler with a cache of its own, which sees and hears nothing until it is attached."""
        return Subscription(self, handler)

    def add_handler(self, handler: Handler[V]) -> Callable[[], None]:
        """Subscribes a handler; the function that is returned ends the subscription."""
        remove = self.add_silent(handler)
        for key in self.cache.keys():  # noqa: SIM118 - a Cache is not a mapping
            handler(Change(key, None, self.cache.get(key)))
        return remove

    def add_silent(self, handler: Handler[V]) -> Callable[[], None]:
        """Subscribes a handler that knows already what is there."""
        subscription = object()
        self._handlers[subscription] = handler

        def remove() -> None:
            self._handlers.pop(subscription, None)

        return remove

    def abandon(self) -> None:
        """What is followed has gone: whoever waits for the first list waits no longer."""
        self._writer.abandon()

    async def run(self) -> None:
        """Follows the source for ever."""
        await self._reflector.run()

    def _consume(self, outcome: Outcome[V]) -> None:
        match outcome:
            case Replaced(objects, revision):
                changes = self._writer.replace(objects, revision)
            case Applied(events, revision):
                changes = self._writer.apply(events)
                self._writer.advance(revision)
            case Failed(error):
                if self._on_failure is not None:
                    self._on_failure(error)
                return
            case None:
                return
        # A handler may end subscriptions and begin new ones; a new one has heard of these changes already.
        subscriptions = list(self._handlers)
        for change in changes:
            for subscription in subscriptions:
                handler = self._handlers.get(subscription)
                if handler is not None:
                    handler(change)


class Subscription(Generic[V]):
    """One handler of an informer, and the picture that it goes by. It can be cut off, and come back."""

    def __init__(self, informer: Informer[V], handler: Handler[V]) -> None:
        self._informer = informer
        self._handler = handler
        self._remove: Callable[[], None] | None = None
        self.cache: Cache[V] = informer.cache.unfilled()
        """What the handler has heard of."""

    def attach(self) -> None:
        """Sees the world, and hears at once of all that there is: first of what is other than it was.

        Of what has not changed too, since something may have come and gone meanwhile that hangs on it.
        """
        if self._remove is not None:
            return
        changes = self.cache.attach(self._informer.cache)
        self._remove = self._informer.add_silent(self._handler)
        told = {change.key for change in changes}
        for change in changes:
            self._handler(change)
        for key in self.cache.keys():  # noqa: SIM118 - a Cache is not a mapping
            if key not in told:
                there = self.cache.get(key)
                self._handler(Change(key, there, there))

    def detach(self) -> None:
        """Hears of nothing and sees nothing new, as if the connection were broken."""
        self.close()
        self.cache.detach()

    def close(self) -> None:
        """Hears of nothing any more."""
        if self._remove is not None:
            self._remove()
            self._remove = None
