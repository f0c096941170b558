"""Every known way to make somebody believe a token that should not be believed, over real HTTPS.

Each attack is tried twice: as a bearer token, and in a TokenReview. The plane's keys are files here, so that tests can
sign what the plane itself never would.
"""

import base64
import hashlib
import hmac
import http.client
import io
import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from verger.embed import ControlPlane
from verger.embed.logs import make_logger
from verger.identity.keys import VerifyingKey, key_id
from verger.identity.signing import SigningKey
from verger.identity.tokens import TOKEN_MAX, header_of, payload_of

from tests.identity.https import Api, served
from tests.identity.world import part

ISSUER = "https://issuer.example"
RSA = rsa.generate_private_key(65537, 2048)
ELSEWHERE = ec.generate_private_key(ec.SECP256R1())
"""Signs elsewhere, and is listed here."""
STRANGER = ec.generate_private_key(ec.SECP256R1())
"""Is listed nowhere."""
STRANGER_RSA = rsa.generate_private_key(65537, 2048)
PUBLIC_PEM = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
PUBLIC_DER = RSA.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
KID = key_id(RSA.public_key())


class Victim(NamedTuple):
    """A plane, what it writes, and a good token of account ns/sa."""

    api: Api
    log: io.StringIO
    token: str
    legacy: str

    def signed(self, key: Any = RSA, **changes: Any) -> str:
        """The claims of the good token with some changed, None taking one away."""
        payload = {**payload_of(self.token), **changes}
        kept = {name: value for name, value in payload.items() if value is not None}
        return signed({"alg": SigningKey(key).algorithm, "kid": SigningKey(key).kid}, kept, key)


def signed(header: Any, payload: Any, key: Any) -> str:
    """A token under a signature of the key, whatever its header says."""
    message = f"{part(header)}.{part(payload)}"
    return f"{message}.{part(SigningKey(key)._signature(message.encode()))}"


def mac(header: Any, payload: Any, secret: bytes) -> str:
    """A token under a shared secret."""
    message = f"{part(header)}.{part(payload)}"
    return f"{message}.{part(hmac.new(secret, message.encode(), hashlib.sha256).digest())}"


def private_pem(key: Any) -> bytes:
    found: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return found


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    folder = tmp_path_factory.mktemp("keys")
    ours, theirs = folder / "ours.pem", folder / "theirs.pem"
    ours.write_bytes(private_pem(RSA))
    theirs.write_bytes(
        ELSEWHERE.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    log = io.StringIO()
    plane = ControlPlane(
        private_key_file=ours,
        key_files=(theirs,),
        issuers=(ISSUER,),
        audiences=("api", "also"),
        log=make_logger(level="debug", format="json", stream=log),
    )
    with served(plane) as api:
        api.create("/api/v1/namespaces", {"metadata": {"name": "ns"}})
        api.create("/api/v1/namespaces/ns/serviceaccounts", {"metadata": {"name": "sa"}})
        yield Victim(api, log, api.token("ns", "sa"), legacy_token(api))


def legacy_token(api: Api) -> str:
    """The token of a Secret that was made by hand."""
    path = "/api/v1/namespaces/ns/secrets"
    secret = {
        "metadata": {"name": "old", "annotations": {"kubernetes.io/service-account.name": "sa"}},
        "type": "kubernetes.io/service-account-token",
    }
    api.create(path, secret)
    query = "?watch=1&fieldSelector=metadata.name%3Dold&timeoutSeconds=30"
    connection = http.client.HTTPSConnection(
        api.plane.url.removeprefix("https://"), timeout=30, context=api.context
    )
    connection.request("GET", path + query, headers={"Authorization": f"Bearer {api.plane.token}"})
    answer = connection.getresponse()
    try:
        while True:
            found = json.loads(answer.readline())["object"].get("data") or {}
            if "token" in found:
                return base64.b64decode(found["token"]).decode()
    finally:
        answer.close()
        connection.close()


Attack = Callable[[Victim], str]


def with_header(**header: Any) -> Attack:
    """The good claims, signed anew by the plane's key under another header; None takes a part away."""

    def make(victim: Victim) -> str:
        merged = {**header_of(victim.token), **header}
        kept = {name: value for name, value in merged.items() if value is not None}
        return signed(kept, payload_of(victim.token), RSA)

    return make


def forged(**header: Any) -> Attack:
    """The good claims under a stranger's signature."""

    def make(victim: Victim) -> str:
        return signed({"alg": "ES256", **header}, payload_of(victim.token), STRANGER)

    return make


def shared(secret: bytes, **header: Any) -> Attack:
    """The good claims under a shared secret."""
    return lambda v: mac({"alg": "HS256", "kid": KID, **header}, payload_of(v.token), secret)


def unsigned(alg: str, signature: str = "") -> Attack:
    """The good claims under a header that says that they need no signature."""
    return lambda v: f"{part({'alg': alg, 'kid': KID})}.{v.token.split('.')[1]}.{signature}"


def stolen(**changes: Any) -> Attack:
    """Other claims under the signature of the good ones."""

    def make(victim: Victim) -> str:
        head, _, signature = victim.token.split(".")
        return f"{head}.{part({**payload_of(victim.token), **changes})}.{signature}"

    return make


def claiming(**changes: Any) -> Attack:
    """Other claims under a good signature of the plane's key."""
    return lambda v: v.signed(**changes)


def twice(claim: str, first: Any) -> Attack:
    """A claim that stands there twice, under a good signature."""

    def make(victim: Victim) -> str:
        rest = json.dumps(payload_of(victim.token))
        payload = f'{{"{claim}": {json.dumps(first)}, {rest[1:]}'.encode()
        return signed({"alg": "RS256", "kid": KID}, payload, RSA)

    return make


def jwk_of(key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    return VerifyingKey.of(key.public_key()).jwk()


def bound_to(**account: str) -> dict[str, Any]:
    return {"kubernetes.io": {"namespace": "ns", "serviceaccount": {"name": "sa", **account}}}


NEVER = 4_000_000_000
ATTACKS = [
    # Signatures
    pytest.param(unsigned("none"), id="alg none"),
    pytest.param(unsigned("None"), id="alg none in another case"),
    pytest.param(unsigned("nOnE", part(b"x")), id="alg none with something behind it"),
    pytest.param(unsigned(""), id="an empty alg"),
    pytest.param(unsigned("RS256"), id="no signature"),
    pytest.param(unsigned("RS256", part(b"\0" * 256)), id="a signature of nothing"),
    pytest.param(unsigned("ES256", part(b"\0" * 64)), id="the signature that fits everything"),
    pytest.param(shared(PUBLIC_PEM), id="the public key as a shared secret"),
    pytest.param(shared(PUBLIC_PEM.strip()), id="the same without its line end"),
    pytest.param(shared(PUBLIC_DER), id="the same in DER"),
    pytest.param(shared(b""), id="an empty shared secret"),
    pytest.param(shared(PUBLIC_PEM, alg="HS256", kid=""), id="a shared secret and no kid"),
    pytest.param(with_header(alg="RS512"), id="another algorithm of the same key"),
    pytest.param(with_header(alg="PS256"), id="another padding"),
    pytest.param(with_header(alg="ES256"), id="the algorithm of another sort of key"),
    pytest.param(with_header(alg=None), id="no alg"),
    pytest.param(with_header(alg=["RS256"]), id="a list of algorithms"),
    pytest.param(lambda v: v.signed(STRANGER), id="a stranger's key"),
    pytest.param(lambda v: v.signed(STRANGER_RSA), id="a stranger's key of the same sort"),
    pytest.param(lambda v: v.token[:-2], id="a signature that is cut off"),
    pytest.param(lambda v: v.token.rpartition(".")[0] + ".", id="a signature that is cut out"),
    pytest.param(lambda v: f"{v.token}AAAA", id="a signature that is too long"),
    pytest.param(stolen(sub="system:serviceaccount:kube-system:default"), id="another subject"),
    pytest.param(stolen(exp=NEVER), id="another expiry"),
    pytest.param(stolen(aud=["api", "vault"]), id="other audiences"),
    # Where the key comes from
    pytest.param(forged(kid=KID), id="a stranger's key under our kid"),
    pytest.param(forged(), id="a stranger's key without a kid"),
    pytest.param(forged(kid=KID, jwk=jwk_of(STRANGER)), id="a key that the token brings along"),
    pytest.param(forged(jku="https://evil.example/jwks"), id="keys that the token points to"),
    pytest.param(forged(x5u="https://evil.example/chain"), id="certificates that it points to"),
    pytest.param(forged(kid="../../../../dev/null"), id="a kid that is a path"),
    pytest.param(forged(kid="' OR 1=1 --"), id="a kid that is a query"),
    pytest.param(forged(kid=["*"]), id="a kid that is a list"),
    pytest.param(with_header(kid="unknown"), id="a kid that nobody has, under a good signature"),
    pytest.param(with_header(kid=KID.lower()), id="a kid in another case"),
    pytest.param(with_header(kid=f"{KID}="), id="a kid with something behind it"),
    pytest.param(with_header(crit=["exp"]), id="extensions that have to be understood"),
    pytest.param(with_header(b64=False, crit=["b64"]), id="claims that are not encoded"),
    # What it looks like
    pytest.param(lambda v: v.token.replace(".", ".."), id="five parts"),
    pytest.param(lambda v: f"{v.token}.{v.token}", id="two tokens"),
    pytest.param(lambda v: f"{v.token}.", id="a point behind it"),
    pytest.param(lambda v: f"{v.token}=", id="padding"),
    pytest.param(lambda v: v.token.replace(".", "=."), id="padding everywhere"),
    pytest.param(lambda v: v.token.upper(), id="another case"),
    pytest.param(lambda v: signed(header_of(v.token), part(v.token.encode()), RSA), id="nested"),
    pytest.param(
        lambda v: signed({**header_of(v.token), "cty": "JWT"}, v.token.encode(), RSA),
        id="a token in a token",
    ),
    pytest.param(
        lambda v: json.dumps(
            dict(zip(("protected", "payload", "signature"), v.token.split("."), strict=True)),
            separators=(",", ":"),
        ),
        id="the JSON form",
    ),
    pytest.param(
        lambda v: "{" + part({"iss": ISSUER}) + f".{v.token.split('.')[1]}.x", id="half JSON"
    ),
    pytest.param(lambda v: "x" * 4000, id="garbage"),
    pytest.param(lambda v: "." * 4000, id="nothing but points"),
    pytest.param(lambda v: "a.b.c", id="three letters"),
    pytest.param(lambda v: part(b"[" * 3000) + f".{part(b'[' * 2000)}.a", id="deep JSON"),
    pytest.param(twice("sub", "system:admin"), id="two subjects"),
    pytest.param(twice("iss", ISSUER), id="two issuers"),
    pytest.param(twice("exp", NEVER), id="two expiries"),
    # What it says
    pytest.param(claiming(exp=1_700_000_000), id="expired"),
    pytest.param(claiming(nbf=NEVER), id="not valid yet"),
    pytest.param(claiming(iat=NEVER), id="issued in the future"),
    pytest.param(claiming(exp="never"), id="an expiry that is a text"),
    pytest.param(claiming(exp=True), id="an expiry that is a truth"),
    pytest.param(claiming(exp=1e300), id="an expiry beyond all calendars"),
    pytest.param(claiming(aud=["vault"]), id="for somebody else"),
    pytest.param(claiming(aud="API"), id="for somebody of almost that name"),
    pytest.param(claiming(aud={"api": 1}), id="an audience that is a map"),
    pytest.param(claiming(aud=["api", 1]), id="an audience that is a number"),
    pytest.param(claiming(iss="https://evil.example"), id="another issuer"),
    pytest.param(claiming(iss=f"{ISSUER}/"), id="almost our issuer"),
    pytest.param(claiming(iss=None), id="no issuer"),
    pytest.param(claiming(iss=[ISSUER]), id="a list of issuers"),
    pytest.param(claiming(sub="system:admin"), id="a subject that is no account"),
    pytest.param(
        claiming(sub="system:serviceaccount:ns:default"), id="a subject of another account"
    ),
    pytest.param(claiming(sub=None), id="no subject"),
    pytest.param(claiming(**bound_to(uid="another")), id="an account of that name long ago"),
    pytest.param(claiming(**bound_to()), id="an account without a uid"),
    pytest.param(claiming(**{"kubernetes.io": None}), id="no account"),
    pytest.param(claiming(**{"kubernetes.io": "ns"}), id="an account that is a text"),
    pytest.param(
        claiming(iss="kubernetes/serviceaccount"),
        id="the claims of one sort, the issuer of another",
    ),
    pytest.param(
        lambda v: signed(header_of(v.legacy), {**payload_of(v.legacy), "iss": ISSUER}, RSA),
        id="and the other way round",
    ),
    pytest.param(
        lambda v: signed({"alg": "RS256", "kid": KID}, {**payload_of(v.legacy), "exp": NEVER}, RSA),
        id="a legacy token that is not the one in its Secret",
    ),
]


def refused_everywhere(victim: Victim, token: str) -> str:
    """Neither lets anybody in nor convinces a reviewer. What the reviewer is told."""
    answer = victim.api.ask("GET", "/api", token=token)
    assert answer.status == 401
    assert answer.json == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "Unauthorized",
        "reason": "Unauthorized",
        "code": 401,
    }
    status = victim.api.review(token)
    assert not status.get("authenticated")
    assert status["user"] == {}
    assert "audiences" not in status
    return str(status["error"])


@pytest.mark.parametrize("attack", ATTACKS)
def test_attack_fails(victim: Victim, attack: Attack) -> None:
    """Nobody gets in, nobody is told why, and a reviewer is told nothing of the token itself."""
    token = attack(victim)
    error = refused_everywhere(victim, token)
    assert not any(piece and piece in error for piece in token.split(".") if len(piece) > 8)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda v: v.token, id="as it was issued"),
        pytest.param(lambda v: v.legacy, id="as it stands in its Secret"),
        pytest.param(lambda v: v.signed(), id="signed anew"),
        pytest.param(
            lambda v: v.signed(ELSEWHERE), id="signed elsewhere with a key that is listed"
        ),
        pytest.param(lambda v: v.signed(aud="api"), id="an audience that is a text"),
        pytest.param(lambda v: v.signed(aud=["vault", "also"]), id="one audience of several"),
        pytest.param(with_header(kid=None), id="without a kid"),
        pytest.param(with_header(typ="JWT"), id="with the type of the header"),
        pytest.param(
            with_header(jku="https://evil.example"), id="with a pointer that nobody follows"
        ),
    ],
)
def test_good_token_is_believed(victim: Victim, make: Attack) -> None:
    """What makes the attacks fail is not that nothing is believed."""
    token = make(victim)
    assert victim.api.ask("GET", "/api", token=token).status == 200
    status = victim.api.review(token)
    assert status["authenticated"] is True
    assert status["user"]["username"] == "system:serviceaccount:ns:sa"


@pytest.mark.parametrize(
    ("wanted", "audiences"),
    [
        pytest.param(["api"], ["api"], id="this server"),
        pytest.param(["vault", "also", "api"], ["also", "api"], id="in the order of the question"),
        pytest.param([], ["api", "also"], id="nobody in particular"),
    ],
)
def test_reviewer_learns_for_whom(victim: Victim, wanted: list[str], audiences: list[str]) -> None:
    """The audiences of the question that the token is for."""
    assert victim.api.review(victim.token, *wanted)["audiences"] == audiences


def test_token_for_somebody_else(victim: Victim) -> None:
    """A token for the vault is good for a reviewer who is the vault, and for nothing else."""
    token = victim.api.token("ns", "sa", audiences=["vault"])
    assert victim.api.review(token, "vault")["audiences"] == ["vault"]
    assert refused_everywhere(victim, token) == (
        '[invalid bearer token, token audiences ["vault"] is invalid for the target audiences ["api" "also"]]'
    )


@pytest.mark.parametrize("size", [TOKEN_MAX + 1, 1_000_000])
def test_oversized_token(victim: Victim, size: int) -> None:
    """A token that is larger than any token is not looked at."""
    padded = victim.signed(jti="x" * size)
    assert victim.api.review(padded)["error"] == "invalid bearer token"
    assert victim.api.ask("GET", "/api", token=padded[:7000]).status == 401


def test_token_dies_with_its_account_at_once(victim: Victim) -> None:
    """There is no cache that remembers the account, and another one of its name does not bring the token back."""
    api, path = victim.api, "/api/v1/namespaces/ns/serviceaccounts"
    api.create(path, {"metadata": {"name": "short"}})
    token = api.token("ns", "short")
    assert api.ask("GET", "/api", token=token).status == 200
    api.does("DELETE", f"{path}/short")
    assert refused_everywhere(victim, token).endswith('serviceaccounts "short" not found]')
    api.create(path, {"metadata": {"name": "short"}})
    assert "does not match claim" in refused_everywhere(victim, token)


def test_wrong_token_is_not_anonymous(victim: Victim) -> None:
    """What anonymous users may see, whoever brings a wrong token may not."""
    assert victim.api.ask("GET", "/version", token="").status == 200
    assert victim.api.ask("GET", "/version", token="wrong").status == 401


@pytest.mark.parametrize("raw", ["\xff", "a.b\xff.c", "\xe9t\xe9", "\x80"])
def test_bytes_that_are_no_text(victim: Victim, raw: str) -> None:
    """A header that is no text is a wrong credential, and no fault of the server."""
    headers = {"Authorization": f"Bearer {raw}"}
    assert victim.api.ask("GET", "/api", token="", headers=headers).status == 401


def test_nothing_of_a_token_gets_out(victim: Victim) -> None:
    """Neither logs nor metrics nor events nor errors hold a token, its signature, or a key."""
    api = victim.api
    tokens = [attack.values[0](victim) for attack in ATTACKS]  # type: ignore[operator]
    tokens += [victim.token, victim.legacy, api.plane.token]
    said = []
    for token in tokens:
        said.append(api.ask("GET", "/api", token=token).body)
        said.append(api.ask("POST", "/api/v1/namespaces/ns/pods", {"a": token}, token=token).body)
        said.append(json.dumps(api.review(token)).encode())
    # A header that is too long for HTTP itself is told of, too.
    assert api.ask("GET", "/api", token=f"{victim.token}{'x' * 9000}").status == 400
    assert "request not understood" in victim.log.getvalue()
    said.append(api.ask("GET", "/metrics").body)
    said.append(api.ask("GET", "/api/v1/events").body)
    said.append(api.ask("GET", "/apis/events.k8s.io/v1/events").body)
    said.append(victim.log.getvalue().encode())
    everything = b"\n".join(said).decode()
    for token in tokens:
        for piece in token.split("."):
            if len(piece) >= 20:
                assert piece[:20] not in everything
    for line in private_pem(RSA).decode().splitlines()[1:]:
        assert line not in everything


def test_reprs_show_nothing(victim: Victim) -> None:
    """What a debugger or a traceback prints of the parts that hold tokens and keys."""
    parts = victim.api.plane._started()
    tokens = parts.server._authentication._authenticators
    for part_ in (parts, parts.keys, parts.keys.signing, *tokens, *parts.keys.verifying):
        for text in (repr(part_), str(part_)):
            assert victim.token not in text
            assert victim.api.plane.token not in text
            assert "PRIVATE" not in text
