"""Amounts of resources: what containers ask for, and what quotas and limit ranges bound.

upstream: pkg/apis/core/validation (validateResourceRequirements and its neighbours), pkg/apis/core/helper
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, Final

from verger.store import names
from verger.store.invalid import FieldError, duplicate, forbidden, invalid, required
from verger.store.rules.values import Json, amount_of, named, not_found

_COMPUTE: Final = ("cpu", "memory", "ephemeral-storage")
_COUNTED: Final = frozenset(
    {
        "pods", "resourcequotas", "services", "replicationcontrollers", "secrets", "configmaps",
        "persistentvolumeclaims", "services.nodeports", "services.loadbalancers",
    }
)  # fmt: skip
_QUOTA: Final = frozenset(
    {
        *_COMPUTE, *_COUNTED, "requests.storage",
        *(f"{kind}.{name}" for kind in ("requests", "limits") for name in _COMPUTE),
    }
)  # fmt: skip
_STANDARD: Final = _QUOTA | {"storage"}
_HUGE: Final = "hugepages-"
_CLAIMS_SHOWN: Final = 100
_NATIVE: Final = "kubernetes.io/"

NameJudge = Callable[[str, str], list[FieldError]]
"""(field, name of a resource) -> what is wrong with it."""


def is_standard_quota_resource(name: str) -> bool:
    """Whether a quota knows the resource by a name of its own."""
    return name in _QUOTA or name.startswith((_HUGE, f"requests.{_HUGE}"))


def is_native(name: str) -> bool:
    """Whether the resource is Kubernetes' own."""
    return "/" not in name or _NATIVE in name


def can_be_overcommitted(name: str) -> bool:
    """Whether requests may be less than limits."""
    return is_native(name) and not name.startswith(_HUGE)


@functools.lru_cache(maxsize=512)
def _is_extended(name: str) -> bool:
    if is_native(name) or name.startswith("requests."):
        return False
    return not names.qualified(f"requests.{name}")


def resource_name(field: str, name: str) -> list[FieldError]:
    """A resource that is standard, or fully qualified."""
    errors = named(field, name, names.qualified)
    standard = name in _STANDARD or name.startswith((_HUGE, f"requests.{_HUGE}"))
    if not errors and "/" not in name and not standard:
        errors.append(invalid(field, name, "must be a standard resource type or fully qualified"))
    return errors


def container_resource_name(field: str, name: str) -> list[FieldError]:
    """A resource that a container can ask for."""
    if name in _COMPUTE:
        return []
    errors = resource_name(field, name)
    if "/" not in name:
        if not name.startswith(_HUGE):
            errors.append(invalid(field, name, "must be a standard resource for containers"))
    elif not is_native(name) and not _is_extended(name):
        errors.append(invalid(field, name, "doesn't follow extended resource name standard"))
    return errors


def quota_resource_name(field: str, name: str) -> list[FieldError]:
    """A resource that a quota can bound."""
    errors = resource_name(field, name)
    if "/" not in name and not is_standard_quota_resource(name):
        errors.append(invalid(field, name, "must be a standard resource for quota"))
    return errors


def resource_quantity(field: str, name: str, quantity: Any) -> list[FieldError]:
    """An amount that fits the resource: never negative, and whole for what is counted."""
    value = amount_of(quantity)
    errors = []
    if value < 0:
        errors.append(invalid(field, str(quantity), "must be greater than or equal to 0"))
    if (name in _COUNTED or _is_extended(name)) and value != value.to_integral_value():
        errors.append(invalid(field, str(quantity), "must be an integer"))
    return errors


def quantities(field: str, amounts: Mapping[str, Any] | None, judge: NameJudge) -> list[FieldError]:
    """A list of resources with their amounts."""
    errors: list[FieldError] = []
    for name, quantity in (amounts or {}).items():
        errors += judge(f"{field}[{name}]", name)
        errors += resource_quantity(f"{field}[{name}]", name, quantity)
    return errors


def requirements(field: str, resources: Json, claims: frozenset[str]) -> list[FieldError]:
    """What a container requests, and its limits. `claims` are the names of the pod's resource claims."""
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    errors = quantities(f"{field}.limits", limits, container_resource_name)
    for name, quantity in requests.items():
        at = f"{field}.requests[{name}]"
        errors += container_resource_name(at, name)
        errors += resource_quantity(at, name, quantity)
        limit = limits.get(name)
        if limit is None:
            if not can_be_overcommitted(name):
                text = "Limit must be set for non overcommitable resources"
                errors.append(required(f"{field}.limits", text))
        elif limit != quantity:
            errors += _against_limit(f"{field}.requests", name, quantity, limit)
    huge = any(name.startswith(_HUGE) for name in (*limits, *requests))
    if huge and not {"cpu", "memory"} & {*limits, *requests}:
        errors.append(forbidden(field, "HugePages require cpu or memory"))
    if wanted := resources.get("claims"):
        errors += _claims(f"{field}.claims", wanted, claims)
    return errors


def _against_limit(field: str, name: str, quantity: Any, limit: Any) -> list[FieldError]:
    wanted, most = amount_of(quantity), amount_of(limit)
    if wanted != most and not can_be_overcommitted(name):
        return [invalid(field, str(quantity), f"must be equal to {name} limit of {limit}")]
    if wanted > most:
        text = f"must be less than or equal to {name} limit of {limit}"
        return [invalid(field, str(quantity), text)]
    return []


def _claims(field: str, wanted: list[Json], known: frozenset[str]) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[tuple[str, str]] = set()
    # upstream lists all, however many: each complaint shows the list.
    shown = sorted(known)[:_CLAIMS_SHOWN]
    listed = f": {', '.join(shown)}" if shown else " which is empty"
    for index, claim in enumerate(wanted):
        at, name = f"{field}[{index}]", claim.get("name") or ""
        if not name:
            errors.append(required(at))
            continue
        key = (name, claim.get("request") or "")
        if key in seen:
            errors.append(duplicate(at, "/".join(filter(None, key))))
        seen.add(key)
        if name not in known:
            error = not_found(at, name)
            detail = f"must be one of the names in pod.spec.resourceClaims{listed}"
            errors.append(error._replace(body=f"{error.body}: {detail}"))
    return errors


def quality_of_service(spec: Json) -> str:
    """The class of a pod by what its containers ask for: BestEffort, Burstable or Guaranteed."""
    # upstream: pkg/apis/core/helper/qos. Sums are compared, not the containers one by one.
    own = spec.get("resources") or {}
    holders = (
        [own]
        if own.get("limits") or own.get("requests")
        else [
            container.get("resources") or {}
            for key in ("containers", "initContainers")
            for container in spec.get(key) or ()
        ]
    )
    requests: dict[str, Any] = {}
    limits: dict[str, Any] = {}
    guaranteed = True
    for holder in holders:
        for total, key in ((requests, "requests"), (limits, "limits")):
            for name, quantity in (holder.get(key) or {}).items():
                if name in ("cpu", "memory") and (value := amount_of(quantity)) > 0:
                    total[name] = total.get(name, 0) + value
        bounded = holder.get("limits") or {}
        if not all(amount_of(bounded.get(name, 0)) > 0 for name in ("cpu", "memory")):
            guaranteed = False
    if not requests and not limits:
        return "BestEffort"
    return "Guaranteed" if guaranteed and requests == limits else "Burstable"
