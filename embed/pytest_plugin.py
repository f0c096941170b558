"""Fixtures for those who test against a control plane. Loading this module costs nothing: a plane is made by the first
test that asks for one.

verger              a plane as it is right after its start; one server serves all tests of a worker, each begins afresh
verger_plane        a plane of the test's own, set up by @pytest.mark.verger(...) with the names of PlaneOptions
verger_kubeconfig   the administrator's kubeconfig of `verger`; KUBECONFIG names it, and nothing leads to another cluster
verger_login        a function: from now on KUBECONFIG names the kubeconfig that it is given, as of an account

The planes run in threads of their own, so that the fixtures serve plain tests and those of any event loop. A test that
fails and has a plane among its fixtures, one of these or its own, shows what happened there last.
"""

import os
import sys
import weakref
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from verger.embed.ambient import IN_CLUSTER, point

if TYPE_CHECKING:
    from verger.embed.blocking import BlockingPlane
    from verger.embed.kubeconfig_guard import KubeconfigGuard

_USERS = "VERGER_GUARDED_KUBECONFIG"
"""Where the guard remembers what KUBECONFIG was."""
_MADE: pytest.StashKey["weakref.WeakSet[BlockingPlane]"] = pytest.StashKey()
"""The planes that fixtures of ours have made, under whatever names tests have them."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Makes the options known."""
    group = parser.getgroup("verger")
    group.addoption(
        "--verger-seed",
        type=int,
        help="seed of the faults of all planes that fixtures make: a failing test says which one to give",
    )
    text = "fail tests that open the user's own kubeconfig, and keep programs that they start away from it"
    group.addoption("--verger-guard", action="store_true", help=text)
    parser.addini("verger_guard", text, type="bool", default=False)


def pytest_configure(config: pytest.Config) -> None:
    """Makes the marker known, and sets the guard where it is wanted."""
    config.addinivalue_line(
        "markers",
        "verger(**options): options of the plane that the fixture verger_plane makes, as in verger.embed.PlaneOptions",
    )
    if config.getoption("verger_guard") or config.getini("verger_guard"):
        from verger.embed.kubeconfig_guard import KubeconfigGuard

        # Workers of xdist inherit an environment that is sealed already.
        users = os.environ.get(_USERS, os.environ.get("KUBECONFIG", ""))
        guard = KubeconfigGuard(users)
        guard.set()
        config.pluginmanager.register(_Guarding(guard, users), "verger guard")


class _Guarding:
    """The guard, where the tests are run."""

    def __init__(self, guard: "KubeconfigGuard", users: str) -> None:
        self._guard = guard
        self._sealed = pytest.MonkeyPatch()
        self._sealed.setenv(_USERS, users)
        self._sealed.setenv("KUBECONFIG", os.devnull)
        for name in IN_CLUSTER:
            self._sealed.delenv(name, raising=False)

    def pytest_unconfigure(self) -> None:
        """Gives the environment back."""
        self._sealed.undo()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self) -> Generator[None, Any, Any]:
        """Fixtures are looked at too."""
        return (yield from self._watched())

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self) -> Generator[None, Any, Any]:
        """A test that has swallowed the error fails all the same."""
        return (yield from self._watched())

    def _watched(self) -> Generator[None, Any, Any]:
        guard = self._guard
        guard.armed = True
        try:
            outcome = yield
        finally:
            guard.armed = False
            opened, guard.opened = guard.opened, []
            if opened:
                pytest.fail(
                    f"the test has opened {opened[0]}, which leads to a cluster that is no test's"
                )
        return outcome


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds to a failure what happened last in the planes of the test."""
    report = yield
    # Without a plane there is nothing to look for, nor to load.
    if report.failed and "verger.embed.plane" in sys.modules:
        from verger.embed.blocking import BlockingPlane
        from verger.embed.plane import ControlPlane

        shown: list[Any] = []
        for name, value in getattr(item, "funcargs", {}).items():
            # The fixtures' own, behind theirs, is shown under their name.
            is_plane = isinstance(value, (BlockingPlane, ControlPlane))
            if name.startswith("_") or not is_plane or value in shown:
                continue
            shown.append(value)
            try:
                text = value.recent()
            except RuntimeError:
                continue  # it does not run any more
            ours = value in item.config.stash.get(_MADE, ())
            seed = f"--verger-seed={value.faults.seed}" if ours else f"seed={value.faults.seed}"
            again = f"to have the same faults again: {seed}"
            report.sections.append((f"verger: {name}", f"{text}\n{again}"))
    return report


@pytest.fixture(scope="session")
def _verger_server(request: pytest.FixtureRequest) -> "Iterator[BlockingPlane]":
    """The one server of a worker."""
    from verger.embed.blocking import BlockingPlane

    with BlockingPlane(seed=request.config.getoption("verger_seed")) as plane:
        _note(request.config, plane)
        yield plane


@pytest.fixture
def verger(_verger_server: "BlockingPlane") -> "BlockingPlane":
    """A control plane as it is right after its start."""
    _verger_server.reset()
    return _verger_server


@pytest.fixture
def verger_plane(request: pytest.FixtureRequest) -> "Iterator[BlockingPlane]":
    """A control plane of the test's own."""
    from verger.embed.blocking import BlockingPlane

    marker = request.node.get_closest_marker("verger")
    options = {
        "seed": request.config.getoption("verger_seed"),
        **(marker.kwargs if marker is not None else {}),
    }
    with BlockingPlane(**options) as plane:
        _note(request.config, plane)
        yield plane


def _note(config: pytest.Config, plane: "BlockingPlane") -> None:
    config.stash.setdefault(_MADE, weakref.WeakSet()).add(plane)


@pytest.fixture
def verger_login(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Makes a kubeconfig the only one that clients find until the test ends."""
    return lambda kubeconfig: point(monkeypatch, kubeconfig)


@pytest.fixture
def verger_kubeconfig(verger: "BlockingPlane", verger_login: Callable[[Path], None]) -> Path:
    """The administrator's kubeconfig, which is the only one that clients find while the test runs."""
    verger_login(verger.kubeconfig)
    return verger.kubeconfig
