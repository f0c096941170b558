"""The rules of `metadata` that every kind shares, with upstream's messages.

upstream: apimachinery/pkg/api/validation/objectmeta.go
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import orjson
from verger.store import names
from verger.store.invalid import (
    FieldError,
    forbidden,
    immutable,
    invalid,
    quote,
    required,
    too_long,
)
from verger.store.objects import FINALIZER_FOREGROUND, FINALIZER_ORPHAN

ANNOTATIONS_MAX: Final = 256 * 1024
"""Bytes of all keys and values together."""
STANDARD_FINALIZERS: Final = frozenset({"kubernetes", FINALIZER_ORPHAN, FINALIZER_FOREGROUND})
FIELD_MANAGER_MAX: Final = 128

NameRule = Callable[[str], list[str]]


def validate(
    meta: Mapping[str, Any],
    *,
    namespaced: bool,
    name_rule: NameRule,
    prefix_rule: NameRule | None = None,
    plain_finalizers: bool = False,
) -> list[FieldError]:
    """What is wrong with the metadata of an object that is to be stored.

    `prefix_rule` judges generateName; without one, `name_rule` judges it with a trailing dash replaced by a letter.
    `plain_finalizers`: a finalizer may have a name without a path.
    """
    errors: list[FieldError] = []
    name = meta.get("name") or ""
    if base := meta.get("generateName"):
        if prefix_rule is not None:
            complaints = prefix_rule(base)
        else:
            # What follows the dash is a letter or a digit: judge the name that comes of it.
            complaints = name_rule(f"{base[:-1]}a" if base.endswith("-") else base)
        errors += [invalid("metadata.generateName", base, text) for text in complaints]
    if not name:
        errors.append(required("metadata.name", "name or generateName is required"))
    else:
        errors += [invalid("metadata.name", name, text) for text in name_rule(name)]
    namespace = meta.get("namespace") or ""
    if namespaced:
        # Its form was judged when the namespace itself was created.
        if not namespace:
            errors.append(required("metadata.namespace"))
    elif namespace:
        errors.append(forbidden("metadata.namespace", "not allowed on this type"))
    if (meta.get("generation") or 0) < 0:
        errors.append(
            invalid("metadata.generation", meta["generation"], "must be greater than or equal to 0")
        )
    errors += _common(meta)
    finalizers = meta.get("finalizers")
    if finalizers:
        errors += _finalizers(finalizers)
        if not plain_finalizers:
            errors += standard_finalizers("metadata.finalizers", finalizers)
    return errors


def validate_update(new: Mapping[str, Any], old: Mapping[str, Any]) -> list[FieldError]:
    """What is wrong with how the metadata of a stored object is to change."""
    errors: list[FieldError] = []
    if old.get("deletionTimestamp"):
        known = old.get("finalizers") or ()
        added = [item for item in new.get("finalizers") or () if item not in known]
        if added:
            shown = ", ".join(quote(item) for item in sorted({*added}))
            errors.append(
                forbidden(
                    "metadata.finalizers",
                    "no new finalizers can be added if the object is being deleted, found new finalizers "
                    f"[]string{{{shown}}}",
                )
            )
    errors += [
        immutable(f"metadata.{field}", new.get(field))
        for field in (
            "name",
            "namespace",
            "uid",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
        )
        if new.get(field) != old.get(field)
    ]
    errors += _common(new)
    return errors


def _common(meta: Mapping[str, Any]) -> list[FieldError]:
    errors: list[FieldError] = []
    if labels := meta.get("labels"):
        errors += validate_labels("metadata.labels", labels)
    if annotations := meta.get("annotations"):
        errors += _annotations(annotations)
    if owners := meta.get("ownerReferences"):
        errors += _owner_references(owners)
    return errors


def validate_labels(field: str, labels: Mapping[str, str]) -> list[FieldError]:
    """What is wrong with a map of labels."""
    errors: list[FieldError] = []
    for key, value in labels.items():
        errors += [invalid(field, key, text) for text in names.qualified(key)]
        errors += [invalid(field, value, text) for text in names.label_value(value)]
    return errors


def _annotations(annotations: Mapping[str, str]) -> list[FieldError]:
    field = "metadata.annotations"
    errors: list[FieldError] = []
    size = 0
    for key, value in annotations.items():
        errors += [invalid(field, key, text) for text in names.qualified(key.lower())]
        size += len(key.encode()) + len(value.encode())
    if size > ANNOTATIONS_MAX:
        errors.append(too_long(field, ANNOTATIONS_MAX))
    return errors


def _owner_references(owners: Sequence[Mapping[str, Any]]) -> list[FieldError]:
    field = "metadata.ownerReferences"
    errors: list[FieldError] = []
    controllers: list[str] = []
    for owner in owners:
        api_version, kind = owner.get("apiVersion") or "", owner.get("kind") or ""
        if not api_version.rpartition("/")[2]:
            errors.append(invalid(f"{field}.apiVersion", api_version, "version must not be empty"))
        errors += [
            invalid(f"{field}.{key}", "", "must not be empty")
            for key in ("kind", "name", "uid")
            if not owner.get(key)
        ]
        if kind == "Event" and api_version == "v1":
            errors.append(
                invalid(field, dict(owner), "/v1, Kind=Event is disallowed from being an owner")
            )
        if owner.get("controller"):
            controllers.append(f"{kind}/{owner.get('name') or ''}")
            if len(controllers) > 1:
                errors.append(
                    invalid(
                        field,
                        [dict(item) for item in owners],
                        'Only one reference can have Controller set to true. Found "true" in references for '
                        f"{controllers[0]} and {controllers[-1]}",
                    )
                )
    return errors


def distinct_owners(
    owners: Sequence[Mapping[str, Any]],
) -> tuple[list[Mapping[str, Any]], list[str]]:
    """Owner references without those that are there twice, and the uids of those."""
    kept = []
    repeated = []
    seen: set[bytes] = set()
    for owner in owners:
        known = orjson.dumps(owner, option=orjson.OPT_SORT_KEYS)
        if known in seen:
            repeated.append(str(owner.get("uid") or ""))
        else:
            seen.add(known)
            kept.append(owner)
    return kept, repeated


def _finalizers(finalizers: Sequence[str]) -> list[FieldError]:
    field = "metadata.finalizers"
    errors: list[FieldError] = []
    for name in finalizers:
        errors += [invalid(field, name, text) for text in names.qualified(name)]
    if FINALIZER_ORPHAN in finalizers and FINALIZER_FOREGROUND in finalizers:
        errors.append(
            invalid(
                field,
                list(finalizers),
                f"finalizer {FINALIZER_ORPHAN} and {FINALIZER_FOREGROUND} cannot be both set",
            )
        )
    return errors


def standard_finalizers(field: str, finalizers: Sequence[str]) -> list[FieldError]:
    """Finalizers without a domain must be one of the known three."""
    return [
        invalid(
            f"{field}[{index}]",
            name,
            "name is neither a standard finalizer name nor is it fully qualified",
        )
        for index, name in enumerate(finalizers)
        if "/" not in name and name not in STANDARD_FINALIZERS
    ]


def validate_field_manager(manager: str) -> list[FieldError]:
    """What is wrong with the name of a field manager."""
    if len(manager.encode()) > FIELD_MANAGER_MAX:
        return [too_long("fieldManager", FIELD_MANAGER_MAX)]
    errors = []
    position = 0  # in bytes
    for char in manager:
        if not char.isprintable():
            text = f"invalid character U+{ord(char):04X} (at position {position})"
            errors.append(invalid("fieldManager", manager, text))
        position += len(char.encode())
    return errors
