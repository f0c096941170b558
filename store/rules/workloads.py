"""Workloads: what makes pods from a template and keeps their number.

Updates are judged by the spec's own rules and then by what may not change, as upstream does, so that of two complaints
the one about the selector comes last.

upstream: pkg/apis/apps/validation, pkg/apis/apps/v1/defaults.go, pkg/registry/apps
"""

from collections.abc import Mapping
from typing import Any, Final

from verger.store.invalid import (
    FieldError,
    forbidden,
    immutable,
    invalid,
    not_supported,
    required,
)
from verger.store.objects import Object, annotations_of, labels_of
from verger.store.rules import labelselectors, podspecs, values
from verger.store.rules.base import Rules
from verger.store.rules.values import EMPTY, Json, nonnegative

HISTORY: Final = 10
"""Old revisions that are kept. upstream: revisionHistoryLimit"""
PROGRESS_SECONDS: Final = 600
TEMPLATE_GENERATION: Final = "deprecated.daemonset.template.generation"

_MISMATCH: Final = "`selector` does not match template `labels`"
_CONDITION_TIMES: Final = ("lastTransitionTime",)


class WorkloadRules(Rules):
    """What the workloads share: a spec that is always there, a template in it, a status of their own."""

    has_status: bool = True
    counts_generation: bool = True
    empty_status: tuple[str, ...] = ()
    """Counts that the status always shows."""
    condition_times: tuple[str, ...] = _CONDITION_TIMES

    def default(self, obj: Object) -> None:
        """The template, then what the kind adds."""
        spec = values.part(obj, "spec")
        podspecs.default_template(spec)
        self.default_spec(spec)
        if (status := obj.get("status")) is not None:
            for key in self.empty_status:
                status.setdefault(key, 0)
            values.fill_times(status, *self.condition_times)

    def default_spec(self, spec: Object) -> None:
        """Fills in what is the kind's own."""

    def prepare_create(self, obj: Object) -> None:
        """Nothing is known of it yet."""
        obj["metadata"]["generation"] = 1
        obj["status"] = dict.fromkeys(self.empty_status, 0)

    def validates_whole_on_update(self, subresource: str) -> bool:
        """`validate_update` does, for the order of the complaints; the name is not judged again."""
        return False

    def validate_update(
        self, new: Mapping[str, Any], old: Mapping[str, Any], subresource: str
    ) -> list[FieldError]:
        """The outcome, and what may not change."""
        if subresource == "status":
            return self.validate_status(new.get("status") or EMPTY)
        return self.validate(new) + self.validate_frozen(new["spec"], old.get("spec") or EMPTY)

    def validate_frozen(self, new: Json, old: Json) -> list[FieldError]:
        """The selector stays."""
        if new.get("selector") == old.get("selector"):
            return []
        return [immutable("spec.selector", labelselectors.shown(new.get("selector")))]

    def validate_status(self, status: Json) -> list[FieldError]:
        """Counts are counts."""
        keys = (key for key in status if key.lower().endswith(("replicas", "generation")))
        return nonnegative(status, "status", *keys)


def selector_errors(spec: Json, noun: str) -> list[FieldError]:
    """What is wrong with the selector of a workload, which must be there and select something."""
    selector = spec.get("selector")
    if selector is None:
        return [required("spec.selector")]
    errors = labelselectors.validate("spec.selector", selector)
    if labelselectors.is_empty(selector):
        text = f"empty selector is invalid for {noun}"
        errors.append(invalid("spec.selector", {}, text))
    return errors


def mismatch(spec: Json) -> list[FieldError]:
    """The selector selects the pods that will come of the template."""
    labels = podspecs.template_labels(spec.get("template") or EMPTY)
    if labelselectors.matches(spec.get("selector"), labels):
        return []
    return [invalid("spec.template.metadata.labels", values.ordered(labels), _MISMATCH)]


def _selected_template(spec: Json, owner: str) -> list[FieldError]:
    template = spec.get("template") or EMPTY
    selector = spec.get("selector")
    if labelselectors.validate("spec.selector", selector):
        shown = labelselectors.shown(selector)
        return [invalid("spec.selector", shown, "invalid label selector")]
    errors = mismatch(spec)
    errors += podspecs.validate_template("spec.template", template)
    return errors + podspecs.always_restarts("spec.template", template, owner)


def _rolling(field: str, update: Json) -> list[FieldError]:
    unavailable, surge = update.get("maxUnavailable"), update.get("maxSurge")
    errors = values.int_or_percent(f"{field}.maxUnavailable", unavailable)
    errors += values.int_or_percent(f"{field}.maxSurge", surge)
    if not values.count_of(unavailable) and not values.count_of(surge):
        text = "may not be 0 when `maxSurge` is 0"
        errors.append(invalid(f"{field}.maxUnavailable", unavailable or 0, text))
    return errors + values.at_most_100_percent(f"{field}.maxUnavailable", unavailable)


class DeploymentRules(WorkloadRules):
    """Changes of the annotations count too: controllers read the revision from them."""

    condition_times: tuple[str, ...] = ("lastUpdateTime", "lastTransitionTime")

    def default_spec(self, spec: Object) -> None:
        """One pod, replaced a quarter at a time."""
        spec.setdefault("replicas", 1)
        strategy = values.part(spec, "strategy")
        if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
            update = values.part(strategy, "rollingUpdate")
            update.setdefault("maxUnavailable", "25%")
            update.setdefault("maxSurge", "25%")
        spec.setdefault("revisionHistoryLimit", HISTORY)
        spec.setdefault("progressDeadlineSeconds", PROGRESS_SECONDS)

    def prepare_update(self, new: Object, old: Mapping[str, Any], subresource: str) -> None:
        """A writer of the status leaves the labels alone."""
        WorkloadRules.prepare_update(self, new, old, subresource)
        if subresource == "status":
            new["metadata"].pop("labels", None)
            if labels := labels_of(old):
                new["metadata"]["labels"] = labels

    def spec_differs(self, new: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
        """The spec, or the annotations."""
        return bool(
            new.get("spec") != old.get("spec") or annotations_of(new) != annotations_of(old)
        )

    def validate(self, obj: Mapping[str, Any]) -> list[FieldError]:
        """Selector, template, strategy."""
        spec = obj["spec"]
        errors = nonnegative(spec, "spec", "replicas")
        errors += selector_errors(spec, "deployment")
        errors += _selected_template(spec, "ReplicaSet")
        errors += _deployment_strategy(spec.get("strategy") or EMPTY)
        errors += nonnegative(
            spec, "spec", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"
        )
        deadline = spec.get("progressDeadlineSeconds")
        if deadline is not None and deadline <= (spec.get("minReadySeconds") or 0):
            text = "must be greater than minReadySeconds"
            errors.append(invalid("spec.progressDeadlineSeconds", deadline, text))
        return errors


def _deployment_strategy(strategy: Json) -> list[FieldError]:
    field, update = "spec.strategy", strategy.get("rollingUpdate")
    match strategy.get("type"):
        case "Recreate":
            if update is None:
                return []
            text = "may not be specified when strategy `type` is 'Recreate'"
            return [forbidden(f"{field}.rollingUpdate", text)]
        case "RollingUpdate":
            return _rolling(f"{field}.rollingUpdate", update or EMPTY)
        case other:
            shown = {"Type": other or "", "RollingUpdate": update}
            return [not_supported(field, shown, ("Recreate", "RollingUpdate"))]


class ReplicaSetRules(WorkloadRules):
    """A number of like pods."""

    own_field_converter: bool = True
    field_labels: tuple[str, ...] = ("status.replicas",)
    empty_status: tuple[str, ...] = ("replicas",)

    def default_spec(self, spec: Object) -> None:
        """One pod."""
        spec.setdefault("replicas", 1)

    def validate(self, obj: Mapping[str, Any]) -> list[FieldError]:
        """Selector and template."""
        spec = obj["spec"]
        errors = nonnegative(spec, "spec", "replicas", "minReadySeconds")
        # upstream calls it a deployment
        errors += selector_errors(spec, "deployment")
        return errors + _selected_template(spec, "ReplicaSet")


class DaemonSetRules(WorkloadRules):
    """A pod on every node. How often its template changed stands in an annotation."""

    empty_status: tuple[str, ...] = (
        "currentNumberScheduled",
        "numberMisscheduled",
        "desiredNumberScheduled",
        "numberReady",
    )

    def default_spec(self, spec: Object) -> None:
        """Nodes are updated one by one."""
        strategy = values.part(spec, "updateStrategy")
        if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
            update = values.part(strategy, "rollingUpdate")
            update.setdefault("maxUnavailable", 1)
            update.setdefault("maxSurge", 0)
        spec.setdefault("revisionHistoryLimit", HISTORY)

    def prepare_create(self, obj: Object) -> None:
        """The first template."""
        WorkloadRules.prepare_create(self, obj)
        _annotate(obj, "1")

    def prepare_update(self, new: Object, old: Mapping[str, Any], subresource: str) -> None:
        """Another template counts on."""
        WorkloadRules.prepare_update(self, new, old, subresource)
        known = annotations_of(old).get(TEMPLATE_GENERATION, "")
        count = int(known) if known.isascii() and known.isdigit() and len(known) < 19 else 1
        before = (old.get("spec") or EMPTY).get("template")
        _annotate(new, str(count + (new["spec"].get("template") != before)))

    def validate(self, obj: Mapping[str, Any]) -> list[FieldError]:
        """Selector, template, strategy."""
        spec = obj["spec"]
        template, selector = spec.get("template") or EMPTY, spec.get("selector")
        errors = labelselectors.validate("spec.selector", selector)
        if not errors:
            errors += mismatch(spec)
        if labelselectors.is_empty(selector):
            text = "empty selector is invalid for daemonset"
            errors.append(invalid("spec.selector", {}, text))
        errors += podspecs.validate_template("spec.template", template)
        errors += podspecs.always_restarts("spec.template", template, "DaemonSet")
        errors += nonnegative(spec, "spec", "minReadySeconds")
        errors += _daemon_strategy(spec.get("updateStrategy") or EMPTY)
        return errors + nonnegative(spec, "spec", "revisionHistoryLimit")

    def validate_status(self, status: Json) -> list[FieldError]:
        """Counts are counts."""
        keys = (key for key, value in status.items() if isinstance(value, int))
        return nonnegative(status, "status", *keys)


def _annotate(obj: Object, generation: str) -> None:
    annotations = annotations_of(obj)
    if annotations.get(TEMPLATE_GENERATION) != generation:
        obj["metadata"]["annotations"] = {**annotations, TEMPLATE_GENERATION: generation}


def _daemon_strategy(strategy: Json) -> list[FieldError]:
    field, update = "spec.updateStrategy", strategy.get("rollingUpdate") or EMPTY
    kind = strategy.get("type")
    if kind == "OnDelete":
        return []
    if kind != "RollingUpdate":
        shown = {"Type": kind or "", "RollingUpdate": strategy.get("rollingUpdate")}
        return [not_supported(field, shown, ("RollingUpdate", "OnDelete"))]
    field = f"{field}.rollingUpdate"
    unavailable, surge = update.get("maxUnavailable"), update.get("maxSurge")
    errors = values.int_or_percent(f"{field}.maxUnavailable", unavailable)
    errors += values.int_or_percent(f"{field}.maxSurge", surge)
    errors += values.at_most_100_percent(f"{field}.maxUnavailable", unavailable)
    errors += values.at_most_100_percent(f"{field}.maxSurge", surge)
    if values.count_of(unavailable) and values.count_of(surge):
        text = "may not be set when maxUnavailable is non-zero"
        errors.append(invalid(f"{field}.maxSurge", surge, text))
    elif not values.count_of(unavailable) and not values.count_of(surge):
        text = "cannot be 0 when maxSurge is 0"
        errors.append(required(f"{field}.maxUnavailable", text))
    return errors
