"""The keys of an issuer, and the files that they come from.

A change is taken as a whole or not at all: no request sees half of it, and when one of the files cannot be read any
more all keys stay as they are.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from verger.identity.keys import InvalidKey, KeySet, VerifyingKey, load_verifying_keys
from verger.identity.signing import SigningKey

SIGNING_FLAG: Final = "--service-account-signing-key-file"
PRIVATE_FLAG: Final = "--service-account-private-key-file"
PUBLIC_FLAG: Final = "--service-account-key-file"


class KeyRing(KeySet):
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
        # The signing key comes first, and each key once.
        first = {key.kid: key for key in reversed([own, *others])}
        self._verifying = tuple(
            first[kid] for kid in dict.fromkeys(key.kid for key in (own, *others))
        )


class KeyFileError(Exception):
    """A file cannot be used; the message says which flag named it, and why, and nothing of its contents."""


class _Loaded(NamedTuple):
    signing: SigningKey
    legacy: SigningKey
    others: tuple[VerifyingKey, ...]


class KeyFiles:
    """Where the keys come from. Without a file to sign with, a key is made and kept as long as this is."""

    def __init__(
        self,
        *,
        signing: Path | None = None,
        private: Path | None = None,
        public: Sequence[Path] = (),
    ) -> None:
        """`signing` signs TokenRequests and `private` the tokens of Secrets; one of them alone does both."""
        self._signing = signing or private
        self._signing_flag = SIGNING_FLAG if signing else PRIVATE_FLAG
        self._private = private or signing
        self._private_flag = PRIVATE_FLAG if private else SIGNING_FLAG
        self._public = tuple(public)
        self._made: SigningKey | None = None
        self._stamps: list[tuple[int, ...]] = []

    def ring(self) -> KeyRing:
        """A ring of the keys that the files hold now. Raises KeyFileError."""
        self._stamps = self._read_stamps()
        loaded = self._load()
        return KeyRing(loaded.signing, loaded.others, legacy=loaded.legacy)

    def changed(self) -> bool:
        """Whether one of the files is another one than when they were last read."""
        return self._read_stamps() != self._stamps

    def renew(self, ring: KeyRing) -> None:
        """Puts what the files hold now into a ring. Raises KeyFileError, and leaves the ring as it is."""
        self._stamps = self._read_stamps()
        loaded = self._load()
        ring.replace(loaded.signing, loaded.others, legacy=loaded.legacy)

    def _load(self) -> _Loaded:
        signing = self._signing_key(self._signing, self._signing_flag)
        same = self._private == self._signing
        legacy = signing if same else self._signing_key(self._private, self._private_flag)
        others: list[VerifyingKey] = []
        if not same:
            others.append(VerifyingKey.of(legacy.public_key))
        for path in self._public:
            try:
                others += load_verifying_keys(path)
            except (OSError, InvalidKey) as error:
                raise _unusable(PUBLIC_FLAG, path, error) from None
        return _Loaded(signing, legacy, tuple(others))

    def _signing_key(self, path: Path | None, flag: str) -> SigningKey:
        if path is None:
            self._made = self._made or SigningKey.generate()
            return self._made
        try:
            return SigningKey.load(path)
        except (OSError, InvalidKey) as error:
            raise _unusable(flag, path, error) from None

    def _read_stamps(self) -> list[tuple[int, ...]]:
        stamps: list[tuple[int, ...]] = []
        for path in (self._signing, self._private, *self._public):
            if path is None:
                continue
            try:
                stat = path.stat()
            except OSError:
                stamps.append(())
            else:
                stamps.append((stat.st_mtime_ns, stat.st_size, stat.st_ino))
        return stamps


def _unusable(flag: str, path: Path, error: OSError | InvalidKey) -> KeyFileError:
    if isinstance(error, OSError):
        return KeyFileError(f"{flag}: cannot read {path}: {error.strerror or error}")
    return KeyFileError(f"{flag}: {path}: {error}")
