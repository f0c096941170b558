"""The whole plane as one object, for tests and for programs.

async with ControlPlane() as plane:
    ...  # plane.kubeconfig is a file that kubectl and every client can use

with BlockingPlane() as plane:
    ...  # the same for programs without an event loop
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from verger.embed.access import ServiceAccountAccess
    from verger.embed.blocking import BlockingPlane
    from verger.embed.faults import Fault, Faults
    from verger.embed.options import PlaneOptions, StartError
    from verger.embed.plane import ControlPlane, Unsettled
    from verger.embed.rbac_report import RbacReport
    from verger.embed.requests import Requests
    from verger.embed.snapshots import Snapshot

_HOMES = {
    "BlockingPlane": "blocking",
    "ControlPlane": "plane",
    "Fault": "faults",
    "Faults": "faults",
    "PlaneOptions": "options",
    "RbacReport": "rbac_report",
    "Requests": "requests",
    "ServiceAccountAccess": "access",
    "Snapshot": "snapshots",
    "StartError": "options",
    "Unsettled": "plane",
}

__all__ = [
    "BlockingPlane",
    "ControlPlane",
    "Fault",
    "Faults",
    "PlaneOptions",
    "RbacReport",
    "Requests",
    "ServiceAccountAccess",
    "Snapshot",
    "StartError",
    "Unsettled",
]


def __getattr__(name: str) -> Any:
    # Whoever has pytest load the plugin pays for a plane when he uses one, not before.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
