"""What a daemon has asked of its API server, under upstream's names.

upstream: k8s.io/component-base/metrics/prometheus/restclient
"""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from verger.store.traffic import Traffic
from verger.watch.histogram import Histogram
from yarl import URL

if TYPE_CHECKING:
    from prometheus_client.core import Metric


def families_of(traffic: Traffic, server: str) -> "Callable[[], Iterator[Metric]]":
    """Reads the numbers of the requests to a server, whose address is told without anything but host and port."""
    host = URL(server).authority.rpartition("@")[2]

    def read() -> "Iterator[Metric]":
        from prometheus_client.core import CounterMetricFamily

        requests = CounterMetricFamily(
            "rest_client_requests",
            "Requests by the status code of their answer, host and method.",
            labels=("code", "host", "method"),
        )
        for (code, method), count in traffic.requests.items():
            requests.add_metric((code, host, method), count)
        yield requests
        retries = CounterMetricFamily(
            "rest_client_request_retries",
            "Requests that were tried again, by the status code of the answer before.",
            labels=("code", "host", "verb"),
        )
        for (code, method), count in traffic.retries.items():
            retries.add_metric((code, host, method), count)
        yield retries
        yield _histogram(
            "rest_client_request_duration_seconds",
            "How long it took until an answer began.",
            traffic.durations,
            host,
        )
        yield _histogram(
            "rest_client_rate_limiter_duration_seconds",
            "How long requests waited for the rate limit.",
            traffic.waits,
            host,
        )

    return read


def _histogram(name: str, help_: str, by_verb: Mapping[str, Histogram], host: str) -> "Metric":
    from prometheus_client.core import HistogramMetricFamily

    family = HistogramMetricFamily(name, help_, labels=("host", "verb"))
    for verb, durations in by_verb.items():
        family.add_metric((host, verb), list(durations.buckets()), durations.total)
    return family
