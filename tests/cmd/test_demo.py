"""`verger demo`: the faces that it has, and how they begin and end."""

import asyncio
import os
import re
import signal
import sys

import aiohttp
import pytest
from click.testing import CliRunner
from verger.cmd.main import main

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
