"""The timeline: what was there at a revision, what has become different, and why something is there."""

import itertools
import json

import pytest
from verger.demo.actions import SCRIBBLE
from verger.demo.engine import Engine
from verger.demo.stage import Refused
from verger.store.objects import name_of

from tests.demo.conftest import settled


async def test_past_is_as_it_was(engine: Engine) -> None:
    """The world at every revision is that of the store: it is compared with what the backend says of that revision."""
    await engine.act("delete-account", "team-2")
    await engine.act("scribble", "team-1")
    await settled(engine)
    side, parts = engine.stage.ours, engine.stage.ours.plane._started()
    for revision in range(side.history.last + 1):
        for resource in ("namespaces", "serviceaccounts", "secrets"):
            then = parts.backend.list(resource, revision=side.history.true_revision(revision)).rows
            world = side.history.at(revision)
            found = {
                key: obj["metadata"]["resourceVersion"]
                for objects in world.objects.values()
                for (of, key), obj in objects.items()
                if of == resource
            }
            assert found == {row.key: str(row.revision) for row in then}


async def test_account_that_was_deleted_is_there_in_the_past(engine: Engine) -> None:
    """Scrubbing back over a deletion brings back what was deleted, and says that it is gone at the next revision."""
    before = engine.stage.ours.history.last
    await engine.act("delete-account", "team-2")
    await settled(engine)

    def uids(revision: int) -> list[str]:
        (row,) = (row for row in engine.at("ours", revision) if row["name"] == "team-2")
        return [account["uid"] for account in row["accounts"]]

    now = engine.stage.ours.history.last
    assert uids(before + 1) == []
    assert len(uids(before)) == len(uids(now)) == 1
    assert uids(before) != uids(now)
    (gone,) = engine.difference("ours", before, before + 1)
    assert (gone["type"], gone["resource"], gone["key"]) == (
        "DELETED",
        "serviceaccounts",
        "team-2/default",
    )


async def test_difference_tells_fields_in_either_direction(engine: Engine) -> None:
    """Between any two revisions; from back to front everything is the other way round."""
    kind = engine.stage.ours.plane.kinds.core("Namespace")
    before = engine.stage.ours.history.last
    patch = {"metadata": {"labels": {"colour": "red"}}}
    await engine.stage.ours.plane.client.patch(kind, "team-1", "", patch)
    after = engine.stage.ours.history.last
    (found,) = engine.difference("ours", before, after)
    assert (found["type"], found["key"]) == ("MODIFIED", "team-1")
    assert {"path": "metadata.labels.colour", "before": None, "after": "red"} in found["fields"]
    (back,) = engine.difference("ours", after, before)
    assert {"path": "metadata.labels.colour", "before": "red", "after": None} in back["fields"]
    assert engine.difference("ours", after, after) == []


async def test_no_token_is_ever_shown(engine: Engine) -> None:
    """Neither in frames nor in differences nor in reasons: what a token says, and never its signature."""
    await engine.act("scribble", "team-1")
    await engine.act("delete-account", "team-2")
    await settled(engine)
    plane, last = engine.stage.ours.plane, engine.stage.ours.history.last
    shown = json.dumps(
        [
            engine.frame(),
            engine.difference("ours", 0, last),
            [engine.difference("ours", revision, revision + 1) for revision in range(last)],
            [engine.at("ours", revision) for revision in range(last)],
            [
                engine.why("ours", change["resource"], change["key"])
                for change in engine.timeline("ours")["changes"]
            ],
        ]
    )
    assert "system:serviceaccount:team-1:default" in shown
    assert "eyJ" not in shown
    for secret in (await plane.client.list(plane.kinds.core("Secret"))).items:
        # Long values are cut: the beginning would be enough to see that there is one.
        assert secret["data"]["token"][:40] not in shown
    assert SCRIBBLE not in shown.replace("no token", "")


async def test_why_an_account_is_there(engine: Engine) -> None:
    """Somebody deleted it, the controller heard of that, and made it: each link with the revision of the next one."""
    await engine.act("delete-account", "team-3")
    await settled(engine)
    made, deleted = engine.why("ours", "serviceaccounts", "team-3/default")
    assert (made["type"], made["by"]) == ("ADDED", "serviceaccount-controller")
    assert made["heard"] == [
        {
            "type": "DELETED",
            "resource": "serviceaccounts",
            "key": "team-3/default",
            "revision": deleted["revision"],
        }
    ]
    assert (deleted["by"], deleted["work"]["key"]) == ("you", "deletes account team-3/default")


async def test_why_a_token_is_there(engine: Engine) -> None:
    """Back to the namespace, over two controllers that do not know of each other."""
    plane = engine.stage.ours.plane
    (secret,) = (await plane.client.list(plane.kinds.core("Secret"), "team-1")).items
    chain = engine.why("ours", "secrets", f"team-1/{name_of(secret)}")
    assert [(link["by"], link["type"], link["key"]) for link in chain] == [
        ("serviceaccount-token-controller", "ADDED", f"team-1/{name_of(secret)}"),
        ("serviceaccount-controller", "ADDED", "team-1/default"),
        ("you", "ADDED", "team-1"),
    ]
    revisions = [link["revision"] for link in chain]
    assert revisions == sorted(revisions, reverse=True)
    for link, cause in itertools.pairwise(chain):
        assert cause["revision"] in [heard["revision"] for heard in link["heard"]]
        assert link["revision"] in link["work"]["wrote"]


async def test_twin_gives_reasons_too(engine: Engine) -> None:
    """Its writes are caused by the events that it trusts."""
    (made, asked) = engine.why("twin", "serviceaccounts", "team-1/default")
    assert (made["by"], asked["by"]) == ("edge-triggered twin", "you")


async def test_what_was_found_in_a_list_says_so(engine: Engine) -> None:
    """A controller that was dead has heard no event: it has listed what there is, and that is the reason."""
    await engine.act("kill", "serviceaccount-controller")
    await settled(engine)
    made, *rest = engine.why("ours", "serviceaccounts", "missed-1/default")
    assert [(heard["type"], heard["key"]) for heard in made["heard"]] == [("LISTED", "missed-1")]
    assert [link["by"] for link in rest] == ["you"]


async def test_sides_and_objects_that_there_are_not(engine: Engine) -> None:
    """A face may ask for anything."""
    assert engine.why("ours", "secrets", "nowhere/nothing") == []
    assert engine.at("ours", -5) == []
    assert engine.difference("ours", 10**9, 10**12) == []
    for ask in (engine.timeline, lambda side: engine.at(side, 0)):
        with pytest.raises(Refused):
            ask("theirs")
