"""What a service-account token says.

A legacy token lives in a Secret, names it, and has no expiry: it dies with its Secret or its account.

upstream: pkg/serviceaccount/legacy.go
"""

import base64
import binascii
from typing import Any, Final

import orjson
from verger.identity.keys import SigningKey

LEGACY_ISSUER: Final = "kubernetes/serviceaccount"
_PREFIX: Final = "kubernetes.io/serviceaccount"
_PARTS: Final = 3


def username(namespace: str, account: str) -> str:
    """The user that a service account is."""
    return f"system:serviceaccount:{namespace}:{account}"


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


def says(token: str, claims: dict[str, object], key: SigningKey) -> bool:
    """Whether a stored token still says exactly these claims, and is no forgery under this key.

    This is how damage is noticed, not how a token is verified: a token that another key has signed is taken as it is,
    since that key may still be accepted where the token is used.
    """
    parts = token.split(".")
    if len(parts) != _PARTS:
        return False
    try:
        header, payload = (_json(part) for part in parts[:2])
    except (ValueError, binascii.Error):
        return False
    if payload != claims or not isinstance(header, dict):
        return False
    if header.get("kid") != key.kid:
        return True
    # Only damaged or foreign tokens come here; the library costs more to load than a plane to start.
    import jwt

    try:
        jwt.decode(
            token,
            key.public_key,
            algorithms=[key.algorithm],
            issuer=LEGACY_ISSUER,
            options={"require": ["iss", "sub"]},
        )
    except jwt.InvalidTokenError:
        return False
    return True


def _json(part: str) -> Any:
    return orjson.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
