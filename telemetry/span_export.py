"""Spans on their way out: collected into batches, kept while the collector is away, dropped only with a count.

Runs on the export thread and never waits: a failed request sets the time of the next try and returns, so that
the thread goes on draining its queue. Time is handed in, so tests need no sleep.
"""

from __future__ import annotations

import enum
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Final

from telemetry.notice import Notices
from telemetry.otlp import Fate, SpanSink
from telemetry.record import CallRecord
from telemetry.spans import SpanMaker, SpanStyle

_MAX_TRIES: Final = 12
"""With the back-off below: about five minutes."""
_LONGEST_WAIT: Final = 30.0


class DropReason(enum.StrEnum):
    """Why the spans of a call were not delivered."""

    QUEUE_FULL = "queue_full"
    """The export thread could not keep up, or the collector hung."""
    BACKLOG_FULL = "backlog_full"
    """The collector was away for longer than we keep spans."""
    REJECTED = "rejected"
    """The collector refused them for good."""
    EXPIRED = "expired"
    """Tried too often."""
    FAILED = "failed"
    """A defect of ours while the span was built."""
    SHUTDOWN = "shutdown"
    """Not delivered when we were stopped."""


class _Batch:
    __slots__ = ("opened", "records", "size", "spans", "tries")

    def __init__(self, opened: float) -> None:
        self.opened = opened
        self.spans: list[Any] = []
        self.records = 0
        self.size = 0
        self.tries = 0


class SpanExport:
    """Owned by the export thread. ``drops`` counts records by reason; ``delivered`` counts spans."""

    def __init__(
        self,
        sink: SpanSink,
        *,
        style: SpanStyle,
        batch_limit: int,
        backlog_bytes: int,
        flush_interval_s: float,
        timeout_s: float,
        clock: Callable[[], float],
        notices: Notices,
    ) -> None:
        self._sink = sink
        self._made = SpanMaker(style)
        self._batch_limit = batch_limit
        self._backlog_bytes = backlog_bytes
        self._flush_interval = flush_interval_s
        self._timeout = timeout_s
        self._clock = clock
        self._notices = notices
        self._open: _Batch | None = None
        self._backlog: deque[_Batch] = deque()
        self._backlog_size = 0
        self._retry_at = 0.0
        self.delivered = 0
        self.failures = 0
        self.pending = 0
        """Records built but not delivered."""
        # Every reason is there from the start: other threads copy this while it counts.
        self.drops: Counter[DropReason] = Counter(dict.fromkeys(DropReason, 0))

    def add(self, record: CallRecord) -> None:
        """Builds the spans of one record into the open batch."""
        spans = self._made.spans(record)
        if not spans:
            return
        batch = self._open
        if batch is None:
            batch = self._open = _Batch(self._clock())
        sink = self._sink
        for span in spans:
            encoded = sink.encode(span)
            batch.spans.append(encoded)
            batch.size += sink.size(encoded)
        batch.records += 1
        self.pending += 1
        if len(batch.spans) >= self._batch_limit:
            self._close_batch()

    def due(self) -> float | None:
        """Clock time at which :meth:`work` has something to do; ``None`` while there is nothing."""
        if self._backlog:
            return self._retry_at
        return self._open.opened + self._flush_interval if self._open is not None else None

    def work(self) -> None:
        """Sends what is due, until nothing is or a request fails."""
        now = self._clock()
        if self._open is not None and now - self._open.opened >= self._flush_interval:
            self._close_batch()
        while self._backlog and self._clock() >= self._retry_at:
            if not self._send_first(self._timeout):
                return

    def finish(self, deadline: float) -> None:
        """Sends what can be sent before ``deadline`` (clock time), counts the rest as dropped."""
        if self._open is not None:
            self._close_batch()
        while self._backlog:
            left = deadline - self._clock()
            if left <= 0 or not self._send_first(min(self._timeout, left)):
                break
        self.abandon()

    def abandon(self) -> None:
        """Counts all that is left as dropped."""
        if self._open is not None:
            self._close_batch()
        while self._backlog:
            self._drop_first(DropReason.SHUTDOWN)

    def _close_batch(self) -> None:
        batch, self._open = self._open, None
        if batch is None:
            return
        self._backlog.append(batch)
        self._backlog_size += batch.size
        while self._backlog_size > self._backlog_bytes and len(self._backlog) > 1:
            self._drop_first(DropReason.BACKLOG_FULL)

    def _send_first(self, timeout_s: float) -> bool:
        """True if the first batch is gone, one way or another."""
        batch = self._backlog[0]
        batch.tries += 1
        delivery = self._sink.send(batch.spans, timeout_s)
        if delivery.fate is Fate.DELIVERED:
            self._pop_first()
            self.delivered += len(batch.spans)
            self._retry_at = 0.0
            return True
        self.failures += 1
        if delivery.fate is Fate.REJECTED or batch.tries >= _MAX_TRIES:
            self._drop_first(DropReason.REJECTED if delivery.fate is Fate.REJECTED else DropReason.EXPIRED)
            self._notices.warn("spans", f"spans of {batch.records} calls dropped: {delivery.detail}")
            return True
        wait = min(2.0 ** min(batch.tries - 1, 6), _LONGEST_WAIT)
        if delivery.retry_after_s is not None:
            wait = max(wait, delivery.retry_after_s)
        self._retry_at = self._clock() + wait
        self._notices.warn("spans", f"span export failed, trying again: {delivery.detail}")
        return False

    def _drop_first(self, reason: DropReason) -> None:
        self.drops[reason] += self._pop_first().records

    def _pop_first(self) -> _Batch:
        batch = self._backlog.popleft()
        self._backlog_size -= batch.size
        self.pending -= batch.records
        return batch
