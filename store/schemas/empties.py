"""Which fields of the built-in types JSON shows although they are empty.

Go holds a field by value (plain) or by pointer. A plain field that is empty means what its absence means, and JSON
leaves it out unless it lacks omitempty; what an empty pointer points at was said on purpose, and stays. Owners are
`group.Type`, without the version. Numbers, booleans and messages that stand in no table are pointers, lack omitempty,
or are unknown to us: they stay. Strings, lists and maps that stand in no table are plain.

upstream: the struct definitions of k8s.io/api, k8s.io/apimachinery and k8s.io/apiextensions-apiserver
"""

from collections.abc import Mapping
from typing import Final

PLAIN_EVERYWHERE: Final = (
    "chapAuthDiscovery chapAuthSession fullyLabeledReplicas hostIPC hostNetwork hostPID metadata minReadySeconds "
    "observedGeneration readOnly readyReplicas spec sslEnabled status stdin stdinOnce tty updatedReplicas"
)
"""Plain fields in every type that has them."""

PLAIN: Final[Mapping[str, str]] = {
    "apiextensions.CustomResourceColumnDefinition": "priority",
    "apiextensions.CustomResourceDefinitionSpec": "preserveUnknownFields",
    "apiextensions.CustomResourceDefinitionStatus": "acceptedNames",
    "apiextensions.CustomResourceDefinitionVersion": "deprecated",
    "apiextensions.JSONSchemaProps": "exclusiveMaximum exclusiveMinimum nullable uniqueItems "
    "x-kubernetes-embedded-resource x-kubernetes-int-or-string",
    "apiregistration.APIServiceSpec": "insecureSkipTLSVerify",
    "apps.DaemonSetSpec": "updateStrategy",
    "apps.DaemonSetStatus": "numberAvailable numberUnavailable updatedNumberScheduled",
    "apps.DeploymentSpec": "paused strategy",
    "apps.DeploymentStatus": "availableReplicas replicas unavailableReplicas",
    "apps.ReplicaSetSpec": "template",
    "apps.ReplicaSetStatus": "availableReplicas",
    "apps.StatefulSetSpec": "updateStrategy",
    "apps.StatefulSetStatus": "currentReplicas",
    "authentication.SelfSubjectReviewStatus": "userInfo",
    "authentication.TokenReviewStatus": "authenticated user",
    "authorization.SubjectAccessReviewStatus": "denied",
    "autoscaling.HorizontalPodAutoscalerStatus": "currentReplicas",
    "batch.JobStatus": "active failed succeeded",
    "core.AWSElasticBlockStoreVolumeSource": "partition",
    "core.Container": "resources",
    "core.ContainerImage": "sizeBytes",
    "core.ContainerPort": "hostPort",
    "core.ContainerStateTerminated": "signal",
    "core.ContainerStatus": "lastState state",
    "core.EphemeralContainer": "resources",
    "core.Event": "count source",
    "core.EventSeries": "count",
    "core.GCEPersistentDiskVolumeSource": "partition",
    "core.NodeDaemonEndpoints": "kubeletEndpoint",
    "core.NodeSpec": "unschedulable",
    "core.NodeStatus": "daemonEndpoints nodeInfo",
    "core.PersistentVolumeClaimSpec": "resources",
    "core.PodTemplate": "template",
    "core.Probe": "failureThreshold initialDelaySeconds periodSeconds successThreshold timeoutSeconds",
    "core.ReplicationControllerStatus": "availableReplicas",
    "core.ServicePort": "nodePort targetPort",
    "core.ServiceSpec": "healthCheckNodePort publishNotReadyAddresses",
    "core.ServiceStatus": "loadBalancer",
    "discovery.Endpoint": "conditions",
    "events.Event": "deprecatedCount deprecatedSource regarding",
    "flowcontrol.ResourcePolicyRule": "clusterScope",
    "meta.APIGroup": "preferredVersion",
    "meta.ObjectMeta": "generation",
    "meta.Status": "code",
    "meta.StatusDetails": "retryAfterSeconds",
    "networking.IngressServiceBackend": "port",
    "networking.IngressStatus": "loadBalancer",
    "networking.ServiceBackendPort": "number",
    "resource.AllocationResult": "devices",
    "resource.DeviceRequest": "count",
    "resource.DeviceSubRequest": "count",
    "resource.ExactDeviceRequest": "count",
    "resource.ResourceClaimSpec": "devices",
    "scheduling.PriorityClass": "globalDefault",
}
"""More of the same, by type."""

SHOWN: Final[Mapping[str, str]] = {
    "apiextensions.CustomResourceSubresources": "status",
    "batch.CronJobSpec": "timeZone",
    "batch.JobSpec": "managedBy",
    "batch.PodFailurePolicyOnExitCodesRequirement": "containerName",
    "coordination.LeaseSpec": "holderIdentity preferredHolder strategy",
    "core.AppArmorProfile": "localhostProfile",
    "core.AzureDiskVolumeSource": "readOnly",
    "core.CSIVolumeSource": "readOnly",
    "core.ClusterTrustBundleProjection": "name signerName",
    "core.EndpointPort": "appProtocol",
    "core.Event": "reportingComponent reportingInstance",
    "core.HostPathVolumeSource": "type",
    "core.PersistentVolumeClaimSpec": "storageClassName volumeAttributesClassName",
    "core.PersistentVolumeClaimStatus": "currentVolumeAttributesClassName",
    "core.PersistentVolumeSpec": "volumeAttributesClassName",
    "core.PodDNSConfigOption": "value",
    "core.PodSpec": "hostnameOverride runtimeClassName",
    "core.SeccompProfile": "localhostProfile",
    "core.ServicePort": "appProtocol",
    "core.ServiceSpec": "loadBalancerClass trafficDistribution",
    "core.TypedLocalObjectReference": "apiGroup",
    "core.TypedObjectReference": "apiGroup namespace",
    "discovery.Endpoint": "hostname nodeName zone",
    "discovery.EndpointPort": "appProtocol name",
    "meta.DeleteOptions": "propagationPolicy",
    "meta.Preconditions": "resourceVersion uid",
    "networking.IngressClassParametersReference": "apiGroup namespace",
    "networking.IngressSpec": "ingressClassName",
    "resource.DeviceAttribute": "string version",
    "storage.VolumeAttachmentSource": "persistentVolumeName",
}
"""Exceptions from PLAIN_EVERYWHERE, and strings behind a pointer whose empty value says something else than absence."""


def owner_of(type_name: str) -> str:
    """`core.Pod` of io.k8s.api.core.v1.Pod: what the tables call a type."""
    parts = type_name.split(".")
    return f"{parts[-3]}.{parts[-1]}"


def shows_empty(owner: str, name: str, *, plain: bool) -> bool:
    """Whether JSON shows this field of `owner` when it is empty and the schema does not require it.

    `plain` is what a field of its sort is when no table names it: true for strings, bytes, lists and maps.
    """
    if name in SHOWN.get(owner, "").split():
        return True
    return not plain and name not in f"{PLAIN_EVERYWHERE} {PLAIN.get(owner, '')}".split()
