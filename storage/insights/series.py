"""Sums as a series without gaps: one value for every day or hour, 0 where there were no calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from storage.rollups.dimensions import Dimension
from storage.rollups.question import Bucket, Question
from storage.rollups.read import Reader
from storage.rollups.zones import zone_of

Where = Mapping[Dimension, tuple[str | None, ...]]
_HOUR: Final = timedelta(hours=1)


async def by_day(
    reader: Reader,
    since: date,
    until: date,
    *,
    zone: str = "UTC",
    measures: Sequence[str] = ("cost_nano",),
    where: Where | None = None,
    scope: Mapping[str, str] | None = None,
) -> dict[str, list[int]]:
    """Sums of the calendar days ``since`` <= day < ``until`` of a time zone, by measure. Raises as the reader does."""
    begin = datetime.combine(since, time(), zone_of(zone))
    question = Question(
        since=begin,
        until=datetime.combine(until, time(), zone_of(zone)),
        where=where or {},
        scope=scope or {},
        bucket=Bucket.DAY,
        zone=zone,
        measures=tuple(measures),
    )
    found: dict[str, list[int]] = {name: [0] * (until - since).days for name in measures}
    for line in (await reader.totals(question)).lines:
        assert line.begin is not None
        # An hour that began before and cannot be cut any more is told of the day before the first.
        place = max(0, (line.begin.date() - since).days)
        for name in measures:
            found[name][place] += line.sums[name]
    return found


async def by_hour(
    reader: Reader,
    since: datetime,
    until: datetime,
    *,
    measures: Sequence[str] = ("cost_nano",),
    where: Where | None = None,
    scope: Mapping[str, str] | None = None,
) -> dict[str, list[int]]:
    """Sums of UTC hours, by measure; ``since`` and ``until`` are whole hours. Raises as the reader does."""
    question = Question(
        since=since,
        until=until,
        where=where or {},
        scope=scope or {},
        bucket=Bucket.HOUR,
        measures=tuple(measures),
    )
    found: dict[str, list[int]] = {name: [0] * ((until - since) // _HOUR) for name in measures}
    for line in (await reader.totals(question)).lines:
        assert line.begin is not None
        place = (line.begin.astimezone(UTC) - since) // _HOUR
        for name in measures:
            found[name][place] += line.sums[name]
    return found
