"""What the server says it is: a version of Kubernetes, so that clients know how to talk to it."""

import platform
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any


def own_version() -> str:
    """The version of the installed distribution."""
    try:
        return version("verger")
    except PackageNotFoundError:
        return "0"


def version_info(kubernetes: str) -> Mapping[str, Any]:
    """The document at /version, for a Kubernetes version such as 1.36."""
    major, _, minor = kubernetes.partition(".")
    return {
        "major": major,
        "minor": minor,
        # Clients parse this as a semantic version; what follows the plus tells people who answers.
        "gitVersion": f"v{kubernetes}.0+verger-{own_version()}",
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": f"{sys.implementation.name} {platform.python_version()}",
        "platform": f"{sys.platform}/{platform.machine()}",
    }
