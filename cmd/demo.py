"""`verger demo`: what Verger does, told while it happens."""

import asyncio
import sys
import textwrap
import time
from typing import TYPE_CHECKING, Final

import click
from verger.cmd.process import tune

if TYPE_CHECKING:
    from verger.embed.story import Scene

_WIDTH: Final = 100
_INDENT: Final = "   "
_SHOWN: Final = 12
"""Changes of one scene that are listed; of more, the first and the last ones."""


@click.command()
@click.option(
    "--script",
    is_flag=True,
    required=True,
    expose_value=False,
    help="Tell it as plain text, from beginning to end.",
)
def demo() -> None:
    """See how service accounts get their identity, and how the world heals when something is broken.

    A control plane is started in this process and goes through some accidents. Everything that is shown has happened:
    changes are those of its store, answers those of its API. Revisions are counted from the beginning of the story.
    """
    tune()
    from verger.embed.story import told

    started = time.monotonic()
    count = 0

    def tell(scene: "Scene", first: int) -> None:
        nonlocal count
        count += 1
        click.echo("\n".join(lines(count, scene, first)))

    wrong = asyncio.run(told(tell))
    click.echo(f"{count} scenes in {time.monotonic() - started:.1f} s, {wrong} objects wrong.")
    click.echo("Do it yourself: verger serve --hints")
    sys.exit(1 if wrong else 0)


def lines(number: int, scene: "Scene", first: int) -> list[str]:
    """A scene as text."""
    out = [f"{number}. {scene.title}"]
    out += textwrap.wrap(scene.told, _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT)
    changes = [
        f"{_INDENT}+{change.revision - first:<4} {change.type:<8} {change.resource} {change.key}"
        for change in scene.changes
    ]
    if (left := len(changes) - _SHOWN) > 0:
        half = _SHOWN // 2
        changes[half:-half] = [f"{_INDENT}... {left} more"]
    out += ["", *changes] if changes else []
    out += ["", *(f"{_INDENT}{name}: {fact}" for name, fact in scene.facts.items()), ""]
    return out
