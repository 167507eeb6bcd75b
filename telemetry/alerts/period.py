"""Windows of time: of the calendar in a time zone, or sliding."""

from __future__ import annotations

import enum
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from telemetry.alerts.verdict import Window
from telemetry.calendar import Kind, stretch_of


class Period(enum.StrEnum):
    """A stretch of the calendar. Weeks begin on Monday."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


_KEYS: Final = {Period.DAY: "{:%Y-%m-%d}", Period.WEEK: "{:%G-W%V}", Period.MONTH: "{:%Y-%m}"}


def calendar_window(period: Period, zone: ZoneInfo, now: datetime) -> Window:
    """The window that ``now`` (aware) is in; its ends are UTC. Days are 23 or 25 hours long when clocks change."""
    if period is Period.HOUR:
        # Over UTC, because the hour before the clocks are put back comes twice.
        start = now.astimezone(zone).replace(minute=0, second=0, microsecond=0).astimezone(UTC)
        return Window(f"{start:%Y-%m-%dT%H:%MZ}", start, start + timedelta(hours=1), calendar=True)
    found = stretch_of(Kind(period.value), zone, int(now.timestamp()))
    return Window(
        _KEYS[period].format(found.first),
        datetime.fromtimestamp(found.start_s, UTC),
        datetime.fromtimestamp(found.end_s, UTC),
        calendar=True,
    )


def sliding_window(window_s: int, now: datetime) -> Window:
    """The last ``window_s`` seconds; the key changes once a window's length, whoever evaluates."""
    slot = int(now.timestamp()) // window_s * window_s
    key = f"{datetime.fromtimestamp(slot, UTC):%Y-%m-%dT%H:%M:%SZ}"
    return Window(key, now - timedelta(seconds=window_s), now)
