"""The small tables' connection stays fit for use whatever becomes of those who use it."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path

import pytest

from storage.address import parse
from storage.budgets import admin
from storage.budgets.model import Budget
from storage.control import ControlDatabase, ControlUnavailable, control_of

NOW = 1_763_200_000


async def _create(db: ControlDatabase, name: str) -> None:
    await admin.create(db, Budget(id=name, name=name, limit=1), "test", NOW)


async def test_who_is_cancelled_while_waiting_for_the_write_lock_does_not_keep_it(sqlite: str) -> None:
    address = parse(sqlite, Path())
    db = control_of(address)
    await admin.all_budgets(db)
    other = sqlite3.connect(address.dsn, isolation_level=None, timeout=0.1)
    with contextlib.closing(other):
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.ensure_future(_create(db, "a"))
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        other.execute("COMMIT")
        await admin.all_budgets(db)  # behind what the cancelled one left to be done
        other.execute("BEGIN IMMEDIATE")
        other.execute("ROLLBACK")
    await _create(db, "b")
    assert [budget.name for budget in await admin.all_budgets(db)] == ["b"]
    await db.close()


@pytest.mark.parametrize("turns", range(12))
async def test_a_change_that_is_cancelled_anywhere_is_whole_or_not_there(database: str, turns: int) -> None:
    db = control_of(parse(database, Path()))
    await admin.all_budgets(db)
    making = asyncio.ensure_future(_create(db, "a"))
    for _ in range(turns):
        await asyncio.sleep(0.002)
    making.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await making
    async with asyncio.timeout(10):
        with contextlib.suppress(
            ControlUnavailable
        ):  # PostgreSQL: a connection that was given up is opened anew
            await admin.all_budgets(db)
        await _create(db, "b")
    names = [budget.name for budget in await admin.all_budgets(db)]
    assert names in (["b"], ["a", "b"])
    lines = await db.fetch("SELECT subject FROM audit_log ORDER BY subject")
    assert [subject for (subject,) in lines] == names
    await db.close()
