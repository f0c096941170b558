"""The rules of the house that a machine can keep; each failure says why the rule is there."""

import ast
import json
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from verger.cmd.run_settings import RunSettings
from verger.cmd.settings import ServeSettings

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS = PROJECT["tool"]["setuptools"]
ROOMS = ("watch", "store", "identity", "apiserver", "controllers", "embed", "demo", "cmd")
"""The root folders that are the sub-packages of `verger`."""
BESIDE = ("tests", "bench", "examples")
"""Folders with code that is not installed."""
LINES_MAX = 600
LONG: dict[str, str] = {}
"""File that is longer than a sitting -> why it is one thing all the same."""
LAZY = (
    "yaml",
    "jwt",
    "structlog",
    "prometheus_client",
    "jsonpatch",
    "tenacity",
    "opentelemetry",
    "verger.apiserver.openapi",
    "verger.apiserver.tables",
    "verger.store.custom",
    "cel_expr_python",
)
"""Modules that a plane needs for some requests only."""


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


EVERYTHING = sources(*ROOMS, *BESIDE)
TREES = {named(path): ast.parse(path.read_text(encoding="utf-8")) for path in EVERYTHING}


def imported(tree: ast.Module) -> Iterator[str]:
    """The names of the modules that a file imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


# Code


def test_cmd_is_a_bare_folder() -> None:
    """With an __init__.py it would be found instead of the standard library's cmd, and break pdb and pytest."""
    assert not (ROOT / "cmd" / "__init__.py").exists()


def test_every_module_says_what_it_is_for() -> None:
    """A reader learns what a file is for without reading it."""
    assert [name for name, tree in TREES.items() if not ast.get_docstring(tree)] == []


def test_files_are_read_in_one_sitting() -> None:
    """A longer file is mostly two things. Tests may be tables as long as what they describe."""
    lengths = {
        named(path): len(path.read_text("utf-8").splitlines()) for path in sources(*ROOMS, "bench")
    }
    assert [name for name, lines in lengths.items() if lines > LINES_MAX and name not in LONG] == []
    assert [name for name in LONG if lengths.get(name, 0) <= LINES_MAX] == [], "no longer long"


def test_no_file_is_called_after_nothing() -> None:
    """A name says what is in there."""
    vague = {"util", "utils", "helper", "helpers", "common", "misc"}
    parts = {part for path in EVERYTHING for part in path.relative_to(ROOT).with_suffix("").parts}
    assert parts & vague == set()


def test_packages_are_imported_by_their_full_names() -> None:
    """`import store` makes a second copy of every class that `verger.store` has."""
    bare = set(ROOMS) - {"cmd"}
    found = {
        f"{name}: {module}"
        for name, tree in TREES.items()
        for module in imported(tree)
        if module.split(".")[0] in bare
    }
    assert found == set()


def test_rooms_never_import_what_is_not_installed() -> None:
    """Tests and benchmarks are not in the wheel."""
    found = {
        f"{name}: {module}"
        for name, tree in TREES.items()
        for module in imported(tree)
        if name.split("/")[0] in ROOMS and module.split(".")[0] in BESIDE
    }
    assert found == set()


def test_tests_neither_sleep_nor_skip() -> None:
    """A test that sleeps is slow or flaky, and one that is skipped does not tell that a real part is missing."""
    found = [
        f"{name}:{node.lineno}: {ast.unparse(node)}"
        for name, tree in TREES.items()
        if name.startswith("tests/")
        for node in ast.walk(tree)
        if isinstance(node, ast.expr) and (_sleeps(node) or _skips(node))
    ]
    assert found == []


def _sleeps(node: ast.expr) -> bool:
    if not isinstance(node, ast.Call) or ast.unparse(node.func) not in (
        "asyncio.sleep",
        "time.sleep",
    ):
        return False
    return [ast.unparse(argument) for argument in node.args] != ["0"]


def _skips(node: ast.expr) -> bool:
    if not isinstance(node, ast.Attribute):
        return False
    text = ast.unparse(node)
    return text in ("pytest.skip", "pytest.importorskip", "pytest.xfail") or text.startswith(
        ("pytest.mark.skip", "pytest.mark.xfail")
    )


def test_every_setting_is_documented() -> None:
    """What a setting does is said where it is declared, in a sentence."""
    assert [
        item.name
        for settings in (ServeSettings, RunSettings)
        for item in fields(settings)
        if not item.metadata.get("help", "").endswith((".", "*"))
    ] == []


# Packages


def on_disk() -> dict[str, str]:
    """Package -> its folder, for every folder with code in it."""
    folders = {named(path.parent) for path in sources(*ROOMS)}
    return {f"verger.{folder.replace('/', '.')}": folder for folder in folders}


def test_every_package_is_declared() -> None:
    """A package that is missing in pyproject.toml works where it is edited, and not where it is installed."""
    assert sorted(SETUPTOOLS["packages"]) == sorted(on_disk())
    assert SETUPTOOLS["package-dir"] == on_disk()


def test_type_checkers_find_every_room() -> None:
    """They do not see editable installs, and follow the links instead."""
    links = ROOT / ".types" / "verger"
    assert sorted(path.name for path in links.iterdir()) == sorted(ROOMS)
    assert {path.name: path.resolve() for path in links.iterdir()} == {
        room: ROOT / room for room in ROOMS
    }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The files in a wheel of a copy of the project: building leaves traces, and finds those of other builds."""
    copy = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for room in ROOMS:
        shutil.copytree(ROOT / room, copy / room, ignore=shutil.ignore_patterns("__pycache__"))
    built = tmp_path_factory.mktemp("wheel")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", ".", *options, "--wheel-dir", str(built)],
        cwd=copy,
        check=True,
    )
    (path,) = built.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def test_wheel_holds_what_is_edited(wheel: list[str]) -> None:
    """Code, data files and py.typed markers, all of them and nothing else."""
    expected = {
        f"verger/{named(path)}"
        for room in ROOMS
        for path in (ROOT / room).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in wheel if ".dist-info/" not in name} == expected
    assert {"verger/embed/py.typed", "verger/watch/py.typed", "verger/store/py.typed"} <= expected


def test_wheel_holds_the_licence_and_the_command(wheel: list[str]) -> None:
    """Whoever installs it gets `verger` on the path, and may read what they may do with it."""
    about = {name.partition(".dist-info/")[2] for name in wheel if ".dist-info/" in name}
    assert {"entry_points.txt", "licenses/LICENSE"} <= about


def test_locked_packages_come_from_wherever_the_machine_gets_them() -> None:
    """A lock names versions and checksums; the registry, or a mirror of it, is the machine's own choice."""
    lock = json.loads((ROOT / "tests/clients/node/package-lock.json").read_text())
    packages = {name: about for name, about in lock["packages"].items() if name}
    assert packages
    assert [name for name, about in packages.items() if "resolved" in about] == []
    assert [name for name, about in packages.items() if "integrity" not in about] == []


# Interpreters


def run(*arguments: str) -> str:
    """What Python says in the root folder."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return done.stdout


def loaded_after(code: str) -> set[str]:
    return set(
        json.loads(run("-c", f"import json, sys\n{code}\nprint(json.dumps([*sys.modules]))"))
    )


def test_importing_the_plane_loads_nothing_that_waits_for_a_request() -> None:
    """Start-up is a feature: what one kind of request needs is loaded by the first of them."""
    assert loaded_after("import verger.embed") & set(LAZY) == set()


def test_starting_a_plane_loads_nothing_that_waits_for_a_request() -> None:
    """A plane in a test is up before the libraries of features that the test does not use would be."""
    code = (
        "import asyncio\nfrom verger.embed import ControlPlane\n"
        "async def main():\n    async with ControlPlane(): pass\nasyncio.run(main())"
    )
    assert loaded_after(code) & set(LAZY) == set()


def test_standard_library_is_found_from_the_root_folder() -> None:
    """The folder cmd/ stands next to everything that is run from here, debuggers included."""
    standard = Path(sysconfig.get_path("stdlib"))
    found = run("-c", "import cmd; print(cmd.__file__, hasattr(cmd, 'Cmd'))").split()
    assert found == [str(standard / "cmd.py"), "True"]
    assert run("-m", "pdb", "-c", "p 40 + 2", "-c", "quit", __file__).strip() == "42"
