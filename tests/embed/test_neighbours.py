"""A daemon stays away from where another manager does the same work, and from nowhere else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, Final

import pytest
from aiohttp import web
from verger.controllers.election import ElectionOptions
from verger.embed.neighbours import (
    MANAGER,
    NEWEST,
    PAGES_MAX,
    PATIENCE,
    RECENT,
    Neighbourhood,
)
from verger.embed.options import StartError
from verger.store.kinds import built_in
from verger.store.timestamps import format_micro, format_time

from tests.store.scripted_server import QuickClock, Script, listening, remote_server

KINDS: Final = built_in()
AHEAD: Final = 7200.0
"""Seconds by which the server's clock is ahead of the daemon's."""
OURS: Final = ElectionOptions(identity="this", namespace="verger-system")
ACCOUNTS: Final = "serviceaccount-controller"
TOKENS: Final = "serviceaccount-token-controller"
ROOT_CA: Final = "root-ca-publisher"
NAMESPACES: Final = "namespace-controller"
ALL: Final = (ACCOUNTS, TOKENS, ROOT_CA, NAMESPACES)
LEASES: Final = "/apis/coordination.k8s.io/v1/namespaces/"


@dataclass
class World(Script):
    """A server: namespaces with their ages, what lies in them, and leases. Ages are seconds by its own clock."""

    namespaces: Mapping[str, float] = field(default_factory=dict)
    writes: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    """Path of a collection -> the manager of the one object there, and how long ago it wrote."""
    leases: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    """`namespace/name` -> holder and age."""
    endless: bool = False
    broken: int = 0
    """How many requests fail before the first one that does not."""
    now: float = AHEAD

    def __post_init__(self) -> None:
        super().__init__()
        self.paths: list[str] = []

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.paths.append(request.path)
        if self.broken:
            self.broken -= 1
            return web.Response(status=500)
        if request.path.startswith(LEASES):
            namespace, _, name = request.path.removeprefix(LEASES).split("/")
            return self.lease(f"{namespace}/{name}")
        assert "PartialObjectMetadataList" in request.headers["Accept"], "a Secret could be read"
        items = (
            [self.namespace(name) for name in self.namespaces]
            if request.path == "/api/v1/namespaces"
            else self.written(request.path)
        )
        return web.json_response(
            {"items": items, "metadata": {"continue": "more" if self.endless else ""}},
            headers={"Date": formatdate(self.now, usegmt=True)},
        )

    def lease(self, name: str) -> web.Response:
        if name not in self.leases:
            return web.json_response(
                {"kind": "Status", "reason": "NotFound", "code": 404}, status=404
            )
        holder, age = self.leases[name]
        renewed = format_micro(self.now - AHEAD - age)
        spec = {"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": renewed}
        return web.json_response({"metadata": {"name": name}, "spec": spec})

    def namespace(self, name: str) -> Mapping[str, Any]:
        created = format_time(self.now - self.namespaces[name])
        return {
            "metadata": {
                "name": name,
                "creationTimestamp": created,
                "managedFields": self.fields(f"/api/v1/namespaces/{name}"),
            }
        }

    def written(self, path: str) -> Sequence[Any]:
        fields = self.fields(path)
        namespace = path.split("/")[4]
        metadata = {"name": "it", "namespace": namespace, "managedFields": fields}
        return [{"metadata": metadata}] if fields else []

    def fields(self, path: str) -> Sequence[Any]:
        if path not in self.writes:
            return []
        manager, age = self.writes[path]
        return [{"manager": manager, "operation": "Update", "time": format_time(self.now - age)}]


async def said(world: World, *controllers: str, own: ElectionOptions | None = OURS) -> str:
    """What keeps the daemon from starting, empty when nothing does."""
    clock = QuickClock()
    world.now = clock.time() + AHEAD
    async with listening(world) as url:
        server = remote_server(url, KINDS, clock)
        try:
            await Neighbourhood(server, KINDS, clock, retry_period=2.0).check(controllers, own)
        except StartError as error:
            return str(error)
        finally:
            await server.close()
    return ""


NEW: Final = {"new": 20.0}
MAPS: Final = "/api/v1/namespaces/new/configmaps"


@pytest.mark.parametrize(
    ("world", "words"),
    [
        pytest.param(
            World(NEW, {MAPS: (MANAGER, 20)}),
            f"{MANAGER} is at work as {ROOT_CA} (it wrote ConfigMap new/it 20 s ago)",
            id="it has published the root CA in a new namespace",
        ),
        pytest.param(
            World(NEW, {"/api/v1/namespaces/new/serviceaccounts": (MANAGER, 5)}),
            f"as {ACCOUNTS} (it wrote ServiceAccount new/it 5 s ago)",
            id="it has written the account of a new namespace",
        ),
        pytest.param(
            World(NEW, {"/api/v1/namespaces/new/secrets": (MANAGER, 0)}),
            f"as {TOKENS} (it wrote Secret new/it 0 s ago)",
            id="it has filled a token",
        ),
        pytest.param(
            World({"old": 1e6}, {"/api/v1/namespaces/old": (MANAGER, 30)}),
            f"as {NAMESPACES} (it wrote Namespace old 30 s ago)",
            id="it is emptying an old namespace",
        ),
        pytest.param(
            World(NEW, {MAPS: (MANAGER, -3)}),
            "0 s ago",
            id="the clock of another replica of the server is ahead",
        ),
        pytest.param(
            World(leases={"kube-system/kube-controller-manager": ("m1", 3)}),
            "m1 runs the controllers of this cluster (it holds the lease",
            id="it holds its lease",
        ),
    ],
)
async def test_another_manager_is_at_work(world: World, words: str) -> None:
    """One line says who, by what it is known, and what to do."""
    text = await said(world, *ALL)
    assert words in text
    assert "\n" not in text
    assert text.endswith("with --adopt")


@pytest.mark.parametrize(
    ("world", "controllers"),
    [
        pytest.param(World(), ALL, id="an empty cluster"),
        pytest.param(World(NEW), ALL, id="nobody has served the new namespace"),
        pytest.param(
            World(NEW, {MAPS: ("root-ca-cert-publisher", 20)}), ALL, id="it was one of ours"
        ),
        pytest.param(
            World({"old": RECENT + 60}, {"/api/v1/namespaces/old/configmaps": (MANAGER, 1)}),
            ALL,
            id="an old namespace is not looked into",
        ),
        pytest.param(
            World({"new": 170.0, "old": 1e6}, {MAPS: (MANAGER, RECENT + 1)}),
            ALL,
            id="it wrote some minutes ago and may have been switched off",
        ),
        pytest.param(
            World({"old": 1e6}, {"/api/v1/namespaces/old": (MANAGER, RECENT)}),
            ALL,
            id="it emptied a namespace some minutes ago",
        ),
        pytest.param(
            World(NEW, {MAPS: (MANAGER, 20)}),
            (ACCOUNTS, TOKENS, NAMESPACES),
            id="it does what this daemon does not",
        ),
        pytest.param(
            World(NEW, {MAPS: (MANAGER, 20)}, {"verger-system/verger": ("another", 5)}),
            ALL,
            id="a replica of ours is at work, and this one joins it",
        ),
        pytest.param(
            World(leases={"kube-system/kube-controller-manager": ("m1", 3600)}),
            ALL,
            id="its lease is old and does not change",
        ),
        pytest.param(
            World(leases={"kube-system/kube-controller-manager": ("", 3)}),
            ALL,
            id="it has let its lease go",
        ),
    ],
)
async def test_nobody_else_is_at_work(world: World, controllers: Sequence[str]) -> None:
    """What somebody has left behind, or does besides, keeps nobody away."""
    assert await said(world, *controllers) == ""


async def test_own_lease_that_is_old_joins_nobody() -> None:
    """Those who held it have gone: what the new namespaces say counts."""
    world = World(NEW, {MAPS: (MANAGER, 20)}, {"verger-system/verger": ("another", 16)})
    assert MANAGER in await said(world, *ALL)


async def test_daemon_under_the_same_lease_waits_for_its_turn() -> None:
    """Where both stand for one lease, only one of them works at a time."""
    world = World(leases={f"kube-system/{MANAGER}": ("m1", 3)})
    own = ElectionOptions(identity="this", name=MANAGER)
    assert await said(world, *ALL, own=own) == ""


async def test_look_is_bounded() -> None:
    """However many namespaces there are and are new, the server is asked so many times and no more."""
    many = World({f"n{number:03}": float(number % 100) for number in range(500)}, endless=True)
    assert await said(many, *ALL) == ""
    assert many.paths.count("/api/v1/namespaces") == PAGES_MAX
    assert len(many.paths) <= PAGES_MAX + 3 * NEWEST + 3
    looked = {path.split("/")[4] for path in many.paths if path.startswith("/api/v1/namespaces/")}
    assert looked == {"n000", "n100", "n200", "n300", "n400"}, "not the newest ones"


async def test_server_that_fails_is_asked_again_for_a_while() -> None:
    """A start during a restart of the server is none that a person has to repeat; one that goes on failing is."""
    assert await said(World(NEW, broken=4), *ALL) == ""
    text = await said(World(NEW, broken=1000), *ALL)
    assert text.startswith("cannot see whether another controller manager runs here: ")
    assert PATIENCE == 10.0
