"""HorizontalPodAutoscalers: one stored object, seen through two versions.

Objects are stored in the form of version 2. Version 1 has a field for the share of cpu alone; whatever else there is it
shows in annotations, and takes back from them.

upstream: pkg/apis/autoscaling/validation, pkg/apis/autoscaling/v1/conversion.go, pkg/apis/autoscaling/v2/defaults.go
"""

from collections.abc import Mapping
from typing import Any, Final

from verger.store import names
from verger.store.invalid import FieldError, forbidden, invalid, not_supported, required
from verger.store.objects import Object, annotations_of
from verger.store.rules import labelselectors, values
from verger.store.rules.base import Rules
from verger.store.rules.values import EMPTY, Json, amount_of, maybe_one_of, nonnegative

CPU_PERCENT: Final = 80
"""Of what is requested, when an autoscaler says nothing else."""
ANNOTATION: Final = "autoscaling.alpha.kubernetes.io/"

SOURCES: Final = {
    "ContainerResource": "containerResource",
    "External": "external",
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
}
"""Sorts of metrics, and the field that holds each."""
_PERIOD_MAX: Final = 1800
_WINDOW_MAX: Final = 3600


class AutoscalerRules(Rules):
    """How many pods there should be, between two bounds."""

    has_status: bool = True

    def default(self, obj: Object) -> None:
        """At least one pod, by cpu; rules of scaling are complete. Annotations of version 1 are not stored."""
        spec = values.part(obj, "spec")
        values.part(spec, "scaleTargetRef")
        spec.setdefault("minReplicas", 1)
        spec.setdefault("maxReplicas", 0)
        if not spec.get("metrics"):
            spec["metrics"] = [_cpu(CPU_PERCENT)]
        if (behavior := spec.get("behavior")) is not None:
            _complete(values.part(behavior, "scaleUp"), window=0, pods=4)
            _complete(values.part(behavior, "scaleDown"), window=None, pods=0)
        status = values.part(obj, "status")
        values.fill(status, desiredReplicas=0)
        status.setdefault("currentMetrics", None)
        values.fill_times(status, "lastTransitionTime")
        annotations = annotations_of(obj)
        if any(key.startswith(ANNOTATION) for key in annotations):
            kept = {k: v for k, v in annotations.items() if not k.startswith(ANNOTATION)}
            obj["metadata"].pop("annotations")
            if kept:
                obj["metadata"]["annotations"] = kept

    def prepare_create(self, obj: Object) -> None:
        """Nothing is measured yet."""
        obj["status"] = {"desiredReplicas": 0, "currentMetrics": None}

    def validate(self, obj: Mapping[str, Any]) -> list[FieldError]:
        """Bounds, target, metrics, behavior."""
        spec = obj.get("spec") or EMPTY
        least, most = spec.get("minReplicas"), spec.get("maxReplicas") or 0
        errors: list[FieldError] = []
        if least is not None and least < 1:
            text = "must be greater than or equal to 1"
            errors.append(invalid("spec.minReplicas", least, text))
        if most < 1:
            errors.append(invalid("spec.maxReplicas", most, "must be greater than 0"))
        if least is not None and most < least:
            text = "must be greater than or equal to `minReplicas`"
            errors.append(invalid("spec.maxReplicas", most, text))
        errors += _reference("spec.scaleTargetRef", spec.get("scaleTargetRef") or EMPTY)
        for index, metric in enumerate(spec.get("metrics") or ()):
            errors += _metric(f"spec.metrics[{index}]", metric)
        for key in ("scaleUp", "scaleDown"):
            if (rules := (spec.get("behavior") or EMPTY).get(key)) is not None:
                errors += _scaling(f"spec.behavior.{key}", rules)
        return errors

    def validate_update(
        self, new: Mapping[str, Any], old: Mapping[str, Any], subresource: str
    ) -> list[FieldError]:
        """Counts are counts."""
        if subresource != "status":
            return []
        status = new.get("status") or EMPTY
        return nonnegative(status, "status", "currentReplicas", "desiredReplicas")


def _cpu(percent: int) -> Object:
    target = {"type": "Utilization", "averageUtilization": percent}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


def _complete(rules: Object, *, window: int | None, pods: int) -> None:
    if window is not None:
        rules.setdefault("stabilizationWindowSeconds", window)
    rules.setdefault("selectPolicy", "Max")
    if not rules.get("policies"):
        share = {"type": "Percent", "value": 100, "periodSeconds": 15}
        count = {"type": "Pods", "value": pods, "periodSeconds": 15}
        rules["policies"] = [count, share] if pods else [share]


def _reference(field: str, reference: Json) -> list[FieldError]:
    errors: list[FieldError] = []
    for key in ("kind", "name"):
        at = f"{field}.{key}"
        errors += values.required_name(at, reference.get(key), names.path_segment)
    return errors


def _metric(field: str, metric: Json) -> list[FieldError]:
    kind = metric.get("type") or ""
    errors: list[FieldError] = []
    if not kind:
        errors.append(required(f"{field}.type", "must specify a metric source type"))
    if kind not in SOURCES:
        errors.append(not_supported(f"{field}.type", kind, SOURCES))
    given = [key for key in SOURCES.values() if metric.get(key) is not None]
    for key in given[:1]:
        errors += _source(f"{field}.{key}", key, metric[key])
    expected = SOURCES.get(kind)
    if expected is not None and expected not in given:
        text = "must populate information for the given metric source"
        errors.append(required(f"{field}.{expected}", text))
    if len(given) > 1:
        text = "must populate the given metric source only"
        errors += [forbidden(f"{field}.{key}", text) for key in given if key != expected]
    return errors


def _source(field: str, key: str, source: Json) -> list[FieldError]:
    target = source.get("target") or EMPTY
    errors: list[FieldError] = []
    if key in ("resource", "containerResource"):
        if not source.get("name"):
            errors.append(required(f"{field}.name", "must specify a resource name"))
        if key == "containerResource" and not source.get("container"):
            errors.append(required(f"{field}.container", "must specify a container"))
        errors += _target(f"{field}.target", target)
        share, amount = target.get("averageUtilization"), target.get("averageValue")
        if share is None and amount is None:
            text = "must set either a target raw value or a target utilization"
            errors.append(required(f"{field}.target.averageUtilization", text))
        if share is not None and amount is not None:
            text = "may not set both a target raw value and a target utilization"
            errors.append(forbidden(f"{field}.target.averageValue", text))
        return errors
    if key == "object":
        errors += _reference(f"{field}.describedObject", source.get("describedObject") or EMPTY)
    metric = source.get("metric") or EMPTY
    if name := metric.get("name"):
        errors += values.named(f"{field}.metric.name", name, names.path_segment)
    else:
        errors.append(required(f"{field}.metric.name", "must specify a metric name"))
    errors += labelselectors.validate(f"{field}.metric.selector", metric.get("selector"))
    errors += _target(f"{field}.target", target)
    value, average = target.get("value"), target.get("averageValue")
    if key == "pods":
        if average is None or amount_of(average) <= 0:
            text = "must specify a positive target averageValue"
            errors.append(required(f"{field}.target.averageValue", text))
    elif value is None and average is None:
        what = (
            "value or averageValue" if key == "object" else "value for metric or a per-pod target"
        )
        errors.append(required(f"{field}.target.averageValue", f"must set either a target {what}"))
    elif key == "external" and value is not None and average is not None:
        text = "may not set both a target value for metric and a per-pod target"
        errors.append(forbidden(f"{field}.target.value", text))
    return errors


def _target(field: str, target: Json) -> list[FieldError]:
    kinds = ("Utilization", "Value", "AverageValue")
    kind = target.get("type") or ""
    errors: list[FieldError] = []
    if not kind:
        errors.append(required(f"{field}.type", "must specify a metric target type"))
    if kind not in kinds:
        text = "must be either Utilization, Value, or AverageValue"
        errors.append(invalid(f"{field}.type", kind, text))
    errors += [
        invalid(f"{field}.{key}", str(value), "must be positive")
        for key in ("value", "averageValue")
        if (value := target.get(key)) is not None and amount_of(value) <= 0
    ]
    share = target.get("averageUtilization")
    if share is not None and share < 1:
        errors.append(invalid(f"{field}.averageUtilization", share, "must be greater than 0"))
    return errors


def _scaling(field: str, rules: Json) -> list[FieldError]:
    window = rules.get("stabilizationWindowSeconds")
    at = f"{field}.stabilizationWindowSeconds"
    errors: list[FieldError] = []
    if window is not None and window < 0:
        errors.append(invalid(at, window, "must be greater than or equal to zero"))
    if window is not None and window > _WINDOW_MAX:
        errors.append(invalid(at, window, f"must be less than or equal to {_WINDOW_MAX}"))
    policies = ("Disabled", "Max", "Min")
    errors += maybe_one_of(f"{field}.selectPolicy", rules.get("selectPolicy"), policies)
    if not rules.get("policies"):
        errors.append(required(f"{field}.policies", "must specify at least one Policy"))
    for index, policy in enumerate(rules.get("policies") or ()):
        here = f"{field}.policies[{index}]"
        kind = policy.get("type") or ""
        if kind not in ("Percent", "Pods"):
            errors.append(not_supported(f"{here}.type", kind, ("Percent", "Pods")))
        for key in ("value", "periodSeconds"):
            if (number := policy.get(key) or 0) <= 0:
                errors.append(invalid(f"{here}.{key}", number, "must be greater than zero"))
        if (period := policy.get("periodSeconds") or 0) > _PERIOD_MAX:
            text = f"must be less than or equal to {_PERIOD_MAX}"
            errors.append(invalid(f"{here}.periodSeconds", period, text))
    return errors
