"""A defect of ours in the middle of a record's making costs what that stage would have found out, never the record."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, NoReturn

import pytest
from rig.bodies import anthropic_events, named_event, openai_chat, openai_events
from rig.client import RawClient, call
from rig.core import Core, LaneKind
from rig.script import Script, chunked_end, hang, reply, sse, steps, wait
from rig.shipped import shipped_counter
from rig.upstream import ScriptedUpstream

from gateway.background import BackgroundJobs
from gateway.ticket import Ticket
from pricing.cost import CostStatus
from pricing.tokens import TokenCounter
from telemetry.outcome import Outcome
from telemetry.record import CallRecord, UsageSource

CHAT = "/openai/v1/chat/completions"
ASK = {"model": "gpt-4o", "messages": [{"role": "user", "content": "How heavy is the truck?"}]}
STREAM = {**ASK, "stream": True, "stream_options": {"include_usage": True}}
EVENTS = openai_events()
UNREPORTED = {name: value for name, value in openai_chat().items() if name != "usage"}
PRICED, UNPRICED, ESTIMATED = CostStatus.PRICED, CostStatus.UNPRICED, CostStatus.ESTIMATED
COMPLETED, CANCELLED, GATEWAY_ERROR = Outcome.COMPLETED, Outcome.CANCELLED, Outcome.GATEWAY_ERROR
PROVIDER_ERROR = Outcome.PROVIDER_ERROR


def breaks(*_: Any, **__: Any) -> NoReturn:
    raise ValueError("a defect")


def breaks_after(method: Callable[..., Any]) -> Callable[..., NoReturn]:
    """What the method does is done, and then it fails."""

    def broken(*args: Any, **kwargs: Any) -> NoReturn:
        method(*args, **kwargs)
        raise ValueError("a defect")

    return broken


Defect = tuple[tuple[str, ...], Any, CostStatus]
"""Where, what stands there instead, and what is known all the same of the cost of a call whose usage was reported."""
DEFECTS: dict[str, Defect] = {
    "read, at once": (("gateway.ticket.Ticket.read",), breaks, PRICED),
    "read, the answer": (("gateway.whole.Whole.conclude", "gateway.wire.tap.Tap.conclude"), breaks, UNPRICED),
    "read, the counter": (
        ("gateway.estimation.Estimator.wants", "gateway.estimation.Estimator.watch"),
        breaks,
        PRICED,
    ),
    "read, at its end": (("gateway.ticket.Ticket.read",), breaks_after(Ticket.read), PRICED),
    "weigh, at once": (("gateway.ticket.Ticket.weigh",), breaks, PRICED),
    "weigh, the record": (("gateway.recording.record_of",), breaks, UNPRICED),
    "weigh, at its end": (("gateway.ticket.Ticket.weigh",), breaks_after(Ticket.weigh), PRICED),
    "publish, at once": (("gateway.ticket.Ticket.publish", "gateway.ticket.Ticket.ready"), breaks, PRICED),
}
HEADERS: Defect = (("gateway.ticket.cost_headers",), breaks, PRICED)
"""Of an answer that is no stream."""


@pytest.fixture(scope="module")
def counter() -> TokenCounter:
    made = shipped_counter()
    made.count("warm", "gpt-4o")
    return made


@pytest.fixture
async def core(upstream: ScriptedUpstream, lane: LaneKind, counter: TokenCounter) -> AsyncIterator[Core]:
    async with Core(upstream.base, lane, counts=True, settings={"proxy": {"drain_seconds": 0}}) as running:
        yield running


def plant(monkeypatch: pytest.MonkeyPatch, defect: Defect) -> CostStatus:
    names, broken, status = defect
    for name in names:
        monkeypatch.setattr(name, broken)
    return status


async def only_record(core: Core, outcome: Outcome, status: CostStatus) -> CallRecord:
    """The one there is once all has come to rest. Nothing is left of the call, and the defect was counted."""
    record = await core.record()
    await core.estimator.idle()
    await core.turn()
    assert core.records == [record]
    assert [one.id for one in core.ledger.opened_records] == [record.id]
    assert not core.live
    assert {str(defect) for defect in core.defects} == {"a defect"}
    core.defects.clear()
    assert record.outcome is outcome
    assert outcome.error_type in (None, record.answer.error_type)
    assert record.cost.status is status
    assert (record.cost.total is None) == (status is UNPRICED)
    assert (record.usage_source is UsageSource.NONE) == (status is UNPRICED)
    assert record.timing.duration_us > 0
    return record


async def cut_off(core: Core) -> None:
    """Make a call and see it cut."""
    client = await RawClient.open(core.port)
    client.request("POST", CHAT, json=ASK)
    await client.closed()
    assert client.received == b""


@pytest.mark.parametrize("where", [*DEFECTS, "weigh, the headers"])
async def test_a_whole_answer_is_cut(
    core: Core, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    status = plant(monkeypatch, DEFECTS.get(where, HEADERS))
    upstream.play(reply(json=openai_chat()))
    await cut_off(core)
    await only_record(core, GATEWAY_ERROR, status)


async def test_a_whole_answer_whose_quick_reading_breaks_is_read_thoroughly(
    core: Core, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.wire.openai_chat.usual_reading", breaks)
    upstream.play(reply(json=openai_chat()))
    answer = await call(core.port, "POST", CHAT, json=ASK)
    assert answer.status == 200
    await only_record(core, COMPLETED, PRICED)


def spoken(events: list[bytes], until: asyncio.Event, gate: asyncio.Semaphore | None = None) -> Script:
    """A stream whose last word is there some time before the end of the answer."""
    return sse(events, gate=gate, then=steps(wait(until), chunked_end()))


@pytest.mark.parametrize("where", DEFECTS)
async def test_a_stream_that_has_said_its_last_word_goes_to_its_end(
    core: Core, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    status = plant(monkeypatch, DEFECTS[where])
    end = asyncio.Event()
    upstream.play(spoken(EVENTS, end))
    client = await RawClient.open(core.port)
    client.request("POST", CHAT, json=STREAM)
    await client.until(EVENTS[-1])
    end.set()
    answer = await client.answer("POST")
    assert (answer.complete, answer.body) == (True, b"".join(EVENTS))
    await only_record(core, COMPLETED, status)


async def test_a_stream_that_ends_with_an_error_is_the_providers_failure(
    core: Core, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, DEFECTS["read, at once"])
    end = asyncio.Event()
    error = named_event("error", {"error": {"type": "overloaded_error", "message": "Overloaded"}})
    upstream.play(spoken([*anthropic_events()[:4], error], end))
    client = await RawClient.open(core.port)
    client.request("POST", "/anthropic/v1/messages", json={"model": "claude-sonnet-4-5", "stream": True})
    await client.until(error)
    end.set()
    assert (await client.answer("POST")).complete
    record = await only_record(core, PROVIDER_ERROR, PRICED)
    assert record.answer.error_code == "overloaded_error"


@pytest.mark.parametrize("where", DEFECTS)
async def test_an_app_that_has_left_has_left(
    core: Core, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """No usage was reported by then, and none is guessed where the guess broke off."""
    upstream.play(sse(EVENTS[:2], then=hang()))
    client = await RawClient.open(core.port)
    client.request("POST", CHAT, json=STREAM)
    await client.until(EVENTS[1])
    plant(monkeypatch, DEFECTS[where])
    client.close()
    await only_record(core, CANCELLED, UNPRICED)
    assert not core.pool._open, "the provider's work is cancelled"


@pytest.mark.parametrize("where", ["read, at once", "weigh, the record", "publish, at once"])
async def test_an_answer_that_was_read_on_for_its_usage(
    upstream: ScriptedUpstream, lane: LaneKind, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    async with Core(upstream.base, lane, settings={"proxy": {"drain_seconds": 5}}) as core:
        gate, end = asyncio.Semaphore(1), asyncio.Event()
        upstream.play(spoken(EVENTS, end, gate))
        client = await RawClient.open(core.port)
        client.request("POST", CHAT, json=STREAM)
        await client.until(EVENTS[0])
        status = plant(monkeypatch, DEFECTS[where])
        client.close()
        await core.turn()
        for _ in EVENTS:
            gate.release()
        await core.record()
        end.set()
        await only_record(core, CANCELLED, status)


async def test_what_breaks_once_the_ledger_has_the_record_makes_no_second_one(
    core: Core, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    endings = core.proxy._gear.endings
    monkeypatch.setattr(endings, "_write", breaks_after(endings._write))
    upstream.play(reply(json=openai_chat()))
    await cut_off(core)
    await only_record(core, COMPLETED, PRICED)


async def test_what_breaks_behind_the_record_makes_no_second_one(
    core: Core, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.exchange.response_head", breaks)
    upstream.play(reply(json=openai_chat()))
    await cut_off(core)
    await only_record(core, COMPLETED, PRICED)


async def test_a_job_of_which_no_record_can_be_made_costs_the_poll_nothing_but_its_end(
    upstream: ScriptedUpstream, lane: LaneKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BackgroundJobs, "ended", breaks)
    async with Core(upstream.base, lane) as core:
        job = {"id": "resp_1", "object": "response", "background": True, "status": "completed"}
        upstream.play(reply(json={**job, "created_at": 1_760_000_000, "model": "gpt-4o"}))
        client = await RawClient.open(core.port)
        client.request("GET", "/openai/v1/responses/resp_1")
        await client.closed()
        record = await core.record()
        assert record.outcome is GATEWAY_ERROR
        assert record.cost.status is CostStatus.NOT_BILLABLE
        assert core.records == [record]
        core.defects.clear()


@pytest.mark.parametrize("method", ["wants", "estimate"])
async def test_a_count_that_cannot_begin(
    core: Core, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(f"gateway.estimation.Estimator.{method}", breaks)
    upstream.play(reply(json=UNREPORTED))
    await cut_off(core)
    await only_record(core, GATEWAY_ERROR, UNPRICED)


@pytest.mark.parametrize(
    ("where", "status"), [("weigh, the record", UNPRICED), ("weigh, the headers", ESTIMATED)]
)
async def test_what_breaks_once_tokens_are_counted_leaves_the_answer_alone(
    core: Core, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch, where: str, status: CostStatus
) -> None:
    plant(monkeypatch, DEFECTS.get(where, HEADERS))
    upstream.play(reply(json=UNREPORTED))
    answer = await call(core.port, "POST", CHAT, json=ASK)
    assert (answer.complete, answer.json()) == (True, UNREPORTED)
    await only_record(core, COMPLETED, status)


async def test_a_count_that_is_under_way_makes_the_record_of_a_call_that_breaks_off(
    core: Core, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.upstream.Connection.pause", breaks)
    upstream.play(reply(json=UNREPORTED))
    await cut_off(core)
    await only_record(core, COMPLETED, ESTIMATED)


async def test_a_stream_waits_for_the_disk_all_the_same(
    core: Core, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, DEFECTS["weigh, at once"])
    core.ledger.waiter = asyncio.get_running_loop().create_future()
    end = asyncio.Event()
    upstream.play(spoken(EVENTS, end))
    client = await RawClient.open(core.port)
    client.request("POST", CHAT, json=STREAM)
    await core.record()
    await core.turn()
    assert EVENTS[-1] not in client.received
    core.ledger.waiter.set_result(None)
    end.set()
    assert (await client.answer("POST")).complete
    await only_record(core, COMPLETED, PRICED)
