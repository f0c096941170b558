"""Are the objects that a token names still there, and is its time not over? A token dies with its account, its Secret,
its Pod or its Node, at once.

The objects are read from the store itself, not from a cache of it: there is no time in which a revoked token is still
good.

upstream: pkg/serviceaccount/{legacy,claims}.go; the messages are compatibility facts
"""

import base64
import hmac
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from verger.identity.tokens import Claims, Reference, TokenError, groups_of, username
from verger.store.backend import Backend
from verger.store.objects import is_terminating, key_of, labels_of, meta, uid_of
from verger.store.request import AUTHENTICATED, User
from verger.store.timestamps import parse

LEEWAY: Final = 60.0
"""Seconds by which clocks may differ, and for which a bound token outlives the beginning of a deletion."""
INVALID_SINCE: Final = "kubernetes.io/legacy-token-invalid-since"
LAST_USED: Final = "kubernetes.io/legacy-token-last-used"
AUTO_GENERATED_WARNING: Final = (
    "Use tokens from the TokenRequest API or manually created secret-based tokens instead of auto-generated "
    "secret-based tokens."
)


class MarkedInvalid(TokenError):
    """A legacy token that nobody used for so long that it was marked; that somebody wants to is worth noting."""

    def __init__(self, message: str, secret: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.secret = secret


class Lookup(Protocol):
    """Reads objects of the core group as they are now."""

    def get(self, plural: str, namespace: str, name: str) -> Mapping[str, Any] | None:
        """The object, None when there is no such one."""


class StoreLookup:
    """Reads the store itself."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def get(self, plural: str, namespace: str, name: str) -> Mapping[str, Any] | None:
        """The newest version of the object."""
        row = self._backend.get(plural, key_of(namespace, name))
        return row.object if row is not None else None


class Proven(NamedTuple):
    """Whom a token stands for."""

    user: User
    warnings: tuple[str, ...] = ()
    used_secret: Mapping[str, Any] | None = None
    """Of a legacy token: the Secret that it lives in."""


def _deleted_before(obj: Mapping[str, Any], moment: float) -> bool:
    stamp = meta(obj).get("deletionTimestamp")
    return stamp is not None and parse(stamp) < moment


def validate(claims: Claims, token: str, lookup: Lookup, now: float) -> Proven:
    """Whom the token stands for, if everything that it depends on is as it was. Raises TokenError."""
    if claims.legacy:
        return _legacy(claims, token, lookup)
    return _bound(claims, lookup, now)


def check_times(
    not_before: int | None, expires: int | None, issued_at: int | None, *, now: float
) -> None:
    """Whether it is the time of a token; a token is good up to and including the edges. Raises TokenError."""
    if not_before is not None and now + LEEWAY < not_before:
        raise TokenError("service account token is not valid yet")
    if expires is not None and now - LEEWAY > expires:
        raise TokenError("service account token has expired")
    if issued_at is not None and now + LEEWAY < issued_at:
        raise TokenError("service account token is issued in the future")


def _legacy(claims: Claims, token: str, lookup: Lookup) -> Proven:
    secret_name = claims.secret.name if claims.secret is not None else ""
    namespace, account = claims.namespace, claims.account
    for value, what in (
        (claims.subject, "sub"),
        (namespace, "namespace"),
        (secret_name, "secretName"),
        (account.name, "serviceAccountName"),
        (account.uid, "serviceAccountUID"),
    ):
        if not value:
            raise TokenError(f"{what} claim is missing")
    if claims.subject != username(namespace, account.name):
        raise TokenError("sub claim is invalid")
    secret = lookup.get("secrets", namespace, secret_name)
    if secret is None or meta(secret).get("deletionTimestamp"):
        raise TokenError("Token has been invalidated")
    stored = base64.b64decode((secret.get("data") or {}).get("token") or "")
    if not hmac.compare_digest(stored, token.encode()):
        raise TokenError("Token does not match server's copy")
    found = lookup.get("serviceaccounts", namespace, account.name)
    if found is None:
        raise TokenError(f'serviceaccounts "{account.name}" not found')
    if meta(found).get("deletionTimestamp"):
        raise TokenError(f"ServiceAccount {namespace}/{account.name} has been deleted")
    if uid_of(found) != account.uid:
        raise TokenError(
            f"ServiceAccount UID ({uid_of(found)}) does not match claim ({account.uid})"
        )
    if labels_of(secret).get(INVALID_SINCE):
        raise MarkedInvalid(
            f"the token in secret {namespace}/{secret_name} for service account {namespace}/{account.name} has been "
            "marked invalid. Use tokens from the TokenRequest API or manually created secret-based tokens, or remove "
            f"the '{INVALID_SINCE}' label from the secret to temporarily allow use of this token",
            secret,
        )
    referred = any(item.get("name") == secret_name for item in found.get("secrets") or ())
    user = User(claims.subject, account.uid, (*groups_of(namespace), AUTHENTICATED))
    return Proven(user, (AUTO_GENERATED_WARNING,) if referred else (), secret)


def _bound(claims: Claims, lookup: Lookup, now: float) -> Proven:
    check_times(claims.not_before, claims.expires, claims.issued_at, now=now)
    namespace, account = claims.namespace, claims.account
    found = lookup.get("serviceaccounts", namespace, account.name)
    if found is None:
        raise TokenError(f'serviceaccounts "{account.name}" not found')
    if uid_of(found) != account.uid:
        raise TokenError(
            f"service account UID ({uid_of(found)}) does not match claim ({account.uid})"
        )
    if _deleted_before(found, now - LEEWAY):
        raise TokenError(f"service account {namespace}/{account.name} has been deleted")
    extra: dict[str, tuple[str, ...]] = {}
    prefix = "authentication.kubernetes.io"
    if claims.jti:
        extra[f"{prefix}/credential-id"] = (f"JTI={claims.jti}",)
    if claims.secret is not None:
        _still_there(claims.secret, "secrets", "secret", namespace, lookup, now)
    if claims.pod is not None:
        _still_there(claims.pod, "pods", "pod", namespace, lookup, now)
        if claims.pod.name and claims.pod.uid:
            extra[f"{prefix}/pod-name"] = (claims.pod.name,)
            extra[f"{prefix}/pod-uid"] = (claims.pod.uid,)
    if claims.node is not None:
        if claims.pod is None:
            _still_there(claims.node, "nodes", "node", "", lookup, now)
        # With a pod, the node is where the pod was: something to know, not something to depend on.
        if claims.node.name:
            extra[f"{prefix}/node-name"] = (claims.node.name,)
            if claims.node.uid:
                extra[f"{prefix}/node-uid"] = (claims.node.uid,)
    groups: Sequence[str] = (*groups_of(namespace), AUTHENTICATED)
    return Proven(User(claims.subject, account.uid, tuple(groups), extra))


def _still_there(
    reference: Reference, plural: str, word: str, namespace: str, lookup: Lookup, now: float
) -> None:
    found = lookup.get(plural, namespace, reference.name)
    if found is None or _deleted_before(found, now - LEEWAY):
        raise TokenError("service account token has been invalidated")
    if uid_of(found) != reference.uid:
        raise TokenError(
            f"{word} UID ({uid_of(found)}) does not match service account {word} ref claim ({reference.uid})"
        )


class Known:
    """A token whose signature is good, and whom it stood for when the objects that it depends on were last looked at.

    Versions of objects never change: as long as the store has the very same ones, nothing about them has to be judged
    again. The time is another matter.
    """

    __slots__ = ("_proven", "_seen", "claims")

    def __init__(self, claims: Claims) -> None:
        self.claims = claims
        self._proven: Proven | None = None
        self._seen: Sequence[_Seen] = ()

    def still(self, lookup: Lookup, now: float) -> Proven | None:
        """Whom it stands for if nothing has changed, else None. Raises TokenError when its time is over."""
        if self._proven is None:
            return None
        for seen in self._seen:
            if lookup.get(seen.plural, seen.namespace, seen.name) is not seen.object:
                return None
        claims = self.claims
        if not claims.legacy:
            check_times(claims.not_before, claims.expires, claims.issued_at, now=now)
        return self._proven

    def prove(self, token: str, lookup: Lookup, now: float) -> Proven:
        """Whom it stands for. Raises TokenError."""
        noting = _NotingLookup(lookup)
        proven = validate(self.claims, token, noting, now)
        # What is being deleted is good for a while, and then no more, without any change.
        if not any(is_terminating(seen.object) for seen in noting.seen):
            self._proven, self._seen = proven, noting.seen
        return proven


class _Seen(NamedTuple):
    plural: str
    namespace: str
    name: str
    object: Mapping[str, Any]


class _NotingLookup:
    """Notes what it finds."""

    def __init__(self, inner: Lookup) -> None:
        self._inner = inner
        self.seen: list[_Seen] = []

    def get(self, plural: str, namespace: str, name: str) -> Mapping[str, Any] | None:
        found = self._inner.get(plural, namespace, name)
        if found is not None:
            self.seen.append(_Seen(plural, namespace, name, found))
        return found
