"""Requirements of spec sections 2 and 3.1 to 3.7: paths, verbs, errors, negotiation, headers, discovery, OpenAPI."""

import re
from collections.abc import Sequence
from typing import Any

import pytest

from tests.conformance.play import (
    ABSENT,
    APPLY,
    CONFIGMAPS,
    LEASES,
    PARTIAL,
    PROTOBUF,
    STRATEGIC,
    TABLE,
    YAML,
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

CM = CONFIGMAPS
A = post(CM, named("a"))
NO_METHOD = {"reason": "MethodNotAllowed", "code": 405}
UNKNOWN = "the server could not find the requested resource"
NOT_SERVED = "the server does not allow this method on the requested resource"
MEDIA = "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf"
BODIES = "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf"
REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch
V2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
STATUS = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}


def is_text(value: Any) -> bool:
    return isinstance(value, str)


def asks(accept: str) -> dict[str, str]:
    return {"Accept": accept}


def sent_as(content_type: str) -> dict[str, str]:
    return {"Content-Type": content_type}


def typed(media: str) -> dict[str, str]:
    return {"Content-Type": media}


CLIENTS = [
    case("2.1 every 2xx has a body, also a DELETE's", A, delete(f"{CM}/a", head={"Content-Length": lambda text: int(text) > 0})),
    case("2.1 the Accept of generated clients", A, get(f"{CM}/a", sends=asks(f"{PROTOBUF},application/json"), head=typed(PROTOBUF))),
    case("2.1 the three clauses of the metadata client", A, get(f"{CM}/a", sends=asks(f"{PROTOBUF};as=PartialObjectMetadata;g=meta.k8s.io;v=v1,{PARTIAL['Accept']},application/json"), head=typed(PROTOBUF))),
    case("2.8 a Lease with a stale resourceVersion is 409", post(LEASES, named("a", spec={"holderIdentity": "x"})), put(f"{LEASES}/a", named("a", meta={"resourceVersion": "1"}, spec={}), 409)),
    case("2.8 a Lease without one is 422", post(LEASES, named("a", spec={})), put(f"{LEASES}/a", named("a", spec={}), 422)),
    case("2.8 of two creates one is 201", post(LEASES, named("a", spec={})), post(LEASES, named("a", spec={}), 409, has={"reason": "AlreadyExists"})),
    case("2.8 times of a Lease have six digits", post(LEASES, named("a", spec={"renewTime": "2024-01-02T03:04:05.120000Z"}), has={"spec/renewTime": "2024-01-02T03:04:05.120000Z"})),
    case("2.9 metadata alone can be read, patched and deleted", A, get(f"{CM}/a", sends=PARTIAL, has={"kind": "PartialObjectMetadata"}), patch(f"{CM}/a", {"metadata": {"labels": {"k": "v"}}}, {**STRATEGIC, **PARTIAL}, has={"kind": "PartialObjectMetadata", "metadata/labels/k": "v"}), delete(f"{CM}/a", sends=PARTIAL)),
    case("2.9 owners are taken out by a strategic merge with the uid", post(CM, named("a", meta={"ownerReferences": [{"apiVersion": "v1", "kind": "K", "name": "o", "uid": "u"}]})), patch(f"{CM}/a", {"metadata": {"uid": "{uid}", "ownerReferences": [{"$patch": "delete", "uid": "u"}]}}, STRATEGIC, has={"metadata/ownerReferences": ABSENT})),
    case("2.12 namespaced resources that can be deleted are announced", get("/api/v1", has={"resources": lambda found: any(each["namespaced"] and "delete" in each["verbs"] for each in found)})),
]  # fmt: skip
PATHS = [
    *(case(f"3.1 {path} works with a slash at its end", get(path), get(f"{path}/")) for path in ("/api", "/apis", "/version", "/apis/apps", "/apis/apps/v1", "/api/v1")),
    case("3.1 a collection and an object, too", A, get(f"{CM}/"), get(f"{CM}/a/")),
    case("3.1 a path that nobody serves is plain text", get("/bogus", code=404, says="404 page not found", head={"Content-Type": "text/plain; charset=utf-8"})),
    case("3.1 so is a group that nobody serves", get("/apis/bogus.example.com/v1/things", code=404, says="404 page not found")),
    case("3.1 an unknown name of a known resource is a Status", get(f"{CM}/a", code=404, says='configmaps "a" not found', has={**STATUS, "reason": "NotFound"})),
    *(case(f"3.1 nothing is at {path}", get(path, code=404, says=UNKNOWN)) for path in ("/api/v1/bogus", "/api/v1/configmaps/a", "/api/v1/namespaces/{ns}/nodes", "/api/v1/namespaces//configmaps", f"{CM}/a/bogus", f"{CM}/a//", "/api/v1/ConfigMaps", "/apis/apps/v9/deployments")),
    case("3.1 a namespace's status is a part of it, not a resource in it", get("/api/v1/namespaces/{ns}/status", has={"kind": "Namespace"})),
    *(case(f"3.1 {step.method} {step.path} is 405", A, step) for step in (post("/api/v1/configmaps", {}, 405), post(f"{CM}/a", {}, 405), put(CM, {}, 405), patch(CM, {}, code=405), delete("/api/v1/configmaps", code=405), delete("/version", code=405), post("/apis", {}, 405), get(f"{REVIEW}", code=405, says=NOT_SERVED, has=NO_METHOD), Step("OPTIONS", CM, code=405), Step("CONNECT", "/healthz", code=405))),
    case("3.1 of a key that is repeated the first value counts", post(f"{CM}?dryRun=All&dryRun=All", named("a")), post(CM, named("b", meta={"labels": {"k": "b"}})), get(f"{CM}?labelSelector=k=b&labelSelector=k=c", has={"items/0/metadata/name": "b"})),
    case("3.1 unknown keys are ignored", get(f"{CM}?bogus=1&%00=%ff")),
    case("3.1 names may be escaped", A, get("/api/v1/namespaces/{ns}/configmaps/%61", has={"metadata/name": "a"})),
    case("3.1 the root lists paths", get("/", has={"paths": lambda found: "/api/v1" in found and "/apis/apps/v1" in found})),
    *(case(f"3.1 {path} is ok", get(path, says="ok")) for path in ("/healthz", "/livez", "/readyz")),
    case("3.1 with verbose it is a list", get("/readyz?verbose", says="[+]ping ok")),
    case("3.1 the version is one that clients can compare", get("/version", has={"major": "1", "minor": re.compile(r"\d+\+?").fullmatch, "gitVersion": re.compile(r"v1\.\d+\.\d+.*").match, "buildDate": str, **dict.fromkeys(("platform", "goVersion", "compiler", "gitCommit", "gitTreeState"), is_text)})),
    case("3.1 keys of accounts' tokens are published", get("/.well-known/openid-configuration", has={"jwks_uri": str, "issuer": str}), get("/openid/v1/jwks", has={"keys/0/kid": str})),
]  # fmt: skip
ERRORS = [
    case("3.2 a Status says what, why and the code", get(f"{CM}/a", code=404, has={**STATUS, "reason": "NotFound", "code": 404, "details": {"name": "a", "kind": "configmaps"}})),
    case("3.2 other groups qualify the resource", get(f"{LEASES}/a", code=404, says='leases.coordination.k8s.io "a" not found', has={"details": {"name": "a", "group": "coordination.k8s.io", "kind": "leases"}})),
    case("3.2 Invalid names the kind, and has a cause for each field", post(LEASES, named("A", spec={"leaseDurationSeconds": 0}), 422, has={"details/kind": "Lease", "details/group": "coordination.k8s.io", "details/causes/0/field": str, "details/causes/1/reason": "FieldValueInvalid"}, says='Lease.coordination.k8s.io "A" is invalid: [')),
    case("3.2 403 and 401 forbid to guess types", get(CM, code=401, sends={"Authorization": "Bearer no"}, says="Unauthorized", head={"X-Content-Type-Options": "nosniff"}, has={"reason": "Unauthorized"})),
    case("3.2 the code of the body is that of the answer", post(CM, named("A"), 422, has={"code": 422, "reason": "Invalid"})),
    case("3.2 Retry-After is what the details say", get(f"{CM}?resourceVersion=9000000000000000000", code=504, has={"details/retryAfterSeconds": 1}, head={"Retry-After": "1"})),
    case("3.2 an error that nobody reads in another form is JSON", get(f"{CM}/a", code=404, sends=TABLE, has=STATUS, head=typed("application/json"))),
    case("3.2 who reads protobuf gets errors in it", get(f"{CM}/a", code=404, sends=asks(f"{PROTOBUF},application/json"), head=typed(PROTOBUF))),
]  # fmt: skip
ACCEPTED = {
    "": "application/json", "*/*": "application/json", "application/*": "application/json", "application/json;charset=utf-8": "application/json", "application/json;q=0.1": "application/json",
    "application/json; pretty=1; profile=x": "application/json", "text/html,application/xhtml+xml,*/*;q=0.8": "application/json", "application/cbor,application/json": "application/json",
    "application/json;as=Bogus,application/json": "application/json", "application/yaml": "application/yaml", PROTOBUF: PROTOBUF, f"{PROTOBUF},application/json": PROTOBUF,
    "APPLICATION/JSON": "application/json", TABLE["Accept"].replace("json;", "yaml;"): "application/yaml",
}  # fmt: skip
REFUSED = (
    "text/html",
    "application/cbor",
    "application/json;as=Table",
    "application/json;as=Table;g=meta.k8s.io;v=v9",
    f"{PROTOBUF};as=Table;g=meta.k8s.io;v=v1",
    "application/json;as=Bogus",
    ",",
)
NEGOTIATION = [
    *(case(f"3.3 Accept {accept!r} is answered with {media}", A, get(f"{CM}/a", sends=asks(accept), head=typed(media)), get(CM, sends=asks(accept), head=typed(media))) for accept, media in ACCEPTED.items()),
    *(case(f"3.3 Accept {accept!r} is 406", A, get(f"{CM}/a", code=406, sends=asks(accept))) for accept in REFUSED),
    case("3.3 406 lists what there is", get(CM, code=406, sends=asks("text/html"), says=MEDIA, has={"reason": "NotAcceptable"})),
    case("3.3 a watch is no YAML", get(f"{CM}?watch=1", code=406, sends=asks("application/yaml"), says="application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch")),
    *(case(f"3.3 a body of type {media!r} is JSON", post(CM, named("a"), sends=sent_as(media))) for media in ("", "application/json", "application/json; charset=utf-8")),
    *(case(f"3.3 a body of type {media!r} is 415", post(CM, named("a"), 415, sends=sent_as(media), says=BODIES, has={"reason": "UnsupportedMediaType"})) for media in ("text/plain", "application/cbor", "*/*", "application/xml")),
    case("3.3 the type of no body does not matter", get(CM, sends=sent_as("*/*")), get("/version", sends=sent_as("*/*"))),
    case("3.3 a body in YAML", post(CM, b"metadata: {name: a}\ndata: {k: v}", sends=YAML, has={"data/k": "v"})),
    case("3.3 of YAML one document", post(CM, b"metadata: {name: a}\n---\nmetadata: {name: b}", 400, sends=YAML)),
    *(case(f"3.3 a body that is {what} is 400", post(CM, body, 400, has={"reason": "BadRequest"})) for what, body in {"empty": b"", "a list": b"[]", "a text": b'"x"', "cut": b'{"a":', "two": b"{}{}", "no number": b'{"a":NaN}', "nested": b'{"a":' * 5000 + b"1" + b"}" * 5000, "no text": b'{"a":"\xff"}'}.items()),
    case("3.3 kind and apiVersion may be left out", post(CM, named("a"), has={"kind": "ConfigMap", "apiVersion": "v1"})),
    case("3.3 null is an empty object", post(CM, b"null", 422, says="name or generateName is required")),
    case("3.3 a kind that does not exist", post(CM, {**named("a"), "kind": "Bogus", "apiVersion": "v1"}, 400, says='no kind "Bogus" is registered for version "v1"')),
    case("3.3 a version that does not exist", post(CM, {**named("a"), "kind": "ConfigMap", "apiVersion": "v2"}, 400, says='no kind "ConfigMap" is registered for version "v2"')),
    case("3.3 a kind of another group", post(CM, {**named("a"), "kind": "Deployment", "apiVersion": "apps/v1"}, 400, says='Deployment in version "v1" cannot be handled as a ConfigMap: converting (v1.Deployment) to (core.ConfigMap): unknown conversion')),
    case("3.3 another version of the kind", post("/apis/autoscaling/v2/namespaces/{ns}/horizontalpodautoscalers", {**named("a"), "kind": "HorizontalPodAutoscaler", "apiVersion": "autoscaling/v1"}, 400, says="the API version in the data (autoscaling/v1) does not match the expected API version (autoscaling/v2)")),
    case("3.4 a body in protobuf", post(CM, b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09ConfigMap\x12\x05\x0a\x03\x0a\x01a", sends=sent_as(PROTOBUF), has={"metadata/name": "a"})),
    case("3.4 what only begins like it is 400", post(CM, b"k8s\0\xff\xff", 400, sends=sent_as(PROTOBUF))),
]  # fmt: skip
HEADERS = [
    case("3.5 large answers are compressed for whom that is fine", post(CM, named("a", data={"k": "x" * 200_000})), get(f"{CM}/a", sends={"Accept-Encoding": "gzip"}, head={"Content-Encoding": "gzip", "Vary": "Accept-Encoding"})),
    case("3.5 small ones are not", A, get(f"{CM}/a", sends={"Accept-Encoding": "gzip"}, head={"Content-Encoding": ABSENT})),
    case("3.5 large ones neither, unasked", post(CM, named("a", data={"k": "x" * 200_000})), get(f"{CM}/a", head={"Content-Encoding": ABSENT})),
    *(case(f"3.5 timeout={text} is no duration", get(f"{CM}?timeout={text}", code=400, says=f'invalid timeout specified in the request URL - time: invalid duration "{text}"')) for text in ("5", "soon", "1y")),
    case("3.5 a long timeout is taken", get(f"{CM}?timeout=10h"), get(f"{CM}?timeout=0s")),
    case("3.5 every answer has an Audit-Id and is not to be cached", get(CM, head={"Audit-Id": UUID, "Cache-Control": "no-cache, private", "Date": str})),
    case("3.5 the Audit-ID of the request comes back", get(CM, sends={"Audit-ID": "mine"}, head={"Audit-Id": "mine"})),
    *(case(f"3.5 {what} is indented", A, get(f"{CM}/a{query}", sends=sends, says='\n  "kind": "ConfigMap"')) for what, query, sends in (("pretty=1", "?pretty=1", {}), ("pretty=true", "?pretty=true", {}), ("what curl gets", "", {"User-Agent": "curl/8"}), ("what Wget gets", "", {"User-Agent": "Wget/1"}), ("what a browser gets", "", {"User-Agent": "Mozilla/5.0"}))),
    case("3.5 pretty=false is compact for everybody", A, get(f"{CM}/a?pretty=false", sends={"User-Agent": "curl/8"}, says='{"kind":"ConfigMap"')),
    case("3.5 warnings are 299 with a quoted text", post(CM, {**named("a"), "bogus": 1}, head={"Warning": '299 - "unknown field \\"bogus\\""'})),
    case("3.5 one that is said twice is said once", patch(f"{CM}/a?fieldManager=m", b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"k":"1","k":"2","k":"3"}}', APPLY, code=201, head={"Warning": '299 - "duplicate field \\"data.k\\""'})),
]  # fmt: skip
CONFIGMAP_ENTRY = '{"name":"configmaps","singularName":"configmap","namespaced":true,"kind":"ConfigMap","verbs":["create","delete","deletecollection","get","list","patch","update","watch"]'


def resource(plural: str, **wanted: Any) -> Any:
    def judge(entries: Any) -> bool:
        entry = next(each for each in entries if each["name"] == plural)
        return all(entry[key] == value for key, value in wanted.items())

    return judge


DISCOVERY = [
    case("3.6 /api", get("/api", has={"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})),
    case("3.6 /apis: the preferred version is one of the versions", get("/apis", has={"kind": "APIGroupList", "apiVersion": "v1", "groups": lambda groups: all(group["preferredVersion"] in group["versions"] for group in groups)})),
    case("3.6 /apis/G", get("/apis/apps", has={"kind": "APIGroup", "name": "apps", "preferredVersion": {"groupVersion": "apps/v1", "version": "v1"}})),
    case("3.6 /apis/G/V: every entry has the five keys that clients read", get("/apis/apps/v1", has={"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "apps/v1", "resources": lambda entries: all({"name", "singularName", "namespaced", "kind", "verbs"} <= entry.keys() for entry in entries)})),
    case("3.6 the entry of ConfigMaps, letter by letter", get("/api/v1", says=CONFIGMAP_ENTRY)),
    case("3.6 parts have entries", get("/api/v1", has={"resources": resource("pods/status", singularName="", kind="Pod")})),
    case("3.6 reviews are created, and nothing else", get("/apis/authorization.k8s.io/v1", has={"resources": resource("selfsubjectaccessreviews", verbs=["create"])})),
    case("3.6 namespaces have no deletecollection", get("/api/v1", has={"resources": resource("namespaces", verbs=["create", "delete", "get", "list", "patch", "update", "watch"])})),
    *(case(f"3.6 {plural} is called {short}", get(path, has={"resources": resource(plural, shortNames=short)})) for plural, short, path in (("configmaps", ["cm"], "/api/v1"), ("namespaces", ["ns"], "/api/v1"), ("serviceaccounts", ["sa"], "/api/v1"), ("resourcequotas", ["quota"], "/api/v1"), ("customresourcedefinitions", ["crd", "crds"], "/apis/apiextensions.k8s.io/v1"), ("deployments", ["deploy"], "/apis/apps/v1"))),
    *(case(f"3.6 {path} in one document, whose type says what it is", get(path, sends=asks(f"{V2},application/json"), head=typed(V2), has={"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "items/0/versions/0/freshness": "Current", "items/0/versions/0/resources/0/responseKind": lambda found: found.keys() == {"group", "version", "kind"}})) for path in ("/api", "/apis")),
    case("3.6 v2beta1 is gone, and clients fall back", get("/apis", sends=asks("application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"), head=typed("application/json"))),
    case("3.6 what has not changed is not sent again", get("/apis", head={"ETag": str}, sends=asks(V2))),
    *(case(f"3.6 {path} in protobuf", get(path, sends=asks(PROTOBUF), says="k8s\0", head=typed(PROTOBUF))) for path in ("/api", "/apis", "/apis/apps", "/apis/apps/v1", "/api/v1")),
    case("3.6 the one document in protobuf", get("/apis", sends=asks(V2.replace("json", "vnd.kubernetes.protobuf")), says="k8s\0", head=typed(V2.replace("json", "vnd.kubernetes.protobuf")))),
    case("3.7 the root of OpenAPI leads to each group version, with a hash", get("/openapi/v3", has={"paths/api~1v1": ABSENT, "paths": lambda found: "hash=" in found["apis/apps/v1"]["serverRelativeURL"]})),
    case("3.7 the PATCH of a kind tells kubectl of fieldValidation and of strategic merges", get("/openapi/v3/api/v1", has={"openapi": str, "paths": lambda found: any("application/strategic-merge-patch+json" in path["patch"]["requestBody"]["content"] and "fieldValidation" in str(path) for path in found.values() if "patch" in path)})),
    case("3.7 v2 in the protobuf that kubectl asks for", get("/openapi/v2", sends=asks("application/com.github.proto-openapi.spec.v2@v1.0+protobuf"), head=typed("application/com.github.proto-openapi.spec.v2.v1.0+protobuf"))),
    case("3.7 v2 in JSON", get("/openapi/v2", has={"swagger": "2.0"})),
]  # fmt: skip


@pytest.mark.parametrize("steps", [*CLIENTS, *PATHS, *ERRORS, *NEGOTIATION, *HEADERS, *DISCOVERY])
def test_http(player: Player, steps: Sequence[Step]) -> None:
    """What clients rely on below all kinds."""
    player.play(steps)
