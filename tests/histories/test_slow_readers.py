"""A reader that stops reading hurts only itself: not writers, not the memory, not other watchers, not the plane's end."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final

import orjson
from verger.apiserver.watching import TICK
from verger.store.client import Client

from tests.histories.conftest import DEADLINE, Abused, opened_watch
from tests.histories.traffic import backend_of
from tests.histories.wire import Wire, connected

PATH = "/api/v1/namespaces/default/configmaps?watch=1"
SIZE: Final = 100_000
"""Bytes of an object: far fewer of them are needed to fill what the kernel keeps for a connection."""
STALL: Final = 120
"""Events that no kernel buffer holds: 12 MB."""
HELD_MAX: Final = 4 * 1024 * 1024
"""Bytes that the server may hold for one client that does not read: a few events, and never all of them."""


async def _write(abused: Abused, count: int, *, first: int = 0) -> None:
    """Creates an object and changes it over and over; watches get their turns."""
    client: Client = abused.plane.client
    kind = abused.plane.kinds.core("ConfigMap")
    for number in range(first, first + count):
        obj = {
            "metadata": {"name": "a", "namespace": "default"},
            "data": {"n": str(number), "text": "x" * SIZE},
        }
        await (client.update(kind, obj) if number else client.create(kind, obj))
        await asyncio.sleep(0)


@asynccontextmanager
async def _stalled(abused: Abused, query: str = "") -> AsyncIterator[Wire]:
    """A watch whose client has stopped reading, after more has happened than any buffer takes."""
    async with connected(abused.server, receive_buffer=4096) as wire:
        await opened_watch(wire, PATH + query)
        wire.transport.pause_reading()
        await _write(abused, STALL)
        assert abused.buffered() > 0
        yield wire


async def _events(wire: Wire) -> AsyncIterator[tuple[str, Any]]:
    async with asyncio.timeout(DEADLINE):
        async for line in wire.lines():
            event = orjson.loads(line)
            yield event["type"], event["object"]


def _at_once(coroutine: Coroutine[Any, Any, object]) -> None:
    """Runs a coroutine that has nothing to wait for."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise AssertionError("it waits for somebody")


async def test_writer_waits_for_no_reader(abused: Abused) -> None:
    """A write takes not a single turn of the event loop, however far behind a watcher is."""
    async with _stalled(abused):
        obj = {"metadata": {"name": "a", "namespace": "default"}, "data": {"n": "last"}}
        _at_once(abused.plane.client.update(abused.plane.kinds.core("ConfigMap"), obj))


async def test_other_watchers_are_told_everything_meanwhile(abused: Abused) -> None:
    """A watcher beside one that does not read gets every event."""
    async with connected(abused.server) as healthy:
        await opened_watch(healthy, PATH)
        async with _stalled(abused):
            numbers = []
            async for _, obj in _events(healthy):
                numbers.append(int(obj["data"]["n"]))
                if len(numbers) == STALL:
                    break
    assert numbers == list(range(STALL))


async def test_what_is_held_for_a_stalled_reader_is_bounded(abused: Abused) -> None:
    """The server holds little for who does not read, and no more for more events."""
    async with _stalled(abused):
        held = abused.buffered()
        await _write(abused, STALL, first=STALL)
        assert abused.buffered() == held
    assert held <= HELD_MAX


async def test_what_is_held_for_a_slow_reader_is_bounded(abused: Abused) -> None:
    """Who reads again after a while gets what it missed piece by piece; the server never holds all of it."""
    async with _stalled(abused) as wire:
        wire.transport.resume_reading()
        most = 0
        async for _, obj in _events(wire):
            most = max(most, abused.buffered())
            if obj["data"]["n"] == str(STALL - 1):
                break
    assert most <= HELD_MAX


async def test_stalled_reader_is_disconnected(abused: Abused) -> None:
    """Who reads nothing for a while is given up; who has nothing to read is not."""
    async with connected(abused.server) as idle, _stalled(abused) as wire:
        await opened_watch(idle, "/api/v1/secrets?watch=1&timeoutSeconds=9000")
        assert await abused.watches() == 2
        for _ in range(3):
            await abused.clock.advance(TICK)
        assert await abused.watches() == 1
        wire.transport.resume_reading()
        await wire.closed()
        secret = {"metadata": {"name": "b", "namespace": "default"}}
        await abused.plane.client.create(abused.plane.kinds.core("Secret"), secret)
        async for type_, obj in _events(idle):
            assert (type_, obj["metadata"]["name"]) == ("ADDED", "b")
            break


async def test_slow_reader_is_not_disconnected(abused: Abused) -> None:
    """Who reads a megabyte in half a minute, while half a megabyte happens, has read something and is catching up."""
    async with _stalled(abused) as wire:
        written = STALL
        for _ in range(10):
            async with asyncio.timeout(DEADLINE):
                wire.transport.resume_reading()
                await wire.reader.readexactly(1_000_000)
                wire.transport.pause_reading()
            await _write(abused, 5, first=written)
            written += 5
            await abused.clock.advance(TICK / 2)
        assert await abused.watches() == 1


async def test_late_reader_is_told_that_history_is_gone(abused: Abused) -> None:
    """Who reads on after its history has been compacted gets what was on the way, then a 410, then the end."""
    async with _stalled(abused) as wire:
        backend = backend_of(abused.plane)
        backend.compact(backend.revision)
        wire.transport.resume_reading()
        seen = [event async for event in _events(wire)]
    (last, status), told = seen[-1], seen[:-1]
    numbers = [int(obj["data"]["n"]) for _, obj in told]
    assert (last, status["code"], status["reason"]) == ("ERROR", 410, "Expired")
    assert numbers == list(range(len(numbers)))
    assert [type_ for type_, _ in told] == ["ADDED", *["MODIFIED"] * (len(told) - 1)]


async def test_answers_that_nobody_reads_are_held_back(abused: Abused) -> None:
    """A client that asks and asks, and does not read, is answered no further than it reads."""
    # Shorter than what aiohttp writes without a look at the client.
    obj = {"metadata": {"name": "a", "namespace": "default"}, "data": {"text": "x" * 50_000}}
    await abused.plane.client.create(abused.plane.kinds.core("ConfigMap"), obj)
    get = abused.server.request("GET", "/api/v1/namespaces/default/configmaps/a")
    async with connected(abused.server, receive_buffer=4096) as wire:
        wire.transport.pause_reading()
        for _ in range(300):  # 15 MB of answers
            wire.send(get)
            await asyncio.sleep(0)
        for _ in range(20_000):
            await asyncio.sleep(0)
        assert abused.buffered() < HELD_MAX
