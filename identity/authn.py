"""Who is asking: each authenticator answers for one sort of credential, and the first answer wins.

A credential that is there and wrong is refused; it is never treated as if it were not there. Only a request without
any credential is anonymous.
"""

import hashlib
import hmac
import os
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from verger.identity.keyring import KeyRing
from verger.identity.tokens import LEGACY_ISSUER, TokenError, check_audiences, verify
from verger.identity.validate import Known, Lookup, MarkedInvalid, Proven
from verger.store.errors import Unauthorized
from verger.store.request import AUTHENTICATED, User
from verger.watch.clock import Clock

ANONYMOUS: Final = User("system:anonymous", groups=("system:unauthenticated",))
VERIFIED_MAX: Final = 4096
"""Tokens whose signatures are remembered as good."""


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """What a request brought. Never shown: it holds a secret."""

    authorization: str = ""
    """The Authorization header."""
    certificate: Mapping[str, Any] | None = None
    """The verified client certificate, as `ssl` describes it."""
    warnings: list[str] = field(default_factory=list)
    """What the client should hear about its credential, filled by whoever accepts it."""


class Authenticator(Protocol):
    """Answers for one sort of credential."""

    def authenticate(self, credentials: Credentials) -> User | None:
        """The user, or None when there is no credential that this one knows. Raises Unauthorized when it is wrong."""


def bearer_token(authorization: str) -> str:
    """The token of an Authorization header, empty when it is of another scheme."""
    scheme, _, rest = authorization.strip().partition(" ")
    token = rest.strip()
    return token if scheme.lower() == "bearer" and " " not in token else ""


def _bytes(token: str) -> bytes:
    """What was sent: in a header that is no text, bytes stand as halves of characters."""
    return token.encode(errors="surrogateescape")


class StaticToken:
    """One token that stands for one user."""

    def __init__(self, token: str, user: User) -> None:
        self._token = token.encode()
        self._user = user

    def authenticate(self, credentials: Credentials) -> User | None:
        """The user, if the token is the one; another token may be known to somebody else."""
        token = bearer_token(credentials.authorization)
        if token and hmac.compare_digest(_bytes(token), self._token):
            return self._user
        return None


class ServiceAccountTokens:
    """Tokens that were signed by a ring of keys.

    What is remembered is that a signature was good, which never changes while the keys do not, and which versions of
    which objects were found to be in order. The time of a token, and whether these are the versions that are there, is
    looked at on every request: a revoked token is refused from that moment on.
    """

    def __init__(
        self,
        keys: KeyRing,
        lookup: Lookup,
        clock: Clock,
        *,
        issuers: Sequence[str],
        audiences: Sequence[str],
        on_legacy_use: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self._keys = keys
        self._lookup = lookup
        self._clock = clock
        self._issuers = frozenset({LEGACY_ISSUER, *issuers})
        self.audiences = tuple(audiences)
        """The audiences of this server."""
        self._on_legacy_use = on_legacy_use
        self._verified: OrderedDict[bytes, Known] = OrderedDict()
        self._generation = keys.generation
        self.uses: Counter[str] = Counter()
        """How often tokens of which sort were accepted: valid, stale, manual, auto; and invalid, those that were marked."""
        self.lookups: Counter[str] = Counter()
        """How often a signature was known to be good (hit), and how often it was not (miss)."""
        # Tokens are remembered under a hash that nobody can make without this.
        self._secret = os.urandom(32)

    def authenticate(self, credentials: Credentials) -> User | None:
        """The account that the bearer token stands for."""
        token = bearer_token(credentials.authorization)
        if not token:
            return None
        try:
            proven, _ = self.review(token, ())
        except TokenError:
            raise Unauthorized from None
        credentials.warnings.extend(proven.warnings)
        return proven.user

    def review(self, token: str, wanted: Sequence[str]) -> tuple[Proven, tuple[str, ...]]:
        """Whom a token stands for, and for which of the wanted audiences. Raises TokenError."""
        known = self._known(token)
        claims = known.claims
        audiences = check_audiences(claims, wanted, self.audiences)
        now = self._clock.time()
        try:
            proven = known.still(self._lookup, now)
            if proven is None:
                proven = known.prove(token, self._lookup, now)
        except MarkedInvalid as marked:
            self.uses["invalid"] += 1
            self._on_legacy_use(marked.secret)
            raise
        if proven.used_secret is not None:
            self.uses["auto" if proven.warnings else "manual"] += 1
            self._on_legacy_use(proven.used_secret)
        elif claims.warn_after:
            self.uses["stale" if now > claims.warn_after else "valid"] += 1
        return proven, audiences

    def _known(self, token: str) -> Known:
        if self._generation != self._keys.generation:
            self._verified.clear()
            self._generation = self._keys.generation
        digest = hashlib.blake2b(_bytes(token), key=self._secret, digest_size=16).digest()
        known = self._verified.get(digest)
        if known is not None:
            self.lookups["hit"] += 1
            self._verified.move_to_end(digest)
            return known
        self.lookups["miss"] += 1
        known = Known(verify(token, keys=self._keys, issuers=self._issuers))
        self._verified[digest] = known
        if len(self._verified) > VERIFIED_MAX:
            self._verified.popitem(last=False)
        return known


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
        self.attempts: Counter[str] = Counter()
        """How often it was known who asked (success), and how often a credential was no good (failure)."""

    def authenticate(self, credentials: Credentials) -> User:
        """The user who asks. Raises Unauthorized."""
        try:
            user = self._first(credentials)
        except Unauthorized:
            self.attempts["failure"] += 1
            raise
        self.attempts["success"] += 1
        return user

    def _first(self, credentials: Credentials) -> User:
        for authenticator in self._authenticators:
            user = authenticator.authenticate(credentials)
            if user is not None:
                return user
        if credentials.authorization or not self._anonymous:
            raise Unauthorized
        return ANONYMOUS
