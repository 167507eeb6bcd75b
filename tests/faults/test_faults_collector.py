"""A collector that is down, hangs or fails: no call notices, memory stays bounded, the end comes in time."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from otel.collector import Collector
from rig.bodies import openai_chat, openai_events
from rig.client import RawClient
from rig.gateway import gateway as whole
from rig.process import serving
from rig.script import reply
from rig.upstream import ScriptedUpstream, Unreachable

CHAT = "/openai/v1/chat/completions"
ASK = {"model": "gpt-4o"}
CALLS = 400
WARM = 200
"""Enough that the vocabularies of the token counter are loaded."""
END_SECONDS = 5.0
MIB = 1024 * 1024


@contextlib.asynccontextmanager
async def _collector(manner: str) -> AsyncIterator[str]:
    if manner == "down":
        with Unreachable() as url:
            yield url
        return
    status = 500 if manner == "failing" else 200
    async with Collector(hang=manner == "hanging", traces_status=status, metrics_status=status) as running:
        yield running.url


async def _calls(port: int, count: int) -> None:
    """So many calls on four connections, all well."""

    async def work() -> None:
        client = await RawClient.open(port)
        for _ in range(count // 4):
            client.request("POST", CHAT, json=ASK)
            assert (await client.answer()).status == 200
        client.close()

    await asyncio.gather(*(work() for _ in range(4)))


@pytest.mark.parametrize("manner", ["down", "hanging", "failing"])
async def test_a_collector_in_trouble_is_nobodys_trouble(tmp_path: Path, manner: str) -> None:
    async with ScriptedUpstream(reply(json=openai_chat())) as upstream, _collector(manner) as url:
        environ = {"WEIGHBRIDGE_TELEMETRY__ENDPOINT": url, "OTEL_BSP_MAX_QUEUE_SIZE": "50"}
        with serving(tmp_path, upstream.base, environ=environ) as gateway:
            port = await asyncio.to_thread(gateway.started)
            await _calls(port, WARM)
            before = await asyncio.to_thread(gateway.settled_rss)
            await _calls(port, CALLS)
            assert gateway.rss() - before < 32 * MIB
            since = time.monotonic()
            gateway.signal(signal.SIGTERM)
            assert await asyncio.to_thread(gateway.wait) == 0
            assert time.monotonic() - since < END_SECONDS
            assert {row[1] for row in gateway.rows()} == {"completed"}
            assert len(gateway.rows()) == CALLS + WARM
            assert "Traceback" not in gateway.log
            assert len(gateway.log.splitlines()) < 20


@pytest.mark.parametrize("manner", ["down", "hanging", "failing"])
async def test_what_is_not_delivered_is_counted(tmp_path: Path, manner: str) -> None:
    async with ScriptedUpstream(reply(200, b"".join(openai_events()))) as upstream, _collector(manner) as url:
        async with whole(tmp_path, upstream.base, telemetry={"endpoint": url}) as running:
            await _calls(running.port, 40)
        stats = running.telemetry.stats()
        assert stats.accepted == 40
        assert sum(stats.drops.values()) + stats.queued + stats.pending == 40
        assert stats.spans_delivered == 0


@pytest.mark.soak
@pytest.mark.parametrize("manner", ["down", "hanging", "failing"])
async def test_a_long_outage_of_the_collector_is_bounded_in_memory(tmp_path: Path, manner: str) -> None:
    async with ScriptedUpstream(reply(json=openai_chat())) as upstream, _collector(manner) as url:
        with serving(tmp_path, upstream.base, environ={"WEIGHBRIDGE_TELEMETRY__ENDPOINT": url}) as gateway:
            port = await asyncio.to_thread(gateway.started)
            await _calls(port, 2_000)
            before = await asyncio.to_thread(gateway.settled_rss)
            for _ in range(6):
                await _calls(port, 4_000)
                upstream.requests.clear()
            assert gateway.rss() - before < 64 * MIB
            since = time.monotonic()
            gateway.signal(signal.SIGTERM)
            assert await asyncio.to_thread(gateway.wait) == 0
            assert time.monotonic() - since < END_SECONDS
