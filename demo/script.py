"""The tour as plain text, told while it happens: for reading, and for machines that look whether it is true."""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from verger.demo.actions import Actions
from verger.demo.history import Entry
from verger.demo.stage import Stage
from verger.demo.tour import STEPS, Guide

OUTAGE: Final = 0.3
STORM: Final = 100
"""Nobody watches: the storm is a smaller one, and outages are shorter."""
_WIDTH: Final = 100
_INDENT: Final = "   "
_SHOWN: Final = 12
"""Changes of one scene that are listed; of more, the first and the last ones."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One step of the tour that has happened."""

    title: str
    text: str
    changes: Sequence[Entry]
    """What was written on our side, oldest first."""
    facts: Mapping[str, str]
    """What was found out afterwards, in words."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How it ends, counted from the two stores."""

    ours: int
    twin: int
    broken: str
    """What of the demo itself has failed."""


async def told(tell: Callable[[Scene], None]) -> Ending:
    """Gives the tour, and hands each step to `tell` when it has happened."""
    async with Stage(outage=OUTAGE) as stage:
        guide = Guide(stage, Actions(stage), storm=STORM)
        for step in STEPS:
            before = stage.ours.history.last
            facts = await step.do(guide)
            await stage.healed()
            stage.twin.look(all_of_it=True)
            counted = {"objects wrong": f"ours {stage.ours.wrong}, twin {stage.twin.wrong}"}
            changes = stage.ours.history.entries(after=before)
            tell(Scene(step.title, step.text, changes, {**facts, **counted}))
        return Ending(stage.ours.wrong, stage.twin.wrong, stage.broken)


def lines(number: int, scene: Scene) -> list[str]:
    """A scene as text. Revisions are counted from when the demo began."""
    out = [f"{number}. {scene.title}"]
    out += textwrap.wrap(scene.text, _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT)
    changes = [
        f"{_INDENT}+{change.revision:<4} {change.type:<8} {change.resource} {change.key}"
        for change in scene.changes
    ]
    if (left := len(changes) - _SHOWN) > 0:
        half = _SHOWN // 2
        changes[half:-half] = [f"{_INDENT}... {left} more"]
    out += ["", *changes] if changes else []
    out += ["", *(f"{_INDENT}{name}: {fact}" for name, fact in scene.facts.items()), ""]
    return out
