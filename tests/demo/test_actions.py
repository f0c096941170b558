"""Each action is a real fault: ours gets over all of them, and the twin over those that it happens to hear of."""

import re
from pathlib import Path

import pytest
from verger.demo.actions import ACTIONS, STORM, TOKENS
from verger.demo.engine import Engine
from verger.demo.stage import NAMESPACES_MAX, Refused

from tests.demo.conftest import settled


@pytest.mark.parametrize(
    ("action", "target"),
    [
        pytest.param("scribble", "", id="scribble over a token"),
        pytest.param("kill", TOKENS, id="kill the controller of tokens"),
        pytest.param("kill", "serviceaccount-controller", id="kill the controller of accounts"),
        pytest.param("partition", "", id="cut a controller off"),
        pytest.param("partition", "serviceaccount-controller", id="cut another one off"),
        # What controllers see is listed or watched again after a second, as client-go does it.
        pytest.param("drop-events", "", id="drop events"),
        pytest.param("conflicts", "", id="force conflicts"),
        pytest.param("expire-history", "", id="expire the history"),
    ],
)
async def test_ours_heals_and_the_twin_stays_wrong(
    engine: Engine, action: str, target: str
) -> None:
    """The difference between looking and listening, counted from the two stores."""
    await engine.act(action, target)
    await settled(engine)
    assert (engine.stage.ours.wrong, engine.stage.score.healed) == (0, 1)
    assert engine.stage.twin.wrong > 0
    fault = engine.frame()["score"]["log"][-1]
    assert (fault["action"] in (action, "killed", "partitioned"), fault["healed"]) == (True, True)
    assert fault["healed_in"] is not None


@pytest.mark.parametrize(
    "action",
    [
        pytest.param("delete-account", id="a deletion that it hears of"),
        pytest.param("freeze", id="events that come late, but come"),
        pytest.param("rotate-key", id="a key that goes on verifying"),
    ],
)
async def test_twin_is_right_where_nothing_is_missed(engine: Engine, action: str) -> None:
    """It is no straw man: what it hears of, and can write, it does."""
    await engine.act(action)
    await settled(engine)
    async for _ in engine.frames():
        if engine.stage.twin.looked and not engine.stage.twin.wrong:
            break
    assert (engine.stage.ours.wrong, engine.stage.twin.wrong) == (0, 0)


async def test_storm_is_got_over(engine: Engine) -> None:
    """Every namespace of it has its account and its token, although the one that signs dies in the middle."""
    await engine.act("storm", "60")
    await engine.act("kill", TOKENS)
    await settled(engine)
    counts = engine.frame()["score"]["ours"]
    assert counts["namespaces"] == counts["accounts"] == counts["tokens"] >= 63
    assert counts["wrong"] == 0


async def test_key_that_was_rotated_signs_no_more_and_still_verifies(engine: Engine) -> None:
    """New tokens are signed by the new key, old ones are good."""
    (old,) = engine.frame()["keys"]["kids"]
    await engine.act("rotate-key")
    await settled(engine)
    new, *others = engine.frame()["keys"]["kids"]
    assert (new != old, others) == (True, [old])
    kids = {
        secret["token"]["kid"]: secret["standing"]
        for row in engine.frame()["namespaces"]
        for secret in row["ours"]["secrets"]
    }
    assert kids == {old: "good", new: "good"}


async def test_somebody_is_down_while_a_fault_lasts(engine: Engine) -> None:
    """The lane says how, another fault on the same controller is refused, and then it runs again."""
    for action, status in (("kill", "killed"), ("freeze", "frozen"), ("partition", "partitioned")):
        engine.stage.outage = 60.0
        await engine.act(action, TOKENS)
        async for frame in engine.frames():
            lane = next(lane for lane in frame["lanes"]["ours"] if lane["name"] == TOKENS)
            if lane["status"] == status and frame["lanes"]["twin"][0]["status"] == status:
                break
        with pytest.raises(Refused, match=status):
            await engine.act("kill", TOKENS)
        await engine.act("start-over")
        assert engine.stage.downs == {}
        await engine.act("make-namespace")
        await settled(engine)


async def test_start_over_makes_both_sides_what_they_were(engine: Engine) -> None:
    """Nothing that was broken stays so, not even what lasts."""
    engine.stage.outage = 60.0
    for action in ("scribble", "partition", "freeze", "drop-events", "conflicts"):
        await engine.act(action, "root-ca-publisher" if action == "freeze" else "")
    await engine.act("start-over")
    await settled(engine)
    frame = engine.frame()
    assert [frame["score"][side]["namespaces"] for side in ("ours", "twin")] == [0, 0]
    assert (frame["score"]["faults"], frame["score"]["twin"]["wrong"]) == (0, 0)
    assert {lane["status"] for lanes in frame["lanes"].values() for lane in lanes} == {"running"}
    await engine.act("make-namespace")
    await settled(engine)
    assert engine.stage.twin.wrong == engine.stage.ours.wrong == 0


@pytest.mark.parametrize(
    ("action", "target"),
    [
        pytest.param("nonsense", "", id="an action that there is not"),
        pytest.param("kill", "nobody", id="a controller that there is not"),
        pytest.param("scribble", "nowhere", id="a namespace that there is not"),
        pytest.param("scribble", "kube-system", id="a namespace of the system"),
        pytest.param("storm", "many", id="a storm without a number"),
        pytest.param("storm", str(STORM + 1), id="a storm that is too large"),
        pytest.param("storm", "-1", id="a storm of less than nothing"),
    ],
)
async def test_what_cannot_be_done_is_refused(engine: Engine, action: str, target: str) -> None:
    """A face may ask for anything."""
    with pytest.raises(Refused):
        await engine.act(action, target)
    assert engine.stage.score.count == 0


async def test_namespaces_are_bounded(engine: Engine) -> None:
    """Whoever presses a button for ever is told to start over."""
    engine.stage.names.extend(f"x{number}" for number in range(NAMESPACES_MAX - 4))
    await engine.act("make-namespace")
    with pytest.raises(Refused, match="start over"):
        await engine.act("make-namespace")
    with pytest.raises(Refused, match="start over"):
        await engine.act("storm", "10")


def test_actions_are_told_apart() -> None:
    """Each has a name and a key of its own."""
    assert len({action.name for action in ACTIONS}) == len({a.key for a in ACTIONS}) == len(ACTIONS)


def test_actions_are_documented() -> None:
    """docs/demo.md names each of them with its key, and no others."""
    text = (Path(__file__).parents[2] / "docs" / "demo.md").read_text("utf-8")
    rows = re.findall(r"^\| ([^|`]+) \| `(.)` \|", text, re.MULTILINE)
    assert rows == [(action.title, action.key) for action in ACTIONS]
