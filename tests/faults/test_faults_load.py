"""Many streams, many idle connections, many slow peers: all served, little memory, nobody else held up."""

from __future__ import annotations

import asyncio
import logging
import resource
import statistics
import time
from collections import Counter
from pathlib import Path

import pytest
from rig.bodies import openai_chat, openai_events
from rig.client import RawClient, call
from rig.process import serving
from rig.script import body_read, chunked, chunked_end, hang, head, reply, sse, steps, wait
from rig.upstream import ScriptedUpstream

CHAT = "/openai/v1/chat/completions"
ASK = {"model": "gpt-4o"}
STREAM = {**ASK, "stream": True, "stream_options": {"include_usage": True}}
EVENTS = openai_events()
MIB = 1024 * 1024
_logger = logging.getLogger(__name__)


def _allow_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _warm(port: int) -> None:
    """The paths of the code have been seen once, so that what grows later is per connection."""
    for _ in range(20):
        assert (await call(port, "POST", CHAT, json=STREAM)).status == 200


STREAMS = [300, pytest.param(2_000, marks=pytest.mark.soak)]
MOST_OF_A_STREAM = 20_000
"""Bytes of memory, of an open one."""


@pytest.mark.parametrize("count", STREAMS)
async def test_open_streams_all_complete(tmp_path: Path, count: int) -> None:
    _allow_files()
    go = asyncio.Event()
    stream = steps(
        body_read(),
        head(200, [("Content-Type", "text/event-stream")]),
        chunked(EVENTS[0]),
        wait(go),
        *map(chunked, EVENTS[1:]),
        chunked_end(),
    )
    async with ScriptedUpstream(sse(EVENTS)) as upstream:
        with serving(tmp_path, upstream.base) as gateway:
            port = await asyncio.to_thread(gateway.started)
            await _warm(port)
            idle = await asyncio.to_thread(gateway.settled_rss)
            upstream.default = stream
            clients: list[RawClient] = []
            for start in range(0, count, 100):
                batch = [await RawClient.open(port) for _ in range(min(100, count - start))]
                for client in batch:
                    client.request("POST", CHAT, json=STREAM)
                await asyncio.gather(*(client.until(EVENTS[0]) for client in batch))
                clients += batch
            grown = await asyncio.to_thread(gateway.settled_rss) - idle
            _logger.info("%d open streams: %+.1f MiB, %.1f KB each", count, grown / MIB, grown / count / 1000)
            go.set()
            answers = await asyncio.gather(*(client.answer() for client in clients))
            assert all(answer.complete and answer.body == b"".join(EVENTS) for answer in answers)
            assert grown < count * MOST_OF_A_STREAM
            for client in clients:
                client.close()
            gateway.process.terminate()
            assert await asyncio.to_thread(gateway.wait) == 0
            assert Counter(row[1] for row in gateway.rows()) == {"completed": count + 20}


IDLE = [pytest.param(1_000, id="1000"), pytest.param(10_000, id="10000", marks=pytest.mark.soak)]


@pytest.mark.parametrize("count", IDLE)
async def test_idle_connections_cost_little(tmp_path: Path, count: int) -> None:
    _allow_files()
    async with ScriptedUpstream(sse(EVENTS)) as upstream:
        with serving(
            tmp_path, upstream.base, extra="[timeouts]\nclient_head = 300\nkeepalive = 300\n"
        ) as gateway:
            port = await asyncio.to_thread(gateway.started)
            await _warm(port)
            empty = await asyncio.to_thread(gateway.settled_rss)
            clients = []
            for start in range(0, count, 100):
                clients += [await RawClient.open(port) for _ in range(min(100, count - start))]
            used = await asyncio.to_thread(gateway.settled_rss) - empty
            _logger.info("%d idle connections: %.2f KB each", count, used / count / 1000)
            assert used < count * 10_000 + 2 * MIB
            assert (await call(port, "POST", CHAT, json=STREAM)).status == 200
            for client in clients:
                client.abort()


SLOW = [pytest.param(150, id="150"), pytest.param(1_000, id="1000", marks=pytest.mark.soak)]
SLOW_HEAD = b"POST /openai/v1/chat/completions HTTP/1.1\r\nHost: a\r\nX-Slow: "
SLOW_BODY = b"POST /openai/v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{"
DEADLINES = "[timeouts]\nclient_head = 3\nclient_body = 3\nkeepalive = 3\n"
CUT_SECONDS = 3 + 2 + 4
"""Deadline, two sweeps, and room for a busy machine."""


async def _slow(port: int, number: int) -> float:
    """A byte now and then, in the head or in the body; seconds until it was cut."""
    client = await RawClient.open(port)
    since = time.monotonic()
    client.send(SLOW_HEAD if number % 2 else SLOW_BODY)
    async with asyncio.timeout(CUT_SECONDS * 3):
        while not client.ended.is_set():
            client.send(b"a")
            await asyncio.sleep(0.3)
    client.abort()
    return time.monotonic() - since


async def _normal(port: int, until: asyncio.Event) -> list[float]:
    times = []
    client = await RawClient.open(port)
    while not until.is_set():
        since = time.monotonic()
        client.request("POST", CHAT, json=ASK)
        assert (await client.answer()).status == 200
        times.append(time.monotonic() - since)
        await asyncio.sleep(0.01)
    client.close()
    return times


@pytest.mark.parametrize("count", SLOW)
async def test_slow_peers_are_cut_while_others_are_served(tmp_path: Path, count: int) -> None:
    _allow_files()
    async with ScriptedUpstream(reply(json=openai_chat())) as upstream:
        with serving(tmp_path, upstream.base, extra=DEADLINES) as gateway:
            port = await asyncio.to_thread(gateway.started)
            done = asyncio.Event()
            normal = asyncio.create_task(_normal(port, done))
            lasted = await asyncio.gather(*(_slow(port, number) for number in range(count)))
            done.set()
            times = await normal
            p99 = statistics.quantiles(times, n=100)[98]
            _logger.info(
                "%d slow peers cut after %.1f to %.1f s; %d calls beside them, p99 %.0f ms",
                count, min(lasted), max(lasted), len(times), p99 * 1000,
            )  # fmt: skip
            assert max(lasted) < CUT_SECONDS
            assert p99 < 0.5


LEAVERS = [pytest.param(40, id="40"), pytest.param(500, id="500", marks=pytest.mark.soak)]


@pytest.mark.parametrize("count", LEAVERS)
async def test_apps_that_leave_free_the_provider_and_leave_one_row(tmp_path: Path, count: int) -> None:
    async with ScriptedUpstream(sse(EVENTS[:2], then=hang())) as upstream:
        with serving(tmp_path, upstream.base) as gateway:
            port = await asyncio.to_thread(gateway.started)
            clients = [await RawClient.open(port) for _ in range(count)]
            for client in clients:
                client.request("POST", CHAT, json=STREAM)
            await asyncio.gather(*(client.until(EVENTS[1]) for client in clients))
            left_at = time.monotonic()
            for number, client in enumerate(clients):
                client.abort() if number % 2 else client.close()
            for number in range(count):
                await upstream.left(number)
            ended = [peer.closed_by_peer_at for peer in upstream.peers]
            slowest = max(at for at in ended if at is not None) - left_at
            _logger.info("%d apps left; the provider was free after %.2f s", count, slowest)
            assert slowest < 2
            gateway.process.terminate()
            assert await asyncio.to_thread(gateway.wait) == 0
            assert Counter(row[1] for row in gateway.rows()) == {"cancelled": count}
