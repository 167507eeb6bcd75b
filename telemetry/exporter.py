"""The exporter the proxy hands every finished record to.

``put`` appends to a bounded queue and returns; one daemon thread makes spans and metrics of the records and
sends them. Whatever the collector does (down, hanging, refusing), the only effect on a call is that of one
append, memory stays bounded and what was lost is counted. With no endpoint configured there is no thread, and
neither OpenTelemetry nor an HTTP client is imported.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from telemetry.config import TelemetryConfig, TelemetryPlan, resolve
from telemetry.metric_export import MetricExport
from telemetry.metrics import Metrics
from telemetry.notice import Notices
from telemetry.record import CallRecord
from telemetry.span_export import DropReason, SpanExport
from telemetry.transports import metric_sink, span_sink

_SLICE: Final = 16
"""Records handled at a stretch. Between stretches the thread sleeps for a moment: while it computes it holds
the interpreter, and the event loop would wait for a whole switch interval (5 ms) to get it back."""
_PAUSE_S: Final = 0.0005

_logger = logging.getLogger(__name__)


class TelemetryStats(msgspec.Struct, frozen=True):
    """Counts since the start. ``drops`` counts calls whose spans were not delivered, by reason."""

    enabled: bool
    accepted: int = 0
    queued: int = 0
    """Waiting for the thread."""
    pending: int = 0
    """Built, waiting for the collector."""
    spans_delivered: int = 0
    span_failures: int = 0
    """Requests that failed, those that are tried again included."""
    metrics_delivered: int = 0
    metric_failures: int = 0
    metrics_stopped: bool = False
    """The endpoint takes no metrics."""
    drops: Mapping[DropReason, int] = {}


class TelemetryExporter:
    """One per process, made before its event loop runs or on it; ``put`` belongs to one thread."""

    def __init__(
        self, plan: TelemetryPlan, *, version: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._plan = plan
        self._version = version
        self._clock = clock
        self._queue: deque[CallRecord] = deque()
        self._limit = plan.queue_limit
        self._wake_at = min(plan.batch_limit, max(1, plan.queue_limit // 2))
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._deadline: float | None = None
        self._done: Callable[[], None] = _nothing
        self._spans: SpanExport | None = None
        self._metrics: MetricExport | None = None
        self._closers: list[Callable[[], None]] = []
        self._accepted = 0
        self._drops: Counter[DropReason] = Counter(dict.fromkeys(DropReason, 0))
        self._failed_start = False
        self.put: Callable[[CallRecord], None] = _ignore
        """Hands over one finished record: never blocks, never raises."""

    @classmethod
    def from_config(
        cls,
        config: TelemetryConfig,
        environ: Mapping[str, str],
        *,
        version: str = "",
        instance_id: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> TelemetryExporter:
        """Settings and ``OTEL_*`` variables decide; see :func:`telemetry.config.resolve`."""
        return cls(resolve(config, environ, instance_id), version=version, clock=clock)

    @property
    def plan(self) -> TelemetryPlan:
        return self._plan

    def start(self) -> None:
        """Starts the thread, if there is anything to export; in the process that serves, not before a fork.

        Never raises: an exporter that cannot be set up is logged as an error and exports nothing.
        """
        for warning in self._plan.warnings:
            _logger.warning("telemetry: %s", warning)
        if not self._plan.enabled or self._thread is not None:
            return
        try:
            self._open_sinks()
        except Exception:  # shown in stats and log; calls go on
            self._failed_start = True
            _logger.exception("telemetry: nothing is exported, the exporter could not be set up")
            return
        self._thread = threading.Thread(target=self._run, name="telemetry-export", daemon=True)
        self._thread.start()
        self.put = self._enqueue

    async def stop(self, timeout: float) -> None:
        """Sends what is left, for at most ``timeout`` seconds; then leaves the thread to itself (it is a daemon).

        Records that come later are ignored.
        """
        thread, self.put = self._thread, _ignore
        if thread is None:
            return
        loop, finished = asyncio.get_running_loop(), asyncio.Event()

        def done() -> None:
            with contextlib.suppress(RuntimeError):  # the loop may be closed by then
                loop.call_soon_threadsafe(finished.set)

        self._done = done
        self._deadline = self._clock() + timeout
        self._wake.set()
        if not thread.is_alive():
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(finished.wait(), timeout)
        if not finished.is_set():
            _logger.warning("telemetry: the collector did not answer in time, what was left is dropped")

    def stats(self) -> TelemetryStats:
        """A snapshot; may be taken on any thread."""
        spans, metrics = self._spans, self._metrics
        return TelemetryStats(
            enabled=self._plan.enabled and not self._failed_start,
            accepted=self._accepted,
            queued=len(self._queue),
            pending=spans.pending if spans else 0,
            spans_delivered=spans.delivered if spans else 0,
            span_failures=spans.failures if spans else 0,
            metrics_delivered=metrics.delivered if metrics else 0,
            metric_failures=metrics.failures if metrics else 0,
            metrics_stopped=metrics.stopped if metrics else False,
            drops=dict(self._drops + spans.drops) if spans else dict(+self._drops),
        )

    def _enqueue(self, record: CallRecord) -> None:
        queue = self._queue
        waiting = len(queue)
        if waiting >= self._limit:
            self._drops[DropReason.QUEUE_FULL] += 1
            return
        self._accepted += 1
        queue.append(record)
        if waiting == self._wake_at:
            self._wake.set()

    def _open_sinks(self) -> None:
        plan = self._plan
        notices = Notices(_logger, self._clock)
        if plan.traces is not None:
            spans = span_sink(plan.traces, plan, self._version)
            self._closers.append(spans.close)
            self._spans = SpanExport(
                spans,
                style=plan.span_style,
                batch_limit=plan.batch_limit,
                backlog_bytes=plan.backlog_bytes,
                flush_interval_s=plan.flush_interval_s,
                timeout_s=plan.traces.timeout_s,
                clock=self._clock,
                notices=notices,
            )
        if plan.metrics is not None:
            sink = metric_sink(plan.metrics, plan, self._version)
            self._closers.append(sink.close)
            metrics = Metrics(
                generation=plan.metrics_names,
                temporality=plan.temporality,
                provider_names=plan.span_style.provider_names,
                now_ns=time.time_ns,
            )
            self._metrics = MetricExport(
                sink,
                metrics,
                interval_s=plan.metrics_interval_s,
                timeout_s=plan.metrics.timeout_s,
                clock=self._clock,
                notices=notices,
            )

    def _run(self) -> None:
        try:
            while self._deadline is None:
                self._wake.wait(self._idle_time())
                self._wake.clear()
                self._turn()
            self._drain(pause=False)
            self._finish(self._deadline)
        finally:
            for close in self._closers:
                close()
            self._done()

    def _turn(self) -> None:
        """One round of the thread. A defect costs this round's work, not the thread."""
        try:
            self._drain(pause=True)
            if self._spans is not None:
                self._spans.work()
            if self._metrics is not None:
                self._metrics.work()
        except Exception:  # counted; the next round must run
            self._drops[DropReason.FAILED] += 1
            _logger.exception("telemetry: a round of the export thread failed")

    def _drain(self, *, pause: bool) -> None:
        queue = self._queue
        while queue:
            for _ in range(min(_SLICE, len(queue))):
                self._handle(queue.popleft())
            if pause and self._deadline is None:
                time.sleep(_PAUSE_S)

    def _handle(self, record: CallRecord) -> None:
        try:
            if self._metrics is not None:
                self._metrics.add(record)
            if self._spans is not None:
                self._spans.add(record)
        except Exception:  # counted; one bad record must not take others with it
            self._drops[DropReason.FAILED] += 1
            _logger.debug("telemetry: record %s could not be exported", record.id, exc_info=True)

    def _idle_time(self) -> float:
        """Seconds to sleep. New records do not wake the thread until a batch is full, so never for longer
        than the flush interval."""
        longest = self._plan.flush_interval_s
        now = self._clock()
        for part in (self._spans, self._metrics):
            due = part.due() if part is not None else None
            if due is not None:
                longest = min(longest, max(0.0, due - now))
        return longest

    def _finish(self, deadline: float) -> None:
        # Metrics are one small request; a collector that hangs on it must leave time for the spans.
        if self._metrics is not None:
            now = self._clock()
            self._metrics.finish(now + (deadline - now) / 3)
        if self._spans is not None:
            self._spans.finish(deadline)


def _ignore(record: CallRecord) -> None:
    """``put`` of an exporter that exports nothing."""


def _nothing() -> None:
    """Nobody waits for the end."""
