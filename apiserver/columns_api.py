"""How the kinds are printed that configure the API and those who use it: accounts, access, admission, quotas, events.

upstream: pkg/printers/internalversion/printers.go
"""

from collections.abc import Mapping
from typing import Any, Final

from verger.apiserver.columns import (
    AGE,
    NAME,
    NONE,
    UNSET,
    Column,
    Field,
    Printer,
    Reader,
    condition_at,
    derived,
    flag,
    has,
    human_duration,
    map_at,
    members_at,
    moment_at,
    name,
    number,
    number_at,
    printer,
    quantity_at,
    since,
    size,
    size_at,
    text,
    text_at,
    texts_at,
    value_at,
)


def _event(event: Mapping[str, Any], now: float) -> list[Any]:
    """Events of both forms: the older one has two timestamps and a count, the newer one a time and a series."""
    first = moment_at(event, "firstTimestamp")
    if first is None:
        first = moment_at(event, "eventTime")
    last = moment_at(event, "lastTimestamp")
    last = first if last is None else last
    count = number_at(event, "count") or 1
    if has(event, "series"):
        last = moment_at(event, "series", "lastObservedTime")
        count = number_at(event, "series", "count")
    target = [
        text_at(event, "involvedObject", "kind").lower(),
        text_at(event, "involvedObject", "name"),
    ]
    component = text_at(event, "source", "component", missing=text_at(event, "reportingComponent"))
    instance = text_at(event, "source", "host", missing=text_at(event, "reportingInstance"))
    return [
        since(last, now),
        text_at(event, "type"),
        text_at(event, "reason"),
        "/".join(target if target[1] else target[:1]),
        text_at(event, "involvedObject", "fieldPath"),
        f"{component}, {instance}" if instance else component,
        text_at(event, "message").strip(),
        since(first, now),
        count,
        name(event, now),
    ]


_EVENT: Final = Printer(
    columns=(
        Column("Last Seen", description="How long ago it last happened."),
        Column("Type", description="Normal or Warning."),
        Column("Reason", description="What happened, in one word."),
        Column("Object", description="What it happened to."),
        Column("Subobject", description="The part of it.", priority=1),
        Column("Source", description="Who reports it.", priority=1),
        Column("Message", description="What happened, in a sentence."),
        Column("First Seen", description="How long ago it first happened.", priority=1),
        Column("Count", description="How often it happened.", priority=1),
        Column("Name", format="name", description="What the event is called.", priority=1),
    ),
    cells=_event,
)


def _quota(*, limits: bool) -> Reader:
    """Shows what is used of what there is, of the limits or of everything else."""

    def read(quota: Mapping[str, Any]) -> str:
        hard = value_at(quota, "status", "hard")
        resources = sorted(hard) if isinstance(hard, dict) else []
        return ", ".join(
            f"{resource}: {quantity_at(quota, 'status', 'used', resource)}/{quantity_at(hard, resource)}"
            for resource in resources
            if resource.startswith("limits.") == limits
        )

    return derived(read)


def _component_condition(component: Mapping[str, Any]) -> Mapping[str, Any] | None:
    return condition_at(component, "Healthy", "conditions")


def _component_status(component: Mapping[str, Any]) -> str:
    condition = _component_condition(component)
    if condition is None:
        return "Unknown"
    return "Healthy" if text_at(condition, "status") == "True" else "Unhealthy"


def _subjects(title: str, kind: str) -> Field:
    def read(binding: Mapping[str, Any]) -> str:
        return ", ".join(
            f"{text_at(each, 'namespace')}/{text_at(each, 'name')}"
            if kind == "ServiceAccount"
            else text_at(each, "name")
            for each in members_at(binding, "subjects")
            if each.get("kind") == kind
        )

    return Column(title, description="Who is given the role.", priority=1), derived(read)


_BINDING: Final = printer(
    NAME,
    (
        Column("Role", description="The role that is given."),
        derived(lambda obj: f"{text_at(obj, 'roleRef', 'kind')}/{text_at(obj, 'roleRef', 'name')}"),
    ),
    AGE,
    _subjects("Users", "User"),
    _subjects("Groups", "Group"),
    _subjects("ServiceAccounts", "ServiceAccount"),
)


def _csr_duration(csr: Mapping[str, Any]) -> str:
    if not has(csr, "spec", "expirationSeconds"):
        return NONE
    return human_duration(number_at(csr, "spec", "expirationSeconds"))


def _csr_condition(csr: Mapping[str, Any]) -> str:
    kinds = {text_at(each, "type") for each in members_at(csr, "status", "conditions")}
    state = next((kind for kind in ("Denied", "Approved") if kind in kinds), "Pending")
    if "Failed" in kinds:
        state += ",Failed"
    return f"{state},Issued" if text_at(csr, "status", "certificate") else state


def _param_kind(policy: Mapping[str, Any]) -> str:
    found = value_at(policy, "spec", "paramKind")
    return UNSET if found is None else f"{text_at(found, 'apiVersion')}/{text_at(found, 'kind')}"


def _param_ref(binding: Mapping[str, Any]) -> str:
    named = text_at(binding, "spec", "paramRef", "name")
    if named:
        return f"{text_at(binding, 'spec', 'paramRef', 'namespace', missing='*')}/{named}"
    selector = value_at(binding, "spec", "paramRef", "selector")
    return UNSET if selector is None else _go_selector(selector)


def _go_selector(selector: Any) -> str:
    """A label selector as Go's protobuf code writes messages, which is how upstream shows it here."""
    labels = "".join(
        f"{key}: {value}," for key, value in sorted(map_at(selector, "matchLabels").items())
    )
    expressions = "".join(
        f"LabelSelectorRequirement{{Key:{text_at(each, 'key')},Operator:{text_at(each, 'operator')},"
        f"Values:[{' '.join(texts_at(each, 'values'))}],}},"
        for each in members_at(selector, "matchExpressions")
    )
    return (
        f"&LabelSelector{{MatchLabels:map[string]string{{{labels}}},"
        f"MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )


def _counted(title: str, description: str, *path: str) -> Field:
    return Column(title, "integer", description=description), size(*path)


_WEBHOOKS: Final = printer(
    NAME, _counted("Webhooks", "How many webhooks it registers.", "webhooks"), AGE
)
_PARAM_KIND: Final[Field] = (
    Column("ParamKind", description="The kind of its parameters."),
    derived(_param_kind),
)
_POLICY_BINDING: Final = printer(
    NAME,
    (Column("PolicyName", description="The policy that it applies."), text("spec", "policyName")),
    (Column("ParamRef", description="The parameters that it gives."), derived(_param_ref)),
    AGE,
)


def _precedence(flow_schema: Mapping[str, Any]) -> int:
    return number_at(flow_schema, "spec", "matchingPrecedence", missing=1000)


def _flow_order(flow_schema: Mapping[str, Any]) -> tuple[int, str]:
    return _precedence(flow_schema), text_at(flow_schema, "metadata", "name")


def _limited(key: str, default: int) -> Reader:
    """Shows a number of a limited priority level."""
    path = ("spec", "limited")

    def read(level: Mapping[str, Any]) -> str | int:
        return number_at(level, *path, key, missing=default) if has(level, *path) else NONE

    return derived(read)


def _queuing(key: str, default: int) -> Reader:
    """Shows a number of a priority level whose requests wait in queues; 0 stands for the default."""
    path = ("spec", "limited", "limitResponse", "queuing")

    def read(level: Mapping[str, Any]) -> str | int:
        return number_at(level, *path, key) or default if has(level, *path) else NONE

    return derived(read)


def _service(api_service: Mapping[str, Any]) -> str:
    service = value_at(api_service, "spec", "service")
    return (
        "Local"
        if service is None
        else f"{text_at(service, 'namespace')}/{text_at(service, 'name')}"
    )


def _available(api_service: Mapping[str, Any]) -> str:
    condition = condition_at(api_service, "Available", "status", "conditions")
    if condition is None:
        return "Unknown"
    status, reason = text_at(condition, "status"), text_at(condition, "reason")
    return f"{status} ({reason})" if reason and status != "True" else status


PRINTERS: Final[Mapping[tuple[str, str], Printer]] = {
    ("", "ComponentStatus"): printer(
        NAME,
        (Column("Status", description="Whether it is healthy."), derived(_component_status)),
        (
            Column("Message", description="What it says."),
            derived(lambda obj: text_at(_component_condition(obj), "message")),
        ),
        (
            Column("Error", description="What went wrong."),
            derived(lambda obj: text_at(_component_condition(obj), "error")),
        ),
    ),
    ("", "ConfigMap"): printer(
        NAME,
        (
            Column("Data", description="How many keys it has."),
            derived(lambda obj: size_at(obj, "data") + size_at(obj, "binaryData")),
        ),
        AGE,
    ),
    ("", "Event"): _EVENT,
    ("", "Namespace"): printer(
        NAME,
        (
            Column("Status", description="Whether it is active."),
            text("status", "phase", missing="Active"),
        ),
        AGE,
    ),
    ("", "ResourceQuota"): printer(
        NAME,
        (
            Column("Request", description="What is used of each resource, and how much there is."),
            _quota(limits=False),
        ),
        (Column("Limit", description="The same of limits."), _quota(limits=True)),
        AGE,
    ),
    ("", "Secret"): printer(
        NAME,
        (Column("Type", description="What kind of data it holds."), text("type", missing="Opaque")),
        (Column("Data", description="How many keys it has."), size("data")),
        AGE,
    ),
    ("", "ServiceAccount"): printer(NAME, AGE),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy"): printer(
        NAME,
        _counted("Mutations", "How many changes it makes.", "spec", "mutations"),
        _PARAM_KIND,
        AGE,
    ),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"): _POLICY_BINDING,
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): _WEBHOOKS,
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"): printer(
        NAME,
        _counted("Validations", "How many rules it has.", "spec", "validations"),
        _PARAM_KIND,
        AGE,
    ),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"): _POLICY_BINDING,
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): _WEBHOOKS,
    ("apiregistration.k8s.io", "APIService"): printer(
        NAME,
        (Column("Service", description="The service that answers for it."), derived(_service)),
        (Column("Available", description="Whether it can be reached."), derived(_available)),
        AGE,
    ),
    ("certificates.k8s.io", "CertificateSigningRequest"): printer(
        NAME,
        AGE,
        (
            Column("SignerName", description="Who is asked to sign."),
            text("spec", "signerName", missing=NONE),
        ),
        (Column("Requestor", description="Who asks."), text("spec", "username")),
        (
            Column("RequestedDuration", description="How long it should be valid."),
            derived(_csr_duration),
        ),
        (Column("Condition", description="How far it is."), derived(_csr_condition)),
    ),
    ("coordination.k8s.io", "Lease"): printer(
        NAME, (Column("Holder", description="Who holds it."), text("spec", "holderIdentity")), AGE
    ),
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"): printer(
        NAME,
        (
            Column("PriorityLevel", description="The level that its requests get."),
            text("spec", "priorityLevelConfiguration", "name"),
        ),
        (
            Column("MatchingPrecedence", description="The lowest number is asked first."),
            derived(_precedence),
        ),
        (
            Column("DistinguisherMethod", description="What tells its flows apart."),
            derived(
                lambda obj: (
                    text_at(obj, "spec", "distinguisherMethod", "type")
                    if has(obj, "spec", "distinguisherMethod")
                    else NONE
                )
            ),
        ),
        AGE,
        (
            Column("MissingPL", description="Whether the priority level is missing."),
            derived(
                lambda obj: text_at(
                    condition_at(obj, "Dangling", "status", "conditions") or {"status": "?"},
                    "status",
                )
            ),
        ),
        order=_flow_order,
    ),
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"): printer(
        NAME,
        (Column("Type", description="Limited or Exempt."), text("spec", "type")),
        (
            Column("NominalConcurrencyShares", description="Its part of all requests at once."),
            _limited("nominalConcurrencyShares", 30),
        ),
        (Column("Queues", description="How many queues it has."), _queuing("queues", 64)),
        (Column("HandSize", description="How many queues a flow gets."), _queuing("handSize", 8)),
        (
            Column("QueueLengthLimit", description="How many requests wait in a queue."),
            _queuing("queueLengthLimit", 50),
        ),
        AGE,
    ),
    ("node.k8s.io", "RuntimeClass"): printer(
        NAME, (Column("Handler", description="What runs its pods."), text("handler")), AGE
    ),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): _BINDING,
    ("rbac.authorization.k8s.io", "RoleBinding"): _BINDING,
    ("scheduling.k8s.io", "PriorityClass"): printer(
        NAME,
        (Column("Value", "integer", description="The highest goes first."), number("value")),
        (
            Column("Global-Default", "boolean", description="Whether pods get it unasked."),
            flag("globalDefault"),
        ),
        AGE,
        (
            Column("PreemptionPolicy", description="Whether its pods push others out."),
            text("preemptionPolicy", missing="PreemptLowerPriority"),
        ),
    ),
}
"""(group, kind) -> how it is printed."""
