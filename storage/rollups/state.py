"""What the rollups know of themselves, as numbers by name."""

from __future__ import annotations

from typing import Final

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.rollups.tables import STATE

CLOSED_DAY: Final = "closed_day"
"""The first day (since 1970, UTC) that is not in the sums by day yet."""
FORGOTTEN_MS: Final = "forgotten_ms"
"""Calls that began before (milliseconds since 1970, UTC) may be gone from the table of calls."""
REBUILD_WANTED: Final = "rebuild_wanted"
"""There were calls before there were rollups."""
VERIFIED_DAY: Final = "verified_day"
"""The day the audit has compared last."""
VERIFIED_DIFFERENCES: Final = "verified_differences"
"""How many figures of that day differed."""


async def numbers(connection: AsyncConnection) -> dict[str, int]:
    """All of them."""
    found = await connection.execute(select(STATE.c.name, STATE.c.value))
    return {name: int(value) for name, value in found.all()}


async def put(connection: AsyncConnection, name: str, value: int) -> None:
    """Set one."""
    await forget(connection, name)
    await connection.execute(insert(STATE).values(name=name, value=value))


async def forget(connection: AsyncConnection, name: str) -> None:
    """Unset one."""
    await connection.execute(delete(STATE).where(STATE.c.name == name))
