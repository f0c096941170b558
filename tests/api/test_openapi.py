"""apiserver/openapi.py and its parts: the documents hold what kubectl looks for, and both versions say the same.

The version 2 message is read back with the official protobuf library, through a descriptor made here from the field
numbers of gnostic's openapiv2/OpenAPIv2.proto.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import orjson
import pytest
import yaml
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet
from verger.apiserver.openapi import V2_PROTOBUF, V2_PROTOBUF_ASKED, Document, OpenApi
from verger.store.kinds import Kind, Kinds, Subresource, built_in
from verger.store.schemas import Schemas, TypeRef, load

META = "io.k8s.apimachinery.pkg.apis.meta.v1"
GVK = "x-kubernetes-group-version-kind"
REF = "#/components/schemas/"
PATCHES = {
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
}
ALL_VERBS = frozenset(
    {"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
)
METHODS = {
    "create": "post",
    "delete": "delete",
    "deletecollection": "delete",
    "get": "get",
    "list": "get",
    "patch": "patch",
    "update": "put",
    "watch": "get",
}


def make(kinds: Kinds) -> OpenApi:
    return OpenApi(kinds, load(), version="v1.36.0")


def widget(group: str = "shop.example.com", subresources: Sequence[Subresource] = ()) -> Kind:
    return Kind(
        group=group,
        version="v1",
        kind="Widget",
        plural="widgets",
        singular="widget",
        namespaced=True,
        verbs=ALL_VERBS,
        type_name="",
        subresources={sub.name: sub for sub in subresources},
    )


def served(openapi: OpenApi, path: str) -> Document:
    document = openapi.group_version(path)
    assert document is not None, path
    return document


def parsed(openapi: OpenApi, path: str) -> dict[str, Any]:
    return orjson.loads(served(openapi, path).body)


def prefix(kind: Kind) -> str:
    return f"apis/{kind.group}/{kind.version}" if kind.group else f"api/{kind.version}"


KINDS = built_in()
KINDS.add(widget())
KINDS.add(
    widget(
        "parts.example.com",
        [
            Subresource("status", "", "", "Widget", ("get", "patch", "update")),
            Subresource("scale", "autoscaling", "v1", "Scale", ("get", "patch", "update")),
        ],
    )
)
OPENAPI = make(KINDS)
DOCUMENTS = {path: parsed(OPENAPI, path) for path in orjson.loads(OPENAPI.root().body)["paths"]}
V2 = orjson.loads(OPENAPI.v2_json().body)


def operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                yield path, method, operation


def refs(value: Any) -> Iterator[str]:
    # A property may be called $ref too, and then it is an object.
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for member in value.values():
            yield from refs(member)
    elif isinstance(value, list):
        for member in value:
            yield from refs(member)


def query(operation: Mapping[str, Any]) -> set[str]:
    return {each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"}


def test_every_patch_tells_its_kind_and_that_fields_are_checked() -> None:
    """kubectl leaves the check of fields to the server if the kind's PATCH has the parameter fieldValidation."""
    missing = []
    for kind in KINDS:
        if "patch" not in kind.verbs:
            continue
        names = {"group": kind.group, "version": kind.version, "kind": kind.kind}
        found = [
            operation
            for _, method, operation in operations(DOCUMENTS[prefix(kind)])
            if method == "patch" and operation.get(GVK) == names
        ]
        wanted = {"dryRun", "fieldManager", "fieldValidation", "force", "pretty"}
        if not found or any(query(operation) != wanted for operation in found):
            missing.append(kind)
    assert missing == []


def test_every_patch_lists_its_content_types() -> None:
    """kubectl sends a strategic merge patch only where the operation lists it; custom kinds take the other three."""
    wrong = []
    for document in DOCUMENTS.values():
        for path, method, operation in operations(document):
            if method != "patch" or operation["x-kubernetes-action"] == "connect":
                continue
            custom = ".example.com/" in path
            types = PATCHES - ({"application/strategic-merge-patch+json"} if custom else set())
            if set(operation["requestBody"]["content"]) != types:
                wrong.append(path)
    assert wrong == []


def expected_operations(kind: Kind) -> Iterator[tuple[str, str]]:
    base = f"/{prefix(kind)}"
    inside = f"{base}/namespaces/{{namespace}}" if kind.namespaced else base
    for verb in kind.verbs:
        on_object = verb in {"get", "update", "patch", "delete"}
        yield f"{inside}/{kind.plural}{'/{name}' if on_object else ''}", METHODS[verb]
        if verb in {"list", "watch"} and kind.namespaced:
            yield f"{base}/{kind.plural}", "get"
    for sub in kind.subresources.values():
        for verb in sub.verbs:
            yield f"{inside}/{kind.plural}/{{name}}/{sub.name}", METHODS[verb]


def test_the_documents_hold_every_verb_and_nothing_else() -> None:
    """Each verb of each resource and subresource is an operation, and each operation is one of those."""
    for path in {prefix(kind) for kind in KINDS}:
        expected = {
            pair for kind in KINDS if prefix(kind) == path for pair in expected_operations(kind)
        }
        found = {(path, method) for path, method, _ in operations(DOCUMENTS[path])}
        assert found == expected | {(f"/{path}/", "get")}


def test_both_versions_describe_the_same_operations() -> None:
    """Version 2 has the operations of all version 3 documents of groups and versions."""
    second = {(path, method) for path, method, _ in operations(V2)}
    third = {
        (path, method) for kind in KINDS for path, method, _ in operations(DOCUMENTS[prefix(kind)])
    }
    assert second == third


@pytest.mark.parametrize(
    ("path", "method", "action", "names"),
    [
        pytest.param(
            "/api/v1/namespaces/{namespace}/configmaps",
            "get",
            "list",
            ("", "v1", "ConfigMap"),
            id="a list has its own action",
        ),
        pytest.param(
            "/api/v1/namespaces/{namespace}/configmaps",
            "post",
            "post",
            ("", "v1", "ConfigMap"),
            id="a create is called post",
        ),
        pytest.param(
            "/api/v1/namespaces/{namespace}/configmaps",
            "delete",
            "deletecollection",
            ("", "v1", "ConfigMap"),
            id="a delete of a collection is told from a delete",
        ),
        pytest.param(
            "/api/v1/namespaces/{name}/finalize",
            "put",
            "put",
            ("", "v1", "Namespace"),
            id="a namespace's subresource is not inside the namespace",
        ),
        pytest.param(
            "/api/v1/namespaces/{namespace}/replicationcontrollers/{name}/scale",
            "patch",
            "patch",
            ("autoscaling", "v1", "Scale"),
            id="a scale is of its own group's kind",
        ),
        pytest.param(
            "/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token",
            "post",
            "post",
            ("authentication.k8s.io", "v1", "TokenRequest"),
            id="a token is asked for with a TokenRequest",
        ),
        pytest.param(
            "/api/v1/namespaces/{namespace}/pods/{name}/exec",
            "post",
            "connect",
            ("", "v1", "PodExecOptions"),
            id="a connection is an action of its own",
        ),
    ],
)
def test_operations_name_their_action_and_kind(
    path: str, method: str, action: str, names: tuple[str, str, str]
) -> None:
    """An operation says what it does, and the kind of the body that it takes."""
    operation = DOCUMENTS["api/v1"]["paths"][path][method]
    assert operation["x-kubernetes-action"] == action
    assert operation[GVK] == dict(zip(("group", "version", "kind"), names, strict=True))


def test_every_placeholder_of_a_path_is_a_parameter() -> None:
    """OpenAPI wants each `{name}` of a path declared, and nothing declared that is not there."""
    wrong = []
    for document in (*DOCUMENTS.values(), V2):
        for path, item in document["paths"].items():
            declared = {each["name"] for each in item.get("parameters", ())}
            if declared != {part[1:-1] for part in path.split("/") if part.startswith("{")}:
                wrong.append(path)
    assert wrong == []


def test_every_reference_resolves() -> None:
    """A document is closed: what a `$ref` names is in it."""
    for document in DOCUMENTS.values():
        schemas = document["components"]["schemas"]
        assert {name.removeprefix(REF) for name in refs(document)} <= set(schemas)
    assert {name.removeprefix("#/definitions/") for name in refs(V2)} <= set(V2["definitions"])


def members(ref: TypeRef | None) -> Iterator[str]:
    while ref:
        if ref.name:
            yield ref.name
        ref = ref.item


def closure(name: str, found: set[str]) -> set[str]:
    if name not in found:
        found.add(name)
        for field in load().type(name).fields.values():
            for member in members(field.type):
                closure(member, found)
    return found


def test_every_type_that_a_kind_leads_to_is_there() -> None:
    """The documents hold the types of their kinds, the lists of these, and every type of a field of those."""
    for kind in KINDS:
        if kind.type_name not in load():
            continue
        wanted = closure(kind.type_name, set())
        if "list" in kind.verbs:
            closure(f"{kind.type_name}List", wanted)
        assert wanted <= set(DOCUMENTS[prefix(kind)]["components"]["schemas"])
        assert wanted <= set(V2["definitions"])


CONTAINER = "io.k8s.api.core.v1.Container"
POD_SPEC = "io.k8s.api.core.v1.PodSpec"


@pytest.mark.parametrize(
    ("document", "name", "third", "second"),
    [
        pytest.param(
            "api/v1",
            f"{POD_SPEC}.containers",
            {
                "type": "array",
                "items": {"$ref": REF + CONTAINER},
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
                "x-kubernetes-patch-strategy": "merge",
                "x-kubernetes-patch-merge-key": "name",
            },
            {"items": {"$ref": f"#/definitions/{CONTAINER}"}},
            id="a list that is merged by a key",
        ),
        pytest.param(
            "apis/apps/v1",
            "io.k8s.api.apps.v1.DeploymentSpec.strategy",
            {
                "allOf": [{"$ref": f"{REF}io.k8s.api.apps.v1.DeploymentStrategy"}],
                "x-kubernetes-patch-strategy": "retainKeys",
            },
            {"allOf": None, "$ref": "#/definitions/io.k8s.api.apps.v1.DeploymentStrategy"},
            id="a reference with facts beside it",
        ),
        pytest.param(
            "apis/apps/v1",
            "io.k8s.api.core.v1.Volume.configMap",
            {"$ref": f"{REF}io.k8s.api.core.v1.ConfigMapVolumeSource"},
            {"$ref": "#/definitions/io.k8s.api.core.v1.ConfigMapVolumeSource"},
            id="a bare reference",
        ),
        pytest.param(
            "api/v1",
            f"{POD_SPEC}.nodeSelector",
            {
                "type": "object",
                "additionalProperties": {"type": "string"},
                "x-kubernetes-map-type": "atomic",
            },
            {},
            id="a map that is replaced as a whole",
        ),
        pytest.param(
            "api/v1",
            f"{POD_SPEC}.activeDeadlineSeconds",
            {"type": "integer", "format": "int64"},
            {},
            id="a number with a format",
        ),
        pytest.param(
            "api/v1",
            "io.k8s.api.core.v1.Secret.data",
            {"type": "object", "additionalProperties": {"type": "string", "format": "byte"}},
            {},
            id="bytes",
        ),
    ],
)
def test_fields_carry_their_facts(
    document: str, name: str, third: dict[str, Any], second: dict[str, Any]
) -> None:
    """Types and merge facts are written as kubectl reads them; version 2 differs only in its references."""
    kind, _, field = name.rpartition(".")
    assert DOCUMENTS[document]["components"]["schemas"][kind]["properties"][field] == third
    both = {key: value for key, value in {**third, **second}.items() if value is not None}
    assert V2["definitions"][kind]["properties"][field] == both


@pytest.mark.parametrize(
    ("name", "third", "second"),
    [
        pytest.param(
            "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
            {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]},
            {"type": "string", "format": "int-or-string"},
            id="a number or a string",
        ),
        pytest.param(
            "io.k8s.apimachinery.pkg.api.resource.Quantity",
            {"type": "string"},
            {"type": "string"},
            id="a quantity",
        ),
        pytest.param(
            f"{META}.Time",
            {"type": "string", "format": "date-time"},
            {"type": "string", "format": "date-time"},
            id="a time",
        ),
        pytest.param(
            f"{META}.FieldsV1", {"type": "object"}, {"type": "object"}, id="an open object"
        ),
    ],
)
def test_types_that_are_no_objects(
    name: str, third: dict[str, Any], second: dict[str, Any]
) -> None:
    """Scalars with a name are definitions of their own."""
    assert DOCUMENTS["api/v1"]["components"]["schemas"][name] == third
    assert V2["definitions"][name] == second


def test_kinds_and_required_fields_of_a_definition() -> None:
    """A definition lists the kinds that it describes, and the fields that must be there."""
    found = DOCUMENTS["apis/apps/v1"]["components"]["schemas"]
    names = {"group": "apps", "kind": "Deployment", "version": "v1"}
    assert found["io.k8s.api.apps.v1.Deployment"][GVK] == [names]
    assert sorted(found["io.k8s.api.apps.v1.DeploymentSpec"]["required"]) == [
        "selector",
        "template",
    ]
    assert GVK not in found["io.k8s.api.apps.v1.DeploymentSpec"]


def test_a_kind_without_a_type_is_an_open_object() -> None:
    """A custom kind is described by its metadata, and may hold anything else; its name is the group reversed."""
    name = "com.example.shop.v1.Widget"
    schemas = DOCUMENTS["apis/shop.example.com/v1"]["components"]["schemas"]
    assert schemas[name] == {
        "type": "object",
        GVK: [{"group": "shop.example.com", "kind": "Widget", "version": "v1"}],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"$ref": f"{REF}{META}.ObjectMeta"},
        },
        "x-kubernetes-preserve-unknown-fields": True,
    }
    assert schemas[f"{name}List"]["properties"]["items"]["items"] == {"$ref": REF + name}
    assert "properties" not in V2["definitions"][name]


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(b"list of returned", id="selectors"),
        pytest.param(b"List of services", id="items of a list"),
        pytest.param(b"Watch for changes to the described resources", id="watch"),
    ],
)
def test_words_that_clients_look_for(words: bytes) -> None:
    """upstream: test/cmd, run_swagger_tests greps these out of the JSON of version 2."""
    assert words in OPENAPI.v2_json().body


def test_the_root_lists_every_document() -> None:
    """Each group, each version and the server itself has a document, at a URL that names what it is made from."""
    paths = orjson.loads(OPENAPI.root().body)["paths"]
    groups = {f"apis/{kind.group}" for kind in KINDS if kind.group}
    assert set(paths) == {prefix(kind) for kind in KINDS} | groups | {"api", "apis", "version"}
    for path, entry in paths.items():
        start, _, stamp = entry["serverRelativeURL"].partition("?hash=")
        assert start == f"/openapi/v3/{path}"
        assert stamp
        assert DOCUMENTS[path]["openapi"] == "3.0.0"
        assert DOCUMENTS[path]["info"] == {"title": "Kubernetes", "version": "v1.36.0"}


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        pytest.param("api", f"{META}.APIVersions", id="versions of the core group"),
        pytest.param("apis", f"{META}.APIGroupList", id="groups"),
        pytest.param("apis/apps", f"{META}.APIGroup", id="one group"),
        pytest.param("version", "io.k8s.apimachinery.pkg.version.Info", id="version"),
    ],
)
def test_paths_that_describe_the_server(path: str, answer: str) -> None:
    """Discovery has documents too, with the types of its answers."""
    assert set(DOCUMENTS[path]["paths"]) == {f"/{path}/"}
    assert answer in DOCUMENTS[path]["components"]["schemas"]


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("", id="nothing"),
        pytest.param("api/v2", id="an unknown version"),
        pytest.param("apis/nowhere.example.com/v1", id="an unknown group"),
        pytest.param("/v3", id="the name of a document that is kept beside them"),
        pytest.param("/v2 json", id="the name of the version 2 document"),
    ],
)
def test_what_is_not_served_has_no_document(path: str) -> None:
    """A path that no kind stands behind is not found, even when the plane keeps something of that name."""
    assert OPENAPI.group_version(path) is None


def test_the_root_builds_no_document() -> None:
    """kubectl asks for the root before each write: it must cost nothing but the names of the kinds."""
    schemas = Schemas()
    OpenApi(built_in(), schemas, version="v1.36.0").root()
    assert schemas._types == {}


WHOLE: list[Callable[[OpenApi], Document]] = [
    OpenApi.root,
    OpenApi.v2_json,
    OpenApi.v2_protobuf,
]


def test_documents_are_kept_and_alike_in_every_plane() -> None:
    """A document is built once, and two planes with the same kinds agree on its bytes and ETag."""
    first, second = make(built_in()), make(built_in())
    for get in (*WHOLE, lambda openapi: served(openapi, "api/v1")):
        kept = get(first)
        assert get(first) is kept
        assert get(second) == kept
        assert kept.etag.startswith('"')
        assert kept.etag.endswith('"')
    assert len({get(first).etag for get in WHOLE}) == len(WHOLE)


def test_documents_are_alike_after_a_restart() -> None:
    """What clients keep stays valid: nothing in a document hangs on the order of a set, which changes by process."""
    script = (
        "from verger.apiserver.openapi import OpenApi\n"
        "from verger.store.kinds import built_in\n"
        "from verger.store.schemas import load\n"
        "openapi = OpenApi(built_in(), load(), version='v1.36.0')\n"
        "found = [openapi.root(), openapi.v2_protobuf(), openapi.group_version('api/v1')]\n"
        "print(*(document.etag for document in found))\n"
    )

    def run(seed: str) -> list[str]:
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, check=True
        )
        return done.stdout.split()

    assert run("1") == run("2")


@pytest.mark.parametrize(
    ("kind", "changed"),
    [
        pytest.param(widget(), {"apis/shop.example.com/v1"}, id="a new group"),
        pytest.param(widget("apps"), {"apis/apps/v1"}, id="a group that is there"),
    ],
)
def test_a_new_kind_changes_what_shows_it_and_nothing_else(kind: Kind, changed: set[str]) -> None:
    """Documents of other versions stay as they are; those of the whole server and of the kind's version change."""
    kinds = built_in()
    openapi = make(kinds)
    paths = ("api/v1", "apis/apps/v1", "apis/shop.example.com/v1")

    def state() -> tuple[dict[str, Document | None], dict[str, Any], list[str]]:
        urls = orjson.loads(openapi.root().body)["paths"]
        whole = [get(openapi).etag for get in WHOLE]
        return {path: openapi.group_version(path) for path in paths}, urls, whole

    before, urls_before, whole_before = state()
    kinds.add(kind)
    after, urls_after, whole_after = state()
    kinds.remove(kind)
    again, urls_again, whole_again = state()

    assert {path for path in paths if before[path] is not after[path]} == changed
    assert {path for path in paths if urls_before.get(path) != urls_after.get(path)} == changed
    assert all(one != other for one, other in zip(whole_before, whole_after, strict=True))
    assert (again, urls_again, whole_again) == (before, urls_before, whole_before)


def test_the_answer_has_a_media_type_that_go_can_parse() -> None:
    """kubectl asks for a type with an @ in it, but fails on an answer of that type: no token of RFC 9110 has one."""
    assert "@" in V2_PROTOBUF_ASKED
    assert OPENAPI.v2_protobuf().media_type == V2_PROTOBUF
    assert "@" not in V2_PROTOBUF


# upstream: gnostic, openapiv2/OpenAPIv2.proto. A trailing * is a repeated field.
MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "Document": {
        "swagger": (1, "string"),
        "info": (2, "Info"),
        "paths": (8, "Paths"),
        "definitions": (9, "Definitions"),
    },
    "Info": {"title": (1, "string"), "version": (2, "string")},
    "Paths": {"path": (2, "NamedPathItem*")},
    "NamedPathItem": {"name": (1, "string"), "value": (2, "PathItem")},
    "PathItem": {
        "get": (2, "Operation"),
        "put": (3, "Operation"),
        "post": (4, "Operation"),
        "delete": (5, "Operation"),
        "patch": (8, "Operation"),
        "parameters": (9, "ParametersItem*"),
    },
    "Operation": {
        "produces": (6, "string*"),
        "consumes": (7, "string*"),
        "parameters": (8, "ParametersItem*"),
        "responses": (9, "Responses"),
        "vendor_extension": (13, "NamedAny*"),
    },
    "ParametersItem": {"parameter": (1, "Parameter")},
    "Parameter": {
        "body_parameter": (1, "BodyParameter"),
        "non_body_parameter": (2, "NonBodyParameter"),
    },
    "BodyParameter": {
        "name": (2, "string"),
        "in": (3, "string"),
        "required": (4, "bool"),
        "schema": (5, "Schema"),
    },
    "NonBodyParameter": {
        "query_parameter_sub_schema": (3, "QueryParameterSubSchema"),
        "path_parameter_sub_schema": (4, "PathParameterSubSchema"),
    },
    "QueryParameterSubSchema": {
        "in": (2, "string"),
        "description": (3, "string"),
        "name": (4, "string"),
        "type": (6, "string"),
        "uniqueItems": (20, "bool"),
    },
    "PathParameterSubSchema": {
        "required": (1, "bool"),
        "in": (2, "string"),
        "name": (4, "string"),
        "type": (5, "string"),
        "uniqueItems": (19, "bool"),
    },
    "Responses": {"response_code": (1, "NamedResponseValue*")},
    "NamedResponseValue": {"name": (1, "string"), "value": (2, "ResponseValue")},
    "ResponseValue": {"response": (1, "Response")},
    "Response": {"description": (1, "string"), "schema": (2, "SchemaItem")},
    "SchemaItem": {"schema": (1, "Schema")},
    "Definitions": {"additional_properties": (1, "NamedSchema*")},
    "NamedSchema": {"name": (1, "string"), "value": (2, "Schema")},
    "Schema": {
        "$ref": (1, "string"),
        "format": (2, "string"),
        "description": (4, "string"),
        "required": (19, "string*"),
        "additionalProperties": (21, "AdditionalPropertiesItem"),
        "type": (22, "TypeItem"),
        "items": (23, "ItemsItem"),
        "properties": (25, "Properties"),
        "vendor_extension": (31, "NamedAny*"),
    },
    "AdditionalPropertiesItem": {"schema": (1, "Schema")},
    "TypeItem": {"value": (1, "string*")},
    "ItemsItem": {"schema": (1, "Schema*")},
    "Properties": {"additional_properties": (1, "NamedSchema*")},
    "NamedAny": {"name": (1, "string"), "value": (2, "Any")},
    "Any": {"yaml": (2, "string")},
}
_FieldProto = descriptor_pb2.FieldDescriptorProto


def gnostic() -> type[Message]:
    """The class of the message Document."""
    file = descriptor_pb2.FileDescriptorProto(
        name="openapiv2.proto", package="openapi.v2", syntax="proto3"
    )
    scalars = {"string": _FieldProto.TYPE_STRING, "bool": _FieldProto.TYPE_BOOL}
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, written) in fields.items():
            kind = written.removesuffix("*")
            proto = message.field.add(
                name=field.replace("$", "_"),
                number=number,
                type=scalars.get(kind, _FieldProto.TYPE_MESSAGE),
                label=_FieldProto.LABEL_REPEATED if "*" in written else _FieldProto.LABEL_OPTIONAL,
            )
            if kind not in scalars:
                proto.type_name = f".openapi.v2.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("openapi.v2.Document"))


def to_json(message: Message) -> Any:
    """The JSON that a message stands for. Fields that the descriptor lacks are an error."""
    assert len(UnknownFieldSet(message)) == 0, message.DESCRIPTOR.name
    fields = {field.name: value for field, value in message.ListFields()}
    match message.DESCRIPTOR.name:
        case "TypeItem":
            (only,) = fields["value"]
            return only
        case "ItemsItem":
            (schema,) = fields["schema"]
            return to_json(schema)
        case "Any":
            return yaml.safe_load(fields["yaml"])
        case "Paths" | "Responses" | "Definitions" | "Properties":
            (entries,) = fields.values()
            return named(entries)
    if message.DESCRIPTOR.name in {
        "ParametersItem",
        "Parameter",
        "NonBodyParameter",
        "ResponseValue",
        "SchemaItem",
        "AdditionalPropertiesItem",
    }:
        (chosen,) = fields.values()
        return to_json(chosen)
    out: dict[str, Any] = named(fields.pop("vendor_extension", ()))
    for name, value in fields.items():
        key = "$ref" if name == "_ref" else name
        if isinstance(value, Message):
            out[key] = to_json(value)
        elif isinstance(value, str | bool):
            out[key] = value
        else:
            out[key] = [to_json(each) if isinstance(each, Message) else each for each in value]
    return out


def named(entries: Any) -> dict[str, Any]:
    return {entry.name: to_json(entry.value) for entry in entries}


def test_the_protobuf_says_what_the_json_says() -> None:
    """The message that kubectl reads holds the whole JSON document, field by field, and nothing more."""
    document = gnostic().FromString(OPENAPI.v2_protobuf().body)
    assert to_json(document) == V2
