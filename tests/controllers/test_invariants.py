"""Whatever users do, and whoever is killed in between: when all is quiet, the same sentences are true."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine
from verger.store.errors import ApiError
from verger.store.objects import (
    annotations_of,
    is_terminating,
    key_of,
    name_of,
    namespace_of,
    uid_of,
)

from tests.controllers.clients import Call, Side, any_name
from tests.controllers.harness import ALL, Cluster, some_kinds
from tests.controllers.objects import (
    ABSENT,
    ACCOUNT_NAME,
    ACCOUNT_UID,
    ROOT_CA_MAP,
    TOKEN_TYPE,
    account,
    config_map,
    empty_token_secret,
    flaws,
    namespace,
    root_ca_map,
    token_secret,
)

KINDS = ("Namespace", "Event", "ConfigMap", "Secret", "ServiceAccount")
SPACES = st.sampled_from(["one", "two"])
ACCOUNT_NAMES = st.sampled_from(["default", "a", "b"])
SECRET_NAMES = st.sampled_from(["s", "t", "default-token-s"])
CONTROLLERS = st.sampled_from(ALL)


class Life(RuleBasedStateMachine):
    """Users and killers at work. After each of their deeds the controllers get some turns, or none."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.cluster: Cluster = self.runner.run(self._begin())
        self.condemned: dict[str, set[str]] = {}
        """uid of a namespace that was deleted -> the uids of what was in it then."""
        self.dead: set[str] = set()
        self.held: set[str] = set()

    async def _begin(self) -> Cluster:
        cluster = Cluster(*ALL, kinds=some_kinds(*KINDS))
        await cluster.start()
        return cluster

    def do(self, deed: Awaitable[object], turns: bool = True) -> None:
        """What the server refuses does not happen."""

        async def done() -> None:
            with contextlib.suppress(ApiError):
                await deed
            if turns:
                await self.cluster.clock.advance()

        self.runner.run(done())

    def edit(self, kind: str, key: str, change: Callable[[Any], object], turns: bool) -> None:
        """A change of an object, if there is one."""
        self.do(self.cluster.edit(kind, key, change), turns)

    # Namespaces

    @initialize()
    def some_world(self) -> None:
        """There is one namespace to begin with."""
        self.do(self.cluster.create(namespace("one")))

    @rule(space=SPACES, turns=st.booleans())
    def namespace_comes(self, space: str, turns: bool) -> None:
        self.do(self.cluster.create(namespace(space)), turns)

    @rule(space=SPACES, turns=st.booleans())
    def namespace_goes(self, space: str, turns: bool) -> None:
        async def condemn() -> None:
            found = await self.cluster.get("Namespace", space)
            if not is_terminating(found):
                inside = {uid_of(o) for o in await self.inside(space)}
                self.condemned[uid_of(found)] = inside
            await self.cluster.delete("Namespace", space)

        self.do(condemn(), turns)

    async def inside(self, space: str) -> list[Any]:
        """What there is in a namespace."""
        return [o for o in await self.cluster.everything() if namespace_of(o) == space]

    # Accounts

    @rule(space=SPACES, name=ACCOUNT_NAMES, refers=st.booleans(), turns=st.booleans())
    def account_comes(self, space: str, name: str, refers: bool, turns: bool) -> None:
        made = account(f"{space}/{name}", *(["s"] if refers else []))
        self.do(self.cluster.create(made), turns)

    @rule(space=SPACES, name=ACCOUNT_NAMES, turns=st.booleans())
    def account_goes(self, space: str, name: str, turns: bool) -> None:
        self.do(self.cluster.delete("ServiceAccount", f"{space}/{name}"), turns)

    @rule(space=SPACES, name=ACCOUNT_NAMES, turns=st.booleans())
    def account_is_replaced(self, space: str, name: str, turns: bool) -> None:
        self.do(self.cluster.delete("ServiceAccount", f"{space}/{name}"), turns=False)
        self.do(self.cluster.create(account(f"{space}/{name}")), turns)

    @rule(space=SPACES, name=ACCOUNT_NAMES, turns=st.booleans())
    def account_is_written_without_references(self, space: str, name: str, turns: bool) -> None:
        self.do(self.cluster.update(account(f"{space}/{name}")), turns)

    # Secrets

    @rule(
        space=SPACES,
        name=SECRET_NAMES,
        owner=ACCOUNT_NAMES,
        uid=st.sampled_from(["", "an earlier one", "current"]),
        turns=st.booleans(),
    )
    def secret_comes(self, space: str, name: str, owner: str, uid: str, turns: bool) -> None:
        key = f"{space}/{name}"
        made = empty_token_secret(key, owner)
        if uid == "current":
            made = token_secret(key, owner, uid=ABSENT)
        elif uid:
            made["metadata"]["annotations"][ACCOUNT_UID] = uid
        self.do(self.cluster.create(made), turns)

    @rule(space=SPACES, name=SECRET_NAMES, turns=st.booleans())
    def secret_goes(self, space: str, name: str, turns: bool) -> None:
        self.do(self.cluster.delete("Secret", f"{space}/{name}"), turns)

    @rule(space=SPACES, name=ACCOUNT_NAMES, turns=st.booleans())
    def token_of_ours_goes(self, space: str, name: str, turns: bool) -> None:
        for token in self.runner.run(self.cluster.tokens_of(f"{space}/{name}")):
            self.do(self.cluster.delete("Secret", f"{space}/{token}"), turns)

    @rule(space=SPACES, text=st.sampled_from(["", "c2NyaWJibGU=", "YS5iLmM="]), turns=st.booleans())
    def tokens_are_scribbled_over(self, space: str, text: str, turns: bool) -> None:
        for secret in self.runner.run(self.cluster.all("Secret", space)):
            key = key_of(space, name_of(secret))
            self.edit("Secret", key, lambda o: o.update(data={"token": text}), turns)

    @rule(space=SPACES, name=SECRET_NAMES, owner=ACCOUNT_NAMES, turns=st.booleans())
    def secret_is_handed_over(self, space: str, name: str, owner: str, turns: bool) -> None:
        def change(obj: Any) -> None:
            notes = obj["metadata"]["annotations"]
            notes[ACCOUNT_NAME] = owner
            notes.pop(ACCOUNT_UID, None)

        self.edit("Secret", f"{space}/{name}", change, turns)

    # The root CA

    @rule(space=SPACES, turns=st.booleans())
    def root_ca_is_changed(self, space: str, turns: bool) -> None:
        key = f"{space}/{ROOT_CA_MAP}"
        self.edit("ConfigMap", key, lambda o: o.update(data={"ca.crt": "theirs"}), turns)

    @rule(space=SPACES, wrong=st.booleans(), turns=st.booleans())
    def root_ca_is_replaced(self, space: str, wrong: bool, turns: bool) -> None:
        self.do(self.cluster.delete("ConfigMap", f"{space}/{ROOT_CA_MAP}"), turns=False)
        if wrong:
            self.do(self.cluster.create(root_ca_map(space, "theirs")), turns)

    # Killers

    @precondition(lambda self: len(self.dead) < len(ALL))
    @rule(name=CONTROLLERS, calls=st.integers(0, 4), side=st.sampled_from(["before", "after"]))
    def controller_is_doomed(self, name: str, calls: int, side: Side) -> None:
        """Killed at one of its next awaits, and dead until it is woken."""
        left = [calls]

        async def kill(call: Call, at: Side) -> None:
            if at != side:
                return
            left[0] -= 1
            if left[0] == -1:
                self.killing = asyncio.create_task(self.cluster.manager.stop(name))
                await asyncio.get_running_loop().create_future()

        self.dead.add(name)
        self.cluster.clients[name].taps.append(kill)

    @rule(name=CONTROLLERS)
    def controller_is_stopped(self, name: str) -> None:
        self.dead.add(name)
        self.do(self.cluster.manager.stop(name))

    @rule()
    def all_are_woken(self) -> None:
        async def wake() -> None:
            await self.cluster.clock.advance()  # whoever is being killed has died
            self.wake()

        self.do(wake())

    @rule()
    def process_is_replaced(self) -> None:
        async def replace() -> None:
            await self.cluster.stop()
            self.cluster.renew()
            self.cluster.begin()

        for client in self.cluster.clients.values():
            client.taps.clear()
        self.dead.clear()
        self.do(replace())

    def wake(self) -> None:
        """Nobody is doomed, and everybody lives."""
        for name in self.dead:
            self.cluster.clients[name].taps.clear()
            self.cluster.manager.start(name)
        self.dead.clear()

    @rule(kind=st.sampled_from(["Namespace", "ServiceAccount", "Secret", "ConfigMap"]))
    def news_are_held_back(self, kind: str) -> None:
        self.held.add(kind)
        self.cluster.informers.hold(kind)

    @rule()
    def news_arrive(self) -> None:
        self.release()
        self.do(self.cluster.clock.advance())

    def release(self) -> None:
        """Nothing is held back any more."""
        self.held.clear()
        self.cluster.informers.release()

    @rule(seconds=st.sampled_from([0.005, 1.0, 5.0]))
    def time_passes(self, seconds: float) -> None:
        self.do(self.cluster.clock.advance(seconds))

    # What came and went while news were held back and history was lost is a matter of its own: see test_stale_caches.
    @precondition(lambda self: not self.held)
    @rule()
    def history_is_lost(self) -> None:
        async def lose() -> None:
            self.cluster.backend.compact(self.cluster.backend.revision)

        self.do(lose())

    # What is true when all is quiet

    @rule()
    def all_is_quiet(self) -> None:
        """Everybody lives, hears and has done what there was to do."""
        self.runner.run(self._look())

    async def _look(self) -> None:
        await self.cluster.clock.advance()
        self.release()
        self.wake()
        await self.cluster.settle()
        await check(self.cluster)
        await self._check_condemned()

    async def _check_condemned(self) -> None:
        for space in await self.cluster.all("Namespace"):
            if uid_of(space) in self.condemned:
                there = {uid_of(o) for o in await self.inside(name_of(space))}
                assert there <= self.condemned[uid_of(space)], "something came to life again"

    @rule()
    def namespaces_linger(self) -> None:
        """With nobody to end them, terminating namespaces keep what they had, and get nothing."""

        async def linger() -> None:
            await self.cluster.manager.stop(ALL[2])
            self.dead.add(ALL[2])
            await self.cluster.clock.advance(1)
            await self._check_condemned()

        self.do(linger())

    def teardown(self) -> None:
        """One last look."""
        try:
            self.runner.run(self._look())
        finally:
            self.runner.run(self.cluster.stop())
            self.runner.close()


async def check(cluster: Cluster) -> None:
    """What is true of a quiet world."""
    spaces = {name_of(o): o for o in await cluster.all("Namespace")}
    assert not [name for name, o in spaces.items() if is_terminating(o)], "namespaces linger"
    accounts = {key_of(namespace_of(o), name_of(o)): o for o in await cluster.all("ServiceAccount")}
    uids = {key: uid_of(o) for key, o in accounts.items()}
    secrets = {key_of(namespace_of(o), name_of(o)): o for o in await cluster.all("Secret")}
    maps = {key_of(namespace_of(o), name_of(o)): o for o in await cluster.all("ConfigMap")}
    for space in spaces:
        assert f"{space}/default" in accounts, "no default account"
        assert maps[f"{space}/{ROOT_CA_MAP}"]["data"] == {"ca.crt": "CA Data"}
    for key, secret in secrets.items():
        assert secret["type"] == TOKEN_TYPE
        wrong = flaws(secret, uids, cluster.key.public_key, "CA Data")
        assert wrong in ([], ["no uid"]), f"{key}: {wrong}"
    owners: dict[str, list[str]] = {}
    for secret in secrets.values():
        name = annotations_of(secret)[ACCOUNT_NAME]
        if any_name(name_of(secret)) == f"{name}-token-*":
            owners.setdefault(key_of(namespace_of(secret), name), []).append(name_of(secret))
    for key, found in accounts.items():
        own = owners.get(key, [])
        assert len(own) == 1, f"{key} has {own}"
        refers = [entry.get("name", "") for entry in found.get("secrets") or ()]
        ours = [name for name in refers if any_name(name) == f"{name_of(found)}-token-*"]
        assert ours == own, f"{key} refers to {ours} and has {own}"
    for key in (*accounts, *secrets, *maps):
        assert key.split("/")[0] in spaces


def test_invariants() -> None:
    """One token of ours for each account, good tokens alone, no orphans, default account and root CA everywhere."""
    run_machine(
        Life,
        settings=settings(
            max_examples=40,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            database=None,
        ),
    )


@pytest.mark.soak
def test_invariants_for_long() -> None:
    """The same, a hundred thousand steps of it."""
    run_machine(
        Life,
        settings=settings(max_examples=1000, stateful_step_count=100, deadline=None, database=None),
    )


async def test_check_sees_what_is_wrong() -> None:
    """The look at the world fails for each thing that can be wrong with it."""
    cluster = Cluster(*ALL, kinds=some_kinds(*KINDS))
    await cluster.create(namespace("one"))
    async with cluster:
        await check(cluster)
    (own,) = await cluster.tokens_of("one/default")
    damages: list[Callable[[], Awaitable[object]]] = [
        lambda: cluster.edit("Secret", f"one/{own}", lambda o: o["data"].update(token="eA==")),
        lambda: cluster.edit("ServiceAccount", "one/default", lambda o: o.pop("secrets")),
        lambda: cluster.delete("ConfigMap", f"one/{ROOT_CA_MAP}"),
        lambda: cluster.delete("ServiceAccount", "one/default"),
        lambda: cluster.create(token_secret("one/default-token-bbbbb")),
        lambda: cluster.create(empty_token_secret("one/s", "ghost")),
        lambda: cluster.delete("Namespace", "one"),
        lambda: cluster.delete("Secret", f"one/{own}"),
        lambda: cluster.edit("ConfigMap", f"one/{ROOT_CA_MAP}", lambda o: o.update(data={})),
    ]
    for damage in damages:
        fresh = Cluster(*ALL, kinds=some_kinds(*KINDS))
        await fresh.create(namespace("one"), config_map("one/mine"))
        async with fresh:
            pass
        cluster = fresh
        (own,) = await cluster.tokens_of("one/default")
        await damage()
        with pytest.raises((AssertionError, KeyError)):
            await check(cluster)
