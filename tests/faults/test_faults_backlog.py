"""After an outage: everything that waited is in the database within half a minute."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest
from rig.dbwire import DatabaseWire, Trouble
from rig.ledger import opening, record
from rig.postgres import running_server

from storage.ledger import Ledger, LedgerConfig

BACK_S = 30.0
AT_ONCE = 500


async def _drains(ledger: Ledger, count: int, back: object) -> None:
    for number in range(count):
        one = record(number)
        ledger.opened(opening(one))
        ledger.closed(one)
        if number % AT_ONCE == 0:
            await asyncio.sleep(0)
    assert ledger.stats().spooled >= count - AT_ONCE
    if callable(back):
        await back()
    assert await ledger.drained(BACK_S), ledger.stats()
    stats = ledger.stats()
    assert (stats.recorded, stats.lost, stats.balance) == (count, 0, 0)
    await ledger.stop(5)


async def _in_postgres(folder: Path, count: int) -> None:
    with running_server() as server:
        server.psql("CREATE DATABASE weighed")
        uri = str(server.get_uri("weighed"))
        async with DatabaseWire(uri) as wire:
            await wire.become(Trouble.REFUSED)
            ledger = Ledger(LedgerConfig(data_dir=folder, url=wire.url("weighed")))
            await ledger.start()

            async def back() -> None:
                await wire.become(Trouble.NONE)

            await _drains(ledger, count, back)
            connection = await asyncpg.connect(uri)
            assert await connection.fetchval("SELECT count(*) FROM model_requests") == count
            await connection.close()


async def _in_sqlite(folder: Path, count: int) -> None:
    blocked = folder / "weighbridge.db"
    blocked.mkdir()  # no file can be made there
    ledger = Ledger(LedgerConfig(data_dir=folder))
    await ledger.start()

    async def back() -> None:
        blocked.rmdir()

    await _drains(ledger, count, back)


async def test_a_backlog_is_written(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    await _in_sqlite(tmp_path / "a", 8_000)
    await _in_postgres(tmp_path / "b", 8_000)


@pytest.mark.soak
@pytest.mark.parametrize("kind", [_in_sqlite, _in_postgres], ids=["sqlite", "postgres"])
async def test_sixty_thousand_records_are_written(tmp_path: Path, kind: object) -> None:
    assert callable(kind)
    await kind(tmp_path, 60_000)
