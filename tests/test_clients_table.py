"""docs/clients.md says what the tests do."""

import re

from tests.clients_table import CLIENTS, HEAD, PAGE, ROOT, TAIL, exercised

ABOUT_ALL = {"tests/clients/test_ambient.py"}
"""Files that are about what clients have in common: how they find the plane."""
AGAIN = "write it again with `make clients-table`"


def test_page_lists_what_the_tests_exercise() -> None:
    """Word for word; versions and counts are those of the run that wrote it."""
    text = PAGE.read_text(encoding="utf-8")
    assert text.startswith(HEAD), AGAIN
    assert text.endswith(exercised() + TAIL), AGAIN


def test_every_client_has_passed() -> None:
    """A page that was written from a failed run is not one to keep."""
    text = PAGE.read_text(encoding="utf-8").removeprefix(HEAD)
    rows = re.findall(r"^\| (.*) \| (.+) \| (\d+) \| (\d+) \|$", text, re.MULTILINE)
    assert [row[0] for row in rows] == list(CLIENTS), AGAIN
    assert [row for row in rows if row[2] != row[3] or row[2] == "0"] == []


def test_every_client_that_is_driven_is_listed() -> None:
    """A new file of tests belongs to a client."""
    listed = {file for files in CLIENTS.values() for file in files}
    found = {
        path.relative_to(ROOT).as_posix()
        for folder in ("clients", "kubectl")
        for path in (ROOT / "tests" / folder).glob("test_*.py")
    }
    assert found - listed - ABOUT_ALL == set()
