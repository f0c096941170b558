"""Every validator notices the mistake that it is there for: a validator that has never failed proves nothing."""

import asyncio

import pytest

from tests.histories.bugs import BUGS, Bug
from tests.histories.conftest import DEADLINE
from tests.histories.traffic import record
from tests.histories.validators import VALIDATORS, report, violations


@pytest.mark.parametrize("bug", [pytest.param(bug, id=bug.what) for bug in BUGS])
async def test_validator_notices_the_mistake(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server with one mistake is told from a sound one, by the validator of the promise that it breaks."""
    bug.install(monkeypatch)
    async with asyncio.timeout(DEADLINE):
        history = await record(1, bug.traffic)
    found = violations(history)
    assert bug.validator in found, report(history, found)


def test_no_validator_is_without_a_mistake() -> None:
    """Each promise has a mistake that breaks it."""
    assert {bug.validator for bug in BUGS} == set(VALIDATORS)
