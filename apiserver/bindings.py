"""Bindings: how a scheduler gives a pod to a node.

A pod is bound once, and only while nothing speaks against running it.

upstream: pkg/registry/core/pod/storage/storage.go (BindingREST)
"""

from collections.abc import Mapping
from typing import Any, Final

from verger.store.errors import BadRequest, Conflict, UnreasonedError
from verger.store.invalid import FieldError, not_supported, quote, required
from verger.store.kinds import Kind
from verger.store.objects import Object, annotations_of, is_terminating, key_of, meta, thaw
from verger.store.refusals import check_uid, not_found
from verger.store.registry import Registry
from verger.store.request import Answerer, Posting
from verger.store.timestamps import format_time
from verger.watch.clock import Clock

_SCHEDULED: Final = "PodScheduled"


class Bindings:
    """Answers bindings, as a part of their pod and on their own."""

    def __init__(self, registry: Registry, pods: Kind, clock: Clock) -> None:
        self._registry = registry
        self._pods = pods
        self._clock = clock

    def answerers(self) -> Mapping[tuple[str, str], Answerer]:
        """Who answers what, by resource."""
        return {("pods", "binding"): self.bind, ("bindings", ""): self.bind}

    async def bind(self, posting: Posting) -> Object:
        """Sets the node of a pod. Raises BadRequest, NotFound, Conflict."""
        given = meta(posting.obj)
        name = given.get("name") or ""
        if name != (posting.name or name):
            raise BadRequest("name in URL does not match name in Binding object")
        target = posting.obj.get("target") or {}
        if errors := _target_errors(target):
            # upstream forgets to make a Status of them
            text = ", ".join(map(str, errors))
            raise UnreasonedError(text if len(errors) == 1 else f"[{text}]")
        uid, key = given.get("uid") or "", key_of(posting.namespace, name)

        def bound(pod: Mapping[str, Any] | None) -> Object:
            if pod is None:
                raise not_found(self._pods, name)
            check_uid(self._pods, key, uid, pod)
            _check_free(name, pod)
            new = thaw(pod)
            new["metadata"] |= {
                "resourceVersion": given.get("resourceVersion"),
                "annotations": {**annotations_of(pod), **annotations_of(posting.obj)},
            }
            new["spec"]["nodeName"] = target["name"]
            self._mark_scheduled(new["status"])
            return new

        await self._registry.patch(
            self._pods, posting.namespace, name, bound, posting.request, subresource="binding"
        )
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Success",
            "code": 201,
        }

    def _mark_scheduled(self, status: Object) -> None:
        others = [item for item in status.get("conditions") or () if item["type"] != _SCHEDULED]
        status["conditions"] = [
            *others,
            {
                "type": _SCHEDULED,
                "status": "True",
                "lastProbeTime": None,
                "lastTransitionTime": format_time(self._clock.time()),
            },
        ]


def _target_errors(target: Mapping[str, Any]) -> list[FieldError]:
    errors = []
    if (kind := target.get("kind") or "Node") != "Node":
        errors.append(not_supported("target.kind", kind, ("Node", "<empty>")))
    if not target.get("name"):
        errors.append(required("target.name"))
    return errors


def _check_free(name: str, pod: Mapping[str, Any]) -> None:
    spec = pod.get("spec") or {}
    if is_terminating(pod):
        why = f"pod {name} is being deleted, cannot be assigned to a host"
    elif node := spec.get("nodeName"):
        why = f"pod {name} is already assigned to node {quote(node)}"
    elif spec.get("schedulingGates"):
        why = f"pod {name} has non-empty .spec.schedulingGates"
    else:
        return
    raise Conflict(
        f'Operation cannot be fulfilled on pods/binding "{name}": {why}',
        {"name": name, "kind": "pods/binding"},
    )
