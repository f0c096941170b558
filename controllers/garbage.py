"""Objects go after their owners.

An object whose owners are all gone is deleted; one that some owners are left of loses its references to the others. An
owner that is deleted in the foreground waits for the dependents that block it, and one that is orphaned lets go of its
dependents first.

What the collector remembers is a graph of references by uid. It only says where to look: whether an owner exists is
asked live, and every deletion names the uid and the revision that were seen.

upstream: pkg/controller/garbagecollector
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from verger.controllers.reconcile import DONE, Enqueue, Object, Result, Subscriber
from verger.controllers.recorder import Recorder
from verger.store.client import Client
from verger.store.errors import NotFound
from verger.store.kinds import Kind, Kinds
from verger.store.objects import (
    FINALIZER_FOREGROUND,
    FINALIZER_ORPHAN,
    finalizers_of,
    is_terminating,
    meta,
    name_of,
    namespace_of,
    revision_of,
    uid_of,
    without,
)
from verger.store.request import Propagation
from verger.watch.cache import Change
from verger.watch.workqueue import BACKOFF_CAP

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

_WAITERS: Final = (FINALIZER_ORPHAN, FINALIZER_FOREGROUND)
_NOT_COLLECTED: Final = ("events",)
"""upstream: events neither own nor are owned"""


class Item(NamedTuple):
    """One incarnation of an object."""

    kind: Kind
    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        where = f"{self.namespace}/" if self.namespace else ""
        return f"{self.kind.resource} {where}{self.name}"


def _is_collected(kind: Kind) -> bool:
    followed = {"list", "watch", "delete"} <= kind.verbs and kind.storage is kind
    return followed and kind.plural not in _NOT_COLLECTED


State = Literal["solid", "waiting", "gone"]


def owners_of(obj: Object) -> list[Mapping[str, Any]]:
    """The references to the owners of an object."""
    return list(meta(obj).get("ownerReferences") or ())


def _holds(obj: Object) -> bool:
    return is_terminating(obj) and any(name in _WAITERS for name in finalizers_of(obj))


@dataclass(slots=True)
class Garbage:
    """Keys are incarnations of objects."""

    client: Client
    kinds: Kinds
    recorder: Recorder
    log: "FilteringBoundLogger"
    name: str = "garbage-collector-controller"
    workers: int = 20
    backoff_cap: float = BACKOFF_CAP
    _dependents: dict[str, dict[str, Item]] = field(default_factory=dict, init=False)
    """uid of an owner -> its dependents, by their uid."""
    _owned: dict[str, tuple[str, ...]] = field(default_factory=dict, init=False)
    """uid of a dependent -> the uids of its owners."""

    def subscribe(self, subscriber: Subscriber, enqueue: Enqueue[Item]) -> None:
        """All kinds, but only objects that have owners, are owners, or wait for their dependents."""
        self._dependents.clear()
        self._owned.clear()
        for kind in self.kinds:
            if _is_collected(kind):
                self._follow(kind, subscriber, enqueue)

        def changed(kind: Kind, served: bool) -> None:
            if not _is_collected(kind):
                return
            if served:
                self._follow(kind, subscriber, enqueue)
                return
            subscriber.unfollow(kind)
            # Its last objects may go unseen: all that has owners is looked at again.
            for uid in list(self._dependents):
                self._enqueue_dependents(uid, enqueue)

        subscriber.until_closed(self.kinds.listen(changed))

    def _follow(self, kind: Kind, subscriber: Subscriber, enqueue: Enqueue[Item]) -> None:
        def changed(change: Change[Object]) -> None:
            old, new = change.old, change.new
            if old is not None and (new is None or uid_of(new) != uid_of(old)):
                self._gone(_item(kind, old), old, enqueue)
            if new is not None:
                item = _item(kind, new)
                self._remember(item, new)
                if owners_of(new) or _holds(new):
                    enqueue(item)
                if is_terminating(new):
                    # An owner in the foreground waits for its dependents, and they may wait for it in turn.
                    self._enqueue_dependents(item.uid, enqueue)

        subscriber.follow(kind, changed, relevant=self._relevant)

    def _relevant(self, obj: Object) -> bool:
        fields = obj["metadata"]
        return (
            "ownerReferences" in fields
            or fields["uid"] in self._dependents
            or ("deletionTimestamp" in fields and _holds(obj))
        )

    # The graph

    def _remember(self, item: Item, obj: Object) -> None:
        owners = tuple(str(owner.get("uid") or "") for owner in owners_of(obj))
        for uid in self._owned.get(item.uid, ()):
            if uid not in owners:
                self._forget_dependent(uid, item.uid)
        if owners:
            self._owned[item.uid] = owners
        else:
            self._owned.pop(item.uid, None)
        for uid in owners:
            self._dependents.setdefault(uid, {})[item.uid] = item

    def _forget_dependent(self, owner: str, dependent: str) -> None:
        known = self._dependents.get(owner)
        if known is not None:
            known.pop(dependent, None)
            if not known:
                del self._dependents[owner]

    def _gone(self, item: Item, obj: Object, enqueue: Enqueue[Item]) -> None:
        for uid in self._owned.pop(item.uid, ()):
            self._forget_dependent(uid, item.uid)
        self._enqueue_dependents(item.uid, enqueue)
        # Owners that wait for it can be looked at again.
        for owner in owners_of(obj):
            kind = self._owner_kind(owner)
            if kind is not None:
                namespace = namespace_of(obj) if kind.namespaced else ""
                enqueue(Item(kind, namespace, str(owner.get("name")), str(owner.get("uid") or "")))

    def _enqueue_dependents(self, uid: str, enqueue: Enqueue[Item]) -> None:
        for dependent in list(self._dependents.get(uid, {}).values()):
            enqueue(dependent)

    def _owner_kind(self, owner: Mapping[str, Any]) -> Kind | None:
        group, _, version = str(owner.get("apiVersion") or "").rpartition("/")
        return self.kinds.get(group, version, str(owner.get("kind") or ""))

    # The work

    async def reconcile(self, key: Item) -> Result:
        """Deletes the object, lets go of its dependents, or does nothing: whatever its owners and finalizers ask for."""
        obj = await self._live(key.kind, key.namespace, key.name, key.uid)
        if obj is None:
            return DONE
        if is_terminating(obj):
            finalizers = finalizers_of(obj)
            if FINALIZER_ORPHAN in finalizers:
                await self._orphan(key, obj)
            elif FINALIZER_FOREGROUND in finalizers:
                await self._finish_foreground(key, obj)
            return DONE
        if owners_of(obj):
            await self._judge(key, obj)
        return DONE

    async def _live(self, kind: Kind, namespace: str, name: str, uid: str) -> Object | None:
        """The object as it is now, None when it has gone or another one has its name."""
        try:
            obj = await self.client.get(kind, name, namespace)
        except NotFound:
            return None
        return obj if uid_of(obj) == uid else None

    async def _judge(self, key: Item, obj: Object) -> None:
        states = [await self._state(key, obj, owner) for owner in owners_of(obj)]
        if "solid" in states:
            kept = [
                owner
                for owner, state in zip(owners_of(obj), states, strict=True)
                if state == "solid"
            ]
            if len(kept) != len(states):
                await self._write_meta(key, obj, {"ownerReferences": kept})
            return
        propagation: Propagation
        if "waiting" in states and self._dependents.get(key.uid):
            # The owner waits for this object, which has dependents itself: they go first. What blocks in a circle
            # would block for ever.
            if any(owner.get("blockOwnerDeletion") for owner in owners_of(obj)):
                kept = [{**owner, "blockOwnerDeletion": False} for owner in owners_of(obj)]
                if not await self._write_meta(key, obj, {"ownerReferences": kept}):
                    return
                obj = await self.client.get(key.kind, key.name, key.namespace)
            propagation = "Foreground"
        elif FINALIZER_ORPHAN in finalizers_of(obj):
            propagation = "Orphan"
        elif FINALIZER_FOREGROUND in finalizers_of(obj):
            propagation = "Foreground"
        else:
            propagation = "Background"
        try:
            await self.client.delete(
                key.kind,
                key.name,
                key.namespace,
                uid=key.uid,
                revision=revision_of(obj),
                propagation=propagation,
            )
        except NotFound:
            return
        self.log.info("collected", object=str(key), propagation=propagation)

    async def _state(self, key: Item, obj: Object, owner: Mapping[str, Any]) -> State:
        kind = self._owner_kind(owner)
        if kind is None:
            # Nobody can say whether it exists; deleting on a guess is worse than keeping.
            return "solid"
        if kind.namespaced and not key.namespace:
            await self.recorder.record(
                key.kind,
                obj,
                "Warning",
                "OwnerRefInvalidNamespace",
                f"a {owner.get('kind')} in a namespace cannot own an object that is in none",
            )
            return "solid"
        namespace = key.namespace if kind.namespaced else ""
        found = await self._live(
            kind, namespace, str(owner.get("name")), str(owner.get("uid") or "")
        )
        if found is None:
            return "gone"
        if is_terminating(found) and FINALIZER_FOREGROUND in finalizers_of(found):
            return "waiting"
        return "solid"

    async def _orphan(self, key: Item, obj: Object) -> None:
        for dependent in list(self._dependents.get(key.uid, {}).values()):
            child = await self._live(
                dependent.kind, dependent.namespace, dependent.name, dependent.uid
            )
            if child is None:
                continue
            kept = [owner for owner in owners_of(child) if owner.get("uid") != key.uid]
            if len(kept) != len(owners_of(child)):
                await self._write_meta(dependent, child, {"ownerReferences": kept})
        await self._release(key, obj, FINALIZER_ORPHAN)

    async def _finish_foreground(self, key: Item, obj: Object) -> None:
        """Deletes the dependents, and lets the owner go when none is left that blocks it."""
        blocked = False
        for dependent in list(self._dependents.get(key.uid, {}).values()):
            child = await self._live(
                dependent.kind, dependent.namespace, dependent.name, dependent.uid
            )
            if child is None:
                continue
            reference = next(
                (owner for owner in owners_of(child) if owner.get("uid") == key.uid), None
            )
            if reference is None:
                continue
            if not is_terminating(child):
                await self._judge(dependent, child)
                if (
                    await self._live(
                        dependent.kind, dependent.namespace, dependent.name, dependent.uid
                    )
                    is None
                ):
                    continue
            blocked = blocked or bool(reference.get("blockOwnerDeletion"))
        if not blocked:
            await self._release(key, obj, FINALIZER_FOREGROUND)

    async def _release(self, key: Item, obj: Object, finalizer: str) -> None:
        await self._write_meta(key, obj, {"finalizers": without(finalizers_of(obj), finalizer)})

    async def _write_meta(self, key: Item, obj: Object, fields: Mapping[str, Any]) -> bool:
        """Writes metadata of the very version that was seen; False when the object has gone.

        Raises Conflict when it has changed, so that it is looked at again.
        """
        patch = {
            "metadata": {"uid": key.uid, "resourceVersion": revision_of(obj), **fields},
        }
        try:
            await self.client.patch(key.kind, key.name, key.namespace, patch)
        except NotFound:
            return False
        return True


def _item(kind: Kind, obj: Object) -> Item:
    return Item(kind, namespace_of(obj), name_of(obj), uid_of(obj))
