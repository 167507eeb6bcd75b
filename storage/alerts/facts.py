"""What alerts are judged by, from the calls in the database and the spools of this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from storage.alerts.database import AlertDatabase
from storage.queries import alert_windows
from storage.store import StoreUnavailable
from storage.vitals import added_up, read
from telemetry.alerts.facts import (
    Asked,
    BudgetFact,
    CallsFact,
    FactsUnavailable,
    Measure,
    QuantileFact,
    SpendFact,
    SpoolFact,
)
from telemetry.alerts.labels import Labels

Budgets = Callable[[datetime], Awaitable[Sequence[BudgetFact]]]


async def no_budgets(now: datetime) -> Sequence[BudgetFact]:
    """Where there are none."""
    return ()


class StoredFacts:
    """:class:`telemetry.alerts.facts.AlertFacts`. ``budgets``: those of the gateway; ``spool``: folder of the spools."""

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
                int(row.spend_nano),
            )
            for row in await self._rows(alert_windows.sums(asked))
        ]

    async def quantiles(self, asked: Asked, measure: Measure, ppm: int) -> Sequence[QuantileFact]:
        asked = _whole_ms(asked)
        rows = await self._rows(alert_windows.quantiles(asked, measure, ppm))
        return [QuantileFact(_labels(asked, row), int(row.calls), int(row.value_us)) for row in rows]

    async def spend(self, asked: Asked, step_s: int) -> Sequence[SpendFact]:
        # The last step ends at ``until``, so that the newest one is whole.
        steps = max(1, -(-(asked.until - asked.since) // timedelta(seconds=step_s)))
        asked = _whole_ms(asked)
        found: dict[Labels, list[int]] = {} if asked.group_by else {(): [0] * steps}
        for row in await self._rows(alert_windows.series(asked, step_s)):
            spent = found.setdefault(_labels(asked, row), [0] * steps)
            spent[min(max(int(row.step), 0), steps - 1)] += int(row.spend_nano)
        most = sorted(found.items(), key=lambda item: (-sum(item[1]), item[0]))[: asked.most]
        return [SpendFact(labels, tuple(spent)) for labels, spent in most]

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


def _whole_ms(asked: Asked) -> Asked:
    """The ids of calls, and ``started_at``, know milliseconds."""
    return Asked(_ms(asked.since), _ms(asked.until), asked.scope, asked.group_by, asked.most)


def _ms(at: datetime) -> datetime:
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def _labels(asked: Asked, row: Any) -> Labels:
    return tuple((name, str(getattr(row, f"g{place}"))) for place, name in enumerate(asked.group_by))
