"""The OpenAPI 2 document of the whole server, as JSON and as the protobuf message that kubectl reads.

kubectl asks only for the protobuf: for files of kind List, which it checks itself, and for `--output=plaintext-openapiv2`
of explain. The message is gnostic's openapi.v2.Document; its field numbers stand beside the facts that they carry.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import orjson
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
    V2,
    Json,
    custom_definitions,
    definition,
    definition_name,
    gvk,
    reachable,
)
from verger.store.kinds import Kind
from verger.store.schemas import Schemas

_DESCRIPTIONS: Final = {200: "OK", 201: "Created", 202: "Accepted"}


class Spec:
    """The parts of the document, each made when it is asked for, so that no whole document stands in memory as dicts."""

    def __init__(self, kinds: Sequence[Kind], schemas: Schemas, *, version: str) -> None:
        self._kinds = kinds
        self._schemas = schemas
        self.info: Json = {"title": "Kubernetes", "version": version}

    def paths(self) -> Iterator[tuple[str, Json]]:
        """Each path and what can be done there."""
        for path in self._paths():
            yield path.path, _path_item(path)

    def definitions(self) -> Iterator[tuple[str, Json]]:
        """Each type that a path leads to."""
        roots = {
            name
            for path in self._paths()
            for op in path.operations
            for name in (op.body, op.answer)
        }
        lists = {f"{definition_name(kind, self._schemas)}List": kind for kind in self._kinds}
        for kind in self._kinds:
            if kind.type_name not in self._schemas:
                yield from custom_definitions(kind, self._schemas, V2)
        for name in reachable(self._schemas, roots):
            found = definition(self._schemas.type(name), V2)
            if name in lists:
                # upstream: test/cmd greps the document for "List of services"
                found["properties"]["items"]["description"] = f"List of {lists[name].plural}"
            yield name, found

    def _paths(self) -> Iterator[Path]:
        operations = Operations(self._schemas)
        seen = set()
        for kind in self._kinds:
            base = prefix(kind.group, kind.version)
            if base not in seen:
                seen.add(base)
                yield reading(base, f"{META}APIResourceList")
            yield from operations.paths(kind)


def to_json(spec: Spec) -> bytes:
    """The document as JSON."""
    return orjson.dumps(
        {
            "swagger": "2.0",
            "info": spec.info,
            "paths": _encoded(spec.paths()),
            "definitions": _encoded(spec.definitions()),
        }
    )


def _encoded(pairs: Iterable[tuple[str, Json]]) -> dict[str, orjson.Fragment]:
    return {name: orjson.Fragment(orjson.dumps(value)) for name, value in pairs}


def _path_item(path: Path) -> Json:
    item: Json = {op.method: _operation(op) for op in path.operations}
    if path.placeholders:
        item["parameters"] = [
            {"name": name, "in": "path", "required": True, "type": "string", "uniqueItems": True}
            for name in path.placeholders
        ]
    return item


def _operation(op: Operation) -> Json:
    out: Json = {"produces": op.produces}
    if op.action:
        out["x-kubernetes-action"] = op.action
        out[GVK] = gvk(*op.gvk)
    parameters = [_query(name) for name in op.query]
    if op.body:
        out["consumes"] = op.consumes
        body: Json = {"name": "body", "in": "body", "schema": V2.ref(op.body)}
        if op.method != "delete":
            body["required"] = True
        parameters.append(body)
    if parameters:
        out["parameters"] = parameters
    schema = V2.ref(op.answer) if op.answer else {"type": "string"}
    out["responses"] = {
        str(code): {"description": _DESCRIPTIONS[code], "schema": schema} for code in op.codes
    }
    return out


def _query(name: str) -> Json:
    kind, description = PARAMETERS[name]
    out: Json = {"name": name, "in": "query", "type": kind, "uniqueItems": True}
    if description:
        out["description"] = description
    return out


def to_protobuf(spec: Spec) -> bytes:
    """The document as a protobuf message. upstream: gnostic, openapiv2/OpenAPIv2.proto, message Document."""
    return b"".join(
        (
            _text(1, "2.0"),
            _bytes(2, _text(1, spec.info["title"]) + _text(2, spec.info["version"])),
            _bytes(8, _entries(2, spec.paths(), _path_item_message)),
            _bytes(9, _entries(1, spec.definitions(), _schema_message)),
        )
    )


_SHORT: Final = tuple(bytes((number,)) for number in range(0x80))
"""Varints of one byte: most tags and lengths, of which the document has more than a hundred thousand."""


def _varint(number: int) -> bytes:
    if number < 0x80:
        return _SHORT[number]
    return bytes((number & 0x7F | 0x80,)) + _varint(number >> 7)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode())


def _texts(field: int, values: Iterable[str]) -> bytes:
    return b"".join(_text(field, value) for value in values)


def _true(field: int) -> bytes:
    return _varint(field << 3) + b"\x01"


def _entries(
    field: int, pairs: Iterable[tuple[str, Json]], message: Callable[[Json], bytes]
) -> bytes:
    """A map, which gnostic writes as a repeated message of a name (1) and a value (2)."""
    return b"".join(
        _bytes(field, _text(1, name) + _bytes(2, message(value))) for name, value in pairs
    )


def _any_message(value: Any) -> bytes:
    return _bytes(2, orjson.dumps(value))  # Any.yaml: JSON is YAML


def _extensions(field: int, value: Mapping[str, Any]) -> bytes:
    pairs = ((name, fact) for name, fact in value.items() if name.startswith("x-"))
    return _entries(field, pairs, _any_message)


def _schema_message(schema: Json) -> bytes:
    out = []
    for name, value in schema.items():
        match name:
            case "$ref":
                out.append(_text(1, value))
            case "format":
                out.append(_text(2, value))
            case "description":
                out.append(_text(4, value))
            case "required":
                out.append(_texts(19, value))
            case "additionalProperties":
                out.append(_bytes(21, _bytes(1, _schema_message(value))))
            case "type":
                out.append(_bytes(22, _text(1, value)))
            case "items":
                out.append(_bytes(23, _bytes(1, _schema_message(value))))
            case "properties":
                out.append(_bytes(25, _entries(1, value.items(), _schema_message)))
    return b"".join(out) + _extensions(31, schema)


_METHODS: Final = {"get": 2, "put": 3, "post": 4, "delete": 5, "patch": 8}


def _path_item_message(item: Json) -> bytes:
    operations = b"".join(
        _bytes(field, _operation_message(item[method]))
        for method, field in _METHODS.items()
        if method in item
    )
    return operations + _parameters(9, item)


def _operation_message(operation: Json) -> bytes:
    return b"".join(
        (
            _texts(6, operation["produces"]),
            _texts(7, operation.get("consumes", ())),
            _parameters(8, operation),
            _bytes(9, _entries(1, operation["responses"].items(), _response_message)),
            _extensions(13, operation),
        )
    )


def _parameters(field: int, holder: Json) -> bytes:
    # ParametersItem.parameter = 1
    return b"".join(
        _bytes(field, _bytes(1, _parameter_message(value)))
        for value in holder.get("parameters", ())
    )


def _parameter_message(parameter: Json) -> bytes:
    name, place = parameter["name"], parameter["in"]
    if place == "body":  # Parameter.body_parameter = 1
        required = _true(4) if "required" in parameter else b""
        schema = _bytes(5, _schema_message(parameter["schema"]))
        return _bytes(1, _text(2, name) + _text(3, place) + required + schema)
    if (
        place == "path"
    ):  # Parameter.non_body_parameter = 2, and of that path_parameter_sub_schema = 4
        kind = _text(5, parameter["type"])
        return _bytes(2, _bytes(4, _true(1) + _text(2, place) + _text(4, name) + kind + _true(19)))
    description = _text(3, parameter["description"]) if "description" in parameter else b""
    kind = _text(6, parameter["type"])
    query = _text(2, place) + description + _text(4, name) + kind + _true(20)
    return _bytes(2, _bytes(3, query))  # query_parameter_sub_schema = 3


def _response_message(response: Json) -> bytes:
    # ResponseValue.response = 1; Response: description 1, schema 2; SchemaItem.schema = 1
    schema = _bytes(2, _bytes(1, _schema_message(response["schema"])))
    return _bytes(1, _text(1, response["description"]) + schema)
