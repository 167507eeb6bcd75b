"""Streams whose tokens pass in one step end like all others: whoever leaves, whoever is slow."""

from __future__ import annotations

import asyncio

import pytest
from rig.bodies import OPENAI_USAGE, openai_events
from rig.client import Answer, RawClient
from rig.core import Core, LaneKind
from rig.script import hang, sse
from rig.upstream import ScriptedUpstream

from gateway.passing import Passing
from telemetry.outcome import Outcome

CHAT = "/openai/v1/chat/completions"
STREAM = {"model": "gpt-4o", "messages": [], "stream": True}
WORDS = tuple(f" t{number}" for number in range(40))
EVENTS = openai_events(WORDS)


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The reads that passed in one step."""
    reads: list[bytes] = []
    real = Passing.passes

    def passes(self: Passing, data: bytes) -> bool:
        done = real(self, data)
        if done:
            reads.append(data)
        return done

    monkeypatch.setattr(Passing, "passes", passes)
    return reads


async def begun(core: Core, upstream: ScriptedUpstream, gate: asyncio.Semaphore, until: int) -> RawClient:
    """A stream of which the app has read so many events, one by one."""
    upstream.play(sse(EVENTS, gate=gate))
    client = await RawClient.open(core.port)
    client.request("POST", CHAT, json=STREAM)
    for event in EVENTS[:until]:
        gate.release()
        await client.until(event)
    return client


async def whole(core: Core, upstream: ScriptedUpstream, passed: list[bytes]) -> Answer:
    """A stream read to its end; its tokens passed."""
    gate = asyncio.Semaphore(0)
    client = await begun(core, upstream, gate, len(EVENTS) - 4)
    assert len(passed) > 30
    for _ in range(4):
        gate.release()
    return await client.answer()


async def test_tokens_pass_and_the_last_events_are_read(
    core: Core, upstream: ScriptedUpstream, passed: list[bytes]
) -> None:
    answer = await whole(core, upstream, passed)
    assert answer.body == b"".join(EVENTS)
    record = await core.record()
    assert record.outcome is Outcome.COMPLETED
    assert record.usage is not None
    assert record.usage.output == OPENAI_USAGE["completion_tokens"]
    assert record.answer.response_bytes == len(answer.body)


async def test_tokens_pass_where_the_usage_is_kept_from_the_app(
    upstream: ScriptedUpstream, lane: LaneKind, passed: list[bytes]
) -> None:
    async with Core(upstream.base, lane, inject=True) as core:
        answer = await whole(core, upstream, passed)
        assert answer.body == b"".join(EVENTS[:-2] + EVENTS[-1:])
        record = await core.record()
        assert record.usage is not None
        assert record.usage.output == OPENAI_USAGE["completion_tokens"]


async def test_what_is_held_back_goes_before_what_passes(
    upstream: ScriptedUpstream, lane: LaneKind, passed: list[bytes]
) -> None:
    async with Core(upstream.base, lane, inject=True) as core:
        begin, token = b'data: {"x":"', EVENTS[5]
        events = [*EVENTS[:10], begin, token, *EVENTS[10:]]
        gate = asyncio.Semaphore(0)
        upstream.play(sse(events, gate=gate))
        client = await RawClient.open(core.port)
        client.request("POST", CHAT, json=STREAM)
        for event in EVENTS[:10]:
            gate.release()
            await client.until(event)
        for _ in events[10:]:
            gate.release()
            await core.turn()
        answer = await client.answer()
        assert passed
        assert answer.body == b"".join(events[:-2] + events[-1:])


async def test_a_provider_that_breaks_off_between_tokens_leaves_one_record(
    core: Core, upstream: ScriptedUpstream, passed: list[bytes]
) -> None:
    gate = asyncio.Semaphore(0)
    client = await begun(core, upstream, gate, 30)
    upstream.peers[0].reset()
    await client.closed()
    record = await core.record()
    assert passed
    assert record.outcome is Outcome.TRUNCATED
    assert record.answer.response_bytes == len(b"".join(EVENTS[:30]))


async def test_an_app_that_leaves_between_tokens_stops_the_provider(
    core: Core, upstream: ScriptedUpstream, passed: list[bytes]
) -> None:
    gate = asyncio.Semaphore(0)
    client = await begun(core, upstream, gate, 30)
    client.abort()
    record = await core.record()
    await upstream.left()
    assert passed
    assert record.outcome is Outcome.CANCELLED
    assert not core.live


async def test_an_app_that_left_gets_nothing_of_what_is_read_on(
    upstream: ScriptedUpstream, lane: LaneKind, passed: list[bytes]
) -> None:
    async with Core(upstream.base, lane, settings={"proxy": {"drain_seconds": 5}}) as core:
        gate = asyncio.Semaphore(0)
        client = await begun(core, upstream, gate, 30)
        client.abort()
        await core.turn()
        before = len(passed)
        for _ in EVENTS:
            gate.release()
        record = await core.record()
        assert (before > 0, len(passed)) == (True, before)
        assert record.outcome is Outcome.CANCELLED
        assert record.usage is not None
        assert record.usage.output == OPENAI_USAGE["completion_tokens"]


async def test_a_stream_that_stalls_between_tokens_meets_its_deadline(
    core: Core, upstream: ScriptedUpstream, passed: list[bytes]
) -> None:
    upstream.play(sse(EVENTS[:30], then=hang()))
    client = await RawClient.open(core.port)
    client.request("POST", CHAT, json=STREAM)
    await client.until(EVENTS[29])
    core.advance(100)
    assert core.live, "the last token came a moment ago"
    core.advance(100_000)
    await client.closed()
    assert (await core.record()).outcome is Outcome.TIMEOUT


async def test_an_app_that_reads_slowly_gets_every_token(
    core: Core, upstream: ScriptedUpstream, passed: list[bytes]
) -> None:
    events = openai_events(WORDS * 400)
    upstream.play(sse(events))
    client = await RawClient.open(core.port, receive_buffer=4096)
    client.request("POST", CHAT, json=STREAM)
    await client.until(events[0])
    for _ in range(20):
        client.pause()
        await core.turn()
        client.resume()
        await core.turn()
    answer = await client.answer()
    assert answer.body == b"".join(events)
    assert (await core.record()).outcome is Outcome.COMPLETED


async def test_a_defect_while_a_token_passes_ends_the_call_with_one_record(
    core: Core, upstream: ScriptedUpstream, passed: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = asyncio.Semaphore(0)
    client = await begun(core, upstream, gate, 30)

    def broken(self: Passing, data: bytes) -> bool:
        raise ValueError("a defect")

    for exchange in core.live:
        assert exchange.connection is not None
        exchange.connection.passing = broken.__get__(exchange._passing)
    gate.release()
    await client.closed()
    record = await core.record()
    assert record.outcome is Outcome.GATEWAY_ERROR
    assert len(core.records) == 1
    assert [str(defect) for defect in core.defects] == ["a defect"]
    core.defects.clear()
