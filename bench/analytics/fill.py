"""Databases filled with traffic as the ledger's writer fills them, in larger batches: rows and deltas together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TypeVar

import asyncpg

from bench.analytics.traffic import END
from storage.address import Address, Engine
from storage.rollups.companion import RollupCompanion
from storage.rows import COLUMNS, POSTGRES, rows_of
from storage.schema import TABLE, Migrate
from storage.sqlite_file import connect
from storage.targets.postgres import PostgresTarget
from storage.targets.sqlite import SqliteTarget
from telemetry.record import CallRecord

AT_ONCE = 20_000
T = TypeVar("T")
Told = Callable[[int], None]


def fill(address: Address, records: Iterable[CallRecord], told: Told) -> float:
    """Write all records; the seconds it took. ``told`` hears how many are in."""
    begin = time.monotonic()
    if address.engine is Engine.SQLITE:
        _sqlite(address, records, told)
    else:
        PostgresTarget(address, migrate=Migrate.MANUAL, now=lambda: END).connect()  # makes the months
        asyncio.run(_postgres(address, records, told))
    return time.monotonic() - begin


def _sqlite(address: Address, records: Iterable[CallRecord], told: Told) -> None:
    target = SqliteTarget(
        address, migrate=Migrate.MANUAL, power_safe=False, timeout_s=60, companions=(RollupCompanion(),)
    )
    target.connect()
    written = 0
    for batch in batches(records, AT_ONCE):
        written += target.write(batch)
        told(written)
    target.close()
    db = connect(Path(address.dsn), 60)
    db.execute("ANALYZE")
    db.close()


async def _postgres(address: Address, records: Iterable[CallRecord], told: Told) -> None:
    db = await asyncpg.connect(address.dsn, command_timeout=3600)
    companion, written = RollupCompanion(), 0
    for batch in batches(records, AT_ONCE):
        async with db.transaction():
            await db.copy_records_to_table(TABLE, records=rows_of(batch, POSTGRES), columns=COLUMNS)
            await companion.in_postgres(db, batch)
        written += len(batch)
        told(written)
    await db.execute("VACUUM ANALYZE")
    await db.close()


def batches(values: Iterable[T], size: int) -> Iterator[list[T]]:
    """So many at a time."""
    left = iter(values)
    while some := list(islice(left, size)):
        yield some
