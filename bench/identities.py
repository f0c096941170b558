"""The identity storm: how fast new namespaces get their account and their signed token.

This is what Verger is for, and the load at which it is hardest: many namespaces at once, each of
which makes three controllers and the signing threads meet. Only the HTTPS API is used. Two watches
(ServiceAccounts, Secrets) see when each namespace has its identity, as a client would, instead of
asking again and again.
"""

import argparse
import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import orjson

from bench.api import Figures, create_namespace, open_watches, spread
from bench.raw_client import Connection, Target, percentile, read_kubeconfig

Secrets = Literal["auto", "manual"]
IDENTITY_TIMEOUT = 600.0


@dataclass(frozen=True, slots=True)
class IdentityLoad:
    """How many namespaces, over how many connections, and who creates the Secret of each token.

    "auto": the server does. "manual": the client does as soon as it sees the account, which servers
    since 1.24 expect.
    """

    namespaces: int = 1000
    connections: int = 32
    secrets: Secrets = "auto"


@dataclass(slots=True)
class _Seen:
    """When each namespace was acknowledged, and its account and token appeared."""

    prefix: str
    expected: int
    done: asyncio.Future[None]
    created: dict[str, float] = field(default_factory=dict)
    accounts: dict[str, float] = field(default_factory=dict)
    tokens: dict[str, float] = field(default_factory=dict)
    wanted: asyncio.Queue[str] = field(default_factory=asyncio.Queue)

    def on_account(self, kind: str, found: dict[str, Any]) -> None:
        metadata = found["metadata"]
        namespace = metadata["namespace"]
        if kind == "ADDED" and metadata["name"] == "default" and namespace.startswith(self.prefix):
            self.accounts.setdefault(namespace, time.perf_counter())
            self.wanted.put_nowait(namespace)

    def on_secret(self, kind: str, found: dict[str, Any]) -> None:
        namespace = found["metadata"]["namespace"]
        if kind != "DELETED" and (found.get("data") or {}).get("token"):
            if not namespace.startswith(self.prefix) or namespace in self.tokens:
                return
            self.tokens[namespace] = time.perf_counter()
            if len(self.tokens) == self.expected and not self.done.done():
                self.done.set_result(None)

    def delays(self, seen: dict[str, float]) -> list[float]:
        """Return the seconds from each acknowledgement; what was seen before it counts as 0."""
        return [max(0.0, at - self.created[namespace]) for namespace, at in seen.items()]


async def measure(target: Target, load: IdentityLoad) -> Figures:
    """Create the namespaces and wait for all tokens; returns figures by name. The namespaces stay.

    Raises ProtocolError at a wrong answer, OSError at a lost connection, TimeoutError when tokens
    do not come.
    """
    connections = [await Connection.open(target) for _ in range(load.connections)]
    seen = _Seen(
        prefix=f"storm-{uuid4().hex[:8]}-",
        expected=load.namespaces,
        done=asyncio.get_running_loop().create_future(),
    )
    paths = [
        f"/api/v1/{resource}?watch=1&resourceVersion={await revision(connections[0], resource)}"
        for resource in ("serviceaccounts", "secrets")
    ]
    posters = []
    try:
        async with open_watches(
            target, paths, on_events=[seen.on_account, seen.on_secret], failed=seen.done
        ):
            if load.secrets == "manual":
                posters = [await Connection.open(target) for _ in connections]
            return await _storm(connections, posters, seen, load)
    finally:
        for connection in connections + posters:
            connection.close()


async def revision(connection: Connection, resource: str) -> str:
    """Return the revision of now, after which a watch may begin."""
    body = await connection.expect(200, "GET", f"/api/v1/{resource}?limit=1")
    return str(orjson.loads(body)["metadata"]["resourceVersion"])


async def _storm(
    connections: list[Connection], posters: list[Connection], seen: _Seen, load: IdentityLoad
) -> Figures:
    async def create(connection: Connection, number: int) -> None:
        name = f"{seen.prefix}{number}"
        await create_namespace(connection, name)
        seen.created[name] = time.perf_counter()

    async def post(connection: Connection, _: int) -> None:
        await _post_secret(connection, await seen.wanted.get())

    cpu, began = time.process_time(), time.perf_counter()
    try:
        async with asyncio.timeout(IDENTITY_TIMEOUT), asyncio.TaskGroup() as tasks:
            tasks.create_task(spread(connections, load.namespaces, create))
            if posters:
                tasks.create_task(spread(posters, load.namespaces, post))
            await seen.done
    except TimeoutError:
        raise TimeoutError(f"{len(seen.tokens)} of {load.namespaces} tokens came") from None
    seconds = time.perf_counter() - began
    accounts, tokens = seen.delays(seen.accounts), seen.delays(seen.tokens)
    return {
        "identities_per_s": load.namespaces / seconds,
        "created_s": max(seen.created.values()) - began,
        "account_p50_ms": percentile(accounts, 0.5) * 1e3,
        "account_p99_ms": percentile(accounts, 0.99) * 1e3,
        "token_p50_ms": percentile(tokens, 0.5) * 1e3,
        "token_p99_ms": percentile(tokens, 0.99) * 1e3,
        "client_cpu_share": (time.process_time() - cpu) / seconds,
    }


async def _post_secret(connection: Connection, namespace: str) -> None:
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/service-account-token",
        "metadata": {
            "name": "default-token",
            "annotations": {"kubernetes.io/service-account.name": "default"},
        },
    }
    path = f"/api/v1/namespaces/{namespace}/secrets"
    await connection.expect(201, "POST", path, orjson.dumps(body))


def main() -> None:
    """Run this load alone, against any server that a kubeconfig with a token leads to."""
    defaults = IdentityLoad()
    parser = argparse.ArgumentParser(prog="python -m bench.identities", description=main.__doc__)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("-n", "--namespaces", type=int, default=defaults.namespaces)
    parser.add_argument("-c", "--connections", type=int, default=defaults.connections)
    parser.add_argument("--secrets", choices=["auto", "manual"], default=defaults.secrets)
    options = vars(parser.parse_args())
    target = read_kubeconfig(options.pop("kubeconfig"))
    for name, value in asyncio.run(measure(target, IdentityLoad(**options))).items():
        print(f"{name:24} {value:.2f}")


if __name__ == "__main__":
    main()
