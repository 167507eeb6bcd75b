"""A database that is gone, silent, slow or locked: no call notices, and every row is there afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import statistics
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from rig.bodies import openai_chat
from rig.client import RawClient
from rig.dbwire import DatabaseWire, Trouble
from rig.process import ServeProcess, serving
from rig.script import reply
from rig.upstream import ScriptedUpstream

CHAT = "/openai/v1/chat/completions"
APPS = 10
RATE = 100
"""Calls in a second."""
BACK_S = 30.0
"""Seconds after the database's return in which all rows must be there."""
MOST_ADDED_S = 0.1

Change = Callable[[], Awaitable[None]]


class Calls:
    """Apps that call at a steady rate, and how long each call took."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.answered = 0

    async def for_a_while(self, seconds: float) -> float:
        """Calls for so long; the 99th percentile of their seconds. Every call must be answered 200."""
        took: list[float] = []
        await asyncio.gather(*[self._app(seconds, took) for _ in range(APPS)])
        self.answered += len(took)
        return statistics.quantiles(took, n=100)[98]

    async def _app(self, seconds: float, took: list[float]) -> None:
        loop = asyncio.get_running_loop()
        client = await RawClient.open(self._port)
        begin = loop.time()
        for number in range(int(seconds * RATE / APPS)):
            await asyncio.sleep(begin + number * APPS / RATE - loop.time())
            sent = loop.time()
            client.request("POST", CHAT, json={"model": "gpt-4o", "messages": []})
            answer = await client.answer()
            assert answer.status == 200, answer.body
            took.append(loop.time() - sent)
        client.close()


def _ready(port: int) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10) as answer:
        assert answer.status == 200
        found: dict[str, Any] = json.loads(answer.read())
        return found


async def _suffer(
    gateway: ServeProcess,
    begin: Change,
    end: Change,
    rows: Callable[[], Awaitable[int]],
    *,
    seconds: float,
    exact: bool,
) -> None:
    port = await asyncio.to_thread(gateway.started)
    calls = Calls(port)
    usual = await calls.for_a_while(1.0 if exact else 0.2)
    await begin()
    during = await calls.for_a_while(seconds)
    ready = await asyncio.to_thread(_ready, port)
    assert ready["status"] == "ready"
    await end()
    loop = asyncio.get_running_loop()
    until = loop.time() + BACK_S
    while await rows() < calls.answered:
        assert loop.time() < until, f"{await rows()} of {calls.answered} rows, {_ready(port)}"
        await asyncio.sleep(0.1)
    assert await rows() == calls.answered
    if exact:
        assert during < usual + MOST_ADDED_S, (usual, during)


@asynccontextmanager
async def _postgres(uri: str) -> AsyncIterator[tuple[DatabaseWire, str, Callable[[], Awaitable[int]]]]:
    async def rows() -> int:
        connection = await asyncpg.connect(uri)
        try:
            return int(await connection.fetchval("SELECT count(*) FROM model_requests"))
        except asyncpg.UndefinedTableError:  # the trouble began before the tables were made
            return 0
        finally:
            await connection.close()

    async with DatabaseWire(uri) as wire:
        yield wire, wire.url(urlsplit(uri).path.removeprefix("/")), rows


async def _with_postgres(folder: Path, uri: str, trouble: Trouble, *, seconds: float, exact: bool) -> None:
    async with (
        ScriptedUpstream(reply(json=openai_chat())) as upstream,
        _postgres(uri) as (wire, url, rows),
    ):
        with serving(folder, upstream.base, environ={"WEIGHBRIDGE_STORAGE__URL": url}) as gateway:

            async def begin() -> None:
                await wire.become(trouble)

            async def end() -> None:
                await wire.become(Trouble.NONE)

            await _suffer(gateway, begin, end, rows, seconds=seconds, exact=exact)


async def _with_locked_file(folder: Path, *, seconds: float, exact: bool) -> None:
    file = folder / "weighbridge-data" / "weighbridge.db"
    held: list[sqlite3.Connection] = []

    async def begin() -> None:
        db = sqlite3.connect(file, isolation_level=None)
        db.execute("BEGIN IMMEDIATE")
        held.append(db)

    async def end() -> None:
        held[0].execute("ROLLBACK")
        held[0].close()

    async def rows() -> int:
        with contextlib.closing(sqlite3.connect(file)) as db:
            return int(db.execute("SELECT count(*) FROM model_requests").fetchone()[0])

    async with ScriptedUpstream(reply(json=openai_chat())) as upstream:
        with serving(folder, upstream.base) as gateway:
            await _suffer(gateway, begin, end, rows, seconds=seconds, exact=exact)


TROUBLES = [Trouble.REFUSED, Trouble.SILENT, Trouble.SLOW]


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.value)
async def test_no_call_notices_a_database_in_trouble(
    tmp_path: Path, empty_postgres: str, trouble: Trouble
) -> None:
    await _with_postgres(tmp_path, empty_postgres, trouble, seconds=1, exact=False)


async def test_no_call_notices_a_locked_file(tmp_path: Path) -> None:
    await _with_locked_file(tmp_path, seconds=1, exact=False)


async def test_a_database_that_is_down_at_the_start_gets_every_row_later(
    tmp_path: Path, empty_postgres: str
) -> None:
    async with (
        ScriptedUpstream(reply(json=openai_chat())) as upstream,
        _postgres(empty_postgres) as (wire, url, rows),
    ):
        await wire.become(Trouble.REFUSED)
        with serving(tmp_path, upstream.base, environ={"WEIGHBRIDGE_STORAGE__URL": url}) as gateway:
            port = await asyncio.to_thread(gateway.started)
            calls = Calls(port)
            await calls.for_a_while(1.0)
            assert (await asyncio.to_thread(_ready, port))["degraded"]
            await wire.become(Trouble.NONE)
            loop = asyncio.get_running_loop()
            until = loop.time() + BACK_S
            while True:
                with contextlib.suppress(asyncpg.UndefinedTableError):
                    if await rows() == calls.answered:
                        return
                assert loop.time() < until, _ready(port)
                await asyncio.sleep(0.1)


@pytest.mark.soak
@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.value)
async def test_a_minute_of_trouble(tmp_path: Path, empty_postgres: str, trouble: Trouble) -> None:
    await _with_postgres(tmp_path, empty_postgres, trouble, seconds=60, exact=True)


@pytest.mark.soak
async def test_a_minute_behind_a_lock(tmp_path: Path) -> None:
    await _with_locked_file(tmp_path, seconds=60, exact=True)
