"""``GET /api/analytics/models``: what each model is used for, how fast and how reliable it is, and what it is worth."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web
from pydantic import BaseModel, Field

from gateway.api.analytics.asking import PeriodOut, understood
from gateway.api.analytics.deps import AnalyticsDeps
from gateway.api.analytics.figures import (
    USAGE,
    ChangeOut,
    SpeedOut,
    Tally,
    UsageOut,
    change_out,
    errors_out,
    ppm,
    rounded,
    speed_out,
    usage_fields,
    usage_out,
)
from gateway.api.analytics.groups import Cut, cut
from gateway.api.analytics.query import DEFAULT_GROUPS, DIMENSION, MOST_GROUPS, CutQuery
from gateway.api.analytics.verdicts import QualityOut, quality_by, quality_out
from gateway.api.models import MoneyOut
from gateway.api.problems import json_response
from gateway.api.routes import Endpoint
from gateway.api.views import money
from storage.rollups.dimensions import Dimension
from storage.rollups.question import HistogramName
from telemetry.quality import Measures

BY: Final = (Dimension.PROVIDER, Dimension.MODEL)


class ModelsQuery(CutQuery):
    """Which calls, and how many models; with ``group_by`` each model within each group."""

    limit: int = Field(
        default=DEFAULT_GROUPS,
        ge=1,
        le=MOST_GROUPS,
        description="Most models; all others together are 'other'.",
    )


class ModelUseOut(UsageOut):
    """What calls of one model come to."""

    calls_share_ppm: int | None = Field(description="Of all calls, parts per million.")
    cost_share_ppm: int | None = Field(description="Of the total cost, parts per million.")
    errors_by_kind: dict[str, int]
    speed: SpeedOut
    cost_per_1000_calls: MoneyOut = Field(description="Over the calls whose cost is known.")
    cost_per_million_tokens: MoneyOut = Field(
        description="Cost over all tokens of all calls; a lower bound where calls are unpriced."
    )


class ModelOut(ModelUseOut):
    """One model at one provider."""

    provider: str
    model: str | None
    key: dict[str, str | None] = Field(description="Values of group_by; null: not set.")
    change: ChangeOut | None
    quality: QualityOut | None = Field(
        description="What was said of its answers; null where a filter is by something that is not kept with ratings."
    )


class OtherModelsOut(ModelUseOut):
    """The models beyond the limit, together."""

    models: int


class ModelsOut(BaseModel):
    """models and other add up to total."""

    period: PeriodOut
    total: UsageOut
    group_by: list[str]
    models: list[ModelOut]
    other: OtherModelsOut | None


class Models:
    """Handler over the sums."""

    def __init__(self, deps: AnalyticsDeps) -> None:
        self._deps = deps

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What this resource serves."""
        return (
            Endpoint(
                "/api/analytics/models",
                self.show,
                "Models: share, speed, errors, cost per 1000 calls, quality",
                ModelsOut,
                ModelsQuery,
                (400, 401, 403, 503),
            ),
        )

    async def show(self, request: web.Request) -> web.Response:
        """The models of a period."""
        asking = await understood(request, self._deps, ModelsQuery)
        by = (*BY, *(one for one in asking.group_by if one not in BY))
        questions = [asking.question(USAGE, group_by=by, histograms=tuple(HistogramName))]
        if asking.query.compare:
            questions.append(
                asking.question(("calls", "cost_nano"), group_by=by, window=asking.window.previous())
            )
        answers = await asking.totals(*questions)
        found = cut(answers[0].lines, asking.query.limit)
        before = None if len(answers) == 1 else dict(cut(answers[1].lines, len(answers[1].lines)).groups)
        judged = await quality_by(asking, by)
        return json_response(
            ModelsOut(
                period=asking.period_out(answers[0]),
                total=usage_out(found.total),
                group_by=[name.value for name in asking.query.group_by],
                models=[
                    ModelOut(
                        **_use(tally, found.total),
                        provider=key[0] or "",
                        model=key[1],
                        key={name.value: key[by.index(DIMENSION[name])] for name in asking.query.group_by},
                        change=None if before is None else change_out(tally, before.get(key, Tally())),
                        quality=None if judged is None else quality_out(judged.get(key, Measures())),
                    )
                    for key, tally in found.groups
                ],
                other=_other(found),
            )
        )


def _other(found: Cut) -> OtherModelsOut | None:
    if found.other is None:
        return None
    return OtherModelsOut(**_use(found.other, found.total), models=found.other_groups)


def _use(of: Tally, total: Tally) -> dict[str, Any]:
    priced = of["calls"] - of["unpriced_calls"] - of["invalid_calls"]
    tokens = of["input_tokens"] + of["output_tokens"]
    return {
        **usage_fields(of),
        "calls_share_ppm": ppm(of["calls"], total["calls"]),
        "cost_share_ppm": ppm(of["cost_nano"], total["cost_nano"]),
        "errors_by_kind": errors_out(of),
        "speed": speed_out(of),
        "cost_per_1000_calls": money(rounded(of["cost_nano"] * 1000, priced)),
        "cost_per_million_tokens": money(rounded(of["cost_nano"] * 1_000_000, tokens)),
    }
