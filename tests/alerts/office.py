"""Everything about alerts on one database: facts that are made up, a clock the test moves, channels that are real.

office = Office(url, folder, [rule("budget")], [hook(receiver.base)])
office.facts.budget_facts = [budget(14 * DOLLAR)]
await office.evaluate()
office.now += timedelta(hours=1)
await office.deliver()
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from alerts.facts import NOON, MadeUp
from alerts.messages import SECRET

from gateway.alerting.deliver import Delivered, Deliverer
from gateway.alerting.evaluate import Evaluated, Evaluator
from gateway.alerting.plan import AlertPlan
from storage.address import parse
from storage.alerts.book import AlertBook
from storage.alerts.database import AlertDatabase
from storage.alerts.desk import AlertDesk
from storage.alerts.outbox import Outbox
from storage.alerts.tables import AlertRow, DeliveryRow
from telemetry.alerts.channels.contract import Post
from telemetry.alerts.channels.registry import channel_of
from telemetry.alerts.rule import Rule


def hook(url: str, name: str = "ops", **changed: Any) -> Post:
    """A webhook to a server of the test."""
    table = {"kind": "webhook", "url": url, "secret_env": "SECRET", "allow_private": True, **changed}
    return channel_of(name, table, {"SECRET": SECRET})


class Worker:
    """One of those that evaluate and deliver; ends with :meth:`close`, as suddenly as the test likes."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self.database = AlertDatabase(parse(office.url, office.folder), timeout_s=20)
        self.book = AlertBook(self.database)
        self.desk = AlertDesk(self.database)
        self.outbox = Outbox(self.database)
        self._evaluator = Evaluator(lambda: office.plan)
        self._deliverer = Deliverer(lambda: office.plan, lambda: office.now, random.Random(7))

    async def evaluate(self) -> Evaluated:
        return await self._evaluator.run(self.book, self.desk, self._office.facts, self._office.now)

    async def deliver(self) -> Delivered:
        return await self._deliverer.run(self.outbox)

    async def close(self) -> None:
        await self.database.close()


class Office:
    """Workers on one database, with the same plan, facts and clock."""

    def __init__(
        self, url: str, folder: Path, rules: Sequence[Rule[Any]], posts: Sequence[Post] = (), workers: int = 1
    ) -> None:
        self.url = url
        self.folder = folder
        self.plan = AlertPlan(tuple(posts), tuple(rules))
        self.facts = MadeUp()
        self.now: datetime = NOON
        self.workers = [Worker(self) for _ in range(workers)]

    @property
    def desk(self) -> AlertDesk:
        return self.workers[0].desk

    @property
    def outbox(self) -> Outbox:
        return self.workers[0].outbox

    async def evaluate(self) -> list[Evaluated]:
        """All workers at once."""
        return await asyncio.gather(*(worker.evaluate() for worker in self.workers))

    async def deliver(self) -> list[Delivered]:
        """All workers at once."""
        return await asyncio.gather(*(worker.deliver() for worker in self.workers))

    async def restart(self) -> None:
        """New workers in the place of the old ones: nothing is remembered but what the database holds."""
        count = len(self.workers)
        await self.close()
        self.workers = [Worker(self) for _ in range(count)]

    async def alerts(self) -> list[AlertRow]:
        """Oldest first."""
        return list((await self.desk.alerts({}, limit=1000)).items)[::-1]

    async def deliveries(self) -> list[DeliveryRow]:
        """Oldest first."""
        return list((await self.desk.deliveries({}, limit=1000)).items)[::-1]

    async def close(self) -> None:
        for worker in self.workers:
            await worker.close()
