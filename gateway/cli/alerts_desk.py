"""The desk of alerts for the commands: on the database of the settings, with errors that say what to do."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar

from gateway.alerting.plan import AlertPlan, look_at, plan_of
from gateway.api.alerts import AlertsDeps, open_alerts
from gateway.api.problems import ApiError
from gateway.cli.exits import Exit
from gateway.cli.options import fail, fail_with, settings_from
from gateway.cli.trouble import needs_database, no_database
from gateway.settings import Settings, SettingsError
from storage.alerts.tables import AlertRow, DeliveryRow
from storage.store import StoreUnavailable

BAD_REQUEST: Final = 400
T = TypeVar("T")
Row = TypeVar("Row", AlertRow, DeliveryRow)
SHORT = 8
"""Characters of an id that are shown; commands take them."""


def plan_from(
    config: Path | None, look: Callable[[Settings], AlertPlan] = plan_of
) -> tuple[Settings, AlertPlan]:
    """The settings and their alerts, or every problem on stderr and exit code 2."""
    settings = settings_from(config)
    try:
        return settings, look(settings)
    except SettingsError as error:
        fail_with(error)


def at_the_desk(config: Path | None, work: Callable[[AlertsDeps], Awaitable[T]]) -> T:
    """What ``work`` finds; ends with 3 where there is no database to ask."""
    settings, plan = plan_from(config, look_at)
    storage = settings.storage
    needs_database(settings)

    async def run() -> T:
        deps = open_alerts(storage.url, storage.data_dir, lambda: plan)
        try:
            return await work(deps)
        finally:
            await deps.close()

    try:
        return asyncio.run(run())
    except StoreUnavailable as error:
        no_database(settings, error)
    except ApiError as error:
        fail(error.detail.message, code=Exit.USAGE if error.status == BAD_REQUEST else Exit.PROBLEM)


def the_one(found: Sequence[Row], beginning: str, what: str, where: str) -> Row:
    """The only one whose id begins so, or an error."""
    if not found:
        fail(f"there is no {what} {beginning}", f"'{where}' shows what there is")
    if len(found) > 1:
        fail(f"several {what}s begin with {beginning}", "Give more of the id")
    return found[0]


def short(row_id: str) -> str:
    """The beginning of an id, with its prefix."""
    prefix, underscore, rest = row_id.rpartition("_")
    return f"{prefix}{underscore}{rest[:SHORT]}"


def clock(at: datetime | None, now: datetime) -> str:
    """Local time of day, with the date unless it is today's; a dash for none."""
    if at is None:
        return "–"
    moment, today = at.astimezone(), now.astimezone().date()
    return f"{moment:%H:%M:%S}" if moment.date() == today else f"{moment:%m-%d %H:%M}"


def who_am_i() -> str:
    """Whoever is logged in, for the record of who made what."""
    return os.environ.get("SUDO_USER") or os.environ.get("USER") or "command line"
