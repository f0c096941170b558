"""How many things were how large: plain numbers, for whoever shows them.

Adding one costs a search among a few bounds; nothing else is kept of it.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence


class Histogram:
    """Sizes, sorted into buckets."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        """`bounds` ascend; each is the largest size that its bucket takes."""
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        """How many fell into each bucket, and above them all."""
        self.total = 0.0
        """All sizes together."""

    def add(self, size: float) -> None:
        """One more."""
        self.counts[bisect_left(self.bounds, size)] += 1
        self.total += size

    def buckets(self) -> Iterator[tuple[str, float]]:
        """(bound, how many were at most as large), as Prometheus wants them; the last bound is +Inf."""
        sum_ = 0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            sum_ += count
            yield bound, float(sum_)
