"""What the leader does for the rollups, from opening the database to closing it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from storage.address import Address, Engine
from storage.rollups import state
from storage.rollups.compaction import Compacted, compact
from storage.rollups.held import day_of
from storage.rollups.transactions import change, changing_engine, snapshot
from storage.rollups.verify import Verified, verify
from storage.rows import ms_of
from storage.schema import Fit
from storage.store import Store


async def tend(address: Address, now: datetime) -> Compacted | None:
    """Compact the rollups; ``None`` where there is no database of this version yet.

    This and the next ones raise :class:`storage.store.StoreUnavailable`, SQLAlchemy's errors and
    :class:`storage.rollups.transactions.Stale`; whatever was not done is done next time.
    """
    async with _opened(address) as engine:
        return None if engine is None else await compact(engine, now)


async def audit(address: Address, now: datetime) -> Verified | None:
    """Hold the rollups of the last whole day (UTC) against the calls, and keep what came out."""
    async with _opened(address) as engine:
        if engine is None:
            return None
        day = day_of(now) - 1
        verified = await verify(engine, day, day + 1)
        async with change(engine) as connection:
            await state.put(connection, state.VERIFIED_DAY, day)
            await state.put(connection, state.VERIFIED_DIFFERENCES, len(verified.differences))
        return verified


async def note_forgotten(address: Address, before: datetime) -> bool:
    """To be called before calls are deleted: from now on nobody relies on those that began before that time.

    ``False`` where there is no database of this version yet.
    """
    async with _opened(address) as engine:
        if engine is None:
            return False
        moment = ms_of(before)
        async with snapshot(engine) as connection:
            known = (await state.numbers(connection)).get(state.FORGOTTEN_MS, 0)
        if known < moment:
            async with change(engine) as connection:
                await state.put(connection, state.FORGOTTEN_MS, moment)
        return True


@asynccontextmanager
async def _opened(address: Address) -> AsyncIterator[AsyncEngine | None]:
    if address.engine is Engine.SQLITE and not Path(address.dsn).exists():
        yield None
        return
    engine = changing_engine(address)
    try:
        fits = await Store(address, engine).schema_fit() is Fit.CURRENT
        yield engine if fits else None
    finally:
        await engine.dispose()
