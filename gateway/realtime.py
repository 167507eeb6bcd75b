"""WebSocket connections: passed through both ways byte for byte, and recorded once, at their end.

The front hands the app's connection over with its request head. Once the provider has agreed (101), bytes pass as
they come, with back-pressure, and copies of the messages are read for usage. ``Sec-WebSocket-Extensions`` does not go
upstream: without compression the messages can be read.
"""

from __future__ import annotations

import asyncio
from typing import Final

from gateway.call import Call, Progress
from gateway.deadlines import overdue
from gateway.errors import Code, error_body, reason_of
from gateway.gear import Deadlines, Gear
from gateway.headers import answer_head
from gateway.recording import opening_record
from gateway.relay import own_response
from gateway.wire.contract import Exchanged, Reader, Reading
from gateway.wire.websocket import Messages
from telemetry.outcome import Outcome

MOST_MESSAGE: Final = 1_048_576
"""Bytes of one message that are read; larger ones pass unread."""
MOST_HEAD: Final = 256 * 1024
_END: Final = b"\r\n\r\n"


class Far(asyncio.Protocol):
    """The provider's side."""

    def __init__(self, tunnel: Tunnel) -> None:
        self._tunnel = tunnel

    def data_received(self, data: bytes) -> None:
        self._tunnel.provider_sent(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._tunnel.provider_gone()

    def pause_writing(self) -> None:
        self._tunnel.hold_app(True)

    def resume_writing(self) -> None:
        self._tunnel.hold_app(False)


class Tunnel(asyncio.Protocol):
    """The app's side, and the one record of the connection."""

    def __init__(self, gear: Gear, call: Call, progress: Progress, deadlines: Deadlines) -> None:
        self._gear = gear
        self._call = call
        self._progress = progress
        self._deadlines = deadlines
        self._app: asyncio.Transport | None = None
        self._far: asyncio.Transport | None = None
        self._head = bytearray()
        self._early: list[bytes] = []
        """What the app sent before the provider was reached."""
        self._asked = Messages(MOST_MESSAGE)
        self._answered = Messages(MOST_MESSAGE)
        self._reader: Reader | None = None
        self._open = False
        """Both agreed: messages pass."""
        self._over = False
        self._idle_since = gear.clock()

    def begin(self, app: asyncio.Transport) -> None:
        """Take the app's connection over and go to the provider. Raises :class:`Refusal`."""
        self._gear.sink.opened(opening_record(self._call))
        self._gear.live.add(self)
        self._app = app
        app.set_protocol(self)
        self._task = self._gear.loop.create_task(self._connect())

    async def _connect(self) -> None:
        origin, since = self._call.target.origin, self._gear.clock()
        try:
            async with asyncio.timeout(self._deadlines.connect):
                transport, _ = await self._gear.loop.create_connection(
                    lambda: Far(self),
                    origin.host,
                    origin.port,
                    ssl=self._gear.pool.tls_context() if origin.tls else None,
                    server_hostname=origin.host if origin.tls else None,
                )
        except (OSError, TimeoutError) as error:
            self._progress.waited += self._gear.clock() - since
            self._refuse(Outcome.CONNECT_FAILED, f"could not be reached ({reason_of(error)})")
            return
        self._progress.waited += self._gear.clock() - since
        if self._over:
            transport.abort()
            return
        self._far = transport
        self._progress.attempts = 1
        self._progress.sent_at = self._progress.uploaded_at = self._gear.clock()
        transport.write(self._call.request)
        for piece in self._early:
            self._pass_up(piece)
        self._early.clear()

    # ---- asyncio.Protocol of the app's connection

    def data_received(self, data: bytes) -> None:
        self._progress.request_bytes += len(data)
        self._idle_since = self._gear.clock()
        if self._far is None:
            self._early.append(data)
            if len(self._early) > 16 and self._app is not None:
                self._app.pause_reading()
            return
        self._pass_up(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._app = None
        self._end(self._clean(Outcome.CANCELLED))

    def pause_writing(self) -> None:
        if self._far is not None and not self._far.is_closing():
            self._far.pause_reading()

    def resume_writing(self) -> None:
        if self._far is not None and not self._far.is_closing():
            self._far.resume_reading()

    def hold_app(self, hold: bool) -> None:
        """The provider reads slower than the app sends."""
        if self._app is not None and not self._app.is_closing():
            if hold:
                self._app.pause_reading()
            else:
                self._app.resume_reading()

    def _pass_up(self, data: bytes) -> None:
        if self._far is None or self._far.is_closing():
            return
        self._far.write(data)
        for message in self._asked.feed(data):
            if self._reader is not None and b'"setup"' in message:
                self._read(message)

    # ---- the provider's side

    def provider_sent(self, data: bytes) -> None:
        now = self._gear.clock()
        self._progress.last_read_at = self._idle_since = now
        if self._over:
            return
        if not self._open:
            self._take_head(data, now)
            return
        self._down(data)

    def provider_gone(self) -> None:
        self._far = None
        if not self._over and not self._progress.first_byte_at:
            self._refuse(Outcome.RESET, "closed the connection without an answer")
            return
        self._end(self._clean(Outcome.TRUNCATED if self._open else Outcome.COMPLETED))

    def _take_head(self, data: bytes, now: float) -> None:
        if self._progress.first_byte_at:  # the body of a refusal
            self._down(data)
            return
        self._head += data
        end = self._head.find(_END)
        if end < 0:
            if len(self._head) > MOST_HEAD:
                self._refuse(Outcome.PROTOCOL_ERROR, "answered with something that is not HTTP")
            return
        raw, rest = bytes(self._head[: end + 4]), bytes(self._head[end + 4 :])
        status = raw.split(b" ", 2)[1:2]
        if not raw.startswith(b"HTTP/1.1 ") or not status or not status[0].isdigit():
            self._refuse(Outcome.PROTOCOL_ERROR, "answered with something that is not HTTP")
            return
        self._progress.first_byte_at = now
        self._progress.status = int(status[0])
        own = b"x-weighbridge-request-id: %b\r\n\r\n" % self._call.id.encode("ascii")
        if self._progress.status == 101:
            self._open = True
            self._reader = self._reader_of(raw)
            self._write(raw[:-2] + own)
        else:
            self._write(raw[:-2] + own)
            length = answer_head(raw).content_length
            if length is not None and length <= len(rest):
                self._down(rest)
                self._end(Outcome.PROVIDER_ERROR if self._progress.status >= 400 else Outcome.COMPLETED)
                return
        if rest:
            self._down(rest)

    def _down(self, data: bytes) -> None:
        progress = self._progress
        if not progress.first_chunk_at:
            progress.first_chunk_at = self._gear.clock()
        progress.response_bytes += len(data)
        self._write(data)
        if self._open:
            for message in self._answered.feed(data):
                self._read(message)

    def _write(self, data: bytes) -> None:
        if self._app is not None and not self._app.is_closing():
            self._app.write(data)

    # ---- time

    def expire(self, now: float) -> None:
        """Enforce the deadlines; called by the sweeper."""
        verdict = overdue(self._progress, self._deadlines, 0.0, self._idle_since, now)
        if verdict is not None and not self._over:
            outcome, what = verdict
            if self._progress.first_byte_at:
                self._end(outcome)
            else:
                self._refuse(outcome, what)

    def shut_down(self) -> None:
        """The drain time is over."""
        self._end(Outcome.SHUTDOWN)

    # ---- the end

    def _clean(self, otherwise: Outcome) -> Outcome:
        """Completed where either side said goodbye."""
        status = self._progress.status
        if status is not None and status >= 400:
            return Outcome.PROVIDER_ERROR
        return Outcome.COMPLETED if self._asked.closed or self._answered.closed else otherwise

    def _refuse(self, outcome: Outcome, what: str) -> None:
        """The provider could not be had: our own error, as nothing was agreed yet."""
        if self._over:
            return
        target = self._call.target
        self._progress.status = 504 if outcome is Outcome.TIMEOUT else 502
        code = Code.CONNECT_FAILED if outcome is Outcome.CONNECT_FAILED else Code.PROTOCOL_ERROR
        message = f"{target.provider.title} {what}. Weighbridge call {self._call.id}."
        body = error_body(target.wire, self._progress.status, code, message)
        extra = b"x-weighbridge-request-id: %b\r\n" % self._call.id.encode("ascii")
        self._write(own_response(self._progress.status, body, extra, close=True))
        self._end(outcome)

    def _end(self, outcome: Outcome) -> None:
        """Record it, once, and let go of both sides."""
        if self._over:
            return
        self._over = True
        gear = self._gear
        gear.live.discard(self)
        self._progress.finished_at = gear.clock()
        reading = self._reader.reading() if self._reader is not None else Reading()
        gear.sink.closed(gear.weigh(self._call, self._progress, outcome, reading))
        for transport in (self._app, self._far):
            if transport is not None and not transport.is_closing():
                transport.close()

    # ---- looking on

    def _reader_of(self, head: bytes) -> Reader | None:
        call, target = self._call, self._call.target
        if target.wire is None:
            return None
        return target.wire.reader(
            Exchanged(
                call.method,
                target.path,
                target.query,
                call.ask,
                101,
                answer_head(head),
                b"",
                target.provider.canonical,
            )
        )

    def _read(self, message: bytes) -> None:
        reader = self._reader
        if reader is None or (reader.marks and not any(mark in message for mark in reader.marks)):
            return
        try:
            reader.event(b"", message)
        except Exception as error:  # a tap only looks on
            self._gear.defect(error)
