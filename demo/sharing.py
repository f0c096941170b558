"""The signing key that both planes share, and its rotation: files, as an operator has them.

A key that has signed goes on verifying, so what it has signed stays good.
"""

import shutil
import tempfile
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

ROTATIONS_MAX: Final = 50
"""Keys that verify at the same time, at most."""


class SharedKeys:
    """A private key that signs, and a file with the public halves of all that ever did, in a folder of their own."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="verger-demo-"))
        self.signing = self._folder / "signing.pem"
        """The key that signs now."""
        self.verifying = self._folder / "verifying.pem"
        """The keys that verify."""
        self._public: list[bytes] = []
        self.rotate()

    @property
    def rotations(self) -> int:
        """How often the key was replaced."""
        return len(self._public) - 1

    def rotate(self) -> None:
        """Puts a new key in place of the one that signs."""
        key = ec.generate_private_key(ec.SECP256R1())
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        self._public.append(public)
        # First the half that verifies: whoever reads in between can verify what the other one signs.
        self.verifying.write_bytes(b"".join(self._public))
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        fresh = self._folder / "signing.new"
        fresh.touch(mode=0o600)
        fresh.write_bytes(private)
        fresh.replace(self.signing)

    def remove(self) -> None:
        """Deletes the files."""
        shutil.rmtree(self._folder, ignore_errors=True)
