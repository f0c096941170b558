"""Events: one stored object, seen through two APIs.

Objects are stored in the form of the core group; events.k8s.io shows the same object under other field names. The
core API is lenient, as clients of old expect; an event with an eventTime, or one that comes through events.k8s.io, is
held to the newer rules.

upstream: pkg/apis/core/validation/events.go, pkg/apis/events/v1/conversion.go
"""

from collections.abc import Mapping
from typing import Any, Final

from verger.store import names
from verger.store.invalid import FieldError, immutable, invalid, required
from verger.store.objects import Object, namespace_of
from verger.store.rules.base import Rules

_API_VERSION: Final = "events.k8s.io/v1"
_SHORT_MAX: Final = 128
_MESSAGE_MAX: Final = 1024
_ALWAYS: Final[dict[str, Any]] = {
    "source": {},
    "firstTimestamp": None,
    "lastTimestamp": None,
    "eventTime": None,
    "reportingComponent": "",
    "reportingInstance": "",
}
"""Fields that are written even when they are empty."""

_INVOLVED: Final = (
    "kind",
    "namespace",
    "name",
    "uid",
    "apiVersion",
    "resourceVersion",
    "fieldPath",
)
_NEW_NAMES: Final = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
_OLD_NAMES: Final = {new: old for old, new in _NEW_NAMES.items()}


def to_core(obj: Mapping[str, Any]) -> Object:
    """An event of events.k8s.io in the form of the core group."""
    return {_OLD_NAMES.get(key, key): value for key, value in obj.items()}


def from_core(obj: Mapping[str, Any]) -> Object:
    """A stored event in the form of events.k8s.io."""
    out = {_NEW_NAMES.get(key, key): value for key, value in obj.items()}
    out["apiVersion"] = _API_VERSION
    for key in ("reportingController", "reportingInstance"):
        if not out.get(key):
            out.pop(key, None)
    return out


class EventRules(Rules):
    """The core group's view. `reporter` is what the field of the reporting component is called in messages."""

    create_on_update: bool = True
    collects_dependents: bool = False
    own_field_converter: bool = True
    reporter: str = "reportingComponent"
    field_labels: tuple[str, ...] = (
        *(f"involvedObject.{key}" for key in _INVOLVED),
        "reason",
        "reportingComponent",
        "source",
        "type",
    )

    def default(self, obj: Object) -> None:
        """Writes out what is always written."""
        for key, empty in _ALWAYS.items():
            if obj.get(key) is None:
                obj[key] = empty
        obj.setdefault("involvedObject", {})

    def field(self, obj: Mapping[str, Any], name: str) -> str:
        """`source` is the component, whichever field holds it."""
        if name == "source":
            source = (obj.get("source") or {}).get("component")
            return str(source or obj.get("reportingComponent") or "")
        return Rules.field(self, obj, name)

    def validate(self, obj: Mapping[str, Any]) -> list[FieldError]:
        """The namespaces agree; an event with an eventTime is complete."""
        namespace = namespace_of(obj)
        involved = (obj.get("involvedObject") or {}).get("namespace") or ""
        mismatch = [invalid("involvedObject.namespace", involved, "does not match event.namespace")]
        if not obj.get("eventTime"):
            agree = namespace == involved if involved else namespace in ("", "default")
            return [] if agree else mismatch
        errors = []
        if not involved and namespace not in ("default", "kube-system"):
            errors += mismatch
        reporter = obj.get("reportingComponent") or ""
        if not reporter:
            errors.append(required(self.reporter))
        errors += [invalid(self.reporter, reporter, text) for text in names.qualified(reporter)]
        for field in ("reportingInstance", "action", "reason"):
            value = obj.get(field) or ""
            if not value:
                errors.append(required(field))
            if len(value.encode()) > _SHORT_MAX:
                errors.append(invalid(field, "", f"can have at most {_SHORT_MAX} characters"))
        if len((obj.get("message") or "").encode()) > _MESSAGE_MAX:
            errors.append(invalid("message", "", f"can have at most {_MESSAGE_MAX} characters"))
        return errors


class NewEventRules(EventRules):
    """The view of events.k8s.io. Objects come to these rules in the stored form."""

    reporter: str = "reportingController"
    field_labels: tuple[str, ...] = (
        *(f"regarding.{key}" for key in _INVOLVED),
        "reason",
        "reportingController",
        "type",
    )

    def field(self, obj: Mapping[str, Any], name: str) -> str:
        """Reads a field by its new name."""
        head, dot, rest = name.partition(".")
        return EventRules.field(self, obj, f"{_OLD_NAMES.get(head, head)}{dot}{rest}")

    def validate_create(self, obj: Mapping[str, Any], *, namespaced: bool) -> list[FieldError]:
        """The strict rules."""
        errors = EventRules.validate_create(self, obj, namespaced=namespaced)
        errors += _series(obj)
        if not obj.get("eventTime"):
            errors.append(required("eventTime"))
        if obj.get("type") not in ("Normal", "Warning"):
            errors.append(invalid("type", "", f"has invalid value: {obj.get('type') or ''}"))
        errors += [
            invalid(field, "", "needs to be unset")
            for field in ("firstTimestamp", "lastTimestamp", "count", "source")
            if obj.get(field)
        ]
        return errors

    def validate_update(
        self, new: Mapping[str, Any], old: Mapping[str, Any], subresource: str
    ) -> list[FieldError]:
        """Everything but the series is frozen."""
        errors = [] if new.get("series") == old.get("series") else _series(new)
        errors += [
            immutable(_NEW_NAMES.get(field, field), new.get(field))
            for field in (
                "involvedObject", "reason", "message", "source", "firstTimestamp", "lastTimestamp", "count", "type",
                "eventTime", "action", "related", "reportingComponent", "reportingInstance",
            )
            if (new.get(field) or None) != (old.get(field) or None)
        ]  # fmt: skip
        return errors


def _series(obj: Mapping[str, Any]) -> list[FieldError]:
    series = obj.get("series")
    if series is None:
        return []
    errors = []
    if (series.get("count") or 0) < 2:
        errors.append(invalid("series.count", "", "should be at least 2"))
    if not series.get("lastObservedTime"):
        errors.append(required("series.lastObservedTime"))
    return errors
