"""Nodes, and the ways in which they run containers.

upstream: pkg/apis/core/validation (ValidateNode, ValidateNodeUpdate), pkg/apis/node/validation
"""

from collections.abc import Mapping
from typing import Any, Final

from verger.store import names
from verger.store.invalid import FieldError, duplicate, forbidden, immutable, invalid
from verger.store.objects import Object
from verger.store.rules import resources, scheduling, values
from verger.store.rules.base import Rules
from verger.store.rules.values import EMPTY, Json, named

_INFO: Final[Mapping[str, str]] = dict.fromkeys(
    (
        "machineID", "systemUUID", "bootID", "kernelVersion", "osImage", "containerRuntimeVersion",
        "kubeletVersion", "kubeProxyVersion", "operatingSystem", "architecture",
    ),
    "",
)  # fmt: skip
_ONCE: Final = 'node updates may not change {} except from "" to valid'


class NodeRules(Rules):
    """Its status may come with it: a kubelet says what it has as it registers."""

    has_status: bool = True
    own_field_converter: bool = True
    field_labels: tuple[str, ...] = ("spec.unschedulable",)

    def field(self, obj: Mapping[str, Any], name: str) -> str:
        """Pods may come or not."""
        if name == "spec.unschedulable":
            return "true" if (obj.get("spec") or EMPTY).get("unschedulable") else "false"
        return Rules.field(self, obj, name)

    def default(self, obj: Object) -> None:
        """All of its capacity can be used. The first range of addresses has two names."""
        spec, status = values.part(obj, "spec"), values.part(obj, "status")
        if first := spec.get("podCIDR"):
            if (spec.get("podCIDRs") or [None])[0] != first:
                spec["podCIDRs"] = [first]
        elif ranges := spec.get("podCIDRs"):
            spec["podCIDR"] = ranges[0]
        if (capacity := status.get("capacity")) and not status.get("allocatable"):
            status["allocatable"] = dict(capacity)
        values.part(values.part(status, "daemonEndpoints"), "kubeletEndpoint").setdefault("Port", 0)
        values.fill(values.part(status, "nodeInfo"), **_INFO)
        values.fill_times(status, "lastHeartbeatTime", "lastTransitionTime")

    def prepare_create(self, obj: Object) -> None:
        """Everything is taken as it comes."""

    def validate(self, obj: Mapping[str, Any]) -> list[FieldError]:
        """Taints, amounts, ranges of addresses."""
        spec, status = obj.get("spec") or EMPTY, obj.get("status") or EMPTY
        errors = _taints("spec.taints", spec.get("taints") or [])
        for key in ("capacity", "allocatable"):
            for name, quantity in (status.get(key) or EMPTY).items():
                at = f"status.{key}.{name}"
                errors += resources.resource_quantity(at, name, quantity)
        ranges = spec.get("podCIDRs") or []
        for index, value in enumerate(ranges):
            errors += values.network(f"spec.podCIDRs[{index}]", value)
        parsed = [values.parse_network(value) for value in ranges]
        families = [found.version for found in parsed if found is not None]
        if len(ranges) > 1 and len(set(families)) != len(ranges):
            text = "may specify no more than one CIDR for each IP family"
            errors.append(invalid("spec.podCIDRs", list(ranges), text))
        return errors

    def validate_update(
        self, new: Mapping[str, Any], old: Mapping[str, Any], subresource: str
    ) -> list[FieldError]:
        """What the cloud said once stays."""
        after, before = new.get("spec") or EMPTY, old.get("spec") or EMPTY
        return [
            forbidden(f"spec.{key}", _ONCE.format(word))
            for key, word in (("podCIDRs", "podCIDR"), ("providerID", "providerID"))
            if before.get(key) and before[key] != after.get(key)
        ]


def _taints(field: str, taints: list[Json]) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(taints):
        at = f"{field}[{index}]"
        key, effect = taint.get("key") or "", taint.get("effect") or ""
        errors += named(f"{at}.key", key, names.qualified)
        if wrong := names.label_value(taint.get("value") or ""):
            errors.append(invalid(f"{at}.value", taint["value"], ";".join(wrong)))
        errors += scheduling.taint_effect(f"{at}.effect", effect)
        if (key, effect) in seen:
            again = duplicate(at, dict(taint))
            text = "taints must be unique by key and effect pair"
            errors.append(again._replace(body=f"{again.body}: {text}"))
        seen.add((key, effect))
    return errors


class RuntimeClassRules(Rules):
    """A way to run containers, by the name that nodes know it by."""

    unconditional_update: bool = False
    create_on_update: bool = True

    def default(self, obj: Object) -> None:
        """The handler is always written."""
        values.fill(obj, handler="")

    def validate(self, obj: Mapping[str, Any]) -> list[FieldError]:
        """A handler, what it costs, and where it is."""
        errors = named("handler", obj.get("handler") or "", names.label)
        for name, quantity in ((obj.get("overhead") or EMPTY).get("podFixed") or EMPTY).items():
            at = f"overhead.podFixed[{name}]"
            errors += resources.container_resource_name(at, name)
            errors += resources.resource_quantity(at, name, quantity)
        tolerations = (obj.get("scheduling") or EMPTY).get("tolerations") or []
        return errors + scheduling.tolerations("scheduling.tolerations", tolerations)

    def validate_update(
        self, new: Mapping[str, Any], old: Mapping[str, Any], subresource: str
    ) -> list[FieldError]:
        """The handler is frozen."""
        if new.get("handler") == old.get("handler"):
            return []
        return [immutable("handler", new.get("handler"))]
