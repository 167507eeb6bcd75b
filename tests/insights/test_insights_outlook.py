"""What a month, a quarter and a year will have cost."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.insights.ahead import Until
from telemetry.insights.generated import SHAPES, daily
from telemetry.insights.outlook import outlooks

TODAY = date(2026, 11, 21)


def test_a_steady_spend_goes_on() -> None:
    month, quarter, year = outlooks([10] * 400, TODAY)
    assert [one.until for one in (month, quarter, year)] == list(Until)
    assert (month.last, month.spent_nano, month.total_nano) == (date(2026, 11, 30), 200, 300)
    assert (quarter.last, quarter.spent_nano, quarter.total_nano) == (date(2026, 12, 31), 510, 920)
    assert (year.last, year.spent_nano, year.total_nano) == (date(2026, 12, 31), 3240, 3650)
    assert month.low_nano == month.total_nano == month.high_nano


@pytest.mark.parametrize(("so_far", "total"), [(0, 300), (4, 300), (10, 300), (25, 315)])
def test_today_costs_what_was_expected_or_more(so_far: int, total: int) -> None:
    month = outlooks([10] * 400, TODAY, so_far)[0]
    assert (month.spent_nano, month.total_nano) == (200 + so_far, total)


def test_on_the_first_day_all_is_to_come() -> None:
    month, _, year = outlooks([10] * 400, date(2027, 1, 1))
    assert (month.spent_nano, month.total_nano, month.last) == (0, 310, date(2027, 1, 31))
    assert (year.spent_nano, year.total_nano) == (0, 3650)


@pytest.mark.parametrize("past", [[], [0] * 30])
def test_without_spend_nothing_is_told(past: list[int]) -> None:
    assert outlooks(past, TODAY) == []


@given(
    st.lists(st.integers(0, 10**12), min_size=1, max_size=60).filter(any),
    st.dates(date(2020, 1, 1), date(2040, 1, 1)),
    st.integers(0, 10**13),
)
def test_what_is_spent_stays_spent(past: list[int], today: date, so_far: int) -> None:
    for one in outlooks(past, today, so_far):
        assert one.spent_nano <= one.low_nano <= one.total_nano <= one.high_nano
        assert one.last >= today


def test_a_past_may_be_longer_than_the_year() -> None:
    days = daily(SHAPES[0], 700, seed=1)
    assert outlooks(days, TODAY)[0] == outlooks(days[-200:], TODAY)[0]
    first = TODAY - timedelta(days=700)
    assert outlooks(days, TODAY)[2].spent_nano == sum(days[(date(2026, 1, 1) - first).days :])
