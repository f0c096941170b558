"""Fixtures for those who test against a control plane. Loading this module costs nothing: a plane is made by the first
test that asks for one.

verger              a plane as it is right after its start; one server serves all tests of a worker, each begins afresh
verger_plane        a plane of the test's own, set up by @pytest.mark.verger(...) with the names of PlaneOptions
verger_kubeconfig   the administrator's kubeconfig of `verger`; KUBECONFIG names it, and nothing leads to another cluster

The planes run in threads of their own, so that the fixtures serve plain tests and those of any event loop.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from verger.embed.blocking import BlockingPlane

_IN_CLUSTER = ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT")


def pytest_configure(config: pytest.Config) -> None:
    """Makes the marker known."""
    config.addinivalue_line(
        "markers",
        "verger(**options): options of the plane that the fixture verger_plane makes, as in verger.embed.PlaneOptions",
    )


@pytest.fixture(scope="session")
def _verger_server() -> "Iterator[BlockingPlane]":
    """The one server of a worker."""
    from verger.embed.blocking import BlockingPlane

    with BlockingPlane() as plane:
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
    with BlockingPlane(**(marker.kwargs if marker is not None else {})) as plane:
        yield plane


@pytest.fixture
def verger_kubeconfig(verger: "BlockingPlane", monkeypatch: pytest.MonkeyPatch) -> Path:
    """The administrator's kubeconfig, which is the only one that clients find while the test runs."""
    for name in _IN_CLUSTER:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KUBECONFIG", str(verger.kubeconfig))
    return verger.kubeconfig
