"""The aiohttp server as the proxy's front: requests come in through ``web.Server``, answers leave as raw bytes.

The adapter reads the request with aiohttp (so HTTP/1.0, chunked uploads, pipelining and malformed input are its
business), hands it to the proxy, and lets the exchange write to the transport itself. aiohttp is then told that
the response was sent. That needs private fields of ``StreamResponse`` and ``RequestHandler``; a contract test
pins them, and the dependency is bounded to one minor version.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import HttpVersion10, HttpVersion11, RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler, RequestPayloadError

from gateway.call import RequestHead, declared_length
from gateway.errors import Code, error_body
from gateway.exchange import Exchange
from gateway.headers import scan
from gateway.parting import Parting
from gateway.proxy import Proxy
from gateway.realtime import is_websocket
from gateway.refusing import Ended
from gateway.relay import LAST_CHUNK, chunk
from telemetry.notice import Notices

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
UNSPOKEN: Final = "Only HTTP/1.1 and HTTP/1.0 are spoken here."
SLOWEST_BODY: Final = 1024
"""Bytes per second; a body that is held back until it is whole must come faster on average."""
MALFORMED_LOG_SECONDS: Final = 10.0
"""One log line about malformed requests in this time."""
_logger = logging.getLogger("gateway.server")
_SILENT: Final = logging.getLogger("gateway.server.aiohttp")


class HttpLimits(msgspec.Struct, frozen=True):
    """Bounds of the connection. Bytes and seconds."""

    line_bytes: int
    """Request line, and any one header."""
    head_bytes: int
    """All headers together."""
    headers: int
    head_seconds: float
    body_seconds: float
    keepalive_seconds: float
    connections: int


class Relayed(web.StreamResponse):
    """Stands for a response whose bytes are already written."""

    def __init__(self, *, keep_alive: bool) -> None:
        super().__init__()
        self._keep_alive = keep_alive
        self._eof_sent = True

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None


class AppConnection(RequestHandler):
    """One connection of an app. Is the :class:`gateway.gear.Client` of the call it carries."""

    __slots__ = (
        "_body_began",
        "_body_received",
        "_body_since",
        "_clock",
        "_connected_at",
        "_done",
        "_exchange",
        "_may_upload",
        "_server",
        "busy",
        "http10",
    )

    def __init__(self, manager: ProxyServer, **kwargs: Any) -> None:
        super().__init__(manager, **kwargs)
        self.http10 = False
        self.busy = False
        """A request is being answered."""
        self._server = manager
        """Outlasts aiohttp's own reference, which goes with the connection."""
        self._exchange: Exchange | Ended | None = None
        self._done: asyncio.Future[bool] | None = None
        self._may_upload: asyncio.Future[None] | None = None
        self._clock = manager.clock
        self._connected_at = manager.clock()
        self._body_since = 0.0
        """When the wait for the app's next body bytes began; 0: nothing is waited for."""
        self._body_began = 0.0
        """When the body that is held back began; 0: none is."""
        self._body_received = 0

    # ---- Client

    def write(self, data: bytes) -> None:
        transport = self.transport
        if transport is not None and not transport.is_closing():
            transport.write(data)

    def writer(self) -> Callable[[bytes], object]:
        return self.write

    def end(self, *, close: bool) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_result(not close)
        self.resume_upload()  # nobody waits for the rest of the body any more

    def cut(self) -> None:
        self.leave()
        self.end(close=True)

    def leave(self) -> None:
        """Close; what is written goes out first, as far as the app reads it."""
        if self.transport is not None:
            self._server.parting.close(self.transport)

    def pause_upload(self) -> None:
        if self._may_upload is None:
            self._may_upload = self._loop.create_future()

    def resume_upload(self) -> None:
        waiter, self._may_upload = self._may_upload, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # ---- asyncio.Protocol

    def connection_lost(self, exc: BaseException | None) -> None:
        exchange = self._exchange
        super().connection_lost(exc)
        if exchange is not None:
            exchange.client_gone()
        self.end(close=True)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._exchange is not None:
            self._exchange.client_paused()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._exchange is not None:
            self._exchange.client_resumed()

    def late(self, now: float, limits: HttpLimits) -> bool:
        """Has the app been too slow with its first request head, or with a body?"""
        if self._body_since:
            if now - self._body_since > limits.body_seconds:
                return True
            most = limits.body_seconds + self._body_received / SLOWEST_BODY
            return bool(self._body_began) and now - self._body_began > most
        return self._request_count == 0 and now - self._connected_at > limits.head_seconds

    # ---- one request

    async def carry(self, proxy: Proxy, head: RequestHead, content: StreamReader) -> Relayed:
        """Take one request through the proxy and wait until its answer is written."""
        self.http10 = head.http10
        done = self._done = self._loop.create_future()
        try:
            body, whole = await self._hold(head, content, proxy.limits.hold_body)
            async with proxy.handle(head, body, whole, self) as exchange:
                self._exchange = exchange
                if not whole:
                    await self._upload(exchange, head, content, len(body), proxy.limits.body)
                keep = await done
        finally:
            self._exchange = None
            self._done = None
            self._body_since = self._body_began = 0.0
        return Relayed(keep_alive=keep and head.keep_alive)

    async def tunnel(self, proxy: Proxy, head: RequestHead) -> Relayed:
        """Give the transport over to be passed through both ways, and wait until it comes back closed."""
        transport = self.transport
        if transport is None:
            return Relayed(keep_alive=False)
        early, self._message_tail = self._message_tail, b""
        done = self._done = self._loop.create_future()
        try:
            proxy.tunnel(head, self, transport, early)
            await done
        finally:
            self._done = None
        return Relayed(keep_alive=False)

    async def _hold(self, head: RequestHead, content: StreamReader, limit: int) -> tuple[bytes, bool]:
        """The body, or its first part where it is larger than is held."""
        if content.is_eof():
            return content.read_nowait(-1), True
        if head.expects_continue:
            self.write(CONTINUE)
        held = bytearray()
        self._body_began = self._clock()
        while len(held) <= limit:
            self._body_since = self._clock()
            self._body_received = len(held)
            data = await content.readany()
            held += data
            if content.at_eof():
                break
        self._body_since = self._body_began = 0.0
        return bytes(held), content.at_eof()

    def await_body(self, content: StreamReader) -> None:
        """The API reads this body: as a whole it must come within the time of one pause."""
        self._body_since = self._clock()

        def arrived() -> None:
            self._body_since = 0.0

        content.on_eof(arrived)

    async def _upload(
        self, exchange: Exchange | Ended, head: RequestHead, content: StreamReader, sent: int, limit: int
    ) -> None:
        """Pass on the rest of a body that is too large to be held, as fast as the provider takes it."""
        chunked = head.content_length is None
        while not exchange.over:
            if self._may_upload is not None:
                self._body_since = 0.0
                await self._may_upload
                continue
            self._body_since = self._clock()
            data = await content.readany()
            if not data and content.at_eof():
                break
            sent += len(data)
            if sent > limit:
                exchange.client_exceeded(limit)
                return
            exchange.upload(chunk(data) if chunked else data, len(data))
        self._body_since = 0.0
        exchange.uploaded(LAST_CHUNK if chunked else b"")

    # ---- what aiohttp itself refuses

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """A request that is not HTTP, too large a head, or a body that broke off: JSON, no trace, no log flood."""
        if isinstance(exc, (RequestPayloadError, ConnectionError, web.RequestPayloadError)):
            status, message = 400, "The request body is malformed or incomplete."
        if status >= 500:
            if exc is not None:
                self._server.defect(exc)
            code, message = (
                Code.GATEWAY_ERROR,
                "The gateway failed on this request; it was not sent to a provider.",
            )
        else:
            code = Code.BAD_REQUEST
            message = (message or "The request is not well-formed HTTP.").partition("\n")[0][:200]
            peer = self.peername
            self._server.note_malformed(peer[0] if isinstance(peer, tuple) else None, f"status {status}")
        response = web.Response(
            status=status,
            body=error_body(None, status, code, message),
            content_type="application/json",
        )
        response.force_close()
        return response


class ProxyServer(web.Server):
    """``web.Server`` with :class:`AppConnection`; paths of our own go to the API application's server."""

    def __init__(
        self,
        proxy: Proxy,
        api: Callable[[], Awaitable[web.Server]],
        limits: HttpLimits,
        clock: Callable[[], float],
        defect: Callable[[BaseException], None],
    ) -> None:
        super().__init__(
            self._serve, auto_decompress=False, access_log=None, logger=_SILENT, **_parsing(limits)
        )
        self.malformed = 0
        """Requests that were not well-formed HTTP."""
        self.turned_away = 0
        """Connections beyond the limit."""
        self.parting = Parting()
        self._notices = Notices(_logger, clock, MALFORMED_LOG_SECONDS)
        self.clock = clock
        self.defect = defect
        self._proxy = proxy
        self._api = api
        self._limits = limits

    def __call__(self) -> AppConnection:
        return AppConnection(self, loop=self._loop, **self._kwargs)

    def adopt(self, limits: HttpLimits) -> None:
        """New limits, for the connections to come."""
        self._limits = limits
        self._kwargs.update(_parsing(limits))

    @property
    def open(self) -> int:
        """Connections in this lane."""
        return len(self._connections)

    def note_malformed(self, peer: str | None, why: str) -> None:
        """Count a request that was not well-formed HTTP; log the first, then one line now and then."""
        self.malformed += 1
        self._notices.warn("malformed", f"malformed request from {peer or 'an unknown peer'}: {why}")

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        assert isinstance(connection, AppConnection)
        connection.busy = True
        try:
            return await self._route(request, connection)
        finally:
            connection.busy = False

    async def _route(self, request: web.BaseRequest, connection: AppConnection) -> web.StreamResponse:
        message = request._message
        if message.version not in (HttpVersion11, HttpVersion10):
            return connection.handle_error(request, 400, message=UNSPOKEN)
        if is_own(message.path.encode("utf-8", "surrogateescape")):
            if not request.content.is_eof():
                connection.await_body(request.content)
            api = await self._api()
            own = api.request_factory(message, request.content, connection, request.writer, request.task)
            return await api.request_handler(own)
        try:
            head = request_head(message, connection)
        except ValueError:  # also MalformedHeader
            return connection.handle_error(request, 400, message="A header line is not well-formed.")
        if message.upgrade and is_websocket(head):
            return await connection.tunnel(self._proxy, head)
        return await connection.carry(self._proxy, head, request.content)

    def close_idle(self) -> None:
        """The gateway stops: connections without a request are closed at once."""
        for connection in self.connections:
            assert isinstance(connection, AppConnection)
            if not connection.busy:
                connection.leave()
                connection.force_close()

    def sweep(self, now: float) -> None:
        """Close connections of apps that are too slow with a head or a body."""
        for connection in self.connections:
            assert isinstance(connection, AppConnection)
            if connection.late(now, self._limits):
                connection.leave()
                connection.force_close()
        self.parting.sweep(now)


def _parsing(limits: HttpLimits) -> dict[str, Any]:
    """The limits as aiohttp's connections are made with."""
    return {
        "max_line_size": limits.line_bytes,
        "max_field_size": limits.line_bytes,
        "max_headers": limits.headers,
        "keepalive_timeout": limits.keepalive_seconds,
    }


_OWN: Final = re.compile(rb"/(?:(?:api|dashboard|healthz|readyz|metrics)(?:[/?]|$)|(?:\?|$))")


def is_own(target: bytes) -> bool:
    """Is this a path of ours (API, probes) rather than a provider's?"""
    return _OWN.match(target) is not None


def request_head(message: RawRequestMessage, connection: AppConnection) -> RequestHead:
    """aiohttp's parsed head as ours; the raw target is kept byte for byte."""
    found = scan(b"%b: %b" % pair for pair in message.raw_headers)
    http10 = message.version <= HttpVersion10
    chunked = b"transfer-encoding" in found.seen
    peer = connection.peername
    # aiohttp's parser loses what comes behind a request that asks for an upgrade: nothing may come.
    keep_alive = not message.should_close and b"upgrade" not in found.seen
    return RequestHead(
        message.method,
        message.path.encode("utf-8", "surrogateescape"),
        found,
        http10,
        keep_alive,
        message.chunked,
        declared_length(found.seen, chunked=chunked, http10=http10),
        peer[0] if isinstance(peer, tuple) else None,
    )
