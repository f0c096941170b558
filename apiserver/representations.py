"""How objects leave the server: as they are stored, as metadata alone, or as a Table; in JSON or YAML, plain or indented.

The common case copies bytes that were encoded when the object was written. Everything else is made from the object.
"""

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, Final

import orjson
from verger.apiserver.messages import Messages
from verger.apiserver.negotiation import JSON, PROTOBUF, YAML, Target
from verger.store.backend import Row
from verger.store.errors import BadRequest, NotAcceptable
from verger.store.invalid import quote
from verger.store.kinds import Kind
from verger.store.objects import encode
from verger.store.reading import ListResult

_INCLUDES: Final = ("", "Metadata", "Object", "None")


def tables() -> ModuleType:
    """What makes Tables: loaded when the first one is wanted, as columns of all kinds are much to load."""
    from verger.apiserver import tables as module

    return module


def check_include(include: str) -> None:
    """Raises BadRequest for an `includeObject` that is none."""
    if include not in _INCLUDES:
        raise BadRequest(
            f"Unable to convert to Table as requested: includeObject: Invalid value: {quote(include)}: must be "
            "'Metadata', 'Object', 'None', or empty"
        )


def object_of(kind: Kind, row: Row) -> Mapping[str, Any]:
    """The object of a row as the kind shows it."""
    if kind.view is None:
        return row.object
    shown: Mapping[str, Any] = row.view(("object", kind), _viewed(kind))
    return shown


def _viewed(kind: Kind) -> Any:
    def make(row: Row) -> Mapping[str, Any]:
        assert kind.view is not None  # noqa: S101 - only called for kinds that are views
        shown = kind.view.from_stored(row.object)
        return {**shown, "kind": kind.kind, "apiVersion": kind.api_version}

    return make


def json_of(kind: Kind, row: Row) -> bytes:
    """The object of a row as compact JSON."""
    if kind.view is None:
        return row.data
    data: bytes = row.view(("json", kind), lambda row: encode(object_of(kind, row)))
    return data


class Writer:
    """Writes answers for one target."""

    __slots__ = ("include", "messages", "now", "pretty", "target")

    def __init__(
        self,
        target: Target,
        *,
        pretty: bool = False,
        include: str = "",
        now: float = 0.0,
        messages: Messages | None = None,
    ) -> None:
        """A target in protobuf needs `messages`."""
        self.target = target
        self.messages = messages if target.media_type == PROTOBUF else None
        self.pretty = pretty
        self.include = include
        self.now = now

    @property
    def content_type(self) -> str:
        """The media type, as upstream names it: forms are not repeated."""
        return self.target.media_type

    def _plain(self) -> bool:
        return self.target.media_type == JSON and not self.pretty

    def value(self, value: Any) -> bytes:
        """Any JSON value; in protobuf, one that says of which kind it is."""
        if self.messages is not None:
            return self.messages.value(value)
        if self.target.media_type == YAML:
            import yaml

            text: str = yaml.dump(
                value, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True
            )
            return text.encode()
        if self.pretty:
            return _indented(encode(value))
        return encode(value) + b"\n"

    def row(self, kind: Kind, row: Row) -> bytes:
        """One object. Raises BadRequest and NotAcceptable."""
        match self.target.form:
            case "":
                if self._plain():
                    return json_of(kind, row) + b"\n"
                if self.messages is not None:
                    return self.messages.row(kind, row, object_of)
                return self.value(object_of(kind, row))
            case "Table":
                check_include(self.include)
                revision = {"resourceVersion": str(row.revision)} if row.revision else {}
                return self.value(self._table(kind, [row], revision))
            case "PartialObjectMetadata":
                return self.value(
                    tables().partial_metadata(object_of(kind, row), version=self.target.version)
                )
            case form:
                raise NotAcceptable(
                    f"you requested {form}, but the requested object is not a list (*{_internal(kind)}.{kind.kind})"
                )

    def list(self, kind: Kind, found: ListResult) -> bytes:
        """One page of a list. Raises BadRequest and NotAcceptable."""
        metadata: dict[str, Any] = {"resourceVersion": str(found.revision)}
        if kind.custom is not None and not self.target.form:
            metadata["continue"] = ""  # such lists are no Go struct, which would leave it out
        if found.continue_token:
            metadata["continue"] = found.continue_token
            if found.remaining:
                metadata["remainingItemCount"] = found.remaining
        match self.target.form:
            case "":
                if self._plain():
                    return _join(kind, found.rows, metadata)
                if self.messages is not None:
                    return self.messages.list(kind, found.rows, metadata, object_of)
                return self.value(_list_object(kind, found.rows, metadata))
            case "Table":
                check_include(self.include)
                return self.value(self._table(kind, found.rows, metadata))
            case "PartialObjectMetadataList":
                objects = [row.object for row in found.rows]
                return self.value(
                    tables().partial_metadata_list(objects, metadata, version=self.target.version)
                )
            case form:
                raise NotAcceptable(
                    f"you requested {form}, but the requested object is a list (*{_internal(kind)}.{kind.list_kind})"
                )

    def _table(self, kind: Kind, rows: Sequence[Row], metadata: Mapping[str, Any]) -> Any:
        return tables().table(
            kind,
            [row.object for row in rows],
            include=self.include,
            version=self.target.version,
            metadata=metadata,
            now=self.now,
        )


def _internal(kind: Kind) -> str:
    return kind.group.split(".")[0] or "core"


def _join(kind: Kind, rows: Sequence[Row], metadata: Mapping[str, Any]) -> bytes:
    """A list from the bytes of its rows, which lose their kind and apiVersion on the way if they are built-in ones."""
    head = encode({"kind": kind.list_kind, "apiVersion": kind.api_version, "metadata": metadata})
    if not rows:
        return head[:-1] + b',"items":[]}\n'
    if kind.custom is not None:
        items = b",".join([json_of(kind, row) for row in rows])
        return b"".join((head[:-1], b',"items":[', items, b"]}\n"))
    # Every object begins with its kind and apiVersion, which are the same for all.
    skip = len(encode({"kind": kind.kind, "apiVersion": kind.api_version}))
    items = b",{".join([json_of(kind, row)[skip:] for row in rows])
    return b"".join((head[:-1], b',"items":[{', items, b"]}\n"))


def _list_object(kind: Kind, rows: Sequence[Row], metadata: Mapping[str, Any]) -> dict[str, Any]:
    items = []
    for row in rows:
        item = dict(object_of(kind, row))
        if kind.custom is None:
            item.pop("kind", None)
            item.pop("apiVersion", None)
        items.append(item)
    return {
        "kind": kind.list_kind,
        "apiVersion": kind.api_version,
        "metadata": metadata,
        "items": items,
    }


def _indented(data: bytes) -> bytes:
    """JSON indented by two spaces; what was escaped stays escaped, as the escapes are those of the text itself."""
    value = orjson.loads(data)
    out = orjson.dumps(value, option=orjson.OPT_INDENT_2)
    for char, escape in ((b"<", b"\\u003c"), (b">", b"\\u003e"), (b"&", b"\\u0026")):
        out = out.replace(char, escape)
    return out


PLAIN_WRITER: Final = Writer(Target())
"""What most answers are written with."""
