"""Tells the process that keeps this one running how it is: systemd, by the socket that NOTIFY_SOCKET names.

Without that variable nothing is told. What cannot be told is lost: it never stops the work.

spec: sd_notify(3), sd_watchdog_enabled(3)
"""

import contextlib
import os
import socket
from collections.abc import Callable, Mapping

from verger.watch.clock import Clock


class Supervisor:
    """One socket, and how often its owner wants to hear of us."""

    def __init__(self, environment: Mapping[str, str], clock: Clock) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        # A name with an at sign is an abstract one: it has no file.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._clock = clock
        self.period = _period(environment) if address else 0.0
        """Seconds between two signs of life, half of what is allowed; 0 when none is wanted."""

    def tell(self, *states: str) -> None:
        """Sends some states, such as READY=1."""
        if not self._address:
            return
        # It is a datagram for a socket of this machine: it is there at once or never.
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender,
        ):
            sender.setblocking(False)
            sender.sendto("\n".join(states).encode(), self._address)

    async def watch(self, is_well: Callable[[], bool]) -> None:
        """Gives signs of life for as long as all is well; one that is not is restarted."""
        while self.period:
            if is_well():
                self.tell("WATCHDOG=1")
            await self._clock.sleep(self.period)


def _period(environment: Mapping[str, str]) -> float:
    allowed = environment.get("WATCHDOG_USEC", "")
    meant = environment.get("WATCHDOG_PID") or str(os.getpid())
    if not allowed.isascii() or not allowed.isdigit() or meant != str(os.getpid()):
        return 0.0
    return int(allowed) / 2e6
