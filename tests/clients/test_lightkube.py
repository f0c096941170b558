"""lightkube, on which charms are built."""

from pathlib import Path

import pytest
from lightkube import ApiError, Client, KubeConfig
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ConfigMap, ServiceAccount
from lightkube.types import PatchType


@pytest.fixture
def kube(verger_kubeconfig: Path, namespace: str) -> Client:
    return Client(
        KubeConfig.from_file(str(verger_kubeconfig)), namespace=namespace, field_manager="tests"
    )


def test_objects(kube: Client) -> None:
    """Made, listed, patched in three ways, applied, deleted."""
    kube.create(ConfigMap(metadata=ObjectMeta(name="a", labels={"x": "y"}), data={"k": "1"}))
    assert [item.metadata.name for item in kube.list(ConfigMap, labels={"x": "y"})] == ["a"]
    merged = kube.patch(ConfigMap, "a", {"data": {"l": "2"}}, patch_type=PatchType.MERGE)
    assert merged.data == {"k": "1", "l": "2"}
    strategic = kube.patch(ConfigMap, "a", {"data": {"l": None}}, patch_type=PatchType.STRATEGIC)
    assert strategic.data == {"k": "1"}
    operations = [{"op": "replace", "path": "/data/k", "value": "3"}]
    assert kube.patch(ConfigMap, "a", operations, patch_type=PatchType.JSON).data == {"k": "3"}
    applied = kube.apply(ConfigMap(metadata=ObjectMeta(name="b"), data={"k": "v"}))
    assert applied.data == {"k": "v"}
    kube.delete(ConfigMap, "a")
    with pytest.raises(ApiError) as gone:
        kube.get(ConfigMap, "a")
    assert (gone.value.status.code, gone.value.status.reason) == (404, "NotFound")


def test_watch_begins_with_what_there_is(kube: Client, namespace: str) -> None:
    """The account that the controllers made is the first event."""
    for kind, account in kube.watch(ServiceAccount, namespace=namespace):
        assert (kind, account.metadata.name) == ("ADDED", "default")
        break
