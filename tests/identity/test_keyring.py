"""A ring of keys and the files behind it: a change is taken whole, or not at all."""

import asyncio
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from verger.identity.authn import Credentials, ServiceAccountTokens
from verger.identity.keyring import KeyFileError, KeyFiles, KeyRing
from verger.identity.keys import VerifyingKey
from verger.identity.signing import SigningKey
from verger.identity.tokens import verify
from verger.store.errors import Unauthorized
from verger.watch.clock import FakeClock

from tests.identity.world import API, ISSUER, NOW, claims, populated

A, B, C = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))


def private(path: Path, key: ec.EllipticCurvePrivateKey) -> Path:
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


def public(path: Path, *keys: ec.EllipticCurvePrivateKey) -> Path:
    path.write_bytes(
        b"".join(
            key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            for key in keys
        )
    )
    return path


def kid(key: ec.EllipticCurvePrivateKey) -> str:
    return SigningKey(key).kid


def kids(ring: KeyRing) -> list[str]:
    return [key.kid for key in ring.verifying]


# The ring


def test_signing_key_comes_first_and_each_key_once() -> None:
    """Whatever stands in the files, and in whatever order."""
    others = [VerifyingKey.of(key.public_key()) for key in (B, A, C, B)]
    assert kids(KeyRing(SigningKey(A), others)) == [kid(A), kid(B), kid(C)]


async def test_replacement() -> None:
    """From one step to the next other keys sign and verify; who asks by generation notices."""
    ring = KeyRing(SigningKey(A))
    old = await ring.signing.sign(claims())
    assert ring.legacy is ring.signing
    assert ring.generation == 0
    ring.replace(SigningKey(B), [VerifyingKey.of(A.public_key())])
    assert ring.generation == 1
    assert kids(ring) == [kid(B), kid(A)]
    assert verify(old, keys=ring, issuers=(ISSUER,))
    assert ring.signing.kid == kid(B)


async def test_signatures_that_are_being_made_are_finished() -> None:
    """A request that has asked for a signature gets it, though its key is taken out meanwhile."""
    key = SigningKey(rsa.generate_private_key(65537, 2048))
    ring = KeyRing(key)
    waiting = [asyncio.ensure_future(ring.signing.sign(claims())) for _ in range(20)]
    await asyncio.sleep(0)
    ring.replace(SigningKey(B), [VerifyingKey.of(key.public_key)])
    for token in await asyncio.gather(*waiting):
        assert verify(token, keys=ring, issuers=(ISSUER,))
    ring.close()


async def test_what_was_verified_is_forgotten_with_its_key() -> None:
    """A token whose key was taken out is refused at once, though its signature was found good before."""
    ring = KeyRing(SigningKey(A))
    tokens = ServiceAccountTokens(
        ring,
        populated(),
        FakeClock(float(NOW)),
        issuers=[ISSUER],
        audiences=[API],
        on_legacy_use=lambda _: None,
    )
    shown = Credentials(f"Bearer {await ring.signing.sign(claims())}")
    for _ in range(3):
        assert tokens.authenticate(shown) is not None
    assert dict(tokens.lookups) == {"miss": 1, "hit": 2}
    ring.replace(SigningKey(B))
    with pytest.raises(Unauthorized):
        tokens.authenticate(shown)
    ring.replace(SigningKey(B), [VerifyingKey.of(A.public_key())])
    assert tokens.authenticate(shown) is not None


# The files


def test_without_files_a_key_is_made_and_kept() -> None:
    """It stays the same however often the files are read."""
    files = KeyFiles()
    ring = files.ring()
    made = kids(ring)
    assert len(made) == 1
    files.renew(ring)
    assert kids(ring) == made
    assert not files.changed()


@pytest.mark.parametrize(
    ("signing", "legacy", "expected"),
    [
        pytest.param(True, False, ("A", "A", ["A"]), id="the one for requests does both"),
        pytest.param(False, True, ("B", "B", ["B"]), id="and so does the one for Secrets"),
        pytest.param(True, True, ("A", "B", ["A", "B"]), id="each its own, and both are verified"),
    ],
)
def test_which_key_signs_what(
    signing: bool, legacy: bool, expected: tuple[str, str, list[str]], tmp_path: Path
) -> None:
    """Requests and Secrets, by the files that were named."""
    files = KeyFiles(
        signing=private(tmp_path / "a", A) if signing else None,
        private=private(tmp_path / "b", B) if legacy else None,
    )
    ring = files.ring()
    names = {kid(A): "A", kid(B): "B"}
    found = (names[ring.signing.kid], names[ring.legacy.kid], [names[k] for k in kids(ring)])
    assert found == expected


def test_further_keys(tmp_path: Path) -> None:
    """Several files, several keys in one, public or private."""
    files = KeyFiles(
        private=private(tmp_path / "a", A),
        public=(public(tmp_path / "bc", B, C), private(tmp_path / "again", A)),
    )
    assert kids(files.ring()) == [kid(A), kid(B), kid(C)]


def test_change_is_noticed(tmp_path: Path) -> None:
    """Another content, another file, or none; a read takes note."""
    path, other = private(tmp_path / "a", A), public(tmp_path / "b", B)
    files = KeyFiles(private=path, public=(other,))
    ring = files.ring()
    assert not files.changed()
    public(other, B, C)
    assert files.changed()
    files.renew(ring)
    assert kids(ring) == [kid(A), kid(B), kid(C)]
    assert not files.changed()
    private(tmp_path / "new", B)
    os.replace(tmp_path / "new", path)
    assert files.changed()
    files.renew(ring)
    assert ring.signing.kid == kid(B)
    other.unlink()
    assert files.changed()


@pytest.mark.parametrize("broken", [b"", b"scribble", b"-----BEGIN PRIVATE KEY-----\nAAAA\n"])
@pytest.mark.parametrize("which", ["signing", "private", "public"])
def test_broken_file_changes_nothing(which: str, broken: bytes, tmp_path: Path) -> None:
    """All keys stay as they are, and the error says which flag, which file and why, and nothing of its content."""
    paths = {
        "signing": private(tmp_path / "signing", A),
        "private": private(tmp_path / "private", B),
        "public": public(tmp_path / "public", C),
    }
    files = KeyFiles(signing=paths["signing"], private=paths["private"], public=(paths["public"],))
    ring = files.ring()
    before, generation = kids(ring), ring.generation
    paths[which].write_bytes(broken)
    if which != "signing":
        private(paths["signing"], C)
    with pytest.raises(KeyFileError) as caught:
        files.renew(ring)
    assert (kids(ring), ring.generation) == (before, generation)
    flag = {"signing": "signing-key", "private": "private-key", "public": "key"}[which]
    assert str(caught.value).startswith(f"--service-account-{flag}-file: {paths[which]}: ")
    assert "AAAA" not in str(caught.value)
    assert "scribble" not in str(caught.value)
    assert not files.changed(), "a file that is still broken is not read again and again"


def test_missing_file(tmp_path: Path) -> None:
    """It is told of as the machine tells it."""
    with pytest.raises(KeyFileError, match=r"cannot read .*gone: No such file"):
        KeyFiles(private=tmp_path / "gone").ring()


def test_key_with_a_password(tmp_path: Path) -> None:
    """Nobody could type it."""
    path = tmp_path / "key"
    encryption = BestAvailableEncryption(b"hunter2")
    path.write_bytes(A.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    with pytest.raises(KeyFileError, match="one with a password"):
        KeyFiles(private=path).ring()
