"""What an object uses of what a quota bounds: itself as one of its kind, ports, storage, the compute resources of a pod.

Amounts are quantities as text, by the names that quotas know. Everything here is a pure function of stored objects.

upstream: pkg/quota/v1/evaluator/core, apiserver/pkg/quota/v1
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from verger.store.kinds import Kind
from verger.store.objects import annotations_of, meta
from verger.store.quantity import added, amount
from verger.store.rules import resources
from verger.store.timestamps import parse

Usage = dict[str, str]
Json = Mapping[str, Any]

_EMPTY: Final[Json] = {}
_COUNT: Final = "count/"
_ALIASES: Final = ("configmaps", "replicationcontrollers", "resourcequotas", "secrets")
"""Kinds that quotas also know by their plural alone."""
_NEVER_COUNTED: Final = ("events",)
_FINISHED: Final = ("Succeeded", "Failed")
_COMPUTE: Final = ("cpu", "memory")
_BOUNDED: Final = (*_COMPUTE, "ephemeral-storage")
_HUGE: Final = "hugepages-"
_POD_NAMES: Final = frozenset(
    (
        "count/pods",
        "pods",
        *(f"{prefix}{name}" for prefix in ("", "requests.", "limits.") for name in _BOUNDED),
    )
)
_MANDATORY: Final = frozenset(
    f"{prefix}{name}" for prefix in ("", "requests.", "limits.") for name in _COMPUTE
)
"""What every container has to say when a quota bounds it."""
_SERVICE_NAMES: Final = (
    "count/services",
    "services",
    "services.loadbalancers",
    "services.nodeports",
)
_CLAIM_NAMES: Final = ("count/persistentvolumeclaims", "persistentvolumeclaims", "requests.storage")
_OF_CLASS: Final = ".storageclass.storage.k8s.io/"
_CLASS_ANNOTATION: Final = "volume.beta.kubernetes.io/storage-class"
CHANGING: Final = frozenset(("pods", "services", "persistentvolumeclaims"))
"""Resources of which an object may come to use more, or less, without being made or deleted."""


def bounded(kind: Kind, names: Iterable[str]) -> list[str]:
    """Those of the names that stand for something that objects of the kind use."""
    resource = kind.storage.resource
    if resource in _NEVER_COUNTED:
        return []
    return [name for name in names if _is_bounded(resource, name)]


def _is_bounded(resource: str, name: str) -> bool:
    match resource:
        case "pods":
            return (
                name in _POD_NAMES
                or name.startswith((_HUGE, f"requests.{_HUGE}"))
                or (
                    name.startswith("requests.")
                    and not resources.is_native(name)
                    and _OF_CLASS not in name
                )
            )
        case "services":
            return name in _SERVICE_NAMES
        case "persistentvolumeclaims":
            return name in _CLAIM_NAMES or _OF_CLASS in name
        case _:
            return name == f"{_COUNT}{resource}" or (name in _ALIASES and name == resource)


def usage(kind: Kind, obj: Json, now: float) -> Usage:
    """What an object uses at a time, in seconds since the epoch."""
    resource = kind.storage.resource
    used = {f"{_COUNT}{resource}": "1"}
    match resource:
        case "pods":
            used |= _pod(obj, now)
        case "services":
            used |= _service(obj.get("spec") or _EMPTY)
        case "persistentvolumeclaims":
            used |= _claim(obj)
        case _ if resource in _ALIASES:
            used[resource] = "1"
    return used


def total(kind: Kind, objects: Iterable[Json], names: Sequence[str], now: float) -> Usage:
    """What objects of a kind use together, of these names."""
    sums = dict.fromkeys(names, "0")
    for obj in objects:
        used = usage(kind, obj, now)
        for name in names:
            if name in used:
                sums[name] = added(sums[name], used[name])
    return sums


# Services and claims


def _service(spec: Json) -> Usage:
    ports = spec.get("ports") or ()
    nodes = balancers = 0
    match spec.get("type"):
        case "NodePort":
            nodes = len(ports)
        case "LoadBalancer":
            balancers = 1
            allocated = spec.get("allocateLoadBalancerNodePorts") is not False
            nodes = len(ports) if allocated else sum(1 for port in ports if port.get("nodePort"))
    return {
        "services": "1",
        "services.nodeports": str(nodes),
        "services.loadbalancers": str(balancers),
    }


def _claim(claim: Json) -> Usage:
    spec, status = claim.get("spec") or _EMPTY, claim.get("status") or _EMPTY
    used = {"persistentvolumeclaims": "1"}
    found = [
        amounts["storage"]
        for amounts in (
            (spec.get("resources") or _EMPTY).get("requests") or _EMPTY,
            status.get("allocatedResources") or _EMPTY,
        )
        if "storage" in amounts
    ]
    if found:
        used["requests.storage"] = max(found, key=amount)
    named = annotations_of(claim).get(_CLASS_ANNOTATION) or spec.get("storageClassName")
    if named:
        used |= {f"{named}{_OF_CLASS}{name}": value for name, value in list(used.items())}
    return used


# Pods


def _pod(pod: Json, now: float) -> Usage:
    if not _counts(pod, now):
        return {}
    spec = pod.get("spec") or _EMPTY
    return _compute(_amounts(spec, "requests"), _amounts(spec, "limits"))


def _counts(pod: Json, now: float) -> bool:
    """Whether a pod is alive; one that should have ended by now holds up nobody."""
    if (pod.get("status") or _EMPTY).get("phase") in _FINISHED:
        return False
    fields = meta(pod)
    ends, grace = fields.get("deletionTimestamp"), fields.get("deletionGracePeriodSeconds")
    return not ends or grace is None or now <= parse(ends) + grace


def _compute(requests: Json, limits: Json) -> Usage:
    used = {"pods": "1"}
    for name, value in requests.items():
        if name in _BOUNDED or name.startswith(_HUGE):
            used |= {name: value, f"requests.{name}": value}
        elif not resources.is_native(name):
            used[f"requests.{name}"] = value
    used |= {f"limits.{name}": value for name, value in limits.items() if name in _BOUNDED}
    return used


def _amounts(spec: Json, key: str) -> Usage:
    """The requests or limits of a pod as a whole. upstream: component-helpers/resource/helpers.go"""
    together: Usage = {}
    for container in spec.get("containers") or ():
        together = _plus(together, _own(container, key))
    beside: Usage = {}
    start: Usage = {}
    for container in spec.get("initContainers") or ():
        own = _own(container, key)
        if container.get("restartPolicy") == "Always":
            together, beside = _plus(together, own), _plus(beside, own)
            needed = beside
        else:
            needed = _plus(own, beside)
        start = _most(start, needed)
    together = _most(together, start)
    whole = _own(spec, key)
    together |= {
        name: value for name, value in whole.items() if name in _BOUNDED[:2] or _HUGE in name
    }
    overhead = spec.get("overhead") or _EMPTY
    if key == "limits":
        overhead = {name: value for name, value in overhead.items() if name in together}
    return _plus(together, overhead)


def _own(holder: Json, key: str) -> Json:
    return (holder.get("resources") or _EMPTY).get(key) or _EMPTY


def _plus(left: Json, right: Json) -> Usage:
    summed = {
        name: added(left[name], value) if name in left else value for name, value in right.items()
    }
    return {**left, **summed}


def _most(left: Json, right: Json) -> Usage:
    larger = {
        name: value
        for name, value in right.items()
        if name not in left or amount(value) > amount(left[name])
    }
    return {**left, **larger}


def unspecified(kind: Kind, obj: Json, names: Iterable[str]) -> str:
    """What containers of a pod fail to say although a quota bounds it, as text; nothing for all other objects."""
    required = _MANDATORY & {*names}
    if kind.storage.resource != "pods" or not required:
        return ""
    spec = obj.get("spec") or _EMPTY
    whole = _compute(_own(spec, "requests"), _own(spec, "limits"))
    missing: dict[str, set[str]] = {}
    for key in ("containers", "initContainers"):
        for container in spec.get(key) or ():
            said = _compute(_own(container, "requests"), _own(container, "limits"))
            for name in required - said.keys() - whole.keys():
                missing.setdefault(name, set()).add(container["name"])
    return "; ".join(
        f"{name} for: {','.join(sorted(where))}" for name, where in sorted(missing.items())
    )


# Scopes


def selects(kind: Kind, spec: Json, obj: Json) -> bool:
    """Whether the scopes of a quota are about the object; only pods have scopes."""
    terms = [{"scopeName": scope, "operator": "Exists"} for scope in spec.get("scopes") or ()]
    selector = spec.get("scopeSelector") or _EMPTY
    terms += selector.get("matchExpressions") or ()
    if not terms:
        return True
    if kind.storage.resource != "pods":
        return False
    pod = obj.get("spec") or _EMPTY
    return all(_in_scope(term, pod) for term in terms)


def _in_scope(term: Json, pod: Json) -> bool:
    match term.get("scopeName"):
        case "Terminating":
            return (pod.get("activeDeadlineSeconds") or -1) >= 0
        case "NotTerminating":
            return (pod.get("activeDeadlineSeconds") or -1) < 0
        case "BestEffort":
            return resources.quality_of_service(pod) == "BestEffort"
        case "NotBestEffort":
            return resources.quality_of_service(pod) != "BestEffort"
        case "PriorityClass":
            return _has_class(term, pod.get("priorityClassName") or "")
        case "CrossNamespacePodAffinity":
            return any(map(_crosses, _affinity_terms(pod)))
        case _:
            return False


def _has_class(term: Json, name: str) -> bool:
    match term.get("operator"):
        case "In":
            return bool(name) and name in term["values"]
        case "NotIn":
            return name not in term["values"]
        case "Exists":
            return bool(name)
        case _:
            return not name


def _crosses(term: Json) -> bool:
    return bool(term.get("namespaces")) or term.get("namespaceSelector") is not None


_PREFERRED: Final = "preferredDuringSchedulingIgnoredDuringExecution"
_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"


def _affinity_terms(pod: Json) -> list[Json]:
    affinity = pod.get("affinity") or _EMPTY
    found: list[Json] = []
    for key in ("podAffinity", "podAntiAffinity"):
        side = affinity.get(key) or _EMPTY
        found += side.get(_REQUIRED) or ()
        found += [each.get("podAffinityTerm") or _EMPTY for each in side.get(_PREFERRED) or ()]
    return found
