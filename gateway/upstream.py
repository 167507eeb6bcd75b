"""Connections to providers: a pool per origin on bare asyncio transports, parsed with httptools.

No task, queue or stream object per request: a connection belongs to one ``Receiver`` from :meth:`Connection.send`
until the answer is complete, and hands it every read as it comes. Redirects are never followed.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

import httptools
import msgspec

from gateway.familiar_answers import FamiliarAnswers
from gateway.headers import AnswerHead, answer_head

STALE_SECONDS: Final = 0.25
"""A reused connection that closes this soon after the request, without a byte, was stale: nothing was processed."""
HEAD_BYTES: Final = 256 * 1024
"""Largest head of an answer, informational ones before it included."""
_NO_HEAD: Final = AnswerHead(b"")


class Origin(msgspec.Struct, frozen=True, cache_hash=True):
    """Scheme, host and port of a provider; from the settings only, never from a request."""

    host: str
    port: int
    tls: bool

    @property
    def authority(self) -> str:
        """``Host`` header value: the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


class Receiver(Protocol):
    """Who an answer is for."""

    def upstream_read(self, connection: Connection, data: bytes) -> None:
        """One read event was parsed; ``connection`` tells what is known by now."""

    def upstream_broken(self, connection: Connection, error: Exception | None) -> None:
        """What came is not HTTP (``error``), or the connection was lost before the answer was complete."""

    def upstream_mishap(self, error: Exception) -> None:
        """``error``, a defect of ours, was raised in one of the two above: end the call."""

    def upstream_paused(self) -> None:
        """The provider reads slower than the app sends."""

    def upstream_resumed(self) -> None: ...


class Connection(asyncio.Protocol):
    """One connection. The fields below ``pieces`` describe the answer being read."""

    __slots__ = (
        "_familiar",
        "_head_only",
        "_parser",
        "_skip_heads",
        "_whole",
        "body_at",
        "complete",
        "head",
        "home",
        "idle_since",
        "junk",
        "keep",
        "on_body",
        "origin",
        "passing",
        "paused",
        "pieces",
        "pool",
        "raw",
        "receiver",
        "rest",
        "served",
        "status",
        "transport",
        "until_close",
        "written_at",
    )

    def __init__(self, pool: Pool, origin: Origin) -> None:
        self.pool = pool
        self.origin = origin
        self.home = pool.home(origin)
        """Where it waits for its next call."""
        self._familiar = pool.familiar(origin)
        self.idle_since = 0.0
        self.transport: asyncio.Transport | None = None
        self.receiver: Receiver | None = None
        self.served = 0
        """Answers this connection has completed before the current one."""
        self.pieces: list[bytes] = []
        """De-chunked body bytes of this read."""
        self.on_body = self.pieces.append
        """What the parser calls for each of them: no function of ours stands in between."""
        self._parser = httptools.HttpResponseParser(self)
        self._head_only = False
        self.passing: Callable[[bytes], bool] | None = None
        """Takes the next read unparsed if it may, see :mod:`gateway.passing`; set by a receiver after a read of its kind."""
        self.paused = False
        self.written_at = 0.0
        self.head = _NO_HEAD
        """Of the answer, once it is complete."""
        self.rest = b""
        """What came behind it in the same read, as it came."""
        self.keep = False
        self.until_close = False
        """The body ends where the connection does."""
        self.junk = False
        """The provider sent more than its answer: nobody must read on from there."""
        self._whole = 0
        """How many pieces of this read belong to the answer, once it is complete."""
        self._begin()

    def _begin(self) -> None:
        """Wait for the next answer. What is looked at only once its head is here stays as it was."""
        self.status = 0
        """0 until the response head is complete."""
        self.pieces.clear()
        self.raw = b""
        """Bytes read while the response head was incomplete."""
        self.body_at = -1
        """Where the body begins in ``raw``; -1 while the head is incomplete."""
        self.complete = False
        self._skip_heads = 0

    # ---- towards the provider

    def send(self, receiver: Receiver, data: bytes, *, head_only: bool) -> None:
        """Write a request (or its head). ``head_only``: the method is HEAD, so the answer has no body."""
        assert self.transport is not None
        self.receiver = receiver
        self._head_only = head_only
        self.written_at = self.pool.clock()
        self.transport.write(data)

    def write(self, data: bytes) -> None:
        """More of the request body."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    @property
    def was_stale(self) -> bool:
        """Lost so soon after a request, without a byte, that the provider cannot have processed it."""
        soon = self.pool.clock() - self.written_at < STALE_SECONDS
        return self.served > 0 and not self.raw and soon

    def pause(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.paused = True
            self.passing = None
            self.transport.pause_reading()

    def resume(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.paused = False
            self.transport.resume_reading()

    def release(self) -> None:
        """The answer is complete: back to the pool, or closed where it cannot serve again."""
        self.receiver = self.passing = None
        self.served += 1
        if self.paused:
            self.resume()
        transport = self.transport
        if not self.keep or self.until_close or self.junk or transport is None or transport.is_closing():
            self.abort()
            return
        if self._head_only:
            self._parser = httptools.HttpResponseParser(self)
        self._begin()
        self.pool.put(self)

    def abort(self) -> None:
        """Close at once, telling nobody."""
        self.receiver = self.passing = None
        if self.transport is not None:
            self.transport.abort()

    # ---- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        receiver = self.receiver
        if receiver is None:  # bytes nobody asked for: the connection cannot be trusted again
            self.abort()
            return
        if self.passing is not None:
            try:
                if self.passing(data):
                    return
            except Exception as error:  # noqa: BLE001 (as below)
                receiver.upstream_mishap(error)
                return
            self.passing = None
        broken = None if self.body_at < 0 and self._take_again(data) else self._read(data)
        try:
            if broken is not None:
                self._break_off(receiver, data, broken)
            else:
                receiver.upstream_read(self, data)
        except Exception as error:  # noqa: BLE001 (the loop would call it a cut of the provider's)
            receiver.upstream_mishap(error)

    def _take_again(self, data: bytes) -> bool:
        """Take an answer that is here whole and whose head is like an earlier one's: that one was parsed."""
        if self.raw or self._head_only:
            return False
        found = self._familiar.again(data)
        if found is None:
            return False
        familiar, head = found
        self.status, self.keep, self.head = familiar.status, familiar.keep, head
        self.raw = data
        self.body_at = at = len(head.raw)
        self.rest = body = data[at:]
        self.pieces.append(body)
        self.complete = True
        return True

    def _read(self, data: bytes) -> httptools.HttpParserError | None:
        """Parse what was read; returns what is wrong with it."""
        reading_head = self.body_at < 0
        if reading_head:
            self.raw = self.raw + data if self.raw else data.lstrip(b"\r\n")
        else:
            self.pieces.clear()
        broken: httptools.HttpParserError | None = None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # 101: the receiver sees the status and takes the raw bytes over
        except httptools.HttpParserError as error:
            if not (self.complete and self.junk):
                broken = error
        if self.complete:
            del self.pieces[self._whole :]
            self._whole = 0
        if reading_head:
            if self.status:
                if not self._read_head():
                    broken = httptools.HttpParserError("the head's lines do not end in CRLF")
            elif len(self.raw) > HEAD_BYTES:
                broken = httptools.HttpParserError("the head has no end")
        return broken

    def _break_off(self, receiver: Receiver, data: bytes, broken: httptools.HttpParserError) -> None:
        """What was good before it broke still goes to the app."""
        if self.status:
            receiver.upstream_read(self, data)
        if self.receiver is receiver:
            receiver.upstream_broken(self, broken)

    def _read_head(self) -> bool:
        """The head is whole: find its end and see how the body is delimited. False if the end is not to be found."""
        raw, start = self.raw, 0
        at = raw.find(b"\r\n\r\n")
        for _ in range(self._skip_heads):
            start = at + 4
            at = raw.find(b"\r\n\r\n", start)
        if at < start:
            self.status = 0
            return False
        self.body_at = at + 4
        self.rest = raw[at + 4 :]
        self.head = head = answer_head(raw[start : at + 4])
        if head.content_length is None and not head.chunked:
            self.until_close = not self._head_only and self.status not in (204, 304)
        elif self.complete and self.pieces:
            self._familiar.remember(head, self.status, keep=self.keep)
        return True

    def eof_received(self) -> bool | None:
        return None  # the transport closes; connection_lost tells the receiver

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self.pool.forget(self)
        receiver = self.receiver
        if receiver is None:
            return
        self.pieces.clear()
        try:
            if self.until_close and self.status and exc is None:
                self.complete = True
                self.keep = False
                receiver.upstream_read(self, b"")
            else:
                receiver.upstream_broken(self, None)
        except Exception as error:  # noqa: BLE001 (nobody would end the call before its deadline)
            receiver.upstream_mishap(error)

    def pause_writing(self) -> None:
        if self.receiver is not None:
            self.receiver.upstream_paused()

    def resume_writing(self) -> None:
        if self.receiver is not None:
            self.receiver.upstream_resumed()

    # ---- httptools callbacks

    def on_message_begin(self) -> None:
        if self.complete:
            self.junk = True

    def on_headers_complete(self) -> None:
        if self.complete:
            return
        status = self._parser.get_status_code()
        if status < 200 and status != 101:  # informational: the real head is yet to come
            return
        self.status = status
        self.keep = self._parser.should_keep_alive()
        if self._head_only:
            self.complete = True

    def on_message_complete(self) -> None:
        if self.status == 0:
            self._skip_heads += 1
        elif not self.complete:
            self.complete = True
            self._whole = len(self.pieces)


class Pool:
    """Idle connections by origin; newest first, so that the pool shrinks by itself when traffic falls."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
        *,
        idle_seconds: float,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.loop = loop
        self.clock = clock
        self._idle_seconds = idle_seconds
        self._tls = tls
        self._idle: dict[Origin, deque[Connection]] = {}
        self._familiar: dict[Origin, FamiliarAnswers] = {}
        self._open: set[Connection] = set()
        self.opened = 0
        """Connections made so far."""

    def home(self, origin: Origin) -> deque[Connection]:
        """The idle connections to ``origin``."""
        return self._idle.setdefault(origin, deque())

    def familiar(self, origin: Origin) -> FamiliarAnswers:
        """The heads of answers from ``origin`` that were parsed before."""
        return self._familiar.setdefault(origin, FamiliarAnswers())

    def take(self, origin: Origin) -> Connection | None:
        """An idle connection that is still alive, or ``None``."""
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            transport = connection.transport
            if transport is not None and not transport.is_closing():
                return connection
        return None

    async def connect(self, origin: Origin, timeout: float) -> Connection:
        """A new connection. Raises ``OSError`` (refused, DNS, TLS) or ``TimeoutError`` after ``timeout`` seconds."""
        async with asyncio.timeout(timeout):
            _, connection = await self.loop.create_connection(
                lambda: Connection(self, origin),
                origin.host,
                origin.port,
                ssl=self.tls_context() if origin.tls else None,
                server_hostname=origin.host if origin.tls else None,
            )
        self.opened += 1
        self._open.add(connection)
        return connection

    def put(self, connection: Connection) -> None:
        connection.idle_since = self.clock()
        connection.home.append(connection)

    def forget(self, connection: Connection) -> None:
        self._open.discard(connection)

    def sweep(self) -> None:
        """Close what has been idle too long and forget what the providers closed."""
        oldest = self.clock() - self._idle_seconds
        for idle in self._idle.values():
            while idle and (idle[0].idle_since < oldest or idle[0].transport is None):
                idle.popleft().abort()

    def close(self) -> None:
        for connection in list(self._open):
            connection.abort()
        for idle in self._idle.values():
            idle.clear()

    def tls_context(self) -> ssl.SSLContext:
        """For connections to providers over TLS; made when first needed."""
        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls
