"""`verger demo`: what Verger does, shown while it happens."""

import asyncio
import sys
import time
import webbrowser
from contextlib import suppress
from typing import TYPE_CHECKING

import click
from verger.cmd.process import tune, tuned

if TYPE_CHECKING:
    from verger.demo.script import Scene


@click.command()
@click.option("--script", is_flag=True, help="Tell it as plain text, from beginning to end.")
@click.option("--web", is_flag=True, help="Show it as a page, served on this machine alone.")
@click.option("--tour", is_flag=True, help="Begin with the tour: all of it in three minutes.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default=True,
    help="Where the page is served; 0 for any port that is free.",
)
@click.option(
    "--open/--no-open",
    "open_",
    default=None,
    help="Whether to open the page in a browser.  [default: when started from a terminal]",
)
def demo(script: bool, web: bool, tour: bool, port: int, open_: bool | None) -> None:
    """See how service accounts get their identity, and how the world heals when something is broken.

    Two control planes are started in this process, and the same faults strike both: one has the controllers of Verger,
    which look at what is there, the other one a controller that trusts what it hears. Everything that is shown has
    happened, and everything that is counted is counted from the two stores.
    """
    if script == web:
        raise click.UsageError("say --web for a page, or --script for plain text")
    tune()
    if script:
        _script()
    else:
        with suppress(KeyboardInterrupt):
            open_ = sys.stdout.isatty() if open_ is None else open_
            asyncio.run(_web(port, open_=open_, tour=tour))


def _script() -> None:
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


async def _web(port: int, *, open_: bool, tour: bool) -> None:
    from verger.demo.engine import Engine
    from verger.demo.web import Page, PortTaken

    async with Engine() as engine:
        try:
            async with Page(engine).serving(port) as url:
                tuned()
                click.echo(f"The demo is at {url}")
                click.echo("It ends with Ctrl-C.")
                if tour:
                    await engine.tour.start()
                if open_:
                    await asyncio.to_thread(webbrowser.open, url)
                await asyncio.get_running_loop().create_future()
        except PortTaken as error:
            raise click.ClickException(f"{error}; choose another one, or 0 for any") from None
