"""``GET /api/analytics/router``: what apps' routers decided, how sure they were, what it saved, and whether it was good."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, Field

from gateway.api.analytics.asking import PeriodOut, understood
from gateway.api.analytics.deps import AnalyticsDeps
from gateway.api.analytics.figures import (
    ChangeOut,
    SavingsOut,
    Tally,
    TotalOut,
    change_out,
    merged,
    ppm,
    rounded,
    savings_out,
    total_fields,
)
from gateway.api.analytics.query import DEFAULT_GROUPS, MOST_GROUPS, PeriodQuery
from gateway.api.analytics.verdicts import BAND, ShareOut, quality_by, share_out
from gateway.api.problems import json_response
from gateway.api.routes import Endpoint
from storage.queries.analytics.routes import Key
from storage.rollups.routes import BAND_PPM, BANDS, ROUTE_MEASURES
from telemetry.quality import Measures, Share

K = TypeVar("K", bound=Hashable)
Text = tuple[str | None, ...]


class RouterQuery(PeriodQuery):
    """Which calls, and how many lines."""

    limit: int = Field(
        default=DEFAULT_GROUPS,
        ge=1,
        le=MOST_GROUPS,
        description="Most lines of policies, reasons and models each; the rest together is 'other'.",
    )


class DecidedOut(TotalOut):
    """Calls an app's router decided on."""

    share_ppm: int | None = Field(description="Of the routed calls, parts per million.")
    savings: SavingsOut
    confidence_samples: int = Field(description="Calls whose app said how sure its router was.")
    mean_confidence_ppm: int | None


class PolicyOut(DecidedOut):
    """One policy; null: the app named none."""

    policy: str | None


class ReasonOut(PolicyOut):
    """One reason of one policy."""

    reason: str | None


class ChosenOut(PolicyOut):
    """One model a policy chose."""

    provider: str
    model: str | None


class OtherOut(DecidedOut):
    """The lines beyond the limit, together."""

    lines: int


class BandOut(DecidedOut):
    """Calls whose router was about as sure."""

    from_ppm: int | None = Field(description="null: the app said no confidence.")
    below_ppm: int | None = Field(description="The last band ends with certainty, which belongs to it.")
    accuracy: ShareOut | None = Field(
        description="Good answers among the judged ones, over the UTC days the period touches; null where a filter is by "
        "something that is not kept with ratings."
    )


class RouterOut(BaseModel):
    """Each list adds up to total, with its 'other'."""

    period: PeriodOut
    total: DecidedOut
    previous: DecidedOut | None = Field(description="The period before, as long.")
    change: ChangeOut | None
    routed_share_ppm: int | None = Field(description="Routed calls among all calls, parts per million.")
    policies: list[PolicyOut]
    other_policies: OtherOut | None
    reasons: list[ReasonOut]
    other_reasons: OtherOut | None
    models: list[ChosenOut]
    other_models: OtherOut | None
    bands: list[BandOut]


class Router:
    """Handler over the sums of routed calls."""

    def __init__(self, deps: AnalyticsDeps) -> None:
        self._deps = deps

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What this resource serves."""
        return (
            Endpoint(
                "/api/analytics/router",
                self.show,
                "Routing: decisions, confidence, savings, and accuracy from feedback",
                RouterOut,
                RouterQuery,
                (400, 401, 403, 503),
            ),
        )

    async def show(self, request: web.Request) -> web.Response:
        """The decisions of a period."""
        asking = await understood(request, self._deps, RouterQuery)
        [everything] = await asking.totals(asking.question(("calls",)))
        found = await self._deps.figures.routed(asking.question(()))
        judged = await quality_by(asking, [BAND])
        total, previous = _together(found.sums), None
        if asking.query.compare:
            before = asking.question((), window=asking.window.previous())
            previous = _together((await self._deps.figures.routed(before)).sums)
        calls, limit = total["calls"], asking.query.limit
        policies = _Ranked(found.sums, lambda key: key[:1], limit)
        reasons = _Ranked(found.sums, lambda key: key[:2], limit)
        models = _Ranked(found.sums, lambda key: (key[0], *key[3:]), limit)
        bands = _grouped(found.sums, lambda key: key[2])
        period = asking.period_out(everything)
        return json_response(
            RouterOut(
                period=period.model_copy(update={"source": found.source.value}),
                total=DecidedOut(**_decided(total, calls)),
                previous=None if previous is None else DecidedOut(**_decided(previous, previous["calls"])),
                change=None if previous is None else change_out(total, previous),
                routed_share_ppm=ppm(calls, sum(line.sums["calls"] for line in everything.lines)),
                policies=[
                    PolicyOut(**_decided(tally, calls), policy=one[0]) for one, tally in policies.first
                ],
                other_policies=policies.other(calls),
                reasons=[
                    ReasonOut(**_decided(tally, calls), policy=one[0], reason=one[1])
                    for one, tally in reasons.first
                ],
                other_reasons=reasons.other(calls),
                models=[
                    ChosenOut(**_decided(tally, calls), policy=one[0], provider=one[1] or "", model=one[2])
                    for one, tally in models.first
                ],
                other_models=models.other(calls),
                bands=[_band(band, bands.get(band), calls, judged) for band in (*range(BANDS), None)],
            )
        )


class _Ranked:
    """Lines by calls, then by name."""

    def __init__(self, sums: Mapping[Key, Sequence[int]], name: Callable[[Key], Text], limit: int) -> None:
        found = sorted(
            _grouped(sums, name).items(),
            key=lambda one: (-one[1]["calls"], tuple(value or "" for value in one[0])),
        )
        self.first, self._rest = found[:limit], found[limit:]

    def other(self, calls: int) -> OtherOut | None:
        if not self._rest:
            return None
        rest = merged(tally for _, tally in self._rest)
        return OtherOut(**_decided(rest, calls), lines=len(self._rest))


def _together(sums: Mapping[Key, Sequence[int]]) -> Tally:
    return _grouped(sums, lambda key: None).get(None, Tally())


def _grouped(sums: Mapping[Key, Sequence[int]], name: Callable[[Key], K]) -> dict[K, Tally]:
    found: dict[K, Tally] = {}
    for key, values in sums.items():
        found.setdefault(name(key), Tally()).plus(dict(zip(ROUTE_MEASURES, values, strict=True)))
    return found


def _decided(of: Tally, calls: int) -> dict[str, Any]:
    return {
        **total_fields(of),
        "share_ppm": ppm(of["calls"], calls),
        "savings": savings_out(of),
        "confidence_samples": of["confidence_calls"],
        "mean_confidence_ppm": rounded(of["confidence_ppm"], of["confidence_calls"]),
    }


def _band(
    band: int | None, tally: Tally | None, calls: int, judged: Mapping[Text, Measures] | None
) -> BandOut:
    said = (judged or {}).get((None if band is None else str(band),), Measures())
    return BandOut(
        **_decided(tally or Tally(), calls),
        from_ppm=None if band is None else band * BAND_PPM,
        below_ppm=None if band is None else (band + 1) * BAND_PPM,
        accuracy=None if judged is None or band is None else share_out(Share(said.good, said.judged)),
    )
