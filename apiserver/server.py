"""The HTTP server: every request passes the same filters, outermost first.

    request id and metrics -> errors become Statuses -> who asks -> for what -> as whom -> may they -> the handler

Routing is ours, by splitting the path: aiohttp's router would try a pattern for each kind. Of aiohttp's server only
the protocol is used, and only that is imported: the rest of aiohttp.web would be a twentieth of a start.
"""

import asyncio
import logging
import ssl
from collections import Counter
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from aiohttp.web_request import BaseRequest
from aiohttp.web_response import StreamResponse
from verger.apiserver.answers import Answer, page_not_found, status_headers
from verger.apiserver.bodies import BODY_MAX
from verger.apiserver.calls import Call, Listener
from verger.apiserver.compression import compress, is_worthwhile
from verger.apiserver.documents import Documents
from verger.apiserver.handlers import Exchange, Handlers, requested_verb, verb_of
from verger.apiserver.listening import Listening
from verger.apiserver.metrics import Metrics
from verger.apiserver.options import Query
from verger.apiserver.paths import Document, Resource, Unrouted, asked, resolve
from verger.identity.authn import Chain, Credentials
from verger.identity.authz import Authorizer, forbidden
from verger.identity.impersonation import Impersonation, Wanted, wanted
from verger.store.errors import ApiError, BadRequest, InternalError, NotFound
from verger.store.kinds import Kinds
from verger.store.objects import new_uid
from verger.store.request import Attributes, User
from verger.watch.clock import Clock

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

KEEPALIVE: Final = 180.0
"""Seconds that an idle connection is kept: longer than clients keep theirs (Go: 90 s), so that it is they who close."""
_AUDIT_ID_MAX: Final = 64
_LabelsOf = tuple[str, str, str, str, str]
_NO_LABELS: Final[_LabelsOf] = ("", "", "", "", "")


class ApiServer:
    """Serves one plane."""

    def __init__(
        self,
        *,
        kinds: Kinds,
        handlers: Handlers,
        documents: Documents,
        authentication: Chain,
        authorizer: Authorizer,
        metrics: Metrics,
        clock: Clock,
        log: "FilteringBoundLogger",
    ) -> None:
        self._kinds = kinds
        self._handlers = handlers
        self._documents = documents
        self._authentication = authentication
        self._authorizer = authorizer
        self.decisions: Counter[str] = Counter()
        """How often requests were allowed, and how often not."""
        self.listener: Listener | None = None
        """Who hears of every request. Without one, nothing is kept of them."""
        self._impersonation = Impersonation(authorizer)
        self._metrics = metrics
        self._clock = clock
        self._log = log
        self._listening: Listening | None = None
        # Like a UUID: the first groups stand for this server, the last one counts its requests.
        self._audit_prefix = new_uid()[:-12]
        self._requests = 0
        self._in_flight = 0
        self._quiet: asyncio.Future[None] | None = None

    # Start and stop

    async def start(self, host: str, port: int, context: ssl.SSLContext) -> tuple[str, int]:
        """Listens, and returns the address that was taken. Raises OSError."""
        self._listening = Listening(
            self._handle,
            context,
            request_factory=_request,
            handler_cancellation=True,  # a watch whose client has gone must not stay
            keepalive_timeout=KEEPALIVE,
            access_log=None,
            auto_decompress=False,  # no client compresses, and a small body must not become a large one
            logger=_quoting_nothing(self._log),
            tcp_keepalive=True,
        )
        return await self._listening.start(host, port)

    async def drain(self, timeout: float) -> None:
        """Ends watches in good order and waits until the requests in flight are answered, or the time is over."""
        started = self._clock.monotonic()
        self._handlers.stop()
        if self._in_flight:
            self._quiet = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._quiet], timeout=timeout)
        if self._listening is not None:
            await self._listening.flushed(timeout - (self._clock.monotonic() - started))

    async def stop(self) -> None:
        """Closes the port and every connection."""
        if self._listening is not None:
            listening, self._listening = self._listening, None
            await listening.stop()

    # Requests

    async def _handle(self, request: BaseRequest) -> StreamResponse:
        headers = request.headers
        audit_id = headers.get("Audit-ID", "")[:_AUDIT_ID_MAX]
        if not audit_id:
            self._requests += 1
            audit_id = f"{self._audit_prefix}{self._requests:012x}"
        raw_path, _, raw_query = _target(request).partition("?")
        passing = _Passing(audit_id, headers.get("User-Agent", ""))
        listener = self.listener
        if listener is not None:
            passing.call = Call(self._clock.time(), request.method.lower(), unquote(raw_path))
        started = self._clock.monotonic()
        self._in_flight += 1
        query = _EMPTY
        try:
            try:
                query = _query(raw_query)
                response = await self._authorized(request, raw_path, query, passing)
                if is_worthwhile(response, request):
                    await compress(response)
            except ApiError as error:
                response = self._error(error, request, query, passing)
            except asyncio.CancelledError:
                if passing.labels[0] == "watch":  # ended by its client, as most are
                    self._metrics.request((*passing.labels, "200"), None)
                raise
            except Exception:
                self._log.exception("request failed", path=raw_path, audit_id=audit_id)
                failure = InternalError("Internal error occurred: the log has the reason", {})
                response = self._error(failure, request, query, passing)
        finally:
            self._in_flight -= 1
            if self._quiet is not None and not self._in_flight and not self._quiet.done():
                self._quiet.set_result(None)
            if (call := passing.call) is not None:
                call.duration = self._clock.monotonic() - started
        if call is not None and listener is not None:
            call.code = response.status
            if not listener.after(call) and request.transport is not None:
                request.transport.abort()
        verb, group, version, resource, subresource = passing.labels
        elapsed = None if verb == "watch" else self._clock.monotonic() - started
        labels = (verb, group, version, resource, subresource, str(response.status))
        self._metrics.request(labels, elapsed)
        return response

    async def _authorized(
        self, request: BaseRequest, raw_path: str, query: Query, passing: "_Passing"
    ) -> StreamResponse:
        credentials = _credentials(request)
        user = self._authentication.authenticate(credentials)
        passing.warnings += credentials.warnings
        missing: NotFound | Unrouted | None = None
        found: Resource | Document | None = None
        try:
            found = resolve(raw_path, self._kinds)
        except (NotFound, Unrouted) as error:
            # Whether it exists is not for everybody to know: first comes the question whether he may ask.
            missing = error
        attributes = _attributes(user, request.method, raw_path, found, query)
        who = _wanted(request)
        if who is not None:
            user = self._impersonation.become(user, who, attributes)
            attributes = attributes._replace(user=user)
        if (call := passing.call) is not None:
            call.describe(attributes)
        decision = self._authorizer.decide(attributes)
        self.decisions["allowed" if decision.allowed else "no-opinion"] += 1
        if not decision.allowed:
            raise forbidden(attributes, decision.reason)
        if call is not None and self.listener is not None:
            await self.listener.before(call)
        audit_id = passing.audit_id
        if isinstance(found, Resource):
            try:
                verb = verb_of(request.method, found, query)
            except Unrouted:
                return page_not_found(audit_id)
            kind = found.kind
            passing.labels = (verb, kind.group, kind.version, kind.plural, found.subresource)
            exchange = Exchange(
                request, user, found, query, audit_id, passing.agent, passing.warnings
            )
            return await self._handlers.handle(exchange, verb)
        if found is not None:
            return self._documents.answer(request, found.path, query, audit_id)
        if isinstance(missing, NotFound):
            raise missing
        return page_not_found(audit_id)

    def _error(
        self, error: ApiError, request: BaseRequest, query: Query, passing: "_Passing"
    ) -> Answer:
        # An error is written in JSON, unless that is the one thing that the client does not read.
        writer = self._handlers.error_writer(
            request.headers.get("Accept", ""), query, passing.agent
        )
        return Answer(
            writer.value(error.status()),
            passing.audit_id,
            status=error.code,
            content_type=writer.content_type,
            warnings=passing.warnings,
            more=status_headers(error),
        )


class _Unquoted(logging.Handler):
    """Tells that aiohttp did not understand a request, and not what stood in it: that may be a credential."""

    def __init__(self, log: "FilteringBoundLogger") -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[0] if record.exc_info else None
        name = error.__name__ if error is not None else ""
        self._log.warning("request not understood", said=record.getMessage(), error=name)


def _quoting_nothing(log: "FilteringBoundLogger") -> logging.Logger:
    logger = logging.Logger(
        "aiohttp of one plane"
    )  # it has no parent: nothing gets past the handler
    logger.addHandler(_Unquoted(log))
    return logger


class _Passing:
    """What is known of a request while it passes the filters."""

    __slots__ = ("agent", "audit_id", "call", "labels", "warnings")

    def __init__(self, audit_id: str, agent: str) -> None:
        self.audit_id = audit_id
        self.agent = agent
        self.call: Call | None = None
        self.labels = _NO_LABELS
        self.warnings: list[str] = []


_EMPTY: Final = Query("")


def _query(raw: str) -> Query:
    try:
        return Query(raw) if raw else _EMPTY
    except ValueError:
        raise BadRequest("the query of the URL has more parameters than any client sends") from None


def _request(
    message: Any, payload: Any, protocol: Any, writer: Any, task: "asyncio.Task[None]"
) -> BaseRequest:
    return BaseRequest(
        message,
        payload,
        protocol,
        writer,
        task,
        asyncio.get_running_loop(),
        client_max_size=BODY_MAX,
    )


def _target(request: BaseRequest) -> str:
    """The path and query as they came; a proxy may send a whole URL."""
    raw = request.raw_path
    if raw.startswith("/"):
        return raw
    _, _, rest = raw.partition("://")
    return f"/{rest.partition('/')[2]}"


def _credentials(request: BaseRequest) -> Credentials:
    authorization = request.headers.get("Authorization", "")
    # A token speaks before a certificate does, and whoever brings one is judged by it.
    transport = None if authorization else request.transport
    certificate = transport.get_extra_info("peercert") if transport is not None else None
    return Credentials(authorization, certificate)


def _wanted(request: BaseRequest) -> Wanted | None:
    for key, _ in request.raw_headers:
        if key[:12].lower() == b"impersonate-":
            return wanted(request.headers.items())
    return None


def _attributes(
    user: User,
    method: str,
    raw_path: str,
    found: Resource | Document | None,
    query: Query,
) -> Attributes:
    """What the request is about, whether or not that is served."""
    if isinstance(found, Resource):
        kind = found.kind
        verb = requested_verb(method, found, query)
        # upstream: requests for a namespace itself count as being in it
        namespace = found.name if kind.resource == "namespaces" else found.namespace
        name = found.name
        if not name and verb in ("list", "watch") and not query.empty:
            name = query.named()
        return Attributes(user, verb, kind, namespace, name, found.subresource)
    about = asked(raw_path) if found is None else None
    if about is None:
        return Attributes(user, method.lower(), path=unquote(raw_path))
    verb = _VERBS.get(method, "")
    if not about.name:
        verb = {
            "get": "watch" if query.flag("watch") else "list",
            "delete": "deletecollection",
        }.get(verb, verb)
    return Attributes(
        user,
        verb,
        namespace=about.namespace,
        name=about.name,
        subresource=about.subresource,
        other_group=about.group,
        other_resource=about.resource,
    )


_VERBS: Final = {
    "GET": "get",
    "HEAD": "get",
    "POST": "create",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}
