"""What a transport has sent, and how long that took: plain numbers, for whoever shows them."""

from typing import Final

from verger.watch.histogram import Histogram

BUCKETS: Final = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
"""Seconds. upstream: k8s.io/component-base/metrics/prometheus/restclient"""


class Traffic:
    """The requests of one transport."""

    def __init__(self) -> None:
        self.requests: dict[tuple[str, str], int] = {}
        """(status code or <error>, method) -> how many."""
        self.retries: dict[tuple[str, str], int] = {}
        """(status code or <error>, method) of what was tried again -> how often."""
        self.durations: dict[str, Histogram] = {}
        """method -> the time until the answer began."""
        self.waits: dict[str, Histogram] = {}
        """method -> the time until the rate limit let a request go."""

    def answered(self, code: str, method: str, seconds: float) -> None:
        """A request was answered, or not, which the code <error> stands for."""
        self.requests[code, method] = self.requests.get((code, method), 0) + 1
        self.durations.setdefault(method, Histogram(BUCKETS)).add(seconds)

    def waited(self, method: str, seconds: float) -> None:
        """A request had its turn."""
        self.waits.setdefault(method, Histogram(BUCKETS)).add(seconds)

    def repeated(self, code: str, method: str) -> None:
        """A request is tried again, after this answer."""
        self.retries[code, method] = self.retries.get((code, method), 0) + 1
