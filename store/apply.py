"""Server-side apply, and who owns which fields of an object.

Ownership is a set of paths for each manager: a path that names a leaf, a key of a map, an item of a list, or such a
container itself. What the type says decides where paths end (`shapes`): a list that is atomic is one path, one that is
a map has paths for its items and for what is in them.

An update (also a create, or a patch of the older sorts) has only an outcome. Its manager comes to own what is added or
different in it, and all others lose that, and what has gone. An apply has an intent: the applied object is all that its
manager wants to own. It is merged into the live one; what the manager owned before and does not mention now is taken
out unless somebody else owns it; a value that differs from what another manager owns is a conflict, unless it is forced,
and then the other loses it. Managers that set a field to the same value share it.

What must stay true:

1. An applied value ends up in the object, and its path in the applier's set, or nothing happens at all.
2. What nobody else owns goes when its applier gives it up; what somebody else owns stays.
3. A path that an update changes has one owner afterwards: the manager of the update.
4. Applying the same again changes nothing, times included.
5. Nobody owns what is the server's: NEVER_OWNED, and what an endpoint resets.

Everything here is a pure function of JSON-shaped objects: none is changed, and results share parts with them.

upstream: structured-merge-diff, merge/update.go; apimachinery/pkg/util/managedfields/internal
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson
from verger.store.comparing import (
    Change,
    ShapeError,
    compare,
    reconciled,
    same,
    set_by,
    specified,
)
from verger.store.fieldsets import NOTHING, FieldSet, FieldSetError, Path, render
from verger.store.invalid import quote
from verger.store.managedfields import (
    Entry,
    Identity,
    Owner,
    Owners,
    capped,
    identify,
    is_reset,
    new_entry,
    read,
    read_foreign,
    write,
)
from verger.store.merging import Emptied, merge, problems, prune
from verger.store.objects import annotations_of, encode, meta
from verger.store.shapes import Shape

_TYPE: Final = ("apiVersion", "kind")
_SERVER_METADATA: Final = (
    "clusterName",
    "creationTimestamp",
    "generation",
    "managedFields",
    "name",
    "namespace",
    "resourceVersion",
    "selfLink",
    "uid",
)
NEVER_OWNED: Final = FieldSet.named(
    *_TYPE, "metadata", *(f"metadata.{name}" for name in _SERVER_METADATA)
)
"""upstream: apimachinery/pkg/util/managedfields/internal/stripmeta.go"""

BEFORE_FIRST_APPLY: Final = "before-first-apply"
"""The manager that owns what was there when an object that is not tracked is applied to."""
UNKNOWN: Final = "unknown"
"""The manager of updates by nobody in particular."""
KUBECTL: Final = "kubectl"
"""The applier that takes over from its own client-side apply, and keeps its annotation up to date."""
LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
MAX_ANNOTATIONS: Final = 256 * 1024
"""Bytes. upstream: apimachinery/pkg/api/validation, TotalAnnotationSizeLimitB"""


class ApplyError(Exception):
    """The applied object cannot be taken for what it is meant to be."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.message = message
        """The whole message that the client gets."""
        self.code = code
        """The HTTP status that follows: 400, or 500 for a mistake that upstream answers so, without a reason."""


class Conflict(NamedTuple):
    """A field that is applied with another value than its owner gave it."""

    owner: Identity
    path: Path

    @property
    def who(self) -> str:
        """The owner as messages name it; of an updater with its version."""
        text = quote(self.owner.manager)
        if self.owner.subresource:
            text += f" with subresource {quote(self.owner.subresource)}"
        return f"{text} using {self.owner.api_version}" if self.owner.api_version else text

    def cause(self) -> dict[str, str]:
        """The entry under `details.causes`."""
        return {
            "reason": "FieldManagerConflict",
            "message": f"conflict with {self.who}",
            "field": render(self.path),
        }


class ApplyConflict(Exception):
    """Others own fields that are applied with other values, and the apply is not forced."""

    def __init__(self, conflicts: Sequence[Conflict]) -> None:
        self.conflicts = tuple(conflicts)
        """By owner, then in the order of paths."""
        if len(conflicts) == 1:
            lines = [
                f"Apply failed with 1 conflict: conflict with {conflicts[0].who}: {render(conflicts[0].path)}"
            ]
        else:
            lines = [f"Apply failed with {len(conflicts)} conflicts: "]
            for who in dict.fromkeys(conflict.owner for conflict in conflicts):
                theirs = [conflict for conflict in conflicts if conflict.owner == who]
                lines.append(f"conflicts with {theirs[0].who}:")
                lines += [f"- {render(conflict.path)}" for conflict in theirs]
        self.message = lines[0] + "\n".join(lines[1:])
        """The whole message that the client gets."""
        super().__init__(self.message)

    def causes(self) -> list[dict[str, str]]:
        """What stands under `details.causes`."""
        return [conflict.cause() for conflict in self.conflicts]


class Applied(NamedTuple):
    """The outcome of an apply."""

    object: dict[str, Any]
    """The object, its metadata without managedFields. What was applied stands there as it was applied: quantities and
    times not yet in their one spelling, and null where the applier said null.
    """
    managed_fields: list[Entry]


def track_update(
    old: Mapping[str, Any] | None,
    new: Mapping[str, Any],
    *,
    shape: Shape,
    manager: str,
    api_version: str,
    time: str,
    subresource: str = "",
    reset: FieldSet = NOTHING,
) -> list[Entry]:
    """The managedFields of `new` after it has taken the place of `old` (None: it is created); none is an empty list.

    Both are in the version of the request. `new` is what the client wants, with defaults; its own managedFields are the
    client's, and count on the main resource alone: [] and [{}] wipe what is known, absent or malformed ones keep it,
    others replace it. `reset` are the fields that the endpoint ignores. An object without managedFields stays without:
    tracking starts when it is created.
    """
    live = _entries(old)
    owners, given = _tracked(live, None if subresource else meta(new).get("managedFields"))
    if old is not None and not owners:
        return []
    owners = _reconciled(owners, shape)
    try:
        change = compare(shape, old or {}, new)
    except ShapeError:
        return live  # such an object cannot be tracked, but it is no reason to refuse it
    change = change.without(reset)
    taken = change.taken
    if not taken and not change.removed:
        return write(owners) if given else live
    owners = _after(owners, change)
    mine = taken - NEVER_OWNED
    if mine:
        identity = identify(manager or UNKNOWN, "Update", api_version, subresource)
        before = owners.get(identity)
        fields = before.fields | mine if before is not None else mine
        owners[identity] = Owner(identity, api_version, time, fields)
    elif not given and len(owners) == len(live) and all(o.entry for o in owners.values()):
        return live  # only what is the server's has changed
    return write(capped(owners))


def track_create(
    new: Mapping[str, Any],
    *,
    shape: Shape,
    manager: str,
    api_version: str,
    time: str,
    reset: Collection[str] = (),
) -> list[Entry]:
    """The managedFields of an object that is created: all that it says is its creator's.

    The same as an update of nothing, but for `reset`, which names fields of the object as a whole; this is on the way
    of every create.
    """
    said = {name: value for name, value in new.items() if name not in reset and name not in _TYPE}
    said["metadata"] = {
        name: value for name, value in meta(new).items() if name not in _SERVER_METADATA
    }
    try:
        fields = set_by(shape, said)
    except ShapeError:
        return []
    return [new_entry(manager or UNKNOWN, "Update", api_version, time, fields)] if fields else []


def _entries(obj: Mapping[str, Any] | None) -> list[Entry]:
    return (meta(obj).get("managedFields") if obj is not None else None) or []


def _tracked(live: list[Entry], wanted: Any) -> tuple[Owners, bool]:
    """The owners to go on with, and whether they are as the client says."""
    if wanted is None or (live and wanted == live):
        return read(live), False
    if is_reset(wanted):
        return {}, True
    try:
        given = read_foreign(wanted)
    except FieldSetError:
        given = {}
    return (given, True) if given else (read(live), False)


def _reconciled(owners: Owners, shape: Shape) -> Owners:
    if not shape.changes:
        return owners
    return {
        identity: owner.owning(reconciled(shape, owner.fields))
        for identity, owner in owners.items()
    }


def _after(owners: Owners, change: Change) -> Owners:
    """What is left to the owners of an object that somebody else has changed."""
    touched = change.taken | change.removed
    out: Owners = {}
    for identity, owner in owners.items():
        left = owner.owning(owner.fields - touched)
        if left.fields:
            out[identity] = left
    return out


def apply(
    live: Mapping[str, Any] | None,
    patch: Mapping[str, Any],
    *,
    shape: Shape,
    manager: str,
    api_version: str,
    kind: str,
    time: str,
    force: bool = False,
    subresource: str = "",
    reset: FieldSet = NOTHING,
) -> Applied:
    """Applies an object to the live one (in the version of the request; None: there is none yet).

    When nothing changes, the entries are the live ones, times included. `reset` are the fields that the endpoint
    ignores: nobody comes to own them by it. Raises ApplyConflict and ApplyError.
    """
    _check_patch(patch, shape, api_version, kind)
    entries = _entries(live)
    if live is not None and not entries:
        entries = track_update(
            None,
            live,
            shape=shape,
            manager=BEFORE_FIRST_APPLY,
            api_version=api_version,
            time=time,
            subresource=subresource,
            reset=reset,
        )
    others = _reconciled(read(entries), shape)
    identity = identify(manager, "Apply", api_version, subresource)
    before = others.pop(identity, None)
    known: Mapping[str, Any] = live if live is not None else {}
    try:
        wanted = specified(shape, patch).without(reset)
        merged = left = merge(shape, known, patch)
        emptied: Emptied = []
        if before is not None:
            owned = wanted
            for owner in others.values():
                owned |= owner.fields
            left, emptied = prune(shape, merged, before.fields, owned)
        change = compare(shape, known, left).without(reset)
    except ShapeError as error:
        where = _where(known, api_version, kind)
        raise ApplyError(f"failed to create typed live object ({where}): {error}", 500) from None
    if not force:
        _refuse_conflicts(known, others, change.taken, shape=shape, applier=(manager, api_version))
    for container, name in emptied:
        del container[name]
    if left is not merged:
        # What is applied as an empty map or list is there all the same.
        left = merge(shape, left, patch)
    unchanged = live is not None and same(live, left)
    owners = _after(others, change)
    if mine := wanted - NEVER_OWNED:
        owners[identity] = Owner(identity, api_version, time, mine)
        if (
            unchanged
            and before is not None
            and (before.api_version, before.fields) == (api_version, mine)
        ):
            owners[identity] = before
    obj = {**left, "metadata": _unmanaged(meta(left))}
    if manager == KUBECTL and annotations_of(obj).get(LAST_APPLIED):
        obj["metadata"]["annotations"] = _annotated(annotations_of(obj), patch)
    return Applied(obj, entries if unchanged and owners == read(entries) else write(owners))


def _unmanaged(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in metadata.items() if key != "managedFields"}


def _check_patch(patch: Mapping[str, Any], shape: Shape, api_version: str, kind: str) -> None:
    """Whether it is an object of the kind that can be applied. Raises ApplyError."""
    given = patch.get("apiVersion"), patch.get("kind")
    if given != (api_version, kind):
        raise ApplyError(f"invalid object type: {_gvk(*given)}", 400)
    metadata = patch.get("metadata")
    if isinstance(metadata, Mapping) and isinstance(metadata.get("managedFields"), list):
        raise ApplyError("metadata.managedFields must be nil", 400)
    if found := problems(shape, patch):
        text = found[0] if len(found) == 1 else "\n  ".join(["errors:", *found])
        where = _where(patch, api_version, kind)
        raise ApplyError(f"failed to create typed patch object ({where}): {text}", 500)


def _gvk(api_version: Any, kind: Any) -> str:
    """A kind as Go prints it: the group before a slash, if only an empty one."""
    version, name = (text if isinstance(text, str) else "" for text in (api_version, kind))
    return f"{version if '/' in version else f'/{version}'}, Kind={name}"


def _where(obj: Mapping[str, Any], api_version: str, kind: str) -> str:
    metadata = meta(obj) if isinstance(meta(obj), Mapping) else {}
    return (
        f"{metadata.get('namespace') or ''}/{metadata.get('name') or ''}; {_gvk(api_version, kind)}"
    )


def _refuse_conflicts(
    live: Mapping[str, Any],
    others: Owners,
    taken: FieldSet,
    *,
    shape: Shape,
    applier: tuple[str, str],
) -> None:
    conflicts = [
        Conflict(identity, path)
        for identity in sorted(others)
        for path in (others[identity].fields & taken).paths()
    ]
    if not conflicts:
        return
    manager, api_version = applier
    if manager == KUBECTL:
        # What kubectl has set by itself before, and has not changed since, is not somebody else's.
        own = _applied_by_client(live, shape, api_version)
        conflicts = [conflict for conflict in conflicts if conflict.path not in own]
    if conflicts:
        raise ApplyConflict(conflicts)


def _applied_by_client(live: Mapping[str, Any], shape: Shape, api_version: str) -> FieldSet:
    """The fields that still are as the annotation of client-side apply says."""
    try:
        last = orjson.loads(annotations_of(live).get(LAST_APPLIED) or "null")
        if not isinstance(last, dict) or last.get("apiVersion") != api_version:
            return NOTHING
        if problems(shape, last):
            return NOTHING
        change = compare(shape, last, live)
        return specified(shape, last) - change.added - change.changed - change.removed
    except (orjson.JSONDecodeError, ShapeError):
        return NOTHING


def _annotated(annotations: Mapping[str, str], patch: Mapping[str, Any]) -> dict[str, str]:
    """The annotations with the patch as what was applied last, or without it when that would be too large."""
    metadata = dict(meta(patch))
    if metadata.get("annotations") is not None:
        metadata["annotations"] = {
            key: value for key, value in metadata["annotations"].items() if key != LAST_APPLIED
        }
    text = orjson.dumps({**patch, "metadata": metadata}, option=orjson.OPT_SORT_KEYS)
    out = {**annotations, LAST_APPLIED: f"{encode(orjson.loads(text)).decode()}\n"}
    if sum(len(key.encode()) + len(value.encode()) for key, value in out.items()) > MAX_ANNOTATIONS:
        del out[LAST_APPLIED]
    return out
