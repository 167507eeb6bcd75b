"""Which part of a period is read where: whole days, whole hours, and the calls themselves for parts of hours. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from storage.rollups.zones import DAY_MS, HOUR_MS

Range = tuple[int, int]
FOREVER_MS: Final = 253_370_764_800_000
"""The beginning of the year 9999: no call begins later."""


class Plan(msgspec.Struct, frozen=True):
    """Ranges are half-open and do not overlap; together they are the period."""

    days: Range
    """Days since 1970 to be read from sums by day; empty where both are equal."""
    hours: tuple[Range, ...]
    """Hours since 1970."""
    calls: tuple[Range, ...]
    """Milliseconds since 1970: parts of hours."""
    since_ms: int
    until_ms: int

    def has_hour(self, hour: int) -> bool:
        """Whether an hour is read from sums, by hour or by day."""
        if self.days[0] <= hour // 24 < self.days[1]:
            return True
        return any(begin <= hour < end for begin, end in self.hours)


def plan(
    since_ms: int,
    until_ms: int,
    *,
    cuts: Iterable[int] = (),
    days_before: int = 0,
    held_ms: int = 0,
) -> Plan:
    """Cover ``[since_ms, until_ms)``.

    ``cuts``: moments that fall between buckets. ``days_before``: there are sums by day (fit for these buckets) of the
    days before this one. ``held_ms``: calls that began earlier may be gone, so an hour that would have to be cut
    there is taken whole: into the period at its ends, into the earlier bucket within.
    """
    since_ms, until_ms = _outward(since_ms, until_ms, HOUR_MS, held_ms)
    inner = [ms for ms in cuts if since_ms < ms < until_ms]
    odd = (ms // HOUR_MS for ms in (since_ms, *inner, until_ms) if ms % HOUR_MS)
    split = sorted({hour for hour in odd if hour * HOUR_MS >= held_ms})
    first, last = since_ms // HOUR_MS, -(-until_ms // HOUR_MS)
    hours = _without(first, last, split)
    days = _whole_days(hours, days_before) if len(hours) == 1 else (0, 0)
    if days[0] < days[1]:
        begin, end = hours[0]
        hours = [(begin, days[0] * 24), (days[1] * 24, end)]
    parts = ((max(hour * HOUR_MS, since_ms), min((hour + 1) * HOUR_MS, until_ms)) for hour in split)
    return Plan(
        days,
        tuple(one for one in hours if one[0] < one[1]),
        tuple(one for one in parts if one[0] < one[1]),
        since_ms,
        until_ms,
    )


def plan_of_days(since_ms: int, until_ms: int, *, held_ms: int = 0) -> Plan:
    """The same where there are sums by day only, of all days: parts of days are read from the calls."""
    since_ms, until_ms = _outward(since_ms, until_ms, DAY_MS, held_ms)
    first, last = -(-since_ms // DAY_MS), until_ms // DAY_MS
    if first > last:
        return Plan((0, 0), (), ((since_ms, until_ms),), since_ms, until_ms)
    parts = ((since_ms, first * DAY_MS), (last * DAY_MS, until_ms))
    return Plan((first, last), (), tuple(one for one in parts if one[0] < one[1]), since_ms, until_ms)


def _outward(since_ms: int, until_ms: int, unit: int, held_ms: int) -> Range:
    """The period, made longer to whole hours or days at an end where calls may be gone."""
    first, last = since_ms // unit * unit, until_ms // unit * unit
    since_ms = first if first < held_ms else since_ms
    until_ms = last + unit if last < held_ms and last < until_ms else until_ms
    return since_ms, max(since_ms, until_ms)


def _without(first: int, last: int, split: list[int]) -> list[Range]:
    ranges, begin = [], first
    for hour in split:
        ranges.append((begin, hour))
        begin = hour + 1
    ranges.append((begin, last))
    return [one for one in ranges if one[0] < one[1]]


def _whole_days(hours: list[Range], days_before: int) -> Range:
    (begin, end) = hours[0]
    first, last = -(-begin // 24), min(end // 24, days_before)
    return (first, last) if first < last else (0, 0)
