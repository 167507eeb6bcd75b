"""How well an app does, as one number from 0 to 100. Pure, integers only.

The weighted mean of the parts that are known, each from 0 to 100 in a straight line between two marks:

| part | weight | 100 up to | 0 from | known with |
| --- | --- | --- | --- | --- |
| errors: calls that failed | 35 | 0.5 % | 5 % | 20 calls |
| latency: p95 against the one before, or a target | 20 | 1.1 times | 3 times | both p95 |
| quality: good answers of those judged | 25 | 95 % | 50 % | 20 verdicts |
| cost: spend on calls that did not complete; cost of a call against the one before; the worse of both | 10 | 1 %; 1.1 times | 20 %; 2 times | spend |
| cache: input tokens read from the provider's cache | 10 | 50 % | none | 1,024 input tokens a call, below which providers cache nothing |

What is not known has no part in the score: an app nobody rates is neither better nor worse for it.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import Final

import msgspec

PPM: Final = 1_000_000
LEAST_CALLS: Final = 20
LEAST_VERDICTS: Final = 20
CACHED_FROM_TOKENS: Final = 1_024
"""Input tokens of a call below which providers cache nothing."""


class Part(enum.StrEnum):
    """What the score is made of."""

    ERRORS = "errors"
    LATENCY = "latency"
    QUALITY = "quality"
    COST = "cost"
    CACHE = "cache"


WEIGHTS: Final = {Part.ERRORS: 35, Part.LATENCY: 20, Part.QUALITY: 25, Part.COST: 10, Part.CACHE: 10}


class Marks(msgspec.Struct, frozen=True):
    """Millionths at which a part has its 100, and at which it has 0."""

    full: int
    none: int

    def score(self, value: int) -> int:
        """From 0 to 100, rounded down."""
        span = self.none - self.full
        reached = self.none - value if span > 0 else value - self.none
        return max(0, min(100, 100 * reached // abs(span)))


ERRORS: Final = Marks(5_000, 50_000)
LATENCY: Final = Marks(1_100_000, 3_000_000)
QUALITY: Final = Marks(950_000, 500_000)
WASTE: Final = Marks(10_000, 200_000)
DEARER: Final = Marks(1_100_000, 2_000_000)
CACHE: Final = Marks(500_000, 0)


class HealthFacts(msgspec.Struct, frozen=True, kw_only=True):
    """An app in one period, and what it is held against."""

    calls: int
    failed: int
    """Neither completed nor cancelled by the app nor refused by the gateway."""
    p95_us: int | None = None
    reference_p95_us: int | None = None
    """A target, or the p95 of the period before."""
    judged: int = 0
    good: int = 0
    priced_calls: int = 0
    """Calls whose cost is known."""
    cost_nano: int = 0
    wasted_nano: int = 0
    """Of ``cost_nano``, what calls cost that did not complete."""
    reference_priced_calls: int = 0
    """As ``priced_calls`` in the period before."""
    reference_cost_nano: int = 0
    input_tokens: int = 0
    """Including those read from the cache."""
    cache_read_tokens: int = 0


class PartScore(msgspec.Struct, frozen=True):
    """One part: from 0 to 100, what it weighs among the known ones, and what it was judged by."""

    part: Part
    score: int
    weight: int
    value_ppm: int
    """A share, or a factor, in millionths."""


class HealthScore(msgspec.Struct, frozen=True):
    """``score`` is ``None`` where nothing is known."""

    score: int | None
    parts: tuple[PartScore, ...]


def health_score(facts: HealthFacts) -> HealthScore:
    """The score and its parts, without those that are not known."""
    parts = tuple(
        PartScore(part, marks.score(value), WEIGHTS[part], value) for part, marks, value in _known(facts)
    )
    weight = sum(one.weight for one in parts)
    if not weight:
        return HealthScore(None, ())
    points = sum(one.score * one.weight for one in parts)
    return HealthScore((2 * points + weight) // (2 * weight), parts)


def _known(facts: HealthFacts) -> Iterator[tuple[Part, Marks, int]]:
    if facts.calls >= LEAST_CALLS:
        yield Part.ERRORS, ERRORS, facts.failed * PPM // facts.calls
    if facts.p95_us is not None and facts.reference_p95_us:
        yield Part.LATENCY, LATENCY, facts.p95_us * PPM // facts.reference_p95_us
    if facts.judged >= LEAST_VERDICTS:
        yield Part.QUALITY, QUALITY, facts.good * PPM // facts.judged
    if facts.cost_nano > 0:
        waste = facts.wasted_nano * PPM // facts.cost_nano
        change = _dearer(facts)
        if change is not None and DEARER.score(change) < WASTE.score(waste):
            yield Part.COST, DEARER, change
        else:
            yield Part.COST, WASTE, waste
    if facts.calls >= LEAST_CALLS and facts.input_tokens >= CACHED_FROM_TOKENS * facts.calls:
        yield Part.CACHE, CACHE, facts.cache_read_tokens * PPM // facts.input_tokens


def _dearer(facts: HealthFacts) -> int | None:
    """Cost of a call against the one before, in millionths; ``None`` where either is not known well."""
    few = min(facts.priced_calls, facts.reference_priced_calls) < LEAST_CALLS
    if few or not facts.reference_cost_nano:
        return None
    return (
        facts.cost_nano
        * facts.reference_priced_calls
        * PPM
        // (facts.reference_cost_nano * facts.priced_calls)
    )
