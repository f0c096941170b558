"""What may enter the store: plugins that complete a request or refuse it, between authorization and validation.

The order of the plugins is that of the list that the plane makes; first all may change the object, then all may
refuse it. The lifecycle of namespaces stands outside the list: the registry asks it once more, without waiting in
between, when it commits, so that nothing is created in a namespace after it began to terminate.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from verger.store.backend import Backend
from verger.store.errors import Forbidden, NotFound
from verger.store.objects import Object
from verger.store.request import Attributes, WriteRequest

IMMORTAL: Final = frozenset({"default", "kube-system", "kube-public"})
"""Namespaces that cannot be deleted. upstream: kube-node-lease is not one of them."""
TERMINATING_CAUSE: Final = "NamespaceTerminating"


class Plugin(Protocol):
    """One rule about what may enter."""

    def handles(self, attributes: Attributes) -> bool:
        """Whether the plugin has anything to say about such a request."""

    async def admit(
        self,
        attributes: Attributes,
        obj: Object,
        old: Mapping[str, Any] | None,
        request: WriteRequest,
    ) -> None:
        """May change the object (its own copy), or raise an ApiError."""

    async def validate(
        self,
        attributes: Attributes,
        obj: Mapping[str, Any],
        old: Mapping[str, Any] | None,
        request: WriteRequest,
    ) -> None:
        """May raise an ApiError. The object is final."""


class Chain:
    """The plugins in their order."""

    def __init__(self, plugins: Sequence[Plugin] = ()) -> None:
        self._plugins = tuple(plugins)

    def plan(self, attributes: Attributes) -> tuple[Plugin, ...]:
        """The plugins that have to be asked."""
        return tuple(plugin for plugin in self._plugins if plugin.handles(attributes))


class NamespaceLifecycle:
    """Nothing is created in a namespace that is missing or terminating; three namespaces live for ever.

    upstream: apiserver/pkg/admission/plugin/namespace/lifecycle. There is no cache here that could lag, hence none of
    upstream's waiting and live lookups.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def check_create(self, attributes: Attributes) -> None:
        """Raises NotFound for a missing namespace, and Forbidden for a terminating one."""
        kind = attributes.kind
        if kind is None or not kind.namespaced or kind.plural == "localsubjectaccessreviews":
            return
        namespace = attributes.namespace
        row = self._backend.get("namespaces", namespace)
        if row is None:
            raise NotFound(
                f'namespaces "{namespace}" not found', {"name": namespace, "kind": "namespaces"}
            )
        if row.object["status"].get("phase") != "Terminating":
            return
        details: dict[str, Any] = {"name": attributes.name} if attributes.name else {}
        if kind.group:
            details["group"] = kind.group
        details["kind"] = kind.plural
        details["causes"] = [
            {
                "reason": TERMINATING_CAUSE,
                "message": f"namespace {namespace} is being terminated",
                "field": "metadata.namespace",
            }
        ]
        raise Forbidden(
            f'{kind.resource} "{attributes.name}" is forbidden: unable to create new content in namespace {namespace} '
            "because it is being terminated",
            details,
        )

    def check_delete(self, attributes: Attributes) -> None:
        """Raises Forbidden for the namespaces that may not be deleted."""
        kind, name = attributes.kind, attributes.name
        if kind is not None and kind.resource == "namespaces" and name in IMMORTAL:
            raise Forbidden(
                f'namespaces "{name}" is forbidden: this namespace may not be deleted',
                {"name": name, "kind": "namespaces"},
            )
