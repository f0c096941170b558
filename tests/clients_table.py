"""docs/clients.md: which clients the tests drive, in which versions, what with, and how that ended.

What is exercised is read from the tests themselves: a test's name is the sentence, its docstring the rule. As a pytest
plugin (`make clients-table`) it writes the page from a run; `test_clients_table.py` holds the page against the tests.
"""

import ast
import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs/clients.md"
KUBECTL, NODE, GO = "kubectl", "@kubernetes/client-node", "Go clients' bytes"
CLIENTS: Mapping[str, Sequence[str]] = {
    KUBECTL: (
        "tests/kubectl/test_all_versions.py",
        "tests/kubectl/test_reads.py",
        "tests/kubectl/test_writes.py",
        "tests/kubectl/test_applying.py",
        "tests/kubectl/test_workloads.py",
        "tests/kubectl/test_scaling.py",
        "tests/kubectl/test_custom.py",
    ),
    "kubernetes": ("tests/clients/test_kubernetes.py", "tests/clients/test_kubernetes_tools.py"),
    "kubernetes_asyncio": ("tests/clients/test_kubernetes_asyncio.py",),
    "lightkube": ("tests/clients/test_lightkube.py",),
    "kr8s": ("tests/clients/test_kr8s.py",),
    "kopf": ("tests/clients/test_kopf.py",),
    NODE: ("tests/clients/test_client_node.py",),
    GO: ("tests/api/test_protobuf_requests.py", "tests/api/test_protobuf_answers.py"),
}
"""Client -> the files whose tests drive it. A file in tests/kubectl or tests/clients that is not here fails a test."""
HEAD = """\
# Clients

Unmodified clients that `make test` drives against a plane, each over HTTPS with the kubeconfig that the plane writes.
A client that is missing fails the tests with the line that installs it. This page is written by `make clients-table`.

| client | version | tests | passed |
|---|---|---|---|
"""
TAIL = """
Besides these, `tests/stories` plays the stories of [identity.md](identity.md) with kubectl and curl. Not driven: programs
in Go (there is no Go here; the messages that they send are built with the official protobuf library), fabric8, kube-rs.
"""


class Case(NamedTuple):
    """One test, as the page has it."""

    name: str
    rule: str


def cases(file: str) -> list[Case]:
    """The tests of a file in its order."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [
        Case(node.name, (ast.get_docstring(node) or "").partition("\n")[0])
        for node in tree.body
        if isinstance(node, functions) and node.name.startswith("test_")
    ]


def sentence(name: str) -> str:
    """The name of a test as people read it."""
    return name.removeprefix("test_").replace("_", " ").capitalize()


def exercised() -> str:
    """The part of the page that says what is exercised; it depends on nothing but the tests."""
    return "".join(_sections())


def _sections() -> Iterator[str]:
    for client, files in CLIENTS.items():
        yield f"\n## {client}\n"
        for file in files:
            about = ast.get_docstring(ast.parse((ROOT / file).read_text(encoding="utf-8"))) or ""
            yield f"\n`{file}`: {about.partition(chr(10))[0]}\n\n"
            for case in cases(file):
                yield f"* **{sentence(case.name)}.** {case.rule}\n"


def version(client: str) -> str:
    """Of the client that is installed. Raises when there is none."""
    if client == KUBECTL:
        from tests.kubectl.conftest import versions

        return ", ".join(_kubectl(path) for path in versions())
    if client == NODE:
        package = ROOT / ".venv/node/node_modules" / NODE / "package.json"
        node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)
        return f"{json.loads(package.read_text())['version']} (Node.js {node.stdout.strip()})"
    if client == GO:
        return f"protobuf {metadata.version('protobuf')}"
    return metadata.version(client)


def _kubectl(path: str) -> str:
    command = [path, "version", "--client", "-o", "json"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    text: str = json.loads(said)["clientVersion"]["gitVersion"]
    return text.removeprefix("v").partition("-")[0]


class Table:
    """Counts outcomes as tests report them, and writes the page at the end."""

    def __init__(self) -> None:
        self._outcomes: dict[str, bool] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test has passed when its set-up, its call and its tear-down have."""
        before = self._outcomes.get(report.nodeid, True)
        self._outcomes[report.nodeid] = before and not report.failed

    def pytest_sessionfinish(self) -> None:
        """Writes the page."""
        rows = []
        for client, files in CLIENTS.items():
            ended = [ok for name, ok in self._outcomes.items() if name.split("::")[0] in files]
            rows.append(f"| {client} | {version(client)} | {len(ended)} | {sum(ended)} |\n")
        PAGE.write_text(HEAD + "".join(rows) + exercised() + TAIL, encoding="utf-8")


def pytest_configure(config: pytest.Config) -> None:
    """Watches the run."""
    config.pluginmanager.register(Table(), "clients table")


if __name__ == "__main__":
    print(*(file for files in CLIENTS.values() for file in files))  # noqa: T201 - for the Makefile
