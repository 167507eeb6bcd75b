"""Hours or days that do not fit the others. Pure: whole numbers in (nano-USD, calls, tokens), whole numbers out.

Values are put on a scale on which noise is about the same everywhere (between a square root, which suits small counts,
and a logarithm, which suits large sums; the data chooses). There, what is expected is the median of the same hour or
day of the week plus the median level around it; what is further from it than four times the usual distance, and by at
least a quarter, does not fit. A level that changes for good stands out until half of the stretch around it is new.

Fewer than 2 values in 1,000 stand out where nothing is wrong, and fewer than 1 in 100 where noise has heavy tails
(``weighbridge backtest`` measures it).
"""

from __future__ import annotations

import enum
import math
import statistics
from collections.abc import Sequence
from typing import Final

import msgspec

from telemetry.insights.robust import around, spread

WEEKLY: Final = 7
"""Season of daily values."""
DAILY: Final = 24
"""Season of hourly values."""
HOURS_A_WEEK: Final = 168
"""Season of hourly values of four weeks and more: weekends are told from workdays."""
LEAST_VALUES: Final = 8
LEAST_SEASONS: Final = 3
"""With fewer, nothing is known of the season and values are compared with those around them alone."""
LIMIT_PPM: Final = 4_000_000
LEAST_CHANGE_PPM: Final = 250_000
MOST_SCORE_PPM: Final = 1_000_000_000
"""Where the score ends, for values that never varied before."""
_REACH: Final = 12
_BENDS: Final = (3.0, 0.3, 0.03, 0.003)
"""Where the scale turns from root to logarithm, as parts of the median."""
_MOST: Final = 0.9
"""The distance this share of values keeps tells how far values usually are off, if their median tells less."""
_MOST_SIGMAS: Final = statistics.NormalDist().inv_cdf((1 + _MOST) / 2)


class Direction(enum.StrEnum):
    """To which side a value stands out."""

    HIGH = "high"
    LOW = "low"


class Anomaly(msgspec.Struct, frozen=True):
    """A value that stands out. ``low`` and ``high``: where it would not have."""

    index: int
    value: int
    expected: int
    low: int
    high: int
    score_ppm: int
    """Millionths of the usual distance (a standard deviation) from what was expected."""

    @property
    def direction(self) -> Direction:
        return Direction.HIGH if self.value > self.expected else Direction.LOW


class _Fit(msgspec.Struct, frozen=True):
    """Values on a bent scale: what is expected, what is left, and how far values usually are off."""

    bend: float
    expected: Sequence[float]
    rest: Sequence[float]
    usual: float


def anomalies(
    series: Sequence[int],
    season: int = WEEKLY,
    limit_ppm: int = LIMIT_PPM,
    least_change_ppm: int = LEAST_CHANGE_PPM,
) -> list[Anomaly]:
    """Values that stand out, in their order. Whole hours or days without gaps: the last one must be over.

    ``season``: how many values until it is the same time again. ``limit_ppm``: the score from which on a value stands
    out; ``least_change_ppm``: so much of what was expected it must be off. Raises ``ValueError`` for negative values.
    """
    if min(series, default=0) < 0 or season < 1:
        raise ValueError("anomalies are found in values from 0 on, with a season of at least 1")
    unit = statistics.median([value for value in series if value] or [0])
    if len(series) < LEAST_VALUES or not unit:
        return []
    season = season if len(series) >= LEAST_SEASONS * season else 1
    fit = min((_fit(series, season, bend * unit) for bend in _BENDS), key=_unevenness)
    limit = limit_ppm / 1_000_000
    found = []
    for place, (value, middle, rest) in enumerate(zip(series, fit.expected, fit.rest, strict=True)):
        reach = limit * fit.usual
        expected = _straight(middle, fit.bend)
        small = abs(value - expected) * 1_000_000 < least_change_ppm * max(expected, 1)
        if abs(rest) <= reach or small:
            continue
        low, high = _straight(middle - reach, fit.bend), _straight(middle + reach, fit.bend)
        score = _score_ppm(abs(rest), fit.usual)
        found.append(Anomaly(place, value, expected, low, high, score))
    return found


def _fit(series: Sequence[int], season: int, bend: float) -> _Fit:
    bent = [math.asinh(math.sqrt(value / bend)) for value in series]
    phases = _phases(bent, season)
    flat = [value - phases[place % season] for place, value in enumerate(bent)]
    level = _medians(flat, min(season, _REACH) if season > 1 else _REACH)
    expected = [max(0.0, one + phases[place % season]) for place, one in enumerate(level)]
    rest = [value - one for value, one in zip(bent, expected, strict=True)]
    return _Fit(bend, expected, rest, _usual(rest))


def _phases(bent: Sequence[float], season: int) -> list[float]:
    """What each hour or day of the season is above the level around it."""
    if season == 1:
        return [0.0]
    base = _medians(bent, season // 2)
    return [
        statistics.median(bent[place] - base[place] for place in range(phase, len(bent), season))
        for phase in range(season)
    ]


def _medians(values: Sequence[float], reach: int) -> list[float]:
    return [statistics.median(around(values, place, reach)) for place in range(len(values))]


def _usual(rest: Sequence[float]) -> float:
    """How far values usually are off, as a standard deviation; a tenth of them may be wild."""
    sizes = sorted(abs(one) for one in rest)
    return max(spread(rest, 0.0), sizes[int(_MOST * len(sizes))] / _MOST_SIGMAS)


def _unevenness(fit: _Fit) -> float:
    """How much more small values are off than large ones, or the other way round; 0 is even."""
    order = sorted(range(len(fit.rest)), key=fit.expected.__getitem__)
    half = len(order) // 2
    small, large = ([fit.rest[place] for place in places] for places in (order[:half], order[half:]))
    return abs(math.log((_usual(small) + 1e-9) / (_usual(large) + 1e-9)))


def _straight(bent: float, bend: float) -> int:
    """Back on the scale of the series."""
    return round(bend * math.sinh(max(0.0, bent)) ** 2)


def _score_ppm(distance: float, usual: float) -> int:
    most = MOST_SCORE_PPM / 1_000_000
    return MOST_SCORE_PPM if distance >= most * usual else round(distance / usual * 1_000_000)
