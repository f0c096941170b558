"""A ClusterRole with an aggregation rule has the rules of all roles that its selectors choose.

upstream: pkg/controller/clusterroleaggregation
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from verger.controllers.reconcile import DONE, Enqueue, Object, Result, Subscriber
from verger.identity.policy import GROUP_VERSION
from verger.store.client import Client
from verger.store.errors import NotFound
from verger.store.kinds import Kind, Kinds
from verger.store.objects import is_terminating, labels_of, name_of
from verger.store.selectors import SelectorError, selector_of
from verger.watch.cache import Cache, Change
from verger.watch.workqueue import BACKOFF_CAP

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

_AGGREGATED: Final = "aggregated"


def _selectors(role: Object) -> list[Mapping[str, Any]]:
    return list((role.get("aggregationRule") or {}).get("clusterRoleSelectors") or ())


def _index(role: Object) -> Iterable[str]:
    return ("",) if _selectors(role) else ()


def aggregated(role: Object, others: Iterable[Object]) -> list[Mapping[str, Any]]:
    """The rules that the role should have: those of all chosen roles, by their names, each once. Raises SelectorError."""
    chosen: dict[str, Object] = {}
    for selector in map(selector_of, _selectors(role)):
        for other in others:
            if name_of(other) != name_of(role) and selector.matches(labels_of(other)):
                chosen[name_of(other)] = other
    rules: list[Mapping[str, Any]] = []
    for name in sorted(chosen):
        rules += [rule for rule in chosen[name].get("rules") or () if rule not in rules]
    return rules


@dataclass(slots=True)
class Aggregation:
    """Keys are names of ClusterRoles with an aggregation rule."""

    client: Client
    kinds: Kinds
    log: "FilteringBoundLogger"
    name: str = "clusterrole-aggregation-controller"
    workers: int = 1
    backoff_cap: float = BACKOFF_CAP
    _roles: Cache[Object] = field(default_factory=lambda: Cache({_AGGREGATED: _index}), init=False)

    def subscribe(self, subscriber: Subscriber, enqueue: Enqueue[str]) -> None:
        """All ClusterRoles: any of them may be part of any sum."""

        def changed(change: Change[Object]) -> None:
            old, new = change.old, change.new
            if (
                old is not None
                and new is not None
                and labels_of(old) == labels_of(new)
                and all(old.get(key) == new.get(key) for key in ("rules", "aggregationRule"))
            ):
                return
            if new is not None and _selectors(new):
                enqueue(change.key)
            for role in self._roles.by_index(_AGGREGATED, ""):
                enqueue(name_of(role))

        self._roles = subscriber.follow(self._kind, changed, indexes={_AGGREGATED: _index})

    @property
    def _kind(self) -> Kind:
        kind = self.kinds.get(*GROUP_VERSION, "ClusterRole")
        if kind is None:
            raise LookupError("ClusterRole is not served")
        return kind

    async def reconcile(self, key: str) -> Result:
        """Sums up the rules of one role."""
        role = self._roles.get(key)
        if role is None or not _selectors(role) or is_terminating(role):
            return DONE
        try:
            rules = aggregated(role, list(self._roles.values()))
        except SelectorError as error:
            # It was valid when it was written; only a later change of the role can help.
            self.log.warning("selector not understood", role=key, error=str(error))
            return DONE
        if rules == (role.get("rules") or []):
            return DONE
        try:
            await self.client.update(self._kind, {**role, "rules": rules})
        except NotFound:
            return DONE
        self.log.debug("aggregated", role=key, rules=len(rules))
        return DONE
