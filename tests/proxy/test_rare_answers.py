"""What few answers say, and what it does to their price: through the gateway, with the prices that ship."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from rig.bodies import named_event
from rig.client import call
from rig.core import Core, LaneKind
from rig.script import redirect, reply, sse
from rig.upstream import ScriptedUpstream

from pricing.cost import Cost, CostSource, CostStatus
from telemetry.record import CallRecord

JSON = [("Content-Type", "application/json")]
NAMES = (
    *("openai", "anthropic", "gemini", "mistral", "groq", "xai", "azure", "bedrock", "openrouter"),
    *("perplexity", "vertex"),
)


@pytest.fixture
async def core(upstream: ScriptedUpstream, lane: LaneKind) -> AsyncIterator[Core]:
    providers = {name: {"base_url": upstream.base} for name in NAMES}
    async with Core(upstream.base, lane, settings={"providers": providers}) as running:
        yield running


async def recorded(
    core: Core,
    upstream: ScriptedUpstream,
    path: str,
    answer: Any,
    ask: dict[str, Any] | None = None,
    headers: list[tuple[str, str]] | None = None,
) -> CallRecord:
    """The record of one call: ``answer`` is a document, or the events of a stream."""
    body = {"model": "asked-for", "messages": []} if ask is None else ask
    if isinstance(answer, list):
        upstream.play(sse(answer))
    else:
        upstream.play(reply(200, json.dumps(answer).encode(), headers=[*JSON, *(headers or [])]))
    got = await call(core.port, "POST", path, json=body)
    assert got.status == 200
    return await core.record(len(core.records) or 1)


def told(cost: Cost) -> tuple[CostStatus, int | None]:
    return cost.status, cost.total


def claude(model: str, usage: dict[str, Any], stop: str = "end_turn") -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": stop,
        "usage": usage,
    }


def attempt(kind: str, model: str, asked: int, made: int) -> dict[str, Any]:
    return {"type": kind, "model": model, "input_tokens": asked, "output_tokens": made}


async def test_a_request_refused_unheard_is_counted_and_free(core: Core, upstream: ScriptedUpstream) -> None:
    answer = claude("claude-fable-5", {"input_tokens": 412, "output_tokens": 0}, "refusal")
    record = await recorded(core, upstream, "/anthropic/v1/messages", answer)
    assert record.usage is not None
    assert (record.usage.input, record.usage.output) == (412, 0)
    assert told(record.cost) == (CostStatus.PRICED, 0)


async def test_a_fallback_is_paid_once_and_by_the_models_that_spoke(
    core: Core, upstream: ScriptedUpstream
) -> None:
    attempts = [
        attempt("message", "claude-fable-5", 535, 7),
        attempt("fallback_message", "claude-opus-4-8", 412, 264),
    ]
    start = claude("claude-fable-5", {"input_tokens": 535, "output_tokens": 1})
    delta = {
        "delta": {"stop_reason": "end_turn"},
        "usage": {"input_tokens": 412, "output_tokens": 264, "iterations": attempts},
    }
    events = [
        named_event("message_start", {"message": start}),
        named_event("message_delta", delta),
        named_event("message_stop", {}),
    ]
    record = await recorded(core, upstream, "/anthropic/v1/messages", events, {"model": "x", "stream": True})
    assert record.answer.model == "claude-opus-4-8"
    assert record.usage is not None
    assert (record.usage.input, record.usage.output) == (412, 264)
    opus, fable = 412 * 5_000 + 264 * 25_000, 535 * 10_000 + 7 * 50_000
    assert told(record.cost) == (CostStatus.PRICED, opus + fable)


async def test_an_answer_with_a_tool_whose_fee_is_not_told_is_a_lower_bound(
    core: Core, upstream: ScriptedUpstream
) -> None:
    answer = {
        "id": "resp_1",
        "status": "completed",
        "model": "gpt-5",
        "output": [{"type": "code_interpreter_call", "id": "ci_1"}],
        "usage": {"input_tokens": 100, "output_tokens": 10, "total_tokens": 110},
    }
    record = await recorded(core, upstream, "/openai/v1/responses", answer)
    assert told(record.cost) == (CostStatus.PARTIAL, 100 * 1_250 + 10 * 10_000)


async def test_a_compaction_is_billed(core: Core, upstream: ScriptedUpstream) -> None:
    answer = {
        "id": "resp_1",
        "object": "response.compaction",
        "output": [],
        "usage": {"input_tokens": 100, "output_tokens": 10, "total_tokens": 110},
    }
    record = await recorded(core, upstream, "/openai/v1/responses/compact", answer, {"model": "gpt-5"})
    assert told(record.cost) == (CostStatus.PRICED, 100 * 1_250 + 10 * 10_000)


async def test_a_system_of_several_models_is_paid_by_each_of_them(
    core: Core, upstream: ScriptedUpstream
) -> None:
    usage = {"prompt_tokens": 200, "completion_tokens": 30, "total_tokens": 230, "queue_time": 0.1}
    answer = {
        "id": "c1",
        "model": "groq/compound",
        "choices": [{"finish_reason": "stop"}],
        "usage": usage,
        "usage_breakdown": {"models": [{"model": "openai/gpt-oss-120b", "usage": usage}]},
    }
    record = await recorded(core, upstream, "/groq/openai/v1/chat/completions", answer)
    assert record.usage is not None
    assert (record.usage.input, record.usage.output) == (200, 30)
    assert record.cost.source is CostSource.CATALOGUE
    assert told(record.cost) == (CostStatus.PARTIAL, 200 * 150 + 30 * 600)


async def test_a_deployment_that_only_the_path_names_is_recorded(
    core: Core, upstream: ScriptedUpstream
) -> None:
    path = "/azure/openai/deployments/dall-e-3/images/generations?api-version=2024-10-21"
    answer = {"created": 1, "data": [{"url": "https://example.com/x.png"}]}
    record = await recorded(core, upstream, path, answer, {"prompt": "a cat"})
    assert record.what.model == "dall-e-3"


async def test_openrouters_charge_holds_whatever_the_path(core: Core, upstream: ScriptedUpstream) -> None:
    usage: dict[str, Any] = {"input_tokens": 20, "output_tokens": 5, "cost": 0.000123}
    answer = claude("anthropic/claude-sonnet-4.5", usage)
    record = await recorded(core, upstream, "/openrouter/api/v1/messages", answer)
    assert (record.cost.source, record.cost.total) == (CostSource.PROVIDER, 123_000)
    usage["iterations"] = [
        {"type": "compaction", "input_tokens": 9_000, "output_tokens": 500},
        {"type": "message", "input_tokens": 20, "output_tokens": 5},
    ]
    record = await recorded(core, upstream, "/openrouter/api/v1/messages", answer)
    assert record.also
    assert (record.cost.source, record.cost.total) == (CostSource.PROVIDER, 123_000)


async def test_conversations_are_billed_at_mistral_and_nowhere_else(
    core: Core, upstream: ScriptedUpstream
) -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    outputs = [{"type": "message.output", "model": "mistral-medium-2508", "content": "Hi"}]
    answer = {"conversation_id": "conv_1", "outputs": outputs, "usage": usage}
    for path in ("/mistral/v1/conversations", "/mistral/v1/conversations/conv_1"):
        record = await recorded(core, upstream, path, answer, {"model": "mistral-medium-latest"})
        assert told(record.cost) == (CostStatus.PRICED, 100 * 400 + 10 * 2_000)
    await call(core.port, "GET", "/mistral/v1/conversations/conv_1")
    assert (await core.record(3)).what.wire == "control"
    record = await recorded(core, upstream, "/openai/v1/conversations/conv_1", answer)
    assert record.cost.status is CostStatus.NOT_BILLABLE


def gemini(model: str, usage: dict[str, Any], **candidate: Any) -> dict[str, Any]:
    found = {"content": {"parts": [{"text": "Hi"}]}, "finishReason": "STOP", **candidate}
    return {"candidates": [found], "usageMetadata": usage, "modelVersion": model, "responseId": "r1"}


async def test_searches_are_charged_and_what_they_put_into_the_prompt_is_not(
    core: Core, upstream: ScriptedUpstream
) -> None:
    usage = {
        "promptTokenCount": 1000,
        "cachedContentTokenCount": 400,
        "toolUsePromptTokenCount": 5000,
        "candidatesTokenCount": 10,
        "totalTokenCount": 6010,
    }
    searched = {"webSearchQueries": ["a", "", "b", "a"]}
    answer = gemini("gemini-3-flash-preview", usage, groundingMetadata=searched)
    path = "/gemini/v1beta/models/gemini-3-flash-preview:generateContent"
    record = await recorded(core, upstream, path, answer, {"contents": []})
    assert record.usage is not None
    assert record.usage.input == 6000
    tokens = 600 * 500 + 400 * 50 + 10 * 3_000
    assert told(record.cost) == (CostStatus.PRICED, tokens + 2 * 14_000_000)


async def test_a_tier_that_only_a_header_tells_changes_the_price(
    core: Core, upstream: ScriptedUpstream
) -> None:
    usage = {"promptTokenCount": 1000, "candidatesTokenCount": 10, "totalTokenCount": 1010}
    path = "/gemini/v1beta/models/gemini-2.5-flash:generateContent"
    answer = gemini("gemini-2.5-flash", usage)
    tier = [("x-gemini-service-tier", "priority")]
    record = await recorded(core, upstream, path, answer, {"contents": []}, tier)
    assert record.answer.service_tier == "priority"
    assert record.cost.status is CostStatus.ESTIMATED  # no such rate is known: the standard ones stand in
    record = await recorded(
        core, upstream, path, answer, {"contents": []}, [("x-gemini-service-tier", "standard")]
    )
    assert record.cost.status is CostStatus.PRICED


async def test_an_interaction_is_billed_and_its_poll_is_not(core: Core, upstream: ScriptedUpstream) -> None:
    usage = {
        "total_input_tokens": 100,
        "total_output_tokens": 10,
        "total_thought_tokens": 5,
        "total_tokens": 115,
    }
    answer = {"id": "v1_x", "status": "completed", "model": "gemini-2.5-flash", "usage": usage}
    record = await recorded(
        core, upstream, "/gemini/v1beta/interactions", answer, {"model": "gemini-2.5-flash"}
    )
    assert told(record.cost) == (CostStatus.PRICED, 100 * 300 + 15 * 2_500)
    upstream.play(reply(200, json.dumps(answer).encode(), headers=JSON))
    await call(core.port, "GET", "/gemini/v1beta/interactions/v1_x")
    assert (await core.record(2)).cost.status is CostStatus.NOT_BILLABLE


async def test_a_call_that_is_sent_elsewhere_costs_nothing(core: Core, upstream: ScriptedUpstream) -> None:
    upstream.play(redirect("https://example.com/v1/chat/completions", 307))
    answer = await call(core.port, "POST", "/openai/v1/chat/completions", json={"model": "gpt-4o"})
    assert answer.status == 307
    assert (await core.record()).cost.status is CostStatus.NOT_BILLABLE


async def test_a_call_that_is_sent_elsewhere_used_nothing(core: Core, upstream: ScriptedUpstream) -> None:
    told = {"model": "gpt-4o", "choices": [{"message": {"content": "moved"}}]}
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    ask = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello there"}]}
    for count, body in enumerate((told, {**told, "usage": usage}), 1):
        upstream.play(reply(307, json.dumps(body).encode(), headers=[*JSON, ("Location", "/v2")]))
        await call(core.port, "POST", "/openai/v1/chat/completions", json=ask)
        record = await core.record(count)
        assert (record.usage, record.cost.status) == (None, CostStatus.NOT_BILLABLE)


async def test_an_answer_that_is_no_json_at_all_is_unpriced(core: Core, upstream: ScriptedUpstream) -> None:
    page = b"<!doctype html><title>Just a moment...</title>"
    upstream.play(reply(200, page, headers=[("Content-Type", "text/html")]), reply(200, b"", headers=JSON))
    for count in (1, 2):
        await call(core.port, "POST", "/openai/v1/chat/completions", json={"model": "gpt-4o"})
        record = await core.record(count)
        assert record.usage is None
        assert record.cost.status is CostStatus.UNPRICED
    upstream.play(reply(502, page, headers=[("Content-Type", "text/html")]))
    await call(core.port, "POST", "/openai/v1/chat/completions", json={"model": "gpt-4o"})
    record = await core.record(3)
    assert (record.cost.status, record.answer.error_type) == (CostStatus.NOT_BILLABLE, "502")


async def test_bedrocks_tiers_routers_and_guardrails_are_seen_by_the_price(
    core: Core, upstream: ScriptedUpstream
) -> None:
    usage = {"inputTokens": 1000, "outputTokens": 100, "totalTokens": 1100}
    chosen = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0"
    answer = {
        "output": {"message": {"role": "assistant", "content": [{"text": "Hi"}]}},
        "stopReason": "end_turn",
        "usage": usage,
    }
    router = "/bedrock/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Adefault-prompt-router%2Fnova/converse"
    traced = {**answer, "trace": {"promptRouter": {"invokedModelId": chosen}}}
    record = await recorded(core, upstream, router, traced, {"messages": []})
    assert (record.answer.model, record.cost.status) == (chosen, CostStatus.PRICED)
    assert record.cost.total == 1000 * 60 + 100 * 240
    path = "/bedrock/model/amazon.nova-lite-v1%3A0/converse"
    fast = {**answer, "performanceConfig": {"latency": "optimized"}}
    record = await recorded(core, upstream, path, fast, {"messages": []})
    assert record.cost.status is CostStatus.ESTIMATED
    guarded = {"messages": [], "guardrailConfig": {"guardrailIdentifier": "g1", "guardrailVersion": "1"}}
    record = await recorded(core, upstream, path, answer, guarded)
    assert record.cost.status is CostStatus.PARTIAL
    record = await recorded(core, upstream, path, answer, {"messages": []})
    assert told(record.cost) == (CostStatus.PRICED, 1000 * 60 + 100 * 240)
