"""Forgetting what was said of calls that are forgotten, and old events. The sums by day stay."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Table, delete, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.address import Address
from storage.events import EVENTS
from storage.forgetting import in_slices
from storage.quality.tables import FEEDBACK, JUDGED, OUTCOMES
from storage.rows import first_id, ms_of

SLICE = 500
"""Calls, or events, of one transaction."""


async def forget_said(address: Address, before: datetime) -> int:
    """Delete what was said of calls that began before an aware time; how many rows. Raises SQLAlchemy's errors."""
    return await in_slices(address, before, _judged)


async def forget_events(address: Address, before: datetime) -> int:
    """Delete events that happened before an aware time; how many. Raises SQLAlchemy's errors."""
    return await in_slices(address, before, _events)


async def _judged(db: AsyncConnection, before: datetime) -> tuple[int, int]:
    """One slice: calls and rows."""
    first = first_id(ms_of(before))
    query = select(JUDGED.c.call_id).where(JUDGED.c.call_id < first).order_by(JUDGED.c.call_id)
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
