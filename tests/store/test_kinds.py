"""The kinds that are served, and what is known of each, are those of Kubernetes 1.36."""

import pytest
from verger.store.kinds import Kind, Kinds, built_in
from verger.store.schemas import load

KINDS = built_in()


STORED = {kind.resource for kind in KINDS if kind.stored}


def resources(rule: str) -> set[str]:
    """The resources of the stored kinds for which a rule is set."""
    return {kind.resource for kind in KINDS if kind.stored and getattr(kind.rules, rule)}


def test_every_resource_of_the_version_is_served_once() -> None:
    """Plural and kind both lead to the one object that stands for a kind."""
    rows = load().resources()
    assert len(rows) == len([*KINDS]) > 60
    for row in rows:
        kind = KINDS.resource(row["group"], row["version"], row["plural"])
        assert kind is not None
        assert kind is KINDS.get(row["group"], row["version"], row["kind"])
        assert kind in KINDS.in_version(row["group"], row["version"])
        assert kind.type_name in load()
    assert KINDS.resource("", "v1", "nothings") is None
    assert KINDS.get("apps", "v9", "Deployment") is None
    assert KINDS.in_version("apps", "v9") == []


@pytest.mark.parametrize(
    ("group", "kind", "api_version", "resource", "list_kind"),
    [
        pytest.param("", "Pod", "v1", "pods", "PodList", id="the core group"),
        pytest.param("", "Endpoints", "v1", "endpoints", "EndpointsList", id="a plural kind"),
        pytest.param(
            "rbac.authorization.k8s.io",
            "Role",
            "rbac.authorization.k8s.io/v1",
            "roles.rbac.authorization.k8s.io",
            "RoleList",
            id="a group",
        ),
    ],
)
def test_kind_is_named_as_messages_and_objects_name_it(
    group: str, kind: str, api_version: str, resource: str, list_kind: str
) -> None:
    """The derived names are those that stand on the wire."""
    found = KINDS.get(group, "v1", kind)
    assert found is not None
    assert found.api_version == api_version
    assert found.resource == resource
    assert found.list_kind == list_kind
    assert KINDS.get(group, "v1", kind) is found


@pytest.mark.parametrize(
    ("group", "kind", "hash_"),
    [
        pytest.param("", "ConfigMap", "qFsyl6wFWjQ=", id="configmaps"),
        pytest.param("", "Namespace", "Q3oi5N2YM8M=", id="namespaces"),
        pytest.param("", "Secret", "S6u1pOWzb84=", id="secrets"),
        pytest.param("", "ServiceAccount", "pbx9ZvyFpBE=", id="serviceaccounts"),
        pytest.param("coordination.k8s.io", "Lease", "gqkMMb/YqFM=", id="leases"),
        pytest.param("", "Event", "r2yiGXH7wu8=", id="events"),
        pytest.param("events.k8s.io", "Event", "r2yiGXH7wu8=", id="events are stored once"),
    ],
)
def test_storage_version_hash_is_that_of_upstream(group: str, kind: str, hash_: str) -> None:
    """The hash in discovery tells clients how a kind is stored."""
    found = KINDS.get(group, "v1", kind)
    assert found is not None
    assert found.storage_version_hash == hash_


def test_events_are_stored_once_and_shown_twice() -> None:
    """The newer kind is a view of the older one, and every view shows a kind that is stored as itself."""
    old, new = KINDS.core("Event"), KINDS.get("events.k8s.io", "v1", "Event")
    assert new is not None
    assert new.view is not None
    assert new.storage is old.storage is old
    views = [kind for kind in KINDS if kind.view is not None]
    assert views == [kind for kind in KINDS if kind.storage is not kind]
    assert all(kind.storage.storage is kind.storage for kind in views)


def test_reviews_are_answered_and_not_stored() -> None:
    """What cannot be read back is not stored."""
    assert {kind.plural for kind in KINDS if not kind.stored} == {
        "bindings", "localsubjectaccessreviews", "selfsubjectaccessreviews", "selfsubjectreviews",
        "selfsubjectrulesreviews", "subjectaccessreviews", "tokenreviews", "componentstatuses",
    }  # fmt: skip


def test_updates_without_a_revision_overwrite_but_for_these_kinds() -> None:
    """The kinds whose updates must name a revision are upstream's."""
    group = "admissionregistration.k8s.io"
    assert STORED - resources("unconditional_update") == {
        "leases.coordination.k8s.io",
        "customresourcedefinitions.apiextensions.k8s.io",
        f"mutatingwebhookconfigurations.{group}", f"validatingwebhookconfigurations.{group}",
        f"mutatingadmissionpolicies.{group}", f"mutatingadmissionpolicybindings.{group}",
        f"validatingadmissionpolicies.{group}", f"validatingadmissionpolicybindings.{group}",
        "poddisruptionbudgets.policy", "runtimeclasses.node.k8s.io",
        "csidrivers.storage.k8s.io", "csistoragecapacities.storage.k8s.io", "csinodes.storage.k8s.io", "volumeattachments.storage.k8s.io",
        "apiservices.apiregistration.k8s.io",
        "flowschemas.flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io",
    } & STORED  # fmt: skip


def test_updates_of_nothing_create_these_kinds() -> None:
    """The kinds that a PUT creates are upstream's."""
    rbac = "rbac.authorization.k8s.io"
    assert resources("create_on_update") == {
        f"roles.{rbac}", f"rolebindings.{rbac}", f"clusterroles.{rbac}", f"clusterrolebindings.{rbac}",
        "leases.coordination.k8s.io", "events", "events.events.k8s.io", "limitranges", "services", "endpoints",
        "runtimeclasses.node.k8s.io",
    }  # fmt: skip


def test_deletions_answer_with_the_object_for_these_kinds() -> None:
    """The kinds whose DELETE returns the object itself include those that tools depend on."""
    assert resources("returns_deleted") >= {
        "namespaces", "serviceaccounts", "resourcequotas", "pods", "podtemplates", "services",
        "persistentvolumes", "persistentvolumeclaims", "storageclasses.storage.k8s.io",
    }  # fmt: skip
    assert not resources("returns_deleted") & {"configmaps", "secrets", "events"}


def test_only_events_leave_their_dependents_alone() -> None:
    """Every other kind marks what it deletes for the garbage collector."""
    collected = resources("collects_dependents")
    assert STORED - collected == {
        "events",
        "events.events.k8s.io",
    }


@pytest.mark.parametrize(
    ("group", "kind", "labels"),
    [
        pytest.param("", "ConfigMap", (), id="none but name and namespace"),
        pytest.param("", "Secret", ("type",), id="secrets"),
        pytest.param("", "Namespace", ("status.phase",), id="namespaces"),
        pytest.param(
            "certificates.k8s.io",
            "CertificateSigningRequest",
            ("spec.signerName",),
            id="signing requests",
        ),
        pytest.param(
            "",
            "Event",
            (
                "involvedObject.kind",
                "involvedObject.namespace",
                "involvedObject.name",
                "involvedObject.uid",
                "involvedObject.apiVersion",
                "involvedObject.resourceVersion",
                "involvedObject.fieldPath",
                "reason",
                "reportingComponent",
                "source",
                "type",
            ),
            id="events",
        ),
    ],
)
def test_fields_to_select_by_are_those_of_upstream(
    group: str, kind: str, labels: tuple[str, ...]
) -> None:
    """Each kind has its own selectable fields."""
    found = KINDS.get(group, "v1", kind)
    assert found is not None
    assert found.rules.field_labels == labels


def example() -> Kind:
    return Kind(
        group="example.com",
        version="v1",
        kind="Thing",
        plural="things",
        singular="thing",
        namespaced=True,
        verbs=frozenset({"get", "create"}),
        type_name="",
    )


def test_kinds_come_and_go_and_every_change_is_counted() -> None:
    """A kind that is added is served at once, and no more when it is removed; the version tells of both."""
    kinds = Kinds([])
    first, second = example(), example()
    before = kinds.version
    kinds.add(first)
    assert kinds.resource("example.com", "v1", "things") is first
    assert kinds.groups_served == {"example.com": ["v1"]}
    assert kinds.version > before
    before = kinds.version
    kinds.add(second)
    assert [*kinds] == [second]
    assert kinds.get("example.com", "v1", "Thing") is second
    assert kinds.groups_served == {"example.com": ["v1"]}
    assert kinds.version > before
    before = kinds.version
    kinds.remove(second)
    assert [*kinds] == []
    assert kinds.get("example.com", "v1", "Thing") is None
    assert kinds.groups_served == {}
    assert kinds.version > before
    assert first != second
