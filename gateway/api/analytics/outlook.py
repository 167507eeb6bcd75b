"""What will have been spent by the end of the month, the quarter and the year, and how wrong that may be."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Final

from pydantic import BaseModel, Field

from gateway.api.analytics.asking import Asking, Query
from gateway.api.analytics.period import Period, Window, midnight_of
from gateway.api.models import MoneyOut
from gateway.api.views import money
from storage.rollups.question import Bucket, Question, Totals
from telemetry.insights.ahead import Until, begin_of
from telemetry.insights.forecast import Forecast, Method, forecast
from telemetry.insights.outlook import Outlook, outlooks

HISTORY_DAYS: Final = 120
"""At least so many days before today are looked at; from the beginning of the year on, if that is earlier."""
AHEAD_DAYS: Final = 30


class OutlookOut(BaseModel):
    """At the end of the month, quarter or year."""

    until: Until
    last_day: str
    spent: MoneyOut = Field(description="From its beginning until now.")
    expected: MoneyOut = Field(description="At its end, what is spent already included.")
    low: MoneyOut = Field(
        description="In so many cases as confidence_ppm says, the truth is from low to high."
    )
    high: MoneyOut


class AheadOut(BaseModel):
    """One day to come, today among them."""

    day: str
    expected: MoneyOut
    low: MoneyOut
    high: MoneyOut


class ForecastOut(BaseModel):
    """From whole days of the past, today not among them; the period does not matter, the filters do."""

    method: Method = Field(description="How: docs/insights.md.")
    confidence_ppm: int
    history_days: int = Field(description="Since the first one with any spend.")
    outlooks: list[OutlookOut]
    days: list[AheadOut] = Field(description=f"The next {AHEAD_DAYS}.")


def history_question(asking: Asking[Query]) -> Question | None:
    """What the forecast rests on: days until now. ``None`` where they would have to be added up call by call."""
    window = Window(Period.DAYS_90, *_span(asking), asking.window.zone)
    question = asking.question(("cost_nano",), bucket=Bucket.DAY, window=window)
    return None if asking.reads_calls(question) else question


def forecast_out(asking: Asking[Query], history: Totals) -> ForecastOut | None:
    """``history``: the answer to :func:`history_question`; ``None`` where nothing was spent before today."""
    since, now = _span(asking)
    first, today = since.date(), now.date()
    days = [0] * ((today - first).days + 1)
    for line in history.lines:
        assert line.begin is not None
        # What began before and cannot be cut any more is told of the day before the first; clocks may be ahead.
        place = max(0, min(len(days) - 1, (line.begin.date() - first).days))
        days[place] += line.sums["cost_nano"]
    past, spent_today = days[:-1], days[-1]
    empty = next((place for place, spent in enumerate(past) if spent), len(past))
    ahead = forecast(past[empty:], AHEAD_DAYS, (first + timedelta(days=empty)).weekday())
    if ahead is None:
        return None
    return ForecastOut(
        method=ahead.method,
        confidence_ppm=ahead.confidence_ppm,
        history_days=len(past) - empty,
        outlooks=[_outlook(one) for one in outlooks(past, today, spent_today)],
        days=[_day(today + timedelta(days=place), place, ahead) for place in range(AHEAD_DAYS)],
    )


def _outlook(one: Outlook) -> OutlookOut:
    return OutlookOut(
        until=one.until,
        last_day=one.last.isoformat(),
        spent=money(one.spent_nano),
        expected=money(one.total_nano),
        low=money(one.low_nano),
        high=money(one.high_nano),
    )


def _day(day: date, place: int, told: Forecast) -> AheadOut:
    return AheadOut(
        day=day.isoformat(),
        expected=money(told.points[place]),
        low=money(told.low[place]),
        high=money(told.high[place]),
    )


def _span(asking: Asking[Query]) -> tuple[datetime, datetime]:
    now = asking.deps.now().astimezone(asking.window.since.tzinfo)
    first = min(now.date() - timedelta(days=HISTORY_DAYS), begin_of(now.date(), Until.YEAR))
    return midnight_of(now - timedelta(days=(now.date() - first).days)), now
