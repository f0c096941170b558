"""Where a pod may run: affinity, tolerations, topology.

upstream: pkg/apis/core/validation (validateAffinity, ValidateTolerations, validateTopologySpreadConstraints)
"""

from collections.abc import Iterator
from typing import Any, Final

from verger.store import names
from verger.store.invalid import FieldError, duplicate, forbidden, invalid, not_supported, required
from verger.store.rules import labelselectors
from verger.store.rules.values import Json, maybe_one_of, named, one_of, required_name

_EFFECTS: Final = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_NODE_OPERATORS: Final = ("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt")
_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED: Final = "preferredDuringSchedulingIgnoredDuringExecution"


def taint_effect(field: str, effect: str | None) -> list[FieldError]:
    """What a taint does to pods that do not tolerate it."""
    return one_of(field, effect, _EFFECTS)


def tolerations(field: str, items: list[Json]) -> list[FieldError]:
    """What is wrong with tolerations."""
    errors: list[FieldError] = []
    for index, item in enumerate(items):
        at = f"{field}[{index}]"
        key, operator = item.get("key") or "", item.get("operator") or ""
        value, effect = item.get("value") or "", item.get("effect") or ""
        if key:
            errors += named(f"{at}.key", key, names.qualified)
        elif operator != "Exists":
            text = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            errors.append(invalid(f"{at}.operator", operator, text))
        if item.get("tolerationSeconds") is not None and effect != "NoExecute":
            text = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            errors.append(invalid(f"{at}.effect", effect, text))
        if operator in ("", "Equal"):
            if wrong := names.label_value(value):
                errors.append(invalid(f"{at}.operator", value, ";".join(wrong)))
        elif operator == "Exists":
            if value:
                text = "value must be empty when `operator` is 'Exists'"
                errors.append(invalid(f"{at}.operator", value, text))
        else:
            errors.append(not_supported(f"{at}.operator", operator, ("Equal", "Exists")))
        if effect:
            errors += taint_effect(f"{at}.effect", effect)
    return errors


def only_added_tolerations(field: str, new: list[Json], old: list[Json]) -> list[FieldError]:
    """A running pod may come to tolerate more, or longer, but nothing else."""

    def without_seconds(item: Json) -> dict[str, Any]:
        return {key: value for key, value in item.items() if key != "tolerationSeconds"}

    kept = [without_seconds(item) for item in new]
    if all(without_seconds(item) in kept for item in old):
        return []
    text = "existing toleration can not be modified except its tolerationSeconds"
    return [forbidden(field, text)]


def affinity(field: str, value: Json) -> list[FieldError]:
    """What is wrong with a pod's affinity."""
    errors: list[FieldError] = []
    if node := value.get("nodeAffinity"):
        at = f"{field}.nodeAffinity"
        if (selector := node.get(_REQUIRED)) is not None:
            errors += node_selector(f"{at}.{_REQUIRED}", selector)
        for index, term in enumerate(node.get(_PREFERRED) or ()):
            here = f"{at}.{_PREFERRED}[{index}]"
            errors += _weight(here, term)
            errors += _node_term(f"{here}.preference", term.get("preference") or {})
    for key in ("podAffinity", "podAntiAffinity"):
        if pods := value.get(key):
            errors += _pod_terms(f"{field}.{key}", pods)
    return errors


def _weight(field: str, term: Json) -> list[FieldError]:
    weight = term.get("weight") or 0
    if 1 <= weight <= 100:
        return []
    return [invalid(f"{field}.weight", weight, "must be in the range 1-100")]


def node_selector(field: str, selector: Json) -> list[FieldError]:
    """Nodes by alternatives, of which each is a conjunction."""
    terms = selector.get("nodeSelectorTerms") or ()
    if not terms:
        text = "must have at least one node selector term"
        return [required(f"{field}.nodeSelectorTerms", text)]
    errors: list[FieldError] = []
    for index, term in enumerate(terms):
        errors += _node_term(f"{field}.nodeSelectorTerms[{index}]", term)
    return errors


def _node_term(field: str, term: Json) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, expression in enumerate(term.get("matchExpressions") or ()):
        at = f"{field}.matchExpressions[{index}]"
        errors += _node_expression(at, expression)
        errors += named(f"{at}.key", expression.get("key") or "", names.qualified)
    for index, expression in enumerate(term.get("matchFields") or ()):
        at = f"{field}.matchFields[{index}]"
        operator = expression.get("operator") or ""
        if operator not in ("In", "NotIn"):
            errors.append(invalid(f"{at}.operator", operator, "not a valid selector operator"))
        elif len(expression.get("values") or ()) != 1:
            text = (
                "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
            )
            errors.append(required(f"{at}.values", text))
        if (key := expression.get("key") or "") != "metadata.name":
            errors.append(invalid(f"{at}.key", key, "not a valid field selector key"))
    return errors


def _node_expression(field: str, expression: Json) -> list[FieldError]:
    operator, values = expression.get("operator") or "", expression.get("values") or ()
    if operator not in _NODE_OPERATORS:
        return [invalid(f"{field}.operator", operator, "not a valid selector operator")]
    if operator in ("In", "NotIn") and not values:
        text = "must be specified when `operator` is 'In' or 'NotIn'"
        return [required(f"{field}.values", text)]
    if operator in ("Exists", "DoesNotExist") and values:
        text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
        return [forbidden(f"{field}.values", text)]
    if operator in ("Gt", "Lt") and len(values) != 1:
        text = "must be specified single value when `operator` is 'Lt' or 'Gt'"
        return [required(f"{field}.values", text)]
    return []


def _pod_terms(field: str, pods: Json) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, term in enumerate(pods.get(_REQUIRED) or ()):
        errors += _pod_term(f"{field}.{_REQUIRED}[{index}]", term)
    for index, weighted in enumerate(pods.get(_PREFERRED) or ()):
        at = f"{field}.{_PREFERRED}[{index}]"
        errors += _weight(at, weighted)
        errors += _pod_term(f"{at}.podAffinityTerm", weighted.get("podAffinityTerm") or {})
    return errors


def _pod_term(field: str, term: Json) -> list[FieldError]:
    errors = labelselectors.validate(f"{field}.labelSelector", term.get("labelSelector"))
    errors += labelselectors.validate(f"{field}.namespaceSelector", term.get("namespaceSelector"))
    for name in term.get("namespaces") or ():
        errors += named(f"{field}.namespace", name, names.label)
    if key := term.get("topologyKey"):
        return errors + named(f"{field}.topologyKey", key, names.qualified)
    return [*errors, required(f"{field}.topologyKey", "can not be empty")]


def topology(field: str, constraints: list[Json]) -> list[FieldError]:
    """What is wrong with how pods are to be spread."""
    errors: list[FieldError] = []
    seen: set[tuple[str, str]] = set()
    for index, constraint in enumerate(constraints):
        at = f"{field}[{index}]"
        skew = constraint.get("maxSkew") or 0
        key, action = constraint.get("topologyKey") or "", constraint.get("whenUnsatisfiable") or ""
        if skew <= 0:
            errors.append(invalid(f"{at}.maxSkew", skew, "must be greater than zero"))
        errors += (
            required_name(f"{at}.topologyKey", key, names.qualified)
            if key
            else [required(f"{at}.topologyKey", "can not be empty")]
        )
        actions = ("DoNotSchedule", "ScheduleAnyway")
        if action not in actions:
            errors.append(not_supported(f"{at}.whenUnsatisfiable", action, actions))
        if (key, action) in seen:
            errors.append(
                duplicate(f"{at}.{{topologyKey, whenUnsatisfiable}}", f"{{{key}, {action}}}")
            )
        seen.add((key, action))
        domains = constraint.get("minDomains")
        if domains is not None and domains <= 0:
            errors.append(invalid(f"{at}.minDomains", domains, "must be greater than zero"))
        policies = ("Honor", "Ignore")
        for name in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            errors += maybe_one_of(f"{at}.{name}", constraint.get(name), policies)
        errors += labelselectors.validate(f"{at}.labelSelector", constraint.get("labelSelector"))
    return errors


def scheduling_gates(field: str, gates: list[Json]) -> Iterator[FieldError]:
    """What is wrong with what holds a pod back from being scheduled."""
    seen: set[str] = set()
    for index, gate in enumerate(gates):
        name = gate.get("name") or ""
        yield from named(f"{field}[{index}]", name, names.qualified)
        if name in seen:
            yield duplicate(f"{field}[{index}]", name)
        seen.add(name)
