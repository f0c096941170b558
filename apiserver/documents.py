"""The server's own documents: discovery, OpenAPI, version, health, metrics, and the list of them all."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import orjson
from aiohttp.web_request import BaseRequest
from verger.apiserver.answers import Answer, page_not_found, text
from verger.apiserver.discovery import Discovery
from verger.apiserver.handlers import is_pretty, method_not_allowed
from verger.apiserver.health import ENDPOINTS, Health
from verger.apiserver.messages import Messages
from verger.apiserver.metrics import CONTENT_TYPE as METRICS_TYPE
from verger.apiserver.metrics import Metrics
from verger.apiserver.negotiation import PROTOBUF, Target, clauses, negotiate, not_acceptable
from verger.apiserver.options import Query
from verger.apiserver.paths import unknown_resource
from verger.apiserver.protobuf import Codec
from verger.apiserver.representations import Writer
from verger.apiserver.version import version_info
from verger.identity.oidc import DISCOVERY_PATH, JWKS_PATH, MAX_AGE, Issuer
from verger.store.kinds import Kinds
from verger.store.schemas import Schemas

if TYPE_CHECKING:
    from verger.apiserver.openapi import Document, OpenApi

CONTROLLERS: Final = "/debug/controllers"
"""What the controllers are about."""
_OPENAPI_V3: Final = "/openapi/v3"
_OIDC: Final = ("/.well-known/", JWKS_PATH)


class Documents:
    """Answers for every path that is not a resource's."""

    def __init__(
        self,
        kinds: Kinds,
        schemas: Schemas,
        health: Health,
        metrics: Metrics,
        kubernetes_version: str,
        issuer: Issuer,
        url: Callable[[], str],
        controllers: Callable[[], str],
    ) -> None:
        """`controllers` tells in JSON what they are about."""
        self._kinds = kinds
        self._discovery = Discovery(kinds)
        self._schemas = schemas
        self._openapi: OpenApi | None = None
        self._health = health
        self._metrics = metrics
        self._version = kubernetes_version
        self._issuer = issuer
        self._url = url
        self._controllers = controllers

    def answer(self, request: BaseRequest, path: str, query: Query, audit_id: str) -> Answer:
        """The document at a path. Raises NotFound, MethodNotAllowed, NotAcceptable."""
        accept = request.headers.get("Accept", "")
        if request.method == "CONNECT":
            raise method_not_allowed()  # a success would mean a tunnel
        if path.startswith(ENDPOINTS) and f"/{path.split('/')[1]}" in ENDPOINTS:
            return self._health_answer(path, query, audit_id)
        if path.startswith(_OIDC):
            return self._oidc_answer(request, path, audit_id)
        known = (
            path in ("/", "/version", "/metrics", CONTROLLERS, "/openapi/v2", _OPENAPI_V3)
            or path.startswith(f"{_OPENAPI_V3}/")
            or self._discovery.serves(path)
        )
        if not known:
            group = path.split("/")[2] if path.startswith("/apis/") else ""
            if group in self._kinds.groups_served and group and not self._kinds.is_custom(group):
                raise unknown_resource()
            return page_not_found(audit_id)
        if request.method not in ("GET", "HEAD"):
            raise method_not_allowed()
        if path == "/metrics":
            return Answer(self._metrics.text(), audit_id, content_type=METRICS_TYPE)
        if path == CONTROLLERS:
            return Answer(self._controllers().encode(), audit_id, content_type="application/json")
        if path.startswith("/openapi/"):
            return self._openapi_answer(request, path, accept, audit_id)
        if path in ("/", "/version"):
            value = version_info(self._version) if path == "/version" else {"paths": self._paths()}
            # Version and root have always been indented, whoever asks.
            writer = Writer(negotiate(accept, convertible=False), pretty=True)
            return Answer(writer.value(value), audit_id, content_type=writer.content_type)
        return self._discovery_answer(request, path, query, accept, audit_id)

    def _oidc_answer(self, request: BaseRequest, path: str, audit_id: str) -> Answer:
        found = self._issuer.document(path, self._url())
        if found is None:
            if path.startswith(f"{JWKS_PATH}/"):
                raise unknown_resource()
            return page_not_found(audit_id)
        if request.method not in ("GET", "HEAD"):
            raise method_not_allowed()
        more = {"Cache-Control": f"public, max-age={MAX_AGE}"}
        return Answer(found.body, audit_id, content_type=found.media_type, more=more)

    def _paths(self) -> list[str]:
        paths = ["/api", "/api/v1", "/apis"]
        for group, versions in self._kinds.groups_served.items():
            if group:
                paths += [f"/apis/{group}", *(f"/apis/{group}/{version}" for version in versions)]
        if not self._issuer.problem:
            paths += [DISCOVERY_PATH, JWKS_PATH]
        return sorted(
            [*paths, *ENDPOINTS, CONTROLLERS, "/metrics", "/openapi/v2", _OPENAPI_V3, "/version"]
        )

    def _health_answer(self, path: str, query: Query, audit_id: str) -> Answer:
        report = self._health.report(path, verbose="verbose" in query, exclude=query.all("exclude"))
        if report is None:
            return page_not_found(audit_id)
        return text(report.text, audit_id, status=report.code)

    def _discovery_answer(
        self, request: BaseRequest, path: str, query: Query, accept: str, audit_id: str
    ) -> Answer:
        body, media, etag, target = self._discovery.get(path, accept)
        if request.headers.get("If-None-Match") == etag:
            return Answer(b"", audit_id, status=304, content_type=media, more={"ETag": etag})
        if target is not None:
            pretty = is_pretty(query, request.headers.get("User-Agent", ""))
            if pretty or target != Target():
                messages = Messages(Codec(self._schemas)) if target.media_type == PROTOBUF else None
                writer = Writer(target, pretty=pretty, messages=messages)
                return Answer(writer.value(orjson.loads(body)), audit_id, content_type=media)
            body += b"\n"
        more = {"ETag": etag, "Vary": "Accept"}
        return Answer(body, audit_id, content_type=media, more=more)

    def _openapi_answer(
        self, request: BaseRequest, path: str, accept: str, audit_id: str
    ) -> Answer:
        document = self._openapi_document(path, accept)
        if document is None:
            return page_not_found(audit_id)
        # The address may carry a hash, but what is behind it can change with the kinds: clients must ask again.
        more = {"ETag": document.etag, "Cache-Control": "no-cache, private", "Vary": "Accept"}
        if request.headers.get("If-None-Match") == document.etag:
            return Answer(b"", audit_id, status=304, content_type=document.media_type, more=more)
        return Answer(document.body, audit_id, content_type=document.media_type, more=more)

    def _openapi_document(self, path: str, accept: str) -> "Document | None":
        # Most planes are never asked: the import alone costs milliseconds.
        from verger.apiserver.openapi import V2_PROTOBUF, V2_PROTOBUF_ASKED, OpenApi

        if self._openapi is None:
            self._openapi = OpenApi(self._kinds, self._schemas, version=f"v{self._version}.0")
        openapi = self._openapi
        if path == "/openapi/v2":
            for media, _ in clauses(accept) if accept else []:
                if media in (V2_PROTOBUF, V2_PROTOBUF_ASKED):
                    return openapi.v2_protobuf()
                if media in ("application/json", "*/*", "application/*"):
                    return openapi.v2_json()
            if accept:
                raise not_acceptable()
            return openapi.v2_json()
        negotiate(accept, convertible=False)
        if path == _OPENAPI_V3:
            return openapi.root()
        return openapi.group_version(path.removeprefix(f"{_OPENAPI_V3}/"))
