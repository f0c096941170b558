"""What `kubectl get pods` says of a pod: what holds it up, and where it runs."""

from typing import Any

import pytest
from verger.apiserver.tables import printer_for, table
from verger.store.kinds import built_in
from verger.store.timestamps import parse

KIND = built_in().core("Pod")
NOW = parse("2025-06-01T12:00:00Z")
CREATED = "2025-06-01T11:54:57Z"


def cells(obj: dict[str, Any]) -> list[Any]:
    return printer_for(KIND).cells(obj, NOW)


RUNNING = {"ready": True, "state": {"running": {"startedAt": CREATED}}}
SIDECAR = {"name": "s", "restartPolicy": "Always"}
INIT = [{"name": "i"}, {"name": "k"}]


def ended(code: int, **more: Any) -> dict[str, Any]:
    return {"state": {"terminated": {"exitCode": code, **more}}}


def waiting(reason: str) -> dict[str, Any]:
    return {"state": {"waiting": {"reason": reason}}}


def restarted(count: int, at: str, **more: Any) -> dict[str, Any]:
    return {"restartCount": count, "lastState": {"terminated": {"finishedAt": at}}, **more}


def condition(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "status": "True", **more}


def pod(
    *containers: dict[str, Any],
    init: list[dict[str, Any]] | None = None,
    spec: dict[str, Any] | None = None,
    deleted: bool = False,
    **status: Any,
) -> dict[str, Any]:
    return {
        "metadata": {"name": "x", "deletionTimestamp": CREATED if deleted else None},
        "spec": {"containers": [{"name": "a"}, {"name": "b"}], **(spec or {})},
        "status": {
            "phase": "Running",
            "containerStatuses": list(containers),
            "initContainerStatuses": init or [],
            **status,
        },
    }


POD_STATES = [
    pytest.param(pod(RUNNING, RUNNING), "2/2", "Running", "0", id="all containers run"),
    pytest.param(
        pod(RUNNING, {**RUNNING, "ready": False}), "1/2", "Running", "0", id="one is not ready"
    ),
    pytest.param(
        pod(phase="Failed", reason="Evicted"), "0/2", "Evicted", "0", id="the status has a reason"
    ),
    pytest.param(
        pod(
            phase="Pending",
            conditions=[condition("PodScheduled", status="False", reason="SchedulingGated")],
        ),
        "0/2",
        "SchedulingGated",
        "0",
        id="gates keep it from being scheduled",
    ),
    pytest.param(
        pod(
            phase="Pending",
            conditions=[condition("PodScheduled", status="False", reason="Unschedulable")],
        ),
        "0/2",
        "Pending",
        "0",
        id="no node fits",
    ),
    pytest.param(
        pod(waiting("ContainerCreating"), waiting("ContainerCreating"), phase="Pending"),
        "0/2",
        "ContainerCreating",
        "0",
        id="containers are being made",
    ),
    pytest.param(
        pod(RUNNING, {**restarted(7, "2025-06-01T11:58:30Z"), **waiting("CrashLoopBackOff")}),
        "1/2",
        "CrashLoopBackOff",
        "7 (90s ago)",
        id="a container crashes again and again",
    ),
    pytest.param(
        pod(
            restarted(1, "2025-06-01T11:00:00Z", **RUNNING),
            restarted(2, "2025-06-01T11:30:00Z", **RUNNING),
        ),
        "2/2",
        "Running",
        "3 (30m ago)",
        id="restarts add up, and the last one counts",
    ),
    pytest.param(
        pod({**RUNNING, "restartCount": 2}),
        "1/2",
        "Running",
        "2",
        id="nobody knows when it was restarted",
    ),
    pytest.param(
        pod(waiting("ImagePullBackOff"), waiting("ErrImagePull")),
        "0/2",
        "ImagePullBackOff",
        "0",
        id="the first container has the last word",
    ),
    pytest.param(
        pod(ended(0, reason="Completed"), ended(0, reason="Completed"), phase="Succeeded"),
        "0/2",
        "Completed",
        "0",
        id="all containers completed",
    ),
    pytest.param(
        pod(ended(0, reason="Completed"), RUNNING, conditions=[condition("Ready")]),
        "1/2",
        "Running",
        "0",
        id="one completed, the pod is ready",
    ),
    pytest.param(
        pod(ended(0, reason="Completed"), RUNNING, conditions=[condition("Ready", status="False")]),
        "1/2",
        "NotReady",
        "0",
        id="one completed, the pod is not ready",
    ),
    pytest.param(
        pod(ended(0, reason="Completed"), ended(1, reason="Error"), phase="Failed"),
        "0/2",
        "Error",
        "0",
        id="one completed, another failed",
    ),
    pytest.param(
        pod(ended(0, reason="Completed"), ended(1, reason="Error"), RUNNING),
        "1/2",
        "Error",
        "0",
        id="a failure comes before not being ready",
    ),
    pytest.param(
        pod(ended(137, reason="OOMKilled")), "0/2", "OOMKilled", "0", id="killed for its memory"
    ),
    pytest.param(pod(ended(0, signal=9)), "0/2", "Signal:9", "0", id="ended by a signal"),
    pytest.param(pod(ended(3)), "0/2", "ExitCode:3", "0", id="ended without a reason"),
    pytest.param(
        pod(RUNNING, RUNNING, deleted=True), "2/2", "Terminating", "0", id="it is being deleted"
    ),
    pytest.param(
        pod(RUNNING, RUNNING, deleted=True, reason="NodeLost"),
        "2/2",
        "Unknown",
        "0",
        id="it is being deleted on a lost node",
    ),
    pytest.param(
        pod(ended(0, reason="Completed"), phase="Succeeded", deleted=True),
        "0/2",
        "Completed",
        "0",
        id="it is being deleted after it ended",
    ),
    pytest.param(
        pod(
            waiting("PodInitializing"),
            init=[RUNNING],
            spec={"initContainers": INIT},
            phase="Pending",
        ),
        "0/2",
        "Init:0/2",
        "0",
        id="the first init container runs",
    ),
    pytest.param(
        pod(
            init=[ended(0), waiting("PodInitializing")],
            spec={"initContainers": INIT},
            phase="Pending",
        ),
        "0/2",
        "Init:1/2",
        "0",
        id="the second init container is about to run",
    ),
    pytest.param(
        pod(
            init=[{**restarted(4, "2025-06-01T11:59:50Z"), **waiting("CrashLoopBackOff")}],
            spec={"initContainers": INIT},
            phase="Pending",
        ),
        "0/2",
        "Init:CrashLoopBackOff",
        "4 (10s ago)",
        id="an init container crashes again and again",
    ),
    pytest.param(
        pod(init=[ended(1, reason="Error")], spec={"initContainers": INIT}),
        "0/2",
        "Init:Error",
        "0",
        id="an init container failed",
    ),
    pytest.param(
        pod(init=[ended(2)], spec={"initContainers": INIT}),
        "0/2",
        "Init:ExitCode:2",
        "0",
        id="an init container failed without a reason",
    ),
    pytest.param(
        pod(init=[ended(137, signal=9)], spec={"initContainers": INIT}),
        "0/2",
        "Init:Signal:9",
        "0",
        id="an init container was ended by a signal",
    ),
    pytest.param(
        pod(
            RUNNING,
            RUNNING,
            init=[{**restarted(3, "2025-06-01T11:59:00Z"), **ended(0)}],
            spec={"initContainers": [{"name": "i"}]},
        ),
        "2/2",
        "Running",
        "0",
        id="restarts of init containers are forgotten when they are done",
    ),
    pytest.param(
        pod(
            RUNNING,
            RUNNING,
            init=[{**restarted(3, "2025-06-01T11:59:00Z"), **ended(1)}],
            spec={"initContainers": [{"name": "i"}]},
            conditions=[condition("Initialized")],
        ),
        "2/2",
        "Init:ExitCode:1",
        "0",
        id="containers count once the pod was initialized",
    ),
    pytest.param(
        pod(
            RUNNING,
            RUNNING,
            init=[restarted(2, "2025-06-01T11:59:00Z", name="s", started=True, **RUNNING)],
            spec={"initContainers": [SIDECAR]},
        ),
        "3/3",
        "Running",
        "2 (60s ago)",
        id="a sidecar counts as a container",
    ),
    pytest.param(
        pod(
            RUNNING,
            RUNNING,
            init=[{"name": "s", "started": True, "ready": False}],
            spec={"initContainers": [SIDECAR]},
        ),
        "2/3",
        "Running",
        "0",
        id="a sidecar is not ready",
    ),
    pytest.param(
        pod(
            init=[{"name": "s", "started": False}],
            spec={"initContainers": [SIDECAR, {"name": "i"}]},
            phase="Pending",
        ),
        "0/3",
        "Init:0/2",
        "0",
        id="a sidecar has not started",
    ),
]


@pytest.mark.parametrize(("obj", "ready", "status", "restarts"), POD_STATES)
def test_pod_status_is_what_holds_it_up(
    obj: dict[str, Any], ready: str, status: str, restarts: str
) -> None:
    """The status of a pod sums up its containers, its init containers and its deletion."""
    assert cells(obj)[1:4] == [ready, status, restarts]


@pytest.mark.parametrize(
    ("obj", "row"),
    [
        pytest.param(
            pod(podIP="10.0.0.1", podIPs=[{"ip": "10.0.0.1"}], spec={"nodeName": "n"}),
            ["10.0.0.1", "n", "<none>", "<none>"],
            id="scheduled",
        ),
        pytest.param(
            pod(podIPs=[{"ip": "10.0.0.2"}, {"ip": "fd00::1"}], nominatedNodeName="m"),
            ["10.0.0.2", "<none>", "m", "<none>"],
            id="nominated, its address only in the list",
        ),
        pytest.param(
            pod(
                spec={
                    "readinessGates": [
                        {"conditionType": "a"},
                        {"conditionType": "b"},
                        {"conditionType": "c"},
                    ]
                },
                conditions=[condition("a"), condition("b", status="False")],
            ),
            ["<none>", "<none>", "<none>", "1/3"],
            id="one of its gates is passed",
        ),
    ],
)
def test_wide_pod_shows_where_it_runs(obj: dict[str, Any], row: list[str]) -> None:
    """The columns of `-o wide` are sent always."""
    assert cells(obj)[5:] == row


@pytest.mark.parametrize(
    ("phase", "conditions"),
    [
        pytest.param("Running", None, id="a pod that runs has none"),
        pytest.param(
            "Succeeded",
            [
                {
                    "type": "Completed",
                    "status": "True",
                    "reason": "Succeeded",
                    "message": "The pod has completed successfully.",
                }
            ],
            id="a pod that succeeded",
        ),
        pytest.param(
            "Failed",
            [
                {
                    "type": "Completed",
                    "status": "True",
                    "reason": "Failed",
                    "message": "The pod failed.",
                }
            ],
            id="a pod that failed",
        ),
    ],
)
def test_row_of_an_ended_pod_has_a_condition(phase: str, conditions: Any) -> None:
    """A row tells that its pod has run to completion."""
    got = table(KIND, [pod(phase=phase)], include="None", version="v1", metadata={}, now=NOW)
    assert got["rows"][0].get("conditions") == conditions
