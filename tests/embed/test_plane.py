"""embed/plane.py: a plane starts ready, stops without a trace, and shares nothing with others."""

import asyncio
import contextlib
import gc
import os
import select
import socket
import ssl
import stat
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from verger.controllers.runner import Runner
from verger.embed import ControlPlane, PlaneOptions, StartError
from verger.store.errors import NotFound
from verger.watch.clock import FakeClock

from tests.embed.conftest import DEADLINE, Belongings, connect, status_of, token_of

Look = Callable[[], Belongings]


async def test_started_plane_is_ready() -> None:
    """Whoever has started a plane need not wait for anything more."""
    async with ControlPlane() as plane:
        assert await status_of(plane, "/readyz") == 200
        for name in plane.controllers.names:
            assert plane.controllers.synced(name), name


async def test_namespace_gets_its_account_and_token() -> None:
    """The reason why there are planes at all."""
    async with ControlPlane() as plane:
        await plane.client.create(plane.kinds.core("Namespace"), {"metadata": {"name": "a"}})
        assert (await token_of(plane, "a")).keys() == {"ca.crt", "namespace", "token"}


# Start and stop


async def test_plane_is_started_once_at_a_time() -> None:
    """A second start of a plane that runs is a mistake, and does it no harm."""
    plane = ControlPlane()
    await plane.start()
    with pytest.raises(RuntimeError, match="started already"):
        await plane.start()
    assert await status_of(plane, "/readyz") == 200
    await plane.stop()


async def test_stopping_twice_is_harmless() -> None:
    """Before a start and after a stop there is nothing to stop."""
    plane = ControlPlane()
    await plane.stop()
    await plane.start()
    await plane.stop()
    await plane.stop()


async def test_plane_that_was_stopped_can_be_started_again() -> None:
    """It is a new one then: empty, ready, and with a token of its own."""
    plane = ControlPlane()
    await plane.start()
    first = plane.token
    await plane.client.create(plane.kinds.core("Namespace"), {"metadata": {"name": "a"}})
    await plane.stop()
    await plane.start()
    assert await status_of(plane, "/readyz") == 200
    assert plane.token != first
    with pytest.raises(NotFound):
        await plane.client.get(plane.kinds.core("Namespace"), "a")
    await plane.stop()


async def test_plane_is_started_and_stopped_by_different_tasks() -> None:
    """Fixtures of test frameworks do so: nothing in a plane is bound to the task that started it."""
    plane = ControlPlane()
    await asyncio.create_task(plane.start())
    assert await status_of(plane, "/readyz") == 200
    await asyncio.create_task(plane.stop())
    with pytest.raises(ConnectionRefusedError):
        await connect(plane)


async def test_stop_by_several_tasks_at_once_is_one_stop() -> None:
    """Whoever stops it, the plane is stopped when they go on."""
    plane = ControlPlane()
    await plane.start()
    first = asyncio.create_task(plane.stop())
    await asyncio.sleep(0)
    await plane.stop()
    assert first.done()
    with pytest.raises(ConnectionRefusedError):
        await connect(plane)


async def test_stop_does_not_wait_for_the_farewell_of_clients() -> None:
    """A connection of a pool that nobody reads is gone with the plane, whatever TLS would like to say first."""
    plane = ControlPlane()
    await plane.start()
    host, port = plane.url.removeprefix("https://").split(":")
    raw = await asyncio.to_thread(socket.create_connection, (host, int(port)))
    context = ssl.create_default_context(cadata=plane.ca.decode())
    with await asyncio.to_thread(context.wrap_socket, raw, server_hostname=host) as client:
        await plane.stop()
        poll = select.poll()
        poll.register(client, select.POLLHUP)
        # What is sent to a socket that is closed is answered by a reset.
        client.sendall(b"?")
        assert await asyncio.to_thread(poll.poll, 5000)


async def test_handshake_that_goes_on_ends_with_the_plane() -> None:
    """Whoever has connected and said nothing yet is not served by a plane that has stopped."""
    plane = ControlPlane()
    await plane.start()
    host, port = plane.url.removeprefix("https://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    assert (
        await status_of(plane, "/readyz") == 200
    )  # so that the first connection has been accepted
    await plane.stop()
    with contextlib.suppress(ConnectionResetError):
        assert await asyncio.wait_for(reader.read(), DEADLINE) == b""
    writer.close()


async def test_start_that_is_overtaken_by_a_stop_fails() -> None:
    """Nobody takes a plane for started that another task has stopped meanwhile; both hear of it when it is over."""
    plane = ControlPlane()
    starting = asyncio.create_task(plane.start())
    await asyncio.sleep(0)
    await plane.stop()
    with pytest.raises(StartError, match="stopped before"):
        await starting
    async with plane:
        assert await status_of(plane, "/readyz") == 200


async def test_exception_in_the_body_stops_the_plane() -> None:
    """`async with` lets the exception through and leaves nothing running."""
    plane = ControlPlane()
    with pytest.raises(ZeroDivisionError):
        async with plane:
            _ = 1 / 0
    with pytest.raises(ConnectionRefusedError):
        await connect(plane)


@pytest.mark.parametrize("name", ["client", "kinds", "controllers", "ca", "token"])
def test_parts_of_a_plane_that_was_not_started_are_not_there(name: str) -> None:
    """Nothing is handed out that does not work."""
    with pytest.raises(RuntimeError, match="not been started"):
        getattr(ControlPlane(), name)


class Watched(ControlPlane):
    """A plane that notes when each of its parts starts and stops, and what its port says then."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[str] = []
        self.stopped: list[str] = []
        self.readyz: dict[str, int] = {}

    def _steps(self) -> list[AbstractAsyncContextManager[None]]:
        return [self._noted(step) for step in super()._steps()]

    @asynccontextmanager
    async def _noted(self, step: Any) -> AsyncIterator[None]:
        name = step.func.__name__.strip("_")
        async with step:
            self.started.append(name)
            if self.url:
                self.readyz[name] = await status_of(self, "/readyz")
            yield
        self.stopped.append(name)


async def test_parts_stop_in_the_reverse_order_of_their_start() -> None:
    """What others stand on goes last."""
    async with Watched() as plane:
        assert plane.started == [
            "files",
            "store",
            "serving",
            "housekeeping",
            "controlling",
            "announced",
        ]
        assert plane.stopped == []
    assert plane.stopped == plane.started[::-1]


async def test_port_is_open_before_the_plane_is_ready() -> None:
    """Whoever waits for /readyz hears that it is not ready yet, instead of nothing."""
    async with Watched() as plane:
        assert plane.readyz == {
            "serving": 500,
            "housekeeping": 500,
            "controlling": 500,
            "announced": 200,
        }


# Nothing is left


async def test_stopped_plane_leaves_nothing(belongings: Look, tmp_path: Path) -> None:
    """Tasks, threads, sockets and temporary files are given back, whatever was going on."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    (tmp_path / "rsa.key").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    before = belongings()
    plane = ControlPlane(private_key_file=tmp_path / "rsa.key")
    await plane.start()
    await plane.client.create(plane.kinds.core("Namespace"), {"metadata": {"name": "a"}})
    await token_of(plane, "a")  # RSA signatures take so long that threads make them
    connection = await connect(plane)
    await connection.ask("/api/v1/secrets?watch=1", plane.token)
    assert await connection.status() == 200
    during = belongings()
    assert before.tasks < during.tasks
    assert before.threads < during.threads
    assert before.temporary < during.temporary
    await plane.stop()
    await connection.reader.read()
    await connection.close()
    assert belongings() == before


async def test_watch_that_is_open_at_the_stop_ends_in_good_order() -> None:
    """A client sees the end of the stream, and not a broken connection."""
    plane = ControlPlane()
    await plane.start()
    connection = await connect(plane)
    await connection.ask("/api/v1/namespaces?watch=1", plane.token)
    assert await connection.status() == 200
    await plane.stop()
    assert (await connection.reader.read()).endswith(b"\r\n0\r\n\r\n")
    await connection.close()


async def test_cancelled_start_leaves_nothing(belongings: Look) -> None:
    """A start that takes too long for its caller is undone, wherever it was."""
    before = belongings()
    for turns in range(0, 60, 3):
        plane = ControlPlane()
        task = asyncio.create_task(plane.start())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        await plane.stop()
        assert belongings() == before, turns


async def test_stopped_plane_is_forgotten() -> None:
    """A suite that starts thousands of planes does not grow by them."""
    plane = ControlPlane()
    async with plane:
        await status_of(plane, "/readyz")
    gone = weakref.ref(plane)
    del plane
    gc.collect()
    assert gone() is None


async def test_many_planes_do_not_meet(belongings: Look) -> None:
    """Nothing is shared: ports, tokens, authorities, objects; and all of it is given back."""
    before = belongings()
    planes = [ControlPlane() for _ in range(25)]
    await asyncio.gather(*(plane.start() for plane in planes))
    assert len({plane.url for plane in planes}) == 25
    assert len({plane.token for plane in planes}) == 25
    assert len({plane.ca for plane in planes}) == 25
    one, other = planes[0], planes[-1]
    namespaces = one.kinds.core("Namespace")
    await one.client.create(namespaces, {"metadata": {"name": "a"}})
    assert await status_of(one, "/api/v1/namespaces/a", one.token) == 200
    assert await status_of(other, "/api/v1/namespaces/a", other.token) == 404
    assert await status_of(other, "/api/v1/namespaces", one.token) == 401
    await asyncio.gather(*(plane.stop() for plane in planes))
    assert belongings() == before


# What breaks


async def test_controller_that_breaks_ends_the_plane(
    belongings: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plane without one of its controllers is no plane: it ends, and stop says why."""
    before = belongings()
    plane = ControlPlane()
    await plane.start()

    async def broken(*_: Any) -> None:
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(Runner, "_reconcile", broken)
    await plane.client.create(plane.kinds.core("Namespace"), {"metadata": {"name": "a"}})
    async with asyncio.timeout(DEADLINE):
        with pytest.raises(ExceptionGroup) as waited:
            await plane.wait()
    assert waited.group_contains(RuntimeError, match="on purpose")
    with pytest.raises(ConnectionRefusedError):
        await connect(plane)
    with pytest.raises(ExceptionGroup) as stopped:
        await plane.stop()
    assert stopped.group_contains(RuntimeError, match="on purpose")
    await plane.stop()
    assert belongings() == before


async def test_controller_that_breaks_at_the_start_fails_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A plane never says that it is ready when a controller has not seen the world."""

    async def broken(*_: Any) -> None:
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(Runner, "_work", broken)
    plane = ControlPlane()
    with pytest.raises(ExceptionGroup) as raised:
        await plane.start()
    assert raised.group_contains(RuntimeError, match="on purpose")


# Files and time


def test_kubeconfig_is_for_its_owner_alone(tmp_path: Path) -> None:
    """It holds an administrator's credentials, even where a file that anyone could read stood before, and stays."""
    path = tmp_path / "kubeconfig"
    path.write_text("old")
    path.chmod(0o644)

    async def run() -> str:
        async with ControlPlane(kubeconfig=path) as plane:
            assert plane.kubeconfig == path
            return plane.url

    url = asyncio.run(run())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert url in path.read_text()
    assert os.listdir(tmp_path) == ["kubeconfig"]


async def test_kubeconfig_without_a_place_goes_with_the_plane() -> None:
    """Nobody has to clean up behind a plane."""
    async with ControlPlane() as plane:
        path = plane.kubeconfig
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not path.parent.exists()


async def test_system_namespace_that_goes_is_back_within_a_minute() -> None:
    """Clients take them for granted. Time is the clock's, so that nobody waits for it."""
    clock = FakeClock()
    async with ControlPlane(clock=clock) as plane:
        namespaces = plane.kinds.core("Namespace")
        first = (await plane.client.get(namespaces, "kube-node-lease"))["metadata"]["uid"]
        await plane.client.delete(namespaces, "kube-node-lease")
        await clock.advance(10)
        with pytest.raises(NotFound):
            await plane.client.get(namespaces, "kube-node-lease")
        await clock.advance(60)
        assert (await plane.client.get(namespaces, "kube-node-lease"))["metadata"]["uid"] != first


# Options


def test_options_are_given_as_keywords_or_as_a_whole() -> None:
    """Keywords win over the options that they stand beside."""
    options = PlaneOptions(port=1, host="::1")
    assert ControlPlane(options).options == options
    assert ControlPlane(options, port=2).options == PlaneOptions(port=2, host="::1")
    assert ControlPlane().options == PlaneOptions()


def test_unknown_option_is_refused_with_the_known_ones() -> None:
    """A typing mistake is a mistake, and not an option without effect."""
    with pytest.raises(
        TypeError, match=r"unknown options a_port, prot; known are .*port"
    ) as raised:
        ControlPlane(prot=1, a_port=2)
    known = str(raised.value).partition("known are ")[2].split(", ")
    assert known == sorted(PlaneOptions.__dataclass_fields__)


async def test_plane_listens_on_the_address_that_was_asked_for() -> None:
    """Its URL is one that clients on this machine can use."""
    async with ControlPlane(host="0.0.0.0") as plane:
        assert plane.url.startswith("https://127.0.0.1:")
        connection = await connect(plane)
        await connection.close()
