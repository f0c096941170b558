"""What a kube-apiserver answered is what Verger answers: each recorded conversation, played over HTTPS.

Conversations about features that Verger does not serve yet stand in not-yet.json, with what they need. To serve one is
to take its line out.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.transcripts.replay import Server, play

FOLDER = Path(__file__).parent
LIST = FOLDER / "not-yet.json"
NOT_YET: dict[str, str] = json.loads(LIST.read_text())
"""Name of a scenario -> what it needs."""
RECORDED: list[dict[str, Any]] = [
    scenario
    for path in sorted(FOLDER.glob("*.json"))
    if path != LIST
    for scenario in json.loads(path.read_text())["scenarios"]
]
SCENARIOS = {scenario["name"]: scenario for scenario in RECORDED}
PATIENCE = 15.0
"""Seconds for each poll; here everything that ever happens takes milliseconds, so that reaching them is a failure."""
PATIENCE_NOT_YET = 0.5
"""Seconds for each poll of a scenario that is expected to differ."""


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name not in NOT_YET])
def test_recorded_conversation_goes_as_it_did_with_kube_apiserver(
    name: str, server: Server
) -> None:
    """Status, headers and body of every answer are those that were recorded."""
    differing = [str(mismatch) for mismatch in play(server, SCENARIOS[name], patience=PATIENCE)]
    assert not differing, "\n".join(differing)


def test_conversations_that_are_not_served_yet_still_differ(server: Server) -> None:
    """A scenario that passes is taken off the list, so that it is played from then on."""
    for name in NOT_YET:
        mismatches = play(server, SCENARIOS[name], patience=PATIENCE_NOT_YET)
        first = next(mismatches, None)
        mismatches.close()
        assert first, f"{name} passes now: take it out of {LIST.name}"


def test_every_scenario_is_played_or_listed_under_its_own_name() -> None:
    """No scenario hides another one of the same name, and the list names only what is recorded."""
    counts = Counter(scenario["name"] for scenario in RECORDED)
    assert [name for name, count in counts.items() if count > 1] == []
    assert set(NOT_YET) <= set(SCENARIOS)
    assert all(scenario["steps"] for scenario in RECORDED)


def test_reasons_say_what_a_scenario_needs() -> None:
    """Whoever reads the list learns which feature is missing."""
    assert [name for name, reason in NOT_YET.items() if not reason.startswith("needs ")] == []
