"""Daemons as processes of their own, beside a control plane that has no controllers."""

import asyncio
import base64
import json
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import aiohttp
from verger.embed import ControlPlane
from verger.identity.certificates import Authority
from verger.store.client import Client
from verger.store.kinds import Kinds, built_in
from verger.store.kubeconfig import connect
from verger.store.objects import name_of
from verger.store.remote import RemoteServer
from verger.store.throttle import TokenBucket
from verger.store.timestamps import format_micro
from verger.watch.clock import SystemClock

from tests.cmd.conftest import COMMAND, DEADLINE, Kubeconfig, environment_in
from tests.cmd.relay import Relay, relaying

KEY: Final = "signing.key"
SHORT: Final = (
    "--leader-elect-lease-duration=2",
    "--leader-elect-renew-deadline=1.6",
    "--leader-elect-retry-period=0.25",
)
"""A lease that expires within the patience of a test."""
FAST: Final = ("--kube-api-qps=0", f"--service-account-private-key-file={KEY}")


@dataclass
class Daemon:
    """A `verger run` that runs."""

    process: asyncio.subprocess.Process
    lines: list[dict[str, Any]] = field(default_factory=list)

    async def until(self, event: str) -> dict[str, Any]:
        """Reads the log up to an event; fails when it ends before."""
        assert self.process.stderr is not None
        async with asyncio.timeout(DEADLINE):
            while line := await self.process.stderr.readline():
                entry: dict[str, Any] = json.loads(line)
                self.lines.append(entry)
                if entry["event"] == event:
                    return entry
        raise AssertionError(f"no {event!r} in {self.lines}")

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.send(number)
        assert self.process.stderr is not None
        async with asyncio.timeout(DEADLINE):
            async for line in self.process.stderr:
                self.lines.append(json.loads(line))
            return await self.process.wait()


class Server(Protocol):
    """A control plane without controllers: in this process, or in one of its own."""

    url: str
    kubeconfig: Path

    @property
    def client(self) -> Client:
        """The administrator's."""

    @property
    def kinds(self) -> Kinds:
        """What it serves."""

    @property
    def token(self) -> str:
        """The administrator's."""

    @property
    def ca(self) -> bytes:
        """The authority to verify it with."""


@dataclass
class OtherProcess:
    """A `verger serve` that runs."""

    url: str
    kubeconfig: Path
    client: Client
    kinds: Kinds
    token: str
    ca: bytes


class Site:
    """A control plane without controllers, and the daemons beside it."""

    def __init__(self, plane: Server, folder: Path, stack: AsyncExitStack) -> None:
        self.plane = plane
        self.folder = folder
        self._stack = stack

    async def run(self, *arguments: str, variables: Mapping[str, str] | None = None) -> Daemon:
        process = await asyncio.create_subprocess_exec(
            COMMAND,
            "run",
            f"--kubeconfig={self.plane.kubeconfig}",
            *arguments,
            env={**environment_in(self.folder), **(variables or {})},
            cwd=self.folder,
            stderr=asyncio.subprocess.PIPE,
        )
        self._stack.push_async_callback(process.wait)
        self._stack.callback(lambda: process.returncode is None and process.kill())
        return Daemon(process)

    async def failed(self, *arguments: str) -> tuple[int, str]:
        """Exit code and what is said by a daemon that does not start."""
        daemon = await self.run(*arguments)
        async with asyncio.timeout(DEADLINE):
            _, said = await daemon.process.communicate()
            return await daemon.process.wait(), said.decode()

    async def relay(self) -> Relay:
        return await self._stack.enter_async_context(relaying(self.plane.url))

    async def namespace(self, name: str) -> None:
        await self.plane.client.create(
            self.plane.kinds.core("Namespace"), {"metadata": {"name": name}}
        )

    async def until(self, kind: str, namespace: str, is_so: Callable[[list[Any]], bool]) -> None:
        """Waits until the objects of a kind are as they should be."""
        client, row = self.plane.client, self.plane.kinds.core(kind)
        async with asyncio.timeout(DEADLINE):
            while not is_so(list((found := await client.list(row, namespace)).items)):
                stream = await client.watch(row, namespace, after=found.revision)
                await stream.read()
                stream.close()

    async def served(self, namespace: str) -> str:
        """Waits until a namespace has all that it should have; returns its token."""
        await self.until(
            "ConfigMap", namespace, lambda maps: [name_of(m) for m in maps] == ["kube-root-ca.crt"]
        )
        await self.until(
            "ServiceAccount", namespace, lambda found: bool(found and found[0].get("secrets"))
        )
        secrets = await self.plane.client.list(self.plane.kinds.core("Secret"), namespace)
        (secret,) = secrets.items
        return base64.b64decode(secret["data"]["token"]).decode()

    async def lease(
        self, name: str = "verger", namespace: str = "kube-system"
    ) -> Mapping[str, Any]:
        kind = self.plane.kinds.get("coordination.k8s.io", "v1", "Lease")
        assert kind is not None
        return (await self.plane.client.get(kind, name, namespace))["spec"]

    async def hold_lease(self, name: str, holder: str, renewed: float) -> None:
        kind = self.plane.kinds.get("coordination.k8s.io", "v1", "Lease")
        assert kind is not None
        metadata = {"name": name, "namespace": "kube-system"}
        spec = {
            "holderIdentity": holder,
            "leaseDurationSeconds": 15,
            "renewTime": format_micro(renewed),
        }
        await self.plane.client.create(kind, {"metadata": metadata, "spec": spec})


@asynccontextmanager
async def site_in(folder: Path) -> AsyncIterator[Site]:
    """A site whose files are in a folder; its daemons end with it."""
    (folder / KEY).write_bytes(Authority(time.time()).server(["any"]).key)
    async with (
        ControlPlane(controllers=(), private_key_file=folder / KEY) as plane,
        AsyncExitStack() as stack,
    ):
        yield Site(plane, folder, stack)


@asynccontextmanager
async def processes_in(folder: Path) -> AsyncIterator[Site]:
    """The same, with the control plane in a process of its own."""
    (folder / KEY).write_bytes(Authority(time.time()).server(["any"]).key)
    kubeconfig = folder / "kubeconfig"
    process = await asyncio.create_subprocess_exec(
        COMMAND,
        "serve",
        "--secure-port=0",
        "--controllers=",
        f"--service-account-private-key-file={KEY}",
        f"--write-kubeconfig={kubeconfig}",
        env=environment_in(folder),
        cwd=folder,
        stderr=asyncio.subprocess.PIPE,
    )
    clock, kinds = SystemClock(), built_in()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(process.wait)
        stack.callback(lambda: process.returncode is None and process.kill())
        url = (await Daemon(process).until("ready"))["url"]
        connection = connect(kubeconfig, context="", master="", environment={}, clock=clock)
        throttle = TokenBucket(clock, qps=0, burst=1)
        server = RemoteServer(connection, kinds, clock, throttle=throttle)
        stack.push_async_callback(server.close)
        seen = Kubeconfig.read(kubeconfig)
        client = server.client("tester")
        plane = OtherProcess(url, kubeconfig, client, kinds, seen.token, seen.ca.encode())
        yield Site(plane, folder, stack)


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


async def ask(port: int, path: str, token: str = "") -> tuple[int, str]:
    """Status and text of an answer of a daemon."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"https://127.0.0.1:{port}{path}", ssl=False, headers=headers) as answer,
    ):
        return answer.status, await answer.text()
