"""``GET /api/analytics/anomalies``: hours or days that do not fit those around them."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
from aiohttp import web
from pydantic import BaseModel, Field

from gateway.api.analytics.asking import MOST_DAYS_OF_CALLS, Asking, PeriodOut, stamp, understood
from gateway.api.analytics.deps import AnalyticsDeps
from gateway.api.analytics.figures import COUNTED, ERRORS, Tally, TotalOut, total_out
from gateway.api.analytics.groups import Cut, cut, named
from gateway.api.analytics.period import Window, midnight_of
from gateway.api.analytics.query import GroupQuery
from gateway.api.models import MoneyOut
from gateway.api.problems import json_response
from gateway.api.routes import Endpoint
from gateway.api.views import money
from storage.rollups.question import Bucket
from telemetry.insights.anomaly import DAILY, WEEKLY, Anomaly, Direction, anomalies

MEASURES: Final = (*COUNTED, "input_tokens", "output_tokens", *ERRORS)
HISTORY: Final = {Bucket.DAY: timedelta(days=90), Bucket.HOUR: timedelta(days=14)}
"""What odd ones are compared with, at least, up to the end of the period."""
HISTORY_OF_CALLS: Final = timedelta(days=MOST_DAYS_OF_CALLS)
"""The same where every call of it has to be read."""
_SEASON: Final = {Bucket.DAY: WEEKLY, Bucket.HOUR: DAILY}
_STEP: Final = {Bucket.DAY: timedelta(days=1), Bucket.HOUR: timedelta(hours=1)}
MOST_SHOWN: Final = 50


class Measure(enum.StrEnum):
    """What is looked at."""

    COST = "cost"
    CALLS = "calls"
    TOKENS = "tokens"
    ERRORS = "errors"


class AnomaliesQuery(GroupQuery):
    """Which calls, and what of them."""

    measure: Measure = Field(default=Measure.COST, description="What is looked at.")
    limit: int = Field(
        default=10,
        ge=1,
        le=MOST_SHOWN,
        description="With group_by, the most expensive groups are looked at, each by itself: so many.",
    )


class AnomalyAmountOut(BaseModel):
    """A whole number of nano-USD, calls or tokens; money also as such."""

    value: int
    money: MoneyOut | None = None


class AnomalyOut(BaseModel):
    """An hour or day that does not fit."""

    begin: str
    key: dict[str, str | None] = Field(description="The group; empty: all calls.")
    direction: Direction
    value: AnomalyAmountOut
    expected: AnomalyAmountOut
    low: AnomalyAmountOut = Field(description="Below it a value stands out.")
    high: AnomalyAmountOut = Field(description="Above it a value stands out.")
    score_ppm: int = Field(description="Millionths of the usual distance from what is expected.")
    total: TotalOut = Field(description="The calls of that hour or day.")


class AnomaliesOut(BaseModel):
    """The newest first."""

    period: PeriodOut = Field(description="What is looked for; more is looked at to know what is usual.")
    measure: Measure
    bucket: str
    compared_since: str
    series: int = Field(description="How many series were looked at: one, or one for each group.")
    anomalies: list[AnomalyOut]


class Anomalies:
    """Handler over the sums."""

    def __init__(self, deps: AnalyticsDeps) -> None:
        self._deps = deps

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What this resource serves."""
        return (
            Endpoint(
                "/api/analytics/anomalies",
                self.show,
                "Hours or days that do not fit those around them",
                AnomaliesOut,
                AnomaliesQuery,
                (400, 401, 403, 503),
            ),
        )

    async def show(self, request: web.Request) -> web.Response:
        """What stands out in a period."""
        asking = await understood(request, self._deps, AnomaliesQuery)
        query, by, bucket = asking.query, asking.group_by, asking.bucket
        window = _looked_at(asking.window, bucket, HISTORY[bucket])
        question = asking.question(MEASURES, group_by=by, bucket=bucket, window=window)
        if asking.reads_calls(question):
            window = _looked_at(asking.window, bucket, min(HISTORY[bucket], HISTORY_OF_CALLS))
            question = asking.question(MEASURES, group_by=by, bucket=bucket, window=window)
        [answer] = await asking.totals(question)
        found = cut(answer.lines, query.limit)
        told = [
            anomaly
            for place, (key, _) in enumerate(found.groups)
            for anomaly in _odd(asking, found, place, named(by, key), window, bucket)
        ]
        told.sort(key=lambda one: (one.begin, one.score_ppm), reverse=True)
        return json_response(
            AnomaliesOut(
                period=asking.period_out(answer).model_copy(update={"since": stamp(asking.window.since)}),
                measure=query.measure,
                bucket=bucket.value,
                compared_since=stamp(window.since),
                series=len(found.groups),
                anomalies=told,
            )
        )


def _looked_at(window: Window, bucket: Bucket, history: timedelta) -> Window:
    """The period with enough before it; whole days or hours."""
    since = min(window.since, window.until - history)
    if bucket is Bucket.DAY:
        return msgspec.structs.replace(window, since=midnight_of(since))
    hour = since.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return msgspec.structs.replace(window, since=hour.astimezone(since.tzinfo))


def _odd(
    asking: Asking[AnomaliesQuery],
    found: Cut,
    place: int,
    key: dict[str, str | None],
    window: Window,
    bucket: Bucket,
) -> Iterator[AnomalyOut]:
    measure = asking.query.measure
    series = zip(found.series, found.parts, strict=True)
    tallies = {begin.timestamp(): parts[place] for (begin, _), parts in series}
    begins = list(_begins(window, bucket))
    # Whoever began later was not there before: empty hours or days before the first call are no history.
    known = [begin.timestamp() in tallies for begin in begins]
    begins = begins[known.index(True) if True in known else len(begins) :]
    values = [value_of(tallies.get(begin.timestamp(), Tally()), measure) for begin in begins]
    for one in anomalies(values, _SEASON[bucket]):
        begin = begins[one.index]
        if begin.astimezone(UTC) + _STEP[bucket] > asking.window.since:
            yield _out(one, measure, begin, key, tallies.get(begin.timestamp(), Tally()))


def _begins(window: Window, bucket: Bucket) -> Iterator[datetime]:
    """Of all hours or days that are over."""
    begin = window.since
    while True:
        # Days are those of the wall clock, hours are not.
        after = (
            midnight_of(begin + _STEP[bucket] + timedelta(hours=2))
            if bucket is Bucket.DAY
            else (begin.astimezone(UTC) + _STEP[bucket]).astimezone(begin.tzinfo)
        )
        if after > window.until:
            return
        yield begin
        begin = after


def value_of(of: Tally, measure: Measure) -> int:
    """What is looked at."""
    match measure:
        case Measure.COST:
            return of["cost_nano"]
        case Measure.CALLS:
            return of["calls"]
        case Measure.TOKENS:
            return of["input_tokens"] + of["output_tokens"]
        case Measure.ERRORS:
            return of.errors


def _out(
    one: Anomaly, measure: Measure, begin: datetime, key: dict[str, str | None], of: Tally
) -> AnomalyOut:
    def amount(value: int) -> AnomalyAmountOut:
        return AnomalyAmountOut(value=value, money=money(value) if measure is Measure.COST else None)

    return AnomalyOut(
        begin=stamp(begin),
        key=key,
        direction=one.direction,
        value=amount(one.value),
        expected=amount(one.expected),
        low=amount(one.low),
        high=amount(one.high),
        score_ppm=one.score_ppm,
        total=total_out(of),
    )
