"""What Namespaces, Secrets, ConfigMaps, ServiceAccounts, Leases and Events ask of their objects.

Bodies and answers are those of a recorded kube-apiserver.
"""

from collections.abc import Mapping
from typing import Any

import pytest
from verger.store.reading import match_of
from verger.store.selectors import parse_fields, parse_labels

from tests.store.conftest import Store

MEBIBYTE = 1024 * 1024
FROZEN = "Forbidden: field is immutable when `immutable` is set"
CONFIG_KEY = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or "
    "'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
NAME_PART = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
ACCOUNT = "kubernetes.io/service-account.name"
ENFORCE = "kubernetes.io/enforce-mountable-secrets"

Fields = list[tuple[str, str, str]]
"""Field, reason, and what is wrong with it."""


def named(name: str = "a", **fields: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, **fields}}


def required(field: str, why: str = "") -> tuple[str, str, str]:
    return field, "FieldValueRequired", f"Required value: {why}" if why else "Required value"


def invalid(field: str, value: str, why: str) -> tuple[str, str, str]:
    return field, "FieldValueInvalid", f"Invalid value: {value}: {why}"


def forbidden(field: str, why: str) -> tuple[str, str, str]:
    return field, "FieldValueForbidden", why


def refused(kind: str, name: str, fields: Fields, group: str = "") -> dict[str, Any]:
    """The Status that names the fields."""
    texts = [f"{field}: {text}" for field, _, text in fields]
    text = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    qualified = f"{kind}.{group}" if group else kind
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f'{qualified} "{name}" is invalid: {text}',
        "reason": "Invalid",
        "details": {
            "name": name,
            **({"group": group} if group else {}),
            "kind": kind,
            "causes": [{"reason": r, "message": m, "field": f} for f, r, m in fields],
        },
        "code": 422,
    }


def bad_request(message: str) -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": "BadRequest",
        "code": 400,
    }


def content(obj: Mapping[str, Any]) -> dict[str, Any]:
    return {key: obj[key] for key in obj if key not in ("kind", "apiVersion", "metadata")}


# Secrets and ConfigMaps


@pytest.mark.parametrize(
    ("kind", "sent", "stored"),
    [
        pytest.param("ConfigMap", {}, {}, id="a ConfigMap without data"),
        pytest.param(
            "ConfigMap",
            {"data": {"k": "v", "empty": ""}, "binaryData": {"bin": "AAEC"}},
            {"data": {"k": "v", "empty": ""}, "binaryData": {"bin": "AAEC"}},
            id="a ConfigMap with text and bytes",
        ),
        pytest.param("Secret", {}, {"type": "Opaque"}, id="the default type of a Secret"),
        pytest.param(
            "Secret",
            {"data": {"k": "djE=", "keep": "eA=="}, "stringData": {"k": "v2", "new": "é"}},
            {"data": {"k": "djI=", "keep": "eA==", "new": "w6k="}, "type": "Opaque"},
            id="stringData wins over data and is not kept",
        ),
        pytest.param(
            "Secret", {"type": "example.com/own"}, {"type": "example.com/own"}, id="any type"
        ),
        pytest.param(
            "Secret",
            {"type": "kubernetes.io/basic-auth", "data": {"username": ""}},
            {"data": {"username": ""}, "type": "kubernetes.io/basic-auth"},
            id="one half of basic-auth is enough",
        ),
        pytest.param(
            "Secret",
            {"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "e30="}},
            {"data": {".dockerconfigjson": "e30="}, "type": "kubernetes.io/dockerconfigjson"},
            id="a docker configuration in JSON",
        ),
    ],
)
async def test_data_is_kept_as_upstream_keeps_it(
    store: Store, kind: str, sent: dict[str, Any], stored: dict[str, Any]
) -> None:
    """What was sent is what is read, but for what is filled in and what is written elsewhere."""
    assert content(await store.create(kind, {**named(), **sent})) == stored
    assert content(store.get(kind, "a")) == stored
    assert store.warnings == []


@pytest.mark.parametrize(
    ("kind", "body", "fields"),
    [
        pytest.param(
            "ConfigMap",
            {"data": {"k": "v"}, "binaryData": {"k": "AAEC"}},
            [invalid("data[k]", '"k"', "duplicate of key present in binaryData")],
            id="ConfigMap: a key in both",
        ),
        pytest.param(
            "ConfigMap",
            {"data": {"a/b": "v"}},
            [invalid("data[a/b]", '"a/b"', CONFIG_KEY)],
            id="ConfigMap: a slash in a key",
        ),
        pytest.param(
            "ConfigMap",
            {"binaryData": {"": "AA=="}},
            [invalid("binaryData[]", '""', CONFIG_KEY)],
            id="ConfigMap: an empty key of bytes",
        ),
        pytest.param(
            "ConfigMap",
            {"data": {"k" * 254: "v"}},
            [
                invalid(
                    f"data[{'k' * 254}]", f'"{"k" * 254}"', "must be no more than 253 characters"
                )
            ],
            id="ConfigMap: a long key",
        ),
        pytest.param(
            "ConfigMap",
            {"data": {"k": "é" * (MEBIBYTE // 2)}, "binaryData": {"b": "AA=="}},
            [("", "FieldValueTooLong", f"Too long: may not be more than {MEBIBYTE} bytes")],
            id="ConfigMap: a byte too many",
        ),
        pytest.param(
            "Secret",
            {"data": {"bad key": "eA=="}},
            [invalid("data[bad key]", '"bad key"', CONFIG_KEY)],
            id="Secret: a space in a key",
        ),
        pytest.param(
            "Secret",
            {"data": {".": "eA=="}},
            [invalid("data[.]", '"."', "must not be '.'")],
            id="Secret: a key that is a path",
        ),
        pytest.param(
            "Secret",
            {"stringData": {"..x": "eA=="}},
            [invalid("data[..x]", '"..x"', "must not start with '..'")],
            id="Secret: a key that looks like one, sent as text",
        ),
        pytest.param(
            "Secret",
            {"stringData": {"a": "v" * MEBIBYTE, "b": "v"}},
            [("data", "FieldValueTooLong", f"Too long: may not be more than {MEBIBYTE} bytes")],
            id="Secret: a byte too many",
        ),
        pytest.param(
            "Secret",
            {"type": "kubernetes.io/service-account-token"},
            [required(f"metadata.annotations[{ACCOUNT}]")],
            id="Secret: a token of nobody",
        ),
        pytest.param(
            "Secret",
            {**named(annotations={ACCOUNT: ""}), "type": "kubernetes.io/service-account-token"},
            [required(f"metadata.annotations[{ACCOUNT}]")],
            id="Secret: a token of an empty name",
        ),
        pytest.param(
            "Secret",
            {"type": "kubernetes.io/tls", "data": {"tls.crt": ""}},
            [required("data[tls.key]")],
            id="Secret: TLS without a key",
        ),
        pytest.param(
            "Secret",
            {"type": "kubernetes.io/tls"},
            [required("data[tls.crt]"), required("data[tls.key]")],
            id="Secret: TLS without both",
        ),
        pytest.param(
            "Secret",
            {"type": "kubernetes.io/dockercfg"},
            [required("data[.dockercfg]")],
            id="Secret: no docker configuration",
        ),
        pytest.param(
            "Secret",
            {"type": "kubernetes.io/basic-auth"},
            [required("data[username]"), required("data[password]")],
            id="Secret: basic-auth without both",
        ),
        pytest.param(
            "Secret",
            {"type": "kubernetes.io/ssh-auth", "data": {"ssh-privatekey": ""}},
            [required("data[ssh-privatekey]")],
            id="Secret: SSH with an empty key",
        ),
    ],
)
async def test_bad_data_is_refused_in_the_words_of_upstream(
    store: Store, kind: str, body: dict[str, Any], fields: Fields
) -> None:
    """Keys, sizes and types are judged, and the Status names each field."""
    assert await store.status(store.create(kind, {**named(), **body})) == refused(kind, "a", fields)


async def test_broken_docker_configuration_is_not_repeated_in_the_message(store: Store) -> None:
    """What is in a Secret is not shown, not even when it is wrong."""
    body = {
        **named(),
        "type": "kubernetes.io/dockercfg",
        "stringData": {".dockercfg": "hush{"},
    }
    found = await store.status(store.create("Secret", body))
    assert found["message"].startswith(
        'Secret "a" is invalid: data[.dockercfg]: Invalid value: "<secret contents redacted>": '
    )
    assert "hush" not in str(found)


@pytest.mark.parametrize(
    ("kind", "body", "message"),
    [
        pytest.param(
            "Secret",
            {"data": {"k": "not base64!"}},
            'Secret in version "v1" cannot be handled as a Secret: illegal base64 data at input byte 3',
            id="not base64",
        ),
        pytest.param(
            "ConfigMap",
            {"data": {"k": True}},
            'ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal bool into Go '
            "struct field ConfigMap.data of type string",
            id="a boolean",
        ),
        pytest.param(
            "ServiceAccount",
            {"kind": "Secret", "apiVersion": "v1"},
            'Secret in version "v1" cannot be handled as a ServiceAccount: converting (v1.Secret) to '
            "(core.ServiceAccount): unknown conversion",
            id="another kind",
        ),
        pytest.param(
            "ConfigMap",
            {"metadata": {"name": 5}},
            'ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go '
            "struct field ObjectMeta.metadata.name of type string",
            id="a number for a name",
        ),
    ],
)
async def test_body_that_does_not_fit_is_refused_in_the_words_of_upstream(
    store: Store, kind: str, body: dict[str, Any], message: str
) -> None:
    """A body of another shape never comes to the rules."""

    async def create() -> None:
        await store.create(kind, {**named(), **body})

    assert await store.status(create()) == bad_request(message)


@pytest.mark.parametrize("kind", ["Secret", "ConfigMap"])
async def test_immutable_data_stays(store: Store, kind: str) -> None:
    """Once set, `immutable` freezes the data and itself; metadata may change, and the object may go."""
    await store.create(kind, {**named(), "data": {"k": "eA=="}})
    await store.patch(kind, "a", {"data": {"k": "eQ=="}})
    await store.patch(kind, "a", {"immutable": True})

    async def patched(patch: dict[str, Any]) -> dict[str, Any]:
        return await store.status(store.patch(kind, "a", patch))

    for change in ({"data": {"k": "eA=="}}, {"data": None}, {"data": {"l": "eQ=="}}):
        assert await patched(change) == refused(kind, "a", [forbidden("data", FROZEN)])
    for unset in ({"immutable": False}, {"immutable": None}):
        assert await patched(unset) == refused(kind, "a", [forbidden("immutable", FROZEN)])
    both = [forbidden("immutable", FROZEN), forbidden("data", FROZEN)]
    assert await patched({"immutable": False, "data": {"x": "eQ=="}}) == refused(kind, "a", both)
    if kind == "ConfigMap":
        binary = [forbidden("binaryData", FROZEN)]
        assert await patched({"binaryData": {"b": "AA=="}}) == refused(kind, "a", binary)
    else:
        revision = store.backend.revision
        await store.patch(kind, "a", {"stringData": {"k": "y"}})
        assert store.backend.revision == revision, "the same value is no change"
    found = await store.patch(kind, "a", {"metadata": {"labels": {"x": "y"}}})
    assert found["data"] == {"k": "eQ=="}
    assert (await store.delete(kind, "a"))[1]


async def test_type_of_a_secret_stays(store: Store) -> None:
    """The type is part of what a Secret is; to leave it out means Opaque."""
    await store.create("Secret", {**named(), "type": "example.com/own"})
    fixed = refused("Secret", "a", [invalid("type", '"Opaque"', "field is immutable")])
    assert await store.status(store.patch("Secret", "a", {"type": "Opaque"})) == fixed
    assert await store.status(store.update("Secret", "a", named())) == fixed
    token = {
        "type": "kubernetes.io/service-account-token",
        **named("t", annotations={ACCOUNT: "x"}),
    }
    await store.create("Secret", token)
    unnamed = {"metadata": {"annotations": {ACCOUNT: None}}}
    assert await store.status(store.patch("Secret", "t", unnamed)) == refused(
        "Secret", "t", [required(f"metadata.annotations[{ACCOUNT}]")]
    )


async def test_update_with_text_replaces_the_data(store: Store) -> None:
    """stringData is a way to write data, in updates and patches too."""
    await store.create("Secret", {**named(), "data": {"k": "djE="}})
    found = await store.update("Secret", "a", {**named(), "stringData": {"only": "x"}})
    assert found["data"] == {"only": "eA=="}
    found = await store.patch("Secret", "a", {"stringData": {"more": "y"}})
    assert found["data"] == {"more": "eQ==", "only": "eA=="}


CERTIFICATE = "-----BEGIN CERTIFICATE-----"


@pytest.mark.parametrize(
    ("crt", "key", "warnings"),
    [
        pytest.param(
            "", "", ["tls: failed to find any PEM data in certificate input"], id="nothing"
        ),
        pytest.param(
            CERTIFICATE, "", ["tls: failed to find any PEM data in key input"], id="no key"
        ),
        pytest.param(CERTIFICATE, "-----BEGIN KEY-----", [], id="something that looks right"),
    ],
)
async def test_tls_that_cannot_work_is_warned_about(
    store: Store, crt: str, key: str, warnings: list[str]
) -> None:
    """The keys must be there; what is in them is the client's affair."""
    text = {"tls.crt": crt, "tls.key": key}
    await store.create("Secret", {**named(), "type": "kubernetes.io/tls", "stringData": text})
    assert store.warnings == warnings


# ServiceAccounts


async def test_references_of_an_account_keep_nothing_but_the_name(store: Store) -> None:
    """Whatever else a reference to a Secret says is dropped, on every write."""
    sent = {
        "automountServiceAccountToken": False,
        "secrets": [{"name": "s1", "kind": "Secret", "namespace": "x", "uid": "y"}, {"name": "s2"}],
        "imagePullSecrets": [{"name": "p1"}],
    }
    found = content(await store.create("ServiceAccount", {**named(), **sent}))
    assert found == {**sent, "secrets": [{"name": "s1"}, {"name": "s2"}]}
    body = {**named(), "secrets": [{"name": "s3", "fieldPath": "x"}, {"namespace": "x"}]}
    found = content(await store.update("ServiceAccount", "a", body))
    assert found == {"secrets": [{"name": "s3"}, {}]}


async def test_deprecated_annotation_is_warned_about_when_it_appears(store: Store) -> None:
    """A warning comes with the annotation, and not again while it stays."""
    warning = (
        f"metadata.annotations[{ENFORCE}]: deprecated in v1.32+; prefer separate namespaces to isolate access to "
        "mounted secrets"
    )
    await store.create("ServiceAccount", named(annotations={ENFORCE: "true"}))
    assert store.warnings == [warning]
    await store.create("ServiceAccount", named("b"))
    assert store.warnings == []
    await store.patch("ServiceAccount", "b", {"metadata": {"annotations": {ENFORCE: "false"}}})
    assert store.warnings == [warning]
    await store.patch("ServiceAccount", "b", {"metadata": {"annotations": {ENFORCE: "true"}}})
    assert store.warnings == []


# Namespaces


async def test_new_namespace_is_active_and_held_and_labelled(store: Store) -> None:
    """Whatever the body says of status, it begins so."""
    body = {**named(labels={"a": "1"}), "status": {"phase": "Terminating"}}
    found = await store.create("Namespace", body)
    assert content(found) == {"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}
    assert found["metadata"]["labels"] == {"a": "1", "kubernetes.io/metadata.name": "a"}
    body = {**named("b"), "spec": {"finalizers": ["e.com/x"]}}
    found = await store.create("Namespace", body)
    assert found["spec"] == {"finalizers": ["e.com/x", "kubernetes"]}


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        pytest.param(
            "under_score", [invalid("metadata.name", '"under_score"', LABEL)], id="an underscore"
        ),
        pytest.param(
            "a.b", [invalid("metadata.name", '"a.b"', "must not contain dots")], id="a dot"
        ),
        pytest.param(
            "n" * 64,
            [
                invalid("metadata.name", f'"{"n" * 64}"', "must be no more than 63 characters"),
                invalid("metadata.labels", f'"{"n" * 64}"', "must be no more than 63 bytes"),
            ],
            id="64 characters: the label with its name is too long as well",
        ),
    ],
)
async def test_name_of_a_namespace_is_a_label(store: Store, name: str, fields: Fields) -> None:
    """Names that are fine elsewhere are refused here."""
    found = await store.status(store.create("Namespace", named(name)))
    assert found == refused("Namespace", name, fields)


@pytest.mark.parametrize(
    "patch",
    [
        pytest.param({"spec": {"finalizers": []}}, id="finalizers"),
        pytest.param(
            {"metadata": {"labels": {"kubernetes.io/metadata.name": "other"}}}, id="its own label"
        ),
        pytest.param(
            {"metadata": {"labels": {"kubernetes.io/metadata.name": None}}}, id="its own label gone"
        ),
        pytest.param({"status": {"phase": "Terminating"}}, id="status"),
    ],
)
async def test_main_resource_of_a_namespace_leaves_these_alone(
    store: Store, patch: dict[str, Any]
) -> None:
    """Such a change is no change at all: the revision stays."""
    before = store.get("Namespace", "ns")
    assert await store.patch("Namespace", "ns", patch) is before


async def test_status_of_a_namespace_follows_its_deletion(store: Store) -> None:
    """The phase is Active until the deletion and Terminating from then on; conditions are free."""
    wrong = {**named("ns"), "status": {"phase": "Terminating"}}
    text = "may only be 'Active' if `deletionTimestamp` is empty"
    assert await store.status(
        store.update("Namespace", "ns", wrong, subresource="status")
    ) == refused("Namespace", "ns", [invalid("status.Phase", '"Terminating"', text)])
    condition = {"type": "e.com/Ready", "status": "True", "reason": "Because", "message": "m"}
    patch = {
        "metadata": {"labels": {"a": "b"}},
        "spec": {"finalizers": ["e.com/x"]},
        "status": {"phase": None, "conditions": [condition]},
    }
    found = await store.patch("Namespace", "ns", patch, subresource="status")
    assert found["status"] == {
        "phase": "Active",
        "conditions": [{**condition, "lastTransitionTime": None}],
    }
    assert found["spec"] == {"finalizers": ["kubernetes"]}
    assert found["metadata"]["labels"]["a"] == "b"
    await store.delete("Namespace", "ns")
    text = "may only be 'Terminating' if `deletionTimestamp` is not empty"
    patch = {"status": {"phase": "Active"}}
    assert await store.status(
        store.patch("Namespace", "ns", patch, subresource="status")
    ) == refused("Namespace", "ns", [invalid("status.Phase", '"Active"', text)])


async def test_finalizers_of_a_namespace_are_well_named(store: Store) -> None:
    """A bare name is only for the finalizers that everybody knows."""
    body = {**named("ns"), "spec": {"finalizers": ["hold"]}}
    text = "name is neither a standard finalizer name nor is it fully qualified"
    assert await store.status(
        store.update("Namespace", "ns", body, subresource="finalize")
    ) == refused("Namespace", "ns", [invalid("spec.finalizers[0]", '"hold"', text)])


# Leases


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        pytest.param(None, [], id="no spec at all"),
        pytest.param(
            {
                "holderIdentity": "me",
                "leaseDurationSeconds": 15,
                "acquireTime": "2020-01-01T00:00:00.000000Z",
                "renewTime": "2020-01-01T00:00:01.500000Z",
                "leaseTransitions": 0,
            },
            [],
            id="the usual",
        ),
        pytest.param(
            {"leaseDurationSeconds": 0},
            [invalid("spec.leaseDurationSeconds", "0", "must be greater than 0")],
            id="a duration of zero",
        ),
        pytest.param(
            {"leaseTransitions": -1},
            [invalid("spec.leaseTransitions", "-1", "must be greater than or equal to 0")],
            id="negative transitions",
        ),
        pytest.param(
            {"holderIdentity": ""},
            [invalid("spec.holderIdentity", '""', "must not be empty")],
            id="an empty holder",
        ),
        pytest.param(
            {"preferredHolder": "you"},
            [required("spec.strategy", "must be specified when `preferredHolder` is specified")],
            id="a wish without a strategy",
        ),
    ],
)
async def test_lease_is_judged_in_the_words_of_upstream(
    store: Store, spec: dict[str, Any] | None, fields: Fields
) -> None:
    """What leader election depends on is checked, and the spec is always there."""
    kind = store.kind("Lease", "coordination.k8s.io")
    body = {**named(), **({} if spec is None else {"spec": spec})}
    if fields:
        found = await store.status(store.create(kind, body))
        assert found == refused("Lease", "a", fields, "coordination.k8s.io")
        return
    assert content(await store.create(kind, body)) == {"spec": spec or {}}


# Events

ABOUT = {"kind": "ConfigMap", "name": "x", "namespace": "ns"}
STRICT = {
    "eventTime": "2020-01-01T00:00:00.000001Z",
    "reportingController": "example.com/c",
    "reportingInstance": "i",
    "action": "Act",
    "reason": "Because",
    "type": "Normal",
    "regarding": ABOUT,
}


def strict(**changes: Any) -> dict[str, Any]:
    return {key: value for key, value in {**STRICT, **changes}.items() if value is not None}


async def test_old_event_writes_out_what_is_empty(store: Store) -> None:
    """The least there can be is lenient, and shows the fields that old clients expect."""
    found = await store.create("Event", {**named(), "involvedObject": ABOUT})
    assert content(found) == {
        "involvedObject": ABOUT,
        "source": {},
        "firstTimestamp": None,
        "lastTimestamp": None,
        "eventTime": None,
        "reportingComponent": "",
        "reportingInstance": "",
    }


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        pytest.param(
            {"involvedObject": ABOUT, "type": "Odd", "reason": ""}, [], id="any type will do"
        ),
        pytest.param(
            {"involvedObject": {**ABOUT, "namespace": "other"}},
            [invalid("involvedObject.namespace", '"other"', "does not match event.namespace")],
            id="an object of another namespace",
        ),
        pytest.param(
            {},
            [invalid("involvedObject.namespace", '""', "does not match event.namespace")],
            id="no object",
        ),
        pytest.param(
            {"involvedObject": ABOUT, "eventTime": "2020-01-01T00:00:00.000001Z"},
            [
                required("reportingComponent"),
                invalid("reportingComponent", '""', "name part must be non-empty"),
                invalid("reportingComponent", '""', NAME_PART),
                required("reportingInstance"),
                required("action"),
                required("reason"),
            ],
            id="an eventTime makes it strict",
        ),
    ],
)
async def test_old_event_is_judged_leniently(
    store: Store, body: dict[str, Any], fields: Fields
) -> None:
    """Only the namespaces must agree, unless the event has an eventTime."""
    if fields:
        found = await store.status(store.create("Event", {**named(), **body}))
        assert found == refused("Event", "a", fields)
        return
    await store.create("Event", {**named(), **body})


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        pytest.param(strict(eventTime=None), [required("eventTime")], id="no eventTime"),
        pytest.param(
            strict(reportingController=None),
            [
                required("reportingController"),
                invalid("reportingController", '""', "name part must be non-empty"),
                invalid("reportingController", '""', NAME_PART),
            ],
            id="no controller",
        ),
        pytest.param(
            strict(reportingController="not qualified?"),
            [invalid("reportingController", '"not qualified?"', NAME_PART)],
            id="a controller whose name is not qualified",
        ),
        pytest.param(
            strict(reportingInstance=None, action=None, reason=None, type=None),
            [
                required("reportingInstance"),
                required("action"),
                required("reason"),
                invalid("type", '""', "has invalid value: "),
            ],
            id="several missing",
        ),
        pytest.param(
            strict(type="Odd"),
            [invalid("type", '""', "has invalid value: Odd")],
            id="a type that does not exist",
        ),
        pytest.param(
            strict(note="n" * 1025),
            [invalid("message", '""', "can have at most 1024 characters")],
            id="a long note",
        ),
        pytest.param(
            strict(action="n" * 129, reason="r" * 129),
            [
                invalid("action", '""', "can have at most 128 characters"),
                invalid("reason", '""', "can have at most 128 characters"),
            ],
            id="a long action and a long reason",
        ),
        pytest.param(
            strict(series={"count": 1, "lastObservedTime": "2020-01-01T00:00:00.000001Z"}),
            [invalid("series.count", '""', "should be at least 2")],
            id="a series of one",
        ),
        pytest.param(
            strict(series={"count": 2}),
            [required("series.lastObservedTime")],
            id="a series without time",
        ),
        pytest.param(
            strict(deprecatedCount=1, deprecatedFirstTimestamp="2020-01-01T00:00:00Z"),
            [
                invalid("firstTimestamp", '""', "needs to be unset"),
                invalid("count", '""', "needs to be unset"),
            ],
            id="what belongs to the old form",
        ),
    ],
)
async def test_new_event_is_judged_strictly(
    store: Store, body: dict[str, Any], fields: Fields
) -> None:
    """Through the new API an event is complete, under the new names or the old, as upstream has it."""
    kind = store.kind("Event", "events.k8s.io")
    found = await store.status(store.create(kind, {**named(), **body}))
    assert found == refused("Event", "a", fields)


async def test_event_is_one_object_under_two_sets_of_names(store: Store) -> None:
    """Written through one API it is read through the other, with all that was said."""
    new = store.kind("Event", "events.k8s.io")
    found = await store.create(new, {**named(), **strict(note="n")})
    shown = content(found)
    assert shown == {
        **STRICT,
        "note": "n",
        "deprecatedSource": {},
        "deprecatedFirstTimestamp": None,
        "deprecatedLastTimestamp": None,
    }
    assert content(store.get("Event", "a")) == {
        "involvedObject": ABOUT,
        "reason": "Because",
        "message": "n",
        "source": {},
        "firstTimestamp": None,
        "lastTimestamp": None,
        "type": "Normal",
        "eventTime": "2020-01-01T00:00:00.000001Z",
        "action": "Act",
        "reportingComponent": "example.com/c",
        "reportingInstance": "i",
    }
    old = {
        **named("b"),
        "involvedObject": ABOUT,
        "message": "m",
        "count": 3,
        "source": {"host": "h"},
    }
    await store.create("Event", old)
    row = store.registry.get(new, "ns", "b")
    shown = content(store.shown(new, row))
    assert shown["note"] == "m"
    assert shown["deprecatedCount"] == 3
    assert shown["deprecatedSource"] == {"host": "h"}
    assert "reportingController" not in shown


async def test_old_event_counts_and_a_new_one_is_frozen_but_for_its_series(store: Store) -> None:
    """The old recorder counts by patches; through the new API only the series goes on."""
    await store.create("Event", {**named(), "involvedObject": ABOUT, "count": 3, "message": "m"})
    found = await store.patch("Event", "a", {"count": 4, "message": "again"})
    assert (found["count"], found["message"]) == (4, "again")
    new = store.kind("Event", "events.k8s.io")
    await store.create(new, {**named("b"), **STRICT})
    series = {"count": 2, "lastObservedTime": "2020-01-01T00:00:01.000000Z"}
    found = await store.patch(new, "b", {"series": series})
    assert found["series"] == series
    assert await store.status(store.patch(new, "b", {"series": {"count": 1}})) == refused(
        "Event", "b", [invalid("series.count", '""', "should be at least 2")]
    )
    frozen = await store.status(
        store.patch(new, "b", {"note": "other", "type": "Warning", "regarding": {"name": "y"}})
    )
    assert {cause["field"] for cause in frozen["details"]["causes"]} == {
        "regarding",
        "note",
        "type",
    }


# Fields to select by


@pytest.mark.parametrize(
    ("kind", "group", "selector", "message"),
    [
        pytest.param(
            "Secret", "", "data=x", "field label not supported: data", id="a field of an older kind"
        ),
        pytest.param(
            "Namespace", "", "name=x", "field label not supported: name", id="a bare name"
        ),
        pytest.param(
            "ConfigMap",
            "",
            "data=x",
            '"data" is not a known field selector: only "metadata.name", "metadata.namespace"',
            id="a field of a kind without fields",
        ),
        pytest.param(
            "Lease",
            "coordination.k8s.io",
            "metadata.name=a,spec.holderIdentity=two",
            '"spec.holderIdentity" is not a known field selector: only "metadata.name", "metadata.namespace"',
            id="a field of a newer kind",
        ),
    ],
)
async def test_field_that_cannot_be_selected_is_named(
    store: Store, kind: str, group: str, selector: str, message: str
) -> None:
    """Each kind can be selected by few fields, and older kinds say so in other words."""

    async def select() -> None:
        match_of(store.kind(kind, group), parse_labels(""), parse_fields(selector))

    assert await store.status(select()) == bad_request(message)


@pytest.mark.parametrize(
    ("kind", "group", "selector", "found"),
    [
        pytest.param("Secret", "", "type=Opaque", True, id="the type of a Secret"),
        pytest.param("Secret", "", "type!=Opaque", False, id="any other type"),
        pytest.param("Secret", "", "metadata.name=a,type=Opaque", True, id="a name and a type"),
        pytest.param("Secret", "", "metadata.namespace=other", False, id="another namespace"),
        pytest.param("Event", "", "involvedObject.name=x", True, id="what an event is about"),
        pytest.param("Event", "", "source=c", True, id="who reported an event"),
        pytest.param("Event", "", "involvedObject.uid=", True, id="a field that is empty"),
        pytest.param("Event", "events.k8s.io", "regarding.name=x", True, id="by its new name"),
        pytest.param("Event", "events.k8s.io", "regarding.name!=x", False, id="and not otherwise"),
        pytest.param("Event", "events.k8s.io", "reportingController=c", True, id="the controller"),
    ],
)
async def test_object_is_selected_by_its_fields(
    store: Store, kind: str, group: str, selector: str, found: bool
) -> None:
    """The fields of a kind are read from its objects, whichever API asks."""
    await store.create("Secret", named())
    event = {**named(), "involvedObject": ABOUT, "reportingComponent": "c", "reason": "R"}
    await store.create("Event", event)
    which = store.kind(kind, group)
    match = match_of(which, parse_labels(""), parse_fields(selector))
    assert match is not None
    assert match(store.registry.get(which, "ns", "a")) is found
