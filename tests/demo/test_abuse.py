"""Every button in a random order that a seed replays: nothing breaks, nothing leaks, and ours always converges."""

import asyncio
import gc
import os
import random
import threading
import time
from pathlib import Path

import pytest
from verger.demo.actions import ACTIONS
from verger.demo.engine import Engine
from verger.demo.frames import LANES, ROWS
from verger.demo.history import KEPT
from verger.demo.score import KEPT as FAULTS_KEPT
from verger.demo.stage import HEALED_WITHIN, NAMESPACES_MAX, Refused

from tests.demo.conftest import DEADLINE

LEAK_MAX = 40 * 2**20
"""Bytes that a minute may add for good; each second of it writes some thousand objects."""


async def press(engine: Engine, chance: random.Random) -> None:
    """One button, with a target that may be right."""
    action = chance.choice(ACTIONS)
    match action.target:
        case "namespace":
            target = chance.choice(["", "team-1", "missed-1", "nowhere"])
        case "controller":
            target = chance.choice(["", *LANES, "nobody"])
        case "count":
            target = str(chance.randrange(0, 25))
        case _:
            target = ""
    try:
        async with asyncio.timeout(DEADLINE):
            await engine.act(action.name, target)
    except Refused:
        pass


async def abuse(seed: int, seconds: float) -> int:
    """Presses for so long, with readers that come and go; returns how many faults were let loose."""
    chance = random.Random(seed)
    count = 0
    tasks = len(asyncio.all_tasks())
    async with Engine(outage=0.1, seed=seed, pace=0.0) as engine:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            before = engine.stage.score.count
            await press(engine, chance)
            count += max(0, engine.stage.score.count - before)
            for _ in range(chance.randrange(0, 40)):
                await asyncio.sleep(0)
            if chance.random() < 0.2:
                last = engine.stage.ours.history.last
                engine.at("ours", chance.randrange(last + 1))
                engine.difference("twin", chance.randrange(last + 1), last)
                async for frame in engine.frames():
                    assert len(frame["namespaces"]) <= ROWS + 1
                    break
        await engine.stage.healed(HEALED_WITHIN)
        stage = engine.stage
        assert (stage.ours.wrong, stage.broken) == (0, "")
        assert len(stage.names) <= NAMESPACES_MAX
        assert len(stage.score.told(0.0)["log"]) <= FAULTS_KEPT
        assert len(stage.ours.history.entries()) <= KEPT
        assert all(stage.ours.plane.controllers.running(name) for name in LANES)
    gc.collect()
    assert len(asyncio.all_tasks()) == tasks
    assert [thread.name for thread in threading.enumerate() if "verger" in thread.name] == []
    return count


async def test_buttons_in_any_order() -> None:
    """A second of it, since faults have to overlap: the same buttons again with the same seed."""
    assert await abuse(2, 1.0) > 5


@pytest.mark.soak
async def test_buttons_in_any_order_for_a_minute() -> None:
    """Long enough for leaks to show: what is kept while it runs is bounded, and nothing is kept when it has ended."""
    await abuse(4, 5.0)
    before = resident()
    assert await abuse(3, 60.0) > 100
    assert resident() - before < LEAK_MAX


def resident() -> int:
    """Bytes of this process that are in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
