"""How long somebody waits is told as he sees it, of what is new, and of nothing else."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from verger.controllers.reconcile import DONE, Result
from verger.embed.measured import Measured
from verger.embed.service_times import WAITING_MAX, ServiceTimes
from verger.store.errors import NotFound
from verger.store.kinds import Kind, built_in
from verger.watch.cache import Change
from verger.watch.clock import FakeClock

from tests.controllers.harness import Cluster
from tests.controllers.scripted import Scripted

KINDS = built_in()
BOTH = ("serviceaccount-controller", "serviceaccount-token-controller")
Object = Mapping[str, Any]


class World:
    """What is heard, in the order in which a test says it."""

    def __init__(self, *controllers: str) -> None:
        self.clock = FakeClock()
        self.times = ServiceTimes(self.clock)
        self.heard: list[tuple[str, Callable[[Change[Object]], None]]] = []
        self.times.follow(self._listen, KINDS, controllers or BOTH)

    def _listen(self, kind: Kind, handler: Callable[[Change[Object]], None]) -> None:
        self.heard.append((kind.kind, handler))

    async def after(
        self,
        seconds: float,
        kind: str,
        old: Object | None,
        new: Object | None,
        *,
        listed: bool = False,
    ) -> None:
        await self.clock.advance(seconds)
        self.hear(kind, old, new, 0 if listed else 7)

    def hear(self, kind: str, old: Object | None, new: Object | None, revision: int = 7) -> None:
        metadata = (new or old or {})["metadata"]
        key = "/".join(filter(None, (metadata.get("namespace"), metadata["name"])))
        for name, handler in self.heard:
            if name == kind:
                handler(Change(key, old, new, revision))

    @property
    def told(self) -> Mapping[str, tuple[float, float]]:
        """Name of a histogram -> how many, and their seconds together."""
        return {
            family.name: (
                next(s.value for s in family.samples if s.name.endswith("_count")),
                next(s.value for s in family.samples if s.name.endswith("_sum")),
            )
            for family in self.times.families()
        }


SPACE: Object = {"metadata": {"name": "n"}, "status": {"phase": "Active"}}
GOING: Object = {"metadata": {"name": "n"}, "status": {"phase": "Terminating"}}
BARE: Object = {"metadata": {"name": "default", "namespace": "n"}}
FULL: Object = {**BARE, "secrets": [{"name": "t"}]}
OTHER: Object = {"metadata": {"name": "robot", "namespace": "n"}}
ACCOUNTS, TOKENS = "verger_namespace_to_account_seconds", "verger_account_to_token_seconds"


async def test_both_times_are_of_new_things() -> None:
    """From the namespace to its account, and from there to the reference; a second token is none."""
    world = World()
    await world.after(0, "Namespace", None, SPACE)
    await world.after(2, "ServiceAccount", None, BARE)
    await world.after(3, "ServiceAccount", BARE, FULL)
    await world.after(4, "ServiceAccount", FULL, {**FULL, "secrets": []})
    await world.after(5, "ServiceAccount", {**FULL, "secrets": []}, FULL)
    assert world.told == {ACCOUNTS: (1, 2), TOKENS: (1, 3)}


async def test_numbers_are_there_before_anything_happens() -> None:
    """A series that begins with its first failure cannot be alerted on."""
    assert World().told == {ACCOUNTS: (0, 0), TOKENS: (0, 0)}


async def test_account_that_is_seen_before_its_namespace() -> None:
    """Kinds are watched apart: no time has passed for whoever sees both."""
    world = World()
    await world.after(0, "ServiceAccount", None, FULL)
    await world.after(2, "Namespace", None, SPACE)
    assert world.told == {ACCOUNTS: (1, 0), TOKENS: (1, 0)}


@pytest.mark.parametrize(
    "story",
    [
        pytest.param([("Namespace", None, SPACE, True), ("ServiceAccount", None, BARE, False)],
                     id="a namespace that a list found"),
        pytest.param([("Namespace", None, SPACE, False), ("Namespace", SPACE, GOING, False),
                      ("ServiceAccount", None, BARE, False)], id="a namespace that is going"),
        pytest.param([("Namespace", None, SPACE, False), ("Namespace", SPACE, None, False),
                      ("ServiceAccount", None, BARE, False)], id="a namespace that has gone"),
        pytest.param([("Namespace", None, SPACE, False), ("ServiceAccount", None, OTHER, False)],
                     id="another account"),
        pytest.param([("ServiceAccount", None, BARE, True), ("ServiceAccount", BARE, FULL, False)],
                     id="an account that a list found"),
        pytest.param([("ServiceAccount", None, BARE, False), ("ServiceAccount", BARE, None, False),
                      ("ServiceAccount", None, FULL, True)], id="an account that has gone"),
    ],
)  # fmt: skip
async def test_nobody_knows_since_when(story: list[tuple[str, Any, Any, bool]]) -> None:
    """Where the beginning was not seen, or there was nothing to wait for, nothing is counted."""
    world = World()
    for kind, old, new, listed in story:
        await world.after(1, kind, old, new, listed=listed)
    assert {count for count, _ in world.told.values()} == {0}


def test_what_is_waited_for_has_an_end() -> None:
    """Accounts that never get a token do not fill the memory."""
    world = World()
    for number in range(WAITING_MAX + 50):
        metadata = {"name": f"a{number}", "namespace": "n"}
        world.hear("ServiceAccount", None, {"metadata": metadata})
    assert len(world.times._tokens._since) == WAITING_MAX


def test_only_what_is_watched_anyway_is_followed() -> None:
    """A controller that is off adds no watch."""
    assert [kind for kind, _ in World("namespace-controller").heard] == []
    assert [kind for kind, _ in World("serviceaccount-token-controller").heard] == [
        "ServiceAccount"
    ]


async def test_passes_are_counted_by_what_came_of_them() -> None:
    """A success is 200, an error of the server its code, any other 500. upstream: rootcacertpublisher/metrics_test.go"""
    cluster = Cluster()
    outcomes: list[Exception | None] = [None, NotFound("x"), ValueError("no code"), None]

    async def work(_: str) -> Result:
        outcome = outcomes.pop()
        if outcome is not None:
            raise outcome
        return DONE

    measured = Measured(Scripted(cluster, work), cluster.clock, metric="root_ca_cert_publisher")
    for outcome in list(reversed(outcomes)):
        if outcome is None:
            assert await measured.reconcile("n") is DONE
        else:
            with pytest.raises(type(outcome)):
                await measured.reconcile("n")
    total, seconds = measured.families()
    assert {s.labels["code"]: s.value for s in total.samples} == {"200": 2, "404": 1, "500": 1}
    assert {s.name for s in seconds.samples} == {
        f"root_ca_cert_publisher_sync_duration_seconds_{part}"
        for part in ("bucket", "count", "sum")
    }
