"""Forgetting what was said of calls that are forgotten, and old events. The sums by day stay."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path

from sqlalchemy import Table, delete, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.address import Address, Engine
from storage.engine import writing_engine
from storage.events import EVENTS
from storage.quality.tables import FEEDBACK, JUDGED, OUTCOMES
from storage.schema import Fit
from storage.store import Store

SLICE = 500
"""Calls, or events, of one transaction: in SQLite other writers wait no longer than that takes."""


Step = Callable[[AsyncConnection, datetime], Awaitable[tuple[int, int]]]
"""Deletes a slice; how many it found, and how many rows went."""


async def forget_said(address: Address, before: datetime) -> int:
    """Delete what was said of calls that began before an aware time; how many rows. Raises SQLAlchemy's errors."""
    return await _in_slices(address, before, _judged)


async def forget_events(address: Address, before: datetime) -> int:
    """Delete events that happened before an aware time; how many. Raises SQLAlchemy's errors."""
    return await _in_slices(address, before, _events)


async def _in_slices(address: Address, before: datetime, step: Step) -> int:
    if address.engine is Engine.SQLITE and not Path(address.dsn).exists():
        return 0
    engine = writing_engine(address, timeout_s=60.0)
    gone = 0
    try:
        if await Store(address, engine).schema_fit() is not Fit.CURRENT:
            return 0
        more = SLICE
        while more == SLICE:
            async with engine.begin() as db:
                more, rows = await step(db, before)
            gone += rows
    finally:
        await engine.dispose()
    return gone


async def _judged(db: AsyncConnection, before: datetime) -> tuple[int, int]:
    """One slice: calls and rows."""
    query = select(JUDGED.c.call_id).where(JUDGED.c.started_at < before).order_by(JUDGED.c.call_id)
    old = list((await db.execute(query.limit(SLICE))).scalars())
    rows = 0
    for table in (FEEDBACK, OUTCOMES, JUDGED):
        rows += await _delete(db, table, old)
    return len(old), rows


async def _delete(db: AsyncConnection, table: Table, calls: list[str]) -> int:
    if not calls:
        return 0
    return int((await db.execute(delete(table).where(table.c.call_id.in_(calls)))).rowcount)


async def _events(db: AsyncConnection, before: datetime) -> tuple[int, int]:
    """One slice: events, twice."""
    key = (EVENTS.c.tenant_id, EVENTS.c.message_id)
    query = select(*key).where(EVENTS.c.at < before).order_by(EVENTS.c.at).limit(SLICE)
    old = [tuple(row) for row in await db.execute(query)]
    if old:
        await db.execute(delete(EVENTS).where(tuple_(*key).in_(old)))
    return len(old), len(old)
