"""Reading the rollups and changing them so that nothing is seen half.

Writers only ever add deltas. Whoever moves them (compaction, rebuilding, erasure) holds the row ``generation`` and
counts it up: such changes come one after another, also from several processes, and what was computed beforehand from a
snapshot is known to be stale when the number has changed meanwhile.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from sqlalchemy import event, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from storage.address import Address, Engine
from storage.engine import escaped, expect_file, overwriting
from storage.rollups.tables import STATE

GENERATION: Final = "generation"
_ROOM: Final = "SET LOCAL work_mem = '64MB'"
"""Sums of many rows into few groups: PostgreSQL takes the groups for many, and would sort the rows on disk."""


class Stale(Exception):  # noqa: N818
    """Somebody else changed the rollups since the snapshot; to be computed again."""


def changing_engine(address: Address, timeout_s: float = 60.0) -> AsyncEngine:
    """An engine for one job; connects when it is first used, and keeps the connection (and what is prepared on it) until
    it is disposed of. ``timeout_s`` bounds every statement.

    Makes no SQLite file where there is none.
    """
    if address.engine is Engine.SQLITE:
        engine = create_async_engine(
            f"sqlite+aiosqlite:///file:{escaped(address.dsn)}?mode=rw&uri=true",
            connect_args={"timeout": timeout_s},
        )
        expect_file(engine, address)
        event.listen(engine.sync_engine, "connect", overwriting)
        return engine
    return create_async_engine(
        address.sqlalchemy_url,
        connect_args={
            "timeout": 10.0,
            "command_timeout": timeout_s,
            "server_settings": {"application_name": "weighbridge-rollups"},
        },
    )


@asynccontextmanager
async def snapshot(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection on which all statements see the same moment; what it writes is dropped."""
    async with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            await connection.exec_driver_sql("BEGIN")
        else:
            await connection.execution_options(isolation_level="REPEATABLE READ")
            await connection.exec_driver_sql(_ROOM)
        try:
            yield connection
        finally:
            await connection.rollback()


@asynccontextmanager
async def change(engine: AsyncEngine, expected: int | None = None) -> AsyncIterator[AsyncConnection]:
    """One change, committed as a whole when the context ends well.

    Waits for other changes. With ``expected``, raises :class:`Stale` unless that is still the generation.
    """
    async with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            await connection.exec_driver_sql("BEGIN IMMEDIATE")
        try:
            found = await generation(connection, lock=True)
            if expected is not None and found != expected:
                raise Stale
            yield connection
            count = update(STATE).where(STATE.c.name == GENERATION).values(value=found + 1)
            await connection.execute(count)
            await connection.commit()
        finally:
            await connection.rollback()


async def generation(connection: AsyncConnection, *, lock: bool = False) -> int:
    """How often the rollups were changed."""
    query = select(STATE.c.value).where(STATE.c.name == GENERATION)
    return int((await connection.execute(query.with_for_update() if lock else query)).scalar_one())
