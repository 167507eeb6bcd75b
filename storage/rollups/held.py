"""Days there is something of: calls, sums of them, or deltas."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.queries.calls import CALLS
from storage.rollups import state
from storage.rollups.contents import waiting
from storage.rollups.tables import HOURS, USERS
from storage.rollups.tally import HOURS_A_DAY
from storage.rollups.transactions import snapshot
from storage.rollups.zones import DAY_MS
from storage.rows import first_id, started_ms

_EPOCH: Final = date(1970, 1, 1).toordinal()


def day_of(moment: datetime) -> int:
    """The UTC day of an aware time, since 1970."""
    return int(moment.timestamp()) * 1000 // DAY_MS


def date_of(day: int) -> date:
    """Its date."""
    return date.fromordinal(_EPOCH + day)


def begin_of(day: int) -> datetime:
    """Its first moment."""
    return datetime.combine(date_of(day), datetime.min.time(), UTC)


async def first_held(engine: AsyncEngine) -> int:
    """The first day of which all calls are still there, as far as we have deleted any."""
    async with snapshot(engine) as connection:
        forgotten = (await state.numbers(connection)).get(state.FORGOTTEN_MS, 0)
    return -(-forgotten // DAY_MS)


async def days_between(engine: AsyncEngine, since: int, until: int) -> AsyncIterator[int]:
    """Days from ``since`` to before ``until`` with anything to compare, in order."""
    after = since
    while (day := await _next(engine, after)) is not None and day < until:
        yield day
        after = day + 1


async def _next(engine: AsyncEngine, day: int) -> int | None:
    async with snapshot(engine) as connection:
        later = CALLS.c.id >= first_id(day * DAY_MS)
        call = select(CALLS.c.id).where(later).order_by(CALLS.c.id).limit(1)
        hour = select(func.min(HOURS.c.hour)).where(HOURS.c.hour >= day * HOURS_A_DAY)
        user = select(func.min(USERS.c.day)).where(USERS.c.day >= day)
        found = []
        for query in (call, hour, user):
            found.append((await connection.execute(query)).scalar())
        tally = (await waiting(connection)).tally
    candidates = [key[0] // HOURS_A_DAY for key in tally.hours]
    candidates += [] if found[0] is None else [started_ms(str(found[0])) // DAY_MS]
    candidates += [] if found[1] is None else [found[1] // HOURS_A_DAY]
    candidates += [] if found[2] is None else [found[2]]
    return min((one for one in candidates if one >= day), default=None)
