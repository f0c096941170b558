"""Whatever a connection does, the plane lives, nothing half-done is stored, and other clients notice nothing."""

import asyncio
import socket
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any

import orjson
import pytest

from tests.histories.conftest import DEADLINE, Abused, opened_watch
from tests.histories.traffic import EVERYTHING, record
from tests.histories.validators import report, violations
from tests.histories.wire import JSON, Server, Wire, connected

PATH = "/api/v1/namespaces/default/configmaps"
BODY = orjson.dumps({"metadata": {"name": "abused"}, "data": {"text": "x" * 2000}})
TOO_LARGE = orjson.dumps({"metadata": {"name": "abused"}, "data": {"text": "x" * 3 * 1024 * 1024}})


def _chunked(server: Server, *, length: str = "") -> bytes:
    request = server.request("POST", PATH, Content_Type=JSON, Transfer_Encoding="chunked")
    return request[:-2] + (f"Content-Length: {length}\r\n" if length else "").encode() + b"\r\n"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


# Requests that are refused


@pytest.mark.parametrize(
    ("request_of", "status"),
    [
        pytest.param(
            lambda server: server.request("GET", "/" + "a" * 20_000), 400, id="an endless line"
        ),
        pytest.param(
            lambda server: server.request("GET", PATH, X_Long="a" * 20_000),
            400,
            id="an endless header",
        ),
        pytest.param(
            lambda server: server.request("GET", PATH)[:-2] + b"X-More: 1\r\n" * 500 + b"\r\n",
            400,
            id="too many headers",
        ),
        pytest.param(
            lambda server: server.request("POST", PATH, Content_Length="-5"),
            400,
            id="a negative length",
        ),
        pytest.param(
            lambda server: server.request("POST", PATH, Content_Length="5", CONTENT_LENGTH="6"),
            400,
            id="two lengths",
        ),
        pytest.param(
            lambda server: _chunked(server, length="5"),
            400,
            id="a length and chunks",
        ),
        pytest.param(
            lambda server: _chunked(server) + b"many\r\nx\r\n",
            400,
            id="a chunk without a size",
        ),
        pytest.param(lambda _: b"\x00\x01 garbage \xff\r\n\r\n", 400, id="no HTTP at all"),
        pytest.param(
            lambda server: server.request(
                "POST", PATH, b"plainly no gzip", Content_Encoding="gzip"
            ),
            400,
            id="a body that is not encoded as it says",
        ),
        pytest.param(lambda server: server.request("POST", PATH, TOO_LARGE), 413, id="a huge body"),
        pytest.param(
            lambda server: _chunked(server) + _chunk(b"x" * 65536) * 60,
            413,
            id="chunks without end",
        ),
        pytest.param(
            lambda server: server.request("POST", PATH, BODY[:-1]), 400, id="half a JSON value"
        ),
    ],
)
async def test_malformed_request_is_refused(
    abused: Abused,
    capsys: pytest.CaptureFixture[str],
    request_of: Callable[[Server], bytes],
    status: int,
) -> None:
    """The client is told that it was wrong, the log does not blame the server, and the next client is served."""
    async with asyncio.timeout(DEADLINE), connected(abused.server) as wire:
        wire.send(request_of(abused.server))
        answer = await wire.answer()
    assert answer.status == status, answer.body
    assert "request failed" not in capsys.readouterr().err
    assert await abused.names(PATH) == []


async def test_credential_in_a_malformed_header_stays_out_of_the_log(
    abused: Abused, caplog: pytest.LogCaptureFixture
) -> None:
    """No token goes to any log, not even one that came with a byte that headers cannot have."""
    async with connected(abused.server) as wire:
        wire.send(abused.server.request("GET", PATH, Authorization="Bearer very-secret\x01"))
        assert (await wire.answer()).status == 400
    assert "very-secret" not in caplog.text


async def test_pipelined_requests_are_answered_in_order(abused: Abused) -> None:
    """Requests that come together are as good as ones that come one by one."""
    async with connected(abused.server) as wire:
        create = abused.server.request("POST", PATH, BODY)
        get = abused.server.request("GET", f"{PATH}/abused")
        wire.send(create + get + create)
        assert [(await wire.answer()).status for _ in range(3)] == [201, 200, 409]


async def test_garbage_behind_an_answered_request_ends_the_connection_alone(abused: Abused) -> None:
    """What was acknowledged before the garbage is stored; what comes after it is not looked at."""
    async with connected(abused.server) as wire:
        assert (await wire.call("POST", PATH, BODY)).status == 201
        wire.send(b"\x00garbage\r\n\r\n" + abused.server.request("DELETE", f"{PATH}/abused"))
        said = await wire.closed()
    assert b" 400 " in said.partition(b"\r\n")[0]
    assert await abused.names(PATH) == ["abused"]


# Connections that break


async def _cut_in_the_body(server: Server) -> None:
    async with connected(server) as wire:
        wire.send(server.request("POST", PATH, BODY)[:-500])
        await _turns()


async def _cut_between_chunks(server: Server) -> None:
    async with connected(server) as wire:
        wire.send(_chunked(server) + _chunk(BODY))
        await _turns()


async def _cut_after_the_headers(server: Server) -> None:
    async with connected(server) as wire:
        wire.send(server.request("POST", PATH, Content_Type=JSON, Content_Length="2000"))
        await _turns()


async def _cut_within_the_headers(server: Server) -> None:
    async with connected(server) as wire:
        wire.send(server.request("GET", PATH)[:-10])
        await _turns()


async def _half_closed_in_the_body(server: Server) -> None:
    async with connected(server) as wire:
        wire.send(server.request("POST", PATH, BODY)[:-500])
        _close_writing(wire)
        await wire.closed()


async def _half_closed_after_a_get(server: Server) -> None:
    async with connected(server) as wire:
        wire.send(server.request("GET", PATH))
        _close_writing(wire)
        await wire.closed()


async def _half_closed_watch(server: Server) -> None:
    async with connected(server) as wire:
        await opened_watch(wire, f"{PATH}?watch=1")
        _close_writing(wire)
        await wire.closed()


async def _cut_answer(server: Server) -> None:
    async with connected(server) as wire:
        wire.send(server.request("GET", PATH))
        await wire.head()


async def _cut_watch(server: Server) -> None:
    async with connected(server) as wire:
        await opened_watch(wire, f"{PATH}?watch=1")


async def _watch_that_nobody_waits_for(server: Server) -> None:
    async with connected(server) as wire:
        wire.send(server.request("GET", f"{PATH}?watch=1"))


async def _garbage_behind_a_watch(server: Server) -> None:
    async with connected(server) as wire:
        await opened_watch(wire, f"{PATH}?watch=1")
        wire.send(b"\x00garbage\r\n\r\n")
        await _turns()


async def _garbage_instead_of_tls(server: Server) -> None:
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    await reader.read()
    writer.transport.abort()


async def _cut_within_the_handshake(server: Server) -> None:
    _, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(b"\x16\x03\x01\x02\x00\x01")
    await _turns()
    writer.transport.abort()


async def _refused_body(server: Server) -> None:
    async with connected(server) as wire:
        wire.send(server.request("POST", PATH, TOO_LARGE))
        assert (await wire.answer()).status == 413


async def _turns() -> None:
    """Gives the server time to take up what was sent."""
    for _ in range(20):
        await asyncio.sleep(0)


def _close_writing(wire: Wire) -> None:
    wire.transport.get_extra_info("socket").shutdown(socket.SHUT_WR)


Abuse = Callable[[Server], Coroutine[Any, Any, None]]
ABUSES: Mapping[str, Abuse] = {
    "cut in the middle of a body": _cut_in_the_body,
    "cut between the chunks of a body": _cut_between_chunks,
    "cut right after the headers": _cut_after_the_headers,
    "cut within the headers": _cut_within_the_headers,
    "half-closed in the middle of a body": _half_closed_in_the_body,
    "half-closed after a request": _half_closed_after_a_get,
    "half-closed while watching": _half_closed_watch,
    "cut after the headers of the answer": _cut_answer,
    "a watch cut after its headers": _cut_watch,
    "a watch cut before its headers": _watch_that_nobody_waits_for,
    "garbage sent behind a watch": _garbage_behind_a_watch,
    "no TLS": _garbage_instead_of_tls,
    "cut within the TLS handshake": _cut_within_the_handshake,
    "a body beyond the limit": _refused_body,
}


@pytest.mark.parametrize("abuse", [pytest.param(ABUSES[name], id=name) for name in ABUSES])
async def test_broken_connection_leaves_nothing_behind(
    abused: Abused, capsys: pytest.CaptureFixture[str], abuse: Abuse
) -> None:
    """Nothing half-sent is stored, no watch and no request stays open, and the log does not blame the server."""
    async with asyncio.timeout(DEADLINE):
        for _ in range(3):
            await abuse(abused.server)
    await abused.until(lambda: not abused.in_flight)
    assert await abused.watches() == 0
    assert await abused.names(PATH) == []
    assert "request failed" not in capsys.readouterr().err


async def test_half_closed_write_happens_whole_or_not_at_all(abused: Abused) -> None:
    """Who stops writing after a whole request may not hear of it; it was done all the same, or it was not."""
    async with connected(abused.server) as wire:
        wire.send(abused.server.request("POST", PATH, BODY))
        _close_writing(wire)
        said = await wire.closed()
    async with connected(abused.server) as wire:
        answer = await wire.call("GET", f"{PATH}/abused")
    if answer.status == 200:
        assert answer.json()["data"] == orjson.loads(BODY)["data"]
    else:
        assert answer.status == 404
        assert b" 201 " not in said


async def test_other_clients_notice_nothing() -> None:
    """While connections break in every way at once, the history of everybody else keeps every promise."""

    async def all_at_once(server: Server) -> None:
        for _ in range(3):
            async with asyncio.TaskGroup() as group:
                for abuse in ABUSES.values():
                    group.create_task(abuse(server))

    history = await record(1, replace(EVERYTHING, steps=15), all_at_once)
    found = violations(history)
    assert not found, report(history, found)
