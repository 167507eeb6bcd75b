"""What alerts are judged by: calls and their sums in the database, and the spools of this machine."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from storage.alerts.database import AlertDatabase
from storage.queries import alert_windows
from storage.rollups.dimensions import Dimension, Group
from storage.rollups.question import Bucket, Question, Totals
from storage.rollups.read import Reader
from storage.store import StoreUnavailable
from storage.trouble import trouble_of
from storage.vitals import added_up, read
from telemetry.alerts.facts import (
    Asked,
    BudgetFact,
    CallsFact,
    FactsUnavailable,
    HoursFact,
    Measure,
    QuantileFact,
    SpendFact,
    SpoolFact,
)
from telemetry.alerts.labels import DIMENSIONS, Labels

HOUR: Final = timedelta(hours=1)
Budgets = Callable[[datetime], Awaitable[Sequence[BudgetFact]]]


async def no_budgets(now: datetime) -> Sequence[BudgetFact]:
    """Where there are none."""
    return ()


class StoredFacts:
    """:class:`telemetry.alerts.facts.AlertFacts`: the last hour from the calls themselves, money of any time from rollups.

    ``budgets``: those of the gateway; ``spool``: folder of the spools.
    """

    def __init__(self, database: AlertDatabase, spool: Path, budgets: Budgets = no_budgets) -> None:
        self._database = database
        self._spool = spool
        self._budgets = budgets

    async def calls(self, asked: Asked) -> Sequence[CallsFact]:
        asked = _whole_ms(asked)
        return [
            CallsFact(
                _labels(asked, row),
                int(row.calls),
                int(row.failed),
                int(row.provider_failed),
                int(row.unpriced),
            )
            for row in await self._rows(alert_windows.sums(asked))
        ]

    async def quantiles(self, asked: Asked, measure: Measure, ppm: int) -> Sequence[QuantileFact]:
        asked = _whole_ms(asked)
        rows = await self._rows(alert_windows.quantiles(asked, measure, ppm))
        return [QuantileFact(_labels(asked, row), int(row.calls), int(row.value_us)) for row in rows]

    async def spend(self, asked: Asked) -> Sequence[SpendFact]:
        totals = await self._totals(_question(asked))
        found = [
            (line.sums["calls"], _named(asked, line.key), line.sums["cost_nano"]) for line in totals.lines
        ]
        if not found and not asked.group_by:
            found = [(0, (), 0)]
        most = sorted(found, key=lambda one: (-one[0], one[1]))[: asked.most]
        return [SpendFact(labels, spent) for _, labels, spent in most]

    async def hours(self, asked: Asked) -> Sequence[HoursFact]:
        steps = (asked.until - asked.since) // HOUR
        found: dict[Labels, list[int]] = {} if asked.group_by else {(): [0] * steps}
        calls: Counter[Labels] = Counter()
        totals = await self._totals(msgspec.structs.replace(_question(asked), bucket=Bucket.HOUR))
        for line in totals.lines:
            labels = _named(asked, line.key)
            assert line.begin is not None
            found.setdefault(labels, [0] * steps)[(line.begin - asked.since) // HOUR] += line.sums[
                "cost_nano"
            ]
            calls[labels] += line.sums["calls"]
        most = sorted(found, key=lambda labels: (-calls[labels], labels))[: asked.most]
        return [HoursFact(labels, tuple(found[labels])) for labels in most]

    async def _totals(self, question: Question) -> Totals:
        try:
            return await Reader(self._database.reading).totals(question)
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            raise FactsUnavailable(f"the sums cannot be read: {trouble_of(error)}") from error

    async def spool(self) -> SpoolFact:
        stats = added_up(await asyncio.to_thread(read, self._spool))
        return SpoolFact(stats.spooled, int(stats.oldest_age_s))

    async def budgets(self, now: datetime) -> Sequence[BudgetFact]:
        try:
            return await self._budgets(now)
        except StoreUnavailable as error:
            raise FactsUnavailable(str(error)) from error

    async def _rows(self, query: Any) -> list[Any]:
        try:
            return await self._database.rows(query)
        except StoreUnavailable as error:
            raise FactsUnavailable(str(error)) from error


def _question(asked: Asked) -> Question:
    """About money alone. What no call says is ``None`` there and empty here."""
    return Question(
        since=asked.since,
        until=asked.until,
        group_by=tuple(Dimension(DIMENSIONS[name]) for name in asked.group_by),
        where={Dimension(DIMENSIONS[name]): (value or None,) for name, value in asked.scope},
        measures=("cost_nano",),
    )


def _named(asked: Asked, key: Group) -> Labels:
    return tuple((name, value or "") for name, value in zip(asked.group_by, key, strict=True))


def _whole_ms(asked: Asked) -> Asked:
    """The ids of calls, and ``started_at``, know milliseconds."""
    return Asked(_ms(asked.since), _ms(asked.until), asked.scope, asked.group_by, asked.most)


def _ms(at: datetime) -> datetime:
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def _labels(asked: Asked, row: Any) -> Labels:
    return tuple((name, str(getattr(row, f"g{place}"))) for place, name in enumerate(asked.group_by))
