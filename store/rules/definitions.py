"""Rules of CustomResourceDefinitions. What there is to know of schemas is loaded with the first one."""

from collections.abc import Mapping
from typing import Any, Final

from verger.store.invalid import FieldError
from verger.store.objects import Object, is_terminating
from verger.store.rules.base import Rules

CLEANUP: Final = "customresourcecleanup.apiextensions.k8s.io"
"""The finalizer of a definition whose objects are yet to go."""


class DefinitionRules(Rules):
    """A definition that is deleted stays until its objects are gone."""

    unconditional_update: bool = False
    returns_deleted: bool = True
    counts_generation: bool = True
    plain_finalizers: bool = True
    has_status: bool = True

    def default(self, obj: Object) -> None:
        """The names that follow from others."""
        from verger.store.custom.definitions import set_defaults

        set_defaults(obj)

    def prepare_create(self, obj: Object) -> None:
        """Nothing has been accepted yet, and objects will be stored in one version."""
        from verger.store.custom.definitions import stored_version

        Rules.prepare_create(self, obj)
        stored = stored_version(obj)
        obj["status"] = {"acceptedNames": {"plural": "", "kind": ""}}
        if stored:
            obj["status"]["storedVersions"] = [stored]

    def prepare_update(self, new: Object, old: Mapping[str, Any], subresource: str) -> None:
        """A version that objects were ever stored in stays noted."""
        from verger.store.custom.definitions import stored_version

        Rules.prepare_update(self, new, old, subresource)
        status = new.get("status") or {}
        known = status.get("storedVersions") or []
        stored = stored_version(new)
        if not subresource and stored and stored not in known:
            new["status"] = {**status, "storedVersions": [*known, stored]}

    def validate(self, obj: Mapping[str, Any]) -> list[FieldError]:
        """Names, versions and their schemas."""
        from verger.store.custom.definitions import validate

        return validate(obj)

    def validate_update(
        self, new: Mapping[str, Any], old: Mapping[str, Any], subresource: str
    ) -> list[FieldError]:
        """What its objects are stored under cannot change."""
        from verger.store.custom.definitions import validate_update

        return [] if subresource else validate_update(new, old)

    def warnings(self, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[str]:
        """What a definition asks for that is not done here."""
        from verger.store.custom.definitions import warnings

        if old is not None and new.get("spec") == old.get("spec"):
            return []
        return warnings(new)

    def held(self, obj: Mapping[str, Any]) -> bool:
        """A definition is never gone at once."""
        return not is_terminating(obj)

    def mark_deleted(self, obj: Object) -> None:
        """Its objects go first."""
        fields = obj["metadata"]
        fields["finalizers"] = [
            *(name for name in fields["finalizers"] if name != CLEANUP),
            CLEANUP,
        ]
        status = obj.get("status") or {}
        terminating = {
            "type": "Terminating",
            "status": "True",
            "lastTransitionTime": fields["deletionTimestamp"],
            "reason": "InstanceDeletionPending",
            "message": "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
        }
        kept = [each for each in status.get("conditions") or () if each["type"] != "Terminating"]
        obj["status"] = {**status, "conditions": [*kept, terminating]}
