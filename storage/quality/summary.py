"""Reading quality: sums by any dimensions, from the sums by day; never from calls.

For a viewer who may see one user alone the sums are added up from that user's judged calls: days know no users.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Select, Table, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.quality.tables import DAILY, JUDGED
from storage.store import unavailable
from telemetry.insights.wilson import LEAST_SAMPLES, Slice, Weak, weak
from telemetry.quality import Measures

MOST_ROWS = 1000
_USER = "user_id"


class Dimension(enum.StrEnum):
    """What sums can be grouped and filtered by. Values are columns."""

    TENANT = "tenant_id"
    TEAM = "team"
    PROJECT = "project"
    FEATURE = "feature"
    ENVIRONMENT = "environment"
    PROVIDER = "provider"
    MODEL = "model"
    """The model that answered, else the one asked for."""
    ROUTE_POLICY = "route_policy"
    EXPERIMENT = "experiment"
    VARIANT = "variant"
    PROMPT = "prompt_id"
    PROMPT_VERSION = "prompt_version"
    CONFIDENCE_BAND = "confidence_band"
    """Of the app's router, in tenths from 0 to 9."""


DAY = "day"
"""UTC day on which calls began; can be grouped by."""
GroupBy = Sequence[Dimension | str]
Filters = Mapping[Dimension, str | tuple[str | None, ...] | None]
Key = tuple[str | None, ...]


class QualityRow(msgspec.Struct, frozen=True):
    """One group. ``key`` is in the order of ``group_by``; ``None``: the calls do not say. A day is ISO text."""

    key: Key
    measures: Measures


class QualityReader:
    """Reads through :func:`storage.engine.reading_engine`. Every method raises :class:`StoreUnavailable`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def summary(
        self,
        filters: Filters,
        group_by: GroupBy,
        since: date | None = None,
        until: date | None = None,
        scope: Mapping[str, str] | None = None,
        limit: int = MOST_ROWS,
    ) -> list[QualityRow]:
        """Sums of the judged calls of UTC days ``since`` <= day < ``until``, groups with most calls first.

        ``filters``: any of several values; ``None`` wants calls that do not say. ``scope``: columns of calls and the value each must have (what
        the viewer may see). Days come in their order when ``group_by`` begins with :data:`DAY`.
        """
        allowed = dict(scope or {})
        table = JUDGED if _USER in allowed else DAILY
        query = _query(table, filters, group_by, since, until, allowed).limit(limit)
        try:
            async with self._engine.connect() as connection:
                rows = (await connection.execute(query)).all()
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            raise unavailable(error, "read") from error
        width = len(group_by)
        return [
            QualityRow(
                tuple(None if value == "" else str(value) for value in row[:width]),
                Measures(*(int(value or 0) for value in row[width:])),
            )
            for row in rows
            if row[-1] is not None
        ]

    async def dissatisfied(
        self,
        filters: Filters,
        group_by: GroupBy,
        since: date | None = None,
        until: date | None = None,
        scope: Mapping[str, str] | None = None,
        least_samples: int = LEAST_SAMPLES,
    ) -> list[Weak[Key]]:
        """Groups whose users are less satisfied than those of all others, beyond chance; the worst first."""
        rows = await self.summary(filters, group_by, since, until, scope)
        slices = [Slice(row.key, row.measures.user_good, row.measures.user_count) for row in rows]
        return weak(slices, least_samples)

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()


def _query(
    table: Table,
    filters: Filters,
    group_by: GroupBy,
    since: date | None,
    until: date | None,
    scope: Mapping[str, str],
) -> Select[Any]:
    keys = [table.c[str(name)] for name in group_by]
    sums = [func.sum(table.c[name]) for name in Measures.__struct_fields__]
    where: list[ColumnElement[bool]] = [table.c[name] == value for name, value in scope.items()]
    for name, wanted in filters.items():
        values = wanted if isinstance(wanted, tuple) else (wanted,)
        where.append(table.c[name.value].in_([value or "" for value in values]))
    where += [table.c.day >= since] if since else []
    where += [table.c.day < until] if until else []
    order = [keys[0]] if group_by and group_by[0] == DAY else []
    return select(*keys, *sums).where(*where).group_by(*keys).order_by(*order, sums[0].desc(), *keys)
