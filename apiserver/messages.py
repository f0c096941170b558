"""Answers in Kubernetes protobuf: objects, lists, and the events of a watch.

An object is encoded once for all who read it, and kept with its row; lists and events are put together from that.

upstream: apimachinery/pkg/runtime/serializer/protobuf
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from verger.apiserver.protobuf import Codec, envelope
from verger.apiserver.wire import delimited
from verger.store.backend import Row
from verger.store.kinds import Kind

STREAM: Final = "application/vnd.kubernetes.protobuf;stream=watch"
"""The media type of a watch."""
_META: Final = "k8s.io.apimachinery.pkg.apis.meta"
_META_KINDS: Final = ("Status", "APIVersions", "APIGroupList", "APIGroup", "APIResourceList")
"""What stands in v1 and is described with the metadata."""
_NONE: Final[Mapping[Any, Any]] = {}
_LENGTH: Final = 4
"""Bytes before each frame, big-endian."""


Shown = Callable[[Kind, Row], Mapping[str, Any]]
"""The object of a row as a kind shows it."""


class Messages:
    """Writes answers of one Kubernetes version."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._envelopes: dict[Kind, tuple[bytes, bytes]] = {}
        """What stands before and behind the object of a kind."""

    def _field(self, kind: Kind, row: Row, shown: Shown) -> bytes:
        """The object as field 2: that is what it is both in an envelope and in a list."""
        key, views = ("protobuf", kind), row.views
        found: bytes | None = views.get(key) if views is not None else None
        if found is None:
            found = delimited(2, self._codec.encode(kind.type_name, shown(kind, row)))
            row.view(key, lambda _: found)
        return found

    def row(self, kind: Kind, row: Row, shown: Shown) -> bytes:
        """The object of a row."""
        found = self._envelopes.get(kind)
        if found is None:
            found = self._envelopes[kind] = envelope(kind.api_version, kind.kind)
        return found[0] + self._field(kind, row, shown) + found[1]

    def list(
        self, kind: Kind, rows: Sequence[Row], metadata: Mapping[str, Any], shown: Shown
    ) -> bytes:
        """A list. Of every list the metadata is field 1, and the items are field 2."""
        head = self._codec.encode_message(f"{_META}.v1.ListMeta", metadata)
        # Most have been read before.
        key = ("protobuf", kind)
        items = [(row.views or _NONE).get(key) or self._field(kind, row, shown) for row in rows]
        raw = b"".join((delimited(1, head), *items))
        return self._codec.seal(kind.api_version, kind.list_kind, raw)

    def value(self, obj: Mapping[str, Any], type_name: str = "") -> bytes:
        """Anything else that says what it is: a Status, a review, discovery, metadata of objects; or an object of that type."""
        api_version, kind = obj.get("apiVersion", "v1"), obj["kind"]
        group, _, version = api_version.rpartition("/")
        if type_name:
            raw = self._codec.encode(type_name, obj)
        elif kind in _META_KINDS or group == "meta.k8s.io":
            raw = self._codec.encode_message(f"{_META}.{version}.{kind}", obj)
        elif group == "apidiscovery.k8s.io":
            raw = self._codec.encode_message(f"k8s.io.api.apidiscovery.{version}.{kind}", obj)
        else:
            package = group.partition(".")[0]
            raw = self._codec.encode(f"io.k8s.api.{package}.{version}.{kind}", obj)
        return self._codec.seal(api_version, kind, raw)

    @staticmethod
    def event(type_: str, sealed: bytes) -> bytes:
        """One event of a watch, which stands for itself: it has no envelope, only what it tells of has."""
        event = delimited(1, type_.encode()) + delimited(2, delimited(1, sealed))
        return len(event).to_bytes(_LENGTH, "big") + event
