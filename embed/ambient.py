"""The cluster that clients find when nobody tells them of one: KUBECONFIG names it, or the files of a pod do.

The official Python client and its twin read KUBECONFIG once, when they are imported, which may have been long before the
test: what they remember is set too.
"""

import sys
from pathlib import Path
from typing import Final

import pytest

IN_CLUSTER: Final = ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT")
"""What tells a pod of its cluster."""
_REMEMBER: Final = ("kubernetes", "kubernetes_asyncio")
_REMEMBERED: Final = "KUBE_CONFIG_DEFAULT_LOCATION"


def point(monkeypatch: pytest.MonkeyPatch, kubeconfig: Path) -> None:
    """Makes a kubeconfig the only one that is found, until the patch is undone."""
    for name in IN_CLUSTER:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    # A copy is made in one step: other threads may import meanwhile.
    for name, module in sys.modules.copy().items():
        if name.partition(".")[0] in _REMEMBER and _REMEMBERED in vars(module):
            monkeypatch.setattr(module, _REMEMBERED, str(kubeconfig))
