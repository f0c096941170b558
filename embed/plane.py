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
from collections.abc import AsyncIterator, Sequence
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
from verger.apiserver.server import ApiServer
from verger.controllers.garbage import Garbage
from verger.controllers.manager import Manager, UnknownController, selected
from verger.controllers.namespaces import Namespaces
from verger.controllers.reconcile import Reconciler
from verger.controllers.recorder import Recorder
from verger.controllers.root_ca import RootCA
from verger.controllers.serviceaccounts import ServiceAccounts
from verger.controllers.tokens import Tokens
from verger.embed import kubeconfig
from verger.embed.logs import quiet_logger
from verger.identity.authn import Chain, ClientCertificate, StaticToken
from verger.identity.authz import MastersOnly
from verger.identity.certificates import Authority, server_context
from verger.identity.keys import InvalidKey, SigningKey
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
_ANYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - the addresses are compared with, not listened on


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
    token_secrets: Literal["auto", "on-request"] = "auto"
    """Whether every account gets a token Secret, or only those that a user creates are filled."""
    private_key_file: Path | None = None
    """PEM file with the RSA or EC key that signs tokens; without one a P-256 key is made."""
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
        self._world = _build(self.options, self._clock, self._log, self._is_ready)
        await self._ensure_system_namespaces()
        try:
            yield
        finally:
            self._world.signing_key.close()

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
        tasks = [
            asyncio.create_task(self._trim_history(), name="verger history"),
            asyncio.create_task(self._keep_system_namespaces(), name="verger system namespaces"),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

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

    @asynccontextmanager
    async def _controlling(self) -> AsyncIterator[None]:
        """The controllers, and their informers."""
        world = self._started()
        running = asyncio.create_task(world.manager.run(world.names), name="verger controllers")
        settled = asyncio.create_task(world.manager.settled(world.names), name="verger settling")
        await asyncio.wait([running, settled], return_when=asyncio.FIRST_COMPLETED)
        running.add_done_callback(self._broken)
        try:
            yield
        finally:
            running.remove_done_callback(self._broken)
            for task in (settled, running):
                task.cancel()
            await asyncio.wait([settled, running])
            if not running.cancelled() and (error := running.exception()) is not None:
                raise error

    def _broken(self, _: "asyncio.Task[None]") -> None:
        # A controller that ends by itself is a fault: the plane ends too, with that fault.
        self._stopping.set()

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


DRAIN_MAX: Final = 5.0
"""Seconds that requests in flight have to be answered when the plane stops."""


@dataclass(slots=True)
class _World:
    """The parts of a plane that are no tasks."""

    authority: Authority
    ca: bytes
    signing_key: SigningKey = field(repr=False)
    token: str = field(repr=False)
    kinds: Kinds
    registry: Registry
    fitter: Fitter
    manager: Manager
    names: list[str]
    server: ApiServer


def _build(
    options: PlaneOptions, clock: Clock, log: "FilteringBoundLogger", is_ready: Any
) -> _World:
    schemas = load()
    kinds = built_in(schemas)
    backend = MemoryBackend(clock, window=options.history_window)
    registry = Registry(backend, clock)
    fitter = Fitter(schemas)
    authority = Authority(clock.time())
    ca = authority.certificate
    if options.tls_cert_file is not None:
        ca += _read(options.tls_cert_file, "--tls-cert-file")
    root_ca = _read(options.root_ca_file, "--root-ca-file") if options.root_ca_file else ca
    if b"-----BEGIN CERTIFICATE-----" not in root_ca:
        raise StartError(f"--root-ca-file {options.root_ca_file} holds no certificate in PEM")
    signing_key = _signing_key(options.private_key_file)

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
            signing_key,
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
    ]
    manager = Manager(reconcilers, client_of("shared-informers"), clock, log)
    try:
        names = selected(options.controllers, manager.names)
    except UnknownController as error:
        raise StartError(f"--controllers: {error}") from None

    token = secrets.token_urlsafe(32)
    metrics = Metrics()
    decoder = Decoder(schemas)
    codec = Codec(schemas)
    handlers = Handlers(registry, fitter, decoder, Bodies(codec), clock)
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
        documents=Documents(kinds, schemas, health, metrics, options.kubernetes_version),
        authentication=Chain([StaticToken(token, ADMIN), ClientCertificate()]),
        authorizer=MastersOnly(),
        metrics=metrics,
        clock=clock,
        log=log,
    )
    return _World(
        authority, ca, signing_key, token, kinds, registry, fitter, manager, names, server
    )


def _sync_problem(manager: Manager, name: str) -> str:
    return "" if manager.synced(name) else "not synced"


def _read(path: Path, flag: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StartError(f"{flag}: cannot read {path}: {error.strerror or error}") from None


def _signing_key(path: Path | None) -> SigningKey:
    if path is None:
        return SigningKey.generate()
    flag = "--service-account-private-key-file"
    try:
        return SigningKey.load(path)
    except OSError as error:
        raise StartError(f"{flag}: cannot read {path}: {error.strerror or error}") from None
    except InvalidKey as error:
        raise StartError(f"{flag}: {path}: {error}") from None
