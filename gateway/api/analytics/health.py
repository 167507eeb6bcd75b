"""``GET /api/analytics/health-score``: how well each app does, as one number, and what it is made of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from aiohttp import web
from pydantic import BaseModel, Field

from gateway.api.analytics.asking import PeriodOut, understood
from gateway.api.analytics.deps import AnalyticsDeps
from gateway.api.analytics.figures import COUNTED, Tally, TotalOut, total_fields
from gateway.api.analytics.groups import named
from gateway.api.analytics.query import DIMENSION, Name, PeriodQuery
from gateway.api.analytics.verdicts import quality_by
from gateway.api.problems import json_response
from gateway.api.routes import Endpoint
from storage.rollups.dimensions import Dimension, Group
from storage.rollups.measures import OutcomeClass
from storage.rollups.question import HistogramName, Sum
from telemetry.insights.health import HealthFacts, Part, health_score
from telemetry.quality import NOTHING, Measures

MEASURES: Final = (*COUNTED, "input_tokens", "cache_read_tokens")
_FAILED: Final = (OutcomeClass.FAILED.value, OutcomeClass.PROVIDER_ERROR.value)


class HealthQuery(PeriodQuery):
    """Which calls, and what an app is."""

    by: Name = Field(default=Name.FEATURE, description="What tells apps from each other.")
    limit: int = Field(default=20, ge=1, le=200, description="Most apps, those with most spend first.")


class PartOut(BaseModel):
    """One part of a score."""

    part: Part
    score: int = Field(description="From 0 to 100.")
    weight: int = Field(description="Among the weights of the parts that are known.")
    value_ppm: int = Field(description="The share or factor it was judged by, in millionths.")


class ScoreOut(TotalOut):
    """How well calls do."""

    score: int | None = Field(description="From 0 to 100; null: too little is known.")
    parts: list[PartOut] = Field(
        description="What the score is made of; what is not known has no part in it."
    )
    failed: int = Field(description="Calls that failed, and errors of providers.")
    judged_calls: int = Field(description="Calls with a verdict, good or not.")


class AppScoreOut(ScoreOut):
    """One app."""

    key: dict[str, str | None]


class HealthScoresOut(BaseModel):
    """Formula and marks: docs/insights.md."""

    period: PeriodOut
    by: Name
    overall: ScoreOut
    apps: list[AppScoreOut]
    more_apps: int = Field(description="Apps beyond the limit.")


class Health:
    """Handler over the sums and the verdicts."""

    def __init__(self, deps: AnalyticsDeps) -> None:
        self._deps = deps

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What this resource serves."""
        return (
            Endpoint(
                "/api/analytics/health-score",
                self.show,
                "How well each app does, as one number and its parts",
                HealthScoresOut,
                HealthQuery,
                (400, 401, 403, 503),
            ),
        )

    async def show(self, request: web.Request) -> web.Response:
        """The scores of a period."""
        asking = await understood(request, self._deps, HealthQuery)
        by = DIMENSION[asking.query.by]
        group = (by,) if by is Dimension.OUTCOME_CLASS else (by, Dimension.OUTCOME_CLASS)
        duration = (HistogramName.DURATION,)
        answers = await asking.totals(
            asking.question(MEASURES, group_by=group, histograms=duration),
            asking.question(MEASURES, group_by=group, histograms=duration, window=asking.window.previous()),
        )
        now, before = (_apps(answer.lines) for answer in answers)
        verdicts = await quality_by(asking, (by,)) or {}
        shown = sorted(
            now, key=lambda key: (-now[key].all["cost_nano"], -now[key].all["calls"], key[0] or "")
        )
        total, earlier = (_together(apps.values()) for apps in (now, before))
        return json_response(
            HealthScoresOut(
                period=asking.period_out(answers[0]),
                by=asking.query.by,
                overall=ScoreOut(**_score(total, earlier, sum(verdicts.values(), NOTHING))),
                apps=[
                    AppScoreOut(
                        **_score(now[key], before.get(key, App()), verdicts.get(key, NOTHING)),
                        key=named((by,), key),
                    )
                    for key in shown[: asking.query.limit]
                ],
                more_apps=len(shown[asking.query.limit :]),
            )
        )


class App:
    """Calls of one app, and those of them that failed."""

    __slots__ = ("all", "failed")

    def __init__(self) -> None:
        self.all = Tally()
        self.failed = Tally()

    @property
    def p95_us(self) -> int | None:
        """Of all its calls."""
        return self.all.histogram(HistogramName.DURATION).percentile(95)

    @property
    def priced(self) -> int:
        """Calls whose cost is known."""
        return self.all["calls"] - self.all["unpriced_calls"] - self.all["invalid_calls"]


def _apps(lines: Iterable[Sum]) -> dict[Group, App]:
    """By the first part of the key; the last one is how calls ended."""
    found: dict[Group, App] = {}
    for line in lines:
        app = found.setdefault(line.key[:1], App())
        app.all.add(line)
        if line.key[-1] in _FAILED:
            app.failed.add(line)
    return found


def _together(apps: Iterable[App]) -> App:
    total = App()
    for app in apps:
        total.all.merge(app.all)
        total.failed.merge(app.failed)
    return total


def _score(now: App, before: App, said: Measures) -> dict[str, Any]:
    found = health_score(
        HealthFacts(
            calls=now.all["calls"],
            failed=now.failed["calls"],
            p95_us=now.p95_us,
            reference_p95_us=before.p95_us,
            judged=said.judged,
            good=said.good,
            priced_calls=now.priced,
            cost_nano=now.all["cost_nano"],
            wasted_nano=now.failed["cost_nano"],
            reference_priced_calls=before.priced,
            reference_cost_nano=before.all["cost_nano"],
            input_tokens=now.all["input_tokens"],
            cache_read_tokens=now.all["cache_read_tokens"],
        )
    )
    return {
        **total_fields(now.all),
        "score": found.score,
        "parts": [
            PartOut(part=one.part, score=one.score, weight=one.weight, value_ppm=one.value_ppm)
            for one in found.parts
        ],
        "failed": now.failed["calls"],
        "judged_calls": said.judged,
    }
