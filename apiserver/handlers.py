"""One coroutine for each verb, for every kind.

A handler reads what the client sent, asks the registry, and writes what came of it. Errors leave it as exceptions; the
filters turn them into Statuses.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from aiohttp import web
from verger.apiserver.answers import answer, success
from verger.apiserver.bodies import BODY_MAX, Bodies, media_type_of
from verger.apiserver.negotiation import JSON, Target, negotiate
from verger.apiserver.options import (
    Query,
    check_timeout,
    delete_options,
    list_options,
    watch_options,
    write_request,
)
from verger.apiserver.paths import Resource
from verger.apiserver.representations import PLAIN_WRITER, Writer
from verger.apiserver.watching import Encoder, Watch
from verger.store.backend import Row
from verger.store.decoding import DecodeError, Decoder
from verger.store.errors import (
    BadRequest,
    MethodNotAllowed,
    TooLarge,
    UnsupportedMediaType,
)
from verger.store.fitting import JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, Fitter
from verger.store.invalid import quote
from verger.store.kinds import Kind
from verger.store.objects import uid_of
from verger.store.reading import ListResult, parse_revision
from verger.store.registry import Registry, details_of, not_found
from verger.store.request import User, WriteRequest
from verger.watch.clock import Clock

_DELETE_OPTIONS: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"
_PRETTY_AGENTS: Final = ("curl", "Wget", "Mozilla/")
_PATCHES: Final = (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH)

Verb = Literal["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"]


def method_not_allowed() -> MethodNotAllowed:
    """The path exists, the verb does not."""
    return MethodNotAllowed("the server does not allow this method on the requested resource", {})


def verb_of(method: str, resource: Resource, query: Query) -> Verb:
    """What a request wants of a resource. Raises MethodNotAllowed."""
    named = bool(resource.name)
    verb: Verb
    match method:
        case "GET" | "HEAD" if resource.legacy_watch or (
            query.flag("watch") and not resource.subresource
        ):
            verb = "watch"
        case "GET" | "HEAD":
            verb = "get" if named else "list"
        case "POST" if not named or resource.subresource:
            verb = "create"
        case "PUT" if named:
            verb = "update"
        case "PATCH" if named:
            verb = "patch"
        case "DELETE":
            verb = "delete" if named else "deletecollection"
        case _:
            raise method_not_allowed()
    allowed = (
        resource.kind.subresources[resource.subresource].verbs
        if resource.subresource
        else resource.kind.verbs
    )
    if verb not in allowed or (resource.across and verb in ("create", "deletecollection")):
        raise method_not_allowed()
    return verb


def is_pretty(query: Query, agent: str) -> bool:
    """Whether the answer is for human eyes: when asked for, or when the client is a browser or curl."""
    if "pretty" in query:
        return query.get("pretty").lower() in ("1", "true")
    return agent.startswith(_PRETTY_AGENTS)


@dataclass(slots=True)
class Exchange:
    """One request on its way to an answer."""

    request: web.BaseRequest
    user: User
    resource: Resource
    query: Query
    audit_id: str
    agent: str

    def header(self, name: str) -> str:
        """A header of the request, or nothing."""
        return self.request.headers.get(name, "")


class Handlers:
    """The verbs."""

    def __init__(
        self,
        registry: Registry,
        fitter: Fitter,
        decoder: Decoder,
        bodies: Bodies,
        clock: Clock,
    ) -> None:
        self._registry = registry
        self._fitter = fitter
        self._decoder = decoder
        self._bodies = bodies
        self._clock = clock
        self._watches: set[Watch] = set()
        self._stopping = False

    @property
    def open_watches(self) -> int:
        """How many watches are open."""
        return len(self._watches)

    def stop(self) -> None:
        """Ends all watches in good order, and those that are still to come at once."""
        self._stopping = True
        for watch in list(self._watches):
            watch.stop()

    async def handle(self, exchange: Exchange, verb: Verb) -> web.StreamResponse:
        """Does what the verb says."""
        match verb:
            case "get":
                return await self._get(exchange)
            case "list":
                return await self._list(exchange)
            case "watch":
                return await self._watch(exchange)
            case "create":
                return await self._create(exchange)
            case "update":
                return await self._update(exchange)
            case "patch":
                return await self._patch(exchange)
            case "delete":
                return await self._delete(exchange)
            case "deletecollection":
                return await self._delete_collection(exchange)

    # Reads

    async def _get(self, exchange: Exchange) -> web.StreamResponse:
        resource = exchange.resource
        revision = parse_revision(exchange.query.get("resourceVersion"))
        writer = self._writer(exchange)
        if not resource.kind.stored:
            raise not_found(resource.kind, resource.name)
        if resource.subresource not in ("", "status"):
            raise _unserved(resource)
        row = await self._registry.get_at_least(
            resource.kind, resource.namespace, resource.name, revision
        )
        return self._answer_row(exchange, writer, row)

    async def _list(self, exchange: Exchange) -> web.StreamResponse:
        resource = exchange.resource
        check_timeout(exchange.query)
        writer = self._writer(exchange)
        if not resource.kind.stored:
            found = ListResult([], self._registry.backend.revision, "", None)
        else:
            found = await self._registry.list(
                resource.kind, resource.namespace, list_options(exchange.query)
            )
        return answer(
            writer.list(resource.kind, found), exchange.audit_id, content_type=writer.content_type
        )

    async def _watch(self, exchange: Exchange) -> web.StreamResponse:
        resource = exchange.resource
        options, timeout = watch_options(exchange.query, resource.name)
        target = negotiate(exchange.header("Accept"))
        encoder = Encoder(
            resource.kind,
            target,
            include=exchange.query.get("includeObject"),
            now=self._clock.time,
        )
        subscription = await self._registry.watch(resource.kind, resource.namespace, options)
        watch = Watch(
            subscription,
            encoder,
            clock=self._clock,
            timeout=float(timeout) if timeout else None,
            bookmarks=options.bookmarks,
        )
        self._watches.add(watch)
        if self._stopping:
            watch.stop()
        try:
            return await watch.run(exchange.request, exchange.audit_id)
        finally:
            self._watches.discard(watch)

    # Writes

    async def _create(self, exchange: Exchange) -> web.StreamResponse:
        resource, kind = exchange.resource, exchange.resource.kind
        check_timeout(exchange.query)
        writer = self._writer(exchange)
        if resource.subresource or not kind.stored:
            raise _unserved(resource)
        body = await self._read(exchange)
        request = write_request(exchange.query, exchange.user, "CreateOptions", exchange.agent)
        obj = self._object(kind, body, exchange, request)
        row = await self._registry.create(kind, resource.namespace, obj, request)
        return self._answer_row(exchange, writer, row, status=201, request=request)

    async def _update(self, exchange: Exchange) -> web.StreamResponse:
        resource, kind = exchange.resource, exchange.resource.kind
        check_timeout(exchange.query)
        writer = self._writer(exchange)
        if resource.subresource not in ("", "status", "finalize"):
            raise _unserved(resource)
        body = await self._read(exchange)
        request = write_request(exchange.query, exchange.user, "UpdateOptions", exchange.agent)
        obj = self._object(kind, body, exchange, request)
        row, created = await self._registry.update(
            kind,
            resource.namespace,
            resource.name,
            obj,
            request,
            subresource=resource.subresource,
        )
        return self._answer_row(
            exchange, writer, row, status=201 if created else 200, request=request
        )

    async def _patch(self, exchange: Exchange) -> web.StreamResponse:
        resource, kind = exchange.resource, exchange.resource.kind
        check_timeout(exchange.query)
        writer = self._writer(exchange)
        if resource.subresource not in ("", "status"):
            raise _unserved(resource)
        media = media_type_of(exchange.header("Content-Type"))
        if media not in _PATCHES:
            raise UnsupportedMediaType("415: Unsupported Media Type", {})
        body = await self._read(exchange)
        request = write_request(exchange.query, exchange.user, "PatchOptions", exchange.agent)
        change = self._fitter.change(kind, media, body, request)
        row = await self._registry.patch(
            kind,
            resource.namespace,
            resource.name,
            change,
            request,
            subresource=resource.subresource,
        )
        return self._answer_row(exchange, writer, row, request=request)

    async def _delete(self, exchange: Exchange) -> web.StreamResponse:
        resource, kind = exchange.resource, exchange.resource.kind
        check_timeout(exchange.query)
        if resource.subresource:
            raise _unserved(resource)
        options, dry_run = delete_options(exchange.query, await self._delete_body(exchange))
        request = WriteRequest(exchange.user, dry_run=dry_run)
        row, gone = await self._registry.delete(
            kind, resource.namespace, resource.name, options, request
        )
        if gone and not kind.rules.returns_deleted:
            details = {**details_of(kind, resource.name), "uid": uid_of(row.object)}
            writer = self._writer(exchange, convertible=False)
            return answer(
                writer.value(success(details)),
                exchange.audit_id,
                content_type=writer.content_type,
            )
        return self._answer_row(exchange, self._writer(exchange), row)

    async def _delete_collection(self, exchange: Exchange) -> web.StreamResponse:
        resource = exchange.resource
        check_timeout(exchange.query)
        writer = self._writer(exchange)
        selection = list_options(exchange.query)
        options, dry_run = delete_options(exchange.query, await self._delete_body(exchange))
        request = WriteRequest(exchange.user, dry_run=dry_run)
        deleted = await self._registry.delete_collection(
            resource.kind, resource.namespace, selection, options, request
        )
        return answer(
            writer.list(resource.kind, deleted),
            exchange.audit_id,
            content_type=writer.content_type,
        )

    # What the verbs share

    def _writer(self, exchange: Exchange, *, convertible: bool = True) -> Writer:
        accept = exchange.header("Accept")
        if (
            accept == JSON
            and exchange.query.empty
            and not exchange.agent.startswith(_PRETTY_AGENTS)
        ):
            return PLAIN_WRITER
        if convertible:
            target = negotiate(accept, convertible=exchange.resource.kind.stored)
        else:
            # A Status is not converted: whoever asks for a Table gets it as it is.
            target = Target(negotiate(accept).media_type)
        query = exchange.query
        return Writer(
            target,
            pretty=is_pretty(query, exchange.agent),
            include=query.get("includeObject"),
            now=self._clock.time(),
        )

    @staticmethod
    def _answer_row(
        exchange: Exchange,
        writer: Writer,
        row: Row,
        *,
        status: int = 200,
        request: WriteRequest | None = None,
    ) -> web.Response:
        return answer(
            writer.row(exchange.resource.kind, row),
            exchange.audit_id,
            status=status,
            content_type=writer.content_type,
            warnings=request.warnings if request is not None else (),
        )

    @staticmethod
    async def _read(exchange: Exchange) -> bytes:
        try:
            return await exchange.request.read()
        except web.HTTPRequestEntityTooLarge:
            raise TooLarge(f"Request entity too large: limit is {BODY_MAX}") from None

    def _object(
        self, kind: Kind, body: bytes, exchange: Exchange, request: WriteRequest
    ) -> dict[str, Any]:
        parsed = self._bodies.parse(
            body, exchange.header("Content-Type"), kind.type_name, kind.kind
        )
        strict = request.field_validation == "Strict"
        self._fitter.body(kind, parsed.obj, request, parsed.strict if strict else parsed.problems)
        return parsed.obj

    async def _delete_body(self, exchange: Exchange) -> Mapping[str, Any] | None:
        body = await self._read(exchange)
        if not body:
            return None
        parsed = self._bodies.parse(body, exchange.header("Content-Type"), _DELETE_OPTIONS, "")
        obj = parsed.obj
        kind, version = obj.get("kind") or "DeleteOptions", obj.get("apiVersion") or "v1"
        if kind != "DeleteOptions":
            raise BadRequest(
                f'no kind {quote(str(kind))} is registered for version {quote(str(version))} in scheme "verger"'
            )
        try:
            self._decoder.decode(_DELETE_OPTIONS, obj)
        except DecodeError as error:
            raise BadRequest(str(error)) from None
        return obj


def _unserved(resource: Resource) -> MethodNotAllowed:
    what = resource.kind.plural + (f"/{resource.subresource}" if resource.subresource else "")
    return MethodNotAllowed(f"{what} is announced for clients' sake, but not served here", {})
