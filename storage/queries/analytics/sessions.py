"""Sessions, read from the calls: which there were lately, and what each of them came to.

There are too many to keep sums of each. So the newest calls are looked at for the sessions they belong to, and those
that are to be shown are then added up over the whole period by the index on sessions.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import BigInteger, ColumnElement, Select, and_, case, cast, func, or_, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.queries.analytics.conditions import Conditions, of_calls
from storage.queries.calls import CALLS
from storage.rollups.contents import slices
from storage.rollups.dimensions import Dimension
from storage.rollups.from_calls import MEASURED, began_between, between, column_of

MOST_LOOKED_AT: Final = 20_000
"""Calls, the newest ones of the period."""
Key = tuple[str, str]
"""Tenant and session."""


class Order(enum.StrEnum):
    """Which sessions come first."""

    RECENT = "recent"
    COST = "cost"
    CALLS = "calls"


class Glimpse(msgspec.Struct, frozen=True):
    """A session as far as the calls that were looked at tell."""

    key: Key
    calls: int
    cost_nano: int
    first_ns: int
    """When its first call began, nanoseconds since 1970."""
    last_ns: int


class Lately(msgspec.Struct, frozen=True):
    """The newest calls of a period."""

    calls: int
    """Those among them that pass the filters, with a session or without."""
    since_ns: int | None
    """When the oldest of those began; ``None`` if there are none."""
    sessions: list[Glimpse]
    """In no order."""


class Session(msgspec.Struct, frozen=True):
    """One session within the period."""

    key: Key
    first_ns: int
    last_ns: int
    users: list[str]
    """The least and the greatest name; one, or none, where there are not two."""
    models: int
    """How many different ones."""
    sums: dict[str, int]
    """Measures by name."""


async def lately(connection: AsyncConnection, conditions: Conditions, since_ms: int, until_ms: int) -> Lately:
    """The sessions of the newest calls."""
    newest = _newest(conditions, since_ms, until_ms).subquery()
    # All without a session are one more group: the calls are read once. What does not pass the filters may be others'
    # calls: not even their number is told.
    named = newest.c.session_id != ""
    keys = [case((named, column)).label(column.name) for column in (newest.c.tenant_id, newest.c.session_id)]
    query = (
        select(
            *keys,
            func.count(),
            cast(func.coalesce(func.sum(newest.c.cost_nano), 0), BigInteger),
            func.min(newest.c.started_ns),
            func.max(newest.c.started_ns),
        )
        .where(newest.c.counts)
        .group_by(*keys)
    )
    rows = (await connection.execute(query)).all()
    found = [Glimpse((row[0], row[1]), row[2], row[3], row[4], row[5]) for row in rows if row[1] is not None]
    return Lately(sum(row[2] for row in rows), min((row[4] for row in rows), default=None), found)


async def whole(
    connection: AsyncConnection,
    keys: Sequence[Key],
    measures: Sequence[str],
    conditions: Conditions,
    since_ms: int,
    until_ms: int,
) -> list[Session]:
    """These sessions over the whole period, in no order."""
    sums = [MEASURED[name].label(f"sum_{name}") for name in measures]
    columns = (
        CALLS.c.tenant_id,
        CALLS.c.session_id,
        func.min(CALLS.c.started_ns),
        func.max(CALLS.c.started_ns),
        func.min(CALLS.c.user_id),
        func.max(CALLS.c.user_id),
        func.count(column_of(Dimension.MODEL).distinct()),
    )
    found: list[Session] = []
    for some in slices(keys):
        query = (
            select(*columns, *sums)
            .where(_among(some), *began_between(since_ms, until_ms), *of_calls(conditions))
            .group_by(CALLS.c.tenant_id, CALLS.c.session_id)
        )
        for row in await connection.execute(query):
            users = sorted({name for name in row[4:6] if name})
            values = dict(zip(measures, row[7:], strict=True))
            found.append(Session((row[0], row[1]), row[2], row[3], users, row[6], values))
    return found


def _among(keys: Sequence[Key]) -> ColumnElement[bool]:
    """Tenant by tenant: for pairs SQLite would not use the index on sessions, nor beside a range of ids."""
    by_tenant: dict[str, list[str]] = {}
    for tenant, session in keys:
        by_tenant.setdefault(tenant, []).append(session)
    return or_(
        *[
            and_(CALLS.c.tenant_id == tenant, CALLS.c.session_id.in_(sessions))
            for tenant, sessions in by_tenant.items()
        ]
    )


def _newest(conditions: Conditions, since_ms: int, until_ms: int) -> Select[Any]:
    """At most so many calls; ``counts`` says which of them pass the filters.

    One tenant and one team have indexes by time of their own, so they are narrowed to here.
    """
    early = [dimension for dimension in (Dimension.TENANT, Dimension.TEAM) if _one(conditions, dimension)]
    if Dimension.TENANT not in early:
        early = []
    inside = {dimension: conditions[dimension] for dimension in early}
    outside = {dimension: values for dimension, values in conditions.items() if dimension not in inside}
    newest_first = CALLS.c.started_at.desc() if early else CALLS.c.id.desc()
    return (
        select(
            CALLS.c.tenant_id,
            CALLS.c.session_id,
            CALLS.c.started_ns,
            CALLS.c.cost_nano,
            and_(true(), *of_calls(outside)).label("counts"),
        )
        .where(*between(since_ms, until_ms), *of_calls(inside))
        .order_by(newest_first)
        .limit(MOST_LOOKED_AT)
    )


def _one(conditions: Conditions, dimension: Dimension) -> bool:
    values = conditions.get(dimension, ())
    return len(values) == 1 and values[0] is not None
