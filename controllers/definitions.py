"""Serves what CustomResourceDefinitions define: accepts their names, establishes them, and empties those that go.

A kind is served exactly while its definition is there and established. What there is to know of custom kinds is loaded
with the first definition.

upstream: apiextensions-apiserver/pkg/controller/{status,establish,finalizer}
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from verger.controllers.reconcile import DONE, Enqueue, Object, Result, Subscriber
from verger.store.client import Client
from verger.store.errors import NotFound
from verger.store.kinds import Kind, Kinds
from verger.store.objects import finalizers_of, is_terminating, name_of, uid_of, without
from verger.store.rules.definitions import CLEANUP
from verger.store.timestamps import format_time
from verger.watch.cache import Cache, Change
from verger.watch.clock import Clock
from verger.watch.workqueue import BACKOFF_CAP

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

RECHECK: Final = 0.2
"""Seconds between two looks at objects that are yet to go. upstream: 5, with many servers and an etcd"""
_NAMES: Final = (
    ("plural", "PluralConflict"),
    ("singular", "SingularConflict"),
    ("shortNames", "ShortNamesConflict"),
    ("kind", "KindConflict"),
    ("listKind", "ListKindConflict"),
)


class _Served(NamedTuple):
    """What is served of one definition."""

    uid: str
    stamp: Any
    """What its kinds were made from."""
    schemas: Any
    """What its objects have been stored under."""
    stored: Kind
    kinds: Sequence[Kind]


@dataclass(slots=True)
class Definitions:
    """Keys are names of definitions."""

    client: Client
    kinds: Kinds
    log: "FilteringBoundLogger"
    clock: Clock
    name: str = "customresourcedefinition-controller"
    workers: int = 1
    backoff_cap: float = BACKOFF_CAP
    _cached: Cache[Object] | None = field(default=None, init=False)
    _served: dict[str, _Served] = field(default_factory=dict, init=False)

    @property
    def _kind(self) -> Kind:
        kind = self.kinds.get("apiextensions.k8s.io", "v1", "CustomResourceDefinition")
        if kind is None:
            raise RuntimeError("a plane without definitions")
        return kind

    def subscribe(self, subscriber: Subscriber, enqueue: Enqueue[str]) -> None:
        """Definitions. One that goes leaves its names to others."""

        def changed(change: Change[Object]) -> None:
            enqueue(name_of(change.new or change.old or {}))
            if change.new is None and self._cached is not None:
                for other in self._cached.values():
                    enqueue(name_of(other))

        self._cached = subscriber.follow(self._kind, changed)

    async def reconcile(self, key: str) -> Result:
        """Makes status and served kinds what the definition says."""
        try:
            definition = await self.client.get(self._kind, key)
        except NotFound:
            self._leave(key)
            return DONE
        if (served := self._served.get(key)) is not None and served.uid != uid_of(definition):
            self._leave(key)
        if is_terminating(definition):
            self._serve(key, definition)
            return await self._empty(definition)
        definition = await self._accept(definition)
        self._serve(key, definition)
        return DONE

    # Names

    async def _accept(self, definition: Object) -> Object:
        """Names are accepted in one revision, and established in the next one, as clients expect."""
        status = definition.get("status") or {}
        names = definition["spec"]["names"]
        reason, taken = await self._conflict(definition)
        if reason:
            said = f'"{taken}" is already in use'
            accepted: Mapping[str, Any] = status.get("acceptedNames") or {}
            conditions = self._conditions(status, "NamesAccepted", "False", reason, said)
            if _condition(status, "Established") is None:
                conditions = self._conditions(
                    {"conditions": conditions},
                    "Established",
                    "False",
                    "NotAccepted",
                    "not all names are accepted",
                )
            return await self._write(
                definition, {"conditions": conditions, "acceptedNames": accepted}
            )
        conditions = self._conditions(
            status, "NamesAccepted", "True", "NoConflicts", "no conflicts found"
        )
        if not _is_true(status, "Established"):
            conditions = self._conditions(
                {"conditions": conditions},
                "Established",
                "False",
                "Installing",
                "the initial names have been accepted",
            )
        definition = await self._write(
            definition, {"conditions": conditions, "acceptedNames": names}
        )
        conditions = self._conditions(
            definition["status"],
            "Established",
            "True",
            "InitialNamesAccepted",
            "the initial names have been accepted",
        )
        return await self._write(definition, {"conditions": conditions})

    async def _conflict(self, definition: Object) -> tuple[str, str]:
        """Why names are not accepted, and the first one that is taken; nothing when all are free."""
        spec = definition["spec"]
        found = await self.client.list(self._kind)
        own = [kind for kind in self.kinds if kind.custom is None and kind.group == spec["group"]]
        # upstream: what is built in comes first on every path
        plain: set[str | None] = {name for kind in own for name in (kind.plural, kind.singular)}
        kinds: set[str | None] = {name for kind in own for name in (kind.kind, kind.list_kind)}
        for other in found.items:
            if name_of(other) == name_of(definition) or other["spec"]["group"] != spec["group"]:
                continue
            taken = (other.get("status") or {}).get("acceptedNames") or {}
            plain |= {taken.get("plural"), taken.get("singular"), *(taken.get("shortNames") or ())}
            kinds |= {taken.get("kind"), taken.get("listKind")}
        for name, reason in _NAMES:
            wanted = spec["names"].get(name) or ()
            used = kinds if name in ("kind", "listKind") else plain
            for each in [wanted] if isinstance(wanted, str) else wanted:
                if each in used:
                    return reason, each
        return "", ""

    def _conditions(
        self, status: Mapping[str, Any], kind: str, value: str, reason: str, message: str
    ) -> list[Any]:
        """The conditions with one of them as given; its time stays as long as its value does."""
        found: list[Any] = list(status.get("conditions") or ())
        old = _condition(status, kind)
        now = format_time(self.clock.time())
        time = old["lastTransitionTime"] if old is not None and old["status"] == value else now
        new = {
            "type": kind,
            "status": value,
            "lastTransitionTime": time,
            "reason": reason,
            "message": message,
        }
        if old is None:
            return [*found, new]
        return [new if each is old else each for each in found]

    async def _write(self, definition: Object, change: Mapping[str, Any]) -> Object:
        status = definition.get("status") or {}
        if all(status.get(name) == value for name, value in change.items()):
            return definition
        return await self.client.update(
            self._kind, {**definition, "status": {**status, **change}}, subresource="status"
        )

    # Kinds

    def _serve(self, key: str, definition: Object) -> None:
        from verger.store.custom.kinds import kinds_of

        if not _is_true(definition["status"], "Established"):
            return
        stamp = (
            definition["spec"],
            definition["status"]["acceptedNames"],
            is_terminating(definition),
        )
        schemas = [
            (each["name"], each.get("storage"), each.get("schema"))
            for each in definition["spec"]["versions"]
        ]
        old = self._served.get(key)
        if old is not None and old.stamp == stamp:
            return
        restored = old.schemas is None or old.schemas != schemas if old is not None else False
        kinds = kinds_of(definition, restored=restored)
        for kind in old.kinds if old is not None else ():
            self.kinds.remove(kind)
        for kind in kinds.served:
            self.kinds.add(kind)
        self._served[key] = _Served(
            uid_of(definition), stamp, None if restored else schemas, *kinds
        )
        self.log.debug("kind served", definition=key)

    def _leave(self, key: str) -> None:
        old = self._served.pop(key, None)
        for kind in old.kinds if old is not None else ():
            self.kinds.remove(kind)

    # Deletion

    async def _empty(self, definition: Object) -> Result:
        """Deletes all objects; when there are none left, the definition may go."""
        if CLEANUP not in finalizers_of(definition):
            return DONE
        served = self._served.get(name_of(definition))
        if served is not None:
            kind = served.stored
            left = await self.client.list(kind)
            for namespace in sorted({_namespace(obj) for obj in left.items}):
                await self.client.delete_collection(kind, namespace)
            if left.items and (await self.client.list(kind)).items:
                conditions = self._terminating(
                    definition,
                    "True",
                    "InstanceDeletionInProgress",
                    "CustomResource deletion is in progress",
                )
                await self._write(definition, {"conditions": conditions})
                return Result(after=RECHECK)
        conditions = self._terminating(
            definition, "False", "InstanceDeletionCompleted", "removed all instances"
        )
        fields = definition["metadata"]
        kept = {**fields, "finalizers": without(finalizers_of(definition), CLEANUP)}
        # The kind leaves first: whoever sees that the definition is gone finds nothing of it.
        self._leave(name_of(definition))
        await self._write({**definition, "metadata": kept}, {"conditions": conditions})
        return DONE

    def _terminating(self, definition: Object, value: str, reason: str, message: str) -> list[Any]:
        return self._conditions(
            definition.get("status") or {}, "Terminating", value, reason, message
        )


def _namespace(obj: Object) -> str:
    return str(obj["metadata"].get("namespace") or "")


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any] | None:
    return next((each for each in status.get("conditions") or () if each["type"] == kind), None)


def _is_true(status: Mapping[str, Any], kind: str) -> bool:
    found = _condition(status, kind)
    return found is not None and found["status"] == "True"
