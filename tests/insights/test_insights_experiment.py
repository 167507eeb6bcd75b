"""Differences between two variants, against published figures and against what chance does."""

from __future__ import annotations

import random
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.insights.experiment import (
    PPM,
    Variant,
    Verdict,
    _t95,
    compare,
    cost_difference,
    not_worse_ppm,
    quality_difference,
)

counts = st.integers(20, 5_000).flatmap(lambda judged: st.tuples(st.integers(0, judged), st.just(judged)))


def variant(costs: list[int], good: int = 0, judged: int = 0) -> Variant:
    return Variant(len(costs), sum(costs), sum(cost * cost for cost in costs), judged, good)


def costs(seed: int, mean: float, calls: int = 400) -> list[int]:
    dice = random.Random(seed)
    return [round(dice.lognormvariate(0, 1) * mean * 1_000_000) for _ in range(calls)]


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [((48, 80), (56, 70), 0.0524, 0.3339), ((0, 29), (5, 56), -0.0381, 0.1926)],
    ids=["Newcombe 1998, (a)", "Newcombe 1998, (d)"],
)
def test_shares_against_the_published_interval(
    first: tuple[int, int], second: tuple[int, int], low: float, high: float
) -> None:
    found = quality_difference(*first, *second)
    assert found is not None
    assert found.low / PPM == pytest.approx(low, abs=0.0001)
    assert found.high / PPM == pytest.approx(high, abs=0.0001)


@given(counts, counts)
def test_shares_are_the_same_from_both_sides(first: tuple[int, int], second: tuple[int, int]) -> None:
    one, other = quality_difference(*first, *second), quality_difference(*second, *first)
    assert one is not None
    assert other is not None
    assert -PPM <= one.low <= one.value <= one.high <= PPM
    assert (one.value, one.low, one.high) == (-other.value, -other.high, -other.low)


@given(counts)
def test_a_larger_tolerance_is_surer(both: tuple[int, int]) -> None:
    sure = [not_worse_ppm(50, 100, *both, tolerated_ppm=ppm) for ppm in (0, 50_000, 200_000)]
    assert 0 <= sure[0] <= sure[1] <= sure[2] <= PPM


@pytest.mark.parametrize(("freedom", "quantile"), [(29, 2.0452), (40, 2.0211), (100, 1.9840)])
def test_students_quantile(freedom: int, quantile: float) -> None:
    assert _t95(freedom) == pytest.approx(quantile, abs=0.001)


def test_mean_costs_differ_by_the_exact_means() -> None:
    found = cost_difference(variant([100] * 30), variant([70] * 40))
    assert found is not None
    assert (found.value, found.low, found.high) == (-30, -30, -30)
    assert found.certain


def test_bounds_of_costs_hold_the_truth_as_often_as_they_say() -> None:
    held = 0
    for seed in range(300):
        found = cost_difference(variant(costs(2 * seed, 1.0)), variant(costs(2 * seed + 1, 1.2)))
        assert found is not None
        held += found.low <= round(0.2 * 1.6487212707 * 1_000_000) <= found.high
    assert 0.92 < held / 300 < 0.985


def test_squares_beyond_the_precision_of_a_float() -> None:
    base = 10**15
    found = cost_difference(variant([base, base + 200] * 50), variant([base + 1000, base + 1200] * 50))
    assert found is not None
    # Two means of 100 costs that are 100 off: 1.97 times 14.2.
    assert (found.value, found.low, found.high) == (1000, 972, 1028)


@pytest.mark.parametrize("calls", [0, 1, 29])
def test_few_calls_or_verdicts_say_nothing(calls: int) -> None:
    many = variant([5] * 100, 10, 20)
    few = variant([5] * calls, 0, 19)
    for pair in ((many, few), (few, many)):
        found = compare(*pair)
        assert found.cost_nano is None
        assert found.quality_ppm is None
        assert found.verdict is Verdict.UNDECIDED


@pytest.mark.parametrize(
    ("mean", "good", "verdict"),
    [
        (1.0, 4000, Verdict.EQUAL),
        (0.5, 4000, Verdict.BETTER),
        (0.5, 4600, Verdict.BETTER),
        (1.0, 4600, Verdict.BETTER),
        (0.5, 3000, Verdict.TRADE_OFF),
        (2.0, 4600, Verdict.TRADE_OFF),
        (2.0, 4000, Verdict.WORSE),
        (1.0, 3000, Verdict.WORSE),
        (2.0, 3000, Verdict.WORSE),
    ],
)
def test_what_can_be_said_of_a_variant(mean: float, good: int, verdict: Verdict) -> None:
    first = variant(costs(1, 1.0), 4000, 5000)
    second = variant(costs(1, mean), good, 5000)
    assert compare(first, second).verdict is verdict


def test_who_is_better_is_never_both() -> None:
    opposite = {Verdict.BETTER: Verdict.WORSE, Verdict.WORSE: Verdict.BETTER}
    sides = [
        variant(costs(3, mean), good, 5000) for mean, good in product((0.5, 1.0, 2.0), (3000, 4000, 4600))
    ]
    for first, second in product(sides, sides):
        there, back = compare(first, second).verdict, compare(second, first).verdict
        assert back is opposite.get(there, there)
