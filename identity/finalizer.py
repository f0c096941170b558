"""Accounts that say how their pods run: the Service Account Finalizer, for those who want it.

An account may carry, in annotations, a security context and the names of further Secrets. A pod of the account that
has no security context of its own receives the account's; one that mounts no Secret of its own finds the account's
below a folder of their own. What a pod has received is noted on it, so that one can tell later which pods run with
what their account said before.

The idea is that of the first design of service accounts; no release of Kubernetes has it.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson
from verger.identity.validate import Lookup
from verger.store import names
from verger.store.decoding import DecodeError, Decoder
from verger.store.errors import Invalid
from verger.store.invalid import FieldError, invalid
from verger.store.objects import Object, annotations_of
from verger.store.request import Attributes, WriteRequest

SECURITY_CONTEXT: Final = "verger.dev/pod-security-context"
"""On an account: a PodSecurityContext in JSON."""
SECRETS: Final = "verger.dev/pod-secrets"
"""On an account: names of Secrets, separated by commas."""
RECEIVED_CONTEXT: Final = "verger.dev/received-security-context"
RECEIVED_SECRETS: Final = "verger.dev/received-secrets"
"""On a pod: what of the account's it has received, as a digest."""
MOUNT_FOLDER: Final = "/var/run/secrets/verger.dev"
VOLUME_PREFIX: Final = "account-secret-"
_CONTEXT_TYPE: Final = "io.k8s.api.core.v1.PodSecurityContext"


class Gift(NamedTuple):
    """What an account gives to its pods."""

    security_context: Mapping[str, Any]
    secrets: tuple[str, ...]


def gift_of(account: Mapping[str, Any]) -> Gift:
    """What the annotations of an account say. Raises ValueError when they say nothing that makes sense."""
    annotations = annotations_of(account)
    context = orjson.loads(annotations.get(SECURITY_CONTEXT) or "{}")
    if not isinstance(context, dict):
        raise ValueError("must be a JSON object")
    listed = (name.strip() for name in (annotations.get(SECRETS) or "").split(","))
    return Gift(context, tuple(name for name in listed if name))


def digest(part: Any) -> str:
    """What is noted of a part, empty for nothing."""
    if not part:
        return ""
    text = orjson.dumps(part, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(text).hexdigest()[:16]


def is_outdated(pod: Mapping[str, Any], account: Mapping[str, Any]) -> bool:
    """Whether the pod would receive something else if it were made now."""
    try:
        gift = gift_of(account)
    except ValueError:
        return False  # nobody can say what it would receive
    spec, notes = pod.get("spec") or {}, annotations_of(pod)
    context, secrets = notes.get(RECEIVED_CONTEXT), notes.get(RECEIVED_SECRETS)
    keeps_context = context is None and bool(spec.get("securityContext"))
    keeps_secrets = secrets is None and _mounts_secrets(spec)
    return (not keeps_context and (context or "") != digest(gift.security_context)) or (
        not keeps_secrets and (secrets or "") != digest(gift.secrets)
    )


def _mounts_secrets(spec: Mapping[str, Any]) -> bool:
    return any(volume.get("secret") is not None for volume in spec.get("volumes") or ())


class AccountFinalizer:
    """The admission plugin. It comes behind the one that chooses the account."""

    def __init__(self, lookup: Lookup, decoder: Decoder) -> None:
        self._lookup = lookup
        self._decoder = decoder

    def handles(self, attributes: Attributes) -> bool:
        """New pods, and accounts as they are written."""
        if attributes.group or attributes.subresource:
            return False
        if attributes.resource == "pods":
            return attributes.verb == "create"
        return attributes.resource == "serviceaccounts" and attributes.verb in (
            "create",
            "update",
            "patch",
        )

    async def admit(
        self,
        attributes: Attributes,
        obj: Object,
        old: Mapping[str, Any] | None,
        request: WriteRequest,
    ) -> None:
        """Gives a pod what its account has for it."""
        if attributes.resource != "pods":
            return
        spec = obj.setdefault("spec", {})
        name = spec.get("serviceAccountName") or ""
        account = self._lookup.get("serviceaccounts", attributes.namespace, name)
        if account is None:
            return  # a mirror pod, or one that is about to be refused
        try:
            gift = gift_of(account)
        except ValueError:
            request.warnings.append(
                f"service account {name}: annotation {SECURITY_CONTEXT} is no JSON object, and was not used"
            )
            return
        notes = {}
        if gift.security_context and not spec.get("securityContext"):
            spec["securityContext"] = dict(gift.security_context)
            notes[RECEIVED_CONTEXT] = digest(gift.security_context)
        if gift.secrets and not _mounts_secrets(spec):
            _mount(spec, gift.secrets)
            notes[RECEIVED_SECRETS] = digest(gift.secrets)
        if notes:
            obj["metadata"]["annotations"] = {**annotations_of(obj), **notes}

    async def validate(
        self,
        attributes: Attributes,
        obj: Mapping[str, Any],
        old: Mapping[str, Any] | None,
        request: WriteRequest,
    ) -> None:
        """Whether the annotations of an account make sense. Raises Invalid."""
        if attributes.resource == "serviceaccounts" and (errors := self._errors(obj)):
            raise Invalid.of("ServiceAccount", "", attributes.name, errors)

    def _errors(self, account: Mapping[str, Any]) -> list[FieldError]:
        field = f"metadata.annotations[{SECURITY_CONTEXT}]"
        shown = annotations_of(account).get(SECURITY_CONTEXT) or ""
        try:
            gift = gift_of(account)
            unknown = self._decoder.decode(_CONTEXT_TYPE, dict(gift.security_context))
        except orjson.JSONDecodeError:
            return [invalid(field, shown, "must be a PodSecurityContext in JSON")]
        except (ValueError, DecodeError) as error:
            return [invalid(field, shown, str(error))]
        errors = [invalid(field, shown, f"unknown field {path}") for path in unknown]
        for name in gift.secrets:
            errors += [
                invalid(f"metadata.annotations[{SECRETS}]", name, text)
                for text in names.subdomain(name)
            ]
        return errors


def _mount(spec: Object, secrets: Sequence[str]) -> None:
    volumes = list(spec.get("volumes") or ())
    for index, secret in enumerate(secrets):
        name = f"{VOLUME_PREFIX}{index}"
        volumes.append({"name": name, "secret": {"secretName": secret, "defaultMode": 0o644}})
        for key in ("initContainers", "containers"):
            for container in spec.get(key) or ():
                mount = {"name": name, "readOnly": True, "mountPath": f"{MOUNT_FOLDER}/{secret}"}
                container["volumeMounts"] = [*(container.get("volumeMounts") or ()), mount]
    spec["volumes"] = volumes
