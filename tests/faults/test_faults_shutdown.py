"""SIGTERM: the listener closes at once, running calls finish, records are kept, the process ends with 0."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from pathlib import Path

import pytest
from rig.bodies import openai_chat, openai_events
from rig.client import RawClient
from rig.process import serving
from rig.script import body_read, chunked, chunked_end, hang, head, reply, sse, steps, wait
from rig.upstream import ScriptedUpstream

CHAT = "/openai/v1/chat/completions"
ASK = {"model": "gpt-4o"}
STREAM = {**ASK, "stream": True, "stream_options": {"include_usage": True}}
EVENTS = openai_events()
STREAMS = 50


async def _refused(port: int) -> bool:
    try:
        client = await RawClient.open(port)
    except ConnectionError:
        return True
    client.close()
    return False


async def _listener_is_closed(port: int) -> None:
    async with asyncio.timeout(10):
        while not await _refused(port):
            await asyncio.sleep(0.01)


async def _open_stream(port: int) -> RawClient:
    client = await RawClient.open(port)
    client.request("POST", CHAT, json=STREAM)
    await client.until(EVENTS[0])
    return client


@pytest.mark.parametrize("workers", [1, 2])
async def test_fifty_open_streams_all_finish(tmp_path: Path, workers: int) -> None:
    go = asyncio.Event()
    first, *rest = EVENTS
    script = steps(
        body_read(),
        head(200, [("Content-Type", "text/event-stream")]),
        chunked(first),
        wait(go),
        *map(chunked, rest),
        chunked_end(),
    )
    async with ScriptedUpstream(script) as upstream:
        with serving(tmp_path, upstream.base, f"--workers={workers}") as gateway:
            port = await asyncio.to_thread(gateway.started)
            idle = await RawClient.open(port)
            probe = await RawClient.open(port)
            probe.request("GET", "/healthz")
            assert (await probe.answer("GET")).status == 200
            streams = [await _open_stream(port) for _ in range(STREAMS)]
            gateway.signal(signal.SIGTERM)
            await _listener_is_closed(port)
            await idle.closed()
            await probe.closed()
            assert gateway.process.poll() is None
            go.set()
            for stream in streams:
                answer = await stream.answer()
                assert answer.complete
                assert answer.body == b"".join(EVENTS)
            assert await asyncio.to_thread(gateway.wait) == 0
            assert Counter(row[1:] for row in gateway.rows()) == {("completed", 200): STREAMS}


async def test_what_does_not_finish_in_the_drain_time_is_recorded_as_shutdown(tmp_path: Path) -> None:
    async with ScriptedUpstream() as upstream:
        upstream.play(sse(EVENTS[:1], then=hang()), steps(body_read(), hang()))
        with serving(
            tmp_path, upstream.base, environ={"WEIGHBRIDGE_SERVER__DRAIN_SECONDS": "0.5"}
        ) as gateway:
            port = await asyncio.to_thread(gateway.started)
            stream = await _open_stream(port)
            waiting = await RawClient.open(port)
            waiting.request("POST", CHAT, json=ASK)
            await upstream.seen(2)
            gateway.signal(signal.SIGTERM)
            answer = await waiting.answer()
            assert (answer.status, answer.json()["error"]["code"]) == (503, "weighbridge_shutting_down")
            await stream.closed()
            assert not stream.received.endswith(b"0\r\n\r\n")
            assert await asyncio.to_thread(gateway.wait) == 0
            assert sorted(row[1:] for row in gateway.rows()) == [("shutdown", 200), ("shutdown", 503)]


async def test_a_second_signal_ends_it_now(tmp_path: Path) -> None:
    async with ScriptedUpstream() as upstream:
        upstream.play(sse(EVENTS[:1], then=hang()))
        with serving(tmp_path, upstream.base) as gateway:
            port = await asyncio.to_thread(gateway.started)
            stream = await _open_stream(port)
            gateway.signal(signal.SIGTERM)
            await _listener_is_closed(port)
            gateway.signal(signal.SIGTERM)
            assert await asyncio.to_thread(gateway.wait, 5) == 1
            await stream.closed()


async def test_a_slow_reader_gets_the_rest_of_its_answer(tmp_path: Path) -> None:
    """The call is over, but the app has not read it all when the signal comes."""
    big = {**openai_chat(), "padding": "x" * 3_000_000}
    async with ScriptedUpstream(reply(json=big)) as upstream:
        with serving(tmp_path, upstream.base) as gateway:
            port = await asyncio.to_thread(gateway.started)
            client = await RawClient.open(port, receive_buffer=4096)
            client.pause()
            client.request("POST", CHAT, json=ASK)
            await upstream.seen(1)
            await asyncio.sleep(0.3)
            gateway.signal(signal.SIGTERM)
            await _listener_is_closed(port)
            client.resume()
            answer = await client.answer()
            assert answer.complete
            assert answer.json() == big
            assert await asyncio.to_thread(gateway.wait) == 0
            assert [row[1:] for row in gateway.rows()] == [("completed", 200)]
