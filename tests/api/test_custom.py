"""Custom resources over HTTP: a definition comes, its kind is served like any other, and goes with it."""

import itertools
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pytest

from tests.api.conftest import Answer, Api, Ask

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
MERGE = {"Content-Type": "application/merge-patch+json"}
APPLY = {"Content-Type": "application/apply-patch+yaml"}
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
DEADLINE = 20.0
"""Seconds; everything takes a fraction of one."""
NUMBERS = itertools.count()
SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "A widget.",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "size": {"type": "integer", "default": 3, "maximum": 9},
                "color": {"type": "string"},
            },
        },
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    },
}


class Group(NamedTuple):
    """A group of its own, with one definition in it."""

    ask: Ask
    name: str

    @property
    def definition(self) -> str:
        """The path of the definition."""
        return f"{DEFINITIONS}/widgets.{self.name}"

    def widgets(self, name: str = "", version: str = "v1") -> str:
        """The path of the widgets, or of one of them."""
        base = f"/apis/{self.name}/{version}/namespaces/default/widgets"
        return f"{base}/{name}" if name else base

    def define(self, *versions: Mapping[str, Any], **spec: Any) -> dict[str, Any]:
        """Makes the definition and waits until it is established."""
        answer = self.ask("POST", DEFINITIONS, self.body(*versions, **spec))
        assert answer.status == 201, answer.text
        return self.established()

    def body(self, *versions: Mapping[str, Any], **spec: Any) -> dict[str, Any]:
        """The definition."""
        return {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"widgets.{self.name}"},
            "spec": {
                "group": self.name,
                "scope": "Namespaced",
                "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"]},
                "versions": list(versions) or [version()],
                **spec,
            },
        }

    def established(self) -> dict[str, Any]:
        """The definition, when its names have been accepted or refused."""

        def found() -> dict[str, Any] | None:
            obj: dict[str, Any] = self.ask("GET", self.definition).json
            state = condition(obj, "NamesAccepted")
            done = condition(obj, "Established") == "True" or state == "False"
            return obj if done else None

        return eventually(found)

    def create(self, name: str, version: str = "v1", **fields: Any) -> Answer:
        """Makes a widget."""
        return self.ask("POST", self.widgets(version=version), self.widget(name, version, **fields))

    def widget(self, name: str, version: str = "v1", **fields: Any) -> dict[str, Any]:
        """A widget."""
        metadata = {"name": name, **fields.pop("metadata", {})}
        return {
            "apiVersion": f"{self.name}/{version}",
            "kind": "Widget",
            "metadata": metadata,
            **fields,
        }


def eventually(found: Any) -> Any:
    """What is found, as soon as something is."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        value = found()
        if value is not None:
            return value
    raise AssertionError("it did not come")


def version(name: str = "v1", *, storage: bool = True, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "served": True,
        "storage": storage,
        "schema": {"openAPIV3Schema": SCHEMA},
        **more,
    }


def condition(obj: Mapping[str, Any], kind: str) -> str:
    found = (obj.get("status") or {}).get("conditions") or ()
    return next((str(each["status"]) for each in found if each["type"] == kind), "")


@pytest.fixture
def group(ask: Ask) -> Iterator[Group]:
    """A group that nobody else uses, and that is gone afterwards."""
    made = Group(ask, f"g{next(NUMBERS)}.example.com")
    yield made
    for obj in ask("GET", DEFINITIONS).json["items"]:
        ask("DELETE", f"{DEFINITIONS}/{obj['metadata']['name']}")

    def gone() -> bool | None:
        return None if ask("GET", DEFINITIONS).json["items"] else True

    eventually(gone)


def test_a_kind_is_served_in_all_its_versions(group: Group) -> None:
    """All versions show the same objects, each under its own name, and the best one first."""
    group.define(version("v1beta1", storage=False), version("v2", storage=False), version())
    assert group.create("a", "v1beta1", spec={"color": "red"}).status == 201
    shown = group.ask("GET", group.widgets("a", "v2")).json
    assert (shown["apiVersion"], shown["spec"]) == (
        f"{group.name}/v2",
        {"color": "red", "size": 3},
    )
    found = group.ask("GET", f"/apis/{group.name}").json
    assert [each["version"] for each in found["versions"]] == ["v2", "v1", "v1beta1"]
    listed = group.ask("GET", group.widgets(version="v1beta1")).json
    assert [each["apiVersion"] for each in listed["items"]] == [f"{group.name}/v1beta1"]


def test_a_new_schema_holds_for_what_is_stored(group: Group) -> None:
    """Objects are read as the schema of now describes them, and judged where they change."""
    group.define()
    group.create("a", spec={"color": "red"})
    schema = json.loads(json.dumps(SCHEMA))
    properties = schema["properties"]["spec"]["properties"]
    del properties["color"]
    properties["weight"] = {"type": "integer", "default": 7}
    change = {"spec": {"versions": [version(schema={"openAPIV3Schema": schema})]}}
    assert group.ask("PATCH", group.definition, change, headers=MERGE).status == 200

    def read() -> Any:
        spec = group.ask("GET", group.widgets("a")).json["spec"]
        return spec if "weight" in spec else None

    assert eventually(read) == {"size": 3, "weight": 7}
    listed = group.ask("GET", group.widgets()).json["items"]
    assert [each["spec"] for each in listed] == [{"size": 3, "weight": 7}]


def test_a_bad_object_is_refused_in_known_words(group: Group) -> None:
    """Field, cause and sentence are upstream's."""
    group.define()
    refused = group.create("a", spec={"size": 10, "color": 1})
    assert refused.status == 422
    assert refused.json["message"] == (
        f'Widget.{group.name} "a" is invalid: [spec.size: Invalid value: 10: spec.size in body should be less than or '
        'equal to 9, spec.color: Invalid value: "integer": spec.color in body must be of type string: "integer"]'
    )
    reasons = [cause["reason"] for cause in refused.json["details"]["causes"]]
    assert reasons == ["FieldValueInvalid", "FieldValueTypeInvalid"]


def test_names_that_are_taken_are_not_accepted(group: Group) -> None:
    """Two definitions of one group cannot share a short name; when one goes, the other one is served."""
    group.define()
    other = Group(group.ask, group.name)
    body = other.body(names={"plural": "others", "kind": "Other", "shortNames": ["wd"]})
    body["metadata"]["name"] = f"others.{group.name}"
    assert group.ask("POST", DEFINITIONS, body).status == 201
    path = f"{DEFINITIONS}/others.{group.name}"

    def state(value: str) -> Any:
        obj = group.ask("GET", path).json
        return obj if condition(obj, "NamesAccepted") == value else None

    refused = eventually(lambda: state("False"))
    [accepted] = [c for c in refused["status"]["conditions"] if c["type"] == "NamesAccepted"]
    assert (accepted["reason"], accepted["message"]) == (
        "ShortNamesConflict",
        '"wd" is already in use',
    )
    assert condition(refused, "Established") == "False"
    served = group.ask("GET", f"/apis/{group.name}/v1").json["resources"]
    assert [each["name"] for each in served] == ["widgets"]
    group.ask("DELETE", group.definition)
    eventually(lambda: state("True"))


def test_what_is_built_in_cannot_be_defined(group: Group) -> None:
    """A definition never takes the place of a kind that everybody counts on."""
    body = group.body(names={"plural": "leases", "kind": "Lease"})
    body["metadata"] = {
        "name": "leases.coordination.k8s.io",
        "annotations": {"api-approved.kubernetes.io": "unapproved, a test"},
    }
    body["spec"]["group"] = "coordination.k8s.io"
    assert group.ask("POST", DEFINITIONS, body).status == 201
    path = f"{DEFINITIONS}/leases.coordination.k8s.io"
    refused = eventually(
        lambda: obj if condition(obj := group.ask("GET", path).json, "NamesAccepted") else None
    )
    assert condition(refused, "NamesAccepted") == "False"
    assert condition(refused, "Established") == "False"


def test_answers_in_protobuf_are_for_built_in_kinds(group: Group) -> None:
    """Who takes JSON too gets that; who takes nothing else gets nothing."""
    group.define()
    group.create("a")
    protobuf = "application/vnd.kubernetes.protobuf"
    for path in (group.widgets(), group.widgets("a")):
        both = group.ask("GET", path, headers={"Accept": f"{protobuf},application/json"})
        assert (both.status, both.headers["Content-Type"]) == (200, "application/json")
        assert group.ask("GET", path, headers={"Accept": protobuf}).status == 406
    sent = group.ask("POST", group.widgets(), b"k8s\x00", headers={"Content-Type": protobuf})
    assert sent.status == 415


def test_columns_are_those_of_the_definition(group: Group) -> None:
    """Values by JSONPath, each in the type of its column; what is not there is null."""
    columns = [
        {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
        {"name": "Ready", "type": "string", "jsonPath": '.status.c[?(@.type=="Ready")].status'},
        {"name": "All", "type": "string", "jsonPath": ".status.c[*].type", "priority": 1},
        {"name": "Made", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]
    group.define(version(additionalPrinterColumns=columns))
    group.create("a", spec={})
    group.create("b", spec={}, status={"c": [{"type": "X"}, {"type": "Ready", "status": "True"}]})
    table = group.ask("GET", group.widgets(), headers=TABLE).json
    assert [each["name"] for each in table["columnDefinitions"]] == [
        "Name",
        "Size",
        "Ready",
        "All",
        "Made",
    ]
    assert [each["priority"] for each in table["columnDefinitions"]] == [0, 0, 0, 1, 0]
    rows = [row["cells"] for row in table["rows"]]
    assert [cells[:4] for cells in rows] == [["a", 3, None, None], ["b", 3, "True", "X,Ready"]]
    assert all(cells[4].endswith("s") for cells in rows)


def test_fields_are_selected_that_the_definition_names(group: Group) -> None:
    """And no others."""
    group.define(version(selectableFields=[{"jsonPath": ".spec.color"}]))
    group.create("a", spec={"color": "red"})
    group.create("b", spec={"color": "blue"})
    found = group.ask("GET", f"{group.widgets()}?fieldSelector=spec.color%3Dblue").json["items"]
    assert [each["metadata"]["name"] for each in found] == ["b"]
    refused = group.ask("GET", f"{group.widgets()}?fieldSelector=spec.size%3D1")
    assert (refused.status, refused.json["message"]) == (
        400,
        "field label not supported: spec.size",
    )


def test_a_status_is_changed_by_its_own_endpoint_alone(group: Group) -> None:
    """Not even labels change with it."""
    group.define(version(subresources={"status": {}}))
    group.create("a", metadata={"labels": {"k": "v"}}, spec={})
    change = {"metadata": {"labels": {"k": "w"}}, "spec": {"size": 5}, "status": {"x": 1}}
    part = group.ask("PATCH", f"{group.widgets('a')}/status", change, headers=MERGE).json
    assert (part["metadata"]["labels"], part["spec"], part["status"]) == (
        {"k": "v"},
        {"size": 3},
        {"x": 1},
    )
    assert part["metadata"]["generation"] == 1


def test_lists_are_merged_by_the_keys_of_the_schema(group: Group) -> None:
    """Server-side apply follows the structural schema."""
    texts = {"k": {"type": "string"}, "v": {"type": "string"}}
    items = {"type": "object", "properties": texts, "required": ["k"]}
    facts = {
        "type": "array",
        "items": items,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["k"],
    }
    schema = {"type": "object", "properties": {"l": facts}}
    group.define(version(schema={"openAPIV3Schema": schema}))
    for manager in ("one", "two"):
        body = group.widget("a", l=[{"k": manager, "v": "x"}])
        path = f"{group.widgets('a')}?fieldManager={manager}"
        assert group.ask("PATCH", path, body, headers=APPLY).status in (200, 201)
    assert [each["k"] for each in group.ask("GET", group.widgets("a")).json["l"]] == ["one", "two"]


def test_documents_tell_of_the_kind_while_it_is_served(group: Group) -> None:
    """OpenAPI 3 and 2 have its schema, discovery has its versions, and all of it leaves with the definition."""
    group.define(version(subresources={"status": {}}))
    name = ".".join((*reversed(group.name.split(".")), "v1", "Widget"))
    document = f"/openapi/v3/apis/{group.name}/v1"
    schema = group.ask("GET", document).json["components"]["schemas"][name]
    assert schema["description"] == "A widget."
    assert schema["properties"]["spec"]["properties"]["size"]["maximum"] == 9
    assert set(schema["properties"]) == {"apiVersion", "kind", "metadata", "spec", "status"}
    older = group.ask("GET", "/openapi/v2").json["definitions"][name]
    assert older["properties"]["spec"]["properties"]["size"] == {"type": "integer"}
    group.ask("DELETE", group.definition)

    def gone() -> bool | None:
        return True if group.ask("GET", group.definition).status == 404 else None

    eventually(gone)
    assert group.ask("GET", document).status == 404
    assert name not in group.ask("GET", "/openapi/v2").json["definitions"]
    assert group.name not in group.ask("GET", "/apis").text


def test_a_definition_waits_for_its_objects(group: Group) -> None:
    """An object that somebody holds keeps the definition; meanwhile no new ones are made."""
    group.define()
    group.create("held", metadata={"finalizers": ["example.com/hold"]})
    group.create("free")
    terminating = group.ask("DELETE", group.definition).json
    assert condition(terminating, "Terminating") == "True"

    def only_held() -> bool | None:
        items = group.ask("GET", group.widgets()).json["items"]
        return True if [each["metadata"]["name"] for each in items] == ["held"] else None

    eventually(only_held)

    def refused() -> Answer | None:
        answer = group.create("new")
        return answer if answer.status == 403 else None

    said = eventually(refused).json["message"]
    assert said == "create not allowed while custom resource definition is terminating"
    change = {"metadata": {"finalizers": None}}
    assert group.ask("PATCH", group.widgets("held"), change, headers=MERGE).status == 200

    def gone() -> bool | None:
        return True if group.ask("GET", group.definition).status == 404 else None

    eventually(gone)
    group.define()
    assert group.ask("GET", group.widgets()).json["items"] == []


def test_a_watch_ends_when_its_kind_goes(group: Group, api: Api) -> None:
    """Whoever watches hears that the objects go, and then that there is nothing to watch."""
    group.define()
    group.create("a")
    connection = api.connect()
    connection.request(
        "GET",
        f"{group.widgets()}?watch=true&timeoutSeconds=30",
        headers={"Authorization": f"Bearer {api.plane.token}"},
    )
    answer = connection.getresponse()
    group.ask("DELETE", group.definition)
    started = time.monotonic()
    types = [json.loads(line)["type"] for line in answer.read().splitlines()]
    connection.close()
    assert types[0] == "ADDED"
    assert time.monotonic() - started < DEADLINE


def test_dependents_of_custom_objects_are_collected(group: Group) -> None:
    """The garbage collector knows kinds that came after it."""
    group.define()
    uid = group.create("owner").json["metadata"]["uid"]
    owner = {"apiVersion": f"{group.name}/v1", "kind": "Widget", "name": "owner", "uid": uid}
    group.create("owned", metadata={"ownerReferences": [owner]})
    maps = "/api/v1/namespaces/default/configmaps"
    name = group.name.partition(".")[0]
    body = {"metadata": {"name": name, "ownerReferences": [owner]}}
    assert group.ask("POST", maps, body).status == 201
    assert group.ask("DELETE", group.widgets("owner")).status == 200
    for path in (group.widgets("owned"), f"{maps}/{name}"):
        eventually(lambda path=path: True if group.ask("GET", path).status == 404 else None)


def test_a_namespace_goes_with_its_custom_objects(group: Group) -> None:
    """The namespace controller asks anew what kinds there are, those of versions that others are not served in too."""
    body = group.body(version("v2"), names={"plural": "others", "kind": "Other"})
    body["metadata"]["name"] = f"others.{group.name}"
    assert group.ask("POST", DEFINITIONS, body).status == 201
    eventually(lambda: group.ask("GET", f"/apis/{group.name}/v2").status == 200 or None)
    group.define()
    name = group.name.partition(".")[0]
    assert group.ask("POST", "/api/v1/namespaces", {"metadata": {"name": name}}).status == 201
    path = f"/apis/{group.name}/v1/namespaces/{name}/widgets"
    assert group.ask("POST", path, group.widget("a")).status == 201
    group.ask("DELETE", f"/api/v1/namespaces/{name}")
    eventually(
        lambda: True if group.ask("GET", f"/api/v1/namespaces/{name}").status == 404 else None
    )
    assert group.ask("GET", f"/apis/{group.name}/v1/widgets").json["items"] == []


def test_a_deprecated_version_says_so(group: Group) -> None:
    """On every request."""
    group.define(version(deprecated=True, deprecationWarning="use gadgets"))
    assert group.ask("GET", group.widgets()).headers["Warning"] == '299 - "use gadgets"'


def test_a_cluster_kind_has_no_namespaces(group: Group) -> None:
    """And a namespaced one has no objects outside of them."""
    group.define(scope="Cluster")
    assert group.ask("GET", group.widgets()).status == 404
    path = f"/apis/{group.name}/v1/widgets"
    assert group.ask("POST", path, group.widget("a")).status == 201
    assert group.ask("GET", f"{path}/a").json["metadata"].get("namespace") is None
