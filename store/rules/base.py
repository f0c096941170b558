"""What a kind can decide about its objects. Every hook has the behaviour that most kinds share."""

from collections.abc import Mapping
from typing import Any, Final

from verger.store import metadata, names
from verger.store.invalid import FieldError
from verger.store.metadata import NameRule
from verger.store.objects import Object, meta

SERVER_FIELDS: Final = ("kind", "apiVersion", "metadata", "status")


class Rules:
    """The rules of one kind. Hooks get an object of their own, which they may change at will.

    Stored objects (`old`) are shared and read-only. The facts below are the kind's: a class says them once, and
    whoever makes rules of it may say otherwise. They are no dataclasses: fifty of these took a tenth of a start.
    """

    name_rule: NameRule = staticmethod(names.subdomain)
    prefix_rule: NameRule | None = None
    unconditional_update: bool = True
    """Whether a PUT without a resourceVersion overwrites."""
    deprecation: str = ""
    """What every request for the kind hears; empty where it is not deprecated."""
    create_on_update: bool = False
    """Whether a PUT of a name that does not exist creates it."""
    returns_deleted: bool = False
    """Whether DELETE answers with the object instead of a Status."""
    counts_generation: bool = False
    """Whether metadata.generation counts the changes of the spec."""
    has_status: bool = False
    """Whether the status is written through its own subresource alone."""
    collects_dependents: bool = True
    """Whether a deletion without a policy leaves dependents to the garbage collector (Events opt out)."""
    plain_finalizers: bool = False
    """Whether a finalizer may have a name without a path that is none of the known three. upstream: not of core's kinds"""
    field_labels: tuple[str, ...] = ()
    """Selectable fields besides metadata.name and metadata.namespace."""
    own_field_converter: bool = False
    """Whether an unknown field label is refused in the words of the older kinds."""

    def __init__(self, **facts: Any) -> None:
        for name, value in facts.items():
            if not hasattr(self, name):
                raise TypeError(f"{type(self).__name__} knows nothing of {name}")
            setattr(self, name, value)

    def default(self, obj: Object) -> None:
        """Fills in what the client left out, on every write."""

    def prepare_create(self, obj: Object) -> None:
        """Sets what a client cannot choose when an object is created."""
        if self.has_status:
            obj.pop("status", None)
        if self.counts_generation:
            obj["metadata"]["generation"] = 1

    def prepare_update(self, new: Object, old: Mapping[str, Any], subresource: str) -> None:
        """Restores from the stored object what this endpoint cannot change."""
        if subresource == "status":
            for key in {*new, *old} - {"metadata", "status"}:
                _restore(new, old, key)
            return
        if self.has_status:
            _restore(new, old, "status")
        if self.counts_generation and self.spec_differs(new, old):
            new["metadata"]["generation"] = (meta(old).get("generation") or 0) + 1

    def spec_differs(self, new: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
        """Whether an update changes what the generation counts."""
        return any(new.get(key) != old.get(key) for key in {*new, *old} if key not in SERVER_FIELDS)

    def validate(self, obj: Mapping[str, Any]) -> list[FieldError]:
        """What is wrong with an object, its metadata aside."""
        return []

    def validate_update(
        self, new: Mapping[str, Any], old: Mapping[str, Any], subresource: str
    ) -> list[FieldError]:
        """What is wrong with a change, beyond what `validate` says of its outcome."""
        return []

    def validates_whole_on_update(self, subresource: str) -> bool:
        """Whether an update is judged by all rules of a create too, metadata included."""
        return subresource == ""

    def warnings(self, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[str]:
        """What the client should hear about a write that succeeds."""
        return []

    def field(self, obj: Mapping[str, Any], name: str) -> str:
        """A selectable field as text."""
        value: Any = obj
        for part in name.split("."):
            if not isinstance(value, dict):
                return ""
            value = value.get(part)
        if value is None or value == "":
            return ""
        return ("true" if value else "false") if isinstance(value, bool) else str(value)

    def held(self, obj: Mapping[str, Any]) -> bool:
        """Whether something besides metadata.finalizers keeps a deleted object."""
        return False

    def mark_deleted(self, obj: Object) -> None:
        """Changes that come with the deletionTimestamp."""
        obj["metadata"]["deletionGracePeriodSeconds"] = 0

    def grace_seconds(self, obj: Mapping[str, Any], requested: int | None) -> int | None:
        """How long a deleted object stays for someone else to end it (a kubelet, for pods); None: this kind knows no such time."""
        return None

    def validate_create(self, obj: Mapping[str, Any], *, namespaced: bool) -> list[FieldError]:
        """All that is wrong with a new object."""
        errors = metadata.validate(
            meta(obj),
            namespaced=namespaced,
            name_rule=self.name_rule,
            prefix_rule=self.prefix_rule,
            plain_finalizers=self.plain_finalizers,
        )
        return errors + self.validate(obj)


def _restore(new: Object, old: Mapping[str, Any], key: str) -> None:
    if key in old:
        new[key] = old[key]
    else:
        new.pop(key, None)


GENERAL: Final = Rules()
