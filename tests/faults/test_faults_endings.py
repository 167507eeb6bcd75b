"""Every way a call can end, through the whole gateway into SQLite: as many rows as calls, each with its outcome."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from rig.bodies import openai_chat, openai_error, openai_events
from rig.client import RawClient, call
from rig.gateway import gateway
from rig.script import (
    Script,
    body_read,
    chunked,
    fin,
    garbage,
    hang,
    head,
    raw,
    redirect,
    reply,
    rst,
    sse,
    steps,
    trickle,
)
from rig.upstream import ScriptedUpstream, Unreachable

CHAT = "/openai/v1/chat/completions"
ASK: dict[str, Any] = {"model": "gpt-4o", "max_tokens": 50}
STREAM = {**ASK, "stream": True, "stream_options": {"include_usage": True}}
EVENTS = openai_events()
JSON = [("Content-Type", "application/json")]
SHORT = {"response_head": 1, "idle": 1, "total": 3, "connect": 1}
"""Seconds; the sweeper looks once a second."""

Then = Callable[[RawClient, ScriptedUpstream], Awaitable[None]]


async def _wait(client: RawClient, upstream: ScriptedUpstream) -> None:
    """The app takes what comes, to the end."""
    with contextlib.suppress(EOFError):
        await client.answer()


async def _see_it_close(client: RawClient, upstream: ScriptedUpstream) -> None:
    await client.closed()


async def _leave_early(client: RawClient, upstream: ScriptedUpstream) -> None:
    await upstream.seen(len(upstream.requests) or 1)
    await asyncio.sleep(0.05)
    client.abort()


async def _leave_late(client: RawClient, upstream: ScriptedUpstream) -> None:
    await client.until(EVENTS[0])
    client.close()


# A reset comes after a byte here: before one, on a used connection, it counts as stale and the call is sent again.
ENDINGS: list[tuple[str, Any, Script, Then, str, int | None]] = [
    ("ok", ASK, reply(json=openai_chat()), _wait, "completed", 200),
    ("ok-stream", STREAM, sse(EVENTS), _wait, "completed", 200),
    ("400", ASK, reply(400, json=openai_error()), _wait, "provider_error", 400),
    ("401-stream", STREAM, reply(401, json=openai_error()), _wait, "provider_error", 401),
    ("429", ASK, reply(429, json=openai_error(), headers=[("Retry-After", "3")]), _wait, "provider_error", 429),
    ("429-stream", STREAM, reply(429, json=openai_error()), _wait, "provider_error", 429),
    ("500", ASK, reply(500, json=openai_error()), _wait, "provider_error", 500),
    ("529-stream", STREAM, reply(529, b"<html>overloaded</html>"), _wait, "provider_error", 529),
    ("redirect", ASK, redirect("http://evil.test/"), _wait, "completed", 307),
    ("reset", ASK, steps(body_read(), raw(b"HTTP/1.1 2"), rst()), _wait, "reset", 502),
    ("reset-stream", STREAM, steps(body_read(), raw(b"HTTP/1.1 2"), rst()), _wait, "reset", 502),
    ("cut", ASK, reply(json=openai_chat(), cut=40), _wait, "truncated", 200),
    ("cut-stream", STREAM, sse(EVENTS[:2], then=fin()), _wait, "truncated", 200),
    ("cut-stream-reset", STREAM, sse(EVENTS[:2], then=rst()), _wait, "truncated", 200),
    ("garbage", ASK, garbage(), _wait, "protocol_error", 502),
    ("garbage-stream", STREAM, garbage(), _wait, "protocol_error", 502),
    ("garbage-in-stream", STREAM, sse(EVENTS[:2], then=steps(raw(b"zz\r\n"), hang())), _see_it_close, "protocol_error", 200),
    ("malformed-json", ASK, reply(200, b'{"usage": {', headers=JSON), _wait, "completed", 200),
    ("malformed-json-stream", STREAM, sse([b"data: {nonsense\n\n", *EVENTS]), _wait, "completed", 200),
    ("no-head", ASK, steps(body_read(), hang()), _wait, "timeout", 504),
    ("no-head-stream", STREAM, steps(body_read(), hang()), _wait, "timeout", 504),
    ("trickled-head", ASK, steps(body_read(), trickle(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 999)), _wait, "timeout", 504),
    ("stall", ASK, steps(body_read(), head(200, JSON), chunked(b'{"a'), hang()), _wait, "stalled", 200),
    ("stall-stream", STREAM, sse(EVENTS[:1], then=hang()), _wait, "stalled", 200),
    ("endless", STREAM, steps(sse(EVENTS[:1], then=trickle(b"5\r\nabcde\r\n" * 999, 0.02))), _wait, "timeout", 200),
    ("gone-early", ASK, steps(body_read(), hang()), _leave_early, "cancelled", None),
    ("gone-early-stream", STREAM, steps(body_read(), hang()), _leave_early, "cancelled", None),
    ("gone-late-stream", STREAM, sse(EVENTS[:1], then=hang()), _leave_late, "cancelled", 200),
    ("refused", {"model": "x" * 60_000}, reply(), _wait, "refused", 413),
]  # fmt: skip


def _rows(folder: Path) -> list[tuple[str, int | None]]:
    with contextlib.closing(sqlite3.connect(folder / "weighbridge.db")) as db:
        return db.execute("SELECT outcome, http_status FROM model_requests ORDER BY id").fetchall()


@pytest.mark.parametrize("rounds", [1, pytest.param(15, marks=pytest.mark.soak)])
async def test_as_many_rows_as_calls(tmp_path: Path, rounds: int) -> None:
    limits = {"body_bytes": 50_000, "hold_body_bytes": 50_000}
    async with ScriptedUpstream() as upstream:
        async with gateway(tmp_path, upstream.base, timeouts=SHORT, limits=limits) as running:
            for _ in range(rounds):
                calls = []
                for _, ask, script, then, _, _ in ENDINGS:
                    upstream.play(script)
                    client = await RawClient.open(running.port)
                    seen = len(upstream.requests)
                    client.request("POST", CHAT, json=ask)
                    if "x" * 60_000 in ask.values():
                        upstream._queue.clear()
                    else:
                        await upstream.seen(seen + 1)
                    calls.append(asyncio.create_task(then(client, upstream)))
                await asyncio.gather(*calls)
        stats = running.ledger.stats()
    assert Counter(_rows(tmp_path)) == Counter(
        {pair: count * rounds for pair, count in Counter((row[4], row[5]) for row in ENDINGS).items()}
    )
    assert stats.recorded == len(ENDINGS) * rounds


async def test_refused_connections_and_a_shutdown(tmp_path: Path) -> None:
    with Unreachable() as nowhere:
        async with gateway(tmp_path, nowhere) as running:
            assert [(await call(running.port, "POST", CHAT, json=ask)).status for ask in (ASK, STREAM)] == [
                502,
                502,
            ]
    async with ScriptedUpstream() as upstream:
        upstream.play(sse(EVENTS[:1], then=hang()), steps(body_read(), hang()))
        async with gateway(tmp_path, upstream.base) as running:
            streaming = await RawClient.open(running.port)
            streaming.request("POST", CHAT, json=STREAM)
            await streaming.until(EVENTS[0])
            waiting = await RawClient.open(running.port)
            waiting.request("POST", CHAT, json=ASK)
            await upstream.seen(2)
        assert (await waiting.answer()).status == 503
        assert not (await streaming.answer()).complete
    assert Counter(_rows(tmp_path)) == {
        ("connect_failed", 502): 2,
        ("shutdown", 200): 1,
        ("shutdown", 503): 1,
    }


async def test_a_cut_stream_gets_no_clean_end_and_nothing_of_ours(tmp_path: Path) -> None:
    async with ScriptedUpstream() as upstream, gateway(tmp_path, upstream.base) as running:
        for ending in (fin(), rst()):
            upstream.play(sse(EVENTS[:3], then=ending))
            answer = await call(running.port, "POST", CHAT, json=STREAM)
            assert not answer.complete
            assert answer.body == b"".join(EVENTS[:3])
            assert b"[DONE]" not in answer.raw_body


async def test_a_call_is_sent_again_only_where_nothing_was_sent_back(tmp_path: Path) -> None:
    async with ScriptedUpstream() as upstream, gateway(tmp_path, upstream.base) as running:
        upstream.play(reply(json={"n": 1}), steps(body_read(), fin()), steps(body_read(), fin()))
        assert (await call(running.port, "POST", CHAT, json=ASK)).status == 200
        # On a connection that was used before, silence at once means it was stale; on a new one it does not.
        assert (await call(running.port, "POST", CHAT, json=ASK)).status == 502
        assert len(upstream.requests) == 3
        for script in (reply(500, json=openai_error()), reply(429, json=openai_error()), garbage()):
            before = len(upstream.requests)
            upstream.play(script)
            await call(running.port, "POST", CHAT, json=ASK)
            assert len(upstream.requests) == before + 1
