"""Days of a time zone against hours of UTC. Pure."""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, date, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from storage.rollups.question import QuestionError

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
_EPOCH = date(1970, 1, 1)
Range = tuple[int, int]
"""Half-open: from the first to before the second."""


def zone_of(name: str) -> tzinfo:
    """Raises :class:`QuestionError` for a name that is no time zone."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise QuestionError(f"{name!r} is no time zone; names are like Europe/Berlin") from error


class Offsets(msgspec.Struct, frozen=True):
    """How far a zone is ahead of UTC during a period: from each moment on, so many minutes."""

    moments: tuple[int, ...]
    """Milliseconds since 1970 (UTC); the first is before the period."""
    minutes: tuple[int, ...]
    until_ms: int
    """Where was looked for changes."""

    @classmethod
    def of(cls, zone: tzinfo, since_ms: int, until_ms: int) -> Offsets:
        """Found by looking at every day, then closer where it differs."""
        moments, minutes = [since_ms], [offset(zone, since_ms)]
        for at in range(since_ms, until_ms + DAY_MS, DAY_MS):
            if offset(zone, at + DAY_MS) != minutes[-1]:
                low, high = at, at + DAY_MS
                while high - low > MINUTE_MS:
                    middle = (low + high) // 2
                    low, high = (middle, high) if offset(zone, middle) == minutes[-1] else (low, middle)
                moments.append(high // MINUTE_MS * MINUTE_MS)
                minutes.append(offset(zone, high))
        return cls(tuple(moments), tuple(minutes), until_ms)

    @property
    def is_utc(self) -> bool:
        """Whether days are those of UTC."""
        return set(self.minutes) == {0}

    def day(self, ms: int) -> int:
        """The day (since 1970) it is in the zone."""
        index = max(0, bisect_right(self.moments, ms) - 1)
        return (ms + self.minutes[index] * MINUTE_MS) // DAY_MS


def offset(zone: tzinfo, ms: int) -> int:
    """Minutes the zone is ahead of UTC."""
    ahead = datetime.fromtimestamp(ms // 1000, UTC).astimezone(zone).utcoffset() or timedelta()
    return round(ahead.total_seconds()) // 60


def midnight(day: int, zone: tzinfo) -> datetime:
    """When a day begins in the zone; where the clock leaps over midnight, the moment of the leap."""
    begin = datetime.combine(_EPOCH + timedelta(days=day), datetime.min.time(), zone)
    return begin.astimezone(UTC).astimezone(zone)


def midnights(zone: tzinfo, offsets: Offsets, since_ms: int, until_ms: int) -> list[int]:
    """Beginnings of days within a period, milliseconds since 1970 (UTC)."""
    days = range(offsets.day(since_ms) + 1, offsets.day(until_ms) + 1)
    found = [int(midnight(day, zone).timestamp() * 1000) for day in days]
    return [ms for ms in found if since_ms < ms < until_ms]
