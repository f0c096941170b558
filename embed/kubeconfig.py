"""The file with which an administrator reaches a plane. It holds credentials: only its owner may read it."""

import base64
import contextlib
import os
import tempfile
from pathlib import Path

import yaml
from verger.identity.certificates import KeyPair


def render(url: str, ca: bytes, token: str, certificate: KeyPair | None) -> str:
    """The text of a kubeconfig with one cluster and one user."""

    def data(raw: bytes) -> str:
        return base64.b64encode(raw).decode()

    user = {"token": token}
    if certificate is not None:
        user["client-certificate-data"] = data(certificate.certificate)
        user["client-key-data"] = data(certificate.key)
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "verger",
        "clusters": [
            {
                "name": "verger",
                "cluster": {"server": url, "certificate-authority-data": data(ca)},
            }
        ],
        "users": [{"name": "verger-admin", "user": user}],
        "contexts": [{"name": "verger", "context": {"cluster": "verger", "user": "verger-admin"}}],
    }
    text: str = yaml.safe_dump(document, sort_keys=False)
    return text


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
