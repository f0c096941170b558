"""Who asks for a certificate, and who may decide about it or sign it: admission of CertificateSigningRequests.

The requester is always the user of the create, whatever the body says; nobody decides for a signer without `approve`
on it, and nobody signs for it without `sign`. A signer is named in full, or with all others of its domain (`domain/*`).

upstream: pkg/registry/certificates/certificates/strategy.go, plugin/pkg/admission/certificates
"""

import binascii
from collections.abc import Mapping
from typing import Any, Final

from cryptography import x509
from cryptography.x509.oid import NameOID
from verger.identity.authz import Authorizer
from verger.store.errors import Forbidden
from verger.store.invalid import quote
from verger.store.objects import Object
from verger.store.request import MASTERS, Attributes, WriteRequest
from verger.store.timestamps import format_time
from verger.watch.clock import Clock

GROUP: Final = "certificates.k8s.io"
CLIENT_SIGNER: Final = "kubernetes.io/kube-apiserver-client"
_REQUESTER: Final = ("username", "uid", "groups", "extra")
_VERBS: Final = {"approval": "approve", "status": "sign"}
"""Part of a request that is written -> the verb on its signer that it takes."""


class SigningRequests:
    """The admission of requests for certificates, and of what is decided about them."""

    def __init__(self, authorizer: Authorizer, clock: Clock) -> None:
        self._authorizer = authorizer
        self._clock = clock

    def handles(self, attributes: Attributes) -> bool:
        """Creates, and writes of the two parts of the status."""
        if attributes.group != GROUP or attributes.resource != "certificatesigningrequests":
            return False
        return attributes.verb == "create" or (
            attributes.verb in ("update", "patch") and attributes.subresource in _VERBS
        )

    async def admit(
        self,
        attributes: Attributes,
        obj: Object,
        old: Mapping[str, Any] | None,
        request: WriteRequest,
    ) -> None:
        """Notes who asks; dates what is decided."""
        if old is None:
            user = attributes.user
            kept = {key: value for key, value in obj["spec"].items() if key not in _REQUESTER}
            extra = {key: list(values) for key, values in user.extra.items()}
            known = (user.name, user.uid, list(user.groups), extra)
            asked = {key: value for key, value in zip(_REQUESTER, known, strict=True) if value}
            obj["spec"] = {**kept, **asked}
        elif conditions := (obj.get("status") or {}).get("conditions"):
            obj["status"]["conditions"] = self._dated(
                conditions, (old.get("status") or {}).get("conditions") or []
            )

    def _dated(
        self, conditions: list[Mapping[str, Any]], before: list[Mapping[str, Any]]
    ) -> list[Mapping[str, Any]]:
        now = format_time(self._clock.time())
        since = {
            (one.get("type"), one.get("status")): one.get("lastTransitionTime") for one in before
        }
        return [
            {
                **one,
                "lastUpdateTime": one.get("lastUpdateTime") or now,
                "lastTransitionTime": one.get("lastTransitionTime")
                or since.get((one.get("type"), one.get("status")))
                or now,
            }
            for one in conditions
        ]

    async def validate(
        self,
        attributes: Attributes,
        obj: Mapping[str, Any],
        old: Mapping[str, Any] | None,
        request: WriteRequest,
    ) -> None:
        """Raises Forbidden for a decision without the right to it, and for a request to become an administrator."""
        if old is None:
            if obj["spec"].get("signerName") == CLIENT_SIGNER and _asks_for_everything(obj["spec"]):
                why = f"use of {CLIENT_SIGNER} signer with {MASTERS} group is not allowed"
                raise _refused(attributes, why)
            return
        if attributes.subresource == "status" and not _signs(obj, old):
            return
        verb, signer = _VERBS[attributes.subresource], str(old["spec"].get("signerName") or "")
        names = (signer, f"{signer.partition('/')[0]}/*")
        if not any(self._may(attributes, verb, name) for name in names):
            why = f"user not permitted to {verb} requests with signerName {quote(signer)}"
            raise _refused(attributes, why)

    def _may(self, attributes: Attributes, verb: str, signer: str) -> bool:
        asked = Attributes(
            attributes.user, verb, name=signer, other_group=GROUP, other_resource="signers"
        )
        return self._authorizer.decide(asked).allowed


def _signs(obj: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    new, before = obj.get("status") or {}, old.get("status") or {}
    return any(new.get(key) != before.get(key) for key in ("certificate", "conditions"))


def _asks_for_everything(spec: Mapping[str, Any]) -> bool:
    """Whether the subject is to be in the group of administrators. What cannot be read is no signer's either."""
    try:
        asked = x509.load_pem_x509_csr(binascii.a2b_base64(str(spec.get("request") or "")))
    except ValueError:
        return False
    groups = asked.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return any(group.value == MASTERS for group in groups)


def _refused(attributes: Attributes, why: str) -> Forbidden:
    name = attributes.name
    details: dict[str, Any] = {"name": name} if name else {}
    return Forbidden(
        f'certificatesigningrequests.{GROUP} "{name}" is forbidden: {why}',
        {**details, "group": GROUP, "kind": "certificatesigningrequests"},
    )
