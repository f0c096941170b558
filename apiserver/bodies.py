"""Request bodies: JSON, YAML and protobuf become one JSON-shaped object.

Input is hostile: sizes are bounded before parsing, and what a small text may expand to is bounded while parsing.
"""

import json
import re
from typing import Any, Final, NamedTuple

import orjson
from verger.apiserver.negotiation import JSON, SUPPORTED, YAML
from verger.apiserver.protobuf import Codec, open_envelope
from verger.apiserver.wire import ProtobufError
from verger.store.errors import BadRequest, UnsupportedMediaType
from verger.store.gojson import go_json_error, go_kind
from verger.store.invalid import quote
from verger.store.objects import Object

BODY_MAX: Final = 3 * 1024 * 1024
"""Bytes of a request body. upstream: MaxRequestBodyBytes"""
DEPTH_MAX: Final = 250
"""Containers inside each other. orjson writes 254; some are for what answers put around an object."""
_EXCERPT: Final = 30
_SPACED_COLON: Final = re.compile(rb'"\s+:').search


class Parsed(NamedTuple):
    """A body as an object, and what is odd about the text (keys that occur twice).

    A warning says it a line each, a strict error in the words of the parser.
    """

    obj: Object
    problems: list[str]
    strict: list[str]


class BodyError(ValueError):
    """The bytes cannot be parsed."""


def media_type_of(content_type: str) -> str:
    """The media type of a Content-Type header; none at all is JSON."""
    return content_type.partition(";")[0].strip().lower() or JSON


def unsupported() -> UnsupportedMediaType:
    """The body is in none of the formats."""
    return UnsupportedMediaType(
        f"the body of the request was in an unknown format - accepted media types include: {', '.join(SUPPORTED)}"
    )


class _DuplicateKeys(dict[str, Any]):
    """A JSON object some of whose keys occur twice."""

    names: tuple[str, ...] = ()


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) == len(pairs):
        return out
    marked = _DuplicateKeys(out)
    seen: set[str] = set()
    marked.names = tuple(
        dict.fromkeys(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    )
    return marked


def _duplicates(value: Any, path: str) -> list[str]:
    out: list[str] = []
    if isinstance(value, dict):
        if isinstance(value, _DuplicateKeys):
            out += [f"duplicate field {quote(f'{path}{name}')}" for name in value.names]
        for key, item in value.items():
            out += _duplicates(item, f"{path}{key}.")
    elif isinstance(value, list):
        base = path.removesuffix(".")
        for index, item in enumerate(value):
            out += _duplicates(item, f"{base}[{index}].")
    return out


def _count_keys(container: Any, depth: int) -> int:
    """How many keys the document has. In a body without white space before colons, each stands before a `":`.

    Raises BodyError when it is nested too deeply for anybody to write it down again.
    """
    if depth > DEPTH_MAX:
        raise BodyError("json parse error: exceeded max depth")
    count = 0
    if container.__class__ is dict:
        count = len(container)
        container = container.values()
    for item in container:
        if item.__class__ is dict or item.__class__ is list:
            count += _count_keys(item, depth + 1)
    return count


def parse_json(body: bytes) -> Parsed:
    """A JSON object. Raises BodyError in Go's words."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BodyError(f"json parse error: {go_json_error(body, error)}") from None
    if value is None:
        return Parsed({}, [], [])  # Go leaves the object as it is
    if not isinstance(value, dict):
        raise BodyError(
            f"json parse error: json: cannot unmarshal {go_kind(value)} into Go value of type struct"
        )
    problems: list[str] = []
    if body.count(b'":') != _count_keys(value, 1) or _SPACED_COLON(body):
        # Perhaps a key stands there twice, or a text holds what looks like one: only then the body is read again.
        problems = _duplicates(json.loads(body, object_pairs_hook=_pairs), "")
    return Parsed(value, problems, problems)


class Bodies:
    """Parses request bodies."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec

    def parse(self, body: bytes, content_type: str, type_name: str, expected: str) -> Parsed:
        """The object in a body; `expected` is how the wanted kind is called in messages.

        Raises BadRequest and UnsupportedMediaType.
        """
        media = media_type_of(content_type)
        if media not in SUPPORTED:
            raise unsupported()
        try:
            if media == JSON:
                return parse_json(body)
            if media == YAML:
                # Few clients send YAML: its library is loaded when the first one does.
                from verger.apiserver.yaml_bodies import parse_yaml

                return parse_yaml(body)
            return self._protobuf(body, type_name)
        except BodyError as error:
            prefix = (
                f"the object provided is unrecognized (must be of type {expected}): "
                if expected
                else ""
            )
            suffix = f" ({_excerpt(body)})" if expected else ""
            raise BadRequest(f"{prefix}couldn't get version/kind; {error}{suffix}") from None

    def applied(self, body: bytes) -> Parsed:
        """The object in the body of an apply. Raises BadRequest."""
        from verger.apiserver.yaml_bodies import parse_yaml

        try:
            if body[:1] == b"{":
                # Most clients send JSON, which is YAML too.
                try:
                    return parse_json(body)
                except BodyError:
                    pass
            return parse_yaml(body)
        except BodyError as error:
            raise BadRequest(f"error decoding YAML: {error}") from None

    def _protobuf(self, body: bytes, type_name: str) -> Parsed:
        if not type_name:
            raise unsupported()
        try:
            envelope = open_envelope(body)
            obj = self.codec.decode(type_name, envelope.raw)
        except ProtobufError as error:
            raise BodyError(f"protobuf: {error}") from None
        if envelope.api_version:
            obj["apiVersion"] = envelope.api_version
        if envelope.kind:
            obj["kind"] = envelope.kind
        return Parsed(obj, [], [])


def check_kind_stated(body: bytes, obj: Object, expected: str) -> None:
    """Of objects that clients define nobody guesses the kind. Raises BadRequest."""
    if not obj.get("kind"):
        raise BadRequest(
            f"the object provided is unrecognized (must be of type {expected}): Object 'Kind' is missing in "
            f"'{body.decode('utf-8', 'replace')}' ({_excerpt(body)})"
        )


def _excerpt(body: bytes) -> str:
    if not body:
        return "<empty>"
    cut = body[:_EXCERPT]
    text = cut.decode("utf-8", "replace")
    if not text.isprintable():
        text = f"0x{cut.hex()}"
    return f"{text} ..." if len(body) > _EXCERPT else text
