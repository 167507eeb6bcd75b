"""What a finished call looks like as spans: names, attributes, failures, and what is left out."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from otel.records import PATIENT, RECORDS, TYPICAL, VARIATIONS, record

from pricing.cost import INVALID_USAGE, NOT_BILLABLE, UNPRICED, Cost, CostSource, CostStatus
from telemetry import names
from telemetry.outcome import Outcome
from telemetry.record import CallRecord, Route, Trace, UsageSource
from telemetry.spans import CostStyle, SpanData, SpanKind, SpanMaker, SpanStyle, UserIds, split_host

STYLE = SpanStyle()
VOCABULARY = {value for value in vars(names).values() if isinstance(value, str)}
TRACE = TYPICAL.trace or Trace()


def pair(call: CallRecord, style: SpanStyle = STYLE) -> tuple[SpanData, SpanData]:
    server, client = SpanMaker(style).spans(call)
    return server, client


def test_the_typical_call() -> None:
    server, client = pair(TYPICAL)
    assert (server.steady.name, server.steady.kind) == ("POST /v1/chat/completions", SpanKind.SERVER)
    assert (client.steady.name, client.steady.kind) == ("chat gpt-4o-mini", SpanKind.CLIENT)
    assert (server.steady.failed, client.steady.failed) == (False, False)
    start = TYPICAL.timing.started_ns
    assert (server.start_ns, server.end_ns) == (start, start + 1_500_000_000)
    assert (client.start_ns, client.end_ns) == (start + 60_000_000, start + 1_460_000_000)
    assert server.attributes == {
        "http.request.method": "POST",
        "http.route": "/v1/chat/completions",
        "http.response.status_code": 200,
        "url.path": "/v1/chat/completions",
        "url.scheme": "http",
        "user.id": "ada",
        "session.id": "s-1",
        "weighbridge.team.id": "search",
        "weighbridge.request.id": TYPICAL.id,
        "weighbridge.request.model": "gpt-4o-mini",
        "weighbridge.outcome": "completed",
        "weighbridge.attempts": 1,
        "weighbridge.route.decision": "primary",
        "weighbridge.overhead.duration": 0.00018,
    }
    assert client.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.request.stream": True,
        "gen_ai.request.max_tokens": 512,
        "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.response.time_to_first_chunk": 0.25,
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 200,
        "gen_ai.usage.cache_read.input_tokens": 300,
        "gen_ai.usage.cache_write.input_tokens": 60,
        "gen_ai.usage.cache_creation.input_tokens": 60,
        "gen_ai.usage.reasoning.output_tokens": 40,
        "gen_ai.usage.cost": 0.00025,
        "openai.response.service_tier": "default",
        "server.address": "api.openai.com",
        "server.port": 443,
        "user.id": "ada",
        "session.id": "s-1",
        "weighbridge.team.id": "search",
        "weighbridge.request.id": TYPICAL.id,
        "weighbridge.attempt.number": 1,
        "weighbridge.usage.source": "provider",
        "weighbridge.cost.status": "priced",
        "weighbridge.cost.source": "local",
        "weighbridge.cost.currency": "USD",
        "weighbridge.cost.total": 0.00025,
        "weighbridge.cost.input": 0.0001,
        "weighbridge.cost.output": 0.00012,
        "weighbridge.cost.cache_read": 0.00002,
        "weighbridge.cost.cache_write": 0.00001,
        "weighbridge.pricing.version": "2026-11-20",
    }


def test_the_tree_hangs_from_the_caller() -> None:
    server, client = pair(TYPICAL)
    assert server.trace_id == client.trace_id == TRACE.trace_id
    assert (server.span_id, server.parent_span_id, server.parent_is_remote) == (
        0x1111,
        TRACE.parent_span_id,
        True,
    )
    assert (client.span_id, client.parent_span_id, client.parent_is_remote) == (0x2222, 0x1111, False)


def test_a_root_has_no_parent_and_may_link_the_caller() -> None:
    server, client = pair(record(trace=Trace(5, 6, 7, link_trace_id_low=8, link_span_id=9)))
    assert (server.parent_span_id, server.parent_is_remote, server.link) == (0, False, (8, 9))
    assert client.link is None


@pytest.mark.parametrize("trace", [None, Trace(), Trace(5, 6, 7, sampled=False)])
def test_no_trace_or_not_sampled_means_no_spans(trace: Trace | None) -> None:
    assert SpanMaker(STYLE).spans(record(trace=trace)) == ()


def test_a_call_that_reached_no_provider_has_no_client_span() -> None:
    (server,) = SpanMaker(STYLE).spans(record(route=Route(), outcome=Outcome.REFUSED, answer={"status": 401}))
    assert server.steady.kind is SpanKind.SERVER
    assert server.attributes[names.ROUTE_DECISION] == "blocked"
    assert not server.steady.failed


FAILURES: list[tuple[Outcome, dict[str, Any], str | None, str | None]] = [
    # outcome, answer, error.type of SERVER, error.type of CLIENT
    (Outcome.PROVIDER_ERROR, {"status": 429}, None, "429"),
    (Outcome.PROVIDER_ERROR, {"status": 400, "error_type": "ignored"}, None, "400"),
    (Outcome.PROVIDER_ERROR, {"status": 529}, "529", "529"),
    (Outcome.PROVIDER_ERROR, {"status": 200, "error_type": "stream_error"}, "stream_error", "stream_error"),
    (Outcome.PROVIDER_ERROR, {"status": 200}, "_OTHER", "_OTHER"),
    (Outcome.CONNECT_FAILED, {"status": 502}, "connection_error", "connection_error"),
    (Outcome.RESET, {"status": 502}, "connection_reset", "connection_reset"),
    (Outcome.TIMEOUT, {"status": 504}, "timeout", "timeout"),
    (Outcome.STALLED, {"status": 200}, "timeout", "timeout"),
    (Outcome.TRUNCATED, {"status": 200}, "stream_truncated", "stream_truncated"),
    (Outcome.PROTOCOL_ERROR, {"status": 502}, "protocol_error", "protocol_error"),
    (Outcome.CANCELLED, {"status": 200}, None, "client_disconnected"),
    (Outcome.CANCELLED, {"status": None}, None, "client_disconnected"),
    (Outcome.REVOKED, {"status": 200}, None, "key_revoked"),
    (Outcome.SHUTDOWN, {"status": 200}, "gateway_shutdown", "gateway_shutdown"),
    (Outcome.INTERRUPTED, {"status": None}, "gateway_crash", "gateway_crash"),
    (Outcome.GATEWAY_ERROR, {"status": 500}, "gateway_error", "gateway_error"),
    (Outcome.REFUSED, {"status": 403}, None, "refused"),
    (Outcome.REFUSED, {"status": 503}, "refused", "refused"),
]


@pytest.mark.parametrize(("outcome", "answer", "at_server", "at_client"), FAILURES)
def test_what_a_failure_is_called(
    outcome: Outcome, answer: dict[str, Any], at_server: str | None, at_client: str | None
) -> None:
    server, client = pair(record(outcome=outcome, answer=answer))
    assert (server.attributes.get(names.ERROR_TYPE), server.steady.failed) == (
        at_server,
        at_server is not None,
    )
    assert (client.attributes.get(names.ERROR_TYPE), client.steady.failed) == (
        at_client,
        at_client is not None,
    )


def test_every_way_to_end_is_covered() -> None:
    assert {failure[0] for failure in FAILURES} | {Outcome.COMPLETED} == set(Outcome)


def test_the_providers_own_code_stands_beside_the_type() -> None:
    call = record(outcome=Outcome.PROVIDER_ERROR, answer={"status": 429, "error_code": "insufficient_quota"})
    assert pair(call)[1].attributes[names.ERROR_CODE] == "insufficient_quota"


@pytest.mark.parametrize("cost", [UNPRICED, INVALID_USAGE])
def test_a_price_that_is_not_known_is_left_out(cost: Cost) -> None:
    attributes = pair(record(cost=cost))[1].attributes
    costs = {key: value for key, value in attributes.items() if "cost" in key}
    assert costs == {"weighbridge.cost.status": cost.status.value}


def test_a_call_that_cannot_cost_anything_costs_zero() -> None:
    attributes = pair(record(cost=NOT_BILLABLE))[1].attributes
    assert attributes[names.COST_TOTAL] == 0.0
    assert attributes[names.COST_STATUS] == "not_billable"


def test_a_charge_reported_by_the_provider_says_so() -> None:
    call = record(cost=Cost(CostStatus.PRICED, CostSource.PROVIDER, 1))
    assert pair(call)[1].attributes[names.COST_SOURCE] == "provider"


def test_names_for_other_backends_are_switches() -> None:
    def costs(*styles: CostStyle) -> dict[str, Any]:
        attributes = pair(TYPICAL, SpanStyle(cost=frozenset(styles)))[1].attributes
        return {
            key: value for key, value in attributes.items() if key.startswith(("gen_ai.usage.c", "ml", "llm"))
        }

    assert "gen_ai.usage.cost" not in costs()
    assert not [key for key in costs() if key.startswith(("mlflow", "llm"))]
    assert costs(CostStyle.MLFLOW)["mlflow.llm.cost"] == (
        '{"input_cost":0.00013,"output_cost":0.00012,"total_cost":0.00025}'
    )
    everything = costs(*CostStyle)
    assert everything["llm.cost.total"] == 0.00025
    assert everything["llm.cost.prompt"] == 0.00013
    assert everything["llm.cost.completion"] == 0.00012
    assert everything["gen_ai.usage.cost"] == 0.00025


def test_usage_that_was_not_reported_is_left_out_and_zero_is_not() -> None:
    attributes = pair(record(usage={"input": None, "output": 0, "cache_read": None}))[1].attributes
    assert names.USAGE_INPUT_TOKENS not in attributes
    assert attributes[names.USAGE_OUTPUT_TOKENS] == 0
    none = pair(record(usage=None, usage_source=UsageSource.NONE))[1].attributes
    assert not [key for key in none if "usage" in key and "cost" not in key]


def test_an_estimate_says_so() -> None:
    attributes = pair(record(usage_source=UsageSource.ESTIMATED))[1].attributes
    assert attributes[names.USAGE_SOURCE] == "estimated"


def test_what_belongs_to_streams_only() -> None:
    attributes = pair(record(what={"stream": False}))[1].attributes
    assert names.REQUEST_STREAM not in attributes
    assert names.RESPONSE_TIME_TO_FIRST_CHUNK not in attributes


def test_a_stream_cut_before_its_end_finished_with_an_error() -> None:
    call = record(outcome=Outcome.TRUNCATED, answer={"finish_reasons": ()})
    assert pair(call)[1].attributes[names.RESPONSE_FINISH_REASONS] == ("error",)
    before = record(outcome=Outcome.TIMEOUT, answer={"finish_reasons": ()}, timing={"first_chunk_us": None})
    assert names.RESPONSE_FINISH_REASONS not in pair(before)[1].attributes
    known = record(outcome=Outcome.CANCELLED)
    assert pair(known)[1].attributes[names.RESPONSE_FINISH_REASONS] == ("stop",)


def test_a_path_that_is_not_read_is_no_genai_call() -> None:
    call = record(
        what={"wire": None, "operation": None, "method": "GET", "path": "/v1/files/f-1", "model": None}
    )
    server, client = pair(call)
    assert server.steady.name == client.steady.name == "GET"
    assert names.HTTP_ROUTE not in server.attributes
    assert client.attributes[names.HTTP_RESPONSE_STATUS_CODE] == 200
    assert not [key for key in client.attributes if key.startswith("gen_ai.")]


def test_a_model_in_the_path_is_taken_out_of_the_route() -> None:
    path = "/v1beta/models/gemini-3-pro:generateContent"
    server, client = pair(record(what={"provider": "gemini", "path": path, "model": "gemini-3-pro"}))
    assert server.steady.name == "POST /v1beta/models/{model}:generateContent"
    assert server.attributes[names.URL_PATH] == path
    assert client.attributes[names.PROVIDER_NAME] == "gcp.gemini"


def test_users_can_be_hashed_or_left_out() -> None:
    hashed = pair(TYPICAL, SpanStyle(user_ids=UserIds.HASH, user_hash_key="k"))
    ids = {span.attributes[names.USER_ID] for span in hashed}
    assert len(ids) == 1
    assert "ada" not in str(ids)
    other = pair(TYPICAL, SpanStyle(user_ids=UserIds.HASH, user_hash_key="k2"))[0].attributes[names.USER_ID]
    assert other not in ids
    assert names.USER_ID not in pair(TYPICAL, SpanStyle(user_ids=UserIds.OFF))[0].attributes
    assert "secret" not in repr(SpanStyle(user_hash_key="secret"))


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("api.openai.com", ("api.openai.com", 443)),
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("[::1]:9000", ("::1", 9000)),
        ("[::1]", ("::1", 443)),
        ("h:bad", ("h", 443)),
    ],
)
def test_hosts(host: str, expected: tuple[str, int]) -> None:
    assert split_host(host) == expected


@PATIENT
@given(RECORDS)
def test_any_record_makes_sound_spans_of_the_vocabulary(call: CallRecord) -> None:
    spans = SpanMaker(SpanStyle(cost=frozenset(CostStyle))).spans(call)
    if call.trace is None or not call.trace.sampled:
        assert spans == ()
        return
    assert len(spans) == (1 if call.route.host is None else 2)
    for span in spans:
        assert span.start_ns <= span.end_ns
        assert span.steady.failed is (names.ERROR_TYPE in span.attributes)
        for key, value in span.attributes.items():
            assert value is not None
            if key.startswith(names.TAG_PREFIX):
                continue
            assert key in VOCABULARY
            if "cost" in key and key != names.COST_STATUS:
                assert call.cost.total is not None


@settings(PATIENT, max_examples=300)
@given(RECORDS, RECORDS, st.sets(st.sampled_from(CallRecord.__struct_fields__)))
def test_what_is_remembered_of_other_calls_changes_nothing(
    call: CallRecord, other: CallRecord, parts: set[str]
) -> None:
    """Whatever two calls have in common, and whichever of their parts differ."""
    style = SpanStyle(cost=frozenset(CostStyle))
    made = SpanMaker(style)
    mixed = msgspec.structs.replace(call, **{part: getattr(other, part) for part in parts})
    for one in (call, mixed, other, call):
        told = [(span.steady.name, span.steady.failed, span.attributes) for span in made.spans(one)]
        alone = [
            (span.steady.name, span.steady.failed, span.attributes) for span in SpanMaker(style).spans(one)
        ]
        assert told == alone
        assert not any(span.steady.attributes.keys() & span.own for span in made.spans(one))


@pytest.mark.parametrize("call", VARIATIONS)
def test_calls_that_differ_in_one_field_are_told_apart(call: CallRecord) -> None:
    made = SpanMaker(STYLE)
    made.spans(TYPICAL)
    told = [(span.steady.name, span.attributes) for span in made.spans(call)]
    assert told == [(span.steady.name, span.attributes) for span in SpanMaker(STYLE).spans(call)]
