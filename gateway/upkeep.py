"""The leader's jobs around the database: months made ahead, old calls forgotten, the account of all calls audited."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec

from gateway.jobs import Job
from gateway.rollup_jobs import before_forgetting, rollup_jobs
from storage.address import Address, Engine
from storage.budgets.forgetting import forget_accounts
from storage.control import control_of
from storage.retention import forget
from storage.vitals import read

HOUR_S: Final = 3_600.0
DAY_S: Final = 86_400.0


class Keeping(msgspec.Struct, frozen=True):
    """Days; 0: for ever."""

    calls: int = 0
    contents: int = 0
    events: int = 0


def upkeep(
    address: Address,
    spool: Path,
    keeping: Callable[[], Keeping],
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> list[Job]:
    """What there is to do for this database. ``keeping``: as it is at the time."""

    async def months() -> str | None:
        from storage.retention_postgres import make_months

        made = await make_months(address.dsn, now())
        return f"made {', '.join(made)}" if made else None

    async def audit() -> str | None:
        spools = await asyncio.to_thread(read, spool)
        wrong = [one for one in spools if one.alive and one.vitals is not None and one.vitals.stats.balance]
        if not wrong:
            return None
        return "; ".join(
            f"worker {one.vitals.pid}: {one.vitals.stats.balance} calls are nowhere"
            for one in wrong
            if one.vitals
        )

    async def accounts() -> str | None:
        db = control_of(address)
        try:
            gone = await forget_accounts(db, int(now().timestamp()))
        finally:
            await db.close()
        return f"{gone} accounts of old windows forgotten" if gone else None

    jobs = [Job("audit", DAY_S, audit), Job("accounts", DAY_S, accounts), *rollup_jobs(address, now)]
    if address.engine is Engine.POSTGRESQL:
        jobs.append(Job("months", HOUR_S, months))
    return [*jobs, *_forgetting(address, keeping, now)]


def _forgetting(address: Address, keeping: Callable[[], Keeping], now: Callable[[], datetime]) -> list[Job]:
    """One job for each class of what is kept: one that fails does not keep the others' back."""

    async def calls() -> str | None:
        days = keeping().calls
        if not days:
            return None
        before = now() - timedelta(days=days)
        if not await before_forgetting(address, before):
            return None
        from storage.quality.retention import forget_said

        await forget_said(address, before)
        gone = await forget(address, before)
        what = "months dropped" if address.engine is Engine.POSTGRESQL else "calls deleted"
        return f"{gone} {what}" if gone else None

    async def events() -> str | None:
        days = keeping().events
        if not days:
            return None
        from storage.quality.retention import forget_events

        gone = await forget_events(address, now() - timedelta(days=days))
        return f"{gone} events deleted" if gone else None

    async def contents() -> str | None:
        days = keeping().contents
        if not days:
            return None
        from storage.contents.retention import forget_contents

        gone = await forget_contents(address, now() - timedelta(days=days))
        return f"{gone} contents deleted" if gone else None

    return [
        Job("retention", HOUR_S, calls),
        Job("retention of contents", HOUR_S, contents),
        Job("retention of events", HOUR_S, events),
    ]
