"""What must be true of every history: pure functions over what was recorded, each named after its promise.

A validator yields one sentence for each thing that is wrong. `violations` runs them all; `test_validators.py` proves
that each of them can fail.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from tests.histories import watch_validators
from tests.histories.history import (
    COUNT,
    History,
    Key,
    Operation,
    Page,
    finalizers_of,
    is_terminating,
    key_of,
    revision_of,
    uid_of,
)
from tests.histories.linearizability import linearizable
from tests.histories.model import content_of, is_removal, outcome
from tests.histories.replay import Replay

Validator = Callable[[Replay], Iterable[str]]

# Revisions


def revisions_are_gapless(replay: Replay) -> Iterator[str]:
    """One revision for each change, and none for anything else."""
    yield from replay.contradictions
    start, revisions = replay.history.start, replay.revisions
    if revisions and revisions != list(range(start + 1, revisions[-1] + 1)):
        missing = sorted(set(range(start + 1, revisions[-1] + 1)) - set(revisions))
        yield f"nobody was told what {missing[:5]} (of {len(missing)}) changed"


def changes_are_explained(replay: Replay) -> Iterator[str]:
    """Every change is the work of exactly one request, and every acknowledged change is there."""
    for change in replay.changes:
        causes = replay.causes.get(change.revision, [])
        if len(causes) != 1:
            names = [operation.mark for operation in causes]
            yield f"{change.revision} of {change.key} is the work of {names or 'nobody'}"
    for operation in replay.without_effect:
        yield f"{_named(operation)} was acknowledged, and changed nothing"


# Objects


def incarnations_are_whole(replay: Replay) -> Iterator[str]:
    """Of one object nothing that is fixed changes, its deletion is never taken back, and its name is not reused before it is gone."""
    for key, timeline in replay.timelines.items():
        for change in timeline:
            before, after = change.previous, change.object
            if before is None or after is None:
                continue
            for field in ("uid", "creationTimestamp", "name", "namespace"):
                if before["metadata"].get(field) != after["metadata"].get(field):
                    yield f"{change.revision}: {key} changed its {field}"
            if is_terminating(before):
                stamps = [item["metadata"].get("deletionTimestamp") for item in (before, after)]
                if stamps[0] != stamps[1]:
                    yield f"{change.revision}: {key} was terminating, and is so no more"
                if not set(finalizers_of(after)) <= set(finalizers_of(before)):
                    yield f"{change.revision}: {key} was terminating, and got a new finalizer"


def names_are_created_once(replay: Replay) -> Iterator[str]:
    """Of all who create a name exactly one succeeds for each incarnation, and incarnations differ."""
    for key, timeline in replay.timelines.items():
        alive = [change for change in timeline if change.object is not None]
        births = [uid_of(change.object or {}) for change in alive if change.previous is None]
        created = [
            uid_of(operation.answer)
            for operation in replay.history.operations
            if operation.verb == "create" and operation.key == key and operation.status == 201
        ]
        for uid, count in (Counter(births) + Counter(created) - Counter(set(births))).items():
            if count > 1:
                yield f"{key} came into being {count} times as {uid}"
        for uid in set(created) - set(births):
            yield f"{key} was created as {uid} while there was another"


def objects_vanish_once(replay: Replay) -> Iterator[str]:
    """An object disappears once, stays away, and does not go while a finalizer holds it."""
    claims = Counter(
        answer["details"]["uid"] if answer.get("kind") == "Status" else uid_of(answer)
        for answer in (op.answer for op in replay.history.operations if op.status == 200)
        if answer.get("kind") == "Status" or is_removal(answer)
    )
    for uid, count in claims.items():
        if count > 1:
            yield f"{count} clients were told that it was they who removed {uid}"
    for uid, revisions in replay.removals.items():
        if len(revisions) > 1:
            yield f"{uid} disappeared at {revisions}"
    for key, timeline in replay.timelines.items():
        gone: set[str] = set()
        for change in timeline:
            if change.object is not None and uid_of(change.object) in gone:
                yield f"{change.revision}: {key} came back from the dead"
            if change.object is None and change.previous is None:
                yield f"{change.revision}: {key} was deleted without being there"
            if change.object is None and change.previous is not None:
                gone.add(uid_of(change.previous))
                releases = [
                    operation
                    for operation in replay.causes.get(change.revision, [])
                    if operation.verb != "delete"
                ]
                if finalizers_of(change.previous) and not releases:
                    yield f"{change.revision}: {key} vanished although a finalizer held it"


def preconditions_protect(replay: Replay) -> Iterator[str]:
    """A delete that names a uid never removes, nor marks, another object of that name."""
    for operation in replay.history.operations:
        if operation.verb != "delete" or operation.status != 200:
            continue
        answer = operation.answer
        meant = (operation.sent.get("preconditions") or {}).get("uid")
        met = answer["details"]["uid"] if answer.get("kind") == "Status" else uid_of(answer)
        if meant not in (None, met):
            yield f"{_named(operation)} meant {meant} and met {met}"


def stale_writes_fail(replay: Replay) -> Iterator[str]:
    """A write that names a revision succeeds only if that is the one it replaces; a patch only if its tests hold."""
    for change in replay.changes:
        for operation in replay.causes.get(change.revision, []):
            if operation.status not in (200, 201) or operation.verb in ("create", "delete"):
                continue
            wanted = outcome(operation, change.previous)
            if wanted.status != operation.status:
                found = revision_of(change.previous) if change.previous is not None else "nothing"
                yield f"{_named(operation)} replaced {found}, which should have been a {wanted.status}"
            elif change.object is not None and content_of(change.object) != wanted.content:
                yield f"{_named(operation)} wrote something else than it was asked to"


def increments_add_up(replay: Replay) -> Iterator[str]:
    """However many clients count, what they count to is how many were told that they did."""
    for key, timeline in replay.timelines.items():
        by_uid: dict[str, list[int]] = defaultdict(list)
        for change in timeline:
            if change.object is not None and COUNT in content_of(change.object).data:
                count = int(content_of(change.object).data[COUNT])
                by_uid[uid_of(change.object)].append(count)
        for uid, counts in by_uid.items():
            told = sum(
                1
                for operation in replay.history.operations
                if operation.key == key
                and operation.verb in ("update", "json-patch")
                and operation.status == 200
                and uid_of(operation.answer) == uid
            )
            unknown = sum(
                1
                for change in timeline
                for operation in replay.causes.get(change.revision, [])
                if operation.returned is None and change.previous is not None
            )
            if counts[-1] != told + unknown:
                yield f"{key}: {told} increments were acknowledged, and {counts[-1]} were counted"


# Lists


def lists_are_snapshots(replay: Replay) -> Iterator[str]:
    """A list shows what existed at its revision: all of it, nothing else, in the order of the keys."""
    for page in _first_pages(replay.history):
        revision = revision_of(page.answer)
        wanted = replay.state(page.selection, revision)[: page.limit or None]
        if page.items != [_untyped(obj) for obj in wanted]:
            yield f"{page.listing} at {revision} shows {_ids(page.items)}, not {_ids(wanted)}"


def lists_are_fresh(replay: Replay) -> Iterator[str]:
    """A list knows of every write acknowledged before it was asked for, and of the revision that it was asked for."""
    for page in _first_pages(replay.history):
        revision, asked = revision_of(page.answer), int(page.revision or 0)
        known = replay.acknowledged(page.call)
        if _is_exact(page) and revision != asked:
            yield f"{page.listing} was asked for {asked} and shows {revision}"
        if not _is_exact(page) and revision < max(asked, known):
            yield f"{page.listing} shows {revision}, and {max(asked, known)} was known before it"
        if revision > replay.called(page.returned):
            yield f"{page.listing} shows {revision}, which nobody had written yet"


def pages_are_one_snapshot(replay: Replay) -> Iterator[str]:
    """The pages of a listing show one revision, nothing twice, nothing missing, and count what is left exactly."""
    for pages in _listings(replay.history):
        snapshot = 0
        last: Key | None = None
        for page in pages:
            if page.status != 200:
                snapshot = 0  # it may carry on at another revision
                continue
            revision, selection = revision_of(page.answer), page.selection
            if revision != (snapshot or revision):
                yield f"{page.listing} shows {revision} after {snapshot}"
            snapshot = revision
            rest = [
                obj
                for obj in replay.state(selection, revision)
                if last is None or key_of(selection.resource, obj) > last
            ]
            shown = rest[: page.limit or None]
            if page.items != [_untyped(obj) for obj in shown]:
                yield f"{page.listing}: a page shows {_ids(page.items)}, not {_ids(shown)}"
                break
            left = len(rest) - len(shown)
            if bool(page.next) != bool(left):
                yield f"{page.listing}: {left} are left, and there is {page.next or 'no token'}"
            counted = page.answer["metadata"].get("remainingItemCount")
            if counted != (left if left and not selection.selects else None):
                yield f"{page.listing}: {left} are left, and it says {counted}"
            if shown:
                last = key_of(selection.resource, shown[-1])


def lists_expire_only_when_compacted(replay: Replay) -> Iterator[str]:
    """A list says 410 if and only if its revision has been compacted, and then shows how to carry on."""
    compacted = replay.history.compacted
    for pages in _listings(replay.history):
        snapshot = 0
        """The revision that the token stands for, 0 for whatever is current."""
        for page in pages:
            bound = snapshot if page.token else int(page.revision or 0) if _is_exact(page) else 0
            match page.status:
                case 200:
                    if bound and bound < compacted(page.call):
                        yield f"{page.listing} was shown {bound}, which had been compacted"
                case 410:
                    if not bound or bound >= compacted(page.returned):
                        yield f"{page.listing} was told that {bound} is gone, and it is not"
                    if page.token and not page.next:
                        yield f"{page.listing} was not told how to carry on"
                case 504:
                    if int(page.revision or 0) <= replay.acknowledged(page.call):
                        yield f"{page.listing} was told that {page.revision} is in the future"
                case _:
                    yield f"{page.listing} got {page.status}"
            snapshot = revision_of(page.answer) if page.status == 200 else 0


def _is_exact(page: Page) -> bool:
    """Whether one revision was asked for; one with a limit and no more words is meant so."""
    asked = bool(page.revision)
    return asked and (page.match == "Exact" or (page.limit > 0 and not page.match))


def _listings(history: History) -> Iterable[list[Page]]:
    found: dict[str, list[Page]] = defaultdict(list)
    for page in history.pages:
        found[page.listing].append(page)
    return found.values()


def _first_pages(history: History) -> Iterator[Page]:
    return (page for page in history.pages if page.status == 200 and not page.token)


def _untyped(obj: Mapping[str, Any]) -> dict[str, Any]:
    """An object as lists show it: they say once what kind it is."""
    return {name: value for name, value in obj.items() if name not in ("kind", "apiVersion")}


def _ids(objects: Iterable[Mapping[str, Any]]) -> list[str]:
    return [f"{key_of('', obj)[2]}@{revision_of(obj)}" for obj in objects]


def _named(operation: Operation) -> str:
    return f"{operation.verb} {operation.mark} of {'/'.join(operation.key)}"


VALIDATORS: Final[Mapping[str, Validator]] = {
    function.__name__: function
    for function in (
        revisions_are_gapless,
        changes_are_explained,
        incarnations_are_whole,
        names_are_created_once,
        objects_vanish_once,
        preconditions_protect,
        stale_writes_fail,
        increments_add_up,
        linearizable,
        lists_are_snapshots,
        lists_are_fresh,
        pages_are_one_snapshot,
        lists_expire_only_when_compacted,
        *watch_validators.ALL,
    )
}


def violations(history: History) -> dict[str, list[str]]:
    """What is wrong with a history, by validator; empty when nothing is."""
    replay = Replay(history)
    found = {name: list(validator(replay)) for name, validator in VALIDATORS.items()}
    return {name: sentences for name, sentences in found.items() if sentences}


def report(history: History, found: Mapping[str, list[str]]) -> str:
    """What a failing test prints: enough to run the same again."""
    lines = [f"seed {history.seed}"]
    for name, sentences in found.items():
        lines += [f"{name}: {sentence}" for sentence in sentences[:3]]
    return "\n".join(lines)
