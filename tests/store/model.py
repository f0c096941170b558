"""What the store does, as slowly and plainly as it can be said: the reference that the real one is compared with.

Nothing is optimised and nothing waits: the past is worked out anew from the list of all changes whenever it is asked
for. Objects are plain dicts that are never changed once they stand in a change.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from verger.store.errors import AlreadyExists, ApiError, Conflict, Invalid, NotFound
from verger.store.timestamps import format_time

Obj = Mapping[str, Any]
Key = tuple[str, str]
"""Namespace and name."""
Test = Callable[[Obj], bool]
"""Whether an object is selected."""

GC_FINALIZERS: Final = ("orphan", "foregroundDeletion")


class Traits(NamedTuple):
    """What the model has to know of a kind."""

    api_version: str
    kind: str
    content: str
    """The field that holds what clients store."""
    unconditional_update: bool = True
    create_on_update: bool = False
    counts_generation: bool = False


class Wish(NamedTuple):
    """What a client wants an object to be."""

    value: str
    labels: tuple[tuple[str, str], ...]
    finalizers: tuple[str, ...]


class Claim(NamedTuple):
    """What a client says about the object that is there, and whether it means it."""

    uid: str
    revision: str
    dry_run: bool


class Change(NamedTuple):
    """One committed change. `after` is None for a deletion, and `shown` is what its event carries."""

    revision: int
    time: float
    kind: str
    key: Key
    before: Obj | None
    after: Obj | None
    shown: Obj


class Refused(Exception):
    """The write is refused with an error of that class."""

    def __init__(self, error: type[ApiError]) -> None:
        super().__init__(error.__name__)
        self.error = error


def sort_key(key: Key) -> str:
    """Keys are in the order of `namespace/name`."""
    return "/".join(key)


def _stamped(obj: Obj, revision: int) -> Obj:
    return {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(revision)}}


@dataclass
class Model:
    """A store that remembers everything, and knows what the real one may have forgotten."""

    traits: Mapping[str, Traits]
    revision: int
    window: float
    limit: int
    time: float
    """Seconds since the epoch."""
    elapsed: float
    """Seconds on the clock that measures the window."""
    compacted: int = field(init=False)
    changes: list[Change] = field(default_factory=list)
    forgotten: int = 0
    """How many changes have left the window."""

    def __post_init__(self) -> None:
        self.compacted = self.revision

    # The past

    def state(self, kind: str, namespace: str = "", at: int | None = None) -> dict[Key, Obj]:
        """The objects at a revision, in order."""
        found: dict[Key, Obj] = {}
        for change in self.changes:
            if change.kind == kind and (at is None or change.revision <= at):
                found.pop(change.key, None)
                if change.after is not None:
                    found[change.key] = change.after
        in_order = sorted(found, key=sort_key)
        return {key: found[key] for key in in_order if namespace in ("", key[0])}

    def selected(
        self, kind: str, namespace: str, test: Test, at: int | None = None
    ) -> dict[Key, Obj]:
        """The objects of a selection at a revision, in order."""
        found = self.state(kind, namespace, at)
        return {key: obj for key, obj in found.items() if test(obj)}

    def events(self, kind: str, namespace: str, test: Test, after: int) -> list[tuple[str, Obj]]:
        """What a watch of a selection sees of the changes after a revision: entering is ADDED, leaving is DELETED."""
        out: list[tuple[str, Obj]] = []
        for change in self.changes:
            here = change.kind == kind and namespace in ("", change.key[0])
            if not here or change.revision <= after:
                continue
            was = change.before is not None and test(change.before)
            if change.after is not None and test(change.after):
                out.append(("MODIFIED" if was else "ADDED", change.shown))
            elif was and change.before is not None:
                # The old content under the new revision.
                out.append(("DELETED", _stamped(change.before, change.revision)))
        return out

    def forget(self) -> None:
        """Lets go of what is older than the window, or too much."""
        for change in self.changes[self.forgotten :]:
            too_many = len(self.changes) - self.forgotten > self.limit
            if not too_many and change.time >= self.elapsed - self.window:
                break
            self.forgotten += 1
            self.compacted = change.revision

    def compact(self, revision: int) -> None:
        """Lets go of everything up to a revision."""
        self.forgotten += sum(item.revision <= revision for item in self.changes[self.forgotten :])
        self.compacted = max(self.compacted, min(revision, self.revision))

    # Writes. Each returns what the client is answered with.

    def create(self, kind: str, key: Key, wish: Wish, *, uid: str, dry_run: bool) -> Obj:
        """A new object. `uid` is the one that the real store has drawn."""
        if key in self.state(kind):
            raise Refused(AlreadyExists)
        traits = self.traits[kind]
        metadata: dict[str, Any] = {"name": key[1], "namespace": key[0], "uid": uid}
        metadata["creationTimestamp"] = format_time(self.time)
        if traits.counts_generation:
            metadata["generation"] = 1
        if wish.labels:
            metadata["labels"] = dict(wish.labels)
        if wish.finalizers:
            metadata["finalizers"] = [*wish.finalizers]
        obj = {
            "kind": traits.kind,
            "apiVersion": traits.api_version,
            "metadata": metadata,
            traits.content: {"value": wish.value},
        }
        return obj if dry_run else self.commit(kind, key, None, obj)

    def update(self, kind: str, key: Key, wish: Wish, claim: Claim, *, uid: str) -> Obj:
        """A replacement; of nothing, a creation where the kind allows it, with that uid."""
        traits = self.traits[kind]
        old = self.state(kind).get(key)
        if claim.uid not in ("", old["metadata"]["uid"] if old else ""):
            raise Refused(Conflict)
        if old is None:
            if not traits.create_on_update:
                raise Refused(NotFound)
            return self.create(kind, key, wish, uid=uid, dry_run=claim.dry_run)
        if claim.revision in ("", "0") and not traits.unconditional_update:
            raise Refused(Invalid)
        return self.modify(kind, key, wish, claim)

    def modify(self, kind: str, key: Key, wish: Wish, claim: Claim) -> Obj:
        """A change of what is there, as a patch makes it, or an update that was found in order."""
        old = self.state(kind).get(key)
        if old is None:
            raise Refused(NotFound)
        before, traits = old["metadata"], self.traits[kind]
        if claim.revision not in ("", "0", before["resourceVersion"]):
            raise Refused(Conflict)
        if claim.uid not in ("", before["uid"]):
            raise Refused(Invalid)
        terminating = "deletionTimestamp" in before
        if terminating and set(wish.finalizers) - set(before.get("finalizers", ())):
            raise Refused(Invalid)
        after = {k: v for k, v in before.items() if k not in ("labels", "finalizers")}
        if wish.labels:
            after["labels"] = dict(wish.labels)
        if wish.finalizers:
            after["finalizers"] = [*wish.finalizers]
        content = {"value": wish.value}
        if traits.counts_generation and content != old[traits.content]:
            after["generation"] += 1
        new = {**old, traits.content: content, "metadata": after}
        if new == old:
            return old
        if terminating and not wish.finalizers:
            if not claim.dry_run:
                self.commit(kind, key, old, None)
            return new
        return new if claim.dry_run else self.commit(kind, key, old, new)

    def delete(self, kind: str, key: Key, propagation: str, claim: Claim) -> tuple[Obj, bool]:
        """A deletion: the last state, and whether the object is gone."""
        old = self.state(kind).get(key)
        if old is None:
            raise Refused(NotFound)
        before = old["metadata"]
        if claim.uid not in ("", before["uid"]):
            raise Refused(Conflict)
        if claim.revision not in ("", before["resourceVersion"]):
            raise Refused(Conflict)
        finalizers = [*before.get("finalizers", ())]
        wanted = {"Orphan": "orphan", "Foreground": "foregroundDeletion"}.get(propagation)
        if propagation:
            unwanted = {*GC_FINALIZERS} - {wanted}
            finalizers = [name for name in finalizers if name not in unwanted]
        if wanted and wanted not in finalizers:
            finalizers.append(wanted)
        if not finalizers:
            return (old if claim.dry_run else self.commit(kind, key, old, None)), True
        after = {**before, "finalizers": finalizers}
        if "deletionTimestamp" not in before:
            after["deletionTimestamp"] = format_time(self.time)
            after["deletionGracePeriodSeconds"] = 0
            if "generation" in before:
                after["generation"] += 1
        new = {**old, "metadata": after}
        if new == old:
            return old, False
        return (new if claim.dry_run else self.commit(kind, key, old, new)), False

    def commit(self, kind: str, key: Key, before: Obj | None, after: Obj | None) -> Obj:
        """Writes a change into the history; returns the object as its event shows it."""
        self.revision += 1
        last = before if after is None else after
        assert last is not None
        shown = _stamped(last, self.revision)
        kept = None if after is None else shown
        self.changes.append(Change(self.revision, self.elapsed, kind, key, before, kept, shown))
        self.forget()
        return shown
