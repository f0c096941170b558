"""What may change of a pod that is there, through each of its endpoints.

upstream: pkg/registry/core/pod/strategy.go, pkg/apis/core/validation (ValidatePodUpdate, ValidatePodResize,
ValidatePodEphemeralContainersUpdate)
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from verger.store.invalid import FieldError, forbidden, invalid, required, show
from verger.store.objects import Object, annotations_of, meta
from verger.store.rules import scheduling
from verger.store.rules.containers import untrimmed_image
from verger.store.rules.podspecs import MIRROR
from verger.store.rules.resources import quality_of_service
from verger.store.rules.values import EMPTY, INT32_MAX, Json, amount_of

_OTHERWISE: Final = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_APPARMOR: Final = "container.apparmor.security.beta.kubernetes.io/"
_RESIZABLE: Final = ("cpu", "memory")
_LISTS: Final = ("containers", "initContainers")


def keep_from_status(new: Object, old: Json) -> None:
    """A writer of the status leaves the owners alone, and cannot forget what the server knows."""
    fields, before = new["metadata"], meta(old)
    fields.pop("ownerReferences", None)
    if owners := before.get("ownerReferences"):
        fields["ownerReferences"] = owners
    status, known = new["status"], old.get("status") or EMPTY
    for key in ("qosClass", "observedGeneration"):
        if not status.get(key) and known.get(key):
            status[key] = known[key]


def _keep_metadata(new: Object, old: Json) -> None:
    changed = new["metadata"].get("managedFields")
    fields = dict(meta(old))
    fields.pop("managedFields", None)
    new["metadata"] = {**fields, "managedFields": changed} if changed else fields


def keep_all_but_ephemeral(new: Object, old: Json) -> None:
    """Everything but the ephemeral containers stays."""
    added = (new.get("spec") or EMPTY).get("ephemeralContainers")
    new["spec"] = {**(old.get("spec") or EMPTY)}
    new["spec"].pop("ephemeralContainers", None)
    if added:
        new["spec"]["ephemeralContainers"] = added
    _keep_metadata(new, old)


def keep_all_but_resources(new: Object, old: Json) -> None:
    """Everything but what the containers ask for stays. Containers that do not match are left for validation to refuse."""
    spec, before = new.get("spec") or EMPTY, old.get("spec") or EMPTY
    if any(len(spec.get(key) or ()) != len(before.get(key) or ()) for key in _LISTS):
        return
    merged: Object = {**before}
    for key in _LISTS:
        if key in before:
            merged[key] = _with_resources(spec.get(key) or [], before[key] or [])
    new["spec"] = merged
    _keep_metadata(new, old)


def _with_resources(new: Sequence[Json], old: Sequence[Json]) -> list[Any]:
    if any(a.get("name") != b.get("name") for a, b in zip(new, old, strict=True)):
        return list(new)
    own = ("resources", "resizePolicy")
    return [
        {
            **{key: value for key, value in before.items() if key not in own},
            **{key: wanted[key] for key in own if key in wanted},
        }
        for wanted, before in zip(new, old, strict=True)
    ]


def validate_annotations(new: Mapping[str, str], old: Mapping[str, str]) -> list[FieldError]:
    """Annotations that a kubelet acted on stay as they are."""
    errors: list[FieldError] = []
    for key, value in old.items():
        if new.get(key) != value:
            errors += _fixed_annotation(key, "remove or update")
    for key in new:
        if key not in old:
            errors += _fixed_annotation(key, "add")
    return errors


def _fixed_annotation(key: str, what: str) -> list[FieldError]:
    field = f"metadata.annotations[{key}]"
    if key.startswith(_APPARMOR):
        return [forbidden(field, f"may not {what} AppArmor annotations")]
    return [forbidden(field, f"may not {what} mirror pod annotation")] if key == MIRROR else []


def validate_spec(new: Json, old: Json) -> list[FieldError]:
    """Images, a shorter deadline, more tolerations, fewer gates: nothing else changes."""
    if new == old:
        return []
    errors: list[FieldError] = []
    for key in _LISTS:
        wanted = new.get(key) or ()
        if len(wanted) != len(old.get(key) or ()):
            text = "pod updates may not add or remove containers"
            return [*errors, forbidden(f"spec.{key}", text)]
        for index, container in enumerate(wanted):
            at = f"spec.{key}[{index}]"
            if not container.get("image"):
                errors.append(required(f"{at}.image"))
            errors += untrimmed_image(at, container)
    errors += _deadline(new.get("activeDeadlineSeconds"), old.get("activeDeadlineSeconds"))
    errors += scheduling.only_added_tolerations(
        "spec.tolerations", new.get("tolerations") or [], old.get("tolerations") or []
    )
    errors += _gates(new, old)
    changed = _beyond_what_may_change(new, old)
    if changed:
        errors.append(forbidden("spec", f"{_OTHERWISE}\n{difference(old, new, changed)}"))
    return errors


def _deadline(new: int | None, old: int | None) -> list[FieldError]:
    field = "spec.activeDeadlineSeconds"
    if new is None:
        if old is None:
            return []
        return [invalid(field, None, "must not update from a positive integer to nil value")]
    if not 0 <= new <= INT32_MAX:
        return [invalid(field, new, f"must be between 0 and {INT32_MAX}, inclusive")]
    if old is not None and old < new:
        return [invalid(field, new, "must be less than or equal to previous value")]
    return []


def _gates(new: Json, old: Json) -> list[FieldError]:
    known = {gate.get("name") for gate in old.get("schedulingGates") or ()}
    return [
        forbidden(
            f"spec.schedulingGates[{index}].name",
            f"only deletion is allowed, but found new scheduling gate '{gate.get('name') or ''}'",
        )
        for index, gate in enumerate(new.get("schedulingGates") or ())
        if gate.get("name") not in known
    ]


def _beyond_what_may_change(new: Json, old: Json) -> list[str]:
    """The fields of the spec that change and may not."""
    free = {"activeDeadlineSeconds", "schedulingGates", "tolerations"}
    if (old.get("terminationGracePeriodSeconds") or 0) < 0 and new.get(
        "terminationGracePeriodSeconds"
    ) == 1:
        free.add("terminationGracePeriodSeconds")
    if old.get("schedulingGates"):
        # A pod that waits may still be told where to go.
        free |= {"nodeSelector", "affinity"}
    changed = []
    for key in sorted({*new, *old} - free):
        wanted, before = new.get(key), old.get(key)
        if key in _LISTS:
            wanted, before = _without_images(wanted), _without_images(before)
        if (wanted or None) != (before or None):
            changed.append(key)
    return changed


def _without_images(containers: Sequence[Json] | None) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in item.items() if key != "image"} for item in containers or ()
    ]


def difference(old: Json, new: Json, keys: Sequence[str]) -> str:
    """What changes, for people to read: upstream shows a comparison of its own structs here."""
    lines = []
    for key in keys:
        lines.append(f"- {key}: {show(old.get(key))}")
        lines.append(f"+ {key}: {show(new.get(key))}")
    return "\n".join(lines)


def validate_ephemeral(new: Json, old: Json) -> list[FieldError]:
    """Ephemeral containers can be added, never changed or taken away."""
    if MIRROR in annotations_of(old):
        return [forbidden("", "static pods do not support ephemeral containers")]
    field = "spec.ephemeralContainers"
    wanted = {
        item.get("name"): item
        for item in (new.get("spec") or EMPTY).get("ephemeralContainers") or ()
    }
    errors = []
    for before in (old.get("spec") or EMPTY).get("ephemeralContainers") or ():
        name = before.get("name") or ""
        after = wanted.get(name)
        what = f"existing ephemeral containers {show(name)} may not be"
        if after is None:
            errors.append(forbidden(field, f"{what} removed\n"))
        elif after != before:
            keys = sorted(key for key in {*after, *before} if after.get(key) != before.get(key))
            errors.append(forbidden(field, f"{what} changed\n{difference(before, after, keys)}"))
    return errors


def validate_resize(new: Json, old: Json) -> list[FieldError]:
    """The amounts of cpu and memory can change, within the class of the pod."""
    if MIRROR in annotations_of(old):
        return [forbidden("", "static pods cannot be resized")]
    spec, before = new.get("spec") or EMPTY, old.get("spec") or EMPTY
    if any((item.get("resources") or EMPTY) for item in (spec, before)):
        return [forbidden("", "pods with pod-level resources cannot be resized")]
    errors: list[FieldError] = []
    if quality_of_service(spec) != quality_of_service(before):
        known = (old.get("status") or EMPTY).get("qosClass") or ""
        text = "Pod QOS Class may not change as a result of resizing"
        errors.append(invalid("spec", known, text))
    for key in _LISTS:
        pairs = zip(spec.get(key) or (), before.get(key) or (), strict=False)
        for index, (wanted, was) in enumerate(pairs):
            if key == "initContainers" and was.get("restartPolicy") != "Always":
                if wanted != was:
                    text = "resources for non-sidecar init containers are immutable"
                    errors.append(forbidden("spec", text))
                continue
            errors += _resize(f"spec.{key}[{index}].resources", wanted, was)
    if errors:
        return errors
    changed = _beyond_what_resizes(spec, before)
    return [forbidden("spec", "only cpu and memory resources are mutable")] if changed else []


def _resize(field: str, new: Json, old: Json) -> list[FieldError]:
    wanted, was = new.get("resources") or EMPTY, old.get("resources") or EMPTY
    errors = [
        forbidden(f"{field}.{key}", f"resource {key} cannot be removed")
        for key in ("requests", "limits")
        if (was.get(key) or EMPTY).keys() - (wanted.get(key) or EMPTY).keys()
    ]
    policy = next(
        (
            item.get("restartPolicy")
            for item in new.get("resizePolicy") or ()
            if item.get("resourceName") == "memory"
        ),
        None,
    )
    limit = (wanted.get("limits") or EMPTY).get("memory")
    before = (was.get("limits") or EMPTY).get("memory")
    if policy != "RestartContainer" and limit is not None:
        what = "added" if before is None else "decreased"
        if before is None or amount_of(limit) < amount_of(before):
            text = f"memory limits cannot be {what} unless resizePolicy is RestartContainer"
            errors.append(forbidden(f"{field}.limits[memory]", text))
    return errors


def _beyond_what_resizes(new: Json, old: Json) -> bool:
    def rest(spec: Json) -> dict[str, Any]:
        out = dict(spec)
        for key in _LISTS:
            out[key] = [_without_amounts(item) for item in spec.get(key) or ()]
        return out

    return rest(new) != rest(old)


def _without_amounts(container: Json) -> dict[str, Any]:
    held = container.get("resources") or EMPTY
    return {
        **container,
        "resources": {
            kind: {name: value for name, value in amounts.items() if name not in _RESIZABLE}
            for kind, amounts in held.items()
            if isinstance(amounts, Mapping)
        },
    }
