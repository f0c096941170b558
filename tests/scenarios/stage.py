"""Where scenarios are played: a control plane whose controllers are those of the test, in its process or over HTTPS.

Both have the same store, the same admission and the same clock, which stands still. Only the client differs: what a
controller asks for goes straight to the registry, or through RemoteClient, TLS and the API server.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Literal

from verger.embed import ControlPlane
from verger.embed.faults import Faults
from verger.store.client import Client
from verger.store.kubeconfig import connect
from verger.store.objects import key_of, name_of, namespace_of, revision_of, uid_of
from verger.store.remote import RemoteServer
from verger.store.throttle import TokenBucket
from verger.watch.clock import FakeClock

from tests.controllers.clients import TappedClient
from tests.controllers.harness import Cluster
from tests.controllers.objects import ROOT_CERTIFICATE, describe

Where = Literal["in this process", "over HTTPS"]
SPACE = "one"
FOLLOWED = ("Namespace", "ServiceAccount", "Secret", "ConfigMap", "Pod")
LIMIT = 60.0
"""Seconds by the machine's clock; far more than anything here takes. Reaching them is a failure."""


class StageClock(FakeClock):
    """Stands still until it is moved; the day can be another one without the time between having passed."""

    def jump(self, seconds: float) -> None:
        """It is later, and no timer has noticed."""
        self._start += seconds


class Stage(Cluster):
    """A cluster whose world is a plane, and whose controllers reach it through clients of one sort."""

    def __init__(
        self,
        plane: ControlPlane,
        clock: StageClock,
        client_of: Callable[[str], Client],
        *controllers: str,
        **options: Any,
    ) -> None:
        self._plane = plane
        super().__init__(*controllers, kinds=plane.kinds, **options)
        self.clock = clock  # type: ignore[assignment] - as still, but its turns are not counted
        self.user = plane.client
        self.informers = client_of("informers")  # type: ignore[assignment] - as it is in a daemon
        self.clients = {name: TappedClient(client_of(name)) for name in controllers}
        self.renew()

    @property
    def faults(self) -> Faults:
        """What goes wrong between the server and those who reach it over HTTPS or not."""
        return self._plane.faults

    async def settle(self, *, within: float = 0.0) -> None:
        """Waits until the controllers have seen all that there is and have nothing to do; `within`: and later, too."""
        end = self.clock.monotonic() + within
        async with asyncio.timeout(LIMIT):
            while True:
                while not await self._calm():
                    pass
                delayed = any(queue.delayed for queue in self.manager.statistics().values())
                wait = self.clock.next_timer()
                if not delayed or wait is None or self.clock.monotonic() + wait > end:
                    return
                await self.clock.advance(wait)

    async def _calm(self) -> bool:
        """Whether, after a turn of the loop, nobody has anything to do and nothing is on its way."""
        await asyncio.sleep(0)
        if self._running is None:
            return True
        if self._running.done():
            await self._running
        running = all(self.manager.synced(name) for name in self.clients)
        return running and self.manager.idle and await self._is_current() and self.manager.idle

    async def _is_current(self) -> bool:
        """Whether all caches show what there is."""
        informers = self.manager._informers._informers
        for (_, name, fields, _), informer in informers.items():
            found = await self.user.list(self.named(name), fields=fields)
            there = {key_of(namespace_of(o), name_of(o)): revision_of(o) for o in found.items}
            cache = informer.cache
            if there != {key: revision_of(cache.get(key) or {}) for key in cache.keys()}:  # noqa: SIM118
                return False
        return True

    async def world(self) -> list[str]:
        """What there is in the namespace, in sentences, and the namespace itself."""
        there = [
            obj
            for kind in FOLLOWED
            for obj in (await self.user.list(self.named(kind))).items
            if SPACE in (namespace_of(obj), name_of(obj))
        ]
        accounts = {
            key_of(namespace_of(o), name_of(o)): uid_of(o)
            for o in there
            if o["kind"] == "ServiceAccount"
        }
        return sorted(
            describe(obj, accounts, self.key.public_key, ROOT_CERTIFICATE) for obj in there
        )


@contextlib.asynccontextmanager
async def staged(where: Where, *controllers: str, **options: Any) -> AsyncIterator[Stage]:
    """A stage with these controllers, which do not run yet; they are stopped at its end."""
    clock = StageClock(time.time())  # certificates are looked at by the machine's
    async with contextlib.AsyncExitStack() as stack:
        plane = await stack.enter_async_context(ControlPlane(controllers=(), clock=clock))
        client_of: Callable[[str], Client] = lambda _: plane.client  # noqa: E731 - one of two
        if where == "over HTTPS":
            server = RemoteServer(
                connect(plane.kubeconfig, environment=os.environ, clock=clock),
                plane.kinds,
                clock,
                throttle=TokenBucket(clock, qps=0, burst=1),
            )
            stack.push_async_callback(server.close)
            client_of = server.client
        stage = Stage(plane, clock, client_of, *controllers, **options)
        stack.push_async_callback(stage.stop)
        yield stage
