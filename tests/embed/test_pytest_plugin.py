"""The fixtures, as the tests of another project have them."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]


def passes(pytester: pytest.Pytester, text: str, *arguments: str, passed: int) -> None:
    pytester.makepyfile(text)
    result = pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider", *arguments)
    result.assert_outcomes(passed=passed)


def test_each_test_begins_afresh(pytester: pytest.Pytester) -> None:
    """One server for all, and nothing left of the test before."""
    passes(
        pytester,
        """
        urls = set()

        def test_one(verger):
            verger.namespace("mine")
            urls.add(verger.url)

        def test_other(verger):
            assert "mine" not in {n["metadata"]["name"] for n in verger.list("v1", "Namespace")}
            verger.namespace("mine")
            assert verger.url in urls
        """,
        passed=2,
    )


def test_marker_sets_a_plane_up(pytester: pytest.Pytester) -> None:
    """A plane of the test's own has the options that its marker names."""
    passes(
        pytester,
        """
        import pytest

        @pytest.mark.verger(token_secrets="on-request")
        def test_on_request(verger_plane):
            verger_plane.namespace("mine")
            assert "secrets" not in verger_plane.get("v1", "ServiceAccount", "default", "mine")

        def test_auto(verger_plane):
            verger_plane.namespace("mine")
            assert verger_plane.get("v1", "ServiceAccount", "default", "mine")["secrets"]
        """,
        "--strict-markers",
        passed=2,
    )


def test_nothing_leads_to_another_cluster(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """KUBECONFIG names the plane's file, and what tells a pod of its cluster is hidden."""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBECONFIG", "/somewhere/else")
    passes(
        pytester,
        """
        import os

        def test_sealed(verger_kubeconfig):
            assert os.environ["KUBECONFIG"] == str(verger_kubeconfig)
            assert "KUBERNETES_SERVICE_HOST" not in os.environ

        def test_as_somebody(verger, verger_kubeconfig, verger_login):
            robot = verger.as_service_account("default")
            verger_login(robot.kubeconfig)
            assert os.environ["KUBECONFIG"] == str(robot.kubeconfig) != str(verger_kubeconfig)

        def test_as_before():
            assert os.environ["KUBECONFIG"] == "/somewhere/else"
        """,
        passed=3,
    )


@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_fixtures_serve_async_tests(pytester: pytest.Pytester, mode: str) -> None:
    """With pytest-asyncio in both of its modes: the plane does not need the test's loop."""
    passes(
        pytester,
        """
        import pytest

        @pytest.mark.asyncio
        async def test_async(verger, verger_plane):
            assert verger.url != verger_plane.url
            verger.namespace("mine")
        """,
        f"--asyncio-mode={mode}",
        passed=1,
    )


def test_fixtures_serve_tests_of_anyio(pytester: pytest.Pytester) -> None:
    """Its own runner, and none of pytest-asyncio; the plane is in a thread of its own whichever backend there is."""
    passes(
        pytester,
        """
        import anyio, pytest

        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        @pytest.mark.anyio
        async def test_anyio(verger, verger_plane):
            await anyio.to_thread.run_sync(verger.namespace, "mine")
            verger_plane.namespace("mine")
            assert verger.get("v1", "ServiceAccount", "default", "mine")["secrets"]
        """,
        "-p",
        "no:asyncio",
        passed=1,
    )


def test_workers_have_servers_of_their_own(pytester: pytest.Pytester) -> None:
    """With xdist there is one for each worker."""
    passes(
        pytester,
        """
        import pytest

        @pytest.mark.parametrize("number", range(4))
        def test_one(verger, number):
            verger.namespace("mine")
        """,
        "-n2",
        passed=4,
    )


def test_plugin_costs_nothing_until_it_is_used() -> None:
    """Loading it loads neither the plane nor an HTTP library."""
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, verger.embed.pytest_plugin; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path.cwd(),
    ).stdout.split()
    heavy = ("aiohttp", "cryptography", "structlog", "verger.store", "verger.watch", "yaml")
    assert [name for name in loaded if name.startswith(heavy)] == []
