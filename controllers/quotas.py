"""Keeps the status of quotas: what they allow, and what is used of it.

Admission charges what comes; this counts anew whenever something that is bounded comes, goes or changes, so what goes is
given back. A quota is read before anything is counted, and written only if it is still the same: what was charged
meanwhile is never overwritten.

upstream: pkg/controller/resourcequota
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from verger.controllers.reconcile import DONE, Enqueue, Object, Result, Subscriber
from verger.store.client import Client
from verger.store.errors import NotFound
from verger.store.kinds import Kind, Kinds
from verger.store.objects import is_terminating, name_of, namespace_of, thaw
from verger.store.usage import CHANGING, Usage, bounded, selects, total
from verger.watch.cache import Cache, Change
from verger.watch.clock import Clock
from verger.watch.workqueue import BACKOFF_CAP

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

RESYNC: Final = Result(after=300.0)
"""Pods that should have ended stop to count without any change of theirs. upstream: --resource-quota-sync-period"""


class Key(NamedTuple):
    """One quota."""

    namespace: str
    name: str


@dataclass(slots=True)
class Quotas:
    """Keys are quotas. The kinds that are followed are those that some quota bounds."""

    client: Client
    kinds: Kinds
    log: "FilteringBoundLogger"
    clock: Clock
    name: str = "resourcequota-controller"
    workers: int = 5
    backoff_cap: float = BACKOFF_CAP
    _quotas: Cache[Object] = field(default_factory=Cache, init=False)
    _followed: set[Kind] = field(default_factory=set, init=False)

    def subscribe(self, subscriber: Subscriber, enqueue: Enqueue[Key]) -> None:
        """Quotas, and what they bound from the moment on in which one does."""
        self._followed.clear()

        def quota_changed(change: Change[Object]) -> None:
            quota = change.new
            if quota is None:
                return
            for kind in self._kinds_of(_hard(quota)):
                if kind not in self._followed:
                    self._followed.add(kind)
                    self._follow(kind, subscriber, enqueue)
            enqueue(Key(namespace_of(quota), name_of(quota)))

        self._quotas = subscriber.follow(
            self.kinds.core("ResourceQuota"),
            quota_changed,
            indexes={"namespace": lambda quota: (namespace_of(quota),)},
        )

    def _follow(self, kind: Kind, subscriber: Subscriber, enqueue: Enqueue[Key]) -> None:
        changing = kind.resource in CHANGING

        def changed(change: Change[Object]) -> None:
            if change.old is not None and change.new is not None and not changing:
                return
            obj = change.new if change.new is not None else change.old
            assert obj is not None  # noqa: S101 - a change has a side
            for quota in self._quotas.by_index("namespace", namespace_of(obj)):
                enqueue(Key(namespace_of(quota), name_of(quota)))

        subscriber.follow(kind, changed)

    def _kinds_of(self, names: Iterable[str]) -> list[Kind]:
        listed = list(names)
        return [
            kind
            for kind in self.kinds
            if kind.namespaced and kind.stored and kind.storage is kind and bounded(kind, listed)
        ]

    async def reconcile(self, key: Key) -> Result:
        """Counts, and writes what is not so."""
        kind = self.kinds.core("ResourceQuota")
        try:
            quota = await self.client.get(kind, key.name, key.namespace)
        except NotFound:
            return DONE
        if is_terminating(quota):
            return DONE
        hard = dict(_hard(quota))
        before = quota.get("status") or {}
        known = {name: value for name, value in (before.get("used") or {}).items() if name in hard}
        used = {**known, **await self._count(quota, hard, key.namespace)}
        status = {"hard": hard, "used": used}
        if {"hard": before.get("hard") or {}, "used": before.get("used") or {}} != status:
            new = thaw(quota)
            new["status"] = status
            try:
                await self.client.update(kind, new, subresource="status")
            except NotFound:
                return DONE
        return RESYNC

    async def _count(self, quota: Object, hard: Object, namespace: str) -> Usage:
        spec, now = quota["spec"], self.clock.time()
        used: Usage = {}
        for kind in self._kinds_of(hard):
            found = await self.client.list(kind, namespace)
            objects = [obj for obj in found.items if selects(kind, spec, obj)]
            used |= total(kind, objects, bounded(kind, hard), now)
        return used


def _hard(quota: Object) -> Any:
    return (quota.get("spec") or {}).get("hard") or {}
