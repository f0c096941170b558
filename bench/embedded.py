"""How long a control plane in the caller's process takes to start and stop; what a hundred cost.

A test suite that gives each test its own control plane pays these times for each test, so they
decide whether people do. Imports and one warm-up are not counted: a suite pays them once. The
floor, a bare server started the same way, tells how much of the time is certificates and sockets.
"""

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

from bench.floor import Floor
from bench.servers import allow_connections, resident_megabytes

MakePlane = Callable[[], AbstractAsyncContextManager[Any]]


async def measure(make: MakePlane, *, rounds: int, crowd: int) -> dict[str, float]:
    """Start and stop one plane after the other, then a crowd at once; returns figures by name."""
    async with make():
        pass
    starts, stops = [], []
    for _ in range(rounds):
        began = time.perf_counter()
        async with make():
            starts.append(time.perf_counter() - began)
            began = time.perf_counter()
        stops.append(time.perf_counter() - began)
    return {
        "embedded_start_ms": statistics.median(starts) * 1e3,
        "embedded_stop_ms": statistics.median(stops) * 1e3,
    } | await _crowd(make, crowd)


async def _crowd(make: MakePlane, crowd: int) -> dict[str, float]:
    before = resident_megabytes("self")
    began = time.perf_counter()
    async with AsyncExitStack() as planes:
        for _ in range(crowd):
            await planes.enter_async_context(make())
        started = time.perf_counter()
        each = (resident_megabytes("self") - before) / crowd
        stopping = time.perf_counter()
    return {
        "crowd_start_s": started - began,
        "crowd_stop_s": time.perf_counter() - stopping,
        "crowd_mb_each": each,
    }


def main() -> None:
    """Measure one kind of plane in this process, which has done nothing else; prints JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.embedded", description=main.__doc__)
    parser.add_argument("plane", choices=["floor", "verger"])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--crowd", type=int, default=100)
    options = parser.parse_args()
    allow_connections(5000)
    make: MakePlane = Floor
    if options.plane == "verger":
        from verger.embed import ControlPlane

        make = ControlPlane
    print(json.dumps(asyncio.run(measure(make, rounds=options.rounds, crowd=options.crowd))))


if __name__ == "__main__":
    main()
