"""The verifier against a plain one that is written straight from the RFCs, on tokens that somebody has tampered with."""

import asyncio
import base64
import binascii
import json
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st
from verger.identity.signing import SigningKey
from verger.identity.tokens import TokenError, payload_of, verify

from tests.identity.world import ISSUER, POD, claims, part, ring, signed

KEY = SigningKey.generate()
GOOD = asyncio.run(KEY.sign(claims(pod=POD)))
KEYS = ring(KEY)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def is_signed(token: str) -> bool:
    """RFC 7515 for ES256 and one key: three parts, canonical alphabet, our header, a signature over the first two."""
    parts = token.split(".")
    if len(parts) != 3 or not all(set(piece) <= set(ALPHABET) for piece in parts):
        return False
    try:
        raw = [base64.urlsafe_b64decode(piece + "=" * (-len(piece) % 4)) for piece in parts]
        header = json.loads(raw[0])
    except (ValueError, binascii.Error):
        return False
    if not isinstance(header, dict) or header.get("alg") != "ES256" or len(raw[2]) != 64:
        return False
    if "crit" in header or header.get("kid") not in (KEY.kid, None, ""):
        return False
    r, s = int.from_bytes(raw[2][:32], "big"), int.from_bytes(raw[2][32:], "big")
    public = KEY.public_key
    assert isinstance(public, ec.EllipticCurvePublicKey)
    try:
        public.verify(
            encode_dss_signature(r, s), f"{parts[0]}.{parts[1]}".encode(), ec.ECDSA(hashes.SHA256())
        )
    except InvalidSignature:
        return False
    return True


def is_taken(token: str) -> bool:
    """What the verifier says; anything but a TokenError is a failure of the test."""
    said = ""
    try:
        verify(token, keys=KEYS, issuers=(ISSUER,))
    except TokenError as error:
        said = str(error)
    assert not any(piece[:20] in said for piece in GOOD.split("."))
    return not said


@st.composite
def tampered(draw: st.DrawFn) -> str:
    """A good token with some of its characters replaced, inserted, left out or moved."""
    token = GOOD
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(token) - 1))
        char = draw(st.one_of(st.sampled_from(f"{ALPHABET}.=+/ {{\n"), st.characters()))
        token = draw(
            st.sampled_from(
                [
                    token[:at] + char + token[at + 1 :],
                    token[:at] + char + token[at:],
                    token[:at] + token[at + 1 :],
                    token[:at] + token[at:][::-1],
                    token[at:] + token[:at],
                ]
            )
        )
    return token


@settings(max_examples=120, deadline=None)
@given(tampered())
def test_tampered_token(token: str) -> None:
    """What the plain verifier does not take, ours does not take either."""
    assert is_taken(token) <= is_signed(token)
    if is_taken(token):
        assert payload_of(token) == payload_of(GOOD)


@settings(max_examples=120, deadline=None)
@given(st.one_of(st.text(), st.binary().map(lambda b: b.decode("utf-8", "surrogateescape"))))
def test_garbage(text: str) -> None:
    """Nobody's text is a token, whatever is in it."""
    assert not is_taken(text)
    assert not is_taken(f"{part({'alg': 'ES256'})}.{part({'iss': ISSUER})}.{text}")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
NAMES = st.sampled_from(["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "kubernetes.io"])
BOUND = st.sampled_from(["namespace", "serviceaccount", "pod", "node", "secret", "warnafter"])


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(NAMES, JSON, max_size=3), st.dictionaries(BOUND, JSON, max_size=2))
def test_odd_claims_under_a_good_signature(
    changes: dict[str, Any], bound_changes: dict[str, Any]
) -> None:
    """A key that is trusted may still sign nonsense: it is refused in order, or it is an account's token."""
    good = claims(pod=POD)
    bound = {**good["kubernetes.io"], **bound_changes}  # type: ignore[dict-item]
    payload = json.dumps({**good, "kubernetes.io": bound, **changes}).encode()
    token = signed(KEY, {"alg": "ES256", "kid": KEY.kid}, payload)
    try:
        found = verify(token, keys=KEYS, issuers=(ISSUER,))
    except TokenError:
        return
    assert found.subject == f"system:serviceaccount:{found.namespace}:{found.account.name}"
    assert all(isinstance(audience, str) for audience in found.audiences)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.sampled_from(["alg", "kid", "typ", "cty", "crit", "b64", "jwk"]), JSON))
def test_odd_header_under_a_good_signature(header: dict[str, Any]) -> None:
    """Nothing that a header says makes more of a token than it is."""
    raw = json.dumps(header).encode()
    token = signed(KEY, raw, claims())
    assert is_taken(token) <= is_signed(token)
