"""Forgetting old calls: whole months in PostgreSQL, slices in SQLite."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import datetime
from pathlib import Path

from storage.address import Address, Engine
from storage.rows import first_id, ms_of
from storage.schema import TABLE
from storage.sqlite_file import connect

SLICE = 2_000
"""Rows deleted in one transaction of SQLite: the writer waits no longer than that takes."""
DELETE = f"DELETE FROM {TABLE} WHERE seq IN (SELECT seq FROM {TABLE} WHERE id < ? ORDER BY id LIMIT ?)"
"""By id, which begins with the time: nothing else finds the oldest without a look at every row."""
PAUSE_S = 0.05
"""In which the writer is let in."""


async def forget(address: Address, before: datetime) -> int:
    """Delete calls that began before an aware time; returns how many rows, or PostgreSQL's dropped months.

    A month in PostgreSQL goes only when all of it is too old. Raises the driver's errors.
    """
    if address.engine is Engine.SQLITE:
        return await _in_sqlite(Path(address.dsn), before)
    from storage.retention_postgres import drop_months

    return await drop_months(address.dsn, before)


async def _in_sqlite(path: Path, before: datetime) -> int:
    """A thread does one slice and no more: who is cancelled leaves nothing behind that goes on."""
    gone = 0
    while True:
        count = await asyncio.to_thread(_slice, path, before)
        gone += count
        if count < SLICE:
            return gone
        await asyncio.sleep(PAUSE_S)


def _slice(path: Path, before: datetime) -> int:
    with contextlib.closing(connect(path, 30.0)) as db:
        return db.execute(DELETE, (first_id(ms_of(before)), SLICE)).rowcount
