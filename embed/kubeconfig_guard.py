"""Keeps tests away from the user's own cluster: whoever opens what leads there is stopped, and his test fails.

The token of a pod is not there: clients look for it first, and go on to KUBECONFIG without it.

It sees what this Python process opens. Programs that tests start find a KUBECONFIG that names an empty file, unless the
test gives them another one.
"""

import errno
import os
import sys
from pathlib import Path
from typing import Any, Final

_ACCOUNT: Final = "/var/run/secrets/kubernetes.io/serviceaccount/token"


class KubeconfigGuard:
    """One guard of one process. Python keeps it for good once it is set; it does nothing unless it is armed."""

    def __init__(self, kubeconfig: str) -> None:
        """Of the user whose KUBECONFIG says that."""
        paths = [str(Path.home() / ".kube" / "config"), *kubeconfig.split(os.pathsep)]
        self._paths = frozenset(path for text in paths if text for path in _spellings(text))
        self._names = frozenset(os.path.basename(path) for path in {*self._paths, _ACCOUNT})
        self.armed = False
        self.opened: list[str] = []
        """What was opened since somebody looked."""

    def set(self) -> None:
        """Begins to see what is opened."""
        sys.addaudithook(self._heard)

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open" or not self.armed:
            return
        path = arguments[0]
        if isinstance(path, (int, type(None))):
            return
        text = os.fsdecode(path)
        # Everything that is opened comes through here; few files have such a name.
        if text.rpartition("/")[2] not in self._names:
            return
        if text == _ACCOUNT:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), text)
        if self._paths & _spellings(text):
            self.opened.append(text)
            raise PermissionError(
                f"{text} leads to a cluster that is no test's: see --verger-guard"
            )


def _spellings(path: str) -> frozenset[str]:
    return frozenset({os.path.abspath(path), os.path.realpath(path)})
