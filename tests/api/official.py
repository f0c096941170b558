"""The messages of Kubernetes as the official protobuf library builds and reads them: what a program in Go sends.

They are made from the facts (field numbers and types), and `fill` puts JSON-shaped objects into them in its own way, so
that a round trip cannot hide a mistake that our decode and encode share.
"""

import base64
import json
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from verger.store.schemas import ProtoField, load

CORE = "io.k8s.api.core.v1"
META = "io.k8s.apimachinery.pkg.apis.meta.v1"
PARTIAL = "k8s.io.apimachinery.pkg.apis.meta.v1.PartialObjectMetadata"
WITHOUT_TYPE = (
    PARTIAL,
    f"{PARTIAL}List",
    "k8s.io.api.apidiscovery.v2.APIGroupDiscoveryList",
)
SCHEMAS = load()

RENAMED = {
    "ref": "$ref",
    "schema": "$schema",
    "xKubernetesEmbeddedResource": "x-kubernetes-embedded-resource",
    "xKubernetesIntOrString": "x-kubernetes-int-or-string",
    "xKubernetesListMapKeys": "x-kubernetes-list-map-keys",
    "xKubernetesListType": "x-kubernetes-list-type",
    "xKubernetesMapType": "x-kubernetes-map-type",
    "xKubernetesPreserveUnknownFields": "x-kubernetes-preserve-unknown-fields",
    "xKubernetesValidations": "x-kubernetes-validations",
}
SPECIAL = {
    "k8s.io.api.authentication.v1.ExtraValue": "items",
    "k8s.io.api.authorization.v1.ExtraValue": "items",
    "k8s.io.api.certificates.v1.ExtraValue": "items",
    "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1.JSON": "json",
    "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray": "array",
    "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool": "bool",
    "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray": "strings",
    "k8s.io.apimachinery.pkg.api.resource.Quantity": "quantity",
    "k8s.io.apimachinery.pkg.apis.meta.v1.FieldsV1": "json",
    "k8s.io.apimachinery.pkg.apis.meta.v1.MicroTime": "micro time",
    "k8s.io.apimachinery.pkg.apis.meta.v1.Time": "time",
    "k8s.io.apimachinery.pkg.apis.meta.v1.Verbs": "items",
    "k8s.io.apimachinery.pkg.runtime.RawExtension": "json",
    "k8s.io.apimachinery.pkg.util.intstr.IntOrString": "int or string",
}
SCHEMA_PROPS = "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"

NAMES = [
    name
    for name in SCHEMAS.names()
    if SCHEMAS.type(name).message and SCHEMAS.type(name).message not in SPECIAL
]


def fields_of(message: str) -> dict[str, ProtoField]:
    """Every field of a message by its protobuf name."""
    found = SCHEMAS.type_of_message(message)
    if found is None:
        return dict(SCHEMAS.message(message))
    own = {field.proto_name: field.proto for field in found.fields.values() if field.proto}
    return own | dict(found.inline)


def all_messages() -> dict[str, dict[str, ProtoField]]:
    """The messages of all types and whatever they refer to."""
    todo = [SCHEMAS.type(name).message for name in NAMES] + list(WITHOUT_TYPE)
    done: dict[str, dict[str, ProtoField]] = {}
    while todo:
        name = todo.pop()
        if name in done:
            continue
        done[name] = fields_of(name)
        kinds = (
            field.type.removeprefix("map<string,").rstrip(">") for field in done[name].values()
        )
        todo += [kind for kind in kinds if "." in kind]
    return done


def flat(name: str) -> str:
    return name.replace(".", "_")


def describe(
    out: descriptor_pb2.FieldDescriptorProto, *, name: str, number: int, label: str, kind: str
) -> None:
    out.name, out.number = name, number
    out.label = out.LABEL_REPEATED if label == "repeated" else out.LABEL_OPTIONAL
    if "." in kind:
        out.type, out.type_name = out.TYPE_MESSAGE, "." + flat(kind)
    else:
        out.type = out.Type.Value("TYPE_" + kind.upper())


def official_classes() -> dict[str, type[Message]]:
    """The official library's class of every message; one file, since real packages refer to each other in circles."""
    file = descriptor_pb2.FileDescriptorProto(name="facts.proto", syntax="proto2")
    for message, fields in all_messages().items():
        out = file.message_type.add(name=flat(message))
        for name, proto in fields.items():
            if not proto.type.startswith("map<"):
                describe(
                    out.field.add(),
                    name=name,
                    number=proto.number,
                    label=proto.label,
                    kind=proto.type,
                )
                continue
            entry = out.nested_type.add(name=name[0].upper() + name[1:] + "Entry")
            entry.options.map_entry = True
            value = proto.type.removeprefix("map<string,").rstrip(">")
            describe(entry.field.add(), name="key", number=1, label="optional", kind="string")
            describe(entry.field.add(), name="value", number=2, label="optional", kind=value)
            describe(
                out.field.add(),
                name=name,
                number=proto.number,
                label="repeated",
                kind=f"{message}.{entry.name}",
            )
            out.field[-1].type_name = f".{flat(message)}.{entry.name}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(flat(name)))
        for name in all_messages()
    }


OFFICIAL = official_classes()


def fill_special(out: Any, kind: str, value: Any) -> None:
    """Puts a JSON value into a message that JSON does not show as an object; None leaves it empty."""
    match kind, value:
        case _, None:
            pass
        case "items", _:
            out.items.extend(value)
        case "quantity", _:
            out.string = value
        case "json", _:
            raw = json.dumps(value, separators=(",", ":")).encode()
            setattr(out, "Raw" if hasattr(out, "Raw") else "raw", raw)
        case (("time" | "micro time"), _):
            stamp = Timestamp()
            stamp.FromJsonString(value)
            out.seconds, out.nanos = stamp.seconds, stamp.nanos
        case "int or string", int():
            out.type, out.intVal, out.strVal = 0, value, ""
        case "int or string", _:
            out.type, out.intVal, out.strVal = 1, 0, value
        case "array", list():
            for one in value:
                fill(out.jSONSchemas.add(), SCHEMA_PROPS, one)
        case "strings", list():
            out.property.extend(value)
        case "bool", bool():
            out.allows = value
        case _:
            if kind == "bool":
                out.allows = True
            out.schema.SetInParent()
            fill(out.schema, SCHEMA_PROPS, value)


def fill(out: Any, message: str, obj: Any) -> None:
    """Puts a JSON-shaped object into an official message, empty values as well."""
    if message in SPECIAL:
        fill_special(out, SPECIAL[message], obj)
        return
    found = SCHEMAS.type_of_message(message)
    names = {
        field.proto_name: name
        for name, field in (found.fields if found else {}).items()
        if field.proto
    }
    for proto_name, proto in fields_of(message).items():
        name = names.get(proto_name, proto_name if found is None else RENAMED.get(proto_name))
        if name is None:
            fill(getattr(out, proto_name), proto.type, obj)
        elif name in obj:
            fill_field(out, proto_name, proto, obj[name])


def fill_field(out: Any, name: str, proto: ProtoField, value: Any) -> None:
    kind = proto.type
    if kind.startswith("map<"):
        kind = kind.removeprefix("map<string,").rstrip(">")
        for key, one in value.items():
            if "." in kind:
                fill(getattr(out, name)[key], kind, one)
            else:
                getattr(out, name)[key] = base64.b64decode(one) if kind == "bytes" else one
    elif proto.label == "repeated":
        for one in value:
            if "." in kind:
                fill(getattr(out, name).add(), kind, one)
            else:
                getattr(out, name).append(one)
    elif "." in kind:
        getattr(out, name).SetInParent()
        fill(getattr(out, name), kind, value)
    else:
        setattr(out, name, base64.b64decode(value) if kind == "bytes" else value)


def official(message: str, obj: Any) -> Any:
    out = OFFICIAL[message]()
    fill(out, message, obj)
    return out


def parsed(message: str, raw: bytes) -> Message:
    out = OFFICIAL[message]()
    out.ParseFromString(raw)
    return out


# What stands around every object on the wire has no type in JSON.
ENVELOPE = {
    "TypeMeta": (("apiVersion", 1, "string"), ("kind", 2, "string")),
    "Unknown": (
        ("typeMeta", 1, "TypeMeta"),
        ("raw", 2, "bytes"),
        ("contentEncoding", 3, "string"),
        ("contentType", 4, "string"),
    ),
}


def envelope_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="envelope.proto", syntax="proto2")
    for message, fields in ENVELOPE.items():
        out = file.message_type.add(name=message)
        for name, number, kind in fields:
            field = out.field.add(name=name, number=number, label=1)
            if kind in ENVELOPE:
                field.type, field.type_name = field.TYPE_MESSAGE, f".{kind}"
            else:
                field.type = field.Type.Value("TYPE_" + kind.upper())
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("Unknown"))


Unknown = envelope_class()
MAGIC = bytes.fromhex("6b387300")


def sealed(raw: bytes, kind: str, api_version: str) -> bytes:
    """What a client in Go sends: every field of the envelope is written, empty or not."""
    out = Unknown(raw=raw, contentEncoding="", contentType="")
    out.typeMeta.apiVersion, out.typeMeta.kind = api_version, kind
    return MAGIC + bytes(out.SerializeToString())


def opened(data: bytes) -> tuple[str, str, bytes]:
    """Version, kind and message of an answer."""
    assert data.startswith(MAGIC)
    out = Unknown()
    out.ParseFromString(data[len(MAGIC) :])
    return out.typeMeta.apiVersion, out.typeMeta.kind, out.raw
