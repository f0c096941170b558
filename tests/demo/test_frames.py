"""Frames: true, bounded, of JSON, and no more of them than somebody can see."""

import asyncio
import base64
import json
import time

from verger.demo import frames
from verger.demo.engine import Engine
from verger.demo.stage import FRAME_PERIOD
from verger.demo.verifying import forged, read

from tests.demo.conftest import settled


async def test_first_frame_is_there_at_once() -> None:
    """The demo is on screen within a second of being started, with both sides."""
    started = time.monotonic()
    async with Engine() as engine:
        async for frame in engine.frames():
            assert {"ours", "twin"} <= frame["lanes"].keys()
            break
        assert time.monotonic() - started < 1.0


async def test_frame_shows_the_chain(engine: Engine) -> None:
    """Namespace, account, Secret and what the token says, with the signature checked."""
    row = next(row for row in engine.frame()["namespaces"] if row["name"] == "team-2")["ours"]
    (account,) = row["accounts"]
    (secret,) = row["secrets"]
    assert account["refers"] == [secret["name"]]
    assert (secret["standing"], secret["token"]["algorithm"]) == ("good", "ES256")
    assert secret["token"]["claims"]["sub"] == "system:serviceaccount:team-2:default"
    assert secret["token"]["kid"] in engine.frame()["keys"]["kids"]


async def test_storm_makes_no_larger_frames(engine: Engine) -> None:
    """Namespaces that are not shown are counted, and queues name some of their keys."""
    await engine.act("storm", "120")
    most = 0
    async for frame in engine.frames():
        most = max(most, len(json.dumps(frame)))
        assert len(frame["namespaces"]) <= frames.ROWS
        if engine.stage.well and not engine.stage.score.open:
            break
    assert engine.frame()["hidden"] == 123 - frames.ROWS
    assert most < 120_000


async def test_frames_come_on_change_and_not_too_often(engine: Engine) -> None:
    """A thousand writes in a second are twenty frames at most; a reader that is slow sees the newest one."""
    seen = []
    started = time.monotonic()
    await engine.act("storm", "80")
    async for frame in engine.frames():
        seen.append(frame["version"])
        if engine.stage.well and not engine.stage.score.open:
            break
    took = time.monotonic() - started
    assert seen == sorted(set(seen))
    assert len(seen) <= took / FRAME_PERIOD + 2


async def test_readers_may_come_and_go(engine: Engine) -> None:
    """Each sees frames from when it came, and leaves nothing behind."""
    before = len(asyncio.all_tasks())

    async def look() -> int:
        async for frame in engine.frames():
            return int(frame["version"])
        return 0

    assert len(set(await asyncio.gather(look(), look(), look()))) == 1
    assert len(asyncio.all_tasks()) == before


async def test_wrong_is_counted_from_the_store(engine: Engine) -> None:
    """Whatever breaks it, and although no controller says anything: each sort of damage is found."""
    stage = engine.stage
    await stage.ours.plane.faults.pause("serviceaccount-token-controller")
    await stage.ours.plane.faults.pause("serviceaccount-controller")
    client, kinds = stage.ours.plane.client, stage.ours.plane.kinds
    secrets = kinds.core("Secret")

    async def secret(namespace: str) -> str:
        (found,) = (await client.list(secrets, namespace)).items
        return str(found["metadata"]["name"])

    token = (await client.get(secrets, await secret("team-1"), "team-1"))["data"]["token"]
    spoiled = base64.b64encode(forged(base64.b64decode(token).decode()).encode()).decode()
    scribbled, gone, left = [await secret(f"team-{number}") for number in (1, 2, 3)]
    await client.patch(secrets, scribbled, "team-1", {"data": {"token": spoiled}})
    await client.delete(secrets, gone, "team-2")
    await client.delete(kinds.core("ServiceAccount"), "default", "team-3")
    stage.ours.look(all_of_it=True)
    found = [line for view in stage.ours.namespaces.values() for line in view.wrong]
    assert sorted(found) == sorted(
        [
            f"secret team-1/{scribbled} holds a token that none of the keys has signed",
            "account team-2/default has no token",
            f"account team-2/default refers to {gone}, which is not there",
            "namespace team-3 has no account",
            f"secret team-3/{left} is of an account that is no more",
        ]
    )
    assert stage.ours.wrong == 5


async def test_score_tells_what_a_fault_has_cost(engine: Engine) -> None:
    """How long it lasted, how long ours took then, and what the twin was left with."""
    await engine.act("kill")
    during = engine.frame()["score"]["log"][-1]
    assert (during["over"], during["healed"], during["healed_in"]) == (False, False, None)
    await settled(engine)
    fault = engine.frame()["score"]["log"][-1]
    assert (fault["number"], fault["over"], fault["healed"]) == (1, True, True)
    assert fault["lasted"] >= 0.05
    assert 0 <= fault["healed_in"] < 5
    assert fault["twin_wrong"] == engine.stage.twin.wrong > 0


def test_text_that_is_no_token() -> None:
    """Whatever lies in a Secret is looked into without an accident."""
    for text in ("", "a.b", "a.b.c", "...", "e30.e30.x" * 1000, "W10.W10.x", "\udcff.x.y"):
        assert read(text) is None
