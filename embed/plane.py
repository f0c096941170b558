"""A control plane in this process: store, HTTPS API and controllers, started and stopped together.

This is the only place where concrete classes meet. `ControlPlane._parts` is the order in which things start; they stop
in the opposite one.
"""

import asyncio
import contextlib
import functools
import secrets
import shutil
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from verger.apiserver.bodies import Bodies
from verger.apiserver.documents import Documents
from verger.apiserver.handlers import Handlers
from verger.apiserver.health import Check, Health
from verger.apiserver.metrics import Metrics
from verger.apiserver.protobuf import Codec
from verger.apiserver.reviews import Reviews
from verger.apiserver.server import ApiServer
from verger.controllers.account_finalizer import AccountPods
from verger.controllers.aggregation import Aggregation
from verger.controllers.garbage import Garbage
from verger.controllers.manager import Manager, UnknownController, selected
from verger.controllers.namespaces import Namespaces
from verger.controllers.policy import BootstrapPolicy
from verger.controllers.reconcile import Reconciler
from verger.controllers.recorder import Recorder
from verger.controllers.root_ca import RootCA
from verger.controllers.serviceaccounts import ServiceAccounts
from verger.controllers.token_cleaner import CLEAN_UP_PERIOD, TokenCleaner
from verger.controllers.token_tracking import TokenTracking
from verger.controllers.tokens import Tokens
from verger.embed import kubeconfig
from verger.embed.logs import quiet_logger
from verger.identity.accounts import Accounts
from verger.identity.authn import Chain, ClientCertificate, ServiceAccountTokens, StaticToken
from verger.identity.authz import AlwaysAllow, Authorizer, Masters
from verger.identity.certificates import Authority, server_context
from verger.identity.escalation import EscalationCheck
from verger.identity.finalizer import AccountFinalizer
from verger.identity.issue import MAX_SECONDS, TokenIssuer
from verger.identity.keyring import KeyFileError, KeyFiles, KeyRing
from verger.identity.oidc import Issuer
from verger.identity.policy import seed
from verger.identity.rbac import Policy, Rbac
from verger.identity.usage import LegacyUses
from verger.identity.validate import StoreLookup
from verger.store.admission import Chain as Admission
from verger.store.decoding import Decoder
from verger.store.errors import AlreadyExists
from verger.store.fitting import Fitter
from verger.store.kinds import Kinds, built_in
from verger.store.local import LocalClient
from verger.store.memory import MemoryBackend
from verger.store.registry import Registry
from verger.store.request import AUTHENTICATED, MASTERS, User
from verger.store.schemas import load
from verger.watch.clock import Clock, SystemClock
from verger.watch.log import DEFAULT_WINDOW

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

SYSTEM_NAMESPACES: Final = ("kube-system", "kube-public", "default", "kube-node-lease")
SYSTEM_NAMESPACES_PERIOD: Final = 60.0
"""Seconds between looks whether they are all there. upstream: system_namespaces_controller.go"""
NAMESPACE_GRACE: Final = 0.2
NAMESPACE_RECHECK: Final = 1.0
"""Seconds, instead of upstream's 5 and 8: there is one server here, and looking costs nothing."""
TRIM_PERIOD: Final = 10.0
"""Seconds between looks whether history has left the window; a store that is written to looks by itself."""
ADMIN: Final = User("verger-admin", groups=(MASTERS, AUTHENTICATED))
_HOSTS: Final = (
    "localhost",
    "127.0.0.1",
    "::1",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)
DEFAULT_ISSUER: Final = "https://kubernetes.default.svc.cluster.local"
_ANYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - the addresses are compared with, not listened on


class StartError(Exception):
    """The plane cannot start with these options; the message says what to change."""


class _Interrupted(Exception):
    """The plane is to stop before it has started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneOptions:
    """How a plane is set up. The defaults are those of a test: loopback, any port, everything made up at start."""

    host: str = "127.0.0.1"
    """The address to listen on."""
    port: int = 0
    """The port to listen on, 0 for any that is free."""
    controllers: Sequence[str] = ("*",)
    """Which controllers run: names, `-name` to leave one out, `*` for all others."""
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
    kubernetes_version: str = "1.36"
    """The version that the server says it is."""


class ControlPlane:
    """A control plane, started by `async with` or `start`.

    Guarantees: once started it is ready, and every controller has seen the world; `stop` ends every task, connection
    and temporary file of its own; nothing is shared with other planes.
    """

    def __init__(
        self,
        options: PlaneOptions | None = None,
        *,
        clock: Clock | None = None,
        log: "FilteringBoundLogger | None" = None,
        **overrides: Any,
    ) -> None:
        if overrides:
            known = {item.name for item in fields(PlaneOptions)}
            if unknown := sorted(set(overrides) - known):
                raise TypeError(
                    f"unknown options {', '.join(unknown)}; known are {', '.join(sorted(known))}"
                )
            base = options or PlaneOptions()
            given = {item.name: getattr(base, item.name) for item in fields(PlaneOptions)}
            options = PlaneOptions(**{**given, **overrides})
        self.options = options or PlaneOptions()
        self._clock = clock or SystemClock()
        self._log = log or quiet_logger()
        self._task: asyncio.Task[None] | None = None
        self._stopping: asyncio.Event = asyncio.Event()
        self._ready = False
        self._world: _World | None = None
        self.url = ""
        """Where the API is served, as `https://host:port`."""
        self.kubeconfig = self.options.kubeconfig or Path()
        """The administrator's kubeconfig."""

    # What users do with a plane

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Starts everything, and returns when the plane is ready. Raises StartError."""
        if self._task is not None:
            raise RuntimeError("the plane has been started already")
        started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.get_running_loop().create_task(self._run(started), name="verger plane")
        try:
            await asyncio.wait([started, self._task], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await self.stop()
            raise
        if self._task.done():
            await self._task

    async def stop(self) -> None:
        """Stops everything, in the reverse order of start. Stopping twice is harmless. Raises what broke the plane."""
        if self._task is None:
            return
        self._stopping.set()
        task, self._task = self._task, None
        await asyncio.wait([task])
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error

    async def wait(self) -> None:
        """Returns when the plane has ended; raises what broke it."""
        if self._task is not None:
            await asyncio.shield(self._task)

    @property
    def client(self) -> LocalClient:
        """The administrator's client inside the process."""
        world = self._started()
        return LocalClient(world.registry, world.kinds, world.fitter, ADMIN)

    @property
    def kinds(self) -> Kinds:
        """The kinds that are served."""
        return self._started().kinds

    @property
    def controllers(self) -> Manager:
        """The controllers: to list, start and stop them by name."""
        return self._started().manager

    @property
    def ca(self) -> bytes:
        """The authority to verify the server with, in PEM."""
        return self._started().ca

    @property
    def token(self) -> str:
        """The administrator's bearer token."""
        return self._started().token

    def _started(self) -> "_World":
        if self._world is None:
            raise RuntimeError("the plane has not been started")
        return self._world

    # Start and stop

    async def _run(self, started: "asyncio.Future[None]") -> None:
        with contextlib.suppress(_Interrupted):
            async with contextlib.AsyncExitStack() as running:
                for part in self._parts():
                    await running.enter_async_context(part)
                started.set_result(None)
                await self._stopping.wait()

    def _parts(self) -> list[AbstractAsyncContextManager[None]]:
        """In this order everything starts; in the opposite one it stops."""
        return [
            self._files(),
            self._store(),
            self._serving(),
            self._housekeeping(),
            self._controlling(),
            self._announced(),
        ]

    @asynccontextmanager
    async def _files(self) -> AsyncIterator[None]:
        """A place for what has to be a file: TLS keys, and a kubeconfig that nobody has a place for."""
        self._folder = Path(tempfile.mkdtemp(prefix="verger-"))
        try:
            yield
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    @asynccontextmanager
    async def _store(self) -> AsyncIterator[None]:
        """Everything that is no task: keys, store, rules, controllers at rest."""
        self._world = _build(self.options, self._clock, self._log, self._is_ready, lambda: self.url)
        await self._ensure_system_namespaces()
        seed(self._world.registry.backend, self._clock.time())
        try:
            yield
        finally:
            self._world.keys.close()

    @asynccontextmanager
    async def _serving(self) -> AsyncIterator[None]:
        """The HTTPS port. It is open before the controllers run, so that /readyz can say that they do not yet."""
        world, options = self._started(), self.options
        context = self._tls_context()
        try:
            host, port = await world.server.start(options.host, options.port, context)
        except OSError as error:
            raise StartError(
                f"cannot listen on {options.host}:{options.port}: {error.strerror or error}; choose another port, or 0 "
                "for any free one"
            ) from None
        host = _ANYWHERE.get(host, host)
        self.url = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
        try:
            yield
        finally:
            await world.server.stop()

    def _tls_context(self) -> ssl.SSLContext:
        world, options = self._started(), self.options
        certificate, key = options.tls_cert_file, options.tls_private_key_file
        if (certificate is None) != (key is None):
            raise StartError("--tls-cert-file and --tls-private-key-file go together")
        if certificate is None or key is None:
            pair = world.authority.server([*_HOSTS, options.host])
            certificate, key = self._folder / "tls.crt", self._folder / "tls.key"
            certificate.write_bytes(pair.certificate)
            key.touch(mode=0o600)
            key.write_bytes(pair.key)
        try:
            return server_context(certificate, key, world.authority.certificate)
        except (OSError, ssl.SSLError) as error:
            raise StartError(
                f"{certificate} and {key} are no certificate and key in PEM that belong together: {error.strerror or error}"
            ) from None

    @asynccontextmanager
    async def _housekeeping(self) -> AsyncIterator[None]:
        """What has to be looked at from time to time."""
        async with self._running(
            self._trim_history(),
            self._keep_system_namespaces(),
            self._keep_keys(),
            self._started().uses.run(),
        ):
            yield

    @asynccontextmanager
    async def _running(self, *work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
        """Runs tasks for as long as the plane does. One that ends by itself is a fault, and ends the plane with it."""
        tasks = [asyncio.create_task(one) for one in work]
        for task in tasks:
            task.add_done_callback(self._broken)
        try:
            yield
        finally:
            for task in tasks:
                task.remove_done_callback(self._broken)
                task.cancel()
            await asyncio.wait(tasks)
            for task in tasks:
                if not task.cancelled() and (error := task.exception()) is not None:
                    raise error

    def _broken(self, _: "asyncio.Task[None]") -> None:
        self._stopping.set()

    async def _trim_history(self) -> None:
        while True:
            await self._clock.sleep(TRIM_PERIOD)
            self._started().registry.backend.trim()

    async def _keep_system_namespaces(self) -> None:
        while True:
            await self._clock.sleep(SYSTEM_NAMESPACES_PERIOD)
            await self._ensure_system_namespaces()

    async def _ensure_system_namespaces(self) -> None:
        client = self.client
        kind = self.kinds.core("Namespace")
        for name in SYSTEM_NAMESPACES:
            with contextlib.suppress(AlreadyExists):
                await client.create(kind, {"metadata": {"name": name}})

    async def _keep_keys(self) -> None:
        files = self._started().key_files
        while True:
            await self._clock.sleep(KEYS_PERIOD)
            if files.changed():
                self.reload_keys()

    def reload_keys(self) -> None:
        """Reads the key files anew; when that fails, all keys stay as they are, and the log says why."""
        world = self._world
        if world is None:
            return  # they are about to be read
        try:
            world.key_files.renew(world.keys)
        except KeyFileError as error:
            self._log.error("keys not reloaded", error=str(error))
        else:
            self._log.info("keys reloaded", kids=[key.kid for key in world.keys.verifying])

    @asynccontextmanager
    async def _controlling(self) -> AsyncIterator[None]:
        """The controllers, and their informers."""
        world = self._started()
        async with self._running(world.manager.run(world.names)):
            settled = asyncio.create_task(world.manager.settled(world.names))
            stopping = asyncio.create_task(self._stopping.wait())
            await asyncio.wait([settled, stopping], return_when=asyncio.FIRST_COMPLETED)
            for task in (settled, stopping):
                task.cancel()
            await asyncio.wait([settled, stopping])
            if self._stopping.is_set():
                raise _Interrupted
            yield

    @asynccontextmanager
    async def _announced(self) -> AsyncIterator[None]:
        """Ready: the last thing to begin and the first to end."""
        world = self._started()
        path = self.options.kubeconfig or self._folder / "kubeconfig"
        certificate = world.authority.client(ADMIN.name, (MASTERS,))
        try:
            kubeconfig.write(path, kubeconfig.render(self.url, world.ca, world.token, certificate))
        except OSError as error:
            raise StartError(
                f"cannot write the kubeconfig {path}: {error.strerror or error}"
            ) from None
        self.kubeconfig = path
        self._ready = True
        self._log.info("ready", url=self.url, kubeconfig=str(path))
        try:
            yield
        finally:
            self._ready = False
            await world.server.drain(DRAIN_MAX)

    def _is_ready(self) -> bool:
        return self._ready


KEYS_PERIOD: Final = 10.0
"""Seconds between looks whether one of the key files has changed."""
DRAIN_MAX: Final = 5.0
"""Seconds that requests in flight have to be answered when the plane stops."""


@dataclass(slots=True)
class _World:
    """The parts of a plane that are no tasks."""

    authority: Authority
    ca: bytes
    key_files: KeyFiles
    keys: KeyRing
    uses: LegacyUses
    token: str = field(repr=False)
    kinds: Kinds
    registry: Registry
    fitter: Fitter
    manager: Manager
    names: list[str]
    server: ApiServer


def _check(options: PlaneOptions) -> None:
    """Whether options that are no files make sense. Raises StartError."""
    issuers, longest = options.issuers, options.max_token_seconds
    if not issuers or "" in issuers or len(set(issuers)) != len(issuers):
        raise StartError("--service-account-issuer: issuers must not be empty, and not the same")
    if longest and not 3600 <= longest <= MAX_SECONDS:
        raise StartError(
            "--service-account-max-token-expiration: must be between 1 hour and 2^32 seconds"
        )
    if not options.legacy_token_period > 0:
        raise StartError(
            "--legacy-service-account-token-clean-up-period: must be more than nothing"
        )


def _build(
    options: PlaneOptions,
    clock: Clock,
    log: "FilteringBoundLogger",
    is_ready: Callable[[], bool],
    url: Callable[[], str],
) -> _World:
    _check(options)
    schemas = load()
    kinds = built_in(schemas)
    backend = MemoryBackend(clock, window=options.history_window)
    policy = Policy(backend)
    authorizer: Authorizer = (
        Masters(Rbac(policy)) if options.authorization == "RBAC" else AlwaysAllow()
    )
    lookup = StoreLookup(backend)
    decoder = Decoder(schemas)
    admission = Admission(
        [
            Accounts(lookup, clock, tokens=options.pod_tokens),
            *([AccountFinalizer(lookup, decoder)] if options.account_finalizer else ()),
            EscalationCheck(policy, authorizer, kinds),
        ]
    )
    registry = Registry(backend, clock, admission=admission)
    fitter = Fitter(schemas)
    authority = Authority(clock.time())
    ca = authority.certificate
    if options.tls_cert_file is not None:
        ca += _read(options.tls_cert_file, "--tls-cert-file")
    root_ca = _read(options.root_ca_file, "--root-ca-file") if options.root_ca_file else ca
    if b"-----BEGIN CERTIFICATE-----" not in root_ca:
        raise StartError(f"--root-ca-file {options.root_ca_file} holds no certificate in PEM")
    key_files = KeyFiles(
        signing=options.signing_key_file,
        private=options.private_key_file,
        public=options.key_files,
    )
    try:
        keys = key_files.ring()
    except KeyFileError as error:
        raise StartError(str(error)) from None

    def client_of(component: str) -> LocalClient:
        user = User(f"system:serviceaccount:kube-system:{component}", groups=(MASTERS,))
        return LocalClient(registry, kinds, fitter, user)

    def recorder_of(component: str) -> Recorder:
        return Recorder(client_of(component), kinds.core("Event"), clock, log, component=component)

    reconcilers: list[Reconciler[Any]] = [
        ServiceAccounts(
            client_of("service-account-controller"),
            kinds,
            recorder_of("service-account-controller"),
            log,
        ),
        Tokens(
            client_of("tokens-controller"),
            kinds,
            recorder_of("tokens-controller"),
            log,
            keys,
            root_ca.decode(),
            options.token_secrets,
        ),
        Namespaces(
            client_of("namespace-controller"),
            kinds,
            recorder_of("namespace-controller"),
            log,
            clock,
            grace=NAMESPACE_GRACE,
            recheck_max=NAMESPACE_RECHECK,
        ),
        RootCA(
            client_of("root-ca-cert-publisher"),
            kinds,
            recorder_of("root-ca-cert-publisher"),
            log,
            root_ca.decode(),
        ),
        Garbage(
            client_of("generic-garbage-collector"),
            kinds,
            recorder_of("generic-garbage-collector"),
            log,
        ),
        BootstrapPolicy(client_of("bootstrap-policy"), kinds, log),
        Aggregation(client_of("clusterrole-aggregation-controller"), kinds, log),
        TokenTracking(client_of("legacy-token-tracking-controller"), kinds, log, clock),
        TokenCleaner(
            client_of("legacy-service-account-token-cleaner"),
            kinds,
            log,
            clock,
            options.legacy_token_period,
        ),
    ]
    if options.account_finalizer:
        component = "serviceaccount-finalizer"
        reconcilers.append(AccountPods(client_of(component), kinds, recorder_of(component), log))
    manager = Manager(reconcilers, client_of("shared-informers"), clock, log)
    try:
        names = selected(options.controllers, manager.names)
    except UnknownController as error:
        raise StartError(f"--controllers: {error}") from None

    token = secrets.token_urlsafe(32)
    metrics = Metrics()
    codec = Codec(schemas)
    issuers = tuple(options.issuers)
    audiences = tuple(options.audiences) or issuers
    uses = LegacyUses(client_of("legacy-token-uses"), kinds.core("Secret"), clock, log)
    tokens = ServiceAccountTokens(
        keys,
        lookup,
        clock,
        issuers=issuers,
        audiences=audiences,
        on_legacy_use=uses.note,
    )
    issuer = TokenIssuer(
        keys,
        lookup,
        clock,
        issuer=issuers[0],
        audiences=audiences,
        max_seconds=options.max_token_seconds,
        extend=options.extend_token_expiration,
    )
    admin = StaticToken(token, ADMIN)
    reviews = Reviews(authorizer, tokens, admin, clock)
    handlers = Handlers(
        registry,
        fitter,
        decoder,
        Bodies(codec),
        clock,
        answerers={**reviews.answerers(), ("serviceaccounts", "token"): issuer.answer},
    )
    health = Health(
        [
            Check("informer-sync", lambda: "" if is_ready() else "not started", ("/readyz",)),
            *(
                Check(name, functools.partial(_sync_problem, manager, name), ("/readyz",))
                for name in names
            ),
        ]
    )

    metrics.add_queues(manager.statistics)
    metrics.add_gauge("verger_watches", "Watches that are open.", lambda: handlers.open_watches)
    metrics.add_gauge("verger_store_revision", "The newest revision.", lambda: backend.revision)
    metrics.add_gauge(
        "verger_store_history_events", "Changes in the history.", lambda: len(backend.log)
    )
    server = ApiServer(
        kinds=kinds,
        handlers=handlers,
        documents=Documents(
            kinds,
            schemas,
            health,
            metrics,
            options.kubernetes_version,
            _issuer(keys, options, log),
            url,
        ),
        authentication=Chain([admin, tokens, ClientCertificate()], anonymous=options.anonymous),
        authorizer=authorizer,
        metrics=metrics,
        clock=clock,
        log=log,
    )
    return _World(
        authority, ca, key_files, keys, uses, token, kinds, registry, fitter, manager, names, server
    )


def _issuer(keys: KeyRing, options: PlaneOptions, log: "FilteringBoundLogger") -> Issuer:
    issuer = Issuer(keys, options.issuers[0], options.jwks_uri)
    if issuer.problem:
        log.warning("tokens cannot be verified by others", reason=issuer.problem)
    return issuer


def _sync_problem(manager: Manager, name: str) -> str:
    return "" if manager.synced(name) else "not synced"


def _read(path: Path, flag: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StartError(f"{flag}: cannot read {path}: {error.strerror or error}") from None
