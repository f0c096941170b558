"""The private keys that sign. Their private halves never leave this module in any text."""

import asyncio
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from verger.identity.keys import InvalidKey, PublicKey, algorithm_of, base64url, key_id

_HASHES: Final = {
    "RS256": hashes.SHA256(),
    "ES256": hashes.SHA256(),
    "ES384": hashes.SHA384(),
    "ES512": hashes.SHA512(),
}
BATCH_MAX: Final = 8
"""Signatures that a thread makes in one go. A thread that has signed waits for its turn to run Python, up to 5 ms on a
busy loop; so it takes as much work along as there is."""
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class SigningKey:
    """A private key that signs tokens, off the event loop where signing takes long."""

    def __init__(self, key: PrivateKey) -> None:
        self._key = key
        self.algorithm = algorithm_of(key.public_key())
        self.kid = key_id(key.public_key())
        # upstream: exactly these two, no typ
        self._header = base64url(orjson.dumps({"alg": self.algorithm, "kid": self.kid}))
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
        message = self._header + b"." + base64url(orjson.dumps(claims))
        if self.algorithm == "RS256":
            signature = await self._signed_elsewhere(message)
        else:
            signature = self._signature(message)
        return (message + b"." + base64url(signature)).decode()

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
        """Lets the threads go. Those who still wait for one to begin are cancelled."""
        for _, signed in self._waiting:
            signed.cancel()
        self._waiting.clear()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    def __repr__(self) -> str:
        return f"SigningKey({self.algorithm}, kid={self.kid})"
