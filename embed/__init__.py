"""The whole plane as one object, for tests and for programs.

async with ControlPlane() as plane:
    ...  # plane.kubeconfig is a file that kubectl and every client can use
"""

from verger.embed.options import PlaneOptions, StartError
from verger.embed.plane import ControlPlane

__all__ = ["ControlPlane", "PlaneOptions", "StartError"]
