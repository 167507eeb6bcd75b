"""Bodies made to break whoever looks at them: they pass, or are refused, and the tap gives up in good time."""

from __future__ import annotations

import functools
import gzip
import zlib

import brotli
import pytest
import zstandard
from rig.bodies import data_event, openai_chat
from rig.client import RawClient, call
from rig.core import Core, LaneKind
from rig.script import body_read, raw, reply, sse, steps
from rig.upstream import ScriptedUpstream

from gateway.proxy import Limits
from gateway.server import HttpLimits
from telemetry.outcome import Outcome

CHAT = "/openai/v1/chat/completions"
PATHS = (
    CHAT,
    "/openai/v1/responses",
    "/openai/v1/embeddings",
    "/anthropic/v1/messages",
    "/gemini/v1beta/models/gemini-2.0-flash:generateContent",
    "/gemini/v1beta/models/gemini-2.0-flash:streamGenerateContent",
)
DEPTH = 100_000
NESTED = {
    "lists": b"[" * DEPTH + b"]" * DEPTH,
    "objects": b'{"a":' * DEPTH + b"1" + b"}" * DEPTH,
    "open": b"[" * DEPTH,
    "in-usage": b'{"model":"m","usage":' + b'{"a":' * DEPTH + b"1" + b"}" * DEPTH + b"}",
    "long-number": b'{"model":"m","usage":{"prompt_tokens":' + b"9" * 100_000 + b"}}",
}


@pytest.mark.parametrize("shape", NESTED)
async def test_deep_nesting_passes_both_ways(core: Core, upstream: ScriptedUpstream, shape: str) -> None:
    body = NESTED[shape]
    for number, path in enumerate(PATHS, 1):
        upstream.play(reply(200, body, headers=[("Content-Type", "application/json")]))
        answer = await call(core.port, "POST", path, body=body)
        assert (answer.status, answer.body) == (200, body)
        assert upstream.requests[-1].body == body
        assert (await core.record(number)).outcome is Outcome.COMPLETED


async def test_deep_nesting_in_events_passes(core: Core, upstream: ScriptedUpstream) -> None:
    events = [b"data: " + body + b"\n\n" for body in NESTED.values()] * 5
    for number, path in enumerate(PATHS, 1):
        upstream.play(sse(events, burst=True))
        answer = await call(core.port, "POST", path, json={"model": "gpt-4o", "stream": True})
        assert answer.body == b"".join(events)
        await core.record(number)


@functools.cache
def _bomb(size: int) -> bytes:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
    piece = b"\0" * 1_048_576
    return b"".join(squeeze.compress(piece) for _ in range(size // len(piece))) + squeeze.flush()


@pytest.mark.parametrize("kind", ["application/json", "text/event-stream"])
async def test_a_decompression_bomb_passes_unopened(
    core: Core, upstream: ScriptedUpstream, kind: str
) -> None:
    bomb = _bomb(512 * 1_048_576)
    headers = [("Content-Type", kind), ("Content-Encoding", "gzip")]
    upstream.play(reply(200, bomb, headers=headers), reply(json=openai_chat()))
    answer = await call(core.port, "POST", CHAT, json={"model": "gpt-4o"})
    assert answer.body == bomb
    record = await core.record()
    assert (record.outcome, record.usage) == (Outcome.COMPLETED, None)
    assert (await call(core.port, "POST", CHAT, json={"model": "gpt-4o"})).json() == openai_chat()


async def test_a_bomb_in_a_request_is_not_opened_at_all(core: Core, upstream: ScriptedUpstream) -> None:
    bomb = _bomb(64 * 1_048_576)
    headers = [("Content-Encoding", "gzip"), ("Content-Type", "application/json")]
    assert (await call(core.port, "POST", CHAT, headers, body=bomb)).status == 200
    assert upstream.requests[0].body == bomb


async def test_bombs_of_every_encoding_and_nested_ones(core: Core, upstream: ScriptedUpstream) -> None:
    for number, (encoding, bomb) in enumerate(_bombs().items(), 1):
        headers = [("Content-Type", "application/json"), ("Content-Encoding", encoding)]
        upstream.play(reply(200, bomb, headers=headers))
        answer = await call(core.port, "POST", CHAT, json={"model": "gpt-4o"})
        assert (answer.body, answer.header("content-encoding")) == (bomb, encoding)
        assert (await core.record(number)).outcome is Outcome.COMPLETED


@functools.cache
def _bombs() -> dict[str, bytes]:
    """By encoding."""
    zeros = b"\0" * (64 * 1_048_576)
    return {
        "br": brotli.compress(zeros, quality=5),
        "zstd": zstandard.compress(zeros),
        "deflate": zlib.compress(zeros),
        "gzip, gzip": gzip.compress(gzip.compress(zeros)),
        "nonsense": b"x" * 100,
        "gzip": b"\x1f\x8bgarbage",
    }


async def test_an_event_without_an_end_is_not_kept(core: Core, upstream: ScriptedUpstream) -> None:
    endless = [b"data: " + b"x" * 65_536] + [b"x" * 65_536] * 120 + [b"\n\n"]
    upstream.play(
        sse(
            [
                *endless,
                data_event(
                    {"model": "gpt-4o", "choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 1}}
                ),
            ]
        )
    )
    answer = await call(core.port, "POST", CHAT, json={"model": "gpt-4o", "stream": True})
    assert len(answer.body) > 120 * 65_536
    record = await core.record()
    assert record.usage is not None
    assert record.usage.input == 7


async def test_a_provider_head_without_an_end_is_a_protocol_error(
    core: Core, upstream: ScriptedUpstream
) -> None:
    endless = b"HTTP/1.1 200 OK\r\n" + b"X-Endless: " + b"x" * 8_000_000
    upstream.play(steps(body_read(), raw(endless)))
    answer = await call(core.port, "POST", CHAT, json={"model": "gpt-4o"})
    assert answer.status == 502
    assert (await core.record()).outcome is Outcome.PROTOCOL_ERROR


async def test_a_body_over_the_limit_is_refused_before_or_while_it_streams(
    upstream: ScriptedUpstream, lane: LaneKind
) -> None:
    async with Core(upstream.base, lane, limits=Limits(10_000, 50_000, 16_384)) as core:
        declared = await RawClient.open(core.port)
        declared.request("POST", CHAT, [("Content-Length", "50001")], body=b"x")
        declared.send(b"x" * 20_000)
        assert (await declared.answer()).status == 413
        assert upstream.requests == []
        growing = await RawClient.open(core.port)
        growing.send(b"POST /openai/v1/files HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(8):
            growing.send(b"2000\r\n" + b"x" * 8192 + b"\r\n")
            await core.turn()
        assert (await growing.answer()).status == 413
        await upstream.left(0)
        assert [record.outcome for record in core.records] == [Outcome.REFUSED] * 2


async def test_heads_over_the_limits_are_refused(upstream: ScriptedUpstream, lane: LaneKind) -> None:
    small = HttpLimits(2_000, 4_000, 20, 15.0, 60.0, 75.0, 100)
    async with Core(upstream.base, lane, http=small, limits=Limits(10_000, 50_000, 1_000)) as core:
        for head, status in (
            (b"GET /openai/v1/x HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 30, (400, 431)),
            (b"GET /openai/v1/x HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 5_000 + b"\r\n", (400, 431)),
            (b"GET /openai/v1/x HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 20_000, (400, 431)),
            (b"GET /openai/v1/" + b"y" * 1_500 + b" HTTP/1.1\r\nHost: a\r\n", (414,)),
        ):
            client = await RawClient.open(core.port)
            client.send(head + b"\r\n")
            assert (await client.answer("GET")).status in status
            client.close()
        assert upstream.requests == []
