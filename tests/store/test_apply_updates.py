"""Who owns what after a create, an update or a patch of the older sorts."""

import copy
from collections.abc import Mapping
from typing import Any

import pytest
from verger.store.apply import apply, track_update
from verger.store.fieldsets import NOTHING, FieldSet
from verger.store.managedfields import Entry, but_for_times
from verger.store.schemas import load
from verger.store.shapes import BuiltInShapes, structural_shape

BUILT_IN = BuiltInShapes(load())
CORE = "io.k8s.api.core.v1."
METADATA = BUILT_IN.of("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")
STATUS = FieldSet.named("status")
NOW = "2024-01-01T00:00:05Z"
EARLIER = "2024-01-01T00:00:00Z"

Tree = Mapping[str, Any]


def entry(manager: str, fields: Tree, operation: str = "Update", **more: str) -> Entry:
    """An entry of managedFields, as the server writes it."""
    made = {"manager": manager, "operation": operation, "apiVersion": more.pop("version", "v1")}
    time = {"time": more.pop("time", EARLIER)}
    return {**made, **time, "fieldsType": "FieldsV1", "fieldsV1": fields, **more}


def obj(*entries: Entry, metadata: Tree | None = None, **fields: Any) -> dict[str, Any]:
    more = {"managedFields": [*entries]} if entries else {}
    head = {"apiVersion": "v1", "kind": "X", "metadata": {"name": "x", "uid": "u"}}
    return {**head, "metadata": {**head["metadata"], **(metadata or {}), **more}, **fields}  # type: ignore[dict-item]


def data(**values: str) -> dict[str, Any]:
    return {"data": values}


def update(
    old: Mapping[str, Any] | None,
    new: Mapping[str, Any],
    *,
    kind: str = "ConfigMap",
    manager: str = "me",
    time: str = NOW,
    version: str = "v1",
    subresource: str = "",
    reset: FieldSet = NOTHING,
) -> list[Entry]:
    """What `track_update` says, which changes nothing that it is given."""
    before = copy.deepcopy((old, new))
    entries = track_update(
        old,
        new,
        shape=BUILT_IN.of(CORE + kind),
        manager=manager,
        api_version=version,
        time=time,
        subresource=subresource,
        reset=reset,
    )
    assert (old, new) == before
    return entries


MINE: Tree = {"f:data": {".": {}, "f:k": {}}}
K: Tree = {"f:data": {"f:k": {}}}
L: Tree = {"f:data": {"f:l": {}}}


@pytest.mark.parametrize(
    ("old", "new", "entries"),
    [
        pytest.param(
            None, obj(**data(k="1")), [entry("me", MINE, time=NOW)],
            id="who creates it owns all that it sets",
        ),
        pytest.param(None, obj(), [], id="nobody owns what the server sets"),
        pytest.param(
            None, obj(metadata={"labels": {"a": "b"}, "generateName": "x-", "annotations": {}}),
            [entry("me", {"f:metadata": {
                "f:annotations": {}, "f:generateName": {}, "f:labels": {".": {}, "f:a": {}},
            }}, time=NOW)],
            id="but the rest of the metadata",
        ),
        pytest.param(
            obj(entry("you", MINE), **data(k="1")), obj(**data(k="2")),
            [entry("you", {"f:data": {}}), entry("me", K, time=NOW)],
            id="who changes a field takes it over",
        ),
        pytest.param(
            obj(entry("you", MINE), **data(k="1")), obj(**data(k="1", l="2")),
            [entry("you", MINE), entry("me", L, time=NOW)],
            id="who adds one owns it",
        ),
        pytest.param(
            obj(entry("you", MINE), entry("they", L), **data(k="1", l="2")), obj(**data(k="1")),
            [entry("you", MINE)],
            id="who takes one away owns nothing, and nobody else does",
        ),
        pytest.param(
            obj(entry("you", MINE), **data(k="1")), obj(),
            [],
            id="nor of what is around it",
        ),
        pytest.param(
            obj(entry("me", MINE), **data(k="1")), obj(**data(l="2")),
            [entry("me", {"f:data": {".": {}, "f:l": {}}}, time=NOW)],
            id="what one adds oneself comes to what one has, less what one takes away",
        ),
        pytest.param(
            obj(entry("me", MINE), **data(k="1")), obj(**data(k="2")), [entry("me", MINE, time=NOW)],
            id="the time is that of the last field that was set",
        ),
        pytest.param(
            obj(entry("me", {"f:data": {".": {}, "f:k": {}, "f:l": {}}}), **data(k="1", l="2")),
            obj(**data(k="1")), [entry("me", MINE)],
            id="and not of one that was taken away",
        ),
        pytest.param(
            obj(entry("me", K, "Apply"), **data(k="1")), obj(**data(k="2")),
            [entry("me", K, time=NOW)],
            id="an applier and an updater of the same name are two managers",
        ),
        pytest.param(
            obj(entry("me", MINE, version="v2"), **data(k="1")), obj(**data(k="1", l="1")),
            [entry("me", MINE, version="v2"), entry("me", L, time=NOW)],
            id="and so are updaters in two versions",
        ),
        pytest.param(
            obj(entry("me", {"f:data": {".": {}, "f:k": {}}}, version="v2"), **data(k="1")),
            obj(**data(k="2")),
            [entry("me", {"f:data": {}}, version="v2"), entry("me", K, time=NOW)],
            id="of which one takes from the other",
        ),
        pytest.param(
            obj(entry("me", MINE, subresource="status"), **data(k="1")), obj(**data(k="1", l="1")),
            [entry("me", MINE, subresource="status"), entry("me", L, time=NOW)],
            id="and updaters of two endpoints",
        ),
        pytest.param(obj(**data(k="1")), obj(**data(k="2")), [], id="what is not tracked stays so"),
        pytest.param(
            obj(entry("you", {"f:metadata": {"f:finalizers": {".": {}, 'v:"a"': {}, 'v:"b"': {}}}}),
                metadata={"finalizers": ["a", "b"]}),
            obj(metadata={"finalizers": ["c", "a"]}),
            [
                entry("you", {"f:metadata": {"f:finalizers": {".": {}, 'v:"a"': {}}}}),
                entry("me", {"f:metadata": {"f:finalizers": {'v:"c"': {}}}}, time=NOW),
            ],
            id="items of a set go one by one",
        ),
    ],
)  # fmt: skip
def test_an_update_moves_ownership(
    old: Mapping[str, Any] | None, new: Mapping[str, Any], entries: list[Entry]
) -> None:
    """Given an object and its owners, when `me` writes another, then these own it."""
    assert update(old, new) == entries


@pytest.mark.parametrize(
    ("manager", "named"),
    [
        pytest.param("kubectl-edit", "kubectl-edit", id="the manager is named by the request"),
        pytest.param("", "unknown", id="nobody in particular is unknown"),
    ],
)
def test_an_entry_names_its_manager(manager: str, named: str) -> None:
    """An entry is never without one."""
    assert update(None, obj(**data(k="1")), manager=manager)[0]["manager"] == named


def test_an_entry_has_its_keys_in_order() -> None:
    """As the server writes them, the subresource last."""
    keys = ["manager", "operation", "apiVersion", "time", "fieldsType", "fieldsV1", "subresource"]
    tracked = obj(entry("you", {"f:spec": {"f:nodeName": {}}}), spec={"nodeName": "n"})
    made = update(tracked, {**tracked, "status": {"phase": "x"}}, kind="Pod", subresource="status")
    assert list(made[1]) == keys
    assert made[1]["fieldsV1"] == {"f:status": {"f:phase": {}}}


# --- nothing changes


def test_without_a_change_the_entries_are_the_live_ones() -> None:
    """The very list, so that nothing is written."""
    old = obj(entry("you", MINE), **data(k="1"))
    assert update(old, copy.deepcopy(old)) is old["metadata"]["managedFields"]
    assert update(old, obj(**data(k="1"))) is old["metadata"]["managedFields"]
    moved = obj(metadata={"uid": "", "resourceVersion": "5"}, **data(k="1"))
    assert update(old, moved) is old["metadata"]["managedFields"]


def test_an_owner_that_a_change_does_not_touch_keeps_its_very_entry() -> None:
    """Also what a newer server may have added to it."""
    yours = entry("you", MINE, future="x")
    entries = update(obj(yours, **data(k="1")), obj(**data(k="1", l="2")))
    assert entries[0] is yours


@pytest.mark.parametrize(
    ("tracked", "kept"),
    [
        pytest.param(
            [entry("a", K, time=NOW), entry("b", L)], True, id="times alone are no change"
        ),
        pytest.param([entry("a", K), entry("b", L)], True, id="nor is nothing"),
        pytest.param([entry("a", K, time=NOW), entry("b", MINE)], False, id="fields are"),
        pytest.param([entry("a", K), entry("b", L), entry("c", L)], False, id="one more is"),
        pytest.param([entry("b", L), entry("a", K)], False, id="and another order"),
    ],
)
def test_times_alone_are_no_change(tracked: list[Entry], *, kept: bool) -> None:
    """upstream: IgnoreManagedFieldsTimestampsTransformer"""
    live = [entry("a", K), entry("b", L)]
    assert but_for_times(live, tracked) == (live if kept else tracked)


# --- what clients say about managedFields


@pytest.mark.parametrize(
    ("wanted", "entries"),
    [
        pytest.param([], [], id="an empty list wipes all"),
        pytest.param([{}], [], id="and so does an empty entry"),
        pytest.param([{"manager": "", "operation": ""}], [], id="with nothing in it"),
        pytest.param(None, [entry("you", MINE), entry("me", L, time=NOW)], id="null keeps it"),
        pytest.param(
            [{"manager": "x"}], [entry("you", MINE), entry("me", L, time=NOW)],
            id="what is malformed keeps it",
        ),
        pytest.param(
            [entry("x", K, "Both")], [entry("you", MINE), entry("me", L, time=NOW)],
            id="an unknown operation",
        ),
        pytest.param(
            [entry("x", K, version="")], [entry("you", MINE), entry("me", L, time=NOW)],
            id="no version",
        ),
        pytest.param(
            [{**entry("x", K), "fieldsType": "FieldsV2"}],
            [entry("you", MINE), entry("me", L, time=NOW)],
            id="an unknown form",
        ),
        pytest.param(
            [{**entry("x", K), "fieldsType": ""}],
            [entry("you", MINE), entry("me", L, time=NOW)],
            id="no form",
        ),
        pytest.param(
            [entry("x", {"oops": {}})], [entry("you", MINE), entry("me", L, time=NOW)],
            id="fields that are none",
        ),
        pytest.param("odd", [entry("you", MINE), entry("me", L, time=NOW)], id="no list"),
        pytest.param(["odd"], [entry("you", MINE), entry("me", L, time=NOW)], id="no entry"),
        pytest.param(
            [entry("x", K)], [entry("x", K), entry("me", L, time=NOW)], id="other entries replace it",
        ),
        pytest.param(
            [entry("x", {"f:data": {"f:l": {}, ".": {}}}), entry("y", {})],
            [entry("x", {"f:data": {}}), entry("me", L, time=NOW)],
            id="of which the change takes what it takes, and those without fields go",
        ),
        pytest.param(
            [entry("kubectl", K, "Apply", time=NOW), entry("a", {'f:data': {'f:z': {}}})],
            [entry("kubectl", K, "Apply", time=NOW), entry("a", {"f:data": {"f:z": {}}}),
             entry("me", L, time=NOW)],
            id="as kubectl makes an applier of its client-side updates",
        ),
    ],
)  # fmt: skip
def test_a_client_may_set_managed_fields(wanted: Any, entries: list[Entry]) -> None:
    """On the main resource. upstream: decodeLiveOrNew"""
    old = obj(entry("you", MINE), **data(k="1"))
    new = obj(metadata={"managedFields": wanted}, **data(k="1", l="2"))
    assert update(old, new) == entries


def test_entries_of_a_client_are_put_in_form_without_another_change() -> None:
    """In upstream's order and spelling, so that all that is stored is."""
    old = obj(entry("you", MINE), **data(k="1"))
    foreign = [entry("b", {"f:data": {"f:k": {}, ".": {}}}), entry("a", K, "Apply")]
    assert update(old, obj(metadata={"managedFields": foreign}, **data(k="1"))) == [
        entry("a", K, "Apply"),
        entry("b", MINE),
    ]
    assert list(
        update(old, obj(metadata={"managedFields": foreign}, **data(k="1")))[1]["fieldsV1"][
            "f:data"
        ]
    ) == [".", "f:k"]


def test_a_subresource_ignores_the_managed_fields_of_clients() -> None:
    """They could say there what the main resource would refuse."""
    old = obj(entry("you", MINE), **data(k="1"))
    new = obj(metadata={"managedFields": []}, **data(k="1"))
    assert update(old, new, subresource="status") == old["metadata"]["managedFields"]


@pytest.mark.parametrize("wanted", [[], [{}], None])
def test_a_create_is_tracked_whatever_it_says_of_managed_fields(wanted: Any) -> None:
    """Tracking starts with the object."""
    new = obj(metadata={"managedFields": wanted}, **data(k="1"))
    assert update(None, new) == [entry("me", MINE, time=NOW)]


def test_entries_in_a_create_count() -> None:
    """A backup is put back with its owners; of what they name the creator becomes the owner."""
    new = obj(entry("x", {"f:data": {"f:z": {}}}), entry("y", K), **data(k="1"))
    assert update(None, new) == [entry("x", {"f:data": {"f:z": {}}}), entry("me", MINE, time=NOW)]


# --- endpoints


@pytest.mark.parametrize(
    ("subresource", "reset", "entries"),
    [
        pytest.param(
            "", STATUS,
            [
                entry("spec", {"f:spec": {"f:x": {}}}),
                entry("status", {"f:status": {"f:hostIP": {}, "f:phase": {}}}, subresource="status"),
                entry("me", {"f:spec": {"f:nodeName": {}}}, time=NOW),
            ],
            id="the main resource ignores the status",
        ),
        pytest.param(
            "status", FieldSet.named("spec", "metadata.labels"),
            [
                entry("spec", {"f:spec": {"f:nodeName": {}, "f:x": {}}}),
                entry("me", {"f:status": {"f:phase": {}}}, time=NOW, subresource="status"),
            ],
            id="the status ignores the spec",
        ),
    ],
)  # fmt: skip
def test_an_endpoint_ignores_what_it_resets(
    subresource: str, reset: FieldSet, entries: list[Entry]
) -> None:
    """Nobody gets it or loses it there, whatever the object says."""
    old = obj(
        entry("spec", {"f:spec": {"f:nodeName": {}, "f:x": {}}}),
        entry("status", {"f:status": {"f:hostIP": {}, "f:phase": {}}}, subresource="status"),
        spec={"nodeName": "a"},
        status={"phase": "b", "hostIP": "c"},
    )
    new = obj(
        metadata={"labels": {}} if subresource else {},
        spec={"nodeName": "c"},
        status={"phase": "d"},
    )
    assert update(old, new, kind="Pod", subresource=subresource, reset=reset) == entries


# --- too many


def many(count: int, *, version: str = "v1") -> list[Entry]:
    return [
        entry(
            f"m{n}", {"f:data": {f"f:{n}": {}}}, time=f"2024-01-01T00:00:{n:02d}Z", version=version
        )
        for n in range(10, 10 + count)
    ]


def test_ten_updaters_are_kept() -> None:
    """And any number of appliers."""
    appliers = [entry(f"a{n}", K, "Apply") for n in range(12)]
    old = obj(*appliers, *many(9))
    entries = update(old, {**old, **data(z="1")}, time="2024-01-01T00:01:00Z")
    assert len(entries) == 12 + 10


def test_the_oldest_of_more_are_merged() -> None:
    """Two become one, as old as the younger; the next time one more joins."""
    old = obj(*many(10), **data(**{str(n): "" for n in range(10, 20)}))
    new = copy.deepcopy(old)
    new["data"]["z"] = "1"
    entries = update(old, new, time="2024-01-01T00:01:00Z")
    assert entries == [
        entry("ancient-changes", {"f:data": {"f:10": {}, "f:11": {}}}, time="2024-01-01T00:00:11Z"),
        *many(10)[2:],
        entry("me", {"f:data": {"f:z": {}}}, time="2024-01-01T00:01:00Z"),
    ]
    again = obj(*entries, **new["data"] and {"data": new["data"]})
    entries = update(
        again,
        {**again, "data": {**new["data"], "y": ""}},
        manager="you",
        time="2024-01-01T00:02:00Z",
    )
    assert entries[0] == entry(
        "ancient-changes",
        {"f:data": {"f:10": {}, "f:11": {}, "f:12": {}}},
        time="2024-01-01T00:00:12Z",
    )
    assert [one["manager"] for one in entries[1:]] == [
        *(f"m{n}" for n in range(13, 20)),
        "me",
        "you",
    ]


def test_only_entries_of_one_version_are_merged() -> None:
    """Paths of one version mean nothing in another."""
    values = {str(n): "" for n in range(10, 20)}
    entries = [*many(10)[:1], *[{**one, "apiVersion": "v2"} for one in many(10)[1:]]]
    old = obj(*entries, **data(**values))
    found = update(old, {**old, **data(z="", **values)}, time="2024-01-01T00:01:00Z", version="v3")
    assert [(one["manager"], one["apiVersion"]) for one in found][:3] == [
        ("m10", "v1"),
        ("ancient-changes", "v2"),
        ("m13", "v2"),
    ]
    assert len(found) == 10


def test_entries_that_cannot_be_merged_stay() -> None:
    """Eleven versions are eleven entries."""
    values = {str(n): "" for n in range(10, 20)}
    entries = [{**one, "apiVersion": f"v{at}"} for at, one in enumerate(many(10))]
    old = obj(*entries, **data(**values))
    found = update(old, {**old, **data(z="", **values)}, time="2024-01-01T00:01:00Z", version="v99")
    assert len(found) == 11


def test_a_bucket_that_is_not_the_oldest_takes_the_others_in() -> None:
    """Nothing that anybody owned is lost."""
    values = {str(n): "" for n in range(10, 20)}
    entries = many(10)
    entries[3]["manager"] = "ancient-changes"
    old = obj(*entries, **data(**values))
    found = update(old, {**old, **data(z="", **values)}, time="2024-01-01T00:01:00Z")
    assert len(found) == 9
    bucket = next(one for one in found if one["manager"] == "ancient-changes")
    assert bucket["fieldsV1"] == {"f:data": {"f:10": {}, "f:11": {}, "f:13": {}}}
    owned = FieldSet.of(*(p for one in found for p in FieldSet(one["fieldsV1"]).paths()))
    assert set(owned.tree["f:data"]) == {f"f:{n}" for n in values} | {"f:z"}


# --- objects that cannot be tracked, and types that change


def test_an_object_that_cannot_be_tracked_keeps_its_entries() -> None:
    """It is no reason to refuse it: the kind may allow what its type does not foresee."""
    old = obj(entry("you", {"f:secrets": {}}), secrets=[{"name": "a"}])
    new = obj(secrets=[{"namespace": "no-name"}])
    assert update(old, new, kind="ServiceAccount") is old["metadata"]["managedFields"]
    assert update(None, new, kind="ServiceAccount") == []


def test_an_owner_inside_of_what_has_become_one_part_owns_that_part() -> None:
    """Then who changes it takes all of it."""
    atomic = {"type": "array", "items": {"type": "string"}}
    shape = structural_shape({"type": "object", "properties": {"l": atomic}}, METADATA)
    old = obj(entry("you", {"f:l": {'v:"a"': {}}}), entry("they", {"f:x": {}}), l=["a"])
    how: dict[str, Any] = {"shape": shape, "manager": "me", "api_version": "v1", "time": NOW}
    assert track_update(old, obj(l=["b"]), **how) == [
        entry("they", {"f:x": {}}),
        entry("me", {"f:l": {}}, time=NOW),
    ]


def test_a_built_in_object_as_it_is_created() -> None:
    """The entry that kubectl create leaves: what Go always writes is nobody's, but in a new item."""
    new = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d", "labels": {"app": "a"}},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "a"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%"}},
            "template": {
                "metadata": {"labels": {"app": "a"}},
                "spec": {
                    "containers": [
                        {
                            "name": "c",
                            "image": "i",
                            "ports": [{"containerPort": 80, "protocol": "TCP"}],
                        }
                    ],
                    "securityContext": {},
                },
            },
        },
    }
    (made,) = track_update(
        None,
        new,
        shape=BUILT_IN.of("io.k8s.api.apps.v1.Deployment"),
        manager="kubectl-create",
        api_version="apps/v1",
        time=NOW,
    )
    port = 'k:{"containerPort":80,"protocol":"TCP"}'
    assert made["fieldsV1"] == {
        "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
        "f:spec": {
            "f:replicas": {},
            "f:selector": {},
            "f:strategy": {"f:rollingUpdate": {".": {}, "f:maxSurge": {}}, "f:type": {}},
            "f:template": {
                "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
                "f:spec": {
                    "f:containers": {
                        'k:{"name":"c"}': {
                            ".": {},
                            "f:image": {},
                            "f:name": {},
                            "f:ports": {
                                ".": {},
                                port: {".": {}, "f:containerPort": {}, "f:protocol": {}},
                            },
                            "f:resources": {},
                        }
                    },
                    "f:securityContext": {},
                },
            },
        },
    }


def test_an_update_of_what_was_applied_takes_it_from_the_applier() -> None:
    """So that the next apply conflicts."""
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "x"},
        **data(k="1", l="2"),
    }
    shape = BUILT_IN.of(CORE + "ConfigMap")
    made = apply(
        None, config, shape=shape, manager="a", api_version="v1", kind="ConfigMap", time=EARLIER
    )
    old = obj(*made.managed_fields, **data(k="1", l="2"))
    assert update(old, obj(**data(k="1", l="3"))) == [
        entry("a", K, "Apply"),
        entry("me", L, time=NOW),
    ]
