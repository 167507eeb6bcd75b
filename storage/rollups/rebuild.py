"""Making the rollups again from the calls, a day at a time, while calls arrive.

What a day adds up to is worked out on a snapshot; then its rows are replaced in one transaction, which also folds the
deltas of that snapshot, but for their part in that day. Calls that came later have deltas that came later, so nothing
counts twice. Doing it again changes nothing. Days of which calls were deleted keep the sums they have.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import msgspec
from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.rollups import state
from storage.rollups.compaction import fold, merges_of, persistently
from storage.rollups.contents import Merge, discard, know_groups, period_rows, user_row, waiting
from storage.rollups.from_calls import tally_between
from storage.rollups.held import date_of, days_between, first_held
from storage.rollups.route_rows import route_rows
from storage.rollups.tables import DAYS, HOURS, ROUTES, USERS
from storage.rollups.tally import HOURS_A_DAY, by_day
from storage.rollups.transactions import change, generation, snapshot
from storage.rollups.verify import FOREVER
from storage.rollups.zones import DAY_MS


class Rebuilt(msgspec.Struct, frozen=True):
    """What was made again."""

    days: int = 0
    calls: int = 0


async def rebuild(
    engine: AsyncEngine,
    since: int = 0,
    until: int = FOREVER,
    told: Callable[[date, int], None] = lambda day, calls: None,
) -> Rebuilt:
    """Rebuild the days (since 1970, UTC) from ``since`` to before ``until``. ``told`` hears of each and its calls."""
    days = calls = 0
    held = await first_held(engine)
    await fold(engine)
    async for day in days_between(engine, max(since, held), until):
        seen = await persistently(lambda day=day: rebuild_day(engine, day))  # type: ignore[misc]
        days, calls = days + 1, calls + seen
        told(date_of(day), seen)
    if since <= held and until == FOREVER:
        async with change(engine) as connection:
            await state.forget(connection, state.REBUILD_WANTED)
    return Rebuilt(days, calls)


async def rebuild_day(engine: AsyncEngine, day: int) -> int:
    """One day; how many calls it has. Raises :class:`storage.rollups.transactions.Stale`."""
    first, last = day * HOURS_A_DAY, (day + 1) * HOURS_A_DAY
    async with snapshot(engine) as connection:
        before = await generation(connection)
        truth = await tally_between(connection, day * DAY_MS, (day + 1) * DAY_MS)
        found = await waiting(connection)
        others = found.tally.without(day)
        merges = await merges_of(connection, others)
        closed = day < (await state.numbers(connection)).get(state.CLOSED_DAY, 0)
    days = by_day(truth.hours.items()) if closed else {}
    fresh = [
        Merge(HOURS, period_rows(HOURS, truth.hours)),
        Merge(DAYS, period_rows(DAYS, days)),
        Merge(USERS, [user_row(key, sums) for key, sums in truth.users.items()]),
        Merge(ROUTES, route_rows(truth.routes)),
    ]
    async with change(engine, before) as connection:
        await connection.execute(delete(HOURS).where(HOURS.c.hour >= first, HOURS.c.hour < last))
        await connection.execute(delete(DAYS).where(DAYS.c.day == day))
        await connection.execute(delete(USERS).where(USERS.c.day == day))
        await connection.execute(delete(ROUTES).where(ROUTES.c.day == day))
        await know_groups(connection, (group for _, group in [*truth.hours, *others.hours]))
        for merge in (*fresh, *merges):
            await merge.write(connection)
        await discard(connection, found.ids)
    return sum(line.sums[0] for line in truth.hours.values())
