"""How pods are printed.

A pod's status is what holds it up most: the columns tell in one word what its containers, its init containers and its
deletion say together.

upstream: pkg/printers/internalversion/printers.go
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from verger.apiserver.columns import (
    AGE,
    NAME,
    NONE,
    Column,
    Printer,
    age,
    condition_at,
    flag_at,
    has,
    members_at,
    moment_at,
    name,
    number_at,
    since,
    size_at,
    text_at,
    value_at,
)

_NODE_LOST: Final = "NodeLost"
"""The reason in the status of a pod whose node does not answer any more."""
_SCHEDULING_GATED: Final = "SchedulingGated"

_ROW_CONDITIONS: Final[Mapping[str, list[dict[str, str]]]] = {
    phase: [{"type": "Completed", "status": "True", "reason": phase, "message": message}]
    for phase, message in (
        ("Succeeded", "The pod has completed successfully."),
        ("Failed", "The pod failed."),
    )
}


@dataclass(slots=True)
class _Restarts:
    """How often containers were restarted, and when the last of them ended before that."""

    count: int = 0
    last: float | None = None

    def add(self, container: Mapping[str, Any]) -> None:
        self.count += number_at(container, "restartCount")
        ended = moment_at(container, "lastState", "terminated", "finishedAt")
        if ended is not None and (self.last is None or ended > self.last):
            self.last = ended

    def text(self, now: float) -> str:
        if not self.count or self.last is None:
            return str(self.count)
        return f"{self.count} ({since(self.last, now)} ago)"


def _end_of(terminated: Any) -> str:
    """Why a container ended: its reason, else the signal or the exit code."""
    signal = number_at(terminated, "signal")
    code = f"Signal:{signal}" if signal else f"ExitCode:{number_at(terminated, 'exitCode')}"
    return text_at(terminated, "reason", missing=code)


def _holds_up(container: Mapping[str, Any], place: str) -> str:
    """What an init container that is not done waits for."""
    if has(container, "state", "terminated"):
        return _end_of(value_at(container, "state", "terminated"))
    waiting = text_at(container, "state", "waiting", "reason")
    return place if waiting in ("", "PodInitializing") else waiting


def _initialized(pod: Mapping[str, Any]) -> bool:
    return text_at(condition_at(pod, "Initialized", "status", "conditions"), "status") == "True"


def _is_ready(pod: Mapping[str, Any]) -> bool:
    return any(
        each.get("type") == "Ready" and each.get("status") == "True"
        for each in members_at(pod, "status", "conditions")
    )


class _PodState:
    """What the containers of a pod say together: `ready` of `total` run, and the `reason` for what is shown."""

    def __init__(self, pod: Mapping[str, Any]) -> None:
        init = members_at(pod, "spec", "initContainers")
        sidecars = [text_at(each, "name") for each in init if each.get("restartPolicy") == "Always"]
        self.ready = 0
        self.total = size_at(pod, "spec", "containers") + len(sidecars)
        self.restarts = _Restarts()
        # A pod without a status was just created; upstream writes its phase then.
        phase = text_at(pod, "status", "phase", missing="Pending")
        self.reason = text_at(pod, "status", "reason", missing=phase)
        if any(
            each.get("type") == "PodScheduled" and each.get("reason") == _SCHEDULING_GATED
            for each in members_at(pod, "status", "conditions")
        ):
            self.reason = _SCHEDULING_GATED
        sidecar_restarts = _Restarts()
        done = self._read_init(pod, frozenset(sidecars), len(init), sidecar_restarts)
        if done or _initialized(pod):
            self.restarts = sidecar_restarts
            self._read_containers(pod)
        if has(pod, "metadata", "deletionTimestamp"):
            if text_at(pod, "status", "reason") == _NODE_LOST:
                self.reason = "Unknown"
            elif phase not in ("Succeeded", "Failed"):
                self.reason = "Terminating"

    def _read_init(
        self, pod: Mapping[str, Any], sidecars: frozenset[str], total: int, restarts: _Restarts
    ) -> bool:
        """Goes as far as the first init container that is not done. Returns whether there is none."""
        for index, container in enumerate(members_at(pod, "status", "initContainerStatuses")):
            sidecar = text_at(container, "name") in sidecars
            self.restarts.add(container)
            if sidecar:
                restarts.add(container)
            ended = value_at(container, "state", "terminated")
            if ended is not None and not number_at(ended, "exitCode"):
                continue
            if sidecar and flag_at(container, "started"):
                self.ready += flag_at(container, "ready")
                continue
            self.reason = "Init:" + _holds_up(container, f"{index}/{total}")
            return False
        return True

    def _read_containers(self, pod: Mapping[str, Any]) -> None:
        running = False
        failure = ""
        # Backwards, so that the first container that has something to say has the last word.
        for container in reversed(members_at(pod, "status", "containerStatuses")):
            self.restarts.add(container)
            waiting = text_at(container, "state", "waiting", "reason")
            ended = value_at(container, "state", "terminated")
            if waiting:
                self.reason = waiting
            elif ended is not None:
                self.reason = _end_of(ended)
                if number_at(ended, "exitCode"):
                    failure = self.reason
            elif flag_at(container, "ready") and has(container, "state", "running"):
                running = True
                self.ready += 1
        if self.reason == "Completed":
            if running and _is_ready(pod):
                self.reason = "Running"
            elif failure or running:
                self.reason = failure or "NotReady"


def _gates(pod: Mapping[str, Any]) -> str:
    gates = members_at(pod, "spec", "readinessGates")
    if not gates:
        return NONE
    passed = sum(
        text_at(condition_at(pod, text_at(gate, "conditionType"), "status", "conditions"), "status")
        == "True"
        for gate in gates
    )
    return f"{passed}/{len(gates)}"


def _pod_ip(pod: Mapping[str, Any]) -> str:
    first = next(iter(members_at(pod, "status", "podIPs")), {})
    return text_at(pod, "status", "podIP", missing=text_at(first, "ip", missing=NONE))


def _pod(pod: Mapping[str, Any], now: float) -> list[Any]:
    state = _PodState(pod)
    return [
        name(pod, now),
        f"{state.ready}/{state.total}",
        state.reason,
        state.restarts.text(now),
        age(pod, now),
        _pod_ip(pod),
        text_at(pod, "spec", "nodeName", missing=NONE),
        text_at(pod, "status", "nominatedNodeName", missing=NONE),
        _gates(pod),
    ]


def _pod_conditions(pod: Mapping[str, Any]) -> list[dict[str, str]]:
    return _ROW_CONDITIONS.get(text_at(pod, "status", "phase"), [])


POD: Final = Printer(
    columns=(
        NAME[0],
        Column("Ready", description="How many of its containers are ready, of how many."),
        Column("Status", description="What its containers say together."),
        Column("Restarts", description="How often its containers were restarted, and when last."),
        AGE[0],
        Column("IP", description="Its address.", priority=1),
        Column("Node", description="The node that it was given to.", priority=1),
        Column("Nominated Node", description="The node that is cleared for it.", priority=1),
        Column("Readiness Gates", description="How many of its gates are passed.", priority=1),
    ),
    cells=_pod,
    conditions=_pod_conditions,
)
