"""The settings of `verger run`. Flags that upstream's controller manager has are called as they are there."""

import socket
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from verger.cmd.settings import ProcessSettings, setting

if TYPE_CHECKING:
    from verger.embed.daemon_options import DaemonOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings(ProcessSettings):
    """The settings of `verger run`."""

    kubeconfig: Path | None = setting(
        None,
        "How to reach the API server. Without it $KUBECONFIG, ~/.kube/config and the files of a pod are looked at.",
        metavar="FILE",
    )
    context: str = setting(
        "", "Context of the kubeconfig, when it is not the current one.", metavar="NAME"
    )
    master: str = setting(
        "", "Address of the API server, when it is not the kubeconfig's.", metavar="URL"
    )
    controllers: str = setting(
        "*",
        "Controllers to run, separated by commas: a name, -name to leave one out, * for all others.",
        metavar="LIST",
    )
    adopt: bool = setting(
        False, "Whether to run where another manager seems to run the same controllers."
    )
    token_secrets: Literal["auto", "on-request"] = setting(
        "auto",
        "auto: every account gets a token Secret. on-request: only Secrets that a user creates are filled.",
    )
    service_account_private_key_file: Path | None = setting(
        None,
        "PEM file with the RSA or EC key that signs tokens. Without one the token controller is off. It is read again "
        "when it changes, and on SIGHUP.",
        metavar="FILE",
    )
    root_ca_file: Path | None = setting(
        None,
        "PEM file with the certificate authorities for token Secrets and kube-root-ca.crt. Without one, those of the "
        "kubeconfig.",
        metavar="FILE",
    )
    legacy_service_account_token_clean_up_period: float = setting(
        365 * 86400.0,
        "Seconds without use after which a token that was made for its account is marked invalid, and after as many "
        "again deleted.",
        metavar="SECONDS",
    )
    concurrent_serviceaccount_token_syncs: int = setting(
        5, "Accounts whose tokens are worked on at a time.", metavar="NUMBER"
    )
    concurrent_namespace_syncs: int = setting(
        10, "Namespaces that are emptied at a time.", metavar="NUMBER"
    )
    kube_api_qps: float = setting(
        20.0, "Requests a second to the API server; 0 for no limit.", metavar="NUMBER"
    )
    kube_api_burst: int = setting(
        30, "Requests at once, after a while without any.", metavar="NUMBER"
    )
    leader_elect: bool = setting(
        True, "Whether to work only while this process, of several, holds a lease."
    )
    leader_elect_lease_duration: float = setting(
        15.0, "For how long others wait for a leader of which they hear nothing.", metavar="SECONDS"
    )
    leader_elect_renew_deadline: float = setting(
        10.0, "For how long a leader that cannot renew its lease goes on.", metavar="SECONDS"
    )
    leader_elect_retry_period: float = setting(
        2.0, "Time between two attempts to get or to renew the lease.", metavar="SECONDS"
    )
    leader_elect_resource_name: str = setting("verger", "Name of the lease.", metavar="NAME")
    leader_elect_resource_namespace: str = setting(
        "kube-system", "Namespace of the lease.", metavar="NAME"
    )
    bind_address: str = setting(
        "127.0.0.1", "Address to serve health and metrics on.", metavar="ADDRESS"
    )
    secure_port: int = setting(
        0, "Port to serve health and metrics on, by HTTPS; 0 for none.", metavar="PORT"
    )
    tls_cert_file: Path | None = setting(
        None,
        "PEM file with the certificate of that port. Without one a certificate is made. It is read again when it "
        "changes, and on SIGHUP.",
        metavar="FILE",
    )
    tls_private_key_file: Path | None = setting(
        None, "PEM file with the key of --tls-cert-file.", metavar="FILE"
    )
    authorization_always_allow_paths: str = setting(
        "/healthz,/readyz,/livez",
        "Paths of that port that everybody may read, separated by commas; /* at the end stands for all below. Who may "
        "read the others, the API server is asked.",
        metavar="PATHS",
    )

    def daemon_options(self) -> "DaemonOptions":
        """The options of the daemon that these settings describe."""
        from verger.controllers.election import ElectionOptions
        from verger.embed.daemon_options import DaemonOptions

        election = ElectionOptions(
            identity=f"{socket.gethostname()}_{uuid.uuid4()}",
            namespace=self.leader_elect_resource_namespace,
            name=self.leader_elect_resource_name,
            lease_duration=self.leader_elect_lease_duration,
            renew_deadline=self.leader_elect_renew_deadline,
            retry_period=self.leader_elect_retry_period,
        )
        return DaemonOptions(
            kubeconfig=self.kubeconfig,
            context=self.context,
            master=self.master,
            controllers=tuple(item.strip() for item in self.controllers.split(",")),
            adopt=self.adopt,
            token_secrets=self.token_secrets,
            private_key_file=self.service_account_private_key_file,
            root_ca_file=self.root_ca_file,
            legacy_token_period=self.legacy_service_account_token_clean_up_period,
            token_workers=self.concurrent_serviceaccount_token_syncs,
            namespace_workers=self.concurrent_namespace_syncs,
            qps=self.kube_api_qps,
            burst=self.kube_api_burst,
            election=election if self.leader_elect else None,
            host=self.bind_address,
            port=self.secure_port,
            tls_cert_file=self.tls_cert_file,
            tls_private_key_file=self.tls_private_key_file,
            always_allow_paths=tuple(
                path
                for item in self.authorization_always_allow_paths.split(",")
                if (path := item.strip())
            ),
        )
