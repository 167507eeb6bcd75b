"""Who was erased, for those who write through SQLAlchemy: the same look as :class:`storage.privacy.erased.Erased`."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.privacy.erased import ALL, LOCK_KEY, Look, erasures

_SHARE = text(f"SELECT pg_advisory_xact_lock_shared({LOCK_KEY})")
_ALL = text(ALL)


async def look(db: AsyncConnection) -> Look:
    """Within the transaction of a write, at its beginning."""
    if db.dialect.name == "postgresql":
        await db.execute(_SHARE)
    return Look(erasures(tuple(row) for row in await db.execute(_ALL)))


def among(found: Look, tenant: str, names: Iterable[str | None]) -> frozenset[str]:
    """Those of the names that are ids of somebody who was erased."""
    return frozenset(name for name in names if name is not None and found.is_erased(tenant, name))
