"""One call from dispatch to its end. Leaving it, in any way, publishes exactly one ``CallRecord``.

The exchange is driven by events (provider reads, app goes away, deadlines) and owns no task while bytes flow.
The order at the end of a call is fixed: read usage, append the record to the spool, only then write the last
bytes to the app.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final, Self

from gateway.admission import Waiting
from gateway.call import Call, Progress
from gateway.deadlines import overdue
from gateway.draining import GONE
from gateway.errors import KEY_ENDED, Code, Refusal, error_body
from gateway.gear import Client, Deadlines, Gear
from gateway.holding import HOLD_BYTES, Hold
from gateway.looking_on import ended, hides_usage, is_streamed, look, tap_of
from gateway.mishap import attended, stumbled
from gateway.passing import Passing
from gateway.reaching import reached
from gateway.recording import opening_record
from gateway.relay import RAW, Framing, chunk, framed, own_lines, own_response, response_head
from gateway.ticket import Ticket
from gateway.turns import Steps
from gateway.upstream import Connection
from gateway.whole import whole
from gateway.wire.tap import Tap, Witness
from gateway.wire.usage_injection import UsageFilter
from telemetry.outcome import Outcome

# Bound once: reading a member off its class costs as much as a function call.
_CANCELLED: Final = Outcome.CANCELLED


class Exchange:
    """See the module. Made by :mod:`gateway.proxy`, driven by the server, the pool and the sweeper."""

    __slots__ = (
        "_backlog",
        "_blocked_since",
        "_drain_until",
        "_hold",
        "_idle_since",
        "_passing",
        "call",
        "client",
        "close_client",
        "connecting",
        "connection",
        "deadlines",
        "filter",
        "framing",
        "gear",
        "head_sent",
        "notes",
        "over",
        "progress",
        "tap",
        "ticket",
        "witness",
    )

    def __init__(
        self, gear: Gear, client: Client, call: Call, progress: Progress, deadlines: Deadlines
    ) -> None:
        self.gear = gear
        self.client = client
        self.call = call
        self.progress = progress
        self.deadlines = deadlines
        self.close_client = False
        """Close the app's connection after this answer."""
        self.connection: Connection | None = None
        self.connecting: asyncio.Task[None] | None = None
        self.tap: Tap | None = None
        """Sees an answer that comes in pieces."""
        self.witness: Witness | None = None
        """Knows what the answer said: the tap, if there is one."""
        self.filter: UsageFilter | None = None
        self.framing = RAW
        self.head_sent = False
        self.notes = b""
        """Header lines for the answer, from admission."""
        self.ticket = Ticket(gear, call, progress)
        self.over = False
        """Nothing that happens from now on changes how it ends."""
        self._hold: Hold | None = None
        self._passing: Passing | None = None
        self._idle_since = 0.0
        """When the app began to read again."""
        self._blocked_since = 0.0
        self._drain_until = 0.0
        """The app has gone; until then the answer is read on."""
        self._backlog: tuple[bytes, ...] = ()
        """Pieces of the request body that wait for a connection."""

    # ---- one record, whatever happens

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not self.ticket.issued and not self._drain_until:
            if isinstance(error, Exception):
                self.gear.defect(error)
            left = error is None or isinstance(error, asyncio.CancelledError)
            self._fail(_CANCELLED if left else Outcome.GATEWAY_ERROR)

    def hold_back(self, held: bytes) -> None:
        """The first part of a body that is not whole yet: it goes up behind the request head."""
        self._backlog = (chunk(held) if self.call.chunked else held,)

    def wait(self, waiting: Waiting) -> None:
        """Go on record and out once ``waiting`` has decided that it may."""
        self.gear.live.add(self)
        self.connecting = self.gear.loop.create_task(attended(self, self._wait, waiting))

    def go_out(self) -> None:
        """The call is on record as opened: send it."""
        self.gear.live.add(self)
        self.attempt()

    async def _wait(self, waiting: Waiting) -> None:
        decided = await waiting()
        self.connecting = None
        if self.over:
            return
        refusal, self.notes = decided.refusal, decided.notes
        if refusal is None:
            try:
                self.gear.sink.opened(opening_record(self.call))
            except Refusal as refused:
                refusal = refused
            else:
                self.attempt()
        if refusal is not None:
            self.notes += refusal.header_lines
            self._end_with(Outcome.REFUSED, refusal.status, refusal.code, refusal.message)

    def attempt(self) -> None:
        """Send it to the provider."""
        try:
            connection = self.gear.pool.take(self.call.target.origin)
            if connection is not None:
                self._send(connection)
            else:
                self.connecting = self.gear.loop.create_task(attended(self, self._connect))
        except Exception as error:  # nobody else would end a call that never came to its provider
            stumbled(self, error)

    async def _connect(self) -> None:
        found = await reached(self.gear, self.call, self.progress, self.deadlines.connect)
        self.connecting = None
        if isinstance(found, str):
            if not self.over:
                self._give_up(Outcome.CONNECT_FAILED, 502, Code.CONNECT_FAILED, found)
        elif self.over:
            self.gear.pool.put(found)
        else:
            self._send(found)

    def _send(self, connection: Connection) -> None:
        progress = self.progress
        self.connection = connection
        progress.attempts += 1
        connection.send(self, self.call.request, head_only=self.call.method == "HEAD")
        if not progress.sent_at:
            progress.sent_at = connection.written_at
        if self.call.whole:
            progress.uploaded_at = progress.sent_at
        else:
            for piece in self._backlog:
                connection.write(piece)
            self._backlog = ()
            self.client.resume_upload()

    # ---- the app uploads more than was held

    def upload(self, data: bytes, count: int) -> None:
        """The next piece of the request body, framed; ``count`` is its size without the framing."""
        self.progress.request_bytes += count
        if self.connection is not None:
            self.connection.write(data)
        elif not self.over:
            self._backlog = (*self._backlog, data)
            self.client.pause_upload()  # until there is a connection

    def uploaded(self, tail: bytes) -> None:
        """The request body is complete; ``tail`` ends its framing."""
        if tail:
            self.upload(tail, 0)
        self.progress.uploaded_at = self.gear.clock()

    def client_exceeded(self, limit: int) -> None:
        """The app sends more than is allowed."""
        if not self.over:
            message = f"The request body is larger than {limit} bytes (limits.body_bytes)."
            self._end_with(Outcome.REFUSED, 413, Code.TOO_LARGE, message)

    def upstream_paused(self) -> None:
        self.progress.stuck_at = self.gear.clock()
        self.client.pause_upload()

    def upstream_resumed(self) -> None:
        self.progress.stuck_at = 0.0
        self.client.resume_upload()

    # ---- the provider answers

    def upstream_read(self, connection: Connection, data: bytes) -> None:
        if self.over:
            return
        progress, pieces, said = self.progress, connection.pieces, False
        progress.last_read_at = self.gear.clock()
        rest = data
        if not progress.first_byte_at:
            if not connection.status:
                return
            progress.first_byte_at = progress.last_read_at
            rest = connection.rest
            connection.raw = connection.rest = b""
            self._start_answer(connection)
            if self.over:
                return
        if pieces and connection.complete and not progress.first_chunk_at:
            self.tap, self.witness = None, whole(self.gear, self.call, progress, connection)
        elif pieces:
            said = look(pieces, progress, self.tap)
        body = rest if self.framing is RAW else framed(self.framing, pieces, connection.complete, self.filter)
        if connection.complete:
            self._finish(connection, body)
        elif said:
            waiter = self.ticket.issue(ended(connection), self.tap, with_cost=not self.head_sent)
            if waiter is not None and not waiter.done():
                connection.pause()
                waiter.add_done_callback(partial(self._deliver, connection, body))
            else:
                self._deliver(connection, body)
        elif self.head_sent and not connection.paused:
            if body:
                self.client.write(body)
            passing = self._passing
            if passing is not None and not connection.paused and passing.follows(data, pieces):
                connection.passing = passing.passes
        else:
            self._deliver(connection, body)

    def _start_answer(self, connection: Connection) -> None:
        call = self.call
        self.progress.status = connection.status
        if connection.status == 101:
            what = "switched protocols without being asked"
            self._give_up(Outcome.PROTOCOL_ERROR, 502, Code.PROTOCOL_ERROR, what)
            return
        if self.client.http10 and connection.head.chunked:
            self.framing = Framing.PLAIN
            self.close_client = True
        elif connection.until_close:
            self.close_client = True
        wire = call.target.wire
        if wire is None:
            return
        head = connection.head
        if call.hides_usage and hides_usage(head):
            self.filter = UsageFilter()
            if not self.client.http10:
                self.framing = Framing.CHUNKED
        if connection.complete and connection.pieces:
            return
        self.tap = self.witness = tap_of(self.gear, wire, call, connection.status, head)
        if not is_streamed(call, head):
            self._hold = Hold(self.gear.loop, self._release_held)
        elif head.chunked and not self.client.http10:
            self._passing = Passing(self.client, self.progress, self.tap, self.gear.clock)

    def _deliver(self, connection: Connection, body: bytes, _: object = None) -> None:
        """Write what this read brought of an answer that is not whole yet, unless it is held back."""
        if self.over:
            return
        try:
            if self._hold is not None:
                self._hold.pieces.append(body)
                if self.progress.response_bytes <= HOLD_BYTES:
                    return
                body = self._unhold()
            self._write(connection, body)
            if connection.paused and not self._blocked_since:
                connection.resume()
        except Exception as error:  # what calls back when the record is safe would only log it
            stumbled(self, error)

    def _write(self, connection: Connection, body: bytes) -> None:
        if not self.head_sent:
            extra = own_lines(self.call.id, self.notes, self.ticket.cost_lines)
            head = response_head(connection.head, self.framing, extra, close=self.close_client)
            self.head_sent = True
            self.client.write(head + body)
        elif body:
            self.client.write(body)

    def _finish(self, connection: Connection, body: bytes) -> None:
        """The answer is whole: it ends beside other calls that end now. ``body`` is its last part."""
        if self._hold is not None:
            self._hold.pieces.append(body)
            body = self._unhold()
        self.over = True
        self.gear.endings.join(self._last_steps(connection, body), self._break_off)

    def _last_steps(self, connection: Connection, body: bytes) -> Steps:
        ticket, waiter = self.ticket, None
        if not ticket.issued:
            ticket.read(ended(connection), self.witness, with_cost=not self.head_sent)
            yield None
            ticket.weigh()
            yield None
            record = ticket.ready()
            waiter = ticket.publish() if record is None else (yield record)
        if waiter is None or waiter.done():
            self._end(connection, body)
            return
        self.over = False  # deadlines count again, and whether the app is still there
        connection.pause()
        waiter.add_done_callback(partial(self._end, connection, body))

    def _end(self, connection: Connection, body: bytes, waited: object = None) -> None:
        if waited is not None and self.over:  # it went wrong meanwhile
            return
        self.over = True
        try:
            self._write(connection, body)
            self.gear.live.discard(self)
            unread_upload = not self.call.whole and not connection.keep
            close = self.close_client or unread_upload or connection.junk
            connection.release()
            self.connection = None
            self.client.end(close=close)
        except Exception as error:  # as in _deliver
            stumbled(self, error)

    def _break_off(self) -> None:
        """A defect of ours kept the end of a whole answer from being written."""
        self.progress.read_whole = True
        self.ticket.salvage(Outcome.GATEWAY_ERROR, self.witness)
        self.cut(Outcome.GATEWAY_ERROR)

    def _release_held(self) -> None:
        """The answer takes too long to be held until it is whole, or will never be."""
        try:
            connection, held = self.connection, self._unhold()
            if connection is not None and not self.over:
                self._write(connection, held)
        except Exception as error:  # as in _deliver: a timer calls this too
            stumbled(self, error)

    def _unhold(self) -> bytes:
        hold, self._hold = self._hold, None
        return b"" if hold is None else hold.take()

    # ---- it goes wrong

    def upstream_broken(self, connection: Connection, error: Exception | None) -> None:
        if self._hold is not None and self._hold.pieces:
            self._release_held()
        self.connection = None
        connection.abort()
        if self.over:
            return
        if self.filter is not None and self.head_sent:  # a cut shows as much as the provider sent
            rest = self.filter.end()
            self.client.write(chunk(rest) if self.framing is Framing.CHUNKED else rest)
        if error is not None:
            what = "answered with something that is not HTTP"
            self._give_up(Outcome.PROTOCOL_ERROR, 502, Code.PROTOCOL_ERROR, what)
        elif self.progress.first_byte_at or connection.status:
            self._give_up(Outcome.TRUNCATED, 502, Code.RESET, "cut its answer short")
        elif self.call.whole and self.progress.attempts == 1 and connection.was_stale:
            self.progress.attempt_reason = "stale_connection"
            self.attempt()
        else:
            self._give_up(Outcome.RESET, 502, Code.RESET, "closed the connection without an answer")

    upstream_mishap = stumbled

    def client_gone(self) -> None:
        """The app closed its connection: the provider's work is cancelled, or read on for its usage."""
        if self.over:
            return
        connection = self.connection
        if not self.deadlines.drain or connection is None or not self.head_sent or self.witness is None:
            self._fail(_CANCELLED)
        elif not self._drain_until:
            self.ticket.left = True
            self._drain_until = self.gear.clock() + self.deadlines.drain
            self._blocked_since = 0.0
            self.client = GONE
            self._passing = connection.passing = None
            connection.resume()

    def client_paused(self) -> None:
        """The app reads slower than the provider sends."""
        self._blocked_since = self.gear.clock()
        if self.connection is not None:
            self.connection.pause()

    def client_resumed(self) -> None:
        self._blocked_since = 0.0
        self._idle_since = self.gear.clock()
        if self.connection is not None:
            self.connection.resume()

    def expire(self, now: float) -> None:
        """Enforce the deadlines; called by the sweeper."""
        if self.over:
            return
        if self._drain_until and now > self._drain_until:
            self._fail(_CANCELLED)
            return
        idle_since = max(self.progress.last_read_at, self._idle_since)
        verdict = overdue(self.progress, self.deadlines, self._blocked_since, idle_since, now)
        if verdict is None:
            return
        outcome, what = verdict
        if outcome is _CANCELLED:  # the app stopped reading
            self._fail(outcome)
            self.client.cut()
        else:
            self._give_up(outcome, 504, Code.TIMEOUT, what)

    def shut_down(self) -> None:
        """The drain time is over."""
        if not self.over:
            what = "was interrupted: the gateway is shutting down"
            self._give_up(Outcome.SHUTDOWN, 503, Code.SHUTTING_DOWN, what)

    def revoke(self) -> None:
        """The key it was made with, or its secret, is no longer good: it ends here, and what it took is billed."""
        if not self.over:
            message = f"{KEY_ENDED} Weighbridge call {self.call.id}."
            self.stop(Outcome.REVOKED, 401, Code.KEY_REVOKED, message)

    def _give_up(self, outcome: Outcome, status: int, code: Code, what: str) -> None:
        """End a call that the provider does not complete."""
        target = self.call.target
        whose = f"{target.provider.title} ({target.authority.decode()})"
        self.stop(outcome, status, code, f"{whose} {what}. Weighbridge call {self.call.id}.")

    def stop(self, outcome: Outcome, status: int, code: Code, message: str) -> None:
        """Our error if the app has seen nothing yet, else a visible cut."""
        if self._hold is not None and self._hold.pieces:
            self._release_held()
        if self.over:  # to let it go was too much
            return
        if self.head_sent:
            self.cut(outcome)
        else:
            self._end_with(outcome, status, code, message)

    def cut(self, outcome: Outcome) -> None:
        self._fail(outcome)
        self.client.cut()

    def _end_with(self, outcome: Outcome, status: int, code: Code, message: str) -> None:
        """Answer with our own error; nothing has been written yet."""
        progress = self.progress
        progress.unanswered = progress.sent_at > 0 and (progress.status or 0) < 400
        progress.status = status
        if outcome is Outcome.REFUSED or outcome is Outcome.REVOKED:
            progress.code = code
        waiter = self._fail(outcome)
        body = error_body(self.call.target.wire, status, code, message)
        close = self.close_client or not self.call.whole
        lines = own_lines(self.call.id, self.notes, self.ticket.cost_lines)
        answer = own_response(status, body, lines, close=close)
        if waiter is not None:
            waiter.add_done_callback(lambda _: self._answer(answer, close))
        else:
            self._answer(answer, close)

    def _answer(self, answer: bytes, close: bool) -> None:
        self.client.write(answer)
        self.client.end(close=close)

    def _fail(self, outcome: Outcome) -> asyncio.Future[None] | None:
        """Record the end and let go of the provider."""
        self._unhold()
        self.over = True
        self.gear.live.discard(self)
        waiter = self.ticket.issue(outcome, self.witness, with_cost=not self.head_sent)
        if self.connecting is not None:
            self.connecting.cancel()
            self.connecting = None
        if self.connection is not None:
            self.connection.abort()
            self.connection = None
        return waiter
