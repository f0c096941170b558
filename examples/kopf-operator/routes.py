"""Keeps the table of a proxy: each Route is a line `host: service` of the ConfigMap `routes` in its namespace.

kopf run --standalone --namespace team routes.py
"""

from collections.abc import Mapping
from typing import Any

import kopf
from kubernetes import client, config

ROUTES = "routes.proxy.example.com"
TABLE = "routes"


@kopf.on.startup()
def log_in(settings: kopf.OperatorSettings, **_: Any) -> None:
    config.load_config()
    settings.posting.enabled = False  # no Events: one right less
    # It serves one namespace and may not see others; without this it tries to, for a quarter of a minute.
    settings.scanning.disabled = True


@kopf.on.resume(ROUTES)
@kopf.on.create(ROUTES)
@kopf.on.update(ROUTES)
def add(namespace: str, spec: Mapping[str, str], **_: Any) -> None:
    change(namespace, spec["host"], spec["service"])


@kopf.on.delete(ROUTES)
def remove(namespace: str, spec: Mapping[str, str], **_: Any) -> None:
    change(namespace, spec["host"], None)


def change(namespace: str, host: str, service: str | None) -> None:
    """Writes one line of the table, or takes it out. Several handlers do so at once, and whoever was slower reads again."""
    with client.ApiClient() as api:
        core = client.CoreV1Api(api)
        while True:
            table = core.read_namespaced_config_map(TABLE, namespace)
            lines = table.data or {}
            if lines.get(host) == service:
                return
            others = {name: line for name, line in lines.items() if name != host}
            table.data = {**others, host: service} if service else others
            try:
                core.replace_namespaced_config_map(TABLE, namespace, table)
            except client.ApiException as refused:
                if refused.status != 409:
                    raise
