"""The controllers as a process of their own, `verger run`, beside a control plane that has none.

Two loads. The storm is that of `identities`, against controllers in the server's process and, in
the same run, against a daemon: what they do over HTTPS is to cost at most half of the rate. The
other one is a cluster that is full already: how long a daemon takes to serve all of it, what it
asks for, what it keeps in memory, and that a second start writes nothing. Requests are counted by
the server.
"""

import asyncio
import os
import re
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from bench import identities
from bench.api import Figures, create_namespace, open_watches, spread
from bench.identities import IdentityLoad
from bench.raw_client import Connection, Target
from bench.servers import (
    STOP_TIMEOUT,
    Command,
    Server,
    ServerError,
    environment,
    resident_megabytes,
    running,
    verger_command,
)

CONTROLLERS = (
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "namespace-controller",
    "root-ca-publisher",
)
"""What a daemon runs and a plane can run, so that both do the same."""
READY_TIMEOUT = 60.0
CONVERGED_TIMEOUT = 1800.0
_WATCHES = re.compile(r"^verger_watches (\S+)$", re.MULTILINE)
OWN_SPACES = 4
"""Namespaces that a new server has."""
READS = ("get", "list")
OWN_READS = 3
"""Of the benchmark itself: three lists. What is no resource, as the metrics, is not counted."""
LAST_WRITES = 5
"""What the last namespace takes: itself, its account, its Secret, the reference to that, its ConfigMap."""
_COUNTED = re.compile(r'^apiserver_request_total\{.*?\bverb="(\w+)".*?\} (\S+)$', re.MULTILINE)


@dataclass(slots=True)
class Daemon:
    """A daemon that runs, and how long it took until it had seen the cluster."""

    process: asyncio.subprocess.Process
    ready_seconds: float

    @classmethod
    async def start(cls, server: Server, key: Path) -> Self:
        """Start one without a rate limit and without a lease; returns when it is ready. Raises ServerError."""
        started = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).parent / "verger"),
            "run",
            f"--kubeconfig={server.kubeconfig}",
            f"--service-account-private-key-file={key}",
            f"--controllers={','.join(CONTROLLERS)}",
            "--kube-api-qps=0",
            "--leader-elect=false",
            "--adopt=true",
            "--log-format=json",
            stderr=asyncio.subprocess.PIPE,
            env=environment(),
        )
        assert process.stderr is not None
        said: list[str] = []
        async with asyncio.timeout(READY_TIMEOUT):
            while '"event": "ready"' not in (said[-1] if said else ""):
                line = await process.stderr.readline()
                if not line:
                    raise ServerError("\n    ".join(["verger run: ended at once", *said[-15:]]))
                said.append(line.decode(errors="replace"))
        return cls(process, time.perf_counter() - started)

    async def stop(self) -> None:
        """End it. Raises ServerError when it does not end in good order."""
        self.process.terminate()
        async with asyncio.timeout(STOP_TIMEOUT):
            # What it says has to be read, or it would wait for that.
            _, said = await self.process.communicate()
        if self.process.returncode != 0:
            last = said.decode(errors="replace").splitlines()[-15:]
            raise ServerError("\n    ".join([f"verger run: {self.process.returncode}", *last]))

    def cpu_seconds(self) -> float:
        """Return the processor time that it has used."""
        text = Path(f"/proc/{self.process.pid}/stat").read_text()
        fields = text[text.rindex(")") + 2 :].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def beside(server: Server, key: Path) -> AsyncIterator[Daemon]:
    """A daemon beside a server. Raises ServerError."""
    daemon = await Daemon.start(server, key)
    try:
        yield daemon
    except BaseException:
        daemon.process.kill()
        await daemon.process.wait()
        raise
    await daemon.stop()


def server_command(key: Path, *controllers: str) -> Command:
    """Return how to start the server with these controllers."""
    return verger_command(
        f"--service-account-private-key-file={key}", f"--controllers={','.join(controllers)}"
    )


async def measure_storm(key: Path, load: IdentityLoad) -> Figures:
    """Run the storm on controllers in the server and on a daemon beside it; returns figures by name."""
    each = 1e3 / load.namespaces
    async with running(server_command(key, *CONTROLLERS)) as server:
        began = server.cpu_seconds()
        inside = await identities.measure(server.target, load)
        inside_cpu = (server.cpu_seconds() - began) * each
    async with running(server_command(key)) as server, beside(server, key) as daemon:
        before = server.cpu_seconds(), daemon.cpu_seconds()
        outside = await identities.measure(server.target, load)
        return {
            "inside_identities_per_s": inside["identities_per_s"],
            "inside_cpu_ms": inside_cpu,
            "daemon_identities_per_s": outside["identities_per_s"],
            "daemon_share": outside["identities_per_s"] / inside["identities_per_s"],
            "daemon_cpu_ms": (daemon.cpu_seconds() - before[1]) * each,
            "daemon_server_cpu_ms": (server.cpu_seconds() - before[0]) * each,
        }


async def measure_preloaded(key: Path, namespaces: int) -> Figures:
    """Fill a cluster, start a daemon, let it finish, start another one; returns figures by name."""
    async with running(server_command(key)) as server:
        connections = [await Connection.open(server.target) for _ in range(16)]
        try:
            prefix = f"full-{uuid4().hex[:8]}-"
            await spread(
                connections, namespaces, lambda c, number: create_namespace(c, f"{prefix}{number}")
            )
            return await _starts(server, connections[0], key, namespaces)
        finally:
            for connection in connections:
                connection.close()


async def _starts(server: Server, connection: Connection, key: Path, namespaces: int) -> Figures:
    everything = namespaces + OWN_SPACES
    before = await _requests(connection)
    began = time.perf_counter()
    async with _served(server.target, everything) as served, beside(server, key) as first:
        async with asyncio.timeout(CONVERGED_TIMEOUT):
            await served.all
        converged = time.perf_counter() - began
        figures = {
            "preloaded_ready_s": first.ready_seconds,
            "preloaded_converged_s": converged,
            "preloaded_per_s": everything / converged,
            "preloaded_mb": resident_megabytes(first.process.pid),
            "preloaded_watches": await _watches(connection) - len(_WATCHED),
        }
    after = await _requests(connection)
    figures |= {
        "preloaded_writes_each": _sum(after, before, reads=False) / everything,
        "preloaded_reads": _sum(after, before, reads=True) - OWN_READS,
    }
    async with _served(server.target, 1) as served, beside(server, key) as second:
        # Queues are fair: when the last one that comes has been served, all others have been looked at.
        await create_namespace(connection, f"last-{uuid4().hex[:8]}")
        async with asyncio.timeout(CONVERGED_TIMEOUT):
            await served.all
        figures |= {
            "second_ready_s": second.ready_seconds,
            "second_mb": resident_megabytes(second.process.pid),
            "second_watches": await _watches(connection) - len(_WATCHED),
        }
    again = await _requests(connection)
    return figures | {
        "second_writes": _sum(again, after, reads=False) - LAST_WRITES,
        "second_reads": _sum(again, after, reads=True) - OWN_READS,
    }


_WATCHED = ("serviceaccounts", "secrets", "configmaps")


@dataclass(slots=True)
class _Served:
    """How many namespaces have all that they should have."""

    expected: int
    all: asyncio.Future[None]
    found: dict[str, set[str]] = field(default_factory=lambda: {name: set() for name in _WATCHED})

    def on(self, resource: str, kind: str, obj: dict[str, Any]) -> None:
        complete = (
            kind != "DELETED"
            and {
                "serviceaccounts": bool(obj.get("secrets")),
                "secrets": bool((obj.get("data") or {}).get("token")),
                "configmaps": obj["metadata"]["name"] == "kube-root-ca.crt",
            }[resource]
        )
        if complete:
            self.found[resource].add(obj["metadata"]["namespace"])
        if not self.all.done() and all(len(f) == self.expected for f in self.found.values()):
            self.all.set_result(None)


@asynccontextmanager
async def _served(target: Target, expected: int) -> AsyncIterator[_Served]:
    """See from now on how namespaces get what they should have."""
    served = _Served(expected, asyncio.get_running_loop().create_future())
    connection = await Connection.open(target)
    paths = [
        f"/api/v1/{name}?watch=1&resourceVersion={await identities.revision(connection, name)}"
        for name in _WATCHED
    ]
    connection.close()

    def listener(resource: str) -> Any:
        return lambda kind, obj: served.on(resource, kind, obj)

    listeners = [listener(name) for name in _WATCHED]
    async with open_watches(target, paths, on_events=listeners, failed=served.all):
        yield served


async def _requests(connection: Connection) -> dict[str, float]:
    """What the server has answered so far, by verb; without watches, which go on."""
    text = (await connection.expect(200, "GET", "/metrics")).decode()
    found: dict[str, float] = {}
    for verb, count in _COUNTED.findall(text):
        if verb.lower() != "watch":
            found[verb.lower()] = found.get(verb.lower(), 0.0) + float(count)
    return found


async def _watches(connection: Connection) -> float:
    """How many are open."""
    text = (await connection.expect(200, "GET", "/metrics")).decode()
    found = _WATCHES.search(text)
    if found is None:
        raise ServerError("the server does not say how many watches are open")
    return float(found[1])


def _sum(after: dict[str, float], before: dict[str, float], *, reads: bool) -> float:
    return sum(
        count - before.get(name, 0.0) for name, count in after.items() if (name in READS) is reads
    )
