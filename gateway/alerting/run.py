"""One round of evaluating, delivering, tidying up, each with connections of its own.

Loads SQLAlchemy: :mod:`gateway.alerting.jobs` imports it when the first job runs.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from gateway.alerting.deliver import Deliverer
from gateway.alerting.evaluate import Evaluator
from gateway.alerting.plan import AlertPlan
from storage.address import Address
from storage.alerts.book import AlertBook
from storage.alerts.budget_facts import BudgetAccounts
from storage.alerts.database import AlertDatabase
from storage.alerts.desk import AlertDesk
from storage.alerts.facts import StoredFacts
from storage.alerts.outbox import Outbox
from storage.store import StoreUnavailable
from telemetry.alerts.facts import FactsUnavailable

KEPT: Final = timedelta(days=400)
"""How long alerts that are over are kept, with their messages."""
_logger = logging.getLogger("gateway.alerting")


class AlertRun:
    """What the jobs do. While the database is away they do nothing, and say so once."""

    def __init__(
        self, plan: Callable[[], AlertPlan], address: Address, spool: Path, now: Callable[[], datetime]
    ) -> None:
        self._address = address
        self._spool = spool
        self._now = now
        self._evaluator = Evaluator(plan)
        self._deliverer = Deliverer(plan, now)
        self._away = False

    async def evaluate(self) -> str | None:
        """Every rule once."""
        async with self._database() as database:
            facts = StoredFacts(database, self._spool, BudgetAccounts(database))
            done = await self._evaluator.run(AlertBook(database), AlertDesk(database), facts, self._now())
            if done.fired or done.resolved:
                return f"{done.fired} fire, {done.resolved} over, {done.messages} messages"
        return None

    async def deliver(self) -> str | None:
        """What is due."""
        async with self._database() as database:
            done = await self._deliverer.run(Outbox(database))
            if done.sent:
                return f"{done.sent} messages sent"
        return None

    async def tidy(self) -> str | None:
        """What is old."""
        async with self._database() as database:
            given_up = await Outbox(database).give_up_old(self._now())
            gone = await AlertDesk(database).forget(self._now() - KEPT)
            if given_up or gone:
                return f"{given_up} messages given up, {gone} old alerts forgotten"
        return None

    @asynccontextmanager
    async def _database(self) -> AsyncIterator[AlertDatabase]:
        database = AlertDatabase(self._address)
        try:
            yield database
            if self._away:
                self._away = False
                _logger.info("alerts go on")
        except (StoreUnavailable, FactsUnavailable) as error:
            if not self._away:
                self._away = True
                _logger.warning("alerts wait: %s", error)
        finally:
            await database.close()
