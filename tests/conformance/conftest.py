"""One plane for all requirements, with a clock that does not make anybody wait."""

import contextlib
import itertools
import json
from collections.abc import Iterator

import pytest
from verger.embed import ControlPlane

from tests.api.conftest import Api
from tests.background import running
from tests.conformance.play import Player
from tests.transcripts.conftest import HastyClock

NUMBERS = itertools.count(1)


@pytest.fixture(scope="package")
def api() -> Iterator[Api]:
    """A plane in which nobody makes token Secrets on his own."""
    with running(ControlPlane(token_secrets="on-request", clock=HastyClock())) as plane:
        yield Api(plane)


@pytest.fixture(scope="package")
def players(api: Api) -> Iterator[Player]:
    """The connection that all scenarios share."""
    with contextlib.closing(Player(api)) as player:
        yield player


@pytest.fixture
def player(players: Player) -> Player:
    """A namespace of its own for one scenario, and a group for what it defines."""
    number = next(NUMBERS)
    players.known = {"ns": f"ns{number}", "group": f"g{number}.example.com"}
    body = json.dumps({"metadata": {"name": f"ns{number}"}}).encode()
    assert players.send("POST", "/api/v1/namespaces", body, {}).status == 201
    return players
