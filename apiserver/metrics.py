"""What /metrics says: requests, watches, the store, and the work queues of the controllers.

One registry for each plane. Numbers that others keep anyway are read when they are asked for; only requests are
counted as they happen.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from verger.watch.workqueue import QueueStatistics

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
# upstream: apiserver_request_duration_seconds, less fine: each bucket is a series for each verb and resource
_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0)


class Metrics:
    """The metrics of one plane."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "apiserver_request",
            "Requests by verb, group, version, resource, subresource and status code.",
            ("verb", "group", "version", "resource", "subresource", "code"),
            registry=self.registry,
        )
        self._durations = Histogram(
            "apiserver_request_duration_seconds",
            "How long requests took, watches aside, by verb and resource.",
            ("verb", "resource"),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._request_children: dict[tuple[str, ...], Counter] = {}
        self._duration_children: dict[tuple[str, str], Histogram] = {}

    def request(self, labels: tuple[str, str, str, str, str, str], seconds: float | None) -> None:
        """Counts a request: (verb, group, version, resource, subresource, code); no duration for watches."""
        counter = self._request_children.get(labels)
        if counter is None:
            counter = self._request_children[labels] = self._requests.labels(*labels)
        counter.inc()
        if seconds is None:
            return
        pair = (labels[0], labels[3])
        histogram = self._duration_children.get(pair)
        if histogram is None:
            histogram = self._duration_children[pair] = self._durations.labels(*pair)
        histogram.observe(seconds)

    def add_gauge(self, name: str, help_: str, read: Callable[[], float]) -> None:
        """A number that is read when the metrics are."""
        self.registry.register(_Gauge(name, help_, read))

    def add_queues(self, read: Callable[[], Mapping[str, QueueStatistics]]) -> None:
        """The work queues by name."""
        self.registry.register(_Queues(read))

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)


class _Gauge(Collector):
    def __init__(self, name: str, help_: str, read: Callable[[], float]) -> None:
        self._name = name
        self._help = help_
        self._read = read

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(self._name, self._help, value=self._read())


class _Queues(Collector):
    def __init__(self, read: Callable[[], Mapping[str, QueueStatistics]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        depth = GaugeMetricFamily(
            "workqueue_depth", "Keys that wait for a worker.", labels=("name",)
        )
        failing = GaugeMetricFamily(
            "workqueue_failing", "Keys whose last try failed.", labels=("name",)
        )
        adds = CounterMetricFamily("workqueue_adds", "Keys that were queued.", labels=("name",))
        retries = CounterMetricFamily("workqueue_retries", "Tries that failed.", labels=("name",))
        for name, statistics in self._read().items():
            depth.add_metric((name,), statistics.depth)
            failing.add_metric((name,), statistics.failing)
            adds.add_metric((name,), statistics.adds)
            retries.add_metric((name,), statistics.retries)
        yield from (depth, failing, adds, retries)
