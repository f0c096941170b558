"""How others verify our tokens: the discovery document of the issuer, and its public keys.

Whoever knows nothing but the issuer's URL finds the first at a fixed path below it, and the second where the first
says. Both can be served by this server, or written to files and served by any other.

upstream: pkg/serviceaccount/openidmetadata.go
"""

from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import orjson
from verger.identity.keys import KeySet

DISCOVERY_PATH: Final = "/.well-known/openid-configuration"
JWKS_PATH: Final = "/openid/v1/jwks"
DISCOVERY_TYPE: Final = "application/json"
JWKS_TYPE: Final = "application/jwk-set+json"
MAX_AGE: Final = 3600
"""Seconds for which others may keep the documents."""


class InvalidIssuer(ValueError):
    """Nobody could discover such an issuer; the message says why."""


class Published(NamedTuple):
    """One of the two documents."""

    body: bytes
    media_type: str


def check_issuer(issuer: str) -> None:
    """Whether tokens of the issuer can be verified by others. Raises InvalidIssuer."""
    if not issuer:
        raise InvalidIssuer("empty issuer URL")
    parts = urlsplit(issuer)
    if parts.scheme != "https":
        raise InvalidIssuer(f"issuer URL must use https scheme, got: {issuer}")
    if parts.query or issuer.endswith("?"):
        raise InvalidIssuer(f"issuer URL may not include a query, got: {issuer}")
    if parts.fragment or issuer.endswith("#"):
        raise InvalidIssuer(f"issuer URL may not include a fragment, got: {issuer}")


def check_jwks_uri(uri: str) -> None:
    """Whether keys may be published there. Raises InvalidIssuer."""
    if urlsplit(uri).scheme != "https":
        raise InvalidIssuer(f"jwksURI requires https scheme, parsed as: {uri}")


def discovery(issuer: str, jwks_uri: str, keys: KeySet) -> Published:
    """The document that says what the issuer does. Raises InvalidIssuer."""
    check_issuer(issuer)
    check_jwks_uri(jwks_uri)
    document: dict[str, Any] = {
        "issuer": issuer,
        "jwks_uri": jwks_uri,
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": keys.algorithms(),
    }
    return Published(orjson.dumps(document), DISCOVERY_TYPE)


def key_set(keys: KeySet) -> Published:
    """The public keys."""
    return Published(orjson.dumps(keys.jwks()), JWKS_TYPE)


class Issuer:
    """Publishes the documents of a ring of keys, as the keys are now."""

    def __init__(self, keys: KeySet, issuer: str, jwks_uri: str = "") -> None:
        self._keys = keys
        self._issuer = issuer
        self._jwks_uri = jwks_uri
        self.problem = ""
        """Why the issuer publishes nothing, empty when it does."""
        try:
            check_issuer(issuer)
            if jwks_uri:
                check_jwks_uri(jwks_uri)
        except InvalidIssuer as error:
            self.problem = str(error)

    def document(self, path: str, server: str) -> Published | None:
        """What stands at a path of the server at that URL, None when it is none of the two documents."""
        if self.problem:
            return None
        if path == DISCOVERY_PATH:
            return discovery(self._issuer, self._jwks_uri or server + JWKS_PATH, self._keys)
        return key_set(self._keys) if path == JWKS_PATH else None
