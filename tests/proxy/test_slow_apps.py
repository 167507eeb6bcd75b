"""Apps that are slow, too many, or read nothing: cut on time, and nobody else notices."""

from __future__ import annotations

import asyncio

import pytest
from rig.bodies import openai_events
from rig.client import RawClient, call
from rig.core import Core, LaneKind
from rig.script import body_read, head, raw, reply, steps, unread
from rig.upstream import ScriptedUpstream

from gateway.front import TURNED_AWAY_AT_ONCE
from gateway.parting import STUCK_SECONDS
from gateway.proxy import Limits
from gateway.server import SLOWEST_BODY, HttpLimits
from telemetry.outcome import Outcome

CHAT = "/openai/v1/chat/completions"
HEAD = b"POST /openai/v1/x HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"


async def test_empty_lines_before_a_request_buy_no_time(core: Core) -> None:
    client = await RawClient.open(core.port)
    for _ in range(4):
        client.send(b"\r\n")
        await core.turn()
        core.advance(5)
    await client.closed()


async def test_a_head_that_trickles_is_cut_in_total_time(core: Core, upstream: ScriptedUpstream) -> None:
    client = await RawClient.open(core.port)
    for byte in HEAD[:4]:
        client.send(bytes((byte,)))
        await core.turn()
        core.advance(4.5)
    await client.closed()
    assert upstream.requests == []


async def test_a_body_that_trickles_has_a_slowest_pace(core: Core, upstream: ScriptedUpstream) -> None:
    client = await RawClient.open(core.port)
    client.send(HEAD % 100_000)
    for _ in range(5):
        client.send(b"x")
        await core.turn()
        core.advance(14)  # well below the longest pause
    await client.closed()
    assert upstream.requests == []


async def test_a_body_at_a_fair_pace_may_take_long(core: Core, upstream: ScriptedUpstream) -> None:
    client = await RawClient.open(core.port)
    pieces, seconds = 8, 30
    client.send(HEAD % (pieces * seconds * SLOWEST_BODY))
    for _ in range(pieces):
        client.send(b"x" * seconds * SLOWEST_BODY)
        await core.turn()
        core.advance(seconds - 1)
    assert (await client.answer()).status == 200


async def test_an_upload_the_provider_does_not_take_is_not_the_apps_fault(
    upstream: ScriptedUpstream, lane: LaneKind
) -> None:
    go = asyncio.Event()

    async def slow(peer: object, seen: object) -> None:
        peer.pause_reading()  # type: ignore[attr-defined]
        await go.wait()
        peer.resume_reading()  # type: ignore[attr-defined]
        await peer.read_body(seen)  # type: ignore[attr-defined]
        await reply(json={"ok": True})(peer, seen)  # type: ignore[arg-type]

    size = 24_000_000
    async with Core(upstream.base, lane, limits=Limits(1_000, 1 << 30, 16_384)) as core:
        upstream.play(slow)
        client = await RawClient.open(core.port)
        client.send(HEAD % size + b"x" * size)
        await upstream.seen(1)
        await asyncio.sleep(0.3)
        core.advance(200)
        assert not client.ended.is_set()
        go.set()
        assert (await client.answer()).status == 200


async def test_a_provider_that_stops_reading_an_upload_is_given_up(
    upstream: ScriptedUpstream, lane: LaneKind
) -> None:
    size = 24_000_000
    async with Core(upstream.base, lane, limits=Limits(1_000, 1 << 30, 16_384)) as core:
        upstream.play(unread(asyncio.Event()))
        client = await RawClient.open(core.port)
        client.send(HEAD % size + b"x" * size)
        await upstream.seen(1)
        await asyncio.sleep(0.3)
        core.advance(301)
        answer = await client.answer()
        assert (answer.status, "did not read the request" in answer.json()["error"]["message"]) == (504, True)
        assert (await core.record()).outcome is Outcome.STALLED


async def test_an_app_that_reads_nothing_is_cut_and_let_go_of(core: Core, upstream: ScriptedUpstream) -> None:
    endless = [b"data: " + b"x" * 60_000 + b"\n\n"] * 400
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in endless)
    upstream.play(steps(body_read(), head(200, [("Content-Type", "text/event-stream")]), raw(chunks)))
    client = await RawClient.open(core.port, receive_buffer=4096)
    client.pause()
    client.request("POST", CHAT, json={"model": "gpt-4o", "stream": True})
    await upstream.seen(1)
    await asyncio.sleep(0.3)
    core.advance(301)
    assert (await core.record()).outcome is Outcome.CANCELLED
    await upstream.left()
    assert len(core.server.parting) == 1
    core.advance(1)
    core.advance(STUCK_SECONDS + 1)
    assert len(core.server.parting) == 0
    async with asyncio.timeout(5):
        while core.lane.connections or core.server.open:
            await core.turn()


async def test_connections_beyond_the_limit_are_told_so(upstream: ScriptedUpstream) -> None:
    few = HttpLimits(65_536, 65_536, 128, 15.0, 60.0, 75.0, 5)
    async with Core(upstream.base, LaneKind.FAST, http=few) as core:
        held = [await RawClient.open(core.port) for _ in range(4)]
        held[0].send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")  # counts in the other lane too
        assert (await held[0].answer("GET")).status == 200
        last = await RawClient.open(core.port)
        last.request("POST", CHAT, json={"model": "gpt-4o"})
        assert (await last.answer()).status == 200
        for _ in range(3):
            answer = await call(core.port, "POST", CHAT, json={"model": "gpt-4o"})
            assert (answer.status, answer.header("retry-after")) == (503, "1")
            assert answer.json()["error"]["code"] == "weighbridge_too_many_connections"
        assert core.server.turned_away == 3
        for client in held:
            client.close()
        async with asyncio.timeout(5):
            while len(core.lane.connections) + core.server.open > 2:
                await core.turn()
        assert (await call(core.port, "POST", CHAT, json={"model": "gpt-4o"})).status == 200
        assert len(upstream.requests) == 2


async def test_a_flood_of_connections_is_closed_without_a_word(upstream: ScriptedUpstream) -> None:
    few = HttpLimits(65_536, 65_536, 128, 15.0, 60.0, 75.0, 5)
    async with Core(upstream.base, LaneKind.FAST, http=few) as core:
        flood = [await RawClient.open(core.port) for _ in range(5 + TURNED_AWAY_AT_ONCE + 20)]
        await flood[-1].closed()
        assert flood[-1].received == b""
        assert len(core.lane.connections) <= 5 + TURNED_AWAY_AT_ONCE
        core.advance(16)  # the half closed ones are not kept
        core.advance(1)
        for client in flood:
            await client.closed()
            client.abort()


@pytest.mark.parametrize("target", ["/healthz", "/api/x"])
async def test_a_body_for_our_own_paths_has_a_deadline_too(core: Core, target: str) -> None:
    client = await RawClient.open(core.port)
    client.send(b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\nabc" % target.encode())
    await core.turn()
    core.advance(61)
    core.advance(61)
    await client.closed()


async def test_slow_apps_do_not_hold_up_a_quick_one(core: Core, upstream: ScriptedUpstream) -> None:
    slow = [await RawClient.open(core.port) for _ in range(200)]
    for number, client in enumerate(slow):
        client.send((HEAD % 10)[: 20 + number % 40])
    upstream.play(reply(200, b"".join(openai_events())))
    assert (await call(core.port, "POST", CHAT, json={"model": "gpt-4o"})).status == 200
    core.advance(16)
    core.advance(60)
    for client in slow:
        await client.closed()
        client.abort()
