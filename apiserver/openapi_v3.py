"""The OpenAPI 3 documents of the server: one for each version of a group, and small ones for the paths that describe it.

kubectl reads them to learn whether the server checks fields (the query parameter fieldValidation of a PATCH), which
kinds of patch it takes, how lists are merged, and what `explain` prints.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from verger.apiserver.openapi_operations import (
    PARAMETERS,
    Operation,
    Operations,
    Path,
    prefix,
    reading,
)
from verger.apiserver.openapi_schemas import (
    GVK,
    META,
    V3,
    Json,
    custom_definitions,
    definition,
    gvk,
    reachable,
)
from verger.store.kinds import Kind
from verger.store.schemas import Schemas

_DESCRIPTIONS: Final = {200: "OK", 201: "Created", 202: "Accepted"}


def group_version_document(kinds: Sequence[Kind], schemas: Schemas, *, version: str) -> Json:
    """The document of one version of a group, which holds these kinds (at least one)."""
    resources = reading(prefix(kinds[0].group, kinds[0].version), f"{META}APIResourceList")
    operations = Operations(schemas)
    paths = [resources, *(path for kind in kinds for path in operations.paths(kind))]
    custom = [
        pair
        for kind in kinds
        if kind.type_name not in schemas
        for pair in custom_definitions(kind, schemas, V3)
    ]
    return _document(paths, custom, schemas, version=version)


def reading_document(path: str, answer: str, schemas: Schemas, *, version: str) -> Json:
    """The document of a path that only describes the server, with the name of the type of its answer."""
    return _document([reading(path, answer)], (), schemas, version=version)


def _document(
    paths: Sequence[Path], custom: Iterable[tuple[str, Json]], schemas: Schemas, *, version: str
) -> Json:
    roots = {name for path in paths for op in path.operations for name in (op.body, op.answer)}
    definitions = dict(custom)
    if definitions:
        roots |= {f"{META}ObjectMeta", f"{META}ListMeta"}
    for name in reachable(schemas, roots):
        definitions[name] = definition(schemas.type(name), V3)
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": version},
        "paths": {path.path: _path_item(path) for path in paths},
        "components": {"schemas": definitions},
    }


def _path_item(path: Path) -> Json:
    item: Json = {op.method: _operation(op) for op in path.operations}
    if path.placeholders:
        item["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": _unique("string")}
            for name in path.placeholders
        ]
    return item


def _operation(op: Operation) -> Json:
    out: Json = {}
    if op.action:
        out["x-kubernetes-action"] = op.action
        out[GVK] = gvk(*op.gvk)
    if op.query:
        out["parameters"] = [_query(name) for name in op.query]
    if op.body:
        required = {} if op.method == "delete" else {"required": True}
        out["requestBody"] = {"content": _content(op.consumes, V3.ref(op.body)), **required}
    content = _content(op.produces, V3.ref(op.answer) if op.answer else {"type": "string"})
    out["responses"] = {
        str(code): {"description": _DESCRIPTIONS[code], "content": content} for code in op.codes
    }
    return out


def _content(media_types: Iterable[str], schema: Json) -> Json:
    return {name: {"schema": schema} for name in media_types}


def _query(name: str) -> Json:
    kind, description = PARAMETERS[name]
    out: dict[str, Any] = {"name": name, "in": "query", "schema": _unique(kind)}
    if description:
        out["description"] = description
    return out


def _unique(kind: str) -> Json:
    return {"type": kind, "uniqueItems": True}
