"""What the days to come will cost, and how wrong that may be. Pure: nano-USD in, nano-USD out.

Spend is taken as ``level x day of the week``, with a trend that fades. Days of the week are medians of shares of their
week, the level is smoothed exponentially (how fast is found on the history), the trend is the median slope, as far as
a month and a quarter agree on it and chance does not explain it; wild days are drawn in before. A short history has
none of this to tell, and one where most days are empty neither: there the mean stands for every day.
"""

from __future__ import annotations

import enum
import math
import statistics
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

import msgspec

from telemetry.insights.robust import slope, spread, tamed

WEEK: Final = 7
LEAST_SEASONAL: Final = 2 * WEEK
"""Days of history below which days of the week are not told apart."""
LOOK_BACK: Final = 12 * WEEK
MONTH: Final = 4 * WEEK
CONFIDENCE_PPM: Final = 800_000
_EMPTY: Final = 0.05
"""A day of the week with less than this part of the mean tells nothing of the level."""
_MOST_EMPTY: Final = 0.25
_LEAST_FULL: Final = 10
_SPEEDS: Final = (0.05, 0.1, 0.2, 0.3, 0.5, 0.8)
_FADES: Final = 0.98
"""What is left of the trend after a day: half after five weeks."""
_WILD: Final = 3.5
_LEAST_SPREAD: Final = 0.05
_CHANCE: Final = 2.0
"""Standard errors below which a slope is chance."""
_GUESS: Final = 0.5
"""How far days are from their mean, as a part of it, before there is a history that tells; counts like two days."""


class Method(enum.StrEnum):
    """How the days were foretold."""

    SEASONAL = "seasonal"
    MEAN = "mean"
    """Fewer than two weeks of history, or a history of mostly empty days."""
    NAIVE = "naive"
    """A history of one day: every day like it."""


class Forecast(msgspec.Struct, frozen=True):
    """nano-USD per day, from the day after the history on. Bounds hold one day each; sums of days have bounds of their
    own, since days err together only in part."""

    points: tuple[int, ...]
    low: tuple[int, ...]
    high: tuple[int, ...]
    total: int
    total_low: int
    total_high: int
    method: Method
    confidence_ppm: int
    """Share of cases in which the truth is within the bounds."""


class _Outlook(msgspec.Struct, frozen=True):
    """Expected days, the standard deviation of each and of their sum."""

    expected: Sequence[float]
    sigmas: Sequence[float]
    sigma: float
    method: Method
    wild: float = 0.0
    """What wild days added to the history beyond what is expected, on average: it may happen again."""


def forecast(
    days: Sequence[int], horizon: int, start_weekday: int, confidence_ppm: int = CONFIDENCE_PPM
) -> Forecast | None:
    """The next ``horizon`` days after ``days`` (whole days, oldest first, none left out: 0 where nothing was spent).

    ``start_weekday``: that of ``days[0]``, Monday is 0. Empty days before the first spend are no history; without any
    day the answer is ``None``. Raises ``ValueError`` for what makes no sense.
    """
    if (
        horizon < 0
        or not 0 <= start_weekday < WEEK
        or not 0 < confidence_ppm < 1_000_000
        or min(days, default=0) < 0
    ):
        raise ValueError(
            "a forecast needs days, a horizon, a weekday from 0 to 6 and a confidence within 0 and 1"
        )
    if not days:
        return None
    first = next((place for place, spent in enumerate(days) if spent), len(days) - 1)
    history = [float(spent) for spent in days[first:]]
    outlook = _outlook(history, horizon, (start_weekday + first) % WEEK)
    z = statistics.NormalDist().inv_cdf((1_000_000 + confidence_ppm) / 2_000_000)
    points = tuple(round(value) for value in outlook.expected)
    reaches = [round(z * sigma) for sigma in outlook.sigmas]
    total, reach, wild = sum(points), round(z * outlook.sigma), round(outlook.wild * horizon)
    return Forecast(
        points,
        tuple(max(0, point - reach) for point, reach in zip(points, reaches, strict=True)),
        tuple(point + reach for point, reach in zip(points, reaches, strict=True)),
        total,
        max(0, total - reach),
        total + reach + wild,
        outlook.method,
        confidence_ppm,
    )


def _outlook(history: Sequence[float], horizon: int, weekday: int) -> _Outlook:
    if len(history) >= LEAST_SEASONAL:
        shares = weekday_shares(history, weekday)
        kept = [place for place in range(len(history)) if shares[(weekday + place) % WEEK] > _EMPTY]
        lately = [history[place] for place in kept][-MONTH:]
        if len(kept) >= _LEAST_FULL and lately.count(0.0) <= _MOST_EMPTY * len(lately):
            level = [history[place] / shares[(weekday + place) % WEEK] for place in kept][-LOOK_BACK:]
            coming = [shares[(weekday + len(history) + ahead) % WEEK] for ahead in range(horizon)]
            return _seasonal(level, coming)
    return _flat(history[-MONTH:], horizon)


def weekday_shares(history: Sequence[float], weekday: int) -> list[float]:
    """What each day of the week (Monday first) is to the mean of its week, as the median of the last weeks."""
    offset = max(0, len(history) - LOOK_BACK)
    tail = history[offset:]
    found: list[list[float]] = [[] for _ in range(WEEK)]
    for place, value in enumerate(tail):
        begin = max(0, min(place - WEEK // 2, len(tail) - WEEK))
        mean = sum(tail[begin : begin + WEEK]) / WEEK
        if mean > 0:
            found[(weekday + offset + place) % WEEK].append(value / mean)
    shares = [statistics.median(one) if one else 1.0 for one in found]
    whole = sum(shares) / WEEK
    return [share / whole for share in shares] if whole > 0 else [1.0] * WEEK


def _seasonal(level: Sequence[float], coming: Sequence[float]) -> _Outlook:
    """``level``: days without their day of the week; ``coming``: shares of the days asked for."""
    calm = tamed(level, WEEK, _WILD, _LEAST_SPREAD)
    speed = min(_SPEEDS, key=lambda one: sum(abs(error) for error in _errors(calm, one)))
    trend, lasting, doubt = _trend(calm)
    begin = _smoothed(calm, speed) + trend * (1 - speed) / speed
    fading = [*accumulate(_FADES**ahead for ahead in range(1, len(coming) + 1))]
    expected = [max(0.0, begin + trend * steps) * share for steps, share in zip(fading, coming, strict=True)]
    errors = _errors(calm, speed)[WEEK:]
    sigma = math.sqrt(sum(error * error for error in errors) / len(errors)) * (1 + 2 * WEEK / len(calm))
    wild = sum(value - drawn for value, drawn in zip(level, calm, strict=True) if value > drawn) / len(calm)
    # Each day errs on its own; a part of it (speed) stays in the level and is in all days after. The trend may be
    # another, and may be that of the whole history and not fade.
    unsure = [
        math.hypot(doubt * steps, (lasting * ahead - trend * steps) / 2)
        for ahead, steps in enumerate(fading, 1)
    ]
    sigmas = [
        share * math.hypot(sigma * math.sqrt(1 + ahead * speed * speed), drift)
        for ahead, (share, drift) in enumerate(zip(coming, unsure, strict=True))
    ]
    rest = [*accumulate(reversed(coming), initial=0.0)][:-1][::-1]
    own = [share + speed * later for share, later in zip(coming, rest, strict=True)]
    drift = sum(share * one for share, one in zip(coming, unsure, strict=True))
    return _Outlook(expected, sigmas, math.hypot(sigma * math.hypot(*own), drift), Method.SEASONAL, wild)


def _errors(values: Sequence[float], speed: float) -> list[float]:
    """What each value differs from the level before it."""
    level = statistics.median(values[:WEEK])
    found = []
    for value in values:
        found.append(value - level)
        level += speed * (value - level)
    return found


def _smoothed(values: Sequence[float], speed: float) -> float:
    """The level after the last value."""
    level = statistics.median(values[:WEEK])
    for value in values:
        level += speed * (value - level)
    return level


def _trend(calm: Sequence[float]) -> tuple[float, float, float]:
    """Slope per day to go on with, that of the whole history, and the standard error.

    The first is the smaller one of a month and of the whole, if they have one direction, less what may be chance.
    """
    if len(calm) < 3 * WEEK:
        return 0.0, 0.0, 0.0
    lately = calm[-MONTH:]
    month, whole = slope(lately), slope(calm)
    one = min(month, whole, key=abs) if month * whole > 0 else 0.0
    noise = spread([value - month * place for place, value in enumerate(lately)])
    error = noise * math.sqrt(12 / len(calm) ** 3)
    if abs(one) <= _CHANCE * error:
        return 0.0, whole, error
    return one * (1 - (_CHANCE * error / one) ** 2), whole, error


def _flat(history: Sequence[float], horizon: int) -> _Outlook:
    """Every day like the mean of the last ones."""
    count = len(history)
    mean = sum(history) / count
    squares = sum((value - mean) ** 2 for value in history)
    if count < LEAST_SEASONAL:
        squares += 2 * (_GUESS * mean) ** 2
        sigma = math.sqrt(squares / (count + 1))
    else:
        sigma = math.sqrt(squares / (count - 1))
    day, whole = math.sqrt(1 + 1 / count), math.sqrt(horizon + horizon * horizon / count)
    method = Method.MEAN if count > 1 else Method.NAIVE
    return _Outlook([mean] * horizon, [sigma * day] * horizon, sigma * whole, method)
