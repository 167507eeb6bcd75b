"""``GET /api/analytics/realtime``: the last hour by the minute, from the calls themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from aiohttp import web
from pydantic import BaseModel, Field

from gateway.api.analytics.asking import Asking, checked, stamp
from gateway.api.analytics.deps import AnalyticsDeps
from gateway.api.analytics.figures import (
    USAGE,
    PercentilesOut,
    SpeedOut,
    Tally,
    TotalOut,
    UsageOut,
    errors_out,
    percentiles_out,
    speed_out,
    total_out,
    usage_out,
)
from gateway.api.analytics.groups import cut
from gateway.api.analytics.overview import MODELS, PointOut, ShareOfModelOut, models_out, point_out
from gateway.api.analytics.period import Period, Window
from gateway.api.analytics.query import Filters
from gateway.api.parameters import parse_query
from gateway.api.problems import json_response
from gateway.api.routes import Endpoint
from gateway.api.viewer import viewer_of
from storage.queries.analytics.minutes import Minute
from storage.rollups.histogram import Histogram
from storage.rollups.question import Sum

MINUTES: Final = 60


class RealtimeOut(BaseModel):
    """The series adds up to total, and so do models and other_models."""

    since: str
    until: str
    total: UsageOut
    errors_by_kind: dict[str, int]
    speed: SpeedOut
    overhead_us: PercentilesOut = Field(description="The gateway's own share of durations, microseconds.")
    models: list[ShareOfModelOut]
    other_models: TotalOut | None
    series: list[PointOut] = Field(description="One for each minute; the last one is not over.")


class Realtime:
    """Handler over the calls of the last hour."""

    def __init__(self, deps: AnalyticsDeps) -> None:
        self._deps = deps

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What this resource serves."""
        return (
            Endpoint(
                "/api/analytics/realtime",
                self.show,
                "The last hour by the minute",
                RealtimeOut,
                Filters,
                (400, 401, 403, 503),
            ),
        )

    async def show(self, request: web.Request) -> web.Response:
        """The last 60 minutes, the current one among them."""
        now = self._deps.now()
        since = now.replace(second=0, microsecond=0) - timedelta(minutes=MINUTES - 1)
        window = Window(Period.HOURS_24, since, now, "UTC")
        query = parse_query(request.query, Filters)
        asking = await checked(Asking(self._deps, viewer_of(request), query, window))
        conditions = asking.question(()).conditions
        found = await self._deps.figures.minutes(conditions, USAGE, since)
        hour = cut(_lines(found, since), MODELS)
        overheads: Counter[int] = Counter()
        for minute in found:
            overheads.update(minute.overheads.counts)
        series = dict(hour.series)
        return json_response(
            RealtimeOut(
                since=stamp(since),
                until=stamp(now),
                total=usage_out(hour.total),
                errors_by_kind=errors_out(hour.total),
                speed=speed_out(hour.total),
                overhead_us=percentiles_out(Histogram(overheads)),
                models=models_out(hour),
                other_models=None if hour.other is None else total_out(hour.other),
                series=[
                    point_out(stamp(begin), series.get(begin, Tally()))
                    for begin in (since + timedelta(minutes=number) for number in range(MINUTES))
                ],
            )
        )


def _lines(found: Iterable[Minute], since: datetime) -> list[Sum]:
    """What began later than now belongs to the last minute: clocks of other machines may be ahead."""
    last = since + timedelta(minutes=MINUTES - 1)
    return [
        Sum(
            (one.model,),
            min(last, datetime.fromtimestamp(one.minute * 60, UTC)),
            one.sums,
            one.histograms,
        )
        for one in found
    ]
