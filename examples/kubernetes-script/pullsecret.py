"""Gives every namespace that is labelled `pulls=yes` the credentials of a registry: the Secret, and its default account told of it.

python pullsecret.py tools/registry
"""

import sys
from collections.abc import Iterator

from kubernetes import client, config

LABEL = "pulls=yes"
PAGE = 50
"""Namespaces in one answer."""


def namespaces(core: client.CoreV1Api) -> Iterator[str]:
    after = None
    while True:
        page = core.list_namespace(label_selector=LABEL, limit=PAGE, _continue=after)
        for item in page.items:
            if item.metadata.deletion_timestamp is None:
                yield item.metadata.name
        after = page.metadata._continue
        if not after:
            return


def hand_out(core: client.CoreV1Api, namespace: str, name: str) -> list[str]:
    """Copies the Secret to where it is wanted; returns the namespaces in which something had to be written."""
    source = core.read_namespaced_secret(name, namespace)
    return [other for other in namespaces(core) if give(core, source, other)]


def give(core: client.CoreV1Api, source: client.V1Secret, namespace: str) -> bool:
    is_new = copied(core, source, namespace)
    return told(core, source.metadata.name, namespace) or is_new


def copied(core: client.CoreV1Api, source: client.V1Secret, namespace: str) -> bool:
    name = source.metadata.name
    copy = client.V1Secret(
        metadata=client.V1ObjectMeta(name=name), type=source.type, data=source.data
    )
    try:
        core.create_namespaced_secret(namespace, copy)
    except client.ApiException as refused:
        if refused.status != 409:
            raise
        if core.read_namespaced_secret(name, namespace).data == source.data:
            return False
        core.patch_namespaced_secret(name, namespace, {"data": source.data})
    return True


def told(core: client.CoreV1Api, name: str, namespace: str) -> bool:
    # A patch would replace the whole list, unlike that of a pod: what others have put there has to be kept.
    while True:
        account = core.read_namespaced_service_account("default", namespace)
        known = account.image_pull_secrets or []
        if any(secret.name == name for secret in known):
            return False
        account.image_pull_secrets = [*known, client.V1LocalObjectReference(name=name)]
        try:
            core.replace_namespaced_service_account("default", namespace, account)
            return True
        except client.ApiException as refused:
            if refused.status != 409:
                raise


if __name__ == "__main__":
    config.load_config()
    with client.ApiClient() as api:
        for written in hand_out(client.CoreV1Api(api), *sys.argv[1].split("/")):
            print(written)
