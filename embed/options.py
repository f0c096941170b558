"""How a plane is set up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from verger.controllers.token_cleaner import CLEAN_UP_PERIOD
from verger.identity.issue import MAX_SECONDS
from verger.store.expiry import EVENT_TTL
from verger.watch.log import DEFAULT_WINDOW

DEFAULT_ISSUER: Final = "https://kubernetes.default.svc.cluster.local"


class StartError(Exception):
    """The plane cannot start with these options; the message says what to change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneOptions:
    """How a plane is set up. The defaults are those of a test: loopback, any port, everything made up at start."""

    host: str = "127.0.0.1"
    """The address to listen on."""
    port: int = 0
    """The port to listen on, 0 for any that is free."""
    controllers: Sequence[str] = ("*",)
    """Which controllers run: names, `-name` to leave one out, `*` for all others."""
    delays: Mapping[str, float] = field(default_factory=dict)
    """Seconds that controllers, by name, are behind what happens: accounts or tokens that come late, as they may in a
    cluster, for clients that should have the patience."""
    token_secrets: Literal["auto", "on-request"] = "auto"
    """Whether every account gets a token Secret, or only those that a user creates are filled."""
    pod_tokens: Literal["projected", "secret"] = "projected"
    """Which volume gives pods their token: one that asks for it, or the token Secret of the account."""
    account_finalizer: bool = False
    """Whether pods receive the security context and the Secrets that annotations of their account name."""
    private_key_file: Path | None = None
    """PEM file with the RSA or EC key that signs tokens; without one a P-256 key is made."""
    signing_key_file: Path | None = None
    """PEM file with the key that signs requested tokens, when it is another one than for those of Secrets."""
    key_files: Sequence[Path] = ()
    """PEM files with further keys whose tokens are accepted; private ones stand for their public half."""
    issuers: Sequence[str] = (DEFAULT_ISSUER,)
    """Who issues tokens: the first signs, tokens of all of them are accepted."""
    jwks_uri: str = ""
    """Where others find the public keys, when that is not this server."""
    audiences: Sequence[str] = ()
    """For whom tokens have to be that this server accepts; without any, its issuers."""
    max_token_seconds: int = 0
    """The longest life of a requested token, 0 for as long as somebody asks."""
    extend_token_expiration: bool = True
    """Whether the tokens of pods live a year, for clients that never read them again."""
    legacy_token_period: float = CLEAN_UP_PERIOD
    """Seconds without use after which a token that was made for its account is marked, and later deleted."""
    authorization: Literal["RBAC", "AlwaysAllow"] = "RBAC"
    """Who decides what users may do."""
    anonymous: bool = True
    """Whether requests without credentials are served, as system:anonymous."""
    root_ca_file: Path | None = None
    """PEM file with the authorities that go into token Secrets and kube-root-ca.crt; without one, the plane's own."""
    tls_cert_file: Path | None = None
    """PEM file with the server's certificate; without one a certificate is made."""
    tls_private_key_file: Path | None = None
    """PEM file with the key of `tls_cert_file`."""
    kubeconfig: Path | None = None
    """Where to write the administrator's kubeconfig; without one, a temporary file that goes with the plane."""
    history_window: float = DEFAULT_WINDOW
    """Seconds for which old revisions can be read and watched from."""
    event_ttl: float = EVENT_TTL
    """Seconds after which Events go that nobody has written since, 0 to keep them."""
    kubernetes_version: str = "1.36"
    """The version that the server says it is."""

    def check(self) -> None:
        """Whether options that are no files make sense. Raises StartError."""
        issuers, longest = self.issuers, self.max_token_seconds
        if not issuers or "" in issuers or len(set(issuers)) != len(issuers):
            raise StartError(
                "--service-account-issuer: issuers must not be empty, and not the same"
            )
        if longest and not 3600 <= longest <= MAX_SECONDS:
            raise StartError(
                "--service-account-max-token-expiration: must be between 1 hour and 2^32 seconds"
            )
        if not self.legacy_token_period > 0:
            raise StartError(
                "--legacy-service-account-token-clean-up-period: must be more than nothing"
            )
