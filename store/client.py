"""What a controller may do to the world: the one interface through which it reads and writes.

The same promises are kept by a client inside the process (`local`) and by one that speaks to a kube-apiserver. Errors
are those of `errors`. Objects that come out are shared: never change one, copy it first; objects that go in are copied.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from verger.store.errors import ServiceUnavailable
from verger.store.kinds import Kind
from verger.store.objects import key_of, name_of, namespace_of
from verger.store.request import Propagation
from verger.watch.reflector import Stream

PatchType = Literal["merge", "json", "strategic"]


Relevant = Callable[[Mapping[str, Any]], bool]


class ObjectList(NamedTuple):
    """All objects of a selection at one revision."""

    items: Sequence[Mapping[str, Any]]
    revision: int


class PartialDiscovery(ServiceUnavailable):
    """Some groups of the server do not say what they serve."""

    def __init__(self, message: str, *, kinds: Sequence[Kind]) -> None:
        super().__init__(message)
        self.kinds = kinds
        """What the others serve."""


class Client(Protocol):
    """Reads and writes objects. Namespaces are empty for kinds that have none, and for all namespaces in lists."""

    async def kinds(self) -> Sequence[Kind]:
        """What the server serves: its preferred versions. Raises PartialDiscovery."""

    async def get(self, kind: Kind, name: str, namespace: str = "") -> Mapping[str, Any]:
        """The newest version. Raises NotFound."""

    async def list(
        self, kind: Kind, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> ObjectList:
        """A complete list."""

    async def watch(
        self,
        kind: Kind,
        namespace: str = "",
        *,
        after: int,
        labels: str = "",
        fields: str = "",
        relevant: Relevant | None = None,
    ) -> Stream[Mapping[str, Any]]:
        """The changes after a revision. Raises watch.Expired when some of them are gone.

        `relevant` says which objects matter at all: a client that can leaves out changes of which neither side does.
        """

    async def create(self, kind: Kind, obj: Mapping[str, Any]) -> Mapping[str, Any]:
        """Stores a new object, in the namespace that its metadata names."""

    async def update(
        self, kind: Kind, obj: Mapping[str, Any], *, subresource: str = ""
    ) -> Mapping[str, Any]:
        """Replaces an object; with a resourceVersion, only that version of it. Raises Conflict."""

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
        """Changes an object where it is."""

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
        """Deletes an object, if it still has that uid and revision. Raises NotFound, Conflict."""

    async def delete_collection(
        self, kind: Kind, namespace: str, *, propagation: Propagation = ""
    ) -> None:
        """Deletes all objects of a kind in a namespace. Raises MethodNotAllowed where the server cannot."""


@runtime_checkable
class Follower(Protocol):
    """A client that can open a watch which begins with all that there is: a list and a watch in one request."""

    async def follow(
        self, kind: Kind, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> tuple[ObjectList, Stream[Mapping[str, Any]] | None]:
        """All objects, and what comes after them; None where the server cannot, and a watch has to be opened."""


class ClientSource:
    """A selection of one kind, as a reflector wants it."""

    def __init__(
        self,
        client: Client,
        kind: Kind,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        relevant: Relevant | None = None,
    ) -> None:
        self._client = client
        self._kind = kind
        self._namespace = namespace
        self._labels = labels
        self._fields = fields
        self._relevant = relevant
        self._opened: tuple[int, Stream[Mapping[str, Any]]] | None = None
        """A watch that came with a list, and the revision after which it goes on."""

    async def list(self) -> tuple[Mapping[str, Mapping[str, Any]], int]:
        """All objects by key, and the revision of the list."""
        client = self._client
        selection = {"labels": self._labels, "fields": self._fields}
        self._drop()
        if isinstance(client, Follower):
            found, stream = await client.follow(self._kind, self._namespace, **selection)
            self._opened = (found.revision, stream) if stream is not None else None
        else:
            found = await client.list(self._kind, self._namespace, **selection)
        relevant = self._relevant
        objects = {
            key_of(namespace_of(item), name_of(item)): item
            for item in found.items
            if relevant is None or relevant(item)
        }
        return objects, found.revision

    async def watch(self, after: int) -> Stream[Mapping[str, Any]]:
        """The changes after a revision."""
        if (opened := self._opened) is not None and opened[0] == after:
            self._opened = None
            return opened[1]
        self._drop()
        return await self._client.watch(
            self._kind,
            self._namespace,
            after=after,
            labels=self._labels,
            fields=self._fields,
            relevant=self._relevant,
        )

    def _drop(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            opened[1].close()
