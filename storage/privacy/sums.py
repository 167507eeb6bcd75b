"""Taking a person out of the sums by user: what they spent joins what nobody in particular spent."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from storage.privacy.database import TIMEOUT_S, Person, PrivateDatabase
from storage.rollups.compaction import compact
from storage.rollups.contents import merge_users, user_row, user_sums
from storage.rollups.distinct import SIZE, hash_of
from storage.rollups.tables import USERS
from storage.rollups.tally import UserKey, UserSums
from storage.rollups.transactions import Stale, change, changing_engine
from storage.store import unavailable

NOBODY = ""


async def clean_sums(
    db: PrivateDatabase, person: Person, sessions: Iterable[tuple[str, int]], now: datetime
) -> int:
    """Rows of the person; ``sessions``: tenants and days of calls that lost a session that was their id.

    New batches don't name the person any more; the deltas of older ones are folded first, so that they are in the rows.
    """
    engine = changing_engine(db.address, TIMEOUT_S)
    try:
        await compact(engine, now)
        return await _clean(engine, person, sessions)
    except (SQLAlchemyError, OSError, TimeoutError, Stale) as error:
        raise unavailable(error) from error
    finally:
        await engine.dispose()


async def _clean(engine: AsyncEngine, person: Person, sessions: Iterable[tuple[str, int]]) -> int:
    async with change(engine) as connection:
        theirs = person.conditions(USERS, "user_id")
        rows = (await connection.execute(select(USERS).where(*theirs))).all()
        nobodys: dict[UserKey, UserSums] = {}
        for (tenant, day, team, _), sums in map(user_sums, rows):
            sums.sessions, sums.pairs = set(), set()  # gone from the calls too
            nobodys.setdefault((tenant, day, team, NOBODY), UserSums()).merge(sums)
        await (await merge_users(connection, nobodys)).write(connection)
        await connection.execute(delete(USERS).where(*theirs))
        for tenant, day in sessions:
            await _forget_sessions(connection, person, tenant, day)
        return len(rows)


async def _forget_sessions(connection: AsyncConnection, person: Person, tenant: str, day: int) -> None:
    gone = {hash_of(tenant, id_) for id_ in person.ids}
    same_day = (USERS.c.tenant_id == tenant, USERS.c.day == day)
    for key, sums in map(user_sums, (await connection.execute(select(USERS).where(*same_day))).all()):
        if sums.sessions & gone:
            sums.sessions -= gone
            sums.pairs = {pair for pair in sums.pairs if pair[:SIZE] not in gone}
            row = (*same_day, USERS.c.team == key[2], USERS.c.user_id == key[3])
            await connection.execute(update(USERS).where(*row).values(user_row(key, sums)))
