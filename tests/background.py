"""Runs a plane in a thread with a loop of its own, for clients that block."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator

from verger.embed import ControlPlane

DEADLINE = 60.0
"""Seconds for a plane to start or stop; reaching them is a failure."""


@contextlib.contextmanager
def running(plane: ControlPlane) -> Iterator[ControlPlane]:
    """A plane that is ready, and is stopped at the end."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(plane.start(), loop).result(DEADLINE)
        yield plane
        asyncio.run_coroutine_threadsafe(plane.stop(), loop).result(DEADLINE)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(DEADLINE)
        loop.close()
