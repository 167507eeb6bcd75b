"""Windows of time: of the calendar in a time zone, or sliding."""

from __future__ import annotations

import enum
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from telemetry.alerts.verdict import Window


class Period(enum.StrEnum):
    """A stretch of the calendar. Weeks begin on Monday."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


def calendar_window(period: Period, zone: ZoneInfo, now: datetime) -> Window:
    """The window that ``now`` (aware) is in; its ends are UTC. Days are 23 or 25 hours long when clocks change."""
    local = now.astimezone(zone)
    if period is Period.HOUR:
        # Over UTC, because the hour before the clocks are put back comes twice.
        start = local.replace(minute=0, second=0, microsecond=0).astimezone(UTC)
        return Window(f"{start:%Y-%m-%dT%H:%MZ}", start, start + timedelta(hours=1), calendar=True)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None, fold=0)
    if period is Period.DAY:
        first, after, key = midnight, midnight + timedelta(days=1), f"{midnight:%Y-%m-%d}"
    elif period is Period.WEEK:
        first = midnight - timedelta(days=midnight.weekday())
        after, key = first + timedelta(days=7), f"{first:%G-W%V}"
    else:
        first = midnight.replace(day=1)
        after, key = (first + timedelta(days=32)).replace(day=1), f"{first:%Y-%m}"
    return Window(
        key,
        first.replace(tzinfo=zone).astimezone(UTC),
        after.replace(tzinfo=zone).astimezone(UTC),
        calendar=True,
    )


def sliding_window(window_s: int, now: datetime) -> Window:
    """The last ``window_s`` seconds; the key changes once a window's length, whoever evaluates."""
    slot = int(now.timestamp()) // window_s * window_s
    key = f"{datetime.fromtimestamp(slot, UTC):%Y-%m-%dT%H:%M:%SZ}"
    return Window(key, now - timedelta(seconds=window_s), now)
