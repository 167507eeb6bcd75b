"""Our bytes mean what the official encoder's bytes mean."""

from __future__ import annotations

import time

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from otel.records import PATIENT, RECORDS, TYPICAL, record

from telemetry.config import MetricNames, Temporality
from telemetry.metrics import Metrics
from telemetry.otlp_encode import SpanEncoder
from telemetry.otlp_metrics import encode_collection
from telemetry.otlp_sdk import SdkForms
from telemetry.protobuf import any_value, varint
from telemetry.record import CallRecord
from telemetry.spans import CostStyle, SpanData, SpanKind, SpanMaker, SpanStyle, Steady

RESOURCE = (("service.name", "weighbridge"), ("deployment.environment.name", "größe"))
STYLE = SpanStyle(cost=frozenset(CostStyle))


def clean(value: object) -> object:
    """The official encoder loses attributes with lone surrogates; ours keeps them with a replacement."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    return tuple(map(clean, value)) if isinstance(value, tuple) else value


def official(spans: list[SpanData], version: str) -> ExportTraceServiceRequest:
    forms = SdkForms(RESOURCE, version)
    readable = []
    for span in spans:
        attributes = {clean(key): clean(value) for key, value in span.attributes.items()}
        steady = Steady(clean(span.steady.name), span.steady.kind, {}, span.steady.failed)  # type: ignore[arg-type]
        readable.append(forms.span(msgspec.structs.replace(span, steady=steady, own=attributes)))
    return encode_spans(readable)


@settings(PATIENT, max_examples=300)
@given(st.lists(RECORDS, max_size=4), st.sampled_from(["", "1.2.3"]))
def test_spans_equal_the_official_encoding(records: list[CallRecord], version: str) -> None:
    made = SpanMaker(STYLE)
    spans = [span for record in records for span in made.spans(record)]
    encoder = SpanEncoder(RESOURCE, version)
    for _ in range(2):  # the second time much comes out of the encoder's memory
        ours = ExportTraceServiceRequest.FromString(encoder.request([encoder.span(span) for span in spans]))
        if spans:
            assert ours == official(spans, version)


numbers = st.integers(-(2**63), 2**63 - 1) | st.integers(-2, 300) | st.sampled_from([127, 128, 16383, 16384])
values = st.booleans() | numbers | st.floats(allow_nan=False) | st.text() | st.lists(st.text()).map(tuple)


@settings(PATIENT, max_examples=300)
@given(st.dictionaries(st.text(max_size=200), values, max_size=8), st.integers(0, 8), st.booleans())
def test_any_attribute_equals_the_official_encoding(
    attributes: dict[str, object], shared: int, failed: bool
) -> None:
    items = list(attributes.items())
    steady = Steady("n", SpanKind.CLIENT, dict(items[:shared]), failed)  # type: ignore[arg-type]
    span = SpanData(steady, 1, 2, 0, False, None, 0, 2**64 - 1, dict(items[shared:]))  # type: ignore[arg-type]
    encoder = SpanEncoder(RESOURCE, "")
    assert ExportTraceServiceRequest.FromString(encoder.request([encoder.span(span)])) == official([span], "")


def test_long_values_equal_the_official_encoding() -> None:
    attributes = {"a": "x" * 20_000, "b": "y" * 3_000_000, "c": tuple("z" * 100 for _ in range(200))}
    encoder = SpanEncoder(RESOURCE, "")
    for shared, own in ((attributes, {}), ({}, attributes)):
        steady = Steady("n" * 300, SpanKind.SERVER, shared, False)  # type: ignore[arg-type]
        span = SpanData(steady, 1, 2, 3, True, "a=b", 0, 1, own, (4, 5))  # type: ignore[arg-type]
        ours = ExportTraceServiceRequest.FromString(encoder.request([encoder.span(span)]))
        assert ours == official([span], "")


def test_what_is_remembered_is_bounded() -> None:
    made, encoder = SpanMaker(STYLE), SpanEncoder(RESOURCE)
    for number in range(10_000):
        call = record(what={"path": f"/v1/{number}"}, who={"tags": ((str(number), "x"),)})
        for span in made.spans(call):
            encoder.span(span)
    assert len(made._known) <= 1024


def test_paths_that_may_hold_ids_are_not_remembered() -> None:
    made = SpanMaker(STYLE)
    for number in range(10):
        made.spans(record(what={"wire": None, "path": f"/v1/files/{number}"}))
        made.spans(record(what={"method": "GET", "path": f"/v1/responses/{number}"}))
        made.spans(record(what={"path": f"/{'x' * 512}/{number}"}))
    assert not made._known


def test_what_differs_from_call_to_call_is_no_kind_of_its_own() -> None:
    made = SpanMaker(STYLE)
    for number in range(10):
        name = str(number)
        who = {"user": name, "session": name, "agent": name, "parent_agent": name, "tags": ((name, name),)}
        what = {"max_tokens": number, "request_bytes": number}
        route = {"reason": f"score {number}", "confidence_ppm": number}
        made.spans(record(who=who, what=what, route=route, answer={"response_id": name}))
    assert len(made._known) == 1


def test_what_spans_share_is_encoded_once() -> None:
    made, encoder = SpanMaker(STYLE), SpanEncoder(RESOURCE)
    for call in (TYPICAL, record(who={"user": "bob"})):
        for span in made.spans(call):
            encoder.span(span)
    ((server, client),) = made._known.values()
    assert client is not None
    assert [span.steady for span in made.spans(TYPICAL)] == [server, client]
    assert server.encoded in encoder.span(made.spans(TYPICAL)[0])
    assert client.encoded in encoder.span(made.spans(TYPICAL)[1])


def test_what_has_no_form_is_refused() -> None:
    with pytest.raises(TypeError, match="NoneType"):
        any_value(None)  # type: ignore[arg-type]


@PATIENT
@given(st.integers(0, 2**64 - 1))
def test_varint(number: int) -> None:
    value = 0
    for position, byte in enumerate(varint(number)):
        assert bool(byte & 128) is (position + 1 < len(varint(number)))
        value |= (byte & 127) << 7 * position
    assert value == number


@settings(PATIENT, max_examples=100)
@given(st.lists(RECORDS, max_size=8), st.sampled_from(MetricNames), st.sampled_from(Temporality))
def test_metrics_equal_the_official_encoding(
    records: list[CallRecord], generation: MetricNames, temporality: Temporality
) -> None:
    metrics = Metrics(generation=generation, temporality=temporality, now_ns=time.time_ns)
    for call in records:
        metrics.observe(call)
    collection = metrics.collect()
    ours = ExportMetricsServiceRequest.FromString(encode_collection(collection, RESOURCE, "1.2.3"))
    theirs = encode_metrics(SdkForms(RESOURCE, "1.2.3").metrics(collection))
    assert ours == theirs
