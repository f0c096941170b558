"""The command line of Verger."""

import asyncio
import contextlib
import gc
import os
import signal
import sys
from pathlib import Path
from typing import Any

import click
from verger.cmd.settings import ServeSettings, SettingsError, load_settings, options_of

EXIT_USAGE = 2
"""The exit code of everything that the user can mend: flags, files, ports."""

GC_THRESHOLD = 10_000
"""Container objects that come to stay before the collector looks at the young ones. Python's 700 is for programs that
keep less: a store of ten thousand objects would be looked through for every few hundred more."""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def main() -> None:
    """Verger gives Kubernetes service accounts their identity.

    \b
    verger serve    a whole control plane in one process: store, HTTPS API, controllers
    """


@main.command(
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
    _tune()
    from verger.embed.options import StartError

    try:
        asyncio.run(_serve(settings, hints=hints))
    except StartError as error:
        _fail(str(error))


def _tune() -> None:
    """Settings of the interpreter for a process that is a server and nothing else, before anything is loaded."""
    gc.disable()
    # Threads that have signed get the interpreter back sooner than after the usual 5 ms.
    sys.setswitchinterval(0.001)


def _tuned() -> None:
    """What is there after the start stays: the collector need not look at it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 100)
    gc.enable()


def _fail(message: str) -> None:
    click.echo(f"verger: {message}", err=True)
    sys.exit(EXIT_USAGE)


async def _serve(settings: ServeSettings, *, hints: bool) -> None:
    from verger.embed.logs import make_logger
    from verger.embed.plane import ControlPlane

    log_format = settings.log_format
    if log_format == "auto":
        log_format = "console" if sys.stderr.isatty() else "json"
    log = make_logger(level=settings.log_level, format=log_format)
    plane = ControlPlane(settings.plane_options(), log=log)
    stopping = asyncio.Event()

    def stop(number: int) -> None:
        if stopping.is_set():
            # Asked twice: no more good manners.
            os._exit(128 + number)
        log.info("stopping", signal=signal.Signals(number).name)
        stopping.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    loop.add_signal_handler(signal.SIGHUP, plane.reload_keys)
    starting = asyncio.create_task(plane.start())
    stopped = asyncio.create_task(stopping.wait())
    await asyncio.wait([starting, stopped], return_when=asyncio.FIRST_COMPLETED)
    try:
        if not starting.done():
            starting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await starting
            return
        await starting
        _tuned()
        if hints:
            _print_hints(plane.kubeconfig)
        broken = asyncio.create_task(plane.wait())
        await asyncio.wait([broken, stopped], return_when=asyncio.FIRST_COMPLETED)
        broken.cancel()
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
