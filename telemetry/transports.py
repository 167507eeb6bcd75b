"""Chooses the transport of a signal.

Only the transport that is configured is imported, and nothing at all when none is: OTLP/HTTP needs
``requests``, gRPC and the console need the OpenTelemetry SDK.
"""

from __future__ import annotations

from telemetry.config import Protocol, SignalPlan, TelemetryPlan
from telemetry.otlp import MetricSink, SpanSink


def span_sink(signal: SignalPlan, plan: TelemetryPlan, version: str) -> SpanSink:
    """The sink for traces; imports what it needs."""
    if signal.console:
        from telemetry.otlp_console import ConsoleSpans

        return ConsoleSpans(plan.resource, version)
    if signal.protocol is Protocol.GRPC:
        from telemetry.otlp_grpc import GrpcSpans

        return GrpcSpans(signal, plan.resource, version)
    from telemetry.otlp_http import HttpSpans

    return HttpSpans(signal, plan.resource, version)


def metric_sink(signal: SignalPlan, plan: TelemetryPlan, version: str) -> MetricSink:
    """The sink for metrics; imports what it needs."""
    if signal.console:
        from telemetry.otlp_console import ConsoleMetrics

        return ConsoleMetrics(plan.resource, version)
    if signal.protocol is Protocol.GRPC:
        from telemetry.otlp_grpc import GrpcMetrics

        return GrpcMetrics(signal, plan.resource, version)
    from telemetry.otlp_http import HttpMetrics

    return HttpMetrics(signal, plan.resource, version)
