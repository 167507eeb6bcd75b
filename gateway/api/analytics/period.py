"""The stretch of time an answer is about, and the one before it."""

from __future__ import annotations

import enum
from datetime import UTC, datetime, time, timedelta, tzinfo
from difflib import get_close_matches
from typing import Final
from zoneinfo import available_timezones

import msgspec

from gateway.api.parameters import moment_of
from gateway.api.problems import ApiError
from gateway.settings.problem import did_you_mean
from storage.rollups.question import QuestionError
from storage.rollups.zones import zone_of

MOST_DAYS: Final = 400
"""Longest period, days."""
MOST_ZONES: Final = 20
"""Names of time zones in an error."""
_EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)
_DAY: Final = timedelta(days=1)


class Period(enum.StrEnum):
    """How far back; all but ``custom`` end now."""

    HOURS_24 = "24h"
    DAYS_7 = "7d"
    DAYS_30 = "30d"
    DAYS_90 = "90d"
    CUSTOM = "custom"


DEFAULT: Final = Period.DAYS_30
_DAYS: Final = {Period.DAYS_7: 7, Period.DAYS_30: 30, Period.DAYS_90: 90}


class Window(msgspec.Struct, frozen=True):
    """``[since, until)``, aware, in the zone of the question."""

    period: Period
    since: datetime
    until: datetime
    zone: str
    """IANA name."""

    @property
    def length(self) -> timedelta:
        """How long it takes."""
        return self.until.astimezone(UTC) - self.since.astimezone(UTC)

    @property
    def open_end(self) -> bool:
        """It ends now: every call that began since belongs to it."""
        return self.period is not Period.CUSTOM

    def previous(self) -> Window:
        """The stretch before, as long: by calendar days where this one is made of them, up to the same time of day."""
        days = _DAYS.get(self.period) or self._whole_days()
        if days is None:
            since = (self.since.astimezone(UTC) - self.length).astimezone(self.since.tzinfo)
            return Window(Period.CUSTOM, since, self.since, self.zone)
        # The arithmetic of aware times is that of wall clocks.
        return Window(
            Period.CUSTOM, self.since - days * _DAY, _settled(self.until - days * _DAY, self.since), self.zone
        )

    def _whole_days(self) -> int | None:
        if self.since.time() != time.min or self.until.time() != time.min:
            return None
        return (self.until.date() - self.since.date()).days


def window_of(period: Period | None, since: str | None, until: str | None, tz: str, now: datetime) -> Window:
    """The period that is asked for. Raises :class:`ApiError` 400."""
    zone = zone_named(tz)
    now = now.astimezone(zone)
    if period is None:
        period = DEFAULT if since is None and until is None else Period.CUSTOM
    if period is Period.CUSTOM:
        return _custom(since, until, tz, zone, now)
    for param, value in (("since", since), ("until", until)):
        if value is not None:
            raise ApiError(
                400,
                "invalid_parameter",
                f"{param} is for period=custom, not for {period.value}.",
                param=param,
            )
    if period is Period.HOURS_24:
        begin = (now.astimezone(UTC) - _DAY).astimezone(zone)
    else:
        begin = midnight_of(now - (_DAYS[period] - 1) * _DAY)
    return Window(period, begin, now, tz)


def zone_named(tz: str) -> tzinfo:
    """The time zone. Raises :class:`ApiError` 400."""
    try:
        return zone_of(tz)
    except QuestionError:
        known = sorted(available_timezones())
        message = f"tz={tz!r} is no time zone. {did_you_mean(tz, known)}Names are like UTC or Europe/Berlin."
        like = get_close_matches(tz, known, MOST_ZONES, cutoff=0.0)
        raise ApiError(400, "invalid_parameter", message, param="tz", allowed=like) from None


def midnight_of(moment: datetime) -> datetime:
    """The beginning of a moment's day, where the moment is; where the clock leaps over midnight, the leap."""
    return _settled(datetime.combine(moment.date(), time.min, moment.tzinfo), moment)


def _settled(moment: datetime, zoned: datetime) -> datetime:
    """A time of day that exists."""
    return moment.astimezone(UTC).astimezone(zoned.tzinfo)


def _custom(since: str | None, until: str | None, tz: str, zone: tzinfo, now: datetime) -> Window:
    if since is None:
        raise ApiError(
            400, "invalid_parameter", "period=custom needs since (and until, else now).", param="since"
        )
    begin = moment_of("since", since, now, zone)
    end = now if until is None else moment_of("until", until, now, zone)
    for param, moment in (("since", begin), ("until", end)):
        if not _EARLIEST <= moment < _LATEST:
            raise ApiError(
                400, "invalid_parameter", f"{param} must lie between the years 2000 and 2200.", param=param
            )
    if end <= begin:
        raise ApiError(400, "invalid_parameter", "until must be later than since.", param="until")
    if end - begin > MOST_DAYS * _DAY:
        message = f"The period is longer than {MOST_DAYS} days; ask for several shorter ones."
        raise ApiError(400, "range_too_long", message, param="since")
    return Window(Period.CUSTOM, begin.astimezone(zone), end.astimezone(zone), tz)
