"""Many clients at once see one plane as if each were alone with it: histories of real requests, checked afterwards.

A failure prints the seed; the choices of that run can be made again with `record(seed)`, though not the timing.
"""

from collections.abc import Iterable
from dataclasses import replace
from itertools import chain

import pytest

from tests.histories.history import History
from tests.histories.traffic import CONTENTION, EVERYTHING, record
from tests.histories.validators import report, violations

LONG = replace(EVERYTHING, clients=12, steps=150, watchers=16, patience=60.0)
FIGHT = replace(CONTENTION, clients=16, steps=150, watchers=6, patience=60.0)

# What traffic must do to mean anything: what clients of Kubernetes do, with the outcomes that it mostly has. Each of
# them comes several times in every run; what is rarer is not asked for, since sockets decide when it comes.
ANSWERS = {
    *(("create", status) for status in (201, 409)),
    *(("update", status) for status in (200, 409)),
    *(("merge-patch", status) for status in (200, 404)),
    *(("json-patch", status) for status in (200, 422)),
    *(("delete", status) for status in (200, 404)),
    *(("get", status) for status in (200, 404)),
}
UNKNOWN = 0
LISTS = {200, 410}
STARTS = {"marked", "state", "after", "tail"}
ENDS = {"cut", "open", "expired"}
EVENTS = {"ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"}


def check(history: History) -> None:
    """Fails with the seed and with what is wrong."""
    found = violations(history)
    assert not found, report(history, found)


async def test_mixed_traffic_keeps_every_promise_and_leaves_nothing_out() -> None:
    """With cut connections and compactions all see one history, in which requests met all that they mostly meet."""
    histories = [await record(seed) for seed in range(2)]
    for history in histories:
        check(history)
    operations = set(chain.from_iterable(map(_answers, histories)))
    sessions = [session for history in histories for session in history.sessions]
    assert operations >= ANSWERS
    assert UNKNOWN in {status for _, status in operations}
    assert {page.status for history in histories for page in history.pages} >= LISTS
    assert {session.start for session in sessions} == STARTS
    assert {session.end for session in sessions} >= ENDS
    assert {item.type for session in sessions for item in session.items} == EVENTS


@pytest.mark.parametrize("seed", range(2))
async def test_contention_for_one_object_keeps_every_promise(seed: int) -> None:
    """Increments add up, one create wins, an object goes once, a precondition protects its successor."""
    check(await record(seed, CONTENTION))


def _answers(history: History) -> Iterable[tuple[str, int]]:
    return ((operation.verb, operation.status) for operation in history.operations)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 130))
async def test_long_mixed_traffic_keeps_every_promise(seed: int) -> None:
    """What holds for a second holds for longer, with more clients."""
    check(await record(seed, LONG))


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 115))
async def test_long_contention_keeps_every_promise(seed: int) -> None:
    """A crowd around one object."""
    check(await record(seed, FIGHT))
