"""The fast lane: plain proxy calls are parsed with httptools on the bare transport.

What is not plain (our own paths, HTTP/1.0, upgrades, two requests in one read) is handed over before anything was
done with it: the transport gets an aiohttp protocol (:mod:`gateway.server`) and the bytes read so far, and stays
with it. Both lanes drive the same exchange, and every test of the proxy runs on both.
"""

from __future__ import annotations

import asyncio
import enum
import math
from collections.abc import Callable
from typing import Final

import httptools
import msgspec

from gateway.call import RequestHead, declared_length
from gateway.errors import Code, error_body
from gateway.exchange import Exchange
from gateway.familiar import MOST_STRANGE, Familiar, familiar
from gateway.headers import MalformedHeader, scan
from gateway.proxy import Proxy
from gateway.realtime import is_websocket
from gateway.refusing import Ended
from gateway.relay import LAST_CHUNK, chunk, own_response
from gateway.server import CONTINUE, SLOWEST_BODY, UNSPOKEN, HttpLimits, ProxyServer, is_own

LINGER_SECONDS: Final = 5.0
"""How long the rest of a refused body is read and thrown away, so that the app gets to read the refusal."""
SPOKEN: Final = (b"HTTP/1.1", b"HTTP/1.0")
TURNED_AWAY_AT_ONCE: Final = 256
"""So many connections beyond the limit are told why; more are closed without a word."""


class Lane(msgspec.Struct, frozen=True):
    """What every connection of the fast lane works with."""

    loop: asyncio.AbstractEventLoop
    clock: Callable[[], float]
    proxy: Proxy
    aiohttp: ProxyServer
    limits: HttpLimits
    connections: set[FrontConnection]


class State(enum.Enum):
    """What a connection is doing."""

    HEAD = enum.auto()
    """Waiting for a request head, or in the middle of one."""
    BODY = enum.auto()
    """The head is complete, the body is not."""
    CARRIED = enum.auto()
    """The request is complete and its call is running."""
    LINGERING = enum.auto()
    """Answered and half closed; what still comes is thrown away."""
    GONE = enum.auto()


# Bound once: reading a member off its class costs as much as a function call.
_HEAD: Final = State.HEAD
_BODY: Final = State.BODY
_CARRIED: Final = State.CARRIED
_LINGERING: Final = State.LINGERING
_GONE: Final = State.GONE


class FrontConnection(asyncio.Protocol):
    """One connection of an app. Is the :class:`gateway.gear.Client` of the call it carries."""

    __slots__ = (
        "_body",
        "_body_began",
        "_exchange",
        "_familiar",
        "_head",
        "_headed",
        "_held",
        "_lane",
        "_odd",
        "_parser",
        "_peer",
        "_pending",
        "_raw",
        "_received",
        "_running",
        "_served",
        "_since",
        "_state",
        "_strange",
        "_transport",
        "_whole",
        "http10",
    )

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._transport: asyncio.Transport | None = None
        self._peer: str | None = None
        self._parser = httptools.HttpRequestParser(self)
        self.http10 = False
        self._pending: list[bytes] = []
        """Bytes that came while a call was running (pipelining)."""
        self._familiar: Familiar | None = None
        """The last plain head of this connection."""
        self._strange = 0
        """Heads in a row that were not the familiar one."""
        self._served = False
        """At least one request of this connection was answered."""
        self._state = _HEAD
        self._since = lane.clock()
        """When the wait for the app's next bytes began."""
        self._reset()

    def _reset(self) -> None:
        """Ready for the next request head."""
        self._raw = b""
        """Everything read of this request, as long as it may still be handed over."""
        self._head: RequestHead | None = None
        self._headed = False
        """The parser has seen the end of the head."""
        self._odd = False
        self._body: list[bytes] = []
        """Body bytes of this read; of all reads while the body is held."""
        self._held = 0
        self._received = 0
        self._body_began = 0.0
        self._whole = False
        self._running = False
        """The proxy has the call."""
        self._exchange: Exchange | Ended | None = None

    # ---- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        peer = transport.get_extra_info("peername")
        self._peer = peer[0] if isinstance(peer, tuple) else None
        lane = self._lane
        beyond = len(lane.connections) + lane.aiohttp.open - lane.limits.connections
        lane.connections.add(self)
        if beyond >= 0:
            self._turn_away(beyond)

    def data_received(self, data: bytes) -> None:
        state = self._state
        if state is _HEAD or state is _BODY:
            if self._familiar is None or self._raw or state is _BODY or not self._take_again(data):
                self._read(data)
        elif state is _CARRIED:
            self._pending.append(data)
            self._pause()

    def connection_lost(self, exc: Exception | None) -> None:
        self._state = _GONE
        self._transport = None
        self._lane.connections.discard(self)
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.client_gone()

    def pause_writing(self) -> None:
        if self._exchange is not None:
            self._exchange.client_paused()

    def resume_writing(self) -> None:
        if self._exchange is not None:
            self._exchange.client_resumed()

    # ---- reading a request

    def _take_again(self, data: bytes) -> bool:
        """Take a request that is here whole and differs from an earlier one in its body alone: that one was parsed."""
        known = self._familiar
        assert known is not None
        told = known.told(data)
        if told is None:
            return False
        length, body_at = told
        if len(data) - body_at != length:
            return False
        self._strange = 0
        self._whole = self._running = True
        self._state = _CARRIED
        self._lane.proxy.begin(known.head, data[body_at:], self, self._begun)
        return True

    def _read(self, data: bytes) -> None:
        if self._state is _HEAD:
            raw = self._raw
            if raw:
                self._raw = raw + data
            else:
                self._raw = data if data[0] > 13 else data.lstrip(b"\r\n")
                if self._raw:  # empty lines in front of a request buy no time
                    self._since = self._lane.clock()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._odd = True
        except httptools.HttpParserError:
            self._reject(400, "The request is not well-formed HTTP.")
            return
        if self._head is None:
            if not self._headed:
                self._check_unfinished_head()
                return
            if not self._take_head():
                return
        if self._odd and self._state is _HEAD and not self._running:
            head = self._head
            if head is not None and is_websocket(head) and not is_own(head.target):
                self._tunnel(head)
            else:
                self._hand_over()
        else:
            self._advance()

    def _check_unfinished_head(self) -> None:
        limits = self._lane.limits
        if self._odd:  # a head that aiohttp has better words for
            self._hand_over()
        elif len(self._raw) > limits.head_bytes:
            self._reject(431, f"The request head is larger than {limits.head_bytes} bytes.")

    def _take_head(self) -> bool:
        """Make the head of what was read; false if that ended the matter."""
        raw = self._raw
        if self._familiar is not None:
            told = self._familiar.told(raw)
            if told is not None:
                self._head = msgspec.structs.replace(self._familiar.head, content_length=told[0])
                self._strange = 0
                return True
        end = raw.find(b"\r\n\r\n")
        request_line, *lines = raw[:end].split(b"\r\n")
        limits = self._lane.limits
        try:
            if end < 0:  # line ends that are not CRLF
                raise MalformedHeader
            method, target, version = request_line.split(b" ")
            found = scan(lines)
            seen = found.seen
            chunked = b"transfer-encoding" in seen
            self.http10 = version != b"HTTP/1.1"
            length = declared_length(seen, chunked=chunked, http10=self.http10)
        except ValueError:  # also MalformedHeader: what the parser lets through and we do not
            self._reject(400, "The request is not well-formed HTTP.")
            return False
        if version not in SPOKEN:
            self._reject(400, UNSPOKEN)
            return False
        if (
            self.http10
            or end > limits.head_bytes
            or len(lines) > limits.headers
            or b"upgrade" in seen
            or b"host" not in seen
            or is_own(target)
        ):
            self._odd = True
        connection = seen.get(b"connection")
        keep_alive = connection is None or b"close" not in connection.lower()
        method_name = method.decode("ascii")
        self._head = head = RequestHead(
            method_name, target, found, self.http10, keep_alive, chunked, length, self._peer
        )
        if self._served and not self._odd and self._strange < MOST_STRANGE:
            self._strange += 1
            self._familiar = familiar(raw, end, head)
        return True

    def _advance(self) -> None:
        """The head is complete: start the call once enough of the body is there, then pass on the rest."""
        head = self._head
        assert head is not None
        proxy = self._lane.proxy
        if not self._running:
            if not self._whole and self._held <= proxy.limits.hold_body:
                if self._state is _HEAD:
                    self._raw = b""
                    self._state = _BODY
                    self._body_began = self._lane.clock()
                    if head.expects_continue:
                        self.write(CONTINUE)
                self._since = self._lane.clock()
                return
            self._start(head)
        elif self._exchange is not None:
            self._upload(head, self._exchange)

    def _start(self, head: RequestHead) -> None:
        self._running = True
        self._state = _CARRIED if self._whole else _BODY
        self._raw = b""
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body.clear()
        if self._whole:
            self._lane.proxy.begin(head, body, self, self._begun)
        else:
            self._begun(self._lane.proxy.handle(head, body, False, self))

    def _begun(self, exchange: Exchange | Ended) -> None:
        if self._state is _GONE:  # the app left in the same turn of the loop
            exchange.client_gone()
        elif self._running:
            self._exchange = exchange

    def _upload(self, head: RequestHead, exchange: Exchange | Ended) -> None:
        """Pass on what this read brought of a body that is too large to be held."""
        chunked = head.content_length is None
        limit = self._lane.proxy.limits.body
        self._since = self._lane.clock()  # before the pieces: passing them on may pause the upload
        for piece in self._body:
            exchange.upload(chunk(piece) if chunked else piece, len(piece))
        self._body.clear()
        if self._received > limit:
            exchange.client_exceeded(limit)
        elif self._whole:
            self._state = _CARRIED
            exchange.uploaded(LAST_CHUNK if chunked else b"")

    def _hand_over(self) -> None:
        """Give the connection to aiohttp, with all that was read of this request."""
        transport, raw = self._transport, self._raw
        assert transport is not None
        self._state = _GONE
        self._transport = None
        self._lane.connections.discard(self)
        protocol = self._lane.aiohttp()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        protocol.data_received(raw)

    def _tunnel(self, head: RequestHead) -> None:
        """Give the transport over to be passed through both ways; the connection stays on our list until its end."""
        transport = self._transport
        assert transport is not None
        early = self._raw[self._raw.find(b"\r\n\r\n") + 4 :]
        self._raw = b""
        self._whole = True
        self._state = _CARRIED
        self._lane.proxy.tunnel(head, self, transport, early)

    def _reject(self, status: int, message: str) -> None:
        self._lane.aiohttp.note_malformed(self._peer, message)
        if self._exchange is not None:  # a body that broke off in the middle of a call
            self._exchange.client_gone()
            self.cut()
            return
        self.write(own_response(status, error_body(None, status, Code.BAD_REQUEST, message), b"", close=True))
        self.end(close=True)

    def _turn_away(self, beyond: int) -> None:
        server = self._lane.aiohttp
        server.turned_away += 1
        if beyond >= TURNED_AWAY_AT_ONCE:
            self._state = _GONE
            assert self._transport is not None
            self._transport.abort()
            return
        body = error_body(
            None, 503, Code.TOO_MANY_CONNECTIONS, "The gateway has too many connections; try again."
        )
        self.write(own_response(503, body, b"Retry-After: 1\r\n", close=True))
        self.end(close=True)

    # ---- httptools callbacks

    def on_message_begin(self) -> None:
        if self._whole:
            self._odd = True  # a second request in the same read

    def on_headers_complete(self) -> None:
        self._headed = True

    def on_body(self, body: bytes) -> None:
        if not self._whole:
            self._body.append(body)
            self._held += len(body)
            self._received += len(body)

    def on_message_complete(self) -> None:
        self._whole = True

    # ---- Client

    def write(self, data: bytes) -> None:
        transport = self._transport
        if transport is not None and not transport.is_closing():
            transport.write(data)

    def writer(self) -> Callable[[bytes], object]:
        return self.write if self._transport is None else self._transport.write

    def end(self, *, close: bool) -> None:
        """The answer is written: on to the next request, or close."""
        transport = self._transport
        if transport is None:
            return
        unread = not self._whole
        odd = self._odd
        if self._head is None and not self._raw:  # nothing of it was parsed
            self._whole = self._running = False
            self._exchange = None
        else:
            self._reset()
        if not close and not odd and not unread:
            self._state = _HEAD
            self._served = True
            self._since = self._lane.clock()
            if self._pending:
                self._lane.loop.call_soon(self._resume_pending)
        elif unread and transport.can_write_eof():
            self._state = _LINGERING
            self._since = self._lane.clock()
            transport.write_eof()
            self._resume()
        else:
            self.close()

    def cut(self) -> None:
        self._reset()
        self.close()

    def pause_upload(self) -> None:
        if self._state is _BODY:
            self._since = math.inf  # it is not the app that is slow
            self._pause()

    def resume_upload(self) -> None:
        if self._state is _BODY:
            self._since = self._lane.clock()
            self._resume()

    # ---- flow and time

    def _resume_pending(self) -> None:
        if self._state is _HEAD and self._transport is not None:
            data = b"".join(self._pending)
            self._pending.clear()
            self._resume()
            self._read(data)

    def _pause(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def _resume(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def late(self, now: float) -> bool:
        """Has the app been too slow with a head or a body, or idle for too long?"""
        limits = self._lane.limits
        waited = now - self._since
        if self._state is _HEAD:
            return waited > (
                limits.keepalive_seconds if self._served and not self._raw else limits.head_seconds
            )
        if self._state is _BODY:
            if waited > limits.body_seconds:
                return True
            most = limits.body_seconds + self._received / SLOWEST_BODY
            return not self._running and now - self._body_began > most
        return self._state is _LINGERING and waited > LINGER_SECONDS

    def idle(self) -> bool:
        """Nothing is under way: may be closed at once when the gateway stops."""
        return self._state in (_HEAD, _LINGERING)

    def busy(self) -> bool:
        """An answer is still to come."""
        return self._state in (_BODY, _CARRIED)

    def close(self) -> None:
        self._state = _GONE
        if self._transport is not None:
            self._lane.aiohttp.parting.close(self._transport)


def sweep(lane: Lane, now: float) -> None:
    """Close the connections of apps that are too slow."""
    for connection in [one for one in lane.connections if one.late(now)]:
        connection.close()
