"""What can be asked of the sums, and what comes back."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import date, datetime

import msgspec

from storage.rollups.dimensions import Dimension, Group
from storage.rollups.distinct import Distinct
from storage.rollups.histogram import Histogram
from storage.rollups.measures import MEASURES


class QuestionError(ValueError):
    """The question makes no sense; the message says why."""


class Bucket(enum.StrEnum):
    """Stretches of time an answer is cut into."""

    HOUR = "hour"
    """UTC hours, which are whole hours in most time zones and begin at a half in some."""
    DAY = "day"
    """Calendar days of the question's time zone."""


class HistogramName(enum.StrEnum):
    """What percentiles there are of; the value is the column's name."""

    DURATION = "durations"
    """Of every call, microseconds."""
    TTFT = "ttfts"
    """From the start to the first byte of a streamed answer, microseconds."""
    RATE = "rates"
    """Thousandths of an output token a second, of completed streams whose tokens the provider counted."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over calls that began in ``[since, until)``, both aware; without ``until``, all since then."""

    since: datetime
    until: datetime | None = None
    group_by: tuple[Dimension, ...] = ()
    """At most four."""
    where: Mapping[Dimension, tuple[str | None, ...]] = {}
    """A call counts if each of these is one of the values; ``None`` stands for "not set"."""
    scope: Mapping[str, str] = {}
    """Columns of the calls and the value each must have besides: what the viewer may see."""
    bucket: Bucket | None = None
    zone: str = "UTC"
    """IANA name of the time zone of days."""
    measures: tuple[str, ...] = MEASURES
    """Only these are summed, and ``calls``; fewer are faster, and by user only ``USER_MEASURES`` are."""
    histograms: tuple[HistogramName, ...] = ()

    @property
    def conditions(self) -> dict[Dimension, tuple[str | None, ...]]:
        """What must hold of a call. Raises :class:`QuestionError` for a scope that is no dimension."""
        found = dict(self.where)
        for column, value in self.scope.items():
            try:
                dimension = Dimension(column)
            except ValueError as error:
                raise QuestionError(f"calls cannot be narrowed by {column}") from error
            asked = found.get(dimension)
            found[dimension] = (value,) if asked is None or value in asked else ()
        return found


class Source(enum.StrEnum):
    """Where an answer came from."""

    ROLLUPS = "rollups"
    USER_DAYS = "user_days"
    CALLS = "calls"
    """Every call of the period was read: exact, slow, and only as far back as calls are kept."""


class Sum(msgspec.Struct, frozen=True):
    """One line of an answer."""

    key: Group
    """Values of ``group_by``."""
    begin: datetime | None
    """When the bucket begins, in the question's time zone; ``None`` without buckets."""
    sums: Mapping[str, int]
    """The measures that were asked for."""
    histograms: Mapping[HistogramName, Histogram]
    """Those that were asked for."""


class Totals(msgspec.Struct, frozen=True):
    """An answer: a line for each group (and bucket) with calls, in no order."""

    lines: tuple[Sum, ...]
    source: Source
    since: datetime
    """What the sums cover: as asked, or whole hours where the calls of a part of one are no longer there."""
    until: datetime | None


class People(msgspec.Struct, frozen=True):
    """How many users and sessions a group had."""

    key: Group
    begin: datetime | None
    users: int
    """Different users by name, within their tenant; exact."""
    sessions: Distinct


class RollupAudit(msgspec.Struct, frozen=True):
    """What came out when a day's rollups were held against its calls."""

    day: date
    differences: int
    """Figures that were not the same: anything but 0 is a defect."""
