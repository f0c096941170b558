"""What a daemon tells of itself: its health, and its numbers under upstream's names."""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from verger.apiserver.health import Check, Health
from verger.apiserver.metrics import Metrics
from verger.controllers.election import Election, Leading
from verger.controllers.manager import Manager
from verger.embed.client_metrics import families_of
from verger.store.remote import RemoteServer
from verger.watch.clock import Clock

if TYPE_CHECKING:
    from prometheus_client.core import Metric

Families = Callable[[], "Iterator[Metric]"]
RENEWAL_LATE: Final = 20.0
"""Seconds beyond its duration by which a leader that has not renewed is unwell. upstream: leaderelection.HealthzAdaptor"""


def health_of(
    manager: Manager,
    names: list[str],
    election: Election | None,
    clock: Clock,
    is_warm: Callable[[], bool],
) -> Health:
    """The checks of a daemon that runs these controllers, whenever it leads."""
    return Health(
        [
            Check("leaderElection", functools.partial(_late, election, clock)),
            Check("informer-sync", lambda: "" if is_warm() else "not synced", ("/readyz",)),
            *(
                Check(name, functools.partial(_behind, manager, election, name), ("/readyz",))
                for name in names
            ),
        ]
    )


def _late(election: Election | None, clock: Clock) -> str:
    if election is None or not isinstance(election.state, Leading):
        return ""
    late = clock.monotonic() - election.state.renewed - election.options.lease_duration
    return "" if late < RENEWAL_LATE else "failed to renew leadership"


def _behind(manager: Manager, election: Election | None, name: str) -> str:
    if manager.synced(name) or (election is not None and not election.leading):
        return ""
    return "not synced"


def metrics_of(
    manager: Manager,
    server: RemoteServer,
    election: Election | None,
    families: Sequence[Families],
) -> Metrics:
    """The numbers of a daemon; `families` are those that others keep."""
    metrics = Metrics()
    metrics.add_queues(manager.statistics)
    transport = server.transport
    metrics.add_families(families_of(transport.traffic, transport.server))
    for each in (*families, _process):
        metrics.add_families(each)
    if election is not None:
        metrics.add_gauge(
            "leader_election_master_status",
            "Whether this replica leads.",
            lambda: float(election.leading),
            labels={"name": election.options.name},
        )
        metrics.add_counters(
            "leader_election_slowpath",
            "Renewals of the lease that took another look at it.",
            "name",
            lambda: {election.options.name: election.slow_renewals},
        )
    return metrics


def _process() -> "Iterator[Metric]":
    """Memory, processor time and open files, as every process of Kubernetes tells them."""
    from prometheus_client import ProcessCollector

    yield from ProcessCollector(registry=None).collect()
