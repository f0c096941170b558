"""Any controller may be killed at any await: the next one finds its way to the same world. Enumerated, not sampled.

A script of what users do is played once undisturbed. Then, for each controller and each call that it waits for, the
script is played again, the controller is killed right before or right after that call took effect, and the world at the
end has to be the same.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import pytest

from tests.controllers.clients import Call, Side, TappedKey
from tests.controllers.harness import (
    ACCOUNTS,
    ALL,
    NAMESPACES,
    ROOT_CA,
    TOKENS,
    Cluster,
    some_kinds,
)
from tests.controllers.objects import (
    ROOT_CA_MAP,
    account,
    config_map,
    empty_token_secret,
    namespace,
    token_secret,
)

Life = Literal["at once", "later", "all of them"]
"""When the controller lives again: at once, when the script is over, or at once in another process with all others."""

KINDS = ("Namespace", "Event", "ConfigMap", "Secret", "ServiceAccount", "Pod")
POINTS = {ACCOUNTS: 4, TOKENS: 55, NAMESPACES: 45, ROOT_CA: 6}
"""Awaits that the script leads through, at least: fewer mean that it does not show what it is to show."""


async def namespaces_come(cluster: Cluster) -> None:
    await cluster.create(namespace("default"), namespace("one"), namespace("two"))


async def accounts_come(cluster: Cluster) -> None:
    await cluster.create(account("one/builder"), account("two/robot", "missing"))


async def secrets_come(cluster: Cluster) -> None:
    await cluster.create(
        empty_token_secret("one/hand", "builder"), empty_token_secret("one/lost", "ghost")
    )


async def reference_comes(cluster: Cluster) -> None:
    def refer(obj: dict[str, Any]) -> None:
        obj["secrets"] = [*obj.get("secrets", ()), {"name": "hand"}]

    await cluster.edit("ServiceAccount", "one/builder", refer)


async def default_account_goes(cluster: Cluster) -> None:
    await cluster.delete("ServiceAccount", "one/default")


async def root_ca_is_damaged(cluster: Cluster) -> None:
    await cluster.delete("ConfigMap", f"one/{ROOT_CA_MAP}")
    if await cluster.has("ConfigMap", f"two/{ROOT_CA_MAP}"):
        await cluster.edit("ConfigMap", f"two/{ROOT_CA_MAP}", lambda o: o.update(data={"x": "y"}))


async def token_is_damaged(cluster: Cluster) -> None:
    await cluster.edit("Secret", "one/hand", lambda o: o.update(data={"token": "c2NyaWJibGU="}))


async def token_of_ours_is_revoked(cluster: Cluster) -> None:
    for name in await cluster.tokens_of("one/builder"):
        await cluster.delete("Secret", f"one/{name}")


async def account_is_written_without_references(cluster: Cluster) -> None:
    await cluster.update(account("one/builder"))


async def account_is_replaced(cluster: Cluster) -> None:
    await cluster.delete("ServiceAccount", "two/robot")
    await cluster.create(account("two/robot"))


async def secret_goes(cluster: Cluster) -> None:
    await cluster.delete("Secret", "one/hand")


async def namespace_goes(cluster: Cluster) -> None:
    await cluster.create(config_map("two/held", finalizers=["example.com/x"]))
    await cluster.delete("Namespace", "two")
    await cluster.clock.advance(6)
    await cluster.edit("ConfigMap", "two/held", lambda o: o["metadata"].pop("finalizers"))


async def namespace_is_held(cluster: Cluster) -> None:
    held = namespace("three", spec={"finalizers": ["example.com/hold"]})
    await cluster.create(held, account("three/a"), token_secret("three/t", "a"))
    await cluster.delete("Namespace", "three")


Step = Callable[[Cluster], Awaitable[None]]
SCRIPT: tuple[Step, ...] = (
    namespaces_come,
    accounts_come,
    secrets_come,
    reference_comes,
    default_account_goes,
    root_ca_is_damaged,
    token_is_damaged,
    token_of_ours_is_revoked,
    account_is_written_without_references,
    account_is_replaced,
    secret_goes,
    namespace_goes,
)
ENDINGS: tuple[Step, ...] = (namespaces_come, accounts_come, namespace_goes, namespace_is_held)
"""What is of interest to those who end namespaces; a pass over one has many awaits, and the whole script is long."""


def script_of(controller: str) -> tuple[Step, ...]:
    """What is played for a controller."""
    return ENDINGS if controller == NAMESPACES else SCRIPT


class Kill:
    """A tap of one controller, deadly once: at the await of that number."""

    def __init__(self, cluster: Cluster, controller: str, at: int, side: Side, life: Life) -> None:
        self._cluster = cluster
        self._controller = controller
        self._at = at
        self._side = side
        self._life = life
        self.seen = 0
        self.struck: Call | None = None
        self.deed: asyncio.Task[None] | None = None

    @property
    def spent(self) -> bool:
        """Whether it has struck."""
        return self.struck is not None

    async def __call__(self, call: Call, side: Side) -> None:
        if side != self._side:
            return
        self.seen += 1
        if self.seen == self._at:
            self.struck = call
            self.deed = asyncio.create_task(self._kill())
            await asyncio.get_running_loop().create_future()  # until the cancellation comes

    async def _kill(self) -> None:
        cluster, name = self._cluster, self._controller
        if self._life == "all of them":
            await cluster.stop()
            cluster.renew()
            cluster.begin()
            return
        await cluster.manager.stop(name)
        if self._life == "at once":
            cluster.manager.start(name)

    async def done(self) -> bool:
        """Waits until the deed is done; whether there was one since the last time."""
        deed, self.deed = self.deed, None
        if deed is None:
            return False
        await deed
        return True


async def play(
    controller: str = TOKENS, at: int = 0, side: Side = "before", life: Life = "at once"
) -> tuple[Kill, list[str]]:
    """Plays the script, kills at the await of that number (0: never), and returns the world at the end."""
    cluster = Cluster(*ALL, kinds=some_kinds(*KINDS))
    kill = Kill(cluster, controller, at, side, life)
    taps = cluster.clients[controller].taps
    taps.append(kill)
    if controller == TOKENS:
        assert isinstance(cluster.key, TappedKey)
        cluster.key.taps = taps
    await cluster.start()
    for step in script_of(controller):
        await step(cluster)
        await cluster.settle()
        if await kill.done():
            await cluster.settle()
    if life == "later" and kill.spent:
        cluster.manager.start(controller)
        await cluster.settle()
    picture = await cluster.picture()
    await cluster.stop()
    return kill, picture


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, tuple[int, list[str]]]:
    """The number of awaits of each controller, and the world at the end when nobody is killed."""

    async def all_of_them() -> dict[str, tuple[int, list[str]]]:
        played = {name: await play(name) for name in ALL}
        return {name: (kill.seen, picture) for name, (kill, picture) in played.items()}

    return asyncio.run(all_of_them())


def test_script_leads_through_enough_awaits(
    undisturbed: dict[str, tuple[int, list[str]]],
) -> None:
    """No refactoring takes the points away unnoticed, and the script has one outcome."""
    for name, (points, picture) in undisturbed.items():
        assert points >= POINTS[name], name
        if name != NAMESPACES:
            assert picture == undisturbed[TOKENS][1]


ENDS: list[tuple[Side, Life]] = [
    ("before", "at once"),
    ("after", "later"),
    ("after", "all of them"),
]
"""Every await is met, every side and every life. The other pairs take as long again."""
OTHER_ENDS: list[tuple[Side, Life]] = [
    ("after", "at once"),
    ("before", "later"),
    ("before", "all of them"),
]


@pytest.mark.parametrize(
    ("side", "life"),
    [*ENDS, *(pytest.param(*end, marks=pytest.mark.soak) for end in OTHER_ENDS)],
)
@pytest.mark.parametrize("controller", ALL)
async def test_killed_at_every_await(
    undisturbed: dict[str, tuple[int, list[str]]], controller: str, side: Side, life: Life
) -> None:
    """Wherever the controller is killed, and whenever it lives again, the world comes to the same end."""
    points, expected = undisturbed[controller]
    differences = {}
    for at in range(1, points + 1):
        kill, picture = await play(controller, at, side, life)
        assert kill.spent, f"await {at} of {points} never came"
        if picture != expected:
            changed = set(picture) ^ set(expected)
            differences[f"{at}: {side} {kill.struck}"] = sorted(changed)
    assert differences == {}


@pytest.mark.parametrize("down", [False, True])
async def test_reference_to_a_secret_of_a_user_that_goes_while_nobody_looks(down: bool) -> None:
    """Known and accepted: nobody can tell it from a reference to a Secret that is to come, so it stays."""
    cluster = Cluster(TOKENS, mode="on-request")
    await cluster.create(namespace("one"), account("one/a", "hand"), token_secret("one/hand", "a"))
    async with cluster:
        if down:
            await cluster.stop()
        await cluster.delete("Secret", "one/hand")
        if down:
            await cluster.restart()
        await cluster.settle()
        assert await cluster.references_of("one/a") == ["hand"] * down
