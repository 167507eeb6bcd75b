"""What alerts are judged by, and where it comes from. All sums are whole numbers."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from datetime import datetime
from typing import Final, Protocol

import msgspec

from telemetry.alerts.labels import Labels
from telemetry.alerts.verdict import Unit

MOST_GROUPS: Final = 50
"""Of one rule with ``group_by``: those with the most calls."""


class Measure(enum.StrEnum):
    """A duration of a call."""

    DURATION = "duration"
    """From the request's head to the answer's last byte."""
    FIRST_CHUNK = "first_chunk"
    """To the first piece of a streamed answer."""


class Asked(msgspec.Struct, frozen=True):
    """Which calls: started in [since, until), with every value of ``scope``."""

    since: datetime
    until: datetime
    scope: Labels = ()
    group_by: tuple[str, ...] = ()
    most: int = MOST_GROUPS
    """Groups, those with the most calls first."""


class CallsFact(msgspec.Struct, frozen=True):
    """Sums over the calls of one group."""

    labels: Labels
    calls: int
    failed: int
    """Ended otherwise than the app may expect: not completed, cancelled by the app, refused, or cut by our own stop."""
    provider_failed: int
    """Of those, the provider's doing: not reached, reset, timed out, cut short, or a status of 500 and above."""
    unpriced: int
    """Should have a cost and have none."""


class QuantileFact(msgspec.Struct, frozen=True):
    """The nearest-rank quantile of a measure over the calls of one group that have it."""

    labels: Labels
    calls: int
    value_us: int


class SpendFact(msgspec.Struct, frozen=True):
    """What the calls of one group cost."""

    labels: Labels
    spend_nano: int


class HoursFact(msgspec.Struct, frozen=True):
    """nano-USD of one group in each UTC hour, oldest first, without gaps."""

    labels: Labels
    spent: tuple[int, ...]


class SpoolFact(msgspec.Struct, frozen=True):
    """Records of this machine on their way to the database."""

    waiting: int
    oldest_age_s: int


class BudgetFact(msgspec.Struct, frozen=True):
    """A budget in one of its windows. A window that ended less than an hour ago is told beside the current one."""

    budget_id: str
    name: str
    scope: str
    """In words: ``team search``."""
    window_key: str
    """Names the window among those of the budget, for ever."""
    limit_nano: int
    spent_nano: int
    """Settled spend only."""
    reserved_nano: int
    thresholds_ppm: tuple[int, ...]
    """Millionths of the limit."""
    window_start: datetime
    window_end: datetime
    filters: Labels = ()
    """The scope as dimensions, for its history and for who may see its alerts."""
    unit: Unit = Unit.NANO_USD
    """Of limit, spent and reserved, where a budget counts something else."""
    whole: bool = True
    """``filters`` say all of the scope. Otherwise they would find more calls than the budget counts."""


class AlertFacts(Protocol):
    """The only thing evaluations ask. May raise :class:`FactsUnavailable`."""

    async def calls(self, asked: Asked) -> Sequence[CallsFact]:
        """Sums by group; a group without calls is missing, but without ``group_by`` there is always one.

        For the last hour at most: they are added up anew each time. So are quantiles.
        """

    async def quantiles(self, asked: Asked, measure: Measure, ppm: int) -> Sequence[QuantileFact]:
        """The ``ppm`` quantile by group."""

    async def spend(self, asked: Asked) -> Sequence[SpendFact]:
        """Spend by group, of any time; without ``group_by`` there is always one."""

    async def hours(self, asked: Asked) -> Sequence[HoursFact]:
        """Spend by group and hour, of any time; both ends are whole UTC hours."""

    async def spool(self) -> SpoolFact:
        """Over all workers of this machine."""

    async def budgets(self, now: datetime) -> Sequence[BudgetFact]:
        """Every budget in force."""


class FactsUnavailable(Exception):  # noqa: N818
    """There is nothing to judge by now: the database does not answer."""
