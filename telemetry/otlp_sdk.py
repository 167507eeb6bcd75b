"""Our spans and metrics as objects of the OpenTelemetry SDK, for the exporters that take those."""

from __future__ import annotations

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from telemetry import names
from telemetry.config import Temporality
from telemetry.metrics import Collection, HistogramPoint, MetricData
from telemetry.spans import SpanData
from telemetry.spans import SpanKind as Kind

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_KINDS = {Kind.SERVER: SpanKind.SERVER, Kind.CLIENT: SpanKind.CLIENT}
_TEMPORALITY = {
    Temporality.CUMULATIVE: AggregationTemporality.CUMULATIVE,
    Temporality.DELTA: AggregationTemporality.DELTA,
}


class SdkForms:
    """Builds SDK objects of one process (one resource, one scope)."""

    def __init__(self, resource: tuple[tuple[str, str], ...], version: str) -> None:
        self._resource = Resource(dict(resource))
        self._scope = InstrumentationScope(names.SCOPE_NAME, version or None, names.SCHEMA_URL)

    def span(self, span: SpanData) -> ReadableSpan:
        """A finished span. Built directly: starting and ending an SDK span costs ten times as much."""
        state = TraceState.from_header([span.state]) if span.state else None
        parent = None
        if span.parent_span_id:
            parent = SpanContext(span.trace_id, span.parent_span_id, span.parent_is_remote, _SAMPLED, state)
        links: tuple[Link, ...] = ()
        if span.link is not None:
            links = (Link(SpanContext(*span.link, is_remote=True, trace_flags=_SAMPLED)),)
        return ReadableSpan(
            name=span.steady.name,
            context=SpanContext(span.trace_id, span.span_id, False, _SAMPLED, state),
            parent=parent,
            resource=self._resource,
            attributes=span.attributes,
            links=links,
            kind=_KINDS[span.steady.kind],
            status=Status(StatusCode.ERROR if span.steady.failed else StatusCode.UNSET),
            start_time=span.start_ns,
            end_time=span.end_ns,
            instrumentation_scope=self._scope,
        )

    def metrics(self, collection: Collection) -> MetricsData:
        """All metrics of one interval."""
        metrics = [_metric(metric, collection) for metric in collection.metrics]
        scoped = ScopeMetrics(self._scope, metrics, names.SCHEMA_URL)
        return MetricsData([ResourceMetrics(self._resource, [scoped], "")])


def _metric(metric: MetricData, collection: Collection) -> Metric:
    start, end = collection.start_ns, collection.end_ns
    temporality = _TEMPORALITY[collection.temporality]
    histogram: list[HistogramDataPoint] = []
    numbers: list[NumberDataPoint] = []
    for point in metric.points:
        labels = dict(point.labels)
        if isinstance(point, HistogramPoint):
            histogram.append(
                HistogramDataPoint(
                    labels,
                    start,
                    end,
                    point.count,
                    point.total,
                    point.buckets,
                    metric.bounds,
                    point.low,
                    point.high,
                )
            )
        else:
            numbers.append(NumberDataPoint(labels, start, end, point.value))
    if metric.bounds:
        return Metric(metric.name, metric.description, metric.unit, Histogram(histogram, temporality))
    return Metric(metric.name, metric.description, metric.unit, Sum(numbers, temporality, True))
