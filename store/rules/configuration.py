"""Secrets and ConfigMaps: keys, types, immutability.

upstream: pkg/apis/core/validation (ValidateSecret, ValidateConfigMap)
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final

import orjson
from verger.store import names
from verger.store.invalid import FieldError, forbidden, immutable, invalid, required, too_long
from verger.store.objects import Object, annotations_of
from verger.store.rules.base import Rules

DATA_MAX: Final = 1024 * 1024
"""Bytes of all values of a Secret or ConfigMap together."""

TOKEN_SECRET: Final = "kubernetes.io/service-account-token"
ACCOUNT_NAME: Final = "kubernetes.io/service-account.name"
ACCOUNT_UID: Final = "kubernetes.io/service-account.uid"

_FROZEN: Final = "field is immutable when `immutable` is set"


def _decoded_size(value: str) -> int:
    return len(value) * 3 // 4 - value.count("=", -2)


def _immutability(
    new: Mapping[str, Any], old: Mapping[str, Any], fields: tuple[str, ...]
) -> list[FieldError]:
    if not old.get("immutable"):
        return []
    errors = []
    if not new.get("immutable"):
        errors.append(forbidden("immutable", _FROZEN))
    errors += [
        forbidden(field, _FROZEN)
        for field in fields
        if (new.get(field) or {}) != (old.get(field) or {})
    ]
    return errors


class ConfigMapRules(Rules):
    """Text and binary data under keys."""

    def validate(self, obj: Mapping[str, Any]) -> list[FieldError]:
        """Keys, and the size of all values."""
        errors: list[FieldError] = []
        size = 0
        binary = obj.get("binaryData") or {}
        for key, value in (obj.get("data") or {}).items():
            errors += [invalid(f"data[{key}]", key, text) for text in names.config_key(key)]
            if key in binary:
                errors.append(
                    invalid(f"data[{key}]", key, "duplicate of key present in binaryData")
                )
            size += len(value.encode())
        for key, value in binary.items():
            errors += [invalid(f"binaryData[{key}]", key, text) for text in names.config_key(key)]
            size += _decoded_size(value)
        if size > DATA_MAX:
            errors.append(too_long("", DATA_MAX))
        return errors

    def validate_update(
        self, new: Mapping[str, Any], old: Mapping[str, Any], subresource: str
    ) -> list[FieldError]:
        """What `immutable` freezes."""
        return _immutability(new, old, ("data", "binaryData"))


class SecretRules(Rules):
    """Bytes under keys, and what the type asks of them."""

    field_labels: tuple[str, ...] = ("type",)
    own_field_converter: bool = True

    def default(self, obj: Object) -> None:
        """The type, and stringData written into data."""
        text = obj.pop("stringData", None)
        if text:
            data = {
                **(obj.get("data") or {}),
                **{key: base64.b64encode(value.encode()).decode() for key, value in text.items()},
            }
            obj["data"] = dict(sorted(data.items()))
        if not obj.get("type"):
            obj["type"] = "Opaque"

    def validate(self, obj: Mapping[str, Any]) -> list[FieldError]:
        """Keys, the size of all values, and the fields that the type requires."""
        errors: list[FieldError] = []
        data = obj.get("data") or {}
        for key in data:
            errors += [invalid(f"data[{key}]", key, text) for text in names.config_key(key)]
        if sum(map(_decoded_size, data.values())) > DATA_MAX:
            errors.append(too_long("data", DATA_MAX))
        match obj.get("type"):
            case "kubernetes.io/service-account-token":
                if not annotations_of(obj).get(ACCOUNT_NAME):
                    errors.append(required(f"metadata.annotations[{ACCOUNT_NAME}]"))
            case "kubernetes.io/dockercfg":
                errors += _json_value(data, ".dockercfg")
            case "kubernetes.io/dockerconfigjson":
                errors += _json_value(data, ".dockerconfigjson")
            case "kubernetes.io/basic-auth":
                if "username" not in data and "password" not in data:
                    errors += [required("data[username]"), required("data[password]")]
            case "kubernetes.io/ssh-auth":
                if not data.get("ssh-privatekey"):
                    errors.append(required("data[ssh-privatekey]"))
            case "kubernetes.io/tls":
                errors += [
                    required(f"data[{key}]") for key in ("tls.crt", "tls.key") if key not in data
                ]
        return errors

    def validate_update(
        self, new: Mapping[str, Any], old: Mapping[str, Any], subresource: str
    ) -> list[FieldError]:
        """The type never changes; what `immutable` freezes."""
        errors: list[FieldError] = []
        if new.get("type") != old.get("type"):
            errors.append(immutable("type", new.get("type")))
        return errors + _immutability(new, old, ("data",))

    def warnings(self, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[str]:
        """A TLS Secret that cannot work."""
        if new.get("type") != "kubernetes.io/tls":
            return []
        data = new.get("data") or {}
        if b"-----BEGIN" not in base64.b64decode(data.get("tls.crt") or ""):
            return ["tls: failed to find any PEM data in certificate input"]
        if b"-----BEGIN" not in base64.b64decode(data.get("tls.key") or ""):
            return ["tls: failed to find any PEM data in key input"]
        return []


def _json_value(data: Mapping[str, str], key: str) -> list[FieldError]:
    if key not in data:
        return [required(f"data[{key}]")]
    try:
        orjson.loads(binascii.a2b_base64(data[key]))
    except ValueError as error:
        return [invalid(f"data[{key}]", "<secret contents redacted>", str(error))]
    return []
