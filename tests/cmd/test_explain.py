"""`verger explain` and `verger audit tokens`: what people type, and what they read."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from verger.cmd.main import main
from verger.embed import ControlPlane
from verger.store.objects import name_of

from tests.identity.https import Api, served


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    """A plane whose default account has its token, for tests that change nothing."""
    with served(ControlPlane()) as api:
        api.create("/api/v1/namespaces?fieldManager=tester", {"metadata": {"name": "mine"}})
        yield api


def asked(api: Api, *arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, f"--kubeconfig={api.plane.kubeconfig}"])


def own_token(api: Api) -> Any:
    (secret,) = api.does("GET", "/api/v1/namespaces/default/secrets")["items"]
    return secret


@pytest.mark.parametrize("alias", ["ns", "namespace", "Namespaces"])
def test_namespace_by_any_of_its_names(alias: str, api: Api) -> None:
    """What is there is told, and who wrote it last, by its name in managedFields."""
    done = asked(api, "explain", f"{alias}/mine")
    assert done.exit_code == 0
    assert done.output.startswith("Namespace mine is active, since ")
    assert "\nLast written by tester, " in done.output


@pytest.mark.parametrize("alias", ["sa", "serviceaccount", "serviceaccounts"])
def test_account_by_any_of_its_names(alias: str, api: Api) -> None:
    """Its token is named."""
    done = asked(api, "explain", f"{alias}/default/default")
    assert done.exit_code == 0
    lines = done.output.splitlines()
    assert lines[1] == f"It has a token in Secret {name_of(own_token(api))}, and it refers to that."


def test_secret(api: Api) -> None:
    """What is told of it holds nothing of its token."""
    secret = own_token(api)
    done = asked(api, "explain", f"secret/default/{name_of(secret)}")
    assert done.exit_code == 0
    assert "It is for account default, which refers to it.\n" in done.output
    assert secret["data"]["token"] not in done.output
    assert "eyJ" not in done.output


@pytest.mark.parametrize(
    "target", ["pod/one/two", "ns", "ns/", "ns/one/two", "sa/one", "secret//x", "sa/one/two/three"]
)
def test_target_that_is_none(target: str, api: Api) -> None:
    """Exit code 2, and one line with the forms that there are."""
    done = asked(api, "explain", target)
    assert done.exit_code == 2
    assert "ns/NAME, sa/NAMESPACE/NAME, secret/NAMESPACE/NAME" in done.output
    assert done.output.count("\n") == 1


def test_lease_that_is_none(api: Api) -> None:
    """It has a namespace and a name."""
    done = asked(api, "explain", "ns/default", "--lease=verger")
    assert done.exit_code == 2
    assert "'verger' is no NAMESPACE/NAME" in done.output


@pytest.mark.parametrize("command", [["explain", "ns/default"], ["audit", "tokens"]])
def test_cluster_that_is_not_there(command: list[str], tmp_path: Path) -> None:
    """One line says what is wrong, and the exit code is 2."""
    done = CliRunner().invoke(main, [*command, f"--kubeconfig={tmp_path / 'none'}"])
    assert done.exit_code == 2
    assert done.output.count("\n") == 1


def test_audit_for_people(api: Api) -> None:
    """One line for each token, under the names of the columns."""
    done = asked(api, "audit", "tokens")
    assert done.exit_code == 0
    header, *rows = done.output.splitlines()
    assert header.split()[:4] == ["NAMESPACE", "NAME", "ACCOUNT", "AGE"]
    tokens = api.does("GET", "/api/v1/secrets")["items"]
    assert [row.split()[1] for row in rows] == [
        name for _, name in sorted((s["metadata"]["namespace"], name_of(s)) for s in tokens)
    ]
    assert {row.split()[6] for row in rows} == {"young"}


def test_audit_for_programs(api: Api) -> None:
    """Every column under its name, numbers as numbers, and nothing of the token."""
    done = asked(api, "audit", "tokens", "-o", "json")
    secret = own_token(api)
    (found,) = [row for row in json.loads(done.output) if row["namespace"] == "default"]
    assert found.pop("age") in range(60)
    assert found.pop("why").startswith("it has not been there")
    assert found == {
        "namespace": "default",
        "name": name_of(secret),
        "account": "default",
        "last_used": "",
        "pods": [],
        "verdict": "young",
    }
    assert secret["data"]["token"] not in done.output


def test_time_after_which_a_token_counts_as_unused(api: Api) -> None:
    """It can be set; nothing is not a time."""
    assert "unknown" in asked(api, "audit", "tokens", "--unused-for=0.00000001").output
    assert asked(api, "audit", "tokens", "--unused-for=0").exit_code == 2
