"""Windows of budgets: no moment is in two, none in no one, whatever the clocks do."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.budgets.model import Budget, Window
from storage.budgets.windows import Calendar, span_of

ZONES = (
    "UTC",
    "Pacific/Auckland",
    "America/New_York",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "Africa/Cairo",
    "Pacific/Apia",
)
MOMENTS = st.integers(
    int(datetime(2000, 1, 1, tzinfo=UTC).timestamp()), int(datetime(2037, 1, 1, tzinfo=UTC).timestamp())
)


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


@given(
    st.sampled_from([window for window in Window if window is not Window.TOTAL]),
    st.sampled_from(ZONES),
    st.integers(1, 7),
    MOMENTS,
)
def test_windows_follow_each_other(window: Window, zone: str, week_start: int, moment: int) -> None:
    span = span_of(window, zone, week_start, moment)
    assert span.start_s <= moment < span.end_s
    assert span_of(window, zone, week_start, span.start_s) == span
    assert span_of(window, zone, week_start, span.end_s - 1) == span
    after = span_of(window, zone, week_start, span.end_s)
    before = span_of(window, zone, week_start, span.start_s - 1)
    assert (after.start_s, before.end_s) == (span.end_s, span.start_s)
    assert len({span.key, after.key, before.key}) == 3


@pytest.mark.parametrize(
    ("window", "zone", "moment", "start", "end"),
    [
        ("day", "UTC", "2026-11-21T12:00:00Z", "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z"),
        # the clock goes forward: a day of 23 hours
        ("day", "America/New_York", "2026-03-08T12:00:00Z", "2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z"),
        # and back: 25
        ("day", "America/New_York", "2026-11-01T12:00:00Z", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"),
        ("day", "Pacific/Auckland", "2026-04-04T20:00:00Z", "2026-04-04T11:00:00Z", "2026-04-05T12:00:00Z"),
        ("day", "Pacific/Auckland", "2026-09-26T20:00:00Z", "2026-09-26T12:00:00Z", "2026-09-27T11:00:00Z"),
        ("month", "Pacific/Auckland", "2026-09-30T12:00:00Z", "2026-09-30T11:00:00Z", "2026-10-31T11:00:00Z"),
        ("month", "America/New_York", "2026-12-01T04:59:59Z", "2026-11-01T04:00:00Z", "2026-12-01T05:00:00Z"),
        ("week", "UTC", "2026-11-21T12:00:00Z", "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z"),
        ("hour", "Asia/Kolkata", "2026-11-21T12:34:56Z", "2026-11-21T12:00:00Z", "2026-11-21T13:00:00Z"),
    ],
)  # fmt: skip
def test_where_they_begin_and_end(window: str, zone: str, moment: str, start: str, end: str) -> None:
    span = span_of(Window(window), zone, 1, at(moment))
    assert (span.start_s, span.end_s) == (at(start), at(end))
    assert span.key == f"{window}:{start}"


def test_a_week_begins_when_it_is_said_to() -> None:
    friday = at("2026-11-20T12:00:00Z")
    starts = [
        datetime.fromtimestamp(span_of(Window.WEEK, "UTC", day, friday).start_s, UTC) for day in range(1, 8)
    ]
    assert [start.isoweekday() for start in starts] == list(range(1, 8))
    assert all(0 <= (datetime.fromtimestamp(friday, UTC) - start).days < 7 for start in starts)


def test_where_midnight_does_not_exist_the_day_begins_after_it() -> None:
    """Clocks in Cairo went from 23:59:59 to 01:00:00 on the 28th of April 2023."""
    moment = at("2023-04-28T10:00:00Z")
    span = span_of(Window.DAY, "Africa/Cairo", 1, moment)
    local = datetime.fromtimestamp(span.start_s, ZoneInfo("Africa/Cairo"))
    assert (local.day, local.hour) == (28, 1)
    assert span.end_s - span.start_s == 23 * 3600


def test_a_calendar_says_the_same_and_remembers() -> None:
    calendar = Calendar()
    budget = Budget(id="b", name="b", limit=1, window=Window.DAY, timezone="America/New_York")
    for hour in range(0, 24 * 400, 5):
        moment = at("2026-01-01T00:00:00Z") + hour * 3600
        assert calendar.span(budget, moment) == span_of(Window.DAY, "America/New_York", 1, moment)
