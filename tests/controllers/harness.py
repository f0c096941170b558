"""A world in memory with real controllers in it, on a clock that stands still.

A test says which objects there are (`create`, before the controllers run), what happens (any coroutine), and what the
world looks like when nobody has anything left to do: `settle`, then `lines` or, with every field, `picture`.
"""

import asyncio
import contextlib
import functools
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, Literal, Self, cast

from verger.controllers.account_finalizer import AccountPods
from verger.controllers.aggregation import Aggregation
from verger.controllers.manager import Manager
from verger.controllers.namespaces import Namespaces
from verger.controllers.policy import BootstrapPolicy
from verger.controllers.reconcile import Object, Reconciler
from verger.controllers.recorder import Recorder
from verger.controllers.root_ca import RootCA
from verger.controllers.serviceaccounts import ServiceAccounts
from verger.controllers.token_cleaner import TokenCleaner
from verger.controllers.token_tracking import TokenTracking
from verger.controllers.tokens import Tokens
from verger.identity.keyring import KeyRing
from verger.identity.signing import SigningKey
from verger.store.errors import NotFound
from verger.store.fitting import Fitter
from verger.store.kinds import Kind, Kinds, built_in
from verger.store.local import LocalClient
from verger.store.memory import MemoryBackend
from verger.store.objects import key_of, name_of, namespace_of, split_key, thaw, uid_of
from verger.store.registry import Registry
from verger.store.request import MASTERS, User
from verger.store.schemas import load
from verger.store.tracking import Tracker
from verger.watch.clock import FakeClock

from tests.controllers.clients import Call, LaggingClient, TappedClient, TappedKey, any_name
from tests.controllers.objects import ABSENT, CURRENT, GOOD, ROOT_CERTIFICATE, decoded, describe
from tests.controllers.objects import Object as Made

ACCOUNTS = "serviceaccount-controller"
TOKENS = "serviceaccount-token-controller"
NAMESPACES = "namespace-controller"
ROOT_CA = "root-ca-publisher"
POLICY = "bootstrap-policy-controller"
AGGREGATION = "clusterrole-aggregation-controller"
TRACKING = "legacy-serviceaccount-token-tracking-controller"
CLEANER = "legacy-serviceaccount-token-cleaner-controller"
ACCOUNT_PODS = "serviceaccount-finalizer-controller"
ALL = (ACCOUNTS, TOKENS, NAMESPACES, ROOT_CA)
RBAC = ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
FEW = ("Namespace", "Event", "ConfigMap", "Secret", "ServiceAccount", "Pod", "Deployment")
"""Kinds that are enough for most tests; a pass over a namespace takes a call or three for each."""
_UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")


class QuietClock(FakeClock):
    """Stands still, and gives the others turns until none of them can do anything more."""

    async def _turns(self) -> None:
        loop: Any = asyncio.get_running_loop()
        await asyncio.sleep(0)
        while loop._ready:  # noqa: ASYNC110 - nothing tells that the others have had their turns
            await asyncio.sleep(0)


class Log:
    """A logger that keeps what it is told."""

    def __init__(self, lines: list[tuple[str, str, dict[str, Any]]] | None = None) -> None:
        self.lines = lines if lines is not None else []

    def bind(self, **_: Any) -> "Log":
        return Log(self.lines)

    def debug(self, event: str, **values: Any) -> None:
        self.lines.append(("debug", event, values))

    def info(self, event: str, **values: Any) -> None:
        self.lines.append(("info", event, values))

    def warning(self, event: str, **values: Any) -> None:
        self.lines.append(("warning", event, values))

    def said(self, level: str) -> list[str]:
        """The messages of one level."""
        return [event for at, event, _ in self.lines if at == level]


@functools.cache
def _kinds_of(names: tuple[str, ...]) -> tuple[Kind, ...]:
    every = built_in(load())
    return tuple(kind for kind in every if kind.kind in names and kind.group != "events.k8s.io")


def some_kinds(*names: str) -> Kinds:
    """The built-in kinds of these names, in their preferred versions."""
    return Kinds(_kinds_of(names))


class Cluster:
    """The store, its user, and the controllers that were asked for. Controllers run inside `async with`."""

    def __init__(
        self,
        *controllers: str,
        kinds: Kinds | None = None,
        mode: Literal["auto", "on-request"] = "auto",
        accounts: Sequence[str] = ("default",),
        root_ca: str = ROOT_CERTIFICATE,
    ) -> None:
        self.clock = QuietClock()
        self.kinds = kinds or some_kinds(*FEW)
        self.backend = MemoryBackend(self.clock)
        self.registry = Registry(self.backend, self.clock)
        self.key: SigningKey = TappedKey.generate()
        self.log = Log()
        self.user = self._client("user")
        self.informers = LaggingClient(self._client("informers"))
        self.clients = {name: TappedClient(self._client(name)) for name in controllers}
        self._mode = mode
        self._accounts = tuple(accounts)
        self._root_ca = root_ca
        self._running: asyncio.Task[None] | None = None
        self.manager = self._new_manager()

    def _client(self, user: str) -> LocalClient:
        return LocalClient(
            self.registry,
            self.kinds,
            Fitter(load(), Tracker(load(), self.clock)),
            User(user, groups=(MASTERS,)),
        )

    # Controllers

    def _new_manager(self) -> Manager:
        made: list[Reconciler[Any]] = [self._reconciler(name) for name in self.clients]
        return Manager(made, self.informers, self.clock, cast("Any", self.log))

    def _reconciler(self, name: str) -> Reconciler[Any]:
        client, log = self.clients[name], cast("Any", self.log)
        events = self.kinds.core("Event")
        recorder = Recorder(client, events, self.clock, log, component=name)
        made: dict[str, Callable[[], Reconciler[Any]]] = {
            ACCOUNTS: lambda: ServiceAccounts(
                client, self.kinds, recorder, log, accounts=self._accounts
            ),
            TOKENS: lambda: Tokens(
                client, self.kinds, recorder, log, KeyRing(self.key), self._root_ca, self._mode
            ),
            NAMESPACES: lambda: Namespaces(client, self.kinds, recorder, log, self.clock),
            ROOT_CA: lambda: RootCA(client, self.kinds, recorder, log, self._root_ca),
            POLICY: lambda: BootstrapPolicy(client, self.kinds, log),
            AGGREGATION: lambda: Aggregation(client, self.kinds, log),
            TRACKING: lambda: TokenTracking(client, self.kinds, log, self.clock),
            CLEANER: lambda: TokenCleaner(client, self.kinds, log, self.clock),
            ACCOUNT_PODS: lambda: AccountPods(client, self.kinds, recorder, log),
        }
        return made[name]()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()
        if error is None:
            taps = [tap for client in self.clients.values() for tap in client.taps]
            assert all(getattr(tap, "spent", True) for tap in taps), "nothing came of a tap"

    async def start(self) -> None:
        """Runs the controllers, and waits until they have done what there was to do."""
        self.begin()
        await self.settle()

    def begin(self) -> None:
        """Runs the controllers."""
        self._running = asyncio.create_task(self.manager.run(list(self.clients)))

    async def stop(self) -> None:
        """Ends the controllers, in the middle of whatever they do. Raises what broke them."""
        running, self._running = self._running, None
        if running is None:
            return
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running

    async def restart(self) -> None:
        """Another process: nothing is left of the controllers but what they wrote."""
        await self.stop()
        self.renew()
        await self.start()

    def renew(self) -> None:
        """Makes the controllers anew, as things stand now."""
        self.manager = self._new_manager()

    @contextlib.asynccontextmanager
    async def unsettled(self) -> AsyncIterator[None]:
        """The controllers run, in a world in which they will always have something to do."""
        self.begin()
        try:
            await self.clock.advance()
            yield
        finally:
            await self.stop()

    async def lose_history(self, happens: Callable[[], Awaitable[object]]) -> None:
        """Something happens that no watch tells of any more: the controllers have to list again."""
        listed = [call.verb for call in self.informers.calls].count("list")
        await happens()
        self.backend.compact(self.backend.revision)
        await self.clock.advance()
        assert [call.verb for call in self.informers.calls].count("list") > listed

    async def settle(self, *, within: float = 20_000.0) -> None:
        """Moves time on until no controller has anything to do, now or later. Fails after `within` seconds."""
        end = self.clock.monotonic() + within
        while True:
            await self.clock.advance()
            if self._running is not None and self._running.done():
                await self._running
            assert "list or watch failed" not in self.log.said("warning")
            delayed = any(queue.delayed for queue in self.manager.statistics().values())
            if self.manager.idle and not delayed:
                return
            wait = self.clock.next_timer()
            assert wait is not None, "something waits for something that will not come"
            assert self.clock.monotonic() + wait <= end, f"busy: {self.manager.statistics()}"
            await self.clock.advance(wait)

    # What users do

    def kind(self, obj: Object) -> Kind:
        """The kind of an object."""
        group, _, version = str(obj.get("apiVersion") or "v1").rpartition("/")
        kind = self.kinds.get(group, version, obj["kind"])
        assert kind is not None
        return kind

    def named(self, name: str) -> Kind:
        """The kind of that name."""
        (kind,) = (kind for kind in self.kinds if kind.kind == name)
        return kind

    async def create(self, *objects: Made) -> None:
        """Creates objects, in order; words in angle brackets are replaced (see `objects`)."""
        for obj in objects:
            await self.user.create(self.kind(obj), await self.completed(obj))

    async def update(self, obj: Made) -> None:
        """Replaces an object, whatever its revision."""
        await self.user.update(self.kind(obj), await self.completed(obj))

    async def edit(self, kind: str, key: str, change: Callable[[dict[str, Any]], object]) -> None:
        """Changes an object as kubectl edit would."""
        obj = thaw(await self.get(kind, key))
        change(obj)
        await self.user.update(self.named(kind), obj)

    async def label(self, kind: str, key: str) -> None:
        """Changes an object in a way that nobody cares about."""
        revision = str(self.backend.revision)
        await self.edit(kind, key, lambda o: o["metadata"].update(labels={"touched": revision}))

    async def get(self, kind: str, key: str) -> Object:
        """An object. Raises NotFound."""
        namespace, name = split_key(key)
        return await self.user.get(self.named(kind), name, namespace)

    async def has(self, kind: str, key: str) -> bool:
        """Whether there is such an object."""
        try:
            await self.get(kind, key)
        except NotFound:
            return False
        return True

    async def all(self, kind: str, namespace: str = "") -> list[Object]:
        """All objects of a kind."""
        return list((await self.user.list(self.named(kind), namespace)).items)

    async def delete(self, kind: str, key: str) -> None:
        """Deletes an object; one that is not there is gone already."""
        namespace, name = split_key(key)
        with contextlib.suppress(NotFound):
            await self.user.delete(self.named(kind), name, namespace)

    async def finalize(self, namespace: str) -> None:
        """Lets a namespace go as its controller would."""
        obj = thaw(await self.get("Namespace", namespace))
        obj["spec"]["finalizers"] = []
        await self.user.update(self.named("Namespace"), obj, subresource="finalize")

    async def tokens_of(self, account: str) -> list[str]:
        """The names of the tokens that the controller made for an account, given as `namespace/name`."""
        namespace, name = split_key(account)
        return [
            name_of(secret)
            for secret in await self.all("Secret", namespace)
            if any_name(name_of(secret)) == f"{name}-token-*"
        ]

    async def references_of(self, account: str) -> list[str]:
        """The names that an account refers to."""
        found = await self.get("ServiceAccount", account)
        return [entry.get("name", "") for entry in found.get("secrets") or ()]

    async def completed(self, obj: Made) -> dict[str, Any]:
        """The object with the words in angle brackets replaced."""
        done = thaw(obj)
        namespace = namespace_of(obj)
        notes = done["metadata"].get("annotations") or {}
        account = notes.get("kubernetes.io/service-account.name", "")
        uid = ""
        if account and await self.has("ServiceAccount", key_of(namespace, account)):
            uid = uid_of(await self.get("ServiceAccount", key_of(namespace, account)))
        for key, value in notes.items():
            if value == CURRENT:
                assert uid, "an account that is not there has no uid"
                notes[key] = uid
            assert value != ABSENT
        data = done.get("stringData") or {}
        if data.get("token") == GOOD:
            data["token"] = await self.token(namespace, account, uid, name_of(obj))
        return done

    async def token(self, namespace: str, account: str, uid: str, secret: str) -> str:
        """A token as it should be, signed with the plane's key."""
        prefix = "kubernetes.io/serviceaccount"
        return await SigningKey.sign(  # past the taps: it is the user who signs
            self.key,
            {
                "iss": "kubernetes/serviceaccount",
                f"{prefix}/namespace": namespace,
                f"{prefix}/secret.name": secret,
                f"{prefix}/service-account.name": account,
                f"{prefix}/service-account.uid": uid,
                "sub": f"system:serviceaccount:{namespace}:{account}",
            },
        )

    # What there is

    async def everything(self) -> list[Object]:
        """All objects but events, which tell what happened and are no part of the outcome."""
        kinds = [kind for kind in await self.user.kinds() if kind.stored and kind.kind != "Event"]
        return [obj for kind in kinds for obj in (await self.user.list(kind)).items]

    async def lines(self, *kinds: str) -> list[str]:
        """The world in sentences, sorted; without kinds, all but the namespaces."""
        there = await self.everything()
        wanted = kinds or {obj["kind"] for obj in there} - {"Namespace"}
        accounts = {
            key_of(namespace_of(o), name_of(o)): uid_of(o)
            for o in there
            if o["kind"] == "ServiceAccount"
        }
        return sorted(
            describe(obj, accounts, self.key.public_key, self._root_ca)
            for obj in there
            if obj["kind"] in wanted
        )

    async def picture(self) -> list[str]:
        """The world with every field but times and revisions, names for uids, and claims for tokens."""
        there = await self.everything()
        uids = {
            uid_of(obj): f"uid of {obj['kind']} {key_of(namespace_of(obj), name_of(obj))}"
            for obj in there
        }

        def plain(obj: Object) -> str:
            out = thaw(obj)
            for field in ("resourceVersion", "creationTimestamp", "generation"):
                out["metadata"].pop(field, None)
            if out["metadata"].get("deletionTimestamp"):
                out["metadata"]["deletionTimestamp"] = "set"
            for condition in (out.get("status") or {}).get("conditions") or ():
                condition.pop("lastTransitionTime")
            if out["kind"] == "Secret":
                out["data"] = {
                    key: decoded(key, value, self.key.public_key)
                    for key, value in (out.get("data") or {}).items()
                }
            text = json.dumps(out, sort_keys=True)
            return any_name(_UID.sub(lambda found: uids.get(found[0], "uid of nobody"), text))

        return sorted(plain(obj) for obj in there)

    def calls(self, controller: str) -> list[Call]:
        """What a controller has asked of the server so far."""
        return self.clients[controller].calls

    def writes(self) -> list[str]:
        """What all controllers have changed so far, controller by controller."""
        return [write for client in self.clients.values() for write in client.writes]
