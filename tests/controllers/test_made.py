"""What a run has made itself it knows: the server is asked only where somebody else may have been at work."""

import pytest
from verger.controllers.made import Made
from verger.store.errors import InternalError
from verger.watch.cache import CacheWriter
from verger.watch.event import Event, EventType

from tests.controllers.clients import Call, Side
from tests.controllers.harness import TOKENS, Cluster
from tests.controllers.objects import account, namespace, token_secret

LOOK = "list Secret one"
MAKE = ["create Secret one/*-token-*", "update ServiceAccount one/*"]


def calls(cluster: Cluster) -> list[str]:
    """What the controller asked for, whatever the account."""
    out = [str(call) for call in cluster.calls(TOKENS)]
    for name in ("first", "second", "third"):
        out = [call.replace(f"/{name}", "/*") for call in out]
    return out


async def test_only_the_first_account_of_a_run_takes_a_look() -> None:
    """What was there when the run began has been seen by then; the others get their token in two writes."""
    cluster = Cluster(TOKENS)
    await cluster.create(namespace("one"), account("one/first"))
    async with cluster:
        await cluster.create(account("one/second"), account("one/third"))
        await cluster.settle()
        assert calls(cluster) == [LOOK, *MAKE, *MAKE, *MAKE]


async def test_token_that_the_cache_does_not_show_yet_is_known() -> None:
    """While its news are on their way, the account gets its reference back, no second token, and nothing is looked up."""
    cluster = Cluster(TOKENS)
    await cluster.create(namespace("one"), account("one/first"))
    async with cluster:
        cluster.informers.hold("Secret")
        await cluster.create(account("one/second"))
        await cluster.clock.advance()
        (own,) = await cluster.tokens_of("one/second")
        await cluster.edit("ServiceAccount", "one/second", lambda o: o.pop("secrets"))
        await cluster.clock.advance()
        assert await cluster.tokens_of("one/second") == [own]
        assert await cluster.references_of("one/second") == [own]
        assert calls(cluster).count(LOOK) == 1
        cluster.informers.release()
        await cluster.settle()
        assert await cluster.references_of("one/second") == [own]
        assert len(await cluster.all("Secret")) == 2


async def test_token_that_goes_before_the_cache_shows_it_is_made_anew() -> None:
    """A cache that has passed it and does not show it has seen it go, in a list or in two events at once."""
    cluster = Cluster(TOKENS)
    await cluster.create(namespace("one"), account("one/first"))
    async with cluster:
        cluster.informers.hold("Secret")
        await cluster.create(account("one/second"))
        await cluster.clock.advance()
        (before,) = await cluster.tokens_of("one/second")
        await cluster.delete("Secret", f"one/{before}")
        cluster.informers.release()
        await cluster.settle()
        (after,) = await cluster.tokens_of("one/second")
        assert after != before
        assert await cluster.references_of("one/second") == [after]


async def test_token_that_may_have_been_made_is_looked_for() -> None:
    """The answer to a creation was lost: the next try takes a look, finds it, and makes no second one."""
    cluster = Cluster(TOKENS)
    await cluster.create(namespace("one"), account("one/first"))
    async with cluster:
        cluster.informers.hold("Secret")

        async def lose(call: Call, side: Side) -> None:
            if side == "after" and str(call).startswith("create Secret"):
                cluster.clients[TOKENS].taps.remove(lose)
                raise InternalError("nobody knows")

        cluster.clients[TOKENS].taps.append(lose)
        await cluster.create(account("one/second"))
        await cluster.clock.advance(1)
        (own,) = await cluster.tokens_of("one/second")
        assert await cluster.references_of("one/second") == [own]
        assert calls(cluster)[3:] == [MAKE[0], LOOK, MAKE[1]]
        cluster.informers.release()
        await cluster.settle()


async def test_what_another_one_made_before_the_run_is_looked_for() -> None:
    """A standby takes over with a cache that is behind: what its predecessor made last is found, not made again."""
    cluster = Cluster(TOKENS)
    await cluster.create(namespace("one"), account("one/first"))
    async with cluster:
        await cluster.manager.stop(TOKENS)
        cluster.informers.hold("Secret")
        await cluster.create(
            account("one/second"), token_secret("one/second-token-bbbbb", "second")
        )
        cluster.manager.start(TOKENS)
        await cluster.clock.advance()
        assert await cluster.tokens_of("one/second") == ["second-token-bbbbb"]
        assert await cluster.references_of("one/second") == ["second-token-bbbbb"]
        cluster.informers.release()
        await cluster.settle()
        assert await cluster.tokens_of("one/second") == ["second-token-bbbbb"]


@pytest.mark.parametrize(
    ("reached", "owner", "expected"),
    [
        pytest.param(9, "", False, id="a cache that is behind the look"),
        pytest.param(10, "", True, id="a cache that has reached it"),
        pytest.param(10, "made", True, id="something that was made since"),
        pytest.param(10, "begun", False, id="something of which nobody knows whether it was made"),
        pytest.param(10, "looked", True, id="a look since then"),
    ],
)
def test_what_is_known(reached: int, owner: str, expected: bool) -> None:
    """Everything before the first look from the cache, everything after it from what was noted."""
    writer: CacheWriter[dict[str, object]] = CacheWriter()
    writer.replace({}, 1)
    made = Made(writer.cache)
    assert not made.knows(owner)
    made.looked("any", 10, None)
    writer.apply([Event(EventType.ADDED, "secrets", "n", "n/x", reached, {}, None)])
    if owner:
        made.begins(owner)
    if owner == "made":
        made.done(owner, {"metadata": {"resourceVersion": "11"}})
    if owner == "looked":
        made.looked(owner, 12, None)
    assert made.knows(owner) is expected
    assert (made.get(owner) is not None) is (owner == "made")
    made.forget(owner)
    assert made.get(owner) is None
