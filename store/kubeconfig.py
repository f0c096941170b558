"""How to reach a cluster and as whom: from kubeconfig files, or from inside a pod.

The server is always verified, unless the kubeconfig says otherwise. Every error says which file and which entry, and
what to do about it; none shows a secret.

spec: k8s.io/client-go/tools/clientcmd, for the order of files and which of two values wins
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast, get_args
from urllib.parse import quote, urlsplit

from verger.store.credentials import (
    Credential,
    Credentials,
    Files,
    Fixed,
    KubeconfigError,
    Part,
    basic,
    bearer,
)
from verger.store.execplugin import GROUP as EXEC_GROUP
from verger.store.execplugin import VERSIONS, ExecCredentials, InteractiveMode, Plugin
from verger.store.kubeconfig_entries import Entry, Found, listed, merged, read, server_url
from verger.store.proxies import environment_proxy
from verger.watch.clock import Clock

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where pods find the token of their account."""
_PEM: Final = b"-----BEGIN "


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A server, how it is verified, and what is shown to it."""

    server: str
    """Scheme, host, port and perhaps a path, without a slash behind."""
    source: str
    """Where this was read, for errors and logs."""
    credentials: Credentials = field(repr=False)
    authority: bytes = field(default=b"", repr=False)
    """The certificates to verify the server with, in PEM; empty for those that the machine trusts."""
    verified: bool = True
    server_name: str = ""
    """The name that the server's certificate has to carry, when that is not the host."""
    proxy: str = field(default="", repr=False)
    """The URL of the proxy, which may hold a password; empty for none."""
    impersonation: tuple[tuple[str, str], ...] = ()
    """Headers that ask the server to take the user for another one."""
    namespace: str = ""
    """The namespace that the context prefers."""


def connect(
    path: Path | None = None,
    *,
    context: str = "",
    master: str = "",
    environment: Mapping[str, str],
    clock: Clock,
) -> Connection:
    """The connection that a kubeconfig describes, in the named context or its current one.

    Without a path it is looked for in $KUBECONFIG, in ~/.kube/config, and in the files of a pod, in this order.
    `master` stands in for the server's address. Raises KubeconfigError.
    """
    files = _files(path, environment)
    if files:
        return _Reading(files, environment, clock).connection(context, master)
    if context:
        raise KubeconfigError(
            f"there is no kubeconfig with a context {context!r}; name one with --kubeconfig or in $KUBECONFIG"
        )
    if master:
        server = server_url(master, "--master")
        return Connection(
            server=server,
            source="--master",
            credentials=Fixed(Credential()),
            proxy=environment_proxy(server, environment),
        )
    if environment.get("KUBERNETES_SERVICE_HOST") and environment.get("KUBERNETES_SERVICE_PORT"):
        return in_cluster(environment=environment, clock=clock)
    raise KubeconfigError(
        "nothing says which cluster is meant: there is no ~/.kube/config, $KUBECONFIG is not set, and this is no pod; "
        "name a file with --kubeconfig"
    )


def in_cluster(*, environment: Mapping[str, str], clock: Clock) -> Connection:
    """The connection of a pod, as its service account. Raises KubeconfigError."""
    host = environment.get("KUBERNETES_SERVICE_HOST", "")
    port = environment.get("KUBERNETES_SERVICE_PORT", "")
    if not host or not port:
        raise KubeconfigError(
            "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: this is no pod; name a kubeconfig with "
            "--kubeconfig"
        )
    folder = SERVICE_ACCOUNT
    token = Part("the pod's token", path=folder / "token")
    authority = Part("the pod's certificate authority", path=folder / "ca.crt").read()
    if _PEM not in authority:
        raise KubeconfigError(f"{folder / 'ca.crt'} holds no certificate in PEM")
    token.read()
    server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    try:
        namespace = (folder / "namespace").read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        namespace = ""
    return Connection(
        server=server,
        source=f"the pod's {folder}",
        credentials=Files(clock, token=token),
        authority=authority,
        proxy=environment_proxy(server, environment),
        namespace=namespace,
    )


def _files(path: Path | None, environment: Mapping[str, str]) -> list[Path]:
    """The files that count. One that was named has to be there; of those in $KUBECONFIG at least one."""
    if path is not None:
        if not path.exists():
            raise KubeconfigError(
                f"there is no kubeconfig {path}; check the path given with --kubeconfig"
            )
        return [path]
    if listed := environment.get("KUBECONFIG"):
        named = [Path(item).expanduser() for item in listed.split(":") if item]
        if found := [item for item in named if item.exists()]:
            return found
        raise KubeconfigError(
            f"$KUBECONFIG names {listed}, and there is no such file; correct it or unset it"
        )
    home = environment.get("HOME")
    usual = (Path(home) if home else Path.home()) / ".kube" / "config"
    return [usual] if usual.exists() else []


class _Reading:
    """Files that are merged, and one context out of them. Of two entries with one name the one in the earlier file counts."""

    def __init__(self, files: Sequence[Path], environment: Mapping[str, str], clock: Clock) -> None:
        self._environment = environment
        self._clock = clock
        documents = [(file, read(file)) for file in files]
        self._files = files
        self._current = next(
            (text for _, entry in documents if (text := entry.text("current-context"))), ""
        )
        self._contexts = Found(merged(documents, "context"), files)
        self._clusters = Found(merged(documents, "cluster"), files)
        self._users = Found(merged(documents, "user"), files)

    def connection(self, wanted: str, master: str) -> Connection:
        """The connection of the wanted context, or the current one. Raises KubeconfigError."""
        context = Entry("no context", self._files[0], {})
        if name := wanted or self._current:
            by = "--context names" if wanted else f"{listed(self._files)}: current-context is"
            context = self._contexts.named(name, "context", by)
        elif not master:
            raise KubeconfigError(
                f"{listed(self._files)}: there is no current-context; choose one with --context or "
                "`kubectl config use-context`"
            )
        cluster, user = Entry("no cluster", context.file, {}), Entry("no user", context.file, {})
        if cluster_name := context.text("cluster"):
            by = f"{context.where} names the cluster"
            cluster = self._clusters.named(cluster_name, "cluster", by)
        elif not master:
            raise context.wrong("cluster", "is missing; it has to name one of the clusters")
        if user_name := context.text("user"):
            user = self._users.named(user_name, "user", f"{context.where} names the user")
        return self._connection(context, cluster, user, master)

    def _connection(self, context: Entry, cluster: Entry, user: Entry, master: str) -> Connection:
        if master:
            server = server_url(master, "--master")
        elif cluster.has("server"):
            server = server_url(cluster.text("server"), f"{cluster.where}: server")
        else:
            raise cluster.wrong("server", "is missing; it has to be the URL of the API server")
        authority = cluster.part("certificate-authority")
        verified = not cluster.flag("insecure-skip-tls-verify")
        if not verified and authority is not None:
            raise cluster.wrong(
                "certificate-authority",
                "and insecure-skip-tls-verify exclude each other; remove one of them",
            )
        content = authority.read() if authority is not None else b""
        if authority is not None and _PEM not in content:
            raise KubeconfigError(f"{authority.what} holds no certificate in PEM")
        proxy = cluster.text("proxy-url")
        if proxy:
            if urlsplit(proxy).scheme not in ("http", "https"):
                raise cluster.wrong("proxy-url", "has to be the URL of an HTTP or HTTPS proxy")
        else:
            proxy = environment_proxy(server, self._environment)
        return Connection(
            server=server,
            source=context.where,
            credentials=self._credentials(user, cluster, server, content),
            authority=content,
            verified=verified,
            # upstream: a name that belongs to another address says nothing about this one
            server_name="" if master else cluster.text("tls-server-name"),
            proxy=proxy,
            impersonation=_impersonation(user),
            namespace=context.text("namespace"),
        )

    def _credentials(
        self, user: Entry, cluster: Entry, server: str, authority: bytes
    ) -> Credentials:
        if user.has("auth-provider"):
            raise user.wrong(
                "auth-provider",
                "is no longer known to anybody; use the exec plugin of your provider instead",
            )
        ways = [
            way
            for way, keys in (
                ("token", ("token", "tokenFile")),
                ("username", ("username", "password")),
                ("exec", ("exec",)),
            )
            if user.has(*keys)
        ]
        if len(ways) > 1:
            raise user.wrong(" and ".join(ways), "exclude each other; leave one of them")
        certificate, key = user.part("client-certificate"), user.part("client-key")
        if (certificate is None) != (key is None):
            raise user.wrong("client-certificate and client-key", "go together; one is missing")
        pair = (certificate, key) if certificate is not None and key is not None else None
        if ways == ["exec"]:
            if pair is not None:
                raise user.wrong("exec and client-certificate", "exclude each other; leave one")
            plugin = self._plugin(user.below("exec"), cluster, server, authority)
            return ExecCredentials(plugin, self._clock)
        authorization = ""
        token = None
        if ways == ["token"]:
            given, path = user.text("token"), user.path("tokenFile")
            if path is not None:
                token = Part(f"{user.where}: tokenFile", given.encode(), path)
            else:
                authorization = bearer(given, f"{user.where}: token")
        elif ways == ["username"]:
            authorization = basic(user.text("username"), user.text("password"))
        if token is None and pair is None:
            return Fixed(Credential(authorization))
        return Files(self._clock, authorization=authorization, token=token, certificate=pair)

    def _plugin(self, entry: Entry, cluster: Entry, server: str, authority: bytes) -> Plugin:
        command = entry.text("command")
        if not command:
            raise entry.wrong("command", "is missing; it has to name a program")
        if "/" in command:
            command = str(entry.file.parent / command)
        version = entry.text("apiVersion")
        if version not in VERSIONS:
            raise entry.wrong("apiVersion", f"has to be {' or '.join(VERSIONS)}")
        interactive = entry.text("interactiveMode")
        if not interactive and version == VERSIONS[0]:
            raise entry.wrong("interactiveMode", f"is missing, which {version} requires")
        if (interactive or "IfAvailable") not in get_args(InteractiveMode):
            raise entry.wrong("interactiveMode", "has to be Never, IfAvailable or Always")
        arguments = tuple(entry.items("args"))
        if not all(isinstance(item, str) for item in arguments):
            raise entry.wrong("args", "have to be texts; put them in quotes")
        environment = dict(self._environment)
        for item in entry.items("env"):
            variable = Entry(f"{entry.where}, env", entry.file, item)
            environment[variable.text("name")] = variable.text("value")
        return Plugin(
            where=entry.where,
            command=command,
            arguments=arguments,
            environment=environment,
            api_version=version,
            interactive=cast("InteractiveMode", interactive or "IfAvailable"),
            cluster=(
                _told(cluster, server, authority) if entry.flag("provideClusterInfo") else None
            ),
            install_hint=entry.text("installHint").strip(),
        )


def _told(cluster: Entry, server: str, authority: bytes) -> Mapping[str, Any]:
    """What a plugin hears about the cluster. spec: client.authentication.k8s.io, Cluster"""
    out: dict[str, Any] = {"server": server}
    if name := cluster.text("tls-server-name"):
        out["tls-server-name"] = name
    if cluster.flag("insecure-skip-tls-verify"):
        out["insecure-skip-tls-verify"] = True
    if authority:
        out["certificate-authority-data"] = base64.b64encode(authority).decode()
    if proxy := cluster.text("proxy-url"):
        out["proxy-url"] = proxy
    for item in cluster.items("extensions"):
        if isinstance(item, dict) and item.get("name") == f"{EXEC_GROUP}/exec":
            out["config"] = item.get("extension")
    return out


def _impersonation(user: Entry) -> tuple[tuple[str, str], ...]:
    """The headers that say as whom to act. upstream: transport.ImpersonationConfig"""
    name = user.text("as")
    if not name:
        if user.has("as-uid", "as-groups", "as-user-extra"):
            raise user.wrong("as", "is missing, and as-uid, as-groups or as-user-extra are there")
        return ()
    headers = [("Impersonate-User", name)]
    if uid := user.text("as-uid"):
        headers.append(("Impersonate-Uid", uid))
    groups = user.items("as-groups")
    extra = user.value("as-user-extra", dict) or {}
    lists = [groups, *extra.values()]
    if not all(isinstance(found, list | tuple) for found in lists) or not all(
        isinstance(item, str) for found in lists for item in found
    ):
        raise user.wrong("as-groups and as-user-extra", "have to hold lists of texts")
    headers += [("Impersonate-Group", group) for group in groups]
    for key, values in extra.items():
        header = f"Impersonate-Extra-{quote(str(key).lower(), safe='')}"
        headers += [(header, value) for value in values]
    for _, value in headers:
        if not value.isprintable():
            raise user.wrong("as", "and what belongs to it must not hold control characters")
    return tuple(headers)
