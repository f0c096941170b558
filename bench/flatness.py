"""Whether a write costs the same whatever the server already holds: many objects, many watches.

The usual way in which a store goes wrong is not a slow write but one that grows: a scan over all
objects, or a wake-up of every watcher. The cost of a write is the server's processor time, which
neighbours on the machine disturb least, over equal parts of creates, updates and deletes, so that
measuring leaves nothing behind. Collecting garbage is part of it.
"""

import asyncio
import ssl
import time
from dataclasses import dataclass
from uuid import uuid4

import orjson

from bench.api import Figures, configmap, create_namespace, spread
from bench.raw_client import Connection, open_idle_watch
from bench.servers import Server, ServerError

# How many of the stored objects share a namespace.
NAMESPACE_SIZE = 5000


@dataclass(frozen=True, slots=True)
class FlatnessLoad:
    """At which fillings to measure, the first being the one to compare with, by how many writes."""

    stored: tuple[int, ...] = (0, 10_000, 100_000)
    watches: tuple[int, ...] = (0, 500, 2000)
    objects: int = 2000
    connections: int = 8


async def measure_stored(server: Server, load: FlatnessLoad) -> Figures:
    """Measure with more and more objects in other namespaces; returns cost and ratio for each."""
    connections = [await Connection.open(server.target) for _ in range(load.connections)]
    try:
        path = await _prepare(connections, load)
        costs = {}
        filled = 0
        for count in load.stored:
            await _fill(connections, filled, count)
            filled = count
            costs[count] = await _cost(server, connections, path, load)
        return _figures("stored", costs)
    finally:
        for connection in connections:
            connection.close()


async def measure_watches(server: Server, load: FlatnessLoad) -> Figures:
    """Measure with more and more watches on other namespaces; returns cost and ratio for each."""
    connections = [await Connection.open(server.target) for _ in range(load.connections)]
    idle: list[ssl.SSLSocket] = []
    try:
        path = await _prepare(connections, load)
        costs = {}
        for count in load.watches:
            listed = orjson.loads(await connections[0].expect(200, "GET", f"{path}?limit=1"))
            query = f"watch=1&resourceVersion={listed['metadata']['resourceVersion']}"
            for number in range(len(idle), count):
                away = f"/api/v1/namespaces/idle-{number}/configmaps?{query}"
                watch, _ = await asyncio.to_thread(open_idle_watch, server.target, away)
                idle.append(watch)
            costs[count] = await _cost(server, connections, path, load)
        return _figures("watches", costs)
    finally:
        for watch in idle:
            watch.close()
        for connection in connections:
            connection.close()


async def _prepare(connections: list[Connection], load: FlatnessLoad) -> str:
    """Create a namespace and write there unmeasured; returns the path of its ConfigMaps."""
    namespace = f"flat-{uuid4().hex[:8]}"
    await create_namespace(connections[0], namespace)
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    await _write(connections, path, load.objects // 4)
    return path


async def _fill(connections: list[Connection], filled: int, count: int) -> None:
    async def create(connection: Connection, number: int) -> None:
        at = filled + number
        path = f"/api/v1/namespaces/stored-{at // NAMESPACE_SIZE}/configmaps"
        await connection.expect(201, "POST", path, configmap(f"c{at}", {"k": "v" * 200}))

    for number in range(-(-filled // NAMESPACE_SIZE), -(-count // NAMESPACE_SIZE)):
        await create_namespace(connections[0], f"stored-{number}")
    await spread(connections, count - filled, create)


async def _write(connections: list[Connection], path: str, objects: int) -> None:
    """Create, update and delete so many objects."""

    async def create(connection: Connection, number: int) -> None:
        await connection.expect(201, "POST", path, configmap(f"c{number}", {"k": "v" * 200}))

    async def update(connection: Connection, number: int) -> None:
        body = configmap(f"c{number}", {"k": "w" * 200})
        await connection.expect(200, "PUT", f"{path}/c{number}", body)

    async def delete(connection: Connection, number: int) -> None:
        await connection.expect(200, "DELETE", f"{path}/c{number}")

    for work in (create, update, delete):
        await spread(connections, objects, work)


async def _cost(
    server: Server, connections: list[Connection], path: str, load: FlatnessLoad
) -> tuple[float, float]:
    """Return processor seconds and elapsed seconds for one write."""
    cpu, began = server.cpu_seconds(), time.perf_counter()
    await _write(connections, path, load.objects)
    seconds = time.perf_counter() - began
    cost = server.cpu_seconds() - cpu
    if not cost:
        raise ServerError("too few writes to see their cost in processor time")
    return cost / load.objects / 3, seconds / load.objects / 3


def _figures(name: str, costs: dict[int, tuple[float, float]]) -> Figures:
    first_cpu, first_elapsed = next(iter(costs.values()))
    figures: Figures = {}
    for position, (cpu, elapsed) in enumerate(costs.values()):
        figures[f"{name}_{position}_us"] = cpu * 1e6
        figures[f"{name}_{position}_ratio"] = cpu / first_cpu
        figures[f"{name}_{position}_elapsed_ratio"] = elapsed / first_elapsed
    return figures
