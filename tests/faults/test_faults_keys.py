"""Keys over processes: a revocation reaches every worker, running streams included; keys are known without the database."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from rig.bodies import DONE, openai_chat, openai_events
from rig.client import RawClient, call
from rig.connection import Peer, Seen
from rig.process import eventually, free_port, serving
from rig.script import hang, reply, sse
from rig.upstream import ScriptedUpstream

from storage.address import parse
from storage.control import ControlDatabase, control_of
from storage.keys import admin
from storage.keys.model import Key
from storage.migrate import migrate

CHAT = "/openai/v1/chat/completions"
BODY: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "How heavy is a lorry?"}]}
REACHES_S = 5.0
"""The promise: a revocation reaches every worker within it."""
ENVIRON = {"WEIGHBRIDGE_AUTH__MODE": "keys", "WEIGHBRIDGE_SERVER__WORKERS": "3"}


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream() as running:
        yield running


async def new_key(url: str, **limits: int) -> str:
    db = control_of(parse(url, Path()))
    key = Key(id="key_1", name="app", **limits)  # type: ignore[arg-type]
    try:
        return await admin.create_key(db, key, "test", int(time.time() * 1000))
    finally:
        await db.close()


async def statuses(port: int, secret: str, count: int) -> set[int]:
    """Of calls on connections of their own: over all workers."""
    lines = [("Authorization", f"Bearer {secret}")]
    answers = await asyncio.gather(*(call(port, "POST", CHAT, lines, json=BODY) for _ in range(count)))
    return {answer.status for answer in answers}


async def revoke(db: ControlDatabase, now_ms: int) -> str | None:
    assert await admin.revoke_key(db, "key_1", "test", now_ms)
    return None


async def rotate(db: ControlDatabase, now_ms: int) -> str | None:
    return await admin.rotate_key(db, "key_1", "test", now_ms, grace_ms=0)


@pytest.mark.parametrize("end_it", [revoke, rotate])
async def test_the_end_of_a_secret_reaches_every_worker(
    tmp_path: Path,
    upstream: ScriptedUpstream,
    end_it: Callable[[ControlDatabase, int], Awaitable[str | None]],
) -> None:
    url = f"sqlite:///{tmp_path}/keys.db"
    await asyncio.to_thread(migrate, parse(url, Path()))
    secret = await new_key(url)
    upstream.default = reply(json=openai_chat())
    environ = {**ENVIRON, "WEIGHBRIDGE_STORAGE__URL": url}
    with serving(tmp_path, upstream.base, environ=environ, port=free_port()) as gateway:
        port = await asyncio.to_thread(gateway.started)
        assert await statuses(port, secret, 12) == {200}
        unfinished = [event for event in openai_events(usage=False) if event != DONE]
        upstream.play(*[sse(unfinished, then=hang()) for _ in range(6)])
        streams = [await RawClient.open(port) for _ in range(6)]
        for stream in streams:
            lines = [("Authorization", f"Bearer {secret}")]
            stream.request("POST", CHAT, lines, json={**BODY, "stream": True})
            await stream.until(b"Twelve")
        db = control_of(parse(url, Path()))
        after = await end_it(db, int(time.time() * 1000))
        begin = time.monotonic()
        await asyncio.gather(*(stream.closed() for stream in streams))
        while await statuses(port, secret, 12) != {401}:
            assert time.monotonic() - begin < REACHES_S
        assert time.monotonic() - begin < REACHES_S
        if after is not None:
            assert await statuses(port, after, 12) == {200}
        # A call of those that asked whether it is over may have been under way too; it is no stream.
        query = (
            "SELECT COUNT(*) FROM model_requests"
            " WHERE outcome = 'revoked' AND cost_nano > 0 AND key_id = 'key_1' AND stream"
        )
        end = time.monotonic() + 10
        while int((await db.fetch(query))[0][0]) != 6:
            assert time.monotonic() < end
            await asyncio.sleep(0.05)
        await db.close()


async def test_keys_are_known_without_the_database(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    url = f"sqlite:///{tmp_path}/keys.db"
    await asyncio.to_thread(migrate, parse(url, Path()))
    secret = await new_key(url)
    upstream.default = reply(json=openai_chat())
    environ = {**ENVIRON, "WEIGHBRIDGE_STORAGE__URL": url, "WEIGHBRIDGE_SERVER__WORKERS": "1"}
    with serving(tmp_path, upstream.base, environ=environ, port=free_port()) as gateway:
        port = await asyncio.to_thread(gateway.started)
        assert await statuses(port, secret, 1) == {200}
        kept = gateway.data / "keys.snapshot"
        await asyncio.to_thread(eventually, kept.exists, "the keys on the disk")
        gateway.signal(signal.SIGTERM)
        assert await asyncio.to_thread(gateway.wait) == 0
    away = {**environ, "WEIGHBRIDGE_STORAGE__URL": "postgresql://nobody@127.0.0.1:1/away"}
    with serving(tmp_path, upstream.base, environ=away, port=free_port()) as gateway:
        port = await asyncio.to_thread(gateway.started)
        assert await statuses(port, secret, 4) == {200}
        assert await statuses(port, "wbk_" + "x" * 43, 2) == {401}


async def test_workers_share_the_limits_of_a_key(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    url = f"sqlite:///{tmp_path}/keys.db"
    await asyncio.to_thread(migrate, parse(url, Path()))
    secret = await new_key(url, concurrent=5)
    go = asyncio.Event()

    async def slow(peer: Peer, seen: Seen) -> None:
        await peer.read_body(seen)
        await go.wait()
        await reply(json=openai_chat())(peer, seen)

    upstream.default = slow
    environ = {**ENVIRON, "WEIGHBRIDGE_STORAGE__URL": url}
    with serving(tmp_path, upstream.base, environ=environ, port=free_port()) as gateway:
        port = await asyncio.to_thread(gateway.started)
        lines = [("Authorization", f"Bearer {secret}")]
        calls = [asyncio.create_task(call(port, "POST", CHAT, lines, json=BODY)) for _ in range(30)]
        await upstream.seen(5)
        while sum(one.done() for one in calls) < 25:
            await asyncio.sleep(0.02)
        assert len(upstream.requests) == 5
        go.set()
        found = Counter([(await one).status for one in calls])
        assert found == {200: 5, 429: 25}
        end = time.monotonic() + 10
        while await statuses(port, secret, 5) != {200}:  # what was held comes back
            assert time.monotonic() < end
            await asyncio.sleep(0.1)
