"""The charm's events against a control plane: the API answers, and nothing of lightkube is replaced."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ops
import pytest
import yaml
from charm import GatewayCharm
from lightkube import Client
from lightkube.models.core_v1 import ServicePort, ServiceSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Service
from ops import testing
from verger.embed import BlockingPlane

ROLE = Path(__file__).parent / "role.yaml"
META = {"name": "gateway"}
CONFIG = {"options": {"port": {"type": "int", "default": 8080}}}


@pytest.fixture
def model(verger: BlockingPlane, verger_kubeconfig: Path) -> BlockingPlane:
    """A plane with a namespace for the model `shop`."""
    verger.namespace("shop")
    return verger


def after(event: str, **config: int) -> testing.State:
    """What the unit says of itself after an event."""
    context = testing.Context(GatewayCharm, meta=META, config=CONFIG)
    model = testing.Model(name="shop")
    return context.run(getattr(context.on, event)(), testing.State(config=config, model=model))


def service(model: BlockingPlane) -> Any:
    return model.get("v1", "Service", "gateway-public", "shop")


def test_model_has_what_the_charm_applies(model: BlockingPlane) -> None:
    assert after("config_changed", port=80).unit_status == ops.ActiveStatus()
    assert service(model)["spec"]["ports"] == [
        {"name": "http", "port": 80, "protocol": "TCP", "targetPort": 80}
    ]
    assert after("config_changed", port=8443).unit_status == ops.ActiveStatus()
    assert [port["port"] for port in service(model)["spec"]["ports"]] == [8443], "not one more"


def test_saying_it_again_writes_nothing(model: BlockingPlane) -> None:
    after("config_changed")
    before = model.revision
    after("update_status")
    after("upgrade_charm")
    assert model.changes(after=before) == []


def test_what_others_add_stays(model: BlockingPlane) -> None:
    after("config_changed")
    shown = service(model)
    model.update({**shown, "metadata": {**shown["metadata"], "labels": {"team": "web"}}})
    after("config_changed", port=80)
    assert service(model)["metadata"]["labels"] == {"team": "web"}


def test_what_others_manage_is_not_taken_from_them(model: BlockingPlane) -> None:
    """Somebody has applied another selector: the charm says so and changes nothing."""
    after("config_changed")
    theirs = ServiceSpec(
        selector={"app.kubernetes.io/name": "canary"}, ports=[ServicePort(name="http", port=8080)]
    )
    Client(namespace="shop", field_manager="canary").apply(
        Service(metadata=ObjectMeta(name="gateway-public"), spec=theirs), force=True
    )
    status = after("config_changed").unit_status
    assert status == ops.BlockedStatus("somebody else manages .spec.selector")
    assert service(model)["spec"]["selector"] == {"app.kubernetes.io/name": "canary"}


def test_everything_goes_with_the_charm(model: BlockingPlane) -> None:
    after("config_changed")
    model.delete("v1", "ConfigMap", "gateway-public", "shop")  # somebody was faster
    after("remove")
    assert not model.list("v1", "Service", "shop")


@pytest.fixture
def as_charm(model: BlockingPlane, verger_login: Callable[[Path], None]) -> BlockingPlane:
    """Clients are the charm's own account, which Juju makes, from here on."""
    account = {"apiVersion": "v1", "kind": "ServiceAccount"}
    model.create({**account, "metadata": {"name": "gateway", "namespace": "shop"}})
    verger_login(model.as_service_account("shop", "gateway").kubeconfig)
    return model


def test_charm_that_is_not_trusted_says_what_to_do(as_charm: BlockingPlane) -> None:
    status = after("config_changed").unit_status
    assert status == ops.BlockedStatus("run: juju trust gateway --scope=cluster")


def test_role_is_the_smallest_that_will_do(as_charm: BlockingPlane) -> None:
    for manifest in yaml.safe_load_all(ROLE.read_text()):
        as_charm.create(manifest)
    assert after("config_changed").unit_status == ops.ActiveStatus()
    after("remove")
    assert as_charm.rbac_report().of("shop/gateway").manifests() == list(
        yaml.safe_load_all(ROLE.read_text())
    )
