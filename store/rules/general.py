"""Kinds that follow the general rules but for a few facts: how they are named, updated, deleted and counted.

upstream: the strategies under pkg/registry
"""

from collections.abc import Iterator
from typing import Any, Final

from verger.store import names
from verger.store.rules.base import Rules

_RBAC: Final[dict[str, Any]] = {
    "name_rule": names.path_segment,
    "prefix_rule": names.path_segment_prefix,
    "create_on_update": True,
}
_WORKLOAD: Final[dict[str, Any]] = {"has_status": True, "counts_generation": True}
_CORE: Final[dict[str, Any]] = {"own_field_converter": True}

_FACTS: Final[dict[str, dict[str, dict[str, Any]]]] = {
    "": {
        "Endpoints": {"create_on_update": True},
        "LimitRange": {"create_on_update": True},
        "Node": {"has_status": True, "field_labels": ("spec.unschedulable",), **_CORE},
        "PersistentVolume": {"has_status": True, "returns_deleted": True},
        "PersistentVolumeClaim": {"has_status": True, "returns_deleted": True},
        "Pod": {
            "has_status": True,
            "returns_deleted": True,
            "counts_generation": True,
            "field_labels": (
                "spec.nodeName",
                "spec.restartPolicy",
                "spec.schedulerName",
                "spec.serviceAccountName",
                "spec.hostNetwork",
                "status.phase",
                "status.podIP",
                "status.podIPs",
                "status.nominatedNodeName",
            ),
            **_CORE,
        },
        "PodTemplate": {"returns_deleted": True, "counts_generation": True},
        "ReplicationController": {**_WORKLOAD, "field_labels": ("status.replicas",), **_CORE},
        "ResourceQuota": {"has_status": True, "returns_deleted": True},
        "Service": {
            "has_status": True,
            "returns_deleted": True,
            "create_on_update": True,
            "name_rule": names.label_1035,
            "field_labels": ("spec.clusterIP", "spec.type"),
            **_CORE,
        },
    },
    "admissionregistration.k8s.io": {
        "MutatingAdmissionPolicy": {"unconditional_update": False, "counts_generation": True},
        "MutatingAdmissionPolicyBinding": {
            "unconditional_update": False,
            "counts_generation": True,
        },
        "MutatingWebhookConfiguration": {"unconditional_update": False, "counts_generation": True},
        "ValidatingAdmissionPolicy": {**_WORKLOAD, "unconditional_update": False},
        "ValidatingAdmissionPolicyBinding": {
            "unconditional_update": False,
            "counts_generation": True,
        },
        "ValidatingWebhookConfiguration": {
            "unconditional_update": False,
            "counts_generation": True,
        },
    },
    "apiextensions.k8s.io": {
        "CustomResourceDefinition": {
            **_WORKLOAD,
            "unconditional_update": False,
            "returns_deleted": True,
        },
    },
    "apiregistration.k8s.io": {
        "APIService": {
            "has_status": True,
            "unconditional_update": False,
            "name_rule": names.path_segment,
            "prefix_rule": names.path_segment_prefix,
        },
    },
    "apps": {
        "DaemonSet": _WORKLOAD,
        "Deployment": _WORKLOAD,
        "ReplicaSet": {**_WORKLOAD, "field_labels": ("status.replicas",), **_CORE},
        "StatefulSet": _WORKLOAD,
    },
    "autoscaling": {"HorizontalPodAutoscaler": {"has_status": True}},
    "batch": {
        "CronJob": _WORKLOAD,
        "Job": {**_WORKLOAD, "field_labels": ("status.successful",), **_CORE},
    },
    "certificates.k8s.io": {
        "CertificateSigningRequest": {
            "has_status": True,
            "field_labels": ("spec.signerName",),
            **_CORE,
        },
    },
    "discovery.k8s.io": {"EndpointSlice": {"counts_generation": True}},
    "flowcontrol.apiserver.k8s.io": {
        "FlowSchema": {**_WORKLOAD, "unconditional_update": False},
        "PriorityLevelConfiguration": {**_WORKLOAD, "unconditional_update": False},
    },
    "networking.k8s.io": {
        "Ingress": _WORKLOAD,
        "IngressClass": {"counts_generation": True},
        "NetworkPolicy": {"counts_generation": True},
        "ServiceCIDR": {"has_status": True},
    },
    "node.k8s.io": {"RuntimeClass": {"unconditional_update": False, "create_on_update": True}},
    "policy": {"PodDisruptionBudget": {**_WORKLOAD, "unconditional_update": False}},
    "rbac.authorization.k8s.io": {
        "ClusterRole": _RBAC,
        "ClusterRoleBinding": _RBAC,
        "Role": _RBAC,
        "RoleBinding": _RBAC,
    },
    "resource.k8s.io": {
        "DeviceClass": {"counts_generation": True, "returns_deleted": True},
        "ResourceClaim": {"has_status": True, "returns_deleted": True},
        "ResourceClaimTemplate": {"returns_deleted": True},
        "ResourceSlice": {
            "counts_generation": True,
            "returns_deleted": True,
            "field_labels": ("spec.nodeName", "spec.driver"),
            **_CORE,
        },
    },
    "scheduling.k8s.io": {"PriorityClass": {"counts_generation": True}},
    "storage.k8s.io": {
        "CSIDriver": {"unconditional_update": False, "returns_deleted": True},
        "CSINode": {"unconditional_update": False, "returns_deleted": True},
        "CSIStorageCapacity": {"unconditional_update": False, "returns_deleted": True},
        "StorageClass": {"returns_deleted": True},
        "VolumeAttachment": {
            "has_status": True,
            "unconditional_update": False,
            "returns_deleted": True,
        },
        "VolumeAttributesClass": {"returns_deleted": True},
    },
}


def _rules() -> Iterator[tuple[tuple[str, str], Rules]]:
    for group, kinds in _FACTS.items():
        for kind, facts in kinds.items():
            yield (group, kind), Rules(**facts)


GENERAL_FACTS: Final[dict[tuple[str, str], Rules]] = dict(_rules())
