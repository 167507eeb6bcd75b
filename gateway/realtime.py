"""WebSocket connections: passed through both ways byte for byte, and recorded once, at their end.

A front hands the app's transport over with the request head, and gets ``connection_lost`` back at the end. Until the
provider has agreed (101) nothing the app sends goes up: behind a refusal it would be read as another request. From
then on bytes pass as they come, with back-pressure, and copies of the messages are read for usage.
``Sec-WebSocket-Extensions`` does not go upstream: without compression the messages can be read.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from gateway.admission import FREE, Admitted, Waiting
from gateway.call import Call, Progress, RequestHead
from gateway.deadlines import overdue
from gateway.errors import KEY_ENDED, Code, Refusal, error_body
from gateway.gear import Client, Deadlines, Gear
from gateway.mishap import attended, stumbled
from gateway.reaching import reached
from gateway.recording import NO_READING, opening_record
from gateway.relay import RAW, own_response, response_head
from gateway.ticket import read_off, weighed
from gateway.upstream import Connection
from gateway.wire.contract import Exchanged, Reader
from gateway.wire.websocket import Messages
from telemetry.outcome import Outcome

MOST_MESSAGE: Final = 1_048_576
"""Bytes of one message that are read; larger ones pass unread."""
MOST_EARLY: Final = 65_536
"""Bytes of the app that are held until the provider has agreed; then the app is no longer read."""
_COMPLETED: Final = Outcome.COMPLETED
_PROVIDER_ERROR: Final = Outcome.PROVIDER_ERROR


class Side(Client, Protocol):
    """The app's connection, as the front that accepted it keeps it."""

    def connection_lost(self, exc: Exception | None) -> None: ...


def is_websocket(head: RequestHead) -> bool:
    """Does this request ask for a WebSocket (RFC 6455 section 4.1)?"""
    seen = head.scan.seen
    return (
        seen.get(b"upgrade", b"").lower() == b"websocket"
        and b"upgrade" in seen.get(b"connection", b"").lower()
        and head.method == "GET"
        and not (head.http10 or head.chunked or head.content_length)
    )


class Far(asyncio.Protocol):
    """The provider's side, once it has agreed."""

    def __init__(self, tunnel: Tunnel) -> None:
        self._tunnel = tunnel

    def data_received(self, data: bytes) -> None:
        self._tunnel.provider_sent(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._tunnel.provider_gone()

    def pause_writing(self) -> None:
        self._tunnel.upstream_paused()

    def resume_writing(self) -> None:
        self._tunnel.upstream_resumed()


class Tunnel(asyncio.Protocol):
    """The app's side, the receiver of the provider's first answer, and the one record of the connection."""

    def __init__(
        self,
        gear: Gear,
        call: Call,
        progress: Progress,
        deadlines: Deadlines,
        side: Side,
        admitted: Admitted = FREE,
    ) -> None:
        self.gear = gear
        self.call = call
        self._progress = progress
        self._deadlines = deadlines
        self._side = side
        self._app: asyncio.Transport | None = None
        self._asking: Connection | None = None
        """The provider was asked and has not agreed."""
        self._far: asyncio.Transport | None = None
        """The provider has agreed: messages pass."""
        self._early = bytearray()
        self._asked = Messages(MOST_MESSAGE)
        self._answered = Messages(MOST_MESSAGE)
        self._reader: Reader | None = None
        self._admitted = admitted
        self._own = self._lines(admitted.notes)
        self._answers = False
        """The app has seen something of an answer."""
        self.over = False
        self._idle_since = gear.clock()
        self._blocked_since = 0.0
        """When the app stopped reading; 0.0: it reads."""
        self._task: asyncio.Task[None] | None = None

    def begin(self, app: asyncio.Transport, early: bytes) -> None:
        """Take the app's connection over, with what it sent behind its request, and go to the provider.

        Raises :class:`gateway.errors.Refusal`, and then has taken nothing over.
        """
        if self._admitted.waiting is None:
            self.gear.sink.opened(opening_record(self.call))
        self.gear.live.add(self)
        self._app = app
        app.set_protocol(self)
        app.resume_reading()
        self._task = self.gear.loop.create_task(attended(self, self._connect))
        if early:
            self.data_received(early)

    def _lines(self, notes: bytes) -> bytes:
        return b"x-weighbridge-request-id: %b\r\n%b" % (self.call.id.encode("ascii"), notes)

    async def _may_go(self, waiting: Waiting) -> bool:
        """Wait for the decision; a refusal is answered."""
        decided = await waiting()
        refusal, self._own = decided.refusal, self._lines(decided.notes)
        if refusal is None and not self.over:
            try:
                self.gear.sink.opened(opening_record(self.call))
            except Refusal as refused:
                refusal = refused
        if refusal is not None and not self.over:
            self._own += refusal.header_lines
            self._progress.code = refusal.code
            self._tell(Outcome.REFUSED, refusal.status, refusal.code, refusal.message)
        return not self.over

    async def _connect(self) -> None:
        waiting = self._admitted.waiting
        if waiting is not None and not await self._may_go(waiting):
            return
        progress = self._progress
        connection = await reached(self.gear, self.call, progress, self._deadlines.connect)
        if isinstance(connection, str):
            self._refuse(Outcome.CONNECT_FAILED, 502, Code.CONNECT_FAILED, connection)
            return
        progress.sent_at = progress.uploaded_at = self.gear.clock()
        if self.over:
            connection.abort()
            return
        self._asking = connection
        progress.attempts = 1
        connection.send(self, self.call.request, head_only=False)

    # ---- asyncio.Protocol of the app's connection

    def data_received(self, data: bytes) -> None:
        self._progress.request_bytes += len(data)
        self._idle_since = self.gear.clock()
        if self._far is not None:
            self._pass_up(data)
        elif not self.over:
            self._early += data
            if len(self._early) > MOST_EARLY:
                self.upstream_paused()

    def connection_lost(self, exc: Exception | None) -> None:
        self._app = None
        self._end(self._goodbye(Outcome.CANCELLED))
        self._side.connection_lost(exc)

    def pause_writing(self) -> None:
        self._blocked_since = self.gear.clock()
        if self._asking is not None:
            self._asking.pause()
        elif self._far is not None and not self._far.is_closing():
            self._far.pause_reading()

    def resume_writing(self) -> None:
        self._blocked_since = 0.0
        self._idle_since = self.gear.clock()
        if self._asking is not None:
            self._asking.resume()
        elif self._far is not None and not self._far.is_closing():
            self._far.resume_reading()

    def _pass_up(self, data: bytes) -> None:
        if self._far is None or self._far.is_closing():
            return
        try:
            self._far.write(data)
            for message in self._asked.feed(data):
                if b'"setup"' in message:
                    self._read(message)
        except Exception as error:  # as in Connection.data_received
            stumbled(self, error)

    # ---- gateway.upstream.Receiver: the provider's answer to the request

    def upstream_read(self, connection: Connection, data: bytes) -> None:
        now = self.gear.clock()
        progress, status = self._progress, connection.status
        progress.last_read_at = self._idle_since = now
        if not status:
            return
        if not progress.first_byte_at:
            progress.first_byte_at = now
            progress.status = status
            data = connection.raw[connection.body_at :]
            if status == 101:
                self._agreed(connection, data)
                return
            self._write(response_head(connection.head, RAW, self._own, close=True))
        self._down(data)
        if connection.complete:
            self._end(_PROVIDER_ERROR if status >= 400 else _COMPLETED)

    def upstream_broken(self, connection: Connection, error: Exception | None) -> None:
        if self._progress.first_byte_at:
            self._end(self._goodbye(Outcome.TRUNCATED))
        elif error is not None:
            what = "answered with something that is not HTTP"
            self._refuse(Outcome.PROTOCOL_ERROR, 502, Code.PROTOCOL_ERROR, what)
        else:
            self._refuse(Outcome.RESET, 502, Code.RESET, "closed the connection without an answer")

    def upstream_mishap(self, error: Exception) -> None:
        stumbled(self, error)

    def upstream_paused(self) -> None:
        if self._app is not None and not self._app.is_closing():
            self._app.pause_reading()

    def upstream_resumed(self) -> None:
        if self._app is not None and not self._app.is_closing():
            self._app.resume_reading()

    def _agreed(self, connection: Connection, data: bytes) -> None:
        transport = connection.transport
        assert transport is not None
        self._far = transport
        connection.receiver = self._asking = None
        self.gear.pool.forget(connection)
        transport.set_protocol(Far(self))
        self._reader = self._reader_of(connection)
        self._write(connection.raw[: connection.body_at - 2] + self._own + b"\r\n")
        if data:
            self.provider_sent(data)
        early, self._early = bytes(self._early), bytearray()
        self.upstream_resumed()
        if early:
            self._pass_up(early)

    # ---- the provider's side, once it has agreed

    def provider_sent(self, data: bytes) -> None:
        if self.over:
            return
        self._progress.last_read_at = self._idle_since = self.gear.clock()
        try:
            self._down(data)
            for message in self._answered.feed(data):
                self._read(message)
        except Exception as error:  # as in Connection.data_received
            stumbled(self, error)

    def provider_gone(self) -> None:
        self._end(self._goodbye(Outcome.TRUNCATED))

    def _down(self, data: bytes) -> None:
        progress = self._progress
        if data and not progress.first_chunk_at:
            progress.first_chunk_at = progress.last_read_at
        progress.response_bytes += len(data)
        self._write(data)

    def _write(self, data: bytes) -> None:
        self._answers = True
        if self._app is not None and not self._app.is_closing():
            self._app.write(data)

    # ---- time

    def expire(self, now: float) -> None:
        """Enforce the deadlines; called by the sweeper."""
        verdict = overdue(self._progress, self._deadlines, self._blocked_since, self._idle_since, now)
        if verdict is not None:
            outcome, what = verdict
            self._refuse(outcome, 504, Code.TIMEOUT, what)

    def shut_down(self) -> None:
        """The drain time is over."""
        why = "was interrupted: the gateway is shutting down"
        self._refuse(Outcome.SHUTDOWN, 503, Code.SHUTTING_DOWN, why)

    def revoke(self) -> None:
        """The key it was made with, or its secret, is no longer good."""
        self.stop(Outcome.REVOKED, 401, Code.KEY_REVOKED, KEY_ENDED)

    # ---- the end

    def _goodbye(self, otherwise: Outcome) -> Outcome:
        """How it ended: completed where either side said goodbye before the connection went."""
        status = self._progress.status
        if status is not None and status >= 400:
            return _PROVIDER_ERROR
        return _COMPLETED if self._asked.closed or self._answered.closed else otherwise

    def _refuse(self, outcome: Outcome, status: int, code: Code, what: str) -> None:
        """End what the provider does not complete."""
        title = self.call.target.provider.title
        self.stop(outcome, status, code, f"{title} {what}. Weighbridge call {self.call.id}.")

    def stop(self, outcome: Outcome, status: int, code: Code, message: str) -> None:
        """Our error if the app has seen nothing yet, else a visible cut."""
        if self._answers:
            self._end(outcome)
        else:
            self._tell(outcome, status, code, message)

    def cut(self, outcome: Outcome) -> None:
        self._end(outcome)

    def _tell(self, outcome: Outcome, status: int, code: Code, message: str) -> None:
        """Answer the app's request with our own error."""
        if self.over:
            return
        self._progress.status = status
        body = error_body(self.call.target.wire, status, code, message)
        self._write(own_response(status, body, self._own, close=True))
        self._end(outcome)

    def _end(self, outcome: Outcome) -> None:
        """Record it, once, and let go of both sides."""
        if self.over:
            return
        self.over = True
        gear = self.gear
        gear.live.discard(self)
        self._early.clear()
        self._progress.finished_at = gear.clock()
        reading = NO_READING if self._reader is None else read_off(gear, self._reader.reading)
        gear.sink.closed(weighed(gear, self.call, self._progress, outcome, reading))
        if self._asking is not None:
            self._asking.abort()
        if self._far is not None and not self._far.is_closing():
            self._far.close()
        if self._app is not None:
            self._side.cut()

    # ---- looking on

    def _reader_of(self, connection: Connection) -> Reader | None:
        call, target = self.call, self.call.target
        # A socket nobody reads is not free for being asked with GET.
        if target.wire is None or target.wire.fallback:
            return None
        return target.wire.reader(
            Exchanged(
                call.method,
                target.path,
                target.query,
                call.ask,
                101,
                connection.head,
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
            self.gear.defect(error)
