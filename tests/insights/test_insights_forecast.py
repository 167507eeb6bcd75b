"""Forecasts: what they promise for any history, and how good they are on generated ones."""

from __future__ import annotations

from datetime import date, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.insights.ahead import Until, begin_of, days_left
from telemetry.insights.backtest import Errors, try_forecasts
from telemetry.insights.forecast import Method, forecast
from telemetry.insights.generated import SHAPES, Shape, daily

histories = st.lists(st.integers(0, 10**15), min_size=1, max_size=150)
CALM = tuple(shape for shape in SHAPES if shape.name not in ("wild days", "a step to 2.5 times"))


@given(histories, st.integers(0, 120), st.integers(0, 6))
def test_bounds_hold_the_points_and_sums_are_sums(days: list[int], horizon: int, weekday: int) -> None:
    told = forecast(days, horizon, weekday)
    assert told is not None
    assert len(told.points) == len(told.low) == len(told.high) == horizon
    assert all(
        0 <= low <= point <= high for low, point, high in zip(told.low, told.points, told.high, strict=True)
    )
    assert told.total == sum(told.points)
    assert 0 <= told.total_low <= told.total <= told.total_high
    assert told == forecast(tuple(days), horizon, weekday)


@given(histories, st.integers(0, 6), st.integers(1, 60))
def test_empty_days_before_the_first_spend_are_no_history(days: list[int], weekday: int, empty: int) -> None:
    days = [1, *days]
    assert forecast([0] * empty + days, 30, weekday) == forecast(days, 30, (weekday + empty) % 7)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_the_currency_does_not_matter(shape: Shape) -> None:
    days = daily(shape, 90, seed=1)
    one, thousand = forecast(days, 30, 0), forecast([1000 * day for day in days], 30, 0)
    assert one is not None
    assert thousand is not None
    for field in ("points", "low", "high"):
        for small, large in zip(getattr(one, field), getattr(thousand, field), strict=True):
            assert abs(1000 * small - large) <= 2000
    assert abs(1000 * one.total_high - thousand.total_high) <= 100_000


def test_days_that_repeat_exactly_are_told_exactly() -> None:
    week = [700, 800, 900, 800, 700, 100, 0]
    told = forecast(week * 6, 16, 0)
    assert told is not None
    assert told.method is Method.SEASONAL
    assert told.points == tuple((week * 3)[:16])
    assert told.low == told.points == told.high


def test_a_history_may_begin_on_any_day() -> None:
    days = daily(SHAPES[0], 91, seed=2)
    whole, later = forecast(days, 21, 0), forecast(days[3:], 21, 3)
    assert whole is not None
    assert later is not None
    for one, other in zip(whole.points, later.points, strict=True):
        assert abs(one - other) < 0.05 * max(one, other) + 1


@pytest.mark.parametrize(
    ("days", "method", "point"),
    [
        ([5_000_000], Method.NAIVE, 5_000_000),
        ([0, 0, 5_000_000], Method.NAIVE, 5_000_000),
        ([0, 0, 0], Method.NAIVE, 0),
        ([2_000_000, 4_000_000], Method.MEAN, 3_000_000),
        ([1_000_000] * 13, Method.MEAN, 1_000_000),
        ([1_000_000] * 14, Method.SEASONAL, 1_000_000),
        ([9_000_000, 0, 0] * 12, Method.MEAN, 3_000_000),
    ],
    ids=["one day", "one day with spend", "nothing spent", "two", "13", "14", "mostly empty"],
)
def test_a_short_or_empty_history_has_its_own_methods(days: list[int], method: Method, point: int) -> None:
    told = forecast(days, 7, 0)
    assert told is not None
    assert told.method is method
    assert all(abs(one - point) <= 0.06 * point for one in told.points)
    assert told.total_high > told.total or method is Method.SEASONAL or not point


def test_without_history_there_is_no_forecast() -> None:
    assert forecast([], 30, 0) is None


@pytest.mark.parametrize(
    ("days", "horizon", "weekday", "confidence"),
    [
        ([1, -1], 5, 0, 800_000),
        ([1], -1, 0, 800_000),
        ([1], 5, 7, 800_000),
        ([1], 5, 0, 0),
        ([1], 5, 0, 10**6),
    ],
)
def test_what_makes_no_sense_is_refused(days: list[int], horizon: int, weekday: int, confidence: int) -> None:
    with pytest.raises(ValueError):
        forecast(days, horizon, weekday, confidence)


def test_one_wild_day_hardly_moves_a_forecast() -> None:
    days = daily(SHAPES[0], 90, seed=3)
    for place in (10, 50, 80, 89):
        wild = [*days[:place], 20 * days[place], *days[place + 1 :]]
        one, other = forecast(days, 30, 0), forecast(wild, 30, 0)
        assert one is not None
        assert other is not None
        assert abs(one.total - other.total) < 0.1 * one.total, "added to the history it is a fifth"
        assert other.total_high > one.total_high


def test_more_confidence_is_wider() -> None:
    days = daily(SHAPES[0], 60, seed=4)
    bounds = [forecast(days, 30, 0, ppm) for ppm in (500_000, 800_000, 950_000)]
    widths = [one.total_high - one.total_low for one in bounds if one is not None]
    assert widths[0] < widths[1] < widths[2]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_the_seasonal_forecast_beats_naive_ones(shape: Shape) -> None:
    errors = tried(shape)
    assert errors.days < errors.days_naive
    assert errors.days < errors.days_weekly
    assert errors.totals < errors.totals_naive


def test_sums_over_all_shapes_are_better_than_last_week_repeated() -> None:
    every = Errors()
    for shape in SHAPES:
        every += tried(shape)
    assert every.totals < 0.85 * every.totals_weekly
    assert every.days < 0.40 * every.days_naive


def test_bounds_hold_as_often_as_they_say() -> None:
    every = Errors()
    for shape in CALM:
        every += tried(shape)
    assert 0.75 < every.inside / every.forecasts < 0.95


def tried(shape: Shape) -> Errors:
    errors = Errors()
    for seed in range(4):
        errors += try_forecasts(daily(shape, 180, seed), 0)
    return errors


def test_errors_add_up() -> None:
    days = daily(SHAPES[0], 120, seed=5)
    once = try_forecasts(days, 0)
    assert once.forecasts == 13
    twice = once + once
    assert msgspec.structs.astuple(twice) == tuple(2 * field for field in msgspec.structs.astuple(once))


@given(st.dates(date(2000, 1, 1), date(2099, 12, 31)), st.sampled_from(Until))
def test_days_left_end_with_the_period(day: date, until: Until) -> None:
    last = day + timedelta(days=days_left(day, until) - 1)
    assert begin_of(day, until) == begin_of(last, until)
    assert begin_of(last + timedelta(days=1), until) == last + timedelta(days=1)


@pytest.mark.parametrize(
    ("day", "until", "left"),
    [
        (date(2026, 2, 1), Until.MONTH, 28),
        (date(2028, 2, 29), Until.MONTH, 1),
        (date(2026, 11, 21), Until.MONTH, 10),
        (date(2026, 11, 21), Until.QUARTER, 41),
        (date(2026, 1, 1), Until.QUARTER, 90),
        (date(2026, 1, 1), Until.YEAR, 365),
        (date(2028, 12, 31), Until.YEAR, 1),
    ],
)
def test_days_left_counts_today(day: date, until: Until, left: int) -> None:
    assert days_left(day, until) == left
