"""The way between one controller and its plane: it can be broken, and it can stand still.

Only the way is touched. What has been sent may have been done, and what a cache has shown it goes on showing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, TypeVar

from verger.store.client import ObjectList, PatchType, Relevant
from verger.store.errors import ServiceUnavailable
from verger.store.kinds import Kind
from verger.store.local import LocalClient, LocalStream
from verger.store.objects import name_of, namespace_of
from verger.store.request import Propagation
from verger.watch.event import Bookmark, Event

T = TypeVar("T")
Rival = Callable[[Kind, str, str], Awaitable[None]]
"""Somebody who writes an object (kind, name, namespace) just before a controller does."""

INFORMERS: Final = "informers"
"""The name of the link over which all controllers see the world."""
UNREACHABLE: Final = "the server cannot be reached: the connection is broken on purpose"


class Link:
    """A client that passes everything on, unless the way is broken or held up."""

    def __init__(self, client: LocalClient) -> None:
        self._client = client
        self._streams: set[_Stream] = set()
        self._going = asyncio.Event()
        self._going.set()
        self.broken = False
        """Whether requests and watches fail."""
        self.rival: Rival | None = None
        """Who is faster with the next updates and patches."""

    @property
    def frozen(self) -> bool:
        """Whether requests and answers wait."""
        return not self._going.is_set()

    def cut(self) -> None:
        """From now on requests fail, and so do the watches that are open."""
        self.broken = True
        for stream in list(self._streams):
            stream.fail(ServiceUnavailable(UNREACHABLE))

    def mend(self) -> None:
        """Requests pass again. A watch that broke has to be opened anew."""
        self.broken = False

    def freeze(self) -> None:
        """From now on nothing comes through in either direction, and nothing is lost."""
        self._going.clear()

    def thaw(self) -> None:
        """Everything that was held up goes on."""
        self._going.set()

    async def gate(self) -> None:
        """Waits while the way is frozen. Raises ServiceUnavailable when it is broken."""
        await self._going.wait()
        if self.broken:
            raise ServiceUnavailable(UNREACHABLE)

    async def _through(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            await self.gate()
        except BaseException:
            work.close()
            raise
        done = await work
        if self.frozen:
            await self._going.wait()
        return done

    async def _contested(
        self, kind: Kind, name: str, namespace: str, work: Coroutine[Any, Any, T]
    ) -> T:
        if self.rival is not None and not self.broken:
            try:
                await self.rival(kind, name, namespace)
            except BaseException:
                work.close()
                raise
        return await self._through(work)

    # The client

    async def kinds(self) -> Sequence[Kind]:
        """As the client does."""
        return await self._through(self._client.kinds())

    async def get(self, kind: Kind, name: str, namespace: str = "") -> Mapping[str, Any]:
        """As the client does."""
        return await self._through(self._client.get(kind, name, namespace))

    async def list(
        self, kind: Kind, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> ObjectList:
        """As the client does."""
        return await self._through(self._client.list(kind, namespace, labels=labels, fields=fields))

    async def watch(
        self,
        kind: Kind,
        namespace: str = "",
        *,
        after: int,
        labels: str = "",
        fields: str = "",
        relevant: Relevant | None = None,
    ) -> "_Stream":
        """As the client does; the stream breaks and freezes with the link."""
        opened = self._client.watch(
            kind, namespace, after=after, labels=labels, fields=fields, relevant=relevant
        )
        stream = _Stream(self, await self._through(opened))
        self._streams.add(stream)
        return stream

    def closed(self, stream: "_Stream") -> None:
        """Called by a stream that has been closed."""
        self._streams.discard(stream)

    async def create(self, kind: Kind, obj: Mapping[str, Any]) -> Mapping[str, Any]:
        """As the client does."""
        return await self._through(self._client.create(kind, obj))

    async def update(
        self, kind: Kind, obj: Mapping[str, Any], *, subresource: str = ""
    ) -> Mapping[str, Any]:
        """As the client does."""
        work = self._client.update(kind, obj, subresource=subresource)
        return await self._contested(kind, name_of(obj), namespace_of(obj), work)

    async def patch(
        self,
        kind: Kind,
        name: str,
        namespace: str,
        patch: Any,
        *,
        type: PatchType = "merge",
        subresource: str = "",
    ) -> Mapping[str, Any]:
        """As the client does."""
        work = self._client.patch(kind, name, namespace, patch, type=type, subresource=subresource)
        return await self._contested(kind, name, namespace, work)

    async def delete(
        self,
        kind: Kind,
        name: str,
        namespace: str = "",
        *,
        uid: str = "",
        revision: str = "",
        propagation: Propagation = "",
    ) -> None:
        """As the client does."""
        await self._through(
            self._client.delete(
                kind, name, namespace, uid=uid, revision=revision, propagation=propagation
            )
        )

    async def delete_collection(
        self, kind: Kind, namespace: str, *, propagation: Propagation = ""
    ) -> None:
        """As the client does."""
        await self._through(
            self._client.delete_collection(kind, namespace, propagation=propagation)
        )


class _Stream:
    """A watch over a link."""

    def __init__(self, link: Link, stream: LocalStream) -> None:
        self._link = link
        self._stream = stream

    async def read(self) -> "Sequence[Event[Mapping[str, Any]] | Bookmark]":
        """What came next; while the link is frozen it is on its way."""
        await self._link.gate()
        news = await self._stream.read()
        await self._link.gate()
        return news

    def fail(self, error: Exception) -> None:
        """Breaks the connection."""
        self._stream.fail(error)

    def close(self) -> None:
        """Ends the watch."""
        self._link.closed(self)
        self._stream.close()
