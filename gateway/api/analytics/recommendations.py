"""``GET /api/analytics/recommendations``: what could cost less, why, how much, and how sure that is."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from aiohttp import web
from pydantic import BaseModel, Field

from gateway.api.analytics.asking import PeriodOut, only_by, understood
from gateway.api.analytics.deps import AnalyticsDeps
from gateway.api.analytics.figures import COUNTED, TotalOut, tally_of, total_out
from gateway.api.analytics.query import PeriodQuery
from gateway.api.models import MoneyOut
from gateway.api.problems import json_response
from gateway.api.routes import Endpoint
from gateway.api.views import money
from storage.rollups.dimensions import DIMENSIONS, Dimension
from telemetry.insights.recommend import Kind, Recommendation, recommendations

FILTERS: Final = tuple(name for name in DIMENSIONS if name is not Dimension.OUTCOME_CLASS)
"""Dimensions that sums, verdicts and calls all have."""
_AHEAD: Final = timedelta(minutes=5)
"""A period that ends now has calls of machines whose clocks are ahead."""
_NOTHING: Final = timedelta()


class RecommendationsQuery(PeriodQuery):
    """Which calls, and how many of the recommendations."""

    limit: int = Field(
        default=20, ge=1, le=100, description="Most recommendations, what is worth most first."
    )


class RecommendationOut(BaseModel):
    """Something to do."""

    kind: Kind
    subject: str = Field(description="What it is about: feature and model, or a feature.")
    text: str
    evidence: dict[str, int] = Field(description="What it follows from; names end in their unit.")
    saving_30_days: MoneyOut = Field(description="0 where it saves risk and not money.")
    confidence_ppm: int


class RecommendationsOut(BaseModel):
    """Rules, and what they take for granted: docs/insights.md."""

    period: PeriodOut
    total: TotalOut = Field(description="The calls they rest on.")
    saving_30_days: MoneyOut = Field(description="Of those listed, together; they may overlap.")
    recommendations: list[RecommendationOut]
    more: int = Field(description="Recommendations beyond the limit.")


class Recommendations:
    """Handler over the facts."""

    def __init__(self, deps: AnalyticsDeps) -> None:
        self._deps = deps

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What this resource serves."""
        return (
            Endpoint(
                "/api/analytics/recommendations",
                self.show,
                "What could cost less, with evidence, saving and confidence",
                RecommendationsOut,
                RecommendationsQuery,
                (400, 401, 403, 503),
            ),
        )

    async def show(self, request: web.Request) -> web.Response:
        """What a period tells."""
        asking = await understood(request, self._deps, RecommendationsQuery)
        only_by(asking.where, FILTERS, "Recommendations cannot be narrowed by", None)
        [totals] = await asking.totals(asking.question(COUNTED))
        since, until = (
            asking.window.since,
            asking.window.until + (_AHEAD if asking.window.open_end else _NOTHING),
        )
        facts = await self._deps.figures.facts(since, until, asking.where, asking.viewer.scope)
        found = recommendations(facts)
        shown = found[: asking.query.limit]
        return json_response(
            RecommendationsOut(
                period=asking.period_out(totals),
                total=total_out(tally_of(totals.lines)),
                saving_30_days=money(sum(one.saving_nano for one in shown)),
                recommendations=[_out(one) for one in shown],
                more=len(found) - len(shown),
            )
        )


def _out(one: Recommendation) -> RecommendationOut:
    return RecommendationOut(
        kind=one.kind,
        subject=one.subject,
        text=one.text,
        evidence=dict(one.evidence),
        saving_30_days=money(one.saving_nano),
        confidence_ppm=one.confidence_ppm,
    )
