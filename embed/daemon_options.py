"""How the controllers are set up beside somebody else's API server."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from verger.controllers.election import ElectionOptions
from verger.controllers.token_cleaner import CLEAN_UP_PERIOD
from verger.embed.options import StartError


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonOptions:
    """How the daemon is set up. The defaults are upstream's where there is an upstream."""

    kubeconfig: Path | None = None
    """How to reach the API server; without one $KUBECONFIG, ~/.kube/config, and the files of a pod are looked at."""
    context: str = ""
    """The context of the kubeconfig, when it is not the current one."""
    master: str = ""
    """The API server's address, when it is not the one of the kubeconfig."""
    controllers: Sequence[str] = ("*",)
    """Which controllers run: names, `-name` to leave one out, `*` for all others."""
    token_secrets: Literal["auto", "on-request"] = "auto"
    """Whether every account gets a token Secret, or only those that a user creates are filled."""
    private_key_file: Path | None = None
    """PEM file with the key that signs tokens; without one the token controller is off."""
    root_ca_file: Path | None = None
    """PEM file with the authorities for token Secrets and kube-root-ca.crt; without one, those of the kubeconfig."""
    legacy_token_period: float = CLEAN_UP_PERIOD
    """Seconds without use after which a token that was made for its account is marked, and later deleted."""
    token_workers: int = 5
    namespace_workers: int = 10
    """How many keys the two controllers work on at a time that wait for others most."""
    qps: float = 20.0
    """Requests a second to the API server, 0 for as many as there are."""
    burst: int = 30
    """Requests at once, after a while without any."""
    election: ElectionOptions | None = None
    """The lease that replicas share; None for a daemon that is alone."""
    adopt: bool = False
    """Whether it runs where another manager seems to run the same controllers."""
    host: str = "127.0.0.1"
    """Where health, metrics and what the controllers are about are served."""
    port: int = 0
    """The port of it, 0 for none."""
    tls_cert_file: Path | None = None
    """PEM file with the certificate of that port; without one a certificate is made."""
    tls_private_key_file: Path | None = None
    """PEM file with the key of `tls_cert_file`."""
    always_allow_paths: Sequence[str] = ("/healthz", "/readyz", "/livez")
    """What everybody may read there; who may read the rest, the API server is asked."""

    def check(self) -> None:
        """Whether options that are no files make sense. Raises StartError."""
        if self.election is not None and (problem := self.election.problem()):
            raise StartError(f"--leader-elect: {problem}")
        for flag, number in (
            ("--concurrent-serviceaccount-token-syncs", self.token_workers),
            ("--concurrent-namespace-syncs", self.namespace_workers),
            ("--kube-api-burst", self.burst),
        ):
            if number < 1:
                raise StartError(f"{flag}: must be at least 1")
        if not self.legacy_token_period > 0:
            raise StartError(
                "--legacy-service-account-token-clean-up-period: must be more than nothing"
            )
