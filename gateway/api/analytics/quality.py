"""``GET /api/analytics/quality``: what was said of answers, by any two dimensions and day, and where it is worse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from typing import Final

from aiohttp import web
from pydantic import BaseModel, Field

from gateway.api.analytics.asking import Asking, PeriodOut, only_by, stamp, understood
from gateway.api.analytics.deps import AnalyticsDeps
from gateway.api.analytics.groups import named
from gateway.api.analytics.query import NAME, CutQuery
from gateway.api.analytics.verdicts import (
    KNOWN,
    QualityOut,
    ShareOut,
    quality_by,
    quality_fields,
    quality_out,
    share_out,
    utc_days,
)
from gateway.api.problems import ApiError, json_response
from gateway.api.routes import Endpoint
from storage.rollups.dimensions import Dimension, Group
from telemetry.insights.wilson import LEAST_SAMPLES, Slice, Weak, weak
from telemetry.quality import NOTHING, Measures, Share

LOOKED_AT: Final = (
    (Dimension.MODEL,),
    (Dimension.ROUTE_POLICY,),
    (Dimension.EXPERIMENT, Dimension.VARIANT),
    (Dimension.FEATURE,),
    (Dimension.PROMPT, Dimension.PROMPT_VERSION),
)
"""Where weak slices are looked for if nothing is grouped by."""
MOST_WEAK: Final = 50
Sums = Mapping[Group, Measures]


class QualityQuery(CutQuery):
    """Which calls, of which days, cut into groups."""

    least_samples: int = Field(
        default=LEAST_SAMPLES,
        ge=1,
        le=1_000_000,
        description="Fewest ratings by users of a slice that is called weak, and of all others together.",
    )


class QualityGroupOut(QualityOut):
    """One group of calls."""

    key: dict[str, str | None] = Field(description="Values of group_by; null: not set.")


class OtherQualityOut(QualityOut):
    """The groups beyond the limit, together."""

    groups: int


class QualityDayOut(QualityOut):
    """Calls that began on one UTC day."""

    day: str


class WeakOut(BaseModel):
    """Users are less satisfied with it than with everything else, beyond chance."""

    key: dict[str, str | None]
    satisfaction: ShareOut
    elsewhere: ShareOut = Field(description="Of all others together.")


class QualitySummaryOut(BaseModel):
    """groups and other add up to total, and so do the days."""

    period: PeriodOut
    total: QualityOut
    previous: QualityOut | None = Field(description="As many UTC days before.")
    group_by: list[str]
    groups: list[QualityGroupOut] = Field(description="Those most was said of first.")
    other: OtherQualityOut | None
    days: list[QualityDayOut] = Field(description="Those anything was said of.")
    weak: list[WeakOut] = Field(
        description="The worst first: of the groups; without group_by, of models, route policies, variants, features "
        "and prompt versions."
    )


class Quality:
    """Handler over the sums of ratings and outcomes by day."""

    def __init__(self, deps: AnalyticsDeps) -> None:
        self._deps = deps

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What this resource serves."""
        return (
            Endpoint(
                "/api/analytics/quality",
                self.show,
                "Satisfaction, acceptance, CSAT, containment, resolution, cost per good answer, and weak slices",
                QualitySummaryOut,
                QualityQuery,
                (400, 401, 403, 503),
            ),
        )

    async def show(self, request: web.Request) -> web.Response:
        """What was said of the answers of a period."""
        asking = await understood(request, self._deps, QualityQuery)
        query, by = asking.query, asking.group_by
        only_by(by, KNOWN, "Quality is not kept by", "group_by")
        total = (await _sums(asking, ())).get((), NOTHING)
        ranked = sorted((await _sums(asking, by)).items(), key=_rank) if by else []
        shown = ranked[: query.limit]
        since, until = utc_days(asking)
        days = await quality_by(asking, (), by_day=True) or {}
        return json_response(
            QualitySummaryOut(
                period=PeriodOut(
                    since=stamp(_midnight(since)),
                    until=stamp(_midnight(until)),
                    tz="UTC",
                    source="verdicts",
                ),
                total=quality_out(total),
                previous=await _previous(asking) if query.compare else None,
                group_by=[name.value for name in query.group_by],
                groups=[QualityGroupOut(**quality_fields(one), key=named(by, key)) for key, one in shown],
                other=_other(ranked[query.limit :]),
                days=[
                    QualityDayOut(**quality_fields(days[key]), day=str(key[0]))
                    for key in sorted(days, key=str)
                ],
                weak=await _weak(asking),
            )
        )


async def _sums(asking: Asking[QualityQuery], by: Sequence[Dimension]) -> Sums:
    """Raises :class:`ApiError` 400 for a filter by something that is not kept with ratings."""
    found = await quality_by(asking, by)
    if found is not None:
        return found
    only_by(asking.where, (*KNOWN, Dimension.USER), "Quality cannot be narrowed by", None)
    message = "Quality can be narrowed by one user, not by several and not by none."
    raise ApiError(400, "invalid_parameter", message, param=NAME[Dimension.USER].value)


async def _previous(asking: Asking[QualityQuery]) -> QualityOut:
    since, until = utc_days(asking)
    found = await quality_by(asking, (), (since - (until - since), since))
    return quality_out((found or {}).get((), NOTHING))


def _other(rest: Sequence[tuple[Group, Measures]]) -> OtherQualityOut | None:
    if not rest:
        return None
    together = sum((one for _, one in rest), NOTHING)
    return OtherQualityOut(**quality_fields(together), groups=len(rest))


async def _weak(asking: Asking[QualityQuery]) -> list[WeakOut]:
    found: list[tuple[Weak[Group], WeakOut]] = []
    for by in [asking.group_by] if asking.group_by else LOOKED_AT:
        slices = [Slice(key, one.user_good, one.user_count) for key, one in (await _sums(asking, by)).items()]
        good, count = sum(one.good for one in slices), sum(one.count for one in slices)
        for one in weak(slices, asking.query.least_samples):
            here = one.slice
            out = WeakOut(
                key=named(by, here.name),
                satisfaction=share_out(Share(here.good, here.count)),
                elsewhere=share_out(Share(good - here.good, count - here.count)),
            )
            found.append((one, out))
    found.sort(key=lambda one: (one[0].here.high, -one[0].slice.count))
    return [out for _, out in found[:MOST_WEAK]]


def _rank(one: tuple[Group, Measures]) -> tuple[int, tuple[str, ...]]:
    key, of = one
    return -of.calls, tuple(value or "" for value in key)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)
