"""What a write does: which fields are the client's, which the server's, who wins, and what is refused in which words."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from verger.store import registry as registry_module
from verger.store.errors import AlreadyExists
from verger.store.kinds import Kind
from verger.store.objects import NAME_ALPHABET
from verger.store.registry import GENERATE_ATTEMPTS
from verger.store.rules import Rules
from verger.watch.event import EventType

from tests.store.conftest import Store

UUID4 = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}").fullmatch
ANOTHER_UID = "88888888-8888-8888-8888-888888888888"
CREATED = "2023-11-14T22:13:20Z"
MODIFIED = (
    "the object has been modified; please apply your changes to the latest version and try again"
)
IMMUTABLE = "field is immutable"
SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)


def thing(**rules: Any) -> Kind:
    """A kind that follows the general rules, but for those facts."""
    return Kind(
        group="example.com",
        version="v1",
        kind="Thing",
        plural="things",
        singular="thing",
        namespaced=True,
        verbs=frozenset({"get", "create"}),
        type_name="",
        rules=Rules(**rules),
    )


def meta(obj: Mapping[str, Any]) -> dict[str, Any]:
    return dict(obj["metadata"])


def status(code: int, reason: str, message: str, **details: Any) -> dict[str, Any]:
    """A Status as a kube-apiserver sends it."""
    out: dict[str, Any] = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
    }
    out["message"] = message
    if reason:
        out["reason"] = reason
    if details:
        out["details"] = details
    return {**out, "code": code}


def conflict(name: str = "a", why: str = MODIFIED, resource: str = "configmaps") -> dict[str, Any]:
    message = f'Operation cannot be fulfilled on {resource} "{name}": {why}'
    return status(409, "Conflict", message, name=name, kind=resource)


def named(name: str = "a", **fields: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, **fields}}


# Create


async def test_new_object_has_what_the_client_chose_and_what_the_server_sets(
    store: Store,
) -> None:
    """Identity, birth and revision are the server's, whatever the body says; the generation is kept."""
    found = await store.create(
        "ConfigMap",
        {
            "metadata": {
                "name": "a",
                "uid": ANOTHER_UID,
                "creationTimestamp": "2001-01-01T00:00:00Z",
                "deletionTimestamp": "2001-01-01T00:00:00Z",
                "deletionGracePeriodSeconds": 9,
                "generation": 7,
                "selfLink": "/x",
                "labels": {"l": "1"},
            },
            "data": {"k": "v"},
        },
    )
    uid = meta(found)["uid"]
    assert UUID4(uid)
    assert uid != ANOTHER_UID
    assert found == {
        "kind": "ConfigMap",
        "apiVersion": "v1",
        "metadata": {
            "name": "a",
            "namespace": "ns",
            "uid": uid,
            "resourceVersion": str(store.backend.revision),
            "generation": 7,
            "creationTimestamp": CREATED,
            "labels": {"l": "1"},
        },
        "data": {"k": "v"},
    }
    assert list(meta(found)) == [
        "name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "labels",
    ]  # fmt: skip
    assert store.get("ConfigMap", "a") == found


async def test_generation_is_counted_for_some_kinds_and_status_is_not_the_creators(
    store: Store,
) -> None:
    """A kind that counts begins at 1; one with a status begins without."""
    kind = thing(counts_generation=True, has_status=True)
    found = await store.create(kind, {**named(), "spec": {"x": 1}, "status": {"ready": True}})
    assert meta(found)["generation"] == 1
    assert "status" not in found
    plain = await store.create("ConfigMap", named())
    assert "generation" not in meta(plain)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(
            {"metadata": {}},
            status(
                422,
                "Invalid",
                'ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required',
                kind="ConfigMap",
                causes=[
                    {
                        "reason": "FieldValueRequired",
                        "message": "Required value: name or generateName is required",
                        "field": "metadata.name",
                    }
                ],
            ),
            id="no name",
        ),
        pytest.param(
            named("UPPER"),
            status(
                422,
                "Invalid",
                f'ConfigMap "UPPER" is invalid: metadata.name: Invalid value: "UPPER": {SUBDOMAIN}',
                name="UPPER",
                kind="ConfigMap",
                causes=[
                    {
                        "reason": "FieldValueInvalid",
                        "message": f'Invalid value: "UPPER": {SUBDOMAIN}',
                        "field": "metadata.name",
                    }
                ],
            ),
            id="a name in upper case",
        ),
        pytest.param(
            named(namespace="elsewhere"),
            status(
                400,
                "BadRequest",
                "the namespace of the provided object does not match the namespace sent on the request",
            ),
            id="another namespace in the body",
        ),
        pytest.param(
            named(resourceVersion="1"),
            status(500, "", "resourceVersion should not be set on objects to be created"),
            id="a revision",
        ),
        pytest.param(
            named(resourceVersion="not-a-number"),
            status(500, "", 'strconv.ParseUint: parsing "not-a-number": invalid syntax'),
            id="a revision that is none",
        ),
        pytest.param(
            named("there"),
            status(
                409,
                "AlreadyExists",
                'configmaps "there" already exists',
                name="there",
                kind="configmaps",
            ),
            id="a name that is taken",
        ),
        pytest.param(
            named("leaving"),
            status(
                409,
                "AlreadyExists",
                'object is being deleted: configmaps "leaving" already exists',
                name="leaving",
                kind="configmaps",
            ),
            id="a name of what is about to go",
        ),
    ],
)
@pytest.mark.parametrize(
    "dry_run", [pytest.param(False, id="in earnest"), pytest.param(True, id="dry")]
)
async def test_creation_is_refused_in_the_words_of_upstream(
    store: Store, body: dict[str, Any], expected: dict[str, Any], dry_run: bool
) -> None:
    """A creation that cannot be leaves nothing behind, and a dry run is refused alike."""
    await store.create("ConfigMap", named("there"))
    await store.create("ConfigMap", named("leaving", finalizers=["e.com/x"]))
    await store.delete("ConfigMap", "leaving")
    assert await store.status(store.create("ConfigMap", body, dry_run=dry_run)) == expected


async def test_revision_zero_and_the_own_namespace_may_stand_in_a_new_object(
    store: Store,
) -> None:
    """Saying what is so anyway does no harm."""
    found = await store.create("ConfigMap", named(namespace="ns", resourceVersion="0"))
    assert meta(found)["resourceVersion"] == str(store.backend.revision)


async def test_missing_namespace_refuses_creations(store: Store) -> None:
    """There is nothing in a namespace that does not exist."""
    assert await store.status(store.create("Secret", named(), "missing")) == status(
        404, "NotFound", 'namespaces "missing" not found', name="missing", kind="namespaces"
    )


async def test_dry_creation_shows_the_object_and_stores_nothing(store: Store) -> None:
    """The answer has an identity and a birth, and no revision."""
    before = store.backend.revision
    found = await store.create("ConfigMap", {**named(), "data": {"k": "v"}}, dry_run=True)
    assert list(meta(found)) == ["name", "namespace", "uid", "creationTimestamp"]
    assert found["data"] == {"k": "v"}
    assert store.backend.revision == before
    assert not store.there("ConfigMap", "a")


# Generated names


@pytest.mark.parametrize(
    ("base", "kept"),
    [
        pytest.param("gen-", "gen-", id="a short base"),
        pytest.param("g" * 58, "g" * 58, id="the longest base"),
        pytest.param("g" * 70, "g" * 58, id="a base that is cut"),
    ],
)
async def test_name_is_made_of_its_base_and_five_characters(
    store: Store, base: str, kept: str
) -> None:
    """A generated name is the base, cut to fit, and five characters without vowels and look-alikes."""
    found = meta(await store.create("ConfigMap", {"metadata": {"generateName": base}}))
    assert re.fullmatch(f"{kept}[{NAME_ALPHABET}]{{5}}", found["name"])
    assert found["generateName"] == base
    assert NAME_ALPHABET == "bcdfghjklmnpqrstvwxz2456789"


async def test_name_wins_over_its_base(store: Store) -> None:
    """With a name nothing is generated."""
    found = meta(await store.create("ConfigMap", named("both", generateName="abc-")))
    assert (found["name"], found["generateName"]) == ("both", "abc-")


def scripted(monkeypatch: pytest.MonkeyPatch, names: list[str]) -> Iterator[str]:
    """Makes the generator hand out those names in turn."""
    rest = iter(names)
    monkeypatch.setattr(registry_module, "generate_name", lambda base: base + next(rest))
    return rest


async def test_taken_name_is_generated_anew(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A collision is nothing that a client hears of, and the object is the one that was sent."""
    await store.create("Secret", named("x-taken"))
    rest = scripted(monkeypatch, ["taken"] * 7 + ["free", "unused"])
    found = await store.create(
        "Secret", {"metadata": {"generateName": "x-"}, "stringData": {"k": "v"}}
    )
    assert meta(found)["name"] == "x-free"
    assert found["data"] == {"k": "dg=="}
    assert [*rest] == ["unused"]


@pytest.mark.parametrize(
    "dry_run", [pytest.param(False, id="in earnest"), pytest.param(True, id="dry")]
)
async def test_generation_of_names_gives_up(
    store: Store, monkeypatch: pytest.MonkeyPatch, dry_run: bool
) -> None:
    """After eight collisions the client is told to try again in a second."""
    await store.create("ConfigMap", named("x-taken"))
    rest = scripted(monkeypatch, ["taken"] * GENERATE_ATTEMPTS + ["free"])
    creation = store.create("ConfigMap", {"metadata": {"generateName": "x-"}}, dry_run=dry_run)
    assert await store.status(creation) == status(
        409,
        "AlreadyExists",
        'configmaps "x-taken" already exists, the server was not able to generate a unique name for the object',
        name="x-taken",
        kind="configmaps",
        retryAfterSeconds=1,
    )
    assert [*rest] == ["free"]
    assert GENERATE_ATTEMPTS == 8


async def test_name_that_is_given_is_tried_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A base beside a name does not save a creation whose name is taken."""
    await store.create("ConfigMap", named())
    rest = scripted(monkeypatch, ["free"])
    with pytest.raises(AlreadyExists, match=r'^configmaps "a" already exists$'):
        await store.create("ConfigMap", named(generateName="x-"))
    assert [*rest] == ["free"]


# Update


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(
            named("b"),
            status(
                400,
                "BadRequest",
                "the name of the object (b) does not match the name on the URL (a)",
            ),
            id="another name",
        ),
        pytest.param(
            named(namespace="other"),
            status(
                400,
                "BadRequest",
                "the namespace of the provided object does not match the namespace sent on the request",
            ),
            id="another namespace",
        ),
        pytest.param(named(resourceVersion="1"), conflict(), id="an old revision"),
        pytest.param(named(resourceVersion="9" * 19), conflict(), id="a revision yet to come"),
        pytest.param(
            named(resourceVersion="not-a-number"),
            status(500, "", 'strconv.ParseUint: parsing "not-a-number": invalid syntax'),
            id="a revision that is none",
        ),
        pytest.param(
            named(finalizers=["bare"]),
            status(
                422,
                "Invalid",
                'ConfigMap "a" is invalid: metadata.finalizers[0]: Invalid value: "bare": name is neither a '
                "standard finalizer name nor is it fully qualified",
                name="a",
                kind="ConfigMap",
                causes=[
                    {
                        "reason": "FieldValueInvalid",
                        "message": 'Invalid value: "bare": name is neither a standard finalizer name nor '
                        "is it fully qualified",
                        "field": "metadata.finalizers[0]",
                    }
                ]
                * 2,
            ),
            id="a bad finalizer, which both layers of upstream see",
        ),
    ],
)
async def test_update_is_refused_in_the_words_of_upstream(
    store: Store, body: dict[str, Any], expected: dict[str, Any]
) -> None:
    """An update that cannot be changes nothing."""
    await store.create("ConfigMap", {**named(), "data": {"k": "1"}})
    assert await store.status(store.update("ConfigMap", "a", body)) == expected
    assert await store.status(store.update("ConfigMap", "a", body, dry_run=True)) == expected


async def test_update_for_another_incarnation_is_refused(store: Store) -> None:
    """A uid in the body is a precondition."""
    uid = meta(await store.create("ConfigMap", named()))["uid"]
    update = store.update("ConfigMap", "a", named(uid=ANOTHER_UID))
    assert await store.status(update) == conflict(
        why="StorageError: invalid object, Code: 4, Key: /registry/configmaps/ns/a, ResourceVersion: 0, "
        f"AdditionalErrorMsg: Precondition failed: UID in precondition: {ANOTHER_UID}, UID in object meta: {uid}"
    )
    found = await store.update("ConfigMap", "a", {**named(uid=uid), "data": {"k": "v"}})
    assert found["data"] == {"k": "v"}


@pytest.mark.parametrize("name", ["a", ""], ids=["with its name", "without name"])
@pytest.mark.parametrize("said", ["right", "0", ""])
async def test_update_replaces_what_is_the_clients(store: Store, name: str, said: str) -> None:
    """The content and the client's metadata are as sent, the server's metadata as they were."""
    old = await store.create(
        "ConfigMap",
        {**named(labels={"x": "1"}, annotations={"y": "2"}, generation=7), "data": {"k": "1"}},
    )
    await store.clock.advance(5)
    revision = meta(old)["resourceVersion"] if said == "right" else said
    found = await store.update(
        "ConfigMap",
        "a",
        {
            "metadata": {
                "name": name,
                "resourceVersion": revision,
                "creationTimestamp": "2001-01-01T00:00:00Z",
                "generation": 3,
                "selfLink": "/y",
                "labels": {"z": "3"},
            },
            "data": {"k": "2"},
        },
    )
    expected = {key: value for key, value in meta(old).items() if key != "annotations"}
    expected |= {"labels": {"z": "3"}, "resourceVersion": str(store.backend.revision)}
    assert found == {**old, "metadata": expected, "data": {"k": "2"}}
    assert int(expected["resourceVersion"]) == int(meta(old)["resourceVersion"]) + 1


async def test_update_that_changes_nothing_takes_no_revision(store: Store) -> None:
    """The same content is no change: no revision, no event, and the row as it was."""
    body = {**named(labels={"x": "1"}), "data": {"k": "v"}}
    old = await store.create("ConfigMap", body)
    before = store.backend.revision
    assert await store.update("ConfigMap", "a", body) is old
    assert await store.update("ConfigMap", "a", {**body, "metadata": meta(old)}) is old
    assert await store.patch("ConfigMap", "a", {"data": {"k": "v"}}) is old
    assert await store.patch("ConfigMap", "a", {}) is old
    assert store.backend.revision == before


async def test_dry_update_shows_the_outcome_at_the_old_revision(store: Store) -> None:
    """Nothing is stored, and the revision is the one that is stored."""
    old = await store.create("ConfigMap", {**named(), "data": {"k": "v"}})
    before = store.backend.revision
    found = await store.update("ConfigMap", "a", {**named(), "data": {"k": "w"}}, dry_run=True)
    assert found == {**old, "data": {"k": "w"}}
    found = await store.patch("ConfigMap", "a", {"data": {"l": "x"}}, dry_run=True)
    assert found == {**old, "data": {"k": "v", "l": "x"}}
    assert store.backend.revision == before
    assert store.get("ConfigMap", "a") is old


@pytest.mark.parametrize("said", ["", "0"])
async def test_kind_may_demand_a_revision(store: Store, said: str) -> None:
    """Where an update must name what it saw, one that does not is refused."""
    kind = store.kind("Lease", "coordination.k8s.io")
    old = await store.create(kind, {**named(), "spec": {"holderIdentity": "me"}})
    new = {**named(resourceVersion=said), "spec": {"holderIdentity": "you"}}
    assert await store.status(store.update(kind, "a", new)) == status(
        422,
        "Invalid",
        'leases.coordination.k8s.io "a" is invalid: metadata.resourceVersion: Invalid value: 0: must be '
        "specified for an update",
        name="a",
        group="coordination.k8s.io",
        kind="leases",
        causes=[
            {
                "reason": "FieldValueInvalid",
                "message": "Invalid value: 0: must be specified for an update",
                "field": "metadata.resourceVersion",
            }
        ],
    )
    new = {**named(resourceVersion=meta(old)["resourceVersion"]), "spec": {"holderIdentity": "you"}}
    assert (await store.update(kind, "a", new))["spec"] == {"holderIdentity": "you"}
    assert await store.status(store.update(kind, "a", new)) == status(
        409,
        "Conflict",
        f'Operation cannot be fulfilled on leases.coordination.k8s.io "a": {MODIFIED}',
        name="a",
        group="coordination.k8s.io",
        kind="leases",
    )


async def test_update_of_nothing_creates_for_some_kinds_only(store: Store) -> None:
    """A PUT creates where the kind allows it, whatever revision it names, but for a uid or a part of the object."""
    missing = status(
        404, "NotFound", 'serviceaccounts "a" not found', name="a", kind="serviceaccounts"
    )
    assert await store.status(store.update("ServiceAccount", "a", named())) == missing
    kind = thing(create_on_update=True)
    other = await store.status(store.update(kind, "a", named(uid=ANOTHER_UID)))
    assert other == status(
        409,
        "Conflict",
        'Operation cannot be fulfilled on things.example.com "a": StorageError: invalid object, Code: 4, Key: '
        "/registry/things/ns/a, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: "
        f"{ANOTHER_UID}, UID in object meta: ",
        name="a",
        group="example.com",
        kind="things",
    )
    part = await store.status(store.update(kind, "a", named(), subresource="status"))
    assert part["reason"] == "NotFound"
    dry = await store.update(kind, "a", named(), dry_run=True)
    assert not store.there(kind, "a")
    found = await store.update(kind, "a", {"metadata": {"resourceVersion": "5"}, "spec": {"x": 1}})
    assert (meta(found)["name"], found["spec"]) == ("a", {"x": 1})
    assert meta(found)["uid"] != meta(dry)["uid"]


async def test_generation_counts_changes_of_the_content(store: Store) -> None:
    """It grows with the content, not with metadata or status, and never goes back."""
    kind = thing(counts_generation=True, has_status=True)
    await store.create(kind, {**named(), "spec": {"x": 1}})

    async def generation(subresource: str = "", **body: Any) -> int:
        found = await store.update(kind, "a", {**named(), **body}, subresource=subresource)
        return int(meta(found)["generation"])

    assert await generation(spec={"x": 2}) == 2
    assert await generation(spec={"x": 2}, status={"ready": True}) == 2
    labelled = {**named(labels={"l": "1"}, generation=1), "spec": {"x": 2}}
    assert meta(await store.update(kind, "a", labelled))["generation"] == 2
    assert await generation("status", spec={"x": 9}, status={"ready": True}) == 2
    assert await generation(spec={"x": 2}, other=1) == 3
    assert await generation() == 4


async def test_main_and_status_write_their_own_part(store: Store) -> None:
    """The status changes through its own endpoint alone, and that endpoint changes nothing else but metadata."""
    kind = thing(has_status=True)
    await store.create(kind, {**named(), "spec": {"x": 1}})
    found = await store.update(kind, "a", {**named(), "spec": {"x": 2}, "status": {"s": 1}})
    assert (found["spec"], found.get("status")) == ({"x": 2}, None)
    found = await store.update(
        kind,
        "a",
        {**named(labels={"l": "1"}), "spec": {"x": 3}, "more": 1, "status": {"s": 1}},
        subresource="status",
    )
    assert (found["spec"], found["status"], "more" in found) == ({"x": 2}, {"s": 1}, False)
    assert meta(found)["labels"] == {"l": "1"}
    found = await store.update(kind, "a", {**named(), "spec": {"x": 4}})
    assert (found["spec"], found["status"]) == ({"x": 4}, {"s": 1})
    found = await store.update(kind, "a", named(), subresource="status")
    assert (found["spec"], "status" in found) == ({"x": 4}, False)


# Patch


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        pytest.param(
            named(resourceVersion="1"), conflict(), id="an old revision is a precondition"
        ),
        pytest.param(
            {"metadata": {"uid": ANOTHER_UID}},
            status(
                422,
                "Invalid",
                f'ConfigMap "a" is invalid: metadata.uid: Invalid value: "{ANOTHER_UID}": {IMMUTABLE}',
                name="a",
                kind="ConfigMap",
                causes=[
                    {
                        "reason": "FieldValueInvalid",
                        "message": f'Invalid value: "{ANOTHER_UID}": {IMMUTABLE}',
                        "field": "metadata.uid",
                    }
                ]
                * 2,
            ),
            id="another uid is refused by both layers of upstream",
        ),
        pytest.param(
            {"metadata": {"name": "b"}},
            status(
                400,
                "BadRequest",
                "the name of the object (b) does not match the name on the URL (a)",
            ),
            id="another name",
        ),
        pytest.param(
            {"metadata": {"namespace": "b"}},
            status(
                400,
                "BadRequest",
                "the namespace of the provided object does not match the namespace sent on the request",
            ),
            id="another namespace",
        ),
    ],
)
async def test_patch_is_refused_in_the_words_of_upstream(
    store: Store, patch: dict[str, Any], expected: dict[str, Any]
) -> None:
    """A patch whose outcome cannot be changes nothing."""
    await store.create("ConfigMap", named())
    assert await store.status(store.patch("ConfigMap", "a", patch)) == expected


async def test_patch_changes_what_it_names(store: Store) -> None:
    """A patch is worked out on the newest version, and the rest stays."""
    old = await store.create("ConfigMap", {**named(labels={"x": "1"}), "data": {"k": "1"}})
    found = await store.patch(
        "ConfigMap", "a", {"data": {"l": "2"}, "metadata": {"uid": meta(old)["uid"]}}
    )
    assert found["data"] == {"k": "1", "l": "2"}
    assert meta(found) == {**meta(old), "resourceVersion": str(store.backend.revision)}
    assert await store.status(store.patch("ConfigMap", "none", {})) == status(
        404, "NotFound", 'configmaps "none" not found', name="none", kind="configmaps"
    )


# Finalizers


async def test_last_finalizer_takes_a_terminating_object_with_it(store: Store) -> None:
    """The answer is what was asked for at the old revision; the event has the state before, and a revision of its own."""
    await store.create("ConfigMap", named(finalizers=["e.com/x"]))
    marked, _ = await store.delete("ConfigMap", "a")
    start = store.backend.revision
    answer = await store.update("ConfigMap", "a", named())
    assert meta(answer) == {k: v for k, v in meta(marked).items() if k != "finalizers"}
    assert not store.there("ConfigMap", "a")
    (event,) = store.backend.log.cursor("configmaps", after=start).read()
    assert event.type is EventType.DELETED
    assert event.object.object["metadata"] == {**meta(marked), "resourceVersion": str(start + 1)}
    assert event.revision == store.backend.revision == start + 1


async def test_last_finalizer_leaves_an_object_that_is_not_deleted(store: Store) -> None:
    """Without a deletion finalizers are data."""
    await store.create("ConfigMap", named(finalizers=["e.com/x"]))
    found = await store.patch("ConfigMap", "a", {"metadata": {"finalizers": []}})
    assert "finalizers" not in meta(found)
    assert store.there("ConfigMap", "a")


async def test_terminating_object_changes_and_gains_no_finalizers(store: Store) -> None:
    """All but new finalizers may change; a dry removal of the last one removes nothing."""
    await store.create("ConfigMap", named(finalizers=["e.com/x", "e.com/y"]))
    await store.delete("ConfigMap", "a")
    found = await store.patch("ConfigMap", "a", {"data": {"k": "v"}})
    assert found["data"] == {"k": "v"}
    text = (
        "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers "
        '[]string{"e.com/new"}'
    )
    more = {"metadata": {"finalizers": ["e.com/x", "e.com/new"]}}
    cause = {"reason": "FieldValueForbidden", "message": text, "field": "metadata.finalizers"}
    assert await store.status(store.patch("ConfigMap", "a", more)) == status(
        422,
        "Invalid",
        f'ConfigMap "a" is invalid: metadata.finalizers: {text}',
        name="a",
        kind="ConfigMap",
        causes=[cause, cause],
    )
    await store.patch("ConfigMap", "a", {"metadata": {"finalizers": None}}, dry_run=True)
    assert store.there("ConfigMap", "a")
    found = await store.patch("ConfigMap", "a", {"metadata": {"finalizers": ["e.com/y"]}})
    assert meta(found)["finalizers"] == ["e.com/y"]
