"""Deleting what is old, a slice at a time, so that others who write wait no longer than a slice takes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

from storage.address import Address, Engine
from storage.engine import writing_engine
from storage.schema import Fit
from storage.store import Store

Step = Callable[[AsyncConnection, datetime], Awaitable[tuple[int, int]]]
"""Deletes a slice of what is older than an aware time: how many it found, and how many rows went."""


async def in_slices(address: Address, before: datetime, step: Step) -> int:
    """Take steps until one finds nothing; how many rows went. Raises SQLAlchemy's errors.

    Nothing is done where there is no database of this version yet.
    """
    if address.engine is Engine.SQLITE and not Path(address.dsn).exists():
        return 0
    engine = writing_engine(address, timeout_s=60.0)
    gone = 0
    try:
        found = int(await Store(address, engine).schema_fit() is Fit.CURRENT)
        while found:
            async with engine.begin() as db:
                found, rows = await step(db, before)
            gone += rows
    finally:
        await engine.dispose()
    return gone
