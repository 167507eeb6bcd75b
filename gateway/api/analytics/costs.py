"""``GET /api/analytics/costs``: what was spent, by any two dimensions and over time, and what routing saved."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from aiohttp import web
from pydantic import BaseModel, Field

from gateway.api.analytics.asking import Asking, PeriodOut, stamp, understood
from gateway.api.analytics.deps import AnalyticsDeps
from gateway.api.analytics.figures import (
    COMPONENT_NANO,
    COUNTED,
    SAVINGS,
    TOKENS,
    ChangeOut,
    SavingsOut,
    Tally,
    TokenCountsOut,
    TotalOut,
    change_out,
    components_out,
    ppm,
    savings_out,
    tokens_out,
    total_fields,
    total_out,
)
from gateway.api.analytics.groups import Cut, cut, named
from gateway.api.analytics.outlook import ForecastOut, forecast_out, history_question
from gateway.api.analytics.query import GroupQuery
from gateway.api.analytics.repriced import Beside, Missing, RepricedSumOut, RepricedSums, missing_of
from gateway.api.models import MoneyOut
from gateway.api.problems import json_response
from gateway.api.routes import Endpoint

MEASURES: Final = (*COUNTED, *COMPONENT_NANO, *SAVINGS, *TOKENS)
ERRORS: Final = (400, 401, 403, 503)


class SpentOut(TotalOut):
    """What calls cost, taken apart."""

    components: dict[str, MoneyOut] = Field(
        description="input, output, cache_read, cache_write, other; they add up."
    )
    tokens: TokenCountsOut
    savings: SavingsOut
    repriced: Beside


class CostGroupOut(SpentOut):
    """One group of calls."""

    key: dict[str, str | None] = Field(description="Values of group_by; null: not set.")
    share_ppm: int | None = Field(description="Of the total cost, parts per million.")
    change: ChangeOut | None = None


class OtherGroupsOut(SpentOut):
    """The groups beyond the limit, together."""

    groups: int
    share_ppm: int | None


class CostPointOut(BaseModel):
    """One stretch of the series."""

    begin: str
    total: TotalOut
    groups: list[TotalOut] = Field(description="In the order of groups; empty without group_by.")
    other: TotalOut | None = Field(description="What is left of the total.")


class CostsQuery(GroupQuery):
    """Which calls, of which time, cut into groups."""

    forecast: bool = Field(default=True, description="Also what will be spent.")


class CostsOut(BaseModel):
    """groups and other add up to total, and so does the series."""

    period: PeriodOut
    total: SpentOut
    previous: SpentOut | None = Field(description="The period before, as long.")
    change: ChangeOut | None
    group_by: list[str]
    groups: list[CostGroupOut]
    other: OtherGroupsOut | None
    repriced_missing: Missing
    bucket: str
    series: list[CostPointOut]
    forecast: ForecastOut | None = Field(
        description="null: not asked for, or nothing was spent before today."
    )


class Costs:
    """Handler over the sums."""

    def __init__(self, deps: AnalyticsDeps) -> None:
        self._deps = deps

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What this resource serves."""
        return (
            Endpoint(
                "/api/analytics/costs",
                self.show,
                "What was spent, by any two dimensions and over time",
                CostsOut,
                CostsQuery,
                ERRORS,
            ),
        )

    async def show(self, request: web.Request) -> web.Response:
        """The costs of a period."""
        return json_response(await costs_of(await understood(request, self._deps, CostsQuery)))


async def costs_of(asking: Asking[CostsQuery]) -> CostsOut:
    """The costs of a period. Raises :class:`ApiError` 400 and :class:`storage.store.StoreUnavailable`."""
    by, bucket, query = asking.group_by, asking.bucket, asking.query
    questions = [asking.question(MEASURES, group_by=by, bucket=bucket)]
    if query.compare:
        questions.append(asking.question(MEASURES, group_by=by, window=asking.window.previous()))
    history = history_question(asking) if query.forecast else None
    if history is None:
        answers, days = await asking.totals(*questions), None
    else:  # what is foretold need not be of the same moment to the millisecond
        answers, (days,) = await asyncio.gather(asking.totals(*questions), asking.totals(history))
    later = await asking.repriced(*questions)
    now = cut(answers[0].lines, query.limit)
    before = cut(answers[1].lines, len(answers[1].lines)) if query.compare else None
    repriced = [RepricedSums(one) for one in later]
    return CostsOut(
        period=asking.period_out(answers[0]),
        total=SpentOut(**spent(now.total, repriced[0].total)),
        previous=None if before is None else SpentOut(**spent(before.total, repriced[-1].total)),
        change=None if before is None else change_out(now.total, before.total),
        group_by=[name.value for name in query.group_by],
        groups=_groups(asking, now, before, repriced[0]),
        other=_other(now, repriced[0]),
        repriced_missing=missing_of(later[0]),
        bucket=bucket.value,
        series=_series(now, grouped=bool(by)),
        forecast=None if days is None else forecast_out(asking, days),
    )


def spent(of: Tally, repriced: RepricedSumOut | None) -> dict[str, Any]:
    """The fields of :class:`SpentOut`."""
    return {
        **total_fields(of),
        "components": components_out(of),
        "tokens": tokens_out(of),
        "savings": savings_out(of),
        "repriced": repriced,
    }


def _groups(
    asking: Asking[CostsQuery], now: Cut, before: Cut | None, repriced: RepricedSums
) -> list[CostGroupOut]:
    if not asking.group_by:
        return []
    known = {} if before is None else dict(before.groups)
    return [
        CostGroupOut(
            **spent(tally, repriced.group(key)),
            key=named(asking.group_by, key),
            share_ppm=ppm(tally["cost_nano"], now.total["cost_nano"]),
            change=None if before is None else change_out(tally, known.get(key, Tally())),
        )
        for key, tally in now.groups
    ]


def _other(of: Cut, repriced: RepricedSums) -> OtherGroupsOut | None:
    if of.other is None:
        return None
    share = ppm(of.other["cost_nano"], of.total["cost_nano"])
    later = repriced.others({key for key, _ in of.groups})
    return OtherGroupsOut(**spent(of.other, later), groups=of.other_groups, share_ppm=share)


def _series(of: Cut, *, grouped: bool) -> list[CostPointOut]:
    return [
        CostPointOut(
            begin=stamp(begin),
            total=total_out(total),
            groups=[total_out(part) for part in parts[:-1]] if grouped else [],
            other=None if of.other is None else total_out(parts[-1]),
        )
        for (begin, total), parts in zip(of.series, of.parts, strict=True)
    ]
