"""Requirements of spec sections 3.10 to 3.16: patches, server-side apply, strictness, Tables, what kubectl does, who asks."""

import re
from collections.abc import Sequence
from typing import Any

import pytest

from tests.conformance.play import (
    ABSENT,
    APPLY,
    CONFIGMAPS,
    JSON_PATCH,
    MERGE,
    PARTIAL,
    PROTOBUF,
    SECRETS,
    STRATEGIC,
    TABLE,
    Player,
    Step,
    case,
    delete,
    get,
    named,
    patch,
    post,
    put,
    watch,
)

CM, S = CONFIGMAPS, SECRETS
PODS = "/api/v1/namespaces/{ns}/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/{ns}/deployments"
CONFIG = {"apiVersion": "v1", "kind": "ConfigMap"}
A = post(f"{CM}?fieldManager=maker", named("a", data={"k": "v"}))
REJECTED = "the server rejected our request due to an error in our request"
TYPES_415 = "415: Unsupported Media Type"
ROWS = {"kind": "Table", "apiVersion": "meta.k8s.io/v1"}
BETA = {"Accept": TABLE["Accept"].replace("v=v1", "v=v1beta1")}
PARTIALS = {"Accept": PARTIAL["Accept"].replace("Metadata", "MetadataList")}
CONTAINER = {"name": "c", "image": "i"}
TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [CONTAINER]}}
DEPLOYMENT = named("a", spec={"selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE})
ENV = "spec/template/spec/containers/0/env"
STRICT_BODY = b'{"metadata":{"name":"a"},"data":{"k":"1","k":"2"},"bogus":1}'


def config(**fields: Any) -> dict[str, Any]:
    return {**CONFIG, "metadata": {"name": "a"}, **fields}


def apply(obj: Any, manager: str = "m", *, query: str = "", **more: Any) -> Step:
    return patch(f"{CM}/a?fieldManager={manager}{query}", obj, APPLY, **more)


def managers(*wanted: str) -> Any:
    return lambda entries: (
        [f"{each['manager']} {each['operation']}" for each in entries] == list(wanted)
    )


def columns(*wanted: str) -> Any:
    return lambda found: (
        [each["name"] + ("*" if each["priority"] else "") for each in found] == list(wanted)
    )


def container(**fields: Any) -> dict[str, Any]:
    return {"spec": {"template": {"spec": {"containers": [{"name": "c", **fields}]}}}}


PATCHES = [
    case("3.10 a JSON patch", A, patch(f"{CM}/a", [{"op": "add", "path": "/data/l", "value": "w"}], JSON_PATCH, has={"data": {"k": "v", "l": "w"}})),
    case("3.10 a JSON patch is a list", A, patch(f"{CM}/a", {}, JSON_PATCH, code=400)),
    case("3.10 a merge patch", A, patch(f"{CM}/a", {"data": {"k": None, "l": "w"}}, MERGE, has={"data": {"l": "w"}})),
    *(case(f"3.10 a patch of type {media!r} is 415", A, patch(f"{CM}/a", {}, {"Content-Type": media}, code=415, says=TYPES_415, has={"reason": "UnsupportedMediaType"})) for media in ("application/json", "text/plain", "", PROTOBUF, "application/apply-patch+cbor")),
    case("3.10 an apply needs its manager", A, patch(f"{CM}/a", config(), APPLY, code=422, says="fieldManager: Required value: is required for apply patch")),
    case("3.10 elsewhere it is the user agent up to the first slash", post(CM, named("a", data={"k": "v"}), sends={"User-Agent": "tool/1.0 (x)"}, has={"metadata/managedFields": managers("tool Update")})),
    case("3.10 force is for an apply", A, patch(f"{CM}/a?force=true", {}, code=422, says="force: Forbidden: may not be specified for non-apply patch")),
    *(case(f"3.10 a JSON patch that does not apply is 422: {what}", A, patch(f"{CM}/a", [operation], JSON_PATCH, code=422, says=REJECTED)) for what, operation in {"no such path": {"op": "remove", "path": "/data/x"}, "a failed test": {"op": "test", "path": "/data/k", "value": "x"}, "a test of nothing": {"op": "test", "path": "/data/x", "value": "x"}, "no such operation": {"op": "bogus", "path": "/data/k"}, "no path": {"op": "add", "value": 1}, "an index in a map": {"op": "add", "path": "/data/k/0", "value": 1}}.items()),
    *(case(f"3.10 a patch that cannot be read is 400: {what}", A, patch(f"{CM}/a", body, sends, code=400)) for what, body, sends in (("cut", b"{", MERGE), ("empty", b"", MERGE), ("a list", b"[]", MERGE), ("a text", b'"x"', STRATEGIC), ("cut", b"[", JSON_PATCH), ("numbers", b"[1]", JSON_PATCH))),
    case("3.10 what no longer fits the kind is refused", A, patch(f"{CM}/a", {"data": {"k": 1}}, code=422, has={"details/causes/0/field": "patch"})),
    case("3.10 $patch: replace in a map", A, patch(f"{CM}/a", {"data": {"$patch": "replace", "l": "w"}}, STRATEGIC, has={"data": {"l": "w"}})),
    case("3.10 $patch: delete in a map", A, patch(f"{CM}/a", {"data": {"$patch": "delete"}}, STRATEGIC, has={"data": ABSENT})),
    case("3.10 another $patch is refused", A, patch(f"{CM}/a", {"data": {"$patch": "bogus"}}, STRATEGIC, code=500, says="unknown patch type: bogus")),
    case("3.10 $retainKeys", A, patch(f"{CM}/a", {"data": {"$retainKeys": ["l"], "l": "w"}}, STRATEGIC, has={"data": {"l": "w"}})),
    case("3.10 what is not retained may not be set", A, patch(f"{CM}/a", {"data": {"$retainKeys": ["m"], "l": "w"}}, STRATEGIC, code=422)),
    case("3.10 lists are merged by their key", post(DEPLOYMENTS, DEPLOYMENT), patch(f"{DEPLOYMENTS}/a", container(env=[{"name": "x", "value": "1"}]), STRATEGIC, has={"spec/template/spec/containers/0/image": "i"}), patch(f"{DEPLOYMENTS}/a", container(env=[{"name": "y", "value": "2"}]), STRATEGIC, has={f"{ENV}/0/name": "y", f"{ENV}/1/name": "x"})),
    case("3.10 an item is deleted by its key", post(DEPLOYMENTS, DEPLOYMENT), patch(f"{DEPLOYMENTS}/a", container(env=[{"name": "x"}, {"name": "y"}]), STRATEGIC), patch(f"{DEPLOYMENTS}/a", container(env=[{"name": "x", "$patch": "delete"}]), STRATEGIC, has={f"{ENV}/0/name": "y", f"{ENV}/1": ABSENT})),
    case("3.10 $setElementOrder", post(DEPLOYMENTS, DEPLOYMENT), patch(f"{DEPLOYMENTS}/a", container(env=[{"name": "x"}, {"name": "y"}]), STRATEGIC), patch(f"{DEPLOYMENTS}/a", container(**{"$setElementOrder/env": [{"name": "y"}, {"name": "x"}]}), STRATEGIC, has={f"{ENV}/0/name": "y", f"{ENV}/1/name": "x"})),
    case("3.10 finalizers are united, and taken out by $deleteFromPrimitiveList", post(CM, named("a", meta={"finalizers": ["example.com/a"]})), patch(f"{CM}/a", {"metadata": {"finalizers": ["example.com/b"]}}, STRATEGIC, has={"metadata/finalizers": lambda found: sorted(found) == ["example.com/a", "example.com/b"]}), patch(f"{CM}/a", {"metadata": {"$deleteFromPrimitiveList/finalizers": ["example.com/a"]}}, STRATEGIC, has={"metadata/finalizers": ["example.com/b"]})),
    case("3.10 rules of a Role are replaced", post("/apis/rbac.authorization.k8s.io/v1/namespaces/{ns}/roles", named("a", rules=[{"verbs": ["get"], "apiGroups": [""], "resources": ["x"]}])), patch("/apis/rbac.authorization.k8s.io/v1/namespaces/{ns}/roles/a", {"rules": [{"verbs": ["list"], "apiGroups": [""], "resources": ["y"]}]}, STRATEGIC, has={"rules/0/resources": ["y"], "rules/1": ABSENT})),
]  # fmt: skip
APPLIES = [
    case("3.11 entries say manager, operation, version, time, type and fields", A, get(f"{CM}/a", has={"metadata/managedFields/0": lambda found: {"manager": "maker", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {".": {}, "f:k": {}}}}.items() <= found.items() and "time" in found})),
    case("3.11 Apply stands before Update", A, apply(config(data={"l": "w"}), has={"metadata/managedFields": managers("m Apply", "maker Update")})),
    case("3.11 what nobody may own is not there", apply(config(metadata={"name": "a", "namespace": "{ns}", "labels": {"k": "v"}}), code=201, has={"metadata/managedFields/0/fieldsV1": {"f:metadata": {"f:labels": {"f:k": {}}}}})),
    case("3.11 an empty list of managers wipes the tracking", A, put(f"{CM}/a", named("a", meta={"managedFields": []}, data={"k": "v"}), has={"metadata/managedFields": ABSENT})),
    case("3.11 so does one with an empty entry, in a patch", A, patch(f"{CM}/a", {"metadata": {"managedFields": [{}]}}, has={"metadata/managedFields": ABSENT})),
    case("3.11 none at all keeps it", A, put(f"{CM}/a", named("a", data={"k": "v"}), has={"metadata/managedFields": managers("maker Update")})),
    case("3.11 an object without tracking is taken over as before-first-apply", A, put(f"{CM}/a", named("a", meta={"managedFields": []}, data={"k": "v"})), apply(config(data={"l": "w"}), has={"metadata/managedFields": managers("m Apply", "before-first-apply Update")})),
    *(case(f"3.11 an apply is refused: {what}", A, apply(body, code=400, says=said)) for what, body, said in (("no kind", {"apiVersion": "v1", "metadata": {"name": "a"}}, "invalid object type"), ("another version", {**config(), "apiVersion": "v2"}, "invalid object type"), ("another name", config(metadata={"name": "b"}), "does not match the name on the URL"), ("managedFields", config(metadata={"name": "a", "managedFields": []}), "metadata.managedFields must be nil"))),
    case("3.11 what one applied before and no more goes", apply(config(data={"k": "v", "l": "w"}), code=201), apply(config(data={"l": "w"}), has={"data": {"l": "w"}})),
    case("3.11 unless somebody else owns it too", apply(config(data={"k": "v"}), code=201), apply(config(data={"k": "v"}), "n"), apply(config(), has={"data": {"k": "v"}, "metadata/managedFields": lambda found: [each["manager"] for each in found] == ["m", "n"] or [each["manager"] for each in found] == ["n"]})),
    case("3.11 another value of what another owns is a conflict", A, apply(config(data={"k": "w"}), code=409, says='Apply failed with 1 conflict: conflict with "maker" using v1', has={"reason": "Conflict", "details/causes/0/reason": "FieldManagerConflict", "details/causes/0/field": ".data.k"})),
    case("3.11 several conflicts, manager by manager", A, apply(config(data={"l": "w"}), "n"), apply(config(data={"k": "x", "l": "x"}), code=409, says="Apply failed with 2 conflicts: ", has={"details/causes/1/reason": "FieldManagerConflict"})),
    case("3.11 force takes it", A, apply(config(data={"k": "w"}), query="&force=true", has={"data/k": "w", "metadata/managedFields/0/fieldsV1": {"f:data": {"f:k": {}}}, "metadata/managedFields/1/fieldsV1": {"f:data": {}}})),
    case("3.11 the same value is owned by both", A, apply(config(data={"k": "v"}), has={"metadata/managedFields": managers("m Apply", "maker Update")})),
    case("3.11 what changes nothing writes nothing", apply(config(data={"k": "v"}), code=201), apply(config(data={"k": "v"}), has={"metadata/resourceVersion": "{rv}"})),
    case("3.11 a dry run creates nothing", apply(config(), query="&dryRun=All", code=201), get(f"{CM}/a", code=404)),
    case("3.11 a field that the schema does not know", apply(config(bogus=1), code=500, says=".bogus: field not declared in schema")),
    case("3.11 kubectl's own last apply is no obstacle to the next one", post(f"{CM}?fieldManager=kubectl-client-side-apply", named("a", meta={"annotations": {"kubectl.kubernetes.io/last-applied-configuration": '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"k":"v"}}'}}, data={"k": "v"})), apply(config(data={"k": "w"}), "kubectl", has={"data/k": "w"})),
    case("3.11 a change by another verb takes ownership", apply(config(data={"k": "v"}), code=201), patch(f"{CM}/a?fieldManager=u", {"data": {"k": "w"}}, has={"metadata/managedFields": managers("u Update")})),
    case("3.11 parts have entries of their own", post(DEPLOYMENTS, DEPLOYMENT), patch(f"{DEPLOYMENTS}/a/status?fieldManager=s", {"status": {"replicas": 1}}, has={"metadata/managedFields": lambda found: any(each.get("subresource") == "status" and each["manager"] == "s" for each in found)})),
]  # fmt: skip
STRICT = [
    case("3.12 by default the client is warned", post(CM, STRICT_BODY, head={"Warning": lambda text: 'unknown field \\"bogus\\"' in text and 'duplicate field \\"data.k\\"' in text})),
    case("3.12 Ignore says nothing", post(f"{CM}?fieldValidation=Ignore", STRICT_BODY, head={"Warning": ABSENT})),
    case("3.12 Strict refuses", post(f"{CM}?fieldValidation=Strict", STRICT_BODY, 400, says='strict decoding error: duplicate field "data.k", unknown field "bogus"')),
    case("3.12 anything else is 422", post(f"{CM}?fieldValidation=Bogus", STRICT_BODY, 422, says='fieldValidation: Unsupported value: "Bogus": supported values: "", "Ignore", "Strict", "Warn"')),
    case("3.12 names are case-sensitive, and lists have an index", post(f"{DEPLOYMENTS}?fieldValidation=Strict", {**DEPLOYMENT, "spec": {**DEPLOYMENT["spec"], "template": {"spec": {"containers": [{**CONTAINER, "Image": "j"}]}}}}, 400, says='unknown field "spec.template.spec.containers[0].Image"')),
    case("3.12 of a patch it is 422 on the field patch", A, patch(f"{CM}/a?fieldValidation=Strict", {"bogus": 1}, code=422, says='strict decoding error: unknown field "bogus"', has={"details/causes/0/field": "patch"})),
    case("3.12 of an apply it is 400", apply(b'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: "1", k: "2"}\n', query="&fieldValidation=Strict", code=400, says="error strict decoding YAML: ")),
    case("3.12 keys that occur twice in YAML", post(f"{CM}?fieldValidation=Strict", b"metadata: {name: a}\ndata: {k: v, k: w}", 400, sends={"Content-Type": "application/yaml"}, says="already set in map")),
]  # fmt: skip
TABLES = [
    case("3.13 a list is one Table, with the list's metadata", A, get(CM, sends=TABLE, has={**ROWS, "metadata/resourceVersion": len, "rows/0/object/kind": "PartialObjectMetadata", "columnDefinitions": columns("Name", "Data", "Age"), "columnDefinitions/0/format": "name"})),
    case("3.13 an object is a Table with one row and its revision", A, get(f"{CM}/a", sends=TABLE, has={**ROWS, "rows/0/cells/0": "a", "rows/0/cells/1": 1, "rows/1": ABSENT, "metadata/resourceVersion": "{rv}"})),
    case("3.13 the beta version for old clients", A, get(f"{CM}/a", sends=BETA, has={"apiVersion": "meta.k8s.io/v1beta1"})),
    case("3.13 includeObject=None", A, get(f"{CM}/a?includeObject=None", sends=TABLE, has={"rows/0/object": lambda found: found is None})),
    case("3.13 includeObject=Object", A, get(f"{CM}/a?includeObject=Object", sends=TABLE, has={"rows/0/object/data/k": "v"})),
    case("3.13 any other is 400", get(f"{CM}?includeObject=Bogus", code=400, sends=TABLE)),
    case("3.13 writes may be answered with Tables", post(CM, named("a"), sends=TABLE, has=ROWS), patch(f"{CM}/a", {}, {**MERGE, **TABLE}, has=ROWS), put(f"{CM}/a", named("a"), sends=TABLE, has=ROWS)),
    case("3.13 of a watch each event is a Table; columns come with the first", post(S, named("a")), post(S, named("b")), watch(f"{S}?watch=1", "ADDED", "ADDED", sends=TABLE, has={"0/object/columnDefinitions/0/name": "Name", "0/object/rows/0/cells/0": "a", "1/object/columnDefinitions": lambda found: found is None, "1/object/rows/0/cells/0": "b"})),
    case("3.13 what has no metadata has no Table", post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {"spec": {}}, 406, sends=TABLE)),
    *(case(f"3.13 columns of {path.rpartition('/')[2]}", get(path, sends=TABLE, has={"columnDefinitions": columns(*wanted.split(","))})) for path, wanted in {
        "/api/v1/namespaces": "Name,Status,Age", "/api/v1/secrets": "Name,Type,Data,Age", "/api/v1/serviceaccounts": "Name,Age", "/apis/rbac.authorization.k8s.io/v1/roles": "Name,Created At", "/apis/rbac.authorization.k8s.io/v1/rolebindings": "Name,Role,Age,Users*,Groups*,ServiceAccounts*",
        "/api/v1/events": "Last Seen,Type,Reason,Object,Subobject*,Source*,Message,First Seen*,Count*,Name*", "/apis/coordination.k8s.io/v1/leases": "Name,Holder,Age", "/api/v1/pods": "Name,Ready,Status,Restarts,Age,IP*,Node*,Nominated Node*,Readiness Gates*",
        "/api/v1/resourcequotas": "Name,Request,Limit,Age", "/api/v1/podtemplates": "Name,Containers,Images,Pod Labels", "/api/v1/limitranges": "Name,Created At",
    }.items()),
    case("3.13 ages are for people", A, get(f"{CM}/a", sends=TABLE, has={"rows/0/cells/2": re.compile(r"\d+s").fullmatch})),
    case("3.13 metadata alone", A, get(f"{CM}/a", sends=PARTIAL, has={"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata/uid": len, "data": ABSENT})),
    case("3.13 metadata alone, of a list", A, get(CM, sends=PARTIALS, has={"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "items/0/metadata/name": "a"})),
    case("3.13 of a watch it is the single form", post(S, named("a")), watch(f"{S}?watch=1", "ADDED a", sends=PARTIAL, has={"0/object/kind": "PartialObjectMetadata"})),
]  # fmt: skip
CLIENTS = [
    case("3.14 a watch of a name from 0 begins with ADDED", A, watch(f"{CM}?watch=1&resourceVersion=0&fieldSelector=metadata.name=a", "ADDED a")),
    case("3.14 a delete tells the uid", A, delete(f"{CM}/a", {"propagationPolicy": "Background"}, has={"details/uid": "{uid}"})),
    case("3.15 impersonation", get(CM, code=403, sends={"Impersonate-User": "u"}, says='configmaps is forbidden: User "u" cannot list resource "configmaps" in API group "" in the namespace "{ns}"')),
    case("3.15 groups without a user are refused", get(CM, code=400, sends={"Impersonate-Group": "g"})),
    case("3.15 a group may give the right", get(CM, sends={"Impersonate-User": "u", "Impersonate-Group": "system:masters"})),
    case("3.16 a body in CBOR is 415", post(CM, b"\xa0", 415, sends={"Content-Type": "application/cbor"})),
    case("3.16 an apply in JSON is YAML", apply(config(data={"k": "v"}), code=201)),
]  # fmt: skip


@pytest.mark.parametrize("steps", [*PATCHES, *APPLIES, *STRICT, *TABLES, *CLIENTS])
def test_patches_and_views(player: Player, steps: Sequence[Step]) -> None:
    """What changes objects where they are, and what shows less of them."""
    player.play(steps)
