"""Kinds that follow the general rules but for a few facts: how they are named, updated, deleted and counted.

upstream: the strategies under pkg/registry
"""

from collections.abc import Iterator
from typing import Any, Final

from verger.store import names
from verger.store.rules.base import Rules

_WITH_STATUS: Final[dict[str, Any]] = {"has_status": True, "counts_generation": True}
_COUNTED: Final[dict[str, Any]] = {"unconditional_update": False, "counts_generation": True}

_FACTS: Final[dict[str, dict[str, dict[str, Any]]]] = {
    "": {"ComponentStatus": {"deprecation": "v1 ComponentStatus is deprecated in v1.19+"}},
    "admissionregistration.k8s.io": {
        "MutatingAdmissionPolicy": _COUNTED,
        "MutatingAdmissionPolicyBinding": _COUNTED,
        "MutatingWebhookConfiguration": _COUNTED,
        "ValidatingAdmissionPolicy": {**_WITH_STATUS, "unconditional_update": False},
        "ValidatingAdmissionPolicyBinding": _COUNTED,
        "ValidatingWebhookConfiguration": _COUNTED,
    },
    "apiregistration.k8s.io": {
        "APIService": {
            "has_status": True,
            "unconditional_update": False,
            "name_rule": names.path_segment,
            "prefix_rule": names.path_segment_prefix,
        },
    },
    "flowcontrol.apiserver.k8s.io": {
        "FlowSchema": {**_WITH_STATUS, "unconditional_update": False},
        "PriorityLevelConfiguration": {**_WITH_STATUS, "unconditional_update": False},
    },
    "networking.k8s.io": {"ServiceCIDR": {"has_status": True}},
    "resource.k8s.io": {
        "DeviceClass": {"counts_generation": True, "returns_deleted": True},
        "ResourceClaim": {"has_status": True, "returns_deleted": True},
        "ResourceClaimTemplate": {"returns_deleted": True},
        "ResourceSlice": {
            "counts_generation": True,
            "returns_deleted": True,
            "field_labels": ("spec.nodeName", "spec.driver"),
            "own_field_converter": True,
        },
    },
    "storage.k8s.io": {
        "CSINode": {"unconditional_update": False, "returns_deleted": True},
        "CSIStorageCapacity": {"unconditional_update": False, "returns_deleted": True},
        "VolumeAttributesClass": {"returns_deleted": True},
    },
}


def _rules() -> Iterator[tuple[tuple[str, str], Rules]]:
    for group, kinds in _FACTS.items():
        for kind, facts in kinds.items():
            yield (group, kind), Rules(**facts)


GENERAL_FACTS: Final[dict[tuple[str, str], Rules]] = dict(_rules())
