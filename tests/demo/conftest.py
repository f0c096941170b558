"""A demo that runs, and what its tests ask of it."""

from collections.abc import AsyncIterator

import pytest
from verger.demo.engine import Engine

DEADLINE = 30.0
"""Seconds; nothing here takes more than a few, so that reaching them is a failure."""
OUTAGE = 0.05
"""Seconds: long enough to miss something."""


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    """A demo with three namespaces, in which nothing is wrong."""
    async with Engine(outage=OUTAGE, seed=7, pace=0.0) as engine:
        for _ in range(3):
            await engine.act("make-namespace")
        await settled(engine)
        yield engine
        assert engine.stage.broken == ""


async def settled(engine: Engine) -> None:
    """Ours has got over everything, and all that the twin has written has been looked at."""
    stage = engine.stage
    await stage.healed(DEADLINE)
    await stage.twin.plane.settle()
    stage.twin.look(all_of_it=True)
