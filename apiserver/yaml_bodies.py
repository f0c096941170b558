"""Request bodies in YAML, as far as YAML is JSON.

A few bytes of YAML can stand for more than there is memory, or for something that is no tree; such documents are
refused before anything is made of them.
"""

from collections.abc import Hashable
from typing import Any, Final

import orjson
import yaml
from verger.apiserver.bodies import DEPTH_MAX, BodyError, Parsed
from verger.store.invalid import quote

NODES_MAX: Final = 1_000_000
"""Nodes that a document may expand to, its aliases written out."""


class _Loader(yaml.CSafeLoader):
    """YAML 1.1 as far as it is JSON: no timestamps, keys are strings, and keys that occur twice are noted."""

    def __init__(self, stream: bytes) -> None:
        super().__init__(stream)
        self.problems: list[str] = []

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """A mapping with string keys."""
        self.flatten_mapping(node)
        out: dict[Hashable, Any] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, (dict, list)):
                raise yaml.constructor.ConstructorError(
                    None, None, "keys must be scalars", node.start_mark
                )
            if not isinstance(key, str):
                key = "null" if key is None else orjson.dumps(key).decode()
            if key in out:
                line = key_node.start_mark.line + 1
                self.problems.append(f"line {line}: key {quote(key)} already set in map")
            out[key] = self.construct_object(value_node, deep=True)
        return out


def _mapping(loader: Any, node: Any) -> dict[Hashable, Any]:
    found: dict[Hashable, Any] = loader.construct_mapping(node, deep=True)
    return found


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rules if tag != "tag:yaml.org,2002:timestamp"]
    for first, rules in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def _check_depth(body: bytes) -> None:
    """Reads the document without making anything of it. Raises BodyError and YAMLError.

    The composer calls itself for each container, in C, where too deep a stack ends the process.
    """
    depth = 0
    for event in yaml.parse(body, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEPTH_MAX:
                raise BodyError("yaml: exceeded max depth")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _check_expansion(root: yaml.Node) -> None:
    """Counts the nodes that the document stands for, aliases written out. Raises BodyError."""
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()

    def size(node: yaml.Node) -> int:
        known = sizes.get(id(node))
        if known is not None:
            return known
        if id(node) in open_nodes:
            raise BodyError("yaml: an alias stands inside what it is an alias of")
        open_nodes.add(id(node))
        total = 1
        if isinstance(node, yaml.MappingNode):
            total += sum(size(key) + size(value) for key, value in node.value)
        elif isinstance(node, yaml.SequenceNode):
            total += sum(size(item) for item in node.value)
        if total > NODES_MAX:
            raise BodyError("yaml: document contains excessive aliasing")
        open_nodes.discard(id(node))
        sizes[id(node)] = total
        return total

    size(root)


def parse_yaml(body: bytes) -> Parsed:
    """One YAML document that is an object. Raises BodyError."""
    try:
        _check_depth(body)
        loader = _Loader(body)
        try:
            node = loader.get_single_node()
            if node is None:
                return Parsed({}, [], [])
            _check_expansion(node)
            value = loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark is not None else ""
        problem = getattr(error, "problem", None) or "not a document"
        raise BodyError(f"yaml: {where}{problem}") from None
    except (RecursionError, UnicodeDecodeError, ValueError) as error:
        if isinstance(error, BodyError):
            raise
        raise BodyError("yaml: nested too deeply, or not text") from None
    if value is None:
        return Parsed({}, [], [])
    if not isinstance(value, dict):
        raise BodyError(
            "json parse error: json: cannot unmarshal a scalar or a list into Go value of type struct"
        )
    try:
        # Binary values and numbers that JSON cannot hold are found here.
        plain = orjson.loads(orjson.dumps(value))
    except (TypeError, orjson.JSONDecodeError):
        raise BodyError("yaml: the document holds values that JSON does not have") from None
    problems = loader.problems
    strict = ["yaml: unmarshal errors:\n  " + "\n  ".join(problems)] if problems else []
    return Parsed(plain, problems, strict)
