"""Every active namespace has its default ServiceAccount.

It is made again when it is deleted, and never in a namespace that is terminating.

upstream: pkg/controller/serviceaccount/serviceaccounts_controller.go
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from verger.controllers.reconcile import DONE, MADE, Enqueue, Object, Result, Subscriber
from verger.controllers.recorder import Recorder
from verger.store.admission import TERMINATING_CAUSE
from verger.store.client import Client
from verger.store.errors import AlreadyExists, ApiError, NotFound
from verger.store.kinds import Kinds
from verger.store.objects import key_of, split_key
from verger.watch.cache import Cache, Change
from verger.watch.workqueue import BACKOFF_CAP

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

DEFAULT_ACCOUNT = "default"


@dataclass(slots=True)
class ServiceAccounts:
    """Keys are names of namespaces."""

    client: Client
    kinds: Kinds
    recorder: Recorder
    log: "FilteringBoundLogger"
    accounts: tuple[str, ...] = (DEFAULT_ACCOUNT,)
    name: str = "serviceaccount-controller"
    workers: int = 1
    backoff_cap: float = BACKOFF_CAP
    _namespaces: Cache[Object] = field(default_factory=Cache, init=False)
    _cached: Cache[Object] = field(default_factory=Cache, init=False)

    def subscribe(self, subscriber: Subscriber, enqueue: Enqueue[str]) -> None:
        """Namespaces as they come and change, accounts as they go."""

        def account_changed(change: Change[Object]) -> None:
            if change.new is None:
                enqueue(split_key(change.key)[0])

        def namespace_changed(change: Change[Object]) -> None:
            if change.new is not None:
                enqueue(change.key)

        self._cached = subscriber.follow(self.kinds.core("ServiceAccount"), account_changed)
        self._namespaces = subscriber.follow(self.kinds.core("Namespace"), namespace_changed)

    async def reconcile(self, key: str) -> Result:
        """Makes the accounts that are missing. Raises what the server refuses, after all have been tried."""
        namespace = self._namespaces.get(key)
        if namespace is None or (namespace.get("status") or {}).get("phase") != "Active":
            return DONE
        refused: ApiError | None = None
        made = False
        for name in self.accounts:
            if self._cached.get(key_of(key, name)) is None:
                try:
                    made = await self._create(key, name) or made
                except ApiError as error:
                    refused = error
        if refused is not None:
            await self.recorder.record(
                self.kinds.core("Namespace"),
                namespace,
                "Warning",
                "ServiceAccountRefused",
                f"the default service account cannot be created: {refused}",
            )
            raise refused
        return MADE if made else DONE

    async def _create(self, namespace: str, name: str) -> bool:
        """Whether there is one now; not when the namespace is going."""
        kind = self.kinds.core("ServiceAccount")
        try:
            await self.client.create(kind, {"metadata": {"name": name, "namespace": namespace}})
        except AlreadyExists:
            return True  # the cache is behind
        except ApiError as error:
            if error.has_cause(TERMINATING_CAUSE) or (
                isinstance(error, NotFound) and (error.details or {}).get("kind") == "namespaces"
            ):
                return False  # the namespace is going, or has gone
            raise
        self.log.debug("created", namespace=namespace, account=name)
        return True
