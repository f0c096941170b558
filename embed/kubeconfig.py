"""The file with which an administrator reaches a plane. It holds credentials: only its owner may read it."""

import base64
import contextlib
import os
import tempfile
from pathlib import Path

from verger.identity.certificates import KeyPair


def render(url: str, ca: bytes, token: str, certificate: KeyPair | None = None) -> str:
    """The text of a kubeconfig with one cluster and one user."""
    shown = ""
    if certificate is not None:
        shown = f"""
    client-certificate-data: {_data(certificate.certificate)}
    client-key-data: {_data(certificate.key)}"""
    # Nothing in it needs quoting: addresses, base64 and URL-safe tokens. A YAML library would cost more than the rest.
    return f"""\
apiVersion: v1
kind: Config
current-context: verger
clusters:
- name: verger
  cluster:
    server: {url}
    certificate-authority-data: {_data(ca)}
users:
- name: verger
  user:
    token: {token}{shown}
contexts:
- name: verger
  context:
    cluster: verger
    user: verger
"""


def _data(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def write(path: Path, text: str) -> None:
    """Writes the file in one step: nobody sees half of it, and nobody but the owner may read it. Raises OSError."""
    # mkstemp makes the file with mode 0600 before there is anything in it.
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(temporary).replace(path)
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            Path(temporary).unlink()
        raise
