"""A file that always holds a valid token: whole, for its owner alone, renewed in time, whatever the server does."""

import asyncio
import itertools
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from verger.identity.projected import JITTER, Issued, ProjectedToken, write_token
from verger.watch.clock import FakeClock


class Lines:
    """A log that is kept."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def info(self, event: str, **values: Any) -> None:
        self.lines.append((event, values))

    warning = info

    def said(self, event: str) -> list[dict[str, Any]]:
        return [values for at, values in self.lines if at == event]


class Issuer:
    """Issues tokens with numbers, or fails for a while."""

    def __init__(self, clock: FakeClock, life: float) -> None:
        self.clock = clock
        self.life = life
        self.broken = False
        self.at: list[float] = []
        """When it was asked."""

    async def __call__(self) -> Issued:
        self.at.append(self.clock.monotonic())
        if self.broken:
            raise ConnectionError("no server there")
        return Issued(f"token-{len(self.at)}", self.clock.time() + self.life)


class Room:
    """A keeper of a file, on a clock that stands still."""

    def __init__(self, path: Path, life: float = 3600.0) -> None:
        self.path = path
        self.clock = FakeClock()
        self.issuer = Issuer(self.clock, life)
        self.log = Lines()
        self.keeper = ProjectedToken(self.issuer, path, self.clock, cast("Any", self.log))
        self.task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Room":
        self.task = asyncio.create_task(self.keeper.run())
        await self.clock.advance()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self.task is not None
        self.task.cancel()
        await asyncio.wait([self.task])
        assert self.task.cancelled()


async def test_file_is_there_at_once(tmp_path: Path) -> None:
    """With the token, for its owner alone; the log says how long, and not what."""
    async with Room(tmp_path / "deep" / "token") as room:
        assert room.path.read_text() == "token-1"
        assert room.path.stat().st_mode & 0o777 == 0o600
        (line,) = room.log.said("token written")
        assert line["life"] == 3600
        assert "token-1" not in str(room.log.lines)


@pytest.mark.parametrize(
    ("life", "earliest", "latest"),
    [
        pytest.param(3600.0, 0.8 * 3600 - JITTER, 0.8 * 3600, id="four fifths of an hour"),
        pytest.param(600.0, 0.8 * 600 - JITTER, 0.8 * 600, id="of ten minutes"),
        pytest.param(30 * 86400.0, 86400 - JITTER, 86400, id="after a day, however long it lives"),
        pytest.param(60.0, 48 - 6, 48, id="of a minute"),
        pytest.param(0.5, 1.0, 1.0, id="not all the time for one that hardly lives"),
        pytest.param(-5.0, 1.0, 1.0, id="nor for one that is dead"),
    ],
)
async def test_renewal(life: float, earliest: float, latest: float, tmp_path: Path) -> None:
    """When four fifths of its life are over or after a day, a little earlier by chance."""
    async with Room(tmp_path / "token", life) as room:
        wait = room.clock.next_timer()
        assert wait is not None
        assert earliest <= wait <= latest
        await room.clock.advance(wait)
        assert room.path.read_text() == "token-2"


async def test_outage(tmp_path: Path) -> None:
    """The last token stays, the next try follows with growing patience, and the file is right when it is over."""
    async with Room(tmp_path / "token") as room:
        room.issuer.broken = True
        await room.clock.advance(3600)
        assert room.path.read_text() == "token-1"
        tries = room.issuer.at[1:]
        gaps = [round(b - a, 6) for a, b in itertools.pairwise(tries)]
        assert gaps[:9] == [1, 2, 4, 8, 16, 32, 60, 60, 60]
        room.issuer.broken = False
        await room.clock.advance(60)
        assert room.path.read_text() == f"token-{len(room.issuer.at)}"
        room.issuer.broken = True
        before = len(room.issuer.at)
        await room.clock.advance(2881)
        assert room.issuer.at[before + 1] - room.issuer.at[before] == 1


async def test_server_that_is_not_there_at_first(tmp_path: Path) -> None:
    """There is no file until there is a token."""
    room = Room(tmp_path / "token")
    room.issuer.broken = True
    async with room:
        await room.clock.advance(10)
        assert not room.path.exists()
        assert room.log.said("no token yet")[0]["error"] == "no server there"
        room.issuer.broken = False
        await room.clock.advance(10)
        assert room.path.exists()


async def test_file_that_cannot_be_written(tmp_path: Path) -> None:
    """That is no trouble of the server: it ends."""
    (tmp_path / "file").write_text("")
    room = Room(tmp_path / "file" / "token")
    with pytest.raises(OSError, match="file"):
        await room.keeper.run()


def test_repr_of_a_token() -> None:
    """It shows until when, and nothing else."""
    assert repr(Issued("secret", 5.0)) == "Issued(expires=5.0)"


# The file


def test_file_is_exchanged(tmp_path: Path) -> None:
    """The new token takes the place of the old one, of which nothing is left."""
    path = tmp_path / "token"
    for text in ("one", "two", "three"):
        write_token(path, text)
        assert path.read_text() == text
    assert path.is_symlink()
    kept = sorted(item.name for item in tmp_path.iterdir())
    assert len(kept) == 3
    assert kept[0].startswith("..")
    assert kept[1:] == ["..token.data", "token"]
    assert (tmp_path / "..token.data").resolve().stat().st_mode & 0o777 == 0o700


def test_two_files_in_one_folder(tmp_path: Path) -> None:
    """Each has its own versions."""
    for _ in range(2):
        write_token(tmp_path / "a", "A")
        write_token(tmp_path / "b", "B")
    assert ((tmp_path / "a").read_text(), (tmp_path / "b").read_text()) == ("A", "B")


def test_plain_file_is_replaced(tmp_path: Path) -> None:
    """What stood there before is gone, whoever could read it."""
    path = tmp_path / "token"
    path.write_text("plain")
    write_token(path, "new")
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600


def test_link_to_elsewhere_is_not_followed(tmp_path: Path) -> None:
    """A link that somebody put there is replaced, and what it points to stays as it is."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("theirs")
    path = tmp_path / "folder" / "token"
    path.parent.mkdir()
    path.symlink_to(elsewhere)
    (path.parent / "..token.data").symlink_to(tmp_path)
    write_token(path, "mine")
    assert elsewhere.read_text() == "theirs"
    assert path.read_text() == "mine"
    assert tmp_path.is_dir()


def test_readers_never_see_half_of_it(tmp_path: Path) -> None:
    """Whoever reads while it is written has one whole token or the other."""
    path = tmp_path / "token"
    tokens = ("a" * 5000, "b" * 5000)
    write_token(path, tokens[0])
    seen: set[str] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            try:
                seen.add(path.read_text())
            except FileNotFoundError:
                seen.add("nothing")

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(100):
        write_token(path, tokens[number % 2])
    done.set()
    reader.join()
    # A reader that has followed the link opens the version behind it; when that is swept away meanwhile, it looks again.
    assert seen <= {*tokens, "nothing"}


@pytest.mark.parametrize(
    "breaks",
    [
        pytest.param(lambda path: (path / "token").mkdir(), id="a folder is in the way"),
    ],
)
def test_failure_leaves_the_last_token(breaks: Callable[[Path], object], tmp_path: Path) -> None:
    """What cannot be written is an error, and no half of it is left at the place."""
    breaks(tmp_path)
    with pytest.raises(OSError, match="token"):
        write_token(tmp_path / "token", "new")
    assert os.listdir(tmp_path / "token") == []
