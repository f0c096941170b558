"""What `kubectl get` shows of the objects of each kind, cell by cell."""

import copy
from collections.abc import Mapping
from typing import Any

import pytest
from verger.apiserver.tables import printer_for
from verger.store.kinds import Kind, built_in
from verger.store.timestamps import parse

KINDS = {(kind.api_version, kind.kind): kind for kind in built_in()}
NOW = parse("2025-06-01T12:00:00Z")
CREATED = "2025-06-01T11:54:57Z"
AGE = "5m3s"


def meta(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "uid": "u", "creationTimestamp": CREATED, **more}


def stored(api_version: str, kind: str, **content: Any) -> dict[str, Any]:
    return {"kind": kind, "apiVersion": api_version, "metadata": meta("x"), **content}


def cells(obj: Mapping[str, Any]) -> list[Any]:
    return printer_for(KINDS[obj["apiVersion"], obj["kind"]]).cells(obj, NOW)


POD_SPEC = {"containers": [{"name": "a", "image": "i:1"}, {"name": "b", "image": "j:2"}]}
TEMPLATE = {"metadata": {"labels": {"app": "w"}}, "spec": POD_SPEC}
SELECTOR = {
    "matchLabels": {"app": "w"},
    "matchExpressions": [
        {"key": "tier", "operator": "In", "values": ["b", "a"]},
        {"key": "env", "operator": "NotIn", "values": ["test"]},
        {"key": "zone", "operator": "Exists"},
        {"key": "old", "operator": "DoesNotExist"},
    ],
}
SELECTED = "app=w,env notin (test),!old,tier in (a,b),zone"
DELETED = meta("x", deletionTimestamp="2025-06-01T11:59:59Z")


def metric(kind: str, source: str, **content: Any) -> dict[str, Any]:
    return {"type": kind, source: content}


PRINTED = [
    pytest.param(
        stored("v1", "Binding", target={"name": "n"}), ["x", CREATED], id="binding: the default"
    ),
    pytest.param(
        stored(
            "v1",
            "ComponentStatus",
            conditions=[{"type": "Healthy", "status": "False", "message": "m", "error": "e"}],
        ),
        ["x", "Unhealthy", "m", "e"],
        id="component: not healthy",
    ),
    pytest.param(
        stored(
            "v1",
            "ComponentStatus",
            conditions=[{"type": "Healthy", "status": "True", "message": "ok"}],
        ),
        ["x", "Healthy", "ok", ""],
        id="component: healthy",
    ),
    pytest.param(
        stored("v1", "ComponentStatus"), ["x", "Unknown", "", ""], id="component: says nothing"
    ),
    pytest.param(
        stored("v1", "ConfigMap", data={"k": "v"}, binaryData={"b": "AA=="}),
        ["x", 2, AGE],
        id="configmap",
    ),
    pytest.param(
        stored(
            "v1",
            "Endpoints",
            subsets=[
                {
                    "addresses": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}],
                    "ports": [{"port": 80}, {"port": 443}],
                },
                {"addresses": [{"ip": "10.0.0.9"}]},
            ],
        ),
        ["x", "10.0.0.1:80,[fd00::1]:80,10.0.0.1:443 + 2 more...", AGE],
        id="endpoints: three are shown, the rest counted",
    ),
    pytest.param(
        stored("v1", "Endpoints", subsets=[{"addresses": [{"ip": "10.0.0.9"}]}]),
        ["x", "10.0.0.9", AGE],
        id="endpoints: of a headless service without ports",
    ),
    pytest.param(stored("v1", "Endpoints"), ["x", "<none>", AGE], id="endpoints: none"),
    pytest.param(
        stored("v1", "Endpoints", subsets=[{"notReadyAddresses": [{"ip": "10.0.0.9"}]}]),
        ["x", "", AGE],
        id="endpoints: none that is ready",
    ),
    pytest.param(
        stored(
            "v1",
            "Event",
            involvedObject={"kind": "ServiceAccount", "name": "sa"},
            reason="R",
            message="m",
            type="Normal",
            reportingComponent="example.com/c",
            reportingInstance="i",
            eventTime="2025-06-01T10:00:00.000000Z",
            series={"count": 4, "lastObservedTime": "2025-06-01T11:59:00.000000Z"},
        ),
        ["60s", "Normal", "R", "serviceaccount/sa", "", "example.com/c, i", "m", "120m", 4, "x"],
        id="event: of the new form, in a series",
    ),
    pytest.param(
        stored(
            "v1",
            "Event",
            involvedObject={"kind": "Node"},
            firstTimestamp="2025-06-01T11:00:00Z",
            lastTimestamp="2025-06-01T11:59:50Z",
            source={"component": "kubelet"},
        ),
        ["10s", "", "", "node", "", "kubelet", "", "60m", 1, "x"],
        id="event: of the old form; it happened once and names no object",
    ),
    pytest.param(
        stored("v1", "Event", eventTime="2025-06-01T11:00:00.000000Z"),
        ["60m", "", "", "", "", "", "", "60m", 1, "x"],
        id="event: what was seen first was seen last",
    ),
    pytest.param(
        stored(
            "events.k8s.io/v1", "Event", involvedObject={"kind": "Pod", "name": "p"}, message="m"
        ),
        ["<unknown>", "", "", "pod/p", "", "", "m", "<unknown>", 1, "x"],
        id="event: as the newer API shows it, in its stored form",
    ),
    pytest.param(stored("v1", "LimitRange"), ["x", CREATED], id="limit range: the default"),
    pytest.param(
        stored("v1", "Namespace", status={"phase": "Terminating"}),
        ["x", "Terminating", AGE],
        id="namespace",
    ),
    pytest.param(
        {
            "kind": "Node",
            "apiVersion": "v1",
            "metadata": meta(
                "n",
                labels={
                    "node-role.kubernetes.io/worker": "",
                    "node-role.kubernetes.io/": "",
                    "kubernetes.io/role": "infra",
                },
            ),
            "spec": {"unschedulable": True},
            "status": {
                "conditions": [
                    {"type": "MemoryPressure", "status": "False"},
                    {"type": "Ready", "status": "True"},
                ],
                "addresses": [
                    {"type": "Hostname", "address": "h"},
                    {"type": "InternalIP", "address": "10.1.1.1"},
                    {"type": "InternalIP", "address": "10.1.1.2"},
                    {"type": "ExternalIP", "address": "1.2.3.4"},
                ],
                "nodeInfo": {
                    "kubeletVersion": "v1.36.0",
                    "osImage": "Linux",
                    "kernelVersion": "6.1",
                    "containerRuntimeVersion": "containerd://2.0",
                },
            },
        },
        [
            "n",
            "Ready,SchedulingDisabled",
            "infra,worker",
            AGE,
            "v1.36.0",
            "10.1.1.1",
            "1.2.3.4",
            "Linux",
            "6.1",
            "containerd://2.0",
        ],
        id="node",
    ),
    pytest.param(
        stored("v1", "Node", status={"conditions": [{"type": "Ready", "status": "Unknown"}]}),
        ["x", "NotReady", "<none>", AGE, "", *["<none>"] * 2, *["<unknown>"] * 3],
        id="node: that nobody has heard from",
    ),
    pytest.param(
        stored("v1", "Node"),
        ["x", "Unknown", "<none>", AGE, "", *["<none>"] * 2, *["<unknown>"] * 3],
        id="node: without conditions",
    ),
    pytest.param(
        stored(
            "v1",
            "PersistentVolume",
            spec={
                "capacity": {"storage": "5Gi"},
                "accessModes": ["ReadWriteMany", "ReadWriteOnce", "ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": "Delete",
                "claimRef": {"namespace": "ns", "name": "c"},
                "storageClassName": "fast",
                "volumeMode": "Block",
            },
            status={"phase": "Failed", "reason": "broken"},
        ),
        [
            "x",
            "5Gi",
            "RWO,RWX",
            "Delete",
            "Failed",
            "ns/c",
            "fast",
            "<unset>",
            "broken",
            AGE,
            "Block",
        ],
        id="volume",
    ),
    pytest.param(
        stored("v1", "PersistentVolume"),
        ["x", "0", "", "Retain", "Pending", "", "", "<unset>", "", AGE, "Filesystem"],
        id="volume: without anything, it shows the defaults",
    ),
    pytest.param(
        {
            **stored("v1", "PersistentVolumeClaim"),
            "metadata": meta("c", annotations={"volume.beta.kubernetes.io/storage-class": "old"}),
            "spec": {
                "volumeName": "v",
                "storageClassName": "new",
                "volumeAttributesClassName": "gold",
                "resources": {"requests": {"storage": "1Gi"}},
            },
            "status": {
                "phase": "Bound",
                "capacity": {"storage": "2Gi"},
                "accessModes": ["ReadWriteOncePod", "ReadOnlyMany"],
            },
        },
        ["c", "Bound", "v", "2Gi", "ROX,RWOP", "old", "gold", AGE, "Filesystem"],
        id="claim: bound, its class in the old annotation",
    ),
    pytest.param(
        {
            **stored("v1", "PersistentVolumeClaim"),
            "metadata": DELETED,
            "spec": {"storageClassName": "new", "resources": {"requests": {"storage": "1Gi"}}},
            "status": {"phase": "Pending", "accessModes": ["ReadWriteOnce"]},
        },
        ["x", "Terminating", "", "", "", "new", "<unset>", AGE, "Filesystem"],
        id="claim: deleted, and not bound",
    ),
    pytest.param(
        stored("v1", "Pod", spec=POD_SPEC),
        ["x", "0/2", "Pending", "0", AGE, *["<none>"] * 4],
        id="pod: just created",
    ),
    pytest.param(
        stored("v1", "PodTemplate", template=TEMPLATE),
        ["x", "a,b", "i:1,j:2", "app=w"],
        id="pod template",
    ),
    pytest.param(
        stored(
            "v1",
            "ReplicationController",
            spec={"replicas": 3, "selector": {"b": "2", "a": "1"}, "template": TEMPLATE},
            status={"replicas": 2, "readyReplicas": 1},
        ),
        ["x", 3, 2, 1, AGE, "a,b", "i:1,j:2", "a=1,b=2"],
        id="replication controller",
    ),
    pytest.param(
        stored(
            "v1",
            "ResourceQuota",
            status={
                "hard": {
                    "requests.cpu": "2",
                    "limits.memory": "4Gi",
                    "limits.cpu": "4",
                    "limits": "1",
                },
                "used": {"limits.cpu": "500m"},
            },
        ),
        ["x", "limits: 0/1, requests.cpu: 0/2", "limits.cpu: 500m/4, limits.memory: 0/4Gi", AGE],
        id="quota: of limits",
    ),
    pytest.param(stored("v1", "ResourceQuota"), ["x", "", "", AGE], id="quota: not counted yet"),
    pytest.param(
        stored("v1", "Secret", type="kubernetes.io/tls"),
        ["x", "kubernetes.io/tls", 0, AGE],
        id="secret",
    ),
    pytest.param(
        stored(
            "v1",
            "Service",
            spec={
                "type": "LoadBalancer",
                "clusterIPs": ["10.0.0.1", "fd00::1"],
                "clusterIP": "10.0.0.1",
                "externalIPs": ["1.1.1.1"],
                "ports": [
                    {"port": 80, "nodePort": 30080, "protocol": "TCP"},
                    {"port": 53, "protocol": "UDP"},
                ],
                "selector": {"app": "w"},
            },
            status={
                "loadBalancer": {"ingress": [{"ip": "9.9.9.9"}, {"hostname": "a.example.com"}]}
            },
        ),
        [
            "x",
            "LoadBalancer",
            "10.0.0.1",
            "9.9.9.9,a.example.com,1.1.1.1",
            "80:30080/TCP,53/UDP",
            AGE,
            "app=w",
        ],
        id="service: with a load balancer",
    ),
    pytest.param(
        stored("v1", "Service", spec={"type": "LoadBalancer"}),
        ["x", "LoadBalancer", "<none>", "<pending>", "<none>", AGE, "<none>"],
        id="service: that waits for its load balancer",
    ),
    pytest.param(
        stored("v1", "Service", spec={"type": "NodePort", "externalIPs": ["1.1.1.1", "2.2.2.2"]}),
        ["x", "NodePort", "<none>", "1.1.1.1,2.2.2.2", "<none>", AGE, "<none>"],
        id="service: on ports of nodes",
    ),
    pytest.param(
        stored("v1", "Service", spec={"type": "ExternalName", "externalName": "db.example.com"}),
        ["x", "ExternalName", "<none>", "db.example.com", "<none>", AGE, "<none>"],
        id="service: a name elsewhere",
    ),
    pytest.param(
        stored("v1", "Service", spec={"type": "New", "clusterIP": "None"}),
        ["x", "New", "None", "<unknown>", "<none>", AGE, "<none>"],
        id="service: headless, of a type that is not known",
    ),
    pytest.param(stored("v1", "ServiceAccount"), ["x", AGE], id="account"),
    pytest.param(
        stored(
            "apiregistration.k8s.io/v1",
            "APIService",
            spec={"service": {"namespace": "ns", "name": "s"}},
            status={"conditions": [{"type": "Available", "status": "False", "reason": "Gone"}]},
        ),
        ["x", "ns/s", "False (Gone)", AGE],
        id="API service: not available",
    ),
    pytest.param(
        stored(
            "apiregistration.k8s.io/v1",
            "APIService",
            status={"conditions": [{"type": "Available", "status": "True", "reason": "Local"}]},
        ),
        ["x", "Local", "True", AGE],
        id="API service: of the server itself",
    ),
    pytest.param(
        stored("apiregistration.k8s.io/v1", "APIService"),
        ["x", "Local", "Unknown", AGE],
        id="API service: nobody knows",
    ),
    pytest.param(
        {
            **stored("apps/v1", "ControllerRevision", revision=3),
            "metadata": meta(
                "x",
                ownerReferences=[
                    {"apiVersion": "v1", "kind": "ConfigMap", "name": "o"},
                    {
                        "apiVersion": "apps/v1",
                        "kind": "StatefulSet",
                        "name": "w",
                        "controller": True,
                    },
                ],
            ),
        },
        ["x", "statefulset.apps/w", 3, AGE],
        id="revision",
    ),
    pytest.param(
        {
            **stored("apps/v1", "ControllerRevision"),
            "metadata": meta(
                "x",
                ownerReferences=[
                    {"apiVersion": "v1", "kind": "Pod", "name": "w", "controller": True}
                ],
            ),
        },
        ["x", "pod/w", 0, AGE],
        id="revision: of a kind in the core group",
    ),
    pytest.param(
        stored("apps/v1", "ControllerRevision"), ["x", "<none>", 0, AGE], id="revision: of nothing"
    ),
    pytest.param(
        stored(
            "apps/v1",
            "DaemonSet",
            spec={
                "selector": SELECTOR,
                "template": {"spec": {**POD_SPEC, "nodeSelector": {"os": "linux"}}},
            },
            status={
                "desiredNumberScheduled": 5,
                "currentNumberScheduled": 4,
                "numberReady": 3,
                "updatedNumberScheduled": 2,
                "numberAvailable": 1,
            },
        ),
        ["x", 5, 4, 3, 2, 1, "os=linux", AGE, "a,b", "i:1,j:2", SELECTED],
        id="daemon set",
    ),
    pytest.param(
        stored(
            "apps/v1",
            "Deployment",
            spec={"replicas": 3, "selector": SELECTOR, "template": TEMPLATE},
            status={"readyReplicas": 2, "updatedReplicas": 3, "availableReplicas": 1},
        ),
        ["x", "2/3", 3, 1, AGE, "a,b", "i:1,j:2", SELECTED],
        id="deployment",
    ),
    pytest.param(
        stored(
            "apps/v1",
            "Deployment",
            spec={
                "replicas": 0,
                "selector": {"matchExpressions": [{"key": "a", "operator": "In", "values": []}]},
            },
        ),
        ["x", "0/0", 0, 0, AGE, "", "", "<invalid>"],
        id="deployment: with a broken selector",
    ),
    pytest.param(
        stored(
            "apps/v1",
            "ReplicaSet",
            spec={"selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE},
            status={"replicas": 1, "readyReplicas": 1},
        ),
        ["x", 1, 1, 1, AGE, "a,b", "i:1,j:2", "a=b"],
        id="replica set: one replica unless it says otherwise",
    ),
    pytest.param(
        stored("apps/v1", "ReplicaSet", spec={"selector": {"matchLabels": {"not a key": "b"}}}),
        ["x", 1, 0, 0, AGE, "", "", "<error>"],
        id="replica set: with a broken selector",
    ),
    pytest.param(
        stored(
            "apps/v1",
            "StatefulSet",
            spec={"replicas": 3, "template": TEMPLATE},
            status={"readyReplicas": 1},
        ),
        ["x", "1/3", AGE, "a,b", "i:1,j:2"],
        id="stateful set",
    ),
    *(
        pytest.param(stored(version, kind), ["x", CREATED], id=f"{kind}: the default")
        for version, kind in (
            ("authentication.k8s.io/v1", "SelfSubjectReview"),
            ("authentication.k8s.io/v1", "TokenReview"),
            ("authorization.k8s.io/v1", "LocalSubjectAccessReview"),
            ("authorization.k8s.io/v1", "SelfSubjectAccessReview"),
            ("authorization.k8s.io/v1", "SelfSubjectRulesReview"),
            ("authorization.k8s.io/v1", "SubjectAccessReview"),
            ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
            ("rbac.authorization.k8s.io/v1", "ClusterRole"),
            ("rbac.authorization.k8s.io/v1", "Role"),
        )
    ),
    pytest.param(
        stored(
            "autoscaling/v2",
            "HorizontalPodAutoscaler",
            spec={
                "scaleTargetRef": {"kind": "Deployment", "name": "w"},
                "minReplicas": 2,
                "maxReplicas": 9,
                "metrics": [
                    metric("Resource", "resource", name="cpu", target={"averageUtilization": 70}),
                    metric("Resource", "resource", name="memory", target={"averageValue": "1Gi"}),
                    metric("Pods", "pods", target={"averageValue": "10"}),
                ],
            },
            status={
                "currentReplicas": 4,
                "currentMetrics": [
                    metric("Resource", "resource", name="cpu", current={"averageUtilization": 41})
                ],
            },
        ),
        ["x", "Deployment/w", "cpu: 41%/70%, memory: <unknown>/1Gi + 1 more...", "2", 9, 4, AGE],
        id="autoscaler: two metrics are shown",
    ),
    pytest.param(
        stored(
            "autoscaling/v2",
            "HorizontalPodAutoscaler",
            spec={
                "metrics": [
                    metric("External", "external", target={"averageValue": "5"}),
                    metric("Object", "object", target={"value": "100"}),
                ]
            },
            status={
                "currentMetrics": [
                    metric("External", "external", current={"averageValue": "3"}),
                    metric("Object", "object", current={"value": "90"}),
                ]
            },
        ),
        ["x", "/", "3/5 (avg), 90/100", "1", 0, 0, AGE],
        id="autoscaler: of what others measure",
    ),
    pytest.param(
        stored(
            "autoscaling/v2",
            "HorizontalPodAutoscaler",
            spec={
                "metrics": [
                    metric("Pods", "pods", target={"averageValue": "5"}),
                    metric("ContainerResource", "containerResource", name="cpu", target={}),
                ]
            },
            status={"currentMetrics": [metric("Pods", "pods", current={})]},
        ),
        ["x", "/", "<nil>/5, cpu: <unknown>/<auto>", "1", 0, 0, AGE],
        id="autoscaler: of metrics that lack a value",
    ),
    pytest.param(
        stored(
            "autoscaling/v2", "HorizontalPodAutoscaler", spec={"metrics": [{"type": "Whim"}, {}]}
        ),
        ["x", "/", "<unknown type>, <unknown type>", "1", 0, 0, AGE],
        id="autoscaler: of metrics that are not known",
    ),
    pytest.param(
        stored(
            "autoscaling/v1",
            "HorizontalPodAutoscaler",
            spec={
                "scaleTargetRef": {"kind": "Deployment", "name": "w"},
                "maxReplicas": 3,
                "targetCPUUtilizationPercentage": 50,
            },
            status={"currentReplicas": 1, "currentCPUUtilizationPercentage": 20},
        ),
        ["x", "Deployment/w", "cpu: 20%/50%", "1", 3, 1, AGE],
        id="autoscaler: of the older version",
    ),
    pytest.param(
        stored("autoscaling/v1", "HorizontalPodAutoscaler"),
        ["x", "/", "cpu: <unknown>/80%", "1", 0, 0, AGE],
        id="autoscaler: aims at 80% unless it says otherwise",
    ),
    pytest.param(
        stored(
            "batch/v1",
            "CronJob",
            spec={
                "schedule": "0 * * * *",
                "timeZone": "Etc/UTC",
                "suspend": True,
                "jobTemplate": {"spec": {"template": TEMPLATE}},
            },
            status={"active": [{"name": "j"}], "lastScheduleTime": "2025-06-01T11:00:00Z"},
        ),
        ["x", "0 * * * *", "Etc/UTC", "True", 1, "60m", AGE, "a,b", "i:1,j:2", "<none>"],
        id="cron job",
    ),
    pytest.param(
        stored("batch/v1", "CronJob", spec={"schedule": "@daily"}),
        ["x", "@daily", "<none>", "False", 0, "<none>", AGE, "", "", "<none>"],
        id="cron job: that never ran",
    ),
    pytest.param(
        stored(
            "batch/v1",
            "Job",
            spec={"completions": 3, "selector": {"matchLabels": {"j": "1"}}, "template": TEMPLATE},
            status={
                "succeeded": 3,
                "startTime": "2025-06-01T11:00:00Z",
                "completionTime": "2025-06-01T11:01:30Z",
                "conditions": [
                    {"type": "SuccessCriteriaMet", "status": "True"},
                    {"type": "Complete", "status": "True"},
                ],
            },
        ),
        ["x", "Complete", "3/3", "90s", AGE, "a,b", "i:1,j:2", "j=1"],
        id="job: complete",
    ),
    pytest.param(
        stored("batch/v1", "Job", spec={"parallelism": 4}, status={"startTime": CREATED}),
        ["x", "Running", "0/1 of 4", AGE, AGE, "", "", "<none>"],
        id="job: a work queue that runs",
    ),
    pytest.param(
        stored("batch/v1", "Job"),
        ["x", "Running", "0/1", "", AGE, "", "", "<none>"],
        id="job: not started",
    ),
    pytest.param(
        {
            **stored("batch/v1", "Job"),
            "metadata": DELETED,
            "status": {"conditions": [{"type": "Suspended", "status": "True"}]},
        },
        ["x", "Terminating", "0/1", "", AGE, "", "", "<none>"],
        id="job: deleted comes before suspended",
    ),
    *(
        pytest.param(
            stored(
                "batch/v1",
                "Job",
                status={
                    "conditions": [
                        {"type": "Complete", "status": "False"},
                        {"type": condition, "status": "True"},
                    ]
                },
            ),
            ["x", condition, "0/1", "", AGE, "", "", "<none>"],
            id=f"job: {condition}",
        )
        for condition in ("Failed", "Suspended", "FailureTarget", "SuccessCriteriaMet")
    ),
    pytest.param(
        stored(
            "certificates.k8s.io/v1",
            "CertificateSigningRequest",
            spec={"signerName": "example.com/s", "username": "u", "expirationSeconds": 3600},
            status={"conditions": [{"type": "Approved"}], "certificate": "AA=="},
        ),
        ["x", AGE, "example.com/s", "u", "60m", "Approved,Issued"],
        id="signing request: issued",
    ),
    pytest.param(
        stored(
            "certificates.k8s.io/v1",
            "CertificateSigningRequest",
            status={"conditions": [{"type": "Approved"}, {"type": "Denied"}, {"type": "Failed"}]},
        ),
        ["x", AGE, "<none>", "", "<none>", "Denied,Failed"],
        id="signing request: denied comes first",
    ),
    pytest.param(
        stored("certificates.k8s.io/v1", "CertificateSigningRequest"),
        ["x", AGE, "<none>", "", "<none>", "Pending"],
        id="signing request: pending",
    ),
    pytest.param(
        stored(
            "networking.k8s.io/v1",
            "IngressClass",
            spec={
                "controller": "example.com/c",
                "parameters": {"apiGroup": "example.com", "kind": "P", "name": "p"},
            },
        ),
        ["x", "example.com/c", "P.example.com/p", AGE],
        id="ingress class",
    ),
    pytest.param(
        stored(
            "networking.k8s.io/v1", "IngressClass", spec={"parameters": {"kind": "P", "name": "p"}}
        ),
        ["x", "", "P/p", AGE],
        id="ingress class: with parameters in the core group",
    ),
    pytest.param(
        stored("networking.k8s.io/v1", "IngressClass"),
        ["x", "", "<none>", AGE],
        id="ingress class: without parameters",
    ),
    pytest.param(
        stored(
            "networking.k8s.io/v1",
            "Ingress",
            spec={
                "ingressClassName": "c",
                "tls": [{}],
                "rules": [{"host": "a"}, {}, {"host": "b"}, {"host": "c"}, {"host": "d"}],
            },
            status={"loadBalancer": {"ingress": [{"hostname": "lb"}, {"ip": "1.1.1.1"}, {}]}},
        ),
        ["x", "c", "a,b,c + 2 more...", "1.1.1.1,lb", "80, 443", AGE],
        id="ingress: what is not shown counts rules",
    ),
    pytest.param(
        stored("networking.k8s.io/v1", "Ingress", spec={"rules": [{}]}),
        ["x", "<none>", "*", "", "80", AGE],
        id="ingress: for all hosts",
    ),
    pytest.param(
        stored(
            "networking.k8s.io/v1",
            "IPAddress",
            spec={
                "parentRef": {
                    "group": "Example.com",
                    "resource": "things",
                    "namespace": "ns",
                    "name": "t",
                }
            },
        ),
        ["x", "things.example.com/ns/t"],
        id="address",
    ),
    pytest.param(
        stored(
            "networking.k8s.io/v1",
            "IPAddress",
            spec={"parentRef": {"resource": "nodes", "name": "n"}},
        ),
        ["x", "nodes/n"],
        id="address: of a thing in the core group without a namespace",
    ),
    pytest.param(
        stored("networking.k8s.io/v1", "IPAddress"), ["x", "<none>"], id="address: of nothing"
    ),
    pytest.param(
        stored("networking.k8s.io/v1", "NetworkPolicy", spec={"podSelector": {}}),
        ["x", "<none>", AGE],
        id="network policy: for all pods",
    ),
    pytest.param(
        stored("networking.k8s.io/v1", "NetworkPolicy", spec={"podSelector": SELECTOR}),
        ["x", SELECTED, AGE],
        id="network policy",
    ),
    pytest.param(
        stored("networking.k8s.io/v1", "ServiceCIDR", spec={"cidrs": ["10.0.0.0/16", "fd00::/64"]}),
        ["x", "10.0.0.0/16,fd00::/64", AGE],
        id="service range",
    ),
    pytest.param(
        stored(
            "policy/v1",
            "PodDisruptionBudget",
            spec={"minAvailable": "50%"},
            status={"disruptionsAllowed": 2},
        ),
        ["x", "50%", "N/A", 2, AGE],
        id="disruption budget: in percent",
    ),
    pytest.param(
        stored("policy/v1", "PodDisruptionBudget", spec={"maxUnavailable": 0}),
        ["x", "N/A", "0", 0, AGE],
        id="disruption budget: as a number, in a column of type string",
    ),
    *(
        pytest.param(
            stored(
                "rbac.authorization.k8s.io/v1",
                kind,
                roleRef={"kind": "ClusterRole", "name": "view"},
                subjects=[
                    {"kind": "User", "name": "u"},
                    {"kind": "Group", "name": "g"},
                    {"kind": "ServiceAccount", "namespace": "ns", "name": "a"},
                    {"kind": "User", "name": "w"},
                    {"kind": "Robot", "name": "r"},
                ],
            ),
            ["x", "ClusterRole/view", AGE, "u, w", "g", "ns/a"],
            id=kind,
        )
        for kind in ("RoleBinding", "ClusterRoleBinding")
    ),
    pytest.param(
        stored(
            "storage.k8s.io/v1",
            "CSIDriver",
            spec={
                "attachRequired": False,
                "podInfoOnMount": True,
                "storageCapacity": True,
                "tokenRequests": [{"audience": "a"}, {"audience": "b"}],
                "requiresRepublish": True,
                "volumeLifecycleModes": ["Persistent", "Ephemeral"],
            },
        ),
        ["x", False, True, True, "a,b", True, "Persistent,Ephemeral", AGE],
        id="driver",
    ),
    pytest.param(
        stored("storage.k8s.io/v1", "CSIDriver"),
        ["x", True, False, False, "<unset>", False, "Persistent", AGE],
        id="driver: the defaults",
    ),
    pytest.param(
        stored("storage.k8s.io/v1", "CSINode", spec={"drivers": [{"name": "d"}]}),
        ["x", 1, AGE],
        id="drivers of a node",
    ),
    pytest.param(
        stored("storage.k8s.io/v1", "CSIStorageCapacity", storageClassName="c", capacity="1Gi"),
        ["x", "c", "1Gi"],
        id="free capacity",
    ),
    pytest.param(
        stored("storage.k8s.io/v1", "CSIStorageCapacity"),
        ["x", "", "<unset>"],
        id="free capacity: not known",
    ),
    pytest.param(
        {
            **stored("storage.k8s.io/v1", "StorageClass"),
            "metadata": meta(
                "x", annotations={"storageclass.kubernetes.io/is-default-class": "true"}
            ),
            "provisioner": "p",
            "reclaimPolicy": "Retain",
            "volumeBindingMode": "WaitForFirstConsumer",
            "allowVolumeExpansion": True,
        },
        ["x (default)", "p", "Retain", "WaitForFirstConsumer", True, AGE],
        id="storage class: the default one",
    ),
    pytest.param(
        stored("storage.k8s.io/v1", "StorageClass", provisioner="p"),
        ["x", "p", "Delete", "Immediate", False, AGE],
        id="storage class: the defaults",
    ),
    pytest.param(
        stored(
            "storage.k8s.io/v1",
            "VolumeAttachment",
            spec={"attacher": "a", "source": {"persistentVolumeName": "v"}, "nodeName": "n"},
            status={"attached": True},
        ),
        ["x", "a", "v", "n", True, AGE],
        id="attachment",
    ),
    pytest.param(
        stored("storage.k8s.io/v1", "VolumeAttributesClass", driverName="d"),
        ["x", "d", AGE],
        id="class of volume attributes",
    ),
    *(
        pytest.param(
            stored(
                "admissionregistration.k8s.io/v1",
                f"{prefix}AdmissionPolicy",
                spec={rules: [{}, {}], "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}},
            ),
            ["x", 2, "v1/ConfigMap", AGE],
            id=f"{prefix}AdmissionPolicy",
        )
        for prefix, rules in (("Mutating", "mutations"), ("Validating", "validations"))
    ),
    pytest.param(
        stored("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy"),
        ["x", 0, "<unset>", AGE],
        id="policy: without parameters",
    ),
    *(
        pytest.param(
            stored(
                "admissionregistration.k8s.io/v1",
                f"{prefix}AdmissionPolicyBinding",
                spec={"policyName": "p", **spec},
            ),
            ["x", "p", shown, AGE],
            id=f"{prefix}AdmissionPolicyBinding: parameters {shown}",
        )
        for prefix in ("Mutating", "Validating")
        for spec, shown in (
            ({}, "<unset>"),
            ({"paramRef": {}}, "<unset>"),
            ({"paramRef": {"name": "c", "namespace": "ns"}}, "ns/c"),
            ({"paramRef": {"name": "c"}}, "*/c"),
            (
                {"paramRef": {"selector": {"matchLabels": {"b": "2", "a": "1"}}}},
                "&LabelSelector{MatchLabels:map[string]string{a: 1,b: 2,},"
                "MatchExpressions:[]LabelSelectorRequirement{},}",
            ),
            (
                {
                    "paramRef": {
                        "selector": {
                            "matchExpressions": [
                                {"key": "k", "operator": "In", "values": ["v", "w"]}
                            ]
                        }
                    }
                },
                "&LabelSelector{MatchLabels:map[string]string{},"
                "MatchExpressions:[]LabelSelectorRequirement{"
                "LabelSelectorRequirement{Key:k,Operator:In,Values:[v w],},},}",
            ),
        )
    ),
    *(
        pytest.param(
            stored("admissionregistration.k8s.io/v1", kind, webhooks=[{}]), ["x", 1, AGE], id=kind
        )
        for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
    ),
    pytest.param(
        stored("scheduling.k8s.io/v1", "PriorityClass", value=-5, globalDefault=True),
        ["x", -5, True, AGE, "PreemptLowerPriority"],
        id="priority class",
    ),
    pytest.param(
        stored("coordination.k8s.io/v1", "Lease", spec={"holderIdentity": "me"}),
        ["x", "me", AGE],
        id="lease",
    ),
    pytest.param(
        stored("node.k8s.io/v1", "RuntimeClass", handler="runc"),
        ["x", "runc", AGE],
        id="runtime class",
    ),
    pytest.param(
        stored(
            "discovery.k8s.io/v1",
            "EndpointSlice",
            addressType="IPv4",
            ports=[{"port": 80}, {"name": "web"}, {"port": 1}, {"port": 2}],
            endpoints=[{"addresses": ["10.0.0.1", "10.0.0.2"]}, {"addresses": ["10.0.0.3"]}],
        ),
        ["x", "IPv4", "80,web,1 + 1 more...", "10.0.0.1,10.0.0.2,10.0.0.3", AGE],
        id="endpoint slice",
    ),
    pytest.param(
        stored("discovery.k8s.io/v1", "EndpointSlice", addressType="IPv6"),
        ["x", "IPv6", "<unset>", "<unset>", AGE],
        id="endpoint slice: empty",
    ),
    pytest.param(stored("resource.k8s.io/v1", "DeviceClass"), ["x", AGE], id="device class"),
    pytest.param(
        stored("resource.k8s.io/v1", "ResourceClaimTemplate"), ["x", AGE], id="template of claims"
    ),
    *(
        pytest.param(
            {
                **stored("resource.k8s.io/v1", "ResourceClaim"),
                "metadata": metadata,
                "status": status,
            },
            ["x", state, AGE],
            id=f"resource claim: {state}",
        )
        for metadata, status, state in (
            (meta("x"), {}, "pending"),
            (meta("x"), {"allocation": {}}, "allocated"),
            (meta("x"), {"allocation": {}, "reservedFor": [{}]}, "allocated,reserved"),
            (DELETED, {}, "deleted"),
            (DELETED, {"allocation": {}, "reservedFor": [{}]}, "deleted,allocated,reserved"),
        )
    ),
    pytest.param(
        stored(
            "resource.k8s.io/v1",
            "ResourceSlice",
            spec={"nodeName": "n", "driver": "d", "pool": {"name": "p"}},
        ),
        ["x", "n", "d", "p", AGE],
        id="resource slice",
    ),
    pytest.param(
        stored(
            "flowcontrol.apiserver.k8s.io/v1",
            "FlowSchema",
            spec={
                "priorityLevelConfiguration": {"name": "l"},
                "matchingPrecedence": 5,
                "distinguisherMethod": {"type": "ByUser"},
            },
            status={"conditions": [{"type": "Dangling", "status": "False"}]},
        ),
        ["x", "l", 5, "ByUser", AGE, "False"],
        id="flow schema",
    ),
    pytest.param(
        stored("flowcontrol.apiserver.k8s.io/v1", "FlowSchema"),
        ["x", "", 1000, "<none>", AGE, "?"],
        id="flow schema: not looked at yet",
    ),
    pytest.param(
        stored(
            "flowcontrol.apiserver.k8s.io/v1",
            "PriorityLevelConfiguration",
            spec={
                "type": "Limited",
                "limited": {
                    "nominalConcurrencyShares": 0,
                    "limitResponse": {"queuing": {"queues": 0, "handSize": 6}},
                },
            },
        ),
        ["x", "Limited", 0, 64, 6, 50, AGE],
        id="priority level: with queues",
    ),
    pytest.param(
        stored(
            "flowcontrol.apiserver.k8s.io/v1",
            "PriorityLevelConfiguration",
            spec={"type": "Limited", "limited": {}},
        ),
        ["x", "Limited", 30, *["<none>"] * 3, AGE],
        id="priority level: without queues",
    ),
    pytest.param(
        stored(
            "flowcontrol.apiserver.k8s.io/v1", "PriorityLevelConfiguration", spec={"type": "Exempt"}
        ),
        ["x", "Exempt", *["<none>"] * 4, AGE],
        id="priority level: without limits",
    ),
]


@pytest.mark.parametrize(("obj", "row"), PRINTED)
def test_object_prints_as_cells(obj: dict[str, Any], row: list[Any]) -> None:
    """Every kind shows of its objects what a kube-apiserver shows."""
    got = cells(obj)
    assert got == row
    assert [type(cell) for cell in got] == [type(cell) for cell in row]


def test_every_served_kind_is_in_the_table_above() -> None:
    """No kind is served whose cells nobody has looked at."""
    objects: list[Any] = [case.values[0] for case in PRINTED]
    assert {(obj["apiVersion"], obj["kind"]) for obj in objects} == set(KINDS)


@pytest.mark.parametrize("value", [True, "3", 3.5, None, [], {}], ids=repr)
def test_value_of_another_type_reads_as_empty(value: Any) -> None:
    """A cell keeps its type, whatever the field holds."""
    assert cells(stored("scheduling.k8s.io/v1", "PriorityClass", value=value))[1] == 0
    assert type(cells(stored("apps/v1", "ControllerRevision", revision=value))[2]) is int


@pytest.mark.parametrize(("obj", "_row"), PRINTED)
def test_object_is_left_as_it_was(obj: dict[str, Any], _row: list[Any]) -> None:
    """What the store hands out is shared."""
    before = copy.deepcopy(obj)
    cells(obj)
    assert obj == before


@pytest.mark.parametrize("kind", [pytest.param(kind, id=repr(kind)) for kind in KINDS.values()])
def test_columns_are_well_formed(kind: Kind) -> None:
    """Clients find the name by its format, and every column says what it shows."""
    columns = printer_for(kind).columns
    assert columns[-1 if kind.kind == "Event" else 0].format == "name"
    assert len({each.name for each in columns}) == len(columns)
    assert {each.type for each in columns} <= {"string", "integer", "boolean", "date"}
    assert all(each.description for each in columns)
