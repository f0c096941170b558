"""`verger serve`: a whole control plane in one process."""

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Any

import click
from verger.cmd.failure import EXIT_USAGE
from verger.cmd.process import log_of, stopping_event, tune, tuned
from verger.cmd.settings import ServeSettings, SettingsError, load_settings, options_of


@click.command(
    epilog="Every flag can also stand in the file given with --config (without the dashes in front), or in the "
    "environment as VERGER_ and its name in capitals with underscores. Flags win over the environment, and the "
    "environment over the file."
)
@options_of(ServeSettings)
@click.option("--hints", is_flag=True, help="Print kubectl lines to try once it is ready.")
def serve(hints: bool, **flags: Any) -> None:
    """Run a control plane: every new namespace gets a default account, every account a signed token.

    It listens on loopback, with a certificate and an administrator's kubeconfig that are made at start, and keeps
    everything in memory. SIGTERM ends it in good order, a second one at once.
    """
    try:
        settings = load_settings(ServeSettings, flags, os.environ)
    except SettingsError as error:
        _fail(str(error))
    # Heavy imports come after the settings have been found good: --help and mistakes answer at once.
    tune()
    from verger.embed.options import StartError

    try:
        asyncio.run(_serve(settings, hints=hints))
    except StartError as error:
        _fail(str(error))


def _fail(message: str) -> None:
    click.echo(f"verger: {message}", err=True)
    sys.exit(EXIT_USAGE)


async def _serve(settings: ServeSettings, *, hints: bool) -> None:
    from verger.embed.plane import ControlPlane

    log = log_of(settings)
    plane = ControlPlane(settings.plane_options(), log=log, observe=False)
    stopping = stopping_event(log)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, plane.reload_keys)
    starting = asyncio.create_task(plane.start())
    stopped = asyncio.create_task(stopping.wait())
    await asyncio.wait([starting, stopped], return_when=asyncio.FIRST_COMPLETED)
    try:
        if starting.done():
            await starting
            tuned()
            if hints:
                _print_hints(plane.kubeconfig)
            broken = asyncio.create_task(plane.wait())
            await asyncio.wait([broken, stopped], return_when=asyncio.FIRST_COMPLETED)
            broken.cancel()
        else:
            starting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await starting
    finally:
        stopped.cancel()
        try:
            await asyncio.wait_for(plane.stop(), settings.shutdown_grace)
        except TimeoutError:
            log.warning("not everything ended in time", grace=settings.shutdown_grace)
    log.info("stopped")


def _print_hints(path: Path) -> None:
    try:
        shown = f"{path.relative_to(Path.cwd())}"
    except ValueError:
        shown = str(path)
    click.echo(
        f"\nThe kubeconfig is {shown}. Try:\n\n"
        f"  export KUBECONFIG={shown}\n"
        "  kubectl create namespace demo\n"
        "  kubectl get serviceaccounts,secrets -n demo\n"
        "  kubectl delete serviceaccount default -n demo && kubectl get serviceaccounts,secrets -n demo\n"
    )
