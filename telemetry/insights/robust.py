"""Statistics that a few wild values do not move. Pure; floats in and out."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Final

MAD_TO_SIGMA: Final = 1.4826
"""Times the median absolute deviation: the standard deviation, if values are normally distributed."""


def spread(values: Sequence[float], middle: float | None = None) -> float:
    """What the standard deviation would be without the wild values; 0 of nothing."""
    if not values:
        return 0.0
    middle = statistics.median(values) if middle is None else middle
    return MAD_TO_SIGMA * statistics.median(abs(value - middle) for value in values)


def slope(values: Sequence[float]) -> float:
    """The median of the slopes between all pairs of values (Theil and Sen), per step; 0 of fewer than two."""
    count = len(values)
    if count < 2:
        return 0.0
    return statistics.median(
        (values[later] - values[early]) / (later - early)
        for early in range(count)
        for later in range(early + 1, count)
    )


def around(values: Sequence[float], place: int, reach: int) -> Sequence[float]:
    """The ``2 * reach + 1`` values with ``place`` in their middle; at the ends as many, moved inwards."""
    begin = max(0, min(place - reach, len(values) - 2 * reach - 1))
    return values[begin : begin + 2 * reach + 1]


def tamed(values: Sequence[float], reach: int, limit: float, floor: float) -> list[float]:
    """Values further than ``limit`` spreads from the median around them are drawn in to that distance.

    A spread is taken to be ``floor`` times the median at least.
    """
    found = []
    for place, value in enumerate(values):
        near = around(values, place, reach)
        middle = statistics.median(near)
        most = limit * max(spread(near, middle), floor * abs(middle))
        found.append(min(max(value, middle - most), middle + most))
    return found
