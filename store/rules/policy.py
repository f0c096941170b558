"""What bounds pods and namespaces: quotas, limit ranges, disruption budgets, priorities.

upstream: pkg/apis/core/validation (ValidateResourceQuota, ValidateLimitRange), pkg/apis/policy, pkg/apis/scheduling
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from verger.store.invalid import FieldError, duplicate, forbidden, immutable, invalid, required
from verger.store.objects import Object, name_of
from verger.store.rules import labelselectors, podspecs, resources, values
from verger.store.rules.base import Rules
from verger.store.rules.pods import SYSTEM_PRIORITIES
from verger.store.rules.values import EMPTY, Json, amount_of, maybe_one_of, nonnegative

USER_PRIORITY_MAX: Final = 1_000_000_000

_SCOPES: Final = (
    "Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "PriorityClass", "CrossNamespacePodAffinity",
    "VolumeAttributesClass",
)  # fmt: skip
_EXISTS_ALONE: Final = frozenset(_SCOPES) - {"PriorityClass", "VolumeAttributesClass"}
_CONFLICTS: Final = ({"BestEffort", "NotBestEffort"}, {"Terminating", "NotTerminating"})
_POD_COMPUTE: Final = frozenset(
    {"pods", "cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"}
)
_LIMIT_TYPES: Final = ("Pod", "Container", "PersistentVolumeClaim")
_LIMIT_LISTS: Final = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")
_NEVER_NEGATIVE: Final = (
    "disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods",
)  # fmt: skip


class QuotaRules(Rules):
    """How much a namespace may use; what it uses stands in the status."""

    has_status: bool = True
    returns_deleted: bool = True

    def default(self, obj: Object) -> None:
        """What is always written."""
        values.part(obj, "spec")
        values.part(obj, "status")

    def prepare_create(self, obj: Object) -> None:
        """Nothing is counted yet."""
        obj["status"] = {}

    def validate(self, obj: Mapping[str, Any]) -> list[FieldError]:
        """Resources that can be counted, scopes that fit them."""
        spec = obj.get("spec") or EMPTY
        hard = spec.get("hard") or EMPTY
        errors = resources.quantities("spec.hard", hard, resources.quota_resource_name)
        scopes = spec.get("scopes") or []
        # upstream says both again for every scope; each shows all scopes, which makes much of little.
        if not set(scopes) <= set(_SCOPES):
            errors.append(invalid("spec.scopes", scopes, "unsupported scope"))
        if not _all_fit(scopes, hard):
            text = "unsupported scope applied to resource"
            errors.append(invalid("spec.scopes", scopes, text))
        errors += _conflicts(scopes, scopes)
        if (selector := spec.get("scopeSelector")) is not None:
            errors += _scope_selector(selector, hard, scopes)
        return errors

    def validate_update(
        self, new: Mapping[str, Any], old: Mapping[str, Any], subresource: str
    ) -> list[FieldError]:
        """Scopes stay; what is counted is a quantity."""
        if subresource == "status":
            status = new.get("status") or EMPTY
            judge = resources.quota_resource_name
            return [
                *resources.quantities("status.hard", status.get("hard"), judge),
                *resources.quantities("status.used", status.get("used"), judge),
            ]
        wanted = (new.get("spec") or EMPTY).get("scopes") or []
        if set(wanted) == set((old.get("spec") or EMPTY).get("scopes") or ()):
            return []
        return [immutable("spec.scopes", wanted or None)]


def _fits(scope: str, resource: str) -> bool:
    if not resources.is_standard_quota_resource(resource):
        return True
    if scope in ("Terminating", "NotTerminating", "NotBestEffort", "PriorityClass"):
        return resource in _POD_COMPUTE
    return scope != "BestEffort" or resource == "pods"


def _all_fit(scopes: Iterable[str], hard: Iterable[str]) -> bool:
    return all(_fits(scope, name) for scope in {*scopes} & {*_SCOPES} for name in hard)


def _conflicts(scopes: list[str], shown: list[str]) -> list[FieldError]:
    return [
        invalid("spec.scopes", shown, "conflicting scopes")
        for pair in _CONFLICTS
        if pair <= set(scopes)
    ]


def _scope_selector(selector: Json, hard: Json, shown: list[str]) -> list[FieldError]:
    field = "spec.scopeSelector.matchExpressions"
    expressions = selector.get("matchExpressions") or ()
    errors: list[FieldError] = []
    if not _all_fit([item.get("scopeName") or "" for item in expressions], hard):
        text = "unsupported scope applied to resource"
        errors.append(invalid(field, dict(selector), text))
    for expression in expressions:
        scope, operator = expression.get("scopeName") or "", expression.get("operator") or ""
        wanted = expression.get("values") or []
        if scope not in _SCOPES:
            errors.append(invalid(f"{field}.scopeName", scope, "unsupported scope"))
        if scope in _EXISTS_ALONE and operator != "Exists":
            text = (
                "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, "
                "ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, "
                "ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
            )
            errors.append(invalid(f"{field}.operator", operator, text))
        if operator in ("In", "NotIn"):
            if not wanted:
                text = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
                errors.append(required(f"{field}.values", text))
        elif operator in ("Exists", "DoesNotExist"):
            if wanted:
                text = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
                errors.append(invalid(f"{field}.values", wanted, text))
        else:
            errors.append(invalid(f"{field}.operator", operator, "not a valid selector operator"))
    return errors + _conflicts([item.get("scopeName") or "" for item in expressions], shown)


class LimitRangeRules(Rules):
    """How much one container, pod or claim may use."""

    create_on_update: bool = True

    def default(self, obj: Object) -> None:
        """For containers, limits follow the maximum, requests the limits and then the minimum."""
        spec = values.part(obj, "spec")
        values.fill(spec, limits=None)
        for limit in spec["limits"] or ():
            if limit.get("type") != "Container":
                continue
            bound = {**(limit.get("max") or EMPTY), **(limit.get("default") or EMPTY)}
            request = {
                **(limit.get("min") or EMPTY),
                **bound,
                **(limit.get("defaultRequest") or EMPTY),
            }
            if bound:
                limit["default"] = bound
            if request:
                limit["defaultRequest"] = request

    def validate(self, obj: Mapping[str, Any]) -> list[FieldError]:
        """Bounds that can be met."""
        limits = (obj.get("spec") or EMPTY).get("limits") or ()
        errors: list[FieldError] = []
        repeated = values.duplicates([limit.get("type") or "" for limit in limits])
        for index, limit in enumerate(limits):
            field, kind = f"spec.limits[{index}]", limit.get("type") or ""
            if kind not in _LIMIT_TYPES and "/" not in kind:
                text = "must be a standard limit type or fully qualified"
                errors.append(invalid(f"{field}.type", kind, text))
            if index in repeated:
                errors.append(duplicate(f"{field}.type", kind))
            errors += _limit(field, kind, limit)
        return errors


def _limit(field: str, kind: str, limit: Json) -> list[FieldError]:
    judge = (
        resources.container_resource_name
        if kind in ("Pod", "Container")
        else resources.resource_name
    )
    errors: list[FieldError] = []
    found: dict[str, dict[str, Any]] = {}
    for key in _LIMIT_LISTS:
        amounts = limit.get(key) or EMPTY
        if kind == "Pod" and key.startswith("default"):
            if amounts:
                text = "may not be specified when `type` is 'Pod'"
                errors.append(forbidden(f"{field}.{key}", text))
            continue
        for name, quantity in amounts.items():
            errors += judge(f"{field}.{key}[{name}]", name)
            found.setdefault(name, {})[key] = quantity
    if kind == "PersistentVolumeClaim" and not {"min", "max"} & found.get("storage", {}).keys():
        text = "either minimum or maximum storage value is required, but neither was provided"
        errors.append(required(f"{field}.limits", text))
    for name, amounts in found.items():
        errors += _bounds(field, name, amounts)
    return errors


_ORDERED: Final = (
    # (less, more, the field that is blamed, which of the two values is shown, how the values are called)
    ("min", "max", "min", "min", "min value {} is greater than max value {}"),
    ("min", "defaultRequest", "defaultRequest", "defaultRequest",
     "min value {} is greater than default request value {}"),
    ("defaultRequest", "max", "defaultRequest", "defaultRequest",
     "default request value {} is greater than max value {}"),
    ("defaultRequest", "default", "defaultRequest", "defaultRequest",
     "default request value {} is greater than default limit value {}"),
    ("min", "default", "default", "min", "min value {} is greater than default value {}"),
    ("default", "max", "default", "max", "default value {} is greater than max value {}"),
)  # fmt: skip


def _bounds(field: str, name: str, amounts: Mapping[str, Any]) -> list[FieldError]:
    errors = []
    for less, more, blamed, shown, text in _ORDERED:
        low, high = amounts.get(less), amounts.get(more)
        if low is not None and high is not None and amount_of(low) > amount_of(high):
            at = f"{field}.{blamed}[{name}]"
            errors.append(invalid(at, str(amounts[shown]), text.format(low, high)))
    if (ratio := amounts.get("maxLimitRequestRatio")) is not None:
        at, value = f"{field}.maxLimitRequestRatio[{name}]", amount_of(ratio)
        if value < 1:
            errors.append(invalid(at, str(ratio), f"ratio {ratio} is less than 1"))
        low, high = amount_of(amounts.get("min", 0)), amount_of(amounts.get("max", 0))
        if low > 0 and "max" in amounts and value > high / low:
            text = f"ratio {ratio} is greater than max/min = {high / low:f}"
            errors.append(invalid(at, str(ratio), text))
    default, request = amounts.get("default"), amounts.get("defaultRequest")
    if (
        default is not None
        and request is not None
        and not resources.can_be_overcommitted(name)
        and amount_of(default) != amount_of(request)
    ):
        at = f"{field}.defaultRequest[{name}]"
        text = f"default value {default} must equal to defaultRequest value {request} in {name}"
        errors.append(invalid(at, str(request), text))
    return errors


class DisruptionBudgetRules(Rules):
    """How many pods may be missing at once."""

    has_status: bool = True
    counts_generation: bool = True
    unconditional_update: bool = False

    def default(self, obj: Object) -> None:
        """The counts of the status are always written."""
        values.part(obj, "spec")
        values.fill(values.part(obj, "status"), **dict.fromkeys(_NEVER_NEGATIVE, 0))

    def prepare_create(self, obj: Object) -> None:
        """Nothing is counted yet."""
        obj["metadata"]["generation"] = 1
        obj["status"] = dict.fromkeys(_NEVER_NEGATIVE, 0)

    def validate(self, obj: Mapping[str, Any]) -> list[FieldError]:
        """One bound, and what it is for."""
        spec = obj.get("spec") or EMPTY
        least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
        errors: list[FieldError] = []
        if least is not None and most is not None:
            shown = {
                "MinAvailable": least,
                "Selector": labelselectors.shown(spec.get("selector")),
                "MaxUnavailable": most,
                "UnhealthyPodEvictionPolicy": spec.get("unhealthyPodEvictionPolicy"),
            }
            text = "minAvailable and maxUnavailable cannot be both set"
            errors.append(invalid("spec", shown, text))
        for key, value in (("minAvailable", least), ("maxUnavailable", most)):
            errors += values.int_or_percent(f"spec.{key}", value)
            errors += values.at_most_100_percent(f"spec.{key}", value)
        errors += labelselectors.validate("spec.selector", spec.get("selector"))
        policies = ("AlwaysAllow", "IfHealthyBudget")
        policy = spec.get("unhealthyPodEvictionPolicy")
        return errors + maybe_one_of("spec.unhealthyPodEvictionPolicy", policy, policies)

    def validate_update(
        self, new: Mapping[str, Any], old: Mapping[str, Any], subresource: str
    ) -> list[FieldError]:
        """Counts are counts."""
        if subresource != "status":
            return []
        return nonnegative(new.get("status") or EMPTY, "status", *_NEVER_NEGATIVE)


class PriorityClassRules(Rules):
    """A name for a priority, which stays what it is."""

    counts_generation: bool = True

    def default(self, obj: Object) -> None:
        """The value is always written."""
        values.fill(obj, value=0, preemptionPolicy="PreemptLowerPriority")

    def prepare_update(self, new: Object, old: Mapping[str, Any], subresource: str) -> None:
        """Nothing that can change is counted."""

    def validate(self, obj: Mapping[str, Any]) -> list[FieldError]:
        """The highest priorities are the system's."""
        name, value = name_of(obj), obj.get("value") or 0
        errors: list[FieldError] = []
        if name.startswith("system-"):
            why = ""
            if name not in SYSTEM_PRIORITIES:
                why = f"{name} is not a known system priority class"
            elif value != SYSTEM_PRIORITIES[name]:
                why = f"value of {name} PriorityClass must be {SYSTEM_PRIORITIES[name]}"
            elif obj.get("globalDefault"):
                why = f"globalDefault of {name} PriorityClass must be false"
            if why:
                text = "priority class names with 'system-' prefix are reserved for system use only. error: "
                errors.append(forbidden("metadata.name", text + why))
        elif value > USER_PRIORITY_MAX:
            text = f"maximum allowed value of a user defined priority is {USER_PRIORITY_MAX}"
            errors.append(forbidden("value", text))
        if (policy := obj.get("preemptionPolicy")) is not None:
            errors += podspecs.preemption_policy("preemptionPolicy", policy)
        return errors

    def validate_update(
        self, new: Mapping[str, Any], old: Mapping[str, Any], subresource: str
    ) -> list[FieldError]:
        """Pods have its value by now."""
        errors: list[FieldError] = []
        if (new.get("value") or 0) != (old.get("value") or 0):
            errors.append(forbidden("value", "may not be changed in an update."))
        policy = new.get("preemptionPolicy")
        if policy != old.get("preemptionPolicy"):
            errors.append(immutable("preemptionPolicy", policy))
        return errors
