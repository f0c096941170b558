"""How the kinds are printed that make pods, or watch over their number.

upstream: pkg/printers/internalversion/printers.go
"""

from collections.abc import Mapping
from typing import Any, Final

from verger.apiserver.columns import (
    AGE,
    NAME,
    NONE,
    UNKNOWN,
    Column,
    Field,
    Printer,
    clipped,
    condition_at,
    container_cells,
    derived,
    flag_at,
    has,
    human_duration,
    labels_text,
    map_at,
    members_at,
    moment_at,
    number,
    number_at,
    printer,
    quantity_at,
    selector_text,
    since,
    size_at,
    text,
    text_at,
    value_at,
)

_DEFAULT_CPU_PERCENT: Final = 80
"""What an autoscaler without metrics aims at. upstream: pkg/apis/autoscaling/v2/defaults.go"""


def _containers(priority: int, *path: str) -> tuple[Field, Field]:
    """Two columns, of the names and images in the pod spec at a path."""
    return (
        (
            Column("Containers", description="The containers of its template.", priority=priority),
            derived(lambda obj: container_cells(value_at(obj, *path))[0]),
        ),
        (
            Column("Images", description="The images of these containers.", priority=priority),
            derived(lambda obj: container_cells(value_at(obj, *path))[1]),
        ),
    )


_TEMPLATE: Final = _containers(1, "spec", "template", "spec")


def _selector(*path: str) -> Field:
    return (
        Column("Selector", description="The labels of the pods that it counts.", priority=1),
        derived(lambda obj: selector_text(value_at(obj, *path), broken="<error>") or NONE),
    )


def _count(title: str, description: str, *path: str, missing: int = 0) -> Field:
    return Column(title, "integer", description=description), number(*path, missing=missing)


_REPLICAS: Final = (
    _count("Desired", "How many pods there should be.", "spec", "replicas", missing=1),
    _count("Current", "How many pods there are.", "status", "replicas"),
    _count("Ready", "How many of them are ready.", "status", "readyReplicas"),
)
_READY: Final[Field] = (
    Column("Ready", description="How many pods are ready, of how many that there should be."),
    derived(
        lambda obj: (
            f"{number_at(obj, 'status', 'readyReplicas')}/{number_at(obj, 'spec', 'replicas', missing=1)}"
        )
    ),
)


def _true_condition(job: Mapping[str, Any], *kinds: str) -> str:
    """The first of these conditions that holds."""
    for kind in kinds:
        if text_at(condition_at(job, kind, "status", "conditions"), "status") == "True":
            return kind
    return ""


def _job_state(job: Mapping[str, Any]) -> str:
    if over := _true_condition(job, "Complete", "Failed"):
        return over
    if has(job, "metadata", "deletionTimestamp"):
        return "Terminating"
    return _true_condition(job, "Suspended", "FailureTarget", "SuccessCriteriaMet") or "Running"


def _job_completions(job: Mapping[str, Any]) -> str:
    succeeded = number_at(job, "status", "succeeded")
    if has(job, "spec", "completions"):
        return f"{succeeded}/{number_at(job, 'spec', 'completions')}"
    parallelism = number_at(job, "spec", "parallelism")
    return f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"


def _job_duration(job: Mapping[str, Any], now: float) -> str:
    start = moment_at(job, "status", "startTime")
    end = moment_at(job, "status", "completionTime")
    return "" if start is None else human_duration((now if end is None else end) - start)


def _last_schedule(cron_job: Mapping[str, Any], now: float) -> str:
    last = moment_at(cron_job, "status", "lastScheduleTime")
    return NONE if last is None else since(last, now)


def _budget(*path: str) -> Any:
    """Shows a number or a percentage."""
    return derived(lambda obj: str(value_at(obj, *path)) if has(obj, *path) else "N/A")


_METRIC_SOURCES: Final = {
    "ContainerResource": "containerResource",
    "External": "external",
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
}


def _metric(spec: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    """What a metric is now and what it should be."""
    kind = text_at(spec, "type")
    source = _METRIC_SOURCES.get(kind, "")
    if not source:
        return "<unknown type>"
    target = value_at(spec, source, "target")
    current = value_at(status, source, "current")
    reported = has(status, source)

    def pair(field: str, *, known: bool) -> str:
        # Go prints a quantity that is not there as <nil>.
        have = quantity_at(current, field, missing="<nil>") if known else UNKNOWN
        return f"{have}/{quantity_at(target, field, missing='<nil>')}"

    if kind == "Pods":
        return pair("averageValue", known=reported)
    average = has(target, "averageValue")
    if kind in ("External", "Object"):
        if average:
            return pair("averageValue", known=has(current, "averageValue")) + " (avg)"
        return pair("value", known=reported)
    resource = text_at(spec, source, "name")
    if average:
        return f"{resource}: {pair('averageValue', known=reported)}"
    have, want = (
        f"{number_at(side, 'averageUtilization')}%" if has(side, "averageUtilization") else unset
        for side, unset in ((current, UNKNOWN), (target, "<auto>"))
    )
    return f"{resource}: {have}/{want}"


def _cpu_metric(side: str, percent: int) -> Mapping[str, Any]:
    return {
        "type": "Resource",
        "resource": {"name": "cpu", side: {"averageUtilization": percent}},
    }


def _metrics(hpa: Mapping[str, Any]) -> str:
    """Both versions of the kind: the older one knows the percentage of the CPU alone."""
    specs = members_at(hpa, "spec", "metrics")
    statuses = members_at(hpa, "status", "currentMetrics")
    if not specs:
        percent = number_at(
            hpa, "spec", "targetCPUUtilizationPercentage", missing=_DEFAULT_CPU_PERCENT
        )
        specs = [_cpu_metric("target", percent)]
    if has(hpa, "status", "currentCPUUtilizationPercentage"):
        percent = number_at(hpa, "status", "currentCPUUtilizationPercentage")
        statuses = [_cpu_metric("current", percent)]
    statuses += [{}] * (len(specs) - len(statuses))
    pairs = zip(specs, statuses, strict=False)
    return clipped([_metric(*pair) for pair in pairs], limit=2, separator=", ")


def _controller(revision: Mapping[str, Any]) -> str:
    owners = members_at(revision, "metadata", "ownerReferences")
    owner = next((each for each in owners if flag_at(each, "controller")), None)
    if owner is None:
        return NONE
    group, slash, _ = text_at(owner, "apiVersion").rpartition("/")
    kind = text_at(owner, "kind") + (f".{group}" if slash else "")
    return f"{kind.lower()}/{text_at(owner, 'name')}"


PRINTERS: Final[Mapping[tuple[str, str], Printer]] = {
    ("", "PodTemplate"): printer(
        NAME,
        *_containers(0, "template", "spec"),
        (
            Column("Pod Labels", description="The labels that its pods get."),
            derived(lambda obj: labels_text(map_at(obj, "template", "metadata", "labels"))),
        ),
    ),
    ("", "ReplicationController"): printer(
        NAME,
        *_REPLICAS,
        AGE,
        *_TEMPLATE,
        (
            Column("Selector", description="The labels of the pods that it counts.", priority=1),
            derived(lambda obj: labels_text(map_at(obj, "spec", "selector"))),
        ),
    ),
    ("apps", "ControllerRevision"): printer(
        NAME,
        (Column("Controller", description="What it is a revision of."), derived(_controller)),
        (Column("Revision", description="Its number."), number("revision")),
        AGE,
    ),
    ("apps", "DaemonSet"): printer(
        NAME,
        _count("Desired", "How many nodes should have a pod.", "status", "desiredNumberScheduled"),
        _count("Current", "How many of them do.", "status", "currentNumberScheduled"),
        _count("Ready", "How many of these pods are ready.", "status", "numberReady"),
        _count("Up-to-date", "How many are up to date.", "status", "updatedNumberScheduled"),
        _count("Available", "How many are available.", "status", "numberAvailable"),
        (
            Column("Node Selector", description="The labels of the nodes that get a pod."),
            derived(
                lambda obj: labels_text(map_at(obj, "spec", "template", "spec", "nodeSelector"))
            ),
        ),
        AGE,
        *_TEMPLATE,
        _selector("spec", "selector"),
    ),
    ("apps", "Deployment"): printer(
        NAME,
        _READY,
        (
            Column("Up-to-date", description="How many pods follow the latest template."),
            number("status", "updatedReplicas"),
        ),
        (
            Column("Available", description="How many pods have been ready long enough."),
            number("status", "availableReplicas"),
        ),
        AGE,
        *_TEMPLATE,
        (
            Column("Selector", description="The labels of the pods that it counts.", priority=1),
            derived(
                lambda obj: selector_text(value_at(obj, "spec", "selector"), broken="<invalid>")
            ),
        ),
    ),
    ("apps", "ReplicaSet"): printer(
        NAME, *_REPLICAS, AGE, *_TEMPLATE, _selector("spec", "selector")
    ),
    ("apps", "StatefulSet"): printer(NAME, _READY, AGE, *_TEMPLATE),
    ("autoscaling", "HorizontalPodAutoscaler"): printer(
        NAME,
        (
            Column("Reference", description="What it scales."),
            derived(
                lambda obj: "/".join(
                    text_at(obj, "spec", "scaleTargetRef", key) for key in ("kind", "name")
                )
            ),
        ),
        (
            Column("Targets", description="What its metrics are, and what they should be."),
            derived(_metrics),
        ),
        (
            Column("MinPods", description="The least pods there may be."),
            derived(lambda obj: str(number_at(obj, "spec", "minReplicas", missing=1))),
        ),
        (
            Column("MaxPods", description="The most pods there may be."),
            number("spec", "maxReplicas"),
        ),
        (
            Column("Replicas", description="How many pods there are."),
            number("status", "currentReplicas"),
        ),
        AGE,
    ),
    ("autoscaling", "Scale"): printer(
        NAME,
        _count("Desired", "How many replicas there should be.", "spec", "replicas"),
        _count("Available", "How many there are.", "status", "replicas"),
        AGE,
    ),
    ("batch", "CronJob"): printer(
        NAME,
        (
            Column("Schedule", description="When it runs, as cron writes it."),
            text("spec", "schedule"),
        ),
        (
            Column("Timezone", description="The time zone of the schedule."),
            text("spec", "timeZone", missing=NONE),
        ),
        (
            Column("Suspend", "boolean", description="Whether it starts no jobs."),
            derived(lambda obj: str(flag_at(obj, "spec", "suspend"))),
        ),
        (
            Column("Active", "integer", description="How many of its jobs run."),
            derived(lambda obj: size_at(obj, "status", "active")),
        ),
        (Column("Last Schedule", description="When it last started a job."), _last_schedule),
        AGE,
        *_containers(1, "spec", "jobTemplate", "spec", "template", "spec"),
        _selector("spec", "jobTemplate", "spec", "selector"),
    ),
    ("batch", "Job"): printer(
        NAME,
        (Column("Status", description="How far it is."), derived(_job_state)),
        (
            Column("Completions", description="How many of its pods succeeded, of how many."),
            derived(_job_completions),
        ),
        (Column("Duration", description="How long it has run, or ran."), _job_duration),
        AGE,
        *_TEMPLATE,
        _selector("spec", "selector"),
    ),
    ("policy", "PodDisruptionBudget"): printer(
        NAME,
        (
            Column("Min Available", description="How many pods must stay available."),
            _budget("spec", "minAvailable"),
        ),
        (
            Column("Max Unavailable", description="How many pods may be unavailable."),
            _budget("spec", "maxUnavailable"),
        ),
        _count("Allowed Disruptions", "How many pods may go now.", "status", "disruptionsAllowed"),
        AGE,
    ),
}
"""(group, kind) -> how it is printed."""
