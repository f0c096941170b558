"""The one order of changes that a history tells of, rebuilt from acknowledged writes and watches that saw everything.

Every change has one revision, so the order is revealed and need not be searched for. Evidence that contradicts itself
is kept, for a validator to report.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import NamedTuple

from tests.histories.history import (
    TRUTH,
    History,
    Key,
    Object,
    Operation,
    Selection,
    is_terminating,
    key_of,
    mark_of,
    revision_of,
    uid_of,
)
from tests.histories.model import is_removal, outcome


class Change(NamedTuple):
    """One committed change. Of a deletion, `object` is None."""

    revision: int
    key: Key
    object: Object | None
    previous: Object | None


class Seen(NamedTuple):
    """A change as a watcher is to see it."""

    revision: int
    type: str
    object: Object
    key: Key


class Replay:
    """The states that a history went through."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.contradictions: list[str] = []
        self.changes = self._rebuilt(self._evidence())
        self.revisions = [change.revision for change in self.changes]
        self.timelines: dict[Key, list[Change]] = defaultdict(list)
        for change in self.changes:
            self.timelines[change.key].append(change)
        self.removals: dict[str, list[int]] = defaultdict(list)
        """The revisions of deletions, by uid."""
        for change in self.changes:
            if change.object is None and change.previous is not None:
                self.removals[uid_of(change.previous)].append(change.revision)
        self.causes: dict[int, list[Operation]] = defaultdict(list)
        """The operations that each revision is the work of: exactly one, if all is well."""
        self.without_effect: list[Operation] = []
        """Operations that were acknowledged as changes and that no revision shows."""
        self._explain()
        self._acknowledged = _steps(
            (operation.returned, revision)
            for revision, operations in self.causes.items()
            for operation in operations
            if operation.returned is not None
        )
        self._called = _steps(
            (operation.call, revision)
            for revision, operations in self.causes.items()
            for operation in operations
        )

    # What happened

    def _evidence(self) -> dict[int, tuple[Key, Object | None]]:
        found: dict[int, tuple[Key, Object | None]] = {}

        def add(revision: int, key: Key, obj: Object | None, source: str) -> None:
            if found.setdefault(revision, (key, obj)) != (key, obj):
                self.contradictions.append(f"{source} disagrees with others about {revision}")

        for session in self.history.sessions:
            if session.watcher.startswith(TRUTH):
                for item in session.events:
                    key = key_of(session.selection.resource, item.object)
                    obj = None if item.type == "DELETED" else item.object
                    add(item.revision, key, obj, session.watcher)
        for operation in self.history.operations:
            answer = operation.answer
            if operation.verb == "get" or operation.status not in (200, 201):
                continue
            if answer.get("kind") == "Status" or is_removal(answer):
                continue
            if mark_of(answer) == operation.mark or operation.verb == "delete":
                add(revision_of(answer), operation.key, answer, operation.mark)
        return found

    @staticmethod
    def _rebuilt(evidence: Mapping[int, tuple[Key, Object | None]]) -> list[Change]:
        current: dict[Key, Object | None] = {}
        changes = []
        for revision in sorted(evidence):
            key, obj = evidence[revision]
            changes.append(Change(revision, key, obj, current.get(key)))
            current[key] = obj
        return changes

    def state_before(self, key: Key, revision: int) -> Object | None:
        """The object as it was just before a revision."""
        timeline = self.timelines.get(key, [])
        index = bisect_left(timeline, revision, key=lambda change: change.revision)
        return timeline[index - 1].object if index else None

    def state(self, selection: Selection, revision: int) -> list[Object]:
        """The objects of a selection at a revision, in the order of their keys."""
        out = []
        for key in sorted(self.timelines):
            if key[0] == selection.resource:
                obj = self.state_before(key, revision + 1)
                if selection.matches(key, obj) and obj is not None:
                    out.append(obj)
        return out

    def seen(self, selection: Selection, after: int, upto: int | None = None) -> list[Seen]:
        """The changes after a revision, up to another, as a watcher of the selection is to see them."""
        begin = bisect_right(self.revisions, after)
        end = len(self.revisions) if upto is None else bisect_right(self.revisions, upto)
        return [
            seen
            for change in self.changes[begin:end]
            if (seen := _seen(selection, change)) is not None
        ]

    # Why it happened

    def _explain(self) -> None:
        by_mark = {operation.mark: operation for operation in self.history.operations}
        for change in self.changes:
            obj, previous = change.object, change.previous
            if obj is None or (previous is not None and mark_of(obj) == mark_of(previous)):
                continue
            if mark_of(obj) in by_mark:
                self.causes[change.revision].append(by_mark[mark_of(obj)])
        for operation in self.history.operations:
            if operation.verb == "get" or operation.status not in (200, 201):
                continue
            self._attribute(operation)
        self._guess()

    def _attribute(self, operation: Operation) -> None:
        """Finds the change that an acknowledged operation made, if it cannot be known by its mark."""
        answer = operation.answer
        if answer.get("kind") == "Status" or is_removal(answer):
            uid = answer["details"]["uid"] if answer.get("kind") == "Status" else uid_of(answer)
            if removals := self.removals.get(uid):
                self.causes[removals[0]].append(operation)
            else:
                self.without_effect.append(operation)
        elif mark_of(answer) == operation.mark and operation not in self.causes.get(
            revision_of(answer), ()
        ):
            self.without_effect.append(operation)

    def _guess(self) -> None:
        """Finds a cause for deletions that carry no mark: a delete that was told of it, or a request that was cut."""
        for change in self.changes:
            obj, previous = change.object, change.previous
            if self.causes.get(change.revision) or previous is None:
                continue
            began = obj is not None and is_terminating(obj) and not is_terminating(previous)
            if obj is not None and not began:
                continue
            effect = "write" if began else "remove"
            candidates = [
                operation
                for operation in self.history.operations
                if operation.key == change.key
                and operation.verb
                in (("delete",) if began else ("delete", "update", "merge-patch"))
                and (operation.returned is None or _was_told(operation, change.revision))
                and outcome(operation, previous).effect == effect
            ]
            if candidates:
                self.causes[change.revision].append(min(candidates, key=_likelihood))

    # When it happened

    def acknowledged(self, at: int) -> int:
        """The newest revision of which a client knew before a moment."""
        return _at(self._acknowledged, at, self.history.start)

    def called(self, at: int) -> int:
        """The newest revision that can exist at a moment: that of the last write that had been sent."""
        return _at(self._called, at, self.history.start)


def _was_told(operation: Operation, revision: int) -> bool:
    return operation.status == 200 and revision_of(operation.answer) == revision


def _likelihood(operation: Operation) -> tuple[bool, int]:
    """Who made a change, of several that may have.

    A delete that named the revision before it cannot have come later and been told of it all the same. Of the others
    the one that called first could have done it if any of them could; the rest merely saw it.
    """
    exact = "resourceVersion" in (operation.sent.get("preconditions") or {})
    return not (exact and operation.returned is not None), operation.call


def _seen(selection: Selection, change: Change) -> Seen | None:
    was = selection.matches(change.key, change.previous)
    now = selection.matches(change.key, change.object)
    if now and change.object is not None:
        return Seen(change.revision, "MODIFIED" if was else "ADDED", change.object, change.key)
    if was and change.previous is not None:
        return Seen(
            change.revision, "DELETED", at_revision(change.previous, change.revision), change.key
        )
    return None


def at_revision(obj: Object, revision: int) -> Object:
    """The same content under another revision."""
    return {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(revision)}}


def _steps(pairs: Iterable[tuple[int, int]]) -> tuple[list[int], list[int]]:
    """Moments in order, and the highest revision up to each."""
    ordered = sorted(pairs)
    return [moment for moment, _ in ordered], list(
        accumulate((revision for _, revision in ordered), max)
    )


def _at(steps: tuple[list[int], list[int]], at: int, otherwise: int) -> int:
    moments, revisions = steps
    index = bisect_left(moments, at)
    return max(revisions[index - 1], otherwise) if index else otherwise
