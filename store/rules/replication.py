"""The core group's older workloads: ReplicationControllers, and templates by themselves.

upstream: pkg/apis/core/validation (ValidateReplicationControllerSpec, ValidatePodTemplate), pkg/apis/core/v1/defaults.go
"""

from collections.abc import Mapping
from typing import Any

from verger.store.invalid import FieldError, invalid, required
from verger.store.objects import Object, labels_of
from verger.store.rules import podspecs, values
from verger.store.rules.base import Rules
from verger.store.rules.values import EMPTY, Json, nonnegative
from verger.store.rules.workloads import WorkloadRules


class ReplicationControllerRules(WorkloadRules):
    """Its selector is a plain map of labels, by default those of its template; it may change."""

    own_field_converter: bool = True
    field_labels: tuple[str, ...] = ("status.replicas",)
    empty_status: tuple[str, ...] = ("replicas",)

    def default(self, obj: Object) -> None:
        """Selector and labels, as the template has them."""
        given = (obj.get("spec") or EMPTY).get("template")
        WorkloadRules.default(self, obj)
        spec = obj["spec"]
        if given is None:
            del spec["template"]  # a pointer: it may be missing, and is refused then
        elif labels := podspecs.template_labels(given):
            if not spec.get("selector"):
                spec["selector"] = dict(labels)
            if not labels_of(obj):
                obj["metadata"]["labels"] = dict(labels)

    def default_spec(self, spec: Object) -> None:
        """One pod."""
        spec.setdefault("replicas", 1)

    def validate(self, obj: Mapping[str, Any]) -> list[FieldError]:
        """Selector and template."""
        spec = obj["spec"]
        errors = nonnegative(spec, "spec", "minReadySeconds")
        selector = spec.get("selector") or EMPTY
        if not selector:
            errors.append(required("spec.selector"))
        errors += nonnegative(spec, "spec", "replicas")
        template = spec.get("template")
        if template is None:
            return [*errors, required("spec.template")]
        labels = podspecs.template_labels(template)
        if any(labels.get(key) != value for key, value in selector.items()):
            text = "`selector` does not match template `labels`"
            shown = values.ordered(labels)
            errors.append(invalid("spec.template.metadata.labels", shown, text))
        errors += podspecs.validate_template("spec.template", template)
        return errors + podspecs.always_restarts("spec.template", template, "ReplicationController")

    def validate_frozen(self, new: Json, old: Json) -> list[FieldError]:
        """Nothing is frozen."""
        return []


class PodTemplateRules(Rules):
    """A template that somebody else uses."""

    returns_deleted: bool = True
    counts_generation: bool = True

    def default(self, obj: Object) -> None:
        """As the template of any workload."""
        podspecs.default_template(obj)

    def validate(self, obj: Mapping[str, Any]) -> list[FieldError]:
        """As the template of any workload."""
        return podspecs.validate_template("template", obj["template"])
