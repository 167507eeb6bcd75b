"""Where the provider reports no usage, or not all of it, it is counted: marked, bounded, and never instead of a report."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from rig.bodies import data_event, named_event, openai_chat, openai_events
from rig.client import RawClient, call
from rig.core import Core, LaneKind
from rig.script import Script, body_read, chunked, fin, hang, head, raw, reply, rst, sse, steps
from rig.shipped import shipped_counter
from rig.upstream import ScriptedUpstream
from rig.waiting import answer_after

from pricing.cost import CostStatus
from pricing.tokens import TokenCounter
from telemetry.outcome import Outcome
from telemetry.record import CallRecord, UsageSource

CHAT = "/openai/v1/chat/completions"
MESSAGES = "/anthropic/v1/messages"
PROMPT = "How much does the blue truck weigh when it is loaded with gravel?"
WORDS = tuple(
    f"{word} "
    for word in [
        "the",
        "blue",
        "truck",
        "weighs",
        "twelve",
        "tonnes",
        "and",
        "a",
        "little",
        "more",
        "than",
        "that",
    ]
)
TEXT = "".join(WORDS)
EVENTS = openai_events(WORDS, usage=False)
ASK: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": PROMPT}]}
STREAM = {**ASK, "stream": True}


@pytest.fixture(scope="module")
def counter() -> TokenCounter:
    made = shipped_counter()
    made.count("warm", "gpt-4o")
    return made


@pytest.fixture
async def core(upstream: ScriptedUpstream, lane: LaneKind, counter: TokenCounter) -> AsyncIterator[Core]:
    """A core that counts, its vocabulary loaded."""
    async with Core(upstream.base, lane, counts=True, settings={"proxy": {"drain_seconds": 0}}) as running:
        yield running


def assert_estimated(record: CallRecord) -> None:
    assert record.usage_source is UsageSource.ESTIMATED
    assert record.cost.status is CostStatus.ESTIMATED
    assert record.cost.total is not None
    assert record.cost.total > 0


async def test_a_stream_without_usage_is_counted(
    core: Core, upstream: ScriptedUpstream, counter: TokenCounter
) -> None:
    upstream.play(sse(EVENTS))
    answer = await call(core.port, "POST", CHAT, json=STREAM)
    assert answer.body == b"".join(EVENTS)
    record = await core.record()
    assert record.outcome is Outcome.COMPLETED
    assert_estimated(record)
    assert record.usage is not None
    assert record.usage.output == counter.count(TEXT, "gpt-4o")
    assert record.usage.input == counter.count_chat([PROMPT], "gpt-4o")


async def test_an_answer_without_usage_is_counted_and_tells_its_cost(
    core: Core, upstream: ScriptedUpstream
) -> None:
    body = {name: value for name, value in openai_chat(text=TEXT).items() if name != "usage"}
    upstream.play(reply(200, json.dumps(body).encode(), headers=[("Content-Type", "application/json")]))
    answer = await call(core.port, "POST", CHAT, json=ASK)
    assert_estimated(await core.record())
    assert answer.header("x-weighbridge-cost-status") == "estimated"


async def test_what_was_reported_is_never_counted_over(core: Core, upstream: ScriptedUpstream) -> None:
    upstream.play(sse(openai_events(WORDS)))
    await call(core.port, "POST", CHAT, json=STREAM)
    record = await core.record()
    assert record.usage_source is UsageSource.PROVIDER
    assert record.cost.status is CostStatus.PRICED
    assert core.estimator.estimated == 0


async def test_a_cut_stream_is_a_lower_bound(
    core: Core, upstream: ScriptedUpstream, counter: TokenCounter
) -> None:
    upstream.play(sse(EVENTS[:6], then=fin()))
    answer = await call(core.port, "POST", CHAT, json=STREAM)
    assert not answer.complete
    record = await core.record()
    assert record.outcome is Outcome.TRUNCATED
    assert_estimated(record)
    assert record.usage is not None
    assert record.usage.output == counter.count("".join(WORDS[:5]), "gpt-4o")


async def test_reported_input_stays_and_output_is_counted_when_the_app_leaves(
    core: Core, upstream: ScriptedUpstream
) -> None:
    start = {
        "message": {
            "id": "msg_1",
            "model": "claude-sonnet-4-5",
            "usage": {"input_tokens": 321, "output_tokens": 1},
        }
    }
    delta = {"index": 0, "delta": {"type": "text_delta", "text": TEXT}}
    upstream.play(
        sse([named_event("message_start", start), named_event("content_block_delta", delta)], then=hang())
    )
    client = await RawClient.open(core.port)
    client.request("POST", MESSAGES, json={**STREAM, "model": "claude-sonnet-4-5", "max_tokens": 99})
    await client.until(b"tonnes")
    client.close()
    record = await core.record()
    assert record.outcome is Outcome.CANCELLED
    assert_estimated(record)
    assert record.usage is not None
    assert record.usage.input == 321
    assert record.usage.output is not None
    assert record.usage.output > 5


async def test_a_long_stream_is_counted_from_its_beginning(core: Core, upstream: ScriptedUpstream) -> None:
    upstream.play(sse(openai_events(WORDS * 40, usage=False), burst=True))
    await call(core.port, "POST", CHAT, json=STREAM)
    record = await core.record()
    assert record.usage is not None
    assert record.usage.output is not None
    assert 400 < record.usage.output < 700, "480 words of one token each"


JSON_HEAD = [("Content-Type", "application/json")]
NO_ANSWER: list[tuple[str, object, Script, float, Outcome, int]] = [
    ("no head", ASK, steps(body_read(), hang()), 601, Outcome.TIMEOUT, 504),
    ("no head of a stream", STREAM, steps(body_read(), hang()), 601, Outcome.TIMEOUT, 504),
    ("a head, held back", ASK, steps(body_read(), head(200, JSON_HEAD), chunked(b'{"a'), hang()), 301, Outcome.STALLED, 200),
    ("reset", ASK, steps(body_read(), rst()), 0, Outcome.RESET, 502),
    ("not HTTP", ASK, steps(body_read(), raw(b"what?\r\n\r\n")), 0, Outcome.PROTOCOL_ERROR, 502),
]  # fmt: skip


@pytest.mark.parametrize(
    ("ask", "script", "after", "outcome", "status"), [r[1:] for r in NO_ANSWER], ids=[r[0] for r in NO_ANSWER]
)
async def test_a_request_that_was_sent_and_never_answered_may_be_billed(
    core: Core,
    upstream: ScriptedUpstream,
    ask: object,
    script: Script,
    after: float,
    outcome: Outcome,
    status: int,
) -> None:
    """The provider works on it, and its bill will say so: at least the prompt is estimated, as where the app leaves."""
    upstream.play(script)
    await answer_after(core, upstream, CHAT, ask, after, status)
    record = await core.record()
    assert (record.outcome, record.answer.status) == (outcome, status)
    assert_estimated(record)


@pytest.mark.parametrize("path", ["/openai/v1/files", "/anthropic/v1/messages/count_tokens"])
async def test_what_manages_or_counts_is_free_though_never_answered(
    core: Core, upstream: ScriptedUpstream, path: str
) -> None:
    upstream.play(steps(body_read(), rst()))
    assert (await call(core.port, "POST", path, json=ASK)).status == 502
    record = await core.record()
    assert record.cost.status is CostStatus.NOT_BILLABLE
    assert core.estimator.estimated == 0


async def test_a_shutdown_before_the_answer_may_be_billed(core: Core, upstream: ScriptedUpstream) -> None:
    upstream.play(steps(body_read(), hang()))
    client = await RawClient.open(core.port)
    client.request("POST", CHAT, json=ASK)
    await upstream.seen(1)
    for exchange in list(core.live):
        exchange.shut_down()
    assert (await client.answer()).status == 503
    record = await core.record()
    assert record.outcome is Outcome.SHUTDOWN
    assert_estimated(record)


async def test_an_error_that_stalls_costs_nothing(core: Core, upstream: ScriptedUpstream) -> None:
    upstream.play(steps(body_read(), head(500, JSON_HEAD), chunked(b'{"error'), hang()))
    client = await RawClient.open(core.port)
    client.request("POST", CHAT, json=ASK)
    await client.until(b"\r\n\r\n")
    core.advance(301)
    await client.answer()
    record = await core.record()
    assert (record.outcome, record.answer.status) == (Outcome.STALLED, 500)
    assert record.cost.status is CostStatus.NOT_BILLABLE
    assert core.estimator.estimated == 0


@pytest.mark.parametrize("status", [400, 429, 500])
async def test_errors_cost_nothing(core: Core, upstream: ScriptedUpstream, status: int) -> None:
    upstream.play(
        reply(status, b'{"error":{"message":"no"}}', headers=[("Content-Type", "application/json")])
    )
    await call(core.port, "POST", CHAT, json=ASK)
    record = await core.record()
    assert record.cost.status is CostStatus.NOT_BILLABLE
    assert core.estimator.estimated == 0


async def test_no_time_to_count_is_no_reason_to_wait(
    core: Core, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.estimation.PATIENCE_S", 0.0)
    upstream.play(sse(EVENTS))
    assert (await call(core.port, "POST", CHAT, json=STREAM)).complete
    assert_estimated(await core.record())
    assert core.estimator.hurried <= core.estimator.estimated == 1


async def test_a_count_that_fails_costs_precision_and_is_told(core: Core, upstream: ScriptedUpstream) -> None:
    class Broken(TokenCounter):
        def count(self, text: str, model: str | None) -> int:
            raise RuntimeError("no vocabulary")

    core.estimator._counter = Broken()
    upstream.play(sse(EVENTS))
    assert (await call(core.port, "POST", CHAT, json=STREAM)).complete
    assert_estimated(await core.record())
    assert [str(defect) for defect in core.defects] == ["no vocabulary"]
    core.defects.clear()


async def test_an_app_that_leaves_costs_what_the_provider_reports_when_the_answer_is_read_on(
    upstream: ScriptedUpstream, lane: LaneKind
) -> None:
    async with Core(upstream.base, lane, counts=True, settings={"proxy": {"drain_seconds": 5}}) as core:
        events = openai_events(WORDS)
        gate = asyncio.Semaphore(1)
        upstream.play(sse(events, gate=gate))
        client = await RawClient.open(core.port)
        client.request("POST", CHAT, json=STREAM)
        await client.until(events[0])
        client.close()
        await core.turn()
        for _ in events:
            gate.release()
        record = await core.record()
        assert record.outcome is Outcome.CANCELLED
        assert record.usage_source is UsageSource.PROVIDER
        assert record.cost.status is CostStatus.PRICED
        assert not core.live


async def test_reading_on_ends_with_its_time(upstream: ScriptedUpstream, lane: LaneKind) -> None:
    async with Core(upstream.base, lane, counts=True, settings={"proxy": {"drain_seconds": 5}}) as core:
        upstream.play(sse(EVENTS[:4], then=hang()))
        client = await RawClient.open(core.port)
        client.request("POST", CHAT, json=STREAM)
        await client.until(EVENTS[3])
        client.close()
        await core.turn()
        assert core.live
        core.advance(5.1)
        record = await core.record()
        assert record.outcome is Outcome.CANCELLED
        assert_estimated(record)
        await upstream.left()


async def test_prompts_are_counted_without_their_pictures(core: Core, upstream: ScriptedUpstream) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 40_000}}
    content = [{"type": "text", "text": PROMPT}, picture]
    upstream.play(sse([data_event({"id": "x", "model": "gpt-4o", "choices": []}), *EVENTS]))
    await call(core.port, "POST", CHAT, json={**STREAM, "messages": [{"role": "user", "content": content}]})
    record = await core.record()
    assert record.usage is not None
    assert record.usage.input is not None
    assert record.usage.input < 40
