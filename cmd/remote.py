"""A client of a cluster for commands that ask it something and end."""

import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from verger.store.kinds import Kinds
    from verger.store.remote import RemoteClient
    from verger.watch.clock import Clock


@contextlib.asynccontextmanager
async def remote_client(
    kubeconfig: Path | None, kinds: "Kinds", clock: "Clock", *, component: str
) -> "AsyncIterator[RemoteClient]":
    """Speaks to the cluster that the kubeconfig, or the environment, describes. Raises KubeconfigError."""
    from verger.store.kubeconfig import connect
    from verger.store.remote import RemoteServer
    from verger.store.throttle import TokenBucket

    connection = connect(kubeconfig, environment=os.environ, clock=clock)
    server = RemoteServer(connection, kinds, clock, throttle=TokenBucket(clock, qps=0, burst=1))
    try:
        yield server.client(component)
    finally:
        await server.close()
