"""Every namespace has the ConfigMap with the certificate authority to verify the server with.

Its data is exactly that, and is put back when it is changed; a description by others is left alone.

upstream: pkg/controller/certificates/rootcacertpublisher/publisher.go
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from verger.controllers.reconcile import DONE, MADE, Enqueue, Object, Result, Subscriber
from verger.controllers.recorder import Recorder
from verger.store.admission import TERMINATING_CAUSE
from verger.store.client import Client
from verger.store.errors import AlreadyExists, ApiError, Invalid, NotFound
from verger.store.kinds import Kinds
from verger.store.objects import annotations_of, key_of, split_key, thaw
from verger.watch.cache import Cache, Change
from verger.watch.workqueue import BACKOFF_CAP

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

ROOT_CA: Final = "kube-root-ca.crt"
DATA_KEY: Final = "ca.crt"
DESCRIPTION: Final = "kubernetes.io/description"
_TEXT: Final = (
    "The certificate authority with which to verify the API server at its internal addresses, such as the service IP "
    "and kubernetes.default.svc. It promises nothing about any other server."
)


@dataclass(slots=True)
class RootCA:
    """Keys are names of namespaces."""

    client: Client
    kinds: Kinds
    recorder: Recorder
    log: "FilteringBoundLogger"
    certificate: str
    name: str = "root-ca-publisher"
    workers: int = 1
    backoff_cap: float = BACKOFF_CAP
    _namespaces: Cache[Object] = field(default_factory=Cache, init=False)
    _published: Cache[Object] = field(default_factory=Cache, init=False)

    def subscribe(self, subscriber: Subscriber, enqueue: Enqueue[str]) -> None:
        """Namespaces that come or are active, and the one ConfigMap in each as it changes or goes."""

        def map_changed(change: Change[Object]) -> None:
            enqueue(split_key(change.key)[0])

        def namespace_changed(change: Change[Object]) -> None:
            new = change.new
            if new is not None and (new.get("status") or {}).get("phase") == "Active":
                enqueue(change.key)

        self._published = subscriber.follow(
            self.kinds.core("ConfigMap"), map_changed, fields=f"metadata.name={ROOT_CA}"
        )
        self._namespaces = subscriber.follow(self.kinds.core("Namespace"), namespace_changed)

    async def reconcile(self, key: str) -> Result:
        """Creates or mends the ConfigMap of a namespace."""
        published = self._published.get(key_of(key, ROOT_CA))
        if published is None:
            made = self._namespaces.get(key) is not None and await self._create(key)
            return MADE if made else DONE
        described = bool(annotations_of(published).get(DESCRIPTION))
        if published.get("data") == {DATA_KEY: self.certificate} and described:
            return DONE
        mended = thaw(published)
        mended["data"] = {DATA_KEY: self.certificate}
        if not described:
            annotations = mended["metadata"].get("annotations") or {}
            mended["metadata"]["annotations"] = {**annotations, DESCRIPTION: _TEXT}
        kind = self.kinds.core("ConfigMap")
        try:
            await self.client.update(kind, mended)
        except NotFound:
            return DONE  # its end has its own key
        except Invalid as error:
            await self.recorder.record(
                kind,
                published,
                "Warning",
                "RootCAFrozen",
                f"the root CA cannot be put back: {error}",
            )
            raise
        self.log.info("mended", namespace=key, configmap=ROOT_CA)
        return DONE

    async def _create(self, namespace: str) -> bool:
        """Whether there is one now; not when the namespace is going."""
        obj = {
            "metadata": {
                "name": ROOT_CA,
                "namespace": namespace,
                "annotations": {DESCRIPTION: _TEXT},
            },
            "data": {DATA_KEY: self.certificate},
        }
        try:
            await self.client.create(self.kinds.core("ConfigMap"), obj)
        except NotFound:
            return False
        except AlreadyExists:
            return True
        except ApiError as error:
            if error.has_cause(TERMINATING_CAUSE):
                return False
            raise
        self.log.debug("published", namespace=namespace, configmap=ROOT_CA)
        return True
