"""The Wilson score interval: what a share may be in truth, seen on a sample. Pure; no money here, so floats are fine."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final, Generic, TypeVar

import msgspec

Z95: Final = 1.959963984540054
"""Standard normal quantile of a two-sided 95 %."""
LEAST_SAMPLES: Final = 20
"""Below this nothing is said of a slice."""

Name = TypeVar("Name")


class Interval(msgspec.Struct, frozen=True):
    """From ``low`` to ``high``, both within 0 and 1."""

    low: float
    high: float


class Slice(msgspec.Struct, Generic[Name], frozen=True):
    """``good`` of ``count`` in one part of the traffic."""

    name: Name
    good: int
    count: int


class Weak(msgspec.Struct, Generic[Name], frozen=True):
    """A slice that is worse than the rest, and not by chance."""

    slice: Slice[Name]
    here: Interval
    elsewhere: Interval


def interval(good: int, count: int, z: float = Z95) -> Interval:
    """The interval of ``good / count``. No sample: anything from 0 to 1. Raises ``ValueError`` for impossible counts."""
    if not 0 <= good <= count:
        raise ValueError(f"{good} of {count}")
    if count == 0:
        return Interval(0.0, 1.0)
    share, square = good / count, z * z
    scale = 1 + square / count
    middle = (share + square / (2 * count)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / count + square / (4 * count * count))
    # At the ends the formula is exact, its rounding is not.
    low = 0.0 if good == 0 else max(0.0, middle - half)
    high = 1.0 if good == count else min(1.0, middle + half)
    return Interval(low, high)


def weak(
    slices: Iterable[Slice[Name]], least_samples: int = LEAST_SAMPLES, z: float = Z95
) -> list[Weak[Name]]:
    """Slices whose best case is worse than the worst case of all the others together, the worst first.

    Slices must not overlap. One with fewer than ``least_samples`` is not judged, but counts among the others.
    """
    known = list(slices)
    good, count = sum(one.good for one in known), sum(one.count for one in known)
    found = []
    for one in known:
        if one.count < least_samples or count - one.count < least_samples:
            continue
        here = interval(one.good, one.count, z)
        elsewhere = interval(good - one.good, count - one.count, z)
        if here.high < elsewhere.low:
            found.append(Weak(one, here, elsewhere))
    return sorted(found, key=lambda one: (one.here.high, -one.slice.count))
