"""store/custom/definitions.py and structural.py: which definitions are refused, and in what words."""

import sys
from typing import Any

import pytest
from verger.store.custom import rules
from verger.store.custom.definitions import set_defaults, validate, validate_update, warnings
from verger.store.custom.structural import check_schema

SCHEMA: dict[str, Any] = {"type": "object"}
S = {"type": "string"}


def definition(schema: Any = None, **version: Any) -> dict[str, Any]:
    """A definition that nothing is wrong with, but for what is given."""
    obj = {
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema or SCHEMA},
                    **version,
                }
            ],
        },
        "status": {"storedVersions": ["v1"]},
    }
    set_defaults(obj)
    return obj


def said(obj: dict[str, Any]) -> list[str]:
    return [str(error) for error in validate(obj)]


def test_names_follow_from_the_kind() -> None:
    """singular, listKind and the strategy of conversion need not be said."""
    spec = definition()["spec"]
    assert spec["names"]["singular"] == "widget"
    assert spec["names"]["listKind"] == "WidgetList"
    assert spec["conversion"] == {"strategy": "None"}


def test_nothing_is_wrong_with_a_plain_one() -> None:
    """No errors, no warnings."""
    assert (said(definition()), warnings(definition())) == ([], [])


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        pytest.param({"group": "example"}, "spec.group: Invalid value: \"example\": should be a domain with at least one dot", id="a group without a dot"),
        pytest.param({"scope": ""}, "spec.scope: Required value", id="no scope"),
        pytest.param({"preserveUnknownFields": True}, "spec.preserveUnknownFields: Invalid value: true: cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead", id="fields that are kept everywhere"),
        pytest.param({"conversion": {"strategy": "Magic"}}, 'spec.conversion.strategy: Unsupported value: "Magic": supported values: "None", "Webhook"', id="a conversion that does not exist"),
    ],
)  # fmt: skip
def test_definitions_that_make_no_sense_are_refused(change: Any, wanted: str) -> None:
    """The sentence is upstream's."""
    obj = definition()
    obj["spec"] |= change
    assert wanted in said(obj)


@pytest.mark.parametrize(
    ("version", "wanted"),
    [
        pytest.param({"additionalPrinterColumns": [{"name": "A", "type": "text", "jsonPath": ".a"}]}, 'spec.versions[0].additionalPrinterColumns[0].type: Invalid value: "text": must be one of integer,number,string,boolean,date', id="a type that columns have not"),
        pytest.param({"additionalPrinterColumns": [{"name": "A", "type": "string"}]}, "spec.versions[0].additionalPrinterColumns[0].jsonPath: Required value", id="a column of nothing"),
        pytest.param({"subresources": {"scale": {"specReplicasPath": ".spec.r", "statusReplicasPath": ".spec.r"}}}, 'spec.versions[0].subresources.scale.statusReplicasPath: Invalid value: ".spec.r": should be a json path under .status', id="a status that is no status"),
        pytest.param({"selectableFields": [{"jsonPath": ".spec.a"}]}, 'spec.versions[0].selectableFields[0].jsonPath: Invalid value: ".spec.a": does not refer to a valid field', id="a field that does not exist"),
        pytest.param({"name": "V1"}, "spec.versions[0].name: Invalid value: \"V1\": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')", id="a version in capitals"),
    ],
)  # fmt: skip
def test_versions_that_make_no_sense_are_refused(version: Any, wanted: str) -> None:
    """The sentence is upstream's."""
    assert wanted in said(definition(**version))


def test_protected_groups_need_an_approval() -> None:
    """Groups of the project are not for everybody."""
    obj = definition()
    obj["spec"]["group"] = "x.k8s.io"
    obj["metadata"]["name"] = "widgets.x.k8s.io"
    assert [error.split(":")[0] for error in said(obj)] == [
        "metadata.annotations[api-approved.kubernetes.io]"
    ]
    obj["metadata"]["annotations"] = {"api-approved.kubernetes.io": "unapproved, a test"}
    assert said(obj) == []


def test_what_objects_are_stored_under_cannot_change() -> None:
    """Group and plural never, scope and kind once the definition is established."""
    old = definition()
    new = definition()
    new["spec"]["scope"] = "Cluster"
    assert validate_update(new, old) == []
    old["status"]["conditions"] = [{"type": "Established", "status": "True"}]
    assert [error.field for error in validate_update(new, old)] == ["spec.scope"]
    new["spec"]["names"]["plural"] = "others"
    assert [error.field for error in validate_update(new, old)] == [
        "spec.scope",
        "spec.names.plural",
    ]


def test_a_version_that_objects_were_stored_in_stays() -> None:
    """Or they could not be read any more."""
    obj = definition()
    obj["status"]["storedVersions"] = ["v0", "v1"]
    assert said(obj) == [
        'status.storedVersions[0]: Invalid value: "v0": must appear in spec.versions'
    ]


@pytest.mark.parametrize(
    ("facts", "wanted"),
    [
        pytest.param({"type": "array"}, "s.properties[a].items: Required value: must be specified", id="a list of what"),
        pytest.param({"type": "text"}, 's.properties[a].type: Unsupported value: "text": supported values: "array", "boolean", "integer", "number", "object", "string"', id="no type"),
        pytest.param({"$ref": "#/x", **S}, "s.properties[a].$ref: Forbidden: $ref is not supported", id="a reference"),
        pytest.param({"type": "object", "properties": {}, "additionalProperties": S}, "s.properties[a].additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive", id="both fields and any keys"),
        pytest.param({**S, "x-kubernetes-int-or-string": True}, 's.properties[a].type: Invalid value: "string": must be empty if x-kubernetes-int-or-string is true', id="two types"),
        pytest.param({**S, "anyOf": [{"type": "number"}]}, "s.properties[a].anyOf[0].type: Forbidden: must be empty to be structural", id="types in alternatives"),
        pytest.param({"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "map"}, "s.properties[a].x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map", id="a map without keys"),
        pytest.param({**S, "default": 1}, 's.properties[a].default: Invalid value: "integer":  in body must be of type string: "integer"', id="a default that does not fit"),
        pytest.param({"type": "array", "items": {"type": 5}}, "s.properties[a].items.type: Invalid value: 5: has the wrong type", id="a fact of the wrong sort"),
        pytest.param({**S, "x-kubernetes-validations": [{"rule": "self =="}]}, "s.properties[a].x-kubernetes-validations[0].rule: Invalid value: \"self ==\": compilation failed: ", id="a rule that is none"),
    ],
)  # fmt: skip
def test_schemas_that_are_not_structural_are_refused(facts: Any, wanted: str) -> None:
    """Whoever cannot say of what is there cannot prune it."""
    found = check_schema({"type": "object", "properties": {"a": facts}}, "s")
    assert [str(error)[: len(wanted)] for error in found] == [wanted]


def test_bad_patterns_are_refused() -> None:
    """A pattern that cannot be read would fail every write."""
    found = check_schema({"type": "object", "properties": {"a": {**S, "pattern": "("}}}, "s")
    assert [error.field for error in found] == ["s.properties[a].pattern"]


def test_what_is_not_done_is_said() -> None:
    """Conversion by webhook, and rules that speak of what is not known here."""
    obj = definition({"type": "object", "x-kubernetes-validations": [{"rule": "self.nonsense()"}]})
    config = {"url": "https://127.0.0.1:1/convert"}
    obj["spec"]["conversion"] = {
        "strategy": "Webhook",
        "webhook": {"clientConfig": config, "conversionReviewVersions": ["v1"]},
    }
    assert said(obj) == []
    assert [text.split(" ")[0] for text in warnings(obj)] == [
        "spec.conversion.webhook",
        "spec.versions[0].schema.openAPIV3Schema.x-kubernetes-validations[0]:",
    ]


def test_without_the_library_the_definition_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rules that nobody can evaluate are kept, and nobody is left to believe that they hold."""
    obj = definition({"type": "object", "x-kubernetes-validations": [{"rule": "self == 1"}]})
    monkeypatch.setitem(sys.modules, "cel_expr_python", None)
    rules._environment.cache_clear()
    try:
        assert (said(obj), rules.available()) == ([], False)
        [warning] = warnings(obj)
    finally:
        rules._environment.cache_clear()
    assert 'pip install "verger[cel]"' in warning
