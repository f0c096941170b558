"""The key that signs the tokens of service accounts.

RSA keys sign RS256, EC keys ES256, ES384 or ES512. A key is known by its kid: the hash of its public half, so that the
same key has the same kid everywhere. Its private half never leaves this module in any text.
"""

import asyncio
import base64
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

_EC_ALGORITHMS: Final = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
RSA_MIN_BITS: Final = 2048
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class InvalidKey(ValueError):
    """The file is no key that can sign."""


def _algorithm(key: PrivateKey) -> str:
    if isinstance(key, rsa.RSAPrivateKey):
        if key.key_size < RSA_MIN_BITS:
            raise InvalidKey(
                f"an RSA key of {key.key_size} bits is too small, {RSA_MIN_BITS} are needed"
            )
        return "RS256"
    try:
        return _EC_ALGORITHMS[key.curve.name]
    except KeyError:
        raise InvalidKey("unknown private key curve, must be 256, 384, or 521") from None


def key_id(key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey) -> str:
    """The kid: base64url, without padding, of the SHA-256 of the public key's DER form. Published, never to change."""
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()


class SigningKey:
    """A private key that signs tokens, off the event loop where signing takes long."""

    def __init__(self, key: PrivateKey) -> None:
        self._key = key
        self.algorithm = _algorithm(key)
        self.kid = key_id(key.public_key())
        self._headers = {"kid": self.kid, "typ": ""}  # an empty typ is left out
        self._pool: ThreadPoolExecutor | None = None

    @classmethod
    def generate(cls) -> "SigningKey":
        """A new P-256 key."""
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def load(cls, path: Path) -> "SigningKey":
        """The first private key of a PEM file. Raises OSError and InvalidKey, without a word of the contents."""
        data = path.read_bytes()
        try:
            key = load_pem_private_key(data, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise InvalidKey("it holds no private key in PEM, or one with a password") from None
        if not isinstance(key, (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey)):
            raise InvalidKey("only RSA and EC keys can sign tokens")
        return cls(key)

    @property
    def public_key(self) -> rsa.RSAPublicKey | ec.EllipticCurvePublicKey:
        """The half that verifies."""
        return self._key.public_key()

    async def sign(self, claims: dict[str, object]) -> str:
        """A compact JWS over the claims.

        RSA signatures take a millisecond, during which `cryptography` releases the interpreter: they are made by a
        thread of a pool with one for each core. EC signatures take less than handing them to a thread would.
        """
        if self.algorithm != "RS256":
            return self._sign(claims)
        if self._pool is None:
            self._pool = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="verger-sign")
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._sign, claims)

    def _sign(self, claims: dict[str, object]) -> str:
        return jwt.encode(claims, self._key, algorithm=self.algorithm, headers=self._headers)

    def close(self) -> None:
        """Lets the threads go."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    def __repr__(self) -> str:
        return f"SigningKey({self.algorithm}, kid={self.kid})"
