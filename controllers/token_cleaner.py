"""Legacy tokens that nobody has used for a long time are marked invalid, and deleted after the same time once more.

Only tokens that were made for their account are ever touched: those that the account refers to. Using a marked one
fails, and says in which label the mark is; whoever removes the label can use the token again.

upstream: pkg/controller/serviceaccount/legacy_serviceaccount_token_cleaner.go
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from verger.controllers.reconcile import Enqueue, Object, Result, Subscriber
from verger.controllers.token_tracking import CONFIG_MAP, NAMESPACE, SINCE
from verger.controllers.tokens import account_of, references
from verger.identity.accounts import secrets_of
from verger.identity.validate import INVALID_SINCE, LAST_USED
from verger.store.client import Client
from verger.store.errors import ApiError, Conflict, NotFound
from verger.store.kinds import Kinds
from verger.store.objects import (
    annotations_of,
    is_terminating,
    key_of,
    labels_of,
    meta,
    name_of,
    namespace_of,
    revision_of,
    uid_of,
)
from verger.store.rules.configuration import ACCOUNT_UID, TOKEN_SECRET
from verger.store.timestamps import format_date, parse, parse_date
from verger.watch.clock import Clock
from verger.watch.workqueue import BACKOFF_CAP

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

CLEAN_UP_PERIOD: Final = 365 * 86400.0
"""Seconds without use after which a token is marked, and after as many again deleted."""
SYNC_INTERVAL: Final = 86400.0
"""Seconds between two looks."""
DAY: Final = 86400.0
Verdict = Literal["keep", "mark", "delete"]


def is_candidate(secret: Object, account: Object | None, cutoff: float) -> bool:
    """Whether the Secret is a token of ours that was not used since the cutoff, wherever it may be mounted."""
    if account is None or is_terminating(secret):
        return False
    if parse(meta(secret)["creationTimestamp"]) >= cutoff:
        return False
    used = labels_of(secret).get(LAST_USED)
    if used is not None and (parse_date(used) is None or used >= format_date(cutoff)):
        return False
    uid = annotations_of(secret).get(ACCOUNT_UID)
    return (not uid or uid == uid_of(account)) and name_of(secret) in references(account)


def verdict(secret: Object, cutoff: float) -> Verdict:
    """What happens to a candidate that no pod mounts."""
    marked = labels_of(secret).get(INVALID_SINCE) or ""
    if parse_date(marked) is None:
        return "mark"
    return "keep" if marked >= format_date(cutoff) else "delete"


@dataclass(slots=True)
class TokenCleaner:
    """There is one key: a look at everything, once a day."""

    client: Client
    kinds: Kinds
    log: "FilteringBoundLogger"
    clock: Clock
    period: float = CLEAN_UP_PERIOD
    name: str = "legacy-serviceaccount-token-cleaner-controller"
    workers: int = 1
    backoff_cap: float = BACKOFF_CAP

    def subscribe(self, subscriber: Subscriber, enqueue: Enqueue[str]) -> None:
        """Nothing is followed: what matters is how much time has passed."""
        enqueue("clean up")

    async def reconcile(self, key: str) -> Result:
        """Looks at all legacy tokens."""
        now = self.clock.time()
        since = await self._tracked_since()
        if since is not None and now >= since + DAY + self.period:
            await self._clean_up(now - self.period)
        return Result(after=SYNC_INTERVAL)

    async def _tracked_since(self) -> float | None:
        try:
            found = await self.client.get(self.kinds.core("ConfigMap"), CONFIG_MAP, NAMESPACE)
        except NotFound:
            return None
        return parse_date((found.get("data") or {}).get(SINCE) or "")

    async def _clean_up(self, cutoff: float) -> None:
        listed = await self.client.list(self.kinds.core("ServiceAccount"))
        accounts = {key_of(namespace_of(item), name_of(item)): item for item in listed.items}
        secrets = await self.client.list(self.kinds.core("Secret"), fields=f"type={TOKEN_SECRET}")
        mounted: dict[str, set[str]] = {}
        for secret in secrets.items:
            namespace = namespace_of(secret)
            account = accounts.get(key_of(namespace, account_of(secret)))
            if not is_candidate(secret, account, cutoff):
                continue
            if namespace not in mounted:
                mounted[namespace] = await self._mounted(namespace)
            if name_of(secret) in mounted[namespace]:
                continue
            await self._attempt(secret, verdict(secret, cutoff))

    async def _mounted(self, namespace: str) -> set[str]:
        """The Secrets that pods of a namespace use, finished ones included."""
        pods = await self.client.list(self.kinds.core("Pod"), namespace)
        return {secret for pod in pods.items for secret in secrets_of(pod.get("spec") or {})}

    async def _attempt(self, secret: Object, what: Verdict) -> None:
        kind = self.kinds.core("Secret")
        name, namespace = name_of(secret), namespace_of(secret)
        try:
            if what == "mark":
                label = {INVALID_SINCE: format_date(self.clock.time())}
                change = {"metadata": {"uid": uid_of(secret), "labels": label}}
                await self.client.patch(kind, name, namespace, change)
            elif what == "delete":
                # A use in this moment writes a label, and so saves the token.
                await self.client.delete(kind, name, namespace, revision=revision_of(secret))
        except (NotFound, Conflict):
            return
        except ApiError as error:
            # The others are not to wait for this one; there is another day.
            self.log.warning("not cleaned up", namespace=namespace, secret=name, error=str(error))
            return
        if what != "keep":
            done = "marked invalid" if what == "mark" else "deleted"
            self.log.info(done, namespace=namespace, secret=name, reason="not used for a long time")
