"""Monthly partitions of ``model_requests`` in PostgreSQL, made ahead of time.

A row whose month has no partition lands in the DEFAULT partition; when its month is made later, the row moves.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from storage.schema import TABLE

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy

DEFAULT_PARTITION = f"{TABLE}_default"
MONTHS_AHEAD = 2
_PARTITION = re.compile(rf"{TABLE}_y(\d{{4}})m(\d{{2}})$")
LOCK_KEY = 0x7765_6967_7061_7274
"""PostgreSQL advisory lock of partition making ("weigpart")."""


class Month(msgspec.Struct, frozen=True, order=True):
    """A calendar month in UTC."""

    year: int
    month: int

    @classmethod
    def of(cls, moment: datetime) -> Month:
        """The month of an aware time."""
        utc = moment.astimezone(UTC)
        return cls(utc.year, utc.month)

    def plus(self, months: int) -> Month:
        """So many months later (or earlier)."""
        years, index = divmod(self.month - 1 + months, 12)
        return Month(self.year + years, index + 1)

    @property
    def begin(self) -> datetime:
        """Its first moment."""
        return datetime(self.year, self.month, 1, tzinfo=UTC)

    @property
    def partition(self) -> str:
        """Name of its partition."""
        return f"{TABLE}_y{self.year:04d}m{self.month:02d}"


def too_old(partition: str, before: datetime) -> bool:
    """Is all of this partition's month before an aware time? No for anything that is no month's partition."""
    found = _PARTITION.match(partition)
    if found is None:
        return False
    month = Month(int(found[1]), int(found[2]))
    return month.plus(1).begin <= before.astimezone(UTC)


def needed(now: datetime) -> list[Month]:
    """The months that must have a partition at a time: last month (late rows) up to two months ahead."""
    this = Month.of(now)
    return [this.plus(offset) for offset in range(-1, MONTHS_AHEAD + 1)]


async def ensure(db: Db, now: datetime) -> list[str]:
    """Make the partitions that are missing, one transaction each; returns their names. Raises asyncpg's errors."""
    made = []
    for month in needed(now):
        async with db.transaction():
            if await _exists(db, month):
                continue
            await db.execute("SELECT pg_advisory_xact_lock($1)", LOCK_KEY)
            if not await _exists(db, month):
                await _make(db, month)
                made.append(month.partition)
    return made


async def _exists(db: Db, month: Month) -> bool:
    # Not to_regclass(): within a transaction it may answer from a cache that does not see what another one has
    # just committed.
    query = f"""
        SELECT 1 FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
        WHERE inhparent = '{TABLE}'::regclass AND relname = $1
    """
    return await db.fetchval(query, month.partition) is not None


async def _make(db: Db, month: Month) -> None:
    begin, end = month.begin, month.plus(1).begin
    name = month.partition
    await db.execute(f"CREATE TABLE {name} (LIKE {TABLE} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
    await db.execute(f"LOCK TABLE {DEFAULT_PARTITION} IN ACCESS EXCLUSIVE MODE")
    await db.execute(
        f"WITH moved AS (DELETE FROM {DEFAULT_PARTITION} WHERE started_at >= $1 AND started_at < $2 RETURNING *)"
        f" INSERT INTO {name} SELECT * FROM moved",
        begin,
        end,
    )
    await db.execute(
        f"ALTER TABLE {TABLE} ATTACH PARTITION {name} FOR VALUES FROM ('{begin.isoformat()}') TO ('{end.isoformat()}')"
    )
