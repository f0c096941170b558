"""One request to a Kubernetes API server over HTTPS: throttled, with credentials, within a time, answered or an error.

A request is repeated only when it cannot have happened: nothing was sent, or the server said that it did nothing (429,
401). Reads are repeated after lost connections, too. A write without an answer is an error for its caller, who looks at
the world before it writes again. No error, log line or repr shows a credential.

spec: k8s.io/client-go/rest/with_retry.go
"""

import contextlib
import ssl
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import aiohttp
import orjson
from aiohttp.abc import AbstractStreamWriter
from multidict import CIMultiDict
from verger.store.credentials import ClientCertificate, Credential, KubeconfigError
from verger.store.errors import ApiError, ServiceUnavailable, TooManyRequests, from_status
from verger.store.kubeconfig import Connection
from verger.store.throttle import Deadline, TokenBucket
from verger.store.traffic import Traffic
from verger.watch.clock import Clock
from yarl import URL

REQUEST_MAX: Final = 60.0
"""Seconds until a request has to be answered. upstream: --request-timeout of the server, which gives up then"""
CONNECT_MAX: Final = 10.0
KEEP_ALIVE: Final = 30.0
"""Seconds that an idle connection is kept: less than servers do, so that none is used while it is being closed."""
ATTEMPTS: Final = 4
"""Tries of one request. What fails for longer is tried again by whoever needed it, after a look at the world."""
RETRY_FIRST: Final = 0.2
RETRY_AFTER_MAX: Final = 60.0
"""Seconds that one request waits for a server that asks for patience."""
_SHOWN_MAX: Final = 200
JSON: Final = "application/json"
_READS: Final = ("GET", "HEAD")
_ERROR: Final = "<error>"
"""What stands for the status code where there was no answer. upstream: client-go's metrics"""


class NoAnswer(ServiceUnavailable):
    """The connection was lost, or time ran out: what was asked for may have happened."""


class NotReached(NoAnswer):
    """There was no connection: nothing was sent, and nothing has happened."""


class Request(NamedTuple):
    """What is asked for."""

    method: str
    path: str
    """Begins with a slash; already quoted."""
    query: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    media_type: str = JSON
    accept: str = JSON
    agent: str = "verger"
    urgent: bool = False
    """Whether it does not wait for its turn; later ones do then."""
    guard: Callable[[], float] | None = None
    """Asked when its turn has come: for how many seconds it may go on. What it raises, the caller gets."""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class _Answer(NamedTuple):
    """What the server said. The body is empty where it is still to be read from the response."""

    response: aiohttp.ClientResponse
    body: bytes


class Transport:
    """The connections to one server. To be closed."""

    def __init__(
        self,
        connection: Connection,
        clock: Clock,
        *,
        throttle: TokenBucket,
        timeout: float = REQUEST_MAX,
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._throttle = throttle
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None
        self._tls: tuple[ClientCertificate | None, ssl.SSLContext] | None = None
        self.traffic = Traffic()
        """What was sent."""

    @property
    def server(self) -> str:
        """The address of the server."""
        return self._connection.server

    async def close(self) -> None:
        """Ends all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def call(self, request: Request) -> bytes:
        """The body of a successful answer. Raises ApiError, KubeconfigError."""
        return (await self._persist(request, streamed=False)).body

    async def open(self, request: Request) -> aiohttp.ClientResponse:
        """A successful answer whose body is still to come; to be closed. Raises ApiError, KubeconfigError."""
        return (await self._persist(request, streamed=True)).response

    async def _persist(self, request: Request, *, streamed: bool) -> "_Answer":
        """Tries again what may be tried again."""
        try:
            return await self._attempt(request, streamed)
        except ApiError as error:
            if not _may_repeat(request, error):
                raise
            pause = _pause(error, 1)
            self._repeat(request, error)
        # The library costs as much as half a request: it comes in when there is trouble.
        from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt

        await self._clock.sleep(pause)
        retrying = AsyncRetrying(
            sleep=self._clock.sleep,
            stop=stop_after_attempt(ATTEMPTS - 1),
            wait=lambda state: _pause(
                state.outcome.exception() if state.outcome is not None else None,
                state.attempt_number + 1,
            ),
            retry=retry_if_exception(
                lambda error: isinstance(error, ApiError) and _may_repeat(request, error)
            ),
            before_sleep=lambda state: self._repeat(
                request, state.outcome.exception() if state.outcome is not None else None
            ),
            reraise=True,
        )
        return await retrying(self._attempt, request, streamed)

    async def _attempt(self, request: Request, streamed: bool) -> "_Answer":
        """A successful answer. Credentials that were refused are looked for anew, once."""
        credentials = self._connection.credentials
        try:
            credential = await credentials.current()
            answer = await self._send_as(request, credential, streamed=streamed)
            if answer.response.status == 401 and credentials.refused(credential):
                credential = await credentials.current()
                answer = await self._send_as(request, credential, streamed=streamed)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self._lost(request, error) from None
        response = answer.response
        if _is_success(response):
            return answer
        refusal = error_of(response.status, response.headers, answer.body)
        if isinstance(refusal, TooManyRequests):
            self._throttle.hold(min(float(refusal.retry_after or 1), RETRY_AFTER_MAX))
        raise refusal

    async def _send_as(
        self, request: Request, credential: Credential, *, streamed: bool
    ) -> "_Answer":
        """Whatever the server answers, with its body unless that is a success to be `streamed`."""
        clock, traffic, connection = self._clock, self.traffic, self._connection
        asked = clock.monotonic()
        if request.urgent:
            self._throttle.spend()
        else:
            await self._throttle.take()
        started = clock.monotonic()
        traffic.waited(request.method, started - asked)
        headers = CIMultiDict(
            {
                "Accept": request.accept,
                # Between two machines in one cluster, packing costs more than it saves.
                "Accept-Encoding": "identity",
                "User-Agent": request.agent,
            }
        )
        if credential.authorization:
            headers["Authorization"] = credential.authorization
        for name, value in connection.impersonation:
            headers.add(name, value)
        if request.body:
            headers["Content-Type"] = request.media_type
        url = URL(connection.server + request.path, encoded=True)
        if request.query:
            url = url.with_query(request.query)
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_MAX),
                trust_env=False,
                read_bufsize=1 << 18,
            )
        limit = self._timeout
        body: bytes | aiohttp.Payload | None = request.body or None
        if request.guard is not None:
            limit = min(limit, request.guard())
            body = _Guarded(request.body, request.guard, request.media_type)
        with Deadline(clock, limit):
            code = _ERROR
            try:
                response = await self._session.request(
                    request.method,
                    url,
                    headers=headers,
                    data=body,
                    # A redirect could lead the credentials elsewhere.
                    allow_redirects=False,
                    ssl=self._context(credential.certificate) if url.scheme == "https" else True,
                    server_hostname=connection.server_name or None,
                    proxy=connection.proxy or None,
                    middlewares=(_once,),
                )
                code = str(response.status)
            finally:
                traffic.answered(code, request.method, clock.monotonic() - started)
            if streamed and _is_success(response):
                return _Answer(response, b"")
            return _Answer(response, await response.read())

    def _repeat(self, request: Request, error: BaseException | None) -> None:
        code = str(error.code) if isinstance(error, ApiError) else _ERROR
        self.traffic.repeated(_ERROR if isinstance(error, NoAnswer) else code, request.method)

    def _context(self, certificate: ClientCertificate | None) -> ssl.SSLContext:
        """TLS with this client certificate. Raises KubeconfigError."""
        if self._tls is None or self._tls[0] != certificate:
            # Connections are kept by their context: those with the certificate before are used no more.
            self._tls = (certificate, _tls_context(self._connection, certificate))
        return self._tls[1]

    def _lost(self, request: Request, error: Exception) -> NoAnswer:
        server = self._connection.server
        reached = not isinstance(
            error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError
        )
        if not reached:
            return NotReached(f"cannot reach {server}: {_why(error)}")
        if isinstance(error, TimeoutError):
            return NoAnswer(f"{request}: no answer from {server} in time")
        return NoAnswer(f"{request}: the connection to {server} was lost: {_why(error)}")


class _Guarded(aiohttp.BytesPayload):
    """A body that asks once more whether it may go, with nothing between that and its first byte.

    The library has a task of its own for it: a process can be stopped before that runs, and wake up much later. It sends
    the head with the body, and without it nothing.
    """

    def __init__(self, body: bytes, guard: Callable[[], float], media_type: str) -> None:
        super().__init__(body, content_type=media_type)
        self._guard = guard

    async def write_with_length(
        self, writer: AbstractStreamWriter, content_length: int | None
    ) -> None:
        """Raises what the guard does; whoever waits for the answer gets NoAnswer."""
        self._guard()
        await super().write_with_length(writer, content_length)


def _is_success(response: aiohttp.ClientResponse) -> bool:
    return 200 <= response.status < 300


async def _once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keeps the library from sending again by itself: writes may have happened, and no request passes the rate limit."""
    try:
        return await handler(request)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise aiohttp.ClientPayloadError(_why(error)) from None


def _may_repeat(request: Request, error: ApiError) -> bool:
    if isinstance(error, NotReached | TooManyRequests):
        return True
    if request.method not in _READS:
        return False
    return isinstance(error, NoAnswer) or (error.code >= 500 and error.retry_after is not None)


def _pause(error: BaseException | None, attempts: int) -> float:
    """Seconds until the next try, after so many: what the server asks for, or doubling."""
    if isinstance(error, ApiError) and error.retry_after is not None:
        return min(float(error.retry_after), RETRY_AFTER_MAX)
    return RETRY_FIRST * 2.0 ** (attempts - 1)


def _why(error: Exception) -> str:
    """What the library says of an error, without addresses, which may hold a proxy's password."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"its certificate is not to be trusted: {error.certificate_error}"
    if isinstance(error, aiohttp.ClientResponseError):
        return f"the proxy answered {error.status}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__ if isinstance(error, aiohttp.InvalidURL) else str(error)


def error_of(code: int, headers: Mapping[str, str], body: bytes) -> ApiError:
    """The error that an answer stands for, be its body a Status or something that a proxy made up."""
    status: Any = None
    with contextlib.suppress(orjson.JSONDecodeError):
        status = orjson.loads(body)
    if not isinstance(status, dict) or status.get("kind") != "Status":
        text = body[:_SHOWN_MAX].decode(errors="replace").strip()
        status = {"message": f"the server answered {code}" + (f": {text}" if text else "")}
    error = from_status({**status, "code": status.get("code") or code})
    after = headers.get("Retry-After", "")
    if after.isascii() and after.isdigit():
        error.retry_after = int(after)
    return error


def _tls_context(connection: Connection, pair: ClientCertificate | None) -> ssl.SSLContext:
    authority = connection.authority.decode(errors="replace")
    try:
        context = ssl.create_default_context(cadata=authority or None)
    except ssl.SSLError:
        raise KubeconfigError(
            f"{connection.source}: the certificate authority cannot be read; it has to be PEM"
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not connection.verified:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if pair is not None:
        # The library takes files only. Nobody else may read the folder, and it is gone at once.
        with tempfile.TemporaryDirectory(prefix="verger-") as folder:
            certificate, key = Path(folder) / "tls.crt", Path(folder) / "tls.key"
            certificate.write_bytes(pair.certificate)
            key.touch(mode=0o600)
            key.write_bytes(pair.key)
            try:
                # An empty password: without one, a key that has one would ask on the terminal.
                context.load_cert_chain(certificate, key, password="")
            except (ssl.SSLError, OSError):
                raise KubeconfigError(
                    f"{connection.source}: the client certificate and its key cannot be used; they have to be PEM, "
                    "belong together, and the key must have no password"
                ) from None
    return context
