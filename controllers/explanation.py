"""Why a namespace, an account or a token Secret is as it is, in words, from what the cluster shows. Nothing is written.

What cannot be read is said and left out: whoever may see little is told that little. No token is part of what comes out.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from verger.controllers.election import holder_of
from verger.controllers.reconcile import Object
from verger.controllers.root_ca import ROOT_CA
from verger.controllers.tokens import account_of, references
from verger.identity.accounts import secrets_of
from verger.identity.validate import INVALID_SINCE, LAST_USED
from verger.store.client import Client, PartialDiscovery
from verger.store.errors import ApiError, NotFound
from verger.store.kinds import Kind, Kinds
from verger.store.objects import (
    annotations_of,
    finalizers_of,
    is_terminating,
    labels_of,
    meta,
    name_of,
    namespace_of,
    uid_of,
    without,
)
from verger.store.rules.configuration import ACCOUNT_UID, TOKEN_SECRET
from verger.store.rules.identity import NAMESPACE_FINALIZER
from verger.store.timestamps import parse

_NAMES_SHOWN: Final = 5
_EVENTS_SHOWN: Final = 5
_UNITS: Final = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))
LEASES: Final = (("kube-system", "kube-controller-manager"), ("kube-system", "verger"))
"""Where controllers of these objects are known to hold a lease."""


class Explanation:
    """Explains objects of one cluster. `leases` are the (namespace, name) of those whose holders may be at work."""

    def __init__(
        self,
        client: Client,
        kinds: Kinds,
        *,
        now: float,
        leases: Sequence[tuple[str, str]] = LEASES,
    ) -> None:
        self._client = client
        self._kinds = kinds
        self._now = now
        self._leases = leases

    async def namespace(self, name: str) -> list[str]:
        """Lines about a namespace. Raises ApiError when not even that can be read."""
        kind = self._kinds.core("Namespace")
        try:
            found = await self._client.get(kind, name)
        except NotFound:
            return [f"There is no namespace {name}."]
        if is_terminating(found):
            since = self._ago(meta(found)["deletionTimestamp"])
            lines = [f"Namespace {name} was deleted {since} and is still there."]
            lines += await self._what_holds(found)
        else:
            lines = [f"Namespace {name} is active, since {self._ago(_created(found))}."]
            lines += await self._what_lacks(name)
        return [*lines, *self._written(found), *await self._events(kind, found)]

    async def account(self, namespace: str, name: str) -> list[str]:
        """Lines about a service account. Raises ApiError."""
        kind = self._kinds.core("ServiceAccount")
        try:
            found = await self._client.get(kind, name, namespace)
        except NotFound:
            lines = [f"There is no service account {namespace}/{name}."]
            return [*lines, *await self._why_no_account(namespace, name)]
        lines = [f"Service account {namespace}/{name} was made {self._ago(_created(found))}."]
        if is_terminating(found):
            held = ", ".join(finalizers_of(found)) or "nothing"
            lines.append(f"It was deleted and is held by its finalizers: {held}.")
        lines += await self._tokens_of(found)
        return [*lines, *self._written(found), *await self._events(kind, found)]

    async def secret(self, namespace: str, name: str) -> list[str]:
        """Lines about a Secret. Raises ApiError."""
        kind = self._kinds.core("Secret")
        try:
            found = await self._client.get(kind, name, namespace)
        except NotFound:
            return [f"There is no Secret {namespace}/{name}."]
        lines = [f"Secret {namespace}/{name} was made {self._ago(_created(found))}."]
        if found.get("type") != TOKEN_SECRET:
            lines.append(f"It is of type {found.get('type')}: no controller of tokens looks at it.")
        else:
            lines += await self._of_token(found)
        return [*lines, *self._written(found), *await self._events(kind, found)]

    # Namespaces

    async def _what_holds(self, namespace: Object) -> list[str]:
        lines: list[str] = []
        owners = (namespace.get("spec") or {}).get("finalizers") or ()
        if others := without(owners, NAMESPACE_FINALIZER):
            lines.append(f"Others must take their finalizers out of its spec: {', '.join(others)}.")
        if finalizers := finalizers_of(namespace):
            lines.append(f"Others must take their finalizers away: {', '.join(finalizers)}.")
        content, problems = await self._content(name_of(namespace))
        lines += problems
        lines += content
        for condition in (namespace.get("status") or {}).get("conditions") or ():
            if condition.get("status") == "True":
                lines.append(f"Its status says {condition['type']}: {condition.get('message')}.")
        if NAMESPACE_FINALIZER in owners and not content and not problems:
            lines.append("Nothing is left in it: the namespace controller has to finalize it.")
            lines += await self._at_work()
        return lines

    async def _content(self, namespace: str) -> tuple[list[str], list[str]]:
        """What is in there, and what keeps us from knowing."""
        content: list[str] = []
        problems: list[str] = []
        try:
            served: Sequence[Kind] = await self._client.kinds()
        except PartialDiscovery as error:
            served = error.kinds
            problems.append(f"Not all kinds are known, and it waits for that: {error}.")
        for kind in served:
            if not kind.namespaced or not {"list", "delete"} <= set(kind.verbs):
                continue
            try:
                items = (await self._client.list(kind, namespace)).items
            except ApiError as error:
                problems.append(f"Whether there are {kind.resource} cannot be seen: {error}.")
                continue
            if items:
                content.append(_left(kind, items))
        return content, problems

    async def _what_lacks(self, namespace: str) -> list[str]:
        lines = []
        for kind, name in (("ServiceAccount", "default"), ("ConfigMap", ROOT_CA)):
            try:
                await self._client.get(self._kinds.core(kind), name, namespace)
            except NotFound:
                lines.append(f"It has no {kind} {name}.")
            except ApiError as error:
                lines.append(f"Whether it has the {kind} {name} cannot be seen: {error}.")
        if lines:
            return [*lines, *await self._at_work()]
        return [f"It has its default account and {ROOT_CA}."]

    # Accounts

    async def _why_no_account(self, namespace: str, name: str) -> list[str]:
        kind = self._kinds.core("Namespace")
        try:
            found = await self._client.get(kind, namespace)
        except NotFound:
            return [f"Nor is there a namespace {namespace}."]
        except ApiError as error:
            return [f"The namespace cannot be seen: {error}."]
        if is_terminating(found):
            return ["Its namespace was deleted, and takes nothing new."]
        if name != "default":
            return ["Accounts that are not called default are for users to make."]
        return [*await self._at_work(), *await self._events(kind, found)]

    async def _tokens_of(self, account: Object) -> list[str]:
        kind, namespace = self._kinds.core("Secret"), namespace_of(account)
        try:
            listed = (await self._client.list(kind, namespace, fields=f"type={TOKEN_SECRET}")).items
        except ApiError as error:
            return [f"Its token Secrets cannot be seen: {error}."]
        lines, good = [], 0
        for secret in listed:
            if account_of(secret) != name_of(account):
                continue
            if annotations_of(secret).get(ACCOUNT_UID, uid_of(account)) != uid_of(account):
                lines.append(
                    f"Secret {name_of(secret)} is for an earlier account of the name, and has to go."
                )
            elif not _has_token(secret):
                lines.append(f"Secret {name_of(secret)} waits for a token.")
            else:
                good += 1
                referred = name_of(secret) in references(account)
                how = "and it refers to that" if referred else "which a user asked for"
                lines.append(f"It has a token in Secret {name_of(secret)}, {how}.")
        there = {name_of(secret) for secret in listed}
        missing = [
            name
            for name in references(account)
            if name.startswith(f"{name_of(account)}-token-") and name not in there
        ]
        if missing:
            lines.append(f"It refers to what is not there: {', '.join(missing)}.")
        if good:
            return lines
        lines.append("It has no token in a Secret.")
        if await self._is_going(namespace):
            return [*lines, "Its namespace was deleted, and takes nothing new."]
        lines.append(
            "One comes by itself where the token controller runs with --token-secrets=auto; kube-controller-manager, and "
            "on-request, only fill Secrets that a user creates. Pods need none: theirs is issued on request."
        )
        return [*lines, *await self._at_work()]

    async def _is_going(self, namespace: str) -> bool:
        try:
            return is_terminating(await self._client.get(self._kinds.core("Namespace"), namespace))
        except ApiError:
            return False

    # Secrets

    async def _of_token(self, secret: Object) -> list[str]:
        namespace, named = namespace_of(secret), account_of(secret)
        lines = []
        try:
            account = await self._client.get(self._kinds.core("ServiceAccount"), named, namespace)
        except NotFound:
            lines.append(f"It is for account {named}, which is not there: it has to go.")
        except ApiError as error:
            lines.append(f"It is for account {named}, which cannot be seen: {error}.")
        else:
            if annotations_of(secret).get(ACCOUNT_UID, uid_of(account)) != uid_of(account):
                lines.append(f"It is for an earlier account {named}, and has to go.")
            else:
                referred = name_of(secret) in references(account)
                how = "which refers to it" if referred else "which does not refer to it"
                lines.append(f"It is for account {named}, {how}.")
        data = secret.get("data") or {}
        lacking = [key for key in ("token", "ca.crt", "namespace") if not data.get(key)]
        if lacking:
            lines += [f"It lacks {', '.join(lacking)}.", *await self._at_work()]
        labels = labels_of(secret)
        used = labels.get(LAST_USED)
        lines.append(f"Last used on {used}." if used else "No use of its token was ever noted.")
        if INVALID_SINCE in labels:
            lines.append(
                f"Its token is refused since {labels[INVALID_SINCE]}, after long disuse: take the label {INVALID_SINCE} "
                "away to use it again."
            )
        try:
            pods = (await self._client.list(self._kinds.core("Pod"), namespace)).items
        except ApiError as error:
            return [*lines, f"Which pods use it cannot be seen: {error}."]
        users = [name_of(p) for p in pods if name_of(secret) in secrets_of(p.get("spec") or {})]
        return [*lines, f"Pods that use it: {_some(users) if users else 'none'}."]

    # Who did what

    async def _at_work(self) -> list[str]:
        """Who seems to run the controllers. A lease that is old is nobody's."""
        kind = self._kinds.get("coordination.k8s.io", "v1", "Lease")
        if kind is None:
            return []
        lines = []
        for namespace, name in self._leases:
            try:
                lease = await self._client.get(kind, name, namespace)
            except NotFound:
                continue
            except ApiError as error:
                lines.append(f"Who holds the lease {namespace}/{name} cannot be seen: {error}.")
                continue
            spec = lease.get("spec") or {}
            renewed = spec.get("renewTime") or ""
            if not holder_of(lease) or not renewed:
                continue
            late = self._now - parse(renewed) > (spec.get("leaseDurationSeconds") or 0)
            what = "held, but has stopped renewing," if late else "holds"
            lines.append(
                f"{holder_of(lease)} {what} the lease {namespace}/{name}, renewed {self._ago(renewed)}."
            )
        return lines or ["Nobody holds a lease for its controllers: do they run?"]

    def _written(self, obj: Object) -> list[str]:
        """Who wrote it last, as far as the server keeps that."""
        entries = [e for e in meta(obj).get("managedFields") or () if e.get("time")]
        if not entries:
            return []
        last = max(entries, key=lambda entry: parse(entry["time"]))
        part = f" (its {last['subresource']})" if last.get("subresource") else ""
        return [f"Last written{part} by {last.get('manager')}, {self._ago(last['time'])}."]

    async def _events(self, kind: Kind, obj: Object) -> list[str]:
        """What was told about it, newest last."""
        try:
            listed = await self._client.list(
                self._kinds.core("Event"),
                namespace_of(obj) or "default",
                fields=f"involvedObject.kind={kind.kind},involvedObject.name={name_of(obj)}",
            )
        except ApiError as error:
            return [f"Its events cannot be seen: {error}."]
        told = [e for e in listed.items if e["involvedObject"].get("uid") in (uid_of(obj), None)]
        told.sort(key=_last_seen)
        return [self._event(event) for event in told[-_EVENTS_SHOWN:]]

    def _event(self, event: Object) -> str:
        when = self._ago(_last_seen(event)) if _last_seen(event) else "at some time"
        source = (event.get("source") or {}).get("component") or event.get("reportingComponent")
        count = event.get("count") or 1
        often = f", {count} times" if count > 1 else ""
        return f"{source or 'Somebody'} said {when}{often}: {event.get('reason')}: {event.get('message')}"

    def _ago(self, moment: str) -> str:
        distance = int(self._now - parse(moment))
        if distance < 1:
            return "just now"
        unit, size = next((unit, size) for unit, size in _UNITS if distance >= size)
        count = distance // size
        return f"{count} {unit}{'s' if count != 1 else ''} ago"


def _created(obj: Object) -> str:
    return str(meta(obj)["creationTimestamp"])


def _last_seen(event: Mapping[str, object]) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")


def _has_token(secret: Object) -> bool:
    return bool((secret.get("data") or {}).get("token"))


def _left(kind: Kind, items: Sequence[Object]) -> str:
    held: dict[str, int] = {}
    for item in items:
        for finalizer in finalizers_of(item):
            held[finalizer] = held.get(finalizer, 0) + 1
    line = f"It still has {len(items)} {kind.resource}: {_some([name_of(i) for i in items])}"
    if held:
        line += "; finalizers: " + ", ".join(f"{name} ({n})" for name, n in sorted(held.items()))
    return line + "."


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMES_SHOWN
    return ", ".join(sorted(names)[:_NAMES_SHOWN]) + (f", and {more} more" if more > 0 else "")
