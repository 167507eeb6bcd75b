"""Sums and histograms of many calls, added up further, as the API shows them.

Every total says beside it how far it is known: how many calls it is of, how much of it is estimated or a lower bound,
and how many calls have no known cost and are therefore not in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import BaseModel, Field

from gateway.api.models import MoneyOut
from gateway.api.views import money
from storage.rollups.histogram import Histogram
from storage.rollups.measures import ErrorKind
from storage.rollups.question import HistogramName, Sum

PPM: Final = 1_000_000
COUNTED: Final = (
    "calls",
    "cost_nano",
    "estimated_calls",
    "estimated_nano",
    "partial_calls",
    "partial_nano",
    "unpriced_calls",
    "invalid_calls",
)
"""Measures of :class:`TotalOut`."""
TOKENS: Final = (
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
)
ERRORS: Final = tuple(kind.value for kind in ErrorKind)
COMPONENTS: Final = ("input", "output", "cache_read", "cache_write", "other")
COMPONENT_NANO: Final = tuple(f"cost_{name}_nano" for name in COMPONENTS)
SAVINGS: Final = ("baseline_calls", "baseline_nano", "baseline_cost_nano")
USAGE: Final = (*COUNTED, "streams", "cache_hits", *TOKENS, *ERRORS)
"""Measures of :class:`UsageOut`."""


class Tally:
    """Sums by measure, and histograms as bucket -> count."""

    __slots__ = ("histograms", "sums")

    def __init__(self) -> None:
        self.sums: Counter[str] = Counter()
        self.histograms: dict[HistogramName, Counter[int]] = {}

    def add(self, line: Sum) -> None:
        """Add a line of an answer."""
        self.plus(line.sums)
        for name, histogram in line.histograms.items():
            self._count(name, histogram.counts)

    def merge(self, other: Tally) -> None:
        """Add another one."""
        self.plus(other.sums)
        for name, counts in other.histograms.items():
            self._count(name, counts)

    def _count(self, name: HistogramName, counts: Mapping[int, int]) -> None:
        self.histograms.setdefault(name, Counter()).update(counts)

    def plus(self, sums: Mapping[str, int]) -> None:
        """Add sums. (``Counter.update`` would do, a little slower.)"""
        for name, value in sums.items():
            self.sums[name] += value

    def histogram(self, name: HistogramName) -> Histogram:
        """One of them; empty where nothing was asked for."""
        return Histogram(self.histograms.get(name, {}))

    def __getitem__(self, measure: str) -> int:
        return self.sums[measure]

    @property
    def errors(self) -> int:
        """Calls that failed or that the provider answered with an error; not those cancelled or refused."""
        return sum(self.sums[name] for name in ERRORS)


def tally_of(lines: Iterable[Sum]) -> Tally:
    """All lines together."""
    total = Tally()
    for line in lines:
        total.add(line)
    return total


def merged(tallies: Iterable[Tally]) -> Tally:
    """All of them together."""
    total = Tally()
    for tally in tallies:
        total.merge(tally)
    return total


class TotalOut(BaseModel):
    """What calls cost, and how far that is known."""

    calls: int
    cost: MoneyOut = Field(
        description="Of the calls whose cost is known, estimates and lower bounds included."
    )
    estimated_calls: int = Field(description="Calls whose tokens were counted or guessed by the gateway.")
    estimated_cost: MoneyOut = Field(description="Their part of cost.")
    partial_calls: int = Field(description="Calls whose cost is a lower bound.")
    partial_cost: MoneyOut = Field(description="Their part of cost.")
    unpriced_calls: int = Field(description="Calls whose cost is not known: they are not in cost.")


class TokenCountsOut(BaseModel):
    """Tokens as reported or counted; input holds cache_read and cache_write, output holds reasoning."""

    input: int
    output: int
    cache_read: int
    cache_write: int
    reasoning: int


class UsageOut(TotalOut):
    """Cost, tokens and how calls ended."""

    streams: int
    tokens: TokenCountsOut
    cache_hits: int = Field(description="Calls with input from the provider's prompt cache.")
    cache_read_ppm: int | None = Field(description="Cached part of all input tokens, parts per million.")
    errors: int = Field(description="Failed calls and errors of providers; not calls cancelled or refused.")
    error_rate_ppm: int | None = Field(description="Errors among calls, parts per million.")


class PercentilesOut(BaseModel):
    """Within 1.3 % of the exact values; ``null`` without samples."""

    samples: int
    p50: int | None
    p95: int | None
    p99: int | None


class SpeedOut(BaseModel):
    """How fast answers came."""

    duration_us: PercentilesOut = Field(description="Of all calls, microseconds.")
    ttft_us: PercentilesOut = Field(
        description="Of streams: until the first byte of the answer, microseconds."
    )
    tokens_per_1000_s: PercentilesOut = Field(
        description="Of completed streams whose tokens the provider counted: thousandths of a token a second."
    )


class SavingsOut(BaseModel):
    """Against the baseline model, over the calls for which both costs are known."""

    compared_calls: int
    baseline: MoneyOut = Field(description="What these calls would have cost on their baseline models.")
    cost: MoneyOut = Field(description="What they did cost.")
    saved: MoneyOut = Field(description="The difference; negative where the router made it dearer.")
    saved_ppm: int | None = Field(description="Of the baseline, parts per million.")


class ChangeOut(BaseModel):
    """Since the period before; ``null`` where that had nothing."""

    calls: int
    calls_ppm: int | None
    cost: MoneyOut
    cost_ppm: int | None


def ppm(part: int, whole: int) -> int | None:
    """Parts per million, rounded half away from zero; ``None`` of nothing."""
    if whole <= 0:
        return None
    sign = -1 if part < 0 else 1
    return sign * ((2 * abs(part) * PPM + whole) // (2 * whole))


def rounded(part: int, whole: int) -> int | None:
    """``part / whole`` in whole numbers, half away from zero; ``None`` of nothing."""
    if whole <= 0:
        return None
    sign = -1 if part < 0 else 1
    return sign * ((2 * abs(part) + whole) // (2 * whole))


def total_out(of: Tally) -> TotalOut:
    """Cost and how far it is known."""
    return TotalOut(**total_fields(of))


def usage_fields(of: Tally) -> dict[str, Any]:
    """The fields of :class:`UsageOut`."""
    return {
        **total_fields(of),
        "streams": of["streams"],
        "tokens": tokens_out(of),
        "cache_hits": of["cache_hits"],
        "cache_read_ppm": ppm(of["cache_read_tokens"], of["input_tokens"]),
        "errors": of.errors,
        "error_rate_ppm": ppm(of.errors, of["calls"]),
    }


def usage_out(of: Tally) -> UsageOut:
    """Cost, tokens and errors."""
    return UsageOut(**usage_fields(of))


def tokens_out(of: Tally) -> TokenCountsOut:
    """Tokens of each kind."""
    return TokenCountsOut(**{name.removesuffix("_tokens"): of[name] for name in TOKENS})


def errors_out(of: Tally) -> dict[str, int]:
    """Errors by kind."""
    return {kind.value.removeprefix("errors_"): of[kind.value] for kind in ErrorKind}


def components_out(of: Tally) -> dict[str, MoneyOut]:
    """What the cost is made of."""
    return {name: money(of[f"cost_{name}_nano"]) for name in COMPONENTS}


def savings_out(of: Tally) -> SavingsOut:
    """What routing saved."""
    saved = of["baseline_nano"] - of["baseline_cost_nano"]
    return SavingsOut(
        compared_calls=of["baseline_calls"],
        baseline=money(of["baseline_nano"]),
        cost=money(of["baseline_cost_nano"]),
        saved=money(saved),
        saved_ppm=ppm(saved, of["baseline_nano"]),
    )


def speed_out(of: Tally) -> SpeedOut:
    """Percentiles of durations, first bytes and speeds."""
    return SpeedOut(
        duration_us=percentiles_out(of.histogram(HistogramName.DURATION)),
        ttft_us=percentiles_out(of.histogram(HistogramName.TTFT)),
        tokens_per_1000_s=percentiles_out(of.histogram(HistogramName.RATE)),
    )


def percentiles_out(histogram: Histogram) -> PercentilesOut:
    """Median, 95th and 99th."""
    p50, p95, p99 = histogram.percentiles((50, 95, 99))
    return PercentilesOut(samples=histogram.total, p50=p50, p95=p95, p99=p99)


def change_out(now: Tally, before: Tally) -> ChangeOut:
    """From the period before to this one."""
    calls, cost = now["calls"] - before["calls"], now["cost_nano"] - before["cost_nano"]
    return ChangeOut(
        calls=calls,
        calls_ppm=ppm(calls, before["calls"]),
        cost=money(cost),
        cost_ppm=ppm(cost, before["cost_nano"]),
    )


def total_fields(of: Tally) -> dict[str, Any]:
    """The fields of :class:`TotalOut`."""
    return {
        "calls": of["calls"],
        "cost": money(of["cost_nano"]),
        "estimated_calls": of["estimated_calls"],
        "estimated_cost": money(of["estimated_nano"]),
        "partial_calls": of["partial_calls"],
        "partial_cost": money(of["partial_nano"]),
        "unpriced_calls": of["unpriced_calls"] + of["invalid_calls"],
    }
