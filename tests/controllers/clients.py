"""Clients with a tap: what passes through them is written down, and can be stopped, refused or answered late."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

from verger.identity.signing import SigningKey
from verger.store.client import Client, ObjectList, PatchType
from verger.store.kinds import Kind
from verger.store.objects import NAME_ALPHABET, key_of, name_of, namespace_of
from verger.store.request import Propagation
from verger.watch.event import Bookmark, Event
from verger.watch.reflector import Stream

T = TypeVar("T")
Object = Mapping[str, Any]
News = Sequence[Event[Object] | Bookmark]
Side = Literal["before", "after"]

WRITES = frozenset({"create", "update", "patch", "delete", "delete_collection"})
_GENERATED = re.compile(rf"-token-[{NAME_ALPHABET}]{{5}}\b")


def any_name(text: str) -> str:
    """The text with a star for the five characters that are different each time."""
    return _GENERATED.sub("-token-*", text)


class Call(NamedTuple):
    """One call of a client, as tests write it: `update Namespace/status one`."""

    verb: str
    what: str
    """The kind, and the subresource behind a slash."""
    key: str = ""
    uid: str = ""
    """Of a deletion: its precondition."""
    exact: str = ""
    """The key with the characters that are different each time."""

    def __str__(self) -> str:
        return " ".join(part for part in self[:3] if part)


Tap = Callable[[Call, Side], Awaitable[None]]
"""Sees each call before and after it takes effect; what it raises, the caller gets."""


class TappedClient:
    """Hands calls on to another client, and shows them to its taps."""

    def __init__(self, inner: Client) -> None:
        self._inner = inner
        self.taps: list[Tap] = []
        self.calls: list[Call] = []

    @property
    def writes(self) -> list[str]:
        """The calls so far that change something, events about objects left out."""
        return [str(c) for c in self.calls if c.verb in WRITES and c.what != "Event"]

    async def _through(
        self, verb: str, kind: Kind | None, key: str, call: Callable[[], Awaitable[T]], **more: str
    ) -> T:
        what = kind.kind if kind is not None else ""
        if sub := more.get("subresource"):
            what = f"{what}/{sub}"
        # Events are named after the time.
        shown = "" if what == "Event" and verb in ("create", "patch") else any_name(key)
        seen = Call(verb, what, shown, more.get("uid", ""), key)
        self.calls.append(seen)
        for tap in list(self.taps):
            await tap(seen, "before")
        try:
            return await call()
        finally:  # an error is an answer too
            for tap in list(self.taps):
                await tap(seen, "after")

    async def kinds(self) -> Sequence[Kind]:
        return await self._through("kinds", None, "", self._inner.kinds)

    async def get(self, kind: Kind, name: str, namespace: str = "") -> Object:
        return await self._through(
            "get", kind, key_of(namespace, name), lambda: self._inner.get(kind, name, namespace)
        )

    async def list(
        self, kind: Kind, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> ObjectList:
        return await self._through(
            "list",
            kind,
            namespace,
            lambda: self._inner.list(kind, namespace, labels=labels, fields=fields),
        )

    async def watch(self, kind: Kind, namespace: str = "", **options: Any) -> Stream[Object]:
        return await self._through(
            "watch", kind, namespace, lambda: self._inner.watch(kind, namespace, **options)
        )

    async def create(self, kind: Kind, obj: Object) -> Object:
        key = key_of(namespace_of(obj), name_of(obj))
        return await self._through("create", kind, key, lambda: self._inner.create(kind, obj))

    async def update(self, kind: Kind, obj: Object, *, subresource: str = "") -> Object:
        return await self._through(
            "update",
            kind,
            key_of(namespace_of(obj), name_of(obj)),
            lambda: self._inner.update(kind, obj, subresource=subresource),
            subresource=subresource,
        )

    async def patch(
        self,
        kind: Kind,
        name: str,
        namespace: str,
        patch: Any,
        *,
        type: PatchType = "merge",
        subresource: str = "",
    ) -> Object:
        return await self._through(
            "patch",
            kind,
            key_of(namespace, name),
            lambda: self._inner.patch(
                kind, name, namespace, patch, type=type, subresource=subresource
            ),
            subresource=subresource,
        )

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
        await self._through(
            "delete",
            kind,
            key_of(namespace, name),
            lambda: self._inner.delete(
                kind, name, namespace, uid=uid, revision=revision, propagation=propagation
            ),
            uid=uid,
        )

    async def delete_collection(
        self, kind: Kind, namespace: str, *, propagation: Propagation = ""
    ) -> None:
        await self._through(
            "delete_collection",
            kind,
            namespace,
            lambda: self._inner.delete_collection(kind, namespace, propagation=propagation),
        )


class TappedKey(SigningKey):
    """A key that shows its taps each signature that is asked for."""

    taps: Sequence[Tap] = ()

    async def sign(self, claims: dict[str, object]) -> str:
        seen = Call("sign", "token")
        for tap in list(self.taps):
            await tap(seen, "before")
        token = await super().sign(claims)
        for tap in list(self.taps):
            await tap(seen, "after")
        return token


class LaggingClient(TappedClient):
    """Watches through it can be held back by kind: what they bring arrives when they are released."""

    def __init__(self, inner: Client) -> None:
        super().__init__(inner)
        self._gates: dict[str, asyncio.Event] = {}

    def _gate(self, kind: str) -> asyncio.Event:
        gate = self._gates.get(kind)
        if gate is None:
            gate = self._gates[kind] = asyncio.Event()
            gate.set()
        return gate

    def hold(self, *kinds: str) -> None:
        """From now on, nothing arrives of these kinds."""
        for kind in kinds:
            self._gate(kind).clear()

    def release(self, *kinds: str) -> None:
        """What was held back arrives now, and the rest as it comes; without kinds: of all of them."""
        for kind in kinds or list(self._gates):
            self._gate(kind).set()

    async def watch(self, kind: Kind, namespace: str = "", **options: Any) -> Stream[Object]:
        stream = await super().watch(kind, namespace, **options)
        return _HeldStream(stream, self._gate(kind.kind))


class _HeldStream:
    def __init__(self, stream: Stream[Object], gate: asyncio.Event) -> None:
        self._stream = stream
        self._gate = gate

    async def read(self) -> News:
        news = await self._stream.read()
        await self._gate.wait()
        return news

    def close(self) -> None:
        self._stream.close()


class Fails:
    """A tap: the calls that look like `pattern` fail, so many times."""

    def __init__(self, pattern: str, error: Callable[[], Exception], *, times: int) -> None:
        self._pattern = pattern
        self._error = error
        self.left = times
        self.failed = 0

    @property
    def spent(self) -> bool:
        """Whether there was as much trouble as there was to be; negative times are for ever."""
        return self.left <= 0 and self.failed > 0

    async def __call__(self, call: Call, side: Side) -> None:
        if side == "before" and self.left and str(call).startswith(self._pattern):
            self.left -= 1
            self.failed += 1
            raise self._error()


class BrokenTest(BaseException):
    """What a test wanted to do meanwhile failed: no controller may take that for an error of the server."""


class Meanwhile:
    """A tap: somebody else is faster, once, at the first call that looks like `pattern`."""

    def __init__(
        self, pattern: str, happens: Callable[[], Awaitable[object]], *, side: Side = "before"
    ) -> None:
        self._pattern = pattern
        self._happens = happens
        self._side = side
        self.spent = False
        """Whether it has happened."""

    async def __call__(self, call: Call, side: Side) -> None:
        if side == self._side and not self.spent and str(call).startswith(self._pattern):
            self.spent = True
            try:
                await self._happens()
            except Exception as error:
                raise BrokenTest from error
