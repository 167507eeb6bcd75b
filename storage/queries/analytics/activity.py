"""Numbers of different users by UTC day: what is told of them."""

from __future__ import annotations

from typing import Final

import msgspec

AGES: Final = (1, 7, 30)
"""Days after the first one on which is looked who is there again."""
WEEK: Final = 7
MONTH: Final = 30


class Cohort(msgspec.Struct):
    """Users whose first day it was."""

    day: int
    """Since 1970, UTC."""
    users: int = 0
    back: dict[int, int] = {}
    """Age in days -> how many were there again."""


class Activity(msgspec.Struct, frozen=True):
    """Numbers of different users."""

    days: dict[int, int]
    """On each day of the last 30 and of the period that had any."""
    last_day: int
    last_week: int
    last_month: int
    """On the last day, the last 7 and the last 30."""
    period: int
    cohorts: list[Cohort]
    """By their first day within the period, where there is none before it."""


class Span(msgspec.Struct, frozen=True):
    """UTC days since 1970, ``first`` to ``last``, both included."""

    first: int
    last: int

    @property
    def reach(self) -> int:
        """The first day that is looked at: that of the period, or of the last 30."""
        return min(self.first, self.last - MONTH + 1)
