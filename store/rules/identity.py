"""Namespaces and ServiceAccounts.

upstream: pkg/registry/core/namespace, pkg/registry/core/serviceaccount; spec: 0.3 and 8.1 of the identity facts
"""

from collections.abc import Mapping
from typing import Any, Final

from verger.store import names
from verger.store.invalid import FieldError, invalid
from verger.store.metadata import NameRule, standard_finalizers
from verger.store.objects import Object, annotations_of, is_terminating
from verger.store.rules.base import Rules

NAMESPACE_FINALIZER: Final = "kubernetes"
NAMESPACE_LABEL: Final = "kubernetes.io/metadata.name"
ENFORCE_MOUNTABLE_SECRETS: Final = "kubernetes.io/enforce-mountable-secrets"


class NamespaceRules(Rules):
    """A namespace is held by spec.finalizers, which its own subresource alone can change."""

    name_rule: NameRule = staticmethod(names.label)
    returns_deleted: bool = True
    field_labels: tuple[str, ...] = ("status.phase",)
    own_field_converter: bool = True

    def default(self, obj: Object) -> None:
        """The label with its own name, which is put back on every write."""
        meta = obj["metadata"]
        if name := meta.get("name"):
            labels = meta.get("labels") or {}
            if labels.get(NAMESPACE_LABEL) != name:
                meta["labels"] = {**labels, NAMESPACE_LABEL: name}
        obj.setdefault("spec", {})
        status = obj.get("status") or {}
        if not status.get("phase"):
            obj["status"] = {"phase": "Active", **{k: v for k, v in status.items() if k != "phase"}}
        for condition in obj["status"].get("conditions") or ():
            condition.setdefault("lastTransitionTime", None)

    def prepare_create(self, obj: Object) -> None:
        """Active, and held by the `kubernetes` finalizer."""
        obj["status"] = {"phase": "Active"}
        finalizers = obj["spec"].get("finalizers") or []
        if NAMESPACE_FINALIZER not in finalizers:
            obj["spec"] = {**obj["spec"], "finalizers": [*finalizers, NAMESPACE_FINALIZER]}

    def prepare_update(self, new: Object, old: Mapping[str, Any], subresource: str) -> None:
        """The main resource changes metadata, `status` the status, `finalize` the spec's finalizers."""
        if subresource != "status":
            new["status"] = old["status"]
        if subresource == "finalize":
            finalizers = (new.get("spec") or {}).get("finalizers")
            new["spec"] = {"finalizers": finalizers} if finalizers else {}
        else:
            new["spec"] = old["spec"]

    def validate(self, obj: Mapping[str, Any]) -> list[FieldError]:
        """Names of the spec's finalizers."""
        return _spec_finalizers(obj)

    def validate_update(
        self, new: Mapping[str, Any], old: Mapping[str, Any], subresource: str
    ) -> list[FieldError]:
        """The phase follows the deletionTimestamp; finalizers are well named."""
        if subresource == "finalize":
            return _spec_finalizers(new)
        if subresource != "status":
            return []
        phase = new["status"].get("phase")
        if not is_terminating(new) and phase != "Active":
            text = "may only be 'Active' if `deletionTimestamp` is empty"
            return [invalid("status.Phase", phase, text)]
        if is_terminating(new) and phase != "Terminating":
            text = "may only be 'Terminating' if `deletionTimestamp` is not empty"
            return [invalid("status.Phase", phase, text)]
        return []

    def validates_whole_on_update(self, subresource: str) -> bool:
        """Updates are judged by what they change."""
        return False

    def held(self, obj: Mapping[str, Any]) -> bool:
        """The spec's finalizers hold it."""
        return bool((obj.get("spec") or {}).get("finalizers"))

    def mark_deleted(self, obj: Object) -> None:
        """A deleted namespace is Terminating; it has no grace period."""
        obj["status"] = {**obj["status"], "phase": "Terminating"}


def _spec_finalizers(obj: Mapping[str, Any]) -> list[FieldError]:
    finalizers = (obj.get("spec") or {}).get("finalizers") or []
    errors: list[FieldError] = []
    for index, name in enumerate(finalizers):
        field = f"spec.finalizers[{index}]"
        errors += [invalid(field, name, text) for text in names.qualified(name)]
    return errors + standard_finalizers("spec.finalizers", finalizers)


class ServiceAccountRules(Rules):
    """References to secrets keep their names alone."""

    returns_deleted: bool = True

    def default(self, obj: Object) -> None:
        """Strips everything but the name from each entry of `secrets`."""
        if secrets := obj.get("secrets"):
            obj["secrets"] = [
                {"name": entry["name"]} if entry.get("name") else {} for entry in secrets
            ]

    def warnings(self, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[str]:
        """The annotation that limits secrets is on its way out."""
        before = annotations_of(old) if old is not None else {}
        if (
            ENFORCE_MOUNTABLE_SECRETS in annotations_of(new)
            and ENFORCE_MOUNTABLE_SECRETS not in before
        ):
            return [
                f"metadata.annotations[{ENFORCE_MOUNTABLE_SECRETS}]: deprecated in v1.32+; prefer separate namespaces "
                "to isolate access to mounted secrets"
            ]
        return []
