"""Pods that run with what their account said before carry a label, so that they can be listed.

    kubectl get pods -l verger.dev/outdated=true

Nothing is stopped: who runs a pod knows when it may be made anew. It belongs to the admission of `identity/finalizer`,
and runs only where that does.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from verger.controllers.reconcile import DONE, Enqueue, Object, Result, Subscriber
from verger.controllers.recorder import Recorder
from verger.identity.finalizer import is_outdated
from verger.store.client import Client
from verger.store.errors import Conflict, Invalid, NotFound
from verger.store.kinds import Kinds
from verger.store.objects import (
    is_terminating,
    key_of,
    labels_of,
    name_of,
    namespace_of,
    uid_of,
)
from verger.watch.cache import Cache, Change
from verger.watch.workqueue import BACKOFF_CAP

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

OUTDATED: Final = "verger.dev/outdated"
_BY_ACCOUNT: Final = "account"
_FINISHED: Final = ("Succeeded", "Failed")


def _account_key(pod: Object) -> str:
    return key_of(namespace_of(pod), (pod.get("spec") or {}).get("serviceAccountName") or "")


def _index(pod: Object) -> Iterable[str]:
    return (_account_key(pod),)


def _runs(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") not in _FINISHED and not is_terminating(pod)


@dataclass(slots=True)
class AccountPods:
    """Keys are accounts."""

    client: Client
    kinds: Kinds
    recorder: Recorder
    log: "FilteringBoundLogger"
    name: str = "serviceaccount-finalizer-controller"
    workers: int = 1
    backoff_cap: float = BACKOFF_CAP
    _accounts: Cache[Object] = field(default_factory=Cache, init=False)
    _pods: Cache[Object] = field(default_factory=lambda: Cache({_BY_ACCOUNT: _index}), init=False)

    def subscribe(self, subscriber: Subscriber, enqueue: Enqueue[str]) -> None:
        """Accounts, and pods by their account."""

        def account_changed(change: Change[Object]) -> None:
            if change.new is not None:
                enqueue(change.key)

        def pod_changed(change: Change[Object]) -> None:
            if change.new is not None:
                enqueue(_account_key(change.new))

        self._pods = subscriber.follow(
            self.kinds.core("Pod"), pod_changed, indexes={_BY_ACCOUNT: _index}
        )
        self._accounts = subscriber.follow(self.kinds.core("ServiceAccount"), account_changed)

    async def reconcile(self, key: str) -> Result:
        """Labels the pods of one account, and takes labels off that are not true any more."""
        account = self._accounts.get(key)
        if account is None:
            return DONE
        newly = 0
        for pod in self._pods.by_index(_BY_ACCOUNT, key):
            wanted = is_outdated(pod, account)
            if _runs(pod) and wanted != (labels_of(pod).get(OUTDATED) == "true"):
                newly += await self._label(pod, outdated=wanted) and wanted
        if newly:
            await self.recorder.record(
                self.kinds.core("ServiceAccount"),
                account,
                "Normal",
                "PodsOutdated",
                f"pods that run with what the account said before: {newly}; the label {OUTDATED}=true lists them",
            )
        return DONE

    async def _label(self, pod: Object, *, outdated: bool) -> bool:
        labels = {OUTDATED: "true" if outdated else None}
        change = {"metadata": {"uid": uid_of(pod), "labels": labels}}
        try:
            await self.client.patch(self.kinds.core("Pod"), name_of(pod), namespace_of(pod), change)
        except (NotFound, Conflict, Invalid):
            # It has gone or changed, or is another one of that name (a uid is immutable): that has its own key.
            return False
        return True
