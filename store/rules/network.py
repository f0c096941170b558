"""Ingresses and NetworkPolicies.

upstream: pkg/apis/networking
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from verger.store import names
from verger.store.invalid import (
    FieldError,
    forbidden,
    immutable,
    invalid,
    not_supported,
    required,
    too_long,
)
from verger.store.objects import Object, annotations_of
from verger.store.rules import labelselectors, values
from verger.store.rules.base import Rules
from verger.store.rules.values import EMPTY, Json, maybe_one_of, named, one_of, required_name

CONTROLLER_MAX: Final = 250
INGRESS_CLASS: Final = "kubernetes.io/ingress.class"

_PATH_TYPES: Final = ("Exact", "ImplementationSpecific", "Prefix")
_BAD_SEQUENCES: Final = ("//", "/./", "/../", "%2f", "%2F")
_BAD_ENDINGS: Final = ("/..", "/.")
_POLICY_TYPES: Final = ("Ingress", "Egress")


class IngressRules(Rules):
    """Ways in from outside, by host and path."""

    has_status: bool = True
    counts_generation: bool = True

    def default(self, obj: Object) -> None:
        """What is always written."""
        values.part(obj, "spec")
        values.part(values.part(obj, "status"), "loadBalancer")

    def prepare_create(self, obj: Object) -> None:
        """Nobody serves it yet."""
        obj["metadata"]["generation"] = 1
        obj["status"] = {"loadBalancer": {}}

    def validate_create(self, obj: Mapping[str, Any], *, namespaced: bool) -> list[FieldError]:
        """The old annotation agrees with the field that took its place."""
        errors = Rules.validate_create(self, obj, namespaced=namespaced)
        annotation = annotations_of(obj).get(INGRESS_CLASS)
        named_class = (obj.get("spec") or EMPTY).get("ingressClassName")
        if annotation is not None and named_class is not None and annotation != named_class:
            text = "must match `ingressClassName` when both are specified"
            errors.append(invalid(f"annotations.{INGRESS_CLASS}", annotation, text))
        return errors

    def validate(self, obj: Mapping[str, Any]) -> list[FieldError]:
        """Every path leads somewhere."""
        spec = obj.get("spec") or EMPTY
        rules, backend = spec.get("rules") or (), spec.get("defaultBackend")
        errors: list[FieldError] = []
        if not rules and backend is None:
            text = "either `defaultBackend` or `rules` must be specified"
            errors.append(invalid("spec", None, text))
        if backend is not None:
            errors += _backend("spec.defaultBackend", backend)
        for index, rule in enumerate(rules):
            errors += _ingress_rule(f"spec.rules[{index}]", rule)
        for index, tls in enumerate(spec.get("tls") or ()):
            for place, host in enumerate(tls.get("hosts") or ()):
                errors += _host(f"spec.tls[{index}].hosts[{place}]", host)
            if name := tls.get("secretName"):
                errors += named(f"spec.tls[{index}].secretName", name, names.subdomain)
        if (name := spec.get("ingressClassName")) is not None:
            errors += named("spec.ingressClassName", name, names.subdomain)
        return errors


def _host(field: str, host: str) -> list[FieldError]:
    return named(field, host, values.wildcard_subdomain if "*" in host else names.subdomain)


def _ingress_rule(field: str, rule: Json) -> list[FieldError]:
    errors: list[FieldError] = []
    if host := rule.get("host"):
        if values.parse_address(host) is not None:
            text = "must be a DNS name, not an IP address"
            errors.append(invalid(f"{field}.host", host, text))
        errors += _host(f"{field}.host", host)
    if (http := rule.get("http")) is not None:
        paths = http.get("paths") or ()
        if not paths:
            errors.append(required(f"{field}.http.paths"))
        for index, path in enumerate(paths):
            errors += _path(f"{field}.http.paths[{index}]", path)
    return errors


def _path(field: str, value: Json) -> list[FieldError]:
    kind, path = value.get("pathType"), value.get("path") or ""
    if not kind:
        return [required(f"{field}.pathType", "pathType must be specified")]
    at = f"{field}.path"
    errors: list[FieldError] = []
    if kind not in _PATH_TYPES:
        errors.append(not_supported(f"{field}.pathType", kind, _PATH_TYPES))
    elif not path.startswith("/") and (path or kind != "ImplementationSpecific"):
        errors.append(invalid(at, path, "must be an absolute path"))
    if kind in ("Exact", "Prefix"):
        errors += [
            invalid(at, path, f"must not contain '{text}'")
            for text in _BAD_SEQUENCES
            if text in path
        ]
        errors += [
            invalid(at, path, f"cannot end with '{text}'")
            for text in _BAD_ENDINGS
            if path.endswith(text)
        ]
    return errors + _backend(f"{field}.backend", value.get("backend") or EMPTY)


def _backend(field: str, backend: Json) -> list[FieldError]:
    resource, service = backend.get("resource"), backend.get("service")
    if resource is not None and service is not None:
        return [invalid(field, "", "cannot set both resource and service backends")]
    if resource is not None:
        return [*_reference(f"{field}.resource", resource)]
    if service is None:
        return [invalid(field, "", "resource or service backend is required")]
    errors = required_name(f"{field}.service.name", service.get("name"), names.label_1035)
    port = service.get("port") or EMPTY
    name, number = port.get("name"), port.get("number")
    if name and number:
        errors.append(invalid(field, "", "cannot set both port name & port number"))
    elif name:
        errors += values.port_name(f"{field}.service.port.name", name)
    elif number:
        errors += values.port_number(f"{field}.service.port.number", number)
    else:
        errors.append(required(field, "port name or number is required"))
    return errors


def _reference(field: str, reference: Json) -> Iterator[FieldError]:
    if (group := reference.get("apiGroup")) is not None:
        yield from named(f"{field}.apiGroup", group, names.subdomain)
    for key in ("kind", "name"):
        yield from required_name(f"{field}.{key}", reference.get(key), names.path_segment)


class IngressClassRules(Rules):
    """Who serves the ingresses of a class."""

    counts_generation: bool = True

    def default(self, obj: Object) -> None:
        """Parameters are the cluster's."""
        spec = values.part(obj, "spec")
        if (parameters := spec.get("parameters")) is not None:
            parameters.setdefault("scope", "Cluster")

    def validate(self, obj: Mapping[str, Any]) -> list[FieldError]:
        """There is a controller."""
        spec = obj.get("spec") or EMPTY
        controller = spec.get("controller") or ""
        errors: list[FieldError] = []
        if len(controller.encode()) > CONTROLLER_MAX:
            errors.append(too_long("spec.controller", CONTROLLER_MAX))
        errors += values.domain_path("spec.controller", controller)
        if (parameters := spec.get("parameters")) is None:
            return errors
        field = "spec.parameters"
        errors += _reference(field, parameters)
        scope, namespace = parameters.get("scope"), parameters.get("namespace")
        errors += one_of(f"{field}.scope", scope, ("Cluster", "Namespace"))
        if scope == "Namespace":
            if namespace is None:
                text = "`parameters.scope` is set to 'Namespace'"
                errors.append(required(f"{field}.namespace", text))
            else:
                errors += named(f"{field}.namespace", namespace, names.label)
        elif scope == "Cluster" and namespace is not None:
            text = "`parameters.scope` is set to 'Cluster'"
            errors.append(forbidden(f"{field}.namespace", text))
        return errors

    def validate_update(
        self, new: Mapping[str, Any], old: Mapping[str, Any], subresource: str
    ) -> list[FieldError]:
        """The controller stays."""
        wanted = (new.get("spec") or EMPTY).get("controller")
        if wanted == (old.get("spec") or EMPTY).get("controller"):
            return []
        return [immutable("spec.controller", wanted or "")]


class NetworkPolicyRules(Rules):
    """Who may talk to whom."""

    counts_generation: bool = True

    def default(self, obj: Object) -> None:
        """Of ingress always, of egress if it says something about it."""
        spec = values.part(obj, "spec")
        values.part(spec, "podSelector")
        for direction in ("ingress", "egress"):
            for rule in spec.get(direction) or ():
                for port in rule.get("ports") or ():
                    port.setdefault("protocol", "TCP")
        if not spec.get("policyTypes"):
            spec["policyTypes"] = [*_POLICY_TYPES] if spec.get("egress") else ["Ingress"]

    def validate(self, obj: Mapping[str, Any]) -> list[FieldError]:
        """Selectors, ports, peers."""
        spec = obj.get("spec") or EMPTY
        errors = labelselectors.validate("spec.podSelector", spec.get("podSelector"))
        for direction, peers in (("ingress", "from"), ("egress", "to")):
            for index, rule in enumerate(spec.get(direction) or ()):
                field = f"spec.{direction}[{index}]"
                for place, port in enumerate(rule.get("ports") or ()):
                    errors += _policy_port(f"{field}.ports[{place}]", port)
                for place, peer in enumerate(rule.get(peers) or ()):
                    errors += _peer(f"{field}.{peers}[{place}]", peer)
        types = spec.get("policyTypes") or ()
        if len(types) > len(_POLICY_TYPES):
            text = "may not specify more than two policyTypes"
            return [*errors, invalid("spec.policyTypes", types, text)]
        for index, kind in enumerate(types):
            errors += maybe_one_of(f"spec.policyTypes[{index}]", kind, _POLICY_TYPES)
        return errors


def _policy_port(field: str, port: Json) -> list[FieldError]:
    number, end = port.get("port"), port.get("endPort")
    errors = maybe_one_of(f"{field}.protocol", port.get("protocol"), ("TCP", "UDP", "SCTP"))
    if isinstance(number, int):
        errors += values.port_number(f"{field}.port", number)
        if end is not None:
            if end < number:
                text = "must be greater than or equal to `port`"
                errors.append(invalid(f"{field}.endPort", end, text))
            errors += values.port_number(f"{field}.endPort", end)
        return errors
    if end is not None:
        why = "is not specified" if number is None else "is non-numeric"
        errors.append(invalid(f"{field}.endPort", end, f"may not be specified when `port` {why}"))
    return errors if number is None else errors + values.port_name(f"{field}.port", number)


def _peer(field: str, peer: Json) -> list[FieldError]:
    errors: list[FieldError] = []
    for key in ("podSelector", "namespaceSelector"):
        errors += labelselectors.validate(f"{field}.{key}", peer.get(key))
    block = peer.get("ipBlock")
    if block is not None:
        errors += _block(f"{field}.ipBlock", block)
        if len(peer) > 1:
            text = "may not specify both ipBlock and another peer"
            errors.append(forbidden(field, text))
    elif not peer:
        errors.append(required(field, "must specify a peer"))
    return errors


def _block(field: str, block: Json) -> list[FieldError]:
    cidr = block.get("cidr") or ""
    if not cidr:
        return [required(f"{field}.cidr")]
    errors = values.network(f"{field}.cidr", cidr)
    whole: Any = values.parse_network(cidr)
    for index, text in enumerate(block.get("except") or ()):
        at = f"{field}.except[{index}]"
        part: Any = values.parse_network(text)
        if part is None:
            errors += values.network(at, text)
        elif whole is not None and not (
            part.version == whole.version and part.subnet_of(whole) and part != whole
        ):
            errors.append(invalid(at, text, "must be a strict subset of `cidr`"))
    return errors
