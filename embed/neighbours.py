"""Whether somebody else runs the same controllers already: two of a kind would work against each other.

The controller manager of Kubernetes holds a lease while it runs; one that was renewed a moment ago is believed at once,
and one that looks old is looked at again, since clocks differ and a lease that changes is alive. A manager that stands
for no election is known by what it has written into the namespaces that are new: the server says who and when. What it
wrote longer ago says nothing, since it may have been switched off.

A look takes at most as many requests as `PAGES_MAX`, three for each of `NEWEST` namespaces, and three for leases.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple, TypeVar

import aiohttp
import orjson
from verger.controllers.election import ElectionOptions, holder_of
from verger.controllers.root_ca import ROOT_CA
from verger.controllers.serviceaccounts import DEFAULT_ACCOUNT
from verger.embed.options import StartError
from verger.store.client import Client
from verger.store.errors import ApiError, NotFound
from verger.store.kinds import Kind, Kinds
from verger.store.objects import is_terminating, meta, name_of
from verger.store.remote import RemoteServer, collection_path
from verger.store.rules.configuration import TOKEN_SECRET
from verger.store.timestamps import parse
from verger.store.transport import NoAnswer, Request
from verger.watch.clock import Clock

NAMESPACE: Final = "kube-system"
LEASE: Final = "kube-controller-manager"
MANAGER: Final = "kube-controller-manager"
"""What stands in managedFields, whichever credentials its controllers use. upstream: the first word of its user agent"""
RECENT: Final = 180.0
"""Seconds, by the server's clock, for which a write says that its writer is at work."""
NEWEST: Final = 5
"""Namespaces that are looked into: whoever serves new ones has served these."""
PAGES_MAX: Final = 20
PATIENCE: Final = 10.0
PAUSE: Final = 0.5
"""Seconds for which a server that fails is asked again, and between two such requests."""
_PAGE: Final = 500
_METADATA: Final = (
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
)
"""Only metadata: no Secret is read for this."""
_WAY_OUT: Final = (
    "switch its ServiceAccount, token, root CA and namespace controllers off and start"
)
_SERVED: Final = (
    ("serviceaccount-controller", "ServiceAccount", f"metadata.name={DEFAULT_ACCOUNT}"),
    ("serviceaccount-token-controller", "Secret", f"type={TOKEN_SECRET}"),
    ("root-ca-publisher", "ConfigMap", f"metadata.name={ROOT_CA}"),
)
"""Controller -> what it writes into a new namespace."""
_NAMESPACES: Final = "namespace-controller"
Object = Mapping[str, Any]
T = TypeVar("T")


class _Page(NamedTuple):
    items: Sequence[Object]
    next: str
    now: float
    """The server's time."""


class Neighbourhood:
    """A server on which others may work. Nothing is written."""

    def __init__(
        self, server: RemoteServer, kinds: Kinds, clock: Clock, *, retry_period: float
    ) -> None:
        """`retry_period` is the number of seconds within which a living lease changes."""
        self._server = server
        self._client: Client = server.client("start")
        self._kinds = kinds
        self._leases = _lease_kind(kinds)
        self._clock = clock
        self._retry_period = retry_period

    async def check(self, controllers: Sequence[str], own: ElectionOptions | None) -> None:
        """Raises StartError when another manager runs one of these controllers, or when that cannot be seen.

        `own` is the lease of this process, if it has one. Replicas join one that is at work without asking again.
        """
        try:
            if own is None or own.name != LEASE:  # else only one of the two works at a time anyway
                await self._check_lease()
            if own is None or not await self._is_fresh(own):
                await self._check_writes(controllers)
        except ApiError as error:
            raise StartError(
                f"cannot see whether another controller manager runs here: {error}; make sure that none does, and start "
                "with --adopt"
            ) from None

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Asks again for a while when the server fails. Raises ApiError."""
        until = self._clock.monotonic() + PATIENCE
        while True:
            try:
                return await ask()
            except ApiError as error:
                if error.code < 500 or self._clock.monotonic() >= until:
                    raise
            await self._clock.sleep(PAUSE)

    # Leases

    async def _check_lease(self) -> None:
        first = await self._lease(LEASE, NAMESPACE)
        if not holder_of(first):
            return
        spec = first["spec"]
        if self._age(first) >= (spec.get("leaseDurationSeconds") or 0):
            # Its clock may go otherwise than ours: what tells is whether the lease changes.
            await self._clock.sleep(self._retry_period)
            second = await self._lease(LEASE, NAMESPACE)
            if second.get("spec") == spec or not holder_of(second):
                return
        raise StartError(
            f"{holder_of(first)} runs the controllers of this cluster (it holds the lease {NAMESPACE}/{LEASE}): {_WAY_OUT} "
            "with --adopt"
        )

    async def _is_fresh(self, own: ElectionOptions) -> bool:
        lease = await self._lease(own.name, own.namespace)
        return bool(holder_of(lease)) and self._age(lease) < own.lease_duration

    async def _lease(self, name: str, namespace: str) -> Object:
        """A lease, empty when there is none."""
        try:
            return await self._patiently(lambda: self._client.get(self._leases, name, namespace))
        except NotFound:
            return {}

    def _age(self, lease: Object) -> float:
        return self._clock.time() - _time(lease["spec"].get("renewTime"))

    # Writes

    async def _check_writes(self, controllers: Sequence[str]) -> None:
        namespaces = self._kinds.core("Namespace")
        newest: list[Object] = []
        after = ""
        for _ in range(PAGES_MAX):
            page = await self._page(namespaces, after=after)
            if _NAMESPACES in controllers:
                _judge(_NAMESPACES, namespaces, page)
            newest += [
                item
                for item in page.items
                if not is_terminating(item) and page.now - _created(item) < RECENT
            ]
            newest = sorted(newest, key=_created)[-NEWEST:]
            after = page.next
            if not after:
                break
        for namespace in newest:
            for controller, kind, fields in _SERVED:
                if controller in controllers:
                    row = self._kinds.core(kind)
                    _judge(controller, row, await self._page(row, name_of(namespace), fields))

    async def _page(
        self, kind: Kind, namespace: str = "", fields: str = "", after: str = ""
    ) -> _Page:
        """The metadata of some objects, and the time of the answer. Raises ApiError."""
        query = [("limit", str(_PAGE))]
        query += [
            (key, text) for key, text in (("fieldSelector", fields), ("continue", after)) if text
        ]
        request = Request(
            "GET",
            collection_path(kind, namespace),
            tuple(query),
            accept=_METADATA,
            agent="verger/start",
        )
        return await self._patiently(lambda: self._read(request))

    async def _read(self, request: Request) -> _Page:
        try:
            async with await self._server.transport.open(request) as response:
                found = orjson.loads(await response.read())
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            raise NoAnswer(f"{request}: the answer broke off") from None
        try:
            now = parsedate_to_datetime(response.headers.get("Date", "")).timestamp()
        except ValueError:
            now = self._clock.time()
        return _Page(
            found.get("items") or (), (found.get("metadata") or {}).get("continue") or "", now
        )


def _judge(controller: str, kind: Kind, page: _Page) -> None:
    """Raises StartError when another manager has written one of the objects a moment ago."""
    for item in page.items:
        for entry in meta(item).get("managedFields") or ():
            age = page.now - _time(entry.get("time"))
            if entry.get("manager") != MANAGER or age >= RECENT:
                continue
            name = "/".join(filter(None, (meta(item).get("namespace"), name_of(item))))
            raise StartError(
                f"{MANAGER} is at work as {controller} (it wrote {kind.kind} {name} {max(age, 0):.0f} s ago): {_WAY_OUT} "
                f"{RECENT / 60:.0f} minutes after that, or with --adopt"
            )


def _created(obj: Object) -> float:
    return _time(meta(obj).get("creationTimestamp"))


def _time(text: Any) -> float:
    try:
        return parse(text or "")
    except (TypeError, ValueError):
        return float("-inf")


def _lease_kind(kinds: Kinds) -> Kind:
    kind = kinds.get("coordination.k8s.io", "v1", "Lease")
    if kind is None:
        raise LookupError("Lease is not known")
    return kind
