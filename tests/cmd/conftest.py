"""The command as users have it: a process of its own, its two output streams, its signals and its kubeconfig."""

import base64
import contextlib
import http.client
import io
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

import pytest
import yaml

COMMAND = str(Path(sys.executable).with_name("verger"))
DEADLINE = 60.0
"""Seconds that a process may live; reaching them is a failure."""


@dataclass(frozen=True)
class Kubeconfig:
    """What a client reads out of a kubeconfig."""

    url: str
    token: str
    ca: str
    client_key: str

    @classmethod
    def read(cls, path: Path) -> "Kubeconfig":
        """The only cluster and user of a file."""
        document = yaml.safe_load(path.read_text())
        cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
        ca = base64.b64decode(cluster["certificate-authority-data"]).decode()
        return cls(cluster["server"], user["token"], ca, user["client-key-data"])

    def connect(self) -> http.client.HTTPSConnection:
        """A connection to the server, whose certificate is verified."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.ca)
        host = self.url.removeprefix("https://")
        return http.client.HTTPSConnection(host, timeout=DEADLINE, context=context)

    @property
    def headers(self) -> Mapping[str, str]:
        """What proves to be the administrator."""
        return {"Authorization": f"Bearer {self.token}"}

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        """Status and body of an answer."""
        with contextlib.closing(self.connect()) as connection:
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, self.headers)
            answer = connection.getresponse()
            return answer.status, answer.read()


@dataclass
class Server:
    """A `verger serve` that runs."""

    process: subprocess.Popen[str]
    stderr: IO[str]
    lines: list[str] = field(default_factory=list)
    """What it has written to standard error so far."""
    output: str = ""
    """What it has written to standard output, once it has ended."""

    def until(self, event: str) -> dict[str, Any]:
        """Reads the log up to an event; fails when it ends before."""
        for line in self.stderr:
            self.lines.append(line)
            entry: dict[str, Any] = json.loads(line)
            if entry["event"] == event:
                return entry
        raise AssertionError(f"no {event!r} in:\n{''.join(self.lines)}")

    @property
    def kubeconfig(self) -> Kubeconfig:
        """The kubeconfig that the log names; waits until the server is ready."""
        seen = [json.loads(line) for line in self.lines]
        ready = next((entry for entry in seen if entry["event"] == "ready"), None)
        return Kubeconfig.read(Path((ready or self.until("ready"))["kubeconfig"]))

    def end(self, number: signal.Signals | None = signal.SIGTERM) -> int:
        """Sends a signal and waits for the end; returns the exit code. `lines` and `output` are complete then."""
        if number is not None:
            self.process.send_signal(number)
        self.lines += self.stderr.readlines()
        if self.process.stdout is not None:
            self.output = self.process.stdout.read()
        return self.process.wait(DEADLINE)


class Serve(Protocol):
    """Starts `verger serve`."""

    def __call__(self, *arguments: str, stderr: int = subprocess.PIPE) -> Server:
        """With these arguments, in a folder of the test; `stderr` is a handle to write to instead of a pipe."""


class Run(Protocol):
    """Runs the command to its end."""

    def __call__(
        self, *arguments: str, variables: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """With these arguments and variables, in a folder of the test."""


def environment_in(folder: Path) -> dict[str, str]:
    """Variables in which nothing of the user's is set."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("VERGER_")}
    return {**kept, "HOME": str(folder), "TMPDIR": str(folder), "NO_COLOR": "1"}


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Serve]:
    """Starts servers on free ports, and ends those that are left."""
    with contextlib.ExitStack() as left:

        def start(*arguments: str, stderr: int = subprocess.PIPE) -> Server:
            process = subprocess.Popen(
                [COMMAND, "serve", "--secure-port", "0", *arguments],
                env=environment_in(folder),
                cwd=folder,
                text=True,
                stdout=subprocess.PIPE,
                stderr=stderr,
            )
            left.enter_context(process)
            left.callback(process.kill)
            watchdog = threading.Timer(DEADLINE, process.kill)
            watchdog.start()
            left.callback(watchdog.join)
            left.callback(watchdog.cancel)
            return Server(process, process.stderr or io.StringIO())

        yield start


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts servers in the folder of the test."""
    with serving(tmp_path) as start:
        yield start


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs the command to its end."""

    def run(
        *arguments: str, variables: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [COMMAND, *arguments],
            env={**environment_in(tmp_path), **(variables or {})},
            cwd=tmp_path,
            text=True,
            capture_output=True,
            timeout=DEADLINE,
            check=False,
        )

    return run
