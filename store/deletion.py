"""What a deletion makes of an object: nothing, a mark, less time to end, or an end at once.

The mark is set once, and the time to end that comes with it can only be shortened.

upstream: apiserver/pkg/registry/rest/delete.go (BeforeDelete), apiserver/pkg/registry/generic/registry/store.go
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from verger.store.objects import (
    FINALIZER_FOREGROUND,
    FINALIZER_ORPHAN,
    Object,
    finalizers_of,
    is_terminating,
    meta,
    ordered_meta,
    without,
)
from verger.store.request import DeleteOptions
from verger.store.rules import Rules
from verger.store.timestamps import format_time, parse


class Deletion(NamedTuple):
    """`new` is to be stored, when there is anything new; then the object goes, if it is `gone`."""

    new: Object | None
    gone: bool


def deletion(rules: Rules, old: Mapping[str, Any], options: DeleteOptions, now: float) -> Deletion:
    """What becomes of a stored object that is deleted now, in seconds since the epoch."""
    before = meta(old)
    asked = options.grace_seconds
    if asked is not None and asked < 0:
        asked = 1  # upstream: a moment, for what cannot be meant
    left = before.get("deletionGracePeriodSeconds") or 0
    if left:
        if asked is None or asked >= left:
            return Deletion(None, gone=False)
        grace: int | None = asked
    else:
        grace = None if is_terminating(old) else rules.grace_seconds(old, asked)
    finalizers = _finalizers_after(rules, finalizers_of(old), options)
    held = bool(finalizers) or rules.held(old)
    if grace is None and not held:
        return Deletion(None, gone=True)
    new = dict(old)
    new["metadata"] = fields = {**before, "finalizers": finalizers}
    if not is_terminating(old):
        fields["deletionTimestamp"] = format_time(now + (grace or 0))
        if before.get("generation"):
            fields["generation"] = before["generation"] + 1
        rules.mark_deleted(new)
        if grace:
            fields["deletionGracePeriodSeconds"] = grace
    elif grace is not None:
        end = parse(before["deletionTimestamp"])
        fields["deletionTimestamp"] = format_time(end - left + grace)
        fields["deletionGracePeriodSeconds"] = grace
    new["metadata"] = ordered_meta(fields)
    return Deletion(new if new != old else None, gone=not held and not grace)


def _finalizers_after(rules: Rules, finalizers: list[str], options: DeleteOptions) -> list[str]:
    """What holds the object after a delete: dependents are handled by finalizers of their own."""
    if not rules.collects_dependents:
        return finalizers
    match options.propagation:
        case "Orphan":
            kept = without(finalizers, FINALIZER_FOREGROUND)
            return kept if FINALIZER_ORPHAN in kept else [*kept, FINALIZER_ORPHAN]
        case "Foreground":
            kept = without(finalizers, FINALIZER_ORPHAN)
            return kept if FINALIZER_FOREGROUND in kept else [*kept, FINALIZER_FOREGROUND]
        case "Background":
            return without(finalizers, FINALIZER_ORPHAN, FINALIZER_FOREGROUND)
        case _:
            return finalizers
