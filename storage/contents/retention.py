"""Forgetting old contents; in SQLite the bytes are overwritten."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.address import Address
from storage.contents.tables import CONTENTS
from storage.forgetting import in_slices
from storage.rows import ms_of

SLICE = 100
"""Contents of one transaction: each may be half a megabyte."""


async def forget_contents(address: Address, before: datetime) -> int:
    """Delete contents of calls that began before an aware time; how many. Raises SQLAlchemy's errors."""
    return await in_slices(address, before, _contents)


async def _contents(db: AsyncConnection, before: datetime) -> tuple[int, int]:
    key = (CONTENTS.c.tenant_id, CONTENTS.c.call_id)
    begin = CONTENTS.c.started_ms
    query = select(*key).where(begin < ms_of(before)).order_by(begin).limit(SLICE)
    old = [tuple(row) for row in await db.execute(query)]
    if old:
        await db.execute(delete(CONTENTS).where(tuple_(*key).in_(old)))
    return len(old), len(old)
