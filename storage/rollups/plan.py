"""Which part of a period is read where: whole days, whole hours, and the calls themselves for parts of hours. Pure.

Days of other time zones are made of sums by UTC day too; what belongs to the day before or after is moved there
(:mod:`storage.rollups.moves`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from storage.rollups.moves import NOTHING_MOVES, Moves, moves
from storage.rollups.zones import DAY_MS, HOUR_MS, Range

FOREVER_MS: Final = 253_370_764_800_000
"""The beginning of the year 9999: no call begins later."""


class Plan(msgspec.Struct, frozen=True):
    """Ranges are half-open and do not overlap; days, hours and calls together are the period."""

    days: Range
    """Days since 1970 to be read from sums by day; empty where both are equal."""
    hours: tuple[Range, ...]
    """Hours since 1970."""
    calls: tuple[Range, ...]
    """Milliseconds since 1970: parts of hours."""
    since_ms: int
    until_ms: int
    moved: Moves = NOTHING_MOVES
    """What of ``days`` is part of another day in the question's zone."""

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
    day_of: Callable[[int], int] | None = None,
) -> Plan:
    """Cover ``[since_ms, until_ms)``.

    ``cuts``: moments that fall between buckets. ``days_before``: there are sums by day of the days before this one; with
    ``cuts`` they are used if ``day_of`` tells the day of a moment in the zone of those cuts. ``held_ms``: calls that
    began earlier may be gone, so an hour that would have to be cut there is taken whole: into the period at its ends,
    into the earlier bucket within.
    """
    since_ms, until_ms = _outward(since_ms, until_ms, HOUR_MS, held_ms)
    inner = [ms for ms in cuts if since_ms < ms < until_ms]
    days = _whole_days(since_ms, until_ms, days_before)
    moved: Moves | None = NOTHING_MOVES
    if inner:
        moved = None if day_of is None else moves(days, inner, day_of, held_ms)
    if moved is None or days[0] == days[1]:
        hours, calls = _by_hour(since_ms, until_ms, inner, held_ms)
        return Plan((0, 0), tuple(hours), tuple(calls), since_ms, until_ms)
    before = _by_hour(since_ms, days[0] * DAY_MS, inner, held_ms)
    after = _by_hour(days[1] * DAY_MS, until_ms, inner, held_ms)
    return Plan(days, (*before[0], *after[0]), (*before[1], *after[1]), since_ms, until_ms, moved)


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


def _by_hour(
    since_ms: int, until_ms: int, cuts: Iterable[int], held_ms: int
) -> tuple[list[Range], list[Range]]:
    """The whole hours of a period, and the parts of those that are cut."""
    odd = (ms // HOUR_MS for ms in (since_ms, *cuts, until_ms) if ms % HOUR_MS and since_ms <= ms <= until_ms)
    split = sorted({hour for hour in odd if hour * HOUR_MS >= held_ms})
    hours, begin = [], since_ms // HOUR_MS
    for hour in split:
        hours.append((begin, hour))
        begin = hour + 1
    hours.append((begin, -(-until_ms // HOUR_MS)))
    parts = ((max(hour * HOUR_MS, since_ms), min((hour + 1) * HOUR_MS, until_ms)) for hour in split)
    return [one for one in hours if one[0] < one[1]], [one for one in parts if one[0] < one[1]]


def _whole_days(since_ms: int, until_ms: int, days_before: int) -> Range:
    first, last = -(-since_ms // DAY_MS), min(until_ms // DAY_MS, days_before)
    return (first, last) if first < last else (0, 0)
