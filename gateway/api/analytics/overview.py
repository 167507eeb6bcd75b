"""``GET /api/analytics``: a period at a glance. Usage, cost, speed, users, models, quality."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec
from aiohttp import web
from pydantic import BaseModel, Field

from gateway.api.analytics.asking import Asking, PeriodOut, Query, stamp, understood
from gateway.api.analytics.deps import AnalyticsDeps
from gateway.api.analytics.figures import (
    COMPONENT_NANO,
    SAVINGS,
    USAGE,
    ChangeOut,
    SavingsOut,
    SpeedOut,
    Tally,
    TotalOut,
    UsageOut,
    change_out,
    components_out,
    errors_out,
    ppm,
    rounded,
    savings_out,
    speed_out,
    tally_of,
    total_fields,
    total_out,
    usage_fields,
)
from gateway.api.analytics.groups import Cut, cut, named
from gateway.api.analytics.query import GroupQuery
from gateway.api.analytics.repriced import Beside, Missing, RepricedSumOut, RepricedSums, missing_of
from gateway.api.analytics.verdicts import QualityOut, quality_of
from gateway.api.models import MoneyOut
from gateway.api.problems import json_response
from gateway.api.routes import Endpoint
from gateway.api.views import money
from storage.queries.analytics.repriced import Later
from storage.rollups.dimensions import Dimension
from storage.rollups.measures import OutcomeClass
from storage.rollups.question import HistogramName, Sum

MEASURES: Final = (*USAGE, *COMPONENT_NANO, *SAVINGS, "overhead_us")
MODELS: Final = 5
_BY: Final = (Dimension.MODEL, Dimension.OUTCOME_CLASS)


class GlanceOut(UsageOut):
    """All calls of the period."""

    components: dict[str, MoneyOut] = Field(
        description="input, output, cache_read, cache_write, other; they add up."
    )
    savings: SavingsOut
    outcomes: dict[str, int] = Field(description="Calls by how they ended.")
    errors_by_kind: dict[str, int]
    mean_cost_per_call: MoneyOut = Field(description="Over the calls whose cost is known.")
    mean_overhead_us: int | None = Field(
        description="The gateway's own share of a call's duration, microseconds."
    )
    repriced: Beside


class PeopleOut(BaseModel):
    """Who made the calls."""

    users: int = Field(description="Different users by name, within their tenant; exact.")
    sessions: int
    sessions_exact: bool = Field(description="False: an estimate, within a few per cent.")


class ShareOfModelOut(TotalOut):
    """One of the models that cost most."""

    model: str | None
    share_ppm: int | None = Field(description="Of the total cost, parts per million.")


class PointOut(TotalOut):
    """One stretch of the series."""

    begin: str
    tokens: int = Field(description="Input and output.")
    errors: int


class OverviewGroupOut(UsageOut):
    """One group of calls."""

    key: dict[str, str | None] = Field(description="Values of group_by; null: not set.")
    share_ppm: int | None = Field(description="Of the total cost, parts per million.")
    repriced: Beside


class OtherUsageOut(UsageOut):
    """The groups beyond the limit, together."""

    groups: int
    repriced: Beside


class OverviewOut(BaseModel):
    """The series adds up to total, and so do groups and other, and models and other_models."""

    period: PeriodOut
    total: GlanceOut
    previous: GlanceOut | None
    change: ChangeOut | None
    speed: SpeedOut
    people: PeopleOut | None = Field(
        description="null where every call of more than 31 days would have to be read: by filters the sums do not know."
    )
    models: list[ShareOfModelOut]
    other_models: TotalOut | None
    group_by: list[str]
    groups: list[OverviewGroupOut]
    other: OtherUsageOut | None
    repriced_missing: Missing
    quality: QualityOut | None = Field(
        description="null where a filter is by something that is not kept with ratings."
    )
    bucket: str
    series: list[PointOut]


class Overview:
    """Handler over the sums."""

    def __init__(self, deps: AnalyticsDeps) -> None:
        self._deps = deps

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What this resource serves."""
        return (
            Endpoint(
                "/api/analytics",
                self.show,
                "A period at a glance: usage, cost, speed, users, models, quality",
                OverviewOut,
                GroupQuery,
                (400, 401, 403, 503),
            ),
        )

    async def show(self, request: web.Request) -> web.Response:
        """A period at a glance."""
        asking = await understood(request, self._deps, GroupQuery)
        by, bucket = asking.group_by, asking.bucket
        questions = [
            asking.question(MEASURES, group_by=_BY, bucket=bucket),
            asking.question(("calls",), histograms=tuple(HistogramName)),
        ]
        if asking.query.compare:
            before = asking.window.previous()
            questions.append(asking.question(MEASURES, group_by=(Dimension.OUTCOME_CLASS,), window=before))
        if by:
            questions.append(asking.question(USAGE, group_by=by))
        answers, later = await asking.totals(*questions), await _repriced(asking)
        repriced = RepricedSums(later[0])
        lines = answers[0].lines
        found = cut([msgspec.structs.replace(line, key=line.key[:1]) for line in lines], MODELS)
        groups = cut(answers[-1].lines if by else (), asking.query.limit)
        previous = tally_of(answers[2].lines) if asking.query.compare else None
        return json_response(
            OverviewOut(
                period=asking.period_out(answers[0]),
                total=_glance(found.total, lines, repriced.total),
                previous=None
                if previous is None
                else _glance(previous, answers[2].lines, RepricedSums(later[-1]).total),
                change=None if previous is None else change_out(found.total, previous),
                speed=speed_out(tally_of(answers[1].lines)),
                people=await _people(asking),
                models=models_out(found),
                other_models=None if found.other is None else total_out(found.other),
                group_by=[name.value for name in asking.query.group_by],
                groups=[
                    OverviewGroupOut(
                        **usage_fields(tally),
                        key=named(by, key),
                        share_ppm=ppm(tally["cost_nano"], found.total["cost_nano"]),
                        repriced=repriced.group(key),
                    )
                    for key, tally in groups.groups
                ],
                other=_other(groups, repriced),
                repriced_missing=missing_of(later[0]),
                quality=await quality_of(asking),
                bucket=bucket.value,
                series=[point_out(stamp(begin), tally) for begin, tally in found.series],
            )
        )


def models_out(of: Cut) -> list[ShareOfModelOut]:
    """The models that cost most."""
    return [
        ShareOfModelOut(
            **total_fields(tally), model=key[0], share_ppm=ppm(tally["cost_nano"], of.total["cost_nano"])
        )
        for key, tally in of.groups
    ]


async def _repriced(asking: Asking[GroupQuery]) -> list[Later]:
    """Of the period, and of the one before if that is asked for."""
    questions = [asking.question(MEASURES, group_by=asking.group_by)]
    if asking.query.compare:
        questions.append(asking.question(MEASURES, window=asking.window.previous()))
    return await asking.repriced(*questions)


def _other(of: Cut, repriced: RepricedSums) -> OtherUsageOut | None:
    if of.other is None:
        return None
    later = repriced.others({key for key, _ in of.groups})
    return OtherUsageOut(**usage_fields(of.other), groups=of.other_groups, repriced=later)


def _glance(of: Tally, lines: Iterable[Sum], repriced: RepricedSumOut | None) -> GlanceOut:
    outcomes = dict.fromkeys((one.value for one in OutcomeClass), 0)
    for line in lines:
        outcomes[line.key[-1] or ""] += line.sums["calls"]
    priced = of["calls"] - of["unpriced_calls"] - of["invalid_calls"]
    return GlanceOut(
        **usage_fields(of),
        components=components_out(of),
        savings=savings_out(of),
        outcomes=outcomes,
        errors_by_kind=errors_out(of),
        mean_cost_per_call=money(rounded(of["cost_nano"], priced)),
        mean_overhead_us=rounded(of["overhead_us"], of["calls"]),
        repriced=repriced,
    )


def point_out(begin: str, of: Tally) -> PointOut:
    """One stretch of a series."""
    tokens = of["input_tokens"] + of["output_tokens"]
    return PointOut(**total_fields(of), begin=begin, tokens=tokens, errors=of.errors)


async def _people(asking: Asking[Query]) -> PeopleOut | None:
    if not asking.counts_people:
        return None
    found = await asking.people()
    return PeopleOut(users=found.users, sessions=found.sessions.count, sessions_exact=found.sessions.exact)
