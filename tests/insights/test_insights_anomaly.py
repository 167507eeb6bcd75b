"""Anomalies: what stands out, what does not, and how often that is wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.insights.anomaly import (
    DAILY,
    HOURS_A_WEEK,
    LEAST_VALUES,
    MOST_SCORE_PPM,
    WEEKLY,
    Direction,
    anomalies,
)
from telemetry.insights.backtest import Alarms, try_anomalies
from telemetry.insights.generated import SHAPES, Shape, daily, hourly

QUIET = tuple(shape for shape in SHAPES if shape.name not in ("wild days", "heavy tails"))
BY_NAME = {shape.name: shape for shape in SHAPES}


@given(st.lists(st.integers(0, 10**15), max_size=60), st.sampled_from((1, 7, 24)))
def test_what_stands_out_is_outside_its_bounds(series: list[int], season: int) -> None:
    found = anomalies(series, season)
    assert found == anomalies(tuple(series), season)
    assert [one.index for one in found] == sorted({one.index for one in found})
    for one in found:
        assert one.value == series[one.index]
        assert one.low <= one.expected <= one.high
        # Rounding of the bounds may reach the value itself.
        assert one.value >= one.high if one.direction is Direction.HIGH else one.value <= one.low
        assert 4_000_000 <= one.score_ppm <= MOST_SCORE_PPM


def test_a_spike_and_a_gap_are_found_with_what_was_expected() -> None:
    series = daily(BY_NAME["office weeks"], 63, seed=6)
    usual = series[45], series[53]
    series[45] *= 4
    series[53] = 0
    high, low = anomalies(series)
    assert (high.index, high.direction) == (45, Direction.HIGH)
    assert (low.index, low.direction) == (53, Direction.LOW)
    for one, before in zip((high, low), usual, strict=True):
        assert abs(one.expected - before) < 0.4 * before


def test_quiet_weekends_are_no_anomaly_and_busy_ones_are() -> None:
    series = daily(BY_NAME["workdays only"], 70, seed=2)
    assert series[12] == 0
    assert anomalies(series) == []
    series[47] = 50_000_000_000
    (found,) = anomalies(series)
    assert found.index == 47
    assert found.expected < 1_000_000, "next to nothing, beside days of a hundred dollars"


def test_a_series_that_never_varied() -> None:
    series = [1_000_000] * 40
    assert anomalies(series) == []
    series[20] = 1_100_000
    assert anomalies(series) == [], "a tenth more is not enough, however steady it was"
    series[20] = 1_500_000
    assert [(one.index, one.score_ppm) for one in anomalies(series)] == [(20, MOST_SCORE_PPM)]


@pytest.mark.parametrize("series", [[], [0] * 50, [1, 2, 300], [5] * (LEAST_VALUES - 1)])
def test_too_little_says_nothing(series: list[int]) -> None:
    assert anomalies(series) == []


@pytest.mark.parametrize(("series", "season"), [([1, -1], 7), ([1] * 20, 0)])
def test_impossible_questions_are_refused(series: list[int], season: int) -> None:
    with pytest.raises(ValueError):
        anomalies(series, season)


def test_a_lasting_step_stops_standing_out() -> None:
    series = daily(BY_NAME["a step to 2.5 times"], 100, seed=3)
    fresh = [one.index for one in anomalies(series[:63])]
    assert 60 in fresh or 61 in fresh or 62 in fresh
    assert len(anomalies(series)) <= 2


@pytest.mark.parametrize("shape", QUIET, ids=lambda shape: shape.name)
def test_false_alarms_are_as_rare_as_stated(shape: Shape) -> None:
    by_day, by_hour = Alarms(), Alarms()
    for seed in range(12):
        by_day += try_anomalies(daily(shape, 90, seed), WEEKLY, 3_000_000, 3, seed)
    for seed in range(2):
        by_hour += try_anomalies(hourly(shape, 4 * HOURS_A_WEEK, seed), HOURS_A_WEEK, 4_000_000, 3, seed)
    assert by_day.alarms * 1000 <= 2 * by_day.values
    assert by_hour.alarms * 1000 <= 3 * by_hour.values
    assert by_day.found >= 0.9 * by_day.planted
    assert by_hour.found >= 0.8 * by_hour.planted


def test_heavy_tails_cost_more_false_alarms() -> None:
    found = Alarms()
    for seed in range(20):
        found += try_anomalies(daily(BY_NAME["heavy tails"], 90, seed), WEEKLY, 3_000_000, 3, seed)
    assert 0 < found.alarms * 100 <= 2 * found.values
    assert found.found >= 0.9 * found.planted


def test_wild_days_are_found() -> None:
    quiet, wild = BY_NAME["office weeks"], BY_NAME["wild days"]
    series = daily(wild, 180, seed=4)
    calm = daily(Shape(wild.name), 180, seed=4)
    true = [place for place, (one, other) in enumerate(zip(series, calm, strict=True)) if one > 3 * other]
    assert quiet.wild == 0
    assert len(true) > 2
    assert [one.index for one in anomalies(series)] == true


def test_two_weeks_of_hours_are_enough_for_a_day_and_night() -> None:
    series = hourly(BY_NAME["no weekly pattern"], 14 * 24, seed=5)
    assert len(anomalies(series, DAILY)) <= 1
    series[200] *= 5
    assert 200 in [one.index for one in anomalies(series, DAILY)]
