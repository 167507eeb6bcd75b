"""Deltas become rows: by hour at once, by day when the day is over. The leader's job.

What is to be written is worked out on a snapshot, without any lock; then it is written in one short transaction that
also deletes the deltas. Killed anywhere, it has happened whole or not at all; deltas that arrive meanwhile wait for
the next round; and where somebody else changed the rollups since the snapshot, it is worked out again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final, TypeVar

import msgspec
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from storage.rollups import state
from storage.rollups.contents import (
    Merge,
    discard,
    know_groups,
    lines_between,
    merge_periods,
    merge_users,
    period_rows,
    waiting,
)
from storage.rollups.route_rows import merge_routes
from storage.rollups.tables import DAYS, HOURS
from storage.rollups.tally import HOURS_A_DAY, Tally, by_day
from storage.rollups.transactions import Stale, change, generation, snapshot

T = TypeVar("T")
AT_ONCE: Final = 200
"""Deltas of one transaction."""
GRACE_HOURS: Final = 2
"""A day is closed so long after its end. What comes later still finds its way, at the price of a second row."""
TRIES: Final = 5


class Compacted(msgspec.Struct, frozen=True):
    """What a run has done."""

    deltas: int = 0
    days: int = 0
    """Days closed."""


async def compact(engine: AsyncEngine, now: datetime) -> Compacted:
    """Fold all deltas there are, and close the days that are over by ``now`` (aware).

    Raises SQLAlchemy's errors, and :class:`Stale` where others change the rollups all the time.
    """
    folded = await fold(engine)
    days = 0
    today = int(now.timestamp()) // 3600 - GRACE_HOURS
    while await persistently(lambda: _close_next(engine, today // HOURS_A_DAY)):
        days += 1
    return Compacted(folded, days)


async def fold(engine: AsyncEngine) -> int:
    """Fold all deltas there are; how many. Those that come meanwhile wait: writers may never pause."""
    folded = some = await persistently(lambda: _fold(engine))
    while some == AT_ONCE:  # one that is smaller was everything
        some = await persistently(lambda: _fold(engine))
        folded += some
    return folded


async def persistently(work: Callable[[], Awaitable[T]]) -> T:
    """Again, when somebody else was faster."""
    for _ in range(TRIES - 1):
        try:
            return await work()
        except Stale:
            continue
    return await work()


async def _fold(engine: AsyncEngine) -> int:
    """One slice of deltas; how many."""
    async with snapshot(engine) as connection:
        before = await generation(connection)
        found = await waiting(connection, AT_ONCE)
        if not found.ids:
            return 0
        merges = await merges_of(connection, found.tally)
    async with change(engine, before) as connection:
        await know_groups(connection, (group for _, group in found.tally.hours))
        for merge in merges:
            await merge.write(connection)
        await discard(connection, found.ids)
    return len(found.ids)


async def merges_of(connection: AsyncConnection, tally: Tally) -> list[Merge]:
    """What is to be written so that the tables hold a tally too: by hour, by user, and by day where that is closed."""
    closed = (await state.numbers(connection)).get(state.CLOSED_DAY, 0)
    late = by_day((key, line) for key, line in tally.hours.items() if key[0] < closed * HOURS_A_DAY)
    return [
        await merge_periods(connection, HOURS, tally.hours),
        await merge_periods(connection, DAYS, late),
        await merge_users(connection, tally.users),
        await merge_routes(connection, tally.routes),
    ]


async def _close_next(engine: AsyncEngine, until: int) -> bool:
    """The oldest day before ``until`` that has calls and is not closed yet; whether there was one."""
    async with snapshot(engine) as connection:
        before = await generation(connection)
        closed = (await state.numbers(connection)).get(state.CLOSED_DAY)
        if closed is not None and closed >= until:
            return False
        first = select(func.min(HOURS.c.hour)).where(HOURS.c.hour >= (closed or 0) * HOURS_A_DAY)
        hour = (await connection.execute(first)).scalar()
        day = until if hour is None else min(hour // HOURS_A_DAY, until)
        lines = await lines_between(connection, HOURS, day * HOURS_A_DAY, (day + 1) * HOURS_A_DAY)
    async with change(engine, before) as connection:
        if day < until:
            merge = Merge(DAYS, period_rows(DAYS, by_day(lines.items())))
            await merge.write(connection)
        await state.put(connection, state.CLOSED_DAY, min(day + 1, until))
    return day < until
