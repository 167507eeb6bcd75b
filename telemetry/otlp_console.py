"""Spans and metrics as text on standard output (``OTEL_TRACES_EXPORTER=console``), for a look during set-up."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.sdk.metrics.export import ConsoleMetricExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import ConsoleSpanExporter

from telemetry.metrics import Collection
from telemetry.otlp import DELIVERED, Delivery
from telemetry.otlp_sdk import SdkForms
from telemetry.spans import SpanData

_TYPICAL_SPAN = 4096


class ConsoleSpans:
    """Spans."""

    def __init__(self, resource: tuple[tuple[str, str], ...], version: str) -> None:
        self._forms = SdkForms(resource, version)
        self._exporter = ConsoleSpanExporter()

    def encode(self, span: SpanData) -> ReadableSpan:
        return self._forms.span(span)

    def size(self, encoded: ReadableSpan) -> int:
        return _TYPICAL_SPAN

    def send(self, batch: Sequence[ReadableSpan], timeout_s: float) -> Delivery:
        self._exporter.export(batch)
        return DELIVERED

    def close(self) -> None:
        self._exporter.shutdown()


class ConsoleMetrics:
    """Metrics."""

    def __init__(self, resource: tuple[tuple[str, str], ...], version: str) -> None:
        self._forms = SdkForms(resource, version)
        self._exporter = ConsoleMetricExporter()

    def send(self, collection: Collection, timeout_s: float) -> Delivery:
        self._exporter.export(self._forms.metrics(collection))
        return DELIVERED

    def close(self) -> None:
        self._exporter.shutdown()
