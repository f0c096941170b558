"""What a token costs: requests that carry one, and tokens that are asked for.

A request with a service-account token is compared with the same request by a client certificate,
in turns on the same server: what the account costs is its token, its objects and its rights.
TokenRequests are compared with what the cores can sign with nothing around it.
"""

import base64
import ssl
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import orjson
import yaml

from bench.api import Figures, create_namespace, spread
from bench.raw_client import Connection, KubeconfigError, Target, percentile

TURNS = 3


@dataclass(frozen=True, slots=True)
class TokenLoad:
    """How many requests in each turn, over how many connections, and how many tokens."""

    gets: int = 2000
    tokens: int = 1500
    connections: int = 16


async def measure(target: Target, kubeconfig: Path, load: TokenLoad) -> Figures:
    """Measure both; the namespace that it makes stays. Raises what the client raises."""
    namespace = f"tokens-{uuid4().hex[:8]}"
    admin = await Connection.open(target)
    try:
        await create_namespace(admin, namespace)
        token = await _reader(admin, namespace)
    finally:
        admin.close()
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/robot"
    users = {
        "account": replace(target, headers=_bearer(target, token)),
        "certificate": _by_certificate(target, kubeconfig),
    }
    rates: dict[str, list[float]] = {name: [] for name in users}
    for _ in range(TURNS):
        for name, user in users.items():
            rates[name].append(await _gets(user, path, load))
    account = percentile(rates["account"], 0.5)
    certificate = percentile(rates["certificate"], 0.5)
    return {
        "account_gets_per_s": account,
        "certificate_gets_per_s": certificate,
        "account_share": account / certificate,
        "token_requests_per_s": await _requests(target, f"{path}/token", load),
    }


async def _reader(admin: Connection, namespace: str) -> str:
    """Make an account that may read accounts, and return a token of it."""
    where = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    await admin.expect(201, "POST", where, orjson.dumps({"metadata": {"name": "robot"}}))
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    rules = [{"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["get"]}]
    role = {"metadata": {"name": "reader"}, "rules": rules}
    await admin.expect(201, "POST", f"{rbac}/roles", orjson.dumps(role))
    binding = {
        "metadata": {"name": "reader"},
        "subjects": [{"kind": "ServiceAccount", "name": "robot", "namespace": namespace}],
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "Role",
            "name": "reader",
        },
    }
    await admin.expect(201, "POST", f"{rbac}/rolebindings", orjson.dumps(binding))
    answer = await admin.expect(201, "POST", f"{where}/robot/token", b"{}")
    return str(orjson.loads(answer)["status"]["token"])


def _bearer(target: Target, token: str) -> bytes:
    lines = [
        line
        for line in target.headers.split(b"\r\n")
        if line and not line.startswith(b"Authorization:")
    ]
    if token:
        lines.append(f"Authorization: Bearer {token}".encode())
    return b"".join(line + b"\r\n" for line in lines)


def _by_certificate(target: Target, kubeconfig: Path) -> Target:
    """Return the same server for the client certificate of the kubeconfig, without a token."""
    config = yaml.safe_load(kubeconfig.read_bytes())
    cluster = config["clusters"][0]["cluster"]
    user = config["users"][0]["user"]
    if "client-certificate-data" not in user:
        raise KubeconfigError(f"{kubeconfig.name}: its user has no client certificate")
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    context = ssl.create_default_context(cadata=authority)
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        file.write(base64.b64decode(user["client-certificate-data"]))
        file.write(base64.b64decode(user["client-key-data"]))
        file.flush()
        context.load_cert_chain(file.name)
    host = urlsplit(cluster["server"]).hostname or target.host
    return replace(target, host=host, tls=context, headers=_bearer(target, ""))


async def _gets(target: Target, path: str, load: TokenLoad) -> float:
    async def get(connection: Connection, _: int) -> None:
        await connection.expect(200, "GET", path)

    connections = [await Connection.open(target) for _ in range(load.connections)]
    try:
        began = time.perf_counter()
        await spread(connections, load.gets, get)
        return load.gets / (time.perf_counter() - began)
    finally:
        for connection in connections:
            connection.close()


async def _requests(target: Target, path: str, load: TokenLoad) -> float:
    async def request(connection: Connection, _: int) -> None:
        await connection.expect(201, "POST", path, b"{}")

    connections = [await Connection.open(target) for _ in range(load.connections)]
    try:
        began = time.perf_counter()
        await spread(connections, load.tokens, request)
        return load.tokens / (time.perf_counter() - began)
    finally:
        for connection in connections:
            connection.close()
