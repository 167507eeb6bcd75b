"""OTLP over gRPC, through the official exporters (grpc is heavy: only imported when configured)."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics.export import MetricExportResult
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from telemetry.config import SignalPlan
from telemetry.metrics import Collection
from telemetry.otlp import DELIVERED, Delivery, Fate
from telemetry.otlp_sdk import SdkForms
from telemetry.spans import SpanData

_FAILED = Delivery(Fate.RETRY, "gRPC export failed")
_TYPICAL_SPAN = 4096
_EXPORT_LOG = "opentelemetry.exporter.otlp.proto.grpc.exporter"


class _Quiet(logging.Filter):
    """The exporter logs every failure; ours are counted and logged at a bounded rate instead."""

    def filter(self, record: logging.LogRecord) -> bool:
        return False


class GrpcSpans:
    """Spans. The exporter retries within its timeout; it does not tell why it failed."""

    def __init__(self, plan: SignalPlan, resource: tuple[tuple[str, str], ...], version: str) -> None:
        self._forms = SdkForms(resource, version)
        self._quiet = _Quiet()
        logging.getLogger(_EXPORT_LOG).addFilter(self._quiet)
        self._exporter = OTLPSpanExporter(
            endpoint=plan.endpoint, insecure=plan.insecure, headers=_metadata(plan), timeout=plan.timeout_s
        )

    def encode(self, span: SpanData) -> ReadableSpan:
        return self._forms.span(span)

    def size(self, encoded: ReadableSpan) -> int:
        return _TYPICAL_SPAN

    def send(self, batch: Sequence[ReadableSpan], timeout_s: float) -> Delivery:
        return DELIVERED if self._exporter.export(batch) is SpanExportResult.SUCCESS else _FAILED

    def close(self) -> None:
        self._exporter.shutdown()
        logging.getLogger(_EXPORT_LOG).removeFilter(self._quiet)


class GrpcMetrics:
    """Metrics."""

    def __init__(self, plan: SignalPlan, resource: tuple[tuple[str, str], ...], version: str) -> None:
        self._forms = SdkForms(resource, version)
        self._quiet = _Quiet()
        logging.getLogger(_EXPORT_LOG).addFilter(self._quiet)
        self._exporter = OTLPMetricExporter(
            endpoint=plan.endpoint, insecure=plan.insecure, headers=_metadata(plan), timeout=plan.timeout_s
        )

    def send(self, collection: Collection, timeout_s: float) -> Delivery:
        result = self._exporter.export(self._forms.metrics(collection), timeout_millis=timeout_s * 1000)
        return DELIVERED if result is MetricExportResult.SUCCESS else _FAILED

    def close(self) -> None:
        self._exporter.shutdown()
        logging.getLogger(_EXPORT_LOG).removeFilter(self._quiet)


def _metadata(plan: SignalPlan) -> tuple[tuple[str, str], ...]:
    """gRPC refuses upper-case names."""
    return tuple((name.lower(), value) for name, value in plan.headers)
