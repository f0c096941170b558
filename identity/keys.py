"""The keys that sign and verify the tokens of service accounts.

RSA keys sign RS256, EC keys ES256, ES384 or ES512. A key is known by its kid: the hash of its public half, so that the
same key has the same kid everywhere. Private halves never leave this module in any text.
"""

import asyncio
import base64
import hashlib
import os
import re
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

_EC_ALGORITHMS: Final = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_HASHES: Final = {
    "RS256": hashes.SHA256(),
    "ES256": hashes.SHA256(),
    "ES384": hashes.SHA384(),
    "ES512": hashes.SHA512(),
}
_PEM_BLOCKS: Final = re.compile(
    rb"-----BEGIN [^-]+-----.*?-----END [^-]+-----\n?", re.DOTALL
).findall
RSA_MIN_BITS: Final = 2048
BATCH_MAX: Final = 8
"""Signatures that a thread makes in one go. A thread that has signed waits for its turn to run Python, up to 5 ms on a
busy loop; so it takes as much work along as there is."""
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey


class InvalidKey(ValueError):
    """The file is no key that can sign."""


def _algorithm(key: PrivateKey | PublicKey) -> str:
    if isinstance(key, (rsa.RSAPrivateKey, rsa.RSAPublicKey)):
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
    return _base64url(hashlib.sha256(der).digest()).decode()


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


class SigningKey:
    """A private key that signs tokens, off the event loop where signing takes long."""

    def __init__(self, key: PrivateKey) -> None:
        self._key = key
        self.algorithm = _algorithm(key)
        self.kid = key_id(key.public_key())
        # upstream: exactly these two, no typ
        self._header = _base64url(orjson.dumps({"alg": self.algorithm, "kid": self.kid}))
        self._pool: ThreadPoolExecutor | None = None
        self._waiting: deque[tuple[bytes, asyncio.Future[bytes]]] = deque()
        self._busy = 0
        self._retired = False

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
    def public_key(self) -> PublicKey:
        """The half that verifies."""
        return self._key.public_key()

    async def sign(self, claims: dict[str, object]) -> str:
        """A compact JWS over the claims.

        RSA signatures take a millisecond, during which `cryptography` releases the interpreter: threads make them,
        one for each core. EC signatures take less time than handing them to a thread and back does.
        """
        message = self._header + b"." + _base64url(orjson.dumps(claims))
        if self.algorithm == "RS256":
            signature = await self._signed_elsewhere(message)
        else:
            signature = self._signature(message)
        return (message + b"." + _base64url(signature)).decode()

    def _signature(self, message: bytes) -> bytes:
        key, digest = self._key, _HASHES[self.algorithm]
        if isinstance(key, rsa.RSAPrivateKey):
            return key.sign(message, padding.PKCS1v15(), digest)
        # JOSE wants the two numbers side by side, not in DER.
        r, s = decode_dss_signature(key.sign(message, ec.ECDSA(digest)))
        size = (key.curve.key_size + 7) // 8
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")

    def _signed_elsewhere(self, message: bytes) -> "asyncio.Future[bytes]":
        loop = asyncio.get_running_loop()
        signed: asyncio.Future[bytes] = loop.create_future()
        self._waiting.append((message, signed))
        cores = os.cpu_count() or 1
        if self._pool is None:
            self._pool = ThreadPoolExecutor(cores, thread_name_prefix="verger-sign")
        if self._busy < cores:
            self._start_batch(self._pool, loop)
        return signed

    def _start_batch(self, pool: ThreadPoolExecutor, loop: asyncio.AbstractEventLoop) -> None:
        batch = [self._waiting.popleft() for _ in range(min(BATCH_MAX, len(self._waiting)))]
        self._busy += 1
        job = loop.run_in_executor(pool, self._sign_batch, [message for message, _ in batch])

        def finished(job: "asyncio.Future[list[bytes]]") -> None:
            self._busy -= 1
            if self._waiting and self._pool is not None:
                self._start_batch(self._pool, loop)
            error = None if job.cancelled() else job.exception()
            for index, (_, signed) in enumerate(batch):
                if signed.done():
                    continue  # whoever wanted it has gone
                if job.cancelled():
                    signed.cancel()
                elif error is not None:
                    signed.set_exception(error)
                else:
                    signed.set_result(job.result()[index])
            if self._retired and not self._busy:
                self.close()

        job.add_done_callback(finished)

    def _sign_batch(self, messages: list[bytes]) -> list[bytes]:
        return [self._signature(message) for message in messages]

    def retire(self) -> None:
        """Lets the threads go as soon as nobody waits for a signature any more."""
        self._retired = True
        if not self._busy:
            self.close()

    def close(self) -> None:
        """Lets the threads go."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    def __repr__(self) -> str:
        return f"SigningKey({self.algorithm}, kid={self.kid})"


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """A public key that tokens may be signed with."""

    key: PublicKey
    kid: str
    algorithm: str

    @classmethod
    def of(cls, key: PublicKey) -> "VerifyingKey":
        """The verifying half under its kid. Raises InvalidKey."""
        return cls(key, key_id(key), _algorithm(key))

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
    return _base64url(value.to_bytes(size or (value.bit_length() + 7) // 8, "big")).decode()


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


class KeyRing:
    """The keys of an issuer: the first signs, all verify.

    A change replaces everything in one step, so that no request sees half of it.
    """

    def __init__(
        self,
        signing: SigningKey,
        others: Sequence[VerifyingKey] = (),
        *,
        legacy: SigningKey | None = None,
    ) -> None:
        self.generation = 0
        """Grows with each change: what was derived from the keys before is out of date."""
        self._set(signing, others, legacy)

    def replace(
        self,
        signing: SigningKey,
        others: Sequence[VerifyingKey] = (),
        *,
        legacy: SigningKey | None = None,
    ) -> None:
        """Puts other keys in place of these."""
        before = {self.signing, self.legacy}
        self._set(signing, others, legacy)
        self.generation += 1
        for key in before - {self.signing, self.legacy}:
            key.retire()

    def close(self) -> None:
        """Lets the threads of the signing keys go."""
        for key in {self.signing, self.legacy}:
            key.close()

    def _set(
        self, signing: SigningKey, others: Sequence[VerifyingKey], legacy: SigningKey | None
    ) -> None:
        self.signing = signing
        """Signs tokens that are asked for."""
        self.legacy = legacy or signing
        """Signs the tokens of Secrets."""
        own = VerifyingKey.of(signing.public_key)
        known = {key.kid: key for key in reversed([own, *others])}
        self.verifying = tuple(
            known[kid] for kid in dict.fromkeys([own.kid, *(k.kid for k in others)])
        )
        """Verify; the signing key is the first."""

    def find(self, kid: str) -> tuple[VerifyingKey, ...]:
        """The keys of that kid; without one, all."""
        if not kid:
            return self.verifying
        return tuple(key for key in self.verifying if key.kid == kid)

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """The public keys as a JSON Web Key Set."""
        return {"keys": [key.jwk() for key in self.verifying]}

    def algorithms(self) -> list[str]:
        """The algorithms of all keys."""
        return sorted({key.algorithm for key in self.verifying})
