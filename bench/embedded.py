"""What a control plane in the caller's process costs: to start, stop and reset, a hundred at once, a thousand tests.

A test suite that gives each test its own control plane pays these times for each test, so they
decide whether people do. Imports and one warm-up are not counted: a suite pays them once. The
floor, a bare server started the same way, tells how much of the time is certificates and sockets.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

from bench.floor import Floor
from bench.servers import allow_connections, resident_megabytes

TESTS = 1000
"""Tests in the suite whose run is timed."""
_TESTS = {
    "floor": """
import pytest

@pytest.mark.parametrize("number", range({tests}))
def test(number):
    assert number >= 0
""",
    "verger": """
import pytest

@pytest.mark.parametrize("number", range({tests}))
def test(verger, number):
    verger.namespace("team")
    assert verger.get("v1", "ServiceAccount", "default", "team")["secrets"]
""",
}
"""What a test does that has a plane to itself, and pytest alone as the floor."""
_IMPORT = """
import time, pytest
began = time.perf_counter()
import verger.embed.pytest_plugin
print((time.perf_counter() - began) * 1e3)
"""
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
        together = resident_megabytes("self")
        stopping = time.perf_counter()
    return {
        "crowd_start_s": started - began,
        "crowd_stop_s": time.perf_counter() - stopping,
        "crowd_mb_each": (together - before) / crowd,
        "crowd_mb": together,
    }


async def measure_resets(rounds: int) -> dict[str, float]:
    """Make a namespace and go back, again and again: the reset alone, and until everything has followed."""
    from verger.embed import ControlPlane

    resets, settled = [], []
    async with ControlPlane() as plane:
        for _ in range(rounds):
            await plane.namespace("team")
            began = time.perf_counter()
            plane.reset()
            resets.append(time.perf_counter() - began)
            await plane.settle()
            settled.append(time.perf_counter() - began)
    return {
        "reset_ms": statistics.median(resets) * 1e3,
        "reset_settled_ms": statistics.median(settled) * 1e3,
    }


def measure_plugin() -> dict[str, float]:
    """Import the pytest plugin in a process that has pytest already."""
    ran = subprocess.run(
        [sys.executable, "-c", _IMPORT], check=True, capture_output=True, text=True
    )
    return {"plugin_import_ms": float(ran.stdout)}


def measure_suite(plane: str) -> dict[str, float]:
    """Run a suite of tests that each begin afresh, in a process of its own, its start included."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        Path(folder, "pytest.ini").write_text("[pytest]\n")
        Path(folder, "test_suite.py").write_text(_TESTS[plane].format(tests=TESTS))
        began = time.perf_counter()
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        return {"suite_s": time.perf_counter() - began}


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
    figures = asyncio.run(measure(make, rounds=options.rounds, crowd=options.crowd))
    figures |= measure_suite(options.plane)
    if options.plane == "verger":
        figures |= asyncio.run(measure_resets(options.rounds * 5)) | measure_plugin()
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
