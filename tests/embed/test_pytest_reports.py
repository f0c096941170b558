"""What the plugin does for a test that fails, and for one that would reach the user's own cluster."""

from pathlib import Path

import pytest
from verger.embed.kubeconfig_guard import KubeconfigGuard

pytest_plugins = ["pytester"]

FAULTY = """
    import pytest, ssl, urllib.error, urllib.request

    def test_some(verger):
        verger.namespace("mine")
        verger.faults.fail(503, resource="pods", probability=0.5)
        codes = []
        for _ in range(16):
            request = urllib.request.Request(
                f"{verger.url}/api/v1/pods", headers={"Authorization": f"Bearer {verger.token}"}
            )
            try:
                with urllib.request.urlopen(
                    request, context=ssl._create_unverified_context()
                ) as answer:
                    codes.append(answer.status)
            except urllib.error.HTTPError as error:
                codes.append(error.code)
                error.close()
        print("CODES", codes)
        assert not verger.token
"""


def run(pytester: pytest.Pytester, text: str, *arguments: str) -> pytest.RunResult:
    pytester.makepyfile(text)
    return pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider", *arguments)


def line(result: pytest.RunResult, start: str) -> str:
    (found,) = (line for line in result.outlines if start in line)
    return found


def test_failing_test_tells_what_happened_and_its_seed_replays_it(
    pytester: pytest.Pytester,
) -> None:
    """Changes, requests and faults stand in the report, and the seed that it names gives the same faults."""
    first = run(pytester, FAULTY)
    first.assert_outcomes(failed=1)
    first.stdout.fnmatch_lines(
        [
            "*- verger: verger -*",
            "  503: struck * times",
            "the last changes",
            "  * ADDED namespaces mine",
            "the last requests",
            "  503 list pods (* ms) by verger-admin, fault: 503",
        ]
    )
    seed = line(first, "the same faults again: ").rpartition(": ")[2]
    again = run(pytester, FAULTY, seed)
    assert line(again, "CODES [") == line(first, "CODES [")
    assert "503" in line(first, "CODES [")


def test_passing_test_says_nothing(pytester: pytest.Pytester) -> None:
    """Nor does one that fails without a plane, or whose plane has ended."""
    result = run(
        pytester,
        """
        import pytest
        from verger.embed import ControlPlane

        @pytest.fixture
        def mine():
            return ControlPlane()

        def test_good(verger):
            assert verger.url

        def test_none():
            assert 0

        def test_ended(mine):
            assert 0
        """,
        "-rA",
    )
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.no_fnmatch_line("*the last changes*")


def test_plane_behind_a_fixture_is_shown_with_the_option_that_replays_it(
    pytester: pytest.Pytester,
) -> None:
    """A fixture that sets the plane up hands on ours: the seed is the one to give to pytest."""
    result = run(
        pytester,
        """
        import pytest

        @pytest.fixture
        def team(verger):
            verger.namespace("team")
            return verger

        def test_bad(team):
            assert 0
        """,
        "--verger-seed=78",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*- verger: team -*", "*the same faults again: --verger-seed=78"])


def test_plane_of_the_users_own_fixture_is_shown(pytester: pytest.Pytester) -> None:
    """Any fixture that holds a plane counts, whichever loop it is in."""
    result = run(
        pytester,
        """
        import pytest_asyncio, pytest
        from verger.embed import ControlPlane

        @pytest_asyncio.fixture
        async def mine():
            async with ControlPlane(seed=77) as plane:
                yield plane

        @pytest.mark.asyncio
        async def test_bad(mine):
            await mine.namespace("team")
            assert 0
        """,
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*- verger: mine -*", "the seed of its faults is 77", "*ADDED*team*"]
    )


GUARDED = """
    import os, subprocess, sys
    from pathlib import Path

    def test_opens():
        Path.home().joinpath(".kube", "config").read_text()

    def test_swallows():
        try:
            open(os.path.join(os.environ["HOME"], ".kube", "..", ".kube", "config"))
        except OSError:
            pass

    def test_named():
        try:
            open("elsewhere.yaml")
        except OSError:
            pass

    def test_child():
        code = "import os; print(os.environ['KUBECONFIG'], 'KUBERNETES_SERVICE_HOST' in os.environ)"
        said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
        assert said.split() == [os.devnull, "False"]

    def test_other(verger_kubeconfig, tmp_path):
        assert verger_kubeconfig.read_text()
        (tmp_path / "config").write_text("mine")
        assert (tmp_path / "config").read_text()
"""


@pytest.fixture
def home(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of a user who has a cluster."""
    home = pytester.mkdir("home")
    (home / ".kube").mkdir()
    (home / ".kube" / "config").write_text("a real cluster")
    elsewhere = pytester.path / "elsewhere.yaml"
    elsewhere.write_text("another one")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("KUBECONFIG", str(elsewhere))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    return home


@pytest.mark.parametrize("by", ["option", "ini", "workers"])
def test_guard_fails_tests_that_open_the_users_kubeconfig(
    pytester: pytest.Pytester, home: Path, by: str
) -> None:
    """Also when they swallow the error; other files of that name are nobody's business."""
    if by == "ini":
        pytester.makeini("[pytest]\nverger_guard = true")
    arguments = {"option": ["--verger-guard"], "workers": ["--verger-guard", "-n2"]}.get(by, [])
    result = run(pytester, GUARDED, *arguments)
    result.assert_outcomes(passed=2, failed=3)
    result.stdout.fnmatch_lines([f"*the test has opened {home}/.kube/config, which leads to a cl*"])


def test_guard_is_no_more_than_asked_for(pytester: pytest.Pytester, home: Path) -> None:
    """Without it nobody is stopped, and the environment is the user's."""
    assert home.exists()
    result = run(pytester, GUARDED)
    result.assert_outcomes(passed=4, failed=1)


def test_token_of_a_pod_is_not_to_be_found() -> None:
    """Clients look for it first, and go on to KUBECONFIG when they are not in a pod: that is no escape."""
    guard = KubeconfigGuard("")
    guard.armed = True
    with pytest.raises(FileNotFoundError):
        guard._heard("open", ("/var/run/secrets/kubernetes.io/serviceaccount/token", "r", 0))
    guard._heard("open", ("/somewhere/else/token", "r", 0))
    assert guard.opened == []
