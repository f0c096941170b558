"""The rules of metadata that all kinds share are upstream's, and so are their words."""

from typing import Any

import pytest
from verger.store.metadata import (
    ANNOTATIONS_MAX,
    validate,
    validate_field_manager,
    validate_labels,
    validate_update,
)
from verger.store.names import path_segment, path_segment_prefix, subdomain

NAME_PART = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
UNQUALIFIED = "name is neither a standard finalizer name nor is it fully qualified"
UID = "55555555-5555-5555-5555-555555555555"


def meta(**fields: Any) -> dict[str, Any]:
    return {"name": "a", "namespace": "ns", **fields}


def owner(**fields: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": UID, **fields}


def complaints(metadata: dict[str, Any], *, namespaced: bool = True) -> list[str]:
    return [str(error) for error in validate(metadata, namespaced=namespaced, name_rule=subdomain)]


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        pytest.param(meta(), [], id="a name and a namespace are enough"),
        pytest.param(
            {"namespace": "ns"},
            ["metadata.name: Required value: name or generateName is required"],
            id="no name",
        ),
        pytest.param(
            meta(name="UPPER"),
            [f'metadata.name: Invalid value: "UPPER": {SUBDOMAIN}'],
            id="a name in upper case",
        ),
        pytest.param(meta(generateName="abc-"), [], id="a base that ends in a dash"),
        pytest.param(meta(generateName="-"), [], id="a base that is a dash"),
        pytest.param(
            meta(generateName="abc."),
            [f'metadata.generateName: Invalid value: "abc.": {SUBDOMAIN}'],
            id="a base that ends in a dot",
        ),
        pytest.param(
            meta(name="Bad x", generateName="Bad "),
            [
                f'metadata.generateName: Invalid value: "Bad ": {SUBDOMAIN}',
                f'metadata.name: Invalid value: "Bad x": {SUBDOMAIN}',
            ],
            id="a bad base and the name made of it",
        ),
        pytest.param(
            {"name": "a"},
            ["metadata.namespace: Required value"],
            id="no namespace where one is due",
        ),
        pytest.param(
            meta(generation=-1),
            ["metadata.generation: Invalid value: -1: must be greater than or equal to 0"],
            id="a negative generation",
        ),
        pytest.param(
            meta(labels={"k": "", "example.com/k-1_2.3": "V-1_2.3"}), [], id="labels of all sorts"
        ),
        pytest.param(
            meta(labels={"/k": "v"}),
            ['metadata.labels: Invalid value: "/k": prefix part must be non-empty'],
            id="a label without prefix before its slash",
        ),
        pytest.param(
            meta(labels={"k" * 64: "v" * 64}),
            [
                f'metadata.labels: Invalid value: "{"k" * 64}": name part must be no more than 63 bytes',
                f'metadata.labels: Invalid value: "{"v" * 64}": must be no more than 63 bytes',
            ],
            id="a long label with a long value",
        ),
        pytest.param(
            meta(annotations={"": "v"}),
            [
                'metadata.annotations: Invalid value: "": name part must be non-empty',
                f'metadata.annotations: Invalid value: "": {NAME_PART}',
            ],
            id="an annotation without key",
        ),
        pytest.param(
            meta(annotations={"UPPER.example/K": "any text: \n-"}),
            [],
            id="annotations in upper case, with any value",
        ),
        pytest.param(
            meta(annotations={"k": "v" * (ANNOTATIONS_MAX - 1)}), [], id="all that annotations hold"
        ),
        pytest.param(
            meta(annotations={"k": "é" * (ANNOTATIONS_MAX // 2)}),
            ["metadata.annotations: Too long: may not be more than 262144 bytes"],
            id="a byte too many in annotations",
        ),
        pytest.param(
            meta(annotations={f"k{i}": "v" * 100_000 for i in range(3)}),
            ["metadata.annotations: Too long: may not be more than 262144 bytes"],
            id="too much in all annotations together",
        ),
        pytest.param(
            meta(finalizers=["example.com/a", "kubernetes", "orphan", "example.com/a"]),
            [],
            id="finalizers, one of them twice",
        ),
        pytest.param(meta(finalizers=["foregroundDeletion"]), [], id="a standard finalizer"),
        pytest.param(
            meta(finalizers=["bare"]),
            [f'metadata.finalizers[0]: Invalid value: "bare": {UNQUALIFIED}'],
            id="an unqualified finalizer",
        ),
        pytest.param(
            meta(finalizers=["e.com/a", "bad name"]),
            [
                f'metadata.finalizers: Invalid value: "bad name": {NAME_PART}',
                f'metadata.finalizers[1]: Invalid value: "bad name": {UNQUALIFIED}',
            ],
            id="a bad finalizer",
        ),
        pytest.param(
            meta(finalizers=["orphan", "foregroundDeletion"]),
            [
                'metadata.finalizers: Invalid value: ["orphan","foregroundDeletion"]: finalizer '
                "orphan and foregroundDeletion cannot be both set"
            ],
            id="both finalizers of the garbage collector",
        ),
        pytest.param(
            meta(ownerReferences=[owner(), owner(controller=True), owner(controller=False)]),
            [],
            id="owners, one of them a controller",
        ),
        pytest.param(
            meta(ownerReferences=[{"apiVersion": ""}]),
            [
                'metadata.ownerReferences.apiVersion: Invalid value: "": version must not be empty',
                'metadata.ownerReferences.kind: Invalid value: "": must not be empty',
                'metadata.ownerReferences.name: Invalid value: "": must not be empty',
                'metadata.ownerReferences.uid: Invalid value: "": must not be empty',
            ],
            id="an owner that is not named",
        ),
        pytest.param(
            meta(ownerReferences=[owner(apiVersion="apps/")]),
            [
                'metadata.ownerReferences.apiVersion: Invalid value: "apps/": version must not be empty'
            ],
            id="an owner with a group and no version",
        ),
        pytest.param(
            meta(ownerReferences=[owner(kind="Event")]),
            [
                'metadata.ownerReferences: Invalid value: {"apiVersion":"v1","kind":"Event","name":"o",'
                f'"uid":"{UID}"}}: /v1, Kind=Event is disallowed from being an owner'
            ],
            id="an event as an owner",
        ),
        pytest.param(
            meta(ownerReferences=[owner(kind="Event", apiVersion="example.com/v1")]),
            [],
            id="an event of another group as an owner",
        ),
        pytest.param(
            meta(ownerReferences=[owner(controller=True), owner(name="p", controller=True)]),
            [
                'metadata.ownerReferences: Invalid value: [{"apiVersion":"v1","kind":"ConfigMap",'
                f'"name":"o","uid":"{UID}","controller":true}},{{"apiVersion":"v1","kind":"ConfigMap",'
                f'"name":"p","uid":"{UID}","controller":true}}]: Only one reference can have Controller '
                'set to true. Found "true" in references for ConfigMap/o and ConfigMap/p'
            ],
            id="two controllers",
        ),
    ],
)
def test_metadata_is_judged_in_the_words_of_upstream(
    metadata: dict[str, Any], expected: list[str]
) -> None:
    """All that is wrong is said, in upstream's order, as recorded from a kube-apiserver."""
    assert complaints(metadata) == expected


def test_namespace_is_due_or_not_allowed() -> None:
    """A kind has a namespace for each of its objects or for none."""
    assert complaints({"name": "a"}, namespaced=False) == []
    assert complaints(meta(), namespaced=False) == [
        "metadata.namespace: Forbidden: not allowed on this type"
    ]


def test_base_of_a_name_can_have_a_rule_of_its_own() -> None:
    """Where names are path segments, a base may be what a whole name may not."""
    found = validate(
        meta(name="system:x", generateName=".."),
        namespaced=True,
        name_rule=path_segment,
        prefix_rule=path_segment_prefix,
    )
    assert found == []


STORED = meta(uid=UID, creationTimestamp="2020-01-01T00:00:00Z", finalizers=["e.com/a", "e.com/b"])
TERMINATING = {
    **STORED,
    "deletionTimestamp": "2020-01-02T00:00:00Z",
    "deletionGracePeriodSeconds": 0,
}


@pytest.mark.parametrize(
    ("old", "changes", "expected"),
    [
        pytest.param(STORED, {}, [], id="nothing"),
        pytest.param(
            STORED,
            {"labels": {"a": "b"}, "annotations": {"c": "d"}, "finalizers": ["e.com/new"]},
            [],
            id="what clients may change",
        ),
        pytest.param(
            STORED,
            {"name": "b", "namespace": "other", "uid": "u"},
            [
                'metadata.name: Invalid value: "b": field is immutable',
                'metadata.namespace: Invalid value: "other": field is immutable',
                'metadata.uid: Invalid value: "u": field is immutable',
            ],
            id="what an object is known by",
        ),
        pytest.param(
            STORED,
            {
                "creationTimestamp": "2021-01-01T00:00:00Z",
                "deletionTimestamp": "2021-01-01T00:00:00Z",
                "deletionGracePeriodSeconds": 5,
            },
            [
                'metadata.creationTimestamp: Invalid value: "2021-01-01T00:00:00Z": field is immutable',
                'metadata.deletionTimestamp: Invalid value: "2021-01-01T00:00:00Z": field is immutable',
                "metadata.deletionGracePeriodSeconds: Invalid value: 5: field is immutable",
            ],
            id="when it was created and deleted",
        ),
        pytest.param(
            TERMINATING,
            {"deletionTimestamp": None},
            ["metadata.deletionTimestamp: Invalid value: null: field is immutable"],
            id="a deletion is not taken back",
        ),
        pytest.param(
            TERMINATING, {"finalizers": ["e.com/b"]}, [], id="a finalizer goes while it terminates"
        ),
        pytest.param(
            TERMINATING, {"finalizers": None}, [], id="all finalizers go while it terminates"
        ),
        pytest.param(
            TERMINATING,
            {"finalizers": ["e.com/a", "e.com/x", "e.com/new", "e.com/x"]},
            [
                "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being "
                'deleted, found new finalizers []string{"e.com/new", "e.com/x"}'
            ],
            id="finalizers come while it terminates: they are listed in order",
        ),
        pytest.param(
            STORED,
            {"labels": {"/k": "v"}},
            ['metadata.labels: Invalid value: "/k": prefix part must be non-empty'],
            id="a bad label",
        ),
    ],
)
def test_change_of_metadata_is_judged_in_the_words_of_upstream(
    old: dict[str, Any], changes: dict[str, Any], expected: list[str]
) -> None:
    """What an object is stays for its life; finalizers only go once it terminates."""
    assert [str(error) for error in validate_update({**old, **changes}, old)] == expected


def test_labels_elsewhere_are_judged_under_their_own_path() -> None:
    """Templates have labels too, and messages name where."""
    found = validate_labels("spec.template.metadata.labels", {"ok": "-"})
    assert [error.field for error in found] == ["spec.template.metadata.labels"]


@pytest.mark.parametrize(
    ("manager", "expected"),
    [
        pytest.param("", [], id="none"),
        pytest.param("kubectl-client-side-apply", [], id="the usual"),
        pytest.param("m" * 128, [], id="the longest"),
        pytest.param("a manager, ünïcode", [], id="a space and letters beyond ASCII"),
        pytest.param(
            "m" * 129, ["fieldManager: Too long: may not be more than 128 bytes"], id="too long"
        ),
        pytest.param(
            "é" * 65,
            ["fieldManager: Too long: may not be more than 128 bytes"],
            id="what is counted are bytes",
        ),
        pytest.param(
            "a\nb",
            [
                'fieldManager: Invalid value: "a\\nb": invalid character U+000A (at position 1)',
            ],
            id="a line break",
        ),
        pytest.param(
            "é\n",
            [
                'fieldManager: Invalid value: "é\\n": invalid character U+000A (at position 2)',
            ],
            id="a position counts bytes",
        ),
    ],
)
def test_field_manager_is_short_and_printable(manager: str, expected: list[str]) -> None:
    """The name of who writes is shown to people."""
    assert [str(error) for error in validate_field_manager(manager)] == expected
