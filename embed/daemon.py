"""The controllers alone, beside an API server that somebody else runs.

What runs is what runs in a plane: the same controllers, over a client that speaks HTTPS. Of several replicas one writes;
the others keep their caches full and wait.
"""

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from verger.apiserver.health import Health
from verger.controllers.election import Election
from verger.controllers.manager import Manager, UnknownController, selected
from verger.controllers.namespaces import Namespaces
from verger.controllers.reconcile import Reconciler
from verger.controllers.recorder import Recorder
from verger.controllers.root_ca import RootCA
from verger.controllers.serviceaccounts import ServiceAccounts
from verger.controllers.token_cleaner import TokenCleaner
from verger.controllers.tokens import Tokens
from verger.embed.controllers_view import text_of
from verger.embed.daemon_options import DaemonOptions
from verger.embed.daemon_report import Families, health_of, metrics_of
from verger.embed.delegation import Delegation
from verger.embed.listener import Listener
from verger.embed.measured import Measured
from verger.embed.neighbours import Neighbourhood
from verger.embed.options import StartError
from verger.embed.service_times import ServiceTimes
from verger.embed.serving_certificate import ServingCertificate
from verger.embed.supervisor import Supervisor
from verger.embed.traced_client import TracedClient
from verger.embed.tracing import tracer_of
from verger.identity.keyring import KeyFileError, KeyFiles, KeyRing
from verger.store.client import Client
from verger.store.credentials import KubeconfigError
from verger.store.errors import ApiError, Unauthorized
from verger.store.kinds import Kind, built_in
from verger.store.kubeconfig import Connection, connect
from verger.store.remote import RemoteServer
from verger.store.throttle import TokenBucket
from verger.store.transport import NoAnswer
from verger.watch.clock import Clock

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

REACH_MAX: Final = 10.0
"""Seconds that the API server has to answer for the first time. upstream: WaitForAPIServer"""
REACH_PERIOD: Final = 1.0
FILES_PERIOD: Final = 10.0
"""Seconds between looks whether a key or a certificate has changed."""
REVIEW_QPS: Final = 5.0
REVIEW_BURST: Final = 20
"""Reviews a second of those who ask how the daemon is: beside the limit of the controllers, which must not wait for them."""
ROUND_TRIPS: Final = 5
"""Namespaces that the controllers work on at a time that have one worker in a plane: here each write is a round trip."""
_CERTIFICATE: Final = b"-----BEGIN CERTIFICATE-----"
_TOKENS: Final = "serviceaccount-token-controller"
_ROOT_CA: Final = "root-ca-publisher"


class Daemon:
    """The controllers of one process. `run` does everything; what it has made it takes down again."""

    def __init__(
        self,
        options: DaemonOptions,
        *,
        environment: Mapping[str, str],
        clock: Clock,
        log: "FilteringBoundLogger",
    ) -> None:
        options.check()
        self._options = options
        self._environment = environment
        self._clock = clock
        self._log = log
        self._kinds = built_in()
        self._supervisor = Supervisor(environment, clock)
        self._key_files: KeyFiles | None = None
        self._keys: KeyRing | None = None
        self._certificate: ServingCertificate | None = None
        self._election: Election | None = None
        self._warm = False
        self._tracer = tracer_of(environment, log)
        self._families: list[Families] = []

    async def run(self) -> None:
        """Works until it is cancelled. Raises StartError."""
        async with AsyncExitStack() as stack:
            connection = self._connection()
            root_ca = self._root_ca(connection)
            self._load_keys(stack)
            self._certificate = self._serving_certificate() if self._options.port else None
            server = await stack.enter_async_context(
                self._server(connection, self._options.qps, self._options.burst)
            )
            await self._reach(server)
            self._election = self._candidate(server)
            guard = self._election.guard if self._election is not None else None
            reconcilers = self._reconcilers(server, root_ca, guard)
            manager = Manager(
                reconcilers,
                server.client("shared-informers"),
                self._clock,
                self._log,
                tracer=self._tracer,
            )
            names = self._selected(manager)
            if not self._options.adopt:
                await self._look_for_others(server, names)
            health = health_of(manager, names, self._election, self._clock, lambda: self._warm)
            if self._certificate is not None:
                reviews = await stack.enter_async_context(
                    self._server(connection, REVIEW_QPS, REVIEW_BURST)
                )
                self._families.append(self._service_times(manager, names).families)
                metrics = metrics_of(manager, server, self._election, self._families)
                listener = Listener(
                    health,
                    metrics,
                    functools.partial(text_of, manager),
                    self._delegation(reviews),
                )
                host, port = self._options.host, self._options.port
                url = await stack.enter_async_context(
                    listener.listening(host, port, self._certificate.context)
                )
                self._log.info("serving health and metrics", url=url)
            stack.callback(self._supervisor.tell, "STOPPING=1", "STATUS=stopping")
            await self._work(manager, names, server, health)

    # At rest

    def _connection(self) -> Connection:
        options = self._options
        try:
            return connect(
                options.kubeconfig,
                context=options.context,
                master=options.master,
                environment=self._environment,
                clock=self._clock,
            )
        except KubeconfigError as error:
            raise StartError(str(error)) from None

    @asynccontextmanager
    async def _server(
        self, connection: Connection, qps: float, burst: int
    ) -> AsyncIterator[RemoteServer]:
        throttle = TokenBucket(self._clock, qps=qps, burst=burst)
        server = RemoteServer(connection, self._kinds, self._clock, throttle=throttle)
        try:
            yield server
        finally:
            await server.close()

    def _service_times(self, manager: Manager, names: list[str]) -> ServiceTimes:
        times = ServiceTimes(self._clock)
        times.follow(manager.listen, self._kinds, names)
        return times

    def _delegation(self, server: RemoteServer) -> Delegation:
        client, paths = server.client("delegated-auth"), self._options.always_allow_paths
        return Delegation(client, self._clock, self._log, always_allow=paths)

    def _serving_certificate(self) -> ServingCertificate:
        options = self._options
        return ServingCertificate(
            options.tls_cert_file,
            options.tls_private_key_file,
            host=options.host,
            now=self._clock.time(),
        )

    def _load_keys(self, stack: AsyncExitStack) -> None:
        path = self._options.private_key_file
        if path is None:
            return
        self._key_files = KeyFiles(private=path)
        try:
            self._keys = self._key_files.ring()
        except KeyFileError as error:
            raise StartError(str(error)) from None
        stack.callback(self._keys.close)

    def _root_ca(self, connection: Connection) -> str:
        path = self._options.root_ca_file
        if path is None:
            return connection.authority.decode(errors="replace")
        try:
            content = path.read_bytes()
        except OSError as error:
            raise StartError(
                f"--root-ca-file: cannot read {path}: {error.strerror or error}"
            ) from None
        if _CERTIFICATE not in content:
            raise StartError(f"--root-ca-file {path} holds no certificate in PEM")
        return content.decode(errors="replace")

    def _lease_kind(self) -> Kind:
        kind = self._kinds.get("coordination.k8s.io", "v1", "Lease")
        if kind is None:
            raise LookupError("Lease is not known")
        return kind

    def _candidate(self, server: RemoteServer) -> Election | None:
        options = self._options.election
        if options is None:
            return None
        # Renewing must not wait behind the work of the controllers.
        client = server.client("leader-election", urgent=True)
        recorder = Recorder(
            client, self._kinds.core("Event"), self._clock, self._log, component="verger"
        )
        return Election(client, self._lease_kind(), options, self._clock, self._log, recorder)

    def _reconcilers(
        self, server: RemoteServer, root_ca: str, guard: Callable[[], float] | None
    ) -> list[Reconciler[Any]]:
        options, kinds, clock, log = self._options, self._kinds, self._clock, self._log

        def client_of(component: str) -> Client:
            client = server.client(component, guard=guard)
            return client if self._tracer is None else TracedClient(client, self._tracer)

        def recorder_of(component: str) -> Recorder:
            return Recorder(
                client_of(component), kinds.core("Event"), clock, log, component=component
            )

        found: list[Reconciler[Any]] = [
            ServiceAccounts(
                client_of("service-account-controller"),
                kinds,
                recorder_of("service-account-controller"),
                log,
                workers=ROUND_TRIPS,
            )
        ]
        if self._keys is not None:
            found.append(
                Tokens(
                    client_of("tokens-controller"),
                    kinds,
                    recorder_of("tokens-controller"),
                    log,
                    self._keys,
                    root_ca,
                    options.token_secrets,
                    workers=options.token_workers,
                )
            )
        found.append(
            Namespaces(
                client_of("namespace-controller"),
                kinds,
                recorder_of("namespace-controller"),
                log,
                clock,
                workers=options.namespace_workers,
            )
        )
        if root_ca:
            component = "root-ca-cert-publisher"
            publisher = RootCA(
                client_of(component),
                kinds,
                recorder_of(component),
                log,
                root_ca,
                workers=ROUND_TRIPS,
            )
            measured = Measured(publisher, clock, metric="root_ca_cert_publisher")
            self._families.append(measured.families)
            found.append(measured)
        found.append(
            TokenCleaner(
                client_of("legacy-service-account-token-cleaner"),
                kinds,
                log,
                clock,
                options.legacy_token_period,
            )
        )
        return found

    def _selected(self, manager: Manager) -> list[str]:
        """The controllers that run; of those that are asked for and cannot, the log says why."""
        off = {
            _TOKENS: "there is no --service-account-private-key-file to sign with",
            _ROOT_CA: "there is no --root-ca-file, and the kubeconfig names no authority",
        }
        off = {name: why for name, why in off.items() if name not in manager.names}
        try:
            names = selected(self._options.controllers, [*manager.names, *off])
        except UnknownController as error:
            raise StartError(f"--controllers: {error}") from None
        for name in names:
            if name in off:
                self._log.warning("controller is off", controller=name, reason=off[name])
        return [name for name in names if name not in off]

    # At work

    async def _reach(self, server: RemoteServer) -> None:
        """Waits a moment for an API server that may start at the same time as we do."""
        client = server.client("start")
        until = self._clock.monotonic() + REACH_MAX
        while True:
            try:
                await client.raw("/version")
                return
            except KubeconfigError as error:
                raise StartError(str(error)) from None
            except Unauthorized:
                raise StartError(
                    f"{server.transport.server} does not accept the credentials of the kubeconfig; renew them"
                ) from None
            except NoAnswer as error:
                if self._clock.monotonic() >= until:
                    raise StartError(str(error)) from None
            except ApiError:
                return  # it answers, and that is all that is asked
            await self._clock.sleep(REACH_PERIOD)

    async def _look_for_others(self, server: RemoteServer, names: list[str]) -> None:
        election = self._options.election
        period = election.retry_period if election is not None else REACH_PERIOD
        neighbourhood = Neighbourhood(server, self._kinds, self._clock, retry_period=period)
        await neighbourhood.check(names, election)

    async def _work(
        self, manager: Manager, names: list[str], server: RemoteServer, health: Health
    ) -> None:
        election = self._election
        async with asyncio.TaskGroup() as group:
            group.create_task(self._supervisor.watch(lambda: not health.failing("/livez")))
            group.create_task(manager.run(()))
            group.create_task(self._warm_up(manager, names, server))
            group.create_task(self._keep_files())
            if election is None:
                group.create_task(manager.work(names))
            else:
                group.create_task(election.run(functools.partial(manager.work, names)))

    async def _warm_up(self, manager: Manager, names: list[str], server: RemoteServer) -> None:
        await manager.warm(names)
        self._warm = True
        self._supervisor.tell("READY=1", f"STATUS=at work beside {server.transport.server}")
        self._log.info("ready", server=server.transport.server, controllers=names)

    async def _keep_files(self) -> None:
        while True:
            await self._clock.sleep(FILES_PERIOD)
            if self._key_files is not None and self._key_files.changed():
                self._reload_keys()
            if self._certificate is not None and self._certificate.changed():
                self._reload_certificate()

    def reload(self) -> None:
        """Reads key and certificate anew; what cannot be read stays as it is, and the log says why."""
        self._reload_keys()
        self._reload_certificate()

    def _reload_keys(self) -> None:
        if self._key_files is None or self._keys is None:
            return
        try:
            self._key_files.renew(self._keys)
        except KeyFileError as error:
            self._log.error("keys not reloaded", error=str(error))
        else:
            self._log.info("keys reloaded", kid=self._keys.legacy.kid)

    def _reload_certificate(self) -> None:
        if self._certificate is None:
            return
        try:
            self._certificate.renew()
        except StartError as error:
            self._log.error("certificate not reloaded", error=str(error))
        else:
            self._log.info("certificate reloaded")
