"""kill -9 under load: what an app has seen to its end is in the table once, and so is whatever a provider was asked."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from rig.bodies import DONE, data_event, openai_chat, openai_events
from rig.client import RawClient
from rig.connection import Peer, Seen
from rig.process import ServeProcess, free_port, toml_for
from rig.script import reply, sse
from rig.upstream import ScriptedUpstream

CHAT = "/openai/v1/chat/completions"
OUTPUT = 7
COLUMNS = "max_tokens, outcome, input_tokens, output_tokens, cost_nano, cost_status, id"
AT_ONCE = 12
SETTLED = 60.0
"""Seconds after which rows that are not there never come; not reached by a test that passes."""


async def _provider(peer: Peer, seen: Seen) -> None:
    """Answers with as many input tokens as the request's ``max_tokens``, streamed if it was asked so."""
    await peer.read_body(seen)
    ask = json.loads(seen.body)
    await asyncio.sleep(random.random() * 0.02)
    usage = {
        "prompt_tokens": ask["max_tokens"],
        "completion_tokens": OUTPUT,
        "total_tokens": ask["max_tokens"] + OUTPUT,
    }
    if ask.get("stream"):
        last = {"id": "c", "model": "gpt-4o-2024-08-06", "choices": [], "usage": usage}
        events = [event for event in openai_events(usage=False) if event != DONE]
        events += [data_event(last), DONE]
        await sse(events)(peer, seen)
    else:
        await reply(json={**openai_chat(), "usage": usage})(peer, seen)


class Apps:
    """Many apps that call one after the other, each call with a number of its own."""

    def __init__(self, port: int, calls: int) -> None:
        self._port = port
        self._left = iter(range(1, calls + 1))
        self.complete: set[int] = set()
        """Calls whose last byte was seen."""
        self.ended = 0

    async def run(self) -> None:
        client: RawClient | None = None
        for number in self._left:
            ask: dict[str, Any] = {"model": "gpt-4o", "max_tokens": number, "messages": []}
            if number % 2:
                ask |= {"stream": True, "stream_options": {"include_usage": True}}
            while client is None:
                with contextlib.suppress(OSError):
                    client = await RawClient.open(self._port)
                await asyncio.sleep(0.01)
            whole = False
            with contextlib.suppress(EOFError, OSError, TimeoutError):
                client.request("POST", CHAT, json=ask)
                answer = await client.answer()
                whole = answer.complete and answer.status == 200
            if whole:
                self.complete.add(number)
            else:
                client.abort()
                client = None
            self.ended += 1
        if client is not None:
            client.abort()


async def _rows(folder: Path, url: str | None) -> list[tuple[Any, ...]]:
    """Empty as long as all were killed before one had made the table."""
    query = f"SELECT {COLUMNS} FROM model_requests"
    if url is not None:
        connection = await asyncpg.connect(url)
        try:
            return [tuple(row) for row in await connection.fetch(query)]
        except asyncpg.UndefinedTableError:
            return []
        finally:
            await connection.close()
    with contextlib.closing(sqlite3.connect(folder / "weighbridge-data" / "weighbridge.db")) as db:
        made = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'model_requests'").fetchone()
        return db.execute(query).fetchall() if made else []


def _kill(gateway: ServeProcess, chance: random.Random) -> bool:
    """Kills one worker or everything; whether it has to be started again."""
    workers = gateway.workers()
    if workers and chance.random() < 0.5:
        with contextlib.suppress(ProcessLookupError):
            os.kill(chance.choice(workers), signal.SIGKILL)
        return False
    os.killpg(gateway.pid, signal.SIGKILL)
    gateway.wait()
    gateway.end()
    return True


async def _carnage(folder: Path, url: str | None, *, kills: int, calls: int, seed: int) -> None:
    chance = random.Random(seed)
    storage = f'url = "{url}"\n' if url else ""
    port = free_port()
    async with ScriptedUpstream(_provider) as upstream:
        text = toml_for(upstream.base, port).replace("[storage]\n", f"[storage]\n{storage}")
        (folder / "weighbridge.toml").write_text(text)

        def start() -> ServeProcess:
            return ServeProcess(folder, {}, "--workers=2")

        gateway = start()
        try:
            await asyncio.to_thread(gateway.started)
            apps = Apps(port, calls)
            running = [asyncio.create_task(apps.run()) for _ in range(AT_ONCE)]
            for number in range(kills):
                due = (number + 1) * calls // (kills + 1)
                while apps.ended < due:
                    await asyncio.sleep(0.005)
                await asyncio.sleep(chance.random() * 0.1)
                if _kill(gateway, chance):
                    gateway = start()
                    await asyncio.to_thread(gateway.started)
            await asyncio.gather(*running)
            gateway.signal(signal.SIGTERM)
            assert await asyncio.to_thread(gateway.wait) == 0
            gateway.end()
            gateway = start()  # takes over what the dead left behind
            await asyncio.to_thread(gateway.started)
            asked = {json.loads(seen.body)["max_tokens"] for seen in upstream.requests if seen.complete}
            await _check(folder, url, apps.complete, asked)
        finally:
            gateway.end()
    assert len(apps.complete) > calls // 2, "most calls were not hit"


async def _check(folder: Path, url: str | None, complete: set[int], asked: set[int]) -> None:
    loop = asyncio.get_running_loop()
    until = loop.time() + SETTLED
    rows = await _rows(folder, url)
    while loop.time() < until and not asked <= {row[0] for row in rows}:
        await asyncio.sleep(0.1)
        rows = await _rows(folder, url)
    times = Counter(row[0] for row in rows)
    assert not asked - times.keys(), "calls a provider was asked, without a row"
    assert not {number: count for number, count in times.items() if count > 1}, "calls with two rows"
    assert len({row[-1] for row in rows}) == len(rows)
    by_number = {row[0]: row for row in rows}
    for number in complete:
        _, outcome, read, made, cost, status, _ = by_number[number]
        assert (outcome, read, made, status) == ("completed", number, OUTPUT, "priced"), number
        assert cost == number * 2_500 + OUTPUT * 10_000
    for number, outcome, read, *_ in rows:
        assert outcome in ("completed", "interrupted", "cancelled", "reset", "truncated", "shutdown"), outcome
        assert outcome != "completed" or read == number
    guessed = [(status, cost) for _, outcome, _, _, cost, status, _ in rows if outcome == "interrupted"]
    assert all(status == "estimated" and cost > 0 for status, cost in guessed)


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str | None:
    """The database's url; ``None`` for the file in the data folder."""
    return None if request.param == "sqlite" else str(request.getfixturevalue("empty_postgres"))


async def test_killed_under_load(tmp_path: Path, url: str | None) -> None:
    await _carnage(tmp_path, url, kills=4, calls=500, seed=11)


@pytest.mark.soak
@pytest.mark.parametrize("seed", [1, 2])
async def test_killed_under_load_for_long(tmp_path: Path, url: str | None, seed: int) -> None:
    await _carnage(tmp_path, url, kills=12, calls=4_000, seed=seed)
