"""A charm that puts a gateway's address and settings into its model, with server-side apply, and takes them out when it goes."""

import ops
from lightkube import ApiError, Client
from lightkube.models.core_v1 import ServicePort, ServiceSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ConfigMap, Service


class GatewayCharm(ops.CharmBase):
    """The gateway."""

    def __init__(self, framework: ops.Framework) -> None:
        super().__init__(framework)
        framework.observe(self.on.config_changed, self._apply)
        framework.observe(self.on.upgrade_charm, self._apply)
        framework.observe(self.on.update_status, self._apply)
        framework.observe(self.on.remove, self._remove)

    def _apply(self, _: ops.EventBase) -> None:
        """Says again what should be, whatever it was that happened."""
        client = self._client()
        try:
            for resource in self._resources():
                client.apply(resource)
        except ApiError as refused:
            match refused.status.code:
                case 403:
                    status = f"run: juju trust {self.app.name} --scope=cluster"
                    self.unit.status = ops.BlockedStatus(status)
                case 409:
                    fields = [cause.field for cause in refused.status.details.causes]
                    status = f"somebody else manages {', '.join(fields)}"
                    self.unit.status = ops.BlockedStatus(status)
                case _:
                    raise  # Juju tries again
        else:
            self.unit.status = ops.ActiveStatus()

    def _remove(self, _: ops.RemoveEvent) -> None:
        client = self._client()
        for resource in self._resources():
            try:
                client.delete(type(resource), resource.metadata.name)
            except ApiError as refused:
                if refused.status.code != 404:
                    raise

    def _client(self) -> Client:
        return Client(namespace=self.model.name, field_manager=self.app.name)

    def _resources(self) -> list[ConfigMap | Service]:
        name = f"{self.app.name}-public"
        port = int(self.config["port"])
        selector = {"app.kubernetes.io/name": self.app.name}
        return [
            ConfigMap(metadata=ObjectMeta(name=name), data={"port": str(port)}),
            Service(
                metadata=ObjectMeta(name=name),
                spec=ServiceSpec(selector=selector, ports=[ServicePort(name="http", port=port)]),
            ),
        ]


if __name__ == "__main__":
    ops.main(GatewayCharm)
