"""Whether somebody else runs the same controllers already: two of a kind would work against each other.

The controller manager of Kubernetes holds a lease while it runs. One that was renewed a moment ago is believed at once;
one that looks old is looked at again, since clocks differ and a lease that changes is alive.
"""

from collections.abc import Mapping
from typing import Any, Final

from verger.controllers.election import holder_of
from verger.embed.options import StartError
from verger.store.client import Client
from verger.store.errors import ApiError, NotFound
from verger.store.kinds import Kind
from verger.store.timestamps import parse
from verger.watch.clock import Clock

NAMESPACE: Final = "kube-system"
LEASE: Final = "kube-controller-manager"
_WAY_OUT: Final = (
    "switch its ServiceAccount, token, root CA and namespace controllers off and start with --adopt"
)


async def check(client: Client, leases: Kind, clock: Clock, *, retry_period: float) -> None:
    """Raises StartError when another manager is at work, or when that cannot be seen."""
    first = await _lease(client, leases)
    if first is None or not holder_of(first):
        return
    spec = first["spec"]
    age = clock.time() - _renewed(first)
    if age >= (spec.get("leaseDurationSeconds") or 0):
        # Its clock may go otherwise than ours: what tells is whether the lease changes.
        await clock.sleep(retry_period)
        second = await _lease(client, leases)
        if second is None or second.get("spec") == spec or not holder_of(second):
            return
    raise StartError(
        f"{holder_of(first)} runs the controllers of this cluster (it holds the lease {NAMESPACE}/{LEASE}): {_WAY_OUT}"
    )


async def _lease(client: Client, leases: Kind) -> Mapping[str, Any] | None:
    try:
        return await client.get(leases, LEASE, NAMESPACE)
    except NotFound:
        return None
    except ApiError as error:
        raise StartError(
            f"cannot see whether another controller manager runs here: {error}; make sure that none does, and start with "
            "--adopt"
        ) from None


def _renewed(lease: Mapping[str, Any]) -> float:
    try:
        return parse(lease["spec"].get("renewTime") or "")
    except ValueError:
        return float("-inf")
