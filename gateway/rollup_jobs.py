"""The leader's jobs for the rollups. They load SQLAlchemy, so they are imported when they first run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

from gateway.jobs import Job
from storage.address import Address

COMPACTION_S: Final = 30.0
"""Answers add up what came since; more often is more work for the database, more seldom for every answer."""


def rollup_jobs(address: Address, now: Callable[[], datetime]) -> list[Job]:
    """What there is to do for the rollups of this database."""

    async def compaction() -> str | None:
        from storage.rollups.care import tend

        done = await tend(address, now())
        return f"{done.days} days closed" if done is not None and done.days else None

    return [Job("rollups", COMPACTION_S, compaction)]
