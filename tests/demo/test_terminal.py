"""The screen of `verger demo`, driven by its keys: what it shows is what the engine says, and it leaves nothing behind."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest
from textual.app import App
from textual.pilot import Pilot
from verger.demo.board import Board, Pane
from verger.demo.engine import Engine
from verger.demo.terminal import Terminal

from tests.demo.conftest import DEADLINE, OUTAGE, settled

SMALL = (80, 24)
LARGE = (140, 46)


@asynccontextmanager
async def showing(size: tuple[int, int] = SMALL) -> AsyncIterator[tuple[Terminal, Pilot[None]]]:
    """A screen with the namespaces of the beginning on it."""
    async with Engine(outage=OUTAGE, seed=7, pace=0.0) as engine:
        terminal = Terminal()
        async with terminal.run_test(size=size) as pilot:
            await terminal.begin(engine)
            await until(pilot, lambda: seen(terminal, "rows").count("✓") == 6)
            yield terminal, pilot
        assert engine.stage.broken == ""


async def until(pilot: Pilot[None], there: Callable[[], object]) -> None:
    """Returns when it is so on the screen."""
    deadline = time.monotonic() + DEADLINE
    while not there():
        assert time.monotonic() < deadline, {p.id: seen(pilot.app, p.id) for p in panes(pilot.app)}
        await pilot.pause(0.02)


def struck(engine: Engine, number: int) -> bool:
    """Whether so many faults have begun."""
    return engine.stage.score.count >= number


def board(app: App[None]) -> Board:
    """What is on the screen, below the help where that is open."""
    found = app.screen_stack[1]
    assert isinstance(found, Board)
    return found


def panes(app: App[None]) -> list[Pane]:
    return list(board(app).query(Pane))


def displayed(app: App[None]) -> list[str | None]:
    """The panels that there is room for."""
    return [pane.id for pane in panes(app) if "panel" in pane.classes and pane.content_size]


def seen(app: App[None], name: str | None) -> str:
    """The text of a pane, in the room that it has."""
    pane = next(pane for pane in panes(app) if pane.id == name)
    return "\n".join(line.rstrip() for line in pane.render().plain.split("\n"))


@pytest.mark.parametrize(
    "size", [pytest.param(SMALL, id="a small screen"), pytest.param(LARGE, id="a large one")]
)
async def test_chain_is_shown(size: tuple[int, int]) -> None:
    """From the namespace to what its token says, never more than there is room for, and no token in clear."""
    async with showing(size) as (terminal, pilot):
        shown = ["chain"] if size == SMALL else ["chain", "why", "timeline", "faults"]
        await until(pilot, lambda: displayed(terminal) == shown)
        view = board(terminal).looking.frame["namespaces"][0]["ours"]
        chain = seen(terminal, "chain")
        assert chain.startswith(f"team-1 +1 → default +{view['accounts'][0]['revision']} → ")
        assert "✓ signature checked against the 1 key at /openid/v1/jwks" in chain
        assert view["secrets"][0]["token"]["kid"] in chain
        assert "0 wrong" in seen(terminal, "ours")
        for pane in filter(lambda pane: pane.content_size, panes(terminal)):
            lines = pane.render().plain.split("\n")
            assert len(lines) <= pane.content_size.height
            assert max(map(len, lines)) <= pane.content_size.width
        assert "eyJ" not in terminal.export_screenshot()


async def test_every_key_strikes_and_ours_heals() -> None:
    """Each fault is let loose by its key; the number of the twin goes red, and ours does not stay so."""
    async with showing() as (terminal, pilot):
        engine = board(terminal).engine
        kinds = [
            a for a in engine.actions if a["name"] not in ("make-namespace", "storm", "start-over")
        ]
        for number, action in enumerate(kinds, 1):
            await pilot.press(action["key"])
            await until(pilot, partial(struck, engine, number))
            await engine.stage.healed(DEADLINE)
        await settled(engine)
        await until(pilot, lambda: " 0 wrong" in seen(terminal, "ours"))
        wrong = engine.frame()["score"]["twin"]["wrong"]
        assert wrong > 0
        await until(pilot, lambda: f" {wrong} WRONG" in seen(terminal, "twin"))
        await pilot.press("4")
        await until(
            pilot,
            lambda: f"faults {len(kinds)}   ours got over {len(kinds)}" in seen(terminal, "faults"),
        )
        await pilot.press("x")
        await until(pilot, lambda: "Nothing is there yet" in seen(terminal, "rows"))


async def test_chosen_ones_are_struck() -> None:
    """A namespace by its row, a controller by its lane, with keys and with clicks."""
    async with showing() as (terminal, pilot):
        board(terminal).engine.stage.outage = DEADLINE
        await pilot.press("down", "down", "d")
        await until(pilot, lambda: "account team-2/default is deleted" in seen(terminal, "head"))
        await pilot.click("#ours", offset=(3, 4))
        await until(pilot, lambda: "▸root-ca-publisher" in seen(terminal, "ours"))
        await pilot.press("f")
        await until(pilot, lambda: "root-ca-publisher       0 frozen" in seen(terminal, "ours"))
        assert "edge-triggered twin  frozen" in seen(terminal, "twin")
        await pilot.press("k")
        await until(pilot, lambda: "root-ca-publisher is frozen already" in seen(terminal, "head"))
        await pilot.click("#rows", offset=(45, 3))
        await until(pilot, lambda: board(terminal).looking.side == "twin")
        assert board(terminal).looking.name == "team-3"


async def test_timeline_is_scrubbed() -> None:
    """Left goes back, one change at a time: rows are what they were, and what is different is said."""
    async with showing() as (terminal, pilot):
        await settled(board(terminal).engine)
        last = board(terminal).looking.line()["last"]
        await pilot.press(*["left"] * (last - 1))
        await until(pilot, lambda: "as it was at +1" in seen(terminal, "rows"))
        row = seen(terminal, "rows").split("\n")[1]
        assert row.startswith("▸team-1      none      ✗ no token")
        assert "difference from +0 to +1\n ADDED Namespace team-1" in seen(terminal, "timeline")
        await pilot.press("m", "right", "right")
        await until(pilot, lambda: "difference from +1 to +3" in seen(terminal, "timeline"))
        assert "○" in seen(terminal, "timeline")
        await pilot.press("end")
        await until(pilot, lambda: "as it was" not in seen(terminal, "rows"))
        await pilot.press("tab", "home")
        await until(pilot, lambda: board(terminal).looking.moment() == 0)
        assert board(terminal).looking.side == "twin"


async def test_why_an_object_is_there() -> None:
    """Back from the write to whoever began it; each object of the row has its own reason."""
    async with showing() as (terminal, pilot):
        await pilot.press("2")
        await until(pilot, lambda: "← serviceaccount-token-controller" in seen(terminal, "why"))
        assert "heard ADDED serviceaccounts team-1/default" in seen(terminal, "why")
        await pilot.press("enter")
        await until(
            pilot, lambda: seen(terminal, "why").startswith("+1     ADDED    Namespace team-1")
        )
        assert "← you makes namespace team-1" in seen(terminal, "why")


async def test_tour_advances() -> None:
    """It begins and ends with a key, and its panel says what was found out."""
    async with Engine(outage=OUTAGE, seed=7, pace=60.0) as engine:
        terminal = Terminal(tour=True)
        async with terminal.run_test(size=SMALL) as pilot:
            await terminal.begin(engine)
            await until(pilot, lambda: "1/12 One promise" in seen(terminal, "tour"))
            await pilot.press("space")
            await until(pilot, lambda: "space goes on" in seen(terminal, "tour"))
            await pilot.press("space")
            await until(pilot, lambda: "2/12 What the token says" in seen(terminal, "tour"))
            await pilot.press("space")
            await until(pilot, lambda: "with one letter changed: bad" in seen(terminal, "tour"))
            await pilot.press("escape")
            await until(
                pilot, lambda: not engine.tour.running and board(terminal).looking.panel == "chain"
            )


async def test_help_lists_every_key() -> None:
    """It opens and closes with the same key, and says what each fault is."""
    async with showing() as (terminal, pilot):
        await pilot.press("question_mark")
        await until(pilot, lambda: len(terminal.screen_stack) == 3)
        texts = [str(child.render()) for child in terminal.screen.query("Static")]
        for action in board(terminal).engine.actions:
            assert any(text.startswith(action["title"]) for text in texts)
        await pilot.press("question_mark")
        await until(pilot, lambda: len(terminal.screen_stack) == 2)


@pytest.mark.parametrize("key", ["q", "ctrl+c"])
async def test_quitting_leaves_no_task(key: str) -> None:
    """The screen is gone at once, whatever goes on, and so is all that it had begun."""
    before = len(asyncio.all_tasks())
    async with Engine(outage=60.0, seed=7) as engine:
        terminal = Terminal()
        async with terminal.run_test(size=SMALL) as pilot:
            await terminal.begin(engine)
            await pilot.press("k", "t")
            await pilot.press(key)
            await until(pilot, lambda: not terminal.is_running or terminal.return_code is not None)
        assert terminal.return_code == 0
    assert len(asyncio.all_tasks()) == before


async def test_demo_that_is_broken_ends() -> None:
    """Who started it is told that it failed, and nothing of what was at hand then."""
    async with Engine(outage=OUTAGE, seed=7) as engine:
        terminal = Terminal()
        async with terminal.run_test(size=SMALL) as pilot:
            # What no engine does: fail with something else than a refusal.
            engine.act = broken  # type: ignore[method-assign]
            await terminal.begin(engine)
            await until(pilot, lambda: terminal.return_code == 1)


async def broken(name: str, target: str = "") -> None:
    raise RuntimeError(name, target)
