"""How long a decision takes, and whether it grows with bindings that are about other namespaces."""

import time

from verger.identity.authz import Masters
from verger.identity.rbac import CLUSTER_ROLES, ROLE_BINDINGS, ROLES, Policy, Rbac
from verger.store.kinds import built_in
from verger.store.memory import MemoryBackend
from verger.store.request import AUTHENTICATED, Attributes, User
from verger.watch.clock import SystemClock

DECISIONS = 20_000
_RULE = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]}


def measure(bindings: tuple[int, ...]) -> dict[str, float]:
    """Return the microseconds of one allowed and one refused decision, for each number of bindings."""
    figures = {}
    for position, count in enumerate(bindings):
        authorizer = Masters(Rbac(_policy(count)))
        kinds = built_in()
        user = User(
            "system:serviceaccount:here:robot",
            groups=("system:serviceaccounts", "system:serviceaccounts:here", AUTHENTICATED),
        )
        for name, kind in (("allowed", "ConfigMap"), ("refused", "Secret")):
            attributes = Attributes(user, "get", kinds.core(kind), "here", "x")
            wanted = name == "allowed"
            if authorizer.decide(attributes).allowed is not wanted:
                raise AssertionError(f"the decision is not {name}")
            began = time.perf_counter()
            for _ in range(DECISIONS):
                authorizer.decide(attributes)
            figures[f"{name}_{position}_us"] = (time.perf_counter() - began) / DECISIONS * 1e6
    return figures


def _policy(count: int) -> Policy:
    backend = MemoryBackend(SystemClock())
    _put(backend, CLUSTER_ROLES, "", "viewer", {"rules": [_RULE]})
    _put(backend, ROLES, "here", "reader", {"rules": [_RULE]})
    _bind(backend, "here", "robot")
    for number in range(count - 1):
        _bind(backend, f"there-{number % 500}", f"robot-{number}")
    return Policy(backend)


def _bind(backend: MemoryBackend, namespace: str, account: str) -> None:
    role = ("Role", "reader") if namespace == "here" else ("ClusterRole", "viewer")
    body = {
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
        "roleRef": {"kind": role[0], "name": role[1]},
    }
    _put(backend, ROLE_BINDINGS, namespace, account, body)


def _put(
    backend: MemoryBackend, resource: str, namespace: str, name: str, body: dict[str, object]
) -> None:
    metadata = {"name": name, "namespace": namespace} if namespace else {"name": name}
    key = f"{namespace}/{name}" if namespace else name
    backend.put(resource, key, {"metadata": metadata, **body}, expected=0)
