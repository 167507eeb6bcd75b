"""A collector over TCP: takes OTLP/HTTP, decodes it with the official protobuf classes, misbehaves on demand."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from multidict import CIMultiDict
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector:
    """``status`` is what each path answers; ``hang`` accepts requests and never answers."""

    def __init__(self, *, hang: bool = False, traces_status: int = 200, metrics_status: int = 200) -> None:
        self.hang = hang
        self.status = {"/v1/traces": traces_status, "/v1/metrics": metrics_status}
        self.traces: list[ExportTraceServiceRequest] = []
        self.metrics: list[ExportMetricsServiceRequest] = []
        self.headers: list[CIMultiDict[str]] = []
        self.requests: list[str] = []
        self.retry_after: str | None = None
        self._changed = asyncio.Condition()
        self._release = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/{path:.*}", self._take)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release.set()
        assert self._runner is not None
        await self._runner.cleanup()

    async def until(self, met: Callable[[Collector], bool]) -> None:
        """Waits for requests to make ``met`` true."""
        async with self._changed:
            await asyncio.wait_for(self._changed.wait_for(lambda: met(self)), 20)

    @property
    def spans(self) -> list[Span]:
        return [
            span
            for request in self.traces
            for of_resource in request.resource_spans
            for of_scope in of_resource.scope_spans
            for span in of_scope.spans
        ]

    def latest_metrics(self) -> dict[str, Metric]:
        """By name, of the last request."""
        (of_resource,) = self.metrics[-1].resource_metrics
        (of_scope,) = of_resource.scope_metrics
        return {metric.name: metric for metric in of_scope.metrics}

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        if self.hang:
            self.requests.append(request.path)
            await self._tell()
            await self._release.wait()
        status = self.status.get(request.path, 404)
        if status == 200:
            # aiohttp inflates request bodies; the header tells what came
            if request.path == "/v1/traces":
                self.traces.append(ExportTraceServiceRequest.FromString(_plain(body)))
            else:
                self.metrics.append(ExportMetricsServiceRequest.FromString(_plain(body)))
        self.headers.append(request.headers.copy())
        if not self.hang:
            self.requests.append(request.path)
        await self._tell()
        extra = {"retry-after": self.retry_after} if self.retry_after else {}
        return web.Response(status=status, headers=extra)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def _plain(body: bytes) -> bytes:
    return gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body


def attributes(pairs: Any) -> dict[str, Any]:
    """Protobuf attributes as a dict."""
    return {pair.key: _value(pair) for pair in pairs}


def _value(pair: KeyValue) -> Any:
    kind = pair.value.WhichOneof("value")
    if kind == "array_value":
        return [item.string_value for item in pair.value.array_value.values]
    return getattr(pair.value, kind)
