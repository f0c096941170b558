"""A control plane in this process: store, HTTPS API and controllers, started and stopped together.

`ControlPlane._steps` is the order in which things start; they stop in the opposite one.
"""

import asyncio
import contextlib
import shutil
import ssl
import tempfile
import time
import warnings
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from verger.controllers.manager import Manager
from verger.controllers.origins import Origins
from verger.embed import changes, kubeconfig, rbac_report, recent, snapshots
from verger.embed.access import ServiceAccountAccess
from verger.embed.changes import Change
from verger.embed.faults import Faults
from verger.embed.logs import quiet_logger
from verger.embed.observation import Observation
from verger.embed.options import PlaneOptions, StartError
from verger.embed.parts import ADMIN, Parts
from verger.embed.rbac_report import RbacReport
from verger.embed.requests import Requests
from verger.embed.shifted_clock import ShiftedClock
from verger.embed.snapshots import Snapshot
from verger.identity.certificates import server_context
from verger.identity.keyring import KeyFileError
from verger.identity.policy import seed
from verger.store.backend import Row
from verger.store.errors import AlreadyExists
from verger.store.kinds import Kinds
from verger.store.local import LocalClient
from verger.store.request import MASTERS, Posting, WriteRequest
from verger.watch.clock import Clock, SystemClock
from verger.watch.log import EventLog

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

SYSTEM_NAMESPACES: Final = ("kube-system", "kube-public", "default", "kube-node-lease")
SYSTEM_NAMESPACES_PERIOD: Final = 60.0
"""Seconds between looks whether they are all there. upstream: system_namespaces_controller.go"""
TRIM_PERIOD: Final = 10.0
"""Seconds between looks whether history has left the window; a store that is written to looks by itself."""
KEYS_PERIOD: Final = 10.0
"""Seconds between looks whether one of the key files has changed."""
DRAIN_MAX: Final = 5.0
"""Seconds that requests in flight have to be answered when the plane stops."""
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


_CALM_TURNS: Final = 5
"""Turns of the event loop in a row without anything to do: a task may wake another one."""
_QUICK_TURNS: Final = 500
_PAUSE: Final = 0.001


class Unsettled(Exception):
    """The plane is still busy; the message says with what."""


class _Interrupted(Exception):
    """The plane is to stop before it has started."""


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
        seed: int | None = None,
        observe: bool = True,
        trace: bool = False,
        **overrides: Any,
    ) -> None:
        """Sets a plane up, by options or their names; `seed` is that of its faults.

        Without `observe` requests are recorded, and faults strike, only once somebody has asked for either.
        With `trace` it is known of every revision who wrote it and why.
        """
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
        self._clock = ShiftedClock(clock or SystemClock())
        self._observation = Observation(Faults(seed, self._clock))
        self._observe = observe
        self._traced = trace
        self._log = log or quiet_logger()
        self._task: asyncio.Task[None] | None = None
        self._stopping: asyncio.Event = asyncio.Event()
        self._ready = False
        self._parts: Parts | None = None
        self._first: Snapshot | None = None
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

    def __del__(self) -> None:
        # Attributes are missing where the options were wrong. A loop that ends has ended the plane with its other tasks.
        if getattr(self, "_task", None) is not None:
            warnings.warn(
                f"the plane at {self.url} was not stopped",
                ResourceWarning,
                stacklevel=1,
                source=self,
            )

    async def start(self) -> None:
        """Starts everything, and returns when the plane is ready. Raises StartError."""
        if self._task is not None:
            raise RuntimeError("the plane has been started already")
        loop = asyncio.get_running_loop()
        started: asyncio.Future[None] = loop.create_future()
        self._stopping = asyncio.Event()
        self._parts = None
        self.url = ""
        task = self._task = loop.create_task(self._run(started), name="verger plane")
        try:
            await asyncio.wait([started, task], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await self.stop()
            raise
        if task.done():
            self._ended(task)
            await task
            raise StartError("the plane was stopped before it had started")

    async def stop(self) -> None:
        """Stops everything, in the reverse order of start, and returns when that is done.

        Stopping twice is harmless, and so are several stops at once: one of them raises what broke the plane. A plane
        that was stopped can be started again, as a new one.
        """
        task = self._task
        if task is None:
            return
        self._stopping.set()
        await asyncio.wait([task])
        if self._ended(task) and not task.cancelled() and (error := task.exception()) is not None:
            raise error

    def _ended(self, task: "asyncio.Task[None]") -> bool:
        """Forgets a task that has ended, if nobody has done so before."""
        if self._task is not task:
            return False
        self._task = None
        return True

    async def wait(self) -> None:
        """Returns when the plane has ended; raises what broke it."""
        if self._task is not None:
            await asyncio.shield(self._task)

    async def settle(self, within: float = 10.0) -> None:
        """Returns when every watch has been delivered, every queue is empty and no controller is at work.

        Keys that wait for their time (a grace, a backoff, a recheck) do not count: let the clock go on for them. Raises
        Unsettled when that takes more than `within` seconds of real time; it says who is still busy.
        """
        parts = self._started()
        ends = time.monotonic() + within
        calm = turns = 0
        while calm < _CALM_TURNS:
            # The first turns are for what the event loop does by itself, the rest for threads and sockets.
            await asyncio.sleep(0 if turns < _QUICK_TURNS else _PAUSE)
            turns += 1
            calm = calm + 1 if parts.manager.idle and parts.backend.log.is_quiet else 0
            if not calm and time.monotonic() > ends:
                busy = parts.manager.busy() or ["a watch whose client does not read"]
                raise Unsettled(f"not settled after {within:g} s: {'; '.join(busy)}")

    async def namespace(self, name: str, **metadata: Any) -> Mapping[str, Any]:
        """Makes a namespace and returns it when it can be used: with its account, the token and the root CA."""
        kind = self.kinds.core("Namespace")
        await self.client.create(kind, {"metadata": {"name": name, **metadata}})
        await self.settle()
        return await self.client.get(kind, name)

    async def as_service_account(
        self, namespace: str, name: str = "default", *, seconds: int = 3600
    ) -> ServiceAccountAccess:
        """What a program of that account would have: a token of its own, under the account's own rights.

        Raises NotFound.
        """
        parts = self._started()
        form = parts.kinds.core("ServiceAccount").form("token")
        wanted = {"spec": {"expirationSeconds": seconds}}
        posting = Posting(form, namespace, name, wanted, WriteRequest(ADMIN))
        token = (await parts.issuer.answer(posting))["status"]["token"]
        path = self._folder / f"{namespace}.{name}.kubeconfig"
        kubeconfig.write(path, kubeconfig.render(self.url, parts.ca, token))
        return ServiceAccountAccess(namespace, name, token, path)

    def snapshot(self) -> Snapshot:
        """The objects of now, to come back to with `restore`."""
        return snapshots.take(self._started().backend)

    def restore(self, snapshot: Snapshot) -> None:
        """Makes the objects what they were: watchers and controllers hear of it as of any change."""
        snapshots.restore(self._started().backend, snapshot)

    def reset(self) -> None:
        """Makes everything what it was when the plane had started: objects, controllers, requests, faults."""
        observation, parts = self._observation, self._started()
        observation.faults.reseed(observation.faults.seed)
        if self._first is not None:
            self.restore(self._first)
        for name in parts.controllers:
            parts.manager.start(name)
        observation.requests.clear()
        observation.usage.clear()

    @property
    def requests(self) -> Requests:
        """What was asked of the API and how it was answered."""
        return self._observed().requests

    @property
    def faults(self) -> Faults:
        """What goes wrong on purpose."""
        return self._observed().faults

    def rbac_report(self) -> RbacReport:
        """Which rights identities have used of those that they have, and the smallest roles that would do."""
        return rbac_report.report(self._observed().usage, self._started().policy)

    @property
    def revision(self) -> int:
        """The revision of the newest change."""
        return self._started().backend.revision

    def changes(self, after: int = 0) -> list[Change]:
        """What was changed above a revision, as far back as the history goes, oldest first."""
        return changes.after(self._started().backend.log, after)

    @property
    def origins(self) -> Origins:
        """Who wrote what, and why, on a plane that was made with `trace`."""
        origins = self._started().origins
        if origins is None:
            raise RuntimeError("the plane was made without a trace")
        return origins

    @property
    def log(self) -> EventLog[Row]:
        """The history that watches are served from."""
        return self._started().backend.log

    def recent(self, lines: int = 20) -> str:
        """What has happened lately, for somebody who looks for a reason: changes, requests, errors, faults."""
        return recent.told(self._started(), self._observation, lines)

    def _observed(self) -> Observation:
        self._observe = True
        if self._parts is not None:
            self._parts.server.listener = self._observation
        return self._observation

    @property
    def client(self) -> LocalClient:
        """The administrator's client inside the process."""
        parts = self._started()
        return LocalClient(parts.registry, parts.kinds, parts.fitter, ADMIN)

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

    def _started(self) -> Parts:
        if self._parts is None:
            raise RuntimeError("the plane has not been started")
        return self._parts

    # Start and stop

    async def _run(self, started: "asyncio.Future[None]") -> None:
        with contextlib.suppress(_Interrupted):
            async with contextlib.AsyncExitStack() as running:
                for step in self._steps():
                    await running.enter_async_context(step)
                started.set_result(None)
                await self._stopping.wait()

    def _steps(self) -> list[AbstractAsyncContextManager[None]]:
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
        self._parts = Parts(
            self.options,
            self._clock,
            self._log,
            is_ready=lambda: self._ready,
            url=lambda: self.url,
            traced=self._traced,
        )
        if self._parts.origins is not None:
            self._parts.origins.follow(self._parts.backend.log)
        faults = self._observation.faults
        faults.attach(
            self._parts.handlers, self._parts.manager, self._parts.backend, self._parts.links
        )
        if self._observe:
            self._parts.server.listener = self._observation
        await self._ensure_system_namespaces()
        seed(self._parts.registry.backend, self._clock.time())
        try:
            yield
        finally:
            self._parts.keys.close()

    @asynccontextmanager
    async def _serving(self) -> AsyncIterator[None]:
        """The HTTPS port. It is open before the controllers run, so that /readyz can say that they do not yet."""
        parts, options = self._started(), self.options
        context = self._tls_context()
        try:
            host, port = await parts.server.start(options.host, options.port, context)
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
            await parts.server.stop()

    def _tls_context(self) -> ssl.SSLContext:
        parts, options = self._started(), self.options
        certificate, key = options.tls_cert_file, options.tls_private_key_file
        if (certificate is None) != (key is None):
            raise StartError("--tls-cert-file and --tls-private-key-file go together")
        if certificate is None or key is None:
            pair = parts.authority.server([*_HOSTS, options.host])
            certificate, key = self._folder / "tls.crt", self._folder / "tls.key"
            certificate.write_bytes(pair.certificate)
            key.touch(mode=0o600)
            key.write_bytes(pair.key)
        try:
            return server_context(certificate, key, parts.authority.certificate)
        except (OSError, ssl.SSLError) as error:
            raise StartError(
                f"{certificate} and {key} are no certificate and key in PEM that belong together: {error.strerror or error}"
            ) from None

    @asynccontextmanager
    async def _housekeeping(self) -> AsyncIterator[None]:
        """What has to be looked at from time to time."""
        async with self._running(
            self._trim_history(),
            self._started().expiry.run(),
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
        parts = self._parts
        if parts is None:
            return  # they are about to be read
        try:
            parts.key_files.renew(parts.keys)
        except KeyFileError as error:
            self._log.error("keys not reloaded", error=str(error))
        else:
            self._log.info("keys reloaded", kids=[key.kid for key in parts.keys.verifying])

    @asynccontextmanager
    async def _controlling(self) -> AsyncIterator[None]:
        """The controllers, and their informers."""
        parts = self._started()
        async with self._running(parts.manager.run(parts.controllers)):
            settled = asyncio.create_task(parts.manager.settled(parts.controllers))
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
        parts = self._started()
        path = self.options.kubeconfig or self._folder / "kubeconfig"
        certificate = parts.authority.client(ADMIN.name, (MASTERS,))
        try:
            kubeconfig.write(path, kubeconfig.render(self.url, parts.ca, parts.token, certificate))
        except OSError as error:
            raise StartError(
                f"cannot write the kubeconfig {path}: {error.strerror or error}"
            ) from None
        self.kubeconfig = path
        self._first = self.snapshot()
        self._ready = True
        self._log.info("ready", url=self.url, kubeconfig=str(path))
        try:
            yield
        finally:
            self._ready = False
            self._observation.faults.clear()
            await parts.server.drain(DRAIN_MAX)
