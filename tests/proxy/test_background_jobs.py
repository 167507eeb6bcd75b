"""Background jobs are billed once, by whoever asks after them, and their polls cost nothing."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rig.client import call
from rig.core import Core, LaneKind
from rig.script import reply
from rig.upstream import ScriptedUpstream

from gateway.background import job_id
from pricing.cost import CostSource, CostStatus
from storage.rows import started_ms
from telemetry.record import CallRecord, UsageSource

BEGAN = 1_760_000_000
RESPONSE: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "created_at": BEGAN,
    "background": True,
    "model": "gpt-4o-2024-08-06",
    "status": "completed",
    "usage": {"input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100},
}
BATCH: dict[str, Any] = {
    "id": "batch_1",
    "object": "batch",
    "created_at": BEGAN,
    "model": "gpt-4o-2024-08-06",
    "status": "completed",
    "usage": {"input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100},
}


@pytest.fixture
async def core(upstream: ScriptedUpstream, lane: LaneKind) -> AsyncIterator[Core]:
    names = ("openai", "anthropic", "gemini", "perplexity", "replicate")
    providers = {name: {"base_url": upstream.base} for name in names}
    async with Core(upstream.base, lane, settings={"providers": providers}) as running:
        yield running


def played(upstream: ScriptedUpstream, *bodies: dict[str, Any]) -> None:
    lines = [("Content-Type", "application/json")]
    upstream.play(*[reply(200, json.dumps(body).encode(), headers=lines) for body in bodies])


def jobs(core: Core) -> list[CallRecord]:
    return [record for record in core.records if record.what.operation == "background_job"]


async def test_every_poll_of_a_response_makes_the_same_record(core: Core, upstream: ScriptedUpstream) -> None:
    started = {**RESPONSE, "status": "queued", "usage": None}
    played(upstream, started, {**started, "status": "in_progress"}, RESPONSE, RESPONSE)
    ask = {"model": "gpt-4o", "input": "x", "background": True}
    await call(core.port, "POST", "/openai/v1/responses", json=ask)
    for _ in range(3):
        await call(core.port, "GET", "/openai/v1/responses/resp_1")
    found = jobs(core)
    assert len(found) == 2
    assert {record.id for record in found} == {job_id("openai", "resp_1", BEGAN)}
    assert found[0].cost.total == 1000 * 2_500 + 100 * 10_000
    others = [record for record in core.records if record not in found]
    assert [record.cost.total for record in others] == [0, 0, 0, 0]
    assert all(record.usage is None for record in others)


async def test_a_job_with_a_tool_whose_fee_is_not_told_is_a_lower_bound(
    core: Core, upstream: ScriptedUpstream
) -> None:
    played(upstream, {**RESPONSE, "output": [{"type": "code_interpreter_call", "id": "ci_1"}]})
    await call(core.port, "GET", "/openai/v1/responses/resp_1")
    usage = {
        "total_input_tokens": 100,
        "total_output_tokens": 10,
        "total_tokens": 110,
        "grounding_tool_count": [{"type": "google_maps", "count": 1}],
    }
    interaction = {"id": "v1_x", "status": "completed", "model": "gemini-2.5-flash", "background": True}
    played(upstream, {**interaction, "usage": usage})
    await call(core.port, "GET", "/gemini/v1beta/interactions/v1_x")
    assert [record.cost.status for record in jobs(core)] == [CostStatus.PARTIAL] * 2
    assert jobs(core)[0].cost.total == 1000 * 2_500 + 100 * 10_000


async def test_a_batch_costs_half_and_only_when_it_has_ended(core: Core, upstream: ScriptedUpstream) -> None:
    played(upstream, {**BATCH, "status": "in_progress"}, BATCH)
    for _ in range(2):
        await call(core.port, "GET", "/openai/v1/batches/batch_1")
    (found,) = jobs(core)
    assert found.cost.status is CostStatus.PRICED
    assert found.cost.total == (1000 * 2_500 + 100 * 10_000) // 2
    assert found.timing.started_ns == BEGAN * 10**9


SILENT = [
    ("GET", "/openai/v1/responses/resp_1", {**RESPONSE, "usage": None}),
    ("GET", "/openai/v1/responses/resp_1", {**RESPONSE, "status": "failed", "usage": None}),
    ("POST", "/openai/v1/responses/resp_1/cancel", {**RESPONSE, "status": "cancelled", "usage": None}),
    ("GET", "/openai/v1/batches/batch_1", {**BATCH, "usage": None}),
    ("GET", "/openai/v1/batches/batch_1", {**BATCH, "usage": {"input_tokens": 0, "output_tokens": 0}}),
    (
        "GET",
        "/openai/v1/threads/t/runs/run_1",
        {"id": "run_1", "object": "thread.run", "status": "expired", "model": "gpt-4o", "created_at": BEGAN},
    ),
    (
        "GET",
        "/anthropic/v1/messages/batches/msgbatch_1",
        {
            "id": "msgbatch_1",
            "type": "message_batch",
            "processing_status": "ended",
            "request_counts": {"succeeded": 3},
            "created_at": "2025-10-09T08:53:20Z",
        },
    ),
    (
        "GET",
        "/gemini/v1beta/interactions/v1_x",
        {"id": "v1_x", "status": "completed", "model": "gemini-2.5-flash", "background": True},
    ),
]


@pytest.mark.parametrize(("method", "path", "body"), SILENT)
async def test_a_job_that_ends_without_telling_what_it_used_is_unpriced(
    core: Core, upstream: ScriptedUpstream, method: str, path: str, body: dict[str, Any]
) -> None:
    played(upstream, body, body)
    for _ in range(2):
        await call(core.port, method, path)
    found = jobs(core)
    assert len(found) == 2
    assert len({record.id for record in found}) == 1
    assert (found[0].cost.status, found[0].cost.total) == (CostStatus.UNPRICED, None)
    assert found[0].usage_source is UsageSource.NONE


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/openai/v1/batches/batch_1", {**BATCH, "usage": None, "request_counts": {"completed": 0}}),
        ("/openai/v1/batches/batch_1", {**BATCH, "usage": None, "status": "failed"}),
        (
            "/anthropic/v1/messages/batches/m",
            {
                "id": "m",
                "type": "message_batch",
                "processing_status": "ended",
                "request_counts": {"succeeded": 0},
            },
        ),
    ],
)
async def test_a_batch_of_which_nothing_was_done_leaves_no_record_of_its_own(
    core: Core, upstream: ScriptedUpstream, path: str, body: dict[str, Any]
) -> None:
    played(upstream, body)
    await call(core.port, "GET", path)
    assert (await core.record()).cost.status is CostStatus.NOT_BILLABLE
    assert not jobs(core)


async def test_a_job_whose_counts_are_impossible_has_no_price(core: Core, upstream: ScriptedUpstream) -> None:
    played(upstream, {**RESPONSE, "usage": {"input_tokens": -1, "output_tokens": 5}})
    await call(core.port, "GET", "/openai/v1/responses/resp_1")
    (found,) = jobs(core)
    assert (found.cost.status, found.usage) == (CostStatus.INVALID_USAGE, None)


@pytest.mark.parametrize(
    "path", ["/openai/v1/batches", "/openai/v1/threads/t/runs", "/anthropic/v1/messages/batches"]
)
async def test_a_call_that_may_have_begun_a_job_is_not_called_free(
    core: Core, upstream: ScriptedUpstream, path: str
) -> None:
    played(upstream, {"in": "words of its own"})
    await call(core.port, "POST", path, json={})
    assert (await core.record()).cost.status is CostStatus.UNPRICED


async def test_a_prediction_that_was_waited_for_is_billed_once(
    core: Core, upstream: ScriptedUpstream
) -> None:
    told = {
        "id": "p1",
        "model": "meta/llama",
        "status": "succeeded",
        "created_at": "2026-05-01T10:00:00Z",
        "metrics": {"input_token_count": 14, "output_token_count": 30},
    }
    played(upstream, told, told)
    await call(core.port, "POST", "/replicate/v1/models/meta/llama/predictions", json={"input": {}})
    await call(core.port, "GET", "/replicate/v1/predictions/p1")
    assert len({record.id for record in jobs(core)}) == 1
    others = [record for record in core.records if record.what.operation != "background_job"]
    assert [record.cost.total for record in others] == [0, 0]


async def test_an_interaction_in_the_background_is_billed_once(
    core: Core, upstream: ScriptedUpstream
) -> None:
    job = {
        "id": "v1_x",
        "status": "in_progress",
        "model": "gemini-2.5-flash",
        "background": True,
        "created": "2026-05-01T10:00:00Z",
    }
    usage = {"total_input_tokens": 100, "total_output_tokens": 10, "total_tokens": 110}
    played(upstream, job, {**job, "status": "completed", "usage": usage})
    ask = {"model": "gemini-2.5-flash", "input": "hello " * 100, "background": True}
    await call(core.port, "POST", "/gemini/v1beta/interactions", json=ask)
    await call(core.port, "GET", "/gemini/v1beta/interactions/v1_x")
    (found,) = jobs(core)
    assert sum(record.cost.total or 0 for record in core.records) == found.cost.total
    assert found.cost.status is CostStatus.PRICED


async def test_what_works_on_after_its_answer_is_not_estimated_by_its_prompt(
    upstream: ScriptedUpstream, lane: LaneKind
) -> None:
    played(upstream, {"id": "v1_x", "status": "in_progress", "model": "gemini-2.5-flash"})
    async with Core(upstream.base, lane, counts=True) as core:
        ask = {"model": "gemini-2.5-flash", "input": "hello"}
        await call(core.port, "POST", "/gemini/v1beta/interactions", json=ask)
        assert (await core.record()).cost.status is CostStatus.UNPRICED


async def test_an_asynchronous_completion_costs_what_its_poll_says(
    core: Core, upstream: ScriptedUpstream
) -> None:
    begun = {
        "id": "j",
        "model": "sonar-deep-research",
        "created_at": BEGAN,
        "status": "CREATED",
        "response": None,
    }
    usage = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30, "cost": {"total_cost": 0.0425}}
    answer = {"model": "sonar-deep-research", "usage": usage}
    played(upstream, begun, {**begun, "status": "COMPLETED", "response": answer})
    ask = {"request": {"model": "sonar-deep-research", "messages": []}}
    await call(core.port, "POST", "/perplexity/async/chat/completions", json=ask)
    await call(core.port, "GET", "/perplexity/async/chat/completions/j")
    (found,) = jobs(core)
    assert (found.cost.status, found.cost.total) == (CostStatus.PRICED, 42_500_000)
    assert found.cost.source is CostSource.PROVIDER
    assert sum(record.cost.total or 0 for record in core.records) == 42_500_000


def gemini_batch(state: str, *usages: dict[str, int]) -> dict[str, Any]:
    answers = [{"response": {"candidates": [], "usageMetadata": usage}} for usage in usages]
    about = {
        "model": "models/gemini-2.5-flash",
        "createTime": "2026-05-01T10:00:00.469338586Z",
        "batchStats": {"requestCount": "2", "successfulRequestCount": str(len(usages))},
        "state": f"BATCH_STATE_{state}",
    }
    output = {"inlinedResponses": {"inlinedResponses": answers}} if answers else None
    return {"name": "batches/b1", "metadata": about, "response": output}


async def test_a_batch_of_gemini_costs_what_its_answers_say(core: Core, upstream: ScriptedUpstream) -> None:
    usage = {"promptTokenCount": 1_000_000, "candidatesTokenCount": 100_000, "thoughtsTokenCount": 900_000}
    done = gemini_batch("SUCCEEDED", usage, usage)
    played(upstream, gemini_batch("PENDING"), gemini_batch("RUNNING"), done, done)
    await call(core.port, "POST", "/gemini/v1beta/models/gemini-2.5-flash:batchGenerateContent", json={})
    for _ in range(3):
        await call(core.port, "GET", "/gemini/v1beta/batches/b1")
    assert len({record.id for record in jobs(core)}) == 1
    found = jobs(core)[0]
    assert found.usage is not None
    assert (found.usage.input, found.usage.output, found.usage.reasoning) == (2_000_000, 2_000_000, 1_800_000)
    assert (found.cost.status, found.cost.total) == (
        CostStatus.PRICED,
        2_800_000_000,
    )  # half of $0.30 and $2.50


async def test_a_batch_of_gemini_too_large_to_be_read_is_unpriced(
    core: Core, upstream: ScriptedUpstream
) -> None:
    done = gemini_batch("SUCCEEDED", {"promptTokenCount": 1})
    played(upstream, {**done, "metadata": {**done["metadata"], "displayName": "x" * 5_000_000}})
    await call(core.port, "GET", "/gemini/v1beta/batches/b1")
    (found,) = jobs(core)
    assert (found.answer.model, found.cost.status) == (None, CostStatus.UNPRICED)


@pytest.mark.parametrize("told", [None, "yesterday", -5, 10**12, True])
async def test_a_job_of_no_known_age_is_billed_all_the_same(
    core: Core, upstream: ScriptedUpstream, told: object
) -> None:
    played(upstream, {**RESPONSE, "created_at": told}, {**RESPONSE, "created_at": told})
    for _ in range(2):
        await call(core.port, "GET", "/openai/v1/responses/resp_1")
    assert len({record.id for record in jobs(core)}) == 1


@given(st.text(max_size=80), st.text(max_size=80), st.integers(1_577_836_800, 4_000_000_000))
def test_the_id_of_a_job_is_a_uuid_of_its_time(provider: str, job: str, began: int) -> None:
    made = job_id(provider, job, began)
    assert made == job_id(provider, job, began)
    assert started_ms(made) == began * 1000
    assert made[14] == "7"
    assert made[19] in "89ab"
    assert made != job_id(provider + "x", job, began)
