"""The plane's certificates, as other software judges them: ssl in a handshake, and the verifiers of cryptography."""

import ipaddress
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
from verger.identity.authn import ClientCertificate, Credentials
from verger.identity.certificates import Authority, KeyPair, server_context

HOSTS = ["localhost", "kubernetes.default.svc", "127.0.0.1", "::1", "localhost"]
NOW = 1_700_000_000.0


@pytest.fixture(scope="module")
def authority() -> Authority:
    """An authority of today, which ssl can verify."""
    return Authority(time.time())


def parsed(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem)


def extension(certificate: x509.Certificate, kind: type[Any]) -> tuple[Any, bool]:
    """The value of an extension, and whether it is critical."""
    found = certificate.extensions.get_extension_for_class(kind)
    return found.value, found.critical


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def test_authority() -> None:
    """It signs itself, may sign others but no authorities, and is valid for ten years."""
    ca = parsed(Authority(NOW).certificate)
    ca.verify_directly_issued_by(ca)
    constraints, critical = extension(ca, x509.BasicConstraints)
    assert (constraints.ca, constraints.path_length, critical) == (True, 0, True)
    usage, critical = extension(ca, x509.KeyUsage)
    assert usage.key_cert_sign
    assert critical
    assert ca.not_valid_before_utc == at(NOW) - timedelta(hours=1)
    assert ca.not_valid_after_utc == at(NOW) + timedelta(days=3650)


@pytest.mark.parametrize("kind", ["server", "client"])
def test_leaf(kind: str) -> None:
    """A certificate of its own key, from an hour ago for a year, that may not sign others."""
    authority = Authority(NOW)
    pair = authority.server(HOSTS) if kind == "server" else authority.client("u", ("g",))
    leaf, ca = parsed(pair.certificate), parsed(authority.certificate)
    leaf.verify_directly_issued_by(ca)
    key = load_pem_private_key(pair.key, password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.public_key() == leaf.public_key() != ca.public_key()
    constraints, critical = extension(leaf, x509.BasicConstraints)
    assert (constraints.ca, critical) == (False, True)
    expected = {
        "server": ExtendedKeyUsageOID.SERVER_AUTH,
        "client": ExtendedKeyUsageOID.CLIENT_AUTH,
    }
    assert list(extension(leaf, x509.ExtendedKeyUsage)[0]) == [expected[kind]]
    known, _ = extension(leaf, x509.AuthorityKeyIdentifier)
    own, _ = extension(ca, x509.SubjectKeyIdentifier)
    assert known.key_identifier == own.digest
    assert leaf.not_valid_before_utc == at(NOW) - timedelta(hours=1)
    assert leaf.not_valid_after_utc == at(NOW) + timedelta(days=365)


def test_names_of_the_server() -> None:
    """Names and addresses are told apart, in their order, each once."""
    leaf = parsed(Authority(NOW).server(HOSTS).certificate)
    names, _ = extension(leaf, x509.SubjectAlternativeName)
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "kubernetes.default.svc"]
    assert names.get_values_for_type(x509.IPAddress) == [
        ipaddress.ip_address("127.0.0.1"),
        ipaddress.ip_address("::1"),
    ]


def test_subject_of_a_client() -> None:
    """The common name is the user, each organization a group."""
    leaf = parsed(Authority(NOW).client("admin", ("system:masters", "others")).certificate)
    subject = [(part.rfc4514_attribute_name, part.value) for part in leaf.subject]
    assert subject == [("O", "system:masters"), ("O", "others"), ("CN", "admin")]


def test_nothing_is_used_twice() -> None:
    """Serial numbers and keys are different for each certificate of an authority."""
    authority = Authority(NOW)
    leaves = [parsed(authority.client("u", ()).certificate) for _ in range(5)]
    assert len({leaf.serial_number for leaf in leaves}) == 5
    assert len({leaf.public_key().public_numbers() for leaf in leaves}) == 5  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "good"),
    [
        (x509.DNSName("localhost"), True),
        (x509.DNSName("kubernetes.default.svc"), True),
        (x509.DNSName("elsewhere"), False),
        (x509.IPAddress(ipaddress.ip_address("127.0.0.1")), True),
        (x509.IPAddress(ipaddress.ip_address("127.0.0.2")), False),
    ],
)
def test_chain_by_the_rules_of_the_web(name: Any, good: bool) -> None:
    """The strict verifier of cryptography takes the server's certificate under its names, and under no others."""
    authority = Authority(NOW)
    store = Store([parsed(authority.certificate)])
    verifier = PolicyBuilder().store(store).time(at(NOW)).build_server_verifier(name)
    leaf = parsed(authority.server(HOSTS).certificate)
    if good:
        assert len(verifier.verify(leaf, [])) == 2
    else:
        with pytest.raises(VerificationError):
            verifier.verify(leaf, [])


@pytest.mark.parametrize("days", [-1, 366])
def test_chain_at_another_time(days: int) -> None:
    """Before it began and after it ended, the certificate is no good."""
    authority = Authority(NOW)
    store = Store([parsed(authority.certificate)])
    then = at(NOW) + timedelta(days=days)
    verifier = (
        PolicyBuilder().store(store).time(then).build_server_verifier(x509.DNSName("localhost"))
    )
    with pytest.raises(VerificationError):
        verifier.verify(parsed(authority.server(HOSTS).certificate), [])


def test_private_keys_do_not_show() -> None:
    """A pair's representation has its certificate alone, an authority's nothing at all."""
    authority = Authority(NOW)
    pair = authority.client("u", ())
    middle = pair.key.decode().splitlines()[1]
    assert middle not in repr(pair)
    assert "PRIVATE" not in repr(pair)
    assert "PRIVATE" not in repr(authority)


# Handshakes, in memory


class Shaken:
    """Two ends of a connection that have shaken hands."""

    def __init__(self, server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> None:
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = client.wrap_bio(to_client, to_server, server_hostname=name)
        self.server = server.wrap_bio(to_server, to_client, server_side=True)
        ends = [self.client, self.server]
        for _ in range(10):
            for end in list(ends):
                try:
                    end.do_handshake()
                except ssl.SSLWantReadError:
                    continue
                ends.remove(end)
        assert not ends


@pytest.fixture
def serving(authority: Authority, tmp_path: Path) -> ssl.SSLContext:
    """The server's context."""
    return context_of(authority.server(HOSTS), authority.certificate, tmp_path)


def context_of(pair: KeyPair, ca: bytes, folder: Path) -> ssl.SSLContext:
    """A server's context, from files."""
    certificate, key = folder / "tls.crt", folder / "tls.key"
    certificate.write_bytes(pair.certificate)
    key.write_bytes(pair.key)
    return server_context(certificate, key, ca)


def trusting(ca: bytes) -> ssl.SSLContext:
    """A client's context."""
    return ssl.create_default_context(cadata=ca.decode())


def showing(context: ssl.SSLContext, pair: KeyPair, folder: Path) -> ssl.SSLContext:
    """The context, with a certificate to show."""
    (folder / "c.crt").write_bytes(pair.certificate)
    (folder / "c.key").write_bytes(pair.key)
    context.load_cert_chain(folder / "c.crt", folder / "c.key")
    return context


@pytest.mark.parametrize("name", HOSTS[:4])
def test_handshake(authority: Authority, serving: ssl.SSLContext, name: str) -> None:
    """A client that trusts the authority reaches the server under each of its names, without a certificate of its own."""
    shaken = Shaken(serving, trusting(authority.certificate), name)
    assert shaken.server.getpeercert() is None
    assert shaken.client.version() == "TLSv1.3"


@pytest.mark.parametrize("name", ["elsewhere", "127.0.0.2"])
def test_handshake_under_another_name(
    authority: Authority, serving: ssl.SSLContext, name: str
) -> None:
    """Under a name that is not its own the client does not take it for the server."""
    with pytest.raises(ssl.SSLCertVerificationError):
        Shaken(serving, trusting(authority.certificate), name)


def test_handshake_with_a_stranger(serving: ssl.SSLContext) -> None:
    """The certificate of another authority of the same name is not trusted."""
    with pytest.raises(ssl.SSLCertVerificationError):
        Shaken(serving, trusting(Authority(time.time()).certificate), "localhost")


def test_old_versions_are_refused(authority: Authority, serving: ssl.SSLContext) -> None:
    """TLS 1.2 is the oldest that is spoken."""
    client = trusting(authority.certificate)
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    assert Shaken(serving, client, "localhost").client.version() == "TLSv1.2"
    assert serving.minimum_version == ssl.TLSVersion.TLSv1_2


def test_client_certificate_becomes_a_user(
    authority: Authority, serving: ssl.SSLContext, tmp_path: Path
) -> None:
    """What the server sees of the certificate is what authentication takes: name and groups."""
    pair = authority.client("jane", ("devs", "ops"))
    client = showing(trusting(authority.certificate), pair, tmp_path)
    shown = Shaken(serving, client, "localhost").server.getpeercert()
    user = ClientCertificate().authenticate(Credentials(certificate=shown))
    assert user is not None
    assert user.name == "jane"
    assert user.groups == ("devs", "ops", "system:authenticated")


@pytest.mark.parametrize(
    "pair",
    [
        pytest.param(lambda a: Authority(time.time()).client("jane", ()), id="of a stranger"),
        pytest.param(lambda a: a.server(["localhost"]), id="of a server"),
    ],
)
def test_client_certificates_that_are_no_good(
    authority: Authority,
    serving: ssl.SSLContext,
    tmp_path: Path,
    pair: Callable[[Authority], KeyPair],
) -> None:
    """A certificate that is shown and is no good ends the handshake."""
    client = showing(trusting(authority.certificate), pair(authority), tmp_path)
    with pytest.raises(ssl.SSLError):
        Shaken(serving, client, "localhost")


def test_client_certificate_of_the_past(tmp_path: Path) -> None:
    """An authority lives longer than what it signs: a certificate that has ended is no good any more."""
    authority = Authority(time.time() - timedelta(days=400).total_seconds())
    serving = context_of(authority.server(HOSTS), authority.certificate, tmp_path)
    careless = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    careless.check_hostname = False
    careless.verify_mode = ssl.CERT_NONE
    Shaken(serving, careless, "localhost")
    with pytest.raises(ssl.SSLError, match="expired"):
        Shaken(serving, showing(careless, authority.client("jane", ()), tmp_path), "localhost")


def test_files_that_do_not_belong_together(authority: Authority, tmp_path: Path) -> None:
    """A key of another certificate is noticed at the start."""
    mixed = KeyPair(authority.server(HOSTS).certificate, authority.server(HOSTS).key)
    with pytest.raises(ssl.SSLError):
        context_of(mixed, authority.certificate, tmp_path)


def test_files_that_are_not_there(authority: Authority, tmp_path: Path) -> None:
    """A missing file is an OSError."""
    with pytest.raises(FileNotFoundError):
        server_context(tmp_path / "a", tmp_path / "b", authority.certificate)
