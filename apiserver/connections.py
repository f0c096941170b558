"""Parts of objects that upstream only passes on: to a node (logs, exec, attach, port-forward) or to whatever listens (proxy).

There are no nodes here. The answers are those of an API server whose nodes and pods cannot be reached, so that clients
hear what is wrong with their request first, and then that there is nobody at the other end.

upstream: pkg/registry/core/pod/strategy.go (LogLocation, streamLocation), pkg/registry/core/service/storage
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from verger.apiserver.options import Query
from verger.apiserver.paths import Resource
from verger.store.backend import Backend
from verger.store.errors import (
    BadRequest,
    InternalError,
    Invalid,
    NotFound,
    ServiceUnavailable,
)
from verger.store.invalid import FieldError, forbidden, invalid, quote
from verger.store.objects import name_of
from verger.store.timestamps import normal_time

_CONNECTIONS: Final = frozenset(("log", "exec", "attach", "portforward", "proxy"))
_OF_CONTAINERS: Final = frozenset(("log", "exec", "attach"))


def is_connection(subresource: str) -> bool:
    """Whether a part is no part but a way to somebody else."""
    return subresource in _CONNECTIONS


def connected_name(resource: Resource) -> str:
    """The name of the object; for a proxy it may stand between a scheme and a port: `https:NAME:8443`."""
    name = resource.name
    if resource.subresource != "proxy":
        return name
    parts = name.split(":")
    return parts[1] if len(parts) == 3 else parts[0]


def check_log(name: str, query: Query) -> None:
    """Whether the log that is asked for can be one. Raises BadRequest and Invalid. upstream: ValidatePodLogOptions"""
    errors: list[FieldError] = []
    tail, limit, since = map(query.integer, ("tailLines", "limitBytes", "sinceSeconds"))
    if tail is not None and tail < 0:
        errors.append(invalid("tailLines", tail, "must be greater than or equal to 0"))
    if limit is not None and limit < 1:
        errors.append(invalid("limitBytes", limit, "must be greater than 0"))
    moment = query.get("sinceTime")
    if moment:
        try:
            normal_time(moment)
        except ValueError as error:
            raise BadRequest(str(error)) from None
    if since is not None and moment:
        text = "at most one of `sinceTime` or `sinceSeconds` may be specified"
        errors.append(forbidden("", text))
    elif since is not None and since < 1:
        errors.append(invalid("sinceSeconds", since, "must be greater than 0"))
    if errors:
        raise Invalid.of("PodLogOptions", "", name, errors)


def refuse(resource: Resource, obj: Mapping[str, Any], container: str, backend: Backend) -> None:
    """Says why the object cannot be reached; only the log of a pod that has no node is there, and empty.

    Raises BadRequest, NotFound (of the node), ServiceUnavailable and InternalError.
    """
    match resource.kind.plural, resource.subresource:
        case "services", _:
            raise ServiceUnavailable(
                f"no endpoints available for service {quote(resource.name)}", {}
            )
        case "pods", "proxy":
            status = obj.get("status") or {}
            if not status.get("podIP"):
                raise BadRequest("address not allowed")
            raise ServiceUnavailable(
                "error trying to reach service: pods are not run by this server", {}
            )
        case "pods", part:
            if part in _OF_CONTAINERS:
                _check_container(obj, container)
            node = (obj.get("spec") or {}).get("nodeName")
            if node:
                _check_node(node, backend)
            elif part == "log":
                return
            else:
                raise BadRequest(f"pod {name_of(obj)} does not have a host assigned")
    text = "error dialing backend: nodes are not reached from this server"
    raise InternalError(f"Internal error occurred: {text}", {"causes": [{"message": text}]})


def _check_node(name: str, backend: Backend) -> None:
    if backend.get("nodes", name) is None:
        raise NotFound(f'nodes "{name}" not found', {"name": name, "kind": "nodes"})


def _names(spec: Mapping[str, Any], key: str) -> Sequence[str]:
    return [item["name"] for item in spec.get(key) or ()]


def _check_container(pod: Mapping[str, Any], container: str) -> None:
    """Whether it is clear which container is meant. Raises BadRequest."""
    spec, pod_name = pod.get("spec") or {}, name_of(pod)
    names, first = _names(spec, "containers"), _names(spec, "initContainers")
    if container:
        if container not in (*names, *first, *_names(spec, "ephemeralContainers")):
            raise BadRequest(f"container {container} is not valid for pod {pod_name}")
    elif len(names) != 1:
        text = f"a container name must be specified for pod {pod_name}, choose one of: [{' '.join(names)}]"
        if first:
            text += f" or one of the init containers: [{' '.join(first)}]"
        raise BadRequest(text)
