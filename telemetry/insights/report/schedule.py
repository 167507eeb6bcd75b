"""When reports are due, and which days they are about. Pure."""

from __future__ import annotations

import enum
import re
from datetime import date, datetime, time, timedelta, tzinfo
from typing import Final

import msgspec

WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_WEEKLY: Final = re.compile(rf"({'|'.join(WEEKDAYS)}) ([01]\d|2[0-3]):([0-5]\d)", re.IGNORECASE)
_MONTHLY: Final = re.compile(r"([1-9]|1\d|2[0-8]) ([01]\d|2[0-3]):([0-5]\d)")


class Span(enum.StrEnum):
    """How many days a report is about."""

    WEEKLY = "weekly"
    """Monday to Sunday."""
    MONTHLY = "monthly"


class Due(msgspec.Struct, frozen=True):
    """A time of the week (``day``: 0 is Monday) or of the month (``day``: 1 to 28)."""

    span: Span
    day: int
    at: time


def due_of(span: Span, text: str) -> Due | None:
    """``monday 08:00``, or ``1 08:00`` for the first of each month; ``None`` if it is not that."""
    found = (_WEEKLY if span is Span.WEEKLY else _MONTHLY).fullmatch(text.strip())
    if found is None:
        return None
    day = WEEKDAYS.index(found[1].lower()) if span is Span.WEEKLY else int(found[1])
    return Due(span, day, time(int(found[2]), int(found[3])))


def latest(due: Due, now: datetime, zone: tzinfo) -> datetime:
    """The last time it was due, at or before ``now`` (aware)."""
    today = now.astimezone(zone).date()
    for ago in range(32):
        day = today - timedelta(days=ago)
        hits = day.weekday() == due.day if due.span is Span.WEEKLY else day.day == due.day
        moment = datetime.combine(day, due.at, zone)
        if hits and moment <= now:
            return moment
    raise AssertionError("every week has every weekday, and every month 28 days")


def whole(span: Span, day: date) -> tuple[date, date]:
    """The last week or month that was over when ``day`` began: its first day, and the day after its last."""
    if span is Span.WEEKLY:
        until = day - timedelta(days=day.weekday())
        return until - timedelta(days=7), until
    until = day.replace(day=1)
    return (until - timedelta(days=1)).replace(day=1), until


def before(span: Span, since: date) -> date:
    """The first day of the period before the one that begins on ``since``."""
    return whole(span, since)[0]


def key_of(span: Span, since: date) -> str:
    """``2026-W47`` or ``2026-11``: names the period for ever."""
    year, week, _ = since.isocalendar()
    return f"{year}-W{week:02}" if span is Span.WEEKLY else f"{since:%Y-%m}"
