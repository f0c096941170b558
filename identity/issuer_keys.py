"""The keys of an issuer of which nothing is known but its URL: how those who are not this server verify its tokens.

What is found is believed only as far as TLS vouches for it, and only when the document names the very issuer that was
asked for.

spec: OpenID Connect Discovery 1.0, section 4
"""

import ssl
from typing import Any, Final

import orjson
from verger.identity.keys import InvalidKey, KeySet, parse_jwks
from verger.identity.oidc import DISCOVERY_PATH, InvalidIssuer, check_issuer, check_jwks_uri

DOCUMENT_MAX: Final = 1 << 20
"""Bytes of a document; no issuer has so many keys."""
PATIENCE: Final = 10.0
"""Seconds for both documents."""


class DiscoveryError(Exception):
    """The keys of the issuer are not to be had; the message says what to do about it."""


async def discover(issuer: str, *, authority: bytes = b"") -> KeySet:
    """The keys with which an issuer signs. Raises DiscoveryError.

    `authority` holds the certificates, in PEM, that vouch for the issuer's server; empty for those of the machine.
    """
    try:
        check_issuer(issuer)
    except InvalidIssuer as error:
        raise DiscoveryError(str(error)) from None
    import aiohttp

    context = _context(authority)
    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    async with aiohttp.ClientSession(timeout=timeout, trust_env=True) as session:

        async def fetch(url: str) -> Any:
            try:
                # A redirection could lead to where nobody vouches for anything.
                async with session.get(url, ssl=context, allow_redirects=False) as answer:
                    if answer.status != 200:
                        raise DiscoveryError(f"{url} answers with {answer.status}, and no document")
                    text = await answer.content.read(DOCUMENT_MAX + 1)
                    while len(text) <= DOCUMENT_MAX and not answer.content.at_eof():
                        text += await answer.content.read(DOCUMENT_MAX)
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                why = str(error) or type(error).__name__
                raise DiscoveryError(f"cannot get {url}: {why}") from None
            return _parsed(text, url)

        document = await fetch(issuer.rstrip("/") + DISCOVERY_PATH)
        stated = document.get("issuer")
        if stated != issuer:
            raise DiscoveryError(f"what stands at {issuer} is the document of {stated!r}")
        uri = str(document.get("jwks_uri") or "")
        try:
            check_jwks_uri(uri)
            return KeySet(parse_jwks(await fetch(uri)))
        except InvalidIssuer as error:
            raise DiscoveryError(f"{issuer}: {error}") from None
        except InvalidKey as error:
            raise DiscoveryError(f"{uri}: {error}") from None


def _context(authority: bytes) -> ssl.SSLContext:
    if not authority:
        return ssl.create_default_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=authority.decode("ascii"))
    except (ssl.SSLError, ValueError):
        raise DiscoveryError("the certificate authority is no certificate in PEM") from None
    return context


def _parsed(text: bytes, url: str) -> dict[str, Any]:
    try:
        document = orjson.loads(text) if len(text) <= DOCUMENT_MAX else None
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict):
        raise DiscoveryError(f"{url} holds no document of an issuer")
    return document
