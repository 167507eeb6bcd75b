"""Verdicts, sums and shares of quality; the Wilson interval against its definition."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.insights.wilson import Interval, Slice, interval, weak
from telemetry.quality import (
    NOTHING,
    PPM,
    Measures,
    Opinion,
    Result,
    Scale,
    Share,
    Source,
    acceptance,
    containment,
    cost_per_good_nano,
    csat,
    measures_of,
    resolution,
    satisfaction,
    verdict,
)

UP = Opinion(Source.USER, Scale.THUMBS, PPM)
DOWN = Opinion(Source.USER, Scale.THUMBS, 0)
JUDGE_GOOD = Opinion(Source.JUDGE, Scale.SCORE, 900_000)
JUDGE_BAD = Opinion(Source.JUDGE, Scale.SCORE, 100_000)

opinions = st.lists(
    st.builds(Opinion, st.sampled_from(Source), st.sampled_from(Scale), st.integers(0, PPM)), max_size=5
)
results = st.dictionaries(st.sampled_from(Result), st.integers(0, 10**12), max_size=5)


def stars(number: int, source: Source = Source.USER) -> Opinion:
    return Opinion(source, Scale.STARS, (number - 1) * 250_000)


@pytest.mark.parametrize(
    ("said", "came", "good"),
    [
        ([], {}, None),
        ([UP], {}, True),
        ([DOWN, JUDGE_GOOD], {Result.ACCEPTED: 0}, False),
        ([UP, DOWN], {}, False),
        ([UP, UP, DOWN], {}, True),
        ([stars(4)], {}, True),
        ([stars(3)], {}, False),
        ([JUDGE_GOOD], {Result.ESCALATED: 0}, False),
        ([JUDGE_BAD], {Result.CONVERTED: 5}, True),
        ([], {Result.RESOLVED: 0, Result.ESCALATED: 0}, False),
        ([JUDGE_BAD, Opinion(Source.SYSTEM, Scale.SCORE, PPM)], {}, False),
        ([Opinion(Source.SYSTEM, Scale.SCORE, PPM)], {}, True),
    ],
)
def test_who_is_believed(said: list[Opinion], came: dict[Result, int], good: bool | None) -> None:
    assert verdict(said, came) is good


def test_a_call_with_everything() -> None:
    found = measures_of(
        [UP, stars(5), JUDGE_BAD], {Result.ACCEPTED: 0, Result.CONVERTED: 7}, 1_000, "estimated"
    )
    assert found == Measures(
        calls=1, user_count=2, user_good=2, user_ppm=2 * PPM, judge_count=1, judge_ppm=100_000,
        stars_count=1, stars_good=1, stars_ppm=PPM, accepted=1, converted=1, value_nano=7,
        judged=1, good=1, priced=1, priced_good=1, cost_nano=1_000, estimated_nano=1_000,
    )  # fmt: skip


def test_a_cost_that_is_not_known_counts_on_neither_side() -> None:
    both = measures_of([UP], {}, 500, "priced") + measures_of([UP], {}, None, "unpriced")
    assert (both.good, both.priced_good, both.cost_nano) == (2, 1, 500)
    assert cost_per_good_nano(both) == 500


def test_bad_answers_make_the_good_ones_dearer() -> None:
    sums = sum((measures_of([one], {}, 300, "priced") for one in (UP, DOWN, DOWN)), NOTHING)
    assert cost_per_good_nano(sums) == 900
    assert cost_per_good_nano(measures_of([DOWN], {}, 300, "priced")) is None


def test_shares() -> None:
    cases = [
        {Result.RESOLVED: 0},
        {Result.RESOLVED: 0, Result.ESCALATED: 0},
        {Result.ESCALATED: 0},
        {Result.ACCEPTED: 0},
    ]
    sums = sum((measures_of([stars(4)], case, None, "unpriced") for case in cases), NOTHING)
    assert resolution(sums) == Share(2, 3)
    assert containment(sums) == Share(1, 3)
    assert acceptance(sums) == Share(1, 1)
    assert csat(sums) == satisfaction(sums) == Share(4, 4)
    assert resolution(sums).ppm == 666_667
    assert csat(NOTHING).ppm is None


@given(opinions, results, st.one_of(st.none(), st.integers(0, 10**15)))
def test_sums_can_be_added_and_taken_away(
    said: list[Opinion], came: dict[Result, int], cost: int | None
) -> None:
    one = measures_of(said, came, cost, "priced")
    other = measures_of([UP, stars(1)], {Result.REJECTED: 0}, 17, "estimated")
    assert one + other - one == other
    assert one - one == NOTHING
    assert min(getattr(one, name) for name in one.__struct_fields__) >= 0
    assert one.priced_good <= one.good <= one.judged <= one.calls <= 1
    for share in (satisfaction, csat, acceptance, resolution, containment):
        assert 0 <= share(one).part <= share(one).whole


@given(st.integers(0, 10**6), st.integers(1, 10**6))
def test_a_share_is_rounded_to_the_nearest_part(part: int, whole: int) -> None:
    found = Share(part, whole).ppm
    assert found is not None
    assert abs(Fraction(part * PPM, whole) - found) <= Fraction(1, 2)


@given(st.integers(0, 2000), st.integers(1, 2000), st.floats(0.5, 4))
def test_the_ends_of_the_interval_solve_wilsons_equation(good: int, count: int, z: float) -> None:
    good = min(good, count)
    found, share = interval(good, count, z), good / count
    assert 0 <= found.low <= share <= found.high <= 1
    for end in (found.low, found.high):
        if 0 < end < 1:
            assert math.isclose(
                (share - end) ** 2, z * z * end * (1 - end) / count, rel_tol=1e-6, abs_tol=1e-12
            )


def test_known_values() -> None:
    found = interval(81, 263)
    assert (round(found.low, 4), round(found.high, 4)) == (0.2553, 0.3662)
    assert interval(0, 0) == Interval(0, 1)
    assert interval(0, 10).low == 0
    assert interval(10, 10).high == 1
    with pytest.raises(ValueError, match="11 of 10"):
        interval(11, 10)


def test_slices_that_are_worse_and_not_by_chance() -> None:
    slices = [
        Slice("fine", 900, 1000),
        Slice("bad", 300, 1000),
        Slice("worse", 10, 100),
        Slice("few", 0, 10),
        Slice("by chance", 17, 20),
    ]
    found = weak(slices, least_samples=20)
    assert [one.slice.name for one in found] == ["worse", "bad"]
    assert all(one.here.high < one.elsewhere.low for one in found)
    assert weak([Slice("alone", 0, 1000)]) == []
