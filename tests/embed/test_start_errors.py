"""embed/plane.py: a plane that cannot start says what to change, and leaves nothing behind."""

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from verger.embed import ControlPlane, StartError
from verger.identity.certificates import Authority

from tests.embed.conftest import Belongings

SERVER = Authority(1_700_000_000.0).server(["localhost"])
OTHER = Authority(1_700_000_000.0).server(["localhost"])
P521_KEY = ec.generate_private_key(ec.SECP256K1()).private_bytes(
    Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with files that are what they are called, and others that are not."""
    contents = {
        "tls.crt": SERVER.certificate,
        "tls.key": SERVER.key,
        "other.key": OTHER.key,
        "odd-curve.key": P521_KEY,
        "text": b"hello",
        "binary": os.urandom(200),
        "empty": b"",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param(
            {"controllers": ("nope",)},
            ["--controllers", "nope", "serviceaccount"],
            id="a controller that does not exist",
        ),
        pytest.param(
            {"controllers": ("*", "-nope")},
            ["--controllers", "nope"],
            id="leaving one out that does not exist",
        ),
        pytest.param(
            {"private_key_file": "missing"},
            ["--service-account-private-key-file", "missing"],
            id="a signing key that is not there",
        ),
        pytest.param(
            {"private_key_file": "text"},
            ["--service-account-private-key-file", "text"],
            id="a signing key that is no key",
        ),
        pytest.param(
            {"private_key_file": "binary"},
            ["--service-account-private-key-file", "binary"],
            id="a signing key that is no text",
        ),
        pytest.param(
            {"private_key_file": "empty"},
            ["--service-account-private-key-file", "empty"],
            id="a signing key without content",
        ),
        pytest.param(
            {"private_key_file": "tls.crt"},
            ["--service-account-private-key-file", "tls.crt"],
            id="a certificate instead of a signing key",
        ),
        pytest.param(
            {"private_key_file": "odd-curve.key"},
            ["--service-account-private-key-file", "odd-curve.key"],
            id="a signing key on a curve that tokens do not have",
        ),
        pytest.param(
            {"root_ca_file": "missing"},
            ["--root-ca-file", "missing"],
            id="an authority that is not there",
        ),
        pytest.param(
            {"root_ca_file": "text"},
            ["--root-ca-file", "text", "no certificate"],
            id="an authority that is no certificate",
        ),
        pytest.param(
            {"root_ca_file": "tls.key"},
            ["--root-ca-file", "tls.key", "no certificate"],
            id="a key instead of an authority",
        ),
        pytest.param(
            {"tls_cert_file": "tls.crt"},
            ["--tls-cert-file", "--tls-private-key-file"],
            id="a certificate without its key",
        ),
        pytest.param(
            {"tls_private_key_file": "tls.key"},
            ["--tls-cert-file", "--tls-private-key-file"],
            id="a key without its certificate",
        ),
        pytest.param(
            {"tls_cert_file": "tls.crt", "tls_private_key_file": "other.key"},
            ["tls.crt", "other.key"],
            id="a certificate and the key of another one",
        ),
        pytest.param(
            {"tls_cert_file": "text", "tls_private_key_file": "tls.key"},
            ["text"],
            id="a certificate that is none",
        ),
        pytest.param(
            {"tls_cert_file": "tls.crt", "tls_private_key_file": "missing"},
            ["missing"],
            id="a certificate whose key is not there",
        ),
        pytest.param(
            {"kubeconfig": "missing/kubeconfig"},
            ["kubeconfig", "missing"],
            id="a kubeconfig in a folder that is not there",
        ),
        pytest.param(
            {"kubeconfig": "text/kubeconfig"},
            ["kubeconfig", "text"],
            id="a kubeconfig in a folder that is a file",
        ),
        pytest.param({"host": "192.0.2.1"}, ["192.0.2.1"], id="an address of another machine"),
    ],
)
async def test_start_that_cannot_be_says_what_to_change(
    options: dict[str, Any], words: list[str], files: Path, belongings: Callable[[], Belongings]
) -> None:
    """One line names the option and the value, and everything that was started is undone."""
    given = {
        key: files / value if key.endswith("_file") or key == "kubeconfig" else value
        for key, value in options.items()
    }
    before = belongings()
    plane = ControlPlane(**given)
    with pytest.raises(StartError) as raised:
        await plane.start()
    message = str(raised.value)
    assert [word for word in words if word not in message] == [], message
    assert "\n" not in message
    assert "PRIVATE KEY" not in message
    await asyncio.sleep(0)
    assert belongings() == before


async def test_port_that_is_taken_is_named() -> None:
    """The message says which port, and how to get a free one."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartError, match=rf"127\.0\.0\.1:{port}.* in use.*0 for any free"):
            await ControlPlane(port=port).start()


async def test_port_of_another_plane_is_taken() -> None:
    """Two planes never share a port, as some systems would let them."""
    async with ControlPlane() as plane:
        port = int(plane.url.rpartition(":")[2])
        with pytest.raises(StartError, match="in use"):
            await ControlPlane(port=port).start()


async def test_plane_that_failed_to_start_can_be_stopped(files: Path) -> None:
    """`stop` after a start that raised does not raise the same thing again."""
    plane = ControlPlane(root_ca_file=files / "missing")
    with pytest.raises(StartError):
        await plane.start()
    await plane.stop()
