"""The leader's jobs for the rollups. They load SQLAlchemy, so they are imported when they first run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

from gateway.jobs import Job
from storage.address import Address

DAY_S: Final = 86_400.0
COMPACTION_S: Final = 30.0
"""Answers add up what came since; more often is more work for the database, more seldom for every answer."""
AUDIT_LIMIT_S: Final = 1_800.0
"""It reads every call of a day."""


def rollup_jobs(address: Address, now: Callable[[], datetime]) -> list[Job]:
    """What there is to do for the rollups of this database."""

    async def compaction() -> str | None:
        from storage.rollups.care import tend

        done = await tend(address, now())
        return f"{done.days} days closed" if done is not None and done.days else None

    async def audit() -> str | None:
        from storage.rollups.care import audit as verified

        found = await verified(address, now())
        if found is None or not found.differences:
            return None
        return (
            f"{len(found.differences)} figures of {found.differences[0].day} are not what the calls add up to;"
            " 'weighbridge rollups verify' lists them"
        )

    return [Job("rollups", COMPACTION_S, compaction), Job("rollups audit", DAY_S, audit, AUDIT_LIMIT_S)]


async def before_forgetting(address: Address, before: datetime) -> bool:
    """Tell the rollups that calls are about to be deleted; ``False`` where there is no database of this version yet."""
    from storage.rollups.care import note_forgotten

    return await note_forgotten(address, before)
