"""Throughput and latency of the API: create, get, list, watch fan-out, namespace deletion.

These are the calls that integration tests and controllers make all day. Sixteen connections keep
the server busy without measuring queues; the objects are small ConfigMaps, so that the server's own
work per request is what counts; every answer is checked, because a fast wrong answer is not a
result.
"""

import argparse
import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson

from bench.raw_client import (
    Connection,
    OnEvent,
    ProtocolError,
    Target,
    Watch,
    percentile,
    read_kubeconfig,
)

Figures = dict[str, float]
DELIVERY_TIMEOUT = 120.0
DELETION_TIMEOUT = 180.0


@dataclass(frozen=True, slots=True)
class ApiLoad:
    """How much of each."""

    objects: int = 2000
    connections: int = 16
    watchers: int = 100
    updates: int = 300
    lists: int = 10


async def measure(target: Target, load: ApiLoad) -> Figures:
    """Run all phases against an empty namespace, and remove it again; returns the figures by name.

    Raises ProtocolError at a wrong answer, OSError at a lost connection, TimeoutError when events
    or the end of the namespace do not come.
    """
    cpu, began = time.process_time(), time.perf_counter()
    connections = [await Connection.open(target) for _ in range(load.connections)]
    try:
        namespace = f"bench-{uuid4().hex[:12]}"
        await create_namespace(connections[0], namespace)
        path = f"/api/v1/namespaces/{namespace}/configmaps"
        figures = await _creates_and_gets(connections, path, load)
        figures |= await _lists(connections[0], path, load)
        figures |= await _fan_out(target, connections[0], path, load)
        figures |= await _deletion(connections[0], namespace)
    finally:
        for connection in connections:
            connection.close()
    share = (time.process_time() - cpu) / (time.perf_counter() - began)
    return figures | {"client_cpu_share": share}


async def create_namespace(connection: Connection, name: str) -> None:
    """Create a namespace. Raises ProtocolError when the server does not."""
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    await connection.expect(201, "POST", "/api/v1/namespaces", orjson.dumps(body))


def configmap(name: str, data: dict[str, str], labels: dict[str, str] | None = None) -> bytes:
    """Return an encoded ConfigMap."""
    metadata: dict[str, Any] = {"name": name}
    if labels:
        metadata["labels"] = labels
    return orjson.dumps(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
    )


async def spread(
    connections: list[Connection], count: int, work: Callable[[Connection, int], Awaitable[object]]
) -> list[float]:
    """Do `work` for each number below `count`, one at a time on each connection.

    Returns all durations in seconds. Errors come out in an ExceptionGroup.
    """
    numbers = iter(range(count))
    durations = []

    async def one(connection: Connection) -> None:
        for number in numbers:
            began = time.perf_counter()
            await work(connection, number)
            durations.append(time.perf_counter() - began)

    async with asyncio.TaskGroup() as tasks:
        for connection in connections:
            tasks.create_task(one(connection))
    return durations


async def _creates_and_gets(connections: list[Connection], path: str, load: ApiLoad) -> Figures:
    async def create(connection: Connection, number: int) -> None:
        body = configmap(f"c{number}", {"k": "v" * 200}, {"i": str(number % 7)})
        await connection.expect(201, "POST", path, body)

    async def get(connection: Connection, number: int) -> None:
        await connection.expect(200, "GET", f"{path}/c{number}")

    figures: Figures = {}
    for name, work in (("create", create), ("get", get)):
        began = time.perf_counter()
        durations = await spread(connections, load.objects, work)
        figures[f"{name}_per_s"] = load.objects / (time.perf_counter() - began)
        figures[f"{name}_p50_ms"] = percentile(durations, 0.5) * 1e3
        figures[f"{name}_p99_ms"] = percentile(durations, 0.99) * 1e3
    return figures


async def _lists(connection: Connection, path: str, load: ApiLoad) -> Figures:
    durations = []
    body = b""
    for _ in range(load.lists):
        began = time.perf_counter()
        body = await connection.expect(200, "GET", path)
        durations.append(time.perf_counter() - began)
    items = len(orjson.loads(body)["items"])
    if items < load.objects:
        raise ProtocolError(f"the list has {items} of {load.objects} objects")
    median = percentile(durations, 0.5)
    return {
        "list_items": items,
        "list_p50_ms": median * 1e3,
        "list_mb_per_s": len(body) / median / 1e6,
    }


async def _fan_out(target: Target, writer: Connection, path: str, load: ApiLoad) -> Figures:
    """Update one object after the other as fast as the server answers, while watchers look on."""
    listed = orjson.loads(await writer.expect(200, "GET", path))
    revision = listed["metadata"]["resourceVersion"]
    sent: dict[str, float] = {}
    delays: list[float] = []
    expected = load.watchers * load.updates
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_event(kind: str, found: dict[str, Any]) -> None:
        if kind == "MODIFIED":
            delays.append(time.perf_counter() - sent[found["data"]["s"]])
            if len(delays) == expected:
                done.set_result(None)

    async with open_watches(
        target,
        [f"{path}?watch=1&resourceVersion={revision}"] * load.watchers,
        on_events=[on_event] * load.watchers,
        failed=done,
    ):
        began = time.perf_counter()
        for number in range(load.updates):
            name = f"c{number % load.objects}"
            sent[str(number)] = time.perf_counter()
            await writer.expect(200, "PUT", f"{path}/{name}", configmap(name, {"s": str(number)}))
        try:
            async with asyncio.timeout(DELIVERY_TIMEOUT):
                await done
        except TimeoutError:
            lost = expected - len(delays)
            raise TimeoutError(f"{lost} of {expected} events were not delivered") from None
        seconds = time.perf_counter() - began
    return {
        "watch_deliveries_per_s": expected / seconds,
        "watch_p50_ms": percentile(delays, 0.5) * 1e3,
        "watch_p99_ms": percentile(delays, 0.99) * 1e3,
    }


@asynccontextmanager
async def open_watches(
    target: Target, paths: list[str], *, on_events: list[OnEvent], failed: asyncio.Future[None]
) -> AsyncIterator[None]:
    """Keep one watch for each path open; a watch that ends early fails the future.

    Raises OSError, and ProtocolError when the server refuses one.
    """

    def fail(reason: Exception) -> None:
        if not failed.done():
            failed.set_exception(reason)

    watches: list[Watch] = []
    try:
        for path, on_event in zip(paths, on_events, strict=True):
            watches.append(await Watch.open(target, path, on_event=on_event, on_end=fail))
        yield
    finally:
        for watch in watches:
            watch.close()
        # Lets the server notice, so that what comes next is not told to watchers that have gone.
        await asyncio.sleep(0.3)


async def _deletion(connection: Connection, namespace: str) -> Figures:
    path = f"/api/v1/namespaces/{namespace}"
    began = time.perf_counter()
    await connection.expect(200, "DELETE", path)
    try:
        async with asyncio.timeout(DELETION_TIMEOUT):
            while True:
                if (await connection.call("GET", path)).status == 404:
                    break
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise TimeoutError(f"namespace not gone {DELETION_TIMEOUT:.0f} s after delete") from None
    return {"namespace_gone_s": time.perf_counter() - began}


def main() -> None:
    """Run this load alone, against any server that a kubeconfig with a token leads to."""
    defaults = ApiLoad()
    parser = argparse.ArgumentParser(prog="python -m bench.api", description=main.__doc__)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("-n", "--objects", type=int, default=defaults.objects)
    parser.add_argument("-c", "--connections", type=int, default=defaults.connections)
    parser.add_argument("-w", "--watchers", type=int, default=defaults.watchers)
    parser.add_argument("-m", "--updates", type=int, default=defaults.updates)
    parser.add_argument("-r", "--lists", type=int, default=defaults.lists)
    options = vars(parser.parse_args())
    target = read_kubeconfig(options.pop("kubeconfig"))
    for name, value in asyncio.run(measure(target, ApiLoad(**options))).items():
        print(f"{name:24} {value:.2f}")


if __name__ == "__main__":
    main()
