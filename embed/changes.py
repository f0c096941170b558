"""What has been changed, by name: no content of objects is shown."""

from typing import NamedTuple

from verger.store.backend import Row
from verger.watch.event import Event
from verger.watch.log import EventLog


class Change(NamedTuple):
    """One committed change."""

    revision: int
    type: str
    """ADDED, MODIFIED or DELETED."""
    resource: str
    """The plural, with its group: `roles.rbac.authorization.k8s.io`."""
    key: str
    """namespace/name, or the name of what is in none."""

    def __str__(self) -> str:
        return f"{self.revision} {self.type} {self.resource} {self.key}"


def last(log: EventLog[Row], count: int) -> list[Change]:
    """The newest changes, at most `count` of them, oldest first."""
    return [_change(event) for event in log.last(count)]


def after(log: EventLog[Row], revision: int) -> list[Change]:
    """All changes above a revision that are still known, oldest first."""
    # A revision is one change: there are no more of them than that.
    return [change for change in last(log, log.revision - revision) if change.revision > revision]


def _change(event: Event[Row]) -> Change:
    return Change(event.revision, event.type.value, event.kind, event.object.key)
