"""The last minutes, from the calls themselves: finer than the sums by hour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Integer, cast, select
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.queries.analytics.conditions import Conditions, of_calls
from storage.queries.calls import CALLS
from storage.rollups.dimensions import Dimension
from storage.rollups.from_calls import (
    HISTOGRAM_VALUES,
    MEASURED,
    between,
    buckets,
    column_of,
    joined,
    second_of,
)
from storage.rollups.histogram import Histogram
from storage.rollups.plan import FOREVER_MS
from storage.rollups.question import HistogramName
from storage.rows import ms_of


class Minute(msgspec.Struct, frozen=True):
    """Calls that began within one minute, of one model."""

    minute: int
    """Since 1970, UTC."""
    model: str | None
    sums: Mapping[str, int]
    """Measures by name."""
    histograms: Mapping[HistogramName, Histogram]
    overheads: Histogram
    """The gateway's own share of durations, microseconds."""


async def minutes(
    connection: AsyncConnection, conditions: Conditions, measures: Sequence[str], since: datetime
) -> list[Minute]:
    """All calls since then."""
    dialect = connection.dialect
    keys = [
        cast(second_of(dialect) // 60, Integer).label("its_minute"),
        column_of(Dimension.MODEL).label("its_model"),
    ]
    sums = [MEASURED[name].label(f"sum_{name}") for name in measures]
    values = [*(HISTOGRAM_VALUES[name] for name in HistogramName), CALLS.c.overhead_us]
    query = (
        select(*keys, *sums, *[joined(value, dialect) for value in values])
        .where(*between(ms_of(since), FOREVER_MS), *of_calls(conditions))
        .group_by(*keys)
    )
    own, found = 2 + len(sums), []
    for row in await connection.execute(query):
        *histograms, overheads = (Histogram(buckets(text)) for text in row[own:])
        found.append(
            Minute(
                row[0],
                row[1],
                dict(zip(measures, row[2:own], strict=True)),
                dict(zip(HistogramName, histograms, strict=True)),
                overheads,
            )
        )
    return found
