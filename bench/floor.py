"""The floor: the least server that could be said to do the same, for goals to be a share of.

Bare aiohttp with ordinary routes and orjson over TLS, and nothing else: no authentication, no
validation, no history, no controllers. Objects are encoded once, kept as bytes in dicts, listed by
joining, and sent to watchers through queues. A new namespace gets its account and signed token in
the handler that creates it. It must stay honest in both directions: nothing in it may be slower
than plain Python needs, or the goals compare with a straw man. `Signer` tells the one exception.
"""

import argparse
import asyncio
import base64
import os
import signal
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any
from uuid import uuid4

import orjson
from aiohttp import web
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from bench.certificates import make_tls

KINDS = {
    "namespaces": "Namespace",
    "configmaps": "ConfigMap",
    "serviceaccounts": "ServiceAccount",
    "secrets": "Secret",
}
TOKEN_TYPE = "kubernetes.io/service-account-token"
ACCOUNT_NAME = "kubernetes.io/service-account.name"
ACCOUNT_UID = "kubernetes.io/service-account.uid"

Object = dict[str, Any]


class Signer:
    """Signs tokens: on a pool with one thread for each core, or on the event loop itself.

    The pool is what a server needs that must stay responsive with any algorithm. An ES256 signature
    is so cheap that handing it over costs more than making it, so for that one the loop is faster,
    and the benchmarks show both.
    """

    def __init__(self, algorithm: str, *, place: str) -> None:
        self._on_loop = place == "loop"
        self._key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
        if algorithm == "ES256":
            self._key = ec.generate_private_key(ec.SECP256R1())
        else:
            self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._head = _base64url(orjson.dumps({"alg": algorithm, "kid": uuid4().hex}))
        self._pool = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="sign")

    async def token(self, claims: Object) -> bytes:
        """Return the compact JWS of the claims."""
        if self._on_loop:
            return self._sign(claims)
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._sign, claims)

    def _sign(self, claims: Object) -> bytes:
        message = b"%b.%b" % (self._head, _base64url(orjson.dumps(claims)))
        if isinstance(self._key, ec.EllipticCurvePrivateKey):
            r, s = decode_dss_signature(self._key.sign(message, ec.ECDSA(hashes.SHA256())))
            signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        else:
            signature = self._key.sign(message, padding.PKCS1v15(), hashes.SHA256())
        return b"%b.%b" % (message, _base64url(signature))

    def close(self) -> None:
        """Let the threads go."""
        self._pool.shutdown()


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


class World:
    """All objects as encoded bytes, one revision counter, and the queues of those who watch."""

    def __init__(self) -> None:
        self.revision = 0
        self._rows: defaultdict[tuple[str, str], dict[str, bytes]] = defaultdict(dict)
        self._watchers: defaultdict[tuple[str, str], set[asyncio.Queue[bytes]]] = defaultdict(set)

    def get(self, resource: str, namespace: str, name: str) -> bytes | None:
        """Return the encoded object; the namespace of a namespace is ""."""
        return self._rows[resource, namespace].get(name)

    def list(self, resource: str, namespace: str) -> bytes:
        """Return an encoded list of one namespace, or of all namespaces for ""."""
        if namespace or resource == "namespaces":
            items = b",".join(self._rows[resource, namespace].values())
        else:
            groups = [rows for (kind, _), rows in self._rows.items() if kind == resource]
            items = b",".join(row for rows in groups for row in rows.values())
        return (
            b'{"kind":"%bList","apiVersion":"v1","metadata":{"resourceVersion":"%d"},"items":[%b]}'
            % (KINDS[resource].encode(), self.revision, items)
        )

    def write(self, resource: str, namespace: str, body: Object, *, event: bytes) -> bytes:
        """Stamp the object, keep it, tell the watchers; returns it encoded."""
        self.revision += 1
        metadata = body["metadata"]
        metadata["resourceVersion"] = str(self.revision)
        if event == b"ADDED":
            metadata["uid"] = str(uuid4())
            metadata["creationTimestamp"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        if namespace:
            metadata["namespace"] = namespace
        row = orjson.dumps(body)
        self._rows[resource, namespace][metadata["name"]] = row
        self._publish(resource, namespace, event, row)
        return row

    def delete(self, resource: str, namespace: str, name: str) -> bytes | None:
        """Remove an object, and with a namespace all that is in it; None when there is none."""
        row = self._rows[resource, namespace].pop(name, None)
        if row is None:
            return None
        if resource == "namespaces":
            for inner in ("configmaps", "serviceaccounts", "secrets"):
                for orphan in self._rows.pop((inner, name), {}).values():
                    self.revision += 1
                    self._publish(inner, name, b"DELETED", orphan)
        self.revision += 1
        self._publish(resource, namespace, b"DELETED", row)
        return row

    def _publish(self, resource: str, namespace: str, event: bytes, row: bytes) -> None:
        near = self._watchers.get((resource, namespace))
        everywhere = self._watchers.get((resource, "")) if namespace else None
        if near or everywhere:
            line = b'{"type":"%b","object":%b}\n' % (event, row)
            for queue in near or ():
                queue.put_nowait(line)
            for queue in everywhere or ():
                queue.put_nowait(line)

    def subscribe(self, resource: str, namespace: str) -> asyncio.Queue[bytes]:
        """Return a queue that gets every later event as an encoded line, and b"" at the end."""
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._watchers[resource, namespace].add(queue)
        return queue

    def unsubscribe(self, resource: str, namespace: str, queue: asyncio.Queue[bytes]) -> None:
        """Forget the queue."""
        self._watchers[resource, namespace].discard(queue)

    def hang_up(self) -> None:
        """End every watch."""
        for queues in self._watchers.values():
            for queue in queues:
                queue.put_nowait(b"")


class Handlers:
    """The routes: namespaces, and three kinds of objects in them."""

    def __init__(self, world: World, signer: Signer, *, token_secrets: str) -> None:
        self._world = world
        self._signer = signer
        self._automatic = token_secrets == "auto"

    def routes(self) -> list[web.RouteDef]:
        """Return the routes, the busiest first, because aiohttp tries them in order."""
        one = "/api/v1/namespaces/{namespace}/{resource}/{name}"
        many = "/api/v1/namespaces/{namespace}/{resource}"
        return [
            web.get(one, self.get),
            web.post(many, self.create),
            web.put(one, self.update),
            web.get(many, self.list),
            web.delete(one, self.delete),
            web.post("/api/v1/namespaces", self.create_namespace),
            web.get("/api/v1/namespaces/{name}", self.get),
            web.delete("/api/v1/namespaces/{name}", self.delete),
            web.get("/readyz", self.ready),
            web.get("/api/v1/{resource}", self.list),
        ]

    async def get(self, request: web.Request) -> web.Response:
        row = self._world.get(*_names(request))
        return _answer(row) if row is not None else _failure(404, "NotFound")

    async def list(self, request: web.Request) -> web.StreamResponse:
        resource, namespace, _ = _names(request)
        if resource not in KINDS:
            return _failure(404, "NotFound")
        if "watch" in request.query:
            return await self._watch(request, resource, namespace)
        return _answer(self._world.list(resource, namespace))

    async def _watch(
        self, request: web.Request, resource: str, namespace: str
    ) -> web.StreamResponse:
        queue = self._world.subscribe(resource, namespace)
        try:
            response = web.StreamResponse(headers={"Content-Type": "application/json"})
            response.enable_chunked_encoding()
            await response.prepare(request)
            # An empty write sends the head, so that the client knows that it is watching.
            await response.write(b"")
            while line := await queue.get():
                lines = [line]
                while not queue.empty():
                    lines.append(queue.get_nowait())
                await response.write(b"".join(lines))
                if not lines[-1]:
                    break
            return response
        finally:
            self._world.unsubscribe(resource, namespace, queue)

    async def create(self, request: web.Request) -> web.Response:
        resource, namespace, _ = _names(request)
        body = orjson.loads(await request.read())
        if self._world.get("namespaces", "", namespace) is None:
            return _failure(404, "NotFound")
        if self._world.get(resource, namespace, body["metadata"]["name"]) is not None:
            return _failure(409, "AlreadyExists")
        if resource == "secrets" and body.get("type") == TOKEN_TYPE:
            account = self._world.get("serviceaccounts", namespace, "default")
            if account is None:
                return _failure(404, "NotFound")
            name = body["metadata"]["name"]
            return _answer(await self._token_secret(namespace, orjson.loads(account), name), 201)
        return _answer(self._world.write(resource, namespace, body, event=b"ADDED"), 201)

    async def update(self, request: web.Request) -> web.Response:
        resource, namespace, name = _names(request)
        body = orjson.loads(await request.read())
        before = self._world.get(resource, namespace, name)
        if before is None:
            return _failure(404, "NotFound")
        kept = orjson.loads(before)["metadata"]
        body["metadata"]["uid"] = kept["uid"]
        body["metadata"]["creationTimestamp"] = kept["creationTimestamp"]
        return _answer(self._world.write(resource, namespace, body, event=b"MODIFIED"))

    async def delete(self, request: web.Request) -> web.Response:
        row = self._world.delete(*_names(request))
        return _answer(row) if row is not None else _failure(404, "NotFound")

    async def create_namespace(self, request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        name = body["metadata"]["name"]
        if self._world.get("namespaces", "", name) is not None:
            return _failure(409, "AlreadyExists")
        row = self._world.write("namespaces", "", body, event=b"ADDED")
        account = {"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "default"}}
        self._world.write("serviceaccounts", name, account, event=b"ADDED")
        if self._automatic:
            await self._token_secret(name, account, "default-token")
        return _answer(row, 201)

    async def _token_secret(self, namespace: str, account: Object, name: str) -> bytes:
        uid = account["metadata"]["uid"]
        claims = {
            "iss": "kubernetes/serviceaccount",
            "kubernetes.io/serviceaccount/namespace": namespace,
            "kubernetes.io/serviceaccount/secret.name": name,
            "kubernetes.io/serviceaccount/service-account.name": "default",
            "kubernetes.io/serviceaccount/service-account.uid": uid,
            "sub": f"system:serviceaccount:{namespace}:default",
        }
        token = await self._signer.token(claims)
        secret = {
            "kind": "Secret",
            "apiVersion": "v1",
            "metadata": {
                "name": name,
                "annotations": {ACCOUNT_NAME: "default", ACCOUNT_UID: uid},
            },
            "data": {"token": base64.b64encode(token).decode()},
            "type": TOKEN_TYPE,
        }
        return self._world.write("secrets", namespace, secret, event=b"ADDED")

    async def ready(self, request: web.Request) -> web.Response:
        return web.Response(body=b"ok")


def _names(request: web.Request) -> tuple[str, str, str]:
    """Return resource, namespace and name of a path, "" for those it does not have."""
    found = request.match_info
    return found.get("resource", "namespaces"), found.get("namespace", ""), found.get("name", "")


def _answer(row: bytes, status: int = 200) -> web.Response:
    return web.Response(body=row, status=status, content_type="application/json")


def _failure(code: int, reason: str) -> web.Response:
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason}
    return _answer(orjson.dumps({**status, "code": code}), code)


class Floor:
    """The running server, as an async context manager; listens on a free port of 127.0.0.1."""

    def __init__(
        self, *, algorithm: str = "ES256", token_secrets: str = "auto", signing: str = "pool"
    ) -> None:
        self._world = World()
        self._signer = Signer(algorithm, place=signing)
        self._runner: web.AppRunner | None = None
        self._token_secrets = token_secrets
        self.kubeconfig = b""

    async def __aenter__(self) -> "Floor":
        app = web.Application()
        handlers = Handlers(self._world, self._signer, token_secrets=self._token_secrets)
        app.add_routes(handlers.routes())
        app.on_shutdown.append(self._hang_up)
        # A watch whose client has gone must not stay among the watchers.
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        await runner.setup()
        context, authority = make_tls()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context, backlog=1024).start()
        self._runner = runner
        self.kubeconfig = make_kubeconfig(port=runner.addresses[0][1], authority=authority)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        assert self._runner is not None
        await self._runner.cleanup()
        self._signer.close()

    async def _hang_up(self, app: web.Application) -> None:
        self._world.hang_up()


def make_kubeconfig(*, port: int, authority: bytes) -> bytes:
    """Return a kubeconfig in JSON, which is YAML too; the token is sent and never looked at."""
    cluster = {
        "server": f"https://127.0.0.1:{port}",
        "certificate-authority-data": base64.b64encode(authority).decode(),
    }
    return orjson.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "floor", "cluster": cluster}],
            "users": [{"name": "floor", "user": {"token": "unread"}}],
            "contexts": [{"name": "floor", "context": {"cluster": "floor", "user": "floor"}}],
            "current-context": "floor",
        }
    )


def _write_private(file: Path, content: bytes) -> None:
    file.touch(mode=0o600)
    file.write_bytes(content)


async def serve(floor: Floor, *, kubeconfig: Path) -> None:
    """Run a floor until SIGTERM or SIGINT; prints `ready` when it listens."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with floor:
        _write_private(kubeconfig, floor.kubeconfig)
        print("ready", flush=True)
        await stop.wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.floor", description="the floor server")
    parser.add_argument("--algorithm", choices=["ES256", "RS256"], default="ES256")
    parser.add_argument("--token-secrets", choices=["auto", "manual"], default="auto")
    parser.add_argument("--signing", choices=["pool", "loop"], default="pool")
    parser.add_argument("--write-kubeconfig", type=Path, required=True, metavar="FILE")
    options = parser.parse_args()
    floor = Floor(
        algorithm=options.algorithm, token_secrets=options.token_secrets, signing=options.signing
    )
    asyncio.run(serve(floor, kubeconfig=options.write_kubeconfig))


if __name__ == "__main__":
    main()
