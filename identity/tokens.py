"""What a service-account token says, and whether it is one of ours.

A legacy token lives in a Secret, names it, and has no expiry: it dies with its Secret or its account. A bound token
comes from a TokenRequest, has an audience and an expiry, and may be bound to a Pod, a Secret or a Node.

`verify` raises, and what it returns has been signed by one of the keys; whether the objects that it names are still
there is another question (`validate`). Signatures are checked by pyjwt on the level of JWS, with the one algorithm of
the key; the claims are judged here, by the clock that is passed in.

upstream: pkg/serviceaccount/{jwt,legacy,claims}.go
"""

import base64
import binascii
import json
from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple

import orjson
from verger.identity.keys import KeySet, VerifyingKey
from verger.identity.signing import SigningKey
from verger.store.invalid import quote

LEGACY_ISSUER: Final = "kubernetes/serviceaccount"
TOKEN_MAX: Final = 16 * 1024
"""Bytes of a token; longer ones are not looked at."""
_PREFIX: Final = "kubernetes.io/serviceaccount"
_PARTS: Final = 3


class TokenError(Exception):
    """The token is not good. The message is for logs and TokenReviews, never for whoever sent it."""


class NotOurs(TokenError):
    """It is no token of this issuer at all: somebody else may know it."""


class WrongAudience(TokenError):
    """It is for others."""


class Reference(NamedTuple):
    """An object that a token names."""

    name: str
    uid: str


class Claims(NamedTuple):
    """What a token says, once its signature has been found good."""

    legacy: bool
    issuer: str
    subject: str
    namespace: str
    account: Reference
    audiences: tuple[str, ...]
    secret: Reference | None = None
    pod: Reference | None = None
    node: Reference | None = None
    jti: str = ""
    not_before: int | None = None
    issued_at: int | None = None
    expires: int | None = None
    warn_after: int | None = None


def username(namespace: str, account: str) -> str:
    """The user that a service account is."""
    return f"system:serviceaccount:{namespace}:{account}"


def groups_of(namespace: str) -> tuple[str, str]:
    """The groups of every account of a namespace."""
    return "system:serviceaccounts", f"system:serviceaccounts:{namespace}"


# What tokens say


def legacy_claims(namespace: str, account: str, account_uid: str, secret: str) -> dict[str, object]:
    """The claims of a Secret's token, in the order in which they are written: by name."""
    return {
        "iss": LEGACY_ISSUER,
        f"{_PREFIX}/namespace": namespace,
        f"{_PREFIX}/secret.name": secret,
        f"{_PREFIX}/service-account.name": account,
        f"{_PREFIX}/service-account.uid": account_uid,
        "sub": username(namespace, account),
    }


def bound_claims(
    *,
    issuer: str,
    audiences: Sequence[str],
    namespace: str,
    account: Reference,
    now: int,
    expires: int,
    jti: str,
    secret: Reference | None = None,
    pod: Reference | None = None,
    node: Reference | None = None,
    warn_after: int | None = None,
) -> dict[str, object]:
    """The claims of a TokenRequest's token, by name. Times are seconds since the epoch."""
    bound: dict[str, object] = {"namespace": namespace}
    if node is not None:
        bound["node"] = {"name": node.name, "uid": node.uid} if node.uid else {"name": node.name}
    if pod is not None:
        bound["pod"] = {"name": pod.name, "uid": pod.uid}
    if secret is not None:
        bound["secret"] = {"name": secret.name, "uid": secret.uid}
    bound["serviceaccount"] = {"name": account.name, "uid": account.uid}
    if warn_after is not None:
        bound["warnafter"] = warn_after
    out: dict[str, object] = {"aud": list(audiences)} if audiences else {}
    return {
        **out,
        "exp": expires,
        "iat": now,
        "iss": issuer,
        "jti": jti,
        "kubernetes.io": bound,
        "nbf": now,
        "sub": username(namespace, account.name),
    }


def says(token: str, claims: dict[str, object], key: SigningKey) -> bool:
    """Whether a stored token still says exactly these claims, and is no forgery under this key.

    This is how damage is noticed, not how a token is verified: a token that another key has signed is taken as it is,
    since that key may still be accepted where the token is used.
    """
    try:
        header, payload = header_of(token), payload_of(token)
    except NotOurs:
        return False
    if payload != claims:
        return False
    if header.get("kid") != key.kid:
        return True
    try:
        verify(token, keys=KeySet([VerifyingKey.of(key.public_key)]), issuers=(LEGACY_ISSUER,))
    except TokenError:
        return False
    return True


# Verification


def verify(token: str, *, keys: KeySet, issuers: Collection[str]) -> Claims:
    """What a token says, if one of the keys has signed it for one of the issuers. Raises TokenError.

    Nothing of the token is believed before its signature has been found good, except the issuer and the kid, which
    only say who is to look at it.
    """
    header = header_of(token)
    issuer = payload_of(token).get("iss")
    if not isinstance(issuer, str) or issuer not in issuers:
        raise NotOurs("invalid bearer token")
    if "crit" in header:
        raise TokenError("invalid signature, the token asks for extensions that nobody here knows")
    kid = header.get("kid") or ""
    candidates = keys.find(kid) if isinstance(kid, str) else ()
    if not candidates:
        raise TokenError("invalid signature, no keys found")
    # The library costs more to load than a plane to start, and most planes are never shown a token.
    from jwt.api_jws import PyJWS
    from jwt.exceptions import InvalidTokenError

    jws = PyJWS()
    for key in candidates:
        try:
            jws.decode(token, key=key.key, algorithms=[key.algorithm])
        except InvalidTokenError:
            continue
        return _claims(payload_of(token))
    raise TokenError("invalid signature")


def check_audiences(claims: Claims, wanted: Sequence[str], own: Sequence[str]) -> tuple[str, ...]:
    """The audiences among the wanted ones that the token is for. Raises WrongAudience when there is none.

    A token without an audience is for `own`, those of this server; so is a request that wants none in particular.
    """
    held = claims.audiences or tuple(own)
    asked = tuple(wanted) or tuple(own)
    effective = tuple(audience for audience in asked if audience in held)
    if not effective and own:
        raise WrongAudience(
            f"token audiences {_listed(held)} is invalid for the target audiences {_listed(asked)}"
        )
    return effective


def _listed(items: Sequence[str]) -> str:
    return f"[{' '.join(quote(item) for item in items)}]"


def _part(token: str, index: int) -> dict[str, Any]:
    parts = token.split(".") if len(token) <= TOKEN_MAX else []
    if len(parts) != _PARTS or token.startswith("{") or not token.isascii():
        raise NotOurs("invalid bearer token")
    part = parts[index]
    try:
        if "=" in part:
            raise ValueError
        raw = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
        orjson.loads(raw)  # refuses what Python alone takes for JSON: NaN, and halves of characters
        # A claim that stands there twice means one thing to one reader and another to the next.
        value = json.loads(raw, object_pairs_hook=_unique)
    except (ValueError, binascii.Error, RecursionError):
        raise NotOurs("invalid bearer token") from None
    if not isinstance(value, dict):
        raise NotOurs("invalid bearer token")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise ValueError
    return out


def header_of(token: str) -> dict[str, Any]:
    """What stands in front of the claims. Believe nothing of it. Raises NotOurs."""
    return _part(token, 0)


def payload_of(token: str) -> dict[str, Any]:
    """The claims, whoever may have written them. Raises NotOurs."""
    return _part(token, 1)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TokenError("a claim of the token is no text where it has to be")
    return value


def _seconds(value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e15:
        raise TokenError("a claim of the token is no time where it has to be")
    return int(value)


def _reference(value: Any) -> Reference | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise TokenError("a claim of the token is no reference where it has to be")
    return Reference(_text(value.get("name")), _text(value.get("uid")))


def _claims(payload: dict[str, Any]) -> Claims:
    audiences = payload.get("aud") or ()
    if isinstance(audiences, str):
        audiences = (audiences,)
    if not isinstance(audiences, (list, tuple)) or not all(isinstance(a, str) for a in audiences):
        raise TokenError("the audience of the token is no text and no list of texts")
    issuer, subject = _text(payload.get("iss")), _text(payload.get("sub"))
    if issuer == LEGACY_ISSUER:
        secret = _text(payload.get(f"{_PREFIX}/secret.name"))
        return Claims(
            legacy=True,
            issuer=issuer,
            subject=subject,
            namespace=_text(payload.get(f"{_PREFIX}/namespace")),
            account=Reference(
                _text(payload.get(f"{_PREFIX}/service-account.name")),
                _text(payload.get(f"{_PREFIX}/service-account.uid")),
            ),
            audiences=tuple(audiences),
            secret=Reference(secret, ""),
        )
    bound = payload.get("kubernetes.io")
    if not isinstance(bound, dict):
        raise TokenError("the token names no service account")
    account = _reference(bound.get("serviceaccount"))
    if account is None:
        raise TokenError("the token names no service account")
    claims = Claims(
        legacy=False,
        issuer=issuer,
        subject=subject,
        namespace=_text(bound.get("namespace")),
        account=account,
        audiences=tuple(audiences),
        secret=_reference(bound.get("secret")),
        pod=_reference(bound.get("pod")),
        node=_reference(bound.get("node")),
        jti=_text(payload.get("jti")),
        not_before=_seconds(payload.get("nbf")),
        issued_at=_seconds(payload.get("iat")),
        expires=_seconds(payload.get("exp")),
        warn_after=_seconds(bound.get("warnafter")),
    )
    if subject != username(claims.namespace, account.name):
        raise TokenError("sub claim is invalid")
    return claims
