"""`verger demo`: what Verger does, shown while it happens."""

import asyncio
import os
import signal
import sys
import time
import webbrowser
from contextlib import suppress
from typing import TYPE_CHECKING

import click
from verger.cmd.process import tune, tuned

if TYPE_CHECKING:
    from verger.demo.script import Scene


_STARTED = 3.0
"""Seconds after which all is loaded; nobody waits for the collector before he sees something."""


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

    In a terminal it has a screen of its own, with a key for every fault; where there is no terminal it is told as with
    --script.
    """
    if script and web:
        raise click.UsageError("say --web for a page, or --script for plain text")
    if not web and (port or open_ is not None):
        raise click.UsageError("--port and --open are about the page: say --web")
    tune()
    if web:
        with suppress(KeyboardInterrupt):
            open_ = sys.stdout.isatty() if open_ is None else open_
            asyncio.run(_web(port, open_=open_, tour=tour))
    elif script or not _is_terminal():
        _script()
    else:
        _terminal(tour=tour)


def _is_terminal() -> bool:
    """Whether somebody sees a screen and has a keyboard; what is piped or logged is told as plain text."""
    streams = (sys.stdin, sys.stdout, sys.stderr)
    return all(stream.isatty() for stream in streams) and os.environ.get("TERM") != "dumb"


def _terminal(*, tour: bool) -> None:
    try:
        from verger.demo.terminal import Terminal
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "textual":
            raise
        click.echo(
            "The screen needs one library more: pip install 'verger[demo]'. Without it: --script, --web.",
            err=True,
        )
        sys.exit(2)

    async def show() -> int:
        screen = Terminal(tour=tour)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, screen.exit)
        loop.call_later(_STARTED, tuned)
        await screen.perform()
        return screen.return_code or 0

    sys.exit(asyncio.run(show()))


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
