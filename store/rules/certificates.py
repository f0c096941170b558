"""CertificateSigningRequests: what is asked for never changes; who approves it, and who signs it, write the status.

Who asks is for the server to say: admission does, as rules cannot know it.

upstream: pkg/apis/certificates/validation, pkg/registry/certificates/certificates
"""

import binascii
import re
from collections.abc import Mapping
from typing import Any, Final

from verger.store import names
from verger.store.invalid import (
    FieldError,
    duplicate,
    forbidden,
    invalid,
    not_supported,
    quote,
    required,
    too_long,
)
from verger.store.metadata import NameRule
from verger.store.objects import Object
from verger.store.rules import values
from verger.store.rules.base import Rules
from verger.store.rules.values import EMPTY, Json

EXPIRATION_MIN: Final = 600
"""Seconds."""

_DOMAIN_MAX: Final = 253
_PATH_MAX: Final = 253 + 63 + 1
_LEGACY_SIGNER: Final = "kubernetes.io/legacy-unknown"
_USAGES: Final = (
    "any", "cert sign", "client auth", "code signing", "content commitment", "crl sign", "data encipherment",
    "decipher only", "digital signature", "email protection", "encipher only", "ipsec end system", "ipsec tunnel",
    "ipsec user", "key agreement", "key encipherment", "microsoft sgc", "netscape sgc", "ocsp signing", "s/mime",
    "server auth", "signing", "timestamping",
)  # fmt: skip
_FINAL: Final = ("Approved", "Denied", "Failed")
"""Conditions that are true once they are there, and stay."""
_STATUSES: Final = ("False", "True", "Unknown")
_pem_block = re.compile(rb"(?m)^-----BEGIN ([^\n]*)-----\s*$").search


class SigningRequestRules(Rules):
    """Written in three parts: by the one who asks, through `approval`, and through `status`."""

    has_status: bool = True
    own_field_converter: bool = True
    field_labels: tuple[str, ...] = ("spec.signerName",)
    name_rule: NameRule = staticmethod(names.path_segment)

    def default(self, obj: Object) -> None:
        """What is always written."""
        values.fill(values.part(obj, "spec"), request=None, signerName="")
        values.fill_times(values.part(obj, "status"), "lastUpdateTime", "lastTransitionTime")

    def prepare_create(self, obj: Object) -> None:
        """Nothing is decided yet."""
        obj["status"] = {}

    def prepare_update(self, new: Object, old: Mapping[str, Any], subresource: str) -> None:
        """The spec is frozen. Approving changes conditions alone."""
        decided = new["status"].get("conditions")
        new["spec"] = old["spec"]
        if subresource != "status":
            new["status"] = old["status"]
        if subresource == "approval":
            status = {k: v for k, v in old["status"].items() if k != "conditions"}
            new["status"] = {**status, "conditions": decided} if decided else status

    def validate(self, obj: Mapping[str, Any]) -> list[FieldError]:
        """A request in PEM, usages that exist, a signer, and conditions that make sense."""
        spec, status = obj.get("spec") or EMPTY, obj.get("status") or EMPTY
        errors = _request("spec.request", spec.get("request") or "")
        usages = spec.get("usages") or []
        if not usages:
            errors.append(required("spec.usages"))
        again = values.duplicates(usages)
        for index, usage in enumerate(usages):
            if usage not in _USAGES:
                errors.append(not_supported(f"spec.usages[{index}]", usage, _USAGES))
            elif index in again:
                errors.append(duplicate(f"spec.usages[{index}]", usage))
        signer = spec.get("signerName") or ""
        if signer == _LEGACY_SIGNER:
            text = "the legacy signerName is not allowed via this API version"
            errors.append(invalid("spec.signerName", signer, text))
        else:
            errors += signer_name("spec.signerName", signer)
        seconds = spec.get("expirationSeconds")
        if seconds is not None and seconds < EXPIRATION_MIN:
            text = "may not specify a duration less than 600 seconds (10 minutes)"
            errors.append(invalid("spec.expirationSeconds", seconds, text))
        return errors + _conditions("status.conditions", status.get("conditions") or [])

    def validate_update(
        self, new: Mapping[str, Any], old: Mapping[str, Any], subresource: str
    ) -> list[FieldError]:
        """What was decided stays decided; only the signer writes the certificate, once."""
        after, before = new.get("status") or EMPTY, old.get("status") or EMPTY
        held = {item.get("type") for item in after.get("conditions") or ()}
        lost = {item.get("type") for item in before.get("conditions") or ()} - held
        errors = [
            forbidden("status.conditions", f"updates may not remove a condition of type {quote(x)}")
            for x in _FINAL
            if x in lost
        ]
        signed = before.get("certificate")
        if signed and signed != after.get("certificate"):
            text = "updates may not modify existing certificate content"
            errors.append(forbidden("status.certificate", text))
        return errors

    def validates_whole_on_update(self, subresource: str) -> bool:
        """Through every subresource."""
        return True


def _request(field: str, encoded: str) -> list[FieldError]:
    try:
        body = binascii.a2b_base64(encoded)
    except ValueError:
        body = b""
    found = _pem_block(body)
    if found and found[1] == b"CERTIFICATE REQUEST":
        return []
    return [invalid(field, encoded or None, "PEM block type must be CERTIFICATE REQUEST")]


def signer_name(field: str, name: str) -> list[FieldError]:
    """Who signs: a domain, and a path of one segment."""
    if not name:
        return [required(field)]
    domain, slash, path = name.partition("/")
    if not slash or "/" in path:
        text = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        return [invalid(field, name, text)]
    errors = []
    if len(domain) > _DOMAIN_MAX:
        errors.append(too_long(field, _DOMAIN_MAX))
    labels = domain.split(".")
    errors += _labels(field, domain, names.label)
    if len(labels) < 2:
        text = "should be a domain with at least two segments separated by dots"
        errors.append(invalid(field, domain, text))
    errors += _labels(field, path, names.subdomain)
    if len(path) > _PATH_MAX:
        errors.append(too_long(field, _PATH_MAX))
    return errors


def _labels(field: str, value: str, rule: NameRule) -> list[FieldError]:
    return [
        invalid(field, value, f"validating label {quote(label)}: {text}")
        for label in value.split(".")
        for text in rule(label)
    ]


def _conditions(field: str, conditions: list[Json]) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, condition in enumerate(conditions):
        at = f"{field}[{index}]"
        kind, status = condition.get("type") or "", condition.get("status") or ""
        if not kind:
            errors.append(required(f"{at}.type"))
        allowed = ("True",) if kind in _FINAL else _STATUSES
        errors += values.one_of(f"{at}.status", status, allowed)
        if (kind == "Approved" and "Denied" in seen) or (kind == "Denied" and "Approved" in seen):
            text = "Approved and Denied conditions are mutually exclusive"
            errors.append(invalid(f"{at}.type", kind, text))
        if kind in seen:
            errors.append(duplicate(f"{at}.type", kind))
        seen.add(kind)
    return errors
