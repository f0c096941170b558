"""What a URL path names: a resource, one of the server's own documents, or nothing.

Paths are split, not matched against a list of patterns: the cost does not grow with the number of kinds.
"""

from typing import Final, NamedTuple
from urllib.parse import unquote

from verger.store.errors import NotFound
from verger.store.kinds import Kind, Kinds
from verger.store.refusals import not_found

_NAMESPACE_PARTS: Final = ("status", "finalize")


class Resource(NamedTuple):
    """A kind, or one object of it, or a part of one object."""

    kind: Kind
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    legacy_watch: bool = False
    """The path asks for a watch (`/api/v1/watch/...`)."""
    across: bool = False
    """A namespaced kind without a namespace: all of them."""


class Document(NamedTuple):
    """A path that is not a resource's, without a trailing slash: `/version`, `/apis/apps`."""

    path: str


class Unrouted(Exception):
    """There is nothing at the path, and nobody who could say so in a Status."""


class Asked(NamedTuple):
    """What a path asks for by its form alone, whether or not anybody serves that."""

    group: str
    namespace: str
    resource: str
    name: str
    subresource: str


def asked(raw_path: str) -> Asked | None:
    """The resource that a path is about, None when its form is not that of a resource.

    This is what somebody has to be allowed before he hears that it does not exist.
    upstream: apiserver/pkg/endpoints/request/requestinfo.go
    """
    parts = unquote(raw_path).strip("/").split("/")
    group = ""
    if len(parts) < 3 or parts[0] not in ("api", "apis"):
        return None
    if parts[0] == "apis":
        if len(parts) < 4:
            return None
        group = parts[1]
        parts = parts[1:]
    parts = parts[2:]
    if parts[0] == "watch" and len(parts) > 1:
        parts = parts[1:]
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 1:
        namespace = parts[1]
        if len(parts) > 2 and parts[2] not in _NAMESPACE_PARTS:
            parts = parts[2:]
    parts = [*parts, "", ""]
    return Asked(group, namespace, parts[0], parts[1], parts[2])


def unknown_resource() -> NotFound:
    """The path is below a group version that is served, but names nothing in it."""
    return NotFound("the server could not find the requested resource", {})


def resolve(raw_path: str, kinds: Kinds) -> Resource | Document:
    """What the path names. Raises NotFound for an unknown resource of a known group, Unrouted for the rest."""
    path = unquote(raw_path) if "%" in raw_path else raw_path
    parts = path.split("/")
    # "", "api", version, resource... or "", "apis", group, version, resource...
    if len(parts) > 3 and parts[1] == "api" and (len(parts) > 4 or parts[3]):
        return _resource(kinds, "", parts[2], parts[3:])
    if len(parts) > 4 and parts[1] == "apis" and (len(parts) > 5 or parts[4]):
        return _resource(kinds, parts[2], parts[3], parts[4:])
    return Document(path.rstrip("/") or "/")


def _resource(kinds: Kinds, group: str, version: str, parts: list[str]) -> Resource:
    versions = kinds.groups_served.get(group)
    if versions is None:
        raise Unrouted
    if version not in versions:
        raise _nothing_there(kinds, group)
    if len(parts) > 1 and not parts[-1]:
        parts = parts[:-1]
    if "" in parts:
        raise _nothing_there(kinds, group)
    watch = parts[0] == "watch"
    if watch:
        parts = parts[1:]
    namespace = ""
    # /namespaces/NAME and /namespaces/NAME/status are the namespace itself; anything else behind a name is in it.
    if (
        len(parts) >= 3
        and parts[0] == "namespaces"
        and not (len(parts) == 3 and parts[2] in _NAMESPACE_PARTS and not group)
    ):
        namespace = parts[1]
        parts = parts[2:]
    if parts[2:3] == ["proxy"]:
        parts = parts[:3]  # what follows is for whoever is behind the proxy
    if not 1 <= len(parts) <= 3:
        raise _nothing_there(kinds, group)
    kind = kinds.resource(group, version, parts[0])
    if kind is None or (namespace and not kind.namespaced):
        raise _nothing_there(kinds, group)
    name = parts[1] if len(parts) > 1 else ""
    subresource = parts[2] if len(parts) > 2 else ""
    across = kind.namespaced and not namespace
    if across and name:
        raise _nothing_there(kinds, group)
    if subresource and subresource not in kind.subresources:
        raise unknown_resource() if kind.custom is None else not_found(kind, name)
    if name and not kind.stored and not subresource and "get" not in kind.verbs:
        raise unknown_resource()
    return Resource(kind, namespace, name, subresource, watch, across)


def _nothing_there(kinds: Kinds, group: str) -> NotFound | Unrouted:
    """upstream: paths of what clients define are looked up in definitions, and what those do not know is no path."""
    return Unrouted() if kinds.is_custom(group) else unknown_resource()
