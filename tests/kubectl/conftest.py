"""The real kubectl, in all versions that are installed, against one `verger serve`."""

import contextlib
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

DEADLINE = 60.0
"""Seconds for one command; everything takes a fraction of one, so that reaching them is a failure."""
MISSING = (
    "kubectl is not on the PATH. These tests drive the real one: install it from "
    "https://kubernetes.io/docs/tasks/tools/, for example with "
    "`apt-get install kubectl` from the package repository that is named there."
)
SLACK = 5.0
"""How much longer than promised something may take: the machines that run tests are busy ones."""


def executables() -> list[str]:
    """kubectl as it is found, and its siblings of other versions, as some distributions install them."""
    found = shutil.which("kubectl")
    if found is None:
        return []
    siblings = [
        str(path)
        for path in Path(found).resolve().parent.glob("kubectl.*")
        if re.fullmatch(r"kubectl\.1\.\d+", path.name)
    ]
    return [found, *sorted(siblings, key=lambda path: int(path.rpartition(".")[2]))]


@dataclass(frozen=True)
class Kubectl:
    """One kubectl with the administrator's kubeconfig, in a folder of the test."""

    path: str
    kubeconfig: Path
    folder: Path
    namespace: str = "default"

    def run(
        self, *arguments: str, stdin: str = "", variables: Mapping[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Runs it to its end, whatever that is."""
        return subprocess.run(
            [self.path, *self._where(arguments)],
            input=stdin,
            env={**self.environment, **(variables or {})},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )

    def __call__(
        self, *arguments: str, stdin: str = "", variables: Mapping[str, str] | None = None
    ) -> str:
        """Its output; it must succeed."""
        done = self.run(*arguments, stdin=stdin, variables=variables)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}{done.stdout}"
        return done.stdout.strip()

    def fails(self, *arguments: str, stdin: str = "", code: int = 1) -> str:
        """What it says on standard error; it must fail."""
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode == code, f"kubectl {' '.join(arguments)}: {done.stdout}"
        return done.stderr.strip()

    def json(self, *arguments: str) -> Any:
        """Its output as JSON."""
        return json.loads(self(*arguments, "-o", "json"))

    def until(self, holds: Callable[[str], bool], *arguments: str) -> str:
        """Repeats a command until its output is the wanted one; running it takes long enough to be the wait."""
        deadline = time.monotonic() + DEADLINE
        while True:
            done = self.run(*arguments)
            if done.returncode == 0 and holds(done.stdout.strip()):
                return done.stdout.strip()
            assert time.monotonic() < deadline, done.stderr + done.stdout

    @contextlib.contextmanager
    def streaming(self, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
        """A command that goes on until it is no longer needed; its output can be read as it comes."""
        with subprocess.Popen(
            [self.path, *self._where(arguments)],
            env=self.environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            watchdog = threading.Timer(DEADLINE, process.kill)
            watchdog.start()
            try:
                yield process
            finally:
                watchdog.cancel()
                watchdog.join()
                process.kill()

    def _where(self, arguments: Sequence[str]) -> Sequence[str]:
        # First, as what stands behind `--` is not kubectl's; a namespace that is given later wins.
        return ("--namespace", self.namespace, *arguments)

    @property
    def environment(self) -> dict[str, str]:
        """Nothing of the user's; the discovery cache is kept between the tests of one server."""
        cache = self.kubeconfig.parent
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(cache),
            "KUBECONFIG": str(self.kubeconfig),
            "KUBECACHEDIR": str(cache / "cache"),
            "TMPDIR": str(self.folder),
        }


@pytest.fixture(scope="session")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the kubeconfig of the one server lies."""
    folder = tmp_path_factory.mktemp("server")
    path = folder / "kubeconfig"
    command = [str(Path(sys.executable).with_name("verger")), "serve", "--secure-port", "0"]
    log = folder / "log"
    with (
        log.open("w") as stderr,
        subprocess.Popen(
            [*command, "--write-kubeconfig", str(path), "--hints"],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=stderr,
        ) as process,
    ):
        assert process.stdout is not None
        # The hints come when it is ready.
        assert any(b"kubectl" in line for line in process.stdout), log.read_text()
        yield path
        process.terminate()
    assert process.returncode == 0
    assert "request failed" not in log.read_text(), log.read_text()


@pytest.fixture(scope="session")
def namespaces(kubeconfig: Path) -> Iterator[str]:
    """Names of namespaces that are there, each for one test: made at once, as a command takes its time."""
    found = executables()
    if not found:
        pytest.fail(MISSING)
    kubectl = Kubectl(found[0], kubeconfig, kubeconfig.parent)
    return (name for batch in itertools.count() for name in made(kubectl, batch))


def made(kubectl: Kubectl, batch: int) -> list[str]:
    """Namespaces, as many as one worker needs for most of its tests."""
    names = [f"ns-{batch}-{number}" for number in range(75)]
    items = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": n}} for n in names]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    assert kubectl("create", "-f", "-", stdin=text).count(" created") == len(names)
    return names


@pytest.fixture
def kubectl(namespaces: Iterator[str], kubeconfig: Path, tmp_path: Path) -> Kubectl:
    """The kubectl on the PATH, with a namespace of its own."""
    return Kubectl(executables()[0], kubeconfig, tmp_path, next(namespaces))


def versions() -> list[str]:
    """One kubectl of each version; the one on the PATH is a sibling under another name where there are any."""
    found = executables()
    return found[1:] or found or [""]


@pytest.fixture(params=versions(), ids=lambda path: Path(path).name or "missing")
def any_kubectl(
    request: pytest.FixtureRequest, namespaces: Iterator[str], kubeconfig: Path, tmp_path: Path
) -> Kubectl:
    """Each kubectl that is installed, with a namespace of its own."""
    return Kubectl(request.param, kubeconfig, tmp_path, next(namespaces))
