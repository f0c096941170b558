"""The public keys that verify the tokens of service accounts.

RSA keys sign RS256, EC keys ES256, ES384 or ES512: each key has the one algorithm. A key is known by its kid, the hash
of its public half, so that the same key has the same kid everywhere.
"""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

_EC_ALGORITHMS: Final = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_PEM_BLOCKS: Final = re.compile(
    rb"-----BEGIN [^-]+-----.*?-----END [^-]+-----\n?", re.DOTALL
).findall
RSA_MIN_BITS: Final = 2048
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey


class InvalidKey(ValueError):
    """It is no key that can sign or verify tokens; the message holds nothing of it."""


def algorithm_of(key: PublicKey) -> str:
    """The one algorithm that signatures of the key have. Raises InvalidKey."""
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < RSA_MIN_BITS:
            raise InvalidKey(
                f"an RSA key of {key.key_size} bits is too small, {RSA_MIN_BITS} are needed"
            )
        return "RS256"
    try:
        return _EC_ALGORITHMS[key.curve.name]
    except KeyError:
        raise InvalidKey("unknown private key curve, must be 256, 384, or 521") from None


def key_id(key: PublicKey) -> str:
    """The kid: base64url, without padding, of the SHA-256 of the public key's DER form. Published, never to change."""
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64url(hashlib.sha256(der).digest()).decode()


def base64url(data: bytes) -> bytes:
    """Base64 for URLs, without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=")


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """A public key that tokens may be signed with."""

    key: PublicKey
    kid: str
    algorithm: str

    @classmethod
    def of(cls, key: PublicKey) -> "VerifyingKey":
        """The verifying half under its kid. Raises InvalidKey."""
        return cls(key, key_id(key), algorithm_of(key))

    def jwk(self) -> dict[str, str]:
        """The key as JSON, its fields in upstream's order."""
        head = {"use": "sig"}
        if isinstance(self.key, rsa.RSAPublicKey):
            numbers = self.key.public_numbers()
            return {
                **head,
                "kty": "RSA",
                "kid": self.kid,
                "alg": self.algorithm,
                "n": _number(numbers.n),
                "e": _number(numbers.e),
            }
        point = self.key.public_numbers()
        size = (self.key.curve.key_size + 7) // 8
        return {
            **head,
            "kty": "EC",
            "kid": self.kid,
            "crv": f"P-{self.key.curve.key_size}",
            "alg": self.algorithm,
            "x": _number(point.x, size),
            "y": _number(point.y, size),
        }


def _number(value: int, size: int = 0) -> str:
    return base64url(value.to_bytes(size or (value.bit_length() + 7) // 8, "big")).decode()


def load_verifying_keys(path: Path) -> list[VerifyingKey]:
    """All keys of a PEM file; of private ones the public half. Raises OSError and InvalidKey."""
    found = []
    for block in _PEM_BLOCKS(path.read_bytes()):
        try:
            if b"PRIVATE KEY-----" in block:
                loaded = load_pem_private_key(block, password=None)
                public: object = loaded.public_key()
            elif b"BEGIN CERTIFICATE" in block:
                public = x509.load_pem_x509_certificate(block).public_key()
            else:
                public = load_pem_public_key(block)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise InvalidKey("one of its PEM blocks is no key, or one with a password") from None
        if not isinstance(public, (rsa.RSAPublicKey, ec.EllipticCurvePublicKey)):
            raise InvalidKey("only RSA and EC keys can verify tokens")
        found.append(VerifyingKey.of(public))
    if not found:
        raise InvalidKey("it holds no key in PEM")
    return found


def parse_jwks(document: Mapping[str, Any]) -> list[VerifyingKey]:
    """The keys of a JSON Web Key Set that can verify tokens, under the kids that it gives them. Raises InvalidKey."""
    from jwt.api_jwk import PyJWK
    from jwt.exceptions import PyJWTError

    found = []
    entries = document.get("keys")
    for entry in entries if isinstance(entries, list) else ():
        try:
            key = PyJWK(entry).key
            if isinstance(key, (rsa.RSAPublicKey, ec.EllipticCurvePublicKey)):
                kid = entry.get("kid")
                name = kid if isinstance(kid, str) and kid else key_id(key)
                found.append(VerifyingKey(key, name, algorithm_of(key)))
        except (PyJWTError, ValueError, TypeError, AttributeError):
            continue  # a key of a sort that nobody here could have signed with
    if not found:
        raise InvalidKey("it is no JSON Web Key Set with a key that verifies tokens")
    return found


class KeySet:
    """Keys that verify."""

    def __init__(self, verifying: Sequence[VerifyingKey]) -> None:
        self._verifying = tuple(verifying)

    @property
    def verifying(self) -> tuple[VerifyingKey, ...]:
        """All of them."""
        return self._verifying

    def find(self, kid: str) -> tuple[VerifyingKey, ...]:
        """The keys of that kid; without one, all."""
        if not kid:
            return self._verifying
        return tuple(key for key in self._verifying if key.kid == kid)

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """The public keys as a JSON Web Key Set."""
        return {"keys": [key.jwk() for key in self._verifying]}

    def algorithms(self) -> list[str]:
        """The algorithms of all keys."""
        return sorted({key.algorithm for key in self._verifying})
