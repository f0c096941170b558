"""One coroutine for each verb, for every kind.

A handler reads what the client sent, asks the registry, and writes what came of it. Errors leave it as exceptions; the
filters turn them into Statuses.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from aiohttp import HttpVersion11
from aiohttp.web_exceptions import HTTPRequestEntityTooLarge
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import StreamResponse
from verger.apiserver.answers import Answer, success
from verger.apiserver.bodies import BODY_MAX, Bodies, check_kind_stated, media_type_of
from verger.apiserver.connections import check_log, connected_name, is_connection, refuse
from verger.apiserver.messages import Messages
from verger.apiserver.negotiation import JSON, PROTOBUF, Target, negotiate, negotiate_stream
from verger.apiserver.options import (
    Query,
    WriteVerb,
    check_timeout,
    delete_options,
    is_cascade,
    list_options,
    watch_options,
    write_request,
)
from verger.apiserver.paths import Resource, Unrouted
from verger.apiserver.representations import PLAIN_WRITER, Writer
from verger.apiserver.watching import Encoder, Watch, refused
from verger.store.backend import Row
from verger.store.decoding import DecodeError, Decoder
from verger.store.errors import (
    BadRequest,
    MethodNotAllowed,
    Timeout,
    TooLarge,
    UnsupportedMediaType,
)
from verger.store.fitting import (
    APPLY_PATCH,
    JSON_PATCH,
    MERGE_PATCH,
    STRATEGIC_PATCH,
    Fitter,
)
from verger.store.invalid import quote
from verger.store.kinds import SCALE, Form, Kind
from verger.store.objects import Object, uid_of
from verger.store.reading import ListResult, parse_revision
from verger.store.refusals import details_of, not_found
from verger.store.registry import Change, Registry
from verger.store.request import Answerer, Posting, User, WriteRequest
from verger.store.scales import Scaling
from verger.watch.clock import Clock

_DELETE_OPTIONS: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"
_PLAIN_PROTOBUF: Final = Target(PROTOBUF)
_PRETTY_AGENTS: Final = ("curl", "Wget", "Mozilla/")
_WRITTEN_PARTS: Final = (
    "",
    "status",
    "finalize",
    "approval",
    "ephemeralcontainers",
    "resize",
)
"""Parts that are read and written as the whole object is; what of it they change is up to the rules of the kind."""
_PATCHES: Final = (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH)

Verb = Literal["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"]


def method_not_allowed() -> MethodNotAllowed:
    """The path exists, the verb does not."""
    return MethodNotAllowed("the server does not allow this method on the requested resource", {})


def requested_verb(method: str, resource: Resource, query: Query) -> str:
    """What a request wants of a resource, as authorization knows it; empty for a method that nothing has."""
    named = bool(resource.name)
    match method:
        case "GET" | "HEAD" if resource.legacy_watch or (
            query.flag("watch") and not resource.subresource
        ):
            return "watch" if method == "GET" else ""  # it has no end that a head could tell of
        case "GET" | "HEAD":
            return "get" if named else "list"
        case "POST":
            return "create"
        case "PUT":
            return "update"
        case "PATCH":
            return "patch"
        case "DELETE":
            return "delete" if named else "deletecollection"
        case _:
            return ""


def _not_supported(verb: str, kind: Kind) -> MethodNotAllowed:
    text = f"{verb} is not supported on resources of kind {quote(kind.resource)}"
    return MethodNotAllowed(text, {"group": kind.group, "kind": kind.plural})


def verb_of(method: str, resource: Resource, query: Query) -> Verb:
    """The verb of a request, if the resource has it. Raises MethodNotAllowed, and Unrouted for what is in no namespace."""
    verb = requested_verb(method, resource, query)
    allowed: Collection[str] = (
        resource.kind.subresources[resource.subresource].verbs
        if resource.subresource
        else resource.kind.verbs
    )
    named = bool(resource.name)
    if (
        verb not in allowed
        or (verb == "create" and named and not resource.subresource)
        or (verb in ("update", "patch") and not named)
        or (resource.across and verb in ("create", "deletecollection"))
        or (resource.legacy_watch and verb != "watch")
    ):
        if resource.kind.custom is None:
            raise method_not_allowed()
        if resource.across:
            raise Unrouted
        raise _not_supported(verb or method.lower(), resource.kind)
    return cast("Verb", verb)


def is_pretty(query: Query, agent: str) -> bool:
    """Whether the answer is for human eyes: when asked for, or when the client is a browser or curl."""
    if "pretty" in query:
        return query.get("pretty").lower() in ("1", "true")
    return agent.startswith(_PRETTY_AGENTS)


@dataclass(slots=True)
class Exchange:
    """One request on its way to an answer."""

    request: BaseRequest
    user: User
    resource: Resource
    query: Query
    audit_id: str
    agent: str
    warnings: list[str]
    """What the client is to hear besides the answer; whoever finds something adds to it."""

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
        *,
        answerers: Mapping[tuple[str, str], Answerer] | None = None,
    ) -> None:
        self._registry = registry
        self._answerers = answerers or {}
        """(resource, subresource) -> who answers creates of what is not stored."""
        self._fitter = fitter
        self._decoder = decoder
        self._bodies = bodies
        self._messages = Messages(bodies.codec)
        self._protobuf_writer = Writer(_PLAIN_PROTOBUF, messages=self._messages)
        self._clock = clock
        self.watches: dict[Watch, Exchange] = {}
        """Those that are open, and who asked for them."""
        self.on_watch: Callable[[Watch, Exchange], None] | None = None
        """Told of each watch before it sends anything."""
        self._stopping = False

    @property
    def open_watches(self) -> int:
        """How many watches are open."""
        return len(self.watches)

    def stop(self) -> None:
        """Ends all watches in good order, and those that are still to come at once."""
        self._stopping = True
        for watch in list(self.watches):
            watch.stop()

    def kind_changed(self, kind: Kind, served: bool) -> None:
        """Ends the watches of a kind that is served no more: what is served instead, they hear when they ask again."""
        for watch, exchange in list(self.watches.items()):
            if not served and exchange.resource.kind is kind:
                watch.stop()

    async def handle(self, exchange: Exchange, verb: Verb) -> StreamResponse:
        """Does what the verb says."""
        if warning := exchange.resource.kind.deprecation:
            exchange.warnings.append(warning)
        part = exchange.resource.subresource
        if part and is_connection(part):
            return self._connect(exchange)
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

    async def _get(self, exchange: Exchange) -> StreamResponse:
        resource = exchange.resource
        revision = parse_revision(exchange.query.get("resourceVersion"))
        writer = self._writer(exchange)
        if not resource.kind.stored:
            raise not_found(resource.kind, resource.name)
        if not _is_written(resource):
            raise _unserved(resource)
        row = await self._registry.get_at_least(
            resource.kind, resource.namespace, resource.name, revision
        )
        return self._answer_row(exchange, writer, row)

    async def _list(self, exchange: Exchange) -> StreamResponse:
        resource = exchange.resource
        check_timeout(exchange.query)
        writer = self._writer(exchange)
        if not resource.kind.stored:
            found = ListResult([], self._registry.backend.revision, "", None)
        else:
            found = await self._registry.list(
                resource.kind, resource.namespace, list_options(exchange.query)
            )
        return Answer(
            writer.list(resource.kind, found),
            exchange.audit_id,
            content_type=writer.content_type,
            warnings=exchange.warnings,
        )

    async def _watch(self, exchange: Exchange) -> StreamResponse:
        resource = exchange.resource
        if exchange.request.version < HttpVersion11:
            raise BadRequest("a watch comes in chunks, which HTTP/1.1 has")
        options, timeout = watch_options(exchange.query, resource.name)
        native = resource.kind.custom is None
        target = negotiate_stream(exchange.header("Accept"), protobuf=native)
        encoder = Encoder(
            resource.kind,
            target,
            self._messages,
            include=exchange.query.get("includeObject"),
            now=self._clock.time,
        )
        try:
            subscription = await self._registry.watch(resource.kind, resource.namespace, options)
        except Timeout as late:
            # upstream: by the time that a revision has not come, the stream has begun
            return await refused(exchange.request, encoder, late, exchange.audit_id)
        watch = Watch(
            subscription,
            encoder,
            clock=self._clock,
            timeout=float(timeout) if timeout else None,
            bookmarks=options.bookmarks,
        )
        self.watches[watch] = exchange
        if self.on_watch is not None:
            self.on_watch(watch, exchange)
        if self._stopping:
            watch.stop()
        try:
            return await watch.run(exchange.request, exchange.audit_id, exchange.warnings)
        finally:
            del self.watches[watch]

    # Writes

    async def _create(self, exchange: Exchange) -> StreamResponse:
        resource, kind = exchange.resource, exchange.resource.kind
        check_timeout(exchange.query)
        writer = self._writer(exchange)
        answerer = self._answerers.get((kind.resource, resource.subresource))
        if answerer is None and (resource.subresource or not kind.stored):
            raise _unserved(resource)
        body = await self._read(exchange)
        request = self._write_request(exchange, "create")
        form = kind.form(resource.subresource)
        obj = self._object(form, body, exchange, request)
        if answerer is not None:
            self._registry.check_posting(kind, resource.namespace, resource.name, obj, request)
            posting = Posting(form, resource.namespace, resource.name, obj, request)
            return Answer(
                writer.value(await answerer(posting)),
                exchange.audit_id,
                status=201,
                content_type=writer.content_type,
                warnings=exchange.warnings,
            )
        row = await self._registry.create(kind, resource.namespace, obj, request)
        return self._answer_row(exchange, writer, row, status=201)

    async def _update(self, exchange: Exchange) -> StreamResponse:
        resource, kind = exchange.resource, exchange.resource.kind
        check_timeout(exchange.query)
        writer = self._writer(exchange)
        if not _is_written(resource):
            raise _unserved(resource)
        body = await self._read(exchange)
        request = self._write_request(exchange, "update")
        form = kind.form(resource.subresource)
        obj = self._object(form, body, exchange, request)
        where = (kind, resource.namespace, resource.name)
        part = resource.subresource
        if scaling := kind.scaling(part):
            change = _rescale(scaling, lambda _: obj)
            row, created = await self._registry.patch(*where, change, request, subresource=part)
        else:
            row, created = await self._registry.update(*where, obj, request, subresource=part)
        return self._answer_row(exchange, writer, row, status=201 if created else 200)

    async def _patch(self, exchange: Exchange) -> StreamResponse:
        resource, kind = exchange.resource, exchange.resource.kind
        check_timeout(exchange.query)
        writer = self._writer(exchange)
        if not _is_written(resource):
            raise _unserved(resource)
        media = media_type_of(exchange.header("Content-Type"))
        if media not in _PATCHES:
            raise UnsupportedMediaType("415: Unsupported Media Type", {})
        body = await self._read(exchange)
        if media == APPLY_PATCH:
            request = self._write_request(exchange, "apply")
            change = self._application(exchange, body, request)
        else:
            request = self._write_request(exchange, "patch")
            if scaling := kind.scaling(resource.subresource):
                change = self._fitter.change(SCALE, media, body, request)
                change = _rescale(scaling, change)
            else:
                change = self._fitter.change(kind, media, body, request)
        row, created = await self._registry.patch(
            kind,
            resource.namespace,
            resource.name,
            change,
            request,
            subresource=resource.subresource,
        )
        return self._answer_row(exchange, writer, row, status=201 if created else 200)

    def _application(self, exchange: Exchange, body: bytes, request: WriteRequest) -> Change:
        """What an applied body stands for. upstream: it is applied before it is said that keys occur twice."""
        resource = exchange.resource
        kind, part = resource.kind, resource.subresource
        parsed = self._bodies.applied(body)
        obj = parsed.obj
        if scaling := kind.scaling(part):
            self._fitter.body(kind.form(part), obj, request)
            obj = scaling.applied(obj, api_version=kind.api_version, kind=kind.kind)
        change = self._fitter.application(kind, obj, request, part)

        def strict(current: Mapping[str, Any] | None) -> Object:
            wanted = change(current)
            if parsed.strict and request.field_validation == "Strict":
                raise BadRequest(f"error strict decoding YAML: {', '.join(parsed.strict)}")
            if parsed.problems and request.field_validation == "Warn":
                request.warnings[:] = [*dict.fromkeys([*request.warnings, *parsed.problems])]
            return wanted

        return strict

    async def _delete(self, exchange: Exchange) -> StreamResponse:
        resource, kind = exchange.resource, exchange.resource.kind
        check_timeout(exchange.query)
        if resource.subresource:
            raise _unserved(resource)
        body = await self._delete_body(exchange)
        options, dry_run = delete_options(exchange.query, body)
        request = WriteRequest(exchange.user, dry_run=dry_run, warnings=exchange.warnings)
        row, gone = await self._registry.delete(
            kind, resource.namespace, resource.name, options, request
        )
        if gone and not kind.rules.returns_deleted:
            details = {**details_of(kind, resource.name), "uid": uid_of(row.object)}
            writer = self._writer(exchange, convertible=False)
            return Answer(
                writer.value(success(details)),
                exchange.audit_id,
                content_type=writer.content_type,
                warnings=exchange.warnings,
            )
        # upstream: what goes later is accepted in that one case; all other clients expect 200
        status = 202 if not gone and is_cascade(exchange.query, body) else 200
        return self._answer_row(exchange, self._writer(exchange), row, status=status)

    async def _delete_collection(self, exchange: Exchange) -> StreamResponse:
        resource = exchange.resource
        check_timeout(exchange.query)
        writer = self._writer(exchange)
        selection = list_options(exchange.query)
        options, dry_run = delete_options(exchange.query, await self._delete_body(exchange))
        request = WriteRequest(exchange.user, dry_run=dry_run, warnings=exchange.warnings)
        deleted = await self._registry.delete_collection(
            resource.kind, resource.namespace, selection, options, request
        )
        return Answer(
            writer.list(resource.kind, deleted),
            exchange.audit_id,
            content_type=writer.content_type,
            warnings=exchange.warnings,
        )

    def _connect(self, exchange: Exchange) -> StreamResponse:
        resource, query = exchange.resource, exchange.query
        if resource.subresource == "log":
            check_log(resource.name, query)
        row = self._registry.get(resource.kind, resource.namespace, connected_name(resource))
        refuse(resource, row.object, query.get("container"), self._registry.backend)
        return Answer(b"", exchange.audit_id, status=204, content_type="text/plain")

    # What the verbs share

    @staticmethod
    def _write_request(exchange: Exchange, verb: WriteVerb) -> WriteRequest:
        request = write_request(exchange.query, exchange.user, verb, exchange.agent)
        request.warnings = exchange.warnings
        return request

    def error_writer(self, accept: str, query: Query, agent: str) -> Writer:
        """How an error is written: in protobuf for whom that comes first, in JSON for all others."""
        media_type = PROTOBUF if accept.lower().startswith(PROTOBUF) else JSON
        pretty = is_pretty(query, agent)
        return Writer(Target(media_type), pretty=pretty, messages=self._messages)

    def _writer(self, exchange: Exchange, *, convertible: bool = True) -> Writer:
        accept = exchange.header("Accept")
        if (
            accept == JSON
            and exchange.query.empty
            and not exchange.agent.startswith(_PRETTY_AGENTS)
        ):
            return PLAIN_WRITER
        if convertible:
            kind = exchange.resource.kind
            native = kind.custom is None
            target = negotiate(accept, convertible=kind.stored, protobuf=native)
        else:
            # A Status is not converted: whoever asks for a Table gets it as it is.
            target = Target(negotiate(accept, protobuf=True).media_type)
        query = exchange.query
        if target == _PLAIN_PROTOBUF:
            return self._protobuf_writer
        return Writer(
            target,
            pretty=is_pretty(query, exchange.agent),
            include=query.get("includeObject"),
            now=self._clock.time(),
            messages=self._messages,
        )

    @staticmethod
    def _answer_row(
        exchange: Exchange,
        writer: Writer,
        row: Row,
        *,
        status: int = 200,
    ) -> Answer:
        kind, part = exchange.resource.kind, exchange.resource.subresource
        if part and (scaling := kind.scaling(part)):
            kind, shown = SCALE, scaling.shown(row.object)
            row = Row(row.key, row.namespace, shown, revision=row.revision, older=None)
        return Answer(
            writer.row(kind, row),
            exchange.audit_id,
            status=status,
            content_type=writer.content_type,
            warnings=exchange.warnings,
        )

    @staticmethod
    async def _read(exchange: Exchange) -> bytes:
        request = exchange.request
        if exchange.header("Expect").lower() == "100-continue" and request.version >= HttpVersion11:
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            return await request.read()
        except HTTPRequestEntityTooLarge:
            raise TooLarge(f"Request entity too large: limit is {BODY_MAX}") from None

    def _object(
        self, form: Form, body: bytes, exchange: Exchange, request: WriteRequest
    ) -> dict[str, Any]:
        parsed = self._bodies.parse(
            body, exchange.header("Content-Type"), form.type_name, form.kind
        )
        if form.custom is not None:
            check_kind_stated(body, parsed.obj, form.kind)
        strict = request.field_validation == "Strict"
        self._fitter.body(form, parsed.obj, request, parsed.strict if strict else parsed.problems)
        return parsed.obj

    async def _delete_body(self, exchange: Exchange) -> Mapping[str, Any] | None:
        body = await self._read(exchange)
        if not body:
            return None
        parsed = self._bodies.parse(body, exchange.header("Content-Type"), _DELETE_OPTIONS, "")
        obj = parsed.obj
        kind, version = obj.get("kind") or "DeleteOptions", obj.get("apiVersion") or "v1"
        known = ("v1", "meta.k8s.io/v1", exchange.resource.kind.api_version)
        if kind != "DeleteOptions" or version not in known:
            raise BadRequest(
                f'no kind {quote(str(kind))} is registered for version {quote(str(version))} in scheme "verger"'
            )
        try:
            self._decoder.decode(_DELETE_OPTIONS, obj)
        except DecodeError as error:
            raise BadRequest(str(error)) from None
        return obj


def _is_written(resource: Resource) -> bool:
    part = resource.subresource
    return part in _WRITTEN_PARTS or resource.kind.scaling(part) is not None


def _rescale(scaling: Scaling, change: Change) -> Change:
    """The change of an object that follows from a change of its Scale."""

    def rescaled(current: Mapping[str, Any] | None) -> Object:
        obj = current or {}
        return scaling.written(obj, change(scaling.shown(obj)))

    return rescaled


def _unserved(resource: Resource) -> MethodNotAllowed:
    what = resource.kind.plural + (f"/{resource.subresource}" if resource.subresource else "")
    return MethodNotAllowed(f"{what} is announced for clients' sake, but not served here", {})
