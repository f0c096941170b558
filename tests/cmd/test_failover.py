"""Several daemons beside an API server in a process of its own: one works, and when it dies or sleeps another goes on."""

import asyncio
import base64
import json
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import pytest
from verger.store.errors import Gone
from verger.store.objects import name_of, namespace_of
from verger.store.rules.configuration import TOKEN_SECRET
from verger.watch.event import Event, Expired, StreamEnded

from tests.cmd.beside import FAST, Daemon, Site, processes_in
from tests.cmd.relay import Relay

FEW: Final = 40
SIZES: Final = [
    pytest.param(FEW, id="a few namespaces"),
    pytest.param(1000, id="a storm of namespaces", marks=pytest.mark.soak),
]
LEASE: Final = (
    "--leader-elect-lease-duration=3",
    "--leader-elect-renew-deadline=2.4",
    "--leader-elect-retry-period=0.25",
)
"""It expires within the patience of a test, and a leader that has to wait for a processor keeps it."""
DEADLINE: Final = 240.0
"""Seconds for a storm on a busy machine; reaching them is a failure."""


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """An API server without controllers, as a process."""
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(processes_in(tmp_path))


async def replicas(site: Site, count: int) -> list[tuple[Daemon, Relay]]:
    """Daemons that are ready, each behind a relay of its own; the first of them leads."""
    found = []
    for _ in range(count):
        relay = await site.relay()
        found.append((await site.run(*FAST, *LEASE, f"--master={relay.url}"), relay))
        if len(found) == 1:
            await found[0][0].until("became leader")
    await asyncio.gather(*(daemon.until("ready") for daemon, _ in found[1:]))
    return found


async def storm(site: Site, names: Sequence[str]) -> None:
    """Makes namespaces, as fast as some clients can."""
    left = list(reversed(names))

    async def client() -> None:
        while left:
            await site.namespace(left.pop())

    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(client())


async def served(site: Site, names: Sequence[str], *, but: int = 0) -> None:
    """Waits until the accounts of all these namespaces refer to a token, but for so many."""
    client, kind = site.plane.client, site.plane.kinds.core("ServiceAccount")
    missing = set(names)
    async with asyncio.timeout(DEADLINE):
        while True:
            found = await client.list(kind)
            missing -= {namespace_of(item) for item in found.items if item.get("secrets")}
            stream = await client.watch(kind, after=found.revision)
            try:
                while len(missing) > but:
                    for event in await stream.read():
                        if isinstance(event, Event) and event.object.get("secrets"):
                            missing.discard(namespace_of(event.object))
                return
            except (Expired, StreamEnded, Gone):
                continue
            finally:
                stream.close()


async def everything_is_there_once(site: Site, names: Sequence[str]) -> None:
    """One account, one token of its own, one root CA in each namespace, and nothing besides."""
    client, core = site.plane.client, site.plane.kinds.core
    await site.until("ConfigMap", "", lambda maps: set(names) <= set(map(namespace_of, maps)))
    accounts = {
        namespace_of(item): item for item in (await client.list(core("ServiceAccount"))).items
    }
    secrets = (await client.list(core("Secret"), fields=f"type={TOKEN_SECRET}")).items
    tokens = {namespace_of(item): item for item in secrets}
    assert Counter(map(namespace_of, secrets)).most_common(1)[0][1] == 1, "two tokens"
    for name in names:
        account, token = accounts[name], tokens[name]
        assert [entry["name"] for entry in account["secrets"]] == [name_of(token)]
        _, claims, _ = base64.b64decode(token["data"]["token"]).split(b".")
        said = json.loads(base64.urlsafe_b64decode(claims + b"=="))
        assert said["sub"] == f"system:serviceaccount:{name}:default"
        assert said["kubernetes.io/serviceaccount/secret.name"] == name_of(token)


@pytest.mark.parametrize("count", SIZES)
async def test_next_one_finishes_what_a_killed_leader_began(count: int, site: Site) -> None:
    """Of three, one at a time writes; killed in the middle of a storm, it leaves nothing double and nothing undone."""
    (first, relay), *others = await replicas(site, 3)
    names = [f"n{number:04}" for number in range(count)]
    began = time.monotonic()
    making = asyncio.create_task(storm(site, names))
    await served(site, names, but=count - count // 10)
    first.send(signal.SIGKILL)
    killed = time.monotonic()
    await making
    waiting = [asyncio.create_task(daemon.until("became leader")) for daemon, _ in others]
    ended, left = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    led = time.monotonic()
    for task in left:
        task.cancel()
    (winner,) = [other for other, task in zip(others, waiting, strict=True) if task in ended]
    (loser,) = [other for other in others if other is not winner]
    await served(site, names)
    done = time.monotonic()
    await everything_is_there_once(site, names)
    assert relay.writes
    assert winner[1].writes, "there was nothing left to do"
    assert loser[1].writes == [], "one that waits has written"
    assert (await site.lease())["leaseTransitions"] == 1
    # Its caches were full: the first write did not wait for any list.
    first_write = next(one.at for one in winner[1].passed if str(one) in winner[1].writes)
    assert first_write - led < 5.0
    print(  # noqa: T201 - figures for whoever runs the storm
        f"{count} namespaces: killed after {killed - began:.1f} s, next leader {led - killed:.1f} s later, all served "
        f"{done - led:.1f} s after that, the first write after {first_write - led:.2f} s; writes {len(relay.writes)} + {len(winner[1].writes)} + 0"
    )
    assert await winner[0].end() == 0


@pytest.mark.parametrize("count", SIZES)
async def test_leader_that_was_stopped_writes_nothing_when_it_wakes(count: int, site: Site) -> None:
    """It was in the middle of much work. Its time was over while it slept; the other one works, and it stands by."""
    (first, relay), (second, _) = await replicas(site, 2)
    names = [f"n{number:04}" for number in range(count)]
    making = asyncio.create_task(storm(site, names))
    await served(site, names, but=count - count // 10)
    first.send(signal.SIGSTOP)
    await making
    await second.until("became leader")
    before = len(relay.writes)
    await site.namespace("late")
    first.send(signal.SIGCONT)
    await first.until("stopped leading")
    await served(site, [*names, "late"])
    await everything_is_there_once(site, [*names, "late"])
    assert 0 < before < 4 * count, "there was nothing left to do"
    assert relay.writes[before:] == []
    print(f"{count} namespaces: {before} writes before it slept, 0 after")  # noqa: T201 - see above
    assert await second.end() == 0
    # It is still there, and takes over.
    await first.until("became leader")
    assert await first.end() == 0
