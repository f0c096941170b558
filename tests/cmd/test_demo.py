"""The demo: what it tells has happened, what is broken heals, and what is wrong is counted."""

import base64
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from verger.cmd.demo import lines
from verger.embed.changes import Change
from verger.embed.plane import ControlPlane
from verger.embed.story import CROWD, DEMO, TOKENS, Scene, Story, Verifier, wrong
from verger.store.objects import name_of

DEADLINE = 30.0
"""Seconds; the demo takes one or two."""


@pytest.fixture
async def plane() -> AsyncIterator[ControlPlane]:
    async with ControlPlane() as plane:
        yield plane


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def scenes(plane: ControlPlane, session: aiohttp.ClientSession) -> dict[str, Scene]:
    """All scenes, by their titles."""
    return {scene.title: scene async for scene in Story(plane, session).scenes()}


async def test_what_is_told_is_what_the_store_has_seen(
    plane: ControlPlane, session: aiohttp.ClientSession
) -> None:
    """The changes of all scenes are those of the history, each once and in order."""
    before = plane.revision
    told: list[Change] = []
    async for scene in Story(plane, session).scenes():
        told += scene.changes
    assert told == plane.changes(after=before)
    assert [change.revision for change in told] == list(range(before + 1, plane.revision + 1))


async def test_every_accident_heals(scenes: dict[str, Scene]) -> None:
    """At the end of each scene nothing is wrong, and while the controller was dead something was."""
    assert [scene.facts["objects wrong"] for scene in scenes.values()] == ["0"] * 6
    killed = scenes["A controller is killed in the middle of its work"]
    assert 0 < int(killed.facts["objects wrong while it was dead"]) < CROWD + 1


async def test_tokens_are_worth_what_the_story_says(scenes: dict[str, Scene]) -> None:
    """The API takes those of accounts that are there, and no others; a changed one has a bad signature."""
    token = scenes["What the token says"].facts
    assert token["subject"] == f"system:serviceaccount:{DEMO}:default"
    assert (token["with one letter changed"], token["API answers to it"]) == ("bad", "200")
    deleted = scenes["Somebody deletes the account"].facts
    assert deleted["API answers to the old token"] == "401"
    assert deleted["API answers to the new one"] == "200"
    assert (
        scenes["Somebody scribbles over the token"].facts["API answers to what it holds now"]
        == "200"
    )
    assert scenes["The namespace is deleted"].facts["API answers to its token"] == "401"
    assert scenes["The namespace is deleted"].changes[-1].type == "DELETED"
    assert scenes["The namespace is deleted"].changes[-1].key == DEMO


async def test_wrong_objects_are_counted(
    plane: ControlPlane, session: aiohttp.ClientSession
) -> None:
    """Each sort of damage is seen for what it is while nobody mends it, and none is seen where none is."""
    verifier = Verifier(plane, session)
    kinds, client = plane.kinds, plane.client
    for name in ("a", "b", "c"):
        await plane.namespace(name)
    assert await wrong(plane, verifier) == []
    await plane.faults.pause(TOKENS)
    await plane.faults.pause("serviceaccount-controller")

    async def secret(namespace: str) -> str:
        (found,) = (await client.list(kinds.core("Secret"), namespace)).items
        return name_of(found)

    scribble: dict[str, Any] = {"data": {"token": base64.b64encode(b"x.y.z").decode()}}
    await client.patch(kinds.core("Secret"), scribbled := await secret("a"), "a", scribble)
    await client.delete(kinds.core("Secret"), await secret("b"), "b")
    await client.delete(kinds.core("ServiceAccount"), "default", "c")
    assert sorted(await wrong(plane, verifier)) == sorted(
        [
            f"secret a/{scribbled} holds no good token",
            "account a/default has no token",
            "account b/default has no token",
            "namespace c has no account",
            f"secret c/{await secret('c')} is of an account that is no more",
        ]
    )


def test_scene_is_told_in_lines() -> None:
    """Revisions count from the beginning; of many changes the first and the last ones are shown."""
    changes = [Change(100 + n, "ADDED", "secrets", f"demo/s{n}") for n in range(1, 16)]
    assert lines(2, Scene("Title", "Said.", changes, {"fact": "yes"}), 100) == [
        "2. Title",
        "   Said.",
        "",
        *(f"   +{n:<4} ADDED    secrets demo/s{n}" for n in range(1, 7)),
        "   ... 3 more",
        *(f"   +{n:<4} ADDED    secrets demo/s{n}" for n in range(10, 16)),
        "",
        "   fact: yes",
        "",
    ]


def test_command_tells_all_of_it_and_ends() -> None:
    """In a process of its own: six scenes, no token in clear, nothing on standard error, and a good end."""
    ran = subprocess.run(
        [sys.executable, "-c", "from verger.cmd.main import main; main()", "demo", "--script"],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=True,
    )
    titles = [line for line in ran.stdout.splitlines() if line[:1].isdigit()]
    assert [title[:2] for title in titles[:6]] == ["1.", "2.", "3.", "4.", "5.", "6."]
    assert titles[6].startswith("6 scenes in ")
    assert titles[6].endswith(", 0 objects wrong.")
    assert "eyJ" not in ran.stdout
    assert ran.stderr == ""
