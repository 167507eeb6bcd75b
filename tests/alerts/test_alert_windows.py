"""Windows of the calendar and of the last minutes, and what spend comes to at the end of one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from alerts.facts import NOON
from hypothesis import given
from hypothesis import strategies as st

from telemetry.alerts.period import Period, calendar_window, sliding_window
from telemetry.alerts.projection import DAY_S, Method, begun, projected
from telemetry.alerts.verdict import Unit
from telemetry.alerts.words import amount, factor, percent, seconds, usd

ZONES = (
    "UTC",
    "Europe/Zurich",
    "America/New_York",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "America/St_Johns",
    "Africa/Cairo",
)
moments = st.integers(1_420_000_000_000_000, 2_050_000_000_000_000).map(
    lambda us: datetime.fromtimestamp(0, UTC) + timedelta(microseconds=us)
)


@given(moments, st.sampled_from(Period), st.sampled_from(ZONES))
def test_windows_follow_each_other_without_gap_and_overlap(
    moment: datetime, period: Period, zone: str
) -> None:
    window = calendar_window(period, ZoneInfo(zone), moment)
    assert window.start <= moment < window.end
    after = calendar_window(period, ZoneInfo(zone), window.end)
    assert after.start == window.end
    assert after.key != window.key
    last = calendar_window(period, ZoneInfo(zone), window.end - timedelta(microseconds=1))
    assert last == window


@pytest.mark.parametrize(
    ("period", "key", "start", "end"),
    [
        (Period.HOUR, "2026-11-21T12:00Z", "2026-11-21T12:00", "2026-11-21T13:00"),
        (Period.DAY, "2026-11-21", "2026-11-20T23:00", "2026-11-21T23:00"),
        (Period.WEEK, "2026-W47", "2026-11-15T23:00", "2026-11-22T23:00"),
        (Period.MONTH, "2026-11", "2026-10-31T23:00", "2026-11-30T23:00"),
    ],
)
def test_a_window_in_zurich(period: Period, key: str, start: str, end: str) -> None:
    window = calendar_window(period, ZoneInfo("Europe/Zurich"), NOON)
    assert window.key == key
    assert (window.start.isoformat()[:16], window.end.isoformat()[:16]) == (start, end)


def test_the_hour_that_comes_twice_is_two_windows() -> None:
    zone = ZoneInfo("Europe/Zurich")
    first = calendar_window(Period.HOUR, zone, datetime(2026, 10, 25, 0, 30, tzinfo=UTC))
    second = calendar_window(Period.HOUR, zone, datetime(2026, 10, 25, 1, 30, tzinfo=UTC))
    assert first.key != second.key
    day = calendar_window(Period.DAY, zone, datetime(2026, 10, 25, 12, tzinfo=UTC))
    assert day.end - day.start == timedelta(hours=25)


def test_the_minutes_after_which_the_day_begins_again_are_of_one_day() -> None:
    """St. John's put its clocks back at one minute past midnight: 23:01 of the day before came again."""
    zone = ZoneInfo("America/St_Johns")
    first = datetime(2010, 11, 7, 2, 30, 30, tzinfo=UTC)  # half a minute past midnight of the 7th
    again = first + timedelta(minutes=10)  # 23:10:30 of the 6th, once more
    for period in (Period.DAY, Period.MONTH):
        one, other = calendar_window(period, zone, first), calendar_window(period, zone, again)
        assert one.start <= first < one.end
        assert other.start <= again < other.end
        assert one == other
        assert one.start == datetime(2010, 11, 7, 2, 30, tzinfo=UTC) or period is Period.MONTH


@given(moments, st.integers(60, 3_600))
def test_a_sliding_window_has_one_key_per_length(moment: datetime, length: int) -> None:
    window = sliding_window(length, moment)
    assert window.end - window.start == timedelta(seconds=length)
    assert sliding_window(length, moment + timedelta(seconds=length)).key > window.key
    assert not window.calendar


@given(
    st.lists(st.integers(0, 10**15), min_size=1, max_size=28),
    st.integers(0, 10**15),
    st.integers(0, DAY_S),
    st.integers(0, 31 * DAY_S),
    st.sampled_from(Method),
)
def test_a_projection_is_never_below_what_is_spent(
    history: list[int], spent: int, today: int, remaining: int, method: Method
) -> None:
    value = projected(spent, history, today, remaining, method)
    assert spent <= value <= spent + max(history) * (remaining // DAY_S + 2)


@given(st.integers(0, 10**12), st.integers(1, 28), st.integers(0, DAY_S), st.integers(0, 31 * DAY_S))
def test_a_steady_spend_goes_on_in_both_ways(daily: int, days: int, today: int, remaining: int) -> None:
    exact = daily * remaining // DAY_S
    for method in Method:
        assert exact - 32 <= projected(0, [daily] * days, today, remaining, method) <= exact


def test_the_days_of_the_week_have_their_own_spend() -> None:
    # Monday to Sunday; today is a Monday that has just begun, and two days are left.
    week = [100, 200, 0, 0, 0, 0, 7]
    assert projected(0, week * 2, DAY_S, 2 * DAY_S, Method.SEASONAL) == 300
    assert projected(0, week * 2, DAY_S, 2 * DAY_S, Method.AUTO) == 300
    assert projected(0, week * 2, DAY_S // 2, 3 * DAY_S // 2, Method.SEASONAL) == 250
    assert projected(0, week * 2, DAY_S, 9 * DAY_S, Method.SEASONAL) == 607
    assert projected(0, week, DAY_S, 7 * DAY_S, Method.LINEAR) == 301, "seven times 43, cut off"


def test_history_begins_with_the_first_spend() -> None:
    assert list(begun([0, 0, 5, 0, 6])) == [5, 0, 6]
    assert list(begun([0, 0])) == []


@pytest.mark.parametrize(
    ("nano", "text"),
    [
        (0, "$0"),
        (1, "$0.000000001"),
        (1_500, "$0.000002"),
        (250_000_000, "$0.25"),
        (999_999_499, "$0.999999"),
        (1_000_000_000, "$1.00"),
        (1_234_567_890_123, "$1,234.57"),
        (-5_000_000_000, "-$5.00"),
    ],
)
def test_money_in_words(nano: int, text: str) -> None:
    assert usd(nano) == text


def test_numbers_in_words() -> None:
    assert [percent(one) for one in (999_999, 500_000, 75_100, 1_000_000)] == [
        "99.99 %",
        "50 %",
        "7.51 %",
        "100 %",
    ]
    assert [seconds(one) for one in (45, 60, 90, 3_600, 86_400, 0)] == [
        "45 s",
        "1 min",
        "90 s",
        "1 h",
        "1 d",
        "0 s",
    ]
    assert [factor(one) for one in (3_000_000, 2_550_000)] == ["3 times", "2.5 times"]
    assert amount(1, Unit.CALLS) == "1 call"
    assert amount(12_345, Unit.TOKENS) == "12,345 tokens"
    assert amount(1_240_000, Unit.MICROSECONDS) == "1.24 s"
