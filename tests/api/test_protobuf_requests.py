"""What programs in Go send since 1.32: every verb, in messages that the official protobuf library has built."""

import uuid
from collections.abc import Mapping
from typing import Any

import pytest
from verger.store.kinds import built_in

from tests.api.conftest import Answer, Ask
from tests.api.official import META, SCHEMAS, official, opened, parsed, sealed

PROTOBUF = "application/vnd.kubernetes.protobuf"
GO = {"Content-Type": PROTOBUF, "Accept": f"{PROTOBUF},application/json"}
TYPES = {(kind.api_version, kind.kind): kind.type_name for kind in built_in()} | {
    ("authentication.k8s.io/v1", "TokenRequest"): "io.k8s.api.authentication.v1.TokenRequest",
    ("autoscaling/v1", "Scale"): "io.k8s.api.autoscaling.v1.Scale",
    ("policy/v1", "Eviction"): "io.k8s.api.policy.v1.Eviction",
    ("v1", "Binding"): "io.k8s.api.core.v1.Binding",
}
EMPTY = {
    "name": "",
    "generateName": "",
    "namespace": "",
    "selfLink": "",
    "uid": "",
    "resourceVersion": "",
    "generation": 0,
    "creationTimestamp": None,
}
"""What Go writes of metadata in any case: fields that are no pointers."""
Object = dict[str, Any]


def message_of(api_version: str, kind: str) -> str:
    name = TYPES.get((api_version, kind), f"{META}.{kind}")
    return SCHEMAS.type(name).message


def go(api_version: str, kind: str, obj: Mapping[str, Any]) -> bytes:
    """An object as a Go client sends it."""
    given = dict(obj)
    if "metadata" in given:
        given["metadata"] = {**EMPTY, **given["metadata"]}
    raw = official(message_of(api_version, kind), given).SerializeToString()
    return sealed(bytes(raw), kind, api_version)


def shown(answer: Answer, code: int = 200) -> Any:
    """The message in an answer, as the official library reads it."""
    assert answer.status == code, answer.text
    assert answer.headers["Content-Type"] == PROTOBUF
    api_version, kind, raw = opened(answer.body)
    return parsed(message_of(api_version, kind), raw)


@pytest.fixture
def base(ask: Ask) -> str:
    """The path of a namespace of the test's own."""
    name = f"go-{uuid.uuid4().hex[:8]}"
    made = shown(
        ask("POST", "/api/v1/namespaces", go("v1", "Namespace", named(name)), headers=GO), 201
    )
    assert made.metadata.name == name
    return f"/api/v1/namespaces/{name}"


def named(name: str, **metadata: Any) -> Object:
    return {"metadata": {"name": name, **metadata}}


CONTAINER = {
    "name": "c",
    "image": "i",
    "ports": [{"containerPort": 80, "protocol": "TCP"}],
    "resources": {"requests": {"cpu": "100m"}},
    "livenessProbe": {"httpGet": {"path": "/", "port": "web"}},
}
TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [CONTAINER]}}
SELECTOR = {"matchLabels": {"a": "b"}}
RULE = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}
ROLE = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
RBAC = "rbac.authorization.k8s.io/v1"
SENT = [
    ("v1", "ConfigMap", "configmaps", {"data": {"k": "v"}, "binaryData": {"b": "AAH/"}}),
    ("v1", "Secret", "secrets", {"stringData": {"k": "v"}, "type": "Opaque", "immutable": False}),
    ("v1", "ServiceAccount", "serviceaccounts", {"automountServiceAccountToken": False}),
    ("v1", "Service", "services", {"spec": {"ports": [{"port": 80, "targetPort": "web"}]}}),
    ("v1", "Pod", "pods", {"spec": {**TEMPLATE["spec"], "automountServiceAccountToken": False}}),
    ("v1", "LimitRange", "limitranges", {"spec": {"limits": [{"type": "Pod", "max": {"cpu": "2"}}]}}),
    ("apps/v1", "Deployment", "deployments",
     {"spec": {"replicas": 0, "selector": SELECTOR, "template": TEMPLATE,
               "strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 1}}}}),
    ("batch/v1", "CronJob", "cronjobs",
     {"spec": {"schedule": "@daily", "jobTemplate": {"spec": {"template": {
         **TEMPLATE, "spec": {**TEMPLATE["spec"], "restartPolicy": "Never"}}}}}}),
    ("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets",
     {"spec": {"minAvailable": "50%", "selector": SELECTOR}}),
    ("networking.k8s.io/v1", "Ingress", "ingresses",
     {"spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}}),
    ("autoscaling/v1", "HorizontalPodAutoscaler", "horizontalpodautoscalers",
     {"spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "d"}}}),
    ("coordination.k8s.io/v1", "Lease", "leases",
     {"spec": {"holderIdentity": "h", "renewTime": "2024-05-06T07:08:09.123456Z"}}),
    (RBAC, "Role", "roles", {"rules": [RULE]}),
    (RBAC, "RoleBinding", "rolebindings", {"roleRef": ROLE, "subjects": [{"kind": "User", "name": "u"}]}),
]  # fmt: skip


def collection(base: str, api_version: str, plural: str) -> str:
    namespace = base.rpartition("/")[2]
    root = "/api/v1" if api_version == "v1" else f"/apis/{api_version}"
    return f"{root}/namespaces/{namespace}/{plural}"


@pytest.mark.parametrize(
    ("api_version", "kind", "plural", "body"), [pytest.param(*row, id=row[1]) for row in SENT]
)
def test_object_is_created_read_and_written_back(
    ask: Ask, base: str, api_version: str, kind: str, plural: str, body: Object
) -> None:
    """A create stores what JSON would have stored; what was read, sent back unchanged, changes nothing."""
    path = collection(base, api_version, plural)
    sent = go(api_version, kind, {**named("it", labels={"x": "y"}), **body})
    made = shown(ask("POST", path, sent, headers=GO), 201)
    assert made.metadata.name == "it"
    as_json = ask("POST", path, {**named("other", labels={"x": "y"}), **body})
    assert as_json.status == 201, as_json.text
    same = ask("GET", f"{path}/it").json, as_json.json
    assert without_identity(same[0]) == without_identity(same[1])
    read = ask("GET", f"{path}/it", headers=GO)
    back = ask("PUT", f"{path}/it", read.body, headers=GO)
    assert shown(back) == shown(read), "the same revision: nothing was written"


def without_identity(obj: Object) -> Object:
    about = ("name", "uid", "resourceVersion", "creationTimestamp", "managedFields")
    metadata = {key: value for key, value in obj["metadata"].items() if key not in about}
    drop = {"clusterIP": None, "clusterIPs": None}
    spec = {key: value for key, value in obj.get("spec", {}).items() if key not in drop}
    return {**obj, "metadata": metadata, "spec": spec}


def test_update_is_of_the_revision_that_was_read(ask: Ask, base: str) -> None:
    """A second one, of what was read before the first, is refused; the refusal is a message too."""
    path = f"{base}/configmaps"
    ask("POST", path, go("v1", "ConfigMap", {**named("a"), "data": {"k": "1"}}), headers=GO)
    _, _, raw = opened(ask("GET", f"{path}/a", headers=GO).body)
    obj: Any = parsed(message_of("v1", "ConfigMap"), raw)
    obj.data["k"] = "2"
    sent = sealed(bytes(obj.SerializeToString()), "ConfigMap", "v1")
    assert dict(shown(ask("PUT", f"{path}/a", sent, headers=GO)).data) == {"k": "2"}
    obj.data["k"] = "3"
    sent = sealed(bytes(obj.SerializeToString()), "ConfigMap", "v1")
    status = shown(ask("PUT", f"{path}/a", sent, headers=GO), 409)
    assert (status.reason, status.details.name) == ("Conflict", "a")


@pytest.mark.parametrize(
    ("kind", "api_version", "code"),
    [
        pytest.param("", "", 201, id="nothing, and the path says it"),
        pytest.param("ConfigMap", "v2", 400, id="another version"),
        pytest.param("Secret", "v1", 400, id="another kind"),
    ],
)
def test_envelope_says_what_is_in_it(
    ask: Ask, base: str, kind: str, api_version: str, code: int
) -> None:
    """It may leave that out, and may not contradict the path."""
    raw = official(message_of("v1", "ConfigMap"), named("a")).SerializeToString()
    sent = sealed(bytes(raw), kind, api_version)
    assert ask("POST", f"{base}/configmaps", sent, headers=GO).status == code


# Deletions


def delete_options(**options: Any) -> bytes:
    raw = official(SCHEMAS.type(f"{META}.DeleteOptions").message, options).SerializeToString()
    return sealed(bytes(raw), "DeleteOptions", "v1")


def test_delete_options_are_a_message(ask: Ask, base: str) -> None:
    """Preconditions, a dry run, and what becomes of dependents."""
    path = f"{base}/configmaps/a"
    ask("POST", f"{base}/configmaps", go("v1", "ConfigMap", named("a")), headers=GO)
    other = delete_options(preconditions={"uid": "another"})
    status = shown(ask("DELETE", path, other, headers=GO), 409)
    assert "the UID in the precondition (another) does not match" in status.message
    shown(ask("DELETE", path, delete_options(dryRun=["All"]), headers=GO))
    orphan = delete_options(propagationPolicy="Orphan")
    ask("PATCH", path, {"metadata": {"finalizers": ["x.io/y"]}}, headers=MERGE)
    held = shown(ask("DELETE", path, orphan, headers=GO))
    assert "x.io/y" in held.metadata.finalizers
    assert held.metadata.deletionTimestamp.seconds
    ask("PATCH", path, {"metadata": {"finalizers": None}}, headers=MERGE)
    assert shown(ask("GET", path, headers=GO), 404).reason == "NotFound"


MERGE = {"Content-Type": "application/merge-patch+json"}


def test_collection_is_deleted(ask: Ask, base: str) -> None:
    """By a selector, with options; the list of what was deleted comes back."""
    path = f"{base}/configmaps"
    for name, label in (("a", "1"), ("b", "2"), ("c", "1")):
        ask("POST", path, go("v1", "ConfigMap", named(name, labels={"l": label})), headers=GO)
    answer = ask("DELETE", f"{path}?labelSelector=l%3D1", delete_options(), headers=GO)
    assert answer.status == 200
    _, kind, raw = opened(answer.body)
    message = message_of("v1", "ConfigMap") + "List"
    listed: Any = parsed(message, raw)
    assert (kind, [item.metadata.name for item in listed.items]) == ("ConfigMapList", ["a", "c"])


# Parts


def test_parts_of_objects_are_written(ask: Ask, base: str) -> None:
    """A status, a scale, a binding, an eviction, the end of a namespace: each with a message of its own."""
    deployments = collection(base, "apps/v1", "deployments")
    spec = {"selector": SELECTOR, "template": TEMPLATE}
    body = {**named("d"), "spec": spec, "status": {"observedGeneration": 1, "replicas": 2}}
    shown(ask("POST", deployments, go("apps/v1", "Deployment", body), headers=GO), 201)
    sent = go("apps/v1", "Deployment", body)
    assert shown(ask("PUT", f"{deployments}/d/status", sent, headers=GO)).status.replicas == 2
    scale = go("autoscaling/v1", "Scale", {**named("d"), "spec": {"replicas": 5}})
    assert shown(ask("PUT", f"{deployments}/d/scale", scale, headers=GO)).spec.replicas == 5
    pod = {**named("p"), "spec": {**TEMPLATE["spec"], "automountServiceAccountToken": False}}
    shown(ask("POST", f"{base}/pods", go("v1", "Pod", pod), headers=GO), 201)
    target = {"target": {"kind": "Node", "name": "n"}}
    binding = go("v1", "Binding", {**named("p"), **target})
    assert (
        shown(ask("POST", f"{base}/pods/p/binding", binding, headers=GO), 201).status == "Success"
    )
    assert shown(ask("GET", f"{base}/pods/p", headers=GO)).spec.nodeName == "n"
    eviction = go(
        "policy/v1", "Eviction", {**named("p"), "deleteOptions": {"gracePeriodSeconds": 0}}
    )
    shown(ask("POST", f"{base}/pods/p/eviction", eviction, headers=GO), 201)
    assert ask("GET", f"{base}/pods/p").status == 404
    namespace = parsed(message_of("v1", "Namespace"), opened(ask("GET", base, headers=GO).body)[2])
    sent = sealed(bytes(namespace.SerializeToString()), "Namespace", "v1")
    assert shown(ask("PUT", f"{base}/finalize", sent, headers=GO)).status.phase == "Active"


AUTHORIZATION = "authorization.k8s.io/v1"
AUTHENTICATION = "authentication.k8s.io/v1"
ATTRIBUTES = {"namespace": "default", "verb": "get", "resource": "pods"}


@pytest.mark.parametrize(
    ("api_version", "kind", "spec", "status"),
    [
        pytest.param(AUTHORIZATION, "SelfSubjectAccessReview", {"resourceAttributes": ATTRIBUTES},
                     "allowed: true", id="may I"),
        pytest.param(AUTHORIZATION, "SubjectAccessReview",
                     {"resourceAttributes": ATTRIBUTES, "user": "bob", "groups": ["g"]},
                     "allowed: false", id="may he"),
        pytest.param(AUTHORIZATION, "SelfSubjectRulesReview", {"namespace": "default"},
                     'verbs: "*"', id="what may I"),
        pytest.param(AUTHENTICATION, "TokenReview", {"token": "none"}, 'error: "invalid bearer token"',
                     id="whose token"),
        pytest.param(AUTHENTICATION, "SelfSubjectReview", None, 'username: "verger-admin"',
                     id="who am I"),
    ],
)  # fmt: skip
def test_reviews_are_asked_and_answered(
    ask: Ask, api_version: str, kind: str, spec: Object | None, status: str
) -> None:
    """Nothing is stored; the answer is the same message with its status."""
    body = {"metadata": {}, **({"spec": spec} if spec else {})}
    path = f"/apis/{api_version}/{kind.lower()}s"
    answer = shown(ask("POST", path, go(api_version, kind, body), headers=GO), 201)
    assert status in str(answer.status)


def test_token_is_requested(ask: Ask, base: str) -> None:
    """For an audience; a duration that is too short is refused in a message."""
    path = f"{base}/serviceaccounts/it/token"
    ask("POST", f"{base}/serviceaccounts", go("v1", "ServiceAccount", named("it")), headers=GO)
    spec = {"audiences": ["x"], "expirationSeconds": 600}
    request = go(AUTHENTICATION, "TokenRequest", {"metadata": {}, "spec": spec})
    answer = shown(ask("POST", path, request, headers=GO), 201)
    assert answer.status.token.count(".") == 2
    assert answer.status.expirationTimestamp.seconds
    request = go(
        AUTHENTICATION, "TokenRequest", {"metadata": {}, "spec": {**spec, "expirationSeconds": 1}}
    )
    assert shown(ask("POST", path, request, headers=GO), 422).reason == "Invalid"


# Patches, and what has no message


@pytest.mark.parametrize(
    ("sort", "patch", "query"),
    [
        pytest.param("json-patch+json", [{"op": "replace", "path": "/data/k", "value": "2"}], "",
                     id="JSON patch"),
        pytest.param("merge-patch+json", {"data": {"k": "2"}}, "", id="merge patch"),
        pytest.param("strategic-merge-patch+json", {"data": {"k": "2"}}, "", id="strategic merge"),
        pytest.param("apply-patch+yaml",
                     {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "2"}},
                     "?fieldManager=go&force=true", id="apply"),
    ],
)  # fmt: skip
def test_patches_are_json_and_their_answers_messages(
    ask: Ask, base: str, sort: str, patch: Any, query: str
) -> None:
    """A patch has no message of its own."""
    made = go("v1", "ConfigMap", {**named("a"), "data": {"k": "1"}})
    ask("POST", f"{base}/configmaps", made, headers=GO)
    headers = {**GO, "Content-Type": f"application/{sort}"}
    answer = shown(ask("PATCH", f"{base}/configmaps/a{query}", patch, headers=headers))
    assert dict(answer.data) == {"k": "2"}
    refused = ask("PATCH", f"{base}/configmaps/a", made, headers=GO)
    assert shown(refused, 415).reason == "UnsupportedMediaType"


def test_custom_objects_are_never_messages(ask: Ask) -> None:
    """A body that claims to be one is refused, and says which types there are."""
    group = f"g{uuid.uuid4().hex[:8]}.example.com"
    version = {"name": "v1", "served": True, "storage": True,
               "schema": {"openAPIV3Schema": {"type": "object"}}}  # fmt: skip
    spec = {"group": group, "scope": "Cluster", "names": {"plural": "things", "kind": "Thing"},
            "versions": [version]}  # fmt: skip
    crds = "apiextensions.k8s.io/v1"
    path = f"/apis/{crds}/customresourcedefinitions"
    definition = {**named(f"things.{group}"), "spec": spec}
    made = ask("POST", path, go(crds, "CustomResourceDefinition", definition), headers=GO)
    assert shown(made, 201).spec.group == group
    things = f"/apis/{group}/v1/things"
    while (
        answer := ask("POST", things, sealed(b"", "Thing", f"{group}/v1"), headers=GO)
    ).status == 404:
        pass  # it is being established
    assert "application/json" in shown(answer, 415).message
