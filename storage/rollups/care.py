"""What the leader does for the rollups, from opening the database to closing it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from storage.address import Address, Engine
from storage.rollups.compaction import Compacted, compact
from storage.rollups.transactions import changing_engine
from storage.schema import Fit
from storage.store import Store


async def tend(address: Address, now: datetime) -> Compacted | None:
    """Compact the rollups; ``None`` where there is no database of this version yet.

    Raises :class:`storage.store.StoreUnavailable`, SQLAlchemy's errors and
    :class:`storage.rollups.transactions.Stale`; whatever was not done is done next time.
    """
    if address.engine is Engine.SQLITE and not Path(address.dsn).exists():
        return None
    engine = changing_engine(address)
    try:
        if await Store(address, engine).schema_fit() is not Fit.CURRENT:
            return None
        return await compact(engine, now)
    finally:
        await engine.dispose()
