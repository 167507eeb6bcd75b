"""What calls cost by later prices (``weighbridge prices reprice``), added up beside the sums of what was recorded.

Read from the calls, by an index of those whose cost is another one: mostly none. There are no sums of it to be kept
right when calls are priced again, erased or deleted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import BigInteger, ColumnElement, Select, and_, case, cast, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from pricing.cost import CostStatus
from storage.queries.analytics.conditions import of_calls
from storage.queries.calls import CALLS, by_value
from storage.rollups import state
from storage.rollups.asked import Asked, planned, prepare
from storage.rollups.dimensions import Group
from storage.rollups.from_calls import began_between, column_of
from storage.rollups.question import Question
from storage.rollups.zones import Range

MOST_READ: Final = 500_000
"""Calls of one answer: half a second."""
_C: Final = CALLS.c
CHANGED: Final = and_(
    _C.repriced_nano.is_not(None), or_(_C.cost_nano.is_(None), _C.cost_nano != _C.repriced_nano)
)
"""As in the index: a query that says it otherwise would look at every call."""


class Repriced(msgspec.Struct, frozen=True):
    """Calls of one group whose cost is another one by later prices, or known by them alone."""

    key: Group
    """Values of ``group_by``."""
    calls: int
    unpriced_calls: int
    """Of them, recorded without a known cost."""
    estimated_calls: int
    """Of them, an estimate by later prices too."""
    partial_calls: int
    """Of them, a lower bound by later prices too."""
    delta_nano: int
    """What the later costs are more than those that were recorded, nano-USD; an unknown one counts as nothing."""


class Later(msgspec.Struct, frozen=True):
    """An answer: a line for each group with such calls, in no order."""

    lines: tuple[Repriced, ...]
    since: datetime | None
    """Calls of the period that began earlier are deleted, and what they cost by later prices with them."""
    is_too_much: bool = False
    """There are more than :data:`MOST_READ` calls: no lines."""


async def repriced(connection: AsyncConnection, questions: Sequence[Question], now: datetime) -> list[Later]:
    """By group; measures, buckets and histograms do not matter.

    Raises :class:`storage.rollups.question.QuestionError`.
    """
    known = await state.numbers(connection)
    return [await _answered(connection, prepare(question, now), known) for question in questions]


async def _answered(connection: AsyncConnection, asked: Asked, known: Mapping[str, int]) -> Later:
    covered = planned(asked, asked.source, known)  # as what was recorded is told of
    since_ms = max(covered.since_ms, known.get(state.FORGOTTEN_MS, 0))
    query = _by_group(asked, (since_ms, covered.until_ms), connection.dialect.name)
    own = len(asked.group_by)
    lines = tuple(
        Repriced(tuple(row[:own]), *row[own:]) for row in await connection.execute(query) if row[own]
    )
    since = asked.moment(since_ms) if since_ms > covered.since_ms else None
    if sum(line.calls for line in lines) > MOST_READ:
        return Later((), since, is_too_much=True)
    return Later(lines, since)


def _by_group(asked: Asked, period: Range, dialect: str) -> Select[Any]:
    """Each row: the key, then what follows it in :class:`Repriced`."""
    keys = [column_of(dimension).label(f"key_{number}") for number, dimension in enumerate(asked.group_by)]
    each = (
        select(
            *keys,
            _one_if(_C.cost_nano.is_(None)).label("was_unpriced"),
            _one_if(_C.repriced_status == CostStatus.ESTIMATED.value).label("is_estimated"),
            _one_if(_C.repriced_status == CostStatus.PARTIAL.value).label("is_partial"),
            (_C.repriced_nano - func.coalesce(_C.cost_nano, 0)).label("delta"),
        )
        .where(CHANGED, *began_between(*period), *by_value(of_calls(asked.conditions), dialect))
        .limit(MOST_READ + 1)
        .subquery()
    )
    own: Sequence[ColumnElement[Any]] = [each.c[key.name] for key in keys]
    counts = [func.count(each.c[name]) for name in ("was_unpriced", "is_estimated", "is_partial")]
    delta = cast(func.coalesce(func.sum(each.c.delta), 0), BigInteger)
    return select(*own, func.count().label("calls"), *counts, delta).select_from(each).group_by(*own)


def _one_if(condition: ColumnElement[bool]) -> ColumnElement[Any]:
    """Null where it does not hold: to be counted."""
    return case((condition, 1))
