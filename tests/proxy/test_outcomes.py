"""Every way a call can end leaves exactly one record with the right outcome, and the app sees what happened."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from rig.bodies import openai_chat, openai_error, openai_events
from rig.client import Answer, RawClient, call
from rig.core import Core, LaneKind
from rig.script import (
    End,
    Script,
    body_read,
    chunked,
    fin,
    garbage,
    hang,
    head,
    raw,
    reply,
    rst,
    sse,
    steps,
    trickle,
)
from rig.upstream import ScriptedUpstream, Unreachable
from rig.waiting import answer_after

from gateway.proxy import Limits
from pricing.cost import CostStatus
from storage.spool import SpoolFull
from telemetry.outcome import Outcome

CHAT = "/openai/v1/chat/completions"
ASK = {"model": "gpt-4o", "max_tokens": 50}
STREAM = {**ASK, "stream": True, "stream_options": {"include_usage": True}}


def _answers(script: Script) -> Callable[[ScriptedUpstream], None]:
    return lambda upstream: upstream.play(script)


EVENTS = openai_events()
ANSWERED = [
    # name, ask, script, outcome, status, the app's answer is complete
    ("ok", ASK, reply(json=openai_chat()), Outcome.COMPLETED, 200, True),
    ("ok-stream", STREAM, sse(EVENTS), Outcome.COMPLETED, 200, True),
    ("429", ASK, reply(429, json=openai_error(), headers=[("Retry-After", "3")]), Outcome.PROVIDER_ERROR, 429, True),
    ("429-stream", STREAM, reply(429, json=openai_error()), Outcome.PROVIDER_ERROR, 429, True),
    ("500", ASK, reply(500, json=openai_error()), Outcome.PROVIDER_ERROR, 500, True),
    ("500-stream", STREAM, reply(500, json=openai_error()), Outcome.PROVIDER_ERROR, 500, True),
    ("529-no-json", ASK, reply(529, b"<html>overloaded</html>"), Outcome.PROVIDER_ERROR, 529, True),
    ("reset", ASK, steps(body_read(), rst()), Outcome.RESET, 502, True),
    ("reset-stream", STREAM, steps(body_read(), rst()), Outcome.RESET, 502, True),
    ("closed", ASK, steps(body_read(), fin()), Outcome.RESET, 502, True),
    ("half-a-head", ASK, steps(body_read(), raw(b"HTTP/1.1 200 OK\r\nConte"), fin()), Outcome.RESET, 502, True),
    ("garbage", ASK, garbage(), Outcome.PROTOCOL_ERROR, 502, True),
    ("garbage-stream", STREAM, garbage(), Outcome.PROTOCOL_ERROR, 502, True),
    ("cut", ASK, reply(json=openai_chat(), cut=40), Outcome.TRUNCATED, 200, False),
    ("cut-reset", ASK, reply(json=openai_chat(), cut=40, end=End.RESET), Outcome.TRUNCATED, 200, False),
    ("cut-stream", STREAM, sse(EVENTS[:2], then=fin()), Outcome.TRUNCATED, 200, False),
    ("cut-stream-reset", STREAM, sse(EVENTS[:2], then=rst()), Outcome.TRUNCATED, 200, False),
    ("malformed-json", ASK, reply(200, b'{"id": "x", "usage": {', headers=[("Content-Type", "application/json")]), Outcome.COMPLETED, 200, True),
    ("cut-after-done", STREAM, sse(EVENTS, then=fin()), Outcome.COMPLETED, 200, False),
]  # fmt: skip


@pytest.mark.parametrize(
    ("ask", "script", "outcome", "status", "complete"),
    [row[1:] for row in ANSWERED],
    ids=[row[0] for row in ANSWERED],
)
async def test_an_answered_call(
    core: Core,
    upstream: ScriptedUpstream,
    ask: object,
    script: Script,
    outcome: Outcome,
    status: int,
    complete: bool,
) -> None:
    upstream.play(script)
    answer = await call(core.port, "POST", CHAT, json=ask)
    record = await core.record()
    assert (record.outcome, record.answer.status) == (outcome, status)
    assert (answer.status, answer.complete) == (status, complete)
    if outcome is not Outcome.COMPLETED and not record.outcome.error_type:
        assert record.answer.error_type == str(status)
    assert answer.header("x-weighbridge-request-id") == record.id
    assert (await call(core.port, "POST", "/openai/v1/after", json={})).status == 200
    await core.record(2)
    assert len(core.ledger.opened_records) == len(core.records) == 2
    assert [one.id for one in core.ledger.opened_records] == [one.id for one in core.records]


async def test_broken_framing_in_mid_stream_is_a_visible_cut(core: Core, upstream: ScriptedUpstream) -> None:
    upstream.play(sse(EVENTS[:2], then=steps(raw(b"zz\r\n"), hang())))
    client = await RawClient.open(core.port)
    client.request("POST", CHAT, json=STREAM)
    await client.closed()
    assert client.received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert EVENTS[1] in client.received
    assert not client.received.endswith(b"0\r\n\r\n")
    record = await core.record()
    assert (record.outcome, record.answer.status) == (Outcome.PROTOCOL_ERROR, 200)


async def test_costs_follow_the_outcome(core: Core, upstream: ScriptedUpstream) -> None:
    upstream.play(reply(json=openai_chat()), reply(429, json=openai_error()), steps(body_read(), rst()))
    for _ in range(3):
        await call(core.port, "POST", CHAT, json=ASK)
    whole, refused, lost = [await core.record(n) for n in (1, 2, 3)]
    assert whole.cost.status is CostStatus.PRICED
    assert whole.cost.total
    assert (refused.cost.status, refused.cost.total) == (CostStatus.NOT_BILLABLE, 0)
    assert (lost.cost.status, lost.cost.total) == (CostStatus.UNPRICED, None)


async def test_a_refused_connection(lane: LaneKind) -> None:
    with Unreachable() as base:
        async with Core(base, lane) as core:
            for ask in (ASK, STREAM):
                answer = await call(core.port, "POST", CHAT, json=ask)
                assert answer.status == 502
                assert answer.json()["error"]["code"] == "weighbridge_provider_unreachable"
            records = [await core.record(1), await core.record(2)]
    assert [record.outcome for record in records] == [Outcome.CONNECT_FAILED] * 2
    assert {record.cost.status for record in records} == {CostStatus.NOT_BILLABLE}


DEADLINES: list[tuple[str, object, Script, float, Outcome, int]] = [
    ("no-head", ASK, steps(body_read(), hang()), 601, Outcome.TIMEOUT, 504),
    ("no-head-stream", STREAM, steps(body_read(), hang()), 601, Outcome.TIMEOUT, 504),
    ("trickled-head", ASK, steps(body_read(), trickle(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000)), 601, Outcome.TIMEOUT, 504),
    ("stall", ASK, steps(body_read(), head(200, [("Content-Type", "application/json")]), chunked(b'{"a'), hang()), 301, Outcome.STALLED, 200),
    ("stall-stream", STREAM, sse(EVENTS[:1], then=hang()), 301, Outcome.STALLED, 200),
]  # fmt: skip


@pytest.mark.parametrize(
    ("ask", "script", "after", "outcome", "status"),
    [row[1:] for row in DEADLINES],
    ids=[row[0] for row in DEADLINES],
)
async def test_a_deadline(
    core: Core,
    upstream: ScriptedUpstream,
    ask: object,
    script: Script,
    after: float,
    outcome: Outcome,
    status: int,
) -> None:
    upstream.play(script)
    answer = await answer_after(core, upstream, CHAT, ask, after, status)
    record = await core.record()
    assert (record.outcome, record.answer.status) == (outcome, status)
    assert answer.complete == (status != 200)
    await upstream.left()


async def test_the_total_deadline_cuts_an_endless_stream(core: Core, upstream: ScriptedUpstream) -> None:
    upstream.play(sse(EVENTS[:1], then=hang()))
    client = await RawClient.open(core.port)
    client.request("POST", CHAT, json=STREAM)
    await client.until(EVENTS[0])
    core.clock.ahead += 3_601
    for exchange in core.live:
        exchange._idle_since = core.clock()
    core.sweep()
    assert not (await client.answer()).complete
    assert (await core.record()).outcome is Outcome.TIMEOUT


async def _leave_before_head(client: RawClient, upstream: ScriptedUpstream) -> None:
    await upstream.seen(1)


async def _leave_in_the_answer(client: RawClient, upstream: ScriptedUpstream) -> None:
    await client.until(EVENTS[0])


@pytest.mark.parametrize("leave", [RawClient.close, RawClient.abort], ids=["fin", "rst"])
@pytest.mark.parametrize(
    ("ask", "script", "moment"),
    [
        (ASK, steps(body_read(), hang()), _leave_before_head),
        (STREAM, steps(body_read(), hang()), _leave_before_head),
        (STREAM, sse(EVENTS[:1], then=hang()), _leave_in_the_answer),
    ],
    ids=["before-head", "before-head-stream", "in-stream"],
)
async def test_the_app_goes_away_and_the_provider_is_told(
    core: Core,
    upstream: ScriptedUpstream,
    ask: object,
    script: Script,
    moment: Callable[[RawClient, ScriptedUpstream], Awaitable[None]],
    leave: Callable[[RawClient], None],
) -> None:
    upstream.play(script)
    client = await RawClient.open(core.port)
    client.request("POST", CHAT, json=ask)
    await moment(client, upstream)
    leave(client)
    await upstream.left()
    record = await core.record()
    assert record.outcome is Outcome.CANCELLED
    assert record.answer.error_type == "client_disconnected"
    assert len(core.records) == 1
    assert not core.live


async def test_an_app_that_leaves_after_the_terminal_event_has_a_completed_call(
    core: Core, upstream: ScriptedUpstream
) -> None:
    upstream.play(sse(EVENTS, then=hang()))
    client = await RawClient.open(core.port)
    client.request("POST", CHAT, json=STREAM)
    await client.until(b"[DONE]\n\n")
    record = core.records[0]  # published before the app could see the terminal event
    assert record.outcome is Outcome.COMPLETED
    assert record.usage is not None
    client.close()
    await upstream.left()
    assert len(core.records) == 1


async def test_shutdown_ends_what_is_still_running(core: Core, upstream: ScriptedUpstream) -> None:
    upstream.play(steps(body_read(), hang()), sse(EVENTS[:1], then=hang()))
    waiting = await RawClient.open(core.port)
    waiting.request("POST", CHAT, json=ASK)
    await upstream.seen(1)
    streaming = await RawClient.open(core.port)
    streaming.request("POST", CHAT, json=STREAM)
    await streaming.until(EVENTS[0])
    for exchange in list(core.live):
        exchange.shut_down()
    assert (await waiting.answer()).status == 503
    assert not (await streaming.answer()).complete
    assert {(await core.record(n)).outcome for n in (1, 2)} == {Outcome.SHUTDOWN}


REFUSALS = [
    ("unknown-provider", "/nosuch/v1/x", {}, 404, "weighbridge_unknown_provider", 0),
    ("climbing", "/openai/v1/../../x", {}, 400, "weighbridge_bad_path", 0),
    ("climbing-escaped", "/openai/%2e%2e/%2e%2e/x", {}, 400, "weighbridge_bad_path", 0),
    (
        "not-configured",
        "/azure/openai/deployments/d/chat/completions",
        {},
        404,
        "weighbridge_provider_not_configured",
        0,
    ),
    ("long-url", "/openai/v1/" + "a" * 17_000, {}, 414, "weighbridge_request_too_large", 0),
]


@pytest.mark.parametrize(
    ("path", "ask", "status", "code", "recorded"),
    [row[1:] for row in REFUSALS],
    ids=[row[0] for row in REFUSALS],
)
async def test_a_refused_call_never_reaches_a_provider(
    core: Core, upstream: ScriptedUpstream, path: str, ask: object, status: int, code: str, recorded: int
) -> None:
    answer = await call(core.port, "POST", path, json=ask)
    assert (answer.status, answer.json()["error"]["code"]) == (status, code)
    assert len(answer.json()["error"]["message"]) > 20
    assert upstream.requests == []
    assert len(core.records) == recorded
    assert sum(core.proxy.refused.values()) == 1


@pytest.mark.parametrize("as_chunks", [False, True])
async def test_an_oversize_body_is_refused_in_the_wires_shape(
    upstream: ScriptedUpstream, lane: LaneKind, as_chunks: bool
) -> None:
    async with Core(upstream.base, lane, limits=Limits(1_000, 5_000, 16384)) as core:
        answer: Answer = await call(
            core.port, "POST", "/anthropic/v1/messages", body=b"x" * 200_000, chunked=as_chunks
        )
        assert answer.status == 413
        assert answer.json()["type"] == "error"
        assert "5000 bytes" in answer.json()["error"]["message"]


async def test_a_call_that_cannot_be_accounted_for_is_not_made(
    core: Core, upstream: ScriptedUpstream
) -> None:
    core.ledger.refuse = SpoolFull("full")
    answer = await call(core.port, "POST", CHAT, json=ASK)
    assert (answer.status, answer.json()["error"]["code"]) == (503, "weighbridge_cannot_account")
    assert answer.header("retry-after") is not None
    assert upstream.requests == []
    core.ledger.refuse = None


async def test_a_failing_sink_does_not_reach_the_app(upstream: ScriptedUpstream, lane: LaneKind) -> None:
    async with Core(upstream.base, lane) as core:
        core.ledger.fail = RuntimeError("disk on fire")
        upstream.play(reply(json=openai_chat()), sse(EVENTS))
        assert (await call(core.port, "POST", CHAT, json=ASK)).json() == openai_chat()
        assert (await call(core.port, "POST", CHAT, json=STREAM)).body == b"".join(EVENTS)
        assert [str(defect) for defect in core.defects] == ["disk on fire"] * 2
        core.defects.clear()


async def test_a_stale_connection_is_retried_once_and_only_where_nothing_came(
    core: Core, upstream: ScriptedUpstream
) -> None:
    upstream.play(reply(json={"n": 1}), steps(body_read(), fin()), reply(json={"n": 2}))
    assert (await call(core.port, "POST", CHAT, json=ASK)).json() == {"n": 1}
    assert (await call(core.port, "POST", CHAT, json=ASK)).json() == {"n": 2}
    record = await core.record(2)
    assert (record.route.attempts, record.route.attempt_reason) == (2, "stale_connection")
    upstream.play(steps(body_read(), raw(b"HTTP/1.1 2"), fin()))
    assert (await call(core.port, "POST", CHAT, json=ASK)).status == 502
    assert (await core.record(3)).route.attempts == 1


async def test_strict_durability_holds_the_last_bytes_until_the_record_is_on_disk(
    core: Core, upstream: ScriptedUpstream
) -> None:
    core.ledger.waiter = asyncio.get_running_loop().create_future()
    upstream.play(reply(json=openai_chat()))
    client = await RawClient.open(core.port)
    client.request("POST", CHAT, json=ASK)
    await core.record()
    await asyncio.sleep(0)
    assert not client.received
    core.ledger.waiter.set_result(None)
    assert (await client.answer()).json() == openai_chat()


async def test_an_answer_that_was_given_up_is_not_written_once_the_record_is_on_disk(
    core: Core, upstream: ScriptedUpstream
) -> None:
    written = core.ledger.waiter = asyncio.get_running_loop().create_future()
    upstream.play(reply(json=openai_chat()), reply(json=openai_chat("second")))
    client = await RawClient.open(core.port)
    client.request("POST", CHAT, json=ASK)
    await core.record()
    core.clock.ahead += 3_601
    core.sweep()
    assert (await client.answer()).status == 504
    core.ledger.waiter = None
    written.set_result(None)
    client.request("POST", CHAT, json=ASK)
    assert (await client.answer()).json() == openai_chat("second")
    assert len(core.records) == 2


async def test_the_record_is_kept_before_the_app_has_the_last_byte(
    core: Core, upstream: ScriptedUpstream
) -> None:
    upstream.play(sse(EVENTS))
    client = await RawClient.open(core.port)
    client.request("POST", CHAT, json=STREAM)
    await client.until(b"[DONE]")
    assert len(core.records) == 1


async def test_malformed_http_is_answered_and_closed(core: Core, upstream: ScriptedUpstream) -> None:
    for request in (
        b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
        b"POST /openai/v1/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /openai/v1/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST /openai/v1/x HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"GET /openai/v1/x HTTP/1.1\r\nHost: a\r\n folded: x\r\n\r\n",
        b"GET /openai/v1/\xe9 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /openai/v1/x HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
        b"GET /openai/v1/x HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 200 + b"\r\n",
    ):
        client = await RawClient.open(core.port)
        client.send(request)
        await client.closed()
        assert bytes(client.received[:10]) in (b"HTTP/1.1 4", b"HTTP/1.0 4"), (
            request[:60],
            bytes(client.received),
        )
        assert b"Traceback" not in client.received
    assert upstream.requests == []


async def test_apps_too_slow_with_a_head_or_a_body_are_cut(core: Core, upstream: ScriptedUpstream) -> None:
    head_only = await RawClient.open(core.port)
    head_only.send(b"POST /openai/v1/x HTTP/1.1\r\nHost: a\r\nX-Slow")
    silent = await RawClient.open(core.port)
    body = await RawClient.open(core.port)
    body.send(b"POST /openai/v1/x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
    await asyncio.sleep(0.05)
    core.advance(16)
    await head_only.closed()
    await silent.closed()
    assert not body.ended.is_set()
    core.advance(61)
    await body.closed()
    assert upstream.requests == []


async def test_an_app_that_is_answered_while_it_uploads_is_let_go(lane: LaneKind) -> None:
    """Its upload was held up until there is a connection, and there will be none."""
    with Unreachable() as base:
        async with Core(base, lane, limits=Limits(1000, 1 << 30, 16384)) as core:
            client = await RawClient.open(core.port)
            client.request("POST", CHAT, body=b"x" * 300_000)
            assert (await client.answer()).status == 502
            await client.closed()
            assert (await core.record()).outcome is Outcome.CONNECT_FAILED
