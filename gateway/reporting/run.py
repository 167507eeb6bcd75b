"""Makes the reports that are due and puts them into the outbox of the alerts, which delivers them.

Loads SQLAlchemy: :mod:`gateway.reporting.jobs` imports it when the first report may be due. A report is put there once
for each channel, whoever makes it: its id is that of its period.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy.exc import SQLAlchemyError

from gateway.reporting.make import made
from gateway.reporting.plan import ReportPlan
from storage.address import Address
from storage.alerts.database import AlertDatabase
from storage.alerts.outbox import Outbox
from storage.control import ControlUnavailable
from storage.engine import reading_engine
from storage.insights.report import Wanted
from storage.store import StoreUnavailable
from telemetry.insights.report.contents import Report
from telemetry.insights.report.notice import id_of, notice_of
from telemetry.insights.report.schedule import Due, Span, key_of, latest, whole

LATE: Final = timedelta(days=1)
"""A report that could not be made when it was due is made up to so much later."""
STATEMENT_S: Final = 300.0
_logger = logging.getLogger("gateway.reporting")


class ReportRun:
    """What the job does. While the database is away it does nothing, and says so once."""

    def __init__(self, plan: Callable[[], ReportPlan], address: Address, now: Callable[[], datetime]) -> None:
        self._plan = plan
        self._address = address
        self._now = now
        self._sent: dict[Span, str] = {}
        """The last one that needs no look any more."""
        self._away = False

    async def send(self) -> str | None:
        """Make what is due and was not made yet."""
        said = []
        try:
            for due in self._plan().dues:
                said += await self._send(due)
        except (StoreUnavailable, ControlUnavailable, SQLAlchemyError, OSError) as error:
            if not self._away:
                self._away = True
                _logger.warning("reports wait: %s", type(error).__name__)
            return None
        self._away = False
        return ", ".join(said) or None

    async def _send(self, due: Due) -> list[str]:
        plan, now = self._plan(), self._now()
        moment = latest(due, now, ZoneInfo(plan.zone))
        since, until = whole(due.span, moment.date())
        name = id_of(due.span, key_of(due.span, since))
        if now - moment > LATE or self._sent.get(due.span) == name:
            return []
        database = AlertDatabase(self._address)
        try:
            outbox = Outbox(database)
            told = await outbox.told(name)
            posts = [post for post in plan.posts if post.name not in told]
            if posts:
                # Nobody can be erased from what was sent: users are counted, and not named.
                wanted = Wanted(span=due.span, since=since, until=until, zone=plan.zone, users=False)
                await outbox.put(notice_of(await self._report(wanted), now), posts, now)
        finally:
            await database.close()
        self._sent[due.span] = name
        return [f"{name} for {', '.join(post.name for post in posts)}"] if posts else []

    async def _report(self, wanted: Wanted) -> Report:
        engine = reading_engine(self._address, timeout_s=STATEMENT_S)
        try:
            return await made(engine, self._address, wanted)
        finally:
            await engine.dispose()
