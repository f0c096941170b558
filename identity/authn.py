"""Who is asking: each authenticator answers for one sort of credential, and the first answer wins.

A credential that is there and wrong is refused; it is never treated as if it were not there. Only a request without
any credential is anonymous.
"""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from verger.store.errors import Unauthorized
from verger.store.request import AUTHENTICATED, User

ANONYMOUS: Final = User("system:anonymous", groups=("system:unauthenticated",))


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """What a request brought. Never shown: it holds a secret."""

    authorization: str = ""
    """The Authorization header."""
    certificate: Mapping[str, Any] | None = None
    """The verified client certificate, as `ssl` describes it."""


class Authenticator(Protocol):
    """Answers for one sort of credential."""

    def authenticate(self, credentials: Credentials) -> User | None:
        """The user, or None when there is no credential of this sort. Raises Unauthorized when it is wrong."""


def bearer_token(authorization: str) -> str:
    """The token of an Authorization header, empty when it is of another scheme."""
    scheme, _, rest = authorization.strip().partition(" ")
    token = rest.strip()
    return token if scheme.lower() == "bearer" and " " not in token else ""


class StaticToken:
    """One token that stands for one user."""

    def __init__(self, token: str, user: User) -> None:
        self._token = token.encode()
        self._user = user

    def authenticate(self, credentials: Credentials) -> User | None:
        """The user, if the token is the one."""
        token = bearer_token(credentials.authorization)
        if not token:
            return None
        if hmac.compare_digest(token.encode(), self._token):
            return self._user
        raise Unauthorized


class ClientCertificate:
    """A certificate that TLS has verified: its common name is the user, its organizations are the groups."""

    def authenticate(self, credentials: Credentials) -> User | None:
        """The user that the certificate names."""
        if not credentials.certificate:
            return None
        names: list[str] = []
        groups: list[str] = []
        for part in credentials.certificate.get("subject", ()):
            for key, value in part:
                if key == "commonName":
                    names.append(value)
                elif key == "organizationName":
                    groups.append(value)
        if len(names) != 1 or not names[0]:
            raise Unauthorized
        return User(names[0], groups=(*groups, AUTHENTICATED))


class Chain:
    """The authenticators in their order, and what a request without credentials becomes."""

    def __init__(self, authenticators: Sequence[Authenticator], *, anonymous: bool = True) -> None:
        self._authenticators = tuple(authenticators)
        self._anonymous = anonymous

    def authenticate(self, credentials: Credentials) -> User:
        """The user who asks. Raises Unauthorized."""
        for authenticator in self._authenticators:
            user = authenticator.authenticate(credentials)
            if user is not None:
                return user
        if credentials.authorization or not self._anonymous:
            raise Unauthorized
        return ANONYMOUS
