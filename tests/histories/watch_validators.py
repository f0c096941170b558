"""What must be true of every watch: filter, order, uniqueness, no gaps, resumption, bookmarks, beginnings, contents.

Each watch is compared with the replay of the history from the point at which it began. Where that point is not told
(a watch "from now", or one whose first state is not marked), any moment while it was being opened will do, but one
must.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from tests.histories.history import COLOR, Item, Session, key_of, revision_of
from tests.histories.replay import Replay, Seen

MARKED: Final = "k8s.io/initial-events-end"


def _is_mark(item: Item) -> bool:
    annotations = item.object["metadata"].get("annotations") or {}
    return item.type == "BOOKMARK" and annotations.get(MARKED) == "true"


class Beginning:
    """Where a watch began: what it showed first, and the revision after which it tells of changes."""

    def __init__(self, replay: Replay, session: Session) -> None:
        self.initial: list[Item] = []
        self.live = session.events
        self.base: int | None = None
        """None: no revision fits what was shown."""
        self.complete = True
        """Whether the first state has been shown to its end."""
        if session.start == "after":
            self.base = session.revision
        elif session.start == "tail":
            self.base = _tail_base(replay, session)
        elif session.start == "marked":
            self._marked(session)
        else:
            self._unmarked(replay, session)

    def _marked(self, session: Session) -> None:
        mark = next((index for index, item in enumerate(session.items) if _is_mark(item)), None)
        if mark is None:
            self.initial, self.live, self.complete = session.events, [], False
            return
        self.initial = [item for item in session.items[:mark] if item.is_event]
        self.live = [item for item in session.items[mark:] if item.is_event]
        self.base = session.items[mark].revision

    def _unmarked(self, replay: Replay, session: Session) -> None:
        events = session.events
        for base in _opening(replay, session):
            count = len(replay.state(session.selection, base))
            shown = [(item.type, item.object) for item in events[:count]]
            state = [("ADDED", obj) for obj in replay.state(session.selection, base)]
            if shown == state[: len(shown)] and _continues(replay, session, base, events[count:]):
                self.initial, self.live, self.base = events[:count], events[count:], base
                self.complete = len(events) >= count
                return
        self.initial, self.live = events, []


def _opening(replay: Replay, session: Session) -> range:
    """The revisions that were current while the watch was being opened."""
    return range(
        max(replay.acknowledged(session.opened), session.revision),
        replay.called(_first(session)) + 1,
    )


def _first(session: Session) -> int:
    if session.items:
        return session.items[0].at
    return session.accepted or session.ended or session.opened


def _continues(replay: Replay, session: Session, base: int, live: list[Item]) -> bool:
    wanted = replay.seen(session.selection, base, live[0].revision if live else base)
    return not live or bool(wanted and wanted[0].revision == live[0].revision)


def _tail_base(replay: Replay, session: Session) -> int | None:
    opening = range(replay.acknowledged(session.opened), replay.called(session.accepted) + 1)
    fitting = (base for base in opening if _continues(replay, session, base, session.events))
    return next(fitting, None)


def _sessions(replay: Replay) -> Iterator[tuple[Session, Beginning]]:
    for session in replay.history.sessions:
        if session.accepted:
            yield session, Beginning(replay, session)


# The promises


def events_match_the_selection(replay: Replay) -> Iterator[str]:
    """A watcher is told of nothing that it did not select."""
    for session in replay.history.sessions:
        selection = session.selection
        for item in session.events:
            if not selection.matches(key_of(selection.resource, item.object), item.object):
                labels = item.object["metadata"].get("labels") or {}
                yield f"{_named(session)} got {_shown(item)}, which is {labels.get(COLOR)}"


def events_are_ordered(replay: Replay) -> Iterator[str]:
    """First states come by key, changes by revision."""
    for session, beginning in _sessions(replay):
        keys = [key_of(session.selection.resource, item.object) for item in beginning.initial]
        if beginning.base is not None and keys != sorted(keys):
            yield f"{_named(session)} began with {keys}"
        last = beginning.base or 0
        for item in beginning.live:
            if item.revision < last:
                yield f"{_named(session)} got {_shown(item)} after {last}"
            last = max(last, item.revision)


def events_are_unique(replay: Replay) -> Iterator[str]:
    """Nothing is told twice, neither within a watch nor by one that carries on where another was cut."""
    told: dict[str, set[int]] = defaultdict(set)
    for session, beginning in _sessions(replay):
        if not session.resumes:
            told[session.watcher].clear()
        known = told[session.watcher]
        keys = [key_of(session.selection.resource, item.object) for item in beginning.initial]
        if beginning.base is not None and len(set(keys)) != len(keys):
            yield f"{_named(session)} was shown an object twice"
        known.update(item.revision for item in beginning.initial)
        for item in beginning.live:
            if item.revision in known:
                yield f"{_named(session)} was told of {_shown(item)} twice"
            known.add(item.revision)


def events_have_no_gaps(replay: Replay) -> Iterator[str]:
    """Between two changes that a watcher was told of lies none that it was not told of, nor after the last one."""
    for session, beginning in _sessions(replay):
        live = beginning.live
        if not live or beginning.base is None:
            continue
        told = {item.revision for item in live}
        for seen in replay.seen(session.selection, live[0].revision, live[-1].revision):
            if seen.revision not in told:
                yield f"{_named(session)} was not told of {_wanted(seen)}"


def watches_tell_everything(replay: Replay) -> Iterator[str]:
    """A watch begins with the first change after its revision, and one that stays open misses none."""
    for session, beginning in _sessions(replay):
        if beginning.base is None:
            if session.start == "tail":
                yield f"{_named(session)} began with {_shown(session.events[0])}, and not with the first that came"
            continue
        live = beginning.live
        wanted = replay.seen(session.selection, beginning.base)
        if live and wanted and live[0].revision > wanted[0].revision:
            yield f"{_named(session)} began with {_shown(live[0])} instead of {_wanted(wanted[0])}"
        if session.end == "open" and wanted:
            last = live[-1].revision if live else beginning.base
            if last < wanted[-1].revision:
                yield f"{_named(session)} was never told of {_wanted(wanted[-1])}"


def bookmarks_are_sound(replay: Replay) -> Iterator[str]:
    """A bookmark says truly that everything up to it has been told, and says nothing else."""
    for session, beginning in _sessions(replay):
        kind = "ConfigMap" if session.selection.resource == "configmaps" else "Secret"
        told: set[int] = set()
        bookmark = last = beginning.base or 0
        marks = 0
        for item in session.items:
            if item.type == "ERROR":
                continue
            if item.type != "BOOKMARK":
                told.add(item.revision)
                if item in beginning.live and item.revision <= bookmark and marks:
                    yield f"{_named(session)} got {_shown(item)} after a bookmark at {bookmark}"
                last = max(last, item.revision)
                continue
            if not session.bookmarks:
                yield f"{_named(session)} got a bookmark that it did not ask for"
            marks += 1
            yield from _bookmark_content(session, item, kind)
            if item.revision < max(last, bookmark):
                yield f"{_named(session)} got a bookmark at {item.revision} after {max(last, bookmark)}"
            if item.revision > replay.called(item.at):
                yield f"{_named(session)} got a bookmark at {item.revision}, which nobody had written yet"
            if beginning.base is not None:
                promised = replay.seen(session.selection, beginning.base, item.revision)
                for seen in promised:
                    if seen.revision not in told:
                        yield f"{_named(session)} got a bookmark at {item.revision}, but not {_wanted(seen)}"
            bookmark = item.revision


def _bookmark_content(session: Session, item: Item, kind: str) -> Iterator[str]:
    obj = item.object
    if (obj.get("kind"), obj.get("apiVersion")) != (kind, "v1") or set(obj["metadata"]) - {
        "resourceVersion",
        "annotations",
        "creationTimestamp",
    }:
        yield f"{_named(session)} got a bookmark that is {obj}"


def watches_begin_with_what_exists(replay: Replay) -> Iterator[str]:
    """What a watch shows first is the state at one revision, and a mark, if it was asked for, says which."""
    for session, beginning in _sessions(replay):
        marks = sum(1 for item in session.items if _is_mark(item))
        if session.start in ("after", "tail"):
            if marks:
                yield f"{_named(session)} got the end of a state that it did not ask for"
            continue
        if marks > 1 or (session.start == "marked" and session.end == "open" and not marks):
            yield f"{_named(session)} got {marks} marks"
        if beginning.base is None:
            if session.start == "state" or not _partial(replay, session, beginning):
                yield f"{_named(session)} began with a state that never was"
            continue
        if beginning.base < max(replay.acknowledged(session.opened), session.revision):
            yield f"{_named(session)} began at {beginning.base}, which was known to be old"
        shown = [(item.type, item.object) for item in beginning.initial]
        state = [("ADDED", obj) for obj in replay.state(session.selection, beginning.base)]
        if shown != (state if beginning.complete else state[: len(shown)]):
            yield f"{_named(session)} began with something else than the state at {beginning.base}"


def _partial(replay: Replay, session: Session, beginning: Beginning) -> bool:
    """Whether what was shown before the cut is the beginning of a state."""
    shown = [(item.type, item.object) for item in beginning.initial]
    return any(
        shown == [("ADDED", obj) for obj in replay.state(session.selection, base)][: len(shown)]
        for base in _opening(replay, session)
    )


def _told(replay: Replay) -> Iterator[tuple[Session, Item, Seen | None]]:
    """Each change that a watcher was told of, beside what it should have been told at that revision."""
    for session, beginning in _sessions(replay):
        for item in beginning.live:
            wanted = replay.seen(session.selection, item.revision - 1, item.revision)
            yield session, item, wanted[0] if wanted else None


def events_have_the_right_type(replay: Replay) -> Iterator[str]:
    """ADDED is what was not there or not selected before, DELETED what has gone or left the selection."""
    for session, item, wanted in _told(replay):
        if wanted is None:
            yield f"{_named(session)} was told of {_shown(item)}, which it could not see"
        elif item.type != wanted.type:
            yield f"{_named(session)} got {_shown(item)} instead of {_wanted(wanted)}"


def events_show_the_state(replay: Replay) -> Iterator[str]:
    """All who see a change see the same, and it is the state that the writer was told of."""
    for session, item, wanted in _told(replay):
        if wanted is None or "DELETED" in (item.type, wanted.type):
            continue
        if item.object != wanted.object:
            yield f"{_named(session)} got another state in {_shown(item)} than others"


def deletions_show_the_last_state(replay: Replay) -> Iterator[str]:
    """DELETED carries the state before, under the revision of the deletion."""
    for session, item, wanted in _told(replay):
        if item.type != "DELETED":
            continue
        if wanted is None or wanted.type != "DELETED":
            yield f"{_named(session)} got {_shown(item)} at a revision at which nothing was deleted"
        elif item.object != wanted.object:
            yield f"{_named(session)} got {_shown(item)} with another content than it had"


def watches_expire_only_when_compacted(replay: Replay) -> Iterator[str]:
    """A watch says 410 if and only if something that it would have to tell has been compacted."""
    history = replay.history
    for session, beginning in _sessions(replay):
        if session.end != "expired":
            if session.start == "after" and session.revision < history.compacted(session.opened):
                yield f"{_named(session)} was not told that {session.revision} is gone"
            continue
        compacted = history.compacted(session.ended)
        if session.start == "after" and not session.events and session.revision < compacted:
            continue
        last = max([beginning.base or 0, *(item.revision for item in beginning.live)])
        missed = replay.seen(session.selection, last, compacted)
        if not missed:
            yield f"{_named(session)} was told that {last} is gone at {compacted}, and it is not"


def watches_are_accepted(replay: Replay) -> Iterator[str]:
    """A watch is refused only while its revision is in the future, and says so in the stream."""
    for session in replay.history.sessions:
        if session.end == "refused":
            yield f"{_named(session)} was refused with {session.status}"
        for item in session.items:
            if item.type == "ERROR" and item.object.get("code") != 410:
                yield f"{_named(session)} ended with {item.object}"


def _named(session: Session) -> str:
    after = f" after {session.revision}" if session.revision else ""
    return f"{session.watcher} ({session.start}{after}, opened {session.opened})"


def _shown(item: Item) -> str:
    return f"{item.type} {item.object['metadata'].get('name')}@{revision_of(item.object)}"


def _wanted(seen: Seen) -> str:
    return f"{seen.type} {seen.key[2]}@{seen.revision}"


ALL: Final[Sequence[Callable[[Replay], Iterator[str]]]] = (
    events_match_the_selection,
    events_are_ordered,
    events_are_unique,
    events_have_no_gaps,
    watches_tell_everything,
    bookmarks_are_sound,
    watches_begin_with_what_exists,
    events_have_the_right_type,
    events_show_the_state,
    deletions_show_the_last_state,
    watches_expire_only_when_compacted,
    watches_are_accepted,
)
