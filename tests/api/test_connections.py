"""Logs, exec, attach, port-forward and proxy: what clients hear where there are no nodes."""

from typing import Any

import pytest

from tests.api.conftest import Ask

PODS = "/api/v1/namespaces/connections/pods"


@pytest.fixture(scope="module", autouse=True)
def pods(ask: Ask) -> None:
    """A pod that waits for a node, one on a node that is not there, one on one that is, and one with two containers."""
    ask("POST", "/api/v1/namespaces", {"metadata": {"name": "connections"}})
    ask("POST", "/api/v1/nodes", {"metadata": {"name": "connected"}})
    for name, node, containers in (
        ("waiting", "", "a"),
        ("lost", "nowhere", "a"),
        ("running", "connected", "a"),
        ("two", "", "ab"),
    ):
        spec: dict[str, Any] = {
            "containers": [{"name": c, "image": "i"} for c in containers],
            "initContainers": [{"name": "first", "image": "i"}] if name == "two" else [],
            **({"nodeName": node} if node else {}),
        }
        made = ask("POST", PODS, {"metadata": {"name": name}, "spec": spec})
        assert made.status == 201, made.text
    ports = {"ports": [{"port": 80}]}
    path = "/api/v1/namespaces/connections/services"
    assert ask("POST", path, {"metadata": {"name": "s"}, "spec": ports}).status == 201


CHOOSE = "a container name must be specified for pod two, choose one of: [a b] or one of the init containers: [first]"
UNREACHED = "Internal error occurred: error dialing backend: nodes are not reached from this server"


@pytest.mark.parametrize(
    ("method", "path", "code", "message"),
    [
        pytest.param("GET", f"{PODS}/none/log", 404, 'pods "none" not found', id="no such pod"),
        pytest.param(
            "GET",
            f"{PODS}/waiting/log?container=z",
            400,
            "container z is not valid for pod waiting",
            id="no such container",
        ),
        pytest.param("GET", f"{PODS}/two/log", 400, CHOOSE, id="which container"),
        pytest.param(
            "GET",
            f"{PODS}/none/log?tailLines=x",
            400,
            'strconv.ParseInt: parsing "x": invalid syntax',
            id="no number of lines",
        ),
        pytest.param(
            "GET",
            f"{PODS}/none/log?tailLines=-1",
            422,
            'PodLogOptions "none" is invalid: tailLines: Invalid value: -1: must be greater than or equal to 0',
            id="less than no lines",
        ),
        pytest.param(
            "GET",
            f"{PODS}/none/log?limitBytes=0&sinceSeconds=0",
            422,
            'PodLogOptions "none" is invalid: [limitBytes: Invalid value: 0: must be greater than 0, sinceSeconds: Invalid value: 0: must be greater than 0]',
            id="nothing of no time",
        ),
        pytest.param(
            "GET",
            f"{PODS}/none/log?sinceSeconds=1&sinceTime=2024-01-02T03:04:05Z",
            422,
            'PodLogOptions "none" is invalid: : Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified',
            id="since when",
        ),
        pytest.param(
            "GET",
            f"{PODS}/none/log?sinceTime=soon",
            400,
            'parsing time "soon" as "2006-01-02T15:04:05Z07:00": cannot parse "soon" as "2006"',
            id="since no time",
        ),
        pytest.param(
            "GET", f"{PODS}/lost/log", 404, 'nodes "nowhere" not found', id="log, no such node"
        ),
        pytest.param("GET", f"{PODS}/running/log", 500, UNREACHED, id="log, a node"),
        pytest.param(
            "POST",
            f"{PODS}/waiting/exec?command=ls",
            400,
            "pod waiting does not have a host assigned",
            id="exec",
        ),
        pytest.param(
            "GET",
            f"{PODS}/waiting/attach",
            400,
            "pod waiting does not have a host assigned",
            id="attach",
        ),
        pytest.param(
            "POST",
            f"{PODS}/two/portforward",
            400,
            "pod two does not have a host assigned",
            id="port-forward is about no container",
        ),
        pytest.param("POST", f"{PODS}/running/exec", 500, UNREACHED, id="exec, a node"),
        pytest.param(
            "GET", f"{PODS}/waiting/proxy/index.html", 400, "address not allowed", id="pod proxy"
        ),
        pytest.param(
            "DELETE", f"{PODS}/http:waiting:80/proxy", 400, "address not allowed", id="with a port"
        ),
        pytest.param(
            "GET",
            "/api/v1/namespaces/connections/services/s/proxy/a/b",
            503,
            'no endpoints available for service "s"',
            id="service proxy",
        ),
        pytest.param(
            "PUT", "/api/v1/nodes/connected/proxy/metrics", 500, UNREACHED, id="node proxy"
        ),
        pytest.param(
            "PATCH",
            f"{PODS}/waiting/log",
            405,
            "the server does not allow this method on the requested resource",
            id="a verb that it has not",
        ),
    ],
)
def test_what_cannot_be_reached(ask: Ask, method: str, path: str, code: int, message: str) -> None:
    """First what is wrong with the request, then that nobody is there; the pod itself is left alone."""
    answer = ask(method, path)
    assert (answer.status, answer.json["message"]) == (code, message)
    assert ask("GET", f"{PODS}/waiting").status == 200


def test_the_log_of_a_pod_without_a_node(ask: Ask) -> None:
    """There is none, which is no error."""
    answer = ask("GET", f"{PODS}/waiting/log")
    assert (answer.status, answer.body) == (204, b"")
