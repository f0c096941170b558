"""Tokens as somebody sees them who has nothing but a plane's URL and its public keys.

No token and no signature ever leaves this file: what is handed out is what a token says, and whether it is good.
"""

import base64
import binascii
import json
import ssl
from collections import OrderedDict
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final, NamedTuple

import aiohttp
import jwt
from verger.embed.plane import ControlPlane

_KEPT: Final = 8192
"""Tokens whose signature is known to be good or bad, by their hash."""
SHOWN_MAX: Final = 4096
"""Characters of a token that is looked into; nobody signs a longer one here."""


class Token(NamedTuple):
    """What a token says."""

    algorithm: str
    kid: str
    claims: Mapping[str, Any]


class Verifier:
    """Checks the tokens of one plane against the keys that it publishes."""

    def __init__(self, plane: ControlPlane, session: aiohttp.ClientSession) -> None:
        self._plane = plane
        self._session = session
        self._tls = ssl.create_default_context(cadata=plane.ca.decode())
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._known: OrderedDict[bytes, bool] = OrderedDict()
        self.checked = 0
        """Signatures that were verified."""

    @property
    def kids(self) -> list[str]:
        """The keys that were published when they were last fetched, the signing one first."""
        return list(self._keys)

    async def fetch(self) -> None:
        """Asks the plane for its keys."""
        headers = {"Authorization": f"Bearer {self._plane.token}"}
        url = f"{self._plane.url}/openid/v1/jwks"
        async with self._session.get(url, headers=headers, ssl=self._tls) as answer:
            found = jwt.PyJWKSet.from_dict(await answer.json(content_type=None))
        keys = {key.key_id: key for key in found.keys if key.key_id}
        if list(keys) != list(self._keys):
            self._known.clear()
        self._keys = keys

    def known(self, token: str) -> bool | None:
        """Whether the signature is good, None when it has not been checked."""
        return self._known.get(_hash(token))

    def verify(self, token: str) -> bool:
        """Whether one of the keys has signed it. It takes a tenth of a millisecond the first time."""
        known = self._known.get(_hash(token))
        if known is None:
            known = self._known[_hash(token)] = self._verify(token)
            if len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return known

    def _verify(self, token: str) -> bool:
        self.checked += 1
        try:
            header = jwt.get_unverified_header(token)
            key = self._keys[header["kid"]]
            jwt.decode(token, key, algorithms=[header["alg"]], options={"verify_aud": False})
        except (jwt.InvalidTokenError, KeyError, ValueError):
            return False
        return True

    async def status(self, token: str) -> int:
        """What the API answers to whoever shows the token."""
        headers = {"Authorization": f"Bearer {token}"}
        async with self._session.get(
            f"{self._plane.url}/api", headers=headers, ssl=self._tls
        ) as answer:
            return answer.status


def _hash(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogatepass")).digest()


def token_in(secret: Mapping[str, Any]) -> str:
    """The token that a Secret holds, empty when it holds none that is text."""
    try:
        return base64.b64decode((secret.get("data") or {}).get("token") or "").decode()
    except ValueError:
        return ""


def read(token: str) -> Token | None:
    """What a token says, whoever has signed it; None when it is no token."""
    parts = token.split(".") if len(token) <= SHOWN_MAX else []
    if len(parts) != 3:
        return None
    try:
        header, claims = (
            json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
            for part in parts[:2]
        )
    except (ValueError, binascii.Error):
        return None
    if not isinstance(header, dict) or not isinstance(claims, dict):
        return None
    return Token(str(header.get("alg", "")), str(header.get("kid", "")), claims)


def forged(token: str) -> str:
    """The same token with one letter of its signature changed."""
    body, _, signature = token.rpartition(".")
    # The first letter is part of the signature in full; the last one has bits that mean nothing.
    return f"{body}.{'B' if signature[:1] == 'A' else 'A'}{signature[1:]}"
