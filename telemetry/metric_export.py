"""Metrics on their way out, once per interval. Runs on the export thread; time is handed in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from telemetry.metrics import Metrics
from telemetry.notice import Notices
from telemetry.otlp import Fate, MetricSink
from telemetry.record import CallRecord

_NO_METRICS_HERE: Final = frozenset({404, 405})
"""What collectors that only take traces answer (Phoenix, MLflow)."""


class MetricExport:
    """Owned by the export thread. Once ``stopped``, nothing is measured or sent any more."""

    def __init__(
        self,
        sink: MetricSink,
        metrics: Metrics,
        *,
        interval_s: float,
        timeout_s: float,
        clock: Callable[[], float],
        notices: Notices,
    ) -> None:
        self._sink = sink
        self._metrics = metrics
        self._interval = interval_s
        self._timeout = timeout_s
        self._clock = clock
        self._notices = notices
        self._next = clock() + interval_s
        self.stopped = False
        self.delivered = 0
        self.failures = 0

    def add(self, record: CallRecord) -> None:
        """Measures one record."""
        if not self.stopped:
            self._metrics.observe(record)

    def due(self) -> float | None:
        """Clock time of the next export; ``None`` once stopped."""
        return None if self.stopped else self._next

    def work(self) -> None:
        """Exports if the interval is over."""
        if not self.stopped and self._clock() >= self._next:
            self._next = self._clock() + self._interval
            self._send(self._timeout)

    def finish(self, deadline: float) -> None:
        """A last export, if there is time left before ``deadline`` (clock time)."""
        left = deadline - self._clock()
        if not self.stopped and left > 0:
            self._send(min(self._timeout, left))

    def _send(self, timeout_s: float) -> None:
        collection = self._metrics.collect()
        if not collection.metrics:
            return
        delivery = self._sink.send(collection, timeout_s)
        if delivery.fate is Fate.DELIVERED:
            self._metrics.delivered(collection)
            self.delivered += 1
            return
        self.failures += 1
        if delivery.status in _NO_METRICS_HERE:
            self.stopped = True
            self._notices.warn(
                "no_metrics",
                f"metric export stopped: the endpoint takes no metrics ({delivery.detail}); "
                "set OTEL_METRICS_EXPORTER=none, or an endpoint for metrics",
            )
            return
        self._notices.warn("metrics", f"metric export failed: {delivery.detail}")
