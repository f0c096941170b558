"""The operator against a control plane, as its account: on a good day, on bad ones, and as it was before."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import kopf
import pytest
import yaml
from kopf.testing import KopfRunner
from verger.embed import BlockingPlane
from verger.store.errors import NotFound

HERE = Path(__file__).parent
ROBOT = "team/robot"
HANDLED = "kopf.zalando.org/last-handled-configuration"


def manifests(name: str) -> list[Any]:
    return list(yaml.safe_load_all((HERE / name).read_text()))


def named(name: str) -> dict[str, str]:
    return {"name": name, "namespace": "team"}


@pytest.fixture
def team(verger: BlockingPlane, verger_login: Callable[[Path], None]) -> BlockingPlane:
    """A plane with what the operator is deployed with, whose clients find it as the operator's account."""
    verger.namespace("team")
    verger.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": named("robot")})
    verger.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": named("routes")})
    for manifest in manifests("crd.yaml") + manifests("role.yaml"):
        verger.create(manifest)
    verger_login(verger.as_service_account("team", "robot").kubeconfig)
    return verger


@contextmanager
def running(program: str = "routes.py") -> Iterator[None]:
    """The operator at work, as `kopf run` starts it."""
    kopf.set_default_registry(type(kopf.get_default_registry())())  # the last run left its handlers
    command = ["run", "--standalone", "--namespace", "team", str(HERE / program)]
    with KopfRunner(command, timeout=30):
        yield


def route(team: BlockingPlane, name: str, service: str) -> None:
    """Writes a route, and returns when the operator has done with it."""
    obj = {"apiVersion": "proxy.example.com/v1", "kind": "Route", "metadata": named(name)}
    team.create({**obj, "spec": {"host": f"{name}.example.com", "service": service}})
    eventually(lambda: HANDLED in read(team, name)["metadata"].get("annotations", {}))


def read(team: BlockingPlane, name: str) -> Any:
    return team.get("proxy.example.com/v1", "Route", name, "team")


def table(team: BlockingPlane) -> dict[str, str]:
    return dict(team.get("v1", "ConfigMap", "routes", "team").get("data") or {})


def eventually(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_gone(team: BlockingPlane, name: str) -> bool:
    try:
        read(team, name)
    except NotFound:
        return True
    return False


def test_table_follows_the_routes(team: BlockingPlane) -> None:
    with running():
        route(team, "shop", "cart")
        route(team, "blog", "press")
        assert table(team) == {"shop.example.com": "cart", "blog.example.com": "press"}
        shop = read(team, "shop")
        team.update({**shop, "spec": {**shop["spec"], "service": "till"}})
        eventually(lambda: table(team)["shop.example.com"] == "till")
        team.delete("proxy.example.com/v1", "Route", "shop", "team")
        eventually(lambda: is_gone(team, "shop"))  # its finalizer holds it until the line is out
        assert table(team) == {"blog.example.com": "press"}


def test_what_happened_while_it_was_down_is_made_up_for(team: BlockingPlane) -> None:
    with running():
        route(team, "shop", "cart")
    team.update({**team.get("v1", "ConfigMap", "routes", "team"), "data": {}})
    with running():
        eventually(lambda: table(team) == {"shop.example.com": "cart"})


def lost(team: BlockingPlane, program: str, seed: int) -> list[str]:
    """Which of four routes are missing in the table after a day on which one write in three meets a faster one."""
    names = ["a", "b", "c", "d"]
    team.faults.reseed(seed)
    team.faults.conflict(resource="configmaps", user=ROBOT, probability=0.3)
    with running(program):
        for name in names:
            route(team, name, "any")
    return [name for name in names if f"{name}.example.com" not in table(team)]


@pytest.mark.parametrize("seed", range(3))
def test_no_line_is_lost(team: BlockingPlane, seed: int) -> None:
    assert lost(team, "routes.py", seed) == []


@pytest.mark.parametrize(("seed", "missing"), [(0, ["d"]), (1, ["b", "c"]), (6, [])])
def test_this_is_what_found_the_mistake(team: BlockingPlane, seed: int, missing: list[str]) -> None:
    """The same test, the operator as it was: a seed says which lines are lost, each time it is run."""
    assert lost(team, "hasty.py", seed) == missing


def test_role_is_the_smallest_that_will_do(team: BlockingPlane) -> None:
    team.faults.conflict(resource="configmaps", user=ROBOT, times=1)
    with running():
        route(team, "shop", "cart")
    robot = team.rbac_report().of(ROBOT)
    assert not robot.refused
    assert robot.manifests() == manifests("role.yaml")
