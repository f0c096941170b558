"""Clients that nobody tells where their cluster is: they find the plane of the test, and nothing else."""

from pathlib import Path

import kubernetes.config
import kubernetes_asyncio.config
import pytest
from kubernetes import client
from verger.embed import BlockingPlane
from verger.embed.ambient import point

REMEMBER = [
    kubernetes.config,
    kubernetes.config.kube_config,
    kubernetes_asyncio.config,
    kubernetes_asyncio.config.kube_config,
]


def test_client_that_has_read_kubeconfig_before_finds_the_plane(
    verger: BlockingPlane, verger_kubeconfig: Path
) -> None:
    """The official one remembers what KUBECONFIG was when it was imported, which may be a cluster of the user's."""
    kubernetes.config.load_config()
    assert client.Configuration.get_default_copy().host == verger.url
    assert {module.KUBE_CONFIG_DEFAULT_LOCATION for module in REMEMBER} == {str(verger_kubeconfig)}


def test_client_is_led_back_afterwards(tmp_path: Path) -> None:
    """What it remembered is the user's own again."""
    before = [module.KUBE_CONFIG_DEFAULT_LOCATION for module in REMEMBER]
    with pytest.MonkeyPatch.context() as patch:
        point(patch, tmp_path)
        assert before != [module.KUBE_CONFIG_DEFAULT_LOCATION for module in REMEMBER]
    assert before == [module.KUBE_CONFIG_DEFAULT_LOCATION for module in REMEMBER]
