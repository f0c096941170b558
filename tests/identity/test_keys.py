"""Signing keys: what they are called, what they sign, and that nothing of them gets out."""

import asyncio
import base64
import gc
import hashlib
import json
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from verger.identity.keys import InvalidKey, VerifyingKey
from verger.identity.signing import SigningKey

CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
HEADER = re.compile(r'^\{"alg":"(?:RS|ES)\d{3}","kid":"[A-Za-z0-9_-]{43}"\}$')


@pytest.fixture(scope="module")
def rsa_key() -> rsa.RSAPrivateKey:
    """An RSA key, which takes long to make."""
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture
def make(rsa_key: rsa.RSAPrivateKey) -> Callable[[str], Any]:
    """Private keys by algorithm."""

    def made(algorithm: str) -> Any:
        if algorithm == "RS256":
            return rsa_key
        return ec.generate_private_key(CURVES[algorithm])

    return made


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def pem(
    key: Any,
    form: PrivateFormat = PrivateFormat.PKCS8,
    encryption: KeySerializationEncryption | None = None,
) -> bytes:
    data: bytes = key.private_bytes(Encoding.PEM, form, encryption or NoEncryption())
    return data


ALGORITHMS = ["RS256", "ES256", "ES384", "ES512"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_kid(make: Callable[[str], Any], algorithm: str) -> None:
    """The kid is the SHA-256 of the public key's DER form, in base64url without padding: 43 characters, for ever."""
    private = make(algorithm)
    der = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    expected = base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()
    assert SigningKey(private).kid == VerifyingKey.of(private.public_key()).kid == expected
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", expected)


def test_kid_of_a_known_key() -> None:
    """A key whose kid was worked out once keeps it in every version."""
    private = ec.derive_private_key(1, ec.SECP256R1())
    # SHA-256 of the 91 bytes of SubjectPublicKeyInfo of the curve's base point.
    point = bytes.fromhex(
        "3059301306072a8648ce3d020106082a8648ce3d03010703420004"
        "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
        "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
    )
    kid = base64.urlsafe_b64encode(hashlib.sha256(point).digest()).decode().rstrip("=")
    assert SigningKey(private).kid == kid


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_token_is_verified_by_another_library(
    make: Callable[[str], Any], algorithm: str
) -> None:
    """Header, payload and the signature in JOSE's form are what pyjwt takes, under that algorithm alone."""
    private = make(algorithm)
    key = SigningKey(private)
    token = await key.sign({"a": 1, "b": "ü"})
    key.close()
    assert key.algorithm == algorithm
    assert jwt.decode(token, private.public_key(), algorithms=[algorithm]) == {"a": 1, "b": "ü"}
    others = [other for other in ALGORITHMS if other != algorithm]
    with pytest.raises(jwt.InvalidTokenError):
        jwt.decode(token, private.public_key(), algorithms=others)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_header_has_exactly_two_fields(make: Callable[[str], Any], algorithm: str) -> None:
    """alg and kid, in this order, compact, and no typ."""
    key = SigningKey(make(algorithm))
    header, payload, _ = (await key.sign({"z": 1, "a": [2]})).split(".")
    key.close()
    text = decoded(header).decode()
    assert HEADER.match(text)
    assert json.loads(text) == {"alg": algorithm, "kid": key.kid}
    assert decoded(payload) == b'{"z":1,"a":[2]}'
    assert "=" not in header + payload


@pytest.mark.parametrize(("algorithm", "size"), [("ES256", 64), ("ES384", 96), ("ES512", 132)])
async def test_size_of_ec_signatures(make: Callable[[str], Any], algorithm: str, size: int) -> None:
    """Two numbers side by side, each as long as the curve's order, also when one of them is small."""
    key = SigningKey(make(algorithm))
    tokens = [await key.sign({"n": n}) for n in range(300)]
    assert {len(decoded(token.split(".")[2])) for token in tokens} == {size}


def test_curves_that_cannot_sign() -> None:
    """The words are upstream's."""
    with pytest.raises(InvalidKey, match=r"^unknown private key curve, must be 256, 384, or 521$"):
        SigningKey(ec.generate_private_key(ec.SECP256K1()))


def test_small_rsa_keys_cannot_sign() -> None:
    """Below 2048 bits a key is refused, with its size in the message."""
    with pytest.raises(InvalidKey, match="1024 bits is too small, 2048 are needed"):
        SigningKey(rsa.generate_private_key(65537, 1024))


def test_generated_keys_are_p256_and_new() -> None:
    """A key that is made at start is of the curve that signs fastest, and is never the same."""
    one, two = SigningKey.generate(), SigningKey.generate()
    assert one.algorithm == two.algorithm == "ES256"
    assert one.kid != two.kid


# Files


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(pem, id="PKCS 8"),
        pytest.param(lambda k: pem(k, PrivateFormat.TraditionalOpenSSL), id="traditional form"),
        pytest.param(lambda k: b"# a comment\n\n" + pem(k), id="text before it"),
        pytest.param(lambda k: pem(k).replace(b"\n", b"\r\n"), id="line ends of Windows"),
    ],
)
@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_load(
    make: Callable[[str], Any], tmp_path: Path, algorithm: str, write: Callable[[Any], bytes]
) -> None:
    """Keys are read in the forms in which openssl and others write them."""
    private = make(algorithm)
    file = tmp_path / "key.pem"
    file.write_bytes(write(private))
    assert SigningKey.load(file).kid == SigningKey(private).kid


def test_load_takes_the_first_private_key(tmp_path: Path) -> None:
    """What stands before it in the file, public keys and parameters, is passed over; what comes behind does not count."""
    first, second = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    public = second.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    # openssl ecparam -genkey writes the name of the curve first
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    file = tmp_path / "key.pem"
    file.write_bytes(parameters + public + pem(first) + pem(second))
    assert SigningKey.load(file).kid == SigningKey(first).kid


def damaged(key: Any) -> bytes:
    """A key with some characters in the middle missing."""
    text = pem(key)
    return text[:80] + text[90:]


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda k: b"", id="nothing"),
        pytest.param(lambda k: b"\x00\xff" * 100, id="no text"),
        pytest.param(damaged, id="a damaged key"),
        pytest.param(lambda k: pem(k)[:-30], id="a key that is cut off"),
        pytest.param(
            lambda k: pem(k, encryption=BestAvailableEncryption(b"hunter2")), id="a password"
        ),
        pytest.param(
            lambda k: k.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            id="a public key",
        ),
        pytest.param(lambda k: pem(ed25519.Ed25519PrivateKey.generate()), id="Ed25519"),
        pytest.param(lambda k: pem(ec.generate_private_key(ec.SECP256K1())), id="a strange curve"),
    ],
)
def test_load_refuses(tmp_path: Path, write: Callable[[Any], bytes]) -> None:
    """Whatever is wrong: InvalidKey, without a cause that could quote it and without a word of the file."""
    key = ec.generate_private_key(ec.SECP256R1())
    file = tmp_path / "key.pem"
    data = write(key)
    file.write_bytes(data)
    with pytest.raises(InvalidKey) as caught:
        SigningKey.load(file)
    assert_tells_nothing(caught.value, data)


def test_load_without_a_file(tmp_path: Path) -> None:
    """A file that cannot be read is an OSError, which says why."""
    with pytest.raises(FileNotFoundError):
        SigningKey.load(tmp_path / "none.pem")


def assert_tells_nothing(error: BaseException, data: bytes) -> None:
    """No piece of the data stands in the error, or in what it was caused by."""
    lines = [line for line in data.decode("latin-1").splitlines() if len(line) >= 16]
    secrets = [line for line in lines if not line.startswith("-----")]
    shown: BaseException | None = error
    while shown is not None:
        text = f"{shown!r} {shown}"
        assert not any(secret[:16] in text for secret in secrets)
        shown = shown.__cause__ or (None if shown.__suppress_context__ else shown.__context__)


def test_repr_tells_nothing() -> None:
    """The representation has the algorithm and the kid, and no number of the key."""
    private = ec.generate_private_key(ec.SECP256R1())
    key = SigningKey(private)
    assert repr(key) == str(key) == f"SigningKey(ES256, kid={key.kid})"
    number = private.private_numbers().private_value
    assert str(number) not in repr(key)
    assert f"{number:x}" not in repr(key)


# Many at a time


async def test_each_caller_gets_his_own_signature(rsa_key: rsa.RSAPrivateKey) -> None:
    """Signatures that are made in batches and threads come back to those who asked for them."""
    key = SigningKey(rsa_key)
    tokens = await asyncio.gather(*(key.sign({"n": n}) for n in range(100)))
    key.close()
    public = rsa_key.public_key()
    claims = [jwt.decode(token, public, algorithms=["RS256"]) for token in tokens]
    assert claims == [{"n": n} for n in range(100)]


async def test_the_loop_goes_on_while_rsa_signs(rsa_key: rsa.RSAPrivateKey) -> None:
    """Signing with RSA happens in other threads; with EC in this one."""
    seen: set[str] = set()

    class Watched(SigningKey):
        """Notes where it signs."""

        def _signature(self, message: bytes) -> bytes:
            seen.add(threading.current_thread().name.rpartition("_")[0])
            return super()._signature(message)

    key = Watched(rsa_key)
    await asyncio.gather(*(key.sign({"n": n}) for n in range(20)))
    key.close()
    assert seen == {"verger-sign"}
    seen.clear()
    await Watched(ec.generate_private_key(ec.SECP256R1())).sign({})
    assert seen == {threading.current_thread().name.rpartition("_")[0]}


@pytest.mark.parametrize("victims", [{0}, {7}, {8, 9, 10}, set(range(0, 60, 2)), set(range(59))])
async def test_cancelled_callers_disturb_nobody(
    rsa_key: rsa.RSAPrivateKey, victims: set[int]
) -> None:
    """Whoever does not want his signature any more leaves, and the others get theirs."""
    key = SigningKey(rsa_key)
    tasks = [asyncio.create_task(key.sign({"n": n})) for n in range(60)]
    await asyncio.sleep(0)
    for victim in victims:
        tasks[victim].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    later = await key.sign({"n": "later"})
    key.close()
    for number, result in enumerate(results):
        if number in victims:
            assert isinstance(result, asyncio.CancelledError)
        else:
            assert isinstance(result, str)
            found = jwt.decode(result, rsa_key.public_key(), algorithms=["RS256"])
            assert found == {"n": number}
    assert jwt.decode(later, rsa_key.public_key(), algorithms=["RS256"]) == {"n": "later"}


async def test_errors_reach_those_whom_they_concern(rsa_key: rsa.RSAPrivateKey) -> None:
    """A batch that fails fails for all of it, and the key goes on."""
    broken = [True]

    class Fragile(SigningKey):
        """Fails once."""

        def _signature(self, message: bytes) -> bytes:
            if broken:
                broken.clear()
                raise RuntimeError("no entropy")
            return super()._signature(message)

    key = Fragile(rsa_key)
    results = await asyncio.gather(*(key.sign({"n": n}) for n in range(30)), return_exceptions=True)
    key.close()
    failed = [result for result in results if isinstance(result, Exception)]
    assert 1 <= len(failed) <= 8
    assert {str(error) for error in failed} == {"no entropy"}
    assert len([result for result in results if isinstance(result, str)]) == 30 - len(failed)


async def test_nobody_waits_for_a_key_that_is_closed(rsa_key: rsa.RSAPrivateKey) -> None:
    """Those who wait when a key is closed get their signature or are cancelled; none of them waits for ever."""
    key = SigningKey(rsa_key)
    tasks = [asyncio.create_task(key.sign({"n": n})) for n in range(200)]
    await asyncio.sleep(0)
    key.close()
    # A signature takes a millisecond: this time is reached by a failure alone.
    _, waiting = await asyncio.wait(tasks, timeout=3)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert not waiting


async def test_key_that_is_retired_finishes_its_work(rsa_key: rsa.RSAPrivateKey) -> None:
    """A key that is replaced still signs for those who wait, and then lets its threads go."""
    key = SigningKey(rsa_key)
    tasks = [asyncio.create_task(key.sign({"n": n})) for n in range(50)]
    await asyncio.sleep(0)
    key.retire()
    tokens = await asyncio.gather(*tasks)
    assert len(tokens) == 50
    assert key._pool is None


async def test_closing_twice_is_harmless(rsa_key: rsa.RSAPrivateKey) -> None:
    """A key can be closed before it was used, and again."""
    key = SigningKey(rsa_key)
    key.close()
    await key.sign({})
    key.close()
    key.close()
    gc.collect()
