"""A defect of ours on the way to the provider, or back, ends that call at once: one record, nothing reserved, and the
app is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NoReturn

import pytest
from rig.bodies import openai_chat, openai_events
from rig.client import Answer, RawClient, call
from rig.core import Core, LaneKind
from rig.http11 import chunk
from rig.script import Script, fin, hang, raw, reply, sse, steps, wait
from rig.upstream import ScriptedUpstream

from gateway.exchange import Exchange
from gateway.proxy import Limits
from gateway.upstream import Connection, Pool
from pricing.cost import CostStatus
from storage.budgets.model import Budget, Mode
from telemetry.outcome import Outcome
from telemetry.record import CallRecord

CHAT = "/openai/v1/chat/completions"
CLAUDE = "/anthropic/v1/messages"
GEMINI = "/gemini/v1beta/models/gemini-2.0-flash:generateContent"
ASK = {"model": "gpt-4o", "max_tokens": 30, "messages": [{"role": "user", "content": "How heavy?"}]}
WEBSOCKET = (
    b"GET /openai/v1/realtime?model=gpt-realtime HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
WATCHED = Budget(id="b", name="watched", limit=10**9)
HARD = Budget(id="b", name="watched", limit=10**9, mode=Mode.HARD)
"""Nobody lends on it here: each call waits for the word that the database is not there, and then goes."""


def breaks(*_: Any, **__: Any) -> NoReturn:
    raise ValueError("a defect")


async def breaks_later(*_: Any, **__: Any) -> NoReturn:
    await asyncio.sleep(0)
    raise ValueError("a defect")


DEFECTS: dict[str, tuple[str, Any]] = {
    "take": ("gateway.upstream.Pool.take", breaks),
    "connect": ("gateway.upstream.Pool.connect", breaks),
    "connect, later": ("gateway.upstream.Pool.connect", breaks_later),
    "send": ("gateway.upstream.Connection.send", breaks),
}


@pytest.fixture(params=[WATCHED, HARD], ids=["at once", "decided first"])
async def core(
    upstream: ScriptedUpstream, lane: LaneKind, request: pytest.FixtureRequest
) -> AsyncIterator[Core]:
    limits = Limits(65_536, 1 << 30, 16_384)
    async with Core(upstream.base, lane, budgets=[request.param], limits=limits) as running:
        yield running


@pytest.fixture(params=DEFECTS)
def planted(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(*DEFECTS[request.param])
    where: str = request.param
    return where


def is_told(answer: Answer) -> None:
    assert (answer.status, answer.complete) == (500, True)
    assert "The gateway failed on this call" in answer.json()["error"]["message"]


async def last_record(core: Core, number: int = 1, *, opened: bool = True, sent: bool = False) -> CallRecord:
    """The ``number``-th, and no other comes. Nothing is left of its call, and the defect was counted, once."""
    record = await core.record(number)
    await core.turn()
    assert len(core.records) == number
    assert (record.id in [one.id for one in core.ledger.opened_records]) == opened
    assert not core.live
    assert core.admission.holding == 0
    assert not core.admission._undecided
    assert all(purse.held == 0 for purse in core.admission.purses.values())
    assert [str(defect) for defect in core.defects] == ["a defect"]
    core.defects.clear()
    assert (record.outcome, record.answer.error_type) == (Outcome.GATEWAY_ERROR, "gateway_error")
    assert record.cost.status is (CostStatus.UNPRICED if sent else CostStatus.NOT_BILLABLE)
    return record


@pytest.mark.parametrize(
    ("path", "shape"), [(CHAT, "api_error"), (CLAUDE, "api_error"), (GEMINI, "INTERNAL")]
)
async def test_the_app_is_told_in_its_wires_shape(
    core: Core, upstream: ScriptedUpstream, planted: str, path: str, shape: str
) -> None:
    answer = await call(core.port, "POST", path, json=ASK)
    is_told(answer)
    error = answer.json()["error"]
    assert shape in (error.get("type"), error.get("status"))
    record = await last_record(core)
    assert record.id in error["message"]
    assert answer.header("x-weighbridge-request-id") == record.id
    assert record.answer.status == 500
    assert not core.pool._open
    assert not upstream.requests


@pytest.mark.parametrize(
    "where",
    [
        ("gateway.proxy.what_of",),
        ("gateway.proxy.Proxy._call",),
        ("gateway.proxy.Proxy._admit",),
        ("gateway.proxy.Exchange",),
        ("gateway.proxy.opening_record", "gateway.exchange.opening_record"),
        ("rig.core.MemoryLedger.opened", "rig.core.MemoryLedger.opened_together"),
        ("gateway.targets.ProviderTargets.deadlines",),
    ],
)
@pytest.mark.parametrize("path", [CHAT, CLAUDE, GEMINI])
async def test_a_defect_before_a_call_is_on_record_is_told_and_recorded(
    core: Core, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch, where: tuple[str, ...], path: str
) -> None:
    for name in where:
        monkeypatch.setattr(name, breaks)
    answer = await call(core.port, "POST", path, json=ASK)
    is_told(answer)
    record = await last_record(core, opened=False)
    assert answer.header("x-weighbridge-request-id") == record.id
    assert record.answer.status == 500
    assert not upstream.requests


async def test_the_apps_connection_serves_the_next_call(
    core: Core, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.default = reply(json=openai_chat())
    client = await RawClient.open(core.port)
    for number, name in enumerate(DEFECTS):
        with monkeypatch.context() as planted:
            planted.setattr(*DEFECTS[name])
            if name.startswith("connect"):
                planted.setattr(Pool, "take", lambda *_: None)
            client.request("POST", CHAT, json=ASK)
            is_told(await client.answer())
            await last_record(core, 2 * number + 1)
        client.request("POST", CHAT, json=ASK)
        assert (await client.answer()).json() == openai_chat()
        assert (await core.record(2 * number + 2)).outcome is Outcome.COMPLETED


async def test_a_large_upload_is_answered_too(core: Core, planted: str) -> None:
    body = b'{"model":"gpt-4o","max_tokens":5,"messages":[{"role":"user","content":"%b"}]}' % (b"x" * 300_000)
    client = await RawClient.open(core.port)
    client.request("POST", CHAT, [("Content-Type", "application/json")], body)
    is_told(await client.answer())
    await client.closed()
    await last_record(core)


async def test_what_breaks_behind_the_request_takes_it_back_from_the_provider(
    core: Core, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.play(hang())
    send = Connection.send

    def sends_and_breaks(*args: Any, **kwargs: Any) -> NoReturn:
        send(*args, **kwargs)
        raise ValueError("a defect")

    monkeypatch.setattr(Connection, "send", sends_and_breaks)
    is_told(await call(core.port, "POST", CHAT, json=ASK))
    await last_record(core)
    await core.turn()
    assert not core.pool._open


async def test_the_second_attempt_after_a_stale_connection(
    core: Core, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.play(reply(json=openai_chat()), steps(fin()))
    client = await RawClient.open(core.port)
    client.request("POST", CHAT, json=ASK)
    await client.answer()
    await core.record()
    take, takes = Pool.take, iter((True, False))
    monkeypatch.setattr(Pool, "take", lambda *args: take(*args) if next(takes) else breaks())
    client.request("POST", CHAT, json=ASK)
    is_told(await client.answer())
    record = await last_record(core, 2, sent=True)
    assert record.route.attempts == 1


async def test_an_app_that_has_left_meanwhile_has_left(
    core: Core, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What breaks after that changes nothing, and hurts nobody."""
    go, begun = asyncio.Event(), asyncio.Event()

    async def connect(*_: Any) -> NoReturn:
        begun.set()
        try:
            await go.wait()
        finally:
            raise ValueError("a defect")

    monkeypatch.setattr(Pool, "connect", connect)
    client = await RawClient.open(core.port)
    client.request("POST", CHAT, json=ASK)
    await begun.wait()
    client.close()
    record = await core.record()
    await core.turn()
    assert record.outcome is Outcome.CANCELLED
    assert core.records == [record]
    assert not core.live
    assert core.admission.holding == 0
    assert [str(defect) for defect in core.defects] == ["a defect"]
    core.defects.clear()


async def test_a_word_that_fails_too_is_a_cut(
    core: Core, monkeypatch: pytest.MonkeyPatch, planted: str
) -> None:
    monkeypatch.setattr("gateway.exchange.error_body", breaks)
    client = await RawClient.open(core.port)
    client.request("POST", CHAT, json=ASK)
    await client.closed()
    assert client.received == b""
    core.defects.pop()
    await last_record(core)


async def test_the_word_waits_for_the_disk(core: Core, planted: str) -> None:
    core.ledger.waiter = asyncio.get_running_loop().create_future()
    client = await RawClient.open(core.port)
    client.request("POST", CHAT, json=ASK)
    await last_record(core)
    assert client.received == b""
    core.ledger.waiter.set_result(None)
    is_told(await client.answer())


async def test_a_decision_that_cannot_be_made(
    upstream: ScriptedUpstream, lane: LaneKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.admission.Admission._without_database", breaks)
    async with Core(upstream.base, lane, budgets=[HARD]) as core:
        is_told(await call(core.port, "POST", CHAT, json=ASK))
        await last_record(core, opened=False)
        client = await RawClient.open(core.port)
        client.send(WEBSOCKET)
        is_told(await client.answer("GET"))
        await client.closed()
        await last_record(core, 2, opened=False)


async def test_other_calls_of_the_same_turn_go_on(
    core: Core, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.default = reply(json=openai_chat())
    send = Exchange._send

    def stumbles_over_one(exchange: Exchange, connection: Connection) -> None:
        if exchange.call.who.user == "stumbles":
            breaks()
        send(exchange, connection)

    monkeypatch.setattr(Exchange, "_send", stumbles_over_one)
    users = ["a", "b", "stumbles", "c", "d"]
    clients = [await RawClient.open(core.port) for _ in users]
    for client, user in zip(clients, users, strict=True):
        client.request("POST", CHAT, json={**ASK, "user": user})
    answers = [await client.answer() for client in clients]
    assert [answer.status for answer in answers] == [200, 200, 500, 200, 200]
    await core.record(5)
    failed = [record for record in core.records if record.outcome is not Outcome.COMPLETED]
    assert [(record.who.user, record.outcome) for record in failed] == [("stumbles", Outcome.GATEWAY_ERROR)]
    assert len(core.records) == 5
    assert not core.live
    assert core.admission.holding == 0
    core.defects.clear()


@pytest.mark.parametrize("where", ["connect", "connect, later", "send"])
async def test_a_websocket_that_does_not_come_to_its_provider(
    core: Core, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr(*DEFECTS[where])
    client = await RawClient.open(core.port)
    client.send(WEBSOCKET)
    is_told(await client.answer("GET"))
    await client.closed()
    record = await last_record(core)
    assert record.cost.status is CostStatus.NOT_BILLABLE
    await core.turn()
    assert not core.pool._open
    assert not core.lane.connections


# ---- on the way back, where the last bytes waited until the record was safe


async def waiting_for_the_disk(
    core: Core, client: RawClient, answer: Script, upstream: ScriptedUpstream
) -> None:
    """Make a call whose record is there, while its last bytes wait."""
    core.ledger.waiter = asyncio.get_running_loop().create_future()
    upstream.play(answer)
    client.request("POST", CHAT, json=ASK)
    await core.record()
    await core.turn()
    assert core.live


async def answered(core: Core) -> None:
    """Its one record stands, nothing is left of it, and the defect was counted, once."""
    await core.turn()
    assert [record.outcome for record in core.records] == [Outcome.COMPLETED]
    assert [str(defect) for defect in core.defects] == ["a defect"]
    core.defects.clear()
    assert not core.live
    assert core.admission.holding == 0
    assert not core.pool._open


@pytest.mark.parametrize("streamed", [False, True])
async def test_the_end_of_an_answer_breaks(
    core: Core, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch, streamed: bool
) -> None:
    client = await RawClient.open(core.port)
    answer = sse(openai_events()) if streamed else reply(json=openai_chat())
    await waiting_for_the_disk(core, client, answer, upstream)
    received = bytes(client.received)
    monkeypatch.setattr(Exchange, "_write", breaks)
    core.ledger.waiter.set_result(None)
    await client.closed()
    assert client.received == received
    await answered(core)


async def test_what_breaks_behind_the_last_byte_takes_nothing_back(
    core: Core, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await RawClient.open(core.port)
    await waiting_for_the_disk(core, client, reply(json=openai_chat()), upstream)
    monkeypatch.setattr(Connection, "release", breaks)
    core.ledger.waiter.set_result(None)
    assert (await client.answer()).json() == openai_chat()
    await client.closed()
    await answered(core)


@pytest.mark.parametrize("begun", [False, True])
async def test_the_last_word_of_a_stream_breaks(
    core: Core, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch, begun: bool
) -> None:
    """It may come long before the end of the answer; where nothing was sent yet, the app is told."""
    first, *others = openai_events()
    go = asyncio.Event()
    opening = STREAM_HEAD + chunk(first)
    rest = b"".join([chunk(event) for event in others])
    upstream.play(
        steps(raw(opening), wait(go), raw(rest), hang()) if begun else steps(raw(opening + rest), hang())
    )
    core.ledger.waiter = asyncio.get_running_loop().create_future()
    client = await RawClient.open(core.port)
    client.request("POST", CHAT, json={**ASK, "stream": True})
    if begun:
        await client.until(first)
        go.set()
    await core.record()
    await core.turn()
    monkeypatch.setattr(Exchange, "_write", breaks)
    core.ledger.waiter.set_result(None)
    if begun:
        await client.closed()
        assert client.received.endswith(first + b"\r\n")
    else:
        is_told(await client.answer())
    await answered(core)


async def test_the_end_of_an_answer_breaks_once_its_tokens_are_counted(
    upstream: ScriptedUpstream, lane: LaneKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.exchange.response_head", breaks)
    async with Core(upstream.base, lane, counts=True, budgets=[WATCHED]) as core:
        unreported = {name: value for name, value in openai_chat().items() if name != "usage"}
        upstream.play(reply(json=unreported))
        client = await RawClient.open(core.port)
        client.request("POST", CHAT, json=ASK)
        await client.closed()
        assert client.received == b""
        assert core.records[0].cost.status is CostStatus.ESTIMATED
        await answered(core)
