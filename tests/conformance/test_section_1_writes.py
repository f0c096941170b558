"""Requirements of spec section 1 on writes: revisions, compare-and-swap, create, update, patch, delete, owners."""

import re
from collections.abc import Sequence
from typing import Any

import pytest

from tests.conformance.play import (
    ABSENT,
    APPLY,
    CONFIGMAPS,
    JSON_PATCH,
    LEASES,
    SECRETS,
    STRATEGIC,
    Above,
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

CM = CONFIGMAPS
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}").fullmatch
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ").fullmatch
DECIMAL = re.compile(r"[1-9][0-9]*").fullmatch
MODIFIED = 'Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to the latest version and try again'
OWNER = {"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": "u"}
HELD = named("a", meta={"finalizers": ["example.com/hold"]})
CONFIG = {"apiVersion": "v1", "kind": "ConfigMap"}


def owned(*owners: Any) -> dict[str, Any]:
    return named("a", meta={"ownerReferences": list(owners)})


def dns(kind: str) -> str:
    return f"a lowercase RFC 1123 {kind} must consist of"


REVISIONS = [
    case("1.1 a resourceVersion is a decimal number without sign or leading zero", post(CM, named("a"), has={"metadata/resourceVersion": DECIMAL})),
    case(
        "1.1 one counter is shared by all kinds",
        post(CM, named("a"), save={"one": "metadata/resourceVersion"}),
        post(SECRETS, named("a"), has={"metadata/resourceVersion": Above("one")}),
    ),
    case("1.1 a list's resourceVersion is at least that of every item", post(SECRETS, named("a")), get(SECRETS, has={"metadata/resourceVersion": Above("rv", may_equal=True), "items/0/metadata/resourceVersion": "{rv}"})),
    case("1.1 a deletion takes a revision", post(CM, named("a")), delete(f"{CM}/a"), watch(f"{CM}?watch=1&resourceVersion={{rv}}", "DELETED a", has={"0/object/metadata/resourceVersion": Above("rv")})),
    case("1.1 selfLink is always empty", post(CM, named("a", meta={"selfLink": "/x"}), has={"metadata/selfLink": ABSENT})),
    case("1.2 a PUT that changes nothing writes nothing: the same resourceVersion, 200", post(CM, named("a", data={"k": "v"})), put(f"{CM}/a", named("a", data={"k": "v"}), has={"metadata/resourceVersion": "{rv}"})),
    case("1.2 a patch that changes nothing writes nothing", post(CM, named("a", data={"k": "v"})), patch(f"{CM}/a", {"data": {"k": "v"}}, has={"metadata/resourceVersion": "{rv}"})),
    case(
        "1.2 an apply that would change no more than a time of managedFields is no write",
        patch(f"{CM}/a?fieldManager=m", {**CONFIG, "metadata": {"name": "a"}, "data": {"k": "v"}}, APPLY, code=201),
        patch(f"{CM}/a?fieldManager=m", {**CONFIG, "metadata": {"name": "a"}, "data": {"k": "v"}}, APPLY, has={"metadata/resourceVersion": "{rv}"}),
    ),
]  # fmt: skip
CREATES = [
    case(
        "1.3 what the server sets is wiped from the body",
        post(
            CM,
            named("a", meta={"uid": "mine", "creationTimestamp": "2001-01-01T00:00:00Z", "deletionTimestamp": "2001-01-01T00:00:00Z", "deletionGracePeriodSeconds": 9}),
            has={"metadata/uid": UUID, "metadata/creationTimestamp": lambda found: TIME(found) and not found.startswith("2001"), "metadata/deletionTimestamp": ABSENT, "metadata/deletionGracePeriodSeconds": ABSENT},
        ),
    ),
    case("1.3 a body with a resourceVersion is refused", post(CM, named("a", meta={"resourceVersion": "5"}), 500, says="resourceVersion should not be set on objects to be created")),
    case("1.3 kinds without a generation get none", post(CM, named("a"), has={"metadata/generation": ABSENT})),
    case("1.3 kinds with a generation begin at 1", post("/apis/networking.k8s.io/v1/namespaces/{ns}/networkpolicies", named("a", spec={"podSelector": {}}), has={"metadata/generation": 1})),
    case("1.3 a generated name is the base, cut to 58 characters, and five of 27 characters", post(CM, {"metadata": {"generateName": "x" * 70}}, has={"metadata/name": re.compile("x{58}[bcdfghjklmnpqrstvwxz2456789]{5}").fullmatch})),
    case("1.3 a name goes before generateName", post(CM, named("a", meta={"generateName": "b-"}), has={"metadata/name": "a", "metadata/generateName": "b-"})),
    case("1.3 without both names the object is refused", post(CM, {}, 422, says="metadata.name: Required value: name or generateName is required")),
    case("1.3 a name that exists is 409 AlreadyExists", post(CM, named("a")), post(CM, named("a"), 409, says='configmaps "a" already exists', has={"reason": "AlreadyExists", "details/kind": "configmaps", "details/name": "a"})),
    case("1.3 of a name that is being deleted the message says so", post(CM, HELD), delete(f"{CM}/a"), post(CM, named("a"), 409, says='object is being deleted: configmaps "a" already exists')),
    case("1.3 the namespace of the body must be that of the URL", post(CM, named("a", meta={"namespace": "other"}), 400, says="the namespace of the provided object does not match the namespace sent on the request")),
    case("1.3 an empty namespace is filled in", post(CM, named("a"), has={"metadata/namespace": "{ns}"})),
    case("1.3 the answer is 201 and the object as stored", post(CM, named("a", data={"k": "v"}), has={"kind": "ConfigMap", "apiVersion": "v1", "data/k": "v"}), get(f"{CM}/a", has={"metadata/resourceVersion": "{rv}"})),
    case("1.3 a dry run has a uid and a time, no resourceVersion, and leaves nothing", post(f"{CM}?dryRun=All", named("a"), has={"metadata/uid": UUID, "metadata/creationTimestamp": TIME, "metadata/resourceVersion": ABSENT}), get(f"{CM}/a", code=404)),
    case("1.3 a dry run hears of a name that exists", post(CM, named("a")), post(f"{CM}?dryRun=All", named("a"), 409)),
    case("1.3 fields are tracked from the creation on", post(f"{CM}?fieldManager=me", named("a", data={"k": "v"}), has={"metadata/managedFields/0/manager": "me", "metadata/managedFields/0/operation": "Update", "metadata/managedFields/0/fieldsV1": {"f:data": {".": {}, "f:k": {}}}})),
    case("1.3 in a namespace that does not exist nothing is created", post("/api/v1/namespaces/nowhere/configmaps", named("a"), 404, says='namespaces "nowhere" not found')),
]  # fmt: skip
UPDATES = [
    case("1.4 the name of the body must be that of the URL", post(CM, named("a")), put(f"{CM}/a", named("b"), 400, says="the name of the object (b) does not match the name on the URL (a)")),
    case("1.4 an empty name is filled from the URL", post(CM, named("a")), put(f"{CM}/a", {"data": {"k": "v"}}, has={"metadata/name": "a", "data/k": "v"})),
    case("1.4 the namespace of the body must be that of the URL", post(CM, named("a")), put(f"{CM}/a", named("a", meta={"namespace": "other"}), 400)),
    case("1.4 another resourceVersion than the stored one is 409 Conflict", post(CM, named("a")), put(f"{CM}/a", named("a", meta={"resourceVersion": "1"}), 409, says=MODIFIED, has={"reason": "Conflict"})),
    case("1.4 without a resourceVersion the last write wins, for most kinds", post(CM, named("a")), put(f"{CM}/a", named("a", data={"k": "v"}), has={"data/k": "v"})),
    case("1.4 a Lease is not updated without a resourceVersion", post(LEASES, named("a", spec={})), put(f"{LEASES}/a", named("a", spec={}), 422, says="metadata.resourceVersion: Invalid value: 0: must be specified for an update")),
    case("1.4 nor is a PodDisruptionBudget", post("/apis/policy/v1/namespaces/{ns}/poddisruptionbudgets", named("a")), put("/apis/policy/v1/namespaces/{ns}/poddisruptionbudgets/a", named("a"), 422, says="must be specified for an update")),
    case("1.4 another uid is 409 with the precondition", post(CM, named("a")), put(f"{CM}/a", named("a", meta={"uid": "other"}), 409, says="Precondition failed: UID in precondition: other, UID in object meta: {uid}")),
    case("1.4 what is absent is 404", put(f"{CM}/a", named("a"), 404, says='configmaps "a" not found')),
    case("1.4 a PUT creates a Role, with 201", put("/apis/rbac.authorization.k8s.io/v1/namespaces/{ns}/roles/a", named("a", rules=[]), 201, has={"metadata/uid": UUID})),
    case("1.4 a PUT creates a Lease, with 201", put(f"{LEASES}/a", named("a", spec={}), 201)),
    case("1.4 the server's own times survive a PUT", post(CM, named("a")), put(f"{CM}/a", named("a", meta={"creationTimestamp": "2001-01-01T00:00:00Z", "deletionTimestamp": "2001-01-01T00:00:00Z"}, data={"k": "v"}), has={"metadata/creationTimestamp": lambda found: not found.startswith("2001"), "metadata/deletionTimestamp": ABSENT})),
    case("1.4 no finalizer is added once an object is being deleted", post(CM, HELD), delete(f"{CM}/a"), patch(f"{CM}/a", {"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}}, code=422, says="metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted")),
    case(
        "1.4 without finalizers a terminating object goes with the update: the answer is what was asked for, at the old resourceVersion",
        post(CM, HELD),
        delete(f"{CM}/a"),
        put(f"{CM}/a", named("a"), has={"metadata/finalizers": ABSENT, "metadata/resourceVersion": "{rv}"}),
        get(f"{CM}/a", code=404),
    ),
    case(
        "1.4 its DELETED event has the last stored content and a new revision, and no MODIFIED goes before it",
        post(CM, HELD),
        delete(f"{CM}/a", save={"marked": "metadata/resourceVersion"}),
        patch(f"{CM}/a", {"metadata": {"finalizers": None}}),
        watch(f"{CM}?watch=1&resourceVersion={{marked}}", "DELETED a", has={"0/object/metadata/finalizers/0": "example.com/hold", "0/object/metadata/resourceVersion": Above("marked")}),
    ),
]  # fmt: skip
PATCHES = [
    case("1.5 a resourceVersion in a merge patch is a lock", post(CM, named("a")), patch(f"{CM}/a", {"metadata": {"resourceVersion": "1"}}, code=409, says=MODIFIED)),
    case("1.5 with the right one the patch goes through", post(CM, named("a")), patch(f"{CM}/a", {"metadata": {"resourceVersion": "{rv}"}, "data": {"k": "v"}}, has={"data/k": "v"})),
    case("1.5 a failed test of a JSON patch is 422", post(CM, named("a")), patch(f"{CM}/a", [{"op": "test", "path": "/metadata/resourceVersion", "value": "1"}], JSON_PATCH, code=422, has={"reason": "Invalid"})),
    case("1.5 the uid of another incarnation in a patch is refused", post(CM, named("a")), patch(f"{CM}/a", {"metadata": {"uid": "other"}}, STRATEGIC, code=422, says='metadata.uid: Invalid value: "other": field is immutable')),
    case("1.5 an apply with a uid does not create", patch(f"{CM}/a?fieldManager=m", {**CONFIG, "metadata": {"name": "a", "uid": "u"}}, APPLY, code=409, says="uid mismatch: the provided object specified uid u, and no existing object was found")),
    case("1.5 only an apply that creates answers 201", patch(f"{CM}/a?fieldManager=m", {**CONFIG, "metadata": {"name": "a"}}, APPLY, code=201), patch(f"{CM}/a?fieldManager=m", {**CONFIG, "metadata": {"name": "a"}, "data": {"k": "v"}}, APPLY)),
    case("1.5 another patch of what is not there is 404", patch(f"{CM}/a", {}, code=404)),
]  # fmt: skip
DELETES = [
    case("1.6 options come from the body", post(CM, named("a")), delete(f"{CM}/a", {"dryRun": ["All"]}), get(f"{CM}/a")),
    case("1.6 or from the query", post(CM, named("a")), delete(f"{CM}/a?dryRun=All"), get(f"{CM}/a")),
    case("1.6 the body goes before the query", post(CM, named("a")), delete(f"{CM}/a?propagationPolicy=Bogus", {"dryRun": ["All"]})),
    case("1.6 the body may be YAML", post(CM, named("a")), delete(f"{CM}/a", b"dryRun: [All]", sends={"Content-Type": "application/yaml"}), get(f"{CM}/a")),
    case("1.6 options of v1", post(CM, named("a")), delete(f"{CM}/a", {"kind": "DeleteOptions", "apiVersion": "v1"})),
    case("1.6 options of meta.k8s.io/v1", post(CM, named("a")), delete(f"{CM}/a", {"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1"})),
    case("1.6 options of the resource's own group version", post(LEASES, named("a")), delete(f"{LEASES}/a", {"kind": "DeleteOptions", "apiVersion": "coordination.k8s.io/v1"})),
    case("1.6 options of a version that does not exist delete nothing", post(CM, named("a")), delete(f"{CM}/a", {"kind": "DeleteOptions", "apiVersion": "v9"}, code=400, says='no kind "DeleteOptions" is registered for version "v9"'), get(f"{CM}/a")),
    case("1.6 a body of another kind deletes nothing", post(CM, named("a")), delete(f"{CM}/a", {"kind": "ConfigMap"}, code=400), get(f"{CM}/a")),
    case("1.6 orphanDependents and propagationPolicy exclude each other", post(CM, named("a")), delete(f"{CM}/a", {"orphanDependents": True, "propagationPolicy": "Orphan"}, code=422, says="orphanDependents and deletionPropagation cannot be both set")),
    case("1.6 an unknown policy is 422", post(CM, named("a")), delete(f"{CM}/a?propagationPolicy=Bogus", code=422, says='propagationPolicy: Unsupported value: "Bogus"')),
    case("1.6 another dryRun than All is 422", post(CM, named("a")), delete(f"{CM}/a?dryRun=Some", code=422, says='supported values: "All"')),
    case("1.6 a precondition on the uid", post(CM, named("a")), delete(f"{CM}/a", {"preconditions": {"uid": "other"}}, code=409, says="the UID in the precondition (other) does not match the UID in record ({uid})")),
    case("1.6 a precondition on the resourceVersion", post(CM, named("a")), delete(f"{CM}/a", {"preconditions": {"resourceVersion": "1"}}, code=409, says="the ResourceVersion in the precondition (1) does not match")),
    case("1.6 Orphan leaves the dependents to their finalizer", post(CM, HELD), delete(f"{CM}/a?propagationPolicy=Orphan", has={"metadata/finalizers": ["example.com/hold", "orphan"]})),
    case("1.6 Foreground waits for them by theirs", post(CM, HELD), delete(f"{CM}/a?propagationPolicy=Foreground", has={"metadata/finalizers": ["example.com/hold", "foregroundDeletion"]})),
    case("1.6 Background takes both finalizers away", post(CM, named("a", meta={"finalizers": ["example.com/hold", "orphan"]})), delete(f"{CM}/a?propagationPolicy=Background", has={"metadata/finalizers": ["example.com/hold"]})),
    case("1.6 without a policy what is there stays", post(CM, named("a", meta={"finalizers": ["orphan", "example.com/hold"]})), delete(f"{CM}/a", has={"metadata/finalizers": ["orphan", "example.com/hold"]})),
    case("1.6 with finalizers the object is marked, and answered with 200", post(CM, HELD), delete(f"{CM}/a", has={"kind": "ConfigMap", "metadata/deletionTimestamp": TIME, "metadata/deletionGracePeriodSeconds": 0})),
    case("1.6 a generation above zero counts the mark", post("/apis/networking.k8s.io/v1/namespaces/{ns}/networkpolicies", {**HELD, "spec": {"podSelector": {}}}), delete("/apis/networking.k8s.io/v1/namespaces/{ns}/networkpolicies/a", has={"metadata/generation": 2})),
    case("1.6 202 is for orphanDependents=false and an object that stays", post(CM, HELD), delete(f"{CM}/a?orphanDependents=false", code=202, has={"metadata/deletionTimestamp": TIME})),
    case("1.6 orphanDependents=false and an object that goes is 200", post(CM, named("a")), delete(f"{CM}/a", {"orphanDependents": False})),
    case("1.6 a second delete changes nothing", post(CM, HELD), delete(f"{CM}/a"), delete(f"{CM}/a", has={"metadata/resourceVersion": "{rv}"})),
    case("1.6 what goes is answered with a Status that has name, group, resource and uid", post(LEASES, named("a")), delete(f"{LEASES}/a", has={"kind": "Status", "status": "Success", "details": {"name": "a", "group": "coordination.k8s.io", "kind": "leases", "uid": "{uid}"}})),
    case("1.6 ServiceAccounts answer with themselves, at the revision of the deletion", post("/api/v1/namespaces/{ns}/serviceaccounts", named("a"), save={"old": "metadata/resourceVersion"}), delete("/api/v1/namespaces/{ns}/serviceaccounts/a", has={"kind": "ServiceAccount", "metadata/uid": "{uid}", "metadata/resourceVersion": Above("old")})),
    case("1.6 a pod without a node goes at once", post("/api/v1/namespaces/{ns}/pods", named("a", spec={"containers": [{"name": "c", "image": "i"}]})), delete("/api/v1/namespaces/{ns}/pods/a", has={"kind": "Pod"}), get("/api/v1/namespaces/{ns}/pods/a", code=404)),
    case(
        "1.6 a pod on a node has its grace, which only gets shorter",
        post("/api/v1/namespaces/{ns}/pods", named("a", spec={"nodeName": "n", "containers": [{"name": "c", "image": "i"}]})),
        delete("/api/v1/namespaces/{ns}/pods/a", has={"metadata/deletionGracePeriodSeconds": 30}),
        delete("/api/v1/namespaces/{ns}/pods/a?gracePeriodSeconds=60", has={"metadata/deletionGracePeriodSeconds": 30}),
        delete("/api/v1/namespaces/{ns}/pods/a?gracePeriodSeconds=5", has={"metadata/deletionGracePeriodSeconds": 5}),
        delete("/api/v1/namespaces/{ns}/pods/a?gracePeriodSeconds=0"),
        get("/api/v1/namespaces/{ns}/pods/a", code=404),
    ),
    case("1.7 a collection is deleted by selectors, and answered with the list of what went", post(SECRETS, named("a", meta={"labels": {"k": "v"}})), post(SECRETS, named("b")), delete(f"{SECRETS}?labelSelector=k=v", has={"kind": "SecretList", "items/0/metadata/name": "a", "items/1": ABSENT}), get(SECRETS, has={"items/0/metadata/name": "b"})),
    case("1.7 fields select too", post(SECRETS, named("a")), post(SECRETS, named("b")), delete(f"{SECRETS}?fieldSelector=metadata.name=b"), get(SECRETS, has={"items/0/metadata/name": "a", "items/1": ABSENT})),
    case("1.7 nothing to delete is an empty list", delete(SECRETS, has={"kind": "SecretList", "items": []})),
    case("1.7 options hold for every object", post(SECRETS, named("a")), delete(SECRETS, {"dryRun": ["All"]}), get(f"{SECRETS}/a")),
    case("1.7 limit holds", post(SECRETS, named("a")), post(SECRETS, named("b")), delete(f"{SECRETS}?limit=1"), get(SECRETS, has={"items/0/metadata/name": "b", "items/1": ABSENT})),
    case("1.7 a kind without it is 405", delete("/api/v1/namespaces", code=405, has={"reason": "MethodNotAllowed"})),
]  # fmt: skip
OWNERS = [
    case("1.8 an owner needs apiVersion, kind, name and uid", post(CM, owned({}), 422, says='metadata.ownerReferences.apiVersion: Invalid value: "": version must not be empty')),
    case("1.8 at most one owner is the controller", post(CM, owned({**OWNER, "controller": True}, {**OWNER, "name": "p", "uid": "w", "controller": True}), 422, says='Only one reference can have Controller set to true. Found "true" in references for ConfigMap/o and ConfigMap/p')),
    case("1.8 an Event may not be an owner", post(CM, owned({**OWNER, "kind": "Event"}), 422, says="/v1, Kind=Event is disallowed from being an owner")),
    case("1.8 owners that are there twice are removed, with a warning", post(CM, owned(OWNER, OWNER), has={"metadata/ownerReferences/1": ABSENT}, head={"Warning": lambda found: ".metadata.ownerReferences contains duplicate entries; " in found and "duplicate UID(s) observed: u" in found})),
    case("1.8 a patch too, in other words", post(CM, named("a")), patch(f"{CM}/a", owned(OWNER, OWNER), has={"metadata/ownerReferences/1": ABSENT}, head={"Warning": lambda found: "duplicate entries after mutating admission happens" in found})),
    case("1.8 a PUT too", post(CM, named("a")), put(f"{CM}/a", owned(OWNER, OWNER), has={"metadata/ownerReferences/1": ABSENT}, head={"Warning": lambda found: "duplicate UID(s) observed: u" in found})),
    case("1.8 references of one uid that differ are two", post(CM, owned(OWNER, {**OWNER, "name": "p"}), has={"metadata/ownerReferences/1/name": "p"})),
]  # fmt: skip


@pytest.mark.parametrize("steps", [*REVISIONS, *CREATES, *UPDATES, *PATCHES, *DELETES, *OWNERS])
def test_writes(player: Player, steps: Sequence[Step]) -> None:
    """Section 1, as far as it is about what a write does."""
    player.play(steps)
