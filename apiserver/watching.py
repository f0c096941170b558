"""A watch over HTTP: what exists, what happens, bookmarks, and a clean end.

A watch is one cursor and one task. It never holds up a writer: when its client stops reading, it waits alone, until
its history has expired or its connection is given up.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from aiohttp.abc import AbstractStreamWriter
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import StreamResponse
from verger.apiserver.answers import Stream, chunk
from verger.apiserver.messages import STREAM, Messages
from verger.apiserver.negotiation import JSON, PROTOBUF, Target
from verger.apiserver.representations import check_include, json_of, object_of, tables
from verger.store.backend import Row
from verger.store.errors import ApiError, Gone, NotAcceptable
from verger.store.kinds import Kind
from verger.store.objects import encode
from verger.store.reading import Subscription
from verger.watch.chance import CHANCE
from verger.watch.clock import Clock, Timer, complete
from verger.watch.event import EventType, Expired

TIMEOUT_MIN: Final = 1800.0
"""Seconds that a watch without a timeout lasts, up to twice that. upstream: --min-request-timeout"""
TICK: Final = 60.0
"""Seconds between bookmarks; a client that has not read anything for that long is disconnected."""
AT_ONCE: Final = 16
"""Events that are written one after the other without a look at how the client keeps up."""
PIECE: Final = 256 * 1024
"""Bytes from which on events are written without waiting for more: what is written is held until the client reads it."""
BOOKMARK_BEFORE_END: Final = 2.0
"""upstream: bookmarks come about once a minute, and once 2 s before the end."""
INITIAL_EVENTS_END: Final = "k8s.io/initial-events-end"


class Encoder:
    """Turns events into chunks, in the form that the client asked for."""

    def __init__(
        self,
        kind: Kind,
        target: Target,
        messages: Messages,
        *,
        include: str,
        now: Callable[[], float],
    ) -> None:
        if target.form == "PartialObjectMetadataList":
            raise NotAcceptable(
                "you requested PartialObjectMetadataList, but a watch sends single objects"
            )
        if target.form == "Table":
            check_include(include)
        self._kind = kind
        self._target = target
        self._messages = messages if target.media_type == PROTOBUF else None
        self.content_type = STREAM if self._messages is not None else JSON
        self._include = include
        self._now = now
        self._defined = False
        # Chunks are kept with their rows, under the type of the event and the kind that shows it.
        self._keys = {type_: (target.media_type, type_, kind) for type_ in EventType}

    def event(self, type_: EventType, row: Row) -> bytes:
        """One event."""
        if not self._target.form:
            key = self._keys[type_]
            views = row.views
            event: bytes | None = views.get(key) if views is not None else None
            if event is None:
                event = chunk(self._line(type_, row))
                row.view(key, lambda _: event)
            return event
        # Tables are made from the stored form, whichever kind shows it.
        obj = row.object if self._target.form == "Table" else object_of(self._kind, row)
        return self._wrapped(type_.value, obj, str(row.revision), include=self._include)

    def bookmark(self, revision: int, *, ends_initial: bool = False) -> bytes:
        """A promise that everything up to the revision has been sent."""
        metadata: dict[str, Any] = {"resourceVersion": str(revision)}
        if ends_initial:
            metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
        obj = {
            "kind": self._kind.kind,
            "apiVersion": self._kind.api_version,
            "metadata": metadata,
        }
        if not self._target.form:
            return self._event("BOOKMARK", obj, self._kind.type_name)
        # A bookmark is its metadata: it stays, even for clients that want no objects.
        return self._wrapped("BOOKMARK", obj, str(revision), include="Metadata")

    def _wrapped(self, type_: str, obj: Any, revision: str, *, include: str) -> bytes:
        if self._target.form == "Table":
            shown = tables().table(
                self._kind,
                [obj],
                include=include,
                version=self._target.version,
                metadata={"resourceVersion": revision},
                now=self._now(),
                definitions=not self._defined,
            )
            self._defined = True
        else:
            shown = tables().partial_metadata(obj, version=self._target.version)
        return self._event(type_, shown)

    def error(self, error: ApiError) -> bytes:
        """The end of a watch that cannot go on."""
        return self._event("ERROR", error.status())

    def _event(self, type_: str, obj: Mapping[str, Any], type_name: str = "") -> bytes:
        if self._messages is not None:
            return chunk(self._messages.event(type_, self._messages.value(obj, type_name)))
        return chunk(encode({"type": type_, "object": obj}) + b"\n")

    def _line(self, type_: EventType, row: Row) -> bytes:
        if self._messages is not None:
            return self._messages.event(type_.value, self._messages.row(self._kind, row, object_of))
        return b'{"type":"%b","object":%b}\n' % (type_.value.encode(), json_of(self._kind, row))


async def refused(
    request: BaseRequest, encoder: Encoder, error: ApiError, audit_id: str
) -> StreamResponse:
    """A watch whose one event is an error."""
    response = Stream(encoder.content_type, audit_id)
    await response.prepare(request)
    await request.writer.write(encoder.error(error))
    return response


class Watch:
    """One open watch."""

    def __init__(
        self,
        subscription: Subscription,
        encoder: Encoder,
        *,
        clock: Clock,
        timeout: float | None,
        bookmarks: bool,
    ) -> None:
        self._subscription = subscription
        self._encoder = encoder
        self._clock = clock
        # Spread out, so that clients that came together do not come back together.
        self._timeout = timeout or TIMEOUT_MIN * (1 + CHANCE.random())
        self._bookmarks = bookmarks
        self._ended = False
        self._error: ApiError | None = None
        self._held: list[bytes] | None = None
        """What a frozen watch would have sent."""
        self._owed: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._bookmark_due = False
        self._woken: asyncio.Future[None] | None = None
        """What the task waits for while it sleeps."""
        self._failure: Exception | None = None
        """What kept an event from being sent."""
        self._full = False
        """Whether the client has to read before more is written."""
        self._writing = False
        self._written = 0
        self._written_at_tick = 0
        self._timers: list[Timer] = []

    def stop(self, error: ApiError | None = None) -> None:
        """Ends the watch in good order, with an error as its last event if there is one."""
        self._ended = True
        self._error = self._error or error
        self._wake()

    def cut(self) -> None:
        """Breaks the connection off, as a network does."""
        if self._transport is not None:
            self._transport.abort()

    def freeze(self) -> None:
        """Holds back what is to be sent, while the connection stays: the client sees a world that stands still."""
        self._held = self._held or []

    def thaw(self) -> None:
        """Sends what was held back."""
        held, self._held = self._held, None
        self._owed += held or []
        self._wake()

    def _wake(self) -> None:
        if self._woken is not None:
            complete(self._woken)

    async def run(
        self, request: BaseRequest, audit_id: str, warnings: Sequence[str] = ()
    ) -> StreamResponse:
        """Sends events until the watch ends or the client goes."""
        response = Stream(self._encoder.content_type, audit_id, warnings=warnings)
        self._start_timers(request)
        self._transport = request.transport
        try:
            await response.prepare(request)
            await self._send(request.writer)
        except ConnectionError:
            pass  # the client has gone, which is one way for a watch to end
        except Exception:
            # The answer has begun. It is broken off, so that nobody takes it for a whole one.
            self.cut()
            raise
        finally:
            for timer in self._timers:
                timer.cancel()
            self._subscription.close()
        return response

    async def _send(self, writer: AbstractStreamWriter) -> None:
        subscription, encoder = self._subscription, self._encoder
        try:
            if (initial := subscription.initial()) is not None:
                rows, marked = initial
                events = [encoder.event(EventType.ADDED, row) for row in rows]
                if marked:
                    end = encoder.bookmark(subscription.initial_revision, ends_initial=True)
                    events.append(end)
                await self._write_all(writer, events)
            while not self._ended:
                if self._failure is not None:
                    raise self._failure
                if self._full:
                    await self._drain(writer)
                elif self._owed:
                    owed, self._owed = self._owed, []
                    await self._write_all(writer, owed)
                elif found := self._pending():
                    await self._write_all(writer, found)
                elif self._bookmark_due:
                    self._bookmark_due = False
                    await self._write(writer, encoder.bookmark(subscription.revision))
                else:
                    await self._idle()
        except ApiError as error:
            self._error = error  # an object that cannot be shown ends the watch
        except Expired as expired:
            self._error = Gone(f"too old resource version: {expired.requested} ({expired.oldest})")
        if self._error is not None:
            self._held = None  # a watch that ends is not frozen any more
            await self._write(writer, encoder.error(self._error))

    def _pending(self) -> list[bytes]:
        event = self._encoder.event
        return [event(news.type, news.object) for news in self._subscription.pending()]

    async def _idle(self) -> None:
        """Waits for what is not as simple as an event. Nothing may be awaited since nothing was pending."""
        self._woken = asyncio.get_running_loop().create_future()
        try:
            self._listen()
            await self._woken
        finally:
            self._woken = None
            self._subscription.rest()

    def _listen(self) -> None:
        self._subscription.waiter().add_done_callback(self._push)

    def _push(self, _: "asyncio.Future[None]") -> None:
        """Sends what has happened while the task sleeps: to wake it would cost more than that. If in doubt, it is woken."""
        if self._woken is None or self._woken.done():
            return
        transport = self._transport
        if self._held is not None or transport is None or transport.is_closing():
            self._wake()
            return
        try:
            found = self._pending()
        except Exception as error:
            self._failure = error
            self._wake()
            return
        except ApiError as error:
            self.stop(error)
            return
        if len(found) > AT_ONCE:
            self._owed += found
            self._wake()
            return
        for event in found:
            transport.write(event)
        self._written += 1
        if transport.get_write_buffer_size():
            self._full = True
            self._wake()
        else:
            self._listen()

    async def _write_all(self, writer: AbstractStreamWriter, events: Sequence[bytes]) -> None:
        """Many events go out in few pieces, none of which is more than a slow client can read in a while."""
        first = size = 0
        for index, event in enumerate(events):
            size += len(event)
            if size >= PIECE or index == len(events) - 1:
                await self._write(writer, b"".join(events[first : index + 1]))
                first, size = index + 1, 0

    async def _write(self, writer: AbstractStreamWriter, data: bytes) -> None:
        if self._held is not None:
            self._held.append(data)
            return
        self._writing = True
        await writer.write(data)
        self._writing = False
        self._written += 1

    async def _drain(self, writer: AbstractStreamWriter) -> None:
        self._full, self._writing = False, True
        await writer.drain()
        self._writing = False
        self._written += 1

    def _start_timers(self, request: BaseRequest) -> None:
        later = self._clock.call_later

        def tick() -> None:
            transport = request.transport
            stuck = self._writing and self._written == self._written_at_tick
            if transport is not None and (stuck or not transport.is_reading()):
                # The same write as a period ago: the client does not read. Or it has sent so many requests behind this
                # one that nothing more is read of it: nobody would notice that it has gone.
                transport.abort()
                return
            self._written_at_tick = self._written
            self._bookmark_due = self._bookmarks
            self._wake()
            self._timers[1] = later(TICK, tick)

        def before_end() -> None:
            self._bookmark_due = self._bookmarks
            self._wake()

        self._timers = [
            later(self._timeout, self.stop),
            later(TICK * (1 - 0.25 * CHANCE.random()), tick),
        ]
        if self._timeout > BOOKMARK_BEFORE_END:
            self._timers.append(later(self._timeout - BOOKMARK_BEFORE_END, before_end))
