"""How long namespaces wait for their account, and accounts for their token, as somebody sees it who watches.

It is seen by every replica, whoever does the work: the time without a leader counts. What was there before, or was only
found by a list, does not count: nobody knows since when.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from verger.controllers.serviceaccounts import DEFAULT_ACCOUNT
from verger.store.kinds import Kind, Kinds
from verger.store.objects import key_of, name_of, namespace_of
from verger.watch.cache import Change
from verger.watch.clock import Clock
from verger.watch.histogram import Histogram

if TYPE_CHECKING:
    from prometheus_client.core import Metric

SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
WAITING_MAX: Final = 20_000
"""Objects that are waited for at a time; what comes beyond them is not counted."""
Object = Mapping[str, Any]
Listen = Callable[[Kind, Callable[[Change[Object]], None]], None]


class _Waiting:
    """Since when something is waited for, and how long it took for others."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: dict[str, float] = {}
        self.took = Histogram(SECONDS)

    def begins(self, key: str) -> None:
        if len(self._since) < WAITING_MAX:
            self._since[key] = self._clock.monotonic()

    def comes(self, key: str) -> bool:
        """Whether it was waited for."""
        since = self._since.pop(key, None)
        if since is not None:
            self.took.add(self._clock.monotonic() - since)
        return since is not None

    def ends(self, key: str) -> None:
        self._since.pop(key, None)


class ServiceTimes:
    """Two histograms, filled by what is heard."""

    def __init__(self, clock: Clock) -> None:
        self._accounts = _Waiting(clock)
        self._tokens = _Waiting(clock)
        self._seen: set[str] = set()
        """Namespaces whose account came before they did: kinds are watched apart."""

    def follow(self, listen: Listen, kinds: Kinds, controllers: Sequence[str]) -> None:
        """Hears of what these controllers serve, which they watch anyway."""
        if "serviceaccount-controller" in controllers:
            listen(kinds.core("ServiceAccount"), self._account_changed)
            listen(kinds.core("Namespace"), self._namespace_changed)
        if "serviceaccount-token-controller" in controllers:
            listen(kinds.core("ServiceAccount"), self._references_changed)

    def _namespace_changed(self, change: Change[Object]) -> None:
        name, new = change.key, change.new
        if new is None or (new.get("status") or {}).get("phase") == "Terminating":
            self._accounts.ends(name)
            self._seen.discard(name)
        elif change.old is None and change.revision:
            self._accounts.begins(name)
            if name in self._seen:
                self._seen.discard(name)
                self._accounts.comes(name)

    def _account_changed(self, change: Change[Object]) -> None:
        new = change.new
        if new is None or change.old is not None or name_of(new) != DEFAULT_ACCOUNT:
            return
        namespace = namespace_of(new)
        awaited = self._accounts.comes(namespace)
        if not awaited and change.revision and len(self._seen) < WAITING_MAX:
            self._seen.add(namespace)

    def _references_changed(self, change: Change[Object]) -> None:
        old, new = change.old, change.new
        account = new or old
        if account is None:
            return
        key = key_of(namespace_of(account), name_of(account))
        if new is None:
            self._tokens.ends(key)
            return
        if old is None and change.revision:
            self._tokens.begins(key)
        if new.get("secrets"):
            self._tokens.comes(key)

    def families(self) -> "Iterator[Metric]":
        """The histograms as /metrics has them."""
        from prometheus_client.core import HistogramMetricFamily

        for name, help_, waiting in (
            ("namespace_to_account", "From a namespace to its default account.", self._accounts),
            ("account_to_token", "From an account to the reference to its token.", self._tokens),
        ):
            took = waiting.took
            yield HistogramMetricFamily(
                f"verger_{name}_seconds", help_, buckets=list(took.buckets()), sum_value=took.total
            )
