"""Two variants side by side: does one cost less, is one better, and may both be chance? Pure.

Costs of calls are compared by their means (Welch's interval: calls are many and their costs uneven), answers by their
shares of good ones (Newcombe's interval, made of two Wilson intervals, which holds for few verdicts and shares near 0
or 1 too). Money is nano-USD in whole numbers, in and out.
"""

from __future__ import annotations

import enum
import math
import statistics
from typing import Final

import msgspec

from telemetry.insights.wilson import Z95, interval

PPM: Final = 1_000_000
LEAST_CALLS: Final = 30
"""Of each variant, for costs."""
LEAST_VERDICTS: Final = 20
"""Of each variant, for quality."""
TOLERATED_PPM: Final = 50_000
"""By so much a share of good answers may be lower and still count as equal."""


class Variant(msgspec.Struct, frozen=True):
    """The calls of one variant whose cost is known, and the verdicts on its answers."""

    calls: int
    cost_nano: int
    """Sum."""
    square_nano: int
    """Sum of the squares of the costs, nano-USD squared."""
    judged: int = 0
    good: int = 0


class Difference(msgspec.Struct, frozen=True):
    """The second less the first, and where the true difference is in 95 of 100 cases."""

    value: int
    low: int
    high: int

    @property
    def certain(self) -> bool:
        """It is not chance: 0 is outside the bounds."""
        return self.low > 0 or self.high < 0


class Verdict(enum.StrEnum):
    """What can be said of the second variant."""

    BETTER = "better"
    """Better or cheaper, and the other one not worse."""
    WORSE = "worse"
    """Worse or dearer, and the other one not better."""
    TRADE_OFF = "trade_off"
    """Better and dearer, or cheaper and worse."""
    EQUAL = "equal"
    """No difference in cost beyond chance, and quality that is the same within 5 points."""
    UNDECIDED = "undecided"
    """More calls or verdicts are needed."""


class Comparison(msgspec.Struct, frozen=True):
    """``None``: too few calls or verdicts."""

    cost_nano: Difference | None
    """Of the mean cost of a call."""
    quality_ppm: Difference | None
    """Of the share of good answers."""
    verdict: Verdict


def compare(first: Variant, second: Variant) -> Comparison:
    """The second variant against the first."""
    cost = cost_difference(first, second)
    quality = quality_difference(first.good, first.judged, second.good, second.judged)
    return Comparison(cost, quality, _verdict(cost, quality))


def cost_difference(first: Variant, second: Variant) -> Difference | None:
    """Of the mean costs of a call, nano-USD."""
    if min(first.calls, second.calls) < LEAST_CALLS:
        return None
    means = [one.cost_nano / one.calls for one in (first, second)]
    # The variance of a mean: exact up to the last division, since squares of money leave a float's 53 bits.
    errors = [
        max(0, one.square_nano * one.calls - one.cost_nano**2) / (one.calls**2 * (one.calls - 1))
        for one in (first, second)
    ]
    error = math.sqrt(sum(errors))
    middle = means[1] - means[0]
    if not error:
        return Difference(round(middle), round(middle), round(middle))
    freedom = sum(errors) ** 2 / sum(
        own**2 / (one.calls - 1) for own, one in zip(errors, (first, second), strict=True)
    )
    reach = _t95(freedom) * error
    return Difference(round(middle), round(middle - reach), round(middle + reach))


def _t95(freedom: float) -> float:
    """Student's quantile of a two-sided 95 %, from the normal one (0.0001 off at 29 degrees)."""
    z = Z95
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


def quality_difference(
    first_good: int, first_judged: int, second_good: int, second_judged: int
) -> Difference | None:
    """Of the shares of good answers, millionths."""
    if min(first_judged, second_judged) < LEAST_VERDICTS:
        return None
    shares = first_good / first_judged, second_good / second_judged
    one, other = interval(first_good, first_judged), interval(second_good, second_judged)
    middle = shares[1] - shares[0]
    below = math.hypot(shares[1] - other.low, one.high - shares[0])
    above = math.hypot(other.high - shares[1], shares[0] - one.low)
    return Difference(round(middle * PPM), round((middle - below) * PPM), round((middle + above) * PPM))


def not_worse_ppm(
    first_good: int,
    first_judged: int,
    second_good: int,
    second_judged: int,
    tolerated_ppm: int = TOLERATED_PPM,
) -> int:
    """How sure it is, in millionths, that the second share is at most ``tolerated_ppm`` below the first.

    Shares are drawn in to one half by two good and two bad answers (Agresti and Caffo), so that three of three are not
    taken for certainty.
    """
    shares = [
        (good + 1) / (judged + 2)
        for good, judged in ((first_good, first_judged), (second_good, second_judged))
    ]
    counts = first_judged + 2, second_judged + 2
    error = math.sqrt(sum(share * (1 - share) / count for share, count in zip(shares, counts, strict=True)))
    score = (shares[1] - shares[0] + tolerated_ppm / PPM) / error
    return round(statistics.NormalDist().cdf(score) * PPM)


def _verdict(cost: Difference | None, quality: Difference | None) -> Verdict:
    if cost is None or quality is None:
        return Verdict.UNDECIDED
    cheaper, dearer = cost.high < 0, cost.low > 0
    better, worse = quality.low > 0, quality.high < 0
    if (cheaper and worse) or (dearer and better):
        return Verdict.TRADE_OFF
    as_good = better or quality.low >= -TOLERATED_PPM
    if better or (cheaper and as_good):
        return Verdict.BETTER
    if worse or (dearer and quality.high <= TOLERATED_PPM):
        return Verdict.WORSE
    if as_good and quality.high <= TOLERATED_PPM and not cheaper and not dearer:
        return Verdict.EQUAL
    return Verdict.UNDECIDED
