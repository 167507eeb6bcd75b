"""What will have been spent by the end of the month, the quarter and the year. Pure, nano-USD.

For plans: with a trend, with bounds, over calendar periods, on as much history as there is. What a budget's alert
projects is simpler on purpose (:mod:`telemetry.alerts.projection`), so the two may differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import msgspec

from telemetry.insights.ahead import Until, begin_of, days_left
from telemetry.insights.forecast import CONFIDENCE_PPM, Method, forecast


class Outlook(msgspec.Struct, frozen=True):
    """The spend of the period that ends with ``last``, as far as it is known, and as it is expected to be then."""

    until: Until
    last: date
    spent_nano: int
    total_nano: int
    low_nano: int
    high_nano: int
    method: Method
    confidence_ppm: int
    """Share of cases in which the truth is from ``low_nano`` to ``high_nano``."""


def outlooks(
    past: Sequence[int], today: date, so_far: int = 0, confidence_ppm: int = CONFIDENCE_PPM
) -> list[Outlook]:
    """``past``: whole days up to the one before ``today``, oldest first, from the year's first day on or earlier;
    ``so_far``: what today has cost already. Nothing where nothing was ever spent.

    A past that begins later leaves out of ``spent_nano`` what came before it.
    """
    if not any(past):
        return []
    weekday = (today - timedelta(days=len(past))).weekday()
    found = []
    for until in Until:
        left = days_left(today, until)
        told = forecast(past, left, weekday, confidence_ppm)
        assert told is not None
        elapsed = (today - begin_of(today, until)).days
        before = sum(past[max(0, len(past) - elapsed) :]) if elapsed else 0
        # Today will cost what was expected of it, unless it has cost more already.
        more = max(0, so_far - told.points[0])
        found.append(
            Outlook(
                until,
                today + timedelta(days=left - 1),
                before + so_far,
                before + told.total + more,
                before + max(told.total_low, so_far),
                before + told.total_high + more,
                told.method,
                confidence_ppm,
            )
        )
    return found
