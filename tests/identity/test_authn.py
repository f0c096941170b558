"""Who is asking: the first answer wins, and a credential that is wrong is never as good as none."""

from collections.abc import Mapping
from typing import Any

import pytest
from verger.identity.authn import (
    ANONYMOUS,
    Authenticator,
    Chain,
    ClientCertificate,
    Credentials,
    ServiceAccountTokens,
    StaticToken,
    bearer_token,
)
from verger.identity.keyring import KeyRing
from verger.identity.signing import SigningKey
from verger.identity.tokens import legacy_claims
from verger.store.errors import Unauthorized
from verger.store.request import User
from verger.watch.clock import FakeClock

ADMIN = User("admin", groups=("system:masters",))
TOKEN = "s3cret-t0ken"
GOOD = Credentials(f"Bearer {TOKEN}")
JANE = {"subject": ((("organizationName", "devs"),), (("commonName", "jane"),))}


class Nothing:
    """A store in which there is nothing."""

    def get(self, plural: str, namespace: str, name: str) -> Mapping[str, Any] | None:
        return None


KEY = SigningKey.generate()


def account_tokens() -> ServiceAccountTokens:
    """The authenticator of the tokens of accounts, in a world without any."""
    return ServiceAccountTokens(
        KeyRing(KEY),
        Nothing(),
        FakeClock(),
        issuers=["https://issuer"],
        audiences=["api"],
        on_legacy_use=lambda _: None,
    )


def chain(*, anonymous: bool = True) -> Chain:
    """The authenticators in the order of a plane."""
    authenticators: list[Authenticator] = [
        StaticToken(TOKEN, ADMIN),
        account_tokens(),
        ClientCertificate(),
    ]
    return Chain(authenticators, anonymous=anonymous)


@pytest.mark.parametrize(
    ("header", "token"),
    [
        pytest.param("Bearer abc", "abc", id="plain"),
        pytest.param("bearer abc", "abc", id="lower case"),
        pytest.param("BEARER abc", "abc", id="upper case"),
        pytest.param("  Bearer   abc  ", "abc", id="blanks around"),
        pytest.param("Bearer", "", id="no token"),
        pytest.param("Bearer ", "", id="an empty token"),
        pytest.param("Bearer a b", "", id="two words"),
        pytest.param("Basic abc", "", id="another scheme"),
        pytest.param("abc", "", id="no scheme"),
        pytest.param("Bearerabc", "", id="no blank between"),
        pytest.param("", "", id="nothing"),
    ],
)
def test_bearer_token(header: str, token: str) -> None:
    """One word behind the scheme, whose case does not matter."""
    assert bearer_token(header) == token


def subject(*parts: tuple[str, str]) -> Credentials:
    """A certificate with these parts in its subject."""
    return Credentials(certificate={"subject": tuple((part,) for part in parts)})


@pytest.mark.parametrize(
    ("parts", "name", "groups"),
    [
        pytest.param([("commonName", "jane")], "jane", (), id="a name alone"),
        pytest.param(
            [("organizationName", "a"), ("commonName", "jane"), ("organizationName", "b")],
            "jane",
            ("a", "b"),
            id="groups in their order",
        ),
        pytest.param(
            [("countryName", "CH"), ("organizationalUnitName", "x"), ("commonName", "jane")],
            "jane",
            (),
            id="other parts say nothing",
        ),
        pytest.param(
            [("commonName", "system:serviceaccount:ns:sa")],
            "system:serviceaccount:ns:sa",
            (),
            id="names are not judged",
        ),
    ],
)
def test_certificate(parts: list[tuple[str, str]], name: str, groups: tuple[str, ...]) -> None:
    """The common name is the user, the organizations are groups, and so is everybody who is known."""
    user = ClientCertificate().authenticate(subject(*parts))
    assert user == User(name, groups=(*groups, "system:authenticated"))


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([("organizationName", "system:masters")], id="no name"),
        pytest.param([("commonName", "")], id="an empty name"),
        pytest.param([("commonName", "a"), ("commonName", "b")], id="two names"),
        pytest.param([], id="an empty subject"),
    ],
)
def test_certificate_without_one_name(parts: list[tuple[str, str]]) -> None:
    """A certificate that does not name one user is refused; it is not anonymous."""
    with pytest.raises(Unauthorized):
        ClientCertificate().authenticate(subject(*parts))
    with pytest.raises(Unauthorized):
        chain().authenticate(subject(*parts))


def test_two_names_in_one_part() -> None:
    """Several attributes in one part of the subject are as good as several parts."""
    both = {"subject": ((("commonName", "a"), ("commonName", "b")),)}
    with pytest.raises(Unauthorized):
        ClientCertificate().authenticate(Credentials(certificate=both))
    mixed = {"subject": ((("commonName", "a"), ("organizationName", "g")),)}
    user = ClientCertificate().authenticate(Credentials(certificate=mixed))
    assert user is not None
    assert user.groups == ("g", "system:authenticated")


@pytest.mark.parametrize("certificate", [None, {}])
def test_no_certificate(certificate: dict[str, Any] | None) -> None:
    """Without a certificate there is no answer."""
    assert ClientCertificate().authenticate(Credentials(certificate=certificate)) is None


@pytest.mark.parametrize(
    ("authorization", "certificate", "name"),
    [
        pytest.param(f"Bearer {TOKEN}", None, "admin", id="a good token"),
        pytest.param(f"bearer  {TOKEN}", None, "admin", id="a good token, written otherwise"),
        pytest.param("", JANE, "jane", id="a good certificate"),
        pytest.param(f"Bearer {TOKEN}", JANE, "admin", id="both: the token is asked first"),
        pytest.param("", None, "system:anonymous", id="nothing"),
    ],
)
def test_known(authorization: str, certificate: dict[str, Any] | None, name: str) -> None:
    """The first authenticator that knows the credential answers; without any, the user is anonymous."""
    asked = chain()
    assert asked.authenticate(Credentials(authorization, certificate)).name == name
    assert dict(asked.attempts) == {"success": 1}


@pytest.mark.parametrize("certificate", [None, JANE], ids=["alone", "with a good certificate"])
@pytest.mark.parametrize(
    "token",
    [
        pytest.param("wrong", id="another token"),
        pytest.param(TOKEN[:-1], id="a token that is too short"),
        pytest.param(TOKEN + "x", id="a token that is too long"),
        pytest.param(TOKEN.upper(), id="another case"),
        pytest.param("a.b.c", id="what only looks like a signed token"),
        pytest.param("tökén", id="no ASCII"),
    ],
)
def test_wrong_token(token: str, certificate: dict[str, Any] | None) -> None:
    """A token that nobody knows is refused, even beside a certificate that is good."""
    asked = chain()
    with pytest.raises(Unauthorized) as caught:
        asked.authenticate(Credentials(f"Bearer {token}", certificate))
    assert str(caught.value) == "Unauthorized"
    assert dict(asked.attempts) == {"failure": 1}


@pytest.mark.parametrize("authorization", ["Basic YWRtaW46YWRtaW4=", "Bearer", "x", " ."])
def test_header_that_nobody_understands(authorization: str) -> None:
    """An Authorization header that is no token is a credential too: whoever sends it is not anonymous."""
    with pytest.raises(Unauthorized):
        chain().authenticate(Credentials(authorization))


async def test_signed_token_of_an_account_that_is_not_there() -> None:
    """A signature that is good proves nothing when the account has gone, not even beside a good certificate."""
    token = await KEY.sign(legacy_claims("ns", "sa", "uid", "secret"))
    for certificate in (None, JANE):
        with pytest.raises(Unauthorized):
            chain().authenticate(Credentials(f"Bearer {token}", certificate))


def test_nobody_is_anonymous_where_that_is_not_allowed() -> None:
    """Without anonymous users, a request without credentials is refused; others are not concerned."""
    closed = chain(anonymous=False)
    with pytest.raises(Unauthorized):
        closed.authenticate(Credentials())
    assert closed.authenticate(GOOD) == ADMIN
    assert closed.authenticate(Credentials(certificate=JANE)).name == "jane"


def test_anonymous_user() -> None:
    """The anonymous user is in the group of those who are not authenticated, and in no other."""
    assert User("system:anonymous", groups=("system:unauthenticated",)) == ANONYMOUS
    assert chain().authenticate(Credentials()) == ANONYMOUS


def test_order_decides() -> None:
    """Of two authenticators that know a credential, the first one answers, and the other one is not asked."""
    asked: list[str] = []

    class Known:
        """Knows everybody."""

        def __init__(self, name: str) -> None:
            self.name = name

        def authenticate(self, _: Credentials) -> User | None:
            asked.append(self.name)
            return User(self.name)

    assert Chain([Known("a"), Known("b")]).authenticate(Credentials("Bearer x")).name == "a"
    assert asked == ["a"]


def test_refusal_ends_the_search() -> None:
    """Where one authenticator says that a credential is wrong, nobody else is asked."""

    class Refuses:
        """Knows that it is wrong."""

        def authenticate(self, _: Credentials) -> User | None:
            raise Unauthorized

    with pytest.raises(Unauthorized):
        Chain([Refuses(), StaticToken(TOKEN, ADMIN)]).authenticate(GOOD)


def test_credentials_do_not_show() -> None:
    """Neither credentials nor those who judge them have their secrets in their representation."""
    assert TOKEN not in repr(GOOD)
    assert TOKEN not in repr(StaticToken(TOKEN, ADMIN))
    assert "jane" not in repr(Credentials(certificate=JANE))
