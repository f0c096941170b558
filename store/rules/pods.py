"""Pods: defaults, validation, what may change of a running one, and how long a deleted one stays.

What upstream's admission plugins of priority and default tolerations set is set here when it is still missing after
admission: neither needs to ask anybody.

upstream: pkg/registry/core/pod/strategy.go, pkg/apis/core/validation (ValidatePodUpdate and its neighbours)
"""

from collections.abc import Mapping
from typing import Any, Final

from verger.store import names
from verger.store.invalid import FieldError, forbidden, immutable, invalid
from verger.store.objects import Object, annotations_of, meta, name_of
from verger.store.rules import containers, podspecs, podupdates, values
from verger.store.rules.base import Rules
from verger.store.rules.resources import quality_of_service
from verger.store.rules.values import EMPTY, Json

TOLERATION_SECONDS: Final = 300
"""How long a pod stays on a node that is not ready or cannot be reached. upstream: --default-not-ready-toleration-seconds"""
CRITICAL_PRIORITY: Final = 2_000_000_000
SYSTEM_PRIORITIES: Final = {
    "system-cluster-critical": CRITICAL_PRIORITY,
    "system-node-critical": CRITICAL_PRIORITY + 1000,
}

_FINISHED: Final = ("Succeeded", "Failed")
_UNREADY: Final = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_CONDITION_TIMES: Final = ("lastProbeTime", "lastTransitionTime")
_STATUSES: Final = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
_SYSTEM_CONDITIONS: Final = ("PodScheduled", "Ready", "Initialized")


class PodRules(Rules):
    """A pod's spec is fixed but for a few fields, and its status belongs to whoever runs it."""

    has_status: bool = True
    returns_deleted: bool = True
    counts_generation: bool = True
    own_field_converter: bool = True
    field_labels: tuple[str, ...] = (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.podIPs",
        "status.nominatedNodeName",
    )

    def field(self, obj: Mapping[str, Any], name: str) -> str:
        """The host's network is used or not; addresses are joined."""
        if name == "spec.hostNetwork":
            return "true" if (obj.get("spec") or EMPTY).get("hostNetwork") else "false"
        if name == "status.podIPs":
            found = (obj.get("status") or EMPTY).get("podIPs") or ()
            return ",".join(str(item.get("ip") or "") for item in found)
        return Rules.field(self, obj, name)

    def default(self, obj: Object) -> None:
        """The spec, and what a status always says."""
        podspecs.default_pod(values.part(obj, "spec"))
        if status := values.part(obj, "status"):
            _default_status(status)

    def prepare_create(self, obj: Object) -> None:
        """Pending; with the priority and the tolerations that every pod has."""
        obj["metadata"]["generation"] = 1
        spec = obj["spec"]
        podspecs.sync_account(spec)  # admission may have chosen one
        _set_priority(spec)
        _tolerate_unready_nodes(spec)
        status: Object = {"phase": "Pending", "qosClass": quality_of_service(spec)}
        if spec.get("schedulingGates"):
            status["conditions"] = [
                {
                    "type": "PodScheduled",
                    "status": "False",
                    "lastProbeTime": None,
                    "lastTransitionTime": None,
                    "reason": "SchedulingGated",
                    "message": "Scheduling is blocked due to non-empty scheduling gates",
                }
            ]
        obj["status"] = status

    def prepare_update(self, new: Object, old: Mapping[str, Any], subresource: str) -> None:
        """Each endpoint changes its own part."""
        match subresource:
            case "status":
                Rules.prepare_update(self, new, old, subresource)
                podupdates.keep_from_status(new, old)
                return
            case "binding":
                return  # the change is made here, not by a client
            case "ephemeralcontainers":
                podupdates.keep_all_but_ephemeral(new, old)
            case "resize":
                podupdates.keep_all_but_resources(new, old)
            case _:
                _keep_scheduled(new["spec"], old.get("spec") or EMPTY)
        new["status"] = old.get("status") or {}
        if new["spec"] != old.get("spec"):
            new["metadata"]["generation"] = (meta(old).get("generation") or 0) + 1

    def validates_whole_on_update(self, subresource: str) -> bool:
        """Whatever clients change of the spec is judged by all of it."""
        return subresource not in ("status", "binding")

    def validate_create(self, obj: Mapping[str, Any], *, namespaced: bool) -> list[FieldError]:
        """What is true of new pods alone, too."""
        errors = Rules.validate_create(self, obj, namespaced=namespaced)
        spec = obj.get("spec") or EMPTY
        if spec.get("ephemeralContainers"):
            errors.append(forbidden("spec.ephemeralContainers", "cannot be set on create"))
        if spec.get("nodeName") and spec.get("schedulingGates"):
            text = "cannot be set until all schedulingGates have been cleared"
            errors.append(forbidden("spec.nodeName", text))
        return errors

    def validate(self, obj: Mapping[str, Any]) -> list[FieldError]:
        """The annotations that kubelets know, and the spec."""
        spec = obj.get("spec") or EMPTY
        errors = podspecs.mirror_annotation("metadata.annotations", annotations_of(obj), spec)
        errors += podspecs.validate_spec("spec", spec, pod_name=name_of(obj), is_pod=True)
        if not spec.get("serviceAccountName"):
            errors += _tokens_without_account(spec)
        for key in ("containers", "initContainers"):
            for index, container in enumerate(spec.get(key) or ()):
                errors += containers.untrimmed_image(f"spec.{key}[{index}]", container)
        return errors

    def validate_update(
        self, new: Mapping[str, Any], old: Mapping[str, Any], subresource: str
    ) -> list[FieldError]:
        """What this endpoint may change."""
        if subresource == "binding":
            return []
        if subresource == "resize":
            return podupdates.validate_resize(new, old)
        errors = podupdates.validate_annotations(annotations_of(new), annotations_of(old))
        match subresource:
            case "status":
                return errors + _validate_status(new, old)
            case "ephemeralcontainers":
                return errors + podupdates.validate_ephemeral(new, old)
            case _:
                return errors + podupdates.validate_spec(new["spec"], old.get("spec") or EMPTY)

    def warnings(self, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[str]:
        """A name that makes a surprising host name."""
        name = name_of(new)
        if old is not None or not (complaints := names.label(name)):
            return []
        return [
            "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is "
            f"recommended: [{' '.join(complaints)}]"
        ]

    def grace_seconds(self, obj: Mapping[str, Any], requested: int | None) -> int:
        """As long as was asked for, or as the pod says; not at all for one that no kubelet has to end."""
        spec, status = obj.get("spec") or EMPTY, obj.get("status") or EMPTY
        if not spec.get("nodeName") or status.get("phase") in _FINISHED:
            return 0
        period = requested
        if period is None:
            period = spec.get("terminationGracePeriodSeconds") or 0
        return 1 if period < 0 else int(period)


def _default_status(status: Object) -> None:
    values.fill_times(status, *_CONDITION_TIMES)
    for key in _STATUSES:
        for container in status.get(key) or ():
            values.fill(container, state={}, lastState={}, ready=False, restartCount=0)
            values.fill(container, name="", image="", imageID="")
    # Of two ways to tell the address the older one decides, since old kubelets know no other.
    if ip := status.get("podIP"):
        listed = status.get("podIPs") or [{}]
        if listed[0].get("ip") != ip:
            status["podIPs"] = [{"ip": ip}]
    elif listed := status.get("podIPs"):
        status["podIP"] = listed[0].get("ip") or ""


def _set_priority(spec: Object) -> None:
    name = spec.get("priorityClassName") or ""
    if spec.get("priority") is None and (not name or name in SYSTEM_PRIORITIES):
        spec["priority"] = SYSTEM_PRIORITIES.get(name, 0)
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")


def _keep_scheduled(spec: Object, before: Json) -> None:
    # What admission chose for a pod stays when a client leaves it out.
    for key in ("priority", "preemptionPolicy"):
        if spec.get(key) is None and before.get(key) is not None:
            spec[key] = before[key]
    _tolerate_unready_nodes(spec)


def _tolerate_unready_nodes(spec: Object) -> None:
    given = spec.get("tolerations") or []
    missing = [
        {
            "key": key,
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": TOLERATION_SECONDS,
        }
        for key in _UNREADY
        if not any(
            (not item.get("key") or item["key"] == key)
            and item.get("effect") in (None, "", "NoExecute")
            for item in given
        )
    ]
    if missing:
        spec["tolerations"] = [*given, *missing]


def _tokens_without_account(spec: Json) -> list[FieldError]:
    return [
        forbidden(
            f"spec.volumes[{index}].projected.sources[{place}].serviceAccountToken",
            "must not be specified when serviceAccountName is not set",
        )
        for index, volume in enumerate(spec.get("volumes") or ())
        for place, source in enumerate((volume.get("projected") or EMPTY).get("sources") or ())
        if source.get("serviceAccountToken") is not None
    ]


def _validate_status(new: Mapping[str, Any], old: Mapping[str, Any]) -> list[FieldError]:
    status, before = new.get("status") or EMPTY, old.get("status") or EMPTY
    errors: list[FieldError] = []
    for index, condition in enumerate(status.get("conditions") or ()):
        kind = condition.get("type") or ""
        if kind not in _SYSTEM_CONDITIONS:
            # upstream looks for them below metadata
            errors += values.named(f"metadata.conditions[{index}].Type", kind, names.qualified)
    if (nominated := status.get("nominatedNodeName")) and nominated != before.get(
        "nominatedNodeName"
    ):
        errors += values.named("status.nominatedNodeName", nominated, names.subdomain)
    if status.get("qosClass") != before.get("qosClass"):
        errors.append(immutable("status.qosClass", status.get("qosClass")))
    policy = (old.get("spec") or EMPTY).get("restartPolicy") or ""
    for key in _STATUSES:
        # Nobody restarts an ephemeral container.
        applied = "Never" if key.startswith("ephemeral") else policy
        if applied != "Always":
            errors += _no_return(f"status.{key}", status.get(key), before.get(key), applied)
    for index, item in enumerate(status.get("podIPs") or ()):
        errors += values.address(f"status.podIPs[{index}]", item.get("ip") or "")
    for index, item in enumerate(status.get("hostIPs") or ()):
        at, ip = f"status.hostIPs[{index}]", item.get("ip") or ""
        if index == 0 and ip != (status.get("hostIP") or ""):
            errors.append(invalid(f"{at}.ip", ip, "must be equal to `hostIP`"))
        errors += values.address(at, ip)
    return errors


def _no_return(field: str, new: Any, old: Any, policy: str) -> list[FieldError]:
    """What has ended for good does not run again."""
    running = {
        item.get("name") for item in new or () if not (item.get("state") or EMPTY).get("terminated")
    }
    errors = []
    for index, item in enumerate(old or ()):
        ended = (item.get("state") or EMPTY).get("terminated")
        if ended is None or (ended.get("exitCode") and policy == "OnFailure"):
            continue
        if item.get("name") in running:
            text = "may not be transitioned to non-terminated state"
            errors.append(forbidden(f"{field}[{index}].state", text))
    return errors
