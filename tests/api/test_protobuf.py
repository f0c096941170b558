"""apiserver/protobuf.py, held against the official protobuf library.

`official` makes the library's messages.
"""

import base64
import itertools
import json
import random
import struct
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st
from verger.apiserver.protobuf import MAGIC, Codec, Envelope, open_envelope
from verger.apiserver.wire import ProtobufError
from verger.store.schemas import empties

from tests.api.official import (
    CORE,
    META,
    NAMES,
    OFFICIAL,
    PARTIAL,
    RENAMED,
    SCHEMA_PROPS,
    SCHEMAS,
    SPECIAL,
    WITHOUT_TYPE,
    fields_of,
    official,
    parsed,
)

CRD = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1"
SECRET = f"{CORE}.Secret"
CODEC = Codec(SCHEMAS)


# --- Samples ---------------------------------------------------------------------------------------------------------


class Sampler:
    """Makes JSON-shaped objects of a message; `wants` decides about each field, `choose` makes the scalars."""

    def __init__(self, wants: Callable[[], bool], choose: random.Random) -> None:
        self.wants = wants
        self.choose = choose

    def scalar(self, kind: str) -> Any:
        match kind:
            case "bool":
                return True
            case "int32" | "int64":
                bound = 2 ** (31 if kind == "int32" else 63)
                return self.choose.choice([1, -1, 127, 128, 300, bound - 1, -bound])
            case "double":
                return self.choose.choice([0.5, -2.0, 1e300])
            case "bytes":
                return base64.b64encode(self.choose.randbytes(self.choose.randint(1, 200))).decode()
        return self.choose.choice(["a", "größe", "名前", "x" * 127, "x" * 128, "\x00"])

    def special(self, kind: str, path: tuple[str, ...]) -> Any:
        match kind:
            case "items":
                return ["get", ""]
            case "quantity":
                return self.choose.choice(["0", "100m", "1Gi"])
            case "json":
                return {"f:metadata": {".": {}, "n": [1, 2.5, None, "x"]}}
            case "time":
                return self.choose.choice(["2024-02-29T12:30:45Z", "1969-12-31T23:59:59Z"])
            case "micro time":
                return self.choose.choice(
                    ["2024-02-29T12:30:45.000001Z", "9999-12-31T23:59:59.999999Z"]
                )
            case "int or string":
                return self.choose.choice([8080, -1, "http", "25%"])
            case "bool":
                return self.choose.choice([True, False, {"type": "string"}])
            case "strings":
                return self.choose.choice([["a", "b"], {"type": "string"}])
        one = {"type": "object"} if SCHEMA_PROPS in path[:-1] else self.message(SCHEMA_PROPS, path)
        return self.choose.choice([one, [one, {"type": "object"}]])

    def value(self, kind: str, path: tuple[str, ...]) -> Any:
        if kind in SPECIAL:
            return self.special(SPECIAL[kind], path)
        return self.message(kind, path) if "." in kind else self.scalar(kind)

    def message(self, message: str, path: tuple[str, ...] = ()) -> dict[str, Any]:
        """An object with every wanted field, except where a message would stand inside itself again."""
        found = SCHEMAS.type_of_message(message)
        names = {
            field.proto_name: name
            for name, field in (found.fields if found else {}).items()
            if field.proto
        }
        out: dict[str, Any] = {}
        path = (*path, message)
        for proto_name, proto in fields_of(message).items():
            kind = proto.type.removeprefix("map<string,").rstrip(">")
            name = names.get(proto_name, proto_name if found is None else RENAMED.get(proto_name))
            if name is None:
                out |= self.message(kind, path)
            elif path.count(kind) > 1 or not self.wants():
                continue
            elif proto.type.startswith("map<"):
                out[name] = {"key": self.value(kind, path), "": self.value(kind, path)}
            elif proto.label == "repeated":
                out[name] = [self.value(kind, path)]
                if "." not in kind:
                    out[name] += [self.value(kind, path) for _ in range(3)]
            else:
                out[name] = self.value(kind, path)
        # A spec without any field to set is what Go writes of every object.
        return out if out.get("spec") != {} else {k: v for k, v in out.items() if k != "spec"}


def full_sample(message: str) -> dict[str, Any]:
    return Sampler(lambda: True, random.Random(message)).message(message)


def check_both_ways(message: str, obj: dict[str, Any]) -> None:
    expected = official(message, obj)
    assert parsed(message, CODEC.encode_message(message, obj)) == expected, message
    assert CODEC.decode_message(message, expected.SerializeToString()) == obj, message


def without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        pruned = {name: without_empty(one) for name, one in value.items()}
        return {name: one for name, one in pruned.items() if one != {}}
    return [without_empty(one) for one in value] if isinstance(value, list) else value


# --- All types -------------------------------------------------------------------------------------------------------


def packages() -> dict[str, list[str]]:
    messages = [*(SCHEMAS.type(name).message for name in NAMES), *WITHOUT_TYPE]
    return {
        package: list(found)
        for package, found in itertools.groupby(
            sorted(messages), lambda name: name.rpartition(".")[0]
        )
    }


PACKAGES = packages()


def test_all_types_are_held_against_the_official_library() -> None:
    """The facts are not silently empty: every type with a message of its own takes part."""
    assert len(NAMES) > 750
    assert sum(map(len, PACKAGES.values())) == len(NAMES) + len(WITHOUT_TYPE)


@pytest.mark.parametrize("package", [pytest.param(name, id=name) for name in PACKAGES])
def test_every_field_of_every_type_travels_both_ways(package: str) -> None:
    """What we encode the official library reads, and what it writes we decode, with every field set."""
    for message in PACKAGES[package]:
        check_both_ways(message, full_sample(message))


@given(
    message=st.sampled_from(sorted(OFFICIAL.keys() - SPECIAL.keys())), seed=st.integers(0, 2**32)
)
@settings(max_examples=150, deadline=None)
def test_any_choice_of_fields_travels_both_ways(message: str, seed: int) -> None:
    """No field depends on another one being there."""
    choose = random.Random(seed)
    share = choose.random()
    obj = Sampler(lambda: choose.random() < share, choose).message(message)
    kept = CODEC.decode_message(message, official(message, obj).SerializeToString())
    # Empty plain messages are dropped; everything else must be there.
    assert without_empty(kept) == without_empty(obj)
    check_both_ways(message, kept)


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        pytest.param(1.0, '{"minimum":1}', id="a whole number has no fraction"),
        pytest.param(-0.5, '{"minimum":-0.5}', id="half a number keeps it"),
        pytest.param(1e300, '{"minimum":1e+300}', id="a number that is no 64-bit integer"),
    ],
)
def test_a_double_is_shown_as_go_shows_it(number: float, shown: str) -> None:
    """A whole number of a schema is written without a fraction, so that it compares equal to what was sent as JSON."""
    name = f"{CRD}.JSONSchemaProps"
    found = CODEC.decode(name, CODEC.encode(name, {"minimum": number}))
    assert json.dumps(found, separators=(",", ":")) == shown


def test_a_type_without_a_message_is_a_key_error() -> None:
    """Only a caller's mistake asks for a type that is no message: it is not the client's bytes."""
    for name in (f"{META}.Time", "io.k8s.apimachinery.pkg.version.Info", "no.such.Type"):
        with pytest.raises(KeyError):
            CODEC.decode(name, b"")
        with pytest.raises(KeyError):
            CODEC.encode(name, {})


def test_the_tables_of_empty_values_name_fields_that_exist() -> None:
    """A misspelt row of a table would do nothing, unseen."""
    known: dict[str, set[str]] = {}
    for name in NAMES:
        owner = empties.owner_of(name)
        known.setdefault(owner, set()).update(SCHEMAS.type(name).fields)
    for table in (empties.PLAIN, empties.SHOWN):
        for owner, names in table.items():
            assert set(names.split()) <= known[owner], owner
    assert set(empties.PLAIN_EVERYWHERE.split()) <= set().union(*known.values())


# --- What Go writes although it is empty -----------------------------------------------------------------------------

GO_META = {
    "name": "a",
    "generateName": "",
    "namespace": "ns",
    "selfLink": "",
    "uid": "",
    "resourceVersion": "",
    "generation": 0,
    "creationTimestamp": None,
}
SHOWN_META = {"name": "a", "namespace": "ns"}


@pytest.mark.parametrize(
    ("type_name", "written", "shown"),
    [
        pytest.param(
            SECRET,
            {"metadata": GO_META, "data": {"k": "", "l": "YQ=="}, "type": ""},
            {"metadata": SHOWN_META, "data": {"k": "", "l": "YQ=="}},
            id="empty metadata goes, an empty value of a map stays",
        ),
        pytest.param(
            SECRET,
            {"metadata": GO_META, "immutable": False},
            {"metadata": SHOWN_META, "immutable": False},
            id="false behind a pointer stays",
        ),
        pytest.param(
            f"{CORE}.Namespace",
            {"metadata": GO_META, "spec": {}, "status": {"phase": ""}},
            {"metadata": SHOWN_META},
            id="an empty spec and status go",
        ),
        pytest.param(
            f"{CORE}.ServiceAccount",
            {"metadata": GO_META, "automountServiceAccountToken": False},
            {"metadata": SHOWN_META, "automountServiceAccountToken": False},
            id="automountServiceAccountToken false stays",
        ),
        pytest.param(
            "io.k8s.api.coordination.v1.Lease",
            {"spec": {"holderIdentity": "", "leaseTransitions": 0, "renewTime": None}},
            {"spec": {"holderIdentity": "", "leaseTransitions": 0}},
            id="a lease that was let go has an empty holder",
        ),
        pytest.param(
            "io.k8s.api.apps.v1.Deployment",
            {
                "metadata": GO_META,
                "spec": {
                    "replicas": 0,
                    "selector": {},
                    "template": {"metadata": {"name": "", "creationTimestamp": None}, "spec": {}},
                    "strategy": {"type": ""},
                    "minReadySeconds": 0,
                    "paused": False,
                },
                "status": {"observedGeneration": 0, "replicas": 0, "unavailableReplicas": 0},
            },
            {"metadata": SHOWN_META, "spec": {"replicas": 0, "selector": {}, "template": {}}},
            id="replicas 0 and required fields stay, plain ones go",
        ),
        pytest.param(
            f"{CORE}.Pod",
            {
                "spec": {
                    "hostNetwork": False,
                    "hostPID": False,
                    "enableServiceLinks": False,
                    "terminationGracePeriodSeconds": 0,
                    "securityContext": {},
                    "volumes": [
                        {"name": "v", "emptyDir": {}},
                        {"name": "h", "hostPath": {"path": "/x", "type": ""}},
                        {"name": "s", "secret": {"secretName": "", "optional": False}},
                    ],
                    "containers": [
                        {
                            "name": "",
                            "image": "",
                            "stdin": False,
                            "tty": False,
                            "resources": {},
                            "env": [
                                {"name": "E", "value": ""},
                                {
                                    "name": "F",
                                    "value": "",
                                    "valueFrom": {
                                        "secretKeyRef": {"name": "", "key": "k", "optional": False}
                                    },
                                },
                            ],
                            "ports": [{"name": "", "hostPort": 0, "containerPort": 0}],
                            "volumeMounts": [{"name": "v", "mountPath": "/v", "readOnly": False}],
                            "livenessProbe": {
                                "httpGet": {"path": "", "port": 0, "host": "", "scheme": ""},
                                "timeoutSeconds": 0,
                                "terminationGracePeriodSeconds": 0,
                            },
                        }
                    ],
                }
            },
            {
                "spec": {
                    "enableServiceLinks": False,
                    "terminationGracePeriodSeconds": 0,
                    "securityContext": {},
                    "volumes": [
                        {"name": "v", "emptyDir": {}},
                        {"name": "h", "hostPath": {"path": "/x", "type": ""}},
                        {"name": "s", "secret": {"optional": False}},
                    ],
                    "containers": [
                        {
                            "name": "",
                            "env": [
                                {"name": "E"},
                                {
                                    "name": "F",
                                    "valueFrom": {"secretKeyRef": {"key": "k", "optional": False}},
                                },
                            ],
                            "ports": [{"containerPort": 0}],
                            "volumeMounts": [{"name": "v", "mountPath": "/v"}],
                            "livenessProbe": {
                                "httpGet": {"port": 0},
                                "terminationGracePeriodSeconds": 0,
                            },
                        }
                    ],
                }
            },
            id="a pod keeps what pointers and required fields say",
        ),
        pytest.param(
            f"{CORE}.PodSpec",
            {
                "containers": [],
                "ephemeralContainers": [{"name": "", "image": "", "tty": False, "resources": {}}],
            },
            {"ephemeralContainers": [{"name": ""}]},
            id="what stands inline has the rules of the type around it",
        ),
        pytest.param(
            f"{CORE}.Service",
            {
                "spec": {
                    "clusterIP": "",
                    "healthCheckNodePort": 0,
                    "ports": [{"port": 80, "targetPort": 0, "nodePort": 0, "protocol": ""}],
                },
                "status": {"loadBalancer": {}},
            },
            {"spec": {"ports": [{"port": 80}]}},
            id="a service port without target and node port",
        ),
        pytest.param(
            f"{CORE}.Event",
            {
                "metadata": {},
                "involvedObject": {},
                "source": {"component": ""},
                "firstTimestamp": None,
                "eventTime": None,
                "count": 0,
                "reportingComponent": "",
                "reportingInstance": "",
            },
            {
                "metadata": {},
                "involvedObject": {},
                "reportingComponent": "",
                "reportingInstance": "",
            },
            id="an event shows its empty reporter and no zero times",
        ),
        pytest.param(
            f"{CORE}.PersistentVolumeClaim",
            {"spec": {"storageClassName": "", "volumeName": "", "resources": {}}},
            {"spec": {"storageClassName": ""}},
            id="an empty storage class says no provisioning",
        ),
        pytest.param(
            "io.k8s.api.discovery.v1.EndpointSlice",
            {
                "addressType": "IPv4",
                "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": False}}],
                "ports": [{"name": "", "port": 0, "protocol": ""}],
            },
            {
                "addressType": "IPv4",
                "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": False}}],
                "ports": [{"name": "", "port": 0}],
            },
            id="an unnamed port of a slice has the empty name",
        ),
        pytest.param(
            "io.k8s.api.networking.v1.NetworkPolicy",
            {"spec": {"podSelector": {}, "ingress": [{}]}},
            {"spec": {"podSelector": {}, "ingress": [{}]}},
            id="an empty selector selects everything",
        ),
        pytest.param(
            f"{CRD}.CustomResourceDefinitionVersion",
            {
                "name": "v1",
                "served": False,
                "storage": True,
                "deprecated": False,
                "subresources": {"status": {}},
                "additionalPrinterColumns": [
                    {"name": "A", "type": "string", "jsonPath": ".a", "priority": 0}
                ],
            },
            {
                "name": "v1",
                "served": False,
                "storage": True,
                "subresources": {"status": {}},
                "additionalPrinterColumns": [{"name": "A", "type": "string", "jsonPath": ".a"}],
            },
            id="an empty status subresource is switched on",
        ),
        pytest.param(
            f"{CRD}.JSONSchemaProps",
            {
                "type": "integer",
                "$ref": "",
                "minimum": 0.0,
                "exclusiveMinimum": False,
                "maxLength": 0,
                "nullable": False,
                "x-kubernetes-embedded-resource": False,
                "x-kubernetes-preserve-unknown-fields": False,
            },
            {
                "type": "integer",
                "minimum": 0.0,
                "maxLength": 0,
                "x-kubernetes-preserve-unknown-fields": False,
            },
            id="bounds of a schema may be zero",
        ),
        pytest.param(
            f"{META}.DeleteOptions",
            {
                "gracePeriodSeconds": 0,
                "preconditions": {"uid": ""},
                "orphanDependents": False,
                "propagationPolicy": "Background",
            },
            {
                "gracePeriodSeconds": 0,
                "preconditions": {"uid": ""},
                "orphanDependents": False,
                "propagationPolicy": "Background",
            },
            id="delete options are pointers all over",
        ),
        pytest.param(
            "io.k8s.api.rbac.v1.ClusterRoleBinding",
            {
                "subjects": [{"kind": "User", "apiGroup": "", "name": "u", "namespace": ""}],
                "roleRef": {"apiGroup": "", "kind": "ClusterRole", "name": "r"},
            },
            {
                "subjects": [{"kind": "User", "name": "u"}],
                "roleRef": {"kind": "ClusterRole", "name": "r"},
            },
            id="an empty group and namespace go",
        ),
    ],
)
def test_empty_values_are_shown_as_go_shows_them(
    type_name: str, written: dict[str, Any], shown: dict[str, Any]
) -> None:
    """Pointers and required fields keep their zero values, plain fields that Go always writes lose them."""
    raw = official(SCHEMAS.type(type_name).message, written).SerializeToString()
    assert CODEC.decode(type_name, raw) == shown


# --- Special types ---------------------------------------------------------------------------------------------------


def field(number: int, body: bytes) -> bytes:
    """A length-delimited field, small enough for one byte of each."""
    assert number < 16
    assert len(body) < 128
    return bytes((number << 3 | 2, len(body))) + body


def varint(number: int, value: int) -> bytes:
    assert value < 128
    return bytes((number << 3, value))


def stamp(seconds: int, nanos: int) -> bytes:
    raw: bytes = Timestamp(seconds=seconds, nanos=nanos).SerializeToString()
    return raw


@pytest.mark.parametrize(
    ("type_name", "raw", "shown"),
    [
        pytest.param(
            f"{META}.ObjectMeta",
            field(8, stamp(1_700_000_000, 999_999_999)),
            {"creationTimestamp": "2023-11-14T22:13:20Z"},
            id="a time has no fraction",
        ),
        pytest.param(
            f"{META}.ObjectMeta",
            field(8, stamp(1_700_000_000, 2_000_000_000)),
            {"creationTimestamp": "2023-11-14T22:13:20Z"},
            id="a time has no fraction even of more than a second",
        ),
        pytest.param(
            f"{META}.ObjectMeta",
            field(8, varint(1, 0) + varint(2, 0)),
            {"creationTimestamp": "1970-01-01T00:00:00Z"},
            id="an explicit second 0 is 1970",
        ),
        pytest.param(f"{META}.ObjectMeta", field(8, b""), {}, id="an empty time is the zero time"),
        pytest.param(
            f"{META}.ObjectMeta",
            field(8, stamp(-62_135_596_800, 0)),
            {},
            id="the year 1 is no time",
        ),
        pytest.param(
            f"{META}.ObjectMeta",
            field(8, stamp(-62_135_596_799, 0)),
            {"creationTimestamp": "0001-01-01T00:00:01Z"},
            id="a year has four digits",
        ),
        pytest.param(
            "io.k8s.api.coordination.v1.LeaseSpec",
            field(4, stamp(1_700_000_000, 1_999)),
            {"renewTime": "2023-11-14T22:13:20.000001Z"},
            id="a micro time has six digits",
        ),
        pytest.param(
            "io.k8s.api.coordination.v1.LeaseSpec",
            field(4, stamp(1_700_000_000, 0)),
            {"renewTime": "2023-11-14T22:13:20.000000Z"},
            id="a micro time has six digits even of zero",
        ),
        pytest.param(
            f"{CORE}.ResourceFieldSelector",
            field(2, b"limits.cpu") + field(3, b""),
            {"resource": "limits.cpu", "divisor": "0"},
            id="an empty quantity is 0",
        ),
        pytest.param(
            f"{CORE}.ResourceQuotaSpec",
            field(1, field(1, b"pods") + field(2, field(1, b"10"))) + field(1, field(1, b"cpu")),
            {"hard": {"pods": "10", "cpu": "0"}},
            id="quantities in a map",
        ),
        pytest.param(
            f"{CORE}.ServicePort",
            field(4, varint(1, 1) + varint(2, 0) + field(3, b"http")),
            {"targetPort": "http"},
            id="an int-or-string that is a string",
        ),
        pytest.param(
            f"{CORE}.TCPSocketAction",
            field(1, varint(1, 0) + varint(2, 80) + field(3, b"x")),
            {"port": 80},
            id="an int-or-string that is an integer",
        ),
        pytest.param(
            "io.k8s.api.apps.v1.RollingUpdateDeployment",
            field(1, varint(1, 0) + varint(2, 0)),
            {"maxUnavailable": 0},
            id="an int-or-string behind a pointer may be 0",
        ),
        pytest.param(
            f"{META}.ManagedFieldsEntry",
            field(7, field(1, b'{"f:data":{}}')),
            {"fieldsV1": {"f:data": {}}},
            id="managed fields are JSON",
        ),
        pytest.param(
            "io.k8s.api.apps.v1.ControllerRevision",
            field(2, b"") + varint(3, 0),
            {"revision": 0},
            id="an empty raw extension is nothing",
        ),
        pytest.param(
            f"{META}.APIResource",
            field(4, field(1, b"get") + field(1, b"list")),
            {"verbs": ["get", "list"]},
            id="verbs",
        ),
        pytest.param(
            "io.k8s.api.authentication.v1.UserInfo",
            field(4, field(1, b"scopes") + field(2, field(1, b"a") + field(1, b"b")))
            + field(4, b""),
            {"extra": {"scopes": ["a", "b"], "": []}},
            id="extra values, and an entry with neither key nor value",
        ),
        pytest.param(
            f"{CORE}.ConfigMap",
            field(2, field(2, b"v") + field(1, b"k")) + field(2, field(1, b"e")),
            {"data": {"k": "v", "e": ""}},
            id="a map entry in the other order, and one without a value",
        ),
        pytest.param(
            f"{CORE}.EnvFromSource",
            field(3, field(1, field(1, b"s")) + varint(2, 0)),
            {"secretRef": {"name": "s", "optional": False}},
            id="an embedded reference stands inline",
        ),
        pytest.param(
            f"{CRD}.JSONSchemaProps",
            field(3, b"#/r") + field(2, b"http://s") + b"\xb0\x02\x01" + b"\xd2\x02\x03set",
            {
                "$ref": "#/r",
                "$schema": "http://s",
                "x-kubernetes-preserve-unknown-fields": True,
                "x-kubernetes-list-type": "set",
            },
            id="fields of a schema with other names in JSON",
        ),
    ],
)
def test_special_types_are_decoded(type_name: str, raw: bytes, shown: dict[str, Any]) -> None:
    """Messages that JSON does not show as objects of their fields have the form that Go gives them."""
    assert CODEC.decode(type_name, raw) == shown


@pytest.mark.parametrize(
    ("schema", "kept"),
    [
        pytest.param({"additionalProperties": False}, True, id="no more properties"),
        pytest.param({"additionalProperties": True}, True, id="any more properties"),
        pytest.param({"additionalProperties": {}}, True, id="more properties of an empty schema"),
        pytest.param({"items": {"type": "string"}}, True, id="items of one schema"),
        pytest.param({"items": [{"type": "string"}, {}]}, True, id="items of schemas in order"),
        pytest.param(
            {"dependencies": {"a": ["b"], "c": {"type": "object"}}}, True, id="dependencies"
        ),
        pytest.param(
            {"enum": ["a", 1, None, {"b": []}]}, True, id="an enum of anything, with null"
        ),
        pytest.param({"default": False, "example": 0}, True, id="an empty default"),
        pytest.param({"default": None}, False, id="a null default is none"),
    ],
)
def test_a_schema_that_may_be_several_things_travels(schema: dict[str, Any], kept: bool) -> None:
    """JSONSchemaPropsOrBool, -OrArray, -OrStringArray and JSON keep the form that they had."""
    name = f"{CRD}.JSONSchemaProps"
    assert CODEC.decode(name, CODEC.encode(name, schema)) == (schema if kept else {})


@pytest.mark.parametrize(
    ("type_name", "obj", "shown"),
    [
        pytest.param(
            f"{META}.ObjectMeta",
            {"creationTimestamp": "2024-02-29T12:00:00.123456+02:30"},
            {"creationTimestamp": "2024-02-29T09:30:00Z"},
            id="a time of another zone, with a fraction",
        ),
        pytest.param(
            "io.k8s.api.coordination.v1.LeaseSpec",
            {"renewTime": "2024-02-29t12:00:00.1234567z"},
            {"renewTime": "2024-02-29T12:00:00.123456Z"},
            id="a micro time in small letters with too many digits",
        ),
        pytest.param(
            f"{CORE}.ResourceRequirements",
            {"limits": {"cpu": 1, "memory": 0.5}},
            {"limits": {"cpu": "1", "memory": "0.5"}},
            id="a quantity as a bare number",
        ),
        pytest.param(
            SECRET, {"data": {"a": "YW\nJj\r\n"}}, {"data": {"a": "YWJj"}}, id="base64 in lines"
        ),
        pytest.param(
            SECRET,
            {"apiVersion": "v1", "immutable": None, "new": [1], "type": "x"},
            {"type": "x"},
            id="unknown names and null are left out",
        ),
        pytest.param(
            f"{CORE}.ConfigMap",
            {"metadata": {"finalizers": ("a", None)}, "data": {"a": None}},
            {"metadata": {"finalizers": ["a", ""]}, "data": {"a": ""}},
            id="null inside a list or map is empty",
        ),
        pytest.param(
            f"{META}.WatchEvent",
            {"type": "ADDED", "object": b'{"kind":"Pod"}'},
            {"type": "ADDED", "object": {"kind": "Pod"}},
            id="an object that is encoded already",
        ),
    ],
)
def test_json_is_read_as_go_reads_it(
    type_name: str, obj: dict[str, Any], shown: dict[str, Any]
) -> None:
    """Encoding takes the forms of a value that Go's JSON decoder takes."""
    assert CODEC.decode(type_name, CODEC.encode(type_name, obj)) == shown


@pytest.mark.parametrize(
    ("type_name", "obj", "says"),
    [
        pytest.param(SECRET, [], "not an object", id="a list for an object"),
        pytest.param(SECRET, {"metadata": "x"}, "metadata: not an object", id="a string for one"),
        pytest.param(SECRET, {"type": 1}, "type: not a string", id="a number for a string"),
        pytest.param(SECRET, {"type": "\ud800"}, "type: not valid Unicode", id="half a character"),
        pytest.param(
            SECRET, {"immutable": 1}, "immutable: not a boolean", id="a number for a boolean"
        ),
        pytest.param(SECRET, {"data": {"a": "?"}}, "data: not a base64 string", id="no base64"),
        pytest.param(SECRET, {"data": {"a": "YQ"}}, "data: not a base64 string", id="no padding"),
        pytest.param(SECRET, {"data": []}, "data: not an object", id="a list for a map"),
        pytest.param(SECRET, {"data": {1: "YQ=="}}, "data: not a string", id="a number for a key"),
        pytest.param(
            SECRET,
            {"metadata": {"finalizers": "x"}},
            "metadata: finalizers: not a list",
            id="a string for a list",
        ),
        pytest.param(
            SECRET, {"metadata": {"generation": 1.0}}, "not an integer", id="a float for an integer"
        ),
        pytest.param(
            SECRET,
            {"metadata": {"generation": True}},
            "not an integer",
            id="a boolean for an integer",
        ),
        pytest.param(
            SECRET, {"metadata": {"generation": 2**63}}, "not in the range of int64", id="too large"
        ),
        pytest.param(
            f"{CORE}.ServicePort",
            {"port": 2**31},
            "not in the range of int32",
            id="too large for 32",
        ),
        pytest.param(
            f"{CORE}.ServicePort", {"targetPort": 1.5}, "not an integer", id="half a port"
        ),
        pytest.param(f"{CRD}.JSONSchemaProps", {"minimum": "0"}, "not a number", id="no number"),
        pytest.param(
            f"{CRD}.JSONSchemaProps",
            {"minimum": 10**400},
            "out of range",
            id="no double can hold it",
        ),
        pytest.param(f"{CRD}.JSONSchemaProps", {"default": {1, 2}}, "not a JSON value", id="a set"),
        pytest.param(
            SECRET, {"metadata": {"creationTimestamp": 5}}, "not a time", id="a number for a time"
        ),
        pytest.param(
            SECRET,
            {"metadata": {"creationTimestamp": "2024-02-30T00:00:00Z"}},
            "not a time",
            id="no day",
        ),
        pytest.param(
            SECRET, {"metadata": {"creationTimestamp": "2024-02-28"}}, "not a time", id="no clock"
        ),
    ],
)
def test_values_of_the_wrong_type_are_not_encoded(type_name: str, obj: Any, says: str) -> None:
    """A value that does not fit its field is an error that names the field."""
    with pytest.raises(ProtobufError, match=says):
        CODEC.encode(type_name, obj)


# --- Rules of the wire -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_name", "raw", "shown"),
    [
        pytest.param(
            SECRET, field(3, b"a") + field(3, b"b"), {"type": "b"}, id="the last string wins"
        ),
        pytest.param(
            SECRET, field(3, b"a") + field(3, b""), {}, id="the last string wins when empty"
        ),
        pytest.param(
            SECRET, varint(5, 1) + varint(5, 0), {"immutable": False}, id="the last boolean wins"
        ),
        pytest.param(
            SECRET,
            field(1, field(1, b"a") + field(3, b"x")) + field(1, field(1, b"b")),
            {"metadata": {"name": "b", "namespace": "x"}},
            id="messages merge",
        ),
        pytest.param(
            SECRET,
            field(2, field(1, b"k") + field(2, b"a")) + field(2, field(1, b"k") + field(2, b"b")),
            {"data": {"k": "Yg=="}},
            id="the last entry of a key wins",
        ),
        pytest.param(
            f"{CORE}.PodSecurityContext",
            b"\x22\x03\x01\xac\x02" + b"\x20\x05" + b"\x22\x00",
            {"supplementalGroups": [1, 300, 5]},
            id="packed and unpacked numbers in one list",
        ),
        pytest.param(
            f"{CORE}.ServicePort",
            b"\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            {"port": -1},
            id="a negative number of ten bytes",
        ),
        pytest.param(
            f"{CORE}.ServicePort",
            b"\x18\x81\x80\x80\x80\x10",
            {"port": 1},
            id="bits above the 32nd are cut off",
        ),
        pytest.param(
            SECRET,
            b"\x28" + b"\x80" * 9 + b"\x02",
            {"immutable": False},
            id="bits above the 64th are cut off",
        ),
        pytest.param(
            SECRET,
            field(1, field(8, stamp(1, 0)) + field(8, b"") + field(1, b"a")),
            {"metadata": {"name": "a"}},
            id="the last time wins when it is zero",
        ),
        pytest.param(SECRET, b"\x28\xff\xff\x7f", {"immutable": True}, id="any bit makes a true"),
        pytest.param(
            SECRET,
            b"\x80\x7d\x01" + b"\x81\x7d" + bytes(8) + b"\x85\x7d" + bytes(4) + b"\x82\x7d\x02xx",
            {},
            id="unknown fields of every wire type are skipped",
        ),
        pytest.param(
            SECRET, b"\x9a\x00\x01a", {"type": "a"}, id="a tag with more bytes than it needs"
        ),
        pytest.param(SECRET, b"", {}, id="nothing"),
    ],
)
def test_repeated_and_unknown_fields_follow_protobuf(
    type_name: str, raw: bytes, shown: dict[str, Any]
) -> None:
    """Merging, packing, cutting off and skipping are those of Go's decoder."""
    assert CODEC.decode(type_name, raw) == shown


def nested_schema(levels: int) -> bytes:
    """A schema inside `levels` further ones, each the `not` of the one around it."""
    number = SCHEMAS.type(f"{CRD}.JSONSchemaProps").fields["not"].proto
    assert number is not None
    tag = struct.pack("BB", (number.number << 3 | 2) & 0x7F | 0x80, number.number >> 4)
    # From the inside out, as a list of prefixes: joining at every level would be quadratic.
    prefixes, size = [], 0
    for _ in range(levels):
        length, rest = b"", size
        while rest > 0x7F:
            length, rest = length + bytes((rest & 0x7F | 0x80,)), rest >> 7
        prefixes.append(tag + length + bytes((rest,)))
        size += len(prefixes[-1])
    return b"".join(reversed(prefixes))


HOSTILE = [
    pytest.param(b"\x1a", "ends in the middle", id="a tag and nothing"),
    pytest.param(b"\x80", "ends in the middle", id="half a tag"),
    pytest.param(b"\x28\x80", "ends in the middle", id="half a varint"),
    pytest.param(
        b"\x28" + b"\xff" * 10 + b"\x01", "longer than ten", id="a varint of eleven bytes"
    ),
    pytest.param(b"\xff" * 11, "longer than ten", id="a tag of eleven bytes"),
    pytest.param(b"\x1a\x02a", "longer than what it stands in", id="a string beyond the end"),
    pytest.param(
        b"\x1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        "longer than what",
        id="a length of 64 bits",
    ),
    pytest.param(b"\x0a\x03\x0a\x05abcdefg", "longer than what", id="a string beyond its message"),
    pytest.param(b"\x0a\x02\x38\x80\x01", "longer than what", id="a varint beyond its message"),
    pytest.param(b"\x0a\x01\x0a\x00", "longer than what", id="a length beyond its message"),
    pytest.param(b"\x00\x00", "out of range", id="field number 0"),
    pytest.param(b"\x02\x01a", "out of range", id="field number 0 with a length"),
    pytest.param(b"\x80\x80\x80\x80\x10\x00", "out of range", id="field number above 29 bits"),
    pytest.param(b"\x18\x01", "wrong wire type", id="a number for a string"),
    pytest.param(b"\x2a\x01a", "wrong wire type", id="a string for a boolean"),
    pytest.param(b"\x29" + bytes(8), "wrong wire type", id="eight bytes for a boolean"),
    pytest.param(b"\x29" + bytes(7), "longer than what", id="seven bytes of eight"),
    pytest.param(b"\x83\x7d\x84\x7d", "wire type 3", id="a group"),
    pytest.param(b"\x84\x7d", "wire type 4", id="the end of a group"),
    pytest.param(b"\x86\x7d", "wire type 6", id="wire type 6"),
    pytest.param(b"\x1a\x01\xff", "not valid UTF-8", id="a string that is not UTF-8"),
    pytest.param(b"\x12\x03\x0a\x01\xff", "not valid UTF-8", id="a key that is not UTF-8"),
    pytest.param(b"\x12\x02\x08\x01", "wrong wire type", id="a number for a key"),
    pytest.param(b"\x0a\x04\x42\x02\x0a\x00", "wrong wire type", id="a string for seconds"),
    pytest.param(
        b"\x0a\x0d\x42\x0b\x08" + b"\xff" * 8 + b"\x7f" + b"\x10",
        "ends in the middle",
        id="half a nanos",
    ),
    pytest.param(
        b"\x0a\x0c\x42\x0a\x08" + b"\xff" * 8 + b"\x7f",
        "years 1 to 9999",
        id="a time past all years",
    ),
    pytest.param(
        b"\x0a\x0a\x8a\x01\x07\x3a\x05\x0a\x03{a}",
        "not valid JSON",
        id="managed fields that are no JSON",
    ),
]


@pytest.mark.parametrize(("raw", "says"), HOSTILE)
def test_hostile_bytes_are_an_error(raw: bytes, says: str) -> None:
    """Whatever is wrong with the bytes is a ProtobufError in plain words."""
    with pytest.raises(ProtobufError, match=says):
        CODEC.decode(SECRET, raw)


@pytest.mark.parametrize(
    ("type_name", "raw", "says"),
    [
        pytest.param(
            f"{CORE}.PodSecurityContext",
            b"\x22\x02\x01\x80",
            "middle|longer",
            id="half a packed number",
        ),
        pytest.param(
            f"{CORE}.PodSecurityContext",
            b"\x22\x01\x80\x01",
            "packed number is longer",
            id="a packed number beyond its list",
        ),
        pytest.param(
            f"{CRD}.JSONSchemaProps",
            b"\x49" + struct.pack("<d", float("nan")),
            "not finite",
            id="not a number",
        ),
        pytest.param(
            f"{CRD}.JSONSchemaProps",
            b"\x49" + struct.pack("<d", float("inf")),
            "not finite",
            id="infinity",
        ),
        pytest.param(
            f"{CORE}.TCPSocketAction", b"\x0a\x02\x08\x02", "neither", id="int-or-string 2"
        ),
    ],
)
def test_hostile_numbers_are_an_error(type_name: str, raw: bytes, says: str) -> None:
    """What JSON cannot show is refused, not invented."""
    with pytest.raises(ProtobufError, match=says):
        CODEC.decode(type_name, raw)


def test_nesting_is_allowed_to_the_limit_and_no_deeper() -> None:
    """A message may stand in a hundred others; the hundred and first is an error, however many follow."""
    name = f"{CRD}.JSONSchemaProps"
    inner = CODEC.decode(name, nested_schema(100))
    for _ in range(100):
        inner = inner["not"]
    assert inner == {}
    for levels in (101, 100_000):
        with pytest.raises(ProtobufError, match="deeper than 100"):
            CODEC.decode(name, nested_schema(levels))


def test_an_object_nested_too_deeply_is_not_encoded() -> None:
    """Encoding has the same limit, so that nobody is sent what nobody reads."""
    obj: dict[str, Any] = {}
    for _ in range(101):
        obj = {"not": obj}
    with pytest.raises(ProtobufError, match="deeper than 100"):
        CODEC.encode(f"{CRD}.JSONSchemaProps", obj)
    assert CODEC.encode(f"{CRD}.JSONSchemaProps", obj["not"])


def test_a_claimed_length_allocates_nothing() -> None:
    """Memory follows the bytes that came, not the bytes that were promised."""
    CODEC.decode(SECRET, b"")
    tracemalloc.start()
    try:
        with pytest.raises(ProtobufError):
            CODEC.decode(SECRET, b"\x1a\xff\xff\xff\xff\x7f" + b"x" * 100)
        with pytest.raises(ProtobufError):
            open_envelope(MAGIC + b"\x12\xff\xff\xff\xff\x7f")
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_many_unknown_fields_take_time_in_proportion() -> None:
    """A megabyte of fields that nobody knows is read in one pass."""
    raw = b"\x80\x7d\x01" * 300_000
    start = time.process_time()
    assert CODEC.decode(f"{CORE}.PodSpec", raw) == {}
    # Absurdly high: reaching it means that a pass over a table was added to every field.
    assert time.process_time() - start < 10


def test_errors_do_not_tell_the_payload() -> None:
    """Neither the text of an error nor what it was raised from holds any of the bytes."""
    for raw in (
        b"\x1a\x08hunter2\xff",
        b"\x12\x0b\x0a\x09hunter2\xff\xff",
        b"\x0a\x12\x8a\x01\x0f\x3a\x0d\x0a\x0b{hunter2: 1",
    ):
        with pytest.raises(ProtobufError) as caught:
            CODEC.decode(SECRET, raw)
        error: BaseException | None = caught.value
        while error is not None:
            assert "hunter2" not in repr(error) + repr(vars(error))
            error = error.__context__
    for obj in ({"type": "hunter2\ud800"}, {"data": {"hunter2": "hunter2!"}}):
        with pytest.raises(ProtobufError) as caught:
            CODEC.encode(SECRET, obj)
        assert "hunter2" not in str(caught.value)


FUZZED = [SECRET, f"{CORE}.Pod", f"{CRD}.CustomResourceDefinition", f"{META}.DeleteOptions"]
WHOLE = {name: CODEC.encode(name, full_sample(SCHEMAS.type(name).message)) for name in FUZZED}


def decode_or_refuse(type_name: str, raw: bytes) -> None:
    try:
        shown = CODEC.decode(type_name, raw)
    except ProtobufError:
        return
    json.dumps(shown, allow_nan=False)


@given(name=st.sampled_from(FUZZED), raw=st.binary(max_size=200))
@settings(max_examples=400, deadline=None)
def test_random_bytes_are_decoded_or_refused(name: str, raw: bytes) -> None:
    """Bytes of any kind give JSON or a ProtobufError, nothing else."""
    decode_or_refuse(name, raw)
    try:
        open_envelope(MAGIC + raw)
    except ProtobufError:
        return


def mutations(raw: bytes, choose: random.Random) -> Iterator[bytes]:
    at, other = sorted(choose.randrange(len(raw)) for _ in range(2))
    yield raw[:at]
    yield raw[:at] + raw[other:]
    yield raw[:at] + raw[at:other] * 2 + raw[other:]
    yield raw[:at] + choose.randbytes(1) + raw[at + 1 :]
    yield raw[:at] + choose.choice([b"\x00", b"\xff", b"\x80"]) * 3 + raw[at:]


@given(name=st.sampled_from(FUZZED), seed=st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_broken_messages_are_decoded_or_refused(name: str, seed: int) -> None:
    """A real message with bytes lost, doubled, changed or put in gives JSON or a ProtobufError."""
    for raw in mutations(WHOLE[name], random.Random(seed)):
        decode_or_refuse(name, raw)


# --- The envelope ----------------------------------------------------------------------------------------------------

SEALED = b"k8s\x00\x0a\x0f\x0a\x02v1\x12\x09Namespace\x12\x07\x0a\x05\x0a\x03abc\x1a\x00\x22\x00"


def test_an_envelope_is_what_go_writes() -> None:
    """Magic bytes, type, object, and two empty fields that Go always writes."""
    raw = CODEC.encode(f"{CORE}.Namespace", {"metadata": {"name": "abc"}})
    assert Codec.seal("v1", "Namespace", raw) == SEALED


def test_an_envelope_is_opened() -> None:
    """The envelope says what is in it; the rest is the message."""
    envelope = open_envelope(SEALED)
    assert envelope == Envelope("v1", "Namespace", b"\x0a\x05\x0a\x03abc", "", "")
    assert CODEC.decode(f"{CORE}.Namespace", envelope.raw) == {"metadata": {"name": "abc"}}


@pytest.mark.parametrize(
    ("data", "envelope"),
    [
        pytest.param(MAGIC, Envelope("", "", b"", "", ""), id="nothing in it"),
        pytest.param(
            MAGIC + field(4, b"t") + field(3, b"gzip") + field(2, b"r") + varint(9, 1),
            Envelope("", "", b"r", "gzip", "t"),
            id="no type, in another order, with a field of the future",
        ),
        pytest.param(
            MAGIC + field(1, field(1, b"v1")) + field(1, field(2, b"Pod")),
            Envelope("v1", "Pod", b"", "", ""),
            id="a type in two parts",
        ),
    ],
)
def test_an_envelope_may_be_incomplete(data: bytes, envelope: Envelope) -> None:
    """Some clients leave the type out: the caller knows it from the URL."""
    assert open_envelope(data) == envelope


@pytest.mark.parametrize(
    ("data", "says"),
    [
        pytest.param(b"", "does not begin", id="nothing"),
        pytest.param(b"k8s", "does not begin", id="half the magic"),
        pytest.param(b'{"kind":"Pod"}', "does not begin", id="JSON"),
        pytest.param(b"\x0a\x02v1", "does not begin", id="a bare message"),
        pytest.param(MAGIC + b"\x12\x05a", "longer than what", id="a message beyond the end"),
        pytest.param(
            MAGIC + b"\x0a\x03\x0a\x01\xff", "not valid UTF-8", id="a version not in UTF-8"
        ),
        pytest.param(MAGIC + b"\x10\x01", "wrong wire type", id="a number for the message"),
    ],
)
def test_a_malformed_envelope_is_an_error(data: bytes, says: str) -> None:
    """What is no envelope is refused before its kind is believed."""
    with pytest.raises(ProtobufError, match=says):
        open_envelope(data)


def test_messages_without_a_json_type_are_reached_by_name() -> None:
    """PartialObjectMetadata has no schema of its own, and clients ask for it."""
    obj: Mapping[str, Any] = {"metadata": {"name": "a", "labels": {"b": "c"}}}
    raw = CODEC.encode_message(PARTIAL, obj)
    assert raw == field(1, field(1, b"a") + field(11, field(1, b"b") + field(2, b"c")))
    assert CODEC.decode_message(PARTIAL, raw) == obj
