"""Unmodified clients against one plane: what they believe to be Kubernetes."""

import uuid
from pathlib import Path

import pytest
from verger.embed import BlockingPlane


@pytest.fixture
def namespace(verger: BlockingPlane, verger_kubeconfig: Path) -> str:
    """A namespace of the test's own, ready to be used; KUBECONFIG leads to it."""
    name = f"t-{uuid.uuid4().hex[:8]}"
    verger.namespace(name)
    return name
