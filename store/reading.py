"""Reading the store: lists, their pages, and watches, under upstream's rules for revisions.

Nothing here changes anything. A page token carries the revision of its first page, so that all pages of one list are
one snapshot.
"""

import asyncio
import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson
from verger.store.backend import Backend, Compacted, Row
from verger.store.errors import BadRequest, Gone, Timeout
from verger.store.gojson import go_json_error
from verger.store.invalid import quote
from verger.store.kinds import Kind
from verger.store.request import ListOptions, WatchOptions
from verger.store.selectors import FieldSelector, LabelSelector
from verger.watch.clock import complete
from verger.watch.event import Bookmark, Event, EventType, Expired
from verger.watch.log import Cursor

FUTURE_WAIT: Final = 3.0
"""Seconds that a read waits for a revision that has yet to come. upstream: the watch cache's blockTimeout"""
TOKEN_VERSION: Final = "meta.k8s.io/v1"

Match = Callable[[Row], bool]
Relevant = Callable[[Mapping[str, Any]], bool]


class ListResult(NamedTuple):
    """One page of a list."""

    rows: list[Row]
    revision: int
    continue_token: str
    remaining: int | None


class WatchEvent(NamedTuple):
    """A change as one watcher sees it: an object that leaves the selection is DELETED for it."""

    type: EventType
    object: Row


def match_of(kind: Kind, labels: LabelSelector, fields: FieldSelector) -> Match | None:
    """The test of a selection, None when it selects everything. Raises BadRequest for a field that cannot be selected."""
    rules = kind.rules
    known = ("metadata.name", "metadata.namespace", *rules.field_labels)
    for field, _, _ in fields.terms:
        if field not in known:
            if rules.own_field_converter:
                raise BadRequest(f"field label not supported: {field}")
            names = ", ".join(quote(name) for name in known)
            raise BadRequest(f"{quote(field)} is not a known field selector: only {names}")
    if not labels and not fields:
        return None

    if not labels and len(fields.terms) == 1 and fields.value_of("metadata.name") is not None:
        # One object by name, the most common selection there is, and asked of every change of its kind.
        name = fields.value_of("metadata.name")
        return lambda row: row.object["metadata"]["name"] == name
    terms = fields.terms

    def match(row: Row) -> bool:
        obj = row.object
        if labels and not labels.matches(obj["metadata"].get("labels") or {}):
            return False
        return all((rules.field(obj, field) == value) == equal for field, equal, value in terms)

    return match


def parse_revision(text: str) -> int:
    """The revision of a read. Raises BadRequest."""
    if not text:
        return 0
    if not text.isascii() or not text.isdigit() or len(text) > 20:
        raise BadRequest(
            f"resourceVersion: Invalid value: {quote(text)}: strconv.ParseUint: parsing {quote(text)}: invalid syntax"
        )
    return int(text)


class Reader:
    """Answers reads from one backend."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def reach(self, revision: int) -> None:
        """Waits a moment for a revision from the future. Raises Timeout when it does not come."""
        log = self._backend.log
        if revision > log.revision and not await log.reach(revision, FUTURE_WAIT):
            raise Timeout(
                f"Timeout: Too large resource version: {revision}, current: {log.revision}",
                {
                    "causes": [
                        {
                            "reason": "ResourceVersionTooLarge",
                            "message": "Too large resource version",
                        }
                    ]
                },
                retry_after=1,
            )

    async def list(self, kind: Kind, namespace: str, options: ListOptions) -> ListResult:
        """One page. Raises BadRequest, Gone, Timeout."""
        match = match_of(kind, options.labels, options.fields)
        after, at, limit = "", None, options.limit
        if options.continue_token:
            if options.revision not in ("", "0"):
                raise BadRequest("specifying resource version is not allowed when using continue")
            at, after = _open_token(options.continue_token, namespace)
            await self.reach(at or 0)
        elif revision := parse_revision(options.revision):
            await self.reach(revision)
            # upstream: a revision with a limit and without a match means that very revision
            if options.match == "Exact" or (limit and not options.match):
                at = revision
        elif options.revision == "0":
            limit = 0  # upstream answers "any revision" from its cache, which ignores the limit
        try:
            page = self._backend.list(
                kind.storage.resource, namespace, after=after, limit=limit, revision=at, match=match
            )
        except Compacted as compacted:
            raise self._gone(compacted, namespace, after) from None
        token = ""
        if page.after is not None:
            token = _make_token(page.revision, page.after, namespace)
        return ListResult(page.rows, page.revision, token, page.remaining)

    def _gone(self, compacted: Compacted, namespace: str, after: str) -> Gone:
        if not after:
            return Gone(
                f"The resourceVersion for the provided list is too old: {compacted.requested} "
                f"({compacted.oldest})"
            )
        return Gone(
            "The provided continue parameter is too old to display a consistent list result. Begin a new list, or use "
            "the token in this answer for the rest: it carries on at the newest revision, so objects that changed in "
            "between may be missing or appear twice",
            continue_token=_make_token(-1, after, namespace),
        )

    async def watch(
        self,
        kind: Kind,
        namespace: str,
        options: WatchOptions,
        *,
        relevant: Relevant | None = None,
    ) -> "Subscription":
        """Opens a watch. Raises BadRequest, Timeout; history that is gone is Expired at the first read."""
        match = match_of(kind, options.labels, options.fields)
        revision = parse_revision(options.revision)
        initial = options.initial
        if initial is None:
            initial = revision == 0
        if initial and revision:
            await self.reach(revision)
        resource = kind.storage.resource
        if initial:
            page = self._backend.list(resource, namespace, match=match)
            rows: Sequence[Row] | None = page.rows
            revision = page.revision
        else:
            rows = None
            if not revision:
                revision = self._backend.revision
        return Subscription(
            self._backend,
            (resource, namespace or None),
            revision,
            match,
            rows,
            marks_end=bool(initial and options.bookmarks),
            relevant=relevant,
        )


class Subscription:
    """An open watch: first what exists, then what happens, in revision order.

    Guarantees: events at or below the revision of the initial state are not repeated; a bookmark's revision is one up
    to which everything that the watch selects has been handed out.
    """

    def __init__(
        self,
        backend: Backend,
        topic: tuple[str, str | None],
        revision: int,
        match: Match | None,
        initial: Sequence[Row] | None,
        *,
        marks_end: bool,
        relevant: Relevant | None = None,
    ) -> None:
        self._match = match
        self._relevant = relevant
        plain = match is None and relevant is None
        self._initial = initial
        self._marks_end = marks_end
        self._cursor: Cursor[Row] | None = None
        self._expired: Expired | None = None
        self._failure: Exception | None = None
        self._waiting: asyncio.Future[None] | None = None
        try:
            self._cursor = backend.log.cursor(
                *topic, after=revision, interested=None if plain else self._concerns
            )
        except Expired as expired:
            self._expired = expired
        self.initial_revision = revision
        """The revision of the initial state."""

    def _concerns(self, event: Event[Row]) -> bool:
        match, relevant = self._match, self._relevant
        new, old = event.object, event.previous
        if relevant is not None and not (
            relevant(new.object) or (old is not None and relevant(old.object))
        ):
            return False
        return match is None or match(new) or (old is not None and match(old))

    def initial(self) -> "tuple[Sequence[Row], bool] | None":
        """The objects to begin with, and whether their end is marked by a bookmark. Handed out once, then None."""
        rows, self._initial = self._initial, None
        return None if rows is None else (rows, self._marks_end)

    @property
    def revision(self) -> int:
        """Everything up to this revision has been handed out."""
        return self._cursor.revision if self._cursor is not None else self.initial_revision

    def pending(self) -> "Sequence[Event[Row] | WatchEvent]":
        """What has happened since the last call, without waiting. Raises Expired."""
        if self._cursor is None:
            raise self._expired or Expired(0, 0)
        match = self._match
        events = self._cursor.read()
        if self._relevant is not None:
            events = [event for event in events if self._concerns(event)]
        if match is None:
            return events
        out: list[WatchEvent] = []
        for event in events:
            was = event.previous is not None and match(event.previous)
            now = event.type is not EventType.DELETED and match(event.object)
            if now:
                out.append(WatchEvent(EventType.MODIFIED if was else EventType.ADDED, event.object))
            elif was and event.previous is not None:
                out.append(WatchEvent(EventType.DELETED, _left(event.object, event.previous)))
        return out

    def waiter(self) -> "asyncio.Future[None]":
        """A future that is done when something more has happened. Nothing may be awaited since `pending` was empty."""
        if self._cursor is None:
            raise self._expired or Expired(0, 0)
        return self._cursor.waiter()

    def rest(self) -> None:
        """Whoever took a waiter does something else now, and does not wait."""
        if self._cursor is not None:
            self._cursor.rest()

    async def read(self) -> "list[Event[Row] | WatchEvent | Bookmark]":
        """What comes next, at least one thing: events, and a bookmark behind the initial ones. Raises Expired."""
        out: list[Event[Row] | WatchEvent | Bookmark] = []
        if (initial := self.initial()) is not None:
            rows, marked = initial
            out += [WatchEvent(EventType.ADDED, row) for row in rows]
            if marked:
                out.append(Bookmark(self.initial_revision))
        while not out:
            if self._failure is not None:
                raise self._failure
            out += self.pending()
            if not out:
                self._waiting = self.waiter()
                await self._waiting
        return out

    def fail(self, error: Exception) -> None:
        """Lets this read, or the next one, raise an error."""
        self._failure = error
        if self._waiting is not None:
            complete(self._waiting)

    def close(self) -> None:
        """Ends the watch."""
        if self._cursor is not None:
            self._cursor.close()


def _left(row: Row, previous: Row) -> Row:
    """The old content under the new revision: what a watcher gets when an object leaves its selection."""
    if row.deleted:
        return row

    def make(_: Row) -> Row:
        obj: dict[str, Any] = dict(previous.object)
        obj["metadata"] = {**obj["metadata"], "resourceVersion": str(row.revision)}
        return Row(row.key, row.namespace, obj, revision=row.revision, older=None, deleted=True)

    left: Row = row.view("left", make)
    return left


def _make_token(revision: int, last_key: str, namespace: str) -> str:
    """upstream: base64 of JSON; `start` is the last key of the page within the collection, and a NUL behind it."""
    start = last_key.removeprefix(f"{namespace}/") if namespace else last_key
    data = orjson.dumps({"v": TOKEN_VERSION, "rv": revision, "start": f"{start}\0"})
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _open_token(token: str, namespace: str) -> tuple[int | None, str]:
    """The revision (None: the newest) and the key behind which to carry on. Raises BadRequest."""

    def refuse(why: str) -> BadRequest:
        return BadRequest(f"invalid continue token: continue key is not valid: {why}")

    try:
        data = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise refuse("illegal base64 data") from None
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise refuse(go_json_error(data, error)) from None
    version = value.get("v", "") if isinstance(value, dict) else ""
    if version != TOKEN_VERSION:
        raise refuse(f"server does not recognize this encoded version {version}")
    revision, start = value.get("rv"), value.get("start")
    if type(revision) is not int or revision == 0:
        raise refuse("incorrect encoded start resourceVersion (version meta.k8s.io/v1)")
    if not isinstance(start, str) or not start:
        raise refuse("encoded start key empty (version meta.k8s.io/v1)")
    if ".." in start.split("/") or start.startswith("/"):
        raise refuse(f"{start}")
    key = start.removesuffix("\0")
    return (None if revision < 0 else revision), f"{namespace}/{key}" if namespace else key
