"""What apps' routers decided: sums of routed calls by policy, reason, confidence and model.

From the sums by UTC day where they keep apart what is asked for, with what no compaction has folded yet and, for parts
of days, the calls; else from the calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from operator import add
from typing import Any, Final

import msgspec
from sqlalchemy import BigInteger, and_, cast, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.queries.analytics.conditions import of_calls
from storage.queries.calls import CALLS
from storage.rollups import state
from storage.rollups.asked import Asked, planned, prepare
from storage.rollups.contents import waiting
from storage.rollups.dimensions import DIMENSIONS, Dimension
from storage.rollups.from_calls import BAND, ROUTE_MEASURED, ROUTED, between, column_of
from storage.rollups.question import Question, Source
from storage.rollups.routes import ROUTE_MEASURES
from storage.rollups.selects import is_one_of
from storage.rollups.tables import GROUPS, ROUTES
from storage.rollups.zones import Range

Key = tuple[str | None, str | None, int | None, str, str | None]
"""Policy, reason, band of confidence, provider and model."""
_BY: Final = (Dimension.ROUTE_POLICY, Dimension.PROVIDER, Dimension.MODEL)


class Routed(msgspec.Struct, frozen=True):
    """Routed calls of a period."""

    sums: Mapping[Key, Sequence[int]]
    """In the order of :data:`ROUTE_MEASURES`."""
    source: Source
    """``USER_DAYS`` stands for sums by UTC day."""


async def routed(connection: AsyncConnection, question: Question, now: datetime) -> Routed:
    """The sums. Raises :class:`storage.rollups.question.QuestionError`."""
    asked = prepare(question, now)
    source = Source.USER_DAYS if asked.dimensions <= set(DIMENSIONS) else Source.CALLS
    plan = planned(asked, source, await state.numbers(connection))
    found: dict[Key, list[int]] = {}
    first, last = plan.days
    if first < last:
        _add(found, await _rows_of_days(connection, asked, plan.days))
        for (day, group, reason, band), sums in (await waiting(connection)).tally.routes.items():
            own = dict(zip(DIMENSIONS, group, strict=True))
            if first <= day < last and asked.matches(own):
                policy, provider, model = (own[dimension] for dimension in _BY)
                _add(found, [(policy, reason, band, provider, model, *sums)])
    if plan.calls:
        _add(found, await _rows_of_calls(connection, asked, plan.calls))
    return Routed(found, source)


def _add(found: dict[Key, list[int]], rows: Iterable[Sequence[Any]]) -> None:
    for row in rows:
        policy, reason, band, provider, model = row[:5]
        key = (policy, reason, band, provider, model)
        before = found.get(key)
        found[key] = list(row[5:]) if before is None else [*map(add, before, row[5:])]


async def _rows_of_days(connection: AsyncConnection, asked: Asked, days: Range) -> list[Any]:
    policy, provider, model = (GROUPS.c[dimension.value] for dimension in _BY)
    keys = (policy, ROUTES.c.route_reason, ROUTES.c.band, provider, model)
    sums = [cast(func.sum(ROUTES.c[name]), BigInteger) for name in ROUTE_MEASURES]

    def column(dimension: Dimension) -> Any:
        return ROUTES.c.tenant_id if dimension is Dimension.TENANT else GROUPS.c[dimension.value]

    query = (
        select(*keys, *sums)
        .join_from(ROUTES, GROUPS, ROUTES.c.group_id == GROUPS.c.group_id)
        .where(
            ROUTES.c.day >= days[0],
            ROUTES.c.day < days[1],
            *[is_one_of(column(dimension), values) for dimension, values in asked.conditions.items()],
        )
        .group_by(*keys)
    )
    return list((await connection.execute(query)).all())


async def _rows_of_calls(connection: AsyncConnection, asked: Asked, ranges: Sequence[Range]) -> list[Any]:
    policy, provider, model = map(column_of, _BY)
    expressions = (policy, CALLS.c.route_reason, BAND, provider, model)
    keys = [key.label(f"key_{number}") for number, key in enumerate(expressions)]
    sums = [ROUTE_MEASURED[name].label(f"sum_{name}") for name in ROUTE_MEASURES]
    inside = or_(*[and_(*between(begin, end)) for begin, end in ranges])
    query = select(*keys, *sums).where(ROUTED, inside, *of_calls(asked.conditions)).group_by(*keys)
    return list((await connection.execute(query)).all())
