"""Requirements of spec sections 3.8 and 3.9: metadata, selectors, and what is special about some kinds."""

import base64
from collections.abc import Sequence
from typing import Any

import pytest

from tests.conformance.play import (
    ABSENT,
    CONFIGMAPS,
    LEASES,
    SECRETS,
    Player,
    Step,
    case,
    delete,
    get,
    named,
    patch,
    post,
    put,
)

CM, S = CONFIGMAPS, SECRETS
NS = "/api/v1/namespaces"
ACCOUNTS, EVENTS = f"{NS}/{{ns}}/serviceaccounts", f"{NS}/{{ns}}/events"
NEW_EVENTS = "/apis/events.k8s.io/v1/namespaces/{ns}/events"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
AUTH = "/apis/authorization.k8s.io/v1"
INVALID = {"reason": "Invalid", "code": 422}
SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.'"
)
LABEL = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-'"
RULE = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}
ROLE = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}
B64 = base64.b64encode(b"x").decode()
INVOLVED = {
    "involvedObject": {"kind": "Pod", "namespace": "{ns}", "name": "p"},
    "reason": "R",
    "type": "Normal",
}
NEW = {
    "regarding": {"kind": "Pod", "namespace": "{ns}", "name": "p"},
    "eventTime": "2024-01-02T03:04:05.000001Z",
    "reportingController": "c/d",
    "reportingInstance": "i",
    "action": "A",
    "reason": "R",
    "type": "Normal",
    "note": "N",
}


def meta(**fields: Any) -> dict[str, Any]:
    return named("a", meta=fields)


def lacking(key: str) -> dict[str, Any]:
    return {name: value for name, value in NEW.items() if name != key}


METADATA = [
    *(case(f"3.8 {name!r} is no name of a ConfigMap", post(CM, named(name), 422, says=SUBDOMAIN)) for name in ("A", "a_b", "-a", "a.", "a/b")),
    case("3.8 a name has at most 253 characters", post(CM, named("a" * 254), 422, says="must be no more than 253"), post(CM, named("a" * 253))),
    case("3.8 a namespace is a label of at most 63", post(NS, named("A"), 422, says=LABEL), post(NS, named("a.b"), 422, says="must not contain dots"), post(NS, named("a" * 64), 422, says="must be no more than 63")),
    case("3.8 a Service begins with a letter", post(f"{NS}/{{ns}}/services", named("1a", spec={"ports": [{"port": 80}]}), 422, says="a DNS-1035 label must consist of")),
    case("3.8 a Role takes any path segment", post(f"{RBAC}/namespaces/{{ns}}/roles", named("system:A b", rules=[])), post(f"{RBAC}/namespaces/{{ns}}/roles", named("a/b", rules=[]), 422, says="may not contain '/'")),
    case("3.8 a dash behind generateName is not judged", post(CM, {"metadata": {"generateName": "a-"}}), post(CM, {"metadata": {"generateName": "A-"}}, 422, says="metadata.generateName")),
    *(case(f"3.8 {key!r} is no key of a label", post(CM, meta(labels={key: "v"}), 422, says="metadata.labels: Invalid value")) for key in ("", "a b", "-a", "a/b/c", "A.b/c", "a" * 64)),
    *(case(f"3.8 {value!r} is no value of a label", post(CM, meta(labels={"k": value}), 422, says="metadata.labels: Invalid value")) for value in ("a b", "-a", "a" * 64)),
    case("3.8 keys of annotations may have capitals", post(CM, meta(annotations={"Example.com/K": "any thing"}))),
    case("3.8 finalizers have a path, but for the known three", post(CM, meta(finalizers=["plain"]), 422, says="metadata.finalizers[0]: Invalid value: \"plain\": name is neither a standard finalizer name nor is it fully qualified"), post(CM, meta(finalizers=["orphan", "example.com/a"]))),
    case("3.8 the two of the garbage collector exclude each other", post(CM, meta(finalizers=["orphan", "foregroundDeletion"]), 422, says="finalizer orphan and foregroundDeletion cannot be both set")),
    case("3.8 a cluster's kind has no namespace", post(f"{RBAC}/clusterroles", meta(namespace="{ns}"), 400)),
    case("3.8 a field manager has at most 128 printable characters", post(f"{CM}?fieldManager={'x' * 129}", meta(), 422, says="fieldManager: Too long: may not be more than 128 bytes"), post(f"{CM}?fieldManager=a%00", meta(), 422, says="invalid character U+0000 (at position 1)")),
    case("3.8 a negative generation is refused", post(CM, meta(generation=-1), 422, says="metadata.generation: Invalid value: -1")),
]  # fmt: skip
LABELLED = (
    post(S, named("a", meta={"labels": {"k": "v"}})),
    post(S, named("b", meta={"labels": {"k": "w", "n": "5"}})),
    post(S, named("c")),
)
SELECTED = {
    "labelSelector=k=v": "a", "labelSelector=k==v": "a", "labelSelector=k!=v": "bc", "labelSelector=k%20in%20(v,w)": "ab", "labelSelector=k%20notin%20(v)": "bc", "labelSelector=k": "ab", "labelSelector=!k": "c",
    "labelSelector=k,n": "b", "labelSelector=n>4": "b", "labelSelector=n<4": "", "labelSelector=": "abc", "labelSelector=k=": "", "fieldSelector=metadata.name=a": "a", "fieldSelector=metadata.name==a": "a",
    "fieldSelector=metadata.name!=a": "bc", "fieldSelector=metadata.name=a,": "a", "fieldSelector=,,": "abc", "fieldSelector=type=Opaque,metadata.name=b": "b", "fieldSelector=metadata.namespace=other": "", "fieldSelector=metadata.name=a%5C,b": "",
}  # fmt: skip
UNSELECTABLE = {
    "labelSelector=k%20foo%20v": "unable to parse requirement", "labelSelector=k%20in%20v": "expected: '('", "labelSelector=,": "found ','", "labelSelector=k=v=w": "found '='", "labelSelector=n>x": "the value must be an integer",
    "fieldSelector=a": "can't understand 'a'", "fieldSelector=bogus=1": "field label not supported: bogus",
}  # fmt: skip
SELECTORS = [
    *(case(f"3.8 {query} selects {wanted or 'nothing'}", *LABELLED, get(f"{S}?{query}", has={**{f"items/{index}/metadata/name": name for index, name in enumerate(wanted)}, f"items/{len(wanted)}": ABSENT})) for query, wanted in SELECTED.items()),
    *(case(f"3.8 {query} is 400", get(f"{S}?{query}", code=400, says=said)) for query, said in UNSELECTABLE.items()),
    case("3.8 namespaces are not selected by name, as kube-apiserver has it", get("/api/v1/namespaces?fieldSelector=name=x", code=400, says="field label not supported: name")),
    case("3.8 other kinds know the two fields of metadata", get(f"{CM}?fieldSelector=data.k=v", code=400, says='"data.k" is not a known field selector: only "metadata.name", "metadata.namespace"')),
    *(case(f"3.8 {plural} by {field}", get(f"/{path}/{plural}?fieldSelector={field}=x")) for path, plural, fields in (("api/v1", "pods", ("spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork", "status.phase", "status.podIP", "status.podIPs", "status.nominatedNodeName")), ("api/v1", "events", ("involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid", "involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath", "reason", "reportingComponent", "source", "type")), ("api/v1", "namespaces", ("status.phase",)), ("api/v1", "secrets", ("type",)), ("apis/certificates.k8s.io/v1", "certificatesigningrequests", ("spec.signerName",))) for field in fields),
]  # fmt: skip
NAMESPACES = [
    case("3.9 a new namespace has its finalizer, phase and label", post(NS, named("{ns}-x"), has={"spec/finalizers": ["kubernetes"], "status/phase": "Active", "metadata/labels": {"kubernetes.io/metadata.name": "{ns}-x"}})),
    case("3.9 the label is always put back", patch(f"{NS}/{{ns}}", {"metadata": {"labels": None}}, has={"metadata/labels": {"kubernetes.io/metadata.name": "{ns}"}})),
    case("3.9 the main path freezes finalizers and status", patch(f"{NS}/{{ns}}", {"spec": {"finalizers": []}, "status": {"phase": "Terminating"}}, has={"spec/finalizers": ["kubernetes"], "status/phase": "Active"})),
    case("3.9 /status changes the status alone", patch(f"{NS}/{{ns}}/status", {"spec": {"finalizers": []}, "metadata": {"labels": {"k": "v"}}, "status": {"conditions": [{"type": "T", "status": "True"}]}}, has={"spec/finalizers": ["kubernetes"], "status/conditions/0/type": "T"})),
    case("3.9 the first DELETE marks, without grace, and answers with the namespace", post(NS, named("{ns}-x", meta={"finalizers": ["example.com/h"]})), delete(f"{NS}/{{ns}}-x", has={"kind": "Namespace", "status/phase": "Terminating", "metadata/deletionTimestamp": len, "metadata/deletionGracePeriodSeconds": ABSENT}), patch(f"{NS}/{{ns}}-x", {"metadata": {"finalizers": None}})),
    *(case(f"3.9 {name} is immortal", delete(f"{NS}/{name}", code=403, says="this namespace may not be deleted")) for name in ("default", "kube-system", "kube-public")),
    *(case(f"3.9 {name} is there from the start", get(f"{NS}/{name}")) for name in ("default", "kube-system", "kube-public", "kube-node-lease")),
    case(
        "3.9 in a namespace that is being terminated nothing is created",
        post(NS, named("{ns}-x")),
        post(f"{NS}/{{ns}}-x/secrets", named("s", meta={"finalizers": ["example.com/h"]})),
        delete(f"{NS}/{{ns}}-x"),
        post(f"{NS}/{{ns}}-x/configmaps", named("a"), 403, says="unable to create new content in namespace {ns}-x because it is being terminated", has={"details/causes/0/reason": "NamespaceTerminating", "details/causes/0/field": "metadata.namespace"}),
        patch(f"{NS}/{{ns}}-x/secrets/s", {"metadata": {"finalizers": None}}),
        get(f"{NS}/{{ns}}-x", code=404, until=True),
    ),
    case("3.9 a namespace that is emptied goes", post(NS, named("{ns}-x")), post(f"{NS}/{{ns}}-x/secrets", named("s")), delete(f"{NS}/{{ns}}-x"), get(f"{NS}/{{ns}}-x", code=404, until=True)),
]  # fmt: skip
DATA = [
    case("3.9 data of a Secret is base64", post(S, named("a", data={"k": "!"}), 400, says="illegal base64 data at input byte 0")),
    case("3.9 stringData goes over data, and is not shown", post(S, named("a", data={"k": B64}, stringData={"k": "y"}), has={"data/k": base64.b64encode(b"y").decode(), "stringData": ABSENT})),
    case("3.9 the type is Opaque, and cannot change", post(S, named("a"), has={"type": "Opaque"}), patch(f"{S}/a", {"type": "other"}, code=422, says="type: Invalid value: \"other\": field is immutable"), put(f"{S}/a", named("a"), has={"type": "Opaque"})),
    *(case(f"3.9 of an immutable {kind} data does not change, nor that it is immutable", post(path, named("a", immutable=True)), patch(f"{path}/a", {"data": {"k": B64}}, code=422, says="data: Forbidden: field is immutable when `immutable` is set"), patch(f"{path}/a", {"immutable": False}, code=422, says="immutable: Forbidden"), patch(f"{path}/a", {"metadata": {"labels": {"k": "v"}}})) for kind, path in (("ConfigMap", CM), ("Secret", S))),
    *(case(f"3.9 {key!r} is no key", post(S, named("a", data={key: B64}), 422, has=INVALID), post(CM, named("a", data={key: "v"}), 422, has=INVALID)) for key in ("", ".", "..", "..a", "a/b", "a b", "a" * 254)),
    case("3.9 a key is in data or in binaryData", post(CM, named("a", data={"k": "v"}, binaryData={"k": B64}), 422, says="data[k]: Invalid value: \"k\": duplicate of key present in binaryData")),
    *(case(f"3.9 a Secret of type {kind} needs {what}", post(S, named("a", type=kind, data=data), 422, has=INVALID)) for kind, what, data in (("kubernetes.io/service-account-token", "its account", {}), ("kubernetes.io/dockercfg", "its file", {}), ("kubernetes.io/dockercfg", "JSON", {".dockercfg": B64}), ("kubernetes.io/dockerconfigjson", "its file", {}), ("kubernetes.io/basic-auth", "a user or a password", {}), ("kubernetes.io/ssh-auth", "its key", {}), ("kubernetes.io/tls", "both its files", {"tls.crt": B64}))),
]  # fmt: skip
IDENTITY = [
    case("3.9 of an account's Secrets the names are kept", post(ACCOUNTS, named("a", secrets=[{"name": "s", "kind": "X", "uid": "u"}]), has={"secrets": [{"name": "s"}]})),
    case("3.9 a token: 201, an hour, the audience of the API", post(ACCOUNTS, named("a")), post(f"{ACCOUNTS}/a/token", {}, has={"kind": "TokenRequest", "spec/expirationSeconds": 3600, "spec/audiences/0": str, "status/token": len, "status/expirationTimestamp": str, "metadata/name": "a", "metadata/namespace": "{ns}"})),
    case("3.9 not shorter than ten minutes", post(ACCOUNTS, named("a")), post(f"{ACCOUNTS}/a/token", {"spec": {"expirationSeconds": 599}}, 422, says="may not specify a duration less than 10 minutes")),
    case("3.9 nor longer than 2^32 seconds", post(ACCOUNTS, named("a")), post(f"{ACCOUNTS}/a/token", {"spec": {"expirationSeconds": 2**32 + 1}}, 422, says="may not specify a duration larger than 2^32 seconds")),
    case("3.9 no account, no token", post(f"{ACCOUNTS}/a/token", {}, 404)),
    case("3.9 a rule has verbs", post(f"{RBAC}/namespaces/{{ns}}/roles", named("a", rules=[{**RULE, "verbs": []}]), 422, says="rules[0].verbs: Required value: verbs must contain at least one value")),
    case("3.9 and groups and resources", post(f"{RBAC}/namespaces/{{ns}}/roles", named("a", rules=[{"verbs": ["get"]}]), 422, says="rules[0].apiGroups: Required value")),
    case("3.9 paths are for ClusterRoles", post(f"{RBAC}/namespaces/{{ns}}/roles", named("a", rules=[{"verbs": ["get"], "nonResourceURLs": ["/x"]}]), 422, says="rules[0].nonResourceURLs: Invalid value")),
    case("3.9 a roleRef does not change", post(f"{RBAC}/namespaces/{{ns}}/rolebindings", named("a", roleRef=ROLE)), patch(f"{RBAC}/namespaces/{{ns}}/rolebindings/a", {"roleRef": {"name": "s"}}, code=422, says="cannot change roleRef")),
    case("3.9 groups of roleRef and subjects are filled in", post(f"{RBAC}/namespaces/{{ns}}/rolebindings", named("a", roleRef={"kind": "Role", "name": "r"}, subjects=[{"kind": "User", "name": "u"}]), has={"roleRef/apiGroup": "rbac.authorization.k8s.io", "subjects/0/apiGroup": "rbac.authorization.k8s.io"})),
    case("3.9 an account as subject of a ClusterRoleBinding needs its namespace", post(f"{RBAC}/clusterrolebindings", named("{ns}", roleRef={**ROLE, "kind": "ClusterRole"}, subjects=[{"kind": "ServiceAccount", "name": "u"}]), 422, says="subjects[0].namespace: Required value")),
    case("3.9 a ClusterRoleBinding refers to a ClusterRole", post(f"{RBAC}/clusterrolebindings", named("{ns}", roleRef=ROLE), 422, says='roleRef.kind: Unsupported value: "Role"')),
    case("3.9 an aggregation has selectors", post(f"{RBAC}/clusterroles", named("{ns}", aggregationRule={}), 422, says="aggregationRule.clusterRoleSelectors: Required value")),
    *(case(f"3.9 ClusterRole {name} is there from the start", get(f"{RBAC}/clusterroles/{name}")) for name in ("cluster-admin", "admin", "edit", "view", "system:basic-user", "system:discovery", "system:public-info-viewer")),
]  # fmt: skip
REST = [
    case("3.9 core Events are taken as they come", post(EVENTS, named("a", **INVOLVED))),
    case("3.9 an Event stands in the namespace of what it is about", post(EVENTS, named("a", **{**INVOLVED, "involvedObject": {"kind": "Pod", "namespace": "other"}}), 422, says="involvedObject.namespace")),
    *(case(f"3.9 a new Event needs its {key}", post(NEW_EVENTS, named("a", **lacking(key)), 422, has=INVALID)) for key in ("reportingController", "reportingInstance", "action", "reason", "type")),
    case("3.9 both groups show one Event", post(NEW_EVENTS, named("a", **NEW)), get(f"{EVENTS}/a", has={"involvedObject/name": "p", "message": "N", "reportingComponent": "c/d", "kind": "Event", "apiVersion": "v1"})),
    case("3.9 and the other way round", post(EVENTS, named("a", **INVOLVED, message="M", count=3, source={"component": "s"})), get(f"{NEW_EVENTS}/a", has={"regarding/name": "p", "note": "M", "deprecatedCount": 3, "deprecatedSource/component": "s", "apiVersion": "events.k8s.io/v1"})),
    case("3.9 a note has at most 1024 bytes", post(NEW_EVENTS, named("a", **{**NEW, "note": "x" * 1025}), 422, says="can have at most 1024 characters")),
    case("3.9 what an Event says does not change", post(NEW_EVENTS, named("a", **NEW)), patch(f"{NEW_EVENTS}/a", {"note": "other"}, code=422, has=INVALID)),
    case("3.9 a Lease lasts", post(LEASES, named("a", spec={"leaseDurationSeconds": 0}), 422, says="spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0")),
    case("3.9 and does not change hands less than never", post(LEASES, named("a", spec={"leaseTransitions": -1}), 422, says="spec.leaseTransitions")),
    case("3.9 an access review is answered, not stored", post(f"{AUTH}/selfsubjectaccessreviews", {"spec": {"nonResourceAttributes": {"path": "/", "verb": "get"}}}, has={"status/allowed": True, "metadata/uid": ABSENT}), get(f"{AUTH}/selfsubjectaccessreviews", code=405)),
    case("3.9 a local one is about its namespace", post(f"{AUTH}/namespaces/{{ns}}/localsubjectaccessreviews", {"spec": {"user": "u", "resourceAttributes": {"namespace": "other", "verb": "get", "resource": "pods"}}}, 422, says="spec.resourceAttributes.namespace")),
    case("3.9 rules of one's own", post(f"{AUTH}/selfsubjectrulesreviews", {"spec": {"namespace": "{ns}"}}, has={"status/resourceRules/0/verbs": ["*"]})),
    case("3.9 who one is", post("/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, has={"status/userInfo/groups": lambda groups: "system:masters" in groups})),
    case("3.9 a token that is none is not authenticated, an empty one is refused", post("/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": "no"}}, has={"status/authenticated": ABSENT}), post("/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {}}, 400)),
    case(
        "3.9 a quota is kept at once, and its status follows",
        post(f"{NS}/{{ns}}/resourcequotas", named("q", spec={"hard": {"count/secrets": "1"}})),
        post(S, named("a")),
        post(S, named("b"), 403, says="exceeded quota: q, requested: count/secrets=1, used: count/secrets=1, limited: count/secrets=1"),
        get(f"{NS}/{{ns}}/resourcequotas/q", has={"status/used": {"count/secrets": "1"}}, until=True),
    ),
]  # fmt: skip


@pytest.mark.parametrize("steps", [*METADATA, *SELECTORS, *NAMESPACES, *DATA, *IDENTITY, *REST])
def test_kinds(player: Player, steps: Sequence[Step]) -> None:
    """What is refused, filled in and kept, kind by kind."""
    player.play(steps)
