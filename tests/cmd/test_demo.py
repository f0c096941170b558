"""`verger demo`: the faces that it has, and how they begin and end."""

import asyncio
import os
import re
import signal
import sys
import termios
from collections.abc import Callable

import aiohttp
import pytest
from click.testing import CliRunner
from verger.cmd.main import main
from verger.demo.script import Ending, Scene

DEADLINE = 30.0
COMMAND = [sys.executable, "-c", "from verger.cmd.main import main; main()", "demo"]


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["--web", "--script"], id="two faces at once"),
        pytest.param(["--web", "--port", "70000"], id="a port that there is not"),
    ],
)
def test_odd_flags(arguments: list[str]) -> None:
    """They are refused before anything is started."""
    assert CliRunner().invoke(main, ["demo", *arguments]).exit_code == 2


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        pytest.param(Ending(0, 7, ""), 0, id="the twin is wrong and ours is not"),
        pytest.param(Ending(1, 7, ""), 1, id="ours is wrong"),
        pytest.param(Ending(0, 7, "RuntimeError()"), 1, id="the demo itself is broken"),
    ],
)
def test_script_ends_as_it_went(monkeypatch: pytest.MonkeyPatch, ending: Ending, code: int) -> None:
    """Every scene is told and numbered; whether that went well is what a machine can see."""

    async def told(tell: Callable[[Scene], None]) -> Ending:
        for title in ("First", "Second"):
            tell(Scene(title, "Told.", [], {"objects wrong": "ours 0, twin 7"}))
        return ending

    monkeypatch.setattr("verger.demo.script.told", told)
    # It is for a process of its own.
    monkeypatch.setattr("verger.cmd.demo.tune", lambda: None)
    ran = CliRunner().invoke(main, ["demo", "--script"])
    assert ran.exit_code == code
    assert [line for line in ran.stdout.splitlines() if line[:1].isdigit()][:2] == [
        "1. First",
        "2. Second",
    ]
    assert f"objects wrong: ours {ending.ours}, twin 7." in ran.stdout
    assert ran.stderr.strip() == ending.broken


async def test_page_is_served_until_it_is_interrupted() -> None:
    """The address is said, the tour has begun, and Ctrl-C ends it in good order."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        "--web",
        "--tour",
        "--no-open",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    async with asyncio.timeout(DEADLINE):
        line = (await process.stdout.readline()).decode()
        found = re.search(r"http://127\.0\.0\.1:\d+/\S+/", line)
        assert found is not None
        async with aiohttp.ClientSession() as session:
            async with session.get(found[0]) as answer:
                assert (answer.status, "Verger" in await answer.text()) == (200, True)
            async with session.get(found[0] + "events") as answer:
                async for event in answer.content:
                    if b'"title":"One promise, kept in two ways"' in event:
                        break
        process.send_signal(signal.SIGINT)
        said = await process.communicate()
    assert (process.returncode, said[1]) == (0, b"")


def test_without_a_terminal_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever pipes it gets text, and no screen full of control characters."""
    told: list[bool] = []
    monkeypatch.setattr("verger.cmd.demo.tune", lambda: None)
    monkeypatch.setattr("verger.cmd.demo._script", lambda: told.append(True))
    assert CliRunner().invoke(main, ["demo"]).exit_code == 0
    assert told == [True]


def test_library_of_the_screen_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has not installed it is told how, in one line, and what goes without it."""
    monkeypatch.setattr("verger.cmd.demo.tune", lambda: None)
    monkeypatch.setattr("verger.cmd.demo._is_terminal", lambda: True)
    monkeypatch.delitem(sys.modules, "verger.demo.terminal", raising=False)
    monkeypatch.setitem(sys.modules, "textual.app", None)
    ran = CliRunner().invoke(main, ["demo"])
    assert ran.exit_code == 2
    assert re.fullmatch(r".*pip install 'verger\[demo\]'.*--script.*--web.*\n", ran.stderr)


async def test_screen_ends_with_ctrl_c() -> None:
    """On a real terminal: something is seen at once, then both sides, and afterwards the terminal is as it was."""
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    before = termios.tcgetattr(theirs)
    process = await asyncio.create_subprocess_exec(
        *COMMAND, stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm"}
    )
    shown = asyncio.StreamReader()
    # The pipe closes what it reads from.
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(shown), os.fdopen(os.dup(ours), "rb", buffering=0)
    )
    try:
        async with asyncio.timeout(DEADLINE):
            await shown.readuntil(b"control planes are starting")
            await shown.readuntil(b"0 wrong")
            os.write(ours, b"\x03")
            code = await process.wait()
            await shown.readuntil(b"\x1b[?1049l")
        assert (code, termios.tcgetattr(theirs)) == (0, before)
    finally:
        transport.close()
        os.close(ours)
        os.close(theirs)
