"""What each kind asks of its objects beyond what all kinds ask: defaults, frozen fields, validation, selectable fields.

One file for each family of kinds. `rules_for` is the table; a kind that is not in it follows the general rules.
"""

from typing import Final

from verger.store.rules.autoscaling import AutoscalerRules
from verger.store.rules.base import GENERAL, Rules
from verger.store.rules.batch import CronJobRules, JobRules
from verger.store.rules.certificates import SigningRequestRules
from verger.store.rules.claims import ClaimRules
from verger.store.rules.configuration import ConfigMapRules, SecretRules
from verger.store.rules.coordination import LeaseRules
from verger.store.rules.definitions import DefinitionRules
from verger.store.rules.endpoints import EndpointSliceRules, EndpointsRules
from verger.store.rules.events import EventRules, NewEventRules
from verger.store.rules.general import GENERAL_FACTS
from verger.store.rules.identity import NamespaceRules, ServiceAccountRules
from verger.store.rules.network import IngressClassRules, IngressRules, NetworkPolicyRules
from verger.store.rules.nodes import NodeRules, RuntimeClassRules
from verger.store.rules.pods import PodRules
from verger.store.rules.policy import (
    DisruptionBudgetRules,
    LimitRangeRules,
    PriorityClassRules,
    QuotaRules,
)
from verger.store.rules.rbac import BindingRules, RoleRules
from verger.store.rules.replication import PodTemplateRules, ReplicationControllerRules
from verger.store.rules.services import ServiceRules
from verger.store.rules.statefulsets import ControllerRevisionRules, StatefulSetRules
from verger.store.rules.storage import AttachmentRules, DriverRules, StorageClassRules, VolumeRules
from verger.store.rules.workloads import DaemonSetRules, DeploymentRules, ReplicaSetRules

_SPECIAL: Final[dict[tuple[str, str], Rules]] = {
    ("", "ConfigMap"): ConfigMapRules(),
    ("", "Endpoints"): EndpointsRules(),
    ("", "Event"): EventRules(),
    ("", "LimitRange"): LimitRangeRules(),
    ("", "Namespace"): NamespaceRules(),
    ("", "Node"): NodeRules(),
    ("", "PersistentVolume"): VolumeRules(),
    ("", "PersistentVolumeClaim"): ClaimRules(),
    ("", "Pod"): PodRules(),
    ("", "PodTemplate"): PodTemplateRules(),
    ("", "ReplicationController"): ReplicationControllerRules(),
    ("", "ResourceQuota"): QuotaRules(),
    ("", "Secret"): SecretRules(),
    ("", "Service"): ServiceRules(),
    ("", "ServiceAccount"): ServiceAccountRules(),
    ("apiextensions.k8s.io", "CustomResourceDefinition"): DefinitionRules(),
    ("apps", "ControllerRevision"): ControllerRevisionRules(),
    ("apps", "DaemonSet"): DaemonSetRules(),
    ("apps", "Deployment"): DeploymentRules(),
    ("apps", "ReplicaSet"): ReplicaSetRules(),
    ("apps", "StatefulSet"): StatefulSetRules(),
    ("autoscaling", "HorizontalPodAutoscaler"): AutoscalerRules(),
    ("batch", "CronJob"): CronJobRules(),
    ("batch", "Job"): JobRules(),
    ("certificates.k8s.io", "CertificateSigningRequest"): SigningRequestRules(),
    ("coordination.k8s.io", "Lease"): LeaseRules(),
    ("discovery.k8s.io", "EndpointSlice"): EndpointSliceRules(),
    ("events.k8s.io", "Event"): NewEventRules(),
    ("networking.k8s.io", "Ingress"): IngressRules(),
    ("networking.k8s.io", "IngressClass"): IngressClassRules(),
    ("networking.k8s.io", "NetworkPolicy"): NetworkPolicyRules(),
    ("node.k8s.io", "RuntimeClass"): RuntimeClassRules(),
    ("policy", "PodDisruptionBudget"): DisruptionBudgetRules(),
    ("rbac.authorization.k8s.io", "ClusterRole"): RoleRules(clusterwide=True),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): BindingRules(clusterwide=True),
    ("rbac.authorization.k8s.io", "Role"): RoleRules(),
    ("rbac.authorization.k8s.io", "RoleBinding"): BindingRules(),
    ("scheduling.k8s.io", "PriorityClass"): PriorityClassRules(),
    ("storage.k8s.io", "CSIDriver"): DriverRules(),
    ("storage.k8s.io", "StorageClass"): StorageClassRules(),
    ("storage.k8s.io", "VolumeAttachment"): AttachmentRules(),
}


def rules_for(group: str, kind: str) -> Rules:
    """The rules of a built-in kind."""
    return _SPECIAL.get((group, kind)) or GENERAL_FACTS.get((group, kind)) or GENERAL


__all__ = ["Rules", "rules_for"]
