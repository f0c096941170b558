"""What the documentation shows is run, or stands in an example; the examples are whole (make examples runs them)."""

import ast
import re
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parent.parent.parent
GUIDE = (ROOT / "docs" / "testing.md").read_text()
EXAMPLES = sorted(path for path in (ROOT / "examples").iterdir() if path.is_dir())
BLOCKS = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
QUOTED = re.findall(r"```python (\S+)\n(.*?)```", GUIDE, re.DOTALL)
"""(file, text) of what is shown out of an example."""
NAMED = sorted(set(re.findall(r"`((?:tests|examples)/\S+\.py)::(test_\w+)`", GUIDE)))
"""(file, test) of what the guide says ends a pain."""


def test_every_block_of_the_guide_is_a_test_that_passes(pytester: pytest.Pytester) -> None:
    """A reader who copies one into a file has a green test."""
    assert len(BLOCKS) == 5
    for number, block in enumerate(BLOCKS):
        (pytester.path / f"test_block{number}.py").write_text(block)
    pytester.makeini(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"
        "filterwarnings = error"
    )
    result = pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider", "--verger-guard")
    result.assert_outcomes(passed=len(BLOCKS))


@pytest.mark.parametrize(("file", "text"), QUOTED, ids=[file for file, _ in QUOTED])
def test_what_is_shown_of_an_example_stands_in_it(file: str, text: str) -> None:
    """Word for word: what a reader sees is what was run. Three dots stand for lines that are left out."""
    whole = (ROOT / file).read_text()
    pieces = [piece.strip("\n") for piece in text.split("    ...\n")]
    assert all(piece + "\n" in whole for piece in pieces)


@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda folder: folder.name)
def test_example_is_whole_and_explained(folder: Path) -> None:
    """It says what to install, has tests, and the guide tells of it."""
    assert (folder / "pytest.ini").exists()
    assert "verger" in (folder / "requirements.txt").read_text().splitlines()
    assert list(folder.glob("test_*.py"))
    assert f"examples/{folder.name}" in GUIDE


def test_guide_shows_the_four_kinds_of_programs() -> None:
    """An operator, a script, a charm and a tool, each with code of its own."""
    shown = {file.split("/")[1] for file, _ in QUOTED}
    assert shown == {"kopf-operator", "kubernetes-script", "lightkube-charm", "kr8s-tool"}


@pytest.mark.parametrize("file", sorted({file for file, _ in NAMED}))
def test_tests_that_the_guide_names_are_there(file: str) -> None:
    """A claim that names a test is as good as the test."""
    functions = {
        node.name
        for node in ast.walk(ast.parse((ROOT / file).read_text()))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }
    assert {test for other, test in NAMED if other == file} <= functions


def test_every_pain_has_its_tests() -> None:
    """Six of them, each with two tests at least."""
    table = GUIDE.partition("## What hurts elsewhere")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    assert [row.count("::test_") >= 2 for row in rows] == [True] * 6
