"""What all commands share that run until they are told to end: the interpreter's settings, the log, the signals."""

import asyncio
import gc
import os
import signal
import sys
from typing import TYPE_CHECKING, Final

from verger.cmd.settings import ProcessSettings

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

GC_THRESHOLD: Final = 10_000
"""Container objects that come to stay before the collector looks at the young ones. Python's 700 is for programs that
keep less: a store of ten thousand objects would be looked through for every few hundred more."""


def tune() -> None:
    """Settings of the interpreter for a process that is a server and nothing else, before anything is loaded."""
    gc.disable()
    # Threads that have signed get the interpreter back sooner than after the usual 5 ms.
    sys.setswitchinterval(0.001)


def tuned() -> None:
    """What is there after the start stays: the collector need not look at it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 100)
    gc.enable()


def log_of(settings: ProcessSettings) -> "FilteringBoundLogger":
    """The log of the process, on standard error."""
    from verger.embed.logs import make_logger

    log_format = settings.log_format
    if log_format == "auto":
        log_format = "console" if sys.stderr.isatty() else "json"
    return make_logger(level=settings.log_level, format=log_format)


def stopping_event(log: "FilteringBoundLogger") -> asyncio.Event:
    """Set by the first SIGTERM or SIGINT; the second one ends the process at once."""
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
    return stopping
