"""StatefulSets, and the revisions in which they and DaemonSets keep their past templates.

upstream: pkg/apis/apps/validation, pkg/apis/apps/v1/defaults.go
"""

from collections.abc import Mapping
from typing import Any, Final

from verger.store import names
from verger.store.invalid import FieldError, forbidden, immutable, invalid, not_supported, required
from verger.store.metadata import NameRule
from verger.store.objects import Object, name_of
from verger.store.rules import claims, podspecs, values
from verger.store.rules.base import Rules
from verger.store.rules.values import EMPTY, Json, named, nonnegative
from verger.store.rules.workloads import HISTORY, WorkloadRules, mismatch, selector_errors

_FREE: Final = frozenset(
    {
        "replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy", "minReadySeconds",
    }
)  # fmt: skip
_FROZEN: Final = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
    "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)


class StatefulSetRules(WorkloadRules):
    """Pods with names and volumes of their own."""

    name_rule: NameRule = staticmethod(names.label)
    empty_status: tuple[str, ...] = ("replicas", "availableReplicas")

    def default_spec(self, spec: Object) -> None:
        """One after the other; claims outlive the set."""
        spec.setdefault("serviceName", "")
        spec.setdefault("podManagementPolicy", "OrderedReady")
        strategy = values.part(spec, "updateStrategy")
        if not strategy.get("type"):
            strategy["type"] = "RollingUpdate"
            strategy.setdefault("rollingUpdate", {})
        if strategy["type"] == "RollingUpdate" and strategy.get("rollingUpdate") is not None:
            strategy["rollingUpdate"].setdefault("partition", 0)
        policy = values.part(spec, "persistentVolumeClaimRetentionPolicy")
        policy.setdefault("whenDeleted", "Retain")
        policy.setdefault("whenScaled", "Retain")
        spec.setdefault("replicas", 1)
        spec.setdefault("revisionHistoryLimit", HISTORY)
        for claim in spec.get("volumeClaimTemplates") or ():
            values.fill(claim, kind="PersistentVolumeClaim", apiVersion="v1", metadata={})
            claims.default_claim(claim)

    def validate(self, obj: Mapping[str, Any]) -> list[FieldError]:
        """Everything; the name of the service is judged once."""
        return _spec(obj["spec"], is_new=True)

    def validate_update(
        self, new: Mapping[str, Any], old: Mapping[str, Any], subresource: str
    ) -> list[FieldError]:
        """The outcome, and what may not change."""
        if subresource == "status":
            return self.validate_status(new.get("status") or EMPTY)
        spec, before = new["spec"], old.get("spec") or EMPTY
        errors = _spec(spec, is_new=False)
        if any(spec.get(key) != before.get(key) for key in {*spec, *before} - _FREE):
            errors.append(forbidden("spec", _FROZEN))
        return errors


def _spec(spec: Json, *, is_new: bool) -> list[FieldError]:
    errors = _policies(spec)
    mounted = spec.get("volumeClaimTemplates") or ()
    if is_new:
        for index, claim in enumerate(mounted):
            at = f"spec.volumeClaimTemplates[{index}].spec"
            errors += claims.validate_spec(at, claim.get("spec") or EMPTY)
    errors += nonnegative(spec, "spec", "replicas", "minReadySeconds")
    errors += nonnegative(spec.get("ordinals") or EMPTY, "spec.ordinals", "start")
    if is_new and (name := spec.get("serviceName")):
        errors += named("spec.serviceName", name, names.label)
    wrong = selector_errors(spec, "statefulset")
    errors += wrong
    if not wrong or spec.get("selector") is None:
        errors += mismatch(spec)
    template = spec.get("template") or EMPTY
    volumes: dict[str, Json] = {
        name: {"persistentVolumeClaim": {}} for claim in mounted if (name := name_of(claim))
    }
    errors += podspecs.validate_template("spec.template", template, claims=volumes)
    return errors + podspecs.always_restarts("spec.template", template, "StatefulSet")


def _policies(spec: Json) -> list[FieldError]:
    errors: list[FieldError] = []
    if (policy := spec.get("podManagementPolicy")) not in ("OrderedReady", "Parallel"):
        text = "must be 'OrderedReady' or 'Parallel'"
        errors.append(invalid("spec.podManagementPolicy", policy or "", text))
    errors += _update_strategy(spec.get("updateStrategy") or EMPTY)
    retention = spec.get("persistentVolumeClaimRetentionPolicy") or EMPTY
    for key in ("whenDeleted", "whenScaled"):
        if (value := retention.get(key) or "") not in ("Retain", "Delete"):
            at = f"spec.persistentVolumeClaimRetentionPolicy.{key}"
            errors.append(not_supported(at, value, ("Retain", "Delete")))
    return errors


def _update_strategy(strategy: Json) -> list[FieldError]:
    field, update = "spec.updateStrategy", strategy.get("rollingUpdate")
    match strategy.get("type"):
        case "OnDelete":
            if update is None:
                return []
            text = "only allowed for updateStrategy 'RollingUpdate'"
            return [invalid(f"{field}.rollingUpdate", dict(update), text)]
        case "RollingUpdate":
            at, most = f"{field}.rollingUpdate", (update or EMPTY).get("maxUnavailable")
            errors = nonnegative(update or EMPTY, at, "partition")
            if most is not None:
                errors += values.int_or_percent(f"{at}.maxUnavailable", most)
                if not values.count_of(most):
                    errors.append(invalid(f"{at}.maxUnavailable", most, "cannot be 0"))
                errors += values.at_most_100_percent(f"{at}.maxUnavailable", most)
            return errors
        case other:
            shown = {"Type": other or "", "RollingUpdate": update}
            return [invalid(field, shown, "must be 'RollingUpdate' or 'OnDelete'")]


class ControllerRevisionRules(Rules):
    """One past template, which never changes."""

    def default(self, obj: Object) -> None:
        """The number of the revision is always written."""
        obj.setdefault("revision", 0)

    def validate(self, obj: Mapping[str, Any]) -> list[FieldError]:
        """There is something in it."""
        return nonnegative(obj, "", "revision")

    def validate_create(self, obj: Mapping[str, Any], *, namespaced: bool) -> list[FieldError]:
        """What it holds is an object."""
        errors = Rules.validate_create(self, obj, namespaced=namespaced)
        data = obj.get("data")
        if data is None:
            errors.append(required("data", "data is mandatory"))
        elif not isinstance(data, dict):
            errors.append(required("data", "data must be a valid JSON object"))
        return errors

    def validate_update(
        self, new: Mapping[str, Any], old: Mapping[str, Any], subresource: str
    ) -> list[FieldError]:
        """The data stays; its number may change."""
        if new.get("data") == old.get("data"):
            return []
        return [immutable("data", new.get("data"))]
