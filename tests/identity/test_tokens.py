"""What the token of a Secret says, and how damage to it is noticed."""

import base64
import json
from collections.abc import Callable
from typing import Any

import jwt
import orjson
import pytest
from verger.identity.keys import KeySet, VerifyingKey
from verger.identity.signing import SigningKey
from verger.identity.tokens import (
    LEGACY_ISSUER,
    NotOurs,
    TokenError,
    legacy_claims,
    says,
    username,
    verify,
)

PREFIX = "kubernetes.io/serviceaccount"
CLAIMS = legacy_claims("ns", "sa", "uid-1", "secret-1")


def part(value: Any) -> str:
    """One part of a token."""
    return base64.urlsafe_b64encode(orjson.dumps(value)).rstrip(b"=").decode()


@pytest.fixture(scope="module")
def key() -> SigningKey:
    """The plane's key."""
    return SigningKey.generate()


def test_claims() -> None:
    """Six claims, by name; no audience, no times, no id."""
    expected = {
        "iss": "kubernetes/serviceaccount",
        f"{PREFIX}/namespace": "ns",
        f"{PREFIX}/secret.name": "secret-1",
        f"{PREFIX}/service-account.name": "sa",
        f"{PREFIX}/service-account.uid": "uid-1",
        "sub": "system:serviceaccount:ns:sa",
    }
    assert legacy_claims("ns", "sa", "uid-1", "secret-1") == expected


async def test_claims_are_written_in_the_order_of_their_names(key: SigningKey) -> None:
    """The payload is compact JSON with sorted keys: the same claims are the same bytes."""
    payload = (await key.sign(CLAIMS)).split(".")[1]
    text = base64.urlsafe_b64decode(payload + "==").decode()
    assert text == json.dumps(CLAIMS, sort_keys=True, separators=(",", ":"))


def test_username() -> None:
    """The user of an account."""
    assert username("foo", "bar") == "system:serviceaccount:foo:bar"


Make = Callable[[str, SigningKey], str]


def with_claims(**changes: Any) -> Make:
    """Other claims under the signature of the good ones."""

    def make(token: str, _: SigningKey) -> str:
        parts = token.split(".")
        parts[1] = part({**CLAIMS, **changes})
        return ".".join(parts)

    return make


def replaced(index: int, by: str) -> Make:
    """One part of the token replaced."""

    def make(token: str, _: SigningKey) -> str:
        parts = token.split(".")
        parts[index] = by
        return ".".join(parts)

    return make


def resigned(algorithm: str, secret: str) -> Make:
    """Signed by a method that needs no private key, under our kid."""

    def make(_: str, key: SigningKey) -> str:
        made: str = jwt.encode(CLAIMS, secret, algorithm=algorithm, headers={"kid": key.kid})
        return made

    return make


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda t, k: "", id="nothing"),
        pytest.param(lambda t, k: "scribble", id="no token at all"),
        pytest.param(lambda t, k: "a.b.c", id="three parts of nonsense"),
        pytest.param(lambda t, k: t.rsplit(".", 1)[0], id="no signature"),
        pytest.param(lambda t, k: t + ".x", id="a part more"),
        pytest.param(lambda t, k: t[:-2], id="a signature that is cut off"),
        pytest.param(lambda t, k: t + "A", id="a signature that is too long"),
        pytest.param(lambda t, k: f" {t}", id="a blank before it"),
        pytest.param(lambda t, k: f"{t}\n", id="a line end behind it"),
        pytest.param(replaced(2, ""), id="an empty signature"),
        pytest.param(replaced(2, "A" * 86), id="a signature of nothing"),
        pytest.param(replaced(1, "e30"), id="no claims"),
        pytest.param(replaced(1, "W10"), id="claims that are a list"),
        pytest.param(replaced(0, "bnVsbA"), id="a header that is null"),
        pytest.param(replaced(0, "!!!!"), id="a header that is no base64"),
        pytest.param(with_claims(sub="system:serviceaccount:ns:admin"), id="another subject"),
        pytest.param(with_claims(exp=1), id="a claim more"),
        pytest.param(with_claims(iss="me"), id="another issuer"),
        pytest.param(lambda t, k: t.swapcase(), id="another case"),
        pytest.param(resigned("HS256", "x" * 32), id="a shared secret instead of a key"),
    ],
)
async def test_damage_is_noticed(key: SigningKey, make: Make) -> None:
    """Anything but the very claims under a good signature is not what the token should say."""
    good = await key.sign(CLAIMS)
    assert says(good, CLAIMS, key)
    assert says(make(good, key), CLAIMS, key) is False


async def test_alg_none_under_our_kid_is_noticed(key: SigningKey) -> None:
    """A token that says it needs no signature is none, whatever the case of that word."""
    for algorithm in ("none", "None", "NONE"):
        header = part({"alg": algorithm, "kid": key.kid})
        assert not says(f"{header}.{part(CLAIMS)}.", CLAIMS, key)


@pytest.mark.parametrize("name", list(CLAIMS))
async def test_every_claim_counts(key: SigningKey, name: str) -> None:
    """A token of our own that says something else of one thing, or nothing of it, is another token."""
    for changed in ({**CLAIMS, name: "other"}, {k: v for k, v in CLAIMS.items() if k != name}):
        assert not says(await key.sign(changed), CLAIMS, key)


async def test_tokens_of_other_keys_are_taken_as_they_are(key: SigningKey) -> None:
    """What another key signed cannot be judged here, and may be accepted elsewhere: only its claims count."""
    other = SigningKey.generate()
    assert says(await other.sign(CLAIMS), CLAIMS, key)
    assert not says(await other.sign({**CLAIMS, "sub": "x"}), CLAIMS, key)


async def test_forgery_under_our_kid(key: SigningKey) -> None:
    """Another key that calls itself ours is found out."""
    other = SigningKey.generate()
    _, payload, signature = (await other.sign(CLAIMS)).split(".")
    header = part({"alg": "ES256", "kid": key.kid})
    assert not says(f"{header}.{payload}.{signature}", CLAIMS, key)


# Verification


def ring(*keys: SigningKey) -> KeySet:
    """The public halves."""
    return KeySet([VerifyingKey.of(key.public_key) for key in keys])


async def test_verified_claims(key: SigningKey) -> None:
    """A legacy token tells its namespace, account, uid and Secret."""
    other = SigningKey.generate()
    claims = verify(await key.sign(CLAIMS), keys=ring(other, key), issuers={LEGACY_ISSUER})
    assert claims.legacy
    assert claims.subject == "system:serviceaccount:ns:sa"
    assert (claims.namespace, *claims.account) == ("ns", "sa", "uid-1")
    assert claims.secret is not None
    assert claims.secret.name == "secret-1"
    assert claims.audiences == ()


async def test_token_without_a_kid(key: SigningKey) -> None:
    """Old tokens name no key: each is tried."""
    header = part({"alg": "ES256"})
    made = SigningKey(key._key)
    made._header = header.encode()
    token = await made.sign(CLAIMS)
    assert verify(token, keys=ring(SigningKey.generate(), key), issuers={LEGACY_ISSUER})
    with pytest.raises(TokenError):
        verify(token, keys=ring(SigningKey.generate()), issuers={LEGACY_ISSUER})


@pytest.mark.parametrize(
    ("change", "error"),
    [
        pytest.param({"iss": "somebody"}, NotOurs, id="another issuer is somebody else's token"),
        pytest.param({"iss": None}, NotOurs, id="no issuer"),
        pytest.param({"iss": ["kubernetes/serviceaccount"]}, NotOurs, id="a list of issuers"),
    ],
)
async def test_issuer(key: SigningKey, change: dict[str, Any], error: type[Exception]) -> None:
    """Only tokens of our issuers are looked at any further."""
    with pytest.raises(error):
        verify(await key.sign({**CLAIMS, **change}), keys=ring(key), issuers={LEGACY_ISSUER})


@pytest.mark.parametrize(
    "header",
    [
        pytest.param({"alg": "none"}, id="alg none"),
        pytest.param({"alg": "HS256"}, id="a shared secret"),
        pytest.param({"alg": "RS256"}, id="the algorithm of another sort of key"),
        pytest.param({"alg": "ES384"}, id="the algorithm of another curve"),
        pytest.param({"kid": "other"}, id="a kid that nobody has"),
        pytest.param({"kid": 5}, id="a kid that is no text"),
        pytest.param({"crit": ["b64"], "b64": False}, id="extensions that nobody knows"),
    ],
)
async def test_header_decides_nothing(key: SigningKey, header: dict[str, Any]) -> None:
    """The algorithm is that of the key, and a header that says otherwise makes the token a bad one."""
    made = SigningKey(key._key)
    made._header = part({"alg": "ES256", "kid": key.kid, **header}).encode()
    with pytest.raises(TokenError):
        verify(await made.sign(CLAIMS), keys=ring(key), issuers={LEGACY_ISSUER})


async def test_errors_do_not_quote_the_token(key: SigningKey) -> None:
    """No part of a token stands in the error that it leads to."""
    good = await key.sign(CLAIMS)
    bad = [good[:-3], good.replace(".", ".."), f"{good}.{good}", good[::-1]]
    for token in bad:
        with pytest.raises(TokenError) as caught:
            verify(token, keys=ring(key), issuers={LEGACY_ISSUER})
        assert not any(piece and piece in str(caught.value) for piece in token.split("."))
