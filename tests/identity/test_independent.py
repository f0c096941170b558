"""Others verify our tokens, knowing nothing but the issuer's URL; and tokens that others signed are taken here.

The other side is another library (joserfc), and a web server with the two files that `verger oidc export` writes.
"""

import json
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, RSAKey
from verger.cmd.main import main
from verger.embed import ControlPlane

from tests.identity.https import Api, served
from tests.identity.static_host import Host, static_host

ALGORITHMS = ["RS256", "ES256", "ES384", "ES512"]
CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
ELSEWHERE = "https://elsewhere.example"


class Federation(NamedTuple):
    """A plane whose issuer is a web server, and somebody else who signs."""

    api: Api
    host: Host
    elsewhere: ec.EllipticCurvePrivateKey


def make_key(algorithm: str) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
    if algorithm == "RS256":
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(CURVES[algorithm])


def export(host: Host, *key_files: Path) -> str:
    """Runs `verger oidc export` for the host."""
    arguments = ["oidc", "export", "--dir", str(host.folder), "--service-account-issuer", host.url]
    for path in key_files:
        arguments += ["--service-account-key-file", str(path)]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module", params=ALGORITHMS)
def federation(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Federation]:
    folder = tmp_path_factory.mktemp("federation")
    private, public = folder / "private.pem", folder / "elsewhere.pem"
    private.write_bytes(
        make_key(request.param).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    elsewhere = ec.generate_private_key(ec.SECP256R1())
    public.write_bytes(
        elsewhere.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    with static_host(folder, time.time()) as host:
        export(host, private)
        plane = ControlPlane(
            private_key_file=private,
            key_files=(public,),
            issuers=(host.url, ELSEWHERE),
            jwks_uri=f"{host.url}/openid/v1/jwks",
            audiences=("api",),
        )
        with served(plane) as api:
            api.create("/api/v1/namespaces", {"metadata": {"name": "ns"}})
            api.create("/api/v1/namespaces/ns/serviceaccounts", {"metadata": {"name": "sa"}})
            yield Federation(api, host, elsewhere)


def fetched(url: str, host: Host) -> Any:
    """A document, as any client gets it."""
    with urllib.request.urlopen(url, context=host.context()) as answer:
        assert answer.status == 200
        return json.load(answer)


def verify(token: str, issuer: str, audience: str, host: Host) -> dict[str, Any]:
    """What a verifier does who knows the issuer's URL and his own name. Raises JoseError."""
    document = fetched(f"{issuer}/.well-known/openid-configuration", host)
    assert document["issuer"] == issuer
    keys = KeySet.import_key_set(fetched(document["jwks_uri"], host))
    algorithms = document["id_token_signing_alg_values_supported"]
    found = jwt.decode(token, keys, algorithms=algorithms)
    rules = jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": issuer},
        aud={"essential": True, "value": audience},
        sub={"essential": True},
        exp={"essential": True},
    )
    rules.validate(found.claims)
    return found.claims


def test_token_is_verified_by_somebody_who_knows_the_issuer(federation: Federation) -> None:
    """Discovery, keys, signature, issuer, audience and times: all without asking the plane."""
    token = federation.api.token("ns", "sa", audiences=["vault"])
    claims = verify(token, federation.host.url, "vault", federation.host)
    assert claims["sub"] == "system:serviceaccount:ns:sa"
    with pytest.raises(JoseError):
        verify(token, federation.host.url, "api", federation.host)
    with pytest.raises(JoseError):
        verify(token[:-4], federation.host.url, "vault", federation.host)


def test_plane_serves_what_was_exported(federation: Federation) -> None:
    """The two documents are the same bytes, wherever they are asked for; the keys of others are in both or in none."""
    api, host = federation.api, federation.host
    served_here = api.ask("GET", "/.well-known/openid-configuration")
    exported = (host.folder / ".well-known" / "openid-configuration").read_bytes()
    document = json.loads(exported)
    # The plane also lists the key of elsewhere, with an algorithm that the exported one may not have.
    algorithms = "id_token_signing_alg_values_supported"
    assert set(document.pop(algorithms)) <= set(served_here.json[algorithms])
    assert document.items() <= served_here.json.items()
    assert list(served_here.json) == list(json.loads(exported))
    keys = json.loads((host.folder / "openid" / "v1" / "jwks").read_bytes())["keys"]
    assert api.does("GET", "/openid/v1/jwks")["keys"][: len(keys)] == keys


def foreign(federation: Federation, **changes: Any) -> str:
    """A token of account ns/sa that the other library signed, elsewhere."""
    account = federation.api.does("GET", "/api/v1/namespaces/ns/serviceaccounts/sa")
    now = int(time.time())
    claims = {
        "iss": ELSEWHERE,
        "sub": "system:serviceaccount:ns:sa",
        "aud": ["api"],
        "iat": now,
        "exp": now + 600,
        "kubernetes.io": {
            "namespace": "ns",
            "serviceaccount": {"name": "sa", "uid": account["metadata"]["uid"]},
        },
    }
    pem = federation.elsewhere.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return jwt.encode({"alg": "ES256", "typ": "JWT"}, {**claims, **changes}, ECKey.import_key(pem))


def test_token_that_was_signed_elsewhere_is_taken(federation: Federation) -> None:
    """A listed key, an accepted issuer, an account that is there: who signed does not matter."""
    api = federation.api
    token = foreign(federation)
    assert api.ask("GET", "/api", token=token).status == 200
    status = api.review(token)
    assert status["user"]["username"] == "system:serviceaccount:ns:sa"
    assert api.ask("GET", "/api", token=foreign(federation, iss="https://x")).status == 401
    assert api.ask("GET", "/api", token=foreign(federation, aud=["vault"])).status == 401


def test_inspect_needs_nothing_but_the_issuer(federation: Federation) -> None:
    """`verger token inspect --issuer` finds the keys as everybody does."""
    token = federation.api.token("ns", "sa", audiences=["vault"])
    trust = ["--certificate-authority", str(federation.host.authority)]
    command = ["token", "inspect", "--issuer", federation.host.url, *trust]
    done = CliRunner().invoke(main, [*command, "--audience", "vault"], input=f"{token}\n")
    assert done.exit_code == 0, done.output
    assert "Good, as long as what it dies with is there." in done.output
    other = CliRunner().invoke(main, [*command, "--audience", "api"], input=token)
    assert other.exit_code == 1
    assert "is invalid for the target audiences" in other.output


def test_key_of_another_library_is_the_same_key(federation: Federation) -> None:
    """Our kid is not the thumbprint of RFC 7638, and every key of the set says its algorithm and use."""
    for entry in federation.api.does("GET", "/openid/v1/jwks")["keys"]:
        kind = RSAKey if entry["kty"] == "RSA" else ECKey
        key = kind.import_key(entry)
        assert not key.is_private
        assert entry["use"] == "sig"
        assert entry["alg"] in ALGORITHMS
