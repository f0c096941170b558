"""Since when the use of legacy tokens is noted: a ConfigMap that says so, for whoever wants to clean up unused ones.

upstream: pkg/controlplane/controller/legacytokentracking
"""

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from verger.controllers.reconcile import DONE, Enqueue, Object, Result, Subscriber
from verger.store.client import Client
from verger.store.errors import AlreadyExists, NotFound
from verger.store.kinds import Kinds
from verger.store.timestamps import format_date, parse_date
from verger.watch.cache import Change
from verger.watch.clock import Clock
from verger.watch.workqueue import BACKOFF_CAP

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

NAMESPACE: Final = "kube-system"
CONFIG_MAP: Final = "kube-apiserver-legacy-service-account-token-tracking"
SINCE: Final = "since"
CREATION_PERIOD: Final = 1800.0
"""Seconds between two creations: who keeps deleting the map shall not have it made anew each time, with a new date."""


@dataclass(slots=True)
class TokenTracking:
    """There is one key."""

    client: Client
    kinds: Kinds
    log: "FilteringBoundLogger"
    clock: Clock
    name: str = "legacy-serviceaccount-token-tracking-controller"
    workers: int = 1
    backoff_cap: float = BACKOFF_CAP
    _next_creation: float = field(default=0.0, init=False)

    def subscribe(self, subscriber: Subscriber, enqueue: Enqueue[str]) -> None:
        """The one ConfigMap, and that there may be none."""

        def changed(_: Change[Object]) -> None:
            enqueue(CONFIG_MAP)

        kind = self.kinds.core("ConfigMap")
        subscriber.follow(kind, changed, fields=f"metadata.name={CONFIG_MAP}")
        enqueue(CONFIG_MAP)

    async def reconcile(self, key: str) -> Result:
        """Makes the map, or mends its date."""
        kind, now = self.kinds.core("ConfigMap"), self.clock.time()
        data = {SINCE: format_date(now)}
        try:
            found = await self.client.get(kind, key, NAMESPACE)
        except NotFound:
            wait = self._next_creation - self.clock.monotonic()
            if wait > 0:
                return Result(after=wait)
            obj = {"metadata": {"name": key, "namespace": NAMESPACE}, "data": data}
            with contextlib.suppress(AlreadyExists):  # somebody else was faster
                await self.client.create(kind, obj)
            self._next_creation = self.clock.monotonic() + CREATION_PERIOD
            return DONE
        if parse_date((found.get("data") or {}).get(SINCE) or "") is not None:
            return DONE
        try:
            await self.client.update(kind, {**found, "data": data})
        except NotFound:
            return DONE  # its end has its own key
        self.log.info("mended", configmap=key, since=data[SINCE])
        return DONE
