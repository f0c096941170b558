"""kr8s, which looks and feels like kubectl."""

from pathlib import Path

import kr8s
import pytest
from kr8s.objects import ConfigMap, ServiceAccount


def test_objects(verger_kubeconfig: Path, namespace: str) -> None:
    """Found by discovery, made, patched, labelled and deleted."""
    api = kr8s.api(kubeconfig=str(verger_kubeconfig))
    resource = {"metadata": {"name": "a", "namespace": namespace}, "data": {"k": "1"}}
    one = ConfigMap(resource, api=api)
    one.create()
    assert one.exists()
    one.patch({"data": {"k": "2"}})
    one.label({"x": "y"})
    (found,) = kr8s.get("configmaps", namespace=namespace, label_selector={"x": "y"}, api=api)
    assert found.raw["data"] == {"k": "2"}
    account = ServiceAccount.get("default", namespace=namespace, api=api)
    assert account.raw["secrets"]
    one.delete()
    with pytest.raises(kr8s.NotFoundError):
        ConfigMap.get("a", namespace=namespace, api=api)


def test_version(verger_kubeconfig: Path) -> None:
    """The server says which Kubernetes it is."""
    assert kr8s.api(kubeconfig=str(verger_kubeconfig)).version()["major"] == "1"
