"""Deliberate mistakes of a server: each breaks one promise, and names the validator that has to notice.

A validator that has never failed proves nothing. Every mistake here is one that a store or an API server has really
been shipped with, or a small slip away from how ours is written.
"""

import itertools
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import pytest
from verger.apiserver.watching import Encoder
from verger.store import deletion, fitting, patches, reading, registry
from verger.store.backend import Compacted, Row
from verger.store.errors import BadRequest
from verger.store.memory import MemoryBackend
from verger.store.objects import new_uid
from verger.store.reading import Reader, Subscription
from verger.store.registry import Registry
from verger.watch.event import Event, EventType, Expired
from verger.watch.log import EventLog

from tests.histories.clients import KEYS, Profile


class Bug(NamedTuple):
    """One mistake."""

    what: str
    validator: str
    install: Callable[[pytest.MonkeyPatch], None]
    traffic: Profile
    """The traffic that shows it soonest."""


_PATIENCE: Final = 0.2
"""Real seconds: a server with a mistake may never say what is waited for."""
_TRAFFIC: Final = {
    "watched": Profile(
        clients=5,
        steps=16,
        watchers=8,
        compact_every=8,
        weights={"create": 10, "recolor": 14, "update": 6, "delete": 7, "hold": 1, "release": 2},
        patience=_PATIENCE,
    ),
    "listed": Profile(
        clients=5,
        steps=20,
        watchers=0,
        compact_every=8,
        weights={
            "create": 9,
            "recolor": 6,
            "delete": 3,
            "get": 8,
            "get_future": 2,
            "list_now": 4,
            "list_past": 4,
            "list_pages": 8,
        },
        patience=_PATIENCE,
    ),
    "written": Profile(
        clients=8,
        steps=20,
        watchers=0,
        keys=KEYS[:2],
        compact_every=0,
        weights={
            "create": 7,
            "increment": 8,
            "update": 5,
            "overwrite": 4,
            "recolor": 6,
            "touch": 8,
            "json_patch": 4,
            "hold": 5,
            "release": 4,
            "delete": 4,
            "delete_known": 5,
            "get": 3,
        },
        patience=_PATIENCE,
    ),
}


def _every(count: int) -> Callable[[], bool]:
    """True once in so many times."""
    counter = itertools.count(1)
    return lambda: next(counter) % count == 0


# What watches say

_Events = list[Any]


def _told(patch: pytest.MonkeyPatch, change: Callable[[_Events], _Events]) -> None:
    """Changes what watchers are told of."""
    original = Subscription.pending
    patch.setattr(Subscription, "pending", lambda self: change(list(original(self))))


def _skips_an_event(patch: pytest.MonkeyPatch) -> None:
    due = _every(50)
    _told(patch, lambda events: [event for event in events if not due()])


def _reverses_a_batch(patch: pytest.MonkeyPatch) -> None:
    _told(patch, lambda events: events[::-1])


def _says_added_for_modified(patch: pytest.MonkeyPatch) -> None:
    def changed(event: Any) -> Any:
        modified = event.type is EventType.MODIFIED
        return event._replace(type=EventType.ADDED) if modified else event

    _told(patch, lambda events: [changed(event) for event in events])


def _deletes_at_the_old_revision(patch: pytest.MonkeyPatch) -> None:
    def changed(event: Any) -> Any:
        deleted = isinstance(event, Event) and event.type is EventType.DELETED
        return event._replace(object=event.previous) if deleted else event

    _told(patch, lambda events: [changed(event) for event in events])


def _keeps_silent_about_leaving(patch: pytest.MonkeyPatch) -> None:
    def left(row: Row, _: Row) -> Row | None:
        return row if row.deleted else None

    patch.setattr(reading, "_left", left)
    _told(patch, lambda events: [event for event in events if event.object is not None])


def _shows_the_new_state_of_what_left(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reading, "_left", lambda row, previous: row)


def _shows_a_state_of_its_own(patch: pytest.MonkeyPatch) -> None:
    original = Encoder.event
    due = _every(40)

    def event(self: Encoder, type_: EventType, row: Row) -> bytes:
        data = original(self, type_, row)
        return data.replace(b'"red"', b'"RED"') if due() else data

    patch.setattr(Encoder, "event", event)


def _subscribes(
    patch: pytest.MonkeyPatch, change: Callable[[int, Any, Any], tuple[int, Any, Any]]
) -> None:
    """Changes the revision, the selection and the first state with which watches are opened."""
    original = Subscription.__init__

    def init(
        self: Subscription,
        backend: Any,
        topic: Any,
        revision: int,
        match: Any,
        initial: Any,
        **options: Any,
    ) -> None:
        original(self, backend, topic, *change(revision, match, initial), **options)

    patch.setattr(Subscription, "__init__", init)


def _repeats_after_reconnect(patch: pytest.MonkeyPatch) -> None:
    _subscribes(
        patch,
        lambda revision, match, rows: (revision - 1 if rows is None else revision, match, rows),
    )


def _forgets_the_selection(patch: pytest.MonkeyPatch) -> None:
    _subscribes(patch, lambda revision, match, rows: (revision, None, rows))


def _begins_without_the_last_object(patch: pytest.MonkeyPatch) -> None:
    _subscribes(patch, lambda revision, match, rows: (revision, match, rows[:-1] if rows else rows))


def _begins_out_of_order(patch: pytest.MonkeyPatch) -> None:
    _subscribes(
        patch, lambda revision, match, rows: (revision, match, rows[::-1] if rows else rows)
    )


def _never_marks_the_end(patch: pytest.MonkeyPatch) -> None:
    original = Subscription.initial

    def initial(self: Subscription) -> Any:
        found = original(self)
        return found and (found[0], False)

    patch.setattr(Subscription, "initial", initial)


def _promises_too_much(patch: pytest.MonkeyPatch) -> None:
    original = Encoder.bookmark

    def bookmark(self: Encoder, revision: int, *, ends_initial: bool = False) -> bytes:
        return original(self, revision if ends_initial else revision + 1, ends_initial=ends_initial)

    patch.setattr(Encoder, "bookmark", bookmark)


def _refuses_to_begin_now(patch: pytest.MonkeyPatch) -> None:
    original = Reader.watch

    async def watch(
        self: Reader, kind: Any, namespace: str, options: Any, **more: Any
    ) -> Subscription:
        if options.initial is False:
            raise BadRequest("not today")
        return await original(self, kind, namespace, options, **more)

    patch.setattr(Reader, "watch", watch)


# What is gone


def _opens_below_the_edge(patch: pytest.MonkeyPatch) -> None:
    original = EventLog.cursor

    def cursor(self: Any, *topic: Any, after: int, **options: Any) -> Any:
        edge, self.compacted = self.compacted, self.compacted - 1
        try:
            return original(self, *topic, after=after, **options)
        finally:
            self.compacted = edge

    patch.setattr(EventLog, "cursor", cursor)


def _expires_at_the_edge(patch: pytest.MonkeyPatch) -> None:
    original = EventLog.cursor

    def cursor(self: Any, *topic: Any, after: int, **options: Any) -> Any:
        if after == self.compacted:
            raise Expired(after, self.compacted)
        return original(self, *topic, after=after, **options)

    patch.setattr(EventLog, "cursor", cursor)


def _loses_what_follows_the_edge(patch: pytest.MonkeyPatch) -> None:
    original = EventLog.compact

    def compact(self: Any, revision: int) -> None:
        original(self, revision + 1)
        self.compacted = min(self.compacted, revision)

    patch.setattr(EventLog, "compact", compact)


def _lists_expire_early(patch: pytest.MonkeyPatch) -> None:
    def check(self: MemoryBackend, revision: int | None) -> int | None:
        if revision is not None and revision < self.log.compacted + 5:
            raise Compacted(revision, self.log.compacted)
        return revision

    _lists(patch, before=check)


# What lists show


def _lists(
    patch: pytest.MonkeyPatch,
    *,
    before: Callable[[MemoryBackend, int | None], int | None] = lambda _, revision: revision,
    after: Callable[[Any], Any] = lambda page: page,
) -> None:
    """Changes the revision that is listed, or the page that comes of it."""
    original = MemoryBackend.list

    def listed(self: MemoryBackend, resource: str, namespace: str = "", **options: Any) -> Any:
        options["revision"] = before(self, options.get("revision"))
        return after(original(self, resource, namespace, **options))

    patch.setattr(MemoryBackend, "list", listed)


def _mixes_revisions(patch: pytest.MonkeyPatch) -> None:
    def older(page: Any) -> Any:
        rows = [
            row.older if row.older is not None and not row.older.deleted else row
            for row in page.rows[-1:]
        ]
        return page._replace(rows=page.rows[:-1] + rows)

    _lists(patch, after=older)


def _lists_the_past(patch: pytest.MonkeyPatch) -> None:
    def stale(self: MemoryBackend, revision: int | None) -> int | None:
        return max(self.log.compacted, self.revision - 3) if revision is None else revision

    _lists(patch, before=stale)


def _lists_the_next_revision(patch: pytest.MonkeyPatch) -> None:
    def next_(self: MemoryBackend, revision: int | None) -> int | None:
        return revision + 1 if revision is not None and revision < self.revision else revision

    _lists(patch, before=next_)


def _miscounts_what_is_left(patch: pytest.MonkeyPatch) -> None:
    _lists(patch, after=lambda page: page._replace(remaining=page.remaining and page.remaining + 1))


def _repeats_an_item(patch: pytest.MonkeyPatch) -> None:
    original = reading._open_token
    due = _every(3)

    def opened(token: str, namespace: str) -> tuple[int | None, str]:
        revision, key = original(token, namespace)
        return revision, key[:-1] if due() else key

    patch.setattr(reading, "_open_token", opened)


def _pages_through_the_present(patch: pytest.MonkeyPatch) -> None:
    original = reading._open_token
    patch.setattr(reading, "_open_token", lambda *args: (None, original(*args)[1]))


# What reads show


def _gets_the_past(patch: pytest.MonkeyPatch) -> None:
    original = Registry.get_at_least
    due = _every(2)

    async def get(self: Registry, *args: Any) -> Row:
        row = await original(self, *args)
        return row.older if due() and row.older is not None and not row.older.deleted else row

    patch.setattr(Registry, "get_at_least", get)


def _does_not_wait_for_the_future(patch: pytest.MonkeyPatch) -> None:
    async def reach(_: Reader, __: int) -> None:
        pass

    patch.setattr(Reader, "reach", reach)


# What writes do


def _ignores_stale_revisions(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(registry, "parse_update_revision", lambda _: 0)


def _ignores_tests_of_patches(patch: pytest.MonkeyPatch) -> None:
    original = patches.apply_json_patch

    def applied(current: Any, operations: list[dict[str, Any]]) -> Any:
        return original(current, [step for step in operations if step["op"] != "test"])

    patch.setattr(fitting, "apply_json_patch", applied)


def _ignores_preconditions(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(registry, "check_deletion", lambda *_: None)


def _ignores_finalizers(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(deletion, "_finalizers_after", lambda *_: [])


def _puts(
    patch: pytest.MonkeyPatch, change: Callable[[MemoryBackend, str, str, Any, int], int]
) -> None:
    """Changes what is done before an object is stored, and which revision it is to replace."""
    original = MemoryBackend.put

    def put(self: MemoryBackend, resource: str, key: str, obj: Any, *, expected: int) -> Row:
        expected = change(self, resource, key, obj, expected)
        return original(self, resource, key, obj, expected=expected)

    patch.setattr(MemoryBackend, "put", put)


def _creates_over_what_exists(patch: pytest.MonkeyPatch) -> None:
    def replace(self: MemoryBackend, resource: str, key: str, _: Any, expected: int) -> int:
        row = self.get(resource, key)
        return (
            row.revision
            if row is not None and not expected and resource != "namespaces"
            else expected
        )

    _puts(patch, replace)


def _leaves_out_a_revision(patch: pytest.MonkeyPatch) -> None:
    due = _every(40)

    def skip(self: MemoryBackend, _: str, __: str, ___: Any, expected: int) -> int:
        self.log.revision += due()
        return expected

    _puts(patch, skip)


def _changes_the_uid(patch: pytest.MonkeyPatch) -> None:
    due = _every(10)

    def renew(_: MemoryBackend, __: str, ___: str, obj: Any, expected: int) -> int:
        if expected and due():
            obj["metadata"]["uid"] = new_uid()
        return expected

    _puts(patch, renew)


def _takes_deletions_back(patch: pytest.MonkeyPatch) -> None:
    def revive(self: MemoryBackend, resource: str, key: str, obj: Any, expected: int) -> int:
        row = self.get(resource, key)
        if row is not None and row.object["metadata"].get("deletionTimestamp"):
            obj["metadata"].pop("deletionTimestamp", None)
        return expected

    _puts(patch, revive)


def _brings_back_the_dead(patch: pytest.MonkeyPatch) -> None:
    original = MemoryBackend.remove
    due = _every(3)

    def remove(self: MemoryBackend, resource: str, key: str, *, expected: int) -> Row:
        row = original(self, resource, key, expected=expected)
        if due():
            self.put(
                resource, key, {**row.object, "metadata": {**row.object["metadata"]}}, expected=0
            )
        return row

    patch.setattr(MemoryBackend, "remove", remove)


def _commits(
    patch: pytest.MonkeyPatch, change: Callable[[Registry, str, Row, Any, Callable[[], Row]], Row]
) -> None:
    """Changes how updates and patches are committed."""
    original = Registry._commit_update

    def commit(self: Registry, kind: Any, row: Row, new: Any, request: Any) -> Row:
        resource = kind.storage.resource
        return change(self, resource, row, new, lambda: original(self, kind, row, new, request))

    patch.setattr(Registry, "_commit_update", commit)


def _writes_what_is_the_same(patch: pytest.MonkeyPatch) -> None:
    def always(
        self: Registry, resource: str, row: Row, new: Mapping[str, Any], commit: Callable[[], Row]
    ) -> Row:
        found = commit()
        if found is not row:
            return found
        return self.backend.put(resource, row.key, dict(new), expected=row.revision)

    _commits(patch, always)


def _loses_a_write(patch: pytest.MonkeyPatch) -> None:
    due = _every(10)

    def lose(_: Registry, __: str, row: Row, new: Any, commit: Callable[[], Row]) -> Row:
        if due():
            return Row(row.key, row.namespace, new, revision=row.revision, older=None)
        return commit()

    _commits(patch, lose)


_ROWS: Final = {
    "watched": (
        ("a watch skips every 50th event", "events_have_no_gaps", _skips_an_event),
        ("a batch of events comes in reverse", "events_are_ordered", _reverses_a_batch),
        ("ADDED for an existing object", "events_have_the_right_type", _says_added_for_modified),
        (
            "DELETED under the old revision",
            "deletions_show_the_last_state",
            _deletes_at_the_old_revision,
        ),
        (
            "no DELETED for what leaves the selection",
            "events_have_no_gaps",
            _keeps_silent_about_leaving,
        ),
        (
            "DELETED with the state after",
            "deletions_show_the_last_state",
            _shows_the_new_state_of_what_left,
        ),
        ("watchers see different states", "events_show_the_state", _shows_a_state_of_its_own),
        ("an event comes again after reconnecting", "events_are_unique", _repeats_after_reconnect),
        ("events of other objects", "events_match_the_selection", _forgets_the_selection),
        (
            "the first state lacks an object",
            "watches_begin_with_what_exists",
            _begins_without_the_last_object,
        ),
        ("the first state is out of order", "events_are_ordered", _begins_out_of_order),
        (
            "the end of the first state is not marked",
            "watches_begin_with_what_exists",
            _never_marks_the_end,
        ),
        ("a bookmark one revision too high", "bookmarks_are_sound", _promises_too_much),
        ("a watch from now on is refused", "watches_are_accepted", _refuses_to_begin_now),
        (
            "a watch opens where history is gone",
            "watches_expire_only_when_compacted",
            _opens_below_the_edge,
        ),
        (
            "a watch at the edge is told that it is gone",
            "watches_expire_only_when_compacted",
            _expires_at_the_edge,
        ),
        (
            "compaction takes one event too many",
            "watches_tell_everything",
            _loses_what_follows_the_edge,
        ),
    ),
    "listed": (
        ("a list says 410 too early", "lists_expire_only_when_compacted", _lists_expire_early),
        ("a list mixes two revisions", "lists_are_snapshots", _mixes_revisions),
        ("a list shows the past", "lists_are_fresh", _lists_the_past),
        ("an exact list shows the next revision", "lists_are_fresh", _lists_the_next_revision),
        ("remainingItemCount is off by one", "pages_are_one_snapshot", _miscounts_what_is_left),
        ("a page repeats an item", "pages_are_one_snapshot", _repeats_an_item),
        ("pages follow the present", "pages_are_one_snapshot", _pages_through_the_present),
        ("a get shows the past", "linearizable", _gets_the_past),
        ("a get does not wait for its revision", "linearizable", _does_not_wait_for_the_future),
    ),
    "written": (
        ("an update ignores a stale revision", "stale_writes_fail", _ignores_stale_revisions),
        ("a JSON patch ignores its tests", "stale_writes_fail", _ignores_tests_of_patches),
        ("increments are lost", "increments_add_up", _ignores_stale_revisions),
        ("a delete ignores the uid it names", "preconditions_protect", _ignores_preconditions),
        ("a delete ignores finalizers", "objects_vanish_once", _ignores_finalizers),
        ("a deleted object comes back", "objects_vanish_once", _brings_back_the_dead),
        ("a create replaces what exists", "names_are_created_once", _creates_over_what_exists),
        ("an update gives a new uid", "incarnations_are_whole", _changes_the_uid),
        ("a deletion is taken back", "incarnations_are_whole", _takes_deletions_back),
        ("a revision is left out", "revisions_are_gapless", _leaves_out_a_revision),
        ("a no-op takes a revision", "changes_are_explained", _writes_what_is_the_same),
        ("an acknowledged write is lost", "changes_are_explained", _loses_a_write),
    ),
}
BUGS: Final = tuple(Bug(*row, _TRAFFIC[name]) for name, rows in _ROWS.items() for row in rows)
