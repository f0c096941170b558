"""Token Secrets: filled, healed, and gone with their account.

What this controller keeps true, for each account:

- every Secret of type kubernetes.io/service-account-token that names it has a token of its own, the root CA and the
  namespace, and the annotation with the account's uid;
- one that names an account that does not exist, or an earlier one of the same name, is deleted;
- when such a Secret goes, the account's reference to it goes too;
- in mode `auto` the account has one token of ours, named `<account>-token-<5>`, and refers to it.

A token of ours is recognised by its name and its uid annotation, so one that was made by a run that did not live to
refer to it is found again. Before one is made, the namespace is read live, unless it is known what the cache does not
show yet (`made`). The name is new each time: a token that was deleted to revoke it must not come back, and RSA
signatures of the same claims are the same.

upstream: pkg/controller/serviceaccount/tokens_controller.go, up to 1.23 for the tokens of its own; unlike it, a key is
never given up.
"""

import base64
import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from verger.controllers.made import Made
from verger.controllers.reconcile import DONE, MADE, Enqueue, Object, Result, Subscriber
from verger.controllers.recorder import Recorder
from verger.identity.keyring import KeyRing
from verger.identity.tokens import legacy_claims, says
from verger.store.admission import TERMINATING_CAUSE
from verger.store.client import Client
from verger.store.errors import AlreadyExists, ApiError, Conflict, Forbidden, Invalid, NotFound
from verger.store.kinds import Kinds
from verger.store.objects import (
    GENERATED_BASE_MAX,
    GENERATED_SUFFIX,
    NAME_ALPHABET,
    annotations_of,
    generate_name,
    is_terminating,
    key_of,
    meta,
    name_of,
    namespace_of,
    revision_of,
    thaw,
    uid_of,
)
from verger.store.rules.configuration import ACCOUNT_NAME, ACCOUNT_UID, TOKEN_SECRET
from verger.watch.cache import Cache, Change
from verger.watch.workqueue import BACKOFF_CAP

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

_BY_ACCOUNT: Final = "account"
Mode = Literal["auto", "on-request"]


class AccountKey(NamedTuple):
    """The tokens of one account."""

    namespace: str
    account: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.account}"


class GoneSecret(NamedTuple):
    """A token Secret that went, and the account that may still refer to it."""

    namespace: str
    account: str
    secret: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.account}/{self.secret}"


Key = AccountKey | GoneSecret


def account_of(secret: Object) -> str:
    """The name of the account that a token Secret names."""
    return annotations_of(secret).get(ACCOUNT_NAME) or ""


def _index(secret: Object) -> Iterable[str]:
    account = account_of(secret)
    return (key_of(namespace_of(secret), account),) if account else ()


def named_like_own(name: str, account: Object) -> bool:
    """Whether a Secret of that name may be one that this controller made for the account."""
    base = f"{name_of(account)}-token-"[:GENERATED_BASE_MAX]
    suffix = name[len(base) :]
    return (
        name.startswith(base)
        and len(suffix) == GENERATED_SUFFIX
        and all(char in NAME_ALPHABET for char in suffix)
    )


def is_own(secret: Object, account: Object) -> bool:
    """Whether the Secret is a token that this controller made for this very account."""
    return (
        named_like_own(name_of(secret), account)
        and annotations_of(secret).get(ACCOUNT_UID) == uid_of(account)
        and not is_terminating(secret)
    )


def references(account: Object) -> list[str]:
    """The names of the Secrets that an account refers to."""
    return [entry.get("name") or "" for entry in account.get("secrets") or ()]


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _decoded(value: str | None) -> str:
    try:
        return base64.b64decode(value or "").decode()
    except ValueError:
        return ""


def _is_older(one: Object, other: Object) -> bool:
    return int(revision_of(one)) < int(revision_of(other))


def _is_over(error: ApiError) -> bool:
    """Whether the error says that the namespace is going or has gone, so that nothing is left to do."""
    return error.has_cause(TERMINATING_CAUSE) or (
        isinstance(error, NotFound) and (error.details or {}).get("kind") == "namespaces"
    )


@dataclass(slots=True)
class Tokens:
    """Keys are accounts, and token Secrets that went."""

    client: Client
    kinds: Kinds
    recorder: Recorder
    log: "FilteringBoundLogger"
    keys: KeyRing
    root_ca: str
    mode: Mode = "auto"
    name: str = "serviceaccount-token-controller"
    workers: int = (
        32  # upstream has 5 and 5; signing goes to threads in batches, which want to be filled
    )
    backoff_cap: float = BACKOFF_CAP
    _accounts: Cache[Object] = field(default_factory=Cache, init=False)
    _secrets: Cache[Object] = field(default_factory=Cache, init=False)
    _vetted: dict[str, tuple[str, str]] = field(default_factory=dict, init=False)
    """uid of a Secret -> the token in it that was found good and the uid of the account it is good for, so that it is not
    verified again and again."""
    _written: dict[str, Object] = field(default_factory=dict, init=False)
    """uid of an account -> what this controller has made of it, until the cache shows it."""
    _made: Made = field(init=False)
    """uid of an account -> the token that this run has made for it."""

    def subscribe(self, subscriber: Subscriber, enqueue: Enqueue[Key]) -> None:
        """Accounts, and token Secrets."""

        def account_changed(change: Change[Object]) -> None:
            old, new = change.old, change.new
            if old is not None and (new is None or uid_of(new) != uid_of(old)):
                self._written.pop(uid_of(old), None)
                self._made.forget(uid_of(old))
            account = new or old
            if account is not None:
                enqueue(AccountKey(namespace_of(account), name_of(account)))

        def secret_changed(change: Change[Object]) -> None:
            for secret in (change.old, change.new):
                if secret is not None and (account := account_of(secret)):
                    enqueue(AccountKey(namespace_of(secret), account))
            old = change.old
            if old is not None and (change.new is None or uid_of(change.new) != uid_of(old)):
                self._vetted.pop(uid_of(old), None)
                if change.new is None and (account := account_of(old)):
                    enqueue(GoneSecret(namespace_of(old), account, name_of(old)))

        self._secrets = subscriber.follow(
            self.kinds.core("Secret"),
            secret_changed,
            fields=f"type={TOKEN_SECRET}",
            indexes={_BY_ACCOUNT: _index},
        )
        self._made = Made(self._secrets)
        self._accounts = subscriber.follow(self.kinds.core("ServiceAccount"), account_changed)

    async def reconcile(self, key: Key) -> Result:
        """Deals with the tokens of an account, or with the reference to a Secret that went."""
        if isinstance(key, GoneSecret):
            await self._remove_reference(key)
            return DONE
        account = self._known_account(key)
        secrets = self._secrets.by_index(_BY_ACCOUNT, key_of(key.namespace, key.account))
        strangers = [secret for secret in secrets if not self._belongs(secret, account)]
        if strangers:
            # The cache says that their account is not there, or is another one: only a live look may say so.
            account = await self._live_account(key)
            for secret in strangers:
                if self._belongs(secret, account):
                    continue
                await self._delete_orphan(secret, key)
        if account is None or is_terminating(account):
            return DONE
        refused: ApiError | None = None
        for secret in secrets:
            if self._belongs(secret, account) and not is_terminating(secret):
                try:
                    await self._fill(secret, account)
                except ApiError as error:
                    refused = (
                        error  # one Secret that takes no token does not keep the others from theirs
                    )
        made = self.mode == "auto" and await self._ensure_own(account, secrets)
        if refused is not None:
            raise refused
        return MADE if made else DONE

    def _known_account(self, key: AccountKey) -> Object | None:
        """The account as the cache has it, or as it was written here where the cache is behind that."""
        cached = self._accounts.get(key_of(key.namespace, key.account))
        if cached is None or (written := self._written.get(uid_of(cached))) is None:
            return cached
        if _is_older(cached, written):
            return written
        del self._written[uid_of(cached)]
        return cached

    async def _write_account(self, changed: Object) -> None:
        """Raises Conflict, NotFound."""
        written = await self.client.update(self.kinds.core("ServiceAccount"), changed)
        cached = self._accounts.get(key_of(namespace_of(written), name_of(written)))
        # One that has gone meanwhile would never be forgotten.
        if cached is not None and uid_of(cached) == uid_of(written) and _is_older(cached, written):
            self._written[uid_of(written)] = written

    @staticmethod
    def _belongs(secret: Object, account: Object | None) -> bool:
        if account is None:
            return False
        uid = annotations_of(secret).get(ACCOUNT_UID)
        return not uid or uid == uid_of(account)

    async def _live_account(self, key: AccountKey) -> Object | None:
        try:
            return await self.client.get(
                self.kinds.core("ServiceAccount"), key.account, key.namespace
            )
        except NotFound:
            return None

    # Secrets

    async def _delete_orphan(self, secret: Object, key: AccountKey) -> None:
        kind = self.kinds.core("Secret")
        try:
            await self.client.delete(
                kind,
                name_of(secret),
                namespace_of(secret),
                uid=uid_of(secret),
                revision=str(meta(secret)["resourceVersion"]),
            )
        except NotFound:
            return
        except Conflict:
            with contextlib.suppress(NotFound):
                live = await self.client.get(kind, name_of(secret), namespace_of(secret))
                if uid_of(live) == uid_of(secret):
                    raise
            return  # it has gone, or another one has its name
        self.log.info(
            "deleted token", secret=name_of(secret), account=str(key), reason="no such account"
        )
        await self.recorder.record(
            kind,
            secret,
            "Warning",
            "NoServiceAccount",
            f'deleted: there is no service account "{key.account}" with the uid that it names',
        )

    def _lacks(self, secret: Object, account: Object) -> dict[str, str | None]:
        """What of the data has to be written; a value of None stands for a token that has to be signed."""
        data = secret.get("data") or {}
        out: dict[str, str | None] = {}
        good_for = uid_of(account)
        if self.root_ca and data.get("ca.crt") != _encoded(self.root_ca):
            out["ca.crt"] = _encoded(self.root_ca)
        if not data.get("namespace"):
            out["namespace"] = _encoded(namespace_of(secret))
        token = data.get("token") or ""
        uid = uid_of(secret)
        if not token or (
            self._vetted.get(uid) != (token, good_for)
            and not says(_decoded(token), self._claims(secret, account), self.keys.legacy)
        ):
            out["token"] = None
        else:
            self._vetted[uid] = (token, good_for)
        return out

    @staticmethod
    def _claims(secret: Object, account: Object) -> dict[str, object]:
        return legacy_claims(
            namespace_of(secret), name_of(account), uid_of(account), name_of(secret)
        )

    async def _fill(self, secret: Object, account: Object) -> None:
        """Writes what a Secret lacks, judged once more on the live object."""
        if not self._lacks(secret, account):
            return
        kind = self.kinds.core("Secret")
        try:
            live = await self.client.get(kind, name_of(secret), namespace_of(secret))
        except NotFound:
            return
        if (
            uid_of(live) != uid_of(secret)
            or account_of(live) != name_of(account)
            or not self._belongs(live, account)
        ):
            return  # its event has a key of its own
        if not annotations_of(live).get(ACCOUNT_UID):
            now = await self._live_account(AccountKey(namespace_of(live), name_of(account)))
            if now is None or uid_of(now) != uid_of(account):
                return  # whoever has the name now gets it
        lacking = self._lacks(live, account)
        if not lacking:
            return
        if "token" in lacking:
            lacking["token"] = _encoded(await self.keys.legacy.sign(self._claims(live, account)))
        filled = thaw(live)
        filled["data"] = {**(filled.get("data") or {}), **lacking}
        filled["metadata"]["annotations"] = {
            **annotations_of(live),
            ACCOUNT_NAME: name_of(account),
            ACCOUNT_UID: uid_of(account),
        }
        try:
            await self.client.update(kind, filled)
        except NotFound:
            return
        except Invalid as error:
            await self.recorder.record(
                kind, live, "Warning", "TokenNotWritten", f"the token cannot be written: {error}"
            )
            raise
        self.log.info(
            "filled", secret=name_of(secret), namespace=namespace_of(secret), wrote=sorted(lacking)
        )

    # The token of ours

    async def _ensure_own(self, account: Object, secrets: list[Object]) -> bool:
        """One token of ours, one reference to it and none to one that is gone. Whether it was made unseen by the cache."""
        own = [secret for secret in secrets if is_own(secret, account)]
        cached = bool(own)
        if not own and (made := self._made.get(uid_of(account))) is not None:
            own = [made]
        referred = references(account)
        there = {name_of(secret) for secret in (*secrets, *own)}
        stale = [name for name in referred if named_like_own(name, account) and name not in there]
        if len(own) == 1 and name_of(own[0]) in referred and not stale:
            return not cached
        kind = self.kinds.core("Secret")
        stale = [name for name in stale if not await self._there(name, namespace_of(account))]
        looked_at = 0
        if len(own) > 1 or (not own and not self._made.knows(uid_of(account))):
            listed = await self.client.list(
                kind, namespace_of(account), fields=f"type={TOKEN_SECRET}"
            )
            looked_at = listed.revision
            own = [secret for secret in listed.items if is_own(secret, account)]
        own.sort(
            key=lambda s: (name_of(s) not in referred, meta(s)["creationTimestamp"], name_of(s))
        )
        if looked_at:
            self._made.looked(uid_of(account), looked_at, own[0] if own else None)
        if own:
            name = name_of(own[0])
        else:
            created = await self._create_own(account)
            if created is None:
                return False
            name = created
        for extra in own[1:]:
            try:
                await self.client.delete(
                    kind, name_of(extra), namespace_of(extra), uid=uid_of(extra)
                )
            except NotFound:
                continue
        await self._refer(account, name, stale)
        return not cached

    async def _there(self, name: str, namespace: str) -> bool:
        try:
            await self.client.get(self.kinds.core("Secret"), name, namespace)
        except NotFound:
            return False
        return True

    async def _create_own(self, account: Object) -> str | None:
        """Makes the token and returns its name; None when the account or its namespace is going."""
        namespace = namespace_of(account)
        name = generate_name(f"{name_of(account)}-token-")
        claims = legacy_claims(namespace, name_of(account), uid_of(account), name)
        data = {
            "token": _encoded(await self.keys.legacy.sign(claims)),
            "namespace": _encoded(namespace),
        }
        if self.root_ca:
            data["ca.crt"] = _encoded(self.root_ca)
        secret: dict[str, Any] = {
            "metadata": {
                "name": name,
                "namespace": namespace,
                "annotations": {ACCOUNT_NAME: name_of(account), ACCOUNT_UID: uid_of(account)},
            },
            "type": TOKEN_SECRET,
            "data": data,
        }
        self._made.begins(uid_of(account))
        try:
            created = await self.client.create(self.kinds.core("Secret"), secret)
        except AlreadyExists:
            raise  # five letters that were taken: the next try has others
        except ApiError as error:
            if _is_over(error):
                return None
            if isinstance(error, (Forbidden, Invalid)):
                await self.recorder.record(
                    self.kinds.core("ServiceAccount"),
                    account,
                    "Warning",
                    "TokenRefused",
                    f"its token cannot be created: {error}",
                )
            raise
        self._made.done(uid_of(account), created)
        self._vetted[uid_of(created)] = (data["token"], uid_of(account))
        self.log.debug("created token", secret=name, namespace=namespace, account=name_of(account))
        return name

    async def _refer(self, account: Object, secret: str, stale: list[str]) -> None:
        """Adds the reference to a Secret and takes the stale ones away."""
        if secret in references(account) and not stale:
            return
        changed = thaw(account)
        kept = [e for e in changed.get("secrets") or () if e.get("name") not in stale]
        if secret not in references(account):
            kept.append({"name": secret})
        changed["secrets"] = kept
        try:
            await self._write_account(changed)
        except NotFound:
            return  # the end of the account has its own key

    async def _remove_reference(self, key: GoneSecret) -> None:
        """Removes what refers to a Secret that is no more."""
        kind = self.kinds.core("ServiceAccount")
        try:
            await self.client.get(self.kinds.core("Secret"), key.secret, key.namespace)
        except NotFound:
            pass
        else:
            return  # there is one of that name again
        try:
            account = await self.client.get(kind, key.account, key.namespace)
        except NotFound:
            return
        if key.secret not in references(account):
            return
        changed = thaw(account)
        changed["secrets"] = [
            entry for entry in changed["secrets"] if entry.get("name") != key.secret
        ]
        try:
            await self._write_account(changed)
        except NotFound:
            return
        self.log.info(
            "removed reference", secret=key.secret, account=f"{key.namespace}/{key.account}"
        )
