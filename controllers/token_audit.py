"""Every token Secret of a cluster, how old it is, who uses it, and what is to be thought of it. Nothing is written.

No token is part of what comes out.
"""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from verger.controllers.reconcile import Object
from verger.controllers.token_tracking import CONFIG_MAP, NAMESPACE, SINCE
from verger.controllers.tokens import account_of
from verger.identity.accounts import secrets_of
from verger.identity.validate import INVALID_SINCE, LAST_USED
from verger.store.client import Client
from verger.store.errors import NotFound
from verger.store.kinds import Kinds
from verger.store.objects import (
    annotations_of,
    key_of,
    labels_of,
    meta,
    name_of,
    namespace_of,
    uid_of,
)
from verger.store.rules.configuration import ACCOUNT_UID, TOKEN_SECRET
from verger.store.timestamps import parse, parse_date

DAY: Final = 86400.0
Verdict = Literal["orphaned", "empty", "invalid", "used", "young", "unknown", "unused"]


class Audited(NamedTuple):
    """One token Secret."""

    namespace: str
    name: str
    account: str
    age: float
    """Seconds."""
    last_used: str
    """A date, empty when no use has been noted."""
    pods: tuple[str, ...]
    """The pods that refer to the Secret, those that have ended included."""
    verdict: Verdict
    why: str


async def audit(client: Client, kinds: Kinds, *, now: float, unused_for: float) -> list[Audited]:
    """All of them, by namespace and name; unused is what was not used for so many seconds. Raises ApiError."""
    since = await _tracked_since(client, kinds)
    listed = (await client.list(kinds.core("ServiceAccount"))).items
    accounts = {key_of(namespace_of(item), name_of(item)): uid_of(item) for item in listed}
    users: dict[str, list[str]] = {}
    for pod in (await client.list(kinds.core("Pod"))).items:
        for name in set(secrets_of(pod.get("spec") or {})):
            users.setdefault(key_of(namespace_of(pod), name), []).append(name_of(pod))
    secrets = (await client.list(kinds.core("Secret"), fields=f"type={TOKEN_SECRET}")).items
    found = []
    for secret in secrets:
        pods = tuple(sorted(users.get(key_of(namespace_of(secret), name_of(secret)), ())))
        age = now - parse(meta(secret)["creationTimestamp"])
        cutoff = now - unused_for
        verdict, why = _verdict(secret, accounts, pods=pods, since=since, cutoff=cutoff)
        used = labels_of(secret).get(LAST_USED, "")
        where = (namespace_of(secret), name_of(secret), account_of(secret))
        found.append(Audited(*where, age, used, pods, verdict, why))
    return sorted(found)


async def _tracked_since(client: Client, kinds: Kinds) -> float | None:
    """Since when the server notes the use of tokens, None when it does not say."""
    try:
        found = await client.get(kinds.core("ConfigMap"), CONFIG_MAP, NAMESPACE)
    except NotFound:
        return None
    return parse_date((found.get("data") or {}).get(SINCE) or "")


def _verdict(
    secret: Object,
    accounts: Mapping[str, str],
    *,
    pods: tuple[str, ...],
    since: float | None,
    cutoff: float,
) -> tuple[Verdict, str]:
    labels, named = labels_of(secret), account_of(secret)
    uid = accounts.get(key_of(namespace_of(secret), named))
    if uid is None:
        return "orphaned", f"there is no service account {named}" if named else "it names none"
    if annotations_of(secret).get(ACCOUNT_UID, uid) != uid:
        return "orphaned", f"it is for an earlier service account {named}"
    if not (secret.get("data") or {}).get("token"):
        return "empty", "no controller has filled it"
    if INVALID_SINCE in labels:
        return "invalid", f"marked invalid on {labels[INVALID_SINCE]}, after long disuse"
    used = labels.get(LAST_USED, "")
    moment = parse_date(used)
    if moment is not None and moment + DAY > cutoff:
        return "used", f"last used on {used}"
    if pods:
        return "used", "pods refer to it"
    if parse(meta(secret)["creationTimestamp"]) > cutoff:
        return "young", "it has not been there for long enough to tell"
    if since is None:
        return "unknown", "the server does not note the use of tokens"
    if since + DAY > cutoff:
        return "unknown", "the server has not noted the use of tokens for long enough"
    return "unused", f"last used on {used}" if used else "no use of it was ever noted"
