"""The script against a control plane: what it does, what it leaves alone, and what it does when it is refused."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config
from pullsecret import hand_out
from verger.embed import BlockingPlane

WRITES = ("create", "update", "patch", "delete")


@pytest.fixture
def core(verger: BlockingPlane, verger_kubeconfig: Path) -> Iterator[client.CoreV1Api]:
    """The client that the script has, and a registry's credentials in the namespace `tools`."""
    verger.namespace("tools")
    verger.create(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "registry", "namespace": "tools"},
            "type": "kubernetes.io/dockerconfigjson",
            "data": {".dockerconfigjson": "e30="},
        }
    )
    config.load_config()
    with client.ApiClient() as api:
        yield client.CoreV1Api(api)


def pulling(verger: BlockingPlane, *names: str) -> None:
    for name in names:
        verger.namespace(name, labels={"pulls": "yes"})


def pull_secrets(verger: BlockingPlane, namespace: str) -> Any:
    return verger.get("v1", "ServiceAccount", "default", namespace).get("imagePullSecrets")


def test_namespaces_that_want_it_have_it(verger: BlockingPlane, core: client.CoreV1Api) -> None:
    pulling(verger, "a", "b")
    verger.namespace("c")
    assert hand_out(core, "tools", "registry") == ["a", "b"]
    for name in ("a", "b"):
        assert verger.get("v1", "Secret", "registry", name)["data"] == {".dockerconfigjson": "e30="}
        assert pull_secrets(verger, name) == [{"name": "registry"}]
    assert pull_secrets(verger, "c") is None


def test_second_time_nothing_is_written(verger: BlockingPlane, core: client.CoreV1Api) -> None:
    pulling(verger, "a")
    hand_out(core, "tools", "registry")
    verger.requests.clear()
    before = verger.revision
    assert hand_out(core, "tools", "registry") == []
    assert verger.revision == before
    assert verger.requests.of(verb=WRITES).codes == [409]  # the create that finds it there


def test_what_others_have_told_the_account_stays(
    verger: BlockingPlane, core: client.CoreV1Api
) -> None:
    pulling(verger, "a")
    account = verger.get("v1", "ServiceAccount", "default", "a")
    verger.update({**account, "imagePullSecrets": [{"name": "theirs"}]})
    verger.faults.conflict(resource="serviceaccounts", times=1)  # and they are at it again
    hand_out(core, "tools", "registry")
    assert pull_secrets(verger, "a") == [{"name": "theirs"}, {"name": "registry"}]


def test_all_pages_are_read(
    verger: BlockingPlane, core: client.CoreV1Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pullsecret.PAGE", 2)
    pulling(verger, *"abcde")
    assert hand_out(core, "tools", "registry") == [*"abcde"]
    assert verger.requests.of(verb="list", resource="namespaces").count == 3


def test_namespace_that_is_going_is_left_in_peace(
    verger: BlockingPlane, core: client.CoreV1Api
) -> None:
    """Its finalizer holds it in Terminating, where creates are refused."""
    pulling(verger, "a", "going")
    held = {"name": "held", "namespace": "going", "finalizers": ["example.com/hold"]}
    verger.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": held})
    verger.delete("v1", "Namespace", "going")
    verger.settle()
    assert verger.get("v1", "Namespace", "going")["status"]["phase"] == "Terminating"
    assert hand_out(core, "tools", "registry") == ["a"]


def test_run_that_was_broken_off_is_finished_by_the_next(
    verger: BlockingPlane, core: client.CoreV1Api
) -> None:
    """The Secret was made and the answer lost: the script ends with an error, and cron starts it again."""
    pulling(verger, "a")
    verger.faults.lose_answers(verb="create", resource="secrets", times=1)
    with pytest.raises(Exception, match="Connection aborted"):
        hand_out(core, "tools", "registry")
    assert pull_secrets(verger, "a") is None
    assert hand_out(core, "tools", "registry") == ["a"]
    assert pull_secrets(verger, "a") == [{"name": "registry"}]


@pytest.mark.parametrize("verb", ["list", "get"])
def test_busy_server_is_asked_again(
    verger: BlockingPlane, core: client.CoreV1Api, verb: str
) -> None:
    """The client does that by itself, when it is told how long to wait."""
    pulling(verger, "a")
    verger.faults.fail(429, verb=verb, times=2, retry_after=0)
    assert hand_out(core, "tools", "registry") == ["a"]
    assert verger.requests.of(verb=verb).codes[:3] == [429, 429, 200]


def test_busy_server_is_not_asked_again_to_write(
    verger: BlockingPlane, core: client.CoreV1Api
) -> None:
    """Nor should it: a write may have been done. This is what to know before you rely on it."""
    pulling(verger, "a")
    verger.faults.fail(503, verb="create", times=1, retry_after=0)
    with pytest.raises(client.ApiException) as refused:
        hand_out(core, "tools", "registry")
    assert refused.value.status == 503
