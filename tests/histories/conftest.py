"""A plane whose clients may do to it what they like."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from verger.embed import ControlPlane
from verger.watch.clock import FakeClock

from tests.histories.traffic import started
from tests.histories.wire import Server, Wire, connected

DEADLINE = 30.0
"""Real seconds; everything here takes milliseconds, so that reaching them is a failure."""


@dataclass(frozen=True, slots=True)
class Abused:
    """A plane, its clock, and how to reach it."""

    plane: ControlPlane
    clock: FakeClock
    server: Server

    async def until(self, reached: Callable[[], bool]) -> None:
        """Gives the server turns until it has come to something by itself."""
        async with asyncio.timeout(DEADLINE):
            while True:
                if reached():
                    return
                await asyncio.sleep(0)

    @property
    def in_flight(self) -> int:
        """Requests that the server is at work on, watches among them."""
        return self.plane._started().server._in_flight

    async def watches(self) -> int:
        """How many watches are open, as the plane's own metrics say."""
        async with connected(self.server) as wire:
            text = (await wire.call("GET", "/metrics", Accept="text/plain")).body.decode()
        (line,) = [line for line in text.splitlines() if line.startswith("verger_watches ")]
        return int(float(line.split()[1]))

    async def names(self, path: str) -> list[str]:
        """What exists, for a client that comes anew."""
        async with connected(self.server) as wire:
            return [
                item["metadata"]["name"] for item in (await wire.call("GET", path)).json()["items"]
            ]

    def buffered(self) -> int:
        """Bytes that the server holds for clients that have not read them."""
        return sum(map(_buffered, self.transports()))

    def transports(self) -> list[asyncio.Transport]:
        """The server's side of its connections."""
        listening = self.plane._started().server._listening
        assert listening is not None
        return listening.transports


def _buffered(transport: Any) -> int:
    below = transport._ssl_protocol._transport
    under: int = below.get_write_buffer_size() if below is not None else 0
    over: int = transport.get_write_buffer_size()
    return over + under


@pytest.fixture
async def abused() -> AsyncIterator[Abused]:
    """A plane of one's own."""
    async with started() as (plane, clock):
        yield Abused(plane, clock, Server.of(plane))


async def opened_watch(wire: Wire, path: str) -> None:
    """Opens a watch; its headers have arrived."""
    wire.send(wire.server.request("GET", path))
    status, _ = await wire.head()
    assert status == 200
