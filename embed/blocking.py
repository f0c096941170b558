"""A control plane for programs without an event loop: it runs in a thread of its own.

Every method waits for its outcome. What takes no time in the plane takes a hop between threads here.
"""

import asyncio
import threading
import warnings
from collections.abc import Coroutine, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from verger.controllers.origins import Origins
from verger.embed.access import ServiceAccountAccess
from verger.embed.blocking_faults import BlockingFaults
from verger.embed.changes import Change
from verger.embed.options import PlaneOptions
from verger.embed.plane import ControlPlane
from verger.embed.rbac_report import RbacReport
from verger.embed.requests import Requests
from verger.embed.snapshots import Snapshot
from verger.store.local import LocalClient

T = TypeVar("T")


class BlockingPlane:
    """A plane that is started by `with`. Its methods may be called from any thread but its own."""

    def __init__(
        self, options: PlaneOptions | None = None, *, seed: int | None = None, **overrides: Any
    ) -> None:
        self._plane = ControlPlane(options, seed=seed, **overrides)
        self.faults = BlockingFaults(self._plane.faults, self._do)
        """What goes wrong on purpose."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Starts everything, and returns when the plane is ready. Raises StartError."""
        if self._loop is not None:
            raise RuntimeError("the plane has been started already")
        self._loop = asyncio.new_event_loop()
        # It does not keep a program alive that ends without stopping it.
        self._thread = threading.Thread(
            target=_work, args=(self._loop,), name="verger plane", daemon=True
        )
        self._thread.start()
        try:
            self._do(self._plane.start())
        except BaseException:
            self._end()
            raise

    def stop(self) -> None:
        """Stops everything. Stopping twice is harmless. Raises what broke the plane."""
        if self._loop is None:
            return
        try:
            self._do(self._plane.stop())
        finally:
            self._end()

    def __del__(self) -> None:
        # Attributes are missing where the options were wrong.
        loop = getattr(self, "_loop", None)
        if loop is None:
            return
        warnings.warn(
            f"the plane at {self.url} was not stopped", ResourceWarning, stacklevel=1, source=self
        )
        if loop.is_running():
            # Nobody waits: this may be the plane's own thread.
            stopped = asyncio.run_coroutine_threadsafe(self._plane.stop(), loop)
            stopped.add_done_callback(lambda _: loop.call_soon_threadsafe(loop.stop))

    def _end(self) -> None:
        loop, thread = self._loop, self._thread
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
        self._loop = self._thread = None

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            raise RuntimeError("the plane has not been started")
        return self._loop

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            loop = self._running()
        except RuntimeError:
            work.close()
            raise
        return asyncio.run_coroutine_threadsafe(work, loop).result()

    # What a plane offers

    @property
    def url(self) -> str:
        """Where the API is served, as `https://host:port`."""
        return self._plane.url

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self._plane.kubeconfig

    @property
    def ca(self) -> bytes:
        """The authority to verify the server with, in PEM."""
        return self._plane.ca

    @property
    def token(self) -> str:
        """The administrator's bearer token."""
        return self._plane.token

    def settle(self, within: float = 10.0) -> None:
        """Returns when every watch has been delivered and no controller has anything to do at once. Raises Unsettled."""
        self._do(self._plane.settle(within))

    def namespace(self, name: str, **metadata: Any) -> Mapping[str, Any]:
        """Makes a namespace and returns it when it can be used: with its account, the token and the root CA."""
        return self._do(self._plane.namespace(name, **metadata))

    def as_service_account(
        self, namespace: str, name: str = "default", *, seconds: int = 3600
    ) -> ServiceAccountAccess:
        """What a program of that account would have. Raises NotFound."""
        return self._do(self._plane.as_service_account(namespace, name, seconds=seconds))

    def snapshot(self) -> Snapshot:
        """The objects of now, to come back to with `restore`."""

        async def taken() -> Snapshot:
            return self._plane.snapshot()

        return self._do(taken())

    def restore(self, snapshot: Snapshot) -> None:
        """Makes the objects what they were, and lets the controllers hear of it."""
        self._do(self._back(snapshot))

    def reset(self) -> None:
        """Makes everything what it was when the plane had started: objects, controllers, requests, faults."""
        self._do(self._back(None))

    @property
    def requests(self) -> Requests:
        """What was asked of the API and how it was answered."""
        return self._plane.requests

    def rbac_report(self) -> RbacReport:
        """Which rights identities have used of those that they have, and the smallest roles that would do."""

        async def reported() -> RbacReport:
            return self._plane.rbac_report()

        return self._do(reported())

    @property
    def revision(self) -> int:
        """The revision of the newest change."""
        return self._plane.revision

    def changes(self, after: int = 0) -> list[Change]:
        """What was changed above a revision, as far back as the history goes, oldest first."""

        async def told() -> list[Change]:
            return self._plane.changes(after)

        return self._do(told())

    @property
    def origins(self) -> Origins:
        """Who wrote what, and why, on a plane that was made with `trace=True`."""
        return self._plane.origins

    def recent(self, lines: int = 20) -> str:
        """What has happened lately, for somebody who looks for a reason."""

        async def told() -> str:
            return self._plane.recent(lines)

        return self._do(told())

    async def _back(self, snapshot: Snapshot | None) -> None:
        if snapshot is None:
            self._plane.reset()
        else:
            self._plane.restore(snapshot)
        await self._plane.settle()

    # The administrator's client

    def get(self, api_version: str, kind: str, name: str, namespace: str = "") -> Mapping[str, Any]:
        """An object. Raises NotFound."""
        return self._do(self._client.get(self._kind(api_version, kind), name, namespace))

    def list(self, api_version: str, kind: str, namespace: str = "") -> list[Mapping[str, Any]]:
        """All objects of a kind, in a namespace or everywhere."""
        found = self._do(self._client.list(self._kind(api_version, kind), namespace))
        return list(found.items)

    def create(self, obj: Mapping[str, Any]) -> Mapping[str, Any]:
        """Stores a new object, which says its apiVersion and kind."""
        kind = self._kind(str(obj.get("apiVersion")), str(obj.get("kind")))
        return self._do(self._client.create(kind, obj))

    def update(self, obj: Mapping[str, Any], *, subresource: str = "") -> Mapping[str, Any]:
        """Replaces an object. Raises Conflict."""
        kind = self._kind(str(obj.get("apiVersion")), str(obj.get("kind")))
        return self._do(self._client.update(kind, obj, subresource=subresource))

    def delete(self, api_version: str, kind: str, name: str, namespace: str = "") -> None:
        """Deletes an object. Raises NotFound."""
        self._do(self._client.delete(self._kind(api_version, kind), name, namespace))

    @property
    def _client(self) -> LocalClient:
        return self._plane.client

    def _kind(self, api_version: str, kind: str) -> Any:
        group, _, version = api_version.rpartition("/")
        found = self._plane.kinds.get(group, version, kind)
        if found is None:
            raise LookupError(f"the plane does not serve {kind} of {api_version}")
        return found


def _work(loop: asyncio.AbstractEventLoop) -> None:
    """The thread of a plane. It knows the loop alone, so that a plane that nobody has any more is noticed."""
    asyncio.set_event_loop(loop)
    loop.run_forever()
    # Connections that were about to be made.
    for task in (tasks := asyncio.all_tasks(loop)):
        task.cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
