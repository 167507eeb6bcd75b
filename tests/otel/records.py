"""Finished calls to tell about: one typical record that can be varied, and a strategy for all shapes."""

from __future__ import annotations

import enum
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from pricing.cost import Cost, CostSource, CostStatus
from pricing.usage import Usage
from telemetry.outcome import Outcome
from telemetry.record import Answer, CallRecord, Route, Timing, UsageSource, What, Who, trace_of

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""For property tests: a slow machine is no failure."""

TYPICAL = CallRecord(
    id="0199f3a0-7c1e-7000-8000-000000000001",
    outcome=Outcome.COMPLETED,
    who=Who(team="search", user="ada", session="s-1"),
    what=What(
        "openai", "openai_chat", "chat", "POST", "/v1/chat/completions", "gpt-4o-mini", True, 512, 1024
    ),
    route=Route("api.openai.com", 1),
    timing=Timing(1_790_000_000_000_000_000, 1_500_000, 1_400_000, 300_000, 310_000, 180, 60_000),
    answer=Answer(200, "gpt-4o-mini-2024-07-18", "chatcmpl-1", ("stop",), "default", 983),
    usage=Usage(1000, 200, 300, 50, 10, reasoning=40),
    usage_source=UsageSource.PROVIDER,
    cost=Cost(
        CostStatus.PRICED, CostSource.CATALOGUE, 250_000, 100_000, 120_000, 20_000, 10_000, 0, "2026-11-20"
    ),
    trace=trace_of(0x0AF7651916CD43DD8448EB211C80319C, 0x1111, 0x2222, 0xB7AD6B7169203331),
)


def record(**parts: dict[str, Any] | object) -> CallRecord:
    """The typical record with parts changed: a dict changes fields of a part, anything else replaces it."""
    changes = {
        name: msgspec.structs.replace(getattr(TYPICAL, name), **value) if isinstance(value, dict) else value
        for name, value in parts.items()
    }
    return msgspec.structs.replace(TYPICAL, **changes)


_text = st.text(st.characters(codec=None, exclude_categories=()), max_size=30)
_names = st.sampled_from(["gpt-4o-mini", "claude-sonnet-5", "", "müller", "x" * 300]) | _text
_count = st.integers(0, 2**53)
_us = st.integers(0, 10**9)
_span_id = st.integers(1, 2**64 - 1)
_trace_id = st.integers(1, 2**128 - 1)


def _maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


_who = st.builds(
    Who,
    tenant=_maybe(_names),
    team=_maybe(_names),
    user=_maybe(_names),
    session=_maybe(_names),
    app=_maybe(_names),
    tags=st.lists(st.tuples(_names, _names), max_size=3).map(tuple),
)
_what = st.builds(
    What,
    provider=st.sampled_from(["openai", "azure", "gemini", "bedrock", "house"]),
    wire=st.sampled_from([None, "openai_chat", "anthropic_messages"]),
    operation=st.sampled_from([None, "chat", "embeddings"]),
    method=st.sampled_from(["GET", "POST"]),
    path=st.sampled_from(
        ["/v1/chat/completions", "/v1/files/f-1", "/v1beta/models/gpt-4o-mini:generateContent"]
    ),
    model=_maybe(_names),
    stream=st.booleans(),
    max_tokens=_maybe(_count),
    request_bytes=_count,
)
_route = st.builds(
    Route,
    host=st.sampled_from([None, "api.openai.com", "127.0.0.1:8080", "[::1]:9000", "h:bad"]),
    attempts=st.integers(0, 3),
    attempt_reason=st.sampled_from([None, "stale_connection"]),
    policy=_maybe(_names),
    confidence_ppm=_maybe(st.integers(0, 10**6)),
)
_timing = st.builds(
    Timing,
    started_ns=st.integers(0, 2**62),
    duration_us=_us,
    upstream_us=_maybe(_us),
    first_chunk_us=_maybe(_us),
    overhead_us=_us,
    dispatch_us=_maybe(_us),
)
_answer = st.builds(
    Answer,
    status=st.sampled_from([None, 200, 400, 404, 429, 500, 502, 529]),
    model=_maybe(_names),
    response_id=_maybe(_names),
    finish_reasons=st.lists(_names, max_size=3).map(tuple),
    service_tier=_maybe(_names),
    error_type=_maybe(_names),
    error_code=_maybe(_names),
)
_usage = st.builds(Usage, *[_maybe(_count) for _ in range(6)])
_cost = st.builds(
    Cost,
    status=st.sampled_from(CostStatus),
    source=st.sampled_from(CostSource),
    total=_maybe(_count),
    input=_maybe(_count),
    output=_maybe(_count),
    cache_read=_maybe(_count),
    snapshot=_maybe(_names),
)
_traces = st.builds(
    trace_of,
    _trace_id,
    _span_id,
    _span_id,
    st.just(0) | _span_id,
    st.booleans(),
    st.sampled_from([None, "vendor=value", "a=1,b=2"]),
    st.just(0) | _trace_id,
    _span_id,
)

RECORDS: st.SearchStrategy[CallRecord] = st.builds(
    CallRecord,
    id=st.uuids().map(str),
    outcome=st.sampled_from(Outcome),
    who=_who,
    what=_what,
    route=_route,
    timing=_timing,
    answer=_answer,
    usage=_maybe(_usage),
    usage_source=st.sampled_from(UsageSource),
    cost=_cost,
    trace=_maybe(_traces),
)
"""Every combination, sensible or not: exporters must cope with all of them."""


def _others(value: object, field: str) -> list[object]:
    """Other values of the same kind; a name where there was none, and none where it may be missing."""
    if isinstance(value, enum.Enum):
        return [member for member in type(value) if member is not value]
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1]
    if isinstance(value, tuple):
        return [(("a", "b"),) if field in ("tags", "sources") else ("length",)]
    if value is None and field in ("confidence_ppm", "max_tokens"):
        return [5]
    return ["another"] if field in ("provider", "method", "path") else ["another", None]


VARIATIONS = [
    pytest.param(record(**{part: {field: other}}), id=f"{part}.{field}={other}")
    for part in ("who", "what", "route", "answer", "cost")
    for field in getattr(TYPICAL, part).__struct_fields__
    for other in _others(getattr(getattr(TYPICAL, part), field), field)
]
"""The typical record with one field changed."""
