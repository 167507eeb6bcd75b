"""A defect of ours in what the event loop calls (a timer, a read, a lost connection) ends that call at once: one record
that says whose fault it was, and the app is told as long as it has seen nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, NoReturn

import pytest
from rig.bodies import openai_events
from rig.client import Answer, RawClient
from rig.core import Core, LaneKind
from rig.http11 import chunk
from rig.script import fin, hang, raw, steps, wait
from rig.upstream import ScriptedUpstream

from gateway.exchange import Exchange
from gateway.holding import Hold
from gateway.wire.websocket import Messages
from pricing.cost import CostStatus
from storage.budgets.model import Budget
from telemetry.outcome import Outcome
from telemetry.record import CallRecord

CHAT = "/openai/v1/chat/completions"
ASK = {"model": "gpt-4o", "max_tokens": 30, "messages": [{"role": "user", "content": "How heavy?"}]}
HELD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
    + b'{"id": "chatcmpl-1"'
)
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
FIRST, *OTHERS = (chunk(event) for event in openai_events())
WEBSOCKET = (
    b"GET /openai/v1/realtime?model=gpt-realtime HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
AGREED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
GREETING = b"\x81\x02hi"
WATCHED = Budget(id="b", name="watched", limit=10**9)


def breaks(*_: Any, **__: Any) -> NoReturn:
    raise ValueError("a defect")


@pytest.fixture
async def core(upstream: ScriptedUpstream, lane: LaneKind) -> AsyncIterator[Core]:
    async with Core(upstream.base, lane, inject=True, budgets=[WATCHED]) as running:
        yield running


def is_told(answer: Answer) -> None:
    assert (answer.status, answer.complete) == (500, True)
    assert "The gateway failed on this call" in answer.json()["error"]["message"]


async def only_record(core: Core, cost: CostStatus = CostStatus.UNPRICED) -> CallRecord:
    """The one there is. Nothing is left of its call on either side, and the defect was counted."""
    record = await core.record()
    await core.turn()
    assert core.records == [record]
    assert [one.id for one in core.ledger.opened_records] == [record.id]
    assert not core.live
    assert core.admission.holding == 0
    assert {str(defect) for defect in core.defects} == {"a defect"}
    core.defects.clear()
    assert not core.pool._open, "nothing is left of the provider's connection"
    assert (record.outcome, record.answer.error_type) == (Outcome.GATEWAY_ERROR, "gateway_error")
    assert record.cost.status is cost
    return record


async def asked(core: Core, *, stream: bool = False) -> RawClient:
    app = await RawClient.open(core.port)
    app.request("POST", CHAT, json={**ASK, "stream": True} if stream else ASK)
    return app


# ---- an answer that is held back


@pytest.mark.parametrize("where", ["gateway.exchange.response_head", "gateway.holding.Hold.take"])
async def test_an_answer_that_is_held_too_long(
    core: Core, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr(where, breaks)
    upstream.play(steps(raw(HELD), hang()))
    is_told(await (await asked(core)).answer())
    record = await only_record(core)
    assert record.answer.status == 500


async def test_of_an_answer_that_is_held_too_long_a_part_may_be_out(
    core: Core, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Exchange._write

    def writes_and_breaks(*args: Any) -> NoReturn:
        write(*args)
        raise ValueError("a defect")

    monkeypatch.setattr(Exchange, "_write", writes_and_breaks)
    upstream.play(steps(raw(HELD), hang()))
    app = await asked(core)
    await app.closed()
    assert app.received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert app.received.endswith(b'{"id": "chatcmpl-1"')
    await only_record(core)


def shut_down(core: Core) -> None:
    for running in list(core.live):
        running.shut_down()


def revoke(core: Core) -> None:
    for running in list(core.live):
        running.revoke()


@pytest.mark.parametrize("ending", [shut_down, revoke, lambda core: core.advance(601)])
async def test_what_is_held_cannot_be_let_go_at_the_end(
    core: Core, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch, ending: Callable[[Core], None]
) -> None:
    monkeypatch.setattr("gateway.holding.HOLD_SECONDS", 60.0)
    monkeypatch.setattr("gateway.exchange.response_head", breaks)
    upstream.play(steps(raw(HELD), hang()))
    app = await asked(core)
    await held(core)
    ending(core)
    is_told(await app.answer())
    await only_record(core)


async def test_what_is_held_cannot_be_let_go_when_the_provider_cuts(
    core: Core, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.holding.HOLD_SECONDS", 60.0)
    monkeypatch.setattr("gateway.exchange.response_head", breaks)
    upstream.play(steps(raw(HELD), fin()))
    is_told(await (await asked(core)).answer())
    await only_record(core)


async def held(core: Core) -> None:
    async with asyncio.timeout(10):
        while not any(one._hold is not None and one._hold.pieces for one in core.live):
            await asyncio.sleep(0.001)


def test_the_timer_of_what_is_held_is_gone_when_it_is_taken() -> None:
    """The other tests mean something: nothing else calls back."""
    loop = asyncio.new_event_loop()
    hold = Hold(loop, breaks)
    hold.pieces += [b"a", b"b"]
    assert hold.take() == b"ab"
    assert hold._timer.cancelled()
    loop.close()


# ---- the provider's answer comes


@pytest.mark.parametrize("where", ["tap_of", "look", "hides_usage", "is_streamed"])
async def test_the_first_of_an_answer_cannot_be_looked_at(
    core: Core, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr(f"gateway.exchange.{where}", breaks)
    upstream.play(steps(raw(STREAM_HEAD + FIRST), hang()))
    is_told(await (await asked(core, stream=True)).answer())
    record = await only_record(core)
    assert record.answer.status == 500


@pytest.mark.parametrize(("where", "cost"), [("look", CostStatus.UNPRICED), ("framed", CostStatus.ESTIMATED)])
async def test_the_next_of_an_answer_cannot_be_looked_at(
    core: Core, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch, where: str, cost: CostStatus
) -> None:
    """What was read of its usage by then is priced."""
    go = asyncio.Event()
    upstream.play(steps(raw(STREAM_HEAD + FIRST), wait(go), raw(b"".join(OTHERS)), hang()))
    app = await asked(core, stream=True)
    await app.until(FIRST)
    monkeypatch.setattr(f"gateway.exchange.{where}", breaks)
    go.set()
    await app.closed()
    assert app.received.endswith(FIRST)
    record = await only_record(core, cost)
    assert record.answer.status == 200


async def test_a_whole_answer_cannot_be_looked_at(
    core: Core, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.exchange.whole", breaks)
    body = b"{}"
    upstream.play(
        raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n" + body)
    )
    is_told(await (await asked(core)).answer())
    await only_record(core)


async def test_the_end_of_an_answer_that_was_cut_cannot_be_made(
    core: Core, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = asyncio.Event()
    upstream.play(steps(raw(STREAM_HEAD + FIRST), wait(go), fin()))
    app = await asked(core, stream=True)
    await app.until(FIRST)
    monkeypatch.setattr("gateway.wire.usage_injection.UsageFilter.end", breaks)
    go.set()
    await app.closed()
    await only_record(core)


# ---- a WebSocket


async def talking(core: Core, early: bytes = b"") -> RawClient:
    app = await RawClient.open(core.port)
    app.send(WEBSOCKET + early)
    return app


@pytest.mark.parametrize(
    "where", ["gateway.upstream.Pool.forget", "gateway.realtime.Far", "gateway.realtime.Tunnel._reader_of"]
)
async def test_a_websocket_that_was_agreed_cannot_begin(
    core: Core, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    with monkeypatch.context() as planted:
        planted.setattr(where, breaks)
        upstream.play(steps(raw(AGREED + GREETING), hang()))
        app = await talking(core)
        is_told(await app.answer("GET"))
        await app.closed()
        await core.record()
        await upstream.peers[0].gone.wait()
    core.pool._open.clear()  # where it was forgetting that broke
    await only_record(core, CostStatus.NOT_BILLABLE)
    assert not core.lane.connections


def broken_from(number: int, method: Callable[..., Any]) -> Callable[..., Any]:
    """It does what it does, and breaks at the ``number``-th time."""
    times = 0

    def broken(*args: Any, **kwargs: Any) -> Any:
        nonlocal times
        times += 1
        return breaks() if times == number else method(*args, **kwargs)

    return broken


EARLY = b"\x81\x85\x00\x00\x00\x00hello"


@pytest.mark.parametrize(("number", "early"), [(1, b""), (2, EARLY)], ids=["of the provider", "of the app"])
async def test_the_first_message_cannot_be_read(
    core: Core, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch, number: int, early: bytes
) -> None:
    """It came with the provider's word, or with the app's request."""
    monkeypatch.setattr(Messages, "feed", broken_from(number, Messages.feed))
    upstream.play(steps(raw(AGREED + GREETING), hang()))
    app = await talking(core, early)
    await app.closed()
    assert app.received.startswith(b"HTTP/1.1 101 ")
    await upstream.peers[0].gone.wait()
    record = await only_record(core)
    assert record.answer.status == 101
    assert not core.lane.connections


async def test_a_message_of_the_provider_cannot_be_read(
    core: Core, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = asyncio.Event()
    upstream.play(steps(raw(AGREED + GREETING), wait(go), raw(GREETING), hang()))
    app = await talking(core)
    await app.until(GREETING)
    monkeypatch.setattr(Messages, "feed", breaks)
    go.set()
    await app.closed()
    await upstream.peers[0].gone.wait()
    await only_record(core)
    assert not core.lane.connections


async def test_a_message_of_the_app_cannot_be_read(
    core: Core, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.play(steps(raw(AGREED + GREETING), hang()))
    app = await talking(core)
    await app.until(GREETING)
    monkeypatch.setattr(Messages, "feed", breaks)
    app.send(EARLY)
    await app.closed()
    await upstream.peers[0].gone.wait()
    await only_record(core)
    assert not core.lane.connections
