"""PersistentVolumeClaims, also those that StatefulSets and ephemeral volumes make.

upstream: pkg/apis/core/validation (ValidatePersistentVolumeClaimSpec and ...Update), pkg/apis/core/v1/defaults.go
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from verger.store import names
from verger.store.invalid import FieldError, forbidden, immutable, invalid, not_supported, required
from verger.store.objects import Object
from verger.store.rules import labelselectors, resources, values
from verger.store.rules.base import Rules
from verger.store.rules.podupdates import difference
from verger.store.rules.values import EMPTY, Json, amount_of, maybe_one_of, named

ACCESS_MODES: Final = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES: Final = ("Block", "Filesystem")

_FROZEN: Final = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
_CLASSES: Final = ("storageClassName", "volumeAttributesClassName")


def default_claim(claim: Object) -> None:
    """Fills in a claim. Of the two fields for a source of data each follows the other."""
    spec = values.part(claim, "spec")
    spec.setdefault("resources", {})
    spec.setdefault("volumeMode", "Filesystem")
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if source is not None and reference is None:
        spec["dataSourceRef"] = dict(source)
    elif reference is not None and source is None and not reference.get("namespace"):
        spec["dataSource"] = dict(reference)
    status = values.part(claim, "status")
    status.setdefault("phase", "Pending")
    values.fill_times(status, "lastProbeTime", "lastTransitionTime")


def validate_spec(field: str, spec: Json) -> list[FieldError]:
    """What is wrong with what is claimed."""
    modes = spec.get("accessModes") or ()
    errors = []
    if not modes:
        text = "at least 1 access mode is required"
        errors.append(required(f"{field}.accessModes", text))
    errors += labelselectors.validate(f"{field}.selector", spec.get("selector"))
    errors += access_modes(f"{field}.accessModes", modes)
    at = f"{field}.resources[storage]"
    size = ((spec.get("resources") or EMPTY).get("requests") or EMPTY).get("storage")
    if size is None:
        errors.append(required(at))
    elif amount_of(size) <= 0:
        errors.append(invalid(at, str(size), "must be greater than zero"))
    else:
        errors += resources.resource_quantity(at, "storage", size)
    if name := spec.get("storageClassName"):
        errors += named(f"{field}.storageClassName", name, names.subdomain)
    errors += maybe_one_of(f"{field}.volumeMode", spec.get("volumeMode"), VOLUME_MODES)
    for key in ("dataSource", "dataSourceRef"):
        if (source := spec.get(key)) is not None:
            errors += _data_source(f"{field}.{key}", source)
    if name := spec.get("volumeAttributesClassName"):
        errors += named(f"{field}.volumeAttributesClassName", name, names.subdomain)
    return errors


def access_modes(field: str, modes: Any) -> list[FieldError]:
    """How a volume can be mounted."""
    errors = [
        not_supported(field, mode, ACCESS_MODES) for mode in modes if mode not in ACCESS_MODES
    ]
    if "ReadWriteOncePod" in modes and set(ACCESS_MODES[:-1]) & set(modes):
        text = "may not use ReadWriteOncePod with other access modes"
        errors.append(forbidden(field, text))
    return errors


def _data_source(field: str, source: Json) -> list[FieldError]:
    kind, group = source.get("kind") or "", source.get("apiGroup") or ""
    errors = [required(f"{field}.{key}") for key in ("name", "kind") if not source.get(key)]
    if not group and kind != "PersistentVolumeClaim":
        text = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
        errors.append(invalid(field, kind, text))
    if group:
        errors += named(f"{field}.apiGroup", group, names.subdomain)
    if namespace := source.get("namespace"):
        errors += named(f"{field}.namespace", namespace, names.label)
    return errors


class ClaimRules(Rules):
    """What is claimed stays, but for the size of what is bound."""

    has_status: bool = True
    returns_deleted: bool = True

    def default(self, obj: Object) -> None:
        """See `default_claim`."""
        default_claim(obj)

    def prepare_create(self, obj: Object) -> None:
        """Waiting for a volume."""
        obj["status"] = {"phase": "Pending"}

    def validate(self, obj: Mapping[str, Any]) -> list[FieldError]:
        """The spec."""
        return validate_spec("spec", obj.get("spec") or EMPTY)

    def validate_update(
        self, new: Mapping[str, Any], old: Mapping[str, Any], subresource: str
    ) -> list[FieldError]:
        """Comes after the spec's own rules, as upstream has it."""
        if subresource == "status":
            return _validate_status(new.get("status") or EMPTY)
        return self.validate(new) + _validate_change(new, old)

    def validates_whole_on_update(self, subresource: str) -> bool:
        """`validate_update` does."""
        return False


def _validate_status(status: Json) -> list[FieldError]:
    return [
        # upstream shows the amount as an integer of 64 bits
        invalid(
            f"status.capacity[{name}]",
            int(max(amount, Decimal(-(2**63)))),
            "must be a valid resource quantity",
        )
        for name, value in (status.get("capacity") or EMPTY).items()
        if (amount := amount_of(value)) < 0
    ]


def _size(spec: Json) -> Any:
    return ((spec.get("resources") or EMPTY).get("requests") or EMPTY).get("storage") or "0"


def _validate_change(new: Json, old: Json) -> list[FieldError]:
    spec, before = dict(new.get("spec") or EMPTY), dict(old.get("spec") or EMPTY)
    status = new.get("status") or EMPTY
    size, was = amount_of(_size(spec)), amount_of(_size(before))
    classes = spec.get("volumeAttributesClassName"), before.get("volumeAttributesClassName")
    errors: list[FieldError] = []
    # What may change, once or when the claim is bound, is made equal before the rest is compared.
    if not before.get("volumeName"):
        before["volumeName"] = spec.get("volumeName")
    if before.get("storageClassName") is None:
        before["storageClassName"] = spec.get("storageClassName")
    if status.get("phase") == "Bound":
        held = spec.get("resources") or EMPTY
        if held.get("requests"):
            requests = {**held["requests"], "storage": _size(before)}
            spec["resources"] = {**held, "requests": requests}
        if classes[0] is not None:
            spec["volumeAttributesClassName"] = classes[1]
    changed = sorted(key for key in {*spec, *before} if spec.get(key) != before.get(key))
    if changed:
        errors.append(forbidden("spec", f"{_FROZEN}\n{difference(before, spec, changed)}"))
    if size < was:
        capacity = amount_of((status.get("capacity") or EMPTY).get("storage") or "0")
        if size <= capacity:
            text = "field can not be less than status.capacity"
            errors.append(forbidden("spec.resources.requests.storage", text))
    if spec.get("volumeMode") != before.get("volumeMode"):
        errors.append(immutable("volumeMode", spec.get("volumeMode")))
    if classes[1] is not None and not classes[0]:
        to = "nil" if classes[0] is None else "an empty string"
        text = f"update from non-nil value to {to} is forbidden"
        errors.append(forbidden("spec.volumeAttributesClassName", text))
    return errors
