"""Probes and lifecycle hooks of containers: defaults and validation.

upstream: pkg/apis/core/v1/defaults.go, pkg/apis/core/validation (validateProbe, validateHandler)
"""

import re
from typing import Final

from verger.store.invalid import FieldError, forbidden, invalid, not_supported, required
from verger.store.objects import Object
from verger.store.rules import values
from verger.store.rules.values import Json

PROBES: Final = ("livenessProbe", "readinessProbe", "startupProbe")

_HANDLERS: Final = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
_PROBE_DEFAULTS: Final = {
    "timeoutSeconds": 1,
    "periodSeconds": 10,
    "successThreshold": 1,
    "failureThreshold": 3,
}
_header_name = re.compile("[-A-Za-z0-9]+").fullmatch
_HEADER_NAME: Final = (
    "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for "
    "validation is '[-A-Za-z0-9]+')"
)


def default_probes(container: Object) -> None:
    """Fills in the probes and hooks of a container."""
    for key in PROBES:
        if (probe := container.get(key)) is not None:
            for name, value in _PROBE_DEFAULTS.items():
                probe.setdefault(name, value)
            _default_handler(probe)
    if (lifecycle := container.get("lifecycle")) is not None:
        for handler in lifecycle.values():
            if isinstance(handler, dict):  # stopSignal is a word
                _default_handler(handler)


def _default_handler(handler: Object) -> None:
    if (http := handler.get("httpGet")) is not None:
        http.setdefault("path", "/")
        http.setdefault("scheme", "HTTP")
    if (grpc := handler.get("grpc")) is not None:
        grpc.setdefault("service", "")


def validate_running(field: str, container: Json, grace: int | None) -> list[FieldError]:
    """What is wrong with the probes and hooks of a container. `grace` is the pod's, in seconds."""
    errors: list[FieldError] = []
    if lifecycle := container.get("lifecycle"):
        for key in ("postStart", "preStop"):
            if (handler := lifecycle.get(key)) is not None:
                errors += _handler(f"{field}.lifecycle.{key}", handler, grace)
    for key in PROBES:
        if (probe := container.get(key)) is not None:
            errors += _probe(f"{field}.{key}", key, probe, grace)
    return errors


def _probe(field: str, key: str, probe: Json, grace: int | None) -> list[FieldError]:
    errors = _handler(field, probe, grace)
    errors += values.nonnegative(
        probe, field, "initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold",
        "failureThreshold",
    )  # fmt: skip
    own_grace = probe.get("terminationGracePeriodSeconds")
    at = f"{field}.terminationGracePeriodSeconds"
    if own_grace is not None and own_grace <= 0:
        errors.append(invalid(at, own_grace, "must be greater than 0"))
    if key == "readinessProbe":
        if own_grace is not None:
            errors.append(invalid(at, own_grace, "must not be set for readinessProbes"))
    elif probe.get("successThreshold") != 1:
        threshold = probe.get("successThreshold") or 0
        errors.append(invalid(f"{field}.successThreshold", threshold, "must be 1"))
    return errors


def _handler(field: str, handler: Json, grace: int | None) -> list[FieldError]:
    given = [key for key in _HANDLERS if handler.get(key) is not None]
    if not given:
        return [required(field, "must specify a handler type")]
    errors: list[FieldError] = []
    at, action = f"{field}.{given[0]}", handler[given[0]]
    match given[0]:
        case "exec":
            if not action.get("command"):
                errors.append(required(f"{at}.command"))
        case "httpGet":
            errors += _http_get(at, action)
        case "tcpSocket":
            errors += values.port(f"{at}.port", action.get("port"))
        case "grpc":
            errors += values.port_number(f"{at}.port", action.get("port"))
        case _:
            seconds = action.get("seconds") or 0
            if grace is not None and not 0 <= seconds <= grace:
                text = f"must be non-negative and less than terminationGracePeriodSeconds ({grace})"
                errors.append(invalid(at, seconds, text))
    text = "may not specify more than 1 handler type"
    return errors + [forbidden(f"{field}.{key}", text) for key in given[1:]]


def _http_get(field: str, action: Json) -> list[FieldError]:
    errors = [] if action.get("path") else [required(f"{field}.path")]
    errors += values.port(f"{field}.port", action.get("port"))
    scheme = action.get("scheme") or ""
    if scheme not in ("HTTP", "HTTPS"):
        errors.append(not_supported(f"{field}.scheme", scheme, ("HTTP", "HTTPS")))
    errors += [
        invalid(f"{field}.httpHeaders", header.get("name") or "", _HEADER_NAME)
        for header in action.get("httpHeaders") or ()
        if not _header_name(header.get("name") or "")
    ]
    return errors
