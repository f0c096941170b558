"""The specs of pods, and the templates that workloads make pods from: defaults and validation.

A template's spec is defaulted as a pod's, less what a pod gets of its own (`default_pod`), so that defaults which come
with a later version do not change every workload.

upstream: pkg/apis/core/v1/defaults.go, pkg/apis/core/validation (ValidatePodSpec, ValidatePodTemplateSpec)
"""

from collections.abc import Mapping
from typing import Any, Final

from verger.store import names
from verger.store.invalid import FieldError, duplicate, forbidden, invalid, not_supported, required
from verger.store.metadata import validate_labels
from verger.store.objects import Object
from verger.store.rules import containers, scheduling, values
from verger.store.rules.containers import Surroundings
from verger.store.rules.values import EMPTY, INT32_MAX, Json, named, one_of
from verger.store.rules.volumes import default_volume, validate_volumes

GRACE: Final = 30
"""Seconds between a pod's deletion and its end, if it does not say otherwise."""
MIRROR: Final = "kubernetes.io/config.mirror"
"""The annotation of a pod that a kubelet runs on its own and shows to the API."""

_DNS_POLICIES: Final = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_CONTAINERS: Final = ("containers", "initContainers", "ephemeralContainers")
_NAMES: Final = (
    ("serviceAccountName", names.subdomain),
    ("nodeName", names.subdomain),
    ("hostname", names.label),
    ("subdomain", names.label),
    ("priorityClassName", names.subdomain),
    ("runtimeClassName", names.subdomain),
)
_DEADLINE: Final = f"must be between 1 and {INT32_MAX}, inclusive"


def default_spec(spec: Object) -> None:
    """Fills in what pods and templates share."""
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", GRACE)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    sync_account(spec)
    spec.setdefault("securityContext", {})
    spec.setdefault("schedulerName", "default-scheduler")
    for key in _CONTAINERS:
        for container in spec.get(key) or ():
            containers.default_container(container)
    for volume in spec.get("volumes") or ():
        default_volume(volume)


def sync_account(spec: Object) -> None:
    """The account stands in two fields, of which the newer one decides."""
    if account := spec.get("serviceAccountName") or spec.get("serviceAccount"):
        spec["serviceAccountName"] = spec["serviceAccount"] = account


def default_pod(spec: Object) -> None:
    """Fills in what a pod has and a template has not."""
    default_spec(spec)
    spec.setdefault("enableServiceLinks", True)
    for key in ("containers", "initContainers"):
        held = spec.get(key) or ()
        containers.requests_from_limits(held)
        if spec.get("hostNetwork"):
            containers.ports_on_host(held)


def default_template(holder: Object, key: str = "template") -> None:
    """Fills in the template under a key; there always is one."""
    template = values.part(holder, key)
    values.part(template, "metadata")
    default_spec(values.part(template, "spec"))


def template_labels(template: Json) -> Mapping[str, str]:
    """The labels of the pods to come."""
    return (template.get("metadata") or EMPTY).get("labels") or EMPTY


def validate_template(
    field: str, template: Json, *, claims: Mapping[str, Json] = EMPTY
) -> list[FieldError]:
    """What is wrong with a template. `claims` are volumes that the workload adds to each pod."""
    meta, spec = template.get("metadata") or EMPTY, template.get("spec") or EMPTY
    errors: list[FieldError] = []
    if labels := meta.get("labels"):
        errors += validate_labels(f"{field}.labels", labels)
    for key in meta.get("annotations") or ():
        errors += named(f"{field}.annotations", key, lambda key: names.qualified(key.lower()))
    errors += mirror_annotation(f"{field}.annotations", meta.get("annotations") or EMPTY, spec)
    errors += validate_spec(f"{field}.spec", spec, claims=claims)
    if spec.get("ephemeralContainers"):
        text = "ephemeral containers not allowed in pod template"
        errors.append(forbidden(f"{field}.spec.ephemeralContainers", text))
    return errors


def mirror_annotation(field: str, annotations: Mapping[str, str], spec: Json) -> list[FieldError]:
    """A mirror pod is on a node."""
    if MIRROR not in annotations or spec.get("nodeName"):
        return []
    text = "must set spec.nodeName if mirror pod annotation is set"
    return [invalid(f"{field}[{MIRROR}]", annotations[MIRROR], text)]


def always_restarts(field: str, template: Json, owner: str) -> list[FieldError]:
    """Pods of a workload that replaces them run for ever."""
    spec = template.get("spec") or EMPTY
    errors: list[FieldError] = []
    if (policy := spec.get("restartPolicy") or "") != "Always":
        errors.append(not_supported(f"{field}.spec.restartPolicy", policy, ("Always",)))
    if spec.get("activeDeadlineSeconds") is not None:
        text = f"activeDeadlineSeconds in {owner} is not Supported"
        errors.append(forbidden(f"{field}.spec.activeDeadlineSeconds", text))
    return errors


def validate_spec(
    field: str,
    spec: Json,
    *,
    pod_name: str = "",
    is_pod: bool = False,
    claims: Mapping[str, Json] = EMPTY,
) -> list[FieldError]:
    """What is wrong with a spec. `pod_name` is that of the pod it belongs to, if it is one's."""
    grace = spec.get("terminationGracePeriodSeconds")
    volumes, errors = validate_volumes(
        f"{field}.volumes",
        [item for item in spec.get("volumes") or () if item.get("name") not in claims],
        pod_name,
    )
    resource_claims = spec.get("resourceClaims") or ()
    if resource_claims:
        errors += _resource_claims(f"{field}.resourceClaims", resource_claims)
    around = Surroundings(
        {**volumes, **claims},
        frozenset(filter(None, (item.get("name") for item in resource_claims))),
        spec.get("restartPolicy") or "",
        grace,
    )
    regular, first = spec.get("containers") or [], spec.get("initContainers") or []
    errors += containers.validate_containers(f"{field}.containers", regular, around)
    if first:
        errors += containers.validate_init_containers(
            f"{field}.initContainers", first, regular, around
        )
    if added := spec.get("ephemeralContainers"):
        errors += containers.validate_ephemeral_containers(
            f"{field}.ephemeralContainers", added, [*regular, *first], around
        )
    if spec.get("hostNetwork"):
        errors += _host_ports(f"{field}.containers", regular, is_pod=is_pod)
    policies = ("Always", "OnFailure", "Never")
    errors += one_of(f"{field}.restartPolicy", spec.get("restartPolicy"), policies)
    errors += one_of(f"{field}.dnsPolicy", spec.get("dnsPolicy"), _DNS_POLICIES)
    if labels := spec.get("nodeSelector"):
        errors += validate_labels(f"{field}.nodeSelector", labels)
    if context := spec.get("securityContext"):
        errors += _security_context(f"{field}.securityContext", context, spec)
    return errors + _placement(field, spec) + _identity(field, spec)


def _placement(field: str, spec: Json) -> list[FieldError]:
    errors: list[FieldError] = []
    if affinity := spec.get("affinity"):
        errors += scheduling.affinity(f"{field}.affinity", affinity)
    if spec.get("dnsPolicy") == "None" or "dnsConfig" in spec:
        errors += _dns_config(f"{field}.dnsConfig", spec)
    for index, gate in enumerate(spec.get("readinessGates") or ()):
        at = f"{field}.readinessGates[{index}].conditionType"
        errors += named(at, gate.get("conditionType") or "", names.qualified)
    if gates := spec.get("schedulingGates"):
        errors += scheduling.scheduling_gates(f"{field}.schedulingGates", gates)
    if constraints := spec.get("topologySpreadConstraints"):
        errors += scheduling.topology(f"{field}.topologySpreadConstraints", constraints)
    return errors


def _identity(field: str, spec: Json) -> list[FieldError]:
    errors: list[FieldError] = []
    for key, rule in _NAMES:
        if value := spec.get(key):
            errors += named(f"{field}.{key}", value, rule)
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= INT32_MAX:
        errors.append(invalid(f"{field}.activeDeadlineSeconds", deadline, _DEADLINE))
    if tolerations := spec.get("tolerations"):
        errors += scheduling.tolerations(f"{field}.tolerations", tolerations)
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        at = f"{field}.hostAliases[{index}]"
        errors += values.address(f"{at}.ip", alias.get("ip") or "")
        for place, name in enumerate(alias.get("hostnames") or ()):
            errors += named(f"{at}.hostnames[{place}]", name, names.subdomain)
    if (policy := spec.get("preemptionPolicy")) is not None:
        errors += preemption_policy(f"{field}.preemptionPolicy", policy)
    if (system := spec.get("os")) is not None:
        if name := system.get("name"):
            if name not in ("linux", "windows"):
                errors.append(not_supported(f"{field}.os", name, ("linux", "windows")))
        else:
            errors.append(required(f"{field}.os.name", "cannot be empty"))
    return errors


def preemption_policy(field: str, policy: str) -> list[FieldError]:
    """Whether a pod may push others aside."""
    return one_of(field, policy, ("PreemptLowerPriority", "Never"))


def _resource_claims(field: str, claims: list[Json]) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    kinds = ("resourceClaimName", "resourceClaimTemplateName")
    for index, claim in enumerate(claims):
        at, name = f"{field}[{index}]", claim.get("name") or ""
        if not name:
            errors.append(required(f"{at}.name"))
        elif name in seen:
            errors.append(duplicate(f"{at}.name", name))
        else:
            errors += named(f"{at}.name", name, names.label)
        seen.add(name)
        given = [key for key in kinds if claim.get(key)]
        if len(given) != 1:
            text = (
                "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
                if given
                else "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            )
            errors.append(invalid(at, dict(claim), text))
        for key in given:
            errors += named(f"{at}.{key}", claim[key], names.subdomain)
    return errors


def _host_ports(field: str, held: list[Json], *, is_pod: bool) -> list[FieldError]:
    errors = []
    for index, container in enumerate(held):
        for place, port in enumerate(container.get("ports") or ()):
            number = port.get("hostPort") or 0
            if (is_pod or number) and number != (port.get("containerPort") or 0):
                text = "must match `containerPort` when `hostNetwork` is true"
                errors.append(invalid(f"{field}[{index}].ports[{place}].hostPort", number, text))
    return errors


def _security_context(field: str, context: Json, spec: Json) -> list[FieldError]:
    errors = [*containers.identifiers(field, context, "fsGroup", "runAsUser", "runAsGroup")]
    for index, group in enumerate(context.get("supplementalGroups") or ()):
        if not 0 <= group <= containers.ID_MAX:
            text = f"must be between 0 and {containers.ID_MAX}, inclusive"
            errors.append(invalid(f"{field}.supplementalGroups[{index}]", group, text))
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        text = "ShareProcessNamespace and HostPID cannot both be enabled"
        errors.append(invalid(f"{field}.shareProcessNamespace", value=True, detail=text))
    errors += values.maybe_one_of(
        f"{field}.fsGroupChangePolicy",
        context.get("fsGroupChangePolicy"),
        ("Always", "OnRootMismatch"),
    )
    errors += containers.profile(f"{field}.seccompProfile", context.get("seccompProfile"))
    errors += containers.profile(f"{field}.appArmorProfile", context.get("appArmorProfile"))
    return errors


def _dns_config(field: str, spec: Json) -> list[FieldError]:
    config: Any = spec.get("dnsConfig")
    if spec.get("dnsPolicy") == "None":
        if config is None:
            text = "must provide `dnsConfig` when `dnsPolicy` is None"
            return [required(field, text)]
        if not config.get("nameservers"):
            text = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            return [required(f"{field}.nameservers", text)]
    errors: list[FieldError] = []
    servers, searches = config.get("nameservers") or [], config.get("searches") or []
    if len(servers) > 3:
        text = "must not have more than 3 nameservers"
        errors.append(invalid(f"{field}.nameservers", servers, text))
    for index, server in enumerate(servers):
        errors += values.address(f"{field}.nameservers[{index}]", server)
    if len(searches) > 32:
        text = "must not have more than 32 search paths"
        errors.append(invalid(f"{field}.searches", searches, text))
    if len(" ".join(searches)) > 2048:
        text = "must not have more than 2048 characters (including spaces) in the search list"
        errors.append(invalid(f"{field}.searches", searches, text))
    errors += [
        required(f"{field}.options[{index}]", "must not be empty")
        for index, option in enumerate(config.get("options") or ())
        if not option.get("name")
    ]
    return errors
