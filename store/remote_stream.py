"""A watch of a Kubernetes API server: lines of JSON that become events and bookmarks.

Guarantees: events come as the server sent them; a line that was cut off is never taken for an event.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import aiohttp
import orjson
from verger.store.errors import ApiError, Gone, InternalError, from_status
from verger.store.kinds import Kind
from verger.store.objects import key_of, name_of, namespace_of, with_type
from verger.store.throttle import Deadline
from verger.store.transport import NoAnswer
from verger.watch.clock import Clock
from verger.watch.event import Bookmark, Event, EventType, Expired, StreamEnded

INITIAL_END: Final = "k8s.io/initial-events-end"
INITIAL_SILENCE: Final = 10.0
"""Seconds without a word before the end of the beginning, after which a server is taken not to know of beginnings.
upstream: the time after which client-go complains about it"""
SILENCE: Final = 180.0
"""Seconds without a word from a server that sends bookmarks, which do so once a minute, after which it is given up."""
LATE: Final = 30.0
"""Seconds after its end by which a watch has to be over."""
LINE_MAX: Final = 64 << 20
"""Bytes of one event; servers keep objects of a few megabytes at most."""
_OLDEST: Final = re.compile(r"\((\d+)\)")

Object = Mapping[str, Any]
News = Event[Object] | Bookmark


class BadAnswer(InternalError):
    """The server said something that makes no sense."""


def expired(gone: ApiError, after: int) -> Expired:
    """What a reflector is told of history that has gone."""
    # upstream: "too old resource version: 5 (10)"
    found = _OLDEST.search(gone.message)
    return Expired(after, int(found[1]) if found else after + 1)


class RemoteStream:
    """An open watch of one kind."""

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        kind: Kind,
        clock: Clock,
        *,
        after: int,
        seconds: float,
    ) -> None:
        """`seconds` is how long the server was asked to keep it open."""
        self._response = response
        self._kind = kind
        self._clock = clock
        self._revision = after
        self._ends_at = clock.monotonic() + seconds + LATE
        self._marks = False
        self._rest = b""
        self._early: list[News] = []
        """What came together with the end of the beginning."""

    async def initial(self) -> tuple[Sequence[Object], int]:
        """What there was when the watch began, and at which revision.

        Raises TimeoutError when nothing says that this is all; Expired, StreamEnded, ApiError.
        """
        objects: dict[str, Object] = {}
        while True:
            lines = await self._lines(INITIAL_SILENCE)
            for at, line in enumerate(lines):
                raw = _parse(line)
                news = self._news(raw)
                if isinstance(news, Bookmark):
                    notes = raw["object"]["metadata"].get("annotations") or {}
                    if notes.get(INITIAL_END) == "true":
                        self._early = [self._news(_parse(line)) for line in lines[at + 1 :]]
                        return list(objects.values()), news.revision
                elif news.type is EventType.DELETED:
                    objects.pop(news.key, None)
                else:
                    objects[news.key] = news.object

    async def read(self) -> "Sequence[News]":
        """What came next. Raises Expired, StreamEnded, NoAnswer."""
        if self._early:
            early, self._early = self._early, []
            return early
        rest_of_life = max(self._ends_at - self._clock.monotonic(), 0.0)
        silence = min(SILENCE, rest_of_life) if self._marks else rest_of_life
        try:
            lines = await self._lines(silence)
        except TimeoutError:
            raise NoAnswer(f"the watch of {self._kind.resource} has fallen silent") from None
        return [self._news(_parse(line)) for line in lines]

    def close(self) -> None:
        """Ends the watch; harmless when it has ended."""
        self._response.close()

    async def _lines(self, silence: float) -> list[bytes]:
        """Whole lines, at least one. Raises TimeoutError when nothing comes for that many seconds."""
        while True:
            try:
                with Deadline(self._clock, silence):
                    chunk = await self._response.content.readany()
            except TimeoutError:
                raise
            except (aiohttp.ClientError, OSError) as error:
                raise NoAnswer(
                    f"the watch of {self._kind.resource} broke off: {type(error).__name__}"
                ) from None
            if not chunk:
                if self._rest.strip():
                    raise NoAnswer(f"the watch of {self._kind.resource} was cut off in a line")
                raise StreamEnded
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            if len(self._rest) > LINE_MAX:
                raise BadAnswer(f"the watch of {self._kind.resource} sends lines without end")
            if found := [line for line in lines if line.strip()]:
                return found

    def _news(self, raw: Mapping[str, Any]) -> News:
        type_, obj = raw.get("type"), raw.get("object")
        if not isinstance(obj, dict):
            raise BadAnswer(f"the watch of {self._kind.resource} sent an event without an object")
        if type_ == "ERROR":
            error = from_status(obj)
            raise expired(error, self._revision) if isinstance(error, Gone) else error
        metadata = obj.get("metadata") or {}
        text = str(metadata.get("resourceVersion") or "")
        if not text.isascii() or not text.isdigit():
            raise BadAnswer(f"the watch of {self._kind.resource} sent an event without a revision")
        revision = self._revision = int(text)
        if type_ == "BOOKMARK":
            self._marks = True
            return Bookmark(revision)
        # Caches need not hold who wrote which field: it is often most of an object.
        metadata.pop("managedFields", None)
        if not obj.get("kind"):
            obj = with_type(self._kind.api_version, self._kind.kind, obj)
        try:
            event_type = EventType(type_)
        except ValueError:
            raise BadAnswer(
                f"the watch of {self._kind.resource} sent an event of an unknown type"
            ) from None
        namespace = namespace_of(obj)
        key = key_of(namespace, name_of(obj))
        return Event(event_type, self._kind.resource, namespace, key, revision, obj, None)


def _parse(line: bytes) -> Mapping[str, Any]:
    try:
        raw = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise BadAnswer("a watch sent a line that is no JSON") from None
    if not isinstance(raw, dict):
        raise BadAnswer("a watch sent a line that is no event")
    return raw
