"""Trace context on the wire and head sampling, held against the SDK."""

from __future__ import annotations

import logging

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.sdk.trace.sampling import Sampler as SdkSampler
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    TraceState,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from otel.records import PATIENT

from telemetry.propagation import (
    RemoteContext,
    format_traceparent,
    new_span_id,
    new_trace_id,
    parse_baggage,
    parse_traceparent,
    parse_tracestate,
)
from telemetry.sampling import IncomingTrace, Sampler, begin_trace

GOOD = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE, SPAN = 0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331

HEX = "0123456789abcdef"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (GOOD, RemoteContext(TRACE, SPAN, True)),
        (GOOD[:-2] + b"00", RemoteContext(TRACE, SPAN, False)),
        (GOOD[:-2] + b"03", RemoteContext(TRACE, SPAN, True)),
        (b"  " + GOOD + b"\t", RemoteContext(TRACE, SPAN, True)),
        (b"01" + GOOD[2:], RemoteContext(TRACE, SPAN, True)),
        (b"cc" + GOOD[2:] + b"-what-the-future-holds", RemoteContext(TRACE, SPAN, True)),
        (b"cc" + GOOD[2:] + b".what", None),
        (GOOD + b"-extra", None),
        (b"ff" + GOOD[2:], None),
        (GOOD.upper(), None),
        (b"00-" + b"0" * 32 + GOOD[35:], None),
        (GOOD[:36] + b"0" * 16 + b"-01", None),
        (GOOD[:-1], None),
        (GOOD + b"1", None),
        (b"", None),
        (b"garbage", None),
        (GOOD.replace(b"-", b"_"), None),
        (b"cc" + GOOD[2:] + b"-" + b"x" * 600, None),
    ],
)
def test_traceparent_by_the_rules(value: bytes, expected: RemoteContext | None) -> None:
    assert parse_traceparent(value) == expected


@PATIENT
@given(
    st.tuples(
        st.sampled_from(["00", "01", "ff", "0", "0g"]),
        st.text(HEX, min_size=31, max_size=33) | st.just("0" * 32),
        st.text(HEX + "A", min_size=15, max_size=17) | st.just("0" * 16),
        st.text(HEX, min_size=1, max_size=3),
        st.sampled_from(["", " ", "-x", "x", "-"]),
    )
)
@example(("00", "1" * 32, "1" * 16, "01", ""))
@example(("01", "1" * 32, "1" * 16, "01", "-x"))
def test_traceparent_agrees_with_the_sdk(parts: tuple[str, str, str, str, str]) -> None:
    value = "-".join(parts[:4]) + parts[4]
    context = get_current_span(
        TraceContextTextMapPropagator().extract({"traceparent": value})
    ).get_span_context()
    expected = (
        RemoteContext(context.trace_id, context.span_id, context.trace_flags.sampled)
        if context.is_valid
        else None
    )
    assert parse_traceparent(value.encode()) == expected


@PATIENT
@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.booleans())
def test_traceparent_round_trip(trace_id: int, span_id: int, sampled: bool) -> None:
    value = format_traceparent(trace_id, span_id, sampled)
    assert len(value) == 55
    assert parse_traceparent(value) == (trace_id, span_id, sampled)


member = st.one_of(
    st.from_regex(r"[a-z][a-z0-9_*/-]{0,5}=[!-+\-.-<>-~]{1,5}", fullmatch=True),
    st.from_regex(r"[a-z0-9]{1,5}@[a-z]{1,5}=[a-z]{1,5}", fullmatch=True),
    st.sampled_from(["", " ", "A=1", "a", "a=", "=b", "a=b=c", " a=1\t", "a= 1", "é=1"]),
)


@PATIENT
@given(st.lists(member, max_size=40))
@example([f"k{n}=v" for n in range(32)])
@example([f"k{n}=v" for n in range(33)])
@example(["a=1", "a=2"])
def test_tracestate_agrees_with_the_sdk(members: list[str]) -> None:
    value = ",".join(members)
    logging.disable(logging.WARNING)
    try:
        expected = TraceState.from_header([value]).to_header() or None
    finally:
        logging.disable(logging.NOTSET)
    assert parse_tracestate(value.encode("latin-1")) == expected


def test_tracestate_of_absurd_length_is_dropped() -> None:
    assert parse_tracestate(b"a=" + b"x" * 9000) is None


def test_ids_are_never_zero_and_of_full_width() -> None:
    traces, spans = {new_trace_id() for _ in range(200)}, {new_span_id() for _ in range(200)}
    assert len(traces) == len(spans) == 200
    assert 0 not in traces | spans
    assert 2**120 < max(traces) < 2**128
    assert 2**56 < max(spans) < 2**64


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"session.id=abc", {"session.id": "abc"}),
        (b" session.id = abc ;ttl=1;secure", {"session.id": "abc"}),
        (b"session.id=a%20b%2Cc,user.id=%C3%A9", {"session.id": "a b,c", "user.id": "é"}),
        (b"other=1,user.id=ada", {"user.id": "ada"}),
        (b"user.id=first,user.id=second", {"user.id": "first"}),
        (b"user.id,=x,,user.id=late", {"user.id": "late"}),
        (b"user.id=%ff", {"user.id": "\ufffd"}),
        (b"", {}),
    ],
)
def test_baggage_takes_only_what_is_allowed(value: bytes, expected: dict[str, str]) -> None:
    assert parse_baggage(value, {"session.id", "user.id"}) == expected


def test_baggage_is_bounded() -> None:
    assert parse_baggage(b"user.id=" + b"x" * 9000, {"user.id"}) == {}
    assert parse_baggage(b"a=1," * 180 + b"user.id=x", {"user.id"}) == {}
    assert parse_baggage(b"user.id=x", ()) == {}


@PATIENT
@given(st.floats(0, 1), st.integers(1, 2**128 - 1), st.none() | st.booleans(), st.booleans())
def test_sampler_decides_as_the_sdk_does(
    ratio: float, trace_id: int, parent_sampled: bool | None, parent_based: bool
) -> None:
    sdk: SdkSampler = TraceIdRatioBased(ratio)
    if parent_based:
        sdk = ParentBased(sdk)
    context = parent = None
    if parent_sampled is not None:
        flags = TraceFlags(int(parent_sampled))
        context = set_span_in_context(NonRecordingSpan(SpanContext(trace_id, 1, True, flags)))
        parent = RemoteContext(trace_id, 1, parent_sampled)
    expected = sdk.should_sample(context, trace_id, "x").decision.is_sampled()
    assert Sampler(ratio, parent_based).decide(trace_id, parent) is expected


def test_a_joined_trace() -> None:
    trace = begin_trace(GOOD, b"vendor=1")
    assert (trace.trace_id, trace.parent_span_id, trace.sampled) == (TRACE, SPAN, True)
    assert trace.state == "vendor=1"
    assert trace.link_trace_id == 0
    assert len({trace.server_span_id, trace.client_span_id, SPAN, 0}) == 4


def test_a_joined_trace_follows_the_callers_decision() -> None:
    assert begin_trace(GOOD[:-2] + b"00").sampled is False
    assert begin_trace(GOOD, sampler=Sampler(0.0)).sampled is True
    assert begin_trace(GOOD, sampler=Sampler(0.0, parent_based=False)).sampled is False
    assert begin_trace(None, sampler=Sampler(0.0)).sampled is False


@pytest.mark.parametrize("value", [None, b"", b"nonsense"])
def test_without_a_caller_a_trace_begins(value: bytes | None) -> None:
    trace = begin_trace(value, b"vendor=1")
    assert trace.trace_id
    assert (trace.parent_span_id, trace.state, trace.link_trace_id) == (0, None, 0)


def test_a_linked_trace_is_new_and_names_the_caller() -> None:
    trace = begin_trace(GOOD, b"vendor=1", incoming=IncomingTrace.LINK)
    assert trace.trace_id != TRACE
    assert (trace.parent_span_id, trace.state) == (0, None)
    assert (trace.link_trace_id, trace.link_span_id) == (TRACE, SPAN)


def test_an_ignored_trace_leaves_nothing() -> None:
    trace = begin_trace(GOOD, b"vendor=1", incoming=IncomingTrace.IGNORE)
    assert trace.trace_id != TRACE
    assert (trace.parent_span_id, trace.link_trace_id, trace.state) == (0, 0, None)
