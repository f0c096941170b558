"""What systemd is told, by a real socket: that the daemon is ready, that it lives, and that it ends."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from verger.embed.supervisor import Supervisor
from verger.watch.clock import FakeClock


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[socket.socket]:
    """The socket that a unit's service manager listens on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.setblocking(False)
        yield receiver


def all_of(heard: socket.socket) -> list[str]:
    """What has been said since the last look."""
    said = []
    with contextlib.suppress(BlockingIOError):
        while True:
            said.append(heard.recv(4096).decode())
    return said


def test_states_are_one_message(heard: socket.socket) -> None:
    """What belongs together comes together, a line for each."""
    supervisor = Supervisor({"NOTIFY_SOCKET": heard.getsockname()}, FakeClock())
    supervisor.tell("READY=1", "STATUS=at work")
    assert all_of(heard) == ["READY=1\nSTATUS=at work"]


def test_abstract_socket() -> None:
    """An at sign stands for the zero byte of a name without a file."""
    name = f"verger-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(f"\0{name}")
        receiver.setblocking(False)
        Supervisor({"NOTIFY_SOCKET": f"@{name}"}, FakeClock()).tell("READY=1")
        assert all_of(receiver) == ["READY=1"]


@pytest.mark.parametrize(
    "environment", [{}, {"NOTIFY_SOCKET": "/nowhere/at/all"}], ids=["no socket", "one that is gone"]
)
async def test_nobody_listens(environment: dict[str, str]) -> None:
    """Nothing is told, and nothing fails."""
    supervisor = Supervisor(environment, FakeClock())
    supervisor.tell("READY=1")
    async with asyncio.timeout(10):
        await supervisor.watch(lambda: True)


async def test_signs_of_life(heard: socket.socket) -> None:
    """Twice in the time that is allowed, and none while something is wrong."""
    clock = FakeClock()
    environment = {"NOTIFY_SOCKET": heard.getsockname(), "WATCHDOG_USEC": "60000000"}
    supervisor = Supervisor(environment, clock)
    assert supervisor.period == 30
    well = True
    watching = asyncio.create_task(supervisor.watch(lambda: well))
    await clock.advance(0)
    assert all_of(heard) == ["WATCHDOG=1"]
    await clock.advance(60)
    assert all_of(heard) == ["WATCHDOG=1"] * 2
    well = False
    await clock.advance(60)
    assert all_of(heard) == []
    watching.cancel()


@pytest.mark.parametrize(
    ("variables", "period"),
    [
        pytest.param({}, 0, id="no watchdog"),
        pytest.param({"WATCHDOG_USEC": "soon"}, 0, id="no number"),
        pytest.param({"WATCHDOG_USEC": "2000000"}, 1, id="half the time"),
        pytest.param({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "1"}, 0, id="of another process"),
        pytest.param(
            {"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": str(os.getpid())}, 1, id="of this process"
        ),
    ],
)
def test_how_often(variables: dict[str, str], period: float) -> None:
    """The unit says how often, and to whom it says so."""
    environment = {"NOTIFY_SOCKET": "/run/notify", **variables}
    assert Supervisor(environment, FakeClock()).period == period
    assert Supervisor(variables, FakeClock()).period == 0
