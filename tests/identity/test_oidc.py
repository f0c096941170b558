"""The two documents by which others verify our tokens: what stands in them, where, and as files."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from verger.cmd.main import main
from verger.embed import ControlPlane
from verger.identity.keyring import KeyRing
from verger.identity.keys import KeySet, VerifyingKey, load_verifying_keys
from verger.identity.oidc import (
    DISCOVERY_PATH,
    JWKS_PATH,
    InvalidIssuer,
    Issuer,
    check_issuer,
    check_jwks_uri,
    discovery,
    key_set,
)
from verger.identity.signing import SigningKey

from tests.identity.https import Api, served
from tests.identity.world import ISSUER, ring

EC = SigningKey.generate()
RSA = SigningKey(rsa.generate_private_key(65537, 2048))
SERVER = "https://192.0.2.1:6443"


def document(issuer: Issuer, path: str) -> Any:
    found = issuer.document(path, SERVER)
    assert found is not None
    return json.loads(found.body)


@pytest.mark.parametrize(
    ("issuer", "message"),
    [
        pytest.param("", "empty issuer URL", id="none"),
        pytest.param(
            "http://i.example", "issuer URL must use https scheme, got: http://i.example", id="http"
        ),
        pytest.param("i.example", "issuer URL must use https scheme, got: i.example", id="bare"),
        pytest.param(
            "https://i.example?a=b",
            "issuer URL may not include a query, got: https://i.example?a=b",
            id="a query",
        ),
        pytest.param(
            "https://i.example?",
            "issuer URL may not include a query, got: https://i.example?",
            id="an empty query",
        ),
        pytest.param(
            "https://i.example#a",
            "issuer URL may not include a fragment, got: https://i.example#a",
            id="a fragment",
        ),
    ],
)
def test_issuers_that_nobody_could_discover(issuer: str, message: str) -> None:
    """Then there are no documents, and it is said why."""
    with pytest.raises(InvalidIssuer) as caught:
        check_issuer(issuer)
    assert str(caught.value) == message
    silent = Issuer(ring(EC), issuer)
    assert silent.problem == message
    assert silent.document(DISCOVERY_PATH, SERVER) is None
    assert silent.document(JWKS_PATH, SERVER) is None


@pytest.mark.parametrize("uri", ["http://i.example/keys", "i.example/keys", "keys"])
def test_keys_are_published_over_tls_alone(uri: str) -> None:
    """Whoever can change the keys on their way can sign."""
    with pytest.raises(InvalidIssuer, match="jwksURI requires https scheme, parsed as: "):
        check_jwks_uri(uri)
    assert Issuer(ring(EC), ISSUER, uri).problem


@pytest.mark.parametrize(
    ("jwks_uri", "expected"),
    [
        pytest.param("", f"{SERVER}/openid/v1/jwks", id="this server by default"),
        pytest.param("https://k.example/x", "https://k.example/x", id="elsewhere"),
    ],
)
def test_discovery_document(jwks_uri: str, expected: str) -> None:
    """Five members, in this order."""
    found = Issuer(ring(EC, RSA), ISSUER, jwks_uri)
    body = found.document(DISCOVERY_PATH, SERVER)
    assert body is not None
    assert body.body.decode() == (
        f'{{"issuer":"{ISSUER}","jwks_uri":"{expected}","response_types_supported":["id_token"],'
        '"subject_types_supported":["public"],"id_token_signing_alg_values_supported":["ES256","RS256"]}'
    )
    assert body.media_type == "application/json"


def test_key_set() -> None:
    """Every key with its use, id and algorithm, in the order of the ring; nothing private."""
    found = key_set(ring(RSA, EC))
    assert found.media_type == "application/jwk-set+json"
    first, second = json.loads(found.body)["keys"]
    assert list(first) == ["use", "kty", "kid", "alg", "n", "e"]
    assert list(second) == ["use", "kty", "kid", "crv", "alg", "x", "y"]
    assert (first["kid"], second["kid"]) == (RSA.kid, EC.kid)
    assert not {"d", "p", "q", "k"} & {*first, *second}


def test_documents_follow_the_keys() -> None:
    """What the ring holds now is what others see."""
    keys = KeyRing(EC)
    issuer = Issuer(keys, ISSUER)
    assert [k["kid"] for k in document(issuer, JWKS_PATH)["keys"]] == [EC.kid]
    keys.replace(RSA, [VerifyingKey.of(EC.public_key)])
    assert [k["kid"] for k in document(issuer, JWKS_PATH)["keys"]] == [RSA.kid, EC.kid]
    assert document(issuer, DISCOVERY_PATH)["id_token_signing_alg_values_supported"] == [
        "ES256",
        "RS256",
    ]


@pytest.mark.parametrize("path", ["/", "/openid", "/openid/v1/jwks/", "/.well-known"])
def test_there_are_two_documents(path: str) -> None:
    """Nothing stands around them."""
    assert Issuer(ring(EC), ISSUER).document(path, SERVER) is None


# Served


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    with served(ControlPlane()) as api:
        api.create("/api/v1/namespaces", {"metadata": {"name": "ns"}})
        api.create("/api/v1/namespaces/ns/serviceaccounts", {"metadata": {"name": "sa"}})
        yield api


@pytest.mark.parametrize(
    ("path", "status", "media_type"),
    [
        pytest.param(DISCOVERY_PATH, 200, "application/json", id="discovery"),
        pytest.param(JWKS_PATH, 200, "application/jwk-set+json", id="keys"),
        pytest.param(f"{JWKS_PATH}?format=yaml", 200, "application/jwk-set+json", id="a query"),
        pytest.param("/.well-known", 404, "", id="above"),
        pytest.param(f"{JWKS_PATH}/foo", 404, "", id="below"),
        pytest.param(f"{DISCOVERY_PATH}/foo", 404, "", id="below discovery"),
    ],
)
def test_paths(api: Api, path: str, status: int, media_type: str) -> None:
    """Two paths, their types, and an hour in which others may keep them."""
    answer = api.ask("GET", path)
    assert answer.status == status
    if status == 200:
        assert answer.headers["Content-Type"] == media_type
        assert answer.headers["Cache-Control"] == "public, max-age=3600"


def test_who_may_see_them(api: Api) -> None:
    """Service accounts may; those that nobody knows may not, nor may tokens of others."""
    token = api.token("ns", "sa")
    for path in (DISCOVERY_PATH, JWKS_PATH):
        assert api.ask("GET", path, token=token).status == 200
        assert api.ask("GET", path, token="").status == 403
        assert api.ask("GET", path, token="x").status == 401
        as_jane = api.ask("GET", path, headers={"Impersonate-User": "jane"})
        assert as_jane.status == 403
        assert api.ask("POST", path).status == 405


# Exported


def export(folder: Path, issuer: str, *key_files: Path, jwks_uri: str = "") -> Result:
    arguments = ["--dir", str(folder), "--service-account-issuer", issuer]
    for path in key_files:
        arguments += ["--service-account-key-file", str(path)]
    if jwks_uri:
        arguments += ["--service-account-jwks-uri", jwks_uri]
    return CliRunner().invoke(main, ["oidc", "export", *arguments])


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """A private key, as the plane has it."""
    path = tmp_path / "private.pem"
    key = ec.generate_private_key(ec.SECP384R1())
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


def test_export(tmp_path: Path, key_file: Path) -> None:
    """Two files below the folder, the same bytes that a server would send, for everybody to read."""
    folder = tmp_path / "site"
    done = export(folder, ISSUER, key_file)
    assert done.exit_code == 0, done.output
    first, second = folder / "openid/v1/jwks", folder / ".well-known/openid-configuration"
    assert done.output == (f"{first}  application/jwk-set+json\n{second}  application/json\n")
    keys = KeySet(load_verifying_keys(key_file))
    assert first.read_bytes() == key_set(keys).body
    assert second.read_bytes() == discovery(ISSUER, f"{ISSUER}/openid/v1/jwks", keys).body
    assert sorted(path for path in folder.rglob("*") if path.is_file()) == [second, first]
    for path in (first, second):
        assert path.stat().st_mode & 0o777 == 0o644
        assert b"PRIVATE" not in path.read_bytes()


def test_export_again(tmp_path: Path, key_file: Path) -> None:
    """A second export takes the place of the first; the same key twice stands there once."""
    done = export(tmp_path, ISSUER, key_file)
    assert done.exit_code == 0
    done = export(tmp_path, f"{ISSUER}/sub/", key_file, key_file)
    assert done.exit_code == 0
    document = json.loads((tmp_path / ".well-known/openid-configuration").read_bytes())
    assert document["issuer"] == f"{ISSUER}/sub/"
    assert document["jwks_uri"] == f"{ISSUER}/sub/openid/v1/jwks"
    assert len(json.loads((tmp_path / "openid/v1/jwks").read_bytes())["keys"]) == 1


@pytest.mark.parametrize(
    ("issuer", "jwks_uri", "message"),
    [
        pytest.param(
            "http://i", "", "--service-account-issuer: issuer URL must use https", id="http"
        ),
        pytest.param(
            ISSUER, "http://k", "--service-account-issuer: jwksURI requires https", id="keys"
        ),
    ],
)
def test_export_of_an_issuer_that_nobody_could_discover(
    issuer: str, jwks_uri: str, message: str, tmp_path: Path, key_file: Path
) -> None:
    """Nothing is written then."""
    folder = tmp_path / "site"
    done = export(folder, issuer, key_file, jwks_uri=jwks_uri)
    assert done.exit_code == 2
    assert done.output.startswith(f"verger: {message}")
    assert not folder.exists()


def test_export_without_keys(tmp_path: Path) -> None:
    """A file that is missing or holds no key is told of by its name, and its content is not shown."""
    gone = export(tmp_path, ISSUER, tmp_path / "gone")
    assert gone.exit_code == 2
    assert "--service-account-key-file: cannot read" in gone.output
    odd = tmp_path / "odd"
    odd.write_text("hunter2")
    done = export(tmp_path, ISSUER, odd)
    assert done.exit_code == 2
    assert "it holds no key in PEM" in done.output
    assert "hunter2" not in done.output
    assert "Missing option" in export(tmp_path, ISSUER).output


def test_export_to_where_nothing_can_be_written(tmp_path: Path, key_file: Path) -> None:
    """The path and the reason."""
    (tmp_path / "openid").write_text("a file where a folder should be")
    done = export(tmp_path, ISSUER, key_file)
    assert done.exit_code == 2
    assert "--dir: cannot write" in done.output
