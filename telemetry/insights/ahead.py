"""Which days are still to come."""

from __future__ import annotations

import enum
from datetime import date, timedelta


class Until(enum.StrEnum):
    """What a forecast goes to the end of."""

    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"


def begin_of(day: date, until: Until) -> date:
    """The first day of the month, quarter or year of ``day``."""
    match until:
        case Until.MONTH:
            return day.replace(day=1)
        case Until.QUARTER:
            return day.replace(month=day.month - (day.month - 1) % 3, day=1)
        case Until.YEAR:
            return day.replace(month=1, day=1)


def days_left(day: date, until: Until) -> int:
    """Days from ``day`` to the last of its month, quarter or year, both counted."""
    begin = begin_of(day, until)
    longest = {Until.MONTH: 31, Until.QUARTER: 92, Until.YEAR: 366}[until]
    after = begin_of(begin + timedelta(days=longest), until)
    return (after - day).days
