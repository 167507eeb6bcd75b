"""``GET /api/analytics/performance``: how fast and how reliable calls were, over time and by any two dimensions."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web
from pydantic import BaseModel, Field

from gateway.api.analytics.asking import PeriodOut, stamp, understood
from gateway.api.analytics.deps import AnalyticsDeps
from gateway.api.analytics.figures import (
    ERRORS,
    SpeedOut,
    Tally,
    errors_out,
    ppm,
    rounded,
    speed_out,
    tally_of,
)
from gateway.api.analytics.groups import cut, named
from gateway.api.analytics.query import GroupQuery
from gateway.api.problems import json_response
from gateway.api.routes import Endpoint
from storage.rollups.question import HistogramName

MEASURES: Final = ("calls", "streams", "duration_us", "overhead_us", "rate_tokens", "rate_us", *ERRORS)


class PaceOut(BaseModel):
    """Speed and errors of calls."""

    calls: int
    streams: int
    errors: int = Field(description="Failed calls and errors of providers; not calls cancelled or refused.")
    error_rate_ppm: int | None
    errors_by_kind: dict[str, int]
    speed: SpeedOut
    mean_duration_us: int | None
    mean_overhead_us: int | None = Field(description="The gateway's own share of the duration, microseconds.")
    mean_tokens_per_1000_s: int | None = Field(
        description="All tokens by all the time they took, in thousandths of a token a second."
    )


class PaceGroupOut(PaceOut):
    """One group of calls."""

    key: dict[str, str | None] = Field(description="Values of group_by; null: not set.")


class OtherPaceOut(PaceOut):
    """The groups beyond the limit, together."""

    groups: int


class PacePointOut(PaceOut):
    """One stretch of the series."""

    begin: str


class PerformanceOut(BaseModel):
    """groups and other add up to total, and so does the series."""

    period: PeriodOut
    total: PaceOut
    previous: PaceOut | None
    group_by: list[str]
    groups: list[PaceGroupOut] = Field(description="Those with most calls first.")
    other: OtherPaceOut | None
    bucket: str
    series: list[PacePointOut]


class Performance:
    """Handler over the sums."""

    def __init__(self, deps: AnalyticsDeps) -> None:
        self._deps = deps

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What this resource serves."""
        return (
            Endpoint(
                "/api/analytics/performance",
                self.show,
                "Latency, time to first byte, speed, errors and overhead",
                PerformanceOut,
                GroupQuery,
                (400, 401, 403, 503),
            ),
        )

    async def show(self, request: web.Request) -> web.Response:
        """How calls of a period ran."""
        asking = await understood(request, self._deps, GroupQuery)
        by, bucket, histograms = asking.group_by, asking.bucket, tuple(HistogramName)
        questions = [asking.question(MEASURES, bucket=bucket, histograms=histograms)]
        if by:
            questions.append(asking.question(MEASURES, group_by=by, histograms=histograms))
        if asking.query.compare:
            previous = asking.window.previous()
            questions.append(asking.question(MEASURES, histograms=histograms, window=previous))
        answers = await asking.totals(*questions)
        found = cut(answers[0].lines, 1)
        groups = cut(answers[1].lines, asking.query.limit) if by else None
        other = None if groups is None else groups.other
        return json_response(
            PerformanceOut(
                period=asking.period_out(answers[0]),
                total=PaceOut(**_pace(found.total)),
                previous=PaceOut(**_pace(tally_of(answers[-1].lines))) if asking.query.compare else None,
                group_by=[name.value for name in asking.query.group_by],
                groups=[
                    PaceGroupOut(**_pace(tally), key=named(by, key))
                    for key, tally in (() if groups is None else groups.groups)
                ],
                other=None
                if groups is None or other is None
                else OtherPaceOut(**_pace(other), groups=groups.other_groups),
                bucket=bucket.value,
                series=[PacePointOut(**_pace(tally), begin=stamp(begin)) for begin, tally in found.series],
            )
        )


def _pace(of: Tally) -> dict[str, Any]:
    return {
        "calls": of["calls"],
        "streams": of["streams"],
        "errors": of.errors,
        "error_rate_ppm": ppm(of.errors, of["calls"]),
        "errors_by_kind": errors_out(of),
        "speed": speed_out(of),
        "mean_duration_us": rounded(of["duration_us"], of["calls"]),
        "mean_overhead_us": rounded(of["overhead_us"], of["calls"]),
        "mean_tokens_per_1000_s": rounded(of["rate_tokens"] * 1_000_000_000, of["rate_us"]),
    }
