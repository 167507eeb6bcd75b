"""Active users under filters by any dimension of the sums by hour: by the groups noted in the sums by user and day."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy.ext.asyncio import AsyncConnection

from storage.queries.analytics.activity import AGES, MONTH, WEEK, Activity, Cohort, Span
from storage.queries.analytics.conditions import Conditions
from storage.rollups.contents import slices, waiting
from storage.rollups.narrowing import narrowed
from storage.rollups.tables import USERS
from storage.rollups.visits import Row, groups_that_pass, rows_between

User = tuple[str, str]
"""Tenant and name."""
_NAMED = USERS.c.user_id != ""
_LONG_AGO = 0


async def active_in_groups(
    connection: AsyncConnection, conditions: Conditions, span: Span
) -> Activity | None:
    """As :func:`storage.queries.analytics.active.activity`; ``None`` where a row of these days does not know its groups.

    Whoever was there before, in rows that do not know them, is not new.
    """
    fresh = (await waiting(connection)).tally
    wanted = dict.fromkeys(await groups_that_pass(connection, conditions, fresh), 0)

    async def rows(first: int, until: int, names: list[str] | None = None) -> list[Row]:
        more = [_NAMED] if names is None else [USERS.c.user_id.in_(names)]
        found = await rows_between(connection, conditions, (first, until), fresh, *more)
        return [row for row in found if row.user]

    seen = _passing(await rows(span.reach, span.last + 1), wanted)
    if seen is None:
        return None
    days: dict[User, set[int]] = {}
    for row in seen:
        days.setdefault((row.tenant, row.user), set()).add(row.day)
    inside = {user for user, on in days.items() if max(on) >= span.first}
    new = {user for user in inside if min(days[user]) >= span.first}
    # Most who are not new were there in the month before; of the rest all there is, is looked at.
    if new:
        new -= _users(await rows(span.reach - MONTH, span.reach), wanted)
    for names in slices(sorted({name for _, name in new})):
        new -= _users(await rows(_LONG_AGO, span.reach - MONTH, names), wanted)
    return activity_of(days, new, span)


def activity_of(days: Mapping[User, set[int]], new: Iterable[User], span: Span) -> Activity:
    """What is told of users, their days from ``span.reach`` on, and which of them are new in the period."""
    latest = [max(on) for on in days.values()]
    by_day: dict[int, int] = {}
    for on in days.values():
        for day in on:
            by_day[day] = by_day.get(day, 0) + 1
    cohorts: dict[int, Cohort] = {}
    for user in new:
        first = min(day for day in days[user] if day >= span.first)
        cohort = cohorts.setdefault(first, Cohort(first, back={}))
        cohort.users += 1
        for age in AGES:
            if first + age in days[user]:
                cohort.back[age] = cohort.back.get(age, 0) + 1
    return Activity(
        by_day,
        last_day=sum(day >= span.last for day in latest),
        last_week=sum(day > span.last - WEEK for day in latest),
        last_month=sum(day > span.last - MONTH for day in latest),
        period=sum(day >= span.first for day in latest),
        cohorts=[cohorts[day] for day in sorted(cohorts)],
    )


def _passing(rows: list[Row], wanted: Mapping[int, int]) -> list[Row] | None:
    found = narrowed([row.groups for row in rows], [row.pairs for row in rows], wanted)
    if found is None:
        return None
    return [rows[place] for visits in found.values() for place in visits.rows]


def _users(rows: list[Row], wanted: Mapping[int, int]) -> set[User]:
    """Of all rows where some do not know their groups."""
    known = [row for row in rows if not row.knows_nothing]
    unknown = {(row.tenant, row.user) for row in rows if row.knows_nothing}
    return unknown | {(row.tenant, row.user) for row in _passing(known, wanted) or []}
