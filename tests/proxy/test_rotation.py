"""What runs with a secret ends when that secret does, as with a revocation; what runs with the new one goes on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rig.bodies import openai_events
from rig.client import RawClient
from rig.core import Core, LaneKind
from rig.script import fin, hang, raw, sse, steps
from rig.upstream import ScriptedUpstream

from gateway.call import Call
from gateway.governance import Governance
from gateway.settings.choices import AuthMode
from pricing.book import PriceBook
from storage.address import parse
from storage.control import ControlDatabase, control_of
from storage.keys.admin import change_key, create_key, rotate_key
from storage.keys.model import Key
from telemetry.outcome import Outcome

CHAT = "/openai/v1/chat/completions"
BODY: dict[str, Any] = {"model": "gpt-4o", "messages": [], "stream": True}
UPGRADE = (
    "GET /openai/v1/realtime?model=gpt-realtime HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nx-weighbridge-key: {}\r\n\r\n"
)
AGREED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
GREETING = b"\x81\x02hi"
GRACE_MS = 60_000


class House:
    """A core with keys in a database of its own, and a clock for them that the test moves."""

    def __init__(self, core: Core, governance: Governance, db: ControlDatabase, now_ms: int) -> None:
        self.core = core
        self.governance = governance
        self.db = db
        self.now_ms = now_ms

    async def new_key(self) -> str:
        secret = await create_key(self.db, Key(id="key_1", name="app"), "test", self.now_ms)
        await self.until_known(secret)
        return secret

    async def rotate(self, grace_ms: int, ahead_ms: int = 0) -> str:
        """``ahead_ms``: so far is the clock of whoever rotates it ahead of the gateway's."""
        secret = await rotate_key(self.db, "key_1", "test", self.now_ms + ahead_ms, grace_ms)
        assert secret is not None
        await self.until_known(secret)
        return secret

    async def until_known(self, secret: str) -> None:
        async with asyncio.timeout(10):
            while self.governance.ring.find(secret.encode(), self.now_ms) is None:
                await asyncio.sleep(0.005)

    async def stream(
        self, upstream: ScriptedUpstream, secret: str, gate: asyncio.Semaphore | None = None
    ) -> RawClient:
        """One that has begun; the rest of it waits for ``gate``."""
        upstream.play(sse(openai_events(), gate=gate or asyncio.Semaphore(2)))
        app = await RawClient.open(self.core.port)
        app.request("POST", CHAT, [("x-weighbridge-key", secret)], json=BODY)
        await app.until(b"Twelve")
        return app

    async def socket(self, upstream: ScriptedUpstream, secret: str) -> RawClient:
        upstream.play(steps(raw(AGREED + GREETING), hang(), fin()))
        app = await RawClient.open(self.core.port)
        app.send(UPGRADE.format(secret).encode())
        await app.until(GREETING)
        return app

    async def rounds(self) -> None:
        """Let the watch look several times."""
        await asyncio.sleep(0.08)


@pytest.fixture
async def house(
    upstream: ScriptedUpstream, tmp_path: Path, lane: LaneKind, database: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[House]:
    monkeypatch.setattr("gateway.watch.TICK_S", 0.01)
    address = parse(database, Path())
    db = control_of(address)
    governance = Governance(address, tmp_path / "data", tmp_path / "spool")
    governance.admission(PriceBook.load(), time.monotonic, _no_tokens, lambda: None, strict=False)
    async with Core(upstream.base, lane, mode=AuthMode.KEYS, ring=governance.ring) as core:
        made = House(core, governance, db, time.time_ns() // 10**6)
        monkeypatch.setattr("gateway.governance._now_ms", lambda: made.now_ms)
        await governance.start("me", core.live, core.proxy.keys_changed)
        yield made
        await governance.stop(1)
    await db.close()


async def _no_tokens(_: Call) -> int:
    return 0


async def ended(house: House, *apps: RawClient) -> None:
    """Cut, and on record as a revocation cuts and records them; one record each."""
    await asyncio.gather(*(app.closed() for app in apps))
    await house.core.record(len(apps))
    await house.rounds()
    outcomes = [record.outcome for record in house.core.records]
    assert outcomes == [Outcome.REVOKED] * len(apps)
    assert {record.who.key_id for record in house.core.records} == {"key_1"}
    assert not any(app.received.endswith(b"0\r\n\r\n") for app in apps)


async def goes_on(house: House, app: RawClient, gate: asyncio.Semaphore) -> None:
    """The one that still runs was touched by nobody, and comes to its own end."""
    (running,) = house.core.live
    before = len(house.core.records)
    for _ in openai_events():
        gate.release()
    await app.until(b"0\r\n\r\n")
    record = await house.core.record(before + 1)
    assert (record.id, record.outcome) == (running.call.id, Outcome.COMPLETED)


@pytest.mark.parametrize("ahead_ms", [0, 30_000])
async def test_without_a_grace_what_runs_with_the_old_secret_ends(
    house: House, upstream: ScriptedUpstream, ahead_ms: int
) -> None:
    old = await house.new_key()
    stream, socket = await house.stream(upstream, old), await house.socket(upstream, old)
    new = await house.rotate(0, ahead_ms)
    await ended(house, stream, socket)
    gate = asyncio.Semaphore(2)
    other = await house.stream(upstream, new, gate)
    await house.rounds()
    await goes_on(house, other, gate)


async def test_when_the_grace_runs_out_what_runs_with_the_old_secret_ends_and_nothing_else(
    house: House, upstream: ScriptedUpstream
) -> None:
    old = await house.new_key()
    new, gate = await house.rotate(GRACE_MS), asyncio.Semaphore(2)
    stream, socket = await house.stream(upstream, old), await house.socket(upstream, old)
    other = await house.stream(upstream, new, gate)
    house.now_ms += GRACE_MS - 1
    await house.rounds()
    assert len(house.core.live) == 3
    house.now_ms += 1
    await ended(house, stream, socket)
    await goes_on(house, other, gate)


async def test_rotated_again_within_the_grace_the_oldest_secret_ends_at_once(
    house: House, upstream: ScriptedUpstream
) -> None:
    oldest = await house.new_key()
    first = await house.stream(upstream, oldest)
    gate = asyncio.Semaphore(2)
    second = await house.stream(upstream, await house.rotate(GRACE_MS), gate)
    await house.rounds()
    assert len(house.core.live) == 2
    await house.rotate(GRACE_MS)
    await ended(house, first)
    await goes_on(house, second, gate)


async def test_a_key_that_says_something_else_keeps_what_runs_with_it(
    house: House, upstream: ScriptedUpstream
) -> None:
    gate = asyncio.Semaphore(2)
    app = await house.stream(upstream, await house.new_key(), gate)
    await change_key(house.db, "key_1", lambda key: msgspec.structs.replace(key, concurrent=7), "test")
    async with asyncio.timeout(10):
        while not house.governance.ring.limits:
            await asyncio.sleep(0.005)
    await goes_on(house, app, gate)
