"""The listening sockets of a server, and every connection that came in through them.

Connections are accepted here and not by the event loop's server, which does not know those whose TLS handshake goes on:
such a one would outlive the stop, and be served after it.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Any, Final

from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest
from aiohttp.web_server import Server

BACKLOG: Final = 1024
HANDSHAKE_MAX: Final = 20.0
"""Seconds that a client has for the handshake. upstream: Go's servers have no limit of their own; a browser takes one"""
LAST_WORDS: Final = 0.5
"""Seconds that connections have to end in good order when the server stops."""
_PAUSE: Final = 0.05
"""Seconds before the next try to accept where the process has no descriptor left."""
_LOOK: Final = 0.01
"""Seconds between looks whether clients have read what was written for them."""

Respond = Callable[[BaseRequest], Any]


class _Protocols(Server):
    """Makes the protocols of connections, and knows their transports until they are closed."""

    def __init__(self, respond: Respond, **settings: Any) -> None:
        super().__init__(respond, **settings)
        self.transports: dict[RequestHandler, asyncio.Transport] = {}
        self.stopped = False

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self.transports[handler] = transport
        if self.stopped:
            transport.abort()

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        self.transports.pop(handler, None)


class Listening:
    """Sockets that are listened on."""

    def __init__(self, respond: Respond, context: ssl.SSLContext, **settings: Any) -> None:
        """`settings` are those of aiohttp's protocol."""
        self._protocols = _Protocols(respond, **settings)
        self._context = context
        self._sockets: list[socket.socket] = []
        self._accepting: list[asyncio.Task[None]] = []
        self._handshakes: set[asyncio.Task[None]] = set()

    @property
    def transports(self) -> list[asyncio.Transport]:
        """Those of all connections."""
        return list(self._protocols.transports.values())

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listens on every address of the host, and returns the first one. Raises OSError."""
        loop = asyncio.get_running_loop()
        try:
            for family, address in await _addresses(host, port):
                listener = socket.create_server(address, family=family, backlog=BACKLOG)
                listener.setblocking(False)
                self._sockets.append(listener)
        except OSError:
            self._close_sockets()
            raise
        self._accepting = [loop.create_task(self._accept(one)) for one in self._sockets]
        name = self._sockets[0].getsockname()
        return name[0], name[1]

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listener)
            except ConnectionError:
                continue  # it went before it was looked at
            except OSError:
                await asyncio.sleep(_PAUSE)
                continue
            task = loop.create_task(self._shake_hands(connection))
            self._handshakes.add(task)
            task.add_done_callback(self._handshakes.discard)

    async def _shake_hands(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(
                self._protocols,
                connection,
                ssl=self._context,
                ssl_handshake_timeout=HANDSHAKE_MAX,
            )
        except (OSError, ssl.SSLError):
            connection.close()  # the client has gone, is late, or speaks something else
        except asyncio.CancelledError:
            connection.close()
            raise

    def _close_sockets(self) -> None:
        for listener in self._sockets:
            listener.close()
        self._sockets.clear()

    async def flushed(self, timeout: float) -> None:
        """Waits until clients have read what was written for them, or the time is over."""
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        while loop.time() < end and any(  # noqa: ASYNC110 - no transport tells that it is empty
            transport.get_write_buffer_size() for transport in self.transports
        ):
            await asyncio.sleep(_LOOK)

    async def stop(self) -> None:
        """Closes every socket and every connection. What has not been sent by now is lost."""
        for task in self._accepting:
            task.cancel()
        await asyncio.gather(*self._accepting, return_exceptions=True)
        self._close_sockets()
        self._protocols.stopped = True
        await asyncio.sleep(0)  # requests that have come in are begun
        for task in self._handshakes:
            task.cancel()
        await asyncio.gather(*self._handshakes, return_exceptions=True)
        transports = self.transports
        self._protocols.pre_shutdown()
        await self._protocols.shutdown(LAST_WORDS)
        # TLS would wait for the farewell of clients that do not read: a pool of connections, say.
        for transport in {*transports, *self.transports}:
            transport.abort()
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # until the sockets are closed


async def _addresses(
    host: str, port: int
) -> Sequence[tuple[socket.AddressFamily, tuple[str, int]]]:
    """Where to listen. Only a name is looked up, which takes a thread. Raises OSError."""
    try:
        six = ipaddress.ip_address(host).version == 6
    except ValueError:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys((family, (str(to[0]), port)) for family, _, _, _, to in found))
    return [(socket.AF_INET6 if six else socket.AF_INET, (host, port))]
