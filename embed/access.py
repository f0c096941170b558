"""What a program has that runs as a service account."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ServiceAccountAccess:
    """A token of an account, and how programs come to use it."""

    namespace: str
    name: str
    token: str = field(repr=False)
    kubeconfig: Path
    """For kubectl and client libraries; its owner alone may read it. It goes with the plane."""

    @property
    def headers(self) -> Mapping[str, str]:
        """For plain HTTP clients."""
        return {"Authorization": f"Bearer {self.token}"}
