"""A question made ready: checked, its times in milliseconds, and where it is to be answered. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from typing import Final

import msgspec

from storage.rollups import state
from storage.rollups.dimensions import DIMENSIONS, USER_DIMENSIONS, Dimension
from storage.rollups.measures import MEASURES, USER_MEASURES
from storage.rollups.plan import FOREVER_MS, Plan, plan, plan_of_days
from storage.rollups.question import Bucket, HistogramName, Question, QuestionError, Source
from storage.rollups.zones import DAY_MS, HOUR_MS, Offsets, midnight, midnights, zone_of
from storage.rows import ms_of

MOST_DIMENSIONS: Final = 4
Values = tuple[str | None, ...]
_AHEAD_MS: Final = 2 * DAY_MS
"""How far into the future days are looked for where a question has no end: no gateway's clock is further ahead."""


class Asked(msgspec.Struct, frozen=True):
    """What every part of an answer needs to know."""

    group_by: tuple[Dimension, ...]
    conditions: Mapping[Dimension, Values]
    bucket: Bucket | None
    zone: tzinfo
    offsets: Offsets
    measures: tuple[str, ...]
    """``calls`` first."""
    histograms: tuple[HistogramName, ...]
    since_ms: int
    until_ms: int

    @property
    def dimensions(self) -> set[Dimension]:
        """All that it touches."""
        return {*self.group_by, *self.conditions}

    @property
    def marks(self) -> int:
        """How many columns tell the bucket."""
        return 0 if self.bucket is None else 1

    @property
    def fits_user_days(self) -> bool:
        """Whether its groups and buckets are unions of rows by user and UTC day."""
        by_day = self.bucket is None or (self.bucket is Bucket.DAY and self.offsets.is_utc)
        return by_day and self.dimensions <= set(USER_DIMENSIONS)

    @property
    def fits_user_groups(self) -> bool:
        """Whether rows by user and UTC day tell users and sessions by the groups that are noted there."""
        by_day = self.bucket is None or (self.bucket is Bucket.DAY and self.offsets.is_utc)
        known = {*DIMENSIONS, Dimension.USER}
        return by_day and self.dimensions <= known and Dimension.USER not in self.group_by

    @property
    def counts_from_sums(self) -> bool:
        """Whether different users and sessions are told by the sums by user."""
        return self.fits_user_days or self.fits_user_groups

    @property
    def source(self) -> Source:
        """Where its sums are."""
        if self.dimensions <= set(DIMENSIONS):
            return Source.ROLLUPS
        summed = set(self.measures) <= set(USER_MEASURES) and not self.histograms
        return Source.USER_DAYS if self.fits_user_days and summed else Source.CALLS

    def matches(self, own: Mapping[Dimension, str | None]) -> bool:
        """Whether something with these values counts."""
        return all(own[dimension] in values for dimension, values in self.conditions.items())

    def mark(self, ms: int) -> int | None:
        """The number of the bucket of a moment."""
        if self.bucket is None:
            return None
        return ms // HOUR_MS if self.bucket is Bucket.HOUR else self.offsets.day(ms)

    def begin(self, mark: int | None) -> datetime | None:
        """When a bucket begins."""
        if mark is None:
            return None
        return self.moment(mark * HOUR_MS) if self.bucket is Bucket.HOUR else midnight(mark, self.zone)

    def moment(self, ms: int) -> datetime:
        """A time in the question's zone."""
        return datetime.fromtimestamp(ms / 1000, UTC).astimezone(self.zone)


def prepare(question: Question, now: datetime) -> Asked:
    """Raises :class:`QuestionError`."""
    unknown = set(question.measures) - set(MEASURES)
    if unknown:
        raise QuestionError(f"no such measure: {', '.join(sorted(unknown))}")
    if len(set(question.group_by)) < len(question.group_by) or len(question.group_by) > MOST_DIMENSIONS:
        raise QuestionError(f"calls are grouped by at most {MOST_DIMENSIONS} different dimensions")
    if question.since.tzinfo is None or (question.until is not None and question.until.tzinfo is None):
        raise QuestionError("times need a time zone")
    since_ms = ms_of(question.since)
    until_ms = FOREVER_MS if question.until is None else ms_of(question.until)
    if until_ms <= since_ms:
        raise QuestionError("the period ends before it begins")
    zone = zone_of(question.zone)
    seen_ms = min(until_ms, max(since_ms, ms_of(now)) + _AHEAD_MS)
    return Asked(
        question.group_by,
        question.conditions,
        question.bucket,
        zone,
        Offsets.of(zone, since_ms, seen_ms),
        ("calls", *[name for name in question.measures if name != "calls"]),
        question.histograms,
        since_ms,
        until_ms,
    )


def planned(asked: Asked, source: Source, known: Mapping[str, int]) -> Plan:
    """What is read where. ``known``: the numbers of :mod:`storage.rollups.state`."""
    since_ms, until_ms = asked.since_ms, asked.until_ms
    held_ms = known.get(state.FORGOTTEN_MS, 0)
    if source is Source.CALLS:
        return Plan((0, 0), (), ((since_ms, until_ms),), since_ms, until_ms)
    if source is Source.USER_DAYS:
        return plan_of_days(since_ms, until_ms, held_ms=held_ms)
    cuts: list[int] = []
    days_before = known.get(state.CLOSED_DAY, 0)
    if asked.bucket is Bucket.HOUR:
        days_before = 0
    elif asked.bucket is Bucket.DAY and not asked.offsets.is_utc:
        cuts = midnights(asked.zone, asked.offsets, since_ms, min(until_ms, asked.offsets.until_ms))
        if not cuts:  # within one day, which is no day of UTC
            days_before = 0
    return plan(
        since_ms,
        until_ms,
        cuts=cuts,
        days_before=days_before,
        held_ms=held_ms,
        day_of=asked.offsets.day,
    )
