"""`verger run`: the controllers alone, beside an API server that somebody else runs."""

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, Final

import click
from verger.cmd.failure import Failure
from verger.cmd.process import log_of, stopping_event, tune, tuned
from verger.cmd.run_settings import RunSettings
from verger.cmd.settings import SettingsError, load_settings, options_of

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger
    from verger.embed.daemon import Daemon

EXIT_BROKEN: Final = 1
"""The exit code of a daemon that has ended by itself."""


@click.command(
    epilog="Every flag can also stand in the file given with --config (without the dashes in front), or in the "
    "environment as VERGER_ and its name in capitals with underscores. Flags win over the environment, and the "
    "environment over the file."
)
@options_of(RunSettings)
def run(**flags: Any) -> None:
    """Run the controllers beside an API server whose own ones are switched off.

    Namespaces get their default account and kube-root-ca.crt, accounts their tokens, and deleted namespaces are emptied.
    Of several replicas one works, and the others wait with full caches. SIGTERM ends it in good order, a second one at
    once.
    """
    try:
        settings = load_settings(RunSettings, flags, os.environ)
    except SettingsError as error:
        raise Failure(str(error)) from None
    # Heavy imports come after the settings have been found good: --help and mistakes answer at once.
    tune()
    from verger.embed.options import StartError

    try:
        if not asyncio.run(_run(settings)):
            sys.exit(EXIT_BROKEN)
    except StartError as error:
        raise Failure(str(error)) from None


async def _run(settings: RunSettings) -> bool:
    """Whether it ended because it was told to. Raises StartError."""
    from verger.embed.daemon import Daemon
    from verger.watch.clock import SystemClock

    log = log_of(settings)
    daemon = Daemon(settings.daemon_options(), environment=os.environ, clock=SystemClock(), log=log)
    tuned()
    stopping = stopping_event(log)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, daemon.reload)
    return await _until_told(daemon, stopping, log, settings.shutdown_grace)


async def _until_told(
    daemon: "Daemon", stopping: asyncio.Event, log: "FilteringBoundLogger", grace: float
) -> bool:
    from verger.embed.options import StartError

    running = asyncio.create_task(daemon.run())
    stopped = asyncio.create_task(stopping.wait())
    await asyncio.wait([running, stopped], return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if running.done():
        error = running.exception()
        if isinstance(error, StartError):
            raise error
        log.error("broken", exc_info=error)
        return False
    running.cancel()
    _, late = await asyncio.wait([running], timeout=grace)
    if late:
        log.warning("not everything ended in time", grace=grace)
        os._exit(EXIT_BROKEN)
    log.info("stopped")
    return True
