"""The recorder: what was asked, how it was answered, and nothing of what was sent."""

from typing import Any

import pytest
from verger.apiserver.calls import Call
from verger.embed import BlockingPlane, ControlPlane
from verger.embed.requests import KEPT, Requests
from verger.store.request import User

PODS = "/api/v1/namespaces/default/pods"
CONFIGMAPS = "/api/v1/namespaces/default/configmaps"


def configmap(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": {"secret": "value-of-mine"}}


async def test_request_is_told_by_who_asked_for_what(plane: ControlPlane, api: Any) -> None:
    """All that identifies a request is there, and what became of it."""
    await api("POST", CONFIGMAPS, configmap("a"))
    await api("PUT", f"{CONFIGMAPS}/a", configmap("a"))
    call = plane.requests.of(verb="update").one
    assert (call.user.name, call.verb, call.group, call.version, call.resource) == (
        "verger-admin",
        "update",
        "",
        "v1",
        "configmaps",
    )
    assert (call.namespace, call.name, call.subresource, call.code) == ("default", "a", "", 200)
    assert call.duration is not None
    assert call.duration > 0
    assert plane.requests.last is call
    assert plane.requests.count == 2


async def test_refusals_are_recorded(plane: ControlPlane, api: Any) -> None:
    """Who may not, who is unknown, and what is not there: each with its code."""
    access = await plane.as_service_account("default")
    await api("GET", PODS, token=access.token)
    await api("GET", PODS, token="nonsense")
    await api("GET", f"{PODS}/none")
    async with api.asking("GET", "/nowhere"):
        pass
    assert [call.code for call in plane.requests] == [403, 401, 404, 404]
    assert plane.requests.of(user="default/default").one.resource == "pods"
    unknown = plane.requests.of(user="").one
    assert (unknown.code, unknown.verb, unknown.path) == (401, "get", PODS)
    assert plane.requests.last.path == "/nowhere"


@pytest.mark.parametrize(
    ("scope", "names"),
    [
        pytest.param({}, ["a", "b", "", "", "d", "d"], id="no words are all requests"),
        pytest.param({"verb": "create"}, [""], id="a verb"),
        pytest.param({"verb": ("create", "delete")}, ["", "d"], id="one of several verbs"),
        pytest.param({"resource": "configmaps"}, ["a", "b", "", ""], id="a resource"),
        pytest.param({"resource": "deployments.apps"}, ["d"], id="a resource with its group"),
        pytest.param({"resource": "deployments.batch"}, [], id="the resource of another group"),
        pytest.param({"resource": "deployments/status"}, ["d"], id="a part of a resource"),
        pytest.param({"resource": "deployments/*"}, ["d", "d"], id="a resource and its parts"),
        pytest.param({"name": ["a", "b"], "namespace": "default"}, ["a", "b"], id="some names"),
        pytest.param({"namespace": "elsewhere"}, [], id="another namespace"),
        pytest.param({"user": "system:anonymous"}, [], id="another user"),
    ],
)
async def test_words_tell_requests_apart(
    plane: ControlPlane, api: Any, scope: Any, names: list[str]
) -> None:
    """Each word narrows, and a word that is left out means all."""
    deployments = "/apis/apps/v1/namespaces/default/deployments"
    await api("GET", f"{CONFIGMAPS}/a")
    await api("GET", f"{CONFIGMAPS}/b")
    await api("GET", CONFIGMAPS)
    await api("POST", CONFIGMAPS, configmap("c"))
    await api("GET", f"{deployments}/d/status")
    await api("DELETE", f"{deployments}/d")
    assert [call.name for call in plane.requests.of(**scope)] == names


async def test_word_that_there_is_not_is_an_error(plane: ControlPlane) -> None:
    """A misspelt word would find everything, and prove nothing."""
    with pytest.raises(TypeError, match="not told apart by verbs"):
        plane.requests.of(verbs="get")  # type: ignore[call-arg]


async def test_watch_is_known_while_it_lasts(plane: ControlPlane, api: Any) -> None:
    """It may last longer than the test; it is there once, also when it has ended."""
    async with api.asking("GET", f"{CONFIGMAPS}?watch=1") as answer:
        assert answer.status == 200
        watch = plane.requests.of(verb="watch").one
        assert (watch.code, watch.duration) == (200, None)
        plane.faults.expire_history()
        await answer.read()
    await plane.settle()
    assert plane.requests.of(verb="watch").one.duration is not None


async def test_watch_that_is_refused_has_its_code(plane: ControlPlane, api: Any) -> None:
    """Before it begins or by its own options: it is recorded once, as what was answered."""
    access = await plane.as_service_account("default")
    await api("GET", f"{CONFIGMAPS}?watch=1", token=access.token)
    await api("GET", f"{CONFIGMAPS}?watch=1&resourceVersion=nonsense")
    assert plane.requests.of(verb="watch").codes == [403, 400]


async def test_nothing_that_was_sent_is_kept(plane: ControlPlane, api: Any) -> None:
    """Neither bodies nor credentials stand in what is kept, nor in how it is shown."""
    await api("POST", f"{CONFIGMAPS}?fieldManager=value-of-mine", configmap("a"))
    (call,) = plane.requests
    kept = " ".join(str(getattr(call, name)) for name in Call.__dataclass_fields__)
    for shown in (kept, repr(plane.requests), repr(call)):
        assert "value-of-mine" not in shown
        assert plane.token not in shown


async def test_failing_assertion_tells_what_there_was(plane: ControlPlane, api: Any) -> None:
    """One that should be alone is shown with those that are too many, and one that is missing by its words."""
    await api("GET", f"{CONFIGMAPS}/a")
    await api("GET", f"{CONFIGMAPS}/b")
    with pytest.raises(AssertionError, match=r"2 requests of verb='get'\n  404 get configmaps def"):
        _ = plane.requests.of(verb="get").one
    with pytest.raises(AssertionError, match="0 requests of resource='pods'"):
        _ = plane.requests.of(resource="pods").last


async def test_cleared_recorder_begins_anew(plane: ControlPlane, api: Any) -> None:
    """What was before is forgotten, what comes is not."""
    await api("GET", CONFIGMAPS)
    plane.requests.clear()
    assert plane.requests.count == 0
    await api("GET", PODS)
    assert plane.requests.of().one.resource == "pods"


def test_recorder_is_bounded() -> None:
    """The oldest ones go, and it says how many."""
    requests = Requests()
    for number in range(KEPT + 5):
        requests.note(Call(0.0, "get", f"/{number}", User("a")))
    assert (requests.count, requests.forgotten) == (KEPT, 5)
    assert requests.of().first.path == "/5"
    assert repr(requests).count("\n") == 21


async def test_nothing_is_kept_until_somebody_asks() -> None:
    """A plane that serves others begins to record with the first look at its requests."""
    async with ControlPlane(observe=False) as plane:
        server = plane._started().server
        assert server.listener is None
        assert plane.requests.count == 0
        assert server.listener is not None


def test_requests_can_be_read_from_another_thread() -> None:
    """The plane of plain tests has the same recorder, and a reset empties it."""
    with BlockingPlane() as plane:
        assert plane.requests.count == 0
        plane.reset()
        assert "the last changes" in plane.recent()


async def test_namespace_is_in_none(plane: ControlPlane, api: Any) -> None:
    """It is authorized as if it were in itself, and told as what it is: an object of the cluster."""
    await api("GET", "/api/v1/namespaces/default")
    call = plane.requests.of(resource="namespaces").one
    assert (call.namespace, call.name) == ("", "default")
