"""Days, weeks and months of a time zone, as stretches of seconds that follow each other without a gap."""

from __future__ import annotations

import enum
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import msgspec


class Kind(enum.StrEnum):
    """What the calendar is cut into."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class Stretch(msgspec.Struct, frozen=True, gc=False):
    """One day, week or month: its first day, its first second, and the first after it (UTC since 1970)."""

    first: date
    start_s: int
    end_s: int


def stretch_of(kind: Kind, zone: ZoneInfo, at_s: int, week_start: int = 1) -> Stretch:
    """The one that holds the second ``at_s``; ``week_start`` is an ISO weekday, 1 is Monday."""
    first = _first_day(kind, week_start, datetime.fromtimestamp(at_s, zone).date())
    start, end = _midnight(first, zone), _midnight(_next(kind, first), zone)
    if at_s < start:  # the clock went back over midnight: that hour belongs to the day before
        first = _first_day(kind, week_start, first - timedelta(days=1))
        start, end = _midnight(first, zone), start
    elif at_s >= end:
        first = _next(kind, first)
        start, end = end, _midnight(_next(kind, first), zone)
    return Stretch(first, start, end)


def _first_day(kind: Kind, week_start: int, day: date) -> date:
    if kind is Kind.DAY:
        return day
    if kind is Kind.WEEK:
        return day - timedelta(days=(day.isoweekday() - week_start) % 7)
    return day.replace(day=1)


def _next(kind: Kind, first: date) -> date:
    if kind is Kind.DAY:
        return first + timedelta(days=1)
    if kind is Kind.WEEK:
        return first + timedelta(days=7)
    return (first.replace(day=28) + timedelta(days=4)).replace(day=1)


def _midnight(day: date, zone: ZoneInfo) -> int:
    """The first second of a local day; where the clock skips midnight, the moment it does."""
    return int(datetime.combine(day, time(), zone).timestamp())
