"""When a legacy token was last used: a label on its Secret, one write a day, and nobody waits for it."""

import asyncio
from typing import Any, cast

import pytest
from verger.identity.usage import PENDING_MAX, LegacyUses
from verger.identity.validate import LAST_USED
from verger.store.errors import Forbidden, NotFound
from verger.store.kinds import built_in
from verger.store.schemas import load
from verger.watch.clock import FakeClock

TODAY, TOMORROW, YESTERDAY = "2023-11-14", "2023-11-15", "2023-11-13"


class Client:
    """Writes down the patches, and may fail."""

    def __init__(self) -> None:
        self.patches: list[tuple[str, Any]] = []
        self.error: Exception | None = None

    async def patch(self, kind: Any, name: str, namespace: str, patch: Any) -> Any:
        self.patches.append((f"{namespace}/{name}", patch))
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        return {}


class Log:
    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def warning(self, event: str, **values: Any) -> None:
        self.lines.append({"event": event, **values})


class Room:
    """The note taker, while it runs."""

    def __init__(self) -> None:
        self.client, self.clock, self.log = Client(), FakeClock(), Log()
        kind = built_in(load()).core("Secret")
        self.uses = LegacyUses(cast("Any", self.client), kind, self.clock, cast("Any", self.log))

    async def __aenter__(self) -> "Room":
        self.task = asyncio.create_task(self.uses.run())
        await self.clock.advance()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert not self.task.done(), "it ends with the plane"
        self.task.cancel()
        await asyncio.wait([self.task])

    async def note(self, name: str = "s", uid: str = "", used: str = "") -> None:
        labels = {"labels": {LAST_USED: used}} if used else {}
        metadata = {"name": name, "namespace": "ns", "uid": uid or f"{name}-uid", **labels}
        self.uses.note({"metadata": metadata})
        await self.clock.advance()


async def test_use_is_noted() -> None:
    """With the day, on the very Secret that was used."""
    async with Room() as room:
        await room.note()
        patch = {"metadata": {"uid": "s-uid", "labels": {LAST_USED: TODAY}}}
        assert room.client.patches == [("ns/s", patch)]


@pytest.mark.parametrize(
    ("used", "noted"),
    [
        pytest.param(TODAY, False, id="today already"),
        pytest.param(TOMORROW, False, id="tomorrow, by a server whose clock is ahead"),
        pytest.param(YESTERDAY, True, id="yesterday"),
        pytest.param("2023-11-16", True, id="the day after tomorrow"),
        pytest.param("x", True, id="nobody knows when"),
    ],
)
async def test_once_a_day(used: str, noted: bool) -> None:
    """What is noted already is not noted again."""
    async with Room() as room:
        await room.note(used=used)
        assert bool(room.client.patches) is noted


async def test_many_uses_are_one_note() -> None:
    """Uses that come while none was written yet are one."""
    room = Room()
    for _ in range(5):
        await room.note()
    async with room:
        assert len(room.client.patches) == 1


async def test_room_for_notes_is_bounded() -> None:
    """More than so many Secrets are left to their next use."""
    room = Room()
    for number in range(PENDING_MAX + 10):
        room.uses.note({"metadata": {"name": f"s{number}", "namespace": "ns", "uid": str(number)}})
    async with room:
        assert len(room.client.patches) == PENDING_MAX
        await room.note("late")
        assert len(room.client.patches) == PENDING_MAX + 1


@pytest.mark.parametrize("error", [NotFound("gone"), Forbidden("no")])
async def test_note_that_fails(error: Exception) -> None:
    """It is told of and forgotten; the next use tries again."""
    async with Room() as room:
        room.client.error = error
        await room.note()
        assert room.log.lines == [
            {
                "event": "use of a legacy token not noted",
                "namespace": "ns",
                "secret": "s",
                "error": str(error),
            }
        ]
        await room.note()
        assert len(room.client.patches) == 2
