"""Version 1 of HorizontalPodAutoscalers as a view of what is stored, which is version 2.

The share of cpu is a field of its own. Other metrics, the current ones, conditions and behavior stand in annotations, as
JSON; metrics there have the flat form that they had before version 2. What is taken from an annotation fits the types
of version 2, or is not taken.

upstream: pkg/apis/autoscaling/v1/conversion.go
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson
from verger.store.decoding import DecodeError, Decoder
from verger.store.objects import Object, annotations_of, meta
from verger.store.rules.autoscaling import ANNOTATION, SOURCES
from verger.store.rules.values import EMPTY, Json
from verger.store.schemas import load

METRICS: Final = f"{ANNOTATION}metrics"
CURRENT_METRICS: Final = f"{ANNOTATION}current-metrics"
CONDITIONS: Final = f"{ANNOTATION}conditions"
BEHAVIOR: Final = f"{ANNOTATION}behavior"

_API_VERSION: Final = "autoscaling/v1"
_TYPES: Final = "io.k8s.api.autoscaling.v2"
_SPEC: Final = ("scaleTargetRef", "minReplicas", "maxReplicas")
_STATUS: Final = ("observedGeneration", "lastScaleTime", "currentReplicas", "desiredReplicas")
_AMOUNTS: Final = {
    "Utilization": "averageUtilization",
    "AverageValue": "averageValue",
    "Value": "value",
}
"""Sorts of targets, the most telling first, and the field of version 2 that holds each."""
_BEHAVIOR_DEPTH: Final = 4
"""A direction, its policies, one of them, its fields."""
_KINDS: Final = {"target": "MetricSpec", "current": "MetricStatus"}
"""What version 1 puts before the name of an amount, and version 2's type around it."""


def to_stored(obj: Mapping[str, Any]) -> Object:
    """An autoscaler of version 1 in the form of version 2. Annotations that are not what they should be are passed over."""
    out = dict(obj)
    given = obj.get("spec") or EMPTY
    spec: Object = {key: given[key] for key in _SPEC if key in given}
    percent = given.get("targetCPUUtilizationPercentage")
    metrics = [] if percent is None else [_cpu("target", percent)]
    metrics += _metrics(obj, METRICS, "target")
    if metrics:
        spec["metrics"] = metrics
    behavior = _renamed(_annotated(obj, BEHAVIOR), str.lower)
    if behavior and _fits("HorizontalPodAutoscalerBehavior", behavior):
        spec["behavior"] = behavior
    out["spec"] = spec
    if (known := obj.get("status")) is not None:
        status: Object = {key: known[key] for key in _STATUS if key in known}
        percent = known.get("currentCPUUtilizationPercentage")
        current = _metrics(obj, CURRENT_METRICS, "current")
        if current or percent is not None:
            status["currentMetrics"] = current or [_cpu("current", percent)]
        conditions = _listed(obj, CONDITIONS)
        if kept := [x for x in conditions if _fits("HorizontalPodAutoscalerCondition", x)]:
            status["conditions"] = kept
        out["status"] = status
    return out


def from_stored(obj: Mapping[str, Any]) -> Object:
    """A stored autoscaler in the form of version 1."""
    out = {**obj, "apiVersion": _API_VERSION}
    stored, known = obj.get("spec") or EMPTY, obj.get("status") or EMPTY
    spec: Object = {key: stored[key] for key in _SPEC if key in stored}
    notes: dict[str, str] = {}
    others = []
    for metric in stored.get("metrics") or ():
        percent = _cpu_percent(metric, "target")
        if percent is not None and "targetCPUUtilizationPercentage" not in spec:
            spec["targetCPUUtilizationPercentage"] = percent
        else:
            others.append(_flat(metric, "target"))
    if others:
        notes[METRICS] = _encode(others)
    if behavior := stored.get("behavior"):
        notes[BEHAVIOR] = _encode(_renamed(behavior, str.upper))
    status: Object = {"currentReplicas": 0, "desiredReplicas": 0}
    status |= {key: known[key] for key in _STATUS if key in known}
    if current := known.get("currentMetrics"):
        notes[CURRENT_METRICS] = _encode([_flat(item, "current") for item in current])
        for metric in current:
            percent = _cpu_percent(metric, "current")
            if percent is not None:
                status["currentCPUUtilizationPercentage"] = percent
    if conditions := known.get("conditions"):
        notes[CONDITIONS] = _encode(conditions)
    out["spec"], out["status"] = spec, status
    if notes:
        out["metadata"] = {**meta(obj), "annotations": {**annotations_of(obj), **notes}}
    return out


def _cpu(what: str, percent: Any) -> Object:
    amounts: Object = {"averageUtilization": percent}
    if what == "target":
        amounts = {"type": "Utilization", **amounts}
    return {"type": "Resource", "resource": {"name": "cpu", what: amounts}}


def _cpu_percent(metric: Json, what: str) -> Any:
    resource = metric.get("resource") or EMPTY
    if metric.get("type") != "Resource" or resource.get("name") != "cpu":
        return None
    return (resource.get(what) or EMPTY).get("averageUtilization")


def _flat_name(key: str, what: str, amount: str) -> str:
    """What version 1 calls an amount: targetAverageValue; but the average of an object's metric has no prefix."""
    if key == "object" and amount == "averageValue":
        return amount
    return f"{what}{amount[0].upper()}{amount[1:]}"


def _nested(item: Json, what: str) -> Object:
    """A metric of version 1 in the form of version 2."""
    key = SOURCES.get(str(item.get("type")), "")
    source = item.get(key)
    if not isinstance(source, dict):
        return dict(item)
    inner: Object = {k: source[k] for k in ("name", "container") if k in source}
    if "target" in source:
        inner["describedObject"] = source["target"]
    metric = {"name": source.get("metricName")}
    metric["selector"] = source.get("metricSelector" if key == "external" else "selector")
    if any(metric.values()):
        inner["metric"] = metric
    amounts = {
        amount: source[flat]
        for amount in _AMOUNTS.values()
        if source.get(flat := _flat_name(key, what, amount)) is not None
    }
    if what == "target":
        sort = next((sort for sort, amount in _AMOUNTS.items() if amount in amounts), "")
        if sort == "AverageValue" and key == "object" and amounts.get("value") == "0":
            del amounts["value"]
        inner["target"] = {"type": sort, **amounts}
    else:
        inner["current"] = amounts
    return {"type": item["type"], key: inner}


def _flat(metric: Json, what: str) -> Object:
    """A metric of version 2 in the form of version 1."""
    key = SOURCES.get(metric.get("type") or "", "")
    inner = metric.get(key)
    if not inner:
        return dict(metric)
    source: Object = {k: inner[k] for k in ("name", "container") if k in inner}
    if key == "object":
        source["target"] = inner.get("describedObject") or {}
        source[f"{what}Value"] = "0"
    named = inner.get("metric") or EMPTY
    if key not in ("resource", "containerResource"):
        source["metricName"] = named.get("name") or ""
    if selector := named.get("selector"):
        source["metricSelector" if key == "external" else "selector"] = selector
    amounts = inner.get(what) or EMPTY
    for amount in _AMOUNTS.values():
        if amount in amounts:
            source[_flat_name(key, what, amount)] = amounts[amount]
    return {"type": metric["type"], key: source}


def _metrics(obj: Json, annotation: str, what: str) -> list[Object]:
    nested = [_nested(item, what) for item in _listed(obj, annotation)]
    return [metric for metric in nested if _fits(_KINDS[what], metric)]


def _renamed(value: Any, case: Callable[[str], str], depth: int = _BEHAVIOR_DEPTH) -> Any:
    """With the first letter of each field name in the other case: behavior is written under the names that Go has for it."""
    if depth and isinstance(value, dict):
        return {
            case(key[:1]) + key[1:]: _renamed(item, case, depth - 1) for key, item in value.items()
        }
    if depth and isinstance(value, list):
        return [_renamed(item, case, depth - 1) for item in value]
    return value


def _encode(value: Any) -> str:
    return orjson.dumps(value).decode()


def _annotated(obj: Json, key: str) -> Any:
    try:
        return orjson.loads(annotations_of(obj).get(key) or "null")
    except orjson.JSONDecodeError:
        return None


def _listed(obj: Json, key: str) -> list[Object]:
    found = _annotated(obj, key)
    if not isinstance(found, list):
        return []
    return [item for item in found if isinstance(item, dict)]


def _fits(type_name: str, value: Object) -> bool:
    """Whether the value, of which unknown fields are dropped, is one of that type."""
    try:
        _decoder().decode(f"{_TYPES}.{type_name}", value)
    except DecodeError:
        return False
    return True


@functools.cache
def _decoder() -> Decoder:
    return Decoder(load())
