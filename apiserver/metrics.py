"""What /metrics says: requests, watches, the store, and the work queues of the controllers.

Counting a request is a few additions to plain numbers; the library that knows the exposition format is loaded when
somebody asks, and reads them then. Every plane has its own.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from verger.watch.workqueue import QueueStatistics

if TYPE_CHECKING:
    from prometheus_client.core import Metric

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
# upstream: apiserver_request_duration_seconds, less fine: each bucket is a series for each verb and resource
_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0)
_REQUEST_LABELS: Final = ("verb", "group", "version", "resource", "subresource", "code")

RequestLabels = tuple[str, str, str, str, str, str]
"""(verb, group, version, resource, subresource, code)"""


class _Gauge(NamedTuple):
    name: str
    help: str
    read: Callable[[], float]
    labels: Mapping[str, str]


class _Counters(NamedTuple):
    name: str
    help: str
    label: str
    read: Callable[[], Mapping[str, int]]


class Metrics:
    """The metrics of one plane."""

    def __init__(self) -> None:
        self._requests: dict[RequestLabels, int] = {}
        self._durations: dict[tuple[str, str], list[float]] = {}
        """(verb, resource) -> how many requests fell into each bucket and above them all, and their sum in seconds."""
        self._gauges: list[_Gauge] = []
        self._counters: list[_Counters] = []
        self._families: list[Callable[[], Iterator[Metric]]] = []
        self._queues: Callable[[], Mapping[str, QueueStatistics]] = dict

    def request(self, labels: RequestLabels, seconds: float | None) -> None:
        """Counts a request; watches have no duration."""
        requests = self._requests
        requests[labels] = requests.get(labels, 0) + 1
        if seconds is None:
            return
        pair = (labels[0], labels[3])
        durations = self._durations.get(pair)
        if durations is None:
            durations = self._durations[pair] = [0.0] * (len(_BUCKETS) + 2)
        durations[bisect_left(_BUCKETS, seconds)] += 1
        durations[-1] += seconds

    def add_gauge(
        self,
        name: str,
        help_: str,
        read: Callable[[], float],
        *,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        """A number that is read when the metrics are."""
        self._gauges.append(_Gauge(name, help_, read, labels or {}))

    def add_counters(
        self, name: str, help_: str, label: str, read: Callable[[], Mapping[str, int]]
    ) -> None:
        """Numbers that only grow, by the value of a label, read when the metrics are; without a label, one under ""."""
        self._counters.append(_Counters(name, help_, label, read))

    def add_families(self, read: "Callable[[], Iterator[Metric]]") -> None:
        """Whole families that somebody else keeps the numbers of."""
        self._families.append(read)

    def add_queues(self, read: Callable[[], Mapping[str, QueueStatistics]]) -> None:
        """The work queues by name."""
        self._queues = read

    def text(self) -> bytes:
        """The exposition format."""
        from prometheus_client import CollectorRegistry, generate_latest

        registry = CollectorRegistry()
        registry.register(self)
        return generate_latest(registry)

    def collect(self) -> "Iterator[Metric]":
        """The numbers as families of metrics."""
        from prometheus_client.core import (
            CounterMetricFamily,
            GaugeMetricFamily,
            HistogramMetricFamily,
        )

        requests = CounterMetricFamily(
            "apiserver_request",
            "Requests by verb, group, version, resource, subresource and status code.",
            labels=_REQUEST_LABELS,
        )
        for labels, requested in self._requests.items():
            requests.add_metric(labels, requested)
        yield requests
        durations = HistogramMetricFamily(
            "apiserver_request_duration_seconds",
            "How long requests took, watches aside, by verb and resource.",
            labels=("verb", "resource"),
        )
        for pair, counts in self._durations.items():
            total = 0.0
            buckets = []
            for bound, count in zip((*map(str, _BUCKETS), "+Inf"), counts, strict=False):
                total += count
                buckets.append((bound, total))
            durations.add_metric(pair, buckets, counts[-1])
        yield durations
        for gauge in self._gauges:
            single = GaugeMetricFamily(gauge.name, gauge.help, labels=tuple(gauge.labels))
            single.add_metric(tuple(gauge.labels.values()), gauge.read())
            yield single
        for counters in self._counters:
            family = CounterMetricFamily(
                counters.name, counters.help, labels=(counters.label,) if counters.label else ()
            )
            for value, count in counters.read().items():
                family.add_metric((value,) if counters.label else (), count)
            yield family
        for families in self._families:
            yield from families()
        yield from self._queue_families()

    def _queue_families(self) -> "Iterator[Metric]":
        """upstream: k8s.io/component-base/metrics/prometheus/workqueue"""
        from prometheus_client.core import (
            CounterMetricFamily,
            GaugeMetricFamily,
            HistogramMetricFamily,
        )

        def gauge(name: str, help_: str) -> GaugeMetricFamily:
            return GaugeMetricFamily(f"workqueue_{name}", help_, labels=("name",))

        def counter(name: str, help_: str) -> CounterMetricFamily:
            return CounterMetricFamily(f"workqueue_{name}", help_, labels=("name",))

        def histogram(name: str, help_: str) -> HistogramMetricFamily:
            return HistogramMetricFamily(f"workqueue_{name}", help_, labels=("name",))

        depth = gauge("depth", "Keys that wait for a worker.")
        failing = gauge("failing", "Keys whose last try failed.")
        unfinished = gauge("unfinished_work_seconds", "How long keys have been in work, together.")
        longest = gauge(
            "longest_running_processor_seconds", "How long one key has been in work, at most."
        )
        adds = counter("adds", "Keys that were queued.")
        retries = counter("retries", "Tries that failed.")
        waited = histogram("queue_duration_seconds", "How long keys waited for a worker.")
        worked = histogram("work_duration_seconds", "How long workers took for a key.")
        for name, queue in self._queues().items():
            depth.add_metric((name,), queue.depth)
            failing.add_metric((name,), queue.failing)
            unfinished.add_metric((name,), queue.unfinished)
            longest.add_metric((name,), queue.longest)
            adds.add_metric((name,), queue.adds)
            retries.add_metric((name,), queue.retries)
            waited.add_metric((name,), list(queue.waited.buckets()), queue.waited.total)
            worked.add_metric((name,), list(queue.worked.buckets()), queue.worked.total)
        yield from (depth, failing, unfinished, longest, adds, retries, waited, worked)
