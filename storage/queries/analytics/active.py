"""Who was there on which UTC day: active users, new ones, and those who come back.

From the sums by user and day, with what no compaction has folded yet: by the database where tenant, team and user are
all that is asked for; under other filters of the sums by hour by the groups that are noted in those rows. All else is
told by the calls. Users are told apart by tenant and name, so every number here is exact.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec
from sqlalchemy import (
    CTE,
    ColumnElement,
    Dialect,
    Integer,
    Select,
    Text,
    and_,
    case,
    cast,
    func,
    literal,
    select,
    tuple_,
    union,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.queries.analytics.activity import AGES, MONTH, WEEK, Activity, Cohort, Span
from storage.queries.analytics.conditions import Conditions, of_calls, of_users
from storage.queries.analytics.in_groups import active_in_groups
from storage.queries.calls import CALLS
from storage.rollups.contents import waiting
from storage.rollups.dimensions import DIMENSIONS, USER_DIMENSIONS, Dimension
from storage.rollups.from_calls import between, second_of
from storage.rollups.tables import USERS
from storage.rollups.tally import UserKey
from storage.rollups.zones import DAY_MS

_SECONDS: Final = DAY_MS // 1000


async def activity(connection: AsyncConnection, conditions: Conditions, span: Span) -> Activity:
    """The users of a period and of the 30 days up to its end."""
    if by_user_days(conditions):
        seen = await _from_user_days(connection, conditions, span)
    else:
        found = await active_in_groups(connection, conditions, span) if by_groups(conditions) else None
        if found is not None:
            return found
        seen = _from_calls(connection.dialect, conditions, span)
    counted = (await connection.execute(_counted(seen.days, span))).one()
    by_day = await connection.execute(select(seen.days.c.day, func.count()).group_by(seen.days.c.day))
    return Activity(
        days={row[0]: row[1] for row in by_day},
        **counted._mapping,
        cohorts=await _cohorts(connection, span, seen),
    )


def by_user_days(conditions: Conditions) -> bool:
    """Whether the sums by user and day can tell."""
    return set(conditions) <= set(USER_DIMENSIONS)


def by_groups(conditions: Conditions) -> bool:
    """Whether they can tell by the groups that are noted in them."""
    return set(conditions) <= {*DIMENSIONS, Dimension.USER}


class _Seen(msgspec.Struct, frozen=True):
    days: CTE
    """Tenant, user and day, each once, from the first day that matters to the last."""
    new: tuple[ColumnElement[bool], ...]
    """That a user of ``days`` was not there before the period."""


async def _from_user_days(connection: AsyncConnection, conditions: Conditions, span: Span) -> _Seen:
    kept = select(USERS.c.tenant_id, USERS.c.user_id, USERS.c.day).where(
        USERS.c.day.between(span.reach, span.last), USERS.c.user_id != "", *of_users(conditions)
    )
    fresh = _fresh(connection.dialect, await _waiting(connection, conditions, span.last))
    days = union(kept, select(*fresh.c).where(fresh.c.day >= span.reach)).cte("seen")
    earlier = [(USERS.alias("before"), of_users), (fresh.alias("fresh_before"), None)]
    new = []
    for table, narrow in earlier:
        same = (table.c.tenant_id == days.c.tenant_id, table.c.user_id == days.c.user_id)
        more = narrow(conditions, table) if narrow is not None else []
        found = select(literal(1)).select_from(table).where(*same, table.c.day < span.first, *more)
        new.append(~found.correlate(days).exists())
    return _Seen(days, tuple(new))


async def _waiting(connection: AsyncConnection, conditions: Conditions, last: int) -> str:
    """Users and days no compaction has folded, as JSON: ``[[tenant, user, day], ...]``."""
    users: Iterable[UserKey] = (await waiting(connection)).tally.users
    found = {
        (tenant, user, day)
        for tenant, day, team, user in users
        if user and day <= last and _matches(conditions, tenant, team, user)
    }
    return msgspec.json.encode(sorted(found)).decode()


def _from_calls(dialect: Dialect, conditions: Conditions, span: Span) -> _Seen:
    where = [CALLS.c.user_id != "", *of_calls(conditions)]
    day = cast(second_of(dialect) // _SECONDS, Integer).label("day")
    inside = between(span.reach * DAY_MS, (span.last + 1) * DAY_MS)
    days = select(CALLS.c.tenant_id, CALLS.c.user_id, day).where(*inside, *where).distinct().cte("seen")
    before = select(CALLS.c.tenant_id, CALLS.c.user_id).where(*between(0, span.first * DAY_MS), *where)
    return _Seen(days, (tuple_(days.c.tenant_id, days.c.user_id).not_in(before.distinct()),))


def _matches(conditions: Conditions, tenant: str, team: str, user: str) -> bool:
    own = {Dimension.TENANT: tenant, Dimension.TEAM: team or None, Dimension.USER: user or None}
    return all(own[dimension] in values for dimension, values in conditions.items())


def _fresh(dialect: Dialect, new: str) -> CTE:
    """The rows of :func:`_waiting`."""
    if dialect.name == "sqlite":
        each = func.json_each(literal(new, Text)).table_valued("value")
        part = [func.json_extract(each.c.value, f"$[{number}]") for number in range(3)]
    else:
        each = func.jsonb_array_elements(cast(literal(new, Text), JSONB)).table_valued("value")
        part = [cast(each.c.value, JSONB)[number].astext for number in range(3)]
    tenant, user, day = part
    return select(
        cast(tenant, Text).label("tenant_id"),
        cast(user, Text).label("user_id"),
        cast(day, Integer).label("day"),
    ).cte("fresh")


def _counted(seen: CTE, span: Span) -> Select[int, int, int, int]:
    """The fields of :class:`Activity` that are single numbers."""
    users = (
        select(func.max(seen.c.day).label("latest"), func.max(_within(seen, span)).label("within"))
        .group_by(seen.c.tenant_id, seen.c.user_id)
        .subquery()
    )

    def since(day: int) -> ColumnElement[int]:
        return func.count(case((users.c.latest >= day, 1)))

    return select(
        since(span.last).label("last_day"),
        since(span.last - WEEK + 1).label("last_week"),
        since(span.last - MONTH + 1).label("last_month"),
        func.count(case((users.c.within == 1, 1))).label("period"),
    )


def _within(seen: CTE, span: Span) -> ColumnElement[int]:
    return case((seen.c.day >= span.first, 1), else_=0)


async def _cohorts(connection: AsyncConnection, span: Span, seen: _Seen) -> list[Cohort]:
    days = seen.days
    firsts = (
        select(days.c.tenant_id, days.c.user_id, func.min(days.c.day).label("day"))
        .where(days.c.day >= span.first, *seen.new)
        .group_by(days.c.tenant_id, days.c.user_id)
        .cte("firsts")
    )
    age = (days.c.day - firsts.c.day).label("age")
    same = and_(days.c.tenant_id == firsts.c.tenant_id, days.c.user_id == firsts.c.user_id)
    query = (
        select(firsts.c.day, age, func.count())
        .join_from(firsts, days, and_(same, (days.c.day - firsts.c.day).in_([0, *AGES])))
        .group_by(firsts.c.day, age)
        .order_by(firsts.c.day)
    )
    cohorts: dict[int, Cohort] = {}
    for day, passed, users in await connection.execute(query):
        cohort = cohorts.setdefault(day, Cohort(day))
        if passed == 0:
            cohort.users = users
        else:
            cohort.back[passed] = users
    return list(cohorts.values())
