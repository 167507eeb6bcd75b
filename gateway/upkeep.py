"""The leader's jobs around the database: months made ahead, old calls forgotten, the account of all calls audited."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from gateway.jobs import Job
from gateway.rollup_jobs import before_forgetting, rollup_jobs
from storage.address import Address, Engine
from storage.budgets.forgetting import forget_accounts
from storage.control import control_of
from storage.retention import forget
from storage.vitals import read

HOUR_S: Final = 3_600.0
DAY_S: Final = 86_400.0


def upkeep(
    address: Address,
    spool: Path,
    retention_days: int | None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> list[Job]:
    """What there is to do for this database."""

    async def retention() -> str | None:
        assert retention_days is not None
        before = now() - timedelta(days=retention_days)
        await before_forgetting(address, before)
        from storage.quality.retention import forget_said

        await forget_said(address, before)
        gone = await forget(address, before)
        what = "months dropped" if address.engine is Engine.POSTGRESQL else "calls deleted"
        return f"{gone} {what}" if gone else None

    async def months() -> str | None:
        from storage.retention_postgres import make_months

        made = await make_months(address.dsn, now())
        return f"made {', '.join(made)}" if made else None

    async def audit() -> str | None:
        wrong = [
            one for one in read(spool) if one.alive and one.vitals is not None and one.vitals.stats.balance
        ]
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
    if retention_days is not None:
        jobs.append(Job("retention", HOUR_S, retention))
    return jobs
