"""Forgetting what was said of calls that are forgotten, and old events. The sums by day stay."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Table, delete, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.address import Address
from storage.engine import writing_engine
from storage.events import EVENTS
from storage.quality.tables import FEEDBACK, JUDGED, OUTCOMES

SLICE = 500
"""Calls, or events, of one transaction: in SQLite other writers wait no longer than that takes."""


async def forget_said(address: Address, before: datetime) -> int:
    """Delete what is of calls, and events, older than an aware time; how many rows. Raises SQLAlchemy's errors."""
    engine = writing_engine(address, timeout_s=60.0)
    gone = 0
    try:
        for step in (_judged, _events):
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
