"""Was the answer any good: what people, judges and systems say of a call, and what came of it. Pure, integers only.

Values are parts per million of their scale: a thumb down is 0 and up 1,000,000; one star is 0, five are 1,000,000; a
score from 0 to 1 is itself. A value above the middle is good, whatever the scale.
"""

from __future__ import annotations

import enum
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from pricing.cost import CostStatus

PPM = 1_000_000
MIDDLE = PPM // 2
STARS = 5


class Source(enum.StrEnum):
    """Who says it."""

    USER = "user"
    JUDGE = "judge"
    """A model or a rule that grades answers."""
    SYSTEM = "system"


class Scale(enum.StrEnum):
    """How it is said."""

    THUMBS = "thumbs"
    STARS = "stars"
    SCORE = "score"


class Result(enum.StrEnum):
    """What came of an answer."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    RESOLVED = "resolved"
    ESCALATED = "escalated"
    """A human had to take over."""
    CONVERTED = "converted"


class Opinion(msgspec.Struct, frozen=True):
    """One rating of a call."""

    source: Source
    scale: Scale
    ppm: int


class Measures(msgspec.Struct, frozen=True, array_like=True):
    """What calls add up to. Every field is a sum, so that slices can be added and taken away."""

    calls: int = 0
    """Calls anything was said of."""
    user_count: int = 0
    """Ratings by users, of every scale."""
    user_good: int = 0
    user_ppm: int = 0
    """Sum of the values, as the others of that name."""
    judge_count: int = 0
    judge_good: int = 0
    judge_ppm: int = 0
    system_count: int = 0
    system_good: int = 0
    system_ppm: int = 0
    stars_count: int = 0
    """Ratings by users in stars: what CSAT is made of."""
    stars_good: int = 0
    """Four or five."""
    stars_ppm: int = 0
    accepted: int = 0
    rejected: int = 0
    resolved: int = 0
    escalated: int = 0
    resolved_escalated: int = 0
    """Calls that are both: a human solved it."""
    converted: int = 0
    value_nano: int = 0
    """What conversions were worth, nano-USD."""
    judged: int = 0
    """Calls with a verdict, good or not (:func:`verdict`)."""
    good: int = 0
    priced: int = 0
    """Of the judged, those whose cost is known."""
    priced_good: int = 0
    cost_nano: int = 0
    """What the priced ones cost."""
    estimated_nano: int = 0
    """How much of that is an estimate or a lower bound."""

    def __add__(self, other: Measures) -> Measures:
        return _each(operator.add, self, other)

    def __sub__(self, other: Measures) -> Measures:
        return _each(operator.sub, self, other)


NOTHING = Measures()


def _each(combine: Callable[[int, int], int], one: Measures, other: Measures) -> Measures:
    return Measures(*map(combine, msgspec.structs.astuple(one), msgspec.structs.astuple(other)))


def verdict(opinions: Sequence[Opinion], results: Mapping[Result, int]) -> bool | None:
    """Was it a good answer? ``None``: nobody says.

    Users are believed first, then what came of it, then judges, then systems. Those who disagree are averaged; one bad
    result spoils the good ones.
    """
    said = {source: _opinion(opinions, source) for source in Source}
    if said[Source.USER] is not None:
        return said[Source.USER]
    if results:
        return Result.REJECTED not in results and Result.ESCALATED not in results
    return said[Source.SYSTEM] if said[Source.JUDGE] is None else said[Source.JUDGE]


def _opinion(opinions: Sequence[Opinion], source: Source) -> bool | None:
    values = [one.ppm for one in opinions if one.source is source]
    return sum(values) > MIDDLE * len(values) if values else None


def measures_of(
    opinions: Sequence[Opinion],
    results: Mapping[Result, int],
    cost_nano: int | None,
    cost_status: str,
) -> Measures:
    """What one call adds. ``results`` holds nano-USD for each (0 but for conversions)."""
    if not opinions and not results:
        return NOTHING
    good = verdict(opinions, results)
    known = good is not None and cost_nano is not None
    doubtful = cost_status in (CostStatus.ESTIMATED, CostStatus.PARTIAL)
    stars = [one.ppm for one in opinions if one.scale is Scale.STARS and one.source is Source.USER]
    sums: dict[str, int] = {result.value: int(result in results) for result in Result}
    for source in Source:
        values = [one.ppm for one in opinions if one.source is source]
        sums |= _sums(source.value, values)
    return Measures(
        calls=1,
        **sums,
        **_sums("stars", stars),
        resolved_escalated=int(Result.RESOLVED in results and Result.ESCALATED in results),
        value_nano=sum(results.values()),
        judged=int(good is not None),
        good=int(good is True),
        priced=int(known),
        priced_good=int(known and good is True),
        cost_nano=(cost_nano or 0) if known else 0,
        estimated_nano=(cost_nano or 0) if known and doubtful else 0,
    )


def _sums(name: str, values: Sequence[int]) -> dict[str, Any]:
    return {
        f"{name}_count": len(values),
        f"{name}_good": sum(value > MIDDLE for value in values),
        f"{name}_ppm": sum(values),
    }


class Share(msgspec.Struct, frozen=True):
    """``part`` of ``whole``."""

    part: int
    whole: int

    @property
    def ppm(self) -> int | None:
        """Parts per million, rounded half up; ``None`` of nothing."""
        return (2 * self.part * PPM + self.whole) // (2 * self.whole) if self.whole else None


def satisfaction(of: Measures) -> Share:
    """Good ratings among those of users."""
    return Share(of.user_good, of.user_count)


def csat(of: Measures) -> Share:
    """Four and five stars among ratings in stars."""
    return Share(of.stars_good, of.stars_count)


def acceptance(of: Measures) -> Share:
    """Accepted among accepted and rejected."""
    return Share(of.accepted, of.accepted + of.rejected)


def cases(of: Measures) -> int:
    """Calls that are resolved, escalated or both."""
    return of.resolved + of.escalated - of.resolved_escalated


def resolution(of: Measures) -> Share:
    """Resolved among the cases, with a human's help or without."""
    return Share(of.resolved, cases(of))


def containment(of: Measures) -> Share:
    """Cases no human had to take over."""
    return Share(cases(of) - of.escalated, cases(of))


def cost_per_good_nano(of: Measures) -> int | None:
    """What all judged answers of known cost cost, for each good one; ``None`` while there is no good one.

    Calls nobody judged have no part in it on either side: nobody knows how many of them were good.
    """
    return (2 * of.cost_nano + of.priced_good) // (2 * of.priced_good) if of.priced_good else None
