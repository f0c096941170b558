"""What can be asked of each kind: paths, operations, their parameters, bodies and answers.

Both versions of the OpenAPI documents are written from these rows, so they cannot disagree.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from verger.apiserver.openapi_schemas import META, definition_name
from verger.store.kinds import Kind, Subresource
from verger.store.schemas import Schemas

PARAMETERS: Final[Mapping[str, tuple[str, str]]] = {
    "allowWatchBookmarks": ("boolean", ""),
    "continue": ("string", ""),
    "dryRun": ("string", ""),
    "fieldManager": ("string", ""),
    "fieldSelector": ("string", "Narrows the list of returned objects by their fields."),
    "fieldValidation": ("string", ""),
    "force": ("boolean", ""),
    "gracePeriodSeconds": ("integer", ""),
    "labelSelector": ("string", "Narrows the list of returned objects by their labels."),
    "limit": ("integer", ""),
    "orphanDependents": ("boolean", ""),
    "pretty": ("string", ""),
    "propagationPolicy": ("string", ""),
    "resourceVersion": ("string", ""),
    "resourceVersionMatch": ("string", ""),
    "sendInitialEvents": ("boolean", ""),
    "timeoutSeconds": ("integer", ""),
    "watch": ("boolean", "Watch for changes to the described resources, as a stream of events."),
}
"""The type of each query parameter, and the words that clients' test suites look for."""

_SELECTION: Final = (
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
)
_LIST: Final = ("allowWatchBookmarks", *_SELECTION, "pretty", "watch")
_WRITE: Final = ("dryRun", "fieldManager", "fieldValidation", "pretty")
_PATCH: Final = ("dryRun", "fieldManager", "fieldValidation", "force", "pretty")
_DELETE: Final = ("dryRun", "gracePeriodSeconds", "orphanDependents", "pretty", "propagationPolicy")
_DELETE_COLLECTION: Final = (*_DELETE, *_SELECTION)

_VERBS: Final[Mapping[str, tuple[str, str, tuple[str, ...], tuple[int, ...]]]] = {
    "list": ("get", "list", _LIST, (200,)),
    "create": ("post", "post", _WRITE, (200, 201, 202)),
    "deletecollection": ("delete", "deletecollection", _DELETE_COLLECTION, (200,)),
    "get": ("get", "get", ("pretty",), (200,)),
    "update": ("put", "put", _WRITE, (200, 201)),
    "patch": ("patch", "patch", _PATCH, (200, 201)),
    "delete": ("delete", "delete", _DELETE, (200, 202)),
}
"""verb -> method, action, query, codes. A watch is a list with a parameter."""

_ON_COLLECTION: Final = frozenset({"list", "post", "deletecollection"})

JSON: Final = "application/json"
MEDIA_TYPES: Final = (JSON, "application/yaml", "application/vnd.kubernetes.protobuf")
CUSTOM_MEDIA_TYPES: Final = (JSON, "application/yaml")
TEXT: Final = ("text/plain",)
ANY: Final = ("*/*",)

STRATEGIC: Final = "application/strategic-merge-patch+json"
PATCH_TYPES: Final = (
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    STRATEGIC,
)
CUSTOM_PATCH_TYPES: Final = tuple(name for name in PATCH_TYPES if name != STRATEGIC)


@dataclass(frozen=True, slots=True)
class Operation:
    """One method on one path."""

    method: str
    """get, put, post, patch or delete."""
    action: str
    """As the extension x-kubernetes-action names it; nothing for what is not an action on objects."""
    gvk: tuple[str, str, str]
    query: tuple[str, ...]
    """Names in PARAMETERS."""
    body: str
    """The name of the definition of the request's body, or nothing."""
    consumes: tuple[str, ...]
    answer: str
    """The name of the definition of the answer, or nothing for text."""
    produces: tuple[str, ...]
    codes: tuple[int, ...] = (200,)


@dataclass(frozen=True, slots=True)
class Path:
    """A path, its placeholders, and what can be done there."""

    path: str
    placeholders: tuple[str, ...]
    operations: tuple[Operation, ...]


def prefix(group: str, version: str) -> str:
    """The path of a group's version, without a slash at either end."""
    return f"apis/{group}/{version}" if group else f"api/{version}"


def reading(path: str, answer: str) -> Path:
    """A path that only describes the server."""
    get = Operation("get", "", ("", "", ""), (), "", (), answer, MEDIA_TYPES)
    return Path(f"/{path}/", (), (get,))


class Operations:
    """The operations of kinds, by the names of their definitions."""

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas

    def paths(self, kind: Kind) -> Iterator[Path]:
        """Every path of a kind and its subresources, each with at least one operation."""
        base = f"/{prefix(kind.group, kind.version)}"
        inside = f"{base}/namespaces/{{namespace}}" if kind.namespaced else base
        placeholders = ("namespace",) if kind.namespaced else ()
        operations = self._main(kind)
        collection = [op for op in operations if op.action in _ON_COLLECTION]
        single = [op for op in operations if op.action not in _ON_COLLECTION]
        everywhere = [op for op in collection if op.action == "list" and kind.namespaced]
        rows = [
            (f"{base}/{kind.plural}", (), everywhere),
            (f"{inside}/{kind.plural}", placeholders, collection),
            (f"{inside}/{kind.plural}/{{name}}", (*placeholders, "name"), single),
        ]
        rows += [
            (
                f"{inside}/{kind.plural}/{{name}}/{sub.name}",
                (*placeholders, "name"),
                self._subresource(kind, sub),
            )
            for sub in kind.subresources.values()
        ]
        for path, names, found in rows:
            if found:
                yield Path(path, names, tuple(found))

    def _main(self, kind: Kind) -> list[Operation]:
        name = definition_name(kind, self._schemas)
        names = (kind.group, kind.version, kind.kind)
        custom = kind.type_name not in self._schemas
        return [
            _operation(verb, names, name, custom=custom) for verb in _VERBS if verb in kind.verbs
        ]

    def _subresource(self, kind: Kind, sub: Subresource) -> list[Operation]:
        group, version = (sub.group, sub.version) if sub.version else (kind.group, kind.version)
        names = (group, version, sub.kind)
        custom = kind.type_name not in self._schemas
        if names == (kind.group, kind.version, kind.kind):
            name = definition_name(kind, self._schemas)
        else:
            name = f"io.k8s.api.{group.partition('.')[0] or 'core'}.{version}.{sub.kind}"
            if name not in self._schemas:
                return [
                    Operation(_VERBS[verb][0], "connect", names, (), "", (), "", ANY)
                    for verb in sub.verbs
                ]
        if sub.name == "log":
            return [Operation("get", "get", names, ("pretty",), "", (), "", TEXT)]
        return [
            _operation(verb, names, name, custom=custom) for verb in _VERBS if verb in sub.verbs
        ]


def _operation(verb: str, gvk: tuple[str, str, str], name: str, *, custom: bool) -> Operation:
    method, action, query, codes = _VERBS[verb]
    types = CUSTOM_MEDIA_TYPES if custom else MEDIA_TYPES
    body, answer = "", name
    consumes: tuple[str, ...] = ()
    match verb:
        case "list":
            answer = f"{name}List"
        case "create" | "update":
            body, consumes = name, types
        case "patch":
            body, consumes = f"{META}Patch", CUSTOM_PATCH_TYPES if custom else PATCH_TYPES
        case "delete" | "deletecollection":
            body, consumes, answer = f"{META}DeleteOptions", types, f"{META}Status"
    return Operation(method, action, gvk, query, body, consumes, answer, types, codes)
