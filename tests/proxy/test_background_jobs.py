"""Background jobs are billed once, by whoever asks after them, and their polls cost nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rig.client import call
from rig.core import Core
from rig.script import reply
from rig.upstream import ScriptedUpstream

from gateway.background import job_id
from pricing.cost import CostStatus
from storage.rows import started_ms
from telemetry.record import CallRecord

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
