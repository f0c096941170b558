"""The tour, with pauses and without: what it tells is what the stores have seen."""

import asyncio

from verger.demo.engine import Engine
from verger.demo.history import Entry
from verger.demo.script import Scene, lines, told
from verger.demo.tour import STEPS

DEADLINE = 60.0
"""Seconds; the script takes about ten."""


async def test_every_step_happens_and_heals() -> None:
    """What is told was found out: the same number of things is wrong as the stores say, and ours never stays wrong."""
    scenes: list[Scene] = []
    ending = await told(scenes.append)
    assert [scene.title for scene in scenes] == [step.title for step in STEPS]
    assert (ending.ours, ending.broken) == (0, "")
    assert ending.twin > 0
    wrong = [scene.facts["objects wrong"] for scene in scenes]
    assert all(line.startswith("ours 0, twin ") for line in wrong)
    twin = [int(line.removeprefix("ours 0, twin ")) for line in wrong]
    assert twin[:3] == [0, 0, 0], "where every event is heard the twin is right"
    assert 0 < twin[3] <= twin[-1] == ending.twin
    token, deleted, scribbled = (scenes[number].facts for number in (1, 2, 3))
    assert token["subject"] == "system:serviceaccount:team-1:default"
    assert (token["signature"], token["with one letter changed"]) == ("good", "bad")
    assert token["API answers to it"] == "200"
    assert deleted["API answers to the old token"] == "401"
    assert deleted["API answers to the new one"] == "200"
    assert scribbled["API answers to what it holds now"] == "200"
    revisions = [change.revision for scene in scenes for change in scene.changes]
    assert revisions == list(range(revisions[0], revisions[-1] + 1)), "each change once, in order"
    assert "eyJ" not in "\n".join(line for scene in scenes for line in lines(1, scene))


async def test_tour_gives_way_to_whoever_does_something_else(engine: Engine) -> None:
    """A step that cannot be done any more ends it, and nothing is broken by that."""
    await engine.tour.start(auto=False)
    async with asyncio.timeout(DEADLINE):
        async for frame in engine.frames():
            if frame["tour"] is None:
                break
            if frame["tour"]["phase"] == "about to happen" and frame["tour"]["step"] == 3:
                await engine.act("start-over")
            engine.tour.next()
    assert "the tour ends" in engine.frame()["note"]


async def test_tour_is_given_on_request(engine: Engine) -> None:
    """Step by step, when somebody says so; the frame says where it is; then it can be stopped."""
    assert engine.frame()["tour"] is None
    await engine.tour.start(auto=False)
    seen = []
    async with asyncio.timeout(DEADLINE):
        async for frame in engine.frames():
            tour = frame["tour"]
            if tour is None:
                continue  # it has not begun
            if (tour["step"], tour["phase"]) not in seen:
                seen.append((tour["step"], tour["phase"]))
                if tour["phase"] != "happening":
                    engine.tour.next()
            if tour["step"] == 4:
                break
    phases = [phase for step, phase in seen if step == 3]
    assert phases[0] == "about to happen"
    assert phases[-1] == "over"
    await engine.tour.stop()
    assert not engine.tour.running
    assert engine.stage.frame()["namespaces"]


def test_scene_is_told_in_lines() -> None:
    """Of many changes the first and the last ones are shown."""
    changes = [Entry(n, "ADDED", "secrets", f"demo/s{n}", None, {}) for n in range(1, 16)]
    assert lines(2, Scene("Title", "Said.", changes, {"fact": "yes"})) == [
        "2. Title",
        "   Said.",
        "",
        *(f"   +{n:<4} ADDED    secrets demo/s{n}" for n in range(1, 7)),
        "   ... 3 more",
        *(f"   +{n:<4} ADDED    secrets demo/s{n}" for n in range(10, 16)),
        "",
        "   fact: yes",
        "",
    ]
