"""The OpenAPI documents of the server: what its kinds look like, and what can be asked of them.

A document is encoded when it is first asked for, and kept until what it is made from changes: a new kind rebuilds
the documents of its own version and the ones of the whole server, and no other.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from verger.apiserver.openapi_operations import JSON, prefix
from verger.apiserver.openapi_schemas import META, V3, Json, custom_definitions
from verger.apiserver.openapi_v2 import Spec, to_json, to_protobuf
from verger.apiserver.openapi_v3 import group_version_document, reading_document
from verger.store.kinds import Kind, Kinds
from verger.store.schemas import Schemas

V2_PROTOBUF: Final = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
V2_PROTOBUF_ASKED: Final = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
"""How kubectl asks for the version 2 document, in no other form. Go cannot parse an answer of that type: no token has an @."""

_ANSWERS: Final[Mapping[str, str]] = {
    "api": f"{META}APIVersions",
    "apis": f"{META}APIGroupList",
    "version": "io.k8s.apimachinery.pkg.version.Info",
}
"""Paths that describe the server -> the types of their answers."""


@dataclass(frozen=True, slots=True)
class Document:
    """A document as it is sent. `etag` is a strong validator of the body, in the quotes that the header wants."""

    body: bytes
    media_type: str
    etag: str


@dataclass(frozen=True, slots=True)
class _Part:
    """What a version 3 document is made from: equal stamps make equal documents."""

    stamp: str
    build: Callable[[], Json]


class OpenApi:
    """The documents of the kinds of one plane: version 3 by groups and versions, version 2 as a whole."""

    def __init__(self, kinds: Kinds, schemas: Schemas, *, version: str) -> None:
        self._kinds = kinds
        self._schemas = schemas
        self._version = version
        self._seen = -1
        self._parts: dict[str, _Part] = {}
        self._stamp = ""
        self._documents: dict[str, tuple[str, Document]] = {}

    def root(self) -> Document:
        """The answer to /openapi/v3: where the version 3 documents are.

        The `hash` of each names what it is made from; a hash of the document itself would mean to build them all. Another
        release may make another document from the same facts: let clients revalidate by ETag rather than keep it for good.
        """

        def build() -> bytes:
            paths = {
                path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={part.stamp}"}
                for path, part in sorted(self._parts.items())
            }
            return orjson.dumps({"paths": paths})

        return self._whole("/v3", JSON, build)

    def group_version(self, path: str) -> Document | None:
        """The answer to /openapi/v3/<path>, such as `api/v1` or `apis/apps/v1`; None for what is not served."""
        self._refresh()
        part = self._parts.get(path)
        if part is None:
            return None
        return self._kept(path, part.stamp, JSON, lambda: orjson.dumps(part.build()))

    def v2_json(self) -> Document:
        """The answer to /openapi/v2 for those who accept JSON."""
        return self._whole("/v2 json", JSON, lambda: to_json(self._spec()))

    def v2_protobuf(self) -> Document:
        """The answer to /openapi/v2 for those who ask for V2_PROTOBUF_ASKED, as kubectl does, or V2_PROTOBUF."""
        return self._whole("/v2 protobuf", V2_PROTOBUF, lambda: to_protobuf(self._spec()))

    def _whole(self, name: str, media_type: str, build: Callable[[], bytes]) -> Document:
        """A document of all kinds. Its name starts with a slash, as no path of a version 3 document does."""
        self._refresh()
        return self._kept(name, self._stamp, media_type, build)

    def _kept(self, name: str, stamp: str, media_type: str, build: Callable[[], bytes]) -> Document:
        kept = self._documents.get(name)
        if kept is None or kept[0] != stamp:
            body = build()
            etag = f'"{hashlib.sha256(body).hexdigest()}"'
            kept = self._documents[name] = stamp, Document(body, media_type, etag)
        return kept[1]

    def _spec(self) -> Spec:
        return Spec(list(self._kinds), self._schemas, version=self._version)

    def _refresh(self) -> None:
        if self._seen == self._kinds.version:
            return
        parts = {path: self._answer(path, answer) for path, answer in _ANSWERS.items()}
        by_version: dict[str, list[Kind]] = {}
        for kind in self._kinds:
            by_version.setdefault(prefix(kind.group, kind.version), []).append(kind)
            if kind.group:
                parts[f"apis/{kind.group}"] = self._answer(f"apis/{kind.group}", f"{META}APIGroup")
        parts |= {path: self._group_version(kinds) for path, kinds in by_version.items()}
        self._parts = parts
        self._stamp = _hash({path: part.stamp for path, part in parts.items()})
        self._documents = {
            name: kept
            for name, kept in self._documents.items()
            if name.startswith("/") or name in parts
        }
        self._seen = self._kinds.version

    def _answer(self, path: str, answer: str) -> _Part:
        return _Part(
            _hash(self._version, self._schemas.version, path),
            lambda: reading_document(path, answer, self._schemas, version=self._version),
        )

    def _group_version(self, kinds: Sequence[Kind]) -> _Part:
        return _Part(
            _hash(self._version, self._schemas.version, *(self._facts(kind) for kind in kinds)),
            lambda: group_version_document(kinds, self._schemas, version=self._version),
        )

    def _facts(self, kind: Kind) -> Any:
        """All of a kind that its documents show."""
        custom = kind.type_name not in self._schemas
        return (
            (kind.group, kind.version, kind.kind, kind.plural, kind.namespaced, kind.type_name),
            sorted(kind.verbs),
            [
                (sub.name, sub.group, sub.version, sub.kind, sub.verbs)
                for sub in kind.subresources.values()
            ],
            dict(custom_definitions(kind, self._schemas, V3)) if custom else None,
        )


def _hash(*facts: Any) -> str:
    # Tuples are written as their contents; the order of facts is part of them.
    return hashlib.sha256(orjson.dumps(facts)).hexdigest()[:32].upper()
