"""Malformed requests by the thousand: refused or passed on, never a failure of ours, never a hanging connection."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import re
from collections import Counter
from pathlib import Path

import pytest
from rig.bodies import openai_chat
from rig.client import RawClient, call
from rig.hostile import hostile_requests
from rig.process import ServeProcess, serving
from rig.script import reply
from rig.upstream import ScriptedUpstream

SETTINGS = "[timeouts]\nclient_head = 1\nclient_body = 1\nkeepalive = 1\n[limits]\nhold_body_bytes = 262144\nbody_bytes = 1048576\n"
AT_ONCE = 200
HUNG_SECONDS = 20.0
"""Longer than any deadline of the settings above, with room for a busy machine."""
MIB = 1024 * 1024
_logger = logging.getLogger(__name__)


async def _one(port: int, data: bytes, rng: random.Random) -> int:
    """Sends one request, in one or several writes; the status of the answer, 0 for a closed connection."""
    client = await RawClient.open(port)
    try:
        cut = rng.randrange(len(data) + 1) if rng.random() < 0.3 else len(data)
        client.send(data[:cut])
        if cut < len(data):
            await asyncio.sleep(0.01)
            client.send(data[cut:])
        if rng.random() < 0.5:
            with contextlib.suppress(OSError):  # it has closed already
                client.half_close()
        async with asyncio.timeout(HUNG_SECONDS):
            while b"\r\n" not in client.received and not client.ended.is_set():
                await client._more()
        found = re.match(rb"HTTP/1\.[01] (\d{3}) ", client.received)
        assert found is not None or not client.received, bytes(client.received[:80])
        assert b"Traceback" not in client.received
        return int(found[1]) if found is not None else 0
    finally:
        client.abort()


async def _fuzz(port: int, count: int, seed: int) -> Counter[int]:
    statuses: Counter[int] = Counter()
    requests = enumerate(hostile_requests(count, seed))

    async def work() -> None:
        for number, data in requests:
            try:
                status = await _one(port, data, random.Random(seed + number))
            except (TimeoutError, AssertionError) as error:
                pytest.fail(f"{error!r} on {data[:200]!r}")
            assert status < 500, (status, data[:300])
            statuses[status] += 1

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return statuses


async def _survives(gateway: ServeProcess, upstream: ScriptedUpstream, count: int, seed: int) -> Counter[int]:
    port = await asyncio.to_thread(gateway.started)
    for model in (
        "gpt-4o",
        "gpt-4",
    ):  # loads the vocabularies of the token counter: 80 MiB, once in a lifetime
        answer = {**openai_chat(model), "usage": None}
        upstream.play(reply(json=answer))
        assert (await call(port, "POST", "/openai/v1/chat/completions", json={"model": model})).status == 200
    await _fuzz(port, 300, seed + 1)  # every path of the code has been seen once
    before = await asyncio.to_thread(gateway.settled_rss)
    statuses = await _fuzz(port, count, seed)
    grown = gateway.rss() - before
    _logger.info("%d requests: %s; %+.1f MiB", count, dict(statuses), grown / MIB)
    assert grown < 64 * MIB
    assert statuses[400] > count / 4
    gateway.process.terminate()
    assert await asyncio.to_thread(gateway.wait) == 0
    assert "Traceback" not in gateway.log, gateway.log
    assert "defect" not in gateway.log
    assert len(gateway.log.splitlines()) < 60
    assert len(gateway.rows()) >= len(upstream.requests) > 0
    return statuses


async def test_malformed_requests(tmp_path: Path) -> None:
    async with ScriptedUpstream() as upstream:
        with serving(tmp_path, upstream.base, extra=SETTINGS) as gateway:
            await _survives(gateway, upstream, 1_500, seed=20_261)


@pytest.mark.soak
async def test_twenty_thousand_malformed_requests(tmp_path: Path) -> None:
    async with ScriptedUpstream() as upstream:
        with serving(tmp_path, upstream.base, extra=SETTINGS) as gateway:
            await _survives(gateway, upstream, 20_000, seed=7)
