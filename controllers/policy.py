"""The default roles and bindings are there, and have what they should have.

At the start of a plane they are made before anybody is served; this controller mends what happens to them later. A
deleted one comes back, a rule or subject that was taken out is put in again, and whatever somebody has added stays.

upstream does this only when an API server starts: plugin/pkg/auth/authorizer/rbac/bootstrappolicy
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from verger.controllers.reconcile import DONE, Enqueue, Object, Result, Subscriber
from verger.identity.policy import (
    GROUP_VERSION,
    Default,
    defaults,
    is_of_another_role,
    is_protected,
    mended,
)
from verger.store.client import Client
from verger.store.errors import AlreadyExists, NotFound
from verger.store.kinds import Kind, Kinds
from verger.store.objects import key_of, split_key, uid_of
from verger.watch.cache import Cache, Change
from verger.watch.workqueue import BACKOFF_CAP

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

KINDS: Final = ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")


class Key(NamedTuple):
    """One of the defaults."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        where = f"{self.namespace}/" if self.namespace else ""
        return f"{self.kind} {where}{self.name}"


ALL: Final = Key("", "", "")
"""Stands for those that are not there, and of which nobody can hear therefore."""


def _deviates(default: Default, obj: Object) -> bool:
    return is_of_another_role(default, obj) or mended(default, obj) is not None


@dataclass(slots=True)
class BootstrapPolicy:
    """Keys are the defaults that are not as they should be."""

    client: Client
    kinds: Kinds
    log: "FilteringBoundLogger"
    name: str = "bootstrap-policy-controller"
    workers: int = 1
    backoff_cap: float = BACKOFF_CAP
    _caches: dict[str, Cache[Object]] = field(default_factory=dict, init=False)

    def subscribe(self, subscriber: Subscriber, enqueue: Enqueue[Key]) -> None:
        """Roles and bindings that are not as they should be; and a look at the beginning which of them are missing."""
        known = defaults()
        self._caches = {}

        for name in KINDS:

            def changed(change: Change[Object], kind: str = name) -> None:
                key = Key(kind, *split_key(change.key))
                default = known.get(key)
                if default is not None and (change.new is None or _deviates(default, change.new)):
                    enqueue(key)

            self._caches[name] = subscriber.follow(self._kind(name), changed)
        enqueue(ALL)

    def _kind(self, name: str) -> Kind:
        kind = self.kinds.get(*GROUP_VERSION, name)
        if kind is None:
            raise LookupError(f"{name} is not served")
        return kind

    async def reconcile(self, key: Key) -> Result:
        """Makes or mends one of them."""
        if key == ALL:
            for each in defaults().values():
                if self._caches[each.kind].get(key_of(each.namespace, each.name)) is None:
                    await self._create(self._kind(each.kind), Key(*each[:3]))
            return DONE
        default, kind = defaults()[key], self._kind(key.kind)
        try:
            live = await self.client.get(kind, key.name, key.namespace)
        except NotFound:
            await self._create(kind, key)
            return DONE
        if not is_protected(live) and is_of_another_role(default, live):
            try:
                await self.client.delete(kind, key.name, key.namespace, uid=uid_of(live))
            except NotFound:
                return DONE  # its end has its own key
            await self._create(kind, key)
            return DONE
        better = mended(default, live)
        if better is None:
            return DONE
        try:
            await self.client.update(kind, better)
        except NotFound:
            return DONE
        self.log.info("mended", kind=key.kind, namespace=key.namespace, name=key.name)
        return DONE

    async def _create(self, kind: Kind, key: Key) -> None:
        try:
            await self.client.create(kind, defaults()[key].object)
        except AlreadyExists:
            return
        self.log.info("restored", kind=key.kind, namespace=key.namespace, name=key.name)
