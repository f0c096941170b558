"""Environment variables of containers: defaults and validation.

upstream: pkg/apis/core/validation (ValidateEnv, ValidateEnvFrom)
"""

import re
from collections.abc import Iterable
from typing import Final

from verger.store import names
from verger.store.invalid import FieldError, invalid, not_supported, required
from verger.store.rules.values import Json, named, required_name
from verger.store.rules.volumes import default_field_references

_ENV_FIELDS: Final = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
    "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
)  # fmt: skip
_OTHER_FIELDS: Final = (
    "metadata.annotations", "metadata.labels", "spec.restartPolicy", "spec.schedulerName", "status.phase",
)  # fmt: skip
"""Fields that exist, but not for variables."""
_RESOURCE_FIELDS: Final = (
    "limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage",
    "requests.memory",
)  # fmt: skip
_ENV_SOURCES: Final = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef")
_env_name = re.compile(r"[\x20-<>-~]+").fullmatch
_subscript = re.compile(r"(metadata\.(?:labels|annotations))\['([^']*)'\]").fullmatch
_ENV_NAME: Final = "a valid environment variable name must consist only of printable ASCII characters other than '='"


def default_env(variables: Iterable[Json]) -> None:
    """Fills in where values come from."""
    for variable in variables:
        if (source := variable.get("valueFrom")) is not None:
            default_field_references(source)


def _env_name_errors(field: str, name: str) -> list[FieldError]:
    return [] if _env_name(name) else [invalid(field, name, _ENV_NAME)]


def validate_env(field: str, variables: list[Json]) -> list[FieldError]:
    """What is wrong with single variables."""
    errors: list[FieldError] = []
    for index, variable in enumerate(variables):
        if name := variable.get("name"):
            if not _env_name(name):
                errors += _env_name_errors(f"{field}[{index}].name", name)
        else:
            errors.append(required(f"{field}[{index}].name"))
        if (source := variable.get("valueFrom")) is not None:
            at = f"{field}[{index}].valueFrom"
            errors += _env_source(at, source, bool(variable.get("value")))
    return errors


def _env_source(field: str, source: Json, has_value: bool) -> list[FieldError]:
    given = [key for key in _ENV_SOURCES if source.get(key) is not None]
    errors: list[FieldError] = []
    for key in given:
        at, reference = f"{field}.{key}", source[key]
        match key:
            case "fieldRef":
                errors += _field_reference(at, reference)
            case "resourceFieldRef":
                errors += _resource_reference(at, reference)
            case _:
                errors += named(f"{at}.name", reference.get("name") or "", names.subdomain)
                errors += required_name(f"{at}.key", reference.get("key"), names.config_key)
    if not given and "fileKeyRef" not in source:
        text = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
        errors.append(invalid(field, "", text))
    elif has_value:
        errors.append(invalid(field, "", "may not be specified when `value` is not empty"))
    elif len(given) > 1:
        text = "may not have more than one field specified at a time"
        errors.append(invalid(field, "", text))
    return errors


def _field_reference(field: str, reference: Json) -> list[FieldError]:
    path = reference.get("fieldPath") or ""
    if not path:
        return [required(f"{field}.fieldPath")]
    if match := _subscript(path):
        key = match[2].lower() if match[1].endswith("annotations") else match[2]
        return named(field, key, names.qualified)
    if path in _ENV_FIELDS:
        return []
    if path not in _OTHER_FIELDS:
        text = f"error converting fieldPath: field label not supported: {path}"
        return [invalid(f"{field}.fieldPath", path, text)]
    return [not_supported(f"{field}.fieldPath", path, _ENV_FIELDS)]


def _resource_reference(field: str, reference: Json) -> list[FieldError]:
    name = reference.get("resource") or ""
    if not name:
        return [required(f"{field}.resource")]
    if name in _RESOURCE_FIELDS or name.startswith(("limits.hugepages-", "requests.hugepages-")):
        return []
    return [not_supported(f"{field}.resource", name, _RESOURCE_FIELDS)]


def validate_env_from(field: str, sources: list[Json]) -> list[FieldError]:
    """What is wrong with the secrets and config maps whose keys become variables."""
    errors: list[FieldError] = []
    for index, source in enumerate(sources):
        at = f"{field}[{index}]"
        if prefix := source.get("prefix"):
            errors += _env_name_errors(f"{at}.prefix", prefix)
        given = [key for key in ("configMapRef", "secretRef") if source.get(key) is not None]
        for key in given:
            errors += required_name(f"{at}.{key}.name", source[key].get("name"), names.subdomain)
        if len(given) != 1:
            text = (
                "may not have more than one field specified at a time"
                if given
                else "must specify one of: `configMapRef` or `secretRef`"
            )
            errors.append(invalid(field, "", text))
    return errors
