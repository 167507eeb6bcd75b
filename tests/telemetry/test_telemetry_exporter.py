"""The exporter against collectors on real sockets: well, absent, hanging and refusing."""

from __future__ import annotations

import asyncio
import logging
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from otel.collector import Collector, attributes
from otel.records import TYPICAL, record

from telemetry.config import Protocol, Secrets, TelemetryConfig
from telemetry.exporter import TelemetryExporter
from telemetry.outcome import Outcome
from telemetry.record import Route, Trace
from telemetry.sampling import begin_trace
from telemetry.span_export import DropReason


def exporter(**wishes: Any) -> TelemetryExporter:
    made = TelemetryExporter.from_config(
        TelemetryConfig(**{"flush_interval_s": 0.02, **wishes}), {}, version="9.8.7", instance_id="w-1"
    )
    made.start()
    return made


async def stopped(made: TelemetryExporter, timeout: float = 10.0) -> None:
    """Stops it; a stop that waits for the collector fails here."""
    await asyncio.wait_for(made.stop(timeout), 30)


async def test_a_call_arrives_as_a_tree_below_the_callers_span() -> None:
    caller = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with Collector() as collector:
        made = exporter(endpoint=collector.url)
        made.put(record(trace=begin_trace(caller, b"vendor=1")))
        await collector.until(lambda seen: len(seen.spans) == 2)
        await stopped(made)
    server, client = collector.spans
    assert server.trace_id == client.trace_id == bytes.fromhex("0af7651916cd43dd8448eb211c80319c")
    assert server.parent_span_id == bytes.fromhex("b7ad6b7169203331")
    assert client.parent_span_id == server.span_id
    assert (server.kind, client.kind) == (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT)
    assert (server.name, client.name) == ("POST /v1/chat/completions", "chat gpt-4o-mini")
    assert server.trace_state == "vendor=1"
    assert server.start_time_unix_nano <= client.start_time_unix_nano < client.end_time_unix_nano
    assert client.end_time_unix_nano <= server.end_time_unix_nano
    told = attributes(client.attributes)
    assert told["gen_ai.usage.input_tokens"] == 1000
    assert told["gen_ai.usage.cost"] == 0.00025
    assert told["gen_ai.request.stream"] is True
    assert told["gen_ai.response.finish_reasons"] == ["stop"]
    assert (
        told["weighbridge.request.id"]
        == attributes(server.attributes)["weighbridge.request.id"]
        == TYPICAL.id
    )
    assert (server.status.code, client.status.code) == (Status.STATUS_CODE_UNSET, Status.STATUS_CODE_UNSET)
    (of_resource,) = collector.traces[0].resource_spans
    resource = attributes(of_resource.resource.attributes)
    assert (resource["service.name"], resource["service.instance.id"]) == ("weighbridge", "w-1")
    (of_scope,) = of_resource.scope_spans
    assert (of_scope.scope.name, of_scope.scope.version) == ("weighbridge", "9.8.7")
    assert of_scope.schema_url == "https://opentelemetry.io/schemas/1.41.0"


async def test_failed_refused_and_unsampled_calls() -> None:
    async with Collector() as collector:
        made = exporter(endpoint=collector.url)
        made.put(record(outcome=Outcome.PROVIDER_ERROR, answer={"status": 529}))
        made.put(record(outcome=Outcome.REFUSED, route=Route(), answer={"status": 401}))
        made.put(record(trace=Trace(1, 2, 3, sampled=False)))
        await stopped(made)
    failed, attempt, refused = collector.spans
    assert (failed.status.code, attempt.status.code) == (Status.STATUS_CODE_ERROR, Status.STATUS_CODE_ERROR)
    assert attributes(attempt.attributes)["error.type"] == "529"
    assert refused.status.code == Status.STATUS_CODE_UNSET
    assert made.stats().drops == {}


async def test_metrics_arrive() -> None:
    async with Collector() as collector:
        made = exporter(endpoint=collector.url, metrics_interval_s=0.05)
        for _ in range(3):
            made.put(TYPICAL)
        await collector.until(lambda seen: bool(seen.metrics))
        await stopped(made)
    found = collector.latest_metrics()
    assert set(found) == {
        "gen_ai.client.token.usage",
        "gen_ai.client.operation.duration",
        "gen_ai.client.operation.time_to_first_chunk",
        "http.server.request.duration",
        "weighbridge.cost",
    }
    (point,) = found["gen_ai.client.operation.duration"].histogram.data_points
    assert (point.count, list(point.explicit_bounds)[:3]) == (3, [0.01, 0.02, 0.04])
    assert attributes(point.attributes)["gen_ai.request.model"] == "gpt-4o-mini"
    (cost,) = found["weighbridge.cost"].sum.data_points
    assert cost.as_double == 0.00075


async def test_thousands_of_calls_arrive_in_batches() -> None:
    async with Collector() as collector:
        made = exporter(traces_endpoint=f"{collector.url}/v1/traces", queue_limit=5000)
        for number in range(3000):
            made.put(record(id=f"{number}"))
        await stopped(made)
    told = [attributes(span.attributes)["weighbridge.request.id"] for span in collector.spans]
    assert told[::2] == told[1::2] == [f"{number}" for number in range(3000)]
    assert len(collector.traces) < 20
    stats = made.stats()
    assert (stats.accepted, stats.spans_delivered, stats.queued, stats.pending) == (3000, 6000, 0, 0)


async def test_headers_compression_and_a_url_of_ones_own() -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        "OTEL_EXPORTER_OTLP_HEADERS": "Authorization=Bearer%20abc",
    }
    async with Collector() as collector:
        environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.url
        made = TelemetryExporter.from_config(TelemetryConfig(), environ)
        made.start()
        made.put(TYPICAL)
        await stopped(made)
    assert len(collector.spans) == 2
    for headers in collector.headers:
        assert headers["authorization"] == "Bearer abc"
        assert headers["content-encoding"] == "gzip"
        assert headers["content-type"] == "application/x-protobuf"


async def test_a_busy_collector_gets_the_same_spans_again() -> None:
    async with Collector(traces_status=503) as collector:
        made = exporter(traces_endpoint=f"{collector.url}/v1/traces")
        made.put(TYPICAL)
        await collector.until(lambda seen: len(seen.requests) == 1)
        collector.status["/v1/traces"] = 200
        await stopped(made)
    assert len(collector.spans) == 2
    assert made.stats().span_failures == 1


async def test_a_collector_that_refuses_is_counted() -> None:
    async with Collector(traces_status=500) as collector:
        made = exporter(traces_endpoint=f"{collector.url}/v1/traces")
        made.put(TYPICAL)
        await collector.until(lambda seen: len(seen.requests) == 1)
        await stopped(made)
    assert collector.requests == ["/v1/traces"]
    assert made.stats().drops == {DropReason.REJECTED: 1}


async def test_a_collector_without_metrics_still_gets_spans(caplog: pytest.LogCaptureFixture) -> None:
    async with Collector(metrics_status=405) as collector:
        made = exporter(endpoint=collector.url, metrics_interval_s=0.02)
        made.put(TYPICAL)
        await collector.until(lambda seen: "/v1/metrics" in seen.requests)
        made.put(TYPICAL)
        await collector.until(lambda seen: len(seen.spans) == 4)
        await stopped(made)
    assert collector.requests.count("/v1/metrics") == 1
    assert made.stats().metrics_stopped
    assert sum("metric export stopped" in line.getMessage() for line in caplog.records) == 1


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def test_a_collector_that_is_not_there(caplog: pytest.LogCaptureFixture) -> None:
    url = f"http://user:hunter2secret@127.0.0.1:{closed_port()}"
    made = exporter(endpoint=url, headers=Secrets((("x-api-key", "hunter3secret"),)))
    for _ in range(100):
        made.put(TYPICAL)
    await stopped(made)
    assert made.stats().drops == {DropReason.SHUTDOWN: 100}
    assert caplog.records
    assert "hunter" not in caplog.text


async def test_a_collector_that_hangs_does_not_hold_up_the_end() -> None:
    async with Collector(hang=True) as collector:
        made = exporter(endpoint=collector.url, timeout_s=60.0, batch_limit=2)
        made.put(TYPICAL)
        await collector.until(lambda seen: len(seen.requests) == 1)
        for _ in range(10):
            made.put(TYPICAL)
        await stopped(made, timeout=0.1)
        stats = made.stats()
    assert stats.spans_delivered == 0
    assert stats.queued + stats.pending == 11


async def test_a_queue_that_is_full_drops_and_counts() -> None:
    async with Collector(hang=True) as collector:
        made = exporter(endpoint=collector.url, timeout_s=60.0, batch_limit=2, queue_limit=50)
        made.put(TYPICAL)
        await collector.until(lambda seen: len(seen.requests) == 1)
        for _ in range(80):
            made.put(TYPICAL)
        stats = made.stats()
        assert (stats.accepted, stats.queued) == (51, 50)
        assert stats.drops == {DropReason.QUEUE_FULL: 30}
        await stopped(made, timeout=0.05)


async def test_one_record_that_cannot_be_told_of_does_not_take_others_with_it() -> None:
    async with Collector() as collector:
        made = exporter(traces_endpoint=f"{collector.url}/v1/traces")
        made.put(record(trace=Trace(2**200, 1, 1)))
        made.put(TYPICAL)
        await stopped(made)
    assert len(collector.spans) == 2
    assert made.stats().drops == {DropReason.FAILED: 1}


async def test_an_exporter_that_cannot_be_set_up_exports_nothing(caplog: pytest.LogCaptureFixture) -> None:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    made = TelemetryExporter.from_config(TelemetryConfig(), environ)
    with caplog.at_level(logging.ERROR), broken_grpc():
        made.start()
    made.put(TYPICAL)
    await stopped(made)
    assert not made.stats().enabled
    assert "could not be set up" in caplog.text


@contextmanager
def broken_grpc() -> Iterator[None]:
    hidden = sys.modules.pop("telemetry.otlp_grpc", None)
    sys.modules["telemetry.otlp_grpc"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["telemetry.otlp_grpc"]
        if hidden is not None:
            sys.modules["telemetry.otlp_grpc"] = hidden


async def test_warnings_about_the_environment_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    TelemetryExporter.from_config(TelemetryConfig(), {"OTEL_TRACES_SAMPLER": "sometimes"}).start()
    assert "OTEL_TRACES_SAMPLER" in caplog.text


async def test_without_an_endpoint_put_does_nothing() -> None:
    made = exporter()
    made.put(TYPICAL)
    stats = made.stats()
    assert (stats.enabled, stats.accepted, stats.queued) == (False, 0, 0)
    await stopped(made)


async def test_after_the_end_put_does_nothing_and_stop_may_come_twice() -> None:
    async with Collector() as collector:
        made = exporter(endpoint=collector.url)
        await stopped(made)
        made.put(TYPICAL)
        await stopped(made)
    assert (made.stats().accepted, collector.requests) == (0, [])


class GrpcTraces(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.metadata: dict[str, str] = {}

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.metadata = dict(context.invocation_metadata())
        self.spans += [
            span for one in request.resource_spans for scope in one.scope_spans for span in scope.spans
        ]
        return trace_service_pb2.ExportTraceServiceResponse()


class GrpcMetrics(metrics_service_pb2_grpc.MetricsServiceServicer):
    def __init__(self) -> None:
        self.names: set[str] = set()

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.names |= {
            metric.name
            for one in request.resource_metrics
            for scope in one.scope_metrics
            for metric in scope.metrics
        }
        return metrics_service_pb2.ExportMetricsServiceResponse()


async def test_grpc() -> None:
    traces, metrics = GrpcTraces(), GrpcMetrics()
    server = grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(traces, server)
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(metrics, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        made = exporter(
            endpoint=f"http://127.0.0.1:{port}", protocol=Protocol.GRPC, headers=Secrets((("X-Scope", "a"),))
        )
        made.put(TYPICAL)
        await stopped(made)
    finally:
        server.stop(None)
    assert [span.name for span in traces.spans] == ["POST /v1/chat/completions", "chat gpt-4o-mini"]
    assert traces.metadata["x-scope"] == "a"
    assert "gen_ai.client.token.usage" in metrics.names


async def test_grpc_without_a_collector(caplog: pytest.LogCaptureFixture) -> None:
    made = exporter(
        traces_endpoint=f"http://127.0.0.1:{closed_port()}", protocol=Protocol.GRPC, timeout_s=0.2
    )
    made.put(TYPICAL)
    await stopped(made)
    assert made.stats().drops == {DropReason.SHUTDOWN: 1}
    assert not [line for line in caplog.records if line.name.startswith("opentelemetry.exporter")]


def python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


PRELUDE = """
import asyncio, sys
from telemetry.config import TelemetryConfig
from telemetry.exporter import TelemetryExporter
def heavy():
    roots = ("opentelemetry", "requests", "grpc", "google.protobuf", "urllib3")
    return sorted({name for name in sys.modules if name.startswith(roots)})[:3]
"""


def test_when_off_nothing_of_opentelemetry_is_imported() -> None:
    code = PRELUDE + (
        "made = TelemetryExporter.from_config(TelemetryConfig(), {})\n"
        "made.start(); asyncio.run(made.stop(1)); print(heavy())"
    )
    assert python(code) == "[]\n"


def test_http_needs_no_sdk_and_no_grpc() -> None:
    code = PRELUDE + (
        "made = TelemetryExporter.from_config(TelemetryConfig(endpoint='http://127.0.0.1:9'), {})\n"
        "made.start(); asyncio.run(made.stop(0.01))\n"
        "print([name for name in ('opentelemetry', 'grpc', 'google.protobuf') if name in sys.modules])"
    )
    assert python(code) == "[]\n"


@pytest.mark.parametrize("protocol", Protocol)
def test_the_process_ends_although_the_collector_hangs(protocol: Protocol) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connects by the backlog, nobody ever answers
        code = PRELUDE + (
            "sys.path.insert(0, 'tests')\n"
            "from otel.records import TYPICAL\n"
            f"config = TelemetryConfig(endpoint='http://127.0.0.1:{silent.getsockname()[1]}', "
            f"protocol='{protocol.value}', timeout_s=60.0, batch_limit=2)\n"
            "made = TelemetryExporter.from_config(config, {})\n"
            "async def main():\n"
            "    made.start(); [made.put(TYPICAL) for _ in range(5)]; await made.stop(0.2)\n"
            "    print(made.stats().spans_delivered)\n"
            "asyncio.run(main())"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
        )
    assert done.stdout == "0\n"


def test_console() -> None:
    code = PRELUDE + (
        "sys.path.insert(0, 'tests')\n"
        "from otel.records import TYPICAL\n"
        "environ = {'OTEL_TRACES_EXPORTER': 'console', 'OTEL_METRICS_EXPORTER': 'console'}\n"
        "made = TelemetryExporter.from_config(TelemetryConfig(), environ)\n"
        "made.start(); made.put(TYPICAL); asyncio.run(made.stop(20))"
    )
    text = python(code)
    assert '"name": "chat gpt-4o-mini"' in text
    assert "gen_ai.client.token.usage" in text
