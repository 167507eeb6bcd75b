"""How good forecasts and alarms would have been. Pure.

A forecast is made from every fifth day on (so from every day of the week) of what was known then, and held against what
came; beside it stand two that need no statistics: every day like the last one, and every week like the last one. Alarms
are counted on a series as it is, and again after a value was multiplied, one at a time.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

import msgspec

from telemetry.insights.anomaly import anomalies
from telemetry.insights.forecast import WEEK, forecast

PPM: Final = 1_000_000
LEAST_HISTORY: Final = 4 * WEEK
HORIZON: Final = 30
STEP: Final = 5


class Errors(msgspec.Struct, frozen=True):
    """Sums over all forecasts that were made, nano-USD; they can be added."""

    forecasts: int = 0
    spent: int = 0
    days: int = 0
    """What single days were off."""
    days_naive: int = 0
    days_weekly: int = 0
    totals: int = 0
    """What sums over the horizon were off."""
    totals_naive: int = 0
    totals_weekly: int = 0
    inside: int = 0
    """Forecasts whose bounds held the sum."""

    def __add__(self, other: Errors) -> Errors:
        mine, theirs = msgspec.structs.astuple(self), msgspec.structs.astuple(other)
        return Errors(*(one + another for one, another in zip(mine, theirs, strict=True)))


class Alarms(msgspec.Struct, frozen=True):
    """What stood out; they can be added."""

    values: int = 0
    alarms: int = 0
    """Values that stand out in the series as it is."""
    planted: int = 0
    found: int = 0
    """Of the planted."""

    def __add__(self, other: Alarms) -> Alarms:
        return Alarms(
            self.values + other.values,
            self.alarms + other.alarms,
            self.planted + other.planted,
            self.found + other.found,
        )


def ppm(part: int, whole: int) -> int | None:
    """``part`` of ``whole`` in millionths; ``None`` of nothing."""
    return part * PPM // whole if whole else None


def try_forecasts(
    days: Sequence[int], start_weekday: int, horizon: int = HORIZON, least_history: int = LEAST_HISTORY
) -> Errors:
    """Forecasts of ``horizon`` days from every fifth day on, as far as what came is known."""
    errors = Errors()
    for now in range(least_history, len(days) - horizon + 1, STEP):
        told = forecast(days[:now], horizon, start_weekday)
        came = days[now : now + horizon]
        if told is None:
            continue
        naive = [days[now - 1]] * horizon
        weekly = [days[now - WEEK + ahead % WEEK] for ahead in range(horizon)]
        errors += Errors(
            forecasts=1,
            spent=sum(came),
            days=_off(told.points, came),
            days_naive=_off(naive, came),
            days_weekly=_off(weekly, came),
            totals=abs(told.total - sum(came)),
            totals_naive=abs(sum(naive) - sum(came)),
            totals_weekly=abs(sum(weekly) - sum(came)),
            inside=int(told.total_low <= sum(came) <= told.total_high),
        )
    return errors


def _off(told: Sequence[int], came: Sequence[int]) -> int:
    return sum(abs(one - other) for one, other in zip(told, came, strict=True))


def try_anomalies(series: Sequence[int], season: int, factor_ppm: int, plant: int, seed: int) -> Alarms:
    """Alarms as the series is, and after each of ``plant`` values (not 0, drawn by ``seed``) was multiplied."""
    dice = random.Random(seed)
    places = [place for place, value in enumerate(series) if value]
    alarms = len(anomalies(series, season))
    chosen = dice.sample(places, min(plant, len(places)))
    found = 0
    for place in chosen:
        changed = [*series[:place], series[place] * factor_ppm // PPM, *series[place + 1 :]]
        found += any(one.index == place for one in anomalies(changed, season))
    return Alarms(len(series), alarms, len(chosen), found)
