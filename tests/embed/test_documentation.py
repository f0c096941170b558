"""What the documentation shows is run, and the examples pass their own tests, as their readers would run them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = sorted(path.parent for path in (ROOT / "examples").glob("*/pytest.ini"))
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "testing.md").read_text(), re.DOTALL)


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


@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda folder: folder.name)
def test_example_passes_its_own_tests(folder: Path) -> None:
    """As a user runs them, in their own folder."""
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout


def test_every_example_is_found() -> None:
    """One that has no settings of its own would not be run."""
    assert EXAMPLES
    assert [path.name for path in EXAMPLES] == sorted(
        path.name for path in (ROOT / "examples").iterdir() if path.is_dir()
    )
