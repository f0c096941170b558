"""A controller whose passes are counted by their outcome, under upstream's names.

upstream: pkg/controller/certificates/rootcacertpublisher/metrics.go
"""

from collections.abc import Hashable, Iterator
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from verger.controllers.reconcile import Enqueue, Reconciler, Result, Subscriber
from verger.store.errors import ApiError
from verger.watch.clock import Clock
from verger.watch.histogram import Histogram

if TYPE_CHECKING:
    from prometheus_client.core import Metric

K = TypeVar("K", bound=Hashable)
SECONDS: Final = tuple(0.001 * 2**exponent for exponent in range(15))


class Measured(Generic[K]):
    """Does what another controller does."""

    def __init__(self, reconciler: Reconciler[K], clock: Clock, *, metric: str) -> None:
        self._reconciler = reconciler
        self._clock = clock
        self._metric = metric
        self._took = {"200": Histogram(SECONDS)}
        """Status code -> seconds. 200 stands for success, 500 for errors that have no code."""

    @property
    def name(self) -> str:
        """Its name."""
        return self._reconciler.name

    @property
    def workers(self) -> int:
        """How many keys it works on at a time."""
        return self._reconciler.workers

    @property
    def backoff_cap(self) -> float:
        """Seconds between two tries of a key that keeps failing, at most."""
        return self._reconciler.backoff_cap

    def subscribe(self, subscriber: Subscriber, enqueue: Enqueue[K]) -> None:
        """Follows what it needs."""
        self._reconciler.subscribe(subscriber, enqueue)

    async def reconcile(self, key: K) -> Result:
        """Makes what the key stands for as it should be."""
        began, code = self._clock.monotonic(), 200
        try:
            return await self._reconciler.reconcile(key)
        except Exception as error:
            code = error.code if isinstance(error, ApiError) else 500
            raise
        finally:
            took = self._took.setdefault(str(code), Histogram(SECONDS))
            took.add(self._clock.monotonic() - began)

    def families(self) -> "Iterator[Metric]":
        """How many there were, and how long they took, by code."""
        from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

        total = CounterMetricFamily(f"{self._metric}_sync", "Passes by outcome.", labels=("code",))
        seconds = HistogramMetricFamily(
            f"{self._metric}_sync_duration_seconds", "How long a pass took.", labels=("code",)
        )
        for code, took in self._took.items():
            total.add_metric((code,), sum(took.counts))
            seconds.add_metric((code,), list(took.buckets()), took.total)
        yield from (total, seconds)
