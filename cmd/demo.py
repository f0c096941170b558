"""`verger demo`: what Verger does, told while it happens."""

import asyncio
import sys
import time
from typing import TYPE_CHECKING

import click
from verger.cmd.process import tune

if TYPE_CHECKING:
    from verger.demo.script import Scene


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

    Two control planes are started in this process, and the same faults strike both: one has the controllers of Verger,
    which look at what is there, the other one a controller that trusts what it hears. Everything that is shown has
    happened, and everything that is counted is counted from the two stores.
    """
    tune()
    from verger.demo.script import lines, told

    started = time.monotonic()
    count = 0

    def tell(scene: "Scene") -> None:
        nonlocal count
        count += 1
        click.echo("\n".join(lines(count, scene)))

    ending = asyncio.run(told(tell))
    click.echo(
        f"{count} scenes in {time.monotonic() - started:.1f} s, objects wrong: ours {ending.ours}, twin {ending.twin}."
    )
    click.echo("Do it yourself: verger serve --hints")
    if ending.broken:
        click.echo(ending.broken, err=True)
    sys.exit(1 if ending.ours or ending.broken else 0)
