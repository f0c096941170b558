"""Starts and stops the servers under measure, and reads what they cost from /proc.

A server is started only through its command line and spoken to only through the kubeconfig it
writes, so that the floor and Verger are treated alike and nothing but a public interface is
measured.
"""

import asyncio
import os
import re
import resource
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from bench.raw_client import Connection, KubeconfigError, Target, read_kubeconfig

ROOT = Path(__file__).resolve().parent.parent
START_TIMEOUT = 30.0
STOP_TIMEOUT = 30.0
READY_LINE = re.compile(rb"\bready\b", re.IGNORECASE)
# Fine enough for a start of some hundred milliseconds, and too rare to slow it.
POLL_SECONDS = 0.004


class ServerError(Exception):
    """A server did not start, or did not stop, as its command line promises."""


@dataclass(frozen=True, slots=True)
class Command:
    """How one of the two servers is started: the arguments before `--write-kubeconfig FILE`."""

    name: str
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Keys:
    """Private keys for Verger to sign with, one file (PEM) for each algorithm."""

    files: dict[str, Path]

    @classmethod
    def create(cls, folder: Path) -> "Keys":
        """Make new keys in the folder."""
        made: dict[str, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey] = {
            "ES256": ec.generate_private_key(ec.SECP256R1()),
            "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
        }
        files = {}
        for algorithm, key in made.items():
            file = folder / f"{algorithm}.key"
            file.touch(mode=0o600)
            file.write_bytes(
                key.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.PKCS8,
                    serialization.NoEncryption(),
                )
            )
            files[algorithm] = file
        return cls(files)


def floor_command(
    *, algorithm: str = "ES256", token_secrets: str = "auto", signing: str = "pool"
) -> Command:
    """Return how to start the floor."""
    module = (sys.executable, "-m", "bench.floor")
    flags = (f"--algorithm={algorithm}", f"--token-secrets={token_secrets}", f"--signing={signing}")
    return Command("floor", module + flags)


def verger_command(*flags: str) -> Command:
    """Return how to start Verger, by the script that was installed beside this Python."""
    script = str(Path(sys.executable).parent / "verger")
    return Command("verger", (script, "serve", "--secure-port", "0", *flags))


class Server:
    """A started server: where it is, how long it took, what it uses now."""

    def __init__(
        self,
        command: Command,
        process: asyncio.subprocess.Process,
        *,
        log: Path,
        kubeconfig: Path,
    ) -> None:
        self._command = command
        self._process = process
        self._log = log
        self.kubeconfig = kubeconfig
        self._target: Target | None = None
        self.ready_seconds = float("nan")

    @property
    def target(self) -> Target:
        """Where to send requests."""
        assert self._target is not None
        return self._target

    @classmethod
    async def start(cls, command: Command, folder: Path) -> "Server":
        """Start a server that keeps its kubeconfig and log in `folder`; returns when it is ready.

        Ready means that GET /readyz, over verified TLS, answered 200 and that the log has a line
        with the word `ready`; `ready_seconds` is the time from starting the process to the former.
        Raises ServerError with the end of the log.
        """
        allow_connections(5000)
        kubeconfig = folder / "kubeconfig"
        log = folder / "log"
        started = time.perf_counter()
        with log.open("wb") as output:
            try:
                process = await asyncio.create_subprocess_exec(
                    *command.arguments,
                    f"--write-kubeconfig={kubeconfig}",
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=asyncio.subprocess.STDOUT,
                    cwd=ROOT,
                    env=environment(),
                )
            except FileNotFoundError:
                raise ServerError(
                    f"{command.name}: there is no {command.arguments[0]}; "
                    "install the project first (pip install -e .)"
                ) from None
        server = cls(command, process, log=log, kubeconfig=kubeconfig)
        try:
            async with asyncio.timeout(START_TIMEOUT):
                server._target = await server._ready_target(kubeconfig)
                server.ready_seconds = time.perf_counter() - started
                while not READY_LINE.search(log.read_bytes()):
                    server._check_alive()
                    await asyncio.sleep(POLL_SECONDS)
        except BaseException as error:
            await server.kill()
            if isinstance(error, TimeoutError):
                missing = "/readyz was not ok" if server._target is None else "no `ready` line"
                raise server._error(f"{missing} {START_TIMEOUT:.0f} s after its start") from None
            raise
        return server

    async def _ready_target(self, kubeconfig: Path) -> Target:
        target: Target | None = None
        while True:
            self._check_alive()
            if target is None:
                target = _written(kubeconfig)
            if target is not None and await _is_ready(target):
                return target
            await asyncio.sleep(POLL_SECONDS)

    def _check_alive(self) -> None:
        if self._process.returncode is not None:
            raise self._error(f"exited with {self._process.returncode} before it was ready")

    def _error(self, what: str) -> ServerError:
        lines = self._log.read_text(errors="replace").splitlines()[-15:]
        return ServerError("\n    ".join([f"{self._command.name}: {what}", *lines]))

    async def kill(self) -> None:
        """End the server at once, if it still runs."""
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def stop(self) -> float:
        """Send SIGTERM and wait for the end; returns the seconds that it took.

        Raises ServerError when the server had ended already, ends with a failure, or does not end.
        """
        if self._process.returncode is not None:
            raise self._error(f"exited with {self._process.returncode} while it was measured")
        began = time.perf_counter()
        self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_TIMEOUT):
                code = await self._process.wait()
        except TimeoutError:
            await self.kill()
            raise self._error(f"still ran {STOP_TIMEOUT:.0f} s after SIGTERM") from None
        if code != 0:
            raise self._error(f"exited with {code} after SIGTERM")
        return time.perf_counter() - began

    def resident_megabytes(self) -> float:
        """Return the resident memory in MB (10^6 bytes)."""
        return resident_megabytes(self._process.pid)

    def cpu_seconds(self) -> float:
        """Return the processor time that all threads of the server have used since its start."""
        text = Path(f"/proc/{self._process.pid}/stat").read_text()
        # Fields 14 and 15 of the line; the name in field 2 may itself contain spaces and brackets.
        fields = text[text.rindex(")") + 2 :].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def running(command: Command) -> AsyncIterator[Server]:
    """Start a server in a folder of its own, and stop it at the end. Raises ServerError."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        server = await Server.start(command, Path(name))
        try:
            yield server
        except BaseException:
            await server.kill()
            raise
        await server.stop()


def _written(kubeconfig: Path) -> Target | None:
    """Return what the kubeconfig says, or None while it is missing or half written."""
    try:
        return read_kubeconfig(kubeconfig)
    except KubeconfigError:
        return None


async def _is_ready(target: Target) -> bool:
    try:
        connection = await Connection.open(target)
    except OSError:
        return False
    try:
        return (await connection.call("GET", "/readyz")).status == 200
    except OSError:
        return False
    finally:
        connection.close()


def environment() -> dict[str, str]:
    """Return the environment of everything that is measured.

    Without kept byte code each start would compile the project again, which no user's start does.
    """
    return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


def resident_megabytes(pid: int | str) -> float:
    """Return the resident memory of a process ("self" for this one) in MB (10^6 bytes)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise ServerError(f"process {pid} has no resident memory: it has ended")


def allow_connections(count: int) -> None:
    """Raise the limit of open files to `count`, here and in the servers started later.

    Raises ServerError when the system's limit is lower.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= count or soft == resource.RLIM_INFINITY:
        return
    if hard != resource.RLIM_INFINITY and hard < count:
        raise ServerError(f"{count} open files are needed, and the limit (ulimit -Hn) is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
