"""What formats and kinds of writes cost: protobuf beside JSON, applies, merges, custom objects beside ConfigMaps.

Generated Go clients ask for protobuf, operators apply and keep custom objects. What is compared is
done in turns in one run, and compared by the CPU time of the server: other work on the machine
slows both down, and hardly changes what they need.
"""

import asyncio
import dataclasses
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import orjson

from bench.api import configmap, create_namespace, spread
from bench.raw_client import Connection, ProtocolError, Target, open_idle_watch
from bench.servers import Server

Figures = dict[str, float]
Cost = tuple[float, float]
"""CPU of the server and elapsed time, in seconds."""

PROTOBUF = "application/vnd.kubernetes.protobuf"
FIELDS = 200
"""Of the schema."""
GROUP = "bench.verger.test"
DELIVERY_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class FormatLoad:
    """How much of each in one turn, and how many turns."""

    objects: int = 1000
    lists: int = 50
    watchers: int = 30
    updates: int = 200
    writes: int = 1000
    connections: int = 8
    turns: int = 3


async def measure(server: Server, load: FormatLoad) -> Figures:
    """Run all pairs in turns; returns the figures by name.

    Raises ProtocolError at a wrong answer, OSError at a lost connection, TimeoutError when events do not come.
    """
    bench = _Bench(server, load, f"bench-{uuid4().hex[:12]}")
    return await bench.run()


class _Bench:
    """One namespace of one server, and what things cost there."""

    def __init__(self, server: Server, load: FormatLoad, namespace: str) -> None:
        self._server = server
        self._target = server.target
        self._load = load
        self._namespace = namespace
        self._path = f"/api/v1/namespaces/{namespace}/configmaps"
        self._costs: dict[str, list[Cost]] = {}
        self._number = 0

    async def run(self) -> Figures:
        connection = await Connection.open(self._target)
        try:
            await create_namespace(connection, self._namespace)
            await create_namespace(connection, f"{self._namespace}-large")
            await self._define(connection)
        finally:
            connection.close()
        await self._writes("json_create", self._target, self._path, self._small)
        for _ in range(self._load.turns):
            for name, accept in (("json", "application/json"), ("protobuf", PROTOBUF)):
                target = _asking(self._target, accept)
                # Lists go first: the first one encodes what was written since, as an informer's would.
                await self._lists(f"{name}_list", target)
                await self._gets(f"{name}_get", target)
                await self._watch(f"{name}_watch", target)
            await self._patches()
            await self._creates()
        return self._figures()

    def _figures(self) -> Figures:
        load = self._load
        units = {
            "get": load.objects,
            "list": load.lists,
            "watch": load.updates * load.watchers,
            "apply": load.writes,
            "strategic": load.writes,
            "custom_create": load.writes,
            "plain_create": load.writes,
        }
        figures: Figures = {}
        for name, costs in self._costs.items():
            unit = units.get(name) or units.get(name.partition("_")[2])
            if unit is None:
                continue
            figures[f"{name}_us"] = statistics.median(cpu for cpu, _ in costs) / unit * 1e6
            figures[f"{name}_per_s"] = unit / statistics.median(took for _, took in costs)
        for share, one, other in (
            ("protobuf_get_share", "json_get", "protobuf_get"),
            ("protobuf_list_share", "json_list", "protobuf_list"),
            ("protobuf_watch_share", "json_watch", "protobuf_watch"),
            ("custom_share", "plain_create", "custom_create"),
        ):
            pairs = zip(self._costs[one], self._costs[other], strict=True)
            figures[share] = statistics.median(left / right for (left, _), (right, _) in pairs)
        return figures

    async def _cost(self, name: str, work: Callable[[], Awaitable[object]]) -> None:
        cpu, began = self._server.cpu_seconds(), time.perf_counter()
        await work()
        took = time.perf_counter() - began
        self._costs.setdefault(name, []).append((self._server.cpu_seconds() - cpu, took))

    async def _spread(
        self, target: Target, count: int, work: Callable[[Connection, int], Awaitable[object]]
    ) -> Callable[[], Awaitable[object]]:
        """Work on connections that are open already."""
        connections = [await Connection.open(target) for _ in range(self._load.connections)]

        async def run() -> None:
            try:
                await spread(connections, count, work)
            finally:
                for connection in connections:
                    connection.close()

        return run

    # Reads

    async def _gets(self, name: str, target: Target) -> None:
        async def get(connection: Connection, number: int) -> None:
            await connection.expect(200, "GET", f"{self._path}/c{number}")

        await self._cost(name, await self._spread(target, self._load.objects, get))

    async def _lists(self, name: str, target: Target) -> None:
        async def read(connection: Connection, _: int) -> None:
            await connection.expect(200, "GET", self._path)

        await self._cost(name, await self._spread(target, self._load.lists, read))

    async def _watch(self, name: str, target: Target) -> None:
        """Updates as fast as the server answers, until every watcher has the last one. Bytes are counted, not read."""
        writer = await Connection.open(self._target)
        listed = orjson.loads(await writer.expect(200, "GET", f"{self._path}?limit=1"))
        revision = listed["metadata"]["resourceVersion"]
        path = f"{self._path}?watch=1&resourceVersion={revision}"
        last = f"end-{uuid4().hex}"
        loop = asyncio.get_running_loop()
        async with AsyncExitStack() as stack:
            stack.callback(writer.close)
            ends = []
            for _ in range(self._load.watchers):
                connection, first = await asyncio.to_thread(open_idle_watch, target, path)
                stack.callback(connection.close)
                connection.settimeout(DELIVERY_TIMEOUT)
                ends.append((connection, first))

            async def deliver() -> None:
                readers = [
                    loop.run_in_executor(None, _read_until, connection, first, last.encode())
                    for connection, first in ends
                ]
                for number in range(self._load.updates):
                    value = last if number == self._load.updates - 1 else f"{last}-{number}"[4:]
                    body = configmap(f"c{number % self._load.objects}", {"s": value})
                    where = f"{self._path}/c{number % self._load.objects}"
                    await writer.expect(200, "PUT", where, body)
                await asyncio.gather(*readers)

            await self._cost(name, deliver)

    # Writes

    def _small(self, number: int) -> bytes:
        return configmap(f"c{number}", {"k": "v" * 200})

    async def _writes(
        self, name: str, target: Target, path: str, body: Callable[[int], bytes]
    ) -> None:
        async def create(connection: Connection, number: int) -> None:
            await connection.expect(201, "POST", path, body(number))

        await self._cost(name, await self._spread(target, self._load.writes, create))

    async def _patches(self) -> None:
        self._number += 1
        turn = str(self._number)
        apply = dataclasses.replace(self._target, content_type="application/apply-patch+yaml")
        media = "application/strategic-merge-patch+json"
        strategic = dataclasses.replace(self._target, content_type=media)

        async def applied(connection: Connection, number: int) -> None:
            path = f"{self._path}/c{number}?fieldManager=bench&force=true"
            body = configmap(f"c{number}", {"applied": turn})
            await connection.expect(200, "PATCH", path, body)

        async def merged(connection: Connection, number: int) -> None:
            body = orjson.dumps({"data": {"merged": turn}})
            await connection.expect(200, "PATCH", f"{self._path}/c{number}", body)

        await self._cost("apply", await self._spread(apply, self._load.writes, applied))
        await self._cost("strategic", await self._spread(strategic, self._load.writes, merged))

    async def _creates(self) -> None:
        turn = self._number
        things = f"/apis/{GROUP}/v1/namespaces/{self._namespace}/things"
        maps = self._path.replace(self._namespace, f"{self._namespace}-large")
        spec = _filled()
        flat = {
            f"{group}.{name}": str(value)
            for group, fields in spec.items()
            for name, value in fields.items()
        }

        def plain(number: int) -> bytes:
            return configmap(f"p{turn}-{number}", flat)

        def custom(number: int) -> bytes:
            metadata = {"name": f"t{turn}-{number}"}
            body = {"apiVersion": f"{GROUP}/v1", "kind": "Thing", "metadata": metadata}
            return orjson.dumps({**body, "spec": spec})

        await self._writes("plain_create", self._target, maps, plain)
        await self._writes("custom_create", self._target, things, custom)

    async def _define(self, connection: Connection) -> None:
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        names = {"plural": "things", "kind": "Thing"}
        schema = {"openAPIV3Schema": _schema()}
        version = {"name": "v1", "served": True, "storage": True, "schema": schema}
        spec = {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]}
        body = {"metadata": {"name": f"things.{GROUP}"}, "spec": spec}
        await connection.expect(201, "POST", path, orjson.dumps(body))
        for _ in range(500):
            if (await connection.call("GET", f"/apis/{GROUP}/v1/things")).status == 200:
                return
            await asyncio.sleep(0.01)
        raise ProtocolError("the new kind is not served")


def _asking(target: Target, accept: str) -> Target:
    headers = target.headers.replace(b"Accept: application/json", f"Accept: {accept}".encode())
    return dataclasses.replace(target, headers=headers)


def _read_until(connection: Any, first: bytes, mark: bytes) -> None:
    """Reads until the mark has come. Raises ConnectionResetError and TimeoutError when it does not."""
    kept = first
    while mark not in kept:
        data = connection.recv(1 << 16)
        if not data:
            raise ConnectionResetError("the server ended a watch")
        kept = kept[-len(mark) :] + data


def _kinds() -> list[tuple[dict[str, Any], Any]]:
    """Fields as definitions have them, and values that fit."""
    return [
        ({"type": "string", "maxLength": 40, "pattern": "^[a-z0-9-]+$"}, "some-value-of-a-field"),
        ({"type": "integer", "minimum": 0, "maximum": 65535}, 8080),
        ({"type": "string", "enum": ["Always", "Never", "IfNotPresent"]}, "IfNotPresent"),
        ({"type": "boolean", "default": False}, True),
        ({"type": "string", "format": "date-time"}, "2024-01-02T03:04:05Z"),
    ]


def _fields(choose: Callable[[tuple[dict[str, Any], Any]], Any]) -> dict[str, dict[str, Any]]:
    kinds = _kinds()
    groups = FIELDS // 20
    return {
        f"part{group}": {f"field{n}": choose(kinds[n % len(kinds)]) for n in range(20)}
        for group in range(groups)
    }


def _schema() -> dict[str, Any]:
    parts = _fields(lambda pair: pair[0])
    below = {name: {"type": "object", "properties": fields} for name, fields in parts.items()}
    return {"type": "object", "properties": {"spec": {"type": "object", "properties": below}}}


def _filled() -> dict[str, dict[str, Any]]:
    return _fields(lambda pair: pair[1])
