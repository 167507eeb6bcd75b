"""A user's name taken out of the sums by user, when it is taken out of the calls."""

from __future__ import annotations

from sqlalchemy import and_, delete, select
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.rollups.compaction import fold, persistently
from storage.rollups.contents import merge_users, user_sums, waiting
from storage.rollups.tables import USERS
from storage.rollups.tally import UserSums
from storage.rollups.transactions import Stale, change, generation, snapshot


async def rename_user(engine: AsyncEngine, tenant: str, user: str, name: str = "") -> int:
    """Put another name (empty: none) in the place of a user's; how many rows had it. Sums stay what they are.

    Do it after the calls were changed: a call that is written under the old name later brings it back.
    """
    return 0 if name == user else await persistently(lambda: _rename(engine, tenant, user, name))


async def _rename(engine: AsyncEngine, tenant: str, user: str, name: str) -> int:
    await fold(engine)
    same = and_(USERS.c.tenant_id == tenant, USERS.c.user_id == user)
    moved: dict[tuple[str, int, str, str], UserSums] = {}
    async with snapshot(engine) as connection:
        before = await generation(connection)
        if any(key[0] == tenant and key[3] == user for key in (await waiting(connection)).tally.users):
            raise Stale
        for row in await connection.execute(select(USERS).where(same)):
            moved[tenant, row.day, row.team, name] = user_sums(row)[1]
        merge = await merge_users(connection, moved)
    async with change(engine, before) as connection:
        await connection.execute(delete(USERS).where(same))
        await merge.write(connection)
    return len(moved)
