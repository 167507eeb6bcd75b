"""Bytes pass unchanged, both ways, as they come."""

from __future__ import annotations

import asyncio
import json

import pytest
from rig.bodies import openai_chat, openai_events
from rig.client import RawClient, call
from rig.core import Core, LaneKind
from rig.http11 import chunk
from rig.script import Framing, body_read, chunked, chunked_end, head, interim, redirect, reply, sse, steps
from rig.upstream import ScriptedUpstream

CHAT = "/openai/v1/chat/completions"


async def test_a_request_arrives_as_it_was_sent(core: Core, upstream: ScriptedUpstream) -> None:
    body = b'{"model" :  "gpt-4o",\n "x-unknown": [1e3, "\\u00e9"] }'
    headers = [
        ("Authorization", "Bearer sk-app"),
        ("OpenAI-Beta", "assistants=v2"),
        ("X-Odd", "\xe9 two  spaces"),
    ]
    await call(core.port, "POST", CHAT, headers, body)
    (seen,) = upstream.requests
    assert (seen.method, seen.target, seen.body) == ("POST", "/v1/chat/completions", body)
    for name, value in headers:
        assert f"{name}: {value}".encode("latin-1") in seen.head.raw
    assert seen.head.raw.count(b"\r\nHost: ") == 1
    assert f"Host: 127.0.0.1:{upstream.port}".encode() in seen.head.raw


@pytest.mark.parametrize(
    "target", ["/openai//v1//files/a%2Fb%20c?limit=1&after=%7B", "/openai/v1/a?", "/openai/v1/models/x%3Ay/"]
)
async def test_raw_paths_are_kept(core: Core, upstream: ScriptedUpstream, target: str) -> None:
    client = await RawClient.open(core.port)
    client.send(b"GET %b HTTP/1.1\r\nHost: gw\r\n\r\n" % target.encode("latin-1"))
    answer = await client.answer("GET")
    assert answer.status == 200, answer.body
    assert upstream.requests[0].head.raw.split(b" ")[1] == target.removeprefix("/openai").encode("latin-1")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"])
async def test_every_method_passes(core: Core, upstream: ScriptedUpstream, method: str) -> None:
    upstream.play(reply(200, b"body", headers=[("X-From", "provider")]))
    answer = await call(core.port, method, "/openai/v1/files/f1")
    assert answer.status == 200
    assert answer.header("x-from") == "provider"
    assert answer.body == (b"" if method == "HEAD" else b"body")
    assert upstream.requests[0].method == method
    assert (await call(core.port, "GET", "/openai/v1/next")).json() == {"ok": True}


@pytest.mark.parametrize("framing", list(Framing))
@pytest.mark.parametrize("status", [200, 201, 400, 404, 429, 500, 529])
async def test_answers_pass_whatever_their_status_and_framing(
    core: Core, upstream: ScriptedUpstream, framing: Framing, status: int
) -> None:
    body = json.dumps({"error": {"type": "x", "message": "y"}}).encode()
    extra = [
        ("Content-Type", "application/json"),
        ("Retry-After", "7"),
        ("X-RateLimit-Remaining", "0"),
        ("x-request-id", "req_1"),
    ]
    upstream.play(reply(status, [body[:9], body[9:]], headers=extra, framing=framing))
    answer = await call(core.port, "POST", CHAT, json={"model": "gpt-4o"})
    assert (answer.status, answer.body, answer.complete) == (status, body, True)
    for name, value in extra:
        assert answer.header(name) == value


async def test_chunk_framing_of_a_stream_is_untouched(core: Core, upstream: ScriptedUpstream) -> None:
    events = openai_events()
    upstream.play(sse(events, burst=True))
    answer = await call(core.port, "POST", CHAT, json={"model": "gpt-4o", "stream": True})
    assert answer.raw_body == b"".join(chunk(event) for event in events) + b"0\r\n\r\n"


async def test_each_event_reaches_the_app_before_the_next_leaves_the_provider(
    core: Core, upstream: ScriptedUpstream
) -> None:
    gate, events = asyncio.Semaphore(0), openai_events()
    upstream.play(sse(events, gate=gate))
    client = await RawClient.open(core.port)
    client.request("POST", CHAT, json={"model": "gpt-4o", "stream": True})
    for event in events:
        assert event not in bytes(client.received)
        gate.release()
        await client.until(event)
    await client.until(b"0\r\n\r\n")


async def test_compressed_answers_pass_compressed_and_are_still_read(
    core: Core, upstream: ScriptedUpstream
) -> None:
    upstream.play(reply(json=openai_chat(), gzip=True), sse(openai_events(), gzip=True))
    plain = await call(core.port, "POST", CHAT, json={"model": "gpt-4o"})
    assert plain.header("content-encoding") == "gzip"
    stream = await call(core.port, "POST", CHAT, json={"model": "gpt-4o", "stream": True})
    assert stream.header("content-encoding") == "gzip"
    first, second = await core.record(1), await core.record(2)
    assert first.usage is not None
    assert first.answer.model == openai_chat()["model"]
    assert second.answer.model is not None


async def test_bodies_of_all_sizes_arrive_chunked_or_not(core: Core, upstream: ScriptedUpstream) -> None:
    for size in (0, 1, 65_536, 3_000_000):
        for as_chunks in (False, True)[: size + 1]:
            body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
            upstream.play(reply(200, body))
            answer = await call(core.port, "POST", "/openai/v1/files", body=body, chunked=as_chunks)
            assert answer.body == body
            assert upstream.requests[-1].body == body


async def test_a_body_larger_than_is_held_streams_through(upstream: ScriptedUpstream, lane: LaneKind) -> None:
    from gateway.proxy import Limits

    async with Core(upstream.base, lane, limits=Limits(10_000, 1 << 30, 16384)) as core:
        for as_chunks in (False, True):
            body = b'{"model": "gpt-4o", "input": "' + b"a" * 2_000_000 + b'"}'
            answer = await call(core.port, "POST", "/openai/v1/embeddings", body=body, chunked=as_chunks)
            assert answer.status == 200
            assert upstream.requests[-1].body == body
        records = [await core.record(1), await core.record(2)]
    assert [record.what.model for record in records] == ["gpt-4o", "gpt-4o"]
    assert [record.what.request_bytes for record in records] == [2_000_032] * 2


async def test_hop_by_hop_and_our_own_headers_stay_here(core: Core, upstream: ScriptedUpstream) -> None:
    upstream.play(
        reply(
            200,
            b"{}",
            headers=[
                ("Connection", "x-private"),
                ("X-Private", "1"),
                ("Keep-Alive", "timeout=5"),
                ("X-Kept", "2"),
            ],
        )
    )
    sent = [
        ("Connection", "keep-alive, X-Hop"), ("X-Hop", "1"), ("Keep-Alive", "5"), ("TE", "trailers"),
        ("Proxy-Authorization", "Basic x"), ("x-weighbridge-team", "core"), ("X-Weighbridge-Anything", "z"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), ("baggage", "user.id=1"), ("X-Stay", "yes"),
    ]  # fmt: skip
    answer = await call(core.port, "POST", CHAT, sent, b"{}")
    seen = upstream.requests[0].head.raw.lower()
    for name in (
        b"x-hop",
        b"keep-alive:",
        b"te:",
        b"proxy-authorization",
        b"x-weighbridge",
        b"traceparent",
        b"baggage",
        b"\r\nconnection",
    ):
        assert name not in seen
    assert b"x-stay: yes" in seen
    assert answer.header("x-private") is None
    assert answer.header("keep-alive") is None
    assert answer.header("x-kept") == "2"


async def test_connection_header_cannot_strip_the_credential(core: Core, upstream: ScriptedUpstream) -> None:
    await call(
        core.port, "POST", CHAT, [("Connection", "authorization"), ("Authorization", "Bearer k")], b"{}"
    )
    assert b"Authorization: Bearer k" in upstream.requests[0].head.raw


async def test_informational_answers_are_swallowed_and_redirects_not_followed(
    core: Core, upstream: ScriptedUpstream
) -> None:
    upstream.play(
        steps(
            body_read(),
            interim(100),
            interim(103, [("Link", "</a>")]),
            head(200),
            chunked(b"{}"),
            chunked_end(),
        ),
        redirect("http://127.0.0.1:1/stolen"),
    )
    first = await call(core.port, "POST", CHAT, json={})
    assert (first.status, first.interim, first.body) == (200, [], b"{}")
    second = await call(core.port, "POST", CHAT, json={})
    assert (second.status, second.header("location")) == (307, "http://127.0.0.1:1/stolen")
    assert len(upstream.requests) == 2


async def test_an_old_client_gets_an_unchunked_answer(core: Core, upstream: ScriptedUpstream) -> None:
    upstream.play(sse(openai_events(), burst=True))
    client = await RawClient.open(core.port)
    client.send(
        b"POST %b HTTP/1.0\r\nHost: gw\r\nContent-Length: 15\r\n\r\n" % CHAT.encode() + b'{"stream":true}'
    )
    answer = await client.answer()
    assert answer.header("transfer-encoding") is None
    assert answer.body == b"".join(openai_events())


async def test_pipelined_and_kept_alive_requests_are_answered_in_order(
    core: Core, upstream: ScriptedUpstream
) -> None:
    upstream.play(*[reply(200, b"%d" % n) for n in range(6)])
    client = await RawClient.open(core.port)
    for _ in range(3):
        client.request("POST", "/openai/v1/x", body=b"one")
    assert [(await client.answer()).body for _ in range(3)] == [b"0", b"1", b"2"]
    for n in range(3, 6):
        client.request("POST", "/openai/v1/x", body=b"two")
        assert (await client.answer()).body == b"%d" % n
    assert len(core.records) == 6


async def test_expect_continue_is_answered_here(core: Core, upstream: ScriptedUpstream) -> None:
    client = await RawClient.open(core.port)
    client.send(
        b"POST %b HTTP/1.1\r\nHost: gw\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n" % CHAT.encode()
    )
    await client.until(b"HTTP/1.1 100 Continue\r\n\r\n")
    client.send(b"{}")
    assert (await client.answer()).status == 200
    assert b"expect" not in upstream.requests[0].head.raw.lower()
    assert upstream.requests[0].body == b"{}"


async def test_a_slow_reader_holds_the_provider_back(core: Core, upstream: ScriptedUpstream) -> None:
    pieces = [b"x" * 65_536] * 400
    upstream.play(reply(200, pieces, framing=Framing.CHUNKED))
    client = await RawClient.open(core.port, receive_buffer=4096)
    client.pause()
    client.request("GET", "/openai/v1/files/f/content")
    await upstream.seen(1)
    blocked = asyncio.Event()
    for _ in range(200):
        await asyncio.sleep(0.01)
        if any(exchange._blocked_since for exchange in core.live):
            blocked.set()
            break
    assert blocked.is_set()
    client.resume()
    answer = await client.answer("GET")
    assert len(answer.body) == 400 * 65_536


async def test_our_own_paths_and_calls_share_a_port(core: Core) -> None:
    assert (await call(core.port, "GET", "/healthz")).json() == {"status": "ok"}
    client = await RawClient.open(core.port)
    client.request("GET", "/healthz")
    assert (await client.answer("GET")).json() == {"status": "ok"}
    client.request("POST", CHAT, json={})
    assert (await client.answer()).json() == {"ok": True}


async def test_request_id_is_on_every_answer_and_the_cost_on_whole_ones(
    core: Core, upstream: ScriptedUpstream
) -> None:
    upstream.play(reply(json=openai_chat("gpt-4o-2024-08-06")), sse(openai_events()))
    whole = await call(core.port, "POST", CHAT, json={"model": "gpt-4o"})
    stream = await call(core.port, "POST", CHAT, json={"model": "gpt-4o", "stream": True})
    first, second = await core.record(1), await core.record(2)
    assert whole.header("x-weighbridge-request-id") == first.id
    assert stream.header("x-weighbridge-request-id") == second.id
    assert whole.header("x-weighbridge-cost-status") == "priced"
    assert float(whole.header("x-weighbridge-cost-usd") or 0) > 0
    assert whole.header("x-weighbridge-overhead-ms") is not None
    assert stream.header("x-weighbridge-cost-usd") is None
