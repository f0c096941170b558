"""Tables and metadata-only objects are what a kube-apiserver sends, and no object is too odd for them."""

from collections.abc import Mapping
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from verger.apiserver.tables import (
    Column,
    human_duration,
    partial_metadata,
    partial_metadata_list,
    printer_for,
    table,
)
from verger.store.kinds import Kind, built_in
from verger.store.schemas import TypeRef, load
from verger.store.timestamps import parse

KINDS = {(kind.api_version, kind.kind): kind for kind in built_in()}
NOW = parse("2025-06-01T12:00:00Z")
CREATED = "2025-06-01T11:54:57Z"
AGE = "5m3s"


def meta(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "uid": "u", "creationTimestamp": CREATED, **more}


def stored(api_version: str, kind: str, **content: Any) -> dict[str, Any]:
    return {"kind": kind, "apiVersion": api_version, "metadata": meta("x"), **content}


def kind_of(obj: Mapping[str, Any]) -> Kind:
    return KINDS[obj["apiVersion"], obj["kind"]]


def cells(obj: Mapping[str, Any]) -> list[Any]:
    return printer_for(kind_of(obj)).cells(obj, NOW)


def tabled(kind: Kind, *objects: Mapping[str, Any], **options: Any) -> dict[str, Any]:
    defaults: dict[str, Any] = {
        "include": "",
        "version": "v1",
        "metadata": {"resourceVersion": "7"},
        "now": NOW,
    }
    return table(kind, objects, **{**defaults, **options})


def column(name: str, *, type: str = "string", format: str = "", priority: int = 0) -> Any:
    return {"name": name, "type": type, "format": format, "priority": priority}


def described(definitions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Definitions as recordings have them: without the descriptions, which are every server's own."""
    return [{k: v for k, v in each.items() if k != "description"} for each in definitions]


NAME_COLUMN = column("Name", format="name")
WIDE: dict[str, Any] = {"priority": 1}


# Answers of a kube-apiserver, and the objects that they are about.
RECORDED = [
    pytest.param(
        {
            "kind": "Namespace",
            "apiVersion": "v1",
            "metadata": meta("ns", labels={"kubernetes.io/metadata.name": "ns"}),
            "spec": {"finalizers": ["kubernetes"]},
            "status": {"phase": "Active"},
        },
        [NAME_COLUMN, column("Status"), column("Age")],
        ["ns", "Active", AGE],
        id="a namespace",
    ),
    pytest.param(
        stored("v1", "ServiceAccount", secrets=[{"name": "s"}]),
        [NAME_COLUMN, column("Age")],
        ["x", AGE],
        id="an account, whose secrets are not counted any more",
    ),
    pytest.param(
        stored("v1", "Secret", type="Opaque", data={"k": "dg==", "l": "dw=="}),
        [NAME_COLUMN, column("Type"), column("Data"), column("Age")],
        ["x", "Opaque", 2, AGE],
        id="a secret, whose keys are counted in a column of type string",
    ),
    pytest.param(
        stored("v1", "ConfigMap", data={"k": "v"}, binaryData={"b": "AA=="}),
        [NAME_COLUMN, column("Data"), column("Age")],
        ["x", 2, AGE],
        id="a configmap, whose keys of both sorts are counted",
    ),
    pytest.param(
        stored("coordination.k8s.io/v1", "Lease", spec={"holderIdentity": "me"}),
        [NAME_COLUMN, column("Holder"), column("Age")],
        ["x", "me", AGE],
        id="a lease",
    ),
    pytest.param(
        stored("coordination.k8s.io/v1", "Lease", spec={}),
        [NAME_COLUMN, column("Holder"), column("Age")],
        ["x", "", AGE],
        id="a lease that nobody holds",
    ),
    pytest.param(
        stored(
            "v1",
            "Event",
            involvedObject={"kind": "Pod", "name": "p", "fieldPath": "spec.containers{x}"},
            reason="R",
            message=" padded ",
            type="Warning",
            source={"component": "c", "host": "h"},
            count=3,
            firstTimestamp=None,
            lastTimestamp=None,
            eventTime=None,
        ),
        [
            column("Last Seen"),
            column("Type"),
            column("Reason"),
            column("Object"),
            column("Subobject", **WIDE),
            column("Source", **WIDE),
            column("Message"),
            column("First Seen", **WIDE),
            column("Count", **WIDE),
            column("Name", format="name", **WIDE),
        ],
        [
            "<unknown>",
            "Warning",
            "R",
            "pod/p",
            "spec.containers{x}",
            "c, h",
            "padded",
            "<unknown>",
            3,
            "x",
        ],
        id="an event of the old form without times",
    ),
    pytest.param(
        stored("v1", "LimitRange", spec={"limits": []}),
        [NAME_COLUMN, column("Created At", type="date")],
        ["x", CREATED],
        id="a kind without columns of its own",
    ),
    pytest.param(
        stored(
            "v1",
            "ResourceQuota",
            status={
                "hard": {"pods": "1", "count/configmaps": "3", "secrets": "0"},
                "used": {"count/configmaps": "3", "pods": "0", "secrets": "0"},
            },
        ),
        [NAME_COLUMN, column("Request"), column("Limit"), column("Age")],
        ["x", "count/configmaps: 3/3, pods: 0/1, secrets: 0/0", "", AGE],
        id="a quota",
    ),
    pytest.param(
        stored("v1", "Service", spec={"clusterIP": "10.0.0.1", "ports": [{"port": 80}]}),
        [
            NAME_COLUMN,
            column("Type"),
            column("Cluster-IP"),
            column("External-IP"),
            column("Port(s)"),
            column("Age"),
            column("Selector", **WIDE),
        ],
        ["x", "ClusterIP", "10.0.0.1", "<none>", "80/TCP", AGE, "<none>"],
        id="a service",
    ),
    pytest.param(
        stored("apps/v1", "Deployment", spec={}),
        [
            NAME_COLUMN,
            column("Ready"),
            column("Up-to-date"),
            column("Available"),
            column("Age"),
            column("Containers", **WIDE),
            column("Images", **WIDE),
            column("Selector", **WIDE),
        ],
        ["x", "0/1", 0, 0, AGE, "", "", ""],
        id="a deployment",
    ),
]


@pytest.mark.parametrize(("obj", "columns", "row"), RECORDED)
def test_recorded_table_is_rebuilt_from_its_object(
    obj: dict[str, Any], columns: list[Any], row: list[Any]
) -> None:
    """A table is what a kube-apiserver answered for the same object."""
    got = tabled(kind_of(obj), obj)
    got["columnDefinitions"] = described(got["columnDefinitions"])
    assert got == {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": "7"},
        "columnDefinitions": columns,
        "rows": [
            {
                "cells": row,
                "object": {
                    "kind": "PartialObjectMetadata",
                    "apiVersion": "meta.k8s.io/v1",
                    "metadata": obj["metadata"],
                },
            }
        ],
    }
    assert list(got) == ["kind", "apiVersion", "metadata", "columnDefinitions", "rows"]


def test_column_definition_has_its_keys_in_order() -> None:
    """A definition has all five keys, empty or not, in the order of the API."""
    definition = Column("N", "integer", description="D", priority=1).definition()
    assert list(definition.items()) == [
        ("name", "N"),
        ("type", "integer"),
        ("format", ""),
        ("description", "D"),
        ("priority", 1),
    ]


MINUTE, HOUR, DAY = 60, 3600, 86400
YEAR = 365 * DAY


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-1e300, "<invalid>"),
        (-2, "<invalid>"),
        (-1.999, "0s"),
        (-1, "0s"),
        (-0.5, "0s"),
        (0, "0s"),
        (0.999, "0s"),
        (5, "5s"),
        (2 * MINUTE - 0.001, "119s"),
        (2 * MINUTE, "2m"),
        (5 * MINUTE + 3, "5m3s"),
        (10 * MINUTE - 1, "9m59s"),
        (10 * MINUTE, "10m"),
        (10 * MINUTE + 59, "10m"),
        (3 * HOUR - 1, "179m"),
        (3 * HOUR, "3h"),
        (3 * HOUR + 5 * MINUTE + 59, "3h5m"),
        (8 * HOUR - 1, "7h59m"),
        (8 * HOUR, "8h"),
        (2 * DAY - 1, "47h"),
        (2 * DAY, "2d"),
        (3 * DAY + 4 * HOUR, "3d4h"),
        (8 * DAY - 1, "7d23h"),
        (8 * DAY, "8d"),
        (2 * YEAR - 1, "729d"),
        (2 * YEAR, "2y"),
        (2 * YEAR + 35 * DAY, "2y35d"),
        (8 * YEAR - 1, "7y364d"),
        (8 * YEAR, "8y"),
        (300 * YEAR, "292y"),
        (1e300, "292y"),
    ],
)
def test_duration_has_at_most_two_units(seconds: float, shown: str) -> None:
    """Durations read as upstream's HumanDuration writes them, at every boundary."""
    assert human_duration(seconds) == shown


@pytest.mark.parametrize(
    ("timestamp", "shown"),
    [
        pytest.param(None, "<unknown>", id="none"),
        pytest.param("", "<unknown>", id="empty"),
        pytest.param("0001-01-01T00:00:00Z", "<unknown>", id="the zero time"),
        pytest.param("yesterday", "<unknown>", id="no time"),
        pytest.param(7, "<unknown>", id="no text"),
        pytest.param("2025-06-01T12:00:01Z", "0s", id="a second ahead"),
        pytest.param("2025-06-01T12:00:02Z", "<invalid>", id="two seconds ahead"),
        pytest.param("2025-06-01T11:58:00.500000Z", "119s", id="with a fraction"),
    ],
)
def test_age_of_an_odd_timestamp(timestamp: Any, shown: str) -> None:
    """What is no time has no age."""
    obj = stored("v1", "ServiceAccount")
    obj["metadata"]["creationTimestamp"] = timestamp
    assert cells(obj) == ["x", shown]


def test_default_columns_of_an_object_without_a_time_show_the_zero_time() -> None:
    """Created At is a date in any case."""
    assert cells({"kind": "Role", "apiVersion": "rbac.authorization.k8s.io/v1"}) == [
        "",
        "0001-01-01T00:00:00Z",
    ]


CONFIGMAP = KINDS["v1", "ConfigMap"]
LIMITRANGE = KINDS["v1", "LimitRange"]
EVENT = KINDS["events.k8s.io/v1", "Event"]


def test_row_holds_as_much_of_its_object_as_asked() -> None:
    """includeObject decides between nothing, the metadata and the whole object with its type in front."""
    obj = {"metadata": meta("a"), "data": {"k": "v"}}
    metadata_only = partial_metadata(obj)
    for include, held in (
        ("None", None),
        ("", metadata_only),
        ("Metadata", metadata_only),
        ("Object", {"kind": "ConfigMap", "apiVersion": "v1", **obj}),
    ):
        (row,) = tabled(CONFIGMAP, obj, include=include)["rows"]
        assert row == {"cells": ["a", 1, AGE], "object": held}
        assert orjson.dumps(row["object"]) == orjson.dumps(held)


def test_table_of_another_part_is_refused() -> None:
    """There are four values of includeObject."""
    with pytest.raises(ValueError, match="Some"):
        tabled(CONFIGMAP, include="Some")


def test_row_of_an_event_holds_it_in_the_form_of_the_version_asked() -> None:
    """An event is stored in the core form and shown in that of its API."""
    obj = stored("v1", "Event", message="m", involvedObject={"name": "p"})
    (row,) = tabled(EVENT, obj, include="Object")["rows"]
    assert row["object"] == {
        "kind": "Event",
        "apiVersion": "events.k8s.io/v1",
        "metadata": meta("x"),
        "note": "m",
        "regarding": {"name": "p"},
    }


@pytest.mark.parametrize(
    ("kind", "rows"),
    [
        pytest.param(CONFIGMAP, [], id="a kind with columns of its own"),
        pytest.param(LIMITRANGE, None, id="a kind without"),
        pytest.param(KINDS["v1", "Pod"], [], id="pods"),
        pytest.param(KINDS["v1", "Event"], [], id="events"),
        pytest.param(KINDS["rbac.authorization.k8s.io/v1", "Role"], None, id="roles"),
    ],
)
def test_table_without_rows(kind: Kind, rows: list[Any] | None) -> None:
    """Rows that are not there are null where upstream's default printer is at work, else an empty list."""
    got = tabled(kind)
    assert got["rows"] == rows
    assert got["columnDefinitions"]


@pytest.mark.parametrize("kind", [CONFIGMAP, LIMITRANGE], ids=repr)
def test_later_event_of_a_watch_has_no_definitions(kind: Kind) -> None:
    """Definitions that were sent before are null."""
    got = tabled(kind, {"metadata": meta("a")}, definitions=False)
    assert got["columnDefinitions"] is None
    assert len(got["rows"]) == 1


def test_older_version_is_the_same_table() -> None:
    """v1beta1 differs in the name of the version alone, in the rows too."""
    obj = {"metadata": meta("a")}
    got = tabled(CONFIGMAP, obj, version="v1beta1")
    assert got["apiVersion"] == "meta.k8s.io/v1beta1"
    assert got["rows"][0]["object"]["apiVersion"] == "meta.k8s.io/v1beta1"


def test_metadata_of_a_page_is_kept() -> None:
    """A table of a page says where the next one starts."""
    page = {"resourceVersion": "9", "continue": "c", "remainingItemCount": 3}
    assert tabled(CONFIGMAP, metadata=page)["metadata"] == page


def test_flow_schemas_are_sorted_by_precedence() -> None:
    """What is asked first stands first, and equals by name."""
    kind = KINDS["flowcontrol.apiserver.k8s.io/v1", "FlowSchema"]
    objects = [
        {"metadata": meta(name), "spec": {"matchingPrecedence": precedence}}
        for name, precedence in (("a", 9), ("c", 5), ("b", 5), ("d", 10))
    ]
    rows = tabled(kind, *objects)["rows"]
    assert [row["cells"][0] for row in rows] == ["b", "c", "a", "d"]


def test_other_rows_stay_in_order() -> None:
    """The list decides the order."""
    rows = tabled(CONFIGMAP, *({"metadata": meta(name)} for name in "bac"))["rows"]
    assert [row["cells"][0] for row in rows] == ["b", "a", "c"]


def test_metadata_only() -> None:
    """Metadata is complete, and the type is that of the meta group."""
    metadata = meta("a", labels={"x": "y"}, finalizers=["example.com/f"])
    obj = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata, "data": {"k": "v"}}
    item = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}
    assert partial_metadata(obj) == item
    assert list(partial_metadata(obj)) == ["kind", "apiVersion", "metadata"]
    assert partial_metadata_list([obj], {"resourceVersion": "5"}) == {
        "kind": "PartialObjectMetadataList",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": "5"},
        "items": [item],
    }


def test_metadata_only_in_the_older_version() -> None:
    """v1beta1 is named in the list and in its items."""
    got = partial_metadata_list([{}], {}, version="v1beta1")
    assert got["apiVersion"] == "meta.k8s.io/v1beta1"
    assert got["items"] == [
        {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1beta1", "metadata": {}}
    ]


def test_metadata_only_of_nothing_has_no_items() -> None:
    """Clients iterate over items: an empty list is written as one, never as null."""
    assert partial_metadata_list([], {})["items"] == []


WORDS = (
    "",
    "True",
    "Ready",
    "Always",
    "Healthy",
    "Resource",
    "LoadBalancer",
    "User",
    "In",
    "a/b/c",
    "not a key!",
    CREATED,
    "0001-01-01T00:00:00",
    "9999-12-31T23:59:59Z",
    "\u00e4\U0001f600",
)


class Anything(dict[str, Any]):
    """An object that has whatever it is asked for: nothing, a scalar, a list or another such object."""

    def __init__(self, random: Random, depth: int = 0) -> None:
        super().__init__()
        self._random = random
        self._depth = depth
        for _ in range(random.randrange(3) if depth else 0):
            key = random.choice(WORDS)
            self[key] = self._value()

    def get(self, key: str, default: Any = None) -> Any:
        if key not in self:
            self[key] = self._value()
        return self[key]

    def _value(self) -> Any:
        random = self._random
        choice = random.randrange(12)
        if choice < 6 and self._depth < 8:
            inner = Anything(random, self._depth + 1)
            return inner if choice < 3 else [inner, *[self._scalar()] * random.randrange(2), inner]
        return self._scalar()

    def _scalar(self) -> Any:
        numbers = (0, -1, 3, 10**18, 0.5, -1e308)
        return self._random.choice((None, True, False, [], {}, *numbers, *WORDS))


QUICK = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def check_rows(kind: Kind, obj: dict[str, Any], now: float) -> None:
    got = tabled(kind, obj, now=now)
    (row,) = got["rows"]
    assert len(row["cells"]) == len(got["columnDefinitions"])
    for cell in row["cells"]:
        assert cell is not None
        assert isinstance(cell, str | int | bool)
    orjson.dumps(row["cells"])


@QUICK
@given(seed=st.integers(0, 2**64), now=st.floats(-1e12, 1e12))
def test_no_object_is_too_odd_to_print(seed: int, now: float) -> None:
    """Objects come from clients: whatever they hold, every kind gives one cell for each column."""
    random = Random(seed)
    for kind in KINDS.values():
        check_rows(kind, Anything(random), now)


def typed(random: Random, ref: TypeRef, depth: int = 0) -> Any:
    """A value that is valid for its type, with each field there or not."""
    schemas = load()
    match ref.shape:
        case "object" if ref.name and depth < 9:
            type_ = schemas.type(ref.name)
            if type_.scalar is not None:
                return CREATED if "Time" in ref.name else typed(random, type_.scalar, depth)
            return {
                name: typed(random, field.type, depth + 1)
                for name, field in type_.fields.items()
                if random.random() < 0.5 - depth / 20
            }
        case "object" | "map" | "any":
            item = ref.item or TypeRef("string")
            return {word: typed(random, item, depth + 1) for word in ("a", "storage")}
        case "list":
            assert ref.item is not None
            return [typed(random, ref.item, depth + 1) for _ in range(random.randrange(3))]
        case "integer" | "number":
            return random.randrange(100)
        case "boolean":
            return random.random() < 0.5
        case "int-or-string":
            return random.choice((1, "50%"))
        case _:
            return random.choice(WORDS)


@settings(QUICK, max_examples=25)
@given(seed=st.integers(0, 2**64))
def test_valid_objects_print(seed: int) -> None:
    """Objects with any of the fields that their type has give one cell for each column."""
    random = Random(seed)
    for kind in KINDS.values():
        check_rows(kind, typed(random, TypeRef("object", name=kind.storage.type_name)), NOW)
