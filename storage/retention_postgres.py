"""Dropping old months in PostgreSQL."""

from __future__ import annotations

import contextlib
from datetime import datetime

import asyncpg

from storage.partitions import DEFAULT_PARTITION, ensure, too_old
from storage.schema import TABLE

_TIMEOUT_S = 60.0
_LOCK_WAIT = "5s"
"""A month that somebody reads is dropped next time."""


async def drop_months(dsn: str, before: datetime) -> int:
    """Drop every partition whose month is before the time, and such rows of the default one; the count of months."""
    connection = await asyncpg.connect(dsn, timeout=10.0, command_timeout=_TIMEOUT_S)
    try:
        await connection.execute(f"SET lock_timeout = '{_LOCK_WAIT}'")
        query = f"""
            SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
            WHERE inhparent = '{TABLE}'::regclass ORDER BY relname
        """
        gone = 0
        for (name,) in await connection.fetch(query):
            if too_old(name, before):
                with contextlib.suppress(asyncpg.LockNotAvailableError):
                    await connection.execute(f"DROP TABLE {name}")
                    gone += 1
        await connection.execute(f"DELETE FROM {DEFAULT_PARTITION} WHERE started_at < $1", before)
        return gone
    finally:
        await connection.close()


async def make_months(dsn: str, now: datetime) -> list[str]:
    """The partitions of the coming months, made ahead; the names of those that were missing."""
    connection = await asyncpg.connect(dsn, timeout=10.0, command_timeout=_TIMEOUT_S)
    try:
        return await ensure(connection, now)
    finally:
        await connection.close()
