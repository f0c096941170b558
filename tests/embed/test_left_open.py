"""A plane that nobody stops is told of: what is left open in one test is the trouble of another."""

import asyncio
import gc
import socket
import threading
import warnings

import pytest
from verger.embed import BlockingPlane, ControlPlane


def told(caught: list[warnings.WarningMessage]) -> list[str]:
    return [str(one.message) for one in caught if one.category is ResourceWarning]


def test_plane_that_was_not_stopped_is_told_of() -> None:
    """Its loop has ended it, and the warning says which it was."""

    async def forgetful() -> str:
        plane = ControlPlane()
        await plane.start()
        return plane.url

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        url = asyncio.run(forgetful())
        gc.collect()
    assert told(caught) == [f"the plane at {url} was not stopped"]


def test_plane_in_a_thread_that_was_not_stopped_is_told_of_and_stopped() -> None:
    """Nobody could stop it any more, so its thread does."""
    before = set(threading.enumerate())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        plane = BlockingPlane()
        plane.start()
        url = plane.url
        (thread,) = set(threading.enumerate()) - before
        del plane
        gc.collect()
        thread.join(30)
    assert not thread.is_alive()
    assert told(caught) == [f"the plane at {url} was not stopped"]


def test_planes_that_were_stopped_or_never_were_are_not_told_of() -> None:
    """Options that are wrong, a start that failed, and the end of `with`."""

    async def orderly() -> None:
        async with ControlPlane() as plane:
            assert plane.url
        with pytest.raises(TypeError):
            ControlPlane(nonsense=1)
        with pytest.raises(Exception, match="nonsense"):
            await ControlPlane(controllers=("nonsense",)).start()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        asyncio.run(orderly())
        with BlockingPlane():
            pass
        with pytest.raises(TypeError):
            BlockingPlane(nonsense=1)
        gc.collect()
    assert told(caught) == []


def test_stop_leaves_no_connection_half_made(caplog: pytest.LogCaptureFixture) -> None:
    """A client that is greeted when the plane stops is forgotten without a word in the log of the event loop."""
    with BlockingPlane() as plane:
        host, _, port = plane.url.removeprefix("https://").partition(":")
        half = socket.create_connection((host, int(port)))
        plane.settle()
    half.close()
    gc.collect()
    assert caplog.text == ""
