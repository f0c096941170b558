"""Requirements of spec section 4: definitions, and the objects that they define."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tests.conformance.play import (
    ABSENT,
    APPLY,
    DEFINITIONS,
    JSON_PATCH,
    MERGE,
    PARTIAL,
    PROTOBUF,
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

PATH = f"{DEFINITIONS}/things.{{group}}"
GROUP = "/apis/{group}"
THINGS = f"{GROUP}/v1/namespaces/{{ns}}/things"
OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
S, INT = {"type": "string"}, {"type": "integer"}
INVALID = {"reason": "Invalid", "code": 422}
AT = "spec.validation.openAPIV3Schema.properties[f]"
GONE = get(PATH, code=404, until=True)
PAGE = "404 page not found"


def version(schema: Any = OPEN, name: str = "v1", **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "served": True,
        "storage": name == "v1",
        "schema": {"openAPIV3Schema": schema},
        **more,
    }


def of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def definition(
    *versions: Any, names: Mapping[str, Any] | None = None, **spec: Any
) -> dict[str, Any]:
    given = {"plural": "things", "kind": "Thing", **(names or {})}
    spec = {
        "group": "{group}",
        "scope": "Namespaced",
        "names": given,
        "versions": versions or [version()],
        **spec,
    }
    return {"metadata": {"name": f"{given['plural']}.{spec['group']}"}, "spec": spec}


def condition(kind: str, status: str, reason: str) -> Any:
    return lambda found: any(
        (each["type"], each["status"], each["reason"]) == (kind, status, reason) for each in found
    )


ESTABLISHED = condition("Established", "True", "InitialNamesAccepted")


def define(*versions: Any, path: str = PATH, **spec: Any) -> tuple[Step, ...]:
    """A definition, and that its kind is served."""
    return (
        post(DEFINITIONS, definition(*versions, **spec)),
        get(path, has={"status/conditions": ESTABLISHED}, until=True),
        get(f"{GROUP}/v1", until=True),
    )


def thing(name: str = "a", *, of_version: str = "v1", **fields: Any) -> dict[str, Any]:
    return {"apiVersion": f"{{group}}/{of_version}", "kind": "Thing", **named(name, **fields)}


def refused(sentence: str, body: Any, says: str) -> Any:
    return case(sentence, post(DEFINITIONS, body, 422, says=says, has=INVALID))


def unstructural(sentence: str, facts: Any, says: str) -> Any:
    return refused(f"4.1 {sentence}", definition(version(of(f=facts))), f"{AT}{says}")


def ruled(sentence: str, facts: Any, says: str, **rule: Any) -> Any:
    return unstructural(
        sentence,
        {**facts, "x-kubernetes-validations": [{"rule": "true", **rule}]},
        f".x-kubernetes-validations[0].{says}",
    )


WEBHOOK = {"clientConfig": {"url": "https://127.0.0.1:1/"}, "conversionReviewVersions": ["v1"]}
KEYED = {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}
DEFINED = [
    case("4.1 singular, listKind and conversion are filled in; a generation, and no status of the client's", post(DEFINITIONS, {**definition(), "status": {"storedVersions": ["v9"]}}, has={"spec/names/singular": "thing", "spec/names/listKind": "ThingList", "spec/conversion/strategy": "None", "status/storedVersions": ["v1"], "metadata/generation": 1})),
    case("4.1 no update without a resourceVersion", *define(), put(PATH, definition(), 422, says="must be specified for an update")),
    case("4.1 the generation counts changes of the spec", *define(), patch(PATH, {"spec": {"names": {"shortNames": ["th"]}}}, has={"metadata/generation": 2})),
    case("4.1 a new storage version is noted", *define(version(), version(name="v2")), patch(PATH, [{"op": "replace", "path": "/spec/versions/0/storage", "value": False}, {"op": "replace", "path": "/spec/versions/1/storage", "value": True}], JSON_PATCH, has={"status/storedVersions": ["v1", "v2"]})),
    case("4.1 one that was stored stays among the versions", *define(), patch(PATH, {"spec": {"versions": [version(name="v2", storage=True)]}}, code=422, says='status.storedVersions[0]: Invalid value: "v1": must appear in spec.versions')),
    case("4.1 /status keeps the spec", *define(), patch(f"{PATH}/status", {"spec": {"scope": "Cluster"}}, has={"spec/scope": "Namespaced"})),
    *(case(f"4.1 {field} does not change once established", *define(), patch(PATH, {"spec": change}, code=422, says=f"spec.{field}: Invalid value")) for field, change in (("group", {"group": "b.example.com"}), ("scope", {"scope": "Cluster"}), ("names.plural", {"names": {"plural": "others"}}), ("names.kind", {"names": {"kind": "Other"}}))),
    refused("4.1 the name is plural and group", {**definition(), "metadata": {"name": "x"}}, 'metadata.name: Invalid value: "x": must be spec.names.plural+"."+spec.group'),
    refused("4.1 a group has a dot", definition(group="nodot"), "spec.group: Invalid value: \"nodot\": should be a domain with at least one dot"),
    refused("4.1 plurals are lower case", definition(names={"plural": "Things"}), 'spec.names.plural: Invalid value: "Things"'),
    refused("4.1 short names too", definition(names={"shortNames": ["T"]}), 'spec.names.shortNames[0]: Invalid value: "T"'),
    refused("4.1 kind and listKind differ", definition(names={"listKind": "Thing"}), "spec.names.listKind: Invalid value: \"Thing\": kind and listKind may not be the same"),
    refused("4.1 a scope is Cluster or Namespaced", definition(scope="Bogus"), 'spec.scope: Unsupported value: "Bogus": supported values: "Cluster", "Namespaced"'),
    refused("4.1 names of versions are unique", definition(version(), version(storage=False)), "must contain unique version names"),
    refused("4.1 one version is stored", definition(version(), version(name="v2", storage=True)), "must have exactly one version marked as storage version"),
    refused("4.1 and not none", definition(version(storage=False)), "must have exactly one version marked as storage version"),
    refused("4.1 every version has a schema", definition({"name": "v1", "served": True, "storage": True}), "spec.versions[0].schema.openAPIV3Schema: Required value"),
    refused("4.1 fields are preserved by the schema, not by the definition", definition(preserveUnknownFields=True), "spec.preserveUnknownFields: Invalid value: true: cannot set to true"),
    refused("4.1 groups of Kubernetes want an approval", definition(group="a.k8s.io"), "metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have approval annotation"),
    refused("4.1 a conversion that does not exist", definition(conversion={"strategy": "Bogus"}), 'spec.conversion.strategy: Unsupported value: "Bogus": supported values: "None", "Webhook"'),
    refused("4.1 a webhook says where it is", definition(conversion={"strategy": "Webhook"}), "spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook"),
    refused("4.1 and in which versions it is asked", definition(conversion={"strategy": "Webhook", "webhook": {**WEBHOOK, "conversionReviewVersions": ["v9"]}}), "must include at least one of v1, v1beta1"),
    refused("4.1 without the strategy there is no webhook", definition(conversion={"strategy": "None", "webhook": WEBHOOK}), "spec.conversion.webhookClientConfig: Forbidden: should not be set when strategy is not set to Webhook"),
    refused("4.1 columns have one of five types", definition(version(additionalPrinterColumns=[{"name": "C", "type": "bogus", "jsonPath": ".x"}])), "must be one of integer,number,string,boolean,date"),
    refused("4.1 selectable fields are in the schema", definition(version(selectableFields=[{"jsonPath": ".spec.x"}])), "does not refer to a valid field"),
    refused("4.1 and are at most eight", definition(version(of(**{f"f{n}": S for n in range(9)}), selectableFields=[{"jsonPath": f".f{n}"} for n in range(9)])), "must have at most 8 items"),
    refused("4.1 a scale is in spec and status", definition(version(subresources={"scale": {"specReplicasPath": ".x.y", "statusReplicasPath": ".x.y"}})), "should be a json path under .spec"),
    refused("4.1 the root is an object", definition(version(S)), 'spec.validation.openAPIV3Schema.type: Invalid value: "string": must be object at the root'),
    refused("4.1 the root is never null", definition(version({**OPEN, "nullable": True})), "spec.validation.openAPIV3Schema.nullable: Forbidden: nullable cannot be true at the root"),
    refused("4.1 of metadata only the name is described", definition(version(of(metadata=of(labels={"type": "object"})))), "must not specify anything other than name and generateName"),
    unstructural("everything has a type", {}, ".type: Required value: must not be empty for specified object fields"),
    *(unstructural(f"no {fact}", {**S, fact: value}, f".{fact}: Forbidden: {fact} is not supported") for fact, value in (("$ref", "#/x"), ("definitions", {"x": S}), ("patternProperties", {"x": S}), ("dependencies", {"x": ["y"]}), ("id", "x"))),
    unstructural("items are one schema", {"type": "array", "items": [S]}, ".items: Forbidden: items must be a schema object and not an array"),
    unstructural("uniqueItems would be slow", {"type": "array", "items": S, "uniqueItems": True}, ".uniqueItems: Forbidden"),
    unstructural("properties or additionalProperties", {**of(a=S), "additionalProperties": S}, ".additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive"),
    unstructural("keys of a list are always there", {**KEYED, "items": of(k=S)}, ".items.properties[k].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"),
    unstructural("and scalars", {**KEYED, "items": {**of(k=OPEN), "required": ["k"]}}, ".items.properties[k].type: Invalid value: \"object\": must be a scalar type if parent array's x-kubernetes-list-type is map"),
    unstructural("members of a set are whole", {"type": "array", "items": of(k=S), "x-kubernetes-list-type": "set"}, ".items.x-kubernetes-map-type: Required value: must be atomic as item of a list with x-kubernetes-list-type=set"),
    unstructural("and never null", {"type": "array", "items": {**S, "nullable": True}, "x-kubernetes-list-type": "set"}, ".items.nullable: Forbidden: cannot be nullable when x-kubernetes-list-type is set"),
    unstructural("an alternative has no types", {**S, "anyOf": [{"type": "string"}]}, ".anyOf[0].type: Forbidden: must be empty to be structural"),
    unstructural("and speaks of what there is", {"type": "object", "anyOf": [{"properties": {"x": {"minLength": 1}}}]}, ".properties[x]: Required value: because it is defined in " + AT + ".anyOf[0].properties[x]"),
    unstructural("a default fits its schema", {**S, "default": 1}, '.default: Invalid value: "integer"'),
    unstructural("and has no fields that would be pruned", {"type": "object", "default": {"x": 1}}, '.default: Invalid value: {"x":1}: must not have unknown fields'),
    ruled("a rule says something", INT, "rule: Required value: rule is not specified", rule=" "),
    ruled("a rule is in the language", INT, "rule: Invalid value: \"self >\": compilation failed", rule="self >"),
    ruled("reasons are four", INT, 'reason: Unsupported value: "Bogus": supported values: "FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"', reason="Bogus"),
    ruled("messages are one line", INT, 'message: Invalid value: "a\\nb": message must not contain line breaks', message="a\nb"),
    ruled("a fieldPath leads to a field", of(a=S), 'fieldPath: Invalid value: ".b": fieldPath must be a valid path', fieldPath=".b"),
    ruled("optionalOldSelf wants oldSelf", INT, "optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule", optionalOldSelf=True),
    unstructural("items of a list have no past", {"type": "array", "items": {**INT, "x-kubernetes-validations": [{"rule": "self > oldSelf"}]}}, f".items.x-kubernetes-validations[0].rule: Invalid value: \"self > oldSelf\": oldSelf cannot be used on the uncorrelatable portion of the schema within {AT}"),
]  # fmt: skip
COLLIDES = {
    "names": {"plural": "others", "kind": "Thing", "singular": "other", "listKind": "OtherList"}
}
ENTRIES = {
    "resources/0/name": "things",
    "resources/0/singularName": "thing",
    "resources/0/kind": "Thing",
    "resources/0/namespaced": True,
}
SERVED = [
    case("4.2 names are accepted and the kind is established, with times", *define(), get(PATH, has={"status/conditions": lambda found: condition("NamesAccepted", "True", "NoConflicts")(found) and all(each["lastTransitionTime"] for each in found), "status/acceptedNames/plural": "things"})),
    case("4.2 watchers see it in steps", get(DEFINITIONS, save={"now": "metadata/resourceVersion"}), *define(), watch(f"{DEFINITIONS}?watch=1&fieldSelector=metadata.name=things.{{group}}&resourceVersion={{now}}", "ADDED things.{group}", "MODIFIED things.{group}", "MODIFIED things.{group}")),
    case("4.2 names that are taken are not accepted", *define(), post(DEFINITIONS, definition(**COLLIDES)), get(f"{DEFINITIONS}/others.{{group}}", until=True, has={"status/conditions": lambda found: condition("NamesAccepted", "False", "KindConflict")(found) and condition("Established", "False", "NotAccepted")(found)}), get(f"{GROUP}/v1", has={"resources/1": ABSENT})),
    case("4.2 they are when they are free again", *define(), post(DEFINITIONS, definition(**COLLIDES)), delete(PATH), GONE, get(f"{DEFINITIONS}/others.{{group}}", until=True, has={"status/conditions": ESTABLISHED})),
    case("4.2 the entry in discovery", *define(version(subresources={"status": {}, "scale": {"specReplicasPath": ".spec.n", "statusReplicasPath": ".status.n"}})), get(f"{GROUP}/v1", has={**ENTRIES, "resources/0/verbs": ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"], "resources/0/storageVersionHash": len, "resources/1/name": lambda name: name.startswith("things/"), "resources": lambda found: any((each["name"], each["kind"], each.get("group"), each["verbs"]) == ("things/scale", "Scale", "autoscaling", ["get", "patch", "update"]) for each in found)})),
    case("4.2 versions in the order in which clients prefer them", *define(version(), version(name="v1beta1"), version(name="v2"), version(name="other")), get(GROUP, has={"versions": lambda found: [each["version"] for each in found] == ["v2", "v1", "v1beta1", "other"], "preferredVersion/version": "v2"})),
    case("4.2 of a kind that goes discovery announces no writes", *define(), post(THINGS, thing(meta={"finalizers": ["example.com/h"]})), delete(PATH), get(f"{GROUP}/v1", until=True, has={"resources/0/verbs": ["delete", "deletecollection", "get", "list", "watch"]}), patch(f"{THINGS}/a", {"metadata": {"finalizers": None}}), GONE),
    case("4.3 a namespaced kind without a namespace is a plain 404", *define(), post(f"{GROUP}/v1/things", thing(), 404, says=PAGE), get(f"{GROUP}/v1/things/a", code=404, says=PAGE), get(f"{GROUP}/v1/things")),
    case("4.3 a cluster's kind in a namespace too", *define(scope="Cluster"), get(THINGS, code=404, says=PAGE), post(f"{GROUP}/v1/things", thing())),
    case("4.3 a version that is not served, a kind that is not there", *define(version(), version(name="v2", served=False)), get(THINGS.replace("v1", "v2"), code=404, says=PAGE), get(f"{GROUP}/v1/others", code=404, says=PAGE), get(f"{GROUP}/v9", code=404, says=PAGE)),
    case("4.3 an unknown part is a Status", *define(), get(f"{THINGS}/a/bogus", code=404, says='things.{group} "a" not found', has={"reason": "NotFound"})),
    case("4.3 a verb that is not there", *define(), put(THINGS, thing(), 405, says='update is not supported on resources of kind "things.{group}"', has={"reason": "MethodNotAllowed"})),
    case("4.3 no strategic merge", *define(), post(THINGS, thing()), patch(f"{THINGS}/a", {}, STRATEGIC, code=415, says="application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml")),
    case("4.3 no protobuf, but for metadata", *define(), post(THINGS, b"k8s\0", 415, sends={"Content-Type": PROTOBUF}), post(THINGS, thing()), get(f"{THINGS}/a", code=406, sends={"Accept": PROTOBUF}), get(f"{THINGS}/a", sends={"Accept": f"{PROTOBUF};as=PartialObjectMetadata;g=meta.k8s.io;v=v1"}, head={"Content-Type": PROTOBUF})),
    case("4.3 what goes takes nothing new, by no verb", *define(), post(THINGS, thing(meta={"finalizers": ["example.com/h"]})), delete(PATH), post(THINGS, thing("b"), 403, says="create not allowed while custom resource definition is terminating", until=True), patch(f"{THINGS}/b?fieldManager=m", thing("b"), APPLY, code=403), patch(f"{THINGS}/a", {"metadata": {"finalizers": None}}), GONE),
    case("4.3 a deprecated version warns", *define(version(), version(name="v2", deprecated=True), version(name="v3", deprecated=True, deprecationWarning="use v1")), get(THINGS.replace("v1", "v2"), head={"Warning": lambda text: "/v2 Thing is deprecated" in text}), get(THINGS.replace("v1", "v3"), head={"Warning": '299 - "use v1"'})),
    *(case(f"4.3 an object is refused: {what}", *define(), post(THINGS, body, code, says=said)) for what, body, code, said in (("no kind", {**thing(), "kind": ""}, 400, "Object 'Kind' is missing in"), ("another kind", {**thing(), "kind": "Other"}, 422, 'kind: Invalid value: "Other": must be Thing'), ("another kind, and metadata that are none", {**thing(), "kind": {}, "metadata": "x"}, 400, "Object 'Kind' is missing in"), ("no kind at all, and metadata that are none", {**thing(), "kind": [1], "metadata": "x"}, 422, "must be Thing"), ("another version", thing(of_version="v2"), 400, "does not match the expected API version ({group}/v1)"), ("labels that are none", thing(meta={"labels": {"k": 1}}), 400, "json: cannot unmarshal number into Go struct field ObjectMeta.labels of type string"), ("a name that is none", thing("A"), 422, "a lowercase RFC 1123 subdomain must consist of"))),
    case("4.3 of versions without conversion only the apiVersion differs; each has its own defaults", *define(version(of(spec=of(a=S))), version(of(spec=of(a=S, b={**INT, "default": 7})), "v2")), post(THINGS, thing(spec={"a": "x"})), get(f"{THINGS}/a".replace("v1", "v2"), has={"apiVersion": "{group}/v2", "spec": {"a": "x", "b": 7}}), get(f"{THINGS}/a", has={"spec": {"a": "x"}})),
    case("4.3 what only a webhook could convert is refused, and the answer to the definition says so", post(DEFINITIONS, definition(version(), version(name="v2"), conversion={"strategy": "Webhook", "webhook": WEBHOOK}), head={"Warning": lambda text: "not called by this server" in text}), post(THINGS, thing(), until=True), get(f"{THINGS}/a".replace("v1", "v2"), code=500, says="conversion webhook for {group}/v1, Kind=Thing failed"), watch(f"{THINGS}?watch=1".replace("v1", "v2"), "ERROR", has={"0/object/code": 500}), delete(f"{THINGS}/a".replace("v1", "v2"))),
    case("4.3 list kinds and items say what they are", *define(), post(THINGS, thing()), get(THINGS, has={"kind": "ThingList", "apiVersion": "{group}/v1", "items/0/kind": "Thing", "items/0/apiVersion": "{group}/v1"})),
    case("4.3 columns: the name and an age", *define(), post(THINGS, thing()), get(THINGS, sends=TABLE, has={"columnDefinitions/0/name": "Name", "columnDefinitions/1/name": "Age", "columnDefinitions/1/type": "date", "columnDefinitions/2": ABSENT, "metadata/continue": ABSENT})),
    case("4.3 or those of the definition; what is missing is null", *define(version(additionalPrinterColumns=[{"name": "N", "type": "integer", "jsonPath": ".spec.n"}, {"name": "T", "type": "string", "jsonPath": ".spec.t"}])), post(THINGS, thing(spec={"n": 3})), get(f"{THINGS}/a", sends=TABLE, has={"rows/0/cells": ["a", 3, None]})),
    case("4.3 fields that the definition names select", *define(version(of(spec=of(c=S)), selectableFields=[{"jsonPath": ".spec.c"}])), post(THINGS, thing(spec={"c": "red"})), post(THINGS, thing("b", spec={"c": "blue"})), get(f"{THINGS}?fieldSelector=spec.c=blue", has={"items/0/metadata/name": "b", "items/1": ABSENT}), get(f"{THINGS}?fieldSelector=spec.d=blue", code=400, says="field label not supported: spec.d"), delete(f"{THINGS}?fieldSelector=spec.c=red"), get(THINGS, has={"items/0/metadata/name": "b"})),
    case("4.3 a finalizer without a path is taken, with a warning", *define(), post(THINGS, thing(meta={"finalizers": ["plain"]}), head={"Warning": lambda text: "prefer a domain-qualified finalizer name" in text})),
    case("4.4 a deletion marks the definition, and answers with it", *define(), post(THINGS, thing(meta={"finalizers": ["example.com/h"]})), delete(PATH, has={"metadata/finalizers": ["customresourcecleanup.apiextensions.k8s.io"], "status/conditions": condition("Terminating", "True", "InstanceDeletionPending")}), get(PATH, until=True, has={"status/conditions": condition("Terminating", "True", "InstanceDeletionInProgress")}), get(f"{THINGS}/a", has={"metadata/deletionTimestamp": len}), patch(f"{THINGS}/a", {"metadata": {"finalizers": None}}), GONE),
    case("4.4 then its kind is gone, and a new one of the same name works at once", *define(), post(THINGS, thing()), delete(PATH), GONE, get(GROUP, code=404, says=PAGE), get(THINGS, code=404, says=PAGE), *define(), get(THINGS, has={"items": []})),
    case("4.5 what operators do", *define(version(subresources={"status": {}})), post(THINGS, thing()), patch(f"{THINGS}/a", {"metadata": {"finalizers": ["example.com/h"]}}, MERGE), patch(f"{THINGS}/a/status", {"status": {"x": {"y": 1}}}, MERGE, has={"status/x/y": 1}), patch(f"{THINGS}/a", [{"op": "test", "path": "/metadata/resourceVersion", "value": "1"}], JSON_PATCH, code=422), delete(f"{THINGS}/a", has={"metadata/deletionTimestamp": len}), patch(f"{THINGS}/a", {"metadata": {"finalizers": []}}, MERGE), patch(f"{THINGS}/a", {}, MERGE, code=404), get(THINGS, sends=PARTIAL, code=406)),
]  # fmt: skip


@pytest.mark.parametrize("steps", [*DEFINED, *SERVED])
def test_definitions(player: Player, steps: Sequence[Step]) -> None:
    """Which definitions are taken, and what is served of them."""
    player.play(steps)


TAG = {"type": "array", "items": S, "x-kubernetes-list-type": "set"}
PORTS = {
    **KEYED,
    "items": {**of(k=INT, p={**S, "default": "TCP"}), "required": ["k"]},
    "x-kubernetes-list-map-keys": ["k", "p"],
}
EMBEDDED = {
    "type": "object",
    "x-kubernetes-embedded-resource": True,
    "x-kubernetes-preserve-unknown-fields": True,
}
SPEC = of(
    size={**INT, "default": 3, "maximum": 9}, color={**S, "enum": ["red", "blue"]}, name={**S, "pattern": "^[a-z]+$", "maxLength": 5}, port={"x-kubernetes-int-or-string": True}, tags=TAG, ports=PORTS, maybe={**S, "nullable": True},
    free={**OPEN, "properties": {"known": of(a=S)}}, inner=EMBEDDED, map={"type": "object", "additionalProperties": of(q={**INT, "default": 1})}, list={"type": "array", "items": of(q={**INT, "default": 2})}, when={**S, "format": "date-time"},
    either={**INT, "oneOf": [{"minimum": 5}, {"maximum": 3}]}, no={**S, "not": {"enum": ["x"]}}, need={**of(a=S), "required": ["a"]}, fixed={**S, "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "is fixed"}]},
    bound={**of(low=INT, high=INT), "x-kubernetes-validations": [{"rule": "self.low <= self.high", "messageExpression": "'low is ' + string(self.low)", "reason": "FieldValueForbidden", "fieldPath": ".low"}]},
    rising={**INT, "x-kubernetes-validations": [{"rule": "oldSelf.orValue(0) <= self", "optionalOldSelf": True}]}, amount={**S, "x-kubernetes-validations": [{"rule": "quantity(self).isLessThan(quantity('1Gi'))"}]},
)  # fmt: skip
SCHEMA = of(spec=SPEC, status=of(n=INT))
SCALE = {
    "specReplicasPath": ".spec.size",
    "statusReplicasPath": ".status.n",
    "labelSelectorPath": ".spec.name",
}
RULED = define(version(SCHEMA, subresources={"status": {}, "scale": SCALE}))


def made(sentence: str, spec: Any, shown: Any) -> Any:
    return case(
        f"4.3 {sentence}",
        *RULED,
        post(THINGS, thing(spec=spec), has={"spec": {"size": 3, **shown}}),
    )


def wrong(sentence: str, spec: Any, says: str, cause: str = "FieldValueInvalid") -> Any:
    return case(
        f"4.3 {sentence}",
        *RULED,
        post(THINGS, thing(spec=spec), 422, says=says, has={"details/causes/0/reason": cause}),
    )


OBJECTS = [
    made("unknown fields are pruned, at all depths", {"x": 1, "map": {"a": {"q": 2, "x": 1}}}, {"map": {"a": {"q": 2}}}),
    made("where they are preserved they stay, and what is described below is pruned", {"free": {"x": 1, "known": {"a": "b", "x": 1}}}, {"free": {"x": 1, "known": {"a": "b"}}}),
    made("defaults", {}, {}),
    made("defaults in entries and items", {"map": {"a": {}}, "list": [{}]}, {"map": {"a": {"q": 1}}, "list": [{"q": 2}]}),
    made("nulls that mean nothing go, and defaults take their place", {"size": None, "color": None, "maybe": None}, {"maybe": None}),
    made("an integer or a text", {"port": "http"}, {"port": "http"}),
    made("the default of a key tells items apart", {"ports": [{"k": 1}, {"k": 1, "p": "UDP"}]}, {"ports": [{"k": 1, "p": "TCP"}, {"k": 1, "p": "UDP"}]}),
    made("metadata of an object inside is metadata", {"inner": {"apiVersion": "v1", "kind": "K", "metadata": {"name": "x", "bogus": 1}, "any": 1}}, {"inner": {"apiVersion": "v1", "kind": "K", "metadata": {"name": "x"}, "any": 1}}),
    case("4.3 a parent that is not there gets no defaults", *RULED, post(THINGS, thing(), has={"spec": ABSENT})),
    case("4.3 unknown fields are told of, metadata included", *RULED, post(f"{THINGS}?fieldValidation=Strict", thing(meta={"bogus": 1}, spec={"x": 1}, y=1), 400, says='strict decoding error: unknown field "metadata.bogus", unknown field "spec.x", unknown field "y"'), post(THINGS, thing(spec={"x": 1}), head={"Warning": '299 - "unknown field \\"spec.x\\""'})),
    case("4.3 so are keys that occur twice", *RULED, post(f"{THINGS}?fieldValidation=Strict", b'{"apiVersion":"{group}/v1","kind":"Thing","metadata":{"name":"a"},"spec":{"size":1,"size":2}}', 400, says='strict decoding error: duplicate field "spec.size"')),
    wrong("a type", {"size": "x"}, 'spec.size: Invalid value: "string": spec.size in body must be of type integer: "string"', "FieldValueTypeInvalid"),
    wrong("a maximum", {"size": 10}, "spec.size: Invalid value: 10: spec.size in body should be less than or equal to 9"),
    wrong("an enum", {"color": "green"}, 'spec.color: Unsupported value: "green": supported values: "red", "blue"', "FieldValueNotSupported"),
    wrong("a pattern", {"name": "A"}, "spec.name: Invalid value: \"A\": spec.name in body should match '^[a-z]+$'"),
    wrong("a length", {"name": "aaaaaa"}, "spec.name: Too long: may not be more than 5 bytes", "FieldValueTooLong"),
    wrong("a format", {"when": "soon"}, 'spec.when in body must be of type date-time: "soon"', "FieldValueTypeInvalid"),
    wrong("neither integer nor text", {"port": 1.5}, "spec.port in body must be of type integer,string", "FieldValueTypeInvalid"),
    wrong("a set has everything once", {"tags": ["a", "a"]}, 'spec.tags[1]: Duplicate value: "a"', "FieldValueDuplicate"),
    wrong("a map has every key once", {"ports": [{"k": 1}, {"k": 1}]}, 'spec.ports[1]: Duplicate value: {"k":1,"p":"TCP"}', "FieldValueDuplicate"),
    wrong("oneOf", {"either": 4}, '"spec.either" must validate one and only one schema (oneOf). Found none valid'),
    wrong("not", {"no": "x"}, '"spec.no" must not validate the schema (not)'),
    wrong("what is required", {"need": {}}, "spec.need.a: Required value", "FieldValueRequired"),
    wrong("an object inside says what it is", {"inner": {}}, "spec.inner.apiVersion: Required value: must not be empty", "FieldValueRequired"),
    wrong("and has labels like any other", {"inner": {"apiVersion": "v1", "kind": "K", "metadata": {"labels": {"a b": "c"}}}}, 'spec.inner.metadata.labels: Invalid value: "a b"'),
    wrong("a rule, with its own message, reason and path", {"bound": {"low": 2, "high": 1}}, "spec.bound.low: Forbidden: low is 2", "FieldValueForbidden"),
    wrong("a rule about a quantity", {"amount": "2Gi"}, "spec.amount: Invalid value: \"2Gi\": failed rule: quantity(self).isLessThan(quantity('1Gi'))"),
    case("4.3 a rule about changes", *RULED, post(THINGS, thing(spec={"fixed": "a"})), patch(f"{THINGS}/a", {"spec": {"fixed": "b"}}, code=422, says='spec.fixed: Invalid value: "b": is fixed'), patch(f"{THINGS}/a", {"spec": {"fixed": None}})),
    case("4.3 a rule about changes and beginnings", *RULED, post(THINGS, thing(spec={"rising": -1}), 422, says="failed rule: oldSelf.orValue(0) <= self"), post(THINGS, thing(spec={"rising": 5})), patch(f"{THINGS}/a", {"spec": {"rising": 4}}, code=422), patch(f"{THINGS}/a", {"spec": {"rising": 6}})),
    case("4.3 what was stored under another schema is forgiven until it is touched, and read with the defaults of now", *define(version(of(spec=of(a=S, b=S)))), post(THINGS, thing(spec={"a": "long"})), patch(PATH, [{"op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema", "value": of(spec=of(a={**S, "maxLength": 1}, b=S, c={**S, "default": "d"}))}], JSON_PATCH), get(f"{THINGS}/a", has={"spec/c": "d"}, until=True), patch(f"{THINGS}/a", {"spec": {"b": "x"}}), patch(f"{THINGS}/a", {"spec": {"a": "longer"}}, code=422)),
    case("4.3 the main path takes no status", *RULED, post(THINGS, thing(status={"n": 1}), has={"status": ABSENT}), patch(f"{THINGS}/a/status", {"status": {"n": 2}}), patch(f"{THINGS}/a", {"status": {"n": 3}}, has={"status/n": 2})),
    case("4.3 /status changes the status alone", *RULED, post(THINGS, thing(spec={"size": 1})), patch(f"{THINGS}/a/status", {"spec": {"size": 2}, "metadata": {"labels": {"k": "v"}, "finalizers": ["example.com/h"]}, "status": {"n": 2}}, has={"spec/size": 1, "metadata/labels": ABSENT, "metadata/finalizers": ABSENT, "status/n": 2, "metadata/generation": 1})),
    case("4.3 a PUT wants a resourceVersion, on both paths", *RULED, post(THINGS, thing()), put(f"{THINGS}/a", thing(), 422, says="metadata.resourceVersion: Invalid value: 0: must be specified for an update"), put(f"{THINGS}/a/status", thing(), 422)),
    case("4.3 the generation counts everything outside of metadata and status", *RULED, post(THINGS, thing(spec={"size": 1}), has={"metadata/generation": 1}), patch(f"{THINGS}/a", {"metadata": {"labels": {"k": "v"}}}, has={"metadata/generation": 1}), patch(f"{THINGS}/a", {"spec": {"size": 2}}, has={"metadata/generation": 2})),
    case("4.3 without the part a status counts too", *define(version(SCHEMA)), post(THINGS, thing(status={"n": 1}), has={"status/n": 1}), patch(f"{THINGS}/a", {"status": {"n": 2}}, has={"metadata/generation": 2})),
    case("4.3 a Scale", *RULED, post(THINGS, thing(spec={"size": 2, "name": "x"})), patch(f"{THINGS}/a/status", {"status": {"n": 1}}), get(f"{THINGS}/a/scale", has={"kind": "Scale", "apiVersion": "autoscaling/v1", "spec/replicas": 2, "status/replicas": 1, "status/selector": "x"}), patch(f"{THINGS}/a/scale", {"spec": {"replicas": 5}}, has={"spec/replicas": 5}), get(f"{THINGS}/a", has={"spec/size": 5}), put(f"{THINGS}/a/scale", {"metadata": {"name": "a"}, "spec": {"replicas": 99}}, 422, says="spec.size in body should be less than or equal to 9")),
    case("4.3 an apply by the schema", *RULED, patch(f"{THINGS}/a?fieldManager=m", thing(spec={"tags": ["a"], "ports": [{"k": 1}]}), APPLY, code=201), patch(f"{THINGS}/a?fieldManager=n", thing(spec={"tags": ["b"], "ports": [{"k": 2}]}), APPLY, has={"spec/tags": ["a", "b"], "spec/ports": [{"k": 1, "p": "TCP"}, {"k": 2, "p": "TCP"}]}), patch(f"{THINGS}/a?fieldManager=m", thing(), APPLY, has={"spec/tags": ["b"]})),
]  # fmt: skip


@pytest.mark.parametrize("steps", OBJECTS)
def test_objects(player: Player, steps: Sequence[Step]) -> None:
    """What a schema makes of objects, and what it refuses."""
    player.play(steps)
