"""The rig itself: what a test says is what goes over the wire, and the ledger tells the truth."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator

import pytest
from rig.bodies import openai_events
from rig.client import RawClient, call
from rig.http11 import chunk
from rig.order import FAULTS, LONGEST, place_of, unit_of
from rig.process import ROOT
from rig.script import (
    End,
    Framing,
    Script,
    body_read,
    chunked,
    chunked_end,
    fin,
    garbage,
    hang,
    head,
    interim,
    reply,
    rst,
    sse,
    stale,
    steps,
    trickle,
    wait,
)
from rig.upstream import ScriptedUpstream, Unreachable


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream() as running:
        yield running


async def test_length_chunked_and_close_framing_carry_the_same_body(upstream: ScriptedUpstream) -> None:
    for framing in Framing:
        upstream.play(reply(201, [b"one", b"two"], framing=framing, headers=[("X-Case", "Kept")]))
        answer = await call(upstream.port, "POST", "/p%2Fq?x=1", body=b"ask")
        assert (answer.status, answer.body, answer.complete) == (201, b"onetwo", True)
        assert b"X-Case: Kept\r\n" in answer.head.raw
        if framing is Framing.CHUNKED:
            assert answer.raw_body == chunk(b"one") + chunk(b"two") + b"0\r\n\r\n"
    assert [seen.target for seen in upstream.requests] == ["/p%2Fq?x=1"] * 3
    assert [seen.body for seen in upstream.requests] == [b"ask"] * 3


async def test_a_chunked_request_is_seen_framed_and_unframed(upstream: ScriptedUpstream) -> None:
    await call(upstream.port, "POST", "/", body=b"hello", chunked=True)
    (seen,) = upstream.requests
    assert (seen.body, seen.raw_body, seen.complete) == (b"hello", b"5\r\nhello\r\n0\r\n\r\n", True)


async def test_events_leave_one_by_one_as_the_gate_opens(upstream: ScriptedUpstream) -> None:
    gate, events = asyncio.Semaphore(0), openai_events()
    upstream.play(sse(events, gate=gate))
    client = await RawClient.open(upstream.port)
    client.request("POST", "/v1/chat/completions", body=b"{}")
    for event in events:
        assert event not in bytes(client.received)
        gate.release()
        await client.until(event)
    await client.until(b"0\r\n\r\n")
    client.close()


async def test_a_burst_is_one_write_and_a_gzip_stream_inflates(upstream: ScriptedUpstream) -> None:
    events = openai_events()
    upstream.play(sse(events, burst=True), sse(events, gzip=True))
    assert (await call(upstream.port, "POST", "/")).chunks == events
    squeezed = (await call(upstream.port, "POST", "/")).body
    assert zlib.decompressobj(31).decompress(squeezed) == b"".join(events)
    upstream.play(reply(body=b"x" * 999, gzip=True))
    assert gzip.decompress((await call(upstream.port, "GET", "/")).body) == b"x" * 999


@pytest.mark.parametrize("framing", list(Framing)[:2])
@pytest.mark.parametrize("end", [End.CLOSE, End.RESET])
async def test_a_cut_body_shows_as_incomplete(upstream: ScriptedUpstream, framing: Framing, end: End) -> None:
    upstream.play(reply(body=b"0123456789", cut=4, framing=framing, end=end))
    client = await RawClient.open(upstream.port)
    client.request("POST", "/", body=b"{}")
    answer = await client.answer()
    assert not answer.complete
    assert isinstance(client.error, ConnectionResetError) == (end is End.RESET)


async def test_ends_without_an_answer(upstream: ScriptedUpstream) -> None:
    for script in (steps(body_read(), rst()), stale(), steps(body_read(), fin())):
        upstream.play(script)
        with pytest.raises(EOFError):
            await call(upstream.port, "POST", "/", body=b"{}")
    upstream.play(garbage(b"not http\r\n\r\n"))
    client = await RawClient.open(upstream.port)
    client.request("GET", "/")
    await client.closed()
    assert bytes(client.received) == b"not http\r\n\r\n"


async def test_a_hang_lasts_until_the_peer_leaves_and_that_is_noted(upstream: ScriptedUpstream) -> None:
    upstream.play(hang(), steps(head(200), chunked(b"a"), hang()))
    for leave in (RawClient.close, RawClient.abort):
        client = await RawClient.open(upstream.port)
        client.request("POST", "/", body=b"{}")
        await upstream.seen(len(upstream.peers))
        leave(client)
        peer = await upstream.left(len(upstream.peers) - 1)
        assert peer.closed_by_peer_at is not None
    assert upstream.open_connections == 0


async def test_keep_alive_then_stale_on_the_next_request(upstream: ScriptedUpstream) -> None:
    upstream.play(reply(body=b"first"), stale())
    client = await RawClient.open(upstream.port)
    client.request("GET", "/1")
    assert (await client.answer("GET")).body == b"first"
    client.request("GET", "/2")
    with pytest.raises(EOFError):
        await client.answer("GET")
    assert [(seen.connection, seen.nth) for seen in upstream.requests] == [(0, 0), (0, 1)]


async def test_pipelined_requests_are_answered_in_order(upstream: ScriptedUpstream) -> None:
    upstream.play(reply(body=b"a"), reply(body=b"b", framing=Framing.CHUNKED), reply(204))
    client = await RawClient.open(upstream.port)
    for target in ("/a", "/b", "/c"):
        client.request("GET", target)
    assert [(await client.answer()).body for _ in range(3)] == [b"a", b"b", b""]
    client.close()


async def test_interim_answers_trickle_and_wait(upstream: ScriptedUpstream) -> None:
    go = asyncio.Event()
    upstream.play(
        steps(
            interim(100), interim(103, [("Link", "</a>")]), body_read(), wait(go),
            trickle(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", tick=0),
        )
    )  # fmt: skip
    client = await RawClient.open(upstream.port)
    client.send(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    await client.until(b"100 Continue\r\n\r\n")
    client.send(b"hi")
    go.set()
    answer = await client.answer()
    assert [head.start.split(" ")[1] for head in answer.interim] == ["100", "103"]
    assert answer.body == b"ok"


async def test_a_huge_body_waits_for_a_slow_reader(upstream: ScriptedUpstream) -> None:
    size = 16 << 20
    upstream.play(steps(body_read(), head(200), reply_body(size), chunked_end()))
    client = await RawClient.open(upstream.port, receive_buffer=65536)
    client.request("GET", "/")
    await client.until(b"\r\n\r\n")
    client.pause()
    peer = upstream.peers[0]
    while peer._writable.is_set():
        await asyncio.sleep(0)
    assert len(client.received) < size
    client.resume()
    await client.until(b"\r\n0\r\n\r\n")
    assert len(client.received) > size
    client.close()


def reply_body(size: int) -> Script:
    piece = b"x" * (1 << 20)
    return steps(*(chunked(piece) for _ in range(size >> 20)))


async def test_unreachable_refuses() -> None:
    with Unreachable() as base, pytest.raises(ConnectionRefusedError):
        await RawClient.open(int(base.rpartition(":")[2]))


def test_what_comes_first_exists() -> None:
    assert [name for name in LONGEST if not (ROOT / name).exists()] == []
    assert unit_of("tests/faults/test_faults_kill.py::test_killed[a/b]") == FAULTS
    assert unit_of("tests/api/test_api_keys.py::test_keys[a]") == "tests/api/test_api_keys.py"
    assert place_of("tests/api/test_api_reach.py::test_reach") < place_of(
        "tests/api/test_api_keys.py::test_keys"
    )
